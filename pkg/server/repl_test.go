package server

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// eventually waits until a line of INFO replication (or any reply) says what it should.
func eventually(t testing.TB, c *testConn, cmd, want string) {
	t.Helper()
	last := ""
	require.Eventually(t, func() bool {
		last = show(c.do(cmd))
		return strings.Contains(last, want)
	}, time.Minute, 10*time.Millisecond, "%s: want %s", cmd, want)
}

func hostPort(addr string) string {
	h, p, _ := net.SplitHostPort(addr)
	return h + " " + p
}

// sameData waits until both have come to the same offset and requires that they have the same DEBUG
// DIGEST there. The offset may move at any moment, by a ping or by a key that expires: only digests
// between two looks at the same offset are of the same data.
func sameData(t testing.TB, a, b *testConn) {
	t.Helper()
	offsets := func() string {
		of := replField(a, "master_repl_offset")
		if replField(b, "master_repl_offset") != of {
			return ""
		}
		return of
	}
	var first, second string
	require.Eventually(t, func() bool {
		of := offsets()
		if of == "" {
			return false
		}
		first, second = show(a.do("DEBUG DIGEST")), show(b.do("DEBUG DIGEST"))
		return offsets() == of
	}, time.Minute, 10*time.Millisecond, "one offset of both")
	require.Equal(t, first, second)
}

func replField(c *testConn, name string) string {
	for line := range strings.Lines(string(c.do("INFO replication").Str)) {
		if k, v, ok := strings.Cut(strings.TrimSpace(line), ":"); ok && k == name {
			return v
		}
	}
	return ""
}

// fill writes keys of every type, some with an expiry time, in two databases. When it returns, the keys that
// were to expire have expired, so that from then on the stream moves only by what the test does.
func fill(c *testConn, from, n int) {
	exists := "EXISTS"
	for i := from; i < from+n; i++ {
		for _, cmd := range []string{
			"SET s%d v%[1]d", "SET e%d v EX 100000", "INCR n%d", "INCRBYFLOAT f%d 1.5", "RPUSH l%d a b c", "LPOP l%[1]d",
			"HSET h%d f v g w", "HINCRBYFLOAT h%[1]d x 0.5", "SADD set%d 1 2 3 x", "SPOP set%[1]d", "ZADD z%d 1.5 a 2 b",
			"XADD st%d * f v", "SETEX x%d 1000 v", "GETEX s%d EX 5000", "SELECT 3", "SET other%d 1", "SELECT 0",
			"SET gone%d 1 PX 1", "PFADD hll%d a b c", "SETBIT bit%d 7 1",
		} {
			if strings.Contains(cmd, "%") {
				cmd = fmt.Sprintf(cmd, i)
			}
			c.do(cmd)
		}
		exists += fmt.Sprint(" gone", i)
	}
	eventually(c.t, c, exists, ":0")
}

func TestRealRedisFollowsUs(t *testing.T) {
	bothTransports(t, func(t *testing.T, options ...string) {
		_, addr := startServer(t, options...)
		c := dial(t, addr)
		fill(c, 0, 20)
		redis := dial(t, startRedis(t, "--replicaof", hostPort(addr)))
		eventually(t, redis, "INFO replication", "master_link_status:up")
		fill(c, 20, 20)
		c.do("MULTI")
		c.do("SET m1 1")
		c.do("RPUSH m2 a")
		c.do("EXEC")
		c.want("WAIT 1 10000", ":1")
		sameData(t, c, redis)
		require.Contains(t, show(c.do("ROLE")), "master")
		require.Equal(t, "1", replField(c, "connected_slaves"))
		// Its messages reach the replica's subscribers.
		redis.do("SUBSCRIBE ch")
		c.do("PUBLISH ch hi")
		require.Equal(t, `*["message" "ch" "hi"]`, show(redis.read()))
	})
}

func TestWeFollowRealRedis(t *testing.T) {
	for _, diskless := range []string{"yes", "no"} {
		redisAddr := startRedis(t, "--repl-diskless-sync", diskless, "--repl-diskless-sync-delay", "0")
		redis := dial(t, redisAddr)
		fill(redis, 0, 20)
		_, addr := startServer(t, "--replicaof", hostPort(redisAddr))
		c := dial(t, addr)
		eventually(t, c, "INFO replication", "master_link_status:up")
		fill(redis, 20, 20)
		redis.want("WAIT 1 10000", ":1")
		sameData(t, redis, c)
		c.want("SET a 1", "-READONLY You can't write against a read only replica.")
		require.Contains(t, show(c.do("ROLE")), `"slave" "127.0.0.1"`)
	}
}

