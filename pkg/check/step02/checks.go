// Package step02 holds the checks of step 02 and of its exercises: RESP puts lengths in front, and a parser must be
// able to stop after any byte.
package step02

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"byor/pkg/check"
	"byor/pkg/check/process"
)

func init() {
	check.Register(2, 0,
		check.Check{Name: "waits-for-more", After: 1, What: "half a command keeps the connection open; the end of the stream ends it", Run: waitsForMore, Guide: "Build it",
			Hint: "half a command is no reason to leave: when next says errIncomplete, answer must return true, and handle must read again"},
		check.Check{Name: "long-line", After: 2, What: "a line without an end is refused after 64 KB", Run: longLine, Guide: "Build it",
			Hint: "after maxLine bytes without a line end, line must return protocolError(tooBig); it sees them all only if handle appends each chunk to p.buf"},
		check.Check{Name: "array-lengths", After: 3, What: "empty arrays are skipped; a senseless length is a protocol error", Run: arrayLengths,
			Hint: "the number behind * must be the whole line, in digits, and at most maxArgs: check both before you believe it"},
		check.Check{Name: "expected-dollar", After: 4, What: "an element that is no bulk string is a protocol error", Run: expectedDollar, Guide: "On the wire",
			Hint: "every element of a command begins with $: look at that byte before you read the length behind it"},
		check.Check{Name: "bad-lengths", After: 4, What: "a string with a senseless length is a protocol error", Run: badLengths,
			Hint: "check each length before you believe it: digits only, from 0 to maxBytes; an argument cannot be null ($-1)"},
		check.Check{Name: "nested-arrays", After: 4, What: "arrays in arrays are refused, however deep", Run: nestedArrays,
			Hint: "unbounded nesting: a command is a flat array of strings, so an element that begins with * is an error like any other"},
		check.Check{Name: "unknown-command", After: 5, What: "an unknown command is answered with Redis's words, and the conversation goes on", Run: unknownCommand02, Guide: "Build it",
			Hint: "next must hand out the arguments with a nil error as soon as p.left is 0"},
	)
}

// What the commands answer, and what the network may do.
func init() {
	check.Register(2, 0,
		check.Check{Name: "ping-array", After: 6, What: "PING is answered with PONG", Run: pingArray, Guide: "Build it",
			Hint: "PING alone answers the simple string +PONG; with a message it answers that message as a bulk string"},
		check.Check{Name: "echo-array", After: 6, What: "ECHO answers its argument as a bulk string", Run: echoArray, Guide: "On the wire",
			Hint: "a bulk string has its length in front, $3\\r\\nhey\\r\\n: appendBulk writes it"},
		check.Check{Name: "any-case", After: 6, What: "command names are not case-sensitive", Run: anyCase02, Guide: "Build it",
			Hint: "put the name into lower case before you compare it, and leave the arguments as they are"},
		check.Check{Name: "command-errors", After: 6, What: "a wrong number of arguments is answered with Redis's words, and the conversation goes on", Run: commandErrors, Guide: "On the wire",
			Hint: "PING takes one message at most and ECHO exactly one; the error names the command in lower case"},
		check.Check{Name: "command-docs", After: 6, What: "COMMAND answers an array, whatever its arguments are", Run: commandDocs02, Guide: "Build it",
			Hint: "redis-cli asks COMMAND DOCS when it starts: answer *0\\r\\n to COMMAND with any arguments"},
		check.Check{Name: "empty-argument", After: 6, What: "an empty string is not a null", Run: emptyArgument,
			Hint: "a string of length 0 is a string like any other: $0\\r\\n\\r\\n, with both line ends"},
		check.Check{Name: "binary-argument", After: 6, What: "an argument may hold any bytes, CRLF too", Run: binaryArgument,
			Hint: "splitting on CRLF breaks such a value: read the length, then take exactly that many bytes"},
		check.Check{Name: "ignored", After: 6, What: "*0, *-1 and empty lines are passed over in silence", Run: ignoredInput, Guide: "Build it",
			Hint: "an empty array and an empty line are not commands: they get no answer, and next looks at what comes behind"},
		check.Check{Name: "pipeline", After: 6, What: "many commands in one segment are all answered, in order", Run: pipeline, Net: true,
			Hint: "every command in the buffer must be answered, in order, before the server reads again"},
		check.Check{Name: "every-split", After: 6, What: "the same input, cut at any byte, gives the same output", Run: everySplit, Net: true, Slow: 2,
			Hint: "a Read may end after any byte, even between \\r and \\n: consume only what is whole, and keep the rest together with p.args, p.left and p.size"},
		check.Check{Name: "long-lengths", After: 6, What: "a length without an end is refused after 64 KB, and others are served", Run: longLengths, Guide: "Build it",
			Hint: "the line with a length must be bounded, too: get it from p.line, with Redis's words for it"},
		check.Check{Name: "half-close", After: 6, What: "commands before the end of the stream are answered, then the server closes", Run: halfClose, Net: true, Guide: "Build it",
			Hint: "io.EOF ends the reading, not the answering: answer what came before the end, then close"},
		check.Check{Name: "claimed-length", After: 6, What: "memory follows the bytes received, not the lengths claimed", Run: claimedLength, Own: true,
			NotRedis: "a real redis-server reserves room for one claimed string",
			Hint:     "allocating the claimed length lets twenty bytes cost you 512 MB: let the buffer grow with what really comes"},
		check.Check{Name: "stalled-reader", After: 6, What: "a client that does not read its answers delays nobody else", Run: stalledReader, Net: true, Slow: 2, Guide: "Build it",
			Hint: "a Write to one client may wait for ever: hold no lock meanwhile that another client needs"},
		check.Check{Name: "fifty-clients", After: 6, What: "fifty clients at once get their own answers", Run: fiftyClients, Net: true, Guide: "Build it",
			Hint: "a parser holds one connection's state: every connection needs a parser of its own"},
		check.Check{Name: "ping-inline", After: 7, What: "PING typed as a line is a command, too", Run: pingInline, Guide: "On the wire",
			Hint: "splitWords must return the words of the line: PING is one word"},
		check.Check{Name: "inline-quotes", After: 7, What: "words may be quoted, with escapes", Run: inlineQuotes, Guide: "Build it",
			Hint: "a word ends at a space that is not in quotes"},
		check.Check{Name: "unbalanced-quotes", After: 7, What: "a quote that is never closed is a protocol error", Run: unbalanced, Guide: "Build it",
			Hint: "if quoted is not ok, splitWords is not ok either: return nil, false"},
		check.Check{Name: "one-byte-writes", After: 7, What: "commands that arrive byte by byte, as arrays and as lines, are answered", Run: slowCommands, Net: true,
			Hint: "a Read may end after any byte: parse only what is whole, and keep the rest"},
	)
}

