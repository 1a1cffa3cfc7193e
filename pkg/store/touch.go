package store

import (
	"sync/atomic"
	"unsafe"
)

// touchStep is how many look-ups are made together: more would drive the first ones out of the
// nearest cache again.
const touchStep = 64

// touchFrom is the number of elements from which on a table is worth it: a smaller one is in a
// cache anyway.
const touchFrom = 1 << 10

// Touch looks at what look-ups of these keys will need, and so brings it into the processor's
// caches. It changes nothing, and is worth its time when the keys are many and the data is large.
//
// A look-up in a large table waits for memory, for the bucket and then for the entry, some hundred
// nanoseconds each time. A processor can wait for ten such lines at once, but not if an address
// comes out of the line before: so command after command waits for each by itself. Touch reads all
// the buckets first, none of which depends on another, then all the entries. The commands find
// everything there. (Valkey 8 calls it memory prefetching.) Of a million small strings, look-ups in
// batches of 16 took less than half the time.
func (db *DB) Touch(keys [][]byte) { db.t.keys.ahead(keys) }

// TouchElems is Touch for elements of the hash, the set or the sorted set at key.
func (db *DB) TouchElems(key []byte, elems [][]byte) {
	e := db.t.keys.glance(key)
	if e == nil {
		return
	}
	switch v := e.Value().(type) {
	case *Hash:
		if v.d != nil {
			v.d.ahead(elems)
		}
	case *Set:
		if v.large {
			v.members().ahead(elems)
		}
	case *ZSet:
		if v.skip != nil {
			v.skip.d.ahead(elems)
		}
	}
}

// touched is where ahead leaves what it read, so that it has to.
var touched atomic.Uint64

// ahead touches the elements of these keys.
func (d *Dict[E]) ahead(keys [][]byte) {
	if d.len() < touchFrom {
		return
	}
	var at [touchStep]struct {
		bucket *bucket[E]
		tag    uint64
	}
	for len(keys) > 0 {
		n := min(len(keys), touchStep)
		for i, key := range keys[:n] {
			h := hashBytes(key)
			at[i].bucket, at[i].tag = d.likely(h), tagOf(h)
		}
		keys = keys[n:]
		var sum uint64
		for _, a := range at[:n] {
			if a.bucket != nil {
				sum += a.bucket.meta
			}
		}
		for _, a := range at[:n] {
			if a.bucket == nil {
				continue
			}
			if m := a.bucket.with(a.tag); m != 0 {
				sum += (*node)(unsafe.Pointer(a.bucket.slot[first(m)])).touch()
			}
		}
		touched.Store(sum)
	}
}

// likely returns the bucket in which a key of this hash is most likely, or nil.
func (d *Dict[E]) likely(h uint64) *bucket[E] {
	switch {
	case d.len() == 0:
		return nil
	case d.to != nil && d.passed(h):
		return d.to.at(h & uint64(d.to.size-1))
	}
	return d.tab.at(h & uint64(d.tab.size-1))
}

// glance is get that moves nothing.
func (d *Dict[E]) glance(key []byte) *E {
	if d.len() == 0 {
		return nil
	}
	if s := d.slot(asString(key), hashBytes(key)); s != nil {
		return *s
	}
	return nil
}

// touch reads the head of an element, and the end of its key, which may be in the next line of the
// cache.
func (n *node) touch() uint64 {
	sum := uint64(n.kind)
	if !n.apart && n.keyLen > 0 {
		sum += uint64(n.key()[n.keyLen-1])
	}
	return sum
}
