package script

import (
	"fmt"
	"math"
	"strconv"

	lua "github.com/yuin/gopher-lua"
)

// The library cjson (lua_cjson.c 2.1.0): its settings and the encoder. As in Redis, settings outlive the
// script that changed them.

// null is cjson.null: what stands for a JSON null in a table.
var null = &lua.LUserData{Metatable: lua.LNil}

type cjson struct {
	s                                                *state
	sparseConvert, keepBuffer, encodeBad, decodeBad  int
	sparseRatio, sparseSafe, encodeDepth, decodeDeep int
	precision                                        int
}

func (s *state) openCJSON() { s.define("cjson", s.newCJSON()) }

func (s *state) newCJSON() *lua.LTable {
	c := &cjson{s: s, keepBuffer: 1, decodeBad: 1, sparseRatio: 2, sparseSafe: 10, encodeDepth: 1000, decodeDeep: 1000, precision: 14}
	t := s.L.CreateTable(0, 16)
	for name, f := range map[string]lua.LGFunction{
		"encode": c.encode, "decode": c.decode, "encode_sparse_array": c.setSparse,
		"encode_max_depth":        c.intSetting(&c.encodeDepth, 1, math.MaxInt32),
		"decode_max_depth":        c.intSetting(&c.decodeDeep, 1, math.MaxInt32),
		"encode_number_precision": c.intSetting(&c.precision, 1, 14),
		"encode_keep_buffer":      c.enumSetting(&c.keepBuffer, onOff),
		"encode_invalid_numbers":  c.enumSetting(&c.encodeBad, []string{"off", "on", "null"}),
		"decode_invalid_numbers":  c.enumSetting(&c.decodeBad, onOff),
		"new": func(L *lua.LState) int {
			L.Push(s.newCJSON())
			return 1
		},
	} {
		t.RawSetString(name, s.function(f))
	}
	t.RawSetString("null", null)
	t.RawSetString("_NAME", lua.LString("cjson"))
	t.RawSetString("_VERSION", lua.LString("2.1.0"))
	return t
}

var onOff = []string{"off", "on"}

func (c *cjson) arguments(L *lua.LState, n int) {
	if L.GetTop() > n {
		c.s.argError(L, n+1, "found too many arguments")
	}
}

func (c *cjson) intOption(L *lua.LState, arg int, setting *int, least, most int) int {
	if L.Get(arg) != lua.LNil {
		n := c.s.checkC(L, arg)
		if n < least || n > most {
			c.s.argError(L, 1, fmt.Sprintf("expected integer between %d and %d", least, most))
		}
		*setting = n
	}
	L.Push(lua.LNumber(*setting))
	return 1
}

// enumOption reads a setting that is one of options; booleans mean the first two.
func (c *cjson) enumOption(L *lua.LState, arg int, setting *int, options []string) int {
	switch v := L.Get(arg).(type) {
	case *lua.LNilType:
	case lua.LBool:
		*setting = 0
		if v {
			*setting = 1
		}
	default:
		name, found := c.s.checkString(L, arg), false
		for i, o := range options {
			if o == name {
				*setting, found = i, true
			}
		}
		if !found {
			c.s.argError(L, arg, "invalid option '"+name+"'")
		}
	}
	if *setting < 2 {
		L.Push(lua.LBool(*setting == 1))
	} else {
		L.Push(lua.LString(options[*setting]))
	}
	return 1
}

func (c *cjson) intSetting(setting *int, least, most int) lua.LGFunction {
	return func(L *lua.LState) int {
		c.arguments(L, 1)
		return c.intOption(L, 1, setting, least, most)
	}
}

func (c *cjson) enumSetting(setting *int, options []string) lua.LGFunction {
	return func(L *lua.LState) int {
		c.arguments(L, 1)
		return c.enumOption(L, 1, setting, options)
	}
}

func (c *cjson) setSparse(L *lua.LState) int {
	c.arguments(L, 3)
	L.SetTop(3)
	return c.enumOption(L, 1, &c.sparseConvert, onOff) +
		c.intOption(L, 2, &c.sparseRatio, 0, math.MaxInt32) +
		c.intOption(L, 3, &c.sparseSafe, 0, math.MaxInt32)
}

// encoder writes one value.
type encoder struct {
	*cjson
	L       *lua.LState
	b       []byte
	charged int
}

func (c *cjson) encode(L *lua.LState) int {
	if L.GetTop() != 1 {
		c.s.argError(L, 1, "expected 1 argument")
	}
	e := encoder{cjson: c, L: L}
	e.value(L.Get(1), 0, 1)
	c.s.charge(L, len(e.b))
	L.Push(lua.LString(e.b))
	return 1
}

