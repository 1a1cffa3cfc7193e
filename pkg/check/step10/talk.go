package step10

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"time"

	"byor/pkg/check"
	"byor/pkg/check/step07"
	"byor/pkg/check/trace"
)

// Step 10, byor.json.v1: operations, replies, and messages of channels.

func init() {
	gateway(
		check.Check{Name: "bad-json", After: 10, What: "nonsense gets an error and the connection lives", Run: badJSON,
			Hint: "bad JSON is the client's mistake, not the end: t.fail with idOf(line), and return nil"},
		check.Check{Name: "login-first", After: 10, What: "where a password is set, hello comes before everything", Run: loginFirst,
			Hint: "NOAUTH is left out: before the login (t.s.authed) answer each operation but hello with the code NOAUTH, and send nothing on"},
		check.Check{Name: "too-fast", After: 10, What: "too many operations a second get errors, then close code 4029", Run: tooFastCheck,
			Hint: "ask t.s.bucket for a token for each operation; if there is none, return t.tooFast(&req)"},
		check.Check{Name: "unknown-operation", After: 11, What: "an operation that does not exist is an error, and presence is answered at once", Run: unknownOperation,
			Hint: "switch on req.Op; behind the switch, t.fail with the operation's name, and return nil"},
		check.Check{Name: "command-arrives", After: 12, What: "a browser's command reaches the engine", Run: commandArrives,
			Hint: "cmd makes a command of req.Args and hands it to ask, which appends it to t.out"},
		check.Check{Name: "browser-commands", After: 13, What: "a browser's commands are answered by the engine that TCP reaches", Run: browserCommands,
			Hint: "the head of the list says whose reply it is: answer that operation, then take it off with t.done()"},
		check.Check{Name: "in-order", After: 13, What: "two thousand operations of one message are answered in order", Run: inOrder, Slow: 2,
			Hint: "put an operation on the list (await) before its command goes to t.out, and take it off (done) after its reply"},
		check.Check{Name: "more-than-a-queue", After: 13, What: "a browser that reads may be told more than its queue holds", Run: moreThanAQueue,
			Hint: "each reply is an answer of its own: send it with t.answer, which waits for room"},
		check.Check{Name: "counted", After: 13, What: "/metrics counts what browsers say and get", Run: countedCheck,
			Hint: "read counts messages and their bytes, one counts operations, reply counts errors"},
		check.Check{Name: "login", After: 13, What: "hello logs in, and says who one is", Run: loginCheck,
			Hint: "the reply to hello, and to our own greeting, goes to t.welcome"},
		check.Check{Name: "not-in-multi", After: 13, What: "hello, sub and unsub are refused inside MULTI, and EXEC aborts", Run: notInMultiCheck,
			Hint: "MULTI would answer QUEUED to it: in one, ask with refusal(…) in the command's place (notQueued), when t.multi says so"})
	gateway(
		check.Check{Name: "admin-denied", After: 14, What: "administrative commands are denied to browsers", Run: adminDenied, Guide: "Mistakes people make",
			Hint: "SHUTDOWN, CONFIG, DEBUG and their like are in g.denied, in lower case, some with a subcommand: client|kill"},
		check.Check{Name: "presence-forged", After: 14, What: "nobody but the gateway says who is there", Run: presenceForged,
			Hint: "presence can be forged: refuse PUBLISH and SPUBLISH to a channel that begins with presencePrefix"},
		check.Check{Name: "subscriptions", After: 15, What: "sub and unsub are answered when the engine has obeyed", Run: subscriptions,
			Hint: "each confirmation is a push: count it down in o.steps[0], and call t.step(o) at 0"},
		check.Check{Name: "pubsub-across", After: 17, What: "redis-cli PUBLISH reaches the browser, and the other way round", Run: pubsubAcross,
			Hint: "push hands messages to encode, which makes JSON of them, and then to deliver, which sends them. If they end up in the queue and stay there, put does not wake the writer: o.rouse() (piece 7)"},
		check.Check{Name: "answer-first", After: 17, What: "the answer to sub comes before the first message", Run: answerFirst, Slow: 2, Guide: "Mistakes people make",
			Hint: "a message may come between two confirmations of one sub: hold it back until the answer is out"},
		check.Check{Name: "many-at-once", After: 17, What: "replies and pushes of a busy browser come whole", Run: manyAtOnce, Slow: 2, Guide: "Mistakes people make",
			Hint: "two writers on one WebSocket interleave frames (or panic): all messages go through the queue"},
		check.Check{Name: "slow-browser", After: 17, What: "a browser that reads nothing is ended and delays nobody", Run: slowBrowser, Slow: 4, Guide: "Mistakes people make",
			Hint: "one slow browser stalls all when the publisher waits for it: bound its queue, and close it (4008) when that is full"},
		check.Check{Name: "queued-first", After: 17, What: "what is queued goes out before the close frame", Run: queuedFirst, Slow: 2,
			Hint: "the queue was thrown away: a broken rule calls s.close with true, so that the browser gets what is queued before it"},
		check.Check{Name: "silent-browser", What: "a browser that answers pings stays, one that is gone without a word is let go", After: 17, Run: silentBrowser, Own: true, Slow: 3, NotRedis: noGateway,
			Hint: "no ping, or no deadline for its answer: a browser whose machine was switched off says nothing, for ever; ping it, and give each read a deadline that only an answer prolongs"})
}

