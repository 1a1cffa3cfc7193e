package check_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"byor/pkg/check"
	"byor/pkg/check/course"
	"byor/pkg/check/process"

	"github.com/stretchr/testify/require"
)

// partial returns the server of step with the pieces up to the upto-th, built once, and all pieces.
func (b *bins) partial(t *testing.T, step, upto int) (*process.Target, []course.Piece) {
	t.Helper()
	pieces, err := course.Pieces(b.root, step)
	require.NoError(t, err)
	target, err := b.once(fmt.Sprintf("%02d/%d", step, upto), func(n int) (*process.Target, error) {
		return b.buildPartial(filepath.Join(b.dir, fmt.Sprint("bin", n)), step, upto)
	})
	require.NoError(t, err)
	return target, pieces
}

// partialDir is where partial servers of this run stand: in the tree, since they import its packages.
func partialDir(name string) string { return fmt.Sprintf("work/.test-%d-%s", os.Getpid(), name) }

func (b *bins) buildPartial(bin string, step, upto int) (*process.Target, error) {
	dir := partialDir(fmt.Sprintf("%02d-%d", step, upto))
	b.slots <- true
	defer func() { <-b.slots }()
	pieces, err := course.Fill(b.root, step, dir, upto)
	if err != nil {
		return nil, err
	}
	if err := course.Build(b.root, dir, bin, ""); err != nil {
		return nil, err
	}
	unwritten := course.Unwritten(b.root, step, dir)
	for _, p := range pieces {
		if (p.N > upto) != slices.Contains(unwritten, p.N) {
			return nil, fmt.Errorf("step %02d with pieces up to %d: is piece %d, %s, there?", step, upto, p.N, p.Name)
		}
	}
	target := process.StepTarget(step, bin)
	target.Source = &process.Source{Root: b.root, Dir: dir}
	return target, nil
}

// removePartial removes what buildPartial has left in the tree.
func (b *bins) removePartial() {
	dirs, _ := filepath.Glob(filepath.Join(b.root, partialDir("*")))
	for _, dir := range dirs {
		os.RemoveAll(dir)
	}
	os.Remove(filepath.Join(b.root, "work")) // only if this was all
}

// A learner writes piece after piece. What there is compiles each time, and the checks that are said to pass
// after a piece do. With PIECES=show it is listed which checks pass after which piece.
func TestCoursePieces(t *testing.T) {
	if os.Getenv("PIECES") == "" {
		t.Parallel()
	}
	for step := 1; step <= course.Last; step++ {
		pieces, err := course.Pieces(built.root, step)
		require.NoError(t, err)
		require.NotEmpty(t, pieces, "main.go has no regions")
		left := check.Of(step, 0)
		for upto := 0; upto <= len(pieces); upto++ {
			name := fmt.Sprintf("%02d/%d", step, upto)
			if os.Getenv("PIECES") != "" {
				t.Run(name, func(t *testing.T) { left = showPassing(t, step, upto, left) })
				continue
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				target, pieces := built.partial(t, step, upto)
				if upto == 0 {
					notYet(t, step, target, pieces)
				}
				checks := slices.DeleteFunc(check.Of(step, 0), func(c check.Check) bool { return c.After != upto })
				requirePassed(t, runChecks(t, target, patient, checks))
			})
		}
	}
}

// showPassing lists those of checks that pass after a piece, and returns the others.
func showPassing(t *testing.T, step, upto int, checks []check.Check) (left []check.Check) {
	target, _ := built.partial(t, step, upto)
	var passed []string
	for i, r := range runChecks(t, target, impatient, checks) {
		if r.Status == check.Passed {
			passed = append(passed, fmt.Sprintf("%s (said: %d)", r.Name, r.After))
		} else {
			left = append(left, checks[i])
		}
	}
	t.Logf("after piece %d of step %02d: %s", upto, step, strings.Join(passed, ", "))
	return left
}

// notYet sees to it that a fresh skeleton has not passed the step's checks yet.
func notYet(t *testing.T, step int, skeleton *process.Target, pieces []course.Piece) {
	t.Helper()
	checks := slices.DeleteFunc(check.Of(step, 0), func(c check.Check) bool { return c.After == 0 })
	for _, c := range checks {
		require.LessOrEqual(t, c.After, len(pieces), c.Name)
	}
	for _, r := range runChecks(t, skeleton, impatient/3, checks[:min(5, len(checks))]) {
		require.NotEqual(t, check.Passed, r.Status, "%s passes, although piece %d is to be written", r.Name, r.After)
	}
}
