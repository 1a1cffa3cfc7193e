package store

import "sort"

// Stream is a log of entries, each with an ID and a list of fields and values, in the order of
// their IDs, and the consumer groups that read it.
//
// Entries live in nodes of some 100 entries or 4 KB (stream-node-max-entries and -bytes), each one listpack in the very layout of
// Redis's t_stream.c, see streamnode.go: memory is that of Redis, and a snapshot stores and loads
// nodes as they are. Redis finds a node through a radix tree. Here the nodes stand in a slice in
// the order of their IDs: entries are added at one end and almost always trimmed at the other, so
// that binary search and a moving start do the same with less. The price is that a node that
// empties in the middle of a huge stream moves the nodes behind it (48 bytes for 100 entries).
type Stream struct {
	nodes  []streamNode
	meta   StreamMeta
	groups []*Group // ordered by name
	mem    int64    // bytes held by the nodes' listpacks
}

// StreamMeta is what a stream knows about itself besides its entries.
type StreamMeta struct {
	Length     uint64   // entries in it
	Last       StreamID // the largest ID ever added
	First      StreamID // the smallest ID in it, zero when it is empty
	MaxDeleted StreamID // the largest ID ever deleted one by one, not trimmed
	Added      uint64   // entries ever added
}

// streamNodeLimit is the size in bytes at which a node is full whatever the parameters say.
const streamNodeLimit = 1 << 30

// NewStream returns an empty stream.
func NewStream() *Stream { return new(Stream) }

func (*Stream) sealed() {}

// Type returns TypeStream.
func (*Stream) Type() Type { return TypeStream }

// Encoding returns stream.
func (*Stream) Encoding() string { return "stream" }

// MemBytes returns the size of the nodes and groups. It takes a step for each group.
func (s *Stream) MemBytes() int64 {
	n := 128 + s.mem + int64(cap(s.nodes))*streamNodeOverhead
	for _, g := range s.groups {
		n += g.memBytes()
	}
	return n
}

// Clone returns a copy that shares nothing, groups included.
func (s *Stream) Clone() Value {
	c := &Stream{meta: s.meta, nodes: make([]streamNode, len(s.nodes))}
	for i := range s.nodes {
		c.nodes[i] = streamNode{s.nodes[i].master, s.nodes[i].lp.clone()}
		c.mem += c.nodes[i].lp.memBytes()
	}
	for _, g := range s.groups {
		c.groups = append(c.groups, g.clone())
	}
	return c
}

// Len returns the number of entries.
func (s *Stream) Len() int { return int(s.meta.Length) }

// Meta returns what the stream knows about itself.
func (s *Stream) Meta() StreamMeta { return s.meta }

// SetMeta replaces all of it but the length, which is that of the entries. It serves XSETID and
// the loading of a snapshot.
func (s *Stream) SetMeta(m StreamMeta) {
	m.Length = s.meta.Length
	s.meta = m
}

// Last returns the largest ID ever added.
func (s *Stream) Last() StreamID { return s.meta.Last }

// Add appends an entry of fields and values in turn, which it copies. It reports false, and does
// nothing, when id is not after Last.
func (s *Stream) Add(id StreamID, fields [][]byte) bool {
	if !s.meta.Last.Less(id) {
		return false
	}
	if i := len(s.nodes) - 1; i >= 0 && !s.nodes[i].full(fields) {
		s.edit(i, func(n *streamNode) { n.add(id, fields) })
	} else {
		if i >= 0 { // give back the spare room of the one that is complete now
			s.edit(i, func(n *streamNode) { n.lp = n.lp.clone() })
		}
		n := streamNode{master: id, lp: NewListpack()}
		n.begin(fields)
		n.add(id, fields)
		s.nodes = append(s.nodes, n)
		s.mem += n.lp.memBytes()
	}
	s.meta.Length++
	s.meta.Added++
	s.meta.Last = id
	if s.meta.Length == 1 {
		s.meta.First = id
	}
	return true
}

// edit changes node i and keeps account of its memory.
func (s *Stream) edit(i int, fn func(*streamNode)) {
	n := &s.nodes[i]
	s.mem -= n.lp.memBytes()
	fn(n)
	s.mem += n.lp.memBytes()
}

