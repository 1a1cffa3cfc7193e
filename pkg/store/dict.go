package store

import (
	"hash/maphash"
	"math/bits"
	"math/rand/v2"
	"unsafe"
)

// Dict is a hash table from strings to V that grows and shrinks a bucket at a time.
//
// Go's own map would be faster to write and nearly as fast to use, but three promises of Redis
// cannot be kept with it: a SCAN cursor that survives resizing and returns every element that was
// there throughout, a fair random element, and a walk in bounded slices while others write. So
// this is the chained table of Redis's dict.c: two tables while it is being resized, one bucket
// moved with each operation, and a cursor that counts with its bits reversed. The price is a
// pointer to follow in a chain and 24 bytes a node.
//
// It is not safe for concurrent use; reading moves buckets too. The zero value is an empty Dict.
type Dict[V any] struct {
	tab    [2][]*Node[V] // tab[1] is the one being moved to, nil while none is
	used   [2]int
	moved  int // buckets of tab[0] below this one are empty already
	paused int // a walk is going on: no bucket may move
	// touch is called before an element is changed or deleted, and after a new one was added, whose
	// Val may not be set yet. It is nil unless a snapshot walks this Dict, see slowWalk.
	touch func(n *Node[V], isNew bool)
}

// Node is one element of a Dict. It stays the same, at the same address, until it is deleted.
type Node[V any] struct {
	next *Node[V]
	key  string
	hash uint32
	Val  V
}

// Key returns the element's key.
func (n *Node[V]) Key() string { return n.key }

const minBuckets = 4

// seed is one for the process, random so that nobody can choose keys that share a bucket.
var seed = maphash.MakeSeed()

func hashBytes(b []byte) uint32  { return uint32(maphash.Bytes(seed, b)) }
func hashString(s string) uint32 { return uint32(maphash.String(seed, s)) }

