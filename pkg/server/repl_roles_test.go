package server

import (
	"strings"
	"testing"
	"time"

	"byor/pkg/config"
	"byor/pkg/redistest"
	"byor/pkg/resp"

	"github.com/stretchr/testify/require"
)

const unblocked = "-UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)"

// waits are the commands that wait, for keys or for replicas.
var waits = []string{
	"WAIT 1 0", "WAIT 1 1000000", "BLPOP x 0", "BRPOP x y 1000", "BLMOVE x y LEFT LEFT 0", "BRPOPLPUSH x y 0", "BLMPOP 0 1 x LEFT",
	"BZPOPMIN x 0", "BZPOPMAX x 0", "BZMPOP 0 1 x MIN", "XREAD BLOCK 0 STREAMS x $", "XREADGROUP GROUP g c BLOCK 0 STREAMS xg >",
}

// Whoever waits when a master becomes a replica is told, and loses the connection: what it waits for
// is not decided here any more. The other way nobody has to stop waiting.
func TestWaitsEndWithTheRole(t *testing.T) {
	master, other := startRedis(t), startRedis(t)
	bothTransports(t, func(t *testing.T, options ...string) {
		_, ours := startServer(t, options...)
		for _, addr := range []string{startRedis(t), ours} {
			c := dial(t, addr)
			c.want("XGROUP CREATE xg g $ MKSTREAM", "+OK")
			var waiting []*testConn
			for _, line := range waits {
				w := dial(t, addr)
				w.send(words(t, line)...)
				w.send("PING") // which is never answered
				waiting = append(waiting, w)
			}
			sub, multi := dial(t, addr), dial(t, addr)
			sub.do("SUBSCRIBE ch")
			multi.want("MULTI", "+OK")
			multi.want("GET x", "+QUEUED")
			waitForBlocked(t, addr, len(waits))
			c.want("REPLICAOF "+hostPort(master), "+OK")
			for i, w := range waiting {
				require.Equal(t, unblocked, show(w.read()), waits[i])
				w.wantClosed()
			}
			waitForBlocked(t, addr, 0)
			multi.want("EXEC", "*[$(nil)]")
			sub.want("PING", `*["pong" ""]`)

			for i := range 2 { // reading is allowed on a replica, so XREAD may wait there
				x := dial(t, addr)
				x.send("XREAD", "BLOCK", "0", "STREAMS", "x", "$")
				waitForBlocked(t, addr, 1)
				if i == 0 {
					c.want("REPLICAOF "+hostPort(other), "+OK")
					require.Equal(t, unblocked, show(x.read()))
					x.wantClosed()
					continue
				}
				c.want("REPLICAOF NO ONE", "+OK")
				c.want("XADD x 1-1 f v", `"1-1"`)
				require.Equal(t, `*[*["x" *[*["1-1" *["f" "v"]]]]]`, show(x.read()))
			}
		}
	})
}

// What CLIENT PAUSE holds back has not begun: it goes on after the change, and finds a replica.
func TestPausedClientsOutliveTheRole(t *testing.T) {
	master := startRedis(t)
	_, ours := startServer(t)
	for _, addr := range []string{startRedis(t), ours} {
		c, w, b := dial(t, addr), dial(t, addr), dial(t, addr)
		c.want("CLIENT PAUSE 1000000 WRITE", "+OK")
		w.send("SET", "a", "1")
		b.send("BLPOP", "x", "0")
		waitForBlocked(t, addr, 2)
		c.want("REPLICAOF "+hostPort(master), "+OK")
		waitForBlocked(t, addr, 2)
		c.want("CLIENT UNPAUSE", "+OK")
		for _, c := range []*testConn{w, b} {
			require.Equal(t, "-READONLY You can't write against a read only replica.", show(c.read()))
		}
	}
}

