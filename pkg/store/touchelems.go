package store

// TouchElems is Touch for elements of the hash, the set or the sorted set at key.
func (db *DB) TouchElems(key []byte, elems [][]byte) {
	var nodes [touchStep]*Node[record]
	db.t.keys.ahead([][]byte{key}, &nodes)
	if nodes[0] == nil {
		return
	}
	for len(elems) > 0 {
		n := min(touchStep, len(elems))
		switch v := nodes[0].Val.value.(type) {
		case *Hash:
			db.s.touched += v.d.aheadOfMany(elems[:n])
		case *Set:
			db.s.touched += v.d.aheadOfMany(elems[:n])
		case *ZSet:
			db.s.touched += v.d.aheadOfMany(elems[:n])
		}
		elems = elems[n:]
	}
}

// aheadOfMany is ahead for a table that may not be there, or not be worth it.
func (d *Dict[V]) aheadOfMany(keys [][]byte) byte {
	if d == nil || d.len() < touchFrom {
		return 0
	}
	var nodes [touchStep]*Node[V]
	return d.ahead(keys, &nodes)
}
