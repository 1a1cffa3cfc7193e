package engine

import (
	"math"
	"strings"
	"time"

	"byor/pkg/store"
)

// Eviction: when more memory is in use than maxmemory, keys are deleted until it is not, chosen by
// maxmemory-policy. As in Redis the choice is a guess from samples of maxmemory-samples keys a database
// (evict_pool.go), since to know the best one would cost every look-up a change in a list of all keys; only the
// key that expires next is known exactly, from the heap of deadlines. What counts is what is in use
// (World.CountedMemory), not what Go's runtime has taken from the system.

// evictSlice is how long an eviction may hold up commands by default; the cron goes on where it stopped.
const evictSlice = 500 * time.Microsecond

// OverMemory reports whether more memory is in use than maxmemory.
func (e *Engine) OverMemory() bool {
	return e.Settings.MaxMemory > 0 && e.world.CountedMemory() > e.Settings.MaxMemory && !e.Loading && e.world.MemoryLimited()
}

// evictTime is how long an eviction may hold up commands, by maxmemory-eviction-tenacity, as in Redis.
func (e *Engine) evictTime() time.Duration {
	t := e.Settings.EvictionTenacity
	switch {
	case t == 100:
		return math.MaxInt64
	case t > 10:
		return time.Duration(float64(evictSlice) * math.Pow(1.15, float64(t-10)))
	}
	return evictSlice / 10 * time.Duration(t)
}

// makeRoom evicts keys until the data fit, or a slice of time is over. It reports false when they do not
// fit and there is nothing to evict. While clients are paused the data must not change: then nothing is
// evicted, and no command refused that has to wait anyway. The engine's lock must be held, between two
// units.
func (e *Engine) makeRoom() bool {
	if !e.OverMemory() || e.paused.writes(e.NowMs) {
		return true
	}
	if e.Settings.MaxMemoryPolicy == "noeviction" {
		return false
	}
	start := time.Now()
	defer func() {
		e.standAlone()
		e.EndUnit()
		e.noteLatency("eviction-cycle", time.Since(start))
	}()
	for n := 1; e.OverMemory(); n++ {
		db, entry := e.victim()
		if entry == nil {
			return false
		}
		e.evict(db, entry)
		if n%8 == 0 && time.Since(start) > e.evictTime() {
			break // the cron does the rest: the command may run meanwhile
		}
	}
	return true
}

// EvictCycle goes on with an eviction that took longer than a slice, letting commands in between. It takes
// the lock itself. over, which must not be nil, reports whether it is too late for that.
func (e *Engine) EvictCycle(over func() bool) {
	for again := true; again; {
		e.Lock()
		e.Tick()
		again = !over() && e.OverMemory() && !e.paused.writes(e.NowMs) && e.makeRoom()
		e.ServeReady()
		e.Unlock()
		e.GiveWay()
	}
}

func (e *Engine) evict(db *store.DB, entry *store.Entry) {
	key := entry.Key()
	db.Remove(entry)
	e.Stats.EvictedKeys++
	e.Effect(db.ID(), ToAOF|ToReplicas, [][]byte{deletion(e.Settings.LazyEviction), []byte(key)})
	e.moved(db.ID(), key)
	if e.Keys != nil {
		e.Keys.KeyEvicted(key)
	}
	if e.KeyClasses&ClassEvicted != 0 {
		e.Keys.KeyEvent(ClassEvicted, db.ID(), "evicted", key)
	}
}

// victim chooses the key to evict, by the policy; nil when there is none.
func (e *Engine) victim() (*store.DB, *store.Entry) {
	scope, by, _ := strings.Cut(e.Settings.MaxMemoryPolicy, "-")
	pick := (*store.DB).RandomAny
	if scope == "volatile" {
		pick = (*store.DB).RandomVolatile
	}
	switch by {
	case "lru":
		now := uint32(e.NowMs / 1000)
		return e.pooledVictim(pick, scope == "volatile", func(_ *store.DB, entry *store.Entry) int64 {
			idle := int32(now - entry.AccessSec()) // signed: the clock may have been set back
			return int64(idle) - int64(now)
		})
	case "lfu":
		return e.pooledVictim(pick, scope == "volatile", func(db *store.DB, entry *store.Entry) int64 {
			return 255 - db.Freq(entry)
		})
	case "ttl":
		return e.nextToExpire()
	}
	return e.randomVictim(pick)
}

// nextToExpire returns the entry that expires next in all databases, or nil.
func (e *Engine) nextToExpire() (nextDB *store.DB, next *store.Entry) {
	for i := range e.Store.Len() {
		db := e.Store.DB(i)
		entry := db.NextVolatile()
		if entry != nil && (next == nil || db.ExpireAt(entry) < nextDB.ExpireAt(next)) {
			nextDB, next = db, entry
		}
	}
	return nextDB, next
}

// randomVictim takes the databases in turn.
func (e *Engine) randomVictim(pick func(*store.DB) *store.Entry) (*store.DB, *store.Entry) {
	for range e.Store.Len() {
		e.evictDB = (e.evictDB + 1) % e.Store.Len()
		db := e.Store.DB(e.evictDB)
		if entry := pick(db); entry != nil {
			return db, entry
		}
	}
	return nil, nil
}

// NoteExceeded adds up how long memory is over maxmemory.
func (e *Engine) NoteExceeded() {
	st := &e.Stats
	switch over := e.OverMemory(); {
	case over && st.ExceededSince.IsZero():
		st.ExceededSince = e.Clock()
	case !over && !st.ExceededSince.IsZero():
		st.Exceeded += e.Clock().Sub(st.ExceededSince)
		st.ExceededSince = time.Time{}
	}
}
