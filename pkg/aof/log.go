package aof

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// How Append and Commit share the work.
//
// Append runs under the engine's lock and only copies bytes into a buffer.
// Commit runs outside of it, in as many goroutines as there are connections. The
// first to find bytes unwritten becomes the leader: it takes the whole buffer,
// writes it with one write(2), under always follows with one fdatasync(2), and
// wakes the others, most of whom then find their own bytes done. Whatever arrives
// while a leader is at work is the next leader's batch; so the slower the disk,
// the larger the batches. This is group commit. Redis gets it from its event
// loop, which writes once a turn for all clients.
//
// The leader is a role, not a goroutine: with one client there is no hand-over,
// the connection's goroutine itself writes and syncs.
//
// Redis under everysec lets replies go out before the write, for up to two
// seconds, while a background fsync is running. Here they wait for the write (the
// engine does not): killing the process loses nothing under any policy.

// ErrClosed is returned by Commit after Close.
var ErrClosed = errors.New("aof: log closed")

// WriteError is a failed write or sync under everysec or no. The bytes are kept
// and tried again, with the next Commit and every second; until that succeeds the
// server should refuse writes (MISCONF). Redis still answers the command that hit
// the error with success, and so may the caller.
type WriteError struct{ err error }

func (e *WriteError) Error() string {
	return "Errors writing to the AOF file: " + Strerror(e.err)
}

// Unwrap gives the system's error.
func (e *WriteError) Unwrap() error { return e.err }

// FatalError is a failed write or sync under always. The command has been
// executed and cannot be taken back, nor may it be acknowledged: the server must
// exit (with status 1, as Redis). Every Commit after it returns it too.
type FatalError struct {
	err  error
	text string
}

func (e *FatalError) Error() string { return e.text }

// Unwrap gives the system's error.
func (e *FatalError) Unwrap() error { return e.err }

// Log is a log open for appending. All methods may be called concurrently; the
// order of Append calls is the order in the file, so call it under the lock under
// which commands are executed.
type Log struct {
	o      Options
	policy atomic.Int32
	hold   atomic.Bool // no-appendfsync-on-rewrite is in effect
	plain  atomic.Bool // the next rewrite's base is commands, not RDB

	// Positions count the bytes appended since the log was opened, across files.
	written atomic.Int64 // up to here the bytes are in the file
	synced  atomic.Int64 // up to here they are on the disk

	mu   sync.Mutex // protects what follows; never held during I/O
	wake *sync.Cond // a leader or a background sync has finished
	busy bool       // somebody is leader: file, head and sizes of the file are theirs

	end   int64  // position of the next byte to be appended
	buf   []byte // appended and not yet taken by a leader
	head  []byte // taken by a leader and not yet in the file
	spare []byte // an empty buffer to be used again

	file     File // the increment being written; nil while off
	fileSize int64
	manifest manifest
	waiting  bool // created by Create, and no base has been finished yet
	off      bool // waiting, and no rewrite is running: appended bytes are dropped
	baseOnly bool // see CreateBase

	syncing    bool // a background sync is running
	beginning  bool // the disk is being told to begin, see early.go
	syncStart  time.Time
	crossing   bool // the leader is changing to the next increment
	installing bool // a rewrite is putting its base in force
	fatal      error
	closed     bool
	failures   int64 // counts failed attempts, for those who wait for one
	st         state
	rw         *Rewrite // the rewrite under way, nil if none
	limit      rewriteLimit
	highBase   int64         // no base up to this number is to be made again
	highIncr   int64         // nor an increment
	dirty      chan struct{} // something was written that the disk can begin with
	stop       chan struct{} // closed to end the background goroutine
	done       chan struct{} // closed when it has ended
}

// state is what Status reports and the leader keeps up to date.
type state struct {
	writeErr, syncErr error // standing, nil once solved
	lastErr           error // of the last failed attempt
	lastErrLog        time.Time
	size, baseSize    int64
	delayed           int64
	rewrites          int64
	rewriteFailures   int64
	lastRewriteOK     bool
}

