package main

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"

	"byor/pkg/redistest"
)

// web/client.js in a real browser: with our own server, over networks that fail, and with a gateway of the test's
// own that says what is rarely said.

// openClient opens a page that has the client and nothing else. connect and ByorError are globals there, and
// watch makes a client whose states are listed in states.
func openClient(t *testing.T, origin string) *tab {
	t.Helper()
	b := openTab(t, origin+"/healthz")
	b.becomes("/healthz", "document.body && location.pathname")
	require.Equal(t, "true", b.eval(`import("/client.js").then((m) => {
		Object.assign(globalThis, m);
		globalThis.states = [];
		globalThis.watch = (options) => {
			globalThis.db = connect(options);
			db.addEventListener("state", (e) => states.push(e.detail.state));
			return db.ready.then(() => "up");
		};
		globalThis.failure = (promise) => promise.then((v) => "no error but " + v, (err) => err.code + ": " + err.message);
		return true;
	})`))
	return b
}

func TestClient(t *testing.T) {
	redistest.Need(t, "chromium")
	withOwnEngine(t)
	for name, test := range map[string]func(t *testing.T){
		"values": testClientValues, "script": testClientScript, "subscriptions": testClientSubscriptions, "loops": testClientLoops,
		"pace": testClientPace, "login": testClientLogin, "killed session": testClientKilled, "tabs": testClientTabs,
		"asleep": testClientAsleep, "offline": testClientOffline, "unknown fate": testClientUnknown, "black hole": testClientBlackHole,
		"blocked": testClientBlocked, "large": testClientLarge, "close": testClientClose,
	} {
		t.Run(name, test)
	}
}

// Values have JavaScript's types, and errors their codes.
func testClientValues(t *testing.T) {
	g := startGateway(t, nil)
	b := openClient(t, g.http.URL)
	require.Equal(t, "up", b.eval("watch()"))
	for _, c := range []struct{ js, want string }{
		{`db.call("SET", "k", "ü")`, "OK"},
		{`db.call("GET", "k")`, "ü"},
		{`db.call("GET", "none")`, "null"},
		{`db.call("SET", "n", 9007199254740993n)`, "OK"},
		{`db.call("INCRBY", "big", 2n ** 62n).then((v) => typeof v + v)`, "bigint4611686018427387904"},
		{`db.call("INCR", "small").then((v) => typeof v + v)`, "number1"},
		{`db.call("SET", "bytes", new Uint8Array([0, 255]))`, "OK"},
		{`db.call("GET", "bytes").then((v) => v.constructor.name + v)`, "Uint8Array0,255"},
		{`db.call("HSET", "h", "f", "v").then(() => db.call("HGETALL", "h"))`, "[object Map]"},
		{`db.call("SADD", "s", "a").then(() => db.call("SMEMBERS", "s"))`, "[object Set]"},
		{`db.call("ZADD", "z", "-inf", "a").then(() => db.call("ZSCORE", "z", "a"))`, "-Infinity"},
		{`failure(db.call("HGET", "s", "f"))`, "WRONGTYPE: Operation against a key holding the wrong kind of value"},
		{`failure(db.call("CONFIG", "GET", "*")).then((v) => v.slice(0, 6))`, "NOPERM"},
		{`db.call("EVAL", "return {1, redis.error_reply('ERR a')}", 0).then(String)`, "1,ByorError: a"},
		{`(() => { try { return db.call("GET", {}); } catch (err) { return err; } })()`, "TypeError: an argument is a string, a number, a BigInt or bytes, not [object Object]"},
	} {
		require.Contains(t, b.eval(c.js), c.want, c.js)
	}
	require.Equal(t, "true", b.eval(`db.ping().then((ms) => ms >= 0)`))
}

