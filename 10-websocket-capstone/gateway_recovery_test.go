package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"

	"byor/pkg/resp"
)

var recovery = flag.Bool("recovery", false, "run the recovery test in its full size: 50 browsers, 100 cuts, 20,000 messages")

// reader is a browser that follows two rooms with byor.json.v1, and whose connection is cut again and again.
type reader struct {
	url   string
	seen  map[string][]string // data by channel, in order
	since map[string]string   // the last entry seen

	mu   sync.Mutex
	conn *websocket.Conn

	ready chan struct{} // closed when it is subscribed for the first time
	away  func()        // called between two connections
	cuts  int           // connections that ended
}

// cut ends the connection without a word, and reports whether there was one.
func (r *reader) cut() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.conn == nil {
		return false
	}
	_ = r.conn.UnderlyingConn().Close()
	r.conn = nil
	return true
}

// run follows the rooms until it has seen "end" in each. An error is a broken promise.
func (r *reader) run(rooms []string) error {
	for open := len(rooms); open > 0; {
		conn, _, err := websocket.DefaultDialer.Dial(r.url, nil)
		if err != nil {
			return err
		}
		r.mu.Lock()
		r.conn = conn
		r.mu.Unlock()
		sub := map[string]any{"id": 1, "op": "sub", "channels": rooms, "last": 0}
		if len(r.since) > 0 {
			sub["since"] = r.since
		}
		if conn.WriteJSON(sub) == nil {
			err = r.read(conn, &open)
		}
		_ = conn.Close()
		if err != nil {
			return err
		}
		if open > 0 {
			r.cuts++
			r.away()
		}
	}
	return nil
}

func (r *reader) read(conn *websocket.Conn, open *int) error {
	_ = conn.SetReadDeadline(time.Now().Add(5 * time.Minute))
	for *open > 0 {
		_, frame, err := conn.ReadMessage()
		if err != nil {
			return nil // cut
		}
		for _, line := range bytes.Split(frame, []byte("\n")) {
			if err := r.hear(line, open); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *reader) hear(line []byte, open *int) error {
	var m struct {
		Result *struct {
			Recovered bool
			Last      map[string]string
		}
		heardPush
	}
	if err := json.Unmarshal(line, &m); err != nil {
		return fmt.Errorf("%w: %s", err, line)
	}
	switch {
	case m.Result != nil:
		if !m.Result.Recovered {
			return fmt.Errorf("a hole: %s after %v", line, r.since)
		}
		if len(r.since) == 0 {
			r.since = m.Result.Last
			close(r.ready)
		}
	case m.Push != "message" || m.Entry == "":
		return fmt.Errorf("not a message with an entry: %s", line)
	case m.Data == "end":
		r.since[m.Channel] = m.Entry
		*open--
	default:
		r.since[m.Channel] = m.Entry
		r.seen[m.Channel] = append(r.seen[m.Channel], m.Data)
	}
	return nil
}

// sawAll requires that it has seen so many messages of each room, and in the order in which another has.
func (r *reader) sawAll(t *testing.T, rooms []string, n int, as *reader) {
	for _, room := range rooms {
		require.Equal(t, n, r.inOrder(t, room))
		require.Equal(t, as.seen[room], r.seen[room], "all see the same order")
	}
}

// inOrder requires that each publisher's numbers are there, from 0 on, each once, in order, and returns how many.
func (r *reader) inOrder(t *testing.T, room string) (n int) {
	var next [roomPublishers]int
	for _, data := range r.seen[room] {
		who, number, ok := strings.Cut(data, ":")
		require.True(t, ok, data)
		p, err := strconv.Atoi(who)
		require.NoError(t, err)
		require.Equal(t, strconv.Itoa(next[p]), number, "publisher %d in %s", p, room)
		next[p]++
		n++
	}
	return n
}

const roomPublishers = 4

// Browsers whose connections are cut at random moments, while programs and other browsers publish, end with every
// message, each once, in order, as all the others.
func TestRecoveryOfBrowsers(t *testing.T) {
	browsers, cuts, messages := 10, 20, 2000
	if *recovery {
		browsers, cuts, messages = 50, 100, 20000
	}
	withOwnEngine(t)
	g := startGateway(t, nil, "--history", "room:*=20000")
	rooms := []string{"room:1", "room:2"}
	var published atomic.Int64
	until := func(n int) {
		for end := time.Now().Add(5 * time.Minute); published.Load() < int64(min(n, messages)) && !t.Failed() && time.Now().Before(end); {
			time.Sleep(time.Millisecond)
		}
	}
	readers := make([]*reader, browsers)
	ended := make(chan error, browsers)
	for i := range readers {
		r := &reader{url: g.url(), seen: map[string][]string{}, ready: make(chan struct{})}
		r.away = func() { until(int(published.Load()) + rand.IntN(messages/10)) } // some messages pass meanwhile
		readers[i] = r
		go func() { ended <- r.run(rooms) }()
		<-r.ready
	}
	var wg sync.WaitGroup
	for p := range roomPublishers {
		publish := g.programThatPublishes(t)
		if p%2 == 1 {
			publish = g.browserThatPublishes(t)
		}
		wg.Go(func() { publishNumbers(t, publish, p, messages/roomPublishers, rooms, &published) })
	}
	for done := 0; done < cuts && !t.Failed(); { // spread over the time of publishing
		until(done * messages / cuts)
		if readers[rand.IntN(browsers)].cut() {
			done++
		}
	}
	wg.Wait()
	for _, room := range rooms {
		g.engineDo("PUBLISH", room, "end")
	}
	for range readers {
		require.NoError(t, <-ended)
	}
	total := 0
	for _, r := range readers {
		total += r.cuts
		r.sawAll(t, rooms, messages/2, readers[0])
	}
	info := string(g.engineDo("INFO", "stats").Str)
	_, info, _ = strings.Cut(info, "history_appended")
	t.Logf("%d browsers, %d cuts, %d messages: each browser has each message once, in order; history_appended%s", browsers, total, messages, info)
}

// publishNumbers publishes 0, 1, 2 … as publisher p, in each of two rooms.
func publishNumbers(t *testing.T, publish func(channel, data string) error, p, n int, rooms []string, published *atomic.Int64) {
	for i := range n {
		if err := publish(rooms[i%2], fmt.Sprintf("%d:%d", p, i/2)); err != nil {
			t.Errorf("publisher %d: %v", p, err)
			return
		}
		published.Add(1)
	}
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
