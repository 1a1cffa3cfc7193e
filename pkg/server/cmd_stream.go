package server

import (
	"bytes"
	"math"
	"strconv"

	"byor/pkg/store"
)

func init() {
	key := Keys{1, 1, 1}
	sub := Keys{2, 2, 1}
	help := Loading | Stale
	register("stream", []Command{
		{Name: "xadd", Arity: -5, Flags: Write | DenyOOM | Fast, Keys: key, Handler: cmdXadd},
		{Name: "xtrim", Arity: -4, Flags: Write, Keys: key, Handler: cmdXtrim},
		{Name: "xdel", Arity: -3, Flags: Write | Fast, Keys: key, Handler: cmdXdel},
		{Name: "xlen", Arity: 2, Flags: ReadOnly | Fast, Keys: key, Handler: cmdXlen},
		{Name: "xrange", Arity: -4, Flags: ReadOnly, Keys: key, Handler: func(c *Client) { c.xrange(2, 3, false) }},
		{Name: "xrevrange", Arity: -4, Flags: ReadOnly, Keys: key, Handler: func(c *Client) { c.xrange(3, 2, true) }},
		{Name: "xsetid", Arity: -3, Flags: Write | DenyOOM | Fast, Keys: key, Handler: cmdXsetid},
		{Name: "xread", Arity: -4, Flags: ReadOnly | Blocking | MovableKeys, KeysOf: streamKeys, Handler: cmdXread},
		{Name: "xreadgroup", Arity: -7, Flags: Write | Blocking | MovableKeys, KeysOf: streamKeys, Handler: cmdXread},
		{Name: "xack", Arity: -4, Flags: Write | Fast, Keys: key, Handler: cmdXack},
		{Name: "xpending", Arity: -3, Flags: ReadOnly, Keys: key, Handler: cmdXpending},
		{Name: "xclaim", Arity: -6, Flags: Write | Fast, Keys: key, Handler: cmdXclaim},
		{Name: "xautoclaim", Arity: -6, Flags: Write | Fast, Keys: key, Handler: cmdXautoclaim},
		{Name: "xgroup", Arity: -2, Sub: []*Command{
			{Name: "create", Arity: -5, Flags: Write | DenyOOM, Keys: sub, Handler: cmdXgroupCreate},
			{Name: "createconsumer", Arity: 5, Flags: Write | DenyOOM, Keys: sub, Handler: cmdXgroupCreateconsumer},
			{Name: "delconsumer", Arity: 5, Flags: Write, Keys: sub, Handler: cmdXgroupDelconsumer},
			{Name: "destroy", Arity: 4, Flags: Write, Keys: sub, Handler: cmdXgroupDestroy},
			{Name: "help", Arity: 2, Flags: help, Handler: cmdXgroupHelp},
			{Name: "setid", Arity: -5, Flags: Write, Keys: sub, Handler: cmdXgroupSetid},
		}},
		{Name: "xinfo", Arity: -2, Sub: []*Command{
			{Name: "consumers", Arity: 4, Flags: ReadOnly, Keys: sub, Handler: cmdXinfoConsumers},
			{Name: "groups", Arity: 3, Flags: ReadOnly, Keys: sub, Handler: cmdXinfoGroups},
			{Name: "help", Arity: 2, Flags: help, Handler: cmdXinfoHelp},
			{Name: "stream", Arity: -3, Flags: ReadOnly, Keys: sub, Handler: cmdXinfoStream},
		}},
	})
}

const errStreamID = "ERR Invalid stream ID specified as stream command argument"

// streamID parses argument i as an ID, whose missing sequence number is seq.
func (c *Client) streamID(i int, seq uint64) (store.StreamID, bool) {
	id, ok := store.ParseStreamID(c.args[i], seq)
	if !ok {
		c.fail(errStreamID)
	}
	return id, ok
}

// streamIDs parses the arguments from i on as IDs.
func (c *Client) streamIDs(i int) ([]store.StreamID, bool) {
	ids := make([]store.StreamID, 0, len(c.args)-i)
	for ; i < len(c.args); i++ {
		id, ok := c.streamID(i, 0)
		if !ok {
			return nil, false
		}
		ids = append(ids, id)
	}
	return ids, true
}

// edgeID is "-" or "+", the smallest ID and the largest.
func edgeID(b []byte) (store.StreamID, bool) {
	switch quoted(b) {
	case "-":
		return store.StreamID{}, true
	case "+":
		return store.MaxStreamID, true
	}
	return store.StreamID{}, false
}