// The client works as a plain script as well, and leaves one global.
func testClientScript(t *testing.T) {
	g := startGateway(t, nil)
	r, body := g.get("/client.script.js")
	require.Equal(t, 200, r.StatusCode)
	require.Contains(t, r.Header.Get("Content-Type"), "javascript")
	require.NotContains(t, body, "\nexport")
	b := openTab(t, g.http.URL+"/healthz")
	b.becomes("/healthz", "document.body && location.pathname")
	require.Equal(t, "connect,ByorError", b.eval(`new Promise((done) => {
		const before = new Set(Object.keys(globalThis));
		const script = document.createElement("script");
		script.src = "/client.script.js";
		script.onload = () => done(Object.keys(globalThis).filter((k) => !before.has(k)).map((k) => Object.keys(globalThis[k])));
		document.head.append(script);
	})`))
	require.Equal(t, "PONG", b.eval(`(globalThis.db = Byor.connect()).call("PING")`))
	require.Equal(t, "undefined", b.eval(`typeof Feed`))
}

// Callbacks; several subscriptions of one channel; patterns; the end of a subscription is the end in the server.
func testClientSubscriptions(t *testing.T) {
	g := startGateway(t, nil)
	b := openClient(t, g.http.URL)
	b.eval(`watch(), globalThis.got = [], globalThis.subs = ["room", "room", "r*"].map((name, i) =>
		db.subscribe(name, { pattern: i === 2, onMessage: (m) => got.push(i + m.channel + m.data) }))`)
	require.Equal(t, "true", b.eval(`Promise.all(subs.map((s) => s.ready)).then(() => true)`))
	require.Equal(t, int64(2), g.engineDo("PUBLISH", "room", "\xff").Int)
	b.becomes("0room255,1room255,2room255", "got.sort()")
	require.Equal(t, "1", b.eval(`(got.length = 0, subs[0].unsubscribe(), subs[2].unsubscribe(), db.publish("room", "hi"))`))
	b.becomes("1roomhi", "got")
	b.eval(`(subs[1].unsubscribe(), 1)`)
	g.eventually(func() bool { return g.engineDo("PUBLISH", "room", "x").Int == 0 }, "still subscribed")
	require.Equal(t, "true", b.eval(`subs[0].ended`))
	// What a callback throws is an error of the page. The client goes on.
	b.eval(`db.subscribe("bad", { onMessage() { throw new Error("of the page"); } }).ready`)
	b.eval(`(globalThis.thrown = [], onerror = (message) => { thrown.push(message); return true; }, db.publish("bad", "x"))`)
	b.becomes("Uncaught Error: of the page", "thrown")
	require.Equal(t, "up", b.eval("db.state"))
	require.Contains(t, b.eval(`failure(db.subscribe("x", {last: 1, pattern: true}).ready)`), "TypeError: a pattern has no history")
}

// A loop gets what came before it began. To leave it ends the subscription. One that is too slow hears so.
func testClientLoops(t *testing.T) {
	g := startGateway(t, nil)
	b := openClient(t, g.http.URL)
	b.eval("watch()")
	b.eval(`(globalThis.sub = db.subscribe("room"), sub.ready)`)
	for i := range 3 {
		g.engineDo("PUBLISH", "room", strconv.Itoa(i))
	}
	require.Equal(t, "0,1,2", b.eval(`(async () => {
		const got = [];
		for await (const m of sub) if (got.push(m.data) === 3) break;
		return got;
	})()`))
	g.eventually(func() bool { return g.engineDo("PUBLISH", "room", "x").Int == 0 }, "still subscribed")

	b.eval(`(globalThis.sub = db.subscribe("room", { bufferMax: 2 }), sub.ready)`)
	for i := range 3 {
		g.engineDo("PUBLISH", "room", strconv.Itoa(i))
	}
	b.becomes("true", "sub.ended")
	require.Equal(t, "0,1,SLOW", b.eval(`(async () => {
		const got = [];
		try {
			for await (const m of sub) got.push(m.data);
		} catch (err) {
			got.push(err.code);
		}
		return got;
	})()`))
}

