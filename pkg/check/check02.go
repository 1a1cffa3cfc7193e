package check

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"byor/pkg/check/process"
)

// Step 02: RESP is length-prefixed, and a parser must be able to stop after any byte.

func init() {
	register(2, 0,
		Check{Name: "ping-array", What: "PING as an array of one bulk string", Run: pingArray,
			Hint: "nothing comes back until sections 1 to 3 and 5 are written; *1\\r\\n$4\\r\\nPING\\r\\n is an array of one string of four bytes; the answer is the simple string +PONG\\r\\n", Guide: "Build it"},
		Check{Name: "ping-inline", What: "PING typed as a line", Run: pingInline,
			Hint: "a command that does not open with * is an inline command: words in a line", Guide: "On the wire"},
		Check{Name: "echo-array", What: "ECHO answers its argument as a bulk string", Run: echoArray,
			Hint: "a bulk string carries its length: $3\\r\\nhey\\r\\n", Guide: "On the wire"},
		Check{Name: "any-case", What: "command names are not case-sensitive", Run: anyCase02,
			Hint: "compare command names without regard to case (strings.EqualFold, or upper-case them first)"},
		Check{Name: "command-errors", What: "a wrong command is answered with Redis's words, and the conversation goes on", Run: commandErrors,
			Hint: "a command that was understood as bytes is answered with an error, and the connection lives on", Guide: "On the wire"},
		Check{Name: "binary-argument", What: "an argument may hold any bytes, CRLF too", Run: binaryArgument,
			Hint: "splitting on CRLF breaks binary values: read the length, then exactly that many bytes"},
		Check{Name: "empty-argument", What: "an empty string is not a null", Run: emptyArgument,
			Hint: "$0 was mistaken for $-1: an empty bulk string is $0\\r\\n\\r\\n, with both line ends"},
		Check{Name: "pipeline", What: "many commands in one segment are all answered, in order", Run: pipeline, Net: true,
			Hint: "a new bufio.Reader for each command loses what the old one had read ahead: keep one reader for the connection's life"},
		Check{Name: "every-split", What: "the same input cut at every offset gives the same output", Run: everySplit, Net: true, Slow: 2,
			Hint: "a Read may end after any byte, even between \\r and \\n: parse only what is whole and keep the rest"},
		Check{Name: "one-byte-writes", What: "commands sent one byte at a time are answered", Run: slowCommands, Net: true,
			Hint: "a Read may end after any byte: parse only what is whole and keep the rest"},
		Check{Name: "ignored", What: "*0, *-1 and empty lines are passed over in silence", Run: ignoredInput,
			Hint: "an array without elements and an empty line are no command: no answer, and the connection lives on"},
		Check{Name: "inline-quotes", What: "inline arguments may be quoted, with escapes", Run: inlineQuotes,
			Hint: "\"…\" knows \\n \\r \\t \\a \\b \\\\ \\\" and \\xHH, '…' knows only \\'; a closing quote must be followed by a space or the end", Guide: "On the wire"},
		Check{Name: "unbalanced-quotes", What: "an inline command with an open quote is a protocol error", Run: unbalanced,
			Hint: "answer -ERR Protocol error: unbalanced quotes in request, then close"},
		Check{Name: "expected-dollar", What: "an element that is no bulk string is a protocol error", Run: expectedDollar,
			Hint: "answer -ERR Protocol error: expected '$', got '<byte>', then close: after that nobody knows where the next command begins"},
		Check{Name: "nested-arrays", What: "arrays in arrays are refused, however deep", Run: nestedArrays,
			Hint: "unbounded nesting: a command is a flat array of bulk strings; a parser that recurses into inner arrays can be sent a stack's worth of them"},
		Check{Name: "bad-lengths", What: "lengths that make no sense are protocol errors", Run: badLengths,
			Hint: "check each length before you believe it: digits only, from 0 to 512 MB for a string, at most 2147483647 for an array"},
		Check{Name: "long-line", What: "a line without end is refused after 64 KB", Run: longLine,
			Hint: "bound what one client can make you remember: -ERR Protocol error: too big inline request, then close"},
		Check{Name: "claimed-length", What: "memory follows the bytes received, not the lengths claimed", Run: claimedLength, Own: true,
			NotRedis: "a real redis-server reserves room for one claimed string",
			Hint:     "allocating the claimed length lets ten bytes cost you 512 MB: let the buffer grow with what really comes"},
		Check{Name: "half-close", What: "commands before the end of the stream are answered, then the server closes", Run: halfClose, Net: true,
			Hint: "io.EOF ends the reading, not the answering: flush what you have written before you close"},
		Check{Name: "stalled-reader", What: "a client that does not read its answers delays nobody else", Run: stalledReader, Net: true, Slow: 2,
			Hint: "a Write to one client may wait for ever: never hold a lock meanwhile that others need"},
		Check{Name: "fifty-clients", What: "fifty clients at once get their own answers", Run: fiftyClients, Net: true,
			Hint: "parser and writer hold a connection's state: each connection needs its own"},
	)
}

