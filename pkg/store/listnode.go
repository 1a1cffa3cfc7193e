package store

// What List does with its nodes: where an element is, when a node is full, and how an insertion
// in the middle splits one and puts small neighbours together again, as in Redis's quicklist.c.

func isHuge(size int) bool { return int64(size) >= Encodings.ListPackedThreshold.Load() }

// nodeMax returns the limits of a node: bytes, and elements (0 for no limit).
func (l *List) nodeMax() (size, elements int) {
	if l.fill >= 0 {
		return 8192, max(l.fill, 1)
	}
	return 4096 << min(-l.fill-1, 4), 0
}

func (l *List) fits(size, n int) bool {
	maxSize, maxN := l.nodeMax()
	return size <= maxSize && (maxN == 0 || n <= maxN)
}

// allows reports whether an element of size bytes may be added to the node.
func (l *List) allows(n *listNode, size int) bool {
	const overhead = 8 // of an entry, estimated
	return !n.plain() && !isHuge(size) && l.fits(n.lp.size()+size+overhead, n.n+1)
}

// newNode returns a node that holds b. One that follows a full node is likely to be filled as
// well: it gets more memory than it needs, with the room where the pushes go. That is not all it may
// ever need (see ahead): a queue that is pushed to and popped from where a node ends makes one each time.
func (l *List) newNode(b []byte, follows, atHead bool) *listNode {
	if isHuge(len(b)) {
		return &listNode{huge: append([]byte{}, b...), n: 1}
	}
	capacity := lpHeader + 1 + len(b) + 2
	if size, fills := l.fillsUp(len(b)); follows && fills {
		capacity = max(size/16, 2*capacity)
	}
	n := &listNode{lp: newListpackCap(capacity, atHead), n: 1}
	n.lp.Append(b)
	return n
}

// fillsUp reports whether a node that elements of so many bytes are pushed to is likely to become size
// bytes long.
func (l *List) fillsUp(elem int) (size int, likely bool) {
	size, elements := l.nodeMax()
	return size, elements == 0 && elem < size/8
}

// ahead gives a node at an end of the list four times its memory when an element of so many bytes does not
// fit any more. That is as much as a listpack keeps when elements are taken from it again.
func (l *List) ahead(n *listNode, elem int, atHead bool) {
	if n.prev == n.next || int(n.lp.cap)-n.lp.size() >= elem+lpMaxFrame {
		return // the only node grows with the list
	}
	if size, likely := l.fillsUp(elem); likely && int(n.lp.cap) < size {
		n.lp.rebase(min(4*int(n.lp.cap), size), atHead)
	}
}

func (n *listNode) plain() bool { return n.huge != nil }

// memBytes is what the elements take.
func (n *listNode) memBytes() int64 {
	if n.plain() {
		return int64(cap(n.huge))
	}
	return n.lp.memBytes()
}

// bytes returns the listpack's, or the huge element.
func (n *listNode) bytes() []byte {
	if n.plain() {
		return n.huge
	}
	return n.lp.Bytes()
}

// clone returns a node of its own with the same elements.
func (n *listNode) clone() *listNode {
	if n.plain() {
		return &listNode{huge: append([]byte{}, n.huge...), n: 1}
	}
	return &listNode{lp: n.lp.clone(), n: n.n}
}

// edit calls fn, which changes the node's listpack, and accounts for it.
func (l *List) edit(n *listNode, fn func()) {
	l.mem -= n.memBytes()
	fn()
	l.mem += n.memBytes()
}

// link puts n behind the node after, or first when that is nil.
func (l *List) link(after, n *listNode) {
	n.prev = after
	if after == nil {
		n.next, l.head = l.head, n
	} else {
		n.next, after.next = after.next, n
	}
	if n.next == nil {
		l.tail = n
	} else {
		n.next.prev = n
	}
	l.mem += listNodeBytes + n.memBytes()
}

func (l *List) unlink(n *listNode) {
	if n.prev == nil {
		l.head = n.next
	} else {
		n.prev.next = n.next
	}
	if n.next == nil {
		l.tail = n.prev
	} else {
		n.next.prev = n.prev
	}
	l.mem -= listNodeBytes + n.memBytes()
}

// locate returns the node of element i and the index in it, coming from the nearer end.
func (l *List) locate(i int) (*listNode, int) {
	if i < 0 {
		i += l.len
	}
	if i < 0 || i >= l.len {
		return nil, 0
	}
	if i < l.len/2 {
		n := l.head
		for i >= n.n {
			i -= n.n
			n = n.next
		}
		return n, i
	}
	n, end := l.tail, l.len
	for end-n.n > i {
		end -= n.n
		n = n.prev
	}
	return n, i - (end - n.n)
}