// find returns the index of the node that id belongs to, -1 when it is before all of them.
func (s *Stream) find(id StreamID) int {
	return sort.Search(len(s.nodes), func(i int) bool { return id.Less(s.nodes[i].master) }) - 1
}

// Range calls fn for the entries from from to to, both included, in ascending order until it
// returns false. The entry is valid during the call, and fn must not change the stream.
func (s *Stream) Range(from, to StreamID, fn func(e *StreamEntry) bool) {
	var e StreamEntry
	for i := max(0, s.find(from)); i < len(s.nodes); i++ {
		r := s.nodes[i].reader()
		for r.next(&e) {
			if e.deleted || e.ID.Less(from) {
				continue
			}
			if to.Less(e.ID) || !fn(&e) {
				return
			}
		}
	}
}

// RevRange is Range in descending order.
func (s *Stream) RevRange(from, to StreamID, fn func(e *StreamEntry) bool) {
	var e StreamEntry
	var starts []int
	for i := s.find(to); i >= 0; i-- {
		starts = starts[:0]
		r := s.nodes[i].reader()
		for more := true; more; {
			starts = append(starts, r.p)
			more = r.next(&e) && !to.Less(e.ID)
		}
		for j := len(starts) - 1; j >= 0; j-- {
			r.p = starts[j]
			if !r.next(&e) || e.deleted || to.Less(e.ID) {
				continue
			}
			if e.ID.Less(from) || !fn(&e) {
				return
			}
		}
	}
}

// Has reports whether there is an entry with this ID.
func (s *Stream) Has(id StreamID) bool {
	found := false
	s.Range(id, id, func(*StreamEntry) bool { found = true; return false })
	return found
}

// edge returns the ID of the first entry, or of the last, zero when there is none.
func (s *Stream) edge(first bool) (id StreamID) {
	walk := s.RevRange
	if first {
		walk = s.Range
	}
	walk(StreamID{}, MaxStreamID, func(e *StreamEntry) bool { id = e.ID; return false })
	return id
}

// Top returns the ID of the last entry that is there, which is not Last when that was deleted. It
// is zero when the stream is empty.
func (s *Stream) Top() StreamID { return s.edge(false) }

// Delete removes the entry with this ID and reports whether it was there.
func (s *Stream) Delete(id StreamID) bool {
	i := s.find(id)
	if i < 0 {
		return false
	}
	r, e := s.nodes[i].reader(), StreamEntry{}
	for at := r.p; r.next(&e) && !id.Less(e.ID); at = r.p {
		if e.ID != id || e.deleted {
			continue
		}
		if r.count == 1 {
			s.removeNode(i)
		} else {
			s.edit(i, func(n *streamNode) {
				n.markDeleted(at)
				n.recount(r.count-1, r.deleted+1)
			})
		}
		s.deleted(id)
		return true
	}
	return false
}

// deleted brings the meta data up to date after id was deleted.
func (s *Stream) deleted(id StreamID) {
	s.meta.Length--
	if s.meta.MaxDeleted.Less(id) {
		s.meta.MaxDeleted = id
	}
	if s.meta.Length == 0 {
		s.meta.First = StreamID{}
	} else if id == s.meta.First {
		s.meta.First = s.edge(true)
	}
}

// removeNode takes node i out, without counting its entries.
func (s *Stream) removeNode(i int) {
	s.mem -= s.nodes[i].lp.memBytes()
	if i > 0 {
		s.nodes = append(s.nodes[:i], s.nodes[i+1:]...)
		return
	}
	s.nodes[0] = streamNode{}
	s.nodes = s.nodes[1:]
}

// StreamTrim says what Trim leaves: the MaxLen latest entries or, when ByID is set, those from
// MinID on.
type StreamTrim struct {
	MaxLen uint64
	MinID  StreamID
	ByID   bool
	// Approx removes whole nodes only and may leave more than asked for ("~").
	Approx bool
	// Limit bounds the entries examined for removal; 0 is no bound.
	Limit int64
}

