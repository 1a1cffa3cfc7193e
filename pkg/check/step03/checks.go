// Package step03 holds the checks of step 03 and of its exercises: a dispatch table, and a map that many clients
// share. The checks stand in the order in which a learner can pass them, and what they guess about a failure is in
// guess.go.
package step03

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"byor/pkg/check"
	"byor/pkg/check/course"
	"byor/pkg/check/process"
	"byor/pkg/check/step02"
	"byor/pkg/resp"
)

func init() {
	check.Register(3, 0,
		check.Check{Name: "protocol-error", After: 1, What: "bytes that are no RESP get an error, and then the connection ends", Run: protocolError03, Guide: "Build it",
			Hint: "an error of Next that is not ErrIncomplete is a protocol error: write it with \"ERR \" in front, leave the loop, send it, close", Before: "step 02 does that too"},
		check.Check{Name: "end-of-stream", After: 1, What: "when the client has said all, the server closes", Run: endOfStream, Guide: "Build it",
			Hint: "the client has said all, and the connection stays open. Fill says so with an error: return then, or the loop asks Fill for ever, and a processor is busy", Before: "step 02 does that too"},
		check.Check{Name: "answers-before-it-waits", After: 2, What: "what is whole is answered before the server waits for more", Run: answersFirst, Guide: "Build it",
			Hint: "PING gets its +PONG at once, alone or in front of half a command: send what is owed before you wait for more (Flush, then Fill)", Before: "step 02 sends each reply at once"},
		check.Check{Name: "error-keeps-open", After: 2, What: "a command's error does not end the connection, nor the work of others", Run: errorKeepsOpen,
			Hint: "answer a command's error and go on: the next command stands right behind it", Before: "step 02 goes on too"},
		check.Check{Name: "case", After: 2, What: "the name of a command ignores case, what follows does not", Run: caseRules,
			Hint: "look the command up by its name in lower case, and leave the arguments as they are", Before: "step 02 ignores case too"},
		check.Check{Name: "unknown-command", After: 2, What: "an unknown command is named with its first arguments", Run: unknownCommand, Guide: "On the wire",
			Hint: "unknownCommand(args) words this error for you: the name as it was typed, and a space behind each argument, the last too", Before: "step 02 words it so already"},
		check.Check{Name: "arity", After: 2, What: "a wrong number of arguments is refused before the command runs", Run: arityRules, Guide: "On the wire",
			Hint: "execute counts the arguments before it calls the handler, which trusts args[1] to be there; wrongArity(name) words the error", Before: "step 02 counts for its two commands"},
		check.Check{Name: "command-docs", After: 2, What: "redis-cli's COMMAND DOCS gets a whole reply, and the connection lives", Run: commandDocs, Guide: "Build it",
			Hint: "redis-cli asks COMMAND DOCS when it starts; an empty array (*0\\r\\n) will do", Before: "step 02 answers it too, so that redis-cli can be used there"},

		check.Check{Name: "quit", After: 2, What: "QUIT is answered and ends the connection, and nothing behind it runs", Run: quit03, Guide: "Build it",
			Hint: "QUIT sets c.closing: the loop looks at it before each command, and what is owed is sent behind the loop"},
		check.Check{Name: "one-write", After: 2, What: "the replies to commands that came together leave together", Run: oneWrite, Guide: "Build it",
			Hint: "replies left one by one: flush when Next has no whole command left, and not after each command"},

		check.Check{Name: "get-missing", After: 3, What: "GET of a missing key is a null", Run: getMissing, Guide: "On the wire",
			Hint: "a missing key is the null bulk string $-1\\r\\n: c.w.Null()"},

		check.Check{Name: "set-get", After: 4, What: "SET stores a value, and everybody's GET returns it", Run: setGet, Guide: "Build it",
			Hint: "SET key value stores in the server's map and answers +OK; GET key answers the value as a bulk string"},
		check.Check{Name: "empty-value", After: 4, What: "an empty value is a value", Run: emptyValue,
			Hint: "the map's second result says whether a key exists (v, ok := m[k]); an empty value does not mean that it does not"},
		check.Check{Name: "value-is-kept", After: 4, What: "a stored value does not change when later commands arrive", Run: valueKept,
			Hint: "args are valid only until the reader reads on: copy what you keep (string(arg) does)"},
		check.Check{Name: "binary-safe", After: 4, What: "keys and values may hold any bytes", Run: binarySafe,
			Hint: "a Go string holds any bytes: convert with string(b), and never through what is meant for text (TrimSpace, ToLower, %q, Split)"},
	)
}

