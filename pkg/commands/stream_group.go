package commands

import (
	"math"

	"byor/pkg/engine"
	"byor/pkg/resp"
	"byor/pkg/store"
)

// xgroup finds the stream and group that an XGROUP subcommand is about. It replies the error and
// reports false when the stream is not there. The group may be nil.
func xgroup(c *engine.Call) (s *store.Stream, e *store.Entry, g *store.Group, ok bool) {
	s, e, ok = engine.Edit[*store.Stream](c, c.Args[2])
	if !ok {
		return nil, nil, nil, false
	}
	if e == nil {
		c.Fail("ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to use the MKSTREAM option to create an empty stream automatically.")
		return nil, nil, nil, false
	}
	return s, e, s.Group(c.Args[3]), true
}

// xgroupExisting is xgroup where the group must be there, too.
func xgroupExisting(c *engine.Call) (s *store.Stream, e *store.Entry, g *store.Group, ok bool) {
	if s, e, g, ok = xgroup(c); ok && g == nil {
		failNoGroup(c, c.Args[2], c.Args[3])
		ok = false
	}
	return s, e, g, ok
}

func failNoGroup(c *engine.Call, key, group []byte) {
	c.Fail("NOGROUP No such consumer group '" + engine.Quoted(group) + "' for key name '" + engine.Quoted(key) + "'")
}

// parseXgroup parses the options of XGROUP CREATE and SETID.
func parseXgroup(c *engine.Call, create bool) (makeStream bool, entriesRead int64, ok bool) {
	entriesRead = store.UnknownRead
	for i := 5; i < len(c.Args); i++ {
		switch {
		case create && c.Is(i, "mkstream"):
			makeStream = true
		case c.Is(i, "entriesread") && i+1 < len(c.Args):
			i++
			if entriesRead, ok = c.IntArg(i); !ok {
				return false, 0, false
			}
			if entriesRead < 0 && entriesRead != store.UnknownRead {
				c.Fail("ERR value for ENTRIESREAD must be positive or -1")
				return false, 0, false
			}
		default:
			c.FailSubcommand()
			return false, 0, false
		}
	}
	return makeStream, entriesRead, true
}

func cmdXgroupCreate(c *engine.Call) {
	makeStream, entriesRead, ok := parseXgroup(c, true)
	if !ok {
		return
	}
	var s *store.Stream
	var e *store.Entry
	if makeStream {
		s, e, ok = engine.EditOrCreate(c, c.Args[2], store.NewStream)
	} else {
		s, e, _, ok = xgroup(c)
	}
	if !ok {
		return
	}
	if len(c.Args) > 8 {
		c.FailSubcommand()
		return
	}
	id := s.Last()
	if engine.Quoted(c.Args[4]) != "$" {
		if id, ok = streamID(c, 4, 0); !ok {
			return
		}
	}
	if s.AddGroup(c.Args[3], id, entriesRead) == nil {
		c.Fail("BUSYGROUP Consumer Group name already exists")
		return
	}
	if e == nil {
		c.Set(c.Args[2], s)
	} else {
		c.ChangedQuietly(e)
	}
	c.Reply.OK()
}

func cmdXgroupSetid(c *engine.Call) {
	_, entriesRead, ok := parseXgroup(c, false)
	if !ok {
		return
	}
	s, e, g, ok := xgroupExisting(c)
	if !ok {
		return
	}
	if len(c.Args) != 5 && len(c.Args) != 7 {
		c.FailSubcommand()
		return
	}
	id := s.Last()
	if engine.Quoted(c.Args[4]) != "$" {
		var edge bool
		if id, edge = edgeID(c.Args[4]); !edge {
			if id, ok = streamID(c, 4, 0); !ok {
				return
			}
		}
	}
	g.Last, g.EntriesRead = id, entriesRead
	c.ChangedQuietly(e)
	c.Reply.OK()
}

func cmdXgroupDestroy(c *engine.Call) {
	s, e, g, ok := xgroup(c)
	if !ok {
		return
	}
	if g == nil {
		c.Reply.Int(0)
		return
	}
	s.DeleteGroup(c.Args[3])
	c.ChangedQuietly(e)
	c.WakeWaiting(e.Key()) // those that wait in it are told that it is gone
	c.Reply.Int(1)
}

