package step10

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"byor/pkg/check"
	"byor/pkg/check/process"
)

// The exercises of step 10.

func init() {
	for ex, c := range map[int]check.Check{
		1: {Name: "dashboard", What: "the operation stats reports as often as it is asked to", Run: exDashboard, Slow: 2,
			Hint: "one goroutine with a ticker, ended by every:0, by another stats, or by the socket's end; all writes through send"},
		2: {Name: "latest", What: "a slow browser that wants the latest only is kept, and gets it", Run: exLatest, Slow: 4,
			Hint: "while a channel's message waits in the queue, the next takes its place: the queue holds one a channel, and cannot overflow"},
		3: {Name: "origin-and-auth", What: "origins with a star, and a lock-out after five wrong passwords", Run: exOriginAndAuth, Slow: 2,
			Hint: "*.example.org is a name below example.org: mind evilexample.org and example.org.evil.net; count wrong passwords by address, not by connection"},
		4: {Name: "resume", What: "follow continues a stream where the client left off", Run: exResume, Slow: 2,
			Hint: "XREAD with the last id that the client has; find the place before you answer, or what is added meanwhile is lost"},
		5: {Name: "take", What: "take lets as many in as the limit says, from all sockets together, by one script", Run: exTake, Slow: 2,
			Hint: "EVAL a script that INCRs, sets the deadline when the reply is 1, and compares: between two commands somebody else comes in, or you die"},
		6: {Name: "delivery-time", What: "/metrics has a histogram of the time in the queue", Run: exDeliveryTime, Slow: 2,
			Hint: "note the time when a message is queued and observe when it is written; buckets are cumulative, +Inf is the count"},
	} {
		c.Own, c.NotRedis = true, noGateway
		check.Register(10, ex, c)
	}
}

func isPush(kind string) func(map[string]any) bool {
	return func(m map[string]any) bool { return m["push"] == kind }
}

func exDashboard(t *check.T) {
	_, addr := withGateway(t)
	w := openWebSocket(t, addr, "")
	openWebSocket(t, addr, "").result(1, `"op":"cmd","args":["ECHO","x"]`, `"x"`)
	w.result(1, `"op":"stats","every":100`, `true`)
	before := -1.0
	for range 3 {
		m := w.until(`{"push":"stats","operations":…,"memory":…,"clients":…,"sockets":2}`, isPush("stats"))
		operations, _ := m["operations"].(float64)
		memory, _ := m["memory"].(float64)
		clients, _ := m["clients"].(float64)
		t.Require(operations > before && memory > 1000 && clients >= 2 && m["sockets"] == 2.0, "operations that grow, memory, at least 2 clients, 2 sockets", "%v", m)
		before = operations
	}
	for _, every := range []string{"-1", "5", "100000000"} {
		t.Require(w.ask(2, `"op":"stats","every":`+every)["error"] != nil, "an error for every "+every, "a result")
	}
	quiet := func(why string) { // but for one that was on its way
		t.Sleep(600 * time.Millisecond)
		w.send(`{"id":4,"op":"ping"}`)
		reports := 0
		w.until("the answer to ping", func(m map[string]any) bool {
			if m["push"] != nil {
				reports++
			}
			return m["id"] == 4.0
		})
		t.Require(reports <= 1, why, "%d in 600 ms", reports)
	}
	w.result(3, `"op":"stats","every":60000`, `true`)
	t.Hint("another stats replaces the first")
	quiet("no report of the first, of every 100 ms, after stats with every:60000")
	w.result(3, `"op":"stats","every":100`, `true`)
	w.until("a report", isPush("stats"))
	t.Hint("every:0 ends it")
	w.result(3, `"op":"stats","every":0`, `true`)
	quiet("no report after every:0")
}

