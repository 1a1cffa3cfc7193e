// Package step07 holds the checks of step 07 and of its exercises: one message to many. Here are the subscriptions
// and the messages. The slow, the fast and those who leave are in queue.go.
package step07

import (
	"fmt"
	"strconv"
	"strings"

	"byor/pkg/check"
	"byor/pkg/check/process"
	"byor/pkg/check/step02"
	"byor/pkg/check/step05"
	"byor/pkg/resp"
)

func init() {
	check.Register(7, 0,
		check.Check{Name: "subscribe", After: 1, What: "SUBSCRIBE answers each channel with a running count", Run: subscribe, Guide: "Build it",
			Hint: "SUBSCRIBE answers each name with an array of its own: subscribe, the name, and how many subscriptions the connection has now. " +
				"A name that it has already does not count again (piece 1)"},
		check.Check{Name: "unsubscribe", After: 2, What: "UNSUBSCRIBE ends a subscription, or all of a kind", Run: unsubscribe, Guide: "Build it",
			Hint: "UNSUBSCRIBE answers each name with an array of its own: unsubscribe, the name, and how many subscriptions are left (piece 2)"},
		check.Check{Name: "forgets-names", After: 2, What: "a channel that nobody listens to any more takes no memory", Run: forgetsNames, Own: true, Slow: 3, Guide: "Build it",
			Hint: "the server remembers channels that have no subscribers: forget takes a name out of the map when its last subscriber has gone (piece 2)"},
		check.Check{Name: "subscribed-mode", After: 3, What: "a subscriber may only subscribe, PING and QUIT", Run: subscribedMode, Guide: "Build it",
			Hint: hintMode},
		check.Check{Name: "publish-count", After: 4, What: "PUBLISH answers how many subscribers it found", Run: publishCount, Guide: "Build it",
			Hint: "PUBLISH answers how many connections are subscribed to exactly this channel; nobody is 0 (piece 4)"},
		check.Check{Name: "not-logged", After: 4, What: "a message is not in the log", Run: notLogged, Own: true, Guide: "Build it",
			Hint: "the log has a command of this step: messages and subscriptions are no data, so the handlers return no effect"},
		check.Check{Name: "pattern-count", After: 5, What: "a pattern counts each of its subscribers, and matches as in Redis", Run: patternCount, Guide: "Build it",
			Hint: "PUBLISH counts the subscribers of every pattern that matches, beside those of the channel (piece 5)"},

		check.Check{Name: "deliver", After: 7, What: "every subscriber gets each message, in the same order, with any bytes", Run: deliver, Guide: "On the wire",
			Hint: "a message is an array of three: message, the channel, and the payload as it was published (piece 4)"},
		check.Check{Name: "no-history", After: 7, What: "a message from before the subscription does not come", Run: noHistory, Guide: "The idea",
			Hint: "expecting history: pub/sub keeps nothing. A message goes to those who listen at that moment"},
		check.Check{Name: "psubscribe", After: 7, What: "a pattern gets what matches it", Run: psubscribe, Guide: "On the wire",
			Hint: "a message through a pattern is an array of four: pmessage, the pattern, the channel, the payload (piece 5)"},
		check.Check{Name: "channel-and-pattern", After: 7, What: "a channel and a matching pattern deliver a message twice", Run: channelAndPattern, Guide: "On the wire",
			Hint: "each subscription delivers for itself: first the channel, then every pattern that matches (piece 5)"},
	)
}

// Push is what answers a subscription: kind, channel, and a count.
func Push(kind, channel string, n int) string {
	return "*3\r\n" + check.Bulk(kind) + check.Bulk(channel) + fmt.Sprintf(":%d\r\n", n)
}

// Message returns what a subscriber of channel is sent when payload is published.
func Message(channel, payload string) string {
	return "*3\r\n" + check.Bulk("message") + check.Bulk(channel) + check.Bulk(payload)
}

func pmessage(pattern, channel, payload string) string {
	return "*4\r\n" + check.Bulk("pmessage") + check.Bulk(pattern) + check.Bulk(channel) + check.Bulk(payload)
}

