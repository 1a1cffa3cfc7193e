package server

import (
	"math"
	"strings"
	"time"

	"byor/pkg/store"
)

// Eviction: when more memory is in use than maxmemory, keys are deleted until it is not, chosen by
// maxmemory-policy. As in Redis the choice is a guess from a sample of maxmemory-samples keys a database,
// since to know the best one would cost every look-up a change in a list of all keys; only the key that
// expires next is known exactly, from the heap of deadlines. What counts is what is in use (memory.go), not
// what Go's runtime has taken from the system.

// evictSlice is how long an eviction may hold up commands by default; the cron goes on where it stopped.
const evictSlice = 500 * time.Microsecond

func (s *Server) overMemory() bool {
	return s.cfg.MaxMemory > 0 && s.countedMemory() > s.cfg.MaxMemory && !(s.isReplica() && s.cfg.ReplicaIgnoreMaxMemory) && !s.loading
}

// evictTime is how long an eviction may hold up commands, by maxmemory-eviction-tenacity, as in Redis.
func (s *Server) evictTime() time.Duration {
	t := s.cfg.EvictionTenacity
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
func (s *Server) makeRoom() bool {
	if !s.overMemory() || s.paused.writes(s.nowMs) {
		return true
	}
	if s.cfg.MaxMemoryPolicy == "noeviction" {
		return false
	}
	start := time.Now()
	defer func() {
		s.standAlone()
		s.endUnit()
		s.noteLatency("eviction-cycle", time.Since(start))
	}()
	for n := 1; s.overMemory(); n++ {
		db, e := s.victim()
		if e == nil {
			return false
		}
		s.evict(db, e)
		if n%8 == 0 && time.Since(start) > s.evictTime() {
			break // the cron does the rest: the command may run meanwhile
		}
	}
	return true
}

// evictCycle goes on with an eviction that took longer than a slice, letting commands in between.
func (s *Server) evictCycle() {
	for again := true; again; {
		s.lock()
		s.tick()
		again = !s.down.closed && s.overMemory() && !s.paused.writes(s.nowMs) && s.makeRoom()
		s.serveReady()
		s.unlock()
	}
}

func (s *Server) evict(db *store.DB, e *store.Entry) {
	key := e.Key()
	db.Remove(e)
	s.stats.evictedKeys++
	s.effect(db.ID(), toAOF|toReplicas, [][]byte{deletion(s.cfg.LazyEviction), []byte(key)})
	if len(s.watched) > 0 {
		s.breakWatches(db.ID(), key)
	}
	if len(s.waiting) > 0 {
		s.keyReady(db.ID(), key)
	}
}

// victim chooses the key to evict, by the policy; nil when there is none.
func (s *Server) victim() (*store.DB, *store.Entry) {
	scope, by, _ := strings.Cut(s.cfg.MaxMemoryPolicy, "-")
	pick := (*store.DB).RandomAny
	samples := s.cfg.MaxMemorySamples
	if scope == "volatile" {
		pick = (*store.DB).RandomVolatile
	}
	var score func(db *store.DB, e *store.Entry) int64 // the highest goes
	switch by {
	case "lru":
		score = func(_ *store.DB, e *store.Entry) int64 { // signed: the clock may have been set back
			return int64(int32(uint32(s.nowMs/1000) - e.AccessSec()))
		}
	case "lfu":
		score = func(db *store.DB, e *store.Entry) int64 { return 255 - db.Freq(e) }
	case "ttl":
		pick, samples = (*store.DB).NextVolatile, 1
		score = func(db *store.DB, e *store.Entry) int64 { return -db.ExpireAt(e) }
	case "random":
		return s.randomVictim(pick)
	}
	var bestDB *store.DB
	var best *store.Entry
	var bestScore int64
	for i := range s.store.Len() {
		db := s.store.DB(i)
		for n := int64(0); n < samples && n < int64(db.Len()); n++ {
			e := pick(db)
			if e == nil {
				break
			}
			if sc := score(db, e); best == nil || sc > bestScore {
				bestDB, best, bestScore = db, e, sc
			}
		}
	}
	return bestDB, best
}

// randomVictim takes the databases in turn.
func (s *Server) randomVictim(pick func(*store.DB) *store.Entry) (*store.DB, *store.Entry) {
	for range s.store.Len() {
		s.evictDB = (s.evictDB + 1) % s.store.Len()
		db := s.store.DB(s.evictDB)
		if e := pick(db); e != nil {
			return db, e
		}
	}
	return nil, nil
}
