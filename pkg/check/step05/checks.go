// Package step05 holds the checks of step 05 and of its exercises: what is in the log. What the server makes of it at
// a start is in replay.go, torn and damaged logs are in disk.go, and the disk itself is in sync.go.
package step05

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"byor/pkg/check"
	"byor/pkg/check/process"
	"byor/pkg/check/trace"
)

func init() {
	check.Register(5, 0,
		check.Check{Name: "log-files", After: 1, What: "there is a log from the first start, and a start keeps what is in it", Run: logFiles, Own: true, Guide: "Build it",
			Hint: "at its start the server makes appendonlydir with the log and with a manifest that names the log (piece 1)"},
		check.Check{Name: "foreign-manifest", After: 1, What: "a manifest that lists a file we do not have is refused", Run: foreignManifest, Own: true, Guide: "Build it",
			Hint: "the manifest lists a base that the server has not read, so it must not start without it: say so and end with an error (piece 1)"},
		check.Check{Name: "log-format", After: 2, What: "the log is RESP commands and opens with SELECT 0", Run: logFormat, Own: true, Guide: "On the wire",
			Hint: "the file holds what a client would send: first *2 SELECT 0, then each change as an array of bulk strings (piece 2)"},
		check.Check{Name: "only-changes", After: 2, What: "reads, failed commands and no-ops are not logged", Run: onlyChanges, Own: true, Guide: "Build it",
			Hint: "reads or failed commands were logged: append only if the handler has returned an effect, and not nil (piece 2)"},
		check.Check{Name: "selects", After: 2, What: "SELECT stands where the database changes, and nowhere else", Run: selects, Own: true, Guide: "Build it",
			Hint: "the effect does not say which database it is meant for: write SELECT before it when the file has another one selected (piece 2)"},
		check.Check{Name: "absolute-deadline", After: 2, What: "a relative time to live is logged as a point in time", Run: absoluteDeadline, Own: true, Guide: "The idea",
			Hint: "relative TTL in the log starts anew at each replay: log PXAT or PEXPIREAT with Unix milliseconds"},
		check.Check{Name: "loads-in-redis", After: 2, What: "a real redis-server loads the log and has the same data", Run: aofIntoRedis, Own: true, Guide: "How real Redis does it",
			Hint: "redis-server reads the same format: SELECT first, each command whole, real Redis commands with absolute deadlines only"},
		check.Check{Name: "full-disk", After: 2, What: "a write to the log that fails is never answered with OK", Run: fullDisk, Own: true, Slow: 2, Guide: "Build it",
			Hint: "the write to the log failed and the client still got OK: return the error of Write, so that the server ends (piece 2)"},
	)
}

const (
	hintBuffer = "a buffer in your process dies with it: hand each effect to the file with Write before you answer (piece 2)"
	hintSilent = "logging again on replay makes the file longer at each start: s.log must still be nil while the replay executes (piece 3)"
)

// nothingLogged fails for a server whose log lacks what a check wants to look at.
func nothingLogged(t *check.T, want, got string) {
	t.FailWith(check.Failure{Want: want, Got: got, Guide: "Build it",
		Hint: "the server said OK and the log is empty: encode each effect and Write it to the file before you answer (piece 2)"})
}

// Logged starts a server that keeps a log under policy always, in a fresh directory.
func Logged(t *check.T) *process.Server { return t.Start(process.Options{Fsync: "always"}) }

func logFiles(t *check.T) {
	s := Logged(t)
	AwaitLoaded(t, s)
	AwaitLoaded(t, s) // a lock that is never given back stops the second reply
	path := aofPath(t, s.Opt.Dir)
	if _, err := os.Stat(path); err != nil {
		t.Fail("the file that the manifest names", err.Error())
	}
	s.Kill()
	kept := "*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\n1\r\n"
	CutFile(t, path, []byte(kept), len(kept))
	StartAgain(t, s)
	t.Hint("the start has emptied the log: open it for appending (os.O_APPEND), and do not create it anew (no os.O_TRUNC)")
	after, _ := os.ReadFile(path)
	t.Require(strings.HasPrefix(string(after), kept), "after a start the log still begins with "+trace.Visible([]byte(kept), 60), "%s", trace.Visible(after, 120))
}

