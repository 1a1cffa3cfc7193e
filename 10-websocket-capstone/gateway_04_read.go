package main

import (
	"errors"
	"io"
	"net"
	"strconv"
	"time"

	"github.com/gorilla/websocket"
)

// Station 4: the peer speaks, message by message, until it hangs up, falls silent or breaks a rule.

// read waits for a message of the peer's and passes it on. Then another goroutine waits for the next one: this one's
// stack has grown over its work, and a browser that says nothing for an hour should not keep it.
func (s *socket) read() {
	// region: the goroutine that reads
	_ = s.ws.SetReadDeadline(time.Now().Add(s.g.opts.ReadTimeout))
	kind, data, err := s.readMessage()
	if err != nil {
		if errors.Is(err, websocket.ErrReadLimit) { // the peer has been sent 1009
			s.g.metrics.countClose(websocket.CloseMessageTooBig)
			s.linger()
		}
		s.teardown()
		return
	}
	s.g.metrics.received.Add(1)
	s.g.metrics.receivedBytes.Add(int64(len(data)))
	if !s.draining.Load() { // else only the peer's close is of interest
		s.message(kind, data)
	}
	go s.read()
	// endregion
}

// message hands a message to its protocol. If that ends the conversation, the socket says so, and read
// goes on until the peer has closed, too.
func (s *socket) message(kind int, data []byte) {
	// region: what ends a conversation
	var err error
	if s.proto == protoRESP {
		err = s.resp.message(kind, data)
	} else {
		err = s.json.message(kind, data)
	}
	var refusal *closeError
	switch {
	case errors.As(err, &refusal):
		s.close(refusal.code, refusal.reason, true)
	case err != nil: // the session no longer hears us
		s.sessionEnded(err)
	}
	if err != nil {
		s.draining.Store(true)
	}
	// endregion
}

// readMessage reads a whole message. It must be whole within ReadTimeout of its first byte.
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

// closeError is a rule that the peer has broken.
type closeError struct {
	code   int
	reason string
}

func (e *closeError) Error() string { return e.reason }

// linger reads what the peer is still sending, and forgets it. To close a connection with unread bytes is to
// reset it, and the peer might never see the close frame.
func (s *socket) linger() {
	conn := s.ws.NetConn()
	closeWrite(conn)
	if u := unsentOf(conn); u != nil {
		conn = u.Conn
		closeWrite(conn)
	}
	_ = conn.SetReadDeadline(time.Now().Add(min(time.Second, s.g.opts.CloseTimeout)))
	_, _ = io.Copy(io.Discard, io.LimitReader(conn, 16<<20))
}

// closeWrite tells the peer that nothing more comes, if the connection can: a socket, and TLS on it.
func closeWrite(conn net.Conn) {
	if c, ok := conn.(interface{ CloseWrite() error }); ok {
		_ = c.CloseWrite()
	}
}

// pong prolongs the life of an idle connection if it answers our own last ping. Any other pong does not:
// a peer could hold a connection for ever by sending them. In the middle of a message none does, or a peer
// could hold the memory of half a message for ever.
func (s *socket) pong(data string) error {
	// region: the goroutine that reads
	if n := s.lastPing.Load(); n > 0 && data == strconv.FormatInt(n, 10) && !s.inMessage.Load() {
		return s.ws.SetReadDeadline(time.Now().Add(s.g.opts.ReadTimeout))
	}
	return nil
	// endregion
}

// answerPing gives a pong as much time as any other write; gorilla would give it a second. If it fails,
// the writer sees that.
func (s *socket) answerPing(data string) error {
	if s.unsent.err() == nil {
		_ = s.ws.WriteControl(websocket.PongMessage, []byte(data), s.deadline())
	}
	return nil
}
