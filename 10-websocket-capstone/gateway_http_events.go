package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"

	"byor/pkg/pubsub"
	"byor/pkg/resp"
)

// Beside the way: Server-Sent Events, the stream that a browser reads with EventSource and curl with -N. A stream has
// the queue of a WebSocket: it is bounded, whoever fills it never waits, and a reader that is too slow is cut.

// eventStream is one stream. Its methods are safe for concurrent use, but run is for the handler of the request.
type eventStream struct {
	g       *gateway
	w       http.ResponseWriter
	control *http.ResponseController
	out     outbox
	wake    chan struct{} // has an element when there is something to write
	cut     func()        // called when the reader is too slow; ends what fills the stream
}

// newEventStream answers a request with a stream. cut is called once the reader is too slow, and must not block.
func (g *gateway) newEventStream(w http.ResponseWriter, cut func()) *eventStream {
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // nginx would hold the events back
	w.WriteHeader(http.StatusOK)
	e := &eventStream{g: g, w: w, control: http.NewResponseController(w), cut: cut, wake: make(chan struct{}, 1)}
	e.out.init(g.opts.MaxQueue, func() { e.wake <- struct{}{} }) // which is called again only after rest
	return e
}

// message queues JSON as an event without a name, for which EventSource has onmessage. It may be shared by several
// streams and must not be changed.
func (e *eventStream) message(json []byte) {
	if !e.out.put(json) {
		e.end(closeSlow, "too slow: "+strconv.Itoa(e.g.opts.MaxQueue)+" bytes are waiting", false)
	}
}

// event queues an event with a name, and an id unless it is empty. data is JSON, in one line.
func (e *eventStream) event(name, id string, data []byte) {
	msg := append([]byte("event: "), name...)
	if id != "" {
		msg = append(append(msg, "\nid: "...), id...)
	}
	msg = append(append(append(msg, "\ndata: "...), data...), "\n\n"...)
	e.message(msg)
}

// end ends the stream with the event goodbye, which says why in the words of a WebSocket's close frame. Without flush
// what is queued is thrown away. Only the first call counts.
func (e *eventStream) end(code int, reason string, flush bool) {
	if !e.out.closeWith(code, reason, flush) {
		return
	}
	if code == closeSlow {
		e.g.requests.slow.Add(1)
		e.cut()
	}
}

// run writes the stream until it ends, its client hangs up (ctx), or a write takes too long.
func (e *eventStream) run(ctx context.Context) {
	e.g.requests.streams.Add(1)
	defer e.g.requests.streams.Add(-1)
	defer e.out.shut()
	alive := time.NewTicker(e.g.opts.Ping)
	defer alive.Stop()
	drains := e.g.draining.Ending().Done()
	e.out.look() // so that the client gets the head of the answer
	for {
		var over bool
		var err error
		select {
		case <-ctx.Done():
			return
		case <-drains:
			drains = nil
			// They shall not all come back in the same moment.
			time.AfterFunc(time.Duration(rand.Int64N(int64(drainSpread))), func() { e.end(1001, "shutdown", true) })
		case <-alive.C:
			err = e.write([]byte(":\n\n"))
		case <-e.wake:
			over, err = e.flush()
		}
		if err == nil {
			_ = e.control.SetWriteDeadline(time.Now().Add(e.g.opts.WriteTimeout))
			err = e.control.Flush()
		}
		if err != nil {
			e.end(closeSlow, "too slow", false)
		}
		if err != nil || over {
			return
		}
	}
}

// flush writes what is queued, and goodbye if it is time for it.
func (e *eventStream) flush() (over bool, err error) {
	var batch [][]byte
	for {
		code, reason, closing := e.out.closing() // before take, or goodbye could overtake a message
		batch, _ = e.out.take(batch[:0], 0)
		for _, msg := range batch {
			if msg[0] == '{' {
				err = e.write([]byte("data: "), msg, []byte("\n\n"))
			} else {
				err = e.write(msg)
			}
			if err != nil {
				return false, err
			}
		}
		e.out.wrote(batch)
		switch {
		case len(batch) == 0 && closing:
			return true, e.goodbye(code, reason)
		case e.out.rest():
			return false, nil
		}
	}
}

// goodbye is the last event. EventSource comes back by itself, after the time in retry.
func (e *eventStream) goodbye(code int, reason string) error {
	msg := fmt.Appendf(nil, "retry: %d\nevent: goodbye\ndata: {\"push\":\"goodbye\",\"code\":%d,\"reason\":", 500+rand.IntN(4500), code)
	return e.write(append(appendString(msg, reason), "}\n\n"...))
}

func (e *eventStream) write(parts ...[]byte) error {
	for _, part := range parts {
		if err := e.g.writeParts(e.w, e.control, part); err != nil {
			return err
		}
	}
	return nil
}

// serveEvents subscribes, and sends what is published as events until the client hangs up.
func (g *gateway) serveEvents(w http.ResponseWriter, r *http.Request, s *httpSession, q httpCommand) {
	names := unique(texts(q.args[1:]))
	if len(names) > g.opts.MaxSubscriptions {
		badRequest("too many subscriptions").answer(w)
		return
	}
	if r.Method == http.MethodHead {
		w.Header().Set("Content-Type", "text/event-stream")
		w.WriteHeader(http.StatusOK)
		return
	}
	early, err := s.subscribe(r.Context(), q.args[0], names)
	if err != nil {
		g.answerCommand(w, r, "json", resp.Value{}, err)
		return
	}
	e := g.newEventStream(w, func() { _ = s.conn.Close() })
	greeting := append([]byte(`{"subscribed":`), '[')
	for i, name := range names {
		greeting = appendText(appendComma(greeting, i), []byte(name))
	}
	e.event("subscribed", "", append(greeting, "]}"...))
	for _, v := range early {
		e.push(v)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.listen(e)
	}()
	e.run(r.Context())
	_ = s.conn.Close() // which ends listen
	<-ended
}

func texts(args [][]byte) []string {
	out := make([]string, len(args))
	for i, a := range args {
		out[i] = string(a)
	}
	return out
}

// subscribe subscribes and waits for the confirmations. early is what was published meanwhile.
func (s *httpSession) subscribe(ctx context.Context, command []byte, names []string) (early []resp.Value, err error) {
	s.g.metrics.operations.Add(1)
	args := [][]byte{command}
	for _, name := range names {
		args = append(args, []byte(name))
	}
	v, err := s.exchange(ctx, args...)
	for confirmed := 0; err == nil; v, err = s.next() {
		switch {
		case v.IsError():
			return nil, v.Err()
		default:
			if _, is := messageIn(v); is {
				early = append(early, v)
			} else {
				confirmed++
			}
		}
		if confirmed == len(names) {
			return early, nil
		}
	}
	return nil, err
}

// next returns what the engine says next.
func (s *httpSession) next() (resp.Value, error) {
	s.most.N = maxHTTPReply
	v, err := s.r.ReadValue()
	if err != nil {
		return resp.Value{}, errSessionOver
	}
	return v, nil
}

// listen fills the stream with what the engine publishes until the session ends.
func (s *httpSession) listen(e *eventStream) {
	_ = s.conn.SetDeadline(time.Time{})
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
	if m, ok := messageIn(v); ok {
		e.message(e.g.pushes.encode(m))
	}
}

// messageIn returns the message of a channel that the engine has sent, if it is one.
func messageIn(v resp.Value) (pubsub.Message, bool) {
	if v.Kind != resp.Push || len(v.Elems) == 0 {
		return pubsub.Message{}, false
	}
	return messageOf(v)
}
