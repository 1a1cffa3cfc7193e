package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"

	"byor/pkg/resp"
)

func TestJSONCommands(t *testing.T) {
	g := startGateway(t, nil)
	for _, proto := range []string{"", protoJSON} { // it is the default too
		p := g.dial(proto)
		p.expect(`{"id":1,"op":"cmd","args":["SET","k","v"]}`, `{"id":1,"result":"OK"}`)
		p.expect(`{"id":"two","op":"cmd","args":["GET","k"]}`, `{"id":"two","result":"v"}`)
		p.expect(`{"id":3,"op":"cmd","args":["GET","nosuch"]}`, `{"id":3,"result":null}`)
		p.expect(`{"id":4,"op":"cmd","args":["SET","bin",{"b64":"/wA="}]}`, `{"id":4,"result":"OK"}`)
		p.expect(`{"id":5,"op":"cmd","args":["GET","bin"]}`, `{"id":5,"result":{"b64":"/wA="}}`)
		p.expect(`{"id":6,"op":"cmd","args":["SET","n",9007199254740993]}`, `{"id":6,"result":"OK"}`)
		p.expect(`{"id":7,"op":"cmd","args":["INCR","n"]}`, `{"id":7,"result":{"int":"9007199254740994"}}`)
		p.expect(`{"id":8,"op":"cmd","args":["LPUSH","k","x"]}`,
			`{"id":8,"error":{"code":"WRONGTYPE","message":"Operation against a key holding the wrong kind of value","retry":false}}`)
		p.expect(`{"id":9,"op":"cmd","args":["HSET","h","a","1"]}`, `{"id":9,"result":1}`)
		p.expect(`{"id":10,"op":"cmd","args":["HGETALL","h"]}`, `{"id":10,"result":{"map":[["a","1"]]}}`)
		p.expect(`{"id":11,"op":"cmd","args":["ZADD","z",1.5,"m"]}`, `{"id":11,"result":1}`)
		p.expect(`{"id":12,"op":"cmd","args":["ZSCORE","z","m"]}`, `{"id":12,"result":1.5}`)
		p.expect(`{"id":13,"op":"ping"}`, `{"id":13,"result":"PONG"}`)
		p.expect(`{"op":"ping"}`, `{"id":null,"result":"PONG"}`)
		p.expect(`{"id":14,"op":"cmd","args":["DEL","k","n","h","z","bin"]}`, `{"id":14,"result":5}`)
	}
}

func TestJSONTransactions(t *testing.T) {
	p := startGateway(t, nil).dial(protoJSON)
	p.expect(`{"id":1,"op":"cmd","args":["MULTI"]}`, `{"id":1,"result":"OK"}`)
	p.expect(`{"id":2,"op":"cmd","args":["SET","s","x"]}`, `{"id":2,"result":"QUEUED"}`)
	p.expect(`{"id":3,"op":"cmd","args":["INCR","s"]}`, `{"id":3,"result":"QUEUED"}`)
	p.expect(`{"id":4,"op":"cmd","args":["EXEC"]}`,
		`{"id":4,"result":["OK",{"err":{"code":"ERR","message":"value is not an integer or out of range","retry":false}}]}`)
	// What is refused makes the transaction fail, as a refusal by Redis does.
	p.expect(`{"id":5,"op":"cmd","args":["MULTI"]}`, `{"id":5,"result":"OK"}`)
	p.expect(`{"id":6,"op":"cmd","args":["SET","never","x"]}`, `{"id":6,"result":"QUEUED"}`)
	p.expect(`{"id":7,"op":"cmd","args":["FLUSHALL"]}`, denied(7, "administrative commands are denied over WebSocket"))
	p.expect(`{"id":8,"op":"cmd","args":["EXEC"]}`,
		`{"id":8,"error":{"code":"EXECABORT","message":"Transaction discarded because of previous errors.","retry":false}}`)
	p.expect(`{"id":9,"op":"cmd","args":["EXISTS","never"]}`, `{"id":9,"result":0}`)
}