func pingArray(t *T) { t.Dial().Send("*1\r\n$4\r\nPING\r\n").Expect("+PONG\r\n") }

func pingInline(t *T) {
	t.Dial().Send("PING\r\n").Expect("+PONG\r\n").Send("PING\n").
		Hint("nc sends \\n without \\r: an inline command may end with either").Expect("+PONG\r\n")
}

func echoArray(t *T) {
	t.Dial().Send("*2\r\n$4\r\nECHO\r\n$3\r\nhey\r\n").Expect("$3\r\nhey\r\n").Ask("$2\r\nhi\r\n", "PING", "hi")
}

func anyCase02(t *T) { t.Dial().Ask("+PONG\r\n", "pInG").Ask(Bulk("Hey"), "echo", "Hey") }

func commandErrors(t *T) {
	c := t.Dial().Ask("-ERR unknown command 'FOO', with args beginning with: 'bar' \r\n", "FOO", "bar")
	c.Hint("PING takes one message at most and ECHO exactly one; the error names the command in lower case")
	for _, words := range [][]string{{"ECHO"}, {"ECHO", "a", "b"}, {"PING", "a", "b"}} {
		c.Ask("-ERR wrong number of arguments for '"+strings.ToLower(words[0])+"' command\r\n", words...)
	}
	c.Ask("+PONG\r\n", "PING")
}

func binaryArgument(t *T) {
	c := t.Dial()
	for _, s := range []string{"a\r\nb", "\r\n", "$3\r\nfoo\r\n", "\x00\xff\xfe", "*1\r\n"} {
		c.Ask(Bulk(s), "ECHO", s)
	}
}

func emptyArgument(t *T) {
	t.Dial().Ask("$0\r\n\r\n", "ECHO", "").Ask("+PONG\r\n", "PING")
}

func pipeline(t *T) {
	var in, want strings.Builder
	for i := range 500 {
		in.WriteString("*2\r\n$4\r\nECHO\r\n" + Bulk(strconv.Itoa(i)))
		want.WriteString(Bulk(strconv.Itoa(i)))
	}
	t.Dial().Exchange(in.String()+"PING\r\n", want.String()+"+PONG\r\n")
}

const splitInput = "*2\r\n$4\r\nECHO\r\n$6\r\n12\r\n56\r\nPING\r\n*1\r\n$4\r\nping\r\n*2\r\n$4\r\necho\r\n$0\r\n\r\n"
const splitOutput = "$6\r\n12\r\n56\r\n+PONG\r\n+PONG\r\n$0\r\n\r\n"

func everySplit(t *T) {
	c, read := t.Dial(), t.pacer()
	for i := 1; i < len(splitInput); i++ {
		c.Send(splitInput[:i])
		read()
		c.Send(splitInput[i:]).Expect(splitOutput)
	}
}

func slowCommands(t *T) { t.Dial().SendSlowly(splitInput).Expect(splitOutput) }

