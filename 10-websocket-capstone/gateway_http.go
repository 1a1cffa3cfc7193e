package main

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/pprof"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"
)

// The gateway lets browsers in: a page, a WebSocket with two subprotocols, and
// three addresses for who watches the server. Each WebSocket has a session
// of the engine of its own, reached over an in-memory connection and speaking
// RESP, so that a browser is a client like any other: the same commands, the
// same limits, a line of its own in CLIENT LIST. The price is a copy and
// a goroutine more for each message than a gateway grown into the engine would
// pay; encoding a published message only once for all sockets buys most of
// that back.

//go:embed web
var webFiles embed.FS

const (
	protoJSON = "byor.json.v1"
	protoRESP = "byor.resp.v1"
)

// Close codes of our own (4000 to 4999 are free to use); the others are RFC 6455's.
const (
	closeHelloTimeout = 4001
	closeSlow         = 4008
	closeRate         = 4029
)

// gateway is an http.Handler. It is safe for concurrent use.
type gateway struct {
	opts     gatewayOptions
	guard    *guard
	engine   *engineClient
	presence *presence
	metrics  metrics
	pushes   pushCache
	upgrader websocket.Upgrader
	mux      *http.ServeMux

	draining  atomic.Bool
	mu        sync.Mutex // protects what follows
	sockets   map[*socket]struct{}
	upgrading int // sockets being opened, so that the limit holds
	server    *http.Server
}

// newGateway returns a gateway; it does nothing until it is asked for pages.
func newGateway(opts gatewayOptions) *gateway {
	if opts.Logf == nil {
		opts.Logf = func(string, ...any) {}
	}
	g := &gateway{opts: opts, guard: newGuard(opts.Allow), sockets: map[*socket]struct{}{}, mux: http.NewServeMux()}
	g.engine = &engineClient{opts: &g.opts}
	g.presence = newPresence(opts.PresenceDelay, func(channel string, payload []byte) {
		if _, err := g.engine.do("PUBLISH", presencePrefix+channel, string(payload)); err != nil {
			g.opts.Logf("gateway: publishing presence: %v", err)
		}
	})
	g.upgrader = websocket.Upgrader{
		// Small buffers, and one for writing only while something is written: most
		// connections are idle most of the time.
		ReadBufferSize: 1024, WriteBufferSize: 4096, WriteBufferPool: &sync.Pool{},
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
	g.mux.HandleFunc("GET /ws", g.serveSocket)
	g.mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) })
	g.mux.HandleFunc("GET /readyz", g.serveReady)
	g.mux.HandleFunc("GET /metrics", g.serveMetrics)
	if g.opts.PProf {
		g.mux.HandleFunc("GET /debug/pprof/", localOnly(pprof.Index))
		g.mux.HandleFunc("GET /debug/pprof/profile", localOnly(pprof.Profile))
		g.mux.HandleFunc("GET /debug/pprof/trace", localOnly(pprof.Trace))
	}
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
	g.mux.ServeHTTP(w, r)
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

// serveSocket upgrades to a WebSocket and returns: while a handler runs,
// net/http keeps 8 KB of buffers for it, hijacked or not.
func (g *gateway) serveSocket(w http.ResponseWriter, r *http.Request) {
	refuse := func(code int, why string) {
		g.metrics.refused.Add(1)
		if code == http.StatusServiceUnavailable {
			w.Header().Set("Retry-After", "1")
		}
		http.Error(w, why, code)
	}
	// region: who may come in, a session, and the upgrade
	if !g.opts.originAllowed(r) {
		refuse(http.StatusForbidden, "This page may not connect (see ws-origins).")
		return
	}
	offered := websocket.Subprotocols(r)
	if len(offered) > 0 && !slices.Contains(offered, protoJSON) && !slices.Contains(offered, protoRESP) {
		refuse(http.StatusBadRequest, "Subprotocols: "+protoJSON+" and "+protoRESP+".")
		return
	}
	if !g.reserve() {
		refuse(http.StatusServiceUnavailable, "No more connections now.")
		return
	}
	remote, err := net.ResolveTCPAddr("tcp", r.RemoteAddr)
	if err != nil {
		remote = &net.TCPAddr{}
	}
	session, err := g.opts.Dial(remote)
	if err != nil {
		g.unreserve()
		refuse(http.StatusServiceUnavailable, "The engine takes no connections now.")
		return
	}
	ws, err := g.upgrader.Upgrade(w, r, nil)
	if err != nil { // Upgrade has answered
		g.unreserve()
		g.metrics.refused.Add(1)
		_ = session.Close()
		return
	}
	g.start(newSocket(g, ws, session))
	// endregion
}