// rangeStart parses argument i as the start of an interval: an ID, "-", "+", or "(" and an ID.
func (c *Client) rangeStart(i int) (store.StreamID, bool) {
	return c.rangeEdge(i, 0, "ERR invalid start ID for the interval", store.StreamID.Next)
}

// rangeEnd is rangeStart for the end.
func (c *Client) rangeEnd(i int) (store.StreamID, bool) {
	return c.rangeEdge(i, math.MaxUint64, "ERR invalid end ID for the interval", store.StreamID.Prev)
}

func (c *Client) rangeEdge(i int, seq uint64, invalid string, inward func(store.StreamID) (store.StreamID, bool)) (store.StreamID, bool) {
	a := c.args[i]
	if id, ok := edgeID(a); ok {
		return id, true
	}
	exclusive := len(a) > 1 && a[0] == '('
	if exclusive {
		a = a[1:]
	}
	id, ok := store.ParseStreamID(a, seq)
	if !ok {
		c.fail(errStreamID)
		return id, false
	}
	if exclusive {
		if id, ok = inward(id); !ok {
			c.fail(invalid)
		}
	}
	return id, ok
}

// streamEntry replies an entry: its ID and its fields and values.
func (c *Client) streamEntry(e *store.StreamEntry) {
	c.w.Array(2)
	c.streamEntryID(e.ID)
	c.w.Array(2 * e.Len())
	for i := range e.Len() {
		name, value := e.Field(i)
		c.bulkElem(name)
		c.bulkElem(value)
	}
}

func (c *Client) streamEntryID(id store.StreamID) {
	var a [41]byte
	c.w.Bulk(id.Append(a[:0]))
}

// streamRange replies an array of up to count entries, 0 for all.
func (c *Client) streamRange(s *store.Stream, from, to store.StreamID, count int64, reverse bool) {
	at, n := len(c.w.Buf), int64(0)
	walk := s.Range
	if reverse {
		walk = s.RevRange
	}
	walk(from, to, func(e *store.StreamEntry) bool {
		c.streamEntry(e)
		n++
		return n != count
	})
	c.insertArrayHeader(at, int(n))
}

// streamOne replies the entry with this ID and reports whether there is one.
func (c *Client) streamOne(s *store.Stream, id store.StreamID) (found bool) {
	s.Range(id, id, func(e *store.StreamEntry) bool {
		c.streamEntry(e)
		found = true
		return false
	})
	return found
}

// xaddOptions are what XADD and XTRIM say between the key and the ID.
type xaddOptions struct {
	trims   bool
	trim    store.StreamTrim
	trimArg int // where the threshold stands
	idArg   int
	noMake  bool
}

// parseTrim parses MAXLEN or MINID at argument i and returns the index of its last argument.
func (c *Client) parseTrim(o *xaddOptions, i int) (int, bool) {
	if o.trims {
		c.fail("ERR syntax error, MAXLEN and MINID options at the same time are not compatible")
		return i, false
	}
	o.trims, o.trim.ByID = true, c.is(i, "minid")
	i++
	if i+1 < len(c.args) && (quoted(c.args[i]) == "~" || quoted(c.args[i]) == "=") {
		o.trim.Approx = c.args[i][0] == '~'
		i++
	}
	o.trimArg = i
	if o.trim.ByID {
		id, ok := c.streamID(i, 0)
		o.trim.MinID = id
		return i, ok
	}
	n, ok := c.intArg(i)
	if ok && n < 0 {
		c.fail("ERR The MAXLEN argument must be >= 0.")
		ok = false
	}
	o.trim.MaxLen = uint64(n)
	return i, ok
}

// parseXadd parses the options of XADD, up to the ID, or of XTRIM, to the end.
func (c *Client) parseXadd(xadd bool) (o xaddOptions, ok bool) {
	limited := false
	i := 2
	for ; i < len(c.args); i++ {
		more := i+1 < len(c.args)
		switch {
		case xadd && quoted(c.args[i]) == "*":
		case more && (c.is(i, "maxlen") || c.is(i, "minid")):
			if i, ok = c.parseTrim(&o, i); !ok {
				return o, false
			}
			continue
		case more && c.is(i, "limit"):
			i++
			if o.trim.Limit, ok = c.intArg(i); !ok {
				return o, false
			}
			if o.trim.Limit < 0 {
				c.fail("ERR The LIMIT argument must be >= 0.")
				return o, false
			}
			limited = true
			continue
		case xadd && c.is(i, "nomkstream"):
			o.noMake = true
			continue
		case !xadd:
			c.fail(errSyntax)
			return o, false
		}
		break
	}
	o.idArg = i
	if xadd && i < len(c.args) && quoted(c.args[i]) != "*" {
		if _, _, ok = c.xaddID(i); !ok {
			return o, false
		}
	}
	return o, c.checkTrim(&o, xadd, limited)
}

