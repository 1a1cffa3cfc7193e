package script

import (
	"fmt"

	lua "github.com/yuin/gopher-lua"
	"github.com/yuin/gopher-lua/ast"
)

// Where gopher-lua's machine is not Lua 5.1, the parser writes a call of a function of ours instead. These
// functions are globals that no script can name or see: only the table in which the machine looks for
// globals has them.
//
//   - a .. b .. c: numbers as Lua prints them, and the limit of memory.
//   - #x: tables have no __len in 5.1, and may be longer than gopher-lua's lists.
//   - for i = a, b, c: strings that read as numbers are numbers.
//   - a % b: a - floor(a/b)*b, which differs from C's fmod where b is no finite number, or 0.
//   - x = 1, where x is a global: refused (the machine would set a field that exists).
//   - a, b = b, a: the compiler assigns one after the other; it gets variables in between.
//   - a = a and f(a): the compiler puts f where a is, and then gives f to itself.
//   - local f = function() return f end: inside, f is not this f.
//   - {1, x = f()}: the compiler puts all that f returns into the list.
//   - {1, 2, …, 50, [f()] = g()}: the compiler puts f into the list. The keyed fields come first.
//   - arg, in a function that has ... and does not say so.
const (
	hiddenConcat   = " concat"
	hiddenLength   = " length"
	hiddenReadonly = " readonly"
	hiddenModulo   = " modulo"
	hiddenArg      = " arg"
	hiddenFor      = " for "
)

func init() {
	lua.MaxArrayIndex = 1 << 14 // a list of nils is made up to the index that is set: t[1e7] = 1 would take 160 MB
	lua.CompatVarArg = false
}

func (s *state) openHidden() {
	s.hidden(hiddenConcat, s.concat)
	s.hidden(hiddenLength, s.lengthOf)
	s.hidden(hiddenModulo, s.moduloOf)
	s.hidden(hiddenReadonly, func(L *lua.LState) int {
		s.throw(L, readonly)
		return 0
	})
	s.hidden(hiddenArg, func(L *lua.LState) int {
		t := L.CreateTable(L.GetTop(), 1)
		for i := 1; i <= L.GetTop(); i++ {
			t.RawSetInt(i, L.Get(i))
		}
		t.RawSetString("n", lua.LNumber(L.GetTop()))
		L.Push(t)
		return 1
	})
	for _, what := range []string{"initial value", "limit", "step"} {
		s.hidden(hiddenFor+what, func(L *lua.LState) int {
			f, ok := toNumber(L.Get(1))
			if !ok {
				s.throw(L, "'for' %s must be a number", what)
			}
			L.Push(lua.LNumber(f))
			return 1
		})
	}
}

func (s *state) hidden(name string, f lua.LGFunction) {
	s.machine.RawSetString(name, s.function(f))
}

// call is a call of one of them.
func (p *parser) call(name string, args ...ast.Expr) *ast.FuncCallExpr {
	e := &ast.FuncCallExpr{Func: p.placed(&ast.IdentExpr{Value: name}), Args: args}
	p.placed(e)
	return e
}

// concat puts an operand before those of a concatenation to its right.
func (p *parser) concat(left, right node) ast.Expr {
	oneValue(left.Expr)
	if c, ok := right.Expr.(*ast.FuncCallExpr); ok && !right.paren {
		if f, ok := c.Func.(*ast.IdentExpr); ok && f.Value == hiddenConcat && len(c.Args) < 50 {
			c.Args = append([]ast.Expr{left.Expr}, c.Args...)
			return c
		}
	}
	oneValue(right.Expr)
	e := p.call(hiddenConcat, left.Expr, right.Expr)
	e.AdjustRet = true
	return e
}

func (p *parser) lengthOf(e ast.Expr) ast.Expr {
	oneValue(e)
	c := p.call(hiddenLength, e)
	c.AdjustRet = true
	return c
}

