package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"byor/pkg/basics"
	"byor/pkg/redistest"
	"byor/pkg/resp"
	"byor/pkg/store"
)

// start serves dir on a free port until the test ends, or until stop is called.
func start(t *testing.T, dir string, useLog bool) (addr string, stop func()) {
	t.Helper()
	s, err := newServer(&basics.Options{Dir: dir, UseLog: useLog, Policy: "always"})
	require.NoError(t, err)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	go basics.Sweep(ctx, &s.mu, s.data, nil)
	done := make(chan struct{})
	go func() { basics.Accept(ln, s.handle); close(done) }()
	stop = sync.OnceFunc(func() {
		cancel()
		ln.Close()
		<-done
		require.Eventually(t, func() bool {
			s.mu.Lock()
			defer s.mu.Unlock()
			return !s.saving
		}, time.Minute, time.Millisecond)
		require.NoError(t, s.log.Close())
	})
	t.Cleanup(stop)
	return ln.Addr().String(), stop
}

// fill gives every kind of value that the format treats differently: numbers that fit in one, two
// and four bytes and those that do not, texts that only look like numbers, lengths of 6, 14 and 32 bits.
func fill(t *testing.T, c *redistest.Conn) map[string]string {
	t.Helper()
	want := map[string]string{}
	set := func(key, value string) {
		want[key] = value
		_, err := c.Write(resp.AppendCommandStrings(nil, "SET", key, value))
		require.NoError(t, err)
		require.Equal(t, "OK", c.Reply())
	}
	for _, v := range []string{"", "0", "-1", "127", "128", "-128", "-129", "32767", "32768", "-32769", "2147483647", "2147483648",
		"-2147483648", "-2147483649", "9223372036854775807", "007", "-0", "+1", " 1", "1.5", "bin\x00\r\n\xff"} {
		set("v:"+v, v)
	}
	for _, n := range []int{1, 20, 63, 64, 16383, 16384, 70000} {
		set("len"+strconv.Itoa(n), strings.Repeat("ab", n)[:n])
		text := []byte{}
		for i := 0; len(text) < n; i++ {
			text = fmt.Appendf(text, "%x", uint32(i)*2654435761)
		}
		set("mixed"+strconv.Itoa(n), string(text[:n]))
	}
	set("12345", "a key that is a number")
	set("", "the empty key")
	return want
}

func expectAll(t *testing.T, c *redistest.Conn, want map[string]string) {
	t.Helper()
	require.Equal(t, strconv.Itoa(len(want)), c.Do("DBSIZE"))
	for key, value := range want {
		c.Write(resp.AppendCommandStrings(nil, "GET", key))
		require.Equal(t, value, c.Reply(), "%q", key)
	}
}

func dumpOf(t *testing.T, dir string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, "dump.rdb"))
	require.NoError(t, err)
	return b
}

func TestBytesOfADump(t *testing.T) {
	dir := t.TempDir()
	addr, _ := start(t, dir, false)
	c := redistest.Dial(t, addr)
	c.Do("SELECT 3")
	c.Do("SET key value PXAT 32503680000000")
	require.Equal(t, "OK", c.Do("SAVE"))
	want := []byte("REDIS0010\xfe\x03\xfc\x00\x94\x63\xd1\x8f\x1d\x00\x00\x00\x03key\x05value\xff")
	binary.LittleEndian.PutUint64(want[12:], 32503680000000)
	want = binary.LittleEndian.AppendUint64(want, checksum(0, want))
	require.Equal(t, want, dumpOf(t, dir))
	require.Equal(t, uint64(0xe9c6d914c4b8d9ca), checksum(checksum(0, []byte("1234")), []byte("56789")), "Redis's check value")
}

