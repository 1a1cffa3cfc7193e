package commands

import (
	"math"
	"strconv"

	"byor/pkg/engine"
	"byor/pkg/resp"
	"byor/pkg/store"
)

func init() {
	key := engine.At(1, 1, 1)
	engine.Register("string", []engine.Command{
		{Name: "get", Arity: 2, Flags: engine.ReadOnly | engine.Fast, Keys: key, Handler: cmdGet},
		{Name: "set", Arity: -3, Flags: engine.Write | engine.DenyOOM, Keys: key, Handler: cmdSet},
		{Name: "setnx", Arity: 3, Flags: engine.Write | engine.DenyOOM | engine.Fast, Keys: key, Event: "set", Handler: cmdSetnx},
		{Name: "setex", Arity: 4, Flags: engine.Write | engine.DenyOOM, Keys: key, Event: "set", Handler: cmdSetex},
		{Name: "psetex", Arity: 4, Flags: engine.Write | engine.DenyOOM, Keys: key, Event: "set", Handler: cmdSetex},
		{Name: "getset", Arity: 3, Flags: engine.Write | engine.DenyOOM | engine.Fast, Keys: key, Event: "set", Handler: cmdGetset},
		{Name: "getdel", Arity: 2, Flags: engine.Write | engine.Fast, Keys: key, Handler: cmdGetdel},
		{Name: "getex", Arity: -2, Flags: engine.Write | engine.Fast, Keys: key, Handler: cmdGetex},
		{Name: "mget", Arity: -2, Flags: engine.ReadOnly | engine.Fast, Keys: engine.At(1, -1, 1), Handler: cmdMget},
		{Name: "mset", Arity: -3, Flags: engine.Write | engine.DenyOOM, Keys: engine.At(1, -1, 2), Event: "set", Handler: cmdMset},
		{Name: "msetnx", Arity: -3, Flags: engine.Write | engine.DenyOOM, Keys: engine.At(1, -1, 2), Event: "set", Handler: cmdMsetnx},
		{Name: "incr", Arity: 2, Flags: engine.Write | engine.DenyOOM | engine.Fast, Keys: key, Event: "incrby", Handler: func(c *engine.Call) { addInt(c, 1) }},
		{Name: "decr", Arity: 2, Flags: engine.Write | engine.DenyOOM | engine.Fast, Keys: key, Event: "incrby", Handler: func(c *engine.Call) { addInt(c, -1) }},
		{Name: "incrby", Arity: 3, Flags: engine.Write | engine.DenyOOM | engine.Fast, Keys: key, Handler: cmdIncrby},
		{Name: "decrby", Arity: 3, Flags: engine.Write | engine.DenyOOM | engine.Fast, Keys: key, Event: "incrby", Handler: cmdDecrby},
		{Name: "incrbyfloat", Arity: 3, Flags: engine.Write | engine.DenyOOM | engine.Fast, Keys: key, Handler: cmdIncrbyfloat},
		{Name: "append", Arity: 3, Flags: engine.Write | engine.DenyOOM | engine.Fast, Keys: key, Handler: cmdAppend},
		{Name: "strlen", Arity: 2, Flags: engine.ReadOnly | engine.Fast, Keys: key, Handler: cmdStrlen},
		{Name: "setrange", Arity: 4, Flags: engine.Write | engine.DenyOOM, Keys: key, Handler: cmdSetrange},
		{Name: "getrange", Arity: 4, Flags: engine.ReadOnly, Keys: key, Handler: cmdGetrange},
		{Name: "substr", Arity: 4, Flags: engine.ReadOnly, Keys: key, Handler: cmdGetrange},
		{Name: "lcs", Arity: -3, Flags: engine.ReadOnly, Keys: engine.At(1, 2, 1), Handler: cmdLcs},
	})
}

// bulkString replies a string value.
func bulkString(c *engine.Call, v *store.String) {
	if n, ok := v.Int(); ok {
		c.Reply.BulkInt(n)
		return
	}
	c.Reply.Bulk(v.View())
}

