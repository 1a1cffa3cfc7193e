package server

import "math"

func init() {
	key := Keys{1, 1, 1}
	register("generic", []Command{
		{Name: "expire", Arity: -3, Flags: Write | Fast, Keys: key, Handler: func(c *Client) { c.expire(true, false) }},
		{Name: "pexpire", Arity: -3, Flags: Write | Fast, Keys: key, Handler: func(c *Client) { c.expire(false, false) }},
		{Name: "expireat", Arity: -3, Flags: Write | Fast, Keys: key, Handler: func(c *Client) { c.expire(true, true) }},
		{Name: "pexpireat", Arity: -3, Flags: Write | Fast, Keys: key, Handler: func(c *Client) { c.expire(false, true) }},
		{Name: "ttl", Arity: 2, Flags: ReadOnly | Fast, Keys: key, Handler: func(c *Client) { c.ttl(true, false) }},
		{Name: "pttl", Arity: 2, Flags: ReadOnly | Fast, Keys: key, Handler: func(c *Client) { c.ttl(false, false) }},
		{Name: "expiretime", Arity: 2, Flags: ReadOnly | Fast, Keys: key, Handler: func(c *Client) { c.ttl(true, true) }},
		{Name: "pexpiretime", Arity: 2, Flags: ReadOnly | Fast, Keys: key, Handler: func(c *Client) { c.ttl(false, true) }},
		{Name: "persist", Arity: 2, Flags: Write | Fast, Keys: key, Handler: cmdPersist},
	})
}

// expireConditions are the options of EXPIRE.
type expireConditions struct{ nx, xx, gt, lt bool }

func (c *Client) parseExpireOptions() (o expireConditions, ok bool) {
	for i := 3; i < len(c.args); i++ {
		switch {
		case c.is(i, "nx"):
			o.nx = true
		case c.is(i, "xx"):
			o.xx = true
		case c.is(i, "gt"):
			o.gt = true
		case c.is(i, "lt"):
			o.lt = true
		default:
			c.fail("ERR Unsupported option " + quoted(c.args[i]))
			return o, false
		}
	}
	switch {
	case o.nx && (o.xx || o.gt || o.lt):
		c.fail("ERR NX and XX, GT or LT options at the same time are not compatible")
		return o, false
	case o.gt && o.lt:
		c.fail("ERR GT and LT options at the same time are not compatible")
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
func (c *Client) expire(seconds, absolute bool) {
	o, ok := c.parseExpireOptions()
	if !ok {
		return
	}
	at, ok := c.intArg(2)
	if !ok {
		return
	}
	if seconds {
		if at > math.MaxInt64/1000 || at < math.MinInt64/1000 {
			c.failExpire()
			return
		}
		at *= 1000
	}
	if !absolute {
		if at > math.MaxInt64-c.s.nowMs {
			c.failExpire()
			return
		}
		at += c.s.nowMs
	}
	e := c.db.Lookup(c.args[1])
	if e == nil || !o.allow(c.db.ExpireAt(e), at) {
		c.w.Int(0)
		return
	}
	c.touched(c.args[1])
	c.expireEntry(e, at)
	if at > c.s.nowMs || !c.s.expires() {
		c.replicate(append([][]byte{[]byte("PEXPIREAT"), c.args[1], []byte(itoa(at))}, c.args[3:]...)...)
	}
	c.w.Int(1)
}

// ttl is TTL, PTTL, EXPIRETIME and PEXPIRETIME.
func (c *Client) ttl(seconds, absolute bool) {
	e := c.db.Peek(c.args[1])
	if !c.found(e != nil) {
		c.w.Int(-2)
		return
	}
	at := c.db.ExpireAt(e)
	if at == -1 {
		c.w.Int(-1)
		return
	}
	if !absolute {
		at = max(0, at-c.s.nowMs)
	}
	if seconds { // rounded; a sum would overflow at the end of time
		at = at/1000 + (at%1000+500)/1000
	}
	c.w.Int(at)
}

func cmdPersist(c *Client) {
	e := c.db.Lookup(c.args[1])
	if e == nil || !c.db.Persist(e) {
		c.w.Int(0)
		return
	}
	c.touched(c.args[1])
	c.w.Int(1)
}
