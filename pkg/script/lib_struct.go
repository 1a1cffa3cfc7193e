package script

import (
	"fmt"
	"math"
	"strings"

	lua "github.com/yuin/gopher-lua"
)

// The library struct (lua_struct.c 0.2): C structures as strings, as a machine of 64 bits lays them out.

const (
	maxIntSize = 32
	maxAlign   = 8
)

func (s *state) openStruct() {
	s.library("struct", map[string]lua.LGFunction{"pack": s.structPack, "unpack": s.structUnpack, "size": s.structSize})
}

// layout reads a format.
type layout struct {
	s     *state
	L     *lua.LState
	rest  string
	big   bool
	align int
}

func (s *state) layout(L *lua.LState) *layout {
	format := s.checkString(L, 1)
	if i := strings.IndexByte(format, 0); i >= 0 {
		format = format[:i]
	}
	return &layout{s, L, format, false, 1}
}

// next returns the next option, how many bytes it takes and how many of padding stand before it at offset.
// It has no more options when opt is 0.
func (f *layout) next(offset int) (opt byte, size, padding int) {
	if f.rest == "" {
		return 0, 0, 0
	}
	opt = f.rest[0]
	f.rest = f.rest[1:]
	size = f.size(opt)
	if size == 0 || opt == 'c' {
		return opt, size, 0
	}
	n := min(size, f.align)
	return opt, size, (n - offset&(n-1)) & (n - 1)
}

func (f *layout) number(otherwise int) int {
	if f.rest == "" || !isDigit(f.rest[0]) {
		return otherwise
	}
	n := 0
	for f.rest != "" && isDigit(f.rest[0]) {
		n = n*10 + int(f.rest[0]-'0')
		if n > math.MaxInt32 {
			f.s.throw(f.L, "integral size overflow")
		}
		f.rest = f.rest[1:]
	}
	return n
}

func (f *layout) size(opt byte) int {
	switch opt {
	case 'B', 'b', 'x':
		return 1
	case 'H', 'h':
		return 2
	case 'L', 'l', 'T', 'd':
		return 8
	case 'f':
		return 4
	case 'c':
		return f.number(1)
	case 'i', 'I':
		n := f.number(4)
		if n > maxIntSize {
			f.s.throw(f.L, "integral size %d is larger than limit of %d", n, maxIntSize)
		}
		return n
	}
	return 0
}

// control obeys an option that is no value.
func (f *layout) control(opt byte) {
	switch opt {
	case ' ':
	case '>':
		f.big = true
	case '<':
		f.big = false
	case '!':
		n := f.number(maxAlign)
		if n <= 0 || n&(n-1) != 0 {
			f.s.throw(f.L, "alignment %d is not a power of 2", n)
		}
		f.align = n
	default:
		f.s.argError(f.L, 1, fmt.Sprintf("invalid format option '%s'", string([]byte{opt})))
	}
}

func (f *layout) appendInt(b []byte, n uint64, size int) []byte {
	at := len(b)
	b = append(b, make([]byte, size)...)
	for i := range size {
		to := at + i
		if f.big {
			to = at + size - 1 - i
		}
		b[to] = byte(n)
		n >>= 8
	}
	return b
}

func (f *layout) int(b string) (n uint64) {
	for i := range len(b) {
		c := b[len(b)-1-i]
		if f.big {
			c = b[i]
		}
		n = n<<8 | uint64(c)
	}
	return n
}

