package script

import (
	"strings"

	lua "github.com/yuin/gopher-lua"
)

// What uses patterns: find, match, gmatch and gsub (lstrlib.c).

// capture returns the i-th capture of a match from s to e; the 0-th of a pattern without captures is the
// whole match.
func (m *matcher) capture(i, s, e int) lua.LValue {
	if i >= m.level {
		if i != 0 {
			m.s.throw(m.L, "invalid capture index")
		}
		return lua.LString(m.src[s:e])
	}
	c := m.captures[i]
	switch c.len {
	case capOpen:
		m.s.throw(m.L, "unfinished capture")
	case capPosition:
		return lua.LNumber(c.start + 1)
	}
	return lua.LString(m.src[c.start : c.start+c.len])
}

// pushCaptures pushes the captures of a match; without any, the whole match if whole is set.
func (m *matcher) pushCaptures(s, e int, whole bool) int {
	n := m.level
	if n == 0 && whole {
		n = 1
	}
	for i := range n {
		m.L.Push(m.capture(i, s, e))
	}
	return n
}

const specials = "^$*+?.([%-"

func (s *state) strFind(L *lua.LState) int  { return s.find(L, true) }
func (s *state) strMatch(L *lua.LState) int { return s.find(L, false) }

func (s *state) find(L *lua.LState, find bool) int {
	src, pat := s.checkString(L, 1), s.checkString(L, 2)
	init := s.optInt(L, 3, 1)
	if init < 0 {
		init += len(src) + 1
	}
	init = min(max(init-1, 0), len(src))
	if find && (lua.LVAsBool(L.Get(4)) || !strings.ContainsAny(pat, specials)) {
		if i := strings.Index(src[init:], pat); i >= 0 {
			L.Push(lua.LNumber(init + i + 1))
			L.Push(lua.LNumber(init + i + len(pat)))
			return 2
		}
		L.Push(lua.LNil)
		return 1
	}
	p := 0
	if len(pat) > 0 && pat[0] == '^' {
		p = 1
	}
	m := &matcher{s: s, L: L, src: src, pat: pat}
	for at := init; at <= len(src); at++ {
		m.level = 0
		if e := m.match(at, p); e >= 0 {
			if !find {
				return m.pushCaptures(at, e, true)
			}
			L.Push(lua.LNumber(at + 1))
			L.Push(lua.LNumber(e))
			return m.pushCaptures(at, e, false) + 2
		}
		if p == 1 {
			break
		}
	}
	L.Push(lua.LNil)
	return 1
}

func (s *state) strGmatch(L *lua.LState) int {
	src, pat := s.checkString(L, 1), s.checkString(L, 2)
	at := 0
	L.Push(s.function(func(L *lua.LState) int {
		m := &matcher{s: s, L: L, src: src, pat: pat}
		for ; at <= len(src); at++ {
			m.level = 0
			if e := m.match(at, 0); e >= 0 {
				from := at
				if at = e; e == from {
					at++
				}
				return m.pushCaptures(from, e, true)
			}
		}
		return 0
	}))
	return 1
}

func (s *state) strGsub(L *lua.LState) int {
	src, pat := s.checkString(L, 1), s.checkString(L, 2)
	repl := L.Get(3)
	limit := s.optInt(L, 4, len(src)+1)
	switch repl.Type() {
	case lua.LTNumber, lua.LTString, lua.LTFunction, lua.LTTable:
	default:
		s.argError(L, 3, "string/function/table expected")
	}
	p := 0
	if len(pat) > 0 && pat[0] == '^' {
		p = 1
	}
	m := &matcher{s: s, L: L, src: src, pat: pat}
	var b []byte
	n, at, charged := 0, 0, 0
	for n < limit {
		m.level = 0
		e := m.match(at, p)
		if e >= 0 {
			n++
			b = m.replace(b, repl, at, e)
			if len(b) > charged+lookEvery {
				s.charge(L, 2*len(b))
				charged = len(b)
			}
		}
		if e > at {
			at = e
		} else if at < len(src) {
			b = append(b, src[at])
			at++
		} else {
			break
		}
		if p == 1 {
			break
		}
	}
	if at < len(src) {
		b = append(b, src[at:]...)
	}
	s.charge(L, len(b))
	L.Push(lua.LString(b))
	L.Push(lua.LNumber(n))
	return 2
}

// replace appends what the match from at to e is replaced by.
func (m *matcher) replace(b []byte, repl lua.LValue, at, e int) []byte {
	var v lua.LValue
	switch r := repl.(type) {
	case *lua.LTable:
		v = m.L.GetTable(r, m.capture(0, at, e))
	case *lua.LFunction:
		args := make([]lua.LValue, max(m.level, 1))
		for i := range args {
			args[i] = m.capture(i, at, e)
		}
		v = m.s.callValue(m.L, r, args...)
	default:
		return m.expand(b, toString(r), at, e)
	}
	switch {
	case lua.LVIsFalse(v):
		return append(b, m.src[at:e]...)
	case !lua.LVCanConvToString(v):
		m.s.throw(m.L, "invalid replacement value (a %s)", v.Type())
	}
	return append(b, toString(v)...)
}

// expand appends a replacement string, with the captures that its %0 … %9 name.
func (m *matcher) expand(b []byte, repl string, at, e int) []byte {
	for i := 0; i < len(repl); i++ {
		if repl[i] != '%' {
			b = append(b, repl[i])
			continue
		}
		i++
		switch {
		case i == len(repl):
			b = append(b, 0) // C's string ends with a 0, which is what follows the %
		case !isDigit(repl[i]):
			b = append(b, repl[i])
		case repl[i] == '0':
			b = append(b, m.src[at:e]...)
		default:
			b = append(b, toString(m.capture(int(repl[i]-'1'), at, e))...)
		}
	}
	return b
}
