package server

import (
	"math"
	"strconv"

	"byor/pkg/pubsub"
	"byor/pkg/store"
)

func init() {
	key := Keys{1, 1, 1}
	register("hash", []Command{
		{Name: "hset", Arity: -4, Flags: Write | DenyOOM | Fast, Keys: key, Handler: cmdHset},
		{Name: "hmset", Arity: -4, Flags: Write | DenyOOM | Fast, Keys: key, Handler: cmdHset},
		{Name: "hsetnx", Arity: 4, Flags: Write | DenyOOM | Fast, Keys: key, Handler: cmdHsetnx},
		{Name: "hget", Arity: 3, Flags: ReadOnly | Fast, Keys: key, Handler: cmdHget},
		{Name: "hmget", Arity: -3, Flags: ReadOnly | Fast, Keys: key, Handler: cmdHmget},
		{Name: "hdel", Arity: -3, Flags: Write | Fast, Keys: key, Handler: cmdHdel},
		{Name: "hlen", Arity: 2, Flags: ReadOnly | Fast, Keys: key, Handler: cmdHlen},
		{Name: "hstrlen", Arity: 3, Flags: ReadOnly | Fast, Keys: key, Handler: cmdHstrlen},
		{Name: "hexists", Arity: 3, Flags: ReadOnly | Fast, Keys: key, Handler: cmdHexists},
		{Name: "hkeys", Arity: 2, Flags: ReadOnly, Keys: key, Handler: cmdHgetall},
		{Name: "hvals", Arity: 2, Flags: ReadOnly, Keys: key, Handler: cmdHgetall},
		{Name: "hgetall", Arity: 2, Flags: ReadOnly, Keys: key, Handler: cmdHgetall},
		{Name: "hincrby", Arity: 4, Flags: Write | DenyOOM | Fast, Keys: key, Handler: cmdHincrby},
		{Name: "hincrbyfloat", Arity: 4, Flags: Write | DenyOOM | Fast, Keys: key, Handler: cmdHincrbyfloat},
		{Name: "hrandfield", Arity: -2, Flags: ReadOnly, Keys: key, Handler: cmdHrandfield},
		{Name: "hscan", Arity: -3, Flags: ReadOnly, Keys: key, Handler: cmdHscan},
	})
}

// cmdHset is HSET and HMSET.
func cmdHset(c *Client) {
	if len(c.args)%2 == 1 {
		c.failArity()
		return
	}
	h, e, ok := editOrCreate(c, c.args[1], store.NewHash)
	if !ok {
		return
	}
	longest := 0
	for _, a := range c.args[2:] {
		longest = max(longest, len(a))
	}
	h.Expect(longest)
	added := 0
	for i := 2; i < len(c.args); i += 2 {
		added += btoi(h.Set(c.args[i], c.args[i+1]))
	}
	if c.cmd.Name == "hset" {
		c.w.Int(int64(added))
	} else {
		c.w.OK()
	}
	c.put(c.args[1], e, h)
	c.counts(len(c.args)/2 - 1)
}

func cmdHsetnx(c *Client) {
	h, e, ok := editOrCreate(c, c.args[1], store.NewHash)
	if !ok {
		return
	}
	if _, there := h.Get(c.args[2]); there {
		c.w.Int(0)
		return
	}
	h.Set(c.args[2], c.args[3])
	c.put(c.args[1], e, h)
	c.w.Int(1)
}

// field returns a field of a hash that may be nil.
func field(h *store.Hash, f []byte) ([]byte, bool) {
	if h == nil {
		return nil, false
	}
	return h.Get(f)
}

func cmdHget(c *Client) {
	if h, ok := fetch[*store.Hash](c, c.args[1]); ok {
		c.bulkOrNull(field(h, c.args[2]))
	}
}

func (c *Client) bulkOrNull(b []byte, ok bool) {
	if ok {
		c.w.Bulk(b)
	} else {
		c.w.Null()
	}
}

func cmdHmget(c *Client) {
	h, ok := fetch[*store.Hash](c, c.args[1])
	if !ok {
		return
	}
	c.w.Array(len(c.args) - 2)
	for _, f := range c.args[2:] {
		c.bulkOrNull(field(h, f))
	}
}

func cmdHdel(c *Client) {
	h, e, ok := edit[*store.Hash](c, c.args[1])
	if !ok {
		return
	}
	n := 0
	if e != nil {
		for _, f := range c.args[2:] {
			n += btoi(h.Delete(f))
		}
		if n > 0 {
			c.removeIfEmpty(e, h.Len())
			c.counts(n)
		}
	}
	c.w.Int(int64(n))
}

func cmdHlen(c *Client) {
	if h, ok := fetch[*store.Hash](c, c.args[1]); ok {
		n := 0
		if h != nil {
			n = h.Len()
		}
		c.w.Int(int64(n))
	}
}

func cmdHstrlen(c *Client) {
	if h, ok := fetch[*store.Hash](c, c.args[1]); ok {
		v, _ := field(h, c.args[2])
		c.w.Int(int64(len(v)))
	}
}

func cmdHexists(c *Client) {
	if h, ok := fetch[*store.Hash](c, c.args[1]); ok {
		_, there := field(h, c.args[2])
		c.w.Int(int64(btoi(there)))
	}
}

