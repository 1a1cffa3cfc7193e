package store

import (
	"math/bits"
)

// A collection of a million elements cannot be handed to a snapshot at once: nobody else would be
// served meanwhile. It is walked in pieces instead, and while that lasts every element is handed out
// before it changes, just as a snapshot does with whole entries.
//
// Which elements the walk has passed needs no mark on each: a hash or a set is walked in the order of
// SCAN's cursor, a sorted set from the highest score down, and an element's place in that order says
// whether it still lies ahead. Only the elements that change during the walk are remembered by name.

// SnapshotPiece is a part of a hash, set or sorted set that is handed out in pieces. It is valid
// during the call that hands it out, except for the strings.
type SnapshotPiece struct {
	SnapshotEntry      // Value says only which type it is: its content may be of another moment
	Len           int  // elements of the collection, which is what all pieces have together
	First, Last   bool // piece of the collection
	Elements      []SnapshotElement
}

// SnapshotElement is a field and its value, a member, or a member and its score.
type SnapshotElement struct {
	Member, Value string
	Score         float64
}

const (
	slowLen      = 1024 // elements from which on a collection is handed out in pieces
	pieceLen     = 64   // elements, or places without one, that a piece goes on
	pieceEntries = 8    // what a piece counts for in Snapshot.Next
)

// InPieces lets hashes, sets and sorted sets of more than about a thousand elements be handed out in
// pieces, to fn instead of emit, after all other entries, and those of one collection without
// another's between them. fn must not touch the store. Call it right after BeginSnapshot.
func (sn *Snapshot) InPieces(fn func(SnapshotPiece)) { sn.pieces = fn }

// slowWalk is a collection being handed out in pieces.
type slowWalk struct {
	entry   SnapshotEntry
	len     int
	begun   bool
	ended   bool                // all places have been passed
	changed map[string]struct{} // elements that changed since the beginning: the walk leaves them out
	early   []SnapshotElement   // those of them that it had yet to pass, as they were
	piece   []SnapshotElement
	step    func() // appends to piece
	stop    func()
}

// newSlowWalk returns a walk through the value of e as it is now, or nil when that is small.
func newSlowWalk(e SnapshotEntry) *slowWalk {
	if !walksSlowly(e.Value) {
		return nil
	}
	w := &slowWalk{entry: e}
	switch v := e.Value.(type) {
	case *Hash:
		walkDict(w, &v.d.Dict, func(f *hashField) SnapshotElement {
			return SnapshotElement{Member: keyOf(f), Value: string(f.value())}
		})
	case *Set:
		walkDict(w, &v.members().Dict, func(m *setMember) SnapshotElement { return SnapshotElement{Member: keyOf(m)} })
	case *ZSet:
		walkZSet(w, v)
	}
	return w
}

// walksSlowly reports whether a value is handed out in pieces.
func walksSlowly(v Value) bool {
	switch v := v.(type) {
	case *Hash:
		return v.d != nil && v.Len() > slowLen
	case *Set:
		return v.large && v.Len() > slowLen
	case *ZSet:
		return v.skip != nil && v.Len() > slowLen
	}
	return false
}

// watch has changes of the elements of d reported to w, which asks passed whether the walk has passed
// an element, and get what to hand out for it.
func watch[E element](w *slowWalk, d *Dict[E], passed func(*E) bool, get func(*E) SnapshotElement) {
	w.len, w.changed = d.len(), map[string]struct{}{}
	d.touch = func(e *E, isNew bool) {
		key := keyOf(e)
		if w.left(key) {
			return
		}
		w.changed[key] = struct{}{}
		if !isNew && !passed(e) {
			w.early = append(w.early, get(e))
		}
	}
	w.stop = func() { d.touch = nil }
}

// left reports whether the walk leaves this element out.
func (w *slowWalk) left(key string) bool {
	_, ok := w.changed[key]
	return ok
}

// walkDict walks d as SCAN does, but hands out nothing twice: the place of an element is its hash with
// the bits reversed, which no resizing changes, and the cursor says up to where the walk has come.
func walkDict[E element](w *slowWalk, d *Dict[E], get func(*E) SnapshotElement) {
	var cursor uint64
	passed := func(e *E) bool { return w.ended || bits.Reverse64(hashOf(e)) < bits.Reverse64(cursor) }
	w.step = func() {
		for places := 0; places < pieceLen && len(w.piece) < pieceLen && !w.ended; places++ {
			next := d.scan(cursor, func(e *E) {
				if !passed(e) && !w.left(keyOf(e)) {
					w.piece = append(w.piece, get(e))
				}
			})
			cursor, w.ended = next, next == 0
		}
	}
	watch(w, d, passed, get)
}

// walkZSet walks z from the end, as a reader of the snapshot likes it best: it inserts at the head.
func walkZSet(w *slowWalk, z *ZSet) {
	var score float64 // of the last place passed, with its member, if there is one
	var member string
	underway := false
	passed := func(n *skipNode) bool { return w.ended || underway && !n.less(score, member) }
	w.step = func() {
		x := z.skip.tail
		if underway {
			x = z.skip.before(score, member)
		}
		underway = underway || x != nil
		for places := 0; places < pieceLen && x != nil; places++ {
			if !w.left(keyOf(x)) {
				w.piece = append(w.piece, SnapshotElement{Member: keyOf(x), Score: x.score})
			}
			score, member = x.score, keyOf(x)
			x = x.back
		}
		w.ended = x == nil
	}
	watch(w, &z.skip.d, passed, func(n *skipNode) SnapshotElement {
		return SnapshotElement{Member: keyOf(n), Score: n.score}
	})
}

// handOut gives fn the next piece and reports whether there are more.
func (w *slowWalk) handOut(fn func(SnapshotPiece)) (more bool) {
	w.piece = w.piece[:0]
	if n := min(len(w.early), pieceLen); n > 0 {
		w.piece = append(w.piece, w.early[len(w.early)-n:]...)
		w.early = w.early[:len(w.early)-n]
	} else {
		w.step()
	}
	more = !w.ended || len(w.early) > 0
	fn(SnapshotPiece{w.entry, w.len, !w.begun, !more, w.piece})
	w.begun = true
	if !more {
		w.stop()
	}
	return more
}
