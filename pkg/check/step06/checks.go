// Package step06 holds the checks of step 06 and of its exercises: a picture of the data at one moment, in Redis's
// own file format.
package step06

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc64"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"byor/pkg/check"
	"byor/pkg/check/process"
	"byor/pkg/check/step05"
	"byor/pkg/check/trace"
	"byor/pkg/resp"
)

func init() {
	check.Register(6, 0,
		check.Check{Name: "save-file", What: "SAVE writes dump.rdb with header, end mark and checksum", Run: saveFile, Own: true, Guide: "On the wire", After: 5,
			Hint: saveHint},
		check.Check{Name: "file-bytes", What: "lengths, deadlines and databases are written as Redis writes them", Run: fileBytes, Own: true, Guide: "On the wire", After: 5,
			Hint: "look at xxd dump.rdb beside the table in the guide"},
		check.Check{Name: "bgsave", What: "BGSAVE answers at once and saves", Run: bgsave, Own: true, Guide: "Build it", After: 5,
			Hint: "answer +Background saving started, and let a goroutine do the work"},
		check.Check{Name: "old-file-stays", What: "the old dump is untouched until the new one is whole", Run: oldFileStays, Own: true, After: 5,
			Hint: "writing into dump.rdb itself destroys the old picture before the new one is whole: write a temporary file and rename it"},
		check.Check{Name: "sync-then-rename", What: "the new file is synced before it is renamed", Run: syncThenRename, Own: true, After: 5,
			Hint: "rename without fsync: after a power cut the name may stand on an empty file. Sync the file, then rename it, then sync the directory"},
		check.Check{Name: "files-are-closed", What: "a save leaves no file open", Run: filesAreClosed, Own: true, After: 5,
			Hint: "close the temporary file, also when something went wrong: a process may have some thousand files open, and then it can open no more"},
		check.Check{Name: "disk-fails", What: "a save that fails says so, keeps the old dump and leaves nothing else", Run: diskFails, Own: true, After: 5,
			Hint: "the disk refuses to sync, and SAVE says OK: what is not on the disk is not saved, so return the error of Sync, too"},
		check.Check{Name: "disk-is-full", What: "a save that does not fit says so, keeps the old dump and leaves nothing else", Run: diskIsFull, Own: true, After: 5,
			Hint: "the disk is full, and SAVE says OK: look at the error of every Write (with a bufio.Writer, at that of Flush)"},
		check.Check{Name: "redis-reads-it", What: "redis-check-rdb approves the dump and redis-server loads it", Run: rdbIntoRedis, Own: true, Guide: "How real Redis does it", After: 5,
			Hint: "the format is Redis's, byte for byte: run redis-check-rdb dump.rdb and read what it says"},
		check.Check{Name: "disk-is-slow", What: "commands are answered while BGSAVE waits for the disk", Run: diskIsSlow, Own: true, Slow: 3, After: 5,
			Hint: "lock held during disk I/O: hold it only while you copy, never while you write or sync"},
		check.Check{Name: "reload", What: "a restart loads what SAVE saved", Run: rdbReload, Own: true, Guide: "Build it", After: 12,
			Hint: "load dump.rdb from the data directory before the first connection is accepted (Build it, pieces 6 to 12)"},
		check.Check{Name: "lengths", What: "strings of every length encoding survive", Run: rdbLengths, Own: true, After: 12,
			Hint: "a length is read wrongly: the two highest bits of its first byte say how long it is, and the rest is big endian"},
		check.Check{Name: "number-like", What: "values that look like numbers come back as the same text", Run: rdbNumbers, Own: true, After: 12,
			Hint: "a value came back as another text: write 007 as the three bytes that it is, and only then think of integers"},
		check.Check{Name: "expiry-saved", What: "deadlines survive, past ones do not come back", Run: rdbExpiry, Own: true, After: 12,
			Hint: "FC and 8 bytes, little endian, Unix milliseconds, before the type byte; a key whose time has passed is dropped at load"},
		check.Check{Name: "databases", What: "each key comes back in its own database", Run: rdbDatabases, Own: true, After: 12,
			Hint: "what follows FE and a number goes into that database, until the next FE"},
		check.Check{Name: "reads-redis", What: "the dump of a real redis-server is loaded", Run: rdbFromRedis, Own: true, After: 12,
			Hint: "reading only one's own files: a real dump holds aux fields (FA), size hints (FB), integers (C0 C1 C2) and compressed strings (C3, LZF)"},
		check.Check{Name: "every-opcode", What: "a dump with all opcodes and encodings is loaded", Run: everyOpcode, Own: true, Guide: "Build it", After: 12,
			Hint: "FA: two strings, FB: two lengths, F8: a length, F9: one byte, FC: 8 bytes of milliseconds, FD: 4 of seconds, both little endian; lengths: 80 and 4 bytes, 81 and 8, both big endian"},
		check.Check{Name: "point-in-time", What: "a snapshot under writes shows one moment", Run: pointInTime, Own: true, Slow: 3, After: 12,
			Hint: "a picture must not mix before and after: BeginSnapshot draws the line under the lock, and each value is encoded in the function that gets it, not fetched later"},
		check.Check{Name: "damage-is-refused", What: "a damaged dump is refused with a message", Run: rdbDamage, Own: true, Slow: 2, After: 12,
			Hint: "compare the checksum and check every length before you trust it: a server must not start on half its data"},
		check.Check{Name: "unknown-type", What: "a type that the step does not know is refused by name", Run: unknownType, Own: true, After: 12,
			Hint: "a type byte that you cannot read has no length to skip by: say which key and type, and exit with an error"},
	)
}