// The commands and their map.
func init() {
	check.Register(3, 0,
		check.Check{Name: "keys-keep-case", After: 4, What: "Key and key are two keys", Run: keysKeepCase, Guide: "Build it",
			Hint: "only the command's name ignores case: use the key as it came"},
		check.Check{Name: "set-options", After: 4, What: "SET refuses what it does not understand, and then stores nothing", Run: setOptions, Guide: "Build it",
			Hint: "SET has arity -3, at least three: what stands behind the value is an option. Answer one that you do not know with ERR syntax error, and return before you store"},
		check.Check{Name: "pipeline-order", After: 4, What: "pipelined commands run in order, and each sees what those before it did", Run: pipelineOrder, Guide: "Questions",
			Hint: "run a connection's commands one after the other: with a goroutine for each, nobody knows their order"},
		check.Check{Name: "slow-reader", After: 4, What: "a client that does not read its answers delays nobody else", Run: slowReader, Slow: 2,
			Hint: "a reply was sent while the lock was held, so all wait for a client that does not read: write replies to c.w, and send them in handle, outside of the lock"},
		check.Check{Name: "bounded-replies", After: 4, What: "replies leave before they fill the memory", Run: boundedReplies, Own: true, Guide: "Build it",
			Hint:     "all replies to a packet were kept until the last was ready, and one packet full of GET big fills your memory: send what waits in c.w when it is more than maxReplies",
			NotRedis: keepsReplies},
		check.Check{Name: "large-value", After: 4, What: "a value of 4 MB is stored and returned", Run: largeValue, Slow: 2, Guide: "Build it",
			Hint: "a value may be up to 512 MB: store and answer it whole"},

		check.Check{Name: "exists-count", After: 5, What: "EXISTS counts, twice for a key named twice", Run: existsCount, Guide: "Build it",
			Hint: "EXISTS k k answers 2 when k exists: count arguments, not different keys"},
		check.Check{Name: "del-count", After: 5, What: "DEL answers how many keys it removed", Run: delCount, Guide: "Build it",
			Hint: "DEL takes any number of keys: count those that were there when their turn came"},

		check.Check{Name: "incr", After: 6, What: "INCR counts from 0 and stores the number as text", Run: incr, Guide: "Build it",
			Hint: "a missing key counts as 0; the reply is an integer (:1), and what is stored are its decimal digits"},
		check.Check{Name: "incr-errors", After: 6, What: "INCR refuses what is no integer, and overflow", Run: incrErrors, Guide: "Build it",
			Hint: "INCR takes a 64-bit integer in decimal and nothing else; after an error the old value is still there"},
		check.Check{Name: "arity-of-each", After: 6, What: "the new commands refuse a wrong number of arguments", Run: arityOfEach, Guide: "Build it",
			Hint: "the numbers in the table: GET 2, SET -3, DEL -2, EXISTS -2, INCR 2 (the name counts, a negative number is a minimum)"},
		check.Check{Name: "readers-and-writers", After: 6, What: "many clients at once: nothing crashes, nobody waits for ever", Run: readersWriters, Slow: 3,
			Hint: "many clients at once get stuck or lose replies: hold one lock around the whole handler, and take it once"},
		check.Check{Name: "incr-atomic", After: 6, What: "100 clients × 100 INCR make 10,000", Run: incrAtomic, Slow: 3,
			Hint: "INCR is a read-modify-write without the lock over all of it: two clients read the same number. Hold one lock from the read to the write"},
	)
}

func protocolError03(t *check.T) {
	const want = "-ERR Protocol error: expected '$', got ':'\r\n"
	check.Explained(func() { t.Dial().Send("*1\r\n:1\r\n").Expect(want).ExpectClose() }, func(got string) string {
		switch {
		case strings.Contains(got, "incomplete command"):
			return "ErrIncomplete is no mistake of the client: after Fill, continue with the loop"
		case check.Closed(got) && died(t.Server(), "panic: "):
			return "the server crashed: when Next returns an error, there is no command to execute"
		case check.Closed(got) && !strings.Contains(got, "Protocol error"):
			return "the server closed without a word. If the error is still in c.w then, send it: leave the loop with break, and Flush behind the loop"
		}
		return ""
	})
}

