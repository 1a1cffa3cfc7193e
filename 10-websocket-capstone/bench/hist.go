package main

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

// histogram counts durations in nanoseconds. The zero value is empty. It is not
// safe for concurrent use: each load thread has its own, and they are merged.
type histogram struct {
	counts [bucketCount]uint64
	n      uint64
	sum    float64
	min    int64
	max    int64
}

// record counts one value; negative ones count as 0.
func (h *histogram) record(ns int64) { h.recordN(ns, 1) }

// recordN counts the same value n times.
func (h *histogram) recordN(ns int64, n uint64) {
	if n == 0 {
		return
	}
	ns = max(ns, 0)
	h.counts[bucketOf(ns)] += n
	if h.n == 0 || ns < h.min {
		h.min = ns
	}
	h.max = max(h.max, ns)
	h.n += n
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

// merge adds the counts of o.
func (h *histogram) merge(o *histogram) {
	if o.n == 0 {
		return
	}
	for i, c := range o.counts {
		h.counts[i] += c
	}
	if h.n == 0 || o.min < h.min {
		h.min = o.min
	}
	h.max = max(h.max, o.max)
	h.n += o.n
	h.sum += o.sum
}

// quantile returns the smallest recorded value, to the precision of a bucket and
// never too small, that at least the fraction q of all values do not
// exceed; 0 if there are none. quantile(1) is the exact maximum.
func (h *histogram) quantile(q float64) int64 {
	if h.n == 0 {
		return 0
	}
	rank := uint64(q * float64(h.n))
	if float64(rank) < q*float64(h.n) {
		rank++
	}
	rank = min(max(rank, 1), h.n)
	var seen uint64
	for i, c := range h.counts {
		if seen += c; seen >= rank {
			return min(bucketTop(i), h.max)
		}
	}
	return h.max
}

// mean returns the exact mean.
func (h *histogram) mean() float64 {
	if h.n == 0 {
		return 0
	}
	return h.sum / float64(h.n)
}
