package main

import (
	"crypto/rand"
	"encoding/base64"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"

	"byor/pkg/resp"
)

// readToTheEnd reads whatever is there, in whole messages, until the close frame, and returns its code.
func (p *peer) readToTheEnd() (code int, messages []string) {
	p.t.Helper()
	for {
		_, data, err := p.ReadMessage()
		if err == nil {
			messages = append(messages, string(data))
			continue
		}
		var end *websocket.CloseError
		require.ErrorAs(p.t, err, &end, "it ends without a word")
		return end.Code, messages
	}
}

// noise is what no compression makes shorter.
func noise(t *testing.T, n int) string {
	b := make([]byte, n*3/4)
	_, err := rand.Read(b)
	require.NoError(t, err)
	return base64.StdEncoding.EncodeToString(b)
}

// A peer that stalls beyond the write deadline hears why it was cut off, whatever was being written: compressed
// messages, large ones, or pongs.
func TestStalledPeersAreTold(t *testing.T) {
	stall := func(t *testing.T, compression bool, until func(g *testGateway, p *peer)) (g *testGateway, p *peer) {
		g = startGateway(t, func(o *gatewayOptions) {
			o.WriteTimeout, o.CloseTimeout, o.MaxQueue, o.Compression = 100*time.Millisecond, time.Minute, 64<<20, compression
		})
		d := websocket.Dialer{EnableCompression: compression}
		c, _, err := d.Dial(g.url(), nil)
		require.NoError(t, err)
		t.Cleanup(func() { _ = c.Close() })
		p = &peer{Conn: c, t: t}
		g.eventually(func() bool { return len(g.open()) == 1 }, "it is in")
		require.NoError(t, g.open()[0].unsent.Conn.(*net.TCPConn).SetWriteBuffer(16<<10)) // little is soon full
		until(g, p)
		require.NoError(t, c.SetReadDeadline(time.Now().Add(patience)))
		return g, p
	}
	flood := func(size int) func(g *testGateway, p *peer) {
		return func(g *testGateway, p *peer) {
			p.expect(`{"id":1,"op":"sub","channels":["c"]}`, `{"id":1,"result":{"subscribed":["c"]}}`)
			payload := noise(t, size)
			g.eventually(func() bool {
				g.engineDo("PUBLISH", "c", payload)
				return g.metrics.closesOf(closeSlow) == 1
			}, "it is cut off")
		}
	}
	for name, size := range map[string]int{"small": 3 << 10, "a part": 60 << 10, "several parts": 300 << 10} {
		for _, compression := range []bool{false, true} {
			g, p := stall(t, compression, flood(size))
			code, messages := p.readToTheEnd()
			require.Equal(t, closeSlow, code, name)
			for _, m := range messages {
				for _, line := range strings.Split(m, "\n") {
					require.Contains(t, line, `{"push":"message","channel":"c","data":"`)
				}
			}
			g.eventually(func() bool { return len(g.open()) == 0 }, "it is gone")
			require.Equal(t, int64(1), g.metrics.closesOf(closeSlow), "counted once")
		}
	}
	g, p := stall(t, false, func(g *testGateway, p *peer) { // it asks for pongs and does not read them
		go func() {
			text := []byte(strings.Repeat("p", 125))
			for p.WriteControl(websocket.PingMessage, text, time.Now().Add(patience)) == nil {
			}
		}()
		g.eventually(func() bool { return g.metrics.closesOf(closeSlow) == 1 }, "it is cut off")
	})
	code, _ := p.readToTheEnd()
	require.Equal(t, closeSlow, code)
	g.eventually(func() bool { return len(g.open()) == 0 }, "it is gone")
}

// What was decided before the deadline passed stays the reason.
func TestStalledPeerIsToldTheFirstReason(t *testing.T) {
	g := startGateway(t, func(o *gatewayOptions) { o.WriteTimeout, o.CloseTimeout, o.MaxQueue = time.Second, time.Minute, 64<<20 })
	p := g.dial(protoJSON)
	p.SetReadLimit(1 << 30)
	p.expect(`{"id":1,"op":"ping"}`, `{"id":1,"result":"PONG"}`)
	s := g.open()[0]
	for range 3 { // more than fits into the system's buffers
		s.send([]byte(`"` + strings.Repeat("x", 16<<20) + `"`))
	}
	s.close(websocket.ClosePolicyViolation, "the session was killed", true)
	g.eventually(func() bool { return s.unsent.err() != nil }, "the deadline passes")
	code, _ := p.readToTheEnd()
	require.Equal(t, websocket.ClosePolicyViolation, code)
	require.Zero(t, g.metrics.closesOf(closeSlow))
}

