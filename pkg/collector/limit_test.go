package collector

import (
	"math"
	"runtime/debug"
	"testing"

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

// The limit follows maxmemory and what is in use. The user's own goes before it.
func TestLimit(t *testing.T) {
	before := limitNow()
	t.Cleanup(func() { debug.SetMemoryLimit(before) })
	t.Setenv("GOMEMLIMIT", "")
	(&Collector{}).Limit(8<<30, 0)
	require.Equal(t, before, limitNow(), "a server among others leaves the limit alone")
	c := &Collector{Whole: true}
	c.Limit(8<<30, 0)
	require.EqualValues(t, 10<<30+limitBase, limitNow())
	c.Limit(8<<30, 12<<30) // a replica may have more than maxmemory
	require.EqualValues(t, 15<<30+limitBase, limitNow())
	c.Limit(8<<30, 12<<30+100<<20)
	require.EqualValues(t, 15<<30+limitBase, limitNow(), "small changes wait")
	c.Limit(0, 1<<30)
	require.EqualValues(t, math.MaxInt64, limitNow())
	debug.SetMemoryLimit(1 << 40)
	c.Limit(0, 2<<30)
	require.EqualValues(t, 1<<40, limitNow(), "without maxmemory it is the runtime's")
	t.Setenv("GOMEMLIMIT", "1GiB")
	(&Collector{Whole: true}).Limit(8<<30, 0)
	require.EqualValues(t, 1<<40, limitNow())
}