// Open opens the log for appending, after Load has replayed it. Where there is no
// log yet it makes one, whose base write writes; it is expected to hold no data,
// since what Load has found is the data. write may be nil for an empty plain base.
func Open(o Options, write BaseWriter) (*Log, error) {
	l, err := prepare(o)
	if err != nil {
		return nil, err
	}
	fresh := l.manifest.base == nil && len(l.manifest.incrs) == 0
	if err := l.openLast(); err != nil {
		return nil, err
	}
	if fresh {
		err = l.firstBase(write)
	} else {
		err = l.o.dropHistory(&l.manifest)
	}
	if err == nil {
		err = l.measure()
	}
	if err != nil {
		l.file.Close()
		return nil, err
	}
	l.start()
	return l, nil
}

// Create makes a log for a server that already holds data: CONFIG SET appendonly
// yes. It does not count until a rewrite has written the data as its base, so
// call BeginRewrite next (Redis: AOF_WAIT_REWRITE). Until then appended bytes are
// dropped; during the rewrite they go to a temporary increment. If the rewrite
// fails, begin another. Files of an earlier log stay in force meanwhile.
func Create(o Options) (*Log, error) {
	l, err := prepare(o)
	if err != nil {
		return nil, err
	}
	l.waiting, l.off = true, true
	l.start()
	return l, nil
}

// CreateBase is Create for a single rewrite that no log follows: BGREWRITEAOF while appendonly is no. The
// base that it writes stands alone, without an increment.
func CreateBase(o Options) (*Log, error) {
	l, err := Create(o)
	if err == nil {
		l.baseOnly = true
	}
	return l, err
}

func prepare(o Options) (*Log, error) {
	l := &Log{o: o.fill(), dirty: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{})}
	l.wake = sync.NewCond(&l.mu)
	l.policy.Store(int32(o.Policy))
	l.plain.Store(o.PlainBase)
	l.st.lastRewriteOK = true
	var err error
	if l.manifest, err = l.o.findManifest(); err != nil {
		return nil, err
	}
	l.highBase, l.highIncr = l.manifest.baseSeq(), max(l.manifest.incrSeq(), o.LastIncr)
	for _, fi := range l.manifest.history { // about to be deleted, by name
		l.highBase, l.highIncr = max(l.highBase, fi.seq), max(l.highIncr, fi.seq)
	}
	return l, l.o.makeDir()
}

// newBase and newIncr name a file that no earlier one can be mistaken for.
func (l *Log) newBase(plain bool) fileInfo {
	l.highBase++
	o := l.o
	o.PlainBase = plain
	return fileInfo{name: o.baseName(l.highBase), seq: l.highBase, kind: baseFile}
}

func (l *Log) newIncr() fileInfo {
	l.highIncr++
	return fileInfo{name: l.o.incrName(l.highIncr), seq: l.highIncr, kind: incrFile}
}

// openLast opens the last increment, or makes the first.
func (l *Log) openLast() error {
	o := l.o
	made := len(l.manifest.incrs) == 0
	if made {
		l.manifest.incrs = append(l.manifest.incrs, l.newIncr())
	}
	name := l.manifest.incrs[len(l.manifest.incrs)-1].name
	f, err := o.FS.OpenFile(o.path(name), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o644)
	if err != nil {
		return fmt.Errorf("Can't open the append-only file %s: %s", name, Strerror(err))
	}
	if made {
		if _, err := o.writeManifest(l.manifest); err != nil {
			f.Close()
			return err
		}
		o.Logf("Creating AOF incr file %s on server start", name)
	} else {
		o.Logf("Opening AOF incr file %s on server start", name)
	}
	l.file = f
	return nil
}

