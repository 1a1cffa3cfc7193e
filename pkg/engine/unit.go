package engine

import (
	"strconv"

	"byor/pkg/resp"
)

// One outlet for every effect. While a unit runs (a command, the commands of an EXEC, the serving
// of a blocked client, a slice of active expiry), its effects are encoded into one buffer. When it is
// over, the buffer goes to the append-only file and to the replicas, wrapped in MULTI and EXEC if
// it holds more than one effect, since whoever replays it must not stop half-way (standAlone names the
// exception).

// Target says who is told of an effect.
type Target uint8

// The targets.
const (
	ToAOF Target = 1 << iota
	ToReplicas
)

// unit is what is to be propagated when the unit that is running is over.
type unit struct {
	buf    []byte
	ends   []effectEnd
	apart  bool   // see standAlone
	framed []byte // what frame made last, to be filled again
}

type effectEnd struct {
	end int
	to  Target
	db  int
}

// Replicate says that the effect of the running command is this one and not the command as it
// came. It may be called several times.
func (c *Call) Replicate(args ...[]byte) {
	c.rewritten = true
	c.e.Effect(c.DB.ID(), c.e.targets, args)
}

// ReplicateStrings is Replicate for strings.
func (c *Call) ReplicateStrings(args ...string) {
	b := make([][]byte, len(args))
	for i, a := range args {
		b[i] = []byte(a)
	}
	c.Replicate(b...)
}

// ReplicateNothing says that the running command needs no propagation although it changed keys.
func (c *Call) ReplicateNothing() { c.rewritten = true }

// standAlone says that the effects of the unit so far need no MULTI and EXEC around them: each is the
// deletion of a key that nothing else depends on, by expiry or eviction.
func (e *Engine) standAlone() { e.unit.apart = len(e.unit.ends) > 0 }

// Effect adds an effect to the running unit.
func (e *Engine) Effect(db int, to Target, args [][]byte) {
	if to == 0 || !e.propagating() {
		return
	}
	e.unit.buf = resp.AppendCommand(e.unit.buf, args...)
	e.unit.ends = append(e.unit.ends, effectEnd{len(e.unit.buf), to, db})
}

// Listener is told of effects, in the order in which they came about: as they stand in an append-only
// file and in the stream to replicas.
type Listener struct {
	To       Target
	Wants    func() bool    // whether effects are wanted now
	Take     func(b []byte) // takes those of a unit; b is valid during the call
	Selected int            // the database that the last SELECT in its stream chose; -1: none yet
}

// Listen registers a listener.
func (e *Engine) Listen(l *Listener) { e.listeners = append(e.listeners, l) }

// propagating reports whether anybody listens to effects.
func (e *Engine) propagating() bool {
	if e.Loading {
		return false
	}
	for _, l := range e.listeners {
		if l.Wants() {
			return true
		}
	}
	return false
}

var (
	multiBytes = []byte("*1\r\n$5\r\nMULTI\r\n")
	execBytes  = []byte("*1\r\n$4\r\nEXEC\r\n")
)

// EndUnit hands the effects of the unit to the listeners.
func (e *Engine) EndUnit() {
	if len(e.unit.ends) == 0 {
		return
	}
	for _, l := range e.listeners {
		if l.Wants() {
			e.feed(l)
		}
	}
	e.unit.ends, e.unit.apart = e.unit.ends[:0], false
	e.unit.buf = reuse(e.unit.buf)
}

// reuse empties a buffer to be filled again, unless it has grown large.
func reuse(b []byte) []byte {
	if cap(b) > 1<<20 {
		return nil
	}
	return b[:0]
}

// feed frames the effects meant for one listener and hands them over.
func (e *Engine) feed(l *Listener) {
	u := &e.unit
	if first := u.ends[0]; len(u.ends) == 1 && first.to&l.To != 0 && first.db == l.Selected {
		l.Take(u.buf) // as most are
		return
	}
	n := 0
	for _, end := range u.ends {
		if end.to&l.To != 0 {
			n++
		}
	}
	if n == 0 {
		return
	}
	out := u.frame(l, n > 1 && !u.apart)
	l.Take(out)
	u.framed = reuse(out)
}

// frame returns what a listener is told of the unit, which is whole if whoever replays it must not stop half-way.
func (u *unit) frame(l *Listener, whole bool) []byte {
	out := u.framed[:0]
	start, opened := 0, !whole
	for _, end := range u.ends {
		body := u.buf[start:end.end]
		start = end.end
		if end.to&l.To == 0 {
			continue
		}
		if end.db != l.Selected {
			out = resp.AppendCommandStrings(out, "SELECT", strconv.Itoa(end.db))
			l.Selected = end.db
		}
		if !opened {
			out = append(out, multiBytes...)
			opened = true
		}
		out = append(out, body...)
	}
	if whole {
		out = append(out, execBytes...)
	}
	return out
}

// InUnit reports whether there are effects that EndUnit has yet to hand over.
func (e *Engine) InUnit() bool { return len(e.unit.ends) > 0 }
