package server

import (
	"math/bits"
	"strings"
	"time"
)

// stats are the counters of INFO. Guarded by the engine's lock.
type stats struct {
	commands                  int64
	connections               int64
	rejectedConnections       int64
	expiredKeys               int64
	evictedKeys               int64
	hits, misses              int64
	outputLimitDisconnections int64
	errors                    map[string]int64
	totalErrors               int64
	syncFull, syncPartialOK   int64
	syncPartialErr            int64
	peakMem                   int64
	payloadsChecked           int64         // of RESTORE
	expireTime                time.Duration // spent on expired keys by the cron
	expireCapped              int64         // rounds in which that was all that may be spent

	unexpectedErrors int64         // replied to a master, to a replica, or to a file
	stalePerc        float64       // of the keys with an expiry time, how many were seen to have passed it
	exceeded         time.Duration // how long memory was over maxmemory, until it no longer was
	exceededSince    time.Time     // zero when it is not

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
	all, threaded := s.trafficNow()
	s.stats = stats{
		errors: map[string]int64{}, peakMem: s.stats.peakMem, lastSampleMs: s.nowMs,
		before: all, beforeThreaded: threaded, lastTraffic: all,
	}
}

// maxErrorKinds bounds INFO errorstats, since a client can make up codes with its own errors.
const maxErrorKinds = 128

func (s *Server) countError(msg string) {
	s.stats.totalErrors++
	code, _, _ := strings.Cut(msg, " ")
	if _, known := s.stats.errors[code]; known || len(s.stats.errors) < maxErrorKinds {
		s.stats.errors[code]++
	}
}

// ratePeriodMs is the least time between two samples, whatever hz is.
const ratePeriodMs = 95

// sampleRates notes how much there was a second since the last sample.
func (s *Server) sampleRates() {
	st := &s.stats
	ms := s.nowMs - st.lastSampleMs
	if ms < ratePeriodMs {
		return
	}
	all, _ := s.trafficNow()
	t := all.minus(st.lastTraffic)
	st.rates[st.ratesAt] = rates{(st.commands - st.lastCommands) * 1000 / ms, traffic{
		in: t.in * 1000 / ms, out: t.out * 1000 / ms, replIn: t.replIn * 1000 / ms, replOut: t.replOut * 1000 / ms,
	}}
	st.ratesAt = (st.ratesAt + 1) % len(st.rates)
	st.lastCommands, st.lastTraffic, st.lastSampleMs = st.commands, all, s.nowMs
}

// rate returns the mean of the samples of what pick picks.
func (st *stats) rate(pick func(r *rates) int64) int64 {
	var sum int64
	for i := range st.rates {
		sum += pick(&st.rates[i])
	}
	return sum / int64(len(st.rates))
}

// latencyHist counts durations in buckets that double: bucket i holds those below 2^i ns.
type latencyHist struct {
	count   int64
	buckets [48]uint32
}

func (h *latencyHist) add(d time.Duration) {
	h.count++
	h.buckets[min(bits.Len64(uint64(max(d, 0))), len(h.buckets)-1)]++
}

// percentile returns the upper bound, in microseconds, of the bucket in which the p-th percentile
// lies.
func (h *latencyHist) percentile(p float64) float64 {
	want := int64(p / 100 * float64(h.count))
	var seen int64
	for i, n := range h.buckets {
		if seen += int64(n); seen > want || seen == h.count {
			return float64(int64(1)<<i) / 1000
		}
	}
	return 0
}

// slowlog keeps the latest commands that took long.
type slowlog struct {
	nextID  int64
	entries []slowEntry // the latest last
}

type slowEntry struct {
	id     int64
	unix   int64
	us     int64
	args   []string
	client string
	name   string
}

// What of a slow command is kept: so many arguments, so many bytes of each.
const (
	slowlogMaxArgs   = 32
	slowlogMaxString = 128
)

func (l *slowlog) add(s *Server, c *Client, args [][]byte, took time.Duration) {
	if s.cfg.SlowlogMaxLen == 0 {
		return
	}
	e := slowEntry{id: l.nextID, unix: s.nowMs / 1000, us: took.Microseconds(), client: c.addr, name: c.name}
	l.nextID++
	for i, a := range args {
		if i == slowlogMaxArgs-1 && len(args) > slowlogMaxArgs {
			e.args = append(e.args, "... ("+itoa(len(args)-i)+" more arguments)")
			break
		}
		if len(a) > slowlogMaxString {
			e.args = append(e.args, string(a[:slowlogMaxString])+"... ("+itoa(len(a)-slowlogMaxString)+" more bytes)")
		} else {
			e.args = append(e.args, string(a))
		}
	}
	l.entries = append(l.entries, e)
	l.trim(s.cfg.SlowlogMaxLen)
}

func (l *slowlog) trim(n int64) {
	if over := int64(len(l.entries)) - n; over > 0 {
		l.entries = append([]slowEntry{}, l.entries[over:]...)
	}
}

// latencyMonitor keeps the spikes of LATENCY LATEST and HISTORY: an event's worst latency in each of
// the last seconds in which it passed latency-monitor-threshold.
type latencyMonitor struct {
	events map[string]*latencyEvent
}

type latencyEvent struct {
	maxMs   int64
	samples []latencySample // the latest last
}

type latencySample struct{ unix, ms int64 }

const latencyHistory = 160

func (s *Server) noteLatency(event string, took time.Duration) {
	ms := took.Milliseconds()
	if s.cfg.LatencyThresholdMs == 0 || ms < s.cfg.LatencyThresholdMs {
		return
	}
	if s.latency.events == nil {
		s.latency.events = map[string]*latencyEvent{}
	}
	e := s.latency.events[event]
	if e == nil {
		e = &latencyEvent{}
		s.latency.events[event] = e
	}
	e.maxMs = max(e.maxMs, ms)
	now := s.nowMs / 1000
	if n := len(e.samples); n > 0 && e.samples[n-1].unix == now {
		e.samples[n-1].ms = max(e.samples[n-1].ms, ms)
		return
	}
	e.samples = append(e.samples, latencySample{now, ms})
	if len(e.samples) > latencyHistory {
		e.samples = append([]latencySample{}, e.samples[1:]...)
	}
}
