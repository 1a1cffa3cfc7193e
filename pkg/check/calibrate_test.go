package check_test

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"byor/pkg/check"
	"byor/pkg/check/course"
	"byor/pkg/check/process"
	"byor/pkg/redistest"

	"github.com/stretchr/testify/require"
)

// The checks are checked: what must pass passes, what must fail fails, with the right words. What is called TestCourse…
// takes minutes; `make test-course` runs it, and `make test` leaves it out.

const (
	patient   = 10 * time.Second        // limit for what must pass, on a busy machine
	impatient = 1500 * time.Millisecond // limit for what must fail
)

// runChecks runs checks against target and returns the results.
func runChecks(t *testing.T, target *process.Target, limit time.Duration, checks []check.Check) []check.Result {
	t.Helper()
	r := check.Runner{Limit: limit, Workers: 4}
	results, err := r.Run(context.Background(), target, checks)
	require.NoError(t, err)
	return results
}

// requirePassed fails with the first result that is no pass. A check skipped for want of a tool
// fails only in CI.
func requirePassed(t *testing.T, results []check.Result) {
	t.Helper()
	for _, r := range results {
		if r.Status == check.Failed || r.Status == check.Skipped && os.Getenv("CI") != "" {
			t.Errorf("%02d %s (exercise %d) %s %s\nsent %s\nexpected %s\ngot %s\nhint %s",
				r.Step, r.Name, r.Ex, r.Status, r.Why, r.Sent, r.Expected, r.Got, r.Hint)
		}
	}
}

// (a) A real redis-server passes every check that is about the protocol, the files or replication:
// then a check that fails is right to do so.
func TestCourseRealRedisPasses(t *testing.T) {
	t.Parallel()
	redistest.Need(t, "redis-server", "redis-cli", "redis-check-rdb", "redis-check-aof")
	target, err := process.RedisTarget()
	require.NoError(t, err)
	for step := 2; step <= course.Last; step++ {
		t.Run(course.Folders[step], func(t *testing.T) {
			t.Parallel()
			var checks []check.Check
			for _, ex := range append([]int{0}, check.Exercises(step)...) {
				for _, c := range check.Of(step, ex) {
					if c.NotRedis == "" {
						checks = append(checks, c)
					}
				}
			}
			requirePassed(t, runChecks(t, target, patient, checks))
		})
	}
}

// (b) Each step passes its own checks and all earlier ones that still apply. Without WHOLE=1
// the slow ones among the earlier are asked of the capstone alone.
func TestCourseStepsPass(t *testing.T) {
	t.Parallel()
	for step := 1; step <= course.Last; step++ {
		if !hasStep(step) {
			continue
		}
		t.Run(course.Folders[step], func(t *testing.T) {
			t.Parallel()
			checks := check.Applying(step)
			checks = slices.DeleteFunc(checks, func(c check.Check) bool {
				return step < course.Last && c.Step < step && c.Slow > 1 && os.Getenv("WHOLE") == ""
			})
			requirePassed(t, runChecks(t, built.target(t, step, ""), patient, checks))
		})
	}
}

// (c) The step before fails the new checks: each of them asks for something new.
func TestCourseStepBeforeFails(t *testing.T) {
	t.Parallel()
	for step := 2; step <= course.Last; step++ {
		if !hasStep(step - 1) {
			continue
		}
		t.Run(course.Folders[step], func(t *testing.T) {
			t.Parallel()
			var checks []check.Check
			for _, c := range check.Of(step, 0) {
				if c.Before == "" {
					checks = append(checks, c)
				}
			}
			for _, r := range runChecks(t, built.target(t, step-1, ""), impatient, checks) {
				if r.Status == check.Passed || r.Status == check.Skipped && os.Getenv("CI") != "" {
					t.Errorf("%s: %s by %s, which has not learnt that yet", r.Name, r.Status, course.Folders[step-1])
				}
			}
		})
	}
}

func mutants(t *testing.T) []course.Mutant {
	t.Helper()
	out, err := course.Mutants(built.root)
	require.NoError(t, err)
	return out
}

