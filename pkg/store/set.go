package store

import (
	"math/rand/v2"
	"unsafe"
)

// Set is a set value: an Intset while it holds up to 512 members that are all integers, else a
// Dict.
//
// Slices given in are copied; slices handed out must not be written to and are valid until the
// set changes.
type Set struct {
	ints Intset
	d    *members // nil while the intset is used
}

// members are those of a large set, or of one with a member that is no integer.
type members struct {
	Dict[setMember]
	mem int64 // what they take
}

// setMember is a member: this head, then its bytes.
type setMember struct{ node }

const memberHead = int(unsafe.Sizeof(setMember{}))

// put adds a member whose hash is h and that is not there yet.
func (d *members) put(m string, h uint64) {
	e := newBytes[setMember](memberHead + max(len(m), 1))
	e.keyAt, e.keyLen = uint16(memberHead), uint32(len(m))
	copy(behind(e, memberHead, len(m)), m)
	d.insert(e, h)
	d.mem += memberBytes(len(m))
}

func memberBytes(size int) int64 { return slotBytes + int64(pieceSize(memberHead+max(size, 1))) }

// NewSet returns an empty set.
func NewSet() *Set { return new(Set) }

// NewSetFromIntset returns a set of the members of ints, which it takes over.
func NewSetFromIntset(ints Intset) *Set {
	s := &Set{ints: ints}
	if int64(s.Len()) > Encodings.SetMaxIntsetEntries.Load() {
		s.convert(s.Len())
	}
	return s
}

func (*Set) sealed() {}

// Type returns TypeSet.
func (*Set) Type() Type { return TypeSet }

// Encoding returns intset or hashtable.
func (s *Set) Encoding() string {
	if s.d == nil {
		return "intset"
	}
	return "hashtable"
}

// Intset returns the members as they are stored, or false in the other encoding.
func (s *Set) Intset() (*Intset, bool) { return &s.ints, s.d == nil }

// MemBytes estimates the memory of the set.
func (s *Set) MemBytes() int64 {
	if s.d == nil {
		return 32 + int64(cap(s.ints.b))
	}
	return 32 + dictBytes + s.d.mem
}

// Len returns the number of members.
func (s *Set) Len() int {
	if s.d == nil {
		return s.ints.Len()
	}
	return s.d.len()
}

// Clone returns a copy that shares nothing that can change.
func (s *Set) Clone() Value {
	if s.d == nil {
		return &Set{ints: Intset{append([]byte(nil), s.ints.b...)}}
	}
	c := &Set{d: new(members)}
	c.d.reserve(s.d.len())
	s.d.Each(func(m *setMember) bool {
		c.d.put(keyOf(m), hashOf(m))
		return true
	})
	return c
}

// Expect prepares for n members in all, when they are too many for an intset.
func (s *Set) Expect(n int) {
	if int64(n) <= Encodings.SetMaxIntsetEntries.Load() {
		return
	}
	if s.d == nil {
		s.convert(n)
	} else {
		s.d.reserve(n)
	}
}

// Add adds m and reports whether it is new.
func (s *Set) Add(m []byte) bool {
	if s.d == nil {
		if n, ok := canonicalInt(m); ok {
			isNew := s.ints.add(n)
			if isNew && int64(s.ints.Len()) > min(Encodings.SetMaxIntsetEntries.Load(), 1<<30) {
				s.convert(s.ints.Len())
			}
			return isNew
		}
		s.convert(s.ints.Len() + 1)
	}
	h := hashBytes(m)
	if s.d.find(asString(m), h) != nil {
		return false
	}
	s.d.put(asString(m), h)
	return true
}

// Remove removes m and reports whether it was there.
func (s *Set) Remove(m []byte) bool {
	if s.d != nil {
		if s.d.delete(m) == nil {
			return false
		}
		s.d.mem -= memberBytes(len(m))
		return true
	}
	n, ok := canonicalInt(m)
	return ok && s.ints.remove(n)
}

// Contains reports whether m is a member.
func (s *Set) Contains(m []byte) bool {
	if s.d != nil {
		return s.d.get(m) != nil
	}
	n, ok := canonicalInt(m)
	return ok && s.ints.contains(n)
}

// convert goes over to a Dict with room for n members.
func (s *Set) convert(n int) {
	d := new(members)
	d.reserve(n)
	s.Each(func(m []byte) bool {
		d.put(asString(m), hashBytes(m))
		return true
	})
	s.d, s.ints = d, Intset{}
}

// Each calls fn for every member until it returns false: integers of an intset in ascending order.
func (s *Set) Each(fn func(m []byte) bool) {
	if s.d != nil {
		s.d.Each(func(m *setMember) bool { return fn(view(keyOf(m))) })
		return
	}
	for i, n := 0, s.ints.Len(); i < n; i++ {
		if !fn(decimal(s.ints.at(i))) {
			return
		}
	}
}

// Scan is one step of a walk with SSCAN's cursor: it calls fn for about count members and returns
// the cursor to go on with, 0 at the end. An intset is handed out whole. See Dict.scan.
func (s *Set) Scan(cursor uint64, count int, fn func(m []byte)) uint64 {
	if s.d == nil {
		s.Each(func(m []byte) bool { fn(m); return true })
		return 0
	}
	return s.d.scanSome(cursor, count, func(m *setMember) { fn(view(keyOf(m))) })
}

// Random returns a member drawn at random, or nil when there is none.
func (s *Set) Random() []byte {
	switch {
	case s.Len() == 0:
		return nil
	case s.d != nil:
		return view(keyOf(s.d.random()))
	}
	return decimal(s.ints.at(rand.IntN(s.ints.Len())))
}

// Sample calls fn for n different members drawn at random, or for all when there are fewer, until
// it returns false.
func (s *Set) Sample(n int, fn func(m []byte) bool) {
	if s.d != nil {
		s.d.sample(n, func(m *setMember) bool { return fn(view(keyOf(m))) })
		return
	}
	for _, i := range sampleIndexes(s.ints.Len(), n) {
		if !fn(decimal(s.ints.at(i))) {
			return
		}
	}
}
