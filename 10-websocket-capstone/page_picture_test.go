//go:build pictures

package main

import (
	"flag"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
)

var pictures = flag.String("pictures", "", "the `folder` into which TestPictures writes what the page looks like")

// TestPictures is what `make screenshot` runs: the page as it looks with something in it, as the README shows it,
// and on a phone, in the dark, locked, and with a million keys, for those who change it to look at.
func TestPictures(t *testing.T) {
	require.NotEmpty(t, *pictures, "-pictures names a folder")
	g := startPage(t, func(o *gatewayOptions) { o.Allow = []string{"client|list"} })
	sampleData(g)
	b := openTab(t, "about:blank")
	file := func(name string) string { return filepath.Join(*pictures, name+".png") }
	b.size(1280, 1130, false)
	b.scheme("light")
	b.visit(g.http.URL)
	b.waits(`document.querySelectorAll("#steps button").length === 3`)
	b.picture(file("welcome"))
	b.eval(`document.getElementById("welcome-close").click()`)
	b.fill("topic", "room:1")
	b.shows("topics", "room:1")
	for _, text := range []string{"hello", "is anybody there?"} {
		g.engineDo("PUBLISH", "room:1", text)
		b.shows("feed", text)
	}
	b.fill("line", `HGETALL user:1`)
	b.shows("screen", "Ada")
	b.fill("line", `GET picture`)
	b.shows("screen", `\x89`)
	b.eval(`(l => { l.focus(); l.value = "ZADD "; l.dispatchEvent(new Event("input")); })(document.getElementById("line"))`)
	b.shows("explain", "ZADD")
	b.eval(`[...document.querySelectorAll("#list button")].find(b => /scores/.test(b.textContent)).click()`)
	b.shows("value", "member")
	for i := range 60 { // so that the charts have something to show
		for range (i*7)%31 + i {
			g.engineDo("SET", "counter", strconv.Itoa(i))
		}
		b.eval(`new Promise((done) => setTimeout(done, 250))`)
	}
	b.waits(`document.querySelector("#ops strong").textContent !== "–"`)
	b.point("#ops canvas", 0.9, 0.5)
	b.picture(file("page"))
	b.scheme("dark")
	b.picture(file("dark"))
	b.size(390, 844, true)
	b.picture(file("phone-dark"))
	b.scheme("light")
	for _, id := range []string{"welcome", "console", "lab", "keys", "value", "server"} {
		if id == "welcome" {
			b.eval(`scrollTo(0, 0)`)
		} else {
			b.eval(`document.getElementById("` + id + `").scrollIntoView()`)
		}
		b.picture(file("phone-" + id))
	}
	b.size(1280, 900, false)
	fillKeys(t, g, 1_000_000)
	b.eval(`document.getElementById("keys").scrollIntoView()`)
	b.fill("match", "needle*")
	b.waits(`Number(document.getElementById("scan-bar").value) > 1000`)
	b.picture(file("million-searching"))
	b.shows("scan-says", "1 key found, all")
	b.picture(file("million"))
	b.size(1280, 800, false)
	b.visit(startPage(t, withPassword, "--requirepass", "secret").http.URL)
	b.waits(`!document.getElementById("locked").hidden`)
	b.picture(file("locked"))
	b.size(390, 844, true)
	b.picture(file("phone-locked"))
}
