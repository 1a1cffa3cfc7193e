// Step 08: replication. One server follows another and has the same data, a moment later.
//
// A replica needs two things: what there is (a snapshot, step 06) and what changes from then on (the effects,
// step 05, now sent over a socket). The art is the seam between the two: the picture must be of exactly the
// moment at which the stream begins, or a change is lost or made twice. Both sides count the bytes of the
// stream, and this number, the offset, says how far a replica has come.
//
// The master never waits: it answers its client first, and the replica has the change a little later, or
// never, if the master dies in between. That is what "asynchronous" costs.
//
// Both ends speak the protocol of Redis, so a real redis-server can be either of them. master.go is the
// one end, follow.go the other; this file is the server around them. What is known comes from pkg/basics.
package main

import (
	"crypto/rand"
	"flag"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"byor/pkg/basics"
	"byor/pkg/pubsub"
	"byor/pkg/store"
)

// commands is the dispatch table: what is new, and what the steps before have built. Flags, w: changes
// data, r: allowed to a replica.
var commands = basics.Extend(basics.Table[*client]{
	"publish": {Arity: 3, Run: publish},
	// region: the new commands
	"replconf": {Arity: -1, Run: replconf, Flags: "r"}, "psync": {Arity: 3, Run: psync},
	// endregion
}, basics.OnData, basics.OnDisk, basics.OnChannels)

// server is what all connections share. It is safe for concurrent use.
type server struct {
	opts   *basics.Options
	disk   *basics.Disk // log and snapshots
	hub    *pubsub.Hub
	master string // host:port of the server that we follow, or ""

	mu       sync.Mutex // protects what follows, the disk, and the order of log and stream
	data     *store.Store
	replID   string // names this history of changes; an offset means nothing without it
	offset   int64  // bytes of the stream so far
	streamDB int    // the database that log and stream have selected at their end, -1 for none
	replicas map[*replica]bool
}

// client is one connection, or the link to the master. Only its own goroutine uses it.
type client struct {
	basics.Client
	srv      *server
	isMaster bool     // its commands are our master's, or those of the log: obeyed, and never answered
	replica  *replica // set by PSYNC: from then on this is the link to a replica
}

// propagate hands a change on to the log and to the replicas. The caller holds s.mu.
func (s *server) propagate(db int, effect [][]byte) {
	b := basics.Encode(&s.streamDB, db, effect)
	s.disk.Append(b)
	s.feed(b)
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

// execute runs one command under the lock, as in step 07.
func (c *client) execute(args [][]byte) {
	c.Begin()
	defer c.End()
	s := c.srv
	cmd, err := commands.Find(c, args)
	if err == nil && s.master != "" && !c.isMaster && cmd.Has('w') {
		err = basics.ErrReadOnly // a change that the master does not know of would never go away again
	}
	switch {
	case err != nil:
		c.W.Error(err.Error())
	case c.replica != nil && !cmd.Has('r'):
		c.Closing = true // a reply would stand in the middle of the stream
	default:
		s.data.Expiry = c.expiry()
		cmd.Call(c, args, s.propagate)
	}
}

// handle serves one client, as in step 03.
func (s *server) handle(conn net.Conn) {
	c := s.newClient(s.opts.Traced(conn))
	c.Serve(c.Conn, c.execute, c.Reply)
	c.Sub.Leave()
	if c.replica != nil {
		c.replica.queue.Close() // wakes serveReplica
	}
	c.Conn.Close()
}

// newClient returns the client at conn; without one, the log or our master.
func (s *server) newClient(conn net.Conn) *client {
	return &client{srv: s, isMaster: conn == nil, Client: basics.NewClient(s.disk, s.hub, conn)}
}

// newServer loads what is on the disk.
func newServer(o *basics.Options, master string) (*server, error) {
	s := &server{opts: o, data: store.New(16), hub: pubsub.NewHub(), master: master}
	s.disk = basics.NewDisk(o, &s.mu, s.data)
	s.replicas = map[*replica]bool{}
	id := make([]byte, 20)
	rand.Read(id)
	s.replID = fmt.Sprintf("%x", id)
	c := s.newClient(nil) // a log is obeyed like a master
	if err := s.disk.Load(o, c.W, c.execute); err != nil {
		return nil, err
	}
	s.data.Expiry, s.streamDB = (&client{srv: s}).expiry(), -1 // whatever the log has selected at its end
	s.data.OnExpire = func(db int, key string) { s.propagate(db, [][]byte{[]byte("DEL"), []byte(key)}) }
	return s, nil
}

// run listens and serves until Ctrl-C.
func run(o *basics.Options, master string) error {
	s, err := newServer(o, master)
	if err != nil {
		return err
	}
	ln, ctx, err := o.Listen()
	if err != nil {
		return err
	}
	go basics.Sweep(ctx, &s.mu, s.data, nil)
	go basics.Every(ctx, 10*time.Second, s.pingReplicas)
	_, port, _ := net.SplitHostPort(ln.Addr().String())
	next := fmt.Sprintf(". Start a second node in another terminal: make 08-replication ARGS=\"-addr 127.0.0.1:6381 "+
		"-dir /tmp -replicaof %s\" (or: redis-server --port 6381 --replicaof 127.0.0.1 %s)", ln.Addr(), port)
	if master != "" {
		go s.follow(ctx, port)
		next = fmt.Sprintf(" and follows %s. In another terminal: redis-cli -p %s GET something that you SET there",
			master, port)
	}
	fmt.Printf("08-replication listens on %s%s. Ctrl-C ends it.\n", ln.Addr(), next)
	basics.Accept(ln, s.handle)
	return s.disk.Close()
}

func main() {
	master := flag.String("replicaof", "", "follow the server at `host:port`")
	if err := run(basics.ParseFlags(), *master); err != nil {
		fmt.Fprintln(os.Stderr, "08-replication:", err)
		os.Exit(1)
	}
}
