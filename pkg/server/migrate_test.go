//go:build unix

package server

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"byor/pkg/redistest"
	"byor/pkg/resp"

	"github.com/stretchr/testify/require"
)

// MIGRATE answers as a real one does, and does the same, from either to either.
func TestMigrateLikeRedis(t *testing.T) {
	redis, ours := startRedis(t), second(startServer(t))
	targets := []string{startRedis(t), second(startServer(t))}
	lines := []string{
		"MIGRATE % k 0", "MIGRATE % k 0 x", "MIGRATE % k x 10", "MIGRATE % k x y", "MIGRATE % k 0 10000 x", "MIGRATE % k 0 10000 AUTH", "MIGRATE % k 0 10000 AUTH2 u",
		"MIGRATE % k 0 10000 KEYS k", "MIGRATE % none 0 10000", `MIGRATE % "" 0 10000 KEYS`, `MIGRATE % "" 0 10000 KEYS none none2`, `MIGRATE % "" 0 10000`,
		"MIGRATE % k 0 10000", "MIGRATE % k 0 10000", "MIGRATE % list 0 10000 COPY", "MIGRATE % list 0 10000 COPY", "MIGRATE % list 0 10000 copy replace", "MIGRATE % list 0 10000",
		"MIGRATE % list 99 10000", "MIGRATE % list 3 10000", "MIGRATE % hash 3 10000 REPLACE", "MIGRATE % zset 0 0", "MIGRATE % set 0 -5",
		"MIGRATE % stream 0 10000 AUTH wrong", "MIGRATE % stream 0 10000 AUTH2 u p", "MIGRATE % stream 0 10000", "MIGRATE % ttl 0 10000",
		`MIGRATE % "" 0 10000 KEYS m1 list m2 none m1`, `MIGRATE % "" 0 10000 REPLACE KEYS m3 m3 m4`, `MIGRATE % "" 5 10000 COPY REPLACE KEYS m5 m6`, `MIGRATE % "" 5 10000 KEYS m6 m5`,
		"MIGRATE 127.0.0.1 1 m5 0 1000", "MIGRATE 127.0.0.1 port m5 0 1000", "MIGRATE 127.0.0.1 1 none 0 1000",
	}
	for _, target := range targets {
		var said, left []string
		for _, source := range []string{redis, ours} {
			c, there := dial(t, source), dial(t, target)
			for _, one := range []*testConn{c, there} {
				one.want("FLUSHALL", "+OK")
			}
			for _, line := range []string{
				"SET k v", "RPUSH list a b c", "HSET hash f v g w", "ZADD zset 1 a 2 b", "SADD set a b", "XADD stream 1-1 f v", "SET ttl v PX 1000000",
				"MSET m1 1 m2 2 m3 3 m4 4 m5 5 m6 6",
			} {
				c.do(line)
			}
			replies := ""
			for _, line := range lines {
				replies += line + " " + show(c.do(strings.ReplaceAll(line, "%", hostPort(target)))) + "\n"
			}
			ttl := there.do("PTTL ttl").Int
			require.True(t, 900_000 < ttl && ttl <= 1_000_000, ttl)
			there.want("PERSIST ttl", ":1")
			said = append(said, replies)
			left = append(left, show(c.do("DEBUG DIGEST"))+show(there.do("DEBUG DIGEST")))
		}
		require.Equal(t, said[0], said[1])
		require.Equal(t, left[0], left[1])
	}
	require.Equal(t, dial(t, redis).info("migrate_cached_sockets"), dial(t, ours).info("migrate_cached_sockets"))
}