func badJSON(t *check.T) {
	_, addr := withGateway(t)
	w := openWebSocket(t, addr, "")
	for _, in := range []string{`not json`, `[1,2]`, `"x"`, `{"id":1,"op":7}`, `{"id":2,"op":{}}`} {
		w.send("%s", in)
		m := w.until("an error for "+in, func(m map[string]any) bool { return m["error"] != nil })
		e, _ := m["error"].(map[string]any)
		t.Require(e["code"] == "ERR", `the code ERR for `+in, "%v", m)
	}
	w.send(`{"id":7,"op":5}`)
	m := w.until("an error", func(m map[string]any) bool { return true })
	t.Hint("the answer bears the id of the request, also when something else is wrong with it: idOf(line)")
	t.Require(m["id"] == 7.0, `"id":7 in the answer to {"id":7,"op":5}`, "%v", m)
}

// hears makes sure that the browser gets answers at all.
func (w *webSocket) hears() *webSocket {
	w.send("nonsense").until("an error for nonsense", func(m map[string]any) bool { return m["error"] != nil })
	return w
}

// code asks, and returns the code of the error that answers.
func (w *webSocket) code(id int, body string) any {
	e, _ := w.ask(id, body)["error"].(map[string]any)
	return e["code"]
}

func loginFirst(t *check.T) {
	s, addr := withGateway(t, "-requirepass", "right")
	w := openWebSocket(t, addr, "").hears()
	for i, body := range []string{`"op":"ping"`, `"op":"cmd","args":["SET","k","v"]`, `"op":"sub","channels":["a"]`, `"op":"presence","channels":["a"]`, `"op":"fly"`, `"op":"pub","channel":"a","data":"x"`} {
		code := w.code(i+1, body)
		t.Require(code == "NOAUTH", "the code NOAUTH for {"+body+"} without a login", "%v", code)
	}
	t.DialTo(s).Ask("+OK\r\n", "AUTH", "right").Ask("$-1\r\n", "GET", "k").Ask(":0\r\n", "PUBLISH", "a", "x")
}

func tooFastCheck(t *check.T) {
	_, addr := withGateway(t, "-ws-ops-rate", "0.001", "-ws-ops-burst", "3")
	w := openWebSocket(t, addr, "").hears()
	for i := range 4 {
		w.send(`{"id":%d,"op":"presence","channels":[]}`, i+1)
	}
	m := w.until("an error with the code RATE for the fourth of four operations, of which three are allowed", func(m map[string]any) bool { return m["id"] == 4.0 })
	e, _ := m["error"].(map[string]any)
	t.Require(e["code"] == "RATE", "the code RATE", "%v", m)
	for i := range 4 {
		w.send(`{"id":%d,"op":"presence","channels":[]}`, i+5)
	}
	t.Hint("return what t.tooFast returns, which ends it in the end; and strikes never go below 0, or a browser gains patience by behaving well").Guide("Build it")
	code := w.closed()
	t.Require(code == 4029, "close code 4029, after four more", "%d", code)
}

func unknownOperation(t *check.T) {
	_, addr := withGateway(t)
	w := openWebSocket(t, addr, "")
	for i, body := range []string{`"op":"fly"`, `"op":""`, `"x":1`, `"op":"PING"`} {
		m := w.ask(i+1, body)
		t.Require(m["error"] != nil, "an error for {"+body+"}", "%v", m)
	}
	w.result(9, `"op":"presence","channels":[]`, `{}`)
}

