//go:build unix

package server

import (
	"regexp"
	"strings"
	"testing"

	"byor/pkg/redistest"

	"github.com/stretchr/testify/require"
)

// The link to the master is a client: it is listed, as Redis lists it, counted, and can be killed in each way
// that CLIENT KILL knows; then it comes again.
func TestLinkIsAClient(t *testing.T) {
	t.Parallel() // it waits for pings
	_, master := startServer(t)
	m := dial(t, master)
	ours := dial(t, second(startServer(t, "--replicaof", hostPort(master))))
	replicas := []*testConn{ours}
	if redistest.Has("redis-server") {
		replicas = append(replicas, dial(t, startRedis(t, "--replicaof", hostPort(master))))
	}
	values := regexp.MustCompile(`(id|addr|laddr|fd|age|idle|qbuf-free|rbs|rbp|tot-mem|argv-mem)=\S*`)
	idOf := regexp.MustCompile(`id=(\d+)`)
	id := func(c *testConn) string {
		eventually(t, c, "CLIENT LIST TYPE master", "flags=M")
		return idOf.FindStringSubmatch(string(c.do("CLIENT LIST TYPE master").Str))[1]
	}
	var shown []string
	for _, c := range replicas {
		eventually(t, c, "INFO replication", "master_link_status:up")
		m.want("SET a 1", "+OK")
		eventually(t, c, "GET a", "1")
		eventually(t, c, "CLIENT LIST TYPE master", "cmd=set")
		line := string(c.do("CLIENT LIST TYPE master").Str)
		require.Equal(t, 1, strings.Count(line, "\n"), line)
		require.Contains(t, line, " addr="+master+" ")
		shown = append(shown, values.ReplaceAllString(strings.TrimSuffix(line[:strings.Index(line, " resp=")], "\n"), "$1"))
		m.do("MULTI")
		m.do("SET a 2")
		m.do("SET b 2")
		m.do("EXEC")
		eventually(t, c, "CLIENT LIST TYPE master", "cmd=exec")
		m.do("CONFIG SET repl-ping-replica-period 1")
		eventually(t, c, "CLIENT LIST TYPE master", "cmd=ping")
		m.do("CONFIG SET repl-ping-replica-period 10")
		require.Equal(t, "2", c.info("connected_clients"))
		c.want("CLIENT LIST TYPE replica", "\"\"")
		killLink(c, master, func() string { return id(c) })
	}
	m.want("DEBUG CHANGE-REPL-ID", "+OK")
	for _, c := range replicas {
		first := id(c)
		c.want("CLIENT KILL ID "+first, ":1")
		require.NotEqual(t, first, id(c), "it has begun anew")
	}
	for _, line := range shown {
		require.Equal(t, shown[0], line)
	}
}

// killLink ends the link in each way that CLIENT KILL knows. It goes on where it was.
func killLink(c *testConn, master string, id func() string) {
	first := id()
	for _, kill := range []string{"TYPE master", "ADDR " + master, "ID " + first} {
		c.want("CLIENT KILL "+kill, ":1")
		require.Equal(c.t, first, id(), "it has gone on where it was")
	}
	c.want("CLIENT KILL "+master, "+OK")
	eventually(c.t, c, "INFO replication", "master_link_status:up")
	c.want("CLIENT KILL TYPE master SKIPME no", ":1")
	eventually(c.t, c, "INFO replication", "master_link_status:up")
}
