package commands

import (
	"math"
	"strconv"

	"byor/pkg/engine"
	"byor/pkg/pubsub"
	"byor/pkg/resp"
	"byor/pkg/store"
)

func init() {
	key := engine.At(1, 1, 1)
	engine.Register("hash", []engine.Command{
		{Name: "hset", Arity: -4, Flags: engine.Write | engine.DenyOOM | engine.Fast, Keys: key, Elem: 2, Handler: cmdHset},
		{Name: "hmset", Arity: -4, Flags: engine.Write | engine.DenyOOM | engine.Fast, Keys: key, Elem: 2, Event: "hset", Handler: cmdHset},
		{Name: "hsetnx", Arity: 4, Flags: engine.Write | engine.DenyOOM | engine.Fast, Keys: key, Elem: 2, Event: "hset", Handler: cmdHsetnx},
		{Name: "hget", Arity: 3, Flags: engine.ReadOnly | engine.Fast, Keys: key, Elem: 2, Handler: cmdHget},
		{Name: "hmget", Arity: -3, Flags: engine.ReadOnly | engine.Fast, Keys: key, Elem: 2, Handler: cmdHmget},
		{Name: "hdel", Arity: -3, Flags: engine.Write | engine.Fast, Keys: key, Elem: 2, Handler: cmdHdel},
		{Name: "hlen", Arity: 2, Flags: engine.ReadOnly | engine.Fast, Keys: key, Handler: cmdHlen},
		{Name: "hstrlen", Arity: 3, Flags: engine.ReadOnly | engine.Fast, Keys: key, Elem: 2, Handler: cmdHstrlen},
		{Name: "hexists", Arity: 3, Flags: engine.ReadOnly | engine.Fast, Keys: key, Elem: 2, Handler: cmdHexists},
		{Name: "hkeys", Arity: 2, Flags: engine.ReadOnly, Keys: key, Handler: cmdHgetall},
		{Name: "hvals", Arity: 2, Flags: engine.ReadOnly, Keys: key, Handler: cmdHgetall},
		{Name: "hgetall", Arity: 2, Flags: engine.ReadOnly, Keys: key, Handler: cmdHgetall},
		{Name: "hincrby", Arity: 4, Flags: engine.Write | engine.DenyOOM | engine.Fast, Keys: key, Elem: 2, Handler: cmdHincrby},
		{Name: "hincrbyfloat", Arity: 4, Flags: engine.Write | engine.DenyOOM | engine.Fast, Keys: key, Elem: 2, Handler: cmdHincrbyfloat},
		{Name: "hrandfield", Arity: -2, Flags: engine.ReadOnly, Keys: key, Handler: cmdHrandfield},
		{Name: "hscan", Arity: -3, Flags: engine.ReadOnly, Keys: key, Handler: cmdHscan},
	})
}

// cmdHset is HSET and HMSET.
func cmdHset(c *engine.Call) {
	if len(c.Args)%2 == 1 {
		c.FailArity()
		return
	}
	h, e, ok := engine.EditOrCreate(c, c.Args[1], store.NewHash)
	if !ok {
		return
	}
	h.Expect(c.Args[2:])
	added := 0
	for i := 2; i < len(c.Args); i += 2 {
		added += btoi(h.Set(c.Args[i], c.Args[i+1]))
	}
	if c.Cmd.Name == "hset" {
		c.Reply.Int(int64(added))
	} else {
		c.Reply.OK()
	}
	c.Put(c.Args[1], e, h)
	c.Counts(len(c.Args)/2 - 1)
}

func cmdHsetnx(c *engine.Call) {
	h, e, ok := engine.EditOrCreate(c, c.Args[1], store.NewHash)
	if !ok {
		return
	}
	if _, there := h.Get(c.Args[2]); there {
		c.Reply.Int(0)
		return
	}
	h.Set(c.Args[2], c.Args[3])
	c.Put(c.Args[1], e, h)
	c.Reply.Int(1)
}

