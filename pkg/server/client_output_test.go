package server

import (
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"byor/pkg/resp"

	"github.com/stretchr/testify/require"
)

// deaf connects a client that takes as little from the network as can be.
func deaf(t *testing.T, addr string) *testConn {
	c := dial(t, addr)
	c.conn.(*net.TCPConn).SetReadBuffer(4096)
	return c
}

// rest returns how many bytes the server sends before it ends the connection.
func (c *testConn) rest() int {
	c.conn.SetReadDeadline(time.Now().Add(time.Minute))
	n, err := io.Copy(io.Discard, c.conn)
	if err != nil {
		ne, timedOut := err.(net.Error)
		require.False(c.t, timedOut && ne.Timeout(), "it is still open")
	}
	return int(n)
}

// clientsNamed returns the sessions whose name is the given one.
func (s *Server) clientsNamed(name string) (cs []*client) {
	for _, c := range s.sortedClients() {
		if c.Name == name {
			cs = append(cs, c)
		}
	}
	return cs
}

// A large message is in memory once, however many wait for it. Each of them is charged for all of it.
func TestSlowSubscribersShareMessages(t *testing.T) {
	bothTransports(t, func(t *testing.T, options ...string) {
		s, addr := startServer(t, options...)
		var subs []*testConn
		for i := range 20 {
			c := deaf(t, addr)
			c.do(fmt.Sprint("HELLO ", 2+i%2))
			c.want("CLIENT SETNAME sub", "+OK")
			c.do("SUBSCRIBE ch")
			subs = append(subs, c)
		}
		pub, monitor := dial(t, addr), deaf(t, addr)
		monitor.want("MONITOR", "+OK")
		const n, size = 160, 64 << 10
		payload := strings.Repeat("x", size)
		for range n {
			pub.send("PUBLISH", "ch", payload)
			require.Equal(t, ":20", show(pub.read()))
		}
		s.eng.Lock()
		each := int64(0)
		for _, c := range s.clientsNamed("sub") {
			c.measureNow()
			w, _ := c.waits()
			each += w.omem
		}
		shared, used := s.sharedMem.Load(), s.usedMemory()-s.memory.startup
		s.eng.Unlock()
		require.Positive(t, shared)
		require.LessOrEqual(t, shared, int64(3*n*(size+100)), "one for each protocol, and MONITOR's lines")
		require.Greater(t, each, 2*shared)
		require.Less(t, used, int64(4*n*size))
		for _, c := range append(subs, monitor) {
			c.conn.Close()
		}
		require.Eventually(t, func() bool { return s.sharedMem.Load() == 0 }, time.Minute, 5*time.Millisecond)
	})
}

// Small and large messages, subscriptions' replies and PINGs come in the order in which they were made, to
// those who read at once and to those who read late.
func TestMessagesOfAllSizesKeepTheirOrder(t *testing.T) {
	bothTransports(t, func(t *testing.T, options ...string) {
		_, addr := startServer(t, options...)
		late, late3, pub := dial(t, addr), dial(t, addr), dial(t, addr)
		late3.do("HELLO 3")
		for _, c := range []*testConn{late, late3} {
			c.do("SUBSCRIBE ch")
			c.do("PSUBSCRIBE c*")
		}
		sizes := []int{0, 1, 1000, shareFrom - 1, shareFrom, 15_000, outBlock, 70_000, 300_000}
		text := func(i int) string {
			return fmt.Sprint(i, ":", strings.Repeat(string(rune('a'+i%26)), sizes[i%len(sizes)]))
		}
		const n = 120
		for i := 0; i < n; i += 2 {
			pub.want("MULTI", "+OK")
			for j := range 2 {
				pub.send("PUBLISH", "ch", text(i+j))
				pub.read()
			}
			require.Equal(t, "*[:4 :4]", show(pub.do("EXEC")))
			late.send("PING", fmt.Sprint("p", i))
			late3.send("PING", fmt.Sprint("p", i))
		}
		for _, c := range []*testConn{late, late3} {
			next, pings := 0, 0
			for next < 2*n || pings < n/2 {
				v := c.read()
				if v.Str != nil || string(v.Elems[0].Str) == "pong" {
					pings++
					continue
				}
				kind := "message"
				if next%2 == 1 {
					kind = "pmessage"
				}
				require.Equal(t, kind, string(v.Elems[0].Str))
				require.True(t, text(next/2) == string(v.Elems[len(v.Elems)-1].Str), "message %d", next/2)
				next++
			}
		}
	})
}

