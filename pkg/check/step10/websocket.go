package step10

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"byor/pkg/check"
	"byor/pkg/check/trace"
)

// A WebSocket client by hand (RFC 6455), so that a check can send what no decent client would.

// Frame types.
const (
	wsText   = 1
	wsBinary = 2
	wsClose  = 8
	wsPing   = 9
	wsPong   = 10
)

// webSocket is a client connection. Not safe for concurrent use.
type webSocket struct {
	t  *check.T
	c  net.Conn
	br *bufio.Reader

	lines [][]byte // JSON objects of a frame that until has not looked at yet
	heard bool     // it has got something
}

// tryWebSocket makes the handshake with a server's HTTP address and returns the response's status when it is not 101.
func tryWebSocket(t *check.T, addr, protocol string, header map[string]string) (*webSocket, int) {
	c, err := net.DialTimeout("tcp", addr, t.Limit)
	if err != nil {
		t.Fail("an HTTP server on "+addr, check.PlainErr(err))
	}
	t.OnEnd(func() { c.Close() })
	nonce := make([]byte, 16)
	rand.Read(nonce)
	key := base64.StdEncoding.EncodeToString(nonce)
	h := map[string]string{"Host": addr, "Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": key}
	if protocol != "" {
		h["Sec-WebSocket-Protocol"] = protocol
	}
	for k, v := range header {
		h[k] = v
	}
	req := "GET /ws HTTP/1.1\r\n"
	for k, v := range h {
		req += k + ": " + v + "\r\n"
	}
	c.SetDeadline(t.Deadline(t.Limit))
	io.WriteString(c, req+"\r\n")
	br := bufio.NewReader(c)
	res, err := http.ReadResponse(br, nil)
	if err != nil {
		t.Fail("a response to the WebSocket handshake", check.PlainErr(err))
	}
	if res.StatusCode != http.StatusSwitchingProtocols {
		return nil, res.StatusCode
	}
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	want := base64.StdEncoding.EncodeToString(sum[:])
	t.Require(res.Header.Get("Sec-WebSocket-Accept") == want, "Sec-WebSocket-Accept: "+want, "%q", res.Header.Get("Sec-WebSocket-Accept"))
	return &webSocket{t: t, c: c, br: br}, res.StatusCode
}

// webSocket is tryWebSocket that must succeed.
func openWebSocket(t *check.T, addr, protocol string) *webSocket {
	w, status := tryWebSocket(t, addr, protocol, nil)
	if w == nil {
		notUpgraded(t, status)
		t.Fail("101 Switching Protocols", fmt.Sprint(status))
	}
	return w
}

// notUpgraded hints at what is missing when a browser that must come in gets this status.
func notUpgraded(t *check.T, status int) {
	switch {
	case status == http.StatusForbidden:
		t.Hint("the lock refuses everybody: a Host that is a plain address must come in, with our own page as Origin or with none (piece 1)")
	case status == http.StatusServiceUnavailable:
		t.Hint("no place or no session: does attach return a session, and is every reserved place given back (piece 4)?")
	default:
		t.Hint("GET /ws is not upgraded to a WebSocket (piece 4)")
	}
	t.Guide("Build it")
}

// frame writes one frame, masked as a client's must be.
func (w *webSocket) frame(fin bool, op byte, payload []byte) {
	w.t.Log("browser", true, payload)
	head := []byte{op, 0x80}
	if fin {
		head[0] |= 0x80
	}
	switch n := len(payload); {
	case n < 126:
		head[1] |= byte(n)
	case n < 1<<16:
		head[1] |= 126
		head = binary.BigEndian.AppendUint16(head, uint16(n))
	default:
		head[1] |= 127
		head = binary.BigEndian.AppendUint64(head, uint64(n))
	}
	mask := [4]byte{0x11, 0x22, 0x33, 0x44}
	out := append(head, mask[:]...)
	for i, b := range payload {
		out = append(out, b^mask[i%4])
	}
	w.c.SetWriteDeadline(w.t.Deadline(w.t.Limit))
	w.c.Write(out) // what went wrong shows in what comes back
}

// send writes a text message.
func (w *webSocket) send(format string, args ...any) *webSocket {
	w.frame(true, wsText, fmt.Appendf(nil, format, args...))
	return w
}

// read returns the next message, put together from its fragments, or close frame; pings are
// answered and passed over.
func (w *webSocket) read() (op byte, payload []byte, err error) {
	for first := true; ; first = false {
		frameOp, fin, b, err := w.readFrame()
		if err != nil || frameOp == wsClose {
			return frameOp, b, err
		}
		if first {
			op = frameOp
		} else if frameOp != 0 {
			return 0, nil, fmt.Errorf("a frame of type %d within a message: two writers?", frameOp)
		}
		if payload = append(payload, b...); fin {
			return op, payload, nil
		}
	}
}

