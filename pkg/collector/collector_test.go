package collector

import (
	"runtime"
	"runtime/debug"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestWhenACollectionIsDue(t *testing.T) {
	const mb = 1 << 20
	// 1000 MB were alive and in use at the latest collection, which is the first that the server knows of.
	latest := collection{cycles: 7, allocated: 5000 * mb, live: 1000 * mb, objects: 1000 * mb, goal: 4000 * mb}
	for _, c := range []struct {
		name            string
		allocated, used int64 // MB since then
		goal            int64 // MB
		calm, want      bool
	}{
		{"nothing happens", 0, 0, 4000, false, false},
		{"all that is new is in use", 1400, 1400, 4000, false, false},
		{"it would be too late soon", 1600, 1600, 4000, false, true},
		{"a little garbage", 400, 0, 4000, false, false},
		{"more than half", 600, 0, 4000, false, true},
		{"little garbage, but nobody minds", 35, 0, 4000, true, true},
		{"too little", 30, 0, 4000, true, false},
		{"much was deleted", 0, -600, 4000, false, true},
		{"a limit is near: less than half of what is left", 90, 0, 1200, false, false},
		{"a limit is near: more", 110, 0, 1200, false, true},
		{"a limit is nearer still, but hardly anything has come", 7, 0, 1010, false, false},
		{"nearer still, and some has", 9, 0, 1010, false, true},
		{"the limit is passed", 70, 70, 900, false, true},
	} {
		var known Collector
		require.False(t, known.due(latest, 1000*mb, c.calm), c.name)
		now := latest
		now.allocated += c.allocated * mb
		now.objects += c.allocated * mb
		now.goal = c.goal * mb
		require.Equal(t, c.want, known.due(now, (1000+c.used)*mb, c.calm), c.name)
		now.cycles++ // another has ended: it begins anew
		now.live, now.objects, now.goal = 1000*mb, 1000*mb, 4000*mb
		require.False(t, known.due(now, (1000+c.used)*mb, c.calm), c.name)
		now.free = 35 * mb // the system is to have it back, when nobody minds
		require.Equal(t, c.calm, known.due(now, (1000+c.used)*mb, c.calm), c.name)
	}
}

func TestCalm(t *testing.T) {
	var c Collector
	for range 3 {
		for range calmRounds {
			require.False(t, c.isCalm(c.commands+calmCommands+1))
		}
		for range calmRounds - 1 {
			require.False(t, c.isCalm(c.commands+calmCommands))
		}
		require.True(t, c.isCalm(c.commands))
		require.True(t, c.isCalm(c.commands+1))
	}
}

// growthNow is Go's GOGC.
func growthNow() int {
	n := debug.SetGCPercent(100)
	debug.SetGCPercent(n)
	return n
}

// Who has the process for itself puts Go's goal far away; the user's own goes before that.
func TestGoalOfTheCollector(t *testing.T) {
	before := debug.SetGCPercent(100)
	t.Cleanup(func() { debug.SetGCPercent(before) })
	for _, c := range []struct {
		whole bool
		env   string
		want  int
	}{{false, "", 100}, {true, "100", 100}, {true, "", growth}} {
		t.Setenv("GOGC", c.env)
		(&Collector{Whole: c.whole}).Start()
		require.Equal(t, c.want, growthNow(), c)
	}
}

// A collection has a P for itself, and leaves their number as it was. The user's own goes before that.
func TestPsOfACollection(t *testing.T) {
	c := &Collector{Whole: true}
	t.Cleanup(runtime.SetDefaultGOMAXPROCS)
	t.Setenv("GOMAXPROCS", "")
	runtime.SetDefaultGOMAXPROCS()
	before, most := runtime.GOMAXPROCS(0), 0
	collect := func() {
		over := make(chan struct{})
		go func() {
			defer close(over)
			c.Now()
		}()
		for looking := true; looking; {
			select {
			case <-over:
				looking = false
			default:
				most = max(most, runtime.GOMAXPROCS(0))
				runtime.Gosched()
			}
		}
		require.Equal(t, before, runtime.GOMAXPROCS(0))
		require.EqualValues(t, before, UsualPs())
	}
	t.Setenv("GOMAXPROCS", "2")
	collect()
	require.LessOrEqual(t, most, before)
	t.Setenv("GOMAXPROCS", "")
	collect()
	require.LessOrEqual(t, most, max(before, leastPs))
}
