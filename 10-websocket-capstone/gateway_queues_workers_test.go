package main

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"

	"byor/pkg/queue"
	"byor/pkg/redistest"
)

var queueLong = flag.Bool("queue", false, "run the long form of TestWorkersDie")

// shift is a number of workers at one queue, who die at random, some with work in their hands.
type shift struct {
	base string // http://host:port
	name string

	mu   sync.Mutex
	seen map[string]int // how often each message has been worked on
	dead int            // workers who have died
}

// work does the work of a message.
func (s *shift) work(data string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen[data]++
}

// dies decides whether a worker dies here.
func (s *shift) dies() bool {
	if rand.IntN(60) > 0 {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dead++
	return true
}

// overWebSocket is the life of one worker. It ends with ctx at the latest.
func (s *shift) overWebSocket(ctx context.Context) {
	c, _, err := websocket.DefaultDialer.DialContext(ctx, "ws"+strings.TrimPrefix(s.base, "http")+"/ws", nil)
	if err != nil {
		return
	}
	defer c.NetConn().Close() // without a word
	defer context.AfterFunc(ctx, func() { c.NetConn().Close() })()
	_ = c.WriteMessage(websocket.TextMessage, fmt.Appendf(nil, `{"id":1,"op":"consume","queue":%q,"prefetch":%d}`, s.name, 1+rand.IntN(20)))
	for {
		_, frame, err := c.ReadMessage()
		if err != nil {
			return
		}
		for line := range strings.Lines(string(frame)) {
			var j job
			if json.Unmarshal([]byte(line), &j) != nil || j.Push != "job" {
				continue
			}
			if s.dies() {
				return
			}
			s.work(j.Data.(string))
			if s.dies() {
				return
			}
			_ = c.WriteMessage(websocket.TextMessage, fmt.Appendf(nil, `{"id":2,"op":"ack","queue":%q,"entries":[%q]}`, s.name, j.Entry))
		}
	}
}

// request makes an HTTP request. nil means that the worker's time is over.
func (s *shift) request(ctx context.Context, method, path string) *http.Response {
	req, err := http.NewRequestWithContext(ctx, method, s.base+"/q/"+s.name+path, nil)
	if err != nil {
		return nil
	}
	r, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil
	}
	return r
}

func (s *shift) acknowledge(ctx context.Context, entry string) {
	if r := s.request(ctx, "DELETE", "/"+entry); r != nil {
		_ = r.Body.Close()
	}
}

// overHTTP is the life of a worker that asks for each message.
func (s *shift) overHTTP(ctx context.Context) {
	for {
		r := s.request(ctx, "GET", "?ack=1&wait=1")
		if r == nil || s.dies() {
			return
		}
		data, err := io.ReadAll(r.Body)
		_ = r.Body.Close()
		if r.StatusCode != http.StatusOK || err != nil {
			continue
		}
		s.work(string(data))
		if s.dies() {
			return
		}
		s.acknowledge(ctx, r.Header.Get("Queue-Entry"))
	}
}

// overEvents is the life of a worker with an event stream.
func (s *shift) overEvents(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r := s.request(ctx, "GET", "/stream?prefetch=5")
	if r == nil {
		return
	}
	defer func() { _ = r.Body.Close() }()
	lines := bufio.NewScanner(r.Body)
	for lines.Scan() {
		var j job
		data, ok := strings.CutPrefix(lines.Text(), "data: ")
		if !ok || json.Unmarshal([]byte(data), &j) != nil || j.Push != "job" {
			continue
		}
		if s.dies() {
			return
		}
		s.work(j.Data.(string))
		if s.dies() {
			return
		}
		s.acknowledge(ctx, j.Entry)
	}
}

// Eight workers die at random, over WebSocket and HTTP. Each message is worked on at least once, and none is lost. Each
// is acknowledged once; how many are worked on twice is counted.
func TestWorkersDie(t *testing.T) {
	n := 1000
	if *queueLong {
		n = 10_000
	}
	withOwnEngine(t)
	g := startGateway(t, func(o *gatewayOptions) { withQueues(o); o.QueueTries = 0; o.QueueTimeout = time.Second }, "--appendonly", "yes")
	s := &shift{base: g.http.URL, name: "jobs", seen: map[string]int{}}
	ctx, cancel := context.WithCancel(t.Context())
	var workers sync.WaitGroup
	for _, life := range []func(context.Context){s.overWebSocket, s.overWebSocket, s.overWebSocket, s.overWebSocket, s.overWebSocket, s.overEvents, s.overHTTP, s.overHTTP} {
		workers.Add(1)
		go func() {
			defer workers.Done()
			for ctx.Err() == nil { // another one comes in the place of the dead
				life(ctx)
			}
		}()
	}
	began := time.Now()
	for i := range n {
		g.add("jobs", strconv.Itoa(i))
	}
	deadline := 3 * patience
	if *queueLong {
		deadline *= 2
	}
	require.Eventually(t, func() bool { return g.length("jobs") == 0 }, deadline, 10*time.Millisecond, "all is done")
	took := time.Since(began)
	cancel()
	workers.Wait()
	doubles := 0
	for _, times := range s.seen {
		doubles += times - 1
	}
	require.Len(t, s.seen, n, "messages were lost")
	require.EqualValues(t, n, g.queues.Stats.Acked.Load())
	require.Zero(t, g.queues.Stats.Dead.Load())
	require.Positive(t, s.dead)
	t.Logf("%d messages in %v, %d workers died, %d messages were given again, %d were worked on more than once", n, took.Round(time.Millisecond), s.dead, g.queues.Stats.Again.Load(), doubles)
}

