package step05

import (
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"byor/pkg/check"
	"byor/pkg/check/process"
	"byor/pkg/resp"
)

// Step 05: when the log is on the disk. Only the server's system calls show that. After kill -9 the system still
// writes what it was handed, so no test by restart can tell a Write from a Sync.

func init() {
	check.Register(5, 0,
		check.Check{Name: "polite-end", After: 6, What: "after Ctrl-C the log is on the disk, whatever the policy", Run: politeEnd, Own: true, Slow: 2, Guide: "Build it",
			Hint: "the server ended, and nothing had put the last change on the disk: append sets dirty (piece 2), and if dirty is set, sync calls Sync on the file (piece 6)"},
		check.Check{Name: "every-second", After: 7, What: "everysec syncs in the background and no does not sync", Run: everySecond, Own: true, Slow: 2, Guide: "Build it",
			Hint: "under everysec the log has to reach the disk without any further command: call sync once a second (piece 7)"},
		check.Check{Name: "bad-disk", After: 7, What: "after an fsync that failed in the background, no change is promised any more", Run: badDisk, Own: true, Slow: 2, Guide: "Build it",
			Hint: "the fsync failed and the server goes on saying OK: look at the error of sync in syncEverySecond, and end the server with die (piece 7)"},
		check.Check{Name: "fsync-before-reply", After: 8, What: "under always, the disk has confirmed before the client gets its answer", Run: fsyncBeforeReply, Own: true, Slow: 2, Guide: "Build it",
			Hint: "taking Write for durable: Write hands bytes to the system, only Sync (fsync) puts them on the disk. Under always sync before you answer (piece 8)"},
		check.Check{Name: "reads-wait-too", After: 8, What: "under always, nobody reads a value that is not on the disk yet", Run: readsWaitToo, Own: true, Slow: 2, Guide: "Build it",
			Hint: "a reply went out while the fsync for it was still running: every reply waits, a GET's too (piece 8), " +
				"and sync holds its mutex until the fsync of another client is over (piece 6)"},
		check.Check{Name: "sync-covers-the-write", After: 8, What: "an fsync that began before a write does not count for it", Run: syncCovers, Own: true, Slow: 2, Guide: "Build it",
			Hint: "a write that came during another client's fsync was taken for safe: clear dirty before the fsync, not after it (piece 6)"},
		check.Check{Name: "failed-fsync", After: 8, What: "an fsync that fails is never answered with OK", Run: failedFsync, Own: true, Slow: 2, Guide: "Build it",
			Hint: "the fsync failed and the client still got its answer: look at the error of sync, and end the server with die (piece 8)"},
		check.Check{Name: "one-fsync-for-many", After: 8, What: "a pipeline shares one fsync, and so do clients that wait together", Run: oneFsyncForMany, Own: true, Slow: 3, Guide: "Build it",
			Hint: "there is one fsync for each command: sync in reply, which is called once for a whole pipeline, and not where a command is executed (piece 8)"},
	)
}

const diskCalls = "write,writev,pwrite64,fsync,fdatasync,sendto,sendmsg"

// isSync says whether a line of strace's is an fsync, or the second half of one.
func isSync(line string) bool { return strings.Contains(line, "sync(") }

// syncsAfter returns how many fsyncs of a joined trace end after the first line that contains all words.
func syncsAfter(lines []string, words ...string) (n int, found bool) {
	for _, l := range lines {
		switch {
		case !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(l, w) }):
			found = true
		case found && isSync(l):
			n++
		}
	}
	return n, found
}

// politeEnd presses Ctrl-C under a policy that never syncs by itself.
func politeEnd(t *check.T) {
	s, calls := t.StartTraced(process.Options{Fsync: "no"}, diskCalls)
	t.DialTo(s).Ask("+OK\r\n", "SET", "end:key", "v")
	lines := calls()
	n, logged := syncsAfter(lines, "end:key", "SET")
	if !logged {
		nothingLogged(t, "SET end:key in the log", "system calls:\n"+lastLines(lines))
	}
	t.Require(n > 0, "an fsync between the last SET and the end of the server", "none:\n%s", lastLines(lines))
}

