package store

import "encoding/binary"

// streamNode is a run of entries in one listpack, laid out as in Redis's t_stream.c:
//
//	count deleted F name1 … nameF 0        the master entry: live and deleted entries, field names
//	flags ms seq value1 … valueF n         an entry with the master's fields (flag 2)
//	flags ms seq k name1 value1 … n        an entry with its own k fields
//
// ms and seq are relative to the master ID, which is that of the first entry. n is the number of
// elements of the entry before it, for walking backwards. A deleted entry stays, with flag 1.
type streamNode struct {
	master StreamID
	lp     Listpack
}

// streamNodeOverhead is what a node takes besides its listpack.
const streamNodeOverhead = 48

const (
	entryDeleted    = 1
	entrySameFields = 2
)

// key returns the ID as 16 bytes, big endian, as it stands in snapshots.
func (id StreamID) key() (k [16]byte) {
	binary.BigEndian.PutUint64(k[:8], id.Ms)
	binary.BigEndian.PutUint64(k[8:], id.Seq)
	return k
}

// begin writes the master entry, with no entries yet and the names of fields.
func (n *streamNode) begin(fields [][]byte) {
	n.lp.appendInt(0)
	n.lp.appendInt(0)
	n.lp.appendInt(int64(len(fields) / 2))
	for i := 0; i < len(fields); i += 2 {
		n.lp.Append(fields[i])
	}
	n.lp.appendInt(0)
}

// full reports whether an entry of these fields no longer fits.
func (n *streamNode) full(fields [][]byte) bool {
	size := n.lp.size()
	for _, f := range fields {
		size += len(f)
	}
	maxBytes, maxEntries := int(Encodings.StreamNodeMaxBytes.Load()), Encodings.StreamNodeMaxEntries.Load()
	if maxBytes == 0 || maxBytes > streamNodeLimit {
		maxBytes = streamNodeLimit
	}
	r := n.reader()
	return size >= maxBytes || maxEntries > 0 && int64(r.count+r.deleted) >= maxEntries
}

// add appends an entry.
func (n *streamNode) add(id StreamID, fields [][]byte) {
	k := int64(len(fields) / 2)
	r := n.reader()
	same := r.sameFields(fields)
	n.recount(r.count+1, r.deleted)
	size := k + 3
	if same {
		n.lp.appendInt(entrySameFields)
	} else {
		n.lp.appendInt(0)
		size += k + 1
	}
	n.lp.appendInt(int64(id.Ms - n.master.Ms))
	n.lp.appendInt(int64(id.Seq - n.master.Seq))
	if !same {
		n.lp.appendInt(k)
	}
	for i := 0; i < len(fields); i += 2 {
		if !same {
			n.lp.Append(fields[i])
		}
		n.lp.Append(fields[i+1])
	}
	n.lp.appendInt(size)
}

// recount sets the counts of the master entry.
func (n *streamNode) recount(count, deleted int64) {
	n.setInt(lpHeader, count)
	n.setInt(n.lp.Next(lpHeader), deleted)
}

// setInt replaces the integer at p.
func (n *streamNode) setInt(p int, v int64) {
	n.lp.put(p, lpNext(n.lp.block(), p)-p, Elem{n: v})
}

// markDeleted sets the flag of the entry at p. Flags are small, so nothing moves.
func (n *streamNode) markDeleted(p int) {
	n.setInt(p, n.lp.At(p).n|entryDeleted)
}

// last returns the ID of the last entry, deleted or not.
func (n *streamNode) last() StreamID {
	b := n.lp.block()
	p := n.lp.last()
	for k := lpAt(b, p).n; k > 0; k-- {
		p = n.lp.prev(p)
	}
	p = lpNext(b, p)
	ms := lpAt(b, p).n
	return n.id(ms, lpAt(b, lpNext(b, p)).n)
}

func (n *streamNode) id(ms, seq int64) StreamID {
	return StreamID{n.master.Ms + uint64(ms), n.master.Seq + uint64(seq)}
}

// StreamEntry is an entry handed out by Range. It is valid during the call it is handed to.
type StreamEntry struct {
	ID      StreamID
	deleted bool
	fields  []Elem // name, value, name, value …
}

