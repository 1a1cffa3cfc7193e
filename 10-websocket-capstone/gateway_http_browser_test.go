package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// attempts is what a page can send elsewhere, by all the ways that a browser has. Each ends, and says how.
const attempts = `
const to = new URLSearchParams(location.search).get("to"), said = {};
const json = {method: "POST", headers: {"Content-Type": "application/json", "Authorization": "Bearer secret"}, body: '["INCR","runs"]'};
async function over(name, what) { try { said[name] = await what(); } catch (e) { said[name] = "failed"; } }
(async () => {
  await over("picture", () => new Promise(done => { const i = new Image(); i.onload = i.onerror = () => done("sent"); i.src = to + "/c/INCR/runs"; }));
  await over("form", () => new Promise(done => {
    const frame = document.createElement("iframe"), f = document.createElement("form");
    frame.name = "hidden"; document.body.append(frame, f); frame.onload = () => done("sent");
    f.method = "POST"; f.action = to + "/c/INCR/runs"; f.target = "hidden"; f.enctype = "text/plain"; f.submit();
  }));
  await over("blind", async () => { await fetch(to + "/c/INCR/runs", {method: "POST", mode: "no-cors"}); return "sent"; });
  await over("blind json", async () => { await fetch(to + "/c", {method: "POST", mode: "no-cors", body: '["INCR","runs"]'}); return "sent"; });
  await over("beacon", () => String(navigator.sendBeacon(to + "/c/INCR/runs", "")));
  await over("read", async () => (await fetch(to + "/c/GET/secret", {headers: {"Authorization": "Bearer secret"}})).text());
  await over("json", async () => (await fetch(to + "/c", json)).text());
  await over("events", () => new Promise((done, no) => {
    const es = new EventSource(to + "/c/SUBSCRIBE/room");
    es.onmessage = e => { es.close(); done(e.data); };
    es.onerror = () => { es.close(); no(); };
    es.addEventListener("subscribed", () => fetch(to + "/c/PUBLISH/room/hi", {method: "POST"}));
  }));
  document.getElementById("said").textContent = JSON.stringify(said) + " done";
})();`

// A page of another site achieves nothing in a real browser, whatever it tries. One that is allowed can work.
func TestHTTPInABrowser(t *testing.T) {
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = w.Write([]byte(`<body><pre id="said"></pre><script>` + attempts + `</script>`))
	}))
	t.Cleanup(page.Close)
	elsewhere := strings.TrimPrefix(page.URL, "http://")
	for name, c := range map[string]struct {
		from    string
		allowed bool
	}{
		"another port":      {page.URL, false},
		"another site":      {strings.Replace(page.URL, "127.0.0.1", "localhost", 1), false},
		"an allowed origin": {page.URL, true},
	} {
		t.Run(name, func(t *testing.T) {
			g := startHTTP(t, func(o *gatewayOptions) {
				if c.allowed {
					o.Origins = []string{elsewhere}
				}
			})
			g.engineDo("SET", "secret", "tell nobody")
			b := openTab(t, c.from+"/?to="+g.http.URL)
			said := ""
			require.Eventually(t, func() bool {
				said = b.eval(`document.getElementById("said")?.textContent`)
				return strings.HasSuffix(said, " done")
			}, 3*patience, 20*time.Millisecond, "the page has not come to its end")
			b.faults = nil // what the browser has forbidden this page is no mistake of it
			if !c.allowed {
				require.NotContains(t, said, "tell nobody")
				require.Contains(t, said, `"json":"failed"`)
				require.Contains(t, said, `"events":"failed"`)
				require.True(t, g.engineDo("GET", "runs").Null, "something was executed: %s", said)
				return
			}
			require.Contains(t, said, "tell nobody")
			require.Contains(t, said, `"json":"{\"result\":`)
			require.Contains(t, said, `{\"push\":\"message\",\"channel\":\"room\",\"data\":\"hi\"}`)
		})
	}
}

// EventSource comes back by itself and misses nothing, whatever ends its streams.
func TestHTTPEventSourceResumes(t *testing.T) {
	t.Parallel()
	withOwnEngine(t)
	g := startHTTP(t, nil, "--history", "room:*=1000")
	b := openTab(t, g.http.URL+"/healthz") // a page of our own that does nothing by itself
	g.eventually(func() bool { return b.eval(`location.pathname + document.readyState`) == "/healthzcomplete" }, "the page is there")
	b.eval(`(() => { window.got = []; window.es = new EventSource("/c/SUBSCRIBE/room:1/room:2?last=0");
		es.addEventListener("subscribed", e => got.push(JSON.parse(e.data).recovered));
		es.onmessage = e => got.push(JSON.parse(e.data).data); return 1; })()`)
	want, sent := []string{}, 0
	shows := func() {
		t.Helper()
		g.eventually(func() bool { return b.eval(`got.join(" ")`) == strings.Join(want, " ") }, "the page gets all: "+strings.Join(want, " "))
	}
	publish := func(n int) {
		for range n {
			sent++
			g.engineDo("PUBLISH", fmt.Sprint("room:", 1+sent%2), fmt.Sprint(sent))
			want = append(want, fmt.Sprint(sent))
		}
	}
	want = append(want, "true")
	shows()
	publish(3)
	shows()
	for _, cut := range []func(){
		func() { g.engineDo("CLIENT", "KILL", "TYPE", "pubsub") },
		g.http.CloseClientConnections,
	} {
		cut()
		g.eventually(func() bool { return g.requests.streams.Load() == 0 }, "the stream has ended")
		want = append(want, "true") // comes first when it is back
		before := len(want)
		publish(4)
		// What was missed comes channel by channel: first room:1, with the even ones.
		missed := append(onlyOf(want[before:], 0), onlyOf(want[before:], 1)...)
		copy(want[before:], missed)
		shows()
		publish(2)
		shows()
	}
}

// onlyOf returns the numbers that are odd, or even.
func onlyOf(numbers []string, rest int) (some []string) {
	for _, n := range numbers {
		if i, err := strconv.Atoi(n); err == nil && i%2 == rest {
			some = append(some, n)
		}
	}
	return some
}
