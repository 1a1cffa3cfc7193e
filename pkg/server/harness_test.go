package server

import (
	"context"
	"io"
	"net"
	"os"
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
	return startLogging(t, testLog(t), options...)
}

// startLogging is startServer with a log to look at.
func startLogging(t testing.TB, log io.Writer, options ...string) (*Server, string) {
	t.Helper()
	cfg := config.Default()
	args := append([]string{"--port", "0", "--save", "", "--enable-debug-command", "yes", "--dir", t.TempDir(),
		"--repl-diskless-sync-delay", "0"}, options...)
	require.NoError(t, cfg.ParseArgs(args))
	return startWith(t, cfg, Options{Log: LogTo(log)})
}

// startWith is startServer for a configuration and options of the test's own. Port 0 is a free one.
func startWith(t testing.TB, cfg *config.Config, o Options) (*Server, string) {
	t.Helper()
	if o.Log == nil {
		o.Log = LogTo(testLog(t))
	}
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
	*redistest.Client
	t    testing.TB
	conn net.Conn
	rd   *resp.Reader
}

func dial(t testing.TB, addr string) *testConn {
	t.Helper()
	return of(redistest.Connect(t, addr))
}

// over is a client over a connection that is there.
func over(t testing.TB, conn net.Conn) *testConn { return of(redistest.Over(t, conn)) }

func of(c *redistest.Client) *testConn { return &testConn{Client: c, t: c.T, conn: c.Conn, rd: c.R} }

func words(t testing.TB, line string) []string { return redistest.Words(t, line) }

func show(v resp.Value) string { return redistest.Show(v) }

func (c *testConn) send(args ...string) { c.t.Helper(); c.Send(args...) }

func (c *testConn) read() resp.Value { c.t.Helper(); return c.Read() }

func (c *testConn) do(line string) resp.Value { c.t.Helper(); return c.Do(line) }

func (c *testConn) want(line, reply string) { c.t.Helper(); c.Want(line, reply) }

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

func (c *testConn) info(field string) string { c.t.Helper(); return c.Info(field) }

func (c *testConn) becomes(field, value string) { c.t.Helper(); c.Becomes(field, value) }

// shortDir is a directory with a path short enough for a socket's.
func shortDir(t testing.TB) string {
	dir, err := os.MkdirTemp("", "byor")
	require.NoError(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}