// reserve takes a place among the connections.
func (g *gateway) reserve() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.draining.Load() || len(g.sockets)+g.upgrading >= g.opts.MaxConnections {
		return false
	}
	g.upgrading++
	return true
}

func (g *gateway) unreserve() {
	g.mu.Lock()
	g.upgrading--
	g.mu.Unlock()
}

// start turns the reserved place into a socket that runs.
func (g *gateway) start(s *socket) {
	g.mu.Lock()
	g.upgrading--
	g.sockets[s] = struct{}{}
	late := g.draining.Load() // let in before Drain began, and perhaps not seen by it
	g.mu.Unlock()
	g.metrics.opened.Add(1)
	s.run()
	if late {
		s.goodbye()
	}
}

func (g *gateway) forget(s *socket) {
	g.mu.Lock()
	delete(g.sockets, s)
	g.mu.Unlock()
}

func (g *gateway) open() []*socket {
	g.mu.Lock()
	defer g.mu.Unlock()
	all := make([]*socket, 0, len(g.sockets))
	for s := range g.sockets {
		all = append(all, s)
	}
	return all
}

// Listen binds http-bind and http-port. It fails with errPublicBind where that
// would open the server to the network without a password.
func (g *gateway) Listen() (net.Listener, error) {
	if err := g.opts.checkBind(); err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", net.JoinHostPort(g.opts.Bind, strconv.Itoa(g.opts.Port)))
	if err != nil {
		return nil, fmt.Errorf("http-port: %w", err)
	}
	return unsentListener{l}, nil
}

// Serve answers HTTP on l until Drain. It always returns a non-nil error,
// http.ErrServerClosed after Drain.
func (g *gateway) Serve(l net.Listener) error {
	srv := &http.Server{
		Handler:           g,
		ReadHeaderTimeout: 5 * time.Second, // no peer may hold a connection by never finishing a request
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
	}
	g.mu.Lock()
	g.server = srv
	g.mu.Unlock()
	if g.draining.Load() {
		return http.ErrServerClosed
	}
	return srv.Serve(l)
}

// openGateway makes a gateway and, unless its port is 0, serves it in the
// background. page is where, "" for nowhere: the port is 0, or it is the default
// one and another program has it.
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
	return g, "http://" + l.Addr().String() + "/", nil
}

func (g *gateway) serveAndLog(l net.Listener) {
	if err := g.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		g.opts.Logf("gateway: %v", err)
	}
}

// reopen takes a Drain back, for a server that could not end. Call it when Drain
// has returned.
func (g *gateway) reopen() error {
	g.mu.Lock()
	served := g.server != nil
	g.mu.Unlock()
	g.draining.Store(false)
	g.presence.reopen()
	if !served {
		return nil
	}
	l, err := g.Listen()
	if err == nil {
		go g.serveAndLog(l)
	}
	return err
}

// drainSpread is over how long the closes of a drain are spread, so that the
// clients do not all come back in the same moment.
const drainSpread = 500 * time.Millisecond

// Drain ends the gateway in an orderly way: nothing new is let in, commands in
// flight are answered, every client is told "goodbye" and closed with 1001, and
// Drain waits for them to hang up. http.Server.Shutdown would not do any of
// that: it does not touch connections that became WebSockets. Call it
// before the engine stops. When ctx ends, what is still open is cut.
func (g *gateway) Drain(ctx context.Context) error {
	// region: let nothing in, say goodbye, wait, cut
	g.mu.Lock()
	first := !g.draining.Swap(true)
	server := g.server
	g.mu.Unlock()
	if first {
		for _, s := range g.open() {
			go s.drain(ctx, time.Duration(rand.Int64N(int64(drainSpread))))
		}
	}
	ended := waitUntil(ctx, func() bool {
		g.mu.Lock()
		defer g.mu.Unlock()
		return len(g.sockets)+g.upgrading == 0
	})
	for _, s := range g.open() {
		s.teardown()
	}
	g.presence.close()
	g.engine.close()
	if server != nil {
		if err := server.Shutdown(ctx); err != nil {
			_ = server.Close()
			return fmt.Errorf("draining the gateway: %w", err)
		}
	}
	if !ended {
		return fmt.Errorf("draining the gateway: %w", ctx.Err())
	}
	return nil
	// endregion
}
