package server

import "byor/pkg/store"

func init() {
	register("transactions", []Command{
		{Name: "multi", Arity: 1, Flags: NoScript | Loading | Stale | Fast | AllowBusy, Handler: cmdMulti},
		{Name: "exec", Arity: 1, Flags: NoScript | Loading | Stale | SkipSlowlog, Handler: cmdExec},
		{Name: "discard", Arity: 1, Flags: NoScript | Loading | Stale | Fast | AllowBusy, Handler: cmdDiscard},
		{Name: "watch", Arity: -2, Flags: NoScript | Loading | Stale | Fast | AllowBusy, Keys: Keys{1, -1, 1}, Handler: cmdWatch},
		{Name: "unwatch", Arity: 1, Flags: NoScript | Loading | Stale | Fast | AllowBusy, Handler: cmdUnwatch},
	})
}

// queued is a command between MULTI and EXEC; it owns its arguments.
type queued struct {
	cmd  *Command
	args [][]byte
}

// watchKey is a key of a database.
type watchKey struct {
	db  int
	key string
}

func (c *Client) enqueue(cmd *Command, args [][]byte) {
	if c.doomed { // it cannot be executed any more: save the memory
		return
	}
	kept := c.keepArgs(args)
	c.queue = append(c.queue, queued{cmd, kept})
	c.queueMem += argsMem(kept)
}

func cmdMulti(c *Client) {
	if c.has(flagMulti) {
		c.fail("ERR MULTI calls can not be nested")
		return
	}
	c.flags |= flagMulti
	c.w.OK()
}

// discard leaves the transaction and forgets what was watched.
func (c *Client) discard() {
	c.queue, c.queueMem = nil, 0
	c.flags &^= flagMulti
	c.doomed = false
	c.s.unwatch(c)
}

func cmdDiscard(c *Client) {
	if !c.has(flagMulti) {
		c.fail("ERR DISCARD without MULTI")
		return
	}
	c.discard()
	c.w.OK()
}

// cmdExec runs the queued commands as one unit: time stands still, nobody comes in between, and
// their effects go to the append-only file and the replicas as one transaction.
func cmdExec(c *Client) {
	s := c.s
	if !c.has(flagMulti) {
		c.fail("ERR EXEC without MULTI")
		return
	}
	c.rewritten = true // what the commands replicate is all there is
	queue := c.queue
	switch {
	case c.doomed:
		c.discard()
		c.fail("EXECABORT Transaction discarded because of previous errors.")
		return
	case c.dirtyCAS || s.watchExpired(c):
		c.discard()
		c.w.NullArray()
		return
	}
	c.discard()
	exec, args := c.cmd, c.args
	c.flags |= flagInExec
	s.frozen++
	mark := len(c.w.Buf)
	c.w.Array(len(queue))
	for i, q := range queue {
		s.call(c, q.cmd, q.args, s.tick())
		queue[i].args = nil // a large one may be a value by now, and gone before the next
		c.holdReply(mark)
	}
	s.frozen--
	c.flags &^= flagInExec
	c.cmd, c.args, c.rewritten, c.failed = exec, args, true, false
}

func cmdWatch(c *Client) {
	if c.has(flagMulti) {
		c.fail("ERR WATCH inside MULTI is not allowed")
		return
	}
	if !c.dirtyCAS {
		for _, key := range c.args[1:] {
			c.watch(string(key))
		}
	}
	c.w.OK()
}

func (c *Client) watch(key string) {
	wk := watchKey{c.db.ID(), key}
	for _, w := range c.watching {
		if w.watchKey == wk {
			return
		}
	}
	// A key that has expired already is watched as the absent key it is about to become.
	exists := c.db.Exists([]byte(key))
	c.watching = append(c.watching, watch{wk, exists, !exists && c.db.Stored([]byte(key))})
	c.watchMem += watchBytes + int64(len(key))
	m := c.s.watched[wk]
	if m == nil {
		m = map[*Client]struct{}{}
		c.s.watched[wk] = m
	}
	m[c] = struct{}{}
}

// watch is a watched key and how it was there.
type watch struct {
	watchKey
	existed bool
	stale   bool // it was stored, but its time had come: to delete it changes nothing
}

// watchExpired reports whether a watched key has reached its expiry time since WATCH, which no
// write has told of yet.
func (s *Server) watchExpired(c *Client) bool {
	for _, w := range c.watching {
		if w.existed && !s.store.DB(w.db).Exists([]byte(w.key)) {
			return true
		}
	}
	return false
}

func cmdUnwatch(c *Client) {
	c.s.unwatch(c)
	c.w.OK()
}

func (s *Server) unwatch(c *Client) {
	for _, w := range c.watching {
		m := s.watched[w.watchKey]
		delete(m, c)
		if len(m) == 0 {
			delete(s.watched, w.watchKey)
		}
	}
	c.watching, c.watchMem = nil, 0
	c.dirtyCAS = false
}

func (s *Server) breakWatches(db int, key string) {
	wk := watchKey{db, key}
	for c := range s.watched[wk] {
		if !c.staleIsGone(wk) {
			c.dirtyCAS = true
		}
	}
}

// staleIsGone reports whether all that has happened to a watched key is that it was deleted after it had
// expired before WATCH.
func (c *Client) staleIsGone(wk watchKey) bool {
	for i := range c.watching {
		if w := &c.watching[i]; w.watchKey == wk {
			gone := w.stale && !c.s.store.DB(wk.db).Stored([]byte(wk.key))
			w.stale = w.stale && !gone
			return gone
		}
	}
	return false
}

// breakWatchesOf breaks the watches of the keys of a database that are there now, or were there
// in other (of a SWAPDB; nil for a FLUSHDB).
func (s *Server) breakWatchesOf(db int, other *store.DB) {
	for wk, clients := range s.watched {
		if wk.db != db {
			continue
		}
		key := []byte(wk.key)
		if !s.store.DB(db).Exists(key) && (other == nil || !other.Exists(key)) {
			continue
		}
		for c := range clients {
			c.dirtyCAS = true
		}
	}
}
