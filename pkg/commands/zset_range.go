package commands

import (
	"math"

	"byor/pkg/engine"
	"byor/pkg/store"
)

func init() {
	key := engine.At(1, 1, 1)
	engine.Register("sorted-set", []engine.Command{
		{Name: "zrange", Arity: -4, Flags: engine.ReadOnly, Keys: key, Handler: zrangeCmd(false, byAny, dirAny)},
		{Name: "zrangestore", Arity: -5, Flags: engine.Write | engine.DenyOOM, Keys: engine.At(1, 2, 1), Handler: zrangeCmd(true, byAny, dirAny)},
		{Name: "zrevrange", Arity: -4, Flags: engine.ReadOnly, Keys: key, Handler: zrangeCmd(false, byRank, dirReverse)},
		{Name: "zrangebyscore", Arity: -4, Flags: engine.ReadOnly, Keys: key, Handler: zrangeCmd(false, byScore, dirForward)},
		{Name: "zrevrangebyscore", Arity: -4, Flags: engine.ReadOnly, Keys: key, Handler: zrangeCmd(false, byScore, dirReverse)},
		{Name: "zrangebylex", Arity: -4, Flags: engine.ReadOnly, Keys: key, Handler: zrangeCmd(false, byLex, dirForward)},
		{Name: "zrevrangebylex", Arity: -4, Flags: engine.ReadOnly, Keys: key, Handler: zrangeCmd(false, byLex, dirReverse)},
		{Name: "zcount", Arity: 4, Flags: engine.ReadOnly | engine.Fast, Keys: key, Handler: func(c *engine.Call) { zcount(c, byScore) }},
		{Name: "zlexcount", Arity: 4, Flags: engine.ReadOnly | engine.Fast, Keys: key, Handler: func(c *engine.Call) { zcount(c, byLex) }},
		{Name: "zremrangebyrank", Arity: 4, Flags: engine.Write, Keys: key, Handler: func(c *engine.Call) { zremrange(c, byRank) }},
		{Name: "zremrangebyscore", Arity: 4, Flags: engine.Write, Keys: key, Handler: func(c *engine.Call) { zremrange(c, byScore) }},
		{Name: "zremrangebylex", Arity: 4, Flags: engine.Write, Keys: key, Handler: func(c *engine.Call) { zremrange(c, byLex) }},
	})
}

const (
	errScoreRange = "ERR min or max is not a float"
	errLexRange   = "ERR min or max not valid string range item"
)

// zby is what a range goes by.
type zby int

const (
	byAny zby = iota // as the options say, else by rank
	byRank
	byScore
	byLex
)

type zdir int

const (
	dirAny zdir = iota // as the options say, else forward
	dirForward
	dirReverse
)

// zrange is a parsed range, of one of the three kinds.
type zrange struct {
	by          zby
	start, stop int64
	score       store.ScoreRange
	lex         store.LexRange
}

// parseZrange parses the ends of a range, arguments lo and hi.
func parseZrange(c *engine.Call, by zby, lo, hi int) (r zrange, ok bool) {
	r.by = by
	switch by {
	case byScore:
		var okMin, okMax bool
		r.score.Min, r.score.MinEx, okMin = parseScoreBound(c.Args[lo])
		r.score.Max, r.score.MaxEx, okMax = parseScoreBound(c.Args[hi])
		if ok = okMin && okMax; !ok {
			c.Fail(errScoreRange)
		}
	case byLex:
		var okMin, okMax bool
		r.lex.Min, okMin = parseLexBound(c.Args[lo])
		r.lex.Max, okMax = parseLexBound(c.Args[hi])
		if ok = okMin && okMax; !ok {
			c.Fail(errLexRange)
		}
	default:
		if r.start, ok = c.IntArg(lo); ok {
			r.stop, ok = c.IntArg(hi)
		}
	}
	return r, ok
}

// parseScoreBound parses "1.5", "(1.5", "inf". An empty number is 0, as for C's strtod, and a NUL
// ends it.
func parseScoreBound(b []byte) (f float64, ex, ok bool) {
	s := string(engine.CString(b))
	if s != "" && s[0] == '(' {
		s, ex = s[1:], true
	}
	f, n, _ := engine.Strtod(s)
	return f, ex, n == len(s) && !math.IsNaN(f)
}

// parseLexBound parses "[member", "(member", "-" or "+".
func parseLexBound(b []byte) (store.LexBound, bool) {
	switch {
	case engine.Quoted(b) == "-":
		return store.LexBound{Inf: -1}, true
	case engine.Quoted(b) == "+":
		return store.LexBound{Inf: 1}, true
	case len(b) > 0 && (b[0] == '[' || b[0] == '('):
		return store.LexBound{Member: b[1:], Ex: b[0] == '('}, true
	}
	return store.LexBound{}, false
}

