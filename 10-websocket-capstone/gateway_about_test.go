package main

import (
	"net"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"
)

func TestListedIsOneWord(t *testing.T) {
	for text, want := range map[string]string{
		"https://page.example:8080":      "https://page.example:8080",
		"x y\r\nid=7 addr=\"\xff\x00%20": `x%20y%0d%0aid%3d7%20addr%3d"%ff%00%2520`,
		"":                               "",
	} {
		require.Equal(t, want, listed(text))
	}
	require.LessOrEqual(t, len(listed(strings.Repeat("\n", 10000))), maxOrigin+2)
}

// from opens a WebSocket as a page of origin would.
func (g *testGateway) from(origin, proto string) *peer {
	g.t.Helper()
	d := websocket.Dialer{HandshakeTimeout: patience, Subprotocols: []string{proto}}
	c, _, err := d.Dial(g.url(), http.Header{"Origin": {origin}})
	require.NoError(g.t, err)
	g.t.Cleanup(func() { _ = c.Close() })
	require.NoError(g.t, c.SetReadDeadline(time.Now().Add(patience)))
	return &peer{Conn: c, t: g.t}
}

// line waits until a client is listed as a WebSocket, and returns its line.
func (g *testGateway) line(p *peer) (line string) {
	g.t.Helper()
	g.eventually(func() bool {
		for l := range strings.Lines(string(g.engineDo("CLIENT", "LIST").Str)) {
			if strings.Contains(l, " addr="+p.NetConn().LocalAddr().String()+" ") {
				line = strings.TrimSuffix(l, "\n")
			}
		}
		return strings.Contains(line, " ws=")
	}, "it is listed")
	return line
}

// CLIENT LIST says of a WebSocket what it is, behind Redis's fields and in their form.
func TestClientListTellsOfWebSockets(t *testing.T) {
	withOwnEngine(t)
	g := startGateway(t, func(o *gatewayOptions) { o.Origins = []string{"*"} })
	page := strings.Replace(g.url(), "ws://", "http://", 1)
	page = strings.TrimSuffix(page, "/ws")
	for _, row := range []struct{ origin, proto, want string }{
		{page, protoJSON, "ws=json origin=" + page}, {"https://a.example", protoRESP, "ws=resp origin=https://a.example"},
		{"https://a.example/ id=1", protoJSON, "ws=json origin=https://a.example/%20id%3d1"},
	} {
		line := g.line(g.from(row.origin, row.proto))
		require.Regexp(t, `^id=\d+ addr=.* lib-ver=\S* `+regexp.QuoteMeta(row.want)+`$`, line)
		for _, field := range strings.Split(line, " ") {
			require.Regexp(t, `^[a-z-]+=[^=]*$`, field)
		}
	}
	require.Regexp(t, ` ws=json$`, g.line(g.dial(protoJSON)), "a program names no page")
	info := string(g.engineDo("CLIENT", "INFO").Str)
	require.NotContains(t, info, " ws=", "the gateway itself is no browser")
}

// CLIENT KILL closes a WebSocket with a code of its own, however it was chosen.
func TestKilledBrowsersAreTold(t *testing.T) {
	withOwnEngine(t)
	g := startGateway(t, nil)
	for _, proto := range []string{protoJSON, protoRESP} {
		for name, kill := range map[string]func(p *peer, id string) []string{
			"by ID":      func(_ *peer, id string) []string { return []string{"ID", id} },
			"by address": func(p *peer, _ string) []string { return []string{"ADDR", p.NetConn().LocalAddr().String()} },
			"by type":    func(*peer, string) []string { return []string{"TYPE", "pubsub"} },
			"by user":    func(*peer, string) []string { return []string{"USER", "default"} },
			"blocked":    func(_ *peer, id string) []string { return []string{"ID", id} },
		} {
			p := g.dial(proto)
			id := strings.TrimPrefix(strings.Fields(g.line(p))[0], "id=")
			say := []string{"SUBSCRIBE", "c"}
			if name == "blocked" {
				say = []string{"BLPOP", "nothing", "0"}
			}
			if proto == protoRESP {
				p.raw(command(say...))
			} else if name == "blocked" {
				p.say(`{"id":1,"op":"cmd","args":["BLPOP","nothing","0"]}`)
			} else {
				p.expect(`{"id":1,"op":"sub","channels":["c"]}`, `{"id":1,"result":{"subscribed":["c"]}}`)
			}
			g.eventually(func() bool { l := g.line(p); return strings.Contains(l, " sub=1 ") || strings.Contains(l, " flags=b ") }, "it is at it")
			require.EqualValues(t, 1, g.engineDo(append([]string{"CLIENT", "KILL"}, kill(p, id)...)...).Int, "%s %s", proto, name)
			code, reason := p.closed()
			require.Equal(t, closeKilled, code, "%s %s", proto, name)
			require.Equal(t, "killed by an administrator", reason)
		}
	}
	require.EqualValues(t, 10, g.metrics.closesOf(closeKilled))
}

