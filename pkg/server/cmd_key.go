package server

import (
	"math"
	"sort"
	"strconv"

	"byor/pkg/pubsub"
	"byor/pkg/store"
)

func init() {
	key := Keys{1, 1, 1}
	register("generic", []Command{
		{Name: "del", Arity: -2, Flags: Write, Keys: Keys{1, -1, 1}, Handler: cmdDel},
		{Name: "unlink", Arity: -2, Flags: Write | Fast, Keys: Keys{1, -1, 1}, Handler: cmdDel},
		{Name: "exists", Arity: -2, Flags: ReadOnly | Fast, Keys: Keys{1, -1, 1}, Handler: cmdExists},
		{Name: "touch", Arity: -2, Flags: ReadOnly | Fast, Keys: Keys{1, -1, 1}, Handler: cmdExists},
		{Name: "type", Arity: 2, Flags: ReadOnly | Fast, Keys: key, Handler: cmdType},
		{Name: "keys", Arity: 2, Flags: ReadOnly, Handler: cmdKeys},
		{Name: "scan", Arity: -2, Flags: ReadOnly, Handler: cmdScan},
		{Name: "randomkey", Arity: 1, Flags: ReadOnly, Handler: cmdRandomkey},
		{Name: "rename", Arity: 3, Flags: Write, Keys: Keys{1, 2, 1}, Handler: cmdRename},
		{Name: "renamenx", Arity: 3, Flags: Write | Fast, Keys: Keys{1, 2, 1}, Handler: cmdRename},
		{Name: "copy", Arity: -3, Flags: Write | DenyOOM, Keys: Keys{1, 2, 1}, Handler: cmdCopy},
		{Name: "move", Arity: 3, Flags: Write | Fast, Keys: key, Handler: cmdMove},
		{Name: "object", Arity: -2, Sub: []*Command{
			{Name: "encoding", Arity: 3, Flags: ReadOnly, Keys: Keys{2, 2, 1}, Handler: cmdObjectEncoding},
			{Name: "freq", Arity: 3, Flags: ReadOnly, Keys: Keys{2, 2, 1}, Handler: cmdObjectFreq},
			{Name: "help", Arity: 2, Flags: Loading | Stale, Handler: cmdObjectHelp},
			{Name: "idletime", Arity: 3, Flags: ReadOnly, Keys: Keys{2, 2, 1}, Handler: cmdObjectIdletime},
			{Name: "refcount", Arity: 3, Flags: ReadOnly, Keys: Keys{2, 2, 1}, Handler: cmdObjectRefcount},
		}},
	})
	register("server", []Command{
		{Name: "dbsize", Arity: 1, Flags: ReadOnly | Fast, Handler: cmdDbsize},
		{Name: "flushdb", Arity: -1, Flags: Write, Handler: cmdFlushdb},
		{Name: "flushall", Arity: -1, Flags: Write, Handler: cmdFlushall},
		{Name: "swapdb", Arity: 3, Flags: Write | Fast, Handler: cmdSwapdb},
	})
}

func cmdDel(c *Client) {
	n := 0
	for _, key := range c.args[1:] {
		n += btoi(c.del(key))
	}
	c.w.Int(int64(n))
}

// cmdExists is EXISTS and TOUCH: a key given twice counts twice.
func cmdExists(c *Client) {
	n := 0
	for _, key := range c.args[1:] {
		e := c.db.Peek(key)
		if c.cmd.Name == "touch" && e != nil {
			c.db.Lookup(key)
		}
		n += btoi(c.found(e != nil))
	}
	c.w.Int(int64(n))
}

func cmdType(c *Client) {
	e := c.db.Peek(c.args[1])
	if !c.found(e != nil) {
		c.w.SimpleString("none")
		return
	}
	c.w.SimpleString(e.Value().Type().String())
}

