package commands

import (
	"math"

	"byor/pkg/engine"
	"byor/pkg/store"
)

func cmdIncrby(c *engine.Call) {
	if n, ok := c.IntArg(2); ok {
		addInt(c, n)
	}
}

func cmdDecrby(c *engine.Call) {
	n, ok := c.IntArg(2)
	if !ok {
		return
	}
	if n == math.MinInt64 {
		c.Fail("ERR decrement would overflow")
		return
	}
	addInt(c, -n)
}

func addInt(c *engine.Call, delta int64) {
	v, e, ok := engine.Edit[*store.String](c, c.Args[1])
	if !ok {
		return
	}
	if e == nil {
		c.Set(c.Args[1], store.NewInt(delta))
		c.Reply.Int(delta)
		return
	}
	n, isInt, fits := v.AddInt(delta)
	switch {
	case !isInt:
		c.Fail(engine.ErrNotInt)
		return
	case !fits:
		c.Fail("ERR increment or decrement would overflow")
		return
	}
	c.Changed(e)
	c.Reply.Int(n)
}

func cmdIncrbyfloat(c *engine.Call) {
	v, e, ok := engine.Edit[*store.String](c, c.Args[1])
	if !ok {
		return
	}
	sum := engine.NewLongDouble(0)
	if e != nil {
		if sum, ok = engine.ParseLongDouble(v.View()); !ok {
			c.Fail(engine.ErrNotFloat)
			return
		}
	}
	delta, ok := engine.ParseLongDouble(c.Args[2])
	if !ok {
		c.Fail(engine.ErrNotFloat)
		return
	}
	if !sum.Add(delta) {
		c.Fail("ERR increment would produce NaN or Infinity")
		return
	}
	text := sum.Format()
	entry := c.DB.SetKeepTTL(c.Args[1], store.NewPlainString(text))
	c.TouchedEntry(entry)
	c.Replicate([]byte("SET"), c.Args[1], text, []byte("KEEPTTL"))
	c.Reply.Bulk(text)
}