// endOfStream ends the stream between two commands, and within one.
func endOfStream(t *check.T) {
	c := t.Dial().Send("*1\r\n$4\r\nPI")
	check.Explained(func() { c.Silent(50 * time.Millisecond) }, func(got string) string {
		if check.Closed(got) {
			return "half a command is no reason to leave: at ErrIncomplete flush, Fill and go on"
		}
		return ""
	})
	c.CloseWrite().ExpectClose()
	t.Dial().CloseWrite().ExpectClose()
}

func answersFirst(t *check.T) {
	s := t.Alone()
	c := t.DialTo(s)
	check.Explained(func() { c.Send("ping\r\n").Expect("+PONG\r\n") }, func(got string) string {
		switch {
		case strings.Contains(got, "wrong number of arguments"):
			return "PING alone has the right number of arguments: the name counts as one, and a negative arity is a minimum (-1: one or more)"
		case check.Silent(got):
			return "the reply was not sent: when no whole command is left, flush before Fill waits, or both sides wait for ever"
		}
		return ""
	})
	check.Explained(func() { c.Send("ping\r\n").Expect("+PONG\r\n") }, func(got string) string {
		if check.Silent(got) && !t.AnswersOthers(s) {
			return "the first command was answered, and since then nobody is: the lock was taken and not given back. Each Lock needs its Unlock (defer it, on the line below)"
		}
		return ""
	})
	c.Send("ping\r\n*1\r\n$4\r\npi").Expect("+PONG\r\n").Send("ng\r\n").Expect("+PONG\r\n")
	c.Send("ping\r\n*1\r\n:1\r\n").Expect("+PONG\r\n-ERR Protocol error: expected '$', got ':'\r\n").ExpectClose()
}

func errorKeepsOpen(t *check.T) {
	s := t.Alone()
	c := t.DialTo(s)
	check.Explained(func() {
		for _, wrong := range [][]string{{"foo", "bar"}, {"ping", "a", "b"}} {
			v := c.Do(wrong...)
			t.Require(v.IsError(), "an error", "%s", check.Text(v))
			c.Ask("+PONG\r\n", "ping")
		}
	}, func(got string) string {
		switch {
		case strings.Contains(got, "wrong number of arguments for 'foo'"):
			return "one command got two errors: when it is unknown, return behind the error"
		case check.Closed(got) && died(s, "panic: "):
			return "the server crashed behind the error: return there, since an unknown command has no function to run"
		case check.Closed(got):
			return "closing on a command error: only a protocol error ends the connection, since only then nobody knows where the next command begins"
		}
		return lockedByError(t, s, got)
	})
}

func caseRules(t *check.T) {
	check.Explained(func() {
		t.Dial().Ask("+PONG\r\n", "pInG").Ask(check.Bulk("Hey"), "ECHO", "Hey")
	}, func(got string) string {
		switch {
		case strings.Contains(got, "unknown command"):
			return "case-sensitive names: the table's names are in lower case, so look up strings.ToLower of the name"
		case strings.Contains(got, "wrong number of arguments"):
			return "ECHO Hey has the right number of arguments: the arity counts the name, too, so it is len(args) that has to match"
		case strings.Contains(got, "hey"):
			return "the argument came back in lower case: only the name ignores case, args[1] and the rest are values"
		}
		return ""
	})
}

func unknownCommand(t *check.T) {
	check.Explained(func() {
		t.Dial().Ask(check.Err("ERR unknown command 'FOO', with args beginning with: 'bar' "), "FOO", "bar").
			Ask(check.Err("ERR unknown command 'foo', with args beginning with: "), "foo").
			Ask(check.Err("ERR unknown command 'Nope', with args beginning with: 'a' 'b c' "), "Nope", "a", "b c")
	}, func(got string) string { return lockedByError(t, t.Server(), got) })
}

func arityRules(t *check.T) {
	check.Explained(func() {
		c := t.Dial()
		for _, cmd := range [][]string{{"eCHO"}, {"echo", "a", "b"}, {"PING", "a", "b"}} {
			c.Ask(wrongArity(cmd[0]), cmd...)
		}
		c.Ask("+PONG\r\n", "PING").Ask(check.Bulk("a"), "ECHO", "a")
	}, func(got string) string {
		switch {
		case strings.Contains(got, "'eCHO'"):
			return "this error names the command in lower case, however it was typed"
		case check.Closed(got) && died(t.Server(), "index out of range"):
			return "the handler crashed: it trusts args[1] to be there. Let execute count the arguments before it calls the handler, and return if the count is wrong"
		}
		return lockedByError(t, t.Server(), got)
	})
}

