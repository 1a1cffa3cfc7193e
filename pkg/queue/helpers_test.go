package queue_test

import (
	"context"
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"byor/pkg/config"
	"byor/pkg/queue"
	"byor/pkg/redistest"
	"byor/pkg/resp"
	"byor/pkg/server"
)

const patience = time.Minute // for what must happen; nothing waits this long unless it fails

// onBoth runs a test on our own engine, by RESP3 over a pipe, and on a real Redis, by RESP2 over TCP.
func onBoth(t *testing.T, test func(t *testing.T, e *engine)) {
	t.Run("ours", func(t *testing.T) {
		cfg := config.Default()
		require.NoError(t, cfg.ParseArgs([]string{"--port", "0", "--dir", t.TempDir(), "--save", ""}))
		srv := server.New(cfg, server.Options{Log: server.LogTo(io.Discard)})
		require.NoError(t, srv.Start())
		t.Cleanup(func() { _ = srv.Shutdown(context.Background(), server.ShutdownMode{NoSave: true, Now: true}) })
		test(t, newEngine(t, 3, func() (net.Conn, error) {
			ours, theirs := net.Pipe()
			go srv.ServeConn(theirs)
			return ours, nil
		}))
	})
	t.Run("redis", func(t *testing.T) {
		addr := redistest.Start(t, t.TempDir())
		test(t, newEngine(t, 2, func() (net.Conn, error) { return net.Dial("tcp", addr) }))
	})
}

// engine is an engine and a client of it.
type engine struct {
	*redistest.Client
	dial func() (*queue.Link, error)
}

func newEngine(t *testing.T, proto int, dial func() (net.Conn, error)) *engine {
	conn, err := dial()
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return &engine{redistest.Over(t, conn), func() (*queue.Link, error) {
		conn, err := dial()
		if err != nil {
			return nil, err
		}
		r := resp.NewReader(conn)
		if proto == 3 {
			if _, err := conn.Write(resp.AppendCommandStrings(nil, "HELLO", "3")); err != nil {
				return nil, err
			}
			if _, err := r.ReadValue(); err != nil {
				return nil, err
			}
		}
		return queue.NewLink(conn, r), nil
	}}
}

// queues opens the queues of a server.
func (e *engine) queues(t *testing.T, change func(o *queue.Options)) *queue.Queues {
	o := queue.Options{Dial: e.dial, Timeout: time.Hour, Tries: 5, Logf: t.Logf}
	if change != nil {
		change(&o)
	}
	q := queue.New(o)
	t.Cleanup(q.Close)
	return q
}

// add puts a message into a queue and returns its ID.
func (e *engine) add(name, text string) string {
	e.T.Helper()
	e.Send(queue.AddCommand(name, []byte(text))...)
	v := e.Read()
	require.NoError(e.T, v.Err())
	return string(v.Str)
}

// age makes messages that were given look as if that was long ago.
func (e *engine) age(name, consumer string, ids ...string) {
	e.T.Helper()
	for _, id := range ids {
		e.Send("XCLAIM", queue.Key(name), "workers", consumer, "0", id, "IDLE", "86400000", "JUSTID")
		require.Len(e.T, e.Read().Elems, 1, "the message is not pending")
	}
}

// worker is a consumer that keeps what it gets.
type worker struct {
	*queue.Consumer
	t    *testing.T
	jobs chan queue.Job
	late chan struct{}
}

func work(t *testing.T, q *queue.Queues, name string, o queue.ConsumerOptions) *worker {
	t.Helper()
	w := &worker{t: t, jobs: make(chan queue.Job, queue.MaxPrefetch), late: make(chan struct{}, 1)}
	o.Label, o.Prefetch = "test", max(1, o.Prefetch)
	o.Deliver, o.Late = func(j queue.Job) { w.jobs <- j }, func() { w.late <- struct{}{} }
	c, err := q.Consume(name, o)
	require.NoError(t, err)
	w.Consumer = c
	c.Start()
	return w
}

// next waits for the next message.
func (w *worker) next() queue.Job {
	w.t.Helper()
	select {
	case j := <-w.jobs:
		return j
	case <-time.After(patience):
		require.Fail(w.t, "no message has come")
		return queue.Job{}
	}
}

func (w *worker) ack(ids ...string) {
	w.t.Helper()
	n, err := w.Ack(ids...)
	require.NoError(w.t, err)
	require.Equal(w.t, len(ids), n)
}

func take(t *testing.T, q *queue.Queues, name string) (queue.Job, bool) {
	t.Helper()
	j, ok, err := q.Take(context.Background(), name, 0)
	require.NoError(t, err)
	return j, ok
}
