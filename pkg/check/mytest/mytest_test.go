package mytest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"byor/pkg/check/course"
	"byor/pkg/check/process"
	"byor/pkg/redistest"
)

// Tests of a learner as they come, the good one and the others. Step 02 is right, and step 01, which sends everything
// back, is a mistake.

const ping = `package main_test

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"testing"
)

func TestPing(t *testing.T) {
	conn, err := net.Dial("tcp", os.Getenv("ADDR"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "PING\r\n")
	if got, _ := bufio.NewReader(conn).ReadString('\n'); got != "+PONG\r\n" {
		t.Fatalf("PING is answered with %q", got)
	}
}
`

// simple returns a file with one test.
func simple(imports, body string) string {
	text := "package main_test\n\nimport (\n\t\"testing\"\n"
	for _, name := range strings.Fields(imports) {
		text += fmt.Sprintf("\t%q\n", name)
	}
	return text + ")\n\nfunc TestServer(t *testing.T) {\n\t" + body + "\n}\n"
}

// compiled writes and compiles a my_test.go, beside a file that does not compile.
func compiled(t *testing.T, text string) (*Test, error) {
	t.Helper()
	root, err := course.Root()
	require.NoError(t, err)
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "main.go"), []byte("package main // half written {"), 0o644))
	if text != "" {
		require.NoError(t, os.WriteFile(filepath.Join(dir, File), []byte(text), 0o644))
	}
	return Compile(t.Context(), root, dir, t.TempDir())
}

func program(t *testing.T, step int) func() (*process.Target, error) {
	path := redistest.Program(t, course.Folders[step])
	return func() (*process.Target, error) { return process.StepTarget(step, path), nil }
}

var seconds = regexp.MustCompile(`\(\d+\.\d+s\)`)

func TestCompile(t *testing.T) {
	for text, want := range map[string]string{
		"":                  "there is no",
		"package main_test": "has no test",
		"package main_test\nfunc TestX() { undefined() }": "does not compile",
		"package main_test\nimport (\"os\"; \"testing\")\nfunc TestMain(*testing.M) { os.Exit(0) }\nfunc BenchmarkX(*testing.B) {}\n": "has no test",
	} {
		_, err := compiled(t, text)
		require.ErrorContains(t, err, want)
	}
	test, err := compiled(t, ping)
	require.NoError(t, err)
	require.Equal(t, []string{"TestPing"}, test.Names)
}

// One of two mistakes is caught: the other server has none.
func TestVerdicts(t *testing.T) {
	test, err := compiled(t, ping)
	require.NoError(t, err)
	right := program(t, 2)
	j := &Judge{Right: right, Mistakes: []Mistake{{Words: "It has none.", About: "The idea", Server: right},
		{Words: "It sends everything back.", About: "On the wire", Server: program(t, 1)}}}
	var text, lines bytes.Buffer
	for _, p := range []*Report{{W: &text, Step: 2, Verbose: true}, {W: &lines, Step: 2, JSON: true}} {
		j.Each = p.Verdict
		p.Title("work/02/my_test.go", test, j)
		out, err := j.Run(t.Context(), test)
		require.NoError(t, err)
		p.Outcome(out)
		require.False(t, out.Pass())
		require.Equal(t, 1, out.Caught())
	}
	require.Equal(t, `02-resp-parser, judging work/02/my_test.go (tests: 1) by the right server and by 2 with a mistake
  caught   It sends everything back.
               my_test.go:19: PING is answered with "PING\r\n"
           --- FAIL: TestPing (0.00s)
  slipped  a mistake about "The idea" in GUIDE.md
1 of 2 caught: not yet a pass (four fifths are 2)
`, seconds.ReplaceAllString(text.String(), "(0.00s)"))
	var got []line
	for _, l := range strings.Split(strings.TrimSpace(lines.String()), "\n") {
		var v line
		require.NoError(t, json.Unmarshal([]byte(l), &v))
		got = append(got, v)
	}
	require.Len(t, got, 3)
	require.True(t, !*got[0].Caught && *got[1].Caught && !*got[2].Passed)
	require.Equal(t, []string{"", "It sends everything back.", ""}, []string{got[0].Mistake, got[1].Mistake, got[2].Mistake})
}

