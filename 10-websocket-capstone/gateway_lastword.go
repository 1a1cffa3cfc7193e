package main

import (
	"encoding/binary"
	"errors"
	"net"
	"time"
)

// A peer that takes nothing for the time of the write deadline is cut off, and shall hear why
// if it ever reads on: close code 4008, and not an end without a word. But its
// connection stands in the middle of a frame, and gorilla writes no more after an
// error. So we keep what of the frame is not out yet, and write that, and behind it the close.

// unsentConn is a connection that remembers what a failed Write did not write. Only one
// goroutine at a time writes data, see socket.write.
type unsentConn struct {
	net.Conn
	payload []byte // what the next Writes are about, see begin
	rest    []byte // behind the failed Write
	failed  bool
}

// writeBuffer is the size of gorilla's buffer for a frame, whose header takes up to maxFrameHeader more.
const (
	writeBuffer    = 4096
	maxFrameHeader = 14
)

// unsentListener makes the connections of a listener remember.
type unsentListener struct{ net.Listener }

func (l unsentListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &unsentConn{Conn: c}, nil
}

// begin notes the payload that is about to be written. What is larger than its buffer gorilla
// writes as it is, in a Write of its own behind that of the frame's header.
func (c *unsentConn) begin(payload []byte) {
	if c != nil {
		c.payload = payload
	}
}

func (c *unsentConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	if err != nil && !c.failed {
		c.failed = true
		c.rest = append([]byte(nil), b[n:]...)
		if p := c.payload; len(p) > 2*(writeBuffer+maxFrameHeader) && (len(b) == 0 || &b[0] != &p[0]) {
			c.rest = append(c.rest, p...) // this was the header alone
		}
	}
	return n, err
}

// lastWord tells a peer whose write has timed out that it was too slow, if it takes the rest of the frame
// within CloseTimeout.
func (s *socket) lastWord(err error) {
	var late net.Error // gorilla hides what it was
	if s.unsent == nil || !errors.As(err, &late) || !late.Timeout() {
		return
	}
	s.g.metrics.countClose(closeSlow)
	_ = s.session.Close() // it is no subscriber any more
	reason := "too slow: nothing was taken for " + s.g.opts.WriteTimeout.String()
	frame := binary.BigEndian.AppendUint16([]byte{0x88, byte(2 + len(reason))}, closeSlow)
	conn := s.unsent.Conn
	_ = conn.SetWriteDeadline(time.Now().Add(s.g.opts.CloseTimeout))
	if _, err := conn.Write(append(append(s.unsent.rest, frame...), reason...)); err == nil {
		select { // the peer closes, too, and read sees it
		case <-s.done:
		case <-time.After(s.g.opts.CloseTimeout):
		}
	}
}