// field returns a field of a hash that may be nil.
func field(h *store.Hash, f []byte) ([]byte, bool) {
	if h == nil {
		return nil, false
	}
	return h.Get(f)
}

func cmdHget(c *engine.Call) {
	if h, ok := engine.Fetch[*store.Hash](c, c.Args[1]); ok {
		replyField(c, h, c.Args[2])
	}
}

func replyField(c *engine.Call, h *store.Hash, f []byte) {
	if b, ok := field(h, f); ok {
		c.Reply.Bulk(b)
	} else {
		c.Reply.Null()
	}
}

func cmdHmget(c *engine.Call) {
	h, ok := engine.Fetch[*store.Hash](c, c.Args[1])
	if !ok {
		return
	}
	c.Reply.Array(len(c.Args) - 2)
	for _, f := range c.Args[2:] {
		replyField(c, h, f)
	}
}

func cmdHdel(c *engine.Call) {
	h, e, ok := engine.Edit[*store.Hash](c, c.Args[1])
	if !ok {
		return
	}
	n := 0
	if e != nil {
		for _, f := range c.Args[2:] {
			n += btoi(h.Delete(f))
		}
		if n > 0 {
			c.RemoveIfEmpty(e, h.Len())
			c.Counts(n)
		}
	}
	c.Reply.Int(int64(n))
}

func cmdHlen(c *engine.Call) {
	if h, ok := engine.Fetch[*store.Hash](c, c.Args[1]); ok {
		n := 0
		if h != nil {
			n = h.Len()
		}
		c.Reply.Int(int64(n))
	}
}

func cmdHstrlen(c *engine.Call) {
	if h, ok := engine.Fetch[*store.Hash](c, c.Args[1]); ok {
		v, _ := field(h, c.Args[2])
		c.Reply.Int(int64(len(v)))
	}
}

func cmdHexists(c *engine.Call) {
	if h, ok := engine.Fetch[*store.Hash](c, c.Args[1]); ok {
		_, there := field(h, c.Args[2])
		c.Reply.Int(int64(btoi(there)))
	}
}

// cmdHgetall is HGETALL, HKEYS and HVALS.
func cmdHgetall(c *engine.Call) {
	h, ok := engine.Fetch[*store.Hash](c, c.Args[1])
	if !ok {
		return
	}
	n, keys, values := 0, c.Cmd.Name != "hvals", c.Cmd.Name != "hkeys"
	if h != nil {
		n = h.Len()
	}
	if keys && values {
		c.Reply.Map(n)
	} else {
		c.Reply.Array(n)
	}
	if h == nil {
		return
	}
	h.Each(func(f, v []byte) bool {
		if keys {
			c.Reply.Bulk(f)
		}
		if values {
			c.Reply.Bulk(v)
		}
		return true
	})
}

func cmdHincrby(c *engine.Call) {
	delta, ok := c.IntArg(3)
	if !ok {
		return
	}
	h, e, ok := engine.EditOrCreate(c, c.Args[1], store.NewHash)
	if !ok {
		return
	}
	n := int64(0)
	if v, there := h.Get(c.Args[2]); there {
		if n, ok = resp.ParseInt(v); !ok {
			c.Fail("ERR hash value is not an integer")
			return
		}
	}
	if delta > 0 && n > math.MaxInt64-delta || delta < 0 && n < math.MinInt64-delta {
		c.Fail("ERR increment or decrement would overflow")
		return
	}
	n += delta
	h.Set(c.Args[2], strconv.AppendInt(nil, n, 10))
	c.Put(c.Args[1], e, h)
	c.Reply.Int(n)
}

