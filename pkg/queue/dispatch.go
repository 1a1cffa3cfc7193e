package queue

import (
	"errors"
	"time"
)

// The goroutine of a room. It makes rounds: give back what those who left have held, give again what is due, give
// what is new. When there is nothing to give, or nobody to give it to, it waits until something changes. The watch
// tells it of new messages, and a slow tick of time-outs.

// batch is how many messages a round takes. With appendfsync always they share a sync.
const batch = 16

// sweepMost is the longest time between two looks at what is due.
const sweepMost = time.Second

func (r *room) run() {
	defer close(r.over)
	defer r.q.released(r.name, nil, true) // somebody may have a new room for the queue already
	w := startWatch(r)
	defer w.stop()
	tick := time.NewTicker(max(10*time.Millisecond, min(sweepMost, r.q.o.Timeout/4)))
	defer tick.Stop()
	failures := 0
	for {
		ending := r.isEnding() // before the round: one that begins so gives nothing more to anybody
		more, after, err := r.round()
		switch {
		case err == nil && ending, ending && (failures > 3 || errors.Is(err, ErrClosed)):
			return // what could not be given back is due in its time
		case err != nil:
			if !ending {
				r.q.complain(r.name, err)
			}
			failures++
			time.Sleep(min(time.Second, time.Millisecond<<min(failures, 10)))
			continue
		case more:
			failures = 0
			continue
		}
		failures = 0
		w.arm(after)
		select {
		case <-r.wake:
		case <-tick.C:
			r.mu.Lock()
			r.look = true
			r.mu.Unlock()
		}
	}
}

func (r *room) isEnding() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ending
}

// round makes one round. more says that there may be more to do. Else the queue has nothing newer than the entry
// after; it is "" if nobody has room.
func (r *room) round() (more bool, after string, err error) {
	err = r.q.pool.with(func(l *Link) error {
		if err := r.settle(l); err != nil {
			return err
		}
		if r.isEnding() {
			return nil
		}
		after = "0-0"
		return r.q.withGroup(l, r.name, func() (err error) {
			if err = r.again(l); err != nil {
				return err
			}
			var idle bool
			if more, idle, err = r.give(l); err != nil || more {
				return err
			}
			if after = ""; !idle {
				after, err = r.q.lastGiven(l, r.name)
			}
			return err
		})
	})
	return more, after, err
}

// settle does what those who left have left to do.
func (r *room) settle(l *Link) error {
	r.mu.Lock()
	left, finished, unwanted := r.left, r.finished, r.unwanted
	r.left, r.finished, r.unwanted = nil, nil, nil
	r.look = r.look || len(left)+len(unwanted) > 0 // now: what leave said may have been looked at before
	ending := r.ending
	r.mu.Unlock()
	undo := func(err error) error {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.left, r.finished, r.unwanted = append(r.left, left...), append(r.finished, finished...), append(r.unwanted, unwanted...)
		return err
	}
	for len(finished) > 0 {
		n := min(len(finished), MaxAck)
		if _, err := r.q.finish(l, r.name, finished[:n]); err != nil {
			return undo(err)
		}
		finished = finished[n:]
	}
	if len(unwanted) > 0 {
		if err := r.q.giveBack(l, r.name, unwanted...); err != nil {
			return undo(err)
		}
		unwanted = nil
	}
	for len(left) > 0 {
		if err := r.q.dismiss(l, r.name, left[0].name); err != nil {
			return undo(err)
		}
		left = left[1:]
	}
	if ending && r.policy == Broadcast {
		return r.q.dismiss(l, r.name, r.everyone)
	}
	return nil
}

// again gives what was given before and is due.
func (r *room) again(l *Link) error {
	for r.mayLook() {
		due, err := r.q.due(l, r.name, batch)
		if err != nil {
			return err
		}
		given := 0
		for _, p := range due {
			ok, err := r.giveAgain(l, p)
			if err != nil {
				return err
			}
			if ok {
				given++
			}
		}
		r.mu.Lock()
		r.waiting = given < len(due)
		r.look = r.look || given > 0 && len(due) == batch
		r.mu.Unlock()
	}
	return nil
}

func (r *room) mayLook() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	look := r.look
	r.look = false
	return look
}

