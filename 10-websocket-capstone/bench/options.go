package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"byor/10-websocket-capstone/bench/load"
	"byor/pkg/version"
)

// options are the flags.
type options struct {
	addr, a, b  string
	serverArgs  string
	tests       string
	mixes       []*load.Mix
	pipelines   []int
	conns       int
	threads     int
	keySpace    int
	size        int
	requests    int64
	duration    time.Duration
	warmup      time.Duration
	rounds      int
	rate        float64
	seed        uint64
	client      string
	quick, full bool
	agree       bool
	keys        int
	html        string
}

// preset is what -quick and -full say about flags that were not given.
var presets = map[string]map[string]string{
	"quick": {"time": "120ms", "warmup": "40ms"},
	"full":  {"time": "300ms", "warmup": "80ms", "P": "1,16,64"},
}

const usage = `bench [flags]

Races step 10 against a real redis-server, or any two servers, and prints who is faster. A round of
one is followed by a round of the other, and medians of the rounds count. Quit everything else that
is busy: on a laptop, a browser alone moves the figures by ten per cent.

  bench                                     step 10 and redis-server, redis-benchmark's list
  bench -full -html report.html             ten minutes: also clients, sizes, disk, memory, pauses
  bench -a commit:HEAD~5 -b commit:HEAD     two commits
  bench -addr 127.0.0.1:6380 -t get -P 1    one server alone
  bench -agree                              is the bench itself right? It asks redis-benchmark

A server is "capstone" (step 10, built now), "redis" (the one that is installed), "commit:REVISION",
the path of a program, host:port, or the path of a unix socket; "name=" in front gives it a name.
What was started is stopped, and its files are removed. A server that was there before keeps its
data, but for redis-benchmark's keys: key:…, counter:…, mylist, myset, myhash, myzset.
`

// flags are the flags of o; the depths come as text.
func (o *options) flags(pipelines *string) *flag.FlagSet {
	fs := flag.NewFlagSet("bench", flag.ContinueOnError)
	fs.StringVar(&o.addr, "addr", "", "measure this `server` alone")
	fs.StringVar(&o.a, "a", "capstone", "the `server` to be judged")
	fs.StringVar(&o.b, "b", "redis", "the `server` it is compared with")
	fs.StringVar(&o.serverArgs, "server-args", "", "further `arguments` for every server started here, such as '--io-threads 2'")
	fs.BoolVar(&o.quick, "quick", false, "a minute instead of three")
	fs.BoolVar(&o.full, "full", false, "ten minutes: depths, clients, sizes, disk, memory, loading, pauses")
	fs.BoolVar(&o.agree, "agree", false, "measure the first server with this bench and with redis-benchmark in turn")
	fs.StringVar(&o.html, "html", "", "write the report as a page to this `file`")
	fs.StringVar(&o.tests, "t", "default", "`tests`, as redis-benchmark's -t; set:1+get:9 is a mix")
	fs.StringVar(pipelines, "P", "1,16", "commands sent in one go, one or more `depths`")
	fs.IntVar(&o.conns, "c", 50, "clients")
	fs.IntVar(&o.size, "d", 3, "bytes of a value")
	fs.IntVar(&o.keySpace, "r", 100000, "size of the key space")
	fs.Int64Var(&o.requests, "n", 0, "measured commands a round (0: measure for -time)")
	fs.DurationVar(&o.duration, "time", 500*time.Millisecond, "time of measuring a round")
	fs.DurationVar(&o.warmup, "warmup", 100*time.Millisecond, "time of warming up before each round, not measured")
	fs.IntVar(&o.rounds, "rounds", 3, "rounds; each has all servers, in alternating order")
	fs.Float64Var(&o.rate, "rate", 0, "open loop: commands a second, over all clients (0: closed loop)")
	fs.IntVar(&o.keys, "keys", 1000000, "keys for memory, loading and pauses in -full")
	fs.IntVar(&o.threads, "threads", 1, "load threads")
	fs.Uint64Var(&o.seed, "seed", 1, "seed of the random choices")
	fs.StringVar(&o.client, "client", defaultClient(), "how clients write: "+strings.Join(load.Clients, ", "))
	version.Flags(fs)
	flags := fs.Usage
	fs.Usage = func() {
		fmt.Fprint(fs.Output(), usage+"\n")
		flags()
	}
	return fs
}

