package check_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"byor/pkg/check/course"
	"byor/pkg/check/process"
	"byor/pkg/check/trace"

	"github.com/stretchr/testify/require"
)

// Every step says in its first line what to type next, shows with -trace what comes in and goes out,
// and ends with Ctrl-C and exit code 0.
func TestStepsGreetAndTrace(t *testing.T) {
	for step := 1; step <= course.Last; step++ {
		t.Run(course.Folders[step], func(t *testing.T) {
			t.Parallel()
			s, err := process.Start(t.Context(), built.target(t, step, ""), process.Options{Dir: t.TempDir(), Extra: []string{"-trace"}})
			if s != nil {
				defer s.End()
			}
			require.NoError(t, err)
			c, err := net.Dial("tcp", s.Addr)
			require.NoError(t, err)
			defer c.Close()
			_, err = io.WriteString(c, "PING\r\n")
			require.NoError(t, err)
			reply, err := bufio.NewReader(c).ReadString('\n')
			require.NoError(t, err)
			shows := func(what string) {
				require.Eventually(t, func() bool { return strings.Contains(s.Output(), what) }, patient, 5*time.Millisecond, "%s in\n%s", what, s.Output())
			}
			shows(` in   "PING\r\n"`)
			shows(` out  "` + strings.Trim(trace.Visible([]byte(reply), 0), `"`))
			greeting, _, _ := strings.Cut(s.Output(), "\n")
			require.Regexp(t, fmt.Sprintf(`\b%d\b`, s.Port), greeting)
			require.Regexp(t, `redis-cli -p|nc 127|redis-server --port`, greeting)
			if runtime.GOOS == "windows" {
				return // no process can press Ctrl-C for another
			}
			s.Signal(process.SigInt)
			code, ended := s.Exit(patient)
			require.True(t, ended && code == 0, "ended: %v, exit code %d%s", ended, code, s.Said())
		})
	}
}
