// Step 08: replication. One server follows another and has the same data, a moment later.
//
// A replica needs two things: what there is (a snapshot, step 06) and what changes from then on (the
// effects, step 05, now sent over a socket). The art is the seam between the two: the picture must be
// of exactly the moment at which the stream begins, or a change is lost or made twice. Both sides
// count the bytes of the stream, and this number, the offset, says how far a replica has come.
//
// The master never waits: it answers its client first, and the replica has the change a little
// later, or never, if the master dies in between. That is what "asynchronous" costs.
//
// Both ends speak the protocol of Redis, so a real redis-server can be either of them. master.go is
// the one end, follow.go the other; this file is the server that both are part of.
package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"byor/pkg/aof"
	"byor/pkg/basics"
	"byor/pkg/pubsub"
	"byor/pkg/resp"
	"byor/pkg/store"
)

// maxReplies is how many bytes of replies may pile up before they are sent, as in step 03.
const maxReplies = 64 << 10

// commands is the dispatch table. w: changes data, s: allowed to a subscriber.
var commands = map[string]struct {
	arity int
	run   handler
	flags string
}{
	"ping": {-1, ping, "s"}, "echo": {2, echo, ""}, "quit": {-1, quit, "s"}, "command": {-1, commandDocs, ""},
	"select": {2, selectDB, ""}, "dbsize": {1, dbsize, ""}, "flushall": {-1, flushAll, "w"},
	"get": {2, get, ""}, "set": {-3, set, "w"}, "del": {-2, del, "w"}, "exists": {-2, exists, ""}, "incr": {2, incr, "w"},
	"expire": {-3, expire, "w"}, "pexpire": {-3, expire, "w"}, "expireat": {-3, expire, "w"}, "pexpireat": {-3, expire, "w"},
	"ttl": {2, ttl, ""}, "pttl": {2, ttl, ""}, "persist": {2, persist, "w"},
	"save": {1, save, ""}, "bgsave": {1, bgsave, ""}, "lastsave": {1, lastSave, ""},
	"subscribe": {-2, subscribe, "s"}, "unsubscribe": {-1, unsubscribe, "s"},
	"psubscribe": {-2, psubscribe, "s"}, "punsubscribe": {-1, punsubscribe, "s"}, "publish": {3, publish, ""},
	// region: the new commands
	"replconf": {-1, replconf, ""}, "psync": {3, psync, ""},
	// endregion
}

// server is what all connections share. It is safe for concurrent use.
type server struct {
	trace  bool          // print every byte
	lastID atomic.Uint64 // number of the newest connection
	dir    string        // where dump.rdb is
	hub    *pubsub.Hub
	master string // host:port of the server that we follow, or ""

	mu       sync.Mutex // protects what follows, and the order of log and stream
	data     *store.Store
	log      *aof.Log     // nil with -appendonly no, and while loading
	dump     *basics.Dump // a snapshot that is under way, or nil
	lastSave int64        // Unix seconds

	replID   string // names this history of changes; an offset means nothing without it
	offset   int64  // bytes of the stream so far
	streamDB int    // the database that log and stream have selected at their end, -1 for none
	replicas map[*replica]bool
}

// client is one connection, or the link to the master. Only its own goroutine uses it.
type client struct {
	srv     *server
	conn    net.Conn
	db      *store.DB          // what SELECT chose
	w       *resp.Writer       // replies are appended here and leave when the batch is done
	closing bool               // set by QUIT
	sub     *basics.Subscriber // its subscriptions, as in step 07; nil for the link to the master

	isMaster bool     // its commands are our master's: obeyed, and never answered
	replica  *replica // set by PSYNC: from then on this is the link to a replica
}

// execute runs one command under the lock. What a subscriber is answered goes into its queue before
// the lock is released, so that replies and messages keep the order in which things happened: who
// publishes next must not overtake the "you are subscribed".
func (c *client) execute(args [][]byte) {
	c.srv.mu.Lock()
	defer c.srv.mu.Unlock()
	c.run(args)
	if c.sub.Active() {
		c.sub.Reply(c.w)
	}
}

