package main

import (
	"bufio"
	"bytes"
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

	"byor/pkg/resp"
)

// start serves dir on a free port until the test ends, or until stop is called.
func start(t *testing.T, dir string, useLog bool) (s *server, addr string, stop func()) {
	t.Helper()
	s, err := newServer(dir, useLog, "always", false)
	require.NoError(t, err)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	go s.expireInBackground(ctx)
	done := make(chan struct{})
	go func() { s.serve(ln); close(done) }()
	stop = sync.OnceFunc(func() {
		cancel()
		ln.Close()
		<-done
		require.Eventually(t, func() bool {
			s.mu.Lock()
			defer s.mu.Unlock()
			return s.dump == nil
		}, 10*time.Second, time.Millisecond)
		if s.log != nil {
			require.NoError(t, s.log.Close())
		}
	})
	t.Cleanup(stop)
	return s, ln.Addr().String(), stop
}

type conn struct {
	t *testing.T
	net.Conn
	r *resp.Reader
}

// dial connects with a deadline, so that a server that says nothing fails a test and never hangs it.
func dial(t *testing.T, addr string) *conn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	require.NoError(t, c.SetDeadline(time.Now().Add(20*time.Second)))
	return &conn{t, c, resp.NewReader(c)}
}

// do sends one command, given as words, and returns the reply as text.
func (c *conn) do(command string) string {
	c.t.Helper()
	_, err := c.Write(resp.AppendCommandStrings(nil, strings.Fields(command)...))
	require.NoError(c.t, err)
	return c.reply()
}

// reply reads one reply or message. Arrays come back as their elements with spaces between.
func (c *conn) reply() string {
	c.t.Helper()
	v, err := c.r.ReadValue()
	require.NoError(c.t, err)
	return text(v)
}

func text(v resp.Value) string {
	switch {
	case v.Null:
		return "(nil)"
	case v.Kind == resp.Integer:
		return fmt.Sprint(v.Int)
	case v.Kind == resp.Array:
		var words []string
		for _, e := range v.Elems {
			words = append(words, text(e))
		}
		return strings.Join(words, " ")
	case v.IsError():
		return "-" + string(v.Str)
	}
	return string(v.Str)
}

// closed waits until the server has closed the connection, reading what it still sends.
func (c *conn) closed() {
	c.t.Helper()
	for {
		if _, err := c.r.ReadValue(); err != nil {
			require.NotErrorIs(c.t, err, os.ErrDeadlineExceeded)
			return
		}
	}
}

// redis starts a real redis-server on dir, with args behind its command line.
func redis(t *testing.T, dir string, args ...string) string {
	t.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("redis-server is not installed, and this is CI")
		}
		t.Skip("redis-server is not installed: not compared with the real one")
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	_, port, _ := net.SplitHostPort(ln.Addr().String())
	ln.Close()
	cmd := exec.Command("redis-server", "--port", port, "--dir", dir, "--save", "")
	cmd.Args = append(cmd.Args, args...)
	var out bytes.Buffer
	cmd.Stdout = &out
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	addr := "127.0.0.1:" + port
	require.Eventually(t, func() bool {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			return false
		}
		defer c.Close()
		fmt.Fprint(c, "PING\r\n")
		line, _ := bufio.NewReader(c).ReadString('\n')
		return line == "+PONG\r\n"
	}, 10*time.Second, 10*time.Millisecond, "%s", &out)
	return addr
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
	who := map[string]*conn{"s": dial(t, addr), "p": dial(t, addr)}
	for _, line := range script {
		c := who[line.who]
		got := ""
		if line.command == "" {
			got = c.reply()
		} else {
			got = c.do(line.command)
		}
		require.Equal(t, line.want, got, "%s: %s", line.who, line.command)
	}
	who["s"].closed()
	require.Eventually(t, func() bool { return who["p"].do("PUBLISH z x") == "0" }, 5*time.Second, time.Millisecond)
}

func TestScript(t *testing.T) {
	_, addr, _ := start(t, t.TempDir(), false)
	play(t, addr)
}

func TestScriptAsRedis(t *testing.T) { play(t, redis(t, t.TempDir())) }

func TestAMessageMayHoldAnyBytes(t *testing.T) {
	_, addr, _ := start(t, t.TempDir(), false)
	s, p := dial(t, addr), dial(t, addr)
	s.do("SUBSCRIBE ch")
	for _, payload := range []string{"", "a\r\nb", "\x00\xff", strings.Repeat("long ", 100_000)} {
		p.Write(resp.AppendCommandStrings(nil, "PUBLISH", "ch", payload))
		require.Equal(t, "1", p.reply())
		require.Equal(t, "message ch "+payload, s.reply())
	}
}

