package server

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"byor/pkg/resp"

	"github.com/stretchr/testify/require"
)

// tracker is a client that is told in RESP3 of keys that have changed.
func tracker(t testing.TB, addr, options string) *testConn {
	c := dial(t, addr)
	c.do("HELLO 3")
	c.want("CLIENT TRACKING ON"+options, "+OK")
	return c
}

// told returns the keys that the client is told of before the reply to a PING.
func told(c *testConn) (keys []string) {
	c.send("PING")
	for {
		v := c.read()
		if v.Kind != resp.Push {
			return keys
		}
		for _, k := range v.Elems[1].Elems {
			keys = append(keys, string(k.Str))
		}
	}
}

// No more keys are remembered than tracking-table-max-keys; who has copies of those that are forgotten is told before
// the reply to the command that comes next.
func TestTrackingTableLimit(t *testing.T) {
	eachServer(t, nil, func(t *testing.T, addr string) {
		c, other := tracker(t, addr, ""), dial(t, addr)
		for i := range 10 {
			c.do(fmt.Sprint("GET k", i))
		}
		require.Equal(t, "10 10 0", trackedKeys(other))
		other.want("CONFIG SET tracking-table-max-keys 4", "+OK")
		require.Equal(t, "4 4 0", trackedKeys(other))
		require.Len(t, told(c), 6)
		other.want("CONFIG SET tracking-table-max-keys 1", "+OK")
		c.send("PING")
		for range 3 { // by its own command, too
			require.Equal(t, byte(resp.Push), byte(c.read().Kind))
		}
		require.Equal(t, "PONG", string(c.read().Str))
		other.want("CONFIG SET tracking-table-max-keys 0", "+OK")
		for i := range 300 {
			c.do(fmt.Sprint("GET k", i))
		}
		require.Equal(t, "300 300 0", trackedKeys(other))
		other.want("CONFIG SET tracking-table-max-keys 10", "+OK")
		// A hundred at first, then two hundred: it does not stop the server.
		require.Equal(t, "200 200 0", trackedKeys(other))
		require.Equal(t, "10 10 0", trackedKeys(other))
		require.Len(t, told(c), 290)
	})
}

// trackedKeys returns INFO's tracking_total_keys, -items and -prefixes.
func trackedKeys(c *testConn) string {
	info := string(c.do("INFO stats").Str)
	m := regexp.MustCompile(`tracking_total_keys:(\d+)\r\ntracking_total_items:(\d+)\r\ntracking_total_prefixes:(\d+)`).FindStringSubmatch(info)
	return strings.Join(m[1:], " ")
}

// What INFO and CLIENT LIST say of who tracks what, and what remains of a client that goes.
func TestTrackingShown(t *testing.T) {
	eachServer(t, nil, func(t *testing.T, addr string) {
		shows := func(c *testConn, flags, redir string) {
			t.Helper()
			require.Regexp(t, " flags="+flags+" .* redir="+redir+" ", string(c.do("CLIENT INFO").Str))
		}
		watcher := dial(t, addr)
		a, b := tracker(t, addr, ""), tracker(t, addr, " BCAST PREFIX x PREFIX y")
		gone := dial(t, addr)
		c := tracker(t, addr, fmt.Sprint(" REDIRECT ", gone.do("CLIENT ID").Int))
		shows(watcher, "N", "-1")
		shows(a, "t", "0")
		shows(b, "tB", "0")
		shows(c, "t", fmt.Sprint(gone.do("CLIENT ID").Int))
		require.Equal(t, "3", watcher.info("tracking_clients"))
		a.do("MGET k l")
		c.do("MGET k m")
		require.Equal(t, "3 4 2", trackedKeys(watcher))
		gone.conn.Close()
		require.Eventually(t, func() bool { return watcher.info("connected_clients") == "4" }, time.Minute, time.Millisecond)
		watcher.do("SET m v")
		require.Equal(t, "tracking-redir-broken", string(c.read().Elems[0].Str))
		shows(c, "tR", `\d+`)
		require.Equal(t, "2 3 2", trackedKeys(watcher))
		for _, k := range []*testConn{a, b, c} {
			k.conn.Close()
		}
		require.Eventually(t, func() bool { return watcher.info("tracking_clients") == "0" }, time.Minute, time.Millisecond)
		require.Equal(t, "2 3 0", trackedKeys(watcher)) // until the keys change
		watcher.do("MSET k v l v")
		require.Equal(t, "0 0 0", trackedKeys(watcher))
	})
}

