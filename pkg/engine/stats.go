package engine

import (
	"math/bits"
	"strconv"
	"strings"
	"time"
)

// Stats are the counters of what was executed, for INFO.
type Stats struct {
	Commands         int64
	Hits, Misses     int64 // of look-ups of keys
	PayloadsChecked  int64 // of RESTORE
	ExpiredKeys      int64
	EvictedKeys      int64
	Errors           map[string]int64 // by their codes
	TotalErrors      int64
	UnexpectedErrors int64 // replied to a master, to a replica, or to a file

	ExpireTime    time.Duration // spent on expired keys in the background
	ExpireCapped  int64         // rounds in which that was all that may be spent
	StalePerc     float64       // of the keys with an expiry time, how many were seen to have passed it
	Exceeded      time.Duration // how long memory was over maxmemory, until it no longer was
	ExceededSince time.Time     // zero when it is not
}

// ResetStats lets the counters begin again.
func (e *Engine) ResetStats() { e.Stats = Stats{Errors: map[string]int64{}} }

// maxErrorKinds bounds INFO errorstats, since a client can make up codes with its own errors.
const maxErrorKinds = 128

// maxErrorCode is how long the code may be that an error opens with.
const maxErrorCode = 30

func (e *Engine) countError(msg string) {
	e.Stats.TotalErrors++
	code, _, ok := strings.Cut(msg, " ")
	if !ok || len(code) > maxErrorCode {
		code = "ERR" // it has none
	}
	if _, known := e.Stats.Errors[code]; known || len(e.Stats.Errors) < maxErrorKinds {
		e.Stats.Errors[code]++
	}
}

// Histogram counts durations in buckets that double: bucket i holds those below 2^i ns.
type Histogram struct {
	Count   int64
	Buckets [48]uint32
}

func (h *Histogram) add(d time.Duration) {
	h.Count++
	h.Buckets[min(bits.Len64(uint64(max(d, 0))), len(h.Buckets)-1)]++
}

// Percentile returns the upper bound, in microseconds, of the bucket in which the p-th percentile
// lies.
func (h *Histogram) Percentile(p float64) float64 {
	want := int64(p / 100 * float64(h.Count))
	var seen int64
	for i, n := range h.Buckets {
		if seen += int64(n); seen > want || seen == h.Count {
			return float64(int64(1)<<i) / 1000
		}
	}
	return 0
}

// Slowlog keeps the latest commands that took long.
type Slowlog struct {
	Entries []SlowEntry // the latest last
	nextID  int64
}

// SlowEntry is a command that took long.
type SlowEntry struct {
	ID     int64
	Unix   int64 // seconds
	Us     int64
	Args   []string
	Client string // its address
	Name   string
}

// What of a slow command is kept: so many arguments, so many bytes of each.
const (
	slowlogMaxArgs   = 32
	slowlogMaxString = 128
)

func (l *Slowlog) add(e *Engine, c *Session, args [][]byte, took time.Duration) {
	if e.Settings.SlowlogMaxLen == 0 {
		return
	}
	entry := SlowEntry{ID: l.nextID, Unix: e.NowMs / 1000, Us: took.Microseconds(), Client: c.Addr, Name: c.Name}
	l.nextID++
	for i, a := range args {
		if i == slowlogMaxArgs-1 && len(args) > slowlogMaxArgs {
			entry.Args = append(entry.Args, "... ("+strconv.Itoa(len(args)-i)+" more arguments)")
			break
		}
		if len(a) > slowlogMaxString {
			entry.Args = append(entry.Args, string(a[:slowlogMaxString])+"... ("+strconv.Itoa(len(a)-slowlogMaxString)+" more bytes)")
		} else {
			entry.Args = append(entry.Args, string(a))
		}
	}
	l.Entries = append(l.Entries, entry)
	l.Trim(e.Settings.SlowlogMaxLen)
}

// Trim leaves the latest n.
func (l *Slowlog) Trim(n int64) {
	if over := int64(len(l.Entries)) - n; over > 0 {
		l.Entries = append([]SlowEntry{}, l.Entries[over:]...)
	}
}

// LatencyMonitor keeps the spikes of LATENCY LATEST and HISTORY: an event's worst latency in each of
// the last seconds in which it passed latency-monitor-threshold.
type LatencyMonitor struct {
	Events map[string]*LatencyEvent
}

// LatencyEvent is what is known of an event.
type LatencyEvent struct {
	MaxMs   int64
	Samples []LatencySample // the latest last
}

// LatencySample is a second, and the worst that happened in it.
type LatencySample struct{ Unix, Ms int64 }

const latencyHistory = 160

// noteLatency notes how long an event took, if that is worth it.
func (e *Engine) noteLatency(event string, took time.Duration) {
	ms := took.Milliseconds()
	if e.Settings.LatencyThresholdMs == 0 || ms < e.Settings.LatencyThresholdMs {
		return
	}
	if e.Latency.Events == nil {
		e.Latency.Events = map[string]*LatencyEvent{}
	}
	ev := e.Latency.Events[event]
	if ev == nil {
		ev = &LatencyEvent{}
		e.Latency.Events[event] = ev
	}
	ev.MaxMs = max(ev.MaxMs, ms)
	now := e.NowMs / 1000
	if n := len(ev.Samples); n > 0 && ev.Samples[n-1].Unix == now {
		ev.Samples[n-1].Ms = max(ev.Samples[n-1].Ms, ms)
		return
	}
	ev.Samples = append(ev.Samples, LatencySample{now, ms})
	if len(ev.Samples) > latencyHistory {
		ev.Samples = append([]LatencySample{}, ev.Samples[1:]...)
	}
}
