package engine

import "byor/pkg/store"

// CLIENT PAUSE. Clients that may not go on wait as blocked ones do, and so does the link to the master.
// Meanwhile the data do not change at all: what has expired is hidden and not deleted, and nothing is
// evicted. Whoever takes the data over during a pause gets all of it.

// Pause is the state of CLIENT PAUSE.
type Pause struct {
	UntilMs int64 // Unix milliseconds, 0: not paused
	All     bool  // reads too
}

func (p Pause) writes(nowMs int64) bool { return p.UntilMs > nowMs }

// Pauser is who may pause clients. What one has begun, another cannot end.
type Pauser int

// The pausers.
const (
	ByClient Pauser = iota
	ByShutdown
	ByFailover
	ByMigration
	pausers
)

// pausedFor reports whether the command must wait for the end of CLIENT PAUSE, and makes the
// client wait if so.
func (e *Engine) pausedFor(c *Session, cmd *Command) bool {
	p := e.paused
	if p.UntilMs != 0 && p.UntilMs <= e.NowMs {
		e.EndPause() // now: a write must delete what has expired, not pass it by as hidden
		return false
	}
	if p.UntilMs == 0 || c.Trusted() || c.Has(ModeReplica) || !c.MayWait {
		return false
	}
	waits := p.All
	if !waits {
		waits = cmd.flags(c, c.Args)&(Write|MayReplicate) != 0
		if cmd.full == "exec" {
			for _, q := range c.Queue {
				waits = waits || q.cmd.Flags&(Write|MayReplicate) != 0
			}
		}
	}
	if !waits || cmd.Flags&NeverPaused != 0 {
		return false
	}
	c.Blocked = &Wait{cmd: cmd, Paused: true}
	e.Blocked[c] = struct{}{}
	return true
}

// PausesWrites reports whether nothing may be written now.
func (e *Engine) PausesWrites() bool { return e.paused.writes(e.NowMs) }

// PausesAll reports whether nothing may be run now.
func (e *Engine) PausesAll() bool { return e.PausesWrites() && e.paused.All }

// PausedBy returns the pause that somebody has asked for.
func (e *Engine) PausedBy(by Pauser) Pause { return e.pauses[by] }

// PauseOver returns a channel that is closed when the pause that is has changed.
func (e *Engine) PauseOver() <-chan struct{} {
	if e.pauseOver == nil {
		e.pauseOver = make(chan struct{})
	}
	return e.pauseOver
}

// EndPause lets the clients go on whose pause is over.
func (e *Engine) EndPause() {
	over := false
	for by, p := range e.pauses {
		if p.UntilMs != 0 && p.UntilMs <= e.NowMs {
			e.pauses[by], over = Pause{}, true
		}
	}
	if over {
		e.pausesChanged()
	}
}

// SetPause begins or changes a pause, or ends it when p is zero.
func (e *Engine) SetPause(by Pauser, p Pause) {
	e.pauses[by] = p
	e.pausesChanged()
}

// pausesChanged lets those who wait for the end of a pause try again.
func (e *Engine) pausesChanged() {
	e.paused = Pause{}
	for _, p := range e.pauses {
		if p.UntilMs > e.NowMs {
			e.paused = Pause{max(e.paused.UntilMs, p.UntilMs), e.paused.All || p.All}
		}
	}
	e.ChooseExpiry()
	if e.pauseOver != nil {
		close(e.pauseOver)
		e.pauseOver = nil
	}
	for c := range e.Blocked {
		if c.Blocked.Paused {
			e.unblock(c)
			e.release(c)
		}
	}
}

// ChooseExpiry sets what happens to keys whose time has come, see store.ExpiryMode.
func (e *Engine) ChooseExpiry() {
	e.Store.Expiry = store.DeleteExpired
	if !e.world.OwnsExpiry() || e.paused.writes(e.NowMs) {
		e.Store.Expiry = store.HideExpired
	}
}
