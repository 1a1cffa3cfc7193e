package collector

import (
	"math"
	"runtime/debug"
)

// maxmemory limits what is in use. The process takes more from the system, because garbage gathers: half as much as
// there is data before the server begins a collection, and more if values come and go faster than it looks. A machine
// that has just maxmemory to spare runs out of it. So Go is told of a limit too (runtime/debug.SetMemoryLimit). Far
// below the limit nothing changes. Near it the collector runs earlier, which costs processor time and saves memory.
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

// Limit brings the collector's limit up to date: maxMemory is the setting, 0 for none, used what is in use, in bytes.
// Changes of less than an eighth wait, as each stops the process for a moment.
func (c *Collector) Limit(maxMemory, used int64) {
	if !c.owns("GOMEMLIMIT") {
		return // several servers share the heap, or the user has decided
	}
	limit, now := heapLimit(maxMemory, used), c.limit
	if maxMemory == c.limitFor && (maxMemory == 0 || limit > now-now/8 && limit < now+now/8) {
		return
	}
	c.limit, c.limitFor = limit, maxMemory
	debug.SetMemoryLimit(limit)
}
