package server

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"byor/pkg/store"
)

// BenchmarkBgsavePause measures what BGSAVE adds to the slowest command: 1,000,000 keys, clients
// that write, and a save in a loop beside them or not.
func BenchmarkBgsavePause(b *testing.B) {
	s, addr := startServer(b)
	s.eng.Lock()
	for i := range 1_000_000 {
		s.eng.Store.DB(0).Set(fmt.Appendf(nil, "key:%d", i), store.NewString(fmt.Appendf(nil, "value:%d of some forty bytes or so....", i)))
	}
	s.eng.Unlock()
	for _, saving := range []bool{false, true} {
		b.Run(fmt.Sprintf("saving=%v", saving), func(b *testing.B) {
			stop := timedSets(b, addr)
			var longest time.Duration
			for b.Loop() {
				if !saving {
					time.Sleep(time.Second)
					continue
				}
				s.eng.Lock()
				s.files.StartSave()
				sn := s.eng.Snapshot()
				s.eng.Unlock()
				waitFor(b, dial(b, addr), "rdb_bgsave_in_progress", "0")
				longest = max(longest, sn.Longest)
			}
			took := stop()
			us := func(p float64) float64 { return float64(took[int(p*float64(len(took)-1))].Microseconds()) }
			b.ReportMetric(us(0.5), "p50-µs")
			b.ReportMetric(us(0.999), "p99.9-µs")
			b.ReportMetric(us(1), "max-µs")
			b.ReportMetric(float64(longest.Microseconds()), "slice-max-µs")
			b.ReportMetric(float64(len(took))/b.Elapsed().Seconds(), "sets/s")
		})
	}
}

// timedSets lets four clients SET keys until stop is called, which returns how long each SET took, in order of
// length.
func timedSets(b *testing.B, addr string) (stop func() []time.Duration) {
	over := make(chan struct{})
	var work sync.WaitGroup
	var mu sync.Mutex
	var took []time.Duration
	for w := range 4 {
		c := dial(b, addr)
		work.Go(func() {
			var mine []time.Duration
			defer func() {
				mu.Lock()
				took = append(took, mine...)
				mu.Unlock()
			}()
			r := rand.New(rand.NewPCG(1, uint64(w)))
			for {
				select {
				case <-over:
					return
				default:
				}
				start := time.Now()
				c.send("SET", fmt.Sprint("key:", r.IntN(1_000_000)), "another value")
				c.read()
				mine = append(mine, time.Since(start))
			}
		})
	}
	return func() []time.Duration {
		close(over)
		work.Wait()
		slices.Sort(took)
		return took
	}
}
