package server

import (
	"net"
	"strings"
	"sync"

	"byor/pkg/engine"
	"byor/pkg/persist"
	"byor/pkg/pubsub"
	"byor/pkg/repl"
	"byor/pkg/resp"
	"byor/pkg/tracking"
	"byor/pkg/users"
)

// client is a session with its connection. It does not know its transport (see transport.go): input is
// parsed from rd, replies are appended to Reply.
//
// Everything but the output side is guarded by the engine's lock, or belongs to the goroutine that
// serves the connection (rd, batch, next). Replies and messages are appended to Reply under the
// engine's lock; handOver passes them to out, guarded by outMu, from which flush writes. Lock
// order: the engine's lock before outMu.
type client struct {
	engine.Session
	s *Server

	who         users.Login
	libName     string
	libVer      string
	createdMs   int64
	evictExempt bool // CLIENT NO-EVICT
	wantsEntry  bool // messages that are kept come with the ID of their entry
	tracks      tracking.State

	totalIn             int64
	queryLen, querySize int   // of rd, as of its latest turn under the engine's lock
	batchLen            int   // what of queryLen is commands that are parsed
	argvMem             int   // of the command that has not come whole
	keptMem             int64 // of the commands that wait behind a blocked one
	countedIn           int64 // what counted has for all that

	replica *repl.Replica // from its first REPLCONF or PSYNC on
	handOff func()        // takes the output side over when all that was replied is written

	guard guardedConn // see client_peer.go; nil for most
	told  toldConn
	known knownConn
	owner bool

	conn      net.Conn // nil for the server's own clients (loading, links)
	transport transport
	frugal    bool              // it keeps no buffers while it is idle
	direct    pubsub.Subscriber // what takes messages as they are, see transport_attached.go; nil for most
	unix      bool
	laddr     string
	closing   closeMode

	rd    *resp.CommandReader
	batch [][][]byte // parsed and not yet executed from next on
	next  int
	ahead int   // up to where the keys of batch were touched
	kept  bool  // batch owns its arguments: reading on does no harm to them
	stuck bool  // it was blocked when its latest turn ended
	perr  error // the protocol error behind the batch

	outgoing
}

type closeMode uint8

const (
	staysOpen closeMode = iota
	closeAfterReply
	closeNow
)

// by makes a handler of a function that has to do with the client, and not only with the call.
func by(h func(c *client)) func(*engine.Call) {
	return func(call *engine.Call) { h(clientOf(call.Session())) }
}

// clientOf returns the client whose session it is.
func clientOf(c *engine.Session) *client { return c.Peer().(*client) }

// may reports whether who, the value of an enable-… parameter, lets the client do what that is about.
func (c *client) may(who string) bool {
	switch who {
	case "yes":
		return true
	case "local":
		return c.unix || strings.HasPrefix(c.Addr, "127.0.0.1:") || strings.HasPrefix(c.Addr, "[::1]:")
	}
	return c.conn == nil
}

// newClient registers a session. The engine's lock must be held. conn may be nil.
func (s *Server) newClient(conn net.Conn) *client {
	s.nextID++
	c := &client{s: s, conn: conn}
	s.eng.Init(&c.Session, c)
	c.ID, c.MayWait = s.nextID, conn != nil
	c.outIdle = sync.NewCond(&c.outMu)
	c.createdMs = s.eng.NowMs
	c.who.Begin(s.users, &c.Session)
	if conn != nil {
		c.rd = resp.NewCommandReader(s.countedReads(conn))
		c.rd.Limits.MaxBulk = int(s.cfg.ProtoMaxBulkLen)
		c.Addr, c.laddr = addrString(conn.RemoteAddr()), addrString(conn.LocalAddr())
		if conn.LocalAddr() != nil && conn.LocalAddr().Network() == "unix" {
			c.unix = true
			c.Addr, c.laddr = s.cfg.UnixSocket+":0", s.cfg.UnixSocket+":0"
		}
		s.clients[c.ID] = c
		c.measure(0, 1)
		c.meet(conn)
		if c.owner {
			c.who.Become(nil, true)
		}
		c.rd.Limits.Unauthenticated = !c.Authed
	}
	return c
}

func addrString(a net.Addr) string {
	if a == nil {
		return "?:0"
	}
	return a.String()
}

// removeClient ends a session: it leaves every list it is in. The engine's lock must be held.
func (s *Server) removeClient(c *client) {
	if s.clients[c.ID] != c {
		return
	}
	delete(s.clients, c.ID)
	c.closing = closeNow
	s.unsubscribeAll(c)
	s.tracking.Untrack(&c.Session)
	s.eng.Drop(&c.Session)
	s.removeMonitor(c)
	s.replicaGone(c)
	c.drop()
	s.clientMem.add(-c.counted)
}

// closeClient asks for a session to end: at once, or when what it was told so far is written. The
// engine's lock must be held.
func (s *Server) closeClient(c *client, mode closeMode) {
	if mode > c.closing {
		c.closing = mode
	}
	if mode == closeNow { // it is sent nothing more: what waits is in nobody's interest
		c.drop()
	}
	if c.transport != nil {
		c.transport.resume(c)
	}
}

// Push opens an out-of-band message of n values to the client, which may be another one than the
// running command's; end it with Message and the mark. The engine's lock must be held.
func (c *client) Push(n int) (w *resp.Writer, mark int) {
	w, mark = c.beginPush()
	w.Push(n)
	return w, mark
}

// beginPush is Push for who opens the message.
func (c *client) beginPush() (w *resp.Writer, mark int) {
	c.s.eng.Wake(&c.Session)
	if len(c.Reply.Buf) > outBlock && !c.runs() {
		c.stageBuf()
	}
	w = c.Session.Output()
	return w, len(w.Buf)
}

// runs reports whether the client's commands are those that run.
func (c *client) runs() bool { return c.s.eng.Running == &c.Session }

// What the engine asks of a client.

// Output passes on what others have for the client.
func (c *client) Output() {
	if c.transport != nil {
		c.handOver()
		c.s.evictClients()
		c.transport.flushSoon(c)
	}
}

// Resume lets the client go on.
func (c *client) Resume() { c.transport.resume(c) }

// HangUp ends the session.
func (c *client) HangUp() { c.s.closeClient(c, closeNow) }

// Busy lets others be served although the goroutine that serves this client is in a script.
func (c *client) Busy() {
	if t, ok := c.transport.(interface{ leave(c *client) }); ok {
		t.leave(c)
	}
}

// TakeArg takes a large argument out of the reader.
func (c *client) TakeArg(arg []byte) bool { return c.rd != nil && c.rd.Take(arg) }

// RefusesName asks the connection.
func (c *client) RefusesName(name []byte) string {
	if c.guard == nil {
		return ""
	}
	return c.guard.Refusal(name)
}

// ReplyGrows keeps the reply of a transaction within the client's limit.
func (c *client) ReplyGrows(mark int) { c.holdReply(mark) }

// Files returns the files that the client's server keeps its data in.
func (c *client) Files() *persist.Files { return c.s.files }

// Login returns whose session it is.
func (c *client) Login() *users.Login { return &c.who }

// Tracks returns how the client tracks keys.
func (c *client) Tracks() (*tracking.Table, *tracking.State) { return &c.s.tracking, &c.tracks }

// Open reports whether the client may be sent something: its last words are not said.
func (c *client) Open() bool { return c.closing == staysOpen }

// Describe returns the client's line in CLIENT LIST.
func (c *client) Describe() string { return c.describe() }
