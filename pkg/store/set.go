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
	p     unsafe.Pointer // the intset's memory, or *members
	cap   uint32         // bytes of the intset's memory
	large bool           // it is members
}

// ints returns the intset, which is used while the set is not large. What changes it must be followed by keep.
func (s *Set) ints() Intset { return Intset{(*byte)(s.p), s.cap} }

func (s *Set) keep(ints Intset) { s.p, s.cap = unsafe.Pointer(ints.mem), ints.cap }

// members returns those of a large set, else nil.
func (s *Set) members() *members {
	if !s.large {
		return nil
	}
	return (*members)(s.p)
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
	s := new(Set)
	s.keep(ints)
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
	if !s.large {
		return "intset"
	}
	return "hashtable"
}

// Intset returns the members as they are stored, or false in the other encoding.
func (s *Set) Intset() (Intset, bool) {
	if s.large {
		return Intset{}, false
	}
	return s.ints(), true
}

// MemBytes estimates the memory of the set.
func (s *Set) MemBytes() int64 {
	if !s.large {
		return 16 + int64(s.cap)
	}
	return 16 + dictBytes + s.members().mem
}

// Len returns the number of members.
func (s *Set) Len() int {
	if !s.large {
		ints := s.ints()
		return ints.Len()
	}
	return s.members().len()
}

// Clone returns a copy that shares nothing that can change.
func (s *Set) Clone() Value {
	if !s.large {
		ints, c := s.ints(), new(Set)
		c.keep(ints.clone())
		return c
	}
	d := new(members)
	d.reserve(s.members().len())
	s.members().Each(func(m *setMember) bool {
		d.put(keyOf(m), hashOf(m))
		return true
	})
	return &Set{p: unsafe.Pointer(d), large: true}
}

// Expect prepares for n members in all, when they are too many for an intset.
func (s *Set) Expect(n int) {
	if int64(n) <= Encodings.SetMaxIntsetEntries.Load() {
		return
	}
	if !s.large {
		s.convert(n)
	} else {
		s.members().reserve(n)
	}
}

// Add adds m and reports whether it is new.
func (s *Set) Add(m []byte) bool {
	if !s.large {
		if n, ok := canonicalInt(m); ok {
			return s.addInt(n)
		}
		s.convert(s.Len() + 1)
	}
	h, d := hashBytes(m), s.members()
	if d.find(asString(m), h) != nil {
		return false
	}
	d.put(asString(m), h)
	return true
}

func (s *Set) addInt(n int64) bool {
	ints := s.ints()
	isNew := ints.add(n)
	s.keep(ints)
	if isNew && int64(ints.Len()) > min(Encodings.SetMaxIntsetEntries.Load(), 1<<28) {
		s.convert(ints.Len())
	}
	return isNew
}

// Remove removes m and reports whether it was there.
func (s *Set) Remove(m []byte) bool {
	if d := s.members(); d != nil {
		if d.delete(m) == nil {
			return false
		}
		d.mem -= memberBytes(len(m))
		return true
	}
	n, ok := canonicalInt(m)
	if !ok {
		return false
	}
	ints := s.ints()
	ok = ints.remove(n)
	s.keep(ints)
	return ok
}

// Contains reports whether m is a member.
func (s *Set) Contains(m []byte) bool {
	if s.large {
		return s.members().get(m) != nil
	}
	n, ok := canonicalInt(m)
	ints := s.ints()
	return ok && ints.contains(n)
}

// convert goes over to a Dict with room for n members.
func (s *Set) convert(n int) {
	d := new(members)
	d.reserve(n)
	s.Each(func(m []byte) bool {
		d.put(asString(m), hashBytes(m))
		return true
	})
	*s = Set{p: unsafe.Pointer(d), large: true}
}

// Each calls fn for every member until it returns false: integers of an intset in ascending order.
func (s *Set) Each(fn func(m []byte) bool) {
	if s.large {
		s.members().Each(func(m *setMember) bool { return fn(view(keyOf(m))) })
		return
	}
	ints := s.ints()
	for i, n := 0, ints.Len(); i < n; i++ {
		if !fn(decimal(ints.at(i))) {
			return
		}
	}
}

// Scan is one step of a walk with SSCAN's cursor: it calls fn for about count members and returns
// the cursor to go on with, 0 at the end. An intset is handed out whole. See Dict.scan.
func (s *Set) Scan(cursor uint64, count int, fn func(m []byte)) uint64 {
	if !s.large {
		s.Each(func(m []byte) bool { fn(m); return true })
		return 0
	}
	return s.members().scanSome(cursor, count, func(m *setMember) { fn(view(keyOf(m))) })
}

// Random returns a member drawn at random, or nil when there is none.
func (s *Set) Random() []byte {
	switch {
	case s.Len() == 0:
		return nil
	case s.large:
		return view(keyOf(s.members().random()))
	}
	ints := s.ints()
	return decimal(ints.at(rand.IntN(ints.Len())))
}

// Sample calls fn for n different members drawn at random, or for all when there are fewer, until
// it returns false.
func (s *Set) Sample(n int, fn func(m []byte) bool) {
	if s.large {
		s.members().sample(n, func(m *setMember) bool { return fn(view(keyOf(m))) })
		return
	}
	ints := s.ints()
	for _, i := range sampleIndexes(ints.Len(), n) {
		if !fn(decimal(ints.at(i))) {
			return
		}
	}
}
