package commands

import (
	"math"
	"strconv"

	"byor/pkg/engine"
	"byor/pkg/pubsub"
	"byor/pkg/store"
)

func init() {
	key := engine.At(1, 1, 1)
	engine.Register("generic", []engine.Command{
		{Name: "del", Arity: -2, Flags: engine.Write, Keys: engine.At(1, -1, 1), Handler: cmdDel},
		{Name: "unlink", Arity: -2, Flags: engine.Write | engine.Fast, Keys: engine.At(1, -1, 1), Handler: cmdDel},
		{Name: "exists", Arity: -2, Flags: engine.ReadOnly | engine.Fast, Keys: engine.At(1, -1, 1), Handler: cmdExists},
		{Name: "touch", Arity: -2, Flags: engine.ReadOnly | engine.Fast, Keys: engine.At(1, -1, 1), Handler: cmdExists},
		{Name: "type", Arity: 2, Flags: engine.ReadOnly | engine.Fast, Keys: key, Handler: cmdType},
		{Name: "keys", Arity: 2, Flags: engine.ReadOnly, Handler: cmdKeys},
		{Name: "scan", Arity: -2, Flags: engine.ReadOnly, Handler: cmdScan},
		{Name: "randomkey", Arity: 1, Flags: engine.ReadOnly, Handler: cmdRandomkey},
		{Name: "rename", Arity: 3, Flags: engine.Write, Keys: engine.At(1, 2, 1), Handler: cmdRename},
		{Name: "renamenx", Arity: 3, Flags: engine.Write | engine.Fast, Keys: engine.At(1, 2, 1), Handler: cmdRename},
		{Name: "copy", Arity: -3, Flags: engine.Write | engine.DenyOOM, Keys: engine.At(1, 2, 1), Event: "copy_to", Handler: cmdCopy},
		{Name: "move", Arity: 3, Flags: engine.Write | engine.Fast, Keys: key, Handler: cmdMove},
		{Name: "object", Arity: -2, Sub: []*engine.Command{
			{Name: "encoding", Arity: 3, Flags: engine.ReadOnly, Keys: engine.At(2, 2, 1), Handler: cmdObjectEncoding},
			{Name: "freq", Arity: 3, Flags: engine.ReadOnly, Keys: engine.At(2, 2, 1), Handler: cmdObjectFreq},
			{Name: "help", Arity: 2, Flags: engine.Loading | engine.Stale, Handler: cmdObjectHelp},
			{Name: "idletime", Arity: 3, Flags: engine.ReadOnly, Keys: engine.At(2, 2, 1), Handler: cmdObjectIdletime},
			{Name: "refcount", Arity: 3, Flags: engine.ReadOnly, Keys: engine.At(2, 2, 1), Handler: cmdObjectRefcount},
		}},
	})
	engine.Register("server", []engine.Command{
		{Name: "dbsize", Arity: 1, Flags: engine.ReadOnly | engine.Fast, Handler: cmdDbsize},
		{Name: "flushdb", Arity: -1, Flags: engine.Write, Handler: cmdFlushdb},
		{Name: "flushall", Arity: -1, Flags: engine.Write, Handler: cmdFlushall},
		{Name: "swapdb", Arity: 3, Flags: engine.Write | engine.Fast, Handler: cmdSwapdb},
	})
}

func cmdDel(c *engine.Call) {
	n := 0
	for _, key := range c.Args[1:] {
		n += btoi(c.Del(key))
	}
	c.Reply.Int(int64(n))
}

// cmdExists is EXISTS and TOUCH: a key given twice counts twice.
func cmdExists(c *engine.Call) {
	n := 0
	for _, key := range c.Args[1:] {
		e := c.DB.Peek(key)
		if c.Cmd.Name == "touch" && e != nil {
			c.DB.Lookup(key)
		}
		n += btoi(c.Found(key, e != nil))
	}
	c.Reply.Int(int64(n))
}

func cmdType(c *engine.Call) {
	e := c.DB.Peek(c.Args[1])
	if !c.Found(c.Args[1], e != nil) {
		c.Reply.SimpleString("none")
		return
	}
	c.Reply.SimpleString(e.Value().Type().String())
}

