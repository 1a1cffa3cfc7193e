package store

// deadlines is a heap of the entries that have an expiry time, the next to expire first.
//
// Redis samples its keys with a TTL at random and so leaves some of the expired in memory; a heap
// knows exactly which are due, in O(log n) a change, and costs 16 bytes a key with a TTL and
// nothing for the others: an entry holds only its index here. Four children a node instead of two
// make it flatter, which saves cache misses.
type deadlines []deadline

type deadline struct {
	atMs int64
	e    *Entry
}

const arity = 4

func (h *deadlines) set(e *Entry, atMs int64) {
	if e.deadline == 0 {
		*h = append(*h, deadline{atMs, e})
		e.deadline = int32(len(*h))
		h.up(len(*h) - 1)
		return
	}
	i := int(e.deadline - 1)
	(*h)[i].atMs = atMs
	h.down(h.up(i))
}

func (h *deadlines) remove(e *Entry) {
	i, last := int(e.deadline-1), len(*h)-1
	e.deadline = 0
	if i != last {
		(*h)[i] = (*h)[last]
		(*h)[i].e.deadline = int32(i + 1)
	}
	(*h)[last] = deadline{}
	*h = (*h)[:last]
	if i != last {
		h.down(h.up(i))
	}
	if cap(*h) > 1024 && len(*h) < cap(*h)/4 {
		*h = append(make(deadlines, 0, cap(*h)/2), *h...)
	}
}

func (h deadlines) swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].e.deadline = int32(i + 1)
	h[j].e.deadline = int32(j + 1)
}

func (h deadlines) up(i int) int {
	for i > 0 {
		parent := (i - 1) / arity
		if h[parent].atMs <= h[i].atMs {
			break
		}
		h.swap(i, parent)
		i = parent
	}
	return i
}

func (h deadlines) down(i int) {
	for {
		least := i
		for c := arity*i + 1; c <= arity*i+arity && c < len(h); c++ {
			if h[c].atMs < h[least].atMs {
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
