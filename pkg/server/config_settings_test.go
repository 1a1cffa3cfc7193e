//go:build linux

package server

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"byor/pkg/config"
	"byor/pkg/redistest"
	"byor/pkg/store"

	"github.com/stretchr/testify/require"
)

// The effects of single parameters that no other test is about. See TestEveryParameter.

// option asks the kernel for an option of a socket.
func option(t *testing.T, c any, level, name int) (n int) {
	raw, err := c.(syscall.Conn).SyscallConn()
	require.NoError(t, err)
	require.NoError(t, raw.Control(func(fd uintptr) { n, err = syscall.GetsockoptInt(int(fd), level, name) }))
	require.NoError(t, err)
	return n
}

func TestBacklogOfTheListener(t *testing.T) {
	cfg := config.Default()
	cfg.Port = int64(redistest.Port(t))
	require.NoError(t, config.Find("tcp-backlog").Set(cfg, "7"))
	lns, err := listenTCP(cfg, cfg.Port)
	require.NoError(t, err)
	defer closeAll(lns)
	raw, err := lns[0].(syscall.Conn).SyscallConn()
	require.NoError(t, err)
	var info [104]byte // struct tcp_info: of a listener, tcpi_sacked is the length of the queue
	size := uint32(len(info))
	require.NoError(t, raw.Control(func(fd uintptr) {
		syscall.Syscall6(syscall.SYS_GETSOCKOPT, fd, syscall.IPPROTO_TCP, syscall.TCP_INFO, uintptr(unsafe.Pointer(&info[0])), uintptr(unsafe.Pointer(&size)), 0)
	}))
	require.EqualValues(t, 7, info[28])
}

// from is a connection that says it comes from elsewhere.
type from struct {
	net.Conn
	addr net.Addr
}

func (c from) RemoteAddr() net.Addr { return c.addr }

func TestParametersAtStart(t *testing.T) {
	s, addr := startServer(t, "--databases", "3", "--tcp-keepalive", "77")
	c := dial(t, addr)
	c.want("SELECT 2", "+OK")
	c.want("SELECT 3", "-ERR DB index is out of range")
	ln := listenLoopback(t)
	defer ln.Close()
	client, err := net.Dial("tcp", ln.Addr().String())
	require.NoError(t, err)
	defer client.Close()
	conn, err := ln.Accept()
	require.NoError(t, err)
	defer conn.Close()
	s.tune(conn)
	require.Equal(t, 77, option(t, conn, syscall.IPPROTO_TCP, syscall.TCP_KEEPIDLE))
	c.want("CONFIG SET tcp-keepalive 0", "+OK")
	s.tune(conn)
	require.Zero(t, option(t, conn, syscall.SOL_SOCKET, syscall.SO_KEEPALIVE))
	elsewhere := from{conn, &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1)}}
	refusal := func() string {
		s.eng.Lock()
		defer s.eng.Unlock()
		return s.protectedRefusal(elsewhere)
	}
	require.Contains(t, refusal(), "-DENIED Redis is running in protected mode")
	c.want("CONFIG SET protected-mode no", "+OK")
	require.Empty(t, refusal())
}

func TestQueryBufferLimit(t *testing.T) {
	bothTransports(t, func(t *testing.T, options ...string) {
		_, addr := startServer(t, options...)
		c, big := dial(t, addr), dial(t, addr)
		big.want("PING", "+PONG")
		c.want("CONFIG SET client-query-buffer-limit 1mb", "+OK")
		go func() { // nobody reads the end of it
			fmt.Fprintf(big.conn, "*2\r\n$3\r\nGET\r\n$%d\r\n", 5<<20)
			big.conn.Write(make([]byte, 5<<20))
		}()
		big.wantClosed()
		c.want("PING", "+PONG")
	})
}

func TestLogFollowsItsParameters(t *testing.T) {
	file := filepath.Join(t.TempDir(), "log")
	cfg := config.Default()
	require.NoError(t, cfg.ParseArgs([]string{"--port", "0", "--save", "", "--dir", t.TempDir(), "--logfile", file, "--enable-debug-command", "yes"}))
	s := New(cfg, Options{})
	require.NoError(t, s.Start())
	t.Cleanup(func() { stopServer(t, s) })
	ours, theirs := net.Pipe()
	go s.ServeConn(theirs)
	c := over(t, ours)
	s.logf(levelVerbose, "too quiet")
	c.want("CONFIG SET loglevel verbose", "+OK")
	s.logf(levelVerbose, "loud enough")
	c.want("CONFIG SET loglevel warning", "+OK")
	s.logf(levelNotice, "too quiet again")
	ours.Close()
	b, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Contains(t, string(b), "loud enough")
	require.NotContains(t, string(b), "too quiet")
}

