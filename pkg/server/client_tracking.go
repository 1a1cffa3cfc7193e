package server

import (
	"maps"
	"slices"
	"strings"

	"byor/pkg/engine"
	"byor/pkg/resp"
)

// Client-side caching (Redis's tracking.c): a client keeps copies of what it has read and is told when they are no
// longer true. Either the server remembers which client has read which key, and tells each of them once; a key that is
// read again is remembered again. Or, with BCAST, it remembers nothing and tells of all keys with the prefixes that the
// client named, read or not.
//
// What is remembered are the IDs of clients, not the clients, so that one that goes costs nothing: its IDs
// are met, and forgotten, when the keys change. When more keys than tracking-table-max-keys are remembered, some are
// forgotten, and those who have copies told as if they had changed.
//
// A client is told of a change that its own command has made behind the reply. With BCAST everybody is told when
// the commands that have come at once are done, of all keys in one message.

// tracking is what the server knows of copies. Guarded by the engine's lock.
type tracking struct {
	clients  int                // that track, in whatever mode
	readers  map[string][]int64 // the clients that have read a key, by their IDs, in order
	items    int                // readers of all keys together
	bytes    int64              // what that takes
	prefixes map[string]*trackedPrefix
	pending  []invalid // what the client whose command runs is told when it is over
	rounds   int       // how often in a row there were too many keys
}

// trackedPrefix is who wants to know of all keys that begin with it.
type trackedPrefix struct {
	clients map[*client]struct{}
	changed map[string]*engine.Session // the keys, and who changed them last; nil: nobody's command
}

// invalid is a key whose copies are no longer true, or all keys.
type invalid struct {
	key string
	all bool
}

// readerBytes is what a remembered key costs besides its name and the IDs.
const readerBytes = 64

// inUse reports whether somebody wants to know of changes, or what is remembered is to be forgotten with them.
func (t *tracking) inUse() bool { return t.clients > 0 || len(t.readers) > 0 }

// remember notes that a client has read a key.
func (t *tracking) remember(key []byte, id int64) {
	ids, known := t.readers[string(key)]
	at, found := slices.BinarySearch(ids, id)
	if found {
		return
	}
	if !known {
		if t.readers == nil {
			t.readers = map[string][]int64{}
		}
		t.bytes += readerBytes + int64(len(key))
	}
	before := cap(ids)
	ids = slices.Insert(ids, at, id)
	t.readers[string(key)] = ids
	t.items++
	t.bytes += 8 * int64(cap(ids)-before)
}

// forget returns who has read a key, and forgets it.
func (t *tracking) forget(key string) []int64 {
	ids, known := t.readers[key]
	if known {
		delete(t.readers, key)
		t.items -= len(ids)
		t.bytes -= readerBytes + int64(len(key)) + 8*int64(cap(ids))
	}
	return ids
}

// forgetAll forgets all that was read.
func (t *tracking) forgetAll() { t.readers, t.items, t.bytes = nil, 0, 0 }

// changed notes a key for the prefixes that it has.
func (t *tracking) changed(by *engine.Session, key string) {
	for prefix, p := range t.prefixes {
		if strings.HasPrefix(key, prefix) {
			p.changed[key] = by
		}
	}
}

// KeysRead remembers the keys of a command that reads; of a script that reads, all keys that it was given.
func (l keyListener) KeysRead(session *engine.Session, cmd *engine.Command, _ [][]byte) {
	switch cmd.Name {
	case "eval_ro", "evalsha_ro", "fcall_ro": // the commands in them do it
		return
	}
	c := clientOf(session)
	if tr := &c.tracks; tr.optIn && !tr.caching || tr.optOut && tr.caching {
		return
	}
	cmd, args := session.Outer()
	if cmd.Flags&engine.PubSub != 0 {
		return
	}
	for _, i := range cmd.KeyPositions(args) {
		l.s.tracking.remember(args[i], c.ID)
	}
}

// KeyChanged tells those who have copies of the key.
func (l keyListener) KeyChanged(by *engine.Session, key string) {
	t := &l.s.tracking
	if len(t.prefixes) > 0 {
		if by != nil && by.Has(engine.ModeScript) { // to Redis a script is a client of its own
			by = nil
		}
		t.changed(by, key)
	}
	if len(t.readers) > 0 {
		l.s.invalidate(key, false)
	}
}

// KeyEvicted is KeyChanged before the command runs for which there was to be room.
func (l keyListener) KeyEvicted(key string) {
	l.s.tracking.changed(nil, key)
	l.s.invalidate(key, true)
}

