package store

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
)

// testRand is seeded with a fixed number, so that a failure comes again.
func testRand(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 1)) }

// randomElement draws a string or an integer of a random width.
func randomElement(r *rand.Rand, longest int) []byte {
	switch r.IntN(4) {
	case 0:
		return strconv.AppendInt(nil, int64(r.Uint64())>>r.IntN(64), 10)
	case 1:
		return strconv.AppendInt(nil, int64(r.IntN(20)), 10)
	}
	b := make([]byte, r.IntN(longest+1))
	for i := range b {
		b[i] = byte('a' + r.IntN(3))
	}
	return b
}

func elements(lp *Listpack) [][]byte {
	var out [][]byte
	for p := lp.First(); p >= 0; p = lp.Next(p) {
		out = append(out, lp.At(p).Bytes())
	}
	return out
}

func elementsBackwards(lp *Listpack) [][]byte {
	var out [][]byte
	for p := lp.last(); p >= 0; p = lp.prev(p) {
		out = append(out, lp.At(p).Bytes())
	}
	slices.Reverse(out)
	return out
}

func TestListpackBytesAreThoseOfRedis(t *testing.T) {
	lp := NewListpack()
	require.Equal(t, []byte{7, 0, 0, 0, 0, 0, 0xFF}, lp.Bytes())
	for _, v := range []string{"0", "127", "128", "-1", "4095", "-4096", "4096", "-32768", "32768",
		"8388607", "8388608", "-2147483648", "2147483648", "hi", "", "007", "-0"} {
		lp.Append([]byte(v))
	}
	// The bytes of DUMP of a list with these elements, from redis-server 7.0.15, without the node's
	// framing.
	require.Equal(t, []byte{
		78, 0, 0, 0, 17, 0,
		0, 1, 127, 1, 0xC0, 0x80, 2, 0xDF, 0xFF, 2, 0xCF, 0xFF, 2, 0xD0, 0, 2,
		0xF1, 0, 0x10, 3, 0xF1, 0, 0x80, 3, 0xF2, 0, 0x80, 0, 4,
		0xF2, 0xFF, 0xFF, 0x7F, 4, 0xF3, 0, 0, 0x80, 0, 5, 0xF3, 0, 0, 0, 0x80, 5,
		0xF4, 0, 0, 0, 0x80, 0, 0, 0, 0, 9,
		0x82, 'h', 'i', 3, 0x80, 1, 0x83, '0', '0', '7', 4, 0x82, '-', '0', 3, 0xFF,
	}, lp.Bytes())
}

func TestListpackAgainstASlice(t *testing.T) {
	for seed := range uint64(40) {
		r := testRand(seed)
		longest := []int{3, 70, 5000, 17000}[seed%4]
		lp := NewListpack()
		var model [][]byte
		for range 400 {
			listpackStep(r, &lp, &model, longest)
			require.Equal(t, len(model), lp.len())
		}
		require.True(t, slices.EqualFunc(model, elements(&lp), bytes.Equal))
		require.True(t, slices.EqualFunc(model, elementsBackwards(&lp), bytes.Equal))
		parsed, err := ParseListpack(lp.Bytes())
		require.NoError(t, err)
		require.Equal(t, lp.Bytes(), parsed.Bytes())
		for i, want := range model {
			require.Equal(t, want, lp.At(lp.index(i)).Bytes())
			require.Equal(t, want, lp.At(lp.index(i-len(model))).Bytes())
			first := slices.IndexFunc(model, func(b []byte) bool { return bytes.Equal(b, want) })
			require.Equal(t, lp.index(first), lp.find(lp.First(), want, 0))
		}
		require.Equal(t, -1, lp.index(len(model)))
		require.Equal(t, -1, lp.find(lp.First(), []byte("no such"), 0))
	}
}

func listpackStep(r *rand.Rand, lp *Listpack, model *[][]byte, longest int) {
	v := randomElement(r, longest)
	i := 0
	if len(*model) > 0 {
		i = r.IntN(len(*model))
	}
	switch op := r.IntN(9); {
	case op < 2 || len(*model) == 0:
		lp.Append(v)
		*model = append(*model, v)
	case op < 4:
		lp.prepend(v)
		*model = slices.Insert(*model, 0, v)
	case op == 4:
		lp.insertBefore(lp.index(i), v)
		*model = slices.Insert(*model, i, v)
	case op == 5:
		lp.insertAfter(lp.index(i), v)
		*model = slices.Insert(*model, i+1, v)
	case op == 6:
		lp.replace(lp.index(i), v)
		(*model)[i] = v
	default:
		n := lp.delete(lp.index(i), 1+r.IntN(3))
		*model = slices.Delete(*model, i, i+n)
	}
}

