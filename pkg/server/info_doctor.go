package server

import (
	"fmt"
	"strings"

	"byor/pkg/engine"
)

// What MEMORY DOCTOR looks for, from the same numbers as MEMORY STATS and with Redis's thresholds.
const (
	doctorLeast       = 5 << 20 // below, ratios mean nothing
	doctorPeak        = 1.5     // the peak, by what is in use now
	doctorOverhead    = 1.4     // what the system has given, by what is in use
	doctorClient      = 200 << 10
	doctorReplica     = 10 << 20
	doctorManyScripts = 1000
)

// memoryReport says in sentences what is unusual about the memory.
func (s *Server) memoryReport() string {
	u, rss := s.usage(), s.allocator().rss
	if u.total < doctorLeast {
		return "Too little memory is in use to say anything about it.\n"
	}
	var found []string
	note := func(when bool, format string, args ...any) {
		if when {
			found = append(found, " * "+fmt.Sprintf(format, args...))
		}
	}
	peak := max(s.stats.peakMem, u.total)
	lately := ratio(peak, u.total) > doctorPeak
	note(lately, "Peak: at one time %s were in use, now it is %s. Until the collector has given the rest back, which takes seconds, the process may look larger than it is; MEMORY PURGE does it at once.", human(peak), human(u.total))
	note(!lately && ratio(rss, u.total) > doctorOverhead && rss-u.total > 10<<20,
		"Overhead: the process has %s from the system for %s in use. Go's collector lets garbage gather before it collects.", human(rss), human(u.total))
	clients, replicas := int64(0), int64(0)
	for _, c := range s.clients {
		if c.Has(engine.ModeReplica) {
			replicas++
		} else {
			clients++
		}
	}
	note(clients > 0 && u.normal/max(clients, 1) > doctorClient,
		"Clients: each takes %s on average. Perhaps some do not read what they are sent, or send very large requests: see tot-mem in CLIENT LIST, client-output-buffer-limit and maxmemory-clients.", human(u.normal/max(clients, 1)))
	note(replicas > 0 && u.replicas/max(replicas, 1) > doctorReplica,
		"Replicas: each waits for %s on average. Perhaps a link is slow.", human(u.replicas/max(replicas, 1)))
	note(s.scripts().Scripts > doctorManyScripts, "Scripts: %d are kept. Perhaps a program makes a new one for each call, instead of giving it arguments; SCRIPT FLUSH forgets them.", s.scripts().Scripts)
	if len(found) == 0 {
		return "Nothing is unusual about the memory.\n"
	}
	return strings.Join(found, "\n") + "\n"
}

func cmdMemoryDoctor(c *client) { c.Reply.Verbatim("txt", c.s.memoryReport()) }
