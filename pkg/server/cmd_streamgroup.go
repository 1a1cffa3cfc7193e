package server

import (
	"math"

	"byor/pkg/store"
)

// xgroup finds the stream and group that an XGROUP subcommand is about. It replies the error and
// reports false when the stream is not there. The group may be nil.
func (c *Client) xgroup() (s *store.Stream, e *store.Entry, g *store.Group, ok bool) {
	s, e, ok = edit[*store.Stream](c, c.args[2])
	if !ok {
		return nil, nil, nil, false
	}
	if e == nil {
		c.fail("ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to use the MKSTREAM option to create an empty stream automatically.")
		return nil, nil, nil, false
	}
	return s, e, s.Group(c.args[3]), true
}

// xgroupExisting is xgroup where the group must be there, too.
func (c *Client) xgroupExisting() (s *store.Stream, e *store.Entry, g *store.Group, ok bool) {
	if s, e, g, ok = c.xgroup(); ok && g == nil {
		c.failNoGroup(c.args[2], c.args[3])
		ok = false
	}
	return s, e, g, ok
}

func (c *Client) failNoGroup(key, group []byte) {
	c.fail("NOGROUP No such consumer group '" + quoted(group) + "' for key name '" + quoted(key) + "'")
}

// parseXgroup parses the options of XGROUP CREATE and SETID.
func (c *Client) parseXgroup(create bool) (makeStream bool, entriesRead int64, ok bool) {
	entriesRead = store.UnknownRead
	for i := 5; i < len(c.args); i++ {
		switch {
		case create && c.is(i, "mkstream"):
			makeStream = true
		case c.is(i, "entriesread") && i+1 < len(c.args):
			i++
			if entriesRead, ok = c.intArg(i); !ok {
				return false, 0, false
			}
			if entriesRead < 0 && entriesRead != store.UnknownRead {
				c.fail("ERR value for ENTRIESREAD must be positive or -1")
				return false, 0, false
			}
		default:
			c.failSubcommand()
			return false, 0, false
		}
	}
	return makeStream, entriesRead, true
}

func cmdXgroupCreate(c *Client) {
	makeStream, entriesRead, ok := c.parseXgroup(true)
	if !ok {
		return
	}
	var s *store.Stream
	var e *store.Entry
	if makeStream {
		s, e, ok = editOrCreate(c, c.args[2], store.NewStream)
	} else {
		s, e, _, ok = c.xgroup()
	}
	if !ok {
		return
	}
	if len(c.args) > 8 {
		c.failSubcommand()
		return
	}
	id := s.Last()
	if quoted(c.args[4]) != "$" {
		if id, ok = c.streamID(4, 0); !ok {
			return
		}
	}
	if s.AddGroup(c.args[3], id, entriesRead) == nil {
		c.fail("BUSYGROUP Consumer Group name already exists")
		return
	}
	if e == nil {
		c.set(c.args[2], s)
	} else {
		c.changedQuietly(e)
	}
	c.w.OK()
}

func cmdXgroupSetid(c *Client) {
	_, entriesRead, ok := c.parseXgroup(false)
	if !ok {
		return
	}
	s, e, g, ok := c.xgroupExisting()
	if !ok {
		return
	}
	if len(c.args) != 5 && len(c.args) != 7 {
		c.failSubcommand()
		return
	}
	id := s.Last()
	if quoted(c.args[4]) != "$" {
		var edge bool
		if id, edge = edgeID(c.args[4]); !edge {
			if id, ok = c.streamID(4, 0); !ok {
				return
			}
		}
	}
	g.Last, g.EntriesRead = id, entriesRead
	c.changedQuietly(e)
	c.w.OK()
}

func cmdXgroupDestroy(c *Client) {
	s, e, g, ok := c.xgroup()
	if !ok {
		return
	}
	if g == nil {
		c.w.Int(0)
		return
	}
	s.DeleteGroup(c.args[3])
	c.changedQuietly(e)
	c.s.keyReady(c.db.ID(), e.Key()) // those that wait in it are told that it is gone
	c.w.Int(1)
}

func cmdXgroupCreateconsumer(c *Client) {
	_, e, g, ok := c.xgroupExisting()
	if !ok {
		return
	}
	if g.AddConsumer(c.args[4], c.s.nowMs) == nil {
		c.w.Int(0)
		return
	}
	c.changedQuietly(e)
	c.w.Int(1)
}

