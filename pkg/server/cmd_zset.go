package server

import (
	"math"

	"byor/pkg/store"
)

func init() {
	key := Keys{1, 1, 1}
	register("sorted-set", []Command{
		{Name: "zadd", Arity: -4, Flags: Write | DenyOOM | Fast, Keys: key, Handler: cmdZadd},
		{Name: "zincrby", Arity: 4, Flags: Write | DenyOOM | Fast, Keys: key, Handler: cmdZadd},
		{Name: "zrem", Arity: -3, Flags: Write | Fast, Keys: key, Handler: cmdZrem},
		{Name: "zcard", Arity: 2, Flags: ReadOnly | Fast, Keys: key, Handler: cmdZcard},
		{Name: "zscore", Arity: 3, Flags: ReadOnly | Fast, Keys: key, Handler: cmdZscore},
		{Name: "zmscore", Arity: -3, Flags: ReadOnly | Fast, Keys: key, Handler: cmdZmscore},
		{Name: "zrank", Arity: 3, Flags: ReadOnly | Fast, Keys: key, Handler: cmdZrank},
		{Name: "zrevrank", Arity: 3, Flags: ReadOnly | Fast, Keys: key, Handler: cmdZrank},
		{Name: "zpopmin", Arity: -2, Flags: Write | Fast, Keys: key, Handler: cmdZpop},
		{Name: "zpopmax", Arity: -2, Flags: Write | Fast, Keys: key, Handler: cmdZpop},
		{Name: "zmpop", Arity: -4, Flags: Write | MovableKeys, KeysOf: numKeys(1), Handler: cmdZmpop},
		{Name: "bzpopmin", Arity: -3, Flags: Write | NoScript | Blocking | Fast, Keys: Keys{1, -2, 1}, Handler: cmdBzpop},
		{Name: "bzpopmax", Arity: -3, Flags: Write | NoScript | Blocking | Fast, Keys: Keys{1, -2, 1}, Handler: cmdBzpop},
		{Name: "bzmpop", Arity: -5, Flags: Write | Blocking | MovableKeys, KeysOf: numKeys(2), Handler: cmdBzmpop},
		{Name: "zrandmember", Arity: -2, Flags: ReadOnly, Keys: key, Handler: cmdZrandmember},
		{Name: "zscan", Arity: -3, Flags: ReadOnly, Keys: key, Handler: cmdZscan},
	})
}

// zaddOptions are those of ZADD.
type zaddOptions struct{ nx, xx, ch, incr, gt, lt bool }

// parseZadd parses the options and returns where the first score is.
func (c *Client) parseZadd() (o zaddOptions, first int, ok bool) {
	o.incr = c.cmd.Name == "zincrby"
	first = 2
options:
	for ; first < len(c.args); first++ {
		switch a := c.args[first]; {
		case isWord(a, "nx"):
			o.nx = true
		case isWord(a, "xx"):
			o.xx = true
		case isWord(a, "ch"):
			o.ch = true
		case isWord(a, "incr"):
			o.incr = true
		case isWord(a, "gt"):
			o.gt = true
		case isWord(a, "lt"):
			o.lt = true
		default:
			break options
		}
	}
	rest := len(c.args) - first
	switch {
	case rest == 0 || rest%2 != 0:
		c.fail(errSyntax)
	case o.nx && o.xx:
		c.fail("ERR XX and NX options at the same time are not compatible")
	case (o.gt || o.lt) && o.nx || o.gt && o.lt:
		c.fail("ERR GT, LT, and/or NX options at the same time are not compatible")
	case o.incr && rest > 2:
		c.fail("ERR INCR option supports a single increment-element pair")
	default:
		return o, first, true
	}
	return o, 0, false
}

