package server

import (
	"sync/atomic"
	"testing"
	"time"

	"byor/pkg/config"

	"github.com/stretchr/testify/require"
)

// waitForBlocked waits until INFO counts so many clients that wait.
func waitForBlocked(t testing.TB, addr string, n int) {
	t.Helper()
	eventually(t, dial(t, addr), "INFO clients", "blocked_clients:"+itoa(n)+`\r\n`)
}

// During a pause the data must not change, not even by expiry: whoever fails over meanwhile relies on it.
func TestNothingExpiresDuringAPause(t *testing.T) {
	_, ours := startServer(t)
	for _, addr := range []string{startRedis(t), ours} {
		c := dial(t, addr)
		c.want("DEBUG SET-ACTIVE-EXPIRE 0", "+OK")
		c.want("SET a 1", "+OK")
		f := followFake(t, addr)
		c.want("SET k v PXAT 1", "+OK")
		c.want("SET l v PXAT 1", "+OK")
		c.want("CLIENT PAUSE 1000000 WRITE", "+OK")
		for _, line := range []string{"GET k", "MGET k l", "EXISTS k", "TTL k", "TYPE k", "OBJECT ENCODING k", "SCAN 0 COUNT 100", "KEYS *"} {
			c.do(line)
		}
		c.want("MULTI", "+OK")
		c.want("GET k", "+QUEUED")
		c.want("EXEC", "*[$(nil)]")
		c.want("GET k", "$(nil)")
		c.want("DBSIZE", ":3")
		c.want("CLIENT UNPAUSE", "+OK")
		c.want("DBSIZE", ":3")
		c.want("GET k", "$(nil)")
		c.want("DBSIZE", ":2")
		require.Equal(t, []string{"SELECT 0", "SET k v PXAT 1", "SET l v PXAT 1", "DEL k"}, f.upTo(c))
	}
}

// Nothing is evicted during a pause, and no write is refused for the lack of memory: it waits, and is
// judged when it comes to its turn.
func TestNothingIsEvictedDuringAPause(t *testing.T) {
	_, ours := startServer(t)
	for _, addr := range []string{startRedis(t), ours} {
		for _, policy := range []string{"noeviction", "allkeys-random"} {
			c, w := dial(t, addr), dial(t, addr)
			c.want("CONFIG SET maxmemory 0 maxmemory-policy "+policy, "+OK")
			c.want("MSET a 1 b 2 c 3", "+OK")
			c.want("CLIENT PAUSE 1000000 WRITE", "+OK")
			c.want("CONFIG SET maxmemory 1", "+OK")
			w.send("SET", "k", "v")
			waitForBlocked(t, addr, 1)
			c.want("GET a", `"1"`)
			c.want("DBSIZE", ":3")
			c.want("CLIENT UNPAUSE", "+OK")
			reply := show(w.read())
			if policy == "noeviction" {
				require.Equal(t, "-OOM command not allowed when used memory > 'maxmemory'.", reply)
			} else {
				eventually(t, c, "EXISTS a b c", ":0")
			}
			c.want("CONFIG SET maxmemory 0", "+OK")
		}
	}
}

