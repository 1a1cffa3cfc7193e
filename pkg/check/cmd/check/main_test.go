//go:build unix

package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"byor/pkg/check"
	"byor/pkg/check/course"
	"byor/pkg/redistest"
)

// The program as a learner uses it: what it prints, remembers, and leaves behind.

// program returns how to start it in a tree of its own, whose only file is go.mod.
func program(t *testing.T) (dir string, start func(args ...string) (*exec.Cmd, *redistest.Buffer)) {
	bin := redistest.Program(t, "pkg/check/cmd/check")
	dir = t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "go.mod"), []byte("module byor\n"), 0o644))
	return dir, func(args ...string) (*exec.Cmd, *redistest.Buffer) {
		cmd, out := exec.Command(bin, args...), &redistest.Buffer{}
		cmd.Dir, cmd.Stdout, cmd.Stderr = dir, out, out
		require.NoError(t, cmd.Start())
		t.Cleanup(func() { cmd.Process.Kill() })
		return cmd, out
	}
}

func eventually(t *testing.T, out *redistest.Buffer, n int, what string) {
	t.Helper()
	require.Eventually(t, func() bool { return strings.Count(out.String(), what) >= n }, time.Minute, 5*time.Millisecond, "%s", what)
}

// echo is a server for step 01 that leaves a child behind.
const echo = `sleep 1000 & echo $! > child; exec python3 -c 'import os, socket, threading
def serve(c):
    while b := c.recv(1 << 16): c.sendall(b)
    c.close()
s = socket.create_server(("127.0.0.1", int(os.environ["PORT"])), backlog=100)
while True: threading.Thread(target=serve, args=(s.accept()[0],), daemon=True).start()'`

func TestWatchChecksAgainAndEndsAll(t *testing.T) {
	redistest.Need(t, "python3")
	dir, start := program(t)
	elsewhere := filepath.Join(t.TempDir(), "server.sh") // not below the working directory
	require.NoError(t, os.WriteFile(elsewhere, []byte("echo not yet; exit 1\n"), 0o644))
	cmd, out := start("-watch", "-step", "1", "-cmd", "sh "+elsewhere)
	eventually(t, out, 1, "not yet")
	eventually(t, out, 1, "waiting for a change")
	require.NoError(t, os.WriteFile(elsewhere, []byte(echo), 0o644))
	eventually(t, out, 1, "passed, ")
	eventually(t, out, 2, "waiting for a change")
	require.Equal(t, 1, strings.Count(out.String(), "passed, "), "its own progress file is no change")
	cmd.Process.Signal(os.Interrupt)
	require.NoError(t, cmd.Wait())
	child, err := os.ReadFile(filepath.Join(dir, "child"))
	require.NoError(t, err)
	require.Eventually(t, func() bool { return gone(strings.TrimSpace(string(child))) }, time.Minute, 5*time.Millisecond)
}

// gone says whether the process has ended. An orphan may stay as a zombie where nobody looks after it.
func gone(pid string) bool {
	n, err := strconv.Atoi(pid)
	if err != nil {
		return false // not written yet
	}
	stat, _ := os.ReadFile("/proc/" + pid + "/stat")
	return syscall.Kill(n, 0) == syscall.ESRCH || strings.Contains(string(stat), ") Z ")
}

// Ctrl-C in the middle of a check: everything ends at once, nothing is called a failure or done.
func TestInterruptEndsAll(t *testing.T) {
	redistest.Need(t, "python3")
	dir, start := program(t)
	silent := strings.Replace(echo, "c.sendall(b)", "pass", 1)
	cmd, out := start("-step", "1", "-limit", "1m", "-cmd", silent)
	require.Eventually(t, func() bool {
		_, err := os.Stat(filepath.Join(dir, "child"))
		return err == nil && strings.Contains(out.String(), "checking")
	}, time.Minute, 5*time.Millisecond)
	time.AfterFunc(50*time.Millisecond, func() { cmd.Process.Signal(syscall.SIGINT) })
	var exit *exec.ExitError
	require.ErrorAs(t, cmd.Wait(), &exit)
	require.NotContains(t, out.String(), "FAIL")
	require.NoFileExists(t, filepath.Join(dir, check.ProgressFile))
	child, err := os.ReadFile(filepath.Join(dir, "child"))
	require.NoError(t, err)
	require.Eventually(t, func() bool { return gone(strings.TrimSpace(string(child))) }, time.Minute, 5*time.Millisecond)
}

// A reader that goes away, as head does, ends the checker, which ends the server.
func TestReaderGoesAway(t *testing.T) {
	redistest.Need(t, "python3")
	dir, _ := program(t)
	r, w, err := os.Pipe()
	require.NoError(t, err)
	cmd := exec.Command(redistest.Program(t, "pkg/check/cmd/check"), "-step", "1", "-cmd", echo)
	cmd.Dir, cmd.Stdout = dir, w
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { cmd.Process.Kill() })
	w.Close()
	_, err = r.Read(make([]byte, 1)) // the title
	require.NoError(t, err)
	r.Close()
	require.Error(t, cmd.Wait())
	require.Eventually(t, func() bool {
		child, err := os.ReadFile(filepath.Join(dir, "child"))
		return err == nil && gone(strings.TrimSpace(string(child)))
	}, 5*time.Second, 5*time.Millisecond)
}

// A server that hangs up while a check writes to it is a failure like any other. The SIGPIPE that comes of it
// does not end the run.
func TestHangingUpIsNoInterruption(t *testing.T) {
	redistest.Need(t, "python3")
	_, start := program(t)
	cmd, out := start("-step", "1", "-limit", "200ms", "-only", "one-byte-writes,binary-1mib", "-cmd", strings.Replace(echo, "c.sendall(b)", "return c.close()", 1))
	require.Error(t, cmd.Wait())
	require.Contains(t, out.String(), "0 passed, 2 failed\n")
}

