package logs_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"byor/pkg/config"
	"byor/pkg/logs"
	"byor/pkg/redistest"
)

// A line of our log looks like one of Redis's.
func TestLogLinesLookLikeRedis(t *testing.T) {
	line := regexp.MustCompile(`^\d+:[MSC] \d\d (Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) \d{4} \d\d:\d\d:\d\d\.\d{3} [.\-*#] \S`)
	dir := t.TempDir()
	theirs, ours := filepath.Join(dir, "theirs"), filepath.Join(dir, "ours")
	redistest.Connect(t, redistest.Start(t, t.TempDir(), "--logfile", theirs, "--loglevel", "debug")).Do("DEBUG LOG hello")
	cfg := config.Default()
	require.NoError(t, cfg.ParseArgs([]string{"--port", "0", "--logfile", ours, "--loglevel", "debug"}))
	l := logs.New(cfg)
	for lvl := range logs.Marks {
		l.Printf(logs.Level(lvl), "hello")
	}
	l.SetRole('S')
	l.Printf(logs.Notice, "hello")
	l.SetLevel(logs.Warning)
	l.Printf(logs.Notice, "not this")
	for _, path := range []string{theirs, ours} {
		b, err := os.ReadFile(path)
		require.NoError(t, err)
		lines := strings.Split(strings.TrimSpace(string(b)), "\n")
		require.GreaterOrEqual(t, len(lines), 5)
		for _, s := range lines {
			require.Regexp(t, line, s, path)
		}
		require.NotContains(t, string(b), "not this")
	}
}
