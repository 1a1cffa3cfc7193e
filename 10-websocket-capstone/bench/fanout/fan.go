package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"byor/10-websocket-capstone/bench/client"
	"byor/10-websocket-capstone/bench/stats"
	"byor/pkg/resp"
)

// channel is what all subscribe to.
const channel = "fan"

// A payload begins with a mark that stands nowhere else in what the server sends, and when it was due. The header of
// a WebSocket's frame has any bytes for its length, and often a single '~', but what follows is a '{'.
const (
	mark     = "~~~t"
	stampLen = len(mark) + 19
)

// base is what times are measured from.
var base = time.Now()

func nanos() int64 { return int64(time.Since(base)) }

// appendPayload appends a payload of n bytes that was due at.
func appendPayload(dst []byte, at int64, n int) []byte {
	dst = fmt.Appendf(dst, "%s%019d", mark, at)
	return append(dst, strings.Repeat("x", n-stampLen)...)
}

// stamp returns the number whose digits b has.
func stamp(b []byte) (n int64) {
	for _, c := range b {
		n = n*10 + int64(c-'0')
	}
	return n
}

// fan is a channel with its subscribers and its publisher.
type fan struct {
	o         *options
	s         *server
	publisher net.Conn
	replies   *resp.Reader
	listeners []*listener
	received  atomic.Int64
	broken    atomic.Pointer[error]
	readers   sync.WaitGroup
}

// listener is one subscriber.
type listener struct {
	conn net.Conn
	mu   sync.Mutex
	late stats.Histogram // of what came since it was last emptied
}

func newFan(ctx context.Context, s *server, dial dialer, o *options) (*fan, error) {
	f := &fan{o: o, s: s}
	for range o.subs {
		conn, err := dial(ctx, s, channel)
		if err != nil {
			f.close()
			return nil, err
		}
		f.listeners = append(f.listeners, &listener{conn: conn})
	}
	var err error
	if f.publisher, err = client.Open(ctx, s.Addr); err != nil {
		f.close()
		return nil, err
	}
	f.replies = resp.NewReader(f.publisher)
	for _, l := range f.listeners {
		f.readers.Go(func() { f.listen(l) })
	}
	return f, nil
}

func (f *fan) close() {
	for _, l := range f.listeners {
		_ = l.conn.Close()
	}
	if f.publisher != nil {
		_ = f.publisher.Close()
	}
	f.readers.Wait()
}

// listen counts the marks in what comes, and looks at the time of each.
func (f *fan) listen(l *listener) {
	buf := make([]byte, 64<<10)
	kept := 0 // bytes of the last read that may be the beginning of a mark
	for {
		n, err := l.conn.Read(buf[kept:])
		if err != nil {
			if !errors.Is(err, net.ErrClosed) {
				f.broken.Store(&err)
			}
			return
		}
		l.mu.Lock()
		marks, rest := l.look(buf[:kept+n], nanos())
		l.mu.Unlock()
		kept = copy(buf, rest)
		f.received.Add(int64(marks))
	}
}

// look counts the marks in b and notes how late they are. It returns the end of b that may be the beginning of another.
func (l *listener) look(b []byte, now int64) (marks int, rest []byte) {
	for {
		i := bytes.Index(b, []byte(mark))
		if i < 0 {
			return marks, b[max(0, len(b)-len(mark)+1):]
		}
		marks++
		if b = b[i:]; len(b) >= stampLen { // else the stamp is cut in two
			l.late.Record(now - stamp(b[len(mark):stampLen]))
		}
		b = b[len(mark):]
	}
}

// result is what one measurement has found.
type result struct {
	cpu       time.Duration // of the server for a delivery
	perSecond float64       // deliveries
	p50, p99  float64       // nanoseconds between when a message was due and when it came
}

// batch is how many messages the publisher sends at once at full speed, and ahead how many it may be ahead of the
// subscribers: less than their queues hold.
const (
	batch = 16
	ahead = 256 << 10
)

// saturate publishes as fast as the messages come, and no faster.
func (f *fan) saturate(ctx context.Context) (result, error) {
	window := int64(max(2*batch, min(1024, ahead/(f.o.bytes+100)))) * int64(f.o.subs)
	sent := f.received.Load()
	publish := func() error {
		for sent-f.received.Load() > window {
			if err := f.wait(ctx, 50*time.Microsecond); err != nil {
				return err
			}
		}
		sent += batch * int64(f.o.subs)
		return f.publish(nanos(), batch)
	}
	for end := time.Now().Add(f.o.time / 5); time.Now().Before(end); { // to warm up
		if err := publish(); err != nil {
			return result{}, err
		}
	}
	return f.measured(func() error {
		for end := time.Now().Add(f.o.time); time.Now().Before(end); {
			if err := publish(); err != nil {
				return err
			}
		}
		return nil
	}, func() error { return f.arrived(ctx, sent) })
}

