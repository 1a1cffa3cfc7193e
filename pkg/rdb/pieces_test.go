package rdb

import (
	"bytes"
	"fmt"
	"testing"

	"byor/pkg/store"

	"github.com/stretchr/testify/require"
)

// Collections that come in pieces, over several batches, are the same file as those that come whole.
func TestBatchOfPieces(t *testing.T) {
	h, s, z := store.NewHash(), store.NewSet(), store.NewZSet()
	for i := range 2000 {
		m := fmt.Appendf(nil, "%d", i*37%2000*1_000_000_007)
		h.Set(m, bytes.Repeat([]byte("value"), i%20))
		s.Add(m)
		z.Add(m, float64(i%50)/4)
	}
	var whole, pieces bytes.Buffer
	w := NewWriter(&whole)
	require.NoError(t, w.SelectDB(4, 3, 1))
	require.NoError(t, w.Entry("hash", h, NoExpiry))
	require.NoError(t, w.Entry("set", s, 4_000_000_000_000, Idle(7)))
	require.NoError(t, w.Entry("zset", z, NoExpiry, Freq(3)))
	require.NoError(t, w.Close())

	w = NewWriter(&pieces)
	require.NoError(t, w.SelectDB(4, 3, 1))
	var b Batch
	step := func() {
		if b.Len() > 1000 {
			require.NoError(t, w.Write(&b))
			b.Reset()
		}
	}
	b.Begin("hash", store.TypeHash, h.Len(), NoExpiry)
	h.Each(func(f, v []byte) bool { b.Pair(string(f), string(v)); step(); return true })
	b.Begin("set", store.TypeSet, s.Len(), 4_000_000_000_000, Idle(7))
	s.Each(func(m []byte) bool { b.Member(string(m)); step(); return true })
	b.Begin("zset", store.TypeZSet, z.Len(), NoExpiry, Freq(3))
	z.Range(0, z.Len(), true, func(m []byte, score float64) bool { b.Scored(string(m), score); step(); return true })
	require.NoError(t, w.Write(&b))
	require.NoError(t, w.Close())
	require.True(t, bytes.Equal(whole.Bytes(), pieces.Bytes()))

	require.Panics(t, func() { b.Begin("list", store.TypeList, 1, NoExpiry) })
}
