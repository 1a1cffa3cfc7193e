package step07

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"

	"byor/pkg/check"
	"byor/pkg/check/process"
	"byor/pkg/check/step02"
	"byor/pkg/check/step05"
	"byor/pkg/check/trace"
	"byor/pkg/resp"
)

// Step 07: nobody waits for a slow subscriber, and nothing is left of one that has gone.

func init() {
	check.Register(7, 0,
		check.Check{Name: "stalled-subscriber", After: 6, What: "a subscriber that reads nothing delays nobody", Run: stalledSubscriber, Slow: 3, Guide: "The idea",
			Hint: "PUBLISH answers a number, whatever becomes of the subscribers"},
		check.Check{Name: "bounded-queue", After: 6, What: "the server ends a subscriber that is too far behind", Run: boundedQueue, Own: true, Slow: 6, Guide: "The idea",
			Hint: "unbounded queue: the server keeps every message for a subscriber that reads nothing. Bound the queue in messages and in bytes (piece 6)"},
		check.Check{Name: "burst", After: 7, What: "a subscriber may be behind for a while", Run: burst, Guide: "Build it",
			Hint: hintNoRoom},
		check.Check{Name: "keeps-up", After: 7, What: "a subscriber that reads everything stays, however much that is", Run: keepsUp, Slow: 2, Guide: "Build it",
			Hint: "a subscriber that reads gets every message, also beside one that does not read"},

		check.Check{Name: "confirmed-first", After: 8, What: "no message overtakes the confirmation of SUBSCRIBE", Run: confirmedFirst, Slow: 2, Guide: "Build it",
			Hint: "a message came before the answer to SUBSCRIBE. Put the replies of a subscriber into its queue before the lock is released (piece 8)"},
		check.Check{Name: "whole-frames", After: 8, What: "replies and messages of a connection never mix", Run: wholeFrames, Slow: 2, Guide: "The idea",
			Hint: "two goroutines interleaving on a socket: from the first SUBSCRIBE on, replies go into the queue like messages (piece 8)"},
		check.Check{Name: "log-before-reply", After: 8, What: "an OK that comes through a queue is in the log, too", Run: logBeforeReply, Own: true, Guide: "Build it",
			Hint: "the writer of the queue has to wait for the log before each write, because it may be about to write the OK of a SET: call Commit (piece 7)"},

		check.Check{Name: "quit", After: 9, What: "QUIT is answered after everything that is in the queue", Run: quitSubscriber, Guide: "Build it",
			Hint: "QUIT answers +OK and closes. What is still in the queue is written before the connection is closed: leave waits for the writer (piece 9)"},
		check.Check{Name: "leaves", After: 9, What: "a subscriber that has gone is counted no more", Run: subscriberLeaves, Guide: "Build it",
			Hint: "leak on disconnect: leave takes the connection out of every channel and pattern, however it ended (piece 9)"},
		check.Check{Name: "come-and-go", After: 9, What: "subscribers that come and go while others publish break nothing", Run: comeAndGo, Slow: 3, Guide: "Build it",
			Hint: "while subscribers come and go, every client gets its answer (piece 9)"},
		check.Check{Name: "stalled-quit", After: 9, What: "a subscriber that says QUIT and reads nothing is not waited for", Run: stalledQuit, Own: true, Slow: 2, Guide: "Build it",
			NotRedis: "it keeps such a connection until its buffer is too large", Until: 9, // the capstone does as Redis does
			Hint: "the connection stays open, because the writer waits for a peer that reads nothing: set a deadline for the last writes before you wait for the writer (piece 9)"},
	)
}