func cmdKeys(c *engine.Call) {
	pattern := c.Args[1]
	all := string(pattern) == "*"
	at, n := len(c.Reply.Buf), 0
	c.DB.Each(func(e *store.Entry) bool {
		if (all || pubsub.Match(pattern, e.Key())) && !c.DB.Expired(e) {
			c.Reply.BulkString(e.Key())
			n++
		}
		return true
	})
	insertArrayHeader(c, at, n)
}

// insertArrayHeader opens an array of n values that were appended from at on already.
func insertArrayHeader(c *engine.Call, at, n int) {
	head := strconv.AppendInt([]byte{'*'}, int64(n), 10)
	head = append(head, '\r', '\n')
	c.Reply.Buf = append(c.Reply.Buf, head...)
	copy(c.Reply.Buf[at+len(head):], c.Reply.Buf[at:])
	copy(c.Reply.Buf[at:], head)
}

// scanOptions are those of SCAN, HSCAN, SSCAN and ZSCAN.
type scanOptions struct {
	cursor uint64
	count  int64
	match  []byte // nil: everything
	typ    []byte // SCAN only; nil: any
}

// parseCursor parses a cursor as C's strtoul: nothing is 0, and a negative number wraps around.
func parseCursor(s string) (uint64, bool) {
	digits := s
	if s != "" && (s[0] == '+' || s[0] == '-') {
		digits = s[1:]
	}
	if s == "" {
		return 0, true
	}
	n, err := strconv.ParseUint(digits, 10, 64)
	if s[0] == '-' {
		n = -n
	}
	return n, err == nil
}

// cursorArg parses argument i as a cursor.
func cursorArg(c *engine.Call, i int) (uint64, bool) {
	n, ok := parseCursor(string(engine.CString(c.Args[i])))
	if !ok {
		c.Fail("ERR invalid cursor")
	}
	return n, ok
}

// parseScanOf parses the arguments of HSCAN, SSCAN and ZSCAN and returns the value they walk. Redis
// looks at the options only where there is one: else it replies that there is nothing.
func parseScanOf[T store.Value](c *engine.Call) (v T, o scanOptions, ok bool) {
	if _, ok = cursorArg(c, 2); !ok {
		return v, o, false
	}
	e := c.DB.Lookup(c.Args[1])
	if !c.Found(c.Args[1], e != nil) {
		replyScan(c, len(c.Reply.Buf), 0, 0)
		return v, o, false
	}
	if v, ok = e.Value().(T); !ok {
		c.Fail(engine.ErrWrongType)
		return v, o, false
	}
	o, ok = parseScan(c, 2, false)
	return v, o, ok
}

// parseScan parses the cursor at argument i and the options behind it.
func parseScan(c *engine.Call, i int, withType bool) (o scanOptions, ok bool) {
	if o.cursor, ok = cursorArg(c, i); !ok {
		return o, false
	}
	o.count = 10
	for i++; i < len(c.Args); i += 2 {
		more := i+1 < len(c.Args)
		switch {
		case more && c.Is(i, "count"):
			if o.count, ok = c.IntArg(i + 1); !ok {
				return o, false
			}
			if o.count < 1 {
				c.Fail(engine.ErrSyntax)
				return o, false
			}
		case more && c.Is(i, "match"):
			o.match = c.Args[i+1]
			if string(o.match) == "*" {
				o.match = nil
			}
		case more && withType && c.Is(i, "type"):
			o.typ = c.Args[i+1]
		default:
			c.Fail(engine.ErrSyntax)
			return o, false
		}
	}
	return o, true
}

// replyScan replies a cursor and n elements that were appended from at on already.
func replyScan(c *engine.Call, at int, cursor uint64, n int) {
	insertArrayHeader(c, at, n)
	head := []byte("*2\r\n")
	digits := strconv.AppendUint(nil, cursor, 10)
	head = append(strconv.AppendInt(append(head, '$'), int64(len(digits)), 10), '\r', '\n')
	head = append(append(head, digits...), '\r', '\n')
	c.Reply.Buf = append(c.Reply.Buf, head...)
	copy(c.Reply.Buf[at+len(head):], c.Reply.Buf[at:])
	copy(c.Reply.Buf[at:], head)
}

