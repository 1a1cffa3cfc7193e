package script

import (
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
			if next, after, ok := m.special(s, p); ok {
				if s, p = next, after; s < 0 || p < 0 {
					return -1
				}
				continue
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

// special matches %b, %f and %1 … %9; it is not ok if p is none of them.
func (m *matcher) special(s, p int) (next, after int, ok bool) {
	if p+1 == len(m.pat) {
		return 0, 0, false
	}
	switch c := m.pat[p+1]; {
	case c == 'b':
		return m.balance(s, p+2), p + 4, true
	case c == 'f':
		return s, m.frontier(s, p+2), true
	case isDigit(c):
		return m.backReference(s, c), p + 2, true
	}
	return 0, 0, false
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