// A client that asks too much at once waits its turn. Without that, the server would refuse most and then hang up.
func testClientPace(t *testing.T) {
	g := startGateway(t, func(o *gatewayOptions) { o.OpsRate, o.OpsBurst = 500, 50 })
	b := openClient(t, g.http.URL)
	require.Equal(t, "up", b.eval("watch()"))
	require.Equal(t, "300", b.eval(`Promise.all(Array.from({ length: 300 }, (_, i) => db.call("SADD", "set", i))).then((all) => all.reduce((a, b) => a + b))`))
	require.Equal(t, "up", b.eval("states"))
}

// A wrong password stops the client until somebody says a better one. Subscriptions wait for that.
func testClientLogin(t *testing.T) {
	g := startGateway(t, func(o *gatewayOptions) { o.Password = func() string { return "secret" } }, "--requirepass", "secret")
	b := openClient(t, g.http.URL)
	require.Contains(t, b.eval(`failure(watch({ auth: { pass: "wrong" } }))`), "WRONGPASS")
	require.Contains(t, b.eval(`failure(db.call("GET", "k"))`), "WRONGPASS")
	require.Equal(t, "locked", b.eval(`(globalThis.sub = db.subscribe("room"), db.state)`))
	require.Equal(t, "up", b.eval(`(db.login({ pass: "secret" }), sub.ready.then(() => db.state))`))
	require.Equal(t, "OK", b.eval(`db.call("SET", "k", "v")`))
	require.Equal(t, "up", b.eval(`(globalThis.other = connect({ auth: async () => ({ user: "default", pass: "secret" }) }), other.ready.then(() => other.state))`))
	require.Contains(t, b.eval(`failure(connect().ready)`), "NOAUTH")
}

// Whoever is thrown out (1008) does not come back by itself, but may be told to.
func testClientKilled(t *testing.T) {
	g := startGateway(t, nil)
	b := openClient(t, g.http.URL)
	require.Equal(t, "up", b.eval("watch()"))
	id := b.eval("db.session.client")
	require.Equal(t, int64(1), g.engineDo("CLIENT", "KILL", "ID", id).Int)
	b.becomes("locked", "db.state")
	require.Contains(t, b.eval(`failure(db.call("PING"))`), "CLOSED")
	require.Equal(t, "PONG", b.eval(`(db.reconnect(), db.call("PING"))`))
	require.Equal(t, "locked,connecting,up", b.eval("states.slice(-3)"))
}

// One user with two tabs is one user, in the presence that each tab sees.
func testClientTabs(t *testing.T) {
	g := startGateway(t, nil)
	ann := openClient(t, g.http.URL)
	const enter = `(watch({ name: "NAME" }), globalThis.told = [], globalThis.sub = db.subscribe("room", { presence: true,
		onMessage() {}, onPresence: (p) => told.push(p.users + ":" + [...p.members].sort() + "+" + p.join + "-" + p.leave) }), sub.ready.then(() => told))`
	require.Equal(t, "1:ann+ann-", ann.eval(strings.ReplaceAll(enter, "NAME", "ann")))
	second := openClient(t, g.http.URL)
	require.Equal(t, "1:ann+ann-", second.eval(strings.ReplaceAll(enter, "NAME", "ann")))
	bob := openClient(t, g.http.URL)
	require.Equal(t, "2:ann,bob+ann,bob-", bob.eval(strings.ReplaceAll(enter, "NAME", "bob")))
	ann.becomes("1:ann+ann-|2:ann,bob+bob-", `told.join("|")`)
	second.eval(`(db.close(), 1)`) // ann has another tab
	bob.eval(`(sub.unsubscribe(), 1)`)
	ann.becomes("1:ann+ann-|2:ann,bob+bob-|1:ann+-bob", `told.join("|")`)
	bob.eval(`(globalThis.sub = db.subscribe("room", { presence: true, onMessage() {} }), sub.ready)`)
	ann.becomes("2:ann,bob+bob-", `told.at(-1)`)
	// After a reconnect it is told anew.
	for _, s := range g.open() {
		s.close(1001, "", true)
	}
	ann.becomes("2:ann,bob", `[sub.presence.users, [...sub.presence.members].sort()].join(":")`)
}

