package server

import (
	"strings"
	"time"

	"byor/pkg/store"
)

// execute is the one path by which a command comes into effect: it checks what the command table
// says, queues inside MULTI, else runs the command as a unit of its own. It reports false when the
// command must be given again later, because clients are paused. The engine's lock must be held.
func (s *Server) execute(c *Client, args [][]byte) bool {
	mark := len(c.w.Buf)
	if c.muted() {
		s.muting = c
	}
	done := s.dispatch(c, args)
	s.muting = nil
	if c.has(flagReplica) && len(c.w.Buf) > mark { // a reply would get into the stream
		s.logf(LevelWarning, "Replica generated a reply to command '%s', disconnecting it: %s", clip(args[0], 128), c.describe())
		c.w.Buf = c.w.Buf[:mark]
		s.closeClient(c, closeNow)
	}
	if done && c.muted() {
		c.mute(mark)
	}
	return done
}

// muted reports whether the command that runs, or is about to, gets no reply.
func (c *Client) muted() bool {
	return c.muteOnce > 0 || c.flags&(flagReplyOff|flagMaster|flagFake) != 0
}

func (s *Server) dispatch(c *Client, args [][]byte) bool {
	start := s.tick()
	c.activeMs = s.nowMs
	c.args = args
	cmd := s.commandOf(c, args)
	if cmd == nil {
		s.unknownCommand(c, args)
		return true
	}
	c.cmd = cmd
	if msg := s.refusal(c, cmd, args); msg != "" {
		s.reject(c, cmd, msg)
		return true
	}
	if c.has(flagMulti) && !runsInsideMulti[cmd.full] {
		if s.pausedFor(c, cmd) {
			return false
		}
		c.enqueue(cmd, args)
		c.w.SimpleString("QUEUED")
		return true
	}
	if s.pausedFor(c, cmd) {
		return false
	}
	s.call(c, cmd, args, start)
	if len(s.unit.ends) > 0 {
		s.endUnit()
		c.writtenTo = s.master.Offset()
	}
	s.serveReady()
	return true
}

// commandOf looks the command up, with a short cut for a client that repeats itself.
func (s *Server) commandOf(c *Client, args [][]byte) *Command {
	if last := c.cmd; last != nil && last.simple && equalFold(args[0], last.Name) {
		return last
	}
	return s.lookupCommand(args)
}

// unknownCommand replies to a name that is not in the table.
func (s *Server) unknownCommand(c *Client, args [][]byte) {
	c.doomed = c.doomed || c.has(flagMulti)
	if c.guard != nil {
		if msg := c.guard.Refusal(args[0]); msg != "" {
			c.fail(msg)
			return
		}
	}
	if isHTTP(args[0]) { // a browser was tricked into talking to us: say nothing and hang up
		s.logf(LevelWarning, "Possible SECURITY ATTACK detected. It looks like somebody is sending POST or Host: commands to Redis. This is likely due to an attacker attempting to use Cross Protocol Scripting to compromise your Redis instance. Connection from %s aborted.", c.addr)
		s.closeClient(c, closeNow)
		return
	}
	if parent := findCommand(s.commands, args[0]); parent != nil && parent.Sub != nil && len(args) > 1 {
		c.fail("ERR unknown subcommand '" + clip(args[1], 128) + "'. Try " + upper(args[0]) + " HELP.")
		return
	}
	var b strings.Builder
	for _, a := range args[1:] {
		if b.Len() >= 128 {
			break
		}
		b.WriteString("'" + clip(a, 128-b.Len()) + "' ")
	}
	c.fail("ERR unknown command '" + clip(args[0], 128) + "', with args beginning with: " + b.String())
}

func isHTTP(name []byte) bool { return equalFold(name, "post") || equalFold(name, "host:") }

// runsInsideMulti are the commands that are executed, not queued, after MULTI.
var runsInsideMulti = map[string]bool{
	"exec": true, "discard": true, "multi": true, "watch": true, "quit": true, "reset": true,
}

