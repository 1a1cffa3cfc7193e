package server

import (
	"os"
	"strings"
	"testing"
	"time"

	"byor/pkg/redistest"

	"github.com/stretchr/testify/require"
)

// A real Sentinel watches one of these servers, promotes another, whose clients it disconnects, and makes a real
// replica follow that. It finds nothing to complain about.
func TestSentinelFailsOver(t *testing.T) {
	t.Parallel() // it waits for Sentinel, which looks once a second
	redistest.Need(t, "redis-server")
	_, master := startServer(t)
	_, next := startServer(t, "--replica-priority", "1")
	follower := startRedis(t, "--replicaof", hostPort(master))
	old, promoted, other := dial(t, master), dial(t, next), dial(t, follower)
	_, port, _ := strings.Cut(hostPort(next), " ")
	promoted.want("CONFIG SET replica-announce-port "+port, "+OK") // the test has opened it by itself
	promoted.want("REPLICAOF "+hostPort(master), "+OK")
	fill(old, 0, 20)
	for _, r := range []*testConn{promoted, other} {
		eventually(t, r, "INFO replication", "master_link_status:up")
	}
	addr, log := redistest.StartSentinel(t, t.TempDir(), master)
	sentinel := dial(t, addr)
	t.Cleanup(func() {
		if b, _ := os.ReadFile(log); t.Failed() {
			t.Log(string(b))
		}
	})
	eventually(t, sentinel, "SENTINEL CKQUORUM m", "OK 1 usable Sentinels")
	idle := dial(t, next)
	idle.want("PING", "+PONG")
	eventually(t, sentinel, "SENTINEL FAILOVER m", "OK") // as soon as it has seen the replicas
	eventually(t, sentinel, "SENTINEL GET-MASTER-ADDR-BY-NAME m", `"`+port+`"`)
	idle.wantClosed() // by CLIENT KILL TYPE normal
	other.wantClosed()
	other = dial(t, follower)
	eventually(t, other, "INFO replication", "master_port:"+port)
	eventually(t, other, "INFO replication", "master_link_status:up")
	promoted = dial(t, next)
	promoted.want("SET after 1", "+OK")
	eventually(t, other, "GET after", "1")
	sameData(t, promoted, other)
	require.Contains(t, string(promoted.do("ROLE").Elems[0].Str), "master")
	require.Contains(t, string(promoted.do("CLIENT LIST TYPE normal").Str), "name=sentinel-", "it has come again")
	var b []byte
	require.Eventually(t, func() bool {
		b, _ = os.ReadFile(log)
		return strings.Contains(string(b), "+switch-master m ")
	}, time.Minute, 10*time.Millisecond)
	require.NotRegexp(t, `(?i)error|abort|unknown|denied`, string(b))
}
