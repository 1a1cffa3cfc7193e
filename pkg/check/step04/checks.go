// Package step04 holds the checks of step 04 and of its exercises: a deadline belongs to a value, and a key past it
// is gone, whether or not somebody looks.
package step04

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"byor/pkg/check"
	"byor/pkg/check/step03"
	"byor/pkg/resp"
)

const (
	soon   = 150 * time.Millisecond // a time to live that a check can wait for
	margin = 100 * time.Millisecond // how much longer it waits: wide, for busy machines
)

func init() {
	check.Register(4, 0,
		check.Check{Name: "ttl-replies", After: 1, What: "TTL: -1 without a deadline, -2 without the key", Run: ttlReplies, Guide: "Build it",
			Hint: "TTL and PTTL answer -1 for a key that has no deadline, and -2 for a key that is not there"},
		check.Check{Name: "expire-options", After: 1, What: "EXPIRE refuses options that it does not know", Run: expireOptions, Guide: "On the wire",
			Hint: "whatever stands behind the number is ERR Unsupported option; EXPIRE looks at that before it looks at the number or at the key"},
		check.Check{Name: "expire-errors", After: 2, What: "EXPIRE refuses what is no number, or too large", Run: expireErrors, Guide: "Build it",
			Hint: "a time to live is a decimal integer of 64 bits and nothing else; the key keeps its value and its deadline"},
		check.Check{Name: "expire", After: 3, What: "EXPIRE and PEXPIRE answer whether the key was there", Run: expireReplies, Guide: "Build it",
			Hint: "EXPIRE answers 1 when the key now has the deadline, and 0 for a key that is not there"},
		check.Check{Name: "counts-down", After: 3, What: "PTTL becomes less from one command to the next", Run: countsDown, Guide: "Build it",
			Hint: "the time stands still between two commands: execute has to read the clock anew for each command, before the handler runs"},
		check.Check{Name: "expire-too-far", After: 3, What: "EXPIRE refuses a deadline that does not fit", Run: expireTooFar, Guide: "Build it",
			Hint: "the time to live fits into 64 bits, and added to the clock it does not: the sum wraps around into the past. Ask before you add"},
		check.Check{Name: "ttl-rounds", After: 3, What: "TTL rounds to the nearest second", Run: ttlRounds, Guide: "Build it",
			Hint: "TTL answers seconds, rounded to the nearest: 2.6 s is 3 and 2.4 s is 2. Add half a unit before you divide"},
		check.Check{Name: "past-deadline", After: 3, What: "EXPIRE with a time that has passed deletes the key", Run: pastDeadline, Guide: "On the wire",
			Hint: "EXPIRE with 0 or a negative number is no error: it deletes the key at once and answers 1"},
		check.Check{Name: "incr-keeps-ttl", After: 3, What: "INCR changes the value and keeps the deadline", Run: incrKeeps, Guide: "On the wire",
			Hint: "a command that changes a value leaves its deadline alone; only one that replaces the value, such as SET, takes it away"},
		check.Check{Name: "gone-in-time", After: 4, What: "a key is there before its deadline and gone after it", Run: goneInTime,
			Hint: "a key is dead when the clock says more than its deadline; both are Unix milliseconds"},
		check.Check{Name: "last-millisecond", After: 4, What: "a key lives through the millisecond of its deadline", Run: lastMillisecond, Guide: "Build it",
			Hint: "the key died a millisecond early: it is dead when the clock says more than its deadline, and not as much"},
		check.Check{Name: "gone-for-all", After: 4, What: "a dead key is gone for every command", Run: goneForAll,
			Hint: "every command has to find its keys through lookup, which compares the deadline with the clock"},
		check.Check{Name: "expired-under-readers", After: 4, What: "many clients look up keys as they die", Run: expiredReaders, Slow: 3,
			Hint: "two clients found the same dead key, and both deleted it under a read lock (fatal error: concurrent map writes): a look-up may delete, so every command needs the full lock"},
		check.Check{Name: "set-ex", After: 5, What: "SET EX and PX set a time to live", Run: setEx, Guide: "Build it",
			Hint: "EX counts seconds and PX counts milliseconds; upper and lower case are the same"},
		check.Check{Name: "set-errors", After: 5, What: "SET refuses times that make no sense, and changes nothing", Run: setErrors, Guide: "Build it",
			Hint: "SET takes pairs of EX or PX and a number; anything else is ERR syntax error"},
		check.Check{Name: "set-clears-ttl", After: 5, What: "SET of a key with a time to live removes it", Run: setClears,
			Hint: "SET keeps the old deadline: a new value has none, unless EX or PX says so"},
		check.Check{Name: "old-timer", After: 5, What: "an old deadline does not end a new value", Run: oldTimer, Slow: 2,
			Hint: "the new value died when the old one was due. A timer for each key does that: it fires later and deletes whatever it finds. Store the deadline and compare it instead"},
		check.Check{Name: "persist", After: 6, What: "PERSIST removes the time to live", Run: persist, Guide: "Build it",
			Hint: "PERSIST answers 1 when there was a deadline to take away, and 0 when there was none or no key"},
		check.Check{Name: "persist-too-late", After: 6, What: "PERSIST cannot save a key that has died", Run: persistTooLate, Guide: "Build it",
			Hint: "PERSIST brought a dead key back to life: call lookup first, it takes the dead key away together with its deadline"},
		check.Check{Name: "reclaimed", After: 8, What: "100,000 dead keys that nobody touches are reclaimed", Run: reclaimed, Own: true, Slow: 6,
			Hint: "lazy deletion frees only what somebody looks up: the sweeper has to find the rest"},
		check.Check{Name: "sweeps-in-steps", After: 8, What: "clients are served while 100,000 keys die at once", Run: sweepsInSteps, Own: true, Slow: 6, Guide: "Build it",
			Hint: "no client got a turn while the sweeper deleted: look at a few keys only, give the lock back, and take it again for the next few"},
	)
}

