// Step 06: snapshots. SAVE and BGSAVE write all data into dump.rdb, in the format of Redis itself.
//
// A log grows with every change, a snapshot only with the data, and it loads faster than a million
// commands. Two ideas are new. One is a binary format: lengths of one, two, five or nine bytes, a
// type byte before each value, a checksum at the end. The other is a picture of one moment, taken
// while the data goes on changing. Redis forks a child process for that and lets the kernel copy
// pages; Go cannot fork. So we walk the keyspace in small bites, and whoever is about to change a
// key that the walk has not reached hands its old value over first (that part is store.Snapshot).
//
// This file is the server and how it takes the picture, rdb.go is the format. The log of step 05 is
// now imported from pkg/aof, in log.go; -appendonly yes switches it on.
package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"byor/pkg/aof"
	"byor/pkg/basics"
	"byor/pkg/resp"
	"byor/pkg/store"
)

// maxReplies is how many bytes of replies may pile up before they are sent, as in step 03.
const maxReplies = 64 << 10

// commands is the dispatch table, as in step 05.
var commands = map[string]struct {
	arity int
	run   handler
}{
	"ping": {-1, ping}, "echo": {2, echo}, "quit": {-1, quit}, "command": {-1, commandDocs},
	"select": {2, selectDB}, "dbsize": {1, dbsize}, "flushall": {-1, flushAll},
	"get": {2, get}, "set": {-3, set}, "del": {-2, del}, "exists": {-2, exists}, "incr": {2, incr},
	"expire": {-3, expire}, "pexpire": {-3, expire}, "expireat": {-3, expire}, "pexpireat": {-3, expire},
	"ttl": {2, ttl}, "pttl": {2, ttl}, "persist": {2, persist},
	// region: the new commands
	"save": {1, save}, "bgsave": {1, bgsave}, "lastsave": {1, lastSave},
	// endregion
}

// server is what all connections share. It is safe for concurrent use.
type server struct {
	trace  bool          // print every byte
	lastID atomic.Uint64 // number of the newest connection
	dir    string        // where dump.rdb is

	mu       sync.Mutex // protects what follows, and the order of what is in the log
	data     *store.Store
	log      *aof.Log // nil with -appendonly no, and while loading
	logDB    int      // the database that the log has selected at its end
	saving   bool     // a BGSAVE is under way
	lastSave int64    // Unix seconds
}

// client is one connection. Only its own goroutine uses it.
type client struct {
	srv     *server
	db      *store.DB    // what SELECT chose
	w       *resp.Writer // replies are appended here and leave when the batch is done
	closing bool         // set by QUIT
}

// execute runs one command, as in step 05.
func (c *client) execute(args [][]byte) {
	name := strings.ToLower(string(args[0]))
	cmd, ok := commands[name]
	if !ok {
		c.w.Error(unknownCommand(args).Error())
		return
	}
	if n := len(args); n != cmd.arity && (cmd.arity >= 0 || n < -cmd.arity) {
		c.w.Error(wrongArity(name).Error())
		return
	}
	s := c.srv
	s.mu.Lock()
	defer s.mu.Unlock()
	s.data.SetNow(time.Now().UnixMilli())
	effect, err := cmd.run(c, args)
	if err != nil {
		c.w.Error(err.Error())
	}
	if effect != nil {
		s.propagate(c.db.ID(), effect)
	}
}

// save answers SAVE: it saves while nobody else can do anything. Good for tests and for goodbyes.
func save(c *client, _ [][]byte) ([][]byte, error) {
	if c.srv.saving {
		return nil, errSaving
	}
	// execute holds the lock for us, so the walk must not take it.
	if err := c.srv.beginDump().save(noLock{}); err != nil {
		return nil, fmt.Errorf("ERR %w", err)
	}
	c.w.OK()
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
	c.w.SimpleString("Background saving started")
	return nil, nil
}

func lastSave(c *client, _ [][]byte) ([][]byte, error) {
	c.w.Int(c.srv.lastSave)
	return nil, nil
}

var errSaving = errors.New("ERR Background save already in progress")

type noLock struct{}

func (noLock) Lock()   {}
func (noLock) Unlock() {}

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

