package store

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// render prints a value, so that two can be compared whatever they are.
func render(v Value) string {
	var parts []string
	switch v := v.(type) {
	case *String:
		return "string " + string(v.View())
	case *List:
		v.Each(func(b []byte) bool { parts = append(parts, string(b)); return true })
		return "list " + strings.Join(parts, ",")
	case *Set:
		v.Each(func(m []byte) bool { parts = append(parts, string(m)); return true })
	case *Hash:
		v.Each(func(f, m []byte) bool { parts = append(parts, string(f)+"="+string(m)); return true })
	case *ZSet:
		v.Each(func(m []byte, s float64) bool { parts = append(parts, fmt.Sprintf("%s=%v", m, s)); return true })
	}
	slices.Sort(parts)
	return v.Type().String() + " " + strings.Join(parts, ",")
}

// world is a store beside a plain model of it.
type world struct {
	t       *testing.T
	r       *rand.Rand
	s       *Store
	model   []map[string]held
	now     int64
	keys    int
	expired int
}

type held struct {
	value string
	at    int64 // -1 for none
}

func newWorld(t *testing.T, seed uint64, keys int) *world {
	w := &world{t: t, r: testRand(seed), s: New(3), now: 1_000_000, keys: keys}
	for range 3 {
		w.model = append(w.model, map[string]held{})
	}
	w.s.SetNow(w.now)
	w.s.OnExpire = func(db int, key string) {
		e, ok := w.model[db][key]
		require.True(t, ok && e.at >= 0 && e.at < w.now, "%s expired at %d, now %d", key, e.at, w.now)
		delete(w.model[db], key)
		w.expired++
	}
	return w
}

// alive returns the model's entry unless it has expired.
func (w *world) alive(db int, key string) (held, bool) {
	e, ok := w.model[db][key]
	return e, ok && (e.at < 0 || e.at >= w.now)
}

func (w *world) randomValue() Value {
	r := w.r
	switch r.IntN(6) {
	case 0:
		l := NewList()
		for range r.IntN(5) {
			l.PushTail(randomElement(r, 300))
		}
		return l
	case 1:
		s := NewSet()
		for range 1 + r.IntN(5) {
			s.Add(randomElement(r, 10))
		}
		return s
	case 2:
		h := NewHash()
		for range 1 + r.IntN(5) {
			h.Set(randomElement(r, 3), randomElement(r, 90))
		}
		return h
	case 3:
		z := NewZSet()
		for range 1 + r.IntN(5) {
			z.Add(randomElement(r, 70), float64(r.IntN(9)))
		}
		return z
	}
	return NewString(randomElement(r, 100))
}

// change changes a value in place.
func (w *world) change(v Value) {
	b := randomElement(w.r, 200)
	switch v := v.(type) {
	case *String:
		if w.r.IntN(2) == 0 {
			v.AppendBytes(b)
		} else {
			v.AddInt(1)
		}
	case *List:
		v.PushHead(b)
		if w.r.IntN(3) == 0 {
			v.PopTail()
		}
	case *Set:
		v.Add(b)
	case *Hash:
		v.Set(b, b)
	case *ZSet:
		v.Add(b, float64(w.r.IntN(9)))
	}
}

// key returns the name of key n. Some are too long to stand in their entry beside a pointer, and some to leave room
// for any string there.
func (w *world) key(n int) string {
	return fmt.Sprint("k", n) + strings.Repeat("-", []int{0, 0, 0, 0, 100, 0, 960, 1000}[n%8])
}

func (w *world) step() {
	r, id := w.r, w.r.IntN(3)
	db, key := w.s.DB(id), w.key(r.IntN(w.keys))
	had, alive := w.alive(id, key)
	switch op := r.IntN(100); {
	case op < 30:
		w.set(op, db, key, had, alive)
	case op < 45:
		w.editString(db, key, had, alive)
	case op < 55:
		require.Equal(w.t, alive, db.Delete([]byte(key)))
		delete(w.model[id], key)
	case op < 72:
		w.setExpiry(op < 67, db, key, had)
	case op < 80:
		w.now += int64(r.IntN(20))
		w.s.SetNow(w.now)
	case op < 84:
		require.LessOrEqual(w.t, db.ExpireDue(3), 3)
	default:
		w.look(db, key, had, alive)
	}
	w.rarely()
}

// set sets a key in one of the three ways: with its expiry gone, kept, or either for a string.
func (w *world) set(op int, db *DB, key string, had held, alive bool) {
	at := had.at
	if !alive {
		at = -1
	}
	switch {
	case op < 15:
		v := w.randomValue()
		text := render(v)
		db.Set([]byte(key), v)
		w.model[db.ID()][key] = held{text, -1}
	case op < 20:
		v := w.randomValue()
		text := render(v)
		e := db.SetKeepTTL([]byte(key), v)
		require.Equal(w.t, key, e.Key())
		w.model[db.ID()][key] = held{text, at}
	default:
		b, keep := randomElement(w.r, 100), w.r.IntN(2) == 0
		db.SetString([]byte(key), b, keep)
		if !keep {
			at = -1
		}
		w.model[db.ID()][key] = held{"string " + string(b), at}
	}
}