// Len returns the number of fields.
func (e *StreamEntry) Len() int { return len(e.fields) / 2 }

// Field returns field i.
func (e *StreamEntry) Field(i int) (name, value Elem) { return e.fields[2*i], e.fields[2*i+1] }

// nodeReader walks over the entries of a node.
type nodeReader struct {
	n              *streamNode
	b              []byte
	p              int // of the next entry
	count, deleted int64
	names          int // position of the first master field
	k              int // number of master fields
}

func (n *streamNode) reader() nodeReader {
	r := nodeReader{n: n, b: n.lp.block(), p: lpHeader}
	r.count = r.int()
	r.deleted = r.int()
	r.k = int(r.int())
	r.names = r.p
	for range r.k {
		r.p = lpNext(r.b, r.p)
	}
	r.p = lpNext(r.b, r.p)
	return r
}

// int takes an integer.
func (r *nodeReader) int() int64 {
	v := lpAt(r.b, r.p).n
	r.p = lpNext(r.b, r.p)
	return v
}

// next takes an entry, reusing the memory of e. It reports false at the end.
func (r *nodeReader) next(e *StreamEntry) bool {
	if r.b[r.p] == lpEOF {
		return false
	}
	flags := r.int()
	ms := r.int()
	e.ID = r.n.id(ms, r.int())
	e.deleted = flags&entryDeleted != 0
	e.fields = e.fields[:0]
	name, k := r.names, r.k
	same := flags&entrySameFields != 0
	if !same {
		k = int(r.int())
	}
	for range k {
		at := &name
		if !same {
			at = &r.p
		}
		e.fields = append(e.fields, lpAt(r.b, *at))
		*at = lpNext(r.b, *at)
		e.fields = append(e.fields, lpAt(r.b, r.p))
		r.p = lpNext(r.b, r.p)
	}
	r.p = lpNext(r.b, r.p)
	return true
}

// sameFields reports whether fields have the names of the master entry.
func (r *nodeReader) sameFields(fields [][]byte) bool {
	if len(fields) != 2*r.k {
		return false
	}
	p := r.names
	for i := 0; i < len(fields); i += 2 {
		if !lpAt(r.b, p).equal(newElem(fields[i])) {
			return false
		}
		p = lpNext(r.b, p)
	}
	return true
}

// valid checks a listpack that came from outside against the layout, and returns how many entries
// are live. It bounds every count by the elements that are there before it believes it.
func (n *streamNode) valid() (count int64, ok bool) {
	c := nodeChecker{b: n.lp.block(), p: lpHeader, ok: true}
	count, deleted, k := c.int(), c.int(), c.int()
	c.skip(k)
	if c.int() != 0 || count < 0 || deleted < 0 || k < 0 {
		return 0, false
	}
	var live, dead int64
	for prev := (StreamID{}); c.ok && c.b[c.p] != lpEOF; {
		flags, ms, seq := c.int(), c.int(), c.int()
		id := n.id(ms, seq)
		size := k + 3
		if flags&entrySameFields == 0 {
			own := c.int()
			size = 2*own + 4
			c.skip(own)
			c.skip(own)
		} else {
			c.skip(k)
		}
		if c.int() != size || live+dead > 0 && !prev.Less(id) || id.Less(n.master) {
			return 0, false
		}
		if prev = id; flags&entryDeleted != 0 {
			dead++
		} else {
			live++
		}
	}
	return count, c.ok && live == count && dead == deleted
}

// nodeChecker walks over elements that may not be there.
type nodeChecker struct {
	b  []byte
	p  int
	ok bool
}

// int takes an element that must be an integer.
func (c *nodeChecker) int() int64 {
	if !c.ok || c.b[c.p] == lpEOF {
		c.ok = false
		return 0
	}
	n, isInt := lpAt(c.b, c.p).Int()
	c.ok = isInt
	c.p = lpNext(c.b, c.p)
	return n
}

// skip passes over n elements.
func (c *nodeChecker) skip(n int64) {
	for ; n > 0 && c.ok; n-- {
		if c.b[c.p] == lpEOF {
			c.ok = false
			return
		}
		c.p = lpNext(c.b, c.p)
	}
	c.ok = c.ok && n == 0
}
