//go:build unix

package server

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestShutdownNosaveEndsScripts: a script that has written and does not end goes with the server. Nothing of it is
// in the log, and nobody is told that it was done.
func TestShutdownNosaveEndsScripts(t *testing.T) {
	for name, start := range map[string]func(testing.TB, string, ...string) *process{"redis": launchRedis, "ours": launchOurs} {
		for _, wrapped := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				dir := t.TempDir()
				options := []string{"--appendonly", "yes", "--appendfsync", "always", "--busy-reply-threshold", "50"}
				p := start(t, dir, options...)
				c := p.dial()
				c.want("SET before 1", "+OK")
				runs := p.dial()
				if wrapped {
					runs.want("MULTI", "+OK")
					runs.want("SET inside 1", "+QUEUED")
				}
				runs.send("EVAL", "redis.call('set', 'half', 1) while true do end", "0")
				if wrapped {
					require.Equal(t, "+QUEUED", show(runs.read()))
					runs.send("EXEC")
				}
				require.Eventually(t, func() bool { return show(c.do("PING")) == busyScript }, time.Minute, time.Millisecond)
				c.want("SCRIPT KILL", unkillable)
				c.want("SHUTDOWN SAVE", busyScript)
				c.send("SHUTDOWN", "NOSAVE")
				c.wantClosed()
				runs.wantClosed()
				require.Equal(t, 0, p.wait())
				c = start(t, dir, options...).dial()
				c.want("GET before", `"1"`)
				c.want("EXISTS half inside", ":0")
			})
		}
	}
}
