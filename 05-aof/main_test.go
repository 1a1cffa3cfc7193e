package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"byor/pkg/redistest"
	"byor/pkg/resp"
)

// start serves dir on a free port until the test ends, or until stop is called.
func start(t *testing.T, dir, policy string) (addr string, stop func()) {
	t.Helper()
	s, err := newServer(dir, policy, false)
	require.NoError(t, err)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	go s.expireInBackground(ctx)
	done := make(chan struct{})
	go func() { s.serve(ln); close(done) }()
	stop = sync.OnceFunc(func() {
		cancel()
		ln.Close()
		<-done
		s.mu.Lock() // nobody appends any more
		s.log.f.Close()
	})
	t.Cleanup(stop)
	return ln.Addr().String(), stop
}

func logOf(dir string) string { return filepath.Join(dir, "appendonlydir", logName) }

func readLog(t *testing.T, dir string) string {
	t.Helper()
	b, err := os.ReadFile(logOf(dir))
	require.NoError(t, err)
	return string(b)
}

// commandsIn returns the log as one line a command.
func commandsIn(t *testing.T, log string) []string {
	t.Helper()
	var lines []string
	for r := resp.NewCommandReader(strings.NewReader(log)); ; {
		args, err := r.ReadCommand()
		if err != nil {
			return lines
		}
		lines = append(lines, string(bytes.Join(args, []byte(" "))))
	}
}

// script is a bit of everything, with the replies of a real Redis.
var script = [][2]string{
	{"PING", "PONG"}, {"PING hi", "hi"}, {"ECHO hey", "hey"}, {"ping a b", "-ERR wrong number of arguments for 'ping' command"},
	{"SET a 1", "OK"}, {"GET a", "1"}, {"GET none", "(nil)"}, {"GET", "-ERR wrong number of arguments for 'get' command"},
	{"INCR a", "2"}, {"INCR n", "1"}, {"SET s text", "OK"}, {"INCR s", "-ERR value is not an integer or out of range"},
	{"SET big 9223372036854775807", "OK"}, {"INCR big", "-ERR increment or decrement would overflow"}, {"GET big", "9223372036854775807"},
	{"SET a 5 NX", "(nil)"}, {"SET z 5 XX", "(nil)"}, {"SET a 5 xx", "OK"}, {"SET a 5 NX XX", "-ERR syntax error"},
	{"SET a 5 EX", "-ERR syntax error"}, {"SET a 5 EX 0", "-ERR invalid expire time in 'set' command"},
	{"SET a 5 EX x", "-ERR value is not an integer or out of range"}, {"SET a 5 EX 9223372036854775807", "-ERR invalid expire time in 'set' command"},
	{"SET a 5 PX 9223372036854775807", "-ERR invalid expire time in 'set' command"}, {"SET a 5 EX 100 KEEPTTL", "-ERR syntax error"},
	{"SET e 1 EX 100", "OK"}, {"TTL e", "100"}, {"SET e 2 KEEPTTL", "OK"}, {"TTL e", "100"}, {"SET e 3", "OK"}, {"TTL e", "-1"},
	{"TTL none", "-2"}, {"PTTL none", "-2"}, {"EXPIRE e 50", "1"}, {"TTL e", "50"}, {"PERSIST e", "1"}, {"PERSIST e", "0"}, {"PERSIST none", "0"},
	{"EXPIRE none 5", "0"}, {"EXPIRE e x", "-ERR value is not an integer or out of range"}, {"PEXPIRE e 70000", "1"}, {"TTL e", "70"},
	{"EXPIRE e 9223372036854775807", "-ERR invalid expire time in 'expire' command"}, {"SET f 1 PXAT 32503680000000", "OK"}, {"SET f2 1 EXAT 32503680000", "OK"},
	{"EXPIREAT f2 32503680001", "1"}, {"EXPIRE n -1", "1"}, {"EXISTS n", "0"}, {"EXISTS a a none", "2"}, {"DEL s none", "1"}, {"DEL s", "0"},
	{"SELECT 5", "OK"}, {"SET five 5", "OK"}, {"SELECT 16", "-ERR DB index is out of range"}, {"SELECT x", "-ERR value is not an integer or out of range"},
	{"GET a", "(nil)"}, {"DBSIZE", "1"}, {"FOO bar", "-ERR unknown command 'FOO', with args beginning with: 'bar' "},
}

