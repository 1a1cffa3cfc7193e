//go:build unix

package server

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"byor/pkg/resp"

	"github.com/stretchr/testify/require"
)

// used returns used_memory.
func used(t *testing.T, c *testConn) int64 {
	n, err := strconv.ParseInt(c.info("used_memory"), 10, 64)
	require.NoError(t, err)
	return n
}

// used_memory rises with what is stored, and falls when that is deleted: not when the collector comes by.
func TestUsedMemoryIsWhatIsAlive(t *testing.T) {
	s, addr := startServer(t)
	c := dial(t, addr)
	c.info("used_memory")
	before := used(t, c)
	gone := func(what string) {
		t.Helper()
		require.InDelta(t, before, used(t, c), 100<<10, what)
	}
	for range 5 {
		c.want("SETBIT bb 268435455 1", ":0")
		require.InDelta(t, before+32<<20, used(t, c), 100<<10)
		c.want("DEL bb", ":1")
		gone("DEL")
	}
	c.want("DEBUG POPULATE 20000 key 100", "+OK")
	require.Greater(t, used(t, c), before+20000*100)
	c.want("FLUSHALL", "+OK")
	gone("FLUSHALL")
	c.want("MULTI", "+OK")
	c.want("SET k "+strings.Repeat("x", 5<<20), "+QUEUED")
	require.InDelta(t, before+5<<20, used(t, dial(t, addr)), 100<<10)
	c.want("DISCARD", "+OK")
	eventuallyUsed(t, s, before, 100<<10)
	require.GreaterOrEqual(t, atoi(t, c.info("used_memory_peak")), before+32<<20, "between two rounds of the cron")
}

func atoi(t *testing.T, s string) int64 {
	n, err := strconv.ParseInt(s, 10, 64)
	require.NoError(t, err, s)
	return n
}

// eventuallyUsed waits for what the cron has to notice.
func eventuallyUsed(t *testing.T, s *Server, want, delta int64) {
	t.Helper()
	require.Eventually(t, func() bool {
		s.eng.Lock()
		defer s.eng.Unlock()
		n := s.usedMemory()
		return n > want-delta && n < want+delta
	}, time.Minute, 5*time.Millisecond)
}

// Memory of what is gone is given back without being asked for, and by MEMORY PURGE before it answers.
func TestMemoryOfWhatIsGoneIsGivenBack(t *testing.T) {
	s, addr := startServer(t)
	c := dial(t, addr)
	given := func() (at time.Time) {
		s.eng.Lock()
		defer s.eng.Unlock()
		return s.memory.freeNot
	}
	for _, end := range []string{"DEL bb", "FLUSHALL", "UNLINK bb", "SET bb 1", "RENAME other bb", "PEXPIRE bb -1"} {
		s.eng.Lock()
		s.memory.freeNot = time.Time{}
		s.eng.Unlock()
		c.want("SET other 1", "+OK")
		c.want("SETBIT bb 536870911 1", ":0")
		c.do(end)
		require.Eventually(t, func() bool { return !given().IsZero() }, time.Minute, 5*time.Millisecond, end)
	}
	s.eng.Lock()
	s.memory.freeNot = time.Now().Add(time.Hour)
	s.eng.Unlock()
	c.want("SETBIT bb 1073741823 1", ":0")
	held := heap().resident()
	require.Greater(t, held, int64(128<<20))
	c.want("DEL bb", ":1")
	c.want("MEMORY PURGE", "+OK")
	require.Less(t, heap().resident(), held-100<<20)
	c.want("MULTI", "+OK")
	c.want("MEMORY PURGE", "+QUEUED")
	c.want("EXEC", "*[+OK]")
}

// maxmemory limits what clients have in the server's memory, too: queued commands, half an argument,
// replies that are not read.
func TestMaxmemoryCountsClientBuffers(t *testing.T) {
	bothTransports(t, func(t *testing.T, options ...string) {
		s, addr := startServer(t, options...)
		c := dial(t, addr)
		c.want("SET v "+strings.Repeat("v", 20<<20), "+OK")
		counted := func() int64 {
			s.eng.Lock()
			defer s.eng.Unlock()
			return s.countedMemory()
		}
		before := counted()
		for name, in := range map[string]string{
			"transaction": "MULTI\r\n*2\r\n$4\r\nECHO\r\n$3000000\r\n" + strings.Repeat("x", 3_000_000) + "\r\n",
			"half":        "*2\r\n$4\r\nECHO\r\n$4000000\r\n" + strings.Repeat("x", 3_000_000),
			"reply":       "GET v\r\n",
		} {
			o := dial(t, addr)
			go o.conn.Write([]byte(in))
			if name == "transaction" { // before it is queued it could still be refused
				require.Equal(t, "+OK +QUEUED", show(o.read())+" "+show(o.read()))
			}
			require.Eventually(t, func() bool { return counted() > before+2<<20 }, time.Minute, 5*time.Millisecond, name)
			c.want(fmt.Sprint("CONFIG SET maxmemory ", before+1<<20), "+OK")
			require.Equal(t, "-OOM command not allowed when used memory > 'maxmemory'.", show(c.do("SET k 1")), "%s: %d and %d bytes", name, before, counted())
			c.want("CONFIG SET maxmemory 0", "+OK")
			o.conn.Close()
			require.Eventually(t, func() bool { return counted() < before+1<<20 }, time.Minute, 5*time.Millisecond, name)
		}
	})
}