// seen runs f, which talks to s. If an expectation in f fails, what came instead may name the mistake: quiet is the
// hint for silence, ended for a connection that the server closed. A server that crashed, or answers nobody any more,
// is another matter.
func seen(t *check.T, s *process.Server, f func(), quiet, ended string) {
	check.Explained(f, func(got string) string {
		s.LastWords()
		said := s.Output()
		switch {
		case s.Alive() && check.Silent(got) && !t.AnswersOthers(s):
			return "nobody gets an answer any more: a goroutine holds the server's lock and waits. execute has taken the lock for every command, so a piece that takes it again waits for itself. A piece that took it (reply, leave) must give it back"
		case s.Alive() && check.Silent(got):
			return quiet
		case s.Alive() && check.Closed(got):
			return ended
		case s.Alive():
			return ""
		case strings.Contains(said, "send on closed channel"):
			return "a publisher sent on a closed channel, and that ended the server. enqueue closes the connection and not the queue (piece 6); " +
				"leave closes the queue, but only after it has unsubscribed from everything (piece 9)"
		case strings.Contains(said, "concurrent map"):
			return "two goroutines used a map at once, and Go ended the server. Commands run under the lock; leave has to take it by itself (piece 9)"
		case strings.Contains(said, "nil map"):
			return "nobody has made the map for a new name yet, and writing to a nil map ended the server: make it first (piece 1)"
		}
		return ""
	})
}

const hintMode = "a subscriber was answered as others are. RESP2 cannot tell a reply from a message, so refuse every command without the flag s (piece 3)"

// What it means when a subscriber does not hear, or is sent away.
const (
	hintUnheard = "the message does not arrive. It was counted, so it is in the subscriber's queue: the writer takes it out and writes it to the connection (piece 7)"
	hintNoRoom  = "the server ended a subscriber that was not slow: make the queue with room for maxQueued messages (piece 6), " +
		"and take what has been written off the count of bytes (piece 7)"
)

// hears expects what a subscription brings.
func hears(c *check.Conn, want string) *check.Conn {
	seen(c.T, c.T.Server(), func() { c.Expect(want) }, hintUnheard, hintNoRoom)
	return c
}

// listen returns a new connection that has subscribed to one channel.
func listen(t *check.T, channel string) *check.Conn { return listenAt(t, t.Server(), channel) }

func listenAt(t *check.T, s *process.Server, channel string) *check.Conn {
	return t.DialTo(s).Ask(Push("subscribe", channel, 1), "SUBSCRIBE", channel)
}

func subscribe(t *check.T) {
	a, b, c := t.Key("a"), t.Key("b"), t.Key("c")
	s := t.Dial()
	seen(t, t.Server(), func() {
		check.Explained(func() { s.Ask(Push("subscribe", a, 1)+Push("subscribe", b, 2), "SUBSCRIBE", a, b) }, func(got string) string {
			if strings.Contains(got, `:0\r\n`) {
				return "the new subscription is not counted: put the name into c.topics first, and confirm it after that (piece 1)"
			}
			return ""
		})
		check.Explained(func() { s.Ask(Push("subscribe", a, 2), "SUBSCRIBE", a) }, func(got string) string {
			if strings.Contains(got, `:1\r\n*3`) {
				return "earlier replies came once more: enqueueReply puts a copy of c.W.Buf into the queue, and then empties it (piece 8)"
			}
			return ""
		})
		s.Ask(Push("psubscribe", c+"*", 3), "PSUBSCRIBE", c+"*")
	}, "a confirmation does not come. Write one for each name (piece 1). From piece 8 on it goes into the queue, and the writer of piece 7 has to send it", hintNoRoom)
}

