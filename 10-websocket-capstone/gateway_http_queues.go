package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"byor/pkg/queue"
	"byor/pkg/resp"
)

// Beside the way: work queues over plain HTTP, for programs that speak nothing else. QUEUES.md tells how to use them.
//
//	GET    /q              the queues, as JSON
//	POST   /q/NAME         puts the body into a queue
//	GET    /q/NAME         takes a message: it is gone. ?ack=1: it is hidden until it is acknowledged; ?soft=1: it is
//	                       only looked at; ?wait=20: waits for one, so many seconds
//	DELETE /q/NAME/ENTRY   acknowledges a message
//	GET    /q/NAME/stream  an event stream of messages, each to be acknowledged with DELETE. ?prefetch=10: so many at a time
//
// The path says which, so a HEAD never takes a message.

// queueRequest is a request to a queue.
type queueRequest struct {
	g    *gateway
	w    http.ResponseWriter
	r    *http.Request
	s    *httpSession
	name string
}

// serveQueues handles all paths below /q.
func (g *gateway) serveQueues(w http.ResponseWriter, r *http.Request) {
	q := &queueRequest{g: g, w: w, r: r}
	parts := strings.Split(strings.Trim(strings.TrimPrefix(r.URL.Path, "/q"), "/"), "/")
	q.name = parts[0]
	methods := q.methods(parts)
	if methods == nil {
		(&httpRefusal{status: http.StatusNotFound, code: "ERR", message: "there are /q, /q/NAME, /q/NAME/stream and /q/NAME/ENTRY"}).answer(w)
		return
	}
	do := methods[r.Method]
	if do == nil {
		allowed := append(slices.Sorted(maps.Keys(methods)), "OPTIONS")
		w.Header().Set("Allow", strings.Join(allowed, ", "))
		(&httpRefusal{status: http.StatusMethodNotAllowed, code: "ERR", message: r.Method + " is not for this path"}).answer(w)
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	var ok bool
	if q.s, ok = g.httpSession(w, r); !ok {
		return
	}
	defer q.s.close()
	if r.Header.Get("Origin") != "" {
		w.Header().Add("Access-Control-Expose-Headers", "Queue-Entry, Queue-Tries")
	}
	if err := queue.CheckName(q.name); q.name != "" && err != nil {
		q.fail(err)
		return
	}
	if db := r.URL.Query().Get("db"); db != "" && db != "0" {
		badRequest("queues are in database 0").answer(w)
		return
	}
	do()
}

// methods returns what may be done with a path, by method; nil if there is no such path.
func (q *queueRequest) methods(parts []string) map[string]func() {
	switch {
	case len(parts) == 1 && parts[0] == "":
		return map[string]func(){"GET": q.list}
	case len(parts) == 1:
		return map[string]func(){"GET": q.get, "POST": q.post}
	case len(parts) == 2 && parts[1] == "stream":
		return map[string]func(){"GET": q.stream}
	case len(parts) == 2:
		return map[string]func(){"DELETE": func() { q.acknowledge(parts[1]) }}
	}
	return nil
}

// do runs a command in the session of whoever asks.
func (q *queueRequest) do(args ...string) (resp.Value, error) {
	list := make([][]byte, len(args))
	for i, a := range args {
		list[i] = []byte(a)
	}
	return q.s.do(q.r.Context(), list...)
}

// may reports whether the user may do what a probe stands for. If not, the request has been answered.
func (q *queueRequest) may(probe []string) bool {
	v, err := q.do(probe...)
	var reply resp.ReplyError
	if errors.As(err, &reply) {
		v = resp.Value{Kind: resp.SimpleError, Str: []byte(reply)}
		err = nil
	}
	if err == nil {
		err = queue.Refused(v)
	}
	if err != nil {
		q.fail(err)
	}
	return err == nil
}

// fail answers with an error of pkg/queue, of the engine or of the session.
func (q *queueRequest) fail(err error) {
	var reply resp.ReplyError
	switch {
	case errors.As(err, &reply):
		refusedBy(string(reply)).answer(q.w)
	case errors.Is(err, queue.ErrPolicy):
		(&httpRefusal{status: http.StatusConflict, code: "BUSY", message: err.Error(), retry: time.Second}).answer(q.w)
	case errors.Is(err, queue.ErrName), errors.Is(err, queue.ErrEntry):
		badRequest(err.Error()).answer(q.w)
	case errors.Is(err, queue.ErrClosed), errors.Is(err, queue.ErrRooms):
		refusedBusy(err.Error()).answer(q.w)
	default: // no retry: a message may have been put in, or taken
		(&httpRefusal{status: http.StatusBadGateway, code: "ERR", message: "the session ended before the reply"}).answer(q.w)
	}
}

func (q *queueRequest) json(status int, body []byte) {
	q.w.Header().Set("Content-Type", "application/json")
	q.g.writeBody(q.w, status, append(body, '\n'))
}

// list answers with the queues that the user may see.
func (q *queueRequest) list() {
	infos, more, err := q.g.queues.List(q.do)
	if err != nil {
		q.fail(err)
		return
	}
	body := []byte(`{"queues":[`)
	for i, info := range infos {
		body = appendString(append(appendComma(body, i), "\n{\"queue\":"...), info.Name)
		body = fmt.Appendf(body, `,"length":%d,"pending":%d,"consumers":%d`, info.Length, info.Pending, info.Consumers)
		if info.Policy != "" {
			body = appendString(append(body, `,"policy":`...), string(info.Policy))
		}
		body = append(body, '}')
	}
	q.json(http.StatusOK, fmt.Appendf(body, `],"more":%t}`, more))
}

// post puts the body into the queue.
func (q *queueRequest) post() {
	body, ok := q.g.readBody(q.w, q.r)
	if !ok {
		return
	}
	v, err := q.do(queue.AddCommand(q.name, body)...)
	if err != nil {
		q.fail(err)
		return
	}
	q.w.Header().Set("Queue-Entry", string(v.Str))
	q.w.Header().Set("Location", "/q/"+q.name+"/"+string(v.Str))
	q.json(http.StatusCreated, append(appendString([]byte(`{"entry":`), string(v.Str)), '}'))
}

// acknowledge ends a message.
func (q *queueRequest) acknowledge(entry string) {
	if !q.may(queue.MayAck(q.name)) {
		return
	}
	n, err := q.g.queues.Ack(q.name, entry)
	switch {
	case err != nil:
		q.fail(err)
	case n == 0:
		(&httpRefusal{status: http.StatusNotFound, code: "ERR", message: "nobody is working on this message: it is acknowledged, or dead, or was never given"}).answer(q.w)
	default:
		q.json(http.StatusOK, []byte(`{"acknowledged":1}`))
	}
}

// wishes are the parameters of a GET.
type wishes struct {
	soft, ack bool
	wait      time.Duration
}

func (q *queueRequest) wishes() (want wishes, err error) {
	query := q.r.URL.Query()
	if want.soft, err = flagOf(query, "soft"); err != nil {
		return want, err
	}
	if want.ack, err = flagOf(query, "ack"); err != nil {
		return want, err
	}
	if want.soft && (want.ack || query.Has("wait")) {
		return want, errors.New("soft goes neither with ack nor with wait")
	}
	if v := query.Get("wait"); query.Has("wait") {
		seconds, err := strconv.ParseFloat(v, 64)
		if most := q.g.opts.HTTPWait.Seconds(); err != nil || !(seconds >= 0 && seconds <= most) {
			return want, fmt.Errorf("wait is 0 to %g seconds", most)
		}
		want.wait = time.Duration(seconds * float64(time.Second))
	}
	return want, nil
}

func flagOf(query url.Values, name string) (bool, error) {
	switch v := query.Get(name); {
	case v == "1":
		return true, nil
	case v == "0" || !query.Has(name):
		return false, nil
	}
	return false, errors.New(name + " is 0 or 1")
}

// get answers with a message, or with 204.
func (q *queueRequest) get() {
	want, err := q.wishes()
	if err != nil {
		badRequest(err.Error()).answer(q.w)
		return
	}
	var job queue.Job
	var ok bool
	if want.soft {
		if !q.may(queue.MayLook(q.name)) {
			return
		}
		job, ok, err = q.g.queues.Look(q.name)
	} else {
		if !q.mayTake(want) {
			return
		}
		job, ok, err = q.take(want)
	}
	switch {
	case errors.Is(err, errAnswered):
	case err != nil:
		q.fail(err)
	case !ok:
		q.w.WriteHeader(http.StatusNoContent)
	default:
		q.w.Header().Set("Queue-Entry", job.Entry)
		q.w.Header().Set("Queue-Tries", strconv.Itoa(job.Tries))
		q.w.Header().Set("Content-Type", "application/octet-stream")
		q.g.writeBody(q.w, http.StatusOK, job.Data)
	}
}

// mayTake asks for the rights to take a message and, unless it is to be acknowledged later, to remove it.
func (q *queueRequest) mayTake(want wishes) bool {
	return q.may(queue.MayTake(q.name)) && (want.ack || q.may(queue.MayAck(q.name)))
}

var errAnswered = errors.New("the request has been answered")

// take takes a message. One for a client that has hung up, or that may have none any more, goes back.
func (q *queueRequest) take(want wishes) (queue.Job, bool, error) {
	ctx, cancel := context.WithCancel(q.r.Context())
	defer cancel()
	defer context.AfterFunc(q.g.draining.Ending(), cancel)()
	for began := time.Now(); ; {
		job, ok, err := q.g.queues.Take(ctx, q.name, max(0, want.wait-time.Since(began)))
		if !ok || err != nil {
			return job, ok, err
		}
		if q.r.Context().Err() != nil || want.wait > 0 && !q.mayTake(want) {
			return job, false, errors.Join(errAnswered, q.g.queues.Return(q.name, job.Entry))
		}
		if want.ack {
			return job, true, nil
		}
		if n, err := q.g.queues.Ack(q.name, job.Entry); n > 0 || err != nil {
			return job, n > 0, err
		}
		// It took so long that another worker has got and done it. There may be more.
	}
}

// stream sends messages until the client hangs up. What it has not acknowledged then goes to the next worker.
func (q *queueRequest) stream() {
	prefetch := 1
	if query := q.r.URL.Query(); query.Has("prefetch") {
		n, err := strconv.Atoi(query.Get("prefetch"))
		if err != nil || n < 1 || n > queue.MaxPrefetch {
			badRequest(fmt.Sprintf("prefetch is 1 to %d", queue.MaxPrefetch)).answer(q.w)
			return
		}
		prefetch = n
	}
	if !q.may(queue.MayTake(q.name)) {
		return
	}
	var e *eventStream
	var out lane
	c, err := q.g.queues.Consume(q.name, queue.ConsumerOptions{
		Label: "http:" + strconv.FormatInt(q.s.id, 10), Prefetch: prefetch, MaxBytes: q.g.opts.MaxQueue / 2,
		Deliver: func(j queue.Job) { out.add(func() { e.out.reply(jobEvent(j)) }) },
	})
	if err != nil {
		q.fail(err)
		return
	}
	defer c.Leave()
	e = q.g.newEventStream(q.w, c.Leave)
	c.Start()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		q.s.listen(e) // until the session ends: with its user, for example
	}()
	go func() {
		select {
		case <-c.Done():
			e.end(1001, "shutdown", true)
		case <-ended:
		}
	}()
	e.run(q.r.Context())
	_ = q.s.conn.Close() // which ends listen
	<-ended
}

// jobEvent is a message of a queue as an event: as over WebSocket, with its entry as the event's id.
func jobEvent(j queue.Job) []byte {
	return append(appendJob(fmt.Appendf(nil, "event: job\nid: %s\ndata: ", j.Entry), j), "\n\n"...)
}
