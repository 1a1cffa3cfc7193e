package rdb

import (
	"bytes"
	"fmt"
	"os"
	"runtime/metrics"
	"testing"

	"github.com/stretchr/testify/require"

	"byor/pkg/store"
)

// tryLoad loads what may be anything. Memory taken must be in proportion to the input.
func tryLoad(t testing.TB, b []byte, noChecksum bool) (*store.Store, error) {
	before := allocated()
	s := store.New(16)
	s.Expiry = store.KeepExpired
	r := NewReader(bytes.NewReader(b))
	r.NoChecksum = noChecksum
	var n Loaded
	err := r.Read(Into(s, &n))
	if got, most := allocated()-before, uint64(20<<20+200*len(b)); got > most {
		t.Fatalf("%d bytes of memory for %d bytes of input", got, len(b))
	}
	return s, err
}

// allocated returns the bytes allocated since the process began.
func allocated() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

// damaged are the files that get damaged. The small ones are tried at every bit and every byte, the
// others at about as many places; SWEEP=all tries every place of all.
func damaged(t testing.TB) map[string][]byte {
	return map[string][]byte{
		"legacy": legacyFile(), "plain": fixture(t, "ql_plain_v10.rdb"),
		"minimal": fixture(t, "minimal_writer_v10.rdb"), "all_types": fixture(t, "all_types_v10.rdb"),
		"lru": fixture(t, "all_types_lru_v10.rdb"), "lfu": fixture(t, "all_types_lfu_v10.rdb"),
		"nolzf": fixture(t, "all_types_nolzf_v10.rdb"),
	}
}

func stride(places, most int) int {
	if os.Getenv("SWEEP") == "all" || places < 20_000 {
		return 1
	}
	return max(1, places/most|1) // odd, so that every bit of a byte has its turn
}

func TestEveryBitFlip(t *testing.T) {
	for name, b := range damaged(t) {
		t.Run(name, func(t *testing.T) {
			want := load(t, b).Digest()
			bad := bytes.Clone(b)
			loadedAnyway := 0
			for bit := 0; bit < 8*len(b); bit += stride(8*len(b), 500) {
				bad[bit/8] ^= 1 << (bit % 8)
				s, err := tryLoad(t, bad, false)
				if err == nil {
					require.Equal(t, want, s.Digest(), "bit %d", bit)
					loadedAnyway++
				}
				// Without the checksum the format itself must notice, or load something else: but
				// never panic, and never believe a size.
				_, _ = tryLoad(t, bad, true)
				bad[bit/8] ^= 1 << (bit % 8)
			}
			require.LessOrEqual(t, loadedAnyway, 8, "only a version that has no checksum can hide a flip")
		})
	}
}

func TestEveryTruncation(t *testing.T) {
	for name, b := range damaged(t) {
		t.Run(name, func(t *testing.T) {
			for n := 0; n < len(b); n += stride(len(b), 200) {
				_, err := tryLoad(t, b[:n], false)
				var fe *FormatError
				require.ErrorAs(t, err, &fe, "%d bytes", n)
				require.ErrorContains(t, err, "expected ", "%d bytes", n)
				require.LessOrEqual(t, fe.Offset, int64(n))
			}
		})
	}
}

func FuzzReader(f *testing.F) {
	for _, b := range damaged(f) {
		if len(b) < 3000 { // the fuzzer takes its time with large ones
			f.Add(b)
		}
	}
	v1, v2, v3 := legacyStream()
	f.Add(file("0011", pair(typeStream, "1", v1), pair(typeStream2, "2", v2), pair(typeStream3, "3", v3),
		pair(typeSetListpack, "set", str(lp("a", "17", "b")))))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := tryLoad(t, b, true)
		if err != nil {
			return
		}
		// What was accepted is a data set like any other: it can be written, and read again.
		var again bytes.Buffer
		require.NoError(t, Save(&again, s))
		require.Equal(t, s.Digest(), load(t, again.Bytes()).Digest())
	})
}

func FuzzRestore(f *testing.F) {
	s := load(f, legacyFile())
	s.DB(0).Each(func(e *store.Entry) bool {
		p := Dump(e.Value())
		f.Add(p[:len(p)-dumpFooter])
		return true
	})
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := restore(b)
		if err != nil || v == nil {
			return
		}
		again, err := Restore(Dump(v))
		require.NoError(t, err)
		require.Equal(t, digestOf(v), digestOf(again))
	})
}

// digestOf returns the digest of a value.
func digestOf(v store.Value) string {
	s := store.New(1)
	return fmt.Sprint(s.DB(0).ValueDigest(s.DB(0).AddNew([]byte("k"), v)))
}
