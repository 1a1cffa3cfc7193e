package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"

	"byor/pkg/config"
	"byor/pkg/resp"
)

// byor.resp.v1

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

// Security

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
		refused := refusedRaw(strings.ToUpper(words[0]), "administrative commands are denied over WebSocket")
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

func TestOrigin(t *testing.T) {
	g := startGateway(t, func(o *gatewayOptions) { o.Origins = []string{"friend.example", "https://exact.example"} })
	own := strings.TrimPrefix(g.http.URL, "http://")
	for origin, want := range map[string]int{
		"http://" + own: 101, "https://friend.example": 101, "https://exact.example": 101,
		"http://evil.example": 403, "null": 403, "http://localhost:1": 403, "http://exact.example": 403, "http://friend.example.evil.example": 403,
	} {
		status, _ := g.upgrade("Origin", origin)
		require.Equal(t, want, status, origin)
	}
	status, _ := g.upgrade() // no browser
	require.Equal(t, 101, status)
}

func TestHost(t *testing.T) {
	g := startGateway(t, func(o *gatewayOptions) { o.Hosts = []string{"redis.example"} })
	for host, want := range map[string]int{"localhost": 200, "localhost:8080": 200, "127.0.0.1:1": 200, "[::1]:80": 200, "Redis.Example:80": 200,
		"evil.example": 403, "evil.example:8080": 403, "localhost.evil.example": 403} {
		r, _ := g.get("/", "Host", host)
		require.Equal(t, want, r.StatusCode, host)
	}
	status, _ := g.upgrade("Host", "evil.example", "Origin", "http://evil.example")
	require.Equal(t, 403, status, "same-origin to the browser, but rebound")
}

func TestPublicBindNeedsPassword(t *testing.T) {
	for bind, ok := range map[string]bool{"127.0.0.1": true, "::1": true, "localhost": true, "127.8.8.8": true,
		"0.0.0.0": false, "": false, "::": false, "192.168.1.1": false, "example.org": false} {
		o := defaultGatewayOptions()
		o.Bind = bind
		if ok {
			require.NoError(t, o.checkBind(), bind)
			continue
		}
		_, err := newGateway(o).Listen()
		require.ErrorIs(t, err, errPublicBind, bind)
		o.Password = func() string { return "x" }
		require.NoError(t, o.checkBind(), bind)
	}
}

func TestSubprotocolAndConnectionLimit(t *testing.T) {
	g := startGateway(t, func(o *gatewayOptions) { o.MaxConnections = 2 })
	status, _ := g.upgrade("Sec-WebSocket-Protocol", "soap, mqtt")
	require.Equal(t, 400, status)
	status, _ = g.upgrade("Sec-WebSocket-Version", "12")
	require.Equal(t, 400, status)
	taken := func() int {
		g.mu.Lock()
		defer g.mu.Unlock()
		return len(g.sockets) + g.upgrading
	}
	g.eventually(func() bool { return taken() == 0 }, "the place is given back")
	a, b := g.dial(""), g.dial("")
	status, h := g.upgrade()
	require.Equal(t, 503, status)
	require.Equal(t, "1", h.Get("Retry-After"))
	_ = a.Close()
	g.eventually(func() bool { return taken() == 1 }, "a place is free again")
	g.dial("").expect(`{"id":1,"op":"ping"}`, `{"id":1,"result":"PONG"}`)
	b.expect(`{"id":1,"op":"ping"}`, `{"id":1,"result":"PONG"}`)
}

// Frames

func TestMessageSizes(t *testing.T) {
	g := startGateway(t, nil)
	p := g.dial(protoJSON)
	message := func(n int) string {
		frame := `{"id":1,"op":"cmd","args":["STRLEN","` // and then a key, up to n bytes
		return frame + strings.Repeat("k", n-len(frame)-3) + `"]}`
	}
	for _, n := range []int{125, 126, 127, 65535, 65536} { // where the encoding of the length changes, and the limit
		p.expect(message(n), `{"id":1,"result":0}`)
	}
	// In fragments.
	w, err := p.NextWriter(websocket.TextMessage)
	require.NoError(t, err)
	for _, part := range []string{message(65536)[:10], message(65536)[10:40000], message(65536)[40000:]} {
		_, err = w.Write([]byte(part))
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())
	p.expect("", `{"id":1,"result":0}`)
	p.say(message(65537))
	p.expectClose(websocket.CloseMessageTooBig)
}

