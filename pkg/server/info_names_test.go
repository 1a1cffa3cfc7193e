package server

import (
	"io"
	"net"
	"slices"
	"strings"
	"testing"

	"byor/pkg/engine"
	"byor/pkg/redistest"
	"byor/pkg/resp"

	"github.com/stretchr/testify/require"
)

// withoutMeaning are the fields of INFO that say nothing of this server, and why.
var withoutMeaning = map[string]string{
	"reply_buffer_shrinks": "reply buffers are Go's slices", "reply_buffer_expands": "reply buffers are Go's slices",
	"used_cpu_sys_main_thread": "there is no main thread", "used_cpu_user_main_thread": "there is no main thread",
}

// beyondInfo are the fields that this server has and Redis does not.
var beyondInfo = []string{"client_output_buffer_limit_disconnections", "go_version"}

// infoNames returns the names of INFO everything, in order, each behind its section's. Left out are those that depend on
// what was asked before, and those without meaning.
func infoNames(c *testConn) (names []string) {
	section := ""
	for line := range strings.Lines(string(c.do("INFO everything").Str)) {
		line = strings.TrimSpace(line)
		if title, ok := strings.CutPrefix(line, "# "); ok {
			section = title
			names = append(names, line)
		}
		name, _, ok := strings.Cut(line, ":")
		for _, kind := range []string{"cmdstat_", "errorstat_", "latency_percentiles_usec_", "slave0", "module:"} {
			ok = ok && !strings.HasPrefix(name, kind)
		}
		if ok && withoutMeaning[name] == "" && !slices.Contains(beyondInfo, name) {
			names = append(names, section+" "+name)
		}
	}
	return names
}

func sameInfo(t *testing.T, state string, theirs, ours *testConn) {
	t.Helper()
	require.Equal(t, infoNames(theirs), infoNames(ours), state)
	told, all := string(ours.do("INFO everything").Str), string(theirs.do("INFO everything").Str)
	for name, why := range withoutMeaning {
		require.NotContains(t, told, "\n"+name+":", "it is said all the same, although "+why)
		require.Contains(t, all, "\n"+name+":", "Redis does not say it either")
	}
	for _, name := range beyondInfo {
		require.Contains(t, told, "\n"+name+":")
		require.NotContains(t, all, "\n"+name+":")
	}
}

// INFO has every field of 7.0.15 that means something here, in Redis's order, in whatever state the server is.
func TestInfoHasRedissFields(t *testing.T) {
	options := []string{"--appendonly", "yes", "--repl-diskless-sync-delay", "0", "--min-replicas-to-write", "1", "--dir"}
	masterAddr := startRedis(t, append(options, t.TempDir())...)
	_, ourMaster := startServer(t, append(options, t.TempDir())...)
	theirs, ours := dial(t, masterAddr), dial(t, ourMaster)
	sameInfo(t, "alone", theirs, ours)
	theirReplica, ourReplica := dial(t, startRedis(t, "--replicaof", hostPort(masterAddr))), dial(t, second(startServer(t, "--replicaof", hostPort(ourMaster))))
	for _, c := range []*testConn{theirReplica, ourReplica} {
		eventually(t, c, "INFO replication", "master_link_status:up")
	}
	for _, c := range []*testConn{theirs, ours} {
		eventually(t, c, "INFO replication", "min_slaves_good_slaves:1")
		c.want("SET a 1 EX 1000", "+OK")
		eventually(t, c, "INFO persistence", "aof_rewrite_in_progress:0")
	}
	for _, c := range []*testConn{theirReplica, ourReplica} {
		eventually(t, c, "EXISTS a", ":1")
	}
	sameInfo(t, "master", theirs, ours)
	sameInfo(t, "replica", theirReplica, ourReplica)
	for _, c := range []*testConn{theirReplica, ourReplica} {
		c.do("REPLICAOF 127.0.0.1 1")
		eventually(t, c, "INFO replication", "master_link_status:down")
	}
	sameInfo(t, "replica without a master", theirReplica, ourReplica)
	half := halfMaster(t)
	for _, c := range []*testConn{theirReplica, ourReplica} {
		c.do("REPLICAOF " + hostPort(half))
		eventually(t, c, "INFO replication", "master_sync_read_bytes:500")
	}
	sameInfo(t, "replica amid a snapshot", theirReplica, ourReplica)
	for _, field := range []string{"master_sync_total_bytes:1000", "master_sync_left_bytes:500", "master_sync_perc:50.00"} {
		require.Contains(t, string(theirReplica.do("INFO replication").Str), field)
		require.Contains(t, string(ourReplica.do("INFO replication").Str), field)
	}
}

// halfMaster is a master that gets stuck amid its snapshot. It returns its address.
func halfMaster(t *testing.T) string {
	return redistest.Accept(t, func(conn net.Conn) {
		for rd := resp.NewCommandReader(conn); ; {
			args, err := rd.ReadCommand()
			switch {
			case err != nil:
				return
			case engine.EqualFold(args[0], "ping"):
				io.WriteString(conn, "+PONG\r\n")
			case engine.EqualFold(args[0], "psync"):
				io.WriteString(conn, "+FULLRESYNC "+strings.Repeat("a", 40)+" 0\r\n$1000\r\nREDIS0010"+strings.Repeat("\xfa\x01a\x01b", 98)+"\xfa")
			default:
				io.WriteString(conn, "+OK\r\n")
			}
		}
	})
}

// While the data are loaded INFO says how far that is.
func TestInfoWhileLoading(t *testing.T) {
	theirs := startRedis(t)
	s, ours := startServer(t)
	for _, addr := range []string{theirs, ours} {
		c := dial(t, addr)
		c.do("DEBUG POPULATE 1000")
		c.do("SAVE")
	}
	c := dial(t, theirs)
	c.do("CONFIG SET key-load-delay 1000 loading-process-events-interval-bytes 1024")
	reload := dial(t, theirs)
	reload.send("DEBUG", "RELOAD", "NOSAVE")
	eventually(t, c, "INFO persistence", "loading_start_time:")
	s.eng.Lock()
	s.eng.Loading = true
	s.eng.Unlock()
	want, got := infoNames(c), infoNames(dial(t, ours))
	s.eng.Lock()
	s.eng.Loading = false
	s.eng.Unlock()
	c.do("CONFIG SET key-load-delay 0")
	require.Equal(t, want, got)
}
