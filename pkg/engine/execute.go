package engine

import (
	"strings"
	"time"

	"byor/pkg/store"
)

// Execute is the one path by which a command comes into effect: it checks what the command table
// says, queues inside MULTI, else runs the command as a unit of its own. It reports false when the
// command must be given again later, because clients are paused. The engine's lock must be held.
func (e *Engine) Execute(c *Session, args [][]byte) bool {
	mark := len(c.Reply.Buf)
	if c.muted() {
		e.muting = c
	}
	done := e.dispatch(c, args)
	e.muting = nil
	if c.Has(ModeReplica) && len(c.Reply.Buf) > mark { // a reply would get into the stream
		e.world.Warn("Replica generated a reply to command '%s', disconnecting it: %s", Clip(args[0], 128), c.peer.Describe())
		c.Reply.Buf = c.Reply.Buf[:mark]
		c.peer.HangUp()
	}
	if done && c.muted() {
		c.mute(mark)
	}
	return done
}

func (e *Engine) dispatch(c *Session, args [][]byte) bool {
	start := e.begins()
	c.ActiveMs = e.NowMs
	c.Args = args
	cmd := e.commandOf(c, args)
	if cmd == nil {
		e.unknownCommand(c, args)
		return true
	}
	c.Cmd = cmd
	if msg := e.refusal(c, cmd, args); msg != "" {
		e.reject(c, cmd, msg)
		return true
	}
	if c.Has(ModeMulti) && !runsInsideMulti[cmd.full] {
		if e.pausedFor(c, cmd) {
			return false
		}
		c.enqueue(cmd, args)
		c.Reply.SimpleString("QUEUED")
		return true
	}
	if e.pausedFor(c, cmd) {
		return false
	}
	e.Run(c, cmd, args, start)
	if e.busy != nil { // the unit that is under way is somebody else's
		return true
	}
	if len(e.unit.ends) > 0 {
		e.EndUnit()
		c.WrittenTo = e.world.Offset()
	}
	e.recycle()
	e.ServeReady()
	return true
}

// commandOf looks the command up, with a short cut for a client that repeats itself.
func (e *Engine) commandOf(c *Session, args [][]byte) *Command {
	if last := c.Cmd; last != nil && last.simple && EqualFold(args[0], last.Name) {
		return last
	}
	return e.Lookup(args)
}

// unknownCommand replies to a name that is not in the table.
func (e *Engine) unknownCommand(c *Session, args [][]byte) {
	c.doomed = c.doomed || c.Has(ModeMulti)
	if msg := c.peer.RefusesName(args[0]); msg != "" {
		c.Fail(msg)
		return
	}
	if isHTTP(args[0]) { // a browser was tricked into talking to us: say nothing and hang up
		e.world.Warn("Possible SECURITY ATTACK detected. It looks like somebody is sending POST or Host: commands to Redis. This is likely due to an attacker attempting to use Cross Protocol Scripting to compromise your Redis instance. Connection from %s aborted.", c.Addr)
		c.peer.HangUp()
		return
	}
	if parent := Find(e.Commands, args[0]); parent != nil && parent.Sub != nil && len(args) > 1 {
		c.Fail("ERR unknown subcommand '" + Clip(args[1], 128) + "'. Try " + Upper(args[0]) + " HELP.")
		return
	}
	var b strings.Builder
	for _, a := range args[1:] {
		if b.Len() >= 128 {
			break
		}
		b.WriteString("'" + Clip(a, 128-b.Len()) + "' ")
	}
	c.Fail("ERR unknown command '" + Clip(args[0], 128) + "', with args beginning with: " + b.String())
}

func isHTTP(name []byte) bool { return EqualFold(name, "post") || EqualFold(name, "host:") }

// runsInsideMulti are the commands that are executed, not queued, after MULTI.
var runsInsideMulti = map[string]bool{
	"exec": true, "discard": true, "multi": true, "watch": true, "quit": true, "reset": true,
}

// refusal says why the command may not run now, in Redis's words, or nothing when it may. It is
// the same for every command, from the facts in the table.
func (e *Engine) refusal(c *Session, cmd *Command, args [][]byte) string {
	n := len(args)
	if cmd.Arity > 0 && n != cmd.Arity || n < -cmd.Arity {
		return "ERR wrong number of arguments for '" + cmd.full + "' command"
	}
	if cmd.Handler == nil {
		return "ERR wrong number of arguments for '" + cmd.full + "' command"
	}
	if cmd.Flags&Protected != 0 {
		if msg := e.world.Protects(c, cmd); msg != "" {
			return msg
		}
	}
	e.full = false
	if e.Calm && c.Authed && c.Mode&^ModeRestricted == 0 && c.Subs == (Subscriptions{}) {
		return c.Forbidden(cmd, args) // nothing unusual is going on: the other checks would all pass
	}
	f := cmd.flags(c, args)
	if cmd.full == "exec" {
		f = c.transactionFlags(f)
	}
	if !c.Authed && f&NoAuth == 0 {
		return "NOAUTH Authentication required."
	}
	if c.Has(ModeMulti) && f&NoMulti != 0 {
		return "ERR Command not allowed inside a transaction"
	}
	if msg := c.Forbidden(cmd, args); msg != "" {
		return msg
	}
	if !c.Trusted() {
		if msg := e.refusedByState(c, cmd, f); msg != "" {
			return msg
		}
	}
	if c.Reply.Proto == 2 && c.Subs.Count() > 0 && !whileSubscribed[cmd.full] {
		return "ERR Can't execute '" + cmd.full + "': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context"
	}
	if e.Loading && f&Loading == 0 && !c.Trusted() {
		return ErrLoading
	}
	if e.busy != nil && f&AllowBusy == 0 {
		return e.busyError
	}
	return ""
}

