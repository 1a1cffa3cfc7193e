package check

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"byor/pkg/check/process"
	"byor/pkg/check/trace"
	"byor/pkg/resp"
)

// Step 07: one message to many, and nobody waits for the slow.

func init() {
	register(7, 0,
		Check{Name: "subscribe", What: "SUBSCRIBE answers each channel with a running count", Run: subscribe, Guide: "On the wire",
			Hint: "one array a channel: subscribe, the channel, how many subscriptions this connection now has. If nothing comes at all: is it put into the queue, and does the writer empty that?"},
		Check{Name: "publish-count", What: "PUBLISH answers how many received the message", Run: publishCount, Guide: "Build it",
			Hint: "count the subscribers the message was handed to; nobody is 0"},
		Check{Name: "deliver", What: "a subscriber gets each message, in order, with any bytes", Run: deliver, Guide: "Build it",
			Hint: "an array of three: message, the channel, the payload as it was published; every subscriber of the channel gets it, and nobody else; names differ by case, too"},
		Check{Name: "psubscribe", What: "a pattern gets what matches it", Run: psubscribe, Guide: "On the wire",
			Hint: "an array of four: pmessage, the pattern, the channel, the payload; * ? [a-z] and \\ mean what they mean in KEYS"},
		Check{Name: "channel-and-pattern", What: "a channel and a matching pattern deliver a message twice", Run: channelAndPattern,
			Hint: "each subscription delivers for itself, the channel before the patterns; PUBLISH counts both"},
		Check{Name: "unsubscribe", What: "UNSUBSCRIBE ends a subscription, or all", Run: unsubscribe, Guide: "Build it",
			Hint: "one array a channel with the count that is left, also for one that it has not subscribed to; without names, all of that kind, and if there are none one array with a null channel. At count 0 the connection is an ordinary one again"},
		Check{Name: "subscribed-mode", What: "a subscriber may only subscribe, PING, QUIT", Run: subscribedMode, Guide: "On the wire",
			Hint: "RESP2 cannot tell a reply from a message, so other commands are refused; PING answers an array [pong, \"\"]"},
		Check{Name: "no-history", What: "a message from before the subscription does not come", Run: noHistory,
			Hint: "expecting history: pub/sub keeps nothing; a message goes to who listens at that moment"},
		Check{Name: "leaves", What: "a subscriber that has gone is counted no more", Run: subscriberLeaves,
			Hint: "leak on disconnect: remove the connection from every channel and pattern when it ends, however it ends"},
		Check{Name: "come-and-go", What: "subscribers that come and go while others publish break nothing", Run: comeAndGo, Slow: 3,
			Hint: "send on a closed channel ends the process: only the sender may close, or tell the writer to stop by another way"},
		Check{Name: "whole-frames", What: "replies and messages of a connection never mix", Run: wholeFrames, Slow: 2,
			Hint: "two goroutines interleaving on a socket: replies and messages must pass through one writer a connection"},
		Check{Name: "log-before-reply", What: "an OK that comes through a queue is in the log, too", Run: logBeforeReply, Own: true,
			Hint: "the writer of the queue has to wait for the log (commit) before each write: what it writes may be the OK of a change"},
		Check{Name: "stalled-subscriber", What: "a subscriber that reads nothing delays nobody", Run: stalledSubscriber, Slow: 3,
			Hint: "writing to a subscriber under the hub's lock makes one stalled reader stop them all: hand the message to a queue and go on"},
		Check{Name: "keeps-up", What: "a subscriber that reads everything stays, however much that is", Run: keepsUp, Slow: 2,
			Hint: "who reads everything is disconnected all the same: what has been written must be taken off the count of bytes in the queue, or that only grows"},
		Check{Name: "bounded-queue", What: "what a stalled subscriber makes the server keep is bounded", Run: boundedQueue, Own: true, Slow: 6,
			Hint: "unbounded queue: a subscriber that reads nothing makes you keep every message for ever. Bound it, and end the connection when it is full"},
	)
}

// push is what a subscription sends: kind, channel, and a count or a payload.
func push(kind, channel string, n int) string {
	return "*3\r\n" + Bulk(kind) + Bulk(channel) + fmt.Sprintf(":%d\r\n", n)
}

func message(channel, payload string) string {
	return "*3\r\n" + Bulk("message") + Bulk(channel) + Bulk(payload)
}

func pmessage(pattern, channel, payload string) string {
	return "*4\r\n" + Bulk("pmessage") + Bulk(pattern) + Bulk(channel) + Bulk(payload)
}

