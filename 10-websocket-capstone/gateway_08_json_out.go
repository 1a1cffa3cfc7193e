package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/gorilla/websocket"

	"byor/pkg/resp"
)

// Station 8, byor.json.v1, the half that hears the engine: replies go to the operation at
// the head of the list, pushes to the browser as they come.

var errOutOfStep = errors.New("a reply that nobody awaits")

// hear turns what the session says into JSON.
func (t *jsonTalk) hear(b []byte) error {
	for len(b) > 0 {
		value, rest, ok := t.values.next(b)
		if !ok {
			return nil // the rest of it comes later
		}
		v, err := parseValue(value)
		if err != nil {
			return err
		}
		switch {
		case v.Kind == resp.Push && t.ofThePast(v): // see gateway_history.go
		case v.Kind == resp.Push:
			err = t.push(v)
		default:
			err = t.reply(v)
		}
		if err != nil {
			return err
		}
		b = rest
	}
	return nil
}

func (t *jsonTalk) reply(v resp.Value) error {
	if o := t.head(); o != nil && o.then != nil {
		t.permitted(o, notInMulti(o, v))
		t.done()
		return nil
	}
	// region: whose reply it is
	o := t.head()
	if o == nil {
		return errOutOfStep
	}
	v = notInMulti(o, v)
	if o.steps != nil { // it awaits confirmations, and those are pushes
		return t.failedStep(o, v)
	}
	switch {
	case o.kind == "greeting" || o.kind == "hello":
		t.welcome(o, v)
	case o.refused != "":
		t.fail(o.id, "NOPERM", o.refused)
	case v.IsError():
		t.s.g.metrics.errors.Add(1)
		t.s.reply(append(appendError(append(appendID(nil, o.id), `,"error":`...), string(v.Str)), '}'))
	case o.kind == "unsub":
		t.confirm(o)
	default:
		t.answer(o.id, func(dst []byte) []byte { return appendValue(dst, v) })
	}
	t.done()
	return nil
	// endregion
}

// failedStep handles a reply in the place of confirmations: the error of one SUBSCRIBE.
func (t *jsonTalk) failedStep(o *operation, v resp.Value) error {
	// region: not before the answer
	if !v.IsError() {
		return errOutOfStep
	}
	o.failed = string(v.Str)
	t.step(o)
	return nil
	// endregion
}

// head is the operation whose turn it is, nil if none is awaited.
func (t *jsonTalk) head() *operation {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.awaited) == 0 {
		return nil
	}
	return t.awaited[0]
}

// done takes the head off the list.
func (t *jsonTalk) done() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.awaited[0] = nil
	t.awaited = t.awaited[1:]
	if len(t.awaited) == 0 {
		t.awaited = nil
	}
	t.room.Signal()
}

// welcome handles the reply to HELLO.
func (t *jsonTalk) welcome(o *operation, v resp.Value) {
	if v.IsError() {
		if o.kind == "hello" {
			t.s.g.metrics.errors.Add(1)
			t.s.reply(append(appendError(append(appendID(nil, o.id), `,"error":`...), string(v.Str)), '}'))
		} else { // the engine does not want us: too many clients, or a password since now
			t.s.close(websocket.CloseTryAgainLater, string(v.Str), true)
		}
		return
	}
	t.mu.Lock()
	for i := 0; i+1 < len(v.Elems); i += 2 {
		if string(v.Elems[i].Str) == "id" {
			t.client = v.Elems[i+1].Int
		}
	}
	if o.user != "" || t.user == "" {
		t.user = o.user
	}
	if t.user == "" {
		t.user = "guest-" + strconv.FormatInt(t.client, 10)
	}
	client, user := t.client, t.user
	t.failures = 0
	t.mu.Unlock()
	t.s.loggedIn()
	if o.kind == "greeting" {
		return
	}
	opts := &t.s.g.opts
	t.answer(o.id, func(dst []byte) []byte {
		dst = fmt.Appendf(dst, `{"client":%d,"user":`, client)
		dst = appendString(dst, user)
		return fmt.Appendf(dst, `,"ping":%g,"limits":{"message":%d,"queue":%d,"subscriptions":%d,"opsPerSecond":%g,"opsBurst":%g}}`,
			opts.Ping.Seconds(), opts.MaxMessage, opts.MaxQueue, opts.MaxSubscriptions, opts.OpsRate, opts.OpsBurst)
	})
}

