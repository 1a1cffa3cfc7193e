//go:build unix

package server

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"byor/pkg/config"
	"byor/pkg/redistest"
	"byor/pkg/store"

	"github.com/stretchr/testify/require"
)

// everyType are commands that make values of every type and encoding, expiry times, and keys in
// another database.
func everyType() []string {
	commands := []string{
		"SET int 12345", "SET text hello", "SET gone x PX 9000000000", "SET raw " + strings.Repeat("ab", 500), `SET bin "\x00\r\n\xff"`,
		"INCRBYFLOAT float 1.5", "SETRANGE holes 10 x", "PFADD hll a b c", "SETBIT bits 100 1",
		"RPUSH list a b 3 " + strings.Repeat("long", 30), "SADD ints 1 2 3", "SADD words a b 3",
		"HSET small f v g 1", "HSET large f " + strings.Repeat("v", 100), "ZADD z 1 a 2.5 b inf c -inf d 0.1 e",
		"XADD s 1-1 f v g w", "XADD s 2-0 f v g x", "XADD s 3-0 other 1", "XADD s 4-0 f v", "XDEL s 2-0", "XGROUP CREATE s grp 0",
		"XREADGROUP GROUP grp bob COUNT 1 STREAMS s >", "XGROUP CREATECONSUMER s grp idle", "XGROUP CREATE s late $ ENTRIESREAD 3",
		"XADD empty 7-7 f v", "XTRIM empty MAXLEN 0", "PEXPIREAT list 4000000000123",
		"SELECT 5", "SET other db", "RPUSH gone x", "RPOP gone", "SELECT 0",
	}
	for i := range 300 {
		commands = append(commands, fmt.Sprintf("RPUSH biglist element:%d", i), fmt.Sprintf("HSET bighash field:%d %d", i, i),
			fmt.Sprintf("ZADD bigzset %d.5 member:%d", i, i), fmt.Sprintf("SADD bigset member:%d", i), fmt.Sprintf("XADD bigstream %d-1 n %d", i+1, i))
	}
	return commands
}

// changes are commands whose effect is not the command itself.
var changes = []string{
	"EXPIRE text 100000", "GETEX int EX 200000", "SPOP words", "SPOP bigset 3", "INCRBYFLOAT float 0.25", "LMPOP 1 biglist LEFT COUNT 2",
	"ZPOPMIN bigzset 2", "XADD s * f now", "XADD bigstream MAXLEN ~ 100 500-1 n x", "XREADGROUP GROUP grp eve COUNT 2 STREAMS s >", "XACK s grp 1-1",
	"SETEX tmp 100000 v", "COPY small copy", "RENAME copy renamed", "MULTI", "INCR int", "RPUSH list z", "EXEC", "BITFIELD bits SET u8 0 255",
	"SINTERSTORE inter ints ints", "SELECT 5", "MOVE other 7", "SWAPDB 7 8", "SELECT 0", "GETDEL raw", "HINCRBYFLOAT small g 1.5",
	"UNLINK hll", "SET past x", "PEXPIREAT past 1",
}

func (c *testConn) all(commands []string) {
	c.t.Helper()
	for _, line := range commands {
		v := c.do(line)
		require.False(c.t, v.IsError(), "%s: %s", line, v.Str)
	}
}

// describe tells what the data is: the digest, and what that does not cover.
func (c *testConn) describe() string {
	c.t.Helper()
	var b strings.Builder
	fmt.Fprintln(&b, "digest", show(c.do("DEBUG DIGEST")))
	for _, key := range []string{"gone", "list", "text", "int", "tmp"} {
		fmt.Fprintln(&b, key, show(c.do("PEXPIRETIME "+key)))
	}
	for _, key := range []string{"s", "empty", "bigstream"} {
		c.do("XGROUP DESTROY " + key + " none")
		for _, q := range []string{"XINFO GROUPS ", "XRANGE %s - +", "XPENDING %s grp - + 10", "XPENDING %s grp - + 10 eve"} {
			if strings.Contains(q, "%") {
				q = fmt.Sprintf(q, key)
			} else {
				q += key
			}
			if v := c.do(q); !v.IsError() {
				fmt.Fprintln(&b, q, idleTime(show(v)))
			}
		}
	}
	for db := range 9 {
		c.do("SELECT " + itoa(db))
		fmt.Fprintln(&b, db, show(c.do("DBSIZE")))
	}
	c.do("SELECT 0")
	return b.String()
}

