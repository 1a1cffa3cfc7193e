package server

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"byor/pkg/redistest"

	"github.com/stretchr/testify/require"
)

var saveCounters = regexp.MustCompile(`(?:rdb_changes_since_last_save|rdb_saves|rdb_last_bgsave_status|aof_rewrites):\S+`)

// What is counted since the last save starts again where Redis starts it again: a FLUSHALL saves, where
// there are save points, and what replaces the data does not count as a change.
func TestSaveCountersAsRealRedis(t *testing.T) {
	for _, savePoints := range []string{"", "100000 1000000"} {
		_, ours := startServer(t, "--save", savePoints)
		redis := redistest.Start(t, t.TempDir(), "--enable-debug-command", "yes", "--save", savePoints)
		master := startRedis(t, "--repl-diskless-sync-delay", "0")
		m := dial(t, master)
		m.want("SET a 1", "+OK")
		r, o := dial(t, redis), dial(t, ours)
		for _, line := range []string{
			"SET a 1", "SET b 1", "FLUSHALL", "FLUSHALL", "SET a 1", "FLUSHDB", "FLUSHDB", "SELECT 3", "SET a 1", "FLUSHALL ASYNC", "SELECT 0",
			"MULTI", "SET a 1", "FLUSHALL", "SET b 1", "EXEC", "DEBUG POPULATE 10", "PUBLISH a b", "GET none", "DEL none",
			"SAVE", "SET a 1", "BGSAVE", "SET a 1", "DEBUG RELOAD", "SET a 1", "DEBUG RELOAD NOSAVE", "SET a 1", "DEBUG RELOAD NOSAVE NOFLUSH MERGE",
			"CONFIG SET save \"\"", "SET a 1", "FLUSHALL", "CONFIG SET save \"100000 1000000\"", "SET a 1", "FLUSHALL", "BGREWRITEAOF",
			"CONFIG RESETSTAT", "SET a 1", "REPLICAOF " + hostPort(master), "REPLICAOF NO ONE",
		} {
			var counters [2]string
			for i, c := range []*testConn{r, o} {
				c.do(line)
				if strings.HasPrefix(line, "BG") {
					eventually(t, c, "INFO persistence", "rdb_bgsave_in_progress:0")
					eventually(t, c, "INFO persistence", "aof_rewrite_in_progress:0")
				}
				if line == "REPLICAOF "+hostPort(master) {
					eventually(t, c, "INFO replication", "master_link_status:up")
				}
				counters[i] = strings.Join(saveCounters.FindAllString(string(c.do("INFO persistence").Str), -1), " ")
			}
			require.Equal(t, counters[0], counters[1], line)
		}
	}
}

// changing are commands that change more than one thing, or less, or nothing.
var changing = []string{
	"RPUSH l 1 2 3 4|LPUSH l a b|LPOP l|LPOP l 2|RPOP l 2|RPUSHX l x y|LPUSHX no x|RPUSH l a b a c|LREM l 0 a",
	"LREM l 0 zz|LSET l 0 c|LINSERT l BEFORE c z|LTRIM l 0 2|LTRIM l 0 -1|RPOPLPUSH l l2|LMOVE l l2 LEFT LEFT",
	"RPUSH l 1 2 3|LMPOP 1 l LEFT COUNT 2|BLPOP l 1|BLMPOP 1 1 l LEFT COUNT 9|BLMOVE l2 l3 LEFT LEFT 1|LTRIM l3 5 6",
	"SADD s a b c|SADD s a d|SREM s a zz|SPOP s|SADD s e f g h|SPOP s 2|SMOVE s s2 zz|SADD s m|SMOVE s s2 m",
	"SADD s2 q|SADD s q|SMOVE s s2 q|SPOP s 100|SUNIONSTORE d s s2|SINTERSTORE d s2 none|SDIFFSTORE d s2",
	"SINTERSTORE dd none",
	"ZADD z 1 a 2 b 3 c|ZADD z 1 a|ZADD z 5 a 6 d|ZADD z INCR 1 a|ZINCRBY z 1 a|ZREM z a zz|ZADD z 1 x 2 y 3 w",
	"ZPOPMIN z|ZPOPMAX z 2|ZREMRANGEBYRANK z 0 1|ZADD z 1 x 2 y 3 w|ZREMRANGEBYSCORE z 1 2|ZREMRANGEBYLEX z - +",
	"ZADD z 1 x 2 y 3 w|ZRANGESTORE zd z 0 -1|ZUNIONSTORE zu 1 z|ZINTERSTORE zu 1 none|ZDIFFSTORE zu 1 z",
	"ZMPOP 1 z MIN COUNT 2|BZPOPMIN z 1|ZADD z 1 x 2 y|BZMPOP 1 1 z MAX COUNT 5|ZRANGESTORE zd z 0 1",
	"HSET h a 1 b 2 c 3|HSET h a 1|HMSET h a 1 b 2|HSETNX h a 1|HSETNX h q 1|HINCRBY h a 1|HINCRBYFLOAT h a 1.5",
	"HDEL h a b zz|HDEL h c q",
	"SET a 1|SET b 1 EX 100|MSET x 1 y 2|MSETNX x 1 z9 2|MSETNX m1 1 m2 2|GETSET a 2|GETDEL a|GETEX b",
	"GETEX b PERSIST|GETEX b EX 5|INCR n|INCRBY n 2|DECR n|INCRBYFLOAT n 1.5|APPEND n 1|SETRANGE n 0 9|SETNX n 1",
	"SETNX nn 1|SETEX n 100 1|PSETEX n 100000 1|SETBIT bi 7 1|SETBIT bi 7 1",
	"BITFIELD bi SET u8 0 1 SET u8 8 3 GET u8 0|BITFIELD bi GET u8 0|BITFIELD bi INCRBY u8 0 1|BITOP NOT bo bi",
	"BITOP AND bo none|DEL x y none|UNLINK m1 m2|EXPIRE n 100|EXPIRE n 50 GT|PERSIST n|EXPIRE none 1|EXPIRE nn -1",
	"RENAME n n2|RENAMENX n2 n3|SET n4 1|RENAMENX n3 n4|RENAME n3 n4|COPY n4 n5|COPY n4 n5 REPLACE|MOVE n5 3",
	"COPY n4 n5 DB 4|TOUCH n4|SWAPDB 5 6|RENAME n4 n4",
	"PFADD hl a b c|PFADD hl a|PFADD hl z|PFADD hl2|PFMERGE hl3 hl hl2|PFMERGE hl3 hl|PFCOUNT hl|PFCOUNT hl",
	"GEOADD g 1 1 a 2 2 b|GEOADD g 1 1 a|GEOSEARCHSTORE gs g FROMLONLAT 1 1 BYRADIUS 1000 km",
	"GEORADIUS g 1 1 1000 km STORE gs|GEOSEARCHSTORE gs none FROMLONLAT 1 1 BYRADIUS 1000 km|RPUSH so 3 1 2",
	"SORT so STORE so2|SORT none STORE so2|SORT none STORE so2",
	"XADD st 1-1 a b|XADD st 1-2 a b|XADD st 1-3 a b|XGROUP CREATE st g 0|XREADGROUP GROUP g c COUNT 1 STREAMS st >",
	"XREADGROUP GROUP g c STREAMS st >|XREADGROUP GROUP g c STREAMS st >|XREADGROUP GROUP g c STREAMS st 0",
	"XACK st g 1-1 1-2|XACK st g 1-1|XCLAIM st g c2 0 1-3|XAUTOCLAIM st g c3 0 0|XDEL st 1-1 1-2 9-9",
	"XADD st MAXLEN 1 2-1 a b|XADD st 2-2 a b|XADD st 2-3 a b|XTRIM st MAXLEN 1|XTRIM st MAXLEN 1|XSETID st 9-9",
	"XGROUP CREATECONSUMER st g c9|XGROUP CREATECONSUMER st g c9|XGROUP DELCONSUMER st g c9",
	"XGROUP DELCONSUMER st g c2|XGROUP SETID st g 0|XGROUP DESTROY st g|XGROUP DESTROY st g",
	"XGROUP CREATE mk g $ MKSTREAM|XADD mk MAXLEN 0 1-1 a b|XREADGROUP GROUP g c NOACK STREAMS mk >|XADD mk 5-1 a b",
	"XREADGROUP GROUP g c NOACK STREAMS mk >",
}

