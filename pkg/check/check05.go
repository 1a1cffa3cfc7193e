package check

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"

	"byor/pkg/check/process"
	"byor/pkg/check/trace"
	"byor/pkg/resp"
)

// Step 05: what was acknowledged is in the log, and the log makes the same data again. (Damage, order and the disk:
// check05disk.go.)

func init() {
	register(5, 0,
		Check{Name: "survives-restart", What: "data is there after a kill -9 and a restart", Run: survivesRestart, Own: true,
			Hint: "append each command that changed something to the file before you answer it, and execute the file at start", Guide: "Build it"},
		Check{Name: "log-format", What: "the log is RESP commands and opens with SELECT 0", Run: logFormat, Own: true, Guide: "On the wire",
			Hint: "the file holds what a client would send: *2 SELECT 0 first, then each write as an array of bulk strings"},
		Check{Name: "only-changes", What: "reads, failed commands and no-ops are not logged", Run: onlyChanges, Own: true, Guide: "Build it",
			Hint: "reads or failed commands were logged: append only where the data has changed, after the handler knows that (Build it, step 2)"},
		Check{Name: "absolute-deadline", What: "a relative time to live is logged as a point in time", Run: absoluteDeadline, Own: true, Guide: "The idea",
			Hint: "relative TTL in the log starts anew at each replay: log PXAT or PEXPIREAT with Unix milliseconds"},
		Check{Name: "ttl-after-restart", What: "a key's remaining time goes on over a restart", Run: ttlAfterRestart, Own: true, Guide: "The idea",
			Hint: "relative TTL in the log starts anew at each replay: log the deadline itself"},
		Check{Name: "expiry-is-logged", What: "a key that expires is logged as DEL", Run: expiryLogged, Own: true, Guide: "Build it",
			Hint: "an expiry changes the data though nobody sent a command: its effect is DEL key, whether a client or the sweeper found it (Build it, step 3)"},
		Check{Name: "expired-while-down", What: "what expired while the server was down is gone", Run: expiredWhileDown, Own: true,
			Hint: "a logged deadline may be in the past at replay: the key must not come back, nor without its deadline"},
		Check{Name: "replay-is-silent", What: "replay does not log again", Run: replaySilent, Own: true, Guide: "Build it",
			Hint: hintSilent},
		Check{Name: "del-is-logged", What: "what was deleted stays deleted", Run: delLogged, Own: true, Guide: "The idea",
			Hint: "DEL changes data, and so does an EXPIRE with a time that has passed: log them as DEL"},
		Check{Name: "binary-log", What: "keys and values of any bytes survive", Run: binaryLog, Own: true, Guide: "On the wire",
			Hint: "the log is length-prefixed like the wire: write lengths and raw bytes, never lines of text"},
		Check{Name: "databases", What: "each change comes back in its own database", Run: logDatabases, Own: true, Guide: "Build it",
			Hint: "a command does not say which database it is meant for: write SELECT before it when the file has another one selected, " +
				"and after a start, when nobody knows which (Build it, step 4)"},
		Check{Name: "torn-tail", What: "a log cut anywhere in its last command loads up to that command", Run: tornTail, Own: true, Slow: 3, Guide: "Build it",
			Hint: "dying on a torn tail: a crash may leave half a command at the end. Load what is whole, cut the rest off, go on (Build it, steps 5 and 6)"},
		Check{Name: "append-after-tear", What: "what is written after a torn tail survives the next start", Run: appendAfterTear, Own: true, Guide: "Build it",
			Hint: "truncate the file to the last whole command before you append, or new commands stand behind garbage (Build it, step 6)"},
		Check{Name: "garbage-is-refused", What: "a damaged log is refused with a message", Run: garbageRefused, Own: true, Slow: 2, Guide: "Build it",
			Hint: "a torn tail is the end of the file within a command; what is no command is damage: say where, and exit with an error (Build it, step 5)"},
		Check{Name: "order", What: "the log's order is the order of execution", Run: logOrder, Own: true, Slow: 3, Guide: "Build it",
			Hint: "log order differing from execution order: with two locks, two clients' SETs can be executed a, b and logged b, a. Execute and append under one lock (Build it, step 2)"},
		Check{Name: "kill-under-load", What: "kill -9 under load loses nothing that was acknowledged", Run: killUnderLoad, Own: true, Slow: 3, Guide: "Build it", Hint: hintBuffer},
		Check{Name: "fsync-before-reply", What: "under always, the disk has confirmed before the client gets its answer", Run: fsyncBeforeReply, Own: true, Slow: 2, Guide: "Build it",
			Hint: "taking Write for durable: Write hands bytes to the system, only Sync (fsync) puts them on the disk. Under always sync before you answer (Build it, steps 7 and 8)"},
		Check{Name: "sync-covers-the-write", What: "an fsync that began before a write does not count for it", Run: syncCovers, Own: true, Slow: 2, Guide: "Build it",
			Hint: "a write that came during another client's fsync was taken for safe: clear dirty before the fsync, not after it (Build it, step 8)"},
		Check{Name: "loads-in-redis", What: "a real redis-server loads the log and has the same data", Run: aofIntoRedis, Own: true, Guide: "How real Redis does it",
			Hint: "redis-server reads the same format: SELECT first, each command whole, real Redis commands with absolute deadlines only"},
	)
}

