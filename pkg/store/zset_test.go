package store

import (
	"bytes"
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// zmodel is a sorted set as one would define it: a map, sorted whenever somebody asks.
type zmodel map[string]float64

type zpair struct {
	m     string
	score float64
}

func (z zmodel) sorted() []zpair {
	out := make([]zpair, 0, len(z))
	for m, s := range z {
		out = append(out, zpair{m, s})
	}
	slices.SortFunc(out, func(a, b zpair) int {
		return cmp.Or(cmp.Compare(a.score, b.score), cmp.Compare(a.m, b.m))
	})
	return out
}

func zrange(z *ZSet, start, n int, reverse bool) []zpair {
	out := []zpair{}
	z.Range(start, n, reverse, func(m []byte, score float64) bool {
		out = append(out, zpair{string(m), score})
		return true
	})
	return out
}

func checkZSet(t *testing.T, r *rand.Rand, z *ZSet, model zmodel) {
	want := model.sorted()
	require.Equal(t, len(want), z.Len())
	require.Equal(t, want, zrange(z, 0, z.Len(), false))
	start, n := r.IntN(len(want)+1), r.IntN(len(want)+2)
	require.Equal(t, want[start:min(start+n, len(want))], zrange(z, start, n, false))
	for i, p := range want {
		rank, ok := z.Rank([]byte(p.m))
		require.True(t, ok)
		require.Equal(t, i, rank)
	}
	_, ok := z.Rank([]byte("no such member"))
	require.False(t, ok)
	slices.Reverse(want)
	require.Equal(t, want, zrange(z, 0, z.Len(), true))
	require.Equal(t, want[start:min(start+n, len(want))], zrange(z, start, n, true))

	scanned := zmodel{}
	for cursor := uint64(0); ; {
		cursor = z.Scan(cursor, 5, func(m []byte, score float64) { scanned[string(m)] = score })
		if cursor == 0 {
			break
		}
	}
	require.Equal(t, model, scanned)
	drawn := zmodel{}
	z.Sample(n, func(m []byte, score float64) bool { drawn[string(m)] = score; return true })
	require.Len(t, drawn, min(n, len(model)))
	require.Subset(t, model, drawn)
	if z.skip != nil {
		checkSkipList(t, z.skip)
	}
}

// checkSkipList verifies every link: its order, its span, and the way back.
func checkSkipList(t *testing.T, s *skipList) {
	rankOf := map[*skipNode]int{s.head: 0, nil: s.len}
	var prev *skipNode
	var mem int64
	rank := 0
	for n := s.head.link(0).node; n != nil; n = n.link(0).node {
		rank++
		rankOf[n] = rank
		require.Same(t, prev, n.back)
		require.True(t, prev == nil || prev.less(n.score, keyOf(n)))
		prev = n
		mem += n.memBytes()
	}
	require.Equal(t, s.len, rank)
	require.Same(t, prev, s.tail)
	require.Equal(t, mem, s.mem)
	for level := range s.level {
		for n := s.head; n != nil; n = n.link(level).node {
			l := n.link(level)
			require.Equal(t, rankOf[l.node]-rankOf[n], int(l.span), "lane %d", level)
			if l.node != nil {
				require.Equal(t, hintOf(l.node.score), l.hint)
			}
		}
	}
	for level := s.level; level < skipLevels; level++ {
		require.Nil(t, s.head.link(level).node)
	}
}

// Hints are in the order of the scores, equal ones for equal scores, and tell integers up to two million apart.
func TestHintsAreInOrder(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	scores := []float64{math.Inf(-1), -math.MaxFloat64, -1, -math.SmallestNonzeroFloat64, math.Copysign(0, -1), 0, math.SmallestNonzeroFloat64, 1, math.MaxFloat64, math.Inf(1)}
	for range 10_000 {
		scores = append(scores, randomScore(r), math.Ldexp(r.Float64()-0.5, r.IntN(200)-100))
	}
	slices.Sort(scores)
	for i := range scores[1:] {
		require.LessOrEqual(t, hintOf(scores[i]), hintOf(scores[i+1]))
	}
	require.Equal(t, hintOf(0), hintOf(math.Copysign(0, -1)))
	for n := -2_000_000; n < 2_000_000; n += 999 {
		require.Less(t, hintOf(float64(n)), hintOf(float64(n+1)))
	}
}

func randomScore(r *rand.Rand) float64 {
	switch r.IntN(8) {
	case 0:
		return math.Inf(1 - 2*r.IntN(2))
	case 1:
		return r.NormFloat64() * 1e18
	case 2:
		return r.Float64()
	}
	return float64(r.IntN(40) - 20)
}

func TestZSetAgainstASortedMap(t *testing.T) {
	for seed := range uint64(16) {
		setLimit(t, &Encodings.ZSetMaxListpackEntries, []int64{128, 20, 1000, 0}[seed%4])
		r := testRand(seed)
		z := NewZSet()
		model := zmodel{}
		for step := range 2500 {
			zsetStep(t, r, z, model, seed)
			if step%250 == 0 {
				checkZSet(t, r, z, model)
			}
		}
		checkZSet(t, r, z, model)
		c := z.Clone().(*ZSet)
		checkZSet(t, r, c, model)
		if lp, ok := z.Listpack(); ok {
			again, err := NewZSetFromListpack(lp.clone())
			require.NoError(t, err)
			checkZSet(t, r, again, model)
		}
		require.Equal(t, len(model), z.DeleteRange(0, len(model)+3))
		checkZSet(t, r, z, zmodel{})
		checkZSet(t, r, c, model)
		wasSkip := c.skip != nil
		c.Unpack()
		checkZSet(t, r, c, model)
		c.Pack()
		checkZSet(t, r, c, model)
		require.True(t, c.skip == nil || wasSkip)
		if z.skip != nil {
			require.Zero(t, z.skip.mem)
		}
	}
}

func zsetStep(t *testing.T, r *rand.Rand, z *ZSet, model zmodel, seed uint64) {
	m, score := fmt.Sprint(r.IntN(250)), randomScore(r)
	if seed > 7 && r.IntN(200) == 0 {
		m = string(randomElement(r, 70))
	}
	was, had := model[m]
	switch op := r.IntN(20); {
	case op < 8:
		old, ok := z.Put([]byte(m), score)
		require.Equal(t, had, ok)
		require.Equal(t, was, old)
		model[m] = score
	case op < 11:
		require.Equal(t, had, z.Remove([]byte(m)))
		delete(model, m)
	case op == 11 && r.IntN(20) == 0:
		sorted := model.sorted()
		start, n := r.IntN(len(sorted)+1), r.IntN(10)
		gone := sorted[start:min(len(sorted), start+n)]
		require.Equal(t, len(gone), z.DeleteRange(start, n))
		for _, p := range gone {
			delete(model, p.m)
		}
	case op == 12:
		checkScoreRange(t, r, z, model)
	default:
		got, ok := z.Score([]byte(m))
		require.Equal(t, had, ok)
		require.Equal(t, was, got)
	}
}

func checkScoreRange(t *testing.T, r *rand.Rand, z *ZSet, model zmodel) {
	rg := ScoreRange{Min: randomScore(r), Max: randomScore(r), MinEx: r.IntN(2) == 0, MaxEx: r.IntN(2) == 0}
	lo, hi := z.ScoreRanks(rg)
	want := []zpair{}
	for _, p := range model.sorted() {
		if (p.score > rg.Min || p.score == rg.Min && !rg.MinEx) && (p.score < rg.Max || p.score == rg.Max && !rg.MaxEx) {
			want = append(want, p)
		}
	}
	require.Equal(t, want, zrange(z, lo, hi-lo, false), "%+v", rg)
}

func TestZSetLexRanges(t *testing.T) {
	for _, limit := range []int64{128, 0} {
		setLimit(t, &Encodings.ZSetMaxListpackEntries, limit)
		r := testRand(uint64(limit))
		z, model := NewZSet(), zmodel{}
		word := func() string {
			b := make([]byte, r.IntN(4))
			for i := range b {
				b[i] = "abc\xff0123"[r.IntN(8)]
			}
			return string(b)
		}
		for range 100 {
			m := word()
			z.Add([]byte(m), 1)
			model[m] = 1
		}
		for range 2000 {
			bound := func() LexBound { return LexBound{[]byte(word()), r.IntN(2) == 0, r.IntN(6)/5 - r.IntN(6)/5} }
			rg := LexRange{bound(), bound()}
			want := []zpair{}
			for _, p := range model.sorted() {
				aboveMin := rg.Min.Inf < 0 || rg.Min.Inf == 0 && (p.m > string(rg.Min.Member) || p.m == string(rg.Min.Member) && !rg.Min.Ex)
				belowMax := rg.Max.Inf > 0 || rg.Max.Inf == 0 && (p.m < string(rg.Max.Member) || p.m == string(rg.Max.Member) && !rg.Max.Ex)
				if aboveMin && belowMax {
					want = append(want, p)
				}
			}
			lo, hi := z.LexRanks(rg)
			require.Equal(t, want, zrange(z, lo, hi-lo, false), "%+v", rg)
		}
	}
}

func TestZSetEncoding(t *testing.T) {
	z := NewZSet()
	for i := range 128 {
		z.Add(fmt.Append(nil, i), float64(i))
	}
	require.Equal(t, "listpack", z.Encoding())
	z.Add([]byte("5"), 1e9)
	require.Equal(t, "listpack", z.Encoding())
	z.Add([]byte("128"), 0)
	require.Equal(t, "skiplist", z.Encoding())
	z = NewZSet()
	z.Add(make([]byte, 64), 0)
	require.Equal(t, "listpack", z.Encoding())
	z.Add(make([]byte, 65), 0)
	require.Equal(t, "skiplist", z.Encoding())
	z = NewZSet()
	z.Expect(128, 64)
	require.Equal(t, "listpack", z.Encoding())
	z.Expect(129, 1)
	require.Equal(t, "skiplist", z.Encoding())
}

func TestZSetListpackBytesAreThoseOfRedis(t *testing.T) {
	z := NewZSet()
	z.Add([]byte("a"), math.Copysign(0, -1))
	z.Add([]byte("b"), 2.5)
	z.Add([]byte("c"), math.Inf(1))
	z.Add([]byte("d"), 1e17)
	lp, ok := z.Listpack()
	require.True(t, ok)
	require.Equal(t, []byte("\x81a\x02\x00\x01\x81b\x02\x832.5\x04\x81d\x02"+
		"\xf4\x00\x00\x8a\x5d\x78\x45\x63\x01\x09\x81c\x02\x83inf\x04\xff"), lp.Bytes()[6:])
}

func TestAppendScore(t *testing.T) {
	for want, f := range map[string]float64{
		"3": 3, "-3": -3, "0": 0, "-0": math.Copysign(0, -1), "inf": math.Inf(1), "-inf": math.Inf(-1),
		"0.10000000000000001": 0.1, "100000000000000000": 1e17, "5e+18": 5e18, "9.9999999999999995e-08": 1e-7,
		"4611686018427387904": math.MaxInt64 / 2, "4.6116860184273889e+18": math.Nextafter(math.MaxInt64/2, math.Inf(1)),
	} {
		require.Equal(t, want, string(AppendScore(nil, f)))
	}
}

func TestSkipNodeHoldsMembersOfAnyLength(t *testing.T) {
	for length := range 80 {
		member := bytes.Repeat([]byte{'m'}, length)
		for level := 1; level < 8; level++ {
			n := newSkipNode(level, member)
			for i := range n.level() {
				*n.link(i) = skipLink{n, math.MaxUint32, math.MaxUint32} // all bits set: a link that lay over the member would show
			}
			require.Equal(t, string(member), keyOf(n))
			require.Equal(t, level, n.level())
		}
		require.Equal(t, bytes.Repeat([]byte{'m'}, length), member)
	}
}
