package store

// End returns the first or the last element of a list that is not empty. Like all that is handed
// out it is valid until the list changes: with DropEnd it is a pop without a copy.
func (l *List) End(head bool) Elem {
	n, p := l.end(head)
	return n.elem(p)
}

// DropEnd removes the first or the last element of a list that is not empty.
func (l *List) DropEnd(head bool) { l.deleteAt(l.end(head)) }

func (l *List) end(head bool) (*listNode, int) {
	if head {
		return l.head, l.head.first()
	}
	return l.tail, l.tail.last()
}