// Who is over the hard limit hears nothing more: neither the reply that was too much, nor a part of it.
func TestNothingIsSentOverTheHardLimit(t *testing.T) {
	bothTransports(t, func(t *testing.T, options ...string) {
		s, addr := startServer(t, append(options, "--client-output-buffer-limit", "normal", "100kb", "0", "0", "--client-output-buffer-limit", "pubsub", "2mb", "0", "0")...)
		c := dial(t, addr)
		c.send("SET", "v", strings.Repeat("x", 1<<20))
		require.Equal(t, "+OK", show(c.read()))
		c.send("GET", "v")
		require.Zero(t, c.rest())

		c = dial(t, addr)
		c.want("MULTI", "+OK")
		for range 50 {
			c.want("GET v", "+QUEUED")
		}
		c.want("SET done 1", "+QUEUED")
		c.send("EXEC")
		require.Zero(t, c.rest())

		sub, pub := dial(t, addr), dial(t, addr)
		pub.want("GET done", `"1"`) // Redis executes the rest of it, too
		sub.do("SUBSCRIBE ch")
		pub.want("MULTI", "+OK")
		for range 10 {
			pub.send("PUBLISH", "ch", strings.Repeat("m", 1<<20))
			pub.read()
		}
		require.Equal(t, "*[:1 :1 :1 :1 :1 :1 :1 :1 :1 :1]", show(pub.do("EXEC")))
		require.Zero(t, sub.rest())

		sub = dial(t, addr)
		sub.do("SUBSCRIBE ch")
		pub.want("MULTI", "+OK")
		for range 30 {
			pub.want("PUBLISH ch "+strings.Repeat("m", 1000), "+QUEUED")
		}
		pub.do("EXEC")
		require.Equal(t, 1000, len(sub.read().Elems[2].Str), "what is below the limit comes")
		s.eng.Lock()
		defer s.eng.Unlock()
		require.EqualValues(t, 3, s.stats.outputLimitDisconnections)
		require.Zero(t, s.sharedMem.Load())
	})
}

// A session that is ended while its own command runs has lost what waits, not the place of its reply.
func TestEndInsideACommand(t *testing.T) {
	bothTransports(t, func(t *testing.T, options ...string) {
		_, addr := startServer(t, options...)
		exchange(t, addr, "PING\r\nCLIENT REPLY OFF\r\nPOST / HTTP/1.1\r\n")
		exchange(t, addr, "PING\r\nPING\r\nPOST / HTTP/1.1\r\n")
		dial(t, addr).want("PING", "+PONG")
	})
}

// What CLIENT LIST says of a client's buffers is what Redis says of them.
func TestClientListCountsWhatWaits(t *testing.T) {
	_, ours := startServer(t)
	want := clientLines(t, startRedis(t))
	require.Equal(t, want, clientLines(t, ours))
}

func clientLines(t *testing.T, addr string) map[string]string {
	admin := dial(t, addr)
	conns := map[string]string{
		"nothing": "", "half": "*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$1000\r\n" + strings.Repeat("x", 300),
		"large": "*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$1000000\r\n" + strings.Repeat("x", 200_000),
		"many":  "*9\r\n$4\r\nMSET\r\n$1\r\na\r\n$70000\r\n" + strings.Repeat("x", 70_000) + "\r\n$1\r\nb\r\n$3\r\n",
		"multi": "MULTI\r\nSET abc 12345\r\n*2\r\n$4\r\nECHO\r\n$70000\r\n" + strings.Repeat("x", 70_000) + "\r\n",
		"line":  "SET a",
	}
	for name, in := range conns {
		c := dial(t, addr)
		c.want("CLIENT SETNAME "+name, "+OK")
		_, err := c.conn.Write([]byte(in))
		require.NoError(t, err)
	}
	fields := []string{"flags", "multi", "qbuf", "argv-mem", "obl", "oll", "omem", "events"}
	lines := func() map[string]string {
		got := map[string]string{}
		for _, line := range strings.Split(strings.TrimSpace(string(admin.do("CLIENT LIST").Str)), "\n") {
			of := map[string]string{}
			for _, f := range strings.Fields(line) {
				k, v, _ := strings.Cut(f, "=")
				of[k] = v
			}
			for _, f := range fields {
				got[of["name"]] += f + "=" + of[f] + " "
			}
		}
		return got
	}
	// That a command was sent does not mean that the server has read it yet.
	settled := map[string]string{"half": "qbuf=300 ", "large": "qbuf=200000 ", "many": "argv-mem=70006 ", "multi": "multi=2 ", "line": "qbuf=5 "}
	require.Eventually(t, func() bool {
		got := lines()
		for name, part := range settled {
			if !strings.Contains(got[name], part) {
				return false
			}
		}
		return true
	}, time.Minute, 5*time.Millisecond)
	return lines()
}

