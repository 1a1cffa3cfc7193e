package main

import (
	"io"
	"net"
	"testing"

	"github.com/stretchr/testify/require"

	"byor/pkg/pubsub"
	"byor/pkg/resp"
)

// byor.json.v1: subscriptions, and the messages that they bring.

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

func TestPushCache(t *testing.T) {
	var c pushCache
	channel, payload := []byte("c"), []byte("x")
	m := pubsub.Message{Channel: channel, Payload: payload}
	a := c.encode(m)
	require.JSONEq(t, `{"push":"message","channel":"c","data":"x"}`, string(a))
	b := c.encode(m)
	require.Same(t, &a[0], &b[0], "encoded once")
	m.Kind, m.Pattern = pubsub.Pattern, []byte("p")
	require.JSONEq(t, `{"push":"pmessage","pattern":"p","channel":"c","data":"x"}`, string(c.encode(m)))
	payload[0] = 'y' // the publisher's buffer has the next message
	require.JSONEq(t, `{"push":"pmessage","pattern":"p","channel":"c","data":"y"}`, string(c.encode(m)))
	m.Kind, m.Pattern = pubsub.Sharded, nil
	require.JSONEq(t, `{"push":"smessage","channel":"c","data":"y"}`, string(c.encode(m)))
	require.JSONEq(t, `{"push":"message","channel":"c","data":"x"}`, string(a), "what was handed out stays")
}
