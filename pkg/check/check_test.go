package check_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
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

// A server that talks nonsense for ever, claims what never comes, or hangs up fails every check, in
// bounded memory, and the run ends.
func TestServersOutOfOrder(t *testing.T) {
	endless := func(text string) func(net.Conn) {
		return func(c net.Conn) {
			for {
				if _, err := io.WriteString(c, text); err != nil {
					return
				}
			}
		}
	}
	for name, serve := range map[string]func(net.Conn){
		"garbage":    endless(strings.Repeat("\x00\xff garbage $5 *3 :x", 100)),
		"line ends":  endless(strings.Repeat("\n", 4096)),
		"arrays":     endless(strings.Repeat("*1\r\n", 1000)),
		"big claims": func(c net.Conn) { io.WriteString(c, "$2000000000\r\nabc"); io.Copy(io.Discard, c) },
		"hangs up":   func(c net.Conn) {},
		"only OK": func(c net.Conn) {
			for b := make([]byte, 1000); ; {
				if _, err := c.Read(b); err != nil {
					return
				}
				io.WriteString(c, "+OK\r\n")
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			require.NoError(t, err)
			defer ln.Close()
			go func() {
				for {
					c, err := ln.Accept()
					if err != nil {
						return
					}
					go func() { defer c.Close(); serve(c) }()
				}
			}()
			r := check.Runner{Limit: 50 * time.Millisecond, Workers: 4}
			checks := append(append(check.Of(1, 0), check.Asked(3, 0)...), append(check.Of(7, 0), check.Of(8, 0)...)...)
			// Some of them do close, and on a busy machine so late that it looks like an answer to the end of the input.
			checks = slices.DeleteFunc(checks, func(c check.Check) bool { return c.Name == "closes-after-eof" || c.Name == "end-of-stream" })
			results, err := r.Run(context.Background(), process.AddrTarget(8, ln.Addr().String()), checks)
			require.NoError(t, err)
			for _, res := range results {
				require.NotEqual(t, check.Passed, res.Status, res.Name)
				require.NotContains(t, res.Got, "a fault of the checker itself", res.Name)
			}
		})
	}
}

// A server that accepts and never says a word fails every check, and the run ends.
func TestServerThatHangs(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			defer c.Close()
		}
	}()
	r := check.Runner{Limit: 50 * time.Millisecond, Workers: 8}
	results, err := r.Run(context.Background(), process.AddrTarget(4, ln.Addr().String()), append(check.Of(3, 0), check.Of(4, 0)...))
	require.NoError(t, err)
	for _, res := range results {
		require.NotEqual(t, check.Passed, res.Status, res.Name)
	}

	// One check after the other, it says so three times and leaves the rest out.
	r.Workers = 1
	results, err = r.Run(context.Background(), process.AddrTarget(3, ln.Addr().String()), check.Of(3, 0))
	require.NoError(t, err)
	var out strings.Builder
	report := check.Report{W: &out}
	for i, res := range results {
		report.Result(res)
		require.True(t, res.Mute, res.Name)
		if i < 3 { // as many in a row are enough
			require.Equal(t, check.Failed, res.Status)
		} else {
			require.Contains(t, res.Why, "left nobody an answer")
			require.True(t, res.Unasked)
		}
	}
	require.False(t, report.Summary(results))
	require.Equal(t, 1, strings.Count(out.String(), "not even to PING"))
	require.Equal(t, 1, strings.Count(out.String(), "left nobody an answer"))
}

// A check that blocks a server for good does not make those after it fail: they get a fresh one.
func TestBlockedServerIsStartedAgain(t *testing.T) {
	redistest.Need(t, "python3")
	// It answers until somebody says "stop", and then nobody any more.
	cmd := `exec python3 -c 'import os, socket, time
s = socket.create_server(("127.0.0.1", int(os.environ["PORT"])))
while True:
    c = s.accept()[0]
    b = c.recv(100)
    while b"stop" in b: time.sleep(1)
    if b: c.send(b"+OK\r\n")'`
	ask := func(what string) check.Check {
		return check.Check{Step: 3, Name: what, Hint: "its own", Run: func(t *check.T) { t.Dial().Send(what + "\r\n").Expect("+OK\r\n") }}
	}
	r := check.Runner{Limit: time.Second}
	results, err := r.Run(context.Background(), process.CmdTarget(3, cmd), []check.Check{ask("go"), ask("stop"), ask("go")})
	require.NoError(t, err)
	require.Equal(t, check.Passed, results[0].Status)
	require.Equal(t, check.Failed, results[1].Status)
	require.True(t, results[1].Mute)
	require.Equal(t, check.Passed, results[2].Status, results[2].Got)
}

