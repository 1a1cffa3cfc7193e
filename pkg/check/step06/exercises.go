package step06

import (
	"bytes"
	"fmt"
	"math/rand"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"byor/pkg/check"
	"byor/pkg/check/process"
	"byor/pkg/check/step05"
	"byor/pkg/check/trace"
)

// The exercises of step 06.

func init() {
	ex := func(k int, c check.Check) {
		c.Own = true
		check.Register(6, k, c)
	}
	ex(1, check.Check{Name: "aux", What: "the dump says who wrote it and when", Run: exAux,
		NotRedis: "it writes more remarks", Hint: "FA, then name and value as strings, right behind the header; the checksum covers them"})
	ex(2, check.Check{Name: "small-integers", What: "numbers are written as C0, C1 and C2", Run: exIntegers,
		Hint: "parse, print again, compare: only what is printed the same is a number; then the shortest of 1, 2 and 4 bytes, little endian"})
	ex(3, check.Check{Name: "save-points", What: "-save begins a BGSAVE after so many changes and seconds", Run: exSavePoints, Slow: 3,
		NotRedis: "its cron and delays are its own", Hint: "count effects in the one place they pass through; after a save take away what its picture held, not all"})
	ex(3, check.Check{Name: "save-points-meanwhile", What: "changes made while a save is running count for the next one", Run: exSaveMeanwhile, Slow: 3,
		NotRedis: "its cron and delays are its own", Hint: "when a save is over, take away from the counter what it was when the picture was taken; do not set it to 0"})
	ex(4, check.Check{Name: "lzf", What: "values are packed where that saves four bytes", Run: exLZF, Slow: 2,
		Hint: "C3, packed length, length, bytes; a run is at most 264 long and 8192 away, a row of literals 32"})
	ex(5, check.Check{Name: "pause", What: "INFO tells the longest pause of a save", Run: exPause,
		NotRedis: "it has no such line", Hint: "the clock starts when you have the lock, not when you ask for it"})
}

func exAux(t *check.T) {
	s := t.Start(process.Options{})
	now := time.Now().Unix()
	t.DialTo(s).Ask("+OK\r\n", "SET", "a", "1").Ask("+OK\r\n", "SAVE")
	b := dumpBytes(t, s)
	want := "REDIS0010\xfa\x09redis-ver\x067.0.15\xfa\x05ctime"
	t.Require(strings.HasPrefix(string(b), want), trace.Visible([]byte(want), 0)+" at the start", "%s", trace.Visible(b, 120))
	rest := b[len(want):]
	ok := false
	for at := now - 1; at <= now+5; at++ {
		text := strconv.FormatInt(at, 10)
		number := []byte{0xc2, byte(at), byte(at >> 8), byte(at >> 16), byte(at >> 24)}
		ok = ok || bytes.HasPrefix(rest, append([]byte{byte(len(text))}, text...)) || bytes.HasPrefix(rest, number)
	}
	t.Require(ok, fmt.Sprintf("about %d behind ctime", now), "%s", trace.Visible(rest[:min(20, len(rest))], 0))
	if path, err := exec.LookPath("redis-check-rdb"); err == nil {
		out, err := exec.Command(path, dump(s)).CombinedOutput()
		t.Require(err == nil && strings.Contains(string(out), "redis-ver = '7.0.15'"), "redis-check-rdb shows redis-ver", "%s", out)
	}
	step05.Restart(t, s).Ask(check.Bulk("1"), "GET", "a")
}

func exIntegers(t *check.T) {
	s := t.Start(process.Options{})
	c := t.DialTo(s)
	for _, v := range numberLike {
		c.Ask("+OK\r\n", "SET", "k"+v, v).Ask("+OK\r\n", "SET", v, "v")
	}
	c.Ask("+OK\r\n", "SET", "x", "12345").Ask("+OK\r\n", "SAVE")
	b := dumpBytes(t, s)
	for _, want := range []string{"\x00\x01x\xc1\x39\x30", "\x00\x05k-128\xc0\x80", "\x00\x02k0\xc0\x00", "\x00\x04k128\xc1\x80\x00", "\x00\x06k32768\xc2\x00\x80\x00\x00",
		"\x00\x04k007\x03007", "\x00\x03k+1\x02+1", "\x00\x03k-0\x02-0", "\x00\x0bk2147483648\x0a2147483648", "\x00\x0bk2147483647\xc2\xff\xff\xff\x7f", "\x00\xc0\x7f\x01v"} {
		t.Require(bytes.Contains(b, []byte(want)), fmt.Sprintf("%s in the file, in hex % x", trace.Visible([]byte(want), 0), want), "%s", trace.Visible(b, 400))
	}
	c = step05.Restart(t, s)
	for _, v := range numberLike {
		c.Ask(check.Bulk(v), "GET", "k"+v).Ask(check.Bulk("v"), "GET", v)
	}
}