// blame runs expect. If that fails, why may name the cause from what came instead; where it knows none (""), the
// hint stays what it is.
func blame(c *check.Conn, expect func(), why func(got string, closed bool) string) *check.Conn {
	defer func() {
		p := recover()
		if f, failed := p.(check.Failure); failed {
			if h := why(string(c.Got), strings.Contains(f.Got, "the server closed")); h != "" {
				f.Hint = h
			}
			p = f
		}
		if p != nil {
			panic(p)
		}
	}()
	expect()
	return c
}

// expectOr is Expect with a diagnosis, see blame.
func expectOr(c *check.Conn, want string, why func(got string, closed bool) string) *check.Conn {
	return blame(c, func() { c.Expect(want) }, why)
}

// refused sends what is no RESP, and expects Redis's words for it and a close. In a report the input is shown as
// shown, unless that is empty; an empty hint is the check's own.
func refused(t *check.T, in, shown, text, hint string) {
	c := t.Dial()
	c.TrySend(in) // the server may close before it has read all of it
	if shown != "" {
		c.Sent = []byte(shown)
	}
	expectOr(c, check.Err("ERR Protocol error: "+text), func(got string, closed bool) string {
		if closed && got == "" && !ended(t) {
			return "a silent close is a riddle for the client: answer must write the error, -ERR and its text, before it returns false"
		}
		return hint
	})
	blame(c, c.ExpectClose, func(string, bool) string {
		return "after a protocol error nobody knows where the next command begins: answer must return false, so that handle closes"
	})
}

// ended says whether the shared server is no longer there: then a close was not its decision.
func ended(t *check.T) bool {
	if t.Server().Cmd == nil {
		return false
	}
	_, gone := t.Server().Exit(50 * time.Millisecond) // it may end a little after its connections
	return gone
}

func waitsForMore(t *check.T) {
	// Nothing can have come. If it did, the parser was fed with something that nobody sent.
	fed := func(otherwise string) func(string, bool) string {
		return func(got string, _ bool) string {
			if got != "" {
				return "the parser was fed with bytes that nobody sent: append chunk[:n] to p.buf, for only n bytes of the chunk are new"
			}
			return otherwise
		}
	}
	c := t.Dial().Send("*2\r\n$4\r\nEC")
	blame(c, func() { c.Silent(50 * time.Millisecond) }, fed(""))
	blame(c, c.CloseWrite().ExpectClose,
		fed("when the client has no more to say, Read returns an error: handle must return then, and its deferred Close ends the connection"))
}

