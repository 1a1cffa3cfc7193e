package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"byor/pkg/queue"
)

// asUser are the headers of a user whose password is pw.
func asUser(name string) []string { return []string{"Authorization", basic(name, "pw")} }

// wants makes a request and checks status, body (JSON if it begins with a brace) and entry of the answer.
func (g *testGateway) wants(method, path, body string, status int, text, entry string, headers ...string) {
	g.t.Helper()
	r, got := g.ask(method, path, body, headers...)
	require.Equal(g.t, status, r.StatusCode, "%s %s: %s", method, path, got)
	if strings.HasPrefix(text, "{") {
		require.JSONEq(g.t, text, got)
	} else {
		require.Contains(g.t, got, text)
	}
	require.Equal(g.t, entry, r.Header.Get("Queue-Entry"))
}

func TestHTTPQueuesAreOff(t *testing.T) {
	g := startGateway(t, nil)
	for _, request := range []string{"GET /q", "POST /q/jobs", "GET /q/jobs", "DELETE /q/jobs/1-1", "GET /q/jobs/stream"} {
		method, path, _ := strings.Cut(request, " ")
		g.wants(method, path, "", 404, "the setting http-queues turns it on", "")
	}
}

// A message is put in, looked at, taken for good, or taken and acknowledged.
func TestHTTPQueue(t *testing.T) {
	g := startGateway(t, withQueues)
	g.wants("GET", "/q/jobs", "", 204, "", "")
	r, body := g.ask("POST", "/q/jobs", "a\x00\xff", "Content-Type", "image/png")
	require.Equal(t, 201, r.StatusCode)
	a := r.Header.Get("Queue-Entry")
	require.NoError(t, queue.CheckEntry(a))
	require.JSONEq(t, fmt.Sprintf(`{"entry":%q}`, a), body)
	require.Equal(t, "/q/jobs/"+a, r.Header.Get("Location"))
	b, c := g.add("jobs", "b"), g.add("jobs", "")
	g.wants("GET", "/q/jobs?soft=1", "", 200, "a\x00\xff", a)
	g.wants("GET", "/q/jobs?soft=1", "", 200, "a\x00\xff", a)
	r, _ = g.ask("GET", "/q/jobs", "")
	require.Equal(t, []string{a, "1", "application/octet-stream", "no-store", "nosniff"}, []string{r.Header.Get("Queue-Entry"), r.Header.Get("Queue-Tries"),
		r.Header.Get("Content-Type"), r.Header.Get("Cache-Control"), r.Header.Get("X-Content-Type-Options")})
	require.EqualValues(t, 2, g.length("jobs"))
	g.wants("GET", "/q/jobs?ack=1", "", 200, "b", b)
	g.wants("GET", "/q/jobs?ack=1&soft=0&wait=0.5", "", 200, "", c)
	g.wants("GET", "/q/jobs", "", 204, "", "")
	g.wants("GET", "/q", "", 200, `{"queues":[{"queue":"jobs","length":2,"pending":2,"consumers":0}],"more":false}`, "")
	g.wants("DELETE", "/q/jobs/"+c, "", 200, `{"acknowledged":1}`, "")
	g.wants("DELETE", "/q/jobs/"+c, "", 404, "nobody is working on this message", "")
	// A worker that is late gets nothing for its message any more, or another one has it.
	g.engineDo("XCLAIM", "queue:jobs", "workers", "http", "0", b, "IDLE", "86400000", "JUSTID")
	r, _ = g.ask("GET", "/q/jobs", "")
	require.Equal(t, []string{b, "2"}, []string{r.Header.Get("Queue-Entry"), r.Header.Get("Queue-Tries")})
	g.wants("DELETE", "/q/jobs/"+b, "", 404, "nobody", "")
	g.wants("GET", "/q", "", 200, `{"queues":[{"queue":"jobs","length":0,"pending":0,"consumers":0}],"more":false}`, "")
	_, body = g.get("/metrics")
	require.Contains(t, body, "\nbyor_queue_given_total 4\n")
	require.Contains(t, body, "\nbyor_queue_given_again_total 1\n")
	require.Contains(t, body, "\nbyor_queue_acknowledged_total 3\n")
}

