package main

import (
	"crypto/tls"
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/gorilla/websocket"
)

// Station 11: the gateway cuts off a peer that takes nothing until the write deadline. If the peer ever reads
// on, it should hear why: close code 4008, and not an end without a word. But its connection stands in the
// middle of a frame, and gorilla writes no more after an error. So the connection hides the error. It keeps
// the bytes that it could not write, up to the end of that frame. The close frame goes behind them.

// unsentListener is a listener whose connections keep what they cannot write.
type unsentListener struct{ net.Listener }

func (l unsentListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &unsentConn{Conn: c}, nil
}

// unsentOf returns what is under a WebSocket's connection, or under the TLS of it; nil if that is none of ours.
func unsentOf(conn net.Conn) *unsentConn {
	if t, ok := conn.(*tls.Conn); ok {
		conn = t.NetConn()
	}
	c, _ := conn.(*unsentConn)
	return c
}

// unsentMost bounds what is kept: a part of a message (see writePart), compressed or not, and some pongs.
const unsentMost = 4 * writePart

// unsentConn is a connection that keeps what it could not write in time.
type unsentConn struct {
	net.Conn
	late atomic.Bool // a Write has timed out

	direct bool            // a writer may use writeNow; set by watch
	raw    syscall.RawConn // what it writes with
	later  []byte          // what writeNow could not even begin to write; used by who writes only

	timeout time.Duration // of a write

	mu    sync.Mutex // held while writing
	rouse func()     // tells a writer; nil until the connection is a WebSocket
	rest  []byte
	taken bool // rest is in other hands, or was too much
}

// watch makes the connection keep what it cannot write within timeout from now on, and call rouse then.
func (c *unsentConn) watch(timeout time.Duration, rouse func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.timeout, c.rouse = timeout, rouse
	c.raw = rawSocket(c.Conn)
	c.direct = c.raw != nil
}

// writeNow writes frames as far as the peer takes them at once. If whole is false, finish writes the rest.
func (c *unsentConn) writeNow(w *nowWriter, frames []byte) (whole bool, err error) {
	if !c.mu.TryLock() { // who reads may be waiting here with a pong
		c.later = append(c.later, frames...)
		return false, nil
	}
	defer c.mu.Unlock()
	n := 0
	if !c.late.Load() && len(c.rest) == 0 && len(frames) > 0 {
		if n, err = w.write(c.Conn, c.raw, frames, c.timeout); err != nil {
			return false, err
		}
	}
	if n < len(frames) {
		c.keep(frames[n:])
	}
	return n == len(frames), nil
}

// finish writes what writeNow has left, and the control frames that came behind it.
func (c *unsentConn) finish(deadline time.Time) error {
	if c == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.later) > 0 {
		c.keep(c.later)
		c.later = nil
	}
	if c.late.Load() {
		return errLate
	}
	if len(c.rest) == 0 {
		return nil
	}
	_ = c.Conn.SetWriteDeadline(deadline)
	n, err := c.Conn.Write(c.rest)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		c.rest = c.rest[n:]
		c.late.Store(true)
		return errLate
	}
	c.rest = nil
	return err
}

// keep appends to the rest, or gives all of it up if it is too much.
func (c *unsentConn) keep(b []byte) (ok bool) {
	if c.taken || len(c.rest)+len(b) > unsentMost {
		c.rest, c.taken = nil, true
		c.late.Store(true) // it stands in the middle of a frame
		return false
	}
	c.rest = append(c.rest, b...)
	return true
}

func (c *unsentConn) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	if !c.late.Load() && len(c.rest) == 0 {
		var err error
		if n, err = c.Conn.Write(b); c.rouse == nil || !errors.Is(err, os.ErrDeadlineExceeded) {
			return n, err
		}
		c.late.Store(true)
		c.rouse()
	}
	if !c.keep(b[n:]) {
		return n, os.ErrDeadlineExceeded
	}
	return len(b), nil
}

// errLate is the error that gorilla does not see.
var errLate = errors.New("the write deadline has passed")

func (c *unsentConn) err() error {
	if c != nil && c.late.Load() {
		return errLate
	}
	return nil
}

// take returns what was not written, once; what is written from now on is lost.
func (c *unsentConn) take() (rest []byte, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	rest, ok = c.rest, !c.taken
	c.rest, c.taken = nil, true
	return rest, ok
}

// lastWord tells a peer that it was too slow with the last write, or why else the socket was about to close.
// The peer has CloseTimeout to take the rest of the frame. If closed, the close frame is in that rest.
func (s *socket) lastWord(closed bool) {
	if s.unsent.err() == nil {
		return
	}
	s.close(closeSlow, "too slow: nothing was taken for "+s.g.opts.WriteTimeout.String(), false)
	s.draining.Store(true)
	_ = s.session.engine.Close()                     // it is no subscriber any more
	if code, reason, _ := s.out.closing(); !closed { // it goes behind the rest; over TLS, in a record of its own
		body := websocket.FormatCloseMessage(code, reason)
		_, _ = s.ws.NetConn().Write(append([]byte{0x80 | websocket.CloseMessage, byte(len(body))}, body...))
	}
	rest, ok := s.unsent.take()
	if !ok {
		return
	}
	conn := s.unsent.Conn
	_ = conn.SetWriteDeadline(time.Now().Add(s.g.opts.CloseTimeout))
	if _, err := conn.Write(rest); err == nil {
		select { // the peer closes, too, and read sees it
		case <-s.done:
		case <-time.After(s.g.opts.CloseTimeout):
		}
	}
}
