package server_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"byor/pkg/resp"
	"byor/pkg/server"
)

// The scripts in testdata/diff are run on a real redis-server and on ours, and the replies compared,
// in RESP2 and in RESP3. A line is
//
//	SET key "some value"   a command, with the quoting of redis-cli
//	~ XADD s * f v         one whose numbers differ from run to run: each counts as 0
//	? SPOP s               one whose reply is not compared at all
//	a> BLPOP k 0           one for another connection, which is expected to wait
//	a<                     and the reply to it
//	# …                    a comment
//
// TestScriptsAsRealRedis/strings.txt runs one of them.
func TestScriptsAsRealRedis(t *testing.T) {
	scripts, err := filepath.Glob("testdata/diff/*.txt")
	require.NoError(t, err)
	require.NotEmpty(t, scripts)
	realRedis, ours := startRealRedis(t), startOurs(t)
	for _, path := range scripts {
		for _, proto := range []string{"2", "3"} {
			t.Run(filepath.Base(path)+"/RESP"+proto, func(t *testing.T) {
				text, err := os.ReadFile(path)
				require.NoError(t, err)
				runScript(t, proto, strings.Split(string(text), "\n"), realRedis, ours)
			})
		}
	}
}

// startRealRedis starts a real redis-server and returns the path of its socket.
func startRealRedis(t *testing.T) string {
	t.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("redis-server is not installed, and in CI it must be")
		}
		t.Skip("redis-server is not installed: the comparison with real Redis is left out")
	}
	sock := socketPath(t)
	cmd := exec.Command("redis-server", "--port", "0", "--unixsocket", sock, "--dir", filepath.Dir(sock),
		"--save", "", "--appendonly", "no", "--enable-debug-command", "yes")
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	require.Eventually(t, func() bool {
		c, err := net.Dial("unix", sock)
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	}, 10*time.Second, 5*time.Millisecond)
	return sock
}

// socketPath returns the path of a socket to be; t.TempDir can be too long for one.
func socketPath(t *testing.T) string {
	dir, err := os.MkdirTemp("", "byor")
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return filepath.Join(dir, "s")
}

// startOurs starts our server in this process and returns the path of its socket.
func startOurs(t *testing.T) string {
	t.Helper()
	sock := socketPath(t)
	cfg := server.DefaultConfig()
	require.NoError(t, cfg.ParseArgs([]string{"--dir", filepath.Dir(sock), "--save", "", "--logfile", os.DevNull, "--enable-debug-command", "yes"}))
	s := server.New(cfg, server.Options{})
	ln, err := net.Listen("unix", sock)
	require.NoError(t, err)
	served := make(chan struct{})
	go func() { defer close(served); _ = s.Serve(ln) }()
	require.NoError(t, s.Start())
	t.Cleanup(func() {
		require.NoError(t, s.Shutdown(t.Context(), server.ShutdownMode{}))
		<-served
	})
	return sock
}

// scriptConn is a connection of a script to one of the two servers.
type scriptConn struct {
	net.Conn
	r *resp.Reader
}

func dialScript(t *testing.T, sock, proto string) *scriptConn {
	t.Helper()
	conn, err := net.Dial("unix", sock)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	require.NoError(t, conn.SetDeadline(time.Now().Add(time.Minute)))
	c := &scriptConn{conn, resp.NewReader(conn)}
	c.do(t, [][]byte{[]byte("HELLO"), []byte(proto)})
	return c
}

func (c *scriptConn) send(t *testing.T, args [][]byte) {
	t.Helper()
	_, err := c.Write(resp.AppendCommand(nil, args...))
	require.NoError(t, err)
}

func (c *scriptConn) receive(t *testing.T) string {
	t.Helper()
	v, err := c.r.ReadValue()
	require.NoError(t, err)
	return printValue(v, "")
}

func (c *scriptConn) do(t *testing.T, args [][]byte) string {
	t.Helper()
	c.send(t, args)
	return c.receive(t)
}

// printValue prints a reply so that every difference on the wire shows.
func printValue(v resp.Value, indent string) string {
	switch {
	case v.Null:
		return string(v.Kind) + " null"
	case v.Kind == resp.Integer:
		return fmt.Sprint(": ", v.Int)
	case v.Kind == resp.Double:
		return fmt.Sprint(", ", strconv.FormatFloat(v.Double, 'g', -1, 64))
	case v.Kind == resp.Bool:
		return fmt.Sprint("# ", v.Bool)
	case v.Elems == nil:
		return fmt.Sprintf("%c %s%q", v.Kind, v.Format, v.Str)
	}
	out := fmt.Sprintf("%c %d", v.Kind, len(v.Elems))
	for _, e := range v.Elems {
		out += "\n  " + indent + printValue(e, indent+"  ")
	}
	return out
}

// scriptRun is a script under way on both servers.
type scriptRun struct {
	proto string
	socks []string
	conns map[string][]*scriptConn // by name; "" is the main one
}

func (r *scriptRun) conn(t *testing.T, name string) []*scriptConn {
	if r.conns[name] == nil {
		for _, s := range r.socks {
			r.conns[name] = append(r.conns[name], dialScript(t, s, r.proto))
		}
	}
	return r.conns[name]
}

func runScript(t *testing.T, proto string, lines []string, socks ...string) {
	r := &scriptRun{proto: proto, socks: socks, conns: map[string][]*scriptConn{}}
	for _, c := range r.conn(t, "") {
		c.do(t, [][]byte{[]byte("FLUSHALL")})
	}
	for i, line := range lines {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		if want, got := r.line(t, line); want != got {
			t.Errorf("line %d: %s\nreal Redis: %s\nours:       %s", i+1, line, want, got)
		}
	}
}

var (
	otherConn = regexp.MustCompile(`^([a-z])([<>]) ?(.*)$`)
	digits    = regexp.MustCompile(`[0-9]+`)
)

// line runs a line and returns both replies.
func (r *scriptRun) line(t *testing.T, line string) (want, got string) {
	if m := otherConn.FindStringSubmatch(line); m != nil {
		conns := r.conn(t, m[1])
		if m[2] == "<" {
			return conns[0].receive(t), conns[1].receive(t)
		}
		for i, c := range conns {
			before := r.blocked(t, i)
			c.send(t, splitLine(t, m[3]))
			require.Eventually(t, func() bool { return r.blocked(t, i) > before }, 10*time.Second, time.Millisecond, "%s does not wait", line)
		}
		return "", ""
	}
	mark := byte(0)
	if len(line) > 2 && line[1] == ' ' && (line[0] == '~' || line[0] == '?') {
		mark, line = line[0], line[2:]
	}
	args := splitLine(t, line)
	conns := r.conn(t, "")
	want, got = conns[0].do(t, args), conns[1].do(t, args)
	switch mark {
	case '?':
		return "", ""
	case '~':
		return digits.ReplaceAllString(want, "0"), digits.ReplaceAllString(got, "0")
	}
	return want, got
}

func splitLine(t *testing.T, line string) [][]byte {
	args, ok := resp.SplitArgs([]byte(line))
	require.True(t, ok, line)
	return args
}

var blockedClients = regexp.MustCompile(`blocked_clients:(\d+)`)

// blocked returns how many clients wait on server i.
func (r *scriptRun) blocked(t *testing.T, i int) int {
	info := r.conn(t, "")[i].do(t, [][]byte{[]byte("INFO"), []byte("clients")})
	m := blockedClients.FindStringSubmatch(info)
	require.NotNil(t, m)
	n, _ := strconv.Atoi(m[1])
	return n
}
