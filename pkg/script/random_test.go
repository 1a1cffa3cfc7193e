package script

import (
	"fmt"
	"math/rand"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"byor/pkg/redistest"
	"byor/pkg/resp"
)

// Programs made by chance do the same on Redis and here: what they log on their way, and how they end. They
// find faults of the compiler, which no list of scripts that somebody thought of does. RANDOM_SCRIPTS is how many.
func TestRandomScriptsAsInRedis(t *testing.T) {
	n := 400
	if v, err := strconv.Atoi(os.Getenv("RANDOM_SCRIPTS")); err == nil {
		n = v
	}
	redis := redistest.Dial(t, redistest.Start(t, t.TempDir()))
	s := newState()
	failed := 0
	for seed := range n {
		script := randomProgram(int64(seed))
		require.NoError(t, redis.SetDeadline(time.Now().Add(time.Minute)))
		_, err := redis.Write(resp.AppendCommandStrings(nil, "EVAL", script, "0"))
		require.NoError(t, err)
		want := redis.Reply()
		want = comparable(want)
		if got := comparable(eval(s, script)); got != want {
			t.Errorf("seed %d: %s\nredis: %s\n here: %s", seed, script, want, got)
			if failed++; failed > 3 {
				return
			}
		}
	}
}

var (
	zero     = regexp.MustCompile(`-(0|nan)( |$)`)
	variable = regexp.MustCompile(`(local|upvalue|field|global|method) '[^']*' \((a \w+ value)\)`)
)

// comparable takes out of a result what may differ: the machine has one zero only, and another sign for
// powers that are no numbers; and the variable that was at
// fault in `a and b + c` has another name or none if the compilers put the operands into other registers.
func comparable(result string) string {
	return variable.ReplaceAllString(zero.ReplaceAllString(result, "$1$2"), "$2")
}

// program is one that is being made up. vars are the local variables that can be seen, by blocks.
type program struct {
	*rand.Rand
	b      strings.Builder
	vars   []string
	n      int // names given
	indent int
	loops  int
	budget int
}

func randomProgram(seed int64) string {
	p := &program{Rand: rand.New(rand.NewSource(seed)), budget: 60}
	p.line("local out, steps = {}, 0")
	p.line("local function log(v) steps = steps + 1 if steps > 200 then error('enough', 0) end if type(v) == 'table' then v = 'T' elseif type(v) == 'function' then v = 'F' end out[#out + 1] = v == nil and 'nil' or tostring(v) return v end")
	p.line("local function tick() steps = steps + 1 if steps > 200 then error('enough', 0) end end")
	p.line("local function mr(...) return ... end")
	p.line("local function sum(...) local s = 0 for i = 1, select('#', ...) do local v = select(i, ...) s = s + (tonumber(v) or 1) end return s end")
	p.line("local ok, err = pcall(function(...)")
	p.block(4 + p.Intn(8))
	p.line("end, 1, 'two', nil, 4)")
	p.line("return table.concat(out, ' ') .. ' ' .. tostring(ok) .. ' ' .. (type(err) == 'string' and err or type(err))")
	return p.b.String()
}

func (p *program) line(format string, args ...any) {
	p.b.WriteString(strings.Repeat(" ", p.indent))
	fmt.Fprintf(&p.b, format, args...)
	p.b.WriteByte('\n')
}

func (p *program) name() string {
	p.n++
	if len(p.vars) > 0 && p.Intn(6) == 0 {
		return p.vars[p.Intn(len(p.vars))] // shadows
	}
	return fmt.Sprintf("v%d", p.n)
}

func (p *program) block(n int) {
	saved := len(p.vars)
	p.indent++
	for range n {
		if p.budget--; p.budget < 0 {
			break
		}
		p.statement()
	}
	p.indent--
	p.vars = p.vars[:saved]
}

func (p *program) some() string {
	if len(p.vars) == 0 {
		return "nil"
	}
	return p.vars[p.Intn(len(p.vars))]
}