// What is wrong is answered, and the connection lives.
func TestJSONMistakesAreAnswered(t *testing.T) {
	p := startGateway(t, nil).dial(protoJSON)
	for _, say := range []string{
		`{"id":1,"op":"nosuch"}`, `{"id":1}`, `{"id":1,"op":"cmd"}`, `{"id":1,"op":"cmd","args":[]}`, `{"id":1,"op":"cmd","args":[true]}`,
		`{"id":1,"op":"cmd","args":["SET",{"b64":"*"}]}`, `{"id":1,"op":"cmd","args":[{"int":"x"}]}`, `{"id":1,"op":"sub"}`,
		`{"id":1,"op":"pub","channel":"c"}`, `{"id":1,"op":"cmd","args":"PING"}`,
	} {
		p.say(say)
		answer := p.hear()
		require.Contains(t, answer, `{"id":1,"error":{"code":"ERR"`, say)
	}
	for _, say := range []string{`{`, `[]`, `"x"`, `nonsense`, `{"id":1,`} {
		p.say(say)
		require.Contains(t, p.hear(), `{"id":null,"error":{"code":"ERR"`, say)
	}
	p.expect(`{"id":2,"op":"ping"}`, `{"id":2,"result":"PONG"}`)
}

// Several operations in one message, and one operation over several lines.
func TestJSONLines(t *testing.T) {
	p := startGateway(t, nil).dial(protoJSON)
	var say strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&say, "{\"id\":%d,\"op\":\"cmd\",\"args\":[\"INCR\",\"n\"]}\n", i)
	}
	p.say(say.String())
	for i := range 1000 {
		require.JSONEq(t, fmt.Sprintf(`{"id":%d,"result":%d}`, i, i+1), p.hear())
	}
	p.expect("{\"id\":1,\n\"op\":\n\"ping\"}", `{"id":1,"result":"PONG"}`)
	p.say("{\"id\":1,\"op\":\"ping\"}\r\n\nbroken\n{\"id\":2,\"op\":\"ping\"}\n")
	answers := p.hear() + p.hear() + p.hear() // what the gateway knows by itself may overtake the engine
	for _, want := range []string{`"error"`, `{"id":1,"result":"PONG"}`, `{"id":2,"result":"PONG"}`} {
		require.Contains(t, answers, want)
	}
}

func TestJSONPubSub(t *testing.T) {
	g := startGateway(t, nil)
	p, q := g.dial(protoJSON), g.dial(protoJSON)
	p.expect(`{"id":1,"op":"sub","channels":["room:1","room:1"],"patterns":["log.*"]}`, `{"id":1,"result":{"subscribed":["room:1","log.*"]}}`)
	q.expect(`{"id":1,"op":"pub","channel":"room:1","data":"hi"}`, `{"id":1,"result":1}`)
	p.expect("", `{"push":"message","channel":"room:1","data":"hi"}`)
	// A push names its channel, and the pattern that matched.
	q.expect(`{"id":2,"op":"pub","channel":"log.a","data":{"b64":"/wA="}}`, `{"id":2,"result":1}`)
	p.expect("", `{"push":"pmessage","pattern":"log.*","channel":"log.a","data":{"b64":"/wA="}}`)
	// From outside too, and commands stay legal while subscribed.
	require.Equal(t, int64(1), g.engineDo("PUBLISH", "room:1", "from redis-cli").Int)
	p.expect("", `{"push":"message","channel":"room:1","data":"from redis-cli"}`)
	p.expect(`{"id":2,"op":"cmd","args":["SET","k","v"]}`, `{"id":2,"result":"OK"}`)

	p.expect(`{"id":3,"op":"unsub","channels":["room:1"]}`, `{"id":3,"result":{"unsubscribed":["room:1"]}}`)
	q.expect(`{"id":3,"op":"pub","channel":"room:1","data":"x"}`, `{"id":3,"result":0}`)
	p.expect(`{"id":4,"op":"unsub"}`, `{"id":4,"result":{"unsubscribed":["log.*"]}}`)
	p.expect(`{"id":5,"op":"unsub"}`, `{"id":5,"result":{"unsubscribed":[]}}`)
	require.Equal(t, int64(0), g.engineDo("PUBSUB", "NUMPAT").Int)
}

