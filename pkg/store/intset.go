package store

import "encoding/binary"

// Intset is a sorted set of integers in one block of memory, byte for byte what Redis's intset.c
// builds: the width of an integer (2, 4 or 8 bytes) and their number as little endian 32-bit
// numbers, then the integers in ascending order. A width that became necessary stays.
//
// The zero value is an empty Intset.
type Intset struct{ b []byte }

const intsetHeader = 8

// ParseIntset checks that b is a well-formed intset and takes ownership of it.
func ParseIntset(b []byte) (Intset, error) {
	if len(b) < intsetHeader {
		return Intset{}, ErrCorrupt
	}
	s := Intset{b}
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

// Bytes returns the block, valid until the set changes. It must not be written to.
func (s *Intset) Bytes() []byte {
	if s.b == nil {
		return []byte{2, 0, 0, 0, 0, 0, 0, 0}
	}
	return s.b
}

// Len returns the number of integers.
func (s *Intset) Len() int {
	if s.b == nil {
		return 0
	}
	return int(binary.LittleEndian.Uint32(s.b[4:]))
}

func (s *Intset) width() int { return int(binary.LittleEndian.Uint32(s.b)) }

// at returns integer i in ascending order.
func (s *Intset) at(i int) int64 {
	switch w := s.width(); w {
	case 2:
		return int64(int16(binary.LittleEndian.Uint16(s.b[intsetHeader+2*i:])))
	case 4:
		return int64(int32(binary.LittleEndian.Uint32(s.b[intsetHeader+4*i:])))
	}
	return int64(binary.LittleEndian.Uint64(s.b[intsetHeader+8*i:]))
}

func (s *Intset) put(i int, n int64) {
	switch w := s.width(); w {
	case 2:
		binary.LittleEndian.PutUint16(s.b[intsetHeader+2*i:], uint16(n))
	case 4:
		binary.LittleEndian.PutUint32(s.b[intsetHeader+4*i:], uint32(n))
	default:
		binary.LittleEndian.PutUint64(s.b[intsetHeader+8*i:], uint64(n))
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
	s.b = append(s.b, make([]byte, w)...)
	at := intsetHeader + w*i
	copy(s.b[at+w:], s.b[at:])
	s.put(i, n)
	binary.LittleEndian.PutUint32(s.b[4:], uint32(count+1))
	return true
}

// remove removes n and reports whether it was there.
func (s *Intset) remove(n int64) bool {
	i, ok := s.search(n)
	if !ok {
		return false
	}
	w, count := s.width(), s.Len()
	at := intsetHeader + w*i
	s.b = append(s.b[:at], s.b[at+w:]...)
	binary.LittleEndian.PutUint32(s.b[4:], uint32(count-1))
	if cap(s.b) > 4*len(s.b)+64 {
		s.b = append([]byte(nil), s.b...)
	}
	return true
}

// widen makes the integers at least w bytes wide.
func (s *Intset) widen(w int) {
	if s.b == nil {
		s.b = append(s.b, byte(w), 0, 0, 0, 0, 0, 0, 0)
		return
	}
	if w <= s.width() {
		return
	}
	old, n := *s, s.Len()
	s.b = make([]byte, intsetHeader+w*n, intsetHeader+w*(n+1))
	binary.LittleEndian.PutUint32(s.b, uint32(w))
	binary.LittleEndian.PutUint32(s.b[4:], uint32(n))
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
