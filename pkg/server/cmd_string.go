package server

import (
	"math"
	"strconv"

	"byor/pkg/resp"
	"byor/pkg/store"
)

func init() {
	key := Keys{1, 1, 1}
	register("string", []Command{
		{Name: "get", Arity: 2, Flags: ReadOnly | Fast, Keys: key, Handler: cmdGet},
		{Name: "set", Arity: -3, Flags: Write | DenyOOM, Keys: key, Handler: cmdSet},
		{Name: "setnx", Arity: 3, Flags: Write | DenyOOM | Fast, Keys: key, Handler: cmdSetnx},
		{Name: "setex", Arity: 4, Flags: Write | DenyOOM, Keys: key, Handler: cmdSetex},
		{Name: "psetex", Arity: 4, Flags: Write | DenyOOM, Keys: key, Handler: cmdSetex},
		{Name: "getset", Arity: 3, Flags: Write | DenyOOM | Fast, Keys: key, Handler: cmdGetset},
		{Name: "getdel", Arity: 2, Flags: Write | Fast, Keys: key, Handler: cmdGetdel},
		{Name: "getex", Arity: -2, Flags: Write | Fast, Keys: key, Handler: cmdGetex},
		{Name: "mget", Arity: -2, Flags: ReadOnly | Fast, Keys: Keys{1, -1, 1}, Handler: cmdMget},
		{Name: "mset", Arity: -3, Flags: Write | DenyOOM, Keys: Keys{1, -1, 2}, Handler: cmdMset},
		{Name: "msetnx", Arity: -3, Flags: Write | DenyOOM, Keys: Keys{1, -1, 2}, Handler: cmdMsetnx},
		{Name: "incr", Arity: 2, Flags: Write | DenyOOM | Fast, Keys: key, Handler: func(c *Client) { c.addInt(1) }},
		{Name: "decr", Arity: 2, Flags: Write | DenyOOM | Fast, Keys: key, Handler: func(c *Client) { c.addInt(-1) }},
		{Name: "incrby", Arity: 3, Flags: Write | DenyOOM | Fast, Keys: key, Handler: cmdIncrby},
		{Name: "decrby", Arity: 3, Flags: Write | DenyOOM | Fast, Keys: key, Handler: cmdDecrby},
		{Name: "incrbyfloat", Arity: 3, Flags: Write | DenyOOM | Fast, Keys: key, Handler: cmdIncrbyfloat},
		{Name: "append", Arity: 3, Flags: Write | DenyOOM | Fast, Keys: key, Handler: cmdAppend},
		{Name: "strlen", Arity: 2, Flags: ReadOnly | Fast, Keys: key, Handler: cmdStrlen},
		{Name: "setrange", Arity: 4, Flags: Write | DenyOOM, Keys: key, Handler: cmdSetrange},
		{Name: "getrange", Arity: 4, Flags: ReadOnly, Keys: key, Handler: cmdGetrange},
		{Name: "substr", Arity: 4, Flags: ReadOnly, Keys: key, Handler: cmdGetrange},
		{Name: "lcs", Arity: -3, Flags: ReadOnly, Keys: Keys{1, 2, 1}, Handler: cmdLcs},
	})
}

// bulkString replies a string value.
func (c *Client) bulkString(v *store.String) {
	if n, ok := v.Int(); ok {
		c.w.BulkInt(n)
		return
	}
	c.w.Bulk(v.View())
}

// found counts a look-up for INFO's keyspace_hits and keyspace_misses and passes it on.
func (c *Client) found(was bool) bool {
	if was {
		c.s.stats.hits++
	} else {
		c.s.stats.misses++
	}
	return was
}

func cmdGet(c *Client) {
	if v, ok := read[*store.String](c, c.args[1]); ok {
		if c.found(v != nil) {
			c.bulkString(v)
		} else {
			c.w.Null()
		}
	}
}

// setOptions are what SET and GETEX say after the value.
type setOptions struct {
	nx, xx, get, keepTTL, persist bool
	at                            int // the argument with the expiry time, 0 for none
	seconds, absolute             bool
	atMs                          int64 // the expiry time in Unix milliseconds, after resolve
}

