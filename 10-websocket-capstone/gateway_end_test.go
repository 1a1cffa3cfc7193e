package main

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"

	"byor/pkg/resp"
)

// How sessions end: by the engine, by CLIENT KILL, and with the server.

func TestDialInMemory(t *testing.T) {
	addr := &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 77}
	seen := make(chan net.Addr, 1)
	conn, err := dialInMemory(func(c net.Conn) {
		seen <- c.RemoteAddr()
		_, _ = c.Write([]byte("+hi\r\n"))
		_ = c.Close()
	})(addr)
	require.NoError(t, err)
	require.Equal(t, addr, <-seen)
	v, err := resp.NewReader(conn).ReadValue()
	require.NoError(t, err)
	require.Equal(t, "hi", string(v.Str))
}

func TestSessionKilled(t *testing.T) {
	g := startGateway(t, nil)
	p := g.dial(protoJSON)
	p.say(`{"id":1,"op":"hello"}`)
	p.hear()
	require.Equal(t, int64(1), g.engineDo("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes").Int)
	if ownOf(t) != nil { // any other engine just hangs up
		p.expectClose(closeKilled)
	} else {
		p.expectClose(websocket.CloseInternalServerErr)
	}
	g.eventually(func() bool { return len(g.open()) == 0 }, "it is gone")
}

func TestEngineFull(t *testing.T) {
	g := startGateway(t, nil, "--maxclients", "2")
	g.engineDo("PING")
	p := g.dial(protoJSON)
	p.expect(`{"id":1,"op":"ping"}`, `{"id":1,"result":"PONG"}`)
	if ownOf(t) != nil { // it says so before the upgrade
		status, h := g.upgrade()
		require.Equal(t, 503, status)
		require.NotEmpty(t, h.Get("Retry-After"))
		return
	}
	q := g.dial(protoJSON)
	_ = q.WriteMessage(websocket.TextMessage, []byte(`{"id":1,"op":"ping"}`))
	code, reason := q.closed()
	require.Contains(t, []int{websocket.CloseTryAgainLater, websocket.CloseInternalServerErr}, code, reason)
}

func TestDrain(t *testing.T) {
	g := startGateway(t, nil)
	p, q := g.dial(protoJSON), g.dial(protoRESP)
	p.expect(`{"id":1,"op":"ping"}`, `{"id":1,"result":"PONG"}`)
	q.raw(command("PING"))
	q.hearRaw("+PONG\r\n")
	r, _ := g.get("/readyz")
	require.Equal(t, 200, r.StatusCode)
	p.say(`{"id":2,"op":"cmd","args":["BLPOP","list",0]}`)
	g.eventually(func() bool {
		info, err := g.engine.info("clients")
		require.NoError(t, err)
		for _, f := range info {
			if f[0] == "blocked_clients" {
				return f[1] == "1"
			}
		}
		return false
	}, "the command is in flight")
	drained := make(chan error)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	go func() { drained <- g.Drain(ctx) }()
	g.eventually(func() bool { r, _ := g.get("/readyz"); return r.StatusCode == 503 }, "not ready any more")
	status, h := g.upgrade()
	require.Equal(t, 503, status)
	require.NotEmpty(t, h.Get("Retry-After"))
	g.eventually(func() bool {
		for _, s := range g.open() {
			if !s.draining.Load() {
				return false
			}
		}
		return true
	}, "each socket knows")
	p.say(`{"id":3,"op":"ping"}`) // too late
	g.engineDo("LPUSH", "list", "x")
	p.expect("", `{"id":2,"result":["list","x"]}`, `{"push":"goodbye","code":1001,"reason":"shutdown","reconnectMs":[500,5000]}`)
	p.expectClose(websocket.CloseGoingAway)
	q.expectClose(websocket.CloseGoingAway)
	require.NoError(t, <-drained)
	require.Empty(t, g.open())
}

// A peer that does not hang up is cut off when the time is over.
func TestDrainDoesNotWaitForEver(t *testing.T) {
	g := startGateway(t, func(o *gatewayOptions) { o.CloseTimeout = time.Hour })
	g.dial(protoJSON)
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, g.Drain(ctx), context.DeadlineExceeded)
	require.Empty(t, g.open())
}

// Who is being let in while Drain begins is sent away like the others, and not cut off at its end.
func TestDrainFindsWhoIsBeingLetIn(t *testing.T) {
	var g *testGateway
	drained := make(chan error, 1)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	g = startGateway(t, func(o *gatewayOptions) {
		dial := o.Dial
		o.Dial = func(remote net.Addr) (net.Conn, error) { // a place is taken, and there is no socket yet
			go func() { drained <- g.Drain(ctx) }()
			g.eventually(g.draining.Load, "draining")
			return dial(remote)
		}
	})
	p := g.dial(protoJSON)
	p.expect("", `{"push":"goodbye","code":1001,"reason":"shutdown","reconnectMs":[500,5000]}`)
	p.expectClose(websocket.CloseGoingAway)
	require.NoError(t, <-drained)
}