const (
	hintSilent = "logging again on replay doubles the file at each start: the replay executes without the log (Build it, step 5)"
	hintBuffer = "answer after the command has been handed to the file with Write (Build it, step 4); a buffer in your process dies with it"
)

// nothingLogged fails for a server whose log has not what a check wants to look at.
func (t *T) nothingLogged(want, got string) {
	t.fail(failure{Want: want, Got: got, Guide: "Build it",
		Hint: "the log is empty: encode each effect and write it to the file before you answer (Build it, steps 2 to 4)"})
}

// onLog starts a server again that has ended, on a log that leaves it with keys in database 0. One that has written
// nothing, or loads nothing, is told so, and not that something is wrong with a value.
func (t *T) onLog(s *process.Server) *Conn {
	n := len(t.aofBytes(s.Opt.Dir))
	if n == 0 {
		t.nothingLogged("a log with what was changed", "an empty log")
	}
	t.again(s)
	return t.loaded(s, n)
}

// loaded connects to a server that has loaded a log of n bytes. A start may add the DEL of a key that has expired.
func (t *T) loaded(s *process.Server, n int) *Conn {
	now, hint := len(t.aofBytes(s.Opt.Dir)), ""
	switch {
	case n > 0 && now == 0:
		hint = "the start has emptied the log: open it for appending (os.O_APPEND), and do not create it anew (no os.O_TRUNC)"
	case now > n+min(n/2, 1000):
		hint = hintSilent
	}
	if hint != "" {
		t.fail(failure{Want: fmt.Sprintf("a log of %d bytes, as before the start", n), Got: fmt.Sprintf("%d bytes", now), Hint: hint, Guide: "Build it"})
	}
	c := t.DialTo(s)
	if v := c.Do("DBSIZE"); v.Kind == resp.Integer && v.Int == 0 {
		t.fail(failure{Sent: resp.AppendCommandStrings(nil, "DBSIZE"), Want: fmt.Sprintf("keys in database 0, from a log of %d bytes", n), Got: str(v), Guide: "Build it",
			Hint: "nothing was loaded: at start execute what is in the log (Build it, step 5)"})
	}
	return c
}

// reborn kills s and starts it on its log.
func (t *T) reborn(s *process.Server) *Conn {
	s.Kill()
	return t.onLog(s)
}

// logged starts a server that keeps a log under policy always, in a fresh directory.
func (t *T) logged() *process.Server { return t.Start(process.Options{Fsync: "always"}) }

// restart kills s as a power cut of the process would and starts it again.
func (t *T) restart(s *process.Server) *Conn {
	s.Kill()
	t.again(s)
	return t.DialTo(s)
}

// again starts a server that has ended.
func (t *T) again(s *process.Server) {
	if err := s.Run(); err != nil {
		t.Fail("the server starts again on its own files", err.Error())
	}
	t.awaitLoaded(s)
}

// awaitLoaded waits while a server answers -LOADING, as a real redis-server does at first.
func (t *T) awaitLoaded(s *process.Server) {
	c := t.DialTo(s)
	t.Until(5*time.Second, "the server has loaded its data", func() (bool, string) {
		v := str(c.Do("PING"))
		return !strings.HasPrefix(v, "LOADING"), v
	})
	c.Close()
}

