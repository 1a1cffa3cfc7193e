package step10

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"byor/pkg/check"
)

// Step 10, the door: who may come in, the upgrade, what is read, and how a conversation ends.

func init() {
	gateway(
		check.Check{Name: "rebinding", After: 1, What: "the gateway is served under its own names only", Run: rebinding, Guide: "Mistakes people make",
			Hint: "compare the name in Host with those that you have: localhost, plain addresses, and o.Hosts"},
		check.Check{Name: "page", After: 2, What: "the page, /healthz, /readyz and /metrics answer", Run: page,
			Hint: "/readyz and /metrics ask the engine over a session of their own: opts.Dial must return one"},
		check.Check{Name: "origin", After: 3, What: "a page from elsewhere may not connect", Run: originCheck, Guide: "Mistakes people make",
			Hint: "any origin allowed means that every page in the world may send commands: compare the host of Origin with Host, port and all"},
		check.Check{Name: "subprotocol", After: 3, What: "a browser that offers unknown subprotocols only is refused", Run: subprotocol,
			Hint: "if something is offered, byor.json.v1 or byor.resp.v1 must be among it; else the answer is 400"},
		check.Check{Name: "upgrade", After: 4, What: "our own page, and a program that is no browser, get a WebSocket", Run: upgradeCheck,
			Hint: "reserve, resolve the address, dial a session, upgrade, start: then the status is 101"},
		check.Check{Name: "connection-limit", After: 4, What: "--ws-connections 2 lets two in, and the third gets a 503", Run: connectionLimit,
			Hint: "ask g.reserve() for a place before the upgrade, and refuse with 503 if there is none; a socket that was started keeps its place: g.unreserve() is for failures only"},
		check.Check{Name: "failed-upgrade", After: 4, What: "a failed upgrade gives back its place and its session", Run: failedUpgrade,
			Hint: "each way out of serveSocket must give back what it has taken"},
		check.Check{Name: "message-limit", After: 5, What: "a message over 64 KiB is refused", Run: messageLimit, Guide: "Mistakes people make",
			Hint: "no read limit lets one browser take all memory: call SetReadLimit before you read; then gorilla closes with 1009"},
		check.Check{Name: "hangs-up", After: 5, What: "a browser that hangs up gives back its place and its session", Run: browserHangsUp,
			Hint: "when readMessage returns an error, read must return: the deferred teardown does the rest"},
		check.Check{Name: "wrong-frames", After: 9, What: "frames of the wrong kind end the conversation, with a reason", Run: wrongFrames,
			Hint: "s.json or s.resp returns a *closeError: close with its code, set draining, and let write and flush send the close frame"},
		check.Check{Name: "stays-silent", After: 9, What: "a browser that never answers the close frame is cut off", Run: neverAnswersClose, Slow: 2,
			Hint: "a browser that does not answer the close frame holds its place for ever: after the close frame, flush starts s.teardown after CloseTimeout"})
}

// answer is a response to a plain HTTP request.
func httpGet(t *check.T, addr, path, host string) (*http.Response, string) {
	req, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+addr+path, nil)
	t.Require(err == nil, "a request", "%v", err)
	if host != "" {
		req.Host = host
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fail("an answer to GET "+path, check.PlainErr(err))
	}
	defer res.Body.Close()
	b, _ := io.ReadAll(res.Body)
	return res, string(b)
}

func rebinding(t *check.T) {
	_, addr := withGateway(t, "-ws-hosts", "redis.example")
	for _, c := range []struct {
		host   string
		status int
	}{
		{addr, 200}, {"localhost", 200}, {"LOCALHOST:8080", 200}, {"[::1]:8080", 200}, {"192.0.2.1", 200}, {"redis.example", 200},
		{"redis.example:8080", 200}, {"evil.example", 403}, {"evil.example:8080", 403}, {"redis.example.evil.example", 403}, {"localhost.evil.example", 403},
	} {
		res, _ := httpGet(t, addr, "/", c.host)
		switch {
		case c.status == 200:
			t.Hint("Host: %s must come in: localhost, a plain address and a name of o.Hosts are ours", c.host)
		default:
			t.Hint("a page of evil.example can point its own name at your machine (DNS rebinding): refuse every name that is not localhost, an address or one of o.Hosts")
		}
		t.Require(res.StatusCode == c.status, fmt.Sprintf("%d for Host: %s", c.status, c.host), "%s", res.Status)
	}
	_, addr = withGateway(t, "-ws-hosts", "*")
	res, _ := httpGet(t, addr, "/", "any.example")
	t.Hint("a star in o.Hosts means any name").Require(res.StatusCode == 200, "200 for Host: any.example with --ws-hosts '*'", "%s", res.Status)
}

