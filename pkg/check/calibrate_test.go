package check

import (
	"context"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// needTools skips where a real tool is not installed, except in CI, which installs all.
func needTools(t *testing.T, tools ...string) {
	t.Helper()
	for _, tool := range tools {
		if _, err := exec.LookPath(tool); err != nil {
			if os.Getenv("CI") != "" {
				t.Fatalf("%s is not installed", tool)
			}
			t.Skipf("%s is not installed: the checks are not calibrated against it", tool)
		}
	}
}

// runChecks runs checks against target and returns the results by name.
func runChecks(t *testing.T, target *Target, limit time.Duration, checks []Check) []Result {
	t.Helper()
	r := Runner{Limit: limit, Workers: 4}
	results, err := r.Run(context.Background(), target, checks)
	require.NoError(t, err)
	return results
}

func requirePassed(t *testing.T, results []Result) {
	t.Helper()
	for _, r := range results {
		require.NotEqual(t, Failed, r.Status, "%02d %s (exercise %d)\nsent %s\nexpected %s\ngot %s\nhint %s",
			r.Step, r.Name, r.Ex, r.Sent, r.Expected, r.Got, r.Hint)
		require.NotEqual(t, Skipped, r.Status, "%02d %s: %s", r.Step, r.Name, r.Why)
	}
}

// A real redis-server passes every check that is about the protocol, the files or replication:
// then a check that fails is right to do so.
func TestRealRedisPasses(t *testing.T) {
	needTools(t, "redis-server", "redis-cli", "redis-check-rdb", "redis-check-aof")
	target, err := RedisTarget()
	require.NoError(t, err)
	for step := 2; step <= Last; step++ {
		t.Run(Folders[step], func(t *testing.T) {
			t.Parallel()
			var checks []Check
			for _, c := range Of(step, 0) {
				if c.NotRedis == "" {
					checks = append(checks, c)
				}
			}
			requirePassed(t, runChecks(t, target, 10*time.Second, checks))
		})
	}
}
