// Package step09 holds the checks of step 09 and of its exercises: the server saves, closes its door and exits. What
// it owes its clients meanwhile is in drain.go.
package step09

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"byor/pkg/check"
	"byor/pkg/check/process"
	"byor/pkg/check/step05"
	"byor/pkg/check/step07"
	"byor/pkg/resp"
)

func init() {
	const build = "Build it"
	check.Register(9, 0,
		check.Check{Name: "exit-code", After: 2, What: "SIGTERM and Ctrl-C end the server, with exit code 0", Run: exitCode, Own: true, Guide: build,
			Hint: "both signals take the same way: stop closes the listener, Accept returns, and run comes to its end (pieces 1 and 2)"},
		check.Check{Name: "sigterm", After: 3, What: "SIGTERM saves the data", Run: func(t *check.T) { signalSaves(t, process.SigTerm) }, Own: true, Guide: build,
			Hint: hintSaves},
		check.Check{Name: "sigint", After: 3, What: "Ctrl-C saves the data", Run: func(t *check.T) { signalSaves(t, process.SigInt) }, Own: true, Guide: build,
			Hint: hintSaves},
		check.Check{Name: "everysec-tail", After: 2, What: "what was acknowledged just before SIGTERM is in the log", Run: everysecTail, Own: true, Guide: build,
			Hint: "the end of the log is missing. It is on the disk when run comes to its end and closes the log (piece 2)"},

		check.Check{Name: "shutdown", After: 4, What: "SHUTDOWN saves, closes without an answer, and exits with 0", Run: shutdownSaves, Own: true, Slow: 2, Guide: build,
			Hint: "SHUTDOWN takes the same way as a signal, through stop. Its answer is that the connection ends (piece 4)"},
		check.Check{Name: "shutdown-nosave", After: 4, What: "SHUTDOWN NOSAVE exits without saving, SHUTDOWN SAVE saves, also beside a log", Run: shutdownNosave, Own: true, Slow: 5, Guide: build,
			Hint: "NOSAVE leaves the old dump.rdb as it is (piece 3)"},
		check.Check{Name: "shutdown-by-subscriber", After: 4, What: "a subscriber may not shut the server down", Run: shutdownBySubscriber, Own: true, Slow: 2, Guide: build,
			Hint: "a subscriber gets the error for a command that it may not use, and the server goes on: SHUTDOWN has no flags in the table (piece 4)"},
		check.Check{Name: "save-fails", After: 4, What: "when the data cannot be saved, SHUTDOWN says so and the server stays", Run: saveFails, Own: true, Slow: 3, Guide: build,
			Hint: hintStays},
		check.Check{Name: "log-fails", After: 4, What: "when the log cannot be made safe, SHUTDOWN SAVE does not go on to the snapshot", Run: logFails, Own: true, Slow: 3, Guide: build, Until: 9,
			NotRedis: "it warns in its log, and goes on, and so does step 10",
			Hint:     "the log has failed, and the snapshot was saved all the same, as if all were well: keep Flush's error, and leave out what comes behind it (piece 3)"},
		check.Check{Name: "bgsave-under-way", After: 4, What: "a BGSAVE that has not ended does not get into the way of the last save", Run: bgsaveUnderWay, Own: true, Slow: 3, Guide: build,
			Hint: "a BGSAVE shows an older moment: end it before the last save begins (piece 3)"},
	)
}

const (
	hintAccept = "Accept's error was taken for a crash. Once you have closed the listener, Accept returns net.ErrClosed: that is the way to the normal end (piece 2)"
	hintSaves  = "the data must be saved before the exit, as SAVE does it: stop calls s.disk.SaveNow (piece 3)"
	hintStays  = "an exit that loses the data is worse than none: stop returns the error, SHUTDOWN answers -ERR Errors trying to SHUTDOWN. Check logs., and the server goes on (pieces 3 and 4)"
	hintLocked = "the door is closed, and the process goes on: somebody waits for a lock that nobody gives back. Unlock behind stop (piece 1), and hold the lock nowhere while you wait for clients (piece 6): those who leave need it"
)

// Exits expects s to end by itself with code 0.
func Exits(t *check.T, s *process.Server, d time.Duration) {
	code, ended := s.Exit(d)
	endedWell(t, s, d, code, ended)
}

