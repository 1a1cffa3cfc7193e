package check

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"byor/pkg/check/process"
	"byor/pkg/check/trace"
	"byor/pkg/resp"
)

// Step 10: two protocols on one engine. What speaks RESP over TCP is asked of a real redis-server,
// too; what is about the gateway cannot be.

const noGateway = "a real redis-server has no WebSocket gateway"

func init() {
	register(10, 0,
		Check{Name: "transaction", What: "MULTI, EXEC, DISCARD and WATCH", Run: transaction,
			Hint: "queue between MULTI and EXEC, run as one unit; a watched key that changed makes EXEC answer a null array"},
		Check{Name: "resp3", What: "HELLO 3 switches this connection to RESP3", Run: resp3,
			Hint: "the protocol is a property of the session: maps, nulls and pushes are written by its version"},
		Check{Name: "databases", What: "SELECT, and SCAN over many keys", Run: databases, Own: true,
			Hint: "each session has its database; SCAN returns every element that was there all the time"},
		Check{Name: "http-on-the-wire", What: "an HTTP request on the RESP port is hung up on", Run: httpOnTheWire,
			Hint: "a browser that was tricked into POSTing to the RESP port must not get commands executed: POST and Host: close"})
	gateway := []Check{
		{Name: "page", What: "the page, /healthz, /readyz and /metrics answer", Run: page,
			Hint: "embed the page, from no other host; /readyz says 200 when commands are served", Guide: "Build it"},
		{Name: "browser-commands", What: "a browser's commands reach the engine that TCP reaches", Run: browserCommands,
			Hint: "one execution path: the gateway hands commands to the same session code as TCP", Guide: "Build it"},
		{Name: "pubsub-across", What: "redis-cli PUBLISH reaches the browser, and the other way round", Run: pubsubAcross,
			Hint: "one hub for both protocols: push and encode turn what the session says into JSON (Build it, 7 and 8)", Guide: "Build it"},
		{Name: "raw-resp", What: "byor.resp.v1 carries a RESP stream, cut anywhere", Run: rawRESP,
			Hint: "frames are no command boundaries: feed their bytes to the parser, and answer all commands of a frame"},
		{Name: "raw-limits", What: "a command that never ends is not collected in memory", Run: rawLimits,
			Hint: "a peer announces what it never sends, or sends it in small frames: Limits.MaxBulk and a bound on Buffered (Build it, 9)", Guide: "Build it"},
		{Name: "answer-first", What: "the answer to sub comes before the first message", Run: answerFirst, Slow: 2,
			Hint: "a message may come between two confirmations of one sub: hold it back until the answer is out (Build it, 7)", Guide: "Build it"},
		{Name: "many-at-once", What: "replies and pushes of a busy browser come whole", Run: manyAtOnce, Slow: 2,
			Hint: "two writers on one WebSocket interleave frames (or panic): all writes go through one goroutine"},
		{Name: "origin", What: "a page from elsewhere may not connect", Run: originCheck,
			Hint: "any origin allowed means that every page in the world may send commands: compare Origin with Host, and Host with the names you have"},
		{Name: "message-limit", What: "a message over 64 KiB is refused", Run: messageLimit,
			Hint: "no read limit lets one browser take all memory: SetReadLimit; the close code is 1009"},
		{Name: "admin-denied", What: "administrative commands are denied to browsers", Run: adminDenied,
			Hint: "SHUTDOWN, CONFIG, DEBUG and their like need a list of what a browser may not do"},
		{Name: "bad-json", What: "nonsense gets an error and the connection lives", Run: badJSON,
			Hint: "an unknown operation or bad JSON is the client's mistake, not the end", Guide: "Build it"},
		{Name: "slow-browser", What: "a browser that reads nothing is ended and delays nobody", Run: slowBrowser, Slow: 4,
			Hint: "one slow browser stalls all when the publisher waits for it: bound its queue, and close it (4008) when that is full"},
		{Name: "goodbye", What: "SIGTERM says goodbye to browsers (1001) and exits with 0", Run: goodbye, Slow: 2,
			Hint: "http.Server.Shutdown does not touch hijacked connections: keep track of them, send goodbye, close with 1001 (Drain: Build it, 10)"},
	}
	for i := range gateway {
		gateway[i].Own, gateway[i].NotRedis = true, noGateway
	}
	register(10, 0, gateway...)
}