// A tab that sleeps reads nothing, and the server cuts it off. Awake, it comes back and knows that it has missed something.
func testClientAsleep(t *testing.T) {
	g := startGateway(t, func(o *gatewayOptions) { o.MaxQueue = 64 << 10 })
	b := openClient(t, g.http.URL)
	b.eval(`(watch(), globalThis.got = 0, globalThis.resumed = [], globalThis.sub = db.subscribe("room", { onMessage: () => got++, onResume: (r) => resumed.push(r.recovered) }), sub.ready)`)
	var none struct{}
	b.call("Page.setWebLifecycleState", map[string]any{"state": "frozen"}, &none)
	large := strings.Repeat("x", 32<<10)
	g.eventually(func() bool { return g.engineDo("PUBLISH", "room", large).Int == 0 }, "the sleeper still has its connection")
	b.call("Page.setWebLifecycleState", map[string]any{"state": "active"}, &none)
	b.becomes("false", "resumed")
	require.Equal(t, "up", b.eval("db.state"))
	require.Equal(t, "1", b.eval(`db.publish("room", "awake")`))
}

// Calls that are made offline wait, up to a bound, and are made in their order.
func testClientOffline(t *testing.T) {
	g := startGateway(t, nil)
	p := startProxy(t, g.http.Listener.Addr().String())
	b := openClient(t, "http://"+p.addr())
	p.cut()
	b.eval(`(watch({ queueMax: 3, retryMaxMs: 50 }), 1)`)
	b.becomes("true", `states.includes("down")`)
	require.Equal(t, "OFFLINE: 3 calls wait already; this one was not sent", b.eval(
		`(globalThis.waiting = [1, 2, 3].map((v) => db.call("RPUSH", "list", v)), failure(db.call("RPUSH", "list", 4)))`))
	p.heal()
	require.Equal(t, "1,2,3", b.eval("Promise.all(waiting)"))
	require.Equal(t, "1,2,3", b.eval(`db.call("LRANGE", "list", 0, -1)`))
	p.cut()
	b.becomes("true", `db.state !== "up"`)
	b.eval(`(db.reconnect({ queueTimeoutMs: 50 }), 1)`)
	require.Contains(t, b.eval(`failure(db.call("RPUSH", "list", 5))`), "OFFLINE: the call could not be sent within 0.05 s, and was not")
	p.heal()
	require.Equal(t, "up", b.eval(`db.ready.then(() => db.state)`))
	require.Equal(t, "3", b.eval(`db.call("LLEN", "list")`))
}

// A call whose answer is lost fails, and says that it may have happened. It is not made again.
func testClientUnknown(t *testing.T) {
	g := startGateway(t, nil)
	p := startProxy(t, g.http.Listener.Addr().String())
	b := openClient(t, "http://"+p.addr())
	require.Equal(t, "up", b.eval("watch({ retryMaxMs: 50 })"))
	p.deafen() // answers get lost
	b.eval(`(globalThis.outcome = failure(db.call("INCR", "n")), 1)`)
	g.eventually(func() bool { return string(g.engineDo("GET", "n").Str) == "1" }, "never executed")
	p.cut()
	p.heal()
	require.Equal(t, "UNKNOWN: the connection was lost before the answer to cmd came: it may have happened or not", b.eval("outcome"))
	require.Equal(t, "2", b.eval(`db.call("INCR", "n")`))
}

// A network that swallows everything without a word is found out by the client's own pings.
func testClientBlackHole(t *testing.T) {
	g := startGateway(t, nil)
	p := startProxy(t, g.http.Listener.Addr().String())
	b := openClient(t, "http://"+p.addr())
	b.eval(`(watch({ pingMs: 400, connectTimeoutMs: 2000, retryMaxMs: 50 }), globalThis.got = [], globalThis.sub = db.subscribe("room", { onMessage: (m) => got.push(m.data), onResume: (r) => got.push(r.recovered) }), sub.ready)`)
	p.swallow()
	b.becomes("true", `states.includes("down")`)
	p.heal()
	b.becomes("true", `got.includes(false)`)
	g.eventually(func() bool { return g.engineDo("PUBLISH", "room", "again").Int > 0 }, "nobody is there")
	b.becomes("true", `got.includes("again")`)
}

