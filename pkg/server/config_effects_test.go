//go:build unix

package server

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"byor/pkg/config"
	"byor/pkg/redistest"

	"github.com/stretchr/testify/require"
)

// A parameter that is accepted does here what it does in Redis, from that moment on; what this server
// cannot do is refused by name. testdata/config-parameters.txt is CONFIG GET * of 7.0.15: each of its
// names has a row here, or is one of those that have nothing to change.
func TestEveryParameter(t *testing.T) {
	f, err := os.Open(filepath.Join("testdata", "config-parameters.txt"))
	require.NoError(t, err)
	defer f.Close()
	tests := testSources(t)
	_, addr := startServer(t)
	c := dial(t, addr)
	for sc := bufio.NewScanner(f); sc.Scan(); {
		name := sc.Text()
		p := config.Find(name)
		require.NotNil(t, p, "%s is unknown", name)
		if p.Inert {
			refusesAllButTheDefault(t, c, p, name)
			continue
		}
		shown := shownBy[p.Name]
		require.NotEmpty(t, shown, "%s: no test shows its effect", name)
		require.Contains(t, tests[shown], p.Name, "%s: %s does not set it", name, shown)
	}
}

// sameWhatever are the parameters about how Redis does something inside that is done another way here, with the
// same effect for every value. See sameParams.
var sameWhatever = []string{"lazyfree-lazy-server-del", "lazyfree-lazy-user-flush", "replica-lazy-flush", "io-threads-do-reads",
	"sanitize-dump-payload", "dynamic-hz", "tls-session-cache-size", "tls-prefer-server-ciphers", "tls-dh-params-file"}

// refusesAllButTheDefault tries a parameter that asks for something this server cannot do with values of all
// kinds. One of them is a good one for Redis, and refused for what it asks.
func refusesAllButTheDefault(t *testing.T, c *testConn, p *config.Param, name string) {
	def := p.Get(config.Default())
	c.send("CONFIG", "SET", name, def)
	is := show(c.read())
	if p.Immutable {
		require.Contains(t, is, "can't set immutable config", name)
	} else {
		require.Equal(t, "+OK", is, name)
	}
	if slices.Contains(sameWhatever, p.Name) {
		return
	}
	unsupported := 0
	for _, v := range []string{"yes", "no", "1", "7", "systemd", "local1", "swapdb", "panic", "allchannels", "hostname", "optional", "relative", "1 2 3", "KEA", "!"} {
		err := p.Set(config.Default(), v)
		if v == def {
			require.NoError(t, err, name)
			continue
		}
		require.Error(t, err, "%s %s", name, v)
		if strings.Contains(err.Error(), "does not support any value but") || p.Name == "activedefrag" && strings.Contains(err.Error(), "cannot be enabled") {
			unsupported++
		}
		c.send("CONFIG", "SET", name, v)
		require.Contains(t, show(c.read()), "-ERR CONFIG SET failed (possibly related to argument '"+name+"')")
	}
	require.NotZero(t, unsupported, "%s: none of the values is one for Redis", name)
	require.Equal(t, def, string(c.do("CONFIG GET " + name).Elems[1].Str), name)
}

// testSources returns the tests of this package by name, each with the functions of the tests that it calls.
func testSources(t *testing.T) map[string]string {
	files, err := filepath.Glob("*_test.go")
	require.NoError(t, err)
	for _, beside := range []string{"diff", "../logs"} {
		more, err := filepath.Glob(beside + "/*_test.go")
		require.NoError(t, err)
		files = append(files, more...)
	}
	functions := map[string]string{}
	for _, f := range files {
		b, err := os.ReadFile(f)
		require.NoError(t, err)
		for _, m := range regexp.MustCompile(`(?ms)^func (\w+).*?^}`).FindAllStringSubmatch(string(b), -1) {
			functions[m[1]] = m[0]
		}
	}
	sources := map[string]string{}
	for name, source := range functions {
		sources[name] = source
		for _, m := range regexp.MustCompile(`\b(\w+)\(`).FindAllStringSubmatch(source, -1) {
			sources[name] += functions[m[1]]
		}
	}
	return sources
}

