package server

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// fullServer has 500 keys in db 0 and 500 in db 1, half of them with an expiry time, and a replica.
func fullServer(t *testing.T, policy string) (s *Server, c, replica *testConn) {
	s, addr := startServer(t, "--maxmemory-policy", policy, "--maxmemory-samples", "10")
	c = dial(t, addr)
	_, raddr := startServer(t, append([]string{"--replicaof"}, strings.Fields(hostPort(addr))...)...)
	replica = dial(t, raddr)
	eventually(t, replica, "INFO replication", "master_link_status:up")
	for i := range 1000 {
		if i%500 == 0 {
			c.do(fmt.Sprint("SELECT ", i/500))
		}
		line := fmt.Sprintf("SET k%d %s", i, strings.Repeat("x", 1000))
		if i%2 == 0 {
			line += fmt.Sprint(" EX ", 1000+i)
		}
		c.want(line, "+OK")
	}
	c.want("SELECT 0", "+OK")
	return s, c, replica
}

// shrink sets maxmemory so that about a fifth of the keys have to go, writes, and returns how many went.
func shrink(t *testing.T, s *Server, c *testConn) int {
	c.info("evicted_keys") // the reply is as large as those to come
	s.eng.Lock()
	for _, c := range s.clients {
		c.measureNow()
	}
	s.sampleMemory()
	limit := s.countedMemory() - s.eng.Store.MemBytes()/5
	s.eng.Unlock()
	c.want(fmt.Sprint("CONFIG SET maxmemory ", limit), "+OK")
	require.Eventually(t, func() bool {
		c.do("SET one more")
		s.eng.Lock()
		defer s.eng.Unlock()
		return s.countedMemory() <= limit+2000
	}, time.Minute, time.Millisecond)
	evicted := 0
	_, err := fmt.Sscanf(c.info("evicted_keys"), "%d", &evicted)
	require.NoError(t, err)
	require.InDelta(t, 200, evicted, 20)
	return evicted
}

// left returns how many of keys k<i> with i%2 == odd are left.
func left(s *Server, odd int) (n int) {
	s.eng.Lock()
	defer s.eng.Unlock()
	for i := range 1000 {
		if i%2 == odd && s.eng.Store.DB(i/500).Peek([]byte(fmt.Sprint("k", i))) != nil {
			n++
		}
	}
	return n
}

func TestEvictionPolicies(t *testing.T) {
	for _, policy := range []string{"allkeys-random", "volatile-random", "allkeys-lru", "volatile-lru", "allkeys-lfu", "volatile-lfu", "volatile-ttl"} {
		t.Run(policy, func(t *testing.T) {
			s, c, replica := fullServer(t, policy)
			s.eng.Lock()
			for i := range 1000 { // the first hundred are used often, the others were used an hour ago
				e := s.eng.Store.DB(i / 500).Lookup(fmt.Append(nil, "k", i))
				if !s.eng.Store.LFU.On && i >= 100 {
					e.SetAccessSec(e.AccessSec() - 3600)
				}
				for range 50 * btoi(i < 100) {
					s.eng.Store.DB(0).Lookup([]byte(e.Key()))
				}
			}
			s.eng.Unlock()
			evicted := shrink(t, s, c)
			if strings.HasPrefix(policy, "volatile") {
				require.Equal(t, 500, left(s, 1), "keys without an expiry time stay")
			}
			hot := 0
			s.eng.Lock()
			for i := range 100 {
				hot += btoi(s.eng.Store.DB(0).Peek(fmt.Append(nil, "k", i)) != nil)
			}
			s.eng.Unlock()
			switch policy {
			case "allkeys-lru", "volatile-lru", "allkeys-lfu", "volatile-lfu":
				require.GreaterOrEqual(t, hot, 95)
			case "volatile-ttl":
				for i := 0; i < 2*(evicted-1); i += 2 { // exactly those that would have expired first
					s.eng.Lock()
					gone := s.eng.Store.DB(i/500).Peek([]byte(fmt.Sprint("k", i))) == nil
					s.eng.Unlock()
					require.True(t, gone, i)
				}
			}
			sameData(t, c, replica)
		})
	}
}

func TestEvictionRefusesWhenThereIsNothingToEvict(t *testing.T) {
	const oom = "-OOM command not allowed when used memory > 'maxmemory'."
	for _, policy := range []string{"noeviction", "volatile-lru"} {
		_, addr := startServer(t, "--maxmemory-policy", policy)
		c := dial(t, addr)
		c.want("SET a 1", "+OK")
		c.want("WATCH a", "+OK")
		c.want("MULTI", "+OK")
		c.want("SET b 1", "+QUEUED")
		dial(t, addr).want("CONFIG SET maxmemory 1", "+OK")
		c.want("EXEC", "-EXECABORT Transaction discarded because of: "+oom[1:])
		c.want("SET c 1", oom)
		c.want("GET a", `"1"`)
		c.want("DEL a", ":1")
		c.want("SET c 1", oom) // a server takes more than that without any key, as in Redis
		c.want("CONFIG SET maxmemory 100mb", "+OK")
		c.want("SET c 1", "+OK")
	}
}

// What is evicted breaks the watches on it, and stands in the append-only file.
func TestEvictionIsTold(t *testing.T) {
	s, addr := startServer(t, "--maxmemory-policy", "allkeys-lru", "--appendonly", "yes")
	c, other := dial(t, addr), dial(t, addr)
	c.want("SET a 1", "+OK")
	c.want("WATCH a", "+OK")
	other.want("CONFIG SET maxmemory 1", "+OK")
	eventually(t, other, "DBSIZE", ":0")
	other.want("CONFIG SET maxmemory 0", "+OK")
	c.want("MULTI", "+OK")
	c.want("PING", "+QUEUED")
	c.want("EXEC", "*(nil)")
	c.want("DEBUG LOADAOF", "+OK")
	c.want("DBSIZE", ":0")
	s.eng.Lock()
	defer s.eng.Unlock()
	require.EqualValues(t, 1, s.eng.Stats.EvictedKeys)
}

func TestObjectFreq(t *testing.T) {
	s, addr := startServer(t, "--maxmemory-policy", "allkeys-lfu", "--lfu-log-factor", "0")
	c := dial(t, addr)
	c.want("SET a 1", "+OK")
	c.want("OBJECT FREQ a", ":5")
	for range 10 {
		c.do("GET a")
	}
	c.want("OBJECT FREQ a", ":15")
	c.want("SET a 2", "+OK")
	c.want("OBJECT FREQ a", ":16")
	c.want("INCRBYFLOAT a 1", `"3"`)
	c.want("OBJECT FREQ a", ":17")
	s.eng.Lock()
	defer s.eng.Unlock()
	s.eng.Store.SetNow(s.eng.NowMs + 3*60_000) // a minute each is one less
	require.EqualValues(t, 14, s.eng.Store.DB(0).Freq(s.eng.Store.DB(0).Peek([]byte("a"))))
}
