package main

import (
	"context"
	"fmt"
	"time"

	"byor/10-websocket-capstone/bench/load"
	"byor/10-websocket-capstone/bench/report"
	"byor/10-websocket-capstone/bench/servers"
	"byor/10-websocket-capstone/bench/stats"
)

// round is one round of a test on one server.
type round struct {
	*load.Result
	cpu time.Duration // of whom it is about, from the first command to the last; 0: unknown
}

// order says who goes when in a round: A B, then B A, then A B again. What slows the machine down for a while hits
// both alike, and who goes first has no advantage in the end.
func order(round, n int) []int {
	turns := make([]int, n)
	for i := range turns {
		turns[i] = (i + round) % n
	}
	return turns
}

// race runs all rounds of one test and adds it to the group.
func (b *bench) race(ctx context.Context, g *report.Group, ss []*servers.Server, l load.Load) error {
	rounds := make([][]round, len(ss)) // of each server
	for n := range b.o.rounds {
		l.Seed = b.o.seed + uint64(n)
		for _, i := range order(n, len(ss)) {
			r, err := b.round(ctx, ss[i], ss[i], l)
			if err != nil {
				return fmt.Errorf("%s, %s: %w", ss[i].Name, l.Mix.Name, err)
			}
			rounds[i] = append(rounds[i], r)
		}
	}
	for i, s := range ss {
		b.findFaults(fmt.Sprintf("%s, %s, %s: ", s.Name, l.Mix.Name, g.Title), rounds[i])
	}
	b.add(g, &report.Test{Name: l.Mix.Name}, rounds)
	return nil
}

// round measures one server once. A test that takes elements away gets more of them until it cannot take all: to pop
// from what is not there is quick, and says nothing. A round that is too short is repeated, too. The processor time
// is that of whom; preparing does not count.
func (b *bench) round(ctx context.Context, s, whom *servers.Server, l load.Load) (round, error) {
	key := fmt.Sprint(l.Mix.Name, l.Pipeline)
	for longest := l.Duration * 8; ; {
		if b.elements[key] == 0 {
			b.elements[key] = guess(l)
		}
		if err := l.Mix.Prepare(ctx, s.Addr, b.elements[key]); err != nil {
			return round{}, err
		}
		var before time.Duration
		l.Started = func() { before, _ = whom.CPU() }
		res, err := load.Run(ctx, s.Addr, &l)
		if err != nil {
			return round{}, err
		}
		after, ok := whom.CPU()
		if !ok {
			before, after = 0, 0
		}
		dry, err := l.Mix.RanDry(ctx, s.Addr)
		if err != nil {
			return round{}, err
		}
		switch {
		case res.Errors > 0:
			return round{res, after - before}, nil
		case dry:
			b.elements[key] *= 2
		case tooShort(l, res) && l.Duration < longest:
			l.Duration *= 2
		default:
			return round{res, after - before}, nil
		}
	}
}

// tooShort reports whether a round by time ended before every client was answered twice. 50 clients that ask for 64
// long lists each keep a server busy for a third of a second, and whether the answers come just before the end of the
// round or just after it is luck.
func tooShort(l load.Load, r *load.Result) bool {
	return l.Rate == 0 && l.Requests == 0 && r.Replies < int64(2*l.Conns*l.Pipeline)
}

// guess is how many elements a test may take away, on a machine like that of today.
func guess(l load.Load) int {
	perSecond := 120_000.0
	if l.Pipeline > 1 {
		perSecond = 1_000_000
	}
	return 1000 + int(l.Requests) + int(perSecond*(l.Warmup+l.Duration).Seconds())
}

// add sums the rounds up, prints the test and keeps it for the page.
func (b *bench) add(g *report.Group, t *report.Test, rounds [][]round) {
	speeds := make([][]float64, len(rounds))
	for i, rs := range rounds {
		side := &report.Side{Hist: &stats.Histogram{}}
		var cpu, commands float64
		for _, r := range rs {
			speeds[i] = append(speeds[i], r.PerSecond())
			side.Hist.Merge(&r.Hist)
			cpu += float64(r.cpu)
			commands += float64(r.All)
		}
		side.PerSecond = stats.SampleOf(speeds[i])
		for q, to := range map[float64]*float64{0.5: &side.P50, 0.95: &side.P95, 0.99: &side.P99, 0.999: &side.P999, 1: &side.Max} {
			var vs []float64
			for _, r := range rs {
				vs = append(vs, float64(r.Hist.Quantile(q)))
			}
			*to = stats.Median(vs)
		}
		if commands > 0 {
			side.CPU = cpu / commands
		}
		t.Sides = append(t.Sides, side)
	}
	if len(rounds) == 2 {
		t.Ratio = stats.Ratios(speeds[0], speeds[1])
	}
	g.Tests = append(g.Tests, t)
	b.text.Test(g, t)
}

// findFaults notes what makes a test's figures worthless.
func (b *bench) findFaults(where string, rounds []round) {
	var errors, unanswered, replies int64
	first := ""
	for _, r := range rounds {
		if errors == 0 {
			first = r.FirstError
		}
		errors += r.Errors
		unanswered += r.Unanswered
		replies += r.Replies
	}
	if errors > 0 {
		b.fault("%s%d error replies, the first: %s", where, errors, first)
	}
	if unanswered > 0 {
		b.fault("%s%d commands still unanswered %v after the end: the rate is more than it can serve", where, unanswered, load.DrainTime)
	}
	if replies == 0 {
		b.fault("%snothing was measured; is -time too short?", where)
	}
}

func (b *bench) fault(format string, args ...any) {
	b.rep.Faults = append(b.rep.Faults, fmt.Sprintf(format, args...))
}
