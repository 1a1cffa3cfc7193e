package script

import (
	"fmt"
	"reflect"
	"regexp"

	lua "github.com/yuin/gopher-lua"
)

// gopher-lua's machine words its errors in its own way and does not say which variable was nil. Lua does
// ("attempt to index local 'a' (a nil value)"), by looking at the instruction that failed and at those that
// put the operand where it is. So do we. The position within a function is a field that gopher-lua does not
// export: reflection reads it, for an error only.

// frame is a function that is running, or waits for one that it called.
type frame struct {
	fn    *lua.LFunction
	pc    int // the instruction after the one that runs
	debug *lua.Debug
}

// Where these fields are. A version of gopher-lua without them does not get past the start.
var (
	frameField  = fieldOf(reflect.TypeFor[lua.Debug](), "frame")
	frameType   = reflect.TypeFor[lua.Debug]().Field(frameField).Type.Elem()
	fnField     = fieldOf(frameType, "Fn")
	pcField     = fieldOf(frameType, "Pc")
	parentField = fieldOf(frameType, "Parent")
)

func fieldOf(t reflect.Type, name string) int {
	f, ok := t.FieldByName(name)
	if !ok {
		panic("gopher-lua's " + t.Name() + " has no " + name)
	}
	return f.Index[0]
}

func frameOf(d *lua.Debug) frame {
	v := reflect.ValueOf(d).Elem().Field(frameField)
	if v.IsNil() {
		return frame{}
	}
	v = v.Elem()
	return frame{(*lua.LFunction)(v.Field(fnField).UnsafePointer()), int(v.Field(pcField).Int()), d}
}

func (f frame) line() int {
	if p := f.fn.Proto.DbgSourcePositions; f.pc > 0 && f.pc <= len(p) {
		return p[f.pc-1]
	}
	return -1
}

// calledAs returns by which name and as what the running Go function was called.
func calledAs(L *lua.LState) (name, what string) {
	d, ok := L.GetStack(1)
	if !ok {
		return "?", ""
	}
	f := frameOf(d)
	if f.fn == nil || f.fn.IsG || f.pc < 1 {
		return "?", ""
	}
	i := instruction(f.fn.Proto.Code[f.pc-1])
	if op := i.op(); op != lua.OP_CALL && op != lua.OP_TAILCALL {
		return "?", ""
	}
	if what, name = f.nameOf(i.a(), f.pc-1); name == "" {
		return "?", ""
	}
	return name, what
}

type instruction uint32

func (i instruction) op() int  { return int(i >> 26) }
func (i instruction) a() int   { return int(i>>18) & 0xff }
func (i instruction) b() int   { return int(i & 0x1ff) }
func (i instruction) c() int   { return int(i>>9) & 0x1ff }
func (i instruction) bx() int  { return int(i & 0x3ffff) }
func (i instruction) sbx() int { return i.bx() - 0x1ffff }

const isConstant = 1 << 8 // of an operand that is a register or a constant

// nameOf returns what is in register reg before the instruction at pc is executed: "local", "a". It is
// getobjname of ldebug.c.
func (f frame) nameOf(reg, pc int) (what, name string) {
	if name := f.localName(reg, pc); name != "" && name[0] != '(' {
		return "local", name
	}
	p := f.fn.Proto
	at, i := f.setter(reg, pc)
	if at < 0 {
		return "", ""
	}
	switch i.op() {
	case lua.OP_GETGLOBAL:
		return "global", toString(p.Constants[i.bx()])
	case lua.OP_MOVE:
		if i.b() < i.a() {
			return f.nameOf(i.b(), at)
		}
	case lua.OP_GETTABLE, lua.OP_GETTABLEKS:
		return "field", f.constant(i.c())
	case lua.OP_SELF:
		return "method", f.constant(i.c())
	case lua.OP_GETUPVAL:
		if i.b() < len(p.DbgUpvalues) {
			return "upvalue", p.DbgUpvalues[i.b()]
		}
		return "upvalue", "?"
	}
	return "", ""
}

