package server

import (
	"time"
)

// cronPeriod is how often the background work is done, and expireSlice how many keys are expired
// under one hold of the lock: some tens of microseconds, so that no command waits longer for it.
const (
	cronPeriod   = 100 * time.Millisecond
	expireSlice  = 64
	resizeSlice  = 128
	expireBudget = 25 * time.Millisecond // of each period, as Redis's 25 % of a CPU
)

// cron does the work that is nobody's command, until the server stops.
func (s *Server) cron() {
	t := time.NewTicker(cronPeriod)
	defer t.Stop()
	for {
		select {
		case <-s.stop:
			return
		case <-t.C:
		}
		if s.cronIsPaused() {
			continue
		}
		s.expireCycle()
		s.evictCycle()
		s.lock()
		if s.down.closed { // the data are saved already
			s.unlock()
			return
		}
		s.tick()
		s.sampleOps()
		s.sampleMemory()
		s.closeIdle()
		s.checkOutputLimits(time.Now())
		s.endPause()
		s.resizeTables()
		s.replicationCron()
		s.persistCron()
		s.unlock()
	}
}

// cronIsPaused reports whether DEBUG PAUSE-CRON holds the background work up.
func (s *Server) cronIsPaused() bool {
	s.lock()
	defer s.unlock()
	return s.cronPaused
}

// expireCycle deletes expired keys in slices, letting commands in between.
func (s *Server) expireCycle() {
	start := time.Now()
	for db := 0; db < s.store.Len(); db++ {
		for {
			s.lock()
			s.tick()
			n := 0
			if !s.loading && !s.noActiveExpire && !s.paused.writes(s.nowMs) {
				n = s.store.DB(db).ExpireDue(expireSlice)
				s.endUnit()
				s.serveReady()
			}
			s.unlock()
			if n < expireSlice {
				break
			}
			if time.Since(start) > expireBudget {
				return
			}
		}
	}
}

// closeIdle closes clients that have been silent for longer than the timeout parameter allows.
// Those that wait for something to be sent to them are not idle.
func (s *Server) closeIdle() {
	if s.cfg.Timeout == 0 {
		return
	}
	for _, c := range s.clients {
		if c.blocked == nil && c.subs.count() == 0 && !c.has(flagReplica|flagMaster|flagMonitor) &&
			s.nowMs-c.activeMs > s.cfg.Timeout*1000 {
			s.logf(LevelVerbose, "Closing idle client")
			s.closeClient(c, closeNow)
		}
	}
}

func (s *Server) resizeTables() {
	for i := range s.store.Len() {
		s.store.DB(i).StepResize(resizeSlice)
	}
}

// pause is the state of CLIENT PAUSE.
type pause struct {
	untilMs int64 // 0: not paused
	all     bool  // reads too
}

func (p pause) writes(nowMs int64) bool { return p.untilMs > nowMs }

// pausedFor reports whether the command must wait for the end of CLIENT PAUSE, and makes the
// client wait if so.
func (s *Server) pausedFor(c *Client, cmd *Command) bool {
	p := s.paused
	if p.untilMs <= s.nowMs || c.trusted() || c.has(flagReplica) || c.conn == nil {
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
	if s.paused.untilMs == 0 || s.paused.untilMs > s.nowMs {
		return
	}
	s.paused = pause{}
	s.resumePaused()
}

// resumePaused lets those who wait for the end of a pause try again.
func (s *Server) resumePaused() {
	for c := range s.blocked {
		if c.blocked.paused {
			s.unblock(c)
			s.release(c)
		}
	}
}
