package main

import (
	"strconv"
	"strings"
	"testing"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"

	"byor/pkg/redistest"
)

// web/client.js in a real browser, with our own server.

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
		"pace": testClientPace, "login": testClientLogin, "thrown out": testClientThrownOut, "tabs": testClientTabs,
		"asleep": testClientAsleep, "history": testClientHistory, "queues": testClientQueues, "offline": testClientOffline, "unknown fate": testClientUnknown, "black hole": testClientBlackHole,
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
	require.Contains(t, b.eval(`failure(db.publish(undefined, "x"))`), "a name is a string")
	// A thousand calls on their way and a thousand behind them: what comes then is refused.
	require.Equal(t, "2000 PONG,1 OFFLINE", b.eval(`Promise.all(Array.from({ length: 2001 }, () => db.call("PING").catch((err) => err.code)))
		.then((all) => ["PONG", "OFFLINE"].map((v) => all.filter((w) => w === v).length + " " + v))`))
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
func testClientThrownOut(t *testing.T) {
	g := startGateway(t, nil)
	b := openClient(t, g.http.URL)
	require.Equal(t, "up", b.eval("watch()"))
	for _, s := range g.open() {
		s.close(websocket.ClosePolicyViolation, "not you", true)
	}
	b.becomes("locked", "db.state")
	require.Equal(t, "CLOSED: not you", b.eval(`failure(db.call("PING"))`))
	require.Equal(t, "PONG", b.eval(`(db.reconnect(), db.call("PING"))`))
	require.Equal(t, "up,locked,connecting,up", b.eval("states"))
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
