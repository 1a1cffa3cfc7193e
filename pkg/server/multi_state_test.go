package server

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"byor/pkg/redistest"

	"github.com/stretchr/testify/require"
)

// stateChanges are what may happen between the queueing of a command and EXEC. before and after are
// commands on another connection.
var stateChanges = map[string]struct{ before, after []string }{
	"READONLY":   {nil, []string{"REPLICAOF 127.0.0.1 1"}},
	"MASTERDOWN": {nil, []string{"CONFIG SET replica-serve-stale-data no", "REPLICAOF 127.0.0.1 1"}},
	"MASTERDOWN on a writable replica": {nil, []string{"CONFIG SET replica-serve-stale-data no replica-read-only no",
		"REPLICAOF 127.0.0.1 1"}},
	"OOM":        {[]string{"SET big x"}, []string{"CONFIG SET maxmemory 1"}},
	"NOREPLICAS": {nil, []string{"CONFIG SET min-replicas-to-write 1"}},
	"MISCONF":    {nil, []string{"CONFIG SET save \"1000 1000\"", "BGSAVE"}},
	"NOAUTH":     {nil, []string{"CONFIG SET requirepass x"}},
}

const stateReset = "CONFIG SET replica-serve-stale-data yes replica-read-only yes maxmemory 0 min-replicas-to-write 0 save \"\" requirepass \"\""

// A transaction is refused whole when one of its commands is not allowed any more, in Redis's words; and
// what is queued afterwards is refused at once.
func TestExecAfterTheStateHasChanged(t *testing.T) {
	root := t.TempDir()
	dirs := [2]string{filepath.Join(root, "redis"), filepath.Join(root, "ours")}
	for _, dir := range dirs {
		require.NoError(t, os.Mkdir(dir, 0o755))
	}
	redis := redistest.Start(t, dirs[0], "--enable-debug-command", "yes")
	_, ours := startServer(t, "--dir", dirs[1])
	for name, change := range stateChanges {
		var got [2][]string
		for i, addr := range []string{redis, ours} {
			admin := dial(t, addr)
			for _, line := range change.before {
				admin.want(line, "+OK")
			}
			for _, line := range []string{"SET k v", "GET k", "PING", "CONFIG GET maxmemory", "PUBLISH a b", "PFCOUNT k2", "SUBSCRIBE ch", "DEL x"} {
				c, late := dial(t, addr), dial(t, addr)
				seen := []string{line, show(c.do("MULTI")), show(late.do("MULTI")), show(c.do(line))}
				if strings.HasPrefix(name, "MISCONF") { // nowhere to save to
					require.NoError(t, os.RemoveAll(dirs[i]))
				}
				for _, line := range change.after {
					admin.do(line)
				}
				if strings.HasPrefix(name, "MISCONF") {
					// The status may be that of the save before: this one must end before its directory is back.
					eventually(t, admin, "INFO persistence", "rdb_bgsave_in_progress:0")
					eventually(t, admin, "INFO persistence", "rdb_last_bgsave_status:err")
				}
				seen = append(seen, show(c.do("EXEC")), show(late.do(line)), show(late.do("EXEC")))
				got[i] = append(got[i], strings.Join(seen, " | "))
				require.NoError(t, os.MkdirAll(dirs[i], 0o755))
				admin.want(stateReset, "+OK")
				admin.want("REPLICAOF NO ONE", "+OK")
				admin.do("DEL k")
			}
		}
		require.Equal(t, got[0], got[1], name)
	}
}