// Replicas of ours stay when we look for another master: they have to go only when the stream becomes
// another one.
func TestReplicasStayUntilTheStreamChanges(t *testing.T) {
	t.Parallel()
	master := startRedis(t, "--repl-diskless-sync-delay", "0")
	brotherAddr := startRedis(t, "--replicaof", hostPort(master), "--repl-diskless-sync-delay", "0")
	m, brother := dial(t, master), dial(t, brotherAddr)
	eventually(t, brother, "INFO replication", "master_link_status:up")
	_, ours := startServer(t)
	for _, addr := range []string{startRedis(t, "--repl-diskless-sync-delay", "0"), ours} {
		c := dial(t, addr)
		c.want("REPLICAOF "+hostPort(master), "+OK")
		eventually(t, c, "INFO replication", "master_link_status:up")
		m.want("SET k "+addr, "+OK")
		eventually(t, c, "GET k", addr)
		eventually(t, brother, "GET k", addr)
		f := followFake(t, addr)
		eventually(t, c, "INFO replication", "state=online")
		c.want("REPLICAOF 127.0.0.1 1", "+OK") // nobody is there
		eventually(t, c, "INFO replication", "master_link_status:down")
		f.wantOpen()
		c.want("REPLICAOF "+hostPort(brotherAddr), "+OK") // whose stream is the same, under the same name
		eventually(t, c, "INFO replication", "master_link_status:up")
		f.wantOpen()
		c.want("REPLICAOF NO ONE", "+OK")
		f.wantClosed()
	}
}

func TestPsyncFailoverAsRealRedis(t *testing.T) {
	master := startRedis(t, "--repl-diskless-sync-delay", "0")
	_, ours := startServer(t)
	for _, addr := range []string{startRedis(t), ours} {
		c := dial(t, addr)
		c.want("PSYNC ? -1 FAILOVER", "-ERR PSYNC FAILOVER can't be sent to a master.")
		c.want("PSYNC ? x FAILOVER more", "-ERR PSYNC FAILOVER can't be sent to a master.")
		c.want("REPLICAOF "+hostPort(master), "+OK")
		eventually(t, c, "INFO replication", "master_link_status:up")
		c.want("PSYNC ? -1 FAILOVER", "-ERR PSYNC FAILOVER replid must match my replid.")
		c.want("PSYNC "+strings.Repeat("a", 40)+" x failover", "-ERR PSYNC FAILOVER replid must match my replid.")
		c.want("CONFIG GET replicaof", `*["replicaof" "`+hostPort(master)+`"]`)
		id, offset := replField(c, "master_replid"), replField(c, "master_repl_offset")
		f := followFake(t, addr)
		eventually(t, c, "INFO replication", "state=online")

		next, ok := resp.ParseInt([]byte(offset))
		require.True(t, ok)
		old := dial(t, addr)
		old.want("REPLCONF capa psync2", "+OK")
		old.send("PSYNC", strings.ToUpper(id), itoa(next+1), "FAILOVER")
		old.conn.SetReadDeadline(time.Now().Add(time.Minute))
		answer, err := old.rd.ReadValue()
		require.NoError(t, err)
		require.Equal(t, "+CONTINUE "+replField(c, "master_replid"), show(answer))
		f.wantClosed()
		require.Equal(t, "master", replField(c, "role"))
		require.Equal(t, id, replField(c, "master_replid2"))
		require.Equal(t, itoa(next+1), replField(c, "second_repl_offset"))
		c.want("CONFIG GET replicaof", `*["replicaof" ""]`)
		c.want("SET a 1", "+OK")
		require.Equal(t, `*["SELECT" "0"]`, show(old.read()))
		require.Equal(t, `*["SET" "a" "1"]`, show(old.read()))
	}
}

// startServerAt is startServer on a port that the server knows, as FAILOVER TO wants it.
func startServerAt(t testing.TB, options ...string) (*Server, string) {
	t.Helper()
	port := itoa(redistest.Port(t))
	cfg := config.Default()
	require.NoError(t, cfg.ParseArgs(append([]string{"--port", port, "--save", "", "--enable-debug-command", "yes", "--dir", t.TempDir(), "--repl-diskless-sync-delay", "0"}, options...)))
	return startWith(t, cfg, Options{})
}

