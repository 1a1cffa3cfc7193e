package store

// List is a list value: Redis's quicklist, a chain of nodes that are listpacks of up to 8 KB
// (list-max-listpack-size).
//
// A chain of single elements would spend more on pointers than on what they point to, and one
// block for all would move megabytes for an insertion. Nodes of a few kilobytes keep both within
// bounds: pushes and pops at the ends touch one node, an index costs a walk over the nodes'
// counts, and what an insertion or deletion moves is never more than a node.
//
// Indexes count from 0 at the head, and from -1 backwards at the tail. Slices given in are
// copied; slices handed out must not be written to and are valid until the list changes.
// Interior nodes are not compressed: list-compress-depth has no equivalent here.
type List struct {
	head, tail *listNode
	len        int
	mem        int64 // of the nodes
	fill       int   // list-max-listpack-size as it was when the list came to be, as in Redis
}

type listNode struct {
	prev, next *listNode
	lp         Listpack
	huge       []byte // instead of lp: one huge element
	n          int
}

const listNodeBytes = 64

// NewList returns an empty list.
func NewList() *List {
	return &List{fill: int(Encodings.ListMaxListpackSize.Load())}
}

func (*List) sealed() {}

// Type returns TypeList.
func (*List) Type() Type { return TypeList }

// Encoding returns quicklist.
func (*List) Encoding() string { return "quicklist" }

// MemBytes returns the size of the nodes.
func (l *List) MemBytes() int64 { return 48 + l.mem }

// Len returns the number of elements.
func (l *List) Len() int { return l.len }

// Clone returns a copy that shares nothing.
func (l *List) Clone() Value {
	c := &List{fill: l.fill}
	for n := l.head; n != nil; n = n.next {
		c.link(c.tail, n.clone())
		c.len += n.n
	}
	return c
}

// PushHead adds b before the first element.
func (l *List) PushHead(b []byte) {
	if n := l.head; n != nil && l.allows(n, len(b)) {
		l.edit(n, func() { l.ahead(n, len(b), true); n.lp.prepend(b) })
		n.n++
	} else {
		l.link(nil, l.newNode(b, n != nil, true))
	}
	l.len++
}

// PushTail adds b after the last element.
func (l *List) PushTail(b []byte) {
	if n := l.tail; n != nil && l.allows(n, len(b)) {
		l.edit(n, func() { l.ahead(n, len(b), false); n.lp.Append(b) })
		n.n++
	} else {
		l.link(n, l.newNode(b, n != nil, false))
	}
	l.len++
}

// PopHead removes the first element and returns it, or nil when there is none. The slice belongs
// to the caller.
func (l *List) PopHead() []byte { return l.pop(l.head, 0) }

// PopTail removes the last element and returns it, or nil when there is none. The slice belongs
// to the caller.
func (l *List) PopTail() []byte { return l.pop(l.tail, -1) }

func (l *List) pop(n *listNode, end int) []byte {
	if n == nil {
		return nil
	}
	if n.plain() {
		l.unlink(n)
		l.len--
		return n.huge
	}
	p := n.lp.First()
	if end < 0 {
		p = n.lp.last()
	}
	out := append([]byte{}, n.lp.At(p).Bytes()...)
	l.deleteAt(n, p)
	return out
}

// Index returns element i.
func (l *List) Index(i int) ([]byte, bool) {
	n, i := l.locate(i)
	if n == nil {
		return nil, false
	}
	return n.at(i).Bytes(), true
}

// Set replaces element i by b and reports whether there is one.
func (l *List) Set(i int, b []byte) bool {
	n, i := l.locate(i)
	if n == nil {
		return false
	}
	p := n.pos(i)
	if !n.plain() && !isHuge(len(b)) {
		l.edit(n, func() { n.lp.replace(p, b) })
		return true
	}
	l.replaceWhole(n, p, b)
	return true
}

// Insert adds b before the first element equal to pivot, or after it, and reports whether there
// is one.
func (l *List) Insert(pivot, b []byte, after bool) bool {
	want := newElem(pivot)
	for n := l.head; n != nil; n = n.next {
		for p := n.first(); p >= 0; p = n.after(p) {
			if n.elem(p).equal(want) {
				l.insert(n, p, b, after)
				return true
			}
		}
	}
	return false
}