func survivesRestart(t *T) {
	s := t.logged()
	t.DialTo(s).Ask("+OK\r\n", "SET", "a", "1").Ask(":2\r\n", "INCR", "a").Ask("+OK\r\n", "SET", "b", "two words").Ask("+OK\r\n", "SET", "e", "")
	t.reborn(s).Ask(Bulk("2"), "GET", "a").Ask(Bulk("two words"), "GET", "b").Ask(Bulk(""), "GET", "e").Ask(":3\r\n", "INCR", "a")
	t.Hint("the second start must keep what the first one loaded: open the log for appending, do not create it anew").
		reborn(s).Ask(Bulk("3"), "GET", "a")
}

func logFormat(t *T) {
	s := t.logged()
	t.DialTo(s).Ask("+OK\r\n", "SET", "key", "value")
	want := "*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$5\r\nvalue\r\n"
	got := t.aofBytes(s.Opt.Dir)
	if len(got) == 0 {
		t.nothingLogged(trace.Visible([]byte(want), 0), "an empty log")
	}
	t.Require(strings.EqualFold(string(got), want), trace.Visible([]byte(want), 0), "%s", trace.Visible(got, 300))
}

func onlyChanges(t *T) {
	s := t.logged()
	c := t.DialTo(s).Ask("+OK\r\n", "SET", "kept", "text")
	c.Do("GET", "kept")
	c.Do("EXISTS", "kept")
	c.Do("TTL", "kept")
	c.Do("PING")
	before := len(t.aofCommands(s.Opt.Dir))
	if before == 0 {
		t.nothingLogged("2 commands in the log (SELECT, SET)", "an empty log")
	}
	t.Require(before == 2, "2 commands in the log (SELECT, SET)", "%q", t.aofCommands(s.Opt.Dir))
	c.Do("INCR", "kept")             // not an integer
	c.Do("SET", "kept")              // arity
	c.Do("SET", "k", "v", "EX", "0") // refused
	c.Do("DEL", "nothing")
	c.Do("PERSIST", "kept")
	c.Do("EXPIRE", "nothing", "100")
	cmds := t.aofCommands(s.Opt.Dir)
	t.Require(len(cmds) == before, "nothing more in the log after commands that changed nothing", "%q", cmds)
}