func unsubscribe(t *check.T) {
	a, b, none := t.Key("a"), t.Key("b"), t.Key("none")
	s := t.Dial().Ask(Push("subscribe", a, 1)+Push("subscribe", b, 2), "SUBSCRIBE", a, b)
	seen(t, t.Server(), func() { s.Ask(Push("unsubscribe", none, 2), "UNSUBSCRIBE", none) },
		"UNSUBSCRIBE answers every name that it is given, also one that the client has not subscribed to (piece 2)", "")
	s.Ask(Push("unsubscribe", a, 1), "UNSUBSCRIBE", a)
	t.Hint("UNSUBSCRIBE without names ends all subscriptions to channels, and answers each of them (piece 2)")
	s.Ask(Push("unsubscribe", b, 0), "UNSUBSCRIBE")
	t.Hint("there was nothing to end, but the client waits for a reply: an array with a null in the place of the name (piece 2)")
	s.Ask("*3\r\n"+check.Bulk("unsubscribe")+"$-1\r\n:0\r\n", "UNSUBSCRIBE").Ask("*3\r\n"+check.Bulk("punsubscribe")+"$-1\r\n:0\r\n", "PUNSUBSCRIBE")
	t.Hint("a client without subscriptions is an ordinary client again. Ask how many subscriptions it has, and not whether it has a queue (piece 3)")
	s.Ask("+PONG\r\n", "PING").Ask("$-1\r\n", "GET", none)

	t.Hint("UNSUBSCRIBE without names ends all subscriptions to channels, and leaves those to patterns alone (piece 2)")
	s.Ask(Push("subscribe", a, 1)+Push("subscribe", b, 2), "SUBSCRIBE", a, b).Ask(Push("psubscribe", b+"*", 3), "PSUBSCRIBE", b+"*")
	s.Cmd("UNSUBSCRIBE")
	first, second := check.Text(s.Reply()), check.Text(s.Reply())
	one, other := "[unsubscribe "+a+" 2]", "[unsubscribe "+b+" 1]" // in any order
	if strings.Contains(first, b) {
		one, other = "[unsubscribe "+b+" 2]", "[unsubscribe "+a+" 1]"
	}
	t.Require(first == one && second == other, one+" "+other, "%s %s", first, second)
	s.Ask(Push("punsubscribe", b+"*", 0), "PUNSUBSCRIBE")
}

func forgetsNames(t *check.T) {
	const rounds, names, length = 320, 10, 16 << 10 // 50 MB in all
	long := strings.Repeat("x", length)
	s := t.Start(process.Options{})
	c := t.DialTo(s).Ask("+PONG\r\n", "PING")
	before := step02.ResidentBytes(s)
	for round := range rounds {
		if round%(rounds/4) == 0 { // less than 32 MB for each
			c.Close()
			c = t.DialTo(s)
		}
		in, out := []string{"SUBSCRIBE"}, []string{"UNSUBSCRIBE"}
		var came, went strings.Builder
		came.Grow(names * (length + 64))
		went.Grow(names * (length + 64))
		for i := range names {
			name := fmt.Sprintf("%d:%d:", round, i) + long
			in, out = append(in, name), append(out, name)
			came.WriteString(Push("subscribe", name, i+1))
			went.WriteString(Push("unsubscribe", name, names-1-i))
		}
		c.Exchange(string(resp.AppendCommandStrings(nil, in...)), came.String())
		c.Exchange(string(resp.AppendCommandStrings(nil, out...)), went.String())
	}
	grown := step02.ResidentBytes(s) - before
	t.Require(grown < rounds*names*length*3/4, "the server forgets a name that nobody is subscribed to",
		"it holds %d MB more after %d names of 16 KB that came and went", grown>>20, rounds*names)
}

