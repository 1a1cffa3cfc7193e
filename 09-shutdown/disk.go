package main

// What steps 05 and 06 were about, now from pkg/aof and pkg/rdb: the log and the snapshots.

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"byor/pkg/aof"
	"byor/pkg/rdb"
	"byor/pkg/resp"
	"byor/pkg/store"
)

// commit waits until the log has all that was executed so far, as its policy demands.
func (s *server) commit() {
	if s.log == nil {
		return
	}
	if err := s.log.Commit(s.log.End()); err != nil {
		fmt.Fprintln(os.Stderr, "the log cannot be written, so nothing can be promised:", err)
		os.Exit(1)
	}
}

// load brings the data back: from the log where it is switched on, else from dump.rdb.
func (s *server) load(useLog bool, policy string) error {
	s.data.SetNow(time.Now().UnixMilli())
	if useLog {
		return s.openLog(policy)
	}
	f, err := os.Open(filepath.Join(s.dir, "dump.rdb"))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	if err := loadRDB(rdb.NewReader(f), s.data); err != nil {
		return fmt.Errorf("%s: %w", f.Name(), err)
	}
	return nil
}

// loadRDB loads a snapshot. pkg/rdb knows all types of Redis, our commands only strings.
func loadRDB(in *rdb.Reader, data *store.Store) error {
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

// openLog replays the log and opens it for appending.
func (s *server) openLog(policy string) (err error) {
	o := aof.Options{Dir: s.dir, Logf: func(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }}
	if o.Policy, err = aof.ParsePolicy(policy); err != nil {
		return err
	}
	s.data.Expiry = store.KeepExpired // the log says DEL when it is time
	c := &client{srv: s, db: s.data.DB(0), w: resp.NewWriter(nil), isMaster: true}
	_, err = aof.Load(o, aof.Handlers{
		LoadBase: s.loadBase,
		Apply: func(args [][]byte) error {
			c.w.Buf = c.w.Buf[:0]
			if c.execute(args); c.w.Buf[0] == '-' {
				return errors.New(string(c.w.Buf[1 : len(c.w.Buf)-2]))
			}
			return nil
		},
	})
	if err == nil {
		s.log, err = aof.Open(o, func(w io.Writer) error { return rdb.Save(w, s.data) })
	}
	return err
}

// loadBase loads the snapshot that a log begins with.
func (s *server) loadBase(r *bufio.Reader, _ int64) error {
	in := rdb.NewReader(r)
	if err := loadRDB(in, s.data); err != nil {
		return err
	}
	// The reader has read ahead. A log of Redis 6 goes on with commands in the same file, and they
	// would be lost: better to say so. Redis 7 rewrites such a log when it starts on it.
	if n, _ := io.CopyN(io.Discard, in.Rest(), 1); n > 0 {
		return errors.New("commands follow the snapshot in the same file")
	}
	return nil
}

var errSaving = errors.New("ERR Background save already in progress")

func save(c *client, _ [][]byte) ([][]byte, error) {
	if c.srv.dump != nil {
		return nil, errSaving
	}
	if err := c.srv.saveNow(); err != nil {
		return nil, fmt.Errorf("ERR %w", err)
	}
	c.w.OK()
	return nil, nil
}

// saveNow writes dump.rdb. The caller holds s.mu, so nothing else happens meanwhile.
func (s *server) saveNow() error {
	d := s.beginDump()
	defer d.close(noLock{})
	return d.save(noLock{})
}

func bgsave(c *client, _ [][]byte) ([][]byte, error) {
	s := c.srv
	if s.dump != nil {
		return nil, errSaving
	}
	d := s.beginDump()
	s.dump = d
	s.busy.Go(func() {
		defer d.close(&s.mu)
		if err := d.save(&s.mu); err != nil {
			fmt.Fprintln(os.Stderr, "BGSAVE failed, the old dump.rdb is still there:", err)
		}
	})
	c.w.SimpleString("Background saving started")
	return nil, nil
}

func lastSave(c *client, _ [][]byte) ([][]byte, error) {
	c.w.Int(c.srv.lastSave)
	return nil, nil
}

type noLock struct{}

func (noLock) Lock()   {}
func (noLock) Unlock() {}

// dump is a picture of the data on its way to the disk, as in step 06.
type dump struct {
	s     *server
	snap  *store.Snapshot
	batch rdb.Batch // encoded and not yet written, protected by s.mu like the walk
	ended bool      // the walk was ended before it was over
}

// beginDump draws the line. The caller holds s.mu.
func (s *server) beginDump() *dump {
	d := &dump{s: s}
	d.snap = s.data.BeginSnapshot(func(e store.SnapshotEntry) {
		d.batch.SelectDB(e.DB)
		d.batch.Entry(e.Key, e.Value, e.ExpireMs)
	})
	return d
}

func (d *dump) close(mu sync.Locker) {
	mu.Lock()
	defer mu.Unlock()
	d.ended = true
	d.snap.Close()
	if d.s.dump == d {
		d.s.dump = nil
	}
}

// save writes the picture to dump.rdb: temporary file, fsync, rename.
func (d *dump) save(mu sync.Locker) error {
	f, err := os.CreateTemp(d.s.dir, "temp-*.rdb")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	if err := d.write(f, mu); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), filepath.Join(d.s.dir, "dump.rdb")); err != nil {
		return err
	}
	if dir, err := os.Open(d.s.dir); err == nil {
		dir.Sync()
		dir.Close()
	}
	mu.Lock()
	defer mu.Unlock()
	d.s.lastSave = time.Now().Unix()
	return nil
}

// write encodes under the lock and writes outside of it.
func (d *dump) write(w io.Writer, mu sync.Locker) error {
	out := rdb.NewWriter(w)
	var batch rdb.Batch
	for more := true; more; {
		batch.Reset()
		mu.Lock()
		more = d.snap.Next(500)
		batch, d.batch = d.batch, batch
		ended := d.ended
		mu.Unlock()
		if ended {
			return errStopping
		}
		if err := out.Write(&batch); err != nil {
			return err
		}
	}
	return out.Close()
}