func TestHTTPQueueNonsense(t *testing.T) {
	g := startGateway(t, func(o *gatewayOptions) { withQueues(o); o.MaxMessage = 100 })
	for path, why := range map[string]string{
		"/q/a%20b": "a queue's name is", "/q/" + strings.Repeat("x", 129): "a queue's name is", "/q/a?soft=yes": "soft is 0 or 1", "/q/a?ack=2": "ack is 0 or 1",
		"/q/a?soft=1&ack=1": "soft goes neither", "/q/a?soft=1&wait=1": "soft goes neither", "/q/a?wait=31": "wait is 0 to 30 seconds", "/q/a?wait=-1": "wait is 0 to", "/q/a?wait=NaN": "wait is",
		"/q/a?wait=": "wait is", "/q/a/stream?prefetch=0": "prefetch is 1 to 10000", "/q/a/stream?prefetch=x": "prefetch is", "/q/a?db=3": "queues are in database 0",
		"/q/a?auth=secret": "must not stand in a URL",
	} {
		g.wants("GET", path, "", 400, why, "")
	}
	g.wants("DELETE", "/q/a/x", "", 400, queue.ErrEntry.Error(), "")
	g.wants("GET", "/q/a/b/c", "", 404, "there are /q,", "")
	g.wants("POST", "/q/a", strings.Repeat("x", 101), 413, "ws-max-message", "")
	for _, request := range []string{"HEAD /q/a", "PUT /q/a", "POST /q", "POST /q/a/stream", "GET /q/a/1-1", "DELETE /q/a"} {
		method, path, _ := strings.Cut(request, " ")
		r, _ := g.ask(method, path, "")
		require.Equal(t, 405, r.StatusCode, request)
		require.NotEmpty(t, r.Header["Allow"], request)
	}
	g.engineDo("SET", "queue:a", "text")
	g.wants("GET", "/q/a", "", 400, "WRONGTYPE", "")
	g.wants("GET", "/q/a?soft=1", "", 400, "WRONGTYPE", "")
	g.wants("POST", "/q/a", "x", 400, "WRONGTYPE", "")
	g.wants("DELETE", "/q/a/1-1", "", 400, "WRONGTYPE", "")
}