func commandDocs(t *check.T) {
	c := t.Dial()
	v := c.Do("COMMAND", "DOCS")
	t.Require(v.Kind == resp.Array || v.Kind == resp.Map || v.IsError(), "an array (or an error)", "%s", check.Text(v))
	c.Ask("+PONG\r\n", "PING")
}

func quit03(t *check.T) {
	t.Dial().Send("PING\r\nQUIT\r\nPING\r\n").Expect("+PONG\r\n+OK\r\n").ExpectClose()
}

// oneWrite looks at what the first Read after a batch brings. Several Writes may come in one Read, though not
// each time.
func oneWrite(t *check.T) {
	const n = 100
	c := t.Dial()
	for range 30 {
		c.Send(strings.Repeat("PING\r\n", n))
		t.Require(c.Fill(t.Deadline(t.Limit)) == nil, "an answer", "nothing")
		got := len(c.In)
		c.Expect(strings.Repeat("+PONG\r\n", n))
		t.Require(got == n*len("+PONG\r\n"), fmt.Sprintf("%d replies at once", n), "the first %d bytes, the others later", got)
	}
}

func getMissing(t *check.T) {
	c := t.Dial()
	check.Explained(func() { c.Ask("$-1\r\n", "GET", t.Key("missing")) }, func(got string) string {
		if strings.Contains(got, `$0\r\n`) {
			return "$0 is a value, the empty one. A missing key is null, $-1: ask the map's second result (v, ok := m[k])"
		}
		return whyNot(t, "GET", 2, got)
	})
	t.Hint("one GET got two replies: behind the null, return").Guide("Build it")
	c.Ask("+PONG\r\n", "PING")
}

func setGet(t *check.T) {
	k := t.Key("k")
	check.Explained(func() {
		t.Dial().Ask("+OK\r\n", "SET", k, "hello").Ask(check.Bulk("hello"), "GET", k).
			Ask("+OK\r\n", "SET", k, "world").Ask(check.Bulk("world"), "GET", k)
	}, func(got string) string { return whyNot(t, "SET", -3, got) })
	t.Hint("another client does not find the value: a map of its own for each connection is one too many. The map belongs to the server").
		Dial().Ask(check.Bulk("world"), "GET", k)
}

func emptyValue(t *check.T) {
	k := t.Key("empty")
	t.Dial().Ask("+OK\r\n", "SET", k, "").Ask("$0\r\n\r\n", "GET", k)
}

func valueKept(t *check.T) {
	a, b, c := t.Key("a"), t.Key("b"), t.Dial()
	c.Ask("+OK\r\n", "SET", a, "first value").Ask("+OK\r\n", "SET", b, "other stuff")
	for range 50 {
		c.Ask("$-1\r\n", "GET", t.Key("filler that overwrites the buffer"))
	}
	c.Ask(check.Bulk("first value"), "GET", a).Ask(check.Bulk("other stuff"), "GET", b)
}

func binarySafe(t *check.T) {
	var b [256]byte
	for i := range b {
		b[i] = byte(i)
	}
	k, c := t.Key("bin")+string(b[:]), t.Dial()
	c.Ask("+OK\r\n", "SET", k, string(b[:])).Ask(check.Bulk(string(b[:])), "GET", k)
	c.Ask("+OK\r\n", "SET", k+" ", " spaces ").Ask(check.Bulk(" spaces "), "GET", k+" ").Ask(check.Bulk(string(b[:])), "GET", k)
}

func keysKeepCase(t *check.T) {
	k := t.Key("Case")
	t.Dial().Ask("+OK\r\n", "SET", k, "V").Ask(check.Bulk("V"), "get", k).Ask("$-1\r\n", "GET", strings.ToLower(k))
}

func setOptions(t *check.T) {
	k := t.Key("k")
	t.Dial().Ask(check.Err("ERR syntax error"), "SET", k, "v", "nonsense").Ask("$-1\r\n", "GET", k).
		Ask("+OK\r\n", "SET", k, "kept").Ask(check.Err("ERR syntax error"), "SET", k, "v", "non", "sense").Ask(check.Bulk("kept"), "GET", k)
}

func pipelineOrder(t *check.T) {
	k := t.Key("n")
	var in []byte
	want := ""
	for i := range 300 {
		in = resp.AppendCommandStrings(in, "SET", k, strconv.Itoa(i))
		in = resp.AppendCommandStrings(in, "GET", k)
		want += "+OK\r\n" + check.Bulk(strconv.Itoa(i))
	}
	t.Dial().Exchange(string(in), want)
}