// checkTrim refuses options that do not go together and sets the limit that "~" implies.
func (c *Client) checkTrim(o *xaddOptions, xadd, limited bool) bool {
	switch {
	case o.trim.Limit > 0 && !o.trims:
		c.fail("ERR syntax error, LIMIT cannot be used without specifying a trimming strategy")
	case !xadd && !o.trims:
		c.fail("ERR syntax error, XTRIM must be called with a trimming strategy")
	case c.trusted(): // the arguments were rewritten to what was really removed
		o.trim.Limit = 0
		return true
	case limited && !o.trim.Approx:
		c.fail("ERR syntax error, LIMIT cannot be used without the special ~ option")
	default:
		if o.trim.Approx && !limited {
			o.trim.Limit = 10000 // 100 nodes' worth, so that no command takes long
		}
		return true
	}
	return false
}

// xaddID parses the ID of XADD, whose sequence number may be "*".
func (c *Client) xaddID(i int) (id store.StreamID, anySeq, ok bool) {
	a := cString(c.args[i])
	if ms, found := bytes.CutSuffix(a, []byte("-*")); found && bytes.IndexByte(ms, '-') < 0 {
		id, ok = store.ParseStreamID(ms, 0)
		anySeq = true
	} else {
		id, ok = store.ParseStreamID(a, 0)
	}
	if !ok {
		c.fail(errStreamID)
	}
	return id, anySeq, ok
}

const (
	errIDTooSmall = "ERR The ID specified in XADD is equal or smaller than the target stream top item"
	errTooLarge   = "ERR Elements are too large to be stored"
)

// nextStreamID works out the ID that XADD asks for, or why there is none.
func (c *Client) nextStreamID(idArg int, last store.StreamID) (id store.StreamID, msg string) {
	if quoted(c.args[idArg]) == "*" {
		if now := uint64(c.s.nowMs); now > last.Ms {
			return store.StreamID{Ms: now}, ""
		}
		id, _ = last.Next()
		return id, ""
	}
	id, anySeq, _ := c.xaddID(idArg)
	if anySeq && id.Ms == last.Ms {
		if last.Seq == math.MaxUint64 {
			return id, errTooLarge // no sequence number is left; Redis words it so
		}
		id.Seq = last.Seq + 1
	}
	if !last.Less(id) {
		return id, errIDTooSmall
	}
	return id, ""
}

func cmdXadd(c *Client) {
	o, ok := c.parseXadd(true)
	if !ok {
		return
	}
	fields := c.args[min(o.idArg+1, len(c.args)):]
	if len(fields) < 2 || len(fields)%2 == 1 {
		c.failArity()
		return
	}
	if quoted(c.args[o.idArg]) != "*" {
		if id, anySeq, _ := c.xaddID(o.idArg); id.IsZero() && !anySeq {
			c.fail("ERR The ID specified in XADD must be greater than 0-0")
			return
		}
	}
	s, e, ok := editOrCreate(c, c.args[1], store.NewStream)
	if !ok {
		return
	}
	if e == nil && o.noMake {
		c.w.Null()
		return
	}
	if s.Last() == store.MaxStreamID {
		c.fail("ERR The stream has exhausted the last possible ID, unable to add more items")
		return
	}
	id, msg := c.nextStreamID(o.idArg, s.Last())
	if msg == "" && size(fields) > 1<<30 {
		msg = errTooLarge
	}
	if msg != "" {
		c.fail(msg)
		return
	}
	s.Add(id, fields)
	c.streamEntryID(id)
	if o.trims {
		s.Trim(o.trim)
	}
	c.put(c.args[1], e, s)
	if a := cString(c.args[o.idArg]); a[len(a)-1] == '*' {
		c.replicateTrim(s, o, id.Append(nil))
	} else {
		c.replicateTrim(s, o, nil)
	}
}

func size(fields [][]byte) (n int) {
	for _, f := range fields {
		n += len(f)
	}
	return n
}

