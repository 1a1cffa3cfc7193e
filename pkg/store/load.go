package store

// AddNew makes v the value of a key that the database does not have yet, with one look-up, and
// returns the entry; it is nil when the key is there already, even if expired. The store owns v
// from then on.
func (db *DB) AddNew(key []byte, v Value) *Entry {
	n, isNew := db.t.keys.Put(key)
	if !isNew {
		return nil
	}
	e := (*Entry)(n)
	e.Val.epoch = db.s.epoch
	e.Val.value = v
	e.Val.access = db.s.fresh()
	db.account(e, v.MemBytes())
	return e
}