func commandArrives(t *check.T) {
	s, addr := withGateway(t)
	c, w := t.DialTo(s), openWebSocket(t, addr, "")
	w.send(`{"id":1,"op":"cmd","args":["SET","k","from the browser"]}`)
	t.Until(t.Limit, `"from the browser" for GET k, over TCP`, func() (bool, string) {
		v := check.Text(c.Do("GET", "k"))
		return v == "from the browser", v
	})
	for _, in := range []string{`{"id":2,"op":"cmd","args":[]}`, `{"id":2,"op":"cmd","args":[{"x":1}]}`, `{"id":2,"op":"cmd"}`} {
		w.send("%s", in)
		t.Hint("arguments returns an error for %s: answer it with t.fail, and return nil", in)
		w.until("an error for "+in, func(m map[string]any) bool { return m["error"] != nil && m["id"] == 2.0 })
	}
}

func inOrder(t *check.T) {
	_, addr := withGateway(t, "-ws-ops-rate", "0")
	w := openWebSocket(t, addr, "")
	const n = 2000
	var lines []string
	for i := range n {
		lines = append(lines, fmt.Sprintf(`{"id":%d,"op":"ping"}`, i))
	}
	w.send("%s", strings.Join(lines, "\n"))
	i := 0
	w.until(fmt.Sprintf("PONG, %d times in order", n), func(m map[string]any) bool {
		t.Require(m["id"] == float64(i) && m["result"] == "PONG", fmt.Sprintf(`{"id":%d,"result":"PONG"}`, i), "%v", m)
		i++
		return i == n
	})
	w.send("%s", `{"id":1,"op":"ping"}`+"\n"+`{"id":2,"op":"presence","channels":[]}`+"\n"+`{"id":3,"op":"cmd","args":["ECHO","x"]}`)
	for range 3 {
		w.until("three answers", func(m map[string]any) bool { return m["result"] != nil })
	}
}

func moreThanAQueue(t *check.T) {
	_, addr := withGateway(t, "-ws-queue", "64kb", "-ws-ops-rate", "0")
	w := openWebSocket(t, addr, "")
	text := strings.Repeat("x", 8<<10)
	for i := range 40 {
		if i > 6 {
			t.Hint("the answers stop when about as much has been sent as the queue holds (64 KB): what was written must not count any more. Call s.out.wrote(batch) after each frame (pieces 8 and 9)")
		}
		w.result(i, `"op":"cmd","args":["ECHO","`+text+`"]`, `"`+text+`"`)
	}
	t.Hint("a message of 60,000 bytes is below the limit of 64 KiB, and must be answered")
	w.result(99, fmt.Sprintf(`"op":"cmd","args":["STRLEN","none"],"pad":"%s"`, strings.Repeat("x", 60_000)), `0`)
}

func countedCheck(t *check.T) {
	_, addr := withGateway(t)
	w := openWebSocket(t, addr, "")
	said := `{"id":1,"op":"cmd","args":["ECHO","x"]}` + "\n" + `{"id":2,"op":"cmd","args":["NOSUCH"]}`
	w.send("%s", said)
	w.until("two answers", func(m map[string]any) bool { return m["id"] == 2.0 })
	counted(t, addr, "byor_ws_received_messages_total 1", "read counts each message, whatever is in it, in metrics.received")
	counted(t, addr, fmt.Sprintf("byor_ws_received_bytes_total %d", len(said)), "read counts the bytes of each message in metrics.receivedBytes")
	counted(t, addr, "byor_ws_operations_total 2", "one counts each operation that it could decode in metrics.operations")
	counted(t, addr, "byor_ws_errors_total 1", "reply counts an error of the engine in metrics.errors")
	w.frame(true, wsText, []byte(strings.Repeat("x", 70_000)))
	w.closed()
	counted(t, addr, "byor_ws_closes_total{code=\"1009\"} 1", "for websocket.ErrReadLimit, read counts the close: countClose")
}

