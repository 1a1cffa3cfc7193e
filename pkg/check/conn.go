package check

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"byor/pkg/check/trace"
	"byor/pkg/resp"
)

// Conn is a client connection of a check. Every method that fails ends the check with a report of
// what was sent, expected and received since the last expectation. Not safe for concurrent use.
type Conn struct {
	T    *T       // the check it belongs to
	Net  net.Conn // for what the methods cannot do
	name string   // "client 1", for the traffic log
	Sent []byte   // since the last expectation
	Got  []byte   // likewise
	In   []byte   // received, not yet consumed
}

// Send writes raw bytes.
func (c *Conn) Send(raw string) *Conn {
	c.Sent = append(c.Sent, raw...)
	c.T.log.Add(c.name, true, []byte(raw))
	c.Net.SetWriteDeadline(c.T.Deadline(c.T.Limit))
	if _, err := io.WriteString(c.Net, raw); err != nil {
		c.T.FailWith(Failure{Sent: c.Sent, Want: "the server reads what it is sent", Got: c.GotText(err)})
	}
	return c
}

// TrySend is Send for a server that may rightly close meanwhile: it says whether all was written.
func (c *Conn) TrySend(raw string) bool {
	c.Sent = append(c.Sent, raw...)
	c.T.log.Add(c.name, true, []byte(raw))
	c.Net.SetWriteDeadline(c.T.Deadline(c.T.Limit))
	_, err := io.WriteString(c.Net, raw)
	return err == nil
}

// SendSlowly writes raw one byte at a time, so that the server has to read each alone.
func (c *Conn) SendSlowly(raw string) *Conn {
	read := c.T.Pacer()
	for i := range raw {
		c.Send(raw[i : i+1])
		read()
	}
	return c
}

// Pacer returns a function that gives the shared server the time to read what it was sent. A pause of
// fixed length would not do: a busy server sleeps through it, reads all the pieces at once, and passes
// although it cannot put pieces together. So another client asks it something, and the answer
// sets the pace. A server that serves nobody else gets the pause alone.
func (t *T) Pacer() func() {
	c, err := t.TryDial(t.shared)
	ask := "PING\r\n"
	if t.Step() > 1 {
		ask = "*1\r\n$4\r\nPING\r\n" // in step 02, arrays are understood before typed lines are
	}
	return func() {
		time.Sleep(200 * time.Microsecond) // lets the segment leave alone
		if err == nil {
			c.Net.SetDeadline(t.Deadline(t.Limit / 3))
			if _, err = io.WriteString(c.Net, ask); err == nil {
				_, err = c.Net.Read(make([]byte, 64))
			}
		}
	}
}

// Cmd sends a command as a RESP array of bulk strings.
func (c *Conn) Cmd(args ...string) *Conn {
	return c.Send(string(resp.AppendCommandStrings(nil, args...)))
}

// Fill reads once into c.in.
func (c *Conn) Fill(by time.Time) error {
	had := len(c.In)
	c.In = slices.Grow(c.In, 4<<10)
	c.Net.SetReadDeadline(by)
	n, err := c.Net.Read(c.In[had:cap(c.In)])
	c.In = c.In[:had+n]
	if n > 0 {
		c.T.log.Add(c.name, false, c.In[had:])
		return nil
	}
	return err
}

// Expect reads len(want) bytes and compares them.
func (c *Conn) Expect(want string) *Conn {
	by := c.T.Deadline(c.T.Limit)
	var err error
	for len(c.In) < len(want) && bytes.HasPrefix([]byte(want), c.In) && err == nil {
		err = c.Fill(by)
	}
	n := min(len(want), len(c.In))
	if string(c.In[:n]) != want {
		c.Got = append(c.Got, c.In...)
		at := trace.DiffAt([]byte(want), c.Got)
		c.T.FailWith(Failure{Sent: c.Sent, Want: trace.Excerpt([]byte(want), at), Got: c.gotWhy(trace.Excerpt(c.Got, at), err), At: at})
	}
	c.Done(n)
	return c
}

