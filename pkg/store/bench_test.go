package store_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"byor/pkg/store"
)

// What the store takes for one operation, with a million keys or members as with a thousand: that the larger costs
// more is memory that the processor has to wait for, and not work.

func benchNames(prefix string, n int) [][]byte {
	names := make([][]byte, n)
	for i, at := range rand.Perm(n) { // in the order of no allocation
		names[i] = fmt.Appendf(nil, "%s:%012d", prefix, at)
	}
	return names
}

func filledDB(names [][]byte) *store.DB {
	db := store.New(1).DB(0)
	for _, name := range names {
		db.SetString(name, []byte("xxx"), false)
	}
	return db
}

func BenchmarkKeys(b *testing.B) {
	for _, n := range []int{1_000, 1_000_000} {
		names := benchNames("key", n)
		none := benchNames("non", n)
		db := filledDB(names)
		for _, op := range []struct {
			name string
			do   func(i int)
		}{
			{"lookup", func(i int) { db.Lookup(names[i]) }},
			{"lookup none", func(i int) { db.Lookup(none[i]) }},
			{"overwrite", func(i int) { db.SetString(names[i], []byte("yyy"), false) }},
			{"delete and add", func(i int) {
				db.Delete(names[i])
				db.SetString(names[i], []byte("xxx"), false)
			}},
		} {
			b.Run(fmt.Sprintf("%s/%d", op.name, n), inTurn(n, op.do))
		}
	}
}

// BenchmarkGrow is a database from nothing to a hundred thousand keys, its table's growth among it.
func BenchmarkGrow(b *testing.B) {
	names := benchNames("key", 100_000)
	b.ReportAllocs()
	for b.Loop() {
		if db := filledDB(names); db.Len() != len(names) {
			b.Fatal(db.Len())
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(names)), "ns/key")
}

// BenchmarkElements is a collection of the size in the name: small ones are packed, large ones are not.
func BenchmarkElements(b *testing.B) {
	value := []byte("xxx")
	for _, n := range []int{3, 100_000} {
		names := benchNames("element", n)
		hash, set, list := store.NewHash(), store.NewSet(), store.NewList()
		for _, name := range names {
			hash.Set(name, value)
			set.Add(name)
			list.PushTail(value)
		}
		for _, op := range []struct {
			name string
			do   func(i int)
		}{
			{"hash get", func(i int) { hash.Get(names[i]) }},
			{"hash set", func(i int) { hash.Set(names[i], value) }},
			{"set contains", func(i int) { set.Contains(names[i]) }},
			{"set remove and add", func(i int) {
				set.Remove(names[i])
				set.Add(names[i])
			}},
			{"set random", func(int) { set.Random() }},
			{"list push and pop head", func(int) {
				list.PushHead(value)
				list.PopHead()
			}},
			{"list push and pop tail", func(int) {
				list.PushTail(value)
				list.PopTail()
			}},
		} {
			b.Run(fmt.Sprintf("%s/%d", op.name, n), inTurn(n, op.do))
		}
	}
}

// inTurn is a benchmark that calls do with the numbers below n, over and over again.
func inTurn(n int, do func(i int)) func(*testing.B) {
	return func(b *testing.B) {
		b.ReportAllocs()
		i := 0
		for b.Loop() {
			do(i)
			if i++; i == n {
				i = 0
			}
		}
	}
}