func longLine(t *check.T) {
	refused(t, strings.Repeat("x", 70_000), "70,000 times x, without a line end", "too big inline request", "")
}

const oneWay = "a length has one way to be written: parseLength must refuse +1 and 01, which strconv.Atoi takes"

func arrayLengths(t *check.T) {
	for _, in := range []string{"*x\r\n", "*\r\n", "*1x\r\n", "*2147483648\r\n", "*99999999999999999999\r\n"} {
		refused(t, in, "", "invalid multibulk length", "")
	}
	for _, in := range []string{"*+1\r\n", "*01\r\n", "* 1\r\n"} {
		refused(t, in, "", "invalid multibulk length", oneWay)
	}
	for _, in := range []string{"*0\r\n*x\r\n", "*-1\r\n*x\r\n"} {
		refused(t, in, "", "invalid multibulk length", "*0 and *-1 are not commands: after them p.left is 0, exactly their line is gone "+
			"(consume takes it out, and line must not), and next looks at what comes behind (for p.left == 0, not if)")
	}
}

func expectedDollar(t *check.T) {
	refused(t, "*1\r\n:1\r\n", "", "expected '$', got ':'", "")
	refused(t, "*1\r\n\r\n", "", "expected '$', got ' '", "the line may be empty: p.buf[0] is there even then, and line[0] is not")
}

func badLengths(t *check.T) {
	for _, in := range []string{"*1\r\n$-5\r\n", "*1\r\n$-1\r\n", "*1\r\n$600000000\r\n", "*1\r\n$x\r\n", "*1\r\n$\r\n", "*1\r\n$1a\r\n"} {
		refused(t, in, "", "invalid bulk length", "")
	}
	for _, in := range []string{"*1\r\n$+4\r\nPING\r\n", "*1\r\n$04\r\nPING\r\n"} {
		refused(t, in, "", "invalid bulk length", oneWay)
	}
}

func nestedArrays(t *check.T) {
	refused(t, strings.Repeat("*1\r\n", 200_000), "*1\\r\\n 200,000 times", "expected '$', got '*'", "")
	refused(t, "*1\r\n*1\r\n$4\r\nPING\r\n", "", "expected '$', got '*'", "")
}

// unknownCommand02 is the first question whose answer shows the arguments. What a parser did wrong can be read in it.
func unknownCommand02(t *check.T) {
	c := t.Dial().Cmd("FOO", "bar")
	expectOr(c, unknown("FOO", "bar"), func(got string, closed bool) string {
		switch {
		case got == "" && !closed:
			return "the command is whole and next does not hand it out: p.left must go down by one with each string, and at 0 next must return p.args with a nil error"
		case strings.Contains(got, "Protocol error"):
			return "the parser lost its place in a correct command: behind the p.size bytes of a string, two more (\\r\\n) must be consumed"
		case strings.Contains(got, "'$"):
			return "a length line was taken for an argument: set p.size back to -1 after each string, for a $ line comes next"
		}
		return ""
	})
	expectOr(c.Cmd("QUUX", "a", "bcdef"), unknown("QUUX", "a", "bcdef"), func(got string, closed bool) string {
		switch {
		case got == "" && !closed:
			return "the first command was answered and the second was not: something still stands in p.buf between the two"
		case strings.Contains(got, "'FOO'"):
			return "the arguments of the command before are still there: next must empty p.args when it hands them out"
		case closed:
			return "a command error is answered, and the conversation goes on: answer must not return after it"
		}
		return ""
	})
	refused(t, "*2\r\n$4\r\nECHO\r\n+hey\r\n", "", "expected '$', got '+'", "the second element must begin with $, like the first")
}

// unknown is Redis's answer to a command that it does not know.
func unknown(name string, args ...string) string {
	list := ""
	for _, a := range args {
		list += "'" + a + "' "
	}
	return check.Err("ERR unknown command '" + name + "', with args beginning with: " + list)
}

func pingArray(t *check.T) {
	expectOr(t.Dial().Cmd("PING"), "+PONG\r\n", func(got string, _ bool) string {
		if strings.TrimRight(got, "\r\n") == "+PONG" {
			return "a simple string ends with \\r\\n: the client waits for both bytes"
		}
		return ""
	}).Ask("$2\r\nhi\r\n", "PING", "hi")
}

func echoArray(t *check.T) { t.Dial().Ask("$3\r\nhey\r\n", "ECHO", "hey") }

func anyCase02(t *check.T) { t.Dial().Ask("+PONG\r\n", "pInG").Ask(check.Bulk("Hey"), "echo", "Hey") }

