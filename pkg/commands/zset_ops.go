package commands

import (
	"math"
	"slices"

	"byor/pkg/engine"
	"byor/pkg/store"
)

func init() {
	dest, keys := engine.At(1, 1, 1), engine.NumKeys(1)
	engine.Register("sorted-set", []engine.Command{
		{Name: "zunion", Arity: -3, Flags: engine.ReadOnly | engine.MovableKeys, KeysOf: keys, Handler: zopCmd(zunion, false)},
		{Name: "zinter", Arity: -3, Flags: engine.ReadOnly | engine.MovableKeys, KeysOf: keys, Handler: zopCmd(zinter, false)},
		{Name: "zdiff", Arity: -3, Flags: engine.ReadOnly | engine.MovableKeys, KeysOf: keys, Handler: zopCmd(zdiff, false)},
		{Name: "zunionstore", Arity: -4, Flags: engine.Write | engine.DenyOOM | engine.MovableKeys, Keys: dest, KeysOf: destAndNumKeys, Handler: zopCmd(zunion, true)},
		{Name: "zinterstore", Arity: -4, Flags: engine.Write | engine.DenyOOM | engine.MovableKeys, Keys: dest, KeysOf: destAndNumKeys, Handler: zopCmd(zinter, true)},
		{Name: "zdiffstore", Arity: -4, Flags: engine.Write | engine.DenyOOM | engine.MovableKeys, Keys: dest, KeysOf: destAndNumKeys, Handler: zopCmd(zdiff, true)},
		{Name: "zintercard", Arity: -3, Flags: engine.ReadOnly | engine.MovableKeys, KeysOf: keys, Handler: cmdZintercard},
	})
}

// zop is an operation on several sorted sets.
type zop int

const (
	zunion zop = iota
	zinter
	zdiff
)

// zsource is an input: a sorted set, a plain set whose members have the score 1, or nothing.
type zsource struct {
	z      *store.ZSet
	s      *store.Set
	weight float64
}

func (src *zsource) len() int {
	switch {
	case src.z != nil:
		return src.z.Len()
	case src.s != nil:
		return src.s.Len()
	}
	return 0
}

func (src *zsource) score(m []byte) (float64, bool) {
	switch {
	case src.z != nil:
		return src.z.Score(m)
	case src.s != nil:
		return 1, src.s.Contains(m)
	}
	return 0, false
}

func (src *zsource) each(fn func(m []byte, score float64) bool) {
	switch {
	case src.z != nil:
		src.z.Each(fn)
	case src.s != nil:
		src.s.Each(func(m []byte) bool { return fn(m, 1) })
	}
}

// weighted is a score times the weight. Infinity times nothing is nothing.
func (src *zsource) weighted(score float64) float64 {
	if score *= src.weight; math.IsNaN(score) {
		return 0
	}
	return score
}

// zsources looks up the inputs that argument i counts.
func zsources(c *engine.Call, i int) ([]zsource, bool) {
	n, ok := c.IntArg(i)
	if !ok {
		return nil, false
	}
	if n < 1 {
		c.Fail("ERR at least 1 input key is needed for '" + c.Cmd.FullName() + "' command")
		return nil, false
	}
	if n > int64(len(c.Args)-i-1) {
		c.Fail(engine.ErrSyntax)
		return nil, false
	}
	srcs := make([]zsource, n)
	for k := range srcs {
		src := &srcs[k]
		src.weight = 1
		e := c.DB.Lookup(c.Args[i+1+k])
		if !c.Found(c.Args[i+1+k], e != nil) {
			continue
		}
		var isZ, isS bool
		src.z, isZ = e.Value().(*store.ZSet)
		if src.s, isS = e.Value().(*store.Set); !isZ && !isS {
			c.Fail(engine.ErrWrongType)
			return nil, false
		}
	}
	return srcs, true
}

// zopOptions are WEIGHTS, AGGREGATE and WITHSCORES.
type zopOptions struct {
	aggregate  func(a, b float64) float64
	withScores bool
}

func addScores(a, b float64) float64 {
	if a += b; math.IsNaN(a) { // infinities of both signs
		return 0
	}
	return a
}

// minScore is not the built-in min, which gives NaN for NaN and orders the zeros.
func minScore(a, b float64) float64 {
	if b < a {
		return b
	}
	return a
}

func maxScore(a, b float64) float64 {
	if b > a {
		return b
	}
	return a
}

