package main

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"byor/pkg/pubsub"
	"byor/pkg/resp"
)

// Beside the way: subscriptions over plain HTTP, as event streams. With last=N in the URL the engine also sends what it
// has kept, and events have ids. EventSource sends the last id when it comes back, and goes on from there.

// httpSubscription is what a stream is subscribed to.
type httpSubscription struct {
	names   []string // channels, patterns or sharded channels
	command []string
	past    *past    // nil if the request has not asked for it
	entries []string // of each channel the entry that the client has last; "" for none
	early   []resp.Value
	replays int64 // kept messages that are still to come
}

// serveEvents subscribes, and sends what is published as events until the client hangs up.
func (g *gateway) serveEvents(w http.ResponseWriter, r *http.Request, s *httpSession, q httpCommand) {
	sub, why := newHTTPSubscription(r, q)
	if why == "" && len(sub.names) > g.opts.MaxSubscriptions {
		why = "too many subscriptions"
	}
	if why != "" {
		badRequest(why).answer(w)
		return
	}
	if r.Method == http.MethodHead {
		w.Header().Set("Content-Type", "text/event-stream")
		w.WriteHeader(http.StatusOK)
		return
	}
	if err := s.subscribe(r.Context(), sub); err != nil {
		g.answerCommand(w, r, "json", resp.Value{}, err)
		return
	}
	e := g.newEventStream(w, func() { _ = s.conn.Close() })
	e.sub = sub
	e.event("subscribed", sub.id(), sub.greeting())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.listen(e)
	}()
	e.run(r.Context())
	_ = s.conn.Close() // which ends listen
	<-ended
}

// newHTTPSubscription reads what a request wants. why says what is wrong with it.
func newHTTPSubscription(r *http.Request, q httpCommand) (sub *httpSubscription, why string) {
	sub = &httpSubscription{names: unique(texts(q.args[1:]))}
	query := r.URL.Query()
	if !query.Has("last") {
		sub.command = append([]string{string(q.args[0])}, sub.names...)
		return sub, ""
	}
	if q.kind != "subscribe" {
		return nil, "last is for SUBSCRIBE; patterns and sharded channels have no history"
	}
	last, err := strconv.ParseUint(query.Get("last"), 10, 31)
	if err != nil {
		return nil, "last must be a number of messages, from 0 on"
	}
	sub.entries = make([]string, len(sub.names))
	if id := r.Header.Get("Last-Event-ID"); id != "" {
		if sub.entries = strings.Split(id, ","); len(sub.entries) != len(sub.names) {
			return nil, "Last-Event-ID must have an entry for each channel, with commas between them"
		}
	}
	sub.past = &past{}
	sub.command = []string{"HISTORY.SUBSCRIBE"}
	for i, name := range sub.names {
		if sub.entries[i] != "" {
			sub.command = append(sub.command, name, "SINCE", sub.entries[i])
		} else {
			sub.command = append(sub.command, name, "LAST", strconv.FormatUint(last, 10))
		}
	}
	return sub, ""
}

// id returns the id of an event: for each channel the entry to go on from. "" means that none of them has one.
func (sub *httpSubscription) id() string {
	id := strings.Join(sub.entries, ",")
	if strings.Trim(id, ",") == "" {
		return ""
	}
	return id
}

// greeting returns the data of the first event.
func (sub *httpSubscription) greeting() []byte {
	dst := []byte(`{"subscribed":[`)
	for i, name := range sub.names {
		dst = appendText(appendComma(dst, i), []byte(name))
	}
	return append(sub.past.append(append(dst, ']')), '}')
}

// confirm takes note of a confirmation. If no kept messages will follow, the client can go on from the newest entry.
func (sub *httpSubscription) confirm(v resp.Value) {
	if sub.past == nil || len(v.Elems) != 6 {
		return
	}
	more := sub.past.confirm(v)
	sub.replays += more
	if i := slices.Index(sub.names, string(v.Elems[1].Str)); i >= 0 && more == 0 && !v.Elems[4].Null {
		sub.entries[i] = string(v.Elems[4].Str)
	}
}

// texts returns arguments as strings.
func texts(args [][]byte) []string {
	out := make([]string, len(args))
	for i, a := range args {
		out[i] = string(a)
	}
	return out
}

// subscribe subscribes and waits for the confirmations. What is published meanwhile is kept in sub.
func (s *httpSession) subscribe(ctx context.Context, sub *httpSubscription) error {
	s.g.metrics.operations.Add(1)
	var args [][]byte
	for _, a := range sub.command {
		args = append(args, []byte(a))
	}
	v, err := s.exchange(ctx, args...)
	for confirmed := 0; err == nil; v, err = s.next() {
		if v.IsError() {
			return v.Err()
		}
		if _, is := messageIn(v); is {
			sub.early = append(sub.early, v)
		} else {
			sub.confirm(v)
			confirmed++
		}
		if confirmed == len(sub.names) {
			return nil
		}
	}
	return err
}

// next returns what the engine says next.
func (s *httpSession) next() (resp.Value, error) {
	s.in.next()
	return s.reply()
}

// listen fills the stream with what the engine publishes until the session ends.
func (s *httpSession) listen(e *eventStream) {
	_ = s.conn.SetDeadline(time.Time{})
	if e.sub != nil {
		for _, v := range e.sub.early {
			e.push(v)
		}
		e.sub.early = nil
	}
	for {
		v, err := s.next()
		if err != nil {
			break
		}
		e.push(v)
	}
	if s.g.opts.Stopping != nil && s.g.opts.Stopping() {
		e.end(1001, "shutdown", true)
		return
	}
	code, reason := closeFor(endReason(s.conn))
	e.end(code, reason, true)
}

// push passes on a message. Anything else that the engine says unasked is not for a stream.
func (e *eventStream) push(v resp.Value) {
	m, ok := messageIn(v)
	if !ok || e.sub == nil {
		return
	}
	sub := e.sub
	var data []byte
	replayed := sub.replays > 0
	if replayed {
		sub.replays--
		data = new(pushCache).encode(m) // nobody else gets it now
	} else {
		data = e.g.pushes.encode(m)
	}
	if i := slices.Index(sub.names, string(m.Channel)); m.Entry != nil && sub.past != nil && i >= 0 {
		sub.entries[i] = string(m.Entry)
		data = appendEvent(nil, "", sub.id(), data)
	}
	if replayed { // the client has asked for it, so it may take its time
		e.out.reply(data)
	} else {
		e.message(data)
	}
}

// messageIn returns the message of a channel that the engine has sent, if it is one.
func messageIn(v resp.Value) (pubsub.Message, bool) {
	if v.Kind != resp.Push || len(v.Elems) == 0 {
		return pubsub.Message{}, false
	}
	return messageOf(v)
}
