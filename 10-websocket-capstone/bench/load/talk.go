// Package load puts load on a server that speaks RESP, and measures. A closed loop keeps every connection busy: it sends
// the next commands when the last are answered, and so finds the highest throughput. An open loop sends by a timetable
// whatever the server does, and counts latency from the moment a command should have been sent: it shows the stalls
// that a closed loop politely waits out.
package load

import (
	"fmt"
	"math/rand/v2"
	"time"

	"byor/10-websocket-capstone/bench/stats"
)

// Load says what is to be sent and how hard.
type Load struct {
	Conns    int
	Pipeline int // commands sent in one go
	Threads  int
	Mix      *Mix
	Rate     float64       // commands a second over all connections; 0: closed loop
	Requests int64         // measured commands; 0: by time
	Duration time.Duration // of measuring, when Requests is 0
	Warmup   time.Duration
	Seed     uint64
	Client   string // one of Clients
	Started  func() // called when all connections are there and nothing was sent yet; may be nil
}

// Tally is what a run has measured. It is not safe for concurrent use: each thread has its own.
type Tally struct {
	Hist       stats.Histogram // of what was measured
	Replies    int64           // that came while measuring
	All        int64           // that came at all, the warm-up's too
	Errors     int64
	FirstError string
	lastReply  int64
}

func (t *Tally) merge(o *Tally) {
	t.Hist.Merge(&o.Hist)
	t.Replies += o.Replies
	t.All += o.All
	if t.Errors == 0 {
		t.FirstError = o.FirstError
	}
	t.Errors += o.Errors
	t.lastReply = max(t.lastReply, o.lastReply)
}

// batch is a group of commands sent together, until all its replies are there.
type batch struct {
	start   int64 // when it was sent or, in an open loop, when it should have been
	replies int   // still to come
}

// talk is one connection's half of the conversation without any I/O, so that
// the event loop and the goroutines share it: what is to be written, and what
// the bytes that came mean. Not safe for concurrent use.
type talk struct {
	load    *Load
	clock   *schedule
	tally   *Tally
	rng     rand.PCG
	counter replyCounter
	out     []byte  // to be written
	batches []batch // on their way, the oldest first
	head    int     // of batches
}

// schedule holds the moments of a run, in nanoseconds of the bench's clock. It
// is written before the run starts and read-only then.
type schedule struct {
	measure int64 // when the warm-up is over
	end     int64 // when measuring by time ends; a very large number otherwise
}

// ask appends the next batch of commands. start is the moment from which
// its latency counts.
func (t *talk) ask(start int64) {
	if t.head == len(t.batches) {
		t.batches, t.head = t.batches[:0], 0
	}
	for range t.load.Pipeline {
		t.out = t.load.Mix.append(t.out, &t.rng)
	}
	t.batches = append(t.batches, batch{start, t.load.Pipeline})
}

// heard takes bytes that came at the time now. It returns how many replies they
// complete; waiting() tells whether more are due.
func (t *talk) heard(b []byte, now int64) (int, error) {
	n, err := t.counter.count(b)
	if err != nil {
		return n, err
	}
	t.tally.All += int64(n)
	for left := n; left > 0; {
		if !t.waiting() {
			return n, fmt.Errorf("the server sent %d replies too many", left)
		}
		bt := &t.batches[t.head]
		k := min(left, bt.replies)
		if t.counts(bt.start, now) {
			t.tally.Hist.RecordN(now-bt.start, uint64(k))
			t.tally.Replies += int64(k)
			t.tally.lastReply = now
		}
		left -= k
		if bt.replies -= k; bt.replies == 0 {
			t.head++
		}
	}
	if t.head > 1024 && t.head*2 > len(t.batches) { // an open loop may never be at rest
		t.batches = t.batches[:copy(t.batches, t.batches[t.head:])]
		t.head = 0
	}
	return n, nil
}

// counts reports whether a reply at the time now, to a batch of the time start, is one of the measurement's.
// A closed loop by time takes what comes between its beginning and its end, whenever it was asked for: else slow
// commands, of which few fit in between, would seem slower than they are. By number, and in an open loop, that is
// measured which was sent to be measured.
func (t *talk) counts(start, now int64) bool {
	if t.load.Rate == 0 && t.load.Requests == 0 {
		return now >= t.clock.measure && now < t.clock.end
	}
	return start >= t.clock.measure
}

func (t *talk) waiting() bool { return t.head < len(t.batches) }

// unanswered returns the replies that never came.
func (t *talk) unanswered() (n int64) {
	for _, b := range t.batches[t.head:] {
		n += int64(b.replies)
	}
	return n
}

// finish adds the errors to the tally, once, at the end.
func (t *talk) finish() {
	if t.tally.Errors == 0 {
		t.tally.FirstError = t.counter.firstError
	}
	t.tally.Errors += t.counter.errors
}

// pacer is the timetable of an open loop: batch k of a thread is due at a moment
// that depends on nothing the server does. A server that stalls for a second is
// therefore charged for every request of that second, not only for the one
// that was on its way ("coordinated omission").
type pacer struct {
	start    int64
	interval float64 // ns between batches
	k        int64
}

// due is the moment at which the next batch should be sent.
func (p *pacer) due() int64 { return p.start + int64(float64(p.k)*p.interval) }
