package load

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"
)

// runGoroutines drives each connection with a goroutine: the form for systems
// without epoll. It costs the machine more than the event loop does, on
// both sides of a comparison alike.
func runGoroutines(ctx context.Context, th *thread) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { th.interrupt() })
	defer stop()
	g := &goroutines{thread: th}
	if th.load.Rate > 0 {
		g.pace(ctx)
	} else if th.load.Requests == 0 {
		timer := time.AfterFunc(time.Duration(th.clock.end-nanos()), th.interrupt)
		defer timer.Stop()
	}
	for i := range th.talks {
		g.wg.Go(func() { g.serve(i) })
	}
	g.wg.Wait()
	return g.err
}

// goroutines shares one thread's tally and budget among its connections.
type goroutines struct {
	*thread
	mu   sync.Mutex // protects tally, budget, pacer, every talk and err
	done bool       // open loop: nothing more will be sent
	err  error
	wg   sync.WaitGroup
}

func (th *thread) interrupt() {
	for _, c := range th.conns {
		_ = c.SetReadDeadline(time.Unix(1, 0))
	}
}

// serve reads the replies of one connection and, in a closed loop, sends
// the next batch when the last is answered.
func (g *goroutines) serve(i int) {
	conn, t := g.conns[i], g.talks[i]
	in := make([]byte, 64<<10)
	if g.load.Rate == 0 && !g.next(conn, t) {
		return
	}
	for {
		n, err := conn.Read(in)
		now := nanos()
		g.mu.Lock()
		if err == nil {
			_, err = t.heard(in[:n], now)
		}
		over := g.done && !t.waiting()
		idle := g.load.Rate == 0 && !t.waiting()
		g.mu.Unlock()
		if err != nil {
			g.fail(err)
			return
		}
		if over || idle && !g.next(conn, t) {
			return
		}
	}
}

// next sends a batch in a closed loop, if there is to be one.
func (g *goroutines) next(conn net.Conn, t *talk) bool {
	g.mu.Lock()
	now := nanos()
	ok := g.mayAsk(now)
	if ok {
		t.ask(now)
	}
	g.mu.Unlock()
	if !ok {
		return false
	}
	_, err := conn.Write(t.out) // in a closed loop nobody else touches t now
	t.out = t.out[:0]
	g.fail(err)
	return err == nil
}

// fail notes the first error; the interruption at the end of the time is none.
func (g *goroutines) fail(err error) {
	var timeout net.Error
	if err == nil || errors.As(err, &timeout) && timeout.Timeout() {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.err == nil {
		g.err = err
	}
}

// pace sends the open loop's batches by the timetable. A connection whose
// peer does not read blocks only its own writer.
func (g *goroutines) pace(ctx context.Context) {
	queues := make([]chan []byte, len(g.conns))
	for i, conn := range g.conns {
		queues[i] = make(chan []byte, 1<<16)
		g.wg.Go(func() {
			for b := range queues[i] {
				if _, err := conn.Write(b); err != nil {
					g.fail(err)
				}
			}
		})
	}
	g.wg.Go(func() {
		for ctx.Err() == nil {
			due := g.pacer.due()
			time.Sleep(time.Duration(due - nanos()))
			g.mu.Lock()
			ok := g.mayAsk(due)
			i := int(g.pacer.k % int64(len(g.talks)))
			t := g.talks[i]
			var out []byte
			if ok {
				t.ask(due)
				out, t.out = t.out, nil
			}
			g.mu.Unlock()
			if !ok {
				break
			}
			queues[i] <- out
			g.pacer.k++
		}
		for _, q := range queues {
			close(q)
		}
		g.endOpenLoop()
	})
}

// endOpenLoop gives late replies DrainTime; a connection that waits for none
// ends at once.
func (g *goroutines) endOpenLoop() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.done = true
	for i, t := range g.talks {
		deadline := time.Now().Add(DrainTime)
		if !t.waiting() {
			deadline = time.Unix(1, 0)
		}
		_ = g.conns[i].SetReadDeadline(deadline)
	}
}