// omem is what waits for a client that does not read; it falls when it does.
func TestClientListOfOneThatDoesNotRead(t *testing.T) {
	bothTransports(t, func(t *testing.T, options ...string) {
		s, addr := startServer(t, options...)
		c := dial(t, addr)
		c.want("CLIENT SETNAME slow", "+OK")
		c.send("SET", "v", strings.Repeat("x", 20<<20))
		require.Equal(t, "+OK", show(c.read()))
		c.send("GET", "v")
		state := func() (w unsent, counted int64) {
			s.eng.Lock()
			defer s.eng.Unlock()
			slow := s.clientsNamed("slow")[0]
			slow.measureNow()
			w, _ = slow.waits()
			return w, slow.counted
		}
		require.Eventually(t, func() bool { w, _ := state(); return w.omem > 0 }, time.Minute, time.Millisecond)
		w, counted := state()
		require.EqualValues(t, 1, w.oll)
		require.LessOrEqual(t, w.omem, int64(20<<20+100))
		require.GreaterOrEqual(t, counted, int64(20<<20), "the memory is one piece until the last byte is written")
		require.Len(t, c.read().Str, 20<<20)
		require.Eventually(t, func() bool {
			w, counted := state()
			return w == unsent{} && counted < 1<<20
		}, time.Minute, time.Millisecond)
	})
}

// Large arguments become values without a copy, and are nobody else's then.
func TestLargeValuesAreTheirOwn(t *testing.T) {
	bothTransports(t, func(t *testing.T, options ...string) {
		dir := t.TempDir()
		s, addr := startServer(t, append(options, "--appendonly", "yes", "--dir", dir)...)
		c := dial(t, addr)
		big := func(ch string) string { return strings.Repeat(ch, 300_000) }
		var wire []byte
		add := func(args ...string) { wire = resp.AppendCommandStrings(wire, args...) }
		add("SET", "a", big("a"))
		add("SET", "b", big("b"), "EX", "1000")
		add("MSET", "c", big("c"), "d", big("c"), "c", big("e"))
		add("GETSET", "a", big("f"))
		add("SET", "d", big("g"), "KEEPTTL", "GET")
		add("SETNX", "n", big("n"))
		add("MULTI")
		add("SET", "m", big("m"))
		add("MSET", "o", big("o"), "p", big("p"))
		add("APPEND", "m", "!")
		add("SETRANGE", "o", "1", "?")
		add("EXEC")
		add("SETBIT", "c", "0", "1")
		add("SETRANGE", "b", "299999", "!")
		add("LPUSH", "l", big("l"), big("k"))
		go c.conn.Write(wire)
		for range 15 {
			require.False(t, c.read().IsError())
		}
		check := func() {
			for key, want := range map[string]string{
				"a": big("f"), "b": big("b")[1:] + "!", "c": "\xe5" + big("e")[1:], "d": big("g"), "n": big("n"),
				"m": big("m") + "!", "o": "o?" + big("o")[2:], "p": big("p"),
			} {
				require.True(t, want == string(c.do("GET "+key).Str), key)
			}
			require.True(t, big("k") == string(c.do("LINDEX l 0").Str))
		}
		check()
		c.want("DEBUG LOADAOF", "+OK")
		check()
		s.eng.Lock()
		defer s.eng.Unlock()
		require.Less(t, s.clientMem.n, int64(2<<20), "the connection holds nothing of it")
	})
}
