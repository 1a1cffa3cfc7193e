package main

import (
	"io"
	"strconv"
	"time"

	"github.com/gorilla/websocket"
)

// Station 10: the only writer takes messages from the outbox and puts them into frames; it also pings.

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

// flush writes the queue, up to 16 messages a frame. Then, if it is time for it, it writes the close frame.
func (s *socket) flush() (over bool, err error) {
	// region: the queue, then the close
	for s.unsent.err() == nil {
		code, reason, closing := s.out.closing() // before take, or a close could overtake a goodbye
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

var newline = []byte{'\n'}

// writePart is how much a peer must take within the write deadline. A peer may be slow with a large message as
// long as it goes on, and meanwhile it may be silent.
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

func (s *socket) deadline() time.Time { return time.Now().Add(s.g.opts.WriteTimeout) }
