package store

import (
	"hash/maphash"
	"math/bits"
	"math/rand/v2"
)

// Dict is a hash table of elements of one type that grows and shrinks a bucket at a time.
//
// Go's own map would be faster to write and nearly as fast to use, but three promises of Redis
// cannot be kept with it: a SCAN cursor that survives resizing and returns every element that was
// there throughout, a fair random element, and a walk in bounded slices while others write. So
// this is a table of buckets (see bucket.go), two of them while it is being resized: each
// operation moves one bucket, and the cursor counts with its bits reversed.
//
// An element holds its own key (see node.go), so that a look-up waits for memory twice: for the
// bucket, and for the element that it points to.
//
// It is not safe for concurrent use; reading moves buckets too. The zero value is an empty Dict.
type Dict[E element] struct {
	tab    bucketTable[E]
	to     *bucketTable[E] // the one being moved to, nil while none is
	moved  int             // buckets of tab below this one are empty already
	paused int             // a walk is going on: no element may move
	// touch is called before an element is changed or deleted, and after a new one was added. It is
	// nil unless a snapshot walks this Dict, see slowWalk.
	touch func(e *E, isNew bool)
}

// seed is one for the process, random so that nobody can choose keys that share a bucket.
var seed = maphash.MakeSeed()

func hashBytes(b []byte) uint64  { return maphash.Bytes(seed, b) }
func hashString(s string) uint64 { return maphash.String(seed, s) }

func hashOf[E element](e *E) uint64 { return hashString(keyOf(e)) }

// len returns the number of elements.
func (d *Dict[E]) len() int {
	if d.to == nil {
		return d.tab.used
	}
	return d.tab.used + d.to.used
}

// buckets returns the number of buckets of both tables, for memory accounting.
func (d *Dict[E]) buckets() int {
	if d.to == nil {
		return d.tab.size
	}
	return d.tab.size + d.to.size
}

func (d *Dict[E]) resizing() bool { return d.to != nil }

// get returns the element of key, or nil.
func (d *Dict[E]) get(key []byte) *E {
	if d.len() == 0 {
		return nil
	}
	return d.find(asString(key), hashBytes(key))
}

// getString is get for a string.
func (d *Dict[E]) getString(key string) *E {
	if d.len() == 0 {
		return nil
	}
	return d.find(key, hashString(key))
}

// find returns the element of key, whose hash is h, or nil.
func (d *Dict[E]) find(key string, h uint64) *E {
	if d.to != nil {
		d.step(1)
	}
	if s := d.slot(key, h); s != nil {
		return *s
	}
	return nil
}

// slot returns where the Dict has the element of key, or nil.
func (d *Dict[E]) slot(key string, h uint64) **E {
	if d.to == nil {
		return d.tab.find(key, h)
	}
	if !d.passed(h) {
		if s := d.tab.find(key, h); s != nil {
			return s
		}
	}
	return d.to.find(key, h)
}

// passed reports whether the resizing is beyond the bucket of this hash.
func (d *Dict[E]) passed(h uint64) bool { return int(h&uint64(d.tab.size-1)) < d.moved }

// add inserts an element whose key must not be there yet (see get).
func (d *Dict[E]) add(e *E) { d.insert(e, hashOf(e)) }

// insert is add for an element whose key has the hash h.
func (d *Dict[E]) insert(e *E, h uint64) {
	if d.to == nil && d.tab.used >= fullAt(d.tab.size) {
		d.resize(d.tab.used + 1)
	}
	if d.to != nil {
		d.step(1)
	}
	if d.to != nil {
		d.to.insert(e, h)
	} else {
		d.tab.insert(e, h)
	}
	if d.touch != nil {
		d.touch(e, true)
	}
}

// replace puts e in the place of an element with the same key.
func (d *Dict[E]) replace(old, e *E) {
	if s := d.slot(keyOf(old), hashOf(old)); s != nil && *s == old {
		*s = e
	}
}

// delete removes the element of key and returns it, or nil when there was none.
func (d *Dict[E]) delete(key []byte) *E {
	if d.len() == 0 {
		return nil
	}
	return d.remove(asString(key), hashBytes(key))
}

// deleteString is delete for a string.
func (d *Dict[E]) deleteString(key string) *E {
	if d.len() == 0 {
		return nil
	}
	return d.remove(key, hashString(key))
}

func (d *Dict[E]) remove(key string, h uint64) *E {
	if d.to != nil {
		d.step(1)
	}
	e := d.tab.remove(key, h, d.touch, d.paused == 0)
	if e == nil && d.to != nil {
		e = d.to.remove(key, h, d.touch, d.paused == 0)
	}
	if e != nil {
		d.shrink()
	}
	return e
}

