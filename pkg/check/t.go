package check

import (
	"context"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"byor/pkg/check/process"
	"byor/pkg/check/trace"
	"byor/pkg/redistest/port"
	"byor/pkg/resp"
)

// T is what a check sees of the world. Its methods may be used by several goroutines of one check,
// each with its own Conn; a method that fails ends the goroutine that called it and the check.
type T struct {
	ctx    context.Context
	target *process.Target
	shared *process.Server
	limit  time.Duration // how long one answer may take
	log    *trace.Traffic

	mu      sync.Mutex
	hint    string
	guide   string
	conns   []*Conn
	servers []*process.Server
	dirs    []string
	ports   []func() // give them back
	nextID  int
	first   [2][]byte // the first exchange: sent, received
}

// failure is why a check failed; it is carried by panic from the place of failure to the runner.
type failure struct {
	Sent  []byte
	Want  string
	Got   string
	Hint  string
	Seen  bool // the hint goes by what came back, and is no guess
	At    int  // index of the first byte that differs; shown when above 0
	Guide string
}

// skipped is carried by panic when a check cannot be made here.
type skipped string

func (t *T) fail(f failure) {
	t.mu.Lock()
	if f.Hint == "" {
		f.Hint = t.hint
	}
	if f.Guide == "" {
		f.Guide = t.guide
	}
	t.mu.Unlock()
	panic(f)
}

// Fail ends the check: want was expected, got came instead.
func (t *T) Fail(want, got string) { t.fail(failure{Want: want, Got: got}) }

// Require fails the check unless ok.
func (t *T) Require(ok bool, want, format string, args ...any) {
	if !ok {
		t.Fail(want, fmt.Sprintf(format, args...))
	}
}

// Skip ends the check without a verdict.
func (t *T) Skip(why string) { panic(skipped(why)) }

// Hint names the cause to report if one of the following expectations fails.
func (t *T) Hint(format string, args ...any) *T {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.hint = fmt.Sprintf(format, args...)
	return t
}

// Guide names the section that explains the following expectations.
func (t *T) Guide(section string) *T {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.guide = section
	return t
}

// Step returns the number of the step whose server is judged; Last when that is not known.
func (t *T) Step() int { return t.target.Step }

// Real says whether the target is a real redis-server that the checker started.
func (t *T) Real() bool { return t.target.Kind == process.KindRedis }

// deadline returns when something that may take d from now is over, at the latest with the check.
func (t *T) deadline(d time.Duration) time.Time {
	by := time.Now().Add(d)
	if end, ok := t.ctx.Deadline(); ok && end.Before(by) {
		return end
	}
	return by
}

// exchange remembers the first exchange of the check, for the report.
func (t *T) exchange(sent, got []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.first[0] == nil && len(sent) > 0 {
		t.first = [2][]byte{append([]byte{}, sent...), append([]byte{}, got...)}
	}
}

// Server returns the server that the checks of this run share. It may hold other checks' data.
func (t *T) Server() *process.Server { return t.shared }

// Dial connects to the shared server.
func (t *T) Dial() *Conn { return t.DialTo(t.shared) }

// DialTo connects to s.
func (t *T) DialTo(s *process.Server) *Conn {
	c, err := t.TryDial(s)
	if err != nil {
		s.LastWords()
		got := plainErr(err)
		if s != t.shared { // whose end the verdict tells
			got += s.Obituary()
		}
		t.fail(failure{Want: "the server accepts a connection on " + s.Addr, Got: got})
	}
	return c
}

