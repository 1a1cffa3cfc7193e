package main

import (
	"bytes"
	"io"
	"net"
	"sync"
	"sync/atomic"

	"byor/pkg/pubsub"
	"byor/pkg/server"
)

// Station 7: the session of the engine. Commands go in by toSession. Replies come out by Write and messages by
// Deliver, which the engine calls. So no goroutine waits for either.

// attachFunc begins a session of the engine for a peer. What it returns takes the peer's commands, as RESP.
type attachFunc func(p server.Peer) (io.WriteCloser, error)

// session is a browser's session as the engine sees it: the peer that gets the replies.
type session struct {
	remote net.Addr
	engine io.WriteCloser // where commands go

	upgrade sync.WaitGroup // is being done, and may fail
	socket  *socket        // from then on; nil if it has failed

	mu    sync.Mutex // protects what follows
	about string     // see About
	over  bool       // the engine has ended it
	why   server.EndReason
	err   error // of what the engine has said
}

// jsonSession is a session whose messages come as such. A session of byor.resp.v1 gets them as RESP.
type jsonSession struct{ *session }

// attach begins a session for a peer that speaks proto. It has no socket yet: nobody has said a word.
func (g *gateway) attach(remote net.Addr, proto string) (*session, error) {
	p := &session{remote: remote}
	p.upgrade.Add(1)
	peer := server.Peer(p)
	if proto == protoJSON {
		peer = jsonSession{p}
	}
	attach := g.opts.Attach
	if attach == nil {
		attach = attachOver(g.opts.Dial)
	}
	var err error
	p.engine, err = attach(peer)
	return p, err
}

// belong gives the session its socket, or none if the upgrade has failed. It reports whether the session still goes on.
func (p *session) belong(s *socket) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.socket = s
	p.upgrade.Done()
	if s == nil {
		_ = p.engine.Close()
	}
	return !p.over
}

// RemoteAddr returns the browser's address, for CLIENT LIST and CLIENT KILL.
func (p *session) RemoteAddr() net.Addr { return p.remote }

// Write takes what the engine says: whole values of RESP or parts of some.
func (p *session) Write(b []byte) (int, error) {
	p.upgrade.Wait() // an engine in another process may refuse us before
	if p.socket == nil {
		return 0, net.ErrClosed
	}
	if err := p.socket.hear(b); err != nil {
		p.mu.Lock()
		p.err = err
		p.mu.Unlock()
		return 0, err
	}
	return len(b), nil
}

// Deliver takes a message. The engine holds its lock meanwhile, so nothing here may wait.
func (p jsonSession) Deliver(m pubsub.Message) { p.socket.json.published(m) }

// Ended keeps why the engine is about to end the session, for the close code.
func (p *session) Ended(why server.EndReason) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.why = why
}

// Close hears that the session is over.
func (p *session) Close() error {
	p.mu.Lock()
	s, err := p.socket, p.err // no socket: run will see that it is over
	p.over = true
	p.mu.Unlock()
	if s != nil {
		s.sessionEnded(err)
	}
	return nil
}

// Refusal finds the refusals that the gateway put in the place of commands.
func (p *session) Refusal(name []byte) string { return refusalIn(name) }

func refusalIn(name []byte) string {
	if _, why, ok := bytes.Cut(name, []byte(refusedMark)); ok {
		return "NOPERM " + string(why)
	}
	return ""
}

// toSession writes commands to the engine. Their replies have come when it returns, if none of them blocks.
func (s *socket) toSession(b []byte) error {
	if len(b) == 0 {
		return nil
	}
	_, err := s.session.engine.Write(b)
	return err
}

// hear takes what the engine says.
func (s *socket) hear(b []byte) error {
	if s.proto == protoRESP {
		return s.resp.hear(b)
	}
	return s.json.hear(b)
}

// attachOver makes an attachFunc for an engine that is reached by connections: another process, or a pipe. It
// speaks RESP, and that is all it need know. A goroutine reads what it says.
func attachOver(dial dialFunc) attachFunc {
	return func(p server.Peer) (io.WriteCloser, error) {
		conn, err := dial(p.RemoteAddr())
		if err != nil {
			return nil, err
		}
		go func() {
			_, _ = io.Copy(p, conn)
			_ = conn.Close()
			if why := endReason(conn); why != "" {
				p.(interface{ Ended(server.EndReason) }).Ended(why)
			}
			_ = p.Close()
		}()
		return conn, nil
	}
}

// dialInMemory makes a dialFunc of serve, the server's function for one connection. A session has one end of
// a pipe, which says that it comes from the browser's address. It does not know the difference.
func dialInMemory(serve func(net.Conn)) dialFunc {
	// region: a session over a pipe
	return func(remote net.Addr) (net.Conn, error) {
		ours, theirs := net.Pipe()
		session := &sessionConn{Conn: ours}
		go serve(&addressedConn{Conn: theirs, remote: remote, session: session})
		return session, nil
	}
	// endregion
}

// sessionConn is the gateway's end of a pipe.
type sessionConn struct {
	net.Conn
	ended atomic.Value // a server.EndReason, if the engine has given one
}

// endReason returns why the engine has ended a session, or "" if it has not said.
func endReason(conn net.Conn) (why server.EndReason) {
	if c, ok := conn.(*sessionConn); ok {
		why, _ = c.ended.Load().(server.EndReason)
	}
	return why
}

// addressedConn is the engine's end. It tells the engine about the peer, see client_peer.go in pkg/server.
type addressedConn struct {
	net.Conn
	remote  net.Addr
	session *sessionConn
}

func (c *addressedConn) RemoteAddr() net.Addr { return c.remote }

// Owner reports whether this is the gateway's own session: it alone announces presence.
func (c *addressedConn) Owner() bool { return c.remote == gatewayItself }

// Refusal finds the refusals that the gateway put in the place of commands.
func (c *addressedConn) Refusal(name []byte) string {
	if c.remote == gatewayItself {
		return ""
	}
	return refusalIn(name)
}

// Ended keeps why the engine ends the session, for the close code.
func (c *addressedConn) Ended(why server.EndReason) { c.session.ended.Store(why) }
