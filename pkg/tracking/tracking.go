// Package tracking is client-side caching (Redis's tracking.c): a client keeps copies of what it has read, and is told
// when they are no longer true. Either the server remembers which client has read which key, and tells each of them
// once; a key that is read again is remembered again. Or, with BCAST, it remembers nothing and tells of all keys with
// the prefixes that the client named, read or not.
//
// What is remembered are the IDs of clients, not the clients, so that a client that goes costs nothing: its IDs
// are met, and forgotten, when the keys change. When more keys than tracking-table-max-keys are remembered, some are
// forgotten, and those who have copies are told as if they had changed.
//
// A client is told of a change that its own command has made behind the reply. With BCAST everybody is told when
// the commands that have come at once are done, of all keys in one message.
//
// The order in which to read it: this file, what is known; events.go, what the engine says of keys and who is told of
// it; commands.go, by which clients ask for it. The package knows no connections. Host and Peer are what it has to ask
// about them.
package tracking

import (
	"slices"
	"strings"

	"byor/pkg/engine"
	"byor/pkg/resp"
)

// Host is the server whose clients track keys. Its methods are called with the engine's lock held.
type Host interface {
	// Session returns the session of the client with an ID, nil where there is none. Its peer is a Peer.
	Session(id int64) *engine.Session
	// Listen is told when InUse may have changed: while it is true, the engine must tell the Table of keys.
	Listen()
}

// Peer is a session's peer whose client may track keys. Its methods are called with the engine's lock held.
type Peer interface {
	// Tracks returns how the client tracks keys, and where that is known. Both stay the same.
	Tracks() (*Table, *State)
	// Open reports whether the client may be sent something yet.
	Open() bool
	// Push opens a message of n values to the client; it ends with the session's Message and the mark.
	Push(n int) (w *resp.Writer, mark int)
}

// stateOf returns how a client tracks keys.
func stateOf(c *engine.Session) *State {
	_, s := c.Peer().(Peer).Tracks()
	return s
}

// runs reports whether the session's commands are those that run.
func runs(c *engine.Session) bool { return c.Engine().Running == c }

// Table is what a server knows of copies. The engine's lock guards it; every method needs it. Call Init first.
type Table struct {
	host     Host
	clients  map[*engine.Session]struct{} // that track, in whatever mode
	readers  map[string][]int64           // the clients that have read a key, by their IDs, in order
	items    int                          // readers of all keys together
	bytes    int64                        // what that takes
	prefixes map[string]*prefix
	pending  []invalid // what the client whose command runs is told when it is over
	rounds   int       // how often in a row there were too many keys
}

// prefix is who wants to know of all keys that begin with it.
type prefix struct {
	clients map[*engine.Session]struct{}
	changed map[string]*engine.Session // the keys, and who changed them last; nil: nobody's command
}

// invalid is a key whose copies are no longer true, or all keys.
type invalid struct {
	key string
	all bool
}

// State is how a client tracks keys. The zero value is a client that does not. The engine's lock guards it.
type State struct {
	on, bcast, optIn, optOut, noLoop bool

	due      bool     // AfterCommand has something to do: it tracks, or did before this command
	caching  bool     // CLIENT CACHING was given for what comes next
	redirect int64    // who is told instead of it, by ID; 0: itself
	broken   bool     // that client is gone
	prefixes []string // with bcast, in order
}

// Init gives the table its server.
func (t *Table) Init(host Host) { t.host = host }

// InUse reports whether somebody wants to know of changes, or what is remembered is to be forgotten with them.
func (t *Table) InUse() bool { return len(t.clients) > 0 || len(t.readers) > 0 }

// Clients returns how many clients track keys.
func (t *Table) Clients() int { return len(t.clients) }

// Counts returns how many keys are remembered, how many readers they have together, and how many prefixes are tracked.
func (t *Table) Counts() (keys, items, prefixes int) { return len(t.readers), t.items, len(t.prefixes) }

// Bytes returns what the remembered keys take.
func (t *Table) Bytes() int64 { return t.bytes }

// Due reports whether AfterCommand is to be called behind the command that the client has just run: while it tracks
// keys, and behind the command that ended it.
func (s *State) Due() bool { return s.due }

// Redirection is what CLIENT GETREDIR and others show: -1 where nothing is tracked.
func (s *State) Redirection() int64 {
	if !s.on {
		return -1
	}
	return s.redirect
}

// Letters returns what CLIENT LIST's flags say of it.
func (s *State) Letters() string {
	var b []byte
	if s.on {
		b = append(b, 't')
	}
	if s.broken {
		b = append(b, 'R')
	}
	if s.bcast {
		b = append(b, 'B')
	}
	return string(b)
}

// readerBytes is what a remembered key costs besides its name and the IDs.
const readerBytes = 64

// remember notes that a client has read a key.
func (t *Table) remember(key []byte, id int64) {
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
func (t *Table) forget(key string) []int64 {
	ids, known := t.readers[key]
	if known {
		delete(t.readers, key)
		t.items -= len(ids)
		t.bytes -= readerBytes + int64(len(key)) + 8*int64(cap(ids))
	}
	return ids
}

// forgetAll forgets all that was read.
func (t *Table) forgetAll() { t.readers, t.items, t.bytes = nil, 0, 0 }

// changed notes a key for the prefixes that it has.
func (t *Table) changed(by *engine.Session, key string) {
	for name, p := range t.prefixes {
		if strings.HasPrefix(key, name) {
			p.changed[key] = by
		}
	}
}

// track lets a client track as the options say.
func (t *Table) track(c *engine.Session, o options) {
	s := stateOf(c)
	if t.clients == nil {
		t.clients = map[*engine.Session]struct{}{}
	}
	t.clients[c] = struct{}{}
	o.on, o.due, o.caching, o.prefixes = true, true, s.caching, s.prefixes
	*s = o.State
	if o.bcast {
		if len(o.prefixArgs) == 0 {
			o.prefixArgs = []string{""}
		}
		for _, name := range o.prefixArgs {
			t.trackPrefix(c, s, name)
		}
	} else {
		c.Mode |= engine.ModeTracks
	}
	t.host.Listen()
}

func (t *Table) trackPrefix(c *engine.Session, s *State, name string) {
	p := t.prefixes[name]
	if p == nil {
		if t.prefixes == nil {
			t.prefixes = map[string]*prefix{}
		}
		p = &prefix{clients: map[*engine.Session]struct{}{}, changed: map[string]*engine.Session{}}
		t.prefixes[name] = p
	}
	p.clients[c] = struct{}{}
	if at, found := slices.BinarySearch(s.prefixes, name); !found {
		s.prefixes = slices.Insert(s.prefixes, at, name)
	}
}

// Untrack ends that a client tracks keys, as it must before the client goes. What it has read stays remembered, as in
// Redis: it may track again.
func (t *Table) Untrack(c *engine.Session) {
	s := stateOf(c)
	if !s.on {
		return
	}
	for _, name := range s.prefixes {
		p := t.prefixes[name]
		if delete(p.clients, c); len(p.clients) == 0 {
			delete(t.prefixes, name)
		}
	}
	delete(t.clients, c)
	*s = State{due: len(t.pending) > 0 && runs(c)} // a transaction may have changed keys before
	c.Mode &^= engine.ModeTracks
	t.host.Listen()
}
