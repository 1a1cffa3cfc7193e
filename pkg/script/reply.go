package script

import (
	"bytes"
	"math"
	"strconv"
	"strings"

	"byor/pkg/engine"
	"byor/pkg/resp"

	lua "github.com/yuin/gopher-lua"
)

// Replies become values and values become replies. What Lua has no type for travels in a table with one telling
// field: {ok='OK'}, {err='…'}, and where the script asked for RESP3 {map={…}}, {set={…}}, {double=…} and so on. In RESP2
// the absent value is false, since a nil would end an array; in RESP3 it is nil.

// value returns the reply of a command as a value, and whether it is an error.
func (m *machine) value(reply []byte) (v lua.LValue, failed bool) {
	if len(reply) == 0 { // a command that never replies, such as one of the replication
		return lua.LFalse, false
	}
	p := replyParser{m: m, b: reply}
	return p.next(), reply[0] == '-'
}

// replyParser reads a reply that this server has made, so it is complete and has no faults.
type replyParser struct {
	m *machine
	b []byte // what is left
}

// line returns the rest of the first line.
func (p *replyParser) line() []byte {
	end := bytes.IndexByte(p.b, '\r')
	l := p.b[1:end]
	p.b = p.b[end+2:]
	return l
}

func (p *replyParser) number() int {
	n, _ := resp.ParseInt(p.line())
	return int(n)
}

func (p *replyParser) next() lua.LValue {
	switch kind := p.b[0]; kind {
	case ':':
		return lua.LNumber(p.number())
	case '$':
		return p.bulk()
	case '+':
		return p.wrap("ok", lua.LString(p.line()))
	case '-':
		t := p.m.errorTable("-" + string(p.line()))
		t.RawSetString("ignore_error_stats_update", lua.LTrue)
		return t
	case '*', '>':
		return p.array()
	case '%':
		return p.wrap("map", p.pairs())
	case '~':
		n := p.number()
		set := p.m.L.CreateTable(0, n)
		for range n {
			set.RawSet(p.next(), lua.LTrue)
		}
		return p.wrap("set", set)
	case '_':
		p.line()
		return lua.LNil
	case '#':
		return lua.LBool(p.line()[0] == 't')
	case ',':
		f, _ := strconv.ParseFloat(string(p.line()), 64)
		return p.wrap("double", lua.LNumber(f))
	case '(':
		return p.wrap("big_number", lua.LString(p.line()))
	case '=':
		text, _ := p.bulk().(lua.LString)
		t := p.m.L.CreateTable(0, 2)
		t.RawSetString("string", text[4:])
		t.RawSetString("format", text[:3])
		return p.wrap("verbatim_string", t)
	case '|':
		p.pairs() // attributes are not for scripts
		return p.next()
	default:
		panic("script: a reply begins with " + strconv.QuoteRune(rune(kind)))
	}
}

func (p *replyParser) wrap(field string, v lua.LValue) lua.LValue {
	t := p.m.L.CreateTable(0, 1)
	t.RawSetString(field, v)
	return t
}

func (p *replyParser) bulk() lua.LValue {
	n := p.number()
	if n < 0 {
		return lua.LFalse
	}
	s := lua.LString(p.b[:n])
	p.b = p.b[n+2:]
	return s
}

func (p *replyParser) array() lua.LValue {
	n := p.number()
	if n < 0 {
		return lua.LFalse
	}
	t := p.m.L.CreateTable(n, 0)
	for i := range n {
		t.RawSetInt(i+1, p.next())
	}
	return t
}

func (p *replyParser) pairs() *lua.LTable {
	n := p.number()
	t := p.m.L.CreateTable(0, n)
	for range n {
		k := p.next()
		t.RawSet(k, p.next())
	}
	return t
}

// How deep tables in a reply may be in each other: in Redis, the stack of Lua has so many places
// (LUAI_MAXCSTACK), and a table takes some for what is in it.
const (
	luaStack     = 8000
	stackAtFirst = 2 // places that are taken when the reply begins, its value's among them
	stackRoom    = 4 // places that must be free for any value
)

