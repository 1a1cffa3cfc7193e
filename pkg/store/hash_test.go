package store

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func checkHash(t *testing.T, h *Hash, model map[string]string) {
	require.Equal(t, len(model), h.Len())
	got := map[string]string{}
	h.Each(func(f, v []byte) bool { got[string(f)] = string(v); return true })
	require.Equal(t, model, got)
	scanned := map[string]string{}
	for cursor := uint64(0); ; {
		cursor = h.Scan(cursor, 10, func(f, v []byte) { scanned[string(f)] = string(v) })
		if cursor == 0 {
			break
		}
	}
	require.Equal(t, model, scanned)
	for _, n := range []int{0, 1, len(model) / 10, len(model) / 2, len(model), len(model) + 5} {
		drawn := map[string]string{}
		h.Sample(n, func(f, v []byte) bool { drawn[string(f)] = string(v); return true })
		require.Len(t, drawn, min(n, len(model)))
		require.Subset(t, model, drawn)
	}
	f, v, ok := h.Random()
	require.Equal(t, len(model) > 0, ok)
	if ok {
		require.Equal(t, model[string(f)], string(v))
	}
}

func TestHashAgainstAMap(t *testing.T) {
	for seed := range uint64(16) {
		setLimit(t, &Encodings.HashMaxListpackEntries, []int64{128, 20, 1000, 0}[seed%4])
		r := testRand(seed)
		longest := []int{4, 66}[seed/4%2]
		h := NewHash()
		model := map[string]string{}
		for step := range 3000 {
			f, v := fmt.Sprint(r.IntN(300)), string(randomElement(r, longest))
			if r.IntN(100) == 0 {
				f = v
			}
			want, had := model[f]
			switch op := r.IntN(6); {
			case op < 2:
				require.Equal(t, !had, h.Set([]byte(f), []byte(v)))
				model[f] = v
			case op == 2:
				require.Equal(t, had, h.Delete([]byte(f)))
				delete(model, f)
			default:
				got, ok := h.Get([]byte(f))
				require.Equal(t, had, ok)
				require.Equal(t, want, string(got))
			}
			if step%500 == 0 {
				checkHash(t, h, model)
			}
		}
		checkHash(t, h, model)
		c := h.Clone().(*Hash)
		checkHash(t, c, model)
		if lp, ok := h.Listpack(); ok {
			again, err := NewHashFromListpack(lp.clone())
			require.NoError(t, err)
			checkHash(t, again, model)
		}
		for f := range model {
			require.True(t, h.Delete([]byte(f)))
		}
		checkHash(t, h, map[string]string{})
		checkHash(t, c, model)
		if h.d != nil {
			require.Zero(t, h.d.mem)
		}
	}
}

func TestHashEncoding(t *testing.T) {
	h := NewHash()
	for i := range 512 {
		h.Set(fmt.Append(nil, i), []byte("v"))
	}
	require.Equal(t, "listpack", h.Encoding())
	h.Set([]byte("0"), []byte(strings.Repeat("x", 64)))
	require.Equal(t, "listpack", h.Encoding())
	h.Set([]byte("512"), nil)
	require.Equal(t, "hashtable", h.Encoding())
	h.Delete([]byte("512"))
	require.Equal(t, "hashtable", h.Encoding())

	for _, long := range [][2]string{{"f", strings.Repeat("x", 65)}, {strings.Repeat("x", 65), "v"}} {
		h = NewHash()
		h.Set([]byte("a"), []byte("b"))
		h.Set([]byte(long[0]), []byte(long[1]))
		require.Equal(t, "hashtable", h.Encoding())
		require.Equal(t, 2, h.Len())
	}
	h = NewHash()
	h.Expect([][]byte{make([]byte, 64), {}})
	require.Equal(t, "listpack", h.Encoding())
	h.Expect([][]byte{make([]byte, 65), {}})
	require.Equal(t, "hashtable", h.Encoding())
}

func TestPairsFromAListpackAreChecked(t *testing.T) {
	for name, entries := range map[string][]string{
		"odd":       {"a", "1", "b"},
		"duplicate": {"a", "1", "a", "2"},
	} {
		lp := NewListpack()
		for _, e := range entries {
			lp.Append([]byte(e))
		}
		_, err := NewHashFromListpack(lp.clone())
		require.ErrorIs(t, err, ErrCorrupt, name)
		_, err = NewZSetFromListpack(lp)
		require.ErrorIs(t, err, ErrCorrupt, name)
	}
	for name, entries := range map[string][]string{
		"not a number":  {"a", "x"},
		"nan":           {"a", "nan"},
		"score order":   {"a", "2", "b", "1"},
		"member order":  {"b", "1", "a", "1"},
		"infinite, end": {"a", "inf", "b", "1"},
	} {
		lp := NewListpack()
		for _, e := range entries {
			lp.Append([]byte(e))
		}
		_, err := NewZSetFromListpack(lp)
		require.ErrorIs(t, err, ErrCorrupt, name)
	}
}
