package store

import (
	"math/bits"
	"unsafe"
)

// The buckets of a Dict, after Valkey 8.1's hashtable.c.
//
// A look-up in a large table mostly waits for memory: some hundred nanoseconds each time that the
// processor needs a line which is in none of its caches, more than all the rest takes. A bucket is
// one such line of 64 bytes. It has seven pointers to elements, and beside each a tag, one byte of
// the hash of its key. Reading the line tells which of the seven it can be, nearly always one or
// none, and only that is looked at. A chain of elements would have to be followed one by one, each
// a wait of its own.
//
// The eighth byte beside the tags says whether the bucket was too small: then its last pointer
// leads to another bucket.

// bucketSlots is the number of elements in a bucket.
const bucketSlots = 7

type bucket[E element] struct {
	meta uint64 // byte i is the tag of slot i, 0 when it is empty; the highest byte is 1 with a chain
	slot [bucketSlots]*E
}

const (
	eachTag = 0x0001_0101_0101_0101 // a one in the byte of each tag
	tagLow  = 0x7f * eachTag
	tagHigh = 0x80 * eachTag
	chained = 1 << 56
	lastTag = 0xff << (8 * (bucketSlots - 1))
)

// tagOf returns the tag of a hash, which is never 0. It is of the upper bits: the lower choose the
// bucket.
func tagOf(h uint64) uint64 { return max(h>>56, 1) }

// zeros returns the highest bit of each tag's byte of x that is zero.
func zeros(x uint64) uint64 { return ^((x&tagLow + tagLow) | x | tagLow) & tagHigh }

// with returns the slots that have a tag, as bits to be used with first.
func (b *bucket[E]) with(tag uint64) uint64 { return zeros(b.meta ^ tag*eachTag) }

// free returns the empty slots.
func (b *bucket[E]) free() uint64 {
	m := zeros(b.meta)
	if b.meta >= chained {
		m &^= lastTag
	}
	return m
}

// taken returns the slots that hold an element.
func (b *bucket[E]) taken() uint64 { return zeros(b.meta) ^ tagHigh }

// first returns the first slot of some.
func first(slots uint64) int { return bits.TrailingZeros64(slots) / 8 }

// next returns the bucket that the chain goes on with, or nil.
func (b *bucket[E]) next() *bucket[E] {
	if b.meta < chained {
		return nil
	}
	// Whatever a pointer is declared to point to, the collector goes by what is there.
	return (*bucket[E])(unsafe.Pointer(b.slot[bucketSlots-1]))
}

func (b *bucket[E]) set(i int, tag uint64, e *E) {
	b.meta |= tag << (8 * i)
	b.slot[i] = e
}

func (b *bucket[E]) clear(i int) {
	b.meta &^= 0xff << (8 * i)
	b.slot[i] = nil
}

// insert adds an element to the chain.
func (b *bucket[E]) insert(e *E, tag uint64) {
	for {
		if m := b.free(); m != 0 {
			b.set(first(m), tag, e)
			return
		}
		if b.meta < chained {
			break
		}
		b = b.next()
	}
	const last = bucketSlots - 1
	more := new(bucket[E])
	more.set(0, b.meta&lastTag>>(8*last), b.slot[last])
	more.set(1, tag, e)
	b.meta = b.meta&^lastTag | chained
	b.slot[last] = (*E)(unsafe.Pointer(more))
}

// fill closes the gap at slot i of bucket at, which is of the chain that begins with b: with the
// last element of the chain, whose last bucket goes when it is empty.
func (b *bucket[E]) fill(at *bucket[E], i int) {
	if b.meta < chained {
		return
	}
	before, last := b, b.next()
	for last.meta >= chained {
		before, last = last, last.next()
	}
	if m := last.taken(); m != 0 && (last != at) {
		j := bits.Len64(m)/8 - 1
		at.set(i, last.meta>>(8*j)&0xff, last.slot[j])
		last.clear(j)
	}
	if last.meta == 0 {
		before.meta &^= chained
		before.slot[bucketSlots-1] = nil
	}
}

