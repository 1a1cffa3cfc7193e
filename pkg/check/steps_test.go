package check

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Every step says in its first line what to type next, shows with -trace what comes in and goes out,
// and ends with Ctrl-C and exit code 0.
func TestStepsGreetAndTrace(t *testing.T) {
	for step := 1; step <= Last; step++ {
		t.Run(Folders[step], func(t *testing.T) {
			t.Parallel()
			s, err := startServer(t.Context(), built.target(t, step, ""), Options{Dir: t.TempDir(), Extra: []string{"-trace"}})
			if s != nil {
				defer s.end()
			}
			require.NoError(t, err)
			ct := &T{ctx: t.Context(), target: s.target, shared: s, limit: patient, log: &traffic{}}
			defer ct.close()
			c := ct.Dial().Send("PING\r\n")
			require.NoError(t, c.fill(time.Now().Add(patient)))
			shows := func(what string) {
				require.Eventually(t, func() bool { return strings.Contains(s.Output(), what) }, patient, 5*time.Millisecond, "%s in\n%s", what, s.Output())
			}
			shows(` in   "PING\r\n"`)
			shows(` out  "` + strings.Trim(Visible(c.in, 0), `"`))
			greeting, _, _ := strings.Cut(s.Output(), "\n")
			require.Regexp(t, fmt.Sprintf(`\b%d\b`, s.Port), greeting)
			require.Regexp(t, `redis-cli -p|nc 127|redis-server --port`, greeting)
			if runtime.GOOS == "windows" {
				return // no process can press Ctrl-C for another
			}
			s.Signal(sigInt)
			code, ended := s.Exit(patient)
			require.True(t, ended && code == 0, "ended: %v, exit code %d%s", ended, code, s.said())
		})
	}
}
