package rdb

import (
	"fmt"
	"io"
	"strconv"

	"byor/pkg/store"
)

// Loaded says what has become of the keys of a snapshot.
type Loaded struct {
	Keys    int // in the store now
	Expired int // left out because their time had come
	Empty   int // left out because their collection had no elements
}

// Load reads a snapshot into a store, which should be empty. See Into.
func Load(r io.Reader, s *store.Store) (Loaded, error) {
	var n Loaded
	err := NewReader(r).ReadAhead(Into(s, &n))
	return n, err
}

// Into returns a Handler that puts the entries into s and counts them in n. The fields it leaves
// nil (Aux, Function, ModuleAux) are for the caller to set.
//
// Keys whose time has come by the store's clock are left out, but only if the store is one that
// deletes expired keys by itself (store.DeleteExpired): a replica must wait for its master to
// delete them, and commands that follow in an append-only file expect to find them.
//
// A key that the store has already, or a database that it does not have, is an error.
func Into(s *store.Store, n *Loaded) Handler {
	l := newIntoStore(s, n)
	return Handler{
		SelectDB: l.selectDB,
		Resize:   l.resize,
		Ahead:    func(keys [][]byte) { l.db.Touch(keys) },
		Entry: func(e *Entry) error {
			if l.late(e) {
				return nil
			}
			return l.added(e, l.db.AddNew(e.Key, e.Value))
		},
		String: func(e *Entry, b []byte) error {
			if l.late(e) {
				return nil
			}
			return l.added(e, l.db.AddNewString(e.Key, b))
		},
		Empty: func(int, []byte) error {
			n.Empty++
			return nil
		},
	}
}

// intoStore puts entries into a store.
type intoStore struct {
	s      *store.Store
	db     *store.DB
	n      *Loaded
	claims []claim // of each database: a file may go back to one
	*claim         // db's
}

// claim is what a file says of a database.
type claim struct {
	claimed int // keys that it is said to get
	room    int // keys that it is prepared for, because of that
}

func newIntoStore(s *store.Store, n *Loaded) *intoStore {
	l := &intoStore{s: s, db: s.DB(0), n: n, claims: make([]claim, s.Len())}
	l.claim = &l.claims[0]
	return l
}

func (l *intoStore) resize(keys, _ uint64) error {
	l.claimed = int(min(keys, 1<<30))
	l.reserve()
	return nil
}

func (l *intoStore) selectDB(id int) error {
	if l.db = l.s.DB(id); l.db == nil {
		return fmt.Errorf("rdb: Data file was created with a Redis server configured to handle more than %d databases", l.s.Len())
	}
	l.claim = &l.claims[id]
	return nil
}

// The number of keys is a claim, and not worth much memory before the keys are there. So a table for
// some of them is made first, and when it is full, one for so many times more. It is as large as its
// buckets that are in use.
const (
	reserveFirst = 1 << 17
	reserveMore  = 16
)

// reserve prepares for the keys that the file says it has. A table that doubles on its way to a
// million keys has moved one and a half million of them, each a wait for memory.
func (l *intoStore) reserve() {
	for l.room <= l.db.Len() && l.room < l.claimed {
		l.room = min(max(reserveFirst, l.room*reserveMore), l.claimed)
		l.db.Reserve(l.room)
	}
}

// late reports whether an entry is left out because its time has come.
func (l *intoStore) late(e *Entry) bool {
	if l.s.Expiry != store.DeleteExpired || e.ExpireMs == NoExpiry || e.ExpireMs >= l.s.Now() {
		return false
	}
	l.n.Expired++
	return true
}

// added does what is left to do for an entry that was added, nil for one that was there before.
func (l *intoStore) added(e *Entry, added *store.Entry) error {
	if added == nil {
		return fmt.Errorf("rdb: RDB has duplicated key '%s' in DB %d", e.Key, e.DB)
	}
	if e.ExpireMs != NoExpiry {
		l.db.SetExpire(added, e.ExpireMs)
	}
	l.db.SetUse(added, e.IdleSec, int64(e.Freq))
	l.n.Keys++
	l.reserve()
	return nil
}

// Save writes a whole store as a snapshot. Nobody may change it meanwhile; a server that must go on
// meanwhile writes batches, see Batch.
func Save(w io.Writer, s *store.Store) error {
	wr := NewWriter(w)
	_ = wr.Aux("redis-bits", "64")
	_ = wr.Aux("ctime", strconv.FormatInt(s.Now()/1000, 10))
	for i := range s.Len() {
		db := s.DB(i)
		if db.Len() == 0 {
			continue
		}
		err := wr.SelectDB(i, db.Len(), db.Expires())
		db.Each(func(e *store.Entry) bool {
			err = wr.Entry(e.Key(), e.Value(), db.ExpireAt(e))
			return err == nil
		})
		if err != nil {
			return err
		}
	}
	return wr.Close()
}