// A password goes along, and is shown to nobody.
func TestMigrateLogsIn(t *testing.T) {
	target := startRedis(t, "--requirepass", "secret", "--user", "u", "on", ">word", "~*", "&*", "+@all")
	for _, source := range []string{startRedis(t), second(startServer(t))} {
		c, watch := dial(t, source), dial(t, source)
		c.want("MSET a 1 b 2 c 3", "+OK")
		c.want("CONFIG SET slowlog-log-slower-than 0", "+OK")
		c.want("MIGRATE "+hostPort(target)+" a 0 10000", "-ERR Target instance replied with error: NOAUTH Authentication required.")
		watch.want("MONITOR", "+OK")
		c.want("MIGRATE "+hostPort(target)+" a 0 10000 REPLACE AUTH secret", "+OK")
		c.want("MIGRATE "+hostPort(target)+" b 0 10000 REPLACE AUTH2 u word", "+OK")
		c.want("MIGRATE "+hostPort(target)+" c 0 10000 REPLACE AUTH2 u wrong",
			"-ERR Target instance replied with error: WRONGPASS invalid username-password pair or user is disabled.")
		for range 3 {
			require.Contains(t, show(watch.read()), `(redacted)`)
		}
		log := show(c.do("SLOWLOG GET 10"))
		require.Contains(t, log, `"(redacted)"`)
		require.NotContains(t, log, "secret")
		require.NotContains(t, log, "word")
		c.want("DBSIZE", ":1")
	}
}

// To replicas and the log it is a DEL of what has arrived, also out of a transaction or a script.
func TestMigrateIsReplicatedAsDel(t *testing.T) {
	target := second(startServer(t))
	var effects [][]string
	for _, source := range []string{startRedis(t), second(startServer(t))} {
		there := dial(t, target)
		there.want("FLUSHALL", "+OK")
		there.want("SET c there", "+OK")
		c := dial(t, source)
		c.want("MSET a 1 b 2 c 3 d 4 e 5 f 6 g 7", "+OK")
		f := followFake(t, source)
		c.want("MIGRATE "+hostPort(target)+` "" 0 10000 KEYS a c b`, "-ERR Target instance replied with error: BUSYKEY Target key name already exists.")
		c.want("MIGRATE "+hostPort(target)+" d 0 10000 COPY", "+OK")
		c.want("MULTI", "+OK")
		c.want("SET x 1", "+QUEUED")
		c.want("MIGRATE "+hostPort(target)+" e 0 10000", "+QUEUED")
		c.want("EXEC", "*[+OK +OK]")
		c.want("EVAL \"return redis.call('MIGRATE', ARGV[1], ARGV[2], KEYS[1], 0, 10000)\" 1 f "+hostPort(target), "+OK")
		c.want("MIGRATE "+hostPort(target)+" none 0 10000", "+NOKEY")
		effects = append(effects, f.upTo(c))
		there.want("MGET a b c d e f", `*["1" "2" "there" "4" "5" "6"]`)
		c.want("MGET a b c d e f g", `*[$(nil) $(nil) "3" "4" $(nil) $(nil) "7"]`)
	}
	require.Contains(t, effects[0], "DEL a b")
	require.Equal(t, effects[0], effects[1])
}

// faultyTarget stands between MIGRATE and a server, and does to each connection what the next fault says.
type faultyTarget struct {
	addr   string
	mu     sync.Mutex
	faults []fault
}

// fault says how a connection ends: after so many bytes there and answers back, by being closed or by silence.
// negative: never.
type fault struct {
	bytes, answers int
	silent         bool
}

func startFaulty(t *testing.T, target string) *faultyTarget {
	f := &faultyTarget{}
	f.addr = redistest.Accept(t, func(conn net.Conn) {
		f.mu.Lock()
		how := fault{-1, -1, false}
		if len(f.faults) > 0 {
			how, f.faults = f.faults[0], f.faults[1:]
		}
		f.mu.Unlock()
		how.carry(conn, target)
	})
	return f
}

func (how fault) carry(conn net.Conn, target string) {
	there, err := net.Dial("tcp", target)
	if err != nil {
		return
	}
	defer there.Close()
	over := func() {
		if !how.silent {
			conn.Close()
		}
	}
	go func() { // what goes there
		n := int64(how.bytes)
		if how.bytes < 0 {
			n = 1 << 40
		}
		io.Copy(there, io.LimitReader(conn, n))
		if how.bytes >= 0 {
			over()
		} else {
			there.Close()
		}
	}()
	rd := bufio.NewReader(there)
	for n := 0; how.answers < 0 || n < how.answers; n++ {
		line, err := rd.ReadString('\n')
		if err != nil {
			return
		}
		io.WriteString(conn, line)
	}
	over()
	io.Copy(io.Discard, rd)
}

