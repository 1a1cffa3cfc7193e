package main

import (
	"net"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"byor/pkg/redistest"
)

// The two examples in a real browser, with redis-cli at the other end.

// looksWell checks that a page can be read in both schemes, and that nothing of it is too wide for a phone.
func looksWell(b *tab, texts int) {
	b.t.Helper()
	for _, scheme := range []string{"light", "dark"} {
		b.scheme(scheme)
		var says struct {
			Looked int
			Poor   []string
		}
		b.json(poorContrast, &says)
		require.Empty(b.t, says.Poor, scheme)
		require.GreaterOrEqual(b.t, says.Looked, texts)
	}
	b.size(320, 640, true)
	b.becomes("320", `document.documentElement.scrollWidth`)
}

// Rooms, names, presence; what others write stays text.
func TestExampleChat(t *testing.T) {
	redistest.Need(t, "chromium")
	c := launch(t, redistest.Program(t, "10-websocket-capstone"), t.TempDir())
	ann, bob := openTab(t, c.page+"examples/chat.html"), openTab(t, c.page+"examples/chat.html#coffee")
	for name, b := range map[string]*tab{"ann": ann, "bob": bob} {
		b.shows("state", "connected")
		b.eval(`((f) => { f.value = "` + name + `"; f.dispatchEvent(new Event("change")); })(document.getElementById("name"))`)
		b.shows("people", name)
	}
	ann.shows("count", "1 here")
	ann.eval(`[...document.querySelectorAll("#rooms button")].find((b) => b.textContent === "coffee").click()`)
	ann.shows("people", "bob")
	bob.shows("people", "ann")
	bob.shows("count", "2 here")
	ann.shows("messages", "no history")
	ann.fill("text", "two <b>sugars</b>")
	bob.shows("messages", "anntwo <b>sugars</b>")
	ann.shows("messages", "anntwo <b>sugars</b>")
	require.Equal(t, "1", ann.eval(`document.querySelectorAll("#messages .mine").length`))
	require.Equal(t, "2", publish(t, c, "room:coffee", `<img src=x onerror="alert(1)">`))
	bob.shows("messages", `redis-cli<img src=x onerror="alert(1)">`)
	require.Equal(t, "0", bob.eval(`document.images.length`))
	second := ann.beside(c.page + "examples/chat.html#coffee")
	second.shows("people", "ann") // it is the same ann, with one more tab
	second.shows("count", "2 here")
	bob.fill("room", "tea room")
	bob.shows("rooms", "tea-room")
	ann.shows("count", "1 here")
	require.Equal(t, "2", publish(t, c, "room:coffee", "still here?"))
	ann.shows("messages", "still here?")
	require.NotContains(t, bob.eval(`document.getElementById("messages").textContent`), "still here?")
	looksWell(ann, 20)
}

// A number on a channel metric:NAME makes a chart.
func TestExampleDashboard(t *testing.T) {
	t.Parallel()
	redistest.Need(t, "chromium")
	c := launch(t, redistest.Program(t, "10-websocket-capstone"), t.TempDir())
	b := openTab(t, c.page+"examples/dashboard.html")
	b.shows("state", "connected")
	b.shows("try", "redis-cli -p "+strconv.Itoa(c.port)+" PUBLISH metric:load 0.7")
	require.Equal(t, "1", publish(t, c, "metric:load", "0.7"))
	b.shows("charts", "load0.7")
	require.Equal(t, "2", publish(t, c, "metric:load", "1.9")) // the page has both the pattern and the channel
	b.shows("charts", "load1.9")
	require.Equal(t, "load: now 1.9, between 0 and 1.9", b.eval(`document.querySelector("#charts svg").getAttribute("aria-label")`))
	require.GreaterOrEqual(t, len(strings.Fields(b.eval(`document.querySelector("#charts polyline").getAttribute("points")`))), 1)
	b.shows("note", "no history")
	b.eval(`(document.getElementById("feed").click(), 1)`)
	b.shows("charts", "walk")
	b.becomes("2", `document.querySelectorAll("#charts figure").length`)
	looksWell(b, 10)
	b.navigate(c.page + "examples/dashboard.html")
	b.shows("charts", "load") // it remembers what to follow
}

// With a history, a chat room and a chart begin with what was said before.
func TestExamplesWithHistory(t *testing.T) {
	redistest.Need(t, "chromium")
	c := launch(t, redistest.Program(t, "10-websocket-capstone"), t.TempDir(), "--history", "room:*=50", "--history", "metric:*=100")
	for i := range 3 {
		require.Equal(t, "0", publish(t, c, "room:lobby", "before "+strconv.Itoa(i)))
		require.Equal(t, "0", publish(t, c, "metric:load", strconv.Itoa(i)))
	}
	b := openTab(t, c.page+"examples/chat.html")
	b.shows("messages", "before 2")
	b.becomes("3", `document.querySelectorAll("#messages li").length`)
	b.shows("count", "1 here")
	require.NotContains(t, b.eval(`document.getElementById("messages").textContent`), "no history")

	d := openTab(t, c.page+"examples/dashboard.html")
	d.shows("state", "connected")
	publish(t, c, "metric:load", "3.5")
	d.becomes("load: now 3.5, between 0 and 3.5", `document.querySelector("#charts svg")?.getAttribute("aria-label")`)
	d.becomes("5", `document.querySelector("#charts polyline").getAttribute("points").split(" ").length`) // four, and on to now
	require.Equal(t, "true", d.eval(`document.getElementById("note").hidden`))
}

// Where there is a password, the examples ask for it, and then do what they would have done.
func TestExamplesLocked(t *testing.T) {
	redistest.Need(t, "chromium")
	c := launch(t, redistest.Program(t, "10-websocket-capstone"), t.TempDir(), "--requirepass", "secret")
	for page, shows := range map[string]string{"chat": "count", "dashboard": "try"} {
		b := openTab(t, c.page+"examples/"+page+".html")
		b.shows("state", "password needed")
		require.Equal(t, "false", b.eval(`document.getElementById("login").hidden`))
		looksWell(b, 5)
		b.fill("pass", "wrong")
		b.shows("state", "password needed")
		b.fill("pass", "secret")
		b.shows("state", "connected")
		b.becomes("true", `document.getElementById("login").hidden`)
		b.shows(shows, map[string]string{"chat": "1 here", "dashboard": strconv.Itoa(c.port)}[page])
	}
}

// The chat on our replica of a real Redis: what redis-cli publishes on the master arrives, and is kept for who comes later.
func TestExampleChatOnReplica(t *testing.T) {
	t.Parallel()
	redistest.Need(t, "chromium", "redis-server")
	master := redistest.Start(t, t.TempDir())
	host, port, err := net.SplitHostPort(master)
	require.NoError(t, err)
	c := launch(t, redistest.Program(t, "10-websocket-capstone"), t.TempDir(), "--replicaof", host, port, "--history", "room:*=50")
	b := openTab(t, c.page+"examples/chat.html")
	b.shows("count", "1 here")
	require.Equal(t, "0", dialRedis(t, "tcp", master).do("PUBLISH room:lobby from-the-master"))
	b.shows("messages", "from-the-master")
	late := openTab(t, c.page+"examples/chat.html")
	late.shows("messages", "from-the-master")
	require.NotContains(t, late.eval(`document.getElementById("messages").textContent`), "no history")
}
