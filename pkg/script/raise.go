package script

import (
	"fmt"
	"math"
	"strings"

	lua "github.com/yuin/gopher-lua"
)

// Errors, as the library functions of Lua raise them (lauxlib.c), and the arguments that they check.

// throw raises an error that says where: the line of the function that called the running Go function.
func (s *state) throw(L *lua.LState, format string, args ...any) {
	s.throwPlain(L, where(L, 1)+fmt.Sprintf(format, args...))
}

// throwPlain raises an error that does not say where.
func (s *state) throwPlain(L *lua.LState, message string) { s.throwValue(L, lua.LString(message)) }

// throwValue raises value.
func (s *state) throwValue(L *lua.LState, value lua.LValue) {
	s.ours = true
	L.Error(value, 0)
}

// thrown returns the value of an error that PCall caught. What is no error of Lua but a panic of Go
// (gopher-lua's own faults) becomes a text.
func (s *state) thrown(err error) lua.LValue {
	e, ok := err.(*lua.ApiError)
	if !ok {
		return lua.LString(err.Error())
	}
	if e.Type == lua.ApiErrorPanic && strings.Contains(toString(e.Object), "callstack overflow") {
		return lua.LString("stack overflow")
	}
	return e.Object
}

// raise is the Panic function of a state that runs a script: it notes where the error happened, and words it.
func (s *state) raise(L *lua.LState) {
	value := L.Get(-1)
	source, line := position(L, 0)
	if source == "=[C]" {
		source, line = position(L, 1)
	}
	if source != "" && s.chunks[source[1:]] != "" {
		source = s.chunks[source[1:]]
	}
	s.at = origin{source, line}
	if text, ok := value.(lua.LString); ok && !s.ours {
		value = lua.LString(mend(L, string(text)))
	}
	s.ours = false
	panic(&lua.ApiError{Type: lua.ApiErrorRun, Object: value, StackTrace: "-"}) // a trace costs much and nobody reads it
}

// position returns where the function at level is (0 is the running one), as debug.getinfo tells it.
func position(L *lua.LState, level int) (source string, line int) {
	d, ok := L.GetStack(level)
	if !ok || frameOf(d).fn == nil {
		return "", -1
	}
	f := frameOf(d)
	if f.fn.IsG {
		return "=[C]", -1
	}
	return "@" + f.fn.Proto.SourceName, f.line()
}

// where returns "user_script:1: " for the function at level, and nothing if that is not a function of Lua.
func where(L *lua.LState, level int) string {
	if source, line := position(L, level); line > 0 {
		return fmt.Sprintf("%s:%d: ", source[1:], line)
	}
	return ""
}

// argError raises "bad argument #n to 'f' (message)".
func (s *state) argError(L *lua.LState, n int, message string) {
	name, what := calledAs(L)
	if what == "method" {
		if n--; n == 0 {
			s.throw(L, "calling '%s' on bad self (%s)", name, message)
		}
	}
	s.throw(L, "bad argument #%d to '%s' (%s)", n, name, message)
}

func (s *state) typeError(L *lua.LState, n int, want string) {
	s.argError(L, n, want+" expected, got "+typeName(L, n))
}

func typeName(L *lua.LState, n int) string {
	if n > L.GetTop() {
		return "no value"
	}
	return L.Get(n).Type().String()
}

func (s *state) checkAny(L *lua.LState, n int) lua.LValue {
	if n > L.GetTop() {
		s.argError(L, n, "value expected")
	}
	return L.Get(n)
}

func (s *state) checkTable(L *lua.LState, n int) *lua.LTable {
	t, ok := L.Get(n).(*lua.LTable)
	if !ok {
		s.typeError(L, n, "table")
	}
	return t
}

func (s *state) checkFunction(L *lua.LState, n int) *lua.LFunction {
	f, ok := L.Get(n).(*lua.LFunction)
	if !ok {
		s.typeError(L, n, "function")
	}
	return f
}

func (s *state) checkString(L *lua.LState, n int) string {
	switch v := L.Get(n).(type) {
	case lua.LString:
		return string(v)
	case lua.LNumber:
		return formatNumber(float64(v))
	}
	s.typeError(L, n, "string")
	return ""
}

func (s *state) checkNumber(L *lua.LState, n int) float64 {
	f, ok := toNumber(L.Get(n))
	if !ok {
		s.typeError(L, n, "number")
	}
	return f
}

// checkInt returns an argument as lua_tointeger does.
func (s *state) checkInt(L *lua.LState, n int) int { return toInt(s.checkNumber(L, n)) }

func (s *state) optInt(L *lua.LState, n, otherwise int) int {
	if n > L.GetTop() || L.Get(n) == lua.LNil {
		return otherwise
	}
	return s.checkInt(L, n)
}

func (s *state) optString(L *lua.LState, n int, otherwise string) string {
	if n > L.GetTop() || L.Get(n) == lua.LNil {
		return otherwise
	}
	return s.checkString(L, n)
}

// toInt converts a number as a C program on amd64 does: what does not fit becomes the least integer.
func toInt(f float64) int {
	if f >= -0x1p63 && f < 0x1p63 {
		return int(f)
	}
	return math.MinInt64
}
