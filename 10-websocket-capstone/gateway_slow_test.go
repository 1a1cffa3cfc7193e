package main

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"net"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"

	"byor/pkg/resp"
)

// Peers that take nothing, or too little: nobody waits for them, and they are told.

// Replies, pushes, pings, presence and the close all come from different
// goroutines; the race detector and gorilla's own check watch the writer.
func TestOneWriter(t *testing.T) {
	g := startGateway(t, func(o *gatewayOptions) {
		o.Ping, o.PresenceDelay = time.Millisecond, time.Millisecond
		o.MaxQueue = 1 << 30 // being slow is not the point here
	})
	var wg sync.WaitGroup
	stop := make(chan struct{})
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				_, _ = g.engine.do("PUBLISH", "c", strings.Repeat("x", 500))
				for slices.ContainsFunc(g.open(), func(s *socket) bool { return s.out.waiting() > 64<<10 }) {
					runtime.Gosched() // peers that check each line are slower than a server that writes them
				}
			}
		}
	})
	var peers sync.WaitGroup
	for i := range 4 {
		peers.Go(func() {
			p := g.dial(protoJSON)
			p.say(`{"id":0,"op":"sub","channels":["c"],"presence":true}`)
			for k := range 100 {
				p.say(fmt.Sprintf(`{"id":%d,"op":"ping"}`, k+1))
				for !strings.Contains(p.hear(), `"PONG"`) {
				}
			}
			if i%2 == 0 {
				_ = p.Close()
			}
		})
	}
	peers.Wait()
	close(stop)
	wg.Wait()
}

