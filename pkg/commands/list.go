package commands

import (
	"math"

	"byor/pkg/engine"
	"byor/pkg/store"
)

func init() {
	key := engine.At(1, 1, 1)
	engine.Register("list", []engine.Command{
		{Name: "lpush", Arity: -3, Flags: engine.Write | engine.DenyOOM | engine.Fast, Keys: key, Handler: cmdPush},
		{Name: "rpush", Arity: -3, Flags: engine.Write | engine.DenyOOM | engine.Fast, Keys: key, Handler: cmdPush},
		{Name: "lpushx", Arity: -3, Flags: engine.Write | engine.DenyOOM | engine.Fast, Keys: key, Event: "lpush", Handler: cmdPush},
		{Name: "rpushx", Arity: -3, Flags: engine.Write | engine.DenyOOM | engine.Fast, Keys: key, Event: "rpush", Handler: cmdPush},
		{Name: "lpop", Arity: -2, Flags: engine.Write | engine.Fast, Keys: key, Handler: cmdPop},
		{Name: "rpop", Arity: -2, Flags: engine.Write | engine.Fast, Keys: key, Handler: cmdPop},
		{Name: "llen", Arity: 2, Flags: engine.ReadOnly | engine.Fast, Keys: key, Handler: cmdLlen},
		{Name: "lindex", Arity: 3, Flags: engine.ReadOnly, Keys: key, Handler: cmdLindex},
		{Name: "lrange", Arity: 4, Flags: engine.ReadOnly, Keys: key, Handler: cmdLrange},
		{Name: "lpos", Arity: -3, Flags: engine.ReadOnly, Keys: key, Handler: cmdLpos},
		{Name: "lset", Arity: 4, Flags: engine.Write | engine.DenyOOM, Keys: key, Handler: cmdLset},
		{Name: "linsert", Arity: 5, Flags: engine.Write | engine.DenyOOM, Keys: key, Handler: cmdLinsert},
		{Name: "lrem", Arity: 4, Flags: engine.Write, Keys: key, Handler: cmdLrem},
		{Name: "ltrim", Arity: 4, Flags: engine.Write, Keys: key, Handler: cmdLtrim},
		{Name: "rpoplpush", Arity: 3, Flags: engine.Write | engine.DenyOOM, Keys: engine.At(1, 2, 1), Handler: cmdRpoplpush},
		{Name: "lmove", Arity: 5, Flags: engine.Write | engine.DenyOOM, Keys: engine.At(1, 2, 1), Handler: cmdLmove},
		{Name: "lmpop", Arity: -4, Flags: engine.Write | engine.MovableKeys, KeysOf: engine.NumKeys(1), Handler: cmdLmpop},
		{Name: "blpop", Arity: -3, Flags: engine.Write | engine.NoScript | engine.Blocking, Keys: engine.At(1, -2, 1), Handler: cmdBlpop},
		{Name: "brpop", Arity: -3, Flags: engine.Write | engine.NoScript | engine.Blocking, Keys: engine.At(1, -2, 1), Handler: cmdBlpop},
		{Name: "brpoplpush", Arity: 4, Flags: engine.Write | engine.DenyOOM | engine.NoScript | engine.Blocking, Keys: engine.At(1, 2, 1), Handler: cmdBrpoplpush},
		{Name: "blmove", Arity: 6, Flags: engine.Write | engine.DenyOOM | engine.NoScript | engine.Blocking, Keys: engine.At(1, 2, 1), Handler: cmdBlmove},
		{Name: "blmpop", Arity: -5, Flags: engine.Write | engine.Blocking | engine.MovableKeys, KeysOf: engine.NumKeys(2), Handler: cmdBlmpop},
	})
}