func TestTooManyFragments(t *testing.T) {
	p := startGateway(t, nil).dial(protoJSON)
	w, err := p.NextWriter(websocket.TextMessage)
	require.NoError(t, err)
	go func() {
		for range 2000 { // it goes on sending, and must see why it was closed all the same
			if _, err := w.Write(make([]byte, 4096)); err != nil {
				return
			}
		}
	}()
	p.expectClose(websocket.CloseMessageTooBig)
}

func TestWrongFrames(t *testing.T) {
	g := startGateway(t, nil)
	p := g.dial(protoJSON)
	p.raw(`{"id":1,"op":"ping"}`)
	p.expectClose(websocket.CloseUnsupportedData)
	p = g.dial(protoRESP)
	p.say("PING\r\n")
	p.expectClose(websocket.CloseUnsupportedData)
	p = g.dial(protoJSON)
	p.say("{\"id\":1,\"op\":\"pub\",\"channel\":\"\xff\"}")
	p.expectClose(websocket.CloseInvalidFramePayloadData)
}

// Time

// A peer that sends pongs, or the fragments of a message one by one, is not
// alive for ever. Without the rules of pong and readMessage this would not end.
func TestTricklingPeerIsDropped(t *testing.T) {
	g := startGateway(t, func(o *gatewayOptions) { o.Ping, o.ReadTimeout = 10*time.Millisecond, 150*time.Millisecond })
	for _, fragments := range []bool{false, true} {
		p := g.dial(protoJSON)
		g.eventually(func() bool { return len(g.open()) == 1 }, "it is there")
		if fragments {
			go func() { _, _, _ = p.ReadMessage() }() // and answers pings
			require.NoError(t, writeFragment(p.NetConn(), websocket.TextMessage, `{"id":`))
		}
		g.eventually(func() bool {
			_ = p.WriteControl(websocket.PongMessage, []byte("0"), time.Now().Add(time.Second))
			if fragments {
				_ = writeFragment(p.NetConn(), 0, " ")
			}
			return len(g.open()) == 0
		}, "it must be dropped")
	}
}

// writeFragment writes an unfinished masked frame by hand; the mask is zero.
func writeFragment(c net.Conn, opcode byte, text string) error {
	_, err := c.Write(append([]byte{opcode, 0x80 | byte(len(text)), 0, 0, 0, 0}, text...))
	return err
}

// Pings keep an idle connection alive through proxies and through our own read
// deadline; who does not answer them is gone.
func TestPings(t *testing.T) {
	t.Parallel() // it waits for a deadline that a busy machine does not miss
	g := startGateway(t, func(o *gatewayOptions) { o.Ping, o.ReadTimeout = 100*time.Millisecond, 2*time.Second })
	alive, deaf := g.dial(protoJSON), g.dial(protoJSON)
	var pings atomic.Int32
	answer := alive.PingHandler()
	alive.SetPingHandler(func(data string) error { pings.Add(1); return answer(data) })
	deaf.SetPingHandler(func(string) error { return nil })
	go func() { _, _, _ = alive.ReadMessage() }()
	go func() { _, _, _ = deaf.ReadMessage() }()
	g.eventually(func() bool { return len(g.open()) == 1 }, "the deaf one is dropped")
	at := pings.Load()
	g.eventually(func() bool { return pings.Load() >= at+40 }, "twice the read deadline")
	require.Len(t, g.open(), 1, "the other one lives")
}