const saveHint = "REDIS0010 at the start, FF and 8 bytes of CRC64 (little endian, over all bytes before it, FF too) at the end"

func dump(s *process.Server) string { return filepath.Join(s.Opt.Dir, "dump.rdb") }

// dumpBytes returns the contents of s's dump.rdb.
func dumpBytes(t *check.T, s *process.Server) []byte {
	b, err := os.ReadFile(dump(s))
	if err != nil {
		t.FailWith(check.Failure{Want: "a file dump.rdb in the data directory", Got: err.Error(), Hint: notSaved, Guide: "Build it"})
	}
	return b
}

const (
	notSaved   = "nothing was saved: see save-file first"
	notWritten = "no dump.rdb at all: write the picture into a temporary file in the directory that -dir says, and rename it to dump.rdb"
	notReread  = "the server cannot read what it has saved itself: its message names the byte, and xxd dump.rdb shows what stands there"
)

// saved waits for a dump.rdb.
func saved(t *check.T, s *process.Server, hint string) {
	t.Hinting(hint, func() {
		t.Until(8*time.Second, "dump.rdb appears", func() (bool, string) {
			_, err := os.Stat(dump(s))
			return err == nil, fmt.Sprint(err)
		})
	})
}

var jones = crc64.MakeTable(0x95ac9329ac4bc9b5)

// rdbChecksum is the checksum of an RDB file; Redis does not complement it, hash/crc64 does.
func rdbChecksum(b []byte) uint64 { return ^crc64.Update(^uint64(0), jones, b) }

func saveFile(t *check.T) {
	s := t.Start(process.Options{})
	begin := time.Now().Unix()
	t.DialTo(s).Ask("+OK\r\n", "SET", "key", "value").Ask("+OK\r\n", "SAVE").
		Hint("LASTSAVE is the time of the last save that went well, in seconds since 1970").Between(begin, begin+600, "LASTSAVE")
	t.Hinting(notWritten, func() {
		_, err := os.Stat(dump(s))
		t.Require(err == nil, "a file dump.rdb in the data directory", "%v", err)
	})
	t.Hint("%s", saveHint)
	b := dumpBytes(t, s)
	t.Require(len(b) > 18 && string(b[:7]) == "REDIS00", `"REDIS00…" and more`, "%s", trace.Visible(b, 200))
	body, sum := b[:len(b)-8], binary.LittleEndian.Uint64(b[len(b)-8:])
	t.Hint("the end is missing: behind the last key stands FF, and behind that 8 bytes of checksum").
		Require(body[len(body)-1] == 0xff, "FF before the last 8 bytes", "%s", trace.Visible(b, 200))
	t.Hint("the checksum is another: CRC-64 over all bytes before it, FF too, written little endian").
		Require(sum == rdbChecksum(body) || sum == 0, fmt.Sprintf("checksum %016x", rdbChecksum(body)), "%016x at the end of %s", sum, trace.Visible(b, 200))
	t.Require(bytes.Contains(b, []byte("\x00\x03key\x05value")), `00 03 "key" 05 "value" in the file`, "%s", trace.Visible(b, 200))
	names, _ := filepath.Glob(filepath.Join(s.Opt.Dir, "*temp*"))
	more, _ := filepath.Glob(filepath.Join(s.Opt.Dir, "*.tmp*"))
	t.Hint("the temporary file is renamed, so nothing of it stays").
		Require(len(names)+len(more) == 0, "no temporary files left behind", "%v %v", names, more)
}

