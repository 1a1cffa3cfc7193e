package main

import (
	"bytes"
	"slices"
	"time"

	"github.com/gorilla/websocket"

	"byor/pkg/resp"
)

// Station 8, byor.resp.v1: the gateway passes on the session's bytes as they are. But an answer may be long,
// and a peer may take its time for it; with messages that it did not ask for it may not fall behind its queue.
// The beginning of each value tells the two apart. So the gateway follows the stream from value to value,
// without keeping any.

// hear passes on what the session says. Until the login it looks at the
// replies: only a successful one stops the clock.
func (t *respTalk) hear(b []byte) error {
	for !t.s.authed.Load() && len(b) > 0 {
		value, rest, ok := t.before.next(b)
		if !ok {
			return nil // the rest of it comes later
		}
		v, err := parseValue(value)
		if err != nil {
			return err
		}
		t.pass(value)
		t.answered(v)
		b = rest
	}
	t.pass(b)
	return nil
}

// answered notes the answer to a command before the login.
func (t *respTalk) answered(v resp.Value) {
	t.mu.Lock()
	login := len(t.login) > 0 && t.login[0]
	if len(t.login) > 0 {
		t.login = t.login[1:]
	}
	t.mu.Unlock()
	if login && !v.IsError() && string(v.Str) != "QUEUED" {
		t.s.loggedIn()
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
	if n := t.cut.pushes; n > 0 {
		t.s.g.metrics.delivered.Add(n)
		t.cut.pushes = 0
	}
}

// respCutter cuts a stream of replies and messages into pieces that are of one kind.
type respCutter struct {
	valueScan
	push    bool  // the value that goes on is a message
	pushes  int64 // messages that have begun since somebody has asked
	replays int64 // kept messages that come next: the peer has asked for them
}

// respPushes are the beginnings of messages. In RESP2 they look like replies; those of the same
// form count as messages of a peer that subscribes.
var respPushes = [][]byte{[]byte(">"), []byte("*3\r\n$7\r\nmessage\r\n"), []byte("*4\r\n$8\r\npmessage\r\n"), []byte("*3\r\n$8\r\nsmessage\r\n"),
	[]byte("*4\r\n$7\r\nmessage\r\n"), []byte("*5\r\n$8\r\npmessage\r\n")} // with the ID of the entry

// next returns how much of b is of one kind, and of which. If n is 0, only more bytes can tell.
func (c *respCutter) next(b []byte) (n int, push bool) {
	for n < len(b) && !c.lost {
		if !c.inside {
			push, replays, known := c.begins(b[n:])
			if !known || n > 0 && push != c.push {
				return n, c.push
			}
			c.push, c.replays = push, replays
			if push {
				c.pushes++
			}
		}
		n += c.skip(b[n:])
	}
	if c.lost {
		return len(b), false
	}
	return n, c.push
}

// begins reports whether the value that b begins with is a message that nobody has asked for, if that is known, and how
// many kept messages come after it: a peer may be slow to take those.
func (c *respCutter) begins(b []byte) (push bool, replays int64, known bool) {
	if is, whole, n := replayCount(b); is {
		return false, c.replays + n, whole
	}
	push, known = beginsPush(b)
	if push && c.replays > 0 {
		return false, c.replays - 1, known
	}
	return push, c.replays, known
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

// end chooses the close code for a session that ended because the peer has said QUIT.
func (t *respTalk) end() {
	t.mu.Lock()
	quit := t.quit
	t.mu.Unlock()
	if quit {
		t.s.close(websocket.CloseNormalClosure, "", true)
	}
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