func endedWell(t *check.T, s *process.Server, d time.Duration, code int, ended bool) {
	check.Explained(func() {
		t.Require(ended, fmt.Sprintf("the process ends within %v", d), "it still runs%s", s.Said())
		t.Require(code == 0, "exit code 0", "%s%s", s.State, s.Said())
	}, func(string) string {
		if ended && strings.Contains(s.Output(), "use of closed network connection") {
			return hintAccept
		}
		return ""
	})
}

// listens says whether s takes connections.
func listens(t *check.T, s *process.Server) bool {
	c, err := t.TryDial(s)
	if err == nil {
		c.Close()
	}
	return err == nil
}

// obeys sends s, which has no clients, a signal and expects it to end by itself, with code 0. How it fails says which
// piece is missing.
func obeys(t *check.T, s *process.Server, sig syscall.Signal) {
	s.Signal(sig)
	code, ended := s.Exit(t.Limit)
	switch {
	case !ended && !listens(t, s):
		t.Hint(hintLocked)
	case !ended:
		t.Hint("the signal is caught, and nothing ends then: stop has to close the listener (piece 2). Accept returns then, and run comes to its end")
	case code < 0 || code == 128+int(sig):
		t.Hint("the signal ended the process on the spot: catch SIGTERM as well as os.Interrupt, with signal.Notify (piece 1)")
	}
	endedWell(t, s, t.Limit, code, ended)
}

func exitCode(t *check.T) {
	for _, sig := range []syscall.Signal{process.SigTerm, process.SigInt} {
		obeys(t, t.Start(process.Options{}), sig)
	}
}

// endsAtAll makes sure that SIGTERM ends a server that has no clients, and where idle is true one with
// a client that says nothing. Where it does not, all that follows would fail after a long wait, with a
// hint to something else.
func endsAtAll(t *check.T, idle bool) {
	s := t.Start(process.Options{})
	c := t.DialTo(s).Ask("+PONG\r\n", "PING")
	hint := "SIGTERM does not end a server well that has one idle client: mend the checks exit-code and idle-clients first"
	if !idle {
		c.Close()
		t.Sleep(300 * time.Millisecond) // until the server has noticed, or it is not without clients
		hint = "SIGTERM alone does not end the server well, even when no client is there: mend the check exit-code first"
	}
	s.Signal(process.SigTerm)
	code, ended := s.Exit(t.Limit)
	if !ended || code != 0 {
		t.Hint("%s", hint).Guide("Build it")
		endedWell(t, s, t.Limit, code, ended)
	}
}

func signalSaves(t *check.T, sig syscall.Signal) {
	s := t.Start(process.Options{})
	t.DialTo(s).Ask("+OK\r\n", "SET", "a", "kept").Ask("+OK\r\n", "SET", "ttl", "v", "EX", "1000").Close()
	obeys(t, s, sig)
	step05.StartAgain(t.Hint(hintSaves), s)
	t.DialTo(s).Ask(check.Bulk("kept"), "GET", "a").Between(900_000, 1_000_000, "PTTL", "ttl")
}

func everysecTail(t *check.T) {
	s := t.Start(process.Options{Fsync: "everysec"})
	c := t.DialTo(s)
	for i := range 300 {
		c.Ask("+OK\r\n", "SET", fmt.Sprint("k", i), "v")
	}
	c.Close()
	s.Signal(process.SigTerm)
	Exits(t, s, t.Limit)
	step05.StartAgain(t, s)
	c = t.DialTo(s)
	for i := range 300 {
		c.Ask(check.Bulk("v"), "GET", fmt.Sprint("k", i))
	}
}

// shutsDown sends SHUTDOWN with the options how, by c, and expects the end of the connection and of the process.
func shutsDown(t *check.T, s *process.Server, c *check.Conn, how ...string) {
	check.Explained(func() { c.Cmd(append([]string{"SHUTDOWN"}, how...)...).ExpectClose() }, func(got string) string {
		switch {
		case check.Silent(got) && !t.AnswersOthers(s):
			return "nobody gets an answer any more: the handler has the lock already, as all handlers do. stop must not take it again (piece 4)"
		case check.Silent(got):
			return "SHUTDOWN did nothing: call stop, and set c.Closing, which ends this connection (piece 4)"
		case strings.Contains(got, "unknown command"):
			return "SHUTDOWN is no command yet: its line in the table is missing (piece 4)"
		case strings.Contains(got, "+OK"):
			return "it has no reply when it works: an OK would say that all is over, and it has just begun. The end of the connection is the answer (piece 4)"
		}
		return ""
	})
	code, ended := s.Exit(afterDrain)
	if !ended && !listens(t, s) {
		t.Hint(hintLocked)
	}
	endedWell(t, s, afterDrain, code, ended)
}

