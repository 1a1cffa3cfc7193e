package step06

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"byor/pkg/check"
	"byor/pkg/check/process"
	"byor/pkg/check/step05"
	"byor/pkg/check/trace"
)

// Step 06: what a save does to the disk, and a bad disk to a save.

// diskIsSlow makes each sync take 1.5 s and asks for answers meanwhile. A busy machine may be slow once, but
// who holds the lock is slow each time.
func diskIsSlow(t *check.T) {
	const delay = 1500 * time.Millisecond
	s, _ := t.StartTraced(process.Options{}, "fsync,fdatasync", fmt.Sprintf("fsync,fdatasync:delay_enter=%d", delay.Microseconds()))
	c := t.DialTo(s).Ask("+OK\r\n", "SET", "a", "1")
	slowest := slowestWhileSaving(t, s, c, delay)
	for again := 0; again < 2 && slowest >= delay*2/3; again++ {
		saved(t, s, bgsaveFirst)
		os.Remove(dump(s))
		slowest = slowestWhileSaving(t, s, c, delay)
	}
	t.Hint("lock held during disk I/O: hold it only while you copy, never while you write or sync").
		Require(slowest < delay*2/3, "answers at once while the disk takes 1.5 s", "one took %v", slowest)
	saved(t, s, bgsaveFirst)
}

// slowestWhileSaving begins a BGSAVE and returns the longest time that an answer took meanwhile.
func slowestWhileSaving(t *check.T, s *process.Server, c *check.Conn, delay time.Duration) (slowest time.Duration) {
	var begin time.Time // before the sync began, however late the reply arrives
	t.Until(8*time.Second, "a BGSAVE begins", func() (bool, string) {
		begin = time.Now()
		v := c.Do("BGSAVE")
		return check.Text(v) == "Background saving started", check.Text(v)
	})
	for i := range 20 {
		at := time.Now()
		c.Ask("+OK\r\n", "SET", "b", strconv.Itoa(i)).Ask(check.Bulk("1"), "GET", "a")
		slowest = max(slowest, time.Since(at))
		time.Sleep(20 * time.Millisecond)
	}
	_, err := os.Stat(dump(s))
	looked := time.Since(begin)
	t.Hinting("the file is renamed before it is synced: see sync-then-rename first", func() {
		t.Require(err != nil || looked > delay, "dump.rdb only after its sync", "it was there after %v", looked)
	})
	return slowest
}

func oldFileStays(t *check.T) {
	s := t.Start(process.Options{})
	c := t.DialTo(s).Ask("+OK\r\n", "SET", "a", "old").Ask("+OK\r\n", "SAVE")
	old := dumpBytes(t, s)
	f, err := os.Open(dump(s))
	if err != nil {
		t.Fail("a file dump.rdb", err.Error())
	}
	defer f.Close()
	c.Ask("+OK\r\n", "SET", "a", strings.Repeat("new and longer ", 50)).Ask("+OK\r\n", "SAVE")
	still, _ := io.ReadAll(f)
	t.Require(bytes.Equal(old, still), "the old file's bytes, under its old descriptor, as they were", "%s", trace.Visible(still, 200))
	t.Hint("SAVE must put the new file in the old one's place").
		Require(!bytes.Equal(old, dumpBytes(t, s)), "a new dump.rdb", "the old one")
}

func syncThenRename(t *check.T) {
	s, calls := t.StartTraced(process.Options{}, "fsync,fdatasync,rename,renameat,renameat2")
	t.DialTo(s).Ask("+OK\r\n", "SET", "a", "1").Ask("+OK\r\n", "SAVE")
	dumpBytes(t, s)
	lines := calls()
	renamed := slices.IndexFunc(lines, func(l string) bool { return strings.Contains(l, "rename") && strings.Contains(l, "dump.rdb") })
	t.Hinting("nothing is renamed: write a temporary file, sync it, rename it to dump.rdb", func() {
		t.Require(renamed >= 0, "a rename to dump.rdb", "%s", strings.Join(lines, "\n"))
	})
	syncs := func(l string) bool { return strings.Contains(l, "sync(") }
	t.Require(slices.ContainsFunc(lines[:renamed], syncs), "fsync, then rename", "%s", strings.Join(lines, "\n"))
	t.Hinting("a rename cannot leave its file system, and the next machine has /tmp on another one: make the temporary file in the directory of dump.rdb", func() {
		from, to := renamedPaths(lines[renamed], s.Opt.Dir)
		t.Require(filepath.Dir(from) == filepath.Dir(to), "a rename within one directory", "%s", lines[renamed])
	})
	t.Hint("the name is in the directory, which has to be synced too, behind the rename").
		Require(t.Real() || slices.ContainsFunc(lines[renamed:], syncs), "fsync of the directory behind the rename", "%s", strings.Join(lines, "\n"))
}

