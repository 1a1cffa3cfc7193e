package redistest

import (
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"byor/pkg/resp"
)

// Client is a client for tests that compare replies to the last detail: it sends commands as redis-cli splits
// them, and reads replies as they come on the wire. Whatever goes wrong on it ends the test.
type Client struct {
	T    testing.TB
	Conn net.Conn
	R    *resp.Reader // reads what the server sends
}

// Connect connects to host:port until the test ends. Each read may take a minute.
func Connect(t testing.TB, addr string) *Client {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	return Over(t, conn)
}

// Over is a client over a connection that is there.
func Over(t testing.TB, conn net.Conn) *Client {
	return &Client{T: t, Conn: conn, R: resp.NewReader(conn)}
}

// Words splits a line as redis-cli does.
func Words(t testing.TB, line string) []string {
	t.Helper()
	args, ok := resp.SplitArgs([]byte(line))
	require.True(t, ok, line)
	s := make([]string, len(args))
	for i, a := range args {
		s[i] = string(a)
	}
	return s
}

// Send sends a command and waits for nothing.
func (c *Client) Send(args ...string) {
	c.T.Helper()
	_, err := c.Conn.Write(resp.AppendCommandStrings(nil, args...))
	require.NoError(c.T, err)
}

// Read reads a reply, or a message.
func (c *Client) Read() resp.Value {
	c.T.Helper()
	c.Conn.SetReadDeadline(time.Now().Add(time.Minute))
	v, err := c.R.ReadValue()
	require.NoError(c.T, err)
	return v
}

// Do sends a line and returns the reply.
func (c *Client) Do(line string) resp.Value {
	c.T.Helper()
	c.Send(Words(c.T, line)...)
	return c.Read()
}

// Want sends a line and requires the reply, as Show prints it.
func (c *Client) Want(line, reply string) {
	c.T.Helper()
	require.Equal(c.T, reply, Show(c.Do(line)), line)
}

// Info returns a field of INFO, or nothing if it has no such field.
func (c *Client) Info(field string) string {
	c.T.Helper()
	for _, line := range strings.Split(string(c.Do("INFO everything").Str), "\r\n") {
		if value, ok := strings.CutPrefix(line, field+":"); ok {
			return value
		}
	}
	return ""
}

// Becomes waits until a field of INFO has a value.
func (c *Client) Becomes(field, value string) {
	c.T.Helper()
	got := ""
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if got = c.Info(field); got == value {
			return
		}
	}
	require.Equal(c.T, value, got, field)
}

// Show prints a reply on one line, its type first as on the wire.
func Show(v resp.Value) string {
	var b strings.Builder
	if len(v.Attrs) > 0 {
		fmt.Fprintf(&b, "|%s ", showAll(v.Attrs))
	}
	switch {
	case v.Null:
		fmt.Fprintf(&b, "%c(nil)", v.Kind)
	case v.Kind == resp.Integer:
		fmt.Fprintf(&b, ":%d", v.Int)
	case v.Kind == resp.Double:
		fmt.Fprintf(&b, ",%.17g", v.Double)
	case v.Kind == resp.Bool:
		fmt.Fprintf(&b, "#%t", v.Bool)
	case v.Kind == resp.SimpleString, v.Kind == resp.SimpleError, v.Kind == resp.BigNumber:
		fmt.Fprintf(&b, "%c%s", v.Kind, v.Str)
	case v.Kind == resp.Verbatim:
		fmt.Fprintf(&b, "=%s:%q", v.Format, v.Str)
	case v.Kind == resp.BulkString, v.Kind == resp.BulkError:
		fmt.Fprintf(&b, "%q", v.Str)
	default:
		fmt.Fprintf(&b, "%c%s", v.Kind, showAll(v.Elems))
	}
	return b.String()
}

func showAll(vs []resp.Value) string {
	s := make([]string, len(vs))
	for i, v := range vs {
		s[i] = Show(v)
	}
	return "[" + strings.Join(s, " ") + "]"
}

// SortElems puts an array's elements, or the last array in it (a SCAN's), into order; a map's by its keys.
func SortElems(v *resp.Value) {
	if n := len(v.Elems); n > 0 && v.Elems[n-1].Kind == resp.Array && v.Kind == resp.Array && v.Elems[0].Kind == resp.BulkString {
		SortElems(&v.Elems[n-1])
		return
	}
	if v.Kind == resp.Map {
		var pairs [][2]resp.Value
		for i := 0; i+1 < len(v.Elems); i += 2 {
			pairs = append(pairs, [2]resp.Value{v.Elems[i], v.Elems[i+1]})
		}
		slices.SortFunc(pairs, func(a, b [2]resp.Value) int { return strings.Compare(Show(a[0]), Show(b[0])) })
		v.Elems = nil
		for _, p := range pairs {
			v.Elems = append(v.Elems, p[0], p[1])
		}
		return
	}
	slices.SortFunc(v.Elems, func(a, b resp.Value) int { return strings.Compare(Show(a), Show(b)) })
}

// EachString changes the strings in a reply.
func EachString(v *resp.Value, change func(string) string) {
	if v.Kind == resp.BulkString && !v.Null {
		v.Str = []byte(change(string(v.Str)))
	}
	for i := range v.Elems {
		EachString(&v.Elems[i], change)
	}
}

// SortWords puts the words of a text into order; a round bracket is a word.
func SortWords(s string) string {
	list := strings.Fields(strings.NewReplacer("(", "( ", ")", " )").Replace(s))
	slices.Sort(list)
	return strings.Join(list, " ")
}

// Listener is a client that is subscribed to keyspace events.
type Listener struct{ *Client }

// Listen has a server tell of the events of these classes, letters as in notify-keyspace-events.
func Listen(t testing.TB, addr, classes string) Listener {
	t.Helper()
	l := Listener{Connect(t, addr)}
	l.Want("CONFIG SET notify-keyspace-events "+classes, "+OK")
	l.Do("PSUBSCRIBE __key*__:*")
	return l
}

// Heard returns the events since the last call, "channel message" each. What has happened is behind it in the
// stream when the reply to a command comes.
func (l Listener) Heard() (events []string) {
	l.T.Helper()
	l.Send("PING")
	for {
		m := l.Read()
		if m.IsError() || string(m.Elems[0].Str) == "pong" {
			return events
		}
		events = append(events, string(m.Elems[2].Str)+" "+string(m.Elems[3].Str))
	}
}
