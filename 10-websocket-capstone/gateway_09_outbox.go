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
		_ = s.session.engine.Close() // it is no subscriber any more, whatever becomes of the connection
	}
	// endregion
}

// reply queues the answer to a request. It waits for a peer that is slow to take its answers, so the gateway
// does not read the peer's next request before. The deadline of the write finds a peer that takes nothing at all.
func (s *socket) reply(msg []byte) { s.out.reply(msg) }

const (
	frameMessages = 64       // that share a frame, if they are there
	frameBytes    = 16 << 10 // of them; only a message that is alone is larger
)

// outbox is the bounded queue of messages to one peer. put never waits; reply
// does, while the peer is slow to take the replies before. Safe for concurrent
// use; take, wrote and rest are for who writes.
type outbox struct {
	call    func()    // calls a writer
	room    sync.Cond // signalled when a reply may fit
	replies pendingReplies

	mu     sync.Mutex
	limit  int
	bytes  int // queued and being written
	queue  [][]byte
	busy   bool // a writer has been called, and has not left
	ping   bool // one is due
	code   int  // the close code, 0 while open
	reason string
	dead   bool
}

func (o *outbox) init(limit int, call func()) {
	o.limit, o.call = limit, call
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
		o.replies.waiting++
		o.room.Wait()
		o.replies.waiting--
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
	bytes   int
	ours    map[*byte]bool // by their first byte
	waiting int            // who waits for room
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
	if len(p.ours) == 0 {
		p.ours = nil
	}
	p.bytes -= len(msg)
	return true
}

// rouse calls a writer, unless one is there. mu must be held.
func (o *outbox) rouse() {
	if !o.busy {
		o.busy = true
		o.call()
	}
}

// look makes a writer look after the connection, whatever is in the queue.
func (o *outbox) look() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.rouse()
}

// pingSoon has a ping written. It also lets go of memory that an idle peer does not need.
func (o *outbox) pingSoon() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.busy {
		o.queue = nil
	}
	o.ping = true
	o.rouse()
}

// take moves the messages of the next frame to the end of batch: not more than frameMessages, and no more than fit into
// most bytes. They count until wrote.
func (o *outbox) take(batch [][]byte, most int) [][]byte {
	// region: the queue
	o.mu.Lock()
	defer o.mu.Unlock()
	n := 0
	for ; n < min(len(o.queue), frameMessages) && len(o.queue[n]) < most; n++ {
		most -= len(o.queue[n]) + 1
	}
	batch = append(batch, o.queue[:n]...)
	clear(o.queue[:n])
	if o.queue = o.queue[n:]; len(o.queue) == 0 && cap(o.queue) > frameMessages {
		o.queue = nil // one burst is not held for ever
	}
	return batch
	// endregion
}

// takePing reports whether a ping is due.
func (o *outbox) takePing() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	due := o.ping
	o.ping = false
	return due
}

// ends reports whether the queue ends soon or begins with a message of more than most bytes.
func (o *outbox) ends(most int) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.code != 0 || len(o.queue) > 0 && len(o.queue[0]) >= most
}

// wrote says that a batch has been written. It forgets the messages.
func (o *outbox) wrote(batch [][]byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, msg := range batch {
		if !o.replies.remove(msg) {
			o.bytes -= len(msg)
		}
	}
	clear(batch)
	if o.replies.waiting > 0 {
		o.room.Broadcast()
	}
}

// rest lets the writer go, if there is nothing to write. Then the next message calls another one.
func (o *outbox) rest() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.dead && (len(o.queue) > 0 || o.ping || o.code != 0) {
		return false
	}
	o.busy = false
	return true
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