// JSON is a line a check, for scripts; progress is remembered, and shows what comes next.
func TestJSONAndProgress(t *testing.T) {
	dir, start := program(t)
	server := redistest.Program(t, course.Folders[1])
	cmd, out := start("-json", "-step", "1", "-cmd", "exec "+server+" -addr 127.0.0.1:$PORT")
	cmd.Wait()
	passed := 0
	for _, line := range strings.Split(strings.TrimSpace(out.String()), "\n") {
		var r check.Result
		require.NoError(t, json.Unmarshal([]byte(line), &r), "%s", line)
		if r.Status == check.Passed {
			passed++
		}
	}
	require.Equal(t, len(check.Of(1, 0)), passed, "%s", out)
	cmd, out = start("-progress")
	require.NoError(t, cmd.Wait())
	require.Contains(t, out.String(), "[x] 01-tcp-echo")
	require.Contains(t, out.String(), "Next: read 02-resp-parser/README.md")
	require.FileExists(t, filepath.Join(dir, check.ProgressFile))
}

// The texts have people judge a real Redis, too; that is no step done.
func TestRedisIsNoStepDone(t *testing.T) {
	redistest.Need(t, "redis-server")
	_, start := program(t)
	for _, args := range [][]string{{"-addr", redistest.Start(t, t.TempDir())}, {"-cmd", "exec redis-server --port $PORT --save ''"}} {
		cmd, out := start(append(args, "-step", "3", "-limit", "10s")...)
		require.NoError(t, cmd.Wait(), "%s", out)
		require.Contains(t, out.String(), "Not counted as done: that was a real Redis")
		require.NotContains(t, out.String(), "[x]")
	}
	cmd, out := start("-progress")
	require.NoError(t, cmd.Wait())
	require.Contains(t, out.String(), "[ ] 03-get-set")
}

// Without a step, all of a learner's servers are checked, those that do not compile, too.
func TestAllOfOnes(t *testing.T) {
	dir, start := program(t)
	server := `package main

import ("flag"; "io"; "net")

func main() {
	addr := flag.String("addr", "", "")
	flag.Parse()
	ln, _ := net.Listen("tcp", *addr)
	for {
		c, _ := ln.Accept()
		go func() { io.Copy(c, c); c.Close() }()
	}
}`
	for name, text := range map[string]string{"01": server, "02": "package main // and no more", "03": server} {
		require.NoError(t, os.MkdirAll(filepath.Join(dir, "work", name), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(dir, "work", name, "main.go"), []byte(text), 0o644))
	}
	cmd, out := start("-dir", "work", "-limit", "100ms")
	require.Error(t, cmd.Wait())
	for _, want := range []string{"checking work/01", "echo-line", "work/02 does not compile", "checking work/03", "[>] 01-tcp-echo"} {
		require.Contains(t, out.String(), want)
	}
	require.NotContains(t, out.String(), "work/04")
}

// What counts as done: a learner's own, and an exercise wherever it was solved; not the finished step, not what
// failed, and not a run that left checks out.
func TestRemember(t *testing.T) {
	passed := check.Result{Status: check.Passed}
	for name, c := range map[string]struct {
		o       options
		results []check.Result
		part    string
		done    bool
	}{
		"work":          {options{dir: "work/03"}, []check.Result{passed}, "", true},
		"command":       {options{cmd: "x"}, []check.Result{passed}, "", true},
		"finished step": {options{}, []check.Result{passed}, "", false},
		"its folder":    {options{dir: "03-get-set"}, []check.Result{passed}, "", false},
		"a part":        {options{dir: "work/03"}, []check.Result{passed}, "only a part", false},
		"exercise":      {options{ex: 1}, []check.Result{passed}, "", true},
		"failed":        {options{dir: "work/03"}, []check.Result{passed, {Status: check.Failed}}, "", false},
		"no tool":       {options{dir: "work/03"}, []check.Result{passed, {Status: check.Skipped}}, "", true},
		"left out":      {options{addr: "x"}, []check.Result{passed, {Status: check.Skipped, Unasked: true}}, "", false},
		"nothing made":  {options{cmd: "x"}, []check.Result{{Status: check.Skipped}}, "", false},
	} {
		c.o.root = t.TempDir()
		require.NoError(t, remember(c.o, 3, c.results, c.part, false), name)
		p, err := check.LoadProgress(c.o.root)
		require.NoError(t, err)
		require.Equal(t, c.done, len(p.Steps)+len(p.Exercises) > 0, name)
	}
}

// What EX= may be. The exercise "Write the test" is about no server, and not every step has it.
func TestExercises(t *testing.T) {
	_, start := program(t)
	for args, want := range map[string]string{
		"-step 2 -ex many":              "an exercise is a number, or test",
		"-step 2 -ex 77":                "step 02 has no exercise 77",
		"-step 3 -ex test":              "step 03 has no exercise test; steps [2 4 6 8] have one",
		"-step 2 -ex test -addr x:1":    "judges my_test.go, and no server",
		"-step 2 -ex test -only a":      "judges my_test.go, and no server",
		"-step 2 -ex test":              "there is no 02-resp-parser/my_test.go yet",
		"-step 2 -ex test -dir work/02": "there is no work/02/my_test.go yet",
	} {
		cmd, out := start(strings.Fields(args)...)
		require.Error(t, cmd.Wait(), args)
		require.Contains(t, out.String(), want, args)
	}
}