func cmdHincrbyfloat(c *engine.Call) {
	delta, ok := engine.ParseLongDouble(c.Args[3])
	if !ok {
		c.Fail(engine.ErrNotFloat)
		return
	}
	if delta.IsInf() {
		c.Fail("ERR value is NaN or Infinity")
		return
	}
	h, e, ok := engine.EditOrCreate(c, c.Args[1], store.NewHash)
	if !ok {
		return
	}
	sum := engine.NewLongDouble(0)
	if v, there := h.Get(c.Args[2]); there {
		if sum, ok = engine.ParseLongDouble(v); !ok {
			c.Fail("ERR hash value is not a float")
			return
		}
	}
	if !sum.Add(delta) {
		c.Fail("ERR increment would produce NaN or Infinity")
		return
	}
	text := sum.Format()
	h.Set(c.Args[2], text)
	c.Put(c.Args[1], e, h)
	c.Reply.Bulk(text)
	c.Replicate([]byte("HSET"), c.Args[1], c.Args[2], text)
}

// randOptions parses "[count [word]]" from argument 2 on, as HRANDFIELD and ZRANDMEMBER have it.
func randOptions(c *engine.Call, word string) (count int, with, ok bool) {
	if count, ok = c.RangeArg(2, -math.MaxInt64, math.MaxInt64, ""); !ok {
		return 0, false, false
	}
	if len(c.Args) > 4 || len(c.Args) == 4 && !c.Is(3, word) {
		c.Fail(engine.ErrSyntax)
		return 0, false, false
	}
	with = len(c.Args) == 4
	if with && (count < -math.MaxInt64/2 || count > math.MaxInt64/2) {
		c.Fail("ERR value is out of range")
		return 0, false, false
	}
	return count, with, true
}

// arrayOfPairs opens the reply of n pairs, or of the firsts of n pairs only: in RESP3 a pair is an array
// of its own. pair opens each.
func arrayOfPairs(c *engine.Call, n int, both bool) {
	if both && c.Reply.Proto != 3 {
		n *= 2
	}
	c.Reply.Array(n)
}

func pair(c *engine.Call, both bool) {
	if both && c.Reply.Proto == 3 {
		c.Reply.Array(2)
	}
}

func cmdHrandfield(c *engine.Call) {
	count, with, ok := 1, false, true
	if len(c.Args) > 2 {
		if count, with, ok = randOptions(c, "withvalues"); !ok {
			return
		}
	}
	h, ok := engine.Fetch[*store.Hash](c, c.Args[1])
	switch {
	case !ok:
	case len(c.Args) == 2 && h == nil:
		c.Reply.Null()
	case len(c.Args) == 2:
		f, _, _ := h.Random()
		c.Reply.Bulk(f)
	case h == nil || count == 0:
		c.Reply.Array(0)
	default:
		emit := func(f, v []byte) bool {
			pair(c, with)
			c.Reply.Bulk(f)
			if with {
				c.Reply.Bulk(v)
			}
			return true
		}
		if count > 0 {
			arrayOfPairs(c, min(count, h.Len()), with)
			h.Sample(count, emit)
			return
		}
		arrayOfPairs(c, -count, with)
		for ; count < 0; count++ {
			f, v, _ := h.Random()
			emit(f, v)
		}
	}
}

// scanValue replies an HSCAN, SSCAN or ZSCAN: scan is one step over a value that may be absent, and
// calls its function with what stands for an element, a key and perhaps a value.
func scanValue(c *engine.Call, o scanOptions, scan func(fn func(k, v []byte)) uint64) {
	at, n := len(c.Reply.Buf), 0
	cursor := scan(func(k, v []byte) {
		if o.match != nil && !pubsub.Match(o.match, k) {
			return
		}
		c.Reply.Bulk(k)
		n++
		if v != nil {
			c.Reply.Bulk(v)
			n++
		}
	})
	replyScan(c, at, cursor, n)
}

func cmdHscan(c *engine.Call) {
	h, o, ok := parseScanOf[*store.Hash](c)
	if !ok {
		return
	}
	scanValue(c, o, func(fn func(f, v []byte)) uint64 {
		return h.Scan(o.cursor, int(o.count), fn)
	})
}
