package server

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// withoutMeaning are the fields of INFO that say nothing of this server, and why.
var withoutMeaning = map[string]string{
	"active_defrag_hits": "there is no defragmentation", "active_defrag_misses": "there is no defragmentation",
	"active_defrag_key_hits": "there is no defragmentation", "active_defrag_key_misses": "there is no defragmentation",
	"total_active_defrag_time": "there is no defragmentation", "current_active_defrag_time": "there is no defragmentation",
	"lazyfreed_objects":    "the collector frees all, always beside the commands",
	"reply_buffer_shrinks": "reply buffers are Go's slices", "reply_buffer_expands": "reply buffers are Go's slices",
	"used_cpu_sys_main_thread": "there is no main thread", "used_cpu_user_main_thread": "there is no main thread",
	"used_memory_lua": "there are no scripts", "used_memory_lua_human": "there are no scripts", "used_memory_vm_eval": "there are no scripts",
	"used_memory_scripts_eval": "there are no scripts", "used_memory_vm_functions": "there are no scripts", "used_memory_vm_total": "there are no scripts",
	"used_memory_vm_total_human": "there are no scripts", "used_memory_functions": "there are no scripts", "used_memory_scripts": "there are no scripts",
	"used_memory_scripts_human": "there are no scripts",
}

// INFO has every field of 7.0.15 that means something here: as a master with a replica and a log, and as a
// replica. What it has besides is listed, too.
func TestInfoHasRedissFields(t *testing.T) {
	beyond := []string{"client_output_buffer_limit_disconnections", "go_version"}
	names := func(c *testConn) map[string][]string {
		out, section := map[string][]string{}, ""
		for line := range strings.Lines(string(c.do("INFO everything").Str)) {
			line = strings.TrimSpace(line)
			if title, ok := strings.CutPrefix(line, "# "); ok {
				section = title
				out[section] = nil
			}
			name, _, ok := strings.Cut(line, ":")
			for _, kind := range []string{"cmdstat_", "errorstat_", "latency_percentiles_usec_", "slave0", "module"} {
				ok = ok && !strings.HasPrefix(name, kind)
			}
			if ok && withoutMeaning[name] == "" && !slices.Contains(beyond, name) {
				out[section] = append(out[section], name)
			}
		}
		return out
	}
	dir := t.TempDir()
	options := []string{"--appendonly", "yes", "--repl-diskless-sync-delay", "0", "--dir"}
	masterAddr := startRedis(t, append(options, dir)...)
	_, ourMaster := startServer(t, append(options, t.TempDir())...)
	theirReplica := startRedis(t, "--replicaof", hostPort(masterAddr))
	_, ourReplica := startServer(t, "--replicaof", hostPort(ourMaster))
	for _, addr := range []string{theirReplica, ourReplica} {
		eventually(t, dial(t, addr), "INFO replication", "master_link_status:up")
	}
	for _, pair := range [][2]string{{masterAddr, ourMaster}, {theirReplica, ourReplica}} {
		a, b := dial(t, pair[0]), dial(t, pair[1])
		for _, c := range []*testConn{a, b} {
			c.do("SET a 1")
			eventually(t, c, "INFO persistence", "loading:0")
			eventually(t, c, "INFO persistence", "aof_rewrite_in_progress:0")
		}
		theirs, ours := names(a), names(b)
		require.ElementsMatch(t, slices.Collect(maps.Keys(theirs)), slices.Collect(maps.Keys(ours)))
		for section := range theirs {
			require.ElementsMatch(t, theirs[section], ours[section], fmt.Sprint(section, " of ", pair))
		}
	}
}