// setExpiry gives a key an expiry, or takes it away.
func (w *world) setExpiry(give bool, db *DB, key string, had held) {
	e := db.Lookup([]byte(key))
	if e == nil {
		return
	}
	if !give {
		require.Equal(w.t, had.at >= 0, db.Persist(e))
		w.model[db.ID()][key] = held{had.value, -1}
		return
	}
	at := w.now - 5 + int64(w.r.IntN(400))
	db.SetExpire(e, at)
	require.Equal(w.t, at, db.ExpireAt(e))
	w.model[db.ID()][key] = held{had.value, at}
}

func (w *world) editString(db *DB, key string, had held, alive bool) {
	e := db.Lookup([]byte(key))
	require.Equal(w.t, alive, e != nil)
	if !alive {
		return
	}
	switch e.Value().(type) {
	case *String:
		if w.r.IntN(3) == 0 {
			w.addInt(db, key, e.Value().(*String))
			break
		}
		v, entry, err := Edit[*String](db, []byte(key))
		require.NoError(w.t, err)
		w.change(v)
		db.Changed(entry)
		_, err = Get[*List](db, []byte(key))
		require.ErrorIs(w.t, err, ErrWrongType)
	case *List:
		editAny[*List](w, db, key)
	case *Set:
		editAny[*Set](w, db, key)
	case *Hash:
		editAny[*Hash](w, db, key)
	case *ZSet:
		editAny[*ZSet](w, db, key)
	}
	w.model[db.ID()][key] = held{render(db.Peek([]byte(key)).Value()), had.at}
}

// addInt adds to what may be a number, in place of Edit.
func (w *world) addInt(db *DB, key string, v *String) {
	want, isInt, fits := v.Clone().(*String).AddInt(7)
	sum, e, err := db.AddInt([]byte(key), 7)
	switch {
	case !isInt:
		require.ErrorIs(w.t, err, ErrNotInteger)
	case !fits:
		require.ErrorIs(w.t, err, ErrOverflow)
	default:
		require.NoError(w.t, err)
		require.Equal(w.t, want, sum)
		require.Equal(w.t, "int", e.Value().Encoding())
	}
}

func editAny[T Value](w *world, db *DB, key string) {
	_, _, err := Edit[*String](db, []byte(key))
	require.ErrorIs(w.t, err, ErrWrongType)
	v, entry, err := Edit[T](db, []byte(key))
	require.NoError(w.t, err)
	w.change(v)
	db.Changed(entry)
}

func (w *world) look(db *DB, key string, had held, alive bool) {
	e := db.Lookup([]byte(key))
	require.Equal(w.t, alive, e != nil)
	if e == nil {
		return
	}
	require.Equal(w.t, had.value, render(e.Value()))
	require.Equal(w.t, had.at, db.ExpireAt(e))
	require.Equal(w.t, had.at >= 0, e.HasExpiry())
	require.Equal(w.t, uint32(w.now/1000), e.AccessSec())
}

// rarely does what concerns whole databases.
func (w *world) rarely() {
	switch w.r.IntN(3000) {
	case 0:
		id := w.r.IntN(3)
		w.s.DB(id).Flush()
		w.model[id] = map[string]held{}
	case 1, 2, 3:
		i, j := w.r.IntN(3), w.r.IntN(3)
		w.s.Swap(i, j)
		w.model[i], w.model[j] = w.model[j], w.model[i]
	}
}

// check compares everything, expired entries that nobody has looked up included.
func (w *world) check() {
	var total int64
	for id, m := range w.model {
		db := w.s.DB(id)
		require.Equal(w.t, len(m), db.Len())
		expires := 0
		got := map[string]held{}
		db.Each(func(e *Entry) bool {
			got[e.Key()] = held{render(e.Value()), db.ExpireAt(e)}
			least := entryOverhead + int64(len(e.Key())) + e.Value().MemBytes()
			if e.kind < holdsOwn {
				least -= int64(entryHead) // which the value counts as well
			}
			require.GreaterOrEqual(w.t, e.EntryBytes(), least, e.Key())
			require.LessOrEqual(w.t, e.EntryBytes(), least+24, e.Key())
			total += e.EntryBytes()
			return true
		})
		require.Equal(w.t, m, got)
		next := int64(-1)
		for _, e := range m {
			if e.at >= 0 {
				expires++
				if next < 0 || e.at < next {
					next = e.at
				}
			}
		}
		require.Equal(w.t, expires, db.Expires())
		require.Equal(w.t, next, nextExpiry(db))
		checkHeap(w.t, &db.t.due)
	}
	require.Equal(w.t, total, w.s.MemBytes())
}

