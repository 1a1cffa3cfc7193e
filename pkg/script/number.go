package script

import (
	"math"
	"strconv"
	"strings"

	lua "github.com/yuin/gopher-lua"
)

// formatNumber returns a number as Lua prints it, by the format "%.14g".
func formatNumber(f float64) string {
	if i := int64(f); float64(i) == f && i > -1e14 && i < 1e14 && (i != 0 || !math.Signbit(f)) {
		return strconv.FormatInt(i, 10)
	}
	return formatG(f, 14)
}

// formatG is C's "%.*g" for finite numbers, inf and nan.
func formatG(f float64, precision int) string {
	switch {
	case math.IsNaN(f) && math.Signbit(f):
		return "-nan"
	case math.IsNaN(f):
		return "nan"
	case math.IsInf(f, 1):
		return "inf"
	case math.IsInf(f, -1):
		return "-inf"
	}
	return strconv.FormatFloat(f, 'g', max(precision, 1), 64)
}

// toString returns a string, or a number as Lua prints it; of other values what tostring says of them.
func toString(v lua.LValue) string {
	switch v := v.(type) {
	case lua.LString:
		return string(v)
	case lua.LNumber:
		return formatNumber(float64(v))
	}
	return v.String()
}

// toNumber converts a number, or a string that reads as one, as Lua does.
func toNumber(v lua.LValue) (float64, bool) {
	switch v := v.(type) {
	case lua.LNumber:
		return float64(v), true
	case lua.LString:
		return parseNumber(string(v))
	}
	return 0, false
}

const space = " \f\n\r\t\v"

// parseNumber reads a number as luaO_str2d does, which is C's strtod with blanks around. A byte of value 0
// ends the text.
func parseNumber(s string) (float64, bool) {
	if i := strings.IndexByte(s, 0); i >= 0 {
		s = s[:i]
	}
	s = strings.Trim(s, space)
	if s == "" || strings.IndexByte(s, '_') >= 0 {
		return 0, false
	}
	body := s
	if body[0] == '-' || body[0] == '+' {
		body = body[1:]
	}
	switch {
	case body == "":
		return 0, false
	case len(body) > 1 && body[0] == '0' && (body[1] == 'x' || body[1] == 'X'):
		if !strings.ContainsAny(body, "pP") {
			s += "p0" // Go wants an exponent; C does not
		}
	case body[0] != '.' && (body[0] < '0' || body[0] > '9'):
		switch strings.ToLower(body) {
		case "inf", "infinity", "nan":
		default:
			return 0, false
		}
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil && !math.IsInf(f, 0) {
		return 0, false
	}
	if math.IsNaN(f) && s[0] == '-' {
		f = math.Copysign(f, -1)
	}
	return f, true
}

// parseBase reads an integer of a base from 2 to 36 as C's strtoul does, with blanks around.
func parseBase(s string, base int) (float64, bool) {
	if i := strings.IndexByte(s, 0); i >= 0 {
		s = s[:i]
	}
	s = strings.Trim(s, space)
	minus := strings.HasPrefix(s, "-")
	if minus || strings.HasPrefix(s, "+") {
		s = s[1:]
	}
	if base == 16 && len(s) > 2 && (s[:2] == "0x" || s[:2] == "0X") {
		s = s[2:]
	}
	if strings.IndexByte(s, '_') >= 0 || s == "" || s[0] == '-' || s[0] == '+' {
		return 0, false
	}
	n, err := strconv.ParseUint(s, base, 64)
	if err != nil && err.(*strconv.NumError).Err != strconv.ErrRange {
		return 0, false
	}
	if minus && err == nil {
		n = -n
	}
	return float64(n), true
}

// rand48 is C's drand48, as Redis has it: the same numbers on every machine.
type rand48 struct{ x uint64 }

func (r *rand48) seed(n int32) { r.x = uint64(uint32(n))<<16 | 0x330e }

// next returns 31 bits.
func (r *rand48) next() int32 {
	r.x = (r.x*0x5deece66d + 0xb) & (1<<48 - 1)
	return int32(r.x >> 17)
}

// modulo is a % b: a - floor(a/b)*b, computed as Lua 5.1 does it.
func modulo(a, b float64) float64 { return invalid(a-math.Floor(a/b)*b, a, b) }

func power(a, b float64) float64 { return math.Pow(a, b) }

// strtod reads the number at the beginning of s as C does and returns how many bytes that took: 0 if none is there.
func strtod(s string) (float64, int) {
	i := 0
	for i < len(s) && isSpace(s[i]) {
		i++
	}
	start := i
	if i < len(s) && (s[i] == '-' || s[i] == '+') {
		i++
	}
	end := i
	low := strings.ToLower(s[i:min(i+8, len(s))])
	switch {
	case strings.HasPrefix(low, "infinity"):
		end = i + 8
	case strings.HasPrefix(low, "inf"), strings.HasPrefix(low, "nan"):
		end = i + 3
	default:
		if end = digits(s, i); end == i {
			return 0, 0
		}
	}
	f, ok := parseNumber(s[start:end])
	if !ok {
		return 0, 0
	}
	return f, end
}

// digits returns where the decimal or hexadecimal digits that begin at i end, with point and exponent; i if none are there.
func digits(s string, i int) int {
	is, mark := isDigit, byte('e')
	if j := i + 2; j < len(s) && s[i] == '0' && s[i+1]|0x20 == 'x' {
		if n := digitRun(s, j, isHex); n > j || s[j] == '.' && digitRun(s, j+1, isHex) > j+1 {
			is, mark, i = isHex, 'p', j
		}
	}
	whole := digitRun(s, i, is)
	end, some := whole, whole > i
	if end < len(s) && s[end] == '.' {
		fraction := digitRun(s, end+1, is)
		if some || fraction > end+1 {
			some, end = true, fraction
		}
	}
	if !some {
		return i
	}
	if end < len(s) && s[end]|0x20 == mark {
		j := end + 1
		if j < len(s) && (s[j] == '-' || s[j] == '+') {
			j++
		}
		if e := digitRun(s, j, isDigit); e > j {
			end = e
		}
	}
	return end
}

func digitRun(s string, i int, is func(byte) bool) int {
	for i < len(s) && is(s[i]) {
		i++
	}
	return i
}

func isHex(c byte) bool { return isDigit(c) || c|0x20 >= 'a' && c|0x20 <= 'f' }
