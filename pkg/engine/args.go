package engine

import (
	"bytes"
	"math"
	"strconv"

	"byor/pkg/resp"
)

// What handlers and error texts make of arguments: numbers with a range, words in any case. Redis reads them
// with C's functions, which stop at a NUL.

// IntArg parses argument i; it replies an error and reports false when that is no integer.
func (c *Call) IntArg(i int) (int64, bool) {
	n, ok := resp.ParseInt(c.Args[i])
	if !ok {
		c.Fail(ErrNotInt)
	}
	return n, ok
}

// FloatArg is IntArg for floating-point numbers.
func (c *Call) FloatArg(i int) (float64, bool) {
	f, ok := ParseFloat(c.Args[i])
	if !ok {
		c.Fail(ErrNotFloat)
	}
	return f, ok
}

// Is reports whether argument i is the word, given in lower case, in any case.
func (c *Call) Is(i int, lower string) bool { return IsWord(c.Args[i], lower) }

// IsWord reports whether b is the word of an option, given in lower case, in any case: as C compares,
// which sees nothing behind a NUL.
func IsWord(b []byte, lower string) bool {
	if len(b) > len(lower) && b[len(lower)] == 0 {
		b = b[:len(lower)]
	}
	return EqualFold(b, lower)
}

// RangeArg parses argument i as an integer from min to max. With a text, that is the error in any
// case; without one, Redis's own.
func (c *Call) RangeArg(i int, min, max int64, text string) (int, bool) {
	n, ok := resp.ParseInt(c.Args[i])
	switch {
	case ok && n >= min && n <= max:
		return int(n), true
	case text != "":
		c.Fail(text)
	case !ok:
		c.Fail(ErrNotInt)
	default:
		c.Fail("ERR value is out of range, value must between " + strconv.FormatInt(min, 10) +
			" and " + strconv.FormatInt(max, 10))
	}
	return 0, false
}

// Int32Arg parses argument i as C's int: the number of a database.
func (c *Call) Int32Arg(i int) (int, bool) { return c.RangeArg(i, math.MinInt32, math.MaxInt32, "") }

// CountArg parses argument i as a count that must not be negative.
func (c *Call) CountArg(i int) (int, bool) {
	return c.RangeArg(i, 0, math.MaxInt64, ErrNotPositive)
}

// NumKeysArg parses argument i, which says how many keys follow it, and returns those.
func (c *Call) NumKeysArg(i int, tooMany string) ([][]byte, bool) {
	n, ok := c.RangeArg(i, 1, math.MaxInt64, "ERR numkeys should be greater than 0")
	if !ok {
		return nil, false
	}
	if n > len(c.Args)-i-1 {
		c.Fail(tooMany)
		return nil, false
	}
	return c.Args[i+1 : i+1+n], true
}

// MillisArg parses argument i as a timeout in milliseconds, which has no fraction.
func (c *Call) MillisArg(i int) (ms int64, ok bool) {
	ms, ok = resp.ParseInt(c.Args[i])
	switch {
	case !ok:
		c.Fail("ERR timeout is not an integer or out of range")
	case ms < 0:
		c.Fail(ErrTimeoutNeg)
		return 0, false
	}
	return ms, ok
}

// TimeoutArg parses argument i as a timeout in seconds, which may have a fraction, and returns the
// deadline in Unix milliseconds, 0 for none.
func (c *Call) TimeoutArg(i int) (deadlineMs int64, ok bool) {
	d, ok := ParseLongDouble(c.Args[i])
	if !ok {
		c.Fail(errTimeoutNotNum)
		return 0, false
	}
	ms, tooLarge := d.millis()
	if ms < 0 || tooLarge { // too large for Redis's integer is negative there
		c.Fail(ErrTimeoutNeg)
		return 0, false
	}
	if ms == 0 {
		return 0, true
	}
	return c.After(ms), true
}

// Upper returns b with ASCII letters in upper case.
func Upper(b []byte) string {
	u := make([]byte, len(b))
	for i, ch := range b {
		if ch >= 'a' && ch <= 'z' {
			ch -= 'a' - 'A'
		}
		u[i] = ch
	}
	return string(u)
}

// Clip returns at most n bytes of b, up to its first NUL: Redis's errors are printed with C's %s.
func Clip(b []byte, n int) string {
	b = CString(b)
	return string(b[:min(n, len(b))])
}

// Quoted returns b as C sees it: up to its first NUL. So error texts quote it, and "+" and its like are recognised.
func Quoted(b []byte) string { return string(CString(b)) }

// CString returns b up to its first NUL: what C sees of it.
func CString(b []byte) []byte {
	if i := bytes.IndexByte(b, 0); i >= 0 {
		return b[:i]
	}
	return b
}

// KeepArgs returns arguments that stay when the client's input is read on: copies, but for large ones,
// which are taken. Each large one has memory of its own.
func (c *Session) KeepArgs(args [][]byte) [][]byte {
	n := 0
	for _, a := range args {
		if len(a) < resp.LargeBulk {
			n += len(a)
		}
	}
	small := make([]byte, 0, n)
	kept := make([][]byte, len(args))
	for i, a := range args {
		switch {
		case len(a) < resp.LargeBulk:
			small = append(small, a...)
			kept[i] = small[len(small)-len(a) : len(small) : len(small)]
		case c.peer.TakeArg(a):
			kept[i] = a
		default:
			kept[i] = append(make([]byte, 0, len(a)), a...)[:len(a):len(a)]
		}
	}
	return kept
}

// ArgsMem returns the memory of arguments that were kept.
func ArgsMem(args [][]byte) int64 {
	n := 24*len(args) + 32
	for _, a := range args {
		n += len(a)
	}
	return int64(n)
}
