package store

import (
	"encoding/binary"
	"math"
	"strconv"
	"unsafe"
)

// String is a string value. Decimal integers are kept as such, so that counters need no parsing;
// everything else is bytes. It is either an ownString, which can grow, or stands in an Entry: then
// it is the Entry, and only Store changes it.
type String Entry

// ownString is a String on its own.
type ownString struct {
	String        // kind is holdsOwn
	b      []byte // nil when the value is n
	n      int64  // the integer, or for bytes: 1 when they were edited in place (OBJECT ENCODING raw)
}

// embstrMax is the length up to which Redis keeps a string in one allocation with its header.
const embstrMax = 44

func newOwn(b []byte, n int64) *String {
	s := &ownString{b: b, n: n}
	s.kind = holdsOwn
	return &s.String
}

// NewString returns a string value that holds a copy of b.
func NewString(b []byte) *String {
	if n, ok := canonicalInt(b); ok {
		return NewInt(n)
	}
	return NewPlainString(b)
}

// NewPlainString is NewString without a look whether b is an integer, as Redis stores the results of
// INCRBYFLOAT: the value counts as embstr or raw even if it reads as an integer.
func NewPlainString(b []byte) *String { return newOwn(append(make([]byte, 0, len(b)), b...), 0) }

// NewInt returns a string value that holds n in decimal.
func NewInt(n int64) *String { return newOwn(nil, n) }

// own returns s as what it must be then.
func (s *String) own() *ownString {
	if s.kind != holdsOwn {
		panic("store: a string is changed that does not come from Edit")
	}
	return (*ownString)(unsafe.Pointer(s))
}

// set makes b the value, or what integer it is.
func (o *ownString) set(b []byte) {
	if n, ok := canonicalInt(b); ok {
		o.b, o.n = nil, n
		return
	}
	if o.b == nil || cap(o.b) < len(b) || cap(o.b) > 2*len(b)+64 {
		o.b = make([]byte, len(b))
		copy(o.b, b)
	} else {
		o.b = append(o.b[:0], b...)
	}
	o.n = 0
}

// get returns the bytes, or the integer when they are nil.
func (s *String) get() (b []byte, n int64) {
	switch s.kind {
	case holdsOwn:
		o := s.own()
		return o.b, o.n
	case holdsInt:
		return nil, int64(binary.NativeEndian.Uint64((*Entry)(s).room()))
	}
	return (*Entry)(s).room()[:s.size:s.size], 0
}

// canonicalInt parses a decimal that prints back as the same bytes. Every string that is stored is
// asked this, and most are none: an error would be the most expensive part.
func canonicalInt(b []byte) (int64, bool) {
	digits := b
	if len(b) > 0 && b[0] == '-' {
		digits = b[1:]
	}
	if len(digits) == 0 || len(digits) > 19 || digits[0] == '0' && len(b) > 1 {
		return 0, false
	}
	n := uint64(0) // has room for 19 digits
	for _, c := range digits {
		if c -= '0'; c > 9 {
			return 0, false
		}
		n = 10*n + uint64(c)
	}
	if len(digits) < len(b) {
		return -int64(n), n <= -math.MinInt64
	}
	return int64(n), n <= math.MaxInt64
}

func (*String) sealed() {}

// Type returns TypeString.
func (*String) Type() Type { return TypeString }

// Encoding returns int, embstr or raw.
func (s *String) Encoding() string {
	switch b, n := s.get(); {
	case b == nil:
		return "int"
	case n == 0 && len(b) <= embstrMax:
		return "embstr"
	}
	return "raw"
}

// isRaw reports whether the string was edited in place.
func (s *String) isRaw() bool {
	b, n := s.get()
	return b != nil && n != 0
}

// MemBytes returns the size of the header and the bytes.
func (s *String) MemBytes() int64 {
	if s.kind != holdsOwn {
		return int64(entryHead + len((*Entry)(s).room()))
	}
	return 64 + int64(cap(s.own().b))
}

// Clone returns a copy of the value.
func (s *String) Clone() Value {
	b, n := s.get()
	if b != nil {
		b = append(make([]byte, 0, len(b)), b...)
	}
	return newOwn(b, n)
}

// Len returns the length in bytes.
func (s *String) Len() int {
	b, n := s.get()
	if b != nil {
		return len(b)
	}
	return decimalLen(n)
}

// Int returns the value as an integer when it is one.
func (s *String) Int() (int64, bool) {
	b, n := s.get()
	return n, b == nil
}

// Append appends the bytes of the value to dst.
func (s *String) Append(dst []byte) []byte {
	b, n := s.get()
	if b == nil {
		return strconv.AppendInt(dst, n, 10)
	}
	return append(dst, b...)
}

// View returns the bytes of the value to look at: they are valid until the value changes and must
// not be written to.
func (s *String) View() []byte {
	b, n := s.get()
	if b == nil {
		return strconv.AppendInt(nil, n, 10)
	}
	return b
}

// SetRaw makes the value b, which the string owns from then on. As all methods that change it, it
// is for a string got from Edit or NewString.
func (s *String) SetRaw(b []byte) {
	if b == nil {
		b = []byte{}
	}
	o := s.own()
	o.b, o.n = b, 1
}

// Grow makes the value at least size bytes long, filled with zero bytes, and returns its bytes to
// be written to in place.
func (s *String) Grow(size int) []byte {
	b := s.bytes()
	if len(b) < size {
		b = append(b, make([]byte, size-len(b))...)
	}
	s.SetRaw(b)
	return b
}

// AppendBytes appends b to the value and returns its new length.
func (s *String) AppendBytes(b []byte) int {
	b = append(s.bytes(), b...)
	s.SetRaw(b)
	return len(b)
}

// bytes returns the value as bytes to be edited.
func (s *String) bytes() []byte {
	if o := s.own(); o.b != nil {
		return o.b
	}
	return strconv.AppendInt(make([]byte, 0, 24), s.own().n, 10)
}

// AddInt adds delta and returns the sum; it reports false, and changes nothing, when the value is
// no integer or the sum overflows (then isInt is true).
func (s *String) AddInt(delta int64) (sum int64, isInt, ok bool) {
	if sum, isInt, ok = s.sum(delta); ok {
		o := s.own()
		o.b, o.n = nil, sum
	}
	return sum, isInt, ok
}

// sum is AddInt that only computes.
func (s *String) sum(delta int64) (sum int64, isInt, ok bool) {
	b, n := s.get()
	if b != nil {
		var ok bool
		if n, ok = canonicalInt(b); !ok {
			return 0, false, false
		}
	}
	if delta > 0 && n > math.MaxInt64-delta || delta < 0 && n < math.MinInt64-delta {
		return 0, true, false
	}
	return n + delta, true, true
}