// filesAreClosed counts the files that the process has open before and after some saves.
func filesAreClosed(t *check.T) {
	s := t.Start(process.Options{})
	if s.Cmd == nil {
		t.Skip("needs a server that the checker has started")
	}
	open := func() (names []string) {
		fds, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", s.Cmd.Process.Pid))
		if err != nil || len(fds) == 0 {
			t.Skip("needs /proc (Linux) to see the server's open files")
		}
		for _, fd := range fds {
			if name, _ := os.Readlink(fd); strings.HasPrefix(name, s.Opt.Dir) {
				names = append(names, name)
			}
		}
		return names
	}
	c := t.DialTo(s).Ask("+OK\r\n", "SET", "a", "1").Ask("+OK\r\n", "SAVE")
	dumpBytes(t, s)
	c.Ask("+OK\r\n", "SAVE").Ask("+OK\r\n", "SAVE")
	t.Until(t.Limit, "none of the snapshots is open any more", func() (bool, string) {
		return len(open()) == 0, strings.Join(open(), ", ")
	})
}

// renamedPaths returns the two paths in a traced rename, relative ones as if they were in dir.
func renamedPaths(call, dir string) (from, to string) {
	var paths []string
	for i, part := range strings.Split(call, `"`) {
		if i%2 == 1 {
			if !filepath.IsAbs(part) {
				part = filepath.Join(dir, part)
			}
			paths = append(paths, filepath.Clean(part))
		}
	}
	if len(paths) != 2 {
		return "", ""
	}
	return paths[0], paths[1]
}

// diskFails lets each sync fail.
func diskFails(t *check.T) {
	failingSave(t, "new", func(dir string) (*process.Server, func() []string) {
		return t.StartTraced(process.Options{Dir: dir}, "fsync,fdatasync", "fsync,fdatasync:error=EIO")
	})
}

// diskIsFull lets no file grow beyond half a megabyte or less.
func diskIsFull(t *check.T) {
	sh, err := exec.LookPath("sh")
	if err != nil {
		t.Skip("needs a shell that can limit the size of files")
	}
	var big strings.Builder
	for i := 0; big.Len() < 3<<20; i++ {
		fmt.Fprintf(&big, "%x.", i*i*2654435761)
	}
	failingSave(t, big.String(), func(dir string) (*process.Server, func() []string) {
		limited := *t.Target()
		limited.Prefix = []string{sh, "-c", `trap '' XFSZ; ulimit -f 512; exec "$@"`, "sh"}
		s, err := t.StartOf(&limited, process.Options{Dir: dir})
		if err != nil {
			t.Fail("the server starts", err.Error())
		}
		return s, nil
	})
}

// failingSave starts a server that has saved before and cannot do so again, sets a value and asks for a SAVE.
func failingSave(t *check.T, value string, start func(dir string) (*process.Server, func() []string)) {
	dir, old := t.TempDir(), sealed("\xfe\x00\x00\x01a\x03old")
	step05.CutFile(t, filepath.Join(dir, "dump.rdb"), old, len(old))
	var s *process.Server
	var calls func() []string
	check.Explained(func() { s, calls = start(dir) }, func(got string) string {
		if strings.Contains(got, fmt.Sprint("offset ", len(old))) { // it wants more
			return "the server reads on where a good dump.rdb ends: FF and 8 bytes of checksum are the last of it, so readRDB returns there (piece 11)"
		}
		return "the server does not start on a good dump.rdb. Its own words say where it stopped; make check-06 ONLY=reload asks for just that"
	})
	step05.AwaitLoaded(t, s)
	files := func() (names []string) {
		entries, _ := os.ReadDir(dir)
		for _, e := range entries {
			names = append(names, e.Name())
		}
		return names
	}
	before := files()
	c := t.DialTo(s).Ask("+OK\r\n", "SET", "a", value)
	v := c.Do("SAVE")
	c.Ask("+PONG\r\n", "PING")
	after := files()
	if calls != nil && !slices.ContainsFunc(calls(), func(l string) bool { return strings.Contains(l, "sync(") }) {
		t.Hint("SAVE syncs nothing: see sync-then-rename first")
	}
	if calls == nil && !v.IsError() && bytes.Equal(old, dumpBytes(t, s)) {
		t.Hint(notSaved)
	}
	t.Require(!strings.HasPrefix(check.Text(v), "ERR unknown command"), "SAVE", "%s", check.Text(v))
	t.Require(v.IsError(), "an error for SAVE, as the disk refuses", "%s", check.Text(v))
	t.Hint("the save has failed, so the old picture has to stay: rename only what is whole and synced").
		Require(bytes.Equal(old, dumpBytes(t, s)), "the old dump.rdb", "%s", trace.Visible(dumpBytes(t, s), 200))
	t.Hint("remove the temporary file when something goes wrong, or a full disk gets fuller with each attempt").
		Require(slices.Equal(before, after), fmt.Sprintf("the files %v as before", before), "%v", after)
}
