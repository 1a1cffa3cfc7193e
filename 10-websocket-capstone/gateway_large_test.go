package main

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"

	"byor/pkg/resp"
)

// The queue is there for those who do not read. Who reads as fast as it can gets what it asked for, however
// large, and messages besides.
func TestLargeReplies(t *testing.T) {
	g := startGateway(t, func(o *gatewayOptions) { o.MaxQueue = 1 << 20 })
	big := strings.Repeat("b", 2<<20)
	g.engineDo("SET", "big", big)
	for i := range 150 {
		g.engineDo("RPUSH", "list", strings.Repeat("l", 10<<10))
		g.engineDo(append([]string{"MSET"}, manyKeys(i*400, 400)...)...)
	}
	g.engineDo("SET", "k60", strings.Repeat("k", 60<<10))
	t.Run("json", func(t *testing.T) {
		p := g.dial(protoJSON)
		p.SetReadLimit(1 << 30)
		p.expect(`{"id":1,"op":"sub","channels":["c"]}`, `{"id":1,"result":{"subscribed":["c"]}}`)
		for i, in := range []string{`"GET","big"`, `"LRANGE","list","0","-1"`, `"KEYS","*"`} {
			p.say(fmt.Sprintf(`{"id":%d,"op":"cmd","args":[%s]}`, i, in))
			require.Contains(t, p.hear(), fmt.Sprintf(`{"id":%d,"result":`, i))
			require.Equal(t, int64(1), g.engineDo("PUBLISH", "c", "beside").Int)
			require.Contains(t, p.hear(), "beside")
		}
		var all strings.Builder
		for i := range 100 {
			fmt.Fprintf(&all, `{"id":%d,"op":"cmd","args":["GET","k60"]}`+"\n", i)
		}
		p.say(all.String())
		for i := range 100 {
			require.Contains(t, p.hear(), fmt.Sprintf(`{"id":%d,"result":"kkk`, i))
		}
	})
	t.Run("resp", func(t *testing.T) {
		p := g.dial(protoRESP)
		r := resp.NewReader(&frames{p: p})
		for _, in := range [][]string{{"GET", "big"}, {"LRANGE", "list", "0", "-1"}, {"KEYS", "*"}} {
			p.raw(command(in...))
			v, err := r.ReadValue()
			require.NoError(t, err)
			require.True(t, len(v.Str) == len(big) || len(v.Elems) >= 150)
		}
		p.raw(strings.Repeat(command("GET", "k60"), 100))
		for range 100 {
			v, err := r.ReadValue()
			require.NoError(t, err)
			require.Len(t, v.Str, 60<<10)
		}
	})
	require.Zero(t, g.metrics.closesOf(closeSlow))
}

func manyKeys(from, n int) (args []string) {
	for i := range n {
		args = append(args, fmt.Sprint("key:", from+i), "v")
	}
	return args
}

// frames reads binary frames as one stream.
type frames struct {
	p    *peer
	rest []byte
}

func (f *frames) Read(b []byte) (int, error) {
	for len(f.rest) == 0 {
		_, data, err := f.p.ReadMessage()
		if err != nil {
			return 0, err
		}
		f.rest = data
	}
	n := copy(b, f.rest)
	f.rest = f.rest[n:]
	return n, nil
}

// Who asks and does not read the answers is read no more, so that memory is bounded, and is cut off in the end.
func TestAsksAndNeverReads(t *testing.T) {
	for _, proto := range []string{protoJSON, protoRESP} {
		g := startGateway(t, func(o *gatewayOptions) {
			o.WriteTimeout, o.CloseTimeout, o.MaxQueue = 500*time.Millisecond, 100*time.Millisecond, 256<<10
		})
		g.engineDo("SET", "k", strings.Repeat("k", 60<<10))
		p := g.dial(proto)
		ask := []byte(strings.Repeat(`{"id":1,"op":"cmd","args":["GET","k"]}`+"\n", 100))
		kind := websocket.TextMessage
		if proto == protoRESP {
			ask, kind = []byte(strings.Repeat(command("GET", "k"), 100)), websocket.BinaryMessage
		}
		go func() { // nobody reads: at some point it cannot even ask
			for p.WriteMessage(kind, ask) == nil {
			}
		}()
		most := 0
		g.eventually(func() bool {
			for _, s := range g.open() {
				most = max(most, s.out.waiting())
			}
			return g.metrics.closesOf(closeSlow) == 1 && len(g.open()) == 0
		}, "it is cut off")
		require.LessOrEqual(t, most, 256<<10+70<<10, "the queue and one reply")
	}
}

