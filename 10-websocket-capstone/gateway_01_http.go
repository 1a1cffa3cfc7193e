package main

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log"
	"net"
	"net/http"
	"net/http/pprof"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"byor/pkg/queue"
)

// The gateway lets browsers in: a page, a WebSocket with two subprotocols, and three addresses for
// monitoring. Each WebSocket has a session of the engine of its own, to which the gateway speaks RESP. So a browser is
// a client like any other: it has the same commands, the same limits, a line of its own in CLIENT LIST. Only what
// carries the session is different: no connection, but function calls. A published message comes as it is, is encoded
// once for all sockets, and takes no goroutine until it is written.
//
// The files bear the numbers of the stations that a message passes, in and out again. Two files with one
// number are the same station of the two protocols. Files beside the way have no number.

//go:embed web
var webFiles embed.FS

// gateway is an http.Handler. It is safe for concurrent use.
type gateway struct {
	opts     gatewayOptions
	guard    *guard
	engine   *engineClient
	presence *presence
	metrics  metrics
	pushes   pushCache
	writers  writers
	upgrader websocket.Upgrader
	mux      *http.ServeMux

	queues *queue.Queues
	jobs   jobCache

	requests httpRequests
	commands http.Handler // of plain HTTP
	table    commandTable

	draining  latch
	mu        sync.Mutex // protects what follows
	sockets   map[*socket]struct{}
	upgrading int // places of sockets being opened and of HTTP requests, so that the limit holds
	sweeping  bool
	server    *http.Server
}

// openGateway makes a gateway and, unless its port is 0, serves it in the background. page is its address.
// It is "" if the port is 0, or if it is the default one and another program has it.
func openGateway(opts gatewayOptions) (g *gateway, page string, err error) {
	g = newGateway(opts)
	if opts.Port == 0 {
		return g, "", nil
	}
	l, err := g.Listen()
	if err != nil && !opts.PortChosen && !errors.Is(err, errPublicBind) {
		g.opts.Logf("gateway: no page: %v; choose another with --http-port", err)
		return g, "", nil
	}
	if err != nil {
		return nil, "", err
	}
	go g.serveAndLog(l)
	return g, g.opts.scheme() + "://" + l.Addr().String() + "/", nil
}

// newGateway returns a gateway. It does nothing until somebody asks for a page.
func newGateway(opts gatewayOptions) *gateway {
	if opts.Logf == nil {
		opts.Logf = func(string, ...any) {}
	}
	g := &gateway{opts: opts, guard: newGuard(opts.Allow), sockets: map[*socket]struct{}{}, mux: http.NewServeMux()}
	g.writers.most = runtime.GOMAXPROCS(0)
	g.engine = &engineClient{opts: &g.opts}
	g.openQueues()
	g.requests.addresses.rate, g.requests.addresses.burst = opts.OpsRate, opts.OpsBurst
	g.presence = newPresence(opts.PresenceDelay, func(channel string, payload []byte) {
		if _, err := g.engine.do("PUBLISH", presencePrefix+channel, string(payload)); err != nil {
			g.opts.Logf("gateway: publishing presence: %v", err)
		}
	})
	g.upgrader = websocket.Upgrader{
		// Most connections are idle most of the time, so buffers are small, and a connection has one
		// for writing only while it writes.
		ReadBufferSize: 256, WriteBufferSize: 4096, WriteBufferPool: &sync.Pool{},
		HandshakeTimeout:  5 * time.Second,
		Subprotocols:      []string{protoJSON, protoRESP},
		CheckOrigin:       g.opts.originAllowed,
		EnableCompression: opts.Compression,
	}
	g.routes()
	return g
}

