package script

import (
	"slices"
	"strconv"

	lua "github.com/yuin/gopher-lua"
	"github.com/yuin/gopher-lua/ast"
)

// Expressions.

// node is an expression, and how deep its tree is. paren is set if it stands in parentheses.
type node struct {
	ast.Expr
	depth int
	paren bool
}

// placed gives an expression the line of the last token, as Lua gives it to the code.
func (p *parser) placed(e ast.Expr) ast.Expr {
	p.setLine(e, p.lastLine)
	return e
}

// over is a node above others.
func (p *parser) over(e ast.Expr, depth int) node {
	if depth >= maxDepth {
		p.syntax("function or expression too complex")
	}
	return node{Expr: e, depth: depth + 1}
}

// use counts n registers that an expression needs while others of it are parsed.
func (p *parser) use(n int) {
	if p.fn.used += n; p.fn.used+len(p.fn.active) > maxUsed {
		p.syntax("function or expression too complex")
	}
}

func (p *parser) variable(name string) *ast.IdentExpr {
	p.mentioned = append(p.mentioned, name)
	p.isGlobal(name)
	return p.placed(&ast.IdentExpr{Value: name}).(*ast.IdentExpr)
}

func (p *parser) field(object ast.Expr, name string) ast.Expr {
	key := p.placed(&ast.StringExpr{Value: name})
	return p.placed(&ast.AttrGetExpr{Object: object, Key: key})
}

func (p *parser) expr() ast.Expr { return p.binary(0).Expr }

// exprs parses a list of expressions.
func (p *parser) exprs() (list []ast.Expr) {
	used := p.fn.used
	for {
		list = append(list, p.expr())
		if !p.accept(',') {
			break
		}
		p.use(1)
	}
	p.fn.used = used
	return list
}

// priority is how strongly an operator binds to the left and to the right.
var priority = map[kind][2]int{
	'+': {6, 6}, '-': {6, 6}, '*': {7, 7}, '/': {7, 7}, '%': {7, 7}, '^': {10, 9}, tkConcat: {5, 4},
	tkNe: {3, 3}, tkEq: {3, 3}, '<': {3, 3}, tkLe: {3, 3}, '>': {3, 3}, tkGe: {3, 3}, tkAnd: {2, 2}, tkOr: {1, 1},
}

const unaryPriority = 8

func (p *parser) binary(limit int) node {
	p.enter()
	used := p.fn.used
	left := p.unary()
	for {
		op := p.tok.kind
		bind, ok := priority[op]
		if !ok || bind[0] <= limit {
			break
		}
		p.advance()
		p.use(1)
		right := p.binary(bind[1])
		left = p.over(p.placed(p.operation(op, left, right)), max(left.depth, right.depth))
		p.fn.used = used
	}
	p.leave()
	return left
}

func (p *parser) operation(op kind, left, right node) ast.Expr {
	switch op {
	case tkConcat:
		return p.concat(left, right)
	case tkAnd, tkOr:
		return &ast.LogicalOpExpr{Operator: op.String(), Lhs: left.Expr, Rhs: right.Expr}
	case '%':
		return p.modulo(left, right)
	case '+', '-', '*', '/', '^':
		return &ast.ArithmeticOpExpr{Operator: op.String(), Lhs: left.Expr, Rhs: right.Expr}
	}
	return &ast.RelationalOpExpr{Operator: op.String(), Lhs: left.Expr, Rhs: right.Expr}
}

func (p *parser) unary() node {
	op := p.tok.kind
	if op != tkNot && op != '-' && op != '#' {
		return p.simple()
	}
	p.advance()
	e := p.binary(unaryPriority)
	var u ast.Expr
	switch op {
	case tkNot:
		u = &ast.UnaryNotOpExpr{Expr: e.Expr}
	case '-':
		u = &ast.UnaryMinusOpExpr{Expr: e.Expr}
	default:
		u = p.lengthOf(e.Expr)
	}
	return p.over(p.placed(u), e.depth)
}

func (p *parser) simple() node {
	var e ast.Expr
	switch p.tok.kind {
	case tkNumber:
		e = &ast.NumberExpr{Value: strconv.FormatFloat(p.tok.num, 'g', -1, 64)}
	case tkString:
		e = &ast.StringExpr{Value: p.tok.text}
	case tkNil:
		e = &ast.NilExpr{}
	case tkTrue:
		e = &ast.TrueExpr{}
	case tkFalse:
		e = &ast.FalseExpr{}
	case tkDots:
		if !p.fn.vararg {
			p.syntax("cannot use '...' outside a vararg function")
		}
		p.fn.dots = true
		e = &ast.Comma3Expr{}
	case '{':
		return p.constructor()
	case tkFunction:
		line := p.line
		p.advance()
		return node{Expr: p.body(false, line)}
	default:
		return p.suffixed()
	}
	p.advance()
	return node{Expr: p.placed(e)}
}

