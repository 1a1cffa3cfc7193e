package server

import (
	"math"
	"time"
)

// Blocked clients. A client that waits for a key stands in the key's queue, first come, first
// served. Whoever touches a key with a queue marks it ready; when the unit that did so is over, the
// clients in the queue are tried in order, each as a unit of its own (Redis's blocked.c).

// blocking is what a client waits for.
type blocking struct {
	keys       []watchKey
	deadlineMs int64 // Unix milliseconds, 0 for none
	// serve tries to run the command for a key that became ready. It replies and reports true, or
	// reports false when there is still nothing for the client. c.args, c.cmd and c.db are as they
	// were when it blocked.
	serve func(c *Client, key []byte) bool
	// expire replies that the time is over.
	expire func(c *Client)
	// always: serve is to be called also when the key is gone or holds another type.
	always bool
	// poll is tried by pollBlocked, for clients that wait for replicas or the disk, not for keys.
	poll   func(c *Client) bool
	paused bool // by CLIENT PAUSE: the command was not run yet
	mute   bool // CLIENT REPLY wants no reply

	cmd  *Command
	args [][]byte
	from time.Duration
}

// mayBlock reports whether the running command may wait: not inside EXEC, and not on a link.
func (c *Client) mayBlock() bool { return !c.has(flagInExec) && !c.trusted() && c.conn != nil }

// block makes the client wait for keys. Where it may not wait, it is as if the time were over.
func (c *Client) block(b blocking, keys [][]byte) {
	if !c.mayBlock() {
		b.expire(c)
		return
	}
	s := c.s
	b.cmd, b.args, b.from = c.cmd, copyArgs(c.args), s.clock().Sub(s.started)
	for _, k := range keys {
		wk := watchKey{c.db.ID(), string(k)}
		q := s.waiting[wk]
		if n := len(q); n > 0 && q[n-1] == c {
			continue // the key was named before
		}
		b.keys = append(b.keys, wk)
		s.waiting[wk] = append(q, c)
	}
	c.blocked = &b
	s.blocked[c] = struct{}{}
	s.armBlockTimer(b.deadlineMs)
}

func containsKey(keys []watchKey, wk watchKey) bool {
	for _, k := range keys {
		if k == wk {
			return true
		}
	}
	return false
}

// unblock takes the client out of all queues. It does not reply.
func (s *Server) unblock(c *Client) {
	b := c.blocked
	if b == nil {
		return
	}
	c.blocked = nil
	delete(s.blocked, c)
	for _, wk := range b.keys {
		q := s.waiting[wk]
		for i, w := range q {
			if w == c {
				q = append(q[:i:i], q[i+1:]...)
				break
			}
		}
		if len(q) == 0 {
			delete(s.waiting, wk)
		} else {
			s.waiting[wk] = q
		}
	}
}

// release lets a client that was unblocked and replied to go on.
func (s *Server) release(c *Client) {
	s.queueAsync(c)
	c.transport.resume(c)
}

func (s *Server) keyReady(db int, key string) {
	wk := watchKey{db, key}
	if s.waiting[wk] != nil && !containsKey(s.ready, wk) {
		s.ready = append(s.ready, wk)
	}
}

// allReady marks every key of a database that somebody waits for.
func (s *Server) allReady(db int) {
	for wk := range s.waiting {
		if wk.db == db {
			s.keyReady(wk.db, wk.key)
		}
	}
}

// serveReady serves the clients that wait for keys that became ready, until serving makes no
// further key ready.
func (s *Server) serveReady() {
	for len(s.ready) > 0 {
		ready := s.ready
		s.ready = nil
		for _, wk := range ready {
			s.serveKey(wk)
		}
	}
}

