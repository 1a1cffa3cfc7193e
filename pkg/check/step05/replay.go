package step05

import (
	"fmt"
	"os"
	"strings"
	"time"

	"byor/pkg/check"
	"byor/pkg/check/process"
	"byor/pkg/check/trace"
	"byor/pkg/resp"
)

// Step 05: what a start makes of the log.

func init() {
	check.Register(5, 0,
		check.Check{Name: "survives-restart", After: 3, What: "data is there after a kill -9 and a restart", Run: survivesRestart, Own: true, Guide: "Build it",
			Hint: "the log has the change, and the start did not bring it back: execute every command in the log, in its order (piece 3)"},
		check.Check{Name: "replay-is-silent", After: 3, What: "replay does not log again", Run: replaySilent, Own: true, Guide: "Build it",
			Hint: hintSilent},
		check.Check{Name: "del-is-logged", After: 3, What: "what was deleted stays deleted", Run: delLogged, Own: true, Guide: "The idea",
			Hint: "DEL changes data, and so does an EXPIRE with a time that has passed: log them as DEL"},
		check.Check{Name: "binary-log", After: 3, What: "keys and values of any bytes survive", Run: binaryLog, Own: true, Guide: "On the wire",
			Hint: "the log is length-prefixed like the wire: write lengths and raw bytes, never lines of text"},
		check.Check{Name: "databases", After: 3, What: "each change comes back in its own database", Run: logDatabases, Own: true, Guide: "Build it",
			Hint: "a SELECT in the log holds for what follows it: execute it in the replay like any other command, with one client for the whole log (piece 3)"},
		check.Check{Name: "ttl-after-restart", After: 3, What: "a key's remaining time goes on over a restart", Run: ttlAfterRestart, Own: true, Guide: "The idea",
			Hint: "relative TTL in the log starts anew at each replay: log the deadline itself"},
		check.Check{Name: "expired-while-down", After: 3, What: "what expired while the server was down is gone", Run: expiredWhileDown, Own: true,
			Hint: "a deadline in the log may have passed by the time of the replay: the key must not be served then, with or without its deadline"},
		check.Check{Name: "garbage-is-refused", After: 3, What: "a damaged log is refused with a message", Run: garbageRefused, Own: true, Slow: 2, Guide: "Build it",
			Hint: "a torn tail is the end of the file within a command; what is no command is damage: say where, and exit with an error (piece 3)"},
		check.Check{Name: "order", After: 3, What: "the log's order is the order of execution", Run: logOrder, Own: true, Slow: 3, Guide: "Build it",
			Hint: "log order differing from execution order: with two locks, two clients' SETs can be executed a, b and logged b, a. Execute and append under one lock (piece 2)"},
		check.Check{Name: "kill-under-load", After: 3, What: "kill -9 under load loses nothing that was acknowledged", Run: killUnderLoad, Own: true, Slow: 3, Guide: "Build it", Hint: hintBuffer},
		check.Check{Name: "expiry-is-logged", After: 4, What: "a key that expires is logged as DEL", Run: expiryLogged, Own: true, Guide: "Build it",
			Hint: "an expiry changes the data though nobody sent a command: its effect is DEL key, in the log before a GET that found it is answered (piece 4)"},
		check.Check{Name: "persist-in-time", After: 4, What: "a key that lost its deadline in time survives a late restart", Run: persistInTime, Own: true, Guide: "Build it",
			Hint: "the replay deleted a key by today's clock, and the PERSIST further down in the log came too late: keep expired keys until the log itself says DEL (piece 4)"},
	)
}

// onLog starts a server again that has ended, on a log that leaves it with keys in database 0. If nothing was
// written, or nothing was loaded, the failure says so, and not that something is wrong with a value.
func onLog(t *check.T, s *process.Server) *check.Conn {
	n := len(aofBytes(t, s.Opt.Dir))
	if n == 0 {
		nothingLogged(t, "a log with what was changed", "an empty log")
	}
	StartAgain(t, s)
	return loaded(t, s, n)
}

