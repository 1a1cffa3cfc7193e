package script

import (
	"encoding/binary"
	"math"

	lua "github.com/yuin/gopher-lua"
)

// The library cmsgpack (lua_cmsgpack.c 0.4.0).

// msgpackNesting is how deep tables are packed. What is deeper becomes nil, so that a table which contains
// itself has an end.
const msgpackNesting = 16

func (s *state) openMsgpack() {
	t := s.L.CreateTable(0, 8)
	for name, f := range map[string]lua.LGFunction{
		"pack": s.mpPack, "unpack": s.mpUnpack, "unpack_one": s.mpUnpackOne, "unpack_limit": s.mpUnpackLimit,
	} {
		t.RawSetString(name, s.function(f))
	}
	t.RawSetString("_NAME", lua.LString("cmsgpack"))
	t.RawSetString("_VERSION", lua.LString("lua-cmsgpack 0.4.0"))
	t.RawSetString("_COPYRIGHT", lua.LString("Copyright (C) 2012, Salvatore Sanfilippo"))
	t.RawSetString("_DESCRIPTION", lua.LString("MessagePack C implementation for Lua"))
	s.define("cmsgpack", t)
}

type packer struct {
	s       *state
	L       *lua.LState
	b       []byte
	charged int
}

func (s *state) mpPack(L *lua.LState) int {
	n := L.GetTop()
	if n == 0 {
		s.argError(L, 0, "MessagePack pack needs input.")
	}
	if 2*n > maxStack {
		s.argError(L, 0, "Too many arguments for MessagePack pack.")
	}
	p := packer{s: s, L: L}
	for i := 1; i <= n; i++ {
		p.value(L.Get(i), 0)
	}
	s.charge(L, len(p.b))
	L.Push(lua.LString(p.b))
	return 1
}

func (p *packer) value(v lua.LValue, level int) {
	if len(p.b) > p.charged+lookEvery {
		p.s.charge(p.L, 2*len(p.b))
		p.charged = len(p.b)
	}
	switch v := v.(type) {
	case lua.LString:
		p.string(string(v))
	case lua.LBool:
		if v {
			p.b = append(p.b, 0xc3)
		} else {
			p.b = append(p.b, 0xc2)
		}
	case lua.LNumber:
		p.number(float64(v))
	case *lua.LTable:
		if level < msgpackNesting {
			p.table(p.s.contents(v), level)
			return
		}
		p.b = append(p.b, 0xc0)
	default:
		p.b = append(p.b, 0xc0)
	}
}

func (p *packer) number(f float64) {
	if n := toInt(f); !math.IsInf(f, 0) && float64(n) == f {
		p.integer(int64(n))
		return
	}
	if g := float32(f); float64(g) == f {
		p.b = binary.BigEndian.AppendUint32(append(p.b, 0xca), math.Float32bits(g))
		return
	}
	p.b = binary.BigEndian.AppendUint64(append(p.b, 0xcb), math.Float64bits(f))
}

func (p *packer) integer(n int64) {
	switch {
	case n >= -32 && n <= 127:
		p.b = append(p.b, byte(n))
	case n >= 0 && n <= 0xff:
		p.b = append(p.b, 0xcc, byte(n))
	case n >= 0 && n <= 0xffff:
		p.b = binary.BigEndian.AppendUint16(append(p.b, 0xcd), uint16(n))
	case n >= 0 && n <= 0xffffffff:
		p.b = binary.BigEndian.AppendUint32(append(p.b, 0xce), uint32(n))
	case n >= 0:
		p.b = binary.BigEndian.AppendUint64(append(p.b, 0xcf), uint64(n))
	case n >= math.MinInt8:
		p.b = append(p.b, 0xd0, byte(n))
	case n >= math.MinInt16:
		p.b = binary.BigEndian.AppendUint16(append(p.b, 0xd1), uint16(n))
	case n >= math.MinInt32:
		p.b = binary.BigEndian.AppendUint32(append(p.b, 0xd2), uint32(n))
	default:
		p.b = binary.BigEndian.AppendUint64(append(p.b, 0xd3), uint64(n))
	}
}

func (p *packer) string(s string) {
	switch n := len(s); {
	case n < 32:
		p.b = append(p.b, 0xa0|byte(n))
	case n <= 0xff:
		p.b = append(p.b, 0xd9, byte(n))
	case n <= 0xffff:
		p.b = binary.BigEndian.AppendUint16(append(p.b, 0xda), uint16(n))
	default:
		p.b = binary.BigEndian.AppendUint32(append(p.b, 0xdb), uint32(n))
	}
	p.b = append(p.b, s...)
}

// head writes the length of an array (0x90, 0xdc) or a map (0x80, 0xde).
func (p *packer) head(n int, short, long byte) {
	switch {
	case n <= 15:
		p.b = append(p.b, short|byte(n))
	case n <= 0xffff:
		p.b = binary.BigEndian.AppendUint16(append(p.b, long), uint16(n))
	default:
		p.b = binary.BigEndian.AppendUint32(append(p.b, long+1), uint32(n))
	}
}

func (p *packer) table(t *lua.LTable, level int) {
	n, array := 0, true
	most := 0.0
	for k, _ := t.Next(lua.LNil); k != lua.LNil; k, _ = t.Next(k) {
		n++
		f, ok := k.(lua.LNumber)
		if !ok || f <= 0 || float64(f) != math.Floor(float64(f)) || f > math.MaxInt32 {
			array = false
		}
		most = max(most, float64(f))
	}
	if array && most == float64(n) {
		p.head(n, 0x90, 0xdc)
		for i := 1; i <= n; i++ {
			p.value(rawGet(t, i), level+1)
		}
		return
	}
	p.head(n, 0x80, 0xde)
	for k, v := t.Next(lua.LNil); k != lua.LNil; k, v = t.Next(k) {
		p.value(k, level+1)
		p.value(v, level+1)
	}
}

