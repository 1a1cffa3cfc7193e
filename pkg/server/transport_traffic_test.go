package server

import (
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"byor/pkg/engine"

	"github.com/stretchr/testify/require"
)

// field returns a number that INFO tells.
func (c *testConn) field(name string) int64 {
	c.t.Helper()
	m := regexp.MustCompile(`(?m)^` + name + `:(-?\d+)`).FindStringSubmatch(string(c.do("INFO everything").Str))
	require.NotNil(c.t, m, name)
	n, err := strconv.ParseInt(m[1], 10, 64)
	require.NoError(c.t, err)
	return n
}

// The bytes of clients are counted as Redis counts them, each command by itself, and RESETSTAT forgets them also of
// clients that are there.
func TestTrafficAsRedis(t *testing.T) {
	theirs := dial(t, startRedis(t))
	for _, options := range [][]string{{"--io-threads", "1"}, {"--io-threads", "3"}, {"--io-threads", "0"}} {
		s, addr := startServer(t, options...)
		ours := dial(t, addr)
		var got [2][]int64
		for i, c := range []*testConn{theirs, ours} {
			other := dial(t, c.conn.RemoteAddr().String())
			c.do("ECHO " + strings.Repeat("x", 1000))
			c.do("CONFIG RESETSTAT")
			other.do("ECHO " + strings.Repeat("y", 20000))
			other.do("SET a b")
			if i == 1 { // a thread counts what it has written when the peer may have it already
				require.Eventually(t, func() bool {
					s.eng.Lock()
					defer s.eng.Unlock()
					all, _ := s.trafficNow()
					return all.minus(s.stats.before).out == got[0][1]
				}, time.Minute, time.Millisecond)
			}
			text := string(c.do("INFO stats").Str)
			for _, name := range []string{"total_net_input_bytes", "total_net_output_bytes", "total_writes_processed", "total_net_repl_input_bytes", "total_net_repl_output_bytes"} {
				m := regexp.MustCompile(name + `:(\d+)`).FindStringSubmatch(text)
				n, _ := strconv.ParseInt(m[1], 10, 64)
				got[i] = append(got[i], n)
			}
			m := regexp.MustCompile(`total_reads_processed:(\d+)`).FindStringSubmatch(text)
			n, _ := strconv.ParseInt(m[1], 10, 64)
			require.GreaterOrEqual(t, n, int64(3)) // how many depends on how the bytes arrive
		}
		require.Equal(t, got[0], got[1], options)
		s.eng.Lock()
		threaded := len(s.loops) > 1
		s.eng.Unlock()
		require.Equal(t, threaded, ours.field("io_threaded_reads_processed") > 0, options)
	}
}

// What a master sends is what its replica gets, snapshot and stream, and counts as replication on both sides.
func TestTrafficOfReplication(t *testing.T) {
	_, masterAddr := startServer(t, "--repl-diskless-sync-delay", "0")
	master := dial(t, masterAddr)
	for range 20 {
		master.do("RPUSH l " + strings.Repeat("x", 5000))
	}
	_, addr := startServer(t, "--replicaof", hostPort(masterAddr))
	replica := dial(t, addr)
	eventually(t, replica, "INFO replication", "master_link_status:up")
	master.do("SET big " + strings.Repeat("y", 50000))
	eventually(t, replica, "EXISTS big", ":1")
	require.Eventually(t, func() bool { return master.field("total_net_repl_output_bytes") > 50000 }, time.Minute, time.Millisecond)
	sent, got := master.field("total_net_repl_output_bytes"), replica.field("total_net_repl_input_bytes")
	require.InDelta(t, sent, got, 1000) // the answers to the handshake are a client's
	require.GreaterOrEqual(t, replica.field("total_net_input_bytes"), got)
	require.GreaterOrEqual(t, master.field("total_net_output_bytes"), sent)
	require.Zero(t, master.field("total_net_repl_input_bytes"))
	require.Zero(t, replica.field("total_net_repl_output_bytes"))
}

// The rates are those of the latest samples.
func TestRates(t *testing.T) {
	s, addr := startServer(t)
	c := dial(t, addr)
	c.do("DEBUG PAUSE-CRON 1")
	s.eng.Lock()
	for range len(s.stats.rates) {
		s.eng.NowMs = s.stats.lastSampleMs + 100
		s.eng.Stats.Commands += 50
		s.traffic.in.Add(1024 * 10)
		s.traffic.replOut.Add(1024 * 20)
		s.sampleRates()
		s.sampleRates() // too early to be one more
	}
	r := s.stats.rate(func(r *rates) int64 { return r.commands })
	s.eng.Unlock()
	require.InDelta(t, 500, r, 5)
	for _, part := range []string{"instantaneous_input_kbps:10", "instantaneous_output_repl_kbps:200.00", "instantaneous_input_repl_kbps:0.00"} {
		require.Contains(t, string(c.do("INFO stats").Str), part)
	}
}

// How long memory is over maxmemory, and the replies that nobody waits for.
func TestExceededTimeAndUnexpectedErrors(t *testing.T) {
	s, addr := startServer(t)
	c := dial(t, addr)
	c.do("SET a " + strings.Repeat("x", 10000))
	c.do("DEBUG PAUSE-CRON 1")
	c.do("CONFIG SET maxmemory 100")
	s.eng.Lock()
	s.eng.NoteExceeded()
	require.False(t, s.eng.Stats.ExceededSince.IsZero())
	s.eng.Stats.ExceededSince = s.eng.Stats.ExceededSince.Add(-5e9)
	s.eng.Unlock()
	require.GreaterOrEqual(t, c.field("current_eviction_exceeded_time"), int64(5000))
	c.do("CONFIG SET maxmemory 0")
	s.eng.Lock()
	s.eng.NoteExceeded()
	fake := s.newClient(nil)
	fake.Mode |= engine.ModeMaster
	fake.Fail("ERR nobody waits for it")
	s.eng.Unlock()
	require.Zero(t, c.field("current_eviction_exceeded_time"))
	require.GreaterOrEqual(t, c.field("total_eviction_exceeded_time"), int64(5000))
	require.EqualValues(t, 1, c.field("unexpected_error_replies"))
}