func cmdXgroupDelconsumer(c *Client) {
	_, e, g, ok := c.xgroupExisting()
	if !ok {
		return
	}
	pending, existed := g.DeleteConsumer(c.args[4])
	if existed {
		c.changedQuietly(e)
	}
	c.w.Int(int64(pending))
}

func cmdXgroupHelp(c *Client) {
	c.help(
		"CREATE <key> <groupname> <id|$> [option]", "    Create a new consumer group. Options are:",
		"    * MKSTREAM", "      Create the empty stream if it does not exist.",
		"    * ENTRIESREAD entries_read", "      Set the group's entries_read counter (internal use).",
		"CREATECONSUMER <key> <groupname> <consumer>", "    Create a new consumer in the specified group.",
		"DELCONSUMER <key> <groupname> <consumer>", "    Remove the specified consumer.",
		"DESTROY <key> <groupname>", "    Remove the specified group.",
		"SETID <key> <groupname> <id|$> [ENTRIESREAD entries_read]", "    Set the current group ID and entries_read counter.",
	)
}

func cmdXack(c *Client) {
	s, e, ok := fetchEdit[*store.Stream](c, c.args[1])
	if !ok {
		return
	}
	if e == nil || s.Group(c.args[2]) == nil {
		c.w.Int(0)
		return
	}
	ids, ok := c.streamIDs(3)
	if !ok {
		return
	}
	g, n := s.Group(c.args[2]), 0
	for _, id := range ids {
		n += btoi(g.Ack(id))
	}
	if n > 0 {
		c.changedQuietly(e)
		c.counts(n)
	}
	c.w.Int(int64(n))
}

// groupOf finds the stream of argument 1 and the group of argument 2, for writing. It replies the
// error and reports false when one is not there.
func (c *Client) groupOf() (s *store.Stream, e *store.Entry, g *store.Group, ok bool) {
	s, e, ok = fetchEdit[*store.Stream](c, c.args[1])
	if !ok {
		return nil, nil, nil, false
	}
	if e != nil {
		g = s.Group(c.args[2])
	}
	if g == nil {
		c.fail("NOGROUP No such key '" + quoted(c.args[1]) + "' or consumer group '" + quoted(c.args[2]) + "'")
		return nil, nil, nil, false
	}
	return s, e, g, true
}

// pendingRange is what XPENDING asks for.
type pendingRange struct {
	from, to     store.StreamID
	count, minMs int64
	consumer     []byte // nil: any
}

func (c *Client) parseXpending() (r pendingRange, ok bool) {
	at := 3
	if c.is(3, "idle") {
		if r.minMs, ok = c.intArg(4); !ok {
			return r, false
		}
		if len(c.args) < 8 {
			c.fail(errSyntax)
			return r, false
		}
		at = 5
	}
	if r.count, ok = c.intArg(at + 2); !ok {
		return r, false
	}
	if r.from, ok = c.rangeStart(at); !ok {
		return r, false
	}
	if r.to, ok = c.rangeEnd(at + 1); !ok {
		return r, false
	}
	if at+3 < len(c.args) {
		r.consumer = c.args[at+3]
	}
	return r, true
}

func cmdXpending(c *Client) {
	if n := len(c.args); n != 3 && (n < 6 || n > 9) {
		c.fail(errSyntax)
		return
	}
	var r pendingRange
	if len(c.args) > 3 {
		var ok bool
		if r, ok = c.parseXpending(); !ok {
			return
		}
	}
	s, ok := fetch[*store.Stream](c, c.args[1])
	if !ok {
		return
	}
	if s == nil || s.Group(c.args[2]) == nil {
		c.fail("NOGROUP No such key '" + quoted(c.args[1]) + "' or consumer group '" + quoted(c.args[2]) + "'")
		return
	}
	g := s.Group(c.args[2])
	if len(c.args) == 3 {
		c.pendingSummary(g)
		return
	}
	list := g.Pending()
	if r.consumer != nil {
		consumer := g.Consumer(r.consumer)
		if consumer == nil {
			c.w.Array(0)
			return
		}
		list = consumer.Pending()
	}
	c.pendingEntries(list, r)
}