// save writes the picture to dump.rdb.
func (d *dump) save(mu sync.Locker) error {
	defer d.close(mu)
	// region: temporary file, fsync, rename
	// Never into dump.rdb itself, or a crash half-way would leave neither the old picture nor a
	// new one. A rename happens wholly or not at all. The fsync goes first: else the kernel may
	// put the new name on the disk before the bytes, and after a power cut the good name would
	// stand for an empty file. And the name itself is only safe when its directory is synced.
	f, err := os.CreateTemp(d.s.dir, "temp-*.rdb")
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
	if err := os.Rename(f.Name(), filepath.Join(d.s.dir, "dump.rdb")); err != nil {
		return err
	}
	if dir, err := os.Open(d.s.dir); err == nil {
		dir.Sync() // its error is ignored: some systems cannot sync a directory
		dir.Close()
	}
	// endregion
	mu.Lock()
	defer mu.Unlock()
	d.s.lastSave = time.Now().Unix()
	return nil
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

// load brings the data back. As in Redis, the log is the truth where it is switched on, and dump.rdb
// is not even looked at then.
func (s *server) load(useLog bool, policy string) error {
	s.data.SetNow(time.Now().UnixMilli())
	if useLog {
		return s.openLog(policy)
	}
	// region: load dump.rdb
	f, err := os.Open(filepath.Join(s.dir, "dump.rdb"))
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

// handle serves one client, as in step 03: whole commands first, and when there are no more, the
// replies to all of them.
func (s *server) handle(conn net.Conn) {
	defer conn.Close()
	if s.trace {
		conn = resp.Trace(conn, os.Stdout, fmt.Sprintf("#%d", s.lastID.Add(1)))
	}
	r, c := resp.NewCommandReader(conn), &client{srv: s, db: s.data.DB(0), w: resp.NewWriter(conn)}
	for !c.closing {
		args, err := r.Next()
		if err == resp.ErrIncomplete {
			if c.reply() != nil || r.Fill() != nil {
				return
			}
			continue
		}
		if err != nil {
			c.w.Error("ERR " + err.Error()) // a protocol error: say it, and close below
			break
		}
		c.execute(args)
		if c.w.Len() > maxReplies && c.reply() != nil {
			return
		}
	}
	c.reply()
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

// newServer loads what is in dir.
func newServer(dir string, useLog bool, policy string, trace bool) (*server, error) {
	s := &server{data: store.New(16), dir: dir, trace: trace, lastSave: time.Now().Unix()}
	if err := s.load(useLog, policy); err != nil {
		return nil, err
	}
	s.data.OnExpire = func(db int, key string) {
		s.propagate(db, [][]byte{[]byte("DEL"), []byte(key)})
	}
	return s, nil
}

func main() {
	addr := flag.String("addr", "127.0.0.1:6380", "TCP `address` to listen on")
	trace := flag.Bool("trace", false, "print every byte that comes in and goes out, and what it means")
	dir := flag.String("dir", ".", "`directory` of dump.rdb and appendonlydir")
	useLog := flag.String("appendonly", "no", "`yes` to keep the log of step 05 too")
	policy := flag.String("appendfsync", "everysec", "when to force the log to the disk: `always, everysec or no`")
	flag.Parse()
	if err := run(*addr, *dir, basics.Yes("appendonly", *useLog), *policy, *trace); err != nil {
		fmt.Fprintln(os.Stderr, "06-rdb:", err)
		os.Exit(1)
	}
}

// run listens and serves until Ctrl-C.
func run(addr, dir string, useLog bool, policy string, trace bool) error {
	s, err := newServer(dir, useLog, policy, trace)
	if err != nil {
		return err
	}
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	context.AfterFunc(ctx, func() { ln.Close() })
	go s.expireInBackground(ctx)
	_, port, _ := net.SplitHostPort(ln.Addr().String())
	fmt.Printf("06-rdb listens on %s. In another terminal: redis-cli -p %s SET city Paris, then redis-cli -p %s BGSAVE, then xxd %s. Ctrl-C ends it.\n",
		ln.Addr(), port, port, filepath.Join(dir, "dump.rdb"))
	s.serve(ln)
	if s.log != nil {
		return s.log.Close()
	}
	return nil
}
