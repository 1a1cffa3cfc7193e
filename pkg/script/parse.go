package script

import (
	"fmt"

	"github.com/yuin/gopher-lua/ast"
)

// The parser (lparser.c). It makes the tree that gopher-lua's compiler takes, and writes in calls of functions
// of ours where what the compiler would make of something is not Lua 5.1: see rewrite.go.

const (
	maxLevels = 200   // blocks and expressions in one another: LUAI_MAXCCALLS
	maxLocals = 200   // of a function
	maxDepth  = 20000 // of the tree: a.b.c.d…, 1+1+1…
	maxUsed   = 240   // registers that are in use at once
)

// function is one that is being parsed.
type function struct {
	parent   *function
	line     int
	vararg   bool
	dots     bool // it uses ...
	needsArg bool // it uses arg, which is nil if it uses ... as well
	active   []string
	ids      []int // of the active ones, in parser.vars
	loops    int
	used     int // registers of unfinished expressions
}

type parser struct {
	lexer
	tok, ahead symbol // ahead.kind is 0 if nothing is read ahead
	lastLine   int    // of the token before tok
	tokLine    int
	fn         *function
	levels     int
	mentioned  []string // names of variables, as they come
	vars       []localVar
}

// parse makes a tree of a source.
func parse(chunk, source string) (stmts []ast.Stmt, vars []localVar, err error) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case syntaxError:
			err = r
		default:
			err = syntaxError(fmt.Sprintf("%s:1: internal error: %v", chunk, r))
		}
	}()
	p := &parser{lexer: lexer{chunk: chunk, src: source, line: 1}, fn: &function{vararg: true}, vars: make([]localVar, 1)}
	p.lastLine, p.tokLine = 1, 1
	p.advance()
	stmts = p.block()
	p.check(tkEOS)
	return stmts, p.vars, nil
}

func (p *parser) advance() {
	p.lastLine = p.line
	if p.ahead.kind != 0 {
		p.tok, p.ahead = p.ahead, symbol{}
		return
	}
	p.tok = p.next()
	p.tokLine = p.line
}

func (p *parser) syntax(message string) { p.failAt(message) }

// failAt reports an error at the current token.
func (p *parser) failAt(message string) { p.fail(message, p.tok.kind) }

func (p *parser) accept(k kind) bool {
	if p.tok.kind != k {
		return false
	}
	p.advance()
	return true
}

func (p *parser) check(k kind) {
	if p.tok.kind != k {
		p.syntax("'" + k.String() + "' expected")
	}
}

func (p *parser) expect(k kind) {
	p.check(k)
	p.advance()
}

// closes expects what ends a construct that began with open at line.
func (p *parser) closes(k, open kind, line int) {
	if p.tok.kind == k {
		p.advance()
		return
	}
	if line == p.line {
		p.check(k)
	}
	p.syntax(fmt.Sprintf("'%s' expected (to close '%s' at line %d)", k, open, line))
}

func (p *parser) name() string {
	p.check(tkName)
	text := p.tok.text
	p.advance()
	return text
}

func (p *parser) enter() {
	if p.levels++; p.levels > maxLevels {
		panic(syntaxError(fmt.Sprintf("%s:%d: chunk has too many syntax levels", p.chunk, p.line)))
	}
}

func (p *parser) leave() { p.levels-- }

// declare makes a name a local variable from here on.
func (p *parser) declare(name string) {
	if len(p.fn.active) >= maxLocals {
		where := "main function"
		if p.fn.parent != nil {
			where = fmt.Sprintf("function at line %d", p.fn.line)
		}
		panic(syntaxError(fmt.Sprintf("%s:%d: %s has more than %d local variables", p.chunk, p.line, where, maxLocals)))
	}
	p.vars = append(p.vars, localVar{name, p.innermost(), len(p.fn.active)})
	p.fn.active = append(p.fn.active, name)
	p.fn.ids = append(p.fn.ids, len(p.vars)-1)
}

// localVar is a local variable. outer is the one that was declared before it and is active, too.
type localVar struct {
	name     string
	outer    int
	register int
}

// innermost returns the number of the last active variable; 0 is none.
func (p *parser) innermost() int {
	if n := len(p.fn.ids); n > 0 {
		return p.fn.ids[n-1]
	}
	return 0
}

