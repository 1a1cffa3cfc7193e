package store

import (
	"bytes"
	"math"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestStringKeepsIntegersAsSuch(t *testing.T) {
	for text, encoding := range map[string]string{
		"0": "int", "-1": "int", "9223372036854775807": "int", "-9223372036854775808": "int",
		"": "embstr", "-": "embstr", "-0": "embstr", "+1": "embstr", "01": "embstr", " 1": "embstr", "1 ": "embstr",
		"1.0": "embstr", "9223372036854775808": "embstr", "-9223372036854775809": "embstr", "12345678901234567890": "embstr",
		"/1": "embstr", "1a": "embstr",
		strings.Repeat("x", 44): "embstr", strings.Repeat("x", 45): "raw",
	} {
		s := NewString([]byte(text))
		require.Equal(t, encoding, s.Encoding(), text)
		require.Equal(t, text, string(s.View()))
		require.Equal(t, ">"+text, string(s.Append([]byte(">"))))
		require.Equal(t, len(text), s.Len(), text)
		_, isInt := s.Int()
		require.Equal(t, encoding == "int", isInt)
	}
}

func TestStringAgainstBytes(t *testing.T) {
	r := testRand(5)
	s, model := NewString(nil), ""
	for range 5000 {
		v := randomElement(r, 100)
		switch r.IntN(6) {
		case 0:
			s.own().set(v)
			model = string(v)
		case 1:
			if model += string(v); len(model) > 500 {
				s.own().set(nil)
				model = string(v)
			}
			require.Equal(t, len(model), s.AppendBytes([]byte(model)[s.Len():]))
			require.Equal(t, "raw", s.Encoding(), "Redis calls raw what was edited in place")
		case 2:
			size := r.IntN(200)
			b := s.Grow(size)
			if size > len(model) {
				model += strings.Repeat("\x00", size-len(model))
			}
			require.Len(t, b, len(model))
			if size > 0 {
				b[size-1] = 'g'
				model = model[:size-1] + "g" + model[size:]
			}
		case 3:
			n := int64(r.Uint64())
			model = strconv.FormatInt(n, 10)
			s.own().set([]byte(model))
		case 4:
			c := s.Clone().(*String)
			require.Equal(t, model, string(c.View()))
			require.Equal(t, s.Encoding() == "int", c.Encoding() == "int")
			c.AppendBytes([]byte("not shared"))
		case 5:
			model = checkAdd(t, s, model, int64(r.Uint64())>>r.IntN(64))
		}
		require.Equal(t, model, string(s.View()))
		require.Equal(t, len(model), s.Len())
	}
}

// checkAdd adds delta to what may be a number, and returns what it is then.
func checkAdd(t *testing.T, s *String, model string, delta int64) string {
	t.Helper()
	was, err := strconv.ParseInt(model, 10, 64)
	isNumber := err == nil && strconv.FormatInt(was, 10) == model
	sum, isInt, ok := s.AddInt(delta)
	require.Equal(t, isNumber, isInt, model)
	fits := isNumber && !(delta > 0 && was > math.MaxInt64-delta) && !(delta < 0 && was < math.MinInt64-delta)
	require.Equal(t, fits, ok)
	if !ok {
		return model
	}
	require.Equal(t, was+delta, sum)
	return strconv.FormatInt(sum, 10)
}

func TestStringDoesNotHoldOnToLargeMemory(t *testing.T) {
	s := NewString(make([]byte, 1<<20))
	s.own().set([]byte("small"))
	require.Less(t, s.MemBytes(), int64(200))
}

// An empty string is no integer, however it is given.
func TestEmptyStrings(t *testing.T) {
	db := New(1).DB(0)
	for name, set := range map[string]func(k, b []byte){
		"SetString": func(k, b []byte) { db.SetString(k, b, false) },
		"Set":       func(k, b []byte) { db.Set(k, NewString(b)) },
		"plain":     func(k, b []byte) { db.Set(k, NewPlainString(b)) },
		"taken":     func(k, b []byte) { db.SetTaken(k, b, false) },
		"again":     func(k, b []byte) { db.SetString(k, []byte("12"), false); db.SetString(k, b, true) },
		"long": func(k, b []byte) {
			db.SetString(k, make([]byte, 2000), false)
			db.SetString(k, b, false)
		},
	} {
		for _, b := range [][]byte{nil, {}} {
			set([]byte(name), b)
			s := db.Peek([]byte(name)).Value().(*String)
			require.Equal(t, "", string(s.View()), name)
			require.Equal(t, "embstr", s.Encoding(), name)
		}
	}
}

// TestNilIsAnEmptyString: nil bytes are an empty string, and not the integer that a string without bytes is.
func TestNilIsAnEmptyString(t *testing.T) {
	db := New(1).DB(0)
	for _, v := range []*String{NewString(nil), NewPlainString(nil), db.SetString([]byte("k"), nil, false).Value().(*String),
		db.Set([]byte("k"), NewString(nil)).Value().(*String), db.AddNew(nil, NewString(nil)).Value().(*String)} {
		require.Equal(t, "embstr", v.Encoding())
		require.Zero(t, v.Len())
		require.Empty(t, v.View())
		require.Equal(t, "embstr", v.Clone().(*String).Encoding())
	}
	require.NotNil(t, db.Peek(nil), "an empty key is one, too")
}

// What SetTaken replaces is handed out when a snapshot under way has had it, and only if it stood on its own.
func TestReplacedBytesAreHandedOut(t *testing.T) {
	s := New(1)
	db, key := s.DB(0), []byte("k")
	var replaced [][]byte
	s.OnReplaced = func(b []byte) { replaced = append(replaced, b) }
	large := func(c byte) []byte { return bytes.Repeat([]byte{c}, 2000) }
	db.SetTaken(key, large('a'), false)
	require.Empty(t, replaced)
	var seen []string
	sn := s.BeginSnapshot(func(e SnapshotEntry) { seen = append(seen, string(e.Value.(*String).View())) })
	db.SetTaken(key, large('b'), false)
	require.Equal(t, []string{string(large('a'))}, seen)
	require.Equal(t, [][]byte{large('a')}, replaced)
	sn.Close()
	for _, v := range []Value{NewString([]byte("short")), NewInt(7), NewList()} {
		db.Set(key, v)
		replaced = nil
		db.SetTaken(key, large('c'), false)
		for _, b := range replaced {
			require.Less(t, len(b), 2000)
		}
	}
	db.SetExpire(db.Peek(key), 5)
	s.SetNow(10)
	replaced = nil
	e := db.SetTaken(key, large('d'), false)
	require.Equal(t, [][]byte{large('c')}, replaced)
	require.Equal(t, large('d'), e.Value().(*String).View())
	require.Equal(t, 1, db.Len())
}
