package server

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"byor/pkg/resp"

	"github.com/stretchr/testify/require"
)

// bothTransports runs a test with a goroutine a connection and, where there is one, with the event
// loop, also with several.
func bothTransports(t *testing.T, fn func(t *testing.T, options ...string)) {
	for _, threads := range []string{"0", "1", "3"} {
		if threads != "0" && runtime.GOOS != "linux" {
			continue
		}
		t.Run("io-threads "+threads, func(t *testing.T) { fn(t, "--io-threads", threads) })
	}
}

func TestPipelinesArriveHowEverTheyAreCut(t *testing.T) {
	bothTransports(t, func(t *testing.T, options ...string) {
		_, addr := startServer(t, options...)
		var wire []byte
		for i := range 300 {
			wire = resp.AppendCommandStrings(wire, "SET", fmt.Sprint("k", i), strings.Repeat("v", i))
			wire = append(wire, "PING\r\n"...)
			wire = resp.AppendCommandStrings(wire, "STRLEN", fmt.Sprint("k", i))
		}
		for _, cut := range []int{1, 7, 100, 5000, len(wire)} {
			c := dial(t, addr)
			go func() {
				for b := wire; len(b) > 0; {
					n := min(cut, len(b))
					c.conn.Write(b[:n])
					b = b[n:]
				}
			}()
			for i := range 300 {
				require.Equal(t, "+OK", show(c.read()))
				require.Equal(t, "+PONG", show(c.read()))
				require.Equal(t, fmt.Sprintf(":%d", i), show(c.read()))
			}
		}
	})
}

func TestHalfCloseStillGetsItsReplies(t *testing.T) {
	bothTransports(t, func(t *testing.T, options ...string) {
		_, addr := startServer(t, options...)
		conn, err := net.Dial("tcp", addr)
		require.NoError(t, err)
		defer conn.Close()
		fmt.Fprint(conn, "PING\r\nECHO hi\r\n")
		require.NoError(t, conn.(*net.TCPConn).CloseWrite())
		conn.SetReadDeadline(time.Now().Add(time.Minute))
		all, err := io.ReadAll(conn)
		require.NoError(t, err)
		require.Equal(t, "+PONG\r\n$2\r\nhi\r\n", string(all))
	})
}

func TestProtocolErrorsAreAnsweredAndClose(t *testing.T) {
	inputs := []string{
		"*1\r\n:1\r\n", "*x\r\n", "*2147483648\r\n", "*1\r\n$-5\r\n", "*1\r\n$600000000\r\n", "*1\r\n$x\r\n",
		"GET \"abc\r\n", "PING\r\n*1\r\n!\r\n", strings.Repeat("a", 70000), "*" + strings.Repeat("1", 70000),
		"*-10\r\nPING\r\n*1\r\nx\r\n", "*0\r\n*1\r\n$4x\r\n",
	}
	redis := startRedis(t)
	bothTransports(t, func(t *testing.T, options ...string) {
		_, addr := startServer(t, options...)
		for _, in := range inputs {
			require.Equal(t, exchange(t, redis, in), exchange(t, addr, in), "%.40q", in)
		}
	})
}

// exchange sends bytes and returns all that comes until the server closes.
func exchange(t *testing.T, addr, in string) string {
	conn, err := net.Dial("tcp", addr)
	require.NoError(t, err)
	defer conn.Close()
	conn.Write([]byte(in))
	conn.SetReadDeadline(time.Now().Add(time.Minute))
	var all bytes.Buffer
	_, err = io.Copy(&all, conn)
	if ne, ok := err.(net.Error); ok && ne.Timeout() {
		return all.String() + "(stays open)"
	}
	return all.String()
}

func TestBrowsersAreHungUpOn(t *testing.T) {
	bothTransports(t, func(t *testing.T, options ...string) {
		_, addr := startServer(t, options...)
		require.Empty(t, exchange(t, addr, "POST / HTTP/1.1\r\nHost: x\r\n\r\nSET a 1\r\n"))
		dial(t, addr).want("EXISTS a", ":0")
	})
}

