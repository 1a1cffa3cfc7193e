package step01

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"regexp"
	"strings"
	"time"

	"byor/pkg/check"
	"byor/pkg/check/process"
	"byor/pkg/check/trace"
)

// The exercises of step 01.

func init() {
	ex := func(k int, checks ...check.Check) {
		for i := range checks {
			checks[i].NotRedis = notEcho
		}
		check.Register(1, k, checks...)
	}
	ex(1, check.Check{Name: "chunks", What: "CHUNKS answers the sizes of the reads so far", Run: exChunks,
		Hint: "append each n to a slice that lives as long as the connection, and keep the last hundred"})
	ex(2, check.Check{Name: "quit", What: "QUIT answers BYE and ends the connection, after the lines before it", Run: exQuit,
		Hint: "find the first line that is exactly QUIT, answer what stands before it, then BYE, then return"})
	ex(3, check.Check{Name: "max-clients", What: "one client too many is told so and closed, until a place is free", Run: exMaxClients, Own: true,
		Hint: "count up where you accept, and down where the client's goroutine ends (defer)"})
	ex(4, check.Check{Name: "idle-timeout", What: "a silent connection is closed, one that says something is kept", Run: exIdle, Own: true,
		Hint: "a deadline is an instant: set it anew before each Read"})
	ex(5, check.Check{Name: "client", What: "-connect sends stdin, prints the answers, half-closes at the end", Run: exClient, Own: true, Slow: 3,
		Hint: "two directions, two goroutines; at the end of stdin CloseWrite, not Close; exit when the server has closed"})
	ex(6, check.Check{Name: "bench", What: "-bench makes N round trips and prints one line", Run: exBench, Own: true, Slow: 2,
		Hint: "the line is: N round trips in S s, R a second; the last batch of a pipeline may be smaller"},
		check.Check{Name: "bench-pipeline", What: "-pipeline P sends P lines before it waits for P answers", Run: exPipeline, Own: true,
			Hint: "send P lines in one Write, then read P answers, and only then send the next P; the last batch may be smaller"})
}

func exChunks(t *check.T) {
	c := t.Dial()
	pause := func() { time.Sleep(60 * time.Millisecond) }
	c.Send("ab")
	pause()
	c.Send("c\n").Expect("abc\n").Send("CHUNKS\n").Expect("CHUNKS 2 2 7\n").Send("CHUNKSX\n").Expect("CHUNKSX\n").
		Send("CHUNKS\r\n").Hint("the line may end with \\r\\n").Expect("CHUNKS 2 2 7 8 8\n")
	for range 120 {
		c.Send("x\n").Expect("x\n")
	}
	want := strings.TrimSuffix(strings.Repeat("2 ", 99), " ")
	c.Send("CHUNKS\n").Hint("only the last hundred reads are kept").Expect("CHUNKS " + want + " 7\n")
}

func exQuit(t *check.T) {
	t.Dial().Send("a\nQUITE\nQUIT\nb\n").Expect("a\nQUITE\nBYE\n").ExpectClose()
	t.Dial().Send("QUI").Silent(40 * time.Millisecond).Send("T\r\n").Expect("BYE\n").ExpectClose()
}

func exMaxClients(t *check.T) {
	s := t.Start(process.Options{Extra: []string{"-maxclients", "3"}})
	time.Sleep(50 * time.Millisecond) // to see whether it listens, the checker was a client, too
	var in []*check.Conn
	for range 3 {
		in = append(in, t.DialTo(s).Send("in\n").Expect("in\n"))
	}
	for range 2 {
		t.DialTo(s).Expect("-ERR max number of clients reached\r\n").ExpectClose()
	}
	in[1].Send("still\n").Expect("still\n").Close()
	t.Until(t.Limit, "a place is free once a client has left", func() (bool, string) {
		c := t.DialTo(s)
		defer c.Close()
		if !c.TrySend("now\n") {
			return false, "closed"
		}
		by := time.Now().Add(t.Limit)
		for len(c.In) < 4 && c.Fill(by) == nil {
		}
		return string(c.In) == "now\n", trace.Visible(c.In, 0)
	})
}

