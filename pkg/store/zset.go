package store

// ZSet is a sorted set value: a listpack of members and scores in order while it is small, else a
// skip list, which knows the order and the ranks, together with a Dict, which finds a member's
// score at once. Both point to the same nodes, so that a member is stored once.
//
// The order is by score, then by the bytes of the members. Ranks count from 0 at the lowest.
// Scores must not be NaN. Slices given in are copied; slices handed out must not be written to
// and are valid until the sorted set changes.
type ZSet struct {
	lp   Listpack
	skip *skipList // nil while the listpack is used
}

// NewZSet returns an empty sorted set.
func NewZSet() *ZSet { return &ZSet{lp: NewListpack()} }

// NewZSetFromListpack returns a sorted set of the pairs of member and score in lp, which it takes
// over. The error is ErrCorrupt when they are not pairs, a score is not a number, a member comes
// twice, or the order is wrong.
func NewZSetFromListpack(lp Listpack) (*ZSet, error) {
	if !lp.distinctPairs() || !lp.scoresAscend() {
		return nil, ErrCorrupt
	}
	z := &ZSet{lp: lp}
	if int64(z.Len()) > Encodings.ZSetMaxListpackEntries.Load() {
		z.convert(z.Len())
	}
	return z, nil
}

func (*ZSet) sealed() {}

// Type returns TypeZSet.
func (*ZSet) Type() Type { return TypeZSet }

// Encoding returns listpack or skiplist.
func (z *ZSet) Encoding() string {
	if z.skip == nil {
		return "listpack"
	}
	return "skiplist"
}

// Listpack returns the pairs as they are stored, or false in the other encoding.
func (z *ZSet) Listpack() (*Listpack, bool) { return &z.lp, z.skip == nil }

// MemBytes estimates the memory of the sorted set.
func (z *ZSet) MemBytes() int64 {
	if z.skip == nil {
		return 24 + z.lp.memBytes()
	}
	const head = 64 + 16*skipLevels
	return 24 + dictBytes + head + z.skip.mem + slotBytes*int64(z.skip.len)
}

// Len returns the number of members.
func (z *ZSet) Len() int {
	if z.skip == nil {
		return z.lp.len() / 2
	}
	return z.skip.len
}

// Clone returns a copy that shares nothing that can change.
func (z *ZSet) Clone() Value {
	if z.skip == nil {
		return &ZSet{lp: z.lp.clone()}
	}
	c := new(ZSet)
	c.empty(z.Len())
	for n := z.skip.tail; n != nil; n = n.back { // from the end: each is inserted at the head
		c.link(view(keyOf(n)), n.score)
	}
	return c
}

// Expect prepares for n members of up to longest bytes in all, so that many can be added without
// a change of encoding on the way.
func (z *ZSet) Expect(n, longest int) {
	if z.skip == nil && (int64(n) > Encodings.ZSetMaxListpackEntries.Load() ||
		int64(longest) > Encodings.ZSetMaxListpackValue.Load()) {
		z.convert(n)
	}
}

// ExpectPairs prepares a new sorted set for pairs, of which pair i is the score scores[i] and the member
// pairs[2*i+1], as ZADD has them: it gets its memory at once.
func (z *ZSet) ExpectPairs(pairs [][]byte, scores []float64) {
	if z.skip != nil || z.lp.len() > 0 || len(scores) > expectMost {
		return
	}
	size := 0
	for i, score := range scores {
		var buf [32]byte
		size += newElem(pairs[2*i+1]).entrySize() + scoreElem(buf[:0], score).entrySize()
	}
	z.lp.expect(size)
}

// Unpack goes over to the skip list, whatever the size.
func (z *ZSet) Unpack() {
	if z.skip == nil {
		z.convert(z.Len())
	}
}

// Pack goes back to a listpack if the limits allow it. Only a result that was built at once is
// packed: a value that is in use never changes back.
func (z *ZSet) Pack() {
	if z.skip == nil || int64(z.Len()) > Encodings.ZSetMaxListpackEntries.Load() {
		return
	}
	lp := NewListpack()
	for n := z.skip.head.link(0).node; n != nil; n = n.link(0).node {
		if int64(len(keyOf(n))) > Encodings.ZSetMaxListpackValue.Load() {
			return
		}
		var buf [32]byte
		lp.Append(view(keyOf(n)))
		lp.put(lp.size()-1, 0, scoreElem(buf[:0], n.score))
	}
	*z = ZSet{lp: lp}
}

// Score returns the score of m.
func (z *ZSet) Score(m []byte) (float64, bool) {
	if z.skip != nil {
		if n := z.skip.d.get(m); n != nil {
			return n.score, true
		}
		return 0, false
	}
	p := z.lp.find(z.lp.First(), m, 1)
	if p < 0 {
		return 0, false
	}
	return z.lp.At(z.lp.Next(p)).score(), true
}

// Add sets the score of m and reports whether m is new.
func (z *ZSet) Add(m []byte, score float64) (isNew bool) {
	_, had := z.Put(m, score)
	return !had
}

