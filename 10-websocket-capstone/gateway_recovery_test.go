package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"

	"byor/pkg/redistest/recovery"
	"byor/pkg/resp"
)

// roomStream is a browser that follows rooms with byor.json.v1.
type roomStream struct {
	conn  *websocket.Conn
	lines [][]byte // of the last frame, and not yet looked at
}

func (s *roomStream) Subscribe(rooms []string, since map[string]string) error {
	sub := map[string]any{"id": 1, "op": "sub", "channels": rooms, "last": 0}
	if len(since) > 0 {
		sub["since"] = since
	}
	return s.conn.WriteJSON(sub)
}

func (s *roomStream) Next() (e recovery.Event, err error) {
	if len(s.lines) == 0 {
		_, frame, err := s.conn.ReadMessage()
		if err != nil {
			return e, err
		}
		s.lines = bytes.Split(frame, []byte("\n"))
	}
	line := s.lines[0]
	s.lines = s.lines[1:]
	var m struct {
		Result *struct {
			Recovered bool
			Last      map[string]string
		}
		heardPush
	}
	switch err := json.Unmarshal(line, &m); {
	case err != nil:
		return e, fmt.Errorf("%w: %w: %s", recovery.ErrBroken, err, line)
	case m.Result != nil:
		return recovery.Event{Recovered: m.Result.Recovered, Last: m.Result.Last}, nil
	case m.Push != "message":
		return e, fmt.Errorf("%w: not a message: %s", recovery.ErrBroken, line)
	}
	return recovery.Event{Channel: m.Channel, Data: m.Data, Entry: m.Entry}, nil
}

func (s *roomStream) Close() error { return s.conn.UnderlyingConn().Close() }

// Browsers whose connections are cut at random moments, while programs and other browsers publish, end with every
// message, each once, in order, as all the others.
func TestRecoveryOfBrowsers(t *testing.T) {
	withOwnEngine(t)
	g := startGateway(t, nil, "--history", "room:*=20000")
	publish := map[int]func(channel, data string) error{-1: g.programThatPublishes(t)}
	for p := range recovery.Publishers {
		publish[p] = g.programThatPublishes(t)
		if p%2 == 1 {
			publish[p] = g.browserThatPublishes(t)
		}
	}
	said := recovery.Test(t, recovery.Scene{
		Connect: func() (recovery.Stream, error) {
			conn, _, err := websocket.DefaultDialer.Dial(g.url(), nil)
			if err != nil {
				return nil, err
			}
			return &roomStream{conn: conn}, conn.SetReadDeadline(time.Now().Add(5 * time.Minute))
		},
		Publish: func(p int, channel, data string) error { return publish[p](channel, data) },
	})
	info := string(g.engineDo("INFO", "stats").Str)
	require.Contains(t, info, "history_misses:0\r\n")
	_, info, _ = strings.Cut(info, "history_appended")
	t.Logf("%s; history_appended%s", said, info)
}

// programThatPublishes returns what publishes over a connection of Redis's protocol.
func (g *testGateway) programThatPublishes(t *testing.T) func(channel, data string) error {
	conn, err := g.opts.Dial(nil)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	r := resp.NewReader(conn)
	return func(channel, data string) error {
		if _, err := conn.Write([]byte(command("PUBLISH", channel, data))); err != nil {
			return err
		}
		v, err := r.ReadValue()
		if err == nil {
			err = v.Err()
		}
		return err
	}
}

// browserThatPublishes returns what publishes over a WebSocket.
func (g *testGateway) browserThatPublishes(t *testing.T) func(channel, data string) error {
	conn, _, err := websocket.DefaultDialer.Dial(g.url(), nil)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return func(channel, data string) error {
		if err := conn.WriteJSON(map[string]any{"id": 1, "op": "pub", "channel": channel, "data": data}); err != nil {
			return err
		}
		_, answer, err := conn.ReadMessage()
		if err == nil && !bytes.Contains(answer, []byte(`"result":`)) {
			err = fmt.Errorf("%s", answer)
		}
		return err
	}
}
