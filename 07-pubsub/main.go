// Step 07: publish and subscribe. A message goes to everyone who listens on its channel, now.
//
// It is the first time that a client gets something it has not just asked for, and that turns two
// things around. A connection now has two sources of bytes, its own replies and the messages of
// others, so it needs one writer that both go through. And a client that reads slowly now costs
// somebody else: if the publisher wrote to each subscriber's socket, one that stopped reading would
// stop them all. So a message is put into the subscriber's queue, which takes no time; the queue has
// an end; and who is that far behind is disconnected. Nothing is kept for those who are away.
//
// The commands of steps 03 to 05 are now imported from pkg/basics and stand in commands.go; snapshots,
// imported from pkg/rdb, stand with the log in disk.go.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"byor/pkg/aof"
	"byor/pkg/basics"
	"byor/pkg/resp"
	"byor/pkg/store"
)

const (
	// maxReplies is how many bytes of replies may pile up before they are sent, as in step 03.
	maxReplies = 64 << 10
	// A subscriber may be this far behind. Both limits are needed: a million empty messages take
	// memory too, and one message may have 512 MB.
	maxQueued      = 1 << 13  // messages
	maxQueuedBytes = 32 << 20 // as Redis (client-output-buffer-limit pubsub)
)

// commands is the dispatch table. New is a fact about commands: may a subscriber use it?
var commands = map[string]struct {
	arity          int
	run            handler
	whenSubscribed bool
}{
	"ping": {-1, ping, true}, "echo": {2, echo, false}, "quit": {-1, quit, true}, "command": {-1, commandDocs, false},
	"select": {2, selectDB, false}, "dbsize": {1, dbsize, false}, "flushall": {-1, flushAll, false},
	"get": {2, get, false}, "set": {-3, set, false}, "del": {-2, del, false}, "exists": {-2, exists, false}, "incr": {2, incr, false},
	"expire": {-3, expire, false}, "pexpire": {-3, expire, false}, "expireat": {-3, expire, false}, "pexpireat": {-3, expire, false},
	"ttl": {2, ttl, false}, "pttl": {2, ttl, false}, "persist": {2, persist, false},
	"save": {1, save, false}, "bgsave": {1, bgsave, false}, "lastsave": {1, lastSave, false},
	// region: the new commands
	"subscribe": {-2, subscribe, true}, "unsubscribe": {-1, unsubscribe, true},
	"psubscribe": {-2, psubscribe, true}, "punsubscribe": {-1, punsubscribe, true},
	"publish": {3, publish, false},
	// endregion
}

// There are two kinds of subscription, to a channel and to a pattern of channels. They differ only
// in when they apply and in the first letter of their commands.
const (
	channel = 0
	pattern = 1
)

// server is what all connections share. It is safe for concurrent use.
type server struct {
	trace  bool          // print every byte
	lastID atomic.Uint64 // number of the newest connection
	dir    string        // where dump.rdb is

	mu       sync.Mutex // protects what follows, and the order of what is in the log
	data     *store.Store
	log      *aof.Log     // nil with -appendonly no, and while loading
	logDB    int          // the database that the log has selected at its end
	dump     *basics.Dump // a snapshot that is under way, or nil
	lastSave int64        // Unix seconds
	// listeners are the subscribers by name, of each kind. A name without any is not in the map,
	// or every channel that anybody ever subscribed to would stay for ever.
	listeners [2]map[string]map[*client]bool
}

