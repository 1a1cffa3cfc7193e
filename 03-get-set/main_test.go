package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"byor/pkg/redistest"
	"byor/pkg/resp"
)

// start serves on a free port until the test ends and returns the address.
func start(t testing.TB) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		newServer().serve(ln)
	}()
	t.Cleanup(func() {
		ln.Close()
		<-done
	})
	return ln.Addr().String()
}

// session was played to redis-server 7.0.15; TestRealRedisAnswersTheSame repeats it.
var session = []struct{ send, want string }{
	{"GET a", "$-1"}, {"SET a 1", "+OK"}, {"GET a", "$1\r\n1"}, {"set a two", "+OK"}, {"gEt a", "$3\r\ntwo"},
	{"GET A", "$-1"}, {`SET e ""`, "+OK"}, {"GET e", "$0\r\n"}, {`SET "b\r\n\x00" "\xff\r\n"`, "+OK"},
	{`GET "b\r\n\x00"`, "$3\r\n\xff\r\n"}, {"EXISTS a a nope e", ":3"}, {"DEL a a nope", ":1"}, {"DEL a", ":0"},
	{"EXISTS a", ":0"},
	{"INCR n", ":1"}, {"INCR n", ":2"}, {"GET n", "$1\r\n2"}, {"SET n -1", "+OK"}, {"INCR n", ":0"},
	{"SET n 9223372036854775806", "+OK"}, {"INCR n", ":9223372036854775807"},
	{"INCR n", "-ERR increment or decrement would overflow"}, {"GET n", "$19\r\n9223372036854775807"},
	{"SET n 9223372036854775808", "+OK"}, {"INCR n", "-ERR value is not an integer or out of range"},
	{"SET n abc", "+OK"}, {"INCR n", "-ERR value is not an integer or out of range"}, {"GET n", "$3\r\nabc"},
	{`SET n " 1"`, "+OK"}, {"INCR n", "-ERR value is not an integer or out of range"},
	{"SET n 01", "+OK"}, {"INCR n", "-ERR value is not an integer or out of range"},
	{"INCR e", "-ERR value is not an integer or out of range"},
	{"GET", "-ERR wrong number of arguments for 'get' command"},
	{"gEt a b", "-ERR wrong number of arguments for 'get' command"},
	{"SET a", "-ERR wrong number of arguments for 'set' command"}, {"SET a b nonsense", "-ERR syntax error"},
	{"DEL", "-ERR wrong number of arguments for 'del' command"},
	{"EXISTS", "-ERR wrong number of arguments for 'exists' command"},
	{"INCR", "-ERR wrong number of arguments for 'incr' command"},
	{"PING", "+PONG"}, {"PING hi", "$2\r\nhi"}, {"PING a b", "-ERR wrong number of arguments for 'ping' command"},
	{"ECHO hey", "$3\r\nhey"}, {"FOO bar", "-ERR unknown command 'FOO', with args beginning with: 'bar' "},
	{"FOO", "-ERR unknown command 'FOO', with args beginning with: "},
	{`FOO "a\r\nb"`, "-ERR unknown command 'FOO', with args beginning with: 'a  b' "},
	{"foo " + strings.Repeat("b", 200) + " c",
		"-ERR unknown command 'foo', with args beginning with: '" + strings.Repeat("b", 128) + "' "},
	{"foo " + strings.Repeat("é", 100),
		"-ERR unknown command 'foo', with args beginning with: '" + strings.Repeat("é", 64) + "' "},
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
	require.Equal(t, want, redistest.Script(t, start(t), lines))
}

func TestRealRedisAnswersTheSame(t *testing.T) {
	lines, want := sessionTexts()
	require.Equal(t, want, redistest.Script(t, redistest.StartSocket(t), lines))
}

func TestQuitAnswersAndCloses(t *testing.T) {
	conn, err := net.Dial("tcp", start(t))
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, conn.SetDeadline(time.Now().Add(time.Minute)))
	_, err = io.WriteString(conn, "PING\r\nQUIT\r\nSET never run\r\n")
	require.NoError(t, err)
	got, err := io.ReadAll(conn)
	require.NoError(t, err)
	require.Equal(t, "+PONG\r\n+OK\r\n", string(got))
}

