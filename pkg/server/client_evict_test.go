package server

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The clients that take most are disconnected when all together take more than maxmemory-clients, but for those that
// have said CLIENT NO-EVICT.
func TestEvictionOfClients(t *testing.T) {
	eachServer(t, nil, func(t *testing.T, addr string) {
		c, small, large, spared := dial(t, addr), dial(t, addr), dial(t, addr), dial(t, addr)
		spared.want("CLIENT NO-EVICT ON", "+OK")
		c.want("CLIENT NO-EVICT ON", "+OK")            // it only looks
		for _, k := range []*testConn{large, spared} { // a request that does not end
			fmt.Fprintf(k.conn, "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$4000000\r\n%s", strings.Repeat("x", 3000000))
		}
		require.Eventually(t, func() bool {
			return strings.Count(string(c.do("CLIENT LIST").Str), " argv-mem=3")+strings.Count(string(c.do("CLIENT LIST").Str), " qbuf=3") == 2
		}, time.Minute, time.Millisecond, "both have come")
		require.Equal(t, "0", c.info("evicted_clients"))
		c.want("CONFIG SET maxmemory 100mb maxmemory-clients 2%", "+OK")
		require.Equal(t, `*["maxmemory-clients" "2%"]`, show(c.do("CONFIG GET maxmemory-clients")))
		large.wantClosed()
		require.Equal(t, "1", c.info("evicted_clients"))
		small.want("PING", "+PONG")
		fmt.Fprint(spared.conn, strings.Repeat("x", 1000000)+"\r\n")
		require.Equal(t, "+OK", show(spared.read()))
		// Replies that nobody reads.
		c.want("CONFIG SET maxmemory 0 maxmemory-clients 3mb", "+OK")
		// In one write: the first reply may already be too much, and the connection is gone then.
		_, err := fmt.Fprint(small.conn, strings.Repeat("GET k\r\n", 3)+"SUBSCRIBE ch\r\n")
		require.NoError(t, err)
		require.Eventually(t, func() bool {
			c.send("PUBLISH", "ch", strings.Repeat("x", 1000000))
			c.read()
			return c.info("evicted_clients") == "2"
		}, time.Minute, time.Millisecond)
	})
}