// Many mistakes about one section take one line.
func TestSlippedBySection(t *testing.T) {
	var text bytes.Buffer
	p := &Report{W: &text, Step: 2}
	var out Outcome
	for _, about := range []string{"one", "two", "one", "one"} {
		out.Verdicts = append(out.Verdicts, Verdict{Mistake: Mistake{About: about}})
		p.Verdict(out.Verdicts[len(out.Verdicts)-1])
	}
	p.Outcome(out)
	require.Equal(t, `  slipped  3 mistakes about "one" in GUIDE.md
  slipped  a mistake about "two" in GUIDE.md
0 of 4 caught: not yet a pass (four fifths are 4)
`, text.String())
}

func TestEnough(t *testing.T) {
	for n, want := range map[int]int{1: 1, 5: 4, 6: 5, 17: 14, 20: 16, 21: 17} {
		require.Equal(t, want, enough(n), "%d", n)
	}
	three := Outcome{Verdicts: []Verdict{{Caught: true}, {Caught: true}, {Caught: true}, {}}}
	require.False(t, three.Pass())
	three.Verdicts[3].Caught = true
	require.True(t, three.Pass())
	three.Stop = "it failed once more"
	require.False(t, three.Pass())
	require.False(t, Outcome{}.Pass(), "nothing was asked")
}

// What proves nothing is not asked about mistakes, and is told why in a sentence.
func TestStops(t *testing.T) {
	right := program(t, 2)
	seen := filepath.Join(t.TempDir(), "seen")
	for name, c := range map[string]struct{ text, stop, output string }{
		"empty":   {simple("", ""), "asserts nothing", ""},
		"skips":   {simple("", `t.Skip("later")`), "asserts nothing", ""},
		"fails":   {simple("", `t.Fatal("never")`), "fails against the right server", "my_test.go:8: never"},
		"crashes": {simple("", `var m map[int]int; m[0] = 1`), "fails against the right server", "assignment to entry in nil map"},
		"hangs":   {simple("", `select {}`), "fails against the right server", "running tests:\n\t\tTestServer"},
		"by chance": {simple("os net", fmt.Sprintf(`if _, err := net.Dial("tcp", os.Getenv("ADDR")); err != nil { t.Fatal(err) }
	_, err := os.Stat(%q)
	os.WriteFile(%[1]q, nil, 0o644)
	if err == nil { t.Fatal("not again") }`, seen)), "depends on chance", "not again"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test, err := compiled(t, c.text)
			require.NoError(t, err)
			j := &Judge{Right: right, Mistakes: []Mistake{{Words: "none", About: "none", Server: right}}, Patience: 20 * time.Second}
			if name == "hangs" {
				j.Patience = time.Second
			}
			out, err := j.Run(t.Context(), test)
			require.NoError(t, err)
			require.Contains(t, out.Stop, c.stop)
			require.Contains(t, out.Output, c.output)
			require.False(t, out.Pass())
		})
	}
}

// Nothing that a test has started outlives it.
func TestLeavesNothing(t *testing.T) {
	addr := filepath.Join(t.TempDir(), "addr")
	test, err := compiled(t, simple("bufio os os/exec strings", fmt.Sprintf(`cmd := exec.Command(os.Getenv("SERVER"), "-addr", "127.0.0.1:0")
	out, _ := cmd.StdoutPipe()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	hello, _ := bufio.NewReader(out).ReadString('\n')
	os.WriteFile(%q, []byte(strings.TrimSuffix(strings.Fields(hello)[3], ".")), 0o644)`, addr)))
	require.NoError(t, err)
	right, err := program(t, 2)()
	require.NoError(t, err)
	r, err := test.against(t.Context(), right, time.Minute)
	require.NoError(t, err)
	require.True(t, r.passed, "%s", r.output)
	b, err := os.ReadFile(addr)
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		conn, err := net.Dial("tcp", string(b))
		if err == nil {
			conn.Close()
		}
		return err != nil
	}, 10*time.Second, 5*time.Millisecond)
}

// Ctrl-C ends a test that would go on for long.
func TestInterrupted(t *testing.T) {
	test, err := compiled(t, simple("", "select {}"))
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err = (&Judge{Right: program(t, 2)}).Run(ctx, test)
	require.ErrorIs(t, err, context.DeadlineExceeded)
}
