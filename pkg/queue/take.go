package queue

import (
	"context"
	"time"
)

// Messages taken one by one, by whoever asks once and may never come back.

// Take takes a message from a queue, and waits for one until wait is over or ctx ends. ok is false if there was
// none. The message stays hidden until it is acknowledged or its time-out is over.
func (q *Queues) Take(ctx context.Context, name string, wait time.Duration) (job Job, ok bool, err error) {
	if err := CheckName(name); err != nil {
		return Job{}, false, err
	}
	if q.PolicyOf(name) == Broadcast {
		return Job{}, false, ErrPolicy
	}
	err = q.pool.with(func(l *Link) (err error) {
		job, ok, err = q.take(l, name, consumerHTTP)
		return err
	})
	if ok {
		q.count(&job)
	}
	if ok || err != nil || wait <= 0 {
		return job, ok, err
	}
	return q.await(ctx, name, wait)
}

// await is a consumer for one message.
func (q *Queues) await(ctx context.Context, name string, wait time.Duration) (Job, bool, error) {
	got := make(chan Job, 1)
	c, err := q.consume(name, ConsumerOptions{Policy: RoundRobin, Prefetch: 1, Deliver: func(j Job) { got <- j }}, consumerHTTP)
	if err != nil {
		return Job{}, false, err
	}
	c.Start()
	over := time.NewTimer(wait)
	defer over.Stop()
	var job Job
	select {
	case job = <-got:
		c.Leave()
		return job, true, nil
	case <-over.C:
	case <-ctx.Done():
	case <-c.Done():
		err = ErrClosed
	}
	c.Leave() // from here on nothing is delivered
	select {
	case job = <-got:
		return job, true, nil
	default:
		return Job{}, false, err
	}
}

// Return gives back messages that were taken and not worked on, so that they go to the next worker at once.
func (q *Queues) Return(name string, entries ...string) error {
	err := q.pool.with(func(l *Link) error { return q.giveBack(l, name, entries...) })
	q.released(name, entries, true)
	return err
}

// Look returns the message that Take would give, and leaves it where it is.
func (q *Queues) Look(name string) (job Job, ok bool, err error) {
	if err := CheckName(name); err != nil {
		return Job{}, false, err
	}
	err = q.pool.with(func(l *Link) (err error) {
		job, ok, err = q.look(l, name)
		return err
	})
	return job, ok, err
}

// Ack acknowledges messages, whoever was given them: they are deleted. It returns how many of them were being worked
// on until then. The others were acknowledged before, or are dead, or have never been given to anybody.
func (q *Queues) Ack(name string, entries ...string) (int, error) {
	if err := checkAck(name, entries); err != nil || len(entries) == 0 {
		return 0, err
	}
	n := 0
	err := q.pool.with(func(l *Link) (err error) {
		n, err = q.finish(l, name, entries)
		return err
	})
	if err == nil {
		q.released(name, entries, false)
	}
	return n, err
}

func checkAck(name string, entries []string) error {
	if err := CheckName(name); err != nil {
		return err
	}
	if len(entries) > MaxAck {
		return ErrTooMany
	}
	for _, id := range entries {
		if err := CheckEntry(id); err != nil {
			return err
		}
	}
	return nil
}

// released tells the queue's consumers that entries are nobody's any more.
func (q *Queues) released(name string, entries []string, back bool) {
	q.mu.Lock()
	r := q.rooms[name]
	q.mu.Unlock()
	if r != nil {
		r.released(entries, back)
	}
}

func (q *Queues) count(j *Job) {
	q.Stats.Given.Add(1)
	if j.Tries > 1 {
		q.Stats.Again.Add(1)
	}
}
