package check

import (
	"strconv"
	"strings"
	"time"

	"byor/pkg/check/process"
	"byor/pkg/resp"
)

// Step 04: a deadline belongs to a value, and a key past it is gone, whether or not somebody looks.

const (
	soon   = 150 * time.Millisecond // a time to live that a check can wait for
	margin = 100 * time.Millisecond // what it waits longer: wide, for busy machines
)

func init() {
	register(4, 0,
		Check{Name: "ttl-replies", What: "TTL: -1 without expiry, -2 without key", Run: ttlReplies, Guide: "On the wire",
			Hint: "-1 is a key that lives for ever, -2 a key that is not there"},
		Check{Name: "set-ex", What: "SET EX and PX set a time to live", Run: setEx, Guide: "Build it",
			Hint: "EX is in seconds, PX in milliseconds; TTL answers seconds, rounded to the nearest"},
		Check{Name: "expire", What: "EXPIRE and PEXPIRE answer whether the key was there", Run: expireReplies, Guide: "Build it",
			Hint: "1 when the time to live was set, 0 for a missing key"},
		Check{Name: "gone-in-time", What: "a key is there before its deadline and gone after it", Run: goneInTime,
			Hint: "every look-up compares the deadline with the clock, which is read anew for each command: EX counts seconds, PX milliseconds"},
		Check{Name: "gone-for-all", What: "an expired key is gone for every command", Run: goneForAll, Guide: "Build it",
			Hint: "GET alone is not enough: EXISTS, DEL, INCR, TTL and EXPIRE must look keys up through the same function that compares the deadline"},
		Check{Name: "set-clears-ttl", What: "SET of a key with a time to live removes it", Run: setClears,
			Hint: "SET that keeps the old TTL: a new value has no deadline unless EX or PX says so"},
		Check{Name: "old-timer", What: "an old deadline does not end a new value", Run: oldTimer, Slow: 2,
			Hint: "a timer a key: the old timer fires later and deletes the new value. Store the deadline with the value and compare, or stop the timer. A SET that keeps the old deadline does the same"},
		Check{Name: "incr-keeps-ttl", What: "INCR changes the value and keeps the deadline", Run: incrKeeps,
			Hint: "a command that modifies a value keeps its deadline; only one that replaces it (SET) clears it"},
		Check{Name: "persist", What: "PERSIST removes the time to live", Run: persist, Guide: "Build it",
			Hint: "1 when there was a deadline to remove, 0 when not or when there is no key"},
		Check{Name: "past-deadline", What: "EXPIRE with a time that has passed deletes", Run: pastDeadline, Guide: "On the wire",
			Hint: "0 or a negative number of seconds is in the past: the key is deleted, and the answer is 1"},
		Check{Name: "expire-errors", What: "expire times that make no sense are refused", Run: expireErrors, Guide: "On the wire",
			Hint: "SET refuses 0 and negative times (invalid expire time in 'set' command); not a number and both EX and PX are errors, too. The old value stays"},
		Check{Name: "expire-options", What: "EXPIRE refuses options that it does not know", Run: expireOptions, Guide: "Build it",
			Hint: "the arity of EXPIRE is -3, at least three; its options are looked at before its number"},
		Check{Name: "expired-under-readers", What: "many clients look up keys as they expire", Run: expiredReaders, Slow: 3,
			Hint: "lock re-entered by lazy delete waits for itself; delete under a read lock crashes (fatal error: concurrent map writes). Take the write lock where you may delete"},
		Check{Name: "reclaimed", What: "100,000 expired keys that nobody touches are reclaimed", Run: reclaimed, Own: true, Slow: 6,
			Hint: "lazy deletion frees only what somebody looks up: sweep in the background, a sample at a time, and again at once while many of it had expired"},
	)
}

