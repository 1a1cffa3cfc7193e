// Package recovery judges what becomes of subscribers of channels with a history whose connections are cut: they
// must end with every message, each once, and all in the same order.
package recovery

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var full = flag.Bool("recovery", false, "run the recovery tests in full size: 50 clients, 100 cuts, 20,000 messages")

// Stream is one connection of a subscriber. Close cuts it without a word, and may be called at any time.
type Stream interface {
	// Subscribe asks for what came after the entries of since, of each channel; for a channel that is not in it, for
	// what is to come.
	Subscribe(channels []string, since map[string]string) error
	// Next waits for what comes. An error means that the connection has ended, unless it is ErrBroken.
	Next() (Event, error)
	Close() error
}

// ErrBroken is wrapped by the error of a Stream that has heard what it must not hear.
var ErrBroken = errors.New("a broken promise")

// Event is what a Stream has heard: a confirmation, which names the last entry of each channel that it is about, or a
// message with its entry.
type Event struct {
	Last      map[string]string // nil for a message
	Recovered bool              // of a confirmation: nothing is missing

	Channel, Data, Entry string
}

// Scene is what is judged.
type Scene struct {
	// Connect connects a subscriber.
	Connect func() (Stream, error)
	// Publish publishes, for publisher p or, at the end, for -1. It is called by one goroutine for each.
	Publish func(p int, channel, data string) error
}

// Publishers is how many publish side by side.
const Publishers = 4

var channels = []string{"room:1", "room:2"}

// follower is a subscriber. It keeps what it has been sent.
type follower struct {
	connect func() (Stream, error)
	seen    map[string][]string // data by channel, in order
	since   map[string]string   // the last entry of each channel
	ready   chan struct{}       // closed when it is subscribed for the first time
	away    func()              // called between two connections
	cuts    int                 // connections that ended

	mu   sync.Mutex
	conn Stream // nil while there is none to cut
}

// cut ends the connection in the middle of whatever is on its way, and reports whether there was one.
func (f *follower) cut() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.conn == nil {
		return false
	}
	_ = f.conn.Close()
	f.conn = nil
	return true
}

// run follows the channels until it has seen "end" on each.
func (f *follower) run() error {
	for open := len(channels); open > 0; {
		conn, err := f.connect()
		if err != nil {
			return err
		}
		f.mu.Lock()
		f.conn = conn
		f.mu.Unlock()
		if conn.Subscribe(channels, f.since) == nil {
			err = f.read(conn, &open)
		}
		_ = conn.Close()
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

// read reads until the connection ends, or all has been seen.
func (f *follower) read(conn Stream, open *int) error {
	for *open > 0 {
		e, err := conn.Next()
		switch {
		case errors.Is(err, ErrBroken):
			return err
		case err != nil:
			return nil
		case e.Last != nil:
			if err := f.confirmed(e); err != nil {
				return err
			}
			continue
		case e.Entry == "":
			return fmt.Errorf("%w: a message without an entry: %v", ErrBroken, e)
		}
		f.since[e.Channel] = e.Entry
		if e.Data == "end" {
			*open--
		} else {
			f.seen[e.Channel] = append(f.seen[e.Channel], e.Data)
		}
	}
	return nil
}

// confirmed notes where a first subscription begins.
func (f *follower) confirmed(e Event) error {
	if !e.Recovered {
		return fmt.Errorf("%w: a hole after %v", ErrBroken, f.since)
	}
	for channel, last := range e.Last {
		if f.since[channel] != "" {
			continue
		}
		f.since[channel] = last
		if len(f.since) == len(channels) {
			close(f.ready)
		}
	}
	return nil
}

// sawAll requires that it has seen so many messages of each channel, and in the order in which another has.
func (f *follower) sawAll(t testing.TB, n int, as *follower) {
	for _, channel := range channels {
		require.Equal(t, n, f.inOrder(t, channel))
		require.Equal(t, as.seen[channel], f.seen[channel], "all see the same order")
	}
}

// inOrder requires that each publisher's numbers are there, from 0 on, each once, in order, and returns how many.
func (f *follower) inOrder(t testing.TB, channel string) (n int) {
	var next [Publishers]int
	for _, data := range f.seen[channel] {
		who, number, ok := strings.Cut(data, ":")
		require.True(t, ok, data)
		p, err := strconv.Atoi(who)
		require.NoError(t, err)
		require.Equal(t, strconv.Itoa(next[p]), number, "publisher %d on %s", p, channel)
		next[p]++
		n++
	}
	return n
}

// Test lets subscribers be cut at random moments while several publish, and judges what they have seen. It returns
// in a few words what was done.
func Test(t *testing.T, s Scene) string {
	t.Helper()
	clients, cuts, messages := 10, 20, 2000
	if *full {
		clients, cuts, messages = 50, 100, 20000
	}
	var published atomic.Int64
	until := func(n int) {
		for end := time.Now().Add(5 * time.Minute); published.Load() < int64(min(n, messages)) && !t.Failed() && time.Now().Before(end); {
			time.Sleep(time.Millisecond)
		}
	}
	followers, ended := make([]*follower, clients), make(chan error, clients)
	for i := range followers {
		f := &follower{connect: s.Connect, seen: map[string][]string{}, since: map[string]string{}, ready: make(chan struct{})}
		f.away = func() { until(int(published.Load()) + rand.IntN(messages/10)) } // some messages pass meanwhile
		followers[i] = f
		go func() { ended <- f.run() }()
		<-f.ready
	}
	var wg sync.WaitGroup
	for p := range Publishers {
		wg.Go(func() { s.publishNumbers(t, p, messages/Publishers, &published) })
	}
	for done := 0; done < cuts && !t.Failed(); { // spread over the time of publishing
		until(done * messages / cuts)
		if followers[rand.IntN(clients)].cut() {
			done++
		}
	}
	wg.Wait()
	for _, channel := range channels {
		require.NoError(t, s.Publish(-1, channel, "end"))
	}
	for range followers {
		require.NoError(t, <-ended)
	}
	reconnects := 0
	for _, f := range followers {
		reconnects += f.cuts
		f.sawAll(t, messages/2, followers[0])
	}
	return fmt.Sprintf("%d clients, %d cuts, %d messages: each client has each message once, in order", clients, reconnects, messages)
}

// publishNumbers publishes 0, 1, 2 … as publisher p, on each of the two channels.
func (s *Scene) publishNumbers(t *testing.T, p, n int, published *atomic.Int64) {
	for i := range n {
		if err := s.Publish(p, channels[i%2], fmt.Sprintf("%d:%d", p, i/2)); err != nil {
			t.Errorf("publisher %d: %v", p, err)
			return
		}
		published.Add(1)
	}
}
