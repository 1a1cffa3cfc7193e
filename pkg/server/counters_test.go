package server

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"byor/pkg/redistest"

	"github.com/stretchr/testify/require"
)

var saveCounters = regexp.MustCompile(`(?:rdb_changes_since_last_save|rdb_saves|rdb_last_bgsave_status|aof_rewrites):\S+`)

// What is counted since the last save starts again where Redis starts it again: a FLUSHALL saves, where
// there are save points, and what replaces the data does not count as a change.
func TestSaveCountersAsRealRedis(t *testing.T) {
	for _, savePoints := range []string{"", "100000 1000000"} {
		_, ours := startServer(t, "--save", savePoints)
		redis := redistest.Start(t, t.TempDir(), "--enable-debug-command", "yes", "--save", savePoints)
		master := startRedis(t, "--repl-diskless-sync-delay", "0")
		m := dial(t, master)
		m.want("SET a 1", "+OK")
		r, o := dial(t, redis), dial(t, ours)
		for _, line := range []string{
			"SET a 1", "SET b 1", "FLUSHALL", "FLUSHALL", "SET a 1", "FLUSHDB", "FLUSHDB", "SELECT 3", "SET a 1", "FLUSHALL ASYNC", "SELECT 0",
			"MULTI", "SET a 1", "FLUSHALL", "SET b 1", "EXEC", "DEBUG POPULATE 10", "PUBLISH a b", "GET none", "DEL none",
			"SAVE", "SET a 1", "BGSAVE", "SET a 1", "DEBUG RELOAD", "SET a 1", "DEBUG RELOAD NOSAVE", "SET a 1", "DEBUG RELOAD NOSAVE NOFLUSH MERGE",
			"CONFIG SET save \"\"", "SET a 1", "FLUSHALL", "CONFIG SET save \"100000 1000000\"", "SET a 1", "FLUSHALL", "BGREWRITEAOF",
			"CONFIG RESETSTAT", "SET a 1", "REPLICAOF " + hostPort(master), "REPLICAOF NO ONE",
		} {
			var counters [2]string
			for i, c := range []*testConn{r, o} {
				c.do(line)
				if strings.HasPrefix(line, "BG") {
					eventually(t, c, "INFO persistence", "rdb_bgsave_in_progress:0")
					eventually(t, c, "INFO persistence", "aof_rewrite_in_progress:0")
				}
				if line == "REPLICAOF "+hostPort(master) {
					eventually(t, c, "INFO replication", "master_link_status:up")
				}
				counters[i] = strings.Join(saveCounters.FindAllString(string(c.do("INFO persistence").Str), -1), " ")
			}
			require.Equal(t, counters[0], counters[1], line)
		}
	}
}

// A rewrite while appendonly is no leaves a base and nothing else: there is no log that could follow it.
func TestRewriteWithoutALogAsRealRedis(t *testing.T) {
	for _, preamble := range []string{"yes", "no"} {
		dirs := [2]string{t.TempDir(), t.TempDir()}
		redis := dial(t, redistest.Start(t, dirs[0], "--aof-use-rdb-preamble", preamble))
		_, addr := startServer(t, "--dir", dirs[1], "--aof-use-rdb-preamble", preamble)
		ours := dial(t, addr)
		rewritten := func(c *testConn) {
			eventually(t, c, "INFO persistence", "aof_rewrite_scheduled:0")
			eventually(t, c, "INFO persistence", "aof_rewrite_in_progress:0")
		}
		for _, line := range []string{
			"SET a 1", "BGREWRITEAOF", "SET b 1", "BGREWRITEAOF", "CONFIG SET appendonly yes", "SET c 1", "BGREWRITEAOF",
			"CONFIG SET appendonly no", "BGREWRITEAOF", "SET d 1", "BGREWRITEAOF", "CONFIG SET appendonly yes", "CONFIG SET appendonly no",
		} {
			for _, c := range []*testConn{redis, ours} {
				c.do(line)
				rewritten(c)
			}
			require.Equal(t, aofFiles(t, dirs[0]), aofFiles(t, dirs[1]), line)
		}
		// The base is all there is, and all there has to be.
		_, again := startServer(t, "--dir", dirs[1], "--appendonly", "yes")
		dial(t, again).want("MGET a b c d", `*["1" "1" "1" "1"]`)
	}
}

// aofFiles returns the manifest below dir and the names of the files beside it, as soon as those that are
// not in force any more have been deleted.
func aofFiles(t *testing.T, dir string) (files []string) {
	t.Helper()
	dir = filepath.Join(dir, "appendonlydir")
	require.Eventually(t, func() bool {
		entries, err := os.ReadDir(dir)
		if os.IsNotExist(err) {
			files = nil
			return true
		}
		manifest, err := os.ReadFile(filepath.Join(dir, "appendonly.aof.manifest"))
		if err != nil {
			return false
		}
		files = []string{string(manifest)}
		for _, e := range entries {
			files = append(files, e.Name())
		}
		return len(entries) == 1+strings.Count(string(manifest), "\n")
	}, time.Minute, time.Millisecond)
	return files
}
