package main

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"time"

	"byor/pkg/resp"
)

// report prints the results as they come: a line for each test and server, and
// with two servers a line with the ratio.
type report struct {
	out     io.Writer
	o       *options
	targets []*target
	faults  []string // why the figures should not be believed
}

// head says what is compared with what, on which machine: figures without that
// are hearsay.
func (r *report) head(ctx context.Context) error {
	o := r.o
	fmt.Fprintf(r.out, "%s/%s, %d CPUs, %s\n", runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), runtime.Version())
	first := "" // what the first server keeps
	for i, t := range r.targets {
		if err := ping(ctx, t.addr); err != nil {
			return fmt.Errorf("%s: %w", t.name, err)
		}
		keeps := keeping(ctx, t.addr)
		fmt.Fprintf(r.out, "%s  %s at %s%s%s\n", string(rune('A'+i)), t.name, t.addr, r.version(ctx, t), keeps)
		if i == 0 {
			first = keeps
		} else if keeps != "" && first != "" && keeps != first {
			r.faults = append(r.faults, "unlike persistence settings are compared: who writes to the disk less is faster, and that says nothing else")
		}
	}
	kind := "closed loop"
	if o.rate > 0 {
		kind = fmt.Sprintf("open loop, %s commands a second, latency from the intended start", thousands(o.rate))
	}
	amount := fmt.Sprintf("%v after %v of warm-up", o.duration, o.warmup)
	if o.requests > 0 {
		amount = fmt.Sprintf("%d commands after %v of warm-up", o.requests, o.warmup)
	}
	fmt.Fprintf(r.out, "%s; %d connections, values of %d bytes, %d keys; medians of %d rounds of %s\n\n",
		kind, o.conns, o.size, o.keys, o.rounds, amount)
	fmt.Fprintf(r.out, "%-16s %5s  %-10s %11s %9s %9s %9s %9s %9s %9s\n",
		"mix", "P", "server", "commands/s", "p50", "p95", "p99", "p99.9", "max", "CPU/cmd")
	return nil
}

// version asks the server what it is; a server without INFO stays anonymous.
func (r *report) version(ctx context.Context, t *target) string {
	c, err := dial(ctx, t.addr)
	if err != nil {
		return ""
	}
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(2 * time.Second))
	if _, err := c.Write([]byte("*2\r\n$4\r\nINFO\r\n$6\r\nserver\r\n")); err != nil {
		return ""
	}
	in := make([]byte, 16<<10)
	n, _ := c.Read(in)
	for line := range strings.Lines(string(in[:n])) {
		if v, ok := strings.CutPrefix(line, "redis_version:"); ok {
			return ", version " + strings.TrimSpace(v)
		}
	}
	return ""
}

// keeping asks the server what it writes to disk, and when; a server that does
// not tell is taken as it is.
func keeping(ctx context.Context, addr string) string {
	c, err := dial(ctx, addr)
	if err != nil {
		return ""
	}
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(2 * time.Second))
	in := resp.NewReader(c)
	ask := func(name string) (value string, known bool) {
		if _, err := c.Write(resp.AppendCommandStrings(nil, "CONFIG", "GET", name)); err != nil {
			return "", false
		}
		v, err := in.ReadValue()
		if err != nil || len(v.Elems) != 2 {
			return "", false
		}
		return string(v.Elems[1].Str), true
	}
	log, known := ask("appendonly")
	if !known {
		return ""
	}
	if fsync, ok := ask("appendfsync"); ok && log == "yes" {
		log += ", fsync " + fsync
	}
	save, _ := ask("save")
	if save == "" {
		save = "never"
	}
	return fmt.Sprintf(", append-only file: %s, snapshots: %s", log, save)
}

// row prints one test.
func (r *report) row(m *mix, depth int, rounds [][]measured) {
	for i, t := range r.targets {
		pick := func(f func(measured) float64) float64 {
			var vs []float64
			for _, round := range rounds {
				vs = append(vs, f(round[i]))
			}
			return median(vs)
		}
		fmt.Fprintf(r.out, "%-16s %5d  %-10s %11s", m.name, depth, r.label(i, t),
			thousands(pick(func(x measured) float64 { return x.perSecond() })))
		for _, q := range []float64{0.5, 0.95, 0.99, 0.999, 1} {
			fmt.Fprintf(r.out, " %9s", brief(pick(func(x measured) float64 { return float64(x.hist.quantile(q)) })))
		}
		cpu := "-"
		if rounds[0][i].hasCPU {
			cpu = brief(pick(cpuPerCommand))
		}
		fmt.Fprintf(r.out, " %9s\n", cpu)
		r.findFaults(m, depth, t, i, rounds)
	}
	if len(r.targets) == 2 {
		r.ratio(m, depth, rounds)
	}
}

func (r *report) label(i int, t *target) string {
	if len(t.name) <= 10 && !strings.Contains(t.name, ":") {
		return t.name
	}
	return string(rune('A' + i))
}

// cpuPerCommand is in ns. The processor time covers the warm-up too, so the
// commands of the warm-up are estimated from the rate of the measurement.
func cpuPerCommand(x measured) float64 {
	if x.replies == 0 {
		return 0
	}
	return float64(x.cpu) / x.perSecond() / x.wall.Seconds()
}

// ratio prints how many times as fast the first server is. It is taken in each
// round, where both had the same weather, and the median of those is the verdict.
func (r *report) ratio(m *mix, depth int, rounds [][]measured) {
	var speed, tail []float64
	for _, round := range rounds {
		a, b := round[0], round[1]
		if b.perSecond() > 0 {
			speed = append(speed, a.perSecond()/b.perSecond())
		}
		if q := b.hist.quantile(0.99); q > 0 {
			tail = append(tail, float64(a.hist.quantile(0.99))/float64(q))
		}
	}
	if len(speed) == 0 || len(tail) == 0 {
		return
	}
	fmt.Fprintf(r.out, "%-16s %5d  A/B        %10.2fx  (%.2f to %.2f)   p99 %.2fx\n\n",
		m.name, depth, median(speed), slices.Min(speed), slices.Max(speed), median(tail))
}

// findFaults notes what makes a test's figures worthless.
func (r *report) findFaults(m *mix, depth int, t *target, i int, rounds [][]measured) {
	var errors, unanswered, replies int64
	first := ""
	for _, round := range rounds {
		x := round[i]
		if errors == 0 {
			first = x.firstError
		}
		errors += x.errors
		unanswered += x.unanswered
		replies += x.replies
	}
	where := fmt.Sprintf("%s, %s, P %d: ", t.name, m.name, depth)
	if errors > 0 {
		r.faults = append(r.faults, fmt.Sprintf("%s%d error replies, the first: %s", where, errors, first))
	}
	if unanswered > 0 {
		r.faults = append(r.faults, fmt.Sprintf("%s%d commands still unanswered %v after the end: the rate is more than it can serve", where, unanswered, drainTime))
	}
	if replies == 0 {
		r.faults = append(r.faults, where+"nothing was measured; is -t too short?")
	}
}

func (r *report) foot() error {
	if len(r.faults) == 0 {
		return nil
	}
	return fmt.Errorf("these figures are not to be trusted:\n  %s", strings.Join(r.faults, "\n  "))
}

// median of an even number of values is the mean of the two in the middle.
func median(vs []float64) float64 {
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

// brief prints nanoseconds with three digits and a unit.
func brief(ns float64) string {
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

// thousands prints a count with commas.
func thousands(v float64) string {
	s := fmt.Sprintf("%.0f", v)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