// A server written from an empty file, in another language, is judged by its bytes; and since it has a
// parser of its own, the hostile network of step 02 is asked of it at later steps, too.
func TestAnyLanguage(t *testing.T) {
	redistest.Need(t, "python3")
	file, err := filepath.Abs(filepath.Join("testdata", "any.py"))
	require.NoError(t, err)
	requirePassed(t, runChecks(t, process.CmdTarget(3, "exec python3 "+file), patient, check.Asked(3, 0)))
	var failed []string
	for _, r := range runChecks(t, process.CmdTarget(3, "MISTAKE=split exec python3 "+file), impatient, check.Asked(3, 0)) {
		if r.Status == check.Failed {
			failed = append(failed, r.Name)
		}
	}
	require.Subset(t, failed, []string{"every-split", "one-byte-writes"})
}

// Every step asks for what a hostile network does.
func TestNetIsAskedOfAll(t *testing.T) {
	for step := 3; step <= course.Last; step++ {
		var names []string
		for _, c := range check.Asked(step, 0) {
			names = append(names, c.Name)
		}
		require.Subset(t, names, []string{"pipeline", "every-split", "one-byte-writes", "half-close", "stalled-reader", "fifty-clients"}, "step %02d", step)
	}
}

// Who does an exercise keeps what the step can do.
func TestExercisesKeepTheStep(t *testing.T) {
	for step := 1; step <= course.Last; step++ {
		for _, ex := range check.Exercises(step) {
			checks := check.Asked(step, ex)
			n := len(check.Of(step, ex))
			require.Equal(t, ex, checks[0].Ex)
			require.Greater(t, len(checks), n, "step %02d, exercise %d", step, ex)
			for _, c := range checks[n:] {
				require.True(t, c.Step == step && c.Ex == 0 && c.Slow <= 1, c.Name)
			}
		}
	}
}

func TestChecksByName(t *testing.T) {
	some, err := check.Named(check.Of(3, 0), []string{"incr", "case"})
	require.NoError(t, err)
	require.Len(t, some, 2)
	_, err = check.Named(some, []string{"incr", "icnr"})
	require.ErrorContains(t, err, `there is no check "icnr"; there are `)
	for _, c := range check.Until(check.Asked(4, 0), 4, 2) {
		require.True(t, c.Step == 4 && c.After <= 2, c.Name)
	}
}

// Nobody at ADDR= is told once, and not as a list of mistakes.
func TestNobodyThere(t *testing.T) {
	r := check.Runner{Limit: 50 * time.Millisecond}
	_, err := r.Run(context.Background(), process.AddrTarget(3, fmt.Sprintf("127.0.0.1:%d", redistest.Port(t))), check.Of(3, 0))
	require.ErrorContains(t, err, "nobody accepts a connection")
}

// A server that ends during a check, and cannot be started again, fails the others, too. With ADDR=
// checks that need a server of their own are skipped, and the run is no proof.
func TestServerThatEnds(t *testing.T) {
	redistest.Need(t, "python3")
	dir := t.TempDir()
	// It ends with the first connection on which something is said, and does not start twice.
	cmd := "cd " + dir + ` && mkdir once && exec python3 -c 'import os, socket
s = socket.create_server(("127.0.0.1", int(os.environ["PORT"])))
while not s.accept()[0].recv(100): pass'`
	r := check.Runner{Limit: time.Second}
	results, err := r.Run(context.Background(), process.CmdTarget(3, cmd), check.Of(3, 0)[:6])
	require.NoError(t, err)
	for i, res := range results {
		require.Equal(t, check.Failed, res.Status, "%d %s", i, res.Why)
	}
	require.LessOrEqual(t, strings.Count(results[3].Got, "the server has ended"), 1)
	require.Contains(t, results[5].Hint, "ended during an earlier check")

	results, err = r.Run(context.Background(), process.AddrTarget(5, redistest.Answering(t, "+OK\r\n")), check.Of(5, 0)[:2])
	require.NoError(t, err)
	require.Equal(t, check.Skipped, results[0].Status)
	require.True(t, results[0].Unasked)
}

