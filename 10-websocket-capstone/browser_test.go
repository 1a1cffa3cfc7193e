package main

import (
	"bufio"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"

	"byor/pkg/redistest"
)

// A real browser, driven over the DevTools protocol: itself JSON over a WebSocket.

// tab is one page of a headless Chromium. Not safe for concurrent use.
type tab struct {
	t    *testing.T
	ws   *websocket.Conn
	id   int
	sess string
}

// openTab starts a Chromium and opens url in it.
func openTab(t *testing.T, url string) *tab {
	t.Helper()
	redistest.Need(t, "chromium")
	// Chromium's helpers may write to their profile a moment longer than it lives itself.
	profile, err := os.MkdirTemp("", "chromium")
	require.NoError(t, err)
	cmd := exec.Command("chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
		"--no-first-run", "--remote-debugging-port=0", "--user-data-dir="+profile, "about:blank")
	stderr, err := cmd.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		_ = os.RemoveAll(profile)
	})
	var address string
	lines := bufio.NewScanner(stderr)
	for address == "" && lines.Scan() {
		_, address, _ = strings.Cut(lines.Text(), "DevTools listening on ")
	}
	require.NotEmpty(t, address, "Chromium has not said where it listens")
	go func() { _, _ = io.Copy(io.Discard, stderr) }()
	ws, _, err := websocket.DefaultDialer.Dial(address, nil)
	require.NoError(t, err)
	t.Cleanup(func() { _ = ws.Close() })
	require.NoError(t, ws.SetReadDeadline(time.Now().Add(2*time.Minute)))
	b := &tab{t: t, ws: ws}
	var made struct{ TargetID string }
	b.call("Target.createTarget", map[string]any{"url": url}, &made)
	var attached struct{ SessionID string }
	b.call("Target.attachToTarget", map[string]any{"targetId": made.TargetID, "flatten": true}, &attached)
	b.sess = attached.SessionID
	return b
}

// call makes one call and reads its result into result.
func (b *tab) call(method string, params map[string]any, result any) {
	b.t.Helper()
	b.id++
	msg := map[string]any{"id": b.id, "method": method, "params": params}
	if b.sess != "" {
		msg["sessionId"] = b.sess
	}
	require.NoError(b.t, b.ws.WriteJSON(msg))
	for {
		var m struct {
			ID     int
			Result json.RawMessage
			Error  json.RawMessage
		}
		require.NoError(b.t, b.ws.ReadJSON(&m))
		if m.ID == b.id {
			require.Empty(b.t, m.Error, method)
			require.NoError(b.t, json.Unmarshal(m.Result, result))
			return
		}
	}
}

// eval runs JavaScript in the page and returns what it says, as text.
func (b *tab) eval(js string) string {
	b.t.Helper()
	var r struct {
		Result struct{ Value any }
	}
	b.call("Runtime.evaluate", map[string]any{"expression": "String(" + js + ")", "returnByValue": true}, &r)
	text, _ := r.Result.Value.(string)
	return text
}

// shows waits until the text of an element contains want.
func (b *tab) shows(id, want string) {
	b.t.Helper()
	got := ""
	require.Eventually(b.t, func() bool {
		got = b.eval(`document.getElementById("` + id + `")?.textContent`)
		return strings.Contains(got, want)
	}, 3*patience, 20*time.Millisecond, "#%s never showed %q", id, want)
}

// fill puts a text into a field and sends its form.
func (b *tab) fill(id, value string) {
	b.t.Helper()
	text, err := json.Marshal(value)
	require.NoError(b.t, err)
	b.eval(`(f => { f.value = ` + string(text) + `; f.form.requestSubmit(); return 1; })(document.getElementById("` + id + `"))`)
}
