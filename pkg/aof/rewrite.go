package aof

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"
)

// A rewrite, step by step, and what a crash after each step would find:
//
//	BeginRewrite   a line is drawn in the buffer, in memory      base n, incr n
//	the leader gets to the line: it syncs incr n,
//	makes incr n+1, and puts both into the manifest              base n, incr n, incr n+1
//	the caller writes the new base to a temp file                the same
//	the temp file is renamed to base n+1                         the same
//	the manifest names it, the old files become history          base n+1, incr n+1
//	history is deleted, the manifest written without it          the same
//
// Each line in the right column holds all the data. Redis does the second step
// while no command can run; here no I/O is done under the engine's lock.

var (
	// ErrRewriting is returned by BeginRewrite while another rewrite runs.
	ErrRewriting = errors.New("Background append only file rewriting already in progress")
	// ErrAborted is returned by Run after Abort.
	ErrAborted = errors.New("aof: rewrite aborted")
)

// Rewrite is a rewrite that has begun: call Run or Abort.
type Rewrite struct {
	l       *Log
	cut     int64 // position of the line: what comes after is for the new increment
	plain   bool  // the base is commands, not RDB
	aborted atomic.Bool

	// The following are protected by Log.mu.
	running bool
	crossed bool  // the line has been dealt with
	err     error // why the new increment could not be made
}

// BeginRewrite draws the line: what was appended before is for the new base to
// hold, what is appended from now on follows it. Call it under the lock under
// which commands are executed, at the moment the snapshot for the base is taken,
// and let the next append select its database anew. It does no I/O.
func (l *Log) BeginRewrite() (*Rewrite, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.closed:
		return nil, ErrClosed
	case l.fatal != nil:
		return nil, l.fatal
	case l.rw != nil:
		return nil, ErrRewriting
	}
	l.off = false
	l.rw = &Rewrite{l: l, cut: l.end, plain: l.plain.Load()}
	l.st.rewrites++
	l.o.Logf("Background append only file rewriting started")
	return l.rw, nil
}

// Run writes the new base with write and puts it in force. Call it outside of the
// engine's lock; it takes as long as write does. If it fails, the log is as
// complete as before, with an increment more.
func (rw *Rewrite) Run(write BaseWriter) error {
	l := rw.l
	l.mu.Lock()
	rw.running = true
	err := rw.waitForLine()
	l.mu.Unlock()
	temp := l.o.tempBasePath()
	if err == nil {
		err = l.o.writeBaseFile(temp, func(w io.Writer) error { return write(abortable{rw, w}) })
	}
	if err == nil {
		l.o.Logf("Background AOF rewrite terminated with success")
		err = rw.install(temp)
	} else {
		l.o.Warnf("Background AOF rewrite terminated with error: %s", Strerror(err))
	}
	if err != nil {
		_ = l.o.FS.Remove(temp)
	}
	rw.end(err)
	return err
}

// Abort ends a rewrite: Run, if it is under way, returns ErrAborted at the next
// byte its BaseWriter writes.
func (rw *Rewrite) Abort() {
	rw.aborted.Store(true)
	rw.l.mu.Lock()
	running := rw.running
	rw.running = true
	rw.l.mu.Unlock()
	if !running {
		rw.end(ErrAborted)
	}
}

// abortable is the writer of a base that stops when the rewrite is aborted.
type abortable struct {
	rw *Rewrite
	w  io.Writer
}

func (a abortable) Write(p []byte) (int, error) {
	if a.rw.aborted.Load() {
		return 0, ErrAborted
	}
	return a.w.Write(p)
}

// waitForLine returns, with mu held, when the new increment is open.
func (rw *Rewrite) waitForLine() error {
	l := rw.l
	seen := l.failures
	for !rw.crossed {
		switch {
		case rw.aborted.Load() || l.rw != rw:
			return ErrAborted
		case l.closed:
			return ErrClosed
		case l.fatal != nil:
			return l.fatal
		case l.failures != seen:
			return &WriteError{l.st.lastErr}
		case l.busy:
			l.wake.Wait()
		default:
			l.lead()
		}
	}
	return rw.err
}

