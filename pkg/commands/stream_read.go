package commands

import (
	"strconv"

	"byor/pkg/engine"
	"byor/pkg/resp"
	"byor/pkg/store"
)

// XREAD and XREADGROUP: one parser and one loop over the streams, which either finds something to
// reply at once, or leaves the client waiting for the keys.

// xreadBlockedCount bounds what a client is given that asked for no COUNT and had to wait: its ID
// may be older than it believes.
const xreadBlockedCount = 1000

// xread is a parsed XREAD or XREADGROUP. It owns its memory, since it may outlive the command.
type xread struct {
	group, consumer []byte // nil for XREAD
	noAck           bool
	count           int64 // 0 for all
	blocks          bool
	deadlineMs      int64
	keys            [][]byte
	ids             []store.StreamID
	news            []bool // the ID is ">"
}

// parseXread parses the options up to STREAMS and returns where the keys begin.
func parseXread(c *engine.Call, x *xread) (at int, ok bool) {
	grouped := c.Cmd.Name == "xreadgroup"
	for i := 1; i < len(c.Args); i++ {
		more := len(c.Args) - i - 1
		switch {
		case c.Is(i, "block") && more > 0:
			i++
			if c.Session().Has(engine.ModeScript) {
				c.Fail("ERR " + engine.Quoted(c.Args[0]) + " command is not allowed with BLOCK option from scripts")
				return 0, false
			}
			if x.deadlineMs, ok = blockArg(c, i); !ok {
				return 0, false
			}
			x.blocks = true
		case c.Is(i, "count") && more > 0:
			i++
			if x.count, ok = c.IntArg(i); !ok {
				return 0, false
			}
			x.count = max(0, x.count)
		case c.Is(i, "streams") && more > 0:
			if more%2 != 0 {
				c.Fail("ERR Unbalanced XREAD list of streams: for each stream key an ID or '$' must be specified.")
				return 0, false
			}
			if grouped && x.group == nil {
				c.Fail("ERR Missing GROUP option for XREADGROUP")
				return 0, false
			}
			return i + 1, true
		case c.Is(i, "group") && more >= 2:
			if !grouped {
				c.Fail("ERR The GROUP option is only supported by XREADGROUP. You called XREAD instead.")
				return 0, false
			}
			x.group, x.consumer = c.Args[i+1], c.Args[i+2]
			i += 2
		case c.Is(i, "noack"):
			if !grouped {
				c.Fail("ERR The NOACK option is only supported by XREADGROUP. You called XREAD instead.")
				return 0, false
			}
			x.noAck = true
		default:
			c.Fail(engine.ErrSyntax)
			return 0, false
		}
	}
	c.Fail(engine.ErrSyntax)
	return 0, false
}

// blockArg parses argument i as a timeout in milliseconds and returns the deadline, 0 for none.
func blockArg(c *engine.Call, i int) (deadlineMs int64, ok bool) {
	ms, ok := resp.ParseInt(c.Args[i])
	if !ok {
		c.Fail("ERR timeout is not an integer or out of range")
		return 0, false
	}
	if ms < 0 {
		c.Fail(engine.ErrTimeoutNeg)
		return 0, false
	}
	if ms == 0 {
		return 0, true
	}
	return c.After(ms), true
}

// resolve parses the ID of stream i at argument arg.
func (x *xread) resolve(c *engine.Call, i, arg int) bool {
	s, ok := engine.Fetch[*store.Stream](c, x.keys[i])
	if !ok {
		return false
	}
	if x.group != nil && (s == nil || s.Group(x.group) == nil) {
		c.Fail("NOGROUP No such key '" + engine.Quoted(x.keys[i]) + "' or consumer group '" + engine.Quoted(x.group) + "' in XREADGROUP with GROUP option")
		return false
	}
	switch engine.Quoted(c.Args[arg]) {
	case "$":
		if x.group != nil {
			c.Fail("ERR The $ ID is meaningless in the context of XREADGROUP: you want to read the history of this consumer by specifying a proper ID, or use the > ID to get new messages. The $ ID would just return an empty result set.")
			return false
		}
		if s != nil {
			x.ids[i] = s.Last()
		}
		return true
	case ">":
		if x.group == nil {
			c.Fail("ERR The > ID can be specified only when calling XREADGROUP using the GROUP <group> <consumer> option.")
			return false
		}
		x.news[i] = true
		return true
	}
	x.ids[i], ok = streamID(c, arg, 0)
	if x.ids[i] == store.MaxStreamID { // Redis marks ">" by this ID and cannot tell them apart
		x.news[i] = x.group != nil
	}
	return ok
}