func (p *parser) modulo(left, right node) ast.Expr {
	if n, ok := right.Expr.(*ast.NumberExpr); ok && n.Value != "0" && n.Value != "+Inf" {
		return &ast.ArithmeticOpExpr{Operator: "%", Lhs: left.Expr, Rhs: right.Expr}
	}
	oneValue(left.Expr)
	oneValue(right.Expr)
	c := p.call(hiddenModulo, left.Expr, right.Expr)
	c.AdjustRet = true
	return c
}

func (p *parser) forNumber(what string, line int) ast.Expr {
	e := p.expr()
	if _, ok := e.(*ast.NumberExpr); ok {
		return e
	}
	oneValue(e)
	c := p.call(hiddenFor+what, e)
	c.AdjustRet = true
	c.SetLine(p.mark(line))
	return c
}

func (p *parser) readonly(value ast.Expr, line int) ast.Stmt {
	oneValue(value)
	s := &ast.FuncCallStmt{Expr: p.call(hiddenReadonly, value)}
	s.Expr.SetLine(p.mark(line))
	p.setLine(s, line)
	return s
}

// maxItems is how many items a list in braces may have. After 511 times 50 the compiler counts wrong.
const maxItems = 25000

func keyedFirst(a, b *ast.Field) int {
	rank := func(f *ast.Field) int {
		if f.Key == nil {
			return 1
		}
		return 0
	}
	return rank(a) - rank(b)
}

func (p *parser) argTable(line int) ast.Stmt {
	s := &ast.LocalAssignStmt{Names: []string{"arg"}, Exprs: []ast.Expr{p.placed(&ast.NilExpr{})}}
	if !p.fn.dots {
		s.Exprs[0] = p.call(hiddenArg, p.placed(&ast.Comma3Expr{}))
	}
	p.setLine(s, line)
	return s
}

// isSelfMentioned reports whether a local variable is declared as a function that mentions its name.
func (p *parser) isSelfMentioned(s *ast.LocalAssignStmt, since int) bool {
	if _, ok := s.Exprs[0].(*ast.FunctionExpr); !ok {
		return false
	}
	for _, name := range p.mentioned[since:] {
		if name == s.Names[0] {
			return true
		}
	}
	return false
}

// assign makes an assignment. With several targets, what they are and what they get is found out before the
// first of them changes; then the last is set first, as in Lua.
func (p *parser) assign(targets, values []ast.Expr) []ast.Stmt {
	if len(targets) == 1 && len(values) == 1 {
		return []ast.Stmt{p.set(targets[0], values[0])}
	}
	block := &ast.DoBlockStmt{}
	var names []string
	var exprs []ast.Expr
	temporary := func(e ast.Expr) ast.Expr {
		names = append(names, fmt.Sprintf("(%d)", len(names)))
		exprs = append(exprs, e)
		return p.placed(&ast.IdentExpr{Value: names[len(names)-1]})
	}
	for _, t := range targets {
		if a, ok := t.(*ast.AttrGetExpr); ok {
			oneValue(a.Object)
			oneValue(a.Key)
			a.Object = temporary(a.Object)
			if _, ok := a.Key.(*ast.StringExpr); !ok {
				a.Key = temporary(a.Key)
			}
		}
	}
	if len(names) > 0 {
		block.Stmts = append(block.Stmts, p.local(names, exprs))
	}
	var results []string
	for i := range targets {
		results = append(results, fmt.Sprintf("(=%d)", i))
	}
	block.Stmts = append(block.Stmts, p.local(results, values))
	for i := len(targets) - 1; i >= 0; i-- {
		block.Stmts = append(block.Stmts, p.set(targets[i], p.placed(&ast.IdentExpr{Value: results[i]})))
	}
	if n := len(names) + len(results) + len(p.fn.active); n > maxLocals {
		p.syntax("function or expression too complex")
	}
	p.setLine(block, p.lastLine)
	return []ast.Stmt{block}
}

func (p *parser) local(names []string, exprs []ast.Expr) ast.Stmt {
	s := &ast.LocalAssignStmt{Names: names, Exprs: exprs}
	p.setLine(s, p.lastLine)
	return s
}

