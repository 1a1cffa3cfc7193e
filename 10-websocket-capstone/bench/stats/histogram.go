// Package stats is the arithmetic of the race: a histogram of latencies, medians and spreads.
package stats

import "math/bits"

// A histogram of latencies in the manner of HDR Histogram: every power of two
// is cut into 128 equal steps, so that a recorded value is off by less than
// 1/128 (0.8 %) whether it is a microsecond or a minute, and recording is an
// index and an increment. A list of samples would have to be sorted, and
// buckets of fixed width are too coarse at one end or too many at the other.

const (
	subBits    = 7
	subBuckets = 1 << subBits
	// Values below 2·128 have a bucket each; each of the 55 further powers of two
	// that an int64 has takes 128 more.
	bucketCount = 2*subBuckets + (63-subBits-1)*subBuckets
)

// Histogram counts durations in nanoseconds. The zero value is empty. It is not
// safe for concurrent use: each load thread has its own, and they are merged.
type Histogram struct {
	counts [bucketCount]uint64
	N      uint64 // how many values
	sum    float64
	Min    int64
	Max    int64 // exact, as Min is
}

// Record counts one value; negative ones count as 0.
func (h *Histogram) Record(ns int64) { h.RecordN(ns, 1) }

// RecordN counts the same value n times.
func (h *Histogram) RecordN(ns int64, n uint64) {
	if n == 0 {
		return
	}
	ns = max(ns, 0)
	h.counts[bucketOf(ns)] += n
	if h.N == 0 || ns < h.Min {
		h.Min = ns
	}
	h.Max = max(h.Max, ns)
	h.N += n
	h.sum += float64(ns) * float64(n)
}

func bucketOf(ns int64) int {
	if ns < 2*subBuckets {
		return int(ns)
	}
	exp := bits.Len64(uint64(ns)) - subBits - 1 // ns>>exp has the 8 leading bits
	return exp<<subBits + int(ns>>exp)
}

// bucketTop is the largest value that falls into a bucket.
func bucketTop(i int) int64 {
	if i < 2*subBuckets {
		return int64(i)
	}
	exp := i>>subBits - 1
	return int64((uint64(i-exp<<subBits)+1)<<exp - 1)
}

// Merge adds the counts of o.
func (h *Histogram) Merge(o *Histogram) {
	if o.N == 0 {
		return
	}
	for i, c := range o.counts {
		h.counts[i] += c
	}
	if h.N == 0 || o.Min < h.Min {
		h.Min = o.Min
	}
	h.Max = max(h.Max, o.Max)
	h.N += o.N
	h.sum += o.sum
}

// Quantile returns the smallest recorded value, to the precision of a bucket and
// never too small, that at least the fraction q of all values do not
// exceed; 0 if there are none. Quantile(1) is the exact maximum.
func (h *Histogram) Quantile(q float64) int64 {
	if h.N == 0 {
		return 0
	}
	rank := uint64(q * float64(h.N))
	if float64(rank) < q*float64(h.N) {
		rank++
	}
	rank = min(max(rank, 1), h.N)
	var seen uint64
	for i, c := range h.counts {
		if seen += c; seen >= rank {
			return min(bucketTop(i), h.Max)
		}
	}
	return h.Max
}

// Mean returns the exact mean.
func (h *Histogram) Mean() float64 {
	if h.N == 0 {
		return 0
	}
	return h.sum / float64(h.N)
}
