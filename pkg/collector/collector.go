// Package collector decides, for a server that has a process for itself, when Go's garbage collector runs and how
// much memory it may take. It imports only the standard library.
package collector

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync/atomic"
)

// When the collector runs, and how much it may leave lying about.
//
// Go's rule is: run when the heap has grown by GOGC per cent, 100 if nobody says otherwise, and be done by then.
// It begins when at least 70 % of that growth is used up. A goroutine that allocates while it runs has to help, the
// more the less is left. For a server that is loaded with ten million keys that is too late: marking takes seconds,
// and the heap is at its goal before that. In one marking of 269 ms, the commands of clients had 209 ms of it to do.
//
// The server knows better when to begin, since it counts what is in use. It knows what was allocated
// since the latest collection, too. The difference is garbage, and while keys are loaded there is next to none. So
// Go's goal is put far away, and the server itself begins a collection: when there is enough garbage to make it worth
// while, or half of the way to the goal is used up. Nobody needs to help then, since the other half lasts longer than
// the marking. While ten million keys were loaded there had been 11 collections.
//
// The goal stays as the last resort, for values that come and go faster than the server looks, ten times a second.

const (
	// growth is GOGC, in per cent. The garbage that there really is depends on garbageShare.
	growth = 300
	// garbageShare is the part of what is alive that may lie about as garbage: one of so many.
	garbageShare = 2
	// garbageLeast is not worth a collection, in bytes.
	garbageLeast = 32 << 20
	// growthLeast is how much a small heap must have grown for the server to be earlier than Go, in bytes.
	growthLeast = 8 << 20
	// When next to nothing is asked for, nobody minds a collection, and less garbage is worth one: calmRounds of the
	// cron with at most calmCommands each.
	calmShare    = 32
	calmLeast    = 4 << 20
	calmRounds   = 5
	calmCommands = 10
	// leastPs is the least GOMAXPROCS while the server has garbage collected. Go lets a quarter of the Ps mark. A
	// quarter of two is none and a half, so marking takes turns with everything else on each P, also on that of a
	// loop, for up to 10 ms. A quarter of four is one. It is a thread of its own then, and the kernel shares out the
	// processors, better than by turns. While four million keys were loaded, the longest wait fell from 25 ms to 10
	// (the machine itself: 5 and 9). At other times more Ps than processors only cost: 10 % of what is served at -P 1.
	leastPs = 4
)

// Collector decides when to collect. The zero value leaves everything to Go. Its methods must be called under one
// lock of the caller's, but for Now.
type Collector struct {
	// Whole says that the server may decide for the whole process.
	Whole bool

	cycles    int64 // that have ended in this process
	allocated int64 // bytes, in all, when the latest was noticed
	used      int64 // bytes, at that time
	commands  int64 // that had been executed when Begin looked last
	calm      int   // how many looks in a row found hardly more than the one before
	running   atomic.Bool

	limit, limitFor int64 // the heap's limit, and the maxmemory it was worked out from; see Limit
}

// collection is the collector as Go's runtime sees it.
type collection struct {
	cycles    int64 // ended
	allocated int64 // bytes since the process began
	live      int64 // bytes that the latest found alive
	objects   int64 // bytes of what is alive or not swept yet
	goal      int64 // bytes at which the next ought to have ended
	free      int64 // bytes that nobody uses, and that the system has not got back
}

func readCollection() collection {
	m := []metrics.Sample{{Name: "/gc/cycles/total:gc-cycles"}, {Name: "/gc/heap/allocs:bytes"}, {Name: "/gc/heap/live:bytes"},
		{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/gc/heap/goal:bytes"}, {Name: "/memory/classes/heap/free:bytes"}}
	metrics.Read(m)
	n := func(i int) int64 { return int64(m[i].Value.Uint64()) }
	return collection{n(0), n(1), n(2), n(3), n(4), n(5)}
}

// owns reports whether the server may decide what the variable of the environment else decides.
func (c *Collector) owns(variable string) bool { return c.Whole && os.Getenv(variable) == "" }

// Start puts Go's goal away.
func (c *Collector) Start() {
	if c.owns("GOGC") {
		debug.SetGCPercent(growth)
	}
}

// psBefore is GOMAXPROCS as it is at other times, while a collection of the server's has raised it; else 0.
var psBefore atomic.Int32

// UsualPs returns how many Ps there are at other times than during a collection. It is safe for concurrent use.
func UsualPs() int {
	if n := psBefore.Load(); n > 0 {
		return int(n)
	}
	return runtime.GOMAXPROCS(0)
}

// Now collects garbage and returns when that is done. Nothing need be locked, and nothing that others wait for
// should be.
func (c *Collector) Now() {
	n := runtime.GOMAXPROCS(0)
	// Fewer than processors: a container gets so much time and no more. Threads beyond it would use that up and stand.
	whole := n == runtime.NumCPU()
	if whole && n < leastPs && c.owns("GOMAXPROCS") && psBefore.CompareAndSwap(0, int32(n)) {
		runtime.GOMAXPROCS(leastPs)
		defer func() {
			runtime.SetDefaultGOMAXPROCS() // and not n: Go follows the limit of a container again
			psBefore.Store(0)
		}()
	}
	runtime.GC()
}

// isCalm reports whether next to nothing is asked for, when so many commands have been executed.
func (c *Collector) isCalm(commands int64) bool {
	if c.calm++; commands-c.commands > calmCommands {
		c.calm = 0
	}
	c.commands = commands
	return c.calm >= calmRounds
}

// due reports whether a collection is worth while, when so many bytes are in use.
func (c *Collector) due(now collection, used int64, calm bool) bool {
	if now.cycles != c.cycles {
		c.cycles, c.allocated, c.used = now.cycles, now.allocated, used
	}
	room := max(now.goal-now.live, 0)
	garbage := now.allocated - c.allocated - (used - c.used)
	return garbage > max(min(now.live/garbageShare, room/2), garbageLeast) ||
		calm && max(garbage, now.free) > max(now.live/calmShare, calmLeast) ||
		now.objects > now.live+max(room/2, growthLeast)
}

// Begin begins a collection if one is worth while, and returns at once. It is asked ten times a second: used is how
// many bytes are in use, commands how many have been executed in all. While others free memory (busy) it only looks.
func (c *Collector) Begin(used, commands int64, busy bool) {
	calm := c.isCalm(commands)
	if busy || c.running.Load() || !c.owns("GOGC") || !c.due(readCollection(), used, calm) {
		return
	}
	c.running.Store(true)
	go func() {
		defer c.running.Store(false)
		c.Now()
		if calm && readCollection().free > calmLeast {
			debug.FreeOSMemory() // the scavenger keeps what it thinks a growing heap will need
		}
	}()
}

// Running reports whether a collection of Begin's is under way. It is safe for concurrent use.
func (c *Collector) Running() bool { return c.running.Load() }