func subscribedMode(t *check.T) {
	ch := t.Key("ch")
	for _, s := range []*check.Conn{listen(t, ch), t.Dial().Ask(Push("psubscribe", ch+"*", 1), "PSUBSCRIBE", ch+"*")} {
		t.Hint(hintMode)
		refused := func(args ...string) {
			v := check.Text(s.Do(args...))
			want := "ERR Can't execute '" + strings.ToLower(args[0]) + "': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context"
			t.Require(v == want, want, "%s", v)
		}
		refused("get", "x")
		t.Hint("the error names the command in lower case, however the client wrote it (piece 3)")
		refused("GET", "x")
		t.Hint("a command that does not exist, or has too few arguments, keeps the error that Find has returned (piece 3)")
		s.Ask(check.Err("ERR unknown command 'NOPE', with args beginning with: "), "NOPE").Ask(check.Err("ERR wrong number of arguments for 'subscribe' command"), "SUBSCRIBE")
		t.Hint("PUBLISH answers a number, and a subscriber expects nothing but arrays: PUBLISH has no flag s (piece 3)")
		refused("publish", ch, "x")
		t.Hint("a subscriber's PING is answered by an array, which looks like no reply to any other command: pong, and the argument or an empty string (piece 3)")
		s.Ask("*2\r\n$4\r\npong\r\n$0\r\n\r\n", "PING").Ask("*2\r\n$4\r\npong\r\n$2\r\nhi\r\n", "PING", "hi")
	}
}

func publishCount(t *check.T) {
	ch, p := t.Key("news"), t.Dial()
	p.Ask(":0\r\n", "PUBLISH", ch, "x")
	for n := 1; n <= 3; n++ {
		listen(t, ch)
		p.Ask(fmt.Sprintf(":%d\r\n", n), "PUBLISH", ch, "x")
	}
	t.Hint("names of channels are bytes: another name, or the same in capitals, is another channel (piece 4)")
	p.Ask(":0\r\n", "PUBLISH", t.Key("other"), "x").Ask(":0\r\n", "PUBLISH", strings.ToUpper(ch), "x")
	ch = t.Key("twice")
	t.Hint("a client that has subscribed twice to a channel is one subscriber (piece 1)")
	listen(t, ch).Ask(Push("subscribe", ch, 1), "SUBSCRIBE", ch)
	p.Ask(":1\r\n", "PUBLISH", ch, "x")
	ch = t.Key("left")
	t.Hint("PUBLISH counts a client that has unsubscribed: forget takes the client out of the server's list, too (piece 2)")
	listen(t, ch)
	listen(t, ch).Ask(Push("unsubscribe", ch, 0), "UNSUBSCRIBE", ch)
	p.Ask(":1\r\n", "PUBLISH", ch, "x")
}

func notLogged(t *check.T) {
	s := step05.Logged(t)
	listenAt(t, s, "news")
	c := t.DialTo(s).Ask(":1\r\n", "PUBLISH", "news", "x").Ask("+OK\r\n", "SET", "k", "v")
	mustLog(t, s)
	c.Ask(":1\r\n", "DEL", "k")
	for _, cmd := range step05.AOFCommands(t, s.Opt.Dir) {
		t.Require(strings.Contains("SELECT SET DEL", strings.ToUpper(cmd[0])), "a log with SELECT, SET and DEL", "%q", cmd)
	}
}

func patternCount(t *check.T) {
	base, p := t.Key("log"), t.Dial()
	listen := func(pattern string) *check.Conn {
		return t.Dial().Ask(Push("psubscribe", pattern, 1), "PSUBSCRIBE", pattern)
	}
	listen(base + "*")
	p.Ask(":1\r\n", "PUBLISH", base, "x")
	listen(base + "*")
	t.Hint("two clients have this pattern, and both get the message: count the subscribers of a pattern, and not the pattern (piece 5)")
	p.Ask(":2\r\n", "PUBLISH", base, "x")
	t.Hint("one client has the channel and a pattern that matches, so it gets the message twice and is counted twice (piece 5)")
	ch := t.Key("both")
	listen(ch+"*").Ask(Push("subscribe", ch, 2), "SUBSCRIBE", ch)
	p.Ask(":2\r\n", "PUBLISH", ch, "x")
	t.Hint("every pattern that matches counts, not only the first one (piece 5)")
	listen(base + "?")
	p.Ask(":3\r\n", "PUBLISH", base+"1", "x")
	t.Hint("a client has ended its pattern, and PUBLISH still counts it (piece 2)")
	left := t.Key("left")
	listen(left)
	listen(left).Ask(Push("punsubscribe", left, 0), "PUNSUBSCRIBE", left)
	p.Ask(":1\r\n", "PUBLISH", left, "x")

	t.Hint("* ? [a-z] [^a] and \\ in a pattern mean what they mean in KEYS: ask match, which is in glob.go (piece 5)")
	for _, c := range []struct{ pattern, yes, no string }{{".*", ".a", "a"}, {".h?llo", ".hello", ".hllo"}, {".[a-c]x", ".bx", ".dx"},
		{".[^a]x", ".bx", ".ax"}, {`.\*`, ".*", ".x"}} {
		base := t.Key("match")
		listen(base + c.pattern)
		p.Ask(":0\r\n", "PUBLISH", base+c.no, "no").Ask(":1\r\n", "PUBLISH", base+c.yes, "yes")
	}
}

