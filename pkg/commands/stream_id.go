package commands

import (
	"math"

	"byor/pkg/engine"
	"byor/pkg/store"
)

const errStreamID = "ERR Invalid stream ID specified as stream command argument"

// streamID parses argument i as an ID, whose missing sequence number is seq.
func streamID(c *engine.Call, i int, seq uint64) (store.StreamID, bool) {
	id, ok := store.ParseStreamID(c.Args[i], seq)
	if !ok {
		c.Fail(errStreamID)
	}
	return id, ok
}

// streamIDs parses the arguments from i on as IDs.
func streamIDs(c *engine.Call, i int) ([]store.StreamID, bool) {
	ids := make([]store.StreamID, 0, len(c.Args)-i)
	for ; i < len(c.Args); i++ {
		id, ok := streamID(c, i, 0)
		if !ok {
			return nil, false
		}
		ids = append(ids, id)
	}
	return ids, true
}

// edgeID is "-" or "+", the smallest ID and the largest.
func edgeID(b []byte) (store.StreamID, bool) {
	switch engine.Quoted(b) {
	case "-":
		return store.StreamID{}, true
	case "+":
		return store.MaxStreamID, true
	}
	return store.StreamID{}, false
}

// rangeStart parses argument i as the start of an interval: an ID, "-", "+", or "(" and an ID.
func rangeStart(c *engine.Call, i int) (store.StreamID, bool) {
	return rangeEdge(c, i, 0, "ERR invalid start ID for the interval", store.StreamID.Next)
}

// rangeEnd is rangeStart for the end.
func rangeEnd(c *engine.Call, i int) (store.StreamID, bool) {
	return rangeEdge(c, i, math.MaxUint64, "ERR invalid end ID for the interval", store.StreamID.Prev)
}

func rangeEdge(c *engine.Call, i int, seq uint64, invalid string, inward func(store.StreamID) (store.StreamID, bool)) (store.StreamID, bool) {
	a := c.Args[i]
	if id, ok := edgeID(a); ok {
		return id, true
	}
	exclusive := len(a) > 1 && a[0] == '('
	if exclusive {
		a = a[1:]
	}
	id, ok := store.ParseStreamID(a, seq)
	if !ok {
		c.Fail(errStreamID)
		return id, false
	}
	if exclusive {
		if id, ok = inward(id); !ok {
			c.Fail(invalid)
		}
	}
	return id, ok
}

// streamEntry replies an entry: its ID and its fields and values.
func streamEntry(c *engine.Call, e *store.StreamEntry) {
	c.Reply.Array(2)
	streamEntryID(c, e.ID)
	c.Reply.Array(2 * e.Len())
	for i := range e.Len() {
		name, value := e.Field(i)
		c.BulkElem(name)
		c.BulkElem(value)
	}
}

func streamEntryID(c *engine.Call, id store.StreamID) {
	var a [41]byte
	c.Reply.Bulk(id.Append(a[:0]))
}

// streamRange replies an array of up to count entries, 0 for all.
func streamRange(c *engine.Call, s *store.Stream, from, to store.StreamID, count int64, reverse bool) {
	at, n := len(c.Reply.Buf), int64(0)
	walk := s.Range
	if reverse {
		walk = s.RevRange
	}
	walk(from, to, func(e *store.StreamEntry) bool {
		streamEntry(c, e)
		n++
		return n != count
	})
	insertArrayHeader(c, at, int(n))
}

// streamOne replies the entry with this ID and reports whether there is one.
func streamOne(c *engine.Call, s *store.Stream, id store.StreamID) (found bool) {
	s.Range(id, id, func(e *store.StreamEntry) bool {
		streamEntry(c, e)
		found = true
		return false
	})
	return found
}
