package tracking

import (
	"maps"
	"slices"
	"strings"

	"byor/pkg/engine"
	"byor/pkg/resp"
)

// What the engine says of keys (engine.KeyListener, but for KeyEvent), and who is told of it.

// KeysRead remembers the keys of a command that reads; of a script that reads, all keys that it was given.
func (t *Table) KeysRead(c *engine.Session, cmd *engine.Command, _ [][]byte) {
	switch cmd.Name {
	case "eval_ro", "evalsha_ro", "fcall_ro": // the commands in them do it
		return
	}
	if s := stateOf(c); s.optIn && !s.caching || s.optOut && s.caching {
		return
	}
	cmd, args := c.Outer()
	if cmd.Flags&engine.PubSub != 0 {
		return
	}
	for _, i := range cmd.KeyPositions(args) {
		t.remember(args[i], c.ID)
	}
}

// KeyChanged tells those who have copies of the key.
func (t *Table) KeyChanged(by *engine.Session, key string) {
	if len(t.prefixes) > 0 {
		if by != nil && by.Has(engine.ModeScript) { // to Redis a script is a client of its own
			by = nil
		}
		t.changed(by, key)
	}
	if len(t.readers) > 0 {
		t.invalidate(key, false)
	}
}

// KeyEvicted is KeyChanged before the command runs for which there was to be room.
func (t *Table) KeyEvicted(key string) {
	t.changed(nil, key)
	t.invalidate(key, true)
}

// invalidate tells the readers of a key that it has changed, at once also the client whose commands run.
func (t *Table) invalidate(key string, atOnce bool) {
	for _, id := range t.forget(key) {
		c := t.host.Session(id)
		if c == nil {
			continue
		}
		if s := stateOf(c); !s.on || s.bcast || s.noLoop && runs(c) {
			continue
		}
		if runs(c) && !atOnce {
			t.pending = append(t.pending, invalid{key: key})
			continue
		}
		t.tellInvalid(c, invalid{key: key})
	}
	if !t.InUse() {
		t.host.Listen()
	}
}

// KeysFlushed tells everybody who tracks that no copy is true any more.
func (t *Table) KeysFlushed() {
	for c := range t.clients {
		if runs(c) {
			t.pending = append(t.pending, invalid{all: true})
		} else {
			t.tellInvalid(c, invalid{all: true})
		}
	}
	t.forgetAll()
}

// Settle tells those who track prefixes what has changed meanwhile.
func (t *Table) Settle() {
	for _, name := range slices.Sorted(maps.Keys(t.prefixes)) {
		p := t.prefixes[name]
		if len(p.changed) == 0 {
			continue
		}
		changed, keys := p.changed, slices.Sorted(maps.Keys(p.changed))
		p.changed = map[string]*engine.Session{}
		for c := range p.clients {
			others := keys
			if stateOf(c).noLoop {
				others = slices.DeleteFunc(slices.Clone(keys), func(key string) bool { return changed[key] == c })
			}
			if len(others) > 0 {
				t.tell(c, func(w *resp.Writer) { writeKeys(w, others) })
			}
		}
	}
}

// Limit forgets keys when more than most are remembered, the more the longer there are; 0: any number may be. It is
// for the time before each command while somebody tracks.
func (t *Table) Limit(most int) {
	if most == 0 {
		return
	}
	for effort := 100 * (t.rounds + 1); effort > 0 && len(t.readers) > most; effort-- {
		for key := range t.readers {
			t.invalidate(key, true)
			break
		}
	}
	if t.rounds++; len(t.readers) <= most {
		t.rounds = 0
	}
}

// AfterCommand is for the time behind a command of a client that is Due. It tells the client, behind the reply, of
// what its own command has changed, and ends what CLIENT CACHING has said of the command, or of the transaction, that
// is over now.
func (t *Table) AfterCommand(c *engine.Session) {
	s, pending := stateOf(c), t.pending
	t.pending = nil
	for _, i := range pending {
		t.tellInvalid(c, i)
	}
	if !c.Has(engine.ModeMulti) && (c.Cmd == nil || !strings.HasPrefix(c.Cmd.FullName(), "client|")) {
		s.caching = false
	}
	s.due = s.on
}

func writeKeys(w *resp.Writer, keys []string) {
	w.Array(len(keys))
	for _, key := range keys {
		w.BulkString(key)
	}
}

// tellInvalid tells a client that tracks of a key, or of all.
func (t *Table) tellInvalid(c *engine.Session, i invalid) {
	proto := c.Output().Proto // of the client itself, whoever it has told instead, as in Redis
	t.tell(c, func(w *resp.Writer) {
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
func (t *Table) tell(c *engine.Session, keys func(w *resp.Writer)) {
	s := stateOf(c)
	to, redirected := c, s.redirect != 0
	if redirected {
		if to = t.host.Session(s.redirect); to == nil {
			redirectionBroke(c, s)
			return
		}
	}
	peer := to.Peer().(Peer)
	if !peer.Open() {
		return
	}
	var w *resp.Writer
	var mark int
	switch {
	case to.Output().Proto > 2:
		w, mark = peer.Push(2)
		w.BulkString("invalidate")
	case redirected && to.Subs.Count() > 0:
		w, mark = peer.Push(3)
		w.BulkString("message")
		w.BulkString("__redis__:invalidate")
	default:
		return
	}
	keys(w)
	to.Message(mark)
}

// redirectionBroke notes that nobody is there any more to be told instead of the client.
func redirectionBroke(c *engine.Session, s *State) {
	s.broken = true
	if peer := c.Peer().(Peer); c.Output().Proto > 2 && peer.Open() {
		w, mark := peer.Push(2)
		w.BulkString("tracking-redir-broken")
		w.Int(s.redirect)
		c.Message(mark)
	}
}
