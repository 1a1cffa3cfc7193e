package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"

	"byor/pkg/queue"
	"byor/pkg/redistest"
)

func withQueues(o *gatewayOptions) { o.HTTPQueues = true }

// job is a message of a queue as a worker gets it.
type job struct {
	Push, Queue, Entry string
	Data               any
	Fields             any
	Tries              int
}

// hearJob returns the next message of a queue.
func (p *peer) hearJob() job {
	p.t.Helper()
	var j job
	line := p.hear()
	require.NoError(p.t, json.Unmarshal([]byte(line), &j))
	require.Equal(p.t, "job", j.Push, line)
	return j
}

// hearAnswer returns the answer to the operation id, and keeps what comes before it.
func (p *peer) hearAnswer(id int) string {
	p.t.Helper()
	var before []string
	for {
		line := p.hear()
		if strings.HasPrefix(line, fmt.Sprintf(`{"id":%d,`, id)) {
			p.lines = append(before, p.lines...)
			return line
		}
		before = append(before, line)
	}
}

func (g *testGateway) add(name, text string) string {
	g.t.Helper()
	return string(g.engineDo(queue.AddCommand(name, []byte(text))...).Str)
}

func (g *testGateway) length(name string) int64 { return g.engineDo("XLEN", queue.Key(name)).Int }

func TestQueuesAreOff(t *testing.T) {
	g := startGateway(t, nil)
	p := g.dial(protoJSON)
	for _, op := range []string{"consume", "ack", "unconsume"} {
		p.expect(`{"id":1,"op":"`+op+`","queue":"jobs","entries":["1-1"]}`, `{"id":1,"error":{"code":"ERR","message":"queues are off; the setting http-queues turns them on","retry":false}}`)
	}
}

// A worker gets messages one by one, acknowledges them, and stops.
func TestConsumeOverWebSocket(t *testing.T) {
	g := startGateway(t, withQueues)
	p := g.dial(protoJSON)
	first := g.add("jobs", "a")
	p.expect(`{"id":1,"op":"consume","queue":"jobs"}`,
		`{"id":1,"result":{"queue":"jobs","policy":"roundrobin","prefetch":1}}`,
		fmt.Sprintf(`{"push":"job","queue":"jobs","entry":%q,"data":"a","tries":1}`, first))
	second := g.add("jobs", "\xff")
	p.expect(fmt.Sprintf(`{"id":2,"op":"ack","queue":"jobs","entries":[%q]}`, first))
	answers := []string{p.hear(), p.hear()} // in either order
	require.ElementsMatch(t, []string{`{"id":2,"result":1}`, fmt.Sprintf(`{"push":"job","queue":"jobs","entry":%q,"data":{"b64":"/w=="},"tries":1}`, second)}, answers)
	require.EqualValues(t, 1, g.length("jobs"))
	p.expect(fmt.Sprintf(`{"id":3,"op":"ack","queue":"jobs","entries":[%q,"1-1"]}`, first), `{"id":3,"result":0}`)
	p.expect(`{"id":4,"op":"unconsume","queue":"jobs"}`, `{"id":4,"result":{"queue":"jobs"}}`)
	// Once it has left, its message is anybody's.
	p.expect(`{"id":5,"op":"consume","queue":"jobs","prefetch":2,"policy":"roundrobin"}`, `{"id":5,"result":{"queue":"jobs","policy":"roundrobin","prefetch":2}}`)
	j := p.hearJob()
	require.Equal(t, job{"job", "jobs", second, map[string]any{"b64": "/w=="}, nil, 2}, j)
	// What another program has added may have fields of its own.
	g.engineDo("XADD", "queue:jobs", "9999999999999-1", "kind", "x", "data", "y")
	require.Equal(t, job{"job", "jobs", "9999999999999-1", "y", map[string]any{"map": []any{[]any{"kind", "x"}}}, 1}, p.hearJob())
	// An ack is an ack on any socket.
	q := g.dial(protoJSON)
	q.expect(fmt.Sprintf(`{"id":1,"op":"ack","queue":"jobs","entries":[%q,"9999999999999-1"]}`, second), `{"id":1,"result":2}`)
	require.Zero(t, g.length("jobs"))
}

