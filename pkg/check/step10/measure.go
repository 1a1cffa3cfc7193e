package step10

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"byor/pkg/check"
	"byor/pkg/check/course"
	"byor/pkg/check/process"
)

// Step 10: the honesty of the benchmark.

func init() {
	check.Register(10, 0,
		check.Check{Name: "open-loop", What: "the benchmark shows a stall to everybody who had to wait", Run: openLoop, Own: true, Slow: 6, NotRedis: "it is about the benchmark",
			Hint: "coordinated omission: with a fixed rate, latency counts from when a command should have been sent, not from when the stalled server let it be sent"},
		check.Check{Name: "like-with-like", What: "the benchmark refuses to compare unlike settings", Run: likeWithLike, Own: true, Slow: 6, NotRedis: "it is about the benchmark",
			Hint: "unlike persistence settings compared: ask both servers what they write to disk, and say so where it differs"})
}

// bench builds the course's benchmark, with the target's changes, and runs it. It returns what it
// printed and whether it was content.
func bench(t *check.T, args ...string) (out string, ok bool) {
	src := t.Target().Source
	if src == nil {
		t.Skip("it is about the benchmark of the course")
	}
	bin := filepath.Join(t.TempDir(), "bench")
	if err := course.Build(src.Root, course.Folders[course.Last]+"/bench", bin, src.Overlay); err != nil {
		t.Fail("the benchmark compiles", err.Error())
	}
	cmd := exec.CommandContext(t.Context(), bin, args...)
	cmd.Env = append(os.Environ(), "NO_COLOR=1")
	b, err := cmd.CombinedOutput()
	return string(b), err == nil
}

func openLoop(t *check.T) {
	s := t.Start(process.Options{})
	c := t.DialTo(s).Ask("+PONG\r\n", "PING")
	ended := make(chan bool)
	go func() { // stalls for half of the time, again and again, whenever the measurement begins
		for {
			select {
			case <-ended:
				return
			case <-time.After(400 * time.Millisecond):
				c.TrySend("*3\r\n$6\r\nCLIENT\r\n$5\r\nPAUSE\r\n$3\r\n300\r\n")
			}
		}
	}()
	out, ok := bench(t, "-addr", s.Addr, "-rate", "2000", "-time", "1500ms", "-warmup", "100ms", "-rounds", "1", "-P", "1", "-t", "ping_mbulk", "-c", "10")
	close(ended)
	t.Require(ok, "a measurement", "%s", out)
	// The line of the test: name, commands a second, spread, p50, p95, …
	for _, line := range strings.Split(out, "\n") {
		if f := strings.Fields(line); len(f) > 6 && f[0] == "PING_MBULK" {
			p95, err := time.ParseDuration(f[4])
			t.Require(err == nil && p95 > 100*time.Millisecond, "a p95 that tells of stalls of 300 ms", "%s", line)
			return
		}
	}
	t.Fail("a line for ping", out)
}

func likeWithLike(t *check.T) {
	a, b := t.Start(process.Options{}), t.Start(process.Options{Fsync: "always"})
	args := []string{"-time", "50ms", "-warmup", "0", "-rounds", "1", "-P", "1", "-t", "ping", "-c", "2", "-a", a.Addr, "-b"}
	out, ok := bench(t, append(args, b.Addr)...)
	t.Require(!ok && strings.Contains(out, "persistence"), "a refusal to compare a server that syncs with one that does not", "%s", out)
	out, ok = bench(t, append(args, t.Start(process.Options{}).Addr)...)
	t.Require(ok, "a comparison of like with like", "%s", out)
}
