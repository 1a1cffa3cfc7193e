// Step 08: replication. A second server follows the first and has the same data, a moment later.
//
// A replica needs two things: what there is (a snapshot, step 06), and every change from then on (the
// effects of step 05, sent over a socket). The seam between the two is the art. The stream has to begin
// at exactly the moment of the snapshot. Otherwise a change is lost, or made twice. Both sides count the
// bytes of the stream. This number, the offset, says how far a replica has come.
//
// The master never waits for a replica. It answers its client, and the replica gets the change a little
// later. If the master dies in between, the replica never gets it: the price of "asynchronous".
// Either end may be a real redis-server. master.go is one end, follow.go the other, and this file is the
// server around them. The known commands come from pkg/basics.
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

// commands is the dispatch table: what is new, and the commands of the steps before. A command with the
// flag w changes data. A replica that has said PSYNC may use only those with the flag r.
var commands = basics.Extend(basics.Table[*client]{
	"publish":  {Arity: 3, Run: publish},
	"replconf": {Arity: -1, Run: replconf, Flags: "r"}, "psync": {Arity: 3, Run: psync},
}, basics.OnData, basics.OnDisk, basics.OnChannels)

// server is what all connections share. It is safe for concurrent use.
type server struct {
	opts   *basics.Options
	disk   *basics.Disk // log and snapshots
	hub    *pubsub.Hub
	master string // host:port of the server that we follow, or ""

	mu       sync.Mutex // protects what follows, the disk, and the order of log and stream
	data     *store.Store
	replID   string // names this history of changes. An offset means nothing without it.
	offset   int64  // bytes of the stream so far
	streamDB int    // the database that log and stream have selected at their end, -1 for none
	replicas map[*replica]bool
}

// client is one connection, or the link to the master. Only its own goroutine uses it.
type client struct {
	basics.Client
	srv      *server
	isMaster bool     // its commands come from our master or from the log: we obey, and never answer
	replica  *replica // set by PSYNC: from then on this is the link to a replica
}

// propagate hands a change on to the log and to the replicas. The caller holds s.mu.
func (s *server) propagate(db int, effect [][]byte) {
	b := basics.Encode(&s.streamDB, db, effect)
	s.disk.Append(b)
	s.feed(b)
}

// expiry says what happens to a key whose time is over.
func (c *client) expiry() store.ExpiryMode {
	// region: one master, one clock
	switch {
	case c.isMaster:
		return store.KeepExpired // the master's commands find the key, PERSIST for example
	case c.srv.master != "":
		return store.HideExpired // clients do not, and the master will say DEL
	}
	// endregion
	return store.DeleteExpired
}

// execute runs one command under the lock, as in step 07.
func (c *client) execute(args [][]byte) {
	c.Begin()
	defer c.End()
	s := c.srv
	cmd, err := commands.Find(c, args)
	// region: one master, one clock
	if err == nil && s.master != "" && !c.isMaster && cmd.Has('w') {
		err = basics.ErrReadOnly // the master would never hear of this change
	}
	// endregion
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

// newClient returns the client at conn. Without a conn it stands for the log, or for our master.
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
	c := s.newClient(nil) // we obey a log as we obey a master
	if err := s.disk.Load(o, c.W, c.execute); err != nil {
		return nil, err
	}
	s.streamDB = -1 // a crash may have left a SELECT at the end of the log
	s.data.Expiry = (&client{srv: s}).expiry()
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
		next = fmt.Sprintf(" and follows %s. In another terminal: redis-cli -p %s GET something that you SET there", master, port)
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
