package server

import (
	"math"
	"math/big"
	"strconv"
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

// parseLongDouble parses what strtold would, but for spaces, hexadecimal and NaN.
func parseLongDouble(b []byte) (longDouble, bool) {
	s := string(b)
	if len(s) == 0 || len(s) >= maxLongDouble || strings.ContainsAny(s, " _\t\n") {
		return longDouble{}, false
	}
	switch strings.ToLower(strings.TrimLeft(s, "+-")) {
	case "inf", "infinity":
		if _, err := strconv.ParseFloat(s, 64); err != nil {
			return longDouble{}, false
		}
		return longDouble{new(big.Float).SetInf(s[0] == '-')}, true
	}
	f, _, err := big.ParseFloat(s, 10, longDoublePrec, big.ToNearestEven)
	if err != nil || f.MantExp(nil) > 16384 {
		return longDouble{}, false
	}
	return longDouble{f}, true
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