// localName returns the name of the local variable in register reg, if one is there at pc.
func (f frame) localName(reg, pc int) string {
	for _, v := range f.fn.Proto.DbgLocals {
		if v.StartPc <= pc && pc < v.EndPc {
			if reg == 0 {
				return v.Name
			}
			reg--
		}
	}
	return ""
}

func (f frame) constant(rk int) string {
	if rk&isConstant != 0 {
		if s, ok := f.fn.Proto.Constants[rk&^isConstant].(lua.LString); ok {
			return string(s)
		}
	}
	return "?"
}

// setter returns the last instruction before pc that has set register reg.
func (f frame) setter(reg, pc int) (at int, last instruction) {
	at = -1
	code := f.fn.Proto.Code
	for n := 0; n < pc; n++ {
		i := instruction(code[n])
		if i.sets(reg) {
			at, last = n, i
		}
		switch i.op() {
		case lua.OP_JMP, lua.OP_FORPREP:
			if to := n + 1 + i.sbx(); n < to && to <= pc {
				n = to - 1
			}
		case lua.OP_MOVEN:
			for k := 0; k <= i.c(); k++ {
				if m := instruction(code[n+k]); m.a() == reg {
					at, last = n+k, m&^(0x3f<<26) // a MOVE
				}
			}
			n += i.c()
		case lua.OP_CLOSURE:
			n += int(f.fn.Proto.FunctionPrototypes[i.bx()].NumUpvalues)
		case lua.OP_SETLIST:
			if i.c() == 0 {
				n++
			}
		}
	}
	return at, last
}

// sets reports whether an instruction sets register reg.
func (i instruction) sets(reg int) bool {
	a := i.a()
	switch i.op() {
	case lua.OP_LOADNIL:
		return a <= reg && reg <= i.b()
	case lua.OP_SELF:
		return reg == a || reg == a+1
	case lua.OP_CALL, lua.OP_TAILCALL:
		return reg >= a
	case lua.OP_TFORLOOP:
		return reg >= a+2
	case lua.OP_VARARG:
		return a <= reg && (i.b() == 0 || reg < a+i.b()-1)
	case lua.OP_FORLOOP:
		return a <= reg && reg <= a+3
	case lua.OP_JMP, lua.OP_FORPREP, lua.OP_MOVEN, lua.OP_SETGLOBAL, lua.OP_SETUPVAL, lua.OP_SETTABLE, lua.OP_SETTABLEKS,
		lua.OP_EQ, lua.OP_LT, lua.OP_LE, lua.OP_TEST, lua.OP_RETURN, lua.OP_SETLIST, lua.OP_CLOSE, lua.OP_NOP:
		return false
	}
	return reg == a
}

var (
	positioned  = regexp.MustCompile(`^(\S+:\d+: )(?s:(.*))$`)
	isIndex     = regexp.MustCompile(`^attempt to index a non-table object\((.*)\) with key '(?s:.*)'$`)
	isArith     = regexp.MustCompile(`^cannot perform \w+ operation between (\w+) and (\w+)$`)
	isConcat    = regexp.MustCompile(`^cannot perform concat operation between (\w+) and (\w+)$`)
	isCompare   = regexp.MustCompile(`^attempt to compare (\w+) with (\w+)$`)
	replacement = map[string]string{
		"for statement init must be a number":  "'for' initial value must be a number",
		"for statement limit must be a number": "'for' limit must be a number",
		"for statement step must be a number":  "'for' step must be a number",
		"registry overflow":                    "stack overflow",
		"too many recursions in gettable":      "loop in gettable",
		"too many recursions in settable":      "loop in settable",
	}
)

