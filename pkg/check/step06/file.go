package step06

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"byor/pkg/check"
	"byor/pkg/check/process"
	"byor/pkg/check/step05"
)

// Step 06: files that no server of ours wrote: with all opcodes, damaged, from and for a real Redis.

// sealed returns an RDB with these entries.
func sealed(entries string) []byte {
	b := []byte("REDIS0010" + entries + "\xff")
	return binary.LittleEndian.AppendUint64(b, rdbChecksum(b))
}

// everyOpcode starts the server on a file that no Redis would write just so: everything is in it.
func everyOpcode(t *check.T) {
	le := func(n int64, bytes int) string {
		return string(binary.LittleEndian.AppendUint64(nil, uint64(n)))[:bytes]
	}
	now := time.Now()
	long := strings.Repeat("long ", 60) // 300 bytes
	file := sealed("\xfa\x09redis-ver\x055.0.0\xfa\x0aredis-bits\xc0\x40\xfa\x05ctime\xc2" + le(now.Unix(), 4) +
		"\xfe\x00\xfb\x40\x09\x02" +
		"\xf8\x41\x00\x00\x04idle\xc0\x80" + // idle for 256 seconds; the value is -128
		"\xf9\xff\x00\x04freq\xc1\x00\x80" + // -32768
		"\xf8\x80\x00\x01\x00\x00\x00\x04four\xc2\x00\x00\x00\x80" + // idle for 65536 seconds; -2147483648
		"\xfd" + le(now.Unix()+1000, 4) + "\x00\x07seconds\x01v" +
		"\xfc" + le(now.UnixMilli()+500_000, 8) + "\xf9\x01\x00\x02ms\x01v" +
		"\xfd" + le(now.Unix()-1000, 4) + "\x00\x04past\x01v" +
		"\x00\x05eight\x81\x00\x00\x00\x00\x00\x00\x01\x2c" + long +
		"\xfe\x03\x00\x01k\x02of" +
		// Key 7: abc; 264 bytes from 3 back, then 4 more; 3 from 260 back.
		"\xfe\x00\x00\xc0\x07\xc3\x0b\x41\x12\x02abc\xe0\xff\x02\x40\x02\x21\x03")
	dir := t.TempDir()
	step05.CutFile(t, filepath.Join(dir, "dump.rdb"), file, len(file))
	s := t.Start(process.Options{Dir: dir})
	step05.AwaitLoaded(t, s)
	notEmpty(t.DialTo(s)).Ask(check.Bulk("-128"), "GET", "idle").Ask(check.Bulk("-32768"), "GET", "freq").Ask(check.Bulk("-2147483648"), "GET", "four").
		Between(900_000, 1_000_000, "PTTL", "seconds").Between(400_000, 500_000, "PTTL", "ms").
		Ask(":-1\r\n", "PTTL", "eight").Ask("$-1\r\n", "GET", "past").Ask(check.Bulk(long), "GET", "eight").
		Ask(check.Bulk(strings.Repeat("abc", 91)[:271]+"cab"), "GET", "7").Ask(":7\r\n", "DBSIZE").
		Ask("+OK\r\n", "SELECT", "3").Ask(check.Bulk("of"), "GET", "k").Ask(":1\r\n", "DBSIZE")
}

func rdbDamage(t *check.T) {
	s := t.Start(process.Options{})
	t.DialTo(s).Ask("+OK\r\n", "SET", "a", "some value").Ask("+OK\r\n", "SET", "b", "another").Ask("+OK\r\n", "SAVE")
	reloaded(t.Hint(notReread), s)
	s.Kill()
	good := dumpBytes(t, s)
	at := bytes.Index(good, []byte("value"))
	flipped := append([]byte{}, good...)
	flipped[max(at, 0)] ^= 0x20
	huge := append([]byte("REDIS0010\xfe\x00\x00\x80\x7f\xff\xff\xff"), good[9:]...)
	for _, damage := range []struct {
		what string
		file []byte
	}{
		{"not an RDB at all", []byte("hello, this is no RDB file\n")},
		{"the second half missing", good[:len(good)/2+4]},
		{"the checksum missing", good[:len(good)-8]},
		{"half of the checksum missing", good[:len(good)-4]},
		{"a length of 2 GB", huge},
		{"a length of 4 exabytes", sealed("\xfe\x00\x00\x81\x3f\xff\xff\xff\xff\xff\xff\xffk\x01v")},
		{"one bit of a value flipped", flipped},
		{"a database that the server does not have", sealed("\xfe\x80\x7f\xff\xff\xff\x00\x01a\x011")},
		{"a compressed string that goes back to before its first byte", sealed("\xfe\x00\x00\x01a\xc3\x02\x03\x20\x05")},
		{"a compressed string that ends before its time", sealed("\xfe\x00\x00\x01a\xc3\x01\x06\x05")},
		{"a compressed string shorter than it says", sealed("\xfe\x00\x00\x01a\xc3\x02\x09\x00x")},
		{"a compressed string longer than it says", sealed("\xfe\x00\x00\x01a\xc3\x03\x01\x01xy")},
	} {
		t.Hint("%s: compare the checksum, check every length against what is left, and refuse with the offset and what was expected", damage.what)
		step05.CutFile(t, dump(s), damage.file, len(damage.file))
		boundedRefusal(t, s, damage.what)
		t.Require(strings.TrimSpace(s.Output()) != "", "a message that says what is wrong", "silence")
	}
	os.Remove(dump(s))
	if os.Symlink("dump.rdb", dump(s)) == nil { // to itself, so it cannot be opened
		s.Run()
		code, ended := s.Exit(t.Limit)
		t.Hint("dump.rdb is there and cannot be opened: only one that does not exist means a new server, else the next save puts an empty picture in its place").
			Require(ended && code > 0, "the server ends at once, with an exit code other than 0", "ended=%v, exit code %d%s", ended, code, s.Said())
	}
}