// cross changes to the next increment. The leader calls it with mu held, when all
// up to the line is in the file; mu is given up during I/O.
func (l *Log) cross() {
	rw := l.rw
	// The rewrite may have ended during the write, and another begun.
	if rw == nil || rw.crossed || rw.cut != l.written.Load() {
		return
	}
	for l.syncing || l.beginning {
		l.wake.Wait() // the file about to be closed is being synced
	}
	l.crossing = true
	l.mu.Unlock()
	file, next, err := l.openNext()
	if err == nil && l.file != nil {
		_ = l.file.Close() // synced; there is nothing left to fail
	}
	l.mu.Lock()
	l.crossing = false
	rw.crossed, rw.err = true, err
	switch {
	case err == nil:
		l.file, l.fileSize, l.manifest = file, 0, next
		l.synced.Store(l.written.Load())
	case l.waiting:
		l.discard()
	default:
		l.o.Warnf("%s", err)
	}
}

// openNext makes the next increment and puts it into the manifest, after all of
// the present one is on the disk: a file that another follows must not be torn.
func (l *Log) openNext() (File, manifest, error) {
	o, next := l.o, l.manifest.clone()
	if l.file != nil && l.synced.Load() < l.written.Load() {
		if err := l.file.Sync(); err != nil {
			return nil, next, fmt.Errorf("Fail to fsync the AOF file: %s", Strerror(err))
		}
	}
	if l.baseOnly {
		return nil, next, nil
	}
	name := o.tempIncrName()
	if !l.waiting {
		incr := l.newIncr()
		name = incr.name
		next.incrs = append(next.incrs, incr)
	}
	f, err := o.FS.OpenFile(o.path(name), os.O_WRONLY|os.O_APPEND|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return nil, next, fmt.Errorf("Can't open the append-only file %s: %s", name, Strerror(err))
	}
	if !l.waiting {
		if undone, err := o.swapManifest(l.manifest, next); err != nil {
			f.Close()
			if undone {
				_ = o.FS.Remove(o.path(name))
			}
			return nil, next, err
		}
	}
	o.Logf("Creating AOF incr file %s on background rewrite", name)
	return f, next, nil
}

// discard forgets what was appended for a first base that will not come. mu is
// held and the caller is leader, or there is none.
func (l *Log) discard() {
	l.off = true
	l.head, l.buf = nil, nil
	l.written.Store(l.end)
	l.synced.Store(l.end)
	if l.file != nil {
		l.file.Close()
		l.file = nil
	}
	l.fileSize = 0
	_ = l.o.FS.Remove(l.o.path(l.o.tempIncrName()))
}

// install puts the base at temp in force.
func (rw *Rewrite) install(temp string) error {
	l, o := rw.l, rw.l.o
	l.mu.Lock()
	if rw.aborted.Load() || l.closed {
		l.mu.Unlock()
		return ErrAborted
	}
	l.installing = true
	m := l.manifest.clone()
	l.mu.Unlock()

	next, size, err := l.placeFiles(temp, rw.plain, m)
	l.mu.Lock()
	if err != nil {
		l.installing = false
		l.wake.Broadcast()
		l.mu.Unlock()
		o.Warnf("%s", err)
		return err
	}
	l.manifest = next
	l.waiting = false
	l.st.size = size + l.fileSize
	l.st.baseSize = l.st.size
	l.mu.Unlock()

	m = next.clone()
	if err := o.dropHistory(&m); err != nil {
		o.Warnf("%s", err) // only leftovers depend on it; the next start tries again
	}
	o.Logf("Background AOF rewrite finished successfully")
	l.mu.Lock()
	l.manifest = m
	l.installing = false
	l.wake.Broadcast()
	l.mu.Unlock()
	return nil
}