func page(t *check.T) {
	_, addr := withGateway(t)
	get := func(path string) (string, string) {
		res, text := httpGet(t, addr, path, "")
		t.Require(res.StatusCode == 200, "200 for "+path, "%s", res.Status)
		return text, res.Header.Get("Content-Type")
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

func originCheck(t *check.T) {
	_, addr := withGateway(t, "-ws-origins", "friend.example https://safe.example")
	_, port, _ := strings.Cut(addr, ":")
	for what, h := range map[string]map[string]string{
		"a page from another host":                    {"Origin": "http://evil.example"},
		"the same host name, another port":            {"Origin": "http://127.0.0.1:1"},
		"a name that is not ours (rebinding)":         {"Host": "evil.example", "Origin": "http://evil.example"},
		"an origin that is no address (a file)":       {"Origin": "null"},
		"our host at the end of another":              {"Origin": "http://evil.example." + addr},
		"an allowed origin with another scheme":       {"Origin": "http://safe.example"},
		"a page whose name only begins like a friend": {"Origin": "http://friend.example.evil.example"},
	} {
		_, status := tryWebSocket(t, addr, "", h)
		t.Require(status == 403, "403 for "+what, "%d", status)
	}
	for what, h := range map[string]map[string]string{
		"our own page":                       {"Origin": "http://" + addr},
		"our own page, in another case":      {"Origin": "http://LOCALHOST:" + port, "Host": "localhost:" + port},
		"a program that sends no Origin":     {},
		"a host of --ws-origins":             {"Origin": "http://Friend.example"},
		"an origin with scheme, also listed": {"Origin": "https://safe.example"},
	} {
		_, status := tryWebSocket(t, addr, "", h)
		t.Hint("the lock refuses %s: see originAllowed, and what o.Origins may hold", what)
		t.Require(status != 403, "no 403 for "+what, "%d", status)
	}
	_, addr = withGateway(t, "-ws-origins", "*")
	_, status := tryWebSocket(t, addr, "", map[string]string{"Origin": "http://any.example"})
	t.Hint("a star in o.Origins lets in the pages of every site").Require(status != 403, "no 403 for any page with --ws-origins '*'", "%d", status)
}

func subprotocol(t *check.T) {
	s, addr := withGateway(t)
	c := t.DialTo(s).Ask("+PONG\r\n", "PING")
	for range 4 {
		_, status := tryWebSocket(t, addr, "no.such.protocol", nil)
		t.Require(status == 400, "400 for a subprotocol that does not exist", "%d", status)
	}
	t.Hint("a browser that was told 400 has a session all the same: return after each refusal")
	sessions(t, c, 0, "no session of a browser that was refused, in CLIENT LIST")
	t.Hint("a browser that offers nothing, or one of our two subprotocols among others, must come in")
	for _, offered := range []string{"", "byor.json.v1", "no.such.protocol, byor.resp.v1"} {
		_, status := tryWebSocket(t, addr, offered, nil)
		t.Require(status != 400, "no 400 for the subprotocols \""+offered+"\"", "%d", status)
	}
}

func upgradeCheck(t *check.T) {
	s, addr := withGateway(t)
	c := t.DialTo(s).Ask("+PONG\r\n", "PING")
	for _, h := range []map[string]string{{"Origin": "http://" + addr}, nil} {
		w, status := tryWebSocket(t, addr, "", h)
		if w == nil {
			notUpgraded(t, status)
			t.Fail("101 Switching Protocols", fmt.Sprint(status))
		}
		t.Hint("CLIENT LIST does not know where the browser is: give Dial the address in r.RemoteAddr")
		at := "addr=" + w.c.LocalAddr().String() + " "
		t.Until(t.Limit, at+"in CLIENT LIST", func() (bool, string) {
			list := check.Text(c.Do("CLIENT", "LIST"))
			return strings.Contains(list, at), list
		})
		t.Hint("")
	}
}

func connectionLimit(t *check.T) {
	_, addr := withGateway(t, "-ws-connections", "2")
	openWebSocket(t, addr, "")
	openWebSocket(t, addr, "byor.resp.v1")
	_, status := tryWebSocket(t, addr, "", nil)
	t.Require(status == 503, "503 for a third browser", "%d", status)
}

// counted expects a line of /metrics.
func counted(t *check.T, addr, line, hint string) {
	t.Hint("%s", hint)
	name, _, _ := strings.Cut(line, " ")
	t.Until(t.Limit, line+" in /metrics", func() (bool, string) {
		_, text := httpGet(t, addr, "/metrics", "")
		for l := range strings.Lines(text) {
			if strings.HasPrefix(l, name+" ") {
				return strings.TrimSpace(l) == line, strings.TrimSpace(l)
			}
		}
		return false, "no such line"
	})
	t.Hint("")
}

// sessions waits until the engine has so many sessions besides c and the gateway's own.
func sessions(t *check.T, c *check.Conn, n int, want string) {
	t.Until(t.Limit, want, func() (bool, string) {
		got := 0
		list := check.Text(c.Do("CLIENT", "LIST"))
		for _, line := range strings.Split(strings.TrimSpace(list), "\n") {
			if !strings.Contains(line, "name=gateway") && !strings.Contains(line, "cmd=client") {
				got++
			}
		}
		return got == n, list
	})
}

func failedUpgrade(t *check.T) {
	s, addr := withGateway(t, "-ws-connections", "2")
	c := t.DialTo(s).Ask("+PONG\r\n", "PING")
	for range 3 {
		w, status := tryWebSocket(t, addr, "", map[string]string{"Sec-WebSocket-Key": "too short"})
		t.Hint("a failed upgrade keeps its place: after two of them --ws-connections 2 answers 503 for ever. If Upgrade returns an error, call g.unreserve()")
		t.Require(w == nil && status == 400, "400 for an upgrade without a proper Sec-WebSocket-Key, again and again", "%d", status)
	}
	t.Hint("a failed upgrade keeps its session: nobody will ever speak on it, so close it when Upgrade returns an error")
	sessions(t, c, 0, "no session of a browser that was never let in, in CLIENT LIST")
	t.Hint("")
	counted(t, addr, "byor_ws_refused_total 3", "count a failed upgrade in g.metrics.refused, once")
	openWebSocket(t, addr, "")
}

func messageLimit(t *check.T) {
	_, addr := withGateway(t)
	w := openWebSocket(t, addr, "")
	w.send(`{"id":2,"op":"ping","pad":"%s"}`, strings.Repeat("x", 65_536))
	code := w.closed()
	if code == 0 {
		t.Hint("the connection ends without a word. Does read return at once, or is run without its goroutines? After websocket.ErrReadLimit call s.linger()")
	}
	t.Require(code == 1009, "close code 1009", "%d", code)
}

func browserHangsUp(t *check.T) {
	s, addr := withGateway(t, "-ws-connections", "1")
	c := t.DialTo(s).Ask("+PONG\r\n", "PING")
	for range 3 {
		var w *webSocket
		t.Until(t.Limit, "a place for the next browser, when the one before it has hung up", func() (bool, string) {
			var status int
			w, status = tryWebSocket(t, addr, "", nil)
			return w != nil, fmt.Sprint(status)
		})
		sessions(t, c, 1, "one session for the browser that is there")
		w.c.Close()
		sessions(t, c, 0, "no session when the browser has hung up")
	}
}

func wrongFrames(t *check.T) {
	s, addr := withGateway(t)
	c := t.DialTo(s).Ask("+PONG\r\n", "PING")
	for _, f := range []struct {
		proto string
		kind  byte
		data  string
		code  int
	}{{"byor.json.v1", wsBinary, `{"id":1,"op":"ping"}`, 1003}, {"byor.resp.v1", wsText, "PING\r\n", 1003}, {"", wsText, "\xff\xfe", 1007}} {
		w := openWebSocket(t, addr, f.proto)
		w.frame(true, f.kind, []byte(f.data))
		w.send(`{"id":1,"op":"cmd","args":["SET","after","x"]}`) // nobody should listen any more
		code := w.closed()
		if code == 0 {
			t.Hint("the connection ends without a close frame: flush must send it when out.closing() says so, and only then start the time for teardown")
		}
		t.Require(code == f.code, fmt.Sprintf("close code %d for a frame of type %d with %q", f.code, f.kind, f.proto), "%d", code)
		w.frame(true, wsClose, []byte{byte(code >> 8), byte(code)})
	}
	sessions(t, c, 0, "no session of these browsers, once they have hung up")
	t.Hint("a browser that broke a rule is still obeyed: set draining in message, and hand on no message that comes after it")
	c.Ask(":0\r\n", "EXISTS", "after")
}

func neverAnswersClose(t *check.T) {
	s, addr := withGateway(t)
	c, w := t.DialTo(s).Ask("+PONG\r\n", "PING"), openWebSocket(t, addr, "")
	w.frame(true, wsBinary, []byte("x"))
	code := w.closed()
	t.Require(code == 1003, "close code 1003", "%d", code)
	t.Limit += 5 * time.Second // what the browser is given
	sessions(t, c, 0, "no session of a browser that does not answer the close frame")
}
