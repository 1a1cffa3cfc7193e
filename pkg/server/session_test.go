package server

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// loopTurns returns how often the loops of a server have turned.
func loopTurns(s *Server) (n int64) {
	s.lock()
	defer s.unlock()
	for _, l := range s.loops {
		n += l.turns
	}
	return n
}

// waitBlocked waits until so many clients are blocked.
func waitBlocked(t *testing.T, s *Server, n int) {
	t.Helper()
	require.Eventually(t, func() bool {
		s.lock()
		defer s.unlock()
		return len(s.blocked) == n
	}, 10*time.Second, time.Millisecond)
}

// Commands that wait behind a blocked one, or a protocol error that does, must not keep the loop busy.
func TestBlockedPipelineCostsNothing(t *testing.T) {
	bothTransports(t, func(t *testing.T, options ...string) {
		s, addr := startServer(t, options...)
		a, b, other := dial(t, addr), dial(t, addr), dial(t, addr)
		a.conn.Write([]byte("BLPOP x 0\r\nPING\r\n"))
		b.conn.Write([]byte("BLPOP y 0\r\n*x\r\nmore"))
		waitBlocked(t, s, 2)
		before := loopTurns(s)
		for range 100 {
			other.want("PING", "+PONG")
		}
		require.Less(t, loopTurns(s)-before, int64(400))
		other.want("RPUSH x 1", ":1")
		require.Equal(t, `*["x" "1"]`, show(a.read()))
		require.Equal(t, "+PONG", show(a.read()))
		other.want("RPUSH y 2", ":1")
		require.Equal(t, `*["y" "2"]`, show(b.read()))
		require.Equal(t, "-ERR Protocol error: invalid multibulk length", show(b.read()))
		b.wantClosed()
	})
}

// A client that goes away while it waits is noticed, whatever it has sent behind the command.
func TestBlockedClientThatLeavesIsNoticed(t *testing.T) {
	bothTransports(t, func(t *testing.T, options ...string) {
		s, addr := startServer(t, options...)
		for _, behind := range []string{"", "PING\r\n", "*x\r\n", "*1\r\n$4\r\nPI"} {
			c := dial(t, addr)
			c.conn.Write([]byte("BLPOP x 0\r\n" + behind))
			waitBlocked(t, s, 1)
			c.conn.Close()
			waitBlocked(t, s, 0)
		}
	})
}