// A real master hands over to us, and follows us from then on.
func TestRealMasterFailsOverToUs(t *testing.T) {
	for _, test := range []struct {
		name, how string
		behind    bool
		full      string
	}{
		{"TO", "TO %", false, "sync_full:0"},
		{"to the only replica", "", false, "sync_full:0"},
		{"with a timeout", "TIMEOUT 60000", false, "sync_full:0"},
		{"forced while we are behind", "TO % FORCE TIMEOUT 100", true, "sync_full:1"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			oldAddr := startRedis(t, "--repl-diskless-sync-delay", "0")
			old := dial(t, oldAddr)
			fill(old, 0, 3)
			_, addr := startServerAt(t, "--replicaof", hostPort(oldAddr), "--repl-diskless-sync-delay", "0")
			c := dial(t, addr)
			eventually(t, c, "INFO replication", "master_link_status:up")
			old.want("WAIT 1 0", ":1")
			if test.behind {
				c.want("CLIENT PAUSE 1000000 WRITE", "+OK")
				old.want("SET late 1", "+OK")
			}
			old.want("FAILOVER "+strings.ReplaceAll(test.how, "%", hostPort(addr)), "+OK")
			eventually(t, old, "INFO replication", "master_failover_state:no-failover")
			eventually(t, old, "INFO replication", "role:slave")
			eventually(t, old, "INFO replication", "master_link_status:up")
			require.Equal(t, "master", replField(c, "role"))
			c.want("CLIENT UNPAUSE", "+OK")
			fill(c, 3, 3)
			sameData(t, c, old)
			require.Contains(t, string(c.do("INFO stats").Str), test.full)
			old.want("SET a 1", "-READONLY You can't write against a read only replica.")
		})
	}
}

// A real master that cannot fail over to us in time stays what it is, and so do we.
func TestFailoverToUsThatTimesOut(t *testing.T) {
	oldAddr := startRedis(t, "--repl-diskless-sync-delay", "0")
	old := dial(t, oldAddr)
	_, addr := startServerAt(t, "--replicaof", hostPort(oldAddr))
	c := dial(t, addr)
	eventually(t, c, "INFO replication", "master_link_status:up")
	old.want("WAIT 1 0", ":1")
	c.want("CLIENT PAUSE 1000000 WRITE", "+OK")
	old.want("SET late 1", "+OK")
	old.want("FAILOVER TO "+hostPort(addr)+" TIMEOUT 50", "+OK")
	eventually(t, old, "INFO replication", "master_failover_state:no-failover")
	require.Equal(t, "master", replField(old, "role"))
	require.Equal(t, "slave", replField(c, "role"))
	c.want("CLIENT UNPAUSE", "+OK")
	old.want("SET later 1", "+OK")
	old.want("WAIT 1 0", ":1")
	sameData(t, old, c)
}

// On a writable replica keys may be made that the master knows nothing of. They expire here; the
// master's own do when it says so.
func TestWritableReplicaExpiresItsOwnKeys(t *testing.T) {
	t.Parallel()
	masterAddr := startRedis(t, "--repl-diskless-sync-delay", "0")
	m := dial(t, masterAddr)
	m.want("DEBUG SET-ACTIVE-EXPIRE 0", "+OK")
	_, ours := startServer(t, "--replica-read-only", "no")
	for _, addr := range []string{startRedis(t, "--replica-read-only", "no"), ours} {
		m.want("FLUSHALL", "+OK")
		c := dial(t, addr)
		c.want("REPLICAOF "+hostPort(masterAddr), "+OK")
		eventually(t, c, "INFO replication", "master_link_status:up")
		m.want("SET theirs v PX 1", "+OK")
		m.want("SET theirs2 1 PX 1", "+OK")
		m.want("SET kept v", "+OK")
		m.want("WAIT 1 0", ":1")
		c.want("SET own v PX 20", "+OK")
		c.want("LPUSH own2 v", ":1")
		c.want("PEXPIRE own2 20", ":1")
		c.want("SET own3 v PX 20", "+OK")
		c.want("PERSIST own3", ":1")
		c.want("EXPIRE kept -1", ":1") // that is in the past, and its own doing
		eventually(t, c, "DBSIZE", ":3")
		c.want("KEYS *", `*["own3"]`)
		c.want("EXISTS theirs theirs2", ":0")
		c.want("DBSIZE", ":3") // to look does not delete what is the master's
		c.want("INCR theirs2", ":1")
		c.want("TTL theirs2", ":-1")
		c.want("REPLICAOF NO ONE", "+OK")
		eventually(t, c, "DBSIZE", ":2")
	}
}