// mend words an error of gopher-lua's machine as Lua does.
func mend(L *lua.LState, text string) string {
	at := ""
	if m := positioned.FindStringSubmatch(text); m != nil {
		at, text = m[1], m[2]
	}
	var f frame
	if d, ok := L.GetStack(0); ok {
		f = frameOf(d)
	}
	if r, ok := replacement[text]; ok {
		return at + r
	}
	if m := isCompare.FindStringSubmatch(text); m != nil {
		if m[1] == m[2] {
			return at + "attempt to compare two " + m[1] + " values"
		}
		return at + text
	}
	if f.fn == nil || f.fn.IsG || f.pc < 1 {
		return at + text
	}
	i := instruction(f.fn.Proto.Code[f.pc-1])
	switch {
	case text == "attempt to call a non-function object":
		return at + f.about(L, "call", i.a())
	case text == "__len undefined":
		return at + f.about(L, "get length of", i.b())
	case text == "__unm undefined":
		return at + f.about(L, "perform arithmetic on", i.b())
	case isIndex.MatchString(text):
		if op := i.op(); op == lua.OP_SETTABLE || op == lua.OP_SETTABLEKS {
			return at + f.about(L, "index", i.a())
		}
		return at + f.about(L, "index", i.b())
	case isConcat.MatchString(text):
		return at + text
	case isArith.MatchString(text):
		culprit := i.b()
		if _, ok := toNumber(f.value(L, culprit)); ok {
			culprit = i.c()
		}
		return at + f.about(L, "perform arithmetic on", culprit)
	}
	return at + text
}

// about returns "attempt to index local 'a' (a nil value)" for an operand.
func (f frame) about(L *lua.LState, action string, operand int) string {
	kind := f.value(L, operand).Type().String()
	if operand&isConstant == 0 {
		if what, name := f.nameOf(operand, f.pc-1); name != "" {
			return fmt.Sprintf("attempt to %s %s '%s' (a %s value)", action, what, name, kind)
		}
	}
	return fmt.Sprintf("attempt to %s a %s value", action, kind)
}

// value returns what an operand is.
func (f frame) value(L *lua.LState, operand int) lua.LValue {
	if operand&isConstant != 0 {
		return f.fn.Proto.Constants[operand&^isConstant]
	}
	if name, v := L.GetLocal(f.debug, operand+1); name != "" && v != nil {
		return v
	}
	return lua.LNil
}

// arithmeticOn is the error of arithmetic with an operand that is no number, told from within a metamethod.
func arithmeticOn(L *lua.LState, culprit lua.LValue, first bool) string {
	if d, ok := L.GetStack(1); ok {
		if f := frameOf(d); f.fn != nil && !f.fn.IsG && f.pc > 0 {
			i := instruction(f.fn.Proto.Code[f.pc-1])
			if op := i.op(); op >= lua.OP_ADD && op <= lua.OP_UNM {
				if first {
					return f.about(L, "perform arithmetic on", i.b())
				}
				return f.about(L, "perform arithmetic on", i.c())
			}
		}
	}
	return "attempt to perform arithmetic on a " + culprit.Type().String() + " value"
}

// canYield reports whether each function that is running has been called by an instruction that calls.
func canYield(L *lua.LState) bool {
	d, ok := L.GetStack(0)
	if !ok {
		return false
	}
	v := reflect.ValueOf(d).Elem().Field(frameField).Elem()
	for parent := v.Field(parentField); !parent.IsNil(); parent = parent.Elem().Field(parentField) {
		f := parent.Elem()
		fn := (*lua.LFunction)(f.Field(fnField).UnsafePointer())
		if fn.IsG {
			return false
		}
		pc := int(f.Field(pcField).Int())
		if op := instruction(fn.Proto.Code[pc-1]).op(); op != lua.OP_CALL && op != lua.OP_TAILCALL {
			return false
		}
	}
	return true
}

// aboutArgument is the error of an operator that the parser has written as a call: the operand is argument i.
func aboutArgument(L *lua.LState, action string, i int, v lua.LValue) string {
	if d, ok := L.GetStack(1); ok {
		if f := frameOf(d); f.fn != nil && !f.fn.IsG && f.pc > 0 {
			call := instruction(f.fn.Proto.Code[f.pc-1])
			if what, name := f.nameOf(call.a()+1+i, f.pc-1); name != "" && what != "method" {
				return fmt.Sprintf("attempt to %s %s '%s' (a %s value)", action, what, name, v.Type())
			}
		}
	}
	return fmt.Sprintf("attempt to %s a %s value", action, v.Type())
}
