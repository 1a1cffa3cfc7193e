// Step 06: snapshots. SAVE and BGSAVE write all data into dump.rdb, in the format of Redis itself.
//
// Two ideas are new: a binary format (rdb.go), and a picture of one moment while the data goes on
// changing. Redis forks a child process for the picture. Go cannot fork, so we walk the keyspace in
// small bites. A command that is about to change a key which the walk has not reached hands over the
// old value first (store.Snapshot does this).
package main

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"byor/pkg/basics"
	"byor/pkg/resp"
	"byor/pkg/store"
)

// commands is the dispatch table: what is new, and what the steps before have built.
var commands = basics.Extend(basics.Table[*client]{
	// region: temporary file, fsync, rename
	"save": {Arity: 1, Run: save}, "bgsave": {Arity: 1, Run: bgsave}, "lastsave": {Arity: 1, Run: lastSave},
	// endregion
}, basics.OnData)

// server is what all connections share. It is safe for concurrent use.
type server struct {
	opts     *basics.Options
	mu       sync.Mutex // protects what follows, and the order of what is in the log
	data     *store.Store
	log      basics.Journal // does nothing with -appendonly no
	saving   bool           // a BGSAVE is under way
	lastSave int64          // Unix seconds
}

// client is one connection. Only its own goroutine uses it.
type client struct {
	basics.Client
	srv *server
}

// dump is a picture of the data on its way to the disk.
type dump struct {
	s    *server
	snap *store.Snapshot
	out  []byte // encoded and not yet written; like the walk it is protected by s.mu
	db   int    // the database of the entry encoded last
}

// beginDump draws the line: the picture shows the data as it is now. The caller holds s.mu.
func (s *server) beginDump() *dump {
	// region: a picture of one moment
	// Every key comes here exactly once, with the value that it has now: from the walk (Next), or from
	// a command that is about to change it.
	d := &dump{s: s, db: -1, out: []byte("REDIS0010")}
	d.snap = s.data.BeginSnapshot(func(e store.SnapshotEntry) {
		if e.DB != d.db {
			d.db = e.DB
			d.out = appendLength(append(d.out, opSelectDB), uint64(e.DB))
		}
		d.out = appendEntry(d.out, e)
	})
	// endregion
	return d
}

// write writes header, entries, end mark and checksum, and holds mu only while it encodes.
func (d *dump) write(w io.Writer, mu sync.Locker) error {
	// region: encode under the lock, write outside of it
	var crc uint64
	for more := true; more; {
		mu.Lock()
		more = d.snap.Next(500) // some tens of microseconds, then it is the clients' turn
		chunk := d.out
		d.out = nil
		mu.Unlock()
		if !more {
			chunk = append(chunk, opEOF)
		}
		crc = checksum(crc, chunk)
		if _, err := w.Write(chunk); err != nil {
			return err
		}
	}
	_, err := w.Write(binary.LittleEndian.AppendUint64(nil, crc))
	return err
	// endregion
}

// save writes the picture to dump.rdb.
func (d *dump) save(mu sync.Locker) (err error) {
	defer func() { // ends the walk, complete or not: there can be only one at a time
		mu.Lock()
		defer mu.Unlock()
		d.snap.Close()
		d.s.saving = false
		if err == nil {
			d.s.lastSave = time.Now().Unix()
		}
	}()
	// region: temporary file, fsync, rename
	// Not into dump.rdb itself: a crash half-way would leave no picture at all. The fsync goes first,
	// or a power cut could leave the good name on an empty file. The directory holds the name.
	f, err := os.CreateTemp(d.s.opts.Dir, "temp-*.rdb")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // when something fails; after the rename there is nothing to remove
	defer f.Close()
	if err := d.write(f, mu); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), filepath.Join(d.s.opts.Dir, "dump.rdb")); err != nil {
		return err
	}
	if dir, err := os.Open(d.s.opts.Dir); err == nil {
		dir.Sync() // its error is ignored: some systems cannot sync a directory
		dir.Close()
	}
	// endregion
	return nil
}

// save answers SAVE: it saves under the lock, which execute holds, while nobody can do anything.
func save(c *client, _ [][]byte) ([][]byte, error) {
	if c.srv.saving {
		return nil, basics.ErrSaving
	}
	if err := c.srv.beginDump().save(basics.NoLock{}); err != nil {
		return nil, fmt.Errorf("ERR %w", err)
	}
	c.W.OK()
	return nil, nil
}

// bgsave answers BGSAVE: the picture is of this moment, the work is done beside the clients'.
func bgsave(c *client, _ [][]byte) ([][]byte, error) {
	s := c.srv
	if s.saving {
		return nil, basics.ErrSaving
	}
	s.saving = true
	d := s.beginDump()
	go func() {
		if err := d.save(&s.mu); err != nil {
			fmt.Fprintln(os.Stderr, "BGSAVE failed, the old dump.rdb is still there:", err)
		}
	}()
	c.W.SimpleString("Background saving started")
	return nil, nil
}

func lastSave(c *client, _ [][]byte) ([][]byte, error) {
	c.W.Int(c.srv.lastSave)
	return nil, nil
}

// load brings the data back. With the log on, as in Redis, nobody looks at dump.rdb.
func (s *server) load() error {
	s.data.SetNow(time.Now().UnixMilli())
	if s.opts.UseLog {
		base := basics.Base{Load: s.readRDB, Save: func(w io.Writer) error {
			d := s.beginDump()
			defer d.snap.Close()
			return d.write(w, basics.NoLock{}) // nobody else is there yet
		}}
		c := s.newClient(nil)
		return s.log.Open(s.opts, s.data, base, c.W, c.execute)
	}
	// region: load dump.rdb
	f, err := os.Open(filepath.Join(s.opts.Dir, "dump.rdb"))
	if errors.Is(err, os.ErrNotExist) {
		return nil // a new server
	}
	if err != nil {
		return err
	}
	defer f.Close()
	if err := s.readRDB(bufio.NewReader(f)); err != nil {
		return fmt.Errorf("%s: %w", f.Name(), err)
	}
	return nil
	// endregion
}

// execute runs one command, as in step 05.
func (c *client) execute(args [][]byte) {
	c.srv.mu.Lock()
	defer c.srv.mu.Unlock()
	commands.Run(c, args, c.srv.log.Propagate)
}

// handle serves one client, as in step 03. Replies leave once the log has all that they promise.
func (s *server) handle(conn net.Conn) {
	defer conn.Close()
	c := s.newClient(conn)
	c.Serve(conn, c.execute, func() error { return s.log.Reply(c.W) })
}

// newClient returns a client whose replies go to w, nil for nowhere.
func (s *server) newClient(w io.Writer) *client {
	return &client{srv: s, Client: basics.Client{DB: s.data.DB(0), W: resp.NewWriter(w)}}
}

// newServer loads what is on the disk.
func newServer(o *basics.Options) (*server, error) {
	s := &server{opts: o, data: store.New(16), lastSave: time.Now().Unix()}
	s.data.OnExpire = s.log.Expired
	return s, s.load()
}

// run serves until Ctrl-C.
func run(o *basics.Options) error {
	s, err := newServer(o)
	if err != nil {
		return err
	}
	hello := "06-rdb listens on ADDR. In another terminal: redis-cli -p PORT SET city Paris, " +
		"then redis-cli -p PORT BGSAVE, then xxd " + filepath.Join(o.Dir, "dump.rdb") + ". Ctrl-C ends it."
	return errors.Join(o.Serve(hello, s.handle, &s.mu, s.data), s.log.Close())
}

func main() { basics.Main("06-rdb", run) }
