package pubsub_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"byor/pkg/pubsub"
)

// recorder is a subscriber that writes down what it gets, with its own name.
type recorder struct {
	name string
	log  *[]string
}

func (r *recorder) Deliver(m pubsub.Message) {
	*r.log = append(*r.log, fmt.Sprintf("%s: %s", r.name, show(m)))
}

func show(m pubsub.Message) string {
	switch m.Kind {
	case pubsub.Pattern:
		return fmt.Sprintf("pmessage %s %s %s", m.Pattern, m.Channel, m.Payload)
	case pubsub.Sharded:
		return fmt.Sprintf("smessage %s %s", m.Channel, m.Payload)
	}
	return fmt.Sprintf("message %s %s", m.Channel, m.Payload)
}

func b(s string) []byte { return []byte(s) }

func TestOrderOfDelivery(t *testing.T) {
	h := pubsub.NewHub()
	var log []string
	a, c := &recorder{"a", &log}, &recorder{"c", &log}
	h.PSubscribe(c, b("n*"))
	h.PSubscribe(a, b("ne?s"))
	h.PSubscribe(a, b("n*"))
	h.Subscribe(c, b("news"))
	h.Subscribe(a, b("news"))
	h.PSubscribe(a, b("other*"))
	require.Equal(t, 5, h.Publish(b("news"), b("hi")))
	require.Equal(t, []string{
		"c: message news hi",
		"a: message news hi",
		"c: pmessage n* news hi",
		"a: pmessage n* news hi",
		"a: pmessage ne?s news hi",
	}, log)
	require.Zero(t, h.Publish(b("x"), b("nobody")))
}

func TestCountsAndNovelty(t *testing.T) {
	h := pubsub.NewHub()
	s := &recorder{"s", new([]string)}
	check := func(wantN int, wantNew bool) func(int, bool) {
		t.Helper()
		return func(n int, isNew bool) {
			t.Helper()
			require.Equal(t, wantN, n)
			require.Equal(t, wantNew, isNew)
		}
	}
	check(1, true)(h.Subscribe(s, b("a")))
	check(1, false)(h.Subscribe(s, b("a")))
	check(2, true)(h.PSubscribe(s, b("a")))
	check(1, true)(h.SSubscribe(s, b("a")))
	check(3, true)(h.Subscribe(s, b("b")))
	require.Equal(t, []string{"a", "b"}, h.Subscriptions(s, pubsub.Channel))
	n, sharded := h.Count(s)
	require.Equal(t, []int{3, 1}, []int{n, sharded})

	check(3, false)(h.Unsubscribe(s, b("nosuch")))
	check(2, true)(h.Unsubscribe(s, b("a")))
	check(1, true)(h.PUnsubscribe(s, b("a")))
	check(1, false)(h.PUnsubscribe(s, b("a")))
	check(0, true)(h.SUnsubscribe(s, b("a")))
	check(0, true)(h.Unsubscribe(s, b("b")))
	check(0, false)(h.Unsubscribe(s, b("b")))
	require.Nil(t, h.Subscriptions(s, pubsub.Channel))
}

func TestShardedChannelsAreApart(t *testing.T) {
	h := pubsub.NewHub()
	var log []string
	s := &recorder{"s", &log}
	h.Subscribe(s, b("x"))
	h.PSubscribe(s, b("*"))
	h.SSubscribe(s, b("x"))
	require.Equal(t, 1, h.SPublish(b("x"), b("1")))
	require.Equal(t, []string{"s: smessage x 1"}, log)
	log = nil
	require.Equal(t, 2, h.Publish(b("x"), b("2")))
	require.Equal(t, []string{"s: message x 2", "s: pmessage * x 2"}, log)
	require.Equal(t, 1, h.ShardNumSub(b("x")))
	require.Equal(t, []string{"x"}, h.ShardChannels(nil))
}

func TestIntrospection(t *testing.T) {
	h := pubsub.NewHub()
	s1, s2 := &recorder{"1", new([]string)}, &recorder{"2", new([]string)}
	h.Subscribe(s1, b("news.b"))
	h.Subscribe(s2, b("news.b"))
	h.Subscribe(s1, b("news.a"))
	h.Subscribe(s1, b("misc"))
	h.PSubscribe(s1, b("p*"))
	h.PSubscribe(s2, b("p*"))
	h.PSubscribe(s2, b("q*"))
	require.Equal(t, []string{"misc", "news.a", "news.b"}, h.Channels(nil))
	require.Equal(t, []string{"news.a", "news.b"}, h.Channels(b("news.*")))
	require.Empty(t, h.Channels(b("z*")))
	require.Equal(t, 2, h.NumSub(b("news.b")))
	require.Zero(t, h.NumSub(b("q")))
	require.Equal(t, 2, h.NumPat(), "the number of different patterns")

	require.Equal(t, 4, h.UnsubscribeAll(s1))
	require.Zero(t, h.UnsubscribeAll(s1))
	require.Equal(t, []string{"news.b"}, h.Channels(nil))
	require.Equal(t, 2, h.NumPat())
	h.UnsubscribeAll(s2)
	require.Empty(t, h.Channels(nil))
	require.Zero(t, h.NumPat())
}

