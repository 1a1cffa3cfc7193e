// Step 05: a server that survives its own death. It writes every change down before it answers OK.
//
// The append-only file is the simplest database format there is: the commands themselves, in RESP,
// one after the other. Loading it means executing it again. Three questions make it interesting:
//
//   - What do we write? The effect of a command, so that it means the same next week.
//   - In which order? In the order of execution, so we write under the same lock.
//   - When is it safe? When fsync has returned. That takes milliseconds, so there are three policies.
//
// The map and the deadlines of steps 03 and 04 have moved to pkg/store. The commands that use them
// are in pkg/basics, and commands.go puts them into our table. This file is the server and its log.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"byor/pkg/resp"
	"byor/pkg/store"
	"byor/pkg/version"
)

// maxReplies is how many bytes of replies may pile up before they are sent, as in step 03.
const maxReplies = 64 << 10

// The log has the name and the place that Redis 7 uses, so both can take turns on one directory. The
// manifest lists the files that count. Ours only ever lists one, a file of increments (type i).
const (
	logName      = "appendonly.aof.1.incr.aof"
	manifestName = "appendonly.aof.manifest"
	manifest     = "file " + logName + " seq 1 type i\n"
)

// commands is the dispatch table. The number counts the arguments, name included; a negative number
// is a minimum.
var commands = map[string]struct {
	arity int
	run   handler
}{
	"ping": {-1, ping}, "echo": {2, echo}, "quit": {-1, quit}, "command": {-1, commandDocs},
	"select": {2, selectDB}, "dbsize": {1, dbsize}, "flushall": {-1, flushAll},
	"get": {2, get}, "set": {-3, set}, "del": {-2, del}, "exists": {-2, exists}, "incr": {2, incr},
	"expire": {-3, expire}, "pexpire": {-3, expire}, "expireat": {-3, expire}, "pexpireat": {-3, expire},
	"ttl": {2, ttl}, "pttl": {2, ttl}, "persist": {2, persist},
}

// server is what all connections share. It is safe for concurrent use.
type server struct {
	trace  bool          // print every byte
	lastID atomic.Uint64 // number of the newest connection

	mu   sync.Mutex // protects data, and the order of the commands in the log
	data *store.Store
	log  *appendLog // nil while the log is being replayed
}

// client is one connection. Only its own goroutine uses it.
type client struct {
	srv     *server
	db      *store.DB    // what SELECT chose
	w       *resp.Writer // replies are appended here and leave when the batch is done
	closing bool         // set by QUIT
}

// appendLog is the append-only file, open for appending.
type appendLog struct {
	f      *os.File
	policy string
	db     int    // the database selected at the end of the file; -1 when nobody knows
	buf    []byte // reused

	syncing sync.Mutex  // held during an fsync
	dirty   atomic.Bool // something was written since the last fsync began
}

// execute runs one command. Clients and the replay both come through here.
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
	s.data.SetNow(time.Now().UnixMilli()) // time stands still while a command runs
	effect, err := cmd.run(c, args)
	if err != nil {
		c.w.Error(err.Error())
	}
	// region: log the effect
	// We still hold the lock. With a second lock for the log, two clients could execute A, B and log
	// B, A. After a restart the key would have the other value.
	if effect != nil {
		s.propagate(c.db.ID(), effect)
	}
	// endregion
}

// propagate hands a change to everybody who must know about it: today the log, in step 08 the
// replicas too. The caller holds s.mu.
func (s *server) propagate(db int, effect [][]byte) {
	if s.log == nil {
		return // a replay: the command comes from the log, so the log has it
	}
	written, err := s.log.append(db, effect)
	if err != nil {
		s.log.die(err)
	}
	if s.trace {
		resp.Annotate(os.Stdout, "log   ", written)
	}
}

// append writes one effect at the end of the file and returns the bytes. After Write the operating
// system has them, so they survive a kill -9. They may not survive a power cut: that needs sync.
func (l *appendLog) append(db int, effect [][]byte) ([]byte, error) {
	var err error
	l.buf = l.buf[:0]
	// region: log the effect
	if db != l.db {
		// The effect does not say which database it belongs to, so the file must.
		l.buf = resp.AppendCommandStrings(l.buf, "SELECT", strconv.Itoa(db))
		l.db = db
	}
	l.buf = resp.AppendCommand(l.buf, effect...)
	_, err = l.f.Write(l.buf)
	l.dirty.Store(true)
	// endregion
	return l.buf, err
}

// replay executes the log. A crash may have left half a command at the end; nobody was told OK for
// it, so it is cut off. Anything else that is wrong is an error: bytes that were once written well
// have changed, and guessing would lose data.
func (s *server) replay(f *os.File) error {
	// region: an expiry is a change too
	// The clock deletes nothing during the replay, only a DEL in the log does. A key that looks dead
	// today may get a PERSIST further down.
	s.data.Expiry = store.KeepExpired
	defer func() { s.data.Expiry = store.DeleteExpired }()
	// endregion
	// region: execute the log again
	c := &client{srv: s, db: s.data.DB(0), w: resp.NewWriter(nil)}
	r := resp.NewCommandReader(f)
	for {
		args, err := r.ReadCommand()
		switch {
		case err == io.EOF:
			return nil
		case err == io.ErrUnexpectedEOF:
			return cutTail(f, r.Consumed())
		case err != nil:
			return fmt.Errorf("%s, offset %d: %w", f.Name(), r.Consumed(), err)
		}
		// Nobody reads the replies. But an error among them means that a server like this one did
		// not write the log. If we skipped the command, we would lose data in silence.
		c.w.Buf = c.w.Buf[:0]
		if c.execute(args); c.w.Buf[0] == '-' {
			return fmt.Errorf("%s, before offset %d: %q answers %q", f.Name(), r.Consumed(), args, c.w.Buf)
		}
	}
	// endregion
}

