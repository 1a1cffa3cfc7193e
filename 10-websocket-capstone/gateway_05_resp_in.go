package main

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"

	"byor/pkg/resp"
)

// Station 5, byor.resp.v1: the bytes of a TCP connection in binary frames, so that a client library needs
// nothing but another transport. Frames are not commands: one may hold many, or a part of one. The gateway
// still parses them, because the guard must see each command here, too.

// respTalk is the state of one socket that speaks byor.resp.v1.
type respTalk struct {
	s    *socket
	in   *resp.CommandReader
	feed bytes.Buffer // what came in frames and is not in the command reader yet
	out  []byte       // commands on their way to the session
	subs rawSubscriptions

	// used by hear only
	before wholeValues // until the login
	cut    respCutter
	held   []byte // too little to be cut

	subscribed atomic.Bool // something was subscribed to, ever

	mu    sync.Mutex
	login []bool    // before login: for each command on its way, whether it may log in
	heard time.Time // when the session last spoke or was spoken to
	quit  bool      // QUIT was sent: the session's end is no accident
}

func newRESPTalk(s *socket) *respTalk {
	t := &respTalk{s: s}
	t.in = resp.NewCommandReader(&t.feed)
	return t
}

// message handles one frame.
func (t *respTalk) message(kind int, data []byte) error {
	if kind != websocket.BinaryMessage {
		return &closeError{websocket.CloseUnsupportedData, protoRESP + " is made of binary frames"}
	}
	// region: frames are not commands
	t.feed.Write(data)
	t.bound()
	t.out = t.out[:0]
	for {
		args, err := t.in.Next()
		switch {
		case errors.Is(err, resp.ErrIncomplete) && t.feed.Len() > 0:
			if err := t.in.Fill(); err != nil && err != io.EOF {
				return err
			}
		case errors.Is(err, resp.ErrIncomplete): // the rest comes with the next frame
			if err := t.tooLarge(); err != nil {
				return err
			}
			return t.s.toSession(t.out)
		case err != nil:
			return t.broken(err)
		case len(args) > 0:
			if err := t.one(args); err != nil {
				return err
			}
		}
	}
	// endregion
}

// bound sets the limits of the command reader.
func (t *respTalk) bound() {
	// region: endless or broken commands
	t.in.Limits.MaxBulk = t.s.g.opts.MaxQueue
	t.in.Limits.Unauthenticated = !t.s.authed.Load()
	// endregion
}

// tooLarge ends a conversation in which a command never becomes whole.
func (t *respTalk) tooLarge() error {
	// region: endless or broken commands
	if t.in.Buffered() > 2*t.s.g.opts.MaxQueue {
		return &closeError{websocket.CloseMessageTooBig, "the command is too large"}
	}
	return nil
	// endregion
}

// broken answers bytes that are no command, and ends the conversation.
func (t *respTalk) broken(err error) error {
	// region: endless or broken commands
	var wrong *resp.ProtocolError
	if !errors.As(err, &wrong) {
		return err
	}
	_ = t.s.toSession(t.out) // what was right before it is executed, as over TCP
	t.settle()
	t.s.reply([]byte("-ERR Protocol error: " + wrong.Msg + "\r\n"))
	return &closeError{websocket.CloseInvalidFramePayloadData, "Protocol error: " + wrong.Msg}
	// endregion
}

// settle waits, not for long, until the session has answered what it was sent.
func (t *respTalk) settle() {
	deadline := time.Now().Add(time.Second)
	for !t.idle() && time.Now().Before(deadline) {
		select {
		case <-t.s.done:
			return
		case <-time.After(respIdle / 10):
		}
	}
}

// one passes one command on.
func (t *respTalk) one(args [][]byte) error {
	t.s.g.metrics.operations.Add(1)
	for wait := t.s.bucket.take(time.Now()); wait > 0; wait = t.s.bucket.take(time.Now()) {
		// A stream of bytes has no place for a refusal. So the gateway reads a fast peer more slowly,
		// and TCP passes that on.
		if err := t.s.toSession(t.out); err != nil {
			return err
		}
		t.out = t.out[:0]
		select {
		case <-t.s.done:
			return errEnded
		case <-time.After(wait):
		}
	}
	born := t.s.g.opts.born(args)
	if why := t.s.g.guard.refuses(born); why != "" {
		args = refusal(args[0], why)
	} else if why := t.subs.refuses(born, t.s.g.opts.MaxSubscriptions); why != "" {
		args = refusal(args[0], why)
	}
	if len(t.subs.names) > 0 {
		t.subscribed.Store(true)
	}
	t.note(born)
	t.out = resp.AppendCommand(t.out, args...)
	return nil
}

// note keeps what hear has to know of a command.
func (t *respTalk) note(args [][]byte) {
	name := strings.ToLower(string(args[0]))
	t.mu.Lock()
	defer t.mu.Unlock()
	t.heard = time.Now()
	t.quit = t.quit || name == "quit"
	if t.s.authed.Load() {
		return
	}
	login := name == "auth"
	for _, a := range args[1:] {
		login = login || name == "hello" && strings.EqualFold(string(a), "auth")
	}
	t.login = append(t.login, login)
}

// rawSubscriptions counts what the peer has subscribed to, by what it has asked for.
// Used by the reading goroutine only.
type rawSubscriptions struct {
	names map[string]bool // with the kind in front
	multi bool            // a transaction is being queued
}

// refuses returns why a command would be one subscription too many. If it may be sent, refuses counts it and
// returns "". Inside MULTI nobody knows yet whether a command will be executed.
func (r *rawSubscriptions) refuses(args [][]byte, limit int) string {
	name := strings.ToLower(string(args[0]))
	if name == "history.subscribe" {
		return r.since(args, limit)
	}
	kind, on := strings.CutSuffix(name, "subscribe")
	kind, off := strings.CutSuffix(kind, "un")
	switch {
	case len(args) == 1 && (name == "multi" || name == "exec" || name == "discard" || name == "reset"):
		r.multi = name == "multi"
		if name == "reset" {
			r.names = nil
		}
	case !on || kind != "" && kind != "p" && kind != "s":
	case r.multi:
		return "subscriptions change outside of MULTI only"
	case off:
		for _, a := range args[1:] {
			delete(r.names, kind+":"+string(a))
		}
		if len(args) == 1 {
			maps.DeleteFunc(r.names, func(n string, _ bool) bool { return strings.HasPrefix(n, kind+":") })
		}
	default:
		return r.add(kind, args[1:], limit)
	}
	return ""
}

// since is refuses for HISTORY.SUBSCRIBE, which has two words behind each channel.
func (r *rawSubscriptions) since(args [][]byte, limit int) string {
	if r.multi {
		return "subscriptions change outside of MULTI only"
	}
	var names [][]byte
	for i := 1; i < len(args); i += 3 {
		names = append(names, args[i])
	}
	return r.add("", names, limit)
}

func (r *rawSubscriptions) add(kind string, names [][]byte, limit int) string {
	more := map[string]bool{}
	for _, a := range names {
		if n := kind + ":" + string(a); !r.names[n] {
			more[n] = true
		}
	}
	if len(r.names)+len(more) > limit {
		return "too many subscriptions"
	}
	if r.names == nil {
		r.names = map[string]bool{}
	}
	maps.Copy(r.names, more)
	return ""
}