func ttlReplies(t *check.T) {
	k, none, c := t.Key("k"), t.Key("none"), t.Dial()
	answered(c.Cmd("TTL", none), unserved).Expect(":-2\r\n").Ask(":-2\r\n", "PTTL", none).Ask("+OK\r\n", "SET", k, "v")
	if c.Do("GET", k).Null {
		t.Hint("a key without a deadline was taken for dead. A missing entry of a Go map reads as 0, which is the year 1970: ask for the map's second result, too").
			Fail("GET answers what SET has just stored", "(nil)")
	}
	c.Ask(":-1\r\n", "TTL", k).Ask(":-1\r\n", "PTTL", k)
}

func expireOptions(t *check.T) {
	k := t.Key("k")
	unsupported := check.Err("ERR Unsupported option NOPE")
	t.Dial().Ask("+OK\r\n", "SET", k, "v").Ask(unsupported, "EXPIRE", k, "100", "NOPE").Ask(unsupported, "PEXPIRE", k, "soon", "NOPE").
		Ask(unsupported, "EXPIRE", t.Key("none"), "100", "NOPE").Ask(":-1\r\n", "TTL", k)
}

func expireErrors(t *check.T) {
	k, none, c := t.Key("k"), t.Key("none"), t.Dial()
	c.Ask("+OK\r\n", "SET", k, "kept")
	for _, n := range []string{"soon", "", "1.5", " 5", "9223372036854775808"} {
		c.Ask(check.Err(step03.NotInteger), "EXPIRE", k, n)
	}
	t.Hint("the number fits into 64 bits in seconds, and in milliseconds it does not: ask before you multiply. The error names the command, expire or pexpire")
	c.Ask(check.Err("ERR invalid expire time in 'expire' command"), "EXPIRE", k, "9223372036854775807")
	t.Hint("a negative number can be too large, too: its milliseconds do not fit either. For EXPIRE, least is the smallest number whose product fits")
	c.Ask(check.Err("ERR invalid expire time in 'expire' command"), "EXPIRE", k, "-9223372036854775808")
	t.Hint("EXPIRE looked for the key before it read the number: read the number first, so that a wrong one is an error for a missing key, too")
	c.Ask(check.Err(step03.NotInteger), "EXPIRE", none, "soon").
		Ask(check.Err("ERR invalid expire time in 'expire' command"), "EXPIRE", none, "9223372036854775807")
	t.Hint("an error changes nothing: the key keeps its value, and it got no deadline").Guide("Build it")
	c.Ask(check.Bulk("kept"), "GET", k).Ask(":-1\r\n", "TTL", k)
}