func exSavePoints(t *check.T) {
	s := t.Start(process.Options{Extra: []string{"-save", "1 10"}})
	c := t.DialTo(s)
	for range 9 {
		c.Do("INCR", "n")
	}
	c.Do("GET", "n")
	c.Do("DEL", "nothing")
	t.Sleep(2500 * time.Millisecond)
	_, err := os.Stat(dump(s))
	t.Require(err != nil, "no dump.rdb after nine changes", "there is one")
	c.Do("INCR", "n")
	there := func() (bool, string) {
		_, err := os.Stat(dump(s))
		return err == nil, fmt.Sprint(err)
	}
	t.Until(2*t.Limit, "dump.rdb after ten changes", there)
	t.Sleep(300 * time.Millisecond)
	os.Remove(dump(s))
	for range 9 {
		c.Do("INCR", "n")
	}
	t.Sleep(2500 * time.Millisecond)
	_, err = os.Stat(dump(s))
	t.Hint("what was saved counts no more").Require(err != nil, "no dump.rdb after nine changes more", "there is one")
	c.Do("INCR", "n")
	t.Until(2*t.Limit, "dump.rdb after ten changes more", there)
	s2 := t.Start(process.Options{})
	c2 := t.DialTo(s2)
	c2.FillKeys("k", 100)
	t.Sleep(200 * time.Millisecond)
	_, err = os.Stat(dump(s2))
	t.Hint("without the flag nothing is saved by itself").Require(err != nil, "no dump.rdb", "there is one")
}

// exSaveMeanwhile makes ten changes, and ten more while the save that they caused waits for the disk.
func exSaveMeanwhile(t *check.T) {
	const delay = 700 * time.Millisecond
	s, _ := t.StartTraced(process.Options{Extra: []string{"-save", "1 10"}}, "fsync,fdatasync", fmt.Sprintf("fsync,fdatasync:delay_enter=%d", delay.Microseconds()))
	c := t.DialTo(s)
	ten := func() {
		for range 10 {
			c.Do("INCR", "n")
		}
	}
	ten()
	t.Until(3*t.Limit, "a save begins after ten changes (a file in the directory)", func() (bool, string) {
		files, err := os.ReadDir(s.Opt.Dir)
		return len(files) > 0, fmt.Sprintf("none, %v", err)
	})
	ten()
	t.Until(5*t.Limit, "a second save, which has the ten changes made during the first: n is 20 in dump.rdb", func() (bool, string) {
		b, err := os.ReadFile(dump(s))
		return bytes.Contains(b, []byte("\x01n\x0220")) || bytes.Contains(b, []byte("\x01n\xc0\x14")), fmt.Sprintf("%s, %v", trace.Visible(b, 200), err)
	})
}

func exLZF(t *check.T) {
	s := t.Start(process.Options{})
	random := make([]byte, 5000)
	rand.New(rand.NewSource(7)).Read(random)
	values := map[string]string{"as": strings.Repeat("a", 49), "text": strings.Repeat("the quick brown fox jumps over the lazy dog, ", 100), "long": strings.Repeat("x", 100_000),
		"far": string(random[:4000]) + strings.Repeat("-", 3000) + string(random[:4000]), "random": string(random), "short": strings.Repeat("b", 20),
		"words": strings.Repeat("one two three four five six seven eight nine ten ", 7), "json": strings.Repeat(`{"id":12345,"name":"Ann"},`, 40)}
	c := t.DialTo(s)
	sizes := map[string]int{}
	prev := 0
	for _, k := range []string{"as", "text", "random", "short", "long", "far", "words", "json"} {
		c.Ask("+OK\r\n", "SET", k, values[k]).Ask("+OK\r\n", "SAVE")
		n := len(dumpBytes(t, s))
		sizes[k], prev = n-prev-2-len(k), n
	}
	b := dumpBytes(t, s)
	t.Require(bytes.Contains(b, append([]byte("\x00\x02as\xc3"), 0)[:5]), "C3 behind the key as", "%s", trace.Visible(b, 200))
	t.Require(sizes["text"] < len(values["text"])/2, "text shrinks to less than a half", "%d of %d bytes", sizes["text"], len(values["text"]))
	t.Require(sizes["random"] <= len(random)+3, "random bytes do not grow", "%d for %d", sizes["random"], len(random))
	t.Require(sizes["long"] < 2000, "100,000 x in less than 2000 bytes", "%d", sizes["long"])
	at := bytes.Index(b, []byte("\x00\x02as\xc3"))
	t.Require(at >= 0 && int(b[at+5]) <= 9 && b[at+6] == 49, "49 times a in at most 12 bytes: C3, at most 09, 31, …", "%s", trace.Visible(b[max(at, 0):min(len(b), at+20)], 0))
	c = step05.Restart(t, s)
	for k, v := range values {
		c.Ask(check.Bulk(v), "GET", k)
	}
	dir := t.TempDir()
	step05.CutFile(t, filepath.Join(dir, "dump.rdb"), b, len(b))
	r := t.Redis(process.Options{Dir: dir})
	step05.AwaitLoaded(t, r)
	rc := t.DialTo(r)
	for k, v := range values {
		rc.Ask(check.Bulk(v), "GET", k)
	}
}

func exPause(t *check.T) {
	s := t.Start(process.Options{})
	c := t.DialTo(s)
	info := c.Info()
	t.Require(info["rdb_bgsave_in_progress"] == "0" && info["rdb_longest_pause_us"] == "0", "rdb_bgsave_in_progress:0 and rdb_longest_pause_us:0 at first", "%v", info)
	c.FillKeys("k", 50_000)
	c.Ask("+Background saving started\r\n", "BGSAVE")
	t.Until(2*t.Limit, "rdb_bgsave_in_progress:0 again", func() (bool, string) {
		v := c.Info()["rdb_bgsave_in_progress"]
		return v == "0", v
	})
	v, err := strconv.Atoi(c.Info()["rdb_longest_pause_us"])
	t.Require(err == nil && v > 0 && v < 5_000_000, "rdb_longest_pause_us:N, above 0", "%d, %v", v, err)
	_, err = os.Stat(dump(s))
	t.Require(err == nil, "dump.rdb", "%v", err)
}