func cmdXgroupCreateconsumer(c *engine.Call) {
	_, e, g, ok := xgroupExisting(c)
	if !ok {
		return
	}
	if g.AddConsumer(c.Args[4], c.NowMs()) == nil {
		c.Reply.Int(0)
		return
	}
	c.ChangedQuietly(e)
	c.Reply.Int(1)
}

func cmdXgroupDelconsumer(c *engine.Call) {
	_, e, g, ok := xgroupExisting(c)
	if !ok {
		return
	}
	pending, existed := g.DeleteConsumer(c.Args[4])
	if existed {
		c.ChangedQuietly(e)
	}
	c.Reply.Int(int64(pending))
}

func cmdXgroupHelp(c *engine.Call) {
	c.Help(
		"CREATE <key> <groupname> <id|$> [option]", "    Create a new consumer group. Options are:",
		"    * MKSTREAM", "      Create the empty stream if it does not exist.",
		"    * ENTRIESREAD entries_read", "      Set the group's entries_read counter (internal use).",
		"CREATECONSUMER <key> <groupname> <consumer>", "    Create a new consumer in the specified group.",
		"DELCONSUMER <key> <groupname> <consumer>", "    Remove the specified consumer.",
		"DESTROY <key> <groupname>", "    Remove the specified group.",
		"SETID <key> <groupname> <id|$> [ENTRIESREAD entries_read]", "    Set the current group ID and entries_read counter.",
	)
}

func cmdXack(c *engine.Call) {
	s, e, ok := engine.FetchEdit[*store.Stream](c, c.Args[1])
	if !ok {
		return
	}
	if e == nil || s.Group(c.Args[2]) == nil {
		c.Reply.Int(0)
		return
	}
	ids, ok := streamIDs(c, 3)
	if !ok {
		return
	}
	g, n := s.Group(c.Args[2]), 0
	for _, id := range ids {
		n += btoi(g.Ack(id))
	}
	if n > 0 {
		c.ChangedQuietly(e)
		c.Counts(n)
	}
	c.Reply.Int(int64(n))
}