// What replicas and the append-only file wait for does not count: to evict keys makes it more.
func TestMaxmemoryDoesNotCountReplicas(t *testing.T) {
	s, addr := startServer(t, "--repl-backlog-size", "16kb")
	c := dial(t, addr)
	replicaOf(t, addr) // which reads nothing from now on
	value := strings.Repeat("x", 1<<20)
	for range 30 {
		c.want("SET k "+value, "+OK")
	}
	s.eng.Lock()
	s.sampleMemory()
	u, counted := s.usage(), s.countedMemory()
	s.eng.Unlock()
	require.Greater(t, u.uncounted, int64(5<<20))
	require.Greater(t, u.replicas, u.uncounted)
	require.Less(t, counted, u.total-u.uncounted+1<<20)
	require.Greater(t, u.total, int64(6<<20))
}

// INFO memory and MEMORY STATS have Redis's names in Redis's order, and their numbers fit together.
func TestMemoryReports(t *testing.T) {
	_, ours := startServer(t)
	theirs := startRedis(t)
	names := func(addr string) (info []string, stats []string) {
		c := dial(t, addr)
		c.want("SET a 1", "+OK")
		c.want("SET b 1 EX 1000", "+OK")
		for _, line := range strings.Split(string(c.do("INFO memory").Str), "\r\n") {
			name, _, _ := strings.Cut(line, ":")
			info = append(info, name)
		}
		v := c.do("MEMORY STATS")
		for i := 0; i < len(v.Elems); i += 2 {
			stats = append(stats, string(v.Elems[i].Str))
			if sub := v.Elems[i+1]; len(sub.Elems) > 0 {
				for j := 0; j < len(sub.Elems); j += 2 {
					stats = append(stats, string(sub.Elems[j].Str))
				}
			}
		}
		return info, stats
	}
	wantInfo, wantStats := names(theirs)
	info, stats := names(ours)
	require.Equal(t, wantInfo, info)
	require.Equal(t, wantStats, stats)

	c := dial(t, ours)
	c.want("DEBUG POPULATE 1000 key 1000", "+OK")
	field := func(name string) int64 { return atoi(t, c.info(name)) }
	require.InDelta(t, field("used_memory"), field("used_memory_overhead")+field("used_memory_dataset"), 64<<10)
	require.InDelta(t, 1000*1000, field("used_memory_dataset"), 100_000)
	require.Greater(t, field("used_memory_overhead"), field("used_memory_startup"))
	require.GreaterOrEqual(t, field("used_memory_peak"), field("used_memory_dataset"))
	require.GreaterOrEqual(t, field("total_system_memory"), field("used_memory_rss"))
	require.Greater(t, field("mem_clients_normal"), int64(2*clientOverhead-1))
	require.GreaterOrEqual(t, field("allocator_resident"), field("allocator_allocated"))
	require.Zero(t, field("mem_replication_backlog"))
	replicaOf(t, ours)
	require.Positive(t, field("mem_clients_slaves"))
	c.want("SET k "+strings.Repeat("x", 3<<20), "+OK")
	require.InDelta(t, 1<<20, field("mem_replication_backlog"), 1)
	require.Greater(t, field("mem_total_replication_buffers"), int64(1<<20))
}

// Commands of a client that is paused, blocked or in a transaction are counted as they come on the wire.
func TestWireLen(t *testing.T) {
	for _, args := range [][]string{{"PING"}, {"SET", "", strings.Repeat("x", 12345)}, make([]string, 10)} {
		b := make([][]byte, len(args))
		for i := range args {
			b[i] = []byte(args[i])
		}
		require.Equal(t, len(resp.AppendCommandStrings(nil, args...)), wireLen(b))
	}
}
