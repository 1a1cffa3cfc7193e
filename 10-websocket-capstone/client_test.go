package main

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// web/client.js in a real browser.

// A page that has the client and nothing else.
func openClient(t *testing.T, origin string) *tab {
	t.Helper()
	b := openTab(t, origin+"/healthz")
	b.becomes("true", `document.body !== null && location.pathname === "/healthz"`)
	require.Equal(t, "function", b.eval(`import("/client.js").then((m) => { Object.assign(globalThis, m); return typeof m.connect; })`))
	return b
}

func TestClient(t *testing.T) {
	withOwnEngine(t)
	g := startGateway(t, nil)
	b := openClient(t, g.http.URL)
	require.Equal(t, "OK", b.eval(`(globalThis.db = connect()).call("SET", "k", "v")`))
	t.Log(b.eval(`db.call("GET", "k")`))
	t.Log(b.eval(`db.ping()`), b.eval("JSON.stringify(db.session)"))
	b.eval(`(globalThis.got = [], globalThis.sub = db.subscribe("room", {presence: true, onPresence(p) { got.push(p) }, onMessage(m) { got.push(m) }}), sub.ready)`)
	t.Log(b.eval(`db.publish("room", new Uint8Array([1, 255]))`))
	t.Log(b.eval(`JSON.stringify(got)`))
	b.eval(`(globalThis.states = [], db.addEventListener("state", (e) => states.push(e.detail.state)))`)
	for _, s := range g.open() {
		s.close(1001, "bye", true)
	}
	b.becomes("down,connecting,up", "states")
	t.Log(b.eval(`db.publish("room", new Uint8Array([1, 255]))`))
	t.Log(b.eval(`JSON.stringify(got)`))
	t.Log(b.eval(`db.close()`))
}
