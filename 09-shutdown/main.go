// Step 09: shutdown. The server stops on SIGTERM, on Ctrl-C and on SHUTDOWN, and breaks no promise.
//
// Ending a process is easy. Ending it well is a small state machine. Each mistake in it loses data, or
// lets somebody wait for ever:
//
//	running ──► frozen ──► saved ──► closed ──► drained ──► exit 0
//	   ▲           │ cannot be saved
//	   └───────────┘
//
// Frozen: no command begins any more, so the data are final. Saved: log and snapshot are on the disk. If
// that fails the server goes on, because an exit that loses data is worse than none. Closed: nobody new
// comes in. Drained: all clients have the replies to what was executed, or their time is over. A second
// signal means that somebody has no patience: exit 1.
//
// What you built in earlier steps comes from pkg/basics. The replica's end of step 08 is in
// replicate.go, over pkg/repl.
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

// drainTime is how long clients may take for their last replies.
const drainTime = 5 * time.Second

// commands is the dispatch table: what is new, and the commands of the steps before. Flag w: changes
// data. Flag s: a subscriber may use it. Flag r: a replica may.
var commands = basics.Extend(basics.Table[*client]{
	"publish": {Arity: 3, Run: publish},
	// region: SHUTDOWN
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
	busy   sync.WaitGroup // the connections that have not ended

	mu       sync.Mutex // protects what follows, disk and repl, and the order of log and stream
	data     *store.Store
	ln       net.Listener
	clients  map[*client]bool // to wake them when the server stops
	stopping bool             // no command begins any more
}

// client is one connection, or the link to the master. Only its own goroutine uses it.
type client struct {
	basics.Client
	srv      *server
	isMaster bool // its commands come from our master or from the log: we obey, and never answer
}

// catchSignals returns a channel that gets SIGINT (Ctrl-C) and SIGTERM (kill, systemd, Docker,
// Kubernetes).
func catchSignals() chan os.Signal {
	signals := make(chan os.Signal, 2) // the runtime drops a signal rather than wait for us
	// region: The first asks, the second forces
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	// endregion
	return signals
}

// watchSignals stops the server when a signal comes.
func (s *server) watchSignals(signals chan os.Signal) {
	// region: The first asks, the second forces
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
			go func() { // so that this loop stays awake for the second signal
				s.mu.Lock()
				defer s.mu.Unlock()
				asked <- s.stop("")
			}()
		case err := <-asked:
			waiting = err == nil // after a failure the next signal is a first one again
		}
	}
	// endregion
}

// stop saves everything and makes run come to its end. how is SAVE, NOSAVE or "", which means: save a
// snapshot unless there is a log. If the data cannot be saved, stop returns the error, and the server goes
// on as before. The caller holds s.mu, so no command runs.
func (s *server) stop(how string) error {
	if s.stopping {
		return nil
	}
	// region: Save what is final
	var err error
	if s.disk.Log != nil {
		err = s.disk.Log.Flush() // nothing is appended after this, so no later fsync is needed
	}
	if s.disk.Dump != nil { // a BGSAVE, whose data are those of an older moment: give it up
		s.disk.Dump.Close()
	}
	if err == nil && (how == "SAVE" || how == "" && s.disk.Log == nil) {
		err = s.disk.SaveNow()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "the data cannot be saved, so the server goes on (SHUTDOWN NOSAVE ends it):", err)
		return err
	}
	// endregion
	// From here on there is no way back.
	// region: Close the door
	s.stopping = true
	s.ln.Close()
	// endregion
	return nil
}

// shutdown answers SHUTDOWN [NOSAVE|SAVE]. If it works there is no reply: the connection ends.
func shutdown(c *client, args [][]byte) ([][]byte, error) {
	// region: SHUTDOWN
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
	// endregion
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
	// region: Close the door
	if s.stopping {
		// What was saved is all there is. This client sees its connection end without a reply, and is
		// never told OK for something that is not on the disk.
		c.Closing = true
		return
	}
	// endregion
	cmd, err := commands.Find(c, args)
	if err == nil && s.master != "" && !c.isMaster && cmd.Has('w') {
		err = basics.ErrReadOnly // the master would never hear of this change
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
			// region: Wait for everybody
			s.busy.Add(1) // here: inside the goroutine it could come after drain has found nobody
			// endregion
			go func() {
				// region: Wait for everybody
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

// drain waits until all connections have ended, but no longer than they may take. Call it after serve
// has returned: nobody may be added to a WaitGroup while somebody waits for it.
func (s *server) drain() {
	// region: Wake the sleepers
	s.mu.Lock()
	for c := range s.clients {
		c.Conn.SetReadDeadline(time.Now()) // wakes a Read; Close would wake it, too, and cut off a Write
		c.Conn.SetWriteDeadline(time.Now().Add(drainTime))
	}
	s.mu.Unlock()
	// endregion
	// Now wait for them.
	// region: Wait for everybody
	over := make(chan struct{})
	go func() {
		s.busy.Wait()
		s.disk.Wait() // a BGSAVE that was given up still has to remove its file
		close(over)
	}()
	select {
	case <-over:
	case <-time.After(drainTime + time.Second):
		fmt.Fprintln(os.Stderr, "some connections do not end; they are cut off")
	}
	// endregion
}

// join adds c to those who are woken at the end. It fails if the server is stopping already.
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

// newClient returns the client at conn. Without a conn it stands for the log, or for our master.
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
	c := s.newClient(nil) // we obey a log as we obey a master
	if err := s.disk.Load(o, c.W, c.execute); err != nil {
		return nil, err
	}
	s.repl.Reselect()
	s.data.Expiry = (&client{srv: s}).expiry()
	s.data.OnExpire = func(db int, key string) { s.repl.Propagate(db, [][]byte{[]byte("DEL"), []byte(key)}) }
	return s, nil
}

// run listens and serves until somebody stops the server.
func run(o *basics.Options, master string) error {
	s, err := newServer(o, master)
	if err != nil {
		return err
	}
	signals := catchSignals() // before anybody can see that we listen, and end us
	if s.ln, err = net.Listen("tcp", o.Addr); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go s.watchSignals(signals)
	go basics.Sweep(ctx, &s.mu, s.data, func() bool { return s.stopping })
	go s.repl.Tick(ctx, master == "")
	_, port, _ := net.SplitHostPort(s.ln.Addr().String())
	if master != "" {
		go s.follow(ctx, port)
	}
	fmt.Printf("09-shutdown listens on %s. In another terminal: redis-cli -p %s SET city Paris. Then press Ctrl-C here, start it again and GET city.\n",
		s.ln.Addr(), port)
	s.serve(s.ln)
	// region: Wait for everybody
	s.drain()
	// endregion
	return s.disk.Close()
}

func main() {
	master := flag.String("replicaof", "", "follow the server at `host:port`")
	basics.Main("09-shutdown", func(o *basics.Options) error { return run(o, *master) })
}