// A page of another host may neither take nor give, and a HEAD takes nothing.
func TestHTTPQueuePagesAndPasswords(t *testing.T) {
	g := startGateway(t, func(o *gatewayOptions) {
		withPassword(o)
		withQueues(o)
		o.Origins = []string{"good.example"}
	}, "--requirepass", "secret", "--user worker on >pw +xreadgroup +xack +xadd ~queue:jobs", "--user looker on >pw +xrange +xlen +scan +xinfo %R~queue:jobs", "--user taker on >pw +xreadgroup ~queue:*")
	id := g.add("jobs", "a")
	g.add("secrets", "x")
	for _, request := range []string{"GET /q", "POST /q/jobs", "GET /q/jobs", "GET /q/jobs?soft=1", "DELETE /q/jobs/" + id, "GET /q/jobs/stream"} {
		method, path, _ := strings.Cut(request, " ")
		g.wants(method, path, "", 401, "NOAUTH", "")
		g.wants(method, path, "", 403, "this page may not ask", "", append(asUser("worker"), "Origin", "http://evil.example")...)
		g.wants(method, path, "", 403, "this page may not ask", "", append(asUser("worker"), "Sec-Fetch-Site", "cross-site")...)
		g.wants(method, path, "", 403, "go by that name", "", append(asUser("worker"), "Host", "evil.example")...)
	}
	g.wants("GET", "/q/secrets", "", 403, "NOPERM", "", asUser("worker")...)
	g.wants("POST", "/q/secrets", "", 403, "NOPERM", "", asUser("worker")...)
	g.wants("DELETE", "/q/secrets/1-1", "", 403, "NOPERM", "", asUser("worker")...)
	g.wants("GET", "/q/secrets/stream", "", 403, "NOPERM", "", asUser("worker")...)
	g.wants("GET", "/q/jobs?soft=1", "", 403, "NOPERM", "", asUser("worker")...)
	g.wants("GET", "/q/jobs", "", 403, "NOPERM", "", asUser("taker")...) // it may not remove
	g.wants("GET", "/q/jobs", "", 403, "NOPERM", "", asUser("looker")...)
	g.wants("GET", "/q", "", 403, "NOPERM", "", asUser("worker")...)
	g.wants("GET", "/q", "", 200, `{"queues":[{"queue":"jobs","length":1,"pending":0,"consumers":0}],"more":false}`, "", asUser("looker")...)
	g.wants("GET", "/q/jobs?soft=1", "", 200, "a", id, asUser("looker")...)
	r, _ := g.ask("GET", "/q/jobs", "", append(asUser("worker"), "Origin", "http://good.example")...)
	require.Equal(t, 200, r.StatusCode)
	require.Equal(t, "http://good.example", r.Header.Get("Access-Control-Allow-Origin"))
	require.Contains(t, strings.Join(r.Header["Access-Control-Expose-Headers"], ", "), "Queue-Entry")
	r, _ = g.ask("OPTIONS", "/q/jobs/1-1", "", "Origin", "http://good.example", "Access-Control-Request-Method", "DELETE")
	require.Equal(t, 204, r.StatusCode)
	require.Contains(t, r.Header.Get("Access-Control-Allow-Methods"), "DELETE")
}

// Who waits gets the message that comes. Who has hung up does not, and who may not take any more does not either.
func TestHTTPQueueWait(t *testing.T) {
	g := startGateway(t, func(o *gatewayOptions) { withPassword(o); withQueues(o) }, "--requirepass", "secret", "--user worker on >pw +xreadgroup +xack ~queue:jobs")
	waiting := func(n int) {
		t.Helper()
		g.eventually(func() bool { return g.queues.Consumers("jobs") == n }, "so many wait")
	}
	wait := func(ctx context.Context) chan string {
		got := make(chan string, 1)
		go func() {
			r, err := http.DefaultClient.Do(g.request(ctx, "GET", "/q/jobs?wait=30", "", asUser("worker")...))
			if err != nil {
				got <- "hung up"
				return
			}
			got <- fmt.Sprint(r.StatusCode, " ", readAll(t, r))
		}()
		return got
	}
	got := wait(t.Context())
	waiting(1)
	g.add("jobs", "a")
	require.Equal(t, "200 a", <-got)

	ctx, hangUp := context.WithCancel(t.Context())
	got = wait(ctx)
	waiting(1)
	hangUp()
	require.Equal(t, "hung up", <-got)
	waiting(0)
	got = wait(t.Context())
	waiting(1)
	g.engineDo("ACL", "SETUSER", "worker", "-xack")
	id := g.add("jobs", "b")
	require.Contains(t, <-got, "403 ")
	r, _ := g.ask("GET", "/q/jobs?ack=1", "", "Authorization", "Bearer secret")
	require.Equal(t, []string{id, "2"}, []string{r.Header.Get("Queue-Entry"), r.Header.Get("Queue-Tries")})

	g.engineDo("ACL", "SETUSER", "worker", "+xack")
	got = wait(t.Context())
	waiting(1)
	require.NoError(t, g.Drain(t.Context()))
	require.Equal(t, "204 ", <-got)
	g.draining.Store(false)
	g.queues.Reopen()
}

