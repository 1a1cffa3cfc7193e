package main

import (
	"context"
	"errors"
	"io"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"

	"byor/pkg/server"
)

// A socket has three goroutines, one for each direction that can block:
//
//	read   peer → session    (frames in, commands out)
//	listen session → outbox  (replies and pushes in, messages out)
//	write  outbox → peer     (the only one that writes data frames)
//
// listen never waits, so the engine never waits for a browser; what the
// peer does not take heaps up in the outbox until that overflows and the
// socket is closed. read may wait for the session, and then so does the peer.

// socket is one WebSocket.
type socket struct {
	g       *gateway
	ws      *websocket.Conn
	session net.Conn // our end of the engine's session
	proto   string
	out     outbox
	done    chan struct{} // closed by teardown
	once    sync.Once

	helloTimer *time.Timer // runs until the peer has logged in
	authed     atomic.Bool
	draining   atomic.Bool
	lastPing   atomic.Int64
	bucket     bucket // used by read only
	strikes    float64
	inMessage  atomic.Bool // in the middle of a message of the peer's
	progress   int         // used by write only: bytes since the deadlines were renewed

	unsent *unsentConn // the connection under ws; nil where that is none of ours

	json *jsonTalk // of byor.json.v1
	resp *respTalk // of byor.resp.v1
}

func newSocket(g *gateway, ws *websocket.Conn, session net.Conn) *socket {
	s := &socket{
		g: g, ws: ws, session: session, proto: ws.Subprotocol(), done: make(chan struct{}),
		bucket: newBucket(g.opts.OpsRate, g.opts.OpsBurst, time.Now()),
	}
	s.out.init(g.opts.MaxQueue)
	if c, ok := ws.NetConn().(*unsentConn); ok {
		s.unsent = c
		c.watch(s.out.rouse)
	}
	if s.proto == "" {
		s.proto = protoJSON
	}
	if s.proto == protoRESP {
		s.resp = newRESPTalk(s)
	} else {
		s.json = newJSONTalk(s)
	}
	return s
}

// run starts the goroutines and returns.
func (s *socket) run() {
	// region: the limit and the pongs
	s.ws.SetReadLimit(int64(s.g.opts.MaxMessage)) // gorilla has none by default
	s.ws.SetPongHandler(s.pong)
	// endregion
	s.ws.SetPingHandler(s.answerPing)
	if s.g.opts.password() == "" {
		s.authed.Store(true)
	} else {
		s.helloTimer = time.AfterFunc(s.g.opts.HelloTimeout, func() {
			if !s.authed.Load() {
				s.close(closeHelloTimeout, "log in first, with hello", false)
			}
		})
	}
	// region: a goroutine for each direction
	go s.write()
	go s.listen()
	go s.read()
	// endregion
}

// loggedIn ends the waiting for a login.
func (s *socket) loggedIn() {
	s.authed.Store(true)
	if s.helloTimer != nil {
		s.helloTimer.Stop()
	}
}

// teardown ends everything at once. It may be called more than once and by anyone.
func (s *socket) teardown() {
	s.once.Do(func() {
		close(s.done)
		if s.helloTimer != nil {
			s.helloTimer.Stop()
		}
		_ = s.ws.Close()
		_ = s.session.Close()
		s.out.shut()
		if s.json != nil {
			s.json.end()
		}
		s.g.forget(s)
		s.g.metrics.closed.Add(1)
	})
}

// close begins the end: the peer gets what is queued (if flush), then a
// close frame, and some time to answer it. Only the first call counts.
func (s *socket) close(code int, reason string, flush bool) {
	if s.out.closeWith(code, reason, flush) {
		s.g.metrics.countClose(code)
	}
}

// send queues one message. msg must not be changed afterwards; it may be
// shared with other sockets. A peer whose queue is full is closed: it gets
// everything or nothing more, never a stream with holes.
func (s *socket) send(msg []byte) {
	// region: everything or nothing more
	if !s.out.put(msg) {
		s.close(closeSlow, "too slow: "+strconv.Itoa(s.g.opts.MaxQueue)+" bytes are waiting", false)
		_ = s.session.Close() // it is no subscriber any more, whatever becomes of the connection
	}
	// endregion
}

// reply queues the answer to a request. It waits for a peer that is slow to take
// its answers, and so what the peer asks next is not read before. One that takes nothing
// at all is found out by the deadline of the write.
func (s *socket) reply(msg []byte) { s.out.reply(msg) }

