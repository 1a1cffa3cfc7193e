package history_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"byor/pkg/redistest"
	"byor/pkg/resp"

	"github.com/stretchr/testify/require"
)

var recovery = flag.Bool("recovery", false, "run the recovery test in its full size: 50 clients, 100 cuts, 20,000 messages")

// follower is a subscriber whose connection is cut again and again. It keeps what it has been sent.
type follower struct {
	t     testing.TB
	addr  string
	seen  map[string][]string // payloads by channel, in order
	since map[string]string   // the last entry seen

	mu   sync.Mutex
	conn net.Conn

	ready chan struct{} // closed when it is subscribed for the first time
	away  func()        // called between two connections
	cuts  int           // connections that ended
}

// cut ends the connection in the middle of whatever is on its way, and reports whether there was one.
func (f *follower) cut() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.conn == nil {
		return false
	}
	f.conn.Close()
	f.conn = nil
	return true
}

// run follows the channels until it has seen "end" on each.
func (f *follower) run(channels []string) error {
	open := len(channels)
	for open > 0 {
		conn, err := net.Dial("tcp", f.addr)
		if err != nil {
			return err
		}
		f.mu.Lock()
		f.conn = conn
		f.mu.Unlock()
		args := []string{"HISTORY.SUBSCRIBE"}
		for _, c := range channels {
			if since := f.since[c]; since != "" {
				args = append(args, c, "SINCE", since)
			} else {
				args = append(args, c, "LAST", "0")
			}
		}
		if _, err = conn.Write(resp.AppendCommandStrings(nil, args...)); err == nil {
			err = f.read(conn, &open)
		}
		conn.Close()
		if err != nil {
			return err
		}
		if open > 0 {
			f.cuts++
			f.away()
		}
	}
	return nil
}

// read reads until the connection ends, or all has been seen. An error is a broken promise.
func (f *follower) read(conn net.Conn, open *int) error {
	conn.SetReadDeadline(time.Now().Add(5 * time.Minute))
	for r := resp.NewReader(conn); *open > 0; {
		v, err := r.ReadValue()
		if err != nil {
			return nil // cut
		}
		switch {
		case v.IsError():
			return fmt.Errorf("%s", v.Str)
		case string(v.Elems[0].Str) == "subscribe":
			if err := f.confirmed(string(v.Elems[1].Str), v.Elems[3].Int == 1, string(v.Elems[4].Str)); err != nil {
				return err
			}
			continue
		case len(v.Elems) != 4:
			return fmt.Errorf("a message without an entry: %v", v)
		}
		channel, payload := string(v.Elems[1].Str), string(v.Elems[2].Str)
		f.since[channel] = string(v.Elems[3].Str)
		if payload == "end" {
			*open--
			continue
		}
		f.seen[channel] = append(f.seen[channel], payload)
	}
	return nil
}

// confirmed takes note of a subscription. The first one of all says where to go on from.
func (f *follower) confirmed(channel string, recovered bool, last string) error {
	if !recovered {
		return fmt.Errorf("a hole in %s after %s", channel, f.since[channel])
	}
	if f.since[channel] == "" {
		f.since[channel] = last
		if len(f.since) == 2 {
			close(f.ready)
		}
	}
	return nil
}

// sawAll requires that it has seen so many messages of each channel, and in the order in which another has.
func (f *follower) sawAll(t testing.TB, channels []string, n int, as *follower) {
	for _, channel := range channels {
		require.Equal(t, n, f.inOrder(t, channel))
		require.Equal(t, as.seen[channel], f.seen[channel], "all see the same order")
	}
}

// inOrder requires that each publisher's numbers are there, from 0 on, each once, in order, and returns how many.
func (f *follower) inOrder(t testing.TB, channel string) (n int) {
	next := make([]int, publishers)
	for _, payload := range f.seen[channel] {
		who, number, ok := strings.Cut(payload, ":")
		require.True(t, ok, payload)
		p, err := strconv.Atoi(who)
		require.NoError(t, err)
		require.Equal(t, strconv.Itoa(next[p]), number, "publisher %d on %s", p, channel)
		next[p]++
		n++
	}
	return n
}

