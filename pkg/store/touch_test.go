package store

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

// Touching finds its way through tables of every kind, while they grow and shrink too, and changes nothing.
func TestTouchChangesNothing(t *testing.T) {
	s := New(1)
	s.SetNow(1000)
	s.OnExpire = func(int, string) { t.Fatal("an entry expired") }
	db := s.DB(0)
	var keys, elems [][]byte
	for i := range 200 {
		keys, elems = append(keys, fmt.Appendf(nil, "k%d", i*37)), append(elems, fmt.Appendf(nil, "e%d", i*31))
	}
	keys, elems = append(keys, []byte{}), append(elems, []byte{}, nil)
	touchAll := func() {
		resizing, mem := db.t.keys.resizing(), s.MemBytes()
		db.Touch(keys)
		db.Touch(nil)
		for _, key := range []string{"hash", "set", "zset", "ints", "list", "none", "k0"} {
			db.TouchElems([]byte(key), elems)
		}
		require.Equal(t, resizing, db.t.keys.resizing())
		require.Equal(t, mem, s.MemBytes())
	}
	touchAll() // in an empty database
	h, set, z, ints, l := NewHash(), NewSet(), NewZSet(), NewSet(), NewList()
	for key, v := range map[string]Value{"hash": h, "set": set, "zset": z, "ints": ints, "list": l} {
		db.Set([]byte(key), v)
	}
	const many = 3000
	for i := range many {
		key, elem := fmt.Appendf(nil, "k%d", i), fmt.Appendf(nil, "e%d", i)
		e := db.SetString(key, elem, false)
		if i%5 == 0 {
			db.SetExpire(e, 1) // it is over, and nobody has looked yet
		}
		h.Set(elem, key)
		set.Add(elem)
		z.Add(elem, float64(i))
		ints.Add(fmt.Append(nil, i))
		l.PushTail(elem)
		if i%97 == 0 || i > touchFrom && i < touchFrom+20 {
			touchAll()
		}
	}
	require.Equal(t, many+5, db.Len())
	s.Expiry = KeepExpired
	for i := range many {
		require.Equal(t, fmt.Sprint("e", i), string(db.Peek(fmt.Appendf(nil, "k%d", i)).Value().(*String).View()))
		require.True(t, db.Delete(fmt.Appendf(nil, "k%d", i)))
		set.Remove(fmt.Appendf(nil, "e%d", i))
		if i%97 == 0 {
			touchAll()
		}
	}
	require.Equal(t, 5, db.Len())
}
