package commands

import (
	"math"
	"slices"

	"byor/pkg/engine"
	"byor/pkg/store"
)

func init() {
	key, all := engine.At(1, 1, 1), engine.At(1, -1, 1)
	engine.Register("set", []engine.Command{
		{Name: "sadd", Arity: -3, Flags: engine.Write | engine.DenyOOM | engine.Fast, Keys: key, Elem: 2, Handler: cmdSadd},
		{Name: "srem", Arity: -3, Flags: engine.Write | engine.Fast, Keys: key, Elem: 2, Handler: cmdSrem},
		{Name: "smove", Arity: 4, Flags: engine.Write | engine.Fast, Keys: engine.At(1, 2, 1), Handler: cmdSmove},
		{Name: "sismember", Arity: 3, Flags: engine.ReadOnly | engine.Fast, Keys: key, Elem: 2, Handler: cmdSismember},
		{Name: "smismember", Arity: -3, Flags: engine.ReadOnly | engine.Fast, Keys: key, Elem: 2, Handler: cmdSmismember},
		{Name: "scard", Arity: 2, Flags: engine.ReadOnly | engine.Fast, Keys: key, Handler: cmdScard},
		{Name: "smembers", Arity: 2, Flags: engine.ReadOnly, Keys: key, Handler: cmdSmembers},
		{Name: "spop", Arity: -2, Flags: engine.Write | engine.Fast, Keys: key, Handler: cmdSpop},
		{Name: "srandmember", Arity: -2, Flags: engine.ReadOnly, Keys: key, Handler: cmdSrandmember},
		{Name: "sscan", Arity: -3, Flags: engine.ReadOnly, Keys: key, Handler: cmdSscan},
		{Name: "sinter", Arity: -2, Flags: engine.ReadOnly, Keys: all, Handler: cmdSinter},
		{Name: "sunion", Arity: -2, Flags: engine.ReadOnly, Keys: all, Handler: cmdSunion},
		{Name: "sdiff", Arity: -2, Flags: engine.ReadOnly, Keys: all, Handler: cmdSdiff},
		{Name: "sinterstore", Arity: -3, Flags: engine.Write | engine.DenyOOM, Keys: all, Handler: cmdSinterstore},
		{Name: "sunionstore", Arity: -3, Flags: engine.Write | engine.DenyOOM, Keys: all, Handler: cmdSunionstore},
		{Name: "sdiffstore", Arity: -3, Flags: engine.Write | engine.DenyOOM, Keys: all, Handler: cmdSdiffstore},
		{Name: "sintercard", Arity: -3, Flags: engine.ReadOnly | engine.MovableKeys, KeysOf: engine.NumKeys(1), Handler: cmdSintercard},
	})
}

func cmdSadd(c *engine.Call) {
	s, e, ok := engine.EditOrCreate(c, c.Args[1], store.NewSet)
	if !ok {
		return
	}
	n := 0
	for _, m := range c.Args[2:] {
		n += btoi(s.Add(m))
	}
	if n > 0 {
		c.Put(c.Args[1], e, s)
		c.Counts(n)
	}
	c.Reply.Int(int64(n))
}

func cmdSrem(c *engine.Call) {
	s, e, ok := engine.Edit[*store.Set](c, c.Args[1])
	if !ok {
		return
	}
	n := 0
	if e != nil {
		for _, m := range c.Args[2:] {
			n += btoi(s.Remove(m))
		}
		if n > 0 {
			c.RemoveIfEmpty(e, s.Len())
			c.Counts(n)
		}
	}
	c.Reply.Int(int64(n))
}

func cmdSmove(c *engine.Call) {
	m := c.Args[3]
	from, e, ok := engine.Edit[*store.Set](c, c.Args[1])
	if !ok {
		return
	}
	if e == nil {
		c.Reply.Int(0)
		return
	}
	to, toEntry, ok := engine.EditOrCreate(c, c.Args[2], store.NewSet)
	switch {
	case !ok:
	case !from.Contains(m):
		c.Reply.Int(0)
	case from == to:
		c.Reply.Int(1)
	default:
		from.Remove(m)
		c.As(engine.ClassSet, "srem").RemoveIfEmpty(e, from.Len())
		if to.Add(m) {
			c.As(engine.ClassSet, "sadd").Put(c.Args[2], toEntry, to)
		}
		c.Reply.Int(1)
	}
}

func contains(s *store.Set, m []byte) int64 {
	return int64(btoi(s != nil && s.Contains(m)))
}

func cmdSismember(c *engine.Call) {
	if s, ok := engine.Fetch[*store.Set](c, c.Args[1]); ok {
		c.Reply.Int(contains(s, c.Args[2]))
	}
}

func cmdSmismember(c *engine.Call) {
	s, ok := engine.Fetch[*store.Set](c, c.Args[1])
	if !ok {
		return
	}
	c.Reply.Array(len(c.Args) - 2)
	for _, m := range c.Args[2:] {
		c.Reply.Int(contains(s, m))
	}
}

func cmdScard(c *engine.Call) {
	if s, ok := engine.Fetch[*store.Set](c, c.Args[1]); ok {
		n := 0
		if s != nil {
			n = s.Len()
		}
		c.Reply.Int(int64(n))
	}
}

func cmdSmembers(c *engine.Call) {
	if s, ok := engine.Fetch[*store.Set](c, c.Args[1]); ok {
		replySet(c, s)
	}
}

