// Package engine is what happens to a command: from the moment at which its words are known to the moment at
// which its reply is made, its effect is on the way to the log and the replicas, and whoever waited for it has
// been served. It knows no socket, no file, no replica and no configuration file.
//
// The order in which to read it:
//
//   - command.go, the table of facts about commands, and call.go, what a handler sees;
//   - session.go, the context in which a client's commands run;
//   - execute.go, the one path: Execute refuses, queues or runs;
//   - unit.go, the one outlet: what a unit has changed goes to the listeners as one piece;
//   - keys.go, who else is told what happens to keys;
//   - multi.go and block.go, which are about commands that run later;
//   - inner.go and busy.go, which are about commands inside a command: scripts, also those that take long;
//   - expire.go, evict.go and snapshot.go, which do their work in slices, between commands.
//
// Execution is serial. There is one lock, Engine.Lock, and under it no other concurrency: a handler sees the data
// as if it were alone, as in Redis's single thread. Whoever has the lock must not wait for the world, be it a
// socket or a disk. Input and output go on beside it: a Session gets words from a Peer and appends replies to
// a buffer, and the peer writes when it likes.
//
// The engine guarantees that effects reach each listener in the order of execution, each unit whole; that time
// stands still within a unit; and that a command that was refused has no effect. It does not guarantee
// that anything is safe on a disk: that is for the listeners, and for those who wait for them before they write
// replies.
package engine

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"byor/pkg/pubsub"
	"byor/pkg/store"
)

// Engine executes commands on a data set. Its fields are guarded by its lock, which Lock takes;
// but for Lock and Unlock the same goes for its methods and for those of its sessions.
type Engine struct {
	mu      sync.Mutex
	waiters atomic.Int32 // goroutines that wait for mu

	Store    *store.Store
	Hub      *pubsub.Hub
	Commands map[string]*Command // the table, by the names that clients use
	Settings Settings
	Stats    Stats
	Slowlog  Slowlog
	Latency  LatencyMonitor
	Clock    func() time.Time // the wall clock
	Started  time.Time
	NowMs    int64 // Unix milliseconds, as frozen by Tick

	// Changes counts the changes to the data since it was set to 0 last.
	Changes int64
	// Loading says that the data are being loaded: clients are told so, and effects are nobody's business.
	Loading bool
	// Calm says that nothing around the session can refuse a command now: nothing is being loaded, there is no
	// maxmemory, and World.Refuses would have nothing to say. It is for whoever knows all that; false is always right.
	Calm bool
	// NoActiveExpire keeps keys that have expired until somebody meets them.
	NoActiveExpire bool
	// DebugInScripts lets scripts run DEBUG.
	DebugInScripts bool
	// Blocked are the sessions that wait.
	Blocked map[*Session]struct{}
	// Scripts runs scripts; nil: nobody does.
	Scripts Scripts
	// Running is the session whose commands run.
	Running *Session
	// Keys is told what happens to keys, see ListenToKeys; nil: nobody wants to know.
	Keys       KeyListener
	KeyClasses Class // the events that Keys wants
	// Observe is told of each command that has run, with its arguments, but for those of administrators; nil: nobody wants to know.
	Observe func(c *Session, args [][]byte)

	world     World
	listeners []*Listener
	unit      unit
	spare     [][]byte // see recycle.go
	targets   Target   // who is told of the effects of commands
	frozen    int      // depth of units in which time stands still
	time      moment
	ahead     ahead
	snap      *Snapshot
	full      bool // there was no room for what the running command may add

	inner     Inner     // the script that runs
	innerBuf  []byte    // for the replies to its commands
	busy      *Session  // whose script lets others in; nil: none does
	busyError string    // what they are told
	abandoned bool      // it ends, see Abandon
	idle      sync.Cond // signalled when it has ended

	muting *Session   // whose running command gets no reply
	woken  []*Session // those with output that did not come of their own commands

	watched map[Key]map[*Session]struct{}
	waiting map[Key][]*Session
	ready   []Key

	blockTimer   *time.Timer
	blockTimerMs int64

	pauses    [pausers]Pause
	paused    Pause         // what they come to together
	pauseOver chan struct{} // closed when paused changes; nil if nobody waits for that

	evictDB   int // the database that a random eviction took from last
	evictPool evictPool
}

