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
// What the steps before have built comes from pkg: the known commands, log and snapshots, and the
// master's end of replication from pkg/basics, the replica's, in replicate.go, from pkg/repl.
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
	"syscall"
	"time"

	"byor/pkg/basics"
	"byor/pkg/pubsub"
	"byor/pkg/store"
)

// drainTime is how long clients have to take their last replies.
const drainTime = 5 * time.Second

// commands is the dispatch table: what is new, and what the steps before have built. Flag w: changes
// data, r: allowed to a replica.
var commands = basics.Extend(basics.Table[*client]{
	"publish": {Arity: 3, Run: publish},
	// region: the new command
	"shutdown": {Arity: -1, Run: shutdown},
	// endregion
}, basics.OnData, basics.OnDisk, basics.OnChannels, basics.OnReplicas)

// server is what all connections share. It is safe for concurrent use.
type server struct {
	opts   *basics.Options
	disk   *basics.Disk // log and snapshots
	repl   *basics.Replicas
	hub    *pubsub.Hub
	master string         // host:port of the server that we follow, or ""
	busy   sync.WaitGroup // the connections, which must be over before we exit

	mu       sync.Mutex // protects what follows, disk and repl, and the order of log and stream
	data     *store.Store
	ln       net.Listener
	clients  map[*client]bool // to wake them when it is time to go
	stopping bool             // nothing is executed any more
}

// client is one connection, or the link to the master. Only its own goroutine uses it. Closing is set by
// QUIT, and when the server stops.
type client struct {
	basics.Client
	srv      *server
	isMaster bool // its commands are our master's, or those of the log: obeyed, and never answered
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
	if s.disk.Log != nil {
		err = s.disk.Log.Flush()
	}
	if s.disk.Dump != nil { // a BGSAVE shows an older moment: give it up
		s.disk.Dump.Close()
		s.disk.Dump = nil
	}
	if err == nil && (how == "SAVE" || how == "" && s.disk.Log == nil) {
		err = s.disk.SaveNow()
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

// shutdown answers SHUTDOWN [NOSAVE|SAVE]. When it works there is no reply: the end of the connection
// is the answer.
func shutdown(c *client, args [][]byte) ([][]byte, error) {
	how := ""
	if len(args) > 1 {
		how = strings.ToUpper(string(args[1]))
	}
	if len(args) > 2 || how != "" && how != "SAVE" && how != "NOSAVE" {
		return nil, basics.ErrSyntax
	}
	if err := c.srv.stop(how); err != nil {
		return nil, errors.New("ERR Errors trying to SHUTDOWN. Check logs.")
	}
	c.Closing = true
	return nil, nil
}

// execute runs one command under the lock, as in step 07.
func (c *client) execute(args [][]byte) {
	c.Begin()
	defer c.End()
	c.run(args)
}

func (c *client) run(args [][]byte) {
	s := c.srv
	// region: frozen
	if s.stopping {
		// What has been saved must stay all there is. The client sees its connection end without
		// a reply to this command; it is never told OK for something that is not on the disk.
		c.Closing = true
		return
	}
	// endregion
	cmd, err := commands.Find(c, args)
	if err == nil && s.master != "" && !c.isMaster && cmd.Has('w') {
		err = basics.ErrReadOnly // a change that the master does not know of would never go away again
	}
	if err != nil {
		c.W.Error(err.Error())
		return
	}
	if c.Synced && !cmd.Has('r') {
		c.Closing = true // a reply would stand in the middle of the stream
		return
	}
	s.data.Expiry = c.expiry()
	cmd.Call(c, args, s.repl.Propagate)
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

// drain waits until all connections have ended by themselves, and ends those that take too long. It
// must be called when serve has returned, since nobody may be added to a WaitGroup that is waited for.
func (s *server) drain() {
	// region: wake, wait, and lose patience
	over := make(chan struct{})
	go func() {
		s.busy.Wait()
		s.disk.Wait() // for a BGSAVE
		close(over)
	}()
	s.mu.Lock()
	for c := range s.clients {
		// Most are asleep in Read and would sleep on. A deadline that has passed wakes them, and
		// unlike Close it still lets them write. One that is writing to somebody who does not
		// read gets the whole time, and no more.
		c.Conn.SetReadDeadline(time.Now())
		c.Conn.SetWriteDeadline(time.Now().Add(drainTime))
	}
	s.mu.Unlock()
	select {
	case <-over:
	case <-time.After(drainTime + time.Second):
		fmt.Fprintln(os.Stderr, "some connections do not end, they are cut")
	}
	// endregion
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
	c.Sub.Leave()
	if c.Replica != nil {
		c.Replica.End()
	}
	c.Conn.Close()
	s.mu.Lock()
	delete(s.clients, c)
	s.mu.Unlock()
}

// handle serves one client, as in step 03.
func (s *server) handle(conn net.Conn) {
	c := s.newClient(s.opts.Traced(conn))
	defer s.leave(c)
	if s.join(c) {
		c.Serve(c.Conn, c.execute, c.Reply)
	}
}

// newClient returns the client at conn; without one, the log or our master.
func (s *server) newClient(conn net.Conn) *client {
	c := &client{srv: s, isMaster: conn == nil, Client: basics.NewClient(s.disk, s.hub, conn)}
	c.Replicas = s.repl
	return c
}

// newServer loads what is on the disk.
func newServer(o *basics.Options, master string) (*server, error) {
	s := &server{opts: o, data: store.New(16), hub: pubsub.NewHub(), master: master, clients: map[*client]bool{}}
	s.disk = basics.NewDisk(o, &s.mu, s.data)
	s.repl = basics.NewReplicas(s.disk)
	c := s.newClient(nil) // a log is obeyed like a master
	if err := s.disk.Load(o, c.W, c.execute); err != nil {
		return nil, err
	}
	s.repl.Reselect()
	s.data.Expiry = (&client{srv: s}).expiry()
	s.data.OnExpire = func(db int, key string) { s.repl.Propagate(db, [][]byte{[]byte("DEL"), []byte(key)}) }
	return s, nil
}

// run listens and serves until it is told to stop.
func run(o *basics.Options, master string) error {
	s, err := newServer(o, master)
	if err != nil {
		return err
	}
	if s.ln, err = net.Listen("tcp", o.Addr); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go s.watchSignals(catchSignals()) // caught from here on, not from when the goroutine runs
	go basics.Sweep(ctx, &s.mu, s.data, func() bool { return s.stopping })
	go s.repl.Tick(ctx, master == "")
	_, port, _ := net.SplitHostPort(s.ln.Addr().String())
	if master != "" {
		go s.follow(ctx, port)
	}
	fmt.Printf("09-shutdown listens on %s. In another terminal: redis-cli -p %s SET city Paris, then press Ctrl-C here, start it again and GET city.\n",
		s.ln.Addr(), port)
	s.serve(s.ln)
	// region: the way out
	s.drain()
	return s.disk.Close()
	// endregion
}

func main() {
	master := flag.String("replicaof", "", "follow the server at `host:port`")
	basics.Main("09-shutdown", func(o *basics.Options) error { return run(o, *master) })
}
