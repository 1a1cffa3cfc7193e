package rdb_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"byor/pkg/rdb"
	"byor/pkg/store"
)

// A whole store in two lines, for a server that may make everybody wait.
func Example() {
	st := store.New(16)
	st.DB(0).Set([]byte("greeting"), store.NewString([]byte("hello")))

	var file bytes.Buffer
	_ = rdb.Save(&file, st)

	again := store.New(16)
	n, err := rdb.Load(&file, again)
	fmt.Println(n.Keys, err)
	// Output: 1 <nil>
}

// What stands in a file, record by record.
func ExampleReader() {
	var file bytes.Buffer
	w := rdb.NewWriter(&file)
	_ = w.Aux("redis-ver", "7.0.15")
	_ = w.SelectDB(3, 1, 1)
	_ = w.Entry("n", store.NewInt(42), 1_900_000_000_000)
	_ = w.Close()

	err := rdb.NewReader(&file).Read(rdb.Handler{
		Aux: func(name, value []byte) error {
			fmt.Printf("%s is %s\n", name, value)
			return nil
		},
		Entry: func(e *rdb.Entry) error {
			fmt.Println(e.DB, string(e.Key), e.Value.Type(), e.ExpireMs)
			return nil
		},
	})
	fmt.Println(err)
	// Output:
	// redis-ver is 7.0.15
	// 3 n string 1900000000000
	// <nil>
}

// A server that must not make anybody wait encodes under its lock, and writes without it.
func ExampleBatch() {
	var file bytes.Buffer
	w := rdb.NewWriter(&file)
	var batch rdb.Batch

	// With the lock:
	batch.SelectDB(0)
	batch.Entry("k", store.NewString([]byte("v")), rdb.NoExpiry)

	// Without it:
	_ = w.Write(&batch)
	batch.Reset()

	fmt.Println(w.Close(), file.Len())
	// Output: <nil> 25
}

// A filter: it copies a snapshot but for what is temporary, and what the file says beside the keys goes along.
func ExampleWriter() {
	var file, copied bytes.Buffer
	from := rdb.NewWriter(&file)
	_ = from.Function("#!lua name=tools …")
	_ = from.SelectDB(7, 3, 1)
	_ = from.Entry("session", store.NewString([]byte("x")), 1_900_000_000_000)
	_ = from.Entry("cold", store.NewInt(1), rdb.NoExpiry, rdb.Idle(3600))
	_ = from.Entry("hot", store.NewInt(2), rdb.NoExpiry, rdb.Freq(200))
	_ = from.Close()

	w := rdb.NewWriter(&copied)
	db := 0
	err := rdb.NewReader(&file).Read(rdb.Handler{
		Aux:      func(name, value []byte) error { return w.Aux(string(name), string(value)) },
		Function: func(source []byte) error { return w.Function(string(source)) },
		SelectDB: func(id int) error { db = id; return nil },
		Resize: func(keys, expires uint64) error { // how many the file claims to have
			fmt.Println("database", db, "keys", keys, "of them temporary", expires)
			return w.SelectDB(db, int(keys-expires), 0)
		},
		Entry: func(e *rdb.Entry) error {
			if e.ExpireMs != rdb.NoExpiry {
				return nil
			}
			fmt.Printf("%s idle %d freq %d\n", e.Key, e.IdleSec, e.Freq)
			var hints []rdb.Hint
			if e.IdleSec >= 0 {
				hints = append(hints, rdb.Idle(e.IdleSec))
			} else if e.Freq >= 0 {
				hints = append(hints, rdb.Freq(uint8(e.Freq)))
			}
			return w.Entry(string(e.Key), e.Value, e.ExpireMs, hints...)
		},
	})
	fmt.Println(err, w.Close())
	n, err := rdb.Load(&copied, store.New(16))
	fmt.Println(n.Keys, err)
	// Output:
	// database 7 keys 3 of them temporary 1
	// cold idle 3600 freq -1
	// hot idle -1 freq 200
	// <nil> <nil>
	// 2 <nil>
}

// A FormatError says where reading failed, and wraps what kind of failure it is.
func ExampleFormatError() {
	for _, c := range []struct {
		file string
		kind error
	}{
		{"*1\r\n$4\r\nPING\r\n", rdb.ErrNotRDB},
		{"REDIS0099", rdb.ErrVersion},
		{"REDIS0010\xff12345678", rdb.ErrChecksum},
		{"REDIS0010\x0d\x01k\x02ab", rdb.ErrCorrupt},
		{"REDIS0012\x18\x01k\x01", rdb.ErrUnsupported},
		{"REDIS0010\x00\x05gre", io.ErrUnexpectedEOF},
	} {
		err := rdb.NewReader(strings.NewReader(c.file)).Read(rdb.Handler{})
		var where *rdb.FormatError
		if errors.As(err, &where) {
			fmt.Printf("byte %d, key %q: %s\n", where.Offset, where.Key, where.Msg)
			fmt.Printf("  %v: %t\n", c.kind, errors.Is(where.Err, c.kind))
		}
	}
	// Output:
	// byte 0, key "": expected REDIS and four digits, found "*1\r\n$4\r\nP"
	//   not a Redis snapshot: true
	// byte 5, key "": Can't handle RDB format version 99
	//   version is not supported: true
	// byte 10, key "": expected the checksum eb7ea789fe37fda9, found 3837363534333231
	//   checksum does not match: true
	// byte 12, key "k": pairs: ziplist of 2 bytes, expected at least 11
	//   corrupt snapshot: true
	// byte 12, key "k": hash with field expiry times
	//   not supported: true
	// byte 14, key "": expected 5 bytes of a key, but the data ends here
	//   unexpected EOF: true
}
