package server

import (
	"bytes"
	"net"
)

// A connection may know more of its peer than its bytes tell: a browser is forbidden commands, the process
// around the server has a session of its own. What it knows it says by these methods, each of which a
// connection given to ServeConn, or a Peer, may have or not.

// guardedConn is a connection whose owner puts a command that does not exist in the place of one that is
// forbidden: so the answer comes in its turn, and a transaction notices.
type guardedConn interface {
	// Refusal returns the error to answer such a command with, or "" if it is none of those.
	Refusal(name []byte) string
}

// ownerConn is a connection of the process itself, which alone may publish on reserved channels.
type ownerConn interface {
	Owner() bool
}

// toldConn wants to know why the server ended the session, when it did.
type toldConn interface {
	// Ended is called before the connection is closed. It must not block.
	Ended(why EndReason)
}

// knownConn has more to say of its peer than an address.
type knownConn interface {
	// About returns words such as "ws=json", with a space between two, for the end of the peer's line in CLIENT LIST.
	// It is called with the engine's lock held, and must not block.
	About() string
}

// EndReason says why the server ended a session.
type EndReason string

// The reasons.
const (
	EndKilled EndReason = "killed"   // CLIENT KILL
	EndUser   EndReason = "no user"  // who it was logged in as is deleted
	EndSlow   EndReason = "too slow" // over client-output-buffer-limit
	EndIdle   EndReason = "idle"     // over timeout
	EndResync EndReason = "new data" // of a replica, which does not know what was published meanwhile
)

// meet notes what the connection of a new session knows. Connections may be wrapped (Options.Wrap).
func (c *client) meet(conn any) {
	for {
		if g, ok := conn.(guardedConn); ok {
			c.guard = g
		}
		if o, ok := conn.(ownerConn); ok {
			c.owner = o.Owner()
		}
		if t, ok := conn.(toldConn); ok {
			c.told = t
		}
		if k, ok := conn.(knownConn); ok {
			c.known = k
		}
		switch w := conn.(type) {
		case interface{ NetConn() net.Conn }:
			conn = w.NetConn()
		case attachedConn:
			conn = w.a.peer
		default:
			return
		}
	}
}

// end asks for the session to end at once, and tells its connection why. The engine's lock must be held.
func (s *Server) end(c *client, why EndReason) {
	if c.told != nil && c.closing != closeNow {
		c.told.Ended(why)
	}
	s.closeClient(c, closeNow)
}

// reservedChannel replies an error and reports true when the channel is not the client's to publish on. What
// comes from a master or a file was checked where it came from.
func (c *client) reservedChannel(channel []byte) bool {
	prefix := c.s.reserved
	if prefix == "" || c.owner || c.Trusted() || !bytes.HasPrefix(channel, []byte(prefix)) {
		return false
	}
	c.Fail("NOPERM channels that begin with '" + prefix + "' are the server's own")
	return true
}
