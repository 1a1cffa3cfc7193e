package step10

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"byor/pkg/check"
	"byor/pkg/check/process"
	"byor/pkg/check/step05"
	"byor/pkg/check/step09"
	"byor/pkg/check/trace"
)

// Step 10: raw RESP in frames, and the end of the server.

func init() {
	gateway(
		check.Check{Name: "raw-resp", After: 18, What: "byor.resp.v1 carries a RESP stream, cut anywhere", Run: rawRESP, Guide: "Mistakes people make",
			Hint: "frames are no command boundaries: feed their bytes to the parser, and send on every command that is whole"},
		check.Check{Name: "raw-admin-denied", After: 18, What: "byor.resp.v1 is no way around the guard", Run: rawAdminDenied,
			Hint: "what a browser may not do in JSON, it may not do in byor.resp.v1, either: hand each command to t.one, which asks the guard"},
		check.Check{Name: "raw-limits", After: 19, What: "a command that never ends is not collected in memory", Run: rawLimits, Guide: "Mistakes people make",
			Hint: "a peer announces what it never sends: set t.in.Limits.MaxBulk in bound"},
		check.Check{Name: "goodbye", After: 20, What: "SIGTERM says goodbye to browsers (1001) and exits with 0", Run: goodbye, Slow: 2, Guide: "Mistakes people make",
			Hint: "http.Server.Shutdown does not touch hijacked connections: Drain must say goodbye to each of g.open(), which closes with 1001, and wait until they have hung up"})
}

func rawRESP(t *check.T) {
	_, addr := withGateway(t)
	w := openWebSocket(t, addr, "byor.resp.v1")
	stream := check.Commands("SET raw 1", "INCR raw", "GET raw") + "PING\r\n"
	want := "+OK\r\n:2\r\n$1\r\n2\r\n+PONG\r\n"
	collect := func(n int) string {
		got := ""
		for len(got) < n {
			op, b, err := w.hearRaw()
			if err != nil || op != wsBinary {
				t.Fail(trace.Visible([]byte(want), 0)+" in binary frames", fmt.Sprintf("%s, then type %d, %v", trace.Visible([]byte(got), 0), op, err))
			}
			got += string(b)
		}
		return got
	}
	w.frame(true, wsBinary, []byte(stream))
	got := collect(len(want))
	t.Require(got == want, trace.Visible([]byte(want), 0), "%s", trace.Visible([]byte(got), 0))
	for at := 1; at < len(stream)-1; at++ { // frames and fragments
		w.frame(true, wsBinary, []byte(stream[:at]))
		w.frame(false, wsBinary, []byte(stream[at:at+1]))
		w.frame(true, 0, []byte(stream[at+1:]))
		got := collect(len(want))
		t.Require(got == want, trace.Visible([]byte(want), 0), "%s", trace.Visible([]byte(got), 0))
	}
}