func loginCheck(t *check.T) {
	_, addr := withGateway(t, "-requirepass", "right", "-ws-hello-timeout", "1")
	w := openWebSocket(t, addr, "")
	code := w.code(1, `"op":"hello","auth":{"pass":"wrong"}`)
	if code == "NOPERM" {
		t.Hint("hello was refused although no transaction is open: notQueued is about operations inside MULTI, so ask t.multi as well (piece 10)")
	}
	t.Require(code == "WRONGPASS", "the code WRONGPASS", "%v", code)
	m := w.ask(2, `"op":"hello","name":"ann","auth":{"pass":"right"}`)
	r, _ := m["result"].(map[string]any)
	limits, _ := r["limits"].(map[string]any)
	t.Require(r["user"] == "ann" && limits["message"] == 65536.0, "a result with the user ann and the limits", "%v", m)
	w.result(3, `"op":"ping"`, `"PONG"`)
	w = openWebSocket(t, addr, "")
	got := w.closed()
	t.Require(got == 4001, "close code 4001 for a browser that says no hello", "%d", got)
}

func notInMultiCheck(t *check.T) {
	s, addr := withGateway(t)
	w := openWebSocket(t, addr, "")
	for i, op := range []string{`"op":"sub","channels":["a"]`, `"op":"hello","name":"x"`, `"op":"unsub"`} {
		t.Hint("")
		w.result(10*i+1, `"op":"cmd","args":["multi"]`, `"OK"`).result(10*i+2, `"op":"cmd","args":["SET","k","v"]`, `"QUEUED"`)
		m := w.ask(10*i+3, op)
		t.Require(m["error"] != nil, "an error for {"+op+"} inside MULTI", "%v", m)
		t.Hint("nothing is answered after a refusal: the refused operation is still on the list. It leaves it like any other, with t.done()")
		code := w.code(10*i+4, `"op":"cmd","args":["EXEC"]`)
		t.Hint("MULTI has not noticed the refusal: in one, ask with refusal(…) in the command's place (notQueued), when t.multi says so")
		t.Require(code == "EXECABORT", "the code EXECABORT for EXEC after that", "%v", code)
	}
	t.Hint("")
	t.DialTo(s).Ask("$-1\r\n", "GET", "k").Ask(":0\r\n", "PUBLISH", "a", "x")
}

func adminDenied(t *check.T) {
	s, addr := withGateway(t, "-ws-allow-commands", "config|get latency")
	c := t.DialTo(s).Ask("+OK\r\n", "SET", "k", "v")
	w := openWebSocket(t, addr, "")
	for i, args := range []string{`["FLUSHALL"]`, `["flushall"]`, `["CONFIG","SET","appendonly","yes"]`, `["Config","set","appendonly","yes"]`, `["SHUTDOWN","NOSAVE"]`,
		`["DEBUG","SLEEP","1"]`, `["REPLICAOF","NO","ONE"]`, `["SAVE"]`, `["CLIENT","KILL","TYPE","normal"]`, `["client","kill","TYPE","normal"]`} {
		code := w.code(i+1, `"op":"cmd","args":`+args)
		switch {
		case strings.ToUpper(args[:6]) != args[:6]:
			t.Hint("names are not case-sensitive: put the command's name, and the subcommand's, into lower case before you look them up")
		case i == 0 && code != "NOPERM" && w.code(100, `"op":"cmd","args":`+strings.ToLower(args)) == "NOPERM":
			t.Hint("a name is denied in lower case only. Put the command's name, and the subcommand's, into lower case before you look them up (piece 14)")
		case strings.Contains(args, "CLIENT"):
			t.Hint("some commands are denied with a subcommand only, as client|kill: look up the name with its subcommand, too")
		}
		t.Require(code == "NOPERM", "the code NOPERM for "+args, "%v", code)
		t.Hint("")
	}
	t.Hint("CLIENT ID, and what --ws-allow-commands allows, may be said: client|kill is denied, client is not, and g.denied[\"!config|get\"] is an exception")
	for i, args := range []string{`["CLIENT","ID"]`, `["CONFIG","GET","maxmemory"]`, `["LATENCY","RESET"]`} {
		m := w.ask(50+i, `"op":"cmd","args":`+args)
		t.Require(m["error"] == nil, "no error for "+args, "%v", m)
	}
	c.Ask(check.Bulk("v"), "GET", "k")
}

