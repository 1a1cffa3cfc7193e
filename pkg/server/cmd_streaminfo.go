package server

import "byor/pkg/store"

// xinfo finds the stream that an XINFO subcommand is about.
func (c *Client) xinfo() (*store.Stream, bool) {
	s, ok := fetch[*store.Stream](c, c.args[2])
	if ok && s == nil {
		c.fail(errNoKey)
		return nil, false
	}
	return s, ok
}

func cmdXinfoConsumers(c *Client) {
	s, ok := c.xinfo()
	if !ok {
		return
	}
	g := s.Group(c.args[3])
	if g == nil {
		c.failNoGroup(c.args[2], c.args[3])
		return
	}
	c.w.Array(len(g.Consumers()))
	for _, consumer := range g.Consumers() {
		c.w.Map(3)
		c.w.BulkString("name")
		c.w.BulkString(consumer.Name())
		c.w.BulkString("pending")
		c.w.Int(int64(consumer.Pending().Len()))
		c.w.BulkString("idle")
		c.w.Int(max(0, c.s.nowMs-consumer.SeenMs))
	}
}

func cmdXinfoGroups(c *Client) {
	s, ok := c.xinfo()
	if !ok {
		return
	}
	c.w.Array(len(s.Groups()))
	for _, g := range s.Groups() {
		c.w.Map(6)
		c.w.BulkString("name")
		c.w.BulkString(g.Name())
		c.w.BulkString("consumers")
		c.w.Int(int64(len(g.Consumers())))
		c.w.BulkString("pending")
		c.w.Int(int64(g.Pending().Len()))
		c.groupProgress(s, g)
	}
}

// groupProgress replies three pairs: how far a group has read.
func (c *Client) groupProgress(s *store.Stream, g *store.Group) {
	c.w.BulkString("last-delivered-id")
	c.streamEntryID(g.Last)
	c.w.BulkString("entries-read")
	c.intOrNull(g.EntriesRead, g.EntriesRead != store.UnknownRead)
	c.w.BulkString("lag")
	c.intOrNull(s.Lag(g))
}

func (c *Client) intOrNull(n int64, known bool) {
	if known {
		c.w.Int(n)
	} else {
		c.w.Null()
	}
}

func cmdXinfoStream(c *Client) {
	s, ok := c.xinfo()
	if !ok {
		return
	}
	n := len(c.args) - 3
	if n == 0 {
		c.streamMeta(s, 10)
		c.streamSummary(s)
		return
	}
	if n != 1 && n != 3 || !c.is(3, "full") || n == 3 && !c.is(4, "count") {
		c.failSubcommand()
		return
	}
	count := int64(10)
	if n == 3 {
		if count, ok = c.intArg(5); !ok {
			return
		}
		if count < 0 {
			count = 10
		}
	}
	c.streamMeta(s, 9)
	c.w.BulkString("entries")
	c.streamRange(s, store.StreamID{}, store.MaxStreamID, count, false)
	c.w.BulkString("groups")
	c.w.Array(len(s.Groups()))
	for _, g := range s.Groups() {
		c.groupInFull(s, g, count)
	}
}

// streamMeta opens a map of n pairs and replies the first seven.
func (c *Client) streamMeta(s *store.Stream, n int) {
	m := s.Meta()
	nodes, radixNodes := s.Nodes()
	c.w.Map(n)
	c.w.BulkString("length")
	c.w.Int(int64(m.Length))
	c.w.BulkString("radix-tree-keys")
	c.w.Int(int64(nodes))
	c.w.BulkString("radix-tree-nodes")
	c.w.Int(int64(radixNodes))
	c.w.BulkString("last-generated-id")
	c.streamEntryID(m.Last)
	c.w.BulkString("max-deleted-entry-id")
	c.streamEntryID(m.MaxDeleted)
	c.w.BulkString("entries-added")
	c.w.Int(int64(m.Added))
	c.w.BulkString("recorded-first-entry-id")
	c.streamEntryID(m.First)
}

func (c *Client) streamSummary(s *store.Stream) {
	c.w.BulkString("groups")
	c.w.Int(int64(len(s.Groups())))
	c.w.BulkString("first-entry")
	if !c.streamOne(s, s.Meta().First) {
		c.w.Null()
	}
	c.w.BulkString("last-entry")
	if !c.streamOne(s, s.Top()) {
		c.w.Null()
	}
}

// groupInFull replies a group with up to count of its pending entries, 0 for all.
func (c *Client) groupInFull(s *store.Stream, g *store.Group, count int64) {
	c.w.Map(7)
	c.w.BulkString("name")
	c.w.BulkString(g.Name())
	c.groupProgress(s, g)
	c.w.BulkString("pel-count")
	c.w.Int(int64(g.Pending().Len()))
	c.w.BulkString("pending")
	c.pendingInFull(g.Pending(), count, true)
	c.w.BulkString("consumers")
	c.w.Array(len(g.Consumers()))
	for _, consumer := range g.Consumers() {
		c.w.Map(4)
		c.w.BulkString("name")
		c.w.BulkString(consumer.Name())
		c.w.BulkString("seen-time")
		c.w.Int(consumer.SeenMs)
		c.w.BulkString("pel-count")
		c.w.Int(int64(consumer.Pending().Len()))
		c.w.BulkString("pending")
		c.pendingInFull(consumer.Pending(), count, false)
	}
}

func (c *Client) pendingInFull(list *store.PEL, count int64, owner bool) {
	at, n := len(c.w.Buf), int64(0)
	list.Range(store.StreamID{}, store.MaxStreamID, func(p *store.Pending) bool {
		c.w.Array(3 + btoi(owner))
		c.streamEntryID(p.ID)
		if owner {
			c.w.BulkString(p.Owner().Name())
		}
		c.w.Int(p.DeliveredMs)
		c.w.Int(int64(p.Count))
		n++
		return n != count
	})
	c.insertArrayHeader(at, int(n))
}

func cmdXinfoHelp(c *Client) {
	c.help(
		"CONSUMERS <key> <groupname>", "    Show consumers of <groupname>.",
		"GROUPS <key>", "    Show the stream consumer groups.",
		"STREAM <key> [FULL [COUNT <count>]", "    Show information about the stream.",
	)
}
