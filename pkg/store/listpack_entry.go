package store

import "encoding/binary"

// One entry of a listpack: what it holds, and its bytes.

// Elem is an entry read from a listpack: bytes or an integer.
type Elem struct {
	b []byte // nil for an integer
	n int64
}

// Int returns the integer and true when the entry is stored as one.
func (e Elem) Int() (int64, bool) { return e.n, e.b == nil }

// Bytes returns the entry as a string. It must not be written to.
func (e Elem) Bytes() []byte {
	if e.b == nil {
		return decimal(e.n)
	}
	return e.b
}

// equal compares with a value prepared by newElem, which is an integer whenever it looks like one,
// as entries are.
func (e Elem) equal(o Elem) bool {
	if e.b == nil || o.b == nil {
		return e.b == nil && o.b == nil && e.n == o.n
	}
	return string(e.b) == string(o.b)
}

// newElem gives v the form in which a listpack would hold it.
func newElem(v []byte) Elem {
	if n, ok := canonicalInt(v); ok {
		return Elem{n: n}
	}
	if v == nil {
		return Elem{b: []byte{}}
	}
	return Elem{b: v}
}

// canonical reports whether the entry is stored as an integer if it is one.
func (e Elem) canonical() bool {
	if e.b == nil {
		return true
	}
	_, isInt := canonicalInt(e.b)
	return !isInt
}

func lpAt(b []byte, p int) Elem {
	switch c := b[p]; {
	case c < 0x80:
		return Elem{n: int64(c)}
	case c < 0xC0:
		return Elem{b: b[p+1 : p+1+int(c&0x3F)]}
	case c < 0xE0:
		return Elem{n: int64(int16(uint16(c)<<11|uint16(b[p+1])<<3) >> 3)}
	case c < 0xF0:
		return Elem{b: b[p+2 : p+2+int(c&0x0F)<<8+int(b[p+1])]}
	case c == 0xF0:
		return Elem{b: b[p+5 : p+5+int(binary.LittleEndian.Uint32(b[p+1:]))]}
	case c == 0xF1:
		return Elem{n: int64(int16(binary.LittleEndian.Uint16(b[p+1:])))}
	case c == 0xF2:
		return Elem{n: int64(int32(uint32(b[p+1])<<8|uint32(b[p+2])<<16|uint32(b[p+3])<<24) >> 8)}
	case c == 0xF3:
		return Elem{n: int64(int32(binary.LittleEndian.Uint32(b[p+1:])))}
	}
	return Elem{n: int64(binary.LittleEndian.Uint64(b[p+1:]))}
}

// lpDataSize returns the bytes of encoding and data of the entry at the start of b.
func lpDataSize(b []byte) int {
	switch c := b[0]; {
	case c < 0x80:
		return 1
	case c < 0xC0:
		return 1 + int(c&0x3F)
	case c < 0xE0:
		return 2
	case c < 0xF0:
		return 2 + int(c&0x0F)<<8 + int(b[1])
	case c == 0xF0:
		return 5 + int(binary.LittleEndian.Uint32(b[1:]))
	case c < 0xF4:
		return int(c-0xF1) + 3
	}
	return 9
}

// lpNext returns the position of the entry behind the one at p.
func lpNext(b []byte, p int) int {
	switch c := b[p]; { // nearly all are small integers or short strings
	case c < 0x80:
		return p + 2
	case c < 0xC0:
		return p + 2 + int(c&0x3F)
	}
	n := lpDataSize(b[p:])
	return p + n + backlenSize(n)
}

// lpCheckEntry returns the length of the entry at the start of b, or -1 when it is malformed.
func lpCheckEntry(b []byte) int {
	if c := b[0]; c < 0xC0 { // nearly all, see lpNext
		size := lpNext(b, 0)
		if size > len(b) || int(b[size-1]) != size-1 {
			return -1
		}
		return size
	}
	need := 1
	switch c := b[0]; {
	case c == 0xF0:
		need = 5
	case c > 0xF4:
		return -1
	case c&0xF0 == 0xE0:
		need = 2
	}
	if len(b) < need {
		return -1
	}
	size := lpDataSize(b)
	back := backlenSize(size)
	if size < 0 || size > len(b) || len(b)-size < back { // below 0: an int of 32 bits holds no such length
		return -1
	}
	if got, n := backlen(b[:size+back]); got != size || n != back {
		return -1
	}
	return size + back
}

// dataSize returns the bytes that encoding and data of e take.
func (e Elem) dataSize() int {
	if e.b != nil {
		switch n := len(e.b); {
		case n < 64:
			return 1 + n
		case n < 4096:
			return 2 + n
		default:
			return 5 + n
		}
	}
	switch n := e.n; {
	case n >= 0 && n <= 127:
		return 1
	case n >= -1<<12 && n < 1<<12:
		return 2
	case n >= -1<<15 && n < 1<<15:
		return 3
	case n >= -1<<23 && n < 1<<23:
		return 4
	case n >= -1<<31 && n < 1<<31:
		return 5
	}
	return 9
}

func appendData(dst []byte, e Elem) []byte {
	if e.b != nil {
		switch n := len(e.b); {
		case n < 64:
			dst = append(dst, 0x80|byte(n))
		case n < 4096:
			dst = append(dst, 0xE0|byte(n>>8), byte(n))
		default:
			dst = binary.LittleEndian.AppendUint32(append(dst, 0xF0), uint32(n))
		}
		return append(dst, e.b...)
	}
	n := uint64(e.n)
	switch size := e.dataSize(); size {
	case 1:
		return append(dst, byte(n))
	case 2:
		return append(dst, 0xC0|byte(n>>8)&0x1F, byte(n))
	case 9:
		return binary.LittleEndian.AppendUint64(append(dst, 0xF4), n)
	default:
		dst = append(dst, 0xF1+byte(size-3))
		for ; size > 1; size-- {
			dst = append(dst, byte(n))
			n >>= 8
		}
		return dst
	}
}

// backlenSize returns the bytes that an entry's length takes behind it. The bounds are Redis's:
// 16383 would fit into two bytes, but takes three.
func backlenSize(n int) int {
	switch {
	case n <= 127:
		return 1
	case n < 1<<14-1:
		return 2
	case n < 1<<21-1:
		return 3
	case n < 1<<28-1:
		return 4
	}
	return 5
}

// appendBacklen writes n in groups of 7 bits, the highest first; all but the first are marked, so
// that a reader who comes from behind knows when it is complete.
func appendBacklen(dst []byte, n int) []byte {
	k := backlenSize(n) - 1
	dst = append(dst, byte(n>>(7*k)))
	for k--; k >= 0; k-- {
		dst = append(dst, byte(n>>(7*k))|0x80)
	}
	return dst
}

// backlen reads the length that ends at the end of b, and returns the bytes it takes.
func backlen(b []byte) (n, size int) {
	for size < 5 && size < len(b) {
		c := b[len(b)-1-size]
		n |= int(c&0x7F) << (7 * size)
		size++
		if c < 0x80 {
			return n, size
		}
	}
	return -1, size
}
