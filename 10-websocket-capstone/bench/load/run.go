package load

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"byor/10-websocket-capstone/bench/client"
)

var base = time.Now()

// nanos is the bench's clock: monotonic nanoseconds.
func nanos() int64 { return int64(time.Since(base)) }

// DrainTime is how long an open loop waits for late replies after its end. What
// has not come by then is reported as unanswered.
const DrainTime = 5 * time.Second

// Result is what one round against one server has shown.
type Result struct {
	Tally
	Elapsed    time.Duration // of the measurement
	Unanswered int64         // open loop only
}

// PerSecond is the throughput.
func (r *Result) PerSecond() float64 {
	if r.Elapsed <= 0 {
		return 0
	}
	return float64(r.Replies) / r.Elapsed.Seconds()
}

// thread is one load thread: some of the connections and a tally of its own.
type thread struct {
	load   *Load
	clock  *schedule
	tally  Tally
	talks  []*talk
	conns  []net.Conn
	budget int64 // measured commands it may still send
	pacer  pacer
	err    error
}

// Clients names the ways to drive the connections. The first is the default on Linux.
//   - redis-benchmark: one thread with epoll that asks the kernel for leave before each write, as redis-benchmark does:
//     five epoll_ctl calls a request. Its figures are those of redis-benchmark.
//   - lean: the same without asking. It costs about a third less a request, so more of what is seen is the server.
//   - goroutines: a goroutine a connection, for systems without epoll.
var Clients = []string{"redis-benchmark", "lean", "goroutines"}

// transport drives the connections of a thread until what was to be measured is measured.
type transport func(context.Context, *thread) error

func (l *Load) transport() transport {
	if l.Client == "goroutines" {
		return runGoroutines
	}
	return defaultTransport()
}

// Run puts l on the server at addr and measures. It returns early with the context's error when ctx ends.
func Run(ctx context.Context, addr string, l *Load) (*Result, error) {
	threads, err := connect(ctx, addr, l)
	defer func() {
		for _, th := range threads {
			for _, c := range th.conns {
				_ = c.Close()
			}
		}
	}()
	if err != nil {
		return nil, err
	}
	if l.Started != nil {
		l.Started()
	}
	startClock(threads, l)
	drive := l.transport()
	var wg sync.WaitGroup
	for _, th := range threads {
		wg.Go(func() { th.err = drive(ctx, th) })
	}
	wg.Wait()
	return gather(ctx, threads, l)
}

// connect opens the connections and shares them out among the threads.
func connect(ctx context.Context, addr string, l *Load) ([]*thread, error) {
	threads := make([]*thread, min(l.Threads, l.Conns))
	for i := range threads {
		threads[i] = &thread{load: l}
	}
	for i := range l.Conns {
		c, err := client.Open(ctx, addr)
		if err != nil {
			return threads, fmt.Errorf("connection %d of %d: %w", i+1, l.Conns, err)
		}
		th := threads[i%len(threads)]
		th.conns = append(th.conns, c)
		th.talks = append(th.talks, &talk{load: l, tally: &th.tally, rng: *rand.NewPCG(l.Seed, uint64(i))})
	}
	return threads, nil
}

// startClock fixes the moments of the run and each thread's share of the work.
func startClock(threads []*thread, l *Load) {
	now := nanos()
	clock := &schedule{measure: now + int64(l.Warmup), end: math.MaxInt64}
	if l.Requests == 0 {
		clock.end = clock.measure + int64(l.Duration)
	}
	left := l.Requests
	for i, th := range threads {
		th.clock = clock
		th.budget = left / int64(len(threads)-i)
		left -= th.budget
		if l.Requests == 0 {
			th.budget = math.MaxInt64
		}
		if l.Rate > 0 {
			// The threads' timetables interleave evenly.
			interval := float64(l.Pipeline) / l.Rate * float64(time.Second)
			th.pacer = pacer{start: now + int64(float64(i)*interval), interval: interval * float64(len(threads))}
		}
		for _, t := range th.talks {
			t.clock = clock
		}
	}
}

func gather(ctx context.Context, threads []*thread, l *Load) (*Result, error) {
	var r Result
	var errs []error
	for _, th := range threads {
		for _, t := range th.talks {
			t.finish()
			if l.Rate > 0 {
				r.Unanswered += t.unanswered()
			}
		}
		r.merge(&th.tally)
		errs = append(errs, th.err)
	}
	clock := threads[0].clock
	end := clock.end
	if l.Requests > 0 {
		end = r.lastReply
	} else if l.Rate > 0 {
		end = max(end, r.lastReply) // replies that came late must not count as fast
	}
	r.Elapsed = time.Duration(end - clock.measure)
	if err := ctx.Err(); err != nil {
		return &r, err
	}
	return &r, errors.Join(errs...)
}

// mayAsk reports whether a batch that starts now is wanted, and books it.
func (th *thread) mayAsk(start int64) bool {
	if start >= th.clock.end {
		return false
	}
	if start < th.clock.measure {
		return true
	}
	if th.budget <= 0 {
		return false
	}
	th.budget -= int64(th.load.Pipeline)
	return true
}
