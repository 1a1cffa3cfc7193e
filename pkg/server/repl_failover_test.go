//go:build unix

package server

import (
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// What FAILOVER refuses, and what else is refused while it is under way, is worded as in Redis.
func TestFailoverAnswersLikeRedis(t *testing.T) {
	_, ours := startServerAt(t)
	var said []string
	for _, addr := range []string{startRedis(t), ours} {
		c, w := dial(t, addr), dial(t, addr)
		all := ""
		for _, line := range []string{
			"", "ABORT", "TIMEOUT", "TIMEOUT 0", "TIMEOUT -1", "TIMEOUT x", "TO", "TO h", "TO h x", "TO h 1 TO h 1", "FORCE FORCE", "FORCE", "TO h 1 FORCE",
			"TIMEOUT 5 TIMEOUT 5", "ABORT TIMEOUT 5", "abort abort", "TO abort 5", "x",
		} {
			all += line + show(c.do("FAILOVER "+line)) + "\n"
		}
		followFake(t, addr) // and acknowledges nothing
		eventually(t, c, "INFO replication", "state=online")
		c.want("SET a 1", "+OK")
		for _, line := range []string{
			"FAILOVER FORCE", "FAILOVER FORCE TIMEOUT 5", "FAILOVER TO 127.0.0.1 0 FORCE", "FAILOVER TO localhost 0", "FAILOVER TO 127.0.0.1 1", "FAILOVER TO 127.0.0.1 99999999999",
			"FAILOVER ABORT", "FAILOVER TO 127.0.0.1 0", "FAILOVER", "FAILOVER x", "REPLICAOF 127.0.0.1 1", "REPLICAOF NO ONE", "SLAVEOF x", "PSYNC ? -1", "SYNC", "CLIENT UNPAUSE", "GET a", "PUBSUB NUMPAT",
		} {
			all += line + show(c.do(line)) + "\n"
		}
		require.Equal(t, "waiting-for-sync", replField(c, "master_failover_state"))
		w.send("SET", "a", "2")
		waitForBlocked(t, addr, 1)
		all += show(c.do("FAILOVER ABORT")) + show(w.read()) + show(c.do("FAILOVER ABORT"))
		c.want("FAILOVER TO 127.0.0.1 0 TIMEOUT 1", "+OK")
		w.want("SET a 3", "+OK") // since nobody has caught up
		eventually(t, c, "INFO replication", "master_failover_state:no-failover")
		require.Equal(t, "master", replField(c, "role"))
		said = append(said, all)
	}
	require.Equal(t, said[0], said[1])
}

// writers write keys of their own without a pause, and note which of them were acknowledged by whom.
type writers struct {
	mu     sync.Mutex
	target string         // whom they write to
	acked  map[string]int // by address
	keys   map[string]bool
	over   atomic.Bool
	wg     sync.WaitGroup
}

func startWriters(t *testing.T, addr string) *writers {
	ws := &writers{target: addr, acked: map[string]int{}, keys: map[string]bool{}}
	for i := range 4 {
		ws.wg.Go(func() {
			for n := 0; !ws.over.Load(); {
				ws.mu.Lock()
				to := ws.target
				ws.mu.Unlock()
				c := dial(t, to)
				for !ws.over.Load() {
					key := fmt.Sprintf("w%d:%d", i, n)
					if show(c.do("SET "+key+" 1")) != "+OK" {
						time.Sleep(time.Millisecond)
						break // it is a replica now
					}
					n++
					ws.mu.Lock()
					ws.acked[to]++
					ws.keys[key] = true
					ws.mu.Unlock()
				}
				c.conn.Close()
			}
		})
	}
	t.Cleanup(ws.stop)
	return ws
}

func (ws *writers) stop() {
	ws.over.Store(true)
	ws.wg.Wait()
}

// moreAt waits until the server at addr has acknowledged n more writes.
func (ws *writers) moreAt(t *testing.T, addr string, n int) {
	count := func() int {
		ws.mu.Lock()
		defer ws.mu.Unlock()
		return ws.acked[addr]
	}
	n += count()
	require.Eventually(t, func() bool { return count() >= n }, time.Minute, time.Millisecond)
}

func (ws *writers) moveTo(addr string) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	ws.target = addr
}

