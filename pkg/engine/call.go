package engine

import (
	"math"
	"slices"

	"byor/pkg/resp"
	"byor/pkg/store"
)

// Call is a command that is being executed, as its handler sees it: this is all there is to know in order
// to write or to read one. A handler runs under the engine's lock, alone in the world. It
//   - reads c.Args (Args[0] is the name; the slices are valid only during the call: copy to keep, or ask
//     Keeps);
//   - reads with Read[*store.Hash](c, key), which replies WRONGTYPE itself, and writes with
//     Edit[*store.Hash](c, key), which lets a snapshot under way have the old value first; Fetch and
//     FetchEdit also count the look-up as a hit or a miss;
//   - appends exactly one reply to c.Reply, errors through c.Fail("ERR …");
//   - tells of each key it changed with c.Changed(entry), or c.Touched(key) when it was deleted or
//     replaced: this is what WATCH, blocked clients and save points go by. Set, Put, Del and RemoveIfEmpty
//     do that by themselves;
//   - gives the change another name than the command's, for keyspace events, with c.As;
//   - says what the change is to replicas and the append-only file, if it is not the command as it
//     came: c.Replicate(args…) once or several times instead, or c.ReplicateNothing(). A handler that
//     touched nothing replicates nothing;
//   - waits, where there is nothing for it yet, with c.Block.
//
// It never writes to a socket, a file or a replica. A Call is valid while its handler runs.
type Call struct {
	Args  [][]byte
	DB    *store.DB
	Reply resp.Writer
	Cmd   *Command

	e *Engine
	c *Session

	secrets   []int     // the arguments that nobody may see
	failed    bool      // it replied an error
	rewritten bool      // it said itself what to replicate
	next      happening // what the next change is called, see As
}

// Error texts that many commands share, as real Redis words them.
const (
	ErrSyntax      = "ERR syntax error"
	ErrNotInt      = "ERR value is not an integer or out of range"
	ErrNotFloat    = "ERR value is not a valid float"
	ErrWrongType   = "WRONGTYPE Operation against a key holding the wrong kind of value"
	ErrNoKey       = "ERR no such key"
	ErrIndexRange  = "ERR index out of range"
	ErrTimeoutNeg  = "ERR timeout is negative"
	ErrNotPositive = "ERR value is out of range, must be positive"
	ErrDBIndex     = "ERR DB index is out of range"
	ErrLoading     = "LOADING Redis is loading the dataset in memory"

	errTimeoutNotNum = "ERR timeout is not a float or out of range"
)

// Session returns the session whose command it is.
func (c *Call) Session() *Session { return c.c }

// Engine returns the engine that executes it.
func (c *Call) Engine() *Engine { return c.e }

// Settings returns the engine's parameters, which a handler may read.
func (c *Call) Settings() *Settings { return &c.e.Settings }

// NowMs returns the time of the call, in Unix milliseconds. It stands still meanwhile.
func (c *Call) NowMs() int64 { return c.e.NowMs }

// After returns the time that comes ms from now, or the end of all time.
func (c *Call) After(ms int64) int64 { return c.e.NowMs + min(ms, math.MaxInt64-c.e.NowMs) }

// Failed reports whether it has replied an error.
func (c *Call) Failed() bool { return c.failed }

// Fail replies an error and counts it. msg opens with its code.
func (c *Call) Fail(msg string) {
	c.failed = true
	c.e.countError(msg)
	if c.c.Mode&(ModeMaster|ModeFile|ModeReplica) != 0 {
		c.e.Stats.UnexpectedErrors++
	}
	c.Reply.Error(msg)
}

// FailArity replies that the command that is running was given the wrong number of arguments.
func (c *Call) FailArity() {
	c.Fail("ERR wrong number of arguments for '" + c.Cmd.full + "' command")
}

// FailSubcommand replies that a container has no such subcommand or not with so many arguments.
func (c *Call) FailSubcommand() {
	c.Fail("ERR unknown subcommand or wrong number of arguments for '" + Clip(c.Args[1], 128) +
		"'. Try " + Upper(c.Args[0]) + " HELP.")
}

// Help replies the lines of a HELP subcommand in Redis's frame.
func (c *Call) Help(lines ...string) {
	c.Reply.Array(len(lines) + 3)
	c.Reply.SimpleString(Upper(c.Args[0]) + " <subcommand> [<arg> [value] [opt] ...]. Subcommands are:")
	for _, l := range lines {
		c.Reply.SimpleString(l)
	}
	c.Reply.SimpleString("HELP")
	c.Reply.SimpleString("    Prints this help.")
}