func expireTooFar(t *check.T) {
	k, c := t.Key("k"), t.Dial()
	c.Ask("+OK\r\n", "SET", k, "kept").
		Ask(check.Err("ERR invalid expire time in 'pexpire' command"), "PEXPIRE", k, "9223372036854775807").
		Ask(check.Err("ERR invalid expire time in 'expire' command"), "EXPIRE", k, "9223372036854775").
		Ask(check.Bulk("kept"), "GET", k).Ask(":-1\r\n", "TTL", k).Ask(":1\r\n", "EXPIRE", k, "9223372036")
}

func expireReplies(t *check.T) {
	k, none, c := t.Key("k"), t.Key("none"), t.Dial()
	c.Ask(":0\r\n", "EXPIRE", none, "100").Ask(":0\r\n", "EXISTS", none).Ask("+OK\r\n", "SET", k, "v")
	t.Hint("EXPIRE counts seconds")
	check.Explained(func() { c.Ask(":1\r\n", "EXPIRE", k, "100").About(100, "TTL", k) }, func(got string) string {
		if got == "-2" {
			return "EXPIRE k 100 has killed the key at once. The deadline is now plus the time to live (without now it lies in 1970), and a key is dead when now is later than its deadline, not earlier"
		}
		return ""
	})
	c.Between(95_000, 100_000, "PTTL", k)
	t.Hint("PEXPIRE counts milliseconds, and so does PTTL")
	c.Ask(":1\r\n", "PEXPIRE", k, "50000").Between(45_000, 50_000, "PTTL", k)
	t.Hint("EXPIRE changes the deadline only, the value stays")
	c.Ask(check.Bulk("v"), "GET", k)
}

// countsDown waits a few milliseconds between two looks. A clock that is read somewhere else, ten times a second
// say, shows the same time twice.
func countsDown(t *check.T) {
	k, c := t.Key("k"), t.Dial()
	c.Ask("+OK\r\n", "SET", k, "v").Ask(":1\r\n", "EXPIRE", k, "1000")
	for range 30 {
		before := answered(c.Cmd("PTTL", k), heldLock).Reply()
		t.Sleep(5 * time.Millisecond)
		after := answered(c.Cmd("PTTL", k), heldLock).Reply()
		t.Require(after.Int < before.Int && after.Kind == resp.Integer, "PTTL less than "+check.Text(before)+" after five milliseconds", "%s", check.Text(after))
	}
}

func ttlRounds(t *check.T) {
	k, c := t.Key("k"), t.Dial()
	rounded(rounded(c.Ask("+OK\r\n", "SET", k, "v"), k, "100990"), k, "100490")
}

// rounded gives k a time to live in milliseconds and expects TTL to be it, rounded. PTTL before and after says what
// was left, however busy the machine is.
func rounded(c *check.Conn, k, ms string) *check.Conn {
	in := resp.AppendCommandStrings(nil, "PEXPIRE", k, ms)
	for _, name := range []string{"PTTL", "TTL", "PTTL"} {
		in = resp.AppendCommandStrings(in, name, k)
	}
	c.Send(string(in))
	c.Reply()
	before, ttl, after := c.Reply(), c.Reply(), c.Reply()
	if ttl.Kind != resp.Integer || ttl.Int < (after.Int+500)/1000 || ttl.Int > (before.Int+500)/1000 {
		c.T.FailWith(check.Failure{Sent: in, Want: "PTTL, rounded to seconds: " + strconv.FormatInt((before.Int+500)/1000, 10),
			Got: "PTTL " + check.Text(before) + ", TTL " + check.Text(ttl)})
	}
	return c
}