// pong answers to our own last ping prolong the life of an idle connection.
// Others do not, or a peer could hold one for ever by sending pongs; and
// none does in the middle of a message, or a peer could hold the memory of a
// message for ever by sending its fragments slowly.
func (s *socket) pong(data string) error {
	// region: our own ping only
	if n := s.lastPing.Load(); n > 0 && data == strconv.FormatInt(n, 10) && !s.inMessage.Load() {
		return s.ws.SetReadDeadline(time.Now().Add(s.g.opts.ReadTimeout))
	}
	return nil
	// endregion
}

// answerPing gives a pong as long as anything else; gorilla would give it a second. What becomes of
// it the writer sees.
func (s *socket) answerPing(data string) error {
	if s.unsent.err() == nil {
		_ = s.ws.WriteControl(websocket.PongMessage, []byte(data), s.deadline())
	}
	return nil
}

// read passes on what the peer says until it hangs up or breaks a rule.
func (s *socket) read() {
	defer s.teardown()
	// region: what the peer says
	for {
		_ = s.ws.SetReadDeadline(time.Now().Add(s.g.opts.ReadTimeout))
		kind, data, err := s.readMessage()
		if err != nil {
			if errors.Is(err, websocket.ErrReadLimit) { // the peer has been sent 1009
				s.g.metrics.countClose(websocket.CloseMessageTooBig)
				s.linger()
			}
			return
		}
		s.g.metrics.received.Add(1)
		s.g.metrics.receivedBytes.Add(int64(len(data)))
		if s.draining.Load() {
			continue // only the peer's close is of interest now
		}
		if s.proto == protoRESP {
			err = s.resp.message(kind, data)
		} else {
			err = s.json.message(kind, data)
		}
		var refusal *closeError
		if errors.As(err, &refusal) {
			s.close(refusal.code, refusal.reason, true)
			s.draining.Store(true)
		} else if err != nil { // the session does not hear us: say so, and wait for the peer's close
			s.sessionEnded(err)
			s.draining.Store(true)
		}
	}
	// endregion
}

// linger reads and forgets what the peer is still sending. Closing a connection
// with unread bytes resets it, and the peer might never see the close frame.
func (s *socket) linger() {
	conn := s.ws.NetConn()
	if u, ok := conn.(*unsentConn); ok {
		conn = u.Conn
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.CloseWrite()
	}
	_ = conn.SetReadDeadline(time.Now().Add(min(time.Second, s.g.opts.CloseTimeout)))
	_, _ = io.Copy(io.Discard, io.LimitReader(conn, 16<<20))
}

// closeError is a rule that the peer has broken.
type closeError struct {
	code   int
	reason string
}

func (e *closeError) Error() string { return e.reason }

// readMessage reads a whole message. From its first byte on, it has ReadTimeout.
func (s *socket) readMessage() (kind int, data []byte, err error) {
	kind, r, err := s.ws.NextReader()
	if err != nil {
		return 0, nil, err
	}
	s.inMessage.Store(true)
	_ = s.ws.SetReadDeadline(time.Now().Add(s.g.opts.ReadTimeout))
	data, err = io.ReadAll(io.LimitReader(r, int64(s.g.opts.MaxMessage)+1)) // gorilla's limit is on what comes in, compressed
	s.inMessage.Store(false)
	if err == nil && len(data) > s.g.opts.MaxMessage {
		_ = s.ws.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseMessageTooBig, ""), s.deadline())
		err = websocket.ErrReadLimit
	}
	return kind, data, err
}

// listen passes on what the engine says.
func (s *socket) listen() {
	var err error
	if s.proto == protoRESP {
		err = s.resp.listen()
	} else {
		err = s.json.listen()
	}
	select {
	case <-s.done:
		return
	default:
	}
	s.sessionEnded(err)
}

// sessionEnded tells the peer that its session is over: with the server, or by itself.
func (s *socket) sessionEnded(err error) {
	if s.g.opts.Stopping != nil && s.g.opts.Stopping() { // somebody said SHUTDOWN
		s.goodbye()
		return
	}
	s.g.opts.Logf("gateway: the session of %s has ended: %v", s.ws.RemoteAddr(), err)
	code, reason := s.whyEnded()
	s.close(code, reason, true)
}

// whyEnded is how the close frame says why the engine has ended the session.
func (s *socket) whyEnded() (code int, reason string) {
	session, ok := s.session.(*sessionConn)
	if !ok {
		return websocket.CloseInternalServerErr, "the session has ended"
	}
	switch why, _ := session.ended.Load().(server.EndReason); why {
	case server.EndKilled:
		return websocket.ClosePolicyViolation, "the session was killed"
	case server.EndSlow:
		return closeSlow, "too slow: the engine's output buffer is full"
	case server.EndIdle:
		return websocket.CloseNormalClosure, "idle for too long"
	}
	return websocket.CloseInternalServerErr, "the session has ended"
}

