package server

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"byor/pkg/config"
	"byor/pkg/rdb"
	"byor/pkg/resp"
	"byor/pkg/store"

	"github.com/stretchr/testify/require"
)

// fillEveryType writes values of every type and encoding, keys with an expiry time, and a second
// database.
func fillEveryType(t testing.TB, c *testConn) {
	for _, line := range []string{
		"SET int 12345", "SET text hello", "SET gone x PX 9000000000", "APPEND raw " + strings.Repeat("ab", 50),
		"RPUSH list a b 3 " + strings.Repeat("long", 30), "SADD ints 1 2 3", "SADD words a b 3",
		"HSET small f v g 1", "HSET large f " + strings.Repeat("v", 100), "ZADD z 1 a 2.5 b inf c",
		"XADD s 1-1 f v g w", "XADD s 2-0 f v g x", "XADD s 3-0 other 1", "XDEL s 2-0", "XGROUP CREATE s grp 0",
		"XREADGROUP GROUP grp bob COUNT 1 STREAMS s >", "XGROUP CREATECONSUMER s grp idle", "PEXPIREAT list 4000000000123",
		"SELECT 5", "SET other db",
	} {
		v := c.do(line)
		require.False(t, v.IsError(), "%s: %s", line, v.Str)
	}
	for i := range 300 {
		c.do(fmt.Sprintf("RPUSH biglist element:%d", i))
		c.do(fmt.Sprintf("HSET bighash field:%d %d", i, i))
		c.do(fmt.Sprintf("ZADD bigzset %d.5 member:%d", i, i))
		c.do(fmt.Sprintf("SADD bigset member:%d", i))
	}
	c.do("SELECT 0")
}

// describe asks for what DEBUG DIGEST does not cover as well.
func describe(c *testConn) string {
	var b strings.Builder
	fmt.Fprintln(&b, "digest", string(c.do("DEBUG DIGEST").Str))
	for _, q := range []string{"PEXPIRETIME gone", "PEXPIRETIME list", "XINFO STREAM s FULL", "DBSIZE", "OBJECT ENCODING small",
		"OBJECT ENCODING large", "OBJECT ENCODING ints", "OBJECT ENCODING words", "OBJECT ENCODING z", "OBJECT ENCODING int"} {
		fmt.Fprintln(&b, q, show(c.do(q)))
	}
	return b.String()
}

// What is saved here a real Redis starts with, and the reverse.
func TestSnapshotBothWays(t *testing.T) {
	dir := t.TempDir()
	s, addr := startServer(t, "--dir", dir)
	ours := dial(t, addr)
	fillEveryType(t, ours)
	ours.want("SAVE", "+OK")
	want := describe(ours)
	stopServer(t, s)

	theirs := dial(t, startRedis(t, "--dir", dir, "--enable-protected-configs", "yes"))
	require.Equal(t, want, describe(theirs))
	theirs.want("CONFIG SET dbfilename theirs.rdb", "+OK")
	theirs.want("SAVE", "+OK")

	_, addr = startServer(t, "--dir", dir, "--dbfilename", "theirs.rdb")
	again := dial(t, addr)
	require.Equal(t, want, describe(again))
	again.want("DEBUG RELOAD", "+OK")
	require.Equal(t, want, describe(again))
	again.want("CONFIG SET rdbcompression no", "+OK")
	again.want("DEBUG RELOAD", "+OK")
	require.Equal(t, want, describe(again))
}

// waitFor polls a field of INFO.
func waitFor(t testing.TB, c *testConn, field, value string) {
	t.Helper()
	c.becomes(field, value)
}

// bigKeys are of collections that are saved in pieces.
var bigKeys = []string{"big:hash", "big:set", "big:zset"}

