package main

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"
)

// Beside the way: Server-Sent Events, the stream that a browser reads with EventSource and curl with -N. A stream has
// the queue of a WebSocket: it is bounded, whoever fills it never waits, and a reader that is too slow is cut.

// eventStream is one stream. Its methods are safe for concurrent use, but run is for the handler of the request.
type eventStream struct {
	g       *gateway
	w       http.ResponseWriter
	control *http.ResponseController
	out     outbox
	wake    chan struct{}     // has an element when there is something to write
	cut     func()            // called when the reader is too slow; ends what fills the stream
	sub     *httpSubscription // nil for a stream of something else than messages of channels
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
	e.message(appendEvent(nil, name, id, data))
}

// appendEvent appends an event as it stands in the stream.
func appendEvent(dst []byte, name, id string, data []byte) []byte {
	if name != "" {
		dst = append(append(append(dst, "event: "...), name...), '\n')
	}
	if id != "" {
		dst = append(append(append(dst, "id: "...), id...), '\n')
	}
	return append(append(append(dst, "data: "...), data...), "\n\n"...)
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
		batch = e.out.take(batch[:0], math.MaxInt)
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