// begin makes (or ends) the subscription that a check needs before it can ask its own question. Until
// that works, the check's hint would be about something that has not happened yet.
func begin(c *Conn, want string, args ...string) *Conn {
	hint := args[0] + " itself is not confirmed as it should be, so the rest cannot be looked at yet: see the checks subscribe, psubscribe and unsubscribe first"
	c.t.firstOfAll(hint, func() { c.Ask(want, args...) })
	return c
}

// heard makes sure that sub, the only subscriber of channel, gets what p publishes, for the same reason.
func heard(p, sub *Conn, channel string) {
	p.t.firstOfAll("a message does not even reach a single subscriber, so the rest cannot be looked at yet: see the check deliver first", func() {
		p.Ask(":1\r\n", "PUBLISH", channel, "first")
		sub.Expect(message(channel, "first"))
	})
}

// firstOfAll runs f with a hint of its own.
func (t *T) firstOfAll(hint string, f func()) {
	t.mu.Lock()
	oldHint, oldGuide := t.hint, t.guide
	t.mu.Unlock()
	t.Hint("%s", hint).Guide("Build it")
	f()
	t.Hint("%s", oldHint).Guide(oldGuide)
}

// listen returns a new connection that has subscribed to one channel.
func (t *T) listen(channel string) *Conn {
	return begin(t.Dial(), push("subscribe", channel, 1), "SUBSCRIBE", channel)
}

func subscribe(t *T) {
	a, b, c := t.Key("a"), t.Key("b"), t.Key("c")
	t.Dial().Ask(push("subscribe", a, 1)+push("subscribe", b, 2), "SUBSCRIBE", a, b).
		Ask(push("subscribe", a, 2), "SUBSCRIBE", a).Ask(push("psubscribe", c+"*", 3), "PSUBSCRIBE", c+"*")
}

func publishCount(t *T) {
	ch, p := t.Key("news"), t.Dial()
	p.Ask(":0\r\n", "PUBLISH", ch, "x")
	for n := 1; n <= 3; n++ {
		t.listen(ch)
		p.Ask(fmt.Sprintf(":%d\r\n", n), "PUBLISH", ch, "x")
	}
}

func deliver(t *T) {
	ch, other, p := t.Key("news"), t.Key("other"), t.Dial()
	s, second := t.listen(ch), t.listen(ch)
	p.Ask(":0\r\n", "PUBLISH", other, "not for you").Ask(":0\r\n", "PUBLISH", strings.ToUpper(ch), "nor is this")
	for i := range 20 {
		p.Ask(":2\r\n", "PUBLISH", ch, "m"+strconv.Itoa(i))
	}
	for i := range 20 {
		s.Expect(message(ch, "m"+strconv.Itoa(i)))
		second.Expect(message(ch, "m"+strconv.Itoa(i)))
	}
	for _, payload := range []string{"", "a\r\nb", "\x00\xff", strings.Repeat("long ", 20_000)} {
		p.Ask(":2\r\n", "PUBLISH", ch, payload)
		s.Expect(message(ch, payload))
		second.Expect(message(ch, payload))
	}
}

func psubscribe(t *T) {
	base, p := t.Key("log"), t.Dial()
	for _, c := range []struct{ pattern, yes, no string }{{".*", ".a", "a"}, {".h?llo", ".hello", ".hllo"}, {".[a-c]x", ".bx", ".dx"},
		{".[^a]x", ".bx", ".ax"}, {`.\*`, ".*", ".x"}} {
		s := t.Dial()
		t.firstOfAll("PSUBSCRIBE confirms each pattern by an array: psubscribe, the pattern, how many subscriptions this connection now has", func() {
			s.Ask(push("psubscribe", base+c.pattern, 1), "PSUBSCRIBE", base+c.pattern)
		})
		p.Ask(":0\r\n", "PUBLISH", base+c.no, "no").Ask(":1\r\n", "PUBLISH", base+c.yes, "yes")
		s.Expect(pmessage(base+c.pattern, base+c.yes, "yes"))
		begin(s, push("punsubscribe", base+c.pattern, 0), "PUNSUBSCRIBE", base+c.pattern)
	}
}

func channelAndPattern(t *T) {
	ch := t.Key("both")
	s := begin(t.Dial(), push("psubscribe", ch+"*", 1), "PSUBSCRIBE", ch+"*")
	begin(s, push("subscribe", ch, 2), "SUBSCRIBE", ch)
	p := t.Dial().Ask(":2\r\n", "PUBLISH", ch, "x")
	s.Expect(message(ch, "x") + pmessage(ch+"*", ch, "x"))
	other := begin(t.Dial(), push("psubscribe", ch+"?", 1), "PSUBSCRIBE", ch+"?")
	t.Hint("every pattern that matches delivers, not only the first")
	p.Ask(":2\r\n", "PUBLISH", ch+"2", "y")
	s.Expect(pmessage(ch+"*", ch+"2", "y"))
	other.Expect(pmessage(ch+"?", ch+"2", "y"))
}