// watchedConn notes what is written under one deadline, and how often there is a new one for reading.
type watchedConn struct {
	net.Conn
	mu        sync.Mutex
	deadline  time.Time
	under     int
	most      int
	renewals  int
	ofReading int
}

func (c *watchedConn) SetWriteDeadline(d time.Time) error {
	c.mu.Lock()
	if !d.Equal(c.deadline) {
		c.deadline, c.under = d, 0
		c.renewals++
	}
	c.mu.Unlock()
	return c.Conn.SetWriteDeadline(d)
}

func (c *watchedConn) SetReadDeadline(d time.Time) error {
	c.mu.Lock()
	c.ofReading++
	c.mu.Unlock()
	return c.Conn.SetReadDeadline(d)
}

func (c *watchedConn) Write(b []byte) (int, error) {
	c.mu.Lock()
	c.under += len(b)
	c.most = max(c.most, c.under)
	c.mu.Unlock()
	return c.Conn.Write(b)
}

// A peer on a slow line is in time as long as it takes a part of the message within each deadline; that nothing is
// heard of it while it reads is no fault, unless it has begun a message of its own.
func TestDeadlinesGoOnWithAMessage(t *testing.T) {
	g := startGateway(t, func(o *gatewayOptions) { o.MaxQueue = 64 << 20 })
	p := g.dial(protoJSON)
	p.SetReadLimit(1 << 30)
	p.expect(`{"id":1,"op":"ping"}`, `{"id":1,"result":"PONG"}`)
	s := g.open()[0]
	watched := &watchedConn{Conn: s.unsent.Conn}
	s.unsent.mu.Lock()
	s.unsent.Conn = watched
	s.unsent.mu.Unlock()
	renewed := func(msgs ...string) int {
		watched.mu.Lock()
		before := watched.ofReading
		watched.mu.Unlock()
		want := 0
		for _, m := range msgs {
			s.send([]byte(`"` + m + `"`))
			want += len(m) + 3
		}
		for got := 0; got < want-1; {
			_, data, err := p.ReadMessage()
			require.NoError(t, err)
			got += len(data) + 1
		}
		watched.mu.Lock()
		defer watched.mu.Unlock()
		require.LessOrEqual(t, watched.most, writePart+8<<10)
		return watched.ofReading - before
	}
	require.GreaterOrEqual(t, renewed(strings.Repeat("x", 4<<20)), 60, "one large message")
	many := make([]string, 64)
	for i := range many {
		many[i] = strings.Repeat("y", 60<<10)
	}
	require.GreaterOrEqual(t, renewed(many...), 50, "several in a frame")
	require.NoError(t, writeFragment(p.NetConn(), 1, `{"id":2`))
	g.eventually(s.inMessage.Load, "the message has begun")
	require.Zero(t, renewed(many...))
}

// In byor.resp.v1, too, messages count against the queue, in both versions of the protocol, and replies do not.
func TestSlowRawSubscriber(t *testing.T) {
	for _, hello := range []string{"2", "3"} {
		g := startGateway(t, func(o *gatewayOptions) { o.MaxQueue, o.WriteTimeout = 256<<10, patience })
		p := g.dial(protoRESP)
		r := resp.NewReader(&frames{p: p})
		p.raw(command("HELLO", hello) + command("SUBSCRIBE", "c") + command("PSUBSCRIBE", "d*"))
		for range 3 {
			_, err := r.ReadValue()
			require.NoError(t, err)
		}
		payload := strings.Repeat("x", 20<<10)
		g.eventually(func() bool {
			g.engineDo("PUBLISH", "c", payload)
			g.engineDo("PUBLISH", "d", payload)
			for _, s := range g.open() {
				require.LessOrEqual(t, s.out.waiting(), 256<<10+64<<10)
			}
			return g.metrics.closesOf(closeSlow) == 1
		}, "it is cut off")
		g.eventually(func() bool { return g.engineDo("PUBLISH", "c", "x").Int == 0 }, "it is no subscriber any more")
		code, _ := p.readToTheEnd()
		require.Equal(t, closeSlow, code)
	}
}