// resolve works out the expiry time, where there is one. It replies an error and reports false when
// it is none.
func (o *setOptions) resolve(c *Client) (ok bool) {
	if o.at > 0 {
		o.atMs, ok = c.expiryArg(o.at, o.seconds, o.absolute)
		return ok
	}
	return true
}

// parseSetOptions parses the options from argument i on. It replies the error and reports false
// when they are wrong. getex allows PERSIST and the expiry options only.
func (c *Client) parseSetOptions(i int, getex bool) (o setOptions, ok bool) {
	for ; i < len(c.args); i++ {
		timed := o.at > 0 || o.keepTTL || o.persist
		switch a := cString(c.args[i]); {
		case !getex && isWord(a, "nx") && !o.xx:
			o.nx = true
		case !getex && isWord(a, "xx") && !o.nx:
			o.xx = true
		case !getex && isWord(a, "get"):
			o.get = true
		case !getex && isWord(a, "keepttl") && o.at == 0:
			o.keepTTL = true
		case getex && isWord(a, "persist") && o.at == 0:
			o.persist = true
		case i+1 < len(c.args) && !timed && isExpiryOption(a):
			o.seconds, o.absolute = a[0]|0x20 == 'e', len(a) == 4
			i++
			o.at = i
		default:
			c.fail(errSyntax)
			return o, false
		}
	}
	return o, true
}

func isExpiryOption(a []byte) bool {
	return isWord(a, "ex") || isWord(a, "px") || isWord(a, "exat") || isWord(a, "pxat")
}

// expiryArg parses argument i as an expiry time and returns it in Unix milliseconds.
func (c *Client) expiryArg(i int, seconds, absolute bool) (int64, bool) {
	n, ok := c.intArg(i)
	if !ok {
		return 0, false
	}
	if n <= 0 || seconds && n > math.MaxInt64/1000 {
		c.failExpire()
		return 0, false
	}
	if seconds {
		n *= 1000
	}
	if !absolute {
		if n > math.MaxInt64-c.s.nowMs {
			c.failExpire()
			return 0, false
		}
		n += c.s.nowMs
	}
	return n, true
}

func (c *Client) failExpire() {
	c.fail("ERR invalid expire time in '" + c.cmd.full + "' command")
}

func cmdSet(c *Client) {
	if len(c.args) == 3 {
		c.setString(c.args[1], c.args[2])
		c.w.OK()
		return
	}
	o, ok := c.parseSetOptions(3, false)
	if !ok || !o.resolve(c) {
		return
	}
	var e *store.Entry
	if o.get {
		v, entry, ok := edit[*store.String](c, c.args[1])
		if !ok {
			return
		}
		if e = entry; c.found(e != nil) {
			c.bulkString(v)
		} else {
			c.w.Null()
		}
	} else if o.nx || o.xx {
		e = c.db.Peek(c.args[1])
	}
	if o.nx && e != nil || o.xx && e == nil {
		if !o.get {
			c.w.Null()
		}
		return
	}
	c.setWith(o)
	if !o.get {
		c.w.OK()
	}
}

// setWith carries out a SET whose conditions hold, and replicates it without what could turn out
// otherwise elsewhere: the expiry time is made absolute, GET dropped.
func (c *Client) setWith(o setOptions) {
	key, value := c.args[1], c.args[2]
	e := c.putString(key, value, o.keepTTL)
	c.s.touched(c.db, e.Key())
	if o.at > 0 {
		c.db.SetExpire(e, o.atMs) // even if that is past: whoever looks next finds it expired, as in Redis
		c.replicate([]byte("SET"), key, value, []byte("PXAT"), strconv.AppendInt(nil, o.atMs, 10))
		return
	}
	if !o.get {
		return
	}
	var kept [][]byte
	for i, a := range c.args {
		if i < 3 || !isWord(a, "get") {
			kept = append(kept, a)
		}
	}
	c.replicate(kept...)
}

// putString makes an argument of the running command the value of key.
func (c *Client) putString(key, value []byte, keepTTL bool) *store.Entry {
	if len(value) >= resp.LargeBulk && c.takes(value) {
		return c.db.SetTaken(key, value, keepTTL)
	}
	return c.db.SetString(key, value, keepTTL)
}

