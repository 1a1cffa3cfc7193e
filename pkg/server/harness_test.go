package server

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"byor/pkg/config"
	"byor/pkg/redistest"
	"byor/pkg/resp"
	_ "byor/pkg/script" // as the capstone has it

	"github.com/stretchr/testify/require"
)

// startServer runs a server with the options of redis-server's command line on a free port and
// returns it with its address. It is shut down with the test.
func startServer(t testing.TB, options ...string) (*Server, string) {
	t.Helper()
	cfg := config.Default()
	args := append([]string{"--port", "0", "--save", "", "--enable-debug-command", "yes", "--dir", t.TempDir(),
		"--repl-diskless-sync-delay", "0"}, options...)
	require.NoError(t, cfg.ParseArgs(args))
	return startWith(t, cfg, Options{})
}

// startWith is startServer for a configuration and options of the test's own. Port 0 is a free one.
func startWith(t testing.TB, cfg *config.Config, o Options) (*Server, string) {
	t.Helper()
	o.Log = LogTo(testLog(t))
	s := New(cfg, o)
	require.NoError(t, s.startLoops(int(cfg.IOThreads)))
	ln, err := net.Listen("tcp", "127.0.0.1:"+itoa(cfg.Port))
	require.NoError(t, err)
	go s.Serve(ln)
	require.NoError(t, s.Start())
	t.Cleanup(func() { stopServer(t, s) })
	return s, ln.Addr().String()
}

// second is for what returns two and is asked for one.
func second[A, B any](_ A, b B) B { return b }

func stopServer(t testing.TB, s *Server) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	require.NoError(t, s.Shutdown(ctx, ShutdownMode{NoSave: true, Now: true, Force: true}))
}

// testLog is where a server in a test logs: nowhere, unless the variable BYOR_LOG is set.
func testLog(t testing.TB) io.Writer {
	if os.Getenv("BYOR_LOG") == "" {
		return io.Discard
	}
	return os.Stderr
}

// startRedis runs a real redis-server and returns its address. Where there is none the test is
// skipped, except in CI.
func startRedis(t testing.TB, options ...string) string {
	t.Helper()
	return redistest.Start(t, t.TempDir(), append([]string{"--enable-debug-command", "yes"}, options...)...)
}

// testConn is a client that sends commands and reads replies as they come on the wire.
type testConn struct {
	t    testing.TB
	conn net.Conn
	rd   *resp.Reader
}

func dial(t testing.TB, addr string) *testConn {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	return &testConn{t: t, conn: conn, rd: resp.NewReader(conn)}
}

// words splits a line as redis-cli does.
func words(t testing.TB, line string) []string {
	args, ok := resp.SplitArgs([]byte(line))
	require.True(t, ok, line)
	s := make([]string, len(args))
	for i, a := range args {
		s[i] = string(a)
	}
	return s
}

func (c *testConn) send(args ...string) {
	c.t.Helper()
	_, err := c.conn.Write(resp.AppendCommandStrings(nil, args...))
	require.NoError(c.t, err)
}

func (c *testConn) read() resp.Value {
	c.t.Helper()
	c.conn.SetReadDeadline(time.Now().Add(time.Minute))
	v, err := c.rd.ReadValue()
	require.NoError(c.t, err)
	return v
}

// do sends a line and returns the reply.
func (c *testConn) do(line string) resp.Value {
	c.t.Helper()
	c.send(words(c.t, line)...)
	return c.read()
}

// want sends a line and requires the reply, as show prints it.
func (c *testConn) want(line, reply string) {
	c.t.Helper()
	require.Equal(c.t, reply, show(c.do(line)), line)
}

// wantClosed requires that the connection was closed by the server.
func (c *testConn) wantClosed() {
	c.t.Helper()
	c.conn.SetReadDeadline(time.Now().Add(time.Minute))
	_, err := c.rd.ReadValue()
	require.Error(c.t, err)
	var ne net.Error
	if e, ok := err.(net.Error); ok {
		ne = e
	}
	require.False(c.t, ne != nil && ne.Timeout(), "the server did not close the connection")
}

// show prints a reply on one line, its type first as on the wire.
func show(v resp.Value) string {
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
		s[i] = show(v)
	}
	return "[" + strings.Join(s, " ") + "]"
}

// info returns a field of INFO.
func (c *testConn) info(field string) string {
	c.t.Helper()
	for _, line := range strings.Split(string(c.do("INFO everything").Str), "\r\n") {
		if value, ok := strings.CutPrefix(line, field+":"); ok {
			return value
		}
	}
	return ""
}

// becomes waits until a field of INFO has a value.
func (c *testConn) becomes(field, value string) {
	c.t.Helper()
	got := ""
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if got = c.info(field); got == value {
			return
		}
	}
	require.Equal(c.t, value, got, field)
}

// shortDir is a directory with a path short enough for a socket's.
func shortDir(t testing.TB) string {
	dir, err := os.MkdirTemp("", "byor")
	require.NoError(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}
