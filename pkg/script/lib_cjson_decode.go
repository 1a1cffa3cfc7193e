package script

import (
	"strings"
	"unicode/utf8"

	lua "github.com/yuin/gopher-lua"
)

// cjson.decode.

type token int

const (
	tokObjBegin token = iota
	tokObjEnd
	tokArrBegin
	tokArrEnd
	tokString
	tokNumber
	tokBoolean
	tokNull
	tokColon
	tokComma
	tokEnd
	tokError
)

var tokenNames = []string{"T_OBJ_BEGIN", "T_OBJ_END", "T_ARR_BEGIN", "T_ARR_END", "T_STRING", "T_NUMBER",
	"T_BOOLEAN", "T_NULL", "T_COLON", "T_COMMA", "T_END"}

// decoder reads one text. The text of tok is text if it is a string or an error.
type decoder struct {
	*cjson
	L      *lua.LState
	data   string
	at     int
	tok    token
	start  int // of tok
	text   string
	number float64
	truth  bool
	depth  int
	values int
}

func (c *cjson) decode(L *lua.LState) int {
	if L.GetTop() != 1 {
		c.s.argError(L, 1, "expected 1 argument")
	}
	d := decoder{cjson: c, L: L, data: c.s.checkString(L, 1)}
	if len(d.data) >= 2 && (d.data[0] == 0 || d.data[1] == 0) {
		c.s.throw(L, "JSON parser does not support UTF-16 or UTF-32")
	}
	d.next()
	v := d.value(1)
	if d.next(); d.tok != tokEnd {
		d.expected("the end")
	}
	L.Push(v)
	return 1
}

func (d *decoder) expected(what string) {
	found := d.text
	if d.tok != tokError {
		found = tokenNames[d.tok]
	}
	d.s.throw(d.L, "Expected %s but found %s at character %d", what, found, d.start+1)
}

// peek returns the byte i after the current one, and 0 after the end.
func (d *decoder) peek(i int) byte {
	if d.at+i < len(d.data) {
		return d.data[d.at+i]
	}
	return 0
}

func (d *decoder) fail(why string) { d.tok, d.start, d.text = tokError, d.at, why }

// next reads the next token.
func (d *decoder) next() {
	for c := d.peek(0); c == ' ' || c == '\t' || c == '\n' || c == '\r'; c = d.peek(0) {
		d.at++
	}
	d.start = d.at
	c := d.peek(0)
	if i := strings.IndexByte("{}[]", c); i >= 0 && c != 0 {
		d.tok = tokObjBegin + token(i)
		d.at++
		return
	}
	rest := d.data[d.at:]
	switch {
	case c == 0:
		d.tok = tokEnd
	case c == ':':
		d.tok = tokColon
		d.at++
	case c == ',':
		d.tok = tokComma
		d.at++
	case c == '"':
		d.string()
	case c == '-' || isDigit(c):
		if d.decodeBad == 0 && d.badNumber() {
			d.fail("invalid number")
			return
		}
		d.readNumber()
	case strings.HasPrefix(rest, "true"):
		d.tok, d.truth = tokBoolean, true
		d.at += 4
	case strings.HasPrefix(rest, "false"):
		d.tok, d.truth = tokBoolean, false
		d.at += 5
	case strings.HasPrefix(rest, "null"):
		d.tok = tokNull
		d.at += 4
	case strings.IndexByte("+fiInNt", c) >= 0 && d.decodeBad != 0 && d.badNumber():
		d.readNumber()
	default:
		d.fail("invalid token")
	}
}

// badNumber reports whether what comes is a number that C reads and JSON has not: +1, 0x1, 01, inf, nan.
func (d *decoder) badNumber() bool {
	p := 0
	switch d.peek(0) {
	case '+':
		return true
	case '-':
		p = 1
	}
	c := d.peek(p)
	if c == '0' {
		next := d.peek(p + 1)
		return next|0x20 == 'x' || isDigit(next)
	}
	if c <= '9' {
		return false
	}
	rest := strings.ToLower(d.data[d.at+p : min(d.at+p+3, len(d.data))])
	return rest == "inf" || rest == "nan"
}