func ttlReplies(t *T) {
	k := t.Key("k")
	t.Dial().Ask(":-2\r\n", "TTL", k).Ask("+OK\r\n", "SET", k, "v").Ask(":-1\r\n", "TTL", k).
		Ask(":-1\r\n", "PTTL", k).Ask(":-2\r\n", "PTTL", t.Key("none"))
}

func setEx(t *T) {
	k, c := t.Key("k"), t.Dial()
	c.Ask("+OK\r\n", "SET", k, "v", "EX", "100").about(100, "TTL", k)
	c.Ask("+OK\r\n", "SET", k, "v", "px", "100000").between(95_000, 100_000, "PTTL", k)
	c.Ask("+OK\r\n", "SET", k, "v", "ex", "20").between(15_000, 20_000, "PTTL", k)
	t.Hint("TTL answers seconds, rounded to the nearest: 2.6 s is 3, 2.4 s is 2").Guide("On the wire")
	c.rounded(k, "100990").rounded(k, "100490")
}

// rounded gives k a time to live in milliseconds and expects TTL to be it, rounded. PTTL before and after says what
// was left, however busy the machine is.
func (c *Conn) rounded(k, ms string) *Conn {
	in := resp.AppendCommandStrings(nil, "SET", k, "v", "PX", ms)
	for _, name := range []string{"PTTL", "TTL", "PTTL"} {
		in = resp.AppendCommandStrings(in, name, k)
	}
	c.Send(string(in))
	c.Reply()
	before, ttl, after := c.Reply(), c.Reply(), c.Reply()
	if ttl.Kind != resp.Integer || ttl.Int < (after.Int+500)/1000 || ttl.Int > (before.Int+500)/1000 {
		c.t.fail(failure{Sent: in, Want: "PTTL, rounded to seconds: " + strconv.FormatInt((before.Int+500)/1000, 10),
			Got: "PTTL " + str(before) + ", TTL " + str(ttl)})
	}
	return c
}

// between sends a command and expects an integer from lo to hi.
func (c *Conn) between(lo, hi int64, args ...string) *Conn {
	v := c.Do(args...)
	if v.Kind != resp.Integer || v.Int < lo || v.Int > hi {
		c.t.fail(failure{Sent: resp.AppendCommandStrings(nil, args...), Got: str(v),
			Want: "an integer from " + strconv.FormatInt(lo, 10) + " to " + strconv.FormatInt(hi, 10)})
	}
	return c
}

// about is between for a time to live in seconds that was just set, on a machine that may be busy.
func (c *Conn) about(seconds int64, args ...string) *Conn {
	return c.between(seconds-5, seconds, args...)
}

func expireReplies(t *T) {
	k, c := t.Key("k"), t.Dial()
	c.Ask(":0\r\n", "EXPIRE", k, "100").Ask("+OK\r\n", "SET", k, "v").Ask(":1\r\n", "EXPIRE", k, "100").about(100, "TTL", k).
		Ask(":1\r\n", "PEXPIRE", k, "50000").between(45_000, 50_000, "PTTL", k).Ask(Bulk("v"), "GET", k)
}

func goneInTime(t *T) {
	a, b, c := t.Key("a"), t.Key("b"), t.Dial()
	begin := time.Now()
	c.Ask("+OK\r\n", "SET", a, "v", "PX", "400").Ask("+OK\r\n", "SET", b, "v").Ask(":1\r\n", "PEXPIRE", b, "400")
	v := str(c.Do("GET", a)) + str(c.Do("GET", b))
	if time.Since(begin) < 400*time.Millisecond { // else this machine is too busy to tell
		t.Require(v == "vv", "both keys before their deadline", "%s", v)
	}
	t.Until(5*time.Second, "both keys are gone after 400 ms", func() (bool, string) {
		v := str(c.Do("GET", a)) + str(c.Do("GET", b))
		return v == "(nil)(nil)", v
	})
	lived := time.Since(begin)
	t.Require(lived >= 390*time.Millisecond, "keys that live 400 ms", "they were gone after %v", lived)
	t.Require(lived < 3*time.Second, "keys that live 400 ms", "they lived %v", lived)
}