// A command that blocks for long is no sign of a dead server.
func testClientBlocked(t *testing.T) {
	g := startGateway(t, nil)
	b := openClient(t, g.http.URL)
	require.Equal(t, "up", b.eval("watch({ pingMs: 200 })"))
	b.eval(`(globalThis.popped = db.call("BLPOP", "list", 0), 1)`)
	before := g.metrics.operations.Load()
	g.eventually(func() bool { return g.metrics.operations.Load() >= before+4 }, "no pings")
	g.engineDo("RPUSH", "list", "at last")
	require.Contains(t, b.eval("popped"), "at last")
}

// A message that the server would not take is not sent. The connection lives.
func testClientLarge(t *testing.T) {
	g := startGateway(t, nil)
	b := openClient(t, g.http.URL)
	require.Equal(t, "up", b.eval("watch()"))
	require.Contains(t, b.eval(`failure(db.call("SET", "k", "ü".repeat(40000)))`), "TOOBIG: a message may have 65536 bytes")
	require.Equal(t, "OK", b.eval(`db.call("SET", "k", "u".repeat(40000))`))
	require.Equal(t, "up", b.eval("states"))
}

// close ends what there is, and nothing begins after it.
func testClientClose(t *testing.T) {
	g := startGateway(t, nil)
	b := openClient(t, g.http.URL)
	require.Equal(t, "up", b.eval("watch()"))
	require.Equal(t, "CLOSED,true,CLOSED,CLOSED", b.eval(`(async () => {
		const sub = db.subscribe("room");
		await sub.ready;
		const popped = failure(db.call("BLPOP", "list", 0));
		db.close();
		const ended = (await sub[Symbol.asyncIterator]().next()).done;
		return [(await popped).replace("UNKNOWN", "CLOSED"), ended, await failure(db.call("PING")), await failure(db.subscribe("x").ready)].map((s) => String(s).split(":")[0]);
	})()`))
	g.eventually(func() bool { return len(g.open()) == 0 }, "the socket is still open")
	require.Equal(t, "up,closed", b.eval("states"))
}

// proxy is a network that can fail: it passes TCP connections on to a server. Safe for concurrent use.
type proxy struct {
	listener net.Listener
	to       string
	mu       sync.Mutex // protects what follows
	mode     string     // "", "cut", "deaf": nothing comes back, "swallow": nothing goes either way
	conns    map[net.Conn]bool
}

func startProxy(t *testing.T, to string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	p := &proxy{listener: l, to: to, conns: map[net.Conn]bool{}}
	t.Cleanup(func() {
		_ = l.Close()
		p.cut()
	})
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go p.pass(c)
		}
	}()
	return p
}

func (p *proxy) addr() string { return p.listener.Addr().String() }

// pass connects c with the server until one of the two ends.
func (p *proxy) pass(c net.Conn) {
	s, err := net.Dial("tcp", p.to)
	if err != nil {
		_ = c.Close()
		return
	}
	p.mu.Lock()
	cut := p.mode == "cut"
	p.conns[c], p.conns[s] = true, true
	p.mu.Unlock()
	if cut {
		_, _ = c.Close(), s.Close()
		return
	}
	var once sync.Once
	end := func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.conns, c)
		delete(p.conns, s)
		_, _ = c.Close(), s.Close()
	}
	copyUntil := func(to, from net.Conn, lost ...string) {
		defer once.Do(end)
		buf := make([]byte, 32<<10)
		for {
			n, err := from.Read(buf)
			if err != nil {
				return
			}
			if p.loses(lost) {
				continue
			}
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
	}
	go copyUntil(s, c, "swallow")
	copyUntil(c, s, "swallow", "deaf")
}

func (p *proxy) loses(modes []string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, m := range modes {
		if p.mode == m {
			return true
		}
	}
	return false
}

