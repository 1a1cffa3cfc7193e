package check_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"byor/pkg/check/course"
	"byor/pkg/check/process"
	"byor/pkg/redistest"

	"github.com/stretchr/testify/require"
)

// A block with terminal=NAME is another window of the reader's. Its command, if it has one, is started there and
// goes on running; what stands below is what it prints before anything else happens. Later blocks with the
// same name show what it has printed since. A line ^C presses Ctrl-C, and a last line [exit N] waits for the
// end and its code. `make NN-name` stands for the step's program, on the port that takes the place of 6380, and
// `go run ./work/NN` for a learner's, with upto=K for one who has written the pieces up to the K-th.

// A window is a command that runs beside the others.
type window struct {
	cmd  *exec.Cmd
	out  *os.File
	seen int           // bytes of its output that blocks have shown
	done chan struct{} // closed when it has ended
}

func (w *window) end() {
	select {
	case <-w.done:
	default:
		process.SignalGroup(w.cmd, syscall.SIGKILL)
		<-w.done
	}
	w.out.Close()
}

// fresh returns what it has printed since the last block.
func (w *window) fresh() string {
	b, _ := os.ReadFile(w.out.Name())
	return string(b[min(w.seen, len(b)):])
}

func (s *stage) inWindow(b block, name string) {
	s.t.Helper()
	cmds, want := transcript(b)
	lines := b.text
	if len(cmds) > 0 {
		require.Len(s.t, cmds, 1, "%s:%d: one command a terminal", s.doc.path, b.line)
		if old := s.windows[name]; old != nil {
			old.end()
		}
		if !b.has("noserver") && !startsStep.MatchString(cmds[0]) {
			main := s.ports["6380"]
			s.ports["6380"] = s.serve(b)
			defer func() { s.ports["6380"] = main }()
		}
		s.windows[name] = s.open(b, s.program(b, cmds[0], name))
		lines = want[0]
	}
	w := s.windows[name]
	require.NotNil(s.t, w, "%s:%d: there is no terminal %s yet", s.doc.path, b.line, name)
	before, after, interrupted := cut(lines, "^C")
	s.printed(b, w, before)
	if interrupted {
		process.SignalGroup(w.cmd, syscall.SIGINT)
		s.printed(b, w, after)
	}
	if s.hosts == name && interrupted {
		s.hosts = ""
	}
}

// cut cuts lines at the first that is mark.
func cut(lines []string, mark string) (before, after []string, found bool) {
	for i, l := range lines {
		if strings.TrimSpace(l) == mark {
			return lines[:i], lines[i+1:], true
		}
	}
	return lines, nil, false
}

var (
	startsStep  = regexp.MustCompile(`^(?:make (\d\d)-[a-z-]+(?: ARGS="([^"]*)")?|go run \./work/(\d\d)((?: .*)?))$`)
	startsRedis = regexp.MustCompile(`^redis-server .*--port (\d+)`)
	exitLine    = regexp.MustCompile(`^\[exit (\d+)\]$`)
)

// program returns what is executed for a command: in the place of make or go the program itself, at an address
// of ours.
func (s *stage) program(b block, cmd, name string) string {
	m := startsStep.FindStringSubmatch(cmd)
	if m == nil {
		return s.local(cmd)
	}
	var step int
	fmt.Sscanf(m[1]+m[3], "%d", &step)
	given := m[2] + m[4]
	args := given
	if !strings.Contains(args, "-addr ") && !strings.Contains(args, "--port ") {
		for other := range s.servers {
			if other == "main" || strings.HasPrefix(other, "upto ") {
				s.leave(other)
			}
		}
		s.ports["6380"] = fourDigitPort(s.t)
		s.hosts = name
		if args = "-addr 127.0.0.1:6380 " + args; step == course.Last {
			args = "--port 6380 --http-port 8080 " + given
		}
	}
	target := built.target(s.t, step, "")
	if upto := b.word("upto"); upto != "" {
		n, err := strconv.Atoi(upto)
		require.NoError(s.t, err, s.doc.path)
		target, _ = built.partial(s.t, step, n)
	}
	return "exec " + target.Path + " " + s.local(args)
}

