// Step 09: the end. SIGTERM, Ctrl-C and SHUTDOWN stop the server without breaking a promise.
//
// To end a process is easy; to end it well is a small state machine, and each of its mistakes loses
// data or makes somebody wait for ever:
//
//	running ──► frozen ──► saved ──► closed ──► drained ──► exit 0
//	   ▲           │ cannot be saved
//	   └───────────┘
//
// Frozen: no further command begins, so what is saved is final. Saved: log and snapshot are on the
// disk; if that fails, the server goes on, since an exit that loses data is worse than none. Closed:
// nobody new comes in. Drained: everyone has the replies to what was executed, or his time is over.
// And whoever has no patience asks a second time: exit 1.
//
// Replication is now imported from pkg/repl, in replicate.go.
package main

import (
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
	"syscall"
	"time"

	"byor/pkg/aof"
	"byor/pkg/basics"
	"byor/pkg/pubsub"
	"byor/pkg/repl"
	"byor/pkg/resp"
	"byor/pkg/store"
)

// maxReplies is how many bytes of replies may pile up before they are sent, as in step 03.
const maxReplies = 64 << 10

// drainTime is how long clients have to take their last replies.
const drainTime = 5 * time.Second

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
	"replconf": {-1, replconf, ""}, "psync": {3, psync, ""},
	// region: the new command
	"shutdown": {-1, shutdown, ""},
	// endregion
}

// server is what all connections share. It is safe for concurrent use.
type server struct {
	trace  bool          // print every byte
	lastID atomic.Uint64 // number of the newest connection
	dir    string        // where dump.rdb is
	hub    *pubsub.Hub
	repl   *repl.Master
	master string         // host:port of the server that we follow, or ""
	busy   sync.WaitGroup // what must be over before we exit: connections and a BGSAVE

	mu       sync.Mutex // protects what follows, and the order of log and stream
	data     *store.Store
	log      *aof.Log     // nil with -appendonly no, and while loading
	dump     *basics.Dump // a snapshot that is under way, or nil
	lastSave int64        // Unix seconds
	streamDB int          // the database that log and stream have selected at their end, -1 for none

	ln       net.Listener
	clients  map[*client]bool // to wake them when it is time to go
	stopping bool             // nothing is executed any more
}

// client is one connection, or the link to the master. Only its own goroutine uses it.
type client struct {
	srv     *server
	conn    net.Conn
	db      *store.DB          // what SELECT chose
	w       *resp.Writer       // replies are appended here and leave when the batch is done
	closing bool               // set by QUIT, and when the server stops
	sub     *basics.Subscriber // its subscriptions, as in step 07; nil for the link to the master

	isMaster bool          // its commands are our master's: obeyed, and never answered
	replica  *repl.Replica // from the first REPLCONF on
	synced   bool          // from PSYNC on: this is the link to a replica
}

// execute runs one command under the lock, as in step 07.
func (c *client) execute(args [][]byte) {
	c.srv.mu.Lock()
	defer c.srv.mu.Unlock()
	c.run(args)
	if c.sub.Active() {
		c.sub.Reply(c.w)
	}
}