// boundedRefusal is step05.RefusesToStart, but knows the crash of a server that takes memory for what a length claims.
func boundedRefusal(t *check.T, s *process.Server, what string) {
	defer func() {
		p := recover()
		if f, failed := p.(check.Failure); failed && (strings.Contains(f.Got, "makeslice") || strings.Contains(f.Got, "out of memory")) {
			f.Hint = "memory is taken for what a length claims, and the file claims what it does not have: refuse more than 512 MB, and take memory only for bytes that have come"
			p = f
		}
		if p != nil {
			panic(p)
		}
	}()
	step05.RefusesToStart(t, s, ": "+what)
}

func rdbIntoRedis(t *check.T) {
	s := t.Start(process.Options{})
	c := t.DialTo(s)
	for _, v := range numberLike {
		c.Ask("+OK\r\n", "SET", "k"+v, v)
	}
	c.Ask("+OK\r\n", "SET", "long", strings.Repeat("text ", 20_000)).Ask("+OK\r\n", "SET", "ttl", "v", "PX", "600000").Ask("+OK\r\n", "SAVE")
	dumpBytes(t, s)
	if path, err := exec.LookPath("redis-check-rdb"); err == nil {
		out, err := exec.Command(path, dump(s)).CombinedOutput()
		t.Require(err == nil, "redis-check-rdb approves", "%s", out)
	}
	dir := t.TempDir()
	b := dumpBytes(t, s)
	step05.CutFile(t, filepath.Join(dir, "dump.rdb"), b, len(b))
	r := t.Redis(process.Options{Dir: dir})
	step05.AwaitLoaded(t, r)
	rc := t.DialTo(r).Hint("a real Redis reads another text than you were given: 007 is not 7. An integer may only stand for a text that it prints as")
	for _, v := range numberLike {
		rc.Ask(check.Bulk(v), "GET", "k"+v)
	}
	rc.Hint("a real Redis reads another value than you were given").Ask(check.Bulk(strings.Repeat("text ", 20_000)), "GET", "long").Between(500_000, 600_000, "PTTL", "ttl")
}

func rdbFromRedis(t *check.T) {
	r := t.Redis(process.Options{})
	rc := t.DialTo(r)
	for _, v := range numberLike {
		rc.Ask("+OK\r\n", "SET", "k"+v, v).Ask("+OK\r\n", "SET", v, "v")
	}
	lzf := []string{strings.Repeat("a", 49), strings.Repeat("abcdefghij", 1000), strings.Repeat("x", 400) + strings.Repeat("the quick brown fox ", 60)}
	for i, v := range lzf {
		rc.Ask("+OK\r\n", "SET", fmt.Sprint("lzf", i), v)
	}
	rc.Ask("+OK\r\n", "SET", "ttl", "v", "PX", "600000").Ask("+OK\r\n", "SET", "past", "v", "PX", "100").Ask("+OK\r\n", "SAVE")
	dir := t.TempDir()
	b := dumpBytes(t, r)
	step05.CutFile(t, filepath.Join(dir, "dump.rdb"), b, len(b))
	r.Kill()
	t.Sleep(150 * time.Millisecond)
	s := t.Start(process.Options{Dir: dir})
	step05.AwaitLoaded(t, s)
	c := notEmpty(t.DialTo(s))
	for _, v := range numberLike {
		c.Ask(check.Bulk(v), "GET", "k"+v).Ask(check.Bulk("v"), "GET", v)
	}
	for i, v := range lzf {
		c.Hint("a compressed string: C3, compressed length, length, then LZF; its runs may overlap what they copy").Ask(check.Bulk(v), "GET", fmt.Sprint("lzf", i))
	}
	c.Hint("FC is a deadline in milliseconds, little endian, for the key that follows").
		Between(500_000, 600_000, "PTTL", "ttl").Ask("$-1\r\n", "GET", "past")
}

func unknownType(t *check.T) {
	r := t.Redis(process.Options{})
	rc := t.DialTo(r)
	for i := range 20 { // a few of them stand in front of the list
		rc.Ask("+OK\r\n", "SET", fmt.Sprint("a", i), "1")
	}
	rc.Ask(":1\r\n", "RPUSH", "mylist", "x").Ask("+OK\r\n", "SAVE")
	dir := t.TempDir()
	b := dumpBytes(t, r)
	step05.CutFile(t, filepath.Join(dir, "dump.rdb"), b, len(b))
	s, err := t.TryStart(process.Options{Dir: dir})
	if err == nil {
		step05.AwaitLoaded(t, s)
		c := t.DialTo(s)
		if check.Text(c.Do("LLEN", "mylist")) == "1" {
			return // it knows lists, as a real redis-server does: nothing to refuse
		}
		notEmpty(c)
	}
	t.Require(err != nil, "the server ends at once, with a message that names the type and the key", "it serves, as if nothing were missing")
	t.Require(strings.Contains(strings.ToLower(s.Output()), "type"), "a message that names the type", "%s", s.Output())
	t.Require(strings.Contains(s.Output(), "mylist"), "a message that names the key mylist", "%s", s.Output())
}