func commandErrors(t *check.T) {
	c := t.Dial()
	for _, words := range [][]string{{"ECHO"}, {"ECHO", "a", "b"}, {"PING", "a", "b"}} {
		c.Ask("-ERR wrong number of arguments for '"+strings.ToLower(words[0])+"' command\r\n", words...)
	}
	c.Hint("after a command error the conversation goes on: answer must not return after it").Ask("+PONG\r\n", "PING")
}

func commandDocs02(t *check.T) {
	c := t.Dial()
	for _, words := range [][]string{{"COMMAND"}, {"COMMAND", "DOCS"}} {
		v := c.Do(words...)
		t.Require(v.Kind == '*' && !v.Null && (len(v.Elems) == 0 || check.Text(v.Elems[0]) != "COMMAND"), "an array of what the server knows, or an empty one",
			"%s", check.Text(v))
	}
	c.Ask("+PONG\r\n", "PING")
}

func emptyArgument(t *check.T) {
	expectOr(t.Dial().Cmd("ECHO", ""), "$0\r\n\r\n", func(got string, _ bool) string {
		switch {
		case strings.HasPrefix(got, "$-1"):
			return "$0 was mistaken for $-1: the empty string is a value, and null is none"
		case strings.Contains(got, "invalid bulk length"):
			return "0 is a length like any other: only what is below it is refused"
		}
		return ""
	}).Ask("+PONG\r\n", "PING")
}

func binaryArgument(t *check.T) {
	c := t.Dial()
	for _, s := range []string{"a\r\nb", "\r\n", "$3\r\nfoo\r\n", "\x00\xff\xfe", "*1\r\n"} {
		c.Ask(check.Bulk(s), "ECHO", s)
	}
	c.Hint("Redis skips the two bytes behind a string without a look at them, and so must you").
		Send("*1\r\n$4\r\nPINGxx").Expect("+PONG\r\n").Ask("+PONG\r\n", "PING")
}

func ignoredInput(t *check.T) {
	t.Dial().Send("*0\r\n*-1\r\n\r\n\r\n*-10\r\n*1\r\n$4\r\nPING\r\n").Expect("+PONG\r\n").Silent(30 * time.Millisecond)
}

func pipeline(t *check.T) {
	c := t.Dial()
	expectOr(c.Send(command("ECHO", "a")+command("ECHO", "b")+command("PING")), check.Bulk("a")+check.Bulk("b")+"+PONG\r\n",
		func(got string, closed bool) string {
			if got != check.Bulk("a") || closed {
				return ""
			}
			c.In = nil
			c.Cmd("PING") // is what comes now the answer to this, or to what waited?
			switch v, err := c.TryReply(); {
			case err == nil && check.Text(v) == "b":
				return "answer stopped after the first command: it must loop until next says errIncomplete"
			case err == nil:
				return "the commands behind the first were thrown away: keep the parser and its buffer for the connection's life " +
					"(a new bufio.Reader for each command makes the same mistake: it takes what it has read ahead with it)"
			}
			return ""
		})
	var in, want strings.Builder
	for i := range 500 {
		in.WriteString(command("ECHO", strconv.Itoa(i)))
		want.WriteString(check.Bulk(strconv.Itoa(i)))
	}
	c.Exchange(in.String()+command("PING"), want.String()+"+PONG\r\n")
}

// command is a command as a client sends it.
func command(args ...string) string {
	out := fmt.Sprintf("*%d\r\n", len(args))
	for _, a := range args {
		out += check.Bulk(a)
	}
	return out
}

func longLengths(t *check.T) {
	refused(t, "*"+strings.Repeat("1", 70_000), "*, then 70,000 times 1", "too big mbulk count string", "")
	refused(t, "*1\r\n$"+strings.Repeat("1", 70_000), "*1\\r\\n$, then 70,000 times 1", "too big bulk count string", "")
	t.Dial().Ask("+PONG\r\n", "PING")
}

const splitInput = "*2\r\n$4\r\nECHO\r\n$6\r\n12\r\n56\r\n*1\r\n$4\r\nping\r\n*2\r\n$4\r\necho\r\n$0\r\n\r\n"
const splitOutput = "$6\r\n12\r\n56\r\n+PONG\r\n$0\r\n\r\n"

func everySplit(t *check.T) {
	c, read := t.Dial(), t.Pacer()
	for i := 1; i < len(splitInput); i++ {
		c.Send(splitInput[:i])
		read()
		c.Send(splitInput[i:]).Expect(splitOutput)
	}
}

