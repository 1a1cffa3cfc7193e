package resp_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"byor/pkg/redistest"
	"byor/pkg/resp"
)

// ask sends in, then the end of the stream, and returns all that comes back.
func ask(t *testing.T, sock string, in []byte) string {
	t.Helper()
	conn, err := net.Dial("unix", sock)
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, conn.SetDeadline(time.Now().Add(time.Minute)))
	// Redis may answer and close before it has read everything: that is no failure here.
	if _, err := conn.Write(in); err == nil {
		_ = conn.(*net.UnixConn).CloseWrite()
	}
	out, _ := io.ReadAll(conn)
	return string(out)
}

// answer plays a server that knows PING and ECHO, with our reader.
func answer(in []byte, limits resp.Limits) string {
	var out bytes.Buffer
	w := resp.NewWriter(&out)
	r := resp.NewCommandReader(bytes.NewReader(in))
	r.Limits = limits
	for {
		args, err := r.ReadCommand()
		var bad *resp.ProtocolError
		if errors.As(err, &bad) {
			w.Error("ERR " + bad.Error())
		}
		if err != nil {
			_ = w.Flush()
			return out.String()
		}
		switch {
		case limits.Unauthenticated:
			w.Error("NOAUTH Authentication required.")
		case strings.EqualFold(string(args[0]), "PING") && len(args) == 1:
			w.SimpleString("PONG")
		case len(args) == 2:
			w.Bulk(args[1])
		default:
			w.Error("ERR wrong number of arguments for 'echo' command")
		}
	}
}

// What Redis says to these is asked from a real one below; errors says which must be errors even
// where there is no real one to ask.
var conversations = []struct{ in, err string }{
	{"PING\r\n", ""},
	{"PING\n\n\nping\r\n", ""},
	{" \r\nPING\r\n", ""},
	{"*1\r\n$4\r\nPING\r\n*2\r\n$4\r\nECHO\r\n$0\r\n\r\nPING\r\n", ""},
	{"*1\r\n$4\r\nPINGxx*1\r\n$4\r\nPING\r\n", ""},
	{"*1\rx$4\rxPING\r\n", ""},
	{"*0\r\n*-1\r\n*-10\r\nPING\r\n", ""},
	{"*2\r\n$0000000004\r\nECHO\r\n", "invalid bulk length"},
	{"*\r\n", "invalid multibulk length"},
	{"*-0\r\n", "invalid multibulk length"},
	{"*01\r\n", "invalid multibulk length"},
	{"*+1\r\n", "invalid multibulk length"},
	{"*1 \r\n", "invalid multibulk length"},
	{"**1\r\n", "invalid multibulk length"},
	{"*1\n$4\r\nPING\r\n", "invalid multibulk length"},
	{"*2147483648\r\n", "invalid multibulk length"},
	{"*9223372036854775808\r\n", "invalid multibulk length"},
	{"*99999999999999999999\r\n", "invalid multibulk length"},
	{"*2147483647\r\n", ""},
	{"*-9223372036854775808\r\nPING\r\n", ""},
	{"*1\r\nx\r\n", "expected '$', got 'x'"},
	{"*1\r\n\r\n", "expected '$', got '\r'"},
	{"*1\r\n\n4\r\n", "expected '$', got '\n'"},
	{"*1\r\n\xff4\r\n", "expected '$', got '\xff'"},
	{"*1\r\n$\r\n", "invalid bulk length"},
	{"*1\r\n$-1\r\n", "invalid bulk length"},
	{"*1\r\n$ 4\r\n", "invalid bulk length"},
	{"*1\r\n$536870913\r\n", "invalid bulk length"},
	{"*1\r\n$536870912\r\n", ""},
	{"*1\x00\r\n" + "PING\r\n", ""},
	{"*1\r\n$4\x00\r\nPING\r\n", ""},
	{"*1\r\n\x00\r\n", ""},
	{"PING\x00\r\nPING\r\n", ""},
	{"\x00PING\r\n", ""},
	{"ECHO a\x00b\r\n", ""},
	{strings.Repeat("a", 65536), ""},
	{strings.Repeat("a", 65537), "too big inline request"},
	{"*" + strings.Repeat("1", 65537), "too big mbulk count string"},
	{"*1\r\n$" + strings.Repeat("1", 65537), "too big bulk count string"},
	{"ECHO " + strings.Repeat("a", 70000) + "\r\n", ""},
	{"ECHO a\vb\r\n", ""},
	{"\vECHO \fa\r\n", ""},
	{"ECHO a\rb\r\n", ""},
	{"ECHO \"a\"\vb\r\n", ""},
	{"ECHO \"a\"\rb\r\n", ""},
	{"ECHO \"\\x41\\xZZ\\n\\q\\t\\r\\b\\a\\\\\\\"\"\r\n", ""},
	{"ECHO '\\x41\\n\\'\\ '\r\n", ""},
	{"ECHO '\\\\'\r\n", "unbalanced quotes in request"},
	{"ECHO \\x41\r\n", ""},
	{"ECHO a\"b\"\r\n", ""},
	{"ECHO \"\"\r\n", ""},
	{"ECHO \"\" ''\r\n", ""},
	{"ECHO \"\\x\"\r\n", ""},
	{"ECHO \"\\x4\"\r\n", ""},
	{"ECHO a\"b\"c\r\n", "unbalanced quotes in request"},
	{"ECHO 'a''b'\r\n", "unbalanced quotes in request"},
	{"ECHO \"a\r\n", "unbalanced quotes in request"},
	{"ECHO 'a\r\n", "unbalanced quotes in request"},
	{"ECHO \"a\\\r\n", "unbalanced quotes in request"},
	{"ECHO 'a\\'\r\n", "unbalanced quotes in request"},
	{"ECHO \"\x00\"\r\n", ""},
}