// TryDial is DialTo for a server that may rightly refuse.
func (t *T) TryDial(s *process.Server) (*Conn, error) {
	d := net.Dialer{Deadline: t.deadline(t.limit)}
	nc, err := d.DialContext(t.ctx, "tcp", s.Addr)
	if err != nil {
		return nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.nextID++
	c := &Conn{t: t, c: nc, name: fmt.Sprintf("client %d", t.nextID)}
	t.conns = append(t.conns, c)
	return c, nil
}

// Start starts a server of the target for this check alone; it is ended with the check.
// An empty o.Dir gets a fresh directory.
func (t *T) Start(o process.Options) *process.Server {
	s, err := t.TryStart(o)
	if err != nil {
		t.fail(failure{Want: "the server starts and accepts connections", Got: err.Error()})
	}
	return s
}

// Alone returns a server that no other check talks to, where the target can be started, and else
// the shared one.
func (t *T) Alone() *process.Server {
	if t.target.Kind == process.KindAddr {
		return t.shared
	}
	return t.Start(process.Options{})
}

// TryStart is Start for a server that may rightly refuse to start.
func (t *T) TryStart(o process.Options) (*process.Server, error) {
	if t.target.Kind == process.KindAddr {
		t.Skip(notByAddr)
	}
	return t.startOf(t.target, o)
}

// Redis starts a real redis-server for this check; where none is installed the check is skipped.
func (t *T) Redis(o process.Options) *process.Server {
	target, err := process.RedisTarget()
	if err != nil {
		t.Skip(err.Error())
	}
	s, err := t.startOf(target, o)
	if err != nil {
		t.Skip("the real redis-server did not start: " + err.Error())
	}
	return s
}

func (t *T) startOf(target *process.Target, o process.Options) (*process.Server, error) {
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	s, err := process.Start(t.ctx, target, o)
	if s != nil {
		t.mu.Lock()
		t.servers = append(t.servers, s)
		t.mu.Unlock()
	}
	return s, err
}

// TempDir returns a fresh directory that is removed with the check.
func (t *T) TempDir() string {
	dir, err := os.MkdirTemp("", "byor-check-")
	if err != nil {
		t.Skip("no temporary directory: " + err.Error())
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.dirs = append(t.dirs, dir)
	return dir
}

// Parallel runs f n times at once and waits; the first failure of any ends the check.
func (t *T) Parallel(n int, f func(i int)) {
	var wg sync.WaitGroup
	var once sync.Once
	var failed any
	for i := range n {
		wg.Add(1)
		go func() {
			defer wg.Done()
			defer func() {
				if p := recover(); p != nil {
					once.Do(func() { failed = p })
				}
			}()
			f(i)
		}()
	}
	wg.Wait()
	if failed != nil {
		panic(failed)
	}
}

// Until polls cond until it holds; after d it fails with want and what cond last said.
func (t *T) Until(d time.Duration, want string, cond func() (ok bool, got string)) {
	by := t.deadline(d)
	for {
		ok, got := cond()
		if ok {
			return
		}
		if time.Now().After(by) {
			t.fail(failure{Want: want + fmt.Sprintf(" within %v", d), Got: got})
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// Sleep waits, for checks of time itself; it ends early with the check.
func (t *T) Sleep(d time.Duration) {
	select {
	case <-time.After(d):
	case <-t.ctx.Done():
		t.fail(failure{Want: "an answer in time", Got: "the check's time is over"})
	}
}

// Key returns a key that no other check of this run uses.
func (t *T) Key(name string) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.nextID++
	return fmt.Sprintf("check:%d:%d:%s", time.Now().UnixNano()%1e9, t.nextID, name)
}

// crash returns the last words of a server of this check that crashed, unless got has them already:
// a connection that it closed looks like a choice, and was none.
func (t *T) crash(got string) string {
	t.mu.Lock()
	servers := t.servers
	t.mu.Unlock()
	for _, s := range servers {
		if s.Cmd == nil {
			continue
		}
		s.Exit(50 * time.Millisecond) // its last words may come a little after the end of its connections
		if last := s.Obituary(); process.Crashed(strings.TrimSpace(s.Output())) && !strings.Contains(got, process.SaidMark) {
			return last
		}
	}
	return ""
}

// close ends everything that the check opened.
func (t *T) close() {
	t.mu.Lock()
	conns, servers, dirs, ports := t.conns, t.servers, t.dirs, t.ports
	t.conns, t.servers, t.dirs, t.ports = nil, nil, nil, nil
	t.mu.Unlock()
	for _, c := range conns {
		c.Close()
	}
	for _, s := range servers {
		s.End()
	}
	for _, d := range dirs {
		os.RemoveAll(d)
	}
	for _, free := range ports {
		free()
	}
}

// Port returns a TCP port of 127.0.0.1 that is the check's alone until it ends.
func (t *T) Port() int {
	n, free, err := port.Reserve()
	if err != nil {
		t.Skip(err.Error())
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ports = append(t.ports, free)
	return n
}

// str returns what a reply says, for comparisons and reports.
func str(v resp.Value) string {
	switch {
	case v.Null:
		return "(nil)"
	case v.Kind == resp.Integer:
		return fmt.Sprint(v.Int)
	case v.Kind == resp.Array || v.Kind == resp.Push || v.Kind == resp.Set || v.Kind == resp.Map:
		out := "["
		for i, e := range v.Elems {
			if i > 0 {
				out += " "
			}
			out += str(e)
		}
		return out + "]"
	}
	return string(v.Str)
}

// Bulk returns s as a RESP bulk string.
func Bulk(s string) string { return fmt.Sprintf("$%d\r\n%s\r\n", len(s), s) }

// Err returns s as a RESP error.
func Err(s string) string { return "-" + s + "\r\n" }