// The browser's publish reaches a Redis client.
func TestJSONPublishReachesRedisClients(t *testing.T) {
	g := startGateway(t, nil)
	conn, err := g.opts.Dial(nil)
	require.NoError(t, err)
	defer func() { _ = conn.Close() }()
	_, err = conn.Write([]byte(command("SUBSCRIBE", "c")))
	require.NoError(t, err)
	r := resp.NewReader(conn)
	_, err = r.ReadValue()
	require.NoError(t, err)
	g.dial(protoJSON).expect(`{"id":1,"op":"pub","channel":"c","data":"from the page"}`, `{"id":1,"result":1}`)
	v, err := r.ReadValue()
	require.NoError(t, err)
	require.Equal(t, "from the page", string(v.Elems[2].Str))
}

// The answer to sub comes before the first message, even when messages fall
// between the confirmations of its two commands.
func TestJSONSubscriptionIsAnsweredFirst(t *testing.T) {
	g := startGateway(t, nil)
	stop := make(chan struct{})
	published := make(chan struct{})
	go func() {
		defer close(published)
		for {
			select {
			case <-stop:
				return
			default:
				_, _ = g.engine.do("PUBLISH", "c", "x")
			}
		}
	}()
	for range 30 {
		p := g.dial(protoJSON)
		p.say(`{"id":1,"op":"sub","channels":["c"],"patterns":["d*"]}`)
		require.JSONEq(t, `{"id":1,"result":{"subscribed":["c","d*"]}}`, p.hear())
		require.JSONEq(t, `{"push":"message","channel":"c","data":"x"}`, p.hear())
		_ = p.Close()
	}
	close(stop)
	<-published
}

// The same with an engine that says things in the worst order.
func TestJSONSubscriptionHoldsMessagesBack(t *testing.T) {
	worst := dialInMemory(func(c net.Conn) {
		r := resp.NewCommandReader(c)
		for range 3 { // HELLO, SUBSCRIBE, PSUBSCRIBE
			args, err := r.ReadCommand()
			if err != nil {
				return
			}
			_, _ = io.WriteString(c, map[string]string{
				"HELLO":      "%1\r\n+id\r\n:7\r\n",
				"SUBSCRIBE":  ">3\r\n+subscribe\r\n+c\r\n:1\r\n>3\r\n+message\r\n+c\r\n+early\r\n",
				"PSUBSCRIBE": ">3\r\n+psubscribe\r\n+d*\r\n:2\r\n>3\r\n+message\r\n+c\r\n+late\r\n",
			}[string(args[0])])
		}
		_, _ = r.ReadCommand()
	})
	g := startGateway(t, func(o *gatewayOptions) { o.Dial = worst })
	g.dial(protoJSON).expect(`{"id":1,"op":"sub","channels":["c"],"patterns":["d*"]}`,
		`{"id":1,"result":{"subscribed":["c","d*"]}}`,
		`{"push":"message","channel":"c","data":"early"}`, `{"push":"message","channel":"c","data":"late"}`)
}

func TestJSONSubscriptionLimit(t *testing.T) {
	p := startGateway(t, func(o *gatewayOptions) { o.MaxSubscriptions = 2 }).dial(protoJSON)
	p.expect(`{"id":1,"op":"sub","channels":["a"],"patterns":["b"]}`, `{"id":1,"result":{"subscribed":["a","b"]}}`)
	p.expect(`{"id":2,"op":"sub","channels":["c"]}`, `{"id":2,"error":{"code":"LIMIT","message":"too many subscriptions","retry":false}}`)
	p.expect(`{"id":3,"op":"sub","channels":["a"]}`, `{"id":3,"result":{"subscribed":["a"]}}`)
	p.expect(`{"id":4,"op":"unsub","channels":["a"]}`, `{"id":4,"result":{"unsubscribed":["a"]}}`)
	p.expect(`{"id":5,"op":"sub","channels":["c"]}`, `{"id":5,"result":{"subscribed":["c"]}}`)
}

