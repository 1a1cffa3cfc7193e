// Package store is the keyspace: numbered databases of typed values with expiry.
//
// A Store has no lock and no clock of its own. Redis executes commands one after another, and so
// must whoever uses this package: one goroutine, or many under one mutex. In return a command
// sees nothing change under it, and nothing here pays for a lock. Time is what SetNow said last
// (Unix milliseconds), so that it stands still for the length of a command or a transaction.
//
// An expired entry is gone for every look-up. On a master the look-up deletes it and says so
// through OnExpire, since replicas and the append-only file must learn of it; ExpireDue deletes
// those that nobody looks up, the next to expire first, in slices as small as the caller likes.
//
// A snapshot needs no copy of the memory: BeginSnapshot marks a moment, Next hands out entries in
// slices, and a write to an entry that was not handed out yet hands it over first (Edit, Delete,
// SetExpire do it). That is what fork and copy-on-write do for Redis, at the size of an entry
// instead of a page, or at that of an element where a collection is handed out in pieces (InPieces).
//
// What goes in is copied, unless a method says that it takes it. Bytes that come out may point into
// a value: they are to be looked at, and are valid until that value changes. Nothing here has a
// bound but those of the formats; MemBytes says how much there is, and whoever uses the package evicts.
package store

// Store is a set of databases. It is not safe for concurrent use.
type Store struct {
	// OnExpire is called after an entry was deleted because its time had come.
	OnExpire func(db int, key string)
	// OnNew, if not nil, is called when a key was added that was not there.
	OnNew func(db int, key string)
	// OnDeadline, if not nil, is called when an entry is given an expiry time.
	OnDeadline func(db int, key string)
	// OnReplaced, if not nil, is given the bytes of a string on its own in whose place SetTaken has put another. A
	// snapshot has had them; nobody has them now but whoever was handed them out before, and that is over when the
	// command is.
	OnReplaced func(b []byte)
	// Expiry says what look-ups do with expired entries.
	Expiry ExpiryMode
	// LFU makes entries count how often they are used, instead of noting when.
	LFU LFU
	// NoTouch keeps look-ups from marking entries as used.
	NoTouch bool

	dbs   []*DB
	nowMs int64
	epoch uint32    // of the latest snapshot; entries of an earlier one were not handed out yet
	snap  *Snapshot // under way, or nil
	mem   int64     // bytes of all entries, as account counts them
	peak  int64     // the most they were since TakePeak
}

// ExpiryMode says what a look-up does when it meets an expired entry.
type ExpiryMode int

// The modes: a master deletes it; a replica hides it from its clients and waits for the master to
// say DEL, and a master hides it while its data must not change; what comes over the replication
// link, and from a file being loaded, still sees it.
const (
	DeleteExpired ExpiryMode = iota
	HideExpired
	KeepExpired
)

// New returns a store of n empty databases, numbered from 0.
func New(n int) *Store {
	s := &Store{epoch: 1}
	for i := range n {
		s.dbs = append(s.dbs, &DB{s: s, id: i, t: &table{id: i}})
	}
	return s
}

// SetNow sets the time, in Unix milliseconds.
func (s *Store) SetNow(ms int64) { s.nowMs = ms }

// Now returns the time last set, in Unix milliseconds.
func (s *Store) Now() int64 { return s.nowMs }

// Len returns the number of databases.
func (s *Store) Len() int { return len(s.dbs) }

// DB returns database i, or nil when there is none.
func (s *Store) DB(i int) *DB {
	if i < 0 || i >= len(s.dbs) {
		return nil
	}
	return s.dbs[i]
}

// MemBytes returns the bytes that keys and values take, as estimated from their sizes.
func (s *Store) MemBytes() int64 { return s.mem }

// TakePeak returns the highest that MemBytes has been since the last call.
func (s *Store) TakePeak() int64 {
	p := max(s.peak, s.mem)
	s.peak = s.mem
	return p
}

// Flush empties every database.
func (s *Store) Flush() {
	for _, db := range s.dbs {
		db.Flush()
	}
}

// Swap exchanges the contents of two databases.
func (s *Store) Swap(i, j int) {
	a, b := s.dbs[i], s.dbs[j]
	a.t, b.t = b.t, a.t
}

// Adopt replaces all contents by those of other, which must not be used afterwards. A replica
// loads a new data set beside the old one and then takes it over in one moment.
func (s *Store) Adopt(other *Store) {
	s.mem = 0
	for i, db := range s.dbs {
		db.t = &table{id: i}
		if o := other.DB(i); o != nil {
			db.t = o.t
			db.t.id, db.t.snap = i, nil // a snapshot of ours under way must not get these
		}
		s.mem += db.t.mem
	}
	s.epoch = max(s.epoch, other.epoch)
}

