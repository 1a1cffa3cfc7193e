package engine

import (
	"bytes"

	"byor/pkg/store"
)

// Commands that are about to run, looked at for their keys: see store.DB.Touch for what that is good for. Whoever has a
// batch of commands tells of them with Ahead, and calls Touch before the first of them runs. The table of facts knows
// where keys and elements stand. A command whose keys stand elsewhere, in KeysOf, is left alone, and so is whatever a
// transaction has queued: nothing depends on this but time.

// ahead is what commands are about to look up, all in one database.
type ahead struct {
	db    *store.DB
	keys  [][]byte // of commands on one key that follow each other, that once
	elems [][]byte // in what is at the keys
	of    []int    // whose elements they are: indexes of keys
}

// maxLooks is how many look-ups are touched at once.
const maxLooks = 128

// Ahead notes what the commands of a session will look up, of as many as there is room for, and returns how many that
// are.
func (e *Engine) Ahead(c *Session, batch [][][]byte) int {
	a := &e.ahead
	if a.db != c.DB {
		e.Touch()
		a.db = c.DB
	}
	last := c.Cmd
	for i, args := range batch {
		if len(a.keys)+len(a.elems) >= maxLooks {
			return i
		}
		if last == nil || !last.simple || !EqualFold(args[0], last.Name) {
			if last = e.Lookup(args); last == nil {
				continue
			}
		}
		a.add(last, args)
	}
	return len(batch)
}

// add notes what one command will look up.
func (a *ahead) add(cmd *Command, args [][]byte) {
	k := cmd.Keys
	if k.First == 0 {
		return
	}
	end := k.Last
	if end < 0 {
		end += len(args)
	}
	for i := k.First; i <= end && i < len(args) && len(a.keys) < maxLooks; i += k.Step {
		if n := len(a.keys); n == 0 || !bytes.Equal(a.keys[n-1], args[i]) {
			a.keys = append(a.keys, args[i])
		}
	}
	if cmd.Elem > 0 && cmd.Elem < len(args) {
		a.elems, a.of = append(a.elems, args[cmd.Elem]), append(a.of, len(a.keys)-1)
	}
}

// Touch loads what was noted. A single look-up has nothing to overlap with.
func (e *Engine) Touch() {
	a := &e.ahead
	if len(a.keys) > 1 {
		a.db.Touch(a.keys)
	}
	for i, n := 0, 0; i < len(a.elems); i += n { // those of one key together
		for n = 1; i+n < len(a.elems) && a.of[i+n] == a.of[i]; {
			n++
		}
		if n > 1 {
			a.db.TouchElems(a.keys[a.of[i]], a.elems[i:i+n])
		}
	}
	clear(a.keys) // they point into somebody's input
	clear(a.elems)
	a.keys, a.elems, a.of = a.keys[:0], a.elems[:0], a.of[:0]
}
