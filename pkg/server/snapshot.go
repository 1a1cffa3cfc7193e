package server

import (
	"errors"
	"time"

	"byor/pkg/store"
)

// A snapshot is the data set of one moment, handed to a sink bit by bit while commands go on
// changing it. Redis forks for this and lets the kernel copy the pages that are written to; here
// the store hands over an entry before it changes (store.Snapshot), and whatever nobody changes is
// walked in slices: some entries are encoded into memory under the engine's lock, then compressed
// and written without it. No command waits longer than a slice.
//
// One snapshot can be under way at a time, whatever it is for: a save, the rewriting of the
// append-only file, or a replica. Redis has that rule for its children, too.
type snapshot struct {
	s         *Server
	walk      *store.Snapshot
	sink      snapshotSink
	started   time.Time
	cancelled bool
	keys      int           // at the moment of the snapshot
	done      int           // handed to the sink
	longest   time.Duration // the longest slice
	commands  int64         // executed by the server when the latest slice began
	latest    time.Duration // the latest slice, if commands were executed since the one before
}

// snapshotSink is where a snapshot goes.
type snapshotSink interface {
	// begin is told what follows; add takes an entry and addPiece a piece of one, which are valid
	// during the call only. They run under the engine's lock, encode into memory and do nothing else.
	begin(dbs []store.SnapshotDB)
	add(e store.SnapshotEntry)
	addPiece(p store.SnapshotPiece)
	// pending returns how many bytes were added since take, which sets them aside for flush. Both
	// run under the engine's lock.
	pending() int
	take()
	// flush writes what was set aside. It runs without the lock.
	flush() error
}

// snapshotSlice is how long a slice may hold the engine's lock, and snapshotBatch how many bytes it
// may gather: what is larger only waits in memory to be written.
const (
	snapshotSlice = 200 * time.Microsecond
	snapshotBatch = 256 << 10
	snapshotStep  = 8 // entries between two looks at the clock
)

var errSnapshotCancelled = errors.New("the snapshot was cancelled")

// snapshotting reports whether a snapshot is under way: another has to wait. The engine's lock must
// be held.
func (s *Server) snapshotting() bool { return s.snap != nil }

// beginSnapshot marks the moment. The engine's lock must be held, between two units, and no snapshot
// be under way. Call run, without the lock, and finally end.
func (s *Server) beginSnapshot(sink snapshotSink) *snapshot {
	sn := &snapshot{s: s, sink: sink, started: s.clock()}
	sn.walk = s.store.BeginSnapshot(func(e store.SnapshotEntry) {
		sn.done++
		sink.add(e)
	})
	sn.walk.InPieces(func(p store.SnapshotPiece) {
		if p.Last {
			sn.done++
		}
		sink.addPiece(p)
	})
	dbs := sn.walk.DBs()
	for _, db := range dbs {
		sn.keys += db.Keys
	}
	sink.begin(dbs)
	s.snap = sn
	s.configureAOF() // which may hold back syncs now
	return sn
}

// run hands the whole data set to the sink. It returns the sink's first error, or
// errSnapshotCancelled. The engine's lock must not be held.
//
// While commands are executed, they get the lock for at least as long as the slices have it: the
// mutex alone would give it back at once to a goroutine that is running anyway.
func (sn *snapshot) run() error {
	for {
		more, err := sn.slice()
		if err != nil {
			return err
		}
		released := time.Now()
		if err := sn.sink.flush(); err != nil {
			return err
		}
		if !more {
			return nil
		}
		if rest := sn.latest - time.Since(released); rest > 0 {
			time.Sleep(rest)
		}
	}
}

// slice walks a little way and reports whether there is more to walk.
func (sn *snapshot) slice() (more bool, err error) {
	sn.s.lock()
	defer sn.s.unlock()
	if sn.cancelled {
		return false, errSnapshotCancelled
	}
	start, took := time.Now(), time.Duration(0)
	for more = true; more && took < snapshotSlice && sn.sink.pending() < snapshotBatch; took = time.Since(start) {
		more = sn.walk.Next(snapshotStep)
	}
	sn.longest = max(sn.longest, took)
	sn.latest = 0
	if n := sn.s.stats.commands; n != sn.commands {
		sn.commands, sn.latest = n, took
	}
	sn.sink.take()
	if !more {
		sn.walk.Close() // from here on writes cost no more than they always do
	}
	return more, nil
}

// end ends the snapshot, complete or not, and lets the next one begin. The engine's lock must be
// held.
func (sn *snapshot) end() {
	sn.walk.Close()
	if sn.s.snap == sn {
		sn.s.snap = nil
		sn.s.configureAOF()
	}
}

// cancel makes run return soon. The engine's lock must be held.
func (sn *snapshot) cancel() {
	sn.cancelled = true
	sn.end()
}