// What GUIDE.md says that single pieces print.
func TestPiecesAlone(t *testing.T) {
	reader := func(s string) *rdbReader { return &rdbReader{r: bufio.NewReader(strings.NewReader(s))} }
	require.Equal(t, "42 bc", fmt.Sprintf("% x", appendLength(nil, 700)))
	e := store.SnapshotEntry{Key: "key", Value: store.NewString([]byte("value")), ExpireMs: -1}
	require.Equal(t, "00 03 6b 65 79 05 76 61 6c 75 65", fmt.Sprintf("% x", appendEntry(nil, e)))

	r := reader("RED")
	require.Equal(t, "RE", string(r.read(2)))
	require.Len(t, r.read(2), 9)
	require.ErrorContains(t, r.err, "offset ")

	n, special := reader("\x42\xbc").length()
	require.Equal(t, uint64(700), n)
	require.False(t, special)
	require.Equal(t, "-128", string(reader("\xc0\x80").str()))

	srv := &server{data: store.New(16)}
	srv.data.DB(0).Set([]byte("key"), store.NewString([]byte("value")))
	d := srv.beginDump()
	d.snap.Next(500)
	require.Equal(t, `"REDIS0010\xfe\x00\x00\x03key\x05value"`, fmt.Sprintf("%q", d.out))
	d.snap.Close()
	var out strings.Builder
	srv = &server{data: store.New(16)}
	require.NoError(t, srv.beginDump().write(&out, &srv.mu))
	require.Equal(t, `"REDIS0010\xff\xa9\xfd7\xfe\x89\xa7~\xeb"`, fmt.Sprintf("%q", out.String()))

	read := func(s string) (int, string) {
		srv := &server{data: store.New(16)}
		err := srv.readRDB(bufio.NewReader(strings.NewReader(s)))
		return srv.data.DB(1).Len(), fmt.Sprint(err)
	}
	_, err := read("REDIS0010\xf9\xfa\xfa\x01a\x01b")
	require.Equal(t, "offset 16: 1 more bytes expected, but only 0 are there", err)
	n1, err := read("REDIS0010\xfe\x01\x00\x03key\x05value")
	require.Equal(t, 1, n1)
	require.Equal(t, "offset 22: 1 more bytes expected, but only 0 are there", err)
	_, err = read("REDIS0010\xff" + strings.Repeat("\x00", 8))
	require.Equal(t, "<nil>", err)
	_, err = read("REDIS0010\x0e\x01k")
	require.Equal(t, `offset 12: key "k" is of type 14, a list: this step only knows strings`, err)
}

func TestSaveAndLoad(t *testing.T) {
	for _, command := range []string{"SAVE", "BGSAVE"} {
		t.Run(command, func(t *testing.T) {
			dir := t.TempDir()
			addr, stop := start(t, dir, false)
			c := redistest.Dial(t, addr)
			want := fill(t, c)
			c.Do("SELECT 9")
			c.Do("SET ttl x EX 1000")
			c.Do("SET soon x PX 1")
			c.Do(command)
			stop()
			addr, _ = start(t, dir, false)
			c = redistest.Dial(t, addr)
			expectAll(t, c, want)
			c.Do("SELECT 9")
			require.Equal(t, "1000", c.Do("TTL ttl"))
			require.Equal(t, "(nil)", c.Do("GET soon"))
			names, err := os.ReadDir(dir)
			require.NoError(t, err)
			require.Len(t, names, 1, "no temporary file is left")
		})
	}
}

func TestErrorsOfSave(t *testing.T) {
	dir := t.TempDir()
	addr, _ := start(t, dir, false)
	c := redistest.Dial(t, addr)
	c.Do("SET a old")
	require.Equal(t, "OK", c.Do("SAVE"))
	old := dumpOf(t, dir)
	require.NoError(t, os.Rename(dir, dir+"-away"))
	require.Contains(t, c.Do("SAVE"), "-ERR open ")
	require.Equal(t, "Background saving started", c.Do("BGSAVE"))
	require.NoError(t, os.Rename(dir+"-away", dir))
	require.Eventually(t, func() bool { return c.Do("SAVE") == "OK" }, time.Minute, time.Millisecond, "a save that failed is no obstacle")
	require.Equal(t, old, dumpOf(t, dir))
	last, _ := strconv.ParseInt(c.Do("LASTSAVE"), 10, 64)
	require.InDelta(t, time.Now().Unix(), last, 60)
}

