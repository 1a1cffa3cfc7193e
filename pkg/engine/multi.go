package engine

import "byor/pkg/store"

func init() {
	Register("transactions", []Command{
		{Name: "multi", Arity: 1, Flags: NoScript | Loading | Stale | Fast | AllowBusy, Handler: cmdMulti},
		{Name: "exec", Arity: 1, Flags: NoScript | Loading | Stale | SkipSlowlog, Handler: cmdExec},
		{Name: "discard", Arity: 1, Flags: NoScript | Loading | Stale | Fast | AllowBusy, Handler: cmdDiscard},
		{Name: "watch", Arity: -2, Flags: NoScript | Loading | Stale | Fast | AllowBusy, Keys: Keys{1, -1, 1}, Handler: cmdWatch},
		{Name: "unwatch", Arity: 1, Flags: NoScript | Loading | Stale | Fast | AllowBusy, Handler: cmdUnwatch},
	})
}

// Queued is a command between MULTI and EXEC; it owns its arguments.
type Queued struct {
	Args [][]byte
	cmd  *Command
}

// Key is a key of a database.
type Key struct {
	DB   int
	Name string
}

func (c *Session) enqueue(cmd *Command, args [][]byte) {
	if c.doomed { // it cannot be executed any more: save the memory
		return
	}
	kept := c.KeepArgs(args)
	c.Queue = append(c.Queue, Queued{kept, cmd})
	c.QueueMem += ArgsMem(kept)
}

func cmdMulti(call *Call) {
	c := call.c
	if c.Has(ModeMulti) {
		c.Fail("ERR MULTI calls can not be nested")
		return
	}
	c.Mode |= ModeMulti
	c.Reply.OK()
}

// Discard leaves the transaction and forgets what was watched.
func (c *Session) Discard() {
	c.Queue, c.QueueMem = nil, 0
	c.Mode &^= ModeMulti
	c.doomed = false
	c.e.unwatch(c)
}

func cmdDiscard(call *Call) {
	c := call.c
	if !c.Has(ModeMulti) {
		c.Fail("ERR DISCARD without MULTI")
		return
	}
	c.Discard()
	c.Reply.OK()
}

// cmdExec runs the queued commands as one unit: time stands still, nobody comes in between, and
// their effects go to the append-only file and the replicas as one transaction.
func cmdExec(call *Call) {
	c, e := call.c, call.e
	if !c.Has(ModeMulti) {
		c.Fail("ERR EXEC without MULTI")
		return
	}
	c.rewritten = true // what the commands replicate is all there is
	queue := c.Queue
	switch {
	case c.doomed:
		c.Discard()
		c.Fail("EXECABORT Transaction discarded because of previous errors.")
		return
	case c.DirtyCAS || e.watchExpired(c):
		c.Discard()
		c.Reply.NullArray()
		return
	}
	c.Discard()
	exec, args := c.Cmd, c.Args
	c.Mode |= ModeExec
	e.frozen++
	mark := len(c.Reply.Buf)
	c.Reply.Array(len(queue))
	for i, q := range queue {
		if msg := c.Forbidden(q.cmd, q.Args); msg != "" { // the rights have changed since it was queued
			c.Fail(msg)
		} else {
			e.Run(c, q.cmd, q.Args, e.begins())
		}
		queue[i].Args = nil // a large one may be a value by now, and gone before the next
		c.peer.ReplyGrows(mark)
	}
	e.frozen--
	c.Mode &^= ModeExec
	c.Cmd, c.Args, c.rewritten, c.failed = exec, args, true, false
}

func cmdWatch(call *Call) {
	c := call.c
	if c.Has(ModeMulti) {
		c.Fail("ERR WATCH inside MULTI is not allowed")
		return
	}
	if !c.DirtyCAS {
		for _, key := range c.Args[1:] {
			c.watch(string(key))
		}
	}
	c.Reply.OK()
}

func (c *Session) watch(key string) {
	wk := Key{c.DB.ID(), key}
	for _, w := range c.watching {
		if w.Key == wk {
			return
		}
	}
	// A key that has expired already is watched as the absent key it is about to become.
	exists := c.DB.Exists([]byte(key))
	c.watching = append(c.watching, watch{wk, exists, !exists && c.DB.Stored([]byte(key))})
	c.WatchMem += watchBytes + int64(len(key))
	m := c.e.watched[wk]
	if m == nil {
		m = map[*Session]struct{}{}
		c.e.watched[wk] = m
	}
	m[c] = struct{}{}
}

// watchBytes is what a watched key costs, besides its name.
const watchBytes = 160

// watch is a watched key and how it was there.
type watch struct {
	Key
	existed bool
	stale   bool // it was stored, but its time had come: to delete it changes nothing
}

// watchExpired reports whether a watched key has reached its expiry time since WATCH, which no
// write has told of yet.
func (e *Engine) watchExpired(c *Session) bool {
	for _, w := range c.watching {
		if w.existed && !e.Store.DB(w.DB).Exists([]byte(w.Name)) {
			return true
		}
	}
	return false
}

func cmdUnwatch(c *Call) {
	c.e.unwatch(c.c)
	c.Reply.OK()
}

func (e *Engine) unwatch(c *Session) {
	for _, w := range c.watching {
		m := e.watched[w.Key]
		delete(m, c)
		if len(m) == 0 {
			delete(e.watched, w.Key)
		}
	}
	c.watching, c.WatchMem = nil, 0
	c.DirtyCAS = false
}

// breakWatches dooms the transactions of those who watch the key.
func (e *Engine) breakWatches(db int, key string) {
	wk := Key{db, key}
	for c := range e.watched[wk] {
		if !c.staleIsGone(wk) {
			c.DirtyCAS = true
		}
	}
}

// staleIsGone reports whether all that has happened to a watched key is that it was deleted after it had
// expired before WATCH.
func (c *Session) staleIsGone(wk Key) bool {
	for i := range c.watching {
		if w := &c.watching[i]; w.Key == wk {
			gone := w.stale && !c.e.Store.DB(wk.DB).Stored([]byte(wk.Name))
			w.stale = w.stale && !gone
			return gone
		}
	}
	return false
}

// BreakWatchesOf breaks the watches of the keys of a database that are there now, or were there
// in other (of a SWAPDB; nil for a FLUSHDB).
func (e *Engine) BreakWatchesOf(db int, other *store.DB) {
	for wk, clients := range e.watched {
		if wk.DB != db {
			continue
		}
		key := []byte(wk.Name)
		if !e.Store.DB(db).Exists(key) && (other == nil || !other.Exists(key)) {
			continue
		}
		for c := range clients {
			c.DirtyCAS = true
		}
	}
}