// firstBase gives a new log its base. The empty increment is in the manifest
// already: were the base written first, a crash between the two would leave a
// base that no manifest names, and the next start would refuse to guess.
func (l *Log) firstBase(write BaseWriter) error {
	o := l.o
	if write == nil && !o.PlainBase {
		return errors.New("aof: a new log with an RDB base needs a BaseWriter")
	}
	if write == nil {
		write = func(io.Writer) error { return nil }
	}
	base := l.newBase(o.PlainBase)
	name, temp := base.name, o.tempBasePath()
	err := o.writeBaseFile(temp, write)
	if err == nil {
		err = o.FS.Rename(temp, o.path(name))
	}
	if err == nil {
		err = o.FS.SyncDir(o.dir())
	}
	if err != nil {
		_ = o.FS.Remove(temp)
		return fmt.Errorf("Can't create the AOF base file %s: %s", name, Strerror(err))
	}
	l.manifest.base = &base
	if _, err := o.writeManifest(l.manifest); err != nil {
		return err
	}
	o.Logf("Creating AOF base file %s on server start", name)
	return nil
}

// measure sets the sizes that automatic rewriting goes by.
func (l *Log) measure() error {
	for _, fi := range l.manifest.files() {
		size, err := l.o.fileSize(fi.name)
		if err != nil {
			return err
		}
		l.st.size += size
		if fi.kind == baseFile {
			l.st.baseSize = size
		}
		l.fileSize = size
	}
	return nil
}

// Append adds bytes, which must be whole commands, and returns the position after
// them for Commit. It copies b, never waits for the disk, and cannot fail.
func (l *Log) Append(b []byte) (end int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.off {
		return l.end
	}
	l.end += int64(len(b))
	if !l.closed { // else Commit tells
		l.buf = append(l.buf, b...)
	}
	return l.end
}

// End is the position after all that was appended. A reader that must not see
// what a crash could take back commits up to End before it answers.
func (l *Log) End() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.end
}

// Commit returns when all bytes up to a position are in the file and, under
// always, on the disk. Its errors are *WriteError (go on, refuse writes),
// *FatalError (exit) and ErrClosed.
func (l *Log) Commit(end int64) error {
	if l.settled(end) {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	end = min(end, l.end)
	seen := l.failures
	for !l.settled(end) {
		switch {
		case l.fatal != nil:
			return l.fatal
		case l.closed:
			return ErrClosed
		case l.failures != seen:
			// One attempt for each Commit: whoever led it, it has failed.
			return &WriteError{l.st.lastErr}
		case l.busy:
			l.wake.Wait()
		default:
			l.lead()
		}
	}
	return nil
}

// settled reports whether the policy's promise holds for a position.
func (l *Log) settled(end int64) bool {
	if Policy(l.policy.Load()) == Always && !l.hold.Load() {
		return l.synced.Load() >= end
	}
	return l.written.Load() >= end
}

// SetPolicy changes appendfsync. It holds for every Commit that has not returned.
func (l *Log) SetPolicy(p Policy) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.policy.Store(int32(p))
	l.wake.Broadcast()
}

// SetPlainBase changes aof-use-rdb-preamble for the rewrites that begin from now on.
func (l *Log) SetPlainBase(plain bool) { l.plain.Store(plain) }

// HoldSync suspends syncing, as Redis does under no-appendfsync-on-rewrite while
// a rewrite or a snapshot keeps the disk busy. Under always Commit then promises
// no more than under no.
func (l *Log) HoldSync(on bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.hold.Store(on)
	l.wake.Broadcast()
}

// lead writes what there is, once. It is called and returns with mu held, and
// gives it up during I/O. Its outcome is in written, synced, failures and fatal.
func (l *Log) lead() {
	l.busy = true
	b, cross := l.take()
	always := Policy(l.policy.Load()) == Always
	if l.syncing && len(b) > 0 && time.Since(l.syncStart) > 2*time.Second {
		l.st.delayed++
		l.o.Logf("Asynchronous AOF fsync is taking too long (disk is busy?). Writing the AOF buffer without waiting for fsync to complete, this may slow down Redis.")
	}
	sync := always && !l.hold.Load()
	file := l.file
	l.mu.Unlock()
	n, werr := writeAll(file, b)
	var serr error
	if werr == nil && sync && file != nil {
		serr = file.Sync()
	}
	left := n
	var terr error
	if werr != nil && n > 0 {
		// Half a command at the end of the file is what a crash leaves behind;
		// do not let an error leave it too, with more commands to come after.
		if terr = file.Truncate(l.fileSize); terr == nil {
			left = 0
		}
	}
	l.mu.Lock()
	l.wrote(b, left)
	if werr != nil {
		l.writeFailed(werr, terr, n, len(b), always)
	} else {
		l.writeWorked(serr, sync)
		l.wroteSome()
	}
	if werr == nil && serr == nil && cross {
		l.cross()
	}
	l.busy = false
	l.wake.Broadcast()
}