func TestProtocolErrorCloses(t *testing.T) {
	conn, err := net.Dial("tcp", start(t))
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, conn.SetDeadline(time.Now().Add(time.Minute)))
	_, err = io.WriteString(conn, "PING\r\n*1\r\n:1\r\nPING\r\n")
	require.NoError(t, err)
	got, err := io.ReadAll(conn)
	require.NoError(t, err)
	require.Equal(t, "+PONG\r\n-ERR Protocol error: expected '$', got ':'\r\n", string(got))
}

// A whole command is answered although half of the next one is already there.
func TestAnswersBeforeItWaits(t *testing.T) {
	conn, err := net.Dial("tcp", start(t))
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, conn.SetDeadline(time.Now().Add(time.Minute)))
	_, err = io.WriteString(conn, "PING\r\n*1\r\n$4\r\nPI")
	require.NoError(t, err)
	r := bufio.NewReader(conn)
	line, err := r.ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "+PONG\r\n", line)
	_, err = io.WriteString(conn, "NG\r\n")
	require.NoError(t, err)
	line, err = r.ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "+PONG\r\n", line)
}

// 100 clients × 100 INCR, some pipelined and some one by one, make exactly 10,000.
func TestIncrIsAtomic(t *testing.T) {
	addr := start(t)
	var wg sync.WaitGroup
	for i := range 100 {
		wg.Go(func() {
			conn, err := net.Dial("tcp", addr)
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			conn.SetDeadline(time.Now().Add(time.Minute))
			r, batch := resp.NewReader(conn), 1+i%10
			for sent := 0; sent < 100; sent += batch {
				n := min(batch, 100-sent)
				io.WriteString(conn, strings.Repeat("INCR counter\r\n", n))
				for range n {
					if _, err := r.ReadValue(); err != nil {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	wg.Wait()
	require.Equal(t, "$5\r\n10000\r\n", redistest.Script(t, addr, []string{"GET counter"}))
}

// What is stored must be a copy: the read buffer is used again for the next commands.
func TestStoredValuesAreCopies(t *testing.T) {
	addr := start(t)
	var lines []string
	for i := range 3000 {
		lines = append(lines, fmt.Sprintf("SET key:%d value:%d", i, i))
	}
	redistest.Script(t, addr, lines)
	for i := 0; i < 3000; i += 100 {
		want := fmt.Sprintf("value:%d", i)
		require.Equal(t, fmt.Sprintf("$%d\r\n%s\r\n", len(want), want),
			redistest.Script(t, addr, []string{fmt.Sprintf("GET key:%d", i)}))
	}
}

func TestRealClients(t *testing.T) {
	redistest.Need(t, "redis-cli")
	redistest.Need(t, "redis-benchmark")
	_, port, _ := net.SplitHostPort(start(t))
	cli := exec.Command("redis-cli", "--no-raw", "-p", port)
	cli.Stdin = strings.NewReader("set k v\nget k\nincr n\nget none\nfoo\n")
	out, err := cli.CombinedOutput()
	require.NoError(t, err)
	require.Equal(t, "OK\n\"v\"\n(integer) 1\n(nil)\n(error) ERR unknown command 'foo', with args beginning with: \n", string(out))
	out, err = exec.Command("redis-benchmark", "-p", port, "-t", "ping,set,get,incr", "-n", "2000", "-P", "16", "-q").CombinedOutput()
	require.NoError(t, err, string(out))
	require.Contains(t, string(out), "INCR: ")
}

// The program as a person runs it: it greets with what to type next, traces, and ends on Ctrl-C.
func TestProgram(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("os.Interrupt cannot be sent on Windows")
	}
	bin := redistest.Program(t, "03-get-set")
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
	require.Equal(t, "+OK\r\n", redistest.Script(t, addr, []string{"SET a b"}))
	traced, err := lines.ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "#1 in   \"SET a b\\r\\n\"              a line\n", traced)
	require.NoError(t, cmd.Process.Signal(os.Interrupt))
	require.NoError(t, cmd.Wait(), "Ctrl-C ends it with exit code 0")
}