// A subscriber in RESP3 that reads gets large replies, and messages between them.
func TestRawSubscriberWithLargeReplies(t *testing.T) {
	g := startGateway(t, func(o *gatewayOptions) { o.MaxQueue = 256 << 10 })
	g.engineDo("SET", "big", strings.Repeat("b", 2<<20))
	p := g.dial(protoRESP)
	r := resp.NewReader(&frames{p: p})
	p.raw(command("HELLO", "3") + command("SUBSCRIBE", "c"))
	for range 2 {
		_, err := r.ReadValue()
		require.NoError(t, err)
	}
	for range 5 {
		p.raw(command("GET", "big"))
		g.engineDo("PUBLISH", "c", "m")
		replies, pushes := 0, 0
		for replies+pushes < 2 {
			v, err := r.ReadValue()
			require.NoError(t, err)
			if v.Kind == resp.Push {
				pushes++
			} else if replies++; len(v.Str) != 2<<20 {
				require.Fail(t, "no reply", "%.40s", v.Str)
			}
		}
		require.Equal(t, 1, pushes)
	}
	require.Zero(t, g.metrics.closesOf(closeSlow))
}

// The stream is cut at the same places however it arrives, and nothing of it is lost.
func TestStreamsAreCutByKind(t *testing.T) {
	const message = "*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$4\r\n*3\r\n\r\n"
	const replies = "+OK\r\n*3\r\n$7\r\nmessagf\r\n$-1\r\n*1\r\n:1\r\n%1\r\n+a\r\n$0\r\n\r\n*-1\r\n|1\r\n+k\r\n+v\r\n*0\r\n,1.5\r\n#t\r\n_\r\n(1\r\n=5\r\ntxt:x\r\n!1\r\nx\r\n~1\r\n:1\r\n-ERR " +
		"a line that is longer than what of it is looked at\r\n*4\r\n$8\r\npmessagx\r\n:1\r\n:2\r\n:3\r\n"
	const push = ">2\r\n+invalidate\r\n*1\r\n$3\r\n>>>\r\n"
	stream := replies + message + push + replies + push + "*4\r\n$8\r\npmessage\r\n$1\r\n*\r\n$1\r\nc\r\n$1\r\nx\r\n" + replies
	for size := 1; size <= len(stream); size++ {
		var c respCutter
		var of [2]strings.Builder
		var all strings.Builder
		var held []byte
		for rest := []byte(stream); len(rest) > 0; {
			b := append(held, rest[:min(size, len(rest))]...)
			rest = rest[min(size, len(rest)):]
			for len(b) > 0 {
				n, push := c.next(b)
				if n == 0 {
					break
				}
				i := 0
				if push {
					i = 1
				}
				of[i].Write(b[:n])
				all.Write(b[:n])
				b = b[n:]
			}
			held = b
		}
		require.Empty(t, held)
		require.False(t, c.lost)
		require.Equal(t, stream, all.String())
		require.Equal(t, replies+replies+replies, of[0].String(), "in pieces of %d", size)
	}
	var c respCutter
	n, push2 := c.next([]byte("\x00\xff\n>1\r\n"))
	require.Equal(t, 7, n)
	require.False(t, push2, "what is no stream of values is passed on")
}

// A transaction that the gateway does not know of has no room for its operations either: here EXEC was refused.
func TestUnknownTransaction(t *testing.T) {
	withOwnEngine(t)
	g := startGateway(t, nil, "--rename-command", "EXEC", "execute")
	p := g.dial(protoJSON)
	p.expect(`{"id":1,"op":"cmd","args":["MULTI"]}`, `{"id":1,"result":"OK"}`)
	p.say(`{"id":2,"op":"cmd","args":["EXEC"]}`)
	require.Contains(t, p.hear(), "unknown command")
	for _, op := range []string{`"hello","auth":{"user":"somebody","pass":"wrong"}`, `"sub","channels":["a"],"patterns":["b"]`, `"unsub","channels":["a"]`, `"unsub"`} {
		p.say(`{"id":3,"op":` + op + `}`)
		require.Contains(t, p.hear(), `is for outside of MULTI`, op)
	}
	p.expect(`{"id":4,"op":"cmd","args":["DISCARD"]}`, `{"id":4,"result":"OK"}`)
	p.expect(`{"id":5,"op":"sub","channels":["a"]}`, `{"id":5,"result":{"subscribed":["a"]}}`)
}