func unsubscribe(t *T) {
	a, b, none, p := t.Key("a"), t.Key("b"), t.Key("none"), t.Dial()
	s := begin(t.Dial(), push("subscribe", a, 1)+push("subscribe", b, 2), "SUBSCRIBE", a, b)
	heard(p, s, a)
	s.Ask(push("unsubscribe", none, 2), "UNSUBSCRIBE", none).Ask(push("unsubscribe", a, 1), "UNSUBSCRIBE", a)
	p.Ask(":0\r\n", "PUBLISH", a, "x").Ask(":1\r\n", "PUBLISH", b, "y")
	s.Expect(message(b, "y")).Ask(push("unsubscribe", b, 0), "UNSUBSCRIBE")
	s.Ask("*3\r\n"+Bulk("unsubscribe")+"$-1\r\n:0\r\n", "UNSUBSCRIBE").Ask("+PONG\r\n", "PING").Ask("$-1\r\n", "GET", none)

	// Several of one kind end in any order, and the other kind stays.
	begin(begin(s, push("subscribe", a, 1)+push("subscribe", b, 2), "SUBSCRIBE", a, b), push("psubscribe", b+"*", 3), "PSUBSCRIBE", b+"*")
	s.Cmd("UNSUBSCRIBE")
	first, second := str(s.Reply()), str(s.Reply())
	one, other := "[unsubscribe "+a+" 2]", "[unsubscribe "+b+" 1]"
	if strings.Contains(first, b) {
		one, other = "[unsubscribe "+b+" 2]", "[unsubscribe "+a+" 1]"
	}
	t.Require(first == one && second == other, one+" "+other, "%s %s", first, second)
	p.Ask(":1\r\n", "PUBLISH", b, "z")
	s.Expect(pmessage(b+"*", b, "z")).Ask(push("punsubscribe", b+"*", 0), "PUNSUBSCRIBE")
}

func subscribedMode(t *T) {
	ch := t.Key("ch")
	s := t.listen(ch)
	for _, args := range [][]string{{"get", "x"}, {"publish", ch, "x"}} {
		v := str(s.Do(args...))
		want := "ERR Can't execute '" + args[0] + "': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context"
		t.Require(v == want, want, "%s", v)
	}
	s.Ask("*2\r\n$4\r\npong\r\n$0\r\n\r\n", "PING").Ask("*2\r\n$4\r\npong\r\n$2\r\nhi\r\n", "PING", "hi")
	t.Hint("QUIT answers +OK and closes; what is still in the queue is written before the connection is closed").Guide("Build it")
	s.Ask("+OK\r\n", "QUIT").ExpectClose()
}

func noHistory(t *T) {
	ch, p := t.Key("ch"), t.Dial()
	other := t.Key("other")
	heard(p, t.listen(other), other)
	p.Ask(":0\r\n", "PUBLISH", ch, "early")
	s := t.Dial().Ask(push("subscribe", ch, 1), "SUBSCRIBE", ch)
	p.Ask(":1\r\n", "PUBLISH", ch, "late")
	s.Expect(message(ch, "late"))
}

func subscriberLeaves(t *T) {
	ch, p := t.Key("ch"), t.Dial()
	for i := range 3 {
		s := t.listen(ch)
		heard(p, s, ch)
		begin(s, push("psubscribe", ch+"*", 2), "PSUBSCRIBE", ch+"*")
		p.Ask(":2\r\n", "PUBLISH", ch, "x")
		if i%2 == 0 {
			s.Close()
		} else {
			s.Reset()
		}
		t.Until(t.limit, "PUBLISH to a channel whose only subscriber has gone answers 0", func() (bool, string) {
			v := str(p.Do("PUBLISH", ch, "x"))
			return v == "0", v
		})
	}
}

func comeAndGo(t *T) {
	ch := t.Key("ch")
	one := t.listen(ch)
	heard(t.Dial(), one, ch)
	one.Close()
	end := time.Now().Add(700 * time.Millisecond)
	t.Parallel(12, func(i int) {
		if i < 4 {
			p := t.Dial()
			for time.Now().Before(end) {
				var in []byte
				for range 20 {
					in = resp.AppendCommandStrings(in, "PUBLISH", ch, "x")
				}
				p.Send(string(in))
				for range 20 {
					p.Reply()
				}
			}
			return
		}
		for n := 0; time.Now().Before(end); n++ {
			s := t.Dial()
			v := s.Do("SUBSCRIBE", ch)
			t.Require(!v.IsError(), "a subscription", "%s", str(v))
			switch (i + n) % 3 {
			case 0:
				s.Reset()
			case 1:
				s.Cmd("UNSUBSCRIBE").Cmd("SUBSCRIBE", ch).Close()
			default:
				s.Close()
			}
		}
	})
	t.Dial().Ask("+PONG\r\n", "PING")
}

