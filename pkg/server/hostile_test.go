package server

import (
	"math/rand/v2"
	"testing"

	"byor/pkg/engine"

	"github.com/stretchr/testify/require"
)

// hostileWords are arguments that parsers stumble over.
var hostileWords = []string{
	"", "0", "1", "-1", "2", "10", "-0", "00", "+1", "1.5", "1e300", "-1e-300", "inf", "-inf", "nan", "0x10",
	"9223372036854775807", "-9223372036854775808", "9223372036854775808", "4294967296", "2147483647", "-2147483648",
	"18446744073709551615", "k", "l", "h", "s", "z", "x", "hll", "a", "b", "*", "[", "[a", "(1", "(", "+", "-", "[z",
	"$", ">", "~", "=", "0-0", "0-1", "5-*", "-5", "18446744073709551615-18446744073709551615", "count", "match",
	"type", "limit", "withscores", "weights", "aggregate", "sum", "min", "max", "nx", "xx", "gt", "lt", "ch", "incr",
	"ex", "px", "exat", "pxat", "keepttl", "persist", "get", "left", "right", "before", "after", "rank", "maxlen",
	"minid", "nomkstream", "streams", "group", "block", "noack", "justid", "force", "idle", "time", "retrycount",
	"lastid", "entriesread", "mkstream", "byscore", "bylex", "rev", "frommember", "fromlonlat", "byradius", "bybox",
	"m", "km", "asc", "desc", "any", "withcoord", "withdist", "withhash", "store", "storedist", "by", "alpha", "#",
	"u64", "i64", "u1", "i65", "u0", "#1", "set", "overflow", "sat", "wrap", "fail", "bit", "byte", "and", "not",
	"replace", "db", "absttl", "freq", "idletime", "samples", "id", "addr", "skipme", "yes", "no", "on", "off", "\x00",
	"\xff\xfe", "one", "two", "numkeys", "len", "idx", "minmatchlen", "withmatchlen", "full", "async", "sync",
}

// notHostile are commands that end, stall or replace the server by what they are for.
var notHostile = map[string]bool{
	"shutdown": true, "debug": true, "replicaof": true, "slaveof": true, "psync": true, "sync": true, "monitor": true,
	"save": true, "bgsave": true, "bgrewriteaof": true, "quit": true, "client|kill": true, "client|pause": true,
	"client|reply": true, "config|set": true, "config|rewrite": true, "reset": true, "auth": true, "hello": true,
}

// Whatever the arguments, a command replies, and what it did to the data can be saved and told apart.
func TestRandomArgumentsCrashNothing(t *testing.T) {
	s, _ := startServer(t, "--appendonly", "yes", "--proto-max-bulk-len", "1mb")
	rng := rand.New(rand.NewPCG(5, 6))
	s.eng.Lock()
	defer s.eng.Unlock()
	c := s.newClient(nil)
	c.Authed = true
	var cmds []*engine.Command
	for _, cmd := range s.eng.AllCommands() {
		if !notHostile[cmd.FullName()] {
			cmds = append(cmds, cmd)
		}
	}
	seed := [][]string{{"RPUSH", "l", "1", "a", ""}, {"HSET", "h", "a", "1", "b", ""}, {"SADD", "s", "1", "2"}, {"SADD", "b", "x", "1"},
		{"ZADD", "z", "1", "a", "inf", "b"}, {"XADD", "x", "1-1", "f", "v"}, {"SET", "k", "10"}, {"PFADD", "hll", "a"}, {"XGROUP", "CREATE", "x", "a", "0"}}
	for i := range 60000 {
		if i%500 == 0 {
			for _, args := range append([][]string{{"FLUSHALL"}}, seed...) {
				s.eng.Execute(&c.Session, bytesOf(args))
			}
		}
		if i%20 == 0 { // leaves MULTI and subscriptions
			s.eng.Execute(&c.Session, [][]byte{[]byte("RESET")})
		}
		cmd := cmds[rng.IntN(len(cmds))]
		args := commandWords(cmd)
		for range rng.IntN(9) {
			args = append(args, hostileWords[rng.IntN(len(hostileWords))])
		}
		c.Reply.Buf = c.Reply.Buf[:0]
		c.Reply.Proto = 2 + rng.IntN(2)
		func() {
			defer func() {
				if p := recover(); p != nil {
					require.FailNowf(t, "panic", "%q: %v", args, p)
				}
			}()
			s.eng.Execute(&c.Session, bytesOf(args))
		}()
		require.False(t, s.eng.InUnit(), "%q", args)
	}
}

// commandWords returns the words that name a command.
func commandWords(cmd *engine.Command) []string {
	for i := range cmd.FullName() {
		if cmd.FullName()[i] == '|' {
			return []string{cmd.FullName()[:i], cmd.FullName()[i+1:]}
		}
	}
	return []string{cmd.FullName()}
}

func bytesOf(args []string) [][]byte {
	b := make([][]byte, len(args))
	for i, a := range args {
		b[i] = []byte(a)
	}
	return b
}