// Save points go by elements, as Redis counts them, not by commands.
func TestChangesAreCountedAsRealRedis(t *testing.T) {
	_, ours := startServer(t)
	r, o := dial(t, startRedis(t)), dial(t, ours)
	var before [2]string
	for _, lines := range changing {
		for line := range strings.SplitSeq(lines, "|") {
			var counters [2]string
			for i, c := range []*testConn{r, o} {
				c.do(line)
				counters[i] = saveCounters.FindString(string(c.do("INFO persistence").Str))
			}
			require.Equal(t, counters[0], counters[1], "%s (before it: %s)", line, before[0])
			before = counters
		}
	}
}

// A rewrite while appendonly is no leaves a base and nothing else: there is no log that could follow it.
func TestRewriteWithoutALogAsRealRedis(t *testing.T) {
	t.Parallel()
	for _, preamble := range []string{"yes", "no"} {
		dirs := [2]string{t.TempDir(), t.TempDir()}
		redis := dial(t, redistest.Start(t, dirs[0], "--aof-use-rdb-preamble", preamble))
		_, addr := startServer(t, "--dir", dirs[1], "--aof-use-rdb-preamble", preamble)
		ours := dial(t, addr)
		rewritten := func(c *testConn) {
			eventually(t, c, "INFO persistence", "aof_rewrite_scheduled:0")
			eventually(t, c, "INFO persistence", "aof_rewrite_in_progress:0")
		}
		for _, line := range []string{
			"SET a 1", "BGREWRITEAOF", "SET b 1", "BGREWRITEAOF", "CONFIG SET appendonly yes", "SET c 1", "BGREWRITEAOF",
			"CONFIG SET appendonly no", "BGREWRITEAOF", "SET d 1", "BGREWRITEAOF", "CONFIG SET appendonly yes", "CONFIG SET appendonly no",
		} {
			for _, c := range []*testConn{redis, ours} {
				c.do(line)
				rewritten(c)
			}
			require.Equal(t, aofFiles(t, dirs[0]), aofFiles(t, dirs[1]), line)
		}
		// The base is all there is, and all there has to be.
		_, again := startServer(t, "--dir", dirs[1], "--appendonly", "yes")
		dial(t, again).want("MGET a b c d", `*["1" "1" "1" "1"]`)
	}
}

// aofFiles returns the manifest below dir and the names of the files beside it, as soon as those that are
// not in force any more have been deleted.
func aofFiles(t *testing.T, dir string) (files []string) {
	t.Helper()
	dir = filepath.Join(dir, "appendonlydir")
	require.Eventually(t, func() bool {
		entries, err := os.ReadDir(dir)
		if os.IsNotExist(err) {
			files = nil
			return true
		}
		manifest, err := os.ReadFile(filepath.Join(dir, "appendonly.aof.manifest"))
		if err != nil {
			return false
		}
		files = []string{string(manifest)}
		for _, e := range entries {
			files = append(files, e.Name())
		}
		return len(entries) == 1+strings.Count(string(manifest), "\n")
	}, time.Minute, time.Millisecond)
	return files
}