// Done consumes n received bytes and notes the exchange that they end.
func (c *Conn) Done(n int) {
	c.T.exchange(c.Sent, c.In[:n])
	c.In, c.Sent, c.Got = c.In[n:], nil, nil
}

// GotText shows what came since the last expectation and why no more did.
func (c *Conn) GotText(err error) string {
	return c.gotWhy(trace.Visible(c.Got, trace.ExcerptMax), err)
}

// gotWhy is GotText with another look at what came.
func (c *Conn) gotWhy(got string, err error) string {
	switch {
	case err == nil:
		return got
	case errors.Is(err, os.ErrDeadlineExceeded):
		if len(c.Got) == 0 {
			return fmt.Sprintf("nothing in %v (the connection is open)", c.T.Limit)
		}
		return got + fmt.Sprintf(", then nothing more in %v", c.T.Limit)
	case len(c.Got) == 0:
		return "the server closed the connection (" + PlainErr(err) + ")"
	}
	return got + ", then the server closed the connection (" + PlainErr(err) + ")"
}

// PlainErr returns what err means to a reader who does not know Go's words for it.
func PlainErr(err error) string {
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
		c.Got = append(c.Got, c.In...)
		c.T.FailWith(Failure{Sent: c.Sent, Want: "a reply", Got: c.GotText(err)})
	}
	return v
}

// TryReply is Reply for a server that may rightly close meanwhile: it returns the error instead.
// io.EOF means a close between two replies; io.ErrUnexpectedEOF one in the middle of a reply.
func (c *Conn) TryReply() (resp.Value, error) {
	by := c.T.Deadline(c.T.Limit)
	for {
		if len(c.In) > 0 {
			src := bytes.NewReader(c.In)
			rd := resp.NewReaderSize(src, min(len(c.In)+16, 16<<10))
			v, err := rd.ReadValue()
			if err == nil {
				c.Done(len(c.In) - src.Len() - rd.Buffered())
				return v, nil
			}
			if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
				return v, err
			}
		}
		if err := c.Fill(by); err != nil {
			if errors.Is(err, io.EOF) && len(c.In) > 0 {
				err = io.ErrUnexpectedEOF
			}
			return resp.Value{}, err
		}
	}
}

// ExpectClose expects the server to close the connection, with nothing more before that.
func (c *Conn) ExpectClose() {
	err := c.Drain()
	c.Got = append(c.Got, c.In...)
	if len(c.In) > 0 || err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		c.T.FailWith(Failure{Sent: c.Sent, Want: "the server closes the connection", Got: c.GotText(err)})
	}
	c.T.exchange(c.Sent, []byte("(closed)"))
}

// Rest reads until the server closes and returns what came.
func (c *Conn) Rest() []byte {
	err := c.Drain()
	if errors.Is(err, os.ErrDeadlineExceeded) {
		c.Got = append(c.Got, c.In...)
		c.T.FailWith(Failure{Sent: c.Sent, Want: "the server answers and closes the connection", Got: c.GotText(err)})
	}
	rest := c.In
	c.Done(len(c.In))
	return rest
}

// Drain reads until the stream ends or nothing comes any more, and returns the error that ended it.
func (c *Conn) Drain() error {
	by := c.T.Deadline(c.T.Limit)
	for {
		if err := c.Fill(by); err != nil {
			return err
		}
	}
}

// Silent expects nothing to come for d.
func (c *Conn) Silent(d time.Duration) *Conn {
	if len(c.In) == 0 {
		err := c.Fill(time.Now().Add(d))
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return c
		}
		if err != nil {
			c.T.FailWith(Failure{Sent: c.Sent, Want: "nothing, and an open connection", Got: c.GotText(err)})
		}
	}
	c.Got = append(c.Got, c.In...)
	c.T.FailWith(Failure{Sent: c.Sent, Want: "nothing", Got: c.GotText(nil)})
	return c
}

