package commands

import (
	"bytes"
	"math"
	"strconv"

	"byor/pkg/engine"
	"byor/pkg/store"
)

func init() {
	key := engine.At(1, 1, 1)
	sub := engine.At(2, 2, 1)
	help := engine.Loading | engine.Stale
	engine.Register("stream", []engine.Command{
		{Name: "xadd", Arity: -5, Flags: engine.Write | engine.DenyOOM | engine.Fast, Keys: key, Handler: cmdXadd},
		{Name: "xtrim", Arity: -4, Flags: engine.Write, Keys: key, Handler: cmdXtrim},
		{Name: "xdel", Arity: -3, Flags: engine.Write | engine.Fast, Keys: key, Handler: cmdXdel},
		{Name: "xlen", Arity: 2, Flags: engine.ReadOnly | engine.Fast, Keys: key, Handler: cmdXlen},
		{Name: "xrange", Arity: -4, Flags: engine.ReadOnly, Keys: key, Handler: func(c *engine.Call) { xrange(c, 2, 3, false) }},
		{Name: "xrevrange", Arity: -4, Flags: engine.ReadOnly, Keys: key, Handler: func(c *engine.Call) { xrange(c, 3, 2, true) }},
		{Name: "xsetid", Arity: -3, Flags: engine.Write | engine.DenyOOM | engine.Fast, Keys: key, Handler: cmdXsetid},
		{Name: "xread", Arity: -4, Flags: engine.ReadOnly | engine.Blocking | engine.MovableKeys, KeysOf: streamKeys, Handler: cmdXread},
		{Name: "xreadgroup", Arity: -7, Flags: engine.Write | engine.Blocking | engine.MovableKeys, KeysOf: streamKeys, Handler: cmdXread},
		{Name: "xack", Arity: -4, Flags: engine.Write | engine.Fast, Keys: key, Handler: cmdXack},
		{Name: "xpending", Arity: -3, Flags: engine.ReadOnly, Keys: key, Handler: cmdXpending},
		{Name: "xclaim", Arity: -6, Flags: engine.Write | engine.Fast, Keys: key, Handler: cmdXclaim},
		{Name: "xautoclaim", Arity: -6, Flags: engine.Write | engine.Fast, Keys: key, Handler: cmdXautoclaim},
		{Name: "xgroup", Arity: -2, Sub: []*engine.Command{
			{Name: "create", Arity: -5, Flags: engine.Write | engine.DenyOOM, Keys: sub, Handler: cmdXgroupCreate},
			{Name: "createconsumer", Arity: 5, Flags: engine.Write | engine.DenyOOM, Keys: sub, Handler: cmdXgroupCreateconsumer},
			{Name: "delconsumer", Arity: 5, Flags: engine.Write, Keys: sub, Handler: cmdXgroupDelconsumer},
			{Name: "destroy", Arity: 4, Flags: engine.Write, Keys: sub, Handler: cmdXgroupDestroy},
			{Name: "help", Arity: 2, Flags: help, Handler: cmdXgroupHelp},
			{Name: "setid", Arity: -5, Flags: engine.Write, Keys: sub, Handler: cmdXgroupSetid},
		}},
		{Name: "xinfo", Arity: -2, Sub: []*engine.Command{
			{Name: "consumers", Arity: 4, Flags: engine.ReadOnly, Keys: sub, Handler: cmdXinfoConsumers},
			{Name: "groups", Arity: 3, Flags: engine.ReadOnly, Keys: sub, Handler: cmdXinfoGroups},
			{Name: "help", Arity: 2, Flags: help, Handler: cmdXinfoHelp},
			{Name: "stream", Arity: -3, Flags: engine.ReadOnly, Keys: sub, Handler: cmdXinfoStream},
		}},
	})
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
func parseTrim(c *engine.Call, o *xaddOptions, i int) (int, bool) {
	if o.trims {
		c.Fail("ERR syntax error, MAXLEN and MINID options at the same time are not compatible")
		return i, false
	}
	o.trims, o.trim.ByID = true, c.Is(i, "minid")
	i++
	if i+1 < len(c.Args) && (engine.Quoted(c.Args[i]) == "~" || engine.Quoted(c.Args[i]) == "=") {
		o.trim.Approx = c.Args[i][0] == '~'
		i++
	}
	o.trimArg = i
	if o.trim.ByID {
		id, ok := streamID(c, i, 0)
		o.trim.MinID = id
		return i, ok
	}
	n, ok := c.IntArg(i)
	if ok && n < 0 {
		c.Fail("ERR The MAXLEN argument must be >= 0.")
		ok = false
	}
	o.trim.MaxLen = uint64(n)
	return i, ok
}

// parseXadd parses the options of XADD, up to the ID, or of XTRIM, to the end.
func parseXadd(c *engine.Call, xadd bool) (o xaddOptions, ok bool) {
	limited := false
	i := 2
	for ; i < len(c.Args); i++ {
		more := i+1 < len(c.Args)
		switch {
		case xadd && engine.Quoted(c.Args[i]) == "*":
		case more && (c.Is(i, "maxlen") || c.Is(i, "minid")):
			if i, ok = parseTrim(c, &o, i); !ok {
				return o, false
			}
			continue
		case more && c.Is(i, "limit"):
			i++
			if o.trim.Limit, ok = c.IntArg(i); !ok {
				return o, false
			}
			if o.trim.Limit < 0 {
				c.Fail("ERR The LIMIT argument must be >= 0.")
				return o, false
			}
			limited = true
			continue
		case xadd && c.Is(i, "nomkstream"):
			o.noMake = true
			continue
		case !xadd:
			c.Fail(engine.ErrSyntax)
			return o, false
		}
		break
	}
	o.idArg = i
	if xadd && i < len(c.Args) && engine.Quoted(c.Args[i]) != "*" {
		if _, _, ok = xaddID(c, i); !ok {
			return o, false
		}
	}
	return o, checkTrim(c, &o, xadd, limited)
}

// checkTrim refuses options that do not go together and sets the limit that "~" implies.
func checkTrim(c *engine.Call, o *xaddOptions, xadd, limited bool) bool {
	switch {
	case o.trim.Limit > 0 && !o.trims:
		c.Fail("ERR syntax error, LIMIT cannot be used without specifying a trimming strategy")
	case !xadd && !o.trims:
		c.Fail("ERR syntax error, XTRIM must be called with a trimming strategy")
	case c.Trusted(): // the arguments were rewritten to what was really removed
		o.trim.Limit = 0
		return true
	case limited && !o.trim.Approx:
		c.Fail("ERR syntax error, LIMIT cannot be used without the special ~ option")
	default:
		if o.trim.Approx && !limited {
			o.trim.Limit = 10000 // 100 nodes' worth, so that no command takes long
		}
		return true
	}
	return false
}

// xaddID parses the ID of XADD, whose sequence number may be "*".
func xaddID(c *engine.Call, i int) (id store.StreamID, anySeq, ok bool) {
	a := engine.CString(c.Args[i])
	if ms, found := bytes.CutSuffix(a, []byte("-*")); found && bytes.IndexByte(ms, '-') < 0 {
		id, ok = store.ParseStreamID(ms, 0)
		anySeq = true
	} else {
		id, ok = store.ParseStreamID(a, 0)
	}
	if !ok {
		c.Fail(errStreamID)
	}
	return id, anySeq, ok
}

const (
	errIDTooSmall = "ERR The ID specified in XADD is equal or smaller than the target stream top item"
	errTooLarge   = "ERR Elements are too large to be stored"
)

// nextStreamID works out the ID that XADD asks for, or why there is none.
func nextStreamID(c *engine.Call, idArg int, last store.StreamID) (id store.StreamID, msg string) {
	if engine.Quoted(c.Args[idArg]) == "*" {
		if now := uint64(c.NowMs()); now > last.Ms {
			return store.StreamID{Ms: now}, ""
		}
		id, _ = last.Next()
		return id, ""
	}
	id, anySeq, _ := xaddID(c, idArg)
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

func cmdXadd(c *engine.Call) {
	o, ok := parseXadd(c, true)
	if !ok {
		return
	}
	fields := c.Args[min(o.idArg+1, len(c.Args)):]
	if len(fields) < 2 || len(fields)%2 == 1 {
		c.FailArity()
		return
	}
	if engine.Quoted(c.Args[o.idArg]) != "*" {
		if id, anySeq, _ := xaddID(c, o.idArg); id.IsZero() && !anySeq {
			c.Fail("ERR The ID specified in XADD must be greater than 0-0")
			return
		}
	}
	s, e, ok := engine.EditOrCreate(c, c.Args[1], store.NewStream)
	if !ok {
		return
	}
	if e == nil && o.noMake {
		c.Reply.Null()
		return
	}
	if s.Last() == store.MaxStreamID {
		c.Fail("ERR The stream has exhausted the last possible ID, unable to add more items")
		return
	}
	id, msg := nextStreamID(c, o.idArg, s.Last())
	if msg == "" && size(fields) > 1<<30 {
		msg = errTooLarge
	}
	if msg != "" {
		c.Fail(msg)
		return
	}
	s.Add(id, fields)
	streamEntryID(c, id)
	trimmed := o.trims && s.Trim(o.trim) > 0
	c.Put(c.Args[1], e, s)
	if trimmed {
		c.Tell(engine.ClassStream, "xtrim", c.Args[1])
	}
	if a := engine.CString(c.Args[o.idArg]); a[len(a)-1] == '*' {
		replicateTrim(c, s, o, id.Append(nil))
	} else {
		replicateTrim(c, s, o, nil)
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
func replicateTrim(c *engine.Call, s *store.Stream, o xaddOptions, id []byte) {
	if !o.trim.Approx && id == nil {
		return
	}
	args := append([][]byte{}, c.Args...)
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
	c.Replicate(args...)
}

func cmdXtrim(c *engine.Call) {
	o, ok := parseXadd(c, false)
	if !ok {
		return
	}
	s, e, ok := engine.Edit[*store.Stream](c, c.Args[1])
	if !ok {
		return
	}
	if e == nil {
		c.Reply.Int(0)
		return
	}
	n := s.Trim(o.trim)
	if n > 0 {
		c.Changed(e)
		c.Counts(int(n))
		replicateTrim(c, s, o, nil)
	}
	c.Reply.Int(n)
}

func cmdXdel(c *engine.Call) {
	s, e, ok := engine.Edit[*store.Stream](c, c.Args[1])
	if !ok {
		return
	}
	if e == nil {
		c.Reply.Int(0)
		return
	}
	ids, ok := streamIDs(c, 2)
	if !ok {
		return
	}
	n := 0
	for _, id := range ids {
		n += btoi(s.Delete(id))
	}
	if n > 0 {
		c.Changed(e)
		c.Counts(n)
	}
	c.Reply.Int(int64(n))
}

func cmdXlen(c *engine.Call) {
	s, ok := engine.Fetch[*store.Stream](c, c.Args[1])
	if !ok {
		return
	}
	n := 0
	if s != nil {
		n = s.Len()
	}
	c.Reply.Int(int64(n))
}

// xrange is XRANGE and XREVRANGE.
func xrange(c *engine.Call, startArg, endArg int, reverse bool) {
	from, ok := rangeStart(c, startArg)
	if !ok {
		return
	}
	to, ok := rangeEnd(c, endArg)
	if !ok {
		return
	}
	count, limited := int64(0), false
	for i := 4; i < len(c.Args); i += 2 {
		if i+1 == len(c.Args) || !c.Is(i, "count") {
			c.Fail(engine.ErrSyntax)
			return
		}
		if count, ok = c.IntArg(i + 1); !ok {
			return
		}
		limited = true
	}
	s, ok := engine.Fetch[*store.Stream](c, c.Args[1])
	switch {
	case !ok:
	case s == nil:
		c.Reply.Array(0)
	case limited && count <= 0:
		c.Reply.NullArray()
	default:
		streamRange(c, s, from, to, count, reverse)
	}
}

// parseXsetid parses the arguments of XSETID. counted says whether ENTRIESADDED was given.
func parseXsetid(c *engine.Call) (m store.StreamMeta, counted, ok bool) {
	if m.Last, ok = streamID(c, 2, 0); !ok {
		return m, false, false
	}
	for i := 3; i < len(c.Args); i += 2 {
		switch more := i+1 < len(c.Args); {
		case more && c.Is(i, "entriesadded"):
			n, ok := c.IntArg(i + 1)
			if !ok {
				return m, false, false
			}
			if n < 0 {
				c.Fail("ERR entries_added must be positive")
				return m, false, false
			}
			m.Added, counted = uint64(n), true
		case more && c.Is(i, "maxdeletedid"):
			if m.MaxDeleted, ok = streamID(c, i+1, 0); !ok {
				return m, false, false
			}
			if m.Last.Less(m.MaxDeleted) {
				c.Fail("ERR The ID specified in XSETID is smaller than the provided max_deleted_entry_id")
				return m, false, false
			}
		default:
			c.Fail(engine.ErrSyntax)
			return m, false, false
		}
	}
	return m, counted, true
}

func cmdXsetid(c *engine.Call) {
	m, counted, ok := parseXsetid(c)
	if !ok {
		return
	}
	s, e, ok := engine.Edit[*store.Stream](c, c.Args[1])
	if !ok {
		return
	}
	if e == nil {
		c.Fail(engine.ErrNoKey)
		return
	}
	now := s.Meta()
	switch {
	case now.Length > 0 && m.Last.Less(s.Top()):
		c.Fail("ERR The ID specified in XSETID is smaller than the target stream top item")
		return
	case now.Length > 0 && counted && now.Length > m.Added:
		c.Fail("ERR The entries_added specified in XSETID is smaller than the target stream length")
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
	c.ChangedQuietly(e)
	c.Tell(engine.ClassStream, "xsetid", c.Args[1])
	c.Reply.OK()
}
