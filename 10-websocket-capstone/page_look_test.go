package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// What the page looks like: whether it can be read, by everybody and on a phone.

// poorContrast lists the texts whose contrast with what is behind them is below 4.5, as WCAG 2 reckons it. A
// placeholder is a text, too.
const poorContrast = `(() => {
	const rgba = (colour) => {
		const c = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
		c.fillStyle = colour;
		c.fillRect(0, 0, 1, 1);
		const [r, g, b, a] = c.getImageData(0, 0, 1, 1).data;
		return { c: [r, g, b], a: a / 255 };
	};
	const over = (front, back) => front.c.map((v, i) => v * front.a + back[i] * (1 - front.a));
	const light = (c) => {
		const [r, g, b] = c.map((v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
		return 0.2126 * r + 0.7152 * g + 0.0722 * b;
	};
	const behind = (e) => {
		if (!e) return [255, 255, 255];
		const back = rgba(getComputedStyle(e).backgroundColor);
		return back.a === 1 ? back.c : over(back, behind(e.parentElement));
	};
	const poor = [];
	let looked = 0;
	const look = (e, text, colour) => {
		if (!text.trim() || !e.checkVisibility({ opacityProperty: true, visibilityProperty: true })) return;
		let opacity = 1;
		for (let p = e; p; p = p.parentElement) opacity *= Number(getComputedStyle(p).opacity);
		const back = behind(e);
		const front = rgba(colour);
		front.a *= opacity;
		const [a, b] = [light(over(front, back)), light(back)];
		const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
		looked++;
		if (ratio < 4.5) poor.push(text.trim().slice(0, 30) + " (" + (e.className || e.tagName) + ") " + ratio.toFixed(2));
	};
	const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
	for (let n; (n = texts.nextNode()); ) look(n.parentElement, n.data, getComputedStyle(n.parentElement).color);
	for (const e of document.querySelectorAll("input, textarea, select")) {
		if (e.value) look(e, e.value, getComputedStyle(e).color);
		else if (e.placeholder) look(e, e.placeholder, getComputedStyle(e, "::placeholder").color);
	}
	return JSON.stringify({ looked, poor });
})()`

// everything brings all kinds of text onto the page.
func everything(g *testGateway, b *tab) {
	b.fill("topic", "room:1")
	b.shows("topics", "room:1")
	b.fill("topic", "log.*")
	b.shows("topics", "log.*")
	g.engineDo("PUBLISH", "log.a", "hello")
	b.shows("feed", "hello")
	for line, want := range map[string]string{"GET picture": `\x89`, "LRANGE jobs 0 -1": "resize", "GET none": "(nil)", "INCR user:1": "WRONGTYPE",
		"CONFIG GET x": "ws-allow-commands", "DBSIZE": "(integer)", "PING": "PONG", "HGETALL none": "(empty map)"} {
		b.fill("line", line)
		b.shows("screen", want)
	}
	b.eval(`document.getElementById("line").focus()`)
	b.set("#line", "set")
	b.shows("offers", "setex")
	b.choose("scores")
	b.inValue(`at(".adder").requestSubmit(); return "done"`)
	b.shows("value", "What is to be added?")
	b.inValue(`at("[title='Remove anna']").click(); at("[title='Edit ben']").click(); return "done"`)
	b.shows("clientlist", "web page")
	b.point("#mem canvas", 0.99, 0.5)
	b.waits(`document.querySelector("#mem .tip").textContent !== ""`)
}

func TestPageCanBeRead(t *testing.T) {
	t.Parallel()
	g := startPage(t, nil)
	sampleData(g)
	b := openTab(t, "about:blank")
	b.visit(g.http.URL)
	b.click("#steps button", "SET greeting")
	everything(g, b)
	testPageShowsMarkupAsText(g, b)
	locked := openPage(t, startPage(t, withPassword, "--requirepass", "secret"))
	locked.fill("pass", "wrong")
	locked.shows("login-says", "invalid")
	for _, scheme := range []string{"light", "dark"} {
		for name, least := range map[*tab]int{b: 150, locked: 10} {
			name.scheme(scheme)
			var says struct {
				Looked int
				Poor   []string
			}
			name.json(poorContrast, &says)
			require.Empty(t, says.Poor, scheme)
			require.Greater(t, says.Looked, least)
		}
	}
	// What has no text has a name.
	require.Equal(t, "", b.eval(`[...document.querySelectorAll("button, input, select, textarea, canvas, a, [role=region], [role=log], progress")]
		.filter((e) => !(e.textContent.trim() || e.getAttribute("aria-label") || e.labels?.length)).map((e) => e.outerHTML).join("\n")`))
	require.Equal(t, "Console,Pub/Sub,Keys,Server", b.eval(`[...document.querySelectorAll("nav a")].map((a) => document.querySelector(a.hash) && a.textContent).join()`))
}

// Whatever the names and values are, they are text.
func testPageShowsMarkupAsText(g *testGateway, b *tab) {
	const evil = `<img src=x onerror="window.bad = 1"><script>window.bad = 1</script>`
	g.engineDo("HSET", evil, evil, evil)
	g.engineDo("XADD", "stream:"+evil, "*", evil, evil)
	g.engineDo("PUBLISH", "log."+evil, evil)
	b.shows("feed", evil)
	b.fill("line", `ECHO "`+strings.ReplaceAll(evil, `"`, `\"`)+`"`)
	b.shows("screen", "<img")
	for _, key := range []string{"stream:", "<img"} {
		b.fill("match", key)
		b.click("#list button", evil)
		b.waits(`document.querySelectorAll("#value tbody td")[1]?.textContent.includes("<img")`)
	}
	require.Equal(g.t, "true,0", b.eval(`[window.bad === undefined, document.querySelectorAll("img, main script").length].join()`))
}

func TestPageOnAPhone(t *testing.T) {
	t.Parallel()
	g := startPage(t, nil)
	sampleData(g)
	g.engineDo("SET", fmt.Sprintf("long:%0200d", 1), fmt.Sprintf("%0500d", 1))
	b := openTab(t, "about:blank")
	b.size(390, 844, true)
	b.visit(g.http.URL)
	everything(g, b)
	for _, width := range []int{390, 320} {
		b.size(width, 844, true)
		b.becomes(fmt.Sprint(width), `document.documentElement.scrollWidth`) // nothing reaches beyond the edge
		require.Equal(t, "true", b.eval(`document.querySelector("header").getBoundingClientRect().height <= 90`))
		b.eval(`document.querySelector("nav a[href='#server']").click()`)
		b.waits(`document.getElementById("server").getBoundingClientRect().top < innerHeight / 2`)
		require.Equal(t, "true", b.eval(`document.querySelector("header").getBoundingClientRect().bottom <= 45`), "only the links stay")
		b.eval(`scrollTo(0, 0)`)
	}
	for _, width := range []int{640, 768, 980, 1000, 1160} {
		b.size(width, 900, false)
		b.waits(fmt.Sprintf(`innerWidth === %d`, width))
		b.becomes("true", `((nav, link) => nav.left >= link.right || nav.top >= link.bottom)(...["nav", "#rtt", "#state"].map((s) => document.querySelector(s).getBoundingClientRect()))`) // nothing lies on the links
		b.becomes("0", `((d) => d.scrollWidth - d.clientWidth)(document.documentElement)`)
	}
}
