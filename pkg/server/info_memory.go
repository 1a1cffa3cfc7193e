package server

import (
	"fmt"
	"os"
	"strings"

	"byor/pkg/engine"
)

// What the server says of its memory: INFO memory and MEMORY. Both tell the same numbers, from usage.

func init() {
	engine.Register("server", []engine.Command{
		{Name: "memory", Arity: -2, Sub: []*engine.Command{
			{Name: "doctor", Arity: 2, Handler: by(cmdMemoryDoctor)},
			{Name: "help", Arity: 2, Flags: engine.Loading | engine.Stale, Handler: by(cmdMemoryHelp)},
			{Name: "malloc-stats", Arity: 2, Handler: by(cmdMemoryMallocStats)},
			{Name: "purge", Arity: 2, Handler: by(cmdMemoryPurge)},
			{Name: "stats", Arity: 2, Handler: by(cmdMemoryStats)},
			{Name: "usage", Arity: -3, Flags: engine.ReadOnly, Keys: engine.At(2, 2, 1), Handler: by(cmdMemoryUsage)},
		}},
	})
}

// allocator is what Redis's INFO says of jemalloc, here of Go's heap: allocated is what is in use or not
// collected yet.
type allocator struct{ allocated, active, resident, rss int64 }

func (s *Server) allocator() allocator {
	h := heap()
	return allocator{h.objects, h.active(), h.resident(), residentBytes()}
}

func ratio(a, b int64) float64 { return float64(a) / float64(max(b, 1)) }

func percent(a, b int64) float64 { return 100 * ratio(a, b) }

func (s *Server) infoMemory(b *strings.Builder) {
	u, a := s.usage(), s.allocator()
	s.stats.peakMem = max(s.stats.peakMem, u.total)
	peak := s.stats.peakMem
	f2 := func(f float64) string { return fmt.Sprintf("%.2f", f) }
	fields(b,
		"used_memory", u.total, "used_memory_human", human(u.total), "used_memory_rss", a.rss, "used_memory_rss_human", human(a.rss),
		"used_memory_peak", peak, "used_memory_peak_human", human(peak), "used_memory_peak_perc", f2(percent(u.total, peak))+"%",
		"used_memory_overhead", u.overhead, "used_memory_startup", s.memory.startup, "used_memory_dataset", u.dataset,
		"used_memory_dataset_perc", f2(percent(u.dataset, u.total-s.memory.startup))+"%",
		"allocator_allocated", a.allocated, "allocator_active", a.active, "allocator_resident", a.resident,
		"total_system_memory", systemMemory(), "total_system_memory_human", human(systemMemory()))
	sc := s.scripts()
	machines, stored := sc.ScriptsMachine+sc.FunctionsMachine, sc.ScriptsMemory+sc.FunctionsMemory
	fields(b,
		"used_memory_lua", sc.ScriptsMachine, "used_memory_vm_eval", sc.ScriptsMachine, "used_memory_lua_human", human(sc.ScriptsMachine),
		"used_memory_scripts_eval", sc.ScriptsMemory, "number_of_cached_scripts", sc.Scripts, "number_of_functions", sc.Functions,
		"number_of_libraries", sc.Libraries, "used_memory_vm_functions", sc.FunctionsMachine, "used_memory_vm_total", machines,
		"used_memory_vm_total_human", human(machines), "used_memory_functions", sc.FunctionsMemory, "used_memory_scripts", stored,
		"used_memory_scripts_human", human(stored),
		"maxmemory", s.cfg.MaxMemory, "maxmemory_human", human(s.cfg.MaxMemory), "maxmemory_policy", s.cfg.MaxMemoryPolicy,
		"allocator_frag_ratio", f2(ratio(a.active, a.allocated)), "allocator_frag_bytes", a.active-a.allocated,
		"allocator_rss_ratio", f2(ratio(a.resident, a.active)), "allocator_rss_bytes", a.resident-a.active,
		"rss_overhead_ratio", f2(ratio(a.rss, a.resident)), "rss_overhead_bytes", a.rss-a.resident,
		"mem_fragmentation_ratio", f2(ratio(a.rss, u.total)), "mem_fragmentation_bytes", a.rss-u.total,
		"mem_not_counted_for_evict", u.uncounted, "mem_replication_backlog", u.backlog,
		"mem_total_replication_buffers", u.replication, "mem_clients_slaves", u.replicas, "mem_clients_normal", u.normal,
		"mem_cluster_links", 0, "mem_aof_buffer", u.aof, "mem_allocator", "go", "active_defrag_running", 0,
		"lazyfree_pending_objects", 0, "lazyfreed_objects", 0)
}

// scripts returns what there is of scripts and functions.
func (s *Server) scripts() (u engine.ScriptsUsage) {
	if s.eng.Scripts != nil {
		u = s.eng.Scripts.Usage()
	}
	return u
}

