package rdb

import (
	"encoding/binary"

	"byor/pkg/store"
)

// A stream is its nodes (the ID of the first entry, a listpack), its counters, and its groups,
// each with what is pending and then which consumer has which of that.

// stream reads a stream.
func (in *input) stream(t valueType) store.Value {
	s := store.NewStream()
	for n := in.length("a number of stream nodes"); n > 0; n-- {
		in.streamNode(s)
	}
	in.streamMeta(s, t)
	for n := in.length("a number of consumer groups"); n > 0; n-- {
		in.group(s, t)
	}
	return s
}

func (in *input) streamNode(s *store.Stream) {
	at := in.offset()
	key := in.str("the ID of a stream node")
	if len(key) != 16 {
		in.failAt(at, ErrCorrupt, "expected the ID of a stream node, 16 bytes, found %d", len(key))
	}
	master := streamID(key)
	at = in.offset()
	if err := s.LoadNode(master, in.blob("a stream node")); err != nil {
		in.failAt(at, ErrCorrupt, "stream node %v is malformed, empty, or not after the one before", master)
	}
}

func streamID(b []byte) store.StreamID {
	return store.StreamID{Ms: binary.BigEndian.Uint64(b), Seq: binary.BigEndian.Uint64(b[8:])}
}

func (in *input) streamIDLengths(want string) store.StreamID {
	ms := in.length(want)
	return store.StreamID{Ms: ms, Seq: in.length(want)}
}

func (in *input) streamMeta(s *store.Stream, t valueType) {
	m := s.LoadedMeta()
	top := m.Last
	// Redis believes the length that the file gives. Ours is what the nodes hold.
	if n := in.length("a stream's length"); n != 0 && s.Len() == 0 {
		in.corrupt("the stream has no entries, but says it has %d", n)
	}
	m.Last = in.streamIDLengths("a stream's last ID")
	if m.Last.Less(top) {
		in.corrupt("the stream's last ID is %v, but it has an entry %v", m.Last, top)
	}
	if t != typeStream {
		m.First = in.streamIDLengths("a stream's first ID")
		m.MaxDeleted = in.streamIDLengths("a stream's greatest deleted ID")
		m.Added = in.length("a stream's count of entries added")
	}
	s.SetMeta(m)
}

func (in *input) group(s *store.Stream, t valueType) {
	name := in.hold(in.str("a group's name"))
	last := in.streamIDLengths("a group's last ID")
	read := s.ReadUpTo(last)
	if t != typeStream {
		read = int64(in.length("a group's count of entries read")) // all ones is -1, "not known"
	}
	g := s.AddGroup(name, last, read)
	if g == nil {
		in.corrupt("group %.40q comes twice", name)
	}
	for n := in.length("a number of pending entries"); n > 0; n-- {
		p := store.Pending{ID: streamID(in.fixed(16, "a pending entry's ID"))}
		p.DeliveredMs = in.int64LE("a delivery time")
		p.Count = in.length("a count of deliveries")
		if !g.LoadPending(p) {
			in.corrupt("group %.40q: entry %v is pending twice", g.Name(), p.ID)
		}
	}
	assigned := 0
	for n := in.length("a number of consumers"); n > 0; n-- {
		assigned += in.consumer(g, t)
	}
	if assigned != g.Pending().Len() {
		in.corrupt("group %.40q: %d pending entries have no consumer", g.Name(), g.Pending().Len()-assigned)
	}
}

// consumer reads a consumer and returns how many entries it has pending.
func (in *input) consumer(g *store.Group, t valueType) int {
	name := in.hold(in.str("a consumer's name"))
	seen := in.int64LE("a consumer's time")
	if t == typeStream3 {
		in.int64LE("a consumer's active time") // which 7.0 does not keep
	}
	c := g.AddConsumer(name, seen)
	if c == nil {
		in.corrupt("group %.40q: consumer %.40q comes twice", g.Name(), name)
	}
	for n := in.length("a number of pending entries"); n > 0; n-- {
		id := streamID(in.fixed(16, "a pending entry's ID"))
		p := g.Pending().Get(id)
		if p == nil || p.Owner() != nil {
			in.corrupt("group %.40q: entry %v of consumer %.40q is not pending, or another's", g.Name(), id, c.Name())
		}
		g.Deliver(id, c)
	}
	return c.Pending().Len()
}

func (b *Batch) streamIDLengths(id store.StreamID) {
	b.buf = appendLength(appendLength(b.buf, id.Ms), id.Seq)
}

func (b *Batch) streamIDRaw(id store.StreamID) {
	b.buf = binary.BigEndian.AppendUint64(b.buf, id.Ms)
	b.buf = binary.BigEndian.AppendUint64(b.buf, id.Seq)
}

// stream appends a stream.
func (b *Batch) stream(s *store.Stream) valueType {
	nodes := 0
	s.EachNode(func(store.StreamID, []byte) bool {
		nodes++
		return true
	})
	b.length(nodes)
	s.EachNode(func(master store.StreamID, listpack []byte) bool {
		b.length(16)
		b.streamIDRaw(master)
		b.raw(listpack)
		return true
	})
	m := s.Meta()
	b.buf = appendLength(b.buf, m.Length)
	b.streamIDLengths(m.Last)
	b.streamIDLengths(m.First)
	b.streamIDLengths(m.MaxDeleted)
	b.buf = appendLength(b.buf, m.Added)
	b.length(len(s.Groups()))
	for _, g := range s.Groups() {
		b.group(g)
	}
	return typeStream2
}

func (b *Batch) group(g *store.Group) {
	b.text(g.Name())
	b.streamIDLengths(g.Last)
	b.buf = appendLength(b.buf, uint64(g.EntriesRead))
	b.length(g.Pending().Len())
	g.Pending().Range(store.StreamID{}, store.MaxStreamID, func(p *store.Pending) bool {
		b.streamIDRaw(p.ID)
		b.buf = binary.LittleEndian.AppendUint64(b.buf, uint64(p.DeliveredMs))
		b.buf = appendLength(b.buf, p.Count)
		return true
	})
	b.length(len(g.Consumers()))
	for _, c := range g.Consumers() {
		b.text(c.Name())
		b.buf = binary.LittleEndian.AppendUint64(b.buf, uint64(c.SeenMs))
		b.length(c.Pending().Len())
		c.Pending().Range(store.StreamID{}, store.MaxStreamID, func(p *store.Pending) bool {
			b.streamIDRaw(p.ID)
			return true
		})
	}
}
