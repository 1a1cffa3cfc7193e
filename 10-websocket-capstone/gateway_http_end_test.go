package main

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// How requests and event streams end: by their client, by time, by the engine, by a drain.

// When a client hangs up, its command no longer waits for anything, and takes nothing.
func TestHTTPClientHangsUp(t *testing.T) {
	g := startHTTP(t, nil)
	ctx, hangUp := context.WithCancel(t.Context())
	over := make(chan error, 1)
	go func() {
		r, err := http.DefaultClient.Do(g.request(ctx, "POST", "/c/BLPOP/q/0", ""))
		if err == nil {
			_ = r.Body.Close()
		}
		over <- err
	}()
	g.blocked("1")
	hangUp()
	require.ErrorIs(t, <-over, context.Canceled)
	g.blocked("0")
	g.engineDo("RPUSH", "q", "a")
	require.EqualValues(t, 1, g.engineDo("LLEN", "q").Int)
	g.eventually(func() bool { return g.places() == 0 }, "the place is free")
}

// A command that would block for ever is answered as after its own time-out.
func TestHTTPWaitIsBounded(t *testing.T) {
	g := startHTTP(t, func(o *gatewayOptions) { o.HTTPWait = 20 * time.Millisecond })
	r, body := g.ask("POST", "/c/BLPOP/q/0", "")
	require.Equal(t, 200, r.StatusCode)
	require.JSONEq(t, `{"result":null}`, body)
	r, body = g.ask("GET", "/c/XREAD/BLOCK/0/STREAMS/s/$", "")
	require.Equal(t, 200, r.StatusCode)
	require.JSONEq(t, `{"result":null}`, body)
}