// wantAll requires that a server has all that was acknowledged by anybody.
func (ws *writers) wantAll(t *testing.T, c *testConn) {
	for key := range ws.keys {
		require.Equal(t, `"1"`, show(c.do("GET "+key)), key)
	}
}

// We hand over to a replica of either kind while clients write, and follow it from then on. No write that was
// acknowledged is lost, and those who follow either of us go on without a new snapshot.
func TestFailoverLosesNoWrites(t *testing.T) {
	for _, test := range []struct{ name, how, target string }{
		{"to a real one", "TO %", "real"}, {"to ours", "TO % TIMEOUT 60000", "ours"},
		{"to any", "", "ours"}, {"to any real one", "TIMEOUT 60000", "real"}, {"forced", "TO % FORCE TIMEOUT 60000", "real"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			_, oldAddr := startServerAt(t)
			old := dial(t, oldAddr)
			fill(old, 0, 3)
			options := []string{"--replicaof", hostPort(oldAddr), "--repl-diskless-sync-delay", "0"}
			addr := ""
			if test.target == "ours" {
				_, addr = startServerAt(t, options...)
			} else {
				addr = startRedis(t, options...)
			}
			c := dial(t, addr)
			eventually(t, c, "INFO replication", "master_link_status:up")
			third := dial(t, second(startServer(t, "--replicaof", hostPort(addr))))
			eventually(t, third, "INFO replication", "master_link_status:up")
			brother := dial(t, second(startServer(t, "--replicaof", hostPort(oldAddr)))) // which tells no port
			eventually(t, brother, "INFO replication", "master_link_status:up")
			ws := startWriters(t, oldAddr)
			ws.moreAt(t, oldAddr, 100)
			old.want("FAILOVER "+strings.ReplaceAll(test.how, "%", hostPort(addr)), "+OK")
			ws.moveTo(addr)
			ws.moreAt(t, addr, 100)
			ws.stop()
			require.Equal(t, "no-failover", replField(old, "master_failover_state"))
			eventually(t, old, "INFO replication", "master_link_status:up")
			require.Equal(t, "master", replField(c, "role"))
			ws.wantAll(t, c)
			for _, replica := range []*testConn{old, third, brother} {
				sameData(t, c, replica)
			}
			require.Equal(t, "1", c.info("sync_full"), "only the third one has had a snapshot, and before")
			require.Equal(t, "2", old.info("sync_full"))
			old.want("SET a 1", "-READONLY You can't write against a read only replica.")
			old.want("CONFIG GET replicaof", `*["replicaof" "`+hostPort(addr)+`"]`)
		})
	}
}

// deafReplica is a replica that acknowledges everything, so that it counts as in sync, and that listens on a port
// of its own, to do there what a test wants.
func deafReplica(t *testing.T, master string) (ln net.Listener, port string) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { ln.Close() })
	_, port, _ = net.SplitHostPort(ln.Addr().String())
	r := replicaConn(t, master)
	r.send("REPLCONF", "listening-port", port)
	require.Equal(t, "+OK", r.line())
	r.send("PSYNC", "?", "-1")
	offset := strings.Fields(r.line())[2]
	r.snapshot(t)
	r.send("REPLCONF", "ACK", offset)
	eventually(t, dial(t, master), "INFO replication", "state=online")
	return ln, port
}