// notInMulti makes an error of the QUEUED that a transaction has for an operation that it cannot hold. one refuses
// those, as long as it knows of the transaction; an EXEC that the engine has refused may have left one open.
func notInMulti(o *operation, v resp.Value) resp.Value {
	why := notQueued[o.kind]
	if why == "" || string(v.Str) != "QUEUED" {
		return v
	}
	return resp.Value{Kind: resp.SimpleError, Str: []byte("ERR " + why)}
}

// push handles what the engine says unasked, and the confirmations of
// subscriptions, which RESP3 sends as pushes too, in their turn.
func (t *jsonTalk) push(v resp.Value) error {
	// region: pushes and confirmations
	if len(v.Elems) == 0 {
		return errOutOfStep
	}
	switch kind := string(v.Elems[0].Str); {
	case kind == "subscribe" || kind == "psubscribe" || kind == "unsubscribe" || kind == "punsubscribe":
		o := t.head()
		if o == nil || o.steps == nil {
			return errOutOfStep
		}
		o.begun = true
		if o.steps[0]--; o.steps[0] == 0 {
			t.step(o)
		}
		return nil
	default:
		if m, ok := messageOf(v); ok {
			t.published(m)
			return nil
		}
		// such as "invalidate"
		msg := appendText([]byte(`{"push":`), v.Elems[0].Str)
		t.deliver(append(appendValues(append(msg, `,"data":`...), v.Elems[1:]), '}'))
	}
	return nil
	// endregion
}

// deliver sends a push, but not before the answer to the subscription that
// brought it.
func (t *jsonTalk) deliver(msg []byte) {
	// region: not before the answer
	if o := t.head(); o != nil && o.kind == "sub" && o.begun {
		o.held = append(o.held, msg)
		return
	}
	t.s.send(msg)
	// endregion
}

// step ends one command of a subscription; after the last comes the answer.
func (t *jsonTalk) step(o *operation) {
	t.settle(o, o.named[0])
	o.steps, o.named = o.steps[1:], o.named[1:]
	if o.failed != "" {
		o.wrong, o.failed = o.failed, ""
	}
	if len(o.steps) > 0 {
		return
	}
	if o.wrong != "" {
		t.s.reply(append(appendError(append(appendID(nil, o.id), `,"error":`...), o.wrong), '}'))
	} else {
		t.confirm(o)
	}
	for _, msg := range o.held {
		t.s.send(msg)
	}
	t.done()
}

// settle takes note of what the engine has made of a command: operations that are on their way count as if they
// succeeded, and not all do. What one command of a sub has done stays, also if the other one fails; unsub ends it.
func (t *jsonTalk) settle(o *operation, n named) {
	t.mu.Lock()
	defer t.mu.Unlock()
	subs, gone := t.subs, n.names
	if n.patterns {
		subs = t.psubs
	}
	if o.kind == "sub" {
		if gone = n.fresh; o.failed == "" {
			gone = nil
			for _, name := range n.names {
				subs[name] = subs[name] || o.presence && !n.patterns
			}
		}
	} else if o.failed != "" {
		gone = nil
	}
	for _, name := range gone {
		delete(subs, name)
	}
}

// confirm answers sub and unsub.
func (t *jsonTalk) confirm(o *operation) {
	presence := t.s.g.presence
	t.mu.Lock()
	user := t.user
	t.mu.Unlock()
	if o.kind == "unsub" {
		for _, c := range o.channels {
			presence.leave(c, t.s)
		}
	} else if o.presence {
		for _, c := range o.channels {
			presence.join(c, user, t.s)
		}
	}
	t.answer(o.id, func(dst []byte) []byte {
		dst = append(append(append(dst, '{', '"'), o.kind...), `scribed":[`...)
		for i, name := range append(o.channels, o.patterns...) {
			dst = appendString(appendComma(dst, i), name)
		}
		dst = append(dst, ']')
		if o.presence {
			dst = presence.appendSnapshots(append(dst, `,"presence":`...), o.channels)
		}
		return append(o.past.append(dst), '}')
	})
}

func (t *jsonTalk) answer(id json.RawMessage, result func([]byte) []byte) {
	t.s.reply(append(result(append(appendID(nil, id), `,"result":`...)), '}'))
}

func (t *jsonTalk) fail(id json.RawMessage, code, message string) {
	t.s.g.metrics.errors.Add(1)
	t.s.reply(append(appendErrorParts(append(appendID(nil, id), `,"error":`...), code, message), '}'))
}

func appendID(dst []byte, id json.RawMessage) []byte {
	if len(id) == 0 {
		id = json.RawMessage("null")
	}
	return append(append(dst, `{"id":`...), bytes.TrimSpace(id)...)
}