func transaction(t *T) {
	a, b, c := t.Key("a"), t.Key("b"), t.Dial()
	c.Ask("+OK\r\n", "MULTI").Ask("+QUEUED\r\n", "SET", a, "1").Ask("+QUEUED\r\n", "INCR", a).Ask("*2\r\n+OK\r\n:2\r\n", "EXEC").
		Ask("+OK\r\n", "MULTI").Ask("+QUEUED\r\n", "SET", a, "9").Ask("+OK\r\n", "DISCARD").Ask(Bulk("2"), "GET", a).
		Ask("+OK\r\n", "WATCH", b)
	t.Dial().Ask("+OK\r\n", "SET", b, "changed")
	c.Ask("+OK\r\n", "MULTI").Ask("+QUEUED\r\n", "SET", a, "9").Ask("*-1\r\n", "EXEC").Ask(Bulk("2"), "GET", a).
		Ask("+OK\r\n", "MULTI").Ask(Err("ERR wrong number of arguments for 'get' command"), "GET").
		Ask(Err("EXECABORT Transaction discarded because of previous errors."), "EXEC").Ask(Err("ERR EXEC without MULTI"), "EXEC")
}

func resp3(t *T) {
	c := t.Dial()
	v := c.Do("HELLO", "3")
	t.Require(v.Kind == resp.Map, "a map (%) in answer to HELLO 3", "%c", v.Kind)
	k := t.Key("none")
	c.Ask("_\r\n", "GET", k).Ask(">3\r\n"+Bulk("subscribe")+Bulk(k)+":1\r\n", "SUBSCRIBE", k).
		Hint("in RESP3 a subscriber may run any command").Ask("_\r\n", "GET", k)
	t.Dial().Ask(":1\r\n", "PUBLISH", k, "x")
	c.Expect(">3\r\n" + Bulk("message") + Bulk(k) + Bulk("x"))
	t.Dial().Hint("other connections stay in RESP2").Ask("$-1\r\n", "GET", k)
}

func databases(t *T) {
	s := t.Start(process.Options{})
	c := t.DialTo(s)
	c.Ask("+OK\r\n", "SET", "k", "zero").Ask("+OK\r\n", "SELECT", "1").Ask("$-1\r\n", "GET", "k").Ask("+OK\r\n", "SET", "k", "one").
		Ask(Err("ERR DB index is out of range"), "SELECT", "16").Ask("+OK\r\n", "SELECT", "0").Ask(Bulk("zero"), "GET", "k")
	c.fillKeys("scan:", 3000)
	seen, cursor := map[string]bool{}, "0"
	for range 10_000 {
		v := c.Do("SCAN", cursor, "MATCH", "scan:*")
		t.Require(len(v.Elems) == 2, "a cursor and keys", "%s", str(v))
		for _, e := range v.Elems[1].Elems {
			seen[str(e)] = true
		}
		if cursor = str(v.Elems[0]); cursor == "0" {
			break
		}
		c.Ask("+OK\r\n", "SET", "more:"+cursor, "v") // the table may grow meanwhile
	}
	t.Require(len(seen) == 3000 && cursor == "0", "all 3000 keys, then cursor 0", "%d keys, cursor %s", len(seen), cursor)
}