// idleTime leaves the milliseconds since delivery out of XPENDING's reply, which differ from call to
// call: the third value of each entry.
func idleTime(reply string) string {
	parts := strings.Split(reply, " ")
	for i, p := range parts {
		if strings.HasPrefix(p, ":") && i+1 < len(parts) && strings.HasPrefix(parts[i+1], ":") && strings.HasSuffix(parts[i+1], "]") {
			parts[i] = ":idle"
		}
	}
	return strings.Join(parts, " ")
}

// A log that we have written, base and increment, is what a real Redis starts with; what Redis makes
// of it we start with again.
func TestLogBothWays(t *testing.T) {
	redistest.Need(t, "redis-server")
	for _, preamble := range []string{"yes", "no"} {
		t.Run("aof-use-rdb-preamble "+preamble, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			options := []string{"--appendonly", "yes", "--appendfsync", "no", "--aof-use-rdb-preamble", preamble, "--aof-timestamp-enabled", "yes"}
			ours := launchOurs(t, dir, options...)
			c := ours.dial()
			c.all(everyType())
			c.all(collectionsInPieces())
			c.want("BGREWRITEAOF", "+Background append only file rewriting started")
			c.becomes("aof_rewrite_in_progress", "0")
			require.Equal(t, "ok", c.info("aof_last_bgrewrite_status"))
			c.all(changes)
			want := c.describe()
			c.want("DEBUG LOADAOF", "+OK")
			require.Equal(t, want, c.describe())
			ours.kill()
			require.Contains(t, checkAOF(t, dir), "All AOF files and manifest are valid")

			theirs := launchRedis(t, dir, options...)
			c = theirs.dial()
			require.Equal(t, want, c.describe())
			c.want("BGREWRITEAOF", "+Background append only file rewriting started")
			c.becomes("aof_rewrite_in_progress", "0")
			c.all([]string{"SET text changed", "XADD s * by redis", "SPOP bigset 5", "EXPIRE list 500"})
			want = c.describe()
			theirs.kill()

			s := launchOurs(t, dir, options...)
			require.Equal(t, want, s.dial().describe())
			s.stop()
			require.Equal(t, want, launchRedis(t, dir, options...).dial().describe())
		})
	}
}

// collectionsInPieces are commands that make collections so big that they are rewritten in pieces.
func collectionsInPieces() []string {
	hash, set, zset := "HSET pieces:hash", "SADD pieces:set", "ZADD pieces:zset"
	for i := range 1500 {
		hash += fmt.Sprintf(" f%d v%d", i, i)
		set += fmt.Sprintf(" m%d", i)
		zset += fmt.Sprintf(" %d.5 m%d", i%70, i)
	}
	return []string{hash, set, zset, "ZADD pieces:zset inf top -inf bottom", "PEXPIREAT pieces:set 4000000000123"}
}

func checkAOF(t testing.TB, dir string) string {
	t.Helper()
	redistest.Need(t, "redis-check-aof")
	out, err := execOutput("redis-check-aof", filepath.Join(dir, "appendonlydir", manifestFile))
	require.NoError(t, err, out)
	return out
}

// CONFIG SET appendonly turns the log on and off while clients write; what it then holds is the data,
// by whatever way it came there.
func TestAppendonlyLive(t *testing.T) {
	dir := t.TempDir()
	p := launchOurs(t, dir, "--appendonly", "no")
	c := p.dial()
	c.all(everyType())
	require.Equal(t, "0", c.info("aof_enabled"))
	stop := make(chan struct{})
	wrote := make(chan int)
	writer := p.dial()
	go func() {
		n := 0
		for {
			select {
			case <-stop:
				wrote <- n
				return
			default:
			}
			n++
			writer.do(fmt.Sprintf("SET live:%d %d", n%1000, n))
			writer.do("SELECT " + itoa(n%3))
		}
	}()
	for range 3 {
		c.want("CONFIG SET appendonly yes", "+OK")
		require.Equal(t, "1", c.info("aof_enabled"))
		c.becomes("aof_rewrite_in_progress", "0")
		require.Equal(t, "ok", c.info("aof_last_bgrewrite_status"))
		c.want("CONFIG SET appendonly no", "+OK")
		require.Empty(t, c.info("aof_current_size"))
	}
	for _, policy := range []string{"always", "no", "everysec"} {
		c.want("CONFIG SET appendonly yes appendfsync "+policy, "+OK")
		c.becomes("aof_rewrite_in_progress", "0")
		c.want("SET policy "+policy, "+OK")
		c.want("CONFIG SET appendonly no", "+OK")
	}
	c.want("CONFIG SET appendonly yes aof-use-rdb-preamble no", "+OK")
	c.becomes("aof_rewrite_in_progress", "0")
	close(stop)
	require.Positive(t, <-wrote)
	want := show(c.do("DEBUG DIGEST"))
	p.kill()
	require.FileExists(t, onlyFile(t, dir, "*.base.aof"))
	p = launchOurs(t, dir, "--appendonly", "yes")
	require.Equal(t, want, show(p.dial().do("DEBUG DIGEST")))
}