func TestSaveCommands(t *testing.T) {
	_, addr := startServer(t)
	ours, theirs := dial(t, addr), dial(t, startRedis(t))
	for _, line := range []string{
		"SAVE", "SAVE x", "BGSAVE x", "BGSAVE SCHEDULE x", "LASTSAVE x", "MULTI", "SAVE", "BGSAVE", "EXEC", "MULTI", "BGSAVE", "SET a 1", "EXEC",
		"DEBUG RELOAD x", "DEBUG RELOAD", "GET a", "DEBUG RELOAD NOFLUSH MERGE", "DEBUG RELOAD NOSAVE", "GET a", "DEBUG DIGEST-VALUE a nokey",
	} {
		require.Equal(t, show(theirs.do(line)), show(ours.do(line)), line)
	}
	for _, c := range []*testConn{ours, theirs} { // the save that was scheduled
		require.Eventually(t, func() bool { return c.info("rdb_last_bgsave_time_sec") != "-1" }, time.Minute, 5*time.Millisecond)
		require.Equal(t, "0", c.info("rdb_changes_since_last_save"))
	}
	for _, line := range []string{"BGSAVE", "DBSIZE"} {
		require.Equal(t, show(theirs.do(line)), show(ours.do(line)), line)
	}
	waitFor(t, ours, "rdb_bgsave_in_progress", "0")
	waitFor(t, theirs, "rdb_bgsave_in_progress", "0")
	last := ours.do("LASTSAVE").Int
	require.InDelta(t, time.Now().Unix(), last, 5)
	require.Equal(t, fieldNames(theirs), fieldNames(ours))
}

// fieldNames returns the names of INFO's fields about snapshots.
func fieldNames(c *testConn) (names []string) {
	for _, line := range strings.Split(string(c.do("INFO persistence").Str), "\r\n") {
		name, _, _ := strings.Cut(line, ":")
		if strings.HasPrefix(name, "rdb_") || strings.HasPrefix(name, "current_") || strings.HasSuffix(name, "loading") {
			names = append(names, name)
		}
	}
	return names
}

// Another snapshot than a save makes BGSAVE wait, or refuses it.
func TestBgsaveWaitsForItsTurn(t *testing.T) {
	s, addr := startServer(t)
	c := dial(t, addr)
	c.want("SET a 1", "+OK")
	s.eng.Lock()
	other := s.eng.BeginSnapshot(s.files.NewSink(true))
	s.eng.Unlock()
	c.want("BGSAVE", "-ERR Another child process is active (AOF?): can't BGSAVE right now. Use BGSAVE SCHEDULE in order to schedule a BGSAVE whenever possible.")
	c.want("BGSAVE SCHEDULE", "+Background saving scheduled")
	c.want("SAVE", "+OK")
	s.eng.Lock()
	other.End()
	s.eng.Unlock()
	waitFor(t, c, "rdb_saves", "2")
	waitFor(t, c, "rdb_bgsave_in_progress", "0")
	waitFor(t, c, "rdb_last_bgsave_status", "ok")
}

// A save point starts a save. Where it fails, writes are refused until one succeeds.
func TestSavePointsAndMisconf(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	require.NoError(t, os.Mkdir(dir, 0o755))
	s, addr := startServer(t, "--dir", dir)
	c := dial(t, addr)
	c.want("CONFIG SET save '1 2'", "+OK")
	s.eng.Lock()
	s.files.LastSaveSec -= 1000
	s.eng.Unlock()
	c.want("SET a 1", "+OK")
	c.want("SET b 1", "+OK")
	waitFor(t, c, "rdb_changes_since_last_save", "0")
	waitFor(t, c, "rdb_saves", "1")

	require.NoError(t, os.RemoveAll(dir))
	c.want("BGSAVE", "+Background saving started")
	waitFor(t, c, "rdb_last_bgsave_status", "err")
	const misconf = "-MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk. Commands that may modify the data set are disabled, because this instance is configured to report errors during writes if RDB snapshotting fails (stop-writes-on-bgsave-error option). Please check the Redis logs for details about the RDB error."
	c.want("SET a 2", misconf)
	c.want("PING", misconf)
	c.want("GET a", `"1"`)
	c.want("SAVE", "-ERR")
	c.want("CONFIG SET stop-writes-on-bgsave-error no", "+OK")
	c.want("SET a 2", "+OK")
	c.want("CONFIG SET stop-writes-on-bgsave-error yes", "+OK")
	c.want("SET a 3", misconf)
	require.NoError(t, os.Mkdir(dir, 0o755))
	c.want("SAVE", "+OK")
	c.want("SET a 3", "+OK")
	c.want("CONFIG SET save ''", "+OK")
}