func TestCommands(t *testing.T) {
	addr, _ := start(t, t.TempDir(), "no")
	c := redistest.Dial(t, addr)
	for _, line := range script {
		require.Equal(t, line[1], c.Do(line[0]), line[0])
	}
}

func TestCommandsAsRedis(t *testing.T) {
	c := redistest.Dial(t, redistest.Start(t, t.TempDir()))
	for _, line := range script {
		require.Equal(t, line[1], c.Do(line[0]), line[0])
	}
}

func TestLogHoldsTheEffects(t *testing.T) {
	dir := t.TempDir()
	addr, _ := start(t, dir, "always")
	c := redistest.Dial(t, addr)
	for _, line := range script {
		c.Do(line[0])
	}
	log := readLog(t, dir)
	require.True(t, strings.HasPrefix(log, "*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\n1\r\n"), "%q", log)
	want := []string{"SELECT 0", "SET a 1", "INCR a", "INCR n", "SET s text", "SET big 9223372036854775807", "SET a 5 xx",
		"SET e 1 PXAT T", "SET e 2 KEEPTTL", "SET e 3", "PEXPIREAT e T", "PERSIST e", "PEXPIREAT e T", "SET f 1 PXAT T", "SET f2 1 PXAT T",
		"PEXPIREAT f2 T", "DEL n", "DEL s none", "SELECT 5", "SET five 5"}
	got := commandsIn(t, log)
	for i := range got {
		got[i] = regexp.MustCompile(`\b(\d{14}|1[789]\d{11})\b`).ReplaceAllString(got[i], "T")
	}
	require.Equal(t, want, got)
}

func TestRestartBringsEverythingBack(t *testing.T) {
	dir := t.TempDir()
	addr, stop := start(t, dir, "everysec")
	c := redistest.Dial(t, addr)
	c.Do("SET name byor")
	c.Do("SET session x EX 1000")
	c.Do("INCR n")
	c.Do("INCR n")
	c.Do("SELECT 3")
	c.Do("SET other db")
	before := readLog(t, dir)
	stop()
	addr, _ = start(t, dir, "everysec")
	c = redistest.Dial(t, addr)
	require.Equal(t, before, readLog(t, dir), "a replay appends nothing")
	require.Equal(t, "byor", c.Do("GET name"))
	require.Equal(t, "2", c.Do("GET n"))
	require.Equal(t, "1000", c.Do("TTL session"))
	c.Do("SELECT 3")
	require.Equal(t, "db", c.Do("GET other"))
	c.Do("SET more db")
	require.Equal(t, before+"*2\r\n$6\r\nSELECT\r\n$1\r\n3\r\n*3\r\n$3\r\nSET\r\n$4\r\nmore\r\n$2\r\ndb\r\n", readLog(t, dir),
		"it goes on where it ended, and says again which database it means")
}