// cmdPush is LPUSH, RPUSH, LPUSHX and RPUSHX.
func cmdPush(c *engine.Call) {
	key, name := c.Args[1], c.Cmd.Name
	l, e, ok := engine.EditOrCreate(c, key, store.NewList)
	if !ok {
		return
	}
	if e == nil && len(name) == len("lpushx") {
		c.Reply.Int(0)
		return
	}
	for _, b := range c.Args[2:] {
		push(l, b, name[0] == 'l')
	}
	c.Reply.Int(int64(l.Len()))
	c.Put(key, e, l)
	c.Counts(len(c.Args) - 2)
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
func cmdPop(c *engine.Call) {
	counted, count := len(c.Args) == 3, 1
	if len(c.Args) > 3 {
		c.FailArity()
		return
	}
	ok := true
	if counted {
		if count, ok = c.CountArg(2); !ok {
			return
		}
	}
	l, e, ok := engine.Edit[*store.List](c, c.Args[1])
	switch {
	case !ok:
	case e == nil && counted:
		c.Reply.NullArray()
	case e == nil:
		c.Reply.Null()
	case count == 0:
		c.Reply.Array(0)
	default:
		if counted {
			c.Reply.Array(min(count, l.Len()))
		}
		popInto(c, l, e, count, c.Cmd.Name[0] == 'l')
	}
}

// pushEvent and popEvent are what keyspace events call a change at an end of a list.
func pushEvent(head bool) string {
	if head {
		return "lpush"
	}
	return "rpush"
}

func popEvent(head bool) string {
	if head {
		return "lpop"
	}
	return "rpop"
}

// popInto pops up to count elements and replies them one after the other.
func popInto(c *engine.Call, l *store.List, e *store.Entry, count int, head bool) {
	count = min(count, l.Len())
	for range count {
		c.BulkElem(l.End(head))
		l.DropEnd(head)
	}
	c.As(engine.ClassList, popEvent(head)).RemoveIfEmpty(e, l.Len())
	c.Counts(count)
}

func cmdLlen(c *engine.Call) {
	if l, ok := engine.Fetch[*store.List](c, c.Args[1]); ok {
		n := 0
		if l != nil {
			n = l.Len()
		}
		c.Reply.Int(int64(n))
	}
}

func cmdLindex(c *engine.Call) {
	l, ok := engine.Fetch[*store.List](c, c.Args[1])
	if !ok {
		return
	}
	if l == nil {
		c.Reply.Null()
		return
	}
	if i, ok := c.IntArg(2); ok {
		if b, found := l.Index(int(i)); found {
			c.Reply.Bulk(b)
		} else {
			c.Reply.Null()
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
func twoInts(c *engine.Call, i int) (a, b int64, ok bool) {
	if a, ok = c.IntArg(i); !ok {
		return 0, 0, false
	}
	b, ok = c.IntArg(i + 1)
	return a, b, ok
}

func cmdLrange(c *engine.Call) {
	start, stop, ok := twoInts(c, 2)
	if !ok {
		return
	}
	l, ok := engine.Fetch[*store.List](c, c.Args[1])
	if !ok {
		return
	}
	if l == nil {
		c.Reply.Array(0)
		return
	}
	from, n := indexRange(start, stop, l.Len())
	if n > bigReply {
		c.Reply.Expect(replyBytes(l.MemBytes(), l.Len(), n))
	}
	c.Reply.Array(n)
	l.RangeElem(from, n, func(e store.Elem) bool { c.BulkElem(e); return true })
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

func parseLpos(c *engine.Call) (o lposOptions, ok bool) {
	o = lposOptions{rank: 1, count: -1}
	for i := 3; i < len(c.Args); i += 2 {
		ok = false
		switch more := i+1 < len(c.Args); {
		case more && c.Is(i, "rank"):
			var rank int64
			rank, ok = c.IntArg(i + 1)
			if o.rank = int(rank); ok && rank == 0 {
				c.Fail("ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... or use negative to start from the end of the list")
				ok = false
			}
		case more && c.Is(i, "count"):
			o.count, ok = c.RangeArg(i+1, 0, math.MaxInt64, "ERR COUNT can't be negative")
		case more && c.Is(i, "maxlen"):
			o.maxLen, ok = c.RangeArg(i+1, 0, math.MaxInt64, "ERR MAXLEN can't be negative")
		default:
			c.Fail(engine.ErrSyntax)
		}
		if !ok {
			return o, false
		}
	}
	return o, true
}

func cmdLpos(c *engine.Call) {
	o, ok := parseLpos(c)
	if !ok {
		return
	}
	l, ok := engine.Fetch[*store.List](c, c.Args[1])
	if !ok {
		return
	}
	skip := max(o.rank, -o.rank, 1) - 1 // the least integer has no opposite: it is as -1, as in Redis
	at, n := len(c.Reply.Buf), 0
	if l != nil {
		l.Find(c.Args[2], o.rank < 0, o.maxLen, func(i int) bool {
			if skip > 0 {
				skip--
				return true
			}
			c.Reply.Int(int64(i))
			n++
			return o.count == 0 || n < o.count
		})
	}
	if o.count >= 0 {
		insertArrayHeader(c, at, n)
	} else if n == 0 {
		c.Reply.Null()
	}
}

func cmdLset(c *engine.Call) {
	l, e, ok := engine.Edit[*store.List](c, c.Args[1])
	if !ok {
		return
	}
	if e == nil {
		c.Fail(engine.ErrNoKey)
		return
	}
	i, ok := c.IntArg(2)
	if !ok {
		return
	}
	if !l.Set(int(i), c.Args[3]) {
		c.Fail(engine.ErrIndexRange)
		return
	}
	c.Changed(e)
	c.Reply.OK()
}

func cmdLinsert(c *engine.Call) {
	after := c.Is(2, "after")
	if !after && !c.Is(2, "before") {
		c.Fail(engine.ErrSyntax)
		return
	}
	l, e, ok := engine.Edit[*store.List](c, c.Args[1])
	switch {
	case !ok:
	case e == nil:
		c.Reply.Int(0)
	case l.Insert(c.Args[3], c.Args[4], after):
		c.Changed(e)
		c.Reply.Int(int64(l.Len()))
	default:
		c.Reply.Int(-1)
	}
}

func cmdLrem(c *engine.Call) {
	count, ok := c.IntArg(2)
	if !ok {
		return
	}
	l, e, ok := engine.Edit[*store.List](c, c.Args[1])
	if !ok {
		return
	}
	removed := 0
	if e != nil {
		if removed = l.Remove(int(count), c.Args[3]); removed > 0 {
			c.RemoveIfEmpty(e, l.Len())
			c.Counts(removed)
		}
	}
	c.Reply.Int(int64(removed))
}

func cmdLtrim(c *engine.Call) {
	start, stop, ok := twoInts(c, 2)
	if !ok {
		return
	}
	l, e, ok := engine.Edit[*store.List](c, c.Args[1])
	if !ok {
		return
	}
	if e != nil {
		from, n := indexRange(start, stop, l.Len())
		if end, before := from+n, l.Len(); n < before {
			l.Delete(end, before-end)
			l.Delete(0, from)
			c.RemoveIfEmpty(e, l.Len())
			c.Counts(before - n)
		} else { // nothing to save or to replicate, but in Redis it breaks a WATCH all the same
			c.BreakWatches(e.Key())
		}
	}
	c.Reply.OK()
}

// endArg parses argument i, LEFT or RIGHT.
func endArg(c *engine.Call, i int) (head, ok bool) {
	if head = c.Is(i, "left"); head || c.Is(i, "right") {
		return head, true
	}
	c.Fail(engine.ErrSyntax)
	return false, false
}

func cmdRpoplpush(c *engine.Call) {
	if !move(c, c.Args[1], c.Args[2], false, true) {
		c.Reply.Null()
	}
}

func cmdLmove(c *engine.Call) {
	from, ok := endArg(c, 3)
	if !ok {
		return
	}
	to, ok := endArg(c, 4)
	if ok && !move(c, c.Args[1], c.Args[2], from, to) {
		c.Reply.Null()
	}
}

// move takes an element from one end of the list at src to one end of the list at dst and replies
// it, or an error. It reports false, without a reply, when there is no list at src.
func move(c *engine.Call, src, dst []byte, fromHead, toHead bool) bool {
	l, e, ok := engine.Edit[*store.List](c, src)
	if !ok {
		return true
	}
	if e == nil {
		return false
	}
	if string(src) == string(dst) {
		b := pop(l, fromHead)
		push(l, b, toHead)
		c.Reply.Bulk(b)
		c.As(engine.ClassList, pushEvent(toHead)).Changed(e)
		c.Tell(engine.ClassList, popEvent(fromHead), src)
		return true
	}
	to, toEntry, ok := engine.EditOrCreate(c, dst, store.NewList)
	if !ok {
		return true
	}
	b := pop(l, fromHead)
	push(to, b, toHead)
	c.Reply.Bulk(b)
	c.As(engine.ClassList, pushEvent(toHead)).Put(dst, toEntry, to)
	c.As(engine.ClassList, popEvent(fromHead)).RemoveIfEmpty(e, l.Len())
	c.Counts(0) // one of the two keys does not
	return true
}