func (s *Server) serveKey(wk watchKey) {
	key := []byte(wk.key)
	db := s.store.DB(wk.db)
	for _, c := range append([]*Client{}, s.waiting[wk]...) {
		b := c.blocked
		if b == nil || db.Peek(key) == nil && !b.always {
			continue
		}
		s.asClient(c, b, func() {
			c.failed = false
			if b.serve(c, key) {
				s.unblock(c)
				s.accountWait(c, b, c.failed)
				s.release(c)
			}
		})
	}
}

// asClient runs fn on behalf of a blocked client: as a unit, or inside the one of an EXEC whose command
// ended the wait.
func (s *Server) asClient(c *Client, b *blocking, fn func()) {
	cmd, args, mark := c.cmd, c.args, len(c.w.Buf)
	c.cmd, c.args, c.rewritten = b.cmd, b.args, false
	fn()
	c.cmd, c.args = cmd, args
	if b.mute {
		c.w.Buf = c.w.Buf[:min(mark, len(c.w.Buf))]
	}
	if s.frozen > 0 || len(s.unit.ends) == 0 {
		return
	}
	s.endUnit()
	c.writtenTo = s.master.Offset()
}

// maxTimerDelay bounds the wait of a timer: a deadline may be farther away than a time.Duration reaches.
const maxTimerDelay = time.Hour

// timerDelay returns how long a timer shall wait for a deadline.
func (s *Server) timerDelay(deadlineMs int64) time.Duration {
	ms := min(max(0, deadlineMs-s.clock().UnixMilli()), maxTimerDelay.Milliseconds())
	return time.Duration(ms+1) * time.Millisecond
}

// armBlockTimer sees to it that timeouts are looked at when the next one is due.
func (s *Server) armBlockTimer(deadlineMs int64) {
	if deadlineMs == 0 || s.blockTimerMs != 0 && s.blockTimerMs <= deadlineMs {
		return
	}
	s.blockTimerMs = deadlineMs
	d := s.timerDelay(deadlineMs)
	if s.blockTimer == nil {
		s.blockTimer = time.AfterFunc(d, s.expireBlocked)
	} else {
		s.blockTimer.Reset(d)
	}
}

// expireBlocked ends the waits whose time is over.
func (s *Server) expireBlocked() {
	s.lock()
	defer s.unlock()
	s.tick()
	s.blockTimerMs = 0
	next := int64(0)
	for c := range s.blocked {
		b := c.blocked
		switch {
		case b.deadlineMs == 0:
		case b.deadlineMs <= s.nowMs:
			s.endWait(c, func() { b.expire(c) })
		case next == 0 || b.deadlineMs < next:
			next = b.deadlineMs
		}
	}
	s.armBlockTimer(next)
}

// endWait unblocks a client with the reply that fn makes.
func (s *Server) endWait(c *Client, fn func()) {
	b := c.blocked
	s.unblock(c)
	s.asClient(c, b, fn)
	s.release(c)
}

// pollBlocked tries the clients that wait for something other than keys.
func (s *Server) pollBlocked() {
	for c := range s.blocked {
		b := c.blocked
		if b.poll == nil {
			continue
		}
		s.asClient(c, b, func() {
			if b.poll(c) {
				s.unblock(c)
				s.release(c)
			}
		})
	}
}

// timeoutArg parses argument i as a timeout in seconds, which may have a fraction, and returns the
// deadline in Unix milliseconds, 0 for none.
func (c *Client) timeoutArg(i int) (deadlineMs int64, ok bool) {
	d, ok := parseLongDouble(c.args[i])
	if !ok {
		c.fail(errTimeoutNotNum)
		return 0, false
	}
	ms, tooLarge := d.millis()
	if ms < 0 || tooLarge { // too large for Redis's integer is negative there
		c.fail(errTimeoutNeg)
		return 0, false
	}
	if ms == 0 {
		return 0, true
	}
	return c.s.after(ms), true
}

// after returns the time that comes ms from now, or the end of all time.
func (s *Server) after(ms int64) int64 { return s.nowMs + min(ms, math.MaxInt64-s.nowMs) }