// setString is SET without options.
func (c *Client) setString(key, value []byte) {
	e := c.putString(key, value, false)
	c.s.touched(c.db, e.Key())
}

// expires reports whether a key whose time has come is deleted here, rather than by the master.
func (s *Server) expires() bool { return !s.loading && !s.isReplica() }

// expireEntry sets the expiry time, or deletes the key and replicates that when the time is past.
func (c *Client) expireEntry(e *store.Entry, atMs int64) {
	if atMs > c.s.nowMs || !c.s.expires() {
		c.db.SetExpire(e, atMs)
		return
	}
	key := e.Key()
	c.db.Remove(e)
	c.replicate(deletion(c.s.cfg.LazyExpire), []byte(key))
}

func cmdSetnx(c *Client) {
	if c.db.Peek(c.args[1]) != nil {
		c.w.Int(0)
		return
	}
	c.setString(c.args[1], c.args[2])
	c.w.Int(1)
}

// cmdSetex is SETEX and PSETEX.
func cmdSetex(c *Client) {
	at, ok := c.expiryArg(2, c.cmd.Name == "setex", false)
	if !ok {
		return
	}
	key, value := c.args[1], c.args[3]
	e := c.putString(key, value, false)
	c.s.touched(c.db, e.Key())
	c.expireEntry(e, at)
	c.replicate([]byte("SET"), key, value, []byte("PXAT"), strconv.AppendInt(nil, at, 10))
	c.w.OK()
}

func cmdGetset(c *Client) {
	v, e, ok := edit[*store.String](c, c.args[1])
	if !ok {
		return
	}
	if c.found(e != nil) {
		c.bulkString(v)
	} else {
		c.w.Null()
	}
	c.setString(c.args[1], c.args[2])
	c.replicate([]byte("SET"), c.args[1], c.args[2])
}

func cmdGetdel(c *Client) {
	v, e, ok := edit[*store.String](c, c.args[1])
	if !ok {
		return
	}
	if !c.found(e != nil) {
		c.w.Null()
		return
	}
	c.bulkString(v)
	c.del(c.args[1])
	c.replicate(deletion(c.s.cfg.LazyUserDel), c.args[1])
}

func cmdGetex(c *Client) {
	o, ok := c.parseSetOptions(2, true)
	if !ok {
		return
	}
	v, e, ok := edit[*store.String](c, c.args[1])
	if !ok {
		return
	}
	if !c.found(e != nil) {
		c.w.Null()
		return
	}
	if !o.resolve(c) {
		return
	}
	c.bulkString(v)
	switch {
	case o.at > 0:
		key := e.Key()
		c.s.touched(c.db, key)
		c.expireEntry(e, o.atMs)
		if o.atMs > c.s.nowMs || !c.s.expires() {
			c.replicateStrings("PEXPIREAT", key, itoa(o.atMs))
		}
	case o.persist && c.db.Persist(e):
		c.s.touched(c.db, e.Key())
		c.replicateStrings("PERSIST", e.Key())
	}
}

func cmdMget(c *Client) {
	c.w.Array(len(c.args) - 1)
	for _, key := range c.args[1:] {
		v, err := store.Get[*store.String](c.db, key)
		if c.found(v != nil) && err == nil {
			c.bulkString(v)
		} else {
			c.w.Null()
		}
	}
}

func cmdMset(c *Client) {
	if len(c.args)%2 == 0 {
		c.failArity()
		return
	}
	for i := 1; i < len(c.args); i += 2 {
		c.setString(c.args[i], c.args[i+1])
	}
	c.w.OK()
}

func cmdMsetnx(c *Client) {
	if len(c.args)%2 == 0 {
		c.failArity()
		return
	}
	for i := 1; i < len(c.args); i += 2 {
		if c.db.Peek(c.args[i]) != nil {
			c.w.Int(0)
			return
		}
	}
	for i := 1; i < len(c.args); i += 2 {
		c.setString(c.args[i], c.args[i+1])
	}
	c.w.Int(1)
}

func cmdIncrby(c *Client) {
	if n, ok := c.intArg(2); ok {
		c.addInt(n)
	}
}