func lastLines(lines []string) string {
	return strings.Join(lines[max(0, len(lines)-12):], "\n")
}

// everySecond runs two servers. The one under no gets its command first, so when the other has synced twice, it has
// had its time as well.
func everySecond(t *check.T) {
	never, neverSoFar := t.StartWatched(process.Options{Fsync: "no"}, diskCalls)
	t.DialTo(never).Ask("+OK\r\n", "SET", "sync:key", "0")
	s, soFar := t.StartWatched(process.Options{Fsync: "everysec"}, diskCalls)
	c := t.DialTo(s)
	lines := func(soFar func() string) []string { return strings.Split(check.JoinResumed(soFar()), "\n") }
	synced := func(after string) {
		t.Until(t.Limit, "an fsync after SET sync:key "+after+", without any further command", func() (bool, string) {
			n, _ := syncsAfter(lines(soFar), "sync:key", `\r\n`+after+`\r\n`)
			return n > 0, "none:\n" + lastLines(lines(soFar))
		})
	}
	for i := range 40 {
		c.Ask("+OK\r\n", "SET", "sync:key", fmt.Sprint(i))
		t.Sleep(5 * time.Millisecond) // time enough for an fsync between two of them
	}
	synced("39")
	n, _ := syncsAfter(lines(soFar), "sync:key", `\r\n0\r\n`)
	t.Hint("under everysec nobody waits for the disk: sync before a reply only if the policy is always (piece 8), and in the background sleep for a second before each sync (piece 7)").
		Require(n <= 10, "an fsync a second for 40 SETs, about two", "%d", n)
	t.Hint("the first second was followed by an fsync, and the next was not: go on for as long as the server runs (piece 7), and unlock the mutex on every way out of sync (piece 6)")
	c.Ask("+OK\r\n", "SET", "sync:key", "40")
	synced("40")
	n, _ = syncsAfter(lines(neverSoFar), "sync:key", "SET")
	t.Hint("under no the system decides when the disk gets the log: sync neither before a reply nor in the background (pieces 7 and 8)").
		Require(n == 0, "no fsync under no", "%d:\n%s", n, lastLines(lines(neverSoFar)))
}

func fsyncBeforeReply(t *check.T) {
	s, calls := t.StartTraced(process.Options{Fsync: "always"}, diskCalls)
	c := t.DialTo(s).Ask("+PONG\r\n", "PING").Ask("+OK\r\n", "SET", "strace:key", "v").Ask("+OK\r\n", "SET", "strace:key", "w")
	c.Close()
	var lines []string
	for _, l := range calls() {
		if strings.Contains(l, "strace:key") || isSync(l) || strings.Contains(l, "OK\\r\\n") {
			lines = append(lines, l)
		}
	}
	logged, synced, writes := false, false, 0
	for _, l := range lines {
		switch {
		case strings.Contains(l, "strace:key"):
			logged, synced = true, false
			writes++
		case isSync(l):
			synced = true
		case strings.Contains(l, "OK\\r\\n") && logged:
			t.Require(synced, "write of the command, fsync, then the reply", "no fsync between them:\n%s", strings.Join(lines, "\n"))
			logged = false
		}
	}
	if writes < 2 {
		t.FailWith(check.Failure{Want: "a write of each command before its reply", Got: "system calls:\n" + strings.Join(lines, "\n"), Hint: hintBuffer})
	}
	t.Require(synced, "an fsync after each command is written", "system calls:\n%s", strings.Join(lines, "\n"))
}

