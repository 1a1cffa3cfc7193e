package server

import (
	"runtime/debug"
	"runtime/metrics"
	"sync"
	"time"

	"byor/pkg/collector"
	"byor/pkg/engine"
)

// What the server has in memory is counted where it comes and goes, not asked of Go's runtime: that knows
// only what the collector has not swept yet. So used_memory is true at any moment, falls when something is
// deleted, and is cheap enough to be compared with maxmemory before each command.
//
// The other half is to have the memory of what is gone. When much less is in use than was, the collector is
// told to run at once, beside the commands. When it runs otherwise, pkg/collector says.

// tally is a number of bytes that knows how high it was.
type tally struct{ n, peak int64 }

func (t *tally) add(d int64) {
	t.n += d
	t.peak = max(t.peak, t.n)
}

// takePeak returns the highest since the last call.
func (t *tally) takePeak() int64 {
	p := t.peak
	t.peak = t.n
	return p
}

// memory is what is known of it. Guarded by the engine's lock.
type memory struct {
	startup int64     // of a server without data and clients
	rest    int64     // what else counts for maxmemory, as of the latest round of the cron
	high    int64     // the most that was in use since memory was given back last
	spared  int64     // what those clients take that maxmemory-clients does not concern, as of evictClients
	freeing bool      // it is being given back
	freeNot time.Time // until then nothing is given back again
	round   int64

	collector collector.Collector
}

// What things cost that are counted by their number.
const (
	clientOverhead = 4 << 10 // a session with its connection
	subBytes       = 320     // a subscription, with its share of the channel
	measureStep    = 16 << 10
)

// startupMemory is what the process had in use before there was a server.
var startupMemory = sync.OnceValue(func() int64 { return heap().objects })

// heapState is the heap as Go's runtime sees it.
type heapState struct {
	objects  int64 // alive, or not swept yet
	unused   int64 // rooms between them
	free     int64 // nobody's, and not given back yet
	released int64
}

func (h heapState) active() int64   { return h.objects + h.unused }
func (h heapState) resident() int64 { return h.active() + h.free }

