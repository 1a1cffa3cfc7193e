package store

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

// picture is everything in a store at a moment.
func picture(s *Store) map[string]held {
	all := map[string]held{}
	for id := range s.Len() {
		db := s.DB(id)
		db.Each(func(e *Entry) bool {
			all[fmt.Sprint(id, " ", e.Key())] = held{render(e.Value()), db.ExpireAt(e)}
			return true
		})
	}
	return all
}

// collectSnapshot begins a snapshot that puts what it is given into a map, each key once.
func collectSnapshot(t *testing.T, s *Store) (*Snapshot, map[string]held) {
	got := map[string]held{}
	return s.BeginSnapshot(func(e SnapshotEntry) {
		key := fmt.Sprint(e.DB, " ", e.Key)
		_, twice := got[key]
		require.False(t, twice, key)
		got[key] = held{render(e.Value), e.ExpireMs}
	}), got
}

// TestSnapshotIsOfOneMoment lets the world go on between the slices of a snapshot, with writes of
// every kind, expiry, FLUSHDB and SWAPDB, and compares what came out with a copy from the beginning.
func TestSnapshotIsOfOneMoment(t *testing.T) {
	for seed := range uint64(30) {
		w := newWorld(t, seed, []int{20, 300, 2000}[seed%3])
		for range 1500 {
			w.step()
		}
		for range 3 {
			want := picture(w.s)
			sn, got := collectSnapshot(t, w.s)
			require.NotNil(t, w.s.snap)
			keys := 0
			for _, db := range sn.DBs() {
				keys += db.Keys
				require.Equal(t, w.s.DB(db.ID).Len(), db.Keys)
				require.Equal(t, w.s.DB(db.ID).Expires(), db.Expires)
			}
			require.Equal(t, len(want), keys)
			for sn.Next(1 + w.r.IntN(30)) {
				for range w.r.IntN(60) {
					w.step()
				}
			}
			sn.Close()
			require.Nil(t, w.s.snap)
			require.Equal(t, want, got, "seed %d", seed)
			for range 200 {
				w.step()
			}
		}
		w.check()
	}
}

func TestSnapshotGivenUp(t *testing.T) {
	w := newWorld(t, 1, 500)
	for range 3000 {
		w.step()
	}
	sn, _ := collectSnapshot(t, w.s)
	sn.Next(10)
	sn.Close()
	require.False(t, sn.Next(10))
	for range 500 {
		w.step() // nobody is told of these any more
	}
	want := picture(w.s)
	sn, got := collectSnapshot(t, w.s)
	for sn.Next(7) {
		w.step()
	}
	require.Equal(t, want, got)
}

// TestSnapshotWhileAdopting takes a new data set over while the old one is being handed out.
func TestSnapshotWhileAdopting(t *testing.T) {
	w, other := newWorld(t, 2, 300), newWorld(t, 3, 300)
	for range 2000 {
		w.step()
		other.step()
	}
	for range 5 { // the other store has seen more snapshots
		sn, _ := collectSnapshot(t, other.s)
		sn.Close()
	}
	want := picture(w.s)
	sn, got := collectSnapshot(t, w.s)
	sn.Next(50)
	for range 100 {
		w.step() // some entries are handed out before the walk comes to them
	}
	w.s.Adopt(other.s)
	w.model, w.now = other.model, other.now
	w.s.SetNow(w.now)
	for sn.Next(20) {
		for range 20 {
			w.step()
		}
	}
	sn.Close()
	require.Equal(t, want, got)
	w.check()

	want = picture(w.s)
	sn, got = collectSnapshot(t, w.s)
	for sn.Next(20) {
		for range 20 {
			w.step()
		}
	}
	sn.Close()
	require.Equal(t, want, got)
}

func TestAdoptKeepsTheBooks(t *testing.T) {
	s, big := New(1), New(3)
	s.DB(0).SetString([]byte("old"), []byte("x"), false)
	big.DB(0).SetString([]byte("a"), []byte("x"), false)
	big.DB(2).SetString([]byte("out of reach"), []byte("x"), false)
	s.Adopt(big)
	require.Nil(t, s.DB(0).Peek([]byte("old")))
	require.True(t, s.DB(0).Delete([]byte("a")))
	require.Zero(t, s.MemBytes())
}

func TestOneSnapshotAtATime(t *testing.T) {
	s := New(1)
	sn := s.BeginSnapshot(func(SnapshotEntry) {})
	require.Panics(t, func() { s.BeginSnapshot(func(SnapshotEntry) {}) })
	require.Empty(t, sn.DBs())
	require.False(t, sn.Next(1))
	sn.Close()
	require.NotPanics(t, func() { s.BeginSnapshot(func(SnapshotEntry) {}) })
}
