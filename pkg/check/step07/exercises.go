package step07

import (
	"fmt"
	"sort"
	"strings"

	"byor/pkg/check"
	"byor/pkg/check/process"
	"byor/pkg/resp"
)

// The exercises of step 07.

func init() {
	check.Register(7, 1, check.Check{Name: "numsub", What: "PUBSUB NUMSUB and NUMPAT count subscribers and patterns", Run: exNumSub,
		Hint: "NUMSUB answers each channel as it was asked for, and after it how many connections are subscribed to it. Patterns do not count there"})
	check.Register(7, 2, check.Check{Name: "channels", What: "PUBSUB CHANNELS lists what has a subscriber", Run: exChannels,
		Hint: "CHANNELS answers with the channels that have a subscriber now, and no others. Count them before you write the length of the array"})
	check.Register(7, 3, check.Check{Name: "reset", What: "RESET ends all subscriptions and selects database 0", Run: exReset,
		Hint: "RESET gives one reply, +RESET. It ends every subscription, selects database 0, and a subscriber may use it (flag s)"})
	check.Register(7, 4, check.Check{Name: "sharded", What: "SSUBSCRIBE, SUNSUBSCRIBE and SPUBLISH are a kind of their own", Run: exSharded,
		Hint: "a sharded channel is a third kind of name, and its subscriptions are counted apart from those of the other two"})
	check.Register(7, 5, check.Check{Name: "pubsub-limit", What: "-pubsub-limit ends a slow subscriber, INFO counts it once", Run: exPubsubLimit, Own: true, Slow: 3,
		NotRedis: "its limit has another name", Hint: "INFO counts channels, patterns and subscribers that were cut off"})
}

func exNumSub(t *check.T) {
	srv := t.Alone() // NUMPAT counts everybody's patterns
	a, b, none, c := t.Key("a"), t.Key("b"), t.Key("none"), t.DialTo(srv)
	before := c.Do("PUBSUB", "NUMPAT").Int
	one := t.DialTo(srv).Ask(Push("subscribe", a, 1)+Push("subscribe", b, 2), "SUBSCRIBE", a, b)
	two := t.DialTo(srv).Ask(Push("subscribe", a, 1), "SUBSCRIBE", a).Ask(Push("psubscribe", a+"*", 2), "PSUBSCRIBE", a+"*")
	t.DialTo(srv).Ask(Push("psubscribe", a+"*", 1), "PSUBSCRIBE", a+"*")
	count := func(name string, n int) string { return check.Bulk(name) + fmt.Sprintf(":%d\r\n", n) }
	c.Ask("*6\r\n"+count(a, 2)+count(none, 0)+count(b, 1), "PUBSUB", "NUMSUB", a, none, b).Ask("*0\r\n", "PUBSUB", "NUMSUB").
		Ask("*4\r\n"+count(a, 2)+count(a, 2), "pubsub", "numsub", a, a)
	t.Hint("NUMPAT answers how many different patterns there are, and not how many subscriptions to them")
	c.Ask(fmt.Sprintf(":%d\r\n", before+1), "PUBSUB", "NUMPAT")
	t.Hint("NUMSUB counts a connection that has unsubscribed or left")
	one.Ask(Push("unsubscribe", a, 1), "UNSUBSCRIBE", a)
	two.Close()
	t.Until(t.Limit, "NUMSUB 0 once the subscribers have left", func() (bool, string) {
		v := check.Text(c.Do("PUBSUB", "NUMSUB", a))
		return v == "["+a+" 0]", v
	})
	t.Hint("the error's words are Redis's own; the subcommand stands there as it was typed").
		DialTo(srv).Ask(check.Err("ERR unknown subcommand 'foo'. Try PUBSUB HELP."), "PUBSUB", "foo").
		Ask(check.Err("ERR wrong number of arguments for 'pubsub|numpat' command"), "PUBSUB", "NUMPAT", "x")
}

func exChannels(t *check.T) {
	base, c := t.Key("ch"), t.Dial()
	s := t.Dial().Ask(Push("subscribe", base+"a", 1)+Push("subscribe", base+"b", 2), "SUBSCRIBE", base+"a", base+"b")
	t.Dial().Ask(Push("psubscribe", base+"p*", 1), "PSUBSCRIBE", base+"p*")
	list := func(args ...string) string {
		var names []string
		for _, e := range c.Do(append([]string{"PUBSUB", "CHANNELS"}, args...)...).Elems {
			if strings.HasPrefix(check.Text(e), base) {
				names = append(names, strings.TrimPrefix(check.Text(e), base))
			}
		}
		sort.Strings(names)
		return strings.Join(names, " ")
	}
	t.Require(list() == "a b", "the channels a and b", "%q", list())
	t.Require(list(base+"*") == "a b" && list(base+"[b-z]") == "b" && list("nope*") == "", "only what matches a pattern", "%q %q %q", list(base+"*"), list(base+"[b-z]"), list("nope*"))
	s.Ask(Push("unsubscribe", base+"a", 1), "UNSUBSCRIBE", base+"a")
	t.Require(list() == "b", "only b once a has no subscribers", "%q", list())
	for _, typed := range []string{"channels", "CHANNELS"} {
		t.Hint("the error repeats the subcommand as it was typed").
			DialTo(t.Server()).Ask(check.Err("ERR unknown subcommand or wrong number of arguments for '"+typed+"'. Try PUBSUB HELP."), "PUBSUB", typed, "a", "b")
	}
}

