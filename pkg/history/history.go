// Package history keeps what is published on some channels, so that a subscriber who was away can catch up. Pub/sub
// alone is at most once: whoever is not there misses the message. Rules such as room:*=1000 say of which channels
// the latest messages are kept.
//
// A channel's history is a stream, an ordinary key of database 0: that of the channel room:1 is history:room:1, and
// each of its entries has one field, data. So it is in the append-only file, in snapshots and on replicas without
// anything that only this package would know, and XRANGE shows it. PUBLISH adds the entry and delivers the message
// as one unit. The message carries the entry's ID.
//
// The stream keeps one entry more than the rule says. A client that comes back names the last entry that it has
// seen; that entry must still be there, or nobody can tell whether something after it has gone. With the spare one a
// client that has missed exactly as many messages as are kept gets all of them.
//
// On a replica the master decides. If the master keeps the same history, a unit of the replication stream holds the
// entry and then the message, and the two are put together again (Follow). A real Redis sends the message alone.
// Then the replica keeps the history beside its data, in memory (local.go), since a key of its own would make
// its data differ from its master's.
//
// A Keeper is not safe for concurrent use: the engine's lock guards it.
package history

import (
	"bytes"
	"strconv"

	"byor/pkg/engine"
	"byor/pkg/store"
)

// KeyPrefix is how the keys begin that hold histories; the channel's name follows.
const KeyPrefix = "history:"

// field is the one field of an entry.
var field = []byte("data")

// maxEntryBytes is how long a message may be that is kept: XADD has the same limit.
const maxEntryBytes = 1 << 30

// Keeper keeps the history of the channels that its rules name. The methods may be called on nil, which keeps nothing.
type Keeper struct {
	rules []Rule
	stats Stats
	local local
	top   store.StreamID // the last ID that the clock, not a stream, has asked for

	key, id []byte // to be filled again
}

// Stats counts what has become of histories.
type Stats struct {
	Appended int64 // messages kept
	Replayed int64 // messages sent again
	Hits     int64 // subscriptions since an entry that were served without a hole
	Misses   int64 // subscriptions since an entry that were told of a hole

	LocalChannels int   // channels whose history is kept beside the data
	LocalBytes    int64 // that it takes
}

// New returns a keeper with these rules, which it owns. Of several that match, the first one counts.
func New(rules []Rule) *Keeper { return &Keeper{rules: rules} }

// Stats returns the counters.
func (k *Keeper) Stats() Stats {
	if k == nil {
		return Stats{}
	}
	k.stats.LocalChannels, k.stats.LocalBytes = len(k.local.channels), k.local.bytes
	return k.stats
}

// Keeps reports whether the channel has a history.
func (k *Keeper) Keeps(channel string) bool { return k.ruleOf([]byte(channel)) != nil }

// keyOf returns the key of a channel's history. It is valid until the next call.
func (k *Keeper) keyOf(channel []byte) []byte {
	k.key = append(append(k.key[:0], KeyPrefix...), channel...)
	return k.key
}

// Append adds a message to the history of its channel, as a part of the running command, on a master. It returns the
// entry's ID, valid until the next call; nil when the channel has no history. If the message can't be kept it must
// not be delivered either: Append replies the error and reports false.
func (k *Keeper) Append(c *engine.Call, channel, payload []byte) (entry []byte, ok bool) {
	r := k.ruleOf(channel)
	if r == nil {
		return nil, true
	}
	if msg := refusal(c, payload); msg != "" {
		c.Fail(msg)
		return nil, false
	}
	selected := c.DB
	c.DB = c.Database(0)
	defer func() { c.DB = selected }()
	key := k.keyOf(channel)
	s, e, err := store.Edit[*store.Stream](c.DB, key)
	if err != nil {
		c.Fail("WRONGTYPE the key '" + engine.Clip(key, 128) + "' holds something else than the channel's history: nothing was published")
		return nil, false
	}
	if e == nil {
		s = store.NewStream()
	}
	id, ok := k.nextID(c.NowMs(), s, e == nil)
	if !ok {
		c.Fail("ERR the history in the key '" + engine.Clip(key, 128) + "' has used the last possible ID: nothing was published")
		return nil, false
	}
	k.add(c, r, s, e, id, payload)
	k.stats.Appended++
	return k.id, true
}

// refusal says why nothing may be written now. PUBLISH alone is no write, so the engine has not asked.
func refusal(c *engine.Call, payload []byte) string {
	switch {
	case c.Trusted():
		return ""
	case c.Engine().Loading:
		return engine.ErrLoading
	case c.NoRoom():
		return "OOM command not allowed when used memory > 'maxmemory'."
	case len(payload) > maxEntryBytes:
		return "ERR the message is too large for the channel's history"
	}
	return c.Refused(engine.Write | engine.DenyOOM)
}

