package main

import (
	"io"
	"net"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"byor/pkg/resp"
	"byor/pkg/server"
)

// The page in a real browser: the console, the charts, the panels. The key browser is in page_keys_test.go.

// replyText writes a reply as its words.
func replyText(v resp.Value) string {
	switch v.Kind {
	case resp.Integer:
		return strconv.FormatInt(v.Int, 10)
	case resp.Double:
		return strconv.FormatFloat(v.Double, 'g', -1, 64)
	case resp.Array:
		words := make([]string, len(v.Elems))
		for i, e := range v.Elems {
			words[i] = replyText(e)
		}
		return strings.Join(words, " ")
	}
	return string(v.Str)
}

func TestPageConsole(t *testing.T) {
	g := startPage(t, nil)
	b := openPage(t, g)
	line := func() string { return b.eval(`document.getElementById("line").value`) }
	b.eval(`document.getElementById("line").focus()`)

	// It completes commands, subcommands and options, and explains them in the server's own words.
	b.write("zrang")
	b.shows("offers", "zrangebyscore")
	b.press("Tab")
	require.Equal(t, "zrange ", line())
	b.press("Tab")
	require.Equal(t, "zrangebylex ", line())
	b.shows("explain", "ZRANGEBYLEX key min max [LIMIT offset count]")
	b.shows("explain", "reads")
	b.set("#line", "CONFIG RES")
	b.shows("offers", "RESETSTAT")
	b.press("Tab")
	require.Equal(t, "CONFIG RESETSTAT ", line())
	b.shows("explain", "rules the server")
	b.set("#line", "set k v ke")
	b.shows("offers", "keepttl")
	b.set("#line", "config")
	b.shows("explain", "CONFIG <")

	// What a page may not say, it says kindly.
	b.fill("line", "CONFIG GET maxmemory")
	b.shows("screen", "--ws-allow-commands 'config|get'")

	// Bytes are shown as bytes only where there are some.
	b.fill("line", `SET bin "ä\x00b\xff€"`)
	b.shows("screen", "OK")
	b.fill("line", "GET bin")
	b.shows("screen", `$8\r\nä\x00b\xff€\r\n`)
	b.becomes(`"ä\x00b\xff€"`, `document.querySelector("#screen .entry:last-child .t-str").textContent`)
	b.becomes(`\x00,\xff`, `[...document.querySelectorAll("#screen .entry:last-child .t-str .byte")].map((e) => e.textContent).join()`)

	// The arrow keys bring back what was typed, in this tab and without secrets.
	for _, secret := range []string{"AUTH hunter2", "HELLO 3 AUTH default hunter2", "CONFIG SET requirepass hunter2", "ACL SETUSER ann >hunter2", `AUTH "hunter2`} {
		b.fill("line", secret)
	}
	b.waits(`document.querySelectorAll("#screen .t-err").length >= 5`)
	back := func() {
		b.eval(`document.getElementById("line").focus()`)
		b.set("#line", "draft")
		for _, want := range []string{"GET bin", `SET bin "ä\x00b\xff€"`, "CONFIG GET maxmemory", "CONFIG GET maxmemory"} {
			b.press("ArrowUp")
			require.Equal(t, want, line())
		}
		for range 3 {
			b.press("ArrowDown")
		}
		require.Equal(t, "draft", line())
	}
	back()
	require.NotContains(t, b.eval(`JSON.stringify({...sessionStorage, ...localStorage})`), "hunter2")
	b.visit(g.http.URL)
	back()
}

func TestPageCharts(t *testing.T) {
	t.Parallel()
	g := startPage(t, nil)
	b := openPage(t, g)
	b.waits(`document.querySelector("#ops strong").textContent !== "–"`)
	b.point("#mem canvas", 0.999, 0.5)
	b.waits(`/^\d\d:\d\d:\d\d · [\d.]+ [KM]B$/.test(document.querySelector("#mem .tip").textContent)`)
	b.waits(`/^(1|2|5|10|20|50|100|200|500)(\.0)? [KM]B$/.test(document.querySelector("#mem .top").textContent)`)
	b.becomes("60 s ago", `document.querySelector("#mem .times span").textContent`)
	b.point("h1", 0.5, 0.5)
	b.becomes("", `document.querySelector("#mem .tip").textContent`)
	for _, id := range []string{"ops", "mem", "clients", "lat"} {
		b.waits(`/: now .+, between .+ and .+ since /.test(document.querySelector("#` + id + ` canvas[role=img]").getAttribute("aria-label"))`)
	}
	b.eval(`document.querySelector("#clients canvas").focus()`)
	b.press("ArrowLeft")
	b.waits(`/ · [12]$/.test(document.querySelector("#clients .tip").textContent)`) // the page, and perhaps the gateway itself

	// Ten minutes of points, as after ten minutes.
	require.Equal(t, "10 min ago|500|601", b.eval(`(async () => {
		const { Chart } = await import("./chart.js");
		const figure = document.createElement("figure");
		figure.className = "card chart";
		document.querySelector(".charts").append(figure);
		const chart = new Chart(figure, { name: "test", colour: "--blue", format: String });
		const now = Date.now();
		for (let s = 900; s >= 0; s--) chart.add(s % 300 + 1, now - s * 1000);
		const says = [figure.querySelector(".times span").textContent, figure.querySelector(".top").textContent, chart.points.length].join("|");
		figure.remove();
		return says;
	})()`))
}