// A pipeline that comes in one piece is one message for those who track prefixes, behind all replies.
func TestTrackingOfPipelines(t *testing.T) {
	eachServer(t, nil, func(t *testing.T, addr string) {
		c := tracker(t, addr, " BCAST")
		var wire []byte
		for _, line := range []string{"SET b 1", "SET a 2", "INCR b", "GET a"} {
			wire = resp.AppendCommandStrings(wire, words(t, line)...)
		}
		_, err := c.conn.Write(wire)
		require.NoError(t, err)
		for _, want := range []string{"+OK", "+OK", ":2", `"2"`, `>["invalidate" *["a" "b"]]`} {
			require.Equal(t, want, show(c.read()))
		}
	})
}

// Keys that expire or are evicted are copies that are no longer true.
func TestTrackingOfKeysThatGo(t *testing.T) {
	eachServer(t, []string{"--hz", "100"}, func(t *testing.T, addr string) {
		c, all, other := tracker(t, addr, ""), tracker(t, addr, " BCAST PREFIX e"), dial(t, addr)
		other.want("SET e v PX 20", "+OK")
		require.Equal(t, `>["invalidate" *["e"]]`, show(all.read()))
		c.do("GET e")
		require.Equal(t, `>["invalidate" *["e"]]`, show(c.read()))
		require.Equal(t, `>["invalidate" *["e"]]`, show(all.read()))
		other.want("SET room v", "+OK")
		c.do("GET room")
		other.want("CONFIG SET maxmemory-policy allkeys-random maxmemory 1", "+OK")
		c.send("SET", "no", "room")
		// Room is made before the command, so its client is told before the reply.
		require.Equal(t, `>["invalidate" *["room"]]`, show(c.read()))
		require.True(t, c.read().IsError())
	})
}

// Clients of a replica are told of what the master says, and that nothing is true any more when they get other data.
func TestTrackingOnReplicas(t *testing.T) {
	t.Parallel()
	for _, startReplica := range []func() string{
		func() string { return startRedis(t, "--repl-diskless-sync-delay", "0") },
		func() string { return second(startServer(t)) },
	} {
		master := dial(t, startRedis(t, "--repl-diskless-sync-delay", "0"))
		master.do("SET k 1")
		replica := startReplica()
		c := tracker(t, replica, "")
		c.do("GET k")
		dial(t, replica).want("REPLICAOF "+hostPort(master.conn.RemoteAddr().String()), "+OK")
		require.Equal(t, `>["invalidate" _(nil)]`, show(c.read()))
		eventually(t, dial(t, replica), "INFO replication", "master_link_status:up")
		require.Equal(t, `"1"`, show(c.do("GET k")))
		master.do("INCR k")
		require.Equal(t, `>["invalidate" *["k"]]`, show(c.read()))
	}
}

// What is remembered is memory in use, and maxmemory counts it.
func TestTrackingMemory(t *testing.T) {
	s, addr := startServer(t)
	c, other := tracker(t, addr, ""), dial(t, addr)
	counted := func() int64 { s.eng.Lock(); defer s.eng.Unlock(); return s.tracking.Bytes() }
	require.Zero(t, counted())
	before := other.info("used_memory")
	long := strings.Repeat("x", 1000)
	for i := range 1000 {
		c.send("GET", fmt.Sprint(long, i))
		c.read()
	}
	require.InDelta(t, 1_100_000, counted(), 50_000)
	var was, is int64
	fmt.Sscan(before, &was)
	fmt.Sscan(other.info("used_memory"), &is)
	require.Greater(t, is-was, int64(1_000_000))
	other.do("FLUSHALL")
	require.Zero(t, counted())
	require.Equal(t, `>["invalidate" _(nil)]`, show(c.read()))
}
