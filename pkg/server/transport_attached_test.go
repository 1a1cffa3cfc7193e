package server

import (
	"fmt"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"byor/pkg/config"
	"byor/pkg/pubsub"
	"byor/pkg/redistest"
	"byor/pkg/resp"

	"github.com/stretchr/testify/require"
)

// testPeer is a client in this process. It notes what it gets, in order: replies as show prints them, messages with a
// "!" in front, the reason of the end, and the end.
type testPeer struct {
	t      *testing.T
	a      *Attached
	events chan string

	mu    sync.Mutex
	gate  chan struct{} // Write waits for it to close, if it is not nil
	waits chan struct{} // gets an element when Write waits
	over  chan struct{} // closed by Close
}

// attach begins a session.
func attach(t *testing.T, s *Server) *testPeer {
	t.Helper()
	p := &testPeer{t: t, events: make(chan string, 10_000), waits: make(chan struct{}, 1), over: make(chan struct{})}
	var err error
	p.a, err = s.Attach(p)
	require.NoError(t, err)
	t.Cleanup(func() { _ = p.a.Close() })
	return p
}

func (p *testPeer) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 7} }

func (p *testPeer) Write(b []byte) (int, error) {
	p.mu.Lock()
	gate := p.gate
	p.mu.Unlock()
	if gate != nil {
		select {
		case p.waits <- struct{}{}:
		default:
		}
		select {
		case <-gate:
		case <-p.over:
			return 0, net.ErrClosed
		}
	}
	for r := resp.NewReader(strings.NewReader(string(b))); ; {
		v, err := r.ReadValue()
		if err != nil {
			return len(b), nil
		}
		p.events <- show(v)
	}
}

func (p *testPeer) Deliver(m pubsub.Message) {
	p.events <- fmt.Sprintf("!%s %s", m.Channel, m.Payload)
}

func (p *testPeer) Ended(why EndReason) { p.events <- string(why) }

func (p *testPeer) Close() error {
	p.events <- "closed"
	close(p.over) // which panics if it is called twice
	return nil
}

// hold makes Write wait from now on, until release is called.
func (p *testPeer) hold() (release func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	gate := make(chan struct{})
	p.gate = gate
	return func() {
		p.mu.Lock()
		p.gate = nil
		p.mu.Unlock()
		close(gate)
	}
}

func (p *testPeer) say(commands ...string) {
	p.t.Helper()
	var wire []byte
	for _, c := range commands {
		wire = resp.AppendCommandStrings(wire, strings.Fields(c)...)
	}
	n, err := p.a.Write(wire)
	require.NoError(p.t, err)
	require.Equal(p.t, len(wire), n)
}

// hears checks what comes next.
func (p *testPeer) hears(events ...string) {
	p.t.Helper()
	for _, want := range events {
		select {
		case got := <-p.events:
			require.Equal(p.t, want, got)
		case <-time.After(time.Minute):
			require.Fail(p.t, "nothing comes", want)
		}
	}
}

// has checks what has come already.
func (p *testPeer) has(events ...string) {
	p.t.Helper()
	require.GreaterOrEqual(p.t, len(p.events), len(events))
	p.hears(events...)
}

// Replies have come when Write returns, however the commands are cut, and messages come as what they are.
func TestAttachedSession(t *testing.T) {
	t.Parallel()
	s, addr := startServer(t)
	p, other := attach(t, s), dial(t, addr)
	p.say("SET k v", "GET k")
	p.has("+OK", `"v"`)
	for _, part := range []string{"*1\r\n$4\r", "\nPI", "NG\r\nPING a\r\nPI"} {
		_, err := p.a.Write([]byte(part))
		require.NoError(t, err)
	}
	p.has("+PONG", `"a"`)
	_, err := p.a.Write([]byte("NG\r\n"))
	require.NoError(t, err)
	p.has("+PONG")
	p.say("HELLO 3", "SUBSCRIBE a b", "PSUBSCRIBE a*", "SSUBSCRIBE a")
	require.Contains(t, <-p.events, `"proto"`)
	p.has(`>["subscribe" "a" :1]`, `>["subscribe" "b" :2]`, `>["psubscribe" "a*" :3]`, `>["ssubscribe" "a" :1]`)
	other.want("PUBLISH a 1", ":2")
	p.has("!a 1", "!a 1")
	other.want("SPUBLISH a 2", ":1")
	p.has("!a 2")
	p.say("PUBLISH b mine")
	p.has("!b mine", ":1")
	p.say("GET k", "PUBLISH b mine") // behind a reply it is a part of the stream
	p.has(`"v"`, `>["message" "b" "mine"]`, ":1")
	require.Contains(t, string(other.do("CLIENT LIST").Str), "addr=127.0.0.1:7 laddr=memory fd=")
	p.say("UNSUBSCRIBE", "QUIT")
	p.has(`>["unsubscribe" "a" :2]`, `>["unsubscribe" "b" :1]`, "+OK", "closed")
	_, err = p.a.Write([]byte("PING\r\n"))
	require.ErrorIs(t, err, net.ErrClosed)
	other.want("PUBLISH a 3", ":0")
}

