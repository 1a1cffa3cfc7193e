//go:build unix

package server

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// A crash saves nothing and lets nobody say goodbye. What the log promised is there afterwards.
func TestDebugSegfault(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	options := []string{"--appendonly", "yes", "--appendfsync", "always"}
	p := launchOurs(t, dir, options...)
	c := p.dial()
	c.want("SET a 1", "+OK")
	c.send("DEBUG", "SEGFAULT")
	c.wantClosed()
	require.NotZero(t, p.wait())
	require.Contains(t, p.out.String(), "panic: DEBUG SEGFAULT")
	launchOurs(t, dir, options...).dial().want("GET a", `"1"`)
}

// DEBUG REPLICATE reaches the replicas and changes nothing here, as in a real one.
func TestDebugReplicate(t *testing.T) {
	for _, addr := range []string{startRedis(t), second(startServer(t))} {
		c := dial(t, addr)
		f := followFake(t, addr)
		c.want("SET a 1", "+OK")
		c.want("DEBUG REPLICATE SET a 2", "+OK")
		c.want("DEBUG REPLICATE", "-ERR unknown subcommand or wrong number of arguments for 'REPLICATE'. Try DEBUG HELP.")
		require.Equal(t, []string{"SELECT 0", "SET a 1", "SET a 2"}, f.upTo(c))
	}
}
