package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"
)

// web/client.js before a gateway of the test's own, which says what is rarely said.

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

// The server says when to come back. A network that is there again, or a tab that somebody looks at, comes at once.
func TestClientHonoursGoodbye(t *testing.T) {
	goodbye := func(p *fakePeer) {
		p.say(`{"push":"goodbye","code":1001,"reason":"shutdown","reconnectMs":[1000000,1000000]}`)
		p.close(1001)
	}
	b := openClient(t, fakeGateway(t, goodbye, goodbye, func(*fakePeer) {}))
	b.eval(`(watch(), globalThis.pauses = [], db.addEventListener("state", (e) => e.detail.retryMs && pauses.push(e.detail.retryMs)))`)
	b.becomes("1000000", "pauses")
	b.eval(`dispatchEvent(new Event("online"))`)
	b.becomes("1000000,1000000", "pauses")
	b.eval(`document.dispatchEvent(new Event("visibilitychange"))`)
	b.becomes("up", "db.state")
	require.Equal(t, "up,down,connecting,up,down,connecting,up", b.eval("states"))
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