func (p *proxy) set(mode string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mode = mode
	if mode == "cut" {
		for c := range p.conns {
			_ = c.Close()
		}
	}
}

func (p *proxy) cut()     { p.set("cut") }
func (p *proxy) deafen()  { p.set("deaf") }
func (p *proxy) swallow() { p.set("swallow") }
func (p *proxy) heal()    { p.set("") }

// A server that is killed, and one that says goodbye: the page is there again with the next one.
func TestClientRestart(t *testing.T) {
	redistest.Need(t, "chromium")
	needSignals(t)
	bin, dir, port := redistest.Program(t, "10-websocket-capstone"), t.TempDir(), strconv.Itoa(redistest.Port(t))
	c := launch(t, bin, dir, "--http-port", port, "--appendonly", "yes", "--appendfsync", "always")
	b := openClient(t, strings.TrimSuffix(c.page, "/"))
	b.eval(`(watch(), globalThis.got = [], globalThis.sub = db.subscribe("room", { onMessage: (m) => got.push(m.data), onResume: (r) => got.push(r.recovered) }), sub.ready)`)
	require.Equal(t, "1", publish(t, c, "room", "one"))
	require.Equal(t, "OK", b.eval(`db.call("SET", "k", "v")`))
	require.NoError(t, c.cmd.Process.Kill())
	c.exits()
	b.becomes("true", `db.state !== "up"`)
	b.eval(`(db.reconnect({ queueTimeoutMs: 1e6 }), globalThis.k = db.call("GET", "k"), 1)`)
	c = launch(t, bin, dir, "--http-port", port, "--appendonly", "yes", "--appendfsync", "always")
	require.Equal(t, "v", b.eval("k"))
	require.Equal(t, "1", publish(t, c, "room", "two"))
	b.becomes("one,false,two", "got")

	b.eval(`(globalThis.bye = [], globalThis.pause = 0, db.addEventListener("goodbye", (e) => bye.push(e.detail.reason)),
		db.addEventListener("state", (e) => { if (!pause && e.detail.retryMs) pause = e.detail.retryMs; }))`)
	require.NoError(t, c.cmd.Process.Signal(syscall.SIGTERM))
	require.Equal(t, 0, c.exits(), c.said())
	b.becomes("shutdown", "bye")
	b.becomes("true", "pause >= 500 && pause <= 5000")
	c = launch(t, bin, dir, "--http-port", port)
	b.becomes("one,false,two,false", "got")
	require.Equal(t, "1", publish(t, c, "room", "three"))
	b.becomes("one,false,two,false,three", "got")
}

// fakeGateway serves the client and a gateway of the test's own: script holds the conversations, one a connection.
func fakeGateway(t *testing.T, scripts ...func(*fakePeer)) (origin string) {
	t.Helper()
	var count atomic.Int32
	mux := http.NewServeMux()
	mux.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok\n") })
	mux.HandleFunc("/client.js", func(w http.ResponseWriter, r *http.Request) { http.ServeFileFS(w, r, webFiles, "web/client.js") })
	up := websocket.Upgrader{Subprotocols: []string{protoJSON}}
	done := make(chan struct{})
	mux.HandleFunc("/ws", func(w http.ResponseWriter, r *http.Request) {
		n := int(count.Add(1)) - 1
		if n >= len(scripts) {
			http.Error(w, "no more", http.StatusServiceUnavailable)
			return
		}
		ws, err := up.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer func() { _ = ws.Close() }()
		p := &fakePeer{t: t, ws: ws}
		if p.hear("hello"); p.broken == nil {
			p.answer(`{"client":1,"user":"u","ping":25,"limits":{"message":65536,"queue":1048576,"subscriptions":128,"opsPerSecond":100,"opsBurst":200}}`)
			scripts[n](p)
		}
		if n == len(scripts)-1 {
			<-done
		}
	})
	srv := httptest.NewServer(mux)
	t.Cleanup(func() {
		close(done)
		srv.CloseClientConnections()
		srv.Close()
	})
	return srv.URL
}

