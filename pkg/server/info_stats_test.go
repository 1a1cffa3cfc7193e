package server

import (
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"
)

var hitsAndMisses = regexp.MustCompile(`keyspace_(hits|misses):\d+`)

// TestHitsAndMissesAsRedis requires that the same look-ups count, command by command.
func TestHitsAndMissesAsRedis(t *testing.T) {
	redis := dial(t, startRedis(t))
	_, addr := startServer(t)
	ours := dial(t, addr)
	count := func(c *testConn) []string {
		return hitsAndMisses.FindAllString(string(c.do("INFO stats").Str), -1)
	}
	for _, c := range []*testConn{ours, redis} {
		c.do("SET k v")
		c.do("RPUSH l a b")
		c.do("CONFIG RESETSTAT")
	}
	for _, cmd := range []string{
		"GET k", "GET none", "MGET k none k", "EXISTS k none", "TOUCH k none", "TYPE k", "TYPE none", "TTL k", "PTTL none",
		"EXPIRETIME k", "OBJECT ENCODING k", "OBJECT ENCODING none", "COPY k k2", "COPY none x", "STRLEN k", "GETRANGE k 0 1",
		"GETSET k v", "GETEX k", "GETEX none", "SET k v GET", "SET none2 v GET", "SETNX k v", "INCR n", "APPEND n 1", "RENAME k2 k3",
		"EXPIRE k 100", "PERSIST k", "LRANGE l 0 -1", "LRANGE none 0 -1", "LPUSH l c", "LPOP l", "HGET none f", "SMEMBERS none",
		"ZSCORE none m", "GETDEL k3", "GETDEL none", "SORT l ALPHA", "DUMP k", "DUMP none", "LCS k none", "KEYS *", "SCAN 0", "DEL k none",
	} {
		ours.do(cmd)
		redis.do(cmd)
		require.Equal(t, count(redis), count(ours), cmd)
	}
}
