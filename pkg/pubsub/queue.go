package pubsub

import (
	"errors"
	"sync"
)

// Why a queue is closed.
var (
	// ErrOverflow: the subscriber fell behind by more than its queue holds.
	ErrOverflow = errors.New("pubsub: subscriber too slow, queue overflow")
	// ErrClosed: Close was called.
	ErrClosed = errors.New("pubsub: queue closed")
)

// messageOverhead is what a queued message costs in bytes besides its text.
const messageOverhead = 64

// Queue is a bounded mailbox between the hub, which must not wait, and one
// goroutine that writes to a connection, which may have to.
//
// A message that does not fit closes the queue with [ErrOverflow] and throws
// away what is in it: a subscriber either gets everything or loses its
// connection, never some messages in the middle. That goroutine may be stuck in
// a write to the very peer that does not read, so closing the connection
// is OnOverflow's business.
//
// Deliver and Close are safe for concurrent use; Receive is for one goroutine.
type Queue struct {
	// OnOverflow, if set (before the first delivery), is called once when the
	// queue overflows. It runs on the publisher's goroutine, under the hub's
	// lock: it must not block and must not call the hub. Closing a net.Conn
	// is right.
	OnOverflow func()

	maxBytes, maxMessages int

	mu       sync.Mutex
	filled   sync.Cond
	in       batch // being filled
	out      batch // with the receiver; still counted, it is not written yet
	err      error
	messages []Message
}

// batch is a run of messages whose bytes lie one after the other in one buffer,
// so that a queue in steady use allocates nothing.
type batch struct {
	text  []byte
	sizes []sizes
}

type sizes struct {
	kind                             Kind
	pattern, channel, payload, entry int
}

func (b *batch) bytes() int { return len(b.text) + messageOverhead*len(b.sizes) }

// reset empties the batch and keeps its memory, unless it has grown large:
// one burst must not be held by a subscriber for ever.
func (b *batch) reset() {
	if cap(b.text) > 64<<10 {
		b.text = nil
	}
	if cap(b.sizes) > 1024 {
		b.sizes = nil
	}
	b.text, b.sizes = b.text[:0], b.sizes[:0]
}

// NewQueue returns a queue that holds at most maxMessages messages of together
// at most maxBytes bytes (channel, pattern, payload and ID, and 64 a message).
// The messages that Receive handed out last are counted until its next call.
func NewQueue(maxBytes, maxMessages int) *Queue {
	q := &Queue{maxBytes: maxBytes, maxMessages: maxMessages}
	q.filled.L = &q.mu
	return q
}

// Deliver implements [Subscriber]. It copies m and never blocks.
func (q *Queue) Deliver(m Message) {
	if q.put(m) || q.OnOverflow == nil {
		return
	}
	q.OnOverflow()
}

// put reports false for the message that made the queue overflow.
func (q *Queue) put(m Message) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.err != nil {
		return true
	}
	n := len(m.Pattern) + len(m.Channel) + len(m.Payload) + len(m.Entry) + messageOverhead
	if q.in.bytes()+q.out.bytes()+n > q.maxBytes || len(q.in.sizes)+len(q.out.sizes)+1 > q.maxMessages {
		q.close(ErrOverflow)
		return false
	}
	q.in.text = append(append(append(q.in.text, m.Pattern...), m.Channel...), m.Payload...)
	q.in.text = append(q.in.text, m.Entry...)
	q.in.sizes = append(q.in.sizes, sizes{m.Kind, len(m.Pattern), len(m.Channel), len(m.Payload), len(m.Entry)})
	q.filled.Signal()
	return true
}

// Receive waits for messages and returns all there are, in order. They belong
// to the queue and are valid until the next Receive. Once the queue is closed it
// returns the reason, at once and with no messages.
func (q *Queue) Receive() ([]Message, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.out.reset()
	for len(q.in.sizes) == 0 && q.err == nil {
		q.filled.Wait()
	}
	if q.err != nil {
		return nil, q.err
	}
	q.in, q.out = q.out, q.in
	q.messages = q.out.appendMessages(q.messages[:0])
	return q.messages, nil
}

func (b *batch) appendMessages(to []Message) []Message {
	text := b.text
	cut := func(n int) []byte {
		part := text[:n:n]
		text = text[n:]
		return part
	}
	for _, s := range b.sizes {
		m := Message{Kind: s.kind}
		if s.kind == Pattern {
			m.Pattern = cut(s.pattern)
		}
		m.Channel = cut(s.channel)
		m.Payload = cut(s.payload)
		if s.entry > 0 {
			m.Entry = cut(s.entry)
		}
		to = append(to, m)
	}
	return to
}

// Close closes the queue with [ErrClosed]; later deliveries are dropped.
// Closing twice, or after an overflow, changes nothing.
func (q *Queue) Close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.err == nil {
		q.close(ErrClosed)
	}
}

func (q *Queue) close(reason error) {
	q.err = reason
	q.in = batch{}
	q.filled.Broadcast()
}

// Err returns why the queue is closed, nil while it is open.
func (q *Queue) Err() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.err
}