// refusal says why the command may not run now, in Redis's words, or nothing when it may. It is
// the same for every command, from the facts in the table.
func (s *Server) refusal(c *Client, cmd *Command, args [][]byte) string {
	n := len(args)
	if cmd.Arity > 0 && n != cmd.Arity || n < -cmd.Arity {
		return "ERR wrong number of arguments for '" + cmd.full + "' command"
	}
	if cmd.Handler == nil {
		return "ERR wrong number of arguments for '" + cmd.full + "' command"
	}
	if cmd.Flags&Protected != 0 {
		if msg := c.protected(cmd); msg != "" {
			return msg
		}
	}
	if s.calm && c.authed && c.flags == 0 && c.subs == (subscriptions{}) {
		return "" // nothing unusual is going on: the checks below would all pass
	}
	f := cmd.Flags
	if cmd.full == "exec" {
		f = c.transactionFlags(f)
	}
	if !c.authed && f&NoAuth == 0 {
		return "NOAUTH Authentication required."
	}
	if c.has(flagMulti) && f&NoMulti != 0 {
		return "ERR Command not allowed inside a transaction"
	}
	if !c.trusted() {
		if msg := s.refusedByState(c, cmd, f); msg != "" {
			return msg
		}
	}
	if c.w.Proto == 2 && c.subs.count() > 0 && !whileSubscribed[cmd.full] {
		return "ERR Can't execute '" + cmd.full + "': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context"
	}
	if s.loading && f&Loading == 0 && !c.trusted() {
		return errLoading
	}
	return ""
}

// protected says why a command that could do harm may not be run, or nothing when the configuration allows it.
func (c *Client) protected(cmd *Command) string {
	name, _, _ := strings.Cut(cmd.full, "|")
	who := c.s.cfg.EnableModuleCommand
	if name == "debug" {
		who = c.s.cfg.EnableDebugCommand
	}
	if c.may(who) {
		return ""
	}
	return "ERR " + strings.ToUpper(name) + " command not allowed. If the enable-" + name + "-command option is set to \"local\", you can run it from a local connection, otherwise you need to set this option in the configuration file, and then restart the server."
}

const errLoading = "LOADING Redis is loading the dataset in memory"

var whileSubscribed = map[string]bool{
	"ping": true, "subscribe": true, "unsubscribe": true, "ssubscribe": true, "sunsubscribe": true,
	"psubscribe": true, "punsubscribe": true, "quit": true, "reset": true,
}

// transactionFlags returns EXEC's flags with those of what is queued: a state that does not allow one of
// the commands refuses the transaction whole, though it allowed the command when that was queued.
func (c *Client) transactionFlags(f Flag) Flag {
	for _, q := range c.queue {
		f |= q.cmd.Flags & (Write | DenyOOM | MayReplicate)
		f &= q.cmd.Flags | ^(Stale | Loading)
	}
	return f
}

// refusedByState checks memory, disk and replication against the flags of a command, or of a whole
// transaction.
func (s *Server) refusedByState(c *Client, cmd *Command, f Flag) string {
	// What is queued takes memory, too, whatever the command.
	queues := c.has(flagMulti) && !runsInsideMulti[cmd.full]
	if s.overMemory() && !s.makeRoom() && (f&DenyOOM != 0 || queues) {
		return "OOM command not allowed when used memory > 'maxmemory'."
	}
	if (f&Write != 0 || cmd.full == "ping") && !s.isReplica() {
		if msg := s.diskError(); msg != "" {
			return msg
		}
	}
	if f&Write != 0 && !s.isReplica() && s.tooFewReplicas() {
		return "NOREPLICAS Not enough good replicas to write."
	}
	if f&Write != 0 && s.isReplica() && s.cfg.ReplicaReadOnly {
		return "READONLY You can't write against a read only replica."
	}
	if s.isReplica() && !s.cfg.ReplicaServeStale && f&Stale == 0 && !s.linkUp() {
		return "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'."
	}
	return ""
}