// fileBytes looks for what the format says of lengths, deadlines and databases in the file itself.
func fileBytes(t *check.T) {
	s := t.Start(process.Options{})
	c := t.DialTo(s)
	if t.Real() {
		c.Ask("+OK\r\n", "CONFIG", "SET", "rdbcompression", "no")
	}
	at := time.Now().UnixMilli() + 600_000
	c.Ask("+OK\r\n", "SET", "deadline", "v", "PXAT", fmt.Sprint(at)).Ask("+OK\r\n", "SELECT", "3").Ask("+OK\r\n", "SET", "three", "v").Ask("+OK\r\n", "SELECT", "0")
	lengths := []struct {
		n    int
		code string
	}{{63, "\x3f"}, {64, "\x40\x40"}, {16383, "\x7f\xff"}, {16384, "\x80\x00\x00\x40\x00"}, {70_000, "\x80\x00\x01\x11\x70"}}
	noise := rand.New(rand.NewPCG(6, 6)) // nothing that anybody could compress
	values := map[int]string{}
	for _, l := range lengths {
		b := make([]byte, l.n)
		for i := range b {
			b[i] = byte(noise.Uint32())
		}
		values[l.n] = string(b)
	}
	for _, l := range lengths {
		c.Ask("+OK\r\n", "SET", fmt.Sprint("len", l.n), values[l.n])
	}
	c.Ask("+OK\r\n", "SAVE")
	b := dumpBytes(t, s)
	has := func(hint, want, got string) {
		t.Hint("%s", hint).Require(bytes.Contains(b, []byte(want)), trace.Visible([]byte(want), 60)+" in dump.rdb", "%s", got)
	}
	around := func(key string) string { return trace.Excerpt(b, bytes.Index(b, []byte(key))) }
	ms, key := binary.LittleEndian.AppendUint64(nil, uint64(at)), "\x00\x08deadline"
	if bytes.Contains(b, append(binary.LittleEndian.AppendUint64([]byte("\xfc"), uint64(at/1000)), key...)) {
		has("the deadline stands there in seconds: FC means Unix milliseconds", "\xfc"+string(ms)+key, around("deadline"))
	}
	has("a deadline is FC and 8 bytes of Unix milliseconds, little endian: the lowest byte first. It stands in front of the type byte", "\xfc"+string(ms)+key, around("deadline"))
	before, _, _ := bytes.Cut(b, []byte("\x00\x05three"))
	t.Hint("FE and the number of the database go in front of the first key of each database").
		Require(bytes.Contains(before[max(0, len(before)-5):], []byte("\xfe\x03")), `FE 03 in front of the key "three" (perhaps with FB and two lengths between)`, "%s", around("three"))
	for _, l := range lengths {
		name := fmt.Sprint("len", l.n)
		if code := fmt.Sprintf("%s%c", name, byte(l.n)); l.n == 64 && bytes.Contains(b, []byte(code+values[l.n][:20])) {
			has("64 was written in one byte. Its two highest bits are 01 then, which announce a second byte: 63 is the last length that fits into one", name+l.code+values[l.n][:20], around(name))
		}
		has("endianness: lengths are big endian (6, 14 or 32 bits, the highest byte first). 63 is the last that fits into one byte, 16383 the last for two",
			name+l.code+values[l.n][:20], around(name))
	}
}

func rdbReload(t *check.T) {
	s := t.Start(process.Options{})
	t.DialTo(s).Ask("+OK\r\n", "SET", "a", "1").Ask("+OK\r\n", "SET", "b", "two\r\nwords").Ask("+OK\r\n", "SET", "", "").Ask("+OK\r\n", "SAVE")
	dumpBytes(t, s)
	var c *check.Conn
	t.Hinting(notReread, func() { c = step05.Restart(t, s) })
	c.Ask(check.Bulk("1"), "GET", "a").Ask(check.Bulk("two\r\nwords"), "GET", "b").Ask(check.Bulk(""), "GET", "").Ask("+OK\r\n", "SAVE")
	step05.Restart(t, s).Ask(check.Bulk("1"), "GET", "a")
}