func TestLFUSettings(t *testing.T) {
	s, addr := startServer(t, "--maxmemory-policy", "allkeys-lfu")
	c := dial(t, addr)
	c.want("CONFIG SET lfu-log-factor 0 lfu-decay-time 0", "+OK")
	c.want("SET a 1", "+OK")
	for range 10 {
		c.do("GET a")
	}
	c.want("OBJECT FREQ a", ":15")
	freq := func(minutes int64) int64 {
		s.eng.Lock()
		defer s.eng.Unlock()
		s.eng.Store.SetNow(s.eng.NowMs + minutes*60_000)
		return s.eng.Store.DB(0).Freq(s.eng.Store.DB(0).Peek([]byte("a")))
	}
	require.EqualValues(t, 15, freq(60), "0 is never")
	c.want("CONFIG SET lfu-decay-time 10", "+OK")
	require.EqualValues(t, 9, freq(60))
}

func TestSlowlogSettings(t *testing.T) {
	_, addr := startServer(t)
	c := dial(t, addr)
	c.want("CONFIG SET slowlog-log-slower-than 0 slowlog-max-len 3", "+OK")
	for range 5 {
		c.do("GET x")
	}
	c.want("SLOWLOG LEN", ":3")
	c.want("CONFIG SET slowlog-max-len 1", "+OK")
	c.want("CONFIG SET slowlog-log-slower-than -1", "+OK")
	c.want("GET x", "$(nil)")
	c.want("SLOWLOG LEN", ":1")
}

func TestLatencySettings(t *testing.T) {
	_, addr := startServer(t)
	c := dial(t, addr)
	stats := func() string { return string(c.do("INFO latencystats").Str) }
	c.want("GET x", "$(nil)")
	require.Regexp(t, `latency_percentiles_usec_get:p50=[0-9.]+,p99=[0-9.]+,p99\.9=[0-9.]+\r\n`, stats())
	c.want("CONFIG SET latency-tracking-info-percentiles '12.5 100'", "+OK")
	require.Regexp(t, `latency_percentiles_usec_get:p12\.5=[0-9.]+,p100=[0-9.]+\r\n`, stats())
	c.want("CONFIG SET latency-tracking-info-percentiles ''", "+OK")
	require.Contains(t, stats(), "latency_percentiles_usec_get:\r\n")
	c.want("CONFIG SET latency-tracking no", "+OK")
	c.want("SET x 1", "+OK")
	require.NotContains(t, stats(), "usec_", "nothing is shown, not even what was counted before")
	c.want("LATENCY HISTOGRAM set", "*[]")
	c.want("CONFIG SET latency-tracking yes latency-monitor-threshold 20", "+OK")
	require.Contains(t, stats(), "usec_get:")
	require.NotContains(t, stats(), "usec_set:")
	c.want("DEBUG SLEEP 0.03", "+OK")
	require.Contains(t, show(c.do("LATENCY LATEST")), `"command"`)
	c.want("LATENCY RESET", ":1")
	c.want("CONFIG SET latency-monitor-threshold 0", "+OK")
	c.want("DEBUG SLEEP 0.03", "+OK")
	c.want("LATENCY LATEST", "*[]")
}

// Tables that have become too large shrink with the cron, unless activerehashing says no.
func TestRehashing(t *testing.T) {
	s, addr := startServer(t, "--activerehashing", "no")
	s.eng.Lock()
	require.False(t, s.resizeTables())
	s.eng.Unlock()
	dial(t, addr).want("CONFIG SET activerehashing yes", "+OK")
	s.eng.Lock()
	defer s.eng.Unlock()
	require.True(t, s.resizeTables())
}

