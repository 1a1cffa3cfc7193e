package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"

	"byor/pkg/queue"
	"byor/pkg/resp"
)

// Beside the way: work queues over WebSocket. pkg/queue has the queues, and QUEUES.md tells how to use them. The
// queues work in sessions of the gateway's own, so whether the browser's user may do a thing is asked first, in the
// browser's session, with a command that needs the same rights and does nothing.

// openQueues makes the gateway's queues. Nothing happens until somebody asks for one.
func (g *gateway) openQueues() {
	g.queues = queue.New(queue.Options{Dial: g.dialQueue, Timeout: g.opts.QueueTimeout, Tries: g.opts.QueueTries,
		Logf: func(format string, args ...any) {
			if g.opts.Stopping == nil || !g.opts.Stopping() {
				g.opts.Logf("gateway: "+format, args...)
			}
		}})
}

// dialQueue opens one of the gateway's own sessions for the queues.
func (g *gateway) dialQueue() (*queue.Link, error) {
	e := &engineClient{opts: &g.opts}
	if err := e.connect(); err != nil {
		return nil, err
	}
	_ = e.conn.SetDeadline(time.Time{})
	return queue.NewLink(e.conn, e.r), nil
}

// queueDesk is what one socket has to do with queues. Safe for concurrent use.
type queueDesk struct {
	out lane // answers that the engine is asked for, and messages

	mu        sync.Mutex
	consumers map[string]*queue.Consumer // by queue
	over      bool
}

// maxDesk bounds the answers that a socket waits for.
const maxDesk = 1024

// queueOperations are the operations on queues.
var queueOperations = map[string]bool{"consume": true, "ack": true, "unconsume": true}

// queue does what one of the operations consume, ack and unconsume asks for.
func (t *jsonTalk) queue(req *request) error {
	if !t.s.g.opts.HTTPQueues {
		t.fail(req.ID, "ERR", "queues are off; the setting http-queues turns them on")
		return nil
	}
	if err := queue.CheckName(req.Queue); err != nil {
		t.fail(req.ID, "ERR", err.Error())
		return nil
	}
	o := &operation{id: req.ID, kind: req.Op}
	probe := []string{"PING"} // unconsume needs no right, but its turn
	switch req.Op {
	case "consume":
		probe = queue.MayTake(req.Queue)
		o.then = func() { t.consume(req) }
	case "ack":
		probe = queue.MayAck(req.Queue)
		o.then = func() { t.ack(req) }
	case "unconsume":
		o.then = func() { t.unconsume(req) }
	}
	args := make([][]byte, len(probe))
	for i, a := range probe {
		args[i] = []byte(a)
	}
	return t.ask(o, args)
}

// permitted handles the reply to the question whether a user may do something with a queue.
func (t *jsonTalk) permitted(o *operation, v resp.Value) {
	if err := queue.Refused(v); err != nil {
		t.failQueue(o.id, err)
		return
	}
	o.then()
}

// failQueue answers with an error of pkg/queue.
func (t *jsonTalk) failQueue(id json.RawMessage, err error) {
	text := err.Error()
	var reply resp.ReplyError
	switch {
	case errors.As(err, &reply):
	case errors.Is(err, queue.ErrPolicy):
		text = "BUSY " + text
	case errors.Is(err, queue.ErrRooms):
		text = "LIMIT " + text
	case errors.Is(err, queue.ErrClosed):
		text = "TRYAGAIN " + text
	default:
		text = "ERR " + text
	}
	code, message, _ := strings.Cut(text, " ")
	t.fail(id, code, message)
}

// consume answers, and then messages come.
func (t *jsonTalk) consume(req *request) {
	d, name, prefetch := &t.desk, req.Queue, 1
	if req.Prefetch != nil {
		prefetch = *req.Prefetch
	}
	d.mu.Lock()
	twice, many := d.consumers[name] != nil, len(d.consumers) >= t.s.g.opts.MaxSubscriptions
	d.mu.Unlock()
	if twice {
		t.fail(req.ID, "ERR", "this socket consumes the queue already")
		return
	}
	if many {
		t.fail(req.ID, "LIMIT", "too many queues")
		return
	}
	c, err := t.newConsumer(name, queue.Policy(req.Policy), prefetch)
	if err != nil {
		t.failQueue(req.ID, err)
		return
	}
	if !d.add(name, c) { // the socket has ended meanwhile
		c.Leave()
		return
	}
	t.answer(req.ID, func(dst []byte) []byte {
		dst = appendString(append(dst, `{"queue":`...), name)
		return fmt.Appendf(appendString(append(dst, `,"policy":`...), c.Policy()), `,"prefetch":%d}`, prefetch)
	})
	c.Start()
}

// newConsumer makes a consumer that has not started. Its messages go out as answers do, so a worker that is slow to
// read is not cut for what it has asked for.
func (t *jsonTalk) newConsumer(name string, policy queue.Policy, prefetch int) (*queue.Consumer, error) {
	t.mu.Lock()
	label := "ws:" + strconv.FormatInt(t.client, 10)
	t.mu.Unlock()
	var c *queue.Consumer
	var err error
	c, err = t.s.g.queues.Consume(name, queue.ConsumerOptions{
		Label: label, Policy: policy, Prefetch: prefetch, MaxBytes: t.s.g.opts.MaxQueue / 2,
		Deliver: func(j queue.Job) { t.desk.out.add(func() { t.job(c, j) }) },
		Late: func() {
			t.s.close(closeSlow, "too slow: a message of the queue "+name+" was not acknowledged in time", true)
		},
	})
	return c, err
}