func pastDeadline(t *check.T) {
	a, b, n, c := t.Key("a"), t.Key("b"), t.Key("n"), t.Dial()
	c.Ask("+OK\r\n", "SET", a, "v").Ask(":1\r\n", "EXPIRE", a, "-1").Ask("$-1\r\n", "GET", a).
		Ask("+OK\r\n", "SET", b, "v").Ask(":1\r\n", "EXPIRE", b, "0").Ask(":0\r\n", "EXISTS", b)
	c.Ask("+OK\r\n", "SET", n, "41").Ask(":1\r\n", "EXPIRE", n, "-100").Ask(":1\r\n", "INCR", n)
	t.Hint("EXPIRE deleted the value and left a deadline behind, and the next key of that name got it: remove deletes both")
	c.Ask(":-1\r\n", "TTL", n)
}

func incrKeeps(t *check.T) {
	k := t.Key("k")
	t.Dial().Ask("+OK\r\n", "SET", k, "1").Ask(":1\r\n", "EXPIRE", k, "100").Ask(":2\r\n", "INCR", k).Between(95_000, 100_000, "PTTL", k)
}

// Hints for a server that does not answer any more: because of a dead key, or with no such reason.
const (
	selfLock = "the look-up of a dead key never came back: it takes a lock that its own command holds already, and waits for itself. execute holds the lock; lookup needs none"
	heldLock = "the server stopped answering, although no key was due: a lock was taken and not given back. In sweep, " +
		"unlock right behind sweepOnce: a break in between leaves the lock locked, and a deferred Unlock waits for the end of a function that never ends"
	unserved = "nobody is served at all. Is the sweeper there already? Then main has to start it with go, or serve is never called. " +
		"Else execute took a lock and does not give it back"
)

// answered waits for the first byte of a reply; a server that stays silent is told why.
func answered(c *check.Conn, silence string) *check.Conn {
	for len(c.In) == 0 {
		err := c.Fill(c.T.Deadline(c.T.Limit))
		if errors.Is(err, os.ErrDeadlineExceeded) {
			c.T.FailWith(check.Failure{Sent: c.Sent, Want: "a reply", Got: c.GotText(err), Hint: silence, Seen: true})
		}
		if err != nil {
			break // Expect says it better
		}
	}
	return c
}

func goneInTime(t *check.T) {
	const life = 400 * time.Millisecond
	a, b, c := t.Key("a"), t.Key("b"), t.Dial()
	begin := time.Now()
	c.Ask("+OK\r\n", "SET", a, "v").Ask(":1\r\n", "PEXPIRE", a, "400").Ask("+OK\r\n", "SET", b, "v").Ask(":1\r\n", "PEXPIRE", b, "400")
	get := func(k string) string {
		silence := heldLock
		if time.Since(begin) >= life {
			silence = selfLock
		}
		return check.Text(answered(c.Cmd("GET", k), silence).Reply())
	}
	both := func() string { return get(a) + get(b) }
	v := both()
	if time.Since(begin) < life { // else this machine is too busy to tell
		t.Require(v == "vv", "both keys before their deadline", "%s", v)
	}
	t.Hint("GET still finds a key after its deadline: lookup has to compare the deadline with the time of this command, which execute reads from the clock")
	t.Until(5*time.Second, "both keys are gone after 400 ms", func() (bool, string) {
		v := both()
		return v == "(nil)(nil)", v
	})
	t.Hint("the keys died too early: a deadline is the clock plus the time to live, in milliseconds")
	lived := time.Since(begin)
	t.Require(lived >= life-10*time.Millisecond, "keys that live 400 ms", "they were gone after %v", lived)
}

