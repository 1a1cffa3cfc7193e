package step10

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"byor/pkg/check"
	"byor/pkg/check/course"
	"byor/pkg/check/process"
	"byor/pkg/check/trace"
)

// Step 10, second part: browsers that have gone without a word, and the honesty of the benchmark.

func init() {
	check.Register(10, 0,
		check.Check{Name: "silent-browser", What: "a browser that answers pings stays, one that is gone without a word is let go", After: 17, Run: silentBrowser, Own: true, Slow: 3, NotRedis: noGateway,
			Hint: "no ping, or no deadline for its answer: a browser whose machine was switched off says nothing, for ever; ping it, and give each read a deadline that only an answer prolongs"},
		check.Check{Name: "open-loop", What: "the benchmark shows a stall to everybody who had to wait", Run: openLoop, Own: true, Slow: 6, NotRedis: "it is about the benchmark",
			Hint: "coordinated omission: with a fixed rate, latency counts from when a command should have been sent, not from when the stalled server let it be sent"},
		check.Check{Name: "like-with-like", What: "the benchmark refuses to compare unlike settings", Run: likeWithLike, Own: true, Slow: 6, NotRedis: "it is about the benchmark",
			Hint: "unlike persistence settings compared: ask both servers what they write to disk, and say so where it differs"})
}

func silentBrowser(t *check.T) {
	s, addr := withGateway(t, "-ws-ping", "0.3", "-ws-read-timeout", "2")
	silent, alive := openWebSocket(t, addr, ""), openWebSocket(t, addr, "")
	silent.ask(1, `"op":"sub","channels":["room"]`)
	alive.ask(1, `"op":"sub","channels":["room"]`)
	go func() { // well beyond the read timeout, and nothing but pings meanwhile
		time.Sleep(4500 * time.Millisecond)
		if c, err := t.TryDial(s); err == nil {
			c.TrySend("*3\r\n$7\r\nPUBLISH\r\n$4\r\nroom\r\n$2\r\nhi\r\n")
		}
	}()
	limit := t.Limit
	t.Limit += 5 * time.Second
	alive.until("a message after 4.5 s of nothing but pings (limit 2 s)", func(m map[string]any) bool { return m["push"] == "message" })
	t.Limit = limit
	// What was sent to the silent one is still in its socket; behind it must be the end.
	silent.c.SetReadDeadline(t.Deadline(t.Limit))
	b, err := io.ReadAll(silent.br)
	var timeout net.Error
	t.Require(!(errors.As(err, &timeout) && timeout.Timeout()), "the end of a connection that answers no ping", "%d bytes, and it is open", len(b))
	t.Require(!bytes.Contains(b, []byte("message")), "no messages to a browser that is gone", "%s", trace.Visible(b, 200))
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
	out, ok := bench(t, "-addr", s.Addr, "-rate", "2000", "-t", "1500ms", "-warmup", "100ms", "-rounds", "1", "-P", "1", "-mix", "ping", "-c", "10")
	close(ended)
	t.Require(ok, "a measurement", "%s", out)
	// The line of the test: mix, P, server, commands a second, p50, p95, …
	for _, line := range strings.Split(out, "\n") {
		if f := strings.Fields(line); len(f) > 6 && f[0] == "ping" {
			p95, err := time.ParseDuration(f[5])
			t.Require(err == nil && p95 > 100*time.Millisecond, "a p95 that tells of stalls of 300 ms", "%s", line)
			return
		}
	}
	t.Fail("a line for ping", out)
}

func likeWithLike(t *check.T) {
	a, b := t.Start(process.Options{}), t.Start(process.Options{Fsync: "always"})
	args := []string{"-t", "50ms", "-warmup", "0", "-rounds", "1", "-P", "1", "-mix", "ping", "-c", "2", "-addr", a.Addr, "-versus"}
	out, ok := bench(t, append(args, b.Addr)...)
	t.Require(!ok && strings.Contains(out, "persistence"), "a refusal to compare a server that syncs with one that does not", "%s", out)
	out, ok = bench(t, append(args, t.Start(process.Options{}).Addr)...)
	t.Require(ok, "a comparison of like with like", "%s", out)
}
