package engine

import (
	"time"
)

// Blocked clients. A client that waits for a key stands in the key's queue, first come, first
// served. Whoever touches a key with a queue marks it ready; when the unit that did so is over, the
// clients in the queue are tried in order, each as a unit of its own (Redis's blocked.c).

// Wait is what a session waits for. A handler fills in what it needs of the first five.
type Wait struct {
	DeadlineMs int64 // Unix milliseconds, 0 for none
	// Serve tries to run the command for a key that became ready. It replies and reports true, or
	// reports false when there is still nothing for the client. c.Args, c.Cmd and c.DB are as they
	// were when it blocked.
	Serve func(c *Call, key []byte) bool
	// Expire replies that the time is over.
	Expire func(c *Call)
	// Always: Serve is to be called also when the key is gone or holds another type.
	Always bool
	// Poll is tried by PollBlocked, for clients that wait for replicas or the disk, not for keys.
	Poll func(c *Call) bool

	Args   [][]byte // of the command that blocked, see Block
	Paused bool     // by CLIENT PAUSE: the command was not run yet

	cmd  *Command
	keys []Key
	mute bool // CLIENT REPLY wants no reply
	from time.Duration
}

// MayBlock reports whether the command may wait: not inside EXEC, and not on a link.
func (c *Call) MayBlock() bool { return !c.c.Has(ModeExec) && !c.c.Trusted() && c.c.MayWait }

// Block makes the session wait for keys, or without any for what b says. Where it may not wait, it is as if
// the time were over.
func (c *Call) Block(b Wait, keys [][]byte) {
	if !c.MayBlock() {
		b.Expire(c)
		return
	}
	e := c.e
	b.cmd, b.Args, b.from = c.Cmd, CopyArgs(c.Args), e.Clock().Sub(e.Started)
	for _, k := range keys {
		wk := Key{c.DB.ID(), string(k)}
		q := e.waiting[wk]
		if n := len(q); n > 0 && q[n-1] == c.c {
			continue // the key was named before
		}
		b.keys = append(b.keys, wk)
		e.waiting[wk] = append(q, c.c)
	}
	c.c.Blocked = &b
	e.Blocked[c.c] = struct{}{}
	e.armBlockTimer(b.DeadlineMs)
}

// CopyArgs returns a copy of arguments, to keep.
func CopyArgs(args [][]byte) [][]byte {
	n := 0
	for _, a := range args {
		n += len(a)
	}
	all := make([]byte, 0, n)
	cp := make([][]byte, len(args))
	for i, a := range args {
		all = append(all, a...)
		cp[i] = all[len(all)-len(a) : len(all) : len(all)]
	}
	return cp
}

func containsKey(keys []Key, wk Key) bool {
	for _, k := range keys {
		if k == wk {
			return true
		}
	}
	return false
}

// unblock takes the session out of all queues. It does not reply.
func (e *Engine) unblock(c *Session) {
	b := c.Blocked
	if b == nil {
		return
	}
	c.Blocked = nil
	delete(e.Blocked, c)
	for _, wk := range b.keys {
		q := e.waiting[wk]
		for i, w := range q {
			if w == c {
				q = append(q[:i:i], q[i+1:]...)
				break
			}
		}
		if len(q) == 0 {
			delete(e.waiting, wk)
		} else {
			e.waiting[wk] = q
		}
	}
}

// release lets a client that was unblocked and replied to go on.
func (e *Engine) release(c *Session) {
	e.Wake(c)
	c.peer.Resume()
}

// keyReady marks a key that somebody waits for: what happened to it may be what was waited for.
func (e *Engine) keyReady(db int, key string) {
	wk := Key{db, key}
	if e.waiting[wk] != nil && !containsKey(e.ready, wk) {
		e.ready = append(e.ready, wk)
	}
}

// AllReady marks every key of a database that somebody waits for.
func (e *Engine) AllReady(db int) {
	for wk := range e.waiting {
		if wk.DB == db {
			e.keyReady(wk.DB, wk.Name)
		}
	}
}

