package store

// Touching keys before they are used.
//
// A look-up in a large table is a chain of loads: the bucket, the node, the key's bytes, the value's header, the
// value's bytes. None of them is in a cache, each takes some 80 ns, and each has to wait for the one before, since
// that says where to load. The processor could wait for ten loads at once, but one look-up never has two to give.
//
// A pipeline has many look-ups to give. Touch takes the keys of a whole batch and makes the first step for all of
// them, then the second, and so on. The loads of one step know nothing of each other, so they overlap. The commands
// then find everything in the cache. It is what Valkey 8 calls memory prefetching; Go has no instruction for
// that, but a load whose result is kept does the same.
//
// Touch changes nothing, and nothing depends on it. What it has loaded may be gone or replaced by the time it is used.

// Look is what a command is about to look up: a key, and an element of what is there.
type Look struct{ Key, Elem []byte } // Elem may be nil

// touchStep is how many look-ups are made together: more than overlap, and few enough to stay in the caches.
const touchStep = 64

// touchFrom is how many elements a table must have to be worth it: a smaller one is in a cache anyway.
const touchFrom = 1 << 10

// Touch loads what the look-ups will need.
func (db *DB) Touch(looks []Look) {
	for len(looks) > 0 {
		n := min(touchStep, len(looks))
		db.touch(looks[:n])
		looks = looks[n:]
	}
}

func (db *DB) touch(looks []Look) {
	if db.t.keys.len() >= touchFrom {
		var keys [touchStep][]byte
		for i := range looks {
			keys[i] = looks[i].Key
		}
		db.touchKeys(keys[:len(looks)])
	}
	for len(looks) > 0 { // elements of the same key together
		n := 1
		for n < len(looks) && string(looks[n].Key) == string(looks[0].Key) {
			n++
		}
		if n > 1 && looks[0].Elem != nil {
			db.touchElems(looks[:n])
		}
		looks = looks[n:]
	}
}

// touchKeys loads entries and their strings.
func (db *DB) touchKeys(keys [][]byte) {
	var nodes [touchStep]*Node[record]
	sum := db.t.keys.ahead(keys, nodes[:])
	var strings [touchStep][]byte
	for i := range keys {
		if n := nodes[i]; n != nil {
			if s, ok := n.Val.value.(*String); ok {
				strings[i] = s.b
			}
		}
	}
	for _, b := range strings[:len(keys)] {
		if len(b) > 0 {
			sum += b[0]
		}
	}
	db.s.touched += sum
}

// touchElems loads elements of one collection.
func (db *DB) touchElems(looks []Look) {
	e := (*Entry)(db.t.keys.peek(looks[0].Key))
	if e == nil {
		return
	}
	var elems [touchStep][]byte
	for i := range looks {
		elems[i] = looks[i].Elem
	}
	switch v := e.Val.value.(type) {
	case *Hash:
		db.s.touched += v.d.aheadOfMany(elems[:len(looks)])
	case *Set:
		db.s.touched += v.d.aheadOfMany(elems[:len(looks)])
	case *ZSet:
		db.s.touched += v.d.aheadOfMany(elems[:len(looks)])
	}
}

// aheadOfMany is ahead for a table that may not be there, or not be worth it.
func (d *Dict[V]) aheadOfMany(keys [][]byte) byte {
	if d == nil || d.len() < touchFrom {
		return 0
	}
	var nodes [touchStep]*Node[V]
	return d.ahead(keys, nodes[:])
}

// ahead loads the elements of keys, up to touchStep of them, step by step, and stores them in nodes: nil where there
// is none. What it returns is of no use but to keep the compiler from leaving the loads out.
func (d *Dict[V]) ahead(keys [][]byte, nodes []*Node[V]) (sum byte) {
	var hashes [touchStep]uint32
	var moved [touchStep]*Node[V] // in the table that is being moved to
	if d.len() == 0 {
		return 0
	}
	for i, key := range keys {
		h := hashBytes(key)
		hashes[i] = h
		nodes[i] = d.tab[0][h&uint32(len(d.tab[0])-1)]
		if d.resizing() {
			moved[i] = d.tab[1][h&uint32(len(d.tab[1])-1)]
		}
	}
	for i := range keys {
		if nodes[i] = nodes[i].withHash(hashes[i]); nodes[i] == nil {
			nodes[i] = moved[i].withHash(hashes[i])
		}
	}
	for i := range keys {
		if n := nodes[i]; n != nil && len(n.key) > 0 {
			sum += n.key[0]
		}
	}
	return sum
}

// withHash returns the first node of a chain that has the hash.
func (n *Node[V]) withHash(h uint32) *Node[V] {
	for n != nil && n.hash != h {
		n = n.next
	}
	return n
}

// peek is get that moves no bucket.
func (d *Dict[V]) peek(key []byte) *Node[V] {
	h := hashBytes(key)
	for _, tab := range d.tab {
		if len(tab) == 0 {
			continue
		}
		for n := tab[h&uint32(len(tab)-1)]; n != nil; n = n.next {
			if n.hash == h && n.key == string(key) {
				return n
			}
		}
	}
	return nil
}