// The hub takes copies of names: callers pass slices of their read buffer.
func TestNamesAreCopied(t *testing.T) {
	h := pubsub.NewHub()
	var log []string
	s := &recorder{"s", &log}
	name := b("abc")
	h.Subscribe(s, name)
	h.PSubscribe(s, name)
	copy(name, "xyz")
	require.Equal(t, 2, h.Publish(b("abc"), b("m")))
	require.Equal(t, []string{"s: message abc m", "s: pmessage abc abc m"}, log)
}

// sub is a subscription of the model.
type sub struct {
	who  int
	kind pubsub.Kind
	name string
}

// hubModel is a hub as the list of its subscriptions, in order, beside the hub itself.
type hubModel struct {
	t       *testing.T
	h       *pubsub.Hub
	clients []*recorder
	log     []string // what all clients have got
	subs    []sub
}

// count is how many subscriptions a subscriber of that kind counts together.
func (m *hubModel) count(who int, k pubsub.Kind) (n int) {
	for _, s := range m.subs {
		if s.who == who && (s.kind == pubsub.Sharded) == (k == pubsub.Sharded) {
			n++
		}
	}
	return n
}

func (m *hubModel) subscribe(s sub) {
	f := []func(pubsub.Subscriber, []byte) (int, bool){m.h.Subscribe, m.h.PSubscribe, m.h.SSubscribe}[s.kind]
	n, isNew := f(m.clients[s.who], b(s.name))
	require.Equal(m.t, !slices.Contains(m.subs, s), isNew)
	if isNew {
		m.subs = append(m.subs, s)
	}
	require.Equal(m.t, m.count(s.who, s.kind), n)
}

func (m *hubModel) unsubscribe(s sub) {
	f := []func(pubsub.Subscriber, []byte) (int, bool){m.h.Unsubscribe, m.h.PUnsubscribe, m.h.SUnsubscribe}[s.kind]
	n, was := f(m.clients[s.who], b(s.name))
	at := slices.Index(m.subs, s)
	require.Equal(m.t, at >= 0, was)
	if was {
		m.subs = slices.Delete(m.subs, at, at+1)
	}
	require.Equal(m.t, m.count(s.who, s.kind), n)
}

func (m *hubModel) unsubscribeAll(who int) {
	before := len(m.subs)
	m.subs = slices.DeleteFunc(m.subs, func(s sub) bool { return s.who == who })
	require.Equal(m.t, before-len(m.subs), m.h.UnsubscribeAll(m.clients[who]))
}

func (m *hubModel) publish(channel string) {
	m.log = nil
	var exact, byPattern []string
	for _, s := range m.subs {
		switch {
		case s.kind == pubsub.Channel && s.name == channel:
			exact = append(exact, fmt.Sprintf("%d: message %s m", s.who, channel))
		case s.kind == pubsub.Pattern && pubsub.Match(s.name, channel):
			byPattern = append(byPattern, fmt.Sprintf("%d: pmessage %s %s m", s.who, s.name, channel))
		}
	}
	require.Equal(m.t, len(exact)+len(byPattern), m.h.Publish(b(channel), b("m")))
	require.Equal(m.t, append([]string{}, exact...), append([]string{}, m.log[:len(exact)]...))
	require.ElementsMatch(m.t, byPattern, m.log[len(exact):])
}

// Random operations against a plain model.
func TestAgainstModel(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	m := &hubModel{t: t, h: pubsub.NewHub(), clients: make([]*recorder, 40)}
	for i := range m.clients {
		m.clients[i] = &recorder{fmt.Sprint(i), &m.log}
	}
	names := []string{"a", "b", "ab", "*", "a*", "?"}
	for range 20000 {
		s := sub{rng.IntN(len(m.clients)), pubsub.Kind(rng.IntN(3)), names[rng.IntN(len(names))]}
		switch op := rng.IntN(20); {
		case op < 9:
			m.subscribe(s)
		case op < 17:
			m.unsubscribe(s)
		case op < 18:
			m.unsubscribeAll(s.who)
		default:
			m.publish(s.name)
		}
	}
}

func TestPublishDoesNotAllocate(t *testing.T) {
	h := pubsub.NewHub()
	var got countingSubscriber
	for i := range 100 {
		s := &sink{total: &got}
		h.Subscribe(s, b("news"))
		if i%2 == 0 {
			h.PSubscribe(s, b("n*[a-z]"))
		}
	}
	channel, payload := b("news"), b("payload")
	require.Zero(t, testing.AllocsPerRun(100, func() { h.Publish(channel, payload) }))
	require.Equal(t, 101*150, got.n)
}

type countingSubscriber struct{ n int }

