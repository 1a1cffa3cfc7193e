package server

import (
	"math"
	"runtime/debug"
	"testing"

	"byor/pkg/config"

	"github.com/stretchr/testify/require"
)

func TestHeapLimit(t *testing.T) {
	for _, c := range []struct{ maxMemory, used, want int64 }{
		{0, 1 << 30, math.MaxInt64},
		{100 << 20, 1 << 20, 125<<20 + limitBase},
		{100 << 20, 200 << 20, 250<<20 + limitBase}, // a limit that cannot be kept would only cost time
		{math.MaxInt64, 1, math.MaxInt64},
	} {
		require.Equal(t, c.want, heapLimit(c.maxMemory, c.used), c)
	}
}

// limitNow is the collector's limit.
func limitNow() int64 { return debug.SetMemoryLimit(-1) }

// The collector's limit follows maxmemory at start and at run time. The user's own goes before it.
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
	require.EqualValues(t, 10<<30+limitBase, limitNow())
	s.limitHeap(12 << 30) // a replica may have more than maxmemory
	require.EqualValues(t, 15<<30+limitBase, limitNow())
	s.limitHeap(12<<30 + 100<<20)
	require.EqualValues(t, 15<<30+limitBase, limitNow(), "small changes wait")
	for _, c := range []struct{ maxMemory, want int64 }{{16 << 30, 20<<30 + limitBase}, {0, math.MaxInt64}} {
		s.cfg.MaxMemory = c.maxMemory
		s.applyConfig()
		require.Equal(t, c.want, limitNow())
	}
	debug.SetMemoryLimit(1 << 40)
	s.limitHeap(1 << 30)
	require.EqualValues(t, 1<<40, limitNow(), "without maxmemory it is the runtime's")
	t.Setenv("GOMEMLIMIT", "1GiB")
	start(true)
	require.EqualValues(t, 1<<40, limitNow())
}