// parseZop parses the options from argument i on, weights into srcs.
func parseZop(c *engine.Call, i int, op zop, storing bool, srcs []zsource) (o zopOptions, ok bool) {
	o.aggregate = addScores
	for i < len(c.Args) {
		left := len(c.Args) - i
		switch {
		case op != zdiff && left >= len(srcs)+1 && c.Is(i, "weights"):
			for k := range srcs {
				if srcs[k].weight, ok = engine.ParseFloat(c.Args[i+1+k]); !ok {
					c.Fail("ERR weight value is not a float")
					return o, false
				}
			}
			i += 1 + len(srcs)
		case op != zdiff && left >= 2 && c.Is(i, "aggregate"):
			switch {
			case c.Is(i+1, "sum"):
				o.aggregate = addScores
			case c.Is(i+1, "min"):
				o.aggregate = minScore
			case c.Is(i+1, "max"):
				o.aggregate = maxScore
			default:
				c.Fail(engine.ErrSyntax)
				return o, false
			}
			i += 2
		case !storing && c.Is(i, "withscores"):
			o.withScores = true
			i++
		default:
			c.Fail(engine.ErrSyntax)
			return o, false
		}
	}
	return o, true
}

// zopCmd returns the handler of an operation whose result is replied or stored at the key of
// argument 1.
func zopCmd(op zop, storing bool) func(*engine.Call) {
	return func(c *engine.Call) {
		at := 1 + btoi(storing)
		srcs, ok := zsources(c, at)
		if !ok {
			return
		}
		o, ok := parseZop(c, at+1+len(srcs), op, storing, srcs)
		if !ok {
			return
		}
		if op != zdiff { // the smallest first, for the fewest look-ups
			slices.SortStableFunc(srcs, func(a, b zsource) int { return a.len() - b.len() })
		}
		out := store.NewZSet()
		out.Unpack() // a listpack knows no -0, and Redis replies it
		op.combine(out, srcs, o.aggregate)
		if !storing {
			arrayOfPairs(c, out.Len(), o.withScores)
			out.Each(scored(c, o.withScores))
			return
		}
		if out.Len() == 0 {
			c.Del(c.Args[1])
		} else {
			out.Pack()
			c.Set(c.Args[1], out)
		}
		c.Reply.Int(int64(out.Len()))
	}
}

// combine adds the result to out.
func (op zop) combine(out *store.ZSet, srcs []zsource, aggregate func(a, b float64) float64) {
	switch op {
	case zunion:
		at := map[string]int{} // of a member in scores
		var scores []float64
		for i := range srcs {
			src := &srcs[i]
			src.each(func(m []byte, score float64) bool {
				score = src.weighted(score)
				if j, had := at[string(m)]; had {
					scores[j] = aggregate(scores[j], score)
				} else {
					at[string(m)] = len(scores)
					scores = append(scores, score)
				}
				return true
			})
		}
		for m, j := range at {
			out.Add([]byte(m), scores[j])
		}
	case zinter:
		zeachCommon(srcs, aggregate, func(m []byte, score float64) bool { out.Add(m, score); return true })
	case zdiff:
		srcs[0].each(func(m []byte, score float64) bool {
			for i := range srcs[1:] {
				if _, there := srcs[1+i].score(m); there {
					return true
				}
			}
			out.Add(m, score)
			return true
		})
	}
}

// zeachCommon calls fn for the members that all inputs have, until it returns false.
func zeachCommon(srcs []zsource, aggregate func(a, b float64) float64, fn func(m []byte, score float64) bool) {
	first := &srcs[0]
	first.each(func(m []byte, score float64) bool {
		score = first.weighted(score)
		for i := range srcs[1:] {
			src := &srcs[1+i]
			other, there := src.score(m)
			if !there {
				return true
			}
			score = aggregate(score, src.weight*other) // Redis lets NaN into the sum here
		}
		return fn(m, score)
	})
}

func cmdZintercard(c *engine.Call) {
	srcs, ok := zsources(c, 1)
	if !ok {
		return
	}
	limit, ok := limitOption(c, 2+len(srcs))
	if !ok {
		return
	}
	slices.SortStableFunc(srcs, func(a, b zsource) int { return a.len() - b.len() })
	n := 0
	zeachCommon(srcs, addScores, func([]byte, float64) bool { n++; return n != limit })
	c.Reply.Int(int64(n))
}