func stalledSubscriber(t *check.T) {
	ch, p := t.Key("ch"), t.Dial()
	stalled := listen(t, ch) // and reads no more
	const burst = 100
	one := func(n int) string {
		return string(resp.AppendCommandStrings(nil, "PUBLISH", ch, strings.Repeat("x", n)))
	}
	published := func() {
		v := p.Reply()
		t.Require(v.Kind == resp.Integer, "a number: 1, or 0 once the subscriber has been ended", "%s", check.Text(v))
	}
	publish := func() {
		for range 600 { // its queue may be full by bytes
			p.Send(one(16 << 10))
			published()
		}
		for range 160 { // or by messages
			p.Send(strings.Repeat(one(1000), burst))
			for range burst {
				published()
			}
		}
		t.Dial().Ask("+PONG\r\n", "PING")
	}
	check.Explained(func() { seen(t, t.Server(), publish, "", "") }, func(got string) string {
		if check.Silent(got) {
			if !errors.Is(stalled.Drain(), os.ErrDeadlineExceeded) {
				return "the subscriber was cut off, and since then nobody gets an answer: leave waits for c.drained while it holds the lock. " +
					"Release the lock first (piece 9), and let writeQueue close c.drained in any case (piece 7)"
			}
			return "PUBLISH waits for a subscriber that does not read, and it holds the lock, so everybody waits. " +
				"In enqueue write to no socket, and send into the queue with select and default (piece 6)"
		}
		return ""
	})
}

func boundedQueue(t *check.T) {
	const most = 250 // MB
	s := t.Start(process.Options{})
	p, stalled := t.DialTo(s), listenAt(t, s, "ch") // and reads no more
	before := step02.ResidentBytes(s)
	one := string(resp.AppendCommandStrings(nil, "PUBLISH", "ch", strings.Repeat("x", 64<<10)))
	found := true
	for i := 0; i < most && found; i++ { // 1 MB each
		p.Send(strings.Repeat(one, 16))
		for range 16 {
			found = check.Text(p.Reply()) != "0"
		}
		grown := step02.ResidentBytes(s) - before
		t.Require(grown < 200<<20, "the server ends a subscriber that is 200 MB behind, or keeps less than that",
			"it holds %d MB more after %d MB", grown>>20, i+1)
	}
	t.Hint("messages that do not fit are thrown away: the subscriber has a hole in what it heard, and does not know. Close its connection instead (piece 6)")
	for {
		_, err := stalled.TryReply() // what was on its way
		if errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fail("the server closes the connection of a subscriber that missed something", "the connection is open, and nothing more comes")
		}
		if err != nil {
			return
		}
	}
}

// burst lets a subscriber sleep for less than its queue holds.
func burst(t *check.T) {
	const n = 5000
	ch := t.Key("ch")
	s := listen(t, ch)
	var in, want []byte
	for i := range n {
		payload := strconv.Itoa(i) + strings.Repeat(".", 1000)
		in = resp.AppendCommandStrings(in, "PUBLISH", ch, payload)
		want = append(want, Message(ch, payload)...)
	}
	t.Dial().Exchange(string(in), strings.Repeat(":1\r\n", n))
	hears(s, string(want))
}

// keepsUp sends a subscriber more in all than may wait for it at once, beside one that reads nothing.
func keepsUp(t *check.T) {
	ch, p := t.Key("ch"), t.Dial()
	s := listen(t, ch)
	t.Dial().SmallWindow().Ask(Push("subscribe", ch, 1), "SUBSCRIBE", ch)
	payload := strings.Repeat("x", 64<<10)
	seen(t, t.Server(), func() {
		for range 640 { // 40 MB
			v := p.Do("PUBLISH", ch, payload)
			t.Require(v.Int >= 1, "PUBLISH counts the subscriber that reads", "%s", check.Text(v))
			s.Expect(Message(ch, payload))
		}
	}, hintUnheard, "the server ended a subscriber that has read everything: what has been written must be taken off the count of bytes, or that only grows (piece 7)")
}

