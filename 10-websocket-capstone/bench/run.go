package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"time"
)

var base = time.Now()

// nanos is the bench's clock: monotonic nanoseconds.
func nanos() int64 { return int64(time.Since(base)) }

// drainTime is how long an open loop waits for late replies after its end. What
// has not come by then is reported as unanswered.
const drainTime = 5 * time.Second

// result is what one round against one server has shown.
type result struct {
	tally
	elapsed    time.Duration // of the measurement
	wall       time.Duration // with the warm-up
	unanswered int64         // open loop only
}

// perSecond is the throughput.
func (r *result) perSecond() float64 {
	if r.elapsed <= 0 {
		return 0
	}
	return float64(r.replies) / r.elapsed.Seconds()
}

// thread is one load thread: some of the connections and a tally of its own.
type thread struct {
	load   *load
	clock  *schedule
	tally  tally
	talks  []*talk
	conns  []net.Conn
	budget int64 // measured commands it may still send
	pacer  pacer
	err    error
}

// run puts l on the server at addr and measures. It returns early with the
// context's error when ctx ends.
func run(ctx context.Context, addr string, l *load, transport func(context.Context, *thread) error) (*result, error) {
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
	startClock(threads, l)
	var wg sync.WaitGroup
	for _, th := range threads {
		wg.Go(func() { th.err = transport(ctx, th) })
	}
	wg.Wait()
	return gather(ctx, threads, l)
}

// connect opens the connections and shares them out among the threads.
func connect(ctx context.Context, addr string, l *load) ([]*thread, error) {
	threads := make([]*thread, min(l.threads, l.conns))
	for i := range threads {
		threads[i] = &thread{load: l}
	}
	for i := range l.conns {
		c, err := dial(ctx, addr)
		if err != nil {
			return threads, fmt.Errorf("connection %d of %d: %w", i+1, l.conns, err)
		}
		th := threads[i%len(threads)]
		th.conns = append(th.conns, c)
		th.talks = append(th.talks, &talk{load: l, tally: &th.tally, rng: *rand.NewPCG(l.seed, uint64(i))})
	}
	return threads, nil
}

// startClock fixes the moments of the run and each thread's share of the work.
func startClock(threads []*thread, l *load) {
	now := nanos()
	clock := &schedule{measure: now + l.warmup, end: math.MaxInt64}
	if l.requests == 0 {
		clock.end = clock.measure + l.duration
	}
	left := l.requests
	for i, th := range threads {
		th.clock = clock
		th.budget = left / int64(len(threads)-i)
		left -= th.budget
		if l.requests == 0 {
			th.budget = math.MaxInt64
		}
		if l.rate > 0 {
			// The threads' timetables interleave evenly.
			interval := float64(l.pipeline) / l.rate * float64(time.Second)
			th.pacer = pacer{start: now + int64(float64(i)*interval), interval: interval * float64(len(threads))}
		}
		for _, t := range th.talks {
			t.clock = clock
		}
	}
}

func gather(ctx context.Context, threads []*thread, l *load) (*result, error) {
	var r result
	var errs []error
	for _, th := range threads {
		for _, t := range th.talks {
			t.finish()
			if l.rate > 0 {
				r.unanswered += t.unanswered()
			}
		}
		r.merge(&th.tally)
		errs = append(errs, th.err)
	}
	clock := threads[0].clock
	end := clock.end
	if l.requests > 0 {
		end = r.lastReply
	} else if l.rate > 0 {
		end = max(end, r.lastReply) // replies that came late must not count as fast
	}
	r.elapsed = time.Duration(end - clock.measure)
	r.wall = r.elapsed + time.Duration(l.warmup)
	if err := ctx.Err(); err != nil {
		return &r, err
	}
	return &r, errors.Join(errs...)
}

// dial connects to host:port or, when addr has a slash, to a unix socket.
func dial(ctx context.Context, addr string) (net.Conn, error) {
	network := "tcp"
	if strings.Contains(addr, "/") {
		network = "unix"
	}
	d := net.Dialer{Timeout: 5 * time.Second}
	return d.DialContext(ctx, network, addr)
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
	th.budget -= int64(th.load.pipeline)
	return true
}

// prefill writes every key of the key space once, so that GET finds something.
func prefill(ctx context.Context, addr string, keySpace, valueSize int) error {
	c, err := dial(ctx, addr)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = c.Close() })
	defer stop()
	set := encode(templates["set"], valueSize)
	var counter replyCounter
	in := make([]byte, 64<<10)
	for k := 0; k < keySpace; {
		var out []byte
		sent := 0
		for ; k < keySpace && sent < 500; k, sent = k+1, sent+1 {
			at := len(out)
			out = append(out, set.bytes...)
			putDigits(out[at+set.keys[0]:at+set.keys[0]+keyDigits], uint64(k))
		}
		if _, err := c.Write(out); err != nil {
			return err
		}
		for sent > 0 {
			n, err := c.Read(in)
			if err != nil {
				return err
			}
			replies, err := counter.count(in[:n])
			if err != nil {
				return err
			}
			sent -= replies
		}
	}
	if counter.errors > 0 {
		return fmt.Errorf("filling the key space: %s", counter.firstError)
	}
	return nil
}