// shownBy names the test that tries the parameter's effect.
var shownBy = map[string]string{
	"bind": "TestMoveListeners", "busy-reply-threshold": "TestBusyScript", "port": "TestMoveListeners", "unixsocket": "TestUnixSocket", "unixsocketperm": "TestUnixSocket",
	"tcp-backlog": "TestBacklogOfTheListener", "tcp-keepalive": "TestParametersAtStart", "timeout": "TestIdleClientsAreClosed",
	"aclfile": "TestUsersInAFile", "acl-pubsub-default": "TestRightsOfNewUsers", "acllog-max-len": "TestLogOfDenials",
	"protected-mode": "TestParametersAtStart", "maxclients": "TestMaxClientsAtRunTime", "requirepass": "TestPasswordAtRunTime",
	"proto-max-bulk-len": "TestLimitsAtRunTime", "client-query-buffer-limit": "TestQueryBufferLimit",
	"client-output-buffer-limit": "TestSlowSubscriberIsDisconnected", "databases": "TestParametersAtStart",
	"io-threads": "TestWrapSeesEveryByte", "hz": "TestHzIsTheCronsPace", "loglevel": "TestLogFollowsItsParameters",
	"logfile": "TestLogFollowsItsParameters", "maxmemory": "TestEvictionPolicies", "maxmemory-policy": "TestEvictionPolicies",
	"maxmemory-samples": "TestEvictionPolicies", "maxmemory-eviction-tenacity": "TestEvictionSettings",
	"lfu-log-factor": "TestLFUSettings", "lfu-decay-time": "TestLFUSettings", "slowlog-log-slower-than": "TestSlowlogSettings",
	"slowlog-max-len": "TestSlowlogSettings", "latency-monitor-threshold": "TestLatencySettings", "latency-tracking": "TestLatencySettings",
	"latency-tracking-info-percentiles": "TestLatencySettings", "active-expire-effort": "TestExpiryBudget", "activerehashing": "TestRehashing",
	"lazyfree-lazy-expire": "TestLazyDeletesInTheStream", "lazyfree-lazy-eviction": "TestLazyDeletesInTheStream", "lazyfree-lazy-user-del": "TestLazyDeletesInTheStream",
	"pidfile": "TestPidFile", "daemonize": "TestServiceSettings", "supervised": "TestServiceSettings",
	"syslog-enabled": "TestSyslog", "syslog-ident": "TestSyslog", "syslog-facility": "TestSyslog",
	"shutdown-timeout": "TestShutdownTimeout", "shutdown-on-sigterm": "TestShutdownWords",
	"shutdown-on-sigint": "TestShutdownWords", "enable-debug-command": "TestProtectedCommands",
	"enable-protected-configs": "TestProtectedCommands", "enable-module-command": "TestProtectedCommands",
	"dir": "TestProtectedCommands", "dbfilename": "TestSnapshotBothWays", "save": "TestSavePointsAndMisconf",
	"rdbcompression": "TestSnapshotSettings", "rdbchecksum": "TestSnapshotSettings", "stop-writes-on-bgsave-error": "TestSavePointsAndMisconf",
	"appendonly": "TestAppendonlyLive", "appendfilename": "TestLogSettings", "appenddirname": "TestLogSettings",
	"appendfsync": "TestAppendonlyLive", "aof-load-truncated": "TestStartup", "aof-use-rdb-preamble": "TestAppendonlyLive",
	"aof-timestamp-enabled": "TestLogSettings", "auto-aof-rewrite-percentage": "TestAutomaticRewrite",
	"auto-aof-rewrite-min-size": "TestAutomaticRewrite", "no-appendfsync-on-rewrite": "TestLogSettings",
	"replicaof": "TestWeFollowRealRedis", "masterauth": "TestLinkSettingsAtRunTime", "masteruser": "TestLinkSettingsAtRunTime",
	"replica-read-only": "TestReplicaSettings", "replica-serve-stale-data": "TestReplicaSettings", "replica-priority": "TestReplicaSettings",
	"replica-announce-ip": "TestReplicaSettings", "replica-announce-port": "TestReplicaSettings", "replica-announced": "TestReplicaSettings",
	"replica-ignore-maxmemory": "TestReplicaSettings", "repl-backlog-size": "TestBacklogSize", "repl-backlog-ttl": "TestBacklogSize",
	"repl-ping-replica-period": "TestReplicationTimesAtRunTime", "repl-timeout": "TestReplicationTimesAtRunTime",
	"repl-diskless-sync": "TestSharedSnapshot", "repl-diskless-sync-delay": "TestSharedSnapshot", "repl-diskless-sync-max-replicas": "TestSharedSnapshot",
	"repl-disable-tcp-nodelay": "TestNoDelayOfReplicas", "min-replicas-to-write": "TestWaitAndMinReplicas",
	"min-replicas-max-lag":      "TestWaitAndMinReplicas",
	"hash-max-listpack-entries": "TestEncodingSettings", "hash-max-listpack-value": "TestEncodingSettings",
	"set-max-intset-entries": "TestEncodingSettings", "zset-max-listpack-entries": "TestEncodingSettings",
	"zset-max-listpack-value": "TestEncodingSettings", "list-max-listpack-size": "TestEncodingSettings",
	"stream-node-max-bytes": "TestStreamNodeSettings", "stream-node-max-entries": "TestStreamNodeSettings",
	"hll-sparse-max-bytes": "TestEncodingSettings", "notify-keyspace-events": "TestKeyEventClasses", "tracking-table-max-keys": "TestTrackingTableLimit", "maxmemory-clients": "TestEvictionOfClients",
	"tls-port": "TestTLSPortMoves", "tls-cert-file": "TestTLSReload", "tls-key-file": "TestTLSReload", "tls-ca-cert-file": "TestTLSReloadEndsSessions",
	"tls-ca-cert-dir": "TestTLSFiles", "tls-key-file-pass": "TestTLSFiles", "tls-client-cert-file": "TestTLSFiles", "tls-client-key-file": "TestTLSFiles",
	"tls-client-key-file-pass": "TestTLSFiles", "tls-protocols": "TestTLSFiles", "tls-auth-clients": "TestTLSClientCertificates",
	"tls-replication": "TestTLSReplication", "tls-cluster": "TestTLSMigrate", "tls-session-caching": "TestTLSReloadEndsSessions",
	"tls-session-cache-timeout": "TestTLSReloadEndsSessions",
}

