package script

import (
	"fmt"
	"strings"
)

// The lexer (llex.c): gopher-lua's own knows the words and the errors of later versions of Lua.

type kind int

// The kinds of tokens from 257 on; a smaller one is a character that stands for itself.
const (
	tkAnd kind = iota + 257
	tkBreak
	tkDo
	tkElse
	tkElseif
	tkEnd
	tkFalse
	tkFor
	tkFunction
	tkIf
	tkIn
	tkLocal
	tkNil
	tkNot
	tkOr
	tkRepeat
	tkReturn
	tkThen
	tkTrue
	tkUntil
	tkWhile
	tkConcat
	tkDots
	tkEq
	tkGe
	tkLe
	tkNe
	tkNumber
	tkName
	tkString
	tkEOS
)

var kindNames = []string{"and", "break", "do", "else", "elseif", "end", "false", "for", "function", "if", "in", "local",
	"nil", "not", "or", "repeat", "return", "then", "true", "until", "while", "..", "...", "==", ">=", "<=", "~=",
	"<number>", "<name>", "<string>", "<eof>"}

var reserved = map[string]kind{}

func init() {
	for i, name := range kindNames[:tkConcat-tkAnd] {
		reserved[name] = tkAnd + kind(i)
	}
}

func (k kind) String() string {
	switch {
	case k >= tkAnd:
		return kindNames[k-tkAnd]
	case k < 32 || k == 127:
		return fmt.Sprintf("char(%d)", int(k))
	}
	return string([]byte{byte(k)})
}

// symbol is a token of the source.
type symbol struct {
	kind kind
	text string // of a name or a string
	num  float64
}

// syntaxError is why a source is no script. The text is Lua's.
type syntaxError string

func (e syntaxError) Error() string { return string(e) }

type lexer struct {
	chunk string // what errors call the source
	src   string
	at    int
	line  int    // of the character at
	token int    // where the token that is being read begins
	text  []byte // what has been read of it, if it is a string in quotes
}

// fail ends the reading. near is the token that it happened at; tkNumber, tkName and tkString mean the text
// read so far.
func (x *lexer) fail(message string, near kind) {
	text := near.String()
	if near >= tkNumber && near < tkEOS {
		text = x.src[x.token:x.at]
		if x.text != nil {
			text = string(x.text)
		}
	}
	panic(syntaxError(fmt.Sprintf("%s:%d: %s near '%s'", x.chunk, x.line, message, text)))
}

// peek returns the character i after the current one, and -1 after the end.
func (x *lexer) peek(i int) int {
	if x.at+i < len(x.src) {
		return int(x.src[x.at+i])
	}
	return -1
}

func (x *lexer) newline() {
	c := x.peek(0)
	x.at++
	if d := x.peek(0); (d == '\n' || d == '\r') && d != c {
		x.at++
	}
	x.line++
}

func isName(c int) bool { return c == '_' || c >= 0 && (isAlpha(byte(c)) || isDigit(byte(c))) }

// two returns kind k if the next character is c, and takes it; otherwise the character before.
func (x *lexer) two(c int, k kind) symbol {
	first := kind(x.peek(0))
	x.at++
	if x.peek(0) != c {
		return symbol{kind: first}
	}
	x.at++
	return symbol{kind: k}
}

// next reads a token.
func (x *lexer) next() symbol {
	for {
		x.token = x.at
		switch c := x.peek(0); c {
		case -1:
			return symbol{kind: tkEOS}
		case '\n', '\r':
			x.newline()
		case ' ', '\t', '\v', '\f':
			x.at++
		case '-':
			if x.peek(1) != '-' {
				x.at++
				return symbol{kind: '-'}
			}
			x.at += 2
			x.comment()
		case '[':
			if n := x.brackets(); n >= 0 {
				return symbol{kind: tkString, text: x.long(n, "string")}
			} else if n < -1 {
				x.at += -n - 1
				x.fail("invalid long string delimiter", tkString)
			}
			x.at++
			return symbol{kind: '['}
		case '=':
			return x.two('=', tkEq)
		case '<':
			return x.two('=', tkLe)
		case '>':
			return x.two('=', tkGe)
		case '~':
			return x.two('=', tkNe)
		case '"', '\'':
			return symbol{kind: tkString, text: x.quoted(c)}
		case '.':
			if d := x.peek(1); d >= '0' && d <= '9' {
				return x.number()
			}
			return x.dots()
		default:
			return x.word(c)
		}
	}
}