// A command of a client's on a writable replica meets keys of the master's whose time is over: what it answers, and
// what is left, is the same as on a real one. DEL and UNLINK find them, and only they do.
func TestWritableReplicaMeetsExpiredKeys(t *testing.T) {
	t.Parallel()
	masterAddr := startRedis(t, "--repl-diskless-sync-delay", "0")
	m := dial(t, masterAddr)
	m.want("DEBUG SET-ACTIVE-EXPIRE 0", "+OK")
	_, ours := startServer(t, "--replica-read-only", "no", "--enable-debug-command", "yes")
	var replicas []*testConn
	for _, addr := range []string{startRedis(t, "--replica-read-only", "no"), ours} {
		c := dial(t, addr)
		c.want("REPLICAOF "+hostPort(masterAddr), "+OK")
		eventually(t, c, "INFO replication", "master_link_status:up")
		replicas = append(replicas, c)
	}
	for _, line := range []string{
		"DEL s", "DEL s l h", "UNLINK s l", "DEL s s", "GETDEL s", "GET s", "EXPIRE s 100", "PERSIST s", "SET s x NX", "SET s x XX", "SET s x GET", "SET s x KEEPTTL",
		"GETSET s x", "APPEND s x", "INCR s", "SETRANGE s 1 x", "RENAME s t", "RENAMENX s t", "COPY s t", "EXISTS s", "TTL s", "TYPE s", "STRLEN s", "SETNX s x",
		"LPUSHX l x", "RPUSH l x", "LPOP l", "LLEN l", "LMOVE l t LEFT LEFT", "LTRIM l 0 0", "SORT l STORE t", "HSET h f v", "HDEL h f", "HINCRBY h f 1", "HGETALL h",
		"SDIFFSTORE t u", "SADD u x", "SPOP u", "ZADD z 1 x", "ZUNIONSTORE t 1 z", "ZPOPMIN z", "BITOP NOT t s", "PFADD s x", "TOUCH s", "MSETNX s x n y", "GETEX s EX 100",
		"MOVE s 1", "DUMP s", "OBJECT ENCODING s", "MGET s s", "XADD x * f v", "RESTORE s 0 x", "SMOVE u t x", "PFMERGE t s", "ZRANGESTORE t z 0 -1", "SINTERSTORE t u", "SUNIONSTORE t u", "ZINTERSTORE t 1 z",
		"ZDIFFSTORE t 1 z", "GEOSEARCHSTORE t z FROMLONLAT 0 0 BYRADIUS 1 m", "GEORADIUS z 0 0 1 m STORE t", "COPY n s REPLACE", "COPY n s", "PFCOUNT s",
	} {
		m.want("FLUSHALL", "+OK")
		for _, make := range []string{"SET s 1", "RPUSH l 1 2", "HSET h f 1", "SADD u 1", "ZADD z 1 a", "XADD x 1-1 f v"} {
			m.do(make)
			m.do("PEXPIRE " + strings.Fields(make)[1] + " 1")
		}
		m.want("WAIT 2 0", ":2")
		var got [2]string
		for i, c := range replicas {
			for _, key := range strings.Split("slhuzx", "") {
				eventually(t, c, "TTL "+key, ":-2")
			}
			reply := show(c.do(line))
			if strings.HasPrefix(line, "XADD") {
				reply = "an ID"
			}
			got[i] = reply + ", left " + show(c.do("DBSIZE"))
			c.do("SELECT 1")
			got[i] += show(c.do("DBSIZE"))
			c.do("SELECT 0")
		}
		require.Equal(t, got[0], got[1], line)
	}
}