// human prints bytes as Redis does: 1.50M.
func human(n int64) string {
	switch f := float64(n); {
	case n < 1<<10:
		return fmt.Sprintf("%dB", n)
	case n < 1<<20:
		return fmt.Sprintf("%.2fK", f/(1<<10))
	case n < 1<<30:
		return fmt.Sprintf("%.2fM", f/(1<<20))
	default:
		return fmt.Sprintf("%.2fG", f/(1<<30))
	}
}

func systemMemory() int64 {
	b, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0
	}
	var kb int64
	fmt.Sscanf(string(b), "MemTotal: %d kB", &kb)
	return kb << 10
}

func cmdMemoryUsage(c *client) {
	for i := 3; i < len(c.Args); i += 2 {
		if !c.Is(i, "samples") || i+1 >= len(c.Args) {
			c.Fail(engine.ErrSyntax)
			return
		}
		n, ok := c.IntArg(i + 1)
		if !ok {
			return
		}
		if n < 0 {
			c.Fail(engine.ErrSyntax)
			return
		}
	}
	e := c.DB.Peek(c.Args[2])
	if e == nil {
		c.Reply.Null()
		return
	}
	c.Reply.Int(e.EntryBytes())
}

func cmdMemoryMallocStats(c *client) {
	h := heap()
	c.Reply.Verbatim("txt", fmt.Sprintf("___ Go's heap ___\nObjects: %d\nUnused in spans: %d\nFree: %d\nReleased: %d\n", h.objects, h.unused, h.free, h.released))
}

func cmdMemoryStats(c *client) {
	s := c.s
	u, a := s.usage(), s.allocator()
	s.stats.peakMem = max(s.stats.peakMem, u.total)
	n := int64(s.keyCount())
	type row struct {
		name string
		v    any // int64, float64 or dbUsage
	}
	rows := []row{
		{"peak.allocated", s.stats.peakMem}, {"total.allocated", u.total}, {"startup.allocated", s.memory.startup},
		{"replication.backlog", u.backlog}, {"clients.slaves", u.replicas}, {"clients.normal", u.normal}, {"cluster.links", int64(0)},
		{"aof.buffer", u.aof}, {"lua.caches", s.scripts().ScriptsMemory}, {"functions.caches", s.scripts().FunctionsMemory},
	}
	for _, d := range u.dbs {
		rows = append(rows, row{"db." + itoa(d.id), d})
	}
	rows = append(rows, []row{
		{"overhead.total", u.overhead}, {"keys.count", n}, {"keys.bytes-per-key", max(0, u.total-s.memory.startup) / max(n, 1) * int64(btoi(n > 0))},
		{"dataset.bytes", u.dataset}, {"dataset.percentage", percent(u.dataset, u.total-s.memory.startup)},
		{"peak.percentage", percent(u.total, s.stats.peakMem)},
		{"allocator.allocated", a.allocated}, {"allocator.active", a.active}, {"allocator.resident", a.resident},
		{"allocator-fragmentation.ratio", ratio(a.active, a.allocated)}, {"allocator-fragmentation.bytes", a.active - a.allocated},
		{"allocator-rss.ratio", ratio(a.resident, a.active)}, {"allocator-rss.bytes", a.resident - a.active},
		{"rss-overhead.ratio", ratio(a.rss, a.resident)}, {"rss-overhead.bytes", a.rss - a.resident},
		{"fragmentation", ratio(a.rss, u.total)}, {"fragmentation.bytes", a.rss - u.total},
	}...)
	c.Reply.Map(len(rows))
	for _, r := range rows {
		c.Reply.BulkString(r.name)
		switch v := r.v.(type) {
		case int64:
			c.Reply.Int(v)
		case float64:
			c.Reply.Double(v)
		case dbUsage:
			c.Reply.Map(3)
			c.Reply.BulkString("overhead.hashtable.main")
			c.Reply.Int(v.main)
			c.Reply.BulkString("overhead.hashtable.expires")
			c.Reply.Int(v.expires)
			c.Reply.BulkString("overhead.hashtable.slot-to-keys")
			c.Reply.Int(0)
		}
	}
}

func (s *Server) keyCount() int {
	n := 0
	for i := range s.eng.Store.Len() {
		n += s.eng.Store.DB(i).Len()
	}
	return n
}

func cmdMemoryHelp(c *client) {
	c.Help(
		"DOCTOR", "    Return memory problems reports.",
		"MALLOC-STATS", "    Return internal statistics report from the memory allocator.",
		"PURGE", "    Attempt to purge dirty pages for reclamation by the allocator.",
		"STATS", "    Return information about the memory usage of the server.",
		"USAGE <key> [SAMPLES <count>]", "    Return memory in bytes used by <key> and its value. Nested values are",
		"    sampled up to <count> times (default: 5, 0 means sample all).",
	)
}

// residentBytes returns the process's resident set size where the system tells, else 0.
func residentBytes() int64 {
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	var size, resident int64
	fmt.Sscan(string(b), &size, &resident)
	return resident * int64(os.Getpagesize())
}