func (s *state) mpUnpack(L *lua.LState) int { return s.unpackFrom(L, 0, 0) }

func (s *state) mpUnpackOne(L *lua.LState) int {
	return s.unpackFrom(L, 1, s.optC(L, 2, 0))
}

func (s *state) mpUnpackLimit(L *lua.LState) int {
	limit := s.checkC(L, 2)
	return s.unpackFrom(L, limit, s.optC(L, 3, 0))
}

func (s *state) optC(L *lua.LState, n, otherwise int) int {
	return int(int32(s.optInt(L, n, otherwise)))
}

// unpackFrom unpacks up to limit values from offset on and returns where the next one begins (-1 if none
// does), and them. Without both it unpacks all, and returns them only.
func (s *state) unpackFrom(L *lua.LState, limit, offset int) int {
	data := s.checkString(L, 1)
	if offset < 0 || limit < 0 {
		s.throw(L, "Invalid request to unpack with offset of %d and limit of %d.", offset, len(data))
	}
	if offset > len(data) {
		s.throw(L, "Start offset %d greater than input length %d.", offset, len(data))
	}
	all := limit == 0 && offset == 0
	if all {
		limit = math.MaxInt32
	}
	u := unpacker{s: s, L: L, data: data[offset:]}
	var values []lua.LValue
	for ; len(u.data) > 0 && len(values) < limit; values = append(values, u.value(1+len(values))) {
	}
	n := len(values)
	if !all {
		n++
		if len(u.data) > 0 {
			L.Push(lua.LNumber(len(data) - len(u.data)))
		} else {
			L.Push(lua.LNumber(-1))
		}
	}
	for _, v := range values {
		L.Push(v)
	}
	return n
}

type unpacker struct {
	s      *state
	L      *lua.LState
	data   string // what is left
	values int
}

// take returns the next n bytes.
func (u *unpacker) take(n int) string {
	if n > len(u.data) {
		u.s.throw(u.L, "Missing bytes in input.")
	}
	b := u.data[:n]
	u.data = u.data[n:]
	return b
}

func (u *unpacker) uint(n int) (v uint64) {
	for _, c := range []byte(u.take(n)) {
		v = v<<8 | uint64(c)
	}
	return v
}

// value unpacks a value. stack counts what the C library would have on Lua's stack: that bounds the nesting.
func (u *unpacker) value(stack int) lua.LValue {
	if u.values++; u.values&0xffff == 0 {
		u.s.charge(u.L, 0xffff*64)
	}
	c := byte(u.uint(1))
	if stack+1 > maxStack {
		u.s.throw(u.L, "stack overflow (too many return values at once; use unpack_one or unpack_limit instead.)")
	}
	switch {
	case c < 0x80:
		return lua.LNumber(c)
	case c < 0x90:
		return u.table(int(c&15), stack)
	case c < 0xa0:
		return u.array(int(c&15), stack)
	case c < 0xc0:
		return lua.LString(u.take(int(c & 31)))
	case c >= 0xe0:
		return lua.LNumber(int8(c))
	}
	switch c {
	case 0xc0:
		return lua.LNil
	case 0xc2, 0xc3:
		return lua.LBool(c == 0xc3)
	case 0xca:
		return lua.LNumber(math.Float32frombits(uint32(u.uint(4))))
	case 0xcb:
		return lua.LNumber(math.Float64frombits(u.uint(8)))
	case 0xcc, 0xcd, 0xce, 0xcf:
		return lua.LNumber(u.uint(1 << (c - 0xcc)))
	case 0xd0:
		return lua.LNumber(int8(u.uint(1)))
	case 0xd1:
		return lua.LNumber(int16(u.uint(2)))
	case 0xd2:
		return lua.LNumber(int32(u.uint(4)))
	case 0xd3:
		return lua.LNumber(int64(u.uint(8)))
	case 0xd9, 0xda, 0xdb:
		return lua.LString(u.take(int(u.uint(1 << (c - 0xd9)))))
	case 0xdc, 0xdd:
		return u.array(int(u.uint(2<<(c-0xdc))), stack)
	case 0xde, 0xdf:
		return u.table(int(u.uint(2<<(c-0xde))), stack)
	}
	u.s.throw(u.L, "Bad data format in input.")
	return nil
}

func (u *unpacker) array(n, stack int) lua.LValue {
	t := u.L.CreateTable(0, 0)
	if stack+2 > maxStack {
		u.s.throw(u.L, "stack overflow (in function mp_decode_to_lua_array)")
	}
	for i := 1; i <= n; i++ {
		rawSet(t, i, u.value(stack+2))
	}
	return t
}

func (u *unpacker) table(n, stack int) lua.LValue {
	t := u.L.CreateTable(0, 0)
	for range n {
		key := u.value(stack + 1)
		value := u.value(stack + 2)
		if f, ok := key.(lua.LNumber); ok && f != f {
			u.s.throwPlain(u.L, "table index is NaN")
		}
		if key == lua.LNil {
			u.s.throwPlain(u.L, "table index is nil")
		}
		if f, ok := key.(lua.LNumber); ok && f > 64 && int(f) < lua.MaxArrayIndex {
			u.s.charge(u.L, 16*int(f)) // a list of nils up to there
		}
		t.RawSet(key, value)
	}
	return t
}
