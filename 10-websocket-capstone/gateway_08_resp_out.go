package main

import (
	"bytes"
	"io"
	"slices"
	"strconv"
	"time"

	"github.com/gorilla/websocket"

	"byor/pkg/resp"
)

// Station 8, byor.resp.v1: the gateway passes on the session's bytes as they are. But an answer may be long,
// and a peer may take its time for it; with messages that it did not ask for it may not fall behind its queue.
// The beginning of each value tells the two apart. So the gateway follows the stream from value to value,
// without keeping any.

// listen passes on what the session says. Until the login it looks at the
// replies: only a successful one stops the clock.
func (t *respTalk) listen() error {
	if !t.s.authed.Load() {
		if err := t.listenForLogin(); err != nil {
			return t.end(err)
		}
	}
	buf := make([]byte, 4<<10)
	for {
		n, err := t.s.session.Read(buf)
		if n > 0 {
			t.pass(buf[:n])
		}
		if err != nil {
			return t.end(err)
		}
	}
}

func (t *respTalk) listenForLogin() error {
	var seen bytes.Buffer
	r := resp.NewReader(io.TeeReader(t.s.session, &seen))
	for {
		v, err := r.ReadValue()
		t.pass(seen.Bytes())
		seen.Reset()
		if err != nil {
			return err
		}
		t.mu.Lock()
		login := len(t.login) > 0 && t.login[0]
		if len(t.login) > 0 {
			t.login = t.login[1:]
		}
		t.mu.Unlock()
		if login && !v.IsError() && string(v.Str) != "QUEUED" {
			t.s.loggedIn()
			return nil // what the reader has read ahead was passed on too
		}
	}
}

// pass queues bytes of the session. The peer may take its time for answers, but not for messages.
func (t *respTalk) pass(b []byte) {
	if len(b) == 0 {
		return
	}
	t.mu.Lock()
	t.heard = time.Now()
	t.mu.Unlock()
	for b = slices.Concat(t.held, b); len(b) > 0; {
		n, push := t.cut.next(b)
		if n == 0 {
			break
		}
		if push && t.subscribed.Load() {
			t.s.send(b[:n])
		} else {
			t.s.reply(b[:n])
		}
		b = b[n:]
	}
	t.held = b
}

// respCutter cuts a stream of replies and messages into pieces that are of one kind.
type respCutter struct {
	inside bool   // a value goes on
	push   bool   // and is a message
	left   int    // values to come until its end
	need   int    // bytes to come until the end of a string
	line   []byte // the beginning of a line that is not whole
	lost   bool   // this is no stream of values
}

// respPushes are the beginnings of messages. In RESP2 they look like replies; those of the same
// form count as messages of a peer that subscribes.
var respPushes = [][]byte{[]byte(">"), []byte("*3\r\n$7\r\nmessage\r\n"), []byte("*4\r\n$8\r\npmessage\r\n"), []byte("*3\r\n$8\r\nsmessage\r\n")}

// next returns how much of b is of one kind, and of which. If n is 0, only more bytes can tell.
func (c *respCutter) next(b []byte) (n int, push bool) {
	for n < len(b) && !c.lost {
		if !c.inside {
			push, known := beginsPush(b[n:])
			if !known || n > 0 && push != c.push {
				return n, c.push
			}
			c.inside, c.push, c.left = true, push, 1
		}
		n += c.skip(b[n:])
	}
	if c.lost {
		return len(b), false
	}
	return n, c.push
}

// beginsPush reports whether a value is a message, if that is known from its beginning.
func beginsPush(b []byte) (push, known bool) {
	for _, p := range respPushes {
		if bytes.HasPrefix(b, p) {
			return true, true
		}
		if bytes.HasPrefix(p, b) {
			return false, false
		}
	}
	return false, true
}

// lineMost is as much of a line as is looked at.
const lineMost = 32

// skip returns how much of b belongs to the value.
func (c *respCutter) skip(b []byte) int {
	n := 0
	for n < len(b) {
		if c.need > 0 {
			k := min(c.need, len(b)-n)
			c.need -= k
			n += k
		} else {
			part, whole := b[n:], false
			if end := bytes.IndexByte(part, '\n'); end >= 0 {
				part, whole = part[:end+1], true
			}
			c.line = append(c.line, part[:min(len(part), lineMost-len(c.line))]...)
			if n += len(part); !whole {
				return n
			}
			c.header(c.line)
			c.line = c.line[:0]
		}
		if c.left == 0 && c.need == 0 {
			c.inside = false
			return n
		}
	}
	return n
}

// header notes what follows the first line of a value.
func (c *respCutter) header(line []byte) {
	c.left--
	size, _ := strconv.Atoi(string(bytes.TrimRight(line[1:], "\r\n"))) // 0 for what is no length
	switch line[0] {
	case '$', '=', '!':
		if size >= 0 {
			c.need = size + len("\r\n")
		}
	case '*', '~', '>':
		c.left += max(0, size)
	case '%':
		c.left += 2 * max(0, size)
	case '|':
		c.left += 2*max(0, size) + 1
	case '+', '-', ':', ',', '#', '_', '(':
	default:
		c.lost = true
	}
}

func (t *respTalk) end(err error) error {
	t.mu.Lock()
	quit := t.quit
	t.mu.Unlock()
	if quit {
		t.s.close(websocket.CloseNormalClosure, "", true)
	}
	return err
}

// respIdle is how long a session must be silent to count as having answered.
const respIdle = 50 * time.Millisecond

// idle reports whether the session has been silent for a moment after the last
// command: the stream does not tell when the last reply has come.
func (t *respTalk) idle() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return time.Since(t.heard) > respIdle
}