func TestJSONHello(t *testing.T) {
	g := startGateway(t, nil)
	p := g.dial(protoJSON)
	p.say(`{"id":1,"op":"hello","name":"ui"}`)
	var answer struct {
		Result struct {
			Client int64
			User   string
			Ping   float64
			Limits map[string]float64
		}
	}
	require.NoError(t, json.Unmarshal([]byte(p.hear()), &answer))
	require.Positive(t, answer.Result.Client)
	require.Equal(t, "ui", answer.Result.User)
	require.InDelta(t, 25, answer.Result.Ping, 0)
	require.InDelta(t, 64<<10, answer.Result.Limits["message"], 0)
	p.expect(`{"id":2,"op":"cmd","args":["CLIENT","ID"]}`, fmt.Sprintf(`{"id":2,"result":%d}`, answer.Result.Client))
	p.expect(`{"id":3,"op":"cmd","args":["CLIENT","GETNAME"]}`, `{"id":3,"result":"ui"}`)
	p.say(`{"id":4,"op":"hello","name":"no good"}`)
	require.Contains(t, p.hear(), "Client names cannot contain spaces")
	p.expect(`{"id":5,"op":"ping"}`, `{"id":5,"result":"PONG"}`)
}

func withPassword(o *gatewayOptions) { o.Password = func() string { return "secret" } }

func TestJSONPassword(t *testing.T) {
	g := startGateway(t, withPassword, "--requirepass", "secret")
	p := g.dial(protoJSON)
	p.expect(`{"id":1,"op":"cmd","args":["PING"]}`, `{"id":1,"error":{"code":"NOAUTH","message":"log in first, with hello","retry":false}}`)
	p.say(`{"id":2,"op":"hello"}`)
	require.Contains(t, p.hear(), `"code":"NOAUTH","message":"HELLO must be called with the client already authenticated`)
	p.expect(`{"id":3,"op":"hello","auth":{"pass":"wrong"}}`,
		`{"id":3,"error":{"code":"WRONGPASS","message":"invalid username-password pair or user is disabled.","retry":false}}`)
	p.say(`{"id":4,"op":"hello","auth":{"user":"default","pass":"secret"},"name":"ann"}`)
	require.Contains(t, p.hear(), `"user":"ann"`)
	p.expect(`{"id":5,"op":"cmd","args":["SET","k","v"]}`, `{"id":5,"result":"OK"}`)

	q := g.dial(protoJSON)
	for range 3 {
		q.say(`{"id":1,"op":"hello","auth":{"pass":"wrong"}}`)
		require.Contains(t, q.hear(), "WRONGPASS")
	}
	q.say(`{"id":1,"op":"hello","auth":{"pass":"secret"}}`)
	q.expectClose(websocket.ClosePolicyViolation)
}

func TestHelloTimeout(t *testing.T) {
	g := startGateway(t, func(o *gatewayOptions) {
		withPassword(o)
		o.HelloTimeout = 100 * time.Millisecond
	}, "--requirepass", "secret")
	g.dial(protoJSON).expectClose(closeHelloTimeout)
	p := g.dial(protoRESP)
	p.raw(command("AUTH", "wrong") + command("PING"))
	p.expectClose(closeHelloTimeout)

	ok, okRESP := g.dial(protoJSON), g.dial(protoRESP)
	ok.say(`{"id":1,"op":"hello","auth":{"pass":"secret"}}`)
	require.Contains(t, ok.hear(), `"result"`)
	okRESP.raw(command("AUTH", "secret"))
	okRESP.hearRaw("+OK\r\n")
	g.dial(protoJSON).expectClose(closeHelloTimeout) // by now theirs would have come too
	ok.expect(`{"id":2,"op":"ping"}`, `{"id":2,"result":"PONG"}`)
	okRESP.raw(command("PING"))
	okRESP.hearRaw("+PONG\r\n")
}