// nextID works out the ID of the next entry: the time, or if that is not after the last one, the next after that. A
// stream that is new, because somebody has deleted the old one, begins after all IDs that were given by the
// clock before: no ID stands for two messages.
func (k *Keeper) nextID(nowMs int64, s *store.Stream, isNew bool) (store.StreamID, bool) {
	last := s.Last()
	if isNew {
		last = k.top
	}
	id := store.StreamID{Ms: uint64(nowMs)}
	if !last.Less(id) {
		var ok bool
		if id, ok = last.Next(); !ok {
			return id, false
		}
	}
	if k.top.Less(id) && id.Ms <= max(uint64(nowMs), k.top.Ms) { // else it is one that somebody has made up with XADD
		k.top = id
	}
	return id, true
}

// add adds the entry, lets go of what is too much, and says what of it replicas and the append-only file are told.
func (k *Keeper) add(c *engine.Call, r *Rule, s *store.Stream, e *store.Entry, id store.StreamID, payload []byte) {
	key := k.key
	k.id = id.Append(k.id[:0])
	s.Add(id, [][]byte{field, payload})
	tooMany := s.Trim(store.StreamTrim{MaxLen: uint64(r.Max) + 1}) > 0
	c.As(engine.ClassStream, "xadd").Put(key, e, s)
	if tooMany {
		c.Tell(engine.ClassStream, "xtrim", key)
		c.Replicate([]byte("XADD"), key, []byte("MAXLEN"), []byte("="), strconv.AppendInt(nil, r.Max+1, 10), k.id, field, payload)
	} else {
		c.Replicate([]byte("XADD"), key, k.id, field, payload)
	}
	if r.Age == 0 {
		return
	}
	if keep, some := oldestKept(s, r, c.NowMs()); some && s.Trim(store.StreamTrim{ByID: true, MinID: keep}) > 0 {
		c.Tell(engine.ClassStream, "xtrim", key)
		c.Replicate([]byte("XTRIM"), key, []byte("MINID"), []byte("="), keep.Append(nil))
	}
	k.postpone(c, r, key)
}

// cutoff returns the ID before which entries are too old.
func (r *Rule) cutoff(nowMs int64) store.StreamID {
	if r.Age == 0 {
		return store.StreamID{}
	}
	return store.StreamID{Ms: uint64(max(0, nowMs-r.Age.Milliseconds()))}
}

// oldestKept returns the ID from which on entries stay, if there are some that are too old: the newest one of those
// stays, too, as the spare one.
func oldestKept(s *store.Stream, r *Rule, nowMs int64) (keep store.StreamID, some bool) {
	cutoff := r.cutoff(nowMs)
	if !s.Meta().First.Less(cutoff) {
		return store.StreamID{}, false
	}
	before, _ := cutoff.Prev()
	s.RevRange(store.StreamID{}, before, func(e *store.StreamEntry) bool { keep = e.ID; return false })
	return keep, true
}

// postpone lets the key of a rule with an age expire when nobody has published for twice the age: channels that
// nobody uses any more must not fill the memory. The time is moved on by an eighth of the age at least, so that most
// messages do without a second effect.
func (k *Keeper) postpone(c *engine.Call, r *Rule, key []byte) {
	e := c.DB.Lookup(key)
	at := c.NowMs() + 2*r.Age.Milliseconds()
	if c.DB.ExpireAt(e) > at-r.Age.Milliseconds()/8 {
		return
	}
	c.DB.SetExpire(e, at)
	c.As(engine.ClassKey, "expire").Touched(key)
	c.Replicate([]byte("PEXPIREAT"), key, strconv.AppendInt(nil, at, 10))
}

// Follow finds the entry of a message that reaches a replica's channel. before are the commands of the unit of the
// replication stream that ran before the PUBLISH; none when a client of the replica has published. If the master keeps
// the channel's history, its XADD is among them; if not, the message is kept beside the data. Follow returns the
// entry's ID, valid until the next call; nil when there is none.
func (k *Keeper) Follow(c *engine.Call, before [][][]byte, channel, payload []byte) (entry []byte) {
	r := k.ruleOf(channel)
	if r == nil {
		return nil
	}
	key := k.keyOf(channel)
	for i := len(before) - 1; i >= 0; i-- {
		if id, ok := entryOf(before[i], key, payload); ok {
			k.local.forget(channel)
			k.id = id.Append(k.id[:0])
			return k.id
		}
	}
	if !c.Trusted() && !k.local.has(channel) && c.Database(0).Exists(key) {
		return nil // it is the master's, who does not know of this message
	}
	k.id = k.local.append(c.NowMs(), r, channel, payload).Append(k.id[:0])
	k.stats.Appended++
	return k.id
}

// entryOf returns the ID of the entry if the command adds the message to the stream key.
func entryOf(args [][]byte, key, payload []byte) (store.StreamID, bool) {
	n := len(args)
	if n < 5 || !engine.EqualFold(args[0], "xadd") || !bytes.Equal(args[1], key) ||
		!bytes.Equal(args[n-2], field) || !bytes.Equal(args[n-1], payload) {
		return store.StreamID{}, false
	}
	return store.ParseStreamID(args[n-3], 0)
}

// Forget drops what is kept beside the data: the server has become a master, its data were replaced by
// another master's, or all is to be forgotten. Whoever comes back is told of a hole.
func (k *Keeper) Forget() {
	if k != nil {
		k.local.forgetAll()
	}
}
