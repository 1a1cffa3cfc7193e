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
	cuts atomic.Int64 // connections that ended
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
			args = append(args, c, "SINCE", f.since[c])
		}
		if _, err = conn.Write(resp.AppendCommandStrings(nil, args...)); err == nil {
			err = f.read(conn, &open)
		}
		conn.Close()
		f.cuts.Add(1)
		if err != nil {
			return err
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
			if v.Elems[3].Int != 1 {
				return fmt.Errorf("a hole in %s after %s", v.Elems[1].Str, f.since[string(v.Elems[1].Str)])
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

// inOrder requires that each publisher's numbers are there, from 0 on, each once, in order, and returns how many.
func (f *follower) inOrder(t testing.TB, channel string, publishers int) (n int) {
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
	clients, cuts, messages := 10, 20, 2000
	if *recovery {
		clients, cuts, messages = 50, 100, 20000
	}
	const publishers = 4
	channels := []string{"room:1", "room:2"}
	_, addr := start(t, nil, fmt.Sprintf("room:*=%d", messages))
	followers := make([]*follower, clients)
	ended := make(chan error, clients)
	for i := range followers {
		f := &follower{t: t, addr: addr, seen: map[string][]string{}, since: map[string]string{"room:1": "0-0", "room:2": "0-0"}}
		followers[i] = f
		go func() { ended <- f.run(channels) }()
	}
	var published atomic.Int64
	var wg sync.WaitGroup
	for p := range publishers {
		c := dial(t, addr)
		wg.Go(func() {
			for i := range messages / publishers {
				_, _ = c.Conn.Write(resp.AppendCommandStrings(nil, "PUBLISH", channels[i%2], fmt.Sprintf("%d:%d", p, i/2)))
				if v, err := c.R.ReadValue(); err != nil || v.IsError() {
					t.Errorf("PUBLISH: %v %s", err, v.Str)
					return
				}
				published.Add(1)
			}
		})
	}
	done := 0
	rng := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 1))
	for done < cuts { // spread over the time of publishing: a cut waits for its share of the messages
		want := int64(done) * int64(messages) / int64(cuts)
		require.Eventually(t, func() bool { return published.Load() >= want || t.Failed() }, 5*time.Minute, time.Millisecond)
		if followers[rng.IntN(clients)].cut() {
			done++
		}
	}
	wg.Wait()
	c := dial(t, addr)
	for _, channel := range channels {
		c.publish(channel, "end")
	}
	for range followers {
		require.NoError(t, <-ended)
	}
	reconnects := int64(0)
	for _, f := range followers {
		reconnects += f.cuts.Load() - 1
		for _, channel := range channels {
			require.Equal(t, messages/2, f.inOrder(t, channel, publishers))
			require.Equal(t, followers[0].seen[channel], f.seen[channel], "all see the same order")
		}
	}
	t.Logf("%d clients, %d cuts, %d reconnects, %d messages: each client has each message once, in order; %s messages were sent again, %s of %d subscriptions were hits",
		clients, cuts, reconnects, messages, c.Info("history_replayed"), c.Info("history_hits"), 2*(reconnects+int64(clients)))
}
