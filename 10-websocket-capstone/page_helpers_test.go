package main

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"maps"
	"net"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"byor/pkg/resp"
)

// What the tests of the page need beyond browser_test.go.

// startPage starts our own server with a gateway as it is by default and returns the page's address.
func startPage(t *testing.T, change func(o *gatewayOptions), engineArgs ...string) *testGateway {
	t.Helper()
	withOwnEngine(t)
	usual := defaultGatewayOptions()
	return startGateway(t, func(o *gatewayOptions) {
		o.OpsRate, o.OpsBurst = usual.OpsRate, usual.OpsBurst
		if change != nil {
			change(o)
		}
	}, engineArgs...)
}

// fillKeys gives the server n keys, "key:0" to "key:n-1", a thousand in a command.
func fillKeys(t *testing.T, g *testGateway, n int) {
	t.Helper()
	conn, err := g.opts.Dial(&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1})
	require.NoError(t, err)
	defer func() { _ = conn.Close() }()
	const each = 1000
	go func() {
		var buf []byte
		for at := 0; at < n; at += each {
			args := []string{"MSET"}
			for i := at; i < min(at+each, n); i++ {
				args = append(args, "key:"+strconv.Itoa(i), "v")
			}
			buf = resp.AppendCommandStrings(buf[:0], args...)
			if _, err := conn.Write(buf); err != nil {
				return // the reader says so
			}
		}
	}()
	r := bufio.NewReader(conn)
	for at := 0; at < n; at += each {
		line, err := r.ReadString('\n')
		require.NoError(t, err)
		require.Equal(t, "+OK\r\n", line)
	}
}

// visit opens an address in the tab and waits until the page is connected, or locked.
func (b *tab) visit(url string) {
	b.t.Helper()
	b.eval(`(window.left = "yes")`)
	b.call("Emulation.setFocusEmulationEnabled", map[string]any{"enabled": true}, &struct{}{}) // whatever other tabs do
	b.navigate(url)
	b.waits(`window.left === undefined && /connected|password/.test(document.getElementById("state")?.textContent)`)
}

// openPage opens the page in a new tab, as somebody sees it who has seen the first steps.
func openPage(t *testing.T, g *testGateway) *tab {
	t.Helper()
	b := openTab(t, "about:blank")
	b.call("Page.addScriptToEvaluateOnNewDocument", map[string]any{"source": `localStorage.setItem("welcomed", "yes")`}, &struct{}{})
	b.visit(g.http.URL)
	return b
}

// waits waits until an expression is true in the page.
func (b *tab) waits(js string) {
	b.t.Helper()
	require.Eventually(b.t, func() bool { return b.eval("Boolean("+js+")") == "true" }, patience, 20*time.Millisecond, js)
}

// size makes the window a desktop's or a phone's.
func (b *tab) size(width, height int, phone bool) {
	b.t.Helper()
	b.call("Emulation.setDeviceMetricsOverride", map[string]any{"width": width, "height": height, "deviceScaleFactor": 1, "mobile": phone}, &struct{}{})
}

// scheme makes the page dark or light.
func (b *tab) scheme(name string) {
	b.t.Helper()
	b.call("Emulation.setEmulatedMedia", map[string]any{"features": []map[string]any{{"name": "prefers-color-scheme", "value": name}}}, &struct{}{})
}

// press presses a key, such as "Tab" or "ArrowUp".
func (b *tab) press(key string) {
	b.t.Helper()
	codes := map[string]int{"Tab": 9, "Enter": 13, "Escape": 27, "ArrowUp": 38, "ArrowDown": 40, "ArrowLeft": 37, "ArrowRight": 39}
	require.Contains(b.t, codes, key)
	for _, kind := range []string{"rawKeyDown", "keyUp"} {
		b.call("Input.dispatchKeyEvent", map[string]any{"type": kind, "key": key, "code": key, "windowsVirtualKeyCode": codes[key]}, &struct{}{})
	}
}

// write types a text where the cursor is.
func (b *tab) write(text string) {
	b.t.Helper()
	b.call("Input.insertText", map[string]any{"text": text}, &struct{}{})
}

// point moves the mouse over an element: x and y are parts of its width and height.
func (b *tab) point(selector string, x, y float64) {
	b.t.Helper()
	var r struct{ X, Y float64 }
	part := func(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }
	b.json(`((e) => {
		e.scrollIntoView({ block: "center", behavior: "instant" });
		const r = e.getBoundingClientRect();
		return JSON.stringify({ X: r.left + r.width * `+part(x)+`, Y: r.top + r.height * `+part(y)+` });
	})(document.querySelector(`+quote(selector)+`))`, &r)
	b.call("Input.dispatchMouseEvent", map[string]any{"type": "mouseMoved", "x": r.X, "y": r.Y}, &struct{}{})
}