func TestOneSaveAtATime(t *testing.T) {
	s, err := newServer(&basics.Options{Dir: t.TempDir()})
	require.NoError(t, err)
	s.saving = true
	c := s.newClient(nil)
	c.execute([][]byte{[]byte("SAVE")})
	c.execute([][]byte{[]byte("bgsave")})
	require.Equal(t, strings.Repeat("-ERR Background save already in progress\r\n", 2), string(c.W.Buf))
}

// gate lets a test stop a picture in the middle of its walk: the lock is asked for before each bite.
type gate struct{ before func() }

func (g gate) Lock()   { g.before() }
func (g gate) Unlock() {}

// While the picture is written, everything changes: it must show what was there at its beginning.
func TestPictureOfOneMoment(t *testing.T) {
	s, err := newServer(&basics.Options{Dir: t.TempDir()})
	require.NoError(t, err)
	do := commandsOf(t, s.newClient(nil))
	const keys = 5000
	for i := range keys {
		do("SET", strconv.Itoa(i), "old")
	}
	n := 0
	change := func() { // between two bites
		for range 200 {
			switch k := strconv.Itoa(n * 7 % keys); n % 5 {
			case 0:
				do("SET", k, "new")
			case 1:
				do("DEL", k)
			case 2:
				do("EXPIRE", k, "100")
			case 3:
				do("SET", "new"+k, "x")
			case 4:
				do("SET", k, "1")
				do("INCR", k)
			}
			n++
		}
		if n == 800 {
			do("FLUSHALL")
		}
	}
	var out bytes.Buffer
	require.NoError(t, s.beginDump().write(&out, gate{change}))
	require.Greater(t, n, 800)
	loaded := &server{data: store.New(16)}
	require.NoError(t, loaded.readRDB(bufio.NewReader(&out)))
	require.Equal(t, keys, loaded.data.DB(0).Len())
	loaded.data.DB(0).Each(func(e *store.Entry) bool {
		require.Equal(t, "old", string(e.Value().(*store.String).View()))
		require.False(t, e.HasExpiry())
		return true
	})
}

// Every file that is cut short or has one bit wrong is refused, or it loads as what it was.
func TestDamage(t *testing.T) {
	dir := t.TempDir()
	good := []byte("REDIS0010\xfa\x03ver\x057.0.1\xfe\x00\xfb\x02\x01\xfc\x00\x94\x63\xd1\x8f\x1d\x00\x00\x00\x01a\xc0\x05" +
		"\x00\x01b\xc3\x09\x31\x01\x61\x61\xe0\x24\x00\x01\x61\x61\xff")
	good = binary.LittleEndian.AppendUint64(good, checksum(0, good))
	load := func(b []byte) error {
		require.NoError(t, os.WriteFile(filepath.Join(dir, "dump.rdb"), b, 0o644))
		_, err := newServer(&basics.Options{Dir: dir})
		return err
	}
	require.NoError(t, load(good))
	for n := range good {
		require.Error(t, load(good[:n]), "cut to %d bytes", n)
	}
	for bit := range 8 * len(good) {
		bad := bytes.Clone(good)
		bad[bit/8] ^= 1 << (bit % 8)
		err := load(bad)
		if bit/8 >= 5 && bit/8 < 9 && err == nil {
			continue // another version that we read too
		}
		require.Error(t, err, "bit %d", bit)
		require.ErrorContains(t, err, "dump.rdb: offset ")
	}
	require.ErrorContains(t, load([]byte("REDIS0011")), "not the header of an RDB of version 10 or older")
	require.ErrorContains(t, load([]byte("REDIS0010\xfe\x10\xff")), "database 16 does not exist here")
	require.ErrorContains(t, load([]byte("REDIS0010\x01\x03key\x01\x01x\xff")), `key "key" is of type 1, a list: this step only knows strings`)
	require.ErrorContains(t, load([]byte("REDIS0010\x00\x01a\x80\x1f\xff\xff\xff")), "more bytes expected, but only 0 are there")
	require.ErrorContains(t, load([]byte("REDIS0010\x00\x01a\x81\xff\xff\xff\xff\xff\xff\xff\xff")), "512 MB are the limit")
	require.NoError(t, load([]byte("REDIS0010\x00\x01a\x01b\xff\x00\x00\x00\x00\x00\x00\x00\x00")), "a file without a checksum")
}