// Whatever happens to the connection, the reply is a real one's, and no key is lost: what was not acknowledged is
// still here.
func TestMigrateToAFailingTarget(t *testing.T) {
	t.Parallel()
	targets := map[string]string{}
	sources := []string{startRedis(t), second(startServer(t))}
	for _, source := range sources {
		targets[source] = second(startServer(t))
	}
	never := fault{-1, -1, false}
	for name, faults := range map[string][]fault{
		"closed at once, twice":        {{0, -1, false}, {0, -1, false}},
		"closed at once, then well":    {{0, -1, false}, never},
		"closed before SELECT answers": {{-1, 0, false}, never},
		"closed before the first key":  {{-1, 1, false}, never},
		"closed after one key":         {{-1, 2, false}, never},
		"closed after two keys":        {{-1, 3, false}, never},
		"silent at once":               {{0, -1, true}, never},
		"silent before the first key":  {{-1, 1, true}, never},
		"silent after one key":         {{-1, 2, true}, never},
		"cut in the middle":            {{70, -1, false}, {70, -1, false}},
		"silent in the middle":         {{70, -1, true}, never},
		"well":                         {never},
	} {
		var said []string
		for _, source := range sources {
			c, there := dial(t, source), dial(t, targets[source])
			c.want("FLUSHALL", "+OK")
			there.want("FLUSHALL", "+OK")
			c.want("MSET a 1 b 2 c 3", "+OK")
			f := startFaulty(t, targets[source])
			f.faults = append(f.faults, faults...)
			for _, option := range []string{"", "REPLACE"} {
				reply := c.do("MIGRATE " + hostPort(f.addr) + ` "" 0 60 ` + option + " KEYS a b c")
				said = append(said, show(reply)+" left "+show(c.do("MGET a b c")))
				for _, key := range []string{"a", "b", "c"} {
					require.Eventually(t, func() bool { // the target may have some of it still before it
						return c.do("EXISTS "+key).Int+there.do("EXISTS "+key).Int > 0
					}, time.Minute, time.Millisecond, "%s: %s is lost", name, key)
				}
			}
		}
		require.Equal(t, said[0], said[2], name)
		require.Equal(t, said[1], said[3], name)
	}
}

// Wherever the connection is cut, on the way there or back, each key is on one of the two servers at least, and none
// is deleted twice or half.
func TestMigrateCutAnywhere(t *testing.T) {
	t.Parallel()
	_, addr := startServer(t)
	_, target := startServer(t)
	c, there := dial(t, addr), dial(t, target)
	both := 0
	for n := range 200 {
		c.want("FLUSHALL", "+OK")
		there.want("FLUSHALL", "+OK")
		c.want("MSET a 1 b 2 c 3", "+OK")
		how := fault{n, -1, false}
		if n < 6 {
			how = fault{-1, n, false}
		}
		f := startFaulty(t, target)
		f.faults = []fault{how, how}
		reply := show(c.do("MIGRATE " + hostPort(f.addr) + ` "" 0 10000 REPLACE KEYS a b c`))
		for i, key := range []string{"a", "b", "c"} {
			here := show(c.do("GET " + key))
			if here == "$(nil)" {
				require.Equal(t, fmt.Sprintf(`"%d"`, i+1), show(there.do("GET "+key)), "%d: %s", n, reply)
				continue
			}
			require.Equal(t, fmt.Sprintf(`"%d"`, i+1), here)
			require.NotEqual(t, "+OK", reply)
			both++
		}
	}
	require.NotZero(t, both)
}

