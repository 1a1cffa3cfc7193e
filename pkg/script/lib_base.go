package script

import (
	lua "github.com/yuin/gopher-lua"
)

// The base library (lbaselib.c), of which Redis takes away what reads files, prints, or changes environments.

// maxStack is how many values a Go function may return (LUAI_MAXCSTACK).
const maxStack = 8000

func (s *state) openBase() {
	for name, f := range map[string]lua.LGFunction{
		"assert": s.baseAssert, "collectgarbage": s.baseCollectgarbage, "error": s.baseError, "gcinfo": s.baseGcinfo,
		"getmetatable": s.baseGetmetatable, "load": s.baseLoad, "loadstring": s.baseLoadstring, "next": s.baseNext,
		"pcall": s.basePcall, "rawequal": s.baseRawequal, "rawget": s.baseRawget, "rawset": s.baseRawset,
		"select": s.baseSelect, "setmetatable": s.baseSetmetatable, "tonumber": s.baseTonumber, "tostring": s.baseTostring,
		"type": s.baseType, "unpack": s.baseUnpack, "xpcall": s.baseXpcall, "__redis__err__handler": s.baseErrHandler,
	} {
		s.define(name, s.function(f))
	}
	next := s.globals.RawGetString("next")
	s.define("pairs", s.function(func(L *lua.LState) int {
		t := s.checkTable(L, 1)
		L.Push(next)
		L.Push(t)
		L.Push(lua.LNil)
		return 3
	}))
	step := s.function(s.ipairsStep)
	s.define("ipairs", s.function(func(L *lua.LState) int {
		t := s.checkTable(L, 1)
		L.Push(step)
		L.Push(t)
		L.Push(lua.LNumber(0))
		return 3
	}))
	s.define("_VERSION", lua.LString("Lua 5.1"))
}

func (s *state) ipairsStep(L *lua.LState) int {
	t := s.contents(s.checkTable(L, 1))
	i := s.checkInt(L, 2) + 1
	v := rawGet(t, i)
	if v == lua.LNil {
		return 0
	}
	L.Push(lua.LNumber(i))
	L.Push(v)
	return 2
}

func (s *state) baseAssert(L *lua.LState) int {
	if lua.LVIsFalse(s.checkAny(L, 1)) {
		s.throw(L, "%s", s.optString(L, 2, "assertion failed!"))
	}
	return L.GetTop()
}

func (s *state) baseError(L *lua.LState) int {
	level := s.optInt(L, 2, 1)
	value := L.Get(1)
	if lua.LVCanConvToString(value) && level > 0 {
		value = lua.LString(where(L, level) + toString(value))
	}
	s.throwValue(L, value)
	return 0
}

// baseErrHandler is what Redis calls when a script ends in an error. It is visible, so scripts may call it.
func (s *state) baseErrHandler(L *lua.LState) int {
	source, line := position(L, 1)
	if source == "" || source == "=[C]" {
		source, line = s.at.Source, s.at.Line // called by xpcall
	}
	value := L.Get(1)
	t, ok := value.(*lua.LTable)
	if !ok {
		t = L.CreateTable(0, 3)
		t.RawSetString("err", lua.LString("ERR "+s.tostring(L, value)))
	}
	if source != "" {
		t.RawSetString("source", lua.LString(source))
		t.RawSetString("line", lua.LNumber(line))
	}
	L.Push(t)
	return 1
}

// basePcall is Redis's: of an error that is a table with a field err, that is what it returns.
func (s *state) basePcall(L *lua.LState) int {
	results, failed := s.try(L, L.Get(1), arguments(L, 2)...)
	if t, ok := failed.(*lua.LTable); ok {
		if e := L.GetField(t, "err"); lua.LVCanConvToString(e) {
			failed = e
		}
	}
	return tried(L, results, failed)
}