func TestLazyDeletesInTheStream(t *testing.T) {
	_, addr := startServer(t, "--maxmemory-policy", "allkeys-random")
	c := dial(t, addr)
	replica := replicaOf(t, addr)
	c.want("CONFIG SET lazyfree-lazy-expire yes lazyfree-lazy-eviction yes lazyfree-lazy-user-del yes", "+OK")
	c.want("DEBUG SET-ACTIVE-EXPIRE 0", "+OK")
	c.want("SET a 1 PX 1", "+OK")
	require.Equal(t, "SELECT 0", replica.next())
	require.Contains(t, replica.next(), "SET a 1 PXAT")
	eventually(t, c, "GET a", "nil")
	require.Equal(t, "UNLINK a", replica.next())
	for _, del := range []string{"GETDEL a", "EXPIRE a -1", "PEXPIREAT a 1", "GETEX a EXAT 1"} {
		c.want("SET a 1", "+OK")
		require.Equal(t, "SET a 1", replica.next())
		c.do(del)
		require.Equal(t, "UNLINK a", replica.next(), del)
	}
	c.want("SET b 1", "+OK")
	require.Equal(t, "SET b 1", replica.next())
	c.want("CONFIG SET maxmemory 1", "+OK")
	require.Equal(t, "UNLINK b", replica.next())
	c.want("CONFIG SET maxmemory 0 lazyfree-lazy-eviction no lazyfree-lazy-user-del no", "+OK")
	c.want("SET a 1", "+OK")
	c.want("GETDEL a", `"1"`)
	require.Equal(t, "SET a 1", replica.next())
	require.Equal(t, "DEL a", replica.next())
	c.want("SET d 1", "+OK")
	require.Equal(t, "SET d 1", replica.next())
	c.want("CONFIG SET maxmemory 1", "+OK")
	require.Equal(t, "DEL d", replica.next())
}

func TestPidFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pid")
	cfg := config.Default()
	require.NoError(t, cfg.ParseArgs([]string{"--port", "0", "--save", "", "--dir", t.TempDir(), "--pidfile", file}))
	ready := make(chan bool, 1)
	s := New(cfg, Options{Log: LogTo(testLog(t)), Listening: func() { ready <- true }})
	ended := make(chan error)
	go func() { ended <- s.Run(context.Background()) }()
	<-ready
	b, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, fmt.Sprintln(os.Getpid()), string(b))
	stopServer(t, s)
	require.NoFileExists(t, file, "the program ends when Shutdown has returned, whatever Run does")
	require.NoError(t, <-ended)
}

// What a signal does is what the words say.
func TestShutdownWords(t *testing.T) {
	dir := t.TempDir()
	s, addr := startServer(t, "--dir", dir, "--shutdown-timeout", "1")
	c := dial(t, addr)
	c.want("SET a 1", "+OK")
	c.want("CONFIG SET shutdown-on-sigint nosave shutdown-on-sigterm 'save now'", "+OK")
	require.NoError(t, s.ShutdownOn(context.Background(), os.Interrupt))
	require.NoFileExists(t, filepath.Join(dir, "dump.rdb"))
	s, addr = startServer(t, "--dir", dir, "--shutdown-on-sigterm", "save now")
	dial(t, addr).want("SET a 1", "+OK")
	require.NoError(t, s.ShutdownOn(context.Background(), syscall.SIGTERM))
	require.FileExists(t, filepath.Join(dir, "dump.rdb"))
}

// A replica that acknowledges nothing is waited for no longer than shutdown-timeout says when the shutdown begins.
func TestShutdownTimeout(t *testing.T) {
	_, addr := startServer(t, "--shutdown-timeout", "100000")
	c := dial(t, addr)
	replica := replicaOf(t, addr)
	c.want("SET a 1", "+OK")
	require.Equal(t, "SELECT 0", replica.next())
	c.want("CONFIG SET shutdown-timeout 0", "+OK")
	c.send("SHUTDOWN", "NOSAVE")
	c.wantClosed()
}

func TestSnapshotSettings(t *testing.T) {
	dir := t.TempDir()
	_, addr := startServer(t, "--dir", dir)
	c := dial(t, addr)
	c.want("SET a "+strings.Repeat("x", 10000), "+OK")
	size := func() int64 {
		c.want("SAVE", "+OK")
		st, err := os.Stat(filepath.Join(dir, "dump.rdb"))
		require.NoError(t, err)
		return st.Size()
	}
	require.Less(t, size(), int64(1000))
	c.want("CONFIG SET rdbcompression no", "+OK")
	require.Greater(t, size(), int64(10000))
	_, addr = startServer(t, "--dir", dir, "--rdbchecksum", "no")
	c = dial(t, addr)
	size()
	b, err := os.ReadFile(filepath.Join(dir, "dump.rdb"))
	require.NoError(t, err)
	require.Equal(t, make([]byte, 8), b[len(b)-8:])
}