func rdbLengths(t *check.T) {
	s := t.Start(process.Options{})
	c := t.DialTo(s)
	sizes := []int{0, 1, 63, 64, 255, 256, 16383, 16384, 65536, 300_000}
	text := func(n int) string {
		var b strings.Builder
		for i := 0; b.Len() < n; i++ {
			fmt.Fprintf(&b, "%x.", i*i*2654435761)
		}
		return b.String()[:n]
	}
	for _, n := range sizes {
		c.Ask("+OK\r\n", "SET", fmt.Sprint("len:", n, strings.Repeat("k", n%300)), text(n))
	}
	c.Ask("+OK\r\n", "SAVE")
	c = reloaded(t, s)
	for _, n := range sizes {
		c.Ask(check.Bulk(text(n)), "GET", fmt.Sprint("len:", n, strings.Repeat("k", n%300)))
	}
}

var numberLike = []string{"0", "1", "-1", "127", "128", "-128", "-129", "255", "32767", "32768", "-32769", "2147483647", "2147483648",
	"-2147483648", "-2147483649", "12345678901", "007", "-0", "+1", " 1", "1.0", "9223372036854775807"}

func rdbNumbers(t *check.T) {
	s := t.Start(process.Options{})
	c := t.DialTo(s)
	for _, v := range numberLike {
		c.Ask("+OK\r\n", "SET", "k"+v, v).Ask("+OK\r\n", "SET", v, "v")
	}
	c.Ask("+OK\r\n", "SAVE")
	c = reloaded(t, s)
	for _, v := range numberLike {
		c.Ask(check.Bulk(v), "GET", "k"+v).Ask(check.Bulk("v"), "GET", v)
	}
}

func rdbExpiry(t *check.T) {
	s := t.Start(process.Options{})
	c := t.DialTo(s).Ask("+OK\r\n", "SET", "long", "v", "PX", "60000").Ask("+OK\r\n", "SET", "short", "v", "PX", "300")
	for i := range 30 { // a walk has no order: some of them come behind long
		c.Ask("+OK\r\n", "SET", fmt.Sprint("ever", i), "v")
	}
	c.Ask("+OK\r\n", "SAVE")
	t.Sleep(400 * time.Millisecond)
	c = reloaded(t, s).Between(30_000, 59_700, "PTTL", "long").Ask("$-1\r\n", "GET", "short")
	for i := range 30 {
		c.Hint("a deadline is for the next key only: forget it behind that key").Ask(":-1\r\n", "TTL", fmt.Sprint("ever", i))
	}
}

// rdbDatabases saves keys in three databases, of which two have a key in common.
func rdbDatabases(t *check.T) {
	s := t.Start(process.Options{})
	c := t.DialTo(s)
	for _, db := range []string{"0", "3", "15"} {
		c.Ask("+OK\r\n", "SELECT", db).Ask("+OK\r\n", "SET", "common", "of "+db).Ask("+OK\r\n", "SET", "only"+db, "v")
	}
	c.Ask("+OK\r\n", "SAVE")
	c = reloaded(t, s)
	for _, db := range []string{"15", "0", "3"} {
		c.Ask("+OK\r\n", "SELECT", db).Ask(check.Bulk("of "+db), "GET", "common").Ask(check.Bulk("v"), "GET", "only"+db).Ask(":2\r\n", "DBSIZE")
	}
}

// reloaded restarts s on what it has saved. Whoever does not load yet is told so, and not that
// something is wrong with a value.
func reloaded(t *check.T, s *process.Server) *check.Conn {
	dumpBytes(t, s)
	return notEmpty(step05.Restart(t, s))
}

// notEmpty is for a server that was started on a dump.rdb with keys in database 0.
func notEmpty(c *check.Conn) *check.Conn {
	if n := c.Do("DBSIZE"); n.Int == 0 {
		c.T.FailWith(check.Failure{Sent: resp.AppendCommandStrings(nil, "DBSIZE"), Want: "keys in database 0, from dump.rdb", Got: check.Text(n),
			Hint: "the server started empty, so dump.rdb was not loaded: see reload first", Guide: "Build it"})
	}
	return c
}

