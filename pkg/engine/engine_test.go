package engine

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// newEngine returns an engine whose clock stands until it is moved.
func newEngine(t testing.TB) (e *Engine, move func(time.Duration)) {
	t.Helper()
	now := time.UnixMilli(1_700_000_000_000)
	return New(16, Table(), func() time.Time { return now }, nil), func(d time.Duration) { now = now.Add(d) }
}

func TestTimeOfAnEviction(t *testing.T) {
	e, _ := newEngine(t)
	for tenacity, want := range map[int64]time.Duration{0: 0, 5: 250 * time.Microsecond, 10: 500 * time.Microsecond, 20: 2022778 * time.Nanosecond, 100: 1<<63 - 1} {
		e.Settings.EvictionTenacity = tenacity
		require.Equal(t, want, e.evictTime())
	}
}

// A deadline that Go's durations cannot hold must not make the timer fire for ever.
func TestFarDeadlineDoesNotSpin(t *testing.T) {
	e, _ := newEngine(t)
	require.Equal(t, time.Millisecond, e.timerDelay(0))
	for _, deadline := range []int64{e.NowMs + 10_000_000_000_000, 1<<63 - 1} {
		require.Equal(t, maxTimerDelay+time.Millisecond, e.timerDelay(deadline))
	}
}
