package server

import (
	"bytes"
	"math"
	"math/big"
	"strconv"
	"strings"

	"byor/pkg/store"
)

// What the commands of the collections share: arguments with a range, and look-ups that count.

// rangeArg parses argument i as an integer from min to max. With a text, that is the error in any
// case; without one, Redis's own.
func (c *Client) rangeArg(i int, min, max int64, text string) (int, bool) {
	n, ok := parseInt(c.args[i])
	switch {
	case ok && n >= min && n <= max:
		return int(n), true
	case text != "":
		c.fail(text)
	case !ok:
		c.fail(errNotInt)
	default:
		c.fail("ERR value is out of range, value must between " + strconv.FormatInt(min, 10) +
			" and " + strconv.FormatInt(max, 10))
	}
	return 0, false
}

// int32Arg parses argument i as C's int: the number of a database.
func (c *Client) int32Arg(i int) (int, bool) { return c.rangeArg(i, math.MinInt32, math.MaxInt32, "") }

// countArg parses argument i as a count that must not be negative.
func (c *Client) countArg(i int) (int, bool) {
	return c.rangeArg(i, 0, math.MaxInt64, errNotPositive)
}

// numKeysArg parses argument i, which says how many keys follow it, and returns those.
func (c *Client) numKeysArg(i int, tooMany string) ([][]byte, bool) {
	n, ok := c.rangeArg(i, 1, math.MaxInt64, "ERR numkeys should be greater than 0")
	if !ok {
		return nil, false
	}
	if n > len(c.args)-i-1 {
		c.fail(tooMany)
		return nil, false
	}
	return c.args[i+1 : i+1+n], true
}

// fetch is read that counts the look-up as a hit or a miss.
func fetch[T store.Value](c *Client, key []byte) (v T, ok bool) {
	e := c.db.Lookup(key)
	if !c.found(e != nil) {
		return v, true
	}
	if v, ok = e.Value().(T); !ok {
		c.fail(errWrongType)
	}
	return v, ok
}

// fetchEdit is edit for a command that Redis counts as one that looks up.
func fetchEdit[T store.Value](c *Client, key []byte) (v T, e *store.Entry, ok bool) {
	v, e, ok = edit[T](c, key)
	c.found(e != nil || !ok)
	return v, e, ok
}

// bulkElem replies an element.
func (c *Client) bulkElem(e store.Elem) {
	if n, isInt := e.Int(); isInt {
		c.w.BulkInt(n)
		return
	}
	c.w.Bulk(e.Bytes())
}

// strtod parses the longest prefix of s that is a number for C's strtod: with leading spaces,
// hexadecimal, "inf" and "nan". It returns how much that is, and whether the number was too large
// or too small for a double.
func strtod(s string) (f float64, n int, outOfRange bool) {
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

// cString returns b up to its first NUL: what C sees of it.
func cString(b []byte) []byte {
	if i := bytes.IndexByte(b, 0); i >= 0 {
		return b[:i]
	}
	return b
}

// underflows reports whether C's strtod, which read f from b, also says that it lost digits because f is
// so small. SORT minds that, nobody else does.
func underflows(b []byte, f float64) bool {
	const smallestNormal = 0x1p-1022
	if f == 0 || math.Abs(f) >= smallestNormal {
		return false
	}
	exact, ok := new(big.Rat).SetString(string(bytes.TrimSpace(b)))
	return !ok || exact.Cmp(new(big.Rat).SetFloat64(f)) != 0
}

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
