package commands

import (
	"byor/pkg/engine"
	"byor/pkg/resp"
	"byor/pkg/store"
)

// Popping from sorted sets, from the first of several that has something, and waiting for that.

// appendScanScore appends a score as ZSCAN replies it: from a listpack as it is stored there.
func appendScanScore(dst []byte, score float64, packed bool) []byte {
	if packed {
		return store.AppendScore(dst, score)
	}
	return resp.AppendDouble(dst, score)
}

// popScored pops up to count members, the lowest first or with max the highest, calling fn for
// each.
func popScored(c *engine.Call, z *store.ZSet, e *store.Entry, count int, max bool, fn func(m []byte, score float64) bool) {
	n, at := min(count, z.Len()), 0
	z.Range(0, n, max, fn)
	if max {
		at = z.Len() - n
	}
	z.DeleteRange(at, n)
	event := "zpopmin"
	if max {
		event = "zpopmax"
	}
	c.As(engine.ClassZSet, event).RemoveIfEmpty(e, z.Len())
	c.Counts(n)
}

func zpopName(max bool) []byte {
	if max {
		return []byte("ZPOPMAX")
	}
	return []byte("ZPOPMIN")
}

// cmdZpop is ZPOPMIN and ZPOPMAX.
func cmdZpop(c *engine.Call) {
	if len(c.Args) > 3 {
		c.Fail(engine.ErrSyntax)
		return
	}
	count, counted := 1, len(c.Args) == 3
	if counted {
		var ok bool
		if count, ok = c.CountArg(2); !ok {
			return
		}
	}
	z, e, ok := engine.Edit[*store.ZSet](c, c.Args[1])
	if !ok {
		return
	}
	if e == nil || count == 0 {
		c.Reply.Array(0)
		return
	}
	n := min(count, z.Len())
	nested := counted && c.Reply.Proto == 3
	if nested {
		c.Reply.Array(n)
	} else {
		c.Reply.Array(2 * n)
	}
	popScored(c, z, e, n, c.Cmd.Name == "zpopmax", func(m []byte, score float64) bool {
		pair(c, nested)
		c.Reply.Bulk(m)
		c.Reply.Double(score)
		return true
	})
}

func cmdZmpop(c *engine.Call) {
	keys, min, count, ok := parseMpop(c, 1, "min", "max")
	if ok && !zmpop(c, keys, !min, count) {
		c.Reply.NullArray()
	}
}

// zmpop is mpop for sorted sets.
func zmpop(c *engine.Call, keys [][]byte, max bool, count int) bool {
	for _, key := range keys {
		z, e, ok := engine.Edit[*store.ZSet](c, key)
		if !ok {
			return true
		}
		if e == nil {
			continue
		}
		n := min(count, z.Len())
		c.Reply.Array(2)
		c.Reply.Bulk(key)
		c.Reply.Array(n)
		popScored(c, z, e, n, max, func(m []byte, score float64) bool {
			c.Reply.Array(2)
			c.Reply.Bulk(m)
			c.Reply.Double(score)
			return true
		})
		c.Replicate(zpopName(max), key, []byte(itoa(n)))
		return true
	}
	return false
}

func isZSet(c *engine.Call, key []byte) bool {
	e := c.DB.Peek(key)
	if e == nil {
		return false
	}
	_, ok := e.Value().(*store.ZSet)
	return ok
}

// cmdBzpop is BZPOPMIN and BZPOPMAX.
func cmdBzpop(c *engine.Call) {
	last := len(c.Args) - 1
	deadline, ok := c.TimeoutArg(last)
	if !ok {
		return
	}
	max := c.Cmd.Name == "bzpopmax"
	take := func(c *engine.Call, key []byte) bool {
		z, e, ok := engine.Edit[*store.ZSet](c, key)
		if !ok || e == nil {
			return !ok
		}
		c.Reply.Array(3)
		c.Reply.Bulk(key)
		popScored(c, z, e, 1, max, func(m []byte, score float64) bool {
			c.Reply.Bulk(m)
			c.Reply.Double(score)
			return true
		})
		c.Replicate(zpopName(max), key)
		return true
	}
	for _, key := range c.Args[1:last] {
		if take(c, key) {
			return
		}
	}
	c.Block(engine.Wait{DeadlineMs: deadline, Expire: nullArray, Serve: func(c *engine.Call, key []byte) bool {
		return isZSet(c, key) && take(c, key)
	}}, c.Args[1:last])
}

func cmdBzmpop(c *engine.Call) {
	deadline, ok := c.TimeoutArg(1)
	if !ok {
		return
	}
	keys, min, count, ok := parseMpop(c, 2, "min", "max")
	if !ok || zmpop(c, keys, !min, count) {
		return
	}
	c.Block(engine.Wait{DeadlineMs: deadline, Expire: nullArray, Serve: func(c *engine.Call, key []byte) bool {
		return isZSet(c, key) && zmpop(c, [][]byte{key}, !min, count)
	}}, keys)
}
