package main

import (
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/gorilla/websocket"
)

// Station 2: an HTTP request becomes a WebSocket. Its page must be allowed to connect, there must be room,
// and the engine must take one more session.

const (
	protoJSON = "byor.json.v1"
	protoRESP = "byor.resp.v1"
)

// serveSocket upgrades to a WebSocket and returns. While a handler runs, net/http keeps 8 KB of buffers for
// it, hijacked or not.
func (g *gateway) serveSocket(w http.ResponseWriter, r *http.Request) {
	refuse := func(code int, why string) {
		g.metrics.refused.Add(1)
		if code == http.StatusServiceUnavailable {
			w.Header().Set("Retry-After", "1")
		}
		http.Error(w, why, code)
	}
	// region: refused before the upgrade
	if !g.opts.originAllowed(r) {
		refuse(http.StatusForbidden, "This page may not connect (see ws-origins).")
		return
	}
	offered := websocket.Subprotocols(r)
	if len(offered) > 0 && !slices.Contains(offered, protoJSON) && !slices.Contains(offered, protoRESP) {
		refuse(http.StatusBadRequest, "Subprotocols: "+protoJSON+" and "+protoRESP+".")
		return
	}
	// endregion
	// region: a place, and the upgrade
	if !g.reserve() {
		refuse(http.StatusServiceUnavailable, "No more connections now.")
		return
	}
	remote, err := net.ResolveTCPAddr("tcp", r.RemoteAddr)
	if err != nil {
		remote = &net.TCPAddr{}
	}
	session, err := g.attach(remote, chosen(offered))
	if err != nil {
		g.unreserve()
		refuse(http.StatusServiceUnavailable, "The engine takes no connections now.")
		return
	}
	ws, err := g.upgrader.Upgrade(w, r, nil)
	if err != nil { // Upgrade has answered
		g.unreserve()
		g.metrics.refused.Add(1)
		session.belong(nil)
		return
	}
	g.start(newSocket(g, ws, session))
	// endregion
	session.isOf(ws.Subprotocol(), r.Header.Get("Origin"))
}

// chosen returns the subprotocol for a browser that offers some: its first that we know.
func chosen(offered []string) string {
	for _, p := range offered {
		if p == protoJSON || p == protoRESP {
			return p
		}
	}
	return protoJSON
}

// originAllowed checks the Origin header. WebSockets know no same-origin policy: every page may open one to
// every machine that its user can reach, and only the server can say no. A program that is no browser sends
// no Origin.
func (o *gatewayOptions) originAllowed(r *http.Request) bool {
	// region: who may come in
	origin := r.Header["Origin"]
	if len(origin) == 0 {
		return true
	}
	u, err := url.Parse(origin[0])
	if err != nil || u.Host == "" {
		return false
	}
	return strings.EqualFold(u.Host, r.Host) || slices.Contains(o.Origins, "*") ||
		slices.Contains(o.Origins, strings.ToLower(u.Host)) || slices.Contains(o.Origins, strings.ToLower(origin[0]))
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
	s.nextPing = time.Now().Add(g.opts.Ping)
	if !g.sweeping {
		g.sweeping = true
		time.AfterFunc(g.sweepEvery(), g.sweep)
	}
	late := g.draining.Load() // let in before Drain began, and perhaps not seen by it
	g.mu.Unlock()
	g.metrics.opened.Add(1)
	s.run()
	if late {
		s.goodbye()
	}
}

// sweepEvery is how often sweep looks at the sockets.
func (g *gateway) sweepEvery() time.Duration { return max(g.opts.Ping/16, time.Millisecond) }

// sweep has pings sent to those sockets for which it is time: one timer for all of them. It goes on as long as there
// are any.
func (g *gateway) sweep() {
	now := time.Now()
	for _, s := range g.open() {
		if now.Before(s.nextPing) {
			continue
		}
		s.nextPing = now.Add(g.opts.Ping)
		s.out.pingSoon()
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.sweeping = len(g.sockets) > 0; g.sweeping {
		time.AfterFunc(g.sweepEvery(), g.sweep)
	}
}
