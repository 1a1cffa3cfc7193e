package step05

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"byor/pkg/check"
	"byor/pkg/check/process"
	"byor/pkg/check/trace"
	"byor/pkg/resp"
)

// Step 05: a log that was torn or damaged, one that many write at once, and a disk that is full.

func init() {
	check.Register(5, 0,
		check.Check{Name: "torn-tail", After: 5, What: "a log cut anywhere in its last command loads up to that command", Run: tornTail, Own: true, Slow: 3, Guide: "Build it",
			Hint: "dying on a torn tail: a crash may leave half a command at the end. Load what is whole, cut the rest off, go on (pieces 3 and 5)"},
		check.Check{Name: "append-after-tear", After: 5, What: "what is written after a torn tail survives the next start", Run: appendAfterTear, Own: true, Guide: "Build it",
			Hint: "truncate the file to the last whole command before you append, or new commands stand behind half a command (piece 5)"},
		check.Check{Name: "torn-behind-select", After: 5, What: "a SELECT left alone at the end of the log moves no later change", Run: tearBehindSelect, Own: true, Guide: "Build it",
			Hint: "the log ended with SELECT 3, and the next SET in database 0 came back in database 3. The last change does not say what the file has selected " +
				"at its end: l.db is -1 after every start, so the first change brings its own SELECT (piece 2)"},
		check.Check{Name: "zeros-are-refused", After: 5, What: "zero bytes at the end are damage, not a torn command", Run: zerosRefused, Own: true, Guide: "Build it",
			Hint: "zero bytes at the end were taken for a torn command: a torn command begins with *, so look at the first byte that you would cut off (piece 5)"},
	)
}

// tornTail starts the server on its log, cut at a dozen places in the last command.
func tornTail(t *check.T) {
	s := Logged(t)
	t.DialTo(s).Ask("+OK\r\n", "SET", "first", "whole").Ask(":1\r\n", "INCR", "n").Ask("+OK\r\n", "SET", "last", "value")
	s.Kill()
	path, b := aofPath(t, s.Opt.Dir), aofBytes(t, s.Opt.Dir)
	last := strings.LastIndex(string(b), "*3\r\n")
	if last < 0 {
		nothingLogged(t, "SET as the last command in the log", trace.Visible(b, 160))
	}
	for n := last; n <= len(b); n += 1 + (len(b)-last)/12 {
		CutFile(t, path, b, n)
		if err := s.Run(); err != nil {
			if now := aofBytes(t, s.Opt.Dir); len(now) < n {
				t.Hint("the server cut the log and then refused it: look at the first byte that would go before you cut (piece 5)")
			}
			t.Fail(fmt.Sprintf("the server starts on a log cut after %d of %d bytes", n, len(b)), err.Error())
		}
		AwaitLoaded(t, s)
		c := loaded(t, s, n).Ask(check.Bulk("whole"), "GET", "first").Ask(check.Bulk("1"), "GET", "n")
		if n > last && n < len(b) {
			c.Ask("$-1\r\n", "GET", "last")
			reported(t, s, filepath.Base(path), last, n)
		}
		s.Kill()
	}
}