func TestLogSettings(t *testing.T) {
	dir := t.TempDir()
	s, addr := startServer(t, "--dir", dir, "--appendonly", "yes", "--appenddirname", "logs", "--appendfilename", "my.aof")
	c := dial(t, addr)
	c.want("CONFIG SET aof-timestamp-enabled yes", "+OK")
	c.want("SET a 1", "+OK")
	b, err := os.ReadFile(filepath.Join(dir, "logs", "my.aof.1.incr.aof"))
	require.NoError(t, err)
	require.Contains(t, string(b), "#TS:")
	c.want("CONFIG SET no-appendfsync-on-rewrite yes", "+OK")
	s.eng.Lock()
	defer s.eng.Unlock()
	require.True(t, s.cfg.NoFsyncOnRewrite)
	require.False(t, s.eng.Snapshotting())
}

func TestReplicaSettings(t *testing.T) {
	_, master := startServer(t)
	s, addr := startServer(t, "--replica-announce-ip", "10.9.8.7", "--replica-announce-port", "777", "--replicaof", hostPort(master))
	c, m := dial(t, addr), dial(t, master)
	eventually(t, c, "INFO replication", "master_link_status:up")
	eventually(t, m, "INFO replication", "ip=10.9.8.7,port=777,")
	c.want("SET a 1", "-READONLY You can't write against a read only replica.")
	c.want("CONFIG SET replica-read-only no replica-priority 7 replica-announced no", "+OK")
	c.want("SET a 1", "+OK")
	require.Equal(t, "7", replField(c, "slave_priority"))
	require.Equal(t, "0", replField(c, "replica_announced"))
	over := func() bool {
		s.eng.Lock()
		defer s.eng.Unlock()
		return s.eng.OverMemory()
	}
	c.want("CONFIG SET maxmemory 1", "+OK")
	require.False(t, over())
	c.want("CONFIG SET replica-ignore-maxmemory no", "+OK")
	require.True(t, over())
	c.want("CONFIG SET maxmemory 0", "+OK")
	c.want("CONFIG SET replica-serve-stale-data no", "+OK")
	c.want("GET a", `"1"`)
	c.want("REPLICAOF 127.0.0.1 1", "+OK")
	c.want("GET a", "-MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.")
	c.want("CONFIG SET replica-serve-stale-data yes", "+OK")
	require.NotContains(t, show(c.do("GET a")), "MASTERDOWN")
}

// A link that is refused for want of a password comes up when it is set.
func TestLinkSettingsAtRunTime(t *testing.T) {
	_, master := startServer(t, "--requirepass", "secret")
	_, addr := startServer(t, "--replicaof", hostPort(master))
	c := dial(t, addr)
	eventually(t, c, "INFO replication", "master_link_status:down")
	c.want("CONFIG SET masteruser default masterauth secret", "+OK")
	eventually(t, c, "INFO replication", "master_link_status:up")
}

func TestBacklogSize(t *testing.T) {
	s, addr := startServer(t)
	c := dial(t, addr)
	c.want("CONFIG SET repl-backlog-size 20000", "+OK")
	replica := replicaOf(t, addr)
	require.Equal(t, "20000", replField(c, "repl_backlog_size"), "set before there was one")
	c.want("CONFIG SET repl-backlog-size 2mb", "+OK")
	require.Equal(t, "2097152", replField(c, "repl_backlog_size"))
	require.Equal(t, "1", replField(c, "repl_backlog_active"))
	replica.Close()
	eventually(t, c, "INFO replication", "connected_slaves:0")
	c.want("CONFIG SET repl-backlog-ttl 1", "+OK")
	s.eng.Lock()
	s.forgetBacklog(s.sawReplica.Add(2 * time.Second))
	s.eng.Unlock()
	require.Equal(t, "0", replField(c, "repl_backlog_active"))
}

func TestReplicationTimesAtRunTime(t *testing.T) {
	t.Parallel() // it waits for pings and time-outs of a second
	_, addr := startServer(t)
	c := dial(t, addr)
	replica := replicaOf(t, addr)
	c.want("CONFIG SET repl-ping-replica-period 1", "+OK")
	require.Equal(t, "ping", replica.next(), "ten seconds have not passed")
	c.want("CONFIG SET repl-timeout 1", "+OK")
	io.Copy(io.Discard, replica.conn) // until it is ended, since it never says a word
	eventually(t, c, "INFO replication", "connected_slaves:0")

	silent := listenLoopback(t)
	defer silent.Close()
	c.want("REPLICAOF "+hostPort(silent.Addr().String()), "+OK")
	for range 2 { // it gives up on a master that says nothing, and comes again
		conn, err := silent.Accept()
		require.NoError(t, err)
		defer conn.Close()
	}
}

