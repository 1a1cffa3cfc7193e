package check

import (
	"fmt"
	"os"
	"strings"
	"time"

	"byor/pkg/check/process"
	"byor/pkg/check/trace"
	"byor/pkg/resp"
)

// Step 05: what a start makes of the log.

func init() {
	register(5, 0,
		Check{Name: "survives-restart", After: 3, What: "data is there after a kill -9 and a restart", Run: survivesRestart, Own: true, Guide: "Build it",
			Hint: "the log has the change, and the start did not bring it back: execute every command in the log, in its order (piece 3)"},
		Check{Name: "replay-is-silent", After: 3, What: "replay does not log again", Run: replaySilent, Own: true, Guide: "Build it",
			Hint: hintSilent},
		Check{Name: "del-is-logged", After: 3, What: "what was deleted stays deleted", Run: delLogged, Own: true, Guide: "The idea",
			Hint: "DEL changes data, and so does an EXPIRE with a time that has passed: log them as DEL"},
		Check{Name: "binary-log", After: 3, What: "keys and values of any bytes survive", Run: binaryLog, Own: true, Guide: "On the wire",
			Hint: "the log is length-prefixed like the wire: write lengths and raw bytes, never lines of text"},
		Check{Name: "databases", After: 3, What: "each change comes back in its own database", Run: logDatabases, Own: true, Guide: "Build it",
			Hint: "a SELECT in the log holds for what follows it: execute it in the replay like any other command, with one client for the whole log (piece 3)"},
		Check{Name: "ttl-after-restart", After: 3, What: "a key's remaining time goes on over a restart", Run: ttlAfterRestart, Own: true, Guide: "The idea",
			Hint: "relative TTL in the log starts anew at each replay: log the deadline itself"},
		Check{Name: "expired-while-down", After: 3, What: "what expired while the server was down is gone", Run: expiredWhileDown, Own: true,
			Hint: "a deadline in the log may have passed by the time of the replay: the key must not be served then, with or without its deadline"},
		Check{Name: "garbage-is-refused", After: 3, What: "a damaged log is refused with a message", Run: garbageRefused, Own: true, Slow: 2, Guide: "Build it",
			Hint: "a torn tail is the end of the file within a command; what is no command is damage: say where, and exit with an error (piece 3)"},
		Check{Name: "order", After: 3, What: "the log's order is the order of execution", Run: logOrder, Own: true, Slow: 3, Guide: "Build it",
			Hint: "log order differing from execution order: with two locks, two clients' SETs can be executed a, b and logged b, a. Execute and append under one lock (piece 2)"},
		Check{Name: "kill-under-load", After: 3, What: "kill -9 under load loses nothing that was acknowledged", Run: killUnderLoad, Own: true, Slow: 3, Guide: "Build it", Hint: hintBuffer},
		Check{Name: "expiry-is-logged", After: 4, What: "a key that expires is logged as DEL", Run: expiryLogged, Own: true, Guide: "Build it",
			Hint: "an expiry changes the data though nobody sent a command: its effect is DEL key, in the log before a GET that found it is answered (piece 4)"},
		Check{Name: "persist-in-time", After: 4, What: "a key that lost its deadline in time survives a late restart", Run: persistInTime, Own: true, Guide: "Build it",
			Hint: "the replay deleted a key by today's clock, and the PERSIST further down in the log came too late: keep expired keys until the log itself says DEL (piece 4)"},
	)
}

// onLog starts a server again that has ended, on a log that leaves it with keys in database 0. If nothing was
// written, or nothing was loaded, the failure says so, and not that something is wrong with a value.
func (t *T) onLog(s *process.Server) *Conn {
	n := len(t.aofBytes(s.Opt.Dir))
	if n == 0 {
		t.nothingLogged("a log with what was changed", "an empty log")
	}
	t.again(s)
	return t.loaded(s, n)
}

// loaded connects to a server that has loaded a log of n bytes.
func (t *T) loaded(s *process.Server, n int) *Conn {
	c := t.DialTo(s)
	if v := c.Do("DBSIZE"); v.Kind == resp.Integer && v.Int == 0 {
		t.fail(failure{Sent: resp.AppendCommandStrings(nil, "DBSIZE"), Want: fmt.Sprintf("keys in database 0, from a log of %d bytes", n), Got: str(v), Guide: "Build it",
			Hint: "nothing was loaded: at the start, execute what is in the log (piece 3)"})
	}
	return c
}

// reborn kills s and starts it on its log.
func (t *T) reborn(s *process.Server) *Conn {
	s.Kill()
	return t.onLog(s)
}

// restart kills s with kill -9 and starts it again.
func (t *T) restart(s *process.Server) *Conn {
	s.Kill()
	t.again(s)
	return t.DialTo(s)
}