func deliver(t *check.T) {
	ch, p := t.Key("news"), t.Dial()
	subs := []*check.Conn{listen(t, ch), listen(t, ch), listen(t, ch)}
	for _, payload := range []string{"hello", "", "a\r\nb", "\x00\xff", strings.Repeat("long ", 20_000)} {
		p.Ask(":3\r\n", "PUBLISH", ch, payload)
		for _, s := range subs {
			hears(s, Message(ch, payload))
		}
	}
	const publishers, each = 3, 300
	t.Hint(hintNoRoom) // if the count changes
	t.Parallel(publishers, func(i int) {
		var in []byte
		for j := range each {
			in = resp.AppendCommandStrings(in, "PUBLISH", ch, strconv.Itoa(i*each+j))
		}
		t.Dial().Send(string(in)).Expect(strings.Repeat(":3\r\n", each))
	})
	t.Hint("two subscribers got the same messages in different orders. PUBLISH puts its message into every queue before it releases the lock, " +
		"and leaves that to no goroutine (piece 4)")
	next := [publishers]int{}
	for n := range publishers * each {
		first := subs[0].Reply()
		for _, s := range subs[1:] {
			v := s.Reply()
			t.Require(check.Text(v) == check.Text(first), "message "+strconv.Itoa(n)+" for every subscriber: "+check.Text(first), "%s", check.Text(v))
		}
		var number int
		fmt.Sscan(strings.TrimSuffix(strings.TrimPrefix(check.Text(first), "[message "+ch+" "), "]"), &number)
		by := number / each
		t.Require(number == by*each+next[by], "the messages of one publisher in its order: "+strconv.Itoa(by*each+next[by]), "%d", number)
		next[by]++
	}
}

func noHistory(t *check.T) {
	ch, p := t.Key("ch"), t.Dial()
	p.Ask(":0\r\n", "PUBLISH", ch, "early")
	s := listen(t, ch)
	p.Ask(":1\r\n", "PUBLISH", ch, "late")
	hears(s, Message(ch, "late"))
}

func psubscribe(t *check.T) {
	base, p := t.Key("log"), t.Dial()
	s := t.Dial().Ask(Push("psubscribe", base+".*", 1), "PSUBSCRIBE", base+".*")
	p.Ask(":0\r\n", "PUBLISH", base, "no").Ask(":1\r\n", "PUBLISH", base+".a", "yes").Ask(":1\r\n", "PUBLISH", base+".", "a\r\nb")
	hears(hears(s, pmessage(base+".*", base+".a", "yes")), pmessage(base+".*", base+".", "a\r\nb"))
}

func channelAndPattern(t *check.T) {
	ch, p := t.Key("both"), t.Dial()
	s := t.Dial().Ask(Push("psubscribe", ch+"*", 1), "PSUBSCRIBE", ch+"*").Ask(Push("subscribe", ch, 2), "SUBSCRIBE", ch)
	other := t.Dial().Ask(Push("psubscribe", ch+"?", 1), "PSUBSCRIBE", ch+"?")
	p.Ask(":2\r\n", "PUBLISH", ch, "x").Ask(":2\r\n", "PUBLISH", ch+"2", "y")
	hears(hears(s, Message(ch, "x")+pmessage(ch+"*", ch, "x")), pmessage(ch+"*", ch+"2", "y"))
	hears(other, pmessage(ch+"?", ch+"2", "y"))
}
