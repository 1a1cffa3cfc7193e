package server

import (
	"math"

	"byor/pkg/store"
)

func init() {
	key := Keys{1, 1, 1}
	register("list", []Command{
		{Name: "lpush", Arity: -3, Flags: Write | DenyOOM | Fast, Keys: key, Handler: cmdPush},
		{Name: "rpush", Arity: -3, Flags: Write | DenyOOM | Fast, Keys: key, Handler: cmdPush},
		{Name: "lpushx", Arity: -3, Flags: Write | DenyOOM | Fast, Keys: key, Handler: cmdPush},
		{Name: "rpushx", Arity: -3, Flags: Write | DenyOOM | Fast, Keys: key, Handler: cmdPush},
		{Name: "lpop", Arity: -2, Flags: Write | Fast, Keys: key, Handler: cmdPop},
		{Name: "rpop", Arity: -2, Flags: Write | Fast, Keys: key, Handler: cmdPop},
		{Name: "llen", Arity: 2, Flags: ReadOnly | Fast, Keys: key, Handler: cmdLlen},
		{Name: "lindex", Arity: 3, Flags: ReadOnly, Keys: key, Handler: cmdLindex},
		{Name: "lrange", Arity: 4, Flags: ReadOnly, Keys: key, Handler: cmdLrange},
		{Name: "lpos", Arity: -3, Flags: ReadOnly, Keys: key, Handler: cmdLpos},
		{Name: "lset", Arity: 4, Flags: Write | DenyOOM, Keys: key, Handler: cmdLset},
		{Name: "linsert", Arity: 5, Flags: Write | DenyOOM, Keys: key, Handler: cmdLinsert},
		{Name: "lrem", Arity: 4, Flags: Write, Keys: key, Handler: cmdLrem},
		{Name: "ltrim", Arity: 4, Flags: Write, Keys: key, Handler: cmdLtrim},
		{Name: "rpoplpush", Arity: 3, Flags: Write | DenyOOM, Keys: Keys{1, 2, 1}, Handler: cmdRpoplpush},
		{Name: "lmove", Arity: 5, Flags: Write | DenyOOM, Keys: Keys{1, 2, 1}, Handler: cmdLmove},
		{Name: "lmpop", Arity: -4, Flags: Write | MovableKeys, KeysOf: numKeys(1), Handler: cmdLmpop},
		{Name: "blpop", Arity: -3, Flags: Write | NoScript | Blocking, Keys: Keys{1, -2, 1}, Handler: cmdBlpop},
		{Name: "brpop", Arity: -3, Flags: Write | NoScript | Blocking, Keys: Keys{1, -2, 1}, Handler: cmdBlpop},
		{Name: "brpoplpush", Arity: 4, Flags: Write | DenyOOM | NoScript | Blocking, Keys: Keys{1, 2, 1}, Handler: cmdBrpoplpush},
		{Name: "blmove", Arity: 6, Flags: Write | DenyOOM | NoScript | Blocking, Keys: Keys{1, 2, 1}, Handler: cmdBlmove},
		{Name: "blmpop", Arity: -5, Flags: Write | Blocking | MovableKeys, KeysOf: numKeys(2), Handler: cmdBlmpop},
	})
}

// cmdPush is LPUSH, RPUSH, LPUSHX and RPUSHX.
func cmdPush(c *Client) {
	key, name := c.args[1], c.cmd.Name
	l, e, ok := editOrCreate(c, key, store.NewList)
	if !ok {
		return
	}
	if e == nil && len(name) == len("lpushx") {
		c.w.Int(0)
		return
	}
	for _, b := range c.args[2:] {
		push(l, b, name[0] == 'l')
	}
	c.w.Int(int64(l.Len()))
	c.put(key, e, l)
	c.counts(len(c.args) - 2)
}

func push(l *store.List, b []byte, head bool) {
	if head {
		l.PushHead(b)
	} else {
		l.PushTail(b)
	}
}

func pop(l *store.List, head bool) []byte {
	if head {
		return l.PopHead()
	}
	return l.PopTail()
}

