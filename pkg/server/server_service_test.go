//go:build unix

package server

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"byor/pkg/config"
	"byor/pkg/redistest"
	"byor/pkg/supervise"

	"github.com/stretchr/testify/require"
)

// Who renames the log finds what is said from then on in a new file, as with Redis, and SIGHUP makes that sure. A
// path that cannot be opened leaves the log where it is.
func TestLogIsFollowedWhereItGoes(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "log")
	require.NoError(t, os.Mkdir(dir, 0o755))
	path := filepath.Join(dir, "redis.log")
	cfg := config.Default()
	require.NoError(t, cfg.ParseArgs([]string{"--logfile", path, "--port", "0"}))
	s := New(cfg, Options{})
	said := func(path string) string {
		b, err := os.ReadFile(path)
		require.NoError(t, err)
		return string(b)
	}
	s.Warn("one")
	require.NoError(t, os.Rename(path, path+".1"))
	s.Warn("two")
	s.Reload()
	require.NotContains(t, said(path), "one")
	require.Contains(t, said(path), "# two\n")
	require.Contains(t, said(path), "* The log file "+path+" was opened anew.\n")

	moved := dir + ".moved"
	require.NoError(t, os.Rename(dir, moved))
	s.Reload()
	s.Warn("three")
	require.Contains(t, said(filepath.Join(moved, "redis.log")), "# Can't open the log file: No such file or directory. The log goes on into the old one.\n")
	require.Contains(t, said(filepath.Join(moved, "redis.log")), "# three\n")
	require.NoError(t, os.Mkdir(dir, 0o755))
	s.Warn("four") // there is room again
	require.Contains(t, said(path), "# four\n")
}

// A server in the background has a pidfile in any case, unless its supervisor keeps it in the foreground. INFO names
// the supervisor.
func TestServiceSettings(t *testing.T) {
	path, next := redistest.Unixgram(t)
	for _, c := range []struct{ args, pidfile, mode string }{
		{"", "", "no"}, {"--daemonize yes", "/var/run/redis.pid", "no"}, {"--daemonize yes --pidfile /tmp/p", "/tmp/p", "no"},
		{"--daemonize yes --supervised systemd", "", "systemd"}, {"--supervised no", "", "no"},
	} {
		cfg := config.Default()
		require.NoError(t, cfg.ParseArgs(append(strings.Fields(c.args), "--port", "0")))
		boss := supervise.Open(cfg.Supervised, func(name string) string { return map[string]string{"NOTIFY_SOCKET": path}[name] })
		if c.mode == "systemd" {
			require.Contains(t, next(), "loading")
		}
		s := New(cfg, Options{Log: LogTo(testLog(t)), Supervisor: boss})
		s.eng.Lock()
		s.setPidFile()
		s.eng.Unlock()
		require.Equal(t, c.pidfile, s.pidFile, c.args)
		s.files.EndLoading()
		require.Contains(t, ask(t, s, "CONFIG GET pidfile"), c.pidfile)
		require.Contains(t, ask(t, s, "INFO server"), `process_supervised:`+c.mode+`\r\n`, c.args)
	}
}

// The watchdog goes hungry while the engine is stuck.
func TestWatchdogWaitsForTheEngine(t *testing.T) {
	path, next := redistest.Unixgram(t)
	boss := supervise.Open(supervise.Systemd, func(name string) string {
		return map[string]string{"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "20000"}[name]
	})
	require.Contains(t, next(), "loading")
	s, _ := startServer(t)
	ticks, stop, over := make(chan time.Time), make(chan struct{}), make(chan bool)
	go func() { boss.Watch(ticks, stop, s.awaitAnswer); close(over) }()
	ticks <- time.Now()
	require.Equal(t, "WATCHDOG=1\n", next())
	s.eng.Lock() // somebody has it and does not let go
	ticks <- time.Now()
	boss.Status("stuck")
	s.eng.Unlock()
	require.Equal(t, "STATUS=stuck\n", next())
	require.Equal(t, "WATCHDOG=1\n", next())
	close(stop)
	<-over
}
