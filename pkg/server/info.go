package server

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"byor/pkg/config"
	"byor/pkg/introspect"
)

type infoSection struct {
	name  string
	write func(s *Server, b *strings.Builder)
	byDef bool
}

// infoSections are INFO's sections in order. The last field says whether INFO without arguments
// shows it.
var infoSections = []infoSection{
	{"server", (*Server).infoServer, true},
	{"clients", (*Server).infoClients, true},
	{"memory", (*Server).infoMemory, true},
	{"persistence", func(s *Server, b *strings.Builder) { s.files.Info(b) }, true},
	{"stats", (*Server).infoStats, true},
	{"replication", (*Server).infoReplication, true},
	{"cpu", (*Server).infoCPU, true},
	{"modules", func(*Server, *strings.Builder) {}, true},
	{"commandstats", (*Server).infoCommandstats, false},
	{"errorstats", (*Server).infoErrorstats, true},
	{"latencystats", (*Server).infoLatencystats, false},
	{"cluster", func(_ *Server, b *strings.Builder) { b.WriteString("cluster_enabled:0\r\n") }, true},
	{"keyspace", (*Server).infoKeyspace, true},
}

// InfoBeside is a section of INFO about something that the server does not know.
type InfoBeside struct {
	Section string // its name, in small letters
	// Fields returns names and values in turn. It is called with the engine's lock held: it must be quick, and must not
	// call the server.
	Fields func() []any
}

func cmdInfo(c *client) {
	want := map[string]bool{}
	for _, a := range c.Args[1:] {
		want[strings.ToLower(string(a))] = true
	}
	all := want["all"] || want["everything"]
	def := len(want) == 0 || want["default"]
	var b strings.Builder
	sections := infoSections
	if beside := c.s.beside; beside != nil {
		sections = append(slices.Clip(sections), infoSection{beside.Section, func(_ *Server, b *strings.Builder) { fields(b, beside.Fields()...) }, true})
	}
	for _, sec := range sections {
		if !(all && (sec.name != "modules" || want["everything"]) || def && sec.byDef || want[sec.name]) {
			continue
		}
		if b.Len() > 0 {
			b.WriteString("\r\n")
		}
		title := strings.ToUpper(sec.name[:1]) + sec.name[1:]
		if sec.name == "cpu" {
			title = "CPU"
		}
		b.WriteString("# " + title + "\r\n")
		sec.write(c.s, &b)
	}
	c.Reply.Verbatim("txt", b.String())
}

// fields writes name:value lines.
func fields(b *strings.Builder, nameValue ...any) { introspect.Fields(b, nameValue...) }

func (s *Server) infoServer(b *strings.Builder) {
	exe, _ := os.Executable()
	up := int64(s.eng.Clock().Sub(s.eng.Started).Seconds())
	fields(b,
		"redis_version", config.RedisVersion, "redis_git_sha1", "00000000", "redis_git_dirty", 0, "redis_build_id", "byor",
		"redis_mode", "standalone", "os", runtime.GOOS+" "+runtime.GOARCH, "arch_bits", 64,
		"monotonic_clock", "go", "multiplexing_api", s.transportName(), "atomicvar_api", "sync/atomic", "gcc_version", "0.0.0", "go_version", runtime.Version(),
		"process_id", os.Getpid(), "process_supervised", s.boss.Mode(), "run_id", s.runID, "tcp_port", cmp.Or(s.cfg.Port, s.cfg.TLSPort),
		"server_time_usec", s.eng.Clock().UnixMicro(), "uptime_in_seconds", up, "uptime_in_days", up/86400,
		"hz", s.cfg.Hz, "configured_hz", s.cfg.Hz, "lru_clock", (s.eng.NowMs/1000)&(1<<24-1),
		"executable", exe, "config_file", s.cfg.File, "io_threads_active", btoi(len(s.loops) > 1))
}

func (s *Server) infoClients(b *strings.Builder) {
	var maxIn, maxOut int64
	for _, c := range s.clients {
		maxIn, maxOut = max(maxIn, int64(c.queryLen)), max(maxOut, c.outputBytes())
	}
	fields(b, "connected_clients", len(s.clients)+btoi(s.masterLink() != nil)-len(s.master.Replicas()), "cluster_connections", 0, "maxclients", s.cfg.MaxClients,
		"client_recent_max_input_buffer", maxIn, "client_recent_max_output_buffer", maxOut,
		"blocked_clients", len(s.eng.Blocked), "tracking_clients", s.tracking.Clients(), "clients_in_timeout_table", s.timedWaits())
}

func (s *Server) timedWaits() int {
	n := 0
	for c := range s.eng.Blocked {
		if c.Blocked.DeadlineMs > 0 {
			n++
		}
	}
	return n
}

