package server

import (
	"byor/pkg/repl"
	"byor/pkg/store"
)

// CLIENT PAUSE. Clients that may not go on wait as blocked ones do, and so does the link to the master.
// Meanwhile the data do not change at all: what has expired is hidden and not deleted, and nothing is
// evicted. Whoever takes the data over during a pause gets all of it.

// pause is the state of CLIENT PAUSE.
type pause struct {
	untilMs int64 // 0: not paused
	all     bool  // reads too
}

func (p pause) writes(nowMs int64) bool { return p.untilMs > nowMs }

// pauser is who may pause clients. What one has begun, the other cannot end.
type pauser int

const (
	byClient pauser = iota
	byShutdown
	pausers
)

// pausedFor reports whether the command must wait for the end of CLIENT PAUSE, and makes the
// client wait if so.
func (s *Server) pausedFor(c *Client, cmd *Command) bool {
	p := s.paused
	if p.untilMs != 0 && p.untilMs <= s.nowMs {
		s.endPause() // now: a write must delete what has expired, not pass it by as hidden
		return false
	}
	if p.untilMs == 0 || c.trusted() || c.has(flagReplica) || c.conn == nil {
		return false
	}
	waits := p.all
	if !waits {
		waits = cmd.Flags&(Write|MayReplicate) != 0
		if cmd.full == "exec" {
			for _, q := range c.queue {
				waits = waits || q.cmd.Flags&(Write|MayReplicate) != 0
			}
		}
	}
	if !waits || s.alwaysAllowed(cmd) {
		return false
	}
	c.blocked = &blocking{deadlineMs: 0, cmd: cmd, paused: true}
	s.blocked[c] = struct{}{}
	return true
}

// alwaysAllowed are the commands that a pause must not stop, or nobody could end it.
func (s *Server) alwaysAllowed(cmd *Command) bool {
	return cmd.full == "client|unpause" || cmd.full == "shutdown" || cmd.full == "replconf"
}

// endPause lets the clients go on whose pause is over.
func (s *Server) endPause() {
	over := false
	for by, p := range s.pauses {
		if p.untilMs != 0 && p.untilMs <= s.nowMs {
			s.pauses[by], over = pause{}, true
		}
	}
	if over {
		s.pausesChanged()
	}
}

// setPause begins or changes a pause, or ends it when p is zero.
func (s *Server) setPause(by pauser, p pause) {
	s.pauses[by] = p
	s.pausesChanged()
}

// pausesChanged lets those who wait for the end of a pause try again.
func (s *Server) pausesChanged() {
	s.paused = pause{}
	for _, p := range s.pauses {
		if p.untilMs > s.nowMs {
			s.paused = pause{max(s.paused.untilMs, p.untilMs), s.paused.all || p.all}
		}
	}
	s.chooseExpiry()
	if s.pauseOver != nil {
		close(s.pauseOver)
		s.pauseOver = nil
	}
	for c := range s.blocked {
		if c.blocked.paused {
			s.unblock(c)
			s.release(c)
		}
	}
}

// chooseExpiry sets what happens to keys whose time has come, see store.ExpiryMode.
func (s *Server) chooseExpiry() {
	s.store.Expiry = store.DeleteExpired
	if s.isReplica() || s.paused.writes(s.nowMs) {
		s.store.Expiry = store.HideExpired
	}
}

// awaitPause holds a unit of the master's stream back until clients are not paused any more. It reports
// false when the link has come to its end before. The engine's lock must be held; it is let go
// meanwhile.
func (s *Server) awaitPause(fl *following, u repl.Unit) bool {
	for s.pausesUnit(u) {
		if s.pauseOver == nil {
			s.pauseOver = make(chan struct{})
		}
		over := s.pauseOver
		s.unlock()
		select {
		case <-over:
		case <-fl.ctx.Done():
		}
		s.lock()
		s.tick()
		if s.following != fl || s.down.closed {
			return false
		}
	}
	return true
}

// pausesUnit reports whether a pause is for the unit, too: as with a client's commands, either for
// all that comes or for what writes.
func (s *Server) pausesUnit(u repl.Unit) bool {
	if !s.paused.writes(s.nowMs) {
		return false
	}
	if s.paused.all {
		return true
	}
	for _, args := range u.Commands {
		if cmd := s.lookupCommand(args); cmd != nil && cmd.Flags&(Write|MayReplicate) != 0 {
			return true
		}
	}
	return false
}