// A command that blocks does not block Write. What waits behind it goes on when it is served.
func TestAttachedSessionThatIsBlocked(t *testing.T) {
	t.Parallel()
	s, addr := startServer(t)
	p, other := attach(t, s), dial(t, addr)
	p.say("HELLO 3", "SUBSCRIBE c", "BLPOP list 0", "PING behind")
	<-p.events
	p.has(`>["subscribe" "c" :1]`)
	p.say("PING later")
	other.want("PUBLISH c m", ":1")
	p.has("!c m")
	other.want("RPUSH list x", ":1")
	p.hears(`*["list" "x"]`, `"behind"`, `"later"`)
	p.say("BLPOP list 0")
	other.want("CLIENT UNBLOCK "+fmt.Sprint(p.id()), ":1")
	p.hears("_(nil)")
	p.say("BLPOP list 0")
	require.NoError(t, p.a.Close())
	p.hears("closed")
	other.becomes("blocked_clients", "0")
	other.becomes("connected_clients", "1")
}

func (p *testPeer) id() int64 { return p.a.c.ID }

// While the peer does not take a reply, messages wait behind it, and nobody waits for the peer.
func TestAttachedMessagesStayBehindReplies(t *testing.T) {
	t.Parallel()
	s, addr := startServer(t)
	p, other := attach(t, s), dial(t, addr)
	p.say("HELLO 3", "SUBSCRIBE c")
	<-p.events
	p.has(`>["subscribe" "c" :1]`)
	release := p.hold()
	said := make(chan error, 1)
	go func() {
		_, err := p.a.Write([]byte("PING 1\r\nPING 2\r\n"))
		said <- err
	}()
	<-p.waits
	for i := range 3 {
		other.want(fmt.Sprint("PUBLISH c ", i), ":1")
	}
	require.Empty(t, p.events)
	release()
	require.NoError(t, <-said)
	p.hears(`"1"`, `"2"`, `>["message" "c" "0"]`, `>["message" "c" "1"]`, `>["message" "c" "2"]`)
	require.Eventually(t, func() bool { // when all that is written, they come directly again
		other.want("PUBLISH c x", ":1")
		return strings.HasPrefix(<-p.events, "!")
	}, time.Minute, time.Millisecond)
}

// A peer that takes nothing at all is cut off like any other client, and its Write is told.
func TestAttachedPeerThatTakesNothing(t *testing.T) {
	t.Parallel()
	s, addr := startServer(t, "--client-output-buffer-limit", "pubsub 1mb 0 0")
	p, other := attach(t, s), dial(t, addr)
	p.say("HELLO 3", "SUBSCRIBE c")
	p.hold()
	said := make(chan error, 1)
	go func() {
		_, err := p.a.Write([]byte("PING\r\nPING\r\n"))
		said <- err
	}()
	<-p.waits
	for other.do("PUBLISH c "+strings.Repeat("x", 100<<10)).Int == 1 {
	}
	<-p.events
	p.hears(`>["subscribe" "c" :1]`, string(EndSlow), "closed")
	<-said
	other.becomes("connected_clients", "1")
}

