package commands

import (
	"math"

	"byor/pkg/engine"
	"byor/pkg/store"
)

func init() {
	key := engine.At(1, 1, 1)
	engine.Register("sorted-set", []engine.Command{
		{Name: "zadd", Arity: -4, Flags: engine.Write | engine.DenyOOM | engine.Fast, Keys: key, Elem: 3, Handler: cmdZadd},
		{Name: "zincrby", Arity: 4, Flags: engine.Write | engine.DenyOOM | engine.Fast, Keys: key, Elem: 3, Event: "zincr", Handler: cmdZadd},
		{Name: "zrem", Arity: -3, Flags: engine.Write | engine.Fast, Keys: key, Elem: 2, Handler: cmdZrem},
		{Name: "zcard", Arity: 2, Flags: engine.ReadOnly | engine.Fast, Keys: key, Handler: cmdZcard},
		{Name: "zscore", Arity: 3, Flags: engine.ReadOnly | engine.Fast, Keys: key, Elem: 2, Handler: cmdZscore},
		{Name: "zmscore", Arity: -3, Flags: engine.ReadOnly | engine.Fast, Keys: key, Elem: 2, Handler: cmdZmscore},
		{Name: "zrank", Arity: 3, Flags: engine.ReadOnly | engine.Fast, Keys: key, Elem: 2, Handler: cmdZrank},
		{Name: "zrevrank", Arity: 3, Flags: engine.ReadOnly | engine.Fast, Keys: key, Elem: 2, Handler: cmdZrank},
		{Name: "zpopmin", Arity: -2, Flags: engine.Write | engine.Fast, Keys: key, Handler: cmdZpop},
		{Name: "zpopmax", Arity: -2, Flags: engine.Write | engine.Fast, Keys: key, Handler: cmdZpop},
		{Name: "zmpop", Arity: -4, Flags: engine.Write | engine.MovableKeys, KeysOf: engine.NumKeys(1), Handler: cmdZmpop},
		{Name: "bzpopmin", Arity: -3, Flags: engine.Write | engine.NoScript | engine.Blocking | engine.Fast, Keys: engine.At(1, -2, 1), Handler: cmdBzpop},
		{Name: "bzpopmax", Arity: -3, Flags: engine.Write | engine.NoScript | engine.Blocking | engine.Fast, Keys: engine.At(1, -2, 1), Handler: cmdBzpop},
		{Name: "bzmpop", Arity: -5, Flags: engine.Write | engine.Blocking | engine.MovableKeys, KeysOf: engine.NumKeys(2), Handler: cmdBzmpop},
		{Name: "zrandmember", Arity: -2, Flags: engine.ReadOnly, Keys: key, Handler: cmdZrandmember},
		{Name: "zscan", Arity: -3, Flags: engine.ReadOnly, Keys: key, Handler: cmdZscan},
	})
}

// zaddOptions are those of ZADD.
type zaddOptions struct{ nx, xx, ch, incr, gt, lt bool }

// parseZadd parses the options and returns where the first score is.
func parseZadd(c *engine.Call) (o zaddOptions, first int, ok bool) {
	o.incr = c.Cmd.Name == "zincrby"
	first = 2
options:
	for ; first < len(c.Args); first++ {
		switch a := c.Args[first]; {
		case engine.IsWord(a, "nx"):
			o.nx = true
		case engine.IsWord(a, "xx"):
			o.xx = true
		case engine.IsWord(a, "ch"):
			o.ch = true
		case engine.IsWord(a, "incr"):
			o.incr = true
		case engine.IsWord(a, "gt"):
			o.gt = true
		case engine.IsWord(a, "lt"):
			o.lt = true
		default:
			break options
		}
	}
	rest := len(c.Args) - first
	switch {
	case rest == 0 || rest%2 != 0:
		c.Fail(engine.ErrSyntax)
	case o.nx && o.xx:
		c.Fail("ERR XX and NX options at the same time are not compatible")
	case (o.gt || o.lt) && o.nx || o.gt && o.lt:
		c.Fail("ERR GT, LT, and/or NX options at the same time are not compatible")
	case o.incr && rest > 2:
		c.Fail("ERR INCR option supports a single increment-element pair")
	default:
		return o, first, true
	}
	return o, 0, false
}

// cmdZadd is ZADD and ZINCRBY.
func cmdZadd(c *engine.Call) {
	o, first, ok := parseZadd(c)
	if !ok {
		return
	}
	var few [4]float64
	scores := few[:0]
	for i := first; i < len(c.Args); i += 2 {
		f, ok := c.FloatArg(i)
		if !ok {
			return
		}
		scores = append(scores, f)
	}
	z, e, ok := engine.EditOrCreate(c, c.Args[1], store.NewZSet)
	if !ok {
		return
	}
	if e == nil {
		z.ExpectPairs(c.Args[first:], scores)
	}
	added, updated, done, last := 0, 0, false, 0.0
	for i, score := range scores {
		score, result := o.apply(z, c.Args[first+2*i+1], score)
		switch result {
		case zaddNaN:
			c.Fail("ERR resulting score is not a number (NaN)")
			return
		case zaddAdded:
			added++
		case zaddUpdated:
			updated++
		}
		done, last = done || result != zaddSkipped, score
	}
	switch {
	case o.incr && done:
		c.Reply.Double(last)
	case o.incr:
		c.Reply.Null()
	case o.ch:
		c.Reply.Int(int64(added + updated))
	default:
		c.Reply.Int(int64(added))
	}
	if added+updated > 0 {
		if o.incr {
			c.As(engine.ClassZSet, "zincr")
		}
		c.Put(c.Args[1], e, z)
		c.Counts(added + updated)
	}
}

