package commands

import (
	"math"

	"byor/pkg/engine"
	"byor/pkg/resp"
	"byor/pkg/store"
)

// claim are the arguments of XCLAIM and XAUTOCLAIM.
type claim struct {
	minIdleMs, atMs int64
	retries         int64 // -1: not given
	force, justID   bool
	ids             []store.StreamID
	idArgs          [][]byte
	last            store.StreamID
}

// intOr is IntArg with an error text of its own.
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
	if !ok { // Redis has looked the key up by then, and counts that
		c.Found(c.Args[1], c.DB.Lookup(c.Args[1]) != nil)
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