// take moves what was appended behind what an earlier attempt has left, and
// returns what to write now: all of it, or, where a rewrite has drawn a line, what
// stands before the line (cross is true then).
func (l *Log) take() (b []byte, cross bool) {
	if len(l.head) == 0 {
		l.head, l.buf, l.spare = l.buf, l.spare[:0], nil
	} else {
		l.head = append(l.head, l.buf...)
		l.buf = l.buf[:0]
	}
	if l.rw == nil || l.rw.crossed {
		return l.head, false
	}
	return l.head[:l.rw.cut-l.written.Load()], true
}

// spareBytes is the largest buffer that is kept for the next batch, in bytes.
const spareBytes = 1 << 20

// wrote books n bytes of b, the front of head, as being in the file.
func (l *Log) wrote(b []byte, n int) {
	l.fileSize += int64(n)
	l.st.size += int64(n)
	l.written.Add(int64(n))
	if n < len(l.head) {
		l.head = l.head[n:]
		return
	}
	if cap(b) <= spareBytes {
		l.spare = b[:0]
	}
	l.head = nil
}

// writeAll is one write(2), repeated only where the system took a part of it.
func writeAll(f File, b []byte) (n int, err error) {
	if len(b) == 0 {
		return 0, nil
	}
	n, err = f.Write(b)
	if err == nil && n < len(b) {
		err = io.ErrShortWrite // an FS that breaks io.Writer's promise
	}
	return n, err
}

// errLogEvery is how often a standing write error is logged again.
const errLogEvery = 30 * time.Second

// writeFailed records a failed write: n bytes of want were written, and terr says
// whether they could not be removed again.
func (l *Log) writeFailed(werr, terr error, n, want int, always bool) {
	l.failures++
	l.st.writeErr, l.st.lastErr = werr, werr
	if time.Since(l.st.lastErrLog) > errLogEvery {
		l.st.lastErrLog = time.Now()
		if n == 0 {
			l.o.Warnf("Error writing to the AOF file: %s", Strerror(werr))
		} else {
			l.o.Warnf("Short write while writing to the AOF file: (nwritten=%d, expected=%d)", n, want)
		}
		if terr != nil {
			l.o.Warnf("Could not remove short write from the append-only file.  Redis may refuse to load the AOF the next time it starts.  ftruncate: %s", Strerror(terr))
		}
	}
	if always {
		l.die(werr, "Can't recover from AOF write error when the AOF fsync policy is 'always'. Exiting...")
	}
}

// writeWorked records a write that worked, and the sync that followed it, if any.
func (l *Log) writeWorked(serr error, sync bool) {
	if l.st.writeErr != nil {
		l.o.Warnf("AOF write error looks solved, Redis can write again.")
		l.st.writeErr, l.st.lastErrLog = nil, time.Time{}
	}
	switch {
	case serr != nil:
		l.failures++
		l.st.syncErr, l.st.lastErr = serr, serr
		l.die(serr, fmt.Sprintf("Can't persist AOF for fsync error when the AOF fsync policy is 'always': %s. Exiting...", Strerror(serr)))
	case sync:
		l.synced.Store(l.written.Load())
		l.st.syncErr = nil
	}
}

func (l *Log) die(err error, text string) {
	if l.fatal == nil {
		l.o.Warnf("%s", text)
		l.fatal = &FatalError{err: err, text: text}
	}
}