func httpOnTheWire(t *T) {
	for _, in := range []string{"POST / HTTP/1.1\r\nHost: x\r\n\r\nSET hacked 1\r\n", "Host: localhost\r\nSET hacked 1\r\n"} {
		c := t.Dial()
		c.TrySend(in)
		rest := string(c.Rest())
		t.Require(!strings.Contains(rest, "OK"), "nothing executed, the connection closed", "%s", trace.Visible([]byte(rest), 200))
	}
	t.Dial().Ask("$-1\r\n", "GET", "hacked")
}

// withGateway starts a server with its gateway on and returns the gateway's address.
func (t *T) withGateway(extra ...string) (*process.Server, string) {
	n := fmt.Sprint(t.Port())
	s := t.Start(process.Options{Extra: append([]string{"-http-port", n}, extra...)})
	addr := "127.0.0.1:" + n
	t.Until(t.limit, "an HTTP server on "+addr, func() (bool, string) {
		res, err := http.Get("http://" + addr + "/healthz")
		if err != nil {
			return false, plainErr(err) + s.Obituary()
		}
		res.Body.Close()
		return true, ""
	})
	for by := t.deadline(t.limit); time.Now().Before(by); t.Sleep(10 * time.Millisecond) {
		res, err := http.Get("http://" + addr + "/readyz")
		if err != nil {
			break
		}
		if res.Body.Close(); res.StatusCode != http.StatusServiceUnavailable { // it may still be loading
			break
		}
	}
	return s, addr
}

func page(t *T) {
	_, addr := t.withGateway()
	get := func(path string) (string, string) {
		res, err := http.Get("http://" + addr + path)
		if err != nil {
			t.Fail("an answer to GET "+path, plainErr(err))
		}
		defer res.Body.Close()
		b, _ := io.ReadAll(res.Body)
		if res.StatusCode == http.StatusForbidden {
			t.Hint("the lock refuses a Host that is a plain address (Build it, 2)").Guide("Build it")
		}
		t.Require(res.StatusCode == 200, "200 for "+path, "%s", res.Status)
		return string(b), res.Header.Get("Content-Type")
	}
	html, typ := get("/")
	t.Require(strings.HasPrefix(typ, "text/html") && strings.Contains(html, "<script"), "a page with a script", "%s", typ)
	for _, away := range []string{`src="http`, `src="//`, `href="http`, `href="//`} {
		t.Require(!strings.Contains(html, away), "a page that loads nothing from other hosts", "%s", away)
	}
	get("/healthz")
	get("/readyz")
	metrics, _ := get("/metrics")
	t.Require(strings.Contains(metrics, "# TYPE "), "metrics in Prometheus's text format", "%.200s", metrics)
}

func browserCommands(t *T) {
	s, addr := t.withGateway()
	c, w := t.DialTo(s), t.webSocket(addr, "")
	w.result(1, `"op":"cmd","args":["SET","k","from the browser"]`, `"OK"`)
	c.Ask(Bulk("from the browser"), "GET", "k").Ask("+OK\r\n", "SET", "k", "from TCP")
	w.result(2, `"op":"cmd","args":["GET","k"]`, `"from TCP"`).result(3, `"op":"cmd","args":["INCR","n"]`, `1`).
		result(4, `"op":"cmd","args":["GET","none"]`, `null`).result(5, `"op":"cmd","args":["SET","b",{"b64":"/wA="}]`, `"OK"`).
		result(6, `"op":"cmd","args":["GET","b"]`, `{"b64":"/wA="}`)
	c.Ask(Bulk("\xff\x00"), "GET", "b")
	e, _ := w.ask(7, `"op":"cmd","args":["INCR","k"]`)["error"].(map[string]any)
	t.Require(e["code"] == "ERR" && strings.Contains(fmt.Sprint(e["message"]), "not an integer"), `an error with "code":"ERR" and Redis's message`, "%v", e)
}

