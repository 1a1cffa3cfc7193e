package server

import (
	"time"

	"byor/pkg/engine"
)

// resizeSlice is how many places of a table are moved under one hold of the lock.
const resizeSlice = 128

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
		s.eng.ExpireCycle(s.expireBudget(), s.expireOwn)
		s.eng.EvictCycle(s.ended)
		s.eng.Lock()
		if s.down.closed { // the data are saved already
			s.eng.Unlock()
			return
		}
		s.eng.Tick()
		s.sampleRates()
		s.eng.NoteExceeded()
		s.sampleMemory()
		s.closeIdle()
		s.memory.spared = 0 // it may be less by now
		s.evictClients()
		s.checkOutputLimits(time.Now())
		s.eng.EndPause()
		s.resizeTables()
		s.replicationCron()
		s.files.Cron()
		s.eng.Unlock()
	}
}

// round returns the time from one round of the cron to the next.
func (s *Server) round() time.Duration {
	s.eng.Lock()
	defer s.eng.Unlock()
	return s.cfg.CronPeriod()
}

// cronIsPaused reports whether DEBUG PAUSE-CRON holds the background work up.
func (s *Server) cronIsPaused() bool {
	s.eng.Lock()
	defer s.eng.Unlock()
	return s.cronPaused
}

// expireBudget returns what a round may spend on expired keys.
func (s *Server) expireBudget() time.Duration {
	s.eng.Lock()
	defer s.eng.Unlock()
	return s.cfg.ExpireBudget()
}

// ended reports whether the data have been saved for the last time. The engine's lock must be held.
func (s *Server) ended() bool { return s.down.closed }

// closeIdle closes clients that have been silent for longer than the timeout parameter allows.
// Those that wait for something to be sent to them are not idle.
func (s *Server) closeIdle() {
	if s.cfg.Timeout == 0 {
		return
	}
	for _, c := range s.clients {
		if c.Blocked == nil && c.Subs.Count() == 0 && !c.Has(engine.ModeReplica|engine.ModeMaster|engine.ModeMonitor) &&
			s.eng.NowMs-c.ActiveMs > s.cfg.Timeout*1000 {
			s.logf(levelVerbose, "Closing idle client")
			s.end(c, EndIdle)
		}
	}
}

// resizeTables goes on with the resizing of tables that nobody uses, and reports whether it may.
func (s *Server) resizeTables() bool {
	if !s.cfg.ActiveRehashing {
		return false
	}
	for i := range s.eng.Store.Len() {
		s.eng.Store.DB(i).StepResize(resizeSlice)
	}
	return true
}