// FLUSHALL empties the file too, where there are save points.
func TestFlushallSaves(t *testing.T) {
	dir := t.TempDir()
	_, addr := startServer(t, "--dir", dir)
	c := dial(t, addr)
	c.want("SET a 1", "+OK")
	c.want("SAVE", "+OK")
	c.want("FLUSHALL", "+OK")
	require.Equal(t, 1, keysIn(t, dir))
	c.want("SET a 1", "+OK")
	c.want("CONFIG SET save '3600 1'", "+OK")
	c.want("FLUSHALL", "+OK")
	require.Equal(t, 0, keysIn(t, dir))
	require.Equal(t, "0", c.info("rdb_changes_since_last_save"))
	c.want("CONFIG SET save ''", "+OK")
}

func keysIn(t testing.TB, dir string) int {
	f, err := os.Open(filepath.Join(dir, "dump.rdb"))
	require.NoError(t, err)
	defer f.Close()
	n, err := rdb.Load(f, store.New(16))
	require.NoError(t, err)
	return n.Keys
}

// What was acknowledged before the end is in the file, although clients write until the last moment
// and a save is under way.
func TestFinalSave(t *testing.T) {
	for range 5 {
		dir := t.TempDir()
		s, addr := startServer(t, "--dir", dir, "--save", "3600 1000000")
		var acked [4]int
		var writers sync.WaitGroup
		started := make(chan struct{}, len(acked))
		for w := range acked {
			c := dial(t, addr)
			writers.Add(1)
			go func() {
				defer writers.Done()
				for i := 1; ; i++ {
					if _, err := c.conn.Write(resp.AppendCommandStrings(nil, "SET", fmt.Sprint("w", w), strconv.Itoa(i))); err != nil {
						return
					}
					if v, err := c.rd.ReadValue(); err != nil || string(v.Str) != "OK" {
						return
					}
					if acked[w] = i; i == 100 {
						started <- struct{}{}
					}
				}
			}()
		}
		for range acked {
			<-started
		}
		s.eng.Lock()
		s.files.StartSave()
		s.eng.Unlock()
		stopServerSaving(t, s)
		writers.Wait()
		left, err := filepath.Glob(filepath.Join(dir, "temp-*"))
		require.NoError(t, err)
		require.Empty(t, left)

		s, addr = startServer(t, "--dir", dir)
		c := dial(t, addr)
		for w, n := range acked {
			got, err := strconv.Atoi(string(c.do(fmt.Sprint("GET w", w)).Str))
			require.NoError(t, err)
			require.GreaterOrEqual(t, got, n)
		}
		stopServer(t, s)
	}
}

func stopServerSaving(t testing.TB, s *Server) {
	require.NoError(t, s.Shutdown(t.Context(), ShutdownMode{}))
}

// A server whose final save fails goes on.
func TestShutdownRefused(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	require.NoError(t, os.Mkdir(dir, 0o755))
	s, addr := startServer(t, "--dir", dir, "--save", "3600 1")
	c := dial(t, addr)
	require.NoError(t, os.RemoveAll(dir))
	require.Error(t, s.Shutdown(t.Context(), ShutdownMode{}))
	c.want("SET a 1", "+OK")
	c.want("SHUTDOWN", "-ERR Errors trying to SHUTDOWN. Check logs.")
	require.NoError(t, os.Mkdir(dir, 0o755))
	require.NoError(t, s.Shutdown(t.Context(), ShutdownMode{}))
	require.Equal(t, 1, keysIn(t, dir))
}

// A file that cannot be loaded ends the server, and says where it is wrong.
func TestLoadRefuses(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "dump.rdb")
	for content, want := range map[string]string{
		"":                      "rdb: at byte 0: expected the header REDIS and four digits, but the data ends here",
		"REDIS0010\xfe":         "rdb: at byte 10: expected a database's number, but the data ends here",
		"REDIS0010\xfe\x63\xff": "rdb: Data file was created with a Redis server configured to handle more than 16 databases",
	} {
		require.NoError(t, os.WriteFile(path, []byte(content), 0o644))
		cfg := config.Default()
		require.NoError(t, cfg.ParseArgs([]string{"--dir", dir, "--port", "0"}))
		var log bytes.Buffer
		s := New(cfg, Options{Log: LogTo(&log)})
		require.EqualError(t, s.Start(), want)
		require.Contains(t, log.String(), "Fatal error loading the DB: "+want+". Exiting.")
		left, err := os.ReadFile(path)
		require.NoError(t, err)
		require.Equal(t, content, string(left), "the file is left as it was")
	}
}

