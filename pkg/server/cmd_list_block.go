package server

import (
	"math"

	"byor/pkg/store"
)

// The list commands that take from whichever of several keys has something, and those that wait
// for it. A client that was served while it waited has popped: what is replicated is the pop, with
// the key that it happened to be.

// parseMpop parses "numkeys key … LEFT|RIGHT [COUNT n]" from argument i on; first and second are
// the names of the ends.
func (c *Client) parseMpop(i int, first, second string) (keys [][]byte, head bool, count int, ok bool) {
	if keys, ok = c.numKeysArg(i, errSyntax); !ok {
		return nil, false, 0, false
	}
	i += 1 + len(keys)
	if i >= len(c.args) || !c.is(i, first) && !c.is(i, second) {
		c.fail(errSyntax)
		return nil, false, 0, false
	}
	head, count = c.is(i, first), -1
	for i++; i < len(c.args); i += 2 {
		if count >= 0 || i+1 >= len(c.args) || !c.is(i, "count") {
			c.fail(errSyntax)
			return nil, false, 0, false
		}
		if count, ok = c.rangeArg(i+1, 1, math.MaxInt64, "ERR count should be greater than 0"); !ok {
			return nil, false, 0, false
		}
	}
	return keys, head, max(count, 1), true
}

func cmdLmpop(c *Client) {
	keys, head, count, ok := c.parseMpop(1, "left", "right")
	if ok && !c.mpop(keys, head, count) {
		c.w.NullArray()
	}
}

// mpop pops up to count elements from the first of the keys that is a list, and replies the key
// and the elements, or an error. It reports false, without a reply, when there is no list.
func (c *Client) mpop(keys [][]byte, head bool, count int) bool {
	for _, key := range keys {
		l, e, ok := edit[*store.List](c, key)
		if !ok {
			return true
		}
		if e == nil {
			continue
		}
		n := min(count, l.Len())
		c.w.Array(2)
		c.w.Bulk(key)
		c.w.Array(n)
		c.popInto(l, e, n, head)
		c.replicate(popName(head), key, []byte(itoa(n)))
		return true
	}
	return false
}

func popName(head bool) []byte {
	if head {
		return []byte("LPOP")
	}
	return []byte("RPOP")
}

// isList reports whether key holds a list: whether a client that waits for one can be served.
func (c *Client) isList(key []byte) bool {
	e := c.db.Peek(key)
	if e == nil {
		return false
	}
	_, ok := e.Value().(*store.List)
	return ok
}

func nullArray(c *Client) { c.w.NullArray() }

// cmdBlpop is BLPOP and BRPOP.
func cmdBlpop(c *Client) {
	last := len(c.args) - 1
	deadline, ok := c.timeoutArg(last)
	if !ok {
		return
	}
	head := c.cmd.Name == "blpop"
	take := func(c *Client, key []byte) bool {
		l, e, ok := edit[*store.List](c, key)
		if !ok || e == nil {
			return !ok
		}
		c.w.Array(2)
		c.w.Bulk(key)
		c.popInto(l, e, 1, head)
		c.replicate(popName(head), key)
		return true
	}
	for _, key := range c.args[1:last] {
		if take(c, key) {
			return
		}
	}
	c.block(blocking{deadlineMs: deadline, expire: nullArray, serve: func(c *Client, key []byte) bool {
		return c.isList(key) && take(c, key)
	}}, c.args[1:last])
}

func cmdBlmpop(c *Client) {
	deadline, ok := c.timeoutArg(1)
	if !ok {
		return
	}
	keys, head, count, ok := c.parseMpop(2, "left", "right")
	if !ok || c.mpop(keys, head, count) {
		return
	}
	c.block(blocking{deadlineMs: deadline, expire: nullArray, serve: func(c *Client, key []byte) bool {
		return c.isList(key) && c.mpop([][]byte{key}, head, count)
	}}, keys)
}

func cmdBrpoplpush(c *Client) {
	if deadline, ok := c.timeoutArg(3); ok {
		c.blockingMove(deadline, false, true)
	}
}

func cmdBlmove(c *Client) {
	from, ok := c.endArg(3)
	if !ok {
		return
	}
	to, ok := c.endArg(4)
	if !ok {
		return
	}
	if deadline, ok := c.timeoutArg(5); ok {
		c.blockingMove(deadline, from, to)
	}
}

// endName is how Redis names an end of a list when it replicates a move that waited.
func endName(head bool) []byte {
	if head {
		return []byte("left")
	}
	return []byte("right")
}

// blockingMove is BLMOVE and BRPOPLPUSH, which go to replicas without their B.
func (c *Client) blockingMove(deadlineMs int64, fromHead, toHead bool) {
	take := func(c *Client, from, to []byte) bool {
		dirty := c.s.dirty
		if !c.move(c.args[1], c.args[2], fromHead, toHead) {
			return false
		}
		switch {
		case c.s.dirty == dirty: // it replied an error
		case c.cmd.Name == "brpoplpush":
			c.replicate([]byte("RPOPLPUSH"), c.args[1], c.args[2])
		default:
			c.replicate([]byte("LMOVE"), c.args[1], c.args[2], from, to)
		}
		return true
	}
	if take(c, c.args[len(c.args)-3], c.args[len(c.args)-2]) {
		return
	}
	if !c.mayBlock() {
		c.w.Null()
		return
	}
	c.block(blocking{deadlineMs: deadlineMs, expire: nullArray, serve: func(c *Client, key []byte) bool {
		return c.isList(key) && take(c, endName(fromHead), endName(toHead))
	}}, c.args[1:2])
}