func TestProtocolErrors(t *testing.T) {
	for _, c := range conversations {
		out := answer([]byte(c.in), resp.Limits{})
		if c.err == "" {
			require.NotContains(t, out, "Protocol error", "%.80q", c.in)
			continue
		}
		want := strings.NewReplacer("\r", " ", "\n", " ").Replace(c.err)
		require.Equal(t, "-ERR Protocol error: "+want+"\r\n", out, "%.80q", c.in)
	}
}

func TestConversationsAsRealRedis(t *testing.T) {
	sock := redistest.StartSocket(t)
	for _, c := range conversations {
		require.Equal(t, ask(t, sock, []byte(c.in)), answer([]byte(c.in), resp.Limits{}), "%.80q", c.in)
	}
}

var unauthenticated = []string{
	"PING\r\n",
	"*10\r\n" + strings.Repeat("$1\r\na\r\n", 10),
	"*11\r\n" + strings.Repeat("$1\r\na\r\n", 11),
	"*2147483648\r\n",
	"*1\r\n$16384\r\n" + strings.Repeat("a", 16384) + "\r\n",
	"*1\r\n$16385\r\n",
	"*1\r\n$536870913\r\n",
	strings.Repeat("a ", 100) + "\r\n", // inline commands are not counted
}

func TestUnauthenticatedLimitsAsRealRedis(t *testing.T) {
	sock := redistest.StartSocket(t)
	require.Equal(t, "+OK\r\n", ask(t, sock, []byte("CONFIG SET requirepass secret\r\n")))
	for _, in := range unauthenticated {
		got := answer([]byte(in), resp.Limits{Unauthenticated: true})
		want := ask(t, sock, []byte(in))
		if strings.HasPrefix(want, "-ERR unknown command") {
			want = "-NOAUTH Authentication required.\r\n" // the parser let it through, which is what counts
		}
		require.Equal(t, want, got, "%.80q", in)
	}
}

func TestUnauthenticatedLimits(t *testing.T) {
	limits := resp.Limits{Unauthenticated: true}
	require.Equal(t, "-ERR Protocol error: unauthenticated multibulk length\r\n", answer([]byte("*11\r\n"), limits))
	require.Equal(t, "-ERR Protocol error: unauthenticated bulk length\r\n", answer([]byte("*1\r\n$16385\r\n"), limits))
	require.Equal(t, "-ERR Protocol error: invalid bulk length\r\n", answer([]byte("*1\r\n$11\r\n"), resp.Limits{MaxBulk: 10}))
}
