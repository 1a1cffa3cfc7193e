// Step 05: a server that survives its own death, because it writes every change down before it
// answers OK.
//
// The append-only file is the simplest database format there is: the commands themselves, in RESP,
// one behind the other. To load it is to execute it again. All the art lies in three questions:
// what to write (the effect of a command, so that it means the same when repeated next week), in
// which order (the order of execution, so under the same lock), and when it is really on the disk
// (when fsync says so, which takes milliseconds, so there are three policies).
//
// The map and the deadlines of steps 03 and 04 are now pkg/store, and the commands that use them
// stand in commands.go. This file is the server and its log.
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

// The log lies where Redis 7 keeps its own, so that both can take turns on one directory: a file
// of increments, and a manifest that lists the files that count. We only ever have this one.
const (
	logName      = "appendonly.aof.1.incr.aof"
	manifestName = "appendonly.aof.manifest"
	manifest     = "file " + logName + " seq 1 type i\n"
)

// commands is the dispatch table. The number counts the arguments with the name; a negative one is
// a minimum.
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

	mu   sync.Mutex // protects data and the order of what is in the log
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
	db     int    // the database that the file has selected at its end, -1 when nobody knows
	buf    []byte // reused

	syncing sync.Mutex  // held during an fsync
	dirty   atomic.Bool // something was written since the last fsync began
}

// execute runs one command. Every change of the data, whoever asks for it, passes through here.
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
	// Still under the lock under which it was executed. With another lock for the log, two clients
	// could execute A, B and log B, A, and after a restart the key would have the other value. And
	// the effect is logged, not the command: what failed or only read is not in the file at all.
	if effect != nil {
		s.propagate(c.db.ID(), effect)
	}
	// endregion
}

// propagate hands a change on to whoever must know it: today the log, in step 08 replicas too.
// The caller holds s.mu.
func (s *server) propagate(db int, effect [][]byte) {
	if s.log == nil {
		return // what is being replayed must not be appended to the log once more
	}
	written, err := s.log.append(db, effect)
	if err != nil {
		s.log.die(err)
	}
	if s.trace {
		resp.Annotate(os.Stdout, "log   ", written)
	}
}

// append writes one effect at the end of the file and returns the bytes written. Once Write has
// returned, the bytes are with the operating system: if this process is killed, they stay. Only
// when the machine itself stops can they be lost, and that is what sync is for.
func (l *appendLog) append(db int, effect [][]byte) ([]byte, error) {
	l.buf = l.buf[:0]
	// region: encode the effect
	if db != l.db {
		// A command does not say which database it is meant for; the file must.
		l.buf = resp.AppendCommandStrings(l.buf, "SELECT", strconv.Itoa(db))
		l.db = db
	}
	l.buf = resp.AppendCommand(l.buf, effect...)
	// endregion
	_, err := l.f.Write(l.buf)
	l.dirty.Store(true)
	return l.buf, err
}

// replay executes the log. If its last command is incomplete, as a crash during a write leaves it,
// that command is cut off: its client was never told OK. Anything else that is wrong is an error,
// for it means that bytes changed which had been written well, and guessing would lose data.
func (s *server) replay(f *os.File) error {
	// A key that has expired by now stays until the log itself says DEL: it may go on to PERSIST it.
	s.data.Expiry = store.KeepExpired
	defer func() { s.data.Expiry = store.DeleteExpired }()
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
		// The replies go nowhere, but an error among them means that the log was not written by
		// a server like this one. To skip the command would be to lose data in silence.
		c.w.Buf = c.w.Buf[:0]
		if c.execute(args); c.w.Buf[0] == '-' {
			return fmt.Errorf("%s, before offset %d: %q answers %q", f.Name(), r.Consumed(), args, c.w.Buf)
		}
	}
	// endregion
}

// cutTail shortens the file to its good bytes, so that what is appended from now on stands behind
// a whole command. Left in place, the torn command would swallow the beginning of the next one.
func cutTail(f *os.File, good int64) error {
	// region: cut the torn tail
	// A torn write is a beginning: "*3\r\n$3\r\nSE". Other bytes were never written by us.
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
	// Under "always" no client may see an OK, or a value, that a power cut could take back. The
	// replies of a whole pipeline leave together, so a hundred SETs wait for the disk once.
	if log := c.srv.log; log.policy == "always" && c.w.Len() > 0 {
		if err := log.sync(); err != nil {
			log.die(err)
		}
	}
	// endregion
	return c.w.Flush()
}

// sync returns when everything written before the call is on the disk.
func (l *appendLog) sync() error {
	// region: one fsync for many
	// Fifty clients that wait here need one fsync, not fifty. The first does it for all who wrote
	// before it began; the others queue at the lock, and find nothing left to do.
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
	for l.policy == "everysec" && ctx.Err() == nil {
		time.Sleep(time.Second)
		if err := l.sync(); err != nil {
			l.die(err)
		}
	}
}

// die ends the server. After a failed write or fsync nobody knows what the file holds (Linux may
// even have thrown the bytes away), so the next OK could be a lie. Better none.
func (l *appendLog) die(err error) {
	fmt.Fprintln(os.Stderr, "05-aof: the log cannot be written, so nothing can be promised:", err)
	os.Exit(1)
}

// openLog opens the log in dir, and creates it when there is none.
func openLog(dir, policy string) (*appendLog, error) {
	if policy != "always" && policy != "everysec" && policy != "no" {
		return nil, fmt.Errorf("-appendfsync must be always, everysec or no, not %q", policy)
	}
	dir = filepath.Join(dir, "appendonlydir")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	// O_APPEND makes every Write go to the end, wherever the reading at start has moved to.
	f, err := os.OpenFile(filepath.Join(dir, logName), os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	name := filepath.Join(dir, manifestName)
	found, err := os.ReadFile(name)
	if errors.Is(err, os.ErrNotExist) {
		found, err = []byte(manifest), os.WriteFile(name, []byte(manifest), 0o644)
	}
	if err == nil && string(found) != manifest {
		err = fmt.Errorf("%s lists files that this step cannot read (a base, or a rewritten log); try step 06", name)
	}
	return &appendLog{f: f, policy: policy, db: -1}, err
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

// newServer opens the log in dir and brings back what it holds.
func newServer(dir, policy string, trace bool) (*server, error) {
	s := &server{data: store.New(16), trace: trace}
	log, err := openLog(dir, policy)
	if err != nil {
		return nil, err
	}
	if err := s.replay(log.f); err != nil {
		return nil, err
	}
	s.log = log // from here on, changes are written down
	// region: what expires is a change too
	// When a key is deleted because its time has come, no command has that as its effect.
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
		ln.Addr(), port, s.log.f.Name())
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
