// Step 07: publish and subscribe. A message goes to everyone who listens on its channel, now.
//
// For the first time a client is sent something that it has not just asked for. That turns two things
// around. A connection has two sources of bytes, its own replies and the messages of others, so it
// needs one writer that both go through. And a slow reader costs somebody else: if the publisher wrote
// to every subscriber's socket, one that has stopped reading would stop them all. So the publisher puts
// the message into each subscriber's queue, which takes no time. The queue has an end, and a subscriber
// that is so far behind is disconnected. Nothing is kept for those who are away.
//
// pkg/basics has what the earlier steps built: the known commands, the log and the snapshots. glob.go
// compares a name with a pattern.
package main

import (
	"bytes"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"byor/pkg/basics"
	"byor/pkg/resp"
	"byor/pkg/store"
)

// A subscriber may be this far behind. Both limits are needed: a million empty messages take memory,
// too, and a single message may have 512 MB.
const (
	maxQueued      = 1 << 13  // messages
	maxQueuedBytes = 32 << 20 // as Redis (client-output-buffer-limit pubsub)
)

// commands is the dispatch table: what is new, and what the steps before have built. The flag s means
// that a subscriber may use the command.
var commands = basics.Extend(basics.Table[*client]{
	"ping":      {Arity: -1, Run: ping, Flags: "s"},
	"subscribe": {Arity: -2, Run: subscribe, Flags: "s"}, "unsubscribe": {Arity: -1, Run: unsubscribe, Flags: "s"},
	"psubscribe": {Arity: -2, Run: psubscribe, Flags: "s"}, "punsubscribe": {Arity: -1, Run: punsubscribe, Flags: "s"},
	"publish": {Arity: 3, Run: publish},
}, basics.OnData, basics.OnDisk)

// There are two kinds of subscription: to a channel, and to all channels that match a pattern.
const (
	channel = 0
	pattern = 1
)

// server is what all connections share. It is safe for concurrent use.
type server struct {
	disk *basics.Disk // log and snapshots

	mu   sync.Mutex // protects what follows, the disk, and the order of what is in the log
	data *store.Store
	// listeners are the subscribers by name, of each kind. A name without any is not in the map, or
	// the server would remember every channel that anybody ever subscribed to.
	listeners [2]map[string]map[*client]bool
}

// client is one connection. Other goroutines touch only its queue, and only under the server's lock.
type client struct {
	basics.Client
	srv    *server
	conn   net.Conn
	topics [2]map[string]bool // what it is subscribed to, by kind

	queue   chan []byte   // from the first SUBSCRIBE on, everything that is to be sent; else nil
	queued  atomic.Int64  // bytes in it
	drained chan struct{} // closed when the writer has ended
}

func subscribe(c *client, args [][]byte) ([][]byte, error)   { return c.subscribe(channel, args[1:]) }
func psubscribe(c *client, args [][]byte) ([][]byte, error)  { return c.subscribe(pattern, args[1:]) }
func unsubscribe(c *client, args [][]byte) ([][]byte, error) { return c.unsubscribe(channel, args[1:]) }
func punsubscribe(c *client, args [][]byte) ([][]byte, error) {
	return c.unsubscribe(pattern, args[1:])
}

// subscribe adds subscriptions of one kind. It confirms each of them with an array of its own.
func (c *client) subscribe(kind int, names [][]byte) ([][]byte, error) {
	c.startQueue()
	// region: subscribe
	listeners := c.srv.listeners[kind]
	for _, name := range names {
		if listeners[string(name)] == nil {
			listeners[string(name)] = map[*client]bool{}
		}
		listeners[string(name)][c] = true
		c.topics[kind][string(name)] = true
		c.confirm("subscribe", kind, name)
	}
	// endregion
	return nil, nil // no effect: a subscription is not data, and ends with its connection
}

