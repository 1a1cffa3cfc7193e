package main

import (
	"bytes"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// What a peer may say, and how often.

func TestBucket(t *testing.T) {
	now := time.Unix(0, 0)
	b := newBucket(10, 3, now)
	for range 3 {
		require.Zero(t, b.take(now))
	}
	require.Equal(t, 100*time.Millisecond, b.take(now).Round(time.Microsecond))
	now = now.Add(100 * time.Millisecond)
	require.Zero(t, b.take(now))
	require.NotZero(t, b.take(now))
	now = now.Add(time.Hour)
	for range 3 {
		require.Zero(t, b.take(now))
	}
	require.NotZero(t, b.take(now), "it never holds more than the burst")
	unlimited := newBucket(0, 0, now)
	for range 100 {
		require.Zero(t, unlimited.take(now))
	}
	require.False(t, math.Signbit(b.tokens))
}

func TestRate(t *testing.T) {
	p := startGateway(t, func(o *gatewayOptions) { o.OpsRate, o.OpsBurst = 0.001, 5 }).dial(protoJSON)
	for i := range 5 {
		p.expect(fmt.Sprintf(`{"id":%d,"op":"ping"}`, i), fmt.Sprintf(`{"id":%d,"result":"PONG"}`, i))
	}
	for range 5 { // first it is told so
		p.expect(`{"id":9,"op":"ping"}`, `{"id":9,"error":{"code":"RATE","message":"too many operations a second; wait a moment","retry":true}}`)
	}
	p.say(`{"id":9,"op":"ping"}`)
	p.expectClose(closeRate)
}

// What a page must not do, it must not do by any way into the gateway.
func TestAdministrationIsDenied(t *testing.T) {
	g := startGateway(t, nil)
	p, q := g.dial(protoJSON), g.dial(protoRESP)
	for i, line := range []string{"CONFIG GET x", "config set maxmemory 1", "REPLICAOF no one", "DEBUG JMAP", "SHUTDOWN", "FLUSHALL", "SAVE",
		"BGSAVE", "CLIENT KILL x", "client list", "MONITOR", "ACL LIST", "Sync"} {
		words := strings.Fields(line)
		p.expect(fmt.Sprintf(`{"id":%d,"op":"cmd","args":["%s"]}`, i, strings.Join(words, `","`)), denied(i, "administrative commands are denied over WebSocket"))
		// In a frame with others, by the array form and inline; the others run.
		q.raw(command("INCR", "n") + command(words...) + line + "\r\n" + command("INCR", "n"))
		refused := refusedRaw(t, strings.ToUpper(words[0]), "administrative commands are denied over WebSocket")
		q.hearRaw(fmt.Sprintf(":%d\r\n%s%s:%d\r\n", 2*i+1, refused, refused, 2*i+2))
	}
	for _, name := range []string{"SUBSCRIBE", "HELLO", "RESET", "QUIT"} {
		p.say(`{"id":1,"op":"cmd","args":["` + name + `","x"]}`)
		require.Contains(t, p.hear(), `"NOPERM"`)
	}
	p.say(`{"id":1,"op":"cmd","args":["CLIENT","REPLY","OFF"]}`)
	require.Contains(t, p.hear(), `"NOPERM"`)
	p.say(`{"id":1,"op":"cmd","args":["CLIENT","ID"]}`)
	require.Contains(t, p.hear(), `"result"`)
}

func TestAdministrationMayBeAllowed(t *testing.T) {
	words := func(s string) [][]byte { return bytes.Fields([]byte(s)) }
	g := newGuard([]string{"config|get", "FlushAll"})
	require.Empty(t, g.refuses(words("CONFIG GET x")))
	require.Empty(t, g.refuses(words("flushall")))
	require.NotEmpty(t, g.refuses(words("CONFIG SET x y")))
	require.NotEmpty(t, g.refuses(words("CONFIG")))
	require.NotEmpty(t, g.refuses(words("SHUTDOWN")))
	require.Empty(t, newGuard([]string{"config"}).refuses(words("CONFIG SET x y")))
	require.Empty(t, g.refuses(nil))
}