func bgsave(t *check.T) {
	s := t.Start(process.Options{})
	c := t.DialTo(s).Ask("+OK\r\n", "SET", "a", "1").Ask("+Background saving started\r\n", "BGSAVE")
	saved(t, s, "BGSAVE has written nothing: if save-file fails too, look there first; else the goroutine that it starts does not save")
	check.Explained(func() { c.Ask("+PONG\r\n", "PING") }, func(got string) string {
		if check.Silent(got) && s.Alive() {
			return "BGSAVE was answered and has saved, and then nobody gets an answer: write has taken the lock and not released it. Each bite needs mu.Lock and, before the Write, mu.Unlock (piece 4)"
		}
		return ""
	})
	t.Hint("the file that BGSAVE wrote does not hold the key: the picture is drawn by beginDump, before the goroutine starts").
		Require(bytes.Contains(dumpBytes(t, s), []byte("\x00\x01a")), `00 01 "a" in dump.rdb`, "%s", trace.Visible(dumpBytes(t, s), 200))
}

const bgsaveFirst = "BGSAVE has written nothing: see bgsave first"

// pointInTime writes a counter to one key after another. A picture of one moment holds n in the
// first few and n-1 in the rest; one that mixes moments holds something else. The zeroes in front make
// each bite large, so that some key is handed over while it is being written.
func pointInTime(t *check.T) {
	s := t.Start(process.Options{})
	c := t.DialTo(s)
	const keys = 2000
	round := func(n, from, to int) string {
		var in []byte
		for k := from; k < to; k++ {
			in = resp.AppendCommandStrings(in, "SET", fmt.Sprintf("pit:%04d", k), fmt.Sprintf("%0600d", n))
		}
		return string(in)
	}
	oks := strings.Repeat("+OK\r\n", keys)
	for n := range 3 {
		c.Exchange(round(n, 0, keys), oks)
	}
	// The BGSAVE comes in the midst of a round, so that the server is busy from the moment of the picture on.
	const ok, first = len("+OK\r\n"), 200
	c.Exchange(round(3, 0, first)+string(resp.AppendCommandStrings(nil, "BGSAVE"))+round(3, first, keys),
		oks[:first*ok]+"+Background saving started\r\n"+oks[first*ok:])
	stop := make(chan bool)
	var wg sync.WaitGroup
	wg.Add(1)
	var failed any
	go func() {
		defer wg.Done()
		defer func() { failed = recover() }()
		w := t.DialTo(s)
		for n := 4; ; n++ {
			w.Exchange(round(n, 0, keys), oks)
			select {
			case <-stop:
				return
			default:
			}
		}
	}()
	saved(t, s, bgsaveFirst)
	close(stop)
	wg.Wait()
	if failed != nil {
		panic(failed)
	}
	t.Hint("%s", sharedBuffer)
	again := reloaded(t, s)
	oneMoment(t.Hint("a picture must not mix before and after: BeginSnapshot draws the line under the lock, and each value is encoded in the function that gets it, not fetched later"), again, keys)
}

const sharedBuffer = "if reload and bgsave pass, the picture is damaged by those who write meanwhile: what is being written outside of the lock must not share its buffer with what is encoded next, so begin a new one (nil, not [:0])"

// oneMoment expects n in the first of pointInTime's keys and n-1 in all the others.
func oneMoment(t *check.T, c *check.Conn, keys int) {
	first, drops := -1, 0
	for k, prev := 0, 0; k < keys; k++ {
		key := fmt.Sprintf("pit:%04d", k)
		v := c.Do("GET", key)
		n, err := strconv.Atoi(check.Text(v))
		if err != nil {
			t.FailWith(check.Failure{Want: "a counter in every key", Got: trace.Visible([]byte(check.Text(v)), 100) + " in " + key, Hint: sharedBuffer})
		}
		if k == 0 {
			first = n
		} else if n != prev {
			drops++
		}
		prev = n
		t.Require((n == first || n == first-1) && drops <= 1, "n in the first keys and n-1 in all the others",
			"%d in the first key, %d in key %d after %d changes", first, n, k, drops)
	}
}