// What each value is answered with, and what the parameter is afterwards, on both servers.
func TestParameterValuesLikeRedis(t *testing.T) {
	ours := dial(t, second(startServer(t)))
	theirs := dial(t, startRedis(t, "--repl-diskless-sync-delay", "0"))
	for _, row := range []string{
		"hz 0", "hz -1", "hz 501", "hz 1000", "hz 50", "latency-tracking-info-percentiles '10 50 a'", "latency-tracking-info-percentiles ''",
		"latency-tracking-info-percentiles 101", "latency-tracking-info-percentiles '-1'", "latency-tracking-info-percentiles '33.3333333333 1e1 99.9'",
		"latency-tracking-info-percentiles nan", "latency-tracking yes", "latency-tracking maybe", "port 99999", "port x", "repl-backlog-size 0",
		"repl-backlog-size 1", "repl-backlog-size 5mb", "maxmemory -1", "maxmemory 10%", "maxmemory 1g", "maxmemory 1GB", "maxmemory 0x10", "maxmemory 0",
		"repl-timeout 0", "repl-timeout 5", "tcp-keepalive -1", "client-output-buffer-limit 'normal 0 0'", "client-output-buffer-limit 'foo 0 0 0'",
		"client-output-buffer-limit 'replica 1mb 0 0 pubsub 5 4 3'", "save 'a b'", "save ''", "save 1", "save '10 1 20 2'", "save '0 1'", "activedefrag yes",
		"sanitize-dump-payload clients", "sanitize-dump-payload bad", "maxclients 0", "shutdown-on-sigterm 'save nosave'", "shutdown-on-sigterm bad",
		"shutdown-on-sigint ''", "shutdown-on-sigint 'NOW force'", "shutdown-timeout -1", "list-max-listpack-size -6", "list-max-listpack-size -2",
		"list-max-listpack-size 0", "maxmemory-eviction-tenacity 101", "maxmemory-eviction-tenacity 0", "active-expire-effort 0", "active-expire-effort 10",
		"loglevel bad", "loglevel NOTICE", "appendfsync bad", "slowlog-max-len -1", "slowlog-log-slower-than -1", "slowlog-log-slower-than -2",
		"latency-monitor-threshold -1", "maxmemory-samples 0", "maxmemory-policy best", "min-replicas-to-write -1", "replica-priority -1", "timeout -1",
		"replica-announced no", "replica-announced yes", "replica-announce-port 70000", "auto-aof-rewrite-percentage -1", "auto-aof-rewrite-min-size 1k",
		"lfu-log-factor -1", "hll-sparse-max-bytes -1", "proto-max-bulk-len 1", "proto-max-bulk-len 1mb", "client-query-buffer-limit 1", "set-max-intset-entries -1",
		"zset-max-listpack-value -1", "stream-node-max-bytes -1", "stream-node-max-entries -1", "stream-node-max-entries 7", "repl-diskless-sync-delay -1",
		"repl-diskless-sync-max-replicas 2", "lazyfree-lazy-expire yes", "lazyfree-lazy-user-del maybe", "databases 3", "io-threads 4", "nosuch 1",
		"hz", "hz 1 hz 2", "hz 7 nosuch 1", "hz 8 timeout -1", "timeout 0 HZ 9", "replica-lazy-flush yes slave-lazy-flush no", "slave-priority 7", "requirepass ''",
		"unixsocketperm 700", "replicaof 'a 1'", "cluster-enabled yes", "activerehashing no", "dynamic-hz no", "repl-ping-replica-period 0", "repl-ping-slave-period 3",
		"hz abc nosuch 1", "hz abc databases 5", "databases 5 hz abc", "timeout 01", "timeout +1", "timeout ' 1'", "timeout -0", "timeout 9223372036854775808",
		"hll-sparse-max-bytes ''", "hll-sparse-max-bytes b", "hll-sparse-max-bytes 99999999999999999999", "hll-sparse-max-bytes 1.5", "hll-sparse-max-bytes 1tb",
		"repl-backlog-size ''", "proto-max-bulk-len 99999999999999999999", "maxmemory ''", "maxmemory '1 mb'", "save '10  1'", "save ' '", "save '10 '", "save '10 1'",
		"client-output-buffer-limit ''", "client-output-buffer-limit 'normal  0 0 0'", "client-output-buffer-limit 'normal 0 0 1.5'",
		"shutdown-on-sigint 'force now save save'", "shutdown-on-sigint 'default force'", "shutdown-on-sigint 'save  now'", "shutdown-on-sigint default",
		"latency-tracking-info-percentiles '50  99'", "latency-tracking-info-percentiles '0x10 0x1p4'", "latency-tracking-info-percentiles ' 1'",
		"bind '1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17'",
		"list-compress-depth x", "list-compress-depth -1", "list-compress-depth 0", "active-defrag-ignore-bytes 100mb", "active-defrag-ignore-bytes ''",
		"active-defrag-cycle-max 100", "maxmemory-clients 0%", "maxmemory-clients 0mb", "maxmemory-clients 101%", "maxmemory-clients -5%", "maxmemory-clients x",
		"notify-keyspace-events xyz", "notify-keyspace-events ''", "oom-score-adj maybe", "oom-score-adj-values '1 2'", "oom-score-adj-values '0 1 3000'",
		"tls-auth-clients maybe", "tls-session-cache-size x", "repl-diskless-load maybe", "cluster-preferred-endpoint-type x", "cluster-node-timeout -1",
		"crash-log-enabled maybe", "ignore-warnings ''", "acl-pubsub-default x", "busy-reply-threshold -1",
	} {
		line := "CONFIG SET " + row
		require.Equal(t, show(theirs.do(line)), show(ours.do(line)), line)
		name, _, _ := strings.Cut(row, " ")
		if name == "port" || name == "bind" { // each has its own
			continue
		}
		get := "CONFIG GET " + name
		require.Equal(t, show(theirs.do(get)), show(ours.do(get)), line)
	}
}

