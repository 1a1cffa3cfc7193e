package main

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"
)

// What a peer may send: sizes, fragments, frames of the wrong kind, and signs of life.

func TestMessageSizes(t *testing.T) {
	g := startGateway(t, nil)
	p := g.dial(protoJSON)
	message := func(n int) string {
		frame := `{"id":1,"op":"cmd","args":["STRLEN","` // and then a key, up to n bytes
		return frame + strings.Repeat("k", n-len(frame)-3) + `"]}`
	}
	for _, n := range []int{125, 126, 127, 65535, 65536} { // where the encoding of the length changes, and the limit
		p.expect(message(n), `{"id":1,"result":0}`)
	}
	// In fragments.
	w, err := p.NextWriter(websocket.TextMessage)
	require.NoError(t, err)
	for _, part := range []string{message(65536)[:10], message(65536)[10:40000], message(65536)[40000:]} {
		_, err = w.Write([]byte(part))
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())
	p.expect("", `{"id":1,"result":0}`)
	p.say(message(65537))
	p.expectClose(websocket.CloseMessageTooBig)
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

func TestTooManyFragments(t *testing.T) {
	p := startGateway(t, nil).dial(protoJSON)
	w, err := p.NextWriter(websocket.TextMessage)
	require.NoError(t, err)
	go func() {
		for range 2000 { // it goes on sending, and must see why it was closed all the same
			if _, err := w.Write(make([]byte, 4096)); err != nil {
				return
			}
		}
	}()
	p.expectClose(websocket.CloseMessageTooBig)
}

func TestWrongFrames(t *testing.T) {
	g := startGateway(t, nil)
	p := g.dial(protoJSON)
	p.raw(`{"id":1,"op":"ping"}`)
	p.expectClose(websocket.CloseUnsupportedData)
	p = g.dial(protoRESP)
	p.say("PING\r\n")
	p.expectClose(websocket.CloseUnsupportedData)
	p = g.dial(protoJSON)
	p.say("{\"id\":1,\"op\":\"pub\",\"channel\":\"\xff\"}")
	p.expectClose(websocket.CloseInvalidFramePayloadData)
}

// A peer that sends pongs, or the fragments of a message one by one, is not
// alive for ever. Without the rules of pong and readMessage this would not end.
func TestTricklingPeerIsDropped(t *testing.T) {
	g := startGateway(t, func(o *gatewayOptions) { o.Ping, o.ReadTimeout = 10*time.Millisecond, 150*time.Millisecond })
	for _, fragments := range []bool{false, true} {
		p := g.dial(protoJSON)
		g.eventually(func() bool { return len(g.open()) == 1 }, "it is there")
		if fragments {
			go func() { _, _, _ = p.ReadMessage() }() // and answers pings
			require.NoError(t, writeFragment(p.NetConn(), websocket.TextMessage, `{"id":`))
		}
		g.eventually(func() bool {
			_ = p.WriteControl(websocket.PongMessage, []byte("0"), time.Now().Add(time.Second))
			if fragments {
				_ = writeFragment(p.NetConn(), 0, " ")
			}
			return len(g.open()) == 0
		}, "it must be dropped")
	}
}

// writeFragment writes an unfinished masked frame by hand; the mask is zero.
func writeFragment(c net.Conn, opcode byte, text string) error {
	_, err := c.Write(append([]byte{opcode, 0x80 | byte(len(text)), 0, 0, 0, 0}, text...))
	return err
}

// Pings keep an idle connection alive through proxies and through our own read
// deadline; who does not answer them is gone.
func TestPings(t *testing.T) {
	t.Parallel() // it waits for a deadline that a busy machine does not miss
	g := startGateway(t, func(o *gatewayOptions) { o.Ping, o.ReadTimeout = 100*time.Millisecond, 2*time.Second })
	alive, deaf := g.dial(protoJSON), g.dial(protoJSON)
	var pings atomic.Int32
	answer := alive.PingHandler()
	alive.SetPingHandler(func(data string) error { pings.Add(1); return answer(data) })
	deaf.SetPingHandler(func(string) error { return nil })
	go func() { _, _, _ = alive.ReadMessage() }()
	go func() { _, _, _ = deaf.ReadMessage() }()
	g.eventually(func() bool { return len(g.open()) == 1 }, "the deaf one is dropped")
	at := pings.Load()
	g.eventually(func() bool { return pings.Load() >= at+40 }, "twice the read deadline")
	require.Len(t, g.open(), 1, "the other one lives")
}
