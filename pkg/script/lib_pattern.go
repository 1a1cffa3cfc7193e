package script

import (
	"bytes"

	lua "github.com/yuin/gopher-lua"
)

// Pattern matching: lstrlib.c of Lua 5.1, function by function.

const (
	maxCaptures = 32
	capOpen     = -1 // of a capture's length: not closed yet
	capPosition = -2 // of a capture's length: it is a position
	// maxMatchDepth bounds the recursion of a match. Lua 5.1 has no bound (a long "a-" or "(.)" chain ends
	// the process when C's stack is used up); this is what later versions have, with their text.
	maxMatchDepth = 200000
)

type capture struct{ start, len int }

type matcher struct {
	s        *state
	L        *lua.LState
	src      string
	pat      string
	level    int
	depth    int
	steps    int
	captures [maxCaptures]capture
}

// spend asks the meter now and then: a match can take for ever without an instruction of Lua.
func (m *matcher) spend() {
	if m.steps++; m.steps&0xfff == 0 {
		m.s.meter.left = min(m.s.meter.left, 1)
		if done := m.s.meter.look(); done != nil {
			m.s.throw(m.L, "%s", m.s.meter.Err())
		}
	}
}

func (m *matcher) checkCapture(l byte) int {
	n := int(l) - '1'
	if n < 0 || n >= m.level || m.captures[n].len == capOpen {
		m.s.throw(m.L, "invalid capture index")
	}
	return n
}

func (m *matcher) captureToClose() int {
	for l := m.level - 1; l >= 0; l-- {
		if m.captures[l].len == capOpen {
			return l
		}
	}
	m.s.throw(m.L, "invalid pattern capture")
	return 0
}

// classEnd returns where the single character class that begins at p ends.
func (m *matcher) classEnd(p int) int {
	c := m.pat[p]
	p++
	switch c {
	case '%':
		if p == len(m.pat) {
			m.s.throw(m.L, "malformed pattern (ends with '%%')")
		}
		return p + 1
	case '[':
		if p < len(m.pat) && m.pat[p] == '^' {
			p++
		}
		for first := true; first || p >= len(m.pat) || m.pat[p] != ']'; first = false {
			if p >= len(m.pat) {
				m.s.throw(m.L, "malformed pattern (missing ']')")
			}
			c := m.pat[p]
			p++
			if c == '%' && p < len(m.pat) {
				p++
			}
		}
		return p + 1
	}
	return p
}

func isAlpha(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }
func isDigit(c byte) bool { return c >= '0' && c <= '9' }
func isSpace(c byte) bool { return c == ' ' || c >= '\t' && c <= '\r' }

func matchClass(c, class byte) bool {
	var is bool
	switch class | 0x20 {
	case 'a':
		is = isAlpha(c)
	case 'c':
		is = c < 0x20 || c == 0x7f
	case 'd':
		is = isDigit(c)
	case 'l':
		is = c >= 'a' && c <= 'z'
	case 'p':
		is = c > 0x20 && c < 0x7f && !isAlpha(c) && !isDigit(c)
	case 's':
		is = isSpace(c)
	case 'u':
		is = c >= 'A' && c <= 'Z'
	case 'w':
		is = isAlpha(c) || isDigit(c)
	case 'x':
		is = isDigit(c) || c|0x20 >= 'a' && c|0x20 <= 'f'
	case 'z':
		is = c == 0
	default:
		return class == c
	}
	if !isAlpha(class) {
		return class == c
	}
	return is != (class >= 'A' && class <= 'Z')
}

// inSet reports whether c is in the set that begins at p, with its ']' at end.
func (m *matcher) inSet(c byte, p, end int) bool {
	is := true
	if m.pat[p+1] == '^' {
		is = false
		p++
	}
	for p++; p < end; p++ {
		switch {
		case m.pat[p] == '%':
			p++
			if matchClass(c, m.pat[p]) {
				return is
			}
		case p+2 < end && m.pat[p+1] == '-':
			if m.pat[p] <= c && c <= m.pat[p+2] {
				return is
			}
			p += 2
		case m.pat[p] == c:
			return is
		}
	}
	return !is
}

func (m *matcher) single(s, p, end int) bool {
	if s >= len(m.src) {
		return false
	}
	switch c := m.src[s]; m.pat[p] {
	case '.':
		return true
	case '%':
		return matchClass(c, m.pat[p+1])
	case '[':
		return m.inSet(c, p, end-1)
	default:
		return m.pat[p] == c
	}
}

