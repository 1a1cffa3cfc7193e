package store

import (
	"encoding/binary"
	"unsafe"
)

// Intset is a sorted set of integers in one block of memory, byte for byte what Redis's intset.c
// builds: the width of an integer (2, 4 or 8 bytes) and their number as little endian 32-bit
// numbers, then the integers in ascending order. A width that became necessary stays.
//
// The zero value is an empty Intset. Like a Listpack it is less than a slice, since the block knows
// its own length.
type Intset struct {
	mem *byte // the first of cap bytes, which begin with the block; nil for an empty one
	cap uint32
}

const intsetHeader = 8

// ParseIntset checks that b is a well-formed intset and takes ownership of it.
func ParseIntset(b []byte) (Intset, error) {
	if len(b) < intsetHeader {
		return Intset{}, ErrCorrupt
	}
	s := intsetIn(b)
	w, n := int64(s.width()), int64(binary.LittleEndian.Uint32(b[4:]))
	if w != 2 && w != 4 && w != 8 || int64(len(b)) != intsetHeader+w*n {
		return Intset{}, ErrCorrupt
	}
	for i := 1; i < s.Len(); i++ {
		if s.at(i-1) >= s.at(i) {
			return Intset{}, ErrCorrupt
		}
	}
	return s, nil
}

// intsetIn returns the intset whose block is b.
func intsetIn(b []byte) Intset { return Intset{unsafe.SliceData(b), uint32(cap(b))} }

// header returns the first bytes of the block, which must be there.
func (s *Intset) header() *[intsetHeader]byte { return (*[intsetHeader]byte)(unsafe.Pointer(s.mem)) }

// block returns the block, or nil.
func (s *Intset) block() []byte {
	if s.mem == nil {
		return nil
	}
	return unsafe.Slice(s.mem, intsetHeader+s.width()*s.Len())
}

// memory returns all bytes that the intset has.
func (s *Intset) memory() []byte { return unsafe.Slice(s.mem, s.cap) }

// clone returns a copy that shares nothing.
func (s *Intset) clone() Intset { return intsetIn(append([]byte(nil), s.block()...)) }

// Bytes returns the block, valid until the set changes. It must not be written to.
func (s *Intset) Bytes() []byte {
	if s.mem == nil {
		return []byte{2, 0, 0, 0, 0, 0, 0, 0}
	}
	return s.block()
}

// Len returns the number of integers.
func (s *Intset) Len() int {
	if s.mem == nil {
		return 0
	}
	return int(binary.LittleEndian.Uint32(s.header()[4:]))
}

func (s *Intset) width() int { return int(binary.LittleEndian.Uint32(s.header()[:])) }

// at returns integer i in ascending order.
func (s *Intset) at(i int) int64 {
	w := s.width()
	p := unsafe.Add(unsafe.Pointer(s.mem), intsetHeader+w*i)
	switch w {
	case 2:
		return int64(int16(binary.LittleEndian.Uint16((*[2]byte)(p)[:])))
	case 4:
		return int64(int32(binary.LittleEndian.Uint32((*[4]byte)(p)[:])))
	}
	return int64(binary.LittleEndian.Uint64((*[8]byte)(p)[:]))
}

func (s *Intset) put(i int, n int64) {
	w := s.width()
	p := unsafe.Add(unsafe.Pointer(s.mem), intsetHeader+w*i)
	switch w {
	case 2:
		binary.LittleEndian.PutUint16((*[2]byte)(p)[:], uint16(n))
	case 4:
		binary.LittleEndian.PutUint32((*[4]byte)(p)[:], uint32(n))
	default:
		binary.LittleEndian.PutUint64((*[8]byte)(p)[:], uint64(n))
	}
}

// search returns where n is, or where it belongs.
func (s *Intset) search(n int64) (int, bool) {
	lo, hi := 0, s.Len()
	for lo < hi {
		mid := int(uint(lo+hi) >> 1)
		if s.at(mid) < n {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo, lo < s.Len() && s.at(lo) == n
}

// contains reports whether n is in the set.
func (s *Intset) contains(n int64) bool {
	_, ok := s.search(n)
	return ok
}

// add adds n and reports whether it was new.
func (s *Intset) add(n int64) bool {
	i, ok := s.search(n)
	if ok {
		return false
	}
	s.widen(intWidth(n))
	w, count := s.width(), s.Len()
	size := intsetHeader + w*count
	if size+w > int(s.cap) {
		s.rebase(size + w + spare(size))
	}
	b, at := s.memory()[:size+w], intsetHeader+w*i
	copy(b[at+w:], b[at:size])
	s.put(i, n)
	binary.LittleEndian.PutUint32(b[4:], uint32(count+1))
	return true
}

// rebase moves the block to new memory of about capacity bytes, rounded up to what the allocator
// hands out anyway.
func (s *Intset) rebase(capacity int) {
	mem := append([]byte(nil), make([]byte, capacity)...)
	copy(mem, s.block())
	*s = intsetIn(mem)
}

// remove removes n and reports whether it was there.
func (s *Intset) remove(n int64) bool {
	i, ok := s.search(n)
	if !ok {
		return false
	}
	w, count := s.width(), s.Len()
	b, at := s.block(), intsetHeader+w*i
	copy(b[at:], b[at+w:])
	binary.LittleEndian.PutUint32(b[4:], uint32(count-1))
	if size := len(b) - w; int(s.cap) > 4*size+64 {
		s.rebase(size)
	}
	return true
}

// widen makes the integers at least w bytes wide.
func (s *Intset) widen(w int) {
	if s.mem == nil {
		s.rebase(intsetHeader + w)
		binary.LittleEndian.PutUint32(s.header()[:], uint32(w))
		return
	}
	if w <= s.width() {
		return
	}
	old, n := *s, s.Len()
	*s = Intset{}
	s.rebase(intsetHeader + w*(n+1))
	binary.LittleEndian.PutUint32(s.header()[:], uint32(w))
	binary.LittleEndian.PutUint32(s.header()[4:], uint32(n))
	for i := range n {
		s.put(i, old.at(i))
	}
}

func intWidth(n int64) int {
	switch {
	case n >= -1<<15 && n < 1<<15:
		return 2
	case n >= -1<<31 && n < 1<<31:
		return 4
	}
	return 8
}
