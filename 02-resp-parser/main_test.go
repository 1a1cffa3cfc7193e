package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math/rand"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"byor/pkg/redistest"
)

// start serves on a free port until the test ends and returns the address.
func start(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		(&server{out: io.Discard}).serve(ln)
	}()
	t.Cleanup(func() {
		ln.Close()
		<-done
	})
	return ln.Addr().String()
}

// talk sends everything in one go, half-closes and returns all that comes back.
func talk(t *testing.T, addr, request string) string {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, conn.SetDeadline(time.Now().Add(time.Minute)))
	_, err = io.WriteString(conn, request)
	require.NoError(t, err)
	require.NoError(t, conn.(*net.TCPConn).CloseWrite())
	reply, err := io.ReadAll(conn)
	require.NoError(t, err)
	return string(reply)
}

// conversations were played to redis-server 7.0.15; TestRealRedisAnswersTheSame repeats it.
var conversations = map[string][2]string{
	"array":             {"*2\r\n$4\r\nECHO\r\n$3\r\nhey\r\n", "$3\r\nhey\r\n"},
	"inline":            {"PING\r\n", "+PONG\r\n"},
	"inline, bare \\n":  {"PING\n", "+PONG\r\n"},
	"case":              {"*1\r\n$4\r\npInG\r\n", "+PONG\r\n"},
	"ping with a value": {"PING hi\r\n", "$2\r\nhi\r\n"},
	"pipelined, mixed":  {"PING\r\n*1\r\n$4\r\nPING\r\nECHO a\r\n", "+PONG\r\n+PONG\r\n$1\r\na\r\n"},
	"binary value":      {"*2\r\n$4\r\nECHO\r\n$7\r\n\r\n\x00*1\r\n\r\n", "$7\r\n\r\n\x00*1\r\n\r\n"},
	"empty value":       {"*2\r\n$4\r\nECHO\r\n$0\r\n\r\n", "$0\r\n\r\n"},
	"empty lines":       {"\r\n\n  \r\nPING\r\n", "+PONG\r\n"},
	"empty arrays":      {"*0\r\n*-1\r\nPING\r\n", "+PONG\r\n"},
	"unseen two bytes":  {"*1\r\n$4\r\nPINGxxPING\r\n", "+PONG\r\n+PONG\r\n"},

	"double quotes":        {`ECHO "a b\x41\n\q\x4"` + "\r\n", "$8\r\na bA\nqx4\r\n"},
	"single quotes":        {`ECHO 'it\'s \n'` + "\r\n", "$7\r\nit's \\n\r\n"},
	"empty quotes":         {"ECHO \"\"\r\n", "$0\r\n\r\n"},
	"quote inside a word":  {"ECHO a\"b c\"\r\n", "$4\r\nab c\r\n"},
	"quote not closed":     {"ECHO \"a\r\nPING\r\n", "-ERR Protocol error: unbalanced quotes in request\r\n"},
	"quote closed in word": {"ECHO \"a\"b\r\n", "-ERR Protocol error: unbalanced quotes in request\r\n"},

	"unknown command": {"FOO bar\r\nPING\r\n", "-ERR unknown command 'FOO', with args beginning with: 'bar' \r\n+PONG\r\n"},
	"line end in an error": {"*2\r\n$3\r\nFOO\r\n$4\r\na\r\nb\r\n",
		"-ERR unknown command 'FOO', with args beginning with: 'a  b' \r\n"},
	"long arguments": {"foo " + strings.Repeat("b", 200) + " c\r\n",
		"-ERR unknown command 'foo', with args beginning with: '" + strings.Repeat("b", 128) + "' \r\n"},
	"long arguments in UTF-8": {"foo " + strings.Repeat("é", 100) + "\r\n",
		"-ERR unknown command 'foo', with args beginning with: '" + strings.Repeat("é", 64) + "' \r\n"},
	"arity of echo": {"ECHO\r\nECHO a b\r\n", strings.Repeat("-ERR wrong number of arguments for 'echo' command\r\n", 2)},
	"arity of ping": {"PING a b\r\n", "-ERR wrong number of arguments for 'ping' command\r\n"},

	"not a bulk string":     {"*1\r\n:1\r\nPING\r\n", "-ERR Protocol error: expected '$', got ':'\r\n"},
	"nested array":          {"*1\r\n*1\r\n$4\r\nPING\r\n", "-ERR Protocol error: expected '$', got '*'\r\n"},
	"negative bulk length":  {"*1\r\n$-1\r\n", "-ERR Protocol error: invalid bulk length\r\n"},
	"bulk length too large": {"*1\r\n$536870913\r\n", "-ERR Protocol error: invalid bulk length\r\n"},
	"leading zero":          {"*1\r\n$04\r\nPING\r\n", "-ERR Protocol error: invalid bulk length\r\n"},
	"plus sign":             {"*1\r\n$+4\r\nPING\r\n", "-ERR Protocol error: invalid bulk length\r\n"},
	"array length":          {"*abc\r\n", "-ERR Protocol error: invalid multibulk length\r\n"},
	"array too large":       {"*2147483648\r\n", "-ERR Protocol error: invalid multibulk length\r\n"},
	"endless inline":        {strings.Repeat("a", maxLine+1), "-ERR Protocol error: too big inline request\r\n"},
	"endless array length":  {"*" + strings.Repeat("1", maxLine), "-ERR Protocol error: too big mbulk count string\r\n"},
	"endless bulk length":   {"*1\r\n$" + strings.Repeat("1", maxLine), "-ERR Protocol error: too big bulk count string\r\n"},
	"cut short":             {"*2\r\n$4\r\nECHO\r\n$3\r\nhe", ""},
}

