package commands

import (
	"math"

	"byor/pkg/engine"
)

func init() {
	key := engine.At(1, 1, 1)
	engine.Register("generic", []engine.Command{
		{Name: "expire", Arity: -3, Flags: engine.Write | engine.Fast, Keys: key, Handler: func(c *engine.Call) { expire(c, true, false) }},
		{Name: "pexpire", Arity: -3, Flags: engine.Write | engine.Fast, Keys: key, Event: "expire", Handler: func(c *engine.Call) { expire(c, false, false) }},
		{Name: "expireat", Arity: -3, Flags: engine.Write | engine.Fast, Keys: key, Event: "expire", Handler: func(c *engine.Call) { expire(c, true, true) }},
		{Name: "pexpireat", Arity: -3, Flags: engine.Write | engine.Fast, Keys: key, Event: "expire", Handler: func(c *engine.Call) { expire(c, false, true) }},
		{Name: "ttl", Arity: 2, Flags: engine.ReadOnly | engine.Fast, Keys: key, Handler: func(c *engine.Call) { ttl(c, true, false) }},
		{Name: "pttl", Arity: 2, Flags: engine.ReadOnly | engine.Fast, Keys: key, Handler: func(c *engine.Call) { ttl(c, false, false) }},
		{Name: "expiretime", Arity: 2, Flags: engine.ReadOnly | engine.Fast, Keys: key, Handler: func(c *engine.Call) { ttl(c, true, true) }},
		{Name: "pexpiretime", Arity: 2, Flags: engine.ReadOnly | engine.Fast, Keys: key, Handler: func(c *engine.Call) { ttl(c, false, true) }},
		{Name: "persist", Arity: 2, Flags: engine.Write | engine.Fast, Keys: key, Handler: cmdPersist},
	})
}

// expireConditions are the options of EXPIRE.
type expireConditions struct{ nx, xx, gt, lt bool }

func parseExpireOptions(c *engine.Call) (o expireConditions, ok bool) {
	for i := 3; i < len(c.Args); i++ {
		switch {
		case c.Is(i, "nx"):
			o.nx = true
		case c.Is(i, "xx"):
			o.xx = true
		case c.Is(i, "gt"):
			o.gt = true
		case c.Is(i, "lt"):
			o.lt = true
		default:
			c.Fail("ERR Unsupported option " + engine.Quoted(c.Args[i]))
			return o, false
		}
	}
	switch {
	case o.nx && (o.xx || o.gt || o.lt):
		c.Fail("ERR NX and XX, GT or LT options at the same time are not compatible")
		return o, false
	case o.gt && o.lt:
		c.Fail("ERR GT and LT options at the same time are not compatible")
		return o, false
	}
	return o, true
}

// allow reports whether the expiry time may be changed from old (-1: none) to at.
func (o expireConditions) allow(old, at int64) bool {
	switch {
	case o.nx && old != -1, o.xx && old == -1:
		return false
	case o.gt && (old == -1 || at <= old): // no expiry time counts as infinite
		return false
	case o.lt && old != -1 && at >= old:
		return false
	}
	return true
}

// expire is EXPIRE and its three sisters.
func expire(c *engine.Call, seconds, absolute bool) {
	o, ok := parseExpireOptions(c)
	if !ok {
		return
	}
	at, ok := c.IntArg(2)
	if !ok {
		return
	}
	if seconds {
		if at > math.MaxInt64/1000 || at < math.MinInt64/1000 {
			failExpire(c)
			return
		}
		at *= 1000
	}
	if !absolute {
		if at > math.MaxInt64-c.NowMs() {
			failExpire(c)
			return
		}
		at += c.NowMs()
	}
	e := c.DB.Lookup(c.Args[1])
	if e == nil || !o.allow(c.DB.ExpireAt(e), at) {
		c.Reply.Int(0)
		return
	}
	c.Reply.Int(1)
	expireEntry(c, e, at)
	if at > c.NowMs() || !c.OwnsExpiry() {
		c.Replicate(append([][]byte{[]byte("PEXPIREAT"), c.Args[1], []byte(itoa(at))}, c.Args[3:]...)...)
	}
}

// ttl is TTL, PTTL, EXPIRETIME and PEXPIRETIME.
func ttl(c *engine.Call, seconds, absolute bool) {
	e := c.DB.Peek(c.Args[1])
	if !c.Found(c.Args[1], e != nil) {
		c.Reply.Int(-2)
		return
	}
	at := c.DB.ExpireAt(e)
	if at == -1 {
		c.Reply.Int(-1)
		return
	}
	if !absolute {
		at = max(0, at-c.NowMs())
	}
	if seconds { // rounded; a sum would overflow at the end of time
		at = at/1000 + (at%1000+500)/1000
	}
	c.Reply.Int(at)
}

func cmdPersist(c *engine.Call) {
	e := c.DB.Lookup(c.Args[1])
	if e == nil || !c.DB.Persist(e) {
		c.Reply.Int(0)
		return
	}
	c.Touched(c.Args[1])
	c.Reply.Int(1)
}
