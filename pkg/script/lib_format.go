package script

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	lua "github.com/yuin/gopher-lua"
)

// string.format, which is C's printf.

// directive is one % of a format.
type directive struct {
	minus, plus, blank, alt, zero bool
	width, precision              int // precision is -1 if not given
	verb                          byte
}

func (s *state) strFormat(L *lua.LState) int {
	format := s.checkString(L, 1)
	var b []byte
	arg := 1
	for i := 0; i < len(format); {
		c := format[i]
		i++
		if c != '%' {
			b = append(b, c)
			continue
		}
		if i < len(format) && format[i] == '%' {
			b = append(b, '%')
			i++
			continue
		}
		var d directive
		arg++
		d, i = s.directive(L, format, i)
		b = s.formatted(L, b, d, arg)
	}
	s.charge(L, len(b))
	L.Push(lua.LString(b))
	return 1
}

// directive reads what follows a %.
func (s *state) directive(L *lua.LState, f string, i int) (directive, int) {
	at := func(i int) byte {
		if i < len(f) {
			return f[i]
		}
		return 0
	}
	d := directive{precision: -1}
	start := i
	for ; at(i) != 0 && strings.IndexByte("-+ #0", at(i)) >= 0; i++ {
		switch at(i) {
		case '-':
			d.minus = true
		case '+':
			d.plus = true
		case ' ':
			d.blank = true
		case '#':
			d.alt = true
		case '0':
			d.zero = true
		}
	}
	if i-start >= 6 {
		s.throw(L, "invalid format (repeated flags)")
	}
	for n := 0; n < 2 && isDigit(at(i)); n++ {
		d.width = d.width*10 + int(at(i)-'0')
		i++
	}
	if at(i) == '.' {
		d.precision = 0
		i++
		for n := 0; n < 2 && isDigit(at(i)); n++ {
			d.precision = d.precision*10 + int(at(i)-'0')
			i++
		}
	}
	if isDigit(at(i)) {
		s.throw(L, "invalid format (width or precision too long)")
	}
	d.verb = at(i)
	return d, i + 1
}

func (s *state) formatted(L *lua.LState, b []byte, d directive, arg int) []byte {
	if arg > L.GetTop() {
		s.argError(L, arg, "no value")
	}
	switch d.verb {
	case 'c':
		return d.pad(b, "", string([]byte{byte(toInt(s.checkNumber(L, arg)))}), false)
	case 'd', 'i':
		n := toInt(s.checkNumber(L, arg))
		sign := d.sign(n < 0)
		return d.integer(b, sign, strings.TrimPrefix(strconv.Itoa(n), "-"))
	case 'o', 'u', 'x', 'X':
		return d.unsigned(b, toUint(s.checkNumber(L, arg)))
	case 'e', 'E', 'f', 'g', 'G':
		return d.float(b, s.checkNumber(L, arg))
	case 'q':
		return appendQuoted(b, s.checkString(L, arg))
	case 's':
		text := s.checkString(L, arg)
		if d.precision < 0 && len(text) >= 100 {
			return append(b, text...) // as it is, whatever the width
		}
		if i := strings.IndexByte(text, 0); i >= 0 {
			text = text[:i] // printf takes a C string
		}
		if d.precision >= 0 && len(text) > d.precision {
			text = text[:d.precision]
		}
		return d.pad(b, "", text, false)
	}
	verb := ""
	if d.verb != 0 {
		verb = string([]byte{d.verb})
	}
	s.throw(L, "invalid option '%%%s' to 'format'", verb)
	return nil
}

// toUint is C's conversion of a double to unsigned long long on amd64.
func toUint(f float64) uint64 {
	if f >= 0x1p63 && f < 0x1p64 {
		return uint64(f-0x1p63) + 1<<63
	}
	if f >= 0x1p64 {
		return 0
	}
	return uint64(toInt(f))
}

func (d directive) sign(minus bool) string {
	switch {
	case minus:
		return "-"
	case d.plus:
		return "+"
	case d.blank:
		return " "
	}
	return ""
}

// pad appends prefix (a sign, 0x) and text in a field of the width, with zeros between if wanted.
func (d directive) pad(b []byte, prefix, text string, zeros bool) []byte {
	n := d.width - len(prefix) - len(text)
	fill := func(c byte) {
		for ; n > 0; n-- {
			b = append(b, c)
		}
	}
	if !d.minus && !zeros {
		fill(' ')
	}
	b = append(b, prefix...)
	if !d.minus && zeros {
		fill('0')
	}
	b = append(b, text...)
	fill(' ')
	return b
}

func (d directive) integer(b []byte, prefix, digits string) []byte {
	if d.precision == 0 && digits == "0" {
		digits = ""
	}
	if n := d.precision - len(digits); n > 0 {
		digits = strings.Repeat("0", n) + digits
	}
	return d.pad(b, prefix, digits, d.zero && d.precision < 0)
}

func (d directive) unsigned(b []byte, n uint64) []byte {
	prefix := ""
	switch d.verb {
	case 'o':
		digits := strconv.FormatUint(n, 8)
		if d.alt && n != 0 && d.precision <= len(digits) {
			digits = "0" + digits
		}
		return d.integer(b, "", digits)
	case 'x', 'X':
		digits := strconv.FormatUint(n, 16)
		if d.alt && n != 0 {
			prefix = "0x"
		}
		if d.verb == 'X' {
			prefix, digits = strings.ToUpper(prefix), strings.ToUpper(digits)
		}
		return d.integer(b, prefix, digits)
	}
	return d.integer(b, "", strconv.FormatUint(n, 10))
}

func (d directive) float(b []byte, f float64) []byte {
	sign := d.sign(math.Signbit(f))
	upper := d.verb < 'a'
	if math.IsNaN(f) || math.IsInf(f, 0) {
		text := strings.TrimPrefix(formatG(f, 1), "-")
		if upper {
			text = strings.ToUpper(text)
		}
		return d.pad(b, sign, text, false)
	}
	f = math.Abs(f)
	precision := d.precision
	if precision < 0 {
		precision = 6
	}
	var text string
	switch verb := d.verb | 0x20; verb {
	case 'g':
		text = strconv.FormatFloat(f, 'g', max(precision, 1), 64)
		if d.alt {
			text = fmt.Sprintf("%#.*g", max(precision, 1), f)
		}
	default:
		text = strconv.FormatFloat(f, verb, precision, 64)
		if d.alt && precision == 0 {
			text = fmt.Sprintf("%#.*"+string(rune(verb)), 0, f)
		}
	}
	if upper {
		text, sign = strings.ToUpper(text), strings.ToUpper(sign)
	}
	return d.pad(b, sign, text, d.zero)
}

// appendQuoted appends s as Lua reads it back.
func appendQuoted(b []byte, s string) []byte {
	b = append(b, '"')
	for i := range len(s) {
		switch c := s[i]; c {
		case '"', '\\', '\n':
			b = append(b, '\\', c)
		case '\r':
			b = append(b, "\\r"...)
		case 0:
			b = append(b, "\\000"...)
		default:
			b = append(b, c)
		}
	}
	return append(b, '"')
}
