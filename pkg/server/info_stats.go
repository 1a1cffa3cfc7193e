package server

// stats are the counters of INFO that are about connections and the time; those of commands and keys are the
// engine's. Guarded by the engine's lock.
type stats struct {
	connections               int64
	rejectedConnections       int64
	outputLimitDisconnections int64
	evictedClients            int64 // by maxmemory-clients
	syncFull, syncPartialOK   int64
	syncPartialErr            int64
	peakMem                   int64

	before, beforeThreaded traffic // when counting began
	rates                  [16]rates
	ratesAt                int
	lastCommands           int64
	lastTraffic            traffic
	lastSampleMs           int64
}

// rates are per second, as sampled by the cron.
type rates struct {
	commands int64
	traffic  traffic
}

// resetStats lets the counters begin again. The highest memory use stays, as in Redis.
func (s *Server) resetStats() {
	s.eng.ResetStats()
	all, threaded := s.trafficNow()
	s.stats = stats{
		peakMem: s.stats.peakMem, lastSampleMs: s.eng.NowMs,
		before: all, beforeThreaded: threaded, lastTraffic: all,
	}
}

// ratePeriodMs is the least time between two samples, whatever hz is.
const ratePeriodMs = 95

// sampleRates notes how much there was a second since the last sample.
func (s *Server) sampleRates() {
	st := &s.stats
	ms := s.eng.NowMs - st.lastSampleMs
	if ms < ratePeriodMs {
		return
	}
	all, _ := s.trafficNow()
	t := all.minus(st.lastTraffic)
	st.rates[st.ratesAt] = rates{(s.eng.Stats.Commands - st.lastCommands) * 1000 / ms, traffic{
		in: t.in * 1000 / ms, out: t.out * 1000 / ms, replIn: t.replIn * 1000 / ms, replOut: t.replOut * 1000 / ms,
	}}
	st.ratesAt = (st.ratesAt + 1) % len(st.rates)
	st.lastCommands, st.lastTraffic, st.lastSampleMs = s.eng.Stats.Commands, all, s.eng.NowMs
}

// rate returns the mean of the samples of what pick picks.
func (st *stats) rate(pick func(r *rates) int64) int64 {
	var sum int64
	for i := range st.rates {
		sum += pick(&st.rates[i])
	}
	return sum / int64(len(st.rates))
}
