package engine

import (
	"errors"
	"time"

	"byor/pkg/store"
)

// A Snapshot is the data set of one moment, handed to a sink bit by bit while commands go on
// changing it. Redis forks for this and lets the kernel copy the pages that are written to; here
// the store hands over an entry before it changes (store.Snapshot), and whatever nobody changes is
// walked in slices: some entries are encoded into memory under the engine's lock, then compressed
// and written without it. No command waits longer than a slice.
//
// One snapshot can be under way at a time, whatever it is for: a save, the rewriting of the
// append-only file, or a replica. Redis has that rule for its children, too.
type Snapshot struct {
	Started time.Time
	Keys    int           // at the moment of the snapshot
	Done    int           // handed to the sink
	Longest time.Duration // the longest slice

	e         *Engine
	walk      *store.Snapshot
	sink      Sink
	cancelled bool
	commands  int64         // executed by the engine when the latest slice began
	latest    time.Duration // the latest slice, if commands were executed since the one before
}

// Sink is where a snapshot goes.
type Sink interface {
	// Begin is told what follows; Add takes an entry and AddPiece a piece of one, which are valid
	// during the call only. They run under the engine's lock, encode into memory and do nothing else.
	Begin(dbs []store.SnapshotDB)
	Add(e store.SnapshotEntry)
	AddPiece(p store.SnapshotPiece)
	// Pending returns how many bytes were added since Take, which sets them aside for Flush. Both
	// run under the engine's lock.
	Pending() int
	Take()
	// Flush writes what was set aside. It runs without the lock.
	Flush() error
}

// snapshotSlice is how long a slice may hold the engine's lock, and SnapshotBatch how many bytes it
// may gather: what is larger only waits in memory to be written.
const (
	snapshotSlice = 200 * time.Microsecond
	SnapshotBatch = 256 << 10
	snapshotStep  = 8 // entries between two looks at the clock
)

// ErrCancelled is what Run returns after Cancel.
var ErrCancelled = errors.New("the snapshot was cancelled")

// Snapshot returns the snapshot that is under way, for whatever purpose; nil: there is none. The engine's lock
// must be held.
func (e *Engine) Snapshot() *Snapshot { return e.snap }

// Snapshotting reports whether a snapshot is under way: another has to wait. The engine's lock must
// be held.
func (e *Engine) Snapshotting() bool { return e.snap != nil }

// BeginSnapshot marks the moment. The engine's lock must be held, between two units, and no snapshot
// be under way. Call Run, without the lock, and finally End.
func (e *Engine) BeginSnapshot(sink Sink) *Snapshot {
	sn := &Snapshot{e: e, sink: sink, Started: e.Clock()}
	sn.walk = e.Store.BeginSnapshot(func(e store.SnapshotEntry) {
		sn.Done++
		sink.Add(e)
	})
	sn.walk.InPieces(func(p store.SnapshotPiece) {
		if p.Last {
			sn.Done++
		}
		sink.AddPiece(p)
	})
	dbs := sn.walk.DBs()
	for _, db := range dbs {
		sn.Keys += db.Keys
	}
	sink.Begin(dbs)
	e.snap = sn
	e.world.SnapshotChanged()
	return sn
}

// Run hands the whole data set to the sink. It returns the sink's first error, or
// ErrCancelled. The engine's lock must not be held.
//
// While commands are executed, they get the lock for at least as long as the slices have it: the
// mutex alone would give it back at once to a goroutine that is running anyway.
func (sn *Snapshot) Run() error {
	for {
		more, err := sn.slice()
		if err != nil {
			return err
		}
		released := time.Now()
		if err := sn.sink.Flush(); err != nil {
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
func (sn *Snapshot) slice() (more bool, err error) {
	sn.e.Lock()
	defer sn.e.Unlock()
	if sn.cancelled {
		return false, ErrCancelled
	}
	start, took := time.Now(), time.Duration(0)
	for more = true; more && took < snapshotSlice && sn.sink.Pending() < SnapshotBatch; took = time.Since(start) {
		more = sn.walk.Next(snapshotStep)
	}
	sn.Longest = max(sn.Longest, took)
	sn.latest = 0
	if n := sn.e.Stats.Commands; n != sn.commands {
		sn.commands, sn.latest = n, took
	}
	sn.sink.Take()
	if !more {
		sn.walk.Close() // from here on writes cost no more than they always do
	}
	return more, nil
}

// End ends the snapshot, complete or not, and lets the next one begin. The engine's lock must be
// held.
func (sn *Snapshot) End() {
	sn.walk.Close()
	if sn.e.snap == sn {
		sn.e.snap = nil
		sn.e.world.SnapshotChanged()
	}
}

// Cancel makes Run return soon. The engine's lock must be held.
func (sn *Snapshot) Cancel() {
	sn.cancelled = true
	sn.End()
}