func (d *decoder) readNumber() {
	f, n := strtod(d.data[d.at:])
	if n == 0 {
		d.fail("invalid number")
		return
	}
	d.tok, d.number = tokNumber, f
	d.at += n
}

func (d *decoder) string() {
	d.at++
	var b []byte
	from := d.at // what is not in b yet
	for {
		c := d.peek(0)
		switch {
		case c == '"':
			d.text = string(append(b, d.data[from:d.at]...))
			d.tok = tokString
			d.at++
			return
		case c == 0:
			d.fail("unexpected end of string")
			return
		case c != '\\':
			d.at++
			continue
		}
		b = append(b, d.data[from:d.at]...)
		e := d.peek(1)
		if e == 'u' {
			r, n := d.unicode()
			if n == 0 {
				d.fail("invalid unicode escape code")
				return
			}
			b = utf8.AppendRune(b, r)
			d.at += n
			from = d.at
			continue
		}
		i := strings.IndexByte("\"\\/btnfr", e)
		if e == 0 || i < 0 {
			d.fail("invalid escape code")
			return
		}
		b = append(b, "\"\\/\b\t\n\f\r"[i])
		d.at += 2
		from = d.at
	}
}

// unicode reads \uXXXX, or two of them that are a surrogate pair, and returns how many bytes that took.
func (d *decoder) unicode() (r rune, n int) {
	r = d.hex4(2)
	if r < 0 || r&0xfc00 == 0xdc00 {
		return 0, 0
	}
	if r&0xfc00 != 0xd800 {
		return r, 6
	}
	if d.peek(6) != '\\' || d.peek(7) != 'u' {
		return 0, 0
	}
	low := d.hex4(8)
	if low < 0 || low&0xfc00 != 0xdc00 {
		return 0, 0
	}
	return (r&0x3ff<<10 | low&0x3ff) + 0x10000, 12
}

func (d *decoder) hex4(i int) (r rune) {
	for k := range 4 {
		c := d.peek(i + k)
		switch {
		case isDigit(c):
			r = r<<4 | rune(c-'0')
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			r = r<<4 | rune(c|0x20-'a'+10)
		default:
			return -1
		}
	}
	return r
}

// value returns the value that begins with the current token.
func (d *decoder) value(stack int) lua.LValue {
	if d.values++; d.values&0xffff == 0 {
		d.s.charge(d.L, 0xffff*64)
	}
	switch d.tok {
	case tokString:
		return lua.LString(d.text)
	case tokNumber:
		return lua.LNumber(d.number)
	case tokBoolean:
		return lua.LBool(d.truth)
	case tokNull:
		return null
	case tokObjBegin:
		return d.object(stack)
	case tokArrBegin:
		return d.array(stack)
	}
	d.expected("value")
	return nil
}

func (d *decoder) descend(stack, slots int) {
	if d.depth++; d.depth > d.decodeDeep || stack+slots > maxStack {
		d.s.throw(d.L, "Found too many nested data structures (%d) at character %d", d.depth, d.at)
	}
}

func (d *decoder) object(stack int) lua.LValue {
	d.descend(stack, 3)
	t := d.L.CreateTable(0, 0)
	d.next()
	for first := true; !first || d.tok != tokObjEnd; first = false {
		if d.tok != tokString {
			d.expected("object key string")
		}
		key := d.text
		if d.next(); d.tok != tokColon {
			d.expected("colon")
		}
		d.next()
		t.RawSetString(key, d.value(stack+2))
		if d.next(); d.tok == tokObjEnd {
			break
		}
		if d.tok != tokComma {
			d.expected("comma or object end")
		}
		d.next()
	}
	d.depth--
	return t
}

func (d *decoder) array(stack int) lua.LValue {
	d.descend(stack, 2)
	t := d.L.CreateTable(0, 0)
	d.next()
	for i := 1; i > 1 || d.tok != tokArrEnd; i++ {
		rawSet(t, i, d.value(stack+1))
		if d.next(); d.tok == tokArrEnd {
			break
		}
		if d.tok != tokComma {
			d.expected("comma or array end")
		}
		d.next()
	}
	d.depth--
	return t
}