// lastMillisecond asks all the while for keys whose last milliseconds follow each other: whenever the machine lets it
// ask, there is one of which 0 milliseconds are left. It is tried a few times all the same.
func lastMillisecond(t *check.T) {
	const keys, tries = 20, 20
	c := t.Dial()
	for range tries {
		zero, left := false, keys
		ask := dieInTurn(c, keys)
		for left > 0 {
			c.Send(ask)
			left = 0
			for range keys {
				n := answered(c, selfLock).Reply().Int
				t.Require(n >= 0 || n == -2, "PTTL counts down to 0 and then answers -2", "%d", n)
				zero = zero || n == 0
				if n >= 0 {
					left++
				}
			}
		}
		if zero {
			return
		}
	}
	t.Fail("PTTL counts 3, 2, 1, 0 and then answers -2", fmt.Sprintf("there was never a 0, with %d keys", keys*tries))
}

// dieInTurn sets n keys, the first with 3 milliseconds to live and each with one more than the one before, and returns
// what asks for the rest of all of them.
func dieInTurn(c *check.Conn, n int) (ask string) {
	var set, pttl []byte
	for i := range n {
		k := c.T.Key("k" + strconv.Itoa(i))
		set = resp.AppendCommandStrings(set, "SET", k, "v")
		set = resp.AppendCommandStrings(set, "PEXPIRE", k, strconv.Itoa(3+i))
		pttl = resp.AppendCommandStrings(pttl, "PTTL", k)
	}
	c.Exchange(string(set), strings.Repeat("+OK\r\n:1\r\n", n))
	return string(pttl)
}

// dead returns keys that have just died. A sweeper that comes ten times a second cannot have taken them away each
// time: what finds them later has to look at the deadline by itself.
func dead(c *check.Conn, n int) []string {
	keys := make([]string, n)
	var in []byte
	for i := range keys {
		keys[i] = c.T.Key("short")
		in = resp.AppendCommandStrings(in, "SET", keys[i], "41")
		in = resp.AppendCommandStrings(in, "PEXPIRE", keys[i], "1")
	}
	c.Exchange(string(in), strings.Repeat("+OK\r\n:1\r\n", n))
	c.T.Sleep(5 * time.Millisecond)
	return keys
}

// ofTheDead is what commands say of a key that has died; INCR comes last.
var ofTheDead = []struct{ name, arg, want string }{
	{"GET", "", "$-1\r\n"}, {"EXISTS", "", ":0\r\n"}, {"DEL", "", ":0\r\n"}, {"TTL", "", ":-2\r\n"}, {"PTTL", "", ":-2\r\n"},
	{"EXPIRE", "100", ":0\r\n"}, {"INCR", "", ":1\r\n"},
}

func goneForAll(t *check.T) {
	c := t.Dial()
	for range 20 {
		keys := dead(c, len(ofTheDead))
		for i, q := range ofTheDead {
			t.Hint("%s still finds a key that has died: it has to look the key up through the same function as GET, which compares the deadline", q.name)
			args := []string{q.name, keys[i]}
			if q.arg != "" {
				args = append(args, q.arg)
			}
			answered(c.Cmd(args...), selfLock).Expect(q.want)
		}
		t.Hint("INCR made a new counter, and the dead one's deadline was still there: whoever deletes a key removes both, the value and its deadline")
		c.Ask(":-1\r\n", "TTL", keys[len(keys)-1])
	}
}

// expiredReaders lets many keys die at one moment, and then all clients ask for each of them.
func expiredReaders(t *check.T) {
	keys := make([]string, 3000)
	for i := range keys {
		keys[i] = t.Key("short")
	}
	for range 4 {
		t.Parallel(2, func(i int) {
			var in []byte
			for _, k := range keys[i*len(keys)/2 : (i+1)*len(keys)/2] {
				in = resp.AppendCommandStrings(in, "SET", k, "v")
				in = resp.AppendCommandStrings(in, "PEXPIRE", k, "40")
			}
			t.Dial().Exchange(string(in), strings.Repeat("+OK\r\n:1\r\n", len(keys)/2))
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
					v := answered(c, selfLock).Reply()
					t.Require(!v.IsError(), "a value or a null", "%s", check.Text(v))
				}
			}
		})
	}
	t.Hint("a dead key is still there: every look-up has to compare the deadline with the clock").Dial().Ask(":0\r\n", "EXISTS", keys[0]).Ask("+PONG\r\n", "PING")
}

