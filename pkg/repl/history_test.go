package repl

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A backlog of every size, against a plain slice of all bytes ever appended.
func TestHistoryAgainstAModel(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for range 200 {
		h := NewHistory()
		start := int64(rng.IntN(1000))
		h.Reset(newID(), start)
		size := int64(1 + rng.IntN(50_000))
		h.Keep(size)
		var all []byte
		var old []cursor // of replicas that have read nothing yet
		var oldAt []int
		for range 50 {
			if rng.IntN(10) == 0 {
				old, oldAt = append(old, h.cursor(h.offset)), append(oldAt, len(all))
			}
			b := make([]byte, rng.IntN(1<<rng.IntN(16)))
			for i := range b {
				b[i] = byte(rng.Uint32())
			}
			h.Append(b)
			all = append(all, b...)
			if rng.IntN(5) == 0 {
				size = int64(1 + rng.IntN(50_000))
				h.Keep(size)
			}
			require.Equal(t, start+int64(len(all)), h.Offset())
			_, _, first, length := h.Kept()
			require.LessOrEqual(t, length, size)
			require.Equal(t, h.Offset()-length+1, first)
			for range 3 {
				from := start + 1 + int64(rng.IntN(len(all)+1))
				require.Equal(t, from >= first, h.CanContinue(h.ID(), from))
				if from >= first {
					require.True(t, bytes.Equal(all[from-start-1:], h.AppendFrom(nil, from)))
				}
			}
			require.False(t, h.CanContinue(h.ID(), h.Offset()+2), "from the future")
			require.False(t, h.CanContinue(h.ID(), first-1))
		}
		for i, c := range old {
			var got []byte
			for b := c.next(); len(b) > 0; b = c.next() {
				got = append(got, b...)
			}
			require.True(t, bytes.Equal(all[oldAt[i]:], got), "who holds a place keeps what follows")
		}
	}
}

// What Redis says to PSYNC in the same situations, see replication.c, masterTryPartialResync.
func TestNamesOfAHistory(t *testing.T) {
	h := NewHistory()
	a := h.ID()
	require.Regexp(t, "^[0-9a-f]{40}$", a)
	h.Append([]byte("dropped"))
	require.Zero(t, h.Offset(), "without a backlog nothing is counted")
	require.False(t, h.CanContinue(a, 1))
	h.Keep(100)
	h.Append([]byte("0123456789"))
	id2, upTo := h.ID2()
	require.Equal(t, noID, id2)
	require.Equal(t, int64(-1), upTo)

	h.Promote()
	b := h.ID()
	require.NotEqual(t, a, b)
	id2, upTo = h.ID2()
	require.Equal(t, a, id2)
	require.Equal(t, int64(11), upTo)
	h.Append([]byte("xy"))
	require.True(t, h.CanContinue(a, 1))
	require.True(t, h.CanContinue(a, 11), "the same up to the promotion")
	require.False(t, h.CanContinue(a, 12), "who has more of a than we had, has another stream")
	require.True(t, h.CanContinue(b, 12))
	require.True(t, h.CanContinue(strings.ToUpper(b), 12))
	require.True(t, h.CanContinue(b, 13))
	require.False(t, h.CanContinue(b, 14))
	require.False(t, h.CanContinue("", 1))
	require.False(t, h.CanContinue(noID, 1))
}

// A history that takes another's name keeps one former name, until it is disowned or begun anew.
func TestNamesGivenToAHistory(t *testing.T) {
	h := NewHistory()
	h.Keep(100)
	a := h.ID()
	h.Append([]byte("0123456789"))
	h.Promote()
	b := h.ID()
	h.Append([]byte("xy"))
	require.True(t, h.CanContinue(a, 1))
	h.Rename("c")
	require.True(t, h.CanContinue("c", 13))
	require.True(t, h.CanContinue(b, 13))
	require.False(t, h.CanContinue(a, 1), "only one former name is kept")
	h.Rename("c")
	require.True(t, h.CanContinue(b, 13))
	h.Disown()
	require.False(t, h.CanContinue("c", 13))
	require.False(t, h.CanContinue(b, 13))
	require.True(t, h.CanContinue(h.ID(), 13))

	h.Reset("d", 5000)
	require.Equal(t, int64(5000), h.Offset())
	active, size, first, length := h.Kept()
	require.True(t, active)
	require.Equal(t, []int64{100, 5001, 0}, []int64{size, first, length})
	require.True(t, h.CanContinue("d", 5001))
	require.False(t, h.CanContinue("d", 5000))
	h.Forget()
	active, _, _, _ = h.Kept()
	require.False(t, active)
	require.NotEqual(t, "d", h.ID())
	require.Zero(t, h.Offset())
}

func TestBacklogMemoryIsBounded(t *testing.T) {
	h := NewHistory()
	h.Keep(100_000)
	for range 10_000 {
		h.Append(bytes.Repeat([]byte("x"), 1000))
	}
	total := 0
	for b := h.head; b != nil; b = b.next {
		total += cap(b.buf)
	}
	require.Less(t, total, 200_000)
}

// A master that never had a replica has a name, but nobody can have followed it: its data are older than
// its history.
func TestNothingToContinueBeforeTheFirstReplica(t *testing.T) {
	m := NewMaster(MasterOptions{})
	r, _ := pipe(t, m)
	require.True(t, m.PSync(r, m.h.ID(), 1), "a snapshot is needed")
	second, _ := pipe(t, m)
	require.False(t, m.PSync(second, m.h.ID(), 1))
}
