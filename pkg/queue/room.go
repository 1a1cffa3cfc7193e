package queue

import (
	"fmt"
	"slices"
	"sync"
)

// A queue that is being consumed has a room: its consumers, and one goroutine that takes messages for them. Each
// message is read under the name of the consumer that will get it, so XPENDING says who has it. As that goroutine
// alone reads under these names, it may also remove them.

// Policy says which consumers of a queue get a message.
type Policy string

// The policies. The consumers of a queue have the same one at any time.
const (
	RoundRobin Policy = "roundrobin" // one of them, in turn
	Broadcast  Policy = "broadcast"  // all that are there when it is given
)

// ConsumerOptions say what a consumer wants.
type ConsumerOptions struct {
	Label    string // opens its name in the group, such as "ws:42"; without ~
	Policy   Policy // RoundRobin if empty
	Prefetch int    // how many messages it may hold, 1 to MaxPrefetch
	MaxBytes int    // how many bytes of them, roughly; one message it gets in any case. 0: any number
	// Deliver hands over a message. It must neither wait nor call this package. After Leave it is not called.
	Deliver func(Job)
	// Late is told once that the consumer of a broadcast has not acknowledged in time, and so it leaves. As Deliver.
	Late func()
}

// Consumer gets the messages of one queue. Safe for concurrent use.
type Consumer struct {
	r    *room
	o    ConsumerOptions
	name string // in the group
	done chan struct{}

	// protected by r.mu
	started, gone, late bool
	held                map[string]int // sizes of what it was given and nobody has acknowledged
	bytes               int
	latest              int // size of the latest one
}

// room is a queue that is being consumed.
type room struct {
	q        *Queues
	name     string
	policy   Policy
	everyone string        // consumer that a broadcast reads as
	wake     chan struct{} // has an element when something has changed
	over     chan struct{} // closed when the goroutine has ended

	mu        sync.Mutex // under Queues.mu, if both are held
	consumers []*Consumer
	turn      int         // whose turn it is, among consumers
	left      []*Consumer // have gone, and what they hold has not been given back
	shared    map[string]*shared
	finished  []string // broadcast to the end, and not acknowledged yet
	unwanted  []string // broadcast to nobody that has acknowledged it
	look      bool     // something may be due
	waiting   bool     // something was due and found no room
	ending    bool
}

// shared is a message that was broadcast.
type shared struct {
	waiting map[*Consumer]bool // have not acknowledged it
	acked   bool               // somebody has
}

// Consume adds a consumer. It gets nothing before Start.
func (q *Queues) Consume(name string, o ConsumerOptions) (*Consumer, error) {
	return q.consume(name, o, "")
}

