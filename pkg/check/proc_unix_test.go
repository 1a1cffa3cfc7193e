//go:build unix

package check_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"byor/pkg/check"
	"byor/pkg/check/process"

	"github.com/stretchr/testify/require"
)

// The checker ends all that it started: the server, and what the server's command left behind.
func TestEndsWhatItStarted(t *testing.T) {
	if !hasStep(3) {
		t.Skip("step 03 is not there")
	}
	dir := t.TempDir()
	bin := built.target(t, 3, "").Path
	cmd := fmt.Sprintf("sleep 1000 & echo $! > %[1]s/child; echo $$ > %[1]s/shell; %[2]s -addr 127.0.0.1:$PORT", dir, bin)
	r := check.Runner{Limit: patient}
	results, err := r.Run(context.Background(), process.CmdTarget(3, cmd), check.Of(3, 0)[:2])
	require.NoError(t, err)
	requirePassed(t, results)
	for _, name := range []string{"child", "shell"} {
		pid := readPid(t, filepath.Join(dir, name))
		require.Eventually(t, func() bool { return syscall.Kill(pid, 0) == syscall.ESRCH || zombie(pid) }, time.Minute, 5*time.Millisecond, name)
	}
}

// zombie says whether pid has ended and only waits to be noticed, as orphans do in a container whose first
// process never looks.
func zombie(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && strings.Contains(string(b), ") Z ")
}
