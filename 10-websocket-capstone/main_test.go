package main

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"

	"byor/pkg/redistest"
	"byor/pkg/resp"
	"byor/pkg/server"
)

// The capstone as its users have it: built, started as a process, spoken to over everything it
// listens on, and ended in all the ways that processes end. What the gateway does in detail is tested
// in gateway_*_test.go.

// capstone is one running process.
type capstone struct {
	t        *testing.T
	cmd      *exec.Cmd
	port     int
	dir      string
	greeting string // the line it prints first
	page     string // http://127.0.0.1:port/
	ended    chan struct{}
	mu       sync.Mutex
	out      strings.Builder // what it said
}

// launch starts the program in dir on a free port, with the page on a free port too, and waits
// until both answer. The first of args may be a configuration file.
func launch(t *testing.T, bin, dir string, args ...string) *capstone {
	t.Helper()
	c := &capstone{t: t, port: redistest.Port(t), dir: dir, ended: make(chan struct{})}
	all := []string{"--port", strconv.Itoa(c.port), "--http-port", strconv.Itoa(redistest.Port(t)), "--dir", dir}
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		all, args = append([]string{args[0]}, all...), args[1:]
	}
	c.cmd = exec.Command(bin, append(all, args...)...)
	c.cmd.Dir = dir
	stdout, err := c.cmd.StdoutPipe()
	require.NoError(t, err)
	c.cmd.Stderr = c
	require.NoError(t, c.cmd.Start())
	t.Cleanup(func() {
		_ = c.cmd.Process.Kill()
		<-c.ended
	})
	greeting := make(chan string, 1)
	go func() {
		lines := bufio.NewReader(stdout)
		line, _ := lines.ReadString('\n')
		greeting <- line
		_, _ = io.Copy(c, lines)
		_ = c.cmd.Wait()
		close(c.ended)
	}()
	c.greeting = strings.TrimSpace(<-greeting)
	_, c.page, _ = strings.Cut(c.greeting, "the page at ")
	require.NotEmpty(t, c.page, "%s\n%s", c.greeting, c.said())
	require.Eventually(t, func() bool {
		nc, err := net.Dial("tcp", c.addr())
		if err == nil {
			_ = nc.Close()
		}
		return err == nil && c.ready() == http.StatusOK
	}, patience, 5*time.Millisecond, "no answer on the port")
	return c
}

// ready asks /readyz and returns the status, 0 for none.
func (c *capstone) ready() int {
	r, err := http.Get(c.page + "readyz")
	if err != nil {
		return 0
	}
	_ = r.Body.Close()
	return r.StatusCode
}

// Write takes what the process says.
func (c *capstone) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.out.Write(p)
}

func (c *capstone) said() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.out.String()
}

func (c *capstone) addr() string { return "127.0.0.1:" + strconv.Itoa(c.port) }

// exits waits for the end of the process and returns its exit code.
func (c *capstone) exits() int {
	c.t.Helper()
	select {
	case <-c.ended:
	case <-time.After(2 * patience):
		require.FailNow(c.t, "the process goes on", c.said())
	}
	return c.cmd.ProcessState.ExitCode()
}

// redis is a connection that speaks RESP.
type redis struct {
	t *testing.T
	net.Conn
	r *resp.Reader
}

func dialRedis(t *testing.T, network, addr string) *redis {
	t.Helper()
	nc, err := net.Dial(network, addr)
	require.NoError(t, err)
	t.Cleanup(func() { _ = nc.Close() })
	require.NoError(t, nc.SetDeadline(time.Now().Add(3*patience)))
	return &redis{t, nc, resp.NewReader(nc)}
}

// do runs a command, given as words, and returns what the reply says.
func (r *redis) do(line string) string {
	r.t.Helper()
	_, err := r.Write([]byte(command(strings.Fields(line)...)))
	require.NoError(r.t, err)
	return r.next()
}

func (r *redis) next() string {
	r.t.Helper()
	v, err := r.r.ReadValue()
	require.NoError(r.t, err)
	return say(v)
}