// Read returns the value of key, nil when it is absent. It replies WRONGTYPE and reports false
// when the key holds another type.
func Read[T store.Value](c *Call, key []byte) (T, bool) {
	v, err := store.Get[T](c.DB, key)
	if err != nil {
		c.Fail(ErrWrongType)
		return v, false
	}
	return v, true
}

// ReadEntry is Read that returns the entry, too, which is nil when the key is absent: for what replaces
// the value, or deletes it, or sets its expiry time.
func ReadEntry[T store.Value](c *Call, key []byte) (T, *store.Entry, bool) {
	v, e, err := store.Find[T](c.DB, key)
	if err != nil {
		c.Fail(ErrWrongType)
	}
	return v, e, err == nil
}

// Edit is ReadEntry for a value that the handler may change; the entry is nil when the key is absent.
func Edit[T store.Value](c *Call, key []byte) (T, *store.Entry, bool) {
	v, e, err := store.Edit[T](c.DB, key)
	if err != nil {
		c.Fail(ErrWrongType)
		return v, nil, false
	}
	return v, e, true
}

// EditOrCreate is Edit that makes a new value where the key is absent. The new value is not in
// the database yet: when something was put into it, call c.Put, else forget it.
func EditOrCreate[T store.Value](c *Call, key []byte, create func() T) (v T, e *store.Entry, ok bool) {
	v, e, ok = Edit[T](c, key)
	if ok && e == nil {
		v = create()
	}
	return v, e, ok
}

// Changed tells that the entry's value was changed.
func (c *Call) Changed(e *store.Entry) {
	c.DB.Changed(e)
	c.touched(c.DB, e.Key())
}

// Counts makes a command that was counted as one change count as n, for the save points. Redis counts
// elements: RPUSH of a thousand is a thousand changes.
func (c *Call) Counts(n int) { c.e.Changes += int64(n - 1) }

// Touched tells that key was created, replaced or deleted.
func (c *Call) Touched(key []byte) { c.touched(c.DB, string(key)) }

// Set makes v the value of key, without expiry, and tells of it.
func (c *Call) Set(key []byte, v store.Value) *store.Entry {
	e := c.DB.Set(key, v)
	c.touched(c.DB, e.Key())
	return e
}

// Put tells that v, got from EditOrCreate with e, was changed: it stores a new one.
func (c *Call) Put(key []byte, e *store.Entry, v store.Value) {
	if e == nil {
		c.Set(key, v)
		return
	}
	c.Changed(e)
}

// RemoveIfEmpty tells that the entry's value was changed, or deletes the entry when nothing is
// left in it, as Redis keeps no empty collections. It reports whether it deleted it.
func (c *Call) RemoveIfEmpty(e *store.Entry, length int) bool {
	if length > 0 {
		c.Changed(e)
		return false
	}
	key := e.Key()
	c.DB.Remove(e)
	c.touched(c.DB, key)
	if c.e.KeyClasses&ClassKey != 0 {
		c.e.Keys.KeyEvent(ClassKey, c.DB.ID(), "del", key)
	}
	return true
}

// Del deletes key, tells of it, and reports whether it was there.
func (c *Call) Del(key []byte) bool {
	if !c.DB.Delete(key) {
		return false
	}
	c.As(ClassKey, "del").Touched(key)
	return true
}

// Fetch is Read that counts the look-up as a hit or a miss.
func Fetch[T store.Value](c *Call, key []byte) (v T, ok bool) {
	e := c.DB.Lookup(key)
	if !c.Found(key, e != nil) {
		return v, true
	}
	if v, ok = e.Value().(T); !ok {
		c.Fail(ErrWrongType)
	}
	return v, ok
}

// FetchEdit is Edit for a command that Redis counts as one that looks up.
func FetchEdit[T store.Value](c *Call, key []byte) (v T, e *store.Entry, ok bool) {
	v, e, ok = Edit[T](c, key)
	c.Found(key, e != nil || !ok)
	return v, e, ok
}

// BulkElem replies an element.
func (c *Call) BulkElem(e store.Elem) {
	if n, isInt := e.Int(); isInt {
		c.Reply.BulkInt(n)
		return
	}
	c.Reply.Bulk(e.Bytes())
}

// TouchedEntry is Touched for an entry that is there now, and that was replaced without Changed.
func (c *Call) TouchedEntry(e *store.Entry) { c.touched(c.DB, e.Key()) }

// TouchedIn is Touched for a key of any database.
func (c *Call) TouchedIn(db *store.DB, key string) { c.touched(db, key) }

// Changes returns how many changes there have been: whether a part of a handler has made one.
func (c *Call) Changes() int64 { return c.e.Changes }