func setEx(t *check.T) {
	k, c := t.Key("k"), t.Dial()
	t.Hint("EX counts seconds: the time to live should be a hundred of them")
	c.Ask("+OK\r\n", "SET", k, "v", "EX", "100").About(100, "TTL", k).Ask("+OK\r\n", "SET", k, "v", "ex", "20").Between(15_000, 20_000, "PTTL", k)
	t.Hint("PX counts milliseconds: 100000 of them are a hundred seconds")
	c.Ask("+OK\r\n", "SET", k, "v", "px", "100000").Between(95_000, 100_000, "PTTL", k)
}

func setErrors(t *check.T) {
	k, c := t.Key("k"), t.Dial()
	c.Ask("+OK\r\n", "SET", k, "kept").Ask(":1\r\n", "EXPIRE", k, "100")
	for _, opts := range [][]string{{"EX"}, {"EX", "1", "PX", "1"}, {"NOPE"}, {"NOPE", "1"}} {
		c.Ask(check.Err("ERR syntax error"), append([]string{"SET", k, "v"}, opts...)...)
	}
	t.Hint("SET reads all its options first, and only then the number behind them")
	c.Ask(check.Err("ERR syntax error"), "SET", k, "v", "EX", "soon", "PX", "1")
	t.Hint("SET k v EX 0 is hardly ever meant: SET refuses 0 and negative times, where EXPIRE deletes the key")
	for _, opts := range [][]string{{"EX", "0"}, {"EX", "-1"}, {"PX", "0"}} {
		c.Ask(check.Err("ERR invalid expire time in 'set' command"), append([]string{"SET", k, "v"}, opts...)...)
	}
	t.Hint("the number behind EX is a decimal integer of 64 bits that still fits when it has become an instant")
	c.Ask(check.Err(step03.NotInteger), "SET", k, "v", "EX", "soon").
		Ask(check.Err("ERR invalid expire time in 'set' command"), "SET", k, "v", "EX", "9223372036854775807")
	t.Hint("SET answered with an error and changed the key nevertheless: first everything that can be wrong, then the change")
	c.Ask(check.Bulk("kept"), "GET", k).About(100, "TTL", k)
}

func setClears(t *check.T) {
	k := t.Key("k")
	t.Dial().Ask("+OK\r\n", "SET", k, "v", "EX", "100").Ask("+OK\r\n", "SET", k, "w").Ask(":-1\r\n", "TTL", k).
		Ask(":1\r\n", "EXPIRE", k, "100").Ask("+OK\r\n", "SET", k, "x").Ask(":-1\r\n", "TTL", k)
}

func oldTimer(t *check.T) {
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
	c.Ask(check.Bulk("new"), "GET", a).Ask(check.Bulk("new"), "GET", b).Ask(check.Bulk("new"), "GET", d)
	t.Hint("the new value brought a deadline of its own, and EX 100 is what TTL counts from").Dial().About(100, "TTL", d)
}

func persist(t *check.T) {
	k := t.Key("k")
	t.Dial().Ask(":0\r\n", "PERSIST", k).Ask("+OK\r\n", "SET", k, "v", "EX", "100").Ask(":1\r\n", "PERSIST", k).
		Ask(":-1\r\n", "TTL", k).Ask(":0\r\n", "PERSIST", k).Ask(check.Bulk("v"), "GET", k)
}

func persistTooLate(t *check.T) {
	c := t.Dial()
	for range 20 {
		for _, k := range dead(c, 3) {
			answered(c.Cmd("PERSIST", k), selfLock).Expect(":0\r\n").Ask(":0\r\n", "EXISTS", k)
		}
	}
}