// again starts a server that has ended.
func (t *T) again(s *process.Server) {
	before, _ := t.logSize(s)
	if err := s.Run(); err != nil {
		if after, ok := t.logSize(s); ok && after > before+1000 { // it reads what it writes
			t.Hint("%s", hintSilent)
		}
		t.Fail("the server starts again on its own files", err.Error())
	}
	t.awaitLoaded(s)
}

// stuckHint guesses why a server of step 05 answers nothing; "" leaves it to the check.
func (t *T) stuckHint() string {
	if t.Step() != 5 || t.Real() {
		return ""
	}
	return "a PING got no reply, so a lock is never given back. Under always each reply goes through sync: does it unlock its mutex on every way out (piece 6)?"
}

// logSize returns the length of the log of s, if it has one.
func (t *T) logSize(s *process.Server) (n int64, ok bool) {
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

// awaitLoaded waits while a server answers -LOADING, as a real redis-server does at first.
func (t *T) awaitLoaded(s *process.Server) {
	c := t.DialTo(s)
	t.Until(5*time.Second, "the server has loaded its data", func() (bool, string) {
		c.Cmd("PING")
		v, err := c.TryReply()
		if err != nil {
			c.t.fail(failure{Sent: c.sent, Want: "a reply to PING", Got: c.gotText(err), Hint: t.stuckHint()})
		}
		return !strings.HasPrefix(str(v), "LOADING"), str(v)
	})
	c.Close()
}

func survivesRestart(t *T) {
	s := t.logged()
	t.DialTo(s).Ask("+OK\r\n", "SET", "a", "1").Ask(":2\r\n", "INCR", "a").Ask("+OK\r\n", "SET", "b", "two words").Ask("+OK\r\n", "SET", "e", "")
	t.reborn(s).Ask(Bulk("2"), "GET", "a").Ask(Bulk("two words"), "GET", "b").Ask(Bulk(""), "GET", "e").Ask(":3\r\n", "INCR", "a")
	t.Hint("the second start has lost a change that came after the first: go on logging once the replay is over (s.log = log)").
		reborn(s).Ask(Bulk("3"), "GET", "a")
}

func replaySilent(t *T) {
	s := t.logged()
	t.DialTo(s).Ask(":1\r\n", "INCR", "n").Ask(":2\r\n", "INCR", "n").Ask("+OK\r\n", "SET", "k", "v")
	before := t.aofBytes(s.Opt.Dir)
	if len(before) == 0 {
		t.nothingLogged("a log with what was changed", "an empty log")
	}
	for range 2 {
		s.Kill()
		t.again(s)
	}
	after := t.aofBytes(s.Opt.Dir)
	at := trace.DiffAt(before, after)
	t.Require(at < 0, fmt.Sprintf("%s, %d bytes as before the restarts", trace.Excerpt(before, at), len(before)), "%s, %d bytes", trace.Excerpt(after, at), len(after))
	t.loaded(s, len(after)).Ask(Bulk("2"), "GET", "n")
}

func ttlAfterRestart(t *T) {
	s := t.logged()
	c := t.DialTo(s)
	c.Ask("+OK\r\n", "SET", "a", "v", "PX", "60000").Ask("+OK\r\n", "SET", "b", "v").Ask(":1\r\n", "EXPIRE", "b", "60").
		Ask("+OK\r\n", "SET", "c", "v", "EX", "60").Ask(":1\r\n", "PERSIST", "c")
	t.Sleep(300 * time.Millisecond)
	c = t.reborn(s)
	c.between(30_000, 59_700, "PTTL", "a").between(30_000, 59_700, "PTTL", "b").Ask(":-1\r\n", "TTL", "c")
}

// expiryLogged makes a key anew that has expired. Without the DEL between the two, a replay that keeps what has
// expired until the log says otherwise counts on from the old value, under the old deadline.
func expiryLogged(t *T) {
	s := t.logged()
	c := t.DialTo(s).Ask("+OK\r\n", "SET", "asked", "5", "PX", "100").Ask("+OK\r\n", "SET", "swept", "stays")
	c.Ask("+OK\r\n", "SELECT", "3").Ask("+OK\r\n", "SET", "swept", "v", "PX", "100").Ask("+OK\r\n", "SELECT", "0")
	t.Until(t.limit, "GET asked is null, 100 ms after SET asked 5 PX 100", func() (bool, string) {
		v := c.getExpired("asked")
		return v.Null, str(v)
	})
	t.Require(len(find(t.aofCommands(s.Opt.Dir), "asked")) == 2, "SET asked and DEL asked in the log when GET asked is answered", "%q", t.aofCommands(s.Opt.Dir))
	c.Ask(":1\r\n", "INCR", "asked")
	t.Until(t.limit, "DEL asked and DEL swept in the log", func() (bool, string) {
		cmds := t.aofCommands(s.Opt.Dir)
		if len(cmds) == 0 {
			t.nothingLogged("three SETs in the log", "an empty log")
		}
		n := 0
		for _, cmd := range cmds {
			if w := strings.ToUpper(cmd[0]); w == "DEL" || w == "UNLINK" {
				n += len(cmd) - 1
			}
		}
		return n == 2, fmt.Sprintf("%q", cmds)
	})
	c = t.reborn(s).Ask(Bulk("1"), "GET", "asked").Ask(":-1\r\n", "TTL", "asked")
	t.Hint("the key expired in database 3, and its DEL went to database 0: the store says which one it means (piece 4)")
	c.Ask(Bulk("stays"), "GET", "swept").Ask("+OK\r\n", "SELECT", "3").Ask("$-1\r\n", "GET", "swept")
}

// getExpired answers GET key. The store calls OnExpire for it, under the lock of the command.
func (c *Conn) getExpired(key string) resp.Value {
	c.Cmd("GET", key)
	v, err := c.TryReply()
	if err != nil {
		c.t.fail(failure{Sent: c.sent, Want: "a reply to GET " + key + ", whose time is over", Got: c.gotText(err), Guide: "Build it",
			Hint: "no reply for a key that has expired: OnExpire is called while execute holds s.mu, and locking s.mu there waits for itself (piece 4)"})
	}
	return v
}

func expiredWhileDown(t *T) {
	s := t.logged()
	t.DialTo(s).Ask("+OK\r\n", "SET", "short", "v", "PX", "250").Ask("+OK\r\n", "SET", "long", "v", "PX", "60000")
	s.Kill()
	t.Sleep(350 * time.Millisecond)
	c := t.onLog(s)
	v := c.getExpired("short")
	t.Require(v.Null, "null for GET short, whose time was over before the start", "%s", str(v))
	c.Ask(":-2\r\n", "TTL", "short").Ask(Bulk("v"), "GET", "long")
}

// persistInTime takes deadlines away, or puts them off, while the keys are alive, and starts the server when the
// first deadlines would have been over. Each pair of commands goes out in one write, so that nothing comes between.
func persistInTime(t *T) {
	s := t.logged()
	c := t.DialTo(s).Ask("+OK\r\n", "SET", "k", "v")
	c.Send(cmds("SET freed v PX 400", "PERSIST freed")).Expect("+OK\r\n:1\r\n")
	c.Send(cmds("SET later v PX 400", "EXPIRE later 600")).Expect("+OK\r\n:1\r\n")
	s.Kill()
	t.Sleep(500 * time.Millisecond)
	t.onLog(s).Ask(Bulk("v"), "GET", "freed").Ask(":-1\r\n", "TTL", "freed").between(500, 600, "TTL", "later")
}

func delLogged(t *T) {
	s := t.logged()
	c := t.DialTo(s).Ask("+OK\r\n", "SET", "a", "1").Ask("+OK\r\n", "SET", "b", "1").Ask(":2\r\n", "DEL", "a", "b", "c").
		Ask("+OK\r\n", "SET", "d", "1").Ask(":1\r\n", "EXPIRE", "d", "-1").Ask("+OK\r\n", "SET", "e", "1").Ask("+OK\r\n", "SET", "e", "2")
	t.hinting("a key is served although its deadline has passed: set Expiry back to store.DeleteExpired when the replay is over (piece 4)", func() {
		c.Ask(":0\r\n", "EXISTS", "d")
	})
	t.reborn(s).Ask(":0\r\n", "EXISTS", "a", "b", "d").Ask(Bulk("2"), "GET", "e")
}

func binaryLog(t *T) {
	s := t.logged()
	weird := []string{"a\r\nb", "\x00", "*1\r\n$4\r\nPING\r\n", "\xff\xfe", strings.Repeat("z", 100_000), " "}
	c := t.DialTo(s)
	for _, w := range weird {
		c.Ask("+OK\r\n", "SET", w, w+"!")
	}
	c = t.reborn(s)
	for _, w := range weird {
		c.Ask(Bulk(w+"!"), "GET", w)
	}
}

// logDatabases uses two databases with the same keys. The log that the second start finds ends in database 3.
func logDatabases(t *T) {
	s := t.logged()
	t.DialTo(s).Ask("+OK\r\n", "SELECT", "3").Ask("+OK\r\n", "SET", "k", "of 3").Ask("+OK\r\n", "SELECT", "0").Ask("+OK\r\n", "SET", "k", "of 0").
		Ask("+OK\r\n", "SELECT", "3").Ask(":1\r\n", "INCR", "n")
	t.reborn(s).Ask(Bulk("of 0"), "GET", "k").Ask("$-1\r\n", "GET", "n").Ask(":1\r\n", "INCR", "m")
	t.Hint("after a start nobody knows which database the file has selected at its end: write SELECT before the first change (l.db is -1 then)")
	t.reborn(s).Ask(Bulk("1"), "GET", "m").Ask("+OK\r\n", "SELECT", "3").Ask("$-1\r\n", "GET", "m").
		Ask(Bulk("of 3"), "GET", "k").Ask(Bulk("1"), "GET", "n")
}
