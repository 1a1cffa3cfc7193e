package trace

import (
	"context"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"byor/pkg/redistest"

	"github.com/stretchr/testify/require"
)

func TestVisible(t *testing.T) {
	require.Equal(t, `"*1\r\n\"\\\x00\xff\tz"`, Visible([]byte("*1\r\n\"\\\x00\xff\tz"), 0))
	require.Equal(t, `"abc" …21 bytes… "y"`, Visible([]byte("abcdefghijklmnopqrstuvwxy"), 4))
	require.Equal(t, `"abcdefghi"`, Visible([]byte("abcdefghi"), 4)) // the note would be longer than what it stands for
}

func TestAnnotateCoversAllBytes(t *testing.T) {
	for _, in := range []string{
		"*2\r\n$4\r\nECHO\r\n$3\r\nhey\r\n", "PING\r\n+OK\r\n:5\r\n$-1\r\n*-1\r\n", "$10\r\nshort", "*2\r\n*1\r\n:1\r\n$0\r\n\r\n",
		"%1\r\n+k\r\n,1.5\r\n>2\r\n_\r\n#t\r\n", "no end", "\r\n\r\n", "$\r\nx\r\n", "*9999999999\r\n",
	} {
		for _, client := range []bool{true, false} {
			at := 0
			for _, p := range Annotate([]byte(in), client) {
				require.Equal(t, at, p.Offset, "%q", in)
				require.Positive(t, p.Len)
				at += p.Len
			}
			require.Equal(t, len(in), at, "%q", in)
		}
	}
	parts := Annotate([]byte("*2\r\n*1\r\n:7\r\n$1\r\nx\r\n+z\r\n"), false)
	depths := []int{}
	for _, p := range parts {
		depths = append(depths, p.Depth)
	}
	require.Equal(t, []int{0, 1, 2, 1, 0}, depths)
	require.Equal(t, "bulk string, 1 bytes", parts[3].Note)
}

func TestFrameLen(t *testing.T) {
	whole := "*2\r\n*1\r\n:7\r\n$1\r\nx\r\n"
	for i := range len(whole) {
		require.Zero(t, frameLen([]byte(whole[:i]), false), "%q", whole[:i])
	}
	require.Equal(t, len(whole), frameLen([]byte(whole+"+more\r\n"), false))
	require.Equal(t, 4, frameLen([]byte("*0\r\n+x\r\n"), false))
	require.Equal(t, 6, frameLen([]byte("PING\r\n"), true))
}

func TestExcerptShowsTheDifference(t *testing.T) {
	require.Equal(t, `"short"`, Excerpt([]byte("short"), 2))
	long := []byte(strings.Repeat("a", 500) + "X" + strings.Repeat("b", 500))
	require.Equal(t, `…460 bytes… "`+strings.Repeat("a", 40)+"X"+strings.Repeat("b", 39)+`" …461 bytes…`, Excerpt(long, 500))
	require.Equal(t, `"`+strings.Repeat("a", 80)+`" …921 bytes…`, Excerpt(long, 0))
	require.Equal(t, `…961 bytes… "`+strings.Repeat("b", 40)+`"`, Excerpt(long, len(long)))
	require.Equal(t, `"`+strings.Repeat("a", 80)+`" …921 bytes…`, Excerpt(long, -1))
}

func TestProxy(t *testing.T) {
	for _, c := range []struct{ second, want string }{
		{"+PONG\r\n", "redis-server answers the same"},
		{"-ERR no\r\n", `redis-server answers differently: "-ERR no\r\n"`},
		{"", "<- offset 0, 7 bytes\n"},
	} {
		out := &redistest.Buffer{}
		p := &Proxy{Server: redistest.Answering(t, "+PONG\r\n"), Out: out}
		if c.second != "" {
			p.Second = redistest.Answering(t, c.second)
		}
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		ctx, stop := context.WithCancel(context.Background())
		served := make(chan error, 1)
		go func() { served <- p.Serve(ctx, ln) }()
		conn, err := net.Dial("tcp", ln.Addr().String())
		require.NoError(t, err)
		io.WriteString(conn, "*1\r\n$4\r\nPING\r\n")
		got := make([]byte, 7)
		_, err = io.ReadFull(conn, got)
		require.NoError(t, err)
		require.Equal(t, "+PONG\r\n", string(got))
		conn.Close()
		require.Eventually(t, func() bool { return strings.Contains(out.String(), c.want) }, time.Minute, 5*time.Millisecond,
			"%s", c.want)
		require.Contains(t, out.String(), "#1 -> offset 0, 14 bytes")
		require.Contains(t, out.String(), "bulk string, 4 bytes")
		stop()
		require.NoError(t, <-served)
	}
}
