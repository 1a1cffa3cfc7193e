package engine

import (
	"math"
	"math/big"
	"strconv"
	"strings"
)

// ParseFloat parses a double as Redis's getDoubleFromObject does: all of it, no spaces before it, no
// NaN, and nothing that a double cannot hold.
func ParseFloat(b []byte) (float64, bool) {
	if f, ok := digits(b); ok {
		return f, true
	}
	if len(b) == 0 || b[0] == ' ' || b[0] >= '\t' && b[0] <= '\r' {
		return 0, false
	}
	f, n, outOfRange := Strtod(string(b))
	return f, n == len(b) && !outOfRange && !math.IsNaN(f)
}

// digits is ParseFloat for what most scores are: up to 15 decimal digits, which a double holds exactly, with or
// without leading zeros.
func digits(b []byte) (float64, bool) {
	neg := len(b) > 0 && b[0] == '-'
	if neg {
		b = b[1:]
	}
	if len(b) == 0 || len(b) > 15 {
		return 0, false
	}
	n := int64(0)
	for _, c := range b {
		d := c - '0'
		if d > 9 {
			return 0, false
		}
		n = 10*n + int64(d)
	}
	if neg {
		return -float64(n), true // -0 is a number of its own
	}
	return float64(n), true
}

// Strtod parses the longest prefix of s that is a number for C's strtod: with leading spaces,
// hexadecimal, "inf" and "nan". It returns how much that is, and whether the number was too large
// or too small for a double.
func Strtod(s string) (f float64, n int, outOfRange bool) {
	i := 0
	for i < len(s) && (s[i] == ' ' || s[i] >= '\t' && s[i] <= '\r') {
		i++
	}
	start := i
	if i < len(s) && (s[i] == '+' || s[i] == '-') {
		i++
	}
	for _, word := range []string{"infinity", "inf", "nan"} {
		if len(s)-i >= len(word) && strings.EqualFold(s[i:i+len(word)], word) {
			f, _ = strconv.ParseFloat(word, 64)
			if s[start] == '-' {
				f = -f
			}
			return f, i + len(word), false
		}
	}
	end, zero := number(s, i)
	if end == i {
		return 0, 0, false
	}
	text := s[start:end]
	if isHex(s[i:end]) && !strings.ContainsAny(text, "pP") {
		text += "p0" // Go insists on the exponent
	}
	f, err := strconv.ParseFloat(text, 64)
	return f, end, err != nil || f == 0 && !zero
}

// isHex reports whether a number without sign that number has found is hexadecimal.
func isHex(s string) bool { return len(s) > 2 && s[1]|0x20 == 'x' }

// number returns where the digits of a number without sign that begins at i end, i when there are
// none, and whether all of them are zero.
func number(s string, i int) (end int, zero bool) {
	digit := func(c byte) bool { return c >= '0' && c <= '9' }
	exp := byte('e')
	if len(s)-i > 2 && s[i] == '0' && s[i+1]|0x20 == 'x' {
		hex := func(c byte) bool { return c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'f' }
		if hex(s[i+2]) || s[i+2] == '.' && len(s)-i > 3 && hex(s[i+3]) {
			digit, exp = hex, 'p'
			i += 2
		}
	}
	digits := 0
	zero = true
	for end = i; end < len(s); end++ {
		if digit(s[end]) {
			digits++
			zero = zero && s[end] == '0'
		} else if s[end] != '.' || strings.Contains(s[i:end], ".") {
			break
		}
	}
	if digits == 0 {
		return i, false
	}
	if end < len(s) && s[end]|0x20 == exp {
		k := end + 1
		if k < len(s) && (s[k] == '+' || s[k] == '-') {
			k++
		}
		for from := k; k < len(s) && s[k] >= '0' && s[k] <= '9'; k++ {
			if k >= from {
				end = k + 1
			}
		}
	}
	return end, zero
}

// LongDouble is C's long double as Redis uses it for INCRBYFLOAT and HINCRBYFLOAT: a number with
// the 64-bit significand of x87, printed with 17 digits behind the point and no trailing zeros, so
// that 10.50 + 0.1 is 10.6 and not 10.6000000000000014.
type LongDouble struct{ f *big.Float }

const longDoublePrec = 64

// maxLongDouble is the length of text from which on Redis reads no long double.
const maxLongDouble = 5 * 1024

// NewLongDouble returns v as a long double.
func NewLongDouble(v float64) LongDouble {
	return LongDouble{new(big.Float).SetPrec(longDoublePrec).SetFloat64(v)}
}

// ParseLongDouble parses a number as Redis's string2ld does: all of it is a number for C's strtold, no
// spaces before it, no NaN, and nothing that a long double cannot hold.
func ParseLongDouble(b []byte) (LongDouble, bool) {
	if len(b) == 0 || len(b) >= maxLongDouble {
		return LongDouble{}, false
	}
	s := string(b)
	sign := 0
	if s[0] == '+' || s[0] == '-' {
		sign = 1
	}
	switch strings.ToLower(s[sign:]) {
	case "inf", "infinity":
		return LongDouble{new(big.Float).SetInf(s[0] == '-')}, true
	}
	end, zero := number(s, sign)
	switch {
	case end == sign || end < len(s):
		return LongDouble{}, false
	case zero: // with whatever exponent
		return NewLongDouble(0), true
	}
	base := 10
	if isHex(s[sign:]) {
		base = 0 // which lets the prefix say it
	}
	f, _, err := big.ParseFloat(s, base, longDoublePrec, big.ToNearestEven)
	if err != nil || !fitsLongDouble(f) {
		return LongDouble{}, false
	}
	return LongDouble{f}, true
}

// fitsLongDouble reports whether f is neither beyond the largest long double nor so small that 0 is the
// nearest one.
func fitsLongDouble(f *big.Float) bool {
	const largest, smallest = 16384, -16445
	m := new(big.Float)
	exp := f.MantExp(m)
	if exp == smallest { // half of the smallest one: a tie, which goes to 0
		return m.Abs(m).Cmp(big.NewFloat(0.5)) > 0
	}
	return exp > smallest && exp <= largest
}

// Add adds d and reports false when the sum is no finite number.
func (l *LongDouble) Add(d LongDouble) bool {
	if l.f.IsInf() || d.f.IsInf() {
		return false
	}
	l.f.Add(l.f, d.f)
	return !l.f.IsInf() && l.f.MantExp(nil) <= 16384
}

// Format prints the number as ld2string does in its human-friendly mode.
func (l LongDouble) Format() []byte {
	s := l.f.Text('f', 17)
	s = strings.TrimRight(s, "0")
	s = strings.TrimSuffix(s, ".")
	if s == "-0" {
		s = "0"
	}
	return []byte(s)
}

// millis returns seconds as milliseconds, rounded up, or reports that they do not fit.
func (l LongDouble) millis() (ms int64, tooLarge bool) {
	p := new(big.Float).SetPrec(longDoublePrec)
	ms, acc := p.Mul(l.f, big.NewFloat(1000)).Int64()
	if acc != big.Exact && (ms == math.MaxInt64 || ms == math.MinInt64) {
		return 0, true
	}
	if acc == big.Below {
		ms++
	}
	return ms, false
}

// IsInf reports whether it is an infinity.
func (l LongDouble) IsInf() bool { return l.f.IsInf() }