func (c *Client) pendingSummary(g *store.Group) {
	c.w.Array(4)
	c.w.Int(int64(g.Pending().Len()))
	if g.Pending().Len() == 0 {
		c.w.Null()
		c.w.Null()
		c.w.NullArray()
		return
	}
	c.streamEntryID(g.Pending().First().ID)
	c.streamEntryID(g.Pending().Last().ID)
	at, n := len(c.w.Buf), 0
	for _, consumer := range g.Consumers() {
		if consumer.Pending().Len() > 0 {
			c.w.Array(2)
			c.w.BulkString(consumer.Name())
			c.w.BulkInt(int64(consumer.Pending().Len()))
			n++
		}
	}
	c.insertArrayHeader(at, n)
}

func (c *Client) pendingEntries(list *store.PEL, r pendingRange) {
	at, n := len(c.w.Buf), int64(0)
	if r.count > 0 {
		list.Range(r.from, r.to, func(p *store.Pending) bool {
			idle := c.s.nowMs - p.DeliveredMs
			if r.minMs != 0 && idle < r.minMs {
				return true
			}
			c.w.Array(4)
			c.streamEntryID(p.ID)
			c.w.BulkString(p.Owner().Name())
			c.w.Int(max(0, idle))
			c.w.Int(int64(p.Count))
			n++
			return n < r.count
		})
	}
	c.insertArrayHeader(at, int(n))
}

// claim are the arguments of XCLAIM and XAUTOCLAIM.
type claim struct {
	minIdleMs, atMs int64
	retries         int64 // -1: not given
	force, justID   bool
	ids             []store.StreamID
	idArgs          [][]byte
	last            store.StreamID
}

// intOr is intArg with an error text of its own.
func (c *Client) intOr(i int, text string) (int64, bool) {
	n, ok := parseInt(c.args[i])
	if !ok {
		c.fail(text)
	}
	return n, ok
}

func (c *Client) parseXclaim() (cl claim, ok bool) {
	if cl.minIdleMs, ok = c.intOr(4, "ERR Invalid min-idle-time argument for XCLAIM"); !ok {
		return cl, false
	}
	cl.retries, cl.atMs = -1, -1
	i := 5
	for ; i < len(c.args); i++ {
		id, ok := store.ParseStreamID(c.args[i], 0)
		if !ok {
			break
		}
		cl.ids = append(cl.ids, id)
	}
	cl.idArgs = c.args[5:i]
	for ; i < len(c.args); i++ {
		ok := true
		switch more := i+1 < len(c.args); {
		case c.is(i, "force"):
			cl.force = true
		case c.is(i, "justid"):
			cl.justID = true
		case c.is(i, "idle") && more:
			i++
			cl.atMs, ok = c.intOr(i, "ERR Invalid IDLE option argument for XCLAIM")
			cl.atMs = c.s.nowMs - cl.atMs
		case c.is(i, "time") && more:
			i++
			cl.atMs, ok = c.intOr(i, "ERR Invalid TIME option argument for XCLAIM")
		case c.is(i, "retrycount") && more:
			i++
			cl.retries, ok = c.intOr(i, "ERR Invalid RETRYCOUNT option argument for XCLAIM")
		case c.is(i, "lastid") && more:
			i++
			cl.last, ok = c.streamID(i, 0)
		default:
			c.fail("ERR Unrecognized XCLAIM option '" + quoted(c.args[i]) + "'")
			ok = false
		}
		if !ok {
			return cl, false
		}
	}
	if cl.atMs < 0 || cl.atMs > c.s.nowMs {
		cl.atMs = c.s.nowMs
	}
	return cl, true
}

func cmdXclaim(c *Client) {
	s, e, g, ok := c.groupOf()
	if !ok {
		return
	}
	cl, ok := c.parseXclaim()
	if !ok {
		return
	}
	c.replicateNothing() // but for what is said below, entry by entry
	moved := g.Last.Less(cl.last)
	if moved {
		g.Last = cl.last
		c.changedQuietly(e)
	}
	at, n := len(c.w.Buf), 0
	for i, id := range cl.ids {
		p := g.Pending().Get(id)
		if !s.Has(id) {
			if p != nil { // the entry was deleted: nobody needs to acknowledge it
				c.replicateClaim(c.args[1], c.args[2], g, p, cl.idArgs[i])
				g.Ack(id)
				moved = false
			}
			continue
		}
		if p == nil && !cl.force || p != nil && cl.minIdleMs > 0 && c.s.nowMs-p.DeliveredMs < cl.minIdleMs {
			continue
		}
		created := p == nil
		if p = g.Deliver(id, c.claimant(e, g)); created {
			p.Count = 1
		}
		p.DeliveredMs = cl.atMs
		c.claimed(s, p, cl.justID, cl.retries)
		c.replicateClaim(c.args[1], c.args[2], g, p, cl.idArgs[i])
		moved = false
		n++
	}
	if moved {
		c.replicateGroupID(c.args[1], c.args[2], g)
	}
	c.insertArrayHeader(at, n)
	c.changedQuietly(e)
}

