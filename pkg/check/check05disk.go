package check

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"byor/pkg/check/process"
	"byor/pkg/check/trace"
	"byor/pkg/resp"
)

// Step 05: a log that was torn or damaged, one that many write at once, and when it has reached the disk.

func tornTail(t *T) {
	s := t.logged()
	t.DialTo(s).Ask("+OK\r\n", "SET", "first", "whole").Ask(":1\r\n", "INCR", "n").Ask("+OK\r\n", "SET", "last", "value")
	s.Kill()
	path, b := t.aofPath(s.Opt.Dir), t.aofBytes(s.Opt.Dir)
	last := strings.LastIndex(string(b), "*3\r\n")
	if last < 0 {
		t.nothingLogged("SET as the last command in the log", trace.Visible(b, 160))
	}
	for n := last; n <= len(b); n += 1 + (len(b)-last)/12 {
		t.cutFile(path, b, n)
		if err := s.Run(); err != nil {
			t.Fail(fmt.Sprintf("the server starts on a log cut after %d of %d bytes", n, len(b)), err.Error())
		}
		t.awaitLoaded(s)
		c := t.loaded(s, n).Ask(Bulk("whole"), "GET", "first").Ask(Bulk("1"), "GET", "n")
		if n < len(b) {
			c.Ask("$-1\r\n", "GET", "last")
		}
		s.Kill()
	}
}

func appendAfterTear(t *T) {
	s := t.logged()
	t.DialTo(s).Ask("+OK\r\n", "SET", "first", "whole").Ask("+OK\r\n", "SET", "last", "value")
	s.Kill()
	b := t.aofBytes(s.Opt.Dir)
	if len(b) < 4 {
		t.nothingLogged("two SETs in the log", trace.Visible(b, 0))
	}
	t.cutFile(t.aofPath(s.Opt.Dir), b, len(b)-4)
	t.onLog(s).Ask("+OK\r\n", "SET", "new", "after the tear")
	t.reborn(s).Ask(Bulk("whole"), "GET", "first").Ask("$-1\r\n", "GET", "last").Ask(Bulk("after the tear"), "GET", "new")
}

// aboutFile finds the words of a message that is about a damaged file.
var aboutFile = regexp.MustCompile(`(?i)\b(file|log|offset|bytes?|checksum)\b|\.(aof|rdb)\b`)

// refusesToStart starts s again and expects it to end by itself with an error code and a message about its file.
// Redis listens before it loads, so that it has accepted a connection means nothing.
func (t *T) refusesToStart(s *process.Server, what ...string) {
	s.Run()
	code, ended := s.Exit(t.limit)
	if out := s.Output(); strings.Contains(out, "panic: ") || strings.Contains(out, "fatal error: ") {
		t.fail(failure{Want: "the server says what is wrong with the file, and ends" + strings.Join(what, ""), Got: fmt.Sprintf("a crash, exit code %d%s", code, s.Said()),
			Hint: "a crash is no refusal: what stands in the file, or what a read returns after an error, is used without a look at it"})
	}
	// Ending by a signal (code -1), the words of every start or those of a taken port are no refusal of the file.
	fresh := s.Fresh()
	refused := ended && code > 0 && aboutFile.MatchString(fresh) && !strings.Contains(fresh, "address already in use")
	t.Require(refused, "the server ends at once, with an exit code other than 0 and a message that says what is wrong with its file",
		"ended=%v, exit code %d%s", ended, code, s.Said())
}

func garbageRefused(t *T) {
	s := t.logged()
	t.DialTo(s).Ask("+OK\r\n", "SET", "a", "1")
	s.Kill()
	path, b := t.aofPath(s.Opt.Dir), string(t.aofBytes(s.Opt.Dir))
	if b == "" {
		t.nothingLogged("a SET in the log", "an empty log")
	}
	for _, damage := range []struct{ file, hint string }{
		{b + "!!garbage!!\r\n" + b, ""},
		{b + "*3\r\n$3\r\nSET\r\n%1\r\na\r\n$1\r\n2\r\n" + b, "a protocol error in the log was taken for its end: only io.EOF and io.ErrUnexpectedEOF are ends, any other error is damage (Build it, step 5)"},
		{b + strings.Repeat("\x00", 100), "zero bytes at the end were taken for a torn command: a torn command begins with *, so look at the first byte that you would cut off (Build it, step 6)"},
	} {
		if damage.hint != "" {
			t.Hint("%s", damage.hint)
		}
		t.cutFile(path, []byte(damage.file), len(damage.file))
		t.refusesToStart(s)
		after, _ := os.ReadFile(path)
		at := trace.DiffAt([]byte(damage.file), after)
		if at >= 0 {
			t.fail(failure{Want: "the damaged log is left alone: " + trace.Excerpt([]byte(damage.file), at), Got: trace.Excerpt(after, at),
				Hint: "a damaged file is evidence: leave it as it is"})
		}
	}
}

// logOrder lets many clients set the same keys in bursts. If execution and log took separate locks,
// some key's last SET in the log is not the last that was executed.
func logOrder(t *T) {
	s := t.Start(process.Options{Fsync: "no"})
	const clients, keys, rounds = 16, 20, 30
	t.Parallel(clients, func(i int) {
		c := t.DialTo(s)
		for r := range rounds {
			var in []byte
			for k := range keys {
				in = resp.AppendCommandStrings(in, "SET", fmt.Sprint("k", k), fmt.Sprintf("%d-%d", i, r))
			}
			c.Send(string(in))
			for range keys {
				c.Reply()
			}
		}
	})
	c := t.DialTo(s)
	before := make([]string, keys)
	for k := range keys {
		before[k] = str(c.Do("GET", fmt.Sprint("k", k)))
	}
	t.sameAsLog(s, before)
	c = t.reborn(s)
	for k := range keys {
		c.Ask(Bulk(before[k]), "GET", fmt.Sprint("k", k))
	}
}