// cutTail shortens the file to its good bytes. If the torn command stayed, it would swallow the
// beginning of the next one that we append.
func cutTail(f *os.File, good int64) error {
	// region: cut the torn tail
	// A torn command is a beginning: "*3\r\n$3\r\nSE". Other bytes are not from us.
	first := []byte{0}
	if _, err := f.ReadAt(first, good); err != nil || first[0] != '*' {
		return fmt.Errorf("%s, offset %d: %q is not how a command begins: the file is damaged", f.Name(), good, first)
	}
	fmt.Fprintf(os.Stderr, "%s ends in the middle of a command: cut to %d bytes\n", f.Name(), good)
	return f.Truncate(good)
	// endregion
}

// reply sends the replies gathered so far.
func (c *client) reply() error {
	// region: first the disk, then the answer
	// Under "always" no client may see an OK, or a value, that a power cut could take back. All the
	// replies to a pipeline leave together, so a hundred SETs wait for the disk once.
	if log := c.srv.log; log.policy == "always" && c.w.Len() > 0 {
		if err := log.sync(); err != nil {
			log.die(err)
		}
	}
	// endregion
	return c.w.Flush()
}

// sync returns when everything that was written before the call is on the disk. It is safe for
// concurrent use.
func (l *appendLog) sync() error {
	// region: one fsync for many
	// Fifty clients need one fsync, not fifty. The first one does it for all who wrote before it
	// began. The others wait for the lock, and then find nothing left to do.
	l.syncing.Lock()
	defer l.syncing.Unlock()
	if !l.dirty.Swap(false) {
		return nil
	}
	return l.f.Sync()
	// endregion
}

// syncEverySecond is the policy in the middle: nobody waits, and a power cut costs a second or two.
func (l *appendLog) syncEverySecond(ctx context.Context) {
	// region: once a second
	for l.policy == "everysec" && ctx.Err() == nil {
		time.Sleep(time.Second)
		if err := l.sync(); err != nil {
			l.die(err)
		}
	}
	// endregion
}

// die ends the server. After a failed write or fsync nobody knows what the file holds; Linux may
// even have thrown the bytes away. The next OK could be a lie, so there is no next OK.
func (l *appendLog) die(err error) {
	fmt.Fprintln(os.Stderr, "05-aof: the log cannot be written, so nothing can be promised:", err)
	os.Exit(1)
}

// openLog opens the log in dir, and creates it if there is none.
func openLog(dir, policy string) (*appendLog, error) {
	if policy != "always" && policy != "everysec" && policy != "no" {
		return nil, fmt.Errorf("-appendfsync must be always, everysec or no, not %q", policy)
	}
	log := &appendLog{policy: policy, db: -1}
	err := os.MkdirAll(dir, 0o755)
	if err != nil {
		return nil, err
	}
	// region: open the log
	name := filepath.Join(dir, manifestName)
	found, err := os.ReadFile(name)
	switch {
	case errors.Is(err, os.ErrNotExist):
		err = os.WriteFile(name, []byte(manifest), 0o644)
	case err == nil && string(found) != manifest:
		err = fmt.Errorf("%s lists files that this step cannot read, try step 06: %q", name, found)
	}
	if err != nil {
		return nil, err
	}
	// With O_APPEND every Write goes to the end, wherever the replay has read to.
	log.f, err = os.OpenFile(filepath.Join(dir, logName), os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o644)
	// endregion
	return log, err
}

// handle serves one client, as in step 03: it executes all whole commands, then sends the replies.
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
		default: // too many open files: wait until a client leaves
			time.Sleep(50 * time.Millisecond)
		}
	}
}

// newServer opens the log in dir and brings its data back.
func newServer(dir, policy string, trace bool) (*server, error) {
	s := &server{data: store.New(16), trace: trace}
	log, err := openLog(filepath.Join(dir, "appendonlydir"), policy)
	if err != nil {
		return nil, err
	}
	if err := s.replay(log.f); err != nil {
		return nil, err
	}
	s.log = log // not earlier: the replay must not append what it reads
	// region: an expiry is a change too
	// No client sent a command for this change, and it still has to be in the log.
	s.data.OnExpire = func(db int, key string) {
		s.propagate(db, [][]byte{[]byte("DEL"), []byte(key)})
	}
	// endregion
	return s, nil
}

// run listens and serves until Ctrl-C.
func run(addr, dir, policy string, trace bool) error {
	s, err := newServer(dir, policy, trace)
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
	go s.log.syncEverySecond(ctx)
	_, port, _ := net.SplitHostPort(ln.Addr().String())
	fmt.Printf("05-aof listens on %s. In another terminal: redis-cli -p %s SET city Paris EX 3600, then look into %s. Ctrl-C ends it.\n",
		ln.Addr(), port, filepath.Join(dir, "appendonlydir", logName))
	s.serve(ln)
	return s.log.sync() // whatever the policy: a polite end loses nothing
}

func main() {
	addr := flag.String("addr", "127.0.0.1:6380", "TCP `address` to listen on")
	trace := flag.Bool("trace", false, "print every byte that comes in, goes out or goes to the log")
	dir := flag.String("dir", ".", "`directory` in which to keep appendonlydir")
	policy := flag.String("appendfsync", "everysec", "when to force the log to the disk: `always, everysec or no`")
	flag.Parse()
	version.FlagsOnly()
	if err := run(*addr, *dir, *policy, *trace); err != nil {
		fmt.Fprintln(os.Stderr, "05-aof:", err)
		os.Exit(1)
	}
}
