package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"
)

// byor.json.v1: operations and their answers.

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

// What MULTI would turn into QUEUED is understood or refused: nothing is believed done that was not.
func TestOperationsInsideMulti(t *testing.T) {
	g := startGateway(t, nil)
	p := g.dial(protoJSON)
	multi := func(id int, ops ...string) {
		p.expect(fmt.Sprintf(`{"id":%d,"op":"cmd","args":["MULTI"]}`, id), fmt.Sprintf(`{"id":%d,"result":"OK"}`, id))
		for i := 0; i < len(ops); i += 2 {
			p.expect(ops[i], ops[i+1])
		}
	}
	refused := func(id int, op string) string {
		return fmt.Sprintf(`{"id":%d,"error":{"code":"NOPERM","message":"%s is for outside of MULTI","retry":false}}`, id, op)
	}
	const aborted = `{"id":9,"error":{"code":"EXECABORT","message":"Transaction discarded because of previous errors.","retry":false}}`
	for _, op := range []string{"sub", "unsub"} {
		multi(1, `{"id":2,"op":"`+op+`","channels":["c"]}`, refused(2, op))
		p.expect(`{"id":9,"op":"cmd","args":["EXEC"]}`, aborted)
	}
	multi(1, `{"id":2,"op":"hello","auth":{"user":"somebody","pass":"wrong"}}`, refused(2, "hello"))
	p.expect(`{"id":9,"op":"cmd","args":["EXEC"]}`, aborted)
	multi(1, `{"id":2,"op":"ping"}`, `{"id":2,"result":"QUEUED"}`, `{"id":3,"op":"pub","channel":"c","data":"x"}`, `{"id":3,"result":"QUEUED"}`)
	p.expect(`{"id":9,"op":"cmd","args":["EXEC"]}`, `{"id":9,"result":["PONG",0]}`)
	p.say(`{"id":1,"op":"sub","channels":["c"],"presence":true}`)
	require.Contains(t, p.hear(), `"members":["guest-`)
	for msg := p.hear(); ; msg = p.hear() { // who it is has not changed
		require.NotContains(t, msg, "somebody")
		if strings.Contains(msg, `"presence"`) {
			break
		}
	}
}

// A transaction that the gateway does not know of has no room for its operations either: here EXEC was refused.
func TestUnknownTransaction(t *testing.T) {
	withOwnEngine(t)
	g := startGateway(t, nil, "--rename-command", "EXEC", "execute")
	p := g.dial(protoJSON)
	p.expect(`{"id":1,"op":"cmd","args":["MULTI"]}`, `{"id":1,"result":"OK"}`)
	p.say(`{"id":2,"op":"cmd","args":["EXEC"]}`)
	require.Contains(t, p.hear(), "unknown command")
	for _, op := range []string{`"hello","auth":{"user":"somebody","pass":"wrong"}`, `"sub","channels":["a"],"patterns":["b"]`, `"unsub","channels":["a"]`, `"unsub"`} {
		p.say(`{"id":3,"op":` + op + `}`)
		require.Contains(t, p.hear(), `is for outside of MULTI`, op)
	}
	p.expect(`{"id":4,"op":"cmd","args":["DISCARD"]}`, `{"id":4,"result":"OK"}`)
	p.expect(`{"id":5,"op":"sub","channels":["a"]}`, `{"id":5,"result":{"subscribed":["a"]}}`)
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

// A browser that fires off more operations than may be on their way has to
// wait, and all are answered.
func TestManyOperationsAtOnce(t *testing.T) {
	p := startGateway(t, nil).dial(protoJSON)
	line := `{"op":"ping"}` + "\n"
	const each, messages = 4000, 3
	go func() {
		for range messages {
			_ = p.WriteMessage(websocket.TextMessage, []byte(strings.Repeat(line, each)))
		}
	}()
	for range each * messages {
		require.JSONEq(t, `{"id":null,"result":"PONG"}`, p.hear())
	}
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

// The same again with our own engine instead of the real one: what the page
// sees must not depend on which it is.
func TestWithOurOwnEngine(t *testing.T) {
	withOwnEngine(t)
	for name, test := range map[string]func(*testing.T){
		"transactions": TestJSONTransactions, "mistakes": TestJSONMistakesAreAnswered, "lines": TestJSONLines,
		"pubsub": TestJSONPubSub, "publish": TestJSONPublishReachesRedisClients, "answered first": TestJSONSubscriptionIsAnsweredFirst,
		"hello": TestJSONHello, "password": TestJSONPassword, "users": TestUsersOverWebSocket, "hello timeout": TestHelloTimeout, "presence": TestPresence,
		"forged presence": TestPresenceCannotBeForged, "resp": TestRESPIsWhatTCPIs, "frames": TestRESPFramesAreNotCommands,
		"login": TestRESPLogin, "quit": TestRESPProtocolErrorAndQuit, "administration": TestAdministrationIsDenied, "renamed": TestRenamedCommandsAreJudgedByTheirOldNames,
		"one writer": TestOneWriter, "slow": TestSlowConsumer, "slow raw": TestSlowRawSubscriber, "no pongs": TestPeerThatTakesNoPongsDelaysNobody, "many": TestManyOperationsAtOnce, "killed": TestSessionKilled,
		"large": TestLargeReplies, "never reads": TestAsksAndNeverReads, "raw subscriber": TestRawSubscriberWithLargeReplies,
		"stalled": TestStalledPeerDelaysNobody, "told": TestStalledPeersAreTold, "drain": TestDrain, "full": TestEngineFull, "metrics": TestMetricsAndHealth, "sizes": TestMessageSizes,
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
	p.expectClose(closeKilled)
}
