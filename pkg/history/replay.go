package history

import (
	"bytes"
	"errors"

	"byor/pkg/engine"
	"byor/pkg/resp"
	"byor/pkg/store"
)

// Request is what a subscriber wants of the history of a channel: the last Last messages or, when Resume is set,
// all after the entry Since. It belongs to whoever made it.
type Request struct {
	Channel []byte
	Resume  bool
	Since   store.StreamID
	Last    int64
}

// ParseRequests parses the arguments of HISTORY.SUBSCRIBE, with its name: for each channel its name, then LAST and a
// number or SINCE and an ID. An error is worded for the client.
func ParseRequests(args [][]byte) ([]Request, error) {
	args = args[1:]
	if len(args) == 0 || len(args)%3 != 0 {
		return nil, errors.New("ERR each channel must be followed by LAST and a number or by SINCE and an ID")
	}
	reqs := make([]Request, 0, len(args)/3)
	seen := make(map[string]bool, len(args)/3)
	for ; len(args) > 0; args = args[3:] {
		r := Request{Channel: args[0]}
		ok := false
		switch {
		case engine.EqualFold(args[1], "last"):
			if r.Last, ok = resp.ParseInt(args[2]); !ok || r.Last < 0 {
				return nil, errors.New("ERR LAST takes a number that is not negative")
			}
		case engine.EqualFold(args[1], "since"):
			r.Resume = true
			if r.Since, ok = store.ParseStreamID(args[2], 0); !ok {
				return nil, errors.New("ERR SINCE takes the ID of an entry, such as 1700000000000-0")
			}
		default:
			return nil, errors.New("ERR each channel must be followed by LAST and a number or by SINCE and an ID")
		}
		if seen[string(r.Channel)] {
			return nil, errors.New("ERR the channel '" + engine.Clip(r.Channel, 128) + "' is named twice")
		}
		seen[string(r.Channel)] = true
		reqs = append(reqs, r)
	}
	return reqs, nil
}

// Found is what there is for a Request. It is valid until the data change.
type Found struct {
	Kept      bool           // the channel has a history
	Recovered bool           // Replay leaves nothing out that was asked for
	Last      store.StreamID // where to go on from
	Count     int64          // messages that Replay sends; known after Fit

	stream *store.Stream
	from   store.StreamID // the first entry to be sent
}

// Find looks for what is asked. replica says whether the server is one.
func (k *Keeper) Find(c *engine.Call, q Request, replica bool) Found {
	r := k.ruleOf(q.Channel)
	if r == nil {
		return Found{}
	}
	s, wrong := store.Get[*store.Stream](c.Database(0), k.keyOf(q.Channel))
	if wrong != nil {
		return Found{Kept: true}
	}
	if replica {
		k.local.start(c.NowMs())
	}
	ls := k.local.find(q.Channel)
	if ls != nil {
		s = ls.stream
	}
	f := Found{Kept: true, Recovered: true, stream: s}
	switch {
	case s != nil:
		f.Last = s.Last()
	case replica:
		f.Last = k.local.mark(c.NowMs())
	}
	cutoff := r.cutoff(c.NowMs())
	if !q.Resume {
		f.from = lastFrom(s, min(q.Last, r.Max), cutoff)
		return f
	}
	f.from = after(q.Since, ls != nil)
	f.Recovered = k.whole(s, q.Since, ls != nil || s == nil && replica) && !aged(s, f.from, cutoff)
	if f.from.Less(cutoff) {
		f.from = cutoff
	}
	return f
}

// after returns the ID from which on messages are sent to who has seen since. A mark is of a replica's clock, which tells
// nothing about the IDs of its master.
func after(since store.StreamID, local bool) store.StreamID {
	if isMark(since) && !local {
		return store.StreamID{}
	}
	next, more := since.Next()
	if !more {
		return store.MaxStreamID
	}
	return next
}

// whole reports whether every message after since is in the stream. Entries go only at its start, when there are too
// many, so that an entry that is there answers the question. Else the stream must have lost none ever. s is nil when
// there is none. local says that it is kept beside the data.
func (k *Keeper) whole(s *store.Stream, since store.StreamID, local bool) bool {
	if local && isMark(since) && !k.local.since.Less(since) {
		return false // the mark is of a time that we know nothing of
	}
	if s == nil {
		return isMark(since) && local || since.IsZero()
	}
	m := s.Meta()
	switch {
	case since.IsZero():
		return !local && m.Added == m.Length
	case isMark(since): // there was no stream yet: all that is in it came later
		return m.Added == m.Length && (!local || since.Less(m.First))
	case since == m.Last:
		return true
	case since.Less(m.MaxDeleted): // XDEL has taken one out
		return false
	}
	return s.Has(since)
}

// aged reports whether there are entries from from on that are too old to be sent.
func aged(s *store.Stream, from, cutoff store.StreamID) (some bool) {
	before, ok := cutoff.Prev()
	if s == nil || !ok || before.Less(from) {
		return false
	}
	s.Range(from, before, func(*store.StreamEntry) bool { some = true; return false })
	return some
}

// lastFrom returns the ID of the first of the last n entries that are not before cutoff.
func lastFrom(s *store.Stream, n int64, cutoff store.StreamID) store.StreamID {
	from := store.MaxStreamID
	if s == nil || n < 1 {
		return from
	}
	s.RevRange(cutoff, store.MaxStreamID, func(e *store.StreamEntry) bool {
		from = e.ID
		n--
		return n > 0
	})
	return from
}

// Fit counts the messages that were found and drops the oldest of them until the rest takes no more than room bytes on
// the wire. It returns the room that is left. What it drops is a hole. A replay that is longer than what may wait
// for a client would end the client each time that it came back.
func (f *Found) Fit(q Request, room int64) (left int64) {
	if f.stream == nil {
		return room
	}
	f.stream.RevRange(f.from, store.MaxStreamID, func(e *store.StreamEntry) bool {
		payload, ok := payloadOf(e)
		if !ok {
			return true
		}
		room -= int64(messageOverhead + len(q.Channel) + len(payload))
		if room < 0 {
			f.Recovered = false
			f.from, _ = e.ID.Next()
			return false
		}
		f.Count++
		return true
	})
	return max(room, 0)
}

// payloadOf returns the message that an entry is. Entries that somebody has added without the field data are none.
func payloadOf(e *store.StreamEntry) (payload []byte, ok bool) {
	for i := range e.Len() {
		if name, value := e.Field(i); bytes.Equal(name.Bytes(), field) {
			return value.Bytes(), true
		}
	}
	return nil, false
}

// messageOverhead is what a message has on the wire besides the channel and the payload.
const messageOverhead = 100

// Replay counts whether a client that came back was served without a hole, and calls send for each message that was
// found, the oldest first. What send gets is valid during the call.
func (k *Keeper) Replay(q Request, f Found, send func(payload, entry []byte)) {
	switch {
	case q.Resume && f.Recovered:
		k.stats.Hits++
	case q.Resume:
		k.stats.Misses++
	}
	if f.Count == 0 {
		return
	}
	f.stream.Range(f.from, store.MaxStreamID, func(e *store.StreamEntry) bool {
		if payload, ok := payloadOf(e); ok {
			k.id = e.ID.Append(k.id[:0])
			send(payload, k.id)
			k.stats.Replayed++
		}
		return true
	})
}