// ChangedQuietly is Changed for what neither WATCH nor waiting clients hear of: it is a change to be saved.
func (c *Call) ChangedQuietly(e *store.Entry) {
	c.DB.Changed(e)
	c.e.Changes++
}

// Found counts a look-up for INFO's keyspace_hits and keyspace_misses, tells of a miss, and passes it on.
func (c *Call) Found(key []byte, was bool) bool {
	if was {
		c.e.Stats.Hits++
		return true
	}
	c.e.Stats.Misses++
	if c.e.KeyClasses&ClassMissed != 0 {
		c.e.Keys.KeyEvent(ClassMissed, c.DB.ID(), "keymiss", string(key))
	}
	return false
}

// FoundQuietly is Found for what looks at keys as an administrator does: nobody is told.
func (c *Call) FoundQuietly(was bool) bool {
	if was {
		c.e.Stats.Hits++
	} else {
		c.e.Stats.Misses++
	}
	return was
}

// OwnsExpiry reports whether a key whose time has come may be deleted by the command, instead of by what is
// loaded or a master.
func (c *Call) OwnsExpiry() bool { return !c.e.Loading && c.e.world.OwnsExpiry() }

// Trusted reports whether the command is not a user's but the replication link's or a file's.
func (c *Call) Trusted() bool { return c.c.Mode&(ModeMaster|ModeFile) != 0 }

// Keeps reports whether a handler may make an argument a value, or a part of one, instead of a copy: it has
// memory of its own, and nobody writes there.
func (c *Call) Keeps(arg []byte) bool {
	if len(arg) < resp.LargeBulk {
		return false
	}
	if c.c.Has(ModeExec) { // see KeepArgs; it is so in a script, too
		return true
	}
	return c.c.peer.TakeArg(arg)
}

// Hide keeps arguments, such as passwords, out of MONITOR and the slow log.
func (c *Call) Hide(args ...int) { c.secrets = append(c.secrets, args...) }

// Shown returns the arguments without those that Hide was told of.
func (c *Call) Shown(args [][]byte) [][]byte {
	if len(c.secrets) == 0 {
		return args
	}
	args = slices.Clone(args)
	for _, i := range c.secrets {
		args[i] = []byte("(redacted)")
	}
	return args
}

// ReplicateExpiry says that the effect of the command is that a key has expired.
func (c *Call) ReplicateExpiry(key []byte) { c.Replicate(deletion(c.e.Settings.LazyExpire), key) }

// ReplicateDeletion says that the effect of the command is that a key was deleted.
func (c *Call) ReplicateDeletion(key []byte) { c.Replicate(deletion(c.e.Settings.LazyUserDel), key) }

// Propagates reports whether anybody wants to know the effect of the command.
func (c *Call) Propagates() bool { return c.e.propagating() }

// Database returns a database by its number, or nil.
func (c *Call) Database(n int) *store.DB { return c.e.Store.DB(n) }

// FlushDB empties the database and tells of it.
func (c *Call) FlushDB() {
	c.e.flushDB(c.DB)
	c.e.KeysFlushed()
}

// FlushAll empties all databases and tells of it.
func (c *Call) FlushAll() {
	for i := range c.e.Store.Len() {
		c.e.flushDB(c.e.Store.DB(i))
	}
	c.e.KeysFlushed()
}

// Flushed lets the surroundings know of FlushAll, once all else is done.
func (c *Call) Flushed() { c.e.world.Flushed() }

// SwapDBs exchanges what two databases hold and tells of it.
func (c *Call) SwapDBs(a, b *store.DB) { c.e.swapDBs(a, b) }

// BreakWatches is for a key to which nothing happened, although WATCH sees something.
func (c *Call) BreakWatches(key string) {
	c.e.breakWatches(c.DB.ID(), key)
	if c.e.Keys != nil {
		c.tell(c.DB.ID(), key)
	}
}

// WakeWaiting lets those look again who wait for a key, although it is as it was.
func (c *Call) WakeWaiting(key string) { c.e.keyReady(c.DB.ID(), key) }

// DeletedAnyKeys ends a command that may delete keys that it does not name, when it meets them expired.
func (c *Call) DeletedAnyKeys() {
	if !c.c.Has(ModeExec) {
		c.e.standAlone()
	}
}

// CountPayload counts a payload of RESTORE.
func (c *Call) CountPayload() { c.e.Stats.PayloadsChecked++ }

// CountAsFailed makes the command count as one that has failed, although it replies no error.
func (c *Call) CountAsFailed() { c.failed = true }
