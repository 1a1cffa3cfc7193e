package commands

import (
	"byor/pkg/engine"
	"byor/pkg/store"
)

// xinfo finds the stream that an XINFO subcommand is about.
func xinfo(c *engine.Call) (*store.Stream, bool) {
	s, ok := engine.Fetch[*store.Stream](c, c.Args[2])
	if ok && s == nil {
		c.Fail(engine.ErrNoKey)
		return nil, false
	}
	return s, ok
}

func cmdXinfoConsumers(c *engine.Call) {
	s, ok := xinfo(c)
	if !ok {
		return
	}
	g := s.Group(c.Args[3])
	if g == nil {
		failNoGroup(c, c.Args[2], c.Args[3])
		return
	}
	c.Reply.Array(len(g.Consumers()))
	for _, consumer := range g.Consumers() {
		c.Reply.Map(3)
		c.Reply.BulkString("name")
		c.Reply.BulkString(consumer.Name())
		c.Reply.BulkString("pending")
		c.Reply.Int(int64(consumer.Pending().Len()))
		c.Reply.BulkString("idle")
		c.Reply.Int(max(0, c.NowMs()-consumer.SeenMs))
	}
}

func cmdXinfoGroups(c *engine.Call) {
	s, ok := xinfo(c)
	if !ok {
		return
	}
	c.Reply.Array(len(s.Groups()))
	for _, g := range s.Groups() {
		c.Reply.Map(6)
		c.Reply.BulkString("name")
		c.Reply.BulkString(g.Name())
		c.Reply.BulkString("consumers")
		c.Reply.Int(int64(len(g.Consumers())))
		c.Reply.BulkString("pending")
		c.Reply.Int(int64(g.Pending().Len()))
		groupProgress(c, s, g)
	}
}

// groupProgress replies three pairs: how far a group has read.
func groupProgress(c *engine.Call, s *store.Stream, g *store.Group) {
	c.Reply.BulkString("last-delivered-id")
	streamEntryID(c, g.Last)
	c.Reply.BulkString("entries-read")
	intOrNull(c, g.EntriesRead, g.EntriesRead != store.UnknownRead)
	c.Reply.BulkString("lag")
	lag, known := s.Lag(g)
	intOrNull(c, lag, known)
}

func intOrNull(c *engine.Call, n int64, known bool) {
	if known {
		c.Reply.Int(n)
	} else {
		c.Reply.Null()
	}
}

func cmdXinfoStream(c *engine.Call) {
	s, ok := xinfo(c)
	if !ok {
		return
	}
	n := len(c.Args) - 3
	if n == 0 {
		streamMeta(c, s, 10)
		streamSummary(c, s)
		return
	}
	if n != 1 && n != 3 || !c.Is(3, "full") || n == 3 && !c.Is(4, "count") {
		c.FailSubcommand()
		return
	}
	count := int64(10)
	if n == 3 {
		if count, ok = c.IntArg(5); !ok {
			return
		}
		if count < 0 {
			count = 10
		}
	}
	streamMeta(c, s, 9)
	c.Reply.BulkString("entries")
	streamRange(c, s, store.StreamID{}, store.MaxStreamID, count, false)
	c.Reply.BulkString("groups")
	c.Reply.Array(len(s.Groups()))
	for _, g := range s.Groups() {
		groupInFull(c, s, g, count)
	}
}

// streamMeta opens a map of n pairs and replies the first seven.
func streamMeta(c *engine.Call, s *store.Stream, n int) {
	m := s.Meta()
	nodes, radixNodes := s.Nodes()
	c.Reply.Map(n)
	c.Reply.BulkString("length")
	c.Reply.Int(int64(m.Length))
	c.Reply.BulkString("radix-tree-keys")
	c.Reply.Int(int64(nodes))
	c.Reply.BulkString("radix-tree-nodes")
	c.Reply.Int(int64(radixNodes))
	c.Reply.BulkString("last-generated-id")
	streamEntryID(c, m.Last)
	c.Reply.BulkString("max-deleted-entry-id")
	streamEntryID(c, m.MaxDeleted)
	c.Reply.BulkString("entries-added")
	c.Reply.Int(int64(m.Added))
	c.Reply.BulkString("recorded-first-entry-id")
	streamEntryID(c, m.First)
}

func streamSummary(c *engine.Call, s *store.Stream) {
	c.Reply.BulkString("groups")
	c.Reply.Int(int64(len(s.Groups())))
	c.Reply.BulkString("first-entry")
	if !streamOne(c, s, s.Meta().First) {
		c.Reply.Null()
	}
	c.Reply.BulkString("last-entry")
	if !streamOne(c, s, s.Top()) {
		c.Reply.Null()
	}
}

// groupInFull replies a group with up to count of its pending entries, 0 for all.
func groupInFull(c *engine.Call, s *store.Stream, g *store.Group, count int64) {
	c.Reply.Map(7)
	c.Reply.BulkString("name")
	c.Reply.BulkString(g.Name())
	groupProgress(c, s, g)
	c.Reply.BulkString("pel-count")
	c.Reply.Int(int64(g.Pending().Len()))
	c.Reply.BulkString("pending")
	pendingInFull(c, g.Pending(), count, true)
	c.Reply.BulkString("consumers")
	c.Reply.Array(len(g.Consumers()))
	for _, consumer := range g.Consumers() {
		c.Reply.Map(4)
		c.Reply.BulkString("name")
		c.Reply.BulkString(consumer.Name())
		c.Reply.BulkString("seen-time")
		c.Reply.Int(consumer.SeenMs)
		c.Reply.BulkString("pel-count")
		c.Reply.Int(int64(consumer.Pending().Len()))
		c.Reply.BulkString("pending")
		pendingInFull(c, consumer.Pending(), count, false)
	}
}

func pendingInFull(c *engine.Call, list *store.PEL, count int64, owner bool) {
	at, n := len(c.Reply.Buf), int64(0)
	list.Range(store.StreamID{}, store.MaxStreamID, func(p *store.Pending) bool {
		c.Reply.Array(3 + btoi(owner))
		streamEntryID(c, p.ID)
		if owner {
			c.Reply.BulkString(p.Owner().Name())
		}
		c.Reply.Int(p.DeliveredMs)
		c.Reply.Int(int64(p.Count))
		n++
		return n != count
	})
	insertArrayHeader(c, at, int(n))
}

func cmdXinfoHelp(c *engine.Call) {
	c.Help(
		"CONSUMERS <key> <groupname>", "    Show consumers of <groupname>.",
		"GROUPS <key>", "    Show the stream consumer groups.",
		"STREAM <key> [FULL [COUNT <count>]", "    Show information about the stream.",
	)
}
