package resp

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// Each size has room, wastes an eighth at most, and has a class of its own; a block of it belongs there.
func TestBlockClasses(t *testing.T) {
	sizes := map[int]int{}
	check := func(n int) {
		size, class := blockClass(n)
		require.GreaterOrEqual(t, class, 0, n)
		require.Less(t, class, len(spareBlocks))
		require.GreaterOrEqual(t, size, n)
		require.LessOrEqual(t, size-n, n/8, n)
		if known, ok := sizes[class]; ok {
			require.Equal(t, known, size, n)
		}
		sizes[class] = size
		again, same := blockClass(size)
		require.Equal(t, []int{size, class}, []int{again, same})
	}
	for range 3_000 {
		check(minBlock + rand.IntN(maxBlock-minBlock+1))
	}
	for n := minBlock; n < maxBlock; n += n / 20 { // each class
		check(n)
	}
	check(maxBlock)
	require.Len(t, sizes, len(spareBlocks))
	for _, n := range []int{0, 1, minBlock - 1, maxBlock + 1, 512 << 20} {
		size, class := blockClass(n)
		require.Equal(t, []int{n, -1}, []int{size, class})
	}
}

// A block is as long as asked for, with its class behind it; bytes that are no block are not handed out.
func TestBlocksComeBack(t *testing.T) {
	for _, n := range []int{minBlock, 100_000, 1 << 20, maxBlock, maxBlock + 1} {
		b := block(n)
		require.Len(t, b, n)
		size, _ := blockClass(n)
		require.GreaterOrEqual(t, cap(b), size)
		b[0], b[n-1] = 1, 1
		Recycle(b[:1])
		if b = spareBlock(n); b != nil { // the collector may have been quicker
			require.Len(t, b, n)
		}
	}
	Recycle(nil)
	Recycle(make([]byte, 10))
	odd := make([]byte, 5*minBlock/2)
	size, _ := blockClass(len(odd))
	require.NotEqual(t, size, cap(odd))
	Recycle(odd)
	if b := spareBlock(len(odd)); b != nil {
		require.NotSame(t, &odd[0], &b[0])
	}
}
