package store

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// pieceCollector makes collections of their pieces.
type pieceCollector struct {
	t     *testing.T
	got   map[string]held
	value Value // of the collection under way, nil between two
	pairs int
}

func (c *pieceCollector) add(p SnapshotPiece) {
	require.Equal(c.t, p.First, c.value == nil, "pieces of one collection follow each other")
	if p.First {
		c.pairs = 0
		switch p.Value.(type) {
		case *Hash:
			c.value = NewHash()
		case *Set:
			c.value = NewSet()
		case *ZSet:
			c.value = NewZSet()
		}
	}
	for _, e := range p.Elements {
		c.pairs++
		isNew := false
		switch v := c.value.(type) {
		case *Hash:
			isNew = v.Set([]byte(e.Member), []byte(e.Value))
		case *Set:
			isNew = v.Add([]byte(e.Member))
		case *ZSet:
			isNew = v.Add([]byte(e.Member), e.Score)
		}
		require.True(c.t, isNew, "%q came twice", e.Member)
	}
	if p.Last {
		require.Equal(c.t, p.Len, c.pairs)
		c.emit(SnapshotEntry{p.DB, p.Key, c.value, p.ExpireMs, p.IdleSec, p.Freq})
		c.value = nil
	}
}

func (c *pieceCollector) emit(e SnapshotEntry) {
	require.True(c.t, e.Value == c.value || c.value == nil, "an entry among the pieces of another")
	key := fmt.Sprint(e.DB, " ", e.Key)
	require.NotContains(c.t, c.got, key)
	c.got[key] = held{render(e.Value), e.ExpireMs}
}

// editBig changes the big collection of a key, or the key itself.
func editBig(r *rand.Rand, db *DB, size int) {
	key := fmt.Append(nil, "big", r.IntN(6))
	m, v := fmt.Append(nil, "m", r.IntN(2*size)), fmt.Append(nil, r.IntN(1000))
	e := db.Lookup(key)
	switch op := r.IntN(4000); {
	case e == nil:
		db.Set(key, []Value{NewHash(), NewSet(), NewZSet()}[r.IntN(3)])
		return
	case op == 0:
		db.Delete(key)
		return
	case op == 1: // as RENAME does it
		old := e.Value()
		db.Remove(e)
		db.Set(fmt.Append(nil, "big", r.IntN(6)), old)
		return
	case op == 2:
		db.SetExpire(e, 1<<40+int64(r.IntN(1000)))
		return
	}
	val, e, _ := Edit[Value](db, key)
	remove := r.IntN(5) < 2
	switch v2 := val.(type) {
	case *Hash:
		if remove {
			v2.Delete(m)
		} else {
			v2.Set(m, v)
		}
	case *Set:
		if remove {
			v2.Remove(m)
		} else {
			v2.Add(m)
		}
	case *ZSet:
		switch {
		case remove && r.IntN(100) == 0:
			v2.DeleteRange(r.IntN(v2.Len()+1), r.IntN(50))
		case remove:
			v2.Remove(m)
		default:
			v2.Add(m, randomScore(r))
		}
	}
	db.Changed(e)
}

// TestPiecesAreOfOneMoment changes big collections in every way while they are handed out, from a few
// changes between two pieces to so many that the tables are resized meanwhile.
func TestPiecesAreOfOneMoment(t *testing.T) {
	for seed := range uint64(6) {
		r := testRand(seed)
		s := New(2)
		size := []int{2500, 5000, 9000}[seed%3]
		for range 10 * size {
			editBig(r, s.DB(r.IntN(2)), size)
		}
		for range 3 {
			want := picture(s)
			c := &pieceCollector{t: t, got: map[string]held{}}
			sn := s.BeginSnapshot(c.emit)
			sn.InPieces(c.add)
			changes := []int{3, 100, 1000}[r.IntN(3)]
			target := size
			if r.IntN(2) == 0 {
				target = 30 // the same few elements again and again
			}
			for sn.Next(1 + r.IntN(20)) {
				for range r.IntN(changes) {
					editBig(r, s.DB(r.IntN(2)), target)
				}
				if r.IntN(15) == 0 { // a table that shrinks
					thinOut(r, s.DB(r.IntN(2)))
				}
			}
			sn.Close()
			require.Equal(t, len(want), len(c.got))
			for k := range want {
				require.True(t, want[k] == c.got[k], "seed %d, %s", seed, k)
			}
			requireUnwatched(t, s)
		}
	}
}

// thinOut removes most elements of one collection.
func thinOut(r *rand.Rand, db *DB) {
	val, e, _ := Edit[Value](db, fmt.Append(nil, "big", r.IntN(6)))
	switch v := val.(type) {
	case *Hash:
		for v.d != nil && v.Len() > 100 {
			f, _, _ := v.Random()
			v.Delete(f)
		}
	case *Set:
		for v.large && v.Len() > 100 {
			v.Remove(v.Random())
		}
	case *ZSet:
		v.DeleteRange(r.IntN(20), v.Len())
	}
	if e != nil {
		db.Changed(e)
	}
}

// requireUnwatched checks that no collection reports its changes any more.
func requireUnwatched(t *testing.T, s *Store) {
	for id := range s.Len() {
		s.DB(id).Each(func(e *Entry) bool {
			switch v := e.Value().(type) {
			case *Hash:
				require.True(t, v.d == nil || v.d.touch == nil)
			case *Set:
				require.True(t, !v.large || v.members().touch == nil)
			case *ZSet:
				require.True(t, v.skip == nil || v.skip.d.touch == nil)
			}
			return true
		})
	}
}

func TestPiecesGivenUp(t *testing.T) {
	s, r := New(2), testRand(1)
	for range 30000 {
		editBig(r, s.DB(r.IntN(2)), 3000)
	}
	sn := s.BeginSnapshot(func(SnapshotEntry) {})
	pieces := 0
	sn.InPieces(func(SnapshotPiece) { pieces++ })
	for pieces < 3 {
		require.True(t, sn.Next(8))
	}
	sn.Close()
	requireUnwatched(t, s)
	require.False(t, sn.Next(8))
	require.Equal(t, 3, pieces)
}

// Without InPieces, as in the first of the steps, whatever the size comes whole.
func TestBigCollectionsComeWholeUnlessAskedOtherwise(t *testing.T) {
	s := New(1)
	z := NewZSet()
	for i := range 2 * slowLen {
		z.Add(fmt.Append(nil, i), float64(i))
	}
	s.DB(0).Set([]byte("z"), z)
	sn, got := collectSnapshot(t, s)
	for sn.Next(10) {
	}
	require.Equal(t, picture(s), got)
}

// A table that shrinks while it is walked puts elements that have been handed out together with others
// that have not. The cursor alone would hand them out again.
func TestPiecesOfAShrinkingTable(t *testing.T) {
	r := testRand(1)
	for range 60 {
		s, set := New(1), NewSet()
		for i := range 4090 { // a table that is full, so that pieces do not end at round numbers
			set.Add(fmt.Append(nil, "m", i))
		}
		s.DB(0).Set([]byte("s"), set)
		want := picture(s)
		c := &pieceCollector{t: t, got: map[string]held{}}
		sn := s.BeginSnapshot(c.emit)
		sn.InPieces(c.add)
		for range 10 + r.IntN(20) {
			require.True(t, sn.Next(8))
		}
		for set.Len() > 500 {
			set.Remove(set.Random())
		}
		set.members().step(r.IntN(5000))
		for sn.Next(8) {
		}
		require.Equal(t, want, c.got)
	}
}
