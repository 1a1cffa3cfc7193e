package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"

	"byor/pkg/config"
	"byor/pkg/history"
	"byor/pkg/redistest"
	"byor/pkg/resp"
	"byor/pkg/server"
)

const patience = time.Minute // for what must happen; nothing waits this long unless it fails

// ownEngine is what is known of our own engine in a test that runs with it. It knows what was refused and why a
// session ended, which a real Redis does not.
type ownEngine struct {
	attach  attachFunc               // attaches browsers to the server that startOwn has started last
	gateway *atomic.Pointer[gateway] // where that server's INFO looks for the gateway
}

// ownEngines are those of the tests that run now, by the tests' names.
var ownEngines sync.Map

// withOwnEngine lets a test run with our own engine behind the gateway, and the tests in it.
func withOwnEngine(t *testing.T) {
	ownEngines.Store(t.Name(), new(ownEngine))
	t.Cleanup(func() { ownEngines.Delete(t.Name()) })
}

// ownOf returns the test's ownEngine, nil if a real Redis stands behind the gateway.
func ownOf(t *testing.T) *ownEngine {
	for name := t.Name(); ; name = name[:strings.LastIndexByte(name, '/')] {
		if own, ok := ownEngines.Load(name); ok {
			return own.(*ownEngine)
		}
		if !strings.Contains(name, "/") {
			return nil
		}
	}
}

// refusedRaw is the answer to a forbidden command in byor.resp.v1. A foreign engine takes what the gateway
// sends in its place for a command that it does not know.
func refusedRaw(t *testing.T, name, why string) string {
	if ownOf(t) != nil {
		return "-NOPERM " + name + ": " + why + "\r\n"
	}
	return "-ERR unknown command 'refused: " + name + ": " + why + "', with args beginning with: \r\n"
}

// startEngine starts what stands behind the gateway in this test.
func startEngine(t *testing.T, args ...string) dialFunc {
	t.Helper()
	if ownOf(t) != nil {
		return startOwn(t, args...)
	}
	return startRedis(t, args...)
}

// startOwn starts our own server inside the process, as main does.
func startOwn(t *testing.T, args ...string) dialFunc {
	t.Helper()
	srv, own := ownServer(t, args...), ownOf(t)
	own.attach = func(p server.Peer) (io.WriteCloser, error) { return srv.Attach(p) }
	t.Cleanup(func() { own.attach = nil })
	return dialInMemory(srv.ServeConn)
}

func ownServer(t *testing.T, args ...string) *server.Server {
	t.Helper()
	set, err := readSettings(append([]string{"--port", "0", "--dir", t.TempDir(), "--save", ""}, args...), (*config.Config).ParseArgs)
	require.NoError(t, err)
	at := &atomic.Pointer[gateway]{}
	if own := ownOf(t); own != nil {
		own.gateway = at
	}
	srv := server.New(set.cfg, server.Options{Log: server.LogTo(io.Discard), Beside: infoSection(at), ReservedChannels: presencePrefix, History: history.New(set.opts.History)})
	require.NoError(t, srv.Start())
	t.Cleanup(func() { _ = srv.Shutdown(context.Background(), server.ShutdownMode{NoSave: true, Now: true}) })
	return srv
}

// startRedis starts a real redis-server on a unix socket and returns how to
// reach it. The gateway does not know what stands behind its dialFunc; the real
// thing is the strictest engine there is.
func startRedis(t *testing.T, args ...string) dialFunc {
	t.Helper()
	sock := redistest.StartSocket(t, args...)
	return func(net.Addr) (net.Conn, error) { return net.Dial("unix", sock) }
}

// testGateway is a gateway behind an HTTP server.
type testGateway struct {
	*gateway
	t    *testing.T
	http *httptest.Server
}

// startGateway starts a gateway before an engine; change may alter the options.
func startGateway(t *testing.T, change func(o *gatewayOptions), engineArgs ...string) *testGateway {
	t.Helper()
	o := defaultGatewayOptions()
	o.Dial = startEngine(t, engineArgs...)
	o.CloseTimeout = time.Second
	o.PresenceDelay = 20 * time.Millisecond
	o.OpsRate = 0
	if change != nil {
		change(&o)
	}
	own := ownOf(t)
	if own != nil && o.Attach == nil {
		o.Attach = own.attach
	}
	g := newGateway(o)
	if own != nil && own.gateway != nil {
		own.gateway.Store(g)
	}
	srv := httptest.NewUnstartedServer(g)
	srv.Listener = g.secured(unsentListener{srv.Listener}) // as Listen does
	srv.Start()
	srv.URL = o.scheme() + strings.TrimPrefix(srv.URL, "http")
	t.Cleanup(func() {
		for _, s := range g.open() {
			s.teardown()
		}
		srv.Close()
		g.presence.close()
		g.queues.Close()
		g.engine.close()
	})
	return &testGateway{g, t, srv}
}