// A link that is cut is taken up where it was, in both directions.
func TestPartialResync(t *testing.T) {
	_, addr := startServer(t)
	c := dial(t, addr)
	fill(c, 0, 3)
	redis := dial(t, startRedis(t, "--replicaof", hostPort(addr)))
	eventually(t, redis, "INFO replication", "master_link_status:up")
	c.want("CLIENT KILL TYPE replica", ":1")
	fill(c, 3, 3)
	eventually(t, c, "INFO stats", "sync_partial_ok:1")
	sameData(t, c, redis)
	require.Contains(t, string(c.do("INFO stats").Str), "sync_full:1\r\n")

	_, thirdAddr := startServer(t, "--replicaof", hostPort(addr))
	third := dial(t, thirdAddr)
	eventually(t, third, "INFO replication", "master_link_status:up")
	c.want("CLIENT KILL TYPE replica", ":2")
	fill(c, 6, 3)
	eventually(t, c, "INFO stats", "sync_partial_ok:3")
	sameData(t, c, third)
}

// A replica that is promoted goes on with the same stream: its brother follows it without a full
// resync. A chain hands on the stream as it is.
func TestPromotionAndChain(t *testing.T) {
	_, aAddr := startServer(t)
	a := dial(t, aAddr)
	fill(a, 0, 3)
	_, bAddr := startServer(t, "--replicaof", hostPort(aAddr))
	b := dial(t, bAddr)
	eventually(t, b, "INFO replication", "master_link_status:up")
	redis := dial(t, startRedis(t, "--replicaof", hostPort(bAddr))) // a chain: a → b → redis
	eventually(t, redis, "INFO replication", "master_link_status:up")
	fill(a, 3, 3)
	sameData(t, a, b)
	sameData(t, a, redis)

	old := replField(b, "master_replid")
	b.want("REPLICAOF NO ONE", "+OK")
	require.Equal(t, old, replField(b, "master_replid2"))
	eventually(t, redis, "INFO replication", "master_link_status:up")
	a.want("REPLICAOF "+hostPort(bAddr), "+OK")
	eventually(t, a, "INFO replication", "master_link_status:up")
	fill(b, 6, 3)
	sameData(t, b, a)
	sameData(t, b, redis)
	require.Contains(t, string(b.do("INFO stats").Str), "sync_full:1\r\n") // the chain's first one
}

func TestWaitAndMinReplicas(t *testing.T) {
	_, addr := startServer(t, "--min-replicas-to-write", "1", "--min-replicas-max-lag", "10")
	c := dial(t, addr)
	c.want("SET a 1", "-NOREPLICAS Not enough good replicas to write.")
	c.want("WAIT 1 20", ":0")
	c.want("WAIT x 1", "-ERR value is not an integer or out of range")
	c.want("WAIT 1 -1", "-ERR timeout is negative")
	redis := dial(t, startRedis(t, "--replicaof", hostPort(addr)))
	eventually(t, redis, "INFO replication", "master_link_status:up")
	eventually(t, c, "SET a 1", "+OK")
	c.want("WAIT 1 0", ":1")
	c.want("MULTI", "+OK")
	c.do("WAIT 5 0")
	require.Equal(t, "*[:1]", show(c.do("EXEC")))
}

// What has expired on the master is hidden on the replica, and deleted when the master says so.
func TestReplicaDoesNotExpireByItself(t *testing.T) {
	_, addr := startServer(t)
	c := dial(t, addr)
	s, rAddr := startServer(t, "--replicaof", hostPort(addr))
	r := dial(t, rAddr)
	eventually(t, r, "INFO replication", "master_link_status:up")
	c.want("DEBUG SET-ACTIVE-EXPIRE 0", "+OK")
	c.want("SET k v PX 50", "+OK")
	eventually(t, r, "DBSIZE", ":1")
	eventually(t, r, "GET k", "nil")
	s.eng.Lock()
	require.Equal(t, 1, s.eng.Store.DB(0).Len())
	s.eng.Unlock()
	c.want("GET k", "$(nil)")
	eventually(t, r, "DBSIZE", ":0")
}