func exReset(t *check.T) {
	ch, k := t.Key("ch"), t.Key("k")
	c := t.Dial().Ask("+OK\r\n", "SET", k, "in 0").Ask("+OK\r\n", "SELECT", "3").Ask("$-1\r\n", "GET", k).
		Ask(Push("subscribe", ch, 1), "SUBSCRIBE", ch).Ask(Push("psubscribe", ch+"*", 2), "PSUBSCRIBE", ch+"*").
		Ask("+RESET\r\n", "RESET").Ask(check.Bulk("in 0"), "GET", k).Ask("+PONG\r\n", "PING")
	t.Dial().Ask(":0\r\n", "PUBLISH", ch, "x")
	c.Ask(Push("subscribe", ch, 1), "SUBSCRIBE", ch)
	t.Dial().Ask("+RESET\r\n", "reset").Ask("+PONG\r\n", "PING")
}

func exSharded(t *check.T) {
	ch, p := t.Key("ch"), t.Dial()
	s := t.Dial().Ask(Push("ssubscribe", ch, 1), "SSUBSCRIBE", ch).Ask(Push("subscribe", ch, 1), "SUBSCRIBE", ch).
		Ask(Push("psubscribe", ch+"*", 2), "PSUBSCRIBE", ch+"*").Ask(Push("ssubscribe", ch+"2", 2), "SSUBSCRIBE", ch+"2")
	p.Ask(":1\r\n", "SPUBLISH", ch, "sharded")
	s.Expect("*3\r\n" + check.Bulk("smessage") + check.Bulk(ch) + check.Bulk("sharded"))
	p.Ask(":2\r\n", "PUBLISH", ch, "plain").Ask(":0\r\n", "SPUBLISH", t.Key("none"), "x")
	s.Expect(Message(ch, "plain") + pmessage(ch+"*", ch, "plain"))
	s.Ask(Push("unsubscribe", ch, 1), "UNSUBSCRIBE").Ask("*3\r\n"+check.Bulk("punsubscribe")+check.Bulk(ch+"*")+":0\r\n", "PUNSUBSCRIBE")
	t.Hint("any subscription makes a subscriber, a sharded one, too: the check for the flag s asks for all three kinds")
	v := s.Do("GET", "x")
	t.Require(v.IsError(), "an error for GET: sharded subscriptions make a subscriber, too", "%s", check.Text(v))
	t.Hint("SUNSUBSCRIBE answers as UNSUBSCRIBE does, and counts what is left of sharded channels")
	s.Ask(Push("sunsubscribe", ch, 1), "SUNSUBSCRIBE", ch).Ask(Push("sunsubscribe", ch+"2", 0), "SUNSUBSCRIBE").Ask("$-1\r\n", "GET", t.Key("none")).
		Ask("*3\r\n"+check.Bulk("sunsubscribe")+"$-1\r\n:0\r\n", "SUNSUBSCRIBE")
	p.Ask(":0\r\n", "SPUBLISH", ch, "x")
}

func exPubsubLimit(t *check.T) {
	s := t.Start(process.Options{Extra: []string{"-pubsub-limit", "1000000"}})
	p := t.DialTo(s)
	info := p.Info()
	t.Require(info["pubsub_channels"] == "0" && info["pubsub_patterns"] == "0" && info["pubsub_ended"] == "0", "pubsub_channels:0, pubsub_patterns:0, pubsub_ended:0 at first", "%v", info)
	t.DialTo(s).SmallWindow().Ask(Push("subscribe", "slow", 1), "SUBSCRIBE", "slow") // and reads no more
	live := t.DialTo(s).Ask(Push("subscribe", "other", 1), "SUBSCRIBE", "other").Ask(Push("psubscribe", "o*", 2), "PSUBSCRIBE", "o*")
	t.DialTo(s).Ask(Push("psubscribe", "o*", 1), "PSUBSCRIBE", "o*")
	info = p.Info()
	t.Require(info["pubsub_channels"] == "2" && info["pubsub_patterns"] == "1", "pubsub_channels:2 and pubsub_patterns:1", "%v", info)
	one := resp.AppendCommandStrings(nil, "PUBLISH", "slow", strings.Repeat("x", 64<<10))
	sent, ended := 0, false
	for ; sent < 300 && !ended; sent++ {
		ended = p.Send(string(one)).Reply().Int == 0
	}
	t.Hint("-pubsub-limit says how many bytes may be in the queue of a subscriber; enqueue compares with it")
	t.Require(ended, "the slow one ended before it is 19 MB behind", "%d messages of 64 KB and it is still counted", sent)
	t.Require(sent > 15, "not before it is 1 MB behind", "ended after %d messages of 64 KB", sent)
	t.Hint("a connection that was cut off stays in the map until its goroutine has noticed. Meanwhile enqueue meets it again: count it once")
	t.Until(t.Limit, "pubsub_ended:1 and pubsub_channels:1", func() (bool, string) {
		info := p.Info()
		return info["pubsub_ended"] == "1" && info["pubsub_channels"] == "1", fmt.Sprint(info)
	})
	t.Hint("the other subscribers go on as before")
	p.Ask(":3\r\n", "PUBLISH", "other", "x")
	live.Expect(Message("other", "x") + pmessage("o*", "other", "x"))
}