// slowFile lets the test see what clients are told while a file is loaded.
type slowFile struct {
	b    []byte
	gate chan struct{}
}

func (f *slowFile) Read(p []byte) (int, error) {
	if len(f.b) == 0 {
		return 0, io.EOF
	}
	<-f.gate
	n := copy(p, f.b[:min(len(f.b), 10)])
	f.b = f.b[n:]
	return n, nil
}

func TestLoadingIsSeen(t *testing.T) {
	s, addr := startServer(t)
	c := dial(t, addr)
	var file bytes.Buffer
	w := rdb.NewWriter(&file)
	require.NoError(t, w.Entry("a", store.NewInt(1), rdb.NoExpiry))
	require.NoError(t, w.Close())
	slow := &slowFile{file.Bytes(), make(chan struct{})}
	s.eng.Lock()
	s.files.BeginLoading(int64(file.Len()))
	st := s.files.NewStore(store.DeleteExpired)
	s.eng.Unlock()
	done := make(chan error)
	go func() {
		info, err := s.files.ReadRDB(s.files.Progress(slow), st)
		s.eng.Lock()
		adoptErr := s.files.Adopt(st, info)
		s.files.EndLoading()
		s.eng.Unlock()
		done <- errors.Join(err, adoptErr)
	}()
	slow.gate <- struct{}{}
	waitFor(t, c, "loading_loaded_bytes", "10")
	c.want("GET a", "-LOADING Redis is loading the dataset in memory")
	require.Equal(t, strconv.Itoa(file.Len()), c.info("loading_total_bytes"))
	require.Equal(t, "1", c.info("loading"))
	close(slow.gate)
	require.NoError(t, <-done)
	c.want("GET a", `"1"`)
	require.Equal(t, "1", c.info("rdb_last_load_keys_loaded"))
	require.Equal(t, "", c.info("loading_total_bytes"))
}

// A server that is told to end while it loads leaves the file alone: it has nothing to save yet.
func TestShutdownWhileLoading(t *testing.T) {
	dir := t.TempDir()
	s, addr := startServer(t, "--dir", dir, "--save", "3600 1")
	dial(t, addr).want("SET a 1", "+OK")
	dial(t, addr).want("SAVE", "+OK")
	s.eng.Lock()
	s.eng.Store.Flush()
	s.files.BeginLoading(1)
	s.eng.Unlock()
	require.NoError(t, s.Shutdown(t.Context(), ShutdownMode{Save: true}))
	require.Equal(t, 1, keysIn(t, dir))
}

// Under an LRU policy a key's age outlasts a restart.
func TestIdleTimeIsSaved(t *testing.T) {
	dir := t.TempDir()
	s, addr := startServer(t, "--dir", dir, "--maxmemory-policy", "allkeys-lru")
	c := dial(t, addr)
	c.want("SET a 1", "+OK")
	s.eng.Lock()
	s.eng.Store.DB(0).Peek([]byte("a")).SetAccessSec(uint32(s.eng.NowMs/1000 - 100_000))
	s.eng.Unlock()
	for _, save := range []string{"SAVE", "BGSAVE"} {
		c.do(save)
		waitFor(t, c, "rdb_bgsave_in_progress", "0")
		theirs := dial(t, startRedis(t, "--dir", dir, "--maxmemory-policy", "allkeys-lru"))
		require.InDelta(t, 100_000, theirs.do("OBJECT IDLETIME a").Int, 20)
		c.want("DEBUG RELOAD NOSAVE", "+OK")
		require.InDelta(t, 100_000, c.do("OBJECT IDLETIME a").Int, 20)
	}
}

var errDiskFull = errors.New("no space left on device")
