package server

import (
	"runtime/debug"
	"runtime/metrics"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Values that are replaced are garbage, which the server has collected before Go would do it.
func TestGarbageIsCollected(t *testing.T) {
	t.Setenv("GOGC", "")
	before := debug.SetGCPercent(10000)
	t.Cleanup(func() { debug.SetGCPercent(before) })
	s, addr := startServer(t)
	s.eng.Lock()
	s.memory.collector.Whole = true
	s.eng.Unlock()
	forced := func() uint64 {
		m := []metrics.Sample{{Name: "/gc/cycles/forced:gc-cycles"}}
		metrics.Read(m)
		return m[0].Value.Uint64()
	}
	c, value, n := dial(t, addr), strings.Repeat("v", 1<<20), forced()
	require.Eventually(t, func() bool {
		c.want("SET k "+value, "+OK")
		return forced() > n
	}, time.Minute, time.Millisecond)
	require.Eventually(t, func() bool { return !s.memory.collector.Running() }, time.Minute, time.Millisecond)
}
