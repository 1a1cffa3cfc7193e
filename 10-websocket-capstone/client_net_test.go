package main

import (
	"net"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"byor/pkg/redistest"
)

// web/client.js where networks, servers and tabs fail.

// A tab that sleeps reads nothing, and the server cuts it off. Awake, it comes back, knows that it has missed something,
// and gets what the history has.
func testClientAsleep(t *testing.T) {
	g := startGateway(t, func(o *gatewayOptions) { o.MaxQueue = 64 << 10 }, "--history", "kept=100")
	b := openClient(t, g.http.URL)
	b.eval(`(watch(), globalThis.got = [], Promise.all(["plain", "kept"].map((name) =>
		db.subscribe(name, { onMessage: (m) => name === "kept" && got.push(m.data), onResume: (r) => got.push(name + " " + r.recovered) }).ready)))`)
	g.engineDo("PUBLISH", "kept", "1")
	b.becomes("1", "got")
	var none struct{}
	b.call("Page.setWebLifecycleState", map[string]any{"state": "frozen"}, &none)
	large := strings.Repeat("x", 32<<10)
	g.eventually(func() bool { return g.engineDo("PUBLISH", "plain", large).Int == 0 }, "the sleeper still has its connection")
	g.engineDo("PUBLISH", "kept", "2")
	g.engineDo("PUBLISH", "kept", "3")
	b.call("Page.setWebLifecycleState", map[string]any{"state": "active"}, &none)
	b.becomes("1,plain false,kept true,2,3", "got")
	require.Equal(t, "up", b.eval("db.state"))
}

