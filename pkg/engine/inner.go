package engine

import (
	"byor/pkg/resp"
	"byor/pkg/store"
)

// Commands inside a command. To everybody around it a script is one command: it runs under the lock, time stands
// still meanwhile, and its effects are one unit. Inside it is a client that runs commands one after the other and
// reads their replies. There is no second session for that: the commands run in the session of whoever sent the
// script, with its rights, its name and its address. What the script must not change in it is put aside while
// the script runs, its reply first of all.

// Inner is a command that runs others. It is valid until End.
type Inner struct {
	Targets Target // who is told of the effects of the commands
	Wrote   bool   // a command that writes has run: from here on nothing can refuse one

	c    *Session
	out  resp.Writer // the reply of the command that runs the others
	cmd  *Command
	args [][]byte
	db   *store.DB
	mode Mode
	full bool // more memory was in use than maxmemory when it began, and nothing could be evicted
}

// BeginInner begins to run commands inside the running one. Until End, Call.Reply is theirs.
func (call *Call) BeginInner() *Inner {
	c, e := call.c, call.e
	in := &e.inner
	if in.c != nil {
		panic("engine: a script inside a script")
	}
	*in = Inner{Targets: ToAOF | ToReplicas, c: c, out: c.Reply, cmd: c.Cmd, args: c.Args, db: c.DB, mode: c.Mode, full: e.full}
	c.Reply = resp.Writer{Proto: 2, Buf: e.innerBuf[:0]}
	c.inner = in
	c.Mode |= ModeExec | ModeScript
	e.frozen++
	return in
}

// SetProto chooses the protocol of the replies that follow: 2 or 3.
func (in *Inner) SetProto(proto int) { in.c.Reply.Proto = proto }

// Proto returns the protocol of the replies.
func (in *Inner) Proto() int { return in.c.Reply.Proto }

// OutOfMemory reports whether there was no room when the outer command began.
func (in *Inner) OutOfMemory() bool { return in.full && !in.c.Trusted() }

// Refuses returns why the state of the server does not let a command with these flags run, in the words in which
// a client is told, or "".
func (in *Inner) Refuses(f Flag) string {
	if in.c.Trusted() {
		return ""
	}
	return in.c.e.world.Refuses(in.c, in.cmd, f)
}

// Run runs a command that was found fit to run, and returns its reply, which is valid until the next one runs.
func (in *Inner) Run(cmd *Command, args [][]byte) []byte {
	c, e := in.c, in.c.e
	c.Reply.Buf = c.Reply.Buf[:0]
	in.Wrote = in.Wrote || cmd.Flags&Write != 0
	if e.Loading {
		e.Replay(c, cmd, args)
		return c.Reply.Buf
	}
	e.targets = in.Targets
	e.Run(c, cmd, args, e.Tick())
	e.targets = ToAOF | ToReplicas
	return c.Reply.Buf
}

// Reject counts a command that was not run; cmd is nil if there is no such command.
func (in *Inner) Reject(cmd *Command, msg string) {
	if cmd != nil {
		cmd.Stats.Rejected++
	}
	in.c.e.countError(msg)
}

// End ends what BeginInner began. The effects of the commands are all there is to hand on.
func (in *Inner) End() {
	c, e := in.c, in.c.e
	e.frozen--
	e.innerBuf = reuse(c.Reply.Buf)
	c.Reply, c.Cmd, c.Args, c.DB = in.out, in.cmd, in.args, in.db
	c.Mode = c.Mode&^(ModeExec|ModeScript) | in.mode&(ModeExec|ModeScript)
	c.rewritten, c.failed = true, false
	c.secrets = c.secrets[:0]
	c.inner = nil
	in.c, in.out = nil, resp.Writer{}
	e.endBusy()
}

// Output returns where messages to the session go that are no reply of its commands.
func (c *Session) Output() *resp.Writer {
	if c.inner != nil {
		return &c.inner.out
	}
	return &c.Reply
}

// Refused is Inner.Refuses before there is an Inner.
func (c *Call) Refused(f Flag) string {
	if c.Trusted() {
		return ""
	}
	return c.e.world.Refuses(c.c, c.Cmd, f)
}

// NoRoom is Inner.OutOfMemory before there is an Inner.
func (c *Call) NoRoom() bool { return c.e.full && !c.Trusted() }

// FailCounted replies an error that was counted already, where it came up.
func (c *Call) FailCounted(msg string) {
	c.failed = true
	c.Reply.Error(msg)
}

// Announce shows the command to whoever observes, before those that run inside it.
func (c *Call) Announce() {
	if e := c.e; e.Observe != nil && !e.Loading {
		e.Observe(c.c, c.Args)
	}
}

// Scripts is what the surroundings have to know of whoever runs scripts. Its methods need the engine's lock.
type Scripts interface {
	// Libraries returns the sources of the libraries of functions, which are a part of the data set.
	Libraries() []string
	// Replace makes these sources all the libraries there are. On an error nothing has changed.
	Replace(sources []string) error
	// Add adds these sources to the libraries there are. With replace they take the place of libraries of the same
	// names. On an error nothing has changed.
	Add(sources []string, replace bool) error
	// Usage returns what is stored, for INFO.
	Usage() ScriptsUsage
}

// ScriptsUsage is how much there is of scripts and functions; the sizes are in bytes.
type ScriptsUsage struct {
	Scripts, Functions, Libraries    int
	ScriptsMemory, FunctionsMemory   int64 // what is stored
	ScriptsMachine, FunctionsMachine int64 // what runs it
}

// scripting makes the Scripts of an engine.
var scripting func(e *Engine) Scripts

// RegisterScripts says who runs scripts in all engines that are made afterwards. It is for init functions.
func RegisterScripts(of func(e *Engine) Scripts) { scripting = of }
