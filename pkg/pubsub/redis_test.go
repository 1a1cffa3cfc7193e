package pubsub_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"byor/pkg/pubsub"
	"byor/pkg/redistest"
)

type redisConn struct {
	net.Conn
	r *bufio.Reader
}

func dialUnix(t *testing.T, sock string) *redisConn {
	t.Helper()
	var conn net.Conn
	require.Eventually(t, func() (ok bool) {
		c, err := net.Dial("unix", sock)
		conn = c
		return err == nil
	}, time.Minute, 5*time.Millisecond)
	t.Cleanup(func() { _ = conn.Close() })
	require.NoError(t, conn.SetDeadline(time.Now().Add(time.Minute)))
	return &redisConn{conn, bufio.NewReader(conn)}
}

func dialRedis(t *testing.T) *redisConn { return dialUnix(t, redistest.StartSocket(t)) }

func (c *redisConn) do(t *testing.T, args ...string) any {
	t.Helper()
	var out strings.Builder
	fmt.Fprintf(&out, "*%d\r\n", len(args))
	for _, a := range args {
		fmt.Fprintf(&out, "$%d\r\n%s\r\n", len(a), a)
	}
	_, err := io.WriteString(c, out.String())
	require.NoError(t, err)
	return c.read(t)
}

// read reads one RESP2 reply: string, int or []any.
func (c *redisConn) read(t *testing.T) any {
	t.Helper()
	line, err := c.r.ReadString('\n')
	require.NoError(t, err)
	rest := strings.TrimSuffix(line[1:], "\r\n")
	if line[0] == '+' || line[0] == '-' {
		return rest
	}
	n, err := strconv.Atoi(rest)
	require.NoError(t, err)
	switch line[0] {
	case '$':
		text := make([]byte, n+2)
		_, err = io.ReadFull(c.r, text)
		require.NoError(t, err)
		return string(text[:n])
	case '*':
		items := make([]any, n)
		for i := range items {
			items[i] = c.read(t)
		}
		return items
	}
	return n
}

// One script of subscriptions and publishes for both; counts, order and
// introspection must agree. (One matching pattern at most in each publish:
// Redis keeps patterns in a hash table, their order among each other is chance.)
func TestLikeRedis(t *testing.T) {
	sock := redistest.StartSocket(t)
	sub, pub := dialUnix(t, sock), dialUnix(t, sock)
	h := pubsub.NewHub()
	var log []string
	me := &recorder{"", &log}
	changes := map[string]func(pubsub.Subscriber, []byte) (int, bool){
		"SUBSCRIBE": h.Subscribe, "UNSUBSCRIBE": h.Unsubscribe, "PSUBSCRIBE": h.PSubscribe,
		"PUNSUBSCRIBE": h.PUnsubscribe, "SSUBSCRIBE": h.SSubscribe, "SUNSUBSCRIBE": h.SUnsubscribe,
	}
	for _, line := range []string{
		"PSUBSCRIBE n*", "SUBSCRIBE news", "SUBSCRIBE news", "SSUBSCRIBE news", "SSUBSCRIBE other", "PSUBSCRIBE x[1-3]",
		"PUBLISH news", "PUBLISH no", "PUBLISH x2", "PUBLISH x4", "SPUBLISH news", "SPUBLISH none",
		"UNSUBSCRIBE nosuch", "SUNSUBSCRIBE nosuch", "UNSUBSCRIBE news", "PUBLISH news", "PUNSUBSCRIBE n*",
		"PUNSUBSCRIBE n*", "PUBLISH news", "SUNSUBSCRIBE news", "SPUBLISH news", "PUBLISH x1", "SUBSCRIBE *", "PUBLISH *",
	} {
		op, name, _ := strings.Cut(line, " ")
		if change := changes[op]; change != nil {
			got := sub.do(t, op, name)
			n, _ := change(me, b(name))
			require.Equal(t, []any{strings.ToLower(op), name, n}, got, line)
		} else {
			log = nil
			publish := map[string]func(_, _ []byte) int{"PUBLISH": h.Publish, "SPUBLISH": h.SPublish}[op]
			require.Equal(t, pub.do(t, op, name, "hello"), publish(b(name), b("hello")), line)
			for _, want := range log {
				parts := sub.read(t).([]any)
				require.Equal(t, want, ": "+strings.TrimSpace(fmt.Sprintln(parts...)), line)
			}
		}
		require.Equal(t, pub.do(t, "PUBSUB", "NUMPAT"), h.NumPat(), line)
		require.Equal(t, pub.do(t, "PUBSUB", "NUMSUB", "news"), []any{"news", h.NumSub(b("news"))}, line)
		require.Equal(t, pub.do(t, "PUBSUB", "SHARDNUMSUB", "news"), []any{"news", h.ShardNumSub(b("news"))}, line)
		require.Len(t, pub.do(t, "PUBSUB", "CHANNELS"), len(h.Channels(nil)), line)
		require.Len(t, pub.do(t, "PUBSUB", "SHARDCHANNELS"), len(h.ShardChannels(nil)), line)
	}
}