// samples returns what /metrics and INFO say.
func (g *testGateway) samples() map[string]int {
	g.t.Helper()
	all := map[string]int{}
	_, body := g.get("/metrics")
	for line := range strings.Lines(body) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), " "); ok && !strings.HasPrefix(name, "#") {
			n, _ := strconv.ParseFloat(value, 64)
			all[name] = int(n)
		}
	}
	fields, err := g.engine.info("websocket")
	require.NoError(g.t, err)
	for _, f := range fields {
		n, err := strconv.Atoi(f[1])
		require.NoError(g.t, err)
		all[f[0]] = n
	}
	return all
}

// INFO and /metrics count the same.
func TestWebSocketsAreCounted(t *testing.T) {
	withOwnEngine(t)
	g := startGateway(t, func(o *gatewayOptions) { o.MaxQueue, o.WriteTimeout = 64<<10, time.Minute })
	p, raw, slow := g.dial(protoJSON), g.dial(protoRESP), g.dial(protoJSON)
	p.expect(`{"id":1,"op":"sub","channels":["c"],"patterns":["c*"]}`, `{"id":1,"result":{"subscribed":["c","c*"]}}`)
	raw.raw(command("SUBSCRIBE", "c"))
	raw.hearRaw("*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n")
	for range 5 {
		require.EqualValues(t, 3, g.engineDo("PUBLISH", "c", "x").Int)
	}
	raw.hearRaw(strings.Repeat("*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\nx\r\n", 5))
	for range 5 {
		p.expect("", `{"push":"message","channel":"c","data":"x"}`, `{"push":"pmessage","pattern":"c*","channel":"c","data":"x"}`)
	}
	same := func(info, metrics string, want int) {
		t.Helper()
		g.eventually(func() bool { n := g.samples(); return n[info] == want && n[metrics] == want }, info+" is "+strconv.Itoa(want))
	}
	same("websocket_clients", "byor_ws_connections", 3)
	same("websocket_clients_json", `byor_ws_sockets{protocol="json"}`, 2)
	same("websocket_clients_resp", `byor_ws_sockets{protocol="resp"}`, 1)
	same("websocket_deliveries", "byor_ws_deliveries_total", 15)
	same("websocket_queue_bytes", "byor_ws_queue_bytes", 0)
	require.NotContains(t, g.samples(), "byor_info_websocket_clients", "it has a name of its own")

	// One that does not read has bytes waiting, and is closed when they are too many.
	slow.expect(`{"id":1,"op":"sub","channels":["s"]}`, `{"id":1,"result":{"subscribed":["s"]}}`)
	var its *socket
	for _, s := range g.open() {
		if s.ws.RemoteAddr().String() == slow.NetConn().LocalAddr().String() {
			its = s
		}
	}
	require.NoError(t, its.unsent.Conn.(*net.TCPConn).SetWriteBuffer(16<<10))
	waited := false
	g.eventually(func() bool {
		g.engineDo("PUBLISH", "s", strings.Repeat("x", 16<<10))
		n := g.samples()
		waited = waited || n["websocket_queue_bytes"] > 0 && n["byor_ws_queue_bytes"] > 0
		return n["websocket_slow_disconnects"] == 1
	}, "it is too slow")
	require.True(t, waited)
	same("websocket_slow_disconnects", "byor_ws_slow_disconnects_total", 1)
	g.engineDo("CLIENT", "KILL", "ADDR", raw.NetConn().LocalAddr().String())
	raw.expectClose(closeKilled)
	same("websocket_killed", "byor_ws_killed_total", 1)
}