// confirm writes the array that answers each (un)subscription: what, which, and how many are left.
func (c *client) confirm(verb string, kind int, name []byte) {
	c.W.Array(3)
	c.W.BulkString([]string{"", "p"}[kind] + verb)
	if name == nil {
		c.W.Null()
	} else {
		c.W.Bulk(name)
	}
	c.W.Int(int64(c.subscriptions()))
}

func (c *client) subscriptions() int { return len(c.topics[channel]) + len(c.topics[pattern]) }

// unsubscribe ends subscriptions of one kind; without names, all of that kind.
func (c *client) unsubscribe(kind int, names [][]byte) ([][]byte, error) {
	// region: unsubscribe
	if len(names) == 0 {
		for name := range c.topics[kind] {
			names = append(names, []byte(name))
		}
	}
	for _, name := range names {
		c.forget(kind, string(name))
		c.confirm("unsubscribe", kind, name)
	}
	if len(names) == 0 {
		c.confirm("unsubscribe", kind, nil) // there was nothing to end, but there must be a reply
	}
	// endregion
	return nil, nil
}

// forget ends one subscription. The caller holds the lock.
func (c *client) forget(kind int, name string) {
	// region: unsubscribe
	listeners := c.srv.listeners[kind]
	delete(c.topics[kind], name)
	if delete(listeners[name], c); len(listeners[name]) == 0 {
		delete(listeners, name)
	}
	// endregion
}

// publish answers PUBLISH channel message with the number of queues that the message went into.
func publish(c *client, args [][]byte) ([][]byte, error) {
	var n int64
	// region: publish
	name := string(args[1])
	message := resp.AppendCommand(nil, []byte("message"), args[1], args[2]) // encoded once for all
	for sub := range c.srv.listeners[channel][name] {
		sub.enqueue(message)
		n++
	}
	// endregion
	// region: patterns
	for glob, subs := range c.srv.listeners[pattern] {
		if !match(glob, name) {
			continue
		}
		message := resp.AppendCommand(nil, []byte("pmessage"), []byte(glob), args[1], args[2])
		for sub := range subs {
			sub.enqueue(message)
			n++
		}
	}
	// endregion
	c.W.Int(n)
	return nil, nil
}

// startQueue gives the client its queue, if it has none yet, and a goroutine that empties it.
func (c *client) startQueue() {
	if c.queue != nil {
		return
	}
	// region: a queue with an end
	c.queue = make(chan []byte, maxQueued)
	// endregion
	// region: one writer
	c.drained = make(chan struct{})
	go c.writeQueue()
	// endregion
}

// enqueue puts bytes into the client's queue. It never waits: the caller holds the lock, and everybody
// else waits for the lock. Nobody may change b any more.
func (c *client) enqueue(b []byte) {
	// region: a queue with an end
	if c.queued.Add(int64(len(b))) <= maxQueuedBytes {
		select {
		case c.queue <- b:
			return
		default: // full
		}
	}
	// This subscriber is too slow. If we dropped only this message, the subscriber would never know.
	// So we close the connection: that is something it cannot miss. Its goroutine wakes up and leaves.
	c.conn.Close()
	// endregion
}

// writeQueue is the goroutine that writes to a subscriber. From the first SUBSCRIBE on nobody else
// does, or one message could end up in the middle of another. It may wait for a slow peer as long as
// it likes, because nobody waits for it.
func (c *client) writeQueue() {
	// region: one writer
	defer close(c.drained)
	for b := range c.queue {
		c.srv.disk.Commit() // b may be the OK of a SET, and the log has to have the SET first
		if _, err := c.conn.Write(b); err != nil {
			c.conn.Close() // wakes the client's own goroutine, which waits in a read
		}
		c.queued.Add(-int64(len(b)))
	}
	// endregion
}

// leave ends the connection. A send on a closed channel would bring the whole server down. So we may
// close the queue only when no publisher can find us any more. All publishers send under the lock, and
// under the same lock we unsubscribe from everything first.
func (c *client) leave() {
	// region: unsubscribe, then close
	c.srv.mu.Lock()
	for kind, names := range c.topics {
		for name := range names {
			c.forget(kind, name)
		}
	}
	c.srv.mu.Unlock()
	if c.queue != nil {
		c.conn.SetWriteDeadline(time.Now().Add(time.Second)) // for the last replies, QUIT's for one
		close(c.queue)
		<-c.drained
	}
	// endregion
	c.conn.Close()
}