// add keeps a consumer until the socket ends. It returns false if the socket has ended.
func (d *queueDesk) add(name string, c *queue.Consumer) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.over {
		return false
	}
	if d.consumers == nil {
		d.consumers = map[string]*queue.Consumer{}
	}
	d.consumers[name] = c
	return true
}

// job sends a message, unless it has been given back meanwhile.
func (t *jsonTalk) job(c *queue.Consumer, j queue.Job) {
	select {
	case <-c.Done():
	default:
		t.s.reply(t.s.g.jobs.encode(j))
	}
}

func (t *jsonTalk) unconsume(req *request) {
	d := &t.desk
	d.mu.Lock()
	c := d.consumers[req.Queue]
	delete(d.consumers, req.Queue)
	d.mu.Unlock()
	if c != nil {
		c.Leave()
	}
	t.answer(req.ID, func(dst []byte) []byte { return append(appendString(append(dst, `{"queue":`...), req.Queue), '}') })
}

func (t *jsonTalk) ack(req *request) {
	d := &t.desk
	d.mu.Lock()
	c := d.consumers[req.Queue]
	d.mu.Unlock()
	ack := func(ids ...string) (int, error) { return t.s.g.queues.Ack(req.Queue, ids...) }
	if c != nil {
		ack = c.Ack
	}
	waiting := d.out.add(func() {
		n, err := ack(req.Entries...)
		if err != nil {
			t.failQueue(req.ID, err)
			return
		}
		t.answer(req.ID, func(dst []byte) []byte { return strconv.AppendInt(dst, int64(n), 10) })
	})
	if waiting > maxDesk+queue.MaxPrefetch {
		t.s.close(websocket.ClosePolicyViolation, "too many acknowledgements are waiting", false)
	}
}

// leave gives back all that the socket's consumers hold.
func (d *queueDesk) leave() {
	d.mu.Lock()
	consumers := d.consumers
	d.consumers, d.over = nil, true
	d.mu.Unlock()
	for _, c := range consumers {
		c.Leave()
	}
}

// lane runs functions one after the other, in a goroutine that is there while there are any. Safe for concurrent use.
type lane struct {
	mu      sync.Mutex
	list    []func()
	running bool
}

// add adds a function and returns how many are waiting.
func (l *lane) add(f func()) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.list = append(l.list, f)
	if !l.running {
		l.running = true
		go l.run()
	}
	return len(l.list)
}

func (l *lane) run() {
	for {
		l.mu.Lock()
		if len(l.list) == 0 {
			l.running, l.list = false, nil
			l.mu.Unlock()
			return
		}
		f := l.list[0]
		l.list[0], l.list = nil, l.list[1:]
		l.mu.Unlock()
		f()
	}
}

func (l *lane) idle() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.running
}

// jobCache remembers the last message of a queue as JSON: of a broadcast everybody gets the same one. Safe for
// concurrent use.
type jobCache struct {
	last atomic.Pointer[encodedJob]
}

type encodedJob struct {
	queue.Job
	json []byte
}

// encode returns a message as JSON. It is shared and must not be changed.
func (c *jobCache) encode(j queue.Job) []byte {
	if e := c.last.Load(); e != nil && e.Queue == j.Queue && e.Entry == j.Entry && e.Tries == j.Tries && bytes.Equal(e.Data, j.Data) {
		return e.json
	}
	e := &encodedJob{Job: j, json: appendJob(nil, j)}
	if len(e.json) <= 64<<10 { // a large one is not kept for ever
		c.last.Store(e)
	}
	return e.json
}

func appendJob(dst []byte, j queue.Job) []byte {
	dst = appendString(append(dst, `{"push":"job","queue":`...), j.Queue)
	dst = appendText(append(appendString(append(dst, `,"entry":`...), j.Entry), `,"data":`...), j.Data)
	if len(j.Rest) > 0 { // what is in the queue of the dead, or what another program has added
		dst = append(dst, `,"fields":{"map":[`...)
		for i, f := range j.Rest {
			dst = append(appendText(append(appendComma(dst, i), '['), f[0]), ',')
			dst = append(appendText(dst, f[1]), ']')
		}
		dst = append(dst, "]}"...)
	}
	return fmt.Appendf(dst, `,"tries":%d}`, j.Tries)
}

// writeQueueMetrics writes the counters of the queues.
func writeQueueMetrics(w io.Writer, s *queue.Stats) {
	for _, m := range []struct {
		name, help string
		n          *atomic.Int64
	}{
		{"given", "Messages of queues given to workers.", &s.Given},
		{"given_again", "Messages of queues given to workers that were given before.", &s.Again},
		{"acknowledged", "Messages of queues acknowledged.", &s.Acked},
		{"dead", "Messages of queues moved to the queue of the dead.", &s.Dead},
	} {
		fmt.Fprintf(w, "# HELP byor_queue_%s_total %s\n# TYPE byor_queue_%s_total counter\nbyor_queue_%s_total %d\n", m.name, m.help, m.name, m.name, m.n.Load())
	}
}

// closeQueues lets all consumers go, in time for ctx.
func (g *gateway) closeQueues(ctx context.Context) {
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		g.queues.Close()
	}()
	select {
	case <-closed:
	case <-ctx.Done():
	}
}