// A paused replica does not apply what its master sends, and says so in what it acknowledges; its
// subscribers wait, too.
func TestPausedReplicaHoldsItsMasterBack(t *testing.T) {
	t.Parallel()
	masterAddr := startRedis(t, "--repl-diskless-sync-delay", "0")
	master := dial(t, masterAddr)
	s, ours := startServer(t)
	for _, addr := range []string{startRedis(t), ours} {
		r, sub := dial(t, addr), dial(t, addr)
		r.want("REPLICAOF "+hostPort(masterAddr), "+OK")
		eventually(t, r, "INFO replication", "master_link_status:up")
		sub.do("SUBSCRIBE ch")
		for _, mode := range []string{"WRITE", "ALL"} {
			master.want("SET k before", "+OK")
			master.want("WAIT 1 0", ":1")
			if mode == "ALL" { // which holds UNPAUSE back as well
				r.want("CLIENT PAUSE 700 ALL", "+OK")
			} else {
				r.want("CLIENT PAUSE 1000000 WRITE", "+OK")
			}
			master.want("SET k after", "+OK")
			master.want("PUBLISH ch hi", ":0")
			master.want("WAIT 1 200", ":0")
			if mode == "WRITE" {
				r.want("GET k", `"before"`)
				r.want("CLIENT UNPAUSE", "+OK")
			}
			master.want("WAIT 1 0", ":1")
			r.want("GET k", `"after"`)
			require.Equal(t, `*["message" "ch" "hi"]`, show(sub.read()))
		}
		// What was held back is not this server's any more once it has become a master.
		r.want("CLIENT PAUSE 1000000 WRITE", "+OK")
		master.want("SET k late", "+OK")
		master.want("WAIT 1 200", ":0")
		var link *following
		if addr == ours {
			s.eng.Lock()
			link = s.following
			s.eng.Unlock()
		}
		r.want("REPLICAOF NO ONE", "+OK")
		r.want("CLIENT UNPAUSE", "+OK")
		if link != nil {
			<-link.done
		}
		r.want("GET k", `"after"`)
		eventually(t, master, "INFO replication", "connected_slaves:0")
	}
}

// SHUTDOWN holds writes back while it waits for replicas; that is nothing that CLIENT UNPAUSE may end.
func TestUnpauseDoesNotEndTheWaitOfShutdown(t *testing.T) {
	_, ours := startServer(t, "--shutdown-timeout", "1000")
	for _, addr := range []string{startRedis(t, "--shutdown-timeout", "1000"), ours} {
		c, down, w := dial(t, addr), dial(t, addr), dial(t, addr)
		c.want("SET a 1", "+OK")
		followFake(t, addr) // and acknowledges nothing
		eventually(t, c, "INFO replication", "state=online")
		c.want("SET a 2", "+OK")
		down.send("SHUTDOWN")
		waitForBlocked(t, addr, 1)
		w.send("SET", "a", "3")
		waitForBlocked(t, addr, 2)
		c.want("CLIENT PAUSE 100 ALL", "+OK")
		c.want("CLIENT PAUSE 1000000 WRITE", "+OK") // once the one before is over
		c.want("CLIENT UNPAUSE", "+OK")
		c.want("GET a", `"2"`)
		waitForBlocked(t, addr, 2)
		c.want("SHUTDOWN ABORT", "+OK")
		require.Equal(t, "+OK", show(w.read()))
		require.Equal(t, "-ERR Errors trying to SHUTDOWN. Check logs.", show(down.read()))
	}
}

// The first write after a pause that has run out deletes what has expired meanwhile, though nobody has
// said UNPAUSE: a replica must not be left to apply the write to the old value.
func TestAPauseThatRunsOutHidesNothing(t *testing.T) {
	var now atomic.Int64
	now.Store(time.Now().UnixMilli())
	cfg := config.Default()
	require.NoError(t, cfg.ParseArgs([]string{"--port", "0", "--save", "", "--enable-debug-command", "yes", "--dir", t.TempDir()}))
	_, addr := startWith(t, cfg, Options{Clock: func() time.Time { return time.UnixMilli(now.Load()) }})
	c := dial(t, addr)
	c.want("DEBUG PAUSE-CRON 1", "+OK") // which would notice the end, too
	c.want("SET a 1", "+OK")
	f := followFake(t, addr)
	c.want("SET a old PX 5", "+OK")
	f.upTo(c)
	c.want("CLIENT PAUSE 10 WRITE", "+OK")
	now.Add(9)
	c.want("GET a", "$(nil)")
	now.Add(9)
	c.want("APPEND a new", ":3")
	require.Equal(t, []string{"MULTI", "DEL a", "APPEND a new", "EXEC"}, f.upTo(c))
}
