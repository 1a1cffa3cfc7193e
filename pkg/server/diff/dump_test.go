package diff

import (
	"byor/pkg/redistest"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestDumpCrosses carries values of every type and encoding from one server to the other and back
// by DUMP and RESTORE.
func TestDumpCrosses(t *testing.T) {
	redis := redistest.Connect(t, startRedis(t))
	addr := startServer(t)
	ours := redistest.Connect(t, addr)
	r := rand.New(rand.NewPCG(7, 7))
	var keys []string
	for _, c := range []string{
		"SET int 42", "SET text hello", "SET long " + strings.Repeat("ab", 500), `SET bytes "\x00\xff\r\n"`,
		"RPUSH list a 1 b", "SADD ints 1 2 70000", "SADD words a b c", "HSET hash a 1 b 2", "ZADD zset 1 a 2.5 b -inf c",
		"HSET bighash f " + strings.Repeat("v", 100), "SADD bigset x " + strings.Repeat("v", 100), "ZADD bigzset 1 " + strings.Repeat("v", 100),
		"SETBIT bits 1000 1", "PFADD hll a b c", "GEOADD geo 13 38 Palermo",
	} {
		redis.Do(c)
		keys = append(keys, redistest.Words(t, c)[1])
	}
	for i := range 2000 {
		redis.Send("RPUSH", "biglist", strings.Repeat("x", r.IntN(50)))
		redis.Read()
		redis.Do(fmt.Sprintf("XADD stream %d-%d f%d v g %d", i/7+1, i%7+1, i%3, i))
	}
	for _, c := range []string{"XDEL stream 100-3", "XTRIM stream MAXLEN 1500", "XGROUP CREATE stream g 100", "XGROUP CREATE stream empty $ ENTRIESREAD 7",
		"XREADGROUP GROUP g alice COUNT 150 STREAMS stream >", "XREADGROUP GROUP g bob COUNT 10 STREAMS stream >", "XACK stream g 101-1",
		"XGROUP CREATECONSUMER stream g idle", "XADD gone 1 a b", "XDEL gone 1", "XGROUP CREATE gone g 0"} {
		redis.Do(c)
	}
	keys = append(keys, "biglist", "stream", "gone")
	for _, k := range keys {
		want := describeKey(redis, k)
		move(t, redis, ours, k)
		require.Equal(t, want, describeKey(ours, k), k)
		redis.Do("DEL " + k)
		move(t, ours, redis, k)
		require.Equal(t, want, describeKey(redis, k), k)
	}
}

func move(t *testing.T, from, to *redistest.Client, key string) {
	t.Helper()
	payload := from.Do("DUMP " + key).Str
	to.Send("RESTORE", key, "0", string(payload))
	require.Equal(t, "+OK", redistest.Show(to.Read()), key)
}

// describeKey prints all that two servers must agree on.
func describeKey(c *redistest.Client, key string) string {
	encoding := strings.Replace(redistest.Show(c.Do("OBJECT ENCODING "+key)), "raw", "embstr", 1) // what was edited comes back fresh
	s := redistest.Show(c.Do("TYPE "+key)) + encoding + redistest.Show(c.Do("DEBUG DIGEST-VALUE "+key))
	if strings.HasPrefix(s, "+stream") {
		s += redistest.Show(c.Do("XINFO STREAM " + key + " FULL COUNT 0"))
	}
	return s
}

func TestRestoreExpiry(t *testing.T) {
	redis := redistest.Connect(t, startRedis(t))
	addr := startServer(t)
	ours := redistest.Connect(t, addr)
	redis.Do("SET k v")
	payload := string(redis.Do("DUMP k").Str)
	for _, args := range [][]string{
		{"a", "0"}, {"a", "0"}, {"a", "0", "REPLACE"}, {"b", "99999999999999", "ABSTTL"}, {"c", "1000", "ABSTTL"}, {"a", "1000", "ABSTTL", "REPLACE"},
		{"d", "0", "IDLETIME", "100"}, {"e", "0", "FREQ", "5"}, {"f", "100000", "replace"},
	} {
		cmd := append([]string{"RESTORE", args[0], args[1], payload}, args[2:]...)
		ours.Send(cmd...)
		redis.Send(cmd...)
		require.Equal(t, redistest.Show(redis.Read()), redistest.Show(ours.Read()), "%q", args)
		for _, q := range []string{"EXISTS ", "GET ", "OBJECT IDLETIME "} {
			require.Equal(t, redistest.Show(redis.Do(q+args[0])), redistest.Show(ours.Do(q+args[0])), "%q", args)
		}
		x, y := ours.Do("PEXPIRETIME "+args[0]), redis.Do("PEXPIRETIME "+args[0])
		level("PEXPIRETIME", &x, &y)
		require.Equal(t, redistest.Show(y), redistest.Show(x), "%q", args)
	}
	for i := range payload { // a changed payload is never taken
		bad := []byte(payload)
		bad[i] ^= 1
		ours.Send("RESTORE", "bad", "0", string(bad))
		require.Equal(t, "-ERR DUMP payload version or checksum are wrong", redistest.Show(ours.Read()))
	}
}
