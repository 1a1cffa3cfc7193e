package server

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"byor/pkg/pubsub"
)

// The transport of a session whose client is in this process, such as a browser's behind a gateway. There is no
// connection, so there are no goroutines that wait for one: who brings commands executes them, and gets the replies
// before it returns. Others start a goroutine only when they have something for the client, and a published message
// needs not even that: it is handed over as it is, without a byte of RESP.

// A Peer is the client of an attached session. The server calls its methods from many goroutines, but never two of
// Write and Deliver at a time, and in the order in which a connection would carry what they are given.
//
// A peer may have more methods: Deliver, to get messages as such (see MessagePeer), and those of a connection that
// knows more of its client than its bytes tell (Refusal, Owner, Ended).
type Peer interface {
	// RemoteAddr is where the client is, for CLIENT LIST and the like.
	RemoteAddr() net.Addr
	// Write takes replies and pushes, as RESP, in the order of the commands. It may block: the session executes
	// nothing more until it returns. b is valid until then. An error ends the session.
	io.Writer
	// Close is told, once, that the session is over. A Write that blocks must return then.
	io.Closer
}

// A MessagePeer gets the messages of its channels by Deliver and not as RESP. Deliver is called under the locks of
// the engine and of the hub: it must not block and must not call the server, except for Attached.Close. Some messages come by
// Write all the same, as pushes among the replies: those that have to wait for a reply before them, or for the log.
type MessagePeer interface {
	Peer
	pubsub.Subscriber
}

// Attached is the session of a Peer, which writes its commands to it. It is safe for concurrent use.
type Attached struct {
	s    *Server
	peer Peer
	c    *client

	turn sync.Mutex // held while commands run, and while their replies are written
	in   []byte     // of the Write that is under way; guarded by turn
	over bool       // guarded by turn

	closed   atomic.Bool // by the peer: it wants no more messages
	resuming atomic.Bool // a goroutine is about to let the session go on
	flushing atomic.Bool // a goroutine is about to write what others have for it
	hungUp   sync.Once   // guards the call of peer.Close
}

// RefusedError says why Attach has refused a client. Reply is Redis's error for it, without the minus sign.
type RefusedError struct{ Reply string }

func (e *RefusedError) Error() string { return e.Reply }

// Attach begins a session for a client in this process. It fails with a *RefusedError, whose Reply is what a
// connection would be told, or with net.ErrClosed when the server has shut down.
func (s *Server) Attach(p Peer) (*Attached, error) {
	a := &Attached{s: s, peer: p}
	conn := s.wrap(attachedConn{a})
	s.eng.Enter()
	defer s.eng.Unlock()
	c, refusal := s.accept(conn)
	if c == nil && refusal == "" {
		return nil, net.ErrClosed
	}
	if c == nil {
		return nil, &RefusedError{refusal[1 : len(refusal)-len("\r\n")]}
	}
	s.serving.Add(1)
	a.c, c.transport, c.frugal = c, a, true
	if m, ok := p.(MessagePeer); ok {
		c.wantsEntry = true
		if conn == net.Conn(attachedConn{a}) { // else somebody wants to see all of it
			c.direct = m
		}
	}
	return a, nil
}

// Write executes the commands in b; one may be in parts. The peer has their replies when it returns, except for
// those of a command that blocks and of all behind it. After the end of the session it returns net.ErrClosed.
func (a *Attached) Write(b []byte) (int, error) {
	a.turn.Lock()
	defer a.turn.Unlock()
	a.in = b
	for len(a.in) > 0 {
		if a.over {
			return len(b) - len(a.in), net.ErrClosed
		}
		if a.c.rd.Fill() != nil || a.c.overfull() || !a.c.serve() {
			a.end()
		}
	}
	a.in = nil
	a.c.restBuffers()
	return len(b), nil
}

// Close ends the session from the peer's side. It does not wait for that, and may be called from Deliver.
func (a *Attached) Close() error {
	if !a.closed.Swap(true) {
		go a.hangUp()
	}
	return nil
}

// hangUp ends the session, wherever it is.
func (a *Attached) hangUp() {
	a.closePeer()
	a.turn.Lock()
	defer a.turn.Unlock()
	a.end()
}

func (a *Attached) closePeer() { a.hungUp.Do(func() { a.peer.Close() }) }

// end takes the session out of the server. turn must be held.
func (a *Attached) end() {
	if a.over {
		return
	}
	a.over = true
	a.s.eng.Enter()
	a.s.removeClient(a.c)
	a.s.eng.Unlock()
	a.closePeer()
	a.s.serving.Done()
}

// resume lets a session go on whose command was blocked, or which is to close.
func (a *Attached) resume(c *client) {
	c.s.woke = true
	if c.closing == closeNow {
		_ = a.Close()
	} else if !a.resuming.Swap(true) {
		go a.goOn()
	}
}

func (a *Attached) goOn() {
	a.turn.Lock()
	defer a.turn.Unlock()
	a.resuming.Store(false)
	if !a.over && !a.c.serve() {
		a.end()
	}
}

// flushSoon has what others have handed over written.
func (a *Attached) flushSoon(c *client) {
	c.s.woke = true
	if !a.flushing.Swap(true) {
		go func() {
			a.flushing.Store(false)
			if c.flush() != nil {
				a.hangUp()
			}
		}()
	}
}

// takes reports whether the client may have a message directly: all that it was told before has been written, and it
// need not wait for appendfsync always. (A message may tell of a change that is not in the log yet.) The engine's lock
// must be held.
func (c *client) takes() bool {
	if len(c.Reply.Buf) > 0 || len(c.staged) > 0 || c.tooMuch || c.s.files.Holds() {
		return false
	}
	c.outMu.Lock()
	defer c.outMu.Unlock()
	return !c.writing && c.outErr == nil && len(c.out) == 0 && c.first == len(c.blocks) && c.written == len(c.wbuf)
}

// restBuffers lets go of the buffers for output: nothing may be heard of the client for long. See frugal, too.
func (c *client) restBuffers() {
	c.outMu.Lock()
	defer c.outMu.Unlock()
	if !c.writing && len(c.out) == 0 && c.written == len(c.wbuf) && c.wshared == nil {
		c.out, c.wbuf, c.written = nil, nil, 0
	}
}

// attachedConn is an attached session as the connection that the session has.
type attachedConn struct{ a *Attached }

func (c attachedConn) Read(b []byte) (int, error) {
	n := copy(b, c.a.in)
	c.a.in = c.a.in[n:]
	if n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

func (c attachedConn) Write(b []byte) (int, error) { return c.a.peer.Write(b) }
func (c attachedConn) Close() error                { return c.a.Close() }
func (c attachedConn) RemoteAddr() net.Addr        { return c.a.peer.RemoteAddr() }
func (c attachedConn) LocalAddr() net.Addr         { return memoryAddr{} }

// Its reads do not block, and how long a write may take is the peer's business.

func (c attachedConn) SetDeadline(time.Time) error      { return nil }
func (c attachedConn) SetReadDeadline(time.Time) error  { return nil }
func (c attachedConn) SetWriteDeadline(time.Time) error { return nil }

// memoryAddr is where an attached client is connected to.
type memoryAddr struct{}

func (memoryAddr) Network() string { return "memory" }
func (memoryAddr) String() string  { return "memory" }
