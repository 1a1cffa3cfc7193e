package script

import (
	"strings"

	lua "github.com/yuin/gopher-lua"
)

// The string library (lstrlib.c), and the metatable of strings.

func (s *state) openString() {
	t := s.L.CreateTable(0, 16)
	for name, f := range map[string]lua.LGFunction{
		"byte": s.strByte, "char": s.strChar, "dump": s.strDump, "find": s.strFind, "format": s.strFormat,
		"gfind": s.strGmatch, "gmatch": s.strGmatch, "gsub": s.strGsub, "len": s.strLen, "lower": s.strLower,
		"match": s.strMatch, "rep": s.strRep, "reverse": s.strReverse, "sub": s.strSub, "upper": s.strUpper,
	} {
		t.RawSetString(name, s.function(f))
	}
	s.define("string", t)
	seen := s.L.CreateTable(0, 1)
	seen.RawSetString("__index", s.globals.RawGetString("string"))
	s.strings = s.protect(seen)
	mt := s.L.CreateTable(0, 8) // the one that the machine sees
	mt.RawSetString("__index", t)
	for event, op := range map[string]func(a, b float64) float64{
		"__add": func(a, b float64) float64 { return a + b },
		"__sub": func(a, b float64) float64 { return a - b },
		"__mul": func(a, b float64) float64 { return a * b },
		"__div": func(a, b float64) float64 { return a / b },
		"__mod": modulo, "__pow": power, "__unm": func(a, _ float64) float64 { return -a },
	} {
		mt.RawSetString(event, s.function(s.stringArith(event, op)))
	}
	s.L.SetMetatable(lua.LString(""), mt)
}

// stringArith is arithmetic with an operand that is a string. gopher-lua would read "010" as eight.
func (s *state) stringArith(event string, op func(a, b float64) float64) lua.LGFunction {
	return func(L *lua.LState) int {
		x, y := L.Get(1), L.Get(2)
		if event == "__unm" {
			y = lua.LNumber(0)
		}
		a, ok1 := toNumber(x)
		b, ok2 := toNumber(y)
		if ok1 && ok2 {
			L.Push(lua.LNumber(op(a, b)))
			return 1
		}
		if t, ok := y.(*lua.LTable); ok && t.Metatable != lua.LNil {
			if f := t.Metatable.(*lua.LTable).RawGetString(event); f != lua.LNil {
				L.Push(s.callValue(L, f, x, y))
				return 1
			}
		}
		culprit := y
		if !ok1 {
			culprit = x
		}
		s.throwPlain(L, where(L, 1)+arithmeticOn(L, culprit, !ok1))
		return 0
	}
}

func (s *state) strLen(L *lua.LState) int {
	L.Push(lua.LNumber(len(s.checkString(L, 1))))
	return 1
}

// part returns which part of a string of length n Lua means by from and to: [from, to).
func part(n, from, to int) (int, int) {
	if from < 0 {
		from = max(from+n+1, 0)
	}
	if to < 0 {
		to += n + 1
	}
	from, to = max(from, 1)-1, min(to, n)
	return from, max(to, from)
}

func (s *state) strSub(L *lua.LState) int {
	str := s.checkString(L, 1)
	from := s.checkInt(L, 2)
	from, to := part(len(str), from, s.optInt(L, 3, -1))
	if from >= len(str) {
		from, to = 0, 0
	}
	L.Push(lua.LString(str[from:to]))
	return 1
}

func (s *state) strByte(L *lua.LState) int {
	str := s.checkString(L, 1)
	first := s.optInt(L, 2, 1)
	if first < 0 {
		first = max(first+len(str)+1, 0)
	}
	last := s.optInt(L, 3, first)
	from, to := part(len(str), first, last)
	if from >= to || from >= len(str) {
		return 0
	}
	if to-from+L.GetTop() > maxStack {
		s.throw(L, "stack overflow (string slice too long)")
	}
	for i := from; i < to; i++ {
		L.Push(lua.LNumber(str[i]))
	}
	return to - from
}

func (s *state) strChar(L *lua.LState) int {
	b := make([]byte, L.GetTop())
	for i := range b {
		c := s.checkC(L, i+1)
		if c < 0 || c > 255 {
			s.argError(L, i+1, "invalid value")
		}
		b[i] = byte(c)
	}
	L.Push(lua.LString(b))
	return 1
}

func (s *state) strRep(L *lua.LState) int {
	str, n := s.checkString(L, 1), s.checkC(L, 2)
	if n <= 0 || str == "" {
		L.Push(lua.LString(""))
		return 1
	}
	s.charge(L, len(str)*n)
	L.Push(lua.LString(strings.Repeat(str, n)))
	return 1
}

func (s *state) strReverse(L *lua.LState) int {
	str := s.checkString(L, 1)
	s.charge(L, len(str))
	b := make([]byte, len(str))
	for i := range b {
		b[i] = str[len(str)-1-i]
	}
	L.Push(lua.LString(b))
	return 1
}

func (s *state) strLower(L *lua.LState) int { return s.mapped(L, 'A', 'Z') }
func (s *state) strUpper(L *lua.LState) int { return s.mapped(L, 'a', 'z') }

// mapped changes the case of the letters from lo to hi.
func (s *state) mapped(L *lua.LState, lo, hi byte) int {
	str := s.checkString(L, 1)
	s.charge(L, len(str))
	b := []byte(str)
	for i, c := range b {
		if c >= lo && c <= hi {
			b[i] = c ^ 0x20
		}
	}
	L.Push(lua.LString(b))
	return 1
}

// strDump refuses: a script's bytes of machine code could not be loaded again (Redis does not load any).
func (s *state) strDump(L *lua.LState) int {
	s.checkFunction(L, 1)
	s.throw(L, "unable to dump given function")
	return 0
}