// syncCovers slows the disk down and lets b write while the fsync for a runs: b needs one that begins later.
func syncCovers(t *check.T) {
	s, trace := t.StartTracedRaw(process.Options{Fsync: "always"}, diskCalls, "fsync,fdatasync:delay_enter=300000")
	a, b := t.DialTo(s), t.DialTo(s)
	a.Ask("+OK\r\n", "SET", "sync:a", "100").Ask("+OK\r\n", "SET", "sync:b", "200")
	a.Cmd("INCR", "sync:a")
	t.Sleep(100 * time.Millisecond)
	b.Cmd("INCR", "sync:b").Expect(":201\r\n")
	a.Expect(":101\r\n")
	lines := strings.Split(trace(), "\n")
	covered(t, lines, "sync:a", ":101\\r\\n")
	covered(t, lines, "sync:b", ":201\\r\\n")
	syncAfterWrite(t)
}

// syncAfterWrite slows writes down, and fsyncs more: the second client waits for the first one's fsync, and when its
// own begins, the third one's write is under way. That fsync does not count for the third.
func syncAfterWrite(t *check.T) {
	s, soFar := startOnLog(t, "always", "write,writev,pwrite64:delay_enter=200000", "fsync,fdatasync:delay_enter=300000")
	clients := []*check.Conn{t.DialTo(s), t.DialTo(s), t.DialTo(s)}
	for i, c := range clients {
		c.Cmd("INCR", "write:"+strconv.Itoa(i))
	}
	for _, c := range clients {
		c.Expect(":1\r\n")
	}
	lines := strings.Split(soFar(), "\n")
	end := lastLine(lines, len(lines), "INCR", "write:")
	if pid, _, _ := strings.Cut(lines[max(end, 0)], " "); end >= 0 && strings.Contains(lines[end], "unfinished") {
		end += slices.IndexFunc(lines[end:], func(l string) bool { return strings.HasPrefix(l, pid+" ") && strings.Contains(l, "resumed") })
	}
	t.Hint("an fsync that ended before the write was taken for one that covers it: set dirty after the write, not before it (piece 2)").
		Require(end >= 0 && slices.ContainsFunc(lines[end+1:], isSync), "an fsync that begins after the last write", "none:\n%s", strings.Join(lines, "\n"))
}

// readsWaitToo lets b read what a has written while the fsync for it runs, several times: now b comes first, now a.
func readsWaitToo(t *check.T) {
	s, trace := t.StartTracedRaw(process.Options{Fsync: "always"}, diskCalls, "fsync,fdatasync:delay_enter=200000")
	a, b := t.DialTo(s), t.DialTo(s)
	a.Ask("+OK\r\n", "SET", "sync:a", "100")
	for n := 101; n <= 103; n++ {
		a.Cmd("INCR", "sync:a")
		t.Until(t.Limit, "INCR sync:a in the log", func() (bool, string) {
			found := find(AOFCommands(t, s.Opt.Dir), "INCR")
			return len(found) == n-100, fmt.Sprintf("%q", found)
		})
		b.Ask(check.Bulk(fmt.Sprint(n)), "GET", "sync:a")
		a.Expect(fmt.Sprintf(":%d\r\n", n))
	}
	lines := strings.Split(trace(), "\n")
	covered(t, lines, "sync:a", "$3\\r\\n103\\r\\n")
	covered(t, lines, "sync:a", ":103\\r\\n")
}

// covered expects a whole fsync between the last INCR of key in the log and the reply.
func covered(t *check.T, lines []string, key, reply string) {
	replied := lastLine(lines, len(lines), reply)
	written := lastLine(lines, max(replied, 0), "INCR", key) // a snapshot at the end names the keys, too
	covered := false
	for i := written + 1; i < replied && !covered; i++ {
		if !isSync(lines[i]) {
			continue
		}
		// In two halves, it is over where the same thread's second half stands.
		pid, _, _ := strings.Cut(lines[i], " ")
		covered = !strings.Contains(lines[i], "unfinished") || lastLine(lines, replied, pid+" ", "sync resumed") > i
	}
	t.Require(written >= 0 && covered, "write of INCR "+key+", then a whole fsync, then the reply "+reply, "no whole fsync between them:\n%s",
		strings.Join(lines[max(written, 0):max(replied, 0)+1], "\n"))
}

