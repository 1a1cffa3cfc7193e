package server

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var countedParts = regexp.MustCompile(`(?m)^(?:cmdstat_(\S+?):calls=(\d+)\S*?,(rejected_calls=\d+,failed_calls=\d+)|(errorstat_\S+|total_error_replies:\d+|unexpected_error_replies:\d+))`)

// counted returns what INFO says of calls, refusals, failures and errors, without what time does to it.
func counted(c *testConn) string {
	var lines []string
	for _, section := range []string{"commandstats", "errorstats", "stats"} {
		for _, m := range countedParts.FindAllStringSubmatch(string(c.do("INFO "+section).Str), -1) {
			line := strings.TrimSpace(m[1] + " " + m[2] + " " + m[3] + m[4])
			if !strings.HasPrefix(line, "info ") {
				lines = append(lines, line)
			}
		}
	}
	slices.Sort(lines) // Redis lists commands as its hash table has them
	return strings.Join(lines, "\n")
}

// refusedScripts bring the server into a state and try what that does not allow. Each is run by a client of its own,
// and a line after "admin:" by another one.
var refusedScripts = map[string]string{
	"arity":       "GET;GET a b;CONFIG;CONFIG GET;OBJECT;OBJECT ENCODING;CLIENT KILL;NOSUCH;CONFIG NOSUCH;SET a",
	"failed":      "SET a x;INCR a;LPUSH a 1;HGET a b;OBJECT ENCODING none;CLIENT KILL ADDR;SET a b NOSUCH;DEBUG NOSUCH;XREAD STREAMS a",
	"auth":        "admin: CONFIG SET requirepass secret;GET a;SET a;NOSUCH;AUTH wrong;AUTH default wrong;HELLO 3;CONFIG GET a;QUIT",
	"memory":      "SET big x;CONFIG SET maxmemory 1;SET a b;GET a;MULTI;SET a b;EXEC;LPUSH l a;DEL a;MULTI;GET a;EXEC",
	"subscribed":  "SUBSCRIBE ch;GET a;SET a b;CONFIG GET a;PING",
	"replica":     "REPLICAOF 127.0.0.1 1;SET a b;GET a;MULTI;SET a b;EXEC;CONFIG SET replica-serve-stale-data no;GET a;DBSIZE",
	"noreplicas":  "CONFIG SET min-replicas-to-write 1;SET a b;GET a;MULTI;SET a b;EXEC;SADD s a",
	"transaction": "MULTI;MULTI;WATCH a;GET a b;EXEC;EXEC;DISCARD;MULTI;SUBSCRIBE a;EXEC;MULTI;INCR n;LPUSH n 1;GET;DISCARD;MULTI;SET n 1;LPUSH n 1;EXEC;MULTI;NOSUCH;EXEC",
	"codes":       "DEBUG ERROR MYCODE\tx;DEBUG ERROR 'MYCODE x';DEBUG ERROR single;XGROUP CREATE s g $;XREADGROUP GROUP g c STREAMS s >;EVALSHA abc 0;FUNCTION KILL;SCRIPT KILL;HELLO 9;SELECT 99;CLUSTER INFO",
	"modules":     "MODULE LOAD x;MODULE LIST;MODULE UNLOAD x;MULTI;MODULE LOAD x;EXEC",
}

func TestRefusalsCountAsRedis(t *testing.T) {
	for name, text := range refusedScripts {
		ours, theirs := second(startServer(t)), startRedis(t)
		var got []string
		for _, addr := range []string{theirs, ours} {
			admin, c := dial(t, addr), dial(t, addr)
			c.do("PING") // it is let in before there is a password
			admin.do("CONFIG RESETSTAT")
			for line := range strings.SplitSeq(text, ";") {
				if rest, ok := strings.CutPrefix(line, "admin: "); ok {
					admin.do(rest)
				} else {
					c.do(line)
				}
			}
			if name == "auth" {
				admin.do("AUTH secret")
			}
			got = append(got, counted(admin))
		}
		assert.Equal(t, got[0], got[1], name)
	}
	debugOff := "--enable-debug-command"
	_, ours := startServer(t, debugOff, "no")
	theirs := startRedis(t, debugOff, "no")
	var got []string
	for _, addr := range []string{theirs, ours} {
		c := dial(t, addr)
		c.do("CONFIG RESETSTAT")
		for _, line := range []string{"DEBUG SLEEP 0", "MULTI", "DEBUG SLEEP 0", "EXEC", "DEBUG"} {
			c.do(line)
		}
		got = append(got, counted(c))
	}
	require.Equal(t, got[0], got[1], "DEBUG that is not allowed")
}
