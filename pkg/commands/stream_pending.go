package commands

import (
	"byor/pkg/engine"
	"byor/pkg/store"
)

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
