package server

import (
	"math"
	"slices"

	"byor/pkg/store"
)

func init() {
	key, all := Keys{1, 1, 1}, Keys{1, -1, 1}
	register("set", []Command{
		{Name: "sadd", Arity: -3, Flags: Write | DenyOOM | Fast, Keys: key, Handler: cmdSadd},
		{Name: "srem", Arity: -3, Flags: Write | Fast, Keys: key, Handler: cmdSrem},
		{Name: "smove", Arity: 4, Flags: Write | Fast, Keys: Keys{1, 2, 1}, Handler: cmdSmove},
		{Name: "sismember", Arity: 3, Flags: ReadOnly | Fast, Keys: key, Handler: cmdSismember},
		{Name: "smismember", Arity: -3, Flags: ReadOnly | Fast, Keys: key, Handler: cmdSmismember},
		{Name: "scard", Arity: 2, Flags: ReadOnly | Fast, Keys: key, Handler: cmdScard},
		{Name: "smembers", Arity: 2, Flags: ReadOnly, Keys: key, Handler: cmdSmembers},
		{Name: "spop", Arity: -2, Flags: Write | Fast, Keys: key, Handler: cmdSpop},
		{Name: "srandmember", Arity: -2, Flags: ReadOnly, Keys: key, Handler: cmdSrandmember},
		{Name: "sscan", Arity: -3, Flags: ReadOnly, Keys: key, Handler: cmdSscan},
		{Name: "sinter", Arity: -2, Flags: ReadOnly, Keys: all, Handler: cmdSinter},
		{Name: "sunion", Arity: -2, Flags: ReadOnly, Keys: all, Handler: cmdSunion},
		{Name: "sdiff", Arity: -2, Flags: ReadOnly, Keys: all, Handler: cmdSdiff},
		{Name: "sinterstore", Arity: -3, Flags: Write | DenyOOM, Keys: all, Handler: cmdSinterstore},
		{Name: "sunionstore", Arity: -3, Flags: Write | DenyOOM, Keys: all, Handler: cmdSunionstore},
		{Name: "sdiffstore", Arity: -3, Flags: Write | DenyOOM, Keys: all, Handler: cmdSdiffstore},
		{Name: "sintercard", Arity: -3, Flags: ReadOnly | MovableKeys, KeysOf: numKeys(1), Handler: cmdSintercard},
	})
}

func cmdSadd(c *Client) {
	s, e, ok := editOrCreate(c, c.args[1], store.NewSet)
	if !ok {
		return
	}
	n := 0
	for _, m := range c.args[2:] {
		n += btoi(s.Add(m))
	}
	if n > 0 {
		c.put(c.args[1], e, s)
		c.counts(n)
	}
	c.w.Int(int64(n))
}

func cmdSrem(c *Client) {
	s, e, ok := edit[*store.Set](c, c.args[1])
	if !ok {
		return
	}
	n := 0
	if e != nil {
		for _, m := range c.args[2:] {
			n += btoi(s.Remove(m))
		}
		if n > 0 {
			c.removeIfEmpty(e, s.Len())
			c.counts(n)
		}
	}
	c.w.Int(int64(n))
}

func cmdSmove(c *Client) {
	m := c.args[3]
	from, e, ok := edit[*store.Set](c, c.args[1])
	if !ok {
		return
	}
	if e == nil {
		c.w.Int(0)
		return
	}
	to, toEntry, ok := editOrCreate(c, c.args[2], store.NewSet)
	switch {
	case !ok:
	case !from.Contains(m):
		c.w.Int(0)
	case from == to:
		c.w.Int(1)
	default:
		from.Remove(m)
		c.removeIfEmpty(e, from.Len())
		if to.Add(m) {
			c.put(c.args[2], toEntry, to)
		}
		c.w.Int(1)
	}
}

func contains(s *store.Set, m []byte) int64 {
	return int64(btoi(s != nil && s.Contains(m)))
}