func onlyFile(t testing.TB, dir, pattern string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, "appendonlydir", pattern))
	require.NoError(t, err)
	require.Len(t, found, 1)
	return found[0]
}

// Where the log cannot be made, CONFIG SET says so and everything is as before.
func TestAppendonlyThatCannotBeTurnedOn(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "appendonlydir"), []byte("in the way"), 0o644))
	_, addr := startServer(t, "--dir", dir)
	c := dial(t, addr)
	c.want("CONFIG SET appendonly yes", "-ERR CONFIG SET failed (possibly related to argument 'appendonly') - Unable to turn on AOF. Check server logs.")
	c.want("CONFIG GET appendonly", `*["appendonly" "no"]`)
	c.want("BGREWRITEAOF", "-ERR Can't execute an AOF background rewriting. Please check the server logs for more information.")
	c.want("SET a 1", "+OK")
}

// stuckSink is a snapshot that takes as long as the test likes.
type stuckSink struct{}

func (stuckSink) Begin([]store.SnapshotDB)     {}
func (stuckSink) Add(store.SnapshotEntry)      {}
func (stuckSink) AddPiece(store.SnapshotPiece) {}
func (stuckSink) Pending() int                 { return 0 }
func (stuckSink) Take()                        {}
func (stuckSink) Flush() error                 { return nil }

// A rewrite waits for a snapshot and the other way round.
func TestRewriteWaitsItsTurn(t *testing.T) {
	s, addr := startServer(t, "--appendonly", "yes")
	c := dial(t, addr)
	c.want("SET a 1", "+OK")
	s.eng.Lock()
	snap := s.eng.BeginSnapshot(stuckSink{})
	s.eng.Unlock()
	c.want("BGREWRITEAOF", "+Background append only file rewriting scheduled")
	c.want("BGSAVE", "-ERR Another child process is active (AOF?): can't BGSAVE right now. Use BGSAVE SCHEDULE in order to schedule a BGSAVE whenever possible.")
	c.want("BGSAVE SCHEDULE", "+Background saving scheduled")
	require.Equal(t, "1", c.info("aof_rewrite_scheduled"))
	require.Equal(t, "0", c.info("aof_rewrites"))
	s.eng.Lock()
	snap.End()
	s.eng.Unlock()
	c.becomes("aof_rewrites", "1")
	c.becomes("rdb_saves", "1")
	c.becomes("rdb_bgsave_in_progress", "0")
	require.Equal(t, "ok", c.info("aof_last_bgrewrite_status"))

	c.want("MULTI", "+OK")
	c.want("SET a 2", "+QUEUED")
	c.want("BGREWRITEAOF", "+QUEUED")
	c.want("SET b 2", "+QUEUED")
	c.want("EXEC", "*[+OK +Background append only file rewriting scheduled +OK]")
	c.becomes("aof_rewrites", "2")
	c.becomes("aof_rewrite_in_progress", "0")
	before := show(c.do("DEBUG DIGEST"))
	c.want("DEBUG LOADAOF", "+OK")
	require.Equal(t, before, show(c.do("DEBUG DIGEST")))
}