func ignoredInput(t *T) {
	t.Dial().Send("*0\r\n*-1\r\n\r\n\r\n*-10\r\nPING\r\n").Expect("+PONG\r\n").Silent(30 * time.Millisecond)
}

func inlineQuotes(t *T) {
	t.Dial().Send(`ECHO "a b"` + "\r\n").Expect(Bulk("a b")).
		Send(`ECHO 'it\'s'` + "\r\n").Expect(Bulk("it's")).
		Send(`  ECHO   "\x41\n\"\\"  ` + "\r\n").Expect(Bulk("A\n\"\\")).
		Send(`ECHO ""` + "\r\n").Expect(Bulk(""))
}

func unbalanced(t *T) {
	for _, in := range []string{`ECHO "abc`, `ECHO 'abc`, `ECHO "a"b`} {
		c := t.Dial().Send(in + "\r\n").Expect("-ERR Protocol error: unbalanced quotes in request\r\n")
		c.Hint("after a protocol error the server closes: nobody knows where the next command begins").ExpectClose()
	}
}

func expectedDollar(t *T) {
	t.Dial().Send("*1\r\n:1\r\n").Expect("-ERR Protocol error: expected '$', got ':'\r\n").ExpectClose()
	t.Dial().Send("*2\r\n$4\r\nECHO\r\n+hey\r\n").Expect("-ERR Protocol error: expected '$', got '+'\r\n").ExpectClose()
}

func nestedArrays(t *T) {
	c := t.Dial()
	c.TrySend(strings.Repeat("*1\r\n", 200_000))
	c.sent = []byte("*1\\r\\n 200,000 times")
	c.Expect("-ERR Protocol error: expected '$', got '*'\r\n")
	t.Dial().Ask("+PONG\r\n", "PING")
}

func badLengths(t *T) {
	for _, in := range []string{"*1\r\n$-5\r\n", "*1\r\n$-1\r\n", "*1\r\n$600000000\r\n", "*1\r\n$x\r\n", "*1\r\n$\r\n", "*1\r\n$1a\r\n"} {
		t.Dial().Send(in).Expect("-ERR Protocol error: invalid bulk length\r\n").ExpectClose()
	}
	for _, in := range []string{"*2147483648\r\n", "*x\r\n", "*1x\r\n"} {
		t.Dial().Send(in).Expect("-ERR Protocol error: invalid multibulk length\r\n").ExpectClose()
	}
}

func longLine(t *T) {
	c := t.Dial()
	c.TrySend(strings.Repeat("x", 70_000))
	c.sent = []byte("70,000 bytes without a line end")
	c.Expect("-ERR Protocol error: too big inline request\r\n")
}

func claimedLength(t *T) {
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

// residentBytes is addressSpace for the memory that is really in use.
func residentBytes(s *process.Server) int64 { return statm(s, 1) }

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

func halfClose(t *T) {
	t.Dial().Send("PING\r\n*2\r\n$4\r\nECHO\r\n$3\r\nend\r\n").CloseWrite().Expect("+PONG\r\n$3\r\nend\r\n").ExpectClose()
	t.Dial().Send("PING\r\n*2\r\n$4\r\nEC").CloseWrite().Expect("+PONG\r\n").
		Hint("a command cut off by the end of the stream is not an error worth an answer: close").ExpectClose()
}

func stalledReader(t *T) {
	stalled := t.Dial().SmallWindow()
	stalled.c.SetWriteDeadline(time.Now().Add(300 * time.Millisecond))
	chunk := "*2\r\n$4\r\nECHO\r\n" + Bulk(strings.Repeat("x", 16<<10))
	for range 400 {
		if _, err := stalled.c.Write([]byte(chunk)); err != nil {
			break
		}
	}
	t.Dial().Ask("+PONG\r\n", "PING")
}

func fiftyClients(t *T) {
	t.Parallel(50, func(i int) {
		c := t.Dial()
		for j := range 20 {
			s := fmt.Sprintf("client %d command %d %s", i, j, strings.Repeat("y", i*11))
			c.Ask(Bulk(s), "ECHO", s)
		}
	})
}