func cmdKeys(c *Client) {
	pattern := c.args[1]
	all := string(pattern) == "*"
	at, n := len(c.w.Buf), 0
	c.db.Each(func(e *store.Entry) bool {
		if (all || pubsub.Match(pattern, e.Key())) && !c.db.Expired(e) {
			c.w.BulkString(e.Key())
			n++
		}
		return true
	})
	c.insertArrayHeader(at, n)
}

// insertArrayHeader opens an array of n values that were appended from at on already.
func (c *Client) insertArrayHeader(at, n int) {
	head := strconv.AppendInt([]byte{'*'}, int64(n), 10)
	head = append(head, '\r', '\n')
	c.w.Buf = append(c.w.Buf, head...)
	copy(c.w.Buf[at+len(head):], c.w.Buf[at:])
	copy(c.w.Buf[at:], head)
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
func (c *Client) cursorArg(i int) (uint64, bool) {
	n, ok := parseCursor(string(cString(c.args[i])))
	if !ok {
		c.fail("ERR invalid cursor")
	}
	return n, ok
}

// parseScanOf parses the arguments of HSCAN, SSCAN and ZSCAN and returns the value they walk. Redis
// looks at the options only where there is one: else it replies that there is nothing.
func parseScanOf[T store.Value](c *Client) (v T, o scanOptions, ok bool) {
	if _, ok = c.cursorArg(2); !ok {
		return v, o, false
	}
	e := c.db.Lookup(c.args[1])
	if !c.found(e != nil) {
		c.replyScan(len(c.w.Buf), 0, 0)
		return v, o, false
	}
	if v, ok = e.Value().(T); !ok {
		c.fail(errWrongType)
		return v, o, false
	}
	o, ok = c.parseScan(2, false)
	return v, o, ok
}

// parseScan parses the cursor at argument i and the options behind it.
func (c *Client) parseScan(i int, withType bool) (o scanOptions, ok bool) {
	if o.cursor, ok = c.cursorArg(i); !ok {
		return o, false
	}
	o.count = 10
	for i++; i < len(c.args); i += 2 {
		more := i+1 < len(c.args)
		switch {
		case more && c.is(i, "count"):
			if o.count, ok = c.intArg(i + 1); !ok {
				return o, false
			}
			if o.count < 1 {
				c.fail(errSyntax)
				return o, false
			}
		case more && c.is(i, "match"):
			o.match = c.args[i+1]
			if string(o.match) == "*" {
				o.match = nil
			}
		case more && withType && c.is(i, "type"):
			o.typ = c.args[i+1]
		default:
			c.fail(errSyntax)
			return o, false
		}
	}
	return o, true
}

// replyScan replies a cursor and n elements that were appended from at on already.
func (c *Client) replyScan(at int, cursor uint64, n int) {
	c.insertArrayHeader(at, n)
	head := []byte("*2\r\n")
	digits := strconv.AppendUint(nil, cursor, 10)
	head = append(strconv.AppendInt(append(head, '$'), int64(len(digits)), 10), '\r', '\n')
	head = append(append(head, digits...), '\r', '\n')
	c.w.Buf = append(c.w.Buf, head...)
	copy(c.w.Buf[at+len(head):], c.w.Buf[at:])
	copy(c.w.Buf[at:], head)
}

func cmdScan(c *Client) {
	o, ok := c.parseScan(1, true)
	if !ok {
		return
	}
	at, n := len(c.w.Buf), 0
	var expired []string
	visited := int64(0)
	for tries := 10 * min(o.count, math.MaxInt64/10); tries > 0; tries-- {
		o.cursor = c.db.Scan(o.cursor, func(e *store.Entry) {
			visited++
			switch {
			case o.match != nil && !pubsub.Match(o.match, e.Key()),
				o.typ != nil && !isWord(o.typ, e.Value().Type().String()):
			case c.db.Expired(e):
				expired = append(expired, e.Key())
			default:
				c.w.BulkString(e.Key())
				n++
			}
		})
		if o.cursor == 0 || visited >= o.count {
			break
		}
	}
	c.replyScan(at, o.cursor, n)
	for _, key := range expired {
		c.db.Peek([]byte(key)) // deletes it, where it may be deleted
	}
	c.deletedAnyKeys()
}

// deletedAnyKeys ends a command that may delete keys that it does not name, when it meets them expired.
func (c *Client) deletedAnyKeys() {
	if !c.has(flagInExec) {
		c.s.standAlone()
	}
}

func cmdRandomkey(c *Client) {
	e := c.db.Random()
	c.deletedAnyKeys()
	if e == nil {
		c.w.Null()
		return
	}
	c.w.BulkString(e.Key())
}

// cmdRename is RENAME and RENAMENX.
func cmdRename(c *Client) {
	nx := c.cmd.Name == "renamenx"
	from, to := c.args[1], c.args[2]
	e := c.db.Lookup(from)
	switch {
	case e == nil:
		c.fail(errNoKey)
		return
	case string(from) == string(to):
		if nx {
			c.w.Int(0)
		} else {
			c.w.OK()
		}
		return
	case nx && c.db.Peek(to) != nil:
		c.w.Int(0)
		return
	}
	v, at, use := e.Value(), c.db.ExpireAt(e), e.AccessSec()
	c.db.Remove(e)
	moved := c.set(to, v)
	moved.SetAccessSec(use)
	if at >= 0 {
		c.db.SetExpire(moved, at)
	}
	c.touched(from)
	c.counts(0) // one of the two keys does not
	if nx {
		c.w.Int(1)
	} else {
		c.w.OK()
	}
}

// otherDB returns the database whose number argument i gives. With a text, that is the error for
// what is no number.
func (c *Client) otherDB(i int, text string) (*store.DB, bool) {
	n, ok := c.rangeArg(i, math.MinInt32, math.MaxInt32, text)
	if !ok {
		return nil, false
	}
	db := c.s.store.DB(n)
	if db == nil {
		c.fail(errDBIndex)
	}
	return db, db != nil
}

func cmdCopy(c *Client) {
	target, replace := c.db, false
	for i := 3; i < len(c.args); i++ {
		switch {
		case c.is(i, "replace"):
			replace = true
		case c.is(i, "db") && i+1 < len(c.args):
			var ok bool
			if target, ok = c.otherDB(i+1, ""); !ok {
				return
			}
			i++
		default:
			c.fail(errSyntax)
			return
		}
	}
	from, to := c.args[1], c.args[2]
	if target == c.db && string(from) == string(to) {
		c.fail("ERR source and destination objects are the same")
		return
	}
	e := c.db.Lookup(from)
	if !c.found(e != nil) || target.Peek(to) != nil && !replace {
		c.w.Int(0)
		return
	}
	at, clone := c.db.ExpireAt(e), e.Value().Clone()
	target.Delete(to) // so that the copy inherits nothing
	copied := target.Set(to, clone)
	if at >= 0 {
		target.SetExpire(copied, at)
	}
	c.s.touched(target, copied.Key())
	c.w.Int(1)
}

func cmdMove(c *Client) {
	target, ok := c.otherDB(2, "")
	if !ok {
		return
	}
	if target == c.db {
		c.fail("ERR source and destination objects are the same")
		return
	}
	e := c.db.Lookup(c.args[1])
	if e == nil || target.Peek(c.args[1]) != nil {
		c.w.Int(0)
		return
	}
	v, at, use := e.Value(), c.db.ExpireAt(e), e.AccessSec()
	c.db.Remove(e)
	moved := target.Set(c.args[1], v)
	moved.SetAccessSec(use)
	if at >= 0 {
		target.SetExpire(moved, at)
	}
	c.touched(c.args[1])
	c.s.touched(target, moved.Key())
	c.counts(0) // one of the two keys does not
	c.w.Int(1)
}

func cmdDbsize(c *Client) { c.w.Int(int64(c.db.Len())) }

// parseFlush checks the SYNC or ASYNC of FLUSHDB and FLUSHALL, which make no difference here: the
// memory is given back by the collector, which runs beside the commands in any case.
func (c *Client) parseFlush() bool {
	if len(c.args) == 1 || len(c.args) == 2 && (c.is(1, "sync") || c.is(1, "async")) {
		return true
	}
	c.fail(errSyntax)
	return false
}

func cmdFlushdb(c *Client) {
	if !c.parseFlush() {
		return
	}
	c.s.flushDB(c.db)
	c.replicate(c.args...) // even where there was nothing to flush
	c.w.OK()
}

func cmdFlushall(c *Client) {
	if !c.parseFlush() {
		return
	}
	for i := range c.s.store.Len() {
		c.s.flushDB(c.s.store.DB(i))
	}
	c.replicate(c.args...)
	c.w.OK()
	c.s.afterFlushall()
}

func (s *Server) flushDB(db *store.DB) {
	s.breakWatchesOf(db.ID(), nil)
	s.allReady(db.ID())
	s.dirty += int64(db.Len())
	db.Flush()
}

func cmdSwapdb(c *Client) {
	a, ok := c.otherDB(1, "ERR invalid first DB index")
	if !ok {
		return
	}
	b, ok := c.otherDB(2, "ERR invalid second DB index")
	if !ok {
		return
	}
	s := c.s
	if a != b {
		s.breakWatchesOf(a.ID(), b)
		s.breakWatchesOf(b.ID(), a)
		s.store.Swap(a.ID(), b.ID())
		s.allReady(a.ID())
		s.allReady(b.ID())
	}
	s.dirty++
	c.w.OK()
}

// object returns the entry of OBJECT's key without marking it as used.
func (c *Client) object() *store.Entry {
	e := c.db.Peek(c.args[2])
	if !c.found(e != nil) {
		c.w.Null()
	}
	return e
}

func cmdObjectEncoding(c *Client) {
	if e := c.object(); e != nil {
		c.w.BulkString(e.Value().Encoding())
	}
}

func cmdObjectRefcount(c *Client) {
	if e := c.object(); e != nil {
		if v, ok := e.Value().(*store.String); ok { // Redis shares the small integers
			if n, isInt := v.Int(); isInt && n >= 0 && n < 10000 && c.s.cfg.MaxMemory == 0 {
				c.w.Int(maxInt)
				return
			}
		}
		c.w.Int(1)
	}
}

func cmdObjectIdletime(c *Client) {
	if e := c.object(); e != nil {
		if c.s.lfu() {
			c.fail("ERR An LFU maxmemory policy is selected, idle time not tracked. Please note that when switching between policies at runtime LRU and LFU data will take some time to adjust.")
			return
		}
		c.w.Int(int64(uint32(c.s.nowMs/1000) - e.AccessSec()))
	}
}

func cmdObjectFreq(c *Client) {
	if e := c.object(); e != nil {
		if !c.s.lfu() {
			c.fail("ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when switching between policies at runtime LRU and LFU data will take some time to adjust.")
			return
		}
		c.w.Int(c.db.Freq(e))
	}
}

func (s *Server) lfu() bool {
	return s.cfg.MaxMemoryPolicy == "allkeys-lfu" || s.cfg.MaxMemoryPolicy == "volatile-lfu"
}

func cmdObjectHelp(c *Client) {
	c.help(
		"ENCODING <key>", "    Return the kind of internal representation used in order to store the value", "    associated with a <key>.",
		"FREQ <key>", "    Return the access frequency index of the <key>. The returned integer is", "    proportional to the logarithm of the recent access frequency of the key.",
		"IDLETIME <key>", "    Return the idle time of the <key>, that is the approximated number of", "    seconds elapsed since the last access to the key.",
		"REFCOUNT <key>", "    Return the number of references of the value associated with the specified", "    <key>.",
	)
}

// sortedKeys returns a map's keys in order.
func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}
