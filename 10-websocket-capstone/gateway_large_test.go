package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"

	"byor/pkg/resp"
)

// Answers of any size, to a peer that takes its time.

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

// A subscriber in RESP3 that reads gets large replies, and messages between them.
func TestRawSubscriberWithLargeReplies(t *testing.T) {
	g := startGateway(t, func(o *gatewayOptions) { o.MaxQueue = 256 << 10 })
	g.engineDo("SET", "big", strings.Repeat("b", 2<<20))
	p := g.dial(protoRESP)
	r := resp.NewReader(&frames{p: p})
	p.raw(command("HELLO", "3") + command("SUBSCRIBE", "c"))
	for range 2 {
		_, err := r.ReadValue()
		require.NoError(t, err)
	}
	for range 5 {
		p.raw(command("GET", "big"))
		g.engineDo("PUBLISH", "c", "m")
		replies, pushes := 0, 0
		for replies+pushes < 2 {
			v, err := r.ReadValue()
			require.NoError(t, err)
			if v.Kind == resp.Push {
				pushes++
			} else if replies++; len(v.Str) != 2<<20 {
				require.Fail(t, "no reply", "%.40s", v.Str)
			}
		}
		require.Equal(t, 1, pushes)
	}
	require.Zero(t, g.metrics.closesOf(closeSlow))
}
