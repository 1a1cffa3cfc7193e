package aof

import (
	"errors"
	"time"
)

// What runs once a second beside the commits, what is reported, and the end.

// start starts the background goroutine; Close ends it.
func (l *Log) start() {
	go func() {
		defer close(l.done)
		t := time.NewTicker(time.Second)
		defer t.Stop()
		dirty, rest := l.dirty, time.NewTimer(0)
		defer rest.Stop()
		for {
			select {
			case <-t.C:
				l.tick()
			case <-dirty:
				l.begin()
				dirty = nil
				rest.Reset(earlyEvery)
			case <-rest.C:
				dirty = l.dirty
			case <-l.stop:
				return
			}
		}
	}()
}

// tick tries again what could not be written, writes what was appended without a
// Commit (an expired key's DEL), and under everysec syncs.
func (l *Log) tick() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.busy && !l.closed && l.fatal == nil && (l.st.writeErr != nil || !l.settled(l.end)) {
		l.lead()
	}
	if Policy(l.policy.Load()) == EverySec && !l.hold.Load() {
		l.backgroundSync()
	}
}

// backgroundSync syncs the file while others go on writing to it. mu is given up
// meanwhile; syncing keeps a rewrite from closing the file.
func (l *Log) backgroundSync() {
	if l.file == nil || l.syncing || l.crossing || l.closed || l.written.Load() == l.synced.Load() {
		return
	}
	l.syncing, l.syncStart = true, time.Now()
	file, upTo := l.file, l.written.Load()
	l.mu.Unlock()
	err := file.Sync()
	l.mu.Lock()
	l.syncing = false
	l.st.syncErr = err
	if err != nil {
		l.o.Warnf("Fail to fsync the AOF file: %s", Strerror(err))
	} else if l.synced.Load() < upTo {
		l.synced.Store(upTo)
	}
	l.wake.Broadcast()
}

// Status is the state of a log, for INFO and for deciding on MISCONF. Sizes are
// in bytes.
type Status struct {
	// Err is the write or sync error that stands, nil if all is well
	// (aof_last_write_status). While it stands the server should refuse writes:
	// "-MISCONF Errors writing to the AOF file: " + Strerror(Err).
	Err error
	// Fatal is the failure under always after which nothing will be written any more: the
	// *FatalError that Commit returns. The server must exit.
	Fatal error

	Size         int64 // aof_current_size: base and increments
	BaseSize     int64 // aof_base_size: Size after the last rewrite
	Pending      int   // aof_buffer_length: appended and not yet written
	PendingSync  bool  // aof_pending_bio_fsync
	DelayedSyncs int64 // aof_delayed_fsync

	Waiting         bool  // created by Create and without a base so far
	Rewriting       bool  // aof_rewrite_in_progress
	Rewrites        int64 // aof_rewrites
	RewriteFailures int64 // aof_rewrites_consecutive_failures
	LastRewriteOK   bool  // aof_last_bgrewrite_status
}

// Status reports the state as it is now.
func (l *Log) Status() Status {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := Status{
		Err:             l.st.writeErr,
		Fatal:           l.fatal,
		Size:            l.st.size,
		BaseSize:        l.st.baseSize,
		Pending:         int(l.end - l.written.Load()),
		PendingSync:     l.syncing,
		DelayedSyncs:    l.st.delayed,
		Waiting:         l.waiting,
		Rewriting:       l.rw != nil,
		Rewrites:        l.st.rewrites,
		RewriteFailures: l.st.rewriteFailures,
		LastRewriteOK:   l.st.lastRewriteOK,
	}
	if s.Err == nil {
		s.Err = l.st.syncErr
	}
	return s
}

// Flush writes and syncs everything appended so far, whatever the policy.
func (l *Log) Flush() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.flush()
}

// flush leaves with mu held and no leader at work.
func (l *Log) flush() error {
	end := l.end
	seen := l.failures
	for l.busy || l.written.Load() < end {
		switch {
		case l.busy:
			l.wake.Wait()
		case l.fatal != nil:
			return l.fatal
		case l.failures != seen:
			return &WriteError{l.st.lastErr}
		default:
			l.lead()
		}
	}
	if l.file == nil || l.synced.Load() >= l.written.Load() {
		return nil
	}
	l.busy = true
	file, upTo := l.file, l.written.Load()
	l.mu.Unlock()
	err := file.Sync()
	l.mu.Lock()
	l.busy = false
	l.wake.Broadcast()
	l.st.syncErr = err
	if err != nil {
		l.o.Warnf("Fail to fsync the AOF file: %s", Strerror(err))
		return &WriteError{err}
	}
	l.synced.Store(max(l.synced.Load(), upTo))
	return nil
}

// LastIncr returns the number of the latest increment.
func (l *Log) LastIncr() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.highIncr
}

// Close writes and syncs what was appended, whatever the policy, and closes the
// file. A rewrite under way is abandoned and leaves no trace that counts.
// Commits that wait are answered before it returns.
func (l *Log) Close() error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil
	}
	err := l.flush()
	if l.rw != nil {
		l.rw.aborted.Store(true)
	}
	for l.busy || l.syncing || l.beginning || l.installing {
		l.wake.Wait()
	}
	l.closed = true
	if l.waiting {
		l.discard()
	}
	file := l.file
	l.file = nil
	l.wake.Broadcast()
	l.mu.Unlock()
	close(l.stop)
	<-l.done
	if file != nil {
		err = errors.Join(err, file.Close())
	}
	return err
}

// ForgetDelays lets the count of delayed syncs begin again (CONFIG RESETSTAT).
func (l *Log) ForgetDelays() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.st.delayed = 0
}
