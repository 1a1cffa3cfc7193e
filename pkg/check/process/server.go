package process

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"time"

	"byor/pkg/redistest/port"
)

// Server is a running server: one that the checker started, or (with no process) one at ADDR=.
type Server struct {
	Addr string
	Port int
	Opt  Options

	Ctx    context.Context
	Target *Target
	free   func() // gives the port back
	mu     sync.Mutex
	Cmd    *exec.Cmd
	out    *tail
	usual  string        // what it said in its first run
	done   chan struct{} // closed when the process has been waited for
	State  *os.ProcessState
}

// Start starts target with o on a free port and waits until it accepts connections.
// The caller ends the server it gets, also when there is an error beside it.
func Start(ctx context.Context, target *Target, o Options) (*Server, error) {
	s := &Server{Ctx: ctx, Target: target, Opt: o}
	var err error
	if s.Port, s.free, err = port.Reserve(); err != nil {
		return nil, err
	}
	s.Addr = fmt.Sprintf("127.0.0.1:%d", s.Port)
	return s, s.Run()
}

// Run starts the process (again) with the same port, directory and options, and waits until it
// accepts connections.
func (s *Server) Run() error {
	cmd := s.Target.command(s.Opt, s.Port)
	if s.Target.Kind != KindCmd { // a learner's command is meant from where it was typed
		cmd.Dir = s.Opt.Dir
	}
	return s.Launch(cmd)
}

// Launch starts cmd as the server's process and waits until it accepts connections.
func (s *Server) Launch(cmd *exec.Cmd) error {
	out := &tail{}
	cmd.Stdout, cmd.Stderr = out, out
	OwnGroup(cmd)
	cmd.WaitDelay = time.Second // a grandchild may hold the pipes open
	if err := cmd.Start(); err != nil {
		return err
	}
	done := make(chan struct{})
	s.mu.Lock()
	if s.out != nil && s.usual == "" {
		s.usual = s.out.String()
	}
	s.Cmd, s.out, s.done, s.State = cmd, out, done, nil
	s.mu.Unlock()
	go func() {
		cmd.Wait()
		// Now what is left of its group, and never later: the number may soon be another's.
		SignalGroup(cmd, syscall.SIGKILL)
		s.mu.Lock()
		s.State = cmd.ProcessState
		s.mu.Unlock()
		close(done)
	}()
	return s.waitReady(done)
}

func (s *Server) waitReady(done chan struct{}) error {
	by := time.Now().Add(StartLimit)
	for {
		c, err := net.DialTimeout("tcp", s.Addr, time.Second)
		if err == nil {
			c.Close()
			return nil
		}
		select {
		case <-done:
			err := fmt.Errorf("it ended (%s) before it accepted a connection on %s%s", s.State, s.Addr, s.Said())
			if s.State.Success() {
				err = fmt.Errorf("%w (a server that goes into the background cannot be watched: let it stay in front)", err)
			}
			return err
		case <-s.Ctx.Done():
			return s.Ctx.Err()
		case <-time.After(5 * time.Millisecond):
		}
		if time.Now().After(by) {
			return fmt.Errorf("it accepts no connection on %s after %v%s", s.Addr, StartLimit, s.Said())
		}
	}
}

// Endings are the signals that end a program of this package. It has to catch them, or what it started
// would outlive it: Ctrl-C, kill, a closed terminal. For a reader that has gone there is Stdout.
var Endings = []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGHUP}

// Stdout returns the standard output as a writer that calls stop once its reader has gone, as in
// `make check-04 | head`. The signal for that, SIGPIPE, cannot tell: it also comes whenever a server
// hangs up while it is written to. So it is caught and does nothing.
func Stdout(stop func()) io.Writer {
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	return stdout{stop}
}

type stdout struct{ stop func() }

func (w stdout) Write(p []byte) (int, error) {
	n, err := os.Stdout.Write(p)
	if err != nil {
		w.stop()
	}
	return n, err
}

const (
	SigInt  = syscall.SIGINT
	SigTerm = syscall.SIGTERM
)

// startLimit is how long a server may take to listen.
const StartLimit = 10 * time.Second

// Alive says whether the process runs; a server at ADDR= counts as alive.
func (s *Server) Alive() bool {
	if s.Cmd == nil {
		return true
	}
	select {
	case <-s.done:
		return false
	default:
		return true
	}
}