// cmdHgetall is HGETALL, HKEYS and HVALS.
func cmdHgetall(c *Client) {
	h, ok := fetch[*store.Hash](c, c.args[1])
	if !ok {
		return
	}
	n, keys, values := 0, c.cmd.Name != "hvals", c.cmd.Name != "hkeys"
	if h != nil {
		n = h.Len()
	}
	if keys && values {
		c.w.Map(n)
	} else {
		c.w.Array(n)
	}
	if h == nil {
		return
	}
	h.Each(func(f, v []byte) bool {
		if keys {
			c.w.Bulk(f)
		}
		if values {
			c.w.Bulk(v)
		}
		return true
	})
}

func cmdHincrby(c *Client) {
	delta, ok := c.intArg(3)
	if !ok {
		return
	}
	h, e, ok := editOrCreate(c, c.args[1], store.NewHash)
	if !ok {
		return
	}
	n := int64(0)
	if v, there := h.Get(c.args[2]); there {
		if n, ok = parseInt(v); !ok {
			c.fail("ERR hash value is not an integer")
			return
		}
	}
	if delta > 0 && n > math.MaxInt64-delta || delta < 0 && n < math.MinInt64-delta {
		c.fail("ERR increment or decrement would overflow")
		return
	}
	n += delta
	h.Set(c.args[2], strconv.AppendInt(nil, n, 10))
	c.put(c.args[1], e, h)
	c.w.Int(n)
}

func cmdHincrbyfloat(c *Client) {
	delta, ok := parseLongDouble(c.args[3])
	if !ok {
		c.fail(errNotFloat)
		return
	}
	if delta.f.IsInf() {
		c.fail("ERR value is NaN or Infinity")
		return
	}
	h, e, ok := editOrCreate(c, c.args[1], store.NewHash)
	if !ok {
		return
	}
	sum := newLongDouble(0)
	if v, there := h.Get(c.args[2]); there {
		if sum, ok = parseLongDouble(v); !ok {
			c.fail("ERR hash value is not a float")
			return
		}
	}
	if !sum.add(delta) {
		c.fail("ERR increment would produce NaN or Infinity")
		return
	}
	text := sum.format()
	h.Set(c.args[2], text)
	c.put(c.args[1], e, h)
	c.w.Bulk(text)
	c.replicate([]byte("HSET"), c.args[1], c.args[2], text)
}

// randOptions parses "[count [word]]" from argument 2 on, as HRANDFIELD and ZRANDMEMBER have it.
func (c *Client) randOptions(word string) (count int, with, ok bool) {
	if count, ok = c.rangeArg(2, -math.MaxInt64, math.MaxInt64, ""); !ok {
		return 0, false, false
	}
	if len(c.args) > 4 || len(c.args) == 4 && !c.is(3, word) {
		c.fail(errSyntax)
		return 0, false, false
	}
	with = len(c.args) == 4
	if with && (count < -math.MaxInt64/2 || count > math.MaxInt64/2) {
		c.fail("ERR value is out of range")
		return 0, false, false
	}
	return count, with, true
}

// arrayOfPairs opens the reply of n pairs, or of the firsts of n pairs only: in RESP3 a pair is an array
// of its own. pair opens each.
func (c *Client) arrayOfPairs(n int, both bool) {
	if both && c.w.Proto != 3 {
		n *= 2
	}
	c.w.Array(n)
}

func (c *Client) pair(both bool) {
	if both && c.w.Proto == 3 {
		c.w.Array(2)
	}
}

func cmdHrandfield(c *Client) {
	count, with, ok := 1, false, true
	if len(c.args) > 2 {
		if count, with, ok = c.randOptions("withvalues"); !ok {
			return
		}
	}
	h, ok := fetch[*store.Hash](c, c.args[1])
	switch {
	case !ok:
	case len(c.args) == 2 && h == nil:
		c.w.Null()
	case len(c.args) == 2:
		f, _, _ := h.Random()
		c.w.Bulk(f)
	case h == nil || count == 0:
		c.w.Array(0)
	default:
		emit := func(f, v []byte) bool {
			c.pair(with)
			c.w.Bulk(f)
			if with {
				c.w.Bulk(v)
			}
			return true
		}
		if count > 0 {
			c.arrayOfPairs(min(count, h.Len()), with)
			h.Sample(count, emit)
			return
		}
		c.arrayOfPairs(-count, with)
		for ; count < 0; count++ {
			f, v, _ := h.Random()
			emit(f, v)
		}
	}
}

// scanValue replies an HSCAN, SSCAN or ZSCAN: scan is one step over a value that may be absent, and
// calls its function with what stands for an element, a key and perhaps a value.
func (c *Client) scanValue(o scanOptions, scan func(fn func(k, v []byte)) uint64) {
	at, n := len(c.w.Buf), 0
	cursor := scan(func(k, v []byte) {
		if o.match != nil && !pubsub.Match(o.match, k) {
			return
		}
		c.w.Bulk(k)
		n++
		if v != nil {
			c.w.Bulk(v)
			n++
		}
	})
	c.replyScan(at, cursor, n)
}

func cmdHscan(c *Client) {
	h, o, ok := parseScanOf[*store.Hash](c)
	if !ok {
		return
	}
	c.scanValue(o, func(fn func(f, v []byte)) uint64 {
		return h.Scan(o.cursor, int(o.count), fn)
	})
}