// (d) Each mistake that the guides name is caught: the first check that fails, the one that a learner is told,
// has the hint that names it. With WHOLE=1 the slow ones in front of it, and
// those that start servers, are asked, too.
func TestCourseMutants(t *testing.T) {
	t.Parallel()
	for _, m := range mutants(t) {
		t.Run(m.Name, func(t *testing.T) {
			t.Parallel()
			target := built.target(t, m.Step, m.Patch)
			checks := check.Of(m.Step, 0)
			at := slices.IndexFunc(checks, func(c check.Check) bool { return c.Name == m.Check })
			require.GreaterOrEqual(t, at, 0, "step %02d has no check %q", m.Step, m.Check)
			if strings.Contains(m.Hint, "strace") {
				redistest.Need(t, "strace")
			}
			first := slices.Clone(checks[:at])
			if os.Getenv("WHOLE") == "" {
				first = slices.DeleteFunc(first, func(c check.Check) bool { return c.Slow > 1 || c.Own })
			}
			r := firstFailure(t, m, target, append(first, checks[at]))
			if r.Status == check.Skipped && os.Getenv("CI") == "" {
				t.Skip(r.Why)
			}
			require.Equal(t, check.Failed, r.Status, "the mutant passes: %s", r.Why)
			require.Equal(t, m.Check, r.Name, "another check fails first: expected %s\ngot %s\nhint %s", r.Expected, r.Got, r.Hint)
			require.Contains(t, strings.ToLower(r.Hint), strings.ToLower(m.Hint), "expected %s\ngot %s", r.Expected, r.Got)
		})
	}
}

// firstFailure runs checks, of which the mutant must fail the last, up to the first that it fails. A race
// may go well a few times; and a busy machine may be too late for something else once or twice, but not each time.
func firstFailure(t *testing.T, m course.Mutant, target *process.Target, checks []check.Check) (r check.Result) {
	t.Helper()
	for tries, others := 0, 0; tries < 12 && others < 3; tries++ {
		ctx, stop := context.WithCancel(context.Background())
		runner := check.Runner{Limit: impatient, Each: func(each check.Result) {
			if ctx.Err() == nil && (each.Status == check.Failed || each.Name == m.Check) {
				r = each
				stop()
			}
		}}
		_, err := runner.Run(ctx, target, checks)
		require.NoError(t, err)
		switch named := strings.Contains(strings.ToLower(r.Hint), strings.ToLower(m.Hint)); {
		case r.Name == m.Check && (r.Status == check.Skipped || r.Status == check.Failed && named):
			return r
		case r.Status == check.Failed:
			others++
		default:
			checks = checks[len(checks)-1:] // the others pass
		}
	}
	return r
}

// At least four mistakes of each step are kept as mutants.
func TestMutantsPerStep(t *testing.T) {
	count := map[int]int{}
	for _, m := range mutants(t) {
		count[m.Step]++
	}
	for step := 1; step <= course.Last; step++ {
		if _, err := os.Stat(filepath.Join(built.root, course.Folders[step], "GUIDE.md")); err == nil {
			require.GreaterOrEqual(t, count[step], 4, "mutants of %s", course.Folders[step])
		}
	}
}

// (e) Each exercise's check fails on the shipped code and passes with the solution applied, and with it the step's
// quick checks do.
func TestCourseExercises(t *testing.T) {
	t.Parallel()
	for step := 1; step <= course.Last; step++ {
		patches, err := filepath.Glob(filepath.Join(built.root, course.Folders[step], "solutions", "*.patch"))
		require.NoError(t, err)
		for _, patch := range patches {
			if filepath.Base(patch) == "test.patch" {
				continue // see TestCourseWriteTheTest
			}
			ex, err := strconv.Atoi(strings.TrimSuffix(filepath.Base(patch), ".patch"))
			require.NoError(t, err, "%s must be called k.patch", patch)
			t.Run(course.Folders[step]+"/"+strconv.Itoa(ex), func(t *testing.T) {
				t.Parallel()
				checks := check.Of(step, ex)
				require.NotEmpty(t, checks, "exercise %d of step %02d has a solution but no check", ex, step)
				requirePassed(t, runChecks(t, built.target(t, step, patch), patient, check.Asked(step, ex)))
				failed := 0
				for _, r := range runChecks(t, built.target(t, step, ""), impatient, checks) {
					if r.Status == check.Failed || r.Status == check.Skipped && os.Getenv("CI") == "" {
						failed++
					}
				}
				require.Positive(t, failed, "the shipped code passes without the exercise being solved")
			})
		}
	}
}
