package server

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"byor/pkg/resp"

	"github.com/stretchr/testify/require"
)

// loopTurns returns how often the loops of a server have turned.
func loopTurns(s *Server) (n int64) {
	s.eng.Lock()
	defer s.eng.Unlock()
	for _, l := range s.loops {
		n += l.turns
	}
	return n
}

// waitBlocked waits until so many clients are blocked.
func waitBlocked(t *testing.T, s *Server, n int) {
	t.Helper()
	require.Eventually(t, func() bool {
		s.eng.Lock()
		defer s.eng.Unlock()
		return len(s.eng.Blocked) == n
	}, time.Minute, time.Millisecond)
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

// CLIENT REPLY OFF and SKIP hold for a command that waited, too, and never for messages.
func TestClientReplyOfWaitsAndMessages(t *testing.T) {
	redis := startRedis(t)
	bothTransports(t, func(t *testing.T, options ...string) {
		_, addr := startServer(t, options...)
		for _, addr := range []string{redis, addr} {
			off, skip, sub, other := dial(t, addr), dial(t, addr), dial(t, addr), dial(t, addr)
			other.do("DEL a b")
			off.send("CLIENT", "REPLY", "OFF")
			off.send("BLPOP", "a", "0")
			skip.send("CLIENT", "REPLY", "SKIP")
			skip.send("BLPOP", "b", "0")
			other.becomes("blocked_clients", "2")
			other.want("RPUSH a 1", ":1")
			other.want("RPUSH b 1", ":1")
			off.send("CLIENT", "REPLY", "ON")
			require.Equal(t, "+OK", show(off.read()))
			skip.want("PING", "+PONG")

			sub.do("HELLO 3")
			sub.send("CLIENT", "REPLY", "OFF")
			sub.send("SUBSCRIBE", "ch")
			sub.send("PUBLISH", "ch", "mine")
			sub.send("PING")
			require.Equal(t, `>["subscribe" "ch" :1]`, show(sub.read()))
			require.Equal(t, `>["message" "ch" "mine"]`, show(sub.read()))
			other.want("PUBLISH ch other", ":1")
			require.Equal(t, `>["message" "ch" "other"]`, show(sub.read()))
			sub.send("CLIENT", "REPLY", "ON")
			require.Equal(t, "+OK", show(sub.read()))
		}
	})
}

// The last reply leaves, also when somebody else is just writing to the client.
func TestQuitIsAnsweredBesideMessages(t *testing.T) {
	bothTransports(t, func(t *testing.T, options ...string) {
		_, addr := startServer(t, options...)
		pub := dial(t, addr)
		stop := make(chan struct{})
		done := make(chan struct{})
		go func() {
			defer close(done)
			wire := bytes.Repeat(resp.AppendCommandStrings(nil, "PUBLISH", "ch", strings.Repeat("x", 1000)), 20)
			go io.Copy(io.Discard, pub.conn)
			for {
				select {
				case <-stop:
					return
				default:
					pub.conn.Write(wire)
				}
			}
		}()
		for range 30 {
			c := dial(t, addr)
			c.conn.Write([]byte("HELLO 3\r\nSUBSCRIBE ch\r\nPING\r\nQUIT\r\n"))
			for {
				v := c.read()
				if show(v) == "+PONG" {
					break
				}
			}
			for {
				v := c.read()
				if show(v) == "+OK" {
					break
				}
			}
		}
		close(stop)
		<-done
	})
}

// What a client's commands were is nobody else's to read once they are done: the buffer they stood in
// is being filled with the next ones. The race detector judges this.
func TestClientListWhileOthersRead(t *testing.T) {
	bothTransports(t, func(t *testing.T, options ...string) {
		_, addr := startServer(t, options...)
		busy, c := dial(t, addr), dial(t, addr)
		go func() {
			for i := range 2000 {
				busy.conn.Write(resp.AppendCommandStrings(nil, "SET", "k", strings.Repeat("v", i)))
			}
		}()
		go io.Copy(io.Discard, busy.conn)
		for range 100 {
			require.Contains(t, string(c.do("CLIENT LIST").Str), "cmd=client|list")
		}
	})
}

// Bursts that were read in between do not add up to a soft limit.
func TestSoftLimitCountsOnlyWhatWaits(t *testing.T) {
	s, addr := startServer(t, "--client-output-buffer-limit", "normal", "0", "1000", "60")
	a := dial(t, addr)
	a.want("PING", "+PONG")
	s.eng.Lock()
	defer s.eng.Unlock()
	var c *client
	for _, c = range s.clients {
	}
	now := time.Now()
	c.checkOutputLimit(2000, now)
	require.Equal(t, staysOpen, c.closing)
	s.checkOutputLimits(now.Add(30 * time.Second)) // nothing waits any more
	c.checkOutputLimit(2000, now.Add(61*time.Second))
	require.Equal(t, staysOpen, c.closing)
	c.checkOutputLimit(2000, now.Add(122*time.Second))
	require.Equal(t, closeNow, c.closing)
}

// The effects of a transaction stay together whatever its commands do to waiting clients.
func TestUnblockInsideExecDoesNotCutTheUnit(t *testing.T) {
	dir := t.TempDir()
	s, addr := startServer(t, "--dir", dir, "--appendonly", "yes")
	c, w := dial(t, addr), dial(t, addr)
	id := w.do("CLIENT ID").Int
	w.send("BLPOP", "x", "0")
	waitBlocked(t, s, 1)
	c.want("MULTI", "+OK")
	c.do("SET a 1")
	c.do(fmt.Sprint("CLIENT UNBLOCK ", id))
	c.do("SET b 2")
	c.want("EXEC", `*[+OK :1 +OK]`)
	files, err := filepath.Glob(filepath.Join(dir, "appendonlydir", "*.incr.aof"))
	require.NoError(t, err)
	require.Len(t, files, 1)
	s.eng.Lock()
	require.NoError(t, s.files.Flush())
	s.eng.Unlock()
	log, err := os.ReadFile(files[0])
	require.NoError(t, err)
	require.Equal(t, 1, strings.Count(string(log), "MULTI"))
	require.Equal(t, 1, strings.Count(string(log), "EXEC"))
}

func TestScanWithTheLargestCount(t *testing.T) {
	_, addr := startServer(t)
	c := dial(t, addr)
	c.do("MSET a 1 b 2")
	require.Len(t, c.do("SCAN 0 COUNT 9223372036854775807").Elems[1].Elems, 2)
	require.Len(t, c.do("SCAN 0 COUNT 1844674407370955162").Elems[1].Elems, 2)
}

// A client may name many keys; each wait is entered once, without comparing all with all.
func TestBlockOnManyKeys(t *testing.T) {
	s, addr := startServer(t)
	c, other := dial(t, addr), dial(t, addr)
	args := []string{"BLPOP"}
	for i := range 50000 {
		args = append(args, fmt.Sprint("k", i%40000))
	}
	c.send(append(args, "0")...)
	waitBlocked(t, s, 1)
	s.eng.Lock()
	waiting, _ := s.eng.Interest()
	require.Equal(t, 40000, waiting)
	s.eng.Unlock()
	other.want("RPUSH k39999 v", ":1")
	require.Equal(t, `*["k39999" "v"]`, show(c.read()))
	s.eng.Lock()
	waiting, _ = s.eng.Interest()
	require.Zero(t, waiting)
	s.eng.Unlock()
}

// A large command's memory is given back when it is done, not when the client speaks next.
func TestLargeCommandLeavesNoBuffer(t *testing.T) {
	bothTransports(t, func(t *testing.T, options ...string) {
		s, addr := startServer(t, options...)
		c, other := dial(t, addr), dial(t, addr)
		c.send("SET", "k", strings.Repeat("x", 8<<20))
		require.Equal(t, "+OK", show(c.read()))
		other.do("PING")
		s.eng.Lock()
		defer s.eng.Unlock()
		for _, c := range s.clients {
			require.Less(t, c.querySize, 1<<20)
		}
	})
}

func TestNetworkBytesOfThoseWhoLeft(t *testing.T) {
	bothTransports(t, func(t *testing.T, options ...string) {
		s, addr := startServer(t, options...)
		c := dial(t, addr)
		c.do("ECHO " + strings.Repeat("x", 5000))
		c.conn.Close()
		require.Eventually(t, func() bool {
			s.eng.Lock()
			defer s.eng.Unlock()
			return len(s.clients) == 0
		}, time.Minute, time.Millisecond)
		s.eng.Lock()
		defer s.eng.Unlock()
		all, _ := s.trafficNow()
		require.Greater(t, all.in, int64(5000))
		require.Greater(t, all.out, int64(5000))
	})
}

// MONITOR and the slow log show what real Redis shows: EXEC behind its commands, no passwords.
func TestMonitorAndSlowlogAsRedis(t *testing.T) {
	_, addr := startServer(t)
	var seen [2][]string
	for i, addr := range []string{startRedis(t), addr} {
		m, c := dial(t, addr), dial(t, addr)
		c.do("CONFIG SET slowlog-log-slower-than 0")
		c.do("SLOWLOG RESET")
		m.want("MONITOR", "+OK")
		for _, line := range []string{"MULTI", "SELECT 3", "SET a 1", "EXEC", "AUTH default secret", "AUTH secret", "HELLO 2 AUTH default secret",
			"CONFIG SET masterauth secret", "CONFIG SET maxmemory 0 requirepass \"\"", "GET"} {
			c.do(line)
		}
		c.do("ECHO end")
		for {
			line := string(m.read().Str)
			_, what, _ := strings.Cut(line, "] ")
			_, db, _ := strings.Cut(line, "[")
			seen[i] = append(seen[i], db[:2]+what)
			if what == `"ECHO" "end"` {
				break
			}
		}
		for _, e := range c.do("SLOWLOG GET 100").Elems {
			seen[i] = append(seen[i], show(e.Elems[3]))
		}
	}
	require.Equal(t, seen[0], seen[1])
}