// A subscriber that reads nothing is disconnected when its limit is passed, and delays nobody.
func TestSlowSubscriberIsDisconnected(t *testing.T) {
	bothTransports(t, func(t *testing.T, options ...string) {
		s, addr := startServer(t, append(options, "--client-output-buffer-limit", "pubsub", "1mb", "0", "0")...)
		slow, pub := dial(t, addr), dial(t, addr)
		require.Equal(t, show(slow.do("SUBSCRIBE ch")), `*["subscribe" "ch" :1]`)
		payload := strings.Repeat("x", 64<<10)
		for range 400 {
			pub.send("PUBLISH", "ch", payload)
			pub.read()
		}
		require.Eventually(t, func() bool {
			return show(pub.do("PUBSUB NUMSUB ch")) == `*["ch" :0]`
		}, time.Minute, 5*time.Millisecond)
		s.eng.Lock()
		defer s.eng.Unlock()
		require.EqualValues(t, 1, s.stats.outputLimitDisconnections)
	})
}

// A client that asks for much and reads late gets all of it.
func TestStalledReaderGetsEverything(t *testing.T) {
	t.Parallel()
	bothTransports(t, func(t *testing.T, options ...string) {
		_, addr := startServer(t, options...)
		c, other := dial(t, addr), dial(t, addr)
		big := strings.Repeat("x", 1<<20)
		c.send("SET", "big", big)
		require.Equal(t, "+OK", show(c.read()))
		go func() {
			for range 40 {
				c.conn.Write(resp.AppendCommandStrings(nil, "GET", "big"))
			}
		}()
		for range 100 {
			other.want("PING", "+PONG")
		}
		for range 40 {
			require.Len(t, c.read().Str, 1<<20)
		}
	})
}

func TestMaxClients(t *testing.T) {
	bothTransports(t, func(t *testing.T, options ...string) {
		_, addr := startServer(t, append(options, "--maxclients", "2")...)
		a, b := dial(t, addr), dial(t, addr)
		a.want("PING", "+PONG")
		b.want("PING", "+PONG")
		require.Equal(t, "-ERR max number of clients reached\r\n", exchange(t, addr, ""))
		b.conn.Close()
		require.Eventually(t, func() bool {
			return strings.Contains(string(a.do("INFO clients").Str), "connected_clients:1\r\n")
		}, time.Minute, 5*time.Millisecond)
		dial(t, addr).want("PING", "+PONG")
		require.Contains(t, string(a.do("INFO stats").Str), "rejected_connections:1\r\n")
	})
}

func TestPasswordAndLimitsBeforeIt(t *testing.T) {
	bothTransports(t, func(t *testing.T, options ...string) {
		_, addr := startServer(t, append(options, "--requirepass", "secret")...)
		c := dial(t, addr)
		c.want("GET a", "-NOAUTH Authentication required.")
		c.want("AUTH wrong", "-WRONGPASS invalid username-password pair or user is disabled.")
		c.want("HELLO 3", "-NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol version at the same time")
		require.Equal(t, "-ERR Protocol error: unauthenticated multibulk length\r\n", exchange(t, addr, "*11\r\n"))
		require.Equal(t, "-ERR Protocol error: unauthenticated bulk length\r\n", exchange(t, addr, "*2\r\n$4\r\nAUTH\r\n$16385\r\n"))
		// The limits are lifted for what stands behind AUTH in the same packet.
		big := resp.AppendCommandStrings(nil, "AUTH", "secret")
		big = resp.AppendCommandStrings(big, "SET", "a", strings.Repeat("x", 20000))
		c.conn.Write(big)
		require.Equal(t, "+OK", show(c.read()))
		require.Equal(t, "+OK", show(c.read()))
		c.want("CONFIG SET requirepass other", "+OK")
		c.want("STRLEN a", ":20000")
		dial(t, addr).want("AUTH secret", "-WRONGPASS invalid username-password pair or user is disabled.")
	})
}

func TestIdleClientsAreClosed(t *testing.T) {
	t.Parallel()
	bothTransports(t, func(t *testing.T, options ...string) {
		_, addr := startServer(t, append(options, "--timeout", "1")...)
		idle, sub := dial(t, addr), dial(t, addr)
		sub.do("SUBSCRIBE ch")
		idle.want("PING", "+PONG")
		idle.wantClosed()
		sub.want("PING", `*["pong" ""]`)
	})
}

