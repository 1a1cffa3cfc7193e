package server

import (
	"runtime/debug"
	"testing"

	"byor/pkg/config"

	"github.com/stretchr/testify/require"
)

// limitNow is the limit of Go's heap.
func limitNow() int64 { return debug.SetMemoryLimit(-1) }

// The heap's limit follows maxmemory at start and at run time.
func TestHeapLimitFollowsMaxmemory(t *testing.T) {
	before := limitNow()
	t.Cleanup(func() { debug.SetMemoryLimit(before) })
	t.Setenv("GOGC", "100") // which are left alone then
	t.Setenv("GOMAXPROCS", "2")
	t.Setenv("GOMEMLIMIT", "")
	start := func(whole bool) *Server {
		cfg := config.Default()
		require.NoError(t, cfg.ParseArgs([]string{"--port", "0", "--save", "", "--maxmemory", "8gb"}))
		return New(cfg, Options{Log: LogTo(testLog(t)), WholeProcess: whole})
	}
	start(false)
	require.Equal(t, before, limitNow(), "a server among others leaves the limit alone")
	s := start(true)
	small := limitNow()
	require.Greater(t, small, int64(8<<30))
	require.Less(t, small, int64(11<<30))
	s.cfg.MaxMemory = 16 << 30
	s.applyConfig()
	require.Greater(t, limitNow(), small+8<<30)
}