func confirmedFirst(t *check.T) {
	ch := t.Key("ch")
	seen(t, t.Server(), func() {
		flood(t, t.Server(), ch, 3, 4, func(int) {
			for range 60 {
				s := t.Dial()
				v := check.Text(s.Do("SUBSCRIBE", ch))
				s.Close()
				t.Require(v == "[subscribe "+ch+" 1]", "[subscribe "+ch+" 1]", "%s", v)
			}
		})
	}, "", "")
}

// flood lets publishers publish on ch of s until each of n others has done what it does.
func flood(t *check.T, s *process.Server, ch string, publishers, n int, other func(i int)) {
	var busy atomic.Int64
	busy.Store(int64(n))
	t.Parallel(publishers+n, func(i int) {
		if i < n {
			defer busy.Add(-1)
			other(i)
			return
		}
		var in []byte
		for range 20 {
			in = resp.AppendCommandStrings(in, "PUBLISH", ch, "x")
		}
		for p := t.DialTo(s); busy.Load() > 0; {
			p.Send(string(in))
			for range 20 {
				v := p.Reply()
				t.Require(v.Kind == resp.Integer, "a number", "%s", check.Text(v))
			}
		}
	})
}

// wholeFrames asks a subscriber's connection for many replies, first alone and then while messages come in between.
func wholeFrames(t *check.T) {
	const publishers, each, asked = 4, 200, 300
	ch := t.Key("ch")
	payload := strings.Repeat("payload ", 50)
	s := listen(t, ch)
	var in []byte
	for i := range asked {
		in = resp.AppendCommandStrings(in, "PING", strconv.Itoa(i))
	}
	ask := func() (messages int) { // and reads until all answers have come
		s.Send(string(in))
		for pings := 0; pings < asked; {
			v := s.Reply()
			switch {
			case len(v.Elems) == 3 && check.Text(v.Elems[0]) == "message" && check.Text(v.Elems[2]) == payload:
				messages++
			case len(v.Elems) == 2 && check.Text(v.Elems[0]) == "pong" && check.Text(v.Elems[1]) == strconv.Itoa(pings):
				pings++
			default:
				t.Fail("messages, and pong "+strconv.Itoa(pings)+", each whole", trace.Visible([]byte(check.Text(v)), 200))
			}
		}
		return messages
	}
	mix := t.Hinted()
	t.Hint("a reply was overwritten before it was sent. The next reply uses the same buffer, so the queue needs a copy (piece 8)")
	for range 10 {
		ask()
	}
	t.Hint("%s", mix)
	t.Parallel(publishers+1, func(i int) {
		if i == publishers {
			for messages := 0; messages < publishers*each; messages += ask() {
			}
			return
		}
		p := t.Dial()
		for range each {
			p.Ask(":1\r\n", "PUBLISH", ch, payload)
		}
	})
}

// mustLog skips a check of a server that was started by a command and keeps no log.
func mustLog(t *check.T, s *process.Server) {
	if files, _ := os.ReadDir(s.Opt.Dir); t.Target().Kind == process.KindCmd && len(files) == 0 {
		t.Skip("the server keeps no log: see APPENDONLY, APPENDFSYNC and DIR in its environment")
	}
}

func logBeforeReply(t *check.T) {
	s := step05.Logged(t)
	listenAt(t, s, "ch").Ask(Push("unsubscribe", "ch", 0), "UNSUBSCRIBE").Ask("+OK\r\n", "SET", "k", "v")
	mustLog(t, s)
	step05.Restart(t, s).Ask(check.Bulk("v"), "GET", "k")
}

func quitSubscriber(t *check.T) {
	ch, p := t.Key("ch"), t.Dial()
	payload := strings.Repeat("x", 10_000)
	for range 20 {
		s := listen(t, ch)
		for range 10 {
			p.Ask(":1\r\n", "PUBLISH", ch, payload)
		}
		s.Cmd("QUIT").Expect(strings.Repeat(Message(ch, payload), 10) + "+OK\r\n").ExpectClose()
		t.Until(t.Limit, "PUBLISH to a channel whose only subscriber has said QUIT answers 0", func() (bool, string) {
			v := check.Text(p.Do("PUBLISH", ch, "x"))
			return v == "0", v
		})
	}
}

