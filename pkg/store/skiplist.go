package store

import (
	"math/bits"
	"math/rand/v2"
	"unsafe"
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

// A search is a chain of cache misses, so a node is one allocation, with its links and the bytes of
// its member in it, as long as neither is unusually many (see towers).
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
	return &skipList{head: &skipNode{next: make([]skipLink, skipLevels)}, level: 1}
}

// tower is a node together with what it points to: L is an array of links, B one of bytes.
type tower[L, B any] struct {
	skipNode
	links L
	bytes B
}

// raise returns a new node and the memory behind it.
func raise[L, B any]() (*skipNode, *skipLink, *byte) {
	t := new(tower[L, B])
	return &t.skipNode, (*skipLink)(unsafe.Pointer(&t.links)), (*byte)(unsafe.Pointer(&t.bytes))
}

// towers makes the usual nodes: of 1 to 4 links (all but one in 256), and members of up to
// towerBytes bytes. The sizes of the last index fill Go's size classes.
var towers = [...][4]func() (*skipNode, *skipLink, *byte){
	{raise[[1]skipLink, [8]byte], raise[[1]skipLink, [24]byte], raise[[1]skipLink, [40]byte], raise[[1]skipLink, [56]byte]},
	{raise[[2]skipLink, [8]byte], raise[[2]skipLink, [24]byte], raise[[2]skipLink, [40]byte], raise[[2]skipLink, [56]byte]},
	{raise[[3]skipLink, [8]byte], raise[[3]skipLink, [24]byte], raise[[3]skipLink, [40]byte], raise[[3]skipLink, [56]byte]},
	{raise[[4]skipLink, [8]byte], raise[[4]skipLink, [24]byte], raise[[4]skipLink, [40]byte], raise[[4]skipLink, [56]byte]},
}

const towerBytes = 56

// newSkipNode returns a node with links in level lanes and a copy of member.
func newSkipNode(level int, member []byte) *skipNode {
	if level > len(towers) || len(member) > towerBytes {
		return &skipNode{member: string(member), next: make([]skipLink, level)}
	}
	n, links, b := towers[level-1][(len(member)+7)/16]()
	n.next = unsafe.Slice(links, level)
	copy(unsafe.Slice(b, len(member)), member)
	n.member = unsafe.String(b, len(member)) // written once, here
	return n
}

func (n *skipNode) memBytes() int64 { return 64 + 16*int64(len(n.next)) + int64(len(n.member)) }

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
	var end *skipNode // where the lane above ended: it is known to lie behind
	for i := s.level - 1; i >= 0; i-- {
		l := &x.next[i]
		for l.node != end && l.node.less(score, member) {
			rank += l.span
			x = l.node
			l = &x.next[i]
		}
		end = l.node
		p.node[i], p.rank[i] = x, rank
	}
}

// insert adds an element that must not be there yet.
func (s *skipList) insert(score float64, member []byte) *skipNode {
	n := newSkipNode(randomLevel(), member)
	n.score = score
	s.link(n)
	return n
}

// link puts a node in its place.
func (s *skipList) link(n *skipNode) {
	var p skipPath
	s.path(&p, n.score, n.member)
	level := len(n.next)
	for ; s.level < level; s.level++ {
		p.node[s.level], p.rank[s.level] = s.head, 0
		s.head.next[s.level].span = s.len
	}
	for i := range n.next {
		prev := &p.node[i].next[i]
		passed := p.rank[0] - p.rank[i]
		n.next[i] = skipLink{prev.node, prev.span - passed}
		*prev = skipLink{n, passed + 1}
	}
	for i := level; i < s.level; i++ {
		p.node[i].next[i].span++
	}
	n.back = nil
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

// update gives the element of n another score. The node stays the same: its number of lanes was
// drawn without regard to its place.
func (s *skipList) update(n *skipNode, score float64) {
	if (n.back == nil || n.back.less(score, n.member)) &&
		(n.next[0].node == nil || !n.next[0].node.less(score, n.member)) {
		n.score = score
		return
	}
	s.delete(n)
	n.score = score
	s.link(n)
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

// before returns the last node before (score, member), or nil.
func (s *skipList) before(score float64, member string) *skipNode {
	var p skipPath
	s.path(&p, score, member)
	if p.node[0] == s.head {
		return nil
	}
	return p.node[0]
}
