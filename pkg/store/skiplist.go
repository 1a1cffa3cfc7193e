package store

import (
	"math/bits"
	"math/rand/v2"
)

// skipList keeps members ordered by score, then by bytes. It is Redis's zskiplist: a linked list
// with express lanes. A quarter of the nodes of a lane is in the lane above it, drawn by lot, so
// that a search goes down some log n lanes with a few steps in each, and nothing ever needs to be
// balanced. Each link knows how many nodes it passes over (span): the sum along a search is the
// rank, which is what a tree would have to keep counts for.
//
// Ranks count from 0. The zero value is not usable: call newSkipList.
type skipList struct {
	head  *skipNode // no element; has the links of all lanes
	tail  *skipNode
	len   int
	level int // lanes in use
	mem   int64
}

type skipNode struct {
	member string
	score  float64
	back   *skipNode // nil for the first
	next   []skipLink
}

type skipLink struct {
	node *skipNode
	span int // nodes from here to node, or to the end when that is nil
}

const skipLevels = 32

func newSkipList() *skipList {
	return &skipList{head: newSkipNode(skipLevels), level: 1}
}

// newSkipNode returns a node with links in level lanes. Nearly all have one or two: for those the
// links stand in the same allocation.
func newSkipNode(level int) *skipNode {
	switch level {
	case 1:
		n := &struct {
			skipNode
			links [1]skipLink
		}{}
		n.next = n.links[:]
		return &n.skipNode
	case 2:
		n := &struct {
			skipNode
			links [2]skipLink
		}{}
		n.next = n.links[:]
		return &n.skipNode
	}
	return &skipNode{next: make([]skipLink, level)}
}

func (n *skipNode) memBytes() int64 { return 64 + 16*int64(len(n.next)) }

// randomLevel draws the number of lanes: 1 with a chance of 3/4, 2 with 3/16, and so on.
func randomLevel() int {
	return 1 + bits.TrailingZeros64(rand.Uint64()|1<<(2*skipLevels-2))/2
}

// less reports whether the node belongs before (score, member).
func (n *skipNode) less(score float64, member string) bool {
	return n.score < score || n.score == score && n.member < member
}

// skipPath is where a search went down from each lane, and at which rank (1 + the node's, 0 for
// the head).
type skipPath struct {
	node [skipLevels]*skipNode
	rank [skipLevels]int
}

// path fills in the way to the place of (score, member).
func (s *skipList) path(p *skipPath, score float64, member string) {
	x, rank := s.head, 0
	for i := s.level - 1; i >= 0; i-- {
		for next := x.next[i].node; next != nil && next.less(score, member); next = x.next[i].node {
			rank += x.next[i].span
			x = next
		}
		p.node[i], p.rank[i] = x, rank
	}
}

// insert adds an element that must not be there yet.
func (s *skipList) insert(score float64, member string) *skipNode {
	var p skipPath
	s.path(&p, score, member)
	level := randomLevel()
	for ; s.level < level; s.level++ {
		p.node[s.level], p.rank[s.level] = s.head, 0
		s.head.next[s.level].span = s.len
	}
	n := newSkipNode(level)
	n.score, n.member = score, member
	for i := range n.next {
		prev := &p.node[i].next[i]
		passed := p.rank[0] - p.rank[i]
		n.next[i] = skipLink{prev.node, prev.span - passed}
		*prev = skipLink{n, passed + 1}
	}
	for i := level; i < s.level; i++ {
		p.node[i].next[i].span++
	}
	if p.node[0] != s.head {
		n.back = p.node[0]
	}
	if after := n.next[0].node; after != nil {
		after.back = n
	} else {
		s.tail = n
	}
	s.len++
	s.mem += n.memBytes()
	return n
}

// remove takes the node out to which p leads.
func (s *skipList) remove(n *skipNode, p *skipPath) {
	for i := range s.level {
		prev := &p.node[i].next[i]
		if prev.node == n {
			*prev = skipLink{n.next[i].node, prev.span + n.next[i].span - 1}
		} else {
			prev.span--
		}
	}
	if after := n.next[0].node; after != nil {
		after.back = n.back
	} else {
		s.tail = n.back
	}
	for s.level > 1 && s.head.next[s.level-1].node == nil {
		s.level--
	}
	s.len--
	s.mem -= n.memBytes()
}

// delete removes the element of n.
func (s *skipList) delete(n *skipNode) {
	var p skipPath
	s.path(&p, n.score, n.member)
	s.remove(n, &p)
}

// update gives the element of n another score and returns its node, a new one if it had to move.
func (s *skipList) update(n *skipNode, score float64) *skipNode {
	if (n.back == nil || n.back.less(score, n.member)) &&
		(n.next[0].node == nil || !n.next[0].node.less(score, n.member)) {
		n.score = score
		return n
	}
	s.delete(n)
	return s.insert(score, n.member)
}

// rank returns the rank of the element of n.
func (s *skipList) rank(n *skipNode) int {
	var p skipPath
	s.path(&p, n.score, n.member)
	return p.rank[0]
}

// at returns the node of a rank that exists.
func (s *skipList) at(rank int) *skipNode {
	x, left := s.head, rank+1
	for i := s.level - 1; left > 0; i-- {
		for x.next[i].node != nil && x.next[i].span <= left {
			left -= x.next[i].span
			x = x.next[i].node
		}
	}
	return x
}

// prefix returns for how many nodes from the first on before is true, which must be a property
// that ends once and for all somewhere in the order.
func (s *skipList) prefix(before func(*skipNode) bool) int {
	x, rank := s.head, 0
	for i := s.level - 1; i >= 0; i-- {
		for next := x.next[i].node; next != nil && before(next); next = x.next[i].node {
			rank += x.next[i].span
			x = next
		}
	}
	return rank
}

// deleteRange removes n nodes from a rank on and calls fn for each.
func (s *skipList) deleteRange(rank, n int, fn func(*skipNode)) {
	if n <= 0 {
		return
	}
	var p skipPath
	x := s.at(rank)
	s.path(&p, x.score, x.member)
	for ; n > 0; n-- {
		next := x.next[0].node
		s.remove(x, &p)
		fn(x)
		x = next
	}
}