// say writes a reply as one line.
func say(v resp.Value) string {
	switch {
	case v.Null:
		return "(nil)"
	case v.Kind == resp.Integer:
		return strconv.FormatInt(v.Int, 10)
	case len(v.Elems) > 0:
		var words []string
		for _, e := range v.Elems {
			words = append(words, say(e))
		}
		return strings.Join(words, " ")
	}
	return string(v.Str)
}

// browser opens a WebSocket.
func (c *capstone) browser() *peer {
	c.t.Helper()
	ws, _, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(c.page, "http")+"ws", nil)
	require.NoError(c.t, err)
	c.t.Cleanup(func() { _ = ws.Close() })
	require.NoError(c.t, ws.SetReadDeadline(time.Now().Add(3*patience)))
	return &peer{Conn: ws, t: c.t}
}

func TestCapstone(t *testing.T) {
	bin := redistest.Program(t, "10-websocket-capstone")
	for name, test := range map[string]func(t *testing.T, bin string){
		"every door": testEveryDoor, "sigterm": testSigterm, "sigint": testSigint, "shutdown": testShutdown,
		"shutdown that fails": testShutdownFails, "kill": testKill, "arguments": testArguments, "page": testPage,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, bin)
		})
	}
}

// TCP, unix socket and WebSocket are doors of one house, and HTTP has windows.
func testEveryDoor(t *testing.T, bin string) {
	sock := filepath.Join(shortDir(t), "s")
	c := launch(t, bin, t.TempDir(), "--unixsocket", sock)
	require.Contains(t, c.greeting, "redis-cli -p "+strconv.Itoa(c.port))
	tcp, unix, ws := dialRedis(t, "tcp", c.addr()), dialRedis(t, "unix", sock), c.browser()
	require.Equal(t, "OK", tcp.do("SET k from-tcp"))
	require.Equal(t, "from-tcp", unix.do("GET k"))
	ws.expect(`{"id":1,"op":"cmd","args":["APPEND","k",", ws"]}`, `{"id":1,"result":12}`)
	require.Equal(t, "from-tcp, ws", unix.do("GET k"))
	require.Equal(t, "subscribe room 1", unix.do("SUBSCRIBE room"))
	ws.expect(`{"id":2,"op":"pub","channel":"room","data":"hi"}`, `{"id":2,"result":1}`)
	require.Equal(t, "message room hi", unix.next())
	for path, want := range map[string]string{"": "<html", "healthz": "ok", "readyz": "ready", "metrics": "byor_ws_connections 1"} {
		r, err := http.Get(c.page + path)
		require.NoError(t, err)
		body, err := io.ReadAll(r.Body)
		require.NoError(t, err)
		_ = r.Body.Close()
		require.Equal(t, 200, r.StatusCode, path)
		require.Contains(t, string(body), want, path)
	}
}

// shortDir is a directory with a short name: the path of a unix socket has 104 bytes at most.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "s")
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func needSignals(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no signals")
	}
}

// A signal: what was pipelined is answered, browsers hear goodbye, the data is saved.
func testSigterm(t *testing.T, bin string) {
	needSignals(t)
	dir := t.TempDir()
	c := launch(t, bin, dir, "--save", "3600 1")
	tcp, ws := dialRedis(t, "tcp", c.addr()), c.browser()
	ws.expect(`{"id":1,"op":"cmd","args":["SET","k","v"]}`, `{"id":1,"result":"OK"}`)
	require.Equal(t, "OK", tcp.do("SET k2 v2"))
	require.NoError(t, c.cmd.Process.Signal(syscall.SIGTERM))
	ws.expect("", `{"push":"goodbye","code":1001,"reason":"shutdown","reconnectMs":[500,5000]}`)
	ws.expectClose(websocket.CloseGoingAway)
	require.Equal(t, 0, c.exits(), c.said())
	_, err := tcp.Read(make([]byte, 1))
	require.ErrorIs(t, err, io.EOF)
	again := dialRedis(t, "tcp", launch(t, bin, dir).addr())
	require.Equal(t, "v v2", again.do("MGET k k2"))
}