// Who interrupts a run does not get a list of failures that are none.
func TestInterrupted(t *testing.T) {
	ctx, stop := context.WithCancel(context.Background())
	r := check.Runner{Limit: 10 * time.Second}
	silent := check.Check{Name: "silent", Hint: "none", Run: func(t *check.T) { time.AfterFunc(20*time.Millisecond, stop); t.Dial().Send("x").Expect("y") }}
	results, err := r.Run(ctx, process.AddrTarget(3, redistest.Answering(t, "")), []check.Check{silent, silent})
	require.NoError(t, err)
	for _, res := range results {
		require.Equal(t, check.Skipped, res.Status)
		require.True(t, res.Unasked)
	}
}

// A server that nobody can connect to is an error, not a hang.
func TestServerThatDies(t *testing.T) {
	r := check.Runner{Limit: 50 * time.Millisecond}
	_, err := r.Run(context.Background(), process.CmdTarget(3, "echo no such luck; exit 3"), check.Of(3, 0))
	require.ErrorContains(t, err, "no such luck")
	require.ErrorContains(t, err, "exit status 3")
}

// What a check panics with is its own fault and is reported as such.
func TestCheckThatPanics(t *testing.T) {
	bad := check.Check{Name: "bad", Run: func(*check.T) { panic("oops") }, Hint: "none"}
	endless := check.Check{Name: "endless", Run: func(t *check.T) { t.Parallel(2, func(int) { <-t.Context().Done(); t.Dial() }) }, Hint: "the hint"}
	if !hasStep(3) {
		t.Skip("step 03 is not there")
	}
	r := check.Runner{Limit: 50 * time.Millisecond}
	results, err := r.Run(context.Background(), built.target(t, 3, ""), []check.Check{bad, endless})
	require.NoError(t, err)
	require.Equal(t, check.Failed, results[0].Status)
	require.Contains(t, results[0].Got, "oops")
	require.Equal(t, check.Failed, results[1].Status)
	require.Equal(t, "the hint", results[1].Hint)
}

func TestProgress(t *testing.T) {
	root := t.TempDir()
	p, err := check.LoadProgress(root)
	require.NoError(t, err)
	require.Equal(t, 1, p.Next())
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	require.True(t, p.Done(1, "", now))
	require.False(t, p.Done(1, "", now.Add(time.Hour)))
	require.True(t, p.Done(1, "2", now))
	require.NoError(t, p.Save(root))
	p, err = check.LoadProgress(root)
	require.NoError(t, err)
	require.Equal(t, 2, p.Next())
	require.Equal(t, now, p.Steps["01"])
	var out bytes.Buffer
	p.Show(&out)
	require.Contains(t, out.String(), "[>] 02-resp-parser")
	require.Contains(t, out.String(), "make start-02")
	require.NoError(t, os.MkdirAll(filepath.Join(root, "work", "02"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(root, "work", "02", "main.go"), nil, 0o644))
	out.Reset()
	p.Show(&out)
	require.Contains(t, out.String(), "go on in work/02") // start-02 would refuse
	for step := 2; step <= course.Last; step++ {
		p.Done(step, "", now)
	}
	out.Reset()
	p.Show(&out)
	require.Contains(t, out.String(), "All ten steps are done")
	require.NoError(t, os.WriteFile(filepath.Join(root, check.ProgressFile), []byte("{"), 0o644))
	_, err = check.LoadProgress(root)
	require.Error(t, err)
}

// Names are unique, so that a mutant or a report means one check; every exercise is told apart.
func TestRegistry(t *testing.T) {
	seen := map[string]bool{}
	for step := 1; step <= course.Last; step++ {
		require.NotEmpty(t, check.Of(step, 0), "step %02d has no checks", step)
		for _, ex := range append([]int{0}, check.Exercises(step)...) {
			for _, c := range check.Of(step, ex) {
				key := fmt.Sprint(c.Step, "/", c.Ex, "/", c.Name)
				require.False(t, seen[key], key)
				seen[key] = true
				require.NotEmpty(t, c.What, key)
				require.NotContains(t, c.Name, " ", key)
			}
		}
	}
}

func readPid(t *testing.T, file string) int {
	b, err := os.ReadFile(file)
	require.NoError(t, err)
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	require.NoError(t, err)
	return pid
}
