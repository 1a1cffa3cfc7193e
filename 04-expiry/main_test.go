package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"byor/pkg/redistest"
	"byor/pkg/resp"
)

// clock is a time that stands still until a test moves it. It is safe for concurrent use.
type clock struct{ ms atomic.Int64 }

func newClock() *clock {
	c := &clock{}
	c.ms.Store(1_700_000_000_000)
	return c
}

func (c *clock) now() int64              { return c.ms.Load() }
func (c *clock) advance(d time.Duration) { c.ms.Add(d.Milliseconds()) }

// start serves on a free port until the test ends and returns the address. There is no sweeper:
// tests call sweepOnce, or send on a tick of their own.
func start(t testing.TB, now func() int64) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		(&server{keys: newKeyspace(now)}).serve(ln)
	}()
	t.Cleanup(func() {
		ln.Close()
		<-done
	})
	return ln.Addr().String()
}

// session was played to redis-server 7.0.15; TestRealRedisAnswersTheSame repeats it.
var session = []struct{ send, want string }{
	{"TTL a", ":-2"}, {"PTTL a", ":-2"}, {"EXPIRE a 10", ":0"}, {"PERSIST a", ":0"},
	{"SET a 1", "+OK"}, {"TTL a", ":-1"}, {"PTTL a", ":-1"}, {"PERSIST a", ":0"},
	{"EXPIRE a 100", ":1"}, {"TTL a", ":100"}, {"PERSIST a", ":1"}, {"TTL a", ":-1"},
	{"SET a 1 EX 50", "+OK"}, {"TTL a", ":50"}, {"SET a 2", "+OK"}, {"TTL a", ":-1"}, {"GET a", "$1\r\n2"},
	{"set a 1 px 50400", "+OK"}, {"TTL a", ":50"}, {"SET a 1 PX 50900", "+OK"}, {"TTL a", ":51"},
	{"SET a 1 EX 10 EX 20", "+OK"}, {"TTL a", ":20"}, {"INCR a", ":2"}, {"TTL a", ":20"},
	{"PEXPIRE a 30000", ":1"}, {"TTL a", ":30"}, {"DEL a", ":1"}, {"SET a 1", "+OK"}, {"TTL a", ":-1"},
	{"EXPIRE a 0", ":1"}, {"EXISTS a", ":0"}, {"SET a 1", "+OK"}, {"EXPIRE a -1", ":1"}, {"GET a", "$-1"},
	{"SET a 1", "+OK"}, {"PEXPIRE a -9223372036854775808", ":1"}, {"EXISTS a", ":0"}, {"DBSIZE", ":0"},
	{"SET a 1 EX 0", "-ERR invalid expire time in 'set' command"},
	{"SET a 1 PX -1", "-ERR invalid expire time in 'set' command"},
	{"SET a 1 EX 9223372036854775807", "-ERR invalid expire time in 'set' command"},
	{"SET a 1 PX 9223372036854775807", "-ERR invalid expire time in 'set' command"},
	{"SET a 1 EX abc", "-ERR value is not an integer or out of range"},
	{`SET a 1 EX " 5"`, "-ERR value is not an integer or out of range"},
	{"SET a 1 EX", "-ERR syntax error"}, {"SET a 1 EX 1 PX 1", "-ERR syntax error"}, {"SET a 1 FOO 1", "-ERR syntax error"},
	{"EXISTS a", ":0"}, {"SET a 1", "+OK"},
	{"EXPIRE a abc", "-ERR value is not an integer or out of range"},
	{"EXPIRE a 9223372036854775807", "-ERR invalid expire time in 'expire' command"},
	{"EXPIRE a -9223372036854775808", "-ERR invalid expire time in 'expire' command"},
	{"PEXPIRE a 9223372036854775807", "-ERR invalid expire time in 'pexpire' command"},
	{"EXPIRE a 9223372036854775", "-ERR invalid expire time in 'expire' command"},
	{"EXPIRE a 10 FOO", "-ERR Unsupported option FOO"}, {"EXPIRE nope abc", "-ERR value is not an integer or out of range"},
	{"TTL a", ":-1"}, {"DBSIZE", ":1"},
	{"EXPIRE a", "-ERR wrong number of arguments for 'expire' command"},
	{"TTL", "-ERR wrong number of arguments for 'ttl' command"},
	{"PTTL a b", "-ERR wrong number of arguments for 'pttl' command"},
	{"PERSIST", "-ERR wrong number of arguments for 'persist' command"},
	{"DBSIZE x", "-ERR wrong number of arguments for 'dbsize' command"},

	{"GET none", "$-1"}, {"SET n 41", "+OK"}, {"INCR n", ":42"}, {"EXISTS n n none", ":2"}, {"DEL n none", ":1"},
	{"SET n x", "+OK"}, {"INCR n", "-ERR value is not an integer or out of range"},
	{"SET n 9223372036854775807", "+OK"}, {"INCR n", "-ERR increment or decrement would overflow"},
	{"PING", "+PONG"}, {"PING hi", "$2\r\nhi"}, {"PING a b", "-ERR wrong number of arguments for 'ping' command"},
	{"ECHO hey", "$3\r\nhey"}, {"FOO bar", "-ERR unknown command 'FOO', with args beginning with: 'bar' "},
	{"QUIT", "+OK"},
}

