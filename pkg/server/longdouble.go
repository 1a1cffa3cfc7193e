package server

import (
	"math"
	"math/big"
	"strings"
)

// longDouble is C's long double as Redis uses it for INCRBYFLOAT and HINCRBYFLOAT: a number with
// the 64-bit significand of x87, printed with 17 digits behind the point and no trailing zeros, so
// that 10.50 + 0.1 is 10.6 and not 10.6000000000000014.
type longDouble struct{ f *big.Float }

const longDoublePrec = 64

// maxLongDouble is the length of text from which on Redis reads no long double.
const maxLongDouble = 5 * 1024

func newLongDouble(v float64) longDouble {
	return longDouble{new(big.Float).SetPrec(longDoublePrec).SetFloat64(v)}
}

// parseLongDouble parses a number as Redis's string2ld does: all of it is a number for C's strtold, no
// spaces before it, no NaN, and nothing that a long double cannot hold.
func parseLongDouble(b []byte) (longDouble, bool) {
	if len(b) == 0 || len(b) >= maxLongDouble {
		return longDouble{}, false
	}
	s := string(b)
	sign := 0
	if s[0] == '+' || s[0] == '-' {
		sign = 1
	}
	switch strings.ToLower(s[sign:]) {
	case "inf", "infinity":
		return longDouble{new(big.Float).SetInf(s[0] == '-')}, true
	}
	end, zero := number(s, sign)
	switch {
	case end == sign || end < len(s):
		return longDouble{}, false
	case zero: // with whatever exponent
		return newLongDouble(0), true
	}
	base := 10
	if isHex(s[sign:]) {
		base = 0 // which lets the prefix say it
	}
	f, _, err := big.ParseFloat(s, base, longDoublePrec, big.ToNearestEven)
	if err != nil || !fitsLongDouble(f) {
		return longDouble{}, false
	}
	return longDouble{f}, true
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

// add adds d and reports false when the sum is no finite number.
func (l *longDouble) add(d longDouble) bool {
	if l.f.IsInf() || d.f.IsInf() {
		return false
	}
	l.f.Add(l.f, d.f)
	return !l.f.IsInf() && l.f.MantExp(nil) <= 16384
}

// format prints the number as ld2string does in its human-friendly mode.
func (l longDouble) format() []byte {
	s := l.f.Text('f', 17)
	s = strings.TrimRight(s, "0")
	s = strings.TrimSuffix(s, ".")
	if s == "-0" {
		s = "0"
	}
	return []byte(s)
}

// float returns the nearest double.
func (l longDouble) float() float64 {
	f, _ := l.f.Float64()
	if math.IsNaN(f) {
		return 0
	}
	return f
}

// millis returns seconds as milliseconds, rounded up, or reports that they do not fit.
func (l longDouble) millis() (ms int64, tooLarge bool) {
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