func (c *client) run(args [][]byte) {
	s := c.srv
	// region: frozen
	if s.stopping {
		// What has been saved must stay all there is. The client sees its connection end without
		// a reply to this command; it is never told OK for something that is not on the disk.
		c.closing = true
		return
	}
	// endregion
	name := strings.ToLower(string(args[0]))
	cmd, ok := commands[name]
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
	if c.synced && name != "replconf" {
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

// shutdown answers SHUTDOWN [NOSAVE|SAVE]. When it works there is no reply: the end of the connection
// is the answer.
func shutdown(c *client, args [][]byte) ([][]byte, error) {
	how := ""
	if len(args) > 1 {
		how = strings.ToUpper(string(args[1]))
	}
	if len(args) > 2 || how != "" && how != "SAVE" && how != "NOSAVE" {
		return nil, errSyntax
	}
	if err := c.srv.stop(how); err != nil {
		return nil, errors.New("ERR Errors trying to SHUTDOWN. Check logs.")
	}
	c.closing = true
	return nil, nil
}

// stop saves everything and makes run come to its end. how is SAVE, NOSAVE, or "": save a snapshot
// unless there is a log. If the data cannot be saved, nothing has changed and the server goes on. The
// caller holds s.mu, so no command runs, and none will after stop has succeeded.
func (s *server) stop(how string) error {
	if s.stopping {
		return nil
	}
	// region: save what is final
	// The log first: it has promises to keep, whatever the snapshot does. After this, nothing is
	// ever appended, so this fsync is the last that is needed; an earlier one would not have been.
	var err error
	if s.log != nil {
		err = s.log.Flush()
	}
	if s.dump != nil { // a BGSAVE shows an older moment: give it up
		s.dump.Close()
		s.dump = nil
	}
	if err == nil && (how == "SAVE" || how == "" && s.log == nil) {
		err = s.saveNow()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "the data cannot be saved, so the server goes on (SHUTDOWN NOSAVE ends it):", err)
		return err
	}
	// endregion
	// region: close the door
	// No return from here. Accept fails at once, serve takes that for the normal end that it is,
	// and run goes on to drain.
	s.stopping = true
	s.ln.Close()
	// endregion
	return nil
}

// drain waits until all connections have ended by themselves, and ends those that take too long. It
// must be called when serve has returned, since nobody may be added to a WaitGroup that is waited for.
func (s *server) drain() {
	// region: wake, wait, and lose patience
	over := make(chan struct{})
	go func() {
		s.busy.Wait()
		close(over)
	}()
	s.mu.Lock()
	for c := range s.clients {
		// Most are asleep in Read and would sleep on. A deadline that has passed wakes them, and
		// unlike Close it still lets them write. One that is writing to somebody who does not
		// read gets the whole time, and no more.
		c.conn.SetReadDeadline(time.Now())
		c.conn.SetWriteDeadline(time.Now().Add(drainTime))
	}
	s.mu.Unlock()
	select {
	case <-over:
	case <-time.After(drainTime + time.Second):
		fmt.Fprintln(os.Stderr, "some connections do not end, they are cut")
	}
	// endregion
}

// catchSignals returns a channel of SIGINT (Ctrl-C) and SIGTERM (kill, systemd, Docker, Kubernetes).
func catchSignals() chan os.Signal {
	signals := make(chan os.Signal, 2) // room for both, for who sends without waiting
	// region: catch the signals
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	// endregion
	return signals
}

// watchSignals stops the server when a signal comes.
func (s *server) watchSignals(signals chan os.Signal) {
	// region: the first asks, the second forces
	asked := make(chan error, 1)
	waiting := false
	for {
		select {
		case sig := <-signals:
			if waiting {
				fmt.Fprintln(os.Stderr, "again: exit without waiting")
				os.Exit(1)
			}
			waiting = true
			fmt.Fprintf(os.Stderr, "%v: saving and shutting down (once more to force it)\n", sig)
			go func() { // beside this loop, which has to be awake for the second
				s.mu.Lock()
				defer s.mu.Unlock()
				asked <- s.stop("")
			}()
		case err := <-asked:
			waiting = err == nil // if it failed, the next signal is a first one again
		}
	}
	// endregion
}

// handle serves one client, as in step 03.
func (s *server) handle(conn net.Conn) {
	if s.trace {
		conn = resp.Trace(conn, os.Stdout, fmt.Sprintf("#%d", s.lastID.Add(1)))
	}
	c := &client{srv: s, conn: conn, db: s.data.DB(0), w: resp.NewWriter(conn), sub: basics.NewSubscriber(s.hub, conn, s.commit)}
	defer s.leave(c)
	if !s.join(c) {
		return
	}
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

// join enters a connection in the list of those to be woken. It fails if the server stops already.
func (s *server) join(c *client) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.stopping {
		s.clients[c] = true
	}
	return !s.stopping
}

// leave ends a connection, with its last replies.
func (s *server) leave(c *client) {
	c.leave()
	s.mu.Lock()
	delete(s.clients, c)
	s.mu.Unlock()
}

// serve accepts connections until ln is closed, as in step 01.
func (s *server) serve(ln net.Listener) {
	for {
		conn, err := ln.Accept()
		switch {
		case err == nil:
			// region: count before the goroutine starts
			// Inside the goroutine the counting could come too late: drain would find nobody to
			// wait for, although somebody is on his way.
			s.busy.Add(1)
			// endregion
			go func() {
				// region: and down when it is over
				defer s.busy.Done()
				// endregion
				s.handle(conn)
			}()
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
		repl: repl.NewMaster(repl.MasterOptions{TempDir: dir}), master: master, streamDB: -1, clients: map[*client]bool{}}
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
		fmt.Fprintln(os.Stderr, "09-shutdown:", err)
		os.Exit(1)
	}
}

// run listens and serves until it is told to stop.
func run(addr, dir string, useLog bool, policy, master string, trace bool) error {
	s, err := newServer(dir, useLog, policy, master, trace)
	if err != nil {
		return err
	}
	if s.ln, err = net.Listen("tcp", addr); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go s.watchSignals(catchSignals()) // caught from here on, not from when the goroutine runs
	go s.expireInBackground(ctx)
	go s.tick(ctx)
	_, port, _ := net.SplitHostPort(s.ln.Addr().String())
	if master != "" {
		go s.follow(ctx, port)
	}
	fmt.Printf("09-shutdown listens on %s. In another terminal: redis-cli -p %s SET city Paris, then press Ctrl-C here, start it again and GET city.\n",
		s.ln.Addr(), port)
	s.serve(s.ln)
	// region: the way out
	s.drain()
	if s.log != nil {
		return s.log.Close()
	}
	// endregion
	return nil
}
