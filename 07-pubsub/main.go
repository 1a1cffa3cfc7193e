// Step 07: publish and subscribe. A message goes to everyone who listens on its channel, now.
//
// It is the first time that a client gets something it has not just asked for, and that turns two
// things around. A connection now has two sources of bytes, its own replies and the messages of
// others, so it needs one writer that both go through. And a client that reads slowly now costs
// somebody else: if the publisher wrote to each subscriber's socket, one that stopped reading would
// stop them all. So a message is put into the subscriber's queue, which takes no time; the queue has
// an end; and who is that far behind is disconnected. Nothing is kept for those who are away.
//
// What the steps before have built, the known commands, the log and the snapshots, comes from
// pkg/basics. glob.go compares a name with a pattern.
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

// A subscriber may be this far behind. Both limits are needed: a million empty messages take memory
// too, and one message may have 512 MB.
const (
	maxQueued      = 1 << 13  // messages
	maxQueuedBytes = 32 << 20 // as Redis (client-output-buffer-limit pubsub)
)

// commands is the dispatch table: what is new, and what the steps before have built. New is a fact about
// commands, too, the flag s: a subscriber may use it. PING has it, and has learnt something.
var commands = basics.Extend(basics.Table[*client]{
	"ping": {Arity: -1, Run: ping, Flags: "s"},
	// region: the new commands
	"subscribe": {Arity: -2, Run: subscribe, Flags: "s"}, "unsubscribe": {Arity: -1, Run: unsubscribe, Flags: "s"},
	"psubscribe": {Arity: -2, Run: psubscribe, Flags: "s"}, "punsubscribe": {Arity: -1, Run: punsubscribe, Flags: "s"},
	"publish": {Arity: 3, Run: publish},
	// endregion
}, basics.OnData, basics.OnDisk)

// There are two kinds of subscription, to a channel and to a pattern of channels. They differ only
// in when they apply and in the first letter of their commands.
const (
	channel = 0
	pattern = 1
)

// server is what all connections share. It is safe for concurrent use.
type server struct {
	opts *basics.Options
	disk *basics.Disk // log and snapshots

	mu   sync.Mutex // protects what follows, the disk, and the order of what is in the log
	data *store.Store
	// listeners are the subscribers by name, of each kind. A name without any is not in the map,
	// or every channel that anybody ever subscribed to would stay for ever.
	listeners [2]map[string]map[*client]bool
}

// client is one connection. Other goroutines touch only its queue, and only under the server's lock.
type client struct {
	basics.Client
	srv    *server
	conn   net.Conn
	topics [2]map[string]bool // what it is subscribed to, by kind

	queue   chan []byte   // from the first SUBSCRIBE on: everything that is to be sent; else nil
	queued  atomic.Int64  // bytes in it
	drained chan struct{} // closed when the writer has ended
}

func subscribe(c *client, args [][]byte) ([][]byte, error)   { return c.subscribe(channel, args[1:]) }
func psubscribe(c *client, args [][]byte) ([][]byte, error)  { return c.subscribe(pattern, args[1:]) }
func unsubscribe(c *client, args [][]byte) ([][]byte, error) { return c.unsubscribe(channel, args[1:]) }
func punsubscribe(c *client, args [][]byte) ([][]byte, error) {
	return c.unsubscribe(pattern, args[1:])
}

