package redistest

import (
	"bytes"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"byor/pkg/resp"
)

// Conn is a client's connection. Whatever goes wrong on it ends the test.
type Conn struct {
	net.Conn
	R *resp.Reader // reads what the server sends
	t testing.TB
}

// Dial connects to host:port, or to a socket file, until the test ends. The connection has a deadline,
// so that a server that says nothing fails a test and never hangs it.
func Dial(t testing.TB, addr string) *Conn {
	t.Helper()
	c, err := dial(addr)
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	require.NoError(t, c.SetDeadline(time.Now().Add(time.Minute)))
	return &Conn{c, resp.NewReader(c), t}
}

// Do sends one command, given as words with spaces between, and returns the reply as Reply does.
func (c *Conn) Do(command string) string {
	c.t.Helper()
	_, err := c.Write(resp.AppendCommandStrings(nil, strings.Fields(command)...))
	require.NoError(c.t, err)
	return c.Reply()
}

// Reply reads one reply or message and returns it as Text does.
func (c *Conn) Reply() string {
	c.t.Helper()
	v, err := c.R.ReadValue()
	require.NoError(c.t, err)
	return Text(v)
}

// Eventually asks command again and again until the answer is want.
func (c *Conn) Eventually(want, command string) {
	c.t.Helper()
	var got string
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if got = c.Do(command); got == want {
			return
		}
	}
	require.Equal(c.t, want, got, command)
}

// Closed waits until the server has closed the connection, and returns what it still sent. That must be
// whole replies.
func (c *Conn) Closed() (replies []string) {
	c.t.Helper()
	for {
		v, err := c.R.ReadValue()
		if err != nil {
			require.NotErrorIs(c.t, err, os.ErrDeadlineExceeded)
			require.NotErrorIs(c.t, err, io.ErrUnexpectedEOF, "half a reply")
			return replies
		}
		replies = append(replies, Text(v))
	}
}

// Text returns a reply as text: nothing is "(nil)", an error begins with "-", and of an array it is
// the elements with spaces between.
func Text(v resp.Value) string {
	switch {
	case v.Null:
		return "(nil)"
	case v.Kind == resp.Integer:
		return strconv.FormatInt(v.Int, 10)
	case v.Kind == resp.Array:
		words := make([]string, len(v.Elems))
		for i, e := range v.Elems {
			words[i] = Text(e)
		}
		return strings.Join(words, " ")
	case v.IsError():
		return "-" + string(v.Str)
	}
	return string(v.Str)
}

// Script sends lines as inline commands on one connection to addr and returns what came back byte by
// byte, a reply for each line.
func Script(t testing.TB, addr string, lines []string) string {
	t.Helper()
	c := Dial(t, addr)
	defer c.Close()
	_, err := io.WriteString(c, strings.Join(lines, "\r\n")+"\r\n")
	require.NoError(t, err)
	var wire bytes.Buffer
	r := resp.NewReader(io.TeeReader(c, &wire))
	for _, line := range lines {
		_, err := r.ReadValue()
		require.NoError(t, err, line)
	}
	return wire.String()
}