// CONFIG SET port and bind move the door; who is inside stays, and where the new one cannot be opened the old
// stays open.
func TestMoveListeners(t *testing.T) {
	first, next, taken := fmt.Sprint(redistest.Port(t)), fmt.Sprint(redistest.Port(t)), listenLoopback(t)
	defer taken.Close()
	_, busy, _ := net.SplitHostPort(taken.Addr().String())
	cfg := config.Default()
	require.NoError(t, cfg.ParseArgs([]string{"--port", first, "--save", "", "--dir", t.TempDir()}))
	s := New(cfg, Options{Log: LogTo(testLog(t))})
	require.NoError(t, s.listen())
	require.NoError(t, s.Start())
	t.Cleanup(func() { stopServer(t, s) })
	inside := dial(t, "127.0.0.1:"+first)
	inside.want("CONFIG SET port "+busy, "-ERR CONFIG SET failed (possibly related to argument 'port') - Unable to listen on this port. Check server logs.")
	inside.want("CONFIG GET port", fmt.Sprintf("*[%q %q]", "port", first))
	dial(t, "127.0.0.1:"+first).want("PING", "+PONG")
	inside.want("CONFIG SET port "+next, "+OK")
	inside.want("PING", "+PONG")
	dial(t, "127.0.0.1:"+next).want("PING", "+PONG")
	_, err := net.Dial("tcp", "127.0.0.1:"+first)
	require.Error(t, err)
	inside.want("CONFIG SET bind 192.0.2.1", "-ERR CONFIG SET failed (possibly related to argument 'bind') - Failed to bind to specified addresses.")
	dial(t, "127.0.0.1:"+next).want("CONFIG GET bind", `*["bind" "127.0.0.1"]`)
	inside.want("CONFIG SET bind '127.0.0.1  -::1'", "-ERR CONFIG SET failed (possibly related to argument 'bind') - Failed to bind to specified addresses.")
	dial(t, "127.0.0.1:"+next).want("CONFIG GET bind", `*["bind" "127.0.0.1"]`)
	inside.want("CONFIG SET bind '127.0.0.1 -::1 -192.0.2.1'", "+OK")
	dial(t, "127.0.0.1:"+next).want("PING", "+PONG")
	inside.want("CONFIG SET port 0", "+OK")
	_, err = net.Dial("tcp", "127.0.0.1:"+next)
	require.Error(t, err)
	inside.want("PING", "+PONG")
}