// subscribe adds subscriptions of one kind. Each is confirmed by an array of its own.
func (c *client) subscribe(kind int, names [][]byte) ([][]byte, error) {
	// region: subscribe
	if c.queue == nil {
		c.queue, c.drained = make(chan []byte, maxQueued), make(chan struct{})
		go c.writeQueue()
	}
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
	return nil, nil // no effect: who listens is not data, and is forgotten with the connection
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

// enqueue puts bytes into the client's queue. It never waits: all publishers and all commands wait
// behind us for the lock. The caller holds it, and b must not be changed any more.
func (c *client) enqueue(b []byte) {
	// region: bounded, and never waiting
	if c.queued.Add(int64(len(b))) <= maxQueuedBytes {
		select {
		case c.queue <- b:
			return
		default: // full
		}
	}
	// Too slow. To drop just this message would leave a hole that the subscriber cannot see. It
	// shall see that it missed something: its connection ends, and the rest follows in leave.
	c.conn.Close()
	// endregion
}

// writeQueue is the goroutine that writes to a subscriber. From its first SUBSCRIBE on, nobody else
// does, or two messages could be mixed in the middle. It may wait for the peer as long as it likes:
// nobody waits for it.
func (c *client) writeQueue() {
	defer close(c.drained)
	// region: one writer
	for b := range c.queue {
		c.srv.disk.Commit()
		if _, err := c.conn.Write(b); err != nil {
			c.conn.Close() // wakes the reader, which ends the connection; here the queue is emptied
		}
		c.queued.Add(-int64(len(b)))
	}
	// endregion
}

// publish answers PUBLISH channel message with the number of those who were given it.
func publish(c *client, args [][]byte) ([][]byte, error) {
	var n int64
	// region: hand out the message
	name := string(args[1])
	message := resp.AppendCommand(nil, []byte("message"), args[1], args[2]) // encoded once for all
	for sub := range c.srv.listeners[channel][name] {
		sub.enqueue(message)
		n++
	}
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
	listeners := c.srv.listeners[kind]
	delete(c.topics[kind], name)
	if delete(listeners[name], c); len(listeners[name]) == 0 {
		delete(listeners, name)
	}
}

// leave ends the connection. Only when no publisher can find us any more may the queue be closed,
// since a send on a closed channel would bring the whole server down. That is certain once we have
// unsubscribed under the lock under which all publishers send.
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
		c.conn.SetWriteDeadline(time.Now().Add(time.Second)) // for the last replies, as that to QUIT
		close(c.queue)
		<-c.drained
	}
	// endregion
	c.conn.Close()
}

// ping answers PING [message]. For a subscriber, all replies are arrays.
func ping(c *client, args [][]byte) ([][]byte, error) {
	if c.subscriptions() == 0 || len(args) > 2 {
		return basics.OnData["ping"].Run(&c.Client, args)
	}
	c.W.Array(2)
	c.W.BulkString("pong")
	c.W.Bulk(bytes.Join(args[1:], nil))
	return nil, nil
}

// execute runs one command under the lock. What a subscriber is answered goes into its queue before
// the lock is released, so that replies and messages keep the order in which things happened: who
// publishes next must not overtake the "you are subscribed".
func (c *client) execute(args [][]byte) {
	c.srv.mu.Lock()
	defer c.srv.mu.Unlock()
	c.run(args)
	if c.queue != nil {
		c.enqueueReply()
	}
}

// run is what execute was until step 06.
func (c *client) run(args [][]byte) {
	cmd, err := commands.Find(c, args)
	if err == nil && c.subscriptions() > 0 && !cmd.Has('s') {
		// In RESP2 a message looks like a reply. A client that waits for one and gets the other
		// would take "hello" for the value of its key, so there may be no other replies.
		err = basics.WhileSubscribed(strings.ToLower(string(args[0])))
	}
	if err != nil {
		c.W.Error(err.Error())
		return
	}
	cmd.Call(c, args, c.srv.disk.Propagate)
}

// enqueueReply moves the replies gathered so far into the queue. The caller holds the lock.
func (c *client) enqueueReply() {
	if c.W.Len() > 0 {
		c.enqueue(bytes.Clone(c.W.Buf))
		c.W.Buf = c.W.Buf[:0]
	}
}

// reply sends the replies gathered so far, once the log has all that they promise.
func (c *client) reply() error {
	if c.queue != nil {
		c.srv.mu.Lock()
		defer c.srv.mu.Unlock()
		c.enqueueReply()
		return nil
	}
	c.srv.disk.Commit()
	return c.W.Flush()
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
	return &client{srv: s, topics: [2]map[string]bool{{}, {}}, Client: basics.Client{DB: s.data.DB(0), W: resp.NewWriter(w), Disk: s.disk}}
}

// newServer loads what is on the disk.
func newServer(o *basics.Options) (*server, error) {
	s := &server{opts: o, data: store.New(16), listeners: [2]map[string]map[*client]bool{{}, {}}}
	s.disk = basics.NewDisk(o, &s.mu, s.data)
	c := s.newClient(nil)
	if err := s.disk.Load(o, c.W, c.execute); err != nil {
		return nil, err
	}
	s.data.OnExpire = s.disk.Expired
	return s, nil
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