// Two signals in a row: the second does not wait for the peers that the first waits for.
func testSigint(t *testing.T, bin string) {
	needSignals(t)
	c := launch(t, bin, t.TempDir())
	ws := c.browser() // never answers the close, since it never reads
	ws.say(`{"id":1,"op":"ping"}`)
	require.Equal(t, `{"id":1,"result":"PONG"}`, ws.hear())
	require.NoError(t, c.cmd.Process.Signal(syscall.SIGINT))
	require.Eventually(t, func() bool { return c.ready() == 503 }, patience, 5*time.Millisecond)
	require.NoError(t, c.cmd.Process.Signal(syscall.SIGINT))
	require.Equal(t, 1, c.exits())
	require.Contains(t, c.said(), "A second signal")
}

// The command SHUTDOWN is no reason to be less polite than a signal.
func testShutdown(t *testing.T, bin string) {
	dir := t.TempDir()
	c := launch(t, bin, dir, "--save", "3600 1")
	tcp, ws, raw := dialRedis(t, "tcp", c.addr()), c.browser(), c.browser()
	ws.expect(`{"id":1,"op":"sub","channels":["room"]}`, `{"id":1,"result":{"subscribed":["room"]}}`)
	raw.expect(`{"id":1,"op":"ping"}`, `{"id":1,"result":"PONG"}`)
	require.Equal(t, "OK", tcp.do("SET k v"))
	_, err := tcp.Write([]byte(command("SHUTDOWN")))
	require.NoError(t, err)
	for _, p := range []*peer{ws, raw} {
		p.expect("", `{"push":"goodbye","code":1001,"reason":"shutdown","reconnectMs":[500,5000]}`)
		p.expectClose(websocket.CloseGoingAway)
	}
	_, err = tcp.Read(make([]byte, 1))
	require.ErrorIs(t, err, io.EOF)
	require.Equal(t, 0, c.exits(), c.said())
	again := dialRedis(t, "tcp", launch(t, bin, dir).addr())
	require.Equal(t, "v", again.do("GET k"))
}

// Where the data cannot be saved, nobody is sent away.
func testShutdownFails(t *testing.T, bin string) {
	dir := filepath.Join(t.TempDir(), "data")
	require.NoError(t, os.Mkdir(dir, 0o755))
	c := launch(t, bin, dir, "--save", "3600 1")
	tcp, ws := dialRedis(t, "tcp", c.addr()), c.browser()
	require.Equal(t, "OK", tcp.do("SET k v"))
	require.NoError(t, os.RemoveAll(dir))
	require.Contains(t, tcp.do("SHUTDOWN"), "ERR Errors trying to SHUTDOWN")
	ws.expect(`{"id":1,"op":"cmd","args":["GET","k"]}`, `{"id":1,"result":"v"}`)
	if runtime.GOOS == "windows" {
		return
	}
	require.NoError(t, c.cmd.Process.Signal(syscall.SIGTERM))
	ws.expectClose(websocket.CloseGoingAway) // it was polite too early, and lets browsers in again
	require.Eventually(t, func() bool { return c.ready() == 200 }, patience, 5*time.Millisecond)
	c.browser().expect(`{"id":1,"op":"cmd","args":["GET","k"]}`, `{"id":1,"result":"v"}`)
	require.NoError(t, os.Mkdir(dir, 0o755))
	require.NoError(t, c.cmd.Process.Signal(syscall.SIGTERM))
	require.Equal(t, 0, c.exits(), c.said())
}

// kill -9 loses nothing that was acknowledged, whoever it was acknowledged to.
func testKill(t *testing.T, bin string) {
	dir := t.TempDir()
	c := launch(t, bin, dir, "--appendonly", "yes", "--appendfsync", "always")
	tcp, ws := dialRedis(t, "tcp", c.addr()), c.browser()
	for i := range 50 {
		require.Equal(t, strconv.Itoa(2*i+1), tcp.do("INCR n"))
		ws.expect(`{"id":1,"op":"cmd","args":["INCR","n"]}`, `{"id":1,"result":`+strconv.Itoa(2*i+2)+`}`)
	}
	require.NoError(t, c.cmd.Process.Kill())
	c.exits()
	again := dialRedis(t, "tcp", launch(t, bin, dir, "--appendonly", "yes").addr())
	require.Equal(t, "100", again.do("GET n"))
}