func presenceForged(t *check.T) {
	s, addr := withGateway(t)
	w, c := openWebSocket(t, addr, ""), t.DialTo(s)
	for i, name := range []string{"PUBLISH", "publish", "SPUBLISH", "spublish"} {
		m := w.ask(i+1, `"op":"cmd","args":["`+name+`","__presence__:room","forged"]`)
		e, _ := m["error"].(map[string]any)
		if i > 1 {
			t.Hint("presence can be forged by SPUBLISH: refuse it like PUBLISH")
		}
		t.Require(e["code"] == "NOPERM" && strings.Contains(fmt.Sprint(e["message"]), "presence is announced"), "NOPERM for "+name+" __presence__:room, with the guard's words", "%v", m)
	}
	t.Hint("")
	code := w.code(9, `"op":"pub","channel":"__presence__:room","data":"forged"`)
	t.Require(code == "NOPERM", "the code NOPERM for pub", "%v", code)
	w.result(10, `"op":"cmd","args":["PUBLISH","room","x"]`, `0`).result(11, `"op":"cmd","args":["SPUBLISH","room","x"]`, `0`)
	for _, name := range []string{"PUBLISH", "SPUBLISH"} {
		v := c.Do(name, "__presence__:room", "forged")
		t.Require(v.IsError(), "an error for "+name+" __presence__:room over TCP", "%s", check.Text(v))
	}
	c.Ask("+OK\r\n", "MULTI")
	v := c.Do("PUBLISH", "__presence__:room", "forged")
	if !v.IsError() {
		v = c.Do("EXEC")
		t.Require(v.IsError() || len(v.Elems) == 1 && v.Elems[0].IsError(), "an error for PUBLISH __presence__:room inside MULTI", "%s", check.Text(v))
	}
}

func subscriptions(t *check.T) {
	s, addr := withGateway(t)
	c, w := t.DialTo(s), openWebSocket(t, addr, "")
	w.result(1, `"op":"sub","channels":["a","b"],"patterns":["log.*"]`, `{"subscribed":["a","b","log.*"]}`)
	c.Ask("*4\r\n"+check.Bulk("a")+":1\r\n"+check.Bulk("b")+":1\r\n", "PUBSUB", "NUMSUB", "a", "b").Ask(":1\r\n", "PUBSUB", "NUMPAT")
	w.result(2, `"op":"unsub","channels":["a"]`, `{"unsubscribed":["a"]}`)
	c.Ask("*4\r\n"+check.Bulk("a")+":0\r\n"+check.Bulk("b")+":1\r\n", "PUBSUB", "NUMSUB", "a", "b")
	m := w.ask(3, `"op":"unsub"`)
	t.Require(fmt.Sprint(m["result"]) == "map[unsubscribed:[b log.*]]", `{"unsubscribed":["b","log.*"]}: without names, all`, "%v", m)
	w.result(4, `"op":"unsub"`, `{"unsubscribed":[]}`)
	c.Ask(":0\r\n", "PUBSUB", "NUMPAT")
}

func browserCommands(t *check.T) {
	s, addr := withGateway(t)
	c, w := t.DialTo(s), openWebSocket(t, addr, "")
	w.result(1, `"op":"cmd","args":["SET","k","from the browser"]`, `"OK"`)
	c.Ask(check.Bulk("from the browser"), "GET", "k").Ask("+OK\r\n", "SET", "k", "from TCP")
	w.result(2, `"op":"cmd","args":["GET","k"]`, `"from TCP"`).result(3, `"op":"cmd","args":["INCR","n"]`, `1`).
		result(4, `"op":"cmd","args":["GET","none"]`, `null`).result(5, `"op":"cmd","args":["SET","b",{"b64":"/wA="}]`, `"OK"`).
		result(6, `"op":"cmd","args":["GET","b"]`, `{"b64":"/wA="}`)
	c.Ask(check.Bulk("\xff\x00"), "GET", "b")
	e, _ := w.ask(7, `"op":"cmd","args":["INCR","k"]`)["error"].(map[string]any)
	t.Require(e["code"] == "ERR" && strings.Contains(fmt.Sprint(e["message"]), "not an integer"), `an error with "code":"ERR" and Redis's message`, "%v", e)
}

