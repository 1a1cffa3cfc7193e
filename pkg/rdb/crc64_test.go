package rdb

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestCRC64(t *testing.T) {
	require.Equal(t, uint64(0xe9c6d914c4b8d9ca), crc64(0, []byte("123456789")), "the check value in Redis's crc64.c")
	long := bytes.Repeat([]byte("This is a test of the emergency broadcast system. "), 5)
	for cut := range long {
		require.Equal(t, crc64(0, long), crc64(crc64(0, long[:cut]), long[cut:]))
	}
}

func BenchmarkCRC64(b *testing.B) {
	p := make([]byte, 64<<10)
	b.SetBytes(int64(len(p)))
	for b.Loop() {
		crc64(0, p)
	}
}