// groupOf finds the stream of argument 1 and the group of argument 2, for writing. It replies the
// error and reports false when one is not there.
func groupOf(c *engine.Call) (s *store.Stream, e *store.Entry, g *store.Group, ok bool) {
	s, e, ok = engine.FetchEdit[*store.Stream](c, c.Args[1])
	if !ok {
		return nil, nil, nil, false
	}
	if e != nil {
		g = s.Group(c.Args[2])
	}
	if g == nil {
		c.Fail("NOGROUP No such key '" + engine.Quoted(c.Args[1]) + "' or consumer group '" + engine.Quoted(c.Args[2]) + "'")
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

func parseXpending(c *engine.Call) (r pendingRange, ok bool) {
	at := 3
	if c.Is(3, "idle") {
		if r.minMs, ok = c.IntArg(4); !ok {
			return r, false
		}
		if len(c.Args) < 8 {
			c.Fail(engine.ErrSyntax)
			return r, false
		}
		at = 5
	}
	if r.count, ok = c.IntArg(at + 2); !ok {
		return r, false
	}
	if r.from, ok = rangeStart(c, at); !ok {
		return r, false
	}
	if r.to, ok = rangeEnd(c, at+1); !ok {
		return r, false
	}
	if at+3 < len(c.Args) {
		r.consumer = c.Args[at+3]
	}
	return r, true
}

func cmdXpending(c *engine.Call) {
	if n := len(c.Args); n != 3 && (n < 6 || n > 9) {
		c.Fail(engine.ErrSyntax)
		return
	}
	var r pendingRange
	if len(c.Args) > 3 {
		var ok bool
		if r, ok = parseXpending(c); !ok {
			return
		}
	}
	s, ok := engine.Fetch[*store.Stream](c, c.Args[1])
	if !ok {
		return
	}
	if s == nil || s.Group(c.Args[2]) == nil {
		c.Fail("NOGROUP No such key '" + engine.Quoted(c.Args[1]) + "' or consumer group '" + engine.Quoted(c.Args[2]) + "'")
		return
	}
	g := s.Group(c.Args[2])
	if len(c.Args) == 3 {
		pendingSummary(c, g)
		return
	}
	list := g.Pending()
	if r.consumer != nil {
		consumer := g.Consumer(r.consumer)
		if consumer == nil {
			c.Reply.Array(0)
			return
		}
		list = consumer.Pending()
	}
	pendingEntries(c, list, r)
}

func pendingSummary(c *engine.Call, g *store.Group) {
	c.Reply.Array(4)
	c.Reply.Int(int64(g.Pending().Len()))
	if g.Pending().Len() == 0 {
		c.Reply.Null()
		c.Reply.Null()
		c.Reply.NullArray()
		return
	}
	streamEntryID(c, g.Pending().First().ID)
	streamEntryID(c, g.Pending().Last().ID)
	at, n := len(c.Reply.Buf), 0
	for _, consumer := range g.Consumers() {
		if consumer.Pending().Len() > 0 {
			c.Reply.Array(2)
			c.Reply.BulkString(consumer.Name())
			c.Reply.BulkInt(int64(consumer.Pending().Len()))
			n++
		}
	}
	insertArrayHeader(c, at, n)
}

func pendingEntries(c *engine.Call, list *store.PEL, r pendingRange) {
	at, n := len(c.Reply.Buf), int64(0)
	if r.count > 0 {
		list.Range(r.from, r.to, func(p *store.Pending) bool {
			idle := c.NowMs() - p.DeliveredMs
			if r.minMs != 0 && idle < r.minMs {
				return true
			}
			c.Reply.Array(4)
			streamEntryID(c, p.ID)
			c.Reply.BulkString(p.Owner().Name())
			c.Reply.Int(max(0, idle))
			c.Reply.Int(int64(p.Count))
			n++
			return n < r.count
		})
	}
	insertArrayHeader(c, at, int(n))
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
func intOr(c *engine.Call, i int, text string) (int64, bool) {
	n, ok := resp.ParseInt(c.Args[i])
	if !ok {
		c.Fail(text)
	}
	return n, ok
}

func parseXclaim(c *engine.Call) (cl claim, ok bool) {
	if cl.minIdleMs, ok = intOr(c, 4, "ERR Invalid min-idle-time argument for XCLAIM"); !ok {
		return cl, false
	}
	cl.retries, cl.atMs = -1, -1
	i := 5
	for ; i < len(c.Args); i++ {
		id, ok := store.ParseStreamID(c.Args[i], 0)
		if !ok {
			break
		}
		cl.ids = append(cl.ids, id)
	}
	cl.idArgs = c.Args[5:i]
	for ; i < len(c.Args); i++ {
		ok := true
		switch more := i+1 < len(c.Args); {
		case c.Is(i, "force"):
			cl.force = true
		case c.Is(i, "justid"):
			cl.justID = true
		case c.Is(i, "idle") && more:
			i++
			cl.atMs, ok = intOr(c, i, "ERR Invalid IDLE option argument for XCLAIM")
			cl.atMs = c.NowMs() - cl.atMs
		case c.Is(i, "time") && more:
			i++
			cl.atMs, ok = intOr(c, i, "ERR Invalid TIME option argument for XCLAIM")
		case c.Is(i, "retrycount") && more:
			i++
			cl.retries, ok = intOr(c, i, "ERR Invalid RETRYCOUNT option argument for XCLAIM")
		case c.Is(i, "lastid") && more:
			i++
			cl.last, ok = streamID(c, i, 0)
		default:
			c.Fail("ERR Unrecognized XCLAIM option '" + engine.Quoted(c.Args[i]) + "'")
			ok = false
		}
		if !ok {
			return cl, false
		}
	}
	if cl.atMs < 0 || cl.atMs > c.NowMs() {
		cl.atMs = c.NowMs()
	}
	return cl, true
}

func cmdXclaim(c *engine.Call) {
	s, e, g, ok := groupOf(c)
	if !ok {
		return
	}
	cl, ok := parseXclaim(c)
	if !ok {
		return
	}
	c.ReplicateNothing() // but for what is said below, entry by entry
	moved := g.Last.Less(cl.last)
	if moved {
		g.Last = cl.last
		c.ChangedQuietly(e)
	}
	at, n := len(c.Reply.Buf), 0
	for i, id := range cl.ids {
		p := g.Pending().Get(id)
		if !s.Has(id) {
			if p != nil { // the entry was deleted: nobody needs to acknowledge it
				replicateClaim(c, c.Args[1], c.Args[2], g, p, cl.idArgs[i])
				g.Ack(id)
				moved = false
			}
			continue
		}
		if p == nil && !cl.force || p != nil && cl.minIdleMs > 0 && c.NowMs()-p.DeliveredMs < cl.minIdleMs {
			continue
		}
		created := p == nil
		if p = g.Deliver(id, claimant(c, e, g)); created {
			p.Count = 1
		}
		p.DeliveredMs = cl.atMs
		claimed(c, s, p, cl.justID, cl.retries)
		replicateClaim(c, c.Args[1], c.Args[2], g, p, cl.idArgs[i])
		moved = false
		n++
	}
	if moved {
		replicateGroupID(c, c.Args[1], c.Args[2], g)
	}
	insertArrayHeader(c, at, n)
	c.ChangedQuietly(e)
}

// claimant returns the consumer of argument 3, which is made when it gets its first entry.
func claimant(c *engine.Call, e *store.Entry, g *store.Group) *store.Consumer {
	consumer := g.Consumer(c.Args[3])
	if consumer == nil {
		return addConsumer(c, e, g, c.Args[3])
	}
	consumer.SeenMs = c.NowMs()
	return consumer
}

// claimed counts a delivery and replies the entry.
func claimed(c *engine.Call, s *store.Stream, p *store.Pending, justID bool, retries int64) {
	if retries >= 0 {
		p.Count = uint64(retries)
	} else if !justID {
		p.Count++
	}
	if justID {
		streamEntryID(c, p.ID)
	} else {
		streamOne(c, s, p.ID)
	}
}

func parseXautoclaim(c *engine.Call) (cl claim, from store.StreamID, count int64, ok bool) {
	if cl.minIdleMs, ok = intOr(c, 4, "ERR Invalid min-idle-time argument for XAUTOCLAIM"); !ok {
		return cl, from, 0, false
	}
	if from, ok = rangeStart(c, 5); !ok {
		return cl, from, 0, false
	}
	count = 100
	for i := 6; i < len(c.Args); i++ {
		switch {
		case c.Is(i, "count") && i+1 < len(c.Args):
			i++
			if count, ok = resp.ParseInt(c.Args[i]); !ok || count < 1 || count > math.MaxInt64/16 {
				c.Fail("ERR COUNT must be > 0")
				return cl, from, 0, false
			}
		case c.Is(i, "justid"):
			cl.justID = true
		default:
			c.Fail(engine.ErrSyntax)
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
func planAutoclaim(c *engine.Call, s *store.Stream, g *store.Group, cl claim, from store.StreamID, count int64) (steps []claimStep, next store.StreamID, taken int) {
	attempts := count * 10
	g.Pending().Range(from, store.MaxStreamID, func(p *store.Pending) bool {
		if attempts == 0 || count == 0 {
			next = p.ID
			return false
		}
		attempts--
		gone := !s.Has(p.ID)
		if gone || cl.minIdleMs <= 0 || c.NowMs()-p.DeliveredMs >= cl.minIdleMs {
			steps = append(steps, claimStep{p, gone})
			count--
			taken += btoi(!gone)
		}
		return true
	})
	return steps, next, taken
}

func cmdXautoclaim(c *engine.Call) {
	cl, from, count, ok := parseXautoclaim(c)
	if !ok {
		return
	}
	s, e, g, ok := groupOf(c)
	if !ok {
		return
	}
	if count > 1<<40 {
		c.Fail("ERR Insufficient memory, failed allocating transient memory, COUNT too high.")
		return
	}
	c.ReplicateNothing()
	steps, next, taken := planAutoclaim(c, s, g, cl, from, count)
	c.Reply.Array(3)
	streamEntryID(c, next)
	c.Reply.Array(taken)
	for _, st := range steps {
		if st.gone {
			replicateClaim(c, c.Args[1], c.Args[2], g, st.p, st.p.ID.Append(nil))
			g.Ack(st.p.ID)
			continue
		}
		g.Deliver(st.p.ID, claimant(c, e, g))
		st.p.DeliveredMs = c.NowMs()
		claimed(c, s, st.p, cl.justID, -1)
		replicateClaim(c, c.Args[1], c.Args[2], g, st.p, st.p.ID.Append(nil))
	}
	c.Reply.Array(len(steps) - taken)
	for _, st := range steps {
		if st.gone {
			streamEntryID(c, st.p.ID)
		}
	}
	c.ChangedQuietly(e)
}