// open starts a command in a window of its own.
func (s *stage) open(b block, command string) *window {
	out, err := os.Create(filepath.Join(s.t.TempDir(), "window"))
	require.NoError(s.t, err)
	w := &window{cmd: exec.Command("bash", "-c", command), out: out, done: make(chan struct{})}
	w.cmd.Dir, w.cmd.Env = s.dir, s.env(b)
	w.cmd.Stdout, w.cmd.Stderr = out, out
	process.OwnGroup(w.cmd)
	require.NoError(s.t, w.cmd.Start())
	go func() {
		w.cmd.Wait()
		process.SignalGroup(w.cmd, syscall.SIGKILL) // now, and never later: the number may soon be another's
		close(w.done)
	}()
	if m := startsRedis.FindStringSubmatch(command); m != nil {
		s.awaitPort(w, m[1])
	}
	return w
}

// awaitPort waits until something listens on port, or w has ended: a server that prints nothing is ready when it
// answers.
func (s *stage) awaitPort(w *window, port string) {
	s.t.Helper()
	require.Eventually(s.t, func() bool {
		c, err := net.DialTimeout("tcp", "127.0.0.1:"+port, time.Second)
		if err == nil {
			c.Close()
		}
		return err == nil || w.exited() != ""
	}, time.Duration(s.pace)*10*time.Second, 10*time.Millisecond, "nothing listens on port %s", port)
}

// printed waits until w has printed the lines, and no more than them.
func (s *stage) printed(b block, w *window, lines []string) {
	code := ""
	if n := len(lines) - 1; n >= 0 && exitLine.MatchString(lines[n]) {
		code, lines = exitLine.FindStringSubmatch(lines[n])[1], lines[:n]
	}
	want := s.local(strings.Join(lines, "\n"))
	pattern, got := linesPattern(want), ""
	for by := time.Now().Add(time.Duration(s.pace) * 10 * time.Second); time.Now().Before(by); time.Sleep(10 * time.Millisecond) {
		raw := w.fresh()
		got = strings.TrimRight(strings.ReplaceAll(raw, "\r\n", "\n"), "\n")
		if pattern.MatchString(got) && (code == "" || w.exited() == code) {
			w.seen += len(raw)
			return
		}
	}
	s.wrong = append(s.wrong, fmt.Sprintf("%s:%d: terminal %s\n--- expected\n%s\n--- got (exit %s)\n%s\n---", s.doc.path, b.line,
		b.word("terminal"), want, w.exited(), got))
}

// exited returns the exit code, or "" while it runs.
func (w *window) exited() string {
	select {
	case <-w.done:
		return fmt.Sprint(w.cmd.ProcessState.ExitCode())
	default:
		return ""
	}
}

// The stage itself: what stands in windows, what Ctrl-C does, and that wrong text is noticed.
func TestCourseWindows(t *testing.T) {
	redistest.Need(t, "bash", "redis-cli")
	text := "```console terminal=server\n$ make 03-get-set ARGS=\"-trace\"\n03-get-set listens on 127.0.0.1:6380. …\n```\n" +
		"```console tty\n$ redis-cli -p 6380 SET k v\nOK\n$ redis-cli -p 6380 GET k\n\"v\"\n```\n" +
		"```console terminal=server\n…\n#2 out  \"$1\\r\\nv\\r\\n\" …\n^C\n[exit 0]\n```\n" +
		"<!--\n```console noserver\n$ echo hidden > file\n```\n-->\n" +
		"```console terminal=other noserver\n$ cat file; sleep 1000\nhidden\n```\n"
	play := func(text string) []string {
		d, err := parseDoc("03-get-set/TEST.md", text)
		require.NoError(t, err)
		return playAll(t, d, d.blocks, 1)
	}
	require.Empty(t, play(text))
	require.Len(t, play("```console terminal=a noserver\n$ echo one; sleep 1000\none\n```\n```console terminal=a\ntwo\n```\n"), 1)
}
