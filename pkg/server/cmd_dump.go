package server

import (
	"errors"
	"math"
	"strconv"

	"byor/pkg/rdb"
)

func init() {
	key := Keys{1, 1, 1}
	register("generic", []Command{
		{Name: "dump", Arity: 2, Flags: ReadOnly, Keys: key, Handler: cmdDump},
		{Name: "restore", Arity: -4, Flags: Write | DenyOOM, Keys: key, Handler: cmdRestore},
	})
	register("server", []Command{ // what MIGRATE sends inside a cluster
		{Name: "restore-asking", Arity: -4, Flags: Write | DenyOOM | Asking, Keys: key, Handler: cmdRestore},
	})
}

func cmdDump(c *Client) {
	e := c.db.Lookup(c.args[1])
	if !c.found(e != nil) {
		c.w.Null()
		return
	}
	c.w.Bulk(rdb.Dump(e.Value()))
}

// restoreOptions are those of RESTORE.
type restoreOptions struct {
	replace, absolute bool
	idleSec, freq     int64 // -1: not given
}

func (c *Client) parseRestore() (o restoreOptions, ok bool) {
	o.idleSec, o.freq = -1, -1
	for i := 4; i < len(c.args); i++ {
		more := i+1 < len(c.args)
		switch {
		case c.is(i, "replace"):
			o.replace = true
		case c.is(i, "absttl"):
			o.absolute = true
		case c.is(i, "idletime") && more && o.freq < 0:
			i++
			if o.idleSec, ok = c.intArg(i); !ok {
				return o, false
			}
			if o.idleSec < 0 {
				c.fail("ERR Invalid IDLETIME value, must be >= 0")
				return o, false
			}
		case c.is(i, "freq") && more && o.idleSec < 0:
			i++
			if o.freq, ok = c.intArg(i); !ok {
				return o, false
			}
			if o.freq < 0 || o.freq > 255 {
				c.fail("ERR Invalid FREQ value, must be >= 0 and <= 255")
				return o, false
			}
		default:
			c.fail(errSyntax)
			return o, false
		}
	}
	return o, true
}

func cmdRestore(c *Client) {
	o, ok := c.parseRestore()
	if !ok {
		return
	}
	key := c.args[1]
	if !o.replace && c.db.Peek(key) != nil {
		c.fail("BUSYKEY Target key name already exists.")
		return
	}
	at, ok := c.intArg(2)
	if !ok {
		return
	}
	if at < 0 {
		c.fail("ERR Invalid TTL value, must be >= 0")
		return
	}
	c.s.stats.payloadsChecked++
	v, err := rdb.Restore(c.args[3])
	if errors.Is(err, rdb.ErrBadFormat) {
		err = rdb.ErrBadFormat // without the details: Redis gives none
	}
	if err != nil {
		c.fail("ERR " + err.Error())
		return
	}
	if at > 0 && !o.absolute {
		at = min(at, math.MaxInt64-c.s.nowMs) + c.s.nowMs
	}
	if at > 0 && at <= c.s.nowMs && c.s.expires() { // it would be gone at once
		if o.replace && c.del(key) {
			c.replicate([]byte("DEL"), key)
		}
		c.w.OK()
		return
	}
	c.db.Delete(key) // so that the new value inherits nothing
	e := c.set(key, v)
	if at > 0 {
		c.db.SetExpire(e, at)
		if !o.absolute {
			args := append([][]byte{}, c.args...)
			args[2] = strconv.AppendInt(nil, at, 10)
			c.replicate(append(args, []byte("ABSTTL"))...)
		}
	}
	c.db.SetUse(e, o.idleSec, o.freq)
	c.w.OK()
}