func TestPresence(t *testing.T) {
	g := startGateway(t, nil)
	enter := func(name string) *peer {
		p := g.dial(protoJSON)
		p.say(`{"id":0,"op":"hello","name":"` + name + `"}`)
		p.hear()
		return p
	}
	watcher := g.dial(protoJSON)
	watcher.expect(`{"id":1,"op":"sub","patterns":["__presence__:*"]}`, `{"id":1,"result":{"subscribed":["__presence__:*"]}}`)

	ann := enter("ann")
	ann.expect(`{"id":1,"op":"sub","channels":["room"],"presence":true}`,
		`{"id":1,"result":{"subscribed":["room"],"presence":{"room":{"users":1,"members":["ann"]}}}}`,
		`{"push":"presence","channel":"room","users":1,"join":["ann"],"leave":[]}`)
	bob := enter("bob")
	bob.expect(`{"id":1,"op":"sub","channels":["room"],"presence":true}`,
		`{"id":1,"result":{"subscribed":["room"],"presence":{"room":{"users":2,"members":["ann","bob"]}}}}`)
	ann.expect("", `{"push":"presence","channel":"room","users":2,"join":["bob"],"leave":[]}`)
	// A second tab is no second user, and closing it is no leaving.
	bob2 := enter("bob")
	bob2.expect(`{"id":1,"op":"sub","channels":["room"],"presence":true}`,
		`{"id":1,"result":{"subscribed":["room"],"presence":{"room":{"users":2,"members":["ann","bob"]}}}}`)
	_ = bob2.Close()
	g.eventually(func() bool { return len(g.open()) == 3 }, "the tab is gone")
	bob.expect(`{"id":2,"op":"unsub","channels":["room"]}`,
		`{"push":"presence","channel":"room","users":2,"join":["bob"],"leave":[]}`, `{"id":2,"result":{"unsubscribed":["room"]}}`)
	ann.expect("", `{"push":"presence","channel":"room","users":1,"join":[],"leave":["bob"]}`)
	ann.expect(`{"id":3,"op":"presence","channels":["room","empty"]}`,
		`{"id":3,"result":{"room":{"users":1,"members":["ann"]},"empty":{"users":0,"members":[]}}}`)
	// Any Redis client can watch it too.
	watcher.say(`{"id":2,"op":"ping"}`)
	require.Contains(t, watcher.hear(), `"push":"pmessage","pattern":"__presence__:*","channel":"__presence__:room"`)
	_ = ann.Close()
	g.eventually(func() bool {
		g.presence.mu.Lock()
		defer g.presence.mu.Unlock()
		return len(g.presence.rooms) == 0
	}, "an empty room is forgotten")
}

func TestPresenceOfManyIsANumber(t *testing.T) {
	p := newPresence(time.Hour, func(string, []byte) {})
	defer p.close()
	for i := range presenceMembers {
		p.join("c", fmt.Sprint(i), &socket{done: make(chan struct{})})
	}
	require.Contains(t, string(p.appendSnapshots(nil, []string{"c"})), `"members"`)
	p.join("c", "one more", &socket{done: make(chan struct{})})
	require.JSONEq(t, `{"c":{"users":101}}`, string(p.appendSnapshots(nil, []string{"c"})))
	gone := make(chan struct{})
	close(gone)
	p.join("c", "ghost", &socket{done: gone})
	require.JSONEq(t, `{"c":{"users":101}}`, string(p.appendSnapshots(nil, []string{"c"})), "who has left cannot join")
}

func TestPresenceCannotBeForged(t *testing.T) {
	g := startGateway(t, nil)
	p := g.dial(protoJSON)
	p.expect(`{"id":1,"op":"pub","channel":"__presence__:room","data":"x"}`, denied(1, "presence is announced by the server only"))
	p.expect(`{"id":2,"op":"cmd","args":["PUBLISH","__presence__:room","x"]}`, denied(2, "presence is announced by the server only"))
	q := g.dial(protoRESP)
	q.raw(command("publish", "__presence__:room", "x"))
	q.hearRaw(refusedRaw("PUBLISH", "presence is announced by the server only"))
	if !own {
		return
	}
	// Nor by any other client of the engine, in whatever way; what the gateway announces arrives.
	conn, err := g.opts.Dial(&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1})
	require.NoError(t, err)
	defer conn.Close()
	r := resp.NewReader(conn)
	const forbidden = "NOPERM channels that begin with '__presence__:' are the server's own"
	for _, name := range []string{"PUBLISH", "SPUBLISH"} {
		for _, in := range []struct{ line, want string }{{name, forbidden}, {"MULTI", "OK"}, {name, "QUEUED"}} {
			args := []string{in.line}
			if in.line == name {
				args = append(args, "__presence__:room", "x")
			}
			_, err = conn.Write(resp.AppendCommandStrings(nil, args...))
			require.NoError(t, err)
			v, err := r.ReadValue()
			require.NoError(t, err)
			require.Equal(t, in.want, string(v.Str))
		}
		_, err = conn.Write(resp.AppendCommandStrings(nil, "EXEC"))
		require.NoError(t, err)
		v, err := r.ReadValue()
		require.NoError(t, err)
		require.Equal(t, forbidden, string(v.Elems[0].Str))
	}
	p.expect(`{"id":3,"op":"sub","channels":["__presence__:room"]}`, `{"id":3,"result":{"subscribed":["__presence__:room"]}}`)
	g.presence.publish("room", []byte("genuine"))
	require.Contains(t, p.hear(), "genuine")
}

