package commands

import (
	"errors"
	"math"
	"strconv"

	"byor/pkg/engine"
	"byor/pkg/rdb"
)

func init() {
	key := engine.At(1, 1, 1)
	engine.Register("generic", []engine.Command{
		{Name: "dump", Arity: 2, Flags: engine.ReadOnly, Keys: key, Handler: cmdDump},
		{Name: "restore", Arity: -4, Flags: engine.Write | engine.DenyOOM, Keys: key, Handler: cmdRestore},
	})
	engine.Register("server", []engine.Command{ // what MIGRATE sends inside a cluster
		{Name: "restore-asking", Arity: -4, Flags: engine.Write | engine.DenyOOM | engine.Asking, Keys: key, Event: "restore", Handler: cmdRestore},
	})
}

func cmdDump(c *engine.Call) {
	e := c.DB.Lookup(c.Args[1])
	if !c.Found(c.Args[1], e != nil) {
		c.Reply.Null()
		return
	}
	c.Reply.Bulk(rdb.Dump(e.Value()))
}

// restoreOptions are those of RESTORE.
type restoreOptions struct {
	replace, absolute bool
	idleSec, freq     int64 // -1: not given
}

func parseRestore(c *engine.Call) (o restoreOptions, ok bool) {
	o.idleSec, o.freq = -1, -1
	for i := 4; i < len(c.Args); i++ {
		more := i+1 < len(c.Args)
		switch {
		case c.Is(i, "replace"):
			o.replace = true
		case c.Is(i, "absttl"):
			o.absolute = true
		case c.Is(i, "idletime") && more && o.freq < 0:
			i++
			if o.idleSec, ok = c.IntArg(i); !ok {
				return o, false
			}
			if o.idleSec < 0 {
				c.Fail("ERR Invalid IDLETIME value, must be >= 0")
				return o, false
			}
		case c.Is(i, "freq") && more && o.idleSec < 0:
			i++
			if o.freq, ok = c.IntArg(i); !ok {
				return o, false
			}
			if o.freq < 0 || o.freq > 255 {
				c.Fail("ERR Invalid FREQ value, must be >= 0 and <= 255")
				return o, false
			}
		default:
			c.Fail(engine.ErrSyntax)
			return o, false
		}
	}
	return o, true
}

func cmdRestore(c *engine.Call) {
	o, ok := parseRestore(c)
	if !ok {
		return
	}
	key := c.Args[1]
	if !o.replace && c.DB.Peek(key) != nil {
		c.Fail("BUSYKEY Target key name already exists.")
		return
	}
	at, ok := c.IntArg(2)
	if !ok {
		return
	}
	if at < 0 {
		c.Fail("ERR Invalid TTL value, must be >= 0")
		return
	}
	c.CountPayload()
	v, err := rdb.Restore(c.Args[3])
	if errors.Is(err, rdb.ErrBadFormat) {
		err = rdb.ErrBadFormat // without the details: Redis gives none
	}
	if err != nil {
		c.Fail("ERR " + err.Error())
		return
	}
	if at > 0 && !o.absolute {
		at = min(at, math.MaxInt64-c.NowMs()) + c.NowMs()
	}
	if at > 0 && at <= c.NowMs() && c.OwnsExpiry() { // it would be gone at once
		if o.replace && c.Del(key) {
			c.Replicate([]byte("DEL"), key)
		}
		c.Reply.OK()
		return
	}
	c.DB.Delete(key) // so that the new value inherits nothing
	e := c.Set(key, v)
	if at > 0 {
		c.DB.SetExpire(e, at)
		if !o.absolute {
			args := append([][]byte{}, c.Args...)
			args[2] = strconv.AppendInt(nil, at, 10)
			c.Replicate(append(args, []byte("ABSTTL"))...)
		}
	}
	c.DB.SetUse(e, o.idleSec, o.freq)
	c.Reply.OK()
}
