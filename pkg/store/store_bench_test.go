package store

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"
)

var benchKeys = flag.Int("bench.keys", 1_000_000, "how many keys the benchmarks of look-ups have")

// benchStore returns a database of many small strings.
func benchStore(b *testing.B) *DB {
	db := New(1).DB(0)
	for i := range *benchKeys {
		db.SetString(benchKey(i), []byte("xxx"), false)
	}
	b.ResetTimer()
	return db
}

func benchKey(i int) []byte { return fmt.Appendf(nil, "key:%012d", i) }

// randomKeys returns n keys to be looked up, in random order.
func randomKeys(n int) [][]byte {
	keys := make([][]byte, n)
	for i := range keys {
		keys[i] = benchKey(rand.IntN(*benchKeys))
	}
	return keys
}

// BenchmarkLookup looks up random keys, one after another: by themselves, or in batches that were
// touched before. The time is that of a key.
func BenchmarkLookup(b *testing.B) {
	db := benchStore(b)
	keys := randomKeys(1 << 18)
	for _, batch := range []int{0, 16, 64} {
		b.Run(fmt.Sprintf("touched=%d", batch), func(b *testing.B) {
			b.ReportAllocs()
			found := 0
			for i := 0; i < b.N; {
				at := i % (len(keys) - 64)
				some := keys[at : at+max(batch, 1)]
				if batch > 0 {
					db.Touch(some)
				}
				for _, key := range some {
					if v, _ := Get[*String](db, key); v != nil {
						found += v.Len()
					}
				}
				i += len(some)
			}
			if found < 3*b.N {
				b.Fatal("keys are missing")
			}
		})
	}
}

// BenchmarkSetString overwrites random keys.
func BenchmarkSetString(b *testing.B) {
	db := benchStore(b)
	keys := randomKeys(1 << 18)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		db.SetString(keys[i%len(keys)], []byte("yyy"), false)
	}
}

// BenchmarkSetNew adds keys.
func BenchmarkSetNew(b *testing.B) {
	b.ReportAllocs()
	db := New(1).DB(0)
	for i := 0; b.Loop(); i++ {
		db.SetString(benchKey(i), []byte("xxx"), false)
	}
}

// BenchmarkSetMembers adds members to a large set, asks for them, and draws them.
func BenchmarkSetMembers(b *testing.B) {
	ms := benchMembers(100_000)
	b.Run("add", func(b *testing.B) {
		b.ReportAllocs()
		s := NewSet()
		for i := 0; b.Loop(); i++ {
			if i%len(ms) == 0 {
				s = NewSet()
			}
			s.Add(ms[i%len(ms)])
		}
	})
	s := NewSet()
	for _, m := range ms {
		s.Add(m)
	}
	b.Run("contains", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			s.Contains(ms[i%len(ms)])
		}
	})
	b.Run("random", func(b *testing.B) {
		for b.Loop() {
			s.Random()
		}
	})
}

// BenchmarkHashSet sets fields of a small hash and of a large one.
func BenchmarkHashSet(b *testing.B) {
	for _, n := range []int{10, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			ms := benchMembers(n)
			h := NewHash()
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				h.Set(ms[i%n], []byte("xxx"))
			}
		})
	}
}

// BenchmarkListPushPop pushes to a list that grows, and turns one of a thousand elements around.
func BenchmarkListPushPop(b *testing.B) {
	b.Run("lpush", func(b *testing.B) {
		l := NewList()
		for b.Loop() {
			l.PushHead([]byte("xxx"))
		}
	})
	b.Run("rpush+lpop", func(b *testing.B) {
		l := NewList()
		for range 1000 {
			l.PushTail([]byte("xxx"))
		}
		for b.Loop() {
			l.PushTail([]byte("xxx"))
			l.PopHead()
		}
	})
	for _, head := range []bool{true, false} {
		b.Run(fmt.Sprintf("head=%v, where a node ends", head), func(b *testing.B) {
			l, push := NewList(), (*List).PushTail
			if head {
				push = (*List).PushHead
			}
			for push(l, []byte("xxx")); l.head == l.tail; push(l, []byte("xxx")) {
			}
			b.ReportAllocs()
			for b.Loop() {
				l.DropEnd(head)
				push(l, []byte("xxx"))
			}
		})
	}
}