func rawLimits(t *check.T) {
	_, addr := withGateway(t, "-ws-queue", "64kb", "-ws-ops-rate", "0")
	ends := func(w *webSocket, want string, code int) {
		got := ""
		for {
			op, b, err := w.hearRaw()
			if err != nil {
				t.Fail(fmt.Sprintf("a close frame with code %d", code), fmt.Sprintf("%s, then %s", trace.Visible([]byte(got), 200), check.PlainErr(err)))
			}
			if op == wsClose {
				t.Hint("bytes that are no command end the stream with 1007, a command that is too large with 1009 (piece 19)").
					Require(closeCode(b) == code, fmt.Sprintf("close code %d", code), "%d", closeCode(b))
				break
			}
			got += string(b)
		}
		t.Hint("what was right before the broken bytes is answered first (send it, and settle), then comes the error, then the close (piece 19)").
			Require(got == want, trace.Visible([]byte(want), 200), "%s", trace.Visible([]byte(got), 200))
	}
	w := openWebSocket(t, addr, "byor.resp.v1")
	w.frame(true, wsBinary, []byte(check.Commands("PING")+"*2\r\n$4\r\nECHO\r\n$100000\r\n"))
	ends(w, "+PONG\r\n-ERR Protocol error: invalid bulk length\r\n", 1007)
	// The engine is busy with these for a moment. An error that does not wait for it overtakes the answers.
	const many = 5000
	w = openWebSocket(t, addr, "byor.resp.v1")
	w.frame(true, wsBinary, []byte(strings.Repeat("PING\r\n", many)+"*2\r\n$4\r\nECHO\r\n$100000\r\n"))
	ends(w, strings.Repeat("+PONG\r\n", many)+"-ERR Protocol error: invalid bulk length\r\n", 1007)
	t.Hint("a peer sends a command in small frames that never ends: tooLarge must put a bound on Buffered (piece 19)")
	w = openWebSocket(t, addr, "byor.resp.v1")
	w.frame(true, wsBinary, []byte(check.Commands("PING")))
	op, b, err := w.hearRaw()
	t.Require(err == nil && op == wsBinary && string(b) == "+PONG\r\n", "+PONG in a binary frame", "%s %v", trace.Visible(b, 0), err)
	w.frame(true, wsBinary, []byte("*1000\r\n"))
	arg := check.Bulk(strings.Repeat("x", 30_000))
	for range 8 {
		w.frame(true, wsBinary, []byte(arg))
	}
	ends(w, "", 1009)
	_, addr = withGateway(t, "-requirepass", "right")
	w = openWebSocket(t, addr, "byor.resp.v1")
	w.frame(true, wsBinary, []byte("*2\r\n$4\r\nECHO\r\n$20000\r\n"))
	t.Hint("a stranger may announce 20,000 bytes: until the login, bound sets Limits.Unauthenticated (piece 19)")
	op, b, err = w.read()
	t.Require(err == nil && op == wsBinary && strings.Contains(string(b), "unauthenticated bulk length"), "-ERR Protocol error: unauthenticated bulk length", "%s %v", trace.Visible(b, 200), err)
}

func rawAdminDenied(t *check.T) {
	s, addr := withGateway(t)
	c := t.DialTo(s).Ask("+OK\r\n", "SET", "k", "v")
	raw := openWebSocket(t, addr, "byor.resp.v1")
	for _, cmd := range []string{"FLUSHALL", "publish __presence__:room forged", "SPUBLISH __presence__:room forged"} {
		raw.frame(true, wsBinary, []byte(check.Commands(cmd)))
		op, b, err := raw.hearRaw()
		t.Require(err == nil && op == wsBinary && strings.HasPrefix(string(b), "-NOPERM"), "-NOPERM for "+cmd+" in byor.resp.v1", "%s %v", trace.Visible(b, 0), err)
	}
	c.Ask(check.Bulk("v"), "GET", "k")
}

func goodbye(t *check.T) {
	s, addr := withGateway(t)
	w := openWebSocket(t, addr, "")
	w.result(1, `"op":"cmd","args":["SET","k","v"]`, `"OK"`)
	begin := time.Now()
	s.Signal(process.SigTerm)
	w.until("a push goodbye", func(m map[string]any) bool { return m["push"] == "goodbye" })
	code := w.closed()
	t.Require(code == 1001, "close code 1001", "%d", code)
	t.Hint("Drain must wait until the browsers have hung up. Until then nobody new is let in, and /readyz says 503")
	t.Sleep(2 * time.Second) // a server that does not wait for browsers has gone by now
	res, err := http.Get("http://" + addr + "/readyz")
	if err != nil {
		t.Fail("503 for /readyz while a browser has not hung up", check.PlainErr(err))
	}
	res.Body.Close()
	t.Require(res.StatusCode == 503, "503 for /readyz while a browser has not hung up", "%s", res.Status)
	_, status := tryWebSocket(t, addr, "", nil)
	t.Require(status == 503, "503 for a browser that comes now", "%d", status)
	w.frame(true, wsClose, []byte{0x03, 0xe9})
	w.c.Close()
	step09.Exits(t, s, 2*t.Limit+5*time.Second)
	t.Require(time.Since(begin) < 20*time.Second, "an exit soon after", "%v", time.Since(begin))
	step05.StartAgain(t, s)
	t.DialTo(s).Ask(check.Bulk("v"), "GET", "k")
}