type zaddResult int

const (
	zaddSkipped zaddResult = iota // a condition did not hold
	zaddSame
	zaddUpdated
	zaddAdded
	zaddNaN
)

// apply adds or changes one member as the options say and returns its score.
func (o *zaddOptions) apply(z *store.ZSet, m []byte, score float64) (float64, zaddResult) {
	if *o == (zaddOptions{ch: o.ch}) {
		switch old, had := z.Put(m, score); {
		case !had:
			return score, zaddAdded
		case old != score:
			return score, zaddUpdated
		}
		return score, zaddSame
	}
	old, had := z.Score(m)
	if !had {
		if o.xx {
			return 0, zaddSkipped
		}
		z.Add(m, score)
		return score, zaddAdded
	}
	if o.nx {
		return 0, zaddSkipped
	}
	if o.incr {
		if score += old; math.IsNaN(score) {
			return 0, zaddNaN
		}
	}
	switch {
	case o.lt && score >= old || o.gt && score <= old:
		return 0, zaddSkipped
	case score == old:
		return score, zaddSame
	}
	z.Add(m, score)
	return score, zaddUpdated
}

func cmdZrem(c *engine.Call) {
	z, e, ok := engine.Edit[*store.ZSet](c, c.Args[1])
	if !ok {
		return
	}
	n := 0
	if e != nil {
		for _, m := range c.Args[2:] {
			n += btoi(z.Remove(m))
		}
		if n > 0 {
			c.RemoveIfEmpty(e, z.Len())
			c.Counts(n)
		}
	}
	c.Reply.Int(int64(n))
}

func zlen(z *store.ZSet) int {
	if z == nil {
		return 0
	}
	return z.Len()
}

func cmdZcard(c *engine.Call) {
	if z, ok := engine.Fetch[*store.ZSet](c, c.Args[1]); ok {
		c.Reply.Int(int64(zlen(z)))
	}
}

// scoreOrNull replies the score of a member of a sorted set that may be nil.
func scoreOrNull(c *engine.Call, z *store.ZSet, m []byte) {
	if z != nil {
		if score, ok := z.Score(m); ok {
			c.Reply.Double(score)
			return
		}
	}
	c.Reply.Null()
}

func cmdZscore(c *engine.Call) {
	if z, ok := engine.Fetch[*store.ZSet](c, c.Args[1]); ok {
		scoreOrNull(c, z, c.Args[2])
	}
}

func cmdZmscore(c *engine.Call) {
	z, ok := engine.Fetch[*store.ZSet](c, c.Args[1])
	if !ok {
		return
	}
	c.Reply.Array(len(c.Args) - 2)
	for _, m := range c.Args[2:] {
		scoreOrNull(c, z, m)
	}
}

// cmdZrank is ZRANK and ZREVRANK.
func cmdZrank(c *engine.Call) {
	z, ok := engine.Fetch[*store.ZSet](c, c.Args[1])
	if !ok {
		return
	}
	if z != nil {
		if rank, there := z.Rank(c.Args[2]); there {
			if c.Cmd.Name == "zrevrank" {
				rank = z.Len() - 1 - rank
			}
			c.Reply.Int(int64(rank))
			return
		}
	}
	c.Reply.Null()
}

// scored returns a function that replies a member, and its score if both.
func scored(c *engine.Call, both bool) func(m []byte, score float64) bool {
	return func(m []byte, score float64) bool {
		pair(c, both)
		c.Reply.Bulk(m)
		if both {
			c.Reply.Double(score)
		}
		return true
	}
}

func cmdZrandmember(c *engine.Call) {
	count, with, ok := 1, false, true
	if len(c.Args) > 2 {
		if count, with, ok = randOptions(c, "withscores"); !ok {
			return
		}
	}
	z, ok := engine.Fetch[*store.ZSet](c, c.Args[1])
	emit := scored(c, with)
	switch {
	case !ok:
	case len(c.Args) == 2 && z == nil:
		c.Reply.Null()
	case len(c.Args) == 2:
		z.Sample(1, emit)
	case z == nil || count == 0:
		c.Reply.Array(0)
	case count > 0:
		arrayOfPairs(c, min(count, z.Len()), with)
		z.Sample(count, emit)
	default:
		arrayOfPairs(c, -count, with)
		for ; count < 0; count++ {
			z.Sample(1, emit)
		}
	}
}

func cmdZscan(c *engine.Call) {
	z, o, ok := parseScanOf[*store.ZSet](c)
	if !ok {
		return
	}
	scanValue(c, o, func(fn func(k, v []byte)) uint64 {
		_, packed := z.Listpack()
		var buf [40]byte
		return z.Scan(o.cursor, int(o.count), func(m []byte, score float64) {
			fn(m, appendScanScore(buf[:0], score, packed))
		})
	})
}