func TestListpackCountsWhatItsHeaderCannot(t *testing.T) {
	lp := NewListpack()
	for i := range 70000 {
		lp.appendInt(int64(i % 100))
	}
	require.Equal(t, []byte{0xFF, 0xFF}, lp.Bytes()[4:6])
	require.Equal(t, 70000, lp.len())
	_, err := ParseListpack(slices.Clone(lp.Bytes()))
	require.NoError(t, err)
}

func TestParseListpackRefusesEveryDamage(t *testing.T) {
	lp := NewListpack()
	for _, v := range []string{"a", "12345", "-5", "99999999999", string(make([]byte, 100)), string(make([]byte, 5000))} {
		lp.Append([]byte(v))
	}
	good := lp.Bytes()
	for cut := range len(good) {
		_, err := ParseListpack(bytes.Clone(good[:cut]))
		require.ErrorIs(t, err, ErrCorrupt)
	}
	for i := range good {
		for bit := range 8 {
			bad := bytes.Clone(good)
			bad[i] ^= 1 << bit
			if got, err := ParseListpack(bad); err == nil {
				require.Equal(t, lp.len(), len(elements(&got)), "byte %d", i) // the data changed, not the form
			}
		}
	}
}

func FuzzParseListpack(f *testing.F) {
	f.Add([]byte{7, 0, 0, 0, 0, 0, 0xFF})
	f.Add([]byte{11, 0, 0, 0, 2, 0, 0x81, 'a', 2, 5, 1, 0xFF})
	f.Fuzz(func(t *testing.T, b []byte) {
		lp, err := ParseListpack(b)
		if err != nil {
			return
		}
		require.Len(t, elements(&lp), lp.len())
		require.Len(t, elementsBackwards(&lp), lp.len())
	})
}

func TestBacklenAtItsBounds(t *testing.T) {
	for _, n := range []int{0, 127, 128, 16382, 16383, 16384, 2097150, 2097151, 268435454, 268435455, math.MaxInt32} {
		b := appendBacklen(nil, n)
		require.Len(t, b, backlenSize(n))
		got, size := backlen(append([]byte("xyz"), b...))
		require.Equal(t, n, got)
		require.Equal(t, len(b), size)
	}
}

func TestIntsetAgainstAMap(t *testing.T) {
	for seed := range uint64(20) {
		r := testRand(seed)
		var s Intset
		model := map[int64]bool{}
		for i := range 600 {
			n := int64(r.Uint64()) >> (64 - min(64, 4+(i/10)))
			if r.IntN(3) > 0 {
				require.Equal(t, !model[n], s.add(n))
				model[n] = true
			} else {
				require.Equal(t, model[n], s.remove(n))
				delete(model, n)
			}
			require.Equal(t, model[n], s.contains(n))
			require.Equal(t, len(model), s.Len())
		}
		parsed, err := ParseIntset(bytes.Clone(s.Bytes()))
		require.NoError(t, err)
		for i := range parsed.Len() {
			require.True(t, model[parsed.at(i)])
		}
	}
}

func TestIntsetBytesAreThoseOfRedis(t *testing.T) {
	var s Intset
	for _, n := range []int64{5, -1, 40000} {
		s.add(n)
	}
	require.Equal(t, []byte{4, 0, 0, 0, 3, 0, 0, 0, 255, 255, 255, 255, 5, 0, 0, 0, 64, 156, 0, 0}, s.Bytes())
	for name, bad := range map[string][]byte{
		"short":     {2, 0, 0, 0, 1, 0},
		"width":     {3, 0, 0, 0, 1, 0, 0, 0, 1, 2, 3},
		"length":    {2, 0, 0, 0, 2, 0, 0, 0, 1, 2},
		"order":     {2, 0, 0, 0, 2, 0, 0, 0, 2, 0, 1, 0},
		"duplicate": {2, 0, 0, 0, 2, 0, 0, 0, 2, 0, 2, 0},
	} {
		_, err := ParseIntset(bad)
		require.ErrorIs(t, err, ErrCorrupt, name)
	}
}

func TestDecimal(t *testing.T) {
	for _, n := range []int64{0, 1, 9, 10, 99, 100, 999, 1000, -1, -999, math.MaxInt64, math.MinInt64} {
		require.Equal(t, fmt.Sprint(n), string(decimal(n)))
		require.Equal(t, len(fmt.Sprint(n)), decimalLen(n))
	}
}

// All new listpacks share a block, which nothing may write to.
func TestNewListpacksShareTheirBlock(t *testing.T) {
	before := emptyBlock
	a, b := NewListpack(), NewListpack()
	require.Zero(t, a.delete(a.size()-1, 1))
	a.concat(&b)
	require.Equal(t, -1, a.First())
	b.prepend([]byte("x"))
	a.concat(&b)
	require.Equal(t, "x", string(a.At(a.First()).Bytes()))
	a.delete(a.First(), 1)
	a.Append([]byte("y"))
	c := NewListpack()
	c.expect(20)
	c.appendInt(5)
	require.Equal(t, before, emptyBlock)
	n := NewListpack()
	require.Equal(t, -1, n.First())
}