// Settings are the parameters that execution depends on, with the meaning that they have in redis.conf.
type Settings struct {
	MaxMemory        int64 // bytes, 0 for no limit
	MaxMemoryPolicy  string
	MaxMemorySamples int64
	EvictionTenacity int64 // 0 to 100

	LazyExpire   bool // replicate UNLINK instead of DEL
	LazyUserDel  bool
	LazyEviction bool

	MaxBulk           int64 // bytes of a string
	HLLSparseMaxBytes int64

	LatencyTracking    bool
	LatencyThresholdMs int64
	SlowerThan         time.Duration // what the slow log is for; negative: nothing
	SlowlogMaxLen      int64
	BusyAfter          time.Duration // how long a script may take before others are told, 0 for ever
}

// LFU reports whether the policy counts how often keys are used, instead of noting when.
func (s *Settings) LFU() bool {
	return s.MaxMemoryPolicy == "allkeys-lfu" || s.MaxMemoryPolicy == "volatile-lfu"
}

// World is what the engine has to know of what is around it: files, replicas, a configuration. Its
// methods are called with the engine's lock held and must not block, but for Flushed, which may save: as in Redis,
// nobody is served meanwhile.
type World interface {
	Rights
	// Refuses returns why the command may not run now because of what is around, in Redis's words, or "".
	// flags are the command's, or of EXEC those of all that is queued.
	Refuses(c *Session, cmd *Command, flags Flag) string
	// Protects does the same for a command with the flag Protected.
	Protects(c *Session, cmd *Command) string
	// CountedMemory returns the bytes that count against maxmemory.
	CountedMemory() int64
	// MemoryLimited reports whether maxmemory is to be obeyed now.
	MemoryLimited() bool
	// OwnsExpiry reports whether keys expire by the engine's decision, not by that of a master.
	OwnsExpiry() bool
	// ExpiryFor returns how the command meets expired keys while they are for somebody else to delete: mostly
	// they are hidden from it.
	ExpiryFor(c *Session, cmd *Command) store.ExpiryMode
	// Offset returns how long the stream of effects is.
	Offset() int64
	// SnapshotChanged is told that a snapshot has begun or ended.
	SnapshotChanged()
	// Flushed is told that a command has emptied all databases.
	Flushed()
	// Warn writes a line of the log.
	Warn(format string, args ...any)
	// Log writes a line of the log at a level, from 0 for what helps to find faults to 3 for warnings.
	Log(level int, line string)
}

// New returns an engine with so many empty databases, for the commands in the table, which is its own
// from then on (see Table). A nil clock is the system's, a nil world is one in which there is nothing.
func New(databases int, table map[string]*Command, clock func() time.Time, world World) *Engine {
	if world == nil {
		world = nothing{}
	}
	system := clock == nil
	if system {
		clock = time.Now
	}
	e := &Engine{
		Store: store.New(databases), Hub: pubsub.NewHub(), Commands: table, Clock: clock,
		Settings: Settings{MaxBulk: 512 << 20, HLLSparseMaxBytes: 3000, MaxMemoryPolicy: "noeviction", SlowerThan: -1},
		Blocked:  map[*Session]struct{}{}, watched: map[Key]map[*Session]struct{}{}, waiting: map[Key][]*Session{}, world: world,
	}
	e.time.system = system
	e.Started = clock()
	e.NowMs = e.Started.UnixMilli()
	e.Store.SetNow(e.NowMs)
	e.Store.OnExpire = e.expired
	e.Store.OnReplaced = e.replaced
	e.idle.L = &e.mu
	e.targets = ToAOF | ToReplicas
	if scripting != nil {
		e.Scripts = scripting(e)
	}
	e.ResetStats()
	return e
}

// Lock takes the lock under which everything is executed. Whoever takes it for commands calls Tick next.
// While a script is busy, it waits for its end; see Enter.
func (e *Engine) Lock() {
	e.acquire()
	for e.busy != nil {
		e.idle.Wait()
	}
	e.StandApart()
}

func (e *Engine) acquire() {
	if e.mu.TryLock() {
		return
	}
	e.waiters.Add(1)
	e.mu.Lock()
	e.waiters.Add(-1)
}

// Contended reports whether others wait for the lock.
func (e *Engine) Contended() bool { return e.waiters.Load() > 0 }