func cmdXread(c *engine.Call) {
	var x xread
	at, ok := parseXread(c, &x)
	if !ok {
		return
	}
	n := (len(c.Args) - at) / 2
	x.keys, x.ids, x.news = c.Args[at:at+n], make([]store.StreamID, n), make([]bool, n)
	for i := range x.keys {
		if !x.resolve(c, i, at+n+i) {
			return
		}
	}
	if x.group != nil {
		c.ReplicateNothing() // but for what is said below, entry by entry
	}
	start, served := len(c.Reply.Buf), 0
	for i := range x.keys {
		served += btoi(x.read(c, i, false))
	}
	switch {
	case served > 0:
		insertXreadHeader(c, start, served)
	case x.blocks:
		blockXread(c, &x)
	default:
		c.Reply.NullArray()
	}
}

// insertXreadHeader opens the reply of n streams that were appended from at on already.
func insertXreadHeader(c *engine.Call, at, n int) {
	insertArrayHeader(c, at, n)
	if c.Reply.Proto == 3 {
		c.Reply.Buf[at] = '%'
	}
}

// blockXread leaves the client waiting.
func blockXread(c *engine.Call, x *xread) {
	x.keys = engine.CopyArgs(x.keys)
	if x.group != nil {
		x.group, x.consumer = append([]byte{}, x.group...), append([]byte{}, x.consumer...)
	}
	if x.count == 0 {
		x.count = xreadBlockedCount
	}
	wait := *x
	c.Block(engine.Wait{
		DeadlineMs: wait.deadlineMs,
		Serve:      wait.serve,
		Expire:     func(c *engine.Call) { c.Reply.NullArray() },
		Always:     wait.group != nil,
	}, wait.keys)
}

// serve tries again for a key that changed while the client waited.
func (x *xread) serve(c *engine.Call, key []byte) bool {
	for i, k := range x.keys {
		if string(k) != string(key) {
			continue
		}
		s, err := store.Get[*store.Stream](c.DB, key)
		if x.group != nil && (s == nil || err != nil) {
			c.Fail("UNBLOCKED the stream key no longer exists")
			return true
		}
		if s == nil || err != nil {
			return false
		}
		if x.group != nil && s.Group(x.group) == nil {
			c.Fail("NOGROUP the consumer group this client was blocked on no longer exists")
			return true
		}
		start := len(c.Reply.Buf)
		if x.read(c, i, true) {
			insertXreadHeader(c, start, 1)
			return true
		}
	}
	return false
}

// read replies what stream i has for the client, if it has something, and reports whether.
// Woken goes by the last ID that the stream ever had, as Redis does for a client that waited, so
// that an entry added and deleted in one transaction gives it an empty list.
func (x *xread) read(c *engine.Call, i int, woken bool) bool {
	if x.group != nil {
		return x.readGroup(c, i, woken)
	}
	s, _ := store.Get[*store.Stream](c.DB, x.keys[i])
	if !woken {
		c.Found(x.keys[i], s != nil)
	}
	if s == nil {
		return false
	}
	top := s.Top()
	if woken {
		top = s.Last()
	}
	if !x.ids[i].Less(top) {
		return false
	}
	x.open(c, i)
	from, _ := x.ids[i].Next()
	streamRange(c, s, from, store.MaxStreamID, x.count, false)
	return true
}

// open replies the name of stream i; its entries must follow.
func (x *xread) open(c *engine.Call, i int) {
	if c.Reply.Proto == 2 {
		c.Reply.Array(2)
	}
	c.Reply.Bulk(x.keys[i])
}

