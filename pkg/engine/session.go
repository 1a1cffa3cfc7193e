package engine

// Session is a client's side of the engine: the context in which its commands run. Where they come from
// and where replies go is its peer's business. It has no lock of its own: see Engine.
type Session struct {
	Call // the command that is running

	ID      int64
	Mode    Mode
	Authed  bool
	Exempt  bool   // its keys do not count as used (CLIENT NO-TOUCH)
	MayWait bool   // its commands may block: somebody is there who can wait
	Name    string // the client's, for the slow log
	Addr    string

	Subs      Subscriptions
	ActiveMs  int64 // when its last command began, Unix milliseconds
	WrittenTo int64 // World.Offset behind its latest effect

	Queue    []Queued // between MULTI and EXEC
	QueueMem int64    // bytes that it takes
	DirtyCAS bool     // a watched key has changed
	WatchMem int64
	Blocked  *Wait // what it waits for; nil: it does not

	MuteOnce int // commands whose reply CLIENT REPLY SKIP drops: 2 at SKIP itself, 1 at the next

	peer     Peer
	doomed   bool // a queued command was refused: EXEC aborts
	watching []watch
	inner    *Inner // the script that it runs
	messages []byte // those among the output of a command that is muted
	woken    bool   // it is in Engine.woken
}

// Peer is who gives a session its commands and takes its replies: a connection. The engine calls it with
// its lock held; no method may block.
type Peer interface {
	Output() // others have made output: send it
	Resume() // what the session waited for has come, or it is to end
	HangUp() // the session is to end now
	Busy()   // its script runs so long that others are let in: the goroutine that runs it is not to be waited for
	// TakeArg reports whether the session may have an argument as it is, instead of a copy.
	TakeArg(arg []byte) bool
	// RefusesName returns the error for the name of a command that is not in the table; "" for the usual one.
	RefusesName(name []byte) string
	// ReplyGrows is told while a transaction replies, with where its reply began in Reply.Buf.
	ReplyGrows(mark int)
	// Describe returns the client in a line, for the log.
	Describe() string
}

// Subscriptions counts what a session is subscribed to; what that is, the hub knows.
type Subscriptions struct{ Channels, Sharded int }

// Count returns how many there are.
func (s Subscriptions) Count() int { return s.Channels + s.Sharded }

// Mode is a set of facts about a session.
type Mode uint32

// The modes.
const (
	ModeMulti Mode = 1 << iota
	ModeReplyOff
	ModeMonitor
	ModeReplica
	ModeMaster     // the replication link: its commands are the master's
	ModeFile       // loading a file
	ModeExec       // a command of an EXEC is running
	ModeScript     // a command of a script is running
	ModeTracks     // it is told when keys change that it has read
	ModeRestricted // its user may not do everything, see Rights
)

// Init makes c a session of the engine's. A nil peer is one that wants nothing to be said to it.
func (e *Engine) Init(c *Session, peer Peer) {
	c.MayWait = peer != nil
	if peer == nil {
		peer = nobody{}
	}
	c.e, c.c, c.peer = e, c, peer
	c.DB = e.Store.DB(0)
	c.Reply.Proto = 2
	c.ActiveMs = e.NowMs
}

// Drop takes the session out of all that the engine keeps of it.
func (e *Engine) Drop(c *Session) {
	e.unwatch(c)
	e.unblock(c)
	c.Queue, c.QueueMem = nil, 0
}

// Has reports whether the session is in the mode.
func (c *Session) Has(m Mode) bool { return c.Mode&m != 0 }

// Peer returns whose session it is.
func (c *Session) Peer() Peer { return c.peer }

// Message ends a message that was appended to Output from mark on: CLIENT REPLY must not
// drop it with the reply of the command that it came with.
func (c *Session) Message(mark int) {
	if c.e.muting == c {
		c.messages = append(c.messages, c.Output().Buf[mark:]...)
	}
}

// muted reports whether the command that runs, or is about to, gets no reply.
func (c *Session) muted() bool {
	return c.MuteOnce > 0 || c.Mode&(ModeReplyOff|ModeMaster|ModeFile) != 0
}

// mute drops the reply of the command that just ran, or of the one that waits, for CLIENT REPLY and for
// links that get none. Messages are not replies: they stay.
func (c *Session) mute(mark int) {
	if c.MuteOnce > 0 {
		c.MuteOnce--
	}
	if c.Blocked != nil {
		c.Blocked.mute = true
	}
	c.Reply.Buf = append(c.Reply.Buf[:min(mark, len(c.Reply.Buf))], c.messages...)
	c.messages = c.messages[:0]
}

// nobody is the peer of a session that has none.
type nobody struct{}

func (nobody) Output()                   {}
func (nobody) Resume()                   {}
func (nobody) HangUp()                   {}
func (nobody) Busy()                     {}
func (nobody) TakeArg([]byte) bool       { return false }
func (nobody) RefusesName([]byte) string { return "" }
func (nobody) ReplyGrows(int)            {}
func (nobody) Describe() string          { return "nobody" }
