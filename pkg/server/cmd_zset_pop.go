package server

import (
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
func (c *Client) popScored(z *store.ZSet, e *store.Entry, count int, max bool, fn func(m []byte, score float64) bool) {
	n, at := min(count, z.Len()), 0
	z.Range(0, n, max, fn)
	if max {
		at = z.Len() - n
	}
	z.DeleteRange(at, n)
	c.removeIfEmpty(e, z.Len())
	c.counts(n)
}

func zpopName(max bool) []byte {
	if max {
		return []byte("ZPOPMAX")
	}
	return []byte("ZPOPMIN")
}

// cmdZpop is ZPOPMIN and ZPOPMAX.
func cmdZpop(c *Client) {
	if len(c.args) > 3 {
		c.fail(errSyntax)
		return
	}
	count, counted := 1, len(c.args) == 3
	if counted {
		var ok bool
		if count, ok = c.countArg(2); !ok {
			return
		}
	}
	z, e, ok := edit[*store.ZSet](c, c.args[1])
	if !ok {
		return
	}
	if e == nil || count == 0 {
		c.w.Array(0)
		return
	}
	n := min(count, z.Len())
	nested := counted && c.w.Proto == 3
	if nested {
		c.w.Array(n)
	} else {
		c.w.Array(2 * n)
	}
	c.popScored(z, e, n, c.cmd.Name == "zpopmax", func(m []byte, score float64) bool {
		c.pair(nested)
		c.w.Bulk(m)
		c.w.Double(score)
		return true
	})
}

func cmdZmpop(c *Client) {
	keys, min, count, ok := c.parseMpop(1, "min", "max")
	if ok && !c.zmpop(keys, !min, count) {
		c.w.NullArray()
	}
}

// zmpop is mpop for sorted sets.
func (c *Client) zmpop(keys [][]byte, max bool, count int) bool {
	for _, key := range keys {
		z, e, ok := edit[*store.ZSet](c, key)
		if !ok {
			return true
		}
		if e == nil {
			continue
		}
		n := min(count, z.Len())
		c.w.Array(2)
		c.w.Bulk(key)
		c.w.Array(n)
		c.popScored(z, e, n, max, func(m []byte, score float64) bool {
			c.w.Array(2)
			c.w.Bulk(m)
			c.w.Double(score)
			return true
		})
		c.replicate(zpopName(max), key, []byte(itoa(n)))
		return true
	}
	return false
}

func (c *Client) isZSet(key []byte) bool {
	e := c.db.Peek(key)
	if e == nil {
		return false
	}
	_, ok := e.Value().(*store.ZSet)
	return ok
}

// cmdBzpop is BZPOPMIN and BZPOPMAX.
func cmdBzpop(c *Client) {
	last := len(c.args) - 1
	deadline, ok := c.timeoutArg(last)
	if !ok {
		return
	}
	max := c.cmd.Name == "bzpopmax"
	take := func(c *Client, key []byte) bool {
		z, e, ok := edit[*store.ZSet](c, key)
		if !ok || e == nil {
			return !ok
		}
		c.w.Array(3)
		c.w.Bulk(key)
		c.popScored(z, e, 1, max, func(m []byte, score float64) bool {
			c.w.Bulk(m)
			c.w.Double(score)
			return true
		})
		c.replicate(zpopName(max), key)
		return true
	}
	for _, key := range c.args[1:last] {
		if take(c, key) {
			return
		}
	}
	c.block(blocking{deadlineMs: deadline, expire: nullArray, serve: func(c *Client, key []byte) bool {
		return c.isZSet(key) && take(c, key)
	}}, c.args[1:last])
}

func cmdBzmpop(c *Client) {
	deadline, ok := c.timeoutArg(1)
	if !ok {
		return
	}
	keys, min, count, ok := c.parseMpop(2, "min", "max")
	if !ok || c.zmpop(keys, !min, count) {
		return
	}
	c.block(blocking{deadlineMs: deadline, expire: nullArray, serve: func(c *Client, key []byte) bool {
		return c.isZSet(key) && c.zmpop([][]byte{key}, !min, count)
	}}, keys)
}
