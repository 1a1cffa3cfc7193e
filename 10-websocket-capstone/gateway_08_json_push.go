package main

import (
	"bytes"
	"slices"
	"sync/atomic"

	"byor/pkg/pubsub"
	"byor/pkg/resp"
)

// Station 8, byor.json.v1: a message of a channel as JSON, encoded once for all who get it.

// pushCache remembers the last message as JSON. A message goes to all its
// subscribers one right after the other, so nearly all of them find it here: it
// is encoded once instead of a thousand times. Safe for concurrent use.
type pushCache struct {
	last atomic.Pointer[encodedPush]
}

type encodedPush struct {
	message pubsub.Message
	json    []byte
}

// pushNames are the kinds of messages.
var pushNames = map[pubsub.Kind]string{pubsub.Channel: "message", pubsub.Pattern: "pmessage", pubsub.Sharded: "smessage"}

// encode returns a message as JSON; it is shared and must not be changed.
func (c *pushCache) encode(m pubsub.Message) []byte {
	// region: once for all
	if e := c.last.Load(); e != nil && e.same(m) {
		return e.json
	}
	json := append([]byte(`{"push":"`), pushNames[m.Kind]...)
	if m.Kind == pubsub.Pattern {
		json = appendText(append(json, `","pattern":`...), m.Pattern)
		json = append(json, `,"channel":`...)
	} else {
		json = append(json, `","channel":`...)
	}
	json = appendText(json, m.Channel)
	json = appendText(append(json, `,"data":`...), m.Payload)
	json = append(appendEntry(json, m.Entry), '}')
	c.last.Store(&encodedPush{keep(m), json})
	return json
	// endregion
}

// same reports whether the message is the one that was encoded.
func (e *encodedPush) same(m pubsub.Message) bool {
	return e.message.Kind == m.Kind && bytes.Equal(e.message.Payload, m.Payload) &&
		bytes.Equal(e.message.Channel, m.Channel) && bytes.Equal(e.message.Pattern, m.Pattern) &&
		bytes.Equal(e.message.Entry, m.Entry)
}

// keep copies a message: it is the publisher's.
func keep(m pubsub.Message) pubsub.Message {
	m.Pattern, m.Channel, m.Payload = slices.Clone(m.Pattern), slices.Clone(m.Channel), slices.Clone(m.Payload)
	m.Entry = slices.Clone(m.Entry)
	return m
}

// messageOf returns the message that a push is, if it is one. One that is kept has the ID of its entry at the end.
func messageOf(push resp.Value) (m pubsub.Message, ok bool) {
	v := push.Elems
	if kind := string(v[0].Str); kind == "message" && len(v) == 4 || kind == "pmessage" && len(v) == 5 {
		m, ok = messageOf(resp.Value{Elems: v[:len(v)-1]})
		m.Entry = v[len(v)-1].Str
		return m, ok
	}
	switch kind := string(v[0].Str); {
	case kind == "message" && len(v) == 3:
		return pubsub.Message{Kind: pubsub.Channel, Channel: v[1].Str, Payload: v[2].Str}, true
	case kind == "smessage" && len(v) == 3:
		return pubsub.Message{Kind: pubsub.Sharded, Channel: v[1].Str, Payload: v[2].Str}, true
	case kind == "pmessage" && len(v) == 4:
		return pubsub.Message{Kind: pubsub.Pattern, Pattern: v[1].Str, Channel: v[2].Str, Payload: v[3].Str}, true
	}
	return m, false
}

// published takes a message that comes as such, and not among the replies.
func (t *jsonTalk) published(m pubsub.Message) {
	t.s.g.metrics.delivered.Add(1)
	t.deliver(t.s.g.pushes.encode(m))
}