// claimant returns the consumer of argument 3, which is made when it gets its first entry.
func (c *Client) claimant(e *store.Entry, g *store.Group) *store.Consumer {
	consumer := g.Consumer(c.args[3])
	if consumer == nil {
		return c.addConsumer(e, g, c.args[3])
	}
	consumer.SeenMs = c.s.nowMs
	return consumer
}

// claimed counts a delivery and replies the entry.
func (c *Client) claimed(s *store.Stream, p *store.Pending, justID bool, retries int64) {
	if retries >= 0 {
		p.Count = uint64(retries)
	} else if !justID {
		p.Count++
	}
	if justID {
		c.streamEntryID(p.ID)
	} else {
		c.streamOne(s, p.ID)
	}
}

func (c *Client) parseXautoclaim() (cl claim, from store.StreamID, count int64, ok bool) {
	if cl.minIdleMs, ok = c.intOr(4, "ERR Invalid min-idle-time argument for XAUTOCLAIM"); !ok {
		return cl, from, 0, false
	}
	if from, ok = c.rangeStart(5); !ok {
		return cl, from, 0, false
	}
	count = 100
	for i := 6; i < len(c.args); i++ {
		switch {
		case c.is(i, "count") && i+1 < len(c.args):
			i++
			if count, ok = parseInt(c.args[i]); !ok || count < 1 || count > math.MaxInt64/16 {
				c.fail("ERR COUNT must be > 0")
				return cl, from, 0, false
			}
		case c.is(i, "justid"):
			cl.justID = true
		default:
			c.fail(errSyntax)
			return cl, from, 0, false
		}
	}
	return cl, from, count, true
}

// claimStep is a pending entry that XAUTOCLAIM takes over, or drops because the entry was deleted.
type claimStep struct {
	p    *store.Pending
	gone bool
}

// planAutoclaim chooses what to take over, and where to go on the next time. The list is looked at
// first and changed afterwards, since it may not change during a walk.
func (c *Client) planAutoclaim(s *store.Stream, g *store.Group, cl claim, from store.StreamID, count int64) (steps []claimStep, next store.StreamID, taken int) {
	attempts := count * 10
	g.Pending().Range(from, store.MaxStreamID, func(p *store.Pending) bool {
		if attempts == 0 || count == 0 {
			next = p.ID
			return false
		}
		attempts--
		gone := !s.Has(p.ID)
		if gone || cl.minIdleMs <= 0 || c.s.nowMs-p.DeliveredMs >= cl.minIdleMs {
			steps = append(steps, claimStep{p, gone})
			count--
			taken += btoi(!gone)
		}
		return true
	})
	return steps, next, taken
}

func cmdXautoclaim(c *Client) {
	cl, from, count, ok := c.parseXautoclaim()
	if !ok {
		return
	}
	s, e, g, ok := c.groupOf()
	if !ok {
		return
	}
	if count > 1<<40 {
		c.fail("ERR Insufficient memory, failed allocating transient memory, COUNT too high.")
		return
	}
	c.replicateNothing()
	steps, next, taken := c.planAutoclaim(s, g, cl, from, count)
	c.w.Array(3)
	c.streamEntryID(next)
	c.w.Array(taken)
	for _, st := range steps {
		if st.gone {
			c.replicateClaim(c.args[1], c.args[2], g, st.p, st.p.ID.Append(nil))
			g.Ack(st.p.ID)
			continue
		}
		g.Deliver(st.p.ID, c.claimant(e, g))
		st.p.DeliveredMs = c.s.nowMs
		c.claimed(s, st.p, cl.justID, -1)
		c.replicateClaim(c.args[1], c.args[2], g, st.p, st.p.ID.Append(nil))
	}
	c.w.Array(len(steps) - taken)
	for _, st := range steps {
		if st.gone {
			c.streamEntryID(st.p.ID)
		}
	}
	c.changedQuietly(e)
}
