package check

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"byor/pkg/check/process"
)

// StartTraced is Start under strace. The function it returns ends the server and gives the system
// calls it made, one a line. inject are strace's -e inject= expressions (to slow a disk down, say), or paths:
// then only calls on these files are traced. Without strace the check is skipped.
func (t *T) StartTraced(o process.Options, calls string, inject ...string) (*process.Server, func() []string) {
	s, trace := t.StartTracedRaw(o, calls, inject...)
	return s, func() []string { return strings.Split(JoinResumed(trace()), "\n") }
}

// StartTracedRaw is StartTraced for a check that has to see where a call began, too: a call is in two halves
// where another thread's came between.
func (t *T) StartTracedRaw(o process.Options, calls string, inject ...string) (*process.Server, func() string) {
	s, soFar := t.StartWatched(o, calls, inject...)
	return s, func() string {
		s.Signal(process.SigInt)
		if _, ended := s.Exit(2 * time.Second); !ended {
			s.Kill()
		}
		return soFar()
	}
}

// StartWatched is StartTracedRaw with a function that gives the calls made so far and does not end the server.
func (t *T) StartWatched(o process.Options, calls string, inject ...string) (*process.Server, func() string) {
	path, err := exec.LookPath("strace")
	if err != nil {
		t.Skip("needs strace (Linux) to see the server's system calls")
	}
	if t.target.Kind == process.KindAddr {
		t.Skip("needs a server that the checker can start")
	}
	file := filepath.Join(t.TempDir(), "strace.txt")
	args := []string{path, "-f", "-s", "200", "-e", "trace=" + calls, "-o", file}
	for _, i := range inject {
		if filepath.IsAbs(i) {
			args = append(args, "-P", i)
			continue
		}
		args = append(args, "-e", "inject="+i)
	}
	traced := *t.target
	traced.Prefix = append(args, "--")
	s, err := t.StartOf(&traced, o)
	if err != nil {
		if strings.Contains(err.Error(), "ptrace") || strings.Contains(err.Error(), "strace:") {
			t.Skip("strace may not trace here: " + err.Error())
		}
		t.Fail("the server starts under strace", err.Error())
	}
	return s, func() string {
		b, _ := os.ReadFile(file)
		return string(b)
	}
}

// JoinResumed drops the halves of calls that strace split because another thread's came between:
// of "fsync(3 <unfinished ...>" and "<... fsync resumed>) = 0" the end is what counts, since then
// the call is over; of a write the beginning, since it shows the bytes.
func JoinResumed(s string) string {
	var out []string
	for _, l := range strings.Split(s, "\n") {
		sync := strings.Contains(l, "fsync(") || strings.Contains(l, "fdatasync(")
		if sync && strings.HasSuffix(l, "<unfinished ...>") {
			continue
		}
		l = strings.Replace(l, "<... fsync resumed>", "fsync(", 1)
		l = strings.Replace(l, "<... fdatasync resumed>", "fdatasync(", 1)
		out = append(out, l)
	}
	return strings.Join(out, "\n")
}