func slowReader(t *check.T) {
	k := t.Key("big")
	slow := t.Dial().SmallWindow()
	slow.Exchange(string(resp.AppendCommandStrings(nil, "SET", k, strings.Repeat("x", 1<<20))), "+OK\r\n")
	chunk := resp.AppendCommandStrings(nil, "GET", k)
	chunk = resp.AppendCommandStrings(chunk, "PING", strings.Repeat("y", 16<<10))
	// When the server takes no more, it waits for somebody to read.
	slow.Net.SetWriteDeadline(time.Now().Add(300 * time.Millisecond))
	for range 1000 {
		if _, err := slow.Net.Write(chunk); err != nil {
			break
		}
	}
	t.Dial().Ask("+PONG\r\n", "PING").Ask("$-1\r\n", "GET", t.Key("missing"))
	slow.Reset()
	t.Dial().Ask("+OK\r\n", "SET", k, "")
}

const keepsReplies = "a real redis-server keeps all that it has to say to a client, and may cut it off (client-output-buffer-limit)"

// boundedReplies asks for 128 MB in one packet and waits for the first byte. A server that sends nothing before it has
// all has all in its memory then.
func boundedReplies(t *check.T) {
	const size, times = 1 << 20, 128
	s := t.Start(process.Options{})
	c := t.DialTo(s).SmallWindow()
	if t.Step() < course.Last && strings.Contains(check.Text(c.Do("INFO", "server")), "redis_version:") {
		t.Skip(keepsReplies)
	}
	c.Exchange(string(resp.AppendCommandStrings(nil, "SET", "big", strings.Repeat("x", size))), "+OK\r\n")
	before := step02.ResidentBytes(s)
	c.Send(strings.Repeat(string(resp.AppendCommandStrings(nil, "GET", "big")), times))
	t.Require(c.Fill(t.Deadline(t.Limit)) == nil, "an answer", "nothing")
	grown := (step02.ResidentBytes(s) - before) >> 20
	t.Require(grown < times/2, fmt.Sprintf("%d times GET of a megabyte, sent in one packet, cost the server a few megabytes", times),
		"%d MB more when the first byte came", grown)
}

func largeValue(t *check.T) {
	k, v := t.Key("large"), strings.Repeat("0123456789abcdef", 4<<20/16)
	c := t.Dial()
	c.Exchange(string(resp.AppendCommandStrings(nil, "SET", k, v)), "+OK\r\n")
	c.Exchange(string(resp.AppendCommandStrings(nil, "GET", k)), check.Bulk(v))
	c.Ask("+OK\r\n", "SET", k, "")
}

func existsCount(t *check.T) {
	a, b := t.Key("a"), t.Key("b")
	check.Explained(func() {
		t.Dial().Ask(":0\r\n", "EXISTS", a).Ask("+OK\r\n", "SET", a, "").Ask(":1\r\n", "EXISTS", a, b).Ask(":2\r\n", "EXISTS", a, a)
	}, func(got string) string { return whyNot(t, "EXISTS", -2, got) })
}

func delCount(t *check.T) {
	a, b, c := t.Key("a"), t.Key("b"), t.Key("c")
	check.Explained(func() {
		t.Dial().Ask("+OK\r\n", "SET", a, "1").Ask("+OK\r\n", "SET", b, "2").
			Ask(":2\r\n", "DEL", a, b, c).Ask(":0\r\n", "DEL", a).Ask("$-1\r\n", "GET", a).
			Ask("+OK\r\n", "SET", a, "1").Ask(":1\r\n", "DEL", a, a)
	}, func(got string) string {
		switch {
		case got == `":1\r\n"` && t.Dial().Do("EXISTS", a).Int == 1:
			return "the key is still there after DEL: delete(c.srv.data, key) takes it out of the map"
		case strings.Count(got, `\r\n`) > 1:
			return "one DEL got more than one reply: count in the loop, and answer behind it"
		}
		return whyNot(t, "DEL", -2, got)
	})
}

func incr(t *check.T) {
	k := t.Key("n")
	check.Explained(func() {
		t.Dial().Ask(":1\r\n", "INCR", k).Ask(":2\r\n", "INCR", k).Ask(check.Bulk("2"), "GET", k).
			Ask("+OK\r\n", "SET", k, "-5").Ask(":-4\r\n", "INCR", k).Ask(check.Bulk("-4"), "GET", k)
	}, func(got string) string {
		if strings.Contains(got, NotInteger) {
			return "a missing key counts as 0: parse only what was found"
		}
		if got == `":0\r\n"` {
			return "INCR answered the number that was there: add one first, then store the sum and answer it"
		}
		return whyNot(t, "INCR", 2, got)
	})
}