// nextExpiry returns the earliest expiry time, or -1 when no key has one.
func nextExpiry(db *DB) int64 {
	if db.t.due.len() == 0 {
		return -1
	}
	return db.t.due.at(0).atMs
}

func TestStoreAgainstAMap(t *testing.T) {
	for seed := range uint64(4) {
		w := newWorld(t, seed, []int{30, 500}[seed%2])
		for i := range 12000 {
			w.step()
			if i%1500 == 0 {
				w.check()
			}
		}
		w.check()
		require.Positive(t, w.expired)
		for id, m := range w.model {
			for key := range m {
				w.s.DB(id).Delete([]byte(key))
			}
		}
		require.Zero(t, w.s.MemBytes())
		for id := range w.model {
			require.Zero(t, w.s.DB(id).Expires())
			require.Nil(t, w.s.DB(id).Random())
		}
	}
}

func TestExpiryModes(t *testing.T) {
	s := New(1)
	s.SetNow(1000)
	db := s.DB(0)
	var gone []string
	s.OnExpire = func(_ int, key string) { gone = append(gone, key) }
	e := db.SetString([]byte("k"), []byte("v"), false)
	db.SetExpire(e, 1500)

	s.SetNow(1500)
	require.NotNil(t, db.Peek([]byte("k")), "the last millisecond still counts")
	s.SetNow(1501)

	s.Expiry = KeepExpired
	require.NotNil(t, db.Lookup([]byte("k")))
	require.False(t, db.Expired(e))

	s.Expiry = HideExpired
	require.Nil(t, db.Lookup([]byte("k")))
	require.True(t, db.Expired(e))
	require.Zero(t, db.ExpireDue(10), "a replica waits for its master")
	require.Equal(t, 1, db.Len())
	require.Same(t, e, db.Random(), "nothing else is there")
	require.False(t, db.Delete([]byte("k")))

	// A write over an expired key that is kept makes a new one, without its expiry.
	db.SetString([]byte("k"), []byte("w"), true)
	require.Equal(t, 1, db.Len())
	require.Zero(t, db.Expires())
	require.Equal(t, "w", string(db.Peek([]byte("k")).Value().(*String).View()))

	s.Expiry = DeleteExpired
	db.SetExpire(db.Peek([]byte("k")), 1501)
	s.SetNow(1502)
	require.Nil(t, db.Random())
	require.Equal(t, []string{"k"}, gone)
	require.Zero(t, s.MemBytes())
}

func TestExpireDueTakesTheNextFirst(t *testing.T) {
	s := New(2)
	var order []string
	s.OnExpire = func(_ int, key string) { order = append(order, key) }
	for _, i := range testRand(3).Perm(500) {
		e := s.DB(0).SetString(fmt.Appendf(nil, "%03d", i), nil, false)
		s.DB(0).SetExpire(e, int64(i))
	}
	s.SetNow(250)
	require.Equal(t, int64(0), s.DB(0).AvgTTL()/1000)
	for _, key := range []string{"a", "b"} { // until the end of time
		e := s.DB(1).SetString([]byte(key), nil, false)
		s.DB(1).SetExpire(e, math.MaxInt64)
	}
	require.Equal(t, int64(1<<62), s.DB(1).AvgTTL())
	require.Equal(t, 100, s.DB(0).ExpireDue(100))
	require.Equal(t, 150, s.DB(0).ExpireDue(1000))
	require.Equal(t, 250, s.DB(0).Len())
	require.True(t, slices.IsSorted(order))
	require.Equal(t, "249", order[249])
	require.Equal(t, int64(250), nextExpiry(s.DB(0)))
}

func checkHeap(t *testing.T, h *deadlines) {
	for i := range h.len() {
		d := h.at(i)
		require.Equal(t, int32(i+1), d.e.deadline)
		if i > 0 {
			require.LessOrEqual(t, h.at((i-1)/arity).atMs, d.atMs)
		}
	}
}

func TestDeadlinesStayAHeap(t *testing.T) {
	r := testRand(7)
	var h deadlines
	var entries []*Entry
	rooms := 0
	for range 8000 {
		entries = append(entries, new(Entry))
	}
	for i := range 40000 {
		e := entries[r.IntN(len(entries))]
		switch {
		case i > 28000 && e.deadline != 0: // towards empty, so that it gives memory back
			h.remove(e)
		case r.IntN(3) > 0 && i < 32000:
			h.set(e, int64(r.IntN(1000)))
		case e.deadline != 0:
			h.remove(e)
		}
		if i%2000 == 0 {
			checkHeap(t, &h)
		}
		rooms = max(rooms, len(h.rooms))
	}
	checkHeap(t, &h)
	require.Greater(t, rooms, 2)
	require.Less(t, len(h.rooms), rooms)
	require.LessOrEqual(t, len(h.rooms), h.len()/dueRoom+2)
}