func exLatest(t *check.T) {
	s, addr := withGateway(t)
	slow := openWebSocket(t, addr, "")
	slow.ask(1, `"op":"sub","channels":["price","other"],"latest":true`)
	c := t.DialTo(s)
	const n = 600
	payload := strings.Repeat("x", 32<<10)
	for i := range n {
		v := c.Do("PUBLISH", "price", fmt.Sprint(i, " ", payload))
		t.Require(v.Int == 1, "the slow browser is still there", "PUBLISH %d says %s", i, check.Text(v))
	}
	c.Ask(":1\r\n", "PUBLISH", "other", "first").Ask(":1\r\n", "PUBLISH", "other", "second").Ask(":1\r\n", "PUBLISH", "price", "last")
	got, last := 0, -1
	other, ended := "", false
	slow.until("the last price, and the last of the other channel", func(m map[string]any) bool {
		data, _ := m["data"].(string)
		if m["channel"] == "other" {
			other = data
		} else if data == "last" {
			ended = true
		} else if i, err := strconv.Atoi(strings.SplitN(data, " ", 2)[0]); err == nil {
			t.Require(i > last, "prices in order", "%d after %d", i, last)
			got, last = got+1, i
		}
		return ended && other == "second"
	})
	t.Require(got < n, "fewer than all messages, since it was slow", "%d", got)
	slow.ask(2, `"op":"unsub","channels":["price","other"]`)
	slow.ask(3, `"op":"sub","channels":["all"]`)
	for i := range 20 {
		c.Ask(":1\r\n", "PUBLISH", "all", strconv.Itoa(i))
	}
	for i := range 20 {
		m := slow.until("each message of a channel without latest", isPush("message"))
		t.Require(m["data"] == strconv.Itoa(i), strconv.Itoa(i), "%v", m["data"])
	}
}

func exOriginAndAuth(t *check.T) {
	_, addr := withGateway(t, "-ws-origins", "https://*.example.org other.test:8000 *.test", "-requirepass", "right", "-ws-lockout", "5")
	for origin, want := range map[string]int{
		"https://app.example.org": 101, "https://a.b.example.org": 101, "http://app.example.org": 403, "https://example.org": 403,
		"https://evilexample.org": 403, "https://example.org.evil.net": 403, "https://app.example.org:444": 403,
		"http://other.test:8000": 101, "http://a.test": 101, "https://a.test": 101, "http://.test": 403, "http://test": 403, "null": 403,
	} {
		_, status := tryWebSocket(t, addr, "", map[string]string{"Origin": origin})
		t.Require(status == want, fmt.Sprintf("%d for a page from %s", want, origin), "%d", status)
	}
	hello := func(w *webSocket, pass string) map[string]any {
		return w.ask(1, `"op":"hello","auth":{"pass":"`+pass+`"}`)
	}
	wrong := func(tries ...int) {
		for _, n := range tries {
			w := openWebSocket(t, addr, "")
			for range n {
				t.Require(hello(w, "wrong")["error"] != nil, "an error for a wrong password", "a result")
			}
		}
	}
	wrong(3, 1)
	t.Require(hello(openWebSocket(t, addr, ""), "right")["result"] != nil, "a welcome for the right password, after four wrong ones", "an error")
	t.Hint("a right password forgets the wrong ones of its address")
	wrong(3, 1)
	openWebSocket(t, addr, "").c.Close()
	t.Hint("")
	wrong(1)
	_, status := tryWebSocket(t, addr, "", nil)
	t.Require(status == 429, "429 after five wrong passwords", "%d", status)
	res, _ := httpGet(t, addr, "/ws", "")
	seconds, err := strconv.Atoi(res.Header.Get("Retry-After"))
	t.Hint("Retry-After is the number of seconds until the door opens again").
		Require(res.StatusCode == 429 && err == nil && seconds > 0 && seconds <= 6, "429 with Retry-After: 1 to 6", "%s, Retry-After: %q", res.Status, res.Header.Get("Retry-After"))
	t.Hint("the door opens again when --ws-lockout is over")
	t.Limit += 5 * time.Second
	var w *webSocket
	t.Until(t.Limit, "101 when the time is over", func() (bool, string) {
		w, status = tryWebSocket(t, addr, "", nil)
		return w != nil, fmt.Sprint(status)
	})
	t.Require(hello(w, "right")["result"] != nil, "a welcome when the time is over", "an error")
}

