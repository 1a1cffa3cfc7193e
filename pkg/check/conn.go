package check

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"byor/pkg/check/trace"
	"byor/pkg/resp"
)

// Conn is a client connection of a check. Every method that fails ends the check with a report of
// what was sent, expected and received since the last expectation. Not safe for concurrent use.
type Conn struct {
	t    *T
	c    net.Conn
	name string // "client 1", for the traffic log
	sent []byte // since the last expectation
	got  []byte // likewise
	in   []byte // received, not yet consumed
}

// Send writes raw bytes.
func (c *Conn) Send(raw string) *Conn {
	c.sent = append(c.sent, raw...)
	c.t.log.Add(c.name, true, []byte(raw))
	c.c.SetWriteDeadline(c.t.deadline(c.t.limit))
	if _, err := io.WriteString(c.c, raw); err != nil {
		c.t.fail(failure{Sent: c.sent, Want: "the server reads what it is sent", Got: c.gotText(err)})
	}
	return c
}

// TrySend is Send for a server that may rightly close meanwhile: it says whether all was written.
func (c *Conn) TrySend(raw string) bool {
	c.sent = append(c.sent, raw...)
	c.t.log.Add(c.name, true, []byte(raw))
	c.c.SetWriteDeadline(c.t.deadline(c.t.limit))
	_, err := io.WriteString(c.c, raw)
	return err == nil
}

// SendSlowly writes raw one byte at a time, so that the server has to read each alone.
func (c *Conn) SendSlowly(raw string) *Conn {
	read := c.t.pacer()
	for i := range raw {
		c.Send(raw[i : i+1])
		read()
	}
	return c
}

// pacer returns a function that gives the shared server the time to read what it was sent. A pause of
// fixed length would not do: a busy server sleeps through it, reads all the pieces at once, and passes
// although it cannot put pieces together. So another client asks it something, and the answer
// sets the pace. A server that serves nobody else gets the pause alone.
func (t *T) pacer() func() {
	c, err := t.TryDial(t.shared)
	ask := "PING\r\n"
	if t.Step() > 1 {
		ask = "*1\r\n$4\r\nPING\r\n" // in step 02, arrays are understood before typed lines are
	}
	return func() {
		time.Sleep(200 * time.Microsecond) // lets the segment leave alone
		if err == nil {
			c.c.SetDeadline(t.deadline(t.limit / 3))
			if _, err = io.WriteString(c.c, ask); err == nil {
				_, err = c.c.Read(make([]byte, 64))
			}
		}
	}
}

// Cmd sends a command as a RESP array of bulk strings.
func (c *Conn) Cmd(args ...string) *Conn {
	return c.Send(string(resp.AppendCommandStrings(nil, args...)))
}

// fill reads once into c.in.
func (c *Conn) fill(by time.Time) error {
	buf := make([]byte, 64<<10)
	c.c.SetReadDeadline(by)
	n, err := c.c.Read(buf)
	if n > 0 {
		c.in = append(c.in, buf[:n]...)
		c.t.log.Add(c.name, false, buf[:n])
		return nil
	}
	return err
}

// Expect reads len(want) bytes and compares them.
func (c *Conn) Expect(want string) *Conn {
	by := c.t.deadline(c.t.limit)
	var err error
	for len(c.in) < len(want) && bytes.HasPrefix([]byte(want), c.in) && err == nil {
		err = c.fill(by)
	}
	n := min(len(want), len(c.in))
	if string(c.in[:n]) != want {
		c.got = append(c.got, c.in...)
		at := trace.DiffAt([]byte(want), c.got)
		c.t.fail(failure{Sent: c.sent, Want: trace.Excerpt([]byte(want), at), Got: c.gotWhy(trace.Excerpt(c.got, at), err), At: at})
	}
	c.done(n)
	return c
}

// done consumes n received bytes and notes the exchange that they end.
func (c *Conn) done(n int) {
	c.t.exchange(c.sent, c.in[:n])
	c.in, c.sent, c.got = c.in[n:], nil, nil
}

// gotText shows what came since the last expectation and why no more did.
func (c *Conn) gotText(err error) string {
	return c.gotWhy(trace.Visible(c.got, trace.ExcerptMax), err)
}

// gotWhy is gotText with another look at what came.
func (c *Conn) gotWhy(got string, err error) string {
	switch {
	case err == nil:
		return got
	case errors.Is(err, os.ErrDeadlineExceeded):
		if len(c.got) == 0 {
			return fmt.Sprintf("nothing in %v (the connection is open)", c.t.limit)
		}
		return got + fmt.Sprintf(", then nothing more in %v", c.t.limit)
	case len(c.got) == 0:
		return "the server closed the connection (" + plainErr(err) + ")"
	}
	return got + ", then the server closed the connection (" + plainErr(err) + ")"
}

func plainErr(err error) string {
	if errors.Is(err, io.EOF) {
		return "end of stream"
	}
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Err.Error()
	}
	return err.Error()
}

// Do sends a command and reads its reply.
func (c *Conn) Do(args ...string) resp.Value {
	c.Cmd(args...)
	return c.Reply()
}

