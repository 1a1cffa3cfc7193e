package basics

import (
	"byor/pkg/aof"
	"byor/pkg/resp"
	"byor/pkg/store"
)

// A Journal is the log of step 05, where it is switched on. Else, and while it is being loaded, there is
// no Log, and what is said below about it does nothing. The lock that protects the data protects it too.
type Journal struct {
	Log *aof.Log
	db  int // the database that the log has selected at its end
}

// Open replays the log that the flags o name and opens it for appending. The rest is as for openLog.
func (j *Journal) Open(o *Options, data *store.Store, base Base, w *resp.Writer, execute func(args [][]byte)) (err error) {
	j.db = -1 // nobody knows
	j.Log, err = openLog(o.Dir, o.Policy, data, base, w, execute)
	return err
}

// Propagate appends the effect of a command on database db. The caller holds the lock.
func (j *Journal) Propagate(db int, effect [][]byte) {
	if j.Log != nil {
		j.Log.Append(Encode(&j.db, db, effect))
	}
}

// Expired appends that a key of database db is gone, since its time was over: no command has that as its
// effect. It is what the store calls (OnExpire), so the lock is held.
func (j *Journal) Expired(db int, key string) {
	j.Propagate(db, [][]byte{[]byte("DEL"), []byte(key)})
}

// Append appends what is encoded already. The caller holds the lock.
func (j *Journal) Append(b []byte) {
	if j.Log != nil {
		j.Log.Append(b)
	}
}

// Commit waits for the log: see the function Commit.
func (j *Journal) Commit() { commit(j.Log) }

// Reply sends the replies in w, once the log has all that they promise.
func (j *Journal) Reply(w *resp.Writer) error {
	if w.Len() > 0 {
		j.Commit()
	}
	return w.Flush()
}

// Close closes the log. Nobody may use it any more.
func (j *Journal) Close() error {
	if j.Log == nil {
		return nil
	}
	return j.Log.Close()
}
