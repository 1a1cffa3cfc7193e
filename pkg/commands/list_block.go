package commands

import (
	"math"

	"byor/pkg/engine"
	"byor/pkg/store"
)

// The list commands that take from whichever of several keys has something, and those that wait
// for it. A client that was served while it waited has popped: what is replicated is the pop, with
// the key that it happened to be.

// parseMpop parses "numkeys key … LEFT|RIGHT [COUNT n]" from argument i on; first and second are
// the names of the ends.
func parseMpop(c *engine.Call, i int, first, second string) (keys [][]byte, head bool, count int, ok bool) {
	if keys, ok = c.NumKeysArg(i, engine.ErrSyntax); !ok {
		return nil, false, 0, false
	}
	i += 1 + len(keys)
	if i >= len(c.Args) || !c.Is(i, first) && !c.Is(i, second) {
		c.Fail(engine.ErrSyntax)
		return nil, false, 0, false
	}
	head, count = c.Is(i, first), -1
	for i++; i < len(c.Args); i += 2 {
		if count >= 0 || i+1 >= len(c.Args) || !c.Is(i, "count") {
			c.Fail(engine.ErrSyntax)
			return nil, false, 0, false
		}
		if count, ok = c.RangeArg(i+1, 1, math.MaxInt64, "ERR count should be greater than 0"); !ok {
			return nil, false, 0, false
		}
	}
	return keys, head, max(count, 1), true
}

func cmdLmpop(c *engine.Call) {
	keys, head, count, ok := parseMpop(c, 1, "left", "right")
	if ok && !mpop(c, keys, head, count) {
		c.Reply.NullArray()
	}
}

// mpop pops up to count elements from the first of the keys that is a list, and replies the key
// and the elements, or an error. It reports false, without a reply, when there is no list.
func mpop(c *engine.Call, keys [][]byte, head bool, count int) bool {
	for _, key := range keys {
		l, e, ok := engine.Edit[*store.List](c, key)
		if !ok {
			return true
		}
		if e == nil {
			continue
		}
		n := min(count, l.Len())
		c.Reply.Array(2)
		c.Reply.Bulk(key)
		c.Reply.Array(n)
		popInto(c, l, e, n, head)
		c.Replicate(popName(head), key, []byte(itoa(n)))
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
func isList(c *engine.Call, key []byte) bool {
	e := c.DB.Peek(key)
	if e == nil {
		return false
	}
	_, ok := e.Value().(*store.List)
	return ok
}

func nullArray(c *engine.Call) { c.Reply.NullArray() }

// cmdBlpop is BLPOP and BRPOP.
func cmdBlpop(c *engine.Call) {
	last := len(c.Args) - 1
	deadline, ok := c.TimeoutArg(last)
	if !ok {
		return
	}
	head := c.Cmd.Name == "blpop"
	take := func(c *engine.Call, key []byte) bool {
		l, e, ok := engine.Edit[*store.List](c, key)
		if !ok || e == nil {
			return !ok
		}
		c.Reply.Array(2)
		c.Reply.Bulk(key)
		popInto(c, l, e, 1, head)
		c.Replicate(popName(head), key)
		return true
	}
	for _, key := range c.Args[1:last] {
		if take(c, key) {
			return
		}
	}
	c.Block(engine.Wait{DeadlineMs: deadline, Expire: nullArray, Serve: func(c *engine.Call, key []byte) bool {
		return isList(c, key) && take(c, key)
	}}, c.Args[1:last])
}

func cmdBlmpop(c *engine.Call) {
	deadline, ok := c.TimeoutArg(1)
	if !ok {
		return
	}
	keys, head, count, ok := parseMpop(c, 2, "left", "right")
	if !ok || mpop(c, keys, head, count) {
		return
	}
	c.Block(engine.Wait{DeadlineMs: deadline, Expire: nullArray, Serve: func(c *engine.Call, key []byte) bool {
		return isList(c, key) && mpop(c, [][]byte{key}, head, count)
	}}, keys)
}

func cmdBrpoplpush(c *engine.Call) {
	if deadline, ok := c.TimeoutArg(3); ok {
		blockingMove(c, deadline, false, true)
	}
}

func cmdBlmove(c *engine.Call) {
	from, ok := endArg(c, 3)
	if !ok {
		return
	}
	to, ok := endArg(c, 4)
	if !ok {
		return
	}
	if deadline, ok := c.TimeoutArg(5); ok {
		blockingMove(c, deadline, from, to)
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
func blockingMove(c *engine.Call, deadlineMs int64, fromHead, toHead bool) {
	take := func(c *engine.Call, from, to []byte) bool {
		dirty := c.Changes()
		if !move(c, c.Args[1], c.Args[2], fromHead, toHead) {
			return false
		}
		switch {
		case c.Changes() == dirty: // it replied an error
		case c.Cmd.Name == "brpoplpush":
			c.Replicate([]byte("RPOPLPUSH"), c.Args[1], c.Args[2])
		default:
			c.Replicate([]byte("LMOVE"), c.Args[1], c.Args[2], from, to)
		}
		return true
	}
	if take(c, c.Args[len(c.Args)-3], c.Args[len(c.Args)-2]) {
		return
	}
	if !c.MayBlock() {
		c.Reply.Null()
		return
	}
	c.Block(engine.Wait{DeadlineMs: deadlineMs, Expire: nullArray, Serve: func(c *engine.Call, key []byte) bool {
		return isList(c, key) && take(c, endName(fromHead), endName(toHead))
	}}, c.Args[1:2])
}