// The handler returns once the socket runs: net/http gives its buffers back.
func TestHandlerReturns(t *testing.T) {
	g := startGateway(t, nil)
	var running atomic.Int32
	g.http.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		running.Add(1)
		defer running.Add(-1)
		g.ServeHTTP(w, r)
	})
	p := g.dial(protoJSON)
	g.eventually(func() bool { return running.Load() == 0 }, "the handler returns")
	p.expect(`{"id":1,"op":"ping"}`, `{"id":1,"result":"PONG"}`)
}

// Delivery

// Replies, pushes, pings, presence and the close all come from different
// goroutines; the race detector and gorilla's own check watch the writer.
func TestOneWriter(t *testing.T) {
	g := startGateway(t, func(o *gatewayOptions) {
		o.Ping, o.PresenceDelay = time.Millisecond, time.Millisecond
		o.MaxQueue = 1 << 30 // being slow is not the point here
	})
	var wg sync.WaitGroup
	stop := make(chan struct{})
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				_, _ = g.engine.do("PUBLISH", "c", strings.Repeat("x", 500))
			}
		}
	})
	var peers sync.WaitGroup
	for i := range 4 {
		peers.Go(func() {
			p := g.dial(protoJSON)
			p.say(`{"id":0,"op":"sub","channels":["c"],"presence":true}`)
			for k := range 100 {
				p.say(fmt.Sprintf(`{"id":%d,"op":"ping"}`, k+1))
				for !strings.Contains(p.hear(), `"PONG"`) {
				}
			}
			if i%2 == 0 {
				_ = p.Close()
			}
		})
	}
	peers.Wait()
	close(stop)
	wg.Wait()
}

// A slow consumer is cut off with 4008 and nobody waits for it.
func TestSlowConsumer(t *testing.T) {
	g := startGateway(t, func(o *gatewayOptions) { o.MaxQueue = 256 << 10 })
	slow, good := g.dial(protoJSON), g.dial(protoJSON)
	slow.expect(`{"id":1,"op":"sub","channels":["c"]}`, `{"id":1,"result":{"subscribed":["c"]}}`)
	good.expect(`{"id":1,"op":"sub","channels":["c"]}`, `{"id":1,"result":{"subscribed":["c"]}}`)
	payload := strings.Repeat("x", 60<<10)
	sent := 0
	for ; g.metrics.closesOf(closeSlow) == 0; sent++ {
		require.Less(t, sent, 10000, "it is never cut off")
		require.Positive(t, g.engineDo("PUBLISH", "c", payload).Int)
		require.Contains(t, good.hear(), payload, "the other one gets everything")
	}
	// It wakes up: what it reads is in order and has no holes, and then it is told.
	for {
		_, data, err := slow.ReadMessage()
		if err != nil {
			require.True(t, websocket.IsCloseError(err, closeSlow), "%v", err)
			break
		}
		for _, line := range strings.Split(string(data), "\n") {
			require.Contains(t, line, payload)
		}
	}
	g.eventually(func() bool { return g.engineDo("PUBLISH", "c", "x").Int == 1 }, "it is no subscriber any more")
}

