package server

import (
	"math"

	"byor/pkg/resp"
	"byor/pkg/store"
)

// Error texts that many commands share, as real Redis words them.
const (
	errSyntax        = "ERR syntax error"
	errNotInt        = "ERR value is not an integer or out of range"
	errNotFloat      = "ERR value is not a valid float"
	errWrongType     = "WRONGTYPE Operation against a key holding the wrong kind of value"
	errNoKey         = "ERR no such key"
	errIndexRange    = "ERR index out of range"
	errTimeoutNotNum = "ERR timeout is not a float or out of range"
	errTimeoutNeg    = "ERR timeout is negative"
	errNotPositive   = "ERR value is out of range, must be positive"
	errDBIndex       = "ERR DB index is out of range"
)

// fail replies an error and counts it. msg opens with its code.
func (c *Client) fail(msg string) {
	c.failed = true
	c.s.countError(msg)
	if c.flags&(flagMaster|flagFake|flagReplica) != 0 {
		c.s.stats.unexpectedErrors++
	}
	c.w.Error(msg)
}

// failArity replies that the command that is running was given the wrong number of arguments.
func (c *Client) failArity() {
	c.fail("ERR wrong number of arguments for '" + c.cmd.full + "' command")
}

// failSubcommand replies that a container has no such subcommand or not with so many arguments.
func (c *Client) failSubcommand() {
	c.fail("ERR unknown subcommand or wrong number of arguments for '" + clip(c.args[1], 128) +
		"'. Try " + upper(c.args[0]) + " HELP.")
}

// help replies the lines of a HELP subcommand in Redis's frame.
func (c *Client) help(lines ...string) {
	c.w.Array(len(lines) + 3)
	c.w.SimpleString(upper(c.args[0]) + " <subcommand> [<arg> [value] [opt] ...]. Subcommands are:")
	for _, l := range lines {
		c.w.SimpleString(l)
	}
	c.w.SimpleString("HELP")
	c.w.SimpleString("    Prints this help.")
}

func upper(b []byte) string {
	u := make([]byte, len(b))
	for i, ch := range b {
		if ch >= 'a' && ch <= 'z' {
			ch -= 'a' - 'A'
		}
		u[i] = ch
	}
	return string(u)
}

// clip returns at most n bytes of b, up to its first NUL: Redis's errors are printed with C's %s.
func clip(b []byte, n int) string {
	b = cString(b)
	return string(b[:min(n, len(b))])
}

// quoted returns b as C sees it: up to its first NUL. So error texts quote it, and "+" and its like are recognised.
func quoted(b []byte) string { return string(cString(b)) }

func parseInt(b []byte) (int64, bool) { return resp.ParseInt(b) }

// parseFloat parses a double as Redis's getDoubleFromObject does: all of it, no spaces before it, no
// NaN, and nothing that a double cannot hold.
func parseFloat(b []byte) (float64, bool) {
	if n, ok := parseInt(b); ok && len(b) < 16 {
		return float64(n), true
	}
	if len(b) == 0 || b[0] == ' ' || b[0] >= '\t' && b[0] <= '\r' {
		return 0, false
	}
	f, n, outOfRange := strtod(string(b))
	return f, n == len(b) && !outOfRange && !math.IsNaN(f)
}

// intArg parses argument i; it replies an error and reports false when that is no integer.
func (c *Client) intArg(i int) (int64, bool) {
	n, ok := parseInt(c.args[i])
	if !ok {
		c.fail(errNotInt)
	}
	return n, ok
}

// floatArg is intArg for floating-point numbers.
func (c *Client) floatArg(i int) (float64, bool) {
	f, ok := parseFloat(c.args[i])
	if !ok {
		c.fail(errNotFloat)
	}
	return f, ok
}

// is reports whether argument i is the word, given in lower case, in any case.
func (c *Client) is(i int, lower string) bool { return isWord(c.args[i], lower) }

// isWord reports whether b is the word of an option, given in lower case, in any case: as C compares,
// which sees nothing behind a NUL.
func isWord(b []byte, lower string) bool {
	if len(b) > len(lower) && b[len(lower)] == 0 {
		b = b[:len(lower)]
	}
	return equalFold(b, lower)
}

// read returns the value of key, nil when it is absent. It replies WRONGTYPE and reports false
// when the key holds another type.
func read[T store.Value](c *Client, key []byte) (T, bool) {
	v, err := store.Get[T](c.db, key)
	if err != nil {
		c.fail(errWrongType)
		return v, false
	}
	return v, true
}

// edit is read for a value that the handler may change; the entry is nil when the key is absent.
func edit[T store.Value](c *Client, key []byte) (T, *store.Entry, bool) {
	v, e, err := store.Edit[T](c.db, key)
	if err != nil {
		c.fail(errWrongType)
		return v, nil, false
	}
	return v, e, true
}

// editOrCreate is edit that makes a new value where the key is absent. The new value is not in
// the database yet: when something was put into it, call c.store(key, v), else forget it.
func editOrCreate[T store.Value](c *Client, key []byte, create func() T) (v T, e *store.Entry, ok bool) {
	v, e, ok = edit[T](c, key)
	if ok && e == nil {
		v = create()
	}
	return v, e, ok
}

// changed tells that the entry's value was changed.
func (c *Client) changed(e *store.Entry) {
	c.db.Changed(e)
	c.s.touched(c.db, e.Key())
}

// counts makes a command that was counted as one change count as n, for the save points. Redis counts
// elements: RPUSH of a thousand is a thousand changes.
func (c *Client) counts(n int) { c.s.dirty += int64(n - 1) }

// touched tells that key was created, replaced or deleted.
func (c *Client) touched(key []byte) { c.s.touched(c.db, string(key)) }

// set makes v the value of key, without expiry, and tells of it.
func (c *Client) set(key []byte, v store.Value) *store.Entry {
	e := c.db.Set(key, v)
	c.s.touched(c.db, e.Key())
	return e
}

// put tells that v, got from editOrCreate with e, was changed: it stores a new one.
func (c *Client) put(key []byte, e *store.Entry, v store.Value) {
	if e == nil {
		c.set(key, v)
		return
	}
	c.changed(e)
}

// removeIfEmpty tells that the entry's value was changed, or deletes the entry when nothing is
// left in it, as Redis keeps no empty collections. It reports whether it deleted it.
func (c *Client) removeIfEmpty(e *store.Entry, length int) bool {
	if length > 0 {
		c.changed(e)
		return false
	}
	key := e.Key()
	c.db.Remove(e)
	c.s.touched(c.db, key)
	return true
}

// del deletes key, tells of it, and reports whether it was there.
func (c *Client) del(key []byte) bool {
	if !c.db.Delete(key) {
		return false
	}
	c.touched(key)
	return true
}