// DB is one database.
type DB struct {
	s  *Store
	id int
	t  *table
}

// table is the content of a database. It is separate from the DB so that FLUSHDB can leave the
// old content to a snapshot that is still walking it, and SWAPDB can exchange two.
type table struct {
	id   int // the database it belonged to when the latest snapshot began
	keys Dict[Entry]
	due  deadlines
	mem  int64
	snap *Snapshot // the latest that began while this was a database's content
}

// ID returns the database's number.
func (db *DB) ID() int { return db.id }

// Store returns the store it belongs to.
func (db *DB) Store() *Store { return db.s }

// Len returns the number of keys, including expired ones that are not deleted yet.
func (db *DB) Len() int { return db.t.keys.len() }

// Expires returns the number of keys that have an expiry time.
func (db *DB) Expires() int { return db.t.due.len() }

// Lookup returns the entry of key and marks it as used, or nil when it is absent or expired.
func (db *DB) Lookup(key []byte) *Entry {
	e := db.Peek(key)
	if e != nil {
		db.use(e)
	}
	return e
}

// Peek is Lookup without marking the entry as used.
func (db *DB) Peek(key []byte) *Entry { return db.peek(key, hashBytes(key)) }

// peek is Peek for a key whose hash is h.
func (db *DB) peek(key []byte, h uint64) *Entry {
	e := db.t.keys.find(asString(key), h)
	if e == nil || e.deadline == 0 || !db.expired(e) {
		return e
	}
	switch db.s.Expiry {
	case DeleteExpired:
		db.expire(e)
	case KeepExpired:
		return e
	}
	return nil
}

// Exists reports whether key is there and has not expired. Unlike Peek it never deletes anything.
func (db *DB) Exists(key []byte) bool {
	e := db.t.keys.get(key)
	return e != nil && !db.Expired(e)
}

// Stored reports whether key is there, expired or not.
func (db *DB) Stored(key []byte) bool { return db.t.keys.get(key) != nil }

func (db *DB) expired(e *Entry) bool {
	return e.deadline != 0 && db.t.due.of(e).atMs < db.s.nowMs
}

func (db *DB) expire(e *Entry) {
	key := e.Key()
	db.Remove(e)
	if db.s.OnExpire != nil {
		db.s.OnExpire(db.id, key)
	}
}

// Get returns the value of key as a T and marks it as used. It is nil when the key is absent or
// expired, and the error is ErrWrongType when it holds another type. The value must only be read.
func Get[T Value](db *DB, key []byte) (T, error) {
	var none T
	e := db.Lookup(key)
	if e == nil {
		return none, nil
	}
	v, ok := e.Value().(T)
	if !ok {
		return none, ErrWrongType
	}
	return v, nil
}

// Edit is Get for a value that is about to be changed: a snapshot under way gets the old one
// first, and a string that stands in its entry is taken out, so that it can grow. Call Changed
// when done. The entry is nil when the key is absent.
func Edit[T Value](db *DB, key []byte) (T, *Entry, error) {
	v, e, err := Find[T](db, key)
	if e == nil {
		return v, nil, err
	}
	db.keep(e)
	if e.kind < holdsValue {
		e = db.takeOut(e)
		v = e.Value().(T)
	}
	return v, e, nil
}

// Find is Get that returns the entry, too, which is nil when there is no value.
func Find[T Value](db *DB, key []byte) (T, *Entry, error) {
	var none T
	e := db.Lookup(key)
	if e == nil {
		return none, nil, nil
	}
	v, ok := e.Value().(T)
	if !ok {
		return none, nil, ErrWrongType
	}
	return v, e, nil
}

// keep hands the entry to the snapshot under way if that does not have it yet.
func (db *DB) keep(e *Entry) {
	if e.epoch != db.s.epoch {
		if sn := db.s.snap; sn != nil && db.t.snap == sn {
			sn.keep(db.t, e)
		}
		e.epoch = db.s.epoch
	}
}

// Changed brings the memory accounting up to date after a value got from Edit has been changed.
func (db *DB) Changed(e *Entry) {
	before := e.EntryBytes()
	e.measure()
	db.account(e.EntryBytes() - before)
}

func (db *DB) account(delta int64) {
	db.t.mem += delta
	db.s.mem += delta
	db.s.peak = max(db.s.peak, db.s.mem)
}