func (c *client) run(args [][]byte) {
	name := strings.ToLower(string(args[0]))
	cmd, ok := commands[name]
	s := c.srv
	switch n := len(args); {
	case !ok:
		c.w.Error(unknownCommand(args).Error())
		return
	case n != cmd.arity && (cmd.arity >= 0 || n < -cmd.arity):
		c.w.Error(wrongArity(name).Error())
		return
	case c.sub.Count() > 0 && !strings.Contains(cmd.flags, "s"):
		c.w.Error("ERR Can't execute '" + name + "': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context")
		return
	case s.master != "" && !c.isMaster && strings.Contains(cmd.flags, "w"):
		// A change that the master does not know of would never go away again.
		c.w.Error("READONLY You can't write against a read only replica.")
		return
	}
	if c.replica != nil && name != "replconf" {
		c.closing = true // a reply would stand in the middle of the stream
		return
	}
	s.data.SetNow(time.Now().UnixMilli())
	s.data.Expiry = c.expiry()
	effect, err := cmd.run(c, args)
	if err != nil {
		c.w.Error(err.Error())
	}
	if effect != nil {
		s.propagate(c.db.ID(), effect)
	}
}

// expiry says what happens to a key whose time is over. A replica does not delete it: its clock is
// not the master's, and the master may be about to PERSIST it. It hides the key from its clients
// until the master says DEL, and lets the master's own commands find it.
func (c *client) expiry() store.ExpiryMode {
	switch {
	case c.isMaster:
		return store.KeepExpired
	case c.srv.master != "":
		return store.HideExpired
	}
	return store.DeleteExpired
}

// propagate hands a change on to the log and to the replicas. The caller holds s.mu.
func (s *server) propagate(db int, effect [][]byte) {
	var b []byte
	if db != s.streamDB {
		s.streamDB = db
		b = resp.AppendCommandStrings(b, "SELECT", strconv.Itoa(db))
	}
	b = resp.AppendCommand(b, effect...)
	if s.log != nil {
		s.log.Append(b)
	}
	s.feed(b)
}

// handle serves one client, as in step 03.
func (s *server) handle(conn net.Conn) {
	if s.trace {
		conn = resp.Trace(conn, os.Stdout, fmt.Sprintf("#%d", s.lastID.Add(1)))
	}
	c := &client{srv: s, conn: conn, db: s.data.DB(0), w: resp.NewWriter(conn), sub: basics.NewSubscriber(s.hub, conn, s.commit)}
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
	if c.sub.Active() {
		c.srv.mu.Lock()
		defer c.srv.mu.Unlock()
		c.sub.Reply(c.w)
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
func newServer(dir string, useLog bool, policy, master string, trace bool) (*server, error) {
	s := &server{data: store.New(16), dir: dir, trace: trace, lastSave: time.Now().Unix(), hub: pubsub.NewHub(),
		master: master, streamDB: -1, replicas: map[*replica]bool{}}
	id := make([]byte, 20)
	rand.Read(id)
	s.replID = hex.EncodeToString(id)
	if err := s.load(useLog, policy); err != nil {
		return nil, err
	}
	s.data.Expiry = (&client{srv: s}).expiry()
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
	master := flag.String("replicaof", "", "follow the server at `host:port`")
	flag.Parse()
	if err := run(*addr, *dir, basics.Yes("appendonly", *useLog), *policy, *master, *trace); err != nil {
		fmt.Fprintln(os.Stderr, "08-replication:", err)
		os.Exit(1)
	}
}

// run listens and serves until Ctrl-C.
func run(addr, dir string, useLog bool, policy, master string, trace bool) error {
	s, err := newServer(dir, useLog, policy, master, trace)
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
	go s.pingReplicas(ctx)
	_, port, _ := net.SplitHostPort(ln.Addr().String())
	if master != "" {
		go s.follow(ctx, port)
		fmt.Printf("08-replication listens on %s and follows %s. In another terminal: redis-cli -p %s GET something that you SET there. Ctrl-C ends it.\n",
			ln.Addr(), master, port)
	} else {
		fmt.Printf("08-replication listens on %s. Start a second node in another terminal: make 08-replication ARGS=\"-addr 127.0.0.1:6381 -dir /tmp -replicaof %s\" (or: redis-server --port 6381 --replicaof 127.0.0.1 %s). Ctrl-C ends it.\n",
			ln.Addr(), ln.Addr(), port)
	}
	s.serve(ln)
	if s.log != nil {
		return s.log.Close()
	}
	return nil
}