// A snapshot under way when appendonly is turned on delays the first rewrite, nothing else.
func TestAppendonlyDuringASnapshot(t *testing.T) {
	s, addr := startServer(t)
	c := dial(t, addr)
	c.want("SET a 1", "+OK")
	s.eng.Lock()
	snap := s.eng.BeginSnapshot(stuckSink{})
	s.eng.Unlock()
	c.want("CONFIG SET appendonly yes", "+OK")
	require.Equal(t, "1", c.info("aof_rewrite_scheduled"))
	c.want("SET b 2", "+OK")
	s.eng.Lock()
	snap.End()
	s.eng.Unlock()
	c.becomes("aof_rewrites", "1")
	c.becomes("aof_rewrite_in_progress", "0")
	c.want("SET c 3", "+OK")
	c.want("DEBUG LOADAOF", "+OK")
	c.want("MGET a b c", `*["1" "2" "3"]`)
}

// BGREWRITEAOF without appendonly leaves files that a start with appendonly loads.
func TestRewriteWithoutAppendonly(t *testing.T) {
	dir := t.TempDir()
	s, addr := startServer(t, "--dir", dir)
	c := dial(t, addr)
	c.want("SET a 1", "+OK")
	c.want("BGREWRITEAOF", "+Background append only file rewriting started")
	c.becomes("aof_rewrite_in_progress", "0")
	require.Equal(t, "ok", c.info("aof_last_bgrewrite_status"))
	require.Equal(t, "0", c.info("aof_enabled"))
	stopServer(t, s)
	again, _, err := boot(t, dir, "--appendonly", "yes")
	require.NoError(t, err)
	require.Equal(t, `"1"`, ask(t, again, "GET a"))
}

// The log is rewritten by itself when it has grown by the configured share.
func TestAutomaticRewrite(t *testing.T) {
	dir := t.TempDir()
	_, addr := startServer(t, "--dir", dir, "--appendonly", "yes", "--auto-aof-rewrite-min-size", "2kb")
	c := dial(t, addr)
	for range 200 {
		c.do("INCR n")
	}
	c.becomes("aof_rewrites", "1")
	c.becomes("aof_rewrite_in_progress", "0")
	require.Less(t, len(c.info("aof_current_size")), 5)
	require.Equal(t, filepath.Join(dir, "appendonlydir", "appendonly.aof.2.incr.aof"), onlyFile(t, dir, "*.incr.aof"))
	c.want("CONFIG SET auto-aof-rewrite-percentage 0", "+OK")
	for range 200 {
		c.do("INCR n")
	}
	c.want("GET n", `"400"`)
	require.Equal(t, "1", c.info("aof_rewrites"))
	c.want("DEBUG LOADAOF", "+OK")
	c.want("GET n", `"400"`)
}

// brokenBase is a base that cannot be written to its end.
type brokenBase struct {
	stuckSink
	err error
}

func (f brokenBase) Open(io.Writer) {}
func (f brokenBase) Close() error   { return f.err }

// A rewrite that fails leaves a log that is complete, and says so in INFO.
func TestRewriteThatFails(t *testing.T) {
	dir := t.TempDir()
	s, addr := startServer(t, "--dir", dir, "--appendonly", "yes")
	c := dial(t, addr)
	c.want("SET a 1", "+OK")
	s.eng.Lock()
	require.NoError(t, s.files.StartRewriteTo(brokenBase{err: errors.New("no")}))
	s.eng.Unlock()
	c.want("SET b 2", "+OK")
	c.becomes("aof_rewrite_in_progress", "0")
	require.Equal(t, "err", c.info("aof_last_bgrewrite_status"))
	require.Equal(t, "1", c.info("aof_rewrites_consecutive_failures"))
	c.want("SET c 3", "+OK")
	c.want("DEBUG LOADAOF", "+OK")
	c.want("MGET a b c", `*["1" "2" "3"]`)
	c.want("BGREWRITEAOF", "+Background append only file rewriting started")
	c.becomes("aof_last_bgrewrite_status", "ok")
	require.Equal(t, "0", c.info("aof_rewrites_consecutive_failures"))
}

// load is a loading that goes on by so many bytes.
func load(t *testing.T, s *Server, n int) {
	_, err := io.ReadFull(s.files.Progress(rand.Reader), make([]byte, n))
	require.NoError(t, err)
}

