// Command bench is a load generator for servers that speak RESP. It measures
// one server, or races two side by side:
//
//	go run ./10-websocket-capstone/bench -addr 127.0.0.1:6380
//	go run ./10-websocket-capstone/bench -redis -capstone -P 1,16 -mix 'get;set:1,get:9'
//	go run ./10-websocket-capstone/bench -redis -capstone -rate 20000
//
// A closed loop (the default) keeps every connection busy: it sends the next
// commands when the last are answered, and so finds the highest throughput. An
// open loop (-rate) sends by a timetable whatever the server does, and counts
// latency from the moment a command should have been sent: it shows the stalls
// that a closed loop politely waits out.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"byor/pkg/version"
)

// options are the flags.
type options struct {
	addr, versus    string
	redis, capstone bool
	serverArgs      string
	conns, threads  int
	pipelines       []int
	mixes           []string
	keys, size      int
	requests        int64
	duration        time.Duration
	warmup          time.Duration
	rounds          int
	rate            float64
	prefill         bool
	seed            uint64
	transport       string
}

func parse(args []string, out io.Writer) (*options, error) {
	var o options
	var pipelines, mixes string
	fs := flag.NewFlagSet("bench", flag.ContinueOnError)
	fs.SetOutput(out)
	fs.StringVar(&o.addr, "addr", "", "server to measure: host:port, or the path of a unix socket")
	fs.StringVar(&o.versus, "versus", "", "a second server, to be raced against the first")
	fs.BoolVar(&o.capstone, "capstone", false, "build and start step 10 as the first server")
	fs.BoolVar(&o.redis, "redis", false, "start a real redis-server as the second server (or the only one)")
	fs.StringVar(&o.serverArgs, "server-args", "", "further arguments for every server started here, such as '--appendonly yes'")
	fs.IntVar(&o.conns, "c", 50, "connections")
	fs.IntVar(&o.threads, "threads", 1, "load threads")
	fs.StringVar(&pipelines, "P", "1,16", "commands sent in one go, one or more depths")
	fs.StringVar(&mixes, "mix", "ping;set;get;incr;set:1,get:9", "mixes of commands with weights, separated by ';' or '/'")
	fs.IntVar(&o.keys, "keys", 100000, "size of the key space")
	fs.IntVar(&o.size, "d", 3, "bytes of a value")
	fs.Int64Var(&o.requests, "n", 0, "measured commands a round (0: measure for -t)")
	fs.DurationVar(&o.duration, "t", time.Second, "time of measuring a round")
	fs.DurationVar(&o.warmup, "warmup", 300*time.Millisecond, "time of warming up before each round, not measured")
	fs.IntVar(&o.rounds, "rounds", 3, "rounds; with two servers each round has both, in alternating order")
	fs.Float64Var(&o.rate, "rate", 0, "open loop: commands a second, over all connections (0: closed loop)")
	fs.BoolVar(&o.prefill, "prefill", true, "write every key once before a mix that reads")
	fs.Uint64Var(&o.seed, "seed", 1, "seed of the random choices")
	fs.StringVar(&o.transport, "transport", "auto", "auto (epoll on Linux) or goroutines")
	version.Flags(fs)
	if err := fs.Parse(args); err != nil {
		return nil, err
	}
	if fs.NArg() > 0 {
		return nil, fmt.Errorf("what is %q? bench takes flags only", fs.Arg(0))
	}
	for _, p := range strings.Split(pipelines, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(p))
		if err != nil || n < 1 || n > 10000 {
			return nil, fmt.Errorf("-P: %q is no depth from 1 to 10000", p)
		}
		o.pipelines = append(o.pipelines, n)
	}
	o.mixes = strings.FieldsFunc(mixes, func(r rune) bool { return r == ';' || r == '/' })
	return &o, o.check()
}

