package server

import (
	"net"
	"strings"
	"sync"

	"byor/pkg/repl"
	"byor/pkg/resp"
	"byor/pkg/store"
)

// Client is one session: a connection's state and the context in which its commands run. It does
// not know its transport (see transport.go): input is parsed from rd, replies are appended to w.
//
// Everything but the output side is guarded by the engine's lock, or belongs to the goroutine that
// serves the connection (rd, batch, next). Replies and messages are appended to w under the
// engine's lock; handOver passes them to out, guarded by outMu, from which flush writes. Lock
// order: the engine's lock before outMu.
type Client struct {
	s  *Server
	id int64
	db *store.DB
	w  resp.Writer

	// The command that is running.
	cmd       *Command
	args      [][]byte
	secrets   []int // its arguments that nobody may see
	failed    bool  // it replied an error
	rewritten bool  // it said itself what to replicate

	flags   clientFlag
	authed  bool
	user    string
	name    string
	libName string
	libVer  string

	queue    []queued // between MULTI and EXEC
	queueMem int64    // what it takes
	doomed   bool     // a queued command was refused: EXEC aborts
	dirtyCAS bool     // a watched key changed
	watching []watch

	subs     subscriptions
	blocked  *blocking
	messages []byte // those among the output of a command that is muted
	muteOnce int    // commands whose reply CLIENT REPLY SKIP drops: 2 at SKIP itself, 1 at the next

	createdMs, activeMs int64
	totalIn             int64
	queryLen, querySize int   // of rd, as of its latest turn under the engine's lock
	batchLen            int   // what of queryLen is commands that are parsed
	argvMem             int   // of the command that has not come whole
	keptMem             int64 // of the commands that wait behind a blocked one
	countedIn           int64 // what counted has for all that
	watchMem            int64
	evictExempt         bool
	touchExempt         bool // CLIENT NO-TOUCH

	replica   *repl.Replica // from its first REPLCONF or PSYNC on
	handOff   func()        // takes the output side over when all that was replied is written
	writtenTo int64         // offset of the stream behind this client's latest effect

	guard guardedConn // see peer.go; nil for most
	told  toldConn
	owner bool

	conn      net.Conn // nil for the server's own clients (loading, links)
	transport transport
	unix      bool
	addr      string
	laddr     string
	closing   closeMode
	async     bool // queued in Server.async

	rd    *resp.CommandReader
	batch [][][]byte // parsed and not yet executed from next on
	next  int
	kept  bool  // batch owns its arguments: reading on does no harm to them
	perr  error // the protocol error behind the batch

	outgoing
}

type clientFlag uint32

const (
	flagMulti clientFlag = 1 << iota
	flagReplyOff
	flagMonitor
	flagReplica
	flagMaster // the replication link: its commands are the master's
	flagFake   // loading a file
	flagInExec // a command of an EXEC is running
)

type closeMode uint8

const (
	staysOpen closeMode = iota
	closeAfterReply
	closeNow
)

func (c *Client) has(f clientFlag) bool { return c.flags&f != 0 }

// trusted reports whether the commands are not a user's but the replication link's or a file's.
func (c *Client) trusted() bool { return c.flags&(flagMaster|flagFake) != 0 }

// may reports whether who, the value of an enable-… parameter, lets the client do what that is about.
func (c *Client) may(who string) bool {
	switch who {
	case "yes":
		return true
	case "local":
		return c.unix || strings.HasPrefix(c.addr, "127.0.0.1:") || strings.HasPrefix(c.addr, "[::1]:")
	}
	return c.conn == nil
}

// newClient registers a session. The engine's lock must be held. conn may be nil.
func (s *Server) newClient(conn net.Conn) *Client {
	s.nextID++
	c := &Client{s: s, id: s.nextID, db: s.store.DB(0), conn: conn, user: "default"}
	c.w.Proto = 2
	c.outIdle = sync.NewCond(&c.outMu)
	c.createdMs, c.activeMs = s.nowMs, s.nowMs
	c.authed = s.cfg.RequirePass == ""
	if conn != nil {
		c.rd = resp.NewCommandReader(s.countedReads(conn))
		c.rd.Limits.Unauthenticated = !c.authed
		c.rd.Limits.MaxBulk = int(s.cfg.ProtoMaxBulkLen)
		c.addr, c.laddr = addrString(conn.RemoteAddr()), addrString(conn.LocalAddr())
		if conn.LocalAddr() != nil && conn.LocalAddr().Network() == "unix" {
			c.unix = true
			c.addr, c.laddr = s.cfg.UnixSocket+":0", s.cfg.UnixSocket+":0"
		}
		s.clients[c.id] = c
		c.measure(0, 1)
		c.meet(conn)
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
func (s *Server) removeClient(c *Client) {
	if s.clients[c.id] != c {
		return
	}
	delete(s.clients, c.id)
	c.closing = closeNow
	s.unsubscribeAll(c)
	s.unwatch(c)
	s.unblock(c)
	s.removeMonitor(c)
	s.replicaGone(c)
	c.queue, c.queueMem = nil, 0
	c.drop()
	s.clientMem.add(-c.counted)
}

// closeClient asks for a session to end: at once, or when what it was told so far is written. The
// engine's lock must be held.
func (s *Server) closeClient(c *Client, mode closeMode) {
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

// push opens an out-of-band message of n values to the client, which may be another one than the
// running command's; end it with pushed and the mark. The engine's lock must be held.
func (c *Client) push(n int) (w *resp.Writer, mark int) {
	w, mark = c.beginPush()
	w.Push(n)
	return w, mark
}

// beginPush is push for who opens the message.
func (c *Client) beginPush() (w *resp.Writer, mark int) {
	c.s.queueAsync(c)
	if len(c.w.Buf) > outBlock && c.s.running != c {
		c.stageBuf()
	}
	return &c.w, len(c.w.Buf)
}

// pushed ends a message: CLIENT REPLY must not drop it with the reply of the command that it came with.
func (c *Client) pushed(mark int) {
	if c.s.muting == c {
		c.messages = append(c.messages, c.w.Buf[mark:]...)
	}
}

// queueAsync notes that c has output that its own goroutine does not know of.
func (s *Server) queueAsync(c *Client) {
	if !c.async && c.transport != nil {
		c.async = true
		s.async = append(s.async, c)
	}
}