// Nonsense gets an error, and the socket lives.
func TestQueueErrors(t *testing.T) {
	g := startGateway(t, func(o *gatewayOptions) { withQueues(o); o.MaxSubscriptions = 1 })
	p := g.dial(protoJSON)
	wrong := func(say, code, message string) {
		t.Helper()
		p.expect(say, fmt.Sprintf(`{"id":1,"error":{"code":%q,"message":%q,"retry":false}}`, code, message))
	}
	wrong(`{"id":1,"op":"consume"}`, "ERR", queue.ErrName.Error())
	wrong(`{"id":1,"op":"consume","queue":"a b"}`, "ERR", queue.ErrName.Error())
	wrong(`{"id":1,"op":"consume","queue":"a","policy":"x"}`, "ERR", "a policy is roundrobin or broadcast")
	wrong(`{"id":1,"op":"consume","queue":"a","prefetch":0}`, "ERR", "prefetch is 1 to 10000")
	wrong(`{"id":1,"op":"consume","queue":"a","prefetch":10001}`, "ERR", "prefetch is 1 to 10000")
	wrong(`{"id":1,"op":"ack","queue":"a","entries":["x"]}`, "ERR", queue.ErrEntry.Error())
	wrong(`{"id":1,"op":"ack","queue":"a","entries":["1-1`+strings.Repeat(`","1-1`, queue.MaxAck)+`"]}`, "ERR", queue.ErrTooMany.Error())
	p.expect(`{"id":1,"op":"ack","queue":"a"}`, `{"id":1,"result":0}`)
	p.expect(`{"id":1,"op":"unconsume","queue":"a"}`, `{"id":1,"result":{"queue":"a"}}`)
	p.expect(`{"id":1,"op":"consume","queue":"a","policy":"broadcast"}`, `{"id":1,"result":{"queue":"a","policy":"broadcast","prefetch":1}}`)
	wrong(`{"id":1,"op":"consume","queue":"a","policy":"broadcast"}`, "ERR", "this socket consumes the queue already")
	wrong(`{"id":1,"op":"consume","queue":"b"}`, "LIMIT", "too many queues")
	q := g.dial(protoJSON)
	q.say(`{"id":1,"op":"consume","queue":"a"}`)
	require.Contains(t, q.hear(), `"code":"BUSY"`)
	g.engineDo("SET", "queue:text", "x")
	q.say(`{"id":1,"op":"consume","queue":"text"}`)
	require.Contains(t, q.hear(), `"code":"WRONGTYPE"`)
	q.expect(`{"id":2,"op":"cmd","args":["MULTI"]}`, `{"id":2,"result":"OK"}`)
	q.say(`{"id":3,"op":"consume","queue":"b"}`)
	require.Contains(t, q.hear(), "consume is for outside of MULTI")
	q.say(`{"id":4,"op":"ack","queue":"b"}`)
	require.Contains(t, q.hear(), "ack is for outside of MULTI")
	q.say(`{"id":5,"op":"cmd","args":["EXEC"]}`)
	require.Contains(t, q.hear(), "EXECABORT")
	q.expect(`{"id":6,"op":"cmd","args":["PING"]}`, `{"id":6,"result":"PONG"}`)
}

// A message goes from a worker that hangs up to the next one, and a stuck one gets no more than its prefetch.
func TestWorkersTakeTurns(t *testing.T) {
	g := startGateway(t, withQueues)
	p, q := g.dial(protoJSON), g.dial(protoJSON)
	for _, w := range []*peer{p, q} {
		w.expect(`{"id":1,"op":"consume","queue":"jobs","prefetch":3}`, `{"id":1,"result":{"queue":"jobs","policy":"roundrobin","prefetch":3}}`)
	}
	for i := range 7 {
		g.add("jobs", fmt.Sprint(i))
	}
	seen := map[string]bool{}
	for _, w := range []*peer{p, q} {
		for range 3 {
			seen[w.hearJob().Entry] = true
		}
	}
	require.Len(t, seen, 6)
	consumers := redistest.Show(g.engineDo("XPENDING", "queue:jobs", "workers"))
	require.Equal(t, 2, strings.Count(consumers, `"ws:`), consumers)
	q.expect(`{"id":2,"op":"ping"}`, `{"id":2,"result":"PONG"}`) // and no seventh message before it
	require.NoError(t, p.Close())
	done := map[string]bool{}
	for id := range seen { // the first three of q's are among them, and of no other can it be told yet
		q.say(fmt.Sprintf(`{"id":3,"op":"ack","queue":"jobs","entries":[%q]}`, id))
		require.Contains(t, q.hearAnswer(3), `"result":`)
		done[id] = true
	}
	j := q.hearJob()
	for done[j.Entry] { // p's, if they went back before they were acknowledged
		j = q.hearJob()
	}
	require.Equal(t, "6", j.Data)
}