// parse reads the command line. What is wrong with it is said in the error, help is written to out.
func parse(args []string, out io.Writer) (*options, error) {
	var o options
	var pipelines string
	fs := o.flags(&pipelines)
	fs.SetOutput(out)
	if err := fs.Parse(args); err != nil {
		return nil, err
	}
	if fs.NArg() > 0 {
		return nil, fmt.Errorf("what is %q? bench takes flags only", fs.Arg(0))
	}
	o.preset(fs)
	if err := o.depths(pipelines); err != nil {
		return nil, err
	}
	if err := o.check(fs); err != nil {
		return nil, err
	}
	var err error
	o.mixes, err = load.Parse(o.tests, o.keySpace, o.size)
	return &o, err
}

// defaultClient behaves as redis-benchmark where that can be had.
func defaultClient() string {
	if runtime.GOOS == "linux" {
		return load.Clients[0]
	}
	return "goroutines"
}

// given reports whether a flag stands on the command line.
func given(fs *flag.FlagSet, name string) (yes bool) {
	fs.Visit(func(f *flag.Flag) { yes = yes || f.Name == name })
	return yes
}

// preset sets what -quick or -full wants otherwise, unless the command line wants it otherwise still.
func (o *options) preset(fs *flag.FlagSet) {
	for name, values := range presets {
		if !given(fs, name) {
			continue
		}
		for k, v := range values {
			if !given(fs, k) {
				_ = fs.Set(k, v) // a value from the table above
			}
		}
	}
}

func (o *options) depths(text string) error {
	for p := range strings.SplitSeq(text, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(p))
		if err != nil || n < 1 || n > 10000 {
			return fmt.Errorf("-P: %q is no depth from 1 to 10000", p)
		}
		o.pipelines = append(o.pipelines, n)
	}
	return nil
}

func (o *options) check(fs *flag.FlagSet) error {
	for _, c := range []struct {
		wrong bool
		say   string
	}{
		{o.conns < 1 || o.conns > 50000, "-c: from 1 to 50000 clients"},
		{o.threads < 1, "-threads: at least 1"},
		{o.keySpace < 1, "-r: at least 1"},
		{o.size < 0, "-d: no negative sizes"},
		{o.rounds < 1, "-rounds: at least 1"},
		{o.rate < 0, "-rate: no negative rates"},
		{o.requests < 0, "-n: no negative numbers"},
		{o.requests == 0 && o.duration <= 0, "-time: must be positive"},
		{o.warmup < 0, "-warmup: no negative times"},
		{o.keys < 1, "-keys: at least 1"},
		{!slices.Contains(load.Clients, o.client), "-client: one of " + strings.Join(load.Clients, ", ")},
		{o.addr != "" && (given(fs, "a") || given(fs, "b")), "-addr is one server alone; -a and -b are two"},
		{o.quick && o.full, "-quick or -full, not both"},
		{o.agree && o.full, "-agree or -full, not both"},
		{o.agree && strings.Contains(o.tests, "+"), "-agree: redis-benchmark has no mixes"},
		{o.agree && o.rate > 0, "-agree: redis-benchmark has no open loop"},
		{o.addr == "" && (o.a == "" || o.b == ""), "which server? -a and -b, or -addr for one alone"},
	} {
		if c.wrong {
			return errors.New(c.say)
		}
	}
	return nil
}

// specs are the servers, the one to be judged first.
func (o *options) specs() []string {
	switch {
	case o.addr != "":
		return []string{o.addr}
	case o.agree:
		return []string{o.a}
	}
	return []string{o.a, o.b}
}

// String says how it is measured.
func (o *options) String() string {
	kind := "closed loop"
	if o.rate > 0 {
		kind = fmt.Sprintf("open loop, %.0f commands a second, latency from the intended start", o.rate)
	}
	amount := fmt.Sprintf("%v after %v of warm-up", o.duration, o.warmup)
	if o.requests > 0 {
		amount = fmt.Sprintf("%d commands after %v of warm-up", o.requests, o.warmup)
	}
	return fmt.Sprintf("%s, client %s, %d keys, medians of %d rounds of %s", kind, o.client, o.keySpace, o.rounds, amount)
}