// What comes out of a compressed message counts, not what goes in.
func TestCompressedMessagesHaveALimit(t *testing.T) {
	g := startGateway(t, func(o *gatewayOptions) { o.Compression, o.MaxMessage = true, 64<<10 })
	d := websocket.Dialer{EnableCompression: true}
	c, res, err := d.Dial(g.url(), nil)
	require.NoError(t, err)
	defer c.Close()
	require.Contains(t, res.Header.Get("Sec-WebSocket-Extensions"), "permessage-deflate")
	c.EnableWriteCompression(true)
	require.NoError(t, c.WriteMessage(websocket.TextMessage, []byte(`{"id":1,"op":"ping"}`+strings.Repeat(" ", 60<<10))))
	_, b, err := c.ReadMessage()
	require.NoError(t, err)
	require.Contains(t, string(b), "PONG")
	var packed bytes.Buffer
	w, err := flate.NewWriter(&packed, 9)
	require.NoError(t, err)
	_, err = io.WriteString(w, `{"id":1,"op":"ping"}`+strings.Repeat(" ", 40<<20))
	require.NoError(t, err)
	require.NoError(t, w.Flush())
	require.Less(t, packed.Len(), 64<<10, "as a frame it is within the limit")
	frame := append([]byte{0xc1, 0xfe}, binary.BigEndian.AppendUint16(nil, uint16(packed.Len()-4))...) // RSV1, masked by zeros
	frame = append(append(frame, 0, 0, 0, 0), packed.Bytes()[:packed.Len()-4]...)
	_, err = c.NetConn().Write(frame)
	require.NoError(t, err)
	_, _, err = c.ReadMessage()
	require.True(t, websocket.IsCloseError(err, websocket.CloseMessageTooBig), "%v", err)
}

// ws-subscriptions holds in byor.resp.v1, too: over several commands, for each kind, and inside MULTI.
func TestRawSubscriptionsHaveALimit(t *testing.T) {
	g := startGateway(t, func(o *gatewayOptions) { o.MaxSubscriptions = 3 })
	p := g.dial(protoRESP)
	p.raw(command("SUBSCRIBE", "a", "b") + command("PSUBSCRIBE", "x*") + command("SUBSCRIBE", "a") + command("SSUBSCRIBE", "s"))
	p.hearRaw("*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n*3\r\n$9\r\nsubscribe\r\n$1\r\nb\r\n:2\r\n" +
		"*3\r\n$10\r\npsubscribe\r\n$2\r\nx*\r\n:3\r\n*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:3\r\n" + refusedRaw("SSUBSCRIBE", "too many subscriptions"))
	p.raw(command("UNSUBSCRIBE", "b") + command("SSUBSCRIBE", "s"))
	p.hearRaw("*3\r\n$11\r\nunsubscribe\r\n$1\r\nb\r\n:2\r\n*3\r\n$10\r\nssubscribe\r\n$1\r\ns\r\n:1\r\n")
	q := g.dial(protoRESP)
	q.raw(command("MULTI") + command("SUBSCRIBE", "1", "2", "3", "4") + command("EXEC"))
	q.hearRaw("+OK\r\n" + refusedRaw("SUBSCRIBE", "subscriptions change outside of MULTI only") + "-EXECABORT Transaction discarded because of previous errors.\r\n")
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
