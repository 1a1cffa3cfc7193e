package server

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"byor/pkg/redistest"
)

// redisTLS runs a real Redis that listens by TLS, too, and returns that address and a client of it.
func redisTLS(t *testing.T, a *redistest.Authority, options ...string) (addr string, c *testConn) {
	t.Helper()
	port := itoa(redistest.Port(t))
	args := append([]string{"--tls-port", port, "--repl-diskless-sync-delay", "0"}, tlsArgs("--tls-", a, a.Sign("redis"))...)
	c = dial(t, startRedis(t, append(args, options...)...))
	return "127.0.0.1:" + port, c
}

// Replication by TLS, with certificates on both sides, to and from a Redis.
func TestTLSReplication(t *testing.T) {
	a := redistest.NewAuthority(t)
	follows := func(t *testing.T, master, replica *testConn) {
		t.Helper()
		replica.becomes("master_link_status", "up")
		master.want("SET k "+strings.Repeat("x", 1<<20), "+OK") // many records
		master.want("SET end here", "+OK")
		master.want("WAIT 1 60000", ":1")
		replica.want("GET end", `"here"`)
		replica.want("STRLEN k", ":1048576")
		require.Contains(t, master.info("slave0"), "state=online")
	}
	t.Run("Redis follows us", func(t *testing.T) {
		ours := startTLS(t, a)
		addr, theirs := redisTLS(t, a, "--tls-replication", "yes")
		master := ours.client()
		master.want("SET before x", "+OK")
		theirs.want("REPLICAOF "+hostPort(ours.addr), "+OK")
		follows(t, master, theirs)
		theirs.want("GET before", `"x"`)
		require.Contains(t, master.info("slave0"), "port="+strings.Split(addr, ":")[1]+",")
	})
	t.Run("we follow Redis", func(t *testing.T) {
		addr, theirs := redisTLS(t, a)
		theirs.want("SET before x", "+OK")
		ours := startTLS(t, a, "--tls-replication", "yes", "--replicaof", hostPort(addr))
		replica := ours.client()
		follows(t, theirs, replica)
		replica.want("GET before", `"x"`)
		require.Contains(t, theirs.info("slave0"), "port="+strings.Split(ours.addr, ":")[1]+",")
	})
	t.Run("we follow ourselves", func(t *testing.T) {
		ours := startTLS(t, a)
		other := startTLS(t, a, "--tls-replication", "yes", "--replicaof", hostPort(ours.addr))
		follows(t, ours.client(), other.client())
	})
	t.Run("a master of somebody else's", func(t *testing.T) {
		stranger := redistest.NewAuthority(t)
		addr, _ := redisTLS(t, stranger, "--tls-auth-clients", "no")
		ours := startTLS(t, a, "--tls-replication", "yes", "--replicaof", hostPort(addr))
		require.Eventually(t, func() bool {
			return strings.Contains(ours.log.String(), "certificate signed by unknown authority")
		}, time.Minute, 10*time.Millisecond)
		require.Equal(t, "down", ours.client().info("master_link_status"))
	})
	t.Run("tls-replication is switched while it runs", func(t *testing.T) {
		addr, theirs := redisTLS(t, a)
		ours := startTLS(t, a, "--replicaof", hostPort(addr)) // plain text to a port for TLS
		replica := ours.client()
		require.Equal(t, "down", replica.info("master_link_status"))
		replica.want("CONFIG SET tls-replication yes", "+OK")
		follows(t, theirs, replica)
	})
}