func (e *encoder) refuse(v lua.LValue, why string) {
	e.s.throw(e.L, "Cannot serialise %s: %s", v.Type(), why)
}

// value writes v. stack counts what the C library would have on Lua's stack, which bounds the depth as well.
func (e *encoder) value(v lua.LValue, depth, stack int) {
	if len(e.b) > e.charged+lookEvery {
		e.s.charge(e.L, 2*len(e.b))
		e.charged = len(e.b)
	}
	switch v := v.(type) {
	case lua.LString:
		e.string(string(v))
	case lua.LNumber:
		e.number(v)
	case lua.LBool:
		e.b = strconv.AppendBool(e.b, bool(v))
	case *lua.LNilType:
		e.b = append(e.b, "null"...)
	case *lua.LTable:
		e.table(e.s.contents(v), depth+1, stack)
	default:
		if v != lua.LValue(null) {
			e.refuse(v, "type not supported")
		}
		e.b = append(e.b, "null"...)
	}
}

func (e *encoder) table(t *lua.LTable, depth, stack int) {
	if depth > e.encodeDepth || stack+3 > maxStack {
		e.s.throw(e.L, "Cannot serialise, excessive nesting (%d)", depth)
	}
	if n := e.arrayLength(t); n > 0 {
		e.b = append(e.b, '[')
		for i := 1; i <= n; i++ {
			if i > 1 {
				e.b = append(e.b, ',')
			}
			e.value(rawGet(t, i), depth, stack+1)
		}
		e.b = append(e.b, ']')
		return
	}
	e.b = append(e.b, '{')
	first := true
	for k, v := t.Next(lua.LNil); k != lua.LNil; k, v = t.Next(k) {
		if !first {
			e.b = append(e.b, ',')
		}
		first = false
		switch k := k.(type) {
		case lua.LNumber:
			e.b = append(e.b, '"')
			e.number(k)
			e.b = append(e.b, '"', ':')
		case lua.LString:
			e.string(string(k))
			e.b = append(e.b, ':')
		default:
			e.refuse(k, "table key must be a number or string")
		}
		e.value(v, depth, stack+2)
	}
	e.b = append(e.b, '}')
}

// arrayLength returns the length of a table that is an array, and at most 0 of others.
func (e *encoder) arrayLength(t *lua.LTable) int {
	most, items := 0, 0
	for k, _ := t.Next(lua.LNil); k != lua.LNil; k, _ = t.Next(k) {
		n, ok := k.(lua.LNumber)
		if !ok || n < 1 || float64(n) != math.Floor(float64(n)) {
			return -1
		}
		if float64(n) > float64(most) {
			if most = toInt(float64(n)); most > math.MaxInt32 || most < 0 {
				most = math.MinInt32 // C's conversion to int
			}
		}
		items++
	}
	if e.sparseRatio > 0 && most > items*e.sparseRatio && most > e.sparseSafe {
		if e.sparseConvert == 0 {
			e.refuse(t, "excessively sparse array")
		}
		return -1
	}
	return most
}

func (e *encoder) number(n lua.LNumber) {
	f := float64(n)
	if math.IsNaN(f) || math.IsInf(f, 0) {
		switch {
		case e.encodeBad == 0:
			e.refuse(n, "must not be NaN or Inf")
		case e.encodeBad == 2:
			e.b = append(e.b, "null"...)
			return
		case math.IsNaN(f):
			e.b = append(e.b, "nan"...)
			return
		}
	}
	if e.precision == 14 {
		e.b = append(e.b, formatNumber(f)...)
		return
	}
	e.b = append(e.b, formatG(f, e.precision)...)
}

func (e *encoder) string(s string) {
	const hex = "0123456789abcdef"
	e.b = append(e.b, '"')
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\' || c == '/':
			e.b = append(e.b, '\\', c)
		case c == '\b':
			e.b = append(e.b, '\\', 'b')
		case c == '\t':
			e.b = append(e.b, '\\', 't')
		case c == '\n':
			e.b = append(e.b, '\\', 'n')
		case c == '\f':
			e.b = append(e.b, '\\', 'f')
		case c == '\r':
			e.b = append(e.b, '\\', 'r')
		case c < ' ' || c == 0x7f:
			e.b = append(e.b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		default:
			e.b = append(e.b, c)
		}
	}
	e.b = append(e.b, '"')
}
