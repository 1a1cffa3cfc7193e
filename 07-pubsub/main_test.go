package main

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"byor/pkg/basics"
	"byor/pkg/redistest"
	"byor/pkg/resp"
)

// start serves dir on a free port until the test ends, or until stop is called.
func start(t *testing.T, dir string, useLog bool) (s *server, addr string, stop func()) {
	t.Helper()
	s, err := newServer(&basics.Options{Dir: dir, UseLog: useLog, Policy: "always"})
	require.NoError(t, err)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	go basics.Sweep(ctx, &s.mu, s.data, nil)
	done := make(chan struct{})
	go func() { basics.Accept(ln, s.handle); close(done) }()
	stop = sync.OnceFunc(func() {
		cancel()
		ln.Close()
		<-done
		require.Eventually(t, func() bool {
			s.mu.Lock()
			defer s.mu.Unlock()
			return s.disk.Dump == nil
		}, time.Minute, time.Millisecond)
		require.NoError(t, s.disk.Close())
	})
	t.Cleanup(stop)
	return s, ln.Addr().String(), stop
}

// script is what a subscriber (s), and a publisher (p) do, with the replies of a real Redis. A step
// without a command only reads the next message.
var script = []struct{ who, command, want string }{
	{"s", "SUBSCRIBE a b", "subscribe a 1"}, {"s", "", "subscribe b 2"}, {"s", "SUBSCRIBE a", "subscribe a 2"},
	{"p", "PUBLISH a hi", "1"}, {"s", "", "message a hi"}, {"p", "PUBLISH none hi", "0"},
	{"s", "PING", "pong "}, {"s", "PING x", "pong x"},
	{"s", "GET a", "-ERR Can't execute 'get': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context"},
	{"s", "publish a x", "-ERR Can't execute 'publish': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context"},
	{"s", "SUBSCRIBE", "-ERR wrong number of arguments for 'subscribe' command"}, {"s", "NOPE", "-ERR unknown command 'NOPE', with args beginning with: "},
	{"s", "PING a b", "-ERR wrong number of arguments for 'ping' command"},
	{"s", "PSUBSCRIBE a* ?", "psubscribe a* 3"}, {"s", "", "psubscribe ? 4"},
	{"p", "PUBLISH ab x", "1"}, {"s", "", "pmessage a* ab x"}, {"p", "PUBLISH b y", "2"}, {"s", "", "message b y"}, {"s", "", "pmessage ? b y"},
	{"s", "UNSUBSCRIBE a", "unsubscribe a 3"}, {"s", "UNSUBSCRIBE nothing", "unsubscribe nothing 3"}, {"s", "PUNSUBSCRIBE a* ?", "punsubscribe a* 2"},
	{"s", "", "punsubscribe ? 1"}, {"s", "PUNSUBSCRIBE", "punsubscribe (nil) 1"}, {"s", "UNSUBSCRIBE", "unsubscribe b 0"}, {"s", "UNSUBSCRIBE", "unsubscribe (nil) 0"},
	{"s", "PING", "PONG"}, {"s", "GET a", "(nil)"}, {"p", "PUBLISH a x", "0"}, {"s", "SET k v", "OK"}, {"s", "SUBSCRIBE z", "subscribe z 1"}, {"s", "QUIT", "OK"},
}

func play(t *testing.T, addr string) {
	t.Helper()
	who := map[string]*redistest.Conn{"s": redistest.Dial(t, addr), "p": redistest.Dial(t, addr)}
	for _, line := range script {
		c := who[line.who]
		got := ""
		if line.command == "" {
			got = c.Reply()
		} else {
			got = c.Do(line.command)
		}
		require.Equal(t, line.want, got, "%s: %s", line.who, line.command)
	}
	who["s"].Closed()
	require.Eventually(t, func() bool { return who["p"].Do("PUBLISH z x") == "0" }, time.Minute, time.Millisecond)
}

func TestScript(t *testing.T) {
	_, addr, _ := start(t, t.TempDir(), false)
	play(t, addr)
}

func TestScriptAsRedis(t *testing.T) { play(t, redistest.Start(t, t.TempDir())) }

func TestAMessageMayHoldAnyBytes(t *testing.T) {
	_, addr, _ := start(t, t.TempDir(), false)
	s, p := redistest.Dial(t, addr), redistest.Dial(t, addr)
	s.Do("SUBSCRIBE ch")
	for _, payload := range []string{"", "a\r\nb", "\x00\xff", strings.Repeat("long ", 100_000)} {
		p.Write(resp.AppendCommandStrings(nil, "PUBLISH", "ch", payload))
		require.Equal(t, "1", p.Reply())
		require.Equal(t, "message ch "+payload, s.Reply())
	}
}

