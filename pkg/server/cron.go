package server

import (
	"time"
)

// expireSlice is how many keys are expired under one hold of the lock: some tens of microseconds, so that
// no command waits longer for it.
const (
	expireSlice = 64
	resizeSlice = 128
)

// cronPeriod is the time between two rounds of the background work, by hz.
func (c *Config) cronPeriod() time.Duration { return time.Second / time.Duration(c.Hz) }

// expireBudget is what a round may spend on expired keys: 25 % of a CPU, and 2 % more for each step of
// active-expire-effort, as in Redis.
func (c *Config) expireBudget() time.Duration {
	return c.cronPeriod() * time.Duration(25+2*(c.ActiveExpireEffort-1)) / 100
}

// cron does the work that is nobody's command, until the server stops.
func (s *Server) cron() {
	period := s.round()
	t := time.NewTicker(period)
	defer t.Stop()
	for {
		if now := s.round(); now != period {
			period = now
			t.Reset(period)
		}
		select {
		case <-s.stop:
			return
		case <-t.C:
		}
		if s.cronIsPaused() {
			continue
		}
		s.expireCycle()
		s.evictCycle()
		s.lock()
		if s.down.closed { // the data are saved already
			s.unlock()
			return
		}
		s.tick()
		s.sampleRates()
		s.noteExceeded()
		s.sampleMemory()
		s.closeIdle()
		s.checkOutputLimits(time.Now())
		s.endPause()
		s.resizeTables()
		s.replicationCron()
		s.persistCron()
		s.unlock()
	}
}

// round returns the time from one round of the cron to the next.
func (s *Server) round() time.Duration {
	s.lock()
	defer s.unlock()
	return s.cfg.cronPeriod()
}

// cronIsPaused reports whether DEBUG PAUSE-CRON holds the background work up.
func (s *Server) cronIsPaused() bool {
	s.lock()
	defer s.unlock()
	return s.cronPaused
}

// expireCycle deletes expired keys in slices, letting commands in between.
func (s *Server) expireCycle() {
	start := time.Now()
	s.lock()
	budget := s.cfg.expireBudget()
	s.unlock()
	capped := s.expireAll(start, budget)
	s.lock()
	s.stats.expireTime += time.Since(start)
	s.stats.expireCapped += int64(btoi(capped))
	s.stats.stalePerc = 0
	if capped {
		s.stats.stalePerc = s.staleShare() * 100
	}
	s.unlock()
}

// staleShare guesses which part of the keys with an expiry time has passed it, from some of each database.
func (s *Server) staleShare() float64 {
	const samples = 20
	seen, stale := 0, 0
	for i := range s.store.Len() {
		db := s.store.DB(i)
		for range min(samples, db.Expires()) {
			if e := db.RandomVolatile(); e != nil {
				seen++
				stale += btoi(db.ExpireAt(e) <= s.nowMs)
			}
		}
	}
	return float64(stale) / float64(max(seen, 1))
}

// noteExceeded adds up how long memory is over maxmemory.
func (s *Server) noteExceeded() {
	st := &s.stats
	switch over := s.overMemory(); {
	case over && st.exceededSince.IsZero():
		st.exceededSince = s.clock()
	case !over && !st.exceededSince.IsZero():
		st.exceeded += s.clock().Sub(st.exceededSince)
		st.exceededSince = time.Time{}
	}
}

// expireAll goes through the databases and reports whether it had to stop because the budget was used up.
func (s *Server) expireAll(start time.Time, budget time.Duration) (capped bool) {
	for db := 0; db < s.store.Len(); db++ {
		for {
			s.lock()
			s.tick()
			n := 0
			if !s.loading && !s.noActiveExpire && !s.paused.writes(s.nowMs) {
				n = s.expireSlice(db)
			}
			s.unlock()
			if n < expireSlice {
				break
			}
			if time.Since(start) > budget {
				return true
			}
		}
	}
	return false
}

// expireSlice deletes some of the keys of a database that have expired, and returns how many. A replica
// leaves that to its master, but for the keys that the master does not know.
func (s *Server) expireSlice(db int) int {
	n := s.store.DB(db).ExpireDue(expireSlice)
	if db == 0 && s.isReplica() {
		s.expireOwn(expireSlice)
	}
	s.standAlone()
	s.endUnit()
	s.serveReady()
	return n
}

// closeIdle closes clients that have been silent for longer than the timeout parameter allows.
// Those that wait for something to be sent to them are not idle.
func (s *Server) closeIdle() {
	if s.cfg.Timeout == 0 {
		return
	}
	for _, c := range s.clients {
		if c.blocked == nil && c.subs.count() == 0 && !c.has(flagReplica|flagMaster|flagMonitor) &&
			s.nowMs-c.activeMs > s.cfg.Timeout*1000 {
			s.logf(LevelVerbose, "Closing idle client")
			s.end(c, EndIdle)
		}
	}
}

// resizeTables goes on with the resizing of tables that nobody uses, and reports whether it may.
func (s *Server) resizeTables() bool {
	if !s.cfg.ActiveRehashing {
		return false
	}
	for i := range s.store.Len() {
		s.store.DB(i).StepResize(resizeSlice)
	}
	return true
}
