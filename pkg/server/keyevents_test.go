package server

import (
	"byor/pkg/redistest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestExpiredAndEvictedEvents(t *testing.T) {
	eachServer(t, []string{"--hz", "100"}, func(t *testing.T, addr string) {
		l, c := redistest.Listen(t, addr, "Kxem"), dial(t, addr)
		next := func() string { m := l.Read().Elems; return string(m[2].Str) + " " + string(m[3].Str) }
		c.want("SET by:itself v PX 5", "+OK")
		require.Equal(t, "__keyspace@0__:by:itself expired", next())
		c.want("DEBUG SET-ACTIVE-EXPIRE 0", "+OK")
		c.want("SET met v PX 1", "+OK")
		require.Eventually(t, func() bool { return show(c.do("GET met")) != `"v"` }, time.Minute, time.Millisecond)
		require.Equal(t, "__keyspace@0__:met expired", next())
		require.Equal(t, "__keyspace@0__:met keymiss", next())
		c.want("SELECT 3", "+OK")
		c.want("SET room v", "+OK")
		c.want("CONFIG SET maxmemory-policy allkeys-random maxmemory 1", "+OK")
		c.do("SET no room")
		require.Equal(t, "__keyspace@3__:room evicted", next())
	})
}

func TestKeyEventsOfReplicas(t *testing.T) {
	t.Parallel()
	master := startRedis(t, "--hz", "100", "--repl-diskless-sync-delay", "0")
	for _, replica := range []string{startRedis(t, replicaOptions(master)...), second(startServer(t, replicaOptions(master)...))} {
		c, r := dial(t, master), dial(t, replica)
		eventually(t, r, "INFO replication", "master_link_status:up")
		l := redistest.Listen(t, replica, "KAn")
		for _, line := range []string{"SET k v", "SET gone v PX 5", "LPUSH l a", "LPOP l"} {
			c.do(line)
		}
		var heard []string
		for range 10 {
			heard = append(heard, string(l.Read().Elems[3].Str))
		}
		slices.Sort(heard)
		require.Equal(t, "del del expire lpop lpush new new new set set", strings.Join(heard, " "))
		c.do("FLUSHALL")
	}
}

func replicaOptions(master string) []string {
	return append([]string{"--replicaof"}, strings.Fields(hostPort(master))...)
}