func (g *gateway) routes() {
	web, err := fs.Sub(webFiles, "web")
	if err != nil {
		panic(err) // the folder is compiled in
	}
	g.mux.Handle("GET /", http.FileServerFS(web))
	g.mux.HandleFunc("GET /client.script.js", serveClientScript)
	g.mux.HandleFunc("GET /ws", g.serveSocket)
	g.mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) })
	g.mux.HandleFunc("GET /readyz", g.serveReady)
	g.mux.HandleFunc("GET /metrics", g.serveMetrics)
	g.commands = g.httpRoute(g.opts.HTTPCommands, "http-commands", g.serveCommands)
	queues := g.httpRoute(g.opts.HTTPQueues, "http-queues", g.serveQueues)
	for _, method := range []string{"GET", "POST", "DELETE", "OPTIONS", "PUT", "PATCH"} { // "GET /" leaves no room for "/q"
		g.mux.HandleFunc(method+" /q", queues)
		g.mux.HandleFunc(method+" /q/", queues)
	}
	if g.opts.PProf {
		g.mux.HandleFunc("GET /debug/pprof/", localOnly(pprof.Index))
		g.mux.HandleFunc("GET /debug/pprof/profile", localOnly(pprof.Profile))
		g.mux.HandleFunc("GET /debug/pprof/trace", localOnly(pprof.Trace))
	}
}

// Listen binds http-bind and http-port. It fails with errPublicBind if that would open the server to the
// network without a password.
func (g *gateway) Listen() (net.Listener, error) {
	if err := g.opts.checkBind(); err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", net.JoinHostPort(g.opts.Bind, strconv.Itoa(g.opts.Port)))
	if err != nil {
		return nil, fmt.Errorf("http-port: %w", err)
	}
	return g.secured(unsentListener{l}), nil
}

// Serve answers HTTP on l until Drain. It always returns a non-nil error,
// http.ErrServerClosed after Drain.
func (g *gateway) Serve(l net.Listener) error {
	srv := &http.Server{
		Handler:           g,
		ReadHeaderTimeout: 5 * time.Second, // no peer may hold a connection by never finishing a request
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          log.New(logWriter(g.opts.Logf), "", 0),
	}
	g.mu.Lock()
	g.server = srv
	g.mu.Unlock()
	if g.draining.Load() {
		return http.ErrServerClosed
	}
	return srv.Serve(l)
}

func (g *gateway) serveAndLog(l net.Listener) {
	if err := g.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		g.opts.Logf("gateway: %v", err)
	}
}

// ServeHTTP implements http.Handler.
func (g *gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !g.opts.hostAllowed(r) {
		g.metrics.refused.Add(1)
		http.Error(w, "This server does not go by that name (see ws-hosts).", http.StatusForbidden)
		return
	}
	h := w.Header()
	h.Set("Content-Security-Policy", "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-cache")
	if isCommandPath(r.URL.EscapedPath()) {
		g.commands.ServeHTTP(w, r)
		return
	}
	g.mux.ServeHTTP(w, r)
}

// hostAllowed checks the Host header. A page of evil.example may point its own name at 127.0.0.1 (DNS
// rebinding). To the browser it is same-origin then, but it still has to ask for evil.example. Plain
// addresses cannot be rebound.
func (o *gatewayOptions) hostAllowed(r *http.Request) bool {
	// region: who may come in
	host := hostOnly(r.Host)
	return host == "localhost" || net.ParseIP(host) != nil || slices.Contains(o.Hosts, host) || slices.Contains(o.Hosts, "*")
	// endregion
}

func hostOnly(hostport string) string {
	host := hostport
	if h, _, err := net.SplitHostPort(hostport); err == nil {
		host = h
	}
	return strings.ToLower(strings.Trim(host, "[]"))
}

func (g *gateway) serveReady(w http.ResponseWriter, _ *http.Request) {
	err := g.engine.ready()
	if g.draining.Load() {
		err = errors.New("draining")
	}
	if err != nil {
		http.Error(w, "not ready: "+err.Error(), http.StatusServiceUnavailable)
		return
	}
	_, _ = w.Write([]byte("ready\n"))
}

func localOnly(h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if ip := net.ParseIP(hostOnly(r.RemoteAddr)); ip == nil || !ip.IsLoopback() {
			http.NotFound(w, r)
			return
		}
		h(w, r)
	}
}