func TestClientPauseHoldsWritesAndEndsInOrder(t *testing.T) {
	bothTransports(t, func(t *testing.T, options ...string) {
		_, addr := startServer(t, options...)
		a, b := dial(t, addr), dial(t, addr)
		a.want("SET k 1", "+OK")
		a.want("CLIENT PAUSE 100000 WRITE", "+OK")
		b.send("INCR", "k")
		b.send("INCR", "k")
		b.send("GET", "k")
		a.want("GET k", `"1"`)
		a.becomes("blocked_clients", "1")
		a.want("CLIENT UNPAUSE", "+OK")
		require.Equal(t, ":2", show(b.read()))
		require.Equal(t, ":3", show(b.read()))
		require.Equal(t, `"3"`, show(b.read()))
	})
}

func TestClientKill(t *testing.T) {
	bothTransports(t, func(t *testing.T, options ...string) {
		_, addr := startServer(t, options...)
		a, b, sub := dial(t, addr), dial(t, addr), dial(t, addr)
		id := b.do("CLIENT ID").Int
		sub.do("SUBSCRIBE ch")
		a.want(fmt.Sprint("CLIENT KILL ID ", id), ":1")
		b.wantClosed()
		a.want("CLIENT KILL TYPE pubsub", ":1")
		sub.wantClosed()
		a.want("CLIENT KILL "+a.conn.LocalAddr().String(), "+OK")
		a.wantClosed()
	})
}

// Many clients, every command answered in order, no update lost.
func TestConcurrentClients(t *testing.T) {
	bothTransports(t, func(t *testing.T, options ...string) {
		_, addr := startServer(t, options...)
		const clients, rounds, pipeline = 20, 20, 10
		var wg sync.WaitGroup
		for i := range clients {
			wg.Add(1)
			go func() {
				defer wg.Done()
				conn, err := net.Dial("tcp", addr)
				if err != nil {
					t.Error(err)
					return
				}
				defer conn.Close()
				rd := resp.NewReader(conn)
				for r := range rounds {
					var wire []byte
					for p := range pipeline {
						wire = resp.AppendCommandStrings(wire, "INCR", "total")
						wire = resp.AppendCommandStrings(wire, "ECHO", fmt.Sprint(i, r, p))
					}
					conn.Write(wire)
					for p := range pipeline {
						if v, err := rd.ReadValue(); err != nil || v.Kind != resp.Integer {
							t.Error(v, err)
							return
						}
						if v, err := rd.ReadValue(); err != nil || string(v.Str) != fmt.Sprint(i, r, p) {
							t.Error(v, err)
							return
						}
					}
				}
			}()
		}
		wg.Wait()
		dial(t, addr).want("GET total", fmt.Sprintf("%q", fmt.Sprint(clients*rounds*pipeline)))
	})
}

// Shutdown ends every goroutine that the server started.
func TestShutdownLeavesNothingBehind(t *testing.T) {
	bothTransports(t, func(t *testing.T, options ...string) {
		before := runtime.NumGoroutine()
		s, addr := startServer(t, options...)
		sub := dial(t, addr)
		sub.do("SUBSCRIBE ch")
		dial(t, addr).want("PUBLISH ch x", ":1")
		stopServer(t, s)
		sub.read()
		sub.wantClosed()
		require.Eventually(t, func() bool { return runtime.NumGoroutine() <= before+1 }, time.Minute, 10*time.Millisecond)
		_, err := net.Dial("tcp", addr)
		require.Error(t, err)
	})
}

func TestUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	s, _ := startServer(t, "--unixsocket", path, "--unixsocketperm", "700")
	require.NoError(t, s.listen())
	conn, err := net.Dial("unix", path)
	require.NoError(t, err)
	defer conn.Close()
	c := over(t, conn)
	c.want("PING", "+PONG")
	require.Contains(t, string(c.do("CLIENT INFO").Str), "addr="+path+":0 ")
	require.Contains(t, string(c.do("CLIENT INFO").Str), " flags=U ")
}
