package store

import (
	"fmt"
	"math"
	"testing"

	"github.com/stretchr/testify/require"
)

// checkDict compares the Dict with the model, and its books with its tables.
func checkDict(t *testing.T, d *Dict[int], model map[string]int) {
	require.Equal(t, len(model), d.len())
	got := map[string]int{}
	d.Each(func(n *Node[int]) bool { got[n.Key()] = n.Val; return true })
	require.Equal(t, model, got)
	for i, tab := range d.tab {
		used := 0
		for b, n := range tab {
			for ; n != nil; n = n.next {
				used++
				require.Equal(t, b, int(n.hash)&(len(tab)-1))
				require.False(t, i == 0 && d.resizing() && b < d.moved, "left behind")
			}
		}
		require.Equal(t, d.used[i], used)
	}
}

func TestDictAgainstAMap(t *testing.T) {
	for seed := range uint64(6) {
		r := testRand(seed)
		var d Dict[int]
		model := map[string]int{}
		growing, largest := true, 0
		for i := range 20000 {
			key := fmt.Sprint(r.IntN(3000))
			if i%2500 == 0 { // in waves, so that it grows and shrinks through several sizes
				growing = !growing || i == 0
			}
			switch op := r.IntN(10); {
			case op < 3 && growing, op < 1:
				n, isNew := d.Put([]byte(key))
				_, had := model[key]
				require.Equal(t, !had, isNew)
				n.Val, model[key] = i, i
			case op < 6 && !growing, op < 2:
				_, had := model[key]
				n := d.delete([]byte(key))
				require.Equal(t, had, n != nil)
				delete(model, key)
			case op == 9 && r.IntN(100) == 0:
				d.reserve(r.IntN(5000))
			case op == 8:
				d.step(r.IntN(4))
			default:
				n := d.getString(key)
				want, had := model[key]
				require.Equal(t, had, n != nil)
				require.True(t, n == nil || n.Val == want && n.Key() == key)
			}
			largest = max(largest, len(model))
			if i%1000 == 0 {
				checkDict(t, &d, model)
			}
		}
		require.Greater(t, largest, 500)
		checkDict(t, &d, model)
		emptyDict(t, &d, model)
	}
}

// emptyDict deletes all keys; then the table is given back, too.
func emptyDict(t *testing.T, d *Dict[int], model map[string]int) {
	t.Helper()
	for key := range model {
		require.NotNil(t, d.deleteString(key))
	}
	require.Nil(t, d.random())
	d.Put([]byte("a"))
	for d.resizing() {
		d.step(1)
	}
	for range 2 { // each deletion may begin to shrink
		d.Put([]byte("b"))
		d.deleteString("b")
		d.step(1 << 20)
	}
	require.LessOrEqual(t, d.buckets(), 64, "what is empty gives its memory back")
}

// scanAll walks through a Dict, with something happening between the steps.
func scanAll(d *Dict[int], between func()) map[string]int {
	seen := map[string]int{}
	for cursor := uint64(0); ; {
		if cursor = d.scan(cursor, func(n *Node[int]) { seen[n.Key()]++ }); cursor == 0 {
			return seen
		}
		between()
	}
}

func TestScanReturnsWhatStaysThroughResizes(t *testing.T) {
	for seed := range uint64(8) {
		r := testRand(seed)
		var d Dict[int]
		for i := range 1000 {
			d.add(fmt.Sprint("stay", i))
		}
		extra, growing := 0, seed%2 == 0
		seen := scanAll(&d, func() {
			if r.IntN(200) == 0 {
				growing = !growing
			}
			for range r.IntN(60) {
				if growing && extra < 20000 {
					d.Put(fmt.Appendf(nil, "x%d", extra))
					extra++
				} else if !growing && extra > 0 {
					extra--
					require.NotNil(t, d.deleteString(fmt.Sprint("x", extra)))
				}
			}
		})
		for i := range 1000 {
			require.Positive(t, seen[fmt.Sprint("stay", i)])
		}
	}
}

func TestScanOfATableAtRestReturnsEachOnce(t *testing.T) {
	var d Dict[int]
	for i := range 5000 {
		d.add(fmt.Sprint(i))
	}
	d.step(1 << 20)
	require.False(t, d.resizing())
	seen := scanAll(&d, func() {})
	require.Len(t, seen, 5000)
	for key, times := range seen {
		require.Equal(t, 1, times, key)
	}
}

// TestDeletingWhileWalking deletes the element that a walk is at, as its contract allows.
func TestDeletingWhileWalking(t *testing.T) {
	for _, resizing := range []bool{false, true} {
		var d Dict[int]
		for i := range 1025 {
			d.add(fmt.Sprint(i))
		}
		if !resizing {
			d.step(1 << 20)
		}
		require.Equal(t, resizing, d.resizing())
		d.Each(func(n *Node[int]) bool {
			require.Same(t, n, d.deleteString(n.Key()))
			return d.len() > 500
		})
		require.Equal(t, 500, d.len())
		for cursor, first := uint64(0), true; first || cursor != 0; first = false {
			cursor = d.scan(cursor, func(n *Node[int]) { d.deleteString(n.Key()) })
		}
		require.Zero(t, d.len())
	}
}

// TestRandomIsFair draws from tables at rest, in the middle of growing, and thinned out. The bounds
// are ten standard deviations wide.
func TestRandomIsFair(t *testing.T) {
	tables := map[string]func() *Dict[int]{
		"at rest": func() *Dict[int] {
			d := filled(200)
			d.step(1 << 20)
			return d
		},
		"growing": func() *Dict[int] { return filled(257) },
		"thinned out": func() *Dict[int] {
			d := filled(1000)
			d.step(1 << 20)
			for i := range 860 {
				d.deleteString(fmt.Sprint(i))
			}
			return d
		},
	}
	for name, table := range tables {
		d := table()
		const rounds = 400
		count := map[string]int{}
		for range rounds * d.len() {
			count[d.random().Key()]++
		}
		require.Len(t, count, d.len(), name)
		for key, got := range count {
			require.InDelta(t, rounds, got, 10*math.Sqrt(rounds), "%s: %s", name, key)
		}
	}
}

func filled(n int) *Dict[int] {
	d := new(Dict[int])
	for i := range n {
		d.add(fmt.Sprint(i))
	}
	return d
}

func TestLookupsDoNotAllocate(t *testing.T) {
	var d Dict[int]
	key := []byte("a key that is longer than the 32 bytes which a string conversion may use on the stack")
	d.Put(key)
	require.Zero(t, testing.AllocsPerRun(100, func() {
		d.get(key)
		d.delete([]byte("absent, and also longer than 32 bytes, like the other one"))
	}))
}