func cmdScan(c *engine.Call) {
	o, ok := parseScan(c, 1, true)
	if !ok {
		return
	}
	at, n := len(c.Reply.Buf), 0
	var expired []string
	visited := int64(0)
	for tries := 10 * min(o.count, math.MaxInt64/10); tries > 0; tries-- {
		o.cursor = c.DB.Scan(o.cursor, func(e *store.Entry) {
			visited++
			switch {
			case o.match != nil && !pubsub.Match(o.match, e.Key()),
				o.typ != nil && !engine.IsWord(o.typ, e.Value().Type().String()):
			case c.DB.Expired(e):
				expired = append(expired, e.Key())
			default:
				c.Reply.BulkString(e.Key())
				n++
			}
		})
		if o.cursor == 0 || visited >= o.count {
			break
		}
	}
	replyScan(c, at, o.cursor, n)
	for _, key := range expired {
		c.DB.Peek([]byte(key)) // deletes it, where it may be deleted
	}
	c.DeletedAnyKeys()
}

func cmdRandomkey(c *engine.Call) {
	e := c.DB.Random()
	c.DeletedAnyKeys()
	if e == nil {
		c.Reply.Null()
		return
	}
	c.Reply.BulkString(e.Key())
}

// cmdRename is RENAME and RENAMENX.
func cmdRename(c *engine.Call) {
	nx := c.Cmd.Name == "renamenx"
	from, to := c.Args[1], c.Args[2]
	e := c.DB.Lookup(from)
	switch {
	case e == nil:
		c.Fail(engine.ErrNoKey)
		return
	case string(from) == string(to):
		if nx {
			c.Reply.Int(0)
		} else {
			c.Reply.OK()
		}
		return
	case nx && c.DB.Peek(to) != nil:
		c.Reply.Int(0)
		return
	}
	v, at, use := e.Value(), c.DB.ExpireAt(e), e.AccessSec()
	c.DB.Delete(to) // the key is a new one, then
	c.DB.Remove(e)
	moved := c.DB.Set(to, v)
	moved.SetAccessSec(use)
	if at >= 0 {
		c.DB.SetExpire(moved, at)
	}
	c.As(engine.ClassKey, "rename_from").Touched(from)
	c.As(engine.ClassKey, "rename_to").Touched(to)
	c.Counts(0) // one of the two keys does not
	if nx {
		c.Reply.Int(1)
	} else {
		c.Reply.OK()
	}
}

// otherDB returns the database whose number argument i gives. With a text, that is the error for
// what is no number.
func otherDB(c *engine.Call, i int, text string) (*store.DB, bool) {
	n, ok := c.RangeArg(i, math.MinInt32, math.MaxInt32, text)
	if !ok {
		return nil, false
	}
	db := c.Database(n)
	if db == nil {
		c.Fail(engine.ErrDBIndex)
	}
	return db, db != nil
}

func cmdCopy(c *engine.Call) {
	target, replace := c.DB, false
	for i := 3; i < len(c.Args); i++ {
		switch {
		case c.Is(i, "replace"):
			replace = true
		case c.Is(i, "db") && i+1 < len(c.Args):
			var ok bool
			if target, ok = otherDB(c, i+1, ""); !ok {
				return
			}
			i++
		default:
			c.Fail(engine.ErrSyntax)
			return
		}
	}
	from, to := c.Args[1], c.Args[2]
	if target == c.DB && string(from) == string(to) {
		c.Fail("ERR source and destination objects are the same")
		return
	}
	e := c.DB.Lookup(from)
	if !c.Found(from, e != nil) || target.Peek(to) != nil && !replace {
		c.Reply.Int(0)
		return
	}
	at, clone := c.DB.ExpireAt(e), e.Value().Clone()
	target.Delete(to) // so that the copy inherits nothing
	copied := target.Set(to, clone)
	if at >= 0 {
		target.SetExpire(copied, at)
	}
	c.TouchedIn(target, copied.Key())
	c.Reply.Int(1)
}

