package store

// deadlines is a heap of the entries that have an expiry time, the next to expire first.
//
// Redis samples its keys with a TTL at random and so leaves some of the expired in memory; a heap
// knows exactly which are due, in O(log n) a change, and costs 16 bytes a key with a TTL and
// nothing for the others: an entry holds only its index here. Four children a node instead of two
// make it flatter, which saves cache misses.
//
// It lies in rooms of 32 KB, as the buckets of a large table do. In one piece it would be copied
// whenever it grew: on the way to ten million keys once for 445 ms, and nobody was served meanwhile.
type deadlines struct {
	n     int
	rooms [][]deadline // all but the first have room for dueRoom
}

type deadline struct {
	atMs int64
	e    *Entry
}

const (
	arity   = 4
	dueBits = 11
	dueRoom = 1 << dueBits
)

func (h *deadlines) len() int { return h.n }

// at returns deadline i, which is valid until the next one comes or goes.
func (h *deadlines) at(i int) *deadline { return &h.rooms[i>>dueBits][i&(dueRoom-1)] }

// of returns the deadline of an entry that has one.
func (h *deadlines) of(e *Entry) *deadline { return h.at(int(e.deadline - 1)) }

// bytes returns the memory that the heap takes.
func (h *deadlines) bytes() (n int64) {
	if len(h.rooms) > 0 {
		n = int64(cap(h.rooms[0]) + (len(h.rooms)-1)*dueRoom)
	}
	return 16 * n
}

func (h *deadlines) set(e *Entry, atMs int64) {
	if e.deadline == 0 {
		h.push(deadline{atMs, e})
		e.deadline = int32(h.n)
		h.up(h.n - 1)
		return
	}
	i := int(e.deadline - 1)
	h.at(i).atMs = atMs
	h.down(h.up(i))
}

// push adds a deadline at the end.
func (h *deadlines) push(d deadline) {
	room := h.n >> dueBits
	if room == len(h.rooms) {
		var fresh []deadline // the first grows as it is filled: most databases need no more
		if room > 0 {
			fresh = make([]deadline, 0, dueRoom)
		}
		h.rooms = append(h.rooms, fresh)
	}
	h.rooms[room] = append(h.rooms[room], d)
	h.n++
}

// pop takes the last deadline away, and room that is no longer needed, but for one in reserve.
func (h *deadlines) pop() {
	h.n--
	last := &h.rooms[h.n>>dueBits]
	(*last)[h.n&(dueRoom-1)] = deadline{}
	*last = (*last)[:h.n&(dueRoom-1)]
	if needed := (h.n + dueRoom - 1) >> dueBits; len(h.rooms) > needed+1 {
		h.rooms[len(h.rooms)-1] = nil
		h.rooms = h.rooms[:len(h.rooms)-1]
	}
}

func (h *deadlines) remove(e *Entry) {
	i, last := int(e.deadline-1), h.n-1
	e.deadline = 0
	if i != last {
		d := h.at(i)
		*d = *h.at(last)
		d.e.deadline = int32(i + 1)
	}
	h.pop()
	if i != last {
		h.down(h.up(i))
	}
}

func (h *deadlines) swap(i, j int) {
	a, b := h.at(i), h.at(j)
	*a, *b = *b, *a
	a.e.deadline = int32(i + 1)
	b.e.deadline = int32(j + 1)
}

func (h *deadlines) up(i int) int {
	for i > 0 {
		parent := (i - 1) / arity
		if h.at(parent).atMs <= h.at(i).atMs {
			break
		}
		h.swap(i, parent)
		i = parent
	}
	return i
}

func (h *deadlines) down(i int) {
	for {
		least := i
		for c := arity*i + 1; c <= arity*i+arity && c < h.n; c++ {
			if h.at(c).atMs < h.at(least).atMs {
				least = c
			}
		}
		if least == i {
			return
		}
		h.swap(i, least)
		i = least
	}
}
