package store

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// benchMembers returns n members as redis-benchmark names them, in random order: they differ in their
// last bytes only, and its ZADD gives all the same score, which is the hardest for the order.
func benchMembers(n int) [][]byte {
	ms := make([][]byte, n)
	for i, at := range rand.Perm(n) {
		ms[i] = fmt.Appendf(nil, "element:%012d", at)
	}
	return ms
}

// BenchmarkZSetAdd is a big sorted set growing to 100,000 members, a member at a time.
func BenchmarkZSetAdd(b *testing.B) {
	const n = 100_000
	ms := benchMembers(n)
	for name, score := range map[string]func(i int) float64{
		"equal":  func(int) float64 { return 0 },
		"random": func(i int) float64 { return float64(uint32(i) * 2654435761) },
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			var z *ZSet
			for i := range b.N {
				if i%n == 0 {
					z = NewZSet()
				}
				z.Add(ms[i%n], score(i%n))
			}
		})
	}
}

// BenchmarkZSetUpdate moves members of a sorted set of 100,000 to other scores.
func BenchmarkZSetUpdate(b *testing.B) {
	const n = 100_000
	ms := benchMembers(n)
	z := NewZSet()
	for i, m := range ms {
		z.Add(m, float64(i))
	}
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		z.Add(ms[i%n], float64(uint32(i)*2654435761))
	}
}