// ServeReady serves the clients that wait for keys that became ready, until serving makes no
// further key ready.
func (e *Engine) ServeReady() {
	for len(e.ready) > 0 {
		ready := e.ready
		e.ready = nil
		for _, wk := range ready {
			e.serveKey(wk)
		}
	}
}

func (e *Engine) serveKey(wk Key) {
	key := []byte(wk.Name)
	db := e.Store.DB(wk.DB)
	for _, c := range append([]*Session{}, e.waiting[wk]...) {
		b := c.Blocked
		if b == nil || db.Peek(key) == nil && !b.Always {
			continue
		}
		e.asClient(c, b, func() {
			c.failed = false
			if b.Serve(&c.Call, key) {
				e.unblock(c)
				e.AccountWait(c, b, c.failed)
				e.release(c)
			}
		})
	}
}

// asClient runs fn on behalf of a blocked client: as a unit, or inside the one of an EXEC whose command
// ended the wait.
func (e *Engine) asClient(c *Session, b *Wait, fn func()) {
	cmd, args, mark := c.Cmd, c.Args, len(c.Reply.Buf)
	c.Cmd, c.Args, c.rewritten = b.cmd, b.Args, false
	fn()
	c.Cmd, c.Args = cmd, args
	if b.mute {
		c.Reply.Buf = c.Reply.Buf[:min(mark, len(c.Reply.Buf))]
	}
	if e.frozen > 0 || len(e.unit.ends) == 0 {
		return
	}
	e.EndUnit()
	c.WrittenTo = e.world.Offset()
}

// maxTimerDelay bounds the wait of a timer: a deadline may be farther away than a time.Duration reaches.
const maxTimerDelay = time.Hour

// timerDelay returns how long a timer shall wait for a deadline.
func (e *Engine) timerDelay(deadlineMs int64) time.Duration {
	ms := min(max(0, deadlineMs-e.Clock().UnixMilli()), maxTimerDelay.Milliseconds())
	return time.Duration(ms+1) * time.Millisecond
}

// armBlockTimer sees to it that timeouts are looked at when the next one is due.
func (e *Engine) armBlockTimer(deadlineMs int64) {
	if deadlineMs == 0 || e.blockTimerMs != 0 && e.blockTimerMs <= deadlineMs {
		return
	}
	e.blockTimerMs = deadlineMs
	d := e.timerDelay(deadlineMs)
	if e.blockTimer == nil {
		e.blockTimer = time.AfterFunc(d, e.expireBlocked)
	} else {
		e.blockTimer.Reset(d)
	}
}

// expireBlocked ends the waits whose time is over.
func (e *Engine) expireBlocked() {
	e.Lock()
	defer e.Unlock()
	e.Tick()
	e.blockTimerMs = 0
	next := int64(0)
	for c := range e.Blocked {
		b := c.Blocked
		switch {
		case b.DeadlineMs == 0:
		case b.DeadlineMs <= e.NowMs:
			e.EndWait(c, func() { b.Expire(&c.Call) })
		case next == 0 || b.DeadlineMs < next:
			next = b.DeadlineMs
		}
	}
	e.armBlockTimer(next)
}

// EndWait unblocks a client with the reply that fn makes.
func (e *Engine) EndWait(c *Session, fn func()) {
	b := c.Blocked
	e.unblock(c)
	e.asClient(c, b, fn)
	e.release(c)
}

// PollBlocked tries the clients that wait for something other than keys.
func (e *Engine) PollBlocked() {
	for c := range e.Blocked {
		b := c.Blocked
		if b.Poll == nil {
			continue
		}
		e.asClient(c, b, func() {
			if b.Poll(&c.Call) {
				e.unblock(c)
				e.release(c)
			}
		})
	}
}

// Interest returns how many keys somebody waits for, and how many are watched.
func (e *Engine) Interest() (waiting, watched int) { return len(e.waiting), len(e.watched) }