// The server is killed and starts again: nothing comes back that was acknowledged, and nothing is lost that was not.
func TestQueueSurvivesKill(t *testing.T) {
	t.Parallel()
	bin, dir := redistest.Program(t, "10-websocket-capstone"), t.TempDir()
	args := []string{"--appendonly", "yes", "--appendfsync", "always", "--http-queues", "yes", "--ws-ops-rate", "0", "--save", ""}
	c := launch(t, bin, dir, args...)
	s := &shift{base: strings.TrimSuffix(c.page, "/"), name: "jobs"}
	post := func(text string) string {
		r, err := http.Post(s.base+"/q/jobs", "text/plain", strings.NewReader(text))
		require.NoError(t, err)
		_ = readAll(t, r)
		require.Equal(t, 201, r.StatusCode)
		return r.Header.Get("Queue-Entry")
	}
	want := map[string]bool{} // not acknowledged
	for i := range 30 {
		want[post(strconv.Itoa(i))] = true
	}
	p := dialPage(t, s.base)
	p.expect(`{"id":1,"op":"consume","queue":"jobs","prefetch":10}`, `{"id":1,"result":{"queue":"jobs","policy":"roundrobin","prefetch":10}}`)
	for range 10 { // and ten more are in its hands at the end
		j := p.hearJob()
		p.say(fmt.Sprintf(`{"id":2,"op":"ack","queue":"jobs","entries":[%q]}`, j.Entry))
		require.Contains(t, p.hearAnswer(2), `"result":1`)
		delete(want, j.Entry)
	}
	r := s.request(t.Context(), "GET", "") // taken for good
	_ = readAll(t, r)
	delete(want, r.Header.Get("Queue-Entry"))
	require.NoError(t, c.cmd.Process.Kill())
	<-c.ended

	c = launch(t, bin, dir, args...)
	s.base = strings.TrimSuffix(c.page, "/")
	p = dialPage(t, s.base)
	p.expect(`{"id":1,"op":"consume","queue":"jobs","prefetch":100}`, `{"id":1,"result":{"queue":"jobs","policy":"roundrobin","prefetch":100}}`)
	again := 0
	for len(want) > 0 {
		j := p.hearJob()
		require.True(t, want[j.Entry], "a message that was acknowledged has come back")
		delete(want, j.Entry)
		if j.Tries > 1 {
			again++
		}
	}
	require.Positive(t, again, "what a worker has held comes at once, and not after the time-out")
	p.expect(`{"id":3,"op":"ping"}`, `{"id":3,"result":"PONG"}`)
	require.NoError(t, queue.CheckEntry(post("new"))) // and no message is between
	require.Equal(t, "new", p.hearJob().Data)
}

// dialPage connects a worker to a server of its own process.
func dialPage(t *testing.T, base string) *peer {
	t.Helper()
	c, _, err := websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(base, "http")+"/ws", nil)
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	require.NoError(t, c.SetReadDeadline(time.Now().Add(patience)))
	return &peer{Conn: c, t: t}
}

// A replica, a real one, has the queue as its master has it: messages, who works on what, and what is dead.
func TestQueueOnAReplica(t *testing.T) {
	t.Parallel()
	c := launch(t, redistest.Program(t, "10-websocket-capstone"), t.TempDir(), "--http-queues", "yes", "--http-queue-tries", "1", "--save", "")
	master := redistest.Connect(t, c.addr())
	replica := redistest.Connect(t, redistest.Start(t, t.TempDir(), "--replicaof", "127.0.0.1", strconv.Itoa(c.port)))
	replica.Becomes("master_link_status", "up")
	s := &shift{base: strings.TrimSuffix(c.page, "/"), name: "jobs"}
	var ids []string
	for i := range 5 {
		master.Send(queue.AddCommand("jobs", []byte(strconv.Itoa(i)))...)
		ids = append(ids, string(master.Read().Str))
	}
	for _, path := range []string{"", "?ack=1", "?ack=1"} {
		require.Equal(t, 200, func() int { r := s.request(t.Context(), "GET", path); _ = readAll(t, r); return r.StatusCode }())
	}
	s.acknowledge(t.Context(), ids[1])
	master.Send("XCLAIM", "queue:jobs", "workers", "http", "0", ids[2], "IDLE", "86400000", "JUSTID")
	require.Len(t, master.Read().Elems, 1)
	p := dialPage(t, s.base)
	p.expect(`{"id":1,"op":"consume","queue":"jobs"}`, `{"id":1,"result":{"queue":"jobs","policy":"roundrobin","prefetch":1}}`)
	require.Equal(t, ids[3], p.hearJob().Entry)
	require.EqualValues(t, 1, master.Do("WAIT 1 0").Int)
	for _, command := range []string{"XRANGE queue:jobs - +", "XPENDING queue:jobs workers", "XRANGE queue:jobs.dead - +", "DEBUG DIGEST"} {
		require.Equal(t, redistest.Show(master.Do(command)), redistest.Show(replica.Do(command)), command)
	}
	require.Len(t, master.Do("XRANGE queue:jobs.dead - +").Elems, 1)
	// On a replica everybody can look, and nobody can take anything.
	master.Want("REPLICAOF 127.0.0.1 "+strconv.Itoa(redistest.Port(t)), "+OK")
	r := s.request(t.Context(), "GET", "")
	require.Contains(t, readAll(t, r), "READONLY")
	require.Equal(t, 409, r.StatusCode)
	require.Equal(t, "4", readAll(t, s.request(t.Context(), "GET", "?soft=1")))
	require.Contains(t, readAll(t, s.request(t.Context(), "GET", "/../")), `{"queue":"jobs","length":2,"pending":1,"consumers":1,"policy":"roundrobin"}`)
}
