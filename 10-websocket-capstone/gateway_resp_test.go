package main

import (
	"strings"
	"testing"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"
)

// byor.resp.v1: a TCP connection in frames.

func TestRESPIsWhatTCPIs(t *testing.T) {
	g := startGateway(t, nil)
	p := g.dial(protoRESP)
	// All of several commands in one frame, not only the first; inline ones too.
	p.raw(command("SET", "k", "v") + command("GET", "k") + "INCR n\r\n\r\n" + command("GET", "nosuch"))
	p.hearRaw("+OK\r\n$1\r\nv\r\n:1\r\n$-1\r\n")
}

func TestRESPFramesAreNotCommands(t *testing.T) {
	p := startGateway(t, nil).dial(protoRESP)
	stream := []byte(command("SET", "k", "a\x00\xffb") + command("GET", "k"))
	for i := range stream {
		p.raw(string(stream[i : i+1]))
	}
	p.hearRaw("+OK\r\n$4\r\na\x00\xffb\r\n")
	p.raw(command("HELLO", "3"))
	kind, data, err := p.ReadMessage()
	require.NoError(t, err)
	require.Equal(t, websocket.BinaryMessage, kind)
	require.Equal(t, byte('%'), data[0], "RESP2 first, HELLO 3 upgrades")
	p.raw(command("SUBSCRIBE", "c") + command("PUBLISH", "c", "hi"))
	p.hearRaw(">3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n" + ">3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$2\r\nhi\r\n" + ":1\r\n")
}

func TestRESPLogin(t *testing.T) {
	p := startGateway(t, withPassword, "--requirepass", "secret").dial(protoRESP)
	p.raw(command("GET", "k"))
	p.hearRaw("-NOAUTH Authentication required.\r\n")
	p.raw(command("AUTH", "secret") + command("SET", "k", "v") + command("GET", "k"))
	p.hearRaw("+OK\r\n+OK\r\n$1\r\nv\r\n")
}

func TestRESPProtocolErrorAndQuit(t *testing.T) {
	g := startGateway(t, nil)
	p := g.dial(protoRESP)
	p.raw(command("PING") + "*1\r\nx\r\n")
	p.hearRaw("+PONG\r\n-ERR Protocol error: expected '$', got 'x'\r\n")
	p.expectClose(websocket.CloseInvalidFramePayloadData)
	q := g.dial(protoRESP)
	q.raw(command("QUIT"))
	q.hearRaw("+OK\r\n")
	q.expectClose(websocket.CloseNormalClosure)
}

func TestRESPIsReadMoreSlowlyWhenTooFast(t *testing.T) {
	p := startGateway(t, func(o *gatewayOptions) { o.OpsRate, o.OpsBurst = 1000, 10 }).dial(protoRESP)
	p.raw(strings.Repeat(command("PING"), 60))
	p.hearRaw(strings.Repeat("+PONG\r\n", 60)) // later, but all of them
}

// ws-subscriptions holds in byor.resp.v1, too: over several commands, for each kind, and inside MULTI.
func TestRawSubscriptionsHaveALimit(t *testing.T) {
	g := startGateway(t, func(o *gatewayOptions) { o.MaxSubscriptions = 3 })
	p := g.dial(protoRESP)
	p.raw(command("SUBSCRIBE", "a", "b") + command("PSUBSCRIBE", "x*") + command("SUBSCRIBE", "a") + command("SSUBSCRIBE", "s"))
	p.hearRaw("*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n*3\r\n$9\r\nsubscribe\r\n$1\r\nb\r\n:2\r\n" +
		"*3\r\n$10\r\npsubscribe\r\n$2\r\nx*\r\n:3\r\n*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:3\r\n" + refusedRaw(t, "SSUBSCRIBE", "too many subscriptions"))
	p.raw(command("UNSUBSCRIBE", "b") + command("SSUBSCRIBE", "s"))
	p.hearRaw("*3\r\n$11\r\nunsubscribe\r\n$1\r\nb\r\n:2\r\n*3\r\n$10\r\nssubscribe\r\n$1\r\ns\r\n:1\r\n")
	q := g.dial(protoRESP)
	q.raw(command("MULTI") + command("SUBSCRIBE", "1", "2", "3", "4") + command("EXEC"))
	q.hearRaw("+OK\r\n" + refusedRaw(t, "SUBSCRIBE", "subscriptions change outside of MULTI only") + "-EXECABORT Transaction discarded because of previous errors.\r\n")
}

// The stream is cut at the same places however it arrives, and nothing of it is lost.
func TestStreamsAreCutByKind(t *testing.T) {
	const message = "*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$4\r\n*3\r\n\r\n"
	const replies = "+OK\r\n*3\r\n$7\r\nmessagf\r\n$-1\r\n*1\r\n:1\r\n%1\r\n+a\r\n$0\r\n\r\n*-1\r\n|1\r\n+k\r\n+v\r\n*0\r\n,1.5\r\n#t\r\n_\r\n(1\r\n=5\r\ntxt:x\r\n!1\r\nx\r\n~1\r\n:1\r\n-ERR " +
		"a line that is longer than what of it is looked at\r\n*4\r\n$8\r\npmessagx\r\n:1\r\n:2\r\n:3\r\n"
	const push = ">2\r\n+invalidate\r\n*1\r\n$3\r\n>>>\r\n"
	stream := replies + message + push + replies + push + "*4\r\n$8\r\npmessage\r\n$1\r\n*\r\n$1\r\nc\r\n$1\r\nx\r\n" + replies
	for size := 1; size <= len(stream); size++ {
		var c respCutter
		var of [2]strings.Builder
		var all strings.Builder
		var held []byte
		for rest := []byte(stream); len(rest) > 0; {
			b := append(held, rest[:min(size, len(rest))]...)
			rest = rest[min(size, len(rest)):]
			for len(b) > 0 {
				n, push := c.next(b)
				if n == 0 {
					break
				}
				i := 0
				if push {
					i = 1
				}
				of[i].Write(b[:n])
				all.Write(b[:n])
				b = b[n:]
			}
			held = b
		}
		require.Empty(t, held)
		require.False(t, c.lost)
		require.Equal(t, stream, all.String())
		require.Equal(t, replies+replies+replies, of[0].String(), "in pieces of %d", size)
	}
	var c respCutter
	n, push2 := c.next([]byte("\x00\xff\n>1\r\n"))
	require.Equal(t, 7, n)
	require.False(t, push2, "what is no stream of values is passed on")
}
