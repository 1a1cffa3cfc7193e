package store_test

import (
	"errors"
	"fmt"

	"byor/pkg/store"
)

// Values are typed, time is what SetNow says, and an expired key is gone for whoever looks.
func Example() {
	st := store.New(16)
	st.SetNow(1_000)
	st.OnExpire = func(db int, key string) { fmt.Println("expired:", key) }
	db := st.DB(0)

	e := db.Set([]byte("greeting"), store.NewString([]byte("hello")))
	db.SetExpire(e, 1_500)

	s, err := store.Get[*store.String](db, []byte("greeting"))
	fmt.Printf("%s %v\n", s.View(), err)
	_, err = store.Get[*store.List](db, []byte("greeting"))
	fmt.Println(errors.Is(err, store.ErrWrongType), err)

	st.SetNow(1_501)
	s, err = store.Get[*store.String](db, []byte("greeting"))
	fmt.Println(s == nil, err)
	// Output:
	// hello <nil>
	// true WRONGTYPE Operation against a key holding the wrong kind of value
	// expired: greeting
	// true <nil>
}

// A value is changed between Edit and Changed: Edit hands the old one to a snapshot, Changed counts the memory.
func ExampleEdit() {
	st := store.New(1)
	db := st.DB(0)
	l := store.NewList()
	l.PushTail([]byte("a"))
	db.Set([]byte("queue"), l)

	sn := st.BeginSnapshot(func(e store.SnapshotEntry) {
		fmt.Println("snapshot:", e.Key, e.Value.(*store.List).Len())
	})
	l, e, err := store.Edit[*store.List](db, []byte("queue"))
	if err != nil || e == nil {
		return // another type, or no such key
	}
	l.PushTail([]byte("b"))
	db.Changed(e)
	for sn.Next(100) { // in slices; other commands may come between them
	}
	sn.Close()
	fmt.Println("now:", l.Len())
	// Output:
	// snapshot: queue 1
	// now: 2
}

// A listpack is handed in as Redis would write it, from a file that nobody vouches for.
func ExampleParseListpack() {
	blob := []byte("\x0c\x00\x00\x00\x02\x00\x81a\x02\x2a\x01\xff")
	lp, err := store.ParseListpack(blob)
	if err != nil {
		fmt.Println(err)
		return
	}
	for p := lp.First(); p >= 0; p = lp.Next(p) {
		fmt.Printf("%s\n", lp.At(p).Bytes())
	}
	blob[8] = 3 // the length of an entry, as seen from its end
	_, err = store.ParseListpack(blob)
	fmt.Println(errors.Is(err, store.ErrCorrupt), err)
	// Output:
	// a
	// 42
	// true store: malformed encoding
}