func pubsubAcross(t *check.T) {
	s, addr := withGateway(t)
	c, w := t.DialTo(s), openWebSocket(t, addr, "byor.json.v1")
	w.ask(1, `"op":"sub","channels":["room"],"patterns":["log.*"]`)
	c.Ask(":1\r\n", "PUBLISH", "room", "from redis-cli").Ask(":1\r\n", "PUBLISH", "log.a", "x")
	is := func(want map[string]any) {
		b, _ := json.Marshal(want)
		w.until(string(b), func(m map[string]any) bool {
			for k, v := range want {
				if m[k] != v {
					return false
				}
			}
			return true
		})
	}
	is(map[string]any{"push": "message", "channel": "room", "data": "from redis-cli"})
	is(map[string]any{"push": "pmessage", "pattern": "log.*", "channel": "log.a", "data": "x"})
	for i := range 30 { // each finds the browser idle
		c.Ask(":1\r\n", "PUBLISH", "room", fmt.Sprint(i))
		is(map[string]any{"push": "message", "channel": "room", "data": fmt.Sprint(i)})
	}
	sub := t.DialTo(s).Ask(step07.Push("subscribe", "room", 1), "SUBSCRIBE", "room")
	w.result(2, `"op":"pub","channel":"room","data":"from the browser"`, `2`)
	sub.Expect(step07.Message("room", "from the browser"))
	w.ask(3, `"op":"unsub","channels":["room"]`)
	sub.Close()
	t.Until(t.Limit, "PUBLISH answers 0 once both have left", func() (bool, string) {
		v := check.Text(c.Do("PUBLISH", "room", "x"))
		return v == "0", v
	})
}

// answerFirst subscribes to a channel to which somebody publishes all the time. The patterns are so
// long that the engine reads them for a while after it has obeyed SUBSCRIBE.
func answerFirst(t *check.T) {
	s, addr := withGateway(t, "-ws-ops-rate", "0", "-ws-max-message", "8mb", "-ws-queue", "64mb")
	w := openWebSocket(t, addr, "")
	var patterns []string
	for i := range 100 {
		patterns = append(patterns, fmt.Sprintf("%d%s", i, strings.Repeat("x", 40_000)))
	}
	long, _ := json.Marshal(patterns)
	var over atomic.Bool
	t.Parallel(2, func(i int) {
		if i > 0 {
			for c := t.DialTo(s); !over.Load(); {
				c.Do("PUBLISH", "busy", "x")
			}
			return
		}
		defer over.Store(true)
		for n := range 3 {
			w.send(`{"id":%d,"op":"sub","channels":["busy"],"patterns":%s}`, 2*n, long)
			first := w.until("the answer to sub", func(map[string]any) bool { return true })
			t.Require(first["push"] == nil, "the answer to sub before its first message", "%v", first)
			w.until("a message", isPush("message"))
			w.ask(2*n+1, `"op":"unsub"`)
		}
	})
}

func manyAtOnce(t *check.T) {
	s, addr := withGateway(t, "-ws-ops-rate", "0", "-ws-queue", "64mb")
	w := openWebSocket(t, addr, "")
	w.ask(1, `"op":"sub","channels":["busy"]`)
	// A message that no socket's buffer takes whole: while we do not read, it is being written, and
	// a second writer writes into its middle.
	const huge = 24 << 20
	p := t.DialTo(s).Ask(":1\r\n", "PUBLISH", "busy", strings.Repeat("x", huge))
	for n := range 3 {
		w.send(`{"id":%d,"op":"cmd","args":["INCR","before"]}`, 10+n)
	}
	t.Until(t.Limit, "3 for GET before, while the browser does not read", func() (bool, string) {
		v := p.Do("GET", "before")
		return string(v.Str) == "3", string(v.Str)
	})
	w.until("the message, and behind it the replies in order", func(m map[string]any) bool {
		if m["push"] == "message" {
			return false
		}
		return m["id"] == float64(12) && m["result"] == float64(3)
	})
	const each = 300
	t.Parallel(3, func(i int) {
		if i > 0 {
			p := t.DialTo(s)
			for range each {
				p.Ask(":1\r\n", "PUBLISH", "busy", strings.Repeat("x", 200))
			}
			return
		}
		for n := range each {
			w.send(`{"id":%d,"op":"cmd","args":["INCR","n"]}`, 100+n)
		}
		replies, pushes := 0, 0
		w.until(fmt.Sprintf("%d replies in order and %d messages", each, 2*each), func(m map[string]any) bool {
			if m["push"] == "message" {
				pushes++
			} else {
				replies++
				t.Require(m["result"] == float64(replies) && m["id"] == float64(99+replies), fmt.Sprintf("reply %d", replies), "%v", m)
			}
			if replies == each && pushes < 2*each {
				t.Hint("all replies came, and then messages were missing. If the last ones stay in the queue, put does not wake the writer: o.rouse() (piece 7)")
			}
			return replies == each && pushes == 2*each
		})
	})
}