// Remove deletes elements equal to b: all for a count of 0, else the first count, or the last
// -count when it is negative. It returns how many it deleted.
func (l *List) Remove(count int, b []byte) int {
	want, done := newElem(b), 0
	if count >= 0 {
		for n := l.head; n != nil; {
			next := n.next
			for p := n.first(); p >= 0; {
				if !n.elem(p).equal(want) {
					p = n.after(p)
					continue
				}
				p = l.deleteAt(n, p)
				if done++; done == count {
					return done
				}
			}
			n = next
		}
		return done
	}
	for n := l.tail; n != nil; {
		prev := n.prev
		for p := n.last(); p >= 0; {
			before := n.before(p)
			if n.elem(p).equal(want) {
				l.deleteAt(n, p)
				if done++; done == -count {
					return done
				}
			}
			p = before
		}
		n = prev
	}
	return done
}

// Delete deletes up to n elements from index start on and returns how many.
func (l *List) Delete(start, n int) int {
	node, at := l.locate(start)
	done := 0
	for node != nil && done < n {
		next := node.next
		if at == 0 && node.n <= n-done {
			l.unlink(node)
			l.len -= node.n
			done += node.n
		} else {
			k := min(node.n-at, n-done)
			p := node.pos(at)
			l.edit(node, func() { node.lp.delete(p, k) })
			node.n -= k
			l.len -= k
			done += k
		}
		node, at = next, 0
	}
	return done
}

// Each calls fn for the elements from head to tail until it returns false.
func (l *List) Each(fn func(b []byte) bool) {
	l.RangeElem(0, l.len, func(e Elem) bool { return fn(e.Bytes()) })
}

// RangeElem calls fn for n elements from index start towards the tail, until it returns false. Elements are not
// bytes here, since a caller may have a cheaper way with integers than their decimals.
func (l *List) RangeElem(start, n int, fn func(Elem) bool) {
	node, at := l.locate(start)
	for ; node != nil && n > 0; node = node.next {
		if node.plain() {
			if n--; !fn(newElem(node.huge)) {
				return
			}
			continue
		}
		b, p := node.lp.block(), node.pos(at) // once a node, not once an element
		for ; n > 0 && b[p] != lpEOF; n-- {
			if !fn(lpAt(b, p)) {
				return
			}
			p = lpNext(b, p)
		}
		at = 0
	}
}

// Find calls fn with the index of each element equal to b, from the head or with reverse from the
// tail, until it returns false. It compares with no more than maxLen elements unless that is 0.
func (l *List) Find(b []byte, reverse bool, maxLen int, fn func(i int) bool) {
	want := newElem(b)
	if maxLen <= 0 || maxLen > l.len {
		maxLen = l.len
	}
	if !reverse {
		i := 0
		l.RangeElem(0, maxLen, func(e Elem) bool {
			i++
			return !e.equal(want) || fn(i-1)
		})
		return
	}
	i := l.len - 1
	for n := l.tail; n != nil; n = n.prev {
		for p := n.last(); p >= 0; p = n.before(p) {
			if i < l.len-maxLen || n.elem(p).equal(want) && !fn(i) {
				return
			}
			i--
		}
	}
}

// EachNode calls fn for the nodes: a listpack's bytes, or with plain one huge element.
func (l *List) EachNode(fn func(b []byte, plain bool) bool) {
	for n := l.head; n != nil; n = n.next {
		if !fn(n.bytes(), n.plain()) {
			return
		}
	}
}

// Nodes returns the number of nodes.
func (l *List) Nodes() int {
	count := 0
	for n := l.head; n != nil; n = n.next {
		count++
	}
	return count
}

// AppendListpack adds a whole node at the tail. The list owns it from then on; an empty one is
// left out.
func (l *List) AppendListpack(lp Listpack) {
	if n := lp.len(); n > 0 {
		l.link(l.tail, &listNode{lp: lp, n: n})
		l.len += n
	}
}

// AppendPlain adds a node of one huge element at the tail. The list owns b from then on.
func (l *List) AppendPlain(b []byte) {
	l.link(l.tail, &listNode{huge: b, n: 1})
	l.len++
}
