package store

import (
	"fmt"
	"math"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
)

// The elements of these tests are fields whose values are numbers.

func put(d *Dict[hashField], key string, n int) (isNew bool) {
	f := d.getString(key)
	if f == nil {
		d.add(newField(key, []byte(fmt.Sprintf("%08d", n))))
		return true
	}
	f.setValue(fmt.Appendf(nil, "%08d", n))
	return false
}

func number(f *hashField) int {
	n, err := strconv.Atoi(string(f.value()))
	if err != nil {
		panic(err)
	}
	return n
}

// checkDict compares the Dict with the model, and its books with its tables.
func checkDict(t *testing.T, d *Dict[hashField], model map[string]int) {
	require.Equal(t, len(model), d.len())
	got := map[string]int{}
	d.Each(func(n *hashField) bool { got[keyOf(n)] = number(n); return true })
	require.Equal(t, model, got)
	checkTable(t, &d.tab, d.moved)
	if d.to != nil {
		checkTable(t, d.to, 0)
	}
}

// checkTable verifies that each element is where its hash says, that its tag is right, that chains
// hold no empty buckets, and that nothing was left in the buckets below moved.
func checkTable(t *testing.T, tab *bucketTable[hashField], moved int) {
	used := 0
	for i := range tab.size {
		head := tab.at(uint64(i))
		for b := head; b != nil; b = b.next() {
			require.True(t, b == head || b.taken() != 0, "an empty bucket in a chain")
			require.True(t, b.taken() == 0 || i >= moved, "left behind")
			for m := b.taken(); m != 0; m &= m - 1 {
				h := hashOf(b.slot[first(m)])
				require.Equal(t, uint64(i), h&uint64(tab.size-1))
				require.Equal(t, tagOf(h), b.meta>>(8*first(m))&0xff)
				used++
			}
			for m := b.free(); m != 0; m &= m - 1 {
				require.Nil(t, b.slot[first(m)])
			}
		}
	}
	require.Equal(t, tab.used, used)
}

func TestDictAgainstAMap(t *testing.T) {
	for seed := range uint64(6) {
		r := testRand(seed)
		var d Dict[hashField]
		model := map[string]int{}
		growing, largest := true, 0
		for i := range 20000 {
			key := fmt.Sprint(r.IntN(3000))
			if i%2500 == 0 { // in waves, so that it grows and shrinks through several sizes
				growing = !growing || i == 0
			}
			switch op := r.IntN(10); {
			case op < 3 && growing, op < 1:
				_, had := model[key]
				require.Equal(t, !had, put(&d, key, i))
				model[key] = i
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
				require.True(t, n == nil || number(n) == want && keyOf(n) == key)
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
func emptyDict(t *testing.T, d *Dict[hashField], model map[string]int) {
	t.Helper()
	for key := range model {
		require.NotNil(t, d.deleteString(key))
	}
	require.Nil(t, d.random())
	put(d, "a", 1)
	for d.resizing() {
		d.step(1)
	}
	for range 2 { // each deletion may begin to shrink
		put(d, "b", 1)
		d.deleteString("b")
		d.step(1 << 20)
	}
	require.LessOrEqual(t, d.buckets(), 2, "what is empty gives its memory back")
}

// scanAll walks through a Dict, with something happening between the steps.
func scanAll(d *Dict[hashField], between func()) map[string]int {
	seen := map[string]int{}
	for cursor := uint64(0); ; {
		if cursor = d.scan(cursor, func(n *hashField) { seen[keyOf(n)]++ }); cursor == 0 {
			return seen
		}
		between()
	}
}

func TestScanReturnsWhatStaysThroughResizes(t *testing.T) {
	for seed := range uint64(8) {
		r := testRand(seed)
		var d Dict[hashField]
		for i := range 1000 {
			put(&d, fmt.Sprint("stay", i), i)
		}
		extra, growing := 0, seed%2 == 0
		seen := scanAll(&d, func() {
			if r.IntN(200) == 0 {
				growing = !growing
			}
			for range r.IntN(60) {
				if growing && extra < 20000 {
					put(&d, fmt.Sprint("x", extra), 0)
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
	var d Dict[hashField]
	for i := range 5000 {
		put(&d, fmt.Sprint(i), i)
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
		var d Dict[hashField]
		for i := range 840 {
			put(&d, fmt.Sprint(i), i)
		}
		if !resizing {
			d.step(1 << 20)
		}
		require.Equal(t, resizing, d.resizing())
		d.Each(func(n *hashField) bool {
			require.Same(t, n, d.deleteString(keyOf(n)))
			return d.len() > 500
		})
		require.Equal(t, 500, d.len())
		for cursor, first := uint64(0), true; first || cursor != 0; first = false {
			cursor = d.scan(cursor, func(n *hashField) { d.deleteString(keyOf(n)) })
		}
		require.Zero(t, d.len())
	}
}

// TestRandomIsFair draws from tables at rest, in the middle of growing, and thinned out. The bounds
// are ten standard deviations wide.
func TestRandomIsFair(t *testing.T) {
	tables := map[string]func() *Dict[hashField]{
		"at rest": func() *Dict[hashField] {
			d := filled(200)
			d.step(1 << 20)
			return d
		},
		"growing": func() *Dict[hashField] { return filled(215) },
		"thinned out": func() *Dict[hashField] {
			d := filled(1000)
			d.step(1 << 20)
			for i := range 720 {
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
			count[keyOf(d.random())]++
		}
		require.Len(t, count, d.len(), name)
		for key, got := range count {
			require.InDelta(t, rounds, got, 10*math.Sqrt(rounds), "%s: %s", name, key)
		}
	}
}

// TestManyKeysInOneBucket makes a chain of several buckets.
func TestManyKeysInOneBucket(t *testing.T) {
	var d Dict[hashField]
	d.reserve(1000)
	model := map[string]int{}
	for i := 0; len(model) < 40; i++ {
		if key := fmt.Sprint(i); hashString(key)%64 == 5 {
			put(&d, key, i)
			model[key] = i
		}
	}
	require.False(t, d.resizing())
	checkDict(t, &d, model)
	drawn := map[string]bool{}
	for range 40 * 40 { // the chance that one of them is missing is below 10⁻¹⁵
		drawn[keyOf(d.random())] = true
	}
	require.Len(t, drawn, 40)
	require.Len(t, scanAll(&d, func() {}), 40)
	for key := range model {
		require.NotNil(t, d.deleteString(key))
		delete(model, key)
		checkDict(t, &d, model)
	}
	require.Zero(t, d.len())
}

func filled(n int) *Dict[hashField] {
	d := new(Dict[hashField])
	for i := range n {
		put(d, fmt.Sprint(i), i)
	}
	return d
}

func TestLookupsDoNotAllocate(t *testing.T) {
	var d Dict[hashField]
	key := []byte("a key that is longer than the 32 bytes which a string conversion may use on the stack")
	put(&d, string(key), 1)
	require.Zero(t, testing.AllocsPerRun(100, func() {
		d.get(key)
		d.delete([]byte("absent, and also longer than 32 bytes, like the other one"))
	}))
}