func pubsubAcross(t *T) {
	s, addr := t.withGateway()
	c, w := t.DialTo(s), t.webSocket(addr, "byor.json.v1")
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
	sub := t.DialTo(s).Ask(push("subscribe", "room", 1), "SUBSCRIBE", "room")
	w.result(2, `"op":"pub","channel":"room","data":"from the browser"`, `2`)
	sub.Expect(message("room", "from the browser"))
	w.ask(3, `"op":"unsub","channels":["room"]`)
	sub.Close()
	t.Until(t.limit, "PUBLISH answers 0 once both have left", func() (bool, string) {
		v := str(c.Do("PUBLISH", "room", "x"))
		return v == "0", v
	})
}

func rawRESP(t *T) {
	_, addr := t.withGateway()
	w := t.webSocket(addr, "byor.resp.v1")
	stream := cmds("SET raw 1", "INCR raw", "GET raw") + "PING\r\n"
	want := "+OK\r\n:2\r\n$1\r\n2\r\n+PONG\r\n"
	collect := func(n int) string {
		got := ""
		for len(got) < n {
			op, b, err := w.hearRaw()
			if err != nil || op != wsBinary {
				t.Fail(trace.Visible([]byte(want), 0)+" in binary frames", fmt.Sprintf("%s, then type %d, %v", trace.Visible([]byte(got), 0), op, err))
			}
			got += string(b)
		}
		return got
	}
	w.frame(true, wsBinary, []byte(stream))
	got := collect(len(want))
	t.Require(got == want, trace.Visible([]byte(want), 0), "%s", trace.Visible([]byte(got), 0))
	for at := 1; at < len(stream)-1; at++ { // frames and fragments
		w.frame(true, wsBinary, []byte(stream[:at]))
		w.frame(false, wsBinary, []byte(stream[at:at+1]))
		w.frame(true, 0, []byte(stream[at+1:]))
		got := collect(len(want))
		t.Require(got == want, trace.Visible([]byte(want), 0), "%s", trace.Visible([]byte(got), 0))
	}
	if _, status := t.tryWebSocket(addr, "no.such.protocol", nil); status != 400 {
		t.Fail("400 for a subprotocol that does not exist", fmt.Sprint(status))
	}
}

func rawLimits(t *T) {
	_, addr := t.withGateway("-ws-queue", "64kb")
	ends := func(w *webSocket, want string, code int) {
		got := ""
		for {
			op, b, err := w.hearRaw()
			if err != nil {
				t.Fail(fmt.Sprintf("a close frame with code %d", code), fmt.Sprintf("%s, then %s", trace.Visible([]byte(got), 200), plainErr(err)))
			}
			if op == wsClose {
				t.Hint("bytes that are no command end the stream with 1007, a command that is too large with 1009 (Build it, 9)").
					Require(closeCode(b) == code, fmt.Sprintf("close code %d", code), "%d", closeCode(b))
				break
			}
			got += string(b)
		}
		t.Hint("what was right before the broken bytes is answered first, then comes the error, then the close (Build it, 9)").
			Require(got == want, trace.Visible([]byte(want), 0), "%s", trace.Visible([]byte(got), 200))
	}
	w := t.webSocket(addr, "byor.resp.v1")
	w.frame(true, wsBinary, []byte(cmds("PING")+"*2\r\n$4\r\nECHO\r\n$100000\r\n"))
	ends(w, "+PONG\r\n-ERR Protocol error: invalid bulk length\r\n", 1007)
	t.Hint("a peer sends a command in small frames that never ends: a bound on Buffered (Build it, 9)")
	w = t.webSocket(addr, "byor.resp.v1")
	w.frame(true, wsBinary, []byte(cmds("PING")))
	op, b, err := w.hearRaw()
	t.Require(err == nil && op == wsBinary && string(b) == "+PONG\r\n", "+PONG in a binary frame", "%s %v", trace.Visible(b, 0), err)
	w.frame(true, wsBinary, []byte("*1000\r\n"))
	arg := Bulk(strings.Repeat("x", 30_000))
	for range 8 {
		w.frame(true, wsBinary, []byte(arg))
	}
	ends(w, "", 1009)
}