// toSession writes commands to the engine.
func (s *socket) toSession(b []byte) error {
	if len(b) == 0 {
		return nil
	}
	_, err := s.session.Write(b)
	return err
}

// write is the only goroutine that writes data frames: gorilla's connections
// take one writer at a time. (Control frames may come from elsewhere.)
func (s *socket) write() {
	// region: the only writer
	ping := time.NewTicker(s.g.opts.Ping)
	defer ping.Stop()
	for {
		var over bool
		var err error
		select {
		case <-s.done:
			return
		case <-ping.C:
			n := s.lastPing.Add(1)
			err = s.ws.WriteControl(websocket.PingMessage, strconv.AppendInt(nil, n, 10), s.deadline())
		case <-s.out.wake:
			over, err = s.flush()
		}
		if err != nil || s.unsent.err() != nil { // a connection is of no use once a write has failed or timed out
			s.lastWord(over)
			s.teardown()
			return
		}
		if over {
			return
		}
	}
	// endregion
}

func (s *socket) deadline() time.Time { return time.Now().Add(s.g.opts.WriteTimeout) }

// flush writes what is queued, up to 16 messages a frame, and then the close
// frame if it is time for it.
func (s *socket) flush() (over bool, err error) {
	// region: the queue, then the close
	for s.unsent.err() == nil {
		code, reason, closing := s.out.closing() // asked before take: what was queued before a close is seen by it
		batch := s.out.take()
		if len(batch) > 0 {
			if err := s.writeFrame(batch); err != nil {
				return false, err
			}
			s.out.wrote()
			continue
		}
		if !closing {
			return false, nil
		}
		err = s.ws.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, reason), s.deadline())
		// The peer answers with a close of its own, which ends read; if not, time does.
		time.AfterFunc(s.g.opts.CloseTimeout, s.teardown)
		return true, err
	}
	return false, errLate
	// endregion
}

func (s *socket) writeFrame(batch [][]byte) error {
	_ = s.ws.SetWriteDeadline(s.deadline())
	kind := websocket.TextMessage
	if s.proto == protoRESP {
		kind = websocket.BinaryMessage
	}
	s.g.metrics.sent.Add(int64(len(batch)))
	w, err := s.ws.NextWriter(kind)
	if err != nil {
		return err
	}
	for i, msg := range batch {
		if i > 0 && kind == websocket.TextMessage {
			if _, err := w.Write(newline); err != nil {
				return err
			}
		}
		if err := s.writeParts(w, msg); err != nil {
			return err
		}
		s.g.metrics.sentBytes.Add(int64(len(msg)))
	}
	return w.Close()
}

// writePart is what a peer must take within the write deadline: to be slow with a large
// message is no fault as long as it goes on. It is no fault either that meanwhile nothing is heard of it.
const writePart = 64 << 10

func (s *socket) writeParts(w io.Writer, msg []byte) error {
	for len(msg) > 0 {
		part := msg[:min(len(msg), writePart)]
		if s.progress += len(part); s.progress > writePart {
			s.progress = len(part)
			_ = s.ws.SetWriteDeadline(s.deadline())
			if !s.inMessage.Load() { // which has its time and no more
				_ = s.ws.SetReadDeadline(time.Now().Add(s.g.opts.ReadTimeout))
			}
		}
		if _, err := w.Write(part); err != nil {
			return err
		}
		if err := s.unsent.err(); err != nil {
			return err
		}
		msg = msg[len(part):]
	}
	return nil
}

var newline = []byte{'\n'}

// drain lets the commands in flight finish and then says goodbye.
func (s *socket) drain(ctx context.Context, delay time.Duration) {
	s.draining.Store(true)
	idle := func() bool {
		select {
		case <-s.done:
			return true
		default:
		}
		if s.json != nil {
			return s.json.idle()
		}
		return s.resp.idle()
	}
	waitUntil(ctx, idle)
	select {
	case <-ctx.Done():
	case <-s.done:
	case <-time.After(delay):
	}
	s.goodbye()
}

// goodbye is the last word of a server that ends.
func (s *socket) goodbye() {
	s.draining.Store(true)
	if s.json != nil {
		s.send([]byte(`{"push":"goodbye","code":1001,"reason":"shutdown","reconnectMs":[500,5000]}`))
	}
	s.close(websocket.CloseGoingAway, "shutdown", true)
}
