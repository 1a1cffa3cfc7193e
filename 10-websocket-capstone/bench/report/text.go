package report

import (
	"fmt"
	"io"
	"strings"

	"byor/10-websocket-capstone/bench/stats"
)

// Legend says which way is better.
const Legend = `commands/s: more is better. A/B: how many times as fast A is, the median of the rounds and then the
lowest and the highest; above 1 A is faster. Less is better for the rest: p50 and p99 (half, and 99
of 100 commands, took no longer), CPU (for a command, the server's), memory, pauses and times.`

// Text prints a report as it comes.
type Text struct {
	Out   io.Writer
	group *Group
	kind  any // what the last line was about: tests and figures have different columns
}

// Head says what is compared with what, on which machine.
func (t *Text) Head(r *Report) {
	fmt.Fprintf(t.Out, "%s\n%s\n\n", r.Machine, r.Options)
	for i, s := range r.Servers {
		fmt.Fprintf(t.Out, "%s  %s\n", Letter(i), s)
	}
	fmt.Fprintf(t.Out, "\n%s\n", Legend)
}

// String is the server on a line.
func (s Server) String() string {
	text := s.Name
	if s.Addr != "" && s.Addr != s.Name {
		text += " at " + s.Addr
	}
	if s.Version != "" {
		text += ", version " + s.Version
	}
	if s.Keeps != "" {
		text += ", " + s.Keeps
	}
	return text
}

// Test prints a test, and before the first of a group its title and the columns.
func (t *Text) Test(g *Group, x *Test) {
	if t.begin(g, Test{}) {
		if len(x.Sides) == 2 {
			fmt.Fprintf(t.Out, "%-12s %11s %9s %5s %-10s %7s %7s %7s %7s %7s %7s\n",
				"test", "commands/s A", "B", "A/B", "", "p50 A", "B", "p99 A", "B", "CPU A", "B")
		} else {
			fmt.Fprintf(t.Out, "%-12s %11s %6s %8s %8s %8s %8s %8s %8s\n",
				"test", "commands/s", "±", "p50", "p95", "p99", "p99.9", "max", "CPU")
		}
	}
	if len(x.Sides) == 2 {
		a, b := x.Sides[0], x.Sides[1]
		ratio, low := "-", ""
		if x.Ratio.Known() {
			ratio, low = fmt.Sprintf("%.2f", x.Ratio.Median), spread(x.Ratio)
		}
		fmt.Fprintf(t.Out, "%-12s %12s %9s %5s %-10s %7s %7s %7s %7s %7s %7s\n", x.Name,
			stats.Thousands(a.PerSecond.Median), stats.Thousands(b.PerSecond.Median), ratio, low,
			stats.Brief(a.P50), stats.Brief(b.P50), stats.Brief(a.P99), stats.Brief(b.P99), known(a.CPU), known(b.CPU))
		return
	}
	for _, a := range x.Sides {
		fmt.Fprintf(t.Out, "%-12s %11s %5.0f%% %8s %8s %8s %8s %8s %8s\n", x.Name,
			stats.Thousands(a.PerSecond.Median), 50*a.PerSecond.Spread(), stats.Brief(a.P50), stats.Brief(a.P95),
			stats.Brief(a.P99), stats.Brief(a.P999), stats.Brief(a.Max), known(a.CPU))
	}
}

// Figure prints a figure, and before the first of a group its title and the columns.
func (t *Text) Figure(g *Group, f *Figure) {
	if t.begin(g, Figure{}) {
		columns := []string{"A", "B", "A/B"}
		if len(f.Sides) == 1 {
			columns = columns[:1]
		}
		fmt.Fprintf(t.Out, "%-40s", "")
		for _, c := range columns {
			fmt.Fprintf(t.Out, " %10s", c)
		}
		fmt.Fprintln(t.Out)
	}
	fmt.Fprintf(t.Out, "%-40s", f.Name)
	for _, s := range f.Sides {
		text := "-"
		if s.Known() {
			text = f.Unit.Print(s.Median)
		}
		fmt.Fprintf(t.Out, " %10s", text)
	}
	if r := f.Ratio(); r > 0 {
		fmt.Fprintf(t.Out, " %10.2f", r)
	}
	fmt.Fprintln(t.Out)
}

// begin reports whether columns are to be named: the group is new, or what came before was of another kind.
func (t *Text) begin(g *Group, kind any) bool {
	sameKind := fmt.Sprintf("%T", kind) == fmt.Sprintf("%T", t.kind)
	if g == t.group && sameKind {
		return false
	}
	if g != t.group {
		fmt.Fprintf(t.Out, "\n%s\n", g.Title)
	}
	t.group, t.kind = g, kind
	return true
}

// Foot ends the text with what makes the figures worthless, as an error.
func (t *Text) Foot(r *Report) error {
	fmt.Fprintf(t.Out, "\n%v in all\n", r.Took.Round(1e9))
	if len(r.Faults) == 0 {
		return nil
	}
	return fmt.Errorf("these figures are not to be trusted:\n  %s", strings.Join(r.Faults, "\n  "))
}

// known prints a time that may be missing.
func known(ns float64) string {
	if ns == 0 {
		return "-"
	}
	return stats.Brief(ns)
}

func spread(s stats.Sample) string { return fmt.Sprintf("%.2f–%.2f", s.Low, s.High) }