// Signal sends sig to the process; one started by CMD= may be a shell, so its whole group gets it,
// as from a terminal.
func (s *Server) Signal(sig syscall.Signal) {
	if s.Cmd == nil || !s.Alive() {
		return
	}
	if s.Target.Kind == KindCmd || len(s.Target.Prefix) > 0 {
		SignalGroup(s.Cmd, sig)
		return
	}
	s.Cmd.Process.Signal(sig)
}

// Kill ends the process and its children as kill -9 does, and waits for that.
func (s *Server) Kill() {
	if s.Cmd == nil {
		return
	}
	if s.Alive() {
		SignalGroup(s.Cmd, syscall.SIGKILL)
	}
	<-s.done
}

// KillAfter kills the process after d. Who starts s again waits for the channel that it returns: a kill that comes
// late would be the new process's.
func (s *Server) KillAfter(d time.Duration) <-chan struct{} {
	killed := make(chan struct{})
	time.AfterFunc(d, func() {
		s.Kill()
		close(killed)
	})
	return killed
}

// Exit waits up to d for the process to end by itself. It returns the exit code (-1 when a signal
// ended it) and whether it ended.
func (s *Server) Exit(d time.Duration) (code int, ended bool) {
	select {
	case <-s.done:
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.State.ExitCode(), true
	case <-time.After(d):
		return 0, false
	}
}

// End is the check's last word: nothing that was started stays.
func (s *Server) End() {
	if s.Cmd != nil {
		s.Kill()
	}
	if s.free != nil {
		s.free()
	}
}

// Output returns the last bytes that the process wrote to stdout and stderr.
func (s *Server) Output() string {
	if s.out == nil {
		return ""
	}
	return s.out.String()
}

// Fresh returns the lines of Output that the first run of s had not, whatever numbers stand in them.
func (s *Server) Fresh() string {
	known := map[string]bool{}
	for _, l := range strings.Split(s.usual, "\n") {
		known[digits.ReplaceAllString(l, "0")] = true
	}
	var out []string
	for _, l := range strings.Split(s.Output(), "\n") {
		if !known[digits.ReplaceAllString(l, "0")] {
			out = append(out, l)
		}
	}
	return strings.Join(out, "\n")
}

var digits = regexp.MustCompile(`[0-9]+`)

// Said is Output for the end of a message.
func (s *Server) Said() string {
	out := strings.TrimSpace(s.Output())
	if out == "" {
		return ""
	}
	lines := strings.Split(out, "\n")
	if len(lines) > 8 {
		if Crashed(out) { // says what happened in its first lines
			lines = lines[:8]
		} else {
			lines = lines[len(lines)-8:]
		}
	}
	return SaidMark + strings.Join(lines, "\n")
}

// SaidMark stands before the last words of a process.
const SaidMark = "; it said:\n"

// LastWords gives a process that refuses connections, and so is about to end, a moment to do so: then
// Obituary can tell, and the next check gets a new one.
func (s *Server) LastWords() {
	if s.Cmd != nil {
		s.Exit(300 * time.Millisecond)
	}
}

// Obituary says how the process ended, if it did.
func (s *Server) Obituary() string {
	if s.Cmd == nil || s.Alive() {
		return ""
	}
	return fmt.Sprintf("; the server has ended (%s)%s", s.State, s.Said())
}

// tail keeps what a process said: the last tailMax bytes, beginning anew at each Go panic.
type tail struct {
	mu  sync.Mutex
	buf []byte
}

// Crashed says whether what a process said begins with the last words of a Go program.
func Crashed(s string) bool {
	return strings.HasPrefix(s, "panic: ") || strings.HasPrefix(s, "fatal error: ")
}

const tailMax = 16 << 10

func (w *tail) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if Crashed(string(p)) {
		w.buf = w.buf[:0]
	}
	w.buf = append(w.buf, p...)
	if over := len(w.buf) - tailMax; over > 0 {
		w.buf = append(w.buf[:0], w.buf[over:]...)
	}
	return len(p), nil
}

func (w *tail) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return string(w.buf)
}

// StartRedis starts a real redis-server that keeps nothing, on a free port, and returns its
// address and how to end it.
func StartRedis(ctx context.Context) (addr string, end func(), err error) {
	target, err := RedisTarget()
	if err != nil {
		return "", nil, err
	}
	dir, err := os.MkdirTemp("", "byor-redis-")
	if err != nil {
		return "", nil, err
	}
	s, err := Start(ctx, target, Options{Dir: dir})
	end = func() {
		if s != nil {
			s.End()
		}
		os.RemoveAll(dir)
	}
	if err != nil {
		end()
		return "", nil, err
	}
	return s.Addr, end, nil
}
