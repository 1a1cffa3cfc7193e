package main

import (
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"byor/pkg/config"
)

// Who comes in: the page, the addresses beside it, and what a request must say to become a WebSocket.

func TestPage(t *testing.T) {
	g := startGateway(t, nil)
	r, page := g.get("/")
	require.Equal(t, 200, r.StatusCode)
	require.Contains(t, r.Header.Get("Content-Security-Policy"), "default-src 'self'")
	require.Contains(t, page, `src="app.js"`)
	files, err := fs.Glob(webFiles, "web/*.*s")
	require.NoError(t, err)
	require.Contains(t, files, "web/app.js")
	require.Contains(t, files, "web/style.css")
	for _, file := range files {
		r, text := g.get(strings.TrimPrefix(file, "web"))
		require.Equal(t, 200, r.StatusCode, file)
		page += text
	}
	for _, never := range []string{"innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "https://", "http://"} {
		require.NotContains(t, page, never)
	}
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
	g.opts.Attach = nil
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