func subscriberLeaves(t *check.T) {
	ch, p := t.Key("ch"), t.Dial()
	for _, leave := range []func(*check.Conn){(*check.Conn).Close, (*check.Conn).Reset} {
		s := listen(t, ch).Ask(Push("psubscribe", ch+"*", 2), "PSUBSCRIBE", ch+"*")
		p.Ask(":2\r\n", "PUBLISH", ch, "x")
		leave(s)
		t.Until(t.Limit, "PUBLISH to a channel whose only subscriber has gone answers 0", func() (bool, string) {
			v := check.Text(p.Do("PUBLISH", ch, "x"))
			return v == "0", v
		})
	}
}

func comeAndGo(t *check.T) {
	const clients, each = 8, 200
	srv := t.Alone()
	t.DialTo(srv).Ask("+PONG\r\n", "PING")
	before := step02.ResidentBytes(srv)
	seen(t, srv, func() {
		flood(t, srv, "ch", 4, clients, func(i int) {
			for n := range each {
				s := t.DialTo(srv)
				v := s.Do("SUBSCRIBE", "ch")
				t.Require(!v.IsError(), "a subscription", "%s", check.Text(v))
				switch (i + n) % 3 {
				case 0:
					s.Reset()
				case 1:
					s.Cmd("UNSUBSCRIBE").Cmd("SUBSCRIBE", "ch").Close()
				default:
					s.Close()
				}
			}
		})
		t.DialTo(srv).Ask("+PONG\r\n", "PING")
	}, "", "")
	t.Hint("the server keeps something of every subscriber that has gone. The writer waits until leave closes the queue, and leave waits until the writer " +
		"closes c.drained, also after a write that failed (pieces 7 and 9)")
	grown := step02.ResidentBytes(srv) - before
	t.Require(grown < 25<<20, fmt.Sprintf("nothing is left of %d subscribers that came and went", clients*each), "the server holds %d MB more", grown>>20)
}

// openFiles returns how many descriptors the server's process has open, or 0 where the system does not tell.
func openFiles(s *process.Server) int {
	if runtime.GOOS != "linux" || s.Cmd == nil {
		return 0
	}
	fds, _ := os.ReadDir(fmt.Sprintf("/proc/%d/fd", s.Cmd.Process.Pid))
	return len(fds)
}

func stalledQuit(t *check.T) {
	s := t.Start(process.Options{})
	p := t.DialTo(s).Ask("+PONG\r\n", "PING")
	before := openFiles(s)
	if before == 0 {
		t.Skip("this system does not tell how many connections a server has open")
	}
	const n = 12
	var subs []*check.Conn
	for range n {
		subs = append(subs, t.DialTo(s).SmallWindow().Ask(Push("subscribe", "ch", 1), "SUBSCRIBE", "ch"))
	}
	payload := strings.Repeat("x", 64<<10)
	for range 100 { // 6 MB: more than the sockets hold, less than a queue does
		p.Ask(fmt.Sprintf(":%d\r\n", n), "PUBLISH", "ch", payload)
	}
	for _, c := range subs {
		c.Cmd("QUIT")
	}
	t.Until(2*t.Limit, fmt.Sprintf("the connections of %d subscribers that said QUIT and read nothing are closed", n), func() (bool, string) {
		check.Explained(func() { p.Ask("+PONG\r\n", "PING") }, func(got string) string {
			if check.Silent(got) {
				return "everybody waits for subscribers that said QUIT and read nothing: leave has to release the lock before it waits for the writer (piece 9)"
			}
			return ""
		})
		open := openFiles(s) - before
		return open <= 0, fmt.Sprintf("%d are open", open)
	})
}