func cmdMove(c *engine.Call) {
	target, ok := otherDB(c, 2, "")
	if !ok {
		return
	}
	if target == c.DB {
		c.Fail("ERR source and destination objects are the same")
		return
	}
	e := c.DB.Lookup(c.Args[1])
	if e == nil || target.Peek(c.Args[1]) != nil {
		c.Reply.Int(0)
		return
	}
	v, at, use := e.Value(), c.DB.ExpireAt(e), e.AccessSec()
	c.DB.Remove(e)
	moved := target.Set(c.Args[1], v)
	moved.SetAccessSec(use)
	if at >= 0 {
		target.SetExpire(moved, at)
	}
	c.As(engine.ClassKey, "move_from").Touched(c.Args[1])
	c.As(engine.ClassKey, "move_to").TouchedIn(target, moved.Key())
	c.Counts(0) // one of the two keys does not
	c.Reply.Int(1)
}

func cmdDbsize(c *engine.Call) { c.Reply.Int(int64(c.DB.Len())) }

// parseFlush checks the SYNC or ASYNC of FLUSHDB and FLUSHALL, which make no difference here: the
// memory is given back by the collector, which runs beside the commands in any case.
func parseFlush(c *engine.Call) bool {
	if len(c.Args) == 1 || len(c.Args) == 2 && (c.Is(1, "sync") || c.Is(1, "async")) {
		return true
	}
	c.Fail(engine.ErrSyntax)
	return false
}

func cmdFlushdb(c *engine.Call) {
	if !parseFlush(c) {
		return
	}
	c.FlushDB()
	c.Replicate(c.Args...) // even where there was nothing to flush
	c.Reply.OK()
}

func cmdFlushall(c *engine.Call) {
	if !parseFlush(c) {
		return
	}
	c.FlushAll()
	c.Replicate(c.Args...)
	c.Reply.OK()
	c.Flushed()
}

func cmdSwapdb(c *engine.Call) {
	a, ok := otherDB(c, 1, "ERR invalid first DB index")
	if !ok {
		return
	}
	b, ok := otherDB(c, 2, "ERR invalid second DB index")
	if !ok {
		return
	}
	c.SwapDBs(a, b)
	c.Reply.OK()
}

// object returns the entry of OBJECT's key without marking it as used.
func object(c *engine.Call) *store.Entry {
	e := c.DB.Peek(c.Args[2])
	if !c.FoundQuietly(e != nil) {
		c.Reply.Null()
	}
	return e
}

func cmdObjectEncoding(c *engine.Call) {
	if e := object(c); e != nil {
		c.Reply.BulkString(e.Value().Encoding())
	}
}

func cmdObjectRefcount(c *engine.Call) {
	if e := object(c); e != nil {
		if v, ok := e.Value().(*store.String); ok { // Redis shares the small integers
			if n, isInt := v.Int(); isInt && n >= 0 && n < 10000 && c.Settings().MaxMemory == 0 {
				c.Reply.Int(math.MaxInt32)
				return
			}
		}
		c.Reply.Int(1)
	}
}

func cmdObjectIdletime(c *engine.Call) {
	if e := object(c); e != nil {
		if c.Settings().LFU() {
			c.Fail("ERR An LFU maxmemory policy is selected, idle time not tracked. Please note that when switching between policies at runtime LRU and LFU data will take some time to adjust.")
			return
		}
		c.Reply.Int(int64(uint32(c.NowMs()/1000) - e.AccessSec()))
	}
}

func cmdObjectFreq(c *engine.Call) {
	if e := object(c); e != nil {
		if !c.Settings().LFU() {
			c.Fail("ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when switching between policies at runtime LRU and LFU data will take some time to adjust.")
			return
		}
		c.Reply.Int(c.DB.Freq(e))
	}
}

func cmdObjectHelp(c *engine.Call) {
	c.Help(
		"ENCODING <key>", "    Return the kind of internal representation used in order to store the value", "    associated with a <key>.",
		"FREQ <key>", "    Return the access frequency index of the <key>. The returned integer is", "    proportional to the logarithm of the recent access frequency of the key.",
		"IDLETIME <key>", "    Return the idle time of the <key>, that is the approximated number of", "    seconds elapsed since the last access to the key.",
		"REFCOUNT <key>", "    Return the number of references of the value associated with the specified", "    <key>.",
	)
}