// Put sets the score of m and returns the one it had.
func (z *ZSet) Put(m []byte, score float64) (old float64, had bool) {
	if z.skip == nil {
		if p := z.lp.find(z.lp.First(), m, 1); p >= 0 {
			old = z.lp.At(z.lp.Next(p)).score()
			if old != score {
				z.lp.delete(p, 2)
				z.lp.insertScored(m, score)
			}
			return old, true
		}
		if int64(z.Len()) < Encodings.ZSetMaxListpackEntries.Load() &&
			int64(len(m)) <= Encodings.ZSetMaxListpackValue.Load() &&
			z.lp.size()+len(m) < lpSafetyLimit {
			z.lp.insertScored(m, score)
			return 0, false
		}
		z.convert(z.Len() + 1)
	}
	n := z.skip.d.get(m)
	if n == nil {
		z.link(m, score)
		return 0, false
	}
	if old = n.score; old != score {
		z.skip.d.changing(n)
		z.skip.update(n, score)
	}
	return old, true
}

// link adds a new member to skip list and Dict.
func (z *ZSet) link(m []byte, score float64) {
	n := z.skip.insert(score, m)
	z.skip.d.add(n)
}

// unlink removes a member from the Dict after it was removed from the skip list.
func (z *ZSet) unlink(n *skipNode) { z.skip.d.deleteString(keyOf(n)) }

// Remove removes m and reports whether it was there.
func (z *ZSet) Remove(m []byte) bool {
	if z.skip != nil {
		n := z.skip.d.get(m)
		if n == nil {
			return false
		}
		z.skip.delete(n)
		z.unlink(n)
		return true
	}
	p := z.lp.find(z.lp.First(), m, 1)
	if p < 0 {
		return false
	}
	z.lp.delete(p, 2)
	return true
}

// empty makes z an empty skip list and Dict, with room for n members.
func (z *ZSet) empty(n int) {
	z.skip, z.lp = newSkipList(), Listpack{}
	z.skip.d.reserve(n)
}

// convert goes over to a skip list, with room for n members.
func (z *ZSet) convert(n int) {
	lp := z.lp
	z.empty(n)
	lp.eachPair(func(m, score Elem) bool {
		z.link(m.Bytes(), score.score())
		return true
	})
}

// Rank returns the rank of m.
func (z *ZSet) Rank(m []byte) (int, bool) {
	if z.skip != nil {
		if n := z.skip.d.get(m); n != nil {
			return z.skip.rank(n), true
		}
		return 0, false
	}
	rank, found, want := 0, false, newElem(m)
	z.lp.eachPair(func(e, _ Elem) bool {
		found = e.equal(want)
		rank++
		return !found
	})
	return rank - 1, found
}

// Each calls fn for all members in ascending order until it returns false.
func (z *ZSet) Each(fn func(m []byte, score float64) bool) { z.Range(0, z.Len(), false, fn) }

// Range calls fn for n members, until it returns false: from rank start upwards, or with reverse
// from the start-th highest downwards (0 is the highest).
func (z *ZSet) Range(start, n int, reverse bool, fn func(m []byte, score float64) bool) {
	n = min(n, z.Len()-start)
	if n <= 0 || start < 0 {
		return
	}
	if reverse {
		start = z.Len() - 1 - start
	}
	if z.skip == nil {
		z.lp.rangePairs(start, n, reverse, fn)
		return
	}
	for x := z.skip.at(start); n > 0 && fn(view(keyOf(x)), x.score); n-- {
		if reverse {
			x = x.back
		} else {
			x = x.link(0).node
		}
	}
}

// DeleteRange removes n members from rank start on and returns how many it removed.
func (z *ZSet) DeleteRange(start, n int) int {
	n = min(n, z.Len()-start)
	if n <= 0 || start < 0 {
		return 0
	}
	if z.skip == nil {
		return z.lp.delete(z.lp.index(2*start), 2*n) / 2
	}
	z.skip.deleteRange(start, n, z.unlink)
	return n
}

// Scan is one step of a walk with ZSCAN's cursor: it calls fn for about count members and returns
// the cursor to go on with, 0 at the end. A listpack is handed out whole. See Dict.scan.
func (z *ZSet) Scan(cursor uint64, count int, fn func(m []byte, score float64)) uint64 {
	if z.skip == nil {
		z.Each(func(m []byte, score float64) bool { fn(m, score); return true })
		return 0
	}
	return z.skip.d.scanSome(cursor, count, func(n *skipNode) { fn(view(keyOf(n)), n.score) })
}

// Sample calls fn for n different members drawn at random, or for all when there are fewer, until
// it returns false.
func (z *ZSet) Sample(n int, fn func(m []byte, score float64) bool) {
	if z.skip != nil {
		z.skip.d.sample(n, func(n *skipNode) bool { return fn(view(keyOf(n)), n.score) })
		return
	}
	z.lp.samplePairs(n, func(m, score Elem) bool { return fn(m.Bytes(), score.score()) })
}
