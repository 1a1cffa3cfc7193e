package basics

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"

	"byor/pkg/rdb"
	"byor/pkg/store"
)

// dumpFile is the name of the snapshot, as in Redis.
const dumpFile = "dump.rdb"

// ErrEnded is what a Dump returns that was closed before it was written.
var ErrEnded = errors.New("the snapshot was given up")

// loadDump loads the snapshot in dir into data. That there is none is no error.
func loadDump(dir string, data *store.Store) error {
	f, err := os.Open(filepath.Join(dir, dumpFile))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	if err := LoadRDB(rdb.NewReader(f), data); err != nil {
		return fmt.Errorf("%s: %w", f.Name(), err)
	}
	return nil
}

// LoadRDB loads a snapshot into data. pkg/rdb knows all types of Redis, the handlers of this package
// only strings; so it refuses a key of another type by name.
func LoadRDB(in *rdb.Reader, data *store.Store) error {
	h := rdb.Into(data, new(rdb.Loaded))
	add := h.Entry
	h.Entry = func(e *rdb.Entry) error {
		if t := e.Value.Type(); t != store.TypeString {
			return fmt.Errorf("key %q is of type %s: this step only knows strings", e.Key, t)
		}
		return add(e)
	}
	return in.Read(h)
}

// A Dump is a picture of the data at one moment on its way to a file, as in step 06: it is encoded in
// small pieces under the lock that protects the store, and written outside of it.
type Dump struct {
	snap  *store.Snapshot
	batch rdb.Batch // encoded and not yet written, protected by the store's lock like the walk
	ended bool      // closed, perhaps before the walk was over
}

// beginDump draws the line: what happens to data from now on is not in the picture. The caller holds
// the lock, and calls Close in the end.
func beginDump(data *store.Store) *Dump {
	d := &Dump{}
	d.snap = data.BeginSnapshot(func(e store.SnapshotEntry) {
		d.batch.SelectDB(e.DB)
		d.batch.Entry(e.Key, e.Value, e.ExpireMs)
	})
	return d
}

// Close ends the walk. A Write or Save that is still under way returns ErrEnded. The caller holds the
// lock; closing twice does no harm.
func (d *Dump) Close() {
	d.ended = true
	d.snap.Close()
}

// Save writes the picture to dumpFile in dir: temporary file, fsync, rename. Until the very end the
// old file stays whole. mu is the store's lock, or NoLock for a caller who holds it already.
func (d *Dump) Save(dir string, mu sync.Locker) error {
	f, err := os.CreateTemp(dir, "temp-*.rdb")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	if err := d.Write(f, mu); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := d.rename(f.Name(), filepath.Join(dir, dumpFile), mu); err != nil {
		return err
	}
	if dir, err := os.Open(dir); err == nil { // the new name, too, has to reach the disk
		dir.Sync()
		dir.Close()
	}
	return nil
}

// rename makes the file the snapshot, unless the picture was given up meanwhile: then a newer one may
// be there already.
func (d *Dump) rename(from, to string, mu sync.Locker) error {
	mu.Lock()
	defer mu.Unlock()
	if d.ended {
		return ErrEnded
	}
	return os.Rename(from, to)
}

// Write encodes under mu and writes to w outside of it.
func (d *Dump) Write(w io.Writer, mu sync.Locker) error {
	out := rdb.NewWriter(w)
	var batch rdb.Batch
	for more := true; more; {
		batch.Reset()
		mu.Lock()
		if d.ended {
			mu.Unlock()
			return ErrEnded
		}
		more = d.snap.Next(500)
		batch, d.batch = d.batch, batch
		mu.Unlock()
		if err := out.Write(&batch); err != nil {
			return err
		}
	}
	return out.Close()
}

// NoLock is the lock of those who hold the real one already.
type NoLock struct{}

// Lock does nothing.
func (NoLock) Lock() {}

// Unlock does nothing.
func (NoLock) Unlock() {}
