package main

import (
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
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

// unsentMost bounds what is kept: a part of a message (see writePart), compressed or not, and some pongs.
const unsentMost = 4 * writePart

// unsentConn is a connection that keeps what it could not write in time.
type unsentConn struct {
	net.Conn
	late atomic.Bool // a Write has timed out

	mu    sync.Mutex // held while writing
	rouse func()     // tells the writer; nil until the connection is a WebSocket
	rest  []byte
	taken bool // rest is in other hands, or was too much
}

// watch makes the connection keep what it cannot write from now on, and call rouse then.
func (c *unsentConn) watch(rouse func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.rouse = rouse
}

func (c *unsentConn) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	if !c.late.Load() {
		var err error
		if n, err = c.Conn.Write(b); c.rouse == nil || !errors.Is(err, os.ErrDeadlineExceeded) {
			return n, err
		}
		c.late.Store(true)
		c.rouse()
	}
	if c.taken || len(c.rest)+len(b)-n > unsentMost {
		c.rest, c.taken = nil, true
		return n, os.ErrDeadlineExceeded
	}
	c.rest = append(c.rest, b[n:]...)
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
	_ = s.session.Close() // it is no subscriber any more
	rest, ok := s.unsent.take()
	if !ok {
		return
	}
	if code, reason, _ := s.out.closing(); !closed {
		body := websocket.FormatCloseMessage(code, reason)
		rest = append(append(rest, 0x80|websocket.CloseMessage, byte(len(body))), body...)
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