// replicateTrim replicates XADD and XTRIM without what could turn out otherwise elsewhere: id takes the
// place of one that was left to the server, if it is not nil, and the exact trim that of an
// approximate one.
func (c *Client) replicateTrim(s *store.Stream, o xaddOptions, id []byte) {
	if !o.trim.Approx && id == nil {
		return
	}
	args := append([][]byte{}, c.args...)
	if id != nil {
		args[o.idArg] = id
	}
	if o.trim.Approx {
		args[o.trimArg-1] = []byte("=")
		if o.trim.ByID {
			args[o.trimArg] = s.Meta().First.Append(nil)
		} else {
			args[o.trimArg] = strconv.AppendUint(nil, s.Meta().Length, 10)
		}
	}
	c.replicate(args...)
}

func cmdXtrim(c *Client) {
	o, ok := c.parseXadd(false)
	if !ok {
		return
	}
	s, e, ok := edit[*store.Stream](c, c.args[1])
	if !ok {
		return
	}
	if e == nil {
		c.w.Int(0)
		return
	}
	n := s.Trim(o.trim)
	if n > 0 {
		c.changed(e)
		c.counts(int(n))
		c.replicateTrim(s, o, nil)
	}
	c.w.Int(n)
}

func cmdXdel(c *Client) {
	s, e, ok := edit[*store.Stream](c, c.args[1])
	if !ok {
		return
	}
	if e == nil {
		c.w.Int(0)
		return
	}
	ids, ok := c.streamIDs(2)
	if !ok {
		return
	}
	n := 0
	for _, id := range ids {
		n += btoi(s.Delete(id))
	}
	if n > 0 {
		c.changed(e)
		c.counts(n)
	}
	c.w.Int(int64(n))
}

func cmdXlen(c *Client) {
	s, ok := fetch[*store.Stream](c, c.args[1])
	if !ok {
		return
	}
	n := 0
	if s != nil {
		n = s.Len()
	}
	c.w.Int(int64(n))
}

// xrange is XRANGE and XREVRANGE.
func (c *Client) xrange(startArg, endArg int, reverse bool) {
	from, ok := c.rangeStart(startArg)
	if !ok {
		return
	}
	to, ok := c.rangeEnd(endArg)
	if !ok {
		return
	}
	count, limited := int64(0), false
	for i := 4; i < len(c.args); i += 2 {
		if i+1 == len(c.args) || !c.is(i, "count") {
			c.fail(errSyntax)
			return
		}
		if count, ok = c.intArg(i + 1); !ok {
			return
		}
		limited = true
	}
	s, ok := fetch[*store.Stream](c, c.args[1])
	switch {
	case !ok:
	case s == nil:
		c.w.Array(0)
	case limited && count <= 0:
		c.w.NullArray()
	default:
		c.streamRange(s, from, to, count, reverse)
	}
}

// parseXsetid parses the arguments of XSETID. counted says whether ENTRIESADDED was given.
func (c *Client) parseXsetid() (m store.StreamMeta, counted, ok bool) {
	if m.Last, ok = c.streamID(2, 0); !ok {
		return m, false, false
	}
	for i := 3; i < len(c.args); i += 2 {
		switch more := i+1 < len(c.args); {
		case more && c.is(i, "entriesadded"):
			n, ok := c.intArg(i + 1)
			if !ok {
				return m, false, false
			}
			if n < 0 {
				c.fail("ERR entries_added must be positive")
				return m, false, false
			}
			m.Added, counted = uint64(n), true
		case more && c.is(i, "maxdeletedid"):
			if m.MaxDeleted, ok = c.streamID(i+1, 0); !ok {
				return m, false, false
			}
			if m.Last.Less(m.MaxDeleted) {
				c.fail("ERR The ID specified in XSETID is smaller than the provided max_deleted_entry_id")
				return m, false, false
			}
		default:
			c.fail(errSyntax)
			return m, false, false
		}
	}
	return m, counted, true
}

func cmdXsetid(c *Client) {
	m, counted, ok := c.parseXsetid()
	if !ok {
		return
	}
	s, e, ok := edit[*store.Stream](c, c.args[1])
	if !ok {
		return
	}
	if e == nil {
		c.fail(errNoKey)
		return
	}
	now := s.Meta()
	switch {
	case now.Length > 0 && m.Last.Less(s.Top()):
		c.fail("ERR The ID specified in XSETID is smaller than the target stream top item")
		return
	case now.Length > 0 && counted && now.Length > m.Added:
		c.fail("ERR The entries_added specified in XSETID is smaller than the target stream length")
		return
	}
	now.Last = m.Last
	if counted {
		now.Added = m.Added
	}
	if !m.MaxDeleted.IsZero() {
		now.MaxDeleted = m.MaxDeleted
	}
	s.SetMeta(now)
	c.changedQuietly(e)
	c.w.OK()
}