// asString is b as a string without a copy, for the length of a look-up: it must not be kept.
func asString(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// len returns the number of elements.
func (d *Dict[V]) len() int { return d.used[0] + d.used[1] }

// buckets returns the number of buckets of both tables, for memory accounting.
func (d *Dict[V]) buckets() int { return len(d.tab[0]) + len(d.tab[1]) }

func (d *Dict[V]) resizing() bool { return d.tab[1] != nil }

// get returns the element of key, or nil.
func (d *Dict[V]) get(key []byte) *Node[V] {
	if d.len() == 0 {
		return nil
	}
	return d.find(asString(key), hashBytes(key))
}

// getString is get for a string.
func (d *Dict[V]) getString(key string) *Node[V] {
	if d.len() == 0 {
		return nil
	}
	return d.find(key, hashString(key))
}

func (d *Dict[V]) find(key string, h uint32) *Node[V] {
	if d.resizing() {
		d.step(1)
	}
	for t := range d.tab {
		tab := d.tab[t]
		if len(tab) == 0 {
			break
		}
		for n := tab[h&uint32(len(tab)-1)]; n != nil; n = n.next {
			if n.hash == h && n.key == key {
				return n
			}
		}
	}
	return nil
}

// add inserts a key that must not be there yet (see get) and returns its element, whose Val is
// the zero value.
func (d *Dict[V]) add(key string) *Node[V] {
	d.grow()
	n := &Node[V]{key: key, hash: hashString(key)}
	t := 0
	if d.resizing() {
		d.step(1)
	}
	if d.resizing() {
		t = 1
	}
	d.link(t, n)
	if d.touch != nil {
		d.touch(n, true)
	}
	return n
}

// Put returns the element of key, inserting it when it is new.
func (d *Dict[V]) Put(key []byte) (n *Node[V], isNew bool) {
	if n := d.get(key); n != nil {
		return n, false
	}
	return d.add(string(key)), true
}

func (d *Dict[V]) link(t int, n *Node[V]) {
	b := &d.tab[t][n.hash&uint32(len(d.tab[t])-1)]
	n.next = *b
	*b = n
	d.used[t]++
}

// delete removes the element of key and returns it, or nil when there was none.
func (d *Dict[V]) delete(key []byte) *Node[V] {
	if d.len() == 0 {
		return nil
	}
	return d.remove(asString(key), hashBytes(key))
}

// deleteString is delete for a string.
func (d *Dict[V]) deleteString(key string) *Node[V] {
	if d.len() == 0 {
		return nil
	}
	return d.remove(key, hashString(key))
}

func (d *Dict[V]) remove(key string, h uint32) *Node[V] {
	if d.resizing() {
		d.step(1)
	}
	for t := range d.tab {
		tab := d.tab[t]
		if len(tab) == 0 {
			break
		}
		for p := &tab[h&uint32(len(tab)-1)]; *p != nil; p = &(*p).next {
			if n := *p; n.hash == h && n.key == key {
				d.changing(n)
				*p = n.next
				d.used[t]--
				d.shrink()
				return n
			}
		}
	}
	return nil
}

// changing must be called before the Val of an element is changed that a snapshot may be about to
// hand out.
func (d *Dict[V]) changing(n *Node[V]) {
	if d.touch != nil {
		d.touch(n, false)
	}
}

// reserve prepares for n elements at once, so that loading many does not resize on the way.
func (d *Dict[V]) reserve(n int) {
	if d.resizing() || n <= len(d.tab[0]) {
		return
	}
	d.resize(n)
}

func (d *Dict[V]) grow() {
	if d.resizing() {
		return
	}
	if n := d.used[0]; n >= len(d.tab[0]) {
		d.resize(max(n+1, minBuckets))
	}
}

func (d *Dict[V]) shrink() {
	if !d.resizing() && len(d.tab[0]) > minBuckets && d.used[0]*8 < len(d.tab[0]) {
		d.resize(max(d.used[0]*2, minBuckets))
	}
}

// resize starts the move to a table of at least n buckets, a power of two.
func (d *Dict[V]) resize(n int) {
	size := 1 << bits.Len(uint(n-1))
	if size == len(d.tab[0]) {
		return
	}
	tab := make([]*Node[V], size)
	if d.used[0] == 0 && d.paused == 0 {
		d.tab[0] = tab
		return
	}
	d.tab[1], d.moved = tab, 0
}

// step moves up to n buckets of a resize that is under way, of those that hold something, and looks at no more than ten times as many
// empty ones, so that no single operation pays for the whole table.
func (d *Dict[V]) step(n int) {
	if d.paused > 0 || !d.resizing() {
		return
	}
	for empty := 10 * n; n > 0 && d.used[0] > 0; d.moved++ {
		b := d.tab[0][d.moved]
		if b == nil {
			if empty--; empty == 0 {
				d.moved++
				return
			}
			continue
		}
		d.tab[0][d.moved] = nil
		for b != nil {
			next := b.next
			d.link(1, b)
			d.used[0]--
			b = next
		}
		n--
	}
	if d.used[0] == 0 {
		d.tab[0], d.tab[1] = d.tab[1], nil
		d.used[0], d.used[1] = d.used[1], 0
		d.moved = 0
	}
}

// scan calls fn for the elements of one bucket (two tables: of all buckets that the smaller
// table's one corresponds to) and returns the cursor to go on with; 0 starts and 0 says it is
// done. Each element that is there from the start to the end is returned at least once, whatever
// is inserted, deleted or resized between the calls; some may come twice. fn may delete the
// element it is given, but nothing else.
//
// The cursor counts from its highest bit down. A table twice as large splits bucket b into b and
// b+size, which have the same low bits: counting so, both halves of a bucket that was visited
// have been visited, and those of one that was not lie ahead.
func (d *Dict[V]) scan(cursor uint64, fn func(*Node[V])) uint64 {
	if d.len() == 0 {
		return 0
	}
	d.paused++
	defer func() { d.paused-- }()
	if !d.resizing() {
		mask := uint64(len(d.tab[0]) - 1)
		visit(d.tab[0][cursor&mask], fn)
		return next(cursor, mask)
	}
	small, large := d.tab[0], d.tab[1]
	if len(small) > len(large) {
		small, large = large, small
	}
	m0, m1 := uint64(len(small)-1), uint64(len(large)-1)
	visit(small[cursor&m0], fn)
	for {
		visit(large[cursor&m1], fn)
		cursor = next(cursor, m1)
		if cursor&(m0^m1) == 0 {
			return cursor
		}
	}
}

func visit[V any](n *Node[V], fn func(*Node[V])) {
	for n != nil {
		after := n.next
		fn(n)
		n = after
	}
}

func next(cursor, mask uint64) uint64 {
	return bits.Reverse64(bits.Reverse64(cursor|^mask) + 1)
}

// Each calls fn for every element until it returns false. fn must not change the Dict, except by
// deleting the element it is given.
func (d *Dict[V]) Each(fn func(*Node[V]) bool) {
	d.paused++
	defer func() { d.paused-- }()
	for _, tab := range d.tab {
		for _, n := range tab {
			for n != nil {
				after := n.next
				if !fn(n) {
					return
				}
				n = after
			}
		}
	}
}

// random draws a run of buckets that holds one element on average, and keeps the draw in
// proportion to what it holds. Runs of more than fairRun elements, one in 1700, are kept like one
// of fairRun.
const (
	fairRun = 5
	maxRun  = 16 // buckets
)

// random returns an element, each with the same chance, or nil when there is none.
func (d *Dict[V]) random() *Node[V] {
	if d.len() == 0 {
		return nil
	}
	if d.resizing() {
		d.step(1)
	}
	size := d.runLength()
	for try := 0; ; try++ {
		run := d.randomRun(size)
		held := 0
		for _, n := range run {
			for ; n != nil; n = n.next {
				held++
			}
		}
		if held == 0 || held < fairRun && try < 1000 && rand.IntN(fairRun) >= held {
			continue
		}
		at := rand.IntN(held)
		for _, n := range run {
			for ; n != nil; n = n.next {
				if at == 0 {
					return n
				}
				at--
			}
		}
	}
}

// runLength returns the number of buckets for one element, a power of two. Neighbours are read as
// fast as a single one; a table thinned out by deletions would take many draws of one bucket.
func (d *Dict[V]) runLength() int {
	limit := min(maxRun, len(d.tab[0]))
	if d.resizing() {
		limit = min(limit, len(d.tab[1]))
	}
	size := 1
	for 2*size <= limit && 2*size*d.len() <= d.buckets()-d.moved {
		size *= 2
	}
	return size
}

func (d *Dict[V]) randomRun(size int) []*Node[V] {
	first := 0
	if d.resizing() {
		first = d.moved / size
	}
	i := size * (first + rand.IntN(d.buckets()/size-first))
	if i < len(d.tab[0]) {
		return d.tab[0][i : i+size]
	}
	i -= len(d.tab[0])
	return d.tab[1][i : i+size]
}
