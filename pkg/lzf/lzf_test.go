package lzf

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// testStrings are strings of every kind that matters: nothing to find, runs, and repetitions at
// every distance around the limits of the format.
func testStrings() [][]byte {
	rnd := rand.New(rand.NewPCG(1, 2))
	noise := make([]byte, 20_000)
	for i := range noise {
		noise[i] = byte(rnd.Uint32())
	}
	samples := [][]byte{
		[]byte(strings.Repeat("a", 49)), []byte(strings.Repeat("ab", 500)), noise,
		[]byte(strings.Repeat("The quick brown fox jumps over the lazy dog. ", 300)),
		make([]byte, 100_000), []byte("abcabcabcabcabcabcabc"),
	}
	for _, back := range []int{30, 255, 256, 257, 8190, 8191, 8192, 8193, 8194} {
		for _, n := range []int{3, 8, 9, 10, 263, 264, 265, 266, 600} {
			s := bytes.Clone(noise[:back+n])
			copy(s[back:], s[:n])
			samples = append(samples, s)
		}
	}
	words := make([]byte, 0, 70_000)
	for len(words) < 65_000 {
		words = append(words, noise[rnd.IntN(100)*10:][:rnd.IntN(10)+1]...)
	}
	return append(samples, words)
}

func TestRoundTrip(t *testing.T) {
	var s Compressor
	for i, src := range testStrings() {
		packed, ok := s.Compress(nil, src, 2*len(src)+10)
		require.True(t, ok, "sample %d", i)
		got, err := Decompress(nil, packed, len(src))
		require.NoError(t, err, "sample %d", i)
		require.Equal(t, src, got, "sample %d", i)
		require.LessOrEqual(t, len(src), MaxRatio*len(packed))

		again, _ := new(Compressor).Compress(nil, src, 2*len(src)+10)
		require.Equal(t, again, packed, "what was compressed before must not matter")
		_, ok = s.Compress(nil, src, len(packed)-1)
		require.False(t, ok, "sample %d does not fit into less than it takes", i)
	}
}

// After 4 GB the positions start anew.
func TestPositionsWrap(t *testing.T) {
	var s Compressor
	src := []byte(strings.Repeat("abcdefgh", 100))
	want, _ := s.Compress(nil, src, len(src))
	s.base = 1<<32 - 100
	got, ok := s.Compress(nil, src, len(src))
	require.True(t, ok)
	require.Equal(t, want, got)
}

func TestDecompressRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		src  string
		size int
	}{
		"a literal run that is cut":       {"\x05abc", 6},
		"more literals than the size":     {"\x02abc", 2},
		"a repetition of nothing":         {"\x20\x00", 3},
		"a repetition from before":        {"\x00a\x20\x01", 4},
		"a repetition without distance":   {"\x00a\x20", 4},
		"a long repetition without it":    {"\x00a\xe0\x10", 26},
		"a long repetition without size":  {"\x00a\xe0", 26},
		"a repetition beyond the size":    {"\x00a\x20\x00", 3},
		"less than the size":              {"\x00a", 2},
		"nothing, where something should": {"", 1},
	} {
		_, err := Decompress(nil, []byte(c.src), c.size)
		require.ErrorIs(t, err, ErrCorrupt, name)
	}
	got, err := Decompress([]byte("before"), []byte("\x00a\x20\x00"), 4)
	require.NoError(t, err)
	require.Equal(t, "beforeaaaa", string(got))
}

func Fuzz(f *testing.F) {
	for _, s := range testStrings()[:6] {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var s Compressor
		packed, ok := s.Compress(nil, b, 2*len(b)+10)
		require.True(t, ok)
		got, err := Decompress(nil, packed, len(b))
		require.NoError(t, err)
		require.True(t, bytes.Equal(b, got))
		_, _ = Decompress(nil, b, 10*len(b)) // whatever it says, it says without a panic
	})
}

func Benchmark(b *testing.B) {
	samples := testStrings()
	for name, src := range map[string][]byte{"noise": samples[2], "text": samples[3], "words": samples[len(samples)-1]} {
		var s Compressor
		buf := make([]byte, 0, 3*len(src))
		b.Run("compress/"+name, func(b *testing.B) {
			b.SetBytes(int64(len(src)))
			for b.Loop() {
				s.Compress(buf, src, 2*len(src)+10)
			}
		})
		packed, _ := s.Compress(nil, src, 2*len(src)+10)
		b.Run("decompress/"+name, func(b *testing.B) {
			b.SetBytes(int64(len(src)))
			for b.Loop() {
				if _, err := Decompress(buf, packed, len(src)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