// Clients whose connections are cut at random moments, while several publishers go on, end with every message, each
// once, in order, as all the others.
func TestRecovery(t *testing.T) {
	t.Run("on the master", func(t *testing.T) {
		_, addr := start(t, nil, "room:*=20000")
		testRecovery(t, addr, addr)
	})
	t.Run("on a replica of ours", func(t *testing.T) {
		_, master := start(t, nil, "room:*=20000")
		_, replica := start(t, nil, "room:*=20000", "--replicaof", hostPort(master))
		dial(t, replica).Becomes("master_link_status", "up")
		testRecovery(t, master, replica)
	})
	t.Run("on our replica of a real Redis", func(t *testing.T) {
		master := redistest.Start(t, t.TempDir(), "--repl-diskless-sync-delay", "0")
		_, replica := start(t, nil, "room:*=20000", "--replicaof", hostPort(master))
		dial(t, replica).Becomes("master_link_status", "up")
		testRecovery(t, master, replica)
	})
}

const publishers = 4

func testRecovery(t *testing.T, publishAt, followAt string) {
	clients, cuts, messages := 10, 20, 2000
	if *recovery {
		clients, cuts, messages = 50, 100, 20000
	}
	channels := []string{"room:1", "room:2"}
	var published atomic.Int64
	until := func(n int) {
		for end := time.Now().Add(5 * time.Minute); published.Load() < int64(min(n, messages)) && !t.Failed() && time.Now().Before(end); {
			time.Sleep(time.Millisecond)
		}
	}
	warm := dial(t, followAt)
	warm.asks("SUBSCRIBE warm", `*["subscribe" "warm" :1]`)
	dial(t, publishAt).publish("warm", "up")
	warm.hears(`*["message" "warm" "up"]`) // a real master begins to send a second after the link is up
	followers := make([]*follower, clients)
	ended := make(chan error, clients)
	for i := range followers {
		f := &follower{t: t, addr: followAt, seen: map[string][]string{}, since: map[string]string{}, ready: make(chan struct{})}
		f.away = func() { until(int(published.Load()) + rand.IntN(messages/10)) } // some messages pass meanwhile
		followers[i] = f
		go func() { ended <- f.run(channels) }()
		<-f.ready
	}
	var wg sync.WaitGroup
	for p := range publishers {
		wg.Go(func() { publishNumbers(t, publishAt, p, messages/publishers, channels, &published) })
	}
	for done := 0; done < cuts && !t.Failed(); { // spread over the time of publishing
		until(done * messages / cuts)
		if followers[rand.IntN(clients)].cut() {
			done++
		}
	}
	wg.Wait()
	for _, channel := range channels {
		dial(t, publishAt).publish(channel, "end")
	}
	reconnects := 0
	for range followers {
		require.NoError(t, <-ended)
	}
	for _, f := range followers {
		reconnects += f.cuts
		f.sawAll(t, channels, messages/2, followers[0])
	}
	c := dial(t, followAt)
	t.Logf("%d clients, %d cuts, %d messages: each client has each message once, in order; %s messages were sent again, hits %s, misses %s",
		clients, reconnects, messages, c.Info("history_replayed"), c.Info("history_hits"), c.Info("history_misses"))
}

// publishNumbers publishes 0, 1, 2 … as publisher p, on each of two channels.
func publishNumbers(t *testing.T, addr string, p, n int, channels []string, published *atomic.Int64) {
	c := dial(t, addr)
	for i := range n {
		_, _ = c.Conn.Write(resp.AppendCommandStrings(nil, "PUBLISH", channels[i%2], fmt.Sprintf("%d:%d", p, i/2)))
		if v, err := c.R.ReadValue(); err != nil || v.IsError() {
			t.Errorf("PUBLISH: %v %s", err, v.Str)
			return
		}
		published.Add(1)
	}
}