// A connection that was kept and that the other side has closed is no reason to fail.
func TestMigrateOverAStaleConnection(t *testing.T) {
	target := startRedis(t)
	for _, source := range []string{startRedis(t), second(startServer(t))} {
		c, there := dial(t, source), dial(t, target)
		for i := range 5 {
			c.want(fmt.Sprint("SET k", i, " v"), "+OK")
			c.want(fmt.Sprint("MIGRATE ", hostPort(target), " k", i, " ", i%2, " 10000 REPLACE"), "+OK")
			require.Equal(t, "1", c.info("migrate_cached_sockets"))
			require.NotZero(t, there.do("CLIENT KILL TYPE normal SKIPME yes").Int)
		}
	}
}

// held is a target that takes what it is sent, and answers when it is told to.
type held struct {
	addr string
	conn chan net.Conn
}

func startHeld(t *testing.T) *held {
	h := &held{conn: make(chan net.Conn, 9)}
	h.addr = redistest.Accept(t, func(conn net.Conn) { h.conn <- conn })
	return h
}

// restores waits for a RESTORE and returns the connection that it came over.
func (h *held) restores(t *testing.T) net.Conn {
	conn := <-h.conn
	rd := resp.NewCommandReader(conn)
	for {
		conn.SetReadDeadline(time.Now().Add(time.Minute))
		args, err := rd.ReadCommand()
		require.NoError(t, err)
		if string(args[0]) == "RESTORE" {
			return conn
		}
	}
}

// While the other server is waited for, others can read, and writes wait. A client that has left meanwhile changes
// nothing about what becomes of its key; REPLICAOF does, since the data are not this server's any more.
func TestMigrateHoldsUpOnlyWrites(t *testing.T) {
	_, addr := startServer(t, "--replica-read-only", "no")
	c, mover, writer := dial(t, addr), dial(t, addr), dial(t, addr)
	h := startHeld(t)
	move := "MIGRATE " + hostPort(h.addr) + " k 0 100000"
	begin := func(who *testConn) net.Conn {
		c.want("MSET k v l w", "+OK")
		who.send(words(t, move)...)
		return h.restores(t)
	}

	conn := begin(mover)
	c.want("GET k", `"v"`)
	c.want("CLIENT UNPAUSE", "+OK")
	c.want("CLIENT UNBLOCK "+itoa(idOf(t, c, "migrate")), ":0")
	writer.send("APPEND", "k", "x")
	waitForBlocked(t, addr, 2)
	io.WriteString(conn, "+OK\r\n+OK\r\n")
	require.Equal(t, "+OK", show(mover.read()))
	require.Equal(t, ":1", show(writer.read()), "the key was not there any more")
	conn.Close()

	leaver := dial(t, addr)
	conn = begin(leaver)
	leaver.conn.Close()
	eventually(t, c, "INFO clients", "blocked_clients:0")
	io.WriteString(conn, "+OK\r\n+OK\r\n")
	eventually(t, c, "EXISTS k", ":0")
	c.want("SET free 1", "+OK")
	conn.Close()

	conn = begin(mover)
	c.want("REPLICAOF 127.0.0.1 1", "+OK")
	require.Equal(t, "-UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)", show(mover.read()))
	io.WriteString(conn, "+OK\r\n+OK\r\n")
	c.want("SET free 2", "+OK") // once it is over
	c.want("GET k", `"v"`)

	conn.Close()
	c.want("REPLICAOF NO ONE", "+OK")
	mover = dial(t, addr)
	conn = begin(mover)
	c.want("REPLICAOF 127.0.0.1 1", "+OK")
	c.want("REPLICAOF NO ONE", "+OK")
	require.Contains(t, show(mover.read()), "-UNBLOCKED")
	io.WriteString(conn, "+OK\r\n+OK\r\n")
	c.want("SET free 3", "+OK")
	c.want("GET k", `"v"`) // another master may have changed it meanwhile
}

// idOf returns the ID of the client whose last command is cmd.
func idOf(t *testing.T, c *testConn, cmd string) (id int64) {
	for line := range strings.Lines(string(c.do("CLIENT LIST").Str)) {
		if strings.Contains(line, " cmd="+cmd+" ") {
			_, err := fmt.Sscanf(line, "id=%d", &id)
			require.NoError(t, err)
		}
	}
	return id
}