func (p *program) statement() {
	switch n := p.Intn(20); {
	case n < 3:
		names := make([]string, 1+p.Intn(3))
		for i := range names {
			names[i] = p.name()
		}
		p.line("local %s = %s", strings.Join(names, ", "), p.list(1+p.Intn(3), 2))
		p.vars = append(p.vars, names...)
	case n < 5:
		p.assignment()
	case n < 7:
		p.line("log(%s)", p.expr(3))
	case n < 8:
		p.condition()
	case n < 9:
		p.loop(fmt.Sprintf("for %%s = %d, %d, %d do", p.Intn(5), p.Intn(8), 1+p.Intn(3)), p.name())
	case n < 10:
		p.loop(fmt.Sprintf("for %%s, %s in ipairs({%s}) do", "it", p.list(p.Intn(4), 1)), p.name())
	case n < 11:
		p.repetition()
	case n < 12:
		if p.loops > 0 {
			p.line("if %s then break end", p.expr(2))
		}
	case n < 13:
		p.line("do")
		p.block(1 + p.Intn(4))
		p.line("end")
	case n < 18:
		p.definition(n)
	case n < 19:
		if p.Intn(2) == 0 {
			p.line("log(sum(%s))", p.list(p.Intn(4), 2))
		} else if len(p.vars) > 0 {
			p.line("log(pcall(function() %s = %s error('e') end))", p.some(), p.expr(2))
		}
	case p.Intn(4) == 0:
		p.line("do return %s end", p.list(p.Intn(3), 2))
	}
}

func (p *program) assignment() {
	if len(p.vars) == 0 {
		return
	}
	targets := make([]string, 1+p.Intn(3))
	for i := range targets {
		targets[i] = p.some()
		if p.Intn(4) == 0 {
			targets[i] = p.table() + "." + string(rune('a'+p.Intn(3)))
		}
	}
	p.line("%s = %s", strings.Join(targets, ", "), p.list(1+p.Intn(3), 2))
}

func (p *program) condition() {
	p.line("if %s then", p.expr(3))
	p.block(1 + p.Intn(3))
	if p.Intn(2) == 0 {
		p.line("elseif %s then", p.expr(2))
		p.block(1 + p.Intn(2))
	}
	if p.Intn(2) == 0 {
		p.line("else")
		p.block(1 + p.Intn(3))
	}
	p.line("end")
}

func (p *program) repetition() {
	v := p.name()
	p.line("local %s = 0", v)
	p.vars = append(p.vars, v)
	p.loops++
	switch p.Intn(3) {
	case 0:
		p.line("while %s < %d do tick() %s = %s + 1", v, p.Intn(5), v, v)
		p.block(1 + p.Intn(4))
		p.line("end")
	case 1:
		p.line("repeat tick() %s = (tonumber(%s) or 9) + 1", v, v)
		p.block(1 + p.Intn(4))
		p.line("until %s >= %d", v, p.Intn(5))
	default: // the condition sees the block's variables, and a closure may hold one
		p.line("repeat tick() local u, f = %s, nil f = function() u = %s return u end", p.expr(1), p.expr(1))
		p.block(1 + p.Intn(2))
		p.line("until f() or u or %s", p.expr(1))
	}
	p.loops--
}

// definition makes a variable that is a function, or a method.
func (p *program) definition(n int) {
	f := p.name()
	switch n {
	case 13, 14:
		p.line("local %s = %s", f, p.function(f))
		p.vars = append(p.vars, f)
	case 15:
		p.vars = append(p.vars, f)
		p.line("local function %s%s", f, strings.TrimPrefix(p.function(f), "function"))
	case 16:
		p.line("local %s = {a = %s}", f, p.expr(1))
		p.vars = append(p.vars, f)
		p.line("function %s:m%s", f, strings.TrimPrefix(p.function(f), "function"))
		p.line("log(%s:m(%s))", f, p.list(p.Intn(4), 2))
		p.line("log(%s.a)", f)
	default:
		p.line("local %s = 0 local function up() %[1]s = (tonumber(%[1]s) or 0) + 1 return %[1]s end up() log(up() + up() * 2)", f)
		p.vars = append(p.vars, f)
	}
}

func (p *program) loop(head, v string) {
	p.line(head, v)
	p.line("tick()")
	saved := len(p.vars)
	p.vars = append(p.vars, v)
	p.loops++
	p.block(1 + p.Intn(4))
	p.loops--
	p.vars = p.vars[:saved]
	p.line("end")
}