func (p *parser) set(target, value ast.Expr) ast.Stmt {
	if v, ok := target.(*ast.IdentExpr); ok && p.isGlobal(v.Value) {
		return p.readonly(value, p.lastLine)
	} else if ok && !plain(value) {
		name := "(=)"
		block := &ast.DoBlockStmt{Stmts: []ast.Stmt{
			p.local([]string{name}, []ast.Expr{value}), p.set(v, p.placed(&ast.IdentExpr{Value: name}))}}
		p.setLine(block, p.lastLine)
		return block
	}
	s := &ast.AssignStmt{Lhs: []ast.Expr{target}, Rhs: []ast.Expr{value}}
	p.setLine(s, p.lastLine)
	return s
}

// plain reports whether the compiler does not put parts of the value where the old value still stands.
func plain(value ast.Expr) bool {
	switch v := value.(type) {
	case *ast.FuncCallExpr:
		v.AdjustRet = false // an assignment takes one value anyway
	case *ast.Comma3Expr:
		v.AdjustRet = false // with it, the machine forgets what is in the registers above
	case *ast.TableExpr, *ast.LogicalOpExpr, *ast.RelationalOpExpr:
		return false
	}
	return true
}

func (s *state) lengthOf(L *lua.LState) int {
	switch v := L.Get(1).(type) {
	case lua.LString:
		L.Push(lua.LNumber(len(v)))
	case *lua.LTable:
		L.Push(lua.LNumber(length(s.contents(v))))
	default:
		s.throwPlain(L, where(L, 1)+aboutArgument(L, "get length of", 0, v))
	}
	return 1
}

func (s *state) moduloOf(L *lua.LState) int {
	x, y := L.Get(1), L.Get(2)
	a, ok1 := toNumber(x)
	b, ok2 := toNumber(y)
	if ok1 && ok2 {
		L.Push(lua.LNumber(modulo(a, b)))
		return 1
	}
	f := field(x, "__mod")
	if f == lua.LNil {
		f = field(y, "__mod")
	}
	if f != lua.LNil {
		L.Push(s.callValue(L, f, x, y))
		return 1
	}
	culprit, i := y, 1
	if !ok1 {
		culprit, i = x, 0
	}
	s.throwPlain(L, where(L, 1)+aboutArgument(L, "perform arithmetic on", i, culprit))
	return 0
}

// concat is the operator .. of its arguments, from the right.
func (s *state) concat(L *lua.LState) int {
	n := L.GetTop()
	total := 0
	for i := 1; i <= n; i++ {
		v, ok := L.Get(i).(lua.LString)
		if !ok {
			return s.concatAny(L, n)
		}
		total += len(v)
	}
	s.charge(L, total)
	b := make([]byte, 0, total)
	for i := 1; i <= n; i++ {
		b = append(b, string(L.Get(i).(lua.LString))...)
	}
	L.Push(lua.LString(b))
	return 1
}

func (s *state) concatAny(L *lua.LState, n int) int {
	acc := L.Get(n)
	for i := n - 1; i >= 1; i-- {
		v := L.Get(i)
		if lua.LVCanConvToString(v) && lua.LVCanConvToString(acc) {
			a, b := toString(v), toString(acc)
			s.charge(L, len(a)+len(b))
			acc = lua.LString(a + b)
			continue
		}
		f := field(v, "__concat")
		if f == lua.LNil {
			f = field(acc, "__concat")
		}
		if f == lua.LNil {
			culprit, at := v, i
			if lua.LVCanConvToString(v) {
				culprit, at = acc, i+1
			}
			s.throwPlain(L, where(L, 1)+aboutArgument(L, "concatenate", at-1, culprit))
		}
		acc = s.callValue(L, f, v, acc)
	}
	L.Push(acc)
	return 1
}

// field returns a field of the metatable of a table.
func field(v lua.LValue, name string) lua.LValue {
	if t, ok := v.(*lua.LTable); ok && t.Metatable != lua.LNil {
		return t.Metatable.(*lua.LTable).RawGetString(name)
	}
	return lua.LNil
}
