package main

import (
	"bufio"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"

	"byor/pkg/redistest"
)

// A real browser, driven over the DevTools protocol: itself JSON over a WebSocket. All tests share one Chromium.
// Each tab has a profile of its own there, unless it is opened beside another.

// chromium is the browser of this process: started by the first who needs it, ended by TestMain.
var chromium struct {
	sync.Mutex
	cmd     *exec.Cmd
	profile string
	address string // of its DevTools
}

func TestMain(m *testing.M) {
	code := redistest.Main(m)
	if chromium.cmd != nil {
		_ = chromium.cmd.Process.Kill()
		_ = chromium.cmd.Wait()
		_ = os.RemoveAll(chromium.profile)
	}
	os.Exit(code)
}

// devTools returns the address of the browser, which it starts where there is none yet.
func devTools(t *testing.T) string {
	t.Helper()
	redistest.Need(t, "chromium")
	chromium.Lock()
	defer chromium.Unlock()
	if chromium.address != "" {
		return chromium.address
	}
	require.Nil(t, chromium.cmd, "Chromium has not started before")
	var err error
	chromium.profile, err = os.MkdirTemp("", "chromium")
	require.NoError(t, err)
	chromium.cmd = exec.Command("chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
		"--no-first-run", "--disable-background-timer-throttling", "--disable-renderer-backgrounding",
		"--disable-backgrounding-occluded-windows", "--remote-debugging-port=0", "--user-data-dir="+chromium.profile, "about:blank")
	stderr, err := chromium.cmd.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, chromium.cmd.Start())
	lines := bufio.NewScanner(stderr)
	for chromium.address == "" && lines.Scan() {
		_, chromium.address, _ = strings.Cut(lines.Text(), "DevTools listening on ")
	}
	require.NotEmpty(t, chromium.address, "Chromium has not said where it listens")
	go func() { _, _ = io.Copy(io.Discard, stderr) }()
	return chromium.address
}

// tab is one page. Not safe for concurrent use.
type tab struct {
	t       *testing.T
	ws      *websocket.Conn
	id      int
	sess    string // of DevTools with this page
	target  string
	context string   // its profile
	faults  []string // what went wrong in the page: exceptions, what its security policy forbade
}

// openTab opens url in a tab with a profile of its own. The test fails if there are errors in the page.
func openTab(t *testing.T, url string) *tab {
	t.Helper()
	b := &tab{t: t}
	b.dial()
	var made struct{ BrowserContextID string }
	b.call("Target.createBrowserContext", map[string]any{}, &made)
	b.context = made.BrowserContextID
	t.Cleanup(func() {
		_ = b.ws.WriteJSON(map[string]any{"id": -1, "method": "Target.disposeBrowserContext", "params": map[string]any{"browserContextId": b.context}})
	})
	b.open(url)
	return b
}

// beside opens url in one more tab with the same profile.
func (b *tab) beside(url string) *tab {
	b.t.Helper()
	other := &tab{t: b.t, context: b.context}
	other.dial()
	other.open(url)
	return other
}

func (b *tab) dial() {
	ws, _, err := websocket.DefaultDialer.Dial(devTools(b.t), nil)
	require.NoError(b.t, err)
	b.t.Cleanup(func() { _ = ws.Close() })
	require.NoError(b.t, ws.SetReadDeadline(time.Now().Add(4*patience)))
	b.ws = ws
}

func (b *tab) open(url string) {
	var made struct{ TargetID string }
	b.call("Target.createTarget", map[string]any{"url": "about:blank", "browserContextId": b.context, "newWindow": true}, &made)
	b.target = made.TargetID
	var attached struct{ SessionID string }
	b.call("Target.attachToTarget", map[string]any{"targetId": b.target, "flatten": true}, &attached)
	b.sess = attached.SessionID
	var none struct{}
	b.call("Runtime.enable", map[string]any{}, &none)
	b.call("Log.enable", map[string]any{}, &none)
	b.t.Cleanup(func() {
		if !b.t.Failed() {
			b.eval("1") // whatever has happened was told before this
			require.Empty(b.t, b.faults, "errors in the page")
		}
	})
	b.navigate(url)
}

// navigate goes to url. It does not wait for anything there.
func (b *tab) navigate(url string) {
	b.t.Helper()
	var r struct{ ErrorText string }
	b.call("Page.navigate", map[string]any{"url": url}, &r)
	require.Empty(b.t, r.ErrorText, url)
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
			Method string
			Params struct {
				ExceptionDetails json.RawMessage
				Entry            struct{ Source, Text string }
			}
		}
		require.NoError(b.t, b.ws.ReadJSON(&m))
		switch {
		case m.Method == "Runtime.exceptionThrown":
			b.faults = append(b.faults, string(m.Params.ExceptionDetails))
		case m.Method == "Log.entryAdded" && m.Params.Entry.Source == "security":
			b.faults = append(b.faults, m.Params.Entry.Text)
		}
		if m.ID == b.id {
			require.Empty(b.t, m.Error, method)
			require.NoError(b.t, json.Unmarshal(m.Result, result))
			return
		}
	}
}

// eval runs JavaScript in the page and returns what it says, as text. A promise is waited for. An exception is
// returned as its text.
func (b *tab) eval(js string) string {
	b.t.Helper()
	var r struct {
		Result           struct{ Value any }
		ExceptionDetails struct {
			Text      string
			Exception struct{ Description string }
		}
	}
	b.call("Runtime.evaluate", map[string]any{"expression": "(async () => String(await (" + js + ")))()", "returnByValue": true, "awaitPromise": true}, &r)
	text, ok := r.Result.Value.(string)
	if !ok {
		return r.ExceptionDetails.Text + " " + r.ExceptionDetails.Exception.Description
	}
	return text
}

// becomes waits until an expression says want.
func (b *tab) becomes(want, js string) {
	b.t.Helper()
	got := ""
	require.Eventually(b.t, func() bool {
		got = b.eval(js)
		return got == want
	}, 3*patience, 20*time.Millisecond, "%s never was %q", js, want)
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