// placeFiles gives the new base its name and writes the manifest that says so. On
// an error m is in force again, or next is, and both name only files that exist.
func (l *Log) placeFiles(temp string, plain bool, m manifest) (next manifest, size int64, err error) {
	o := l.o
	info, err := o.FS.Stat(temp)
	if err != nil {
		return m, 0, err
	}
	base := l.newBase(plain)
	next = m.clone()
	made := []string{base.name}
	if l.baseOnly {
		next.retire(0)
	} else if l.waiting {
		incr := l.newIncr()
		next.retire(0)
		next.incrs = append(next.incrs, incr)
		made = append(made, incr.name)
	} else {
		next.retire(1)
	}
	next.base = &base
	undone := true
	if err = l.rename(temp, base.name, made[1:]); err == nil {
		undone, err = o.swapManifest(m, next)
	}
	if err != nil && undone {
		for _, name := range made {
			_ = o.FS.Remove(o.path(name))
		}
	}
	return next, info.Size(), err
}

// rename moves the base, and the temporary increment if there is one, to their
// names, durably: the manifest must not name what a power cut can take away.
func (l *Log) rename(temp, base string, incr []string) error {
	o := l.o
	if err := o.FS.Rename(temp, o.path(base)); err != nil {
		return fmt.Errorf("Error trying to rename the temporary AOF base file %s into %s: %s", temp, base, Strerror(err))
	}
	o.Logf("Successfully renamed the temporary AOF base file %s into %s", filepath.Base(temp), base)
	for _, name := range incr {
		if err := o.FS.Rename(o.path(o.tempIncrName()), o.path(name)); err != nil {
			return fmt.Errorf("Error trying to rename the temporary AOF incr file %s into %s: %s",
				o.tempIncrName(), name, Strerror(err))
		}
		o.Logf("Successfully renamed the temporary AOF incr file %s into %s", o.tempIncrName(), name)
	}
	if err := o.FS.SyncDir(o.dir()); err != nil {
		return fmt.Errorf("Fail to fsync AOF directory %s: %s.", o.dir(), Strerror(err))
	}
	return nil
}

// end books the outcome.
func (rw *Rewrite) end(err error) {
	l := rw.l
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.rw != rw {
		return
	}
	if err != nil && l.waiting && !l.closed {
		for l.busy || l.syncing || l.beginning {
			l.wake.Wait()
		}
		l.discard()
	}
	l.rw = nil
	switch {
	case err == nil:
		l.st.lastRewriteOK, l.st.rewriteFailures = true, 0
	case !errors.Is(err, ErrAborted):
		l.st.lastRewriteOK = false
		l.st.rewriteFailures++
	}
	l.wake.Broadcast()
}

// rewriteLimit spaces automatic rewrites that keep failing (aofRewriteLimited in
// Redis's aof.c): each leaves an increment behind.
type rewriteLimit struct {
	delay time.Duration
	until time.Time
}

const (
	limitAfter = 3 // failures in a row
	limitMax   = time.Hour
)

// RewriteDue reports whether the log has grown by percent since the last rewrite
// (auto-aof-rewrite-percentage; 0 is never) and beyond minSize bytes, and by how
// many percent. After three failures in a row it holds back for one minute, then
// two, four, up to an hour. Ask it about ten times a second, while nothing else
// is being rewritten or saved.
func (l *Log) RewriteDue(percent, minSize int64) (growth int64, due bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if percent <= 0 || l.rw != nil || l.waiting || l.closed || l.st.size <= minSize {
		return 0, false
	}
	growth = l.st.size*100/max(l.st.baseSize, 1) - 100
	if growth < percent || l.limited() {
		return growth, false
	}
	return growth, true
}

// RewriteLimited reports whether rewrites that nobody has asked for should wait, because the latest
// ones have failed: see RewriteDue.
func (l *Log) RewriteLimited() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.limited()
}

func (l *Log) limited() bool {
	if l.st.rewriteFailures < limitAfter {
		l.limit = rewriteLimit{}
		return false
	}
	if !l.limit.until.IsZero() {
		if time.Now().Before(l.limit.until) {
			return true
		}
		l.limit.until = time.Time{}
		return false
	}
	l.limit.delay = min(max(2*l.limit.delay, time.Minute), limitMax)
	l.limit.until = time.Now().Add(l.limit.delay)
	l.o.Warnf("Background AOF rewrite has repeatedly failed and triggered the limit, will retry in %d minutes",
		int(l.limit.delay/time.Minute))
	return true
}
