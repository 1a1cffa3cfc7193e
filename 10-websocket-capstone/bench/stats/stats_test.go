package stats

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// Every quantile of random values must be at most 1/128 above the exact one,
// and never below it.
func TestHistogramAgainstSortedList(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for name, draw := range map[string]func() int64{
		"small":       func() int64 { return rng.Int64N(300) },
		"latencies":   func() int64 { return int64(50e3 * math.Exp(2*rng.NormFloat64())) },
		"whole range": func() int64 { return rng.Int64() >> rng.IntN(63) },
	} {
		t.Run(name, func(t *testing.T) {
			var a, b Histogram
			var all []int64
			for i := range 20000 {
				v := draw()
				all = append(all, v)
				if i%3 == 0 {
					a.Record(v)
				} else {
					b.Record(v)
				}
			}
			a.Merge(&b)
			slices.Sort(all)
			for _, q := range []float64{0, 0.001, 0.5, 0.9, 0.95, 0.99, 0.999, 0.9999, 1} {
				exact := all[min(max(int(math.Ceil(q*float64(len(all)))), 1), len(all))-1]
				got := a.Quantile(q)
				require.GreaterOrEqual(t, got, exact, "q=%v", q)
				require.LessOrEqual(t, float64(got), float64(exact)*(1+1.0/subBuckets), "q=%v", q)
			}
			require.Equal(t, all[len(all)-1], a.Quantile(1), "the maximum is exact")
			require.Equal(t, all[0], a.Min)
			require.Equal(t, uint64(20000), a.N)
		})
	}
}

func TestHistogramEdges(t *testing.T) {
	var h Histogram
	require.Zero(t, h.Quantile(0.5))
	require.Zero(t, h.Mean())
	h.Record(-5)
	h.Record(math.MaxInt64)
	require.Zero(t, h.Quantile(0.5))
	require.Equal(t, int64(math.MaxInt64), h.Quantile(1))
	// Buckets tile the range without gaps and overlaps.
	for i := 1; i < bucketCount; i++ {
		top := bucketTop(i - 1)
		require.Equal(t, i-1, bucketOf(top))
		require.Equal(t, i, bucketOf(top+1))
	}
	require.Equal(t, int64(math.MaxInt64), bucketTop(bucketCount-1))
}

func TestMedianAgainstSorting(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for n := 1; n < 30; n++ {
		vs := make([]float64, n)
		for i := range vs {
			vs[i] = rng.Float64()
		}
		kept := slices.Clone(vs)
		s := SampleOf(vs)
		require.Equal(t, kept, vs, "what is summed up stays as it is")
		slices.Sort(vs)
		below, above := 0, 0
		for _, v := range vs {
			if v < s.Median {
				below++
			} else if v > s.Median {
				above++
			}
		}
		require.Equal(t, below, above, "half of them on either side")
		require.InDelta(t, (vs[(n-1)/2]+vs[n/2])/2, s.Median, 0)
		require.Equal(t, []float64{vs[0], vs[n-1]}, []float64{s.Low, s.High})
	}
	require.False(t, SampleOf(nil).Known())
	require.Zero(t, Median(nil))
	require.InDelta(t, 0.5, SampleOf([]float64{3, 4, 5}).Spread(), 1e-9)
	require.Zero(t, Sample{}.Spread())
}

func TestRatiosAreTakenRoundByRound(t *testing.T) {
	// The second round was twice as slow for both: the ratio does not know.
	s := Ratios([]float64{100, 50, 90}, []float64{50, 25, 30})
	require.Equal(t, Sample{Median: 2, Low: 2, High: 3}, s)
	require.Equal(t, Sample{Median: 2, Low: 2, High: 2}, Ratios([]float64{1, 2}, []float64{0, 1}), "a round without a figure is left out")
	require.False(t, Ratios([]float64{1}, []float64{0}).Known())
}

func TestFormatting(t *testing.T) {
	require.Equal(t, []string{"999", "1,000", "1,234,567"}, []string{Thousands(999), Thousands(1000), Thousands(1234567)})
	require.Equal(t, []string{"0", "999ns", "1.50µs", "15.0ms", "2.00s"}, []string{Brief(0), Brief(999), Brief(1500), Brief(15e6), Brief(2e9)})
	require.Equal(t, "1.5 MB", Bytes(1.5e6))
}
