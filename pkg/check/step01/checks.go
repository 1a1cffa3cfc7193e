// Package step01 holds the checks of step 01 and of its exercises: TCP is a stream of bytes, and each client has a
// goroutine of its own.
package step01

import (
	"fmt"
	"math/rand"
	"runtime"
	"strings"
	"time"

	"byor/pkg/check"
	"byor/pkg/check/process"
)

const notEcho = "a RESP server answers commands and does not echo"

func init() {
	checks := []check.Check{
		{Name: "closes-after-eof", After: 2, What: "the server closes when the client has said all, and goes on running", Run: echoCloses,
			Hint: oneClientEndsAll},
		{Name: "ends-at-ctrl-c", After: 2, What: "Ctrl-C ends the program with exit code 0", Run: echoCtrlC, Own: true,
			Hint: "Ctrl-C closes the listener on purpose. When Accept says net.ErrClosed, all is well: return nil"},
		{Name: "echo-line", After: 3, What: "a line comes back as it was sent", Run: echoLine,
			Hint: "send back exactly the bytes that Read has put into the buffer, with their line end, once"},
		{Name: "second-client", After: 3, What: "a second client is served while the first is silent", Run: echoSecond,
			Hint: "one client blocks the accept loop: serve each in a goroutine of its own, go s.handle(conn)"},
		{Name: "client-leaves", After: 3, What: "the server outlives clients that leave, even rudely", Run: echoLeaves,
			Hint: oneClientEndsAll},
		{Name: "closes-after-error", After: 3, What: "a client that vanishes leaves no file descriptor behind", Run: echoVanishes, Own: true,
			Hint: "the server runs out of file descriptors: close the connection also when echoLines returns an error, as defer conn.Close() does"},
		{Name: "short-after-long", After: 3, What: "a short line after a long one brings no old bytes along", Run: echoShort,
			Hint: "what lies behind buf[:filled] is left over from earlier reads: it must not be sent"},
		{Name: "fifty-clients", After: 3, What: "fifty clients at once get their own lines back", Run: echoFifty,
			Hint: "one client alone is served, many together are not: each needs a goroutine and a buffer of its own, made in echoLines"},
		{Name: "too-many-files", After: 3, What: "the server outlives a moment without free file descriptors", Run: echoTooMany, Own: true,
			Hint: "the server has stopped accepting: an error of Accept may pass, so wait a moment and go on with the loop"},
		{Name: "line-in-pieces", After: 4, What: "a line that arrives in pieces is answered once it is whole", Run: echoPieces,
			Hint: oneRead},
		{Name: "lines-together", After: 4, What: "several lines in one segment are all answered", Run: echoTogether,
			Hint: "one Read may bring several lines and the start of another: answer up to the last line end, keep what is behind it"},
		{Name: "one-byte-writes", After: 4, What: "a line sent one byte at a time comes back whole", Run: echoSlowly,
			Hint: oneRead},
		{Name: "no-line-end", After: 4, What: "a last line without a line end is echoed, too", Run: echoTail,
			Hint: "the last line got lost. When the stream ends, what is left in the buffer has to be answered: look at Read's bytes first, at its error last"},
		{Name: "endless-line", After: 4, What: "a line without an end is passed on in pieces, and not remembered", Run: echoEndless, Slow: 3,
			Hint: "the bytes of a long line change on their way: whatever was answered must leave the buffer"},
		// It passes after piece 3, too. But so long a stream is cut everywhere, and a mistake of piece 4 is to be told as such.
		{Name: "stalled-reader", After: 4, What: "a client that does not read its answers has to wait, and nobody else", Run: echoStalled, Slow: 3,
			Hint: "a Write to one client may wait for ever: let it wait in that client's own goroutine, holding nothing that others need"},
		{Name: "binary-1mib", After: 4, What: "1 MiB of all byte values comes back unchanged", Run: echoBinary, Slow: 3,
			Hint: "bytes are not text: zero bytes, \\r and bytes above 0x7f have to pass as they are"},
	}
	for i := range checks {
		checks[i].Until, checks[i].NotRedis = 1, notEcho
		checks[i].Before = "there is no step before"
	}
	check.Register(1, 0, checks...)
}

// Causes that more than one check knows.
const (
	oneClientEndsAll = "the end of one client has ended the whole server (log.Fatal, os.Exit or a panic): end that connection and nothing else"
	oneRead          = "one Read is not one message: TCP may cut the stream after any byte, so hold back what has no line end yet"
	lostRest         = "the start of the line is lost. It has to stay in the buffer: filled = copy(buf, buf[ready:filled]) moves it to the front, " +
		"and the next Read writes behind it, into buf[filled:]"
	hangsUp = "the server hangs up before it has answered. Does handle call echoLines? Does somebody close in the accept loop? " +
		"There, go returns at once, and so Close does not wait for the client"
	staysOpen = "the connection stays open. Ask -trace: if it does not say `connected`, nobody accepts. If it does, nobody closes: defer conn.Close() belongs into " +
		"handle, since in the accept loop it would run when the loop ends, which is never. Or echoLines goes on after io.EOF, so that handle never returns"
)