// afterDrain is how long an exit takes at most that gives its clients five seconds. Those who need no time are
// the business of the check idle-clients.
const afterDrain = 7500 * time.Millisecond

func shutdownSaves(t *check.T) {
	s := t.Start(process.Options{})
	shutsDown(t, s, t.DialTo(s).Ask("+OK\r\n", "SET", "a", "kept"))
	step05.StartAgain(t, s)
	t.DialTo(s).Ask(check.Bulk("kept"), "GET", "a")
}

func shutdownNosave(t *check.T) {
	s := t.Start(process.Options{})
	c := t.DialTo(s).Ask("+OK\r\n", "SET", "a", "saved")
	t.Hint("anything but NOSAVE or SAVE, and more than one word, is a syntax error, and changes nothing (piece 4)")
	check.Explained(func() {
		c.Ask(check.Err("ERR syntax error"), "SHUTDOWN", "PERHAPS").Ask(check.Err("ERR syntax error"), "SHUTDOWN", "SAVE", "NOSAVE")
	}, func(got string) string {
		if strings.Contains(got, "wrong number of arguments") {
			return "SHUTDOWN's line in the table allows too few arguments: with its name it takes one or more, so Arity is -1 (piece 4)"
		}
		return ""
	})
	shutsDown(t.Hint("SHUTDOWN SAVE saves a snapshot (piece 3)"), s, c, "SAVE")
	step05.StartAgain(t, s)
	c = t.DialTo(s).Ask(check.Bulk("saved"), "GET", "a").Ask("+OK\r\n", "SET", "a", "not saved")
	shutsDown(t.Hint("NOSAVE leaves the old dump.rdb as it is, and case does not matter (pieces 3 and 4)"), s, c, "nosave")
	step05.StartAgain(t, s)
	t.DialTo(s).Ask(check.Bulk("saved"), "GET", "a")

	s = t.Start(process.Options{Fsync: "everysec"})
	shutsDown(t, s, t.DialTo(s).Ask("+OK\r\n", "SET", "a", "1"), "SAVE")
	_, err := os.Stat(filepath.Join(s.Opt.Dir, "dump.rdb"))
	t.Hint("SHUTDOWN SAVE asks for a snapshot, so it gets one beside the log, too (piece 3)").
		Require(err == nil, "dump.rdb after SHUTDOWN SAVE, beside the log", "%v", err)
	if t.Real() {
		return // it has save points, and saves
	}
	s = t.Start(process.Options{Fsync: "everysec"})
	shutsDown(t, s, t.DialTo(s).Ask("+OK\r\n", "SET", "a", "1"))
	_, err = os.Stat(filepath.Join(s.Opt.Dir, "dump.rdb"))
	t.Hint("with a log, plain SHUTDOWN saves no snapshot: the log is enough (piece 3)").
		Require(err != nil, "no dump.rdb after SHUTDOWN, beside the log", "a dump.rdb")
}

func shutdownBySubscriber(t *check.T) {
	const refused = "ERR Can't execute 'shutdown': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context"
	s := t.Start(process.Options{})
	c := t.DialTo(s).Ask(step07.Push("subscribe", "ch", 1), "SUBSCRIBE", "ch")
	check.Explained(func() { c.Ask(check.Err(refused), "SHUTDOWN", "NOSAVE") }, func(got string) string {
		if check.Closed(got) {
			return "a subscriber has shut the server down: the line of SHUTDOWN has the flag s. Only the commands that the error names have it (piece 4)"
		}
		return ""
	})
	t.DialTo(s).Ask("+PONG\r\n", "PING").Close()
	shutsDown(t.Hint("a client that has unsubscribed from everything is an ordinary client again"), s, c.Ask(step07.Push("unsubscribe", "ch", 0), "UNSUBSCRIBE", "ch"), "NOSAVE")
}