// loaded connects to a server that has loaded a log of n bytes.
func loaded(t *check.T, s *process.Server, n int) *check.Conn {
	c := t.DialTo(s)
	if v := c.Do("DBSIZE"); v.Kind == resp.Integer && v.Int == 0 {
		t.FailWith(check.Failure{Sent: resp.AppendCommandStrings(nil, "DBSIZE"), Want: fmt.Sprintf("keys in database 0, from a log of %d bytes", n), Got: check.Text(v), Guide: "Build it",
			Hint: "nothing was loaded: at the start, execute what is in the log (piece 3)"})
	}
	return c
}

// reborn kills s and starts it on its log.
func reborn(t *check.T, s *process.Server) *check.Conn {
	s.Kill()
	return onLog(t, s)
}

// Restart kills s with kill -9 and starts it again.
func Restart(t *check.T, s *process.Server) *check.Conn {
	s.Kill()
	StartAgain(t, s)
	return t.DialTo(s)
}

// StartAgain starts a server that has ended.
func StartAgain(t *check.T, s *process.Server) {
	before, _ := logSize(t, s)
	if err := s.Run(); err != nil {
		if after, ok := logSize(t, s); ok && after > before+1000 { // it reads what it writes
			t.Hint("%s", hintSilent)
		}
		t.Fail("the server starts again on its own files", err.Error())
	}
	AwaitLoaded(t, s)
}

// stuckHint guesses why a server of step 05 answers nothing; "" leaves it to the check.
func stuckHint(t *check.T) string {
	if t.Step() != 5 || t.Real() {
		return ""
	}
	return "a PING got no reply, so a lock is never given back. Under always each reply goes through sync: does it unlock its mutex on every way out (piece 6)?"
}

// logSize returns the length of the log of s, if it has one.
func logSize(t *check.T, s *process.Server) (n int64, ok bool) {
	path, err := aofFile(s.Opt.Dir)
	if err != nil {
		return 0, false
	}
	stat, err := os.Stat(path)
	if err != nil {
		return 0, false
	}
	return stat.Size(), true
}

// AwaitLoaded waits while a server answers -LOADING, as a real redis-server does at first.
func AwaitLoaded(t *check.T, s *process.Server) {
	c := t.DialTo(s)
	t.Until(5*time.Second, "the server has loaded its data", func() (bool, string) {
		c.Cmd("PING")
		v, err := c.TryReply()
		if err != nil {
			c.T.FailWith(check.Failure{Sent: c.Sent, Want: "a reply to PING", Got: c.GotText(err), Hint: stuckHint(t)})
		}
		return !strings.HasPrefix(check.Text(v), "LOADING"), check.Text(v)
	})
	c.Close()
}

func survivesRestart(t *check.T) {
	s := Logged(t)
	t.DialTo(s).Ask("+OK\r\n", "SET", "a", "1").Ask(":2\r\n", "INCR", "a").Ask("+OK\r\n", "SET", "b", "two words").Ask("+OK\r\n", "SET", "e", "")
	reborn(t, s).Ask(check.Bulk("2"), "GET", "a").Ask(check.Bulk("two words"), "GET", "b").Ask(check.Bulk(""), "GET", "e").Ask(":3\r\n", "INCR", "a")
	reborn(t.Hint("the second start has lost a change that came after the first: go on logging once the replay is over (s.log = log)"), s).Ask(check.Bulk("3"), "GET", "a")
}

