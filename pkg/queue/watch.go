package queue

import (
	"sync"
	"time"
)

// watch waits for new messages of a room's queue, in a session of its own, which blocks in XREAD. It takes nothing:
// who gets a message is decided when it is there, and a consumer may have gone by then.
type watch struct {
	r    *room
	arms chan string   // IDs of entries; watch for a newer one
	over chan struct{} // closed by stop

	mu      sync.Mutex
	l       *Link
	stopped bool
}

// watchBlock is how long an XREAD blocks, in milliseconds; less than linkTimeout.
const watchBlock = "4000"

func startWatch(r *room) *watch {
	w := &watch{r: r, arms: make(chan string, 1), over: make(chan struct{})}
	go w.run()
	return w
}

// arm makes the watch wake the room once, when there is an entry after this one. "" does nothing.
func (w *watch) arm(after string) {
	if after == "" {
		return
	}
	select {
	case w.arms <- after:
	default: // it watches already, and from an earlier entry on
	}
}

func (w *watch) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stopped = true
	close(w.over)
	if w.l != nil {
		w.l.close()
	}
}

func (w *watch) run() {
	for {
		select {
		case <-w.over:
			return
		case after := <-w.arms:
			w.await(after)
		}
	}
}

// await returns when there is an entry after this one. If it cannot see that, it returns, too, but not at once; the
// room's next round finds out why.
func (w *watch) await(after string) {
	for {
		l := w.link()
		if l == nil {
			break
		}
		v, err := l.do("XREAD", "COUNT", "1", "BLOCK", watchBlock, "STREAMS", Key(w.r.name), after)
		if err == nil && len(entriesRead(v)) > 0 {
			w.r.kick()
			return
		}
		if err == nil {
			continue
		}
		lived := l.used
		w.hangUp(isReply(err))
		if isReply(err) || !lived {
			break
		}
	}
	select {
	case <-w.over:
	case <-time.After(sweepMost):
	}
}

// link returns the session, nil if there is none to be had now.
func (w *watch) link() *Link {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.l != nil || w.stopped {
		return w.l
	}
	w.mu.Unlock()
	l, err := w.r.q.o.Dial()
	w.mu.Lock()
	switch {
	case err != nil:
		return nil
	case w.stopped:
		l.close()
		return nil
	}
	w.l = l
	return l
}

func (w *watch) hangUp(keep bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.l != nil && !keep {
		w.l.close()
		w.l = nil
	}
}
