package main

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"time"

	"byor/10-websocket-capstone/bench/client"
	"byor/10-websocket-capstone/bench/load"
	"byor/10-websocket-capstone/bench/report"
	"byor/10-websocket-capstone/bench/servers"
	"byor/10-websocket-capstone/bench/stats"
)

// Pauses: clients ask by a timetable, and meanwhile something big happens to the server. A closed loop would wait
// politely until it is over, and report one slow answer a client; the timetable shows what everybody has to wait.

const pauseRate = 5000 // commands a second

// pauseTime is how long a disturbance is watched.
var pauseTime = 3 * time.Second

// disturbance is something big. before is what is done first, without anybody watching.
type disturbance struct {
	name   string
	before func(ctx context.Context, s *servers.Server, keys int) error
	happen func(ctx context.Context, s *servers.Server, keys int) error
}

// theDisturbances stand in an order in which each finds what it needs. The first is none: what it shows is the
// machine's own, and has to be taken off all others.
var theDisturbances = []disturbance{
	{name: "nothing happens"},
	{name: "keys are loaded", happen: loadKeys},
	{name: "saved (BGSAVE)", happen: saying("BGSAVE")},
	{name: "rewritten (BGREWRITEAOF)", happen: saying("BGREWRITEAOF")},
	{name: "FLUSHALL", happen: saying("FLUSHALL")},
	{name: "all keys expire at once", before: loadExpiring},
}

func loadKeys(ctx context.Context, s *servers.Server, keys int) error {
	return fill(ctx, s.Addr, keys, kinds[0].command)
}

// loadExpiring loads keys that all end at one moment, which comes in the middle of the watch.
func loadExpiring(ctx context.Context, s *servers.Server, keys int) error {
	began := time.Now()
	if err := loadKeys(ctx, s, keys); err != nil {
		return err
	}
	// To give all of them their end takes about as long as to load them. It must not come before the last has it.
	end := time.Now().Add(2*time.Since(began) + pauseTime/2)
	at := strconv.FormatInt(end.UnixMilli(), 10)
	err := fill(ctx, s.Addr, keys, func(i int, args []string) []string {
		return append(args, "PEXPIREAT", name("string", i), at)
	})
	if err != nil {
		return err
	}
	return pause(ctx, time.Until(end)-pauseTime/2)
}

func saying(command string) func(context.Context, *servers.Server, int) error {
	return func(ctx context.Context, s *servers.Server, _ int) error {
		_, err := client.Once(ctx, s.Addr, time.Minute, command)
		return err
	}
}

func (b *bench) pauses(ctx context.Context) error {
	g := b.newGroup(fmt.Sprintf("what a client has to wait while something happens to %s keys (open loop, %s SET and GET a second)",
		stats.Thousands(float64(b.o.keys)), stats.Thousands(pauseRate)))
	ss, err := b.start(ctx, "--appendonly", "yes")
	defer func() { stopAll(ss) }()
	if err != nil {
		return err
	}
	mixes, err := load.Parse("set+get", 1000, b.o.size)
	if err != nil {
		return err
	}
	for _, d := range theDisturbances {
		longest, tail := &report.Figure{Name: d.name + ": longest"}, &report.Figure{Name: d.name + ": p99.9"}
		for _, s := range ss {
			r, err := b.watch(ctx, s, d, mixes[0])
			if err != nil {
				return fmt.Errorf("%s, %s: %w", s.Name, d.name, err)
			}
			longest.Sides = append(longest.Sides, stats.SampleOf([]float64{float64(r.Hist.Max)}))
			tail.Sides = append(tail.Sides, stats.SampleOf([]float64{float64(r.Hist.Quantile(0.999))}))
			b.findFaults(s.Name+", "+d.name+": ", []round{{Result: r}})
		}
		b.figure(g, longest)
		b.figure(g, tail)
	}
	return nil
}

// watch asks by the timetable while d happens, and until it is over.
func (b *bench) watch(ctx context.Context, s *servers.Server, d disturbance, m *load.Mix) (*load.Result, error) {
	if d.before != nil {
		if err := d.before(ctx, s, b.o.keys); err != nil {
			return nil, err
		}
	}
	happened := make(chan error, 1)
	l := load.Load{Conns: 20, Pipeline: 1, Threads: 1, Mix: m, Rate: pauseRate, Seed: b.o.seed, Client: b.o.client,
		Warmup: pauseTime / 15, Duration: pauseTime}
	l.Started = func() {
		go func() {
			err := pause(ctx, pauseTime/6) // the measurement has begun
			if err == nil && d.happen != nil {
				err = d.happen(ctx, s, b.o.keys)
			}
			happened <- err
		}()
	}
	r, err := load.Run(ctx, s.Addr, &l)
	if r != nil && l.Started != nil {
		if e := <-happened; err == nil {
			err = e
		}
	}
	if err != nil {
		return nil, err
	}
	return r, quiet(ctx, s)
}

// quiet waits until nothing is written in the background, so that the next disturbance has the server for itself.
func quiet(ctx context.Context, s *servers.Server) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	c, err := client.Dial(ctx, s.Addr)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	for {
		info := c.Info("persistence")
		if info["rdb_bgsave_in_progress"] != "1" && info["aof_rewrite_in_progress"] != "1" && info["aof_rewrite_scheduled"] != "1" {
			return nil
		}
		if err := pause(ctx, 10*time.Millisecond); err != nil {
			return err
		}
	}
}

func splitAddr(addr string) (host, port string) {
	host, port, _ = net.SplitHostPort(addr)
	return host, port
}
