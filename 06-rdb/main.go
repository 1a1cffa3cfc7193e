// Step 06: snapshots. SAVE and BGSAVE write all data into dump.rdb, in the format of Redis itself.
//
// A log grows with every change, a snapshot only with the data, and it loads faster than a million
// commands. Two ideas are new. One is a binary format: lengths of one, two, five or nine bytes, a
// type byte before each value, a checksum at the end. The other is a picture of one moment, taken
// while the data goes on changing. Redis forks a child process for that and lets the kernel copy
// pages; Go cannot fork. So we walk the keyspace in small bites, and whoever is about to change a
// key that the walk has not reached hands its old value over first (that part is store.Snapshot).
//
// This file is the server and how it takes the picture, rdb.go is the format. The known commands and
// the log of step 05, which -appendonly yes switches on, come from pkg/basics.
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

	"byor/pkg/aof"
	"byor/pkg/basics"
	"byor/pkg/resp"
	"byor/pkg/store"
)

// commands is the dispatch table: what is new, and what the steps before have built.
var commands = basics.Extend(basics.Table[*client]{
	// region: the new commands
	"save": {Arity: 1, Run: save}, "bgsave": {Arity: 1, Run: bgsave}, "lastsave": {Arity: 1, Run: lastSave},
	// endregion
}, basics.OnData)

// server is what all connections share. It is safe for concurrent use.
type server struct {
	opts *basics.Options

	mu       sync.Mutex // protects what follows, and the order of what is in the log
	data     *store.Store
	log      *aof.Log // nil with -appendonly no, and while loading
	logDB    int      // the database that the log has selected at its end
	saving   bool     // a BGSAVE is under way
	lastSave int64    // Unix seconds
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
	// From now on every key is handed to us exactly once, with the value that it has now: by the
	// walk (Next), or by a command that is about to change it. Encoding costs microseconds, so it
	// may happen under the lock; writing waits for a disk, so it may not.
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

// close ends the walk, complete or not. There can be only one at a time, so it must not be forgotten.
func (d *dump) close(mu sync.Locker) {
	mu.Lock()
	defer mu.Unlock()
	d.snap.Close()
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
func (d *dump) save(mu sync.Locker) error {
	defer d.close(mu)
	// region: temporary file, fsync, rename
	// Never into dump.rdb itself, or a crash half-way would leave neither the old picture nor a
	// new one. A rename happens wholly or not at all. The fsync goes first: else the kernel may
	// put the new name on the disk before the bytes, and after a power cut the good name would
	// stand for an empty file. And the name itself is only safe when its directory is synced.
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
	mu.Lock()
	defer mu.Unlock()
	d.s.lastSave = time.Now().Unix()
	return nil
}

// save answers SAVE: it saves while nobody else can do anything. Good for tests and for goodbyes.
func save(c *client, _ [][]byte) ([][]byte, error) {
	if c.srv.saving {
		return nil, errSaving
	}
	// execute holds the lock for us, so the walk must not take it.
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
		return nil, errSaving
	}
	s.saving = true
	d := s.beginDump()
	go func() {
		err := d.save(&s.mu)
		s.mu.Lock()
		s.saving = false
		s.mu.Unlock()
		if err != nil {
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

var errSaving = errors.New("ERR Background save already in progress")

// load brings the data back. As in Redis, the log is the truth where it is switched on, and dump.rdb
// is not even looked at then.
func (s *server) load() (err error) {
	s.data.SetNow(time.Now().UnixMilli())
	if s.opts.UseLog {
		c := s.newClient(nil)
		s.log, err = basics.OpenLog(s.opts.Dir, s.opts.Policy, s.data, basics.Base{Load: s.readRDB, Save: s.writeRDB}, c.W, c.execute)
		return err
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

// writeRDB writes the snapshot that a log begins with. Nobody else is there yet.
func (s *server) writeRDB(w io.Writer) error {
	d := s.beginDump()
	defer d.close(basics.NoLock{})
	return d.write(w, basics.NoLock{})
}

// execute runs one command, as in step 05.
func (c *client) execute(args [][]byte) {
	cmd, err := commands.Find(c, args)
	if err != nil {
		c.W.Error(err.Error())
		return
	}
	s := c.srv
	s.mu.Lock()
	defer s.mu.Unlock()
	s.data.SetNow(time.Now().UnixMilli())
	effect, err := cmd.Run(c, args)
	if err != nil {
		c.W.Error(err.Error())
	}
	if effect != nil {
		s.propagate(c.DB.ID(), effect)
	}
}

// propagate hands a change on to the log. The caller holds s.mu.
func (s *server) propagate(db int, effect [][]byte) {
	if s.log != nil {
		s.log.Append(basics.Encode(&s.logDB, db, effect))
	}
}

// reply sends the replies gathered so far, once the log has all that they promise.
func (c *client) reply() error {
	if c.W.Len() > 0 {
		basics.Commit(c.srv.log)
	}
	return c.W.Flush()
}

// handle serves one client, as in step 03.
func (s *server) handle(conn net.Conn) {
	defer conn.Close()
	conn = s.opts.Traced(conn)
	c := s.newClient(conn)
	c.Serve(conn, c.execute, c.reply)
}

// serve accepts connections until ln is closed, as in step 01.
func (s *server) serve(ln net.Listener) {
	for {
		conn, err := ln.Accept()
		switch {
		case err == nil:
			go s.handle(conn)
		case errors.Is(err, net.ErrClosed):
			return
		default: // too many open files: wait until somebody leaves
			time.Sleep(50 * time.Millisecond)
		}
	}
}

// newClient returns a client whose replies go to w, nil for nowhere.
func (s *server) newClient(w io.Writer) *client {
	return &client{srv: s, Client: basics.Client{DB: s.data.DB(0), W: resp.NewWriter(w)}}
}

// newServer loads what is on the disk.
func newServer(o *basics.Options) (*server, error) {
	s := &server{opts: o, data: store.New(16), logDB: -1, lastSave: time.Now().Unix()}
	if err := s.load(); err != nil {
		return nil, err
	}
	s.data.OnExpire = func(db int, key string) {
		s.propagate(db, [][]byte{[]byte("DEL"), []byte(key)})
	}
	return s, nil
}

// run listens and serves until Ctrl-C.
func run(o *basics.Options) error {
	s, err := newServer(o)
	if err != nil {
		return err
	}
	ln, ctx, err := o.Listen()
	if err != nil {
		return err
	}
	go basics.Sweep(ctx, &s.mu, s.data, nil)
	_, port, _ := net.SplitHostPort(ln.Addr().String())
	fmt.Printf("06-rdb listens on %s. In another terminal: redis-cli -p %s SET city Paris, then redis-cli -p %s BGSAVE, then xxd %s. Ctrl-C ends it.\n",
		ln.Addr(), port, port, filepath.Join(o.Dir, "dump.rdb"))
	s.serve(ln)
	if s.log != nil {
		return s.log.Close()
	}
	return nil
}

func main() {
	if err := run(basics.ParseFlags()); err != nil {
		fmt.Fprintln(os.Stderr, "06-rdb:", err)
		os.Exit(1)
	}
}