func goneForAll(t *T) {
	c := t.Dial()
	keys := make([]string, 6)
	for i := range keys {
		keys[i] = t.Key("short")
		c.Ask("+OK\r\n", "SET", keys[i], "41", "PX", "150")
	}
	t.Sleep(soon + margin)
	c.Ask(":0\r\n", "EXISTS", keys[0]).Ask(":0\r\n", "DEL", keys[1]).Ask(":-2\r\n", "TTL", keys[2]).
		Ask(":0\r\n", "EXPIRE", keys[3], "100").Ask(":0\r\n", "PERSIST", keys[4]).
		Ask(":1\r\n", "INCR", keys[5]).Ask(":-1\r\n", "TTL", keys[5])
}

func setClears(t *T) {
	k := t.Key("k")
	t.Dial().Ask("+OK\r\n", "SET", k, "v", "EX", "100").Ask("+OK\r\n", "SET", k, "w").Ask(":-1\r\n", "TTL", k).
		Ask(":1\r\n", "EXPIRE", k, "100").Ask("+OK\r\n", "SET", k, "x").Ask(":-1\r\n", "TTL", k)
}

func oldTimer(t *T) {
	a, b, d, c := t.Key("a"), t.Key("b"), t.Key("d"), t.Dial()
	var in []byte // in one packet: on a busy machine the old deadline would come before the next command
	for _, cmd := range [][]string{
		{"SET", a, "old", "PX", "150"}, {"SET", a, "new"},
		{"SET", b, "old", "PX", "150"}, {"DEL", b}, {"SET", b, "new"},
		{"SET", d, "old", "PX", "150"}, {"SET", d, "new", "EX", "100"},
	} {
		in = resp.AppendCommandStrings(in, cmd...)
	}
	c.Exchange(string(in), "+OK\r\n+OK\r\n+OK\r\n:1\r\n+OK\r\n+OK\r\n+OK\r\n")
	t.Sleep(soon + 2*margin)
	c.Ask(Bulk("new"), "GET", a).Ask(Bulk("new"), "GET", b).Ask(Bulk("new"), "GET", d)
}

func incrKeeps(t *T) {
	k := t.Key("k")
	t.Dial().Ask("+OK\r\n", "SET", k, "1", "EX", "100").Ask(":2\r\n", "INCR", k).between(95_000, 100_000, "PTTL", k)
}

func persist(t *T) {
	k := t.Key("k")
	t.Dial().Ask(":0\r\n", "PERSIST", k).Ask("+OK\r\n", "SET", k, "v", "EX", "100").Ask(":1\r\n", "PERSIST", k).
		Ask(":-1\r\n", "TTL", k).Ask(":0\r\n", "PERSIST", k).Ask(Bulk("v"), "GET", k)
}

func pastDeadline(t *T) {
	a, b := t.Key("a"), t.Key("b")
	t.Dial().Ask("+OK\r\n", "SET", a, "v").Ask(":1\r\n", "EXPIRE", a, "-1").Ask("$-1\r\n", "GET", a).
		Ask("+OK\r\n", "SET", b, "v").Ask(":1\r\n", "EXPIRE", b, "0").Ask(":0\r\n", "EXISTS", b)
}

