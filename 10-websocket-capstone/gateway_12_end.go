package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/gorilla/websocket"

	"byor/pkg/certs"
	"byor/pkg/server"
)

// Station 12, the end: of one socket, for one of many reasons, or of all when the server ends.

// Close codes of our own (4000 to 4999 are free to use); the others are RFC 6455's.
const (
	closeHelloTimeout = 4001
	closeKilled       = 4003
	closeSlow         = 4008
	closeRate         = 4029
)

// close begins the end: the peer gets what is queued (if flush), then a
// close frame, and some time to answer it. Only the first call counts.
func (s *socket) close(code int, reason string, flush bool) {
	if s.out.closeWith(code, reason, flush) {
		s.g.metrics.countClose(code)
	}
}

// sessionEnded tells the peer that its session is over: with the server, or by itself.
func (s *socket) sessionEnded(err error) {
	select {
	case <-s.done:
		return
	default:
	}
	if s.resp != nil {
		s.resp.end()
	}
	if _, _, ours := s.out.closing(); ours {
		return
	}
	if s.g.opts.Stopping != nil && s.g.opts.Stopping() { // somebody said SHUTDOWN
		s.goodbye()
		return
	}
	s.g.opts.Logf("gateway: the session of %s has ended: %v", s.ws.RemoteAddr(), err)
	s.session.mu.Lock()
	why := s.session.why
	s.session.mu.Unlock()
	code, reason := closeFor(why)
	s.close(code, reason, true)
}

// closeFor returns what the close frame says when the engine has ended a session.
func closeFor(why server.EndReason) (code int, reason string) {
	switch why {
	case server.EndKilled:
		return closeKilled, "killed by an administrator"
	case server.EndUser:
		return websocket.ClosePolicyViolation, "the user was deleted"
	case server.EndSlow:
		return closeSlow, "too slow: the engine's output buffer is full"
	case server.EndIdle:
		return websocket.CloseNormalClosure, "idle for too long"
	case server.EndResync:
		return websocket.CloseServiceRestart, "this replica has new data: come back"
	}
	return websocket.CloseInternalServerErr, "the session has ended"
}

// teardown ends everything at once. It may be called more than once and by anyone.
func (s *socket) teardown() {
	s.once.Do(func() {
		close(s.done)
		if s.helloTimer != nil {
			s.helloTimer.Stop()
		}
		certs.HangUp(s.ws.NetConn())
		_ = s.session.engine.Close()
		s.out.shut()
		if s.json != nil {
			s.json.end()
		}
		s.g.forget(s)
		s.g.metrics.closed.Add(1)
	})
}

// drainSpread is the time over which Drain spreads the closes, so that the clients do not all come back in the
// same moment.
const drainSpread = 500 * time.Millisecond

// Drain ends the gateway in an orderly way. It lets nobody in, waits until commands in flight are answered,
// says goodbye to every client and closes with 1001, and waits until they have hung up. http.Server.Shutdown
// would do none of that: it does not touch connections that became WebSockets. Call Drain before the engine
// stops. When ctx ends, Drain cuts those that are still open.
func (g *gateway) Drain(ctx context.Context) error {
	// region: let nobody in, say goodbye, wait, cut
	g.mu.Lock()
	first := !g.draining.Swap(true)
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
	err := g.shut(ctx)
	if err == nil && !ended {
		err = ctx.Err()
	}
	if err != nil {
		return fmt.Errorf("draining the gateway: %w", err)
	}
	return nil
	// endregion
}

// shut ends what is left when the sockets have gone. Until then HTTP answers, so that
// /readyz can say 503.
func (g *gateway) shut(ctx context.Context) error {
	g.mu.Lock()
	server := g.server
	g.mu.Unlock()
	g.presence.close()
	g.closeQueues(ctx)
	g.engine.close()
	if server == nil {
		return nil
	}
	err := server.Shutdown(ctx)
	if err != nil {
		_ = server.Close()
	}
	return err
}

// drain lets the commands in flight finish and then says goodbye.
func (s *socket) drain(ctx context.Context, delay time.Duration) {
	s.draining.Store(true)
	idle := func() bool {
		select {
		case <-s.done:
			return true
		default:
		}
		if s.json != nil {
			return s.json.idle()
		}
		return s.resp.idle()
	}
	waitUntil(ctx, idle)
	select {
	case <-ctx.Done():
	case <-s.done:
	case <-time.After(delay):
	}
	s.goodbye()
}

// goodbye is the last word of a server that ends.
func (s *socket) goodbye() {
	s.draining.Store(true)
	if s.json != nil {
		s.json.desk.leave()
		s.send([]byte(`{"push":"goodbye","code":1001,"reason":"shutdown","reconnectMs":[500,5000]}`))
	}
	s.close(websocket.CloseGoingAway, "shutdown", true)
}

// waitUntil polls cond until it is true or ctx ends.
func waitUntil(ctx context.Context, cond func() bool) bool {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !cond() {
		select {
		case <-ctx.Done():
			return false
		case <-tick.C:
		}
	}
	return true
}

// reopen takes a Drain back, for a server that could not end. Call it when Drain
// has returned.
func (g *gateway) reopen() error {
	g.mu.Lock()
	served := g.server != nil
	g.mu.Unlock()
	g.draining.Store(false)
	g.presence.reopen()
	g.queues.Reopen()
	if !served {
		return nil
	}
	l, err := g.Listen()
	if err == nil {
		go g.serveAndLog(l)
	}
	return err
}
