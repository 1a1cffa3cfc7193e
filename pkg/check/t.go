package check

import (
	"context"
	"fmt"
	"net"
	"os"
	"strconv"
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
	Limit  time.Duration // how long one answer may take
	log    *trace.Traffic

	mu      sync.Mutex
	hint    string
	guide   string
	conns   []*Conn
	servers []*process.Server
	dirs    []string
	ports   []func() // give them back
	atEnd   []func()
	nextID  int
	first   [2][]byte // the first exchange: sent, received
}

// Failure is why a check failed; it is carried by panic from the place of failure to the runner.
type Failure struct {
	Sent  []byte
	Want  string // what was expected
	Got   string // what came instead
	Hint  string // the likely cause
	Seen  bool   // the hint goes by what came back, and is no guess
	At    int    // index of the first byte that differs; shown when above 0
	Guide string // the section that explains it
}

// skipped is carried by panic when a check cannot be made here.
type skipped string

// FailWith ends the check with f. A hint and a section that f does not name are the ones set last.
func (t *T) FailWith(f Failure) {
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
func (t *T) Fail(want, got string) { t.FailWith(Failure{Want: want, Got: got}) }

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

// Hinted returns the hint that the next failure would name.
func (t *T) Hinted() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.hint
}

// OnEnd runs f when the check ends, however it ends, before its servers are ended.
func (t *T) OnEnd(f func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.atEnd = append(t.atEnd, f)
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

// Target returns what is judged. It is the check's to read, and not to change.
func (t *T) Target() *process.Target { return t.target }

// Context ends with the time that the check has.
func (t *T) Context() context.Context { return t.ctx }

// Real says whether the target is a real redis-server that the checker started.
func (t *T) Real() bool { return t.target.Kind == process.KindRedis }

// Deadline returns when something that may take d from now is over, at the latest with the check.
func (t *T) Deadline(d time.Duration) time.Time {
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

// Log shows b in the traffic log, as sent to or received from who.
func (t *T) Log(who string, sent bool, b []byte) { t.log.Add(who, sent, b) }

// Server returns the server that the checks of this run share. It may hold other checks' data.
func (t *T) Server() *process.Server { return t.shared }

// Dial connects to the shared server.
func (t *T) Dial() *Conn { return t.DialTo(t.shared) }

// DialTo connects to s.
func (t *T) DialTo(s *process.Server) *Conn {
	c, err := t.TryDial(s)
	if err != nil {
		s.LastWords()
		got := PlainErr(err)
		if s != t.shared { // whose end the verdict tells
			got += s.Obituary()
		}
		t.FailWith(Failure{Want: "the server accepts a connection on " + s.Addr, Got: got})
	}
	return c
}

// TryDial is DialTo for a server that may rightly refuse.
func (t *T) TryDial(s *process.Server) (*Conn, error) {
	d := net.Dialer{Deadline: t.Deadline(t.Limit)}
	nc, err := d.DialContext(t.ctx, "tcp", s.Addr)
	if err != nil {
		return nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.nextID++
	c := &Conn{T: t, Net: nc, name: fmt.Sprintf("client %d", t.nextID)}
	t.conns = append(t.conns, c)
	return c, nil
}

// Start starts a server of the target for this check alone; it is ended with the check.
// An empty o.Dir gets a fresh directory.
func (t *T) Start(o process.Options) *process.Server {
	s, err := t.TryStart(o)
	if err != nil {
		t.FailWith(Failure{Want: "the server starts and accepts connections", Got: err.Error()})
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
	return t.StartOf(t.target, o)
}

// Redis starts a real redis-server for this check; where none is installed the check is skipped.
func (t *T) Redis(o process.Options) *process.Server {
	target, err := process.RedisTarget()
	if err != nil {
		t.Skip(err.Error())
	}
	s, err := t.StartOf(target, o)
	if err != nil {
		t.Skip("the real redis-server did not start: " + err.Error())
	}
	return s
}

// StartOf is TryStart for another target: the check's own, run in another way.
func (t *T) StartOf(target *process.Target, o process.Options) (*process.Server, error) {
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
	by := t.Deadline(d)
	for {
		ok, got := cond()
		if ok {
			return
		}
		if time.Now().After(by) {
			t.FailWith(Failure{Want: want + fmt.Sprintf(" within %v", d), Got: got})
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// Sleep waits, for checks of time itself; it ends early with the check.
func (t *T) Sleep(d time.Duration) {
	select {
	case <-time.After(d):
	case <-t.ctx.Done():
		t.FailWith(Failure{Want: "an answer in time", Got: "the check's time is over"})
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
	conns, servers, dirs, ports, atEnd := t.conns, t.servers, t.dirs, t.ports, t.atEnd
	t.conns, t.servers, t.dirs, t.ports, t.atEnd = nil, nil, nil, nil, nil
	t.mu.Unlock()
	for _, c := range conns {
		c.Close()
	}
	for _, end := range atEnd {
		end()
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

// Text returns what a reply says, for comparisons and reports.
func Text(v resp.Value) string {
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
			out += Text(e)
		}
		return out + "]"
	}
	return string(v.Str)
}

// Bulk returns s as a RESP bulk string.
func Bulk(s string) string { return "$" + strconv.Itoa(len(s)) + "\r\n" + s + "\r\n" }

// Err returns s as a RESP error.
func Err(s string) string { return "-" + s + "\r\n" }

// Hinting runs f with another hint: what f does can fail for other reasons than the rest of the check.
func (t *T) Hinting(hint string, f func()) {
	old := t.Hinted()
	t.Hint("%s", hint)
	f()
	t.Hint("%s", old)
}