// consume is Consume. as is the name of the consumer in the group if it shares one. Such a consumer keeps what it was
// given when it leaves.
func (q *Queues) consume(name string, o ConsumerOptions, as string) (*Consumer, error) {
	if o.Policy == "" {
		o.Policy = RoundRobin
	}
	switch err := CheckName(name); {
	case err != nil:
		return nil, err
	case o.Policy != RoundRobin && o.Policy != Broadcast:
		return nil, fmt.Errorf("a policy is %s or %s", RoundRobin, Broadcast)
	case o.Prefetch < 1 || o.Prefetch > MaxPrefetch:
		return nil, fmt.Errorf("prefetch is 1 to %d", MaxPrefetch)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	r := q.rooms[name]
	switch {
	case q.closed:
		return nil, ErrClosed
	case r != nil && r.policy != o.Policy:
		return nil, ErrPolicy
	case r == nil && len(q.rooms) >= maxRooms:
		return nil, ErrRooms
	case r == nil:
		r = &room{q: q, name: name, policy: o.Policy, everyone: q.newName("all"), look: true,
			wake: make(chan struct{}, 1), over: make(chan struct{}), shared: map[string]*shared{}}
		q.rooms[name] = r
		go r.run()
	}
	c := &Consumer{r: r, o: o, name: as, done: make(chan struct{}), held: map[string]int{}}
	if as == "" {
		c.name = q.newName(o.Label)
	}
	r.mu.Lock()
	r.consumers = append(r.consumers, c)
	r.mu.Unlock()
	return c, nil
}

// newName returns the name of a consumer in the group; recover knows it again. q.mu must be held.
func (q *Queues) newName(label string) string {
	q.names++
	return fmt.Sprintf("%s~%s~%d", label, q.run, q.names)
}

// PolicyOf returns the policy of a queue's consumers, "" if it has none now.
func (q *Queues) PolicyOf(name string) Policy {
	q.mu.Lock()
	defer q.mu.Unlock()
	if r := q.rooms[name]; r != nil {
		return r.policy
	}
	return ""
}

// Consumers returns how many consumers a queue has now.
func (q *Queues) Consumers(name string) int {
	q.mu.Lock()
	defer q.mu.Unlock()
	r := q.rooms[name]
	if r == nil {
		return 0
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.consumers)
}

// Start makes the consumer get messages.
func (c *Consumer) Start() {
	c.r.mu.Lock()
	c.started, c.r.look = true, true
	c.r.mu.Unlock()
	c.r.kick()
}

// Policy returns which policy the consumer has.
func (c *Consumer) Policy() string { return string(c.o.Policy) }

// Done is closed when the consumer has left, or had to.
func (c *Consumer) Done() <-chan struct{} { return c.done }

// Leave ends the consumer. What it holds goes to the next one, at once. Leave does not wait.
func (c *Consumer) Leave() {
	q := c.r.q
	q.mu.Lock()
	defer q.mu.Unlock()
	c.r.mu.Lock()
	defer c.r.mu.Unlock()
	c.r.leave(c)
	if c.r.ending && q.rooms[c.r.name] == c.r {
		delete(q.rooms, c.r.name)
	}
	c.r.kick()
}

// leave takes a consumer out. Both locks must be held.
func (r *room) leave(c *Consumer) {
	if c.gone {
		return
	}
	c.gone = true
	close(c.done)
	i := slices.Index(r.consumers, c)
	r.consumers = slices.Delete(r.consumers, i, i+1)
	if r.turn > i {
		r.turn--
	}
	if c.name != consumerHTTP && r.policy == RoundRobin {
		r.left = append(r.left, c)
	}
	for id := range c.held {
		if r.shared[id] != nil {
			r.unshare(id, c, false)
		}
	}
	r.look, r.ending = true, len(r.consumers) == 0
}

// dismiss ends the room.
func (r *room) dismiss() {
	r.q.mu.Lock()
	defer r.q.mu.Unlock()
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(r.consumers) > 0 {
		r.leave(r.consumers[0])
	}
	r.ending = true
	delete(r.q.rooms, r.name)
	r.kick()
}

func (r *room) kick() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// Ack acknowledges messages, as Queues.Ack does. A broadcast message is done when all who were given it have
// acknowledged it or left.
func (c *Consumer) Ack(entries ...string) (int, error) {
	r := c.r
	if r.policy != Broadcast {
		return r.q.Ack(r.name, entries...)
	}
	if err := checkAck(r.name, entries); err != nil {
		return 0, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for _, id := range entries {
		if s := r.shared[id]; s != nil && s.waiting[c] {
			n++
			r.unshare(id, c, true)
		}
	}
	r.kick()
	return n, nil
}

// unshare ends what a consumer has to do with a broadcast message.
func (r *room) unshare(id string, c *Consumer, acked bool) {
	s := r.shared[id]
	delete(s.waiting, c)
	c.drop(id)
	s.acked = s.acked || acked
	if len(s.waiting) > 0 {
		return
	}
	delete(r.shared, id)
	if s.acked {
		r.finished = append(r.finished, id)
	} else {
		r.unwanted = append(r.unwanted, id)
	}
}

func (c *Consumer) drop(id string) {
	c.bytes -= c.held[id]
	delete(c.held, id)
}

// released takes entries from whoever holds them: they are acknowledged, given back, or dead.
func (r *room) released(entries []string, back bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, id := range entries {
		delete(r.shared, id)
		for _, c := range r.consumers {
			c.drop(id)
		}
	}
	r.look = r.look || back || r.waiting
	r.kick()
}

// free is how many messages a consumer may get now. How large they are nobody knows before they are read; as large as
// the latest one, perhaps.
func (c *Consumer) free() int {
	n := max(0, c.o.Prefetch-len(c.held))
	switch {
	case !c.started || c.late || c.o.MaxBytes > 0 && c.bytes >= c.o.MaxBytes && len(c.held) > 0:
		return 0
	case c.o.MaxBytes > 0 && c.latest == 0:
		return min(n, 1)
	case c.o.MaxBytes > 0:
		return min(n, max(1, (c.o.MaxBytes-c.bytes)/c.latest))
	}
	return n
}