// changing must be called before the value of an element is changed that a snapshot may be about to
// hand out.
func (d *Dict[E]) changing(e *E) {
	if d.touch != nil {
		d.touch(e, false)
	}
}

// reserve prepares for n elements at once, so that loading many does not resize on the way.
func (d *Dict[E]) reserve(n int) {
	if d.to == nil && n > fullAt(d.tab.size) {
		d.resize(n)
	}
}

// shrink gives memory back when there is less than one element a bucket.
func (d *Dict[E]) shrink() {
	if d.to == nil && d.tab.size > 1 && d.tab.used < d.tab.size {
		d.resize(max(2*d.tab.used, 1))
	}
}

// resize starts the move to a table that is large enough for n elements.
func (d *Dict[E]) resize(n int) {
	size := 1
	for fullAt(size) < n {
		size *= 2
	}
	if size == d.tab.size {
		return
	}
	if d.tab.used == 0 && d.paused == 0 {
		d.tab = newBuckets[E](size)
		return
	}
	to := newBuckets[E](size)
	d.to, d.moved = &to, 0
}

// step moves up to n buckets of a resize that is under way, of those that hold something, and
// looks at no more than ten times as many empty ones, so that no single operation pays for the
// whole table.
func (d *Dict[E]) step(n int) {
	if d.paused > 0 || d.to == nil {
		return
	}
	for empty := 10 * n; n > 0 && empty > 0 && d.tab.used > 0; d.moved++ {
		if b := d.tab.at(uint64(d.moved)); b == nil || b.meta == 0 {
			empty--
		} else {
			b.each(func(e *E) {
				d.to.insert(e, hashOf(e))
				d.tab.used--
			})
			*b = bucket[E]{}
			n--
		}
		d.tab.drop(d.moved)
	}
	if d.tab.used == 0 {
		d.tab, d.to, d.moved = *d.to, nil, 0
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
func (d *Dict[E]) scan(cursor uint64, fn func(*E)) uint64 {
	if d.len() == 0 {
		return 0
	}
	d.paused++
	defer func() { d.paused-- }()
	if d.to == nil {
		mask := uint64(d.tab.size - 1)
		d.tab.at(cursor & mask).each(fn)
		return next(cursor, mask)
	}
	small, large := &d.tab, d.to
	if small.size > large.size {
		small, large = large, small
	}
	m0, m1 := uint64(small.size-1), uint64(large.size-1)
	small.at(cursor & m0).each(fn)
	for {
		large.at(cursor & m1).each(fn)
		cursor = next(cursor, m1)
		if cursor&(m0^m1) == 0 {
			return cursor
		}
	}
}

func next(cursor, mask uint64) uint64 {
	return bits.Reverse64(bits.Reverse64(cursor|^mask) + 1)
}

// Each calls fn for every element until it returns false. fn must not change the Dict, except by
// deleting the element it is given.
func (d *Dict[E]) Each(fn func(*E) bool) {
	d.paused++
	defer func() { d.paused-- }()
	more := true
	for t := &d.tab; t != nil && more; t = d.to {
		for i := 0; i < t.size && more; i++ {
			t.at(uint64(i)).each(func(e *E) { more = more && fn(e) })
		}
		if t == d.to {
			return
		}
	}
}

// fairBucket is the number of elements up to which a bucket is drawn in proportion to what it
// holds. Of full tables one bucket in some thousand has more: those are drawn like one of so many.
const fairBucket = 16

// random returns an element, each with the same chance, or nil when there is none.
//
// It draws a bucket and a number below fairBucket, and begins anew if the bucket does not hold so
// many: so a bucket of six is kept twice as often as one of three.
func (d *Dict[E]) random() *E {
	if d.len() == 0 {
		return nil
	}
	if d.to != nil {
		d.step(1)
	}
	for try := 0; ; try++ {
		r := rand.Uint64()
		i, _ := bits.Mul64(r, uint64(d.buckets()-d.moved))
		b := d.bucketAt(d.moved + int(i))
		n := b.len()
		at := int(r % fairBucket)
		if n > fairBucket || n > 0 && try > 1000 { // or a table of next to nothing but empty buckets
			at = rand.IntN(n)
		}
		if at < n {
			return b.nth(at)
		}
	}
}

// bucketAt returns bucket i of both tables.
func (d *Dict[E]) bucketAt(i int) *bucket[E] {
	if i < d.tab.size {
		return d.tab.at(uint64(i))
	}
	return d.to.at(uint64(i - d.tab.size))
}
