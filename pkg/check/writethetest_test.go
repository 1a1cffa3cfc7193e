package check_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"byor/pkg/check"
	"byor/pkg/check/course"
	"byor/pkg/check/mytest"
	"byor/pkg/check/process"

	"github.com/stretchr/testify/require"
)

// The exercise "Write the test": make check-NN EX=test.

// A mutant of a step with that exercise says in words what is wrong with it.
func TestMutantsSayTheirMistake(t *testing.T) {
	for _, step := range mytest.Steps {
		asked, err := check.Testable(built.root, step)
		require.NoError(t, err)
		require.GreaterOrEqual(t, len(asked), 15, "mistakes that a test of step %02d can catch", step)
		for _, m := range asked {
			about, err := check.About(built.root, m)
			require.NoError(t, err)
			require.NotEmpty(t, about, m.Name)
		}
	}
	words := map[string]string{}
	for _, m := range mutants(t) {
		if mytest.At(m.Step) {
			require.Regexp(t, `^It .*\.$`, m.Mistake, "%s needs a line: # mistake: It …", m.Name)
			require.LessOrEqual(t, len(m.Mistake), 95, "%s: it is told in one line", m.Name)
			require.Empty(t, words[m.Mistake], m.Name)
			words[m.Mistake] = m.Name
		}
	}
}

// (f) The solution catches four fifths at least. A test that asserts nothing, and one that always fails, are told so.
func TestCourseWriteTheTest(t *testing.T) {
	t.Parallel()
	for _, step := range mytest.Steps {
		t.Run(course.Folders[step], func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			_, err := course.Overlay(built.root, dir, filepath.Join(built.root, course.Folders[step], "solutions", "test.patch"))
			require.NoError(t, err)
			out, said := judged(t, step, filepath.Join(dir, course.Folders[step]))
			for again := 0; again < 2 && !out.Pass(); again++ { // a busy machine may be too late once
				t.Logf("%s", said)
				out, said = judged(t, step, filepath.Join(dir, course.Folders[step]))
			}
			require.True(t, out.Pass(), "%s", said)
			t.Logf("%s", said)
			require.Contains(t, said, fmt.Sprintf("%d of %d caught: a pass", out.Caught(), len(out.Verdicts)))

			for body, words := range map[string]string{"": "asserts nothing", `t.Fatal("never")`: "fails against the right server"} {
				dir := t.TempDir()
				text := "package main\n\nimport \"testing\"\n\nfunc TestServer(t *testing.T) {" + body + "}\n"
				require.NoError(t, os.WriteFile(filepath.Join(dir, mytest.File), []byte(text), 0o644))
				out, said := judged(t, step, dir)
				require.False(t, out.Pass())
				require.Contains(t, said, words)
			}
		})
	}
}

// judged lets the test in dir meet the servers of step, and returns what a learner reads.
func judged(t *testing.T, step int, dir string) (mytest.Outcome, string) {
	t.Helper()
	test, err := mytest.Compile(t.Context(), built.root, dir, t.TempDir())
	require.NoError(t, err)
	mutants, err := check.Testable(built.root, step)
	require.NoError(t, err)
	server := func(patch string) func() (*process.Target, error) {
		return func() (*process.Target, error) { return built.get(step, patch) }
	}
	j := &mytest.Judge{Right: server("")}
	for _, m := range mutants {
		about, err := check.About(built.root, m)
		require.NoError(t, err)
		j.Mistakes = append(j.Mistakes, mytest.Mistake{Words: m.Mistake, About: about, Server: server(m.Patch)})
	}
	var said bytes.Buffer
	p := &mytest.Report{W: &said, Step: step}
	j.Each = p.Verdict
	out, err := j.Run(t.Context(), test)
	require.NoError(t, err)
	p.Outcome(out)
	return out, said.String()
}
