package store

import (
	"bytes"
	"math"
	"strconv"
)

// What ZSet does in its listpack, and ranges by score and by member. A range is turned into an
// interval of ranks, in O(log n); counting, walking in either direction, skipping an offset and
// deleting are the same then for all three kinds of ranges.

// ScoreRange is an interval of scores.
type ScoreRange struct {
	Min, Max     float64
	MinEx, MaxEx bool // the bound itself is outside
}

func (r *ScoreRange) below(score float64) bool { return score < r.Min || r.MinEx && score == r.Min }
func (r *ScoreRange) above(score float64) bool { return score > r.Max || r.MaxEx && score == r.Max }

// LexBound is an end of a LexRange.
type LexBound struct {
	Member []byte
	Ex     bool // the member itself is outside
	Inf    int  // -1 is before all members, 1 behind all; Member is ignored then
}

// compare returns where m stands seen from the bound.
func (b *LexBound) compare(m []byte) int {
	if b.Inf != 0 {
		return -b.Inf
	}
	return bytes.Compare(m, b.Member)
}

// LexRange is an interval of members, which makes sense when all have the same score.
type LexRange struct{ Min, Max LexBound }

func (r *LexRange) below(m []byte) bool {
	c := r.Min.compare(m)
	return c < 0 || c == 0 && r.Min.Ex
}

func (r *LexRange) above(m []byte) bool {
	c := r.Max.compare(m)
	return c > 0 || c == 0 && r.Max.Ex
}

// ScoreRanks returns the ranks of the members with a score in r: from lo up to and without hi.
func (z *ZSet) ScoreRanks(r ScoreRange) (lo, hi int) {
	return z.ranks(
		func(_ []byte, score float64) bool { return r.below(score) },
		func(_ []byte, score float64) bool { return !r.above(score) })
}

// LexRanks returns the ranks of the members in r: from lo up to and without hi.
func (z *ZSet) LexRanks(r LexRange) (lo, hi int) {
	return z.ranks(
		func(m []byte, _ float64) bool { return r.below(m) },
		func(m []byte, _ float64) bool { return !r.above(m) })
}

// ranks returns how many members come before the range, and how many up to its end.
func (z *ZSet) ranks(before, upTo func(m []byte, score float64) bool) (lo, hi int) {
	if z.skip != nil {
		lo = z.skip.prefix(func(n *skipNode) bool { return before(view(keyOf(n)), n.score) })
		hi = z.skip.prefix(func(n *skipNode) bool { return upTo(view(keyOf(n)), n.score) })
		return lo, max(lo, hi)
	}
	n := 0
	z.Each(func(m []byte, score float64) bool {
		switch {
		case n == 0 && before(m, score):
			lo++
		case upTo(m, score):
			n++
		default:
			return false
		}
		return true
	})
	return lo, lo + n
}

// score returns the entry as a score: NaN when it is not one.
func (e Elem) score() float64 {
	if e.b == nil {
		return float64(e.n)
	}
	f, err := strconv.ParseFloat(string(e.b), 64)
	if err != nil && !math.IsInf(f, 0) {
		return math.NaN()
	}
	return f
}

// scoreElem returns the form in which Redis keeps a score in a listpack: an integer when it is one
// of a moderate size, else 17 digits.
func scoreElem(buf []byte, score float64) Elem {
	if n, ok := scoreInt(score); ok {
		return Elem{n: n}
	}
	return Elem{b: AppendScore(buf, score)}
}

// scoreInt returns a score that is an integer as such, as Redis's double2ll.
func scoreInt(score float64) (int64, bool) {
	if score < -math.MaxInt64/2 || score > math.MaxInt64/2 {
		return 0, false
	}
	n := int64(score)
	return n, float64(n) == score
}

// AppendScore appends a score as Redis's d2string writes it: an integer in full, else 17 digits,
// "inf" or "-inf".
func AppendScore(dst []byte, score float64) []byte {
	switch n, isInt := scoreInt(score); {
	case math.IsInf(score, 1):
		return append(dst, "inf"...)
	case math.IsInf(score, -1):
		return append(dst, "-inf"...)
	case score == 0 && math.Signbit(score):
		return append(dst, "-0"...)
	case isInt:
		return strconv.AppendInt(dst, n, 10)
	}
	return strconv.AppendFloat(dst, score, 'g', 17, 64)
}

// insertScored adds a pair at its place in the order.
func (lp *Listpack) insertScored(m []byte, score float64) {
	var buf [32]byte
	se := scoreElem(buf[:0], score)
	b := lp.block()
	p := lpHeader
	for b[p] != lpEOF {
		q := lpNext(b, p)
		if s := lpAt(b, q).score(); s > score || s == score && bytes.Compare(lpAt(b, p).Bytes(), m) > 0 {
			break
		}
		p = lpNext(b, q)
	}
	lp.put(p, 0, newElem(m))
	lp.put(lpNext(lp.block(), p), 0, se)
}

// rangePairs calls fn for n pairs from the one with index start on, in either direction.
func (lp *Listpack) rangePairs(start, n int, reverse bool, fn func(m []byte, score float64) bool) {
	for p := lp.index(2 * start); n > 0; n-- {
		q := lp.Next(p)
		if !fn(lp.At(p).Bytes(), lp.At(q).score()) {
			return
		}
		if !reverse {
			p = lp.Next(q)
		} else if n > 1 {
			p = lp.prev(lp.prev(p))
		}
	}
}

// scoresAscend reports whether the pairs are in the order of a sorted set.
func (lp *Listpack) scoresAscend() bool {
	b := lp.block()
	var prev Elem
	last, first := 0.0, true
	for p := lpHeader; b[p] != lpEOF; first = false {
		m := lpAt(b, p)
		p = lpNext(b, p)
		score := lpAt(b, p).score()
		p = lpNext(b, p)
		if math.IsNaN(score) || !first && (score < last || score == last && bytes.Compare(prev.Bytes(), m.Bytes()) >= 0) {
			return false
		}
		prev, last = m, score
	}
	return true
}
