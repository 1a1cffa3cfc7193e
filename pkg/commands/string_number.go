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
	n, e, err := c.DB.AddInt(c.Args[1], delta)
	if err != nil {
		c.Fail(err.Error())
		return
	}
	c.TouchedEntry(e)
	c.Reply.Int(n)
}

func cmdIncrbyfloat(c *engine.Call) {
	v, e, ok := engine.ReadEntry[*store.String](c, c.Args[1])
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