func (x *lexer) dots() symbol {
	n := 1
	for n < 3 && x.peek(n) == '.' {
		n++
	}
	x.at += n
	return symbol{kind: []kind{0, '.', tkConcat, tkDots}[n]}
}

func (x *lexer) word(c int) symbol {
	switch {
	case c >= '0' && c <= '9':
		return x.number()
	case isName(c):
		for isName(x.peek(0)) {
			x.at++
		}
		text := x.src[x.token:x.at]
		if k, ok := reserved[text]; ok {
			return symbol{kind: k}
		}
		return symbol{kind: tkName, text: text}
	}
	x.at++
	return symbol{kind: kind(c)}
}

func (x *lexer) comment() {
	if x.peek(0) == '[' {
		if n := x.brackets(); n >= 0 {
			x.long(n, "comment")
			return
		}
	}
	for c := x.peek(0); c != -1 && c != '\n' && c != '\r'; c = x.peek(0) {
		x.at++
	}
}

// brackets counts the = between the two brackets of a long string that begins here. If none begins, it
// returns less than 0: -1 without any =.
func (x *lexer) brackets() int {
	n := 0
	for x.peek(n+1) == '=' {
		n++
	}
	if x.peek(n+1) == '[' {
		return n
	}
	return -n - 1
}

func (x *lexer) long(n int, what string) string {
	x.at += n + 2
	if c := x.peek(0); c == '\n' || c == '\r' {
		x.newline()
	}
	var b strings.Builder
	for {
		switch c := x.peek(0); c {
		case -1:
			x.fail("unfinished long "+what, tkEOS)
		case '[':
			if n == 0 && x.peek(1) == '[' {
				x.fail("nesting of [[...]] is deprecated", '[')
			}
			b.WriteByte('[')
			x.at++
		case ']':
			if strings.HasPrefix(x.src[x.at+1:], strings.Repeat("=", n)+"]") {
				x.at += n + 2
				return b.String()
			}
			b.WriteByte(']')
			x.at++
		case '\n', '\r':
			b.WriteByte('\n')
			x.newline()
		default:
			b.WriteByte(byte(c))
			x.at++
		}
	}
}

func (x *lexer) quoted(quote int) string {
	x.at++
	x.text = []byte{byte(quote)}
	for c := x.peek(0); c != quote; c = x.peek(0) {
		switch c {
		case -1:
			x.fail("unfinished string", tkEOS)
		case '\n', '\r':
			x.fail("unfinished string", tkString)
		case '\\':
			x.at++
			x.text = x.escape(x.text)
		default:
			x.text = append(x.text, byte(c))
			x.at++
		}
	}
	x.at++
	text := string(x.text[1:])
	x.text = nil
	return text
}

func (x *lexer) escape(b []byte) []byte {
	c := x.peek(0)
	if i := strings.IndexByte("abfnrtv", byte(c)); c > 0 && i >= 0 {
		x.at++
		return append(b, "\a\b\f\n\r\t\v"[i])
	}
	switch {
	case c == -1: // the loop will say so
		return b
	case c == '\n' || c == '\r':
		x.newline()
		return append(b, '\n')
	case c < '0' || c > '9':
		x.at++
		return append(b, byte(c))
	}
	n := 0
	for i := 0; i < 3 && x.peek(0) >= '0' && x.peek(0) <= '9'; i++ {
		n = n*10 + x.peek(0) - '0'
		x.at++
	}
	if n > 255 {
		x.fail("escape sequence too large", tkString)
	}
	return append(b, byte(n))
}

func (x *lexer) number() symbol {
	for c := x.peek(0); c == '.' || c >= '0' && c <= '9'; c = x.peek(0) {
		x.at++
	}
	if c := x.peek(0); c == 'e' || c == 'E' {
		x.at++
		if c := x.peek(0); c == '+' || c == '-' {
			x.at++
		}
	}
	for isName(x.peek(0)) {
		x.at++
	}
	f, ok := parseNumber(x.src[x.token:x.at])
	if !ok {
		x.fail("malformed number", tkNumber)
	}
	return symbol{kind: tkNumber, num: f}
}