func exResume(t *check.T) {
	s, addr := withGateway(t)
	c := t.DialTo(s)
	add := func(text string) string { return check.Text(c.Do("XADD", "room", "*", "text", text)) }
	entry := func(w *webSocket, id, text string) {
		m := w.until("the entry "+text, isPush("entry"))
		t.Require(m["stream"] == "room" && m["id"] == id && fmt.Sprint(m["fields"]) == "[text "+text+"]", "entry "+id+" with fields [text "+text+"]", "%v", m)
	}
	first := add("one")
	w := openWebSocket(t, addr, "")
	t.Require(w.ask(1, `"op":"follow","stream":"room","after":"0"`)["result"] != nil, "a result", "none")
	entry(w, first, "one")
	second := add("two")
	entry(w, second, "two")
	w.result(2, `"op":"cmd","args":["XLEN","room"]`, `2`) // the socket is free for other things
	w.c.Close()
	third, fourth := add("three"), add("four")
	w = openWebSocket(t, addr, "")
	w.ask(1, `"op":"follow","stream":"room","after":"`+second+`"`)
	entry(w, third, "three")
	entry(w, fourth, "four")
	w.ask(2, `"op":"follow","stream":"empty"`)
	c.Do("XADD", "empty", "1-1", "text", "x")
	m := w.until("the first entry of another stream", isPush("entry"))
	t.Require(m["stream"] == "empty" && m["id"] == "1-1", "entry 1-1 of empty", "%v", m)
	fifth := add("five")
	entry(w, fifth, "five")
	c.Ask("+OK\r\n", "SET", "text", "x")
	t.Require(w.ask(3, `"op":"follow","stream":"text"`)["error"] != nil, "an error for a key that is no stream", "a result")
	t.Require(w.ask(4, `"op":"follow","stream":"text","after":"0"`)["error"] != nil, "an error for a key that is no stream, with after", "a result")
	w.c.Close()
	t.Until(t.Limit, "no session is left behind by a browser that has gone", func() (bool, string) {
		list := check.Text(c.Do("CLIENT", "LIST"))
		return !strings.Contains(list, "cmd=xread"), list
	})
	followLoggedIn(t)
}

// followLoggedIn asks a server with a password.
func followLoggedIn(t *check.T) {
	s, addr := withGateway(t, "-requirepass", "right")
	t.DialTo(s).Ask("+OK\r\n", "AUTH", "right").Ask(check.Bulk("1-1"), "XADD", "room", "1-1", "text", "x")
	w := openWebSocket(t, addr, "")
	w.ask(1, `"op":"hello","auth":{"pass":"right"}`)
	t.Hint("where a password is set, the session of its own has to log in, too")
	t.Require(w.ask(2, `"op":"follow","stream":"room","after":"0"`)["result"] != nil, "a result where a password is set", "an error")
	w.until("the entry", isPush("entry"))
}

func exTake(t *check.T) {
	s, addr := withGateway(t)
	c, w := t.DialTo(s), openWebSocket(t, addr, "")
	take := func(key string, limit, window int) string {
		return fmt.Sprintf(`"op":"take","key":"%s","limit":%d,"window":%d`, key, limit, window)
	}
	for i, left := range []string{"[1,2]", "[1,1]", "[1,0]"} {
		w.result(i+1, take("sms", 3, 60_000), left)
	}
	for range 2 {
		yes, ms := taken(w.ask(4, take("sms", 3, 60_000)))
		t.Hint("[0, the window's rest in ms] when nothing is left: PTTL").
			Require(yes == 0 && ms > 0 && ms <= 60_000, "[0,1] to [0,60000]", "[%v,%v]", yes, ms)
	}
	ttl := c.Do("PTTL", "limit:sms").Int
	t.Hint("the window begins with the first place, and ends by itself").
		Require(ttl > 0 && ttl <= 60_000, "a deadline for limit:sms", "PTTL is %d", ttl)
	for _, wrong := range []string{take("", 1, 1000), take("x", 0, 1000), take("x", -1, 1000), take("x", 1, 0), take("x", 1, -5)} {
		t.Hint("").Require(w.ask(5, wrong)["error"] != nil, "an error for {"+wrong+"}", "a result")
	}
	w.result(6, take("short", 1, 200), "[1,0]")
	t.Until(t.Limit, "[1,0] again when the window is over", func() (bool, string) {
		yes, rest := taken(w.ask(7, take("short", 1, 200)))
		return yes == 1 && rest == 0, fmt.Sprint(yes, " ", rest)
	})
	takeTogether(t, addr, take)
	t.Hint("INCR and PEXPIRE came as two commands: between them you may die, and the key never gets its deadline; send one script")
	takeIsOneScript(t, s, w, take("watched", 5, 60_000))
}