func heap() heapState {
	m := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/heap/unused:bytes"},
		{Name: "/memory/classes/heap/free:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(m)
	n := func(i int) int64 { return int64(m[i].Value.Uint64()) }
	return heapState{n(0), n(1), n(2), n(3)}
}

// usage is where the memory goes.
type usage struct {
	total, overhead, dataset int64
	normal, replicas         int64 // clients
	backlog, replication     int64 // all that is kept of the stream, and what of it is the backlog's
	aof                      int64
	uncounted                int64 // by maxmemory
	dbs                      []dbUsage
}

type dbUsage struct{ id, main, expires int64 }

func (s *Server) usage() usage {
	u := usage{replication: s.master.Memory(), aof: s.files.LogPending()}
	u.backlog, u.uncounted = u.replication, u.aof
	if len(s.master.Replicas()) > 0 {
		for _, c := range s.clients {
			if c.Has(engine.ModeReplica) {
				u.replicas += c.counted
			}
		}
		over := max(0, u.replication-s.cfg.ReplBacklogSize)
		u.backlog -= over
		u.uncounted += over
		u.normal = -u.replicas
		u.replicas += over
	}
	u.normal += s.clientMem.n + s.sharedMem.Load()
	sc := s.scripts()
	u.overhead = s.memory.startup + u.normal + u.replicas + u.backlog + u.aof + sc.ScriptsMemory + sc.FunctionsMemory + s.tracking.Bytes()
	keys := int64(0)
	for i := range s.eng.Store.Len() {
		if db := s.eng.Store.DB(i); db.Len() > 0 {
			d := dbUsage{int64(i), db.TableBytes(), db.ExpiresBytes()}
			u.dbs = append(u.dbs, d)
			u.overhead += d.main + d.expires
			keys += d.main
		}
	}
	u.dataset = max(0, s.eng.Store.MemBytes()-keys)
	u.total = u.overhead + u.dataset
	return u
}

// usedMemory is what INFO calls used_memory.
func (s *Server) usedMemory() int64 { return s.usage().total }

// countedMemory is what maxmemory limits: without what replicas and the append-only file wait for, which
// grows by the very deletions that are to make room.
func (s *Server) countedMemory() int64 {
	return s.eng.Store.MemBytes() + s.clientMem.n + s.sharedMem.Load() + s.tracking.Bytes() + s.memory.rest
}

// measure brings what the server counts for the client up to date, if that has changed by at least so much.
// output is what its output side takes.
func (c *client) measure(output, step int64) {
	in := int64(c.querySize) + c.keptMem + c.QueueMem
	n := clientOverhead + in + output + int64(c.Subs.Count())*subBytes + c.WatchMem
	if d := n - c.counted; d >= step || d <= -step {
		c.counted, c.countedIn = n, in
		c.s.clientMem.add(d)
	}
}

// measureNow is measure for who does not know of the output.
func (c *client) measureNow() {
	c.outMu.Lock()
	out := c.ownOutput()
	c.outMu.Unlock()
	c.measure(out, 1)
}

// measureClients looks at those that take much, and in ten rounds at everybody.
func (s *Server) measureClients() {
	s.memory.round = (s.memory.round + 1) % 10
	for id, c := range s.clients {
		if c.counted > 4*measureStep || id%10 == s.memory.round {
			c.measureNow()
		}
	}
}

// sampleMemory notes how much memory is in use and was, and sees to it that what is no longer in use is
// given back. The engine's lock must be held.
func (s *Server) sampleMemory() {
	s.measureClients()
	u := s.usage()
	s.memory.rest = u.total - u.uncounted - s.eng.Store.MemBytes() - s.clientMem.n - s.sharedMem.Load() - s.tracking.Bytes()
	high := u.total + max(s.eng.Store.TakePeak()-s.eng.Store.MemBytes(), 0) // what came and went since the last look
	high = max(high, u.total+s.clientMem.takePeak()-s.clientMem.n)
	s.stats.peakMem = max(s.stats.peakMem, high)
	s.memory.high = max(s.memory.high, high)
	s.memory.collector.Limit(s.cfg.MaxMemory, u.total)
	s.memory.collector.Begin(u.total, s.eng.Stats.Commands, s.memory.freeing)
	if s.memory.high-u.total > freeFrom+u.total/4 {
		s.giveBack(u.total)
	}
}

// freeFrom is how much less than before must be in use for memory to be given back.
const freeFrom = 16 << 20

// giveBack frees what is no longer in use.
func (s *Server) giveBack(used int64) {
	now := time.Now()
	if s.memory.freeing || now.Before(s.memory.freeNot) {
		return
	}
	s.memory.high = used
	if heap().resident()-used < freeFrom {
		return // the collector was faster
	}
	s.memory.freeing = true
	go func() {
		s.collectAll(used)
		took := time.Since(now)
		s.eng.Lock()
		s.memory.freeing = false
		s.memory.freeNot = time.Now().Add(min(max(time.Second, 4*took), 10*time.Second))
		s.eng.Unlock()
	}()
}

// collectAll collects garbage. What lay in a pool is let go of by one collection and collected by the next, so
// there are two if the first leaves much more than used. Go's scavenger gives the memory back to the system then,
// bit by bit. Having it done at once made clients wait in three of six trials, up to 75 ms for 200 MB.
func (s *Server) collectAll(used int64) {
	s.memory.collector.Now()
	if heap().active()-used > freeFrom {
		s.memory.collector.Now()
	}
}

// freeMemory is collectAll that gives the memory back before it returns.
func (s *Server) freeMemory(used int64) {
	s.collectAll(used)
	debug.FreeOSMemory()
}

func cmdMemoryPurge(c *client) {
	s, used := c.s, c.s.usedMemory()
	if !c.MayBlock() {
		s.freeMemory(used)
		c.Reply.OK()
		return
	}
	done := func(c *engine.Call) { c.Reply.OK() }
	c.Block(engine.Wait{Expire: done}, nil)
	b := c.Blocked
	go func() {
		s.freeMemory(used)
		s.eng.Lock()
		defer s.eng.Unlock()
		if s.clients[c.ID] == c && c.Blocked == b {
			s.eng.Tick()
			s.eng.EndWait(&c.Session, func() { done(&c.Call) })
		}
	}()
}