func slowBrowser(t *check.T) {
	s, addr := withGateway(t)
	slow, live := openWebSocket(t, addr, ""), openWebSocket(t, addr, "")
	slow.ask(1, `"op":"sub","channels":["fast"]`)
	live.ask(1, `"op":"sub","channels":["fast"]`)
	c := t.DialTo(s)
	payload := strings.Repeat("x", 32<<10)
	ended := false
	for i := 0; i < 1500 && !ended; i++ {
		v := c.Do("PUBLISH", "fast", payload)
		t.Require(v.Int >= 1, "PUBLISH reaches the browser that reads", "%s", check.Text(v))
		live.until("each message at the browser that reads", func(m map[string]any) bool { return m["push"] == "message" })
		ended = v.Int == 1
	}
	t.Hint("bound its queue; when that is full close with 4008, and end the session at once: the writer may hang in a write, but a subscriber must not stay (send, piece 8)")
	t.Require(ended, "the browser that reads nothing is ended before it is 48 MB behind", "PUBLISH still counts two")
	code := slow.closed()
	t.Hint("say why: the close code of a browser that is too slow is 4008").
		Require(code == 4008, "close code 4008, once it reads again", "%d", code)
	live.result(2, `"op":"cmd","args":["ECHO","alive"]`, `"alive"`)
}

// queuedFirst lets more be published than the connection holds, and breaks a rule. The browser reads only
// then, so that something is left in the queue.
func queuedFirst(t *check.T) {
	s, addr := withGateway(t, "-ws-queue", "64mb")
	c, w := t.DialTo(s), openWebSocket(t, addr, "")
	w.ask(1, `"op":"sub","channels":["long"]`)
	const n = 600
	long := strings.Repeat("x", 32<<10)
	for i := range n {
		c.Ask(":1\r\n", "PUBLISH", "long", fmt.Sprint(i, " ", long))
	}
	w.send(`{"id":2,"op":"sub","channels":["mark"],"presence":true}`)
	other, id := openWebSocket(t, addr, ""), 0
	t.Until(2*t.Limit, "the browser is present in a channel that it joined behind the messages, so all of them are in its queue", func() (bool, string) {
		id++
		m := other.ask(id, `"op":"presence","channels":["mark"]`)
		text, _ := json.Marshal(m["result"])
		return strings.Contains(string(text), `"users":1`), string(text)
	})
	w.frame(true, wsBinary, []byte("x"))
	for i := range n {
		m := w.until(fmt.Sprintf("%d messages before the close frame", n), isPush("message"))
		data, _ := m["data"].(string)
		t.Require(strings.HasPrefix(data, fmt.Sprint(i, " ")), fmt.Sprintf("message %d", i), "%.20s", data)
	}
	code := w.closed()
	t.Require(code == 1003, "close code 1003 behind the messages", "%d", code)
}

func silentBrowser(t *check.T) {
	s, addr := withGateway(t, "-ws-ping", "0.3", "-ws-read-timeout", "2")
	silent, alive := openWebSocket(t, addr, ""), openWebSocket(t, addr, "")
	silent.ask(1, `"op":"sub","channels":["room"]`)
	alive.ask(1, `"op":"sub","channels":["room"]`)
	go func() { // well beyond the read timeout, and nothing but pings meanwhile
		time.Sleep(4500 * time.Millisecond)
		if c, err := t.TryDial(s); err == nil {
			c.TrySend("*3\r\n$7\r\nPUBLISH\r\n$4\r\nroom\r\n$2\r\nhi\r\n")
		}
	}()
	limit := t.Limit
	t.Limit += 5 * time.Second
	alive.until("a message after 4.5 s of nothing but pings (limit 2 s)", func(m map[string]any) bool { return m["push"] == "message" })
	t.Limit = limit
	// What was sent to the silent one is still in its socket; behind it must be the end.
	silent.c.SetReadDeadline(t.Deadline(t.Limit))
	b, err := io.ReadAll(silent.br)
	var timeout net.Error
	t.Require(!(errors.As(err, &timeout) && timeout.Timeout()), "the end of a connection that answers no ping", "%d bytes, and it is open", len(b))
	t.Require(!bytes.Contains(b, []byte("message")), "no messages to a browser that is gone", "%s", trace.Visible(b, 200))
}
