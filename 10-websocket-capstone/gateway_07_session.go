package main

import (
	"bytes"
	"net"
	"sync/atomic"

	"byor/pkg/server"
)

// Station 7: the session of the engine, at the other end of a pipe. Commands go in by toSession, replies and
// pushes come out by listen.

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

// sessionConn is the gateway's end.
type sessionConn struct {
	net.Conn
	ended atomic.Value // a server.EndReason, if the engine has given one
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
	if _, why, ok := bytes.Cut(name, []byte(refusedMark)); ok && c.remote != gatewayItself {
		return "NOPERM " + string(why)
	}
	return ""
}

// Ended keeps why the engine ends the session, for the close code.
func (c *addressedConn) Ended(why server.EndReason) { c.session.ended.Store(why) }

// toSession writes commands to the engine.
func (s *socket) toSession(b []byte) error {
	if len(b) == 0 {
		return nil
	}
	_, err := s.session.Write(b)
	return err
}

// listen passes on what the engine says.
func (s *socket) listen() {
	var err error
	if s.proto == protoRESP {
		err = s.resp.listen()
	} else {
		err = s.json.listen()
	}
	select {
	case <-s.done:
		return
	default:
	}
	s.sessionEnded(err)
}