func cmdSismember(c *Client) {
	if s, ok := fetch[*store.Set](c, c.args[1]); ok {
		c.w.Int(contains(s, c.args[2]))
	}
}

func cmdSmismember(c *Client) {
	s, ok := fetch[*store.Set](c, c.args[1])
	if !ok {
		return
	}
	c.w.Array(len(c.args) - 2)
	for _, m := range c.args[2:] {
		c.w.Int(contains(s, m))
	}
}

func cmdScard(c *Client) {
	if s, ok := fetch[*store.Set](c, c.args[1]); ok {
		n := 0
		if s != nil {
			n = s.Len()
		}
		c.w.Int(int64(n))
	}
}

func cmdSmembers(c *Client) {
	if s, ok := fetch[*store.Set](c, c.args[1]); ok {
		c.replySet(s)
	}
}

// replySet replies the members of a set that may be nil.
func (c *Client) replySet(s *store.Set) {
	if s == nil {
		c.w.Set(0)
		return
	}
	c.w.Set(s.Len())
	s.Each(func(m []byte) bool { c.w.Bulk(m); return true })
}

func cmdSpop(c *Client) {
	count, ok := 1, true
	if len(c.args) > 3 {
		c.fail(errSyntax)
		return
	}
	counted := len(c.args) == 3
	if counted {
		if count, ok = c.countArg(2); !ok {
			return
		}
	}
	s, e, ok := edit[*store.Set](c, c.args[1])
	switch {
	case !ok:
	case !counted && e == nil:
		c.w.Null()
	case !counted:
		m := slices.Clone(s.Random())
		s.Remove(m)
		c.w.Bulk(m)
		c.removeIfEmpty(e, s.Len())
		c.replicate([]byte("SREM"), c.args[1], m)
	case e == nil || count == 0:
		c.w.Set(0)
	case count >= s.Len():
		c.replySet(s)
		c.removeIfEmpty(e, 0)
		c.counts(s.Len())
		c.replicate([]byte("DEL"), c.args[1])
	default:
		c.spopSome(s, e, count)
	}
}

// spopSome pops count members, fewer than there are, and replicates which they were.
func (c *Client) spopSome(s *store.Set, e *store.Entry, count int) {
	popped := make([][]byte, 0, min(count, s.Len()))
	s.Sample(count, func(m []byte) bool {
		popped = append(popped, slices.Clone(m))
		return true
	})
	c.w.Set(len(popped))
	for _, m := range popped {
		s.Remove(m)
		c.w.Bulk(m)
		c.replicate([]byte("SREM"), c.args[1], m)
	}
	c.removeIfEmpty(e, s.Len())
	c.counts(len(popped))
}

func cmdSrandmember(c *Client) {
	count, ok := 1, true
	if len(c.args) > 3 {
		c.fail(errSyntax)
		return
	}
	if len(c.args) == 3 {
		if count, ok = c.rangeArg(2, -math.MaxInt64, math.MaxInt64, ""); !ok {
			return
		}
	}
	s, ok := fetch[*store.Set](c, c.args[1])
	switch {
	case !ok:
	case len(c.args) == 2 && s == nil:
		c.w.Null()
	case len(c.args) == 2:
		c.w.Bulk(s.Random())
	case s == nil || count == 0:
		c.w.Array(0)
	case count < 0:
		c.w.Array(-count)
		for ; count < 0; count++ {
			c.w.Bulk(s.Random())
		}
	default:
		c.w.Array(min(count, s.Len()))
		s.Sample(count, func(m []byte) bool { c.w.Bulk(m); return true })
	}
}

func cmdSscan(c *Client) {
	s, o, ok := parseScanOf[*store.Set](c)
	if !ok {
		return
	}
	c.scanValue(o, func(fn func(k, v []byte)) uint64 {
		return s.Scan(o.cursor, int(o.count), func(m []byte) { fn(m, nil) })
	})
}