func exIdle(t *check.T) {
	s := t.Start(process.Options{Extra: []string{"-timeout", "700ms"}})
	silent, lively := t.DialTo(s), t.DialTo(s)
	begin := time.Now()
	for range 12 {
		lively.Send("x")
		time.Sleep(100 * time.Millisecond)
	}
	lively.Send("\n").Hint("every byte that comes starts the time anew").Expect(strings.Repeat("x", 12) + "\n")
	silent.Hint("set a read deadline").ExpectClose()
	lively.ExpectClose()
	t.Require(time.Since(begin) > 600*time.Millisecond, "closed after 700 ms", "after %v", time.Since(begin))
	t.Start(process.Options{})
	forever := t.Dial()
	time.Sleep(800 * time.Millisecond)
	forever.Hint("without the flag nobody is closed").Send("here\n").Expect("here\n")
}

func exClient(t *check.T) {
	s := t.Server()
	big := strings.Repeat(strings.Repeat("0123456789", 20)+"\n", 10<<20/201)
	for _, in := range []string{"one\ntwo\n", "no line end", "", big} {
		f := t.RunProgram(5*t.Limit, in, "-connect", s.Addr)
		t.Require(f.Stdout == in, fmt.Sprintf("%d bytes on stdout, as they were sent", len(in)), "%d bytes: %s; stderr %s",
			len(f.Stdout), trace.Visible([]byte(f.Stdout), 100), f.Stderr)
		t.Require(f.Code == 0, "exit code 0", "%d", f.Code)
	}
	f := t.RunProgram(t.Limit, "x\n", "-connect", fmt.Sprintf("127.0.0.1:%d", t.Port())) // where nobody listens
	t.Hint("where there is no server, say so on stderr and exit with 1").
		Require(f.Code == 1 && f.Stdout == "" && f.Stderr != "", "exit code 1 and a message on stderr", "%d, stdout %q, stderr %q", f.Code, f.Stdout, f.Stderr)
}

var benchLine = regexp.MustCompile(`^(\d+) round trips in \d+\.\d+ s, (\d+) a second\n$`)

func exBench(t *check.T) {
	s := t.Server()
	for _, args := range [][]string{{"-n", "500"}, {"-n", "1000", "-pipeline", "64"}, {"-n", "7", "-pipeline", "5"}} {
		f := t.RunProgram(5*t.Limit, "", append([]string{"-bench", s.Addr}, args...)...)
		m := benchLine.FindStringSubmatch(f.Stdout)
		t.Require(f.Code == 0 && m != nil && m[1] == args[1], args[1]+" round trips in … s, … a second", "exit %d: %q %s", f.Code, f.Stdout, f.Stderr)
	}
}

// exPipeline plays a server that answers only when a batch is complete, and listens for more meanwhile.
func exPipeline(t *check.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Skip(err.Error())
	}
	defer ln.Close()
	seen := make(chan string, 1)
	go func() {
		c, err := ln.Accept()
		if err != nil {
			seen <- check.PlainErr(err)
			return
		}
		defer c.Close()
		seen <- batches(c, t.Limit, 5, 5, 2)
	}()
	f := t.RunProgram(4*t.Limit, "", "-bench", ln.Addr().String(), "-n", "12", "-pipeline", "5")
	ln.Close()
	said := <-seen
	t.Require(said == "", "with -n 12 -pipeline 5: 5 lines, 5 and 2, each batch after the answers to the one before", "%s", said)
	t.Require(f.Code == 0 && benchLine.MatchString(f.Stdout), "12 round trips in … s, … a second", "exit %d: %q %s", f.Code, f.Stdout, f.Stderr)
}

// batches reads PINGs from c and answers them when a whole batch is there. It returns what was wrong, or "".
func batches(c net.Conn, limit time.Duration, sizes ...int) string {
	r := bufio.NewReader(c)
	for i, size := range sizes {
		c.SetReadDeadline(time.Now().Add(limit))
		for n := range size {
			if line, err := r.ReadString('\n'); err != nil || line != "PING\r\n" {
				return fmt.Sprintf("batch %d has %d lines, then %s (%v)", i+1, n, trace.Visible([]byte(line), 40), err)
			}
		}
		c.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
		if _, err := r.Peek(1); err == nil {
			return fmt.Sprintf("batch %d is longer than %d lines", i+1, size)
		}
		if _, err := io.WriteString(c, strings.Repeat("+PONG\r\n", size)); err != nil {
			return check.PlainErr(err)
		}
	}
	return ""
}