// invalidate tells the readers of a key that it has changed, at once also the client whose commands run.
func (s *Server) invalidate(key string, atOnce bool) {
	for _, id := range s.tracking.forget(key) {
		c := s.clients[id]
		if c == nil || !c.tracks.on || c.tracks.bcast || c.tracks.noLoop && c.runs() {
			continue
		}
		if c.runs() && !atOnce {
			s.tracking.pending = append(s.tracking.pending, invalid{key: key})
			continue
		}
		c.tellInvalid(invalid{key: key})
	}
	if !s.tracking.inUse() {
		s.listenToKeys()
	}
}

// KeysFlushed tells everybody who tracks that no copy is true any more.
func (l keyListener) KeysFlushed() {
	s := l.s
	if s.tracking.clients > 0 {
		for _, c := range s.clients {
			switch {
			case !c.tracks.on:
			case c.runs():
				s.tracking.pending = append(s.tracking.pending, invalid{all: true})
			default:
				c.tellInvalid(invalid{all: true})
			}
		}
	}
	s.tracking.forgetAll()
}

// Settle tells those who track prefixes what has changed meanwhile.
func (l keyListener) Settle() {
	t := &l.s.tracking
	for _, name := range slices.Sorted(maps.Keys(t.prefixes)) {
		p := t.prefixes[name]
		if len(p.changed) == 0 {
			continue
		}
		changed, keys := p.changed, slices.Sorted(maps.Keys(p.changed))
		p.changed = map[string]*engine.Session{}
		for c := range p.clients {
			others := keys
			if c.tracks.noLoop {
				others = slices.DeleteFunc(slices.Clone(keys), func(key string) bool { return changed[key] == &c.Session })
			}
			if len(others) > 0 {
				c.tell(func(w *resp.Writer) { writeKeys(w, others) })
			}
		}
	}
}

func writeKeys(w *resp.Writer, keys []string) {
	w.Array(len(keys))
	for _, key := range keys {
		w.BulkString(key)
	}
}

// tellInvalid tells a client that tracks of a key, or of all.
func (c *client) tellInvalid(i invalid) {
	proto := c.Session.Output().Proto // of the client itself, whoever it has told instead, as in Redis
	c.tell(func(w *resp.Writer) {
		switch {
		case !i.all:
			writeKeys(w, []string{i.key})
		case proto > 2:
			w.Raw([]byte("_\r\n"))
		default:
			w.Raw([]byte("$-1\r\n"))
		}
	})
}

// tell sends a message of invalid keys to a client that tracks, or to the one that it has told instead. A client that
// speaks RESP2 can be told only if it was chosen for that and is subscribed: then it gets a message like any other.
func (c *client) tell(keys func(w *resp.Writer)) {
	to, redirected := c, c.tracks.redirect != 0
	if redirected {
		if to = c.s.clients[c.tracks.redirect]; to == nil {
			c.redirectionBroke()
			return
		}
	}
	if to.closing != staysOpen {
		return
	}
	var w *resp.Writer
	var mark int
	switch {
	case to.Session.Output().Proto > 2:
		w, mark = to.push(2)
		w.BulkString("invalidate")
	case redirected && to.Subs.Count() > 0:
		w, mark = to.push(3)
		w.BulkString("message")
		w.BulkString("__redis__:invalidate")
	default:
		return
	}
	keys(w)
	to.Message(mark)
}

// redirectionBroke notes that nobody is there any more to be told instead of the client.
func (c *client) redirectionBroke() {
	c.tracks.broken = true
	if c.Session.Output().Proto > 2 && c.closing == staysOpen {
		w, mark := c.push(2)
		w.BulkString("tracking-redir-broken")
		w.Int(c.tracks.redirect)
		c.Message(mark)
	}
}

// limitTracking forgets keys when there are too many, the more the longer there are.
func (s *Server) limitTracking() {
	t, most := &s.tracking, int(s.cfg.TrackingMaxKeys)
	if most == 0 {
		return
	}
	for effort := 100 * (t.rounds + 1); effort > 0 && len(t.readers) > most; effort-- {
		for key := range t.readers {
			s.invalidate(key, true)
			break
		}
	}
	if t.rounds++; len(t.readers) <= most {
		t.rounds = 0
	}
}

// afterCommand tells the client, behind the reply, of what its own command has changed, and ends what CLIENT CACHING
// has said of the command, or of the transaction, that is over now.
func (c *client) afterCommand() {
	t := &c.s.tracking
	pending := t.pending
	t.pending = nil
	for _, i := range pending {
		c.tellInvalid(i)
	}
	if !c.Has(engine.ModeMulti) && (c.Cmd == nil || !strings.HasPrefix(c.Cmd.FullName(), "client|")) {
		c.tracks.caching = false
	}
}