var whileSubscribed = map[string]bool{
	"ping": true, "subscribe": true, "unsubscribe": true, "ssubscribe": true, "sunsubscribe": true,
	"psubscribe": true, "punsubscribe": true, "quit": true, "reset": true,
	"history.subscribe": true, // which is no command of Redis
}

// transactionFlags returns EXEC's flags with those of what is queued: a state that does not allow one of
// the commands refuses the transaction whole, though it allowed the command when that was queued.
func (c *Session) transactionFlags(f Flag) Flag {
	for _, q := range c.Queue {
		f |= q.cmd.Flags & (Write | DenyOOM | MayReplicate)
		f &= q.cmd.Flags | ^(Stale | Loading)
	}
	return f
}

// refusedByState checks memory, and what is around the engine, against the flags of a command or of a whole
// transaction.
func (e *Engine) refusedByState(c *Session, cmd *Command, f Flag) string {
	// What is queued takes memory, too, whatever the command.
	queues := c.Has(ModeMulti) && !runsInsideMulti[cmd.full]
	e.full = e.busy == nil && e.OverMemory() && !e.makeRoom()
	if e.full && (f&DenyOOM != 0 || queues) {
		return "OOM command not allowed when used memory > 'maxmemory'."
	}
	return e.world.Refuses(c, cmd, f)
}

// reject replies a refusal. It dooms the transaction that the command was meant for.
func (e *Engine) reject(c *Session, cmd *Command, msg string) {
	cmd.Stats.Rejected++
	if cmd.full == "exec" {
		c.Discard()
		msg = "EXECABORT Transaction discarded because of: " + strings.TrimPrefix(msg, "ERR ")
	} else if c.Has(ModeMulti) {
		c.doomed = true
	}
	c.Fail(msg)
}

// Run runs a command that was found fit to run: the handler, then what follows from its having
// changed something. start is what Tick has returned. It does not end the unit: an EXEC runs many
// commands in one.
func (e *Engine) Run(c *Session, cmd *Command, args [][]byte, start time.Duration) {
	c.Cmd, c.Args = cmd, args
	c.failed, c.rewritten = false, false
	changes, db := e.Changes, c.DB.ID()
	c.secrets = c.secrets[:0]
	hiding := e.Store.Expiry == store.HideExpired
	if hiding {
		e.Store.Expiry = e.world.ExpiryFor(c, cmd)
	}
	if c.Exempt {
		c.runUntouched(cmd)
	} else {
		cmd.Handler(&c.Call)
	}
	if hiding {
		e.ChooseExpiry()
	}
	if c.Mode&ModeTracks != 0 && cmd.Flags&ReadOnly != 0 {
		e.Keys.KeysRead(c, cmd, args)
	}
	if e.Observe != nil && cmd.Flags&(SkipMonitor|Admin) == 0 && !e.Loading {
		e.Observe(c, args)
	}
	if e.Changes != changes && !c.rewritten && e.propagating() {
		e.Effect(db, e.targets, args)
	}
	c.Cmd, c.Args = cmd, args
	e.account(c, cmd, args, e.ended(start))
}

// Replay runs a command of a file: what it does counts in no statistics and is nobody's business. It reports
// whether the command has replied an error.
func (e *Engine) Replay(c *Session, cmd *Command, args [][]byte) (failed bool) {
	c.Cmd, c.Args = cmd, args
	c.failed, c.rewritten = false, false
	cmd.Handler(&c.Call)
	e.recycle()
	return c.failed
}

// runUntouched runs a command of a client that said NO-TOUCH: keys do not count as used, unless the
// client says TOUCH.
func (c *Session) runUntouched(cmd *Command) {
	st := c.e.Store
	st.NoTouch = cmd.Name != "touch"
	cmd.Handler(&c.Call)
	st.NoTouch = false
}

// account adds the command to the statistics and to the slow log.
func (e *Engine) account(c *Session, cmd *Command, args [][]byte, took time.Duration) {
	st := &cmd.Stats
	st.Calls++
	st.Ns += int64(took)
	if e.Settings.LatencyTracking && c.Blocked == nil {
		st.noteLatency(took)
	}
	if c.failed {
		st.Failed++
	}
	e.Stats.Commands++
	if e.Settings.LatencyThresholdMs > 0 {
		event := "command"
		if cmd.Flags&Fast != 0 {
			event = "fast-command"
		}
		e.noteLatency(event, took)
	}
	if c.Blocked == nil && took >= e.Settings.SlowerThan && e.Settings.SlowerThan >= 0 && cmd.Flags&SkipSlowlog == 0 && !c.Trusted() {
		e.Slowlog.add(e, c, c.Shown(args), took)
	}
}

// AccountWait adds to the statistics what became of a command that has waited: as a call it is counted
// already.
func (e *Engine) AccountWait(c *Session, b *Wait, failed bool) {
	took := e.Clock().Sub(e.Started) - b.from
	st := &b.cmd.Stats
	st.Ns += int64(took)
	if failed {
		st.Failed++
	}
	if e.Settings.LatencyTracking {
		st.noteLatency(took)
	}
	if took >= e.Settings.SlowerThan && e.Settings.SlowerThan >= 0 && b.cmd.Flags&SkipSlowlog == 0 {
		e.Slowlog.add(e, c, c.Shown(b.Args), took)
	}
}

func (st *CommandStats) noteLatency(took time.Duration) {
	if st.Hist == nil {
		st.Hist = new(Histogram)
	}
	st.Hist.add(took)
}