// ping answers PING [message].
func ping(c *client, args [][]byte) ([][]byte, error) {
	// region: a subscriber may do less
	if c.subscriptions() > 0 && len(args) <= 2 {
		c.W.Array(2)
		c.W.BulkString("pong")
		c.W.Bulk(bytes.Join(args[1:], nil)) // the message, or nothing
		return nil, nil
	}
	// endregion
	return basics.OnData["ping"].Run(&c.Client, args)
}

// execute runs one command under the lock.
func (c *client) execute(args [][]byte) {
	c.srv.mu.Lock()
	defer c.srv.mu.Unlock()
	c.run(args)
	// region: replies in the same queue
	// The next PUBLISH needs the lock. It must not overtake our "you are subscribed".
	if c.queue != nil {
		c.enqueueReply()
	}
	// endregion
}

// run looks the command up and calls it, unless a subscriber must not use it.
func (c *client) run(args [][]byte) {
	cmd, err := commands.Find(c, args)
	// region: a subscriber may do less
	// In RESP2 a message looks like a reply. A client that waits for one and gets the other would take
	// "hello" for the value of its key. So a subscriber gets no other replies.
	if err == nil && c.subscriptions() > 0 && !cmd.Has('s') {
		err = basics.WhileSubscribed(strings.ToLower(string(args[0])))
	}
	// endregion
	if err != nil {
		c.W.Error(err.Error())
		return
	}
	cmd.Call(c, args, c.srv.disk.Propagate)
}

// enqueueReply moves the replies gathered so far into the queue. The caller holds the lock.
func (c *client) enqueueReply() {
	// region: replies in the same queue
	if c.W.Len() > 0 {
		c.enqueue(bytes.Clone(c.W.Buf)) // the next reply overwrites the buffer
		c.W.Buf = c.W.Buf[:0]
	}
	// endregion
}

// reply sends the replies gathered so far, once the log has all that they promise.
func (c *client) reply() error {
	// region: replies in the same queue
	if c.queue != nil {
		c.srv.mu.Lock()
		defer c.srv.mu.Unlock()
		c.enqueueReply()
		return nil
	}
	// endregion
	return c.srv.disk.Reply(c.W)
}

// handle serves one client, as in step 03.
func (s *server) handle(conn net.Conn) {
	c := s.newClient(conn)
	c.conn = conn
	defer c.leave()
	c.Serve(conn, c.execute, c.reply)
}

// newClient returns a client whose replies go to w, nil for nowhere.
func (s *server) newClient(w io.Writer) *client {
	known := basics.Client{DB: s.data.DB(0), W: resp.NewWriter(w), Disk: s.disk}
	return &client{srv: s, topics: [2]map[string]bool{{}, {}}, Client: known}
}

// newServer loads what is on the disk.
func newServer(o *basics.Options) (*server, error) {
	s := &server{data: store.New(16), listeners: [2]map[string]map[*client]bool{{}, {}}}
	s.disk = basics.NewDisk(o, &s.mu, s.data)
	s.data.OnExpire = s.disk.Expired
	c := s.newClient(nil)
	return s, s.disk.Load(o, c.W, c.execute)
}

// run serves until Ctrl-C.
func run(o *basics.Options) error {
	s, err := newServer(o)
	if err != nil {
		return err
	}
	hello := "07-pubsub listens on ADDR. In another terminal: redis-cli -p PORT SUBSCRIBE news; " +
		"in a third: redis-cli -p PORT PUBLISH news hello. Ctrl-C ends it."
	return errors.Join(o.Serve(hello, s.handle, &s.mu, s.data), s.disk.Close())
}

func main() { basics.Main("07-pubsub", run) }