// function returns a function of one or two statements, in a line.
func (p *program) function(string) string {
	inner := &program{Rand: p.Rand, vars: append([]string{}, p.vars...), n: p.n + 100, budget: min(p.budget, 4), indent: p.indent + 1}
	var params []string
	for range p.Intn(4) {
		params = append(params, inner.name())
	}
	inner.vars = append(inner.vars, params...)
	params = append(params, "...")
	inner.line("tick()")
	inner.block(1 + p.Intn(4))
	p.budget -= 2
	p.n = inner.n
	return fmt.Sprintf("function(%s)\n%s return %s end", strings.Join(params, ", "), inner.b.String(), inner.list(p.Intn(3), 2))
}

func (p *program) list(n, depth int) string {
	var e []string
	for range n {
		e = append(e, p.expr(depth))
	}
	if len(e) == 0 {
		return ""
	}
	return strings.Join(e, ", ")
}

// table is something that can be indexed.
func (p *program) table() string {
	return fmt.Sprintf("(type(%s) == 'table' and %[1]s or {a = 1, b = 'x'})", p.some())
}

func (p *program) leaf() string {
	switch p.Intn(9) {
	case 0, 1:
		return strconv.Itoa(p.Intn(10))
	case 2:
		return []string{"true", "false", "nil", "'s'", "'10'", "2.5", "-1", "''"}[p.Intn(8)]
	}
	return p.some()
}

func (p *program) expr(depth int) string {
	if depth <= 0 || p.Intn(5) == 0 {
		return p.leaf()
	}
	d := depth - 1
	if p.Intn(2) == 0 {
		return p.operation(d)
	}
	switch p.Intn(12) {
	case 0:
		return "{" + p.list(p.Intn(4), d) + "}"
	case 1:
		return fmt.Sprintf("{%s, a = %s, [%s] = %s}", p.list(1+p.Intn(2), d), p.expr(d), p.number(d), p.expr(d))
	case 2:
		return fmt.Sprintf("#{%d, '', true}", p.Intn(5))
	case 3:
		return p.table() + "." + string(rune('a'+p.Intn(3)))
	case 4:
		return fmt.Sprintf("%s[%s or 1]", p.table(), p.expr(d))
	case 5, 6:
		return fmt.Sprintf("mr(%s)", p.list(p.Intn(4), d))
	case 7:
		return fmt.Sprintf("log(%s)", p.expr(d))
	case 8:
		return fmt.Sprintf("(mr(%s))", p.list(p.Intn(3), d))
	case 9:
		return []string{"...", "(...)", "select('#', ...)"}[p.Intn(3)]
	case 10:
		return fmt.Sprintf("({pcall(mr, %s)})[%d]", p.list(1+p.Intn(3), d), 1+p.Intn(4))
	}
	return fmt.Sprintf("(type(%s) == 'function' and %[1]s or mr)(%s)", p.some(), p.list(p.Intn(3), d))
}

func (p *program) operation(d int) string {
	switch p.Intn(9) {
	case 0:
		return fmt.Sprintf("(%s %s %s)", p.number(d), []string{"+", "-", "*", "/", "%", "^"}[p.Intn(6)], p.number(d))
	case 1:
		return fmt.Sprintf("(%s %s %s)", p.expr(d), []string{"and", "or"}[p.Intn(2)], p.expr(d))
	case 2:
		return fmt.Sprintf("%s %s %s", p.expr(d), []string{"and", "or"}[p.Intn(2)], p.expr(d))
	case 3:
		return fmt.Sprintf("(%s %s %s)", p.number(d), []string{"<", "<=", ">", ">="}[p.Intn(4)], p.number(d))
	case 4:
		return fmt.Sprintf("(%s %s %s)", p.expr(d), []string{"==", "~="}[p.Intn(2)], p.expr(d))
	case 5:
		return "not " + p.expr(d)
	case 6:
		return fmt.Sprintf("(type(%s) .. %s .. type(%s))", p.some(), p.number(d), p.some())
	case 7:
		return fmt.Sprintf("%s + %s * %s - %s", p.number(d), p.number(d), p.number(d), p.number(d))
	}
	return "-" + p.number(d)
}

func (p *program) number(depth int) string {
	if p.Intn(12) == 0 {
		return p.expr(depth) // an error, perhaps
	}
	switch p.Intn(4) {
	case 0:
		return strconv.Itoa(p.Intn(20))
	case 1:
		return fmt.Sprintf("(tonumber(%s) or %d)", p.expr(depth), p.Intn(5))
	case 2:
		return fmt.Sprintf("#type(%s)", p.some())
	}
	return fmt.Sprintf("sum(%s)", p.list(p.Intn(3), depth))
}