func TestConversations(t *testing.T) {
	addr := start(t)
	for name, c := range conversations {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, c[1], talk(t, addr, c[0]))
		})
	}
}

func TestRealRedisAnswersTheSame(t *testing.T) {
	sock := redistest.StartSocket(t)
	for name, c := range conversations {
		t.Run(name, func(t *testing.T) {
			conn, err := net.Dial("unix", sock)
			require.NoError(t, err)
			defer conn.Close()
			require.NoError(t, conn.SetDeadline(time.Now().Add(time.Minute)))
			_, err = io.WriteString(conn, c[0])
			require.NoError(t, err)
			got := make([]byte, len(c[1]))
			_, err = io.ReadFull(conn, got)
			require.NoError(t, err)
			require.Equal(t, c[1], string(got))
		})
	}
}

// parseAll feeds the pieces one after another and writes down everything that comes out.
func parseAll(pieces ...[]byte) (out string) {
	p := &parser{size: -1}
	for _, piece := range pieces {
		p.buf = append(p.buf, piece...)
		for {
			args, err := p.next()
			if err == errIncomplete {
				break
			}
			if err != nil {
				return out + err.Error()
			}
			out += fmt.Sprintf("%q;", args)
		}
	}
	return out
}

// However TCP cuts the stream, the same commands come out.
func TestCutAtEveryOffset(t *testing.T) {
	for name, c := range conversations {
		stream := []byte(c[0])
		if len(stream) > 1000 {
			continue
		}
		whole := parseAll(stream)
		var bytewise [][]byte
		for i := range stream {
			require.Equal(t, whole, parseAll(stream[:i], stream[i:]), "%s cut at %d", name, i)
			bytewise = append(bytewise, stream[i:i+1])
		}
		require.Equal(t, whole, parseAll(bytewise...), "%s byte by byte", name)
	}
}

// A length is a claim. Claiming a million arguments of half a gigabyte must cost nothing.
func TestClaimsAreNotAllocated(t *testing.T) {
	claim := []byte("*2147483647\r\n$536870912\r\nabc")
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	p := &parser{size: -1, buf: claim}
	_, err := p.next()
	runtime.ReadMemStats(&after)
	require.Equal(t, errIncomplete, err)
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(1<<20))
}

// Whatever arrives, the parser neither panics nor stands still.
func TestRandomBytes(t *testing.T) {
	const alphabet = "*$0123-\r\n\r\n\r\nPING\"'\\x "
	rnd := rand.New(rand.NewSource(1))
	for range 20000 {
		b := make([]byte, rnd.Intn(40))
		for i := range b {
			b[i] = alphabet[rnd.Intn(len(alphabet))]
		}
		cut := rnd.Intn(len(b) + 1)
		require.Equal(t, parseAll(b), parseAll(b[:cut], b[cut:]), "%q cut at %d", b, cut)
	}
}

func TestTraceNamesEveryPiece(t *testing.T) {
	var out bytes.Buffer
	client, srv := net.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		(&server{out: &out, trace: true}).handle(srv)
	}()
	_, err := io.WriteString(client, "*1\r\n$4\r\nPING\r\n")
	require.NoError(t, err)
	reply, err := bufio.NewReader(client).ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "+PONG\r\n", reply)
	client.Close()
	<-done
	require.Equal(t, `#1 in   "*1\r\n$4\r\nPING\r\n"  (14 bytes)
#1        "*1\r\n"               array of 1
#1        "$4\r\n"               bulk string of 4 bytes
#1        "PING\r\n"             argument 1
#1 command ["PING"]
#1 out  "+PONG\r\n"  (7 bytes)
`, out.String())
}

// The program as a person runs it: it greets with what to type next and ends on Ctrl-C.
func TestProgram(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("os.Interrupt cannot be sent on Windows")
	}
	bin := redistest.Program(t, "02-resp-parser")
	cmd := exec.Command(bin, "-addr", "127.0.0.1:0")
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { cmd.Process.Kill() })
	lines := bufio.NewReader(stdout)
	greeting, err := lines.ReadString('\n')
	require.NoError(t, err)
	require.Contains(t, greeting, "redis-cli -p ")
	addr := strings.TrimSuffix(strings.Fields(greeting)[3], ".")
	require.Equal(t, "$2\r\nhi\r\n", talk(t, addr, "ECHO hi\r\n"))
	shown, err := lines.ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "#1 command [\"ECHO\" \"hi\"]\n", shown, "it shows how it parsed what you typed")
	require.NoError(t, cmd.Process.Signal(os.Interrupt))
	require.NoError(t, cmd.Wait(), "Ctrl-C ends it with exit code 0")
}
