package server

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// MEMORY DOCTOR finds what is unusual, and when it is over, nothing.
func TestMemoryDoctor(t *testing.T) {
	_, addr := startServer(t)
	c := dial(t, addr)
	says := func() string { return string(c.do("MEMORY DOCTOR").Str) }
	require.Equal(t, string(dial(t, startRedis(t)).do("MEMORY DOCTOR").Str), says())
	for i := range 40 {
		c.want(fmt.Sprint("SETRANGE k", i, " 999999 x"), ":1000000")
	}
	require.NotContains(t, says(), "Peak")
	for i := range 30 {
		c.want(fmt.Sprint("DEL k", i), ":1")
	}
	eventually(t, c, "MEMORY DOCTOR", "* Peak memory: ")
	big := dial(t, addr)
	fmt.Fprintf(big.conn, "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$4000000\r\n%s", strings.Repeat("x", 3000000))
	eventually(t, c, "MEMORY DOCTOR", "* Big client buffers: ")
	require.NotContains(t, says(), "Many scripts")
	for i := range 1001 {
		c.do(fmt.Sprint("EVAL 'return ", i, "' 0"))
	}
	require.Contains(t, says(), "* Many scripts: ")
}

// LATENCY DOCTOR says of a slow command what a real one says. That one may have had other spikes, too, on a busy machine.
func TestLatencyDoctorLikeRedis(t *testing.T) {
	_, addr := startServer(t)
	ours, redis := dial(t, addr), dial(t, startRedis(t))
	says := func(c *testConn) string { return digits.ReplaceAllString(string(c.do("LATENCY DOCTOR").Str), "0") }
	require.Equal(t, says(redis), says(ours))
	for _, slowlog := range []string{"10000", "-1", "100000000"} {
		for _, c := range []*testConn{ours, redis} {
			c.want("CONFIG SET slowlog-log-slower-than "+slowlog, "+OK")
			c.want("CONFIG SET latency-monitor-threshold 10", "+OK")
			c.want("DEBUG SLEEP 0.011", "+OK")
			c.want("CONFIG SET latency-monitor-threshold 1000", "+OK")
		}
		report := says(redis)
		for line := range strings.Lines(says(ours)) {
			require.Contains(t, report, line)
		}
		require.Contains(t, says(ours), "\nI have a few advices for you:\n\n- ")
	}
}

var digits = regexp.MustCompile(`[0-9]+`)
