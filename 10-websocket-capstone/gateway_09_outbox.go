package main

import (
	"strconv"
	"sync"
)

// Station 9: the messages that wait for the peer, and no more of them than the limit.

// send queues one message. msg must not be changed afterwards; it may be
// shared with other sockets. A peer whose queue is full is closed: it gets
// everything or nothing more, never a stream with holes.
func (s *socket) send(msg []byte) {
	// region: the queue, then the close
	if !s.out.put(msg) {
		s.close(closeSlow, "too slow: "+strconv.Itoa(s.g.opts.MaxQueue)+" bytes are waiting", false)
		_ = s.session.Close() // it is no subscriber any more, whatever becomes of the connection
	}
	// endregion
}

// reply queues the answer to a request. It waits for a peer that is slow to take its answers, so the gateway
// does not read the peer's next request before. The deadline of the write finds a peer that takes nothing at all.
func (s *socket) reply(msg []byte) { s.out.reply(msg) }

const framesBatch = 16 // messages that share a frame, if they are there

// outbox is the bounded queue of messages to one peer. put never waits; reply
// does, while the peer is slow to take the replies before. Safe for concurrent
// use; take and wrote are the writer's.
type outbox struct {
	wake    chan struct{} // has an element when there is something to do
	room    sync.Cond     // signalled when a reply may fit
	replies pendingReplies

	mu     sync.Mutex
	limit  int
	bytes  int // queued and being written
	queue  [][]byte
	batch  [][]byte // being written
	code   int      // the close code, 0 while open
	reason string
	dead   bool
}

func (o *outbox) init(limit int) {
	o.limit = limit
	o.wake = make(chan struct{}, 1)
	o.room.L = &o.mu
}

// put queues msg; false means that it does not fit. After a close it is dropped.
func (o *outbox) put(msg []byte) bool {
	// region: the queue
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.dead || o.code != 0 {
		return true
	}
	if o.bytes+len(msg) > o.limit {
		return false
	}
	o.bytes += len(msg)
	o.queue = append(o.queue, msg)
	o.rouse()
	return true
	// endregion
}

// reply queues the answer to a request, which must not be empty. It waits until enough of the answers before
// it has been written. One alone may be larger than the limit.
func (o *outbox) reply(msg []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for o.replies.bytes > 0 && o.replies.bytes+len(msg) > o.limit && !o.dead && o.code == 0 {
		o.room.Wait()
	}
	if o.dead || o.code != 0 {
		return
	}
	o.replies.add(msg)
	o.queue = append(o.queue, msg)
	o.rouse()
}

// pendingReplies are the messages of the queue that answer the peer's own requests.
// They have bytes of their own: a peer that asks for two megabytes is not slow. If it is slow to take them,
// the gateway does not read what it wants next.
type pendingReplies struct {
	bytes int
	ours  map[*byte]bool // by their first byte
}

func (p *pendingReplies) add(msg []byte) {
	if p.ours == nil {
		p.ours = map[*byte]bool{}
	}
	p.ours[&msg[0]] = true
	p.bytes += len(msg)
}

// remove reports whether msg was one of them.
func (p *pendingReplies) remove(msg []byte) bool {
	if len(p.ours) == 0 || !p.ours[&msg[0]] {
		return false
	}
	delete(p.ours, &msg[0])
	p.bytes -= len(msg)
	return true
}

func (o *outbox) rouse() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// take returns the messages for the next frame. They count until wrote.
func (o *outbox) take() [][]byte {
	// region: the queue
	o.mu.Lock()
	defer o.mu.Unlock()
	n := min(len(o.queue), framesBatch)
	o.batch = append(o.batch[:0], o.queue[:n]...)
	clear(o.queue[:n])
	o.queue = o.queue[n:]
	if len(o.queue) == 0 && cap(o.queue) > 64 {
		o.queue = nil // one burst is not held for ever
	}
	return o.batch
	// endregion
}

// wrote says that what take returned has been written.
func (o *outbox) wrote() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, msg := range o.batch {
		if !o.replies.remove(msg) {
			o.bytes -= len(msg)
		}
	}
	o.room.Broadcast()
	clear(o.batch)
	o.batch = o.batch[:0]
}

// closeWith sets the close code, once. Without flush it throws the queue away.
func (o *outbox) closeWith(code int, reason string, flush bool) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.code != 0 || o.dead {
		return false
	}
	o.code, o.reason = code, reason[:min(len(reason), 123)] // what a close frame holds
	if !flush {
		o.queue = nil
	}
	o.room.Broadcast()
	o.rouse()
	return true
}

func (o *outbox) closing() (code int, reason string, ok bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.code, o.reason, o.code != 0
}

// shut lets go of the memory.
func (o *outbox) shut() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.dead, o.queue = true, nil
	o.room.Broadcast()
}

func (o *outbox) waiting() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.bytes + o.replies.bytes
}
