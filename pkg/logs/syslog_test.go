//go:build unix

package logs

import (
	"log/syslog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"byor/pkg/config"
	"byor/pkg/redistest"
)

// The system's log gets the message alone, by Redis's priorities, and the other log as well.
func TestSyslog(t *testing.T) {
	path, next := redistest.Unixgram(t)
	before := dialSyslog
	defer func() { dialSyslog = before }()
	dialSyslog = func(p syslog.Priority, tag string) (*syslog.Writer, error) {
		return syslog.Dial("unixgram", path, p, tag)
	}
	cfg := config.Default()
	logfile := filepath.Join(t.TempDir(), "log")
	require.NoError(t, cfg.ParseArgs([]string{"--syslog-enabled", "yes", "--syslog-ident", "cache", "--syslog-facility", "local3", "--logfile", logfile, "--loglevel", "debug"}))
	l := New(cfg)
	for lvl, severity := range []int{7, 6, 5, 4} { // debug, info, notice, warning
		l.Printf(Level(lvl), "hello %d", lvl)
		require.Regexp(t, `^<`+strconv.Itoa(19<<3|severity)+`>.* cache\[`+strconv.Itoa(os.Getpid())+`\]: hello `+strconv.Itoa(lvl)+`\n$`, next())
	}
	b, err := os.ReadFile(logfile)
	require.NoError(t, err)
	require.Equal(t, 4, strings.Count(string(b), "hello"))
}