// The one thing that must never happen: somebody waits for the one who does not read.
func TestAStalledSubscriberIsEndedAndDelaysNobody(t *testing.T) {
	s, addr, _ := start(t, t.TempDir(), false)
	stalled, live, p := dial(t, addr), dial(t, addr), dial(t, addr)
	require.NoError(t, stalled.Conn.(*net.TCPConn).SetReadBuffer(4096))
	stalled.do("SUBSCRIBE ch")
	live.do("SUBSCRIBE ch")
	payload := strings.Repeat("x", 256<<10)
	for i := 0; ; i++ {
		require.Less(t, i, 4*maxQueuedBytes/len(payload), "the stalled subscriber is never ended")
		p.Write(resp.AppendCommandStrings(nil, "PUBLISH", "ch", payload))
		n := p.reply()
		require.Equal(t, "message ch "+payload, live.reply())
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
		p := dial(t, addr)
		wg.Go(func() {
			defer p.Close()
			for {
				select {
				case <-quit:
					return
				default:
					p.Write(resp.AppendCommandStrings(nil, "PUBLISH", "ch", "x"))
					p.r.ReadValue()
				}
			}
		})
	}
	var subs sync.WaitGroup
	for i := range 4 {
		subs.Go(func() {
			for j := range 50 {
				c, err := net.Dial("tcp", addr)
				if err != nil {
					t.Error(err)
					return
				}
				fmt.Fprint(c, "SUBSCRIBE ch other\r\nPSUBSCRIBE c*\r\n")
				c.Read(make([]byte, 10))
				switch (i + j) % 4 {
				case 0:
					c.(*net.TCPConn).SetLinger(0) // a reset
				case 1:
					fmt.Fprint(c, "UNSUBSCRIBE\r\nPUNSUBSCRIBE\r\nPING\r\n")
				case 2:
					fmt.Fprint(c, "QUIT\r\n")
				}
				c.Close()
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
	}, 10*time.Second, time.Millisecond, "every subscription is forgotten")
	require.Eventually(t, func() bool { return runtime.NumGoroutine() <= before+1 }, 10*time.Second, time.Millisecond, "every goroutine has ended")
	stop()
}

// A connection that gets messages while it gets replies must never see one inside the other.
func TestFramesStayWhole(t *testing.T) {
	_, addr, _ := start(t, t.TempDir(), false)
	s := dial(t, addr)
	s.do("SUBSCRIBE ch")
	payload := strings.Repeat("payload ", 50)
	var wg sync.WaitGroup
	for range 3 {
		p := dial(t, addr)
		wg.Go(func() {
			for range 100 {
				p.Write(resp.AppendCommandStrings(nil, "PUBLISH", "ch", payload))
				p.r.ReadValue()
			}
		})
	}
	for range 100 {
		s.Write(resp.AppendCommandStrings(nil, "PING", "x"))
	}
	got := map[string]int{}
	for range 400 {
		got[s.reply()]++
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
	c := dial(t, redis(t, t.TempDir()))
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
		c.do("SET " + keys[len(keys)-1] + " x")
	}
	for range 2000 {
		pattern := random(7)
		want := " " + c.do("KEYS "+pattern) + " "
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
		c := dial(t, addr)
		c.do("SET a 1")
		c.do("SELECT 3")
		c.do("SET b 2 EX 1000")
		c.do("PUBLISH ch x")
		c.do("BGSAVE")
		stop()
		if useLog {
			b, err := os.ReadFile(filepath.Join(dir, "appendonlydir", "appendonly.aof.1.incr.aof"))
			require.NoError(t, err)
			require.NotContains(t, string(b), "PUBLISH")
		}
		_, addr, _ = start(t, dir, useLog)
		c = dial(t, addr)
		require.Equal(t, "1", c.do("GET a"))
		c.do("SELECT 3")
		require.Equal(t, "1000", c.do("TTL b"))
	}
	dir := t.TempDir()
	r := dial(t, redis(t, dir))
	r.do("SET a 12345")
	require.Equal(t, "OK", r.do("SAVE"))
	_, addr, _ := start(t, dir, false)
	require.Equal(t, "12345", dial(t, addr).do("GET a"))
	r.do("RPUSH mylist x")
	require.Equal(t, "OK", r.do("SAVE"))
	_, err := newServer(dir, false, "", false)
	require.ErrorContains(t, err, `key "mylist" is of type list: this step only knows strings`)
}

func TestProgram(t *testing.T) {
	bin := filepath.Join(t.TempDir(), "step")
	out, err := exec.Command("go", "build", "-o", bin, ".").CombinedOutput()
	require.NoError(t, err, string(out))
	cmd := exec.Command(bin, "-addr", "127.0.0.1:0", "-dir", t.TempDir(), "-trace")
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { cmd.Process.Kill() })
	lines := bufio.NewScanner(stdout)
	require.True(t, lines.Scan())
	require.Contains(t, lines.Text(), "redis-cli -p ")
	c := dial(t, strings.TrimSuffix(strings.Fields(lines.Text())[3], "."))
	require.Equal(t, "PONG", c.do("PING"))
	require.True(t, lines.Scan())
	require.Contains(t, lines.Text(), "array of 1")
	go func() {
		for lines.Scan() {
		}
	}()
	require.NoError(t, cmd.Process.Signal(os.Interrupt))
	require.NoError(t, cmd.Wait(), "Ctrl-C ends it with exit code 0")
}