// Until the data is loaded commands are answered with -LOADING, from the first connection on.
func TestLoadingReplies(t *testing.T) {
	cfg := config.Default()
	dir := aofDir(t, map[string]string{manifestFile: incr1Line, incr1: lines(t, "SET a 1")})
	require.NoError(t, cfg.ParseArgs([]string{"--port", "0", "--save", "", "--dir", dir, "--appendonly", "yes", "--enable-protected-configs", "yes"}))
	s := New(cfg, Options{Log: LogTo(testLog(t))})
	ln := listenLoopback(t)
	go s.Serve(ln)
	c := dial(t, ln.Addr().String())
	const loading = "-LOADING Redis is loading the dataset in memory"
	c.want("GET a", loading)
	c.want("SET a 2", loading)
	c.want("PING", loading)
	c.want("CONFIG SET appendonly no", loading)
	c.want("CONFIG SET maxmemory 0 dir /", loading)
	require.Equal(t, "1", c.info("loading"))
	s.eng.Lock()
	s.files.BeginLoading(1000)
	s.eng.NowMs += 10_000
	s.eng.Unlock()
	load(t, s, 250)
	require.Equal(t, "1000", c.info("loading_total_bytes"))
	require.Equal(t, "250", c.info("loading_loaded_bytes"))
	require.Equal(t, "25.00", c.info("loading_loaded_perc"))
	require.NotEmpty(t, c.info("loading_eta_seconds"))
	require.NotEmpty(t, c.info("loading_start_time"))
	require.NoError(t, s.Start())
	t.Cleanup(func() { stopServer(t, s) })
	c.want("GET a", `"1"`)
	require.Equal(t, "0", c.info("loading"))
	require.Empty(t, c.info("loading_total_bytes"))
}

// What the log holds of keys that have expired is deleted after the load, by a DEL in the log.
func TestExpiredKeysOfALog(t *testing.T) {
	dir := aofDir(t, map[string]string{manifestFile: incr1Line, incr1: lines(t, "SELECT 0", "SET a 1", "PEXPIREAT a 1000", "INCR a", "SET b 1")})
	s, _, err := boot(t, dir, "--appendonly", "yes")
	require.NoError(t, err)
	require.Equal(t, "$(nil)", ask(t, s, "GET a"))
	require.Equal(t, `"1"`, ask(t, s, "GET b"))
	stopServer(t, s)
	b, err := os.ReadFile(filepath.Join(dir, "appendonlydir", incr1))
	require.NoError(t, err)
	require.Contains(t, string(b), lines(t, "DEL a"))
}

// The log tells how far a long load is.
func TestLoadIsToldToTheLog(t *testing.T) {
	now := time.Unix(1000, 0)
	log := new(redistest.Buffer)
	s := New(config.Default(), Options{Log: LogTo(log), Clock: func() time.Time { return now }})
	s.eng.Lock()
	s.files.BeginLoading(200)
	s.eng.Unlock()
	load(t, s, 50)
	require.NotContains(t, log.String(), "Loading")
	now = now.Add(time.Minute)
	load(t, s, 50)
	require.Contains(t, log.String(), "Loading: 50.0% of 200 bytes")
}

// While the first base is being written, the end of the server would be the end of the data.
func TestShutdownBeforeTheFirstBase(t *testing.T) {
	s, addr := startServer(t)
	c := dial(t, addr)
	s.eng.Lock()
	snap := s.eng.BeginSnapshot(stuckSink{})
	s.eng.Unlock()
	c.want("SET a 1", "+OK")
	c.want("CONFIG SET appendonly yes", "+OK")
	c.want("SHUTDOWN NOSAVE", "-ERR Errors trying to SHUTDOWN. Check logs.")
	c.want("GET a", `"1"`)
	s.eng.Lock()
	snap.End()
	s.eng.Unlock()
	c.becomes("aof_rewrites", "1")
}

// INFO names the same things in the same order as Redis.
func TestInfoPersistenceAsRedis(t *testing.T) {
	p := launchRedis(t, t.TempDir(), "--appendonly", "yes")
	_, addr := startServer(t, "--appendonly", "yes")
	names := func(c *testConn) (names []string) {
		for _, line := range strings.Split(string(c.do("INFO persistence").Str), "\r\n") {
			name, _, _ := strings.Cut(line, ":")
			names = append(names, name)
		}
		return names
	}
	require.Equal(t, names(p.dial()), names(dial(t, addr)))
}