// MIGRATE goes by TLS where tls-cluster says so, as in Redis.
func TestTLSMigrate(t *testing.T) {
	a := redistest.NewAuthority(t)
	addr, theirs := redisTLS(t, a)
	ours := startTLS(t, a)
	c := ours.client()
	c.want("SET k v", "+OK")
	require.Contains(t, show(c.do("MIGRATE "+hostPort(addr)+" k 0 60000")), "-IOERR")
	c.want("CONFIG SET tls-cluster yes", "+OK")
	c.want("MIGRATE "+hostPort(addr)+" k 0 60000", "+OK")
	theirs.want("GET k", `"v"`)
	c.want("EXISTS k", ":0")
	c.want("SET k2 v", "+OK")
	c.want("MIGRATE "+hostPort(addr)+" k2 0 60000", "+OK") // over the connection that was kept
	theirs.want("GET k2", `"v"`)
}

// Redis takes and refuses the same, in the same words.
func TestTLSConfigAsRedis(t *testing.T) {
	a := redistest.NewAuthority(t)
	p := a.Sign("server")
	theirs := dial(t, startRedis(t))
	_, addr := startServer(t)
	ours := dial(t, addr)
	port := itoa(redistest.Port(t))
	for _, set := range []string{
		"tls-port " + port, "tls-port x", "tls-port 65536", "tls-replication yes", "tls-cluster yes", "tls-replication maybe", "tls-auth-clients maybe",
		"tls-cert-file /nowhere", "tls-session-cache-size -1", "tls-session-cache-size 7", "tls-session-cache-timeout -1", "tls-session-caching maybe",
		"tls-prefer-server-ciphers maybe", "tls-prefer-server-ciphers yes", "tls-key-file-pass x", "tls-protocols TLSv9", "tls-protocols ''",
		"tls-cluster yes tls-cert-file " + p.Cert, "tls-cert-file " + p.Cert + " tls-key-file " + p.Key, "tls-cluster yes",
		"tls-cluster yes tls-ca-cert-file " + a.File, "tls-cert-file /nowhere", "tls-key-file /nowhere", "tls-ca-cert-file /nowhere", "tls-ca-cert-file ''",
		"tls-protocols 'TLSv1.2 tlsv1.3'", "tls-protocols TLSv9", "tls-auth-clients OPTIONAL", "tls-cluster no", "tls-cert-file /nowhere", "tls-port 0",
	} {
		require.Equal(t, show(theirs.do("CONFIG SET "+set)), show(ours.do("CONFIG SET "+set)), set)
		for _, name := range []string{"tls-port", "tls-cert-file", "tls-key-file", "tls-ca-cert-file", "tls-protocols", "tls-auth-clients", "tls-cluster", "tls-replication",
			"tls-session-cache-size", "tls-session-cache-timeout", "tls-session-caching", "tls-prefer-server-ciphers", "tls-key-file-pass"} {
			require.Equal(t, show(theirs.do("CONFIG GET "+name)), show(ours.do("CONFIG GET "+name)), set)
		}
	}
}

// A Sentinel that speaks TLS watches us, finds the replica, and fails over to it.
func TestTLSSentinel(t *testing.T) {
	t.Parallel() // it waits for Sentinel, which looks once a second
	a := redistest.NewAuthority(t)
	master := startTLS(t, a, "--tls-replication", "yes")
	replica := startTLS(t, a, "--tls-replication", "yes", "--replicaof", hostPort(master.addr))
	c := replica.client()
	c.becomes("master_link_status", "up")
	addr, _ := redistest.StartSentinel(t, t.TempDir(), master.addr, append(tlsArgs("--tls-", a, a.Sign("sentinel")), "--tls-replication", "yes")...)
	sentinel := dial(t, addr)
	eventually(t, sentinel, "SENTINEL FAILOVER m", "OK") // as soon as it has seen the replica
	_, port, _ := strings.Cut(hostPort(replica.addr), " ")
	eventually(t, sentinel, "SENTINEL GET-MASTER-ADDR-BY-NAME m", `"`+port+`"`)
	require.Eventually(t, func() bool { // not by a client: Sentinel disconnects those
		master.eng.Enter()
		defer master.eng.Unlock()
		return master.linkUp()
	}, time.Minute, 10*time.Millisecond)
	require.Equal(t, "master", replica.client().info("role"))
}
