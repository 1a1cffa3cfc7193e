package store

import (
	"math"
	"strconv"
)

// String is a string value. Decimal integers are kept as such, so that counters need no parsing
// and no memory beyond the String; everything else is bytes.
type String struct {
	b []byte // nil when the value is n
	n int64  // the integer, or for bytes: 1 when they were edited in place (OBJECT ENCODING raw)
}

// embstrMax is the length up to which Redis keeps a string in one allocation with its header.
const embstrMax = 44

// NewString returns a string value that holds a copy of b.
func NewString(b []byte) *String {
	s := new(String)
	s.set(b)
	return s
}

// NewPlainString is NewString without a look whether b is an integer, as Redis stores the results of
// INCRBYFLOAT: the value counts as embstr or raw even if it reads as an integer.
func NewPlainString(b []byte) *String {
	return &String{b: append(make([]byte, 0, len(b)), b...)}
}

// NewInt returns a string value that holds n in decimal.
func NewInt(n int64) *String { return &String{n: n} }

func (s *String) set(b []byte) {
	if n, ok := canonicalInt(b); ok {
		s.b, s.n = nil, n
		return
	}
	if s.b == nil || cap(s.b) < len(b) || cap(s.b) > 2*len(b)+64 {
		s.b = make([]byte, len(b))
		copy(s.b, b)
	} else {
		s.b = append(s.b[:0], b...)
	}
	s.n = 0
}

// canonicalInt parses a decimal that prints back as the same bytes.
func canonicalInt(b []byte) (int64, bool) {
	if len(b) == 0 || len(b) > 20 || b[0] > '9' || b[0] < '-' {
		return 0, false
	}
	if b[0] == '0' {
		return 0, len(b) == 1
	}
	if b[0] == '-' && (len(b) == 1 || b[1] < '1' || b[1] > '9') || b[0] == '.' || b[0] == '/' {
		return 0, false
	}
	n, err := strconv.ParseInt(string(b), 10, 64)
	return n, err == nil
}

func (*String) sealed() {}

// Type returns TypeString.
func (*String) Type() Type { return TypeString }

// Encoding returns int, embstr or raw.
func (s *String) Encoding() string {
	switch {
	case s.b == nil:
		return "int"
	case s.n == 0 && len(s.b) <= embstrMax:
		return "embstr"
	}
	return "raw"
}

// MemBytes returns the size of the header and the bytes.
func (s *String) MemBytes() int64 { return 32 + int64(cap(s.b)) }

// Clone returns a copy of the value.
func (s *String) Clone() Value {
	c := &String{n: s.n}
	if s.b != nil {
		c.b = append(make([]byte, 0, len(s.b)), s.b...)
	}
	return c
}

// Len returns the length in bytes.
func (s *String) Len() int {
	if s.b != nil {
		return len(s.b)
	}
	n := 1
	if s.n < 0 {
		n = 2
	}
	for v := s.n / 10; v != 0; v /= 10 {
		n++
	}
	return n
}

// Int returns the value as an integer when it is one.
func (s *String) Int() (int64, bool) { return s.n, s.b == nil }

// Append appends the bytes of the value to dst.
func (s *String) Append(dst []byte) []byte {
	if s.b == nil {
		return strconv.AppendInt(dst, s.n, 10)
	}
	return append(dst, s.b...)
}

// View returns the bytes of the value to look at: they are valid until the value changes and must
// not be written to.
func (s *String) View() []byte {
	if s.b == nil {
		return strconv.AppendInt(nil, s.n, 10)
	}
	return s.b
}

// SetRaw makes the value b, which the string owns from then on.
func (s *String) SetRaw(b []byte) { s.b, s.n = b, 1 }

// Grow makes the value at least size bytes long, filled with zero bytes, and returns its bytes to
// be written to in place.
func (s *String) Grow(size int) []byte {
	b := s.bytes()
	if len(b) < size {
		b = append(b, make([]byte, size-len(b))...)
	}
	s.b = b
	return b
}

// AppendBytes appends b to the value and returns its new length.
func (s *String) AppendBytes(b []byte) int {
	s.b = append(s.bytes(), b...)
	return len(s.b)
}

// bytes turns the value into bytes to be edited.
func (s *String) bytes() []byte {
	if s.b == nil {
		s.b = strconv.AppendInt(make([]byte, 0, 24), s.n, 10)
	}
	s.n = 1
	return s.b
}

// AddInt adds delta and returns the sum; it reports false, and changes nothing, when the value is
// no integer or the sum overflows (then isInt is true).
func (s *String) AddInt(delta int64) (sum int64, isInt, ok bool) {
	n := s.n
	if s.b != nil {
		if n, isInt = canonicalInt(s.b); !isInt {
			return 0, false, false
		}
	}
	if delta > 0 && n > math.MaxInt64-delta || delta < 0 && n < math.MinInt64-delta {
		return 0, true, false
	}
	s.b, s.n = nil, n+delta
	return s.n, true, true
}