func replaySilent(t *check.T) {
	s := Logged(t)
	t.DialTo(s).Ask(":1\r\n", "INCR", "n").Ask(":2\r\n", "INCR", "n").Ask("+OK\r\n", "SET", "k", "v")
	before := aofBytes(t, s.Opt.Dir)
	if len(before) == 0 {
		nothingLogged(t, "a log with what was changed", "an empty log")
	}
	for range 2 {
		s.Kill()
		StartAgain(t, s)
	}
	after := aofBytes(t, s.Opt.Dir)
	at := trace.DiffAt(before, after)
	t.Require(at < 0, fmt.Sprintf("%s, %d bytes as before the restarts", trace.Excerpt(before, at), len(before)), "%s, %d bytes", trace.Excerpt(after, at), len(after))
	loaded(t, s, len(after)).Ask(check.Bulk("2"), "GET", "n")
}

func ttlAfterRestart(t *check.T) {
	s := Logged(t)
	c := t.DialTo(s)
	c.Ask("+OK\r\n", "SET", "a", "v", "PX", "60000").Ask("+OK\r\n", "SET", "b", "v").Ask(":1\r\n", "EXPIRE", "b", "60").
		Ask("+OK\r\n", "SET", "c", "v", "EX", "60").Ask(":1\r\n", "PERSIST", "c")
	t.Sleep(300 * time.Millisecond)
	c = reborn(t, s)
	c.Between(30_000, 59_700, "PTTL", "a").Between(30_000, 59_700, "PTTL", "b").Ask(":-1\r\n", "TTL", "c")
}

// expiryLogged makes a key anew that has expired. Without the DEL between the two, a replay that keeps what has
// expired until the log says otherwise counts on from the old value, under the old deadline.
func expiryLogged(t *check.T) {
	s := Logged(t)
	c := t.DialTo(s).Ask("+OK\r\n", "SET", "asked", "5", "PX", "100").Ask("+OK\r\n", "SET", "swept", "stays")
	c.Ask("+OK\r\n", "SELECT", "3").Ask("+OK\r\n", "SET", "swept", "v", "PX", "100").Ask("+OK\r\n", "SELECT", "0")
	t.Until(t.Limit, "GET asked is null, 100 ms after SET asked 5 PX 100", func() (bool, string) {
		v := getExpired(c, "asked")
		return v.Null, check.Text(v)
	})
	t.Require(len(find(AOFCommands(t, s.Opt.Dir), "asked")) == 2, "SET asked and DEL asked in the log when GET asked is answered", "%q", AOFCommands(t, s.Opt.Dir))
	c.Ask(":1\r\n", "INCR", "asked")
	t.Until(t.Limit, "DEL asked and DEL swept in the log", func() (bool, string) {
		cmds := AOFCommands(t, s.Opt.Dir)
		if len(cmds) == 0 {
			nothingLogged(t, "three SETs in the log", "an empty log")
		}
		n := 0
		for _, cmd := range cmds {
			if w := strings.ToUpper(cmd[0]); w == "DEL" || w == "UNLINK" {
				n += len(cmd) - 1
			}
		}
		return n == 2, fmt.Sprintf("%q", cmds)
	})
	c = reborn(t, s).Ask(check.Bulk("1"), "GET", "asked").Ask(":-1\r\n", "TTL", "asked")
	t.Hint("the key expired in database 3, and its DEL went to database 0: the store says which one it means (piece 4)")
	c.Ask(check.Bulk("stays"), "GET", "swept").Ask("+OK\r\n", "SELECT", "3").Ask("$-1\r\n", "GET", "swept")
}

// getExpired answers GET key. The store calls OnExpire for it, under the lock of the command.
func getExpired(c *check.Conn, key string) resp.Value {
	c.Cmd("GET", key)
	v, err := c.TryReply()
	if err != nil {
		c.T.FailWith(check.Failure{Sent: c.Sent, Want: "a reply to GET " + key + ", whose time is over", Got: c.GotText(err), Guide: "Build it",
			Hint: "no reply for a key that has expired: OnExpire is called while execute holds s.mu, and locking s.mu there waits for itself (piece 4)"})
	}
	return v
}