// replySet replies the members of a set that may be nil.
func replySet(c *engine.Call, s *store.Set) {
	if s == nil {
		c.Reply.Set(0)
		return
	}
	c.Reply.Set(s.Len())
	s.Each(func(m []byte) bool { c.Reply.Bulk(m); return true })
}

// wordSrem is what a SPOP is to a log.
var wordSrem = []byte("SREM")

func cmdSpop(c *engine.Call) {
	count, ok := 1, true
	if len(c.Args) > 3 {
		c.Fail(engine.ErrSyntax)
		return
	}
	counted := len(c.Args) == 3
	if counted {
		if count, ok = c.CountArg(2); !ok {
			return
		}
	}
	s, e, ok := engine.Edit[*store.Set](c, c.Args[1])
	switch {
	case !ok:
	case !counted && e == nil:
		c.Reply.Null()
	case !counted:
		m := s.Random() // which is copied twice before it goes
		c.Reply.Bulk(m)
		c.Replicate(wordSrem, c.Args[1], m)
		s.Remove(m)
		c.RemoveIfEmpty(e, s.Len())
	case e == nil || count == 0:
		c.Reply.Set(0)
	case count >= s.Len():
		replySet(c, s)
		c.RemoveIfEmpty(e, 0)
		c.Counts(s.Len())
		c.Replicate([]byte("DEL"), c.Args[1])
	default:
		spopSome(c, s, e, count)
	}
}

// spopSome pops count members, fewer than there are, and replicates which they were.
func spopSome(c *engine.Call, s *store.Set, e *store.Entry, count int) {
	popped := make([][]byte, 0, min(count, s.Len()))
	s.Sample(count, func(m []byte) bool {
		popped = append(popped, slices.Clone(m))
		return true
	})
	c.Reply.Set(len(popped))
	for _, m := range popped {
		s.Remove(m)
		c.Reply.Bulk(m)
		c.Replicate(wordSrem, c.Args[1], m)
	}
	c.RemoveIfEmpty(e, s.Len())
	c.Counts(len(popped))
}

func cmdSrandmember(c *engine.Call) {
	count, ok := 1, true
	if len(c.Args) > 3 {
		c.Fail(engine.ErrSyntax)
		return
	}
	if len(c.Args) == 3 {
		if count, ok = c.RangeArg(2, -math.MaxInt64, math.MaxInt64, ""); !ok {
			return
		}
	}
	s, ok := engine.Fetch[*store.Set](c, c.Args[1])
	switch {
	case !ok:
	case len(c.Args) == 2 && s == nil:
		c.Reply.Null()
	case len(c.Args) == 2:
		c.Reply.Bulk(s.Random())
	case s == nil || count == 0:
		c.Reply.Array(0)
	case count < 0:
		c.Reply.Array(-count)
		for ; count < 0; count++ {
			c.Reply.Bulk(s.Random())
		}
	default:
		c.Reply.Array(min(count, s.Len()))
		s.Sample(count, func(m []byte) bool { c.Reply.Bulk(m); return true })
	}
}

func cmdSscan(c *engine.Call) {
	s, o, ok := parseScanOf[*store.Set](c)
	if !ok {
		return
	}
	scanValue(c, o, func(fn func(k, v []byte)) uint64 {
		return s.Scan(o.cursor, int(o.count), func(m []byte) { fn(m, nil) })
	})
}

// sets returns the sets at the keys, nil for those that are absent. It replies WRONGTYPE and
// reports false when one is something else.
func sets(c *engine.Call, keys [][]byte) ([]*store.Set, bool) {
	sets := make([]*store.Set, len(keys))
	for i, key := range keys {
		var ok bool
		if sets[i], ok = engine.Fetch[*store.Set](c, key); !ok {
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

func setOperation(c *engine.Call, op func([]*store.Set) *store.Set) {
	if sets, ok := sets(c, c.Args[1:]); ok {
		replySet(c, op(sets))
	}
}

// storeOperation stores the result at the key of argument 1, which goes when the result is empty.
func storeOperation(c *engine.Call, op func([]*store.Set) *store.Set) {
	sets, ok := sets(c, c.Args[2:])
	if !ok {
		return
	}
	out := op(sets)
	if out.Len() == 0 {
		c.Del(c.Args[1])
	} else {
		c.Set(c.Args[1], out)
	}
	c.Reply.Int(int64(out.Len()))
}

func cmdSinter(c *engine.Call)      { setOperation(c, inter) }
func cmdSunion(c *engine.Call)      { setOperation(c, union) }
func cmdSdiff(c *engine.Call)       { setOperation(c, diff) }
func cmdSinterstore(c *engine.Call) { storeOperation(c, inter) }
func cmdSunionstore(c *engine.Call) { storeOperation(c, union) }
func cmdSdiffstore(c *engine.Call)  { storeOperation(c, diff) }

func cmdSintercard(c *engine.Call) {
	keys, ok := c.NumKeysArg(1, "ERR Number of keys can't be greater than number of args")
	if !ok {
		return
	}
	limit, ok := limitOption(c, 2+len(keys))
	if !ok {
		return
	}
	sets, ok := sets(c, keys)
	if !ok {
		return
	}
	n := 0
	eachCommon(sets, func([]byte) bool { n++; return n != limit })
	c.Reply.Int(int64(n))
}
