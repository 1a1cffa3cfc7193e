package main

import (
	"encoding/binary"
	"io"
	"math"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

// Station 10: whoever puts a message into an empty outbox calls a writer. A few writers serve all sockets in turn: each
// writes a frame, at most, and goes on to the next socket. What is queued meanwhile goes out in the next frame. So an
// idle browser costs no goroutine that writes, and the busier the server is, the more messages share a system call.
//
// A writer never waits for a peer. It hands a socket that takes no more, or has something large to take, to a
// goroutine of its own, which waits. Still only one at a time writes to a socket: outbox.busy sees to that.

// writers are the goroutines that write to sockets. They end when there is nothing to write. Safe for concurrent use.
type writers struct {
	most int // of them at a time

	mu      sync.Mutex
	list    []*socket // that have something to write, from first on
	first   int
	running int
}

// add puts a socket on the list.
func (w *writers) add(s *socket) {
	w.mu.Lock()
	w.list = append(w.list, s)
	more := w.running < w.most
	if more {
		w.running++
	}
	w.mu.Unlock()
	if more {
		go w.work()
	}
}

// next takes the first socket off the list. If there is none, the writer has to end.
func (w *writers) next() *socket {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.first == len(w.list) {
		w.running--
		if w.list, w.first = w.list[:0], 0; cap(w.list) > 4096 {
			w.list = nil
		}
		return nil
	}
	s := w.list[w.first]
	w.list[w.first] = nil
	w.first++
	if w.first > 1024 && w.first > len(w.list)/2 {
		n := copy(w.list, w.list[w.first:])
		clear(w.list[n:])
		w.list, w.first = w.list[:n], 0
	}
	return s
}

// work writes until nothing is left.
func (w *writers) work() {
	p := pens.Get().(*pen)
	defer pens.Put(p)
	for s := w.next(); s != nil; s = w.next() {
		if s.writeNow(p) {
			w.add(s)
		}
	}
}

// pen is what a writer writes with.
type pen struct {
	batch [][]byte
	frame []byte
	nowWriter
}

var pens = sync.Pool{New: func() any { return &pen{frame: make([]byte, 0, frameBytes+64)} }}

// writeNow writes a frame, as far as the peer takes it at once. more says that there is more to write.
func (s *socket) writeNow(p *pen) (more bool) {
	// region: a frame at a time
	if s.mayHaveToWait() {
		go s.writeAll()
		return false
	}
	batch := s.out.take(p.batch[:0], frameBytes)
	p.batch, p.frame = batch, s.appendFrames(p.frame[:0], batch)
	whole, err := s.unsent.writeNow(&p.nowWriter, p.frame)
	switch {
	case err != nil:
		go s.teardown()
		return false
	case !whole: // the peer takes no more now
		s.begun = slices.Clone(batch)
		go s.writeAll()
		return false
	}
	s.out.wrote(batch)
	return !s.out.rest()
	// endregion
}

// mayHaveToWait reports whether a pen is not enough: for compression, a large message, the end.
func (s *socket) mayHaveToWait() bool {
	return s.unsent == nil || !s.unsent.direct || s.late() || s.out.ends(frameBytes)
}

// appendFrames appends messages as one frame, and a ping that is due as another one. It makes them itself: gorilla would have to
// ask for a buffer, and set a deadline for what takes no time.
func (s *socket) appendFrames(dst []byte, batch [][]byte) []byte {
	if len(batch) > 0 {
		s.g.metrics.sent.Add(int64(len(batch)))
		size := 0
		for _, msg := range batch {
			size += len(msg)
		}
		s.g.metrics.sentBytes.Add(int64(size))
		if s.proto == protoRESP {
			dst = appendHeader(dst, websocket.BinaryMessage, size)
		} else {
			dst = appendHeader(dst, websocket.TextMessage, size+len(batch)-1)
		}
		for i, msg := range batch {
			if i > 0 && s.proto != protoRESP {
				dst = append(dst, '\n')
			}
			dst = append(dst, msg...)
		}
	}
	if s.out.takePing() {
		text := strconv.AppendInt(nil, s.lastPing.Add(1), 10)
		dst = append(appendHeader(dst, websocket.PingMessage, len(text)), text...)
	}
	return dst
}

// appendHeader appends the header of a frame that is a whole message. A server's frames are not masked.
func appendHeader(dst []byte, kind, size int) []byte {
	dst = append(dst, 0x80|byte(kind))
	if size < 126 {
		return append(dst, byte(size))
	}
	return binary.BigEndian.AppendUint16(append(dst, 126), uint16(size)) // frameBytes is less than 64 KB
}

// writeAll writes until nothing is left, and waits for the peer. Only one writes to a socket at a time.
func (s *socket) writeAll() {
	over, err := false, s.finishFrame()
	if err == nil {
		over, err = s.flush()
	}
	if err != nil || s.late() { // a connection is of no use once a write has failed or timed out
		s.lastWord(over)
		s.teardown()
	}
}

// finishFrame writes the rest of a frame that the peer did not take at once.
func (s *socket) finishFrame() error {
	if err := s.unsent.finish(s.deadline()); err != nil {
		return err
	}
	if s.begun != nil {
		s.out.wrote(s.begun)
		s.begun = nil
	}
	return nil
}

// flush writes the queue, up to 64 messages a frame. Then, if it is time for it, it writes the close frame.
func (s *socket) flush() (over bool, err error) {
	// region: the queue, then the close
	for !s.late() {
		code, reason, closing := s.out.closing() // before take, or a close could overtake a goodbye
		s.ping()
		batch := s.out.take(nil, math.MaxInt)
		if len(batch) > 0 {
			if err := s.writeFrame(batch); err != nil {
				return false, err
			}
			s.out.wrote(batch)
			continue
		}
		if closing {
			err = s.ws.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, reason), s.deadline())
			// The peer answers with a close of its own, which ends read; if not, time does.
			time.AfterFunc(s.g.opts.CloseTimeout, s.teardown)
			return true, err
		}
		if s.out.rest() {
			return false, nil
		}
	}
	return false, errLate
	// endregion
}

// ping asks the peer for a sign of life, if that is due. If it fails, the next write does, too.
func (s *socket) ping() {
	if !s.out.takePing() {
		return
	}
	_ = s.ws.WriteControl(websocket.PingMessage, strconv.AppendInt(nil, s.lastPing.Add(1), 10), s.deadline())
}

func (s *socket) late() bool { return s.unsent.err() != nil }

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