// expects is Expect. If something else comes, sign says what it gives away; "" leaves the hint as it is.
func expects(c *check.Conn, want string, sign func(got string, closed bool) string) *check.Conn {
	defer func() {
		p := recover()
		if f, ok := p.(check.Failure); ok {
			if hint := sign(string(c.Got), strings.Contains(f.Got, "the server closed the connection")); hint != "" {
				f.Hint = hint
			}
			p = f
		}
		if p != nil {
			panic(p)
		}
	}()
	return c.Expect(want)
}

func echoCtrlC(t *check.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no process can press Ctrl-C for another on Windows")
	}
	s := t.Start(process.Options{})
	t.Hint(staysOpen)
	t.DialTo(s).CloseWrite().ExpectClose() // now it is sure that the loop is back in Accept
	s.Signal(process.SigInt)
	code, ended := s.Exit(t.Limit)
	t.Hint("Accept fails for ever once its listener is closed, so the loop never ends: return nil when the error is net.ErrClosed").
		Require(ended, "the program ends at Ctrl-C", "it was still running after %v%s", t.Limit, s.Said())
	t.Hint("Ctrl-C closes the listener on purpose: when Accept says net.ErrClosed, return nil, not the error").
		Require(code == 0, "exit code 0", "exit code %d%s", code, s.Said())
}

func echoCloses(t *check.T) {
	c := t.Dial().CloseWrite()
	t.Hint(staysOpen)
	c.ExpectClose()
	t.Hint(oneClientEndsAll)
	if t.Server().Cmd != nil {
		_, ended := t.Server().Exit(50 * time.Millisecond)
		t.Require(!ended, "the server goes on running", "this connection was closed, and all others with it")
	}
	t.Dial()
}

func echoLine(t *check.T) {
	const first, second = "hello\n", "hi\r\n"
	const notCut = "the answer is longer than the line: only what Read has put into the buffer may be sent, and the rest of it is zeros"
	sign := func(got string, closed bool) string {
		switch {
		case strings.HasPrefix(got, "\x00"):
			return "the answer begins with zeros: filled is too large. Only buf[ready:filled] is left over, so that is what moves to the front, " +
				"and filled becomes what copy returns for it"
		case strings.Contains(got, "\x00"):
			return notCut
		case len(got) > len(second) && strings.HasPrefix(got, first) && strings.HasSuffix(got, second):
			return "an old line comes again: what has been answered must leave the buffer"
		case got == "hello" || got == "hi\r":
			return "the line end belongs to the line and is missing: LastIndexByte returns where it is, and the line goes one byte further"
		case got == "hi\n":
			return "the \\r is lost. To an echo it is a byte like any other, but bufio.Scanner and ReadLine take it off the line"
		case got == "" && closed:
			return hangsUp
		case got == "":
			return "nothing comes back. Does handle call echoLines? Does filled grow by n before answerable is asked? " +
				"Or does echoLines wait for a full buffer (io.ReadFull, io.ReadAll)?"
		}
		return ""
	}
	c := t.Dial()
	t.Hint(hangsUp)
	c.Send(first)
	expects(c, first, sign)
	t.Hint(notCut)
	c.Silent(20 * time.Millisecond).Send(second)
	t.Hint("send back exactly the bytes that Read has put into the buffer, with their line end, once")
	expects(c, second, sign).Silent(30 * time.Millisecond)
}

func echoSecond(t *check.T) {
	first := t.Dial()
	t.Dial().Send("me too\n").Expect("me too\n")
	first.Send("now me\n").Expect("now me\n")
}

func echoLeaves(t *check.T) {
	stays := t.Dial().Send("before\n").Expect("before\n")
	t.Dial().Send("bye\n").Expect("bye\n").Close()
	t.Dial().Send("no line end").Close()
	rude := t.Dial().Send("reset\n").Expect("reset\n")
	rude.Reset()
	t.Sleep(50 * time.Millisecond)
	stays.Send("after\n").Expect("after\n")
	t.Dial().Send("new\n").Expect("new\n")
}

// echoVanishes has more clients vanish than the server has descriptors, one after the other.
func echoVanishes(t *check.T) {
	s := few(t)
	for range 2 * fewFiles {
		t.DialTo(s).Send("here\n").Expect("here\n").Reset()
	}
}

// fewFiles is how many file descriptors the server of few has.
const fewFiles = 32

// few starts a server that can hardly open anything.
func few(t *check.T) *process.Server {
	if runtime.GOOS == "windows" {
		t.Skip("needs ulimit")
	}
	limited := *t.Target()
	limited.Prefix = []string{"sh", "-c", fmt.Sprintf(`ulimit -n %d && exec "$@"`, fewFiles), "sh"}
	s, err := t.StartOf(&limited, process.Options{})
	if err != nil {
		t.Fail(fmt.Sprintf("the server starts with %d file descriptors", fewFiles), err.Error())
	}
	return s
}

func echoShort(t *check.T) {
	long := strings.Repeat("long ", 600) + "\n"
	t.Dial().Send(long).Expect(long).Send("x\n").Expect("x\n").Silent(50 * time.Millisecond)
}

