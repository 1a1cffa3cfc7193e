package store

import (
	"math/rand/v2"
	"slices"
)

// sampleIndexes returns k different numbers below n in ascending order, each set of k with the
// same chance (Floyd's method: no table of n, and no draw is thrown away).
func sampleIndexes(n, k int) []int {
	if k >= n {
		all := make([]int, n)
		for i := range all {
			all[i] = i
		}
		return all
	}
	drawn := make(map[int]struct{}, k)
	out := make([]int, 0, k)
	for i := n - k; i < n; i++ {
		x := rand.IntN(i + 1)
		if _, dup := drawn[x]; dup {
			x = i
		}
		drawn[x] = struct{}{}
		out = append(out, x)
	}
	slices.Sort(out)
	return out
}

// samplePairs calls fn for n different pairs drawn at random until it returns false.
func (lp *Listpack) samplePairs(n int, fn func(a, b Elem) bool) {
	pairs := lp.len() / 2
	if n == 1 && pairs > 0 {
		p := lp.index(2 * rand.IntN(pairs))
		fn(lp.At(p), lp.At(lp.Next(p)))
		return
	}
	i := 0
	want := sampleIndexes(pairs, n)
	lp.eachPair(func(a, b Elem) bool {
		if len(want) == 0 {
			return false
		}
		if i++; i-1 != want[0] {
			return true
		}
		want = want[1:]
		return fn(a, b)
	})
}

// sample calls fn for n different elements drawn at random, or for all when there are fewer,
// until it returns false. For a good part of the elements it is cheaper to list them all than to
// draw until there are enough different ones.
func (d *Dict[E]) sample(n int, fn func(*E) bool) {
	switch size := d.len(); {
	case n >= size:
		d.Each(fn)
	case n == 1:
		fn(d.random())
	case n*3 > size:
		all := make([]*E, 0, size)
		d.Each(func(m *E) bool { all = append(all, m); return true })
		for i := range n {
			j := i + rand.IntN(size-i)
			all[i], all[j] = all[j], all[i]
			if !fn(all[i]) {
				return
			}
		}
	default:
		drawn := make(map[*E]struct{}, n)
		for len(drawn) < n {
			m := d.random()
			if _, dup := drawn[m]; dup {
				continue
			}
			drawn[m] = struct{}{}
			if !fn(m) {
				return
			}
		}
	}
}

// scanSome is scan until about count elements were handed out. In a sparse table it gives up
// after ten buckets an element, as Redis does, so that no step takes long.
func (d *Dict[E]) scanSome(cursor uint64, count int, fn func(*E)) uint64 {
	seen := 0
	for left := 10 * count; ; left-- {
		cursor = d.scan(cursor, func(e *E) { seen++; fn(e) })
		if cursor == 0 || left <= 0 || seen >= count {
			return cursor
		}
	}
}