func TestPageServerPanel(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = ln.Close() })
	withOwnEngine(t)
	g := startGateway(t, func(o *gatewayOptions) {
		master := ownServer(t, "--repl-diskless-sync-delay", "0")
		go func() { _ = master.Serve(ln) }()
		o.Dial, o.Allow = dialInMemory(master.ServeConn), []string{"client|list"}
		o.Attach = func(p server.Peer) (io.WriteCloser, error) { return master.Attach(p) }
	})
	b := openPage(t, g)
	b.shows("facts", "none")
	_, number, err := net.SplitHostPort(ln.Addr().String())
	require.NoError(t, err)
	ownServer(t, "--replicaof", "127.0.0.1 "+number)
	b.shows("facts", "up to date")
	b.shows("clientlist", "replica")
	b.shows("clientlist", "guest")
	b.shows("clientlist", "this page")
	b.shows("howmany", "1")

	denied := openPage(t, startPage(t, nil))
	denied.shows("clientlist", "--ws-allow-commands 'client|list'")
	denied.shows("state", "connected")
}

func TestPageFirstSteps(t *testing.T) {
	g := startPage(t, nil)
	b := openTab(t, "about:blank")
	b.visit(g.http.URL)
	b.becomes("false", `document.getElementById("welcome").hidden`)
	for _, text := range []string{"SET greeting", "GET greeting", "INCR visits"} {
		b.click("#steps button", text)
	}
	b.shows("screen", "(integer) 1")
	require.Equal(t, "hello", string(g.engineDo("GET", "greeting").Str))
	b.becomes("false", `document.getElementById("welcome-next").hidden`)
	b.click("#welcome-close", "")
	b.visit(g.http.URL)
	b.becomes("true", `document.getElementById("welcome").hidden`)
	b.click("#first-steps", "")
	b.becomes("false", `document.getElementById("welcome").hidden`)
	require.Contains(t, b.eval(`document.querySelector("header").textContent`), "compatible with 7.0.15")
}

func TestPageLocked(t *testing.T) {
	g := startPage(t, withPassword, "--requirepass", "secret")
	b := openPage(t, g)
	b.becomes("false", `document.getElementById("locked").hidden`)
	b.becomes("true", `document.getElementById("panels").hidden`)
	b.shows("locked", "requirepass")
	b.fill("pass", "wrong")
	b.shows("login-says", "invalid username-password pair")
	b.fill("pass", "secret")
	b.shows("state", "connected")
	b.becomes("true", `document.getElementById("locked").hidden && !document.getElementById("panels").hidden`)
	b.fill("line", "SET a b")
	b.shows("screen", "OK") // the console has logged in, too
	require.NotContains(t, b.eval(`JSON.stringify({...sessionStorage, ...localStorage})`), "secret")
}

// Who may do little is told so, and nothing breaks.
func TestPageOfAUserWithFewRights(t *testing.T) {
	g := startPage(t, withPassword, "--requirepass", "secret", "--user ann on >pw +get +subscribe ~a* &news")
	b := openPage(t, g)
	b.shows("state", "password needed")
	b.eval(`(document.getElementById("user").value = "ann")`)
	b.fill("pass", "pw")
	b.shows("state", "connected")
	b.shows("facts", "no permissions to run")
	b.shows("scan-says", "no permissions to run the 'dbsize' command")
	b.fill("line", "GET b")
	b.shows("screen", "NOPERM")
	b.eval(`(document.getElementById("presence").checked = false)`)
	b.fill("topic", "news")
	b.shows("topics", "news")
	b.fill("topic", "others")
	b.shows("feed", "others")
	b.shows("feed", "one of the channels")
}

// Of a channel with a history the page shows what was said before it came, and after a cut what it has missed.
func TestPageShowsWhatItMissed(t *testing.T) {
	g := startPage(t, nil, "--history", "room:*=100")
	g.engineDo("PUBLISH", "room:1", "said before")
	b := openPage(t, g)
	b.fill("topic", "room:1")
	b.shows("feed", "said before")
	for _, s := range g.open() {
		s.close(1001, "away", true)
	}
	g.engineDo("PUBLISH", "room:1", "said meanwhile")
	b.shows("feed", "said meanwhile")
	b.shows("feed", "nothing was missed")
	require.Equal(t, "1,1", b.eval(`["said before", "said meanwhile"].map((s) => document.getElementById("feed").textContent.split(s).length - 1).join()`))
}