func (o *options) check() error {
	for _, c := range []struct {
		wrong bool
		say   string
	}{
		{o.conns < 1 || o.conns > 50000, "-c: from 1 to 50000 connections"},
		{o.threads < 1, "-threads: at least 1"},
		{o.keys < 1, "-keys: at least 1"},
		{o.size < 0, "-d: no negative sizes"},
		{o.rounds < 1, "-rounds: at least 1"},
		{o.rate < 0, "-rate: no negative rates"},
		{o.requests < 0, "-n: no negative numbers"},
		{o.requests == 0 && o.duration <= 0, "-t: must be positive"},
		{o.warmup < 0, "-warmup: no negative times"},
		{o.transport != "auto" && o.transport != "goroutines", "-transport: auto or goroutines"},
		{len(o.mixes) == 0, "-mix: name at least one command"},
		{o.addr != "" && o.capstone, "-addr and -capstone both name the first server"},
		{o.versus != "" && o.redis, "-versus and -redis both name the second server"},
		{o.versus != "" && o.addr == "" && !o.capstone, "-versus needs a first server, -addr or -capstone"},
		{o.addr == "" && !o.capstone && !o.redis, "which server? -addr host:port, -capstone, -redis"},
	} {
		if c.wrong {
			return errors.New(c.say)
		}
	}
	return nil
}

// targets starts or names the servers, the one to be judged first.
func (o *options) targets(ctx context.Context) (ts []*target, err error) {
	extra := strings.Fields(o.serverArgs)
	if o.addr != "" {
		ts = append(ts, &target{name: o.addr, addr: o.addr})
	}
	if o.redis { // before the capstone: it is the one that may be missing
		t, err := startRedis(ctx, extra)
		if err != nil {
			return ts, err
		}
		ts = append(ts, t)
	}
	if o.capstone {
		t, err := startCapstone(ctx, extra)
		if err != nil {
			return ts, err
		}
		ts = append([]*target{t}, ts...)
	}
	if o.versus != "" {
		ts = append(ts, &target{name: o.versus, addr: o.versus})
	}
	return ts, nil
}

// bench does what the flags say and writes the report to out.
func bench(ctx context.Context, o *options, out io.Writer) error {
	targets, err := o.targets(ctx)
	defer func() {
		for _, t := range targets {
			t.stop()
		}
	}()
	if err != nil {
		return err
	}
	r := &report{out: out, o: o, targets: targets}
	if err := r.head(ctx); err != nil {
		return err
	}
	for _, text := range o.mixes {
		m, err := parseMix(text, o.keys, o.size)
		if err != nil {
			return err
		}
		if o.prefill && m.readsStrings() {
			for _, t := range targets {
				if err := prefill(ctx, t.addr, o.keys, o.size); err != nil {
					return fmt.Errorf("%s: %w", t.name, err)
				}
			}
		}
		for _, depth := range o.pipelines {
			rounds, err := race(ctx, o, targets, m, depth)
			if err != nil {
				return err
			}
			r.row(m, depth, rounds)
		}
	}
	return r.foot()
}

// measured is a round on one server.
type measured struct {
	*result
	cpu    time.Duration // of the server, with the warm-up
	hasCPU bool
}

// race runs all rounds of one test. In every other round the second server goes
// first: what slows the machine down for a while then hits both alike.
// The result has for each round one entry for each target.
func race(ctx context.Context, o *options, targets []*target, m *mix, depth int) ([][]measured, error) {
	transport := defaultTransport()
	if o.transport == "goroutines" {
		transport = runGoroutines
	}
	l := &load{
		conns: o.conns, pipeline: depth, threads: o.threads, mix: m, rate: o.rate, requests: o.requests,
		duration: int64(o.duration), warmup: int64(o.warmup),
	}
	var rounds [][]measured
	for round := range o.rounds {
		l.seed = o.seed + uint64(round)
		results := make([]measured, len(targets))
		for k := range targets {
			i := (k + round) % len(targets)
			before, _ := targets[i].cpu()
			res, err := run(ctx, targets[i].addr, l, transport)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", targets[i].name, err)
			}
			after, ok := targets[i].cpu()
			results[i] = measured{result: res, cpu: after - before, hasCPU: ok}
		}
		rounds = append(rounds, results)
	}
	return rounds, nil
}

func main() {
	o, err := parse(os.Args[1:], os.Stderr)
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "bench: %v (-help lists the flags)\n", err)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err = bench(ctx, o, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}
