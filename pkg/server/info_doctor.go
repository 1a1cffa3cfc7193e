package server

import "byor/pkg/engine"

// What MEMORY DOCTOR looks for, from the same numbers as MEMORY STATS and with Redis's thresholds. The words are
// Redis's, too, but for the advice about the allocator: there is a collector here.
const (
	doctorLeast       = 5 << 20 // below, ratios mean nothing
	doctorPeak        = 1.5     // the peak, by what is in use now
	doctorOverhead    = 1.4     // what the system has given, by what is in use
	doctorClient      = 200 << 10
	doctorReplica     = 10 << 20
	doctorManyScripts = 1000

	doctorNothing  = "Hi Sam, this instance is empty or is using very little memory, my issues detector can't be used in these conditions. Please, leave for your mission on Earth and fill it with some data. The new Sam and I will be back to our programming as soon as I finished rebooting.\n"
	doctorHealthy  = "Hi Sam, I can't find any memory issue in your instance. I can only account for what occurs on this base.\n"
	doctorOpens    = "Sam, I detected a few issues in this Redis instance memory implants:\n\n"
	doctorEnds     = "I'm here to keep you safe, Sam. I want to help you.\n"
	doctorPeaked   = " * Peak memory: In the past this instance used more than 150% the memory that is currently using. The collector gives memory back some seconds after a peak, so you can expect to see a big fragmentation ratio until then. This is harmless. If you want the memory to be given back at once, please try the MEMORY PURGE command.\n\n"
	doctorLoose    = " * High total RSS: This instance has a memory fragmentation and RSS overhead greater than 1.4 (this means that the Resident Set Size of the Redis process is much larger than the sum of the logical allocations Redis performed). This problem is usually due either to a large peak memory (check if there is a peak memory entry above in the report) or to garbage that the collector lets gather before it collects. Note: The currently used allocator is \"go\".\n\n"
	doctorReplicas = " * Big replica buffers: The replica output buffers in this instance are greater than 10MB for each replica (on average). This likely means that there is some replica instance that is struggling receiving data, either because it is too slow or because of networking issues. As a result, data piles on the master output buffers. Please try to identify what replica is not receiving data correctly and why. You can use the INFO output in order to check the replicas delays and the CLIENT LIST command to check the output buffers of each replica.\n\n"
	doctorClients  = " * Big client buffers: The clients output buffers in this instance are greater than 200K per client (on average). This may result from different causes, like Pub/Sub clients subscribed to channels bot not receiving data fast enough, so that data piles on the Redis instance output buffer, or clients sending commands with large replies or very large sequences of commands in the same pipeline. Please use the CLIENT LIST command in order to investigate the issue if it causes problems in your instance, or to understand better why certain clients are using a big amount of memory.\n\n"
	doctorScripts  = " * Many scripts: There seem to be many cached scripts in this instance (more than 1000). This may be because scripts are generated and `EVAL`ed, instead of being parameterized (with KEYS and ARGV), `SCRIPT LOAD`ed and `EVALSHA`ed. Unless `SCRIPT FLUSH` is called periodically, the scripts' caches may end up consuming most of your memory.\n\n"
)

// memoryReport says in sentences what is unusual about the memory.
func (s *Server) memoryReport() string {
	u, rss := s.usage(), s.allocator().rss
	if u.total < doctorLeast {
		return doctorNothing
	}
	found := ""
	note := func(when bool, text string) {
		if when {
			found += text
		}
	}
	lately := ratio(max(s.stats.peakMem, u.total), u.total) > doctorPeak
	note(lately, doctorPeaked)
	note(!lately && ratio(rss, u.total) > doctorOverhead && rss-u.total > 10<<20, doctorLoose)
	clients, replicas := int64(0), int64(0)
	for _, c := range s.clients {
		if c.Has(engine.ModeReplica) {
			replicas++
		} else {
			clients++
		}
	}
	note(replicas > 0 && u.replicas/max(replicas, 1) > doctorReplica, doctorReplicas)
	note(clients > 0 && u.normal/max(clients, 1) > doctorClient, doctorClients)
	note(s.scripts().Scripts > doctorManyScripts, doctorScripts)
	if found == "" {
		return doctorHealthy
	}
	return doctorOpens + found + doctorEnds
}

func cmdMemoryDoctor(c *client) { c.Reply.Verbatim("txt", c.s.memoryReport()) }
