package main

import (
	"bytes"
	"strings"
	"time"
)

// Station 6, the guard: how often a peer may speak, and what it may say. (hostAllowed and originAllowed have
// decided before whether it may come in at all.)

// bucket is a token bucket: rate tokens a second, burst at most. Not safe for
// concurrent use.
type bucket struct {
	rate, burst float64
	tokens      float64
	last        time.Time
}

func newBucket(rate, burst float64, now time.Time) bucket {
	return bucket{rate: rate, burst: max(burst, 1), tokens: max(burst, 1), last: now}
}

// take takes a token. If there is none it returns how long it takes to get one.
func (b *bucket) take(now time.Time) (wait time.Duration) {
	if b.rate <= 0 {
		return 0
	}
	b.tokens = min(b.burst, b.tokens+now.Sub(b.last).Seconds()*b.rate)
	b.last = now
	if b.tokens >= 1 {
		b.tokens--
		return 0
	}
	return time.Duration((1 - b.tokens) / b.rate * float64(time.Second))
}

// administrative are the commands that rule the server rather than use it. A
// page must not be able to do that only because it can reach the port.
var administrative = []string{
	"acl", "bgrewriteaof", "bgsave", "client|kill", "client|list", "client|no-evict", "client|pause", "client|unpause",
	"cluster", "config", "debug", "failover", "flushall", "flushdb", "function", "latency", "migrate", "module",
	"monitor", "pfdebug", "pfselftest", "psync", "replconf", "replicaof", "restore-asking", "save", "script",
	"shutdown", "slaveof", "slowlog", "swapdb", "sync",
}

// ofTheGateway are the commands for which the JSON protocol has operations, and those that would tear apart
// the order of commands and replies, on which it relies.
var ofTheGateway = map[string]string{
	"subscribe": "use the operation sub", "psubscribe": "use the operation sub",
	"history.subscribe": "use the operation sub, with last or since",
	"unsubscribe":       "use the operation unsub", "punsubscribe": "use the operation unsub",
	"ssubscribe": "sharded channels are for byor.resp.v1", "sunsubscribe": "sharded channels are for byor.resp.v1",
	"hello": "use the operation hello", "reset": "connect anew instead", "quit": "close the socket instead",
	"client|reply": "every command is answered here", "monitor": "it is for byor.resp.v1", "psync": "it is for byor.resp.v1", "sync": "it is for byor.resp.v1",
}

// guard judges commands. It is read-only and safe for concurrent use.
type guard struct {
	denied map[string]bool
}

func newGuard(allow []string) *guard {
	g := &guard{denied: map[string]bool{}}
	for _, name := range administrative {
		g.denied[name] = true
	}
	for _, name := range allow {
		name = strings.ToLower(name)
		delete(g.denied, name)
		if command, _, sub := strings.Cut(name, "|"); sub && g.denied[command] {
			g.denied["!"+name] = true // an exception from a denied command
		}
	}
	return g
}

// refuses returns why a command may not be run over WebSocket, "" if it may.
func (g *guard) refuses(args [][]byte) string {
	// region: not for browsers
	if len(args) == 0 {
		return ""
	}
	name := strings.ToLower(string(args[0]))
	full := name
	if len(args) > 1 {
		full += "|" + strings.ToLower(string(args[1]))
	}
	if g.denied[full] || g.denied[name] && !g.denied["!"+full] {
		return "administrative commands are denied over WebSocket"
	}
	if (name == "publish" || name == "spublish") && len(args) > 1 && bytes.HasPrefix(args[1], []byte(presencePrefix)) {
		return "presence is announced by the server only"
	}
	return ""
	// endregion
}

// refusesJSON is refuses for the operation cmd.
func (g *guard) refusesJSON(args [][]byte) string {
	if why := g.refuses(args); why != "" {
		return why
	}
	name := strings.ToLower(string(args[0]))
	if why := ofTheGateway[name]; why != "" {
		return why
	}
	if len(args) > 1 {
		return ofTheGateway[name+"|"+strings.ToLower(string(args[1]))]
	}
	return ""
}

// refusal is the command that the engine gets instead of a refused one. It does not exist. So its error comes
// at the right place among the replies, and makes a transaction fail as Redis's own refusals do. Nothing that
// the gateway could insert into the stream of replies by itself would be as certain.
func refusal(name []byte, why string) [][]byte {
	name = name[:min(len(name), 32)]
	return [][]byte{[]byte(refusedMark + strings.ToUpper(string(name)) + ": " + why)}
}

// refusedMark opens the name of a command that does not exist. Our own engine answers with the text behind
// the mark (see addressedConn), any other engine with its error for unknown commands.
const refusedMark = "refused: "
