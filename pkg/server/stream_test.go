package server

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// streamScripts are run on a real redis-server and on ours, and both must send the same to a replica:
// the same effects, the same frames of MULTI and EXEC around them, the same SELECTs. An expiry time of
// 1 is long past, so such a key expires when somebody looks at it.
var streamScripts = map[string]string{
	"expired in MULTI":        "SET a 1 PXAT 1; SET b 1 PXAT 1; MULTI; SET q 0; GET a; GET b; SET c 1; EXEC",
	"only expired in MULTI":   "SET a 1 PXAT 1; SET b 1 PXAT 1; MULTI; GET a; GET b; EXEC",
	"one expired in MULTI":    "SET a 1 PXAT 1; MULTI; GET a; EXEC",
	"expired in one command":  "SET a 1 PXAT 1; SET b 1 PXAT 1; MGET a b",
	"SCAN meets expired":      "SET a 1 PXAT 1; SET b 1 PXAT 1; SCAN 0 COUNT 1000",
	"SCAN in MULTI":           "SET a 1 PXAT 1; MULTI; SCAN 0 COUNT 1000; SET b 1; EXEC",
	"KEYS meets expired":      "SET a 1 PXAT 1; SET b 1 PXAT 1; KEYS *; MULTI; KEYS *; SET c 1; EXEC",
	"expired elsewhere":       "SELECT 7; SET a 1 PXAT 1; SELECT 0; MULTI; SET o 1; SELECT 7; GET a; SELECT 0; SET p 1; EXEC",
	"expired and written":     "SET a 1 PXAT 1; INCR a; SET a 1 PXAT 1; SET a 2 NX; SET a 1 PXAT 1; GETSET a 1; SET a 1 PXAT 1; APPEND a x",
	"expired and deleted":     "SET a 1 PXAT 1; SET b 1; DEL a b; SET a 1 PXAT 1; SET b 1; RENAME b a; SET a 1 PXAT 1; PERSIST a",
	"expired BY keys":         "RPUSH l 1 2; SET w_1 1 PXAT 1; SET w_2 2 PXAT 1; SORT l BY w_* STORE d",
	"WATCH of an expired key": "SET a 1 PXAT 1; WATCH a; MULTI; SET b 1; EXEC",
	"FLUSHDB of a watched":    "SET a 1 PXAT 1; WATCH a; FLUSHDB; MULTI; SET b 1; EXEC",
	"a past expiry time":      "SET a 1 EXAT 1; SET a 1; GETEX a EXAT 1; SET a 1; EXPIRE a -1; SET a 1; PEXPIREAT a 1",
	"conditions of EXPIRE":    "SET a 1; EXPIRE a 100 NX; EXPIRE a 200 XX GT; EXPIRE a 100 LT; PEXPIREAT a 1999999999999 XX",
	"PUBLISH":                 "SELECT 3; PUBLISH ch hi; SPUBLISH ch hi; SELECT 0; PUBLISH ch ho; SELECT 4; SPUBLISH ch x; SELECT 0; SET a 1",
	"PUBLISH in MULTI":        "SELECT 4; MULTI; PUBLISH ch a; EXEC; MULTI; PUBLISH ch b; SELECT 0; SET a 1; EXEC",
	"flushes":                 "FLUSHDB; FLUSHALL; SELECT 5; FLUSHALL ASYNC; SELECT 6; FLUSHDB SYNC; SELECT 0; MULTI; SET a 1; FLUSHALL; SET b 1; EXEC",
	"databases":               "SET a 1; SWAPDB 0 1; SWAPDB 0 0; SELECT 1; MOVE a 9; SELECT 9; COPY a b DB 3; COPY a b DB 3; SELECT 0",
	"commands without effect": "MULTI; DEL none; SET a 1; DEL none; EXEC; MULTI; GET a; EXEC; MULTI; EXEC; SAVE; DEBUG JMAP; BGREWRITEAOF",
}

func TestStreamAsRealRedis(t *testing.T) {
	_, ours := startServer(t)
	streams := [2]map[string][]string{}
	for i, addr := range []string{startRedis(t), ours} {
		streams[i] = map[string][]string{}
		c := dial(t, addr)
		c.want("DEBUG SET-ACTIVE-EXPIRE 0", "+OK")
		c.want("SET a 1", "+OK")
		f := followFake(t, addr)
		f.upTo(c)
		for name, script := range streamScripts {
			for line := range strings.SplitSeq(script, "; ") {
				c.do(line)
			}
			streams[i][name] = sortDeletions(f.upTo(c))
			c.want("FLUSHALL", "+OK")
			f.upTo(c)
		}
	}
	for name := range streamScripts {
		require.Equal(t, streams[0][name], streams[1][name], name)
	}
}

// sortDeletions sorts the deletions among effects that follow each other: SCAN meets keys in any order.
func sortDeletions(effects []string) []string {
	isDel := func(i int) bool { return i < len(effects) && strings.HasPrefix(effects[i], "DEL ") }
	for from := 0; from < len(effects); from++ {
		to := from
		for isDel(to) {
			to++
		}
		slices.Sort(effects[from:to])
		from = max(from, to-1)
	}
	return effects
}

// What nobody asked for is no transaction either: each deletion stands alone.
func TestActiveDeletionsStandAlone(t *testing.T) {
	s, addr := startServer(t, "--maxmemory-policy", "allkeys-random")
	c := dial(t, addr)
	c.want("DEBUG SET-ACTIVE-EXPIRE 0", "+OK")
	c.want("MSET a 1 b 1 c 1", "+OK")
	f := followFake(t, addr)
	for _, key := range []string{"a", "b", "c"} {
		c.want("SET "+key+" 1 PXAT 1", "+OK")
	}
	f.upTo(c)
	c.want("DEBUG SET-ACTIVE-EXPIRE 1", "+OK")
	eventually(t, c, "DBSIZE", ":1")
	effects := f.upTo(c)
	slices.Sort(effects)
	require.Equal(t, []string{"DEL a", "DEL b", "DEL c"}, effects)

	for _, key := range []string{"a", "b", "c", "d", "e", "f"} {
		c.send("SET", key, strings.Repeat("x", 1000))
		require.Equal(t, "+OK", show(c.read()))
	}
	f.upTo(c)
	s.eng.Lock()
	used := s.countedMemory()
	s.eng.Unlock()
	c.want("CONFIG SET maxmemory "+itoa(used-2500), "+OK") // at least three keys have to go
	c.want("GET none", "$(nil)")
	require.Eventually(t, func() bool {
		s.eng.Lock()
		defer s.eng.Unlock()
		return !s.eng.OverMemory()
	}, time.Minute, time.Millisecond)
	c.want("CONFIG SET maxmemory 0", "+OK")
	effects = f.upTo(c)
	require.GreaterOrEqual(t, len(effects), 3)
	for _, effect := range effects {
		require.True(t, strings.HasPrefix(effect, "DEL "), effect)
	}
}