// sameAsLog compares what the keys k0, k1, … have in memory with their last SETs in the log.
func (t *T) sameAsLog(s *process.Server, values []string) {
	cmds := t.aofCommands(s.Opt.Dir)
	if len(cmds) == 0 {
		t.nothingLogged("the SETs of all clients in the log", "an empty log")
	}
	for k, v := range values {
		sets := find(cmds, fmt.Sprint("k", k))
		last := ""
		if len(sets) > 0 {
			last = sets[len(sets)-1][2]
		}
		if len(find(sets, v)) == 0 {
			t.fail(failure{Want: fmt.Sprintf("SET k%d %s in the log, as it was answered", k, v), Got: "its last SET of k" + strconv.Itoa(k) + " is " + last,
				Hint: hintBuffer})
		}
		t.Require(last == v, fmt.Sprintf("SET k%d %s as the last SET of k%d in the log, since that is what memory has", k, v, k), "SET k%d %s", k, last)
	}
}

func killUnderLoad(t *T) {
	s := t.logged()
	const clients = 10
	var acked [clients]int
	var total atomic.Int64
	var conns [clients]*Conn
	for i := range conns {
		conns[i] = t.DialTo(s)
	}
	killed := s.KillAfter(400 * time.Millisecond)
	t.Parallel(clients, func(i int) {
		c := conns[i]
		for n := 1; ; n++ {
			if !c.TrySend(string(resp.AppendCommandStrings(nil, "SET", fmt.Sprintf("c%d:%d", i, n), strconv.Itoa(n)))) {
				return
			}
			if v, err := c.TryReply(); err != nil || str(v) != "OK" {
				return
			}
			acked[i] = n
			total.Add(1)
		}
	})
	<-killed
	t.Require(total.Load() > 0, "acknowledged writes", "none before the kill")
	t.onLog(s).Close()
	t.Parallel(clients, func(i int) {
		c := t.DialTo(s)
		for n := 1; n <= acked[i]; n++ {
			key := fmt.Sprintf("c%d:%d", i, n)
			v := str(c.Do("GET", key))
			t.Require(v == strconv.Itoa(n), fmt.Sprintf("%s = %d, one of %d acknowledged writes", key, n, total.Load()), "%s", v)
		}
	})
}

// fsyncBeforeReply watches the server's system calls. Only they can show it: after kill -9 the
// system still writes what it was handed, so no test by restart can tell a Write from a Sync.
func fsyncBeforeReply(t *T) {
	s, calls := t.startTraced(process.Options{Fsync: "always"}, "write,writev,pwrite64,fsync,fdatasync,sendto,sendmsg")
	c := t.DialTo(s).Ask("+PONG\r\n", "PING").Ask("+OK\r\n", "SET", "strace:key", "v").Ask("+OK\r\n", "SET", "strace:key", "w")
	c.Close()
	var lines []string
	for _, l := range calls() {
		if strings.Contains(l, "strace:key") || strings.Contains(l, "sync(") || strings.Contains(l, "OK\\r\\n") {
			lines = append(lines, l)
		}
	}
	logged, synced, writes := false, false, 0
	for _, l := range lines {
		switch {
		case strings.Contains(l, "strace:key"):
			logged, synced = true, false
			writes++
		case strings.Contains(l, "fsync(") || strings.Contains(l, "fdatasync("):
			synced = true
		case strings.Contains(l, "OK\\r\\n") && logged:
			t.Require(synced, "write of the command, fsync, then the reply", "no fsync between them:\n%s", strings.Join(lines, "\n"))
			logged = false
		}
	}
	if writes < 2 {
		t.fail(failure{Want: "a write of each command before its reply", Got: "system calls:\n" + strings.Join(lines, "\n"), Hint: hintBuffer})
	}
	t.Require(synced, "a fsync after each command is written", "system calls:\n%s", strings.Join(lines, "\n"))
}

// syncCovers slows the disk down and lets b write while the fsync for a runs: b needs one that begins later.
func syncCovers(t *T) {
	s, trace := t.startTracedRaw(process.Options{Fsync: "always"}, "write,writev,pwrite64,fsync,fdatasync,sendto,sendmsg", "fsync,fdatasync:delay_enter=300000")
	a, b := t.DialTo(s), t.DialTo(s)
	a.Ask("+OK\r\n", "SET", "sync:a", "100").Ask("+OK\r\n", "SET", "sync:b", "200")
	a.Cmd("INCR", "sync:a")
	t.Sleep(100 * time.Millisecond)
	b.Cmd("INCR", "sync:b").Expect(":201\r\n")
	a.Expect(":101\r\n")
	lines := strings.Split(trace(), "\n")
	for _, c := range [][2]string{{"sync:a", ":101\\r\\n"}, {"sync:b", ":201\\r\\n"}} {
		replied := lastLine(lines, len(lines), c[1])
		written := lastLine(lines, max(replied, 0), "INCR", c[0]) // a snapshot at the end names the keys, too
		covered := false
		for i := written + 1; i < replied && !covered; i++ {
			if !strings.Contains(lines[i], "sync(") {
				continue
			}
			// In two halves, it is over where the same thread's second half stands.
			pid, _, _ := strings.Cut(lines[i], " ")
			covered = !strings.Contains(lines[i], "unfinished") || lastLine(lines, replied, pid+" ", "sync resumed") > i
		}
		t.Require(written >= 0 && covered, "write of INCR "+c[0]+", then a whole fsync, then the reply", "no whole fsync between them:\n%s",
			strings.Join(lines[max(written, 0):max(replied, 0)+1], "\n"))
	}
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