// readFrame returns the next frame that is no ping.
func (w *webSocket) readFrame() (op byte, fin bool, payload []byte, err error) {
	for {
		w.c.SetReadDeadline(w.t.Deadline(w.t.Limit))
		var head [2]byte
		if _, err := io.ReadFull(w.br, head[:]); err != nil {
			return 0, false, nil, err
		}
		n := uint64(head[1] & 0x7f)
		size := map[uint64]int{126: 2, 127: 8}[n]
		if size > 0 {
			b := make([]byte, 8)
			if _, err := io.ReadFull(w.br, b[8-size:]); err != nil {
				return 0, false, nil, err
			}
			n = binary.BigEndian.Uint64(b)
		}
		if head[1]&0x80 != 0 || n > 64<<20 {
			return 0, false, nil, fmt.Errorf("a frame of %d bytes, masked=%v", n, head[1]&0x80 != 0)
		}
		payload = make([]byte, n)
		if _, err := io.ReadFull(w.br, payload); err != nil {
			return 0, false, nil, err
		}
		w.t.Log("browser", false, payload)
		if op = head[0] & 0x0f; op == wsPing {
			w.frame(true, wsPong, payload)
			continue
		}
		return op, head[0]&0x80 != 0, payload, nil
	}
}

// until reads JSON objects until f takes one; one frame may hold several.
func (w *webSocket) until(want string, f func(m map[string]any) bool) map[string]any {
	var seen []string
	for {
		for len(w.lines) > 0 {
			line := w.lines[0]
			w.lines = w.lines[1:]
			m := map[string]any{}
			if err := json.Unmarshal(line, &m); err != nil {
				if len(line) == 0 {
					w.t.Hint("an empty message: encode must turn the push into JSON (piece 16)").Guide("Build it")
				} else if bytes.HasPrefix(line, []byte(`{"push":"message"`)) || bytes.HasPrefix(line, []byte(`{"push":"pmessage"`)) {
					w.t.Hint("encode has made this, and it is no JSON object: compare it with the two in the guide, character by character (piece 16)").Guide("Build it")
				}
				w.t.Fail("JSON objects, one a line", trace.Visible(line, 200))
			}
			if f(m) {
				return m
			}
			if seen = append(seen, trace.Visible(line, 200)); len(seen) > 5 {
				seen = seen[1:]
			}
		}
		op, b, err := w.read()
		if err != nil || op == wsClose {
			got := "nothing more"
			if err == nil {
				got = "a close frame with code " + fmt.Sprint(closeCode(b))
			} else if !strings.Contains(err.Error(), "timeout") {
				got = check.PlainErr(err)
			}
			if !w.heard {
				w.t.Hint("this browser never got a word. On the way there are read and message (pieces 5 and 6), one, perform and ask (10 to 12); on the way back reply (13), put, take, flush and write (7 to 9): " +
					"print something in each, and see how far it comes")
				w.t.Guide("Build it")
			}
			w.t.Fail(want, strings.Join(append(seen, got), "\n"))
		}
		w.heard = true
		w.lines = bytes.Split(bytes.TrimSpace(b), []byte("\n"))
	}
}

// ask sends an operation and returns the reply with its id.
func (w *webSocket) ask(id int, body string) map[string]any {
	w.send(`{"id":%d,%s}`, id, body)
	return w.until(fmt.Sprintf("a reply with id %d to {%s}", id, short(body)), func(m map[string]any) bool { return m["id"] == float64(id) })
}

// short is an operation as a report shows it.
func short(body string) string {
	if len(body) > 200 {
		return body[:200] + "…"
	}
	return body
}

// hearRaw returns the next message of byor.resp.v1. Where nothing has ever come, it hints at what is missing.
func (w *webSocket) hearRaw() (op byte, payload []byte, err error) {
	op, payload, err = w.read()
	if err != nil && !w.heard {
		w.t.Hint("nothing came back: message in gateway_05_resp_in.go must send every whole command to the session, in t.out (piece 18)").Guide("Build it")
	}
	w.heard = true
	return op, payload, err
}

// result expects the reply to an operation to have this result, written as JSON.
func (w *webSocket) result(id int, body, want string) *webSocket {
	reply := w.ask(id, body)
	got, _ := json.Marshal(reply["result"])
	all, _ := json.Marshal(reply)
	w.t.Require(string(got) == want, want+" as the result of {"+short(body)+"}", "%s", all)
	return w
}

// closed reads until the close frame and returns its code; 0 when the connection just ended.
func (w *webSocket) closed() int {
	by := time.Now().Add(2 * w.t.Limit)
	for time.Now().Before(by) {
		op, b, err := w.read()
		if err != nil {
			if strings.Contains(err.Error(), "timeout") {
				break
			}
			return 0
		}
		if op == wsClose {
			return closeCode(b)
		}
	}
	w.t.Fail("a close frame", "an open connection")
	return 0
}

func closeCode(b []byte) int {
	if len(b) < 2 {
		return 1005
	}
	return int(binary.BigEndian.Uint16(b))
}