// reported expects a message of s that names its log and where it was cut.
func reported(t *check.T, s *process.Server, name string, good, size int) {
	if s.Cmd == nil {
		return
	}
	tells := func(line string) bool {
		return strings.Contains(line, name) && regexp.MustCompile(fmt.Sprintf(`\b%d\b`, good)).MatchString(line)
	}
	said := s.Fresh()
	for by := t.Deadline(t.Limit); !slices.ContainsFunc(strings.Split(said, "\n"), tells); said = s.Fresh() {
		if time.Now().After(by) { // what it prints comes by another way than its replies
			silentCut(t, name, said, good, size)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// silentCut is the failure of a server that did not tell that it cut its log.
func silentCut(t *check.T, name, said string, good, size int) {
	t.FailWith(check.Failure{Want: fmt.Sprintf("a line on standard error that names %s and the %d bytes that it was cut to (it had %d)", name, good, size),
		Got: "it said: " + trace.Visible([]byte(said), 300), Guide: "Build it",
		Hint: "half a command was cut off in silence: tell the operator which file was cut, and to how many bytes (piece 5)"})
}

func appendAfterTear(t *check.T) {
	s := Logged(t)
	t.DialTo(s).Ask("+OK\r\n", "SET", "first", "whole").Ask("+OK\r\n", "SET", "last", "value")
	s.Kill()
	b := aofBytes(t, s.Opt.Dir)
	if len(b) < 4 {
		nothingLogged(t, "two SETs in the log", trace.Visible(b, 0))
	}
	CutFile(t, aofPath(t, s.Opt.Dir), b, len(b)-4)
	onLog(t, s).Ask("+OK\r\n", "SET", "new", "after the tear")
	if log := aofBytes(t, s.Opt.Dir); strings.Contains(string(log), "\x00") {
		t.FailWith(check.Failure{Want: "the new command right behind the whole ones", Got: trace.Visible(log, 300), Guide: "Build it",
			Hint: "the new command stands behind a gap of zero bytes, where the file had ended before: open the log with os.O_APPEND, so that each write goes to its end (piece 1)"})
	}
	reborn(t, s).Ask(check.Bulk("whole"), "GET", "first").Ask("$-1\r\n", "GET", "last").Ask(check.Bulk("after the tear"), "GET", "new")
}

// tearBehindSelect leaves a log whose last whole command is a SELECT. A crash does, if the disk took no more of what
// was written.
func tearBehindSelect(t *check.T) {
	s := Logged(t)
	t.DialTo(s).Ask("+OK\r\n", "SET", "first", "whole")
	for i, torn := range []string{"*3\r\n$3\r\nSE", ""} {
		s.Kill()
		log := string(aofBytes(t, s.Opt.Dir))
		if log == "" {
			nothingLogged(t, "a SET in the log", "an empty log")
		}
		log += check.Commands("SELECT 3") + torn
		CutFile(t, aofPath(t, s.Opt.Dir), []byte(log), len(log))
		key := fmt.Sprint("new", i)
		onLog(t, s).Ask("+OK\r\n", "SET", key, "of 0")
		reborn(t, s).Ask(check.Bulk("of 0"), "GET", key)
	}
}

// aboutFile finds the words of a message that is about a damaged file.
var aboutFile = regexp.MustCompile(`(?i)\b(file|log|offset|bytes?|checksum)\b|\.(aof|rdb)\b`)

// RefusesToStart starts s again and expects it to end by itself with an error code and a message about its file.
// Redis listens before it loads, so that it has accepted a connection means nothing.
func RefusesToStart(t *check.T, s *process.Server, what ...string) {
	s.Run()
	code, ended := s.Exit(t.Limit)
	if out := s.Output(); strings.Contains(out, "panic: ") || strings.Contains(out, "fatal error: ") {
		t.FailWith(check.Failure{Want: "the server says what is wrong with the file, and ends" + strings.Join(what, ""), Got: fmt.Sprintf("a crash, exit code %d%s", code, s.Said()),
			Hint: "a crash is no refusal: what stands in the file, or what a read returns after an error, is used without a look at it"})
	}
	// Ending by a signal (code -1), the words of every start or those of a taken port are no refusal of the file.
	fresh := s.Fresh()
	if ended && code > 0 && !aboutFile.MatchString(fresh) {
		t.FailWith(check.Failure{Want: "a message that says what is wrong with the file" + strings.Join(what, ""), Got: fmt.Sprintf("exit code %d%s", code, s.Said()),
			Hint: "the server refuses to start and does not say why: name the file, and where in it the damage is"})
	}
	refused := ended && code > 0 && !strings.Contains(fresh, "address already in use")
	t.Require(refused, "the server ends at once, with an exit code other than 0 and a message that says what is wrong with its file",
		"ended=%v, exit code %d%s", ended, code, s.Said())
}

func garbageRefused(t *check.T) {
	s, path, b := loggedAndEnded(t)
	t.Hint("a command in the log was answered with an error, and the replay went on: look at the reply to this command (c.w.Buf is empty before it), say what is wrong, and end (piece 3)")
	refusesLog(t, s, path, b+"*1\r\n$4\r\nNOPE\r\n"+b)
	t.Hint("a protocol error in the log was taken for its end: only io.EOF and io.ErrUnexpectedEOF are ends, any other error is damage (piece 3)")
	refusesLog(t, s, path, b+"*3\r\n$3\r\nSET\r\n%1\r\na\r\n$1\r\n2\r\n"+b)
	t.Hint("a line that is no command was passed over: an error in the log is damage, wherever it comes from (piece 3)")
	refusesLog(t, s, path, b+"!!garbage!!\r\n"+b)
}

func zerosRefused(t *check.T) {
	s, path, b := loggedAndEnded(t)
	refusesLog(t, s, path, b+strings.Repeat("\x00", 100))
	refusesLog(t, s, path, b+"SE")
}

// loggedAndEnded returns a server that was killed after it had logged SET a text, and the log.
func loggedAndEnded(t *check.T) (s *process.Server, path, log string) {
	s = Logged(t)
	t.DialTo(s).Ask("+OK\r\n", "SET", "a", "text")
	s.Kill()
	path, log = aofPath(t, s.Opt.Dir), string(aofBytes(t, s.Opt.Dir))
	if log == "" {
		nothingLogged(t, "a SET in the log", "an empty log")
	}
	return s, path, log
}

// refusesLog starts s on a damaged log, and expects it to say so, to end, and to leave the file alone.
func refusesLog(t *check.T, s *process.Server, path, damaged string) {
	CutFile(t, path, []byte(damaged), len(damaged))
	RefusesToStart(t, s)
	after, _ := os.ReadFile(path)
	if at := trace.DiffAt([]byte(damaged), after); at >= 0 {
		t.FailWith(check.Failure{Want: "the damaged log is left alone: " + trace.Excerpt([]byte(damaged), at), Got: trace.Excerpt(after, at),
			Hint: "a damaged file is evidence: leave it as it is"})
	}
}

// logOrder lets many clients set the same keys in bursts. If execution and log took separate locks,
// some key's last SET in the log is not the last that was executed.
func logOrder(t *check.T) {
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
		before[k] = check.Text(c.Do("GET", fmt.Sprint("k", k)))
	}
	sameAsLog(t, s, before)
	c = reborn(t, s)
	for k := range keys {
		c.Ask(check.Bulk(before[k]), "GET", fmt.Sprint("k", k))
	}
}

// sameAsLog compares what the keys k0, k1, … have in memory with their last SETs in the log.
func sameAsLog(t *check.T, s *process.Server, values []string) {
	cmds := AOFCommands(t, s.Opt.Dir)
	if len(cmds) == 0 {
		nothingLogged(t, "the SETs of all clients in the log", "an empty log")
	}
	for k, v := range values {
		sets := find(cmds, fmt.Sprint("k", k))
		last := ""
		if len(sets) > 0 {
			last = sets[len(sets)-1][2]
		}
		if len(find(sets, v)) == 0 {
			t.FailWith(check.Failure{Want: fmt.Sprintf("SET k%d %s in the log, as it was answered", k, v), Got: "its last SET of k" + strconv.Itoa(k) + " is " + last,
				Hint: hintBuffer})
		}
		t.Require(last == v, fmt.Sprintf("SET k%d %s as the last SET of k%d in the log, since that is what memory has", k, v, k), "SET k%d %s", k, last)
	}
}

func killUnderLoad(t *check.T) {
	s := Logged(t)
	const clients = 10
	var acked [clients]int
	var total atomic.Int64
	var conns [clients]*check.Conn
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
			if v, err := c.TryReply(); err != nil || check.Text(v) != "OK" {
				return
			}
			acked[i] = n
			total.Add(1)
		}
	})
	<-killed
	t.Require(total.Load() > 0, "acknowledged writes", "none before the kill")
	onLog(t, s).Close()
	t.Parallel(clients, func(i int) {
		c := t.DialTo(s)
		for n := 1; n <= acked[i]; n++ {
			key := fmt.Sprintf("c%d:%d", i, n)
			v := check.Text(c.Do("GET", key))
			t.Require(v == strconv.Itoa(n), fmt.Sprintf("%s = %d, one of %d acknowledged writes", key, n, total.Load()), "%s", v)
		}
	})
}