func (x *xread) readGroup(c *engine.Call, i int, woken bool) bool {
	s, e, err := store.Edit[*store.Stream](c.DB, x.keys[i])
	if !woken {
		c.Found(x.keys[i], s != nil)
	}
	if s == nil || err != nil {
		return false
	}
	g := s.Group(x.group)
	top := s.Top()
	if woken {
		top = s.Last()
	}
	if x.news[i] && !g.Last.Less(top) {
		return false
	}
	consumer := g.Consumer(x.consumer)
	if consumer == nil {
		consumer = addConsumer(c, e, g, x.consumer)
		if x.noAck {
			c.Replicate([]byte("XGROUP"), []byte("CREATECONSUMER"), x.keys[i], x.group, x.consumer)
		}
	}
	consumer.SeenMs = c.NowMs()
	x.open(c, i)
	if x.news[i] {
		x.handOut(c, s, g, consumer, x.keys[i])
	} else {
		x.history(c, s, consumer, x.ids[i])
	}
	c.ChangedQuietly(e)
	return true
}

// addConsumer makes a consumer of a group.
func addConsumer(c *engine.Call, e *store.Entry, g *store.Group, name []byte) *store.Consumer {
	consumer := g.AddConsumer(name, c.NowMs())
	c.ChangedQuietly(e)
	c.Tell(engine.ClassStream, "xgroup-createconsumer", []byte(e.Key()))
	return consumer
}

// handOut replies entries that nobody in the group was given, and notes who has them now.
func (x *xread) handOut(c *engine.Call, s *store.Stream, g *store.Group, consumer *store.Consumer, key []byte) {
	at, n, moved := len(c.Reply.Buf), int64(0), false
	from, _ := g.Last.Next()
	s.Range(from, store.MaxStreamID, func(entry *store.StreamEntry) bool {
		streamEntry(c, entry)
		s.HandedOut(g, entry.ID)
		moved = true
		if !x.noAck {
			p := g.Deliver(entry.ID, consumer)
			p.DeliveredMs, p.Count = c.NowMs(), 1
			if c.Propagates() {
				replicateClaim(c, key, x.group, g, p, entry.ID.Append(nil))
			}
		}
		n++
		return n != x.count
	})
	insertArrayHeader(c, at, int(n))
	if moved && x.noAck { // else the claims tell
		replicateGroupID(c, key, x.group, g)
	}
}

// history replies what the consumer has been given after an ID and has not acknowledged.
func (x *xread) history(c *engine.Call, s *store.Stream, consumer *store.Consumer, after store.StreamID) {
	at, n := len(c.Reply.Buf), int64(0)
	from, _ := after.Next()
	consumer.Pending().Range(from, store.MaxStreamID, func(p *store.Pending) bool {
		if streamOne(c, s, p.ID) {
			p.DeliveredMs = c.NowMs()
			p.Count++
		} else { // deleted since
			c.Reply.Array(2)
			streamEntryID(c, p.ID)
			c.Reply.NullArray()
		}
		n++
		return n != x.count
	})
	insertArrayHeader(c, at, int(n))
}

// replicateClaim tells who has an entry, in a form that can be repeated without harm.
func replicateClaim(c *engine.Call, key, group []byte, g *store.Group, p *store.Pending, id []byte) {
	c.Replicate([]byte("XCLAIM"), key, group, []byte(p.Owner().Name()), []byte("0"), id,
		[]byte("TIME"), strconv.AppendInt(nil, p.DeliveredMs, 10),
		[]byte("RETRYCOUNT"), strconv.AppendUint(nil, p.Count, 10),
		[]byte("FORCE"), []byte("JUSTID"), []byte("LASTID"), g.Last.Append(nil))
}

// replicateGroupID tells how far a group has read.
func replicateGroupID(c *engine.Call, key, group []byte, g *store.Group) {
	c.Replicate([]byte("XGROUP"), []byte("SETID"), key, group, g.Last.Append(nil),
		[]byte("ENTRIESREAD"), strconv.AppendInt(nil, g.EntriesRead, 10))
}