// ranks returns the ranks of the members in the range, from lo up to and without hi.
func (r *zrange) ranks(z *store.ZSet) (lo, hi int) {
	switch r.by {
	case byScore:
		return z.ScoreRanks(r.score)
	case byLex:
		return z.LexRanks(r.lex)
	}
	lo, n := indexRange(r.start, r.stop, z.Len())
	return lo, lo + n
}

// zrangeOptions are those of ZRANGE and its like.
type zrangeOptions struct {
	by         zby
	dir        zdir
	withScores bool
	offset     int64
	limit      int64 // negative: none
}

// parse parses the options from argument i on.
func (o *zrangeOptions) parse(c *engine.Call, i int, storing bool) bool {
	o.limit = -1
	for ; i < len(c.Args); i++ {
		switch {
		case !storing && c.Is(i, "withscores"):
			o.withScores = true
		case i+2 < len(c.Args) && c.Is(i, "limit"):
			var ok bool
			if o.offset, o.limit, ok = twoInts(c, i+1); !ok {
				return false
			}
			i += 2
		case o.dir == dirAny && c.Is(i, "rev"):
			o.dir = dirReverse
		case o.by == byAny && c.Is(i, "bylex"):
			o.by = byLex
		case o.by == byAny && c.Is(i, "byscore"):
			o.by = byScore
		default:
			c.Fail(engine.ErrSyntax)
			return false
		}
	}
	if o.by == byAny {
		o.by = byRank
	}
	switch {
	case o.limit != -1 && o.by == byRank:
		c.Fail("ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX")
	case o.withScores && o.by == byLex:
		c.Fail("ERR syntax error, WITHSCORES not supported in combination with BYLEX")
	default:
		return true
	}
	return false
}

// window returns where among size members from one end the answer is: from start, n of them.
func (o *zrangeOptions) window(r *zrange, z *store.ZSet) (start, n int) {
	reverse := o.dir == dirReverse
	if o.by == byRank { // the ranks of a reverse range count from the highest already
		return indexRange(r.start, r.stop, z.Len())
	}
	lo, hi := r.ranks(z)
	start, n = lo, hi-lo
	if reverse {
		start = z.Len() - hi
	}
	if o.offset < 0 || o.offset >= int64(n) {
		return start, 0
	}
	start, n = start+int(o.offset), n-int(o.offset)
	if o.limit >= 0 && o.limit < int64(n) {
		n = int(o.limit)
	}
	return start, n
}

// zrangeCmd returns the handler of a range command.
func zrangeCmd(storing bool, by zby, dir zdir) func(*engine.Call) {
	return func(c *engine.Call) {
		src := 1 + btoi(storing)
		o := zrangeOptions{by: by, dir: dir}
		if !o.parse(c, src+3, storing) {
			return
		}
		lo, hi := src+1, src+2
		if o.dir == dirReverse && o.by != byRank {
			lo, hi = hi, lo
		}
		r, ok := parseZrange(c, o.by, lo, hi)
		if !ok {
			return
		}
		z, ok := engine.Fetch[*store.ZSet](c, c.Args[src])
		if !ok {
			return
		}
		start, n := 0, 0
		if z != nil {
			start, n = o.window(&r, z)
		}
		if storing {
			zrangeStore(c, z, start, n, o.dir == dirReverse)
			return
		}
		arrayOfPairs(c, n, o.withScores)
		if n > 0 {
			z.Range(start, n, o.dir == dirReverse, scored(c, o.withScores))
		}
	}
}

// zrangeStore stores a part of z at the key of argument 1.
func zrangeStore(c *engine.Call, z *store.ZSet, start, n int, reverse bool) {
	if n == 0 {
		c.Del(c.Args[1])
		c.Reply.Int(0)
		return
	}
	out := store.NewZSet()
	z.Range(start, n, reverse, func(m []byte, score float64) bool { out.Add(m, score); return true })
	c.Set(c.Args[1], out)
	c.Reply.Int(int64(n))
}

// zcount is ZCOUNT and ZLEXCOUNT.
func zcount(c *engine.Call, by zby) {
	r, ok := parseZrange(c, by, 2, 3)
	if !ok {
		return
	}
	z, ok := engine.Fetch[*store.ZSet](c, c.Args[1])
	if !ok {
		return
	}
	lo, hi := 0, 0
	if z != nil {
		lo, hi = r.ranks(z)
	}
	c.Reply.Int(int64(hi - lo))
}

// zremrange is ZREMRANGEBYRANK, -BYSCORE and -BYLEX.
func zremrange(c *engine.Call, by zby) {
	r, ok := parseZrange(c, by, 2, 3)
	if !ok {
		return
	}
	z, e, ok := engine.Edit[*store.ZSet](c, c.Args[1])
	if !ok {
		return
	}
	n := 0
	if e != nil {
		lo, hi := r.ranks(z)
		if n = z.DeleteRange(lo, hi-lo); n > 0 {
			c.RemoveIfEmpty(e, z.Len())
			c.Counts(n)
		}
	}
	c.Reply.Int(int64(n))
}
