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
	err := NewReader(r).Read(Into(s, &n))
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
	db := s.DB(0)
	return Handler{
		SelectDB: func(id int) error {
			if db = s.DB(id); db == nil {
				return fmt.Errorf("rdb: Data file was created with a Redis server configured to handle more than %d databases", s.Len())
			}
			return nil
		},
		Resize: func(keys, _ uint64) error {
			// A claim, and not worth much memory before the keys are there.
			db.Reserve(int(min(keys, 1<<17)))
			return nil
		},
		Entry: func(e *Entry) error {
			if s.Expiry == store.DeleteExpired && e.ExpireMs != NoExpiry && e.ExpireMs < s.Now() {
				n.Expired++
				return nil
			}
			added := db.AddNew(e.Key, e.Value)
			if added == nil {
				return fmt.Errorf("rdb: RDB has duplicated key '%s' in DB %d", e.Key, e.DB)
			}
			if e.ExpireMs != NoExpiry {
				db.SetExpire(added, e.ExpireMs)
			}
			db.SetUse(added, e.IdleSec, int64(e.Freq))
			n.Keys++
			return nil
		},
		Empty: func(int, []byte) error {
			n.Empty++
			return nil
		},
	}
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