func TestRedisLoadsOurs(t *testing.T) {
	dir := t.TempDir()
	addr, stop := start(t, dir, false)
	c := redistest.Dial(t, addr)
	want := fill(t, c)
	c.Do("SELECT 2")
	c.Do("SET ttl x PXAT 32503680000000")
	require.Equal(t, "OK", c.Do("SAVE"))
	stop()
	r := redistest.Dial(t, redistest.Start(t, dir))
	expectAll(t, r, want)
	r.Do("SELECT 2")
	require.Equal(t, "32503680000000", r.Do("PEXPIRETIME ttl"))
	out, err := exec.Command("redis-check-rdb", filepath.Join(dir, "dump.rdb")).CombinedOutput()
	require.NoError(t, err, string(out))
}

func TestWeLoadThoseOfRedis(t *testing.T) {
	dir := t.TempDir()
	r := redistest.Dial(t, redistest.Start(t, dir))
	want := fill(t, r)
	r.Do("SELECT 2")
	r.Do("SET ttl x PXAT 32503680000000")
	require.Equal(t, "OK", r.Do("SAVE"))
	addr, _ := start(t, dir, false)
	c := redistest.Dial(t, addr)
	expectAll(t, c, want)
	c.Do("SELECT 2")
	require.Equal(t, "1", c.Do("DBSIZE"))
	require.Equal(t, "x", c.Do("GET ttl"))
	r.Do("RPUSH mylist x")
	require.Equal(t, "OK", r.Do("SAVE"))
	_, err := newServer(&basics.Options{Dir: dir})
	require.ErrorContains(t, err, `key "mylist" is of type 18, a list`)
}

// The log of a real Redis begins with a snapshot, and so does ours.
func TestLogWithABaseBothWays(t *testing.T) {
	dir := t.TempDir()
	addr, stop := start(t, dir, true)
	c := redistest.Dial(t, addr)
	want := fill(t, c)
	stop()
	r := redistest.Dial(t, redistest.Start(t, dir, "--appendonly", "yes"))
	expectAll(t, r, want)
	require.Contains(t, r.Do("BGREWRITEAOF"), "started")
	require.Eventually(t, func() bool { return strings.Contains(r.Do("INFO persistence"), "aof_rewrite_in_progress:0") }, time.Minute, 10*time.Millisecond)
	r.Do("SET later x")
	want["later"] = "x"
	fmt.Fprint(r, "SHUTDOWN\r\n")
	_, err := r.R.ReadValue()
	require.Error(t, err, "Redis is gone")
	addr, stop = start(t, dir, true)
	c = redistest.Dial(t, addr)
	expectAll(t, c, want)
	require.Equal(t, "OK", c.Do("SET last x"))
	want["last"] = "x"
	stop()
	addr, _ = start(t, dir, true)
	expectAll(t, redistest.Dial(t, addr), want)
}

func TestProgram(t *testing.T) {
	bin := redistest.Program(t, "06-rdb")
	cmd := exec.Command(bin, "-addr", "127.0.0.1:0", "-dir", t.TempDir(), "-trace")
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { cmd.Process.Kill() })
	lines := bufio.NewScanner(stdout)
	require.True(t, lines.Scan())
	require.Contains(t, lines.Text(), "redis-cli -p ")
	c := redistest.Dial(t, strings.TrimSuffix(strings.Fields(lines.Text())[3], "."))
	require.Equal(t, "PONG", c.Do("PING"))
	require.True(t, lines.Scan())
	require.Contains(t, lines.Text(), "array of 1")
	go func() {
		for lines.Scan() {
		}
	}()
	require.NoError(t, cmd.Process.Signal(os.Interrupt))
	require.NoError(t, cmd.Wait(), "Ctrl-C ends it with exit code 0")
}

// commandsOf returns a function that executes a command which must not fail.
func commandsOf(t *testing.T, c *client) func(words ...string) {
	return func(words ...string) {
		c.W.Buf = c.W.Buf[:0]
		args := [][]byte{}
		for _, w := range words {
			args = append(args, []byte(w))
		}
		c.execute(args)
		require.NotEqual(t, byte('-'), c.W.Buf[0], "%s", c.W.Buf)
	}
}