// cmdZadd is ZADD and ZINCRBY.
func cmdZadd(c *Client) {
	o, first, ok := c.parseZadd()
	if !ok {
		return
	}
	var few [4]float64
	scores := few[:0]
	for i := first; i < len(c.args); i += 2 {
		f, ok := c.floatArg(i)
		if !ok {
			return
		}
		scores = append(scores, f)
	}
	z, e, ok := editOrCreate(c, c.args[1], store.NewZSet)
	if !ok {
		return
	}
	added, updated, done, last := 0, 0, false, 0.0
	for i, score := range scores {
		score, result := o.apply(z, c.args[first+2*i+1], score)
		switch result {
		case zaddNaN:
			c.fail("ERR resulting score is not a number (NaN)")
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
		c.w.Double(last)
	case o.incr:
		c.w.Null()
	case o.ch:
		c.w.Int(int64(added + updated))
	default:
		c.w.Int(int64(added))
	}
	if added+updated > 0 {
		c.put(c.args[1], e, z)
		c.counts(added + updated)
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

func cmdZrem(c *Client) {
	z, e, ok := edit[*store.ZSet](c, c.args[1])
	if !ok {
		return
	}
	n := 0
	if e != nil {
		for _, m := range c.args[2:] {
			n += btoi(z.Remove(m))
		}
		if n > 0 {
			c.removeIfEmpty(e, z.Len())
			c.counts(n)
		}
	}
	c.w.Int(int64(n))
}

func zlen(z *store.ZSet) int {
	if z == nil {
		return 0
	}
	return z.Len()
}

func cmdZcard(c *Client) {
	if z, ok := fetch[*store.ZSet](c, c.args[1]); ok {
		c.w.Int(int64(zlen(z)))
	}
}

// scoreOrNull replies the score of a member of a sorted set that may be nil.
func (c *Client) scoreOrNull(z *store.ZSet, m []byte) {
	if z != nil {
		if score, ok := z.Score(m); ok {
			c.w.Double(score)
			return
		}
	}
	c.w.Null()
}

func cmdZscore(c *Client) {
	if z, ok := fetch[*store.ZSet](c, c.args[1]); ok {
		c.scoreOrNull(z, c.args[2])
	}
}

func cmdZmscore(c *Client) {
	z, ok := fetch[*store.ZSet](c, c.args[1])
	if !ok {
		return
	}
	c.w.Array(len(c.args) - 2)
	for _, m := range c.args[2:] {
		c.scoreOrNull(z, m)
	}
}

// cmdZrank is ZRANK and ZREVRANK.
func cmdZrank(c *Client) {
	z, ok := fetch[*store.ZSet](c, c.args[1])
	if !ok {
		return
	}
	if z != nil {
		if rank, there := z.Rank(c.args[2]); there {
			if c.cmd.Name == "zrevrank" {
				rank = z.Len() - 1 - rank
			}
			c.w.Int(int64(rank))
			return
		}
	}
	c.w.Null()
}

// scored returns a function that replies a member, and its score if both.
func (c *Client) scored(both bool) func(m []byte, score float64) bool {
	return func(m []byte, score float64) bool {
		c.pair(both)
		c.w.Bulk(m)
		if both {
			c.w.Double(score)
		}
		return true
	}
}

func cmdZrandmember(c *Client) {
	count, with, ok := 1, false, true
	if len(c.args) > 2 {
		if count, with, ok = c.randOptions("withscores"); !ok {
			return
		}
	}
	z, ok := fetch[*store.ZSet](c, c.args[1])
	emit := c.scored(with)
	switch {
	case !ok:
	case len(c.args) == 2 && z == nil:
		c.w.Null()
	case len(c.args) == 2:
		z.Sample(1, emit)
	case z == nil || count == 0:
		c.w.Array(0)
	case count > 0:
		c.arrayOfPairs(min(count, z.Len()), with)
		z.Sample(count, emit)
	default:
		c.arrayOfPairs(-count, with)
		for ; count < 0; count++ {
			z.Sample(1, emit)
		}
	}
}

func cmdZscan(c *Client) {
	z, o, ok := parseScanOf[*store.ZSet](c)
	if !ok {
		return
	}
	c.scanValue(o, func(fn func(k, v []byte)) uint64 {
		_, packed := z.Listpack()
		var buf [40]byte
		return z.Scan(o.cursor, int(o.count), func(m []byte, score float64) {
			fn(m, appendScanScore(buf[:0], score, packed))
		})
	})
}