func expiredWhileDown(t *check.T) {
	s := Logged(t)
	t.DialTo(s).Ask("+OK\r\n", "SET", "short", "v", "PX", "250").Ask("+OK\r\n", "SET", "long", "v", "PX", "60000")
	s.Kill()
	t.Sleep(350 * time.Millisecond)
	c := onLog(t, s)
	v := getExpired(c, "short")
	t.Require(v.Null, "null for GET short, whose time was over before the start", "%s", check.Text(v))
	c.Ask(":-2\r\n", "TTL", "short").Ask(check.Bulk("v"), "GET", "long")
}

// persistInTime takes deadlines away, or puts them off, while the keys are alive, and starts the server when the
// first deadlines would have been over. Each pair of commands goes out in one write, so that nothing comes between.
func persistInTime(t *check.T) {
	s := Logged(t)
	c := t.DialTo(s).Ask("+OK\r\n", "SET", "k", "v")
	c.Send(check.Commands("SET freed v PX 400", "PERSIST freed")).Expect("+OK\r\n:1\r\n")
	c.Send(check.Commands("SET later v PX 400", "EXPIRE later 600")).Expect("+OK\r\n:1\r\n")
	s.Kill()
	t.Sleep(500 * time.Millisecond)
	onLog(t, s).Ask(check.Bulk("v"), "GET", "freed").Ask(":-1\r\n", "TTL", "freed").Between(500, 600, "TTL", "later")
}

func delLogged(t *check.T) {
	s := Logged(t)
	c := t.DialTo(s).Ask("+OK\r\n", "SET", "a", "1").Ask("+OK\r\n", "SET", "b", "1").Ask(":2\r\n", "DEL", "a", "b", "c").
		Ask("+OK\r\n", "SET", "d", "1").Ask(":1\r\n", "EXPIRE", "d", "-1").Ask("+OK\r\n", "SET", "e", "1").Ask("+OK\r\n", "SET", "e", "2")
	t.Hinting("a key is served although its deadline has passed: set Expiry back to store.DeleteExpired when the replay is over (piece 4)", func() {
		c.Ask(":0\r\n", "EXISTS", "d")
	})
	reborn(t, s).Ask(":0\r\n", "EXISTS", "a", "b", "d").Ask(check.Bulk("2"), "GET", "e")
}

func binaryLog(t *check.T) {
	s := Logged(t)
	weird := []string{"a\r\nb", "\x00", "*1\r\n$4\r\nPING\r\n", "\xff\xfe", strings.Repeat("z", 100_000), " "}
	c := t.DialTo(s)
	for _, w := range weird {
		c.Ask("+OK\r\n", "SET", w, w+"!")
	}
	c = reborn(t, s)
	for _, w := range weird {
		c.Ask(check.Bulk(w+"!"), "GET", w)
	}
}

// logDatabases uses two databases with the same keys. The log that the second start finds ends in database 3.
func logDatabases(t *check.T) {
	s := Logged(t)
	t.DialTo(s).Ask("+OK\r\n", "SELECT", "3").Ask("+OK\r\n", "SET", "k", "of 3").Ask("+OK\r\n", "SELECT", "0").Ask("+OK\r\n", "SET", "k", "of 0").
		Ask("+OK\r\n", "SELECT", "3").Ask(":1\r\n", "INCR", "n")
	reborn(t, s).Ask(check.Bulk("of 0"), "GET", "k").Ask("$-1\r\n", "GET", "n").Ask(":1\r\n", "INCR", "m")
	t.Hint("after a start nobody knows which database the file has selected at its end: write SELECT before the first change (l.db is -1 then)")
	reborn(t, s).Ask(check.Bulk("1"), "GET", "m").Ask("+OK\r\n", "SELECT", "3").Ask("$-1\r\n", "GET", "m").
		Ask(check.Bulk("of 3"), "GET", "k").Ask(check.Bulk("1"), "GET", "n")
}