func TestValuesAsJSON(t *testing.T) {
	for in, want := range map[string]string{
		"+OK\r\n": `"OK"`, "$3\r\na\"\x01\r\n": `"a\"\u0001"`, "$2\r\n\xff\x00\r\n": `{"b64":"/wA="}`, "$-1\r\n": `null`, "*-1\r\n": `null`,
		"_\r\n": `null`, ":9007199254740991\r\n": `9007199254740991`, ":9007199254740992\r\n": `{"int":"9007199254740992"}`,
		":-9007199254740992\r\n": `{"int":"-9007199254740992"}`, "#t\r\n": `true`, "#f\r\n": `false`, ",1.5\r\n": `1.5`, ",inf\r\n": `{"double":"inf"}`,
		",-inf\r\n": `{"double":"-inf"}`, ",nan\r\n": `{"double":"nan"}`, "(12345678901234567890\r\n": `{"int":"12345678901234567890"}`,
		"=7\r\ntxt:abc\r\n": `"abc"`, "*2\r\n:1\r\n*0\r\n": `[1,[]]`, "~2\r\n:1\r\n:2\r\n": `{"set":[1,2]}`,
		"%2\r\n:1\r\n+a\r\n*1\r\n:2\r\n_\r\n": `{"map":[[1,"a"],[[2],null]]}`,
		"*1\r\n-WRONGTYPE no\r\n":             `[{"err":{"code":"WRONGTYPE","message":"no","retry":false}}]`,
		"*1\r\n!11\r\nLOADING now\r\n":        `[{"err":{"code":"LOADING","message":"now","retry":true}}]`,
		"-no code\r\n":                        `{"err":{"code":"ERR","message":"no code","retry":false}}`,
		"$6\r\n\xe2\x82\xac\t\r\n\r\n":        `"€\t\r\n"`,
	} {
		v, err := resp.NewReader(strings.NewReader(in)).ReadValue()
		require.NoError(t, err, "%q", in)
		got := appendValue(nil, v)
		require.True(t, json.Valid(got), "%q: %s", in, got)
		require.Equal(t, want, string(got), "%q", in)
	}
}

// Bytes that go in as an argument come back as they were.
func FuzzArgument(f *testing.F) {
	f.Add([]byte("plain"))
	f.Add([]byte("\xff\x00\"\\\n\u2028"))
	f.Fuzz(func(t *testing.T, text []byte) {
		raw := appendText(nil, text)
		require.True(t, json.Valid(raw))
		back, err := argument(raw)
		require.NoError(t, err)
		require.True(t, bytes.Equal(text, back))
		_, _ = argument(json.RawMessage(text)) // must not panic
	})
}

func TestPushCache(t *testing.T) {
	var c pushCache
	push := func(parts ...string) []resp.Value {
		var vs []resp.Value
		for _, p := range parts {
			vs = append(vs, resp.Value{Kind: resp.BulkString, Str: []byte(p)})
		}
		return vs
	}
	a := c.encode(push("message", "c", "x"))
	require.JSONEq(t, `{"push":"message","channel":"c","data":"x"}`, string(a))
	b := c.encode(push("message", "c", "x"))
	require.Same(t, &a[0], &b[0], "encoded once")
	require.JSONEq(t, `{"push":"pmessage","pattern":"p","channel":"c","data":"x"}`, string(c.encode(push("pmessage", "p", "c", "x"))))
	require.JSONEq(t, `{"push":"message","channel":"c","data":"y"}`, string(c.encode(push("message", "c", "y"))))
}