// Under appendfsync always a message waits for the disk as a reply does.
func TestAttachedMessagesWaitForTheLog(t *testing.T) {
	t.Parallel()
	for policy, want := range map[string]string{"always": `>["message" "c" "m"]`, "everysec": "!c m"} {
		s, addr := startServer(t, "--appendonly", "yes", "--appendfsync", policy)
		p, other := attach(t, s), dial(t, addr)
		p.say("HELLO 3", "SUBSCRIBE c")
		<-p.events
		p.has(`>["subscribe" "c" :1]`)
		other.want("MULTI", "+OK")
		other.want("SET k v", "+QUEUED")
		other.want("PUBLISH c m", "+QUEUED")
		other.want("EXEC", "*[+OK :1]")
		p.hears(want)
		other.want("PUBLISH c m", ":1")
		p.hears(want)
	}
}

// The server ends the session in its own time, and says why.
func TestAttachedSessionIsEnded(t *testing.T) {
	t.Parallel()
	s, addr := startServer(t)
	other := dial(t, addr)
	p := attach(t, s)
	other.want("CLIENT KILL ID "+fmt.Sprint(p.id()), ":1")
	p.hears(string(EndKilled), "closed")
	p = attach(t, s)
	p.say("CLIENT KILL ID " + fmt.Sprint(p.id()) + " SKIPME no")
	p.has(string(EndKilled), ":1", "closed")
	p = attach(t, s)
	_, err := p.a.Write([]byte("*x\r\n"))
	require.NoError(t, err)
	p.has("-ERR Protocol error: invalid multibulk length", "closed")
	other.want("CONFIG SET timeout 1", "+OK")
	p = attach(t, s)
	p.hears(string(EndIdle), "closed")
	other.wantClosed()
	other = dial(t, addr)
	other.becomes("connected_clients", "1")
}

// What others have for the client, besides messages, comes by Write: tracking, MONITOR.
func TestAttachedSessionHearsOfOthers(t *testing.T) {
	t.Parallel()
	s, addr := startServer(t)
	p, other := attach(t, s), dial(t, addr)
	p.say("HELLO 3", "CLIENT TRACKING on", "GET k")
	<-p.events
	p.has("+OK", "_(nil)")
	other.want("SET k v", "+OK")
	p.hears(`>["invalidate" *["k"]]`)
	q := attach(t, s)
	q.say("MONITOR")
	q.has("+OK")
	other.want("PING", "+PONG")
	require.Contains(t, <-q.events, `"PING"`)
	p.say("HELLO 3", "SUBSCRIBE c", "CLIENT REPLY OFF", "PING", "PUBLISH c m", "PING")
	<-p.events
	p.hears(`>["subscribe" "c" :1]`, `>["message" "c" "m"]`)
}

// A peer is counted, refused and looked at as every client is.
func TestAttachRefuses(t *testing.T) {
	t.Parallel()
	s, _ := startServer(t, "--maxclients", "1")
	attach(t, s)
	_, err := s.Attach(&testPeer{})
	var refused *RefusedError
	require.ErrorAs(t, err, &refused)
	require.Equal(t, "ERR max number of clients reached", refused.Reply)

	cfg, out := config.Default(), &redistest.Buffer{}
	require.NoError(t, cfg.ParseArgs([]string{"--port", "0", "--save", "", "--dir", t.TempDir()}))
	s, _ = startWith(t, cfg, Options{Wrap: func(c net.Conn) net.Conn { return resp.Trace(c, out, "eyes") }})
	p := attach(t, s)
	p.say("HELLO 3", "SUBSCRIBE c", "PUBLISH c m")
	for _, want := range []string{`eyes in   "$7\r\nPUBLISH\r\n"`, `eyes out  "$7\r\nmessage\r\n"`} {
		require.Contains(t, out.String(), want, "nothing passes by whoever looks")
	}
}

// A shutdown finds the session, and nothing is left of it.
func TestShutdownEndsAttachedSessions(t *testing.T) {
	before := runtime.NumGoroutine()
	s, _ := startServer(t)
	p, q := attach(t, s), attach(t, s)
	p.say("BLPOP list 0")
	q.say("SUBSCRIBE c")
	q.has(`*["subscribe" "c" :1]`)
	stopServer(t, s)
	p.hears("closed")
	q.hears("closed")
	_, err := s.Attach(&testPeer{})
	require.ErrorIs(t, err, net.ErrClosed)
	require.Eventually(t, func() bool { return runtime.NumGoroutine() <= before+1 }, time.Minute, 10*time.Millisecond)
}