func echoFifty(t *check.T) {
	sign := func(got string, closed bool) string {
		if closed || got == "" {
			return ""
		}
		return "clients read each other's lines: each needs a buffer of its own, made in echoLines and not shared"
	}
	t.Parallel(50, func(i int) {
		c := t.Dial()
		for j := range 20 {
			line := fmt.Sprintf("client %d line %d %s\n", i, j, strings.Repeat("x", i*7))
			expects(c.Send(line), line, sign)
		}
	})
}

// echoStalled sends to a server until that has to wait, since its answers are not read. The systems at
// both ends keep some megabytes meanwhile; a server that keeps more remembers without a bound.
func echoStalled(t *check.T) {
	const most = 96 << 20
	stalled := t.Dial().SmallWindow()
	chunk := []byte(strings.Repeat(strings.Repeat("x", 1023)+"\n", 64))
	sent := 0
	for sent < most {
		stalled.Net.SetWriteDeadline(t.Deadline(300 * time.Millisecond))
		n, err := stalled.Net.Write(chunk)
		if sent += n; err != nil {
			break
		}
	}
	t.Dial().Send("unharmed\n").Expect("unharmed\n")
	t.Hint("the server remembers every answer that the client does not read: let one goroutine read and write, so that it reads no more while it cannot write").
		Require(sent < most, "the server stops reading from a client that does not read", "it has taken %d MiB and goes on", sent>>20)
}

func echoTooMany(t *check.T) {
	s := few(t)
	var crowd []*check.Conn
	for range 2 * fewFiles { // of which the server can serve some; the next one's Accept fails
		c := t.DialTo(s).Send("is there room?\n")
		crowd = append(crowd, c)
		if c.Fill(t.Deadline(300*time.Millisecond)) != nil {
			break
		}
	}
	for _, c := range crowd {
		c.Close()
	}
	t.DialTo(s).Send("is there room now?\n").Expect("is there room now?\n")
	complaints := strings.Count(s.Output(), "\n")
	t.Hint("as long as there is no descriptor, Accept fails again at once, and the loop eats a processor: wait a moment before you go on").
		Require(complaints < 150, "a pause after each error of Accept", "the server has printed more than %d lines in this short time", complaints)
}

func echoPieces(t *check.T) {
	sign := func(got string, closed bool) string {
		if got != "" && !closed {
			return lostRest
		}
		return ""
	}
	expects(expects(t.Dial().Send("hel").Silent(50*time.Millisecond).Send("lo\nwor"), "hello\n", sign).
		Silent(50*time.Millisecond).Send("ld\n"), "world\n", sign)
}

func echoTogether(t *check.T) {
	const lines = "one\ntwo\nthree\n"
	expects(t.Dial().Send(lines+"fo"), lines, func(got string, closed bool) string {
		if got == "one\n" && !closed {
			return "only the first line was answered: look for the last line end in the buffer, not for the first"
		}
		return ""
	}).Silent(30 * time.Millisecond).Send("ur\n").Expect("four\n")
}

func echoSlowly(t *check.T) {
	t.Dial().SendSlowly("slow but whole").Silent(30 * time.Millisecond).Send("\n").Expect("slow but whole\n")
}

func echoTail(t *check.T) {
	c := t.Dial().Send("one\nno line end").Expect("one\n").Silent(30 * time.Millisecond).CloseWrite().Expect("no line end")
	t.Hint("the client has sent no line end, and gets its bytes back as they were: add nothing")
	c.ExpectClose()
}

func echoEndless(t *check.T) {
	const keeps = 32 << 10 // at most, of a line that has no end yet
	long := strings.Repeat("no line end ", 64<<10/12)
	c := t.Dial().Send(long[:12]).Silent(30 * time.Millisecond).Send(long[12:])
	passedOn := len(long) - keeps
	expects(c, long[:passedOn], func(got string, closed bool) string {
		switch {
		case closed:
			return "the server hangs up on a long line (bufio.Scanner does at 64 KB): a full buffer without a line end has to be answered as it is"
		case !strings.HasPrefix(long, got):
			return ""
		case c.TrySend("\n") && c.Fill(c.T.Deadline(c.T.Limit)) == nil:
			return "the server keeps the whole line in memory until its end, so one client can fill it: once 4 KB have come without a line end, pass them on"
		}
		return "the buffer is full and holds no line end: answer it as it is, or there is no room left and Read returns 0 bytes for ever"
	}).Send("\n").Expect(long[passedOn:] + "\n")
	t.Hint("a full buffer that holds a line end is not too long a line: answer up to the line end, and there is room again")
	t.Dial().Send("short\n" + strings.Repeat("x", 4096-len("short\n"))).Expect("short\n").Silent(50 * time.Millisecond)
}

func echoBinary(t *check.T) {
	b := make([]byte, 1<<20)
	rand.New(rand.NewSource(1)).Read(b)
	b[len(b)-1] = '\n'
	c := t.Dial()
	c.Exchange(string(b)+"and then", string(b))
	t.Hint(oneRead)
	c.Silent(30 * time.Millisecond).Send("\n").Expect("and then\n")
}