// match returns where the match of pat[p:] at src[s:] ends, or -1.
func (m *matcher) match(s, p int) int {
	if m.depth++; m.depth > maxMatchDepth {
		m.s.throw(m.L, "pattern too complex")
	}
	defer func() { m.depth-- }()
	for {
		m.spend()
		if p == len(m.pat) {
			return s
		}
		switch m.pat[p] {
		case '(':
			if p+1 < len(m.pat) && m.pat[p+1] == ')' {
				return m.startCapture(s, p+2, capPosition)
			}
			return m.startCapture(s, p+1, capOpen)
		case ')':
			return m.endCapture(s, p+1)
		case '%':
			if p+1 < len(m.pat) {
				switch c := m.pat[p+1]; {
				case c == 'b':
					if s = m.balance(s, p+2); s < 0 {
						return -1
					}
					p += 4
					continue
				case c == 'f':
					if p = m.frontier(s, p+2); p < 0 {
						return -1
					}
					continue
				case isDigit(c):
					if s = m.backReference(s, c); s < 0 {
						return -1
					}
					p += 2
					continue
				}
			}
		case '$':
			if p+1 == len(m.pat) {
				if s == len(m.src) {
					return s
				}
				return -1
			}
		}
		var done bool
		if s, p, done = m.one(s, p); done {
			return s
		}
	}
}

// one matches a single character with its suffix. If that decides, it returns the result and done; otherwise
// where to go on.
func (m *matcher) one(s, p int) (int, int, bool) {
	end := m.classEnd(p)
	suffix := byte(0)
	if end < len(m.pat) {
		suffix = m.pat[end]
	}
	switch suffix {
	case '?':
		if m.single(s, p, end) {
			if r := m.match(s+1, end+1); r >= 0 {
				return r, 0, true
			}
		}
		return s, end + 1, false
	case '*':
		return m.most(s, p, end), 0, true
	case '+':
		if !m.single(s, p, end) {
			return -1, 0, true
		}
		return m.most(s+1, p, end), 0, true
	case '-':
		return m.least(s, p, end), 0, true
	}
	if !m.single(s, p, end) {
		return -1, 0, true
	}
	return s + 1, end, false
}

func (m *matcher) most(s, p, end int) int {
	i := 0
	for m.single(s+i, p, end) {
		i++
	}
	for ; i >= 0; i-- {
		if r := m.match(s+i, end+1); r >= 0 {
			return r
		}
	}
	return -1
}

func (m *matcher) least(s, p, end int) int {
	for {
		if r := m.match(s, end+1); r >= 0 {
			return r
		}
		if !m.single(s, p, end) {
			return -1
		}
		s++
	}
}

func (m *matcher) balance(s, p int) int {
	if p+1 >= len(m.pat) {
		m.s.throw(m.L, "unbalanced pattern")
	}
	if s >= len(m.src) || m.src[s] != m.pat[p] {
		return -1
	}
	open, shut := m.pat[p], m.pat[p+1]
	depth := 1
	for s++; s < len(m.src); s++ {
		switch m.src[s] {
		case shut:
			if depth--; depth == 0 {
				return s + 1
			}
		case open:
			depth++
		}
	}
	return -1
}

// frontier returns where the pattern goes on after %f[set], or -1.
func (m *matcher) frontier(s, p int) int {
	if p >= len(m.pat) || m.pat[p] != '[' {
		m.s.throw(m.L, "missing '[' after '%%f' in pattern")
	}
	end := m.classEnd(p)
	var before, after byte
	if s > 0 {
		before = m.src[s-1]
	}
	if s < len(m.src) {
		after = m.src[s]
	}
	if m.inSet(before, p, end-1) || !m.inSet(after, p, end-1) {
		return -1
	}
	return end
}

func (m *matcher) backReference(s int, l byte) int {
	c := m.captures[m.checkCapture(l)]
	if c.len < 0 || len(m.src)-s < c.len || m.src[c.start:c.start+c.len] != m.src[s:s+c.len] {
		return -1
	}
	return s + c.len
}

func (m *matcher) startCapture(s, p, what int) int {
	if m.level >= maxCaptures {
		m.s.throw(m.L, "too many captures")
	}
	m.captures[m.level] = capture{s, what}
	m.level++
	r := m.match(s, p)
	if r < 0 {
		m.level--
	}
	return r
}

func (m *matcher) endCapture(s, p int) int {
	l := m.captureToClose()
	m.captures[l].len = s - m.captures[l].start
	r := m.match(s, p)
	if r < 0 {
		m.captures[l].len = capOpen
	}
	return r
}

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
	if find && (lua.LVAsBool(L.Get(4)) || !bytes.ContainsAny([]byte(pat), specials)) {
		if i := indexString(src[init:], pat); i >= 0 {
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