// cmdPop is LPOP and RPOP.
func cmdPop(c *Client) {
	counted, count := len(c.args) == 3, 1
	if len(c.args) > 3 {
		c.failArity()
		return
	}
	ok := true
	if counted {
		if count, ok = c.countArg(2); !ok {
			return
		}
	}
	l, e, ok := edit[*store.List](c, c.args[1])
	switch {
	case !ok:
	case e == nil && counted:
		c.w.NullArray()
	case e == nil:
		c.w.Null()
	case count == 0:
		c.w.Array(0)
	default:
		if counted {
			c.w.Array(min(count, l.Len()))
		}
		c.popInto(l, e, count, c.cmd.Name[0] == 'l')
	}
}

// popInto pops up to count elements and replies them one after the other.
func (c *Client) popInto(l *store.List, e *store.Entry, count int, head bool) {
	count = min(count, l.Len())
	for range count {
		c.w.Bulk(pop(l, head))
	}
	c.removeIfEmpty(e, l.Len())
	c.counts(count)
}

func cmdLlen(c *Client) {
	if l, ok := fetch[*store.List](c, c.args[1]); ok {
		n := 0
		if l != nil {
			n = l.Len()
		}
		c.w.Int(int64(n))
	}
}

func cmdLindex(c *Client) {
	l, ok := fetch[*store.List](c, c.args[1])
	if !ok {
		return
	}
	if l == nil {
		c.w.Null()
		return
	}
	if i, ok := c.intArg(2); ok {
		if b, found := l.Index(int(i)); found {
			c.w.Bulk(b)
		} else {
			c.w.Null()
		}
	}
}

// indexRange turns two indexes, which may count from the end, into a
// start and a number of elements of a collection of size elements.
func indexRange(start, stop int64, size int) (from, n int) {
	if start < 0 {
		start = max(start+int64(size), 0)
	}
	if stop < 0 {
		stop += int64(size)
	}
	stop = min(stop, int64(size)-1)
	if start > stop {
		return 0, 0
	}
	return int(start), int(stop - start + 1)
}

// twoInts parses arguments i and i+1.
func (c *Client) twoInts(i int) (a, b int64, ok bool) {
	if a, ok = c.intArg(i); !ok {
		return 0, 0, false
	}
	b, ok = c.intArg(i + 1)
	return a, b, ok
}

func cmdLrange(c *Client) {
	start, stop, ok := c.twoInts(2)
	if !ok {
		return
	}
	l, ok := fetch[*store.List](c, c.args[1])
	if !ok {
		return
	}
	if l == nil {
		c.w.Array(0)
		return
	}
	from, n := indexRange(start, stop, l.Len())
	if n > bigReply {
		c.w.Expect(replyBytes(l.MemBytes(), l.Len(), n))
	}
	c.w.Array(n)
	l.RangeElem(from, n, func(e store.Elem) bool { c.bulkElem(e); return true })
}

// bigReply is how many elements a reply has whose memory is worth an estimate.
const bigReply = 1000

// replyBytes estimates the size of a reply of n of the elements of a collection: their share of its
// memory, and what the protocol adds.
func replyBytes(mem int64, elements, n int) int {
	return int(float64(mem)/float64(elements)*float64(n)) + 8*n
}

// lposOptions are those of LPOS.
type lposOptions struct{ rank, count, maxLen int }

func (c *Client) parseLpos() (o lposOptions, ok bool) {
	o = lposOptions{rank: 1, count: -1}
	for i := 3; i < len(c.args); i += 2 {
		ok = false
		switch more := i+1 < len(c.args); {
		case more && c.is(i, "rank"):
			var rank int64
			rank, ok = c.intArg(i + 1)
			if o.rank = int(rank); ok && rank == 0 {
				c.fail("ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... or use negative to start from the end of the list")
				ok = false
			}
		case more && c.is(i, "count"):
			o.count, ok = c.rangeArg(i+1, 0, math.MaxInt64, "ERR COUNT can't be negative")
		case more && c.is(i, "maxlen"):
			o.maxLen, ok = c.rangeArg(i+1, 0, math.MaxInt64, "ERR MAXLEN can't be negative")
		default:
			c.fail(errSyntax)
		}
		if !ok {
			return o, false
		}
	}
	return o, true
}