// each calls fn for the elements of the chain. fn may delete the one it is given.
func (b *bucket[E]) each(fn func(*E)) {
	for ; b != nil; b = b.next() {
		for m := b.taken(); m != 0; m &= m - 1 {
			fn(b.slot[first(m)])
		}
	}
}

// len returns the number of elements in the chain.
func (b *bucket[E]) len() int {
	n := 0
	for ; b != nil; b = b.next() {
		n += bits.OnesCount64(b.taken())
	}
	return n
}

// nth returns element i of the chain, or nil.
func (b *bucket[E]) nth(i int) *E {
	for ; b != nil; b = b.next() {
		m := b.taken()
		n := bits.OnesCount64(m)
		if i < n {
			for ; i > 0; i-- {
				m &= m - 1
			}
			return b.slot[first(m)]
		}
		i -= n
	}
	return nil
}

// A table is one block up to the size of a segment, and beyond that an array of segments. One comes
// to be when something is put into it, and goes when resizing has passed it. So no operation waits
// for many megabytes to be allocated, and of two tables only that is there which is in use.
//
// A segment is 32 KB, which is also what the collector scans in one go: whoever allocates while it
// works is made to help, and waits for no more than that.
const (
	segmentBits    = 9
	segmentBuckets = 1 << segmentBits
)

type segment[E element] [segmentBuckets]bucket[E]

// bucketTable is an array of buckets, whose number is a power of two, or none.
type bucketTable[E element] struct {
	size, used int // buckets, elements
	block      []bucket[E]
	segments   []*segment[E] // nil: all is in block
}

func newBuckets[E element](size int) bucketTable[E] {
	t := bucketTable[E]{size: size}
	if size <= segmentBuckets {
		t.block = make([]bucket[E], size)
	} else {
		t.segments = make([]*segment[E], size/segmentBuckets)
	}
	return t
}

// fullAt is the number of elements from which on a table of so many buckets is too small: 6.5 a
// bucket, of which every third has a chain then.
func fullAt(buckets int) int { return buckets*bucketSlots - buckets/2 }

// at returns bucket i, or nil where there is no segment.
func (t *bucketTable[E]) at(i uint64) *bucket[E] {
	if t.segments == nil {
		return &t.block[i]
	}
	if s := t.segments[i>>segmentBits]; s != nil {
		return &s[i%segmentBuckets]
	}
	return nil
}

// drop lets go of the segment that ends with bucket i.
func (t *bucketTable[E]) drop(i int) {
	if t.segments != nil && i%segmentBuckets == segmentBuckets-1 {
		t.segments[i>>segmentBits] = nil
	}
}

// find returns the slot of the element of key, whose hash is h, or nil.
func (t *bucketTable[E]) find(key string, h uint64) **E {
	if t.size == 0 {
		return nil
	}
	tag := tagOf(h)
	for b := t.at(h & uint64(t.size-1)); b != nil; b = b.next() {
		for m := b.with(tag); m != 0; m &= m - 1 {
			if s := &b.slot[first(m)]; keyOf(*s) == key {
				return s
			}
		}
	}
	return nil
}

func (t *bucketTable[E]) insert(e *E, h uint64) {
	i := h & uint64(t.size-1)
	b := t.at(i)
	if b == nil {
		s := new(segment[E])
		t.segments[i>>segmentBits] = s
		b = &s[i%segmentBuckets]
	}
	b.insert(e, tagOf(h))
	t.used++
}

// remove takes out the element of key and returns it, or nil. touch, if not nil, is called before.
// With tidy, the chain it was in is kept short.
func (t *bucketTable[E]) remove(key string, h uint64, touch func(*E, bool), tidy bool) *E {
	if t.size == 0 {
		return nil
	}
	tag := tagOf(h)
	head := t.at(h & uint64(t.size-1))
	for b := head; b != nil; b = b.next() {
		for m := b.with(tag); m != 0; m &= m - 1 {
			i := first(m)
			e := b.slot[i]
			if keyOf(e) != key {
				continue
			}
			if touch != nil {
				touch(e, false)
			}
			b.clear(i)
			t.used--
			if tidy {
				head.fill(b, i)
			}
			return e
		}
	}
	return nil
}