// A user needs the commands and the key, and to lose them is to get nothing more.
func TestRightsOnQueues(t *testing.T) {
	g := startGateway(t, func(o *gatewayOptions) { withPassword(o); withQueues(o) }, "--requirepass", "secret",
		"--user worker on >pw +xreadgroup +xack ~queue:jobs", "--user watcher on >pw +xreadgroup ~queue:*")
	p, q := g.dial(protoJSON), g.dial(protoJSON)
	p.expect(`{"id":0,"op":"consume","queue":"jobs"}`, `{"id":0,"error":{"code":"NOAUTH","message":"log in first, with hello","retry":false}}`)
	p.say(`{"id":1,"op":"hello","auth":{"user":"worker","pass":"pw"}}`)
	require.Contains(t, p.hear(), `"user":"worker"`)
	q.say(`{"id":1,"op":"hello","auth":{"user":"watcher","pass":"pw"}}`)
	require.Contains(t, q.hear(), `"user":"watcher"`)
	p.expect(`{"id":2,"op":"consume","queue":"other"}`, denied(2, lacksKey))
	p.expect(`{"id":2,"op":"ack","queue":"other","entries":["1-1"]}`, denied(2, lacksKey))
	id := g.add("jobs", "a")
	p.expect(`{"id":3,"op":"consume","queue":"jobs"}`, `{"id":3,"result":{"queue":"jobs","policy":"roundrobin","prefetch":1}}`)
	require.Equal(t, id, p.hearJob().Entry)
	q.expect(`{"id":4,"op":"ack","queue":"jobs","entries":["1-1"]}`, denied(4, "this user has no permissions to run the 'xack' command"))
	p.expect(fmt.Sprintf(`{"id":5,"op":"ack","queue":"jobs","entries":[%q]}`, id), `{"id":5,"result":1}`)

	id = g.add("jobs", "b")
	require.Equal(t, id, p.hearJob().Entry)
	require.EqualValues(t, 1, g.engineDo("ACL", "DELUSER", "worker").Int)
	p.closed()
	q.expect(`{"id":6,"op":"consume","queue":"jobs"}`, `{"id":6,"result":{"queue":"jobs","policy":"roundrobin","prefetch":1}}`)
	j := q.hearJob()
	require.Equal(t, id, j.Entry)
	require.Equal(t, 2, j.Tries)
}

// Messages larger than a socket's queue get through, and a worker that does not read them is not cut for that: it
// gets no more.
func TestLargeMessagesOfQueues(t *testing.T) {
	g := startGateway(t, func(o *gatewayOptions) { withQueues(o); o.MaxQueue = 10_000 })
	text := strings.Repeat("x", 50_000)
	for range 3 {
		g.add("jobs", text)
	}
	p := g.dial(protoJSON)
	p.expect(`{"id":1,"op":"consume","queue":"jobs","prefetch":100}`, `{"id":1,"result":{"queue":"jobs","policy":"roundrobin","prefetch":100}}`)
	for range 3 {
		j := p.hearJob()
		require.Equal(t, text, j.Data)
		p.expect(`{"id":2,"op":"ping"}`, `{"id":2,"result":"PONG"}`) // one at a time
		p.say(fmt.Sprintf(`{"id":3,"op":"ack","queue":"jobs","entries":[%q]}`, j.Entry))
		require.Contains(t, p.hearAnswer(3), `"result":1`)
	}
	require.Zero(t, g.length("jobs"))
}

// All sockets get a broadcast. One that keeps it to itself for too long is closed.
func TestBroadcastOverWebSocket(t *testing.T) {
	g := startGateway(t, func(o *gatewayOptions) { withQueues(o); o.QueueTimeout = 100 * time.Millisecond })
	p, q := g.dial(protoJSON), g.dial(protoJSON)
	for _, w := range []*peer{p, q} {
		w.expect(`{"id":1,"op":"consume","queue":"news","policy":"broadcast"}`, `{"id":1,"result":{"queue":"news","policy":"broadcast","prefetch":1}}`)
	}
	id := g.add("news", "a")
	require.Equal(t, id, p.hearJob().Entry)
	require.Equal(t, id, q.hearJob().Entry)
	q.say(fmt.Sprintf(`{"id":2,"op":"ack","queue":"news","entries":[%q]}`, id))
	p.expectClose(closeSlow)
	g.eventually(func() bool { return g.length("news") <= 1 }, "the message is done, or with the other one again")
}

// At the end everything goes back, and after a drain that was taken back queues work as before.
func TestDrainGivesBack(t *testing.T) {
	g := startGateway(t, withQueues)
	p := g.dial(protoJSON)
	g.add("jobs", "a")
	p.expect(`{"id":1,"op":"consume","queue":"jobs"}`, `{"id":1,"result":{"queue":"jobs","policy":"roundrobin","prefetch":1}}`)
	p.hearJob()
	done := make(chan error, 1)
	go func() { done <- g.Drain(t.Context()) }()
	p.expectClose(websocket.CloseGoingAway)
	require.NoError(t, <-done)
	g.draining.Store(false)
	g.queues.Reopen()
	require.Len(t, g.engineDo("XPENDING", "queue:jobs", "workers", "-", "+", "9", "returned").Elems, 1)
	q := g.dial(protoJSON)
	q.expect(`{"id":1,"op":"consume","queue":"jobs"}`, `{"id":1,"result":{"queue":"jobs","policy":"roundrobin","prefetch":1}}`)
	require.Equal(t, 2, q.hearJob().Tries)
}