func cmdGet(c *engine.Call) {
	if v, ok := engine.Read[*store.String](c, c.Args[1]); ok {
		if c.Found(c.Args[1], v != nil) {
			bulkString(c, v)
		} else {
			c.Reply.Null()
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
func (o *setOptions) resolve(c *engine.Call) (ok bool) {
	if o.at > 0 {
		o.atMs, ok = expiryArg(c, o.at, o.seconds, o.absolute)
		return ok
	}
	return true
}

// parseSetOptions parses the options from argument i on. It replies the error and reports false
// when they are wrong. getex allows PERSIST and the expiry options only.
func parseSetOptions(c *engine.Call, i int, getex bool) (o setOptions, ok bool) {
	for ; i < len(c.Args); i++ {
		switch a := engine.CString(c.Args[i]); {
		case !getex && engine.IsWord(a, "nx") && !o.xx:
			o.nx = true
		case !getex && engine.IsWord(a, "xx") && !o.nx:
			o.xx = true
		case !getex && engine.IsWord(a, "get"):
			o.get = true
		case !getex && engine.IsWord(a, "keepttl") && o.at == 0:
			o.keepTTL = true
		case getex && engine.IsWord(a, "persist") && o.at == 0:
			o.persist = true
		case i+1 < len(c.Args) && isExpiryOption(a) && o.takesExpiry(a):
			o.seconds, o.absolute = countsSeconds(a), isAbsolute(a)
			i++
			o.at = i
		default:
			c.Fail(engine.ErrSyntax)
			return o, false
		}
	}
	return o, true
}

// takesExpiry reports whether an expiry option may stand behind those so far. The same one may, and then the last counts.
func (o *setOptions) takesExpiry(a []byte) bool {
	if o.at > 0 {
		return o.seconds == countsSeconds(a) && o.absolute == isAbsolute(a)
	}
	return !o.keepTTL && !o.persist
}

func countsSeconds(option []byte) bool { return option[0]|0x20 == 'e' }

func isAbsolute(option []byte) bool { return len(option) == 4 }

func isExpiryOption(a []byte) bool {
	return engine.IsWord(a, "ex") || engine.IsWord(a, "px") || engine.IsWord(a, "exat") || engine.IsWord(a, "pxat")
}

// expiryArg parses argument i as an expiry time and returns it in Unix milliseconds.
func expiryArg(c *engine.Call, i int, seconds, absolute bool) (int64, bool) {
	n, ok := c.IntArg(i)
	if !ok {
		return 0, false
	}
	if n <= 0 || seconds && n > math.MaxInt64/1000 {
		failExpire(c)
		return 0, false
	}
	if seconds {
		n *= 1000
	}
	if !absolute {
		if n > math.MaxInt64-c.NowMs() {
			failExpire(c)
			return 0, false
		}
		n += c.NowMs()
	}
	return n, true
}

func failExpire(c *engine.Call) {
	c.Fail("ERR invalid expire time in '" + c.Cmd.FullName() + "' command")
}

func cmdSet(c *engine.Call) {
	if len(c.Args) == 3 {
		setString(c, c.Args[1], c.Args[2])
		c.Reply.OK()
		return
	}
	o, ok := parseSetOptions(c, 3, false)
	if !ok || !o.resolve(c) {
		return
	}
	var e *store.Entry
	if o.get {
		v, entry, ok := engine.ReadEntry[*store.String](c, c.Args[1])
		if !ok {
			return
		}
		if e = entry; c.Found(c.Args[1], e != nil) {
			bulkString(c, v)
		} else {
			c.Reply.Null()
		}
	} else if o.nx || o.xx {
		e = c.DB.Peek(c.Args[1])
	}
	if o.nx && e != nil || o.xx && e == nil {
		if !o.get {
			c.Reply.Null()
		}
		return
	}
	setWith(c, o)
	if !o.get {
		c.Reply.OK()
	}
}

// setWith carries out a SET whose conditions hold, and replicates it without what could turn out
// otherwise elsewhere: the expiry time is made absolute, GET dropped.
func setWith(c *engine.Call, o setOptions) {
	key, value := c.Args[1], c.Args[2]
	e := putString(c, key, value, o.keepTTL)
	c.TouchedEntry(e)
	if o.at > 0 {
		setExpiry(c, e, o.atMs) // even if that is past: whoever looks next finds it expired, as in Redis
		c.Replicate([]byte("SET"), key, value, []byte("PXAT"), strconv.AppendInt(nil, o.atMs, 10))
		return
	}
	if !o.get {
		return
	}
	var kept [][]byte
	for i, a := range c.Args {
		if i < 3 || !engine.IsWord(a, "get") {
			kept = append(kept, a)
		}
	}
	c.Replicate(kept...)
}

// putString makes an argument of the running command the value of key.
func putString(c *engine.Call, key, value []byte, keepTTL bool) *store.Entry {
	if len(value) >= resp.LargeBulk && c.Keeps(value) {
		return c.DB.SetTaken(key, value, keepTTL)
	}
	return c.DB.SetString(key, value, keepTTL)
}

// setString is SET without options.
func setString(c *engine.Call, key, value []byte) {
	e := putString(c, key, value, false)
	c.TouchedEntry(e)
}

// setExpiry gives a key that the command has set an expiry time.
func setExpiry(c *engine.Call, e *store.Entry, atMs int64) {
	c.DB.SetExpire(e, atMs)
	c.Tell(engine.ClassKey, "expire", c.Args[1])
}

// expireEntry sets the expiry time, or deletes the key and replicates that when the time is past, and tells of it.
func expireEntry(c *engine.Call, e *store.Entry, atMs int64) {
	key := e.Key()
	if atMs > c.NowMs() || !c.OwnsExpiry() {
		c.DB.SetExpire(e, atMs)
		c.As(engine.ClassKey, "expire").TouchedIn(c.DB, key)
		return
	}
	c.DB.Remove(e)
	c.As(engine.ClassKey, "del").TouchedIn(c.DB, key)
	c.ReplicateExpiry([]byte(key))
}

func cmdSetnx(c *engine.Call) {
	if c.DB.Peek(c.Args[1]) != nil {
		c.Reply.Int(0)
		return
	}
	setString(c, c.Args[1], c.Args[2])
	c.Reply.Int(1)
}

// cmdSetex is SETEX and PSETEX.
func cmdSetex(c *engine.Call) {
	at, ok := expiryArg(c, 2, c.Cmd.Name == "setex", false)
	if !ok {
		return
	}
	key, value := c.Args[1], c.Args[3]
	e := putString(c, key, value, false)
	c.TouchedEntry(e)
	setExpiry(c, e, at)
	c.Replicate([]byte("SET"), key, value, []byte("PXAT"), strconv.AppendInt(nil, at, 10))
	c.Reply.OK()
}

func cmdGetset(c *engine.Call) {
	v, e, ok := engine.ReadEntry[*store.String](c, c.Args[1])
	if !ok {
		return
	}
	if c.Found(c.Args[1], e != nil) {
		bulkString(c, v)
	} else {
		c.Reply.Null()
	}
	setString(c, c.Args[1], c.Args[2])
	c.Replicate([]byte("SET"), c.Args[1], c.Args[2])
}

func cmdGetdel(c *engine.Call) {
	v, e, ok := engine.ReadEntry[*store.String](c, c.Args[1])
	if !ok {
		return
	}
	if !c.Found(c.Args[1], e != nil) {
		c.Reply.Null()
		return
	}
	bulkString(c, v)
	c.Del(c.Args[1])
	c.ReplicateDeletion(c.Args[1])
}

func cmdGetex(c *engine.Call) {
	o, ok := parseSetOptions(c, 2, true)
	if !ok {
		return
	}
	v, e, ok := engine.ReadEntry[*store.String](c, c.Args[1])
	if !ok {
		return
	}
	if !c.Found(c.Args[1], e != nil) {
		c.Reply.Null()
		return
	}
	if !o.resolve(c) {
		return
	}
	bulkString(c, v)
	switch {
	case o.at > 0:
		key := e.Key()
		expireEntry(c, e, o.atMs)
		if o.atMs > c.NowMs() || !c.OwnsExpiry() {
			c.ReplicateStrings("PEXPIREAT", key, itoa(o.atMs))
		}
	case o.persist && c.DB.Persist(e):
		c.As(engine.ClassKey, "persist").TouchedEntry(e)
		c.ReplicateStrings("PERSIST", e.Key())
	}
}

func cmdMget(c *engine.Call) {
	c.Reply.Array(len(c.Args) - 1)
	for _, key := range c.Args[1:] {
		v, err := store.Get[*store.String](c.DB, key)
		if c.Found(key, v != nil || err != nil) && err == nil {
			bulkString(c, v)
		} else {
			c.Reply.Null()
		}
	}
}

func cmdMset(c *engine.Call) {
	if len(c.Args)%2 == 0 {
		c.FailArity()
		return
	}
	for i := 1; i < len(c.Args); i += 2 {
		setString(c, c.Args[i], c.Args[i+1])
	}
	c.Reply.OK()
}

func cmdMsetnx(c *engine.Call) {
	if len(c.Args)%2 == 0 {
		c.FailArity()
		return
	}
	for i := 1; i < len(c.Args); i += 2 {
		if c.DB.Peek(c.Args[i]) != nil {
			c.Reply.Int(0)
			return
		}
	}
	for i := 1; i < len(c.Args); i += 2 {
		setString(c, c.Args[i], c.Args[i+1])
	}
	c.Reply.Int(1)
}
