package store

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

func checkSet(t *testing.T, s *Set, model map[string]bool) {
	require.Equal(t, len(model), s.Len())
	got := map[string]bool{}
	s.Each(func(m []byte) bool { got[string(m)] = true; return true })
	require.Equal(t, model, got)
	scanned := map[string]bool{}
	for cursor := uint64(0); ; {
		cursor = s.Scan(cursor, 7, func(m []byte) { scanned[string(m)] = true })
		if cursor == 0 {
			break
		}
	}
	require.Equal(t, model, scanned)
	for _, n := range []int{0, 1, len(model) / 10, len(model) / 2, len(model), len(model) + 5} {
		drawn := map[string]bool{}
		s.Sample(n, func(m []byte) bool { drawn[string(m)] = true; return true })
		require.Len(t, drawn, min(n, len(model)))
		require.Subset(t, model, drawn)
	}
	if len(model) == 0 {
		require.Nil(t, s.Random())
	} else {
		require.True(t, model[string(s.Random())])
	}
}

func TestSetAgainstAMap(t *testing.T) {
	for seed := range uint64(16) {
		setLimit(t, &Encodings.SetMaxIntsetEntries, []int64{512, 20, 0, 100}[seed%4])
		r := testRand(seed)
		s := NewSet()
		model := map[string]bool{}
		for step := range 3000 {
			m := fmt.Sprint(r.IntN(400) - 100)
			if seed > 7 && r.IntN(300) == 0 {
				m = string(randomElement(r, 10))
			}
			had := model[m]
			switch op := r.IntN(6); {
			case op < 2:
				require.Equal(t, !had, s.Add([]byte(m)))
				model[m] = true
			case op == 2:
				require.Equal(t, had, s.Remove([]byte(m)))
				delete(model, m)
			default:
				require.Equal(t, had, s.Contains([]byte(m)))
			}
			if step%500 == 0 {
				checkSet(t, s, model)
			}
		}
		checkSet(t, s, model)
		c := s.Clone().(*Set)
		checkSet(t, c, model)
		if ints, ok := s.Intset(); ok {
			parsed, err := ParseIntset(slices.Clone(ints.Bytes()))
			require.NoError(t, err)
			checkSet(t, NewSetFromIntset(parsed), model)
		}
		for m := range model {
			require.True(t, s.Remove([]byte(m)))
		}
		checkSet(t, s, map[string]bool{})
		checkSet(t, c, model)
		if s.large {
			require.Zero(t, s.members().mem)
		}
	}
}

func TestSetEncoding(t *testing.T) {
	s := NewSet()
	require.Equal(t, "intset", s.Encoding())
	for i := range 512 {
		s.Add(fmt.Append(nil, i))
	}
	require.Equal(t, "intset", s.Encoding())
	require.False(t, s.Contains([]byte("x")))
	require.False(t, s.Remove([]byte("01")))
	s.Add([]byte("512"))
	require.Equal(t, "hashtable", s.Encoding())
	for _, m := range []string{"x", "", "01", "-0", "9223372036854775808"} {
		s = NewSet()
		s.Add([]byte("1"))
		s.Add([]byte(m))
		require.Equal(t, "hashtable", s.Encoding(), m)
		require.True(t, s.Contains([]byte("1")))
	}
	s = NewSet()
	s.Expect(513)
	require.Equal(t, "hashtable", s.Encoding())
}

// TestSamplesAreFair counts how often each element is drawn. The bounds are some ten standard
// deviations wide: a fair draw does not miss them in the lifetime of this test.
func TestSamplesAreFair(t *testing.T) {
	const size, rounds = 20, 4000
	for _, kind := range []string{"intset", "dict", "hash", "zset"} {
		for _, n := range []int{1, 4, 15} {
			count := map[string]int{}
			draw := fairSource(kind, size)
			for range rounds {
				draw(n, func(m []byte) { count[string(m)]++ })
			}
			want := float64(rounds * n / size)
			for m, got := range count {
				require.InDelta(t, want, got, 10*math.Sqrt(want), "%s %d %s", kind, n, m)
			}
			require.Len(t, count, size)
		}
	}
}

func fairSource(kind string, size int) func(n int, fn func(m []byte)) {
	h, s, z := NewHash(), NewSet(), NewZSet()
	if kind == "dict" {
		s.Expect(1000)
	}
	for i := range size {
		b := fmt.Append(nil, i)
		h.Set(b, b)
		s.Add(b)
		z.Add(b, float64(i))
	}
	switch kind {
	case "hash":
		return func(n int, fn func(m []byte)) {
			h.Sample(n, func(f, _ []byte) bool { fn(f); return true })
		}
	case "zset":
		return func(n int, fn func(m []byte)) {
			z.Sample(n, func(m []byte, _ float64) bool { fn(m); return true })
		}
	}
	return func(n int, fn func(m []byte)) {
		s.Sample(n, func(m []byte) bool { fn(m); return true })
	}
}