// baseXpcall calls the handler when the stack is gone already. Without debug, it could not look at it anyway.
func (s *state) baseXpcall(L *lua.LState) int {
	s.checkAny(L, 2)
	results, failed := s.try(L, L.Get(1))
	if failed == nil {
		return tried(L, results, nil)
	}
	handled, again := s.try(L, L.Get(2), failed)
	switch {
	case again != nil:
		failed = lua.LString("error in error handling")
	case len(handled) == 0:
		failed = lua.LNil
	default:
		failed = handled[0]
	}
	return tried(L, nil, failed)
}

func (s *state) baseNext(L *lua.LState) int {
	t := s.contents(s.checkTable(L, 1))
	key, value := t.Next(L.Get(2))
	if key == lua.LNil {
		L.Push(lua.LNil)
		return 1
	}
	L.Push(key)
	L.Push(value)
	return 2
}

func (s *state) baseGetmetatable(L *lua.LState) int {
	L.Push(s.metatable(s.checkAny(L, 1)))
	return 1
}

// metatable returns the metatable of a value as scripts see it.
func (s *state) metatable(v lua.LValue) lua.LValue {
	switch v := v.(type) {
	case lua.LString:
		return s.strings
	case *lua.LTable:
		if v == s.visible {
			return s.nonexistent
		}
		if v.Metatable == lua.LNil || s.behind[v] != nil {
			return lua.LNil
		}
		if m := v.Metatable.(*lua.LTable).RawGetString("__metatable"); m != lua.LNil {
			return m
		}
		return v.Metatable
	}
	return lua.LNil
}

func (s *state) baseSetmetatable(L *lua.LState) int {
	t := s.checkTable(L, 1)
	mt := L.Get(2)
	if kind := mt.Type(); L.GetTop() < 2 || kind != lua.LTNil && kind != lua.LTTable {
		s.argError(L, 2, "nil or table expected")
	}
	if m, ok := t.Metatable.(*lua.LTable); ok && m.RawGetString("__metatable") != lua.LNil {
		s.throw(L, "cannot change a protected metatable")
	}
	s.toChange(L, t).Metatable = mt
	L.SetTop(1)
	return 1
}

func (s *state) baseRawequal(L *lua.LState) int {
	L.Push(lua.LBool(L.RawEqual(s.checkAny(L, 1), s.checkAny(L, 2))))
	return 1
}

func (s *state) baseRawget(L *lua.LState) int {
	t := s.checkTable(L, 1)
	L.Push(s.contents(t).RawGet(s.checkAny(L, 2)))
	return 1
}

func (s *state) baseRawset(L *lua.LState) int {
	t := s.checkTable(L, 1)
	key, value := s.checkAny(L, 2), s.checkAny(L, 3)
	s.toChange(L, t)
	if n, ok := key.(lua.LNumber); ok && n != n {
		s.throwPlain(L, "table index is NaN")
	}
	if key == lua.LNil {
		s.throwPlain(L, "table index is nil")
	}
	t.RawSet(key, value)
	L.SetTop(1)
	return 1
}

func (s *state) baseSelect(L *lua.LState) int {
	n := L.GetTop()
	if text, ok := L.Get(1).(lua.LString); ok && len(text) > 0 && text[0] == '#' {
		L.Push(lua.LNumber(n - 1))
		return 1
	}
	i := s.checkInt(L, 1)
	if i < 0 {
		i += n
	}
	i = min(i, n)
	if i < 1 {
		s.argError(L, 1, "index out of range")
	}
	return n - i
}

func (s *state) baseTonumber(L *lua.LState) int {
	base := s.optInt(L, 2, 10)
	var f float64
	var ok bool
	if base == 10 {
		f, ok = toNumber(s.checkAny(L, 1))
	} else {
		text := s.checkString(L, 1)
		if base < 2 || base > 36 {
			s.argError(L, 2, "base out of range")
		}
		f, ok = parseBase(text, base)
	}
	if !ok {
		L.Push(lua.LNil)
		return 1
	}
	L.Push(lua.LNumber(f))
	return 1
}

