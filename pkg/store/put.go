package store

// How a value comes to a key. A new entry is made with its value inside, or with a pointer to it.
// An entry that is there takes the new value if it has room for it, else another takes its place.

// content is a value on its way into an entry: a string's bytes or integer, or any value.
type content struct {
	v Value  // nil for a string that is only b or n
	b []byte // of a string that may stand in its entry, nil: n
	n int64
	// apart says that v cannot stand in an entry: it is no string, or one that is being edited.
	apart bool
}

func contentOf(v Value) content {
	s, ok := v.(*String)
	if !ok || s.isRaw() {
		return content{v: v, apart: true}
	}
	c := content{v: v}
	c.b, c.n = s.get()
	return c
}

func contentOfBytes(b []byte) content {
	if n, ok := canonicalInt(b); ok {
		return content{n: n}
	}
	if b == nil {
		b = []byte{} // the empty string is no integer
	}
	return content{b: b}
}

// own returns the content as a value on its own.
func (c content) own() Value {
	if s, ok := c.v.(*String); c.v != nil && (!ok || s.kind == holdsOwn) {
		return c.v
	}
	if c.b == nil {
		return NewInt(c.n)
	}
	return NewPlainString(c.b)
}

// entry returns a new entry that holds the content.
func (c content) entry(key string) *Entry {
	if !c.apart {
		if e := newInside(key, len(c.b)); e != nil {
			c.write(e)
			return e
		}
	}
	return newRef(key, c.own())
}

// write puts the content into an entry with room for it.
func (c content) write(e *Entry) {
	if c.b == nil {
		e.setInt(c.n)
	} else {
		e.setBytes(c.b)
	}
}

// into puts the content into an entry that is there. It reports false, and does nothing, when that
// has to be another one.
func (c content) into(e *Entry) bool {
	inside := !c.apart && staysInside(len(e.Key()), len(c.b))
	switch {
	case inside && e.refits(len(c.b)):
		c.write(e)
	case inside || e.kind < holdsValue:
		return false
	case c.b != nil && c.v == nil && e.kind == holdsValue+uint8(TypeString):
		e.Value().(*String).own().set(c.b)
	default:
		e.ref().point(c.own())
	}
	e.measure()
	return true
}

// put makes c the value of key.
func (db *DB) put(key []byte, c content, isUse bool) *Entry {
	h := hashBytes(key)
	e := db.peek(key, h)
	if e != nil {
		db.keep(e)
		if isUse {
			db.use(e)
		}
		return db.assign(e, c)
	}
	if db.s.Expiry == HideExpired {
		if old := db.t.keys.find(asString(key), h); old != nil {
			db.Remove(old) // it has expired, but was kept for the master to delete
		}
	}
	e = db.insert(key, h, c)
	if db.s.OnNew != nil {
		db.s.OnNew(db.id, e.Key())
	}
	return e
}

// insert makes an entry for a key that is not there.
func (db *DB) insert(key []byte, h uint64, c content) *Entry {
	e := c.entry(asString(key))
	e.epoch = db.s.epoch
	e.access = db.s.fresh()
	e.measure()
	db.t.keys.insert(e, h)
	db.account(e.EntryBytes())
	return e
}

// assign gives an entry another value and returns the entry that has it.
func (db *DB) assign(e *Entry, c content) *Entry {
	before := e.EntryBytes()
	if !c.into(e) {
		old := e
		e = c.entry(old.Key())
		e.access, e.epoch, e.deadline = old.access, old.epoch, old.deadline
		e.measure()
		if e.deadline != 0 {
			db.t.due.of(e).e = e
		}
		db.t.keys.replace(old, e)
	}
	db.account(e.EntryBytes() - before)
	return e
}

// takeOut makes the string that stands in e one on its own.
func (db *DB) takeOut(e *Entry) *Entry {
	b, n := (*String)(e).get()
	c := content{b: b, n: n, apart: true}
	c.v = c.own()
	return db.assign(e, c)
}

// Set makes v the value of key, which loses its expiry time, and returns the entry. The store
// owns v from then on.
func (db *DB) Set(key []byte, v Value) *Entry { return db.without(db.put(key, contentOf(v), true)) }

// without takes the expiry time from an entry.
func (db *DB) without(e *Entry) *Entry {
	if e.deadline != 0 {
		db.t.due.remove(e)
	}
	return e
}

// SetKeepTTL is Set that leaves the expiry time of an entry that is there, and does not count as a use.
func (db *DB) SetKeepTTL(key []byte, v Value) *Entry { return db.put(key, contentOf(v), false) }

// SetString sets key to a copy of b, reusing the memory of a string that is there.
func (db *DB) SetString(key, b []byte, keepTTL bool) *Entry {
	e := db.put(key, contentOfBytes(b), true)
	if keepTTL {
		return e
	}
	return db.without(e)
}

// SetTaken is SetString that makes b itself the value: a string that nobody writes to any
// more. The store may hand it out again when it is replaced, see Store.OnReplaced.
func (db *DB) SetTaken(key, b []byte, keepTTL bool) *Entry {
	if len(b) == 0 {
		return db.SetString(key, nil, keepTTL)
	}
	var replaced []byte
	if e := db.t.keys.glance(key); e != nil && e.kind == holdsValue+uint8(TypeString) {
		replaced = e.Value().(*String).own().b
	}
	e := db.put(key, content{v: newOwn(b, 0), apart: true}, true)
	if replaced != nil && db.s.OnReplaced != nil {
		db.s.OnReplaced(replaced)
	}
	if keepTTL {
		return e
	}
	return db.without(e)
}

// AddInt adds delta to the integer that key holds, or to 0 when it is absent, and returns the sum.
// The error is ErrWrongType, ErrNotInteger or ErrOverflow; then nothing has changed.
func (db *DB) AddInt(key []byte, delta int64) (sum int64, e *Entry, err error) {
	s, e, err := Find[*String](db, key)
	if err != nil {
		return 0, nil, err
	}
	if e == nil {
		return delta, db.put(key, content{n: delta}, true), nil
	}
	sum, isInt, fits := s.sum(delta)
	switch {
	case !isInt:
		return 0, e, ErrNotInteger
	case !fits:
		return 0, e, ErrOverflow
	}
	db.keep(e)
	return sum, db.assign(e, content{n: sum}), nil
}

// AddNew makes v the value of a key that the database does not have yet, and returns the entry; it
// is nil when the key is there already, even if expired. The store owns v from then on.
func (db *DB) AddNew(key []byte, v Value) *Entry { return db.addNew(key, contentOf(v)) }

// AddNewString is AddNew for a string of the bytes b, which are copied: a small one comes into the
// memory of its entry at once.
func (db *DB) AddNewString(key, b []byte) *Entry { return db.addNew(key, contentOfBytes(b)) }

func (db *DB) addNew(key []byte, c content) *Entry {
	h := hashBytes(key)
	if db.t.keys.find(asString(key), h) != nil {
		return nil
	}
	return db.insert(key, h, c)
}