// The last message, byte for byte, is known without being parsed; anything else is left in the stream.
func TestPushCacheNext(t *testing.T) {
	var c pushCache
	a, b := ">3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$2\r\nhi\r\n", ">3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$2\r\nho\r\n"
	in := bufio.NewReader(strings.NewReader(a + a + b + "+OK\r\n" + a[:9]))
	r := resp.NewReaderSize(in, in.Size())
	require.Nil(t, c.next(in), "nothing is known yet")
	v, err := r.ReadValue()
	require.NoError(t, err)
	known := c.encode(v.Elems)
	require.Equal(t, string(known), string(c.next(in)))
	require.Nil(t, c.next(in), "another message")
	v, err = r.ReadValue()
	require.NoError(t, err)
	require.Equal(t, "ho", string(v.Elems[2].Str))
	require.Nil(t, c.next(in), "a reply")
	v, err = r.ReadValue()
	require.NoError(t, err)
	require.Equal(t, "OK", string(v.Str))
	require.Nil(t, c.next(in), "half a message")
	_, err = r.ReadValue()
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	require.Nil(t, c.next(in), "the end")
}

func TestBucket(t *testing.T) {
	now := time.Unix(0, 0)
	b := newBucket(10, 3, now)
	for range 3 {
		require.Zero(t, b.take(now))
	}
	require.Equal(t, 100*time.Millisecond, b.take(now).Round(time.Microsecond))
	now = now.Add(100 * time.Millisecond)
	require.Zero(t, b.take(now))
	require.NotZero(t, b.take(now))
	now = now.Add(time.Hour)
	for range 3 {
		require.Zero(t, b.take(now))
	}
	require.NotZero(t, b.take(now), "it never holds more than the burst")
	unlimited := newBucket(0, 0, now)
	for range 100 {
		require.Zero(t, unlimited.take(now))
	}
	require.False(t, math.Signbit(b.tokens))
}

// The same again with our own engine instead of the real one: what the page
// sees must not depend on which it is.
func TestWithOurOwnEngine(t *testing.T) {
	withOwnEngine(t)
	for name, test := range map[string]func(*testing.T){
		"transactions": TestJSONTransactions, "mistakes": TestJSONMistakesAreAnswered, "lines": TestJSONLines,
		"pubsub": TestJSONPubSub, "publish": TestJSONPublishReachesRedisClients, "answered first": TestJSONSubscriptionIsAnsweredFirst,
		"hello": TestJSONHello, "password": TestJSONPassword, "hello timeout": TestHelloTimeout, "presence": TestPresence,
		"forged presence": TestPresenceCannotBeForged, "resp": TestRESPIsWhatTCPIs, "frames": TestRESPFramesAreNotCommands,
		"login": TestRESPLogin, "quit": TestRESPProtocolErrorAndQuit, "administration": TestAdministrationIsDenied, "renamed": TestRenamedCommandsAreJudgedByTheirOldNames,
		"one writer": TestOneWriter, "slow": TestSlowConsumer, "many": TestManyOperationsAtOnce, "killed": TestSessionKilled,
		"full": TestEngineFull, "metrics": TestMetricsAndHealth, "sizes": TestMessageSizes,
	} {
		t.Run(name, test)
	}
}

// A session that came through the gateway has the browser's address.
func TestBrowsersAreClientsLikeAnyOther(t *testing.T) {
	withOwnEngine(t)
	g := startGateway(t, nil)
	p := g.dial(protoJSON)
	p.say(`{"id":1,"op":"hello","name":"tab"}`)
	p.hear()
	require.Contains(t, string(g.engineDo("CLIENT", "LIST").Str), "addr="+p.NetConn().LocalAddr().String()+" ")
	require.Equal(t, int64(1), g.engineDo("CLIENT", "KILL", "ADDR", p.NetConn().LocalAddr().String()).Int)
	p.expectClose(websocket.ClosePolicyViolation)
}

// Who is being let in while Drain begins is sent away like the others, and not cut off at its end.
func TestDrainFindsWhoIsBeingLetIn(t *testing.T) {
	var g *testGateway
	drained := make(chan error, 1)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	g = startGateway(t, func(o *gatewayOptions) {
		dial := o.Dial
		o.Dial = func(remote net.Addr) (net.Conn, error) { // a place is taken, and there is no socket yet
			go func() { drained <- g.Drain(ctx) }()
			g.eventually(g.draining.Load, "draining")
			return dial(remote)
		}
	})
	p := g.dial(protoJSON)
	p.expect("", `{"push":"goodbye","code":1001,"reason":"shutdown","reconnectMs":[500,5000]}`)
	p.expectClose(websocket.CloseGoingAway)
	require.NoError(t, <-drained)
}