// After a write has timed out, the connection is of no more use and must go. If the peer reads on soon after all,
// it gets whole frames to the last, and then why it was cut off.
func TestPeerThatDoesNotReadIsDropped(t *testing.T) {
	g := startGateway(t, func(o *gatewayOptions) {
		o.WriteTimeout, o.MaxQueue, o.CloseTimeout = 100*time.Millisecond, 64<<20, time.Minute
	})
	p := g.dial(protoJSON)
	p.expect(`{"id":1,"op":"sub","channels":["c"]}`, `{"id":1,"result":{"subscribed":["c"]}}`)
	payload := strings.Repeat("x", 60<<10)
	g.eventually(func() bool {
		for range 20 {
			g.engineDo("PUBLISH", "c", payload)
		}
		return g.metrics.closesOf(closeSlow) == 1 // by the write deadline: the queue is not full
	}, "it must be dropped")
	for {
		_, _, err := p.ReadMessage()
		if err != nil {
			require.True(t, websocket.IsCloseError(err, closeSlow), "%v", err)
			break
		}
	}
	g.eventually(func() bool { return len(g.open()) == 0 }, "it is gone")
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

// A browser that fires off more operations than may be on their way has to
// wait, and all are answered.
func TestManyOperationsAtOnce(t *testing.T) {
	p := startGateway(t, nil).dial(protoJSON)
	line := `{"op":"ping"}` + "\n"
	const each, messages = 4000, 3
	go func() {
		for range messages {
			_ = p.WriteMessage(websocket.TextMessage, []byte(strings.Repeat(line, each)))
		}
	}()
	for range each * messages {
		require.JSONEq(t, `{"id":null,"result":"PONG"}`, p.hear())
	}
}

func TestSessionKilled(t *testing.T) {
	g := startGateway(t, nil)
	p := g.dial(protoJSON)
	p.say(`{"id":1,"op":"hello"}`)
	p.hear()
	require.Equal(t, int64(1), g.engineDo("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes").Int)
	if own { // any other engine just hangs up
		p.expectClose(websocket.ClosePolicyViolation)
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
	q := g.dial(protoJSON)
	_ = q.WriteMessage(websocket.TextMessage, []byte(`{"id":1,"op":"ping"}`))
	code, reason := q.closed()
	require.Contains(t, []int{websocket.CloseTryAgainLater, websocket.CloseInternalServerErr}, code, reason)
}

// Drain

func TestDrain(t *testing.T) {
	g := startGateway(t, nil)
	p, q := g.dial(protoJSON), g.dial(protoRESP)
	p.expect(`{"id":1,"op":"ping"}`, `{"id":1,"result":"PONG"}`)
	q.raw(command("PING"))
	q.hearRaw("+PONG\r\n")
	r, _ := g.get("/readyz")
	require.Equal(t, 200, r.StatusCode)
	p.say(`{"id":2,"op":"cmd","args":["BLPOP","list",0.3]}`)
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
	p.say(`{"id":3,"op":"ping"}`) // too late
	p.expect("", `{"id":2,"result":null}`, `{"push":"goodbye","code":1001,"reason":"shutdown","reconnectMs":[500,5000]}`)
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

func TestListenAndServe(t *testing.T) {
	o := defaultGatewayOptions()
	o.Dial, o.Port = startEngine(t), 0
	g := newGateway(o)
	l, err := g.Listen()
	require.NoError(t, err)
	served := make(chan error)
	go func() { served <- g.Serve(l) }()
	r, err := http.Get("http://" + l.Addr().String() + "/healthz")
	require.NoError(t, err)
	_ = r.Body.Close()
	require.Equal(t, 200, r.StatusCode)
	require.NoError(t, g.Drain(t.Context()))
	require.ErrorIs(t, <-served, http.ErrServerClosed)
}

func TestPortTaken(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = l.Close() }()
	o := defaultGatewayOptions()
	o.Port = l.Addr().(*net.TCPAddr).Port
	_, page, err := openGateway(o)
	require.NoError(t, err, "the default port is done without")
	require.Empty(t, page)
	o.PortChosen = true
	_, _, err = openGateway(o)
	require.ErrorContains(t, err, "http-port")
	o.Port, o.Dial = 0, startEngine(t)
	g, page, err := openGateway(o)
	require.NoError(t, err)
	require.Empty(t, page)
	require.NoError(t, g.Drain(t.Context()))
}

// The rest

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

func TestMetricsAndHealth(t *testing.T) {
	g := startGateway(t, nil)
	p := g.dial(protoJSON)
	p.expect(`{"id":1,"op":"ping"}`, `{"id":1,"result":"PONG"}`)
	r, body := g.get("/healthz")
	require.Equal(t, 200, r.StatusCode)
	require.Equal(t, "ok\n", body)
	_, body = g.get("/metrics")
	for _, want := range []string{"\nbyor_ws_connections 1\n", "\nbyor_ws_operations_total 1\n", "\nbyor_up 1\n", "\nbyor_info_connected_clients 2\n"} {
		require.Contains(t, body, want)
	}
	r, _ = g.get("/debug/pprof/")
	require.Equal(t, 404, r.StatusCode)
	g.engine.close()
	g.engine.opts.Dial = func(net.Addr) (net.Conn, error) { return nil, net.ErrClosed }
	_, body = g.get("/metrics")
	require.Contains(t, body, "\nbyor_up 0\n")
	r, _ = g.get("/readyz")
	require.Equal(t, 503, r.StatusCode)
	status, _ := g.upgrade()
	require.Equal(t, 503, status)
}

func TestReadyOfReplicaWithoutLink(t *testing.T) {
	g := startGateway(t, nil, "--replicaof", "127.0.0.1 1")
	r, body := g.get("/readyz")
	require.Equal(t, 503, r.StatusCode)
	require.Contains(t, body, "link")
}

func TestPage(t *testing.T) {
	g := startGateway(t, nil)
	r, page := g.get("/")
	require.Equal(t, 200, r.StatusCode)
	require.Contains(t, r.Header.Get("Content-Security-Policy"), "default-src 'self'")
	require.Contains(t, page, `src="app.js"`)
	for _, file := range []string{"app.js", "link.js", "resp.js", "console.js", "lab.js", "keys.js", "server.js", "slow.js", "style.css"} {
		r, text := g.get("/" + file)
		require.Equal(t, 200, r.StatusCode, file)
		page += text
	}
	for _, never := range []string{"innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "https://", "http://"} {
		require.NotContains(t, page, never)
	}
}

func TestSettings(t *testing.T) {
	o := defaultGatewayOptions()
	for _, s := range [][2]string{{"HTTP-port", "0"}, {"ws-queue", "2mb"}, {"ws-ping", "1.5"}, {"ws-origins", "A.example, b.example"}, {"ws-compression", "yes"}, {"ws-ops-rate", "0"}} {
		known, err := o.Set(s[0], s[1])
		require.True(t, known, s)
		require.NoError(t, err)
	}
	require.Equal(t, 2<<20, o.MaxQueue)
	require.Equal(t, 1500*time.Millisecond, o.Ping)
	require.Equal(t, []string{"a.example", "b.example"}, o.Origins)
	require.True(t, o.Compression)
	for _, s := range [][2]string{{"http-port", "70000"}, {"ws-queue", "x"}, {"ws-queue", "0"}, {"ws-ping", "0"}, {"ws-ping", "nan"}, {"http-pprof", "maybe"}, {"ws-ops-rate", "-1"}} {
		known, err := o.Set(s[0], s[1])
		require.True(t, known, s)
		require.ErrorContains(t, err, s[0])
	}
	cfg := config.Default()
	cfg.Others = o.Set
	dir := t.TempDir()
	file := filepath.Join(dir, "redis.conf")
	require.NoError(t, os.WriteFile(file, []byte("port 1\nhttp-port 80\nws-origins a.example b.example\n"), 0o644))
	require.NoError(t, cfg.ParseArgs([]string{file, "--http-port", "81", "--save", "", "--WS-allow-commands", "config|get", "flushall", "--dir", dir}))
	require.Equal(t, int64(1), cfg.Port)
	require.Equal(t, dir, cfg.Dir)
	require.Equal(t, 81, o.Port, "the command line comes after the file")
	require.Equal(t, []string{"a.example", "b.example"}, o.Origins)
	require.Equal(t, []string{"config|get", "flushall"}, o.Allow)
	require.ErrorContains(t, cfg.ParseArgs([]string{"--http-port", "x"}), `http-port: "x" is no number`)
	require.ErrorContains(t, cfg.ParseArgs([]string{"--http-port"}), "wrong number of arguments")
	require.ErrorContains(t, cfg.ParseArgs([]string{"--http-nope", "1"}), "Bad directive")
	known, err := o.Set("maxmemory", "1")
	require.True(t, o.Has("WS-ping"))
	require.False(t, o.Has("maxmemory"))
	require.False(t, known)
	require.NoError(t, err)
}