// answerFirst subscribes to a channel to which somebody publishes all the time. The patterns are so
// long that the engine reads them for a while after it has obeyed SUBSCRIBE.
func answerFirst(t *T) {
	s, addr := t.withGateway("-ws-ops-rate", "0", "-ws-max-message", "8mb", "-ws-queue", "64mb")
	w := t.webSocket(addr, "")
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

func manyAtOnce(t *T) {
	s, addr := t.withGateway("-ws-ops-rate", "0", "-ws-queue", "64mb")
	w := t.webSocket(addr, "")
	w.ask(1, `"op":"sub","channels":["busy"]`)
	// A message that no socket's buffer takes whole: while we do not read, it is being written, and
	// whoever writes beside it writes into its middle.
	const huge = 24 << 20
	p := t.DialTo(s).Ask(":1\r\n", "PUBLISH", "busy", strings.Repeat("x", huge))
	for n := range 3 {
		w.send(`{"id":%d,"op":"cmd","args":["INCR","before"]}`, 10+n)
	}
	t.Until(t.limit, "3 for GET before, while the browser does not read", func() (bool, string) {
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
			return replies == each && pushes == 2*each
		})
	})
}

func originCheck(t *T) {
	_, addr := t.withGateway()
	w, status := t.tryWebSocket(addr, "", map[string]string{"Origin": "http://" + addr})
	if w == nil {
		t.notUpgraded(status)
		t.Fail("101 for our own page", fmt.Sprint(status))
	}
	for what, h := range map[string]map[string]string{
		"a page from another host":              {"Origin": "http://evil.example"},
		"the same host name, another port":      {"Origin": "http://127.0.0.1:1"},
		"a name that is not ours (rebinding)":   {"Host": "evil.example", "Origin": "http://evil.example"},
		"an origin that is no address (a file)": {"Origin": "null"},
	} {
		_, status := t.tryWebSocket(addr, "", h)
		t.Require(status == 403, "403 for "+what, "%d", status)
	}
}

func messageLimit(t *T) {
	_, addr := t.withGateway()
	w := t.webSocket(addr, "")
	fits := strings.Repeat("x", 60_000)
	w.result(1, fmt.Sprintf(`"op":"cmd","args":["STRLEN","none"],"pad":"%s"`, fits), `0`)
	w.send(`{"id":2,"op":"ping","pad":"%s"}`, strings.Repeat("x", 65_536))
	code := w.closed()
	t.Require(code == 1009, "close code 1009", "%d", code)
	t.webSocket(addr, "").result(1, `"op":"cmd","args":["STRLEN","none"]`, `0`)
}

func adminDenied(t *T) {
	s, addr := t.withGateway()
	c := t.DialTo(s).Ask("+OK\r\n", "SET", "k", "v")
	w := t.webSocket(addr, "")
	for i, args := range []string{`["CONFIG","SET","appendonly","yes"]`, `["flushall"]`, `["SHUTDOWN","NOSAVE"]`, `["DEBUG","SLEEP","1"]`,
		`["REPLICAOF","NO","ONE"]`, `["SAVE"]`, `["CLIENT","KILL","TYPE","normal"]`} {
		m := w.ask(i+1, `"op":"cmd","args":`+args)
		t.Require(m["error"] != nil, "an error for "+args, "%v", m)
	}
	t.Hint("names of presence: nobody but the gateway may publish to a channel that begins with __presence__: (Build it, 2)")
	m := w.ask(20, `"op":"cmd","args":["publish","__presence__:room","forged"]`)
	t.Require(m["error"] != nil, "an error for PUBLISH __presence__:room", "%v", m)
	t.Hint("what a browser may not do, it may not do in byor.resp.v1, either: ask the guard there, too")
	raw := t.webSocket(addr, "byor.resp.v1")
	raw.frame(true, wsBinary, []byte(cmds("FLUSHALL")))
	op, b, err := raw.hearRaw()
	t.Require(err == nil && op == wsBinary && strings.HasPrefix(string(b), "-"), "an error for FLUSHALL in byor.resp.v1", "%s %v", trace.Visible(b, 0), err)
	c.Ask(Bulk("v"), "GET", "k")
}