// lastLine returns the index of the last line before end that contains all words, or -1.
func lastLine(lines []string, end int, words ...string) int {
	for i := end - 1; i >= 0; i-- {
		if !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(lines[i], w) }) {
			return i
		}
	}
	return -1
}

// oneFsyncForMany counts fsyncs, with a disk so slow that clients have to wait together.
func oneFsyncForMany(t *check.T) {
	s, calls := t.StartTraced(process.Options{Fsync: "always"}, diskCalls, "fsync,fdatasync:delay_enter=100000")
	const clients = 20
	c := t.DialTo(s).Ask("+OK\r\n", "SET", "begin", "pipeline")
	c.Exchange(strings.Repeat(check.Commands("SET k v"), 50), strings.Repeat("+OK\r\n", 50))
	c.Ask("+OK\r\n", "SET", "begin", "clients")
	var conns [clients]*check.Conn
	for i := range conns {
		conns[i] = t.DialTo(s)
	}
	for _, c := range conns {
		c.Cmd("INCR", "n")
	}
	for _, c := range conns {
		c.Reply()
	}
	c.Ask("+OK\r\n", "SET", "begin", "end")
	lines := calls()
	rest, _ := syncsAfter(lines, "begin", `end\r\n`)
	later, _ := syncsAfter(lines, "begin", `clients\r\n`)
	piped, _ := syncsAfter(lines, "begin", `pipeline\r\n`)
	piped, later = piped-later, later-rest
	t.Require(later > 0, "an fsync for what the clients wrote", "none")
	t.Require(piped < 25, "50 SETs in one pipeline share an fsync", "%d fsyncs", piped)
	t.Hint("each of the clients made its own fsync: whoever gets the mutex looks first whether dirty is still set, and is done if it is not (piece 6)").
		Require(later < clients*3/4, fmt.Sprintf("%d clients that wait at the same time share a few fsyncs", clients), "%d fsyncs", later)
}

// onBadDisk starts a server whose log fails: fault is an inject expression of strace.
func onBadDisk(t *check.T, policy, fault string) *process.Server {
	s, _ := startOnLog(t, policy, fault)
	return s
}

// startOnLog is check.T.StartWatched where only the calls on the log are traced.
func startOnLog(t *check.T, policy string, faults ...string) (*process.Server, func() string) {
	dir := t.TempDir()
	return t.StartWatched(process.Options{Fsync: policy, Dir: dir}, diskCalls, append(faults, filepath.Join(dir, "appendonly.aof"),
		filepath.Join(dir, "appendonlydir", "appendonly.aof.1.incr.aof"))...)
}

// noPromise sends a SET that the log cannot take. The server must not say OK, and must end.
func noPromise(t *check.T, s *process.Server) {
	c := t.DialTo(s)
	if c.TrySend(string(resp.AppendCommandStrings(nil, "SET", "k", "v"))) {
		v, err := c.TryReply()
		t.Require(err != nil || v.IsError(), "no OK for what is not in the log", "%s", check.Text(v))
	}
	code, ended := s.Exit(t.Limit)
	t.Require(ended && code != 0, "the server ends with an error, since it can promise nothing any more", "ended=%v, exit code %d%s", ended, code, s.Said())
}

func fullDisk(t *check.T) { noPromise(t, onBadDisk(t, "always", "write,writev,pwrite64:error=ENOSPC")) }

func failedFsync(t *check.T) { noPromise(t, onBadDisk(t, "always", "fsync,fdatasync:error=EIO")) }

// badDisk goes on changing data until the server says no, or ends.
func badDisk(t *check.T) {
	s := onBadDisk(t, "everysec", "fsync,fdatasync:error=EIO")
	c := t.DialTo(s).Ask("+OK\r\n", "SET", "k", "v")
	t.Until(2*t.Limit, "an error for a SET, or the end of the server", func() (bool, string) {
		if !c.TrySend(check.Commands("SET k v")) {
			return true, ""
		}
		v, err := c.TryReply()
		return err != nil || v.IsError(), check.Text(v)
	})
}