func cmdDecrby(c *Client) {
	n, ok := c.intArg(2)
	if !ok {
		return
	}
	if n == math.MinInt64 {
		c.fail("ERR decrement would overflow")
		return
	}
	c.addInt(-n)
}

func (c *Client) addInt(delta int64) {
	v, e, ok := edit[*store.String](c, c.args[1])
	if !ok {
		return
	}
	if e == nil {
		c.set(c.args[1], store.NewInt(delta))
		c.w.Int(delta)
		return
	}
	n, isInt, fits := v.AddInt(delta)
	switch {
	case !isInt:
		c.fail(errNotInt)
		return
	case !fits:
		c.fail("ERR increment or decrement would overflow")
		return
	}
	c.changed(e)
	c.w.Int(n)
}

func cmdIncrbyfloat(c *Client) {
	v, e, ok := edit[*store.String](c, c.args[1])
	if !ok {
		return
	}
	sum := newLongDouble(0)
	if e != nil {
		if sum, ok = parseLongDouble(v.View()); !ok {
			c.fail(errNotFloat)
			return
		}
	}
	delta, ok := parseLongDouble(c.args[2])
	if !ok {
		c.fail(errNotFloat)
		return
	}
	if !sum.add(delta) {
		c.fail("ERR increment would produce NaN or Infinity")
		return
	}
	text := sum.format()
	entry := c.db.SetKeepTTL(c.args[1], store.NewPlainString(text))
	c.s.touched(c.db, entry.Key())
	c.replicate([]byte("SET"), c.args[1], text, []byte("KEEPTTL"))
	c.w.Bulk(text)
}

const errTooLong = "ERR string exceeds maximum allowed size (proto-max-bulk-len)"

func cmdAppend(c *Client) {
	v, e, ok := edit[*store.String](c, c.args[1])
	if !ok {
		return
	}
	if e == nil {
		c.setString(c.args[1], c.args[2])
		c.w.Int(int64(len(c.args[2])))
		return
	}
	if int64(v.Len()+len(c.args[2])) > c.s.cfg.ProtoMaxBulkLen {
		c.fail(errTooLong)
		return
	}
	n := v.AppendBytes(c.args[2])
	c.changed(e)
	c.w.Int(int64(n))
}

func cmdStrlen(c *Client) {
	v, ok := read[*store.String](c, c.args[1])
	if !ok {
		return
	}
	if !c.found(v != nil) {
		c.w.Int(0)
		return
	}
	c.w.Int(int64(v.Len()))
}

func cmdSetrange(c *Client) {
	off, ok := c.intArg(2)
	if !ok {
		return
	}
	if off < 0 {
		c.fail("ERR offset is out of range")
		return
	}
	patch := c.args[3]
	v, e, ok := editOrCreate(c, c.args[1], func() *store.String { return store.NewString(nil) })
	if !ok {
		return
	}
	if len(patch) == 0 {
		c.w.Int(int64(v.Len()))
		return
	}
	if off > c.s.cfg.ProtoMaxBulkLen-int64(len(patch)) {
		c.fail(errTooLong)
		return
	}
	b := v.Grow(int(off) + len(patch))
	copy(b[off:], patch)
	c.put(c.args[1], e, v)
	c.w.Int(int64(len(b)))
}

func cmdGetrange(c *Client) {
	from, ok := c.intArg(2)
	if !ok {
		return
	}
	to, ok := c.intArg(3)
	if !ok {
		return
	}
	v, ok := read[*store.String](c, c.args[1])
	if !ok {
		return
	}
	if !c.found(v != nil) {
		c.w.BulkString("")
		return
	}
	b := v.View()
	n := int64(len(b))
	if from < 0 && to < 0 && from > to {
		c.w.BulkString("")
		return
	}
	from, to = clampRange(from, to, n)
	if n == 0 || from > to {
		c.w.BulkString("")
		return
	}
	c.w.Bulk(b[from : to+1])
}

// clampRange turns indexes that may be negative (counted from the end) into ones within [0, n).
func clampRange(from, to, n int64) (int64, int64) {
	if from < 0 {
		from = max(0, from+n)
	}
	if to < 0 {
		to = max(0, to+n)
	}
	return from, min(to, n-1)
}
