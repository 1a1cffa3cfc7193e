//go:build unix

package server

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"byor/pkg/redistest"

	"github.com/stretchr/testify/require"
)

var renamings = []string{"--rename-command", "GET", "Fetch", "--rename-command", "set", "get", "--rename-command", "config", "cfg",
	"--rename-command", "flushall", "", "--rename-command", "multi", "begin", "--rename-command", "del", "drop"}

// TestRenamedCommands: a client knows a command by its new name only; what is said of the command is said
// by its old one.
func TestRenamedCommands(t *testing.T) {
	lines := []string{
		"FETCH", "fetch k", "SET k 1", "GET k", "get k 1", "GET k 2 x", "fetch k", "get k 3", "fEtCh k",
		"FLUSHALL", "CONFIG GET hz", "cfg GET hz", "cfg", "cfg nosuch", "cfg get", "CFG RESETSTAT", "drop k", "del k", "get k 4",
		"MULTI", "begin", "get k 5", "fetch k", "SET k", "exec", "begin", "fetch k", "begin", "get k 6", "EXEC",
		"COMMAND INFO fetch", "COMMAND INFO set flushall", "COMMAND INFO cfg|get config|get", "COMMAND GETKEYS get a b", "COMMAND GETKEYS set a b",
		"PING", "fetch k", "ping", "set k 7", "fetch k",
	}
	_, addr := startServer(t, renamings...)
	ours := dial(t, addr)
	require.Equal(t, `"6"`, func() (last string) {
		for _, line := range lines {
			last = show(ours.do(line))
		}
		return last
	}())
	if !redistest.Has("redis-server") {
		return
	}
	theirs := dial(t, startRedis(t, renamings...))
	ours.do("drop k")
	for _, line := range lines {
		require.Equal(t, show(theirs.do(line)), show(ours.do(line)), line)
	}
	for _, c := range []*testConn{ours, theirs} { // counted under the old names
		stats := string(c.do("INFO commandstats").Str)
		require.Contains(t, stats, "cmdstat_get:calls=")
		require.Contains(t, stats, "cmdstat_set:calls=")
		require.NotContains(t, stats, "fetch")
	}
	names := func(c *testConn, line string) (all []string) {
		for _, v := range c.do(line).Elems {
			all = append(all, string(v.Str))
		}
		slices.Sort(all)
		return all
	}
	require.Equal(t, names(theirs, "COMMAND LIST FILTERBY PATTERN *config*"), names(ours, "COMMAND LIST FILTERBY PATTERN *config*"))
	require.Equal(t, names(theirs, "COMMAND LIST FILTERBY PATTERN *et"), names(ours, "COMMAND LIST FILTERBY PATTERN *et"))
	require.NotContains(t, names(ours, "COMMAND LIST"), "flushall")
}

// TestRenamedCommandsInLog: the log has commands as they were sent and, where the server wrote them itself,
// by their old names. Both are understood when it is loaded.
func TestRenamedCommandsInLog(t *testing.T) {
	dir := t.TempDir()
	options := append([]string{"--appendonly", "yes"}, renamings...)
	s, _, err := boot(t, dir, options...)
	require.NoError(t, err)
	for line, want := range map[string]string{"get a 1": "+OK", "get b 2 PX 1": "+OK", "get c 3 PX 1000000": "+OK", "MSET d 4 e 5": "+OK"} {
		require.Equal(t, want, ask(t, s, line), line)
	}
	require.Eventually(t, func() bool { return ask(t, s, "EXISTS b") == ":0" }, time.Minute, time.Millisecond)
	require.Equal(t, ":1", ask(t, s, "drop d"))
	want := ask(t, s, "DEBUG DIGEST")
	stopServer(t, s)
	log, err := os.ReadFile(filepath.Join(dir, "appendonlydir", incr1))
	require.NoError(t, err)
	for _, name := range []string{"get", "DEL", "drop"} {
		require.Contains(t, string(log), "\r\n"+name+"\r\n")
	}
	s, _, err = boot(t, dir, options...)
	require.NoError(t, err)
	require.Equal(t, want, ask(t, s, "DEBUG DIGEST"))
	require.Equal(t, `"1"`, ask(t, s, "fetch a"))
}

// TestRenamedCommandsFromMaster: a replica that has renamed a command obeys a master that has not.
func TestRenamedCommandsFromMaster(t *testing.T) {
	_, master := startServer(t)
	_, replica := startServer(t, append(slices.Clone(renamings), "--replicaof", strings.Replace(master, ":", " ", 1))...)
	m, r := dial(t, master), dial(t, replica)
	r.becomes("master_link_status", "up")
	for _, line := range []string{"SET a 1", "MULTI", "SET b 2", "DEL a", "EXEC", "FLUSHALL", "SET c 3"} {
		m.do(line)
	}
	m.want("WAIT 1 60000", ":1")
	require.Equal(t, show(m.do("DEBUG DIGEST")), show(r.do("DEBUG DIGEST")))
	r.want("fetch c", `"3"`)
	r.want("FLUSHALL", "-ERR unknown command 'FLUSHALL', with args beginning with: ")
}