func TestHTTPSessionKilled(t *testing.T) {
	g := startHTTP(t, nil)
	got := make(chan *http.Response, 1)
	go func() { got <- first(g.ask("POST", "/c/BLPOP/q/0", "")) }()
	g.blocked("1")
	g.engineDo("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
	require.Equal(t, 502, (<-got).StatusCode)
}

// A drain lets the requests in flight finish, ends those that would wait, and lets nobody in.
func TestHTTPDrain(t *testing.T) {
	g := startHTTP(t, nil)
	got := make(chan string, 1)
	go func() {
		_, body := g.ask("POST", "/c/BLPOP/q/0", "")
		got <- body
	}()
	g.blocked("1")
	e := g.events("/c/SUBSCRIBE/room")
	e.expect("event: subscribed", `data: {"subscribed":["room"]}`, "")
	g.engineDo("PUBLISH", "room", "last")
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	require.NoError(t, g.Drain(ctx))
	require.JSONEq(t, `{"result":null}`, <-got)
	e.expect(`data: {"push":"message","channel":"room","data":"last"}`, "")
	require.Regexp(t, `^retry: \d+$`, e.line())
	e.expect("event: goodbye", `data: {"push":"goodbye","code":1001,"reason":"shutdown"}`, "")
	e.ends()
	r, body := g.ask("GET", "/c/PING", "")
	require.Equal(t, 503, r.StatusCode)
	require.Contains(t, body, "about to end")
	require.Equal(t, "1", r.Header.Get("Retry-After"))
	require.NoError(t, g.reopen())
	require.Equal(t, 200, first(g.ask("GET", "/c/PING", "")).StatusCode, "a drain can be taken back")
}

func TestHTTPEvents(t *testing.T) {
	g := startHTTP(t, func(o *gatewayOptions) { o.MaxSubscriptions = 3 })
	a, b := g.events("/c/SUBSCRIBE/room:1/a%2Fb/room:1"), g.events("/c/psubscribe/room:*")
	require.Equal(t, "text/event-stream", a.Header.Get("Content-Type"))
	require.Equal(t, "no-store", a.Header.Get("Cache-Control"))
	a.expect("event: subscribed", `data: {"subscribed":["room:1","a/b"]}`, "")
	b.expect("event: subscribed", `data: {"subscribed":["room:*"]}`, "")
	require.Contains(t, second(g.ask("POST", "/c/PUBLISH/room:1/hi", "")), `{"result":2}`)
	g.engineDo("PUBLISH", "a/b", "two\nlines \xff")
	g.engineDo("PUBLISH", "room:2", `"`)
	a.expect(`data: {"push":"message","channel":"room:1","data":"hi"}`, "", `data: {"push":"message","channel":"a/b","data":{"b64":"dHdvCmxpbmVzIP8="}}`, "")
	b.expect(`data: {"push":"pmessage","pattern":"room:*","channel":"room:1","data":"hi"}`, "", `data: {"push":"pmessage","pattern":"room:*","channel":"room:2","data":"\""}`, "")
	c := g.events("/c/SSUBSCRIBE/shard")
	c.expect("event: subscribed", `data: {"subscribed":["shard"]}`, "")
	g.engineDo("SPUBLISH", "shard", "m")
	c.expect(`data: {"push":"smessage","channel":"shard","data":"m"}`, "")
	_, body := g.get("/metrics")
	require.Contains(t, body, "\nbyor_http_streams 3\n")

	r := first(g.ask("GET", "/c/SUBSCRIBE/1/2/3/4", ""))
	require.Equal(t, 400, r.StatusCode)
	r = first(g.ask("GET", "/c/SUBSCRIBE", ""))
	require.Equal(t, 403, r.StatusCode)
	r = first(g.ask("HEAD", "/c/SUBSCRIBE/room", ""))
	require.Equal(t, 200, r.StatusCode)
	require.Equal(t, "text/event-stream", r.Header.Get("Content-Type"))
	for _, e := range []*events{a, b, c} {
		_ = e.Body.Close()
	}
	g.eventually(func() bool { return g.places() == 0 && g.engineDo("PUBLISH", "room:1", "x").Int == 0 }, "they are no subscribers any more")
}

func second(_ *http.Response, body string) string { return body }

func TestHTTPEventsOfUsers(t *testing.T) {
	g := startHTTP(t, withPassword, "--requirepass", "secret", "--user ann on >pw +subscribe &news")
	require.Equal(t, 401, first(g.ask("GET", "/c/SUBSCRIBE/news", "")).StatusCode)
	r, body := g.ask("GET", "/c/SUBSCRIBE/other", "", "Authorization", basic("ann", "pw"))
	require.Equal(t, 403, r.StatusCode, body)
	require.Contains(t, body, "NOPERM")
	e := g.events("/c/SUBSCRIBE/news", "Authorization", basic("ann", "pw"))
	e.expect("event: subscribed", `data: {"subscribed":["news"]}`, "")
	g.engineDo("ACL", "DELUSER", "ann")
	e.line() // retry
	e.expect("event: goodbye")
	if ownOf(t) != nil {
		e.expect(`data: {"push":"goodbye","code":1008,"reason":"the user was deleted"}`, "")
	} else {
		require.Contains(t, e.line(), `"code":1011`)
		e.line()
	}
	e.ends()
}

// A stream that says nothing still writes from time to time, so that proxies do not end it.
func TestHTTPEventsStayAlive(t *testing.T) {
	g := startHTTP(t, func(o *gatewayOptions) { o.Ping = time.Millisecond })
	e := g.events("/c/SUBSCRIBE/room")
	for range 3 {
		for e.line() != ":" {
		}
	}
}

// A reader that is too slow is cut. Nobody waits for it, and it is told if it reads on.
func TestHTTPSlowReader(t *testing.T) {
	g := startHTTP(t, func(o *gatewayOptions) { o.MaxQueue, o.WriteTimeout = 256<<10, patience })
	slow, good := g.events("/c/SUBSCRIBE/c"), g.events("/c/SUBSCRIBE/c")
	good.expect("event: subscribed", `data: {"subscribed":["c"]}`, "")
	payload := strings.Repeat("x", 60<<10)
	for sent := 0; g.requests.slow.Load() == 0; sent++ {
		require.Less(t, sent, 10000, "it is never cut off")
		require.Positive(t, g.engineDo("PUBLISH", "c", payload).Int)
		require.Contains(t, good.line(), payload, "the other one gets everything")
		require.Empty(t, good.line())
	}
	g.eventually(func() bool { return g.engineDo("PUBLISH", "c", "x").Int == 1 }, "it is no subscriber any more")
	slow.expect("event: subscribed", `data: {"subscribed":["c"]}`, "")
	line := slow.line()
	for ; strings.HasPrefix(line, `data: {"push":"message"`); line = slow.line() {
		require.Contains(t, line, payload)
		require.Empty(t, slow.line())
	}
	require.Regexp(t, `^retry: \d+$`, line)
	slow.expect("event: goodbye")
	require.Contains(t, slow.line(), `"code":4008`)
}

// A reader that takes nothing at all is cut when a write takes too long, although its queue is not full.
func TestHTTPStalledReader(t *testing.T) {
	g := startHTTP(t, func(o *gatewayOptions) { o.MaxQueue, o.WriteTimeout = 1<<30, 50*time.Millisecond })
	g.events("/c/SUBSCRIBE/c")
	payload := strings.Repeat("x", 1<<20)
	g.eventually(func() bool {
		g.engineDo("PUBLISH", "c", payload)
		return g.requests.slow.Load() == 1
	}, "it is cut off")
	g.eventually(func() bool { return g.places() == 0 && g.engineDo("PUBLISH", "c", "x").Int == 0 }, "its place is free")
}

// The tests above also hold with our own engine.
func TestHTTPWithOurOwnEngine(t *testing.T) {
	withOwnEngine(t)
	for name, test := range map[string]func(*testing.T){
		"commands": TestHTTPCommands, "reads": TestHTTPGetOnlyReads, "denied": TestHTTPCommandsThatAreDenied, "renamed": TestHTTPRenamedCommands,
		"errors": TestHTTPErrorsOfTheEngine, "login": TestHTTPLogin, "sessions": TestHTTPSessionsShareNothing, "hangs up": TestHTTPClientHangsUp,
		"wait": TestHTTPWaitIsBounded, "killed": TestHTTPSessionKilled, "drain": TestHTTPDrain, "events": TestHTTPEvents,
		"users": TestHTTPEventsOfUsers, "slow": TestHTTPSlowReader, "stalled": TestHTTPStalledReader, "places": TestHTTPPlaces,
	} {
		t.Run(name, test)
	}
}

// Replies are bounded, each by itself and all together.
func TestHTTPLargeReplies(t *testing.T) {
	g := startHTTP(t, func(o *gatewayOptions) { o.WriteTimeout = patience })
	g.engineDo("SETRANGE", "large", fmt.Sprint(40<<20), "x")
	g.engineDo("SETRANGE", "too large", fmt.Sprint(maxHTTPReply), "x")
	r, body := g.ask("GET", "/c/STRLEN/large", "")
	require.Equal(t, 200, r.StatusCode, body)
	r, body = g.ask("GET", "/c/GET/too%20large.raw", "")
	require.Equal(t, 400, r.StatusCode)
	require.Contains(t, body, "ask for a part of it")
	r, body = g.ask("GET", "/c/GET/large.raw", "")
	require.Equal(t, 200, r.StatusCode)
	require.Len(t, body, 40<<20+1)
	g.eventually(func() bool { return g.requests.largeReplies.Load() == 0 }, "given back")
	g.requests.largeReplies.Store(maxHTTPReplies - 20<<20) // as others hold
	r, body = g.ask("GET", "/c/GET/large.raw", "")
	require.Equal(t, 503, r.StatusCode)
	require.Contains(t, body, "too many large replies at once")
	require.Equal(t, "1", r.Header.Get("Retry-After"))
	r, _ = g.ask("GET", "/c/GETRANGE/large/0/9", "")
	require.Equal(t, 200, r.StatusCode, "small ones are welcome")
	g.eventually(func() bool { return g.requests.largeReplies.Load() == maxHTTPReplies-20<<20 }, "given back")
}
