package server

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"byor/pkg/engine"

	"github.com/stretchr/testify/require"
)

// A shutdown that fails leaves a replica a replica.
func TestFailedShutdownGoesOnFollowing(t *testing.T) {
	_, master := startServer(t)
	dir := filepath.Join(t.TempDir(), "gone")
	require.NoError(t, os.Mkdir(dir, 0o755))
	host, port, err := net.SplitHostPort(master)
	require.NoError(t, err)
	r, replica := startServer(t, "--replicaof", host, port, "--dir", dir)
	m, c := dial(t, master), dial(t, replica)
	eventually(t, c, "INFO replication", "master_link_status:up")
	require.NoError(t, os.RemoveAll(dir))
	require.Error(t, r.Shutdown(context.Background(), ShutdownMode{Save: true}))
	m.want("SET a 1", "+OK")
	eventually(t, c, "GET a", "1")
}

// SHUTDOWN waits for replicas, and can be taken back meanwhile: writes go on.
func TestShutdownAbort(t *testing.T) {
	bothTransports(t, func(t *testing.T, options ...string) {
		s, addr := startServer(t, options...)
		c, lame, writer, stopper := dial(t, addr), dial(t, addr), dial(t, addr), dial(t, addr)
		c.want("SHUTDOWN ABORT", "-ERR No shutdown in progress.")
		lame.send("PSYNC", "?", "-1") // a replica that acknowledges nothing
		eventually(t, c, "INFO replication", "state=online")
		c.want("SET a 1", "+OK")
		stopper.send("SHUTDOWN", "NOSAVE")
		require.Eventually(t, func() bool {
			s.eng.Lock()
			defer s.eng.Unlock()
			return s.eng.PausedBy(engine.ByShutdown).UntilMs > 0
		}, time.Minute, time.Millisecond)
		writer.send("SET", "a", "2")
		waitBlocked(t, s, 2)
		c.want("SHUTDOWN ABORT", "+OK")
		require.Equal(t, "-ERR Errors trying to SHUTDOWN. Check logs.", show(stopper.read()))
		require.Equal(t, "+OK", show(writer.read()))
		c.want("GET a", `"2"`)
	})
}