// CloseWrite half-closes: the server sees the end of the stream, but can still answer.
func (c *Conn) CloseWrite() *Conn {
	if h, ok := c.Net.(interface{ CloseWrite() error }); ok {
		h.CloseWrite()
	}
	return c
}

// Reset closes the connection with a RST, as a crashed peer does.
func (c *Conn) Reset() {
	if tc, ok := c.Net.(*net.TCPConn); ok {
		tc.SetLinger(0)
	}
	c.Net.Close()
}

// Close closes the connection.
func (c *Conn) Close() { c.Net.Close() }

// SmallWindow asks for the smallest receive buffer, so that a reader that stalls is felt early.
func (c *Conn) SmallWindow() *Conn {
	if tc, ok := c.Net.(*net.TCPConn); ok {
		tc.SetReadBuffer(4 << 10)
	}
	return c
}

// Exchange sends raw while it reads, and expects want: for answers larger than what the sockets
// between two peers hold, where a client that only sends would stall both.
func (c *Conn) Exchange(raw, want string) {
	sent := make(chan error, 1)
	c.Sent = append(c.Sent, raw...)
	c.T.log.Add(c.name, true, []byte(raw))
	c.Net.SetWriteDeadline(c.T.Deadline(5 * c.T.Limit))
	go func() {
		_, err := io.WriteString(c.Net, raw)
		sent <- err
	}()
	by := c.T.Deadline(5 * c.T.Limit)
	var err error
	for len(c.In) < len(want) && err == nil && time.Now().Before(by) {
		err = c.Fill(c.T.Deadline(c.T.Limit))
	}
	n := min(len(want), len(c.In))
	if at := trace.DiffAt([]byte(want), c.In[:n]); at >= 0 {
		c.Got = c.In
		lo := max(0, at-20)
		c.T.FailWith(Failure{Sent: c.Sent, Want: "from byte " + fmt.Sprint(lo) + ": " + trace.Visible([]byte(want[lo:]), 120),
			Got: fmt.Sprintf("%d of %d bytes; from byte %d: %s", len(c.In), len(want), lo, trace.Visible(c.In[min(lo, len(c.In)):], 120))})
	}
	<-sent
	c.Done(n)
}

// Hint sets the check's hint in the middle of a chain.
func (c *Conn) Hint(format string, args ...any) *Conn {
	c.T.Hint(format, args...)
	return c
}

// Between sends a command and expects an integer from lo to hi.
func (c *Conn) Between(lo, hi int64, args ...string) *Conn {
	v := c.Do(args...)
	if v.Kind != resp.Integer || v.Int < lo || v.Int > hi {
		c.T.FailWith(Failure{Sent: resp.AppendCommandStrings(nil, args...), Got: Text(v),
			Want: "an integer from " + strconv.FormatInt(lo, 10) + " to " + strconv.FormatInt(hi, 10)})
	}
	return c
}

// FillKeys sets n keys with a prefix and options, in batches.
func (c *Conn) FillKeys(prefix string, n int, opts ...string) {
	for at := 0; at < n; at += 1000 {
		var in []byte
		size := min(1000, n-at)
		for i := range size {
			in = resp.AppendCommandStrings(in, append([]string{"SET", prefix + strconv.Itoa(at+i), "v"}, opts...)...)
		}
		c.Exchange(string(in), strings.Repeat("+OK\r\n", size))
	}
}

// About is between for a time to live in seconds that was just set, on a machine that may be busy.
func (c *Conn) About(seconds int64, args ...string) *Conn {
	return c.Between(seconds-5, seconds, args...)
}

// Commands encodes commands, each given as words in one string.
func Commands(lines ...string) string {
	var b []byte
	for _, l := range lines {
		b = resp.AppendCommandStrings(b, strings.Fields(l)...)
	}
	return string(b)
}