// What is wrong with the command line is said at once.
func testArguments(t *testing.T, bin string) {
	for want, args := range map[string][]string{
		"http-port":                        {"--http-port", "many"},
		"nosuchsetting":                    {"--nosuchsetting", "1"},
		"http-bind is not a loopback":      {"--port", strconv.Itoa(redistest.Port(t)), "--http-bind", "0.0.0.0", "--http-port", "0", "--http-port", strconv.Itoa(redistest.Port(t))},
		"address already in use":           {"--port", strconv.Itoa(redistest.Port(t)), "--http-port", strconv.Itoa(taken(t))},
		"Could not create server TCP":      {"--port", strconv.Itoa(taken(t)), "--http-port", "0"},
		"is no number from 0 to 65535":     {"--http-port", "70000"},
		"ws-queue: \"much\" is no size su": {"--ws-queue", "much"},
	} {
		cmd := exec.Command(bin, args...)
		cmd.Dir = t.TempDir()
		out, err := cmd.CombinedOutput()
		require.Error(t, err, "%v", args)
		require.Contains(t, string(out), want, "%v", args)
		require.NotContains(t, string(out), "is listening", "%v", args)
	}
}

func taken(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	return l.Addr().(*net.TCPAddr).Port
}

// The page in a real browser, with redis-cli at the other end.
func testPage(t *testing.T, bin string) {
	c := launch(t, bin, t.TempDir())
	tcp := dialRedis(t, "tcp", c.addr())
	require.Equal(t, "2", tcp.do("RPUSH list a b"))
	b := openTab(t, c.page)
	b.shows("state", "connected")

	b.fill("topic", "room:1")
	b.shows("topics", "room:1")
	require.Equal(t, "1", publish(t, c, "room:1", "hello from <b>redis-cli</b>"))
	b.shows("feed", "hello from <b>redis-cli</b>") // as text, not as markup

	require.Equal(t, "subscribe room:2 1", tcp.do("SUBSCRIBE room:2"))
	b.eval(`document.getElementById("to").value = "room:2"`)
	b.fill("what", "hello from the page")
	require.Equal(t, "message room:2 hello from the page", tcp.next())

	b.fill("line", `LRANGE list 0 -1`)
	b.shows("screen", "*2\\r\\n$1\\r\\na\\r\\n$1\\r\\nb\\r\\n") // the bytes of the reply
	b.fill("match", "li*")
	b.shows("list", "list")
	b.eval(`document.querySelector("#list button").click()`)
	b.shows("value", "2 elements")
	b.shows("facts", "master")

	b.eval(`document.getElementById("slow").click()`)
	b.shows("slow-says", "4008")
	b.shows("state", "connected") // the page itself has not suffered

	_, err := dialRedis(t, "tcp", c.addr()).Write([]byte(command("SHUTDOWN", "NOSAVE")))
	require.NoError(t, err)
	b.shows("feed", "goodbye")
}

// publish publishes with redis-cli, as a user would, or without it where it is not installed.
func publish(t *testing.T, c *capstone, channel, text string) string {
	t.Helper()
	path, err := exec.LookPath("redis-cli")
	if err != nil {
		r := dialRedis(t, "tcp", c.addr())
		_, err := r.Write([]byte(command("PUBLISH", channel, text)))
		require.NoError(t, err)
		return r.next()
	}
	out, err := exec.Command(path, "-p", strconv.Itoa(c.port), "PUBLISH", channel, text).CombinedOutput()
	require.NoError(t, err, string(out))
	return strings.TrimSpace(string(out))
}

// What is left out of the fast path is taken out of the command line, and a word that says nothing ends it.
func TestFastPathOption(t *testing.T) {
	rest, plain, err := takeFastPath([]string{"redis.conf", "--fast-path", "touch=no,wait=no", "--port", "7000"})
	require.NoError(t, err)
	require.Equal(t, []string{"redis.conf", "--port", "7000"}, rest)
	require.Equal(t, server.Plain{Touch: true, Wait: true}, plain)
	_, _, err = takeFastPath([]string{"--fast-path"})
	require.ErrorContains(t, err, "what is to be left out?")
	_, _, err = takeFastPath([]string{"--fast-path", "speed=no"})
	require.ErrorContains(t, err, `--fast-path: "speed=no" is not one of clock, touch and wait`)
}