// foreignManifest hands the server a manifest of a log that begins with a snapshot, and no snapshot.
func foreignManifest(t *check.T) {
	s := Logged(t)
	AwaitLoaded(t, s)
	manifest := filepath.Join(s.Opt.Dir, "appendonlydir", "appendonly.aof.manifest")
	if simple := aofPath(t, s.Opt.Dir); filepath.Dir(simple) == filepath.Clean(s.Opt.Dir) {
		t.Skip("the server keeps its log in one file, without a manifest")
	}
	s.Kill()
	b, err := os.ReadFile(manifest)
	if err != nil {
		t.Fail("a manifest", err.Error())
	}
	foreign := "file appendonly.aof.7.base.rdb seq 7 type b\n" + string(b)
	if err := os.WriteFile(manifest, []byte(foreign), 0o644); err != nil {
		t.Skip(err.Error())
	}
	RefusesToStart(t, s)
	after, _ := os.ReadFile(manifest)
	t.Hint("the manifest belongs to somebody whose data we cannot read: leave it as it is").
		Require(string(after) == foreign, trace.Visible([]byte(foreign), 0), "%s", trace.Visible(after, 300))
}

func logFormat(t *check.T) {
	s := Logged(t)
	c := t.DialTo(s).Ask("+OK\r\n", "SET", "key", "value")
	want := "*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$5\r\nvalue\r\n"
	got := aofBytes(t, s.Opt.Dir)
	if len(got) == 0 {
		// A buffer in front of the file gives itself away when more is written than it holds.
		c.Ask("+OK\r\n", "SET", "large", strings.Repeat("x", 100_000))
		if len(aofBytes(t, s.Opt.Dir)) > 0 {
			t.FailWith(check.Failure{Want: trace.Visible([]byte(want), 0), Got: "an empty log, which grows after a value of 100,000 bytes", Hint: hintBuffer})
		}
		nothingLogged(t, trace.Visible([]byte(want), 0), "an empty log")
	}
	if strings.HasPrefix(string(got), "*3") {
		t.Hint("the effect does not say which database it is meant for, so the file must: SELECT 0 comes first (piece 2)")
	}
	t.Require(strings.EqualFold(string(got), want), trace.Visible([]byte(want), 0), "%s", trace.Visible(got, 300))
}

func onlyChanges(t *check.T) {
	s := Logged(t)
	c := t.DialTo(s).Ask("+OK\r\n", "SET", "kept", "text")
	before := aofBytes(t, s.Opt.Dir)
	if len(before) == 0 {
		nothingLogged(t, "2 commands in the log (SELECT, SET)", "an empty log")
	}
	for _, line := range []string{"GET kept", "EXISTS kept", "TTL kept", "PING", // reads
		"INCR kept", "SET kept", "SET k v EX 0", "NOSUCHCOMMAND", // errors: no integer, arity, a time, no command
		"DEL nothing", "PERSIST kept", "EXPIRE nothing 100", "SET kept v NX"} { // nothing to do
		c.Do(strings.Fields(line)...)
		after := aofBytes(t, s.Opt.Dir)
		t.Require(bytes.Equal(after, before), "nothing more in the log after "+line, "%s", trace.Visible(after[min(len(before), len(after)):], 120))
	}
}