func (s *state) structPack(L *lua.LState) int {
	f := s.layout(L)
	L.Push(lua.LNil) // as there: what is missing is "nil"
	var b []byte
	arg := 2
	for opt, size, padding := f.next(0); opt != 0; opt, size, padding = f.next(len(b)) {
		b = append(b, make([]byte, padding)...)
		switch opt {
		case 'b', 'B', 'h', 'H', 'l', 'L', 'T', 'i', 'I':
			n := s.checkNumber(L, arg)
			arg++
			u := toUint(n)
			if n < 0 {
				u = uint64(toInt(n))
			}
			b = f.appendInt(b, u, size)
		case 'x':
			b = append(b, 0)
		case 'f':
			b = f.appendInt(b, uint64(math.Float32bits(float32(s.checkNumber(L, arg)))), 4)
			arg++
		case 'd':
			b = f.appendInt(b, math.Float64bits(s.checkNumber(L, arg)), 8)
			arg++
		case 'c', 's':
			text := s.checkString(L, arg)
			arg++
			if size == 0 {
				size = len(text)
			}
			if len(text) < size {
				s.argError(L, arg, "string too short")
			}
			b = append(b, text[:size]...)
			if opt == 's' {
				b = append(b, 0)
			}
			s.charge(L, size)
		default:
			f.control(opt)
		}
	}
	L.Push(lua.LString(b))
	return 1
}

func (s *state) structUnpack(L *lua.LState) int {
	f := s.layout(L)
	data := s.checkString(L, 2)
	at := s.optInt(L, 3, 1) - 1
	if at < 0 {
		s.argError(L, 3, "offset must be 1 or greater")
	}
	var values []lua.LValue
	for opt, size, padding := f.next(at); opt != 0; opt, size, padding = f.next(at) {
		at += padding
		f.need(size, at, data)
		if len(values)+L.GetTop()+2 > maxStack {
			s.throw(L, "stack overflow (too many results)")
		}
		switch opt {
		case 'b', 'B', 'h', 'H', 'l', 'L', 'T', 'i', 'I':
			values = append(values, f.integer(opt, data[at:at+size]))
		case 'x':
		case 'f':
			values = append(values, lua.LNumber(math.Float32frombits(uint32(f.int(data[at:at+4])))))
		case 'd':
			values = append(values, lua.LNumber(math.Float64frombits(f.int(data[at:at+8]))))
		case 'c':
			if size == 0 {
				size, values = f.counted(values)
				f.need(size, at, data)
			}
			values = append(values, lua.LString(data[at:at+size]))
		case 's':
			n := strings.IndexByte(data[at:], 0)
			if n < 0 {
				s.throw(L, "unfinished string in data")
			}
			size = n + 1
			values = append(values, lua.LString(data[at:at+n]))
		default:
			f.control(opt)
		}
		at += size
	}
	for _, v := range values {
		L.Push(v)
	}
	L.Push(lua.LNumber(at + 1))
	return len(values) + 1
}

// need refuses a value of size bytes at a place where the data have fewer.
func (f *layout) need(size, at int, data string) {
	if size < 0 || size > len(data) || at > len(data)-size {
		f.s.argError(f.L, 2, "data string too short")
	}
}

// counted takes the size of a string from the value before it.
func (f *layout) counted(values []lua.LValue) (int, []lua.LValue) {
	n, ok := 0.0, false
	if len(values) > 0 {
		n, ok = toNumber(values[len(values)-1])
	}
	if !ok {
		f.s.throw(f.L, "format 'c0' needs a previous size")
	}
	return toInt(n), values[:len(values)-1]
}

// integer reads an integer; those of small letters are signed.
func (f *layout) integer(opt byte, b string) lua.LNumber {
	n := f.int(b)
	if opt < 'a' {
		return lua.LNumber(n)
	}
	if sign := ^uint64(0) << (uint(len(b)*8-1) & 63); n&sign != 0 {
		n |= sign
	}
	return lua.LNumber(int64(n))
}

func (s *state) structSize(L *lua.LState) int {
	f := s.layout(L)
	total := 0
	for opt, size, padding := f.next(0); opt != 0; opt, size, padding = f.next(total) {
		total += padding
		if opt == 's' {
			s.argError(L, 1, "option 's' has no fixed size")
		}
		if opt == 'c' && size == 0 {
			s.argError(L, 1, "option 'c0' has no fixed size")
		}
		if !isAlpha(opt) && !isDigit(opt) {
			f.control(opt)
		}
		total += size
	}
	L.Push(lua.LNumber(total))
	return 1
}
