package server

import (
	"byor/pkg/resp"
)

// One outlet for every effect. While a unit runs (a command, the commands of an EXEC, the serving
// of a blocked client, a slice of active expiry), its effects are encoded into one buffer. When it is
// over, the buffer goes to the append-only file and to the replicas, wrapped in MULTI and EXEC if
// it holds more than one effect, since whoever replays it must not stop half-way (standAlone names the
// exception).

// target says who is told of an effect.
type target uint8

const (
	toAOF target = 1 << iota
	toReplicas
)

// unit is what is to be propagated when the unit that is running is over.
type unit struct {
	buf   []byte
	ends  []effectEnd
	apart bool // see standAlone
}

type effectEnd struct {
	end int
	to  target
	db  int
}

// replicate says that the effect of the running command is this one and not the command as it
// came. It may be called several times.
func (c *Client) replicate(args ...[]byte) {
	c.rewritten = true
	c.s.effect(c.db.ID(), toAOF|toReplicas, args)
}

// replicateStrings is replicate for strings.
func (c *Client) replicateStrings(args ...string) {
	b := make([][]byte, len(args))
	for i, a := range args {
		b[i] = []byte(a)
	}
	c.replicate(b...)
}

// replicateNothing says that the running command needs no propagation although it changed keys.
func (c *Client) replicateNothing() { c.rewritten = true }

// standAlone says that the effects of the unit so far need no MULTI and EXEC around them: each is the
// deletion of a key that nothing else depends on, by expiry or eviction.
func (s *Server) standAlone() { s.unit.apart = len(s.unit.ends) > 0 }

// effect adds an effect to the running unit.
func (s *Server) effect(db int, to target, args [][]byte) {
	if !s.propagating() {
		return
	}
	s.unit.buf = resp.AppendCommand(s.unit.buf, args...)
	s.unit.ends = append(s.unit.ends, effectEnd{len(s.unit.buf), to, db})
}

// propagating reports whether anybody listens to effects.
func (s *Server) propagating() bool {
	return !s.loading && (s.aofOn() || s.replicating())
}

var (
	multiBytes = []byte("*1\r\n$5\r\nMULTI\r\n")
	execBytes  = []byte("*1\r\n$4\r\nEXEC\r\n")
)

// endUnit hands the effects of the unit to the append-only file and the replicas.
func (s *Server) endUnit() {
	if len(s.unit.ends) == 0 {
		return
	}
	s.feed(toAOF)
	s.feed(toReplicas)
	s.unit.ends, s.unit.apart = s.unit.ends[:0], false
	if cap(s.unit.buf) > 1<<20 {
		s.unit.buf = nil
	} else {
		s.unit.buf = s.unit.buf[:0]
	}
}

// stream is one listener's position: the database that the last SELECT in it chose.
type stream struct{ selected int }

// feed frames the effects meant for one listener and hands them over.
func (s *Server) feed(to target) {
	var st *stream
	switch {
	case to == toAOF && s.aofOn():
		st = &s.aofStream
	case to == toReplicas && s.replicating():
		st = &s.replStream
	default:
		return
	}
	if e := s.unit.ends[0]; len(s.unit.ends) == 1 && e.to&to != 0 && e.db == st.selected {
		s.deliver(to, s.unit.buf) // as most are
		return
	}
	n := 0
	for _, e := range s.unit.ends {
		if e.to&to != 0 {
			n++
		}
	}
	if n == 0 {
		return
	}
	out := s.feedBuf[:0]
	whole := n > 1 && !s.unit.apart
	start, opened := 0, !whole
	for _, e := range s.unit.ends {
		body := s.unit.buf[start:e.end]
		start = e.end
		if e.to&to == 0 {
			continue
		}
		if e.db != st.selected {
			out = resp.AppendCommandStrings(out, "SELECT", itoa(e.db))
			st.selected = e.db
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
	s.deliver(to, out)
	s.feedBuf = out[:0]
	if cap(s.feedBuf) > 1<<20 {
		s.feedBuf = nil
	}
}

func (s *Server) deliver(to target, b []byte) {
	if to == toAOF {
		s.appendAOF(b)
	} else {
		s.appendReplicas(b)
	}
}
