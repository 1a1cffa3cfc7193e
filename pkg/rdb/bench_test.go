package rdb

import (
	"bytes"
	"fmt"
	"io"
	"testing"

	"byor/pkg/store"
)

// benchStores are data sets whose loading and saving costs what the name says.
func benchStores() map[string]*store.Store {
	sets := map[string]*store.Store{}
	fill := func(name string, keys int, value func(i int) store.Value) {
		s := store.New(1)
		for i := range keys {
			s.DB(0).AddNew(fmt.Appendf(nil, "key:%d", i), value(i))
		}
		sets[name] = s
	}
	fill("strings", 100_000, func(i int) store.Value { return store.NewString(fmt.Appendf(nil, "value:%d of no great length", i)) })
	fill("small hashes", 20_000, func(i int) store.Value {
		h := store.NewHash()
		for f := range 10 {
			h.Set(fmt.Appendf(nil, "field:%d", f), fmt.Appendf(nil, "value:%d", i))
		}
		return h
	})
	fill("lists", 1000, func(i int) store.Value {
		l := store.NewList()
		for j := range 1000 {
			l.PushTail(fmt.Appendf(nil, "element:%d:%d", i, j))
		}
		return l
	})
	fill("big hash", 1, func(int) store.Value {
		h := store.NewHash()
		for f := range 100_000 {
			h.Set(fmt.Appendf(nil, "field:%d", f), fmt.Appendf(nil, "value:%d", f))
		}
		return h
	})
	fill("big zset", 1, func(int) store.Value {
		z := store.NewZSet()
		for f := range 100_000 {
			z.Add(fmt.Appendf(nil, "member:%d", f), float64(f)/3)
		}
		return z
	})
	return sets
}

func BenchmarkSave(b *testing.B) {
	for name, s := range benchStores() {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := Save(io.Discard, s); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)*float64(s.DB(0).Len())/b.Elapsed().Seconds(), "keys/s")
		})
	}
}

func BenchmarkLoad(b *testing.B) {
	for name, s := range benchStores() {
		var file bytes.Buffer
		if err := Save(&file, s); err != nil {
			b.Fatal(err)
		}
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(file.Len()))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Load(bytes.NewReader(file.Bytes()), store.New(1)); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)*float64(s.DB(0).Len())/b.Elapsed().Seconds(), "keys/s")
		})
	}
}
