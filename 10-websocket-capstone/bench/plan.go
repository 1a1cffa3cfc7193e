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

// condition is a group of tests and what holds for all of them.
type condition struct {
	title string
	tests string // "": those of -t
	depth int
	conns int
	size  int
	long  bool     // its commands are slow, or its clients many: rounds take twice as long
	args  []string // the servers are started anew with these; an address cannot be
}

// list is what -t, -P, -c and -d ask for.
func (o *options) list() (cs []condition) {
	for _, p := range o.pipelines {
		cs = append(cs, condition{depth: p, conns: o.conns, size: o.size})
	}
	return cs
}

// more is what -full adds.
func (o *options) more() (cs []condition) {
	for _, n := range []int{1, 500, 5000} {
		cs = append(cs, condition{tests: "set,get", depth: 1, conns: n, size: o.size, long: true})
	}
	for _, size := range []int{1 << 10, 64 << 10, 1 << 20} {
		cs = append(cs, condition{tests: "set,get", depth: 1, conns: o.conns, size: size, long: true})
	}
	for _, policy := range []string{"everysec", "always"} {
		cs = append(cs, condition{title: "append-only file, fsync " + policy + ": ", tests: "set,incr,lpush,hset", depth: 1, conns: o.conns, size: o.size, long: true,
			args: []string{"--appendonly", "yes", "--appendfsync", policy}})
	}
	return cs
}

// time is how long a round is measured under a condition.
func (o *options) time(c condition) time.Duration {
	if c.long {
		return 2 * o.duration
	}
	return o.duration
}

// sizeLimit bounds what a key space of large values may take.
const sizeLimit = 64 << 20

// mixes are the tests under a condition. Of large values there are fewer keys.
func (o *options) mixesFor(c condition) ([]*load.Mix, error) {
	tests := c.tests
	if tests == "" {
		tests = o.tests
	}
	return load.Parse(tests, min(o.keySpace, max(sizeLimit/max(c.size, 1), 1)), c.size)
}

// estimate is about how long it all takes: the rounds, and as much again as preparing them takes by experience.
func (o *options) estimate(servers int) time.Duration {
	conditions := o.list()
	var scenes time.Duration
	if o.full {
		conditions = append(conditions, o.more()...)
		scenes = time.Duration(servers) * 100 * time.Second * time.Duration(o.keys) / 1_000_000
	}
	if o.agree {
		servers = 2 // clients
	}
	var sum time.Duration
	for _, c := range conditions {
		mixes, _ := o.mixesFor(c)
		const preparing = 150 * time.Millisecond
		sum += time.Duration(len(mixes)*o.rounds*servers) * (o.time(c) + o.warmup + preparing)
	}
	return sum + scenes
}

// steps does everything in turn.
func (b *bench) steps(ctx context.Context) error {
	ss, err := b.start(ctx)
	defer func() { stopAll(ss) }()
	if err != nil {
		return err
	}
	b.introduce(ss)
	if b.o.agree {
		return b.agree(ctx, ss[0])
	}
	for _, c := range b.o.list() {
		if err := b.group(ctx, ss, c); err != nil {
			return err
		}
	}
	if !b.o.full {
		b.memoryNow(ss)
		return nil
	}
	for _, c := range b.o.more() {
		if err := b.group(ctx, ss, c); err != nil {
			return err
		}
	}
	b.memoryNow(ss)
	stopAll(ss)
	ss = nil
	return b.scenes(ctx)
}

// introduce prints the head of the report, and sees to it that like is compared with like.
func (b *bench) introduce(ss []*servers.Server) {
	for i, s := range ss {
		b.rep.Servers = append(b.rep.Servers, report.Server{Name: s.Name, Addr: s.Addr, Version: s.Version, Keeps: s.Keeps})
		first := ss[0].Keeps
		if i > 0 && s.Keeps != "" && first != "" && s.Keeps != first {
			b.fault("unlike persistence settings are compared: who writes to the disk less is faster, and that says nothing else")
		}
		if _, ok := s.CPU(); !ok {
			b.rep.Options += "; " + s.Name + "'s CPU and memory are not known here: it is on another machine, or this is no Linux"
		}
	}
	if b.o.full && !b.canStart() {
		b.rep.Options += "; without disk, memory, loading and pauses, for which the bench must be able to start the servers"
	}
	if b.o.agree { // the sides are clients
		b.rep.Options += "; asks " + b.rep.Servers[0].String()
		b.rep.Servers = []report.Server{{Name: "this bench, its client " + b.o.client}, {Name: "redis-benchmark"}}
	}
	b.rep.Options += fmt.Sprintf("; takes about %v", b.o.estimate(len(ss)).Round(10*time.Second))
	b.text.Head(b.rep)
}

// newGroup begins a group of the report.
func (b *bench) newGroup(title string) *report.Group {
	g := &report.Group{Title: title}
	b.rep.Groups = append(b.rep.Groups, g)
	return g
}

// group runs all tests under one condition.
func (b *bench) group(ctx context.Context, ss []*servers.Server, c condition) error {
	if c.args != nil {
		if !b.canStart() {
			return nil
		}
		var err error
		ss, err = b.start(ctx, c.args...)
		defer func() { stopAll(ss) }()
		if err != nil {
			return err
		}
	}
	mixes, err := b.o.mixesFor(c)
	if err != nil {
		return err
	}
	g := b.newGroup(c.title + fmt.Sprintf("-P %d, %s, values of %s", c.depth, clients(c.conns), sizeText(c.size)))
	for _, m := range mixes {
		err := b.race(ctx, g, ss, load.Load{
			Conns: c.conns, Pipeline: c.depth, Threads: b.o.threads, Mix: m, Rate: b.o.rate, Requests: b.o.requests,
			Duration: b.o.time(c), Warmup: b.o.warmup, Client: b.o.client,
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func clients(n int) string {
	if n == 1 {
		return "1 client"
	}
	return stats.Thousands(float64(n)) + " clients"
}

func sizeText(n int) string {
	switch {
	case n >= 1<<20:
		return fmt.Sprintf("%d MB", n>>20)
	case n >= 1<<10:
		return fmt.Sprintf("%d KB", n>>10)
	}
	return fmt.Sprintf("%d bytes", n)
}

// memoryNow adds what the servers hold after the tests, and held at most.
func (b *bench) memoryNow(ss []*servers.Server) {
	now, peak := &report.Figure{Name: "after these tests", Unit: report.Bytes}, &report.Figure{Name: "the most so far", Unit: report.Bytes}
	known := false
	for _, s := range ss {
		n, p, ok := s.Memory()
		known = known || ok
		now.Sides = append(now.Sides, stats.SampleOf([]float64{float64(n)}))
		peak.Sides = append(peak.Sides, stats.SampleOf([]float64{float64(p)}))
	}
	if !known {
		return
	}
	g := b.newGroup("memory that the machine has given (RSS)")
	b.figure(g, now)
	b.figure(g, peak)
}

// figure prints a figure and keeps it for the page.
func (b *bench) figure(g *report.Group, f *report.Figure) {
	g.Figures = append(g.Figures, f)
	b.text.Figure(g, f)
}

// canStart reports whether every server can be started anew.
func (b *bench) canStart() bool {
	for _, s := range b.sources {
		if !s.Starts() {
			return false
		}
	}
	return true
}