// answer is a reply that is made of a value.
type answer struct {
	m     *machine
	c     *engine.Call
	proto int // that the script chose
	end   int // how long c.Reply.Buf may grow
	over  bool
}

// reply replies the value that a script has returned. A table that holds itself twice would have no end.
func (m *machine) reply(c *engine.Call, v lua.LValue, proto int) {
	mark := len(c.Reply.Buf)
	a := answer{m: m, c: c, proto: proto, end: mark + memoryLimit}
	a.value(v, stackAtFirst)
	if a.over {
		c.Reply.Buf = c.Reply.Buf[:mark]
		c.Fail("ERR the reply of the script is larger than 512 MB")
	}
}

// value replies a value that takes the last of so many places on the stack.
func (a *answer) value(v lua.LValue, places int) {
	c := a.c
	if places+stackRoom > luaStack {
		c.Fail("ERR reached lua stack limit")
		return
	}
	switch v := v.(type) {
	case lua.LString:
		c.Reply.BulkString(string(v))
	case lua.LNumber:
		c.Reply.Int(int64(toInt(float64(v))))
	case lua.LBool:
		switch {
		case a.proto == 3:
			c.Reply.Bool(bool(v))
		case bool(v):
			c.Reply.Int(1)
		default:
			c.Reply.Null()
		}
	case *lua.LTable:
		if a.over = a.over || len(c.Reply.Buf) > a.end; !a.over {
			a.table(a.m.contents(v), places)
		}
	default:
		c.Reply.Null()
	}
}

var lineBreaks = strings.NewReplacer("\r", " ", "\n", " ")

// oneLine returns s as C sees it and without line breaks, for replies that are a line.
func oneLine(s lua.LString) string {
	return lineBreaks.Replace(engine.Quoted([]byte(s)))
}

// table replies what a table stands for: what its telling field says, or an array.
func (a *answer) table(t *lua.LTable, places int) {
	m, c := a.m, a.c
	if _, ok := t.RawGetString("err").(lua.LString); ok {
		if text, counted := m.errorText(t); counted {
			c.FailCounted(text)
		} else {
			c.Fail(text)
		}
		return
	}
	if s, ok := t.RawGetString("ok").(lua.LString); ok {
		c.Reply.SimpleString(oneLine(s))
		return
	}
	if f, ok := t.RawGetString("double").(lua.LNumber); ok {
		c.Reply.Double(float64(f))
		return
	}
	if pairs, ok := t.RawGetString("map").(*lua.LTable); ok {
		list := m.pairs(pairs)
		c.Reply.Map(len(list) / 2)
		for i := 0; i < len(list); i += 2 {
			a.value(list[i], places+4)
			a.value(list[i+1], places+3)
		}
		return
	}
	if set, ok := t.RawGetString("set").(*lua.LTable); ok {
		list := m.pairs(set)
		c.Reply.Set(len(list) / 2)
		for i := 0; i < len(list); i += 2 {
			a.value(list[i], places+3)
		}
		return
	}
	if s, ok := t.RawGetString("big_number").(lua.LString); ok {
		c.Reply.BigNumber(lineBreaks.Replace(string(s)))
		return
	}
	if v, ok := t.RawGetString("verbatim_string").(*lua.LTable); ok {
		text, isText := m.contents(v).RawGetString("string").(lua.LString)
		format, hasFormat := m.contents(v).RawGetString("format").(lua.LString)
		if isText && hasFormat {
			c.Reply.Verbatim((string(format) + "   ")[:3], string(text))
			return
		}
	}
	a.list(t, places)
}

// list replies what is in a table from 1 on, up to the first nil.
func (a *answer) list(t *lua.LTable, places int) {
	n := 0
	for n < math.MaxInt32 && t.RawGetInt(n+1) != lua.LNil {
		n++
	}
	a.c.Reply.Array(n)
	for i := range n {
		a.value(t.RawGetInt(i+1), places+1)
	}
}

// pairs returns the keys and values of a table, one behind the other.
func (m *machine) pairs(t *lua.LTable) (list []lua.LValue) {
	m.contents(t).ForEach(func(k, v lua.LValue) { list = append(list, k, v) })
	return list
}