// Trim removes the oldest entries and returns how many it removed.
func (s *Stream) Trim(t StreamTrim) int64 {
	var removed int64
	for len(s.nodes) > 0 && (t.ByID || s.meta.Length > t.MaxLen) {
		n := &s.nodes[0]
		r := n.reader()
		if t.Limit > 0 && removed+r.count > t.Limit {
			break
		}
		if s.wholeNode(t, n, r.count) {
			s.removeNode(0)
			s.meta.Length -= uint64(r.count)
			removed += r.count
			continue
		}
		if !t.Approx {
			s.edit(0, func(n *streamNode) { removed += s.trimNode(t, n) })
		}
		break
	}
	if s.meta.Length == 0 {
		s.meta.First = StreamID{}
	} else if removed > 0 {
		s.meta.First = s.edge(true)
	}
	return removed
}

func (s *Stream) wholeNode(t StreamTrim, n *streamNode, count int64) bool {
	if t.ByID {
		return n.last().Less(t.MinID)
	}
	return s.meta.Length-uint64(count) >= t.MaxLen
}

// trimNode marks entries at the start of n as deleted.
func (s *Stream) trimNode(t StreamTrim, n *streamNode) (removed int64) {
	r, e := n.reader(), StreamEntry{}
	for at := r.p; r.next(&e); at = r.p {
		if t.ByID && !e.ID.Less(t.MinID) || !t.ByID && s.meta.Length <= t.MaxLen {
			break
		}
		if !e.deleted {
			n.markDeleted(at)
			s.meta.Length--
			removed++
		}
	}
	n.recount(r.count-removed, r.deleted+removed)
	return removed
}

// Nodes returns the number of nodes, and the number of nodes that Redis's radix tree over them
// has; XINFO tells both.
func (s *Stream) Nodes() (nodes, radixNodes int) {
	keys := make([][16]byte, len(s.nodes))
	for i := range s.nodes {
		keys[i] = s.nodes[i].master.key()
	}
	if len(keys) == 0 {
		return 0, 1
	}
	return len(keys), radixNodes16(keys, 0)
}

// radixNodes16 counts the nodes below a common prefix of n bytes: a run of bytes without a branch
// is one node, a branch is one, and so is the end of a key.
func radixNodes16(keys [][16]byte, n int) int {
	if n == 16 {
		return 1
	}
	first, last := keys[0], keys[len(keys)-1]
	if first[n] == last[n] {
		for n < 16 && first[n] == last[n] {
			n++
		}
		return 1 + radixNodes16(keys, n)
	}
	total := 1
	for len(keys) > 0 {
		i := 1
		for i < len(keys) && keys[i][n] == keys[0][n] {
			i++
		}
		total += radixNodes16(keys[:i], n+1)
		keys = keys[i:]
	}
	return total
}

// EachNode calls fn for every node until it returns false: the master ID, and the listpack as
// Redis stores it in a snapshot, valid until the stream changes.
func (s *Stream) EachNode(fn func(master StreamID, listpack []byte) bool) {
	for i := range s.nodes {
		if !fn(s.nodes[i].master, s.nodes[i].lp.Bytes()) {
			return
		}
	}
}

// LoadNode appends a node as EachNode gives it and takes ownership of the listpack. It returns
// ErrCorrupt when that is not well-formed, is empty, or is not after the nodes before it. The length
// follows; call SetMeta for the rest when all nodes are there.
func (s *Stream) LoadNode(master StreamID, listpack []byte) error {
	lp, err := ParseListpack(listpack)
	if err != nil {
		return err
	}
	n := streamNode{master: master, lp: lp}
	count, ok := n.valid()
	if !ok || len(s.nodes) > 0 && !s.nodes[len(s.nodes)-1].last().Less(master) {
		return ErrCorrupt
	}
	s.nodes = append(s.nodes, n)
	s.mem += n.lp.memBytes()
	s.meta.Length += uint64(count)
	return nil
}

// LoadedMeta returns the meta data as far as it follows from the entries. Snapshots of Redis 5
// and 6 (type 15) tell no more than Last.
func (s *Stream) LoadedMeta() StreamMeta {
	return StreamMeta{Length: s.meta.Length, Last: s.edge(false), First: s.edge(true), Added: s.meta.Length}
}