// A crash may cut the file anywhere. Every cut must load, keep all commands that are whole, and
// leave a file that can be appended to.
func TestTornTailAtEveryByte(t *testing.T) {
	const log = "*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n*3\r\n$3\r\nSET\r\n$1\r\na\r\n$4\r\n1\r\n2\r\n*2\r\n$4\r\nINCR\r\n$1\r\nn\r\n"
	ends := []int{0, 23, 53, len(log)}
	for cut := range len(log) + 1 {
		dir := t.TempDir()
		require.NoError(t, os.Mkdir(filepath.Join(dir, "appendonlydir"), 0o755))
		require.NoError(t, os.WriteFile(logOf(dir), []byte(log[:cut]), 0o644))
		s, err := newServer(dir, "no", false)
		require.NoError(t, err, "cut at %d", cut)
		whole := 0
		for _, end := range ends {
			if end <= cut {
				whole = end
			}
		}
		require.Equal(t, log[:whole], readLog(t, dir), "cut at %d", cut)
		c := &client{srv: s, db: s.data.DB(0), w: resp.NewWriter(nil)}
		c.execute([][]byte{[]byte("SET"), []byte("after"), []byte("x")})
		require.Equal(t, "+OK\r\n", string(c.w.Buf))
		s.log.f.Close()
		s, err = newServer(dir, "no", false)
		require.NoError(t, err, "cut at %d", cut)
		require.NotNil(t, s.data.DB(0).Peek([]byte("after")), "cut at %d", cut)
		require.Equal(t, whole >= 53, s.data.DB(0).Peek([]byte("a")) != nil, "cut at %d", cut)
		s.log.f.Close()
	}
}

func TestDamagedFilesAreRefused(t *testing.T) {
	const good = "*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n"
	for name, c := range map[string]struct{ log, want string }{
		"garbage in the middle": {good + "*3\r\nx$3\r\n" + good, "expected '$', got 'x'"},
		"NULs at the end":       {good + "\x00\x00\x00\x00", "offset 23: \"\\x00\" is not how a command begins"},
		"unknown command":       {good + "*1\r\n$4\r\nNOPE\r\n", "unknown command 'NOPE'"},
		"failing command":       {good + "*2\r\n$3\r\nGET\r\n$1\r\nk\r\n*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nx\r\n*2\r\n$4\r\nINCR\r\n$1\r\nk\r\n", "not an integer"},
		"an RDB preamble":       {"REDIS0010\xfa\tredis-ver", "offset 0: \"R\" is not how a command begins"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			require.NoError(t, os.Mkdir(filepath.Join(dir, "appendonlydir"), 0o755))
			require.NoError(t, os.WriteFile(logOf(dir), []byte(c.log), 0o644))
			_, err := newServer(dir, "no", false)
			require.ErrorContains(t, err, c.want)
			require.Equal(t, c.log, readLog(t, dir), "a file that is refused is not touched")
		})
	}
	t.Run("a manifest of more files", func(t *testing.T) {
		dir := t.TempDir()
		require.NoError(t, os.Mkdir(filepath.Join(dir, "appendonlydir"), 0o755))
		name := filepath.Join(dir, "appendonlydir", manifestName)
		require.NoError(t, os.WriteFile(name, []byte("file appendonly.aof.1.base.rdb seq 1 type b\n"+manifest), 0o644))
		_, err := newServer(dir, "no", false)
		require.ErrorContains(t, err, "files that this step cannot read")
	})
	_, err := newServer(t.TempDir(), "sometimes", false)
	require.ErrorContains(t, err, "must be always, everysec or no")
}

func TestExpiryIsLoggedAsDel(t *testing.T) {
	dir := t.TempDir()
	addr, stop := start(t, dir, "no")
	c := redistest.Dial(t, addr)
	c.Do("SET gone x PX 1")
	c.Do("SET stays x")
	require.Eventually(t, func() bool {
		return strings.HasSuffix(readLog(t, dir), "*2\r\n$3\r\nDEL\r\n$4\r\ngone\r\n")
	}, time.Minute, 5*time.Millisecond, "nobody asked for the key, the sweeper deletes it and says so")
	stop()
	addr, _ = start(t, dir, "no")
	require.Equal(t, "1", redistest.Dial(t, addr).Do("DBSIZE"))
}