func absoluteDeadline(t *T) {
	s := t.logged()
	c := t.DialTo(s)
	now := time.Now().UnixMilli()
	c.Ask("+OK\r\n", "SET", "a", "v", "EX", "100").Ask("+OK\r\n", "SET", "b", "v", "PX", "100000").
		Ask("+OK\r\n", "SET", "c", "v").Ask(":1\r\n", "EXPIRE", "c", "100")
	cmds := t.aofCommands(s.Opt.Dir)
	if len(cmds) == 0 {
		t.nothingLogged("three keys in the log", "an empty log")
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
	c := t.DialTo(s)
	for _, k := range []string{"asked", "swept"} {
		c.Ask("+OK\r\n", "SET", k, "5", "PX", "100")
	}
	t.Until(t.limit, "GET asked is null, 100 ms after SET asked 5 PX 100", func() (bool, string) {
		v := c.Do("GET", "asked")
		return v.Null, str(v)
	})
	c.Ask(":1\r\n", "INCR", "asked")
	t.Until(t.limit, "DEL asked and DEL swept in the log", func() (bool, string) {
		cmds := t.aofCommands(s.Opt.Dir)
		if len(cmds) == 0 {
			t.nothingLogged("two SETs in the log", "an empty log")
		}
		n := 0
		for _, cmd := range cmds {
			if w := strings.ToUpper(cmd[0]); w == "DEL" || w == "UNLINK" {
				n += len(cmd) - 1
			}
		}
		return n == 2, fmt.Sprintf("%q", cmds)
	})
	t.reborn(s).Ask(Bulk("1"), "GET", "asked").Ask(":-1\r\n", "TTL", "asked").Ask("$-1\r\n", "GET", "swept")
}

func expiredWhileDown(t *T) {
	s := t.logged()
	t.DialTo(s).Ask("+OK\r\n", "SET", "short", "v", "PX", "250").Ask("+OK\r\n", "SET", "long", "v", "PX", "60000")
	s.Kill()
	t.Sleep(350 * time.Millisecond)
	t.onLog(s).Ask("$-1\r\n", "GET", "short").Ask(":-2\r\n", "TTL", "short").Ask(Bulk("v"), "GET", "long")
}

func replaySilent(t *T) {
	s := t.logged()
	t.DialTo(s).Ask(":1\r\n", "INCR", "n").Ask(":2\r\n", "INCR", "n").Ask("+OK\r\n", "SET", "k", "v")
	before := t.aofBytes(s.Opt.Dir)
	for range 2 {
		t.reborn(s).Ask(Bulk("2"), "GET", "n")
	}
	after := t.aofBytes(s.Opt.Dir)
	at := trace.DiffAt(before, after)
	t.Require(at < 0, fmt.Sprintf("%s, %d bytes as before the restarts", trace.Excerpt(before, at), len(before)), "%s, %d bytes", trace.Excerpt(after, at), len(after))
}

func delLogged(t *T) {
	s := t.logged()
	t.DialTo(s).Ask("+OK\r\n", "SET", "a", "1").Ask("+OK\r\n", "SET", "b", "1").Ask(":2\r\n", "DEL", "a", "b", "c").
		Ask("+OK\r\n", "SET", "d", "1").Ask(":1\r\n", "EXPIRE", "d", "-1").Ask("+OK\r\n", "SET", "e", "1").Ask("+OK\r\n", "SET", "e", "2")
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
	c := t.DialTo(s).Ask("+OK\r\n", "SET", "swept", "stays").Ask("+OK\r\n", "SELECT", "3").Ask("+OK\r\n", "SET", "swept", "v", "PX", "100").
		Ask("+OK\r\n", "SET", "k", "of 3").Ask("+OK\r\n", "SELECT", "0").Ask("+OK\r\n", "SET", "k", "of 0")
	t.Until(t.limit, "a DEL of the key that has expired in database 3, in the log", func() (bool, string) {
		cmds := t.aofCommands(s.Opt.Dir)
		return slices.ContainsFunc(find(cmds, "swept"), func(cmd []string) bool { return len(cmd) == 2 }), fmt.Sprintf("%q", cmds)
	})
	c.Ask("+OK\r\n", "SELECT", "3").Ask(":1\r\n", "INCR", "n")
	c = t.reborn(s).Ask(Bulk("of 0"), "GET", "k").Ask("$-1\r\n", "GET", "n").Ask(":1\r\n", "INCR", "m")
	t.Hint("the key expired in database 3, and its DEL went to database 0: the store says which one it means (Build it, step 3)")
	c.Ask(Bulk("stays"), "GET", "swept")
	t.Hint("after a start nobody knows which database the file has selected at its end: write SELECT before the first change (Build it, step 4)")
	t.reborn(s).Ask(Bulk("1"), "GET", "m").Ask("+OK\r\n", "SELECT", "3").Ask("$-1\r\n", "GET", "m").
		Ask(Bulk("of 3"), "GET", "k").Ask(Bulk("1"), "GET", "n").Ask("$-1\r\n", "GET", "swept")
}

func aofIntoRedis(t *T) {
	s := t.logged()
	c := t.DialTo(s)
	for i := range 50 {
		c.Ask("+OK\r\n", "SET", fmt.Sprint("k", i), fmt.Sprint("v\r\n", i))
	}
	c.Ask(":1\r\n", "INCR", "n").Ask(":1\r\n", "DEL", "k0").Ask("+OK\r\n", "SET", "ttl", "v", "EX", "1000")
	s.Kill()
	if len(t.aofBytes(s.Opt.Dir)) == 0 {
		t.nothingLogged("a log for redis-server", "an empty log")
	}
	if path, err := exec.LookPath("redis-check-aof"); err == nil {
		out, err := exec.Command(path, t.aofPath(s.Opt.Dir)).CombinedOutput()
		t.Require(err == nil, "redis-check-aof approves the file", "%s", out)
	}
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(s.Opt.Dir)); err != nil {
		t.Skip(err.Error())
	}
	r := t.Redis(process.Options{Dir: dir, Fsync: "no"})
	t.awaitLoaded(r)
	rc := t.DialTo(r)
	rc.Ask(Bulk("1"), "GET", "n").Ask("$-1\r\n", "GET", "k0").between(900_000, 1_000_000, "PTTL", "ttl")
	for i := 1; i < 50; i++ {
		rc.Ask(Bulk(fmt.Sprint("v\r\n", i)), "GET", fmt.Sprint("k", i))
	}
}