// A slow consumer is cut off with 4008 and nobody waits for it.
func TestSlowConsumer(t *testing.T) {
	g := startGateway(t, func(o *gatewayOptions) { o.MaxQueue = 256 << 10 })
	slow, good := g.dial(protoJSON), g.dial(protoJSON)
	slow.expect(`{"id":1,"op":"sub","channels":["c"]}`, `{"id":1,"result":{"subscribed":["c"]}}`)
	good.expect(`{"id":1,"op":"sub","channels":["c"]}`, `{"id":1,"result":{"subscribed":["c"]}}`)
	payload := strings.Repeat("x", 60<<10)
	sent := 0
	for ; g.metrics.closesOf(closeSlow) == 0; sent++ {
		require.Less(t, sent, 10000, "it is never cut off")
		require.Positive(t, g.engineDo("PUBLISH", "c", payload).Int)
		require.Contains(t, good.hear(), payload, "the other one gets everything")
	}
	// It wakes up: what it reads is in order and has no holes, and then it is told.
	for {
		_, data, err := slow.ReadMessage()
		if err != nil {
			require.True(t, websocket.IsCloseError(err, closeSlow), "%v", err)
			break
		}
		for _, line := range strings.Split(string(data), "\n") {
			require.Contains(t, line, payload)
		}
	}
	g.eventually(func() bool { return g.engineDo("PUBLISH", "c", "x").Int == 1 }, "it is no subscriber any more")
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

// After a write has timed out, the connection is of no more use and must go. If the peer reads on soon after all,
// it gets whole frames to the last, and then why it was cut off.
func TestPeerThatDoesNotReadIsDropped(t *testing.T) {
	g := startGateway(t, func(o *gatewayOptions) {
		o.WriteTimeout, o.MaxQueue, o.CloseTimeout = 100*time.Millisecond, 64<<20, time.Minute
	})
	p := g.dial(protoJSON)
	p.expect(`{"id":1,"op":"sub","channels":["c"]}`, `{"id":1,"result":{"subscribed":["c"]}}`)
	payload := strings.Repeat("x", 60<<10)
	g.eventually(func() bool {
		for range 20 {
			g.engineDo("PUBLISH", "c", payload)
		}
		return g.metrics.closesOf(closeSlow) == 1 // by the write deadline: the queue is not full
	}, "it must be dropped")
	for {
		_, _, err := p.ReadMessage()
		if err != nil {
			require.True(t, websocket.IsCloseError(err, closeSlow), "%v", err)
			break
		}
	}
	g.eventually(func() bool { return len(g.open()) == 0 }, "it is gone")
}

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

// stalled lets a peer in with little room on its way and a short write deadline, and makes it stall by until.
func stalled(t *testing.T, compression bool, until func(g *testGateway, p *peer)) (g *testGateway, p *peer) {
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

// flooded subscribes a peer and publishes messages of size until it is cut off.
func flooded(t *testing.T, size int) func(g *testGateway, p *peer) {
	return func(g *testGateway, p *peer) {
		p.expect(`{"id":1,"op":"sub","channels":["c"]}`, `{"id":1,"result":{"subscribed":["c"]}}`)
		payload := noise(t, size)
		g.eventually(func() bool {
			g.engineDo("PUBLISH", "c", payload)
			return g.metrics.closesOf(closeSlow) == 1
		}, "it is cut off")
	}
}

// A peer that stalls beyond the write deadline hears why it was cut off, whatever was being written: compressed
// messages, large ones, or pongs.
func TestStalledPeersAreTold(t *testing.T) {
	for name, size := range map[string]int{"small": 3 << 10, "a part": 60 << 10, "several parts": 300 << 10} {
		for _, compression := range []bool{false, true} {
			g, p := stalled(t, compression, flooded(t, size))
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
	g, p := stalled(t, false, func(g *testGateway, p *peer) { // it asks for pongs and does not read them
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
	s.close(closeKilled, "killed by an administrator", true)
	g.eventually(func() bool { return s.unsent.err() != nil }, "the deadline passes")
	code, _ := p.readToTheEnd()
	require.Equal(t, closeKilled, code)
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

// A peer that takes nothing delays nobody: while its messages heap up, the others get each one.
func TestStalledPeerDelaysNobody(t *testing.T) {
	g := startGateway(t, func(o *gatewayOptions) { o.WriteTimeout, o.MaxQueue = patience, 64<<20 })
	sub := func(channels string) *peer {
		p := g.dial(protoJSON)
		p.expect(`{"id":1,"op":"sub","channels":[`+channels+`]}`, `{"id":1,"result":{"subscribed":[`+channels+`]}}`)
		return p
	}
	sub(`"c","flood"`) // reads no more
	stalled := g.open()[0]
	require.NoError(t, stalled.unsent.Conn.(*net.TCPConn).SetWriteBuffer(16<<10))
	others := []*peer{sub(`"c"`), sub(`"c"`), sub(`"c"`)}
	waits := func() bool { return stalled.out.waiting() > 1<<20 }
	g.eventually(func() bool {
		g.engineDo("PUBLISH", "flood", strings.Repeat("x", 100<<10))
		return waits()
	}, "it takes nothing")
	for n := range 200 {
		payload := fmt.Sprintf("%d:%s", n, strings.Repeat("x", n*n))
		require.Equal(t, int64(4), g.engineDo("PUBLISH", "c", payload).Int)
		for _, p := range others {
			require.Contains(t, p.hear(), payload)
		}
	}
	require.True(t, waits(), "it still takes nothing")
	require.True(t, slices.Contains(g.open(), stalled))
	require.Zero(t, g.metrics.closesOf(closeSlow))
}

// Nor does one that asks for pongs and takes none: whoever waits with a pong for it is not one who writes for others.
func TestPeerThatTakesNoPongsDelaysNobody(t *testing.T) {
	g := startGateway(t, func(o *gatewayOptions) { o.WriteTimeout, o.MaxQueue = patience, 64<<20 })
	g.writers.most = 1
	p := g.dial(protoJSON)
	p.expect(`{"id":1,"op":"sub","channels":["c"]}`, `{"id":1,"result":{"subscribed":["c"]}}`)
	stalled := g.open()[0]
	require.NoError(t, stalled.unsent.Conn.(*net.TCPConn).SetWriteBuffer(16<<10))
	go func() {
		text := []byte(strings.Repeat("p", 125))
		for p.WriteControl(websocket.PingMessage, text, time.Now().Add(patience)) == nil {
		}
	}()
	waits := 0
	g.eventually(func() bool { // it holds the connection, look by look
		if stalled.unsent.mu.TryLock() {
			stalled.unsent.mu.Unlock()
			waits = 0
			return false
		}
		waits++
		return waits > 50
	}, "a pong waits")
	other := g.dial(protoJSON)
	other.expect(`{"id":1,"op":"sub","channels":["c"]}`, `{"id":1,"result":{"subscribed":["c"]}}`)
	for n := range 100 {
		require.Equal(t, int64(2), g.engineDo("PUBLISH", "c", fmt.Sprint(n)).Int)
		other.expect("", fmt.Sprintf(`{"push":"message","channel":"c","data":"%d"}`, n))
	}
	require.True(t, slices.Contains(g.open(), stalled))
}

// Sockets that have nothing to do keep no goroutine but the one that reads, and those that have gone none at all.
func TestIdleSocketsHaveOneGoroutine(t *testing.T) {
	withOwnEngine(t)
	g := startGateway(t, nil)
	g.engineDo("PING")
	before := runtime.NumGoroutine()
	const n, asking = 50, 2 // those that ask are goroutines, too
	var peers []*peer
	for range n {
		p := g.dial(protoJSON)
		p.expect(`{"id":1,"op":"sub","channels":["c"]}`, `{"id":1,"result":{"subscribed":["c"]}}`)
		peers = append(peers, p)
	}
	g.engineDo("PUBLISH", "c", "x")
	for _, p := range peers {
		p.expect("", `{"push":"message","channel":"c","data":"x"}`)
	}
	g.eventually(func() bool { return runtime.NumGoroutine() <= before+n+asking }, "one each")
	for _, p := range peers {
		require.NoError(t, p.Close())
	}
	g.eventually(func() bool { return len(g.open()) == 0 && runtime.NumGoroutine() <= before+asking }, "and none")
}

// However messages and replies come together, frames are whole, messages in order, and none is missing or doubled.
func TestOrderUnderLoad(t *testing.T) {
	withOwnEngine(t)
	g := startGateway(t, func(o *gatewayOptions) { o.MaxQueue, o.Ping = 64<<20, time.Millisecond })
	const readers, messages = 8, 3000
	var wg sync.WaitGroup
	for range readers {
		p := g.dial(protoJSON)
		p.expect(`{"id":1,"op":"sub","channels":["c"]}`, `{"id":1,"result":{"subscribed":["c"]}}`)
		wg.Go(func() {
			next, replies := 0, 0
			for next < messages || replies < 20 {
				line := p.hear()
				if strings.Contains(line, `"PONG"`) {
					replies++
				} else {
					require.Contains(t, line, fmt.Sprintf(`"data":"%d:`, next))
					next++
				}
				if replies < 20 && next >= replies*messages/20 {
					p.say(`{"id":2,"op":"ping"}`)
				}
			}
		})
	}
	for n := range messages {
		size := 100
		if n%500 == 0 {
			size = 100 << 10 // too large for a frame with others
		}
		g.engineDo("PUBLISH", "c", fmt.Sprintf("%d:%s", n, strings.Repeat("x", size)))
	}
	wg.Wait()
}