// The key is changed by commands whose order matters. If two of them stood in the log in another
// order than they were executed in, the replay would end with another value.
func TestLogHasTheOrderOfExecution(t *testing.T) {
	dir := t.TempDir()
	addr, stop := start(t, dir, "everysec")
	var wg sync.WaitGroup
	for i := range 8 {
		c := redistest.Dial(t, addr)
		wg.Go(func() {
			for j := range 200 {
				c.Write(resp.AppendCommandStrings(nil, "SET", "k", strconv.Itoa(1000*i+j)))
				c.Write(resp.AppendCommandStrings(nil, "INCR", "k"))
			}
			for range 400 {
				if _, err := c.R.ReadValue(); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	want := redistest.Dial(t, addr).Do("GET k")
	stop()
	addr, _ = start(t, dir, "everysec")
	require.Equal(t, want, redistest.Dial(t, addr).Do("GET k"))
}

func TestRedisTakesTurnsOnTheSameDirectory(t *testing.T) {
	dir := t.TempDir()
	addr, stop := start(t, dir, "always")
	c := redistest.Dial(t, addr)
	for _, line := range script {
		c.Do(line[0])
	}
	stop()
	if _, err := exec.LookPath("redis-check-aof"); err == nil {
		out, err := exec.Command("redis-check-aof", filepath.Join(dir, "appendonlydir", manifestName)).CombinedOutput()
		require.NoError(t, err, string(out))
	}
	r := redistest.Dial(t, redistest.Start(t, dir, "--appendonly", "yes"))
	require.Equal(t, "5", r.Do("GET a"))
	require.Equal(t, "70", r.Do("TTL e"))
	require.Equal(t, "1", r.Do("GET f"))
	require.Equal(t, "32503680001", r.Do("EXPIRETIME f2"))
	require.Equal(t, "5", r.Do("DBSIZE"))
	r.Do("SET from redis EX 500")
	r.Do("SELECT 5")
	require.Equal(t, "5", r.Do("GET five"))
	fmt.Fprint(r, "SHUTDOWN\r\n")
	_, err := r.R.ReadValue()
	require.Error(t, err, "Redis is gone")
	addr, _ = start(t, dir, "always")
	c = redistest.Dial(t, addr)
	require.Equal(t, "redis", c.Do("GET from"))
	require.Equal(t, "500", c.Do("TTL from"))
	require.Equal(t, "6", c.Do("DBSIZE"))
}

// The program under load, killed: what was acknowledged is there afterwards.
func TestProgramIsKilledUnderLoad(t *testing.T) {
	bin := redistest.Program(t, "05-aof")
	dir := t.TempDir()
	run := func() (*exec.Cmd, string) {
		cmd := exec.Command(bin, "-addr", "127.0.0.1:0", "-dir", dir, "-appendfsync", "always")
		stdout, err := cmd.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, cmd.Start())
		t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
		for sc := bufio.NewScanner(stdout); sc.Scan(); {
			if f := strings.Fields(sc.Text()); f[1] == "listens" {
				require.Contains(t, sc.Text(), "redis-cli -p ")
				return cmd, strings.TrimSuffix(f[3], ".")
			}
		}
		t.Fatal("no greeting")
		return nil, ""
	}
	cmd, addr := run()
	acked := make([]int, 4)
	var wg sync.WaitGroup
	for i := range acked {
		c := redistest.Dial(t, addr)
		wg.Go(func() {
			for n := 1; ; n++ {
				c.Write(resp.AppendCommandStrings(nil, "SET", fmt.Sprint("k", i), fmt.Sprint(n)))
				if v, err := c.R.ReadValue(); err != nil || string(v.Str) != "OK" {
					return
				}
				if acked[i] = n; n == 50 && i == 0 {
					cmd.Process.Kill()
				}
			}
		})
	}
	wg.Wait()
	cmd.Wait()
	cmd, addr = run()
	c := redistest.Dial(t, addr)
	for i, n := range acked {
		got, _ := strconv.Atoi(c.Do(fmt.Sprint("GET k", i)))
		require.GreaterOrEqual(t, got, n, "k%d", i)
		require.LessOrEqual(t, got, n+1, "k%d", i)
	}
	require.NoError(t, cmd.Process.Signal(os.Interrupt))
	require.NoError(t, cmd.Wait(), "Ctrl-C ends it with exit code 0")
}