// What was published while the network was cut comes when it is there again, each message once and in its order. A hole
// that is older than the history is told.
func testClientHistory(t *testing.T) {
	g := startGateway(t, nil, "--history", "room:*=50")
	p := startProxy(t, g.http.Listener.Addr().String())
	b := openClient(t, "http://"+p.addr())
	for i := range 5 {
		g.engineDo("PUBLISH", "room:1", strconv.Itoa(i))
	}
	require.Contains(t, b.eval(`(watch({ retryMaxMs: 20 }), globalThis.got = [], globalThis.resumed = [], globalThis.sub = db.subscribe("room:1",
		{ last: 3, onMessage: (m) => got.push(m.data), onResume: (r) => resumed.push(r.recovered) }), sub.ready.then(JSON.stringify))`), `"recovered":true`)
	want := []string{"2", "3", "4"}
	for i := 5; i < 45; i++ {
		g.engineDo("PUBLISH", "room:1", strconv.Itoa(i))
		want = append(want, strconv.Itoa(i))
		switch i % 10 {
		case 0:
			p.cut()
		case 7:
			p.heal()
			b.becomes(strings.Join(want, ","), "got")
		}
	}
	p.cut()
	b.becomes("false", `(got.length = 0, db.state === "up")`)
	require.NotContains(t, b.eval("resumed"), "false")
	for i := range 60 {
		g.engineDo("PUBLISH", "room:1", strconv.Itoa(i))
	}
	p.heal()
	b.becomes("false", "resumed.at(-1)")
	b.becomes("59", "got.at(-1)") // what is left of it
	// Another subscription begins with the history anew.
	b.eval(`(sub.unsubscribe(), got.length = 0, db.subscribe("room:1", { last: 2, onMessage: (m) => got.push(m.data) }).ready)`)
	b.becomes("58,59", "got")
	// Where nobody has said anything yet, nothing is missed either.
	b.eval(`(got.length = 0, db.subscribe("room:2", { onMessage: (m) => got.push(m.data), onResume: (r) => got.push(r.recovered) }).ready)`)
	p.cut()
	b.becomes("false", `db.state === "up"`)
	g.engineDo("PUBLISH", "room:2", "first")
	p.heal()
	b.becomes("true,first", "got")
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

// Work queues: each job for one worker; what a worker had not acknowledged when its network was cut is for the others.
func testClientQueues(t *testing.T) {
	g := startGateway(t, func(o *gatewayOptions) { o.HTTPQueues, o.QueueTimeout = true, time.Hour })
	p := startProxy(t, g.http.Listener.Addr().String())
	worker, dying := openClient(t, g.http.URL), openClient(t, "http://"+p.addr())
	require.Equal(t, "2", dying.eval(`(watch(), globalThis.got = [], globalThis.jobs = db.consume("jobs", { prefetch: 2, onJob: (job) => (got.push(job.data), new Promise(() => {})) }), jobs.ready.then((r) => r.prefetch))`))
	for i := range 6 {
		g.engineDo("XADD", "queue:jobs", "*", "data", strconv.Itoa(i))
	}
	dying.becomes("0,1", "got") // and no more, as it acknowledges nothing
	worker.eval(`(watch(), globalThis.got = [], globalThis.jobs = db.consume("jobs", { onJob: (job) => got.push(job.data + " " + job.tries) }), jobs.ready)`)
	worker.becomes("2 1,3 1,4 1,5 1", "got")
	p.cut()
	worker.becomes("2 1,3 1,4 1,5 1,0 2,1 2", "got")
	g.eventually(func() bool { return g.engineDo("XLEN", "queue:jobs").Int == 0 }, "not all are acknowledged")

	dying.eval(`(db.close(), 1)`)

	// The worker is there again after a cut of its own. A loop does the same as a callback.
	for _, s := range g.open() {
		s.close(1001, "", true)
	}
	worker.becomes("true", `states.filter((s) => s === "up").length === 2 && db.state === "up"`)
	g.engineDo("XADD", "queue:jobs", "*", "data", "last", "by", "redis-cli")
	worker.becomes("last 1", "got.at(-1)")
	worker.eval(`(got.length = 0, jobs.stop(), globalThis.jobs = db.consume("jobs", { policy: "broadcast" }), jobs.ready)`)
	g.engineDo("XADD", "queue:jobs", "*", "data", "x", "by", "redis-cli")
	require.Equal(t, "x by,redis-cli 1", worker.eval(`(async () => {
		for await (const job of jobs) return [job.data, [...job.fields], await job.ack()].join(" ");
	})()`))
	g.eventually(func() bool { return g.engineDo("XLEN", "queue:jobs").Int == 0 }, "not all are acknowledged")
	require.True(t, strings.HasPrefix(worker.eval(`failure(db.consume("no such name").ready)`), "ERR"))
}

// A server that is killed, and one that says goodbye: the page is there again with the next one, and with the history
// nothing is missing.
func TestClientRestart(t *testing.T) {
	t.Parallel()
	redistest.Need(t, "chromium")
	needSignals(t)
	bin, dir, port := redistest.Program(t, "10-websocket-capstone"), t.TempDir(), strconv.Itoa(redistest.Port(t))
	start := func() *capstone {
		return launch(t, bin, dir, "--http-port", port, "--appendonly", "yes", "--appendfsync", "always", "--history", "room=100")
	}
	c := start()
	b := openClient(t, strings.TrimSuffix(c.page, "/"))
	b.eval(`(watch({ queueTimeoutMs: 1e6 }), globalThis.got = [], globalThis.sub = db.subscribe("room", { onMessage: (m) => got.push(m.data), onResume: (r) => got.push(r.recovered) }), sub.ready)`)
	require.Equal(t, "1", publish(t, c, "room", "one"))
	require.Equal(t, "OK", b.eval(`db.call("SET", "k", "v")`))
	b.becomes("one", "got")
	require.NoError(t, c.cmd.Process.Kill())
	c.exits()
	b.becomes("true", `db.state !== "up"`)
	b.eval(`(globalThis.k = db.call("GET", "k"), 1)`)
	c = start()
	publish(t, c, "room", "two") // whether the page is there again or not
	require.Equal(t, "v", b.eval("k"))
	b.becomes("one,true,two", "got")

	b.eval(`(globalThis.bye = [], globalThis.pause = 0, db.addEventListener("goodbye", (e) => bye.push(e.detail.reason)),
		db.addEventListener("state", (e) => { if (!pause && e.detail.retryMs) pause = e.detail.retryMs; }))`)
	require.NoError(t, c.cmd.Process.Signal(syscall.SIGTERM))
	require.Equal(t, 0, c.exits(), c.said())
	b.becomes("shutdown", "bye")
	b.becomes("true", "pause >= 500 && pause <= 5000")
	c = start()
	publish(t, c, "room", "three")
	b.becomes("one,true,two,true,three", "got")
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