// pace publishes rate messages a second, whether the last ones have come or not. Who is late sends all that is due.
func (f *fan) pace(ctx context.Context, rate float64) (result, error) {
	sent := f.received.Load()
	return f.measured(func() error {
		start := nanos()
		replies, read := make(chan int, 1<<20), make(chan error, 1)
		go func() { read <- f.readReplies(replies) }()
		defer close(replies)
		due := func(k int64) int64 { return start + int64(float64(k)/rate*1e9) }
		for k := int64(0); due(k)-start < int64(f.o.time); {
			if err := f.wait(ctx, time.Duration(due(k)-nanos())); err != nil {
				return err
			}
			var wire []byte
			n := 0
			for now := nanos(); due(k) <= now && n < 4*batch; k++ {
				wire = resp.AppendCommand(wire, []byte("PUBLISH"), []byte(channel), appendPayload(nil, due(k), f.o.bytes))
				n++
			}
			if _, err := f.publisher.Write(wire); err != nil {
				return err
			}
			sent += int64(n * f.o.subs)
			replies <- n
		}
		replies <- 0
		return <-read
	}, func() error { return f.arrived(ctx, sent) })
}

// readReplies reads as many replies as it is told, until that is 0.
func (f *fan) readReplies(due <-chan int) error {
	for n := range due {
		if n == 0 {
			return nil
		}
		if err := f.delivered(n); err != nil {
			return err
		}
	}
	return nil
}

// publish sends n messages and reads their replies.
func (f *fan) publish(due int64, n int) error {
	payload := appendPayload(nil, due, f.o.bytes)
	var wire []byte
	for range n {
		wire = resp.AppendCommand(wire, []byte("PUBLISH"), []byte(channel), payload)
	}
	if _, err := f.publisher.Write(wire); err != nil {
		return err
	}
	return f.delivered(n)
}

// delivered reads the replies to n messages: so many subscribers each.
func (f *fan) delivered(n int) error {
	for range n {
		v, err := f.replies.ReadValue()
		if err != nil {
			return err
		}
		if v.IsError() || v.Int != int64(f.o.subs) {
			return fmt.Errorf("a message went to %s of %d subscribers", strconv.FormatInt(v.Int, 10)+string(v.Str), f.o.subs)
		}
	}
	return nil
}

// measured measures what during does. Behind it, arrived waits for what is under way.
func (f *fan) measured(during, arrived func() error) (result, error) {
	for _, l := range f.listeners {
		l.mu.Lock()
		l.late = stats.Histogram{}
		l.mu.Unlock()
	}
	from, start := f.received.Load(), time.Now()
	before, known := f.s.CPU()
	if err := errors.Join(during(), arrived()); err != nil {
		return result{}, err
	}
	n, took := float64(f.received.Load()-from), time.Since(start)
	after, _ := f.s.CPU()
	r := result{perSecond: n / took.Seconds()}
	if known && n > 0 {
		r.cpu = time.Duration(float64(after-before) / n)
	}
	var all stats.Histogram
	for _, l := range f.listeners {
		l.mu.Lock()
		all.Merge(&l.late)
		l.mu.Unlock()
	}
	r.p50, r.p99 = float64(all.Quantile(0.5)), float64(all.Quantile(0.99))
	return r, nil
}

// arrived waits until all subscribers together have received n messages.
func (f *fan) arrived(ctx context.Context, n int64) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for f.received.Load() < n {
		if err := f.wait(ctx, time.Millisecond); err != nil {
			return fmt.Errorf("%d of %d deliveries: %w", f.received.Load(), n, err)
		}
	}
	return nil
}

// wait waits for d, unless a subscriber was cut off or the measurement is to end.
func (f *fan) wait(ctx context.Context, d time.Duration) error {
	if err := f.broken.Load(); err != nil {
		return fmt.Errorf("a subscriber: %w", *err)
	}
	if d <= 0 {
		return ctx.Err()
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// idleMemory returns the bytes of memory that the server takes for a connection that has subscribed to something and
// hears nothing.
func idleMemory(ctx context.Context, s *server, dial dialer, n int) (float64, error) {
	first, err := dial(ctx, s, "before") // what is needed once is not the price of a connection
	if err != nil {
		return 0, err
	}
	defer func() { _ = first.Close() }()
	before, err := settled(ctx, s)
	if err != nil {
		return 0, err
	}
	for i := range n {
		conn, err := dial(ctx, s, "idle:"+strconv.Itoa(i))
		if err != nil {
			return 0, err
		}
		defer func() { _ = conn.Close() }()
	}
	after, err := settled(ctx, s)
	return float64(after-before) / float64(n), err
}

// settleStep is how long settled waits between two looks.
var settleStep = 500 * time.Millisecond

// settled returns the server's memory when it has stopped to shrink: a collector takes its time.
func settled(ctx context.Context, s *server) (int64, error) {
	least, since := int64(0), 0
	for since < 10 {
		now, _, ok := s.Memory()
		if !ok {
			return 0, nil
		}
		if since++; least == 0 || now < least-least/200 {
			least, since = now, 0
		}
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-time.After(settleStep):
		}
	}
	return least, nil
}
