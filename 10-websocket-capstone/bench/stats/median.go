package stats

import (
	"fmt"
	"slices"
)

// Sample is what several rounds have shown. The median is the figure to be believed: a round that was disturbed pulls
// the mean, but not the median. The lowest and the highest say how much the rounds disagree.
type Sample struct {
	Median, Low, High float64
}

// SampleOf sums vs up; no values give the zero Sample.
func SampleOf(vs []float64) Sample {
	if len(vs) == 0 {
		return Sample{}
	}
	return Sample{Median(vs), slices.Min(vs), slices.Max(vs)}
}

// Known reports whether there was anything to sum up.
func (s Sample) Known() bool { return s != Sample{} }

// Spread is how far apart the rounds are, in parts of the median: 0.1 is ten per cent.
func (s Sample) Spread() float64 {
	if s.Median == 0 {
		return 0
	}
	return (s.High - s.Low) / s.Median
}

// Median of an even number of values is the mean of the two in the middle.
func Median(vs []float64) float64 {
	if len(vs) == 0 {
		return 0
	}
	vs = slices.Sorted(slices.Values(vs))
	mid := len(vs) / 2
	if len(vs)%2 == 1 {
		return vs[mid]
	}
	return (vs[mid-1] + vs[mid]) / 2
}

// Ratios divides a by b, round by round: the two of a round had the same weather. A round in which b is 0 is left out.
func Ratios(a, b []float64) Sample {
	var rs []float64
	for i := range min(len(a), len(b)) {
		if b[i] > 0 {
			rs = append(rs, a[i]/b[i])
		}
	}
	return SampleOf(rs)
}

// Brief prints nanoseconds with three digits and a unit.
func Brief(ns float64) string {
	for _, u := range []struct {
		size float64
		name string
	}{{1e9, "s"}, {1e6, "ms"}, {1e3, "µs"}, {1, "ns"}} {
		if ns >= u.size {
			v := ns / u.size
			digits := 2
			if v >= 100 {
				digits = 0
			} else if v >= 10 {
				digits = 1
			}
			return fmt.Sprintf("%.*f%s", digits, v, u.name)
		}
	}
	return "0"
}

// Thousands prints a count with commas.
func Thousands(v float64) string {
	s := fmt.Sprintf("%.0f", v)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// Bytes prints a size in MB, as the reports of memory do.
func Bytes(v float64) string { return fmt.Sprintf("%.1f MB", v/1e6) }