// sets returns the sets at the keys, nil for those that are absent. It replies WRONGTYPE and
// reports false when one is something else.
func (c *Client) sets(keys [][]byte) ([]*store.Set, bool) {
	sets := make([]*store.Set, len(keys))
	for i, key := range keys {
		var ok bool
		if sets[i], ok = fetch[*store.Set](c, key); !ok {
			return nil, false
		}
	}
	return sets, true
}

// eachCommon calls fn for the members that all sets have, until it returns false. It walks
// through the smallest.
func eachCommon(sets []*store.Set, fn func(m []byte) bool) {
	if slices.Contains(sets, nil) {
		return
	}
	slices.SortStableFunc(sets, func(a, b *store.Set) int { return a.Len() - b.Len() })
	sets[0].Each(func(m []byte) bool {
		for _, s := range sets[1:] {
			if !s.Contains(m) {
				return true
			}
		}
		return fn(m)
	})
}

func inter(sets []*store.Set) *store.Set {
	out := store.NewSet()
	eachCommon(sets, func(m []byte) bool { out.Add(m); return true })
	return out
}

func union(sets []*store.Set) *store.Set {
	out := store.NewSet()
	for _, s := range sets {
		if s != nil {
			s.Each(func(m []byte) bool { out.Add(m); return true })
		}
	}
	return out
}

// diff returns the members of the first set that no other has. It asks the others for each member
// of the first, or strikes out the members of the others one by one, whichever looks cheaper.
func diff(sets []*store.Set) *store.Set {
	out := store.NewSet()
	first := sets[0]
	if first == nil {
		return out
	}
	ask, strike := 0, 0
	for _, s := range sets {
		if s != nil {
			ask += first.Len()
			strike += s.Len()
		}
	}
	if ask/2 > strike {
		first.Each(func(m []byte) bool { out.Add(m); return true })
		for _, s := range sets[1:] {
			if s != nil {
				s.Each(func(m []byte) bool { out.Remove(m); return true })
			}
		}
		return out
	}
	first.Each(func(m []byte) bool {
		for _, s := range sets[1:] {
			if s != nil && s.Contains(m) {
				return true
			}
		}
		out.Add(m)
		return true
	})
	return out
}

func (c *Client) setOperation(op func([]*store.Set) *store.Set) {
	if sets, ok := c.sets(c.args[1:]); ok {
		c.replySet(op(sets))
	}
}

// storeOperation stores the result at the key of argument 1, which goes when the result is empty.
func (c *Client) storeOperation(op func([]*store.Set) *store.Set) {
	sets, ok := c.sets(c.args[2:])
	if !ok {
		return
	}
	out := op(sets)
	if out.Len() == 0 {
		c.del(c.args[1])
	} else {
		c.set(c.args[1], out)
	}
	c.w.Int(int64(out.Len()))
}

func cmdSinter(c *Client)      { c.setOperation(inter) }
func cmdSunion(c *Client)      { c.setOperation(union) }
func cmdSdiff(c *Client)       { c.setOperation(diff) }
func cmdSinterstore(c *Client) { c.storeOperation(inter) }
func cmdSunionstore(c *Client) { c.storeOperation(union) }
func cmdSdiffstore(c *Client)  { c.storeOperation(diff) }

func cmdSintercard(c *Client) {
	keys, ok := c.numKeysArg(1, "ERR Number of keys can't be greater than number of args")
	if !ok {
		return
	}
	limit := 0
	for i := 2 + len(keys); i < len(c.args); i += 2 {
		if i+1 >= len(c.args) || !c.is(i, "limit") {
			c.fail(errSyntax)
			return
		}
		if limit, ok = c.rangeArg(i+1, 0, math.MaxInt64, "ERR LIMIT can't be negative"); !ok {
			return
		}
	}
	sets, ok := c.sets(keys)
	if !ok {
		return
	}
	n := 0
	eachCommon(sets, func([]byte) bool { n++; return n != limit })
	c.w.Int(int64(n))
}