// engineDo runs a command directly in the engine, as redis-cli would.
func (g *testGateway) engineDo(args ...string) resp.Value {
	g.t.Helper()
	v, err := g.engine.do(args...)
	require.NoError(g.t, err)
	return v
}

func (g *testGateway) url() string { return "ws" + strings.TrimPrefix(g.http.URL, "http") + "/ws" }

// peer is a WebSocket client.
type peer struct {
	*websocket.Conn
	t     *testing.T
	lines []string // received in a frame with others and not yet asked for
}

func (g *testGateway) dial(proto string) *peer {
	g.t.Helper()
	d := websocket.Dialer{HandshakeTimeout: patience}
	if proto != "" {
		d.Subprotocols = []string{proto}
	}
	c, r, err := d.Dial(g.url(), nil)
	if errors.Is(err, websocket.ErrBadHandshake) {
		body, _ := io.ReadAll(r.Body)
		require.Failf(g.t, "no WebSocket", "%s %s", r.Status, body)
	}
	require.NoError(g.t, err)
	require.Equal(g.t, proto, r.Header.Get("Sec-WebSocket-Protocol"))
	g.t.Cleanup(func() { _ = c.Close() })
	require.NoError(g.t, c.SetReadDeadline(time.Now().Add(patience)))
	return &peer{Conn: c, t: g.t}
}

func (p *peer) say(text string) {
	p.t.Helper()
	require.NoError(p.t, p.WriteMessage(websocket.TextMessage, []byte(text)))
}

// hear returns the next JSON message.
func (p *peer) hear() string {
	p.t.Helper()
	if len(p.lines) == 0 {
		kind, data, err := p.ReadMessage()
		require.NoError(p.t, err)
		require.Equal(p.t, websocket.TextMessage, kind)
		p.lines = strings.Split(string(data), "\n")
	}
	line := p.lines[0]
	p.lines = p.lines[1:]
	require.True(p.t, json.Valid([]byte(line)), line)
	return line
}

// expect says something, unless it is empty, and checks the answers.
func (p *peer) expect(say string, answers ...string) {
	p.t.Helper()
	if say != "" {
		p.say(say)
	}
	for _, want := range answers {
		require.JSONEq(p.t, want, p.hear(), say)
	}
}

// closed waits for the close frame and returns its code and reason.
func (p *peer) closed() (int, string) {
	p.t.Helper()
	for {
		_, _, err := p.ReadMessage()
		if err == nil {
			continue
		}
		var ce *websocket.CloseError
		require.True(p.t, errors.As(err, &ce), "no close frame but: %v", err)
		return ce.Code, ce.Text
	}
}

func (p *peer) expectClose(code int) {
	p.t.Helper()
	got, reason := p.closed()
	require.Equal(p.t, code, got, reason)
}

// raw sends bytes in one binary frame.
func (p *peer) raw(b string) {
	p.t.Helper()
	require.NoError(p.t, p.WriteMessage(websocket.BinaryMessage, []byte(b)))
}

// hearRaw reads binary frames until all of want is there.
func (p *peer) hearRaw(want string) {
	p.t.Helper()
	var got []byte
	for len(got) < len(want) {
		kind, data, err := p.ReadMessage()
		require.NoError(p.t, err, "so far: %q", got)
		require.Equal(p.t, websocket.BinaryMessage, kind)
		got = append(got, data...)
	}
	require.Equal(p.t, want, string(got))
}

// get fetches a page with some headers ("Host" too).
func (g *testGateway) get(path string, headers ...string) (*http.Response, string) {
	g.t.Helper()
	req, err := http.NewRequest("GET", g.http.URL+path, nil)
	require.NoError(g.t, err)
	for i := 0; i < len(headers); i += 2 {
		if headers[i] == "Host" {
			req.Host = headers[i+1]
		}
		req.Header.Set(headers[i], headers[i+1])
	}
	r, err := http.DefaultClient.Do(req)
	require.NoError(g.t, err)
	defer func() { _ = r.Body.Close() }()
	var body bytes.Buffer
	if r.StatusCode == http.StatusSwitchingProtocols {
		return r, "" // it is a WebSocket now and would not end
	}
	_, err = body.ReadFrom(r.Body)
	require.NoError(g.t, err)
	return r, body.String()
}

// upgrade asks for a WebSocket by hand and returns the status.
func (g *testGateway) upgrade(headers ...string) (int, http.Header) {
	g.t.Helper()
	r, _ := g.get("/ws", append([]string{"Connection", "Upgrade", "Upgrade", "websocket",
		"Sec-WebSocket-Version", "13", "Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="}, headers...)...)
	return r.StatusCode, r.Header
}

func (g *testGateway) eventually(cond func() bool, what string) {
	g.t.Helper()
	require.Eventually(g.t, cond, patience, 2*time.Millisecond, what)
}

func command(args ...string) string {
	return string(resp.AppendCommandStrings(nil, args...))
}

func denied(id int, why string) string {
	return fmt.Sprintf(`{"id":%d,"error":{"code":"NOPERM","message":%q,"retry":false}}`, id, why)
}