// suffixed is a variable, or an expression in parentheses, with what follows: .x, [x], :x(), ().
func (p *parser) suffixed() node {
	used := p.fn.used
	n := p.prefix()
	for {
		line := p.line
		var e ast.Expr
		depth := n.depth
		switch p.tok.kind {
		case '.':
			p.advance()
			e = p.field(n.Expr, p.name())
		case '[':
			p.advance()
			p.use(1)
			key := p.binary(0)
			p.fn.used = used
			p.expect(']')
			depth = max(depth, key.depth)
			e = p.placed(&ast.AttrGetExpr{Object: n.Expr, Key: key.Expr})
		case ':':
			p.advance()
			method := p.name()
			line = p.line
			e = p.placed(&ast.FuncCallExpr{Receiver: n.Expr, Method: method, Args: p.arguments()})
			e.SetLine(p.mark(line))
		case '(', '{', tkString:
			e = p.placed(&ast.FuncCallExpr{Func: n.Expr, Args: p.arguments()})
			e.SetLine(p.mark(line))
		default:
			return n
		}
		n = p.over(e, depth)
	}
}

func (p *parser) prefix() node {
	switch p.tok.kind {
	case tkName:
		name := p.name()
		return node{Expr: p.variable(name)}
	case '(':
		line := p.line
		p.advance()
		n := p.binary(0)
		p.closes(')', '(', line)
		oneValue(n.Expr)
		n.paren = true
		return n
	}
	p.syntax("unexpected symbol")
	return node{}
}

// oneValue cuts an expression that may have many values down to one.
func oneValue(e ast.Expr) {
	switch e := e.(type) {
	case *ast.FuncCallExpr:
		e.AdjustRet = true
	case *ast.Comma3Expr:
		e.AdjustRet = true
	}
}

func (p *parser) arguments() (args []ast.Expr) {
	used := p.fn.used
	p.use(2)
	switch p.tok.kind {
	case '(':
		line := p.line
		if line != p.lastLine {
			p.syntax("ambiguous syntax (function call x new statement)")
		}
		p.advance()
		if p.tok.kind != ')' {
			args = p.exprs()
		}
		p.closes(')', '(', line)
	case '{':
		args = []ast.Expr{p.constructor().Expr}
	case tkString:
		e := &ast.StringExpr{Value: p.tok.text}
		p.advance()
		args = []ast.Expr{p.placed(e)}
	default:
		p.syntax("function arguments expected")
	}
	p.fn.used = used
	if len(args) > maxUsed-len(p.fn.active)-used {
		p.syntax("function or expression too complex")
	}
	return args
}

func (p *parser) constructor() node {
	line := p.line
	used := p.fn.used
	p.expect('{')
	t := &ast.TableExpr{}
	depth, pending := 0, 0
	for p.tok.kind != '}' {
		f := &ast.Field{}
		var n node
		switch {
		case p.tok.kind == '[':
			p.advance()
			n = p.binary(0)
			f.Key, depth = n.Expr, max(depth, n.depth)
			p.expect(']')
			p.expect('=')
		case p.tok.kind == tkName && p.peekIsAssign():
			f.Key = p.placed(&ast.StringExpr{Value: p.name()})
			p.expect('=')
		default:
			pending++
		}
		p.use(1 + pending%51)
		n = p.binary(0)
		p.fn.used = used
		f.Value, depth = n.Expr, max(depth, n.depth)
		if f.Key != nil {
			oneValue(f.Value)
		}
		t.Fields = append(t.Fields, f)
		if !p.accept(',') && !p.accept(';') {
			break
		}
	}
	p.closes('}', '{', line)
	if pending > maxItems {
		p.syntax("constructor has too many items")
	}
	if pending >= lua.FieldsPerFlush {
		slices.SortStableFunc(t.Fields, keyedFirst)
	}
	e := p.placed(t)
	e.SetLine(p.mark(line))
	return p.over(e, depth)
}

func (p *parser) peekIsAssign() bool {
	if p.ahead.kind == 0 {
		p.ahead = p.next()
	}
	return p.ahead.kind == '='
}

// body parses a function from its parameters on.
func (p *parser) body(self bool, line int) ast.Expr {
	p.fn = &function{parent: p.fn, line: line}
	list := &ast.ParList{}
	p.expect('(')
	if self {
		list.Names = append(list.Names, "self")
	}
	if p.tok.kind != ')' {
		for {
			if p.accept(tkDots) {
				list.HasVargs = true
				break
			}
			if p.tok.kind != tkName {
				p.syntax("<name> or '...' expected")
			}
			list.Names = append(list.Names, p.name())
			if !p.accept(',') {
				break
			}
		}
	}
	for _, name := range list.Names {
		p.declare(name)
	}
	p.fn.vararg = list.HasVargs
	p.expect(')')
	f := &ast.FunctionExpr{ParList: list, Stmts: p.block()}
	end := p.line
	p.closes(tkEnd, tkFunction, line)
	if p.fn.needsArg {
		f.Stmts = append([]ast.Stmt{p.argTable(line)}, f.Stmts...)
	}
	last := p.mark(end)
	p.fn = p.fn.parent
	f.SetLine(p.mark(line))
	f.SetLastLine(last)
	return f
}