// giveAgain gives a message that is due to a consumer that may have it.
func (r *room) giveAgain(l *Link, p pending) (bool, error) {
	r.mu.Lock()
	if s := r.shared[p.id]; s != nil { // those who have it are too slow
		for c := range s.waiting {
			if !c.late && c.o.Late != nil {
				c.o.Late()
			}
			c.late = true
			go c.Leave()
		}
		r.mu.Unlock()
		return false, nil
	}
	c, name := r.pick(p.id), r.everyone
	if r.policy == RoundRobin && c != nil {
		name = c.name
	}
	r.mu.Unlock()
	if c == nil {
		return false, nil
	}
	job, ok, err := r.q.claim(l, r.name, name, p)
	if ok {
		r.deliver(l, c, job)
	}
	return ok, err
}

// pick chooses who gets a message again: the next one with room, but rather not the one that has had it. That one
// gets it if nobody else can; it needs no more room. A broadcast needs room at everybody's.
func (r *room) pick(id string) *Consumer {
	if r.policy == Broadcast {
		if r.roomForAll() > 0 {
			return r.consumers[0]
		}
		return nil
	}
	n := len(r.consumers)
	for i := range n {
		c := r.consumers[(r.turn+i)%n]
		if _, had := c.held[id]; !had && c.free() > 0 {
			r.turn = (r.turn + i + 1) % n
			return c
		}
	}
	for _, c := range r.consumers {
		if _, had := c.held[id]; had {
			return c
		}
	}
	return nil
}

// roomForAll is how many messages all consumers may get.
func (r *room) roomForAll() int {
	n, started := batch, false
	for _, c := range r.consumers {
		if c.started {
			n, started = min(n, c.free()), true
		}
	}
	if !started {
		return 0
	}
	return n
}

// give gives new messages, up to a batch of them. idle says that nobody has room for any.
func (r *room) give(l *Link) (more, idle bool, err error) {
	who, commands := r.turns()
	if len(commands) == 0 {
		return false, true, nil
	}
	replies, err := l.all(commands...)
	if err != nil {
		return false, false, err
	}
	more = true
	for i, v := range replies {
		if e := v.Err(); e != nil {
			err = e // the messages of the other replies are to be delivered all the same
			continue
		}
		jobs := jobsRead(r.name, v)
		more = more && len(jobs) > 0
		for _, job := range jobs {
			r.deliver(l, who[i], job)
		}
	}
	return more, false, err
}

// turns says who shall get the next messages, and the command for each.
func (r *room) turns() (who []*Consumer, commands [][]string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := len(r.consumers)
	if r.policy == Broadcast {
		if k := r.roomForAll(); k > 0 {
			return []*Consumer{nil}, [][]string{readCommand(r.name, r.everyone, k)}
		}
		return nil, nil
	}
	planned := map[*Consumer]int{}
	for passed := 0; passed < n && len(who) < batch; {
		c := r.consumers[r.turn%n]
		r.turn = (r.turn + 1) % n
		if c.free() <= planned[c] {
			passed++
			continue
		}
		passed = 0
		planned[c]++
		who, commands = append(who, c), append(commands, readCommand(r.name, c.name, 1))
	}
	return who, commands
}

// deliver hands a message over. If its consumer has gone, the message goes back: with all that the consumer holds, or
// here if it shares its name.
func (r *room) deliver(l *Link, c *Consumer, job Job) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.policy == Broadcast {
		r.spread(job)
		return
	}
	if !c.gone {
		c.take(job)
		return
	}
	r.look = true
	if c.name != consumerHTTP {
		r.left = append(r.left, c)
		return
	}
	r.unwanted = append(r.unwanted, job.Entry)
}

func (c *Consumer) take(job Job) {
	c.drop(job.Entry)
	c.latest = job.size()
	c.held[job.Entry] = c.latest
	c.bytes += c.latest
	c.r.q.count(&job)
	c.o.Deliver(job)
}

// spread delivers a message to all.
func (r *room) spread(job Job) {
	s := &shared{waiting: map[*Consumer]bool{}}
	for _, c := range r.consumers {
		if c.started {
			s.waiting[c] = true
			c.take(job)
		}
	}
	if len(s.waiting) == 0 {
		r.unwanted = append(r.unwanted, job.Entry)
		return
	}
	r.shared[job.Entry] = s
}