// The one thing that must never happen: somebody waits for the one who does not read.
func TestAStalledSubscriberIsEndedAndDelaysNobody(t *testing.T) {
	s, addr, _ := start(t, t.TempDir(), false)
	stalled, live, p := redistest.Dial(t, addr), redistest.Dial(t, addr), redistest.Dial(t, addr)
	require.NoError(t, stalled.Conn.(*net.TCPConn).SetReadBuffer(4096))
	stalled.Do("SUBSCRIBE ch")
	live.Do("SUBSCRIBE ch")
	payload := strings.Repeat("x", 256<<10)
	for i := 0; ; i++ {
		require.Less(t, i, 4*maxQueuedBytes/len(payload), "the stalled subscriber is never ended")
		p.Write(resp.AppendCommandStrings(nil, "PUBLISH", "ch", payload))
		n := p.Reply()
		require.Equal(t, "message ch "+payload, live.Reply())
		if n == "1" {
			break
		}
	}
	s.mu.Lock()
	require.Len(t, s.listeners[channel]["ch"], 1)
	s.mu.Unlock()
}

func TestManySmallMessagesAreBoundedToo(t *testing.T) {
	c := &client{queue: make(chan []byte, maxQueued)}
	here, there := net.Pipe()
	c.conn = here
	for range maxQueued {
		c.enqueue([]byte("x"))
	}
	there.SetReadDeadline(time.Now().Add(time.Millisecond))
	_, err := there.Read(make([]byte, 1))
	require.ErrorIs(t, err, os.ErrDeadlineExceeded, "still connected")
	c.enqueue([]byte("one too many"))
	_, err = there.Read(make([]byte, 1))
	require.NotErrorIs(t, err, os.ErrDeadlineExceeded, "disconnected")
}

// Subscribers come and go in every way there is, while others publish; in the end nothing is left.
func TestComeAndGo(t *testing.T) {
	s, addr, stop := start(t, t.TempDir(), false)
	before := runtime.NumGoroutine() // and one more will be that which looks, in Eventually
	var wg sync.WaitGroup
	quit := make(chan struct{})
	for range 2 {
		p := redistest.Dial(t, addr)
		wg.Go(func() {
			defer p.Close()
			for {
				select {
				case <-quit:
					return
				default:
					p.Write(resp.AppendCommandStrings(nil, "PUBLISH", "ch", "x"))
					p.R.ReadValue()
				}
			}
		})
	}
	var subs sync.WaitGroup
	for i := range 4 {
		subs.Go(func() {
			for j := range 50 {
				subscribeAndGo(t, addr, i+j)
			}
		})
	}
	subs.Wait()
	close(quit)
	wg.Wait()
	require.Eventually(t, func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.listeners[channel])+len(s.listeners[pattern]) == 0
	}, time.Minute, time.Millisecond, "every subscription is forgotten")
	require.Eventually(t, func() bool { return runtime.NumGoroutine() <= before+1 }, time.Minute, time.Millisecond, "every goroutine has ended")
	stop()
}

// A connection that gets messages while it gets replies must never see one inside the other.
func TestFramesStayWhole(t *testing.T) {
	_, addr, _ := start(t, t.TempDir(), false)
	s := redistest.Dial(t, addr)
	s.Do("SUBSCRIBE ch")
	payload := strings.Repeat("payload ", 50)
	var wg sync.WaitGroup
	for range 3 {
		p := redistest.Dial(t, addr)
		wg.Go(func() {
			for range 100 {
				p.Write(resp.AppendCommandStrings(nil, "PUBLISH", "ch", payload))
				p.R.ReadValue()
			}
		})
	}
	for range 100 {
		s.Write(resp.AppendCommandStrings(nil, "PING", "x"))
	}
	got := map[string]int{}
	for range 400 {
		got[s.Reply()]++
	}
	require.Equal(t, map[string]int{"message ch " + payload: 300, "pong x": 100}, got)
	wg.Wait()
}