// selects uses two databases, and each of them twice in a row.
func selects(t *check.T) {
	s := Logged(t)
	t.DialTo(s).Ask("+OK\r\n", "SET", "a", "1").Ask("+OK\r\n", "SET", "b", "1").Ask("+OK\r\n", "SELECT", "3").Ask("+OK\r\n", "SET", "c", "1").
		Ask(":2\r\n", "INCR", "c").Ask("+OK\r\n", "SELECT", "0").Ask(":1\r\n", "DEL", "a")
	want := [][]string{{"SELECT", "0"}, {"SET", "a", "1"}, {"SET", "b", "1"}, {"SELECT", "3"}, {"SET", "c", "1"}, {"INCR", "c"}, {"SELECT", "0"}, {"DEL", "a"}}
	got := AOFCommands(t, s.Opt.Dir)
	if len(got) == 0 {
		nothingLogged(t, fmt.Sprintf("%q", want), "an empty log")
	}
	selected := ""
	for _, cmd := range got {
		if strings.EqualFold(cmd[0], "SELECT") && len(cmd) == 2 {
			if cmd[1] == selected {
				t.Hint("SELECT %s stands in the log though database %[1]s is selected there already: remember in l.db what you wrote last, and write SELECT only when it changes (piece 2)", selected)
			}
			selected = cmd[1]
		}
	}
	same := slices.EqualFunc(got, want, func(a, b []string) bool { return slices.EqualFunc(a, b, strings.EqualFold) })
	t.Require(same, fmt.Sprintf("%q", want), "%q", got)
}

func absoluteDeadline(t *check.T) {
	s := Logged(t)
	c := t.DialTo(s)
	now := time.Now().UnixMilli()
	c.Ask("+OK\r\n", "SET", "a", "v", "EX", "100").Ask("+OK\r\n", "SET", "b", "v", "PX", "100000").
		Ask("+OK\r\n", "SET", "c", "v").Ask(":1\r\n", "EXPIRE", "c", "100")
	cmds := AOFCommands(t, s.Opt.Dir)
	if len(cmds) == 0 {
		nothingLogged(t, "three keys in the log", "an empty log")
	}
	for _, k := range []string{"a", "b", "c"} {
		found := find(cmds, k)
		t.Require(len(found) > 0, "key "+k+" in the log", "%q", cmds)
		last := found[len(found)-1]
		at, err := strconv.ParseInt(last[len(last)-1], 10, 64)
		ok := err == nil && at >= now+95_000 && at <= time.Now().UnixMilli()+101_000
		t.Require(ok, fmt.Sprintf("%s with a deadline in Unix milliseconds, about %d", k, now+100_000), "%q", last)
		words := strings.ToUpper(strings.Join(last, " "))
		t.Require(strings.Contains(words, " PXAT ") || strings.HasPrefix(words, "PEXPIREAT "), "PXAT or PEXPIREAT", "%q", last)
	}
}

func aofIntoRedis(t *check.T) {
	s := Logged(t)
	c := t.DialTo(s)
	for i := range 50 {
		c.Ask("+OK\r\n", "SET", fmt.Sprint("k", i), fmt.Sprint("v\r\n", i))
	}
	c.Ask(":1\r\n", "INCR", "n").Ask(":1\r\n", "DEL", "k0").Ask("+OK\r\n", "SET", "ttl", "v", "EX", "1000")
	s.Kill()
	if len(aofBytes(t, s.Opt.Dir)) == 0 {
		nothingLogged(t, "a log for redis-server", "an empty log")
	}
	if path, err := exec.LookPath("redis-check-aof"); err == nil {
		out, err := exec.Command(path, aofPath(t, s.Opt.Dir)).CombinedOutput()
		t.Require(err == nil, "redis-check-aof approves the file", "%s", out)
	}
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(s.Opt.Dir)); err != nil {
		t.Skip(err.Error())
	}
	r := t.Redis(process.Options{Dir: dir, Fsync: "no"})
	AwaitLoaded(t, r)
	rc := t.DialTo(r)
	rc.Ask(check.Bulk("1"), "GET", "n").Ask("$-1\r\n", "GET", "k0").Between(900_000, 1_000_000, "PTTL", "ttl")
	for i := 1; i < 50; i++ {
		rc.Ask(check.Bulk(fmt.Sprint("v\r\n", i)), "GET", fmt.Sprint("k", i))
	}
}