// forget ends the life of all variables but the first n.
func (p *parser) forget(n int) {
	p.fn.active, p.fn.ids = p.fn.active[:n], p.fn.ids[:n]
}

// mark is what goes into the tree as a line: which variables are active stands in the upper half. It comes out
// again as the line of instructions; see debug.go.
func (p *parser) mark(line int) int { return line | p.innermost()<<32 }

func (p *parser) setLine(n ast.PositionHolder, line int) {
	n.SetLine(p.mark(line))
	n.SetLastLine(p.mark(p.lastLine))
}

// isGlobal reports whether name is no variable of this function or of those around it.
func (p *parser) isGlobal(name string) bool {
	for f := p.fn; f != nil; f = f.parent {
		for i := len(f.active) - 1; i >= 0; i-- {
			if f.active[i] == name {
				return false
			}
		}
		if name == "arg" && f.parent != nil && f.vararg {
			f.needsArg = true
			return false
		}
	}
	return true
}

func endsBlock(k kind) bool {
	return k == tkElse || k == tkElseif || k == tkEnd || k == tkUntil || k == tkEOS
}

// block parses statements up to what ends them. Local variables of theirs stay active: see scope.
func (p *parser) block() (stmts []ast.Stmt) {
	p.enter()
	for last := false; !last && !endsBlock(p.tok.kind); {
		var s []ast.Stmt
		s, last = p.statement()
		stmts = append(stmts, s...)
		p.accept(';')
	}
	p.leave()
	return stmts
}

// scope parses a block and forgets its variables.
func (p *parser) scope() []ast.Stmt {
	n := len(p.fn.active)
	stmts := p.block()
	p.forget(n)
	return stmts
}

func (p *parser) loopBody(names ...string) []ast.Stmt {
	n := len(p.fn.active)
	for _, name := range names {
		p.declare(name)
	}
	p.fn.loops++
	stmts := p.block()
	p.fn.loops--
	p.forget(n)
	return stmts
}

func (p *parser) statement() (stmts []ast.Stmt, last bool) {
	line := p.line
	var s ast.Stmt
	switch p.tok.kind {
	case tkIf:
		s = p.ifStmt(line, line, 0)
	case tkWhile:
		p.advance()
		w := &ast.WhileStmt{Condition: p.expr()}
		p.expect(tkDo)
		w.Stmts = p.loopBody()
		p.closes(tkEnd, tkWhile, line)
		s = w
	case tkDo:
		p.advance()
		s = &ast.DoBlockStmt{Stmts: p.scope()}
		p.closes(tkEnd, tkDo, line)
	case tkFor:
		s = p.forStmt(line)
	case tkRepeat:
		s = p.repeatStmt(line)
	case tkFunction:
		s = p.functionStmt(line)
	case tkLocal:
		p.advance()
		if p.accept(tkFunction) {
			s = p.localFunction(line)
		} else {
			s = p.localStmt()
		}
	case tkReturn:
		p.advance()
		r := &ast.ReturnStmt{}
		if !endsBlock(p.tok.kind) && p.tok.kind != ';' {
			r.Exprs = p.exprs()
		}
		s, last = r, true
	case tkBreak:
		p.advance()
		if p.fn.loops == 0 {
			p.syntax("no loop to break")
		}
		s, last = &ast.BreakStmt{}, true
	default:
		return p.exprStmt(), false
	}
	p.setLine(s, line)
	return []ast.Stmt{s}, last
}

func (p *parser) ifStmt(line, open, depth int) ast.Stmt {
	p.advance()
	s := &ast.IfStmt{Condition: p.expr()}
	p.setLine(s, line)
	p.expect(tkThen)
	s.Then = p.scope()
	switch p.tok.kind {
	case tkElseif:
		if depth > maxDepth {
			p.syntax("function or expression too complex")
		}
		s.Else = []ast.Stmt{p.ifStmt(p.line, open, depth+1)}
		return s
	case tkElse:
		p.advance()
		s.Else = p.scope()
	}
	p.closes(tkEnd, tkIf, open)
	return s
}

