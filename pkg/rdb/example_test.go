package rdb_test

import (
	"bytes"
	"fmt"

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