func TestNoDelayOfReplicas(t *testing.T) {
	a, b := listenLoopback(t), config.Default()
	defer a.Close()
	client, err := net.Dial("tcp", a.Addr().String())
	require.NoError(t, err)
	defer client.Close()
	conn, err := a.Accept()
	require.NoError(t, err)
	defer conn.Close()
	tuneReplica(b, conn)
	require.NotZero(t, option(t, conn, syscall.IPPROTO_TCP, syscall.TCP_NODELAY))
	require.NoError(t, config.Find("repl-disable-tcp-nodelay").Set(b, "yes"))
	tuneReplica(b, conn)
	require.Zero(t, option(t, conn, syscall.IPPROTO_TCP, syscall.TCP_NODELAY))
}

func TestEncodingSettings(t *testing.T) {
	t.Cleanup(store.Encodings.Reset)
	_, addr := startServer(t)
	c := dial(t, addr)
	for _, in := range []struct{ set, fill, small, large string }{
		{"hash-max-listpack-entries 2", "HSET k f%[1]d v", "listpack", "hashtable"},
		{"hash-max-listpack-value 5", "HSET k f %[2]s", "listpack", "hashtable"},
		{"set-max-intset-entries 2", "SADD k %[1]d", "intset", "hashtable"},
		{"zset-max-listpack-entries 2", "ZADD k 1 m%[1]d", "listpack", "skiplist"},
		{"zset-max-listpack-value 5", "ZADD k 1 %[2]s", "listpack", "skiplist"},
	} {
		c.do("DEL k")
		c.want("CONFIG SET "+in.set, "+OK")
		c.do(fmt.Sprintf(in.fill+"%.0[2]s", 1, "x"))
		c.want("OBJECT ENCODING k", fmt.Sprintf("%q", in.small))
		for i := range 3 {
			c.do(fmt.Sprintf(in.fill+"%.0[2]s", i, strings.Repeat("y", 6+i)))
		}
		c.want("OBJECT ENCODING k", fmt.Sprintf("%q", in.large))
	}
	c.want("RPUSH l 1 2 3 4 5", ":5")
	one := show(c.do("DUMP l"))
	c.want("CONFIG SET list-max-listpack-size 2", "+OK")
	c.do("DEL l")
	c.want("RPUSH l 1 2 3 4 5", ":5")
	require.NotEqual(t, one, show(c.do("DUMP l")), "a node a list, and three")
	c.want("CONFIG SET hll-sparse-max-bytes 0", "+OK")
	c.want("PFADD h a", ":1")
	require.EqualValues(t, 12304, c.do("STRLEN h").Int, "dense at once")
}

// stream-node-max-entries and -bytes say when a node is full, which XTRIM with ~ shows.
func TestStreamNodeSettings(t *testing.T) {
	t.Cleanup(store.Encodings.Reset)
	servers := []*testConn{dial(t, second(startServer(t)))}
	if redistest.Has("redis-server") {
		servers = append(servers, dial(t, startRedis(t)))
	}
	for _, in := range []struct{ entries, bytes, left int64 }{{10, 4096, 10}, {100, 200, 11}, {0, 200, 11}, {0, 0, 50}, {7, 0, 15}} {
		for _, c := range servers {
			c.do("DEL s")
			c.want(fmt.Sprintf("CONFIG SET stream-node-max-entries %d stream-node-max-bytes %d", in.entries, in.bytes), "+OK")
			for i := range 50 {
				c.do(fmt.Sprintf("XADD s %d-1 f %s", i+1, strings.Repeat("v", 42)))
			}
			c.do("XTRIM s MAXLEN ~ 10")
			require.EqualValues(t, in.left, c.do("XLEN s").Int, "%+v", in)
		}
	}
}

func TestEvictionSettings(t *testing.T) {
	s, addr := startServer(t, "--maxmemory-policy", "allkeys-lru")
	c := dial(t, addr)
	for _, tenacity := range []int64{0, 20, 100} {
		c.want(fmt.Sprint("CONFIG SET maxmemory-eviction-tenacity ", tenacity), "+OK")
		s.eng.Lock()
		require.Equal(t, tenacity, s.eng.Settings.EvictionTenacity) // what it does: TestTimeOfAnEviction of the engine
		s.eng.Unlock()
	}
}