func cmdLpos(c *Client) {
	o, ok := c.parseLpos()
	if !ok {
		return
	}
	l, ok := fetch[*store.List](c, c.args[1])
	if !ok {
		return
	}
	skip := max(o.rank, -o.rank, 1) - 1 // the least integer has no opposite: it is as -1, as in Redis
	at, n := len(c.w.Buf), 0
	if l != nil {
		l.Find(c.args[2], o.rank < 0, o.maxLen, func(i int) bool {
			if skip > 0 {
				skip--
				return true
			}
			c.w.Int(int64(i))
			n++
			return o.count == 0 || n < o.count
		})
	}
	if o.count >= 0 {
		c.insertArrayHeader(at, n)
	} else if n == 0 {
		c.w.Null()
	}
}

func cmdLset(c *Client) {
	l, e, ok := edit[*store.List](c, c.args[1])
	if !ok {
		return
	}
	if e == nil {
		c.fail(errNoKey)
		return
	}
	i, ok := c.intArg(2)
	if !ok {
		return
	}
	if !l.Set(int(i), c.args[3]) {
		c.fail(errIndexRange)
		return
	}
	c.changed(e)
	c.w.OK()
}

func cmdLinsert(c *Client) {
	after := c.is(2, "after")
	if !after && !c.is(2, "before") {
		c.fail(errSyntax)
		return
	}
	l, e, ok := edit[*store.List](c, c.args[1])
	switch {
	case !ok:
	case e == nil:
		c.w.Int(0)
	case l.Insert(c.args[3], c.args[4], after):
		c.changed(e)
		c.w.Int(int64(l.Len()))
	default:
		c.w.Int(-1)
	}
}

func cmdLrem(c *Client) {
	count, ok := c.intArg(2)
	if !ok {
		return
	}
	l, e, ok := edit[*store.List](c, c.args[1])
	if !ok {
		return
	}
	removed := 0
	if e != nil {
		if removed = l.Remove(int(count), c.args[3]); removed > 0 {
			c.removeIfEmpty(e, l.Len())
			c.counts(removed)
		}
	}
	c.w.Int(int64(removed))
}

func cmdLtrim(c *Client) {
	start, stop, ok := c.twoInts(2)
	if !ok {
		return
	}
	l, e, ok := edit[*store.List](c, c.args[1])
	if !ok {
		return
	}
	if e != nil {
		from, n := indexRange(start, stop, l.Len())
		if end, before := from+n, l.Len(); n < before {
			l.Delete(end, before-end)
			l.Delete(0, from)
			c.removeIfEmpty(e, l.Len())
			c.counts(before - n)
		} else { // nothing to save or to replicate, but in Redis it breaks a WATCH all the same
			c.s.breakWatches(c.db.ID(), e.Key())
		}
	}
	c.w.OK()
}

// endArg parses argument i, LEFT or RIGHT.
func (c *Client) endArg(i int) (head, ok bool) {
	if head = c.is(i, "left"); head || c.is(i, "right") {
		return head, true
	}
	c.fail(errSyntax)
	return false, false
}

func cmdRpoplpush(c *Client) {
	if !c.move(c.args[1], c.args[2], false, true) {
		c.w.Null()
	}
}

func cmdLmove(c *Client) {
	from, ok := c.endArg(3)
	if !ok {
		return
	}
	to, ok := c.endArg(4)
	if ok && !c.move(c.args[1], c.args[2], from, to) {
		c.w.Null()
	}
}

// move takes an element from one end of the list at src to one end of the list at dst and replies
// it, or an error. It reports false, without a reply, when there is no list at src.
func (c *Client) move(src, dst []byte, fromHead, toHead bool) bool {
	l, e, ok := edit[*store.List](c, src)
	if !ok {
		return true
	}
	if e == nil {
		return false
	}
	if string(src) == string(dst) {
		b := pop(l, fromHead)
		push(l, b, toHead)
		c.w.Bulk(b)
		c.changed(e)
		return true
	}
	to, toEntry, ok := editOrCreate(c, dst, store.NewList)
	if !ok {
		return true
	}
	b := pop(l, fromHead)
	push(to, b, toHead)
	c.w.Bulk(b)
	c.put(dst, toEntry, to)
	c.removeIfEmpty(e, l.Len())
	c.counts(0) // one of the two keys does not
	return true
}