// KEYS of a real Redis speaks the same language as PSUBSCRIBE.
func TestMatchAsRedis(t *testing.T) {
	for _, c := range []struct {
		pattern, s string
		want       bool
	}{{"", "", true}, {"", "a", false}, {"h?llo", "hllo", false}, {"h*o", "heeello", true}, {"h[^e]llo", "hello", false}, {"[c-a]", "b", true},
		{`a\*`, "a*", true}, {`a\*`, "ab", false}, {"[abc", "c", true}, {"*a*b", "xaxbxb", true}, {"a**", "a", true}, {"[]a", "a", false}} {
		require.Equal(t, c.want, match(c.pattern, c.s), "%q %q", c.pattern, c.s)
	}
	require.False(t, match(strings.Repeat("a*", 500)+"b", strings.Repeat("a", 2000)), "and it is over quickly")
	c := redistest.Dial(t, redistest.Start(t, t.TempDir()))
	rng := rand.New(rand.NewPCG(1, 2))
	random := func(n int) string {
		b := make([]byte, 1+rng.IntN(n))
		for i := range b {
			b[i] = "aabc*?[]^-\\"[rng.IntN(11)]
		}
		return string(b)
	}
	var keys []string
	for range 100 {
		keys = append(keys, random(5))
		c.Do("SET " + keys[len(keys)-1] + " x")
	}
	for range 2000 {
		pattern := random(7)
		want := " " + c.Do("KEYS "+pattern) + " "
		for _, key := range keys {
			require.Equal(t, strings.Contains(want, " "+key+" "), match(pattern, key), "%q %q", pattern, key)
		}
	}
}

// Messages are no data: nothing of them is in the log, and everything else still is.
func TestDataSurvives(t *testing.T) {
	for _, useLog := range []bool{true, false} {
		dir := t.TempDir()
		_, addr, stop := start(t, dir, useLog)
		c := redistest.Dial(t, addr)
		c.Do("SET a 1")
		c.Do("SELECT 3")
		c.Do("SET b 2 EX 1000")
		c.Do("PUBLISH ch x")
		c.Do("BGSAVE")
		stop()
		if useLog {
			b, err := os.ReadFile(filepath.Join(dir, "appendonlydir", "appendonly.aof.1.incr.aof"))
			require.NoError(t, err)
			require.NotContains(t, string(b), "PUBLISH")
		}
		_, addr, _ = start(t, dir, useLog)
		c = redistest.Dial(t, addr)
		require.Equal(t, "1", c.Do("GET a"))
		c.Do("SELECT 3")
		require.Equal(t, "1000", c.Do("TTL b"))
	}
	dir := t.TempDir()
	r := redistest.Dial(t, redistest.Start(t, dir))
	r.Do("SET a 12345")
	require.Equal(t, "OK", r.Do("SAVE"))
	_, addr, _ := start(t, dir, false)
	require.Equal(t, "12345", redistest.Dial(t, addr).Do("GET a"))
	r.Do("RPUSH mylist x")
	require.Equal(t, "OK", r.Do("SAVE"))
	_, err := newServer(&basics.Options{Dir: dir})
	require.ErrorContains(t, err, `key "mylist" is of type list: this step only knows strings`)
}

func TestProgram(t *testing.T) {
	bin := redistest.Program(t, "07-pubsub")
	cmd := exec.Command(bin, "-addr", "127.0.0.1:0", "-dir", t.TempDir(), "-trace")
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { cmd.Process.Kill() })
	lines := bufio.NewScanner(stdout)
	require.True(t, lines.Scan())
	require.Contains(t, lines.Text(), "redis-cli -p ")
	c := redistest.Dial(t, strings.TrimSuffix(strings.Fields(lines.Text())[3], "."))
	require.Equal(t, "PONG", c.Do("PING"))
	require.True(t, lines.Scan())
	require.Contains(t, lines.Text(), "array of 1")
	go func() {
		for lines.Scan() {
		}
	}()
	require.NoError(t, cmd.Process.Signal(os.Interrupt))
	require.NoError(t, cmd.Wait(), "Ctrl-C ends it with exit code 0")
}

// subscribeAndGo subscribes, and leaves in one of four ways.
func subscribeAndGo(t *testing.T, addr string, way int) {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Error(err)
		return
	}
	defer c.Close()
	fmt.Fprint(c, "SUBSCRIBE ch other\r\nPSUBSCRIBE c*\r\n")
	c.Read(make([]byte, 10))
	switch way % 4 {
	case 0:
		c.(*net.TCPConn).SetLinger(0) // a reset
	case 1:
		fmt.Fprint(c, "UNSUBSCRIBE\r\nPUNSUBSCRIBE\r\nPING\r\n")
	case 2:
		fmt.Fprint(c, "QUIT\r\n")
	}
}