// click clicks the first element that a selector finds, or the first of them with that text.
func (b *tab) click(selector, text string) {
	b.t.Helper()
	b.becomes("done", `((e) => e ? (e.click(), "done") : "there is none")([...document.querySelectorAll(`+quote(selector)+`)].find((e) => e.textContent.includes(`+quote(text)+`)))`)
}

// set puts a text into the field that a selector finds.
func (b *tab) set(selector, text string) {
	b.t.Helper()
	b.becomes("done", `((f) => f ? (f.value = `+quote(text)+`, f.dispatchEvent(new Event("input")), "done") : "there is none")(document.querySelector(`+quote(selector)+`))`)
}

// choose opens a key in the key browser.
func (b *tab) choose(key string) {
	b.t.Helper()
	b.fill("match", key)
	b.click("#list button", key)
	b.becomes(key, `document.querySelector("#value .name")?.textContent`)
}

// inValue runs JavaScript in the panel of a value until it returns "done"; at finds an element there. What belongs
// together stands in one call: between two of them the panel may be drawn anew.
func (b *tab) inValue(js string) {
	b.t.Helper()
	b.becomes("done", `((at) => { `+js+` })((s) => document.querySelector(("#value " + s).trim()))`)
}

// deleteKey deletes the key that is shown.
func (b *tab) deleteKey() {
	b.t.Helper()
	b.inValue(`at("[title^=Delete]")?.click(); return /The key is gone/.test(at("").textContent) ? "done" : "not yet"`)
}

// json reads what an expression says as JSON.
func (b *tab) json(js string, result any) {
	b.t.Helper()
	text := b.eval(js)
	require.NoError(b.t, json.Unmarshal([]byte(text), result), text)
}

// quote writes a text as JavaScript.
func quote(text string) string {
	js, err := json.Marshal(text)
	if err != nil {
		panic(err) // a string is always JSON
	}
	return string(js)
}

// picture writes what the window shows to a PNG file, with as many colours as a palette has: a page has few.
func (b *tab) picture(file string) {
	b.t.Helper()
	var r struct{ Data []byte }
	b.call("Page.captureScreenshot", map[string]any{"format": "png"}, &r)
	img, err := png.Decode(bytes.NewReader(r.Data))
	require.NoError(b.t, err)
	var out bytes.Buffer
	require.NoError(b.t, (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&out, paletted(img)))
	require.NoError(b.t, os.WriteFile(file, out.Bytes(), 0o644))
}

// paletted gives an image a palette: the colours that it has most of, without those that look like another one.
func paletted(img image.Image) *image.Paletted {
	bounds := img.Bounds()
	pixels := map[color.RGBA]int{}
	for y := bounds.Min.Y; y < bounds.Max.Y; y++ {
		for x := bounds.Min.X; x < bounds.Max.X; x++ {
			pixels[color.RGBAModel.Convert(img.At(x, y)).(color.RGBA)]++
		}
	}
	sum := func(c color.RGBA) int { return int(c.R)<<16 | int(c.G)<<8 | int(c.B) }
	colours := slices.SortedFunc(maps.Keys(pixels), func(a, b color.RGBA) int {
		return cmp.Or(pixels[b]-pixels[a], sum(a)-sum(b)) // the same picture gives the same file
	})
	square := func(a, b uint8) int { return (int(a) - int(b)) * (int(a) - int(b)) }
	var palette color.Palette
	for _, c := range colours {
		alike := func(p color.Color) bool {
			o := p.(color.RGBA)
			return square(c.R, o.R)+square(c.G, o.G)+square(c.B, o.B) < 60
		}
		if len(palette) < 24 || len(palette) < 256 && !slices.ContainsFunc(palette, alike) {
			palette = append(palette, c)
		}
	}
	out := image.NewPaletted(bounds, palette)
	draw.Draw(out, bounds, img, bounds.Min, draw.Src)
	return out
}

// sampleData fills a server as somebody does who tries it.
func sampleData(g *testGateway) {
	for _, c := range [][]string{
		{"SET", "greeting", "hello"}, {"SET", "picture", "\x89PNG\r\n\x1a\n\x00\x00 and text, ä €"}, {"SET", "session:41", "anna", "EX", "3600"},
		{"HSET", "user:1", "name", "Ada", "born", "1815", "city", "London"}, {"HSET", "user:2", "name", "Linus", "born", "1969"},
		{"RPUSH", "jobs", "resize 1.png", "mail anna", "resize 2.png"}, {"SADD", "tags", "go", "redis", "websocket"},
		{"ZADD", "scores", "12", "anna", "9.5", "ben", "31", "carla"}, {"XADD", "log", "1-1", "level", "info", "text", "started"},
		{"SET", "needle:1", "found"},
	} {
		require.NotContains(g.t, string(g.engineDo(c...).Str), "ERR")
	}
}
