// Package report shows what a race has shown: as lines of text while it goes on, and as a page when it is over.
package report

import (
	"time"

	"byor/10-websocket-capstone/bench/stats"
)

// Report is all that is known when the race is over. It is not safe for concurrent use.
type Report struct {
	Machine string
	Options string // the command line, and what it means
	Started time.Time
	Took    time.Duration
	Servers []Server
	Groups  []*Group
	Faults  []string // why the figures should not be believed
}

// Server is a side of the race, A or B.
type Server struct {
	Name, Addr, Version, Keeps string
}

// Letter names the side with number i.
func Letter(i int) string { return string(rune('A' + i)) }

// Group is tests under the same conditions.
type Group struct {
	Title   string
	Tests   []*Test
	Figures []*Figure
}

// Test is one test, measured on each side.
type Test struct {
	Name  string
	Sides []*Side
	Ratio stats.Sample // A's commands a second by B's, round by round; unknown with one server
}

// Side is what one server has shown in a test. Times are in nanoseconds.
type Side struct {
	PerSecond stats.Sample
	P50, P95  float64 // medians of the rounds, as those that follow
	P99, P999 float64
	Max       float64
	CPU       float64          // of the server, a command, over all rounds; 0: unknown
	Hist      *stats.Histogram // of all rounds
}

// Figure is something else than commands a second, of which less is better.
type Figure struct {
	Name  string
	Unit  Unit
	Sides []stats.Sample // unknown where the system does not tell
}

// Unit says what a figure counts, and so how it is printed.
type Unit int

// The units.
const (
	Nanoseconds Unit = iota
	Bytes
)

// Print is v with its unit.
func (u Unit) Print(v float64) string {
	if u == Bytes {
		return stats.Bytes(v)
	}
	return stats.Brief(v)
}

// Ratio is A's figure by B's, of the medians; 0 if there are no two.
func (f *Figure) Ratio() float64 {
	if len(f.Sides) != 2 || f.Sides[1].Median == 0 {
		return 0
	}
	return f.Sides[0].Median / f.Sides[1].Median
}