// A replica that dies when it is about to take over holds everything up until the failover is aborted: then the master
// is one again, and all is there. So with a real master.
func TestFailoverToOneThatDies(t *testing.T) {
	_, ours := startServerAt(t)
	var seen []string
	for _, addr := range []string{startRedis(t), ours} {
		c, w := dial(t, addr), dial(t, addr)
		ln, port := deafReplica(t, addr)
		ln.Close()
		c.want("FAILOVER TO 127.0.0.1 "+port, "+OK")
		w.send("SET", "a", "1")
		eventually(t, c, "INFO replication", "master_failover_state:failover-in-progress")
		all := replField(c, "role") + show(c.do("SET b 1")) + show(c.do("REPLICAOF NO ONE")) + show(c.do("PSYNC ? -1")) + show(c.do("CLIENT UNPAUSE")) + show(c.do("FAILOVER")) +
			replField(c, "connected_slaves") + show(c.do("CONFIG GET replicaof"))
		old := replField(c, "master_replid")
		c.want("FAILOVER ABORT", "+OK")
		all += show(w.read()) + show(c.do("GET a")) + replField(c, "role") + show(c.do("SET b 1")) + show(c.do("CONFIG GET replicaof"))
		require.Equal(t, old, replField(c, "master_replid2"))
		require.NotEqual(t, old, replField(c, "master_replid"))
		seen = append(seen, strings.ReplaceAll(all, port, "PORT"))
	}
	require.Equal(t, seen[0], seen[1])
}

// One that refuses to take over, or is not what it was, ends the failover by itself.
func TestFailoverToOneThatRefuses(t *testing.T) {
	_, addr := startServerAt(t)
	_, stranger := startServer(t)
	c := dial(t, addr)
	ln, port := deafReplica(t, addr)
	go func() { // it was replaced by a server that knows nothing
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			go fault{-1, -1, false}.carry(conn, stranger)
		}
	}()
	c.want("SET a 1", "+OK")
	c.want("FAILOVER TO 127.0.0.1 "+port+" FORCE TIMEOUT 1", "+OK") // it will say that it is a master
	eventually(t, c, "INFO replication", "master_failover_state:no-failover")
	require.Equal(t, "master", replField(c, "role"))
	c.want("GET a", `"1"`)
	c.want("SET b 1", "+OK")
	dial(t, stranger).want("DBSIZE", ":0")
}

// A master that was restarted asks to be relieved under the name that its stream has now, not under the one of its
// snapshot, or else it would not get on.
func TestFailoverOfARestartedMaster(t *testing.T) {
	dir := t.TempDir()
	s, addr := startServer(t, "--dir", dir)
	c := dial(t, addr)
	followFake(t, addr)
	c.want("SET a 1", "+OK")
	c.want("SAVE", "+OK")
	stopServer(t, s)
	require.FileExists(t, filepath.Join(dir, "dump.rdb"))

	_, addr = startServerAt(t, "--dir", dir)
	c = dial(t, addr)
	c.want("GET a", `"1"`)
	c.want("SET b 1", "+OK")
	_, newAddr := startServerAt(t, "--replicaof", hostPort(addr), "--repl-diskless-sync-delay", "0")
	master := dial(t, newAddr)
	eventually(t, master, "INFO replication", "master_link_status:up")
	c.want("FAILOVER", "+OK")
	eventually(t, c, "INFO replication", "master_failover_state:no-failover")
	eventually(t, c, "INFO replication", "master_link_status:up")
	require.Equal(t, "0", master.info("sync_full"))
	master.want("MGET a b", `*["1" "1"]`)
	sameData(t, master, c)
}

// What WAIT asks of the replicas would move the end of the stream, so it has to wait while a failover waits for it.
func TestWaitDuringAFailover(t *testing.T) {
	_, addr := startServerAt(t)
	c, waiting := dial(t, addr), dial(t, addr)
	r := replicaOf(t, addr)
	eventually(t, c, "INFO replication", "state=online")
	waiting.want("SET a 1", "+OK")
	c.want("FAILOVER", "+OK")
	at := replField(c, "master_repl_offset")
	waiting.send("WAIT", "1", "0")
	waitForBlocked(t, addr, 1)
	require.Equal(t, at, replField(c, "master_repl_offset"))
	c.want("FAILOVER ABORT", "+OK")
	require.Equal(t, "SELECT 0", r.next())
	require.Equal(t, "SET a 1", r.next())
	require.Equal(t, "REPLCONF GETACK *", r.next())
	io.WriteString(r.conn, "REPLCONF ACK "+at+"\r\n")
	require.Equal(t, ":1", show(waiting.read()))
}