// wholeFrames lets a connection get messages while it asks for replies, and reads all of both.
func wholeFrames(t *T) {
	ch := t.Key("ch")
	const publishers, each, asked = 4, 200, 300
	payload := strings.Repeat("payload ", 50)
	s := t.listen(ch)
	heard(t.Dial(), s, ch)
	t.Parallel(publishers+1, func(i int) {
		if i < publishers {
			p := t.Dial()
			for range each {
				p.Ask(":1\r\n", "PUBLISH", ch, payload)
			}
			return
		}
		for range asked {
			s.Cmd("PING", "p")
		}
		messages, pongs := 0, 0
		for messages < publishers*each || pongs < asked {
			v := s.Reply()
			switch {
			case len(v.Elems) == 3 && str(v.Elems[0]) == "message" && str(v.Elems[2]) == payload:
				messages++
			case len(v.Elems) == 2 && str(v.Elems[0]) == "pong" && str(v.Elems[1]) == "p":
				pongs++
			default:
				t.Fail("only messages and pongs, each whole", trace.Visible([]byte(str(v)), 200))
			}
		}
	})
}

func logBeforeReply(t *T) {
	s := t.logged()
	c := begin(t.DialTo(s), push("subscribe", "ch", 1), "SUBSCRIBE", "ch")
	begin(c, push("unsubscribe", "ch", 0), "UNSUBSCRIBE").Ask("+OK\r\n", "SET", "k", "v")
	if files, _ := os.ReadDir(s.Opt.Dir); t.target.Kind == process.KindCmd && len(files) == 0 {
		t.Skip("the server keeps no log: see APPENDONLY, APPENDFSYNC and DIR in its environment")
	}
	t.restart(s).Ask(Bulk("v"), "GET", "k")
}

func stalledSubscriber(t *T) {
	ch, p := t.Key("ch"), t.Dial()
	live := t.listen(ch)
	heard(p, live, ch)
	begin(t.Dial().SmallWindow(), push("subscribe", ch, 1), "SUBSCRIBE", ch) // and reads no more
	published := func(v resp.Value) {
		t.Require(v.Kind == resp.Integer && v.Int >= 1, "PUBLISH answers 2, or 1 once the stalled one has been ended", "%s", str(v))
	}
	payload := strings.Repeat("x", 16<<10)
	for range 600 { // a queue may be full by its bytes
		published(p.Do("PUBLISH", ch, payload))
		live.Expect(message(ch, payload))
	}
	const burst = 100
	payload = strings.Repeat("x", 1000)
	one := string(resp.AppendCommandStrings(nil, "PUBLISH", ch, payload))
	for range 160 { // or by its messages
		p.Send(strings.Repeat(one, burst))
		for range burst {
			published(p.Reply())
		}
		live.Expect(strings.Repeat(message(ch, payload), burst))
	}
	p.Ask("+PONG\r\n", "PING")
}

// keepsUp sends a subscriber more in all than may wait for it at once.
func keepsUp(t *T) {
	ch, p := t.Key("ch"), t.Dial()
	s := t.listen(ch)
	heard(p, s, ch)
	payload := strings.Repeat("x", 64<<10)
	for range 640 { // 40 MB
		p.Ask(":1\r\n", "PUBLISH", ch, payload)
		s.Expect(message(ch, payload))
	}
}

func boundedQueue(t *T) {
	const most = 250 // MB
	s := t.Start(process.Options{})
	p := t.DialTo(s)
	stalled := begin(t.DialTo(s).SmallWindow(), push("subscribe", "ch", 1), "SUBSCRIBE", "ch")
	heard(p, stalled, "ch") // and reads no more
	before := residentBytes(s)
	one := string(resp.AppendCommandStrings(nil, "PUBLISH", "ch", strings.Repeat("x", 64<<10)))
	for i := range most { // 1 MB each
		p.Send(strings.Repeat(one, 16))
		last := resp.Value{}
		for range 16 {
			last = p.Reply()
		}
		if str(last) == "0" {
			return // the server has ended the subscriber
		}
		grown := residentBytes(s) - before
		t.Require(grown < 200<<20, "the server ends a subscriber that is 200 MB behind, or keeps less than that",
			"it holds %d MB more after %d MB", grown>>20, (i + 1))
	}
	t.Hint("messages that do not fit are thrown away: the subscriber has a hole and does not know. End its connection instead").
		Until(t.limit, fmt.Sprintf("the connection of a subscriber that is %d MB behind is closed", most), func() (bool, string) {
			return !stalled.TrySend("PING\r\n"), "it takes a PING"
		})
}