func badJSON(t *T) {
	_, addr := t.withGateway()
	w := t.webSocket(addr, "")
	for _, in := range []string{`not json`, `{"id":1,"op":"fly"}`, `{"id":1}`, `[1,2]`, `{"id":1,"op":"cmd","args":[]}`, `{"id":1,"op":"cmd","args":[{"x":1}]}`} {
		w.send("%s", in)
		w.until("an error for "+in, func(m map[string]any) bool { return m["error"] != nil })
	}
	t.Hint("the nonsense was answered, the command after it is not: is reply written (Build it, 7)? Else the connection does not live")
	w.result(2, `"op":"cmd","args":["ECHO","alive"]`, `"alive"`)
}

func slowBrowser(t *T) {
	s, addr := t.withGateway()
	slow, live := t.webSocket(addr, ""), t.webSocket(addr, "")
	slow.ask(1, `"op":"sub","channels":["fast"]`)
	live.ask(1, `"op":"sub","channels":["fast"]`)
	c := t.DialTo(s)
	payload := strings.Repeat("x", 32<<10)
	ended := false
	for i := 0; i < 1500 && !ended; i++ {
		v := c.Do("PUBLISH", "fast", payload)
		t.Require(v.Int >= 1, "PUBLISH reaches the browser that reads", "%s", str(v))
		live.until("each message at the browser that reads", func(m map[string]any) bool { return m["push"] == "message" })
		ended = v.Int == 1
	}
	t.Hint("bound its queue; when that is full close with 4008, and end the session at once: the writer may hang in a write, but a subscriber must not stay (Build it, 5)")
	t.Require(ended, "the browser that reads nothing is ended before it is 48 MB behind", "PUBLISH still counts two")
	code := slow.closed()
	t.Hint("say why: the close code of a browser that is too slow is 4008").
		Require(code == 4008, "close code 4008, once it reads again", "%d", code)
	live.result(2, `"op":"cmd","args":["ECHO","alive"]`, `"alive"`)
}

func goodbye(t *T) {
	s, addr := t.withGateway()
	w := t.webSocket(addr, "")
	w.result(1, `"op":"cmd","args":["SET","k","v"]`, `"OK"`)
	begin := time.Now()
	s.Signal(process.SigTerm)
	w.until("a push goodbye", func(m map[string]any) bool { return m["push"] == "goodbye" })
	code := w.closed()
	t.Require(code == 1001, "close code 1001", "%d", code)
	t.Hint("Drain waits until who was sent away has hung up; for so long nobody new is let in, and /readyz says 503 (Build it, 10)")
	t.Sleep(2 * time.Second) // who does not wait for browsers has gone by now
	res, err := http.Get("http://" + addr + "/readyz")
	if err != nil {
		t.Fail("503 for /readyz while a browser has not hung up", plainErr(err))
	}
	res.Body.Close()
	t.Require(res.StatusCode == 503, "503 for /readyz while a browser has not hung up", "%s", res.Status)
	_, status := t.tryWebSocket(addr, "", nil)
	t.Require(status == 503, "503 for a browser that comes now", "%d", status)
	w.frame(true, wsClose, []byte{0x03, 0xe9})
	w.c.Close()
	t.exits(s, 2*t.limit+5*time.Second)
	t.Require(time.Since(begin) < 20*time.Second, "an exit soon after", "%v", time.Since(begin))
	t.again(s)
	t.DialTo(s).Ask(Bulk("v"), "GET", "k")
}