// fakePeer is the fake gateway's end of one connection.
type fakePeer struct {
	t      *testing.T
	ws     *websocket.Conn
	id     json.RawMessage // of the last request
	broken error
}

// hear reads requests until one has this op, and returns it without its id.
func (p *fakePeer) hear(op string) string {
	for {
		_, data, err := p.ws.ReadMessage()
		if err != nil {
			p.broken = err
			return err.Error()
		}
		var m map[string]json.RawMessage
		if p.broken = json.Unmarshal(data, &m); p.broken != nil {
			return string(data)
		}
		p.id = m["id"]
		if string(m["op"]) != `"`+op+`"` {
			continue
		}
		delete(m, "id")
		text, _ := json.Marshal(m)
		return string(text)
	}
}

// expect hears one request and says what it must be, without its id.
func (p *fakePeer) expect(op, want string) {
	if got := p.hear(op); got != want {
		p.t.Errorf("the client said %s, not %s", got, want)
	}
}

func (p *fakePeer) answer(result string) {
	p.say(`{"id":` + string(p.id) + `,"result":` + result + `}`)
}
func (p *fakePeer) say(lines ...string) {
	_ = p.ws.WriteMessage(websocket.TextMessage, []byte(strings.Join(lines, "\n")))
}

func (p *fakePeer) close(code int) {
	_ = p.ws.WriteMessage(websocket.CloseMessage, websocket.FormatCloseMessage(code, ""))
}

// entry is a push with an entry of the history.
func entry(id string) string {
	return `{"push":"message","channel":"room","data":"` + id + `","entry":"` + id + `"}`
}

// History: the client asks for the last ones once, then from where it was. It drops doubles, and tells the page of holes.
func TestClientResumes(t *testing.T) {
	origin := fakeGateway(t, func(p *fakePeer) {
		p.expect("sub", `{"channels":["room"],"last":2,"op":"sub"}`)
		p.close(4008) // before any of them came: the same again
	}, func(p *fakePeer) {
		p.expect("sub", `{"channels":["room"],"last":2,"op":"sub"}`)
		p.say(`{"id":`+string(p.id)+`,"result":{"subscribed":["room"],"recovered":true,"last":{"room":"9-1"}}}`, entry("9-0")) // the reply and a message in one frame
		p.close(4008)                                                                                                          // in the middle of the last ones
	}, func(p *fakePeer) {
		p.expect("sub", `{"channels":["room"],"op":"sub","since":{"room":"9-0"}}`)
		p.answer(`{"subscribed":["room"],"recovered":true,"last":{"room":"10-0"}}`)
		p.say(entry("9-0"), entry("9-1"), entry("9-1"), entry("10-0"))
		p.close(1001)
	}, func(p *fakePeer) {
		p.expect("sub", `{"channels":["room"],"op":"sub","since":{"room":"10-0"}}`)
		p.answer(`{"subscribed":["room"],"recovered":false,"holes":["room"],"last":{"room":"3-0"}}`) // another history
		p.close(1001)
	}, func(p *fakePeer) {
		p.expect("sub", `{"channels":["room"],"op":"sub","since":{"room":"3-0"}}`)
		p.answer(`{"subscribed":["room"],"recovered":true,"last":{"room":"3-0"}}`)
		p.say(entry("4-0"))
	})
	b := openClient(t, origin)
	b.eval(`(watch({ retryMaxMs: 20 }), globalThis.got = [], db.subscribe("room", { last: 2, onMessage: (m) => got.push(m.entry), onResume: (r) => got.push(r.recovered) }), 1)`)
	b.becomes("9-0,true,9-1,10-0,false,true,4-0", "got")
}