// Ask sends a command and expects exactly the reply want (raw bytes).
func (c *Conn) Ask(want string, args ...string) *Conn { return c.Cmd(args...).Expect(want) }

// Reply reads one whole reply.
func (c *Conn) Reply() resp.Value {
	v, err := c.TryReply()
	if err != nil {
		c.got = append(c.got, c.in...)
		c.t.fail(failure{Sent: c.sent, Want: "a reply", Got: c.gotText(err)})
	}
	return v
}

// TryReply is Reply for a server that may rightly close meanwhile: it returns the error instead.
// io.EOF means a close between two replies; io.ErrUnexpectedEOF one in the middle of a reply.
func (c *Conn) TryReply() (resp.Value, error) {
	by := c.t.deadline(c.t.limit)
	for {
		if len(c.in) > 0 {
			src := bytes.NewReader(c.in)
			rd := resp.NewReader(src)
			v, err := rd.ReadValue()
			if err == nil {
				c.done(len(c.in) - src.Len() - rd.Buffered())
				return v, nil
			}
			if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
				return v, err
			}
		}
		if err := c.fill(by); err != nil {
			if errors.Is(err, io.EOF) && len(c.in) > 0 {
				err = io.ErrUnexpectedEOF
			}
			return resp.Value{}, err
		}
	}
}

// ExpectClose expects the server to close the connection, with nothing more before that.
func (c *Conn) ExpectClose() {
	err := c.drain()
	c.got = append(c.got, c.in...)
	if len(c.in) > 0 || err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		c.t.fail(failure{Sent: c.sent, Want: "the server closes the connection", Got: c.gotText(err)})
	}
	c.t.exchange(c.sent, []byte("(closed)"))
}

// Rest reads until the server closes and returns what came.
func (c *Conn) Rest() []byte {
	err := c.drain()
	if errors.Is(err, os.ErrDeadlineExceeded) {
		c.got = append(c.got, c.in...)
		c.t.fail(failure{Sent: c.sent, Want: "the server answers and closes the connection", Got: c.gotText(err)})
	}
	rest := c.in
	c.done(len(c.in))
	return rest
}

// drain reads until the stream ends or nothing comes any more, and returns the error that ended it.
func (c *Conn) drain() error {
	by := c.t.deadline(c.t.limit)
	for {
		if err := c.fill(by); err != nil {
			return err
		}
	}
}

// Silent expects nothing to come for d.
func (c *Conn) Silent(d time.Duration) *Conn {
	if len(c.in) == 0 {
		err := c.fill(time.Now().Add(d))
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return c
		}
		if err != nil {
			c.t.fail(failure{Sent: c.sent, Want: "nothing, and an open connection", Got: c.gotText(err)})
		}
	}
	c.got = append(c.got, c.in...)
	c.t.fail(failure{Sent: c.sent, Want: "nothing", Got: c.gotText(nil)})
	return c
}

// CloseWrite half-closes: the server sees the end of the stream, but can still answer.
func (c *Conn) CloseWrite() *Conn {
	if h, ok := c.c.(interface{ CloseWrite() error }); ok {
		h.CloseWrite()
	}
	return c
}

// Reset closes the connection with a RST, as a crashed peer does.
func (c *Conn) Reset() {
	if tc, ok := c.c.(*net.TCPConn); ok {
		tc.SetLinger(0)
	}
	c.c.Close()
}

// Close closes the connection.
func (c *Conn) Close() { c.c.Close() }

// SmallWindow asks for the smallest receive buffer, so that a reader that stalls is felt early.
func (c *Conn) SmallWindow() *Conn {
	if tc, ok := c.c.(*net.TCPConn); ok {
		tc.SetReadBuffer(4 << 10)
	}
	return c
}

// Exchange sends raw while it reads, and expects want: for answers larger than what the sockets
// between two peers hold, where a client that only sends would stall both.
func (c *Conn) Exchange(raw, want string) {
	sent := make(chan error, 1)
	c.sent = append(c.sent, raw...)
	c.t.log.Add(c.name, true, []byte(raw))
	c.c.SetWriteDeadline(c.t.deadline(5 * c.t.limit))
	go func() {
		_, err := io.WriteString(c.c, raw)
		sent <- err
	}()
	by := c.t.deadline(5 * c.t.limit)
	var err error
	for len(c.in) < len(want) && err == nil {
		err = c.fill(by)
	}
	n := min(len(want), len(c.in))
	if at := trace.DiffAt([]byte(want), c.in[:n]); at >= 0 {
		c.got = c.in
		lo := max(0, at-20)
		c.t.fail(failure{Sent: c.sent, Want: "from byte " + fmt.Sprint(lo) + ": " + trace.Visible([]byte(want[lo:]), 120),
			Got: fmt.Sprintf("%d of %d bytes; from byte %d: %s", len(c.in), len(want), lo, trace.Visible(c.in[min(lo, len(c.in)):], 120))})
	}
	<-sent
	c.done(n)
}