func (s *Server) infoStats(b *strings.Builder) {
	st, ran := &s.stats, &s.eng.Stats
	all, threaded := s.trafficNow()
	t, threaded := all.minus(st.before), threaded.minus(st.beforeThreaded)
	kbps := func(pick func(r *rates) int64) string { return fmt.Sprintf("%.2f", float64(st.rate(pick))/1024) }
	exceeded := time.Duration(0)
	if !ran.ExceededSince.IsZero() {
		exceeded = s.eng.Clock().Sub(ran.ExceededSince)
	}
	tracked := 0
	if s.following != nil {
		tracked = len(s.following.own)
	}
	keys, items, prefixes := s.tracking.Counts()
	fields(b,
		"total_connections_received", st.connections, "total_commands_processed", ran.Commands,
		"instantaneous_ops_per_sec", st.rate(func(r *rates) int64 { return r.commands }),
		"total_net_input_bytes", t.in+t.replIn, "total_net_output_bytes", t.out+t.replOut,
		"total_net_repl_input_bytes", t.replIn, "total_net_repl_output_bytes", t.replOut,
		"instantaneous_input_kbps", kbps(func(r *rates) int64 { return r.traffic.in + r.traffic.replIn }),
		"instantaneous_output_kbps", kbps(func(r *rates) int64 { return r.traffic.out + r.traffic.replOut }),
		"instantaneous_input_repl_kbps", kbps(func(r *rates) int64 { return r.traffic.replIn }),
		"instantaneous_output_repl_kbps", kbps(func(r *rates) int64 { return r.traffic.replOut }),
		"rejected_connections", st.rejectedConnections, "sync_full", st.syncFull, "sync_partial_ok", st.syncPartialOK,
		"sync_partial_err", st.syncPartialErr, "expired_keys", ran.ExpiredKeys, "expired_stale_perc", fmt.Sprintf("%.2f", ran.StalePerc),
		"expired_time_cap_reached_count", ran.ExpireCapped, "expire_cycle_cpu_milliseconds", ran.ExpireTime.Milliseconds(),
		"evicted_keys", ran.EvictedKeys, "evicted_clients", st.evictedClients, "total_eviction_exceeded_time", (ran.Exceeded + exceeded).Milliseconds(),
		"current_eviction_exceeded_time", exceeded.Milliseconds(), "keyspace_hits", ran.Hits, "keyspace_misses", ran.Misses,
		"pubsub_channels", len(s.eng.Hub.Channels(nil)), "pubsub_patterns", s.eng.Hub.NumPat(),
		"pubsubshard_channels", len(s.eng.Hub.ShardChannels(nil)), "latest_fork_usec", 0, "total_forks", 0,
		"migrate_cached_sockets", s.migrations.Len(), "slave_expires_tracked_keys", tracked,
		"active_defrag_hits", 0, "active_defrag_misses", 0, "active_defrag_key_hits", 0, "active_defrag_key_misses", 0,
		"total_active_defrag_time", 0, "current_active_defrag_time", 0,
		"tracking_total_keys", keys, "tracking_total_items", items,
		"tracking_total_prefixes", prefixes, "unexpected_error_replies", ran.UnexpectedErrors, "total_error_replies", ran.TotalErrors,
		"dump_payload_sanitizations", ran.PayloadsChecked, "total_reads_processed", t.reads, "total_writes_processed", t.writes,
		"io_threaded_reads_processed", threaded.reads, "io_threaded_writes_processed", threaded.writes,
		"client_output_buffer_limit_disconnections", st.outputLimitDisconnections)
	s.infoHistory(b)
}

func (s *Server) infoCommandstats(b *strings.Builder) {
	for _, cmd := range s.eng.CountedCommands() {
		st := cmd.Stats
		if st.Calls+st.Rejected+st.Failed == 0 {
			continue
		}
		us := st.Ns / 1000
		fmt.Fprintf(b, "cmdstat_%s:calls=%d,usec=%d,usec_per_call=%.2f,rejected_calls=%d,failed_calls=%d\r\n",
			cmd.FullName(), st.Calls, us, float64(st.Ns)/1000/float64(max(st.Calls, 1)), st.Rejected, st.Failed)
	}
}

func (s *Server) infoErrorstats(b *strings.Builder) {
	for _, code := range slices.Sorted(maps.Keys(s.eng.Stats.Errors)) {
		fmt.Fprintf(b, "errorstat_%s:count=%d\r\n", code, s.eng.Stats.Errors[code])
	}
}

func (s *Server) infoLatencystats(b *strings.Builder) {
	if !s.cfg.LatencyTracking {
		return // what was counted before is kept for LATENCY HISTOGRAM
	}
	const comma = ","
	names := config.PercentileNames(s.cfg.LatencyPercentiles)
	for _, cmd := range s.eng.AllCommands() {
		if h := cmd.Stats.Hist; h != nil && h.Count > 0 {
			fmt.Fprintf(b, "latency_percentiles_usec_%s:", cmd.FullName())
			for i, name := range names {
				fmt.Fprintf(b, "%sp%s=%.3f", comma[:min(i, 1)], name, h.Percentile(s.cfg.LatencyPercentiles[i]))
			}
			b.WriteString("\r\n")
		}
	}
}

func (s *Server) infoKeyspace(b *strings.Builder) {
	for i := range s.eng.Store.Len() {
		if db := s.eng.Store.DB(i); db.Len() > 0 {
			fmt.Fprintf(b, "db%d:keys=%d,expires=%d,avg_ttl=%d\r\n", i, db.Len(), db.Expires(), db.AvgTTL())
		}
	}
}