func sessionTexts() (lines []string, want string) {
	for _, s := range session {
		lines = append(lines, s.send)
		want += s.want + "\r\n"
	}
	return lines, want
}

func TestSession(t *testing.T) {
	lines, want := sessionTexts()
	require.Equal(t, want, redistest.Script(t, start(t, newClock().now), lines))
}

func TestRealRedisAnswersTheSame(t *testing.T) {
	lines, want := sessionTexts()
	require.Equal(t, want, redistest.Script(t, redistest.StartSocket(t), lines))
}

func TestProtocolErrorCloses(t *testing.T) {
	conn, err := net.Dial("tcp", start(t, newClock().now))
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, conn.SetDeadline(time.Now().Add(time.Minute)))
	_, err = io.WriteString(conn, "PING\r\n*1\r\n:1\r\nPING\r\n")
	require.NoError(t, err)
	got, err := io.ReadAll(conn)
	require.NoError(t, err)
	require.Equal(t, "+PONG\r\n-ERR Protocol error: expected '$', got ':'\r\n", string(got))
}

// A dead key is dead for every command, from the first millisecond after its deadline.
func TestEveryCommandSeesDeath(t *testing.T) {
	for send, want := range map[string]string{
		"GET k": "$-1", "EXISTS k": ":0", "DEL k": ":0", "INCR k": ":1", "TTL k": ":-2", "PTTL k": ":-2",
		"PERSIST k": ":0", "EXPIRE k 10": ":0", "SET k 7": "+OK", "DBSIZE": ":1",
	} {
		c := newClock()
		addr := start(t, c.now)
		redistest.Script(t, addr, []string{"SET k 5 PX 1000"})
		c.advance(time.Second)
		require.Equal(t, "$1\r\n5\r\n:0\r\n", redistest.Script(t, addr, []string{"GET k", "PTTL k"}), "the millisecond of the deadline is life")
		c.advance(time.Millisecond)
		require.Equal(t, want+"\r\n", redistest.Script(t, addr, []string{send}), send)
	}
}

// A deadline belongs to a value. What replaces the value must not inherit it.
func TestOldDeadlineSparesNewValue(t *testing.T) {
	for _, replace := range [][]string{{"SET k new"}, {"DEL k", "SET k new"}, {"DEL k", "INCR k"}, {"SET k new EX 100"}, {"EXPIRE k 0", "SET k new"}} {
		c := newClock()
		addr := start(t, c.now)
		redistest.Script(t, addr, append([]string{"SET k old PX 1000"}, replace...))
		c.advance(2 * time.Second)
		require.Equal(t, ":1\r\n", redistest.Script(t, addr, []string{"EXISTS k"}), "%v", replace)
	}
}

func TestTTLCountsDown(t *testing.T) {
	c := newClock()
	addr := start(t, c.now)
	redistest.Script(t, addr, []string{"SET k v EX 10"})
	c.advance(3400 * time.Millisecond)
	require.Equal(t, ":7\r\n:6600\r\n", redistest.Script(t, addr, []string{"TTL k", "PTTL k"}))
}

// do runs one command without a socket.
func do(srv *server, line string) {
	c := &client{srv: srv, w: resp.NewWriter(nil)}
	c.execute(bytes.Fields([]byte(line)))
}

