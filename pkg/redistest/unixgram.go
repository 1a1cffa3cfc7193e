//go:build unix

package redistest

import (
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Unixgram opens a socket for datagrams and returns its path and what reads the next.
func Unixgram(t testing.TB) (path string, next func() string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "n")
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	path = filepath.Join(dir, "s")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	require.NoError(t, conn.SetReadDeadline(time.Now().Add(time.Minute)))
	return path, func() string {
		t.Helper()
		b := make([]byte, 4096)
		n, err := conn.Read(b)
		require.NoError(t, err)
		return string(b[:n])
	}
}
