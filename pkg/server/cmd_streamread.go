package server

import (
	"strconv"

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
func (c *Client) parseXread(x *xread) (at int, ok bool) {
	grouped := c.cmd.Name == "xreadgroup"
	for i := 1; i < len(c.args); i++ {
		more := len(c.args) - i - 1
		switch {
		case c.is(i, "block") && more > 0:
			i++
			if x.deadlineMs, ok = c.blockArg(i); !ok {
				return 0, false
			}
			x.blocks = true
		case c.is(i, "count") && more > 0:
			i++
			if x.count, ok = c.intArg(i); !ok {
				return 0, false
			}
			x.count = max(0, x.count)
		case c.is(i, "streams") && more > 0:
			if more%2 != 0 {
				c.fail("ERR Unbalanced XREAD list of streams: for each stream key an ID or '$' must be specified.")
				return 0, false
			}
			if grouped && x.group == nil {
				c.fail("ERR Missing GROUP option for XREADGROUP")
				return 0, false
			}
			return i + 1, true
		case c.is(i, "group") && more >= 2:
			if !grouped {
				c.fail("ERR The GROUP option is only supported by XREADGROUP. You called XREAD instead.")
				return 0, false
			}
			x.group, x.consumer = c.args[i+1], c.args[i+2]
			i += 2
		case c.is(i, "noack"):
			if !grouped {
				c.fail("ERR The NOACK option is only supported by XREADGROUP. You called XREAD instead.")
				return 0, false
			}
			x.noAck = true
		default:
			c.fail(errSyntax)
			return 0, false
		}
	}
	c.fail(errSyntax)
	return 0, false
}

// blockArg parses argument i as a timeout in milliseconds and returns the deadline, 0 for none.
func (c *Client) blockArg(i int) (deadlineMs int64, ok bool) {
	ms, ok := parseInt(c.args[i])
	if !ok {
		c.fail("ERR timeout is not an integer or out of range")
		return 0, false
	}
	if ms < 0 {
		c.fail(errTimeoutNeg)
		return 0, false
	}
	if ms == 0 {
		return 0, true
	}
	return c.s.after(ms), true
}

// resolve parses the ID of stream i at argument arg.
func (x *xread) resolve(c *Client, i, arg int) bool {
	s, ok := fetch[*store.Stream](c, x.keys[i])
	if !ok {
		return false
	}
	if x.group != nil && (s == nil || s.Group(x.group) == nil) {
		c.fail("NOGROUP No such key '" + quoted(x.keys[i]) + "' or consumer group '" + quoted(x.group) + "' in XREADGROUP with GROUP option")
		return false
	}
	switch quoted(c.args[arg]) {
	case "$":
		if x.group != nil {
			c.fail("ERR The $ ID is meaningless in the context of XREADGROUP: you want to read the history of this consumer by specifying a proper ID, or use the > ID to get new messages. The $ ID would just return an empty result set.")
			return false
		}
		if s != nil {
			x.ids[i] = s.Last()
		}
		return true
	case ">":
		if x.group == nil {
			c.fail("ERR The > ID can be specified only when calling XREADGROUP using the GROUP <group> <consumer> option.")
			return false
		}
		x.news[i] = true
		return true
	}
	x.ids[i], ok = c.streamID(arg, 0)
	if x.ids[i] == store.MaxStreamID { // Redis marks ">" by this ID and cannot tell them apart
		x.news[i] = x.group != nil
	}
	return ok
}

func cmdXread(c *Client) {
	var x xread
	at, ok := c.parseXread(&x)
	if !ok {
		return
	}
	n := (len(c.args) - at) / 2
	x.keys, x.ids, x.news = c.args[at:at+n], make([]store.StreamID, n), make([]bool, n)
	for i := range x.keys {
		if !x.resolve(c, i, at+n+i) {
			return
		}
	}
	if x.group != nil {
		c.replicateNothing() // but for what is said below, entry by entry
	}
	start, served := len(c.w.Buf), 0
	for i := range x.keys {
		served += btoi(x.read(c, i, false))
	}
	switch {
	case served > 0:
		c.insertXreadHeader(start, served)
	case x.blocks:
		c.blockXread(&x)
	default:
		c.w.NullArray()
	}
}

// insertXreadHeader opens the reply of n streams that were appended from at on already.
func (c *Client) insertXreadHeader(at, n int) {
	c.insertArrayHeader(at, n)
	if c.w.Proto == 3 {
		c.w.Buf[at] = '%'
	}
}

// blockXread leaves the client waiting.
func (c *Client) blockXread(x *xread) {
	x.keys = copyArgs(x.keys)
	if x.group != nil {
		x.group, x.consumer = append([]byte{}, x.group...), append([]byte{}, x.consumer...)
	}
	if x.count == 0 {
		x.count = xreadBlockedCount
	}
	wait := *x
	c.block(blocking{
		deadlineMs: wait.deadlineMs,
		serve:      wait.serve,
		expire:     func(c *Client) { c.w.NullArray() },
		always:     wait.group != nil,
	}, wait.keys)
}

// serve tries again for a key that changed while the client waited.
func (x *xread) serve(c *Client, key []byte) bool {
	for i, k := range x.keys {
		if string(k) != string(key) {
			continue
		}
		s, err := store.Get[*store.Stream](c.db, key)
		if x.group != nil && (s == nil || err != nil) {
			c.fail("UNBLOCKED the stream key no longer exists")
			return true
		}
		if s == nil || err != nil {
			return false
		}
		if x.group != nil && s.Group(x.group) == nil {
			c.fail("NOGROUP the consumer group this client was blocked on no longer exists")
			return true
		}
		start := len(c.w.Buf)
		if x.read(c, i, true) {
			c.insertXreadHeader(start, 1)
			return true
		}
	}
	return false
}

// read replies what stream i has for the client, if it has something, and reports whether.
// Woken goes by the last ID that the stream ever had, as Redis does for a client that waited, so
// that an entry added and deleted in one transaction gives it an empty list.
func (x *xread) read(c *Client, i int, woken bool) bool {
	if x.group != nil {
		return x.readGroup(c, i, woken)
	}
	s, _ := store.Get[*store.Stream](c.db, x.keys[i])
	if !woken {
		c.found(s != nil)
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
	c.streamRange(s, from, store.MaxStreamID, x.count, false)
	return true
}

// open replies the name of stream i; its entries must follow.
func (x *xread) open(c *Client, i int) {
	if c.w.Proto == 2 {
		c.w.Array(2)
	}
	c.w.Bulk(x.keys[i])
}

func (x *xread) readGroup(c *Client, i int, woken bool) bool {
	s, e, err := store.Edit[*store.Stream](c.db, x.keys[i])
	if !woken {
		c.found(s != nil)
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
		consumer = c.addConsumer(e, g, x.consumer)
		if x.noAck {
			c.replicate([]byte("XGROUP"), []byte("CREATECONSUMER"), x.keys[i], x.group, x.consumer)
		}
	}
	consumer.SeenMs = c.s.nowMs
	x.open(c, i)
	if x.news[i] {
		x.handOut(c, s, g, consumer, x.keys[i])
	} else {
		x.history(c, s, consumer, x.ids[i])
	}
	c.changedQuietly(e)
	return true
}

// addConsumer makes a consumer of a group.
func (c *Client) addConsumer(e *store.Entry, g *store.Group, name []byte) *store.Consumer {
	consumer := g.AddConsumer(name, c.s.nowMs)
	c.changedQuietly(e)
	return consumer
}

// changedQuietly is changed for what happens to a stream's groups, and to what it says of itself: it is
// a change to be saved, but in Redis none that WATCH or waiting clients hear of.
func (c *Client) changedQuietly(e *store.Entry) {
	c.db.Changed(e)
	c.s.dirty++
}

// handOut replies entries that nobody in the group was given, and notes who has them now.
func (x *xread) handOut(c *Client, s *store.Stream, g *store.Group, consumer *store.Consumer, key []byte) {
	at, n, moved := len(c.w.Buf), int64(0), false
	from, _ := g.Last.Next()
	s.Range(from, store.MaxStreamID, func(entry *store.StreamEntry) bool {
		c.streamEntry(entry)
		s.HandedOut(g, entry.ID)
		moved = true
		if !x.noAck {
			p := g.Deliver(entry.ID, consumer)
			p.DeliveredMs, p.Count = c.s.nowMs, 1
			if c.s.propagating() {
				c.replicateClaim(key, x.group, g, p, entry.ID.Append(nil))
			}
		}
		n++
		return n != x.count
	})
	c.insertArrayHeader(at, int(n))
	if moved && x.noAck { // else the claims tell
		c.replicateGroupID(key, x.group, g)
	}
}

// history replies what the consumer has been given after an ID and has not acknowledged.
func (x *xread) history(c *Client, s *store.Stream, consumer *store.Consumer, after store.StreamID) {
	at, n := len(c.w.Buf), int64(0)
	from, _ := after.Next()
	consumer.Pending().Range(from, store.MaxStreamID, func(p *store.Pending) bool {
		if c.streamOne(s, p.ID) {
			p.DeliveredMs = c.s.nowMs
			p.Count++
		} else { // deleted since
			c.w.Array(2)
			c.streamEntryID(p.ID)
			c.w.NullArray()
		}
		n++
		return n != x.count
	})
	c.insertArrayHeader(at, int(n))
}

// replicateClaim tells who has an entry, in a form that can be repeated without harm.
func (c *Client) replicateClaim(key, group []byte, g *store.Group, p *store.Pending, id []byte) {
	c.replicate([]byte("XCLAIM"), key, group, []byte(p.Owner().Name()), []byte("0"), id,
		[]byte("TIME"), strconv.AppendInt(nil, p.DeliveredMs, 10),
		[]byte("RETRYCOUNT"), strconv.AppendUint(nil, p.Count, 10),
		[]byte("FORCE"), []byte("JUSTID"), []byte("LASTID"), g.Last.Append(nil))
}

// replicateGroupID tells how far a group has read.
func (c *Client) replicateGroupID(key, group []byte, g *store.Group) {
	c.replicate([]byte("XGROUP"), []byte("SETID"), key, group, g.Last.Append(nil),
		[]byte("ENTRIESREAD"), strconv.AppendInt(nil, g.EntriesRead, 10))
}