// The sweeper takes keys that nobody asks for, all of them, and nothing else.
func TestSweepReclaims(t *testing.T) {
	c := newClock()
	k := newKeyspace(c.now)
	srv := &server{keys: k}
	for i := range 100_000 {
		do(srv, fmt.Sprintf("SET short:%d v PX 1000", i))
	}
	for i := range 1000 {
		do(srv, fmt.Sprintf("SET immortal:%d v", i))
		do(srv, fmt.Sprintf("SET long:%d v EX 1000", i))
	}
	require.False(t, k.sweepOnce(), "nothing is dead yet, so one sample is enough")
	require.Len(t, k.data, 102_000)

	c.advance(2 * time.Second)
	before := len(k.data)
	require.True(t, k.sweepOnce(), "nearly all are dead: go on at once")
	require.LessOrEqual(t, before-len(k.data), sweepSample, "one sample is all that the lock is held for")

	tick := make(chan time.Time, 1000)
	for range cap(tick) {
		tick <- time.Time{}
	}
	close(tick)
	srv.sweep(tick)
	require.Len(t, k.data, 2000, "all that are dead are gone; keys without a deadline, or with a later one, stay")
	require.Len(t, k.deadlines, 1000)
}

// The sweeper works by itself, at each tick.
func TestSweeperRuns(t *testing.T) {
	c := newClock()
	srv := &server{keys: newKeyspace(c.now)}
	tick := make(chan time.Time)
	go srv.sweep(tick)
	defer close(tick)
	do(srv, "SET k v EX 1")
	c.advance(time.Minute)
	tick <- time.Time{}
	tick <- time.Time{} // taken only when the first has been worked off
	srv.mu.Lock()
	defer srv.mu.Unlock()
	require.Empty(t, srv.keys.data)
}

// Keys die under the hands of many readers and the sweeper; meant for the race detector.
func TestDyingUnderReaders(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var now atomic.Int64
	srv := &server{keys: newKeyspace(func() int64 { return now.Add(1) })} // every look at it is a millisecond later
	go srv.serve(ln)
	defer ln.Close()
	tick := make(chan time.Time)
	go srv.sweep(tick)
	defer close(tick)
	var wg sync.WaitGroup
	for i := range 10 {
		wg.Go(func() {
			var lines []string
			for j := range 200 {
				lines = append(lines, fmt.Sprintf("SET k:%d v PX %d", j, 1+i), fmt.Sprintf("GET k:%d", (j+i)%200), fmt.Sprintf("TTL k:%d", j))
			}
			redistest.Script(t, ln.Addr().String(), lines)
		})
	}
	for range 50 {
		tick <- time.Time{}
	}
	wg.Wait()
	now.Add(1000)
	require.Equal(t, strings.Repeat(":0\r\n", 200), redistest.Script(t, ln.Addr().String(), func() (lines []string) {
		for j := range 200 {
			lines = append(lines, fmt.Sprintf("EXISTS k:%d", j))
		}
		return lines
	}()))
}

func TestRealClients(t *testing.T) {
	redistest.Need(t, "redis-cli")
	redistest.Need(t, "redis-benchmark")
	_, port, _ := net.SplitHostPort(start(t, newClock().now))
	cli := exec.Command("redis-cli", "--no-raw", "-p", port)
	cli.Stdin = strings.NewReader("set k v ex 100\nttl k\nget k\npersist k\nttl k\n")
	out, err := cli.CombinedOutput()
	require.NoError(t, err)
	require.Equal(t, "OK\n(integer) 100\n\"v\"\n(integer) 1\n(integer) -1\n", string(out))
	out, err = exec.Command("redis-benchmark", "-p", port, "-t", "ping,set,get,incr", "-n", "2000", "-P", "16", "-q").CombinedOutput()
	require.NoError(t, err, string(out))
	require.Contains(t, string(out), "INCR: ")
}

// The program as a person runs it: it greets with what to type next, traces, and ends on Ctrl-C.
func TestProgram(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("os.Interrupt cannot be sent on Windows")
	}
	bin := redistest.Program(t, "04-expiry")
	cmd := exec.Command(bin, "-addr", "127.0.0.1:0", "-trace")
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { cmd.Process.Kill() })
	lines := bufio.NewReader(stdout)
	greeting, err := lines.ReadString('\n')
	require.NoError(t, err)
	require.Contains(t, greeting, "redis-cli -p ")
	addr := strings.TrimSuffix(strings.Fields(greeting)[3], ".")
	require.Equal(t, "+OK\r\n", redistest.Script(t, addr, []string{"SET a b PX 1"}))
	traced, err := lines.ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "#1 in   \"SET a b PX 1\\r\\n\"         a line\n", traced)
	require.Eventually(t, func() bool { return redistest.Script(t, addr, []string{"DBSIZE"}) == ":0\r\n" },
		10*time.Second, 20*time.Millisecond, "the sweeper runs")
	require.NoError(t, cmd.Process.Signal(os.Interrupt))
	require.NoError(t, cmd.Wait(), "Ctrl-C ends it with exit code 0")
}