func (p *parser) forStmt(line int) ast.Stmt {
	p.advance()
	name := p.name()
	switch p.tok.kind {
	case '=':
		p.advance()
		s := &ast.NumberForStmt{Name: name, Init: p.forNumber("initial value", line)}
		p.expect(',')
		s.Limit = p.forNumber("limit", line)
		if p.accept(',') {
			s.Step = p.forNumber("step", line)
		}
		p.expect(tkDo)
		s.Stmts = p.loopBody("(for index)", "(for limit)", "(for step)", name)
		p.closes(tkEnd, tkFor, line)
		return s
	case ',', tkIn:
		s := &ast.GenericForStmt{Names: []string{name}}
		for p.accept(',') {
			s.Names = append(s.Names, p.name())
		}
		p.expect(tkIn)
		s.Exprs = p.exprs()
		p.expect(tkDo)
		s.Stmts = p.loopBody(append([]string{"(for generator)", "(for state)", "(for control)"}, s.Names...)...)
		p.closes(tkEnd, tkFor, line)
		return s
	}
	p.syntax("'=' or 'in' expected")
	return nil
}

func (p *parser) repeatStmt(line int) ast.Stmt {
	p.advance()
	n := len(p.fn.active)
	p.fn.loops++
	s := &ast.RepeatStmt{Stmts: p.block()}
	p.fn.loops--
	p.closes(tkUntil, tkRepeat, line)
	s.Condition = p.expr()
	p.forget(n)
	return s
}

// functionStmt is `function a.b:c() … end`, which is an assignment.
func (p *parser) functionStmt(line int) ast.Stmt {
	p.advance()
	var target ast.Expr = p.variable(p.name())
	self := false
	for p.tok.kind == '.' || p.tok.kind == ':' {
		self = p.tok.kind == ':'
		p.advance()
		target = p.field(target, p.name())
		if self {
			break
		}
	}
	f := p.body(self, line)
	if v, ok := target.(*ast.IdentExpr); ok && p.isGlobal(v.Value) {
		return p.readonly(f, line)
	}
	s := &ast.AssignStmt{Lhs: []ast.Expr{target}, Rhs: []ast.Expr{f}}
	target.SetLine(p.mark(line))
	return s
}

func (p *parser) localFunction(line int) ast.Stmt {
	name := p.name()
	p.declare(name)
	return &ast.LocalAssignStmt{Names: []string{name}, Exprs: []ast.Expr{p.body(false, line)}}
}

func (p *parser) localStmt() ast.Stmt {
	s := &ast.LocalAssignStmt{}
	for {
		s.Names = append(s.Names, p.name())
		if !p.accept(',') {
			break
		}
	}
	before := len(p.mentioned)
	if p.accept('=') {
		s.Exprs = p.exprs()
	}
	if len(s.Names) == 1 && len(s.Exprs) == 1 && p.isSelfMentioned(s, before) {
		s.Names = append(s.Names, "(hidden)")
	}
	for _, name := range s.Names {
		p.declare(name)
	}
	return s
}

// exprStmt is a call or an assignment.
func (p *parser) exprStmt() []ast.Stmt {
	first := p.suffixed()
	if call, ok := first.Expr.(*ast.FuncCallExpr); ok && !call.AdjustRet {
		s := &ast.FuncCallStmt{Expr: call}
		s.SetLine(call.Line())
		s.SetLastLine(call.Line())
		return []ast.Stmt{s}
	}
	targets := []ast.Expr{first.Expr}
	for {
		if _, ok := targets[len(targets)-1].(*ast.IdentExpr); !ok {
			if _, ok := targets[len(targets)-1].(*ast.AttrGetExpr); !ok || first.paren {
				p.syntax("syntax error")
			}
		}
		if first.paren {
			p.syntax("syntax error")
		}
		if !p.accept(',') {
			break
		}
		first = p.suffixed()
		targets = append(targets, first.Expr)
		if len(targets) > maxLevels-p.levels {
			panic(syntaxError(fmt.Sprintf("%s:%d: function at line %d has more than %d variables in assignment", p.chunk, p.line, p.fn.line, maxLevels-p.levels)))
		}
	}
	p.expect('=')
	values := p.exprs()
	return p.assign(targets, values)
}