// maxclients turns away at once, and is refused where the system has fewer descriptors.
func TestMaxClientsAtRunTime(t *testing.T) {
	_, addr := startServer(t)
	c := dial(t, addr)
	c.want("CONFIG SET maxclients 1", "+OK")
	require.Equal(t, "-ERR max number of clients reached", show(dial(t, addr).read()))
	c.want("CONFIG SET maxclients 100", "+OK")
	dial(t, addr).want("PING", "+PONG")
	if most, known := mostDescriptors(); known && most < 1<<31 {
		c.want(fmt.Sprint("CONFIG SET maxclients ", most), fmt.Sprint("-ERR CONFIG SET failed (possibly related to argument 'maxclients') - "+
			"The operating system is not able to handle the specified number of clients, try with ", most-32))
	}
}

func TestPasswordAtRunTime(t *testing.T) {
	_, addr := startServer(t)
	c := dial(t, addr)
	c.want("CONFIG SET requirepass secret", "+OK")
	c.want("PING", "+PONG") // who was in stays in
	d := dial(t, addr)
	d.want("PING", "-NOAUTH Authentication required.")
	d.want("AUTH secret", "+OK")
	c.want("CONFIG SET requirepass ''", "+OK")
	dial(t, addr).want("PING", "+PONG")
}

// Limits hold for those who are connected already.
func TestLimitsAtRunTime(t *testing.T) {
	bothTransports(t, func(t *testing.T, options ...string) {
		_, addr := startServer(t, options...)
		c, other := dial(t, addr), dial(t, addr)
		other.want("PING", "+PONG")
		c.want("CONFIG SET proto-max-bulk-len 1mb", "+OK")
		other.want("PING", "+PONG") // the limit is that of the latest turn
		fmt.Fprintf(other.conn, "*2\r\n$4\r\nECHO\r\n$1048577\r\n")
		require.Equal(t, "-ERR Protocol error: invalid bulk length", show(other.read()))
	})
}

// The cron's rounds follow hz at once.
func TestHzIsTheCronsPace(t *testing.T) {
	cfg := config.Default()
	require.Equal(t, 100*time.Millisecond, cfg.CronPeriod())
	require.NoError(t, config.Find("hz").Set(cfg, "500"))
	require.Equal(t, 2*time.Millisecond, cfg.CronPeriod())
	s, addr := startServer(t)
	dial(t, addr).want("CONFIG SET hz 500", "+OK")
	require.Equal(t, 2*time.Millisecond, s.round())
}

func TestExpiryBudget(t *testing.T) {
	cfg := config.Default()
	require.Equal(t, 25*time.Millisecond, cfg.ExpireBudget())
	require.NoError(t, config.Find("active-expire-effort").Set(cfg, "10"))
	require.Equal(t, 43*time.Millisecond, cfg.ExpireBudget())
}