func (s *state) baseTostring(L *lua.LState) int {
	v := s.checkAny(L, 1)
	if t, ok := v.(*lua.LTable); ok && t.Metatable != lua.LNil && s.behind[t] == nil {
		if f := t.Metatable.(*lua.LTable).RawGetString("__tostring"); f != lua.LNil {
			L.Push(s.callValue(L, f, v))
			return 1
		}
	}
	L.Push(lua.LString(s.tostring(L, v)))
	return 1
}

// tostring is tostring without metamethods.
func (s *state) tostring(L *lua.LState, v lua.LValue) string {
	if v == null {
		return "userdata: (nil)"
	}
	return toString(v)
}

// callValue calls f, and returns its first result.
func (s *state) callValue(L *lua.LState, f lua.LValue, args ...lua.LValue) lua.LValue {
	s.descend(L)
	L.Push(f)
	for _, a := range args {
		L.Push(a)
	}
	L.Call(len(args), 1)
	s.depth--
	v := L.Get(-1)
	L.Pop(1)
	return v
}

func (s *state) baseType(L *lua.LState) int {
	L.Push(lua.LString(s.checkAny(L, 1).Type().String()))
	return 1
}

func (s *state) baseUnpack(L *lua.LState) int {
	t := s.contents(s.checkTable(L, 1))
	i := s.optInt(L, 2, 1)
	e := s.optInt(L, 3, -1)
	if L.Get(3) == lua.LNil {
		e = length(t)
	}
	if i > e {
		return 0
	}
	n := e - i + 1
	if n <= 0 || n+L.GetTop() > maxStack {
		s.throw(L, "too many results to unpack")
	}
	for ; i < e; i++ {
		L.Push(rawGet(t, i))
	}
	L.Push(rawGet(t, e))
	return n
}

func (s *state) baseGcinfo(L *lua.LState) int {
	L.Push(lua.LNumber(s.meter.heap() >> 10))
	return 1
}

// baseCollectgarbage does nothing to Go's collector, which looks after itself; it answers as Lua's does.
func (s *state) baseCollectgarbage(L *lua.LState) int {
	var result lua.LValue = lua.LNumber(0)
	switch option := s.optString(L, 1, "collect"); option {
	case "collect", "stop", "restart":
	case "count":
		result = lua.LNumber(float64(s.meter.heap()) / 1024)
	case "step":
		result = lua.LFalse
	case "setpause", "setstepmul":
		result = lua.LNumber(200)
	default:
		s.argError(L, 1, "invalid option '"+option+"'")
	}
	L.Push(result)
	return 1
}

func (s *state) baseLoadstring(L *lua.LState) int {
	text := s.checkString(L, 1)
	return s.loaded(L, text, s.optString(L, 2, text))
}

func (s *state) baseLoad(L *lua.LState) int {
	f := s.checkFunction(L, 1)
	name := s.optString(L, 2, "=(load)")
	var text []byte
	_, failed := s.try(L, s.function(func(L *lua.LState) int {
		for {
			piece := s.callValue(L, f)
			if piece == lua.LNil {
				return 0
			}
			if !lua.LVCanConvToString(piece) {
				s.throwPlain(L, "reader function must return a string")
			}
			if len(toString(piece)) == 0 {
				return 0
			}
			s.charge(L, len(text))
			text = append(text, toString(piece)...)
		}
	}))
	if failed != nil {
		L.Push(lua.LNil)
		L.Push(failed)
		return 2
	}
	return s.loaded(L, string(text), name)
}

// loaded returns text as a function, or nil and why it is none.
func (s *state) loaded(L *lua.LState, text, name string) int {
	p, err := compile(chunkID(name), text)
	if err != nil {
		L.Push(lua.LNil)
		L.Push(lua.LString(err.Error()))
		return 2
	}
	if id := chunkID(name); s.chunks[id] == "" {
		s.chunks[id] = name
	}
	L.Push(s.load(p))
	return 1
}