// client is one connection. Other goroutines touch only its queue, and only under the server's lock.
type client struct {
	srv     *server
	conn    net.Conn
	db      *store.DB          // what SELECT chose
	w       *resp.Writer       // replies are appended here and leave when the batch is done
	closing bool               // set by QUIT
	topics  [2]map[string]bool // what it is subscribed to, by kind

	queue   chan []byte   // from the first SUBSCRIBE on: everything that is to be sent; else nil
	queued  atomic.Int64  // bytes in it
	drained chan struct{} // closed when the writer has ended
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
	name := strings.ToLower(string(args[0]))
	cmd, ok := commands[name]
	if !ok {
		c.w.Error(unknownCommand(args).Error())
		return
	}
	if n := len(args); n != cmd.arity && (cmd.arity >= 0 || n < -cmd.arity) {
		c.w.Error(wrongArity(name).Error())
		return
	}
	if c.subscriptions() > 0 && !cmd.whenSubscribed {
		// In RESP2 a message looks like a reply. A client that waits for one and gets the other
		// would take "hello" for the value of its key, so there may be no other replies.
		c.w.Error("ERR Can't execute '" + name + "': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context")
		return
	}
	c.srv.data.SetNow(time.Now().UnixMilli())
	effect, err := cmd.run(c, args)
	if err != nil {
		c.w.Error(err.Error())
	}
	if effect != nil {
		c.srv.propagate(c.db.ID(), effect)
	}
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

// confirm writes the array that answers each (un)subscription: what, which, and how many are left.
func (c *client) confirm(verb string, kind int, name []byte) {
	c.w.Array(3)
	c.w.BulkString([]string{"", "p"}[kind] + verb)
	if name == nil {
		c.w.Null()
	} else {
		c.w.Bulk(name)
	}
	c.w.Int(int64(c.subscriptions()))
}

func (c *client) subscriptions() int { return len(c.topics[channel]) + len(c.topics[pattern]) }

// forget ends one subscription. The caller holds the lock.
func (c *client) forget(kind int, name string) {
	listeners := c.srv.listeners[kind]
	delete(c.topics[kind], name)
	if delete(listeners[name], c); len(listeners[name]) == 0 {
		delete(listeners, name)
	}
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
	c.w.Int(n)
	return nil, nil
}

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

// enqueueReply moves the replies gathered so far into the queue. The caller holds the lock.
func (c *client) enqueueReply() {
	if c.w.Len() > 0 {
		c.enqueue(bytes.Clone(c.w.Buf))
		c.w.Buf = c.w.Buf[:0]
	}
}

// writeQueue is the goroutine that writes to a subscriber. From its first SUBSCRIBE on, nobody else
// does, or two messages could be mixed in the middle. It may wait for the peer as long as it likes:
// nobody waits for it.
func (c *client) writeQueue() {
	defer close(c.drained)
	// region: one writer
	for b := range c.queue {
		c.srv.commit()
		if _, err := c.conn.Write(b); err != nil {
			c.conn.Close() // wakes the reader, which ends the connection; here the queue is emptied
		}
		c.queued.Add(-int64(len(b)))
	}
	// endregion
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

// handle serves one client, as in step 03.
func (s *server) handle(conn net.Conn) {
	if s.trace {
		conn = resp.Trace(conn, os.Stdout, fmt.Sprintf("#%d", s.lastID.Add(1)))
	}
	c := &client{srv: s, conn: conn, db: s.data.DB(0), w: resp.NewWriter(conn)}
	c.topics = [2]map[string]bool{{}, {}}
	defer c.leave()
	r := resp.NewCommandReader(conn)
	for !c.closing {
		args, err := r.Next()
		if err == resp.ErrIncomplete {
			if c.reply() != nil || r.Fill() != nil {
				return
			}
			continue
		}
		if err != nil {
			c.w.Error("ERR " + err.Error()) // a protocol error: say it, and close
			break
		}
		c.execute(args)
		if c.w.Len() > maxReplies && c.reply() != nil {
			return
		}
	}
	c.reply()
}

// reply sends the replies gathered so far, once the log has all that they promise.
func (c *client) reply() error {
	if c.queue != nil {
		c.srv.mu.Lock()
		defer c.srv.mu.Unlock()
		c.enqueueReply()
		return nil
	}
	c.srv.commit()
	return c.w.Flush()
}

// serve accepts connections until ln is closed, as in step 01.
func (s *server) serve(ln net.Listener) {
	for {
		conn, err := ln.Accept()
		switch {
		case err == nil:
			go s.handle(conn)
		case errors.Is(err, net.ErrClosed):
			return
		default: // too many open files: wait until somebody leaves
			time.Sleep(50 * time.Millisecond)
		}
	}
}

// newServer loads what is in dir.
func newServer(dir string, useLog bool, policy string, trace bool) (*server, error) {
	s := &server{data: store.New(16), dir: dir, trace: trace, lastSave: time.Now().Unix()}
	s.listeners = [2]map[string]map[*client]bool{{}, {}}
	if err := s.load(useLog, policy); err != nil {
		return nil, err
	}
	s.data.OnExpire = func(db int, key string) {
		s.propagate(db, [][]byte{[]byte("DEL"), []byte(key)})
	}
	return s, nil
}

func main() {
	addr := flag.String("addr", "127.0.0.1:6380", "TCP `address` to listen on")
	trace := flag.Bool("trace", false, "print every byte that comes in and goes out, and what it means")
	dir := flag.String("dir", ".", "`directory` of dump.rdb and appendonlydir")
	useLog := flag.String("appendonly", "no", "`yes` to keep the log of step 05")
	policy := flag.String("appendfsync", "everysec", "when to force the log to the disk: `always, everysec or no`")
	flag.Parse()
	if err := run(*addr, *dir, basics.Yes("appendonly", *useLog), *policy, *trace); err != nil {
		fmt.Fprintln(os.Stderr, "07-pubsub:", err)
		os.Exit(1)
	}
}

// run listens and serves until Ctrl-C.
func run(addr, dir string, useLog bool, policy string, trace bool) error {
	s, err := newServer(dir, useLog, policy, trace)
	if err != nil {
		return err
	}
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	context.AfterFunc(ctx, func() { ln.Close() })
	go s.expireInBackground(ctx)
	_, port, _ := net.SplitHostPort(ln.Addr().String())
	fmt.Printf("07-pubsub listens on %s. In another terminal: redis-cli -p %s SUBSCRIBE news; in a third: redis-cli -p %s PUBLISH news hello. Ctrl-C ends it.\n",
		ln.Addr(), port, port)
	s.serve(ln)
	if s.log != nil {
		return s.log.Close()
	}
	return nil
}