// Without last, the first answer says where the client is, although it has seen nothing yet.
func TestClientResumesFromTheBeginning(t *testing.T) {
	origin := fakeGateway(t, func(p *fakePeer) {
		p.expect("sub", `{"channels":["room"],"last":0,"op":"sub"}`)
		p.answer(`{"subscribed":["room"],"recovered":true,"last":{"room":"0-0"}}`)
		p.close(1001)
	}, func(p *fakePeer) {
		p.expect("sub", `{"channels":["room"],"op":"sub","since":{"room":"0-0"}}`)
		p.answer(`{"subscribed":["room"],"recovered":true,"last":{"room":"1-0"}}`)
		p.say(entry("1-0"))
		p.hear("ping")
		p.answer(`"PONG"`)
		p.say(entry("1-1"))
	})
	b := openClient(t, origin)
	b.eval(`(watch({ retryMaxMs: 20 }), globalThis.got = [], globalThis.other = [], db.subscribe("room", { onMessage: (m) => got.push(m.entry), onResume: (r) => got.push(r.recovered) }), 1)`)
	b.becomes("true,1-0", "got")
	// A second subscription joins the first. The server is not asked again.
	b.eval(`db.subscribe("room", { last: 5, onMessage: (m) => other.push(m.entry) }).ready.then(() => db.ping())`)
	b.becomes("1-1", "other")
	b.becomes("true,1-0,1-1", "got")
}

// Queues: jobs come again after a cut, acknowledgements are not lost in it. RATE is answered with patience.
func TestClientConsumes(t *testing.T) {
	job := func(id string) string {
		return `{"push":"job","queue":"jobs","entry":"` + id + `","data":{"b64":"/w=="},"tries":1}`
	}
	origin := fakeGateway(t, func(p *fakePeer) {
		p.expect("consume", `{"op":"consume","policy":"roundrobin","prefetch":2,"queue":"jobs"}`)
		p.say(`{"id":` + string(p.id) + `,"error":{"code":"RATE","message":"slowly","retry":true}}`)
		p.expect("consume", `{"op":"consume","policy":"roundrobin","prefetch":2,"queue":"jobs"}`)
		p.answer(`{"queue":"jobs","policy":"roundrobin"}`)
		p.say(job("1-0"), job("2-0"))
		p.expect("ack", `{"entries":["1-0"],"op":"ack","queue":"jobs"}`)
		p.close(1001) // no answer: the client says it again
	}, func(p *fakePeer) {
		p.expect("consume", `{"op":"consume","policy":"roundrobin","prefetch":2,"queue":"jobs"}`)
		p.answer(`{"queue":"jobs","policy":"roundrobin"}`)
		p.expect("ack", `{"entries":["1-0"],"op":"ack","queue":"jobs"}`)
		p.answer(`1`)
		p.say(job("2-0"), job("3-0"))
		p.expect("ack", `{"entries":["2-0"],"op":"ack","queue":"jobs"}`)
		p.answer(`1`)
		p.expect("unconsume", `{"op":"unconsume","queue":"jobs"}`)
		p.answer(`"OK"`)
	})
	b := openClient(t, origin)
	require.Equal(t, "1-0 255 1,2-0 255 1", b.eval(`(watch({ retryMaxMs: 20 }), (async () => {
		const got = [];
		for await (const job of db.consume("jobs", { prefetch: 2 })) {
			got.push(job.entry + " " + job.data + " " + job.tries);
			await job.ack();
			if (got.length === 2) return got;
		}
	})())`))

	origin = fakeGateway(t, func(p *fakePeer) {
		p.expect("consume", `{"op":"consume","policy":"broadcast","prefetch":10,"queue":"jobs"}`)
		p.answer(`{"queue":"jobs","policy":"broadcast"}`)
		p.say(job("1-0"), job("2-0"))
		p.expect("ack", `{"entries":["2-0"],"op":"ack","queue":"jobs"}`) // the first has failed
		p.answer(`1`)
	})
	b = openClient(t, origin)
	b.eval(`(watch(), globalThis.failed = [], globalThis.done = [], db.consume("jobs", { policy: "broadcast", onError: (err) => failed.push(err.message),
		onJob(job) { if (job.entry === "1-0") throw new Error("cannot"); done.push(job.entry); } }), 1)`)
	b.becomes("cannot|2-0", `failed + "|" + done`)
}