// taken reads the answer to a take.
func taken(m map[string]any) (yes, rest float64) {
	pair, _ := m["result"].([]any)
	if len(pair) != 2 {
		return -1, -1
	}
	yes, _ = pair[0].(float64)
	rest, _ = pair[1].(float64)
	return yes, rest
}

// takeTogether asks from many sockets at once for more than there is.
func takeTogether(t *check.T, addr string, take func(string, int, int) string) {
	const sockets, each, limit = 8, 10, 25
	all := make([]*webSocket, sockets)
	for i := range all {
		all[i] = openWebSocket(t, addr, "")
	}
	for id := range each {
		for _, w := range all {
			w.send(`{"id":%d,%s}`, id+1, take("shared", limit, 60_000))
		}
	}
	allowed := 0.0
	for _, w := range all {
		for id := range each {
			yes, _ := taken(w.until("an answer", func(m map[string]any) bool { return m["id"] == float64(id+1) }))
			allowed += yes
		}
	}
	t.Hint("the limit is for the key, whoever asks").
		Require(allowed == limit, fmt.Sprintf("%d of %d that ask at once", limit, sockets*each), "%v", allowed)
}

// takeIsOneScript looks on while a window begins: what happens to the key must happen inside a script.
func takeIsOneScript(t *check.T, s *process.Server, w *webSocket, take string) {
	monitor := t.DialTo(s).Ask("+OK\r\n", "MONITOR")
	w.result(8, take, "[1,4]")
	t.DialTo(s).Do("ECHO", "that was all")
	inside := 0
	for {
		line := check.Text(monitor.Reply())
		if strings.Contains(line, "that was all") {
			break
		}
		if !strings.Contains(line, `"limit:watched"`) {
			continue
		}
		if strings.Contains(line, " lua] ") {
			inside++
			continue
		}
		low := strings.ToLower(line)
		t.Require(strings.Contains(low, `] "eval`) || strings.Contains(low, `] "fcall`), "nothing but a script that touches limit:watched", "%s", line)
	}
	t.Require(inside >= 2, "INCR and PEXPIRE inside the script", "MONITOR shows %d commands of a script", inside)
}

func exDeliveryTime(t *check.T) {
	s, addr := withGateway(t)
	w, c := openWebSocket(t, addr, ""), t.DialTo(s)
	w.ask(1, `"op":"sub","channels":["room"]`)
	for range 50 {
		c.Ask(":1\r\n", "PUBLISH", "room", "x")
		w.until("each message", isPush("message"))
	}
	t.Until(t.Limit, "byor_ws_delivery_seconds: 51 observed, buckets that add up, a sum above 0", func() (bool, string) {
		res, err := http.Get("http://" + addr + "/metrics")
		if err != nil {
			return false, check.PlainErr(err)
		}
		defer res.Body.Close()
		b, _ := io.ReadAll(res.Body)
		var lines []string
		value := map[string]float64{}
		last, rising := 0.0, true
		for _, line := range strings.Split(string(b), "\n") {
			if name, v, ok := strings.Cut(strings.TrimPrefix(line, "byor_ws_delivery_seconds"), " "); ok && strings.HasPrefix(line, "byor_ws_delivery_seconds") {
				lines = append(lines, line)
				value[name], _ = strconv.ParseFloat(v, 64)
				if strings.HasPrefix(name, "_bucket") {
					rising = rising && value[name] >= last
					last = value[name]
				}
			}
		}
		ok := strings.Contains(string(b), "# TYPE byor_ws_delivery_seconds histogram") && rising && len(lines) >= 6 &&
			value["_count"] == 51 && value[`_bucket{le="+Inf"}`] == 51 && value["_sum"] > 0 && value["_sum"] < 10
		return ok, strings.Join(lines, "\n")
	})
}
