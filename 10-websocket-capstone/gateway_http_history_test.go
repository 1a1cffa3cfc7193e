package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// heardEvent is an event with an id.
type heardEvent struct {
	id   string
	data struct{ Channel, Data, Entry string }
}

// message returns the next event, which must be a message.
func (e *events) message() (m heardEvent) {
	e.g.t.Helper()
	line := e.line()
	if id, has := strings.CutPrefix(line, "id: "); has {
		m.id, line = id, e.line()
	}
	data, is := strings.CutPrefix(line, "data: ")
	require.True(e.g.t, is, line)
	require.NoError(e.g.t, json.Unmarshal([]byte(data), &m.data))
	require.Empty(e.g.t, e.line())
	return m
}

// An event stream resumes where it was: EventSource sends the id of the last event that it has seen.
func TestHTTPEventsResume(t *testing.T) {
	withOwnEngine(t)
	g := startHTTP(t, nil, "--history", "room:*=3")
	e := g.events("/c/SUBSCRIBE/room:1?last=10")
	e.expect("event: subscribed", "id: 0-0", `data: {"subscribed":["room:1"],"recovered":true,"last":{"room:1":"0-0"}}`, "")
	publish := func(channel, text string) { g.engineDo("PUBLISH", channel, text) }
	publish("room:1", "a")
	publish("room:1", "b")
	first, last := e.message(), e.message()
	require.Equal(t, "b", last.data.Data)
	require.Equal(t, last.data.Entry, last.id)
	_ = e.Body.Close()
	publish("room:1", "c")
	e = g.events("/c/SUBSCRIBE/room:1?last=10", "Last-Event-ID", last.id)
	e.expect("event: subscribed", "id: "+last.id)
	require.Contains(t, e.line(), `"recovered":true`)
	e.line()
	publish("room:1", "d")
	require.Equal(t, "c", e.message().data.Data)
	require.Equal(t, "d", e.message().data.Data)
	_ = e.Body.Close()
	for i := range 5 {
		publish("room:1", fmt.Sprint(i))
	}
	e = g.events("/c/SUBSCRIBE/room:1?last=10", "Last-Event-ID", first.id)
	e.line()
	e.line()
	require.Contains(t, e.line(), `"recovered":false,"holes":["room:1"]`)
}

// Several channels share an id, also those without a history.
func TestHTTPEventsResumeSeveralChannels(t *testing.T) {
	withOwnEngine(t)
	g := startHTTP(t, nil, "--history", "room:*=3")
	publish := func(channel, text string) { g.engineDo("PUBLISH", channel, text) }
	publish("room:1", "w")
	e := g.events("/c/SUBSCRIBE/plain/room:2/room:1?last=1")
	e.line()
	e.line()
	e.line()
	e.line()
	one := e.message()
	require.Equal(t, ",0-0,"+one.data.Entry, one.id)
	publish("plain", "x")
	require.Empty(t, e.message().id)
	publish("room:2", "y")
	two := e.message()
	require.Equal(t, ","+two.data.Entry+","+one.data.Entry, two.id)
	_ = e.Body.Close()
	publish("room:2", "z")
	e = g.events("/c/SUBSCRIBE/plain/room:2/room:1?last=1", "Last-Event-ID", two.id)
	for range 4 {
		e.line()
	}
	require.Equal(t, "z", e.message().data.Data)
	_ = e.Body.Close()
	g.eventually(func() bool { return g.requests.streams.Load() == 0 }, "streams end with their readers")
}

func TestHTTPEventsOfThePastRefused(t *testing.T) {
	withOwnEngine(t)
	g := startHTTP(t, nil, "--history", "room:*=3")
	for path, want := range map[string]string{"/c/SUBSCRIBE/a?last=x": "last must be", "/c/SUBSCRIBE/a?last=-1": "last must be", "/c/PSUBSCRIBE/a?last=1": "last is for SUBSCRIBE"} {
		r, body := g.ask("GET", path, "")
		require.Equal(t, http.StatusBadRequest, r.StatusCode)
		require.Contains(t, body, want)
	}
	for _, id := range []string{"1-0,2-0", "x", ","} {
		r, body := g.ask("GET", "/c/SUBSCRIBE/a?last=1", "", "Last-Event-ID", id)
		require.Equal(t, http.StatusBadRequest, r.StatusCode, body)
	}
	r, body := g.ask("POST", "/c/HISTORY.SUBSCRIBE/a/LAST/1", "")
	require.Equal(t, http.StatusForbidden, r.StatusCode)
	require.Contains(t, body, "use SUBSCRIBE")
}

// A reader that asks for more than fits into the queue gets it at its own speed, and is not called slow.
func TestHTTPEventsOfALongPast(t *testing.T) {
	withOwnEngine(t)
	g := startHTTP(t, func(o *gatewayOptions) { o.MaxQueue = 64 << 10 }, "--history", "room:*=100")
	payload := strings.Repeat("x", 20<<10)
	for range 100 {
		g.engineDo("PUBLISH", "room:1", payload)
	}
	e := g.events("/c/SUBSCRIBE/room:1?last=100")
	for range 3 {
		e.line()
	}
	e.line()
	for range 100 {
		require.Equal(t, payload, e.message().data.Data)
	}
	require.Zero(t, g.requests.slow.Load())
}