// nextJob returns the next message of a stream.
func (e *events) nextJob() job {
	e.g.t.Helper()
	e.expect("event: job")
	id := strings.TrimPrefix(e.line(), "id: ")
	var j job
	require.NoError(e.g.t, json.Unmarshal([]byte(strings.TrimPrefix(e.line(), "data: ")), &j))
	require.Equal(e.g.t, id, j.Entry)
	e.expect("")
	return j
}

// A stream gives no more than its prefetch. What was not acknowledged when it ends goes to the next worker.
func TestHTTPQueueStream(t *testing.T) {
	g := startGateway(t, withQueues)
	e := g.events("/q/jobs/stream?prefetch=2")
	require.Equal(t, "text/event-stream", e.Header.Get("Content-Type"))
	var ids []string
	for i := range 4 {
		ids = append(ids, g.add("jobs", fmt.Sprintf("line\n%d", i)))
	}
	require.Equal(t, job{"job", "jobs", ids[0], "line\n0", nil, 1}, e.nextJob())
	require.Equal(t, ids[1], e.nextJob().Entry)
	g.wants("GET", "/q", "", 200, `{"queues":[{"queue":"jobs","length":4,"pending":2,"consumers":1,"policy":"roundrobin"}],"more":false}`, "")
	g.wants("DELETE", "/q/jobs/"+ids[0], "", 200, `{"acknowledged":1}`, "")
	require.Equal(t, ids[2], e.nextJob().Entry)
	_ = e.Body.Close()
	next := g.events("/q/jobs/stream?prefetch=10")
	var got []string
	for range 3 {
		got = append(got, next.nextJob().Entry)
	}
	require.ElementsMatch(t, ids[1:], got)

	p := g.dial(protoJSON)
	p.expect(`{"id":1,"op":"consume","queue":"news","policy":"broadcast"}`, `{"id":1,"result":{"queue":"news","policy":"broadcast","prefetch":1}}`)
	g.wants("GET", "/q/news/stream", "", 409, "the other policy", "")
	g.wants("GET", "/q/news", "", 409, "the other policy", "")

	go func() { _ = g.Drain(t.Context()) }()
	require.Regexp(t, `^retry: \d+$`, next.line())
	next.expect("event: goodbye", `data: {"push":"goodbye","code":1001,"reason":"shutdown"}`, "")
	next.ends()
}

// A stream ends with its session, and what it holds goes back.
func TestHTTPQueueStreamIsKilled(t *testing.T) {
	g := startGateway(t, func(o *gatewayOptions) { withPassword(o); withQueues(o) }, "--requirepass", "secret", "--user worker on >pw +xreadgroup ~queue:jobs")
	id := g.add("jobs", "a")
	e := g.events("/q/jobs/stream", asUser("worker")...)
	require.Equal(t, id, e.nextJob().Entry)
	require.EqualValues(t, 1, g.engineDo("ACL", "DELUSER", "worker").Int)
	require.Regexp(t, `^retry: \d+$`, e.line())
	e.expect("event: goodbye")
	g.wants("GET", "/q/jobs?wait=30", "", 200, "a", id, "Authorization", "Bearer secret")
}

// The whole of it with our own engine, too.
func TestQueuesWithOurOwnEngine(t *testing.T) {
	withOwnEngine(t)
	for name, test := range map[string]func(*testing.T){
		"consume": TestConsumeOverWebSocket, "errors": TestQueueErrors, "turns": TestWorkersTakeTurns, "rights": TestRightsOnQueues, "large": TestLargeMessagesOfQueues,
		"broadcast": TestBroadcastOverWebSocket, "drain": TestDrainGivesBack, "http": TestHTTPQueue, "nonsense": TestHTTPQueueNonsense, "pages": TestHTTPQueuePagesAndPasswords,
		"wait": TestHTTPQueueWait, "stream": TestHTTPQueueStream, "killed": TestHTTPQueueStreamIsKilled,
	} {
		t.Run(name, test)
	}
}
