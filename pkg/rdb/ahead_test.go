package rdb

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"byor/pkg/store"
)

// calls returns a Handler that notes what it is called with, in lines.
func calls(lines *[]string) Handler {
	note := func(format string, args ...any) error {
		*lines = append(*lines, fmt.Sprintf(format, args...))
		return nil
	}
	entry := func(e *Entry, v store.Value) error {
		return note("entry %d %q %v %d %d %d", e.DB, e.Key, digestOf(v), e.ExpireMs, e.IdleSec, e.Freq)
	}
	return Handler{
		Aux:       func(name, value []byte) error { return note("aux %q %q", name, value) },
		SelectDB:  func(db int) error { return note("select %d", db) },
		Resize:    func(keys, expires uint64) error { return note("resize %d %d", keys, expires) },
		Entry:     func(e *Entry) error { return entry(e, e.Value) },
		String:    func(e *Entry, s []byte) error { return entry(e, store.NewString(s)) },
		Function:  func(source []byte) error { return note("function %q", source) },
		ModuleAux: func(module string) error { return note("module %q", module) },
		Empty:     func(db int, key []byte) error { return note("empty %d %q", db, key) },
	}
}

// manyKeys is a file of several batches, with strings of all lengths.
func manyKeys(t testing.TB) []byte {
	s := store.New(2)
	for i := range 3000 {
		s.DB(i/2000).Set(fmt.Appendf(nil, "key:%d", i), store.NewString(bytes.Repeat([]byte{byte(i)}, i*i%9000)))
	}
	var b bytes.Buffer
	require.NoError(t, Save(&b, s))
	return b.Bytes()
}

// Reading ahead makes the same calls as reading, and ends with the same error, wherever a file is cut off
// or damaged.
func TestReadAhead(t *testing.T) {
	files := damaged(t)
	files["many"], files["module"] = manyKeys(t), fixture(t, "module_aux_v10.rdb")
	for name, b := range files {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			both := func(b []byte, asValues bool) {
				var want, got []string
				h, ahead := calls(&want), calls(&got)
				if asValues {
					h.String, ahead.String = nil, nil
				}
				wantErr := NewReader(bytes.NewReader(b)).Read(h)
				err := NewReader(bytes.NewReader(b)).ReadAhead(ahead)
				require.Equal(t, want, got)
				require.Equal(t, wantErr, err)
			}
			both(b, false)
			both(b, true)
			for n := 0; n < len(b); n += max(1, len(b)/20) {
				both(b[:n], false)
				bad := bytes.Clone(b)
				bad[n] ^= 0x55
				both(bad, false)
			}
		})
	}
}

// An error of the handler ends the reading: nothing is called any more, and the source is left alone.
func TestReadAheadStopped(t *testing.T) {
	b := manyKeys(t)
	stop := errors.New("enough")
	for _, last := range []int{0, 1, 300, 2999} {
		n := 0
		src := bytes.NewReader(b)
		count := func(e *Entry) error {
			if n++; n > last {
				return stop
			}
			return nil
		}
		err := NewReader(src).ReadAhead(Handler{Entry: count, String: func(e *Entry, _ []byte) error { return count(e) }})
		require.ErrorIs(t, err, stop)
		require.Equal(t, last+1, n)
		src.Reset(nil) // under the race detector this says so if somebody still reads
	}
	require.ErrorIs(t, NewReader(bytes.NewReader(b)).ReadAhead(Handler{SelectDB: func(int) error { return stop }}), stop)
}

// Keys are announced before their entries come.
func TestReadAheadKeys(t *testing.T) {
	var ahead []string
	err := NewReader(bytes.NewReader(manyKeys(t))).ReadAhead(Handler{
		Ahead: func(keys [][]byte) {
			require.Empty(t, ahead)
			for _, k := range keys {
				ahead = append(ahead, string(k))
			}
		},
		Entry: func(e *Entry) error {
			require.Equal(t, ahead[0], string(e.Key))
			ahead = ahead[1:]
			return nil
		},
	})
	require.NoError(t, err)
	require.Empty(t, ahead)
}

// More keys than were claimed, fewer, or absurdly many: the store has what the file has, and no memory was
// taken for the rest.
func TestResizeIsAHint(t *testing.T) {
	for _, claim := range []string{"\x00\x00", "\x01\x00", "\x81\xff\xff\xff\xff\xff\xff\xff\xff\x00"} {
		keys := []string{"\xfe\x00\xfb" + claim}
		for i := range 1000 {
			keys = append(keys, pair(typeString, fmt.Sprint("k", i), str("v")))
		}
		s, err := tryLoad(t, file("0010", keys...), true)
		require.NoError(t, err)
		require.Equal(t, 1000, s.DB(0).Len())
	}
}