func slowCommands(t *check.T) {
	t.Dial().SendSlowly(splitInput + "PING\r\nECHO hey\n" + splitInput).Expect(splitOutput + "+PONG\r\n" + check.Bulk("hey") + splitOutput)
}

func claimedLength(t *check.T) {
	s := t.Start(process.Options{})
	t.DialTo(s).Ask("+PONG\r\n", "PING")
	before := addressSpace(s)
	for range 6 {
		t.DialTo(s).Send("*2\r\n$4\r\nECHO\r\n$536870912\r\n" + "only a few bytes of it")
		t.DialTo(s).Send("*2147483647\r\n$4\r\nECHO\r\n")
	}
	t.Sleep(100 * time.Millisecond)
	t.DialTo(s).Ask("+PONG\r\n", "PING")
	after := addressSpace(s)
	const allowed = 1 << 30
	t.Require(after-before < allowed, "twelve clients that claim much and send little cost little",
		"the server's address space grew by %d MB", (after-before)>>20)
}

// addressSpace returns the bytes of address space of the server's process, or 0 where the system
// does not tell (elsewhere than Linux).
func addressSpace(s *process.Server) int64 { return statm(s, 0) }

// ResidentBytes is addressSpace for the memory that is really in use.
func ResidentBytes(s *process.Server) int64 { return statm(s, 1) }

func statm(s *process.Server, field int) int64 {
	if runtime.GOOS != "linux" || s.Cmd == nil {
		return 0
	}
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", s.Cmd.Process.Pid))
	if err != nil {
		return 0
	}
	pages, _ := strconv.ParseInt(strings.Fields(string(b))[field], 10, 64)
	return pages * int64(os.Getpagesize())
}

func halfClose(t *check.T) {
	t.Dial().Send(command("PING") + command("ECHO", "end")).CloseWrite().Expect("+PONG\r\n$3\r\nend\r\n").ExpectClose()
	t.Dial().Send(command("PING") + "*2\r\n$4\r\nEC").CloseWrite().Expect("+PONG\r\n").
		Hint("the end of the stream cut off the second command: it was never given, so close without an answer").ExpectClose()
}

func stalledReader(t *check.T) {
	stalled := t.Dial().SmallWindow()
	stalled.Net.SetWriteDeadline(time.Now().Add(300 * time.Millisecond))
	chunk := "*2\r\n$4\r\nECHO\r\n" + check.Bulk(strings.Repeat("x", 16<<10))
	for range 400 {
		if _, err := stalled.Net.Write([]byte(chunk)); err != nil {
			break
		}
	}
	t.Dial().Ask("+PONG\r\n", "PING")
}

func fiftyClients(t *check.T) {
	t.Parallel(50, func(i int) {
		c := t.Dial()
		for j := range 20 {
			s := fmt.Sprintf("client %d command %d %s", i, j, strings.Repeat("y", i*11))
			c.Ask(check.Bulk(s), "ECHO", s)
		}
	})
}

func pingInline(t *check.T) {
	t.Dial().Send("PING\r\n").Expect("+PONG\r\n").Send("  ping   hi  \r\n").
		Hint("words may have any number of spaces between them, in front and behind").Expect("$2\r\nhi\r\n").Send("PING\n").
		Hint("nc sends \\n without \\r: an inline command may end with either").Expect("+PONG\r\n")
}

// A quoted word, what it means, and what to say if something else comes.
var quotedWords = []struct{ in, want, hint string }{
	{`"a b"`, "a b", "what stands in quotes is one word, spaces too: quoted finds its end"},
	{`x"b c"`, "xb c", "a quote may open in the middle of a word, and what it holds belongs to the same word: append it to the word you have"},
	{`'it\'s'`, "it's", "single quotes know one escape, \\': quoted, which was given, reads it"},
	{`"\x41\n\"\\"`, "A\n\"\\", "double quotes know \\n \\r \\t \\a \\b \\\\ \\\" and \\xHH: quoted, which was given, reads them"},
}

func inlineQuotes(t *check.T) {
	c := t.Dial()
	for _, q := range quotedWords {
		c.Hint("%s", q.hint).Send("ECHO " + q.in + "\r\n").Expect(check.Bulk(q.want))
	}
	const empty = `"" is a word too, an empty one: a word counts once it has begun, whatever it holds`
	c.Hint(empty).Send(`ECHO ""` + "\r\n").Expect(check.Bulk("")).Send(`ECHO ''` + "\r\n").Expect(check.Bulk(""))
}

func unbalanced(t *check.T) {
	for _, in := range []string{`ECHO "abc`, `ECHO 'abc`, `ECHO "a"b`} {
		refused(t, in+"\r\n", "", "unbalanced quotes in request", "")
	}
}