// TableBytes returns what MemBytes has for the entries without keys and values.
func (db *DB) TableBytes() int64 { return entryOverhead * int64(db.Len()) }

// ExpiresBytes returns what the deadlines take, which MemBytes does not have.
func (db *DB) ExpiresBytes() int64 { return db.t.due.bytes() }

// Delete removes key and reports whether it was there.
func (db *DB) Delete(key []byte) bool {
	e := db.Peek(key)
	if e == nil {
		return false
	}
	db.Remove(e)
	return true
}

// Remove removes an entry of this database.
func (db *DB) Remove(e *Entry) {
	db.keep(e)
	if e.deadline != 0 {
		db.t.due.remove(e)
	}
	db.t.keys.deleteString(e.Key())
	db.account(-e.EntryBytes())
}

// Flush empties the database.
func (db *DB) Flush() {
	db.s.mem -= db.t.mem
	db.t = &table{id: db.t.id}
}

// ExpireAt returns the entry's expiry time in Unix milliseconds, or -1 when it has none.
func (db *DB) ExpireAt(e *Entry) int64 { return db.t.expireAt(e) }

func (t *table) expireAt(e *Entry) int64 {
	if e.deadline == 0 {
		return -1
	}
	return t.due.of(e).atMs
}

// SetExpire sets the entry's expiry time in Unix milliseconds.
func (db *DB) SetExpire(e *Entry, atMs int64) {
	db.keep(e)
	db.t.due.set(e, atMs)
	if db.s.OnDeadline != nil {
		db.s.OnDeadline(db.id, e.Key())
	}
}

// Persist removes the entry's expiry time and reports whether it had one.
func (db *DB) Persist(e *Entry) bool {
	if e.deadline == 0 {
		return false
	}
	db.keep(e)
	db.t.due.remove(e)
	return true
}

// ExpireDue deletes up to max entries whose time has come and returns how many it deleted. It
// does nothing unless the mode is DeleteExpired.
func (db *DB) ExpireDue(max int) int {
	if db.s.Expiry != DeleteExpired {
		return 0
	}
	n := 0
	for n < max && db.t.due.len() > 0 && db.t.due.at(0).atMs < db.s.nowMs {
		db.expire(db.t.due.at(0).e)
		n++
	}
	return n
}

// ExpireKey deletes key if its time has come, whatever the mode, and reports whether it still has an
// expiry time.
func (db *DB) ExpireKey(key string) bool {
	e := db.t.keys.getString(key)
	if e == nil || e.deadline == 0 {
		return false
	}
	if !db.expired(e) {
		return true
	}
	db.expire(e)
	return false
}

// AvgTTL returns the mean time to live in milliseconds of a sample of the keys that have one.
func (db *DB) AvgTTL() int64 {
	n := db.t.due.len()
	if n == 0 {
		return 0
	}
	var sum, count float64 // two keys that stay until the end of time would overflow an integer
	for i := 0; i < n; i += 1 + n/20 {
		sum += float64(max(0, db.t.due.at(i).atMs-db.s.nowMs))
		count++
	}
	return int64(min(sum/count, 1<<62))
}

// Scan is one step of a walk over the entries, see Dict.scan for its promise. It includes expired
// entries that are not deleted yet; ask Expired. fn must not change the database.
func (db *DB) Scan(cursor uint64, fn func(*Entry)) uint64 {
	return db.t.keys.scan(cursor, fn)
}

// Each calls fn for all entries, expired ones included, until it returns false. fn must not
// change the database.
func (db *DB) Each(fn func(*Entry) bool) {
	db.t.keys.Each(fn)
}

// Expired reports whether the entry's time has come.
func (db *DB) Expired(e *Entry) bool { return db.s.Expiry != KeepExpired && db.expired(e) }

// Random returns an entry drawn at random that is not expired, or nil.
func (db *DB) Random() *Entry {
	for try := 0; ; try++ {
		e := db.t.keys.random()
		if e == nil || !db.Expired(e) {
			return e
		}
		if db.s.Expiry == DeleteExpired {
			db.expire(e)
		} else if try > 100 { // a replica may hold nothing but expired keys: as Redis, return one
			return e
		}
	}
}

// Reserve prepares for n keys at once.
func (db *DB) Reserve(n int) { db.t.keys.reserve(n) }

// StepResize moves up to n buckets of a resize under way and reports whether more is to do.
func (db *DB) StepResize(n int) bool {
	db.t.keys.step(n)
	return db.t.keys.resizing()
}
