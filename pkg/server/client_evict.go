package server

import (
	"cmp"
	"slices"

	"byor/pkg/engine"
)

// maxmemory-clients: when all clients together take more, those that take most are disconnected until they do not.
// What it saves from is not the slow reader, which has a limit of its own, but many of them, or many half-sent
// requests. Spared are replicas and the master, and clients that have said CLIENT NO-EVICT.

// leastClientLimit is the smallest limit that is obeyed: with less nobody could say CONFIG SET any more.
const leastClientLimit = 128 << 10

// clientLimit returns what clients may take together, 0 for no limit.
func (s *Server) clientLimit() int64 {
	n := s.cfg.MaxMemoryClients
	if n < 0 {
		n = int64(float64(s.cfg.MaxMemory) * float64(-n) / 100)
	}
	if n == 0 {
		return 0
	}
	return max(n, leastClientLimit)
}

// evictable reports whether the client counts, and may be disconnected.
func (c *client) evictable() bool {
	return c.conn != nil && !c.evictExempt && !c.Has(engine.ModeReplica|engine.ModeMaster) && c.closing != closeNow
}

// evictClients disconnects clients if all together take too much. The engine's lock must be held.
func (s *Server) evictClients() {
	limit := s.clientLimit()
	if limit == 0 || s.clientMem.n-s.memory.spared <= limit {
		return
	}
	var all []*client
	sum := int64(0)
	for _, c := range s.clients {
		if c.evictable() {
			c.measureNow()
			all = append(all, c)
			sum += c.counted
		}
	}
	s.memory.spared = s.clientMem.n - sum
	slices.SortFunc(all, func(a, b *client) int { return cmp.Compare(b.counted, a.counted) })
	for _, c := range all {
		if sum <= limit {
			return
		}
		sum -= c.counted
		s.logf(levelNotice, "Evicting client: %s", c.describe())
		s.stats.evictedClients++
		s.end(c, EndSlow)
	}
}