type sink struct{ total *countingSubscriber }

func (s *sink) Deliver(pubsub.Message) { s.total.n++ }

// Publishers, subscribers and comers and goers at once; every subscriber that
// stays sees all messages, all of them in the same order.
func TestConcurrentUse(t *testing.T) {
	const publishers, messages, stayers = 4, 500, 5
	h := pubsub.NewHub()
	logs := make([][]string, stayers)
	for i := range stayers {
		h.Subscribe(&recorder{"s", &logs[i]}, b("news"))
	}
	var wg sync.WaitGroup
	for p := range publishers {
		wg.Go(func() {
			for i := range messages {
				h.Publish(b("news"), fmt.Appendf(nil, "%d-%d", p, i))
			}
		})
		wg.Go(func() {
			s := &recorder{"passing", new([]string)}
			for range messages {
				h.PSubscribe(s, b("n*"))
				h.Subscribe(s, b("news"))
				h.Channels(nil)
				h.NumSub(b("news"))
				h.UnsubscribeAll(s)
			}
		})
	}
	wg.Wait()
	require.Len(t, logs[0], publishers*messages)
	for _, log := range logs {
		require.Equal(t, logs[0], log)
	}
}

func TestQueueHandsOverInOrder(t *testing.T) {
	h := pubsub.NewHub()
	q := pubsub.NewQueue(1<<20, 1000)
	h.Subscribe(q, b("news"))
	h.PSubscribe(q, b("n*"))
	payload := b("one")
	h.Publish(b("news"), payload)
	copy(payload, "oth") // the queue has its own copy
	h.Publish(b("news"), nil)
	got, err := q.Receive()
	require.NoError(t, err)
	var lines []string
	for _, m := range got {
		lines = append(lines, show(m))
	}
	require.Equal(t, []string{"message news one", "pmessage n* news one", "message news ", "pmessage n* news "}, lines)
}

func TestQueueReceiveWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := pubsub.NewQueue(1000, 10)
		var got []string
		var end error
		go func() {
			for end == nil {
				var ms []pubsub.Message
				ms, end = q.Receive()
				for _, m := range ms {
					got = append(got, string(m.Payload))
				}
			}
		}()
		for i := range 50 { // far more than the bounds, but received meanwhile
			q.Deliver(pubsub.Message{Payload: fmt.Append(nil, i)})
			synctest.Wait()
			require.Len(t, got, i+1)
		}
		q.Close()
		synctest.Wait()
		require.ErrorIs(t, end, pubsub.ErrClosed)
	})
}

func TestQueueOverflow(t *testing.T) {
	fill := pubsub.Message{Channel: b("c"), Payload: make([]byte, 35)} // 100 bytes with the overhead
	for name, q := range map[string]*pubsub.Queue{
		"bytes":    pubsub.NewQueue(300, 1000),
		"messages": pubsub.NewQueue(1<<20, 3),
	} {
		t.Run(name, func(t *testing.T) {
			overflows := 0
			q.OnOverflow = func() { overflows++ }
			h := pubsub.NewHub()
			h.Subscribe(q, b("c"))
			for range 2 {
				require.Equal(t, 1, h.Publish(fill.Channel, fill.Payload))
			}
			got, err := q.Receive() // handed out is not yet written: it still counts
			require.NoError(t, err)
			require.Len(t, got, 2)
			h.Publish(fill.Channel, fill.Payload)
			require.NoError(t, q.Err())
			for range 3 { // the publisher goes on as if nothing were wrong
				require.Equal(t, 1, h.Publish(fill.Channel, fill.Payload))
			}
			require.Equal(t, 1, overflows)
			require.ErrorIs(t, q.Err(), pubsub.ErrOverflow)
			got, err = q.Receive()
			require.ErrorIs(t, err, pubsub.ErrOverflow)
			require.Empty(t, got, "all or nothing")
			q.Close()
			require.ErrorIs(t, q.Err(), pubsub.ErrOverflow, "the first reason stays")
		})
	}
}

func TestQueueInSteadyUseDoesNotAllocate(t *testing.T) {
	q := pubsub.NewQueue(1<<20, 1000)
	m := pubsub.Message{Channel: b("c"), Payload: make([]byte, 100)}
	n := testing.AllocsPerRun(100, func() {
		for range 20 {
			q.Deliver(m)
		}
		_, _ = q.Receive()
	})
	require.Zero(t, n)
}

func BenchmarkPublish(bb *testing.B) {
	for _, n := range []int{1, 100, 10000} {
		bb.Run(fmt.Sprint(n), func(bb *testing.B) {
			h := pubsub.NewHub()
			var got countingSubscriber
			for range n {
				h.Subscribe(&sink{total: &got}, b("news"))
			}
			channel, payload := b("news"), make([]byte, 100)
			bb.ReportAllocs()
			for bb.Loop() {
				h.Publish(channel, payload)
			}
		})
	}
}
