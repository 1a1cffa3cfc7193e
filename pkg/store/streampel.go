package store

import "sort"

// PEL is a pending entries list: what was handed out and not acknowledged, ordered by ID.
//
// Entries come in at the end and leave mostly at the start, but claims and late acknowledgements
// touch any place. So it is a sorted sequence cut into chunks: two binary searches find an entry,
// a change moves at most a chunk's pointers, and a pointer is all that an entry costs beyond
// itself.
type PEL struct {
	chunks [][]*Pending // none is empty
	n      int
}

const pelChunk = 128

// Len returns the number of entries.
func (l *PEL) Len() int { return l.n }

// find returns where id is, or where it would be.
func (l *PEL) find(id StreamID) (chunk, i int, ok bool) {
	chunk = sort.Search(len(l.chunks), func(k int) bool { return id.Less(l.chunks[k][0].ID) }) - 1
	if chunk < 0 {
		return 0, 0, false
	}
	c := l.chunks[chunk]
	i = sort.Search(len(c), func(k int) bool { return !c[k].ID.Less(id) })
	return chunk, i, i < len(c) && c[i].ID == id
}

// Get returns the entry of this ID, or nil.
func (l *PEL) Get(id StreamID) *Pending {
	if k, i, ok := l.find(id); ok {
		return l.chunks[k][i]
	}
	return nil
}

// First returns the entry with the smallest ID, nil when there is none.
func (l *PEL) First() *Pending {
	if l.n == 0 {
		return nil
	}
	return l.chunks[0][0]
}

// Last returns the entry with the largest ID, nil when there is none.
func (l *PEL) Last() *Pending {
	if l.n == 0 {
		return nil
	}
	c := l.chunks[len(l.chunks)-1]
	return c[len(c)-1]
}

// Range calls fn for the entries from from to to, both included, in ascending order until it
// returns false. fn must not add or remove entries.
func (l *PEL) Range(from, to StreamID, fn func(*Pending) bool) {
	k, i, _ := l.find(from)
	for ; k < len(l.chunks); k, i = k+1, 0 {
		for ; i < len(l.chunks[k]); i++ {
			if p := l.chunks[k][i]; to.Less(p.ID) || !fn(p) {
				return
			}
		}
	}
}

// insert adds p, whose ID must not be there yet.
func (l *PEL) insert(p *Pending) {
	l.n++
	if len(l.chunks) == 0 {
		l.chunks = [][]*Pending{{p}}
		return
	}
	k, i, _ := l.find(p.ID)
	c := l.chunks[k]
	if len(c) >= pelChunk {
		at := len(c) / 2
		if k == len(l.chunks)-1 && i == len(c) {
			at = i // appending leaves full chunks behind
		}
		l.chunks = append(l.chunks, nil)
		copy(l.chunks[k+2:], l.chunks[k+1:])
		l.chunks[k+1] = append([]*Pending(nil), c[at:]...)
		clear(c[at:])
		l.chunks[k] = c[:at]
		if i >= at {
			k, i = k+1, i-at
		}
		c = l.chunks[k]
	}
	c = append(c, nil)
	copy(c[i+1:], c[i:])
	c[i] = p
	l.chunks[k] = c
}

// remove takes out the entry of this ID and returns it, nil when it is not there.
func (l *PEL) remove(id StreamID) *Pending {
	k, i, ok := l.find(id)
	if !ok {
		return nil
	}
	c := l.chunks[k]
	p := c[i]
	copy(c[i:], c[i+1:])
	c[len(c)-1] = nil
	l.chunks[k] = c[:len(c)-1]
	l.n--
	if len(c) == 1 {
		l.chunks = append(l.chunks[:k], l.chunks[k+1:]...)
	}
	return p
}