func incrErrors(t *check.T) {
	k, c := t.Key("n"), t.Dial()
	for _, v := range []string{"abc", "", "1.5", "9223372036854775808", "007", "+1", "-0", " 1", "1 "} {
		check.Explained(func() {
			c.Ask("+OK\r\n", "SET", k, v).Ask(check.Err(NotInteger), "INCR", k)
		}, func(got string) string {
			if strings.HasPrefix(got, `":`) {
				return fmt.Sprintf("INCR took %q for a number. It takes only what it would write itself: resp.ParseInt refuses the rest, strconv's accepts 007 and +1", v)
			}
			return ""
		})
		c.Hint("after an error the old value is still there, and no second reply follows: return behind the error").Ask(check.Bulk(v), "GET", k)
	}
	check.Explained(func() {
		c.Ask("+OK\r\n", "SET", k, "9223372036854775807").Ask(check.Err(overflow), "INCR", k).Ask(check.Bulk("9223372036854775807"), "GET", k).
			Ask("+OK\r\n", "SET", k, "-9223372036854775808").Ask(":-9223372036854775807\r\n", "INCR", k)
	}, func(got string) string {
		if strings.Contains(got, ":-9223372036854775808") {
			return "the largest number plus 1 wrapped around to the smallest: Go adds without a word, so ask before you add"
		}
		return ""
	})
}

func arityOfEach(t *check.T) {
	c := t.Dial()
	for _, cmd := range [][]string{{"GET"}, {"GET", "a", "b"}, {"SET"}, {"SET", "a"}, {"DEL"}, {"EXISTS"}, {"INCR"}, {"INCR", "a", "b"}} {
		c.Ask(wrongArity(cmd[0]), cmd...)
	}
}

func readersWriters(t *check.T) {
	keys := make([]string, 8)
	for i := range keys {
		keys[i] = t.Key("shared")
	}
	check.Explained(func() {
		t.Parallel(24, func(i int) {
			c := t.Dial()
			for j := range 40 {
				k := keys[(i+j)%len(keys)]
				var in []byte
				for r := range 10 {
					in = resp.AppendCommandStrings(in, "SET", fmt.Sprint(k, r), "1")
					in = resp.AppendCommandStrings(in, "GET", fmt.Sprint(k, r+1))
					in = resp.AppendCommandStrings(in, "INCR", k)
					in = resp.AppendCommandStrings(in, "DEL", fmt.Sprint(k, r+2))
					in = resp.AppendCommandStrings(in, "EXISTS", k, fmt.Sprint(k, r))
				}
				c.Send(string(in))
				for range 10 {
					set, get := c.Reply(), c.Reply()
					t.Require(check.Text(set) == "OK" && (get.Null || check.Text(get) == "1"), "OK for SET; 1 or a null for GET", "%s, then %s", check.Text(set), check.Text(get))
					for _, name := range []string{"INCR", "DEL", "EXISTS"} {
						v := c.Reply()
						t.Require(v.Kind == resp.Integer, "a number for "+name, "%s", check.Text(v))
					}
				}
			}
		})
		k := t.Key("after")
		t.Dial().Ask("+OK\r\n", "SET", k, "alive").Ask(check.Bulk("alive"), "GET", k)
	}, func(string) string { return mapWithoutLock(t) })
}

func incrAtomic(t *check.T) {
	k := t.Key("n")
	one := string(resp.AppendCommandStrings(nil, "INCR", k))
	check.Explained(func() {
		t.Parallel(100, func(int) {
			c := t.Dial()
			for range 4 { // bursts, so that clients meet
				c.Send(strings.Repeat(one, 25))
				for range 25 {
					v := c.Reply()
					t.Require(v.Kind == resp.Integer, "an integer for each INCR", "%s", check.Text(v))
				}
			}
		})
		t.Dial().Ask(check.Bulk("10000"), "GET", k)
	}, func(string) string { return mapWithoutLock(t) })
}

// wrongArity returns the error for too few or too many arguments.
func wrongArity(name string) string {
	return check.Err("ERR wrong number of arguments for '" + strings.ToLower(name) + "' command")
}
