package commands

import (
	"byor/pkg/engine"
	"byor/pkg/store"
)

const errTooLong = "ERR string exceeds maximum allowed size (proto-max-bulk-len)"

func cmdAppend(c *engine.Call) {
	v, e, ok := engine.Edit[*store.String](c, c.Args[1])
	if !ok {
		return
	}
	if e == nil {
		setString(c, c.Args[1], c.Args[2])
		c.Reply.Int(int64(len(c.Args[2])))
		return
	}
	if int64(v.Len()+len(c.Args[2])) > c.Settings().MaxBulk {
		c.Fail(errTooLong)
		return
	}
	n := v.AppendBytes(c.Args[2])
	c.Changed(e)
	c.Reply.Int(int64(n))
}

func cmdStrlen(c *engine.Call) {
	v, ok := engine.Read[*store.String](c, c.Args[1])
	if !ok {
		return
	}
	if !c.Found(c.Args[1], v != nil) {
		c.Reply.Int(0)
		return
	}
	c.Reply.Int(int64(v.Len()))
}

func cmdSetrange(c *engine.Call) {
	off, ok := c.IntArg(2)
	if !ok {
		return
	}
	if off < 0 {
		c.Fail("ERR offset is out of range")
		return
	}
	patch := c.Args[3]
	v, e, ok := engine.EditOrCreate(c, c.Args[1], func() *store.String { return store.NewString(nil) })
	if !ok {
		return
	}
	if len(patch) == 0 {
		c.Reply.Int(int64(v.Len()))
		return
	}
	if off > c.Settings().MaxBulk-int64(len(patch)) {
		c.Fail(errTooLong)
		return
	}
	b := v.Grow(int(off) + len(patch))
	copy(b[off:], patch)
	c.Put(c.Args[1], e, v)
	c.Reply.Int(int64(len(b)))
}

func cmdGetrange(c *engine.Call) {
	from, ok := c.IntArg(2)
	if !ok {
		return
	}
	to, ok := c.IntArg(3)
	if !ok {
		return
	}
	v, ok := engine.Read[*store.String](c, c.Args[1])
	if !ok {
		return
	}
	if !c.Found(c.Args[1], v != nil) {
		c.Reply.BulkString("")
		return
	}
	b := v.View()
	n := int64(len(b))
	if from < 0 && to < 0 && from > to {
		c.Reply.BulkString("")
		return
	}
	from, to = clampRange(from, to, n)
	if n == 0 || from > to {
		c.Reply.BulkString("")
		return
	}
	c.Reply.Bulk(b[from : to+1])
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