// reject replies a refusal. It dooms the transaction that the command was meant for.
func (s *Server) reject(c *Client, cmd *Command, msg string) {
	cmd.stats.rejected++
	if cmd.full == "exec" {
		c.discard()
		msg = "EXECABORT Transaction discarded because of: " + strings.TrimPrefix(msg, "ERR ")
	} else if c.has(flagMulti) {
		c.doomed = true
	}
	c.fail(msg)
}

// call runs a command that was found fit to run: the handler, then what follows from its having
// changed something. It does not end the unit: an EXEC calls many commands in one.
func (s *Server) call(c *Client, cmd *Command, args [][]byte, start time.Duration) {
	c.cmd, c.args = cmd, args
	c.failed, c.rewritten = false, false
	dirty, db := s.dirty, c.db.ID()
	c.secrets = c.secrets[:0]
	forced := s.following != nil && s.forceExpiry(c, cmd)
	if c.touchExempt {
		c.runUntouched(cmd)
	} else {
		cmd.Handler(c)
	}
	if forced {
		s.chooseExpiry()
	}
	if len(s.monitors) > 0 && cmd.Flags&(SkipMonitor|Admin) == 0 && !s.loading {
		s.feedMonitors(c, args)
	}
	if s.dirty != dirty && !c.rewritten && s.propagating() {
		s.effect(db, toAOF|toReplicas, args)
	}
	c.cmd, c.args = cmd, args
	s.account(c, cmd, args, s.tick()-start)
}

// mute drops the reply of the command that just ran, or of the one that waits, for CLIENT REPLY and for
// links that get none. Messages are not replies: they stay.
func (c *Client) mute(mark int) {
	if c.muteOnce > 0 {
		c.muteOnce--
	}
	if c.blocked != nil {
		c.blocked.mute = true
	}
	c.w.Buf = append(c.w.Buf[:min(mark, len(c.w.Buf))], c.messages...)
	c.messages = c.messages[:0]
}

// account adds the command to the statistics and to the slow log.
func (s *Server) account(c *Client, cmd *Command, args [][]byte, took time.Duration) {
	st := &cmd.stats
	st.calls++
	st.ns += int64(took)
	if s.cfg.LatencyTracking && c.blocked == nil {
		st.noteLatency(took)
	}
	if c.failed {
		st.failed++
	}
	s.stats.commands++
	if s.cfg.LatencyThresholdMs > 0 {
		event := "command"
		if cmd.Flags&Fast != 0 {
			event = "fast-command"
		}
		s.noteLatency(event, took)
	}
	if c.blocked == nil && int64(took) >= s.slowNs && s.slowNs >= 0 && cmd.Flags&SkipSlowlog == 0 && !c.trusted() {
		s.slowlog.add(s, c, c.shown(args), took)
	}
}

// accountWait adds to the statistics what became of a command that has waited: as a call it is counted
// already.
func (s *Server) accountWait(c *Client, b *blocking, failed bool) {
	took := s.clock().Sub(s.started) - b.from
	st := &b.cmd.stats
	st.ns += int64(took)
	if failed {
		st.failed++
	}
	if s.cfg.LatencyTracking {
		st.noteLatency(took)
	}
	if int64(took) >= s.slowNs && s.slowNs >= 0 && b.cmd.Flags&SkipSlowlog == 0 {
		s.slowlog.add(s, c, c.shown(b.args), took)
	}
}

func (st *commandStats) noteLatency(took time.Duration) {
	if st.hist == nil {
		st.hist = new(latencyHist)
	}
	st.hist.add(took)
}

// tick reads the clock, sets the store's time, and returns the monotonic reading. Time stands
// still between two ticks: for a command, and for all commands of an EXEC.
func (s *Server) tick() time.Duration {
	now := s.clock()
	if ms := now.UnixMilli(); ms != s.nowMs && s.frozen == 0 {
		s.nowMs = ms
		s.store.SetNow(ms)
	}
	return now.Sub(s.started)
}

// touched tells everybody concerned that a key was created, changed or deleted.
func (s *Server) touched(db *store.DB, key string) {
	s.dirty++
	if len(s.watched) > 0 {
		s.breakWatches(db.ID(), key)
	}
	if len(s.waiting) > 0 {
		s.keyReady(db.ID(), key)
	}
}
