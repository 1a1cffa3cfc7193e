package diff

import (
	"context"
	"io"
	"net"
	"strconv"
	"testing"
	"time"

	"byor/pkg/config"
	"byor/pkg/redistest"
	_ "byor/pkg/script" // as the capstone has it
	"byor/pkg/server"

	"github.com/stretchr/testify/require"
)

// startServer runs a server with the options of redis-server's command line and returns its address. It is shut
// down with the test.
func startServer(t testing.TB, options ...string) string {
	t.Helper()
	port := redistest.Port(t)
	cfg := config.Default()
	require.NoError(t, cfg.ParseArgs(append([]string{"--port", strconv.Itoa(port), "--bind", "127.0.0.1", "--save", "",
		"--enable-debug-command", "yes", "--dir", t.TempDir()}, options...)))
	s := server.New(cfg, server.Options{Log: server.LogTo(io.Discard)})
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		defer stop()
		down, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		require.NoError(t, s.Shutdown(down, server.ShutdownMode{NoSave: true, Now: true, Force: true}))
		require.NoError(t, <-ended)
	})
	addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	require.Eventually(t, func() bool {
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			conn.Close()
		}
		return err == nil
	}, time.Minute, time.Millisecond)
	return addr
}

// startRedis runs a real redis-server and returns its address. Where there is none the test is skipped, except
// in CI.
func startRedis(t testing.TB, options ...string) string {
	t.Helper()
	return redistest.Start(t, t.TempDir(), append([]string{"--enable-debug-command", "yes"}, options...)...)
}