// pos returns the position of the node's element i; a plain node's only element is at 0.
func (n *listNode) pos(i int) int {
	if n.plain() {
		return 0
	}
	return n.lp.index(i)
}

func (n *listNode) at(i int) Elem { return n.elem(n.pos(i)) }

// elem returns the element at position p, in the form that newElem gives: a plain node's bytes may
// be an integer's digits, when it was made with a low threshold.
func (n *listNode) elem(p int) Elem {
	if n.plain() {
		return newElem(n.huge)
	}
	return n.lp.At(p)
}

func (n *listNode) first() int {
	if n.plain() {
		return 0
	}
	return n.lp.First()
}

func (n *listNode) last() int {
	if n.plain() {
		return 0
	}
	return n.lp.last()
}

func (n *listNode) after(p int) int {
	if n.plain() {
		return -1
	}
	return n.lp.Next(p)
}

func (n *listNode) before(p int) int {
	if n.plain() {
		return -1
	}
	return n.lp.prev(p)
}

// deleteAt deletes the element at p and returns the position of the next one in the node, or -1.
func (l *List) deleteAt(n *listNode, p int) int {
	l.len--
	if n.n == 1 {
		l.unlink(n)
		return -1
	}
	l.edit(n, func() { n.lp.delete(p, 1) })
	n.n--
	if p == n.lp.size()-1 {
		return -1
	}
	return p
}

// insert adds b before or after the element at p of node n.
func (l *List) insert(n *listNode, p int, b []byte, after bool) {
	l.len++
	atHead, atTail := p == n.first(), p == n.last()
	switch {
	case l.allows(n, len(b)):
		l.edit(n, func() {
			if after {
				n.lp.insertAfter(p, b)
			} else {
				n.lp.insertBefore(p, b)
			}
		})
		n.n++
	case atTail && after && n.next != nil && l.allows(n.next, len(b)):
		l.edit(n.next, func() { n.next.lp.prepend(b) })
		n.next.n++
	case atHead && !after && n.prev != nil && l.allows(n.prev, len(b)):
		l.edit(n.prev, func() { n.prev.lp.Append(b) })
		n.prev.n++
	case atTail && after:
		l.link(n, l.newNode(b, false, false))
	case atHead && !after:
		l.link(n.prev, l.newNode(b, false, false))
	default:
		l.split(n, p, after)
		switch rest := n.next; {
		case isHuge(len(b)):
			l.link(n, l.newNode(b, false, false))
		case after:
			l.edit(rest, func() { rest.lp.prepend(b) })
			rest.n++
			l.merge(n)
		default:
			l.edit(n, func() { n.lp.Append(b) })
			n.n++
			l.merge(rest)
		}
	}
}

// replaceWhole replaces the element at p when it or b is huge: b is inserted behind it, which may well
// be in another node.
func (l *List) replaceWhole(n *listNode, p int, b []byte) {
	if n.plain() && isHuge(len(b)) {
		l.edit(n, func() { n.huge = append([]byte{}, b...) })
		return
	}
	l.insert(n, p, b, true)
	l.deleteAt(n, p)
}

// split moves what stands behind the element at p, and that element too unless after, to a new
// node behind n. Both have elements then.
func (l *List) split(n *listNode, p int, after bool) {
	if after {
		p = n.lp.Next(p)
	}
	rest := &listNode{lp: n.lp.clone()}
	kept := 0
	for q := n.lp.First(); q != p; q = n.lp.Next(q) {
		kept++
	}
	rest.lp.delete(lpHeader, kept)
	rest.n = n.n - kept
	l.edit(n, func() { n.lp.delete(p, rest.n) })
	n.n = kept
	l.link(n, rest)
}

// merge puts n and its neighbours together where they fit into one node, so that insertions in
// the middle do not leave a trail of small nodes.
func (l *List) merge(n *listNode) {
	prev, next := n.prev, n.next
	if prev != nil {
		l.join(prev.prev, prev)
	}
	if next != nil {
		l.join(next, next.next)
	}
	if l.join(n.prev, n) {
		n = n.prev
	}
	l.join(n, n.next)
}

// join appends the elements of b, the node behind a, to a when they fit.
func (l *List) join(a, b *listNode) bool {
	if a == nil || b == nil || a.plain() || b.plain() ||
		!l.fits(a.lp.size()+b.lp.size()-lpHeader-1, a.n+b.n) {
		return false
	}
	l.unlink(b)
	l.edit(a, func() { a.lp.concat(&b.lp) })
	a.n += b.n
	return true
}