// filled gives c's server some data, so that a save takes its time.
func filled(c *check.Conn, keys int) *check.Conn {
	var fill strings.Builder
	for i := range keys {
		fill.Write(resp.AppendCommandStrings(nil, "SET", fmt.Sprint("k", i), strings.Repeat("v", 100)))
	}
	c.Exchange(fill.String(), strings.Repeat("+OK\r\n", keys))
	return c
}

// bgsaveUnderWay lets the end come microseconds after a BGSAVE has begun.
func bgsaveUnderWay(t *check.T) {
	s := t.Start(process.Options{})
	const keys = 20000
	c := filled(t.DialTo(s), keys)
	c.Ask("+OK\r\n", "SET", "a", "old").Ask(check.Err("ERR syntax error"), "SHUTDOWN", "PERHAPS").Send("BGSAVE\r\nSET a new\r\nSHUTDOWN\r\n")
	Exits(t, s, afterDrain)
	step05.StartAgain(t, s)
	t.DialTo(s).Ask(check.Bulk("new"), "GET", "a").Ask(fmt.Sprintf(":%d\r\n", keys+1), "DBSIZE")
}

func saveFails(t *check.T) {
	s := t.Start(process.Options{})
	c := t.DialTo(s).Ask("+OK\r\n", "SET", "a", "1")
	if err := os.RemoveAll(s.Opt.Dir); err != nil {
		t.Skip(err.Error())
	}
	v, err := c.Cmd("SHUTDOWN").TryReply()
	if err != nil {
		got := "the connection was closed"
		if !errors.Is(err, io.EOF) {
			got = check.PlainErr(err)
		}
		t.Fail("-ERR Errors trying to SHUTDOWN. Check logs.", got)
	}
	t.Require(check.Text(v) == "ERR Errors trying to SHUTDOWN. Check logs.", "-ERR Errors trying to SHUTDOWN. Check logs.", "%s", check.Text(v))
	goesOn(t, s, c)
	for range 2 {
		t.Hint("a signal is no reason to lose the data either: go on when they cannot be saved, and take the next signal for a first one (piece 1)")
		said := len(s.Output())
		s.Signal(process.SigTerm)
		for by := time.Now().Add(t.Limit); len(s.Output()) == said && time.Now().Before(by); { // until it says that it tries
			t.Sleep(10 * time.Millisecond)
		}
		t.Sleep(300 * time.Millisecond)
		t.Require(s.Alive(), "the server goes on after a SIGTERM that it cannot obey without losing data", "%v%s", s.State, s.Said())
		t.DialTo(s).Ask(check.Bulk("1"), "GET", "a")
	}
	shutsDown(t.Hint("NOSAVE is the way out when the data cannot be saved (piece 3)"), s, c, "NOSAVE")
}

// logFails lets each sync of the log fail, and no other. The server cannot go on then: even an error's reply would
// promise what the log does not hold.
func logFails(t *check.T) {
	dir := t.TempDir()
	s, _ := t.StartWatched(process.Options{Fsync: "no", Dir: dir}, "fsync,fdatasync", "fsync,fdatasync:error=EIO",
		filepath.Join(dir, "appendonlydir", "appendonly.aof.1.incr.aof"))
	t.DialTo(s).Ask("+OK\r\n", "SET", "a", "1").Cmd("SHUTDOWN", "SAVE").ExpectClose()
	code, ended := s.Exit(afterDrain)
	t.Require(ended && code != 0, "the process ends, and not with exit code 0", "%s%s", s.State, s.Said())
	_, err := os.Stat(filepath.Join(dir, "dump.rdb"))
	t.Require(err != nil, "no dump.rdb, since the log has failed before it", "a dump.rdb")
}

// goesOn expects s to serve c, who was there during a shutdown that failed, and a newcomer.
func goesOn(t *check.T, s *process.Server, c *check.Conn) {
	const door = "the shutdown has failed, and nobody new is let in any more: close the listener when all is saved, not before (piece 2)"
	check.Explained(func() { c.Ask(check.Bulk("1"), "GET", "a") }, func(got string) string {
		switch {
		case check.Closed(got) && listens(t, s):
			return "the shutdown has failed, and nothing is executed any more: set stopping when all is saved, not before (piece 2)"
		case check.Closed(got):
			return door
		}
		return ""
	})
	t.Hint(door).DialTo(s).Ask(check.Bulk("1"), "GET", "a")
}
