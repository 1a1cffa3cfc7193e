package check

import (
	"fmt"
	"math/rand"
	"strings"
	"time"
)

// Step 01: TCP is a stream of bytes, and each client has a goroutine of its own.

const notEcho = "a RESP server answers commands and does not echo"

func init() {
	checks := []Check{
		{Name: "echo-line", What: "a line comes back as it was sent", Run: echoLine,
			Hint: "nothing comes back until sections 3 to 5 are written; then send back exactly the bytes that Read reported, buf[:n], up to and with the line end", Guide: "Build it"},
		{Name: "line-in-pieces", What: "a line that arrives in pieces is answered once it is whole", Run: echoPieces,
			Hint: "one Read is not one message: keep what came until there is a line end, then answer"},
		{Name: "lines-together", What: "several lines in one segment are all answered", Run: echoTogether,
			Hint: "one Read may bring several lines and the start of another: answer each, keep the rest"},
		{Name: "one-byte-writes", What: "a line sent one byte at a time comes back whole", Run: echoSlowly,
			Hint: "one Read is not one message: TCP may cut the stream after any byte"},
		{Name: "short-after-long", What: "a short line after a long one brings no old bytes along", Run: echoShort,
			Hint: "the buffer was not cut to [:n]: what lies behind it is left over from earlier reads"},
		{Name: "binary-1mib", What: "1 MiB of all byte values comes back unchanged", Run: echoBinary, Slow: 3,
			Hint: "bytes are not text: zero bytes, \\r and bytes above 0x7f must pass as they are, and Write must get all of them"},
		{Name: "endless-line", What: "a line longer than any buffer is passed on in pieces", Run: echoEndless, Slow: 3,
			Hint: "a buffer that is full without a line end must be answered as it is, or there is no room left for Read", Guide: "Build it"},
		{Name: "second-client", What: "a second client is served while the first is silent", Run: echoSecond,
			Hint: "the accept loop is blocked by one client: serve each connection in its own goroutine (go handle(conn))"},
		{Name: "fifty-clients", What: "fifty clients at once get their own lines back", Run: echoFifty,
			Hint: "each connection needs its own buffer and its own goroutine"},
		{Name: "client-leaves", What: "the server outlives clients that leave, even rudely", Run: echoLeaves,
			Hint: "the end of one client's stream (io.EOF, or a reset) was treated as fatal: end that connection, not the server"},
		{Name: "no-line-end", What: "a last line without a line end is echoed, too", Run: echoTail,
			Hint: "at the end of the stream what is left in the buffer has still to be answered: Read's bytes first, then its error", Guide: "Build it"},
		{Name: "closes-after-eof", What: "when the client has said all, the server answers and closes", Run: echoCloses,
			Hint: "the connection is never closed: defer conn.Close() where you accepted it, or its descriptor leaks"},
		{Name: "stalled-reader", What: "a client that does not read its answers delays nobody else", Run: echoStalled,
			Hint: "a Write to one client may wait for ever: it must happen in that client's goroutine, without a lock that others need"},
	}
	for i := range checks {
		checks[i].Until, checks[i].NotRedis = 1, notEcho
		checks[i].Before = "there is no step before"
	}
	register(1, 0, checks...)
}

func echoLine(t *T) {
	t.Dial().Send("hello\n").Expect("hello\n").Send("and again\r\n").Expect("and again\r\n").
		Hint("something came that was not asked for: echo only what was received, once").Silent(30 * time.Millisecond)
}

// Hint sets the check's hint in the middle of a chain.
func (c *Conn) Hint(format string, args ...any) *Conn {
	c.t.Hint(format, args...)
	return c
}

func echoPieces(t *T) {
	t.Dial().Send("hel").Silent(50 * time.Millisecond).Send("lo\nwor").Expect("hello\n").
		Silent(50 * time.Millisecond).Send("ld\n").Expect("world\n")
}

func echoTogether(t *T) {
	t.Dial().Send("one\ntwo\nthree\nfo").Expect("one\ntwo\nthree\n").Send("ur\n").Expect("four\n")
}

func echoSlowly(t *T) {
	t.Dial().SendSlowly("slow but whole\n").Expect("slow but whole\n")
}

func echoShort(t *T) {
	long := strings.Repeat("long ", 600) + "\n"
	t.Dial().Send(long).Expect(long).Send("x\n").Expect("x\n").Silent(50 * time.Millisecond)
}

func echoBinary(t *T) {
	b := make([]byte, 1<<20)
	rand.New(rand.NewSource(1)).Read(b)
	b[len(b)-1] = '\n'
	t.Dial().Exchange(string(b), string(b))
}

func echoEndless(t *T) {
	long := strings.Repeat("no line end ", 10_000)
	t.Dial().Exchange(long+"\n", long+"\n")
}

func echoSecond(t *T) {
	t.Dial()
	first := t.Dial().Send("half a li")
	t.Dial().Send("me too\n").Expect("me too\n")
	first.Send("ne\n").Expect("half a line\n")
}

func echoFifty(t *T) {
	t.Parallel(50, func(i int) {
		c := t.Dial()
		for j := range 20 {
			line := fmt.Sprintf("client %d line %d %s\n", i, j, strings.Repeat("x", i*7))
			c.Send(line).Expect(line)
		}
	})
}

func echoLeaves(t *T) {
	stays := t.Dial().Send("before\n").Expect("before\n")
	t.Dial().Send("bye\n").Expect("bye\n").Close()
	t.Dial().Send("no line end").Close()
	t.Dial().Send("reset\n").Reset()
	t.Sleep(50 * time.Millisecond)
	stays.Send("after\n").Expect("after\n")
	t.Dial().Send("new\n").Expect("new\n")
}

func echoCloses(t *T) {
	c := t.Dial()
	c.Hint("the connection was closed before the last line was answered").Send("last words\n").CloseWrite().Expect("last words\n")
	c.Hint("the connection is never closed: defer conn.Close() where you accepted it, or its descriptor leaks").ExpectClose()
}

func echoTail(t *T) {
	t.Dial().Send("one\nno line end").CloseWrite().Expect("one\nno line end")
}

func echoStalled(t *T) {
	stalled := t.Dial().SmallWindow()
	chunk := strings.Repeat(strings.Repeat("x", 1023)+"\n", 64)
	stalled.c.SetWriteDeadline(time.Now().Add(300 * time.Millisecond))
	for range 200 { // until both directions are full
		if _, err := stalled.c.Write([]byte(chunk)); err != nil {
			break
		}
	}
	t.Dial().Send("unharmed\n").Expect("unharmed\n")
}