// GiveWay lets those have the lock first who wait for it. Whoever takes it many times in a row for work that nobody
// waits for calls this in between, without the lock: Go's mutex alone gives it back to a goroutine that is running
// already, for up to a millisecond, before one that must be woken gets it.
func (e *Engine) GiveWay() {
	const enough = 100 // there may always be somebody
	for i := 0; i < enough && e.Contended(); i++ {
		runtime.Gosched()
	}
}

// Unlock passes on the output that units made for other sessions than their own, and releases the lock.
func (e *Engine) Unlock() {
	e.PassOutput()
	e.mu.Unlock()
}

// Release is Unlock for who has passed the output on.
func (e *Engine) Release() { e.mu.Unlock() }

// PassOutput tells the peers of sessions that others have made output for.
func (e *Engine) PassOutput() {
	if e.Keys != nil && e.busy == nil {
		e.Keys.Settle()
	}
	kept := e.woken[:0]
	for _, c := range e.woken {
		if c.inner != nil { // its reply is being made
			kept = append(kept, c)
			continue
		}
		c.woken = false
		c.peer.Output()
	}
	clear(e.woken[len(kept):])
	e.woken = kept
}

// Wake notes that the session has output that its own goroutine does not know of.
func (e *Engine) Wake(c *Session) {
	if !c.woken {
		c.woken = true
		e.woken = append(e.woken, c)
	}
}

// Log writes a line of the log at a level, from 0 to 3.
func (e *Engine) Log(level int, line string) { e.world.Log(level, line) }

// Warn writes a line of the log.
func (e *Engine) Warn(format string, args ...any) { e.world.Warn(format, args...) }

// Freeze makes time stand still until Thaw. They nest.
func (e *Engine) Freeze() { e.frozen++ }

// Thaw ends what Freeze began.
func (e *Engine) Thaw() { e.frozen-- }

// Frozen reports whether time stands still: the unit that is running is not over with its command.
func (e *Engine) Frozen() bool { return e.frozen > 0 }

// touched tells everybody concerned that a key was created, changed or deleted.
func (c *Call) touched(db *store.DB, key string) {
	c.e.Changes++
	c.e.moved(db.ID(), key)
	if c.e.Keys != nil {
		c.tell(db.ID(), key)
	}
}

func (e *Engine) moved(db int, key string) {
	if len(e.watched) > 0 {
		e.breakWatches(db, key)
	}
	if len(e.waiting) > 0 {
		e.keyReady(db, key)
	}
}

// flushDB empties a database.
func (e *Engine) flushDB(db *store.DB) {
	e.BreakWatchesOf(db.ID(), nil)
	e.AllReady(db.ID())
	e.Changes += int64(db.Len())
	db.Flush()
}

// KeysFlushed tells that keys have gone, or become others, that nobody has told of one by one.
func (e *Engine) KeysFlushed() {
	if e.Keys != nil {
		e.Keys.KeysFlushed()
	}
}

// swapDBs exchanges what two databases hold.
func (e *Engine) swapDBs(a, b *store.DB) {
	if a != b {
		e.BreakWatchesOf(a.ID(), b)
		e.BreakWatchesOf(b.ID(), a)
		e.Store.Swap(a.ID(), b.ID())
		e.AllReady(a.ID())
		e.AllReady(b.ID())
	}
	e.Changes++
}

// nothing is a world without files, replicas and limits.
type nothing struct{}

func (nothing) Refuses(*Session, *Command, Flag) string       { return "" }
func (nothing) Protects(*Session, *Command) string            { return "" }
func (nothing) Forbids(*Session, *Command, [][]byte) string   { return "" }
func (nothing) Allows(*Session, *Command, [][]byte) bool      { return true }
func (nothing) ReadsAnyKey(*Session) bool                     { return true }
func (nothing) CountedMemory() int64                          { return 0 }
func (nothing) MemoryLimited() bool                           { return false }
func (nothing) OwnsExpiry() bool                              { return true }
func (nothing) ExpiryFor(*Session, *Command) store.ExpiryMode { return store.HideExpired }
func (nothing) Offset() int64                                 { return 0 }
func (nothing) SnapshotChanged()                              {}
func (nothing) Flushed()                                      {}
func (nothing) Warn(format string, args ...any)               {}
func (nothing) Log(level int, line string)                    {}