func expireErrors(t *T) {
	k, c := t.Key("k"), t.Dial()
	c.Ask("+OK\r\n", "SET", k, "kept")
	for _, opt := range [][]string{{"EX", "0"}, {"EX", "-1"}, {"PX", "0"}} {
		c.Ask(Err("ERR invalid expire time in 'set' command"), append([]string{"SET", k, "v"}, opt...)...)
	}
	c.Ask(Err("ERR value is not an integer or out of range"), "SET", k, "v", "EX", "soon").
		Ask(Err("ERR syntax error"), "SET", k, "v", "EX").
		Ask(Err("ERR syntax error"), "SET", k, "v", "EX", "1", "PX", "1").
		Ask(Err("ERR syntax error"), "SET", k, "v", "NOPE").
		Ask(Err("ERR value is not an integer or out of range"), "EXPIRE", k, "soon").
		Ask(Bulk("kept"), "GET", k).Ask(":-1\r\n", "TTL", k)
	t.Hint("in seconds, a number may fit into 64 bits and its milliseconds not: ask before you multiply and add; the error has the command's own name").Guide("Build it")
	c.Ask(Err("ERR invalid expire time in 'set' command"), "SET", k, "v", "EX", "9223372036854775807").
		Ask(Err("ERR invalid expire time in 'expire' command"), "EXPIRE", k, "9223372036854775807").
		Ask(Err("ERR invalid expire time in 'pexpire' command"), "PEXPIRE", k, "9223372036854775807").
		Ask(Bulk("kept"), "GET", k).Ask(":-1\r\n", "TTL", k)
}

func expireOptions(t *T) {
	k := t.Key("k")
	t.Dial().Ask("+OK\r\n", "SET", k, "v").Ask(Err("ERR Unsupported option NOPE"), "EXPIRE", k, "100", "NOPE").
		Ask(Err("ERR Unsupported option NOPE"), "PEXPIRE", k, "soon", "NOPE").Ask(":-1\r\n", "TTL", k)
}

// expiredReaders lets many keys expire at one moment, and then all clients ask for each of them.
func expiredReaders(t *T) {
	keys := make([]string, 3000)
	for i := range keys {
		keys[i] = t.Key("short")
	}
	for range 4 {
		t.Parallel(2, func(i int) {
			var in []byte
			for _, k := range keys[i*len(keys)/2 : (i+1)*len(keys)/2] {
				in = resp.AppendCommandStrings(in, "SET", k, "v", "PX", "40")
			}
			t.Dial().Exchange(string(in), strings.Repeat("+OK\r\n", len(keys)/2))
		})
		t.Sleep(45 * time.Millisecond)
		t.Parallel(16, func(int) {
			c := t.Dial()
			for at := 0; at < len(keys); at += 100 {
				var in []byte
				for _, k := range keys[at : at+100] {
					in = resp.AppendCommandStrings(in, "GET", k)
				}
				c.Send(string(in))
				for range 100 {
					v := c.Reply()
					t.Require(!v.IsError(), "a value or a null", "%s", str(v))
				}
			}
		})
	}
	t.Dial().Ask("+PONG\r\n", "PING")
}

// reclaimed asks with DBSIZE, which counts keys without looking at them.
func reclaimed(t *T) {
	const keys, batch = 100_000, 1000
	s := t.Start(process.Options{})
	c := t.DialTo(s).Ask("+OK\r\n", "SET", "stays", "v").Ask(":1\r\n", "DBSIZE")
	for n := 0; n < keys; n += batch {
		var in []byte
		for i := range batch {
			in = resp.AppendCommandStrings(in, "SET", "short:"+strconv.Itoa(n+i), "v", "PX", "1500")
		}
		c.Exchange(string(in), strings.Repeat("+OK\r\n", batch))
	}
	// In silence: a sweeper that goes by the clock of the last command stands still now.
	t.Sleep(2500 * time.Millisecond)
	if v := c.Do("DBSIZE"); v.Int > keys {
		t.Hint("lazy deletion frees only what somebody looks up: start the sweeper (section 6). If it runs, it must read the clock itself, since no command did (section 5)").Guide("Build it")
		t.Require(false, "fewer keys after two seconds without a command", "DBSIZE is still %s", str(v))
	}
	t.Until(5*t.limit, "DBSIZE falls to 1, the key without expiry", func() (bool, string) {
		v := str(c.Do("DBSIZE"))
		return v == "1", "DBSIZE is " + v
	})
	c.Ask(Bulk("v"), "GET", "stays")
}
