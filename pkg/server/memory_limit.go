package server

import (
	"math"
	"os"
	"runtime/debug"
)

// maxmemory limits what is in use. The process takes more from the system, because Go's collector lets garbage gather
// until there is as much of it as there is data. That is twice maxmemory. A machine with half as much to spare runs
// out of it. So the collector is told of a limit too (runtime/debug.SetMemoryLimit). Far below the limit nothing
// changes. Near it the collector runs earlier, which costs processor time and saves memory: while three times a
// maxmemory of 200 MB was written, the process took 272 MB instead of 427, for 23 % more processor time.
//
// The limit is never less than what is in use needs: a replica may hold more than maxmemory, and so may a server
// with the policy noeviction that has loaded a larger file. A collector with a limit that it cannot keep would run
// all the time and find nothing.

// The limit is what is in use and a quarter, for garbage and the rooms between objects, and what the runtime and
// the buffers of clients take however little data there is.
const (
	limitShare = 4
	limitBase  = 32 << 20
)

// heapLimit returns the collector's limit in bytes.
func heapLimit(maxMemory, used int64) int64 {
	if maxMemory == 0 {
		return math.MaxInt64
	}
	n := max(maxMemory, used)
	if n > math.MaxInt64/2 {
		return math.MaxInt64
	}
	return n + n/limitShare + limitBase
}

// limitHeap brings the collector's limit up to date. Changes of less than an eighth wait, as each stops the process
// for a moment. The engine's lock must be held.
func (s *Server) limitHeap(used int64) {
	if !s.wholeProcess || os.Getenv("GOMEMLIMIT") != "" {
		return // several servers share the heap, or the user has decided
	}
	m := s.cfg.MaxMemory
	limit, now := heapLimit(m, used), s.memory.limit
	if m == s.memory.limitFor && (m == 0 || limit > now-now/8 && limit < now+now/8) {
		return
	}
	s.memory.limit, s.memory.limitFor = limit, m
	debug.SetMemoryLimit(limit)
}
