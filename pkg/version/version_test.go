package version

import (
	"os/exec"
	"path"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"byor/pkg/redistest"
)

// wrongValues are command lines with a wrong value, and words of the answer.
var wrongValues = map[string]map[string]string{
	"06-rdb":         {"-appendonly maybe": "appendonly maybe yes no"},
	"07-pubsub":      {"-appendonly maybe": "appendonly maybe yes no"},
	"08-replication": {"--appendonly=": "appendonly yes no"},
	"09-shutdown":    {"-appendonly maybe": "appendonly maybe yes no"},
	"10-websocket-capstone": {"--maxmemory x": "maxmemory bytes", "--http-port 70000": "http-port 65535", "--ws-compression maybe": "ws-compression yes no",
		"nosuch.conf": "nosuch.conf", "--maxmemry 1": "maxmemory"},
	"check": {"-step x": "step", "05": "05 -step", "-limit 3": "limit 3"},
	"bench": {"-c x": "-c", "-P 0": "-P 10000"},
}

// Every program of the course says what it is and what it takes, and what is wrong with a flag.
func TestEveryProgram(t *testing.T) {
	for _, pkg := range []string{"01-tcp-echo", "02-resp-parser", "03-get-set", "04-expiry", "05-aof", "06-rdb", "07-pubsub", "08-replication",
		"09-shutdown", "10-websocket-capstone", "10-websocket-capstone/bench", "pkg/check/cmd/check"} {
		t.Run(pkg, func(t *testing.T) {
			t.Parallel()
			bin := redistest.Program(t, pkg)
			run := func(args ...string) (string, int) {
				cmd := exec.Command(bin, args...)
				cmd.Dir = t.TempDir()
				out, _ := cmd.CombinedOutput()
				return string(out), cmd.ProcessState.ExitCode()
			}
			for _, flag := range []string{"-h", "--help"} {
				out, code := run(flag)
				require.Zero(t, code, "%s\n%s", flag, out)
				require.Regexp(t, `(?m)^ +--?(addr|port)`, out)
				require.Contains(t, out, "version")
			}
			for _, flag := range []string{"-v", "--version"} {
				out, code := run(flag)
				require.Zero(t, code, out)
				require.Contains(t, out, path.Base(pkg)+" of build your own Redis")
			}
			out, code := run("--nosuchflag", "1")
			require.NotZero(t, code)
			require.Contains(t, out, "nosuchflag")
			require.Regexp(t, `-help`, out)
			if strings.HasPrefix(pkg, "0") { // which take flags only
				out, code := run("-addr", "127.0.0.1:1", "stray")
				require.Equal(t, 2, code)
				require.Contains(t, out, `"stray"`)
				require.Regexp(t, `-help`, out)
			}
			for wrong, names := range wrongValues[path.Base(pkg)] {
				out, code := run(strings.Fields(wrong)...)
				require.NotZero(t, code, wrong)
				for _, name := range strings.Fields(names + " -help") {
					require.Contains(t, out, name, wrong)
				}
			}
		})
	}
}
