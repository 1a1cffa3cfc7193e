package queue_test

import (
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"byor/pkg/queue"
	"byor/pkg/redistest"
)

// Each message goes to one consumer, to all of them in turn.
func TestRoundRobin(t *testing.T) {
	onBoth(t, func(t *testing.T, e *engine) {
		q := e.queues(t, nil)
		var workers []*worker
		for range 3 {
			workers = append(workers, work(t, q, "jobs", queue.ConsumerOptions{Prefetch: 10}))
		}
		seen := map[string]bool{}
		for i := range 30 {
			e.add("jobs", strconv.Itoa(i))
		}
		for range 10 {
			for _, w := range workers {
				j := w.next()
				require.Equal(t, 1, j.Tries)
				require.False(t, seen[j.Entry])
				seen[j.Entry] = true
			}
		}
		for _, w := range workers { // each has as many as it may
			require.Empty(t, w.jobs)
		}
		e.Want("XLEN queue:jobs", ":30")
		require.Len(t, e.Do("XINFO CONSUMERS queue:jobs workers").Elems, 3)
	})
}

// A consumer gets no more than its prefetch before it acknowledges.
func TestPrefetch(t *testing.T) {
	onBoth(t, func(t *testing.T, e *engine) {
		q := e.queues(t, nil)
		for i := range 9 {
			e.add("jobs", strconv.Itoa(i))
		}
		w := work(t, q, "jobs", queue.ConsumerOptions{Prefetch: 3})
		held := []string{w.next().Entry, w.next().Entry, w.next().Entry}
		// Another one takes the rest, so the first was passed over.
		other := work(t, q, "jobs", queue.ConsumerOptions{Prefetch: 5})
		for i := range 5 {
			require.Equal(t, strconv.Itoa(3+i), string(other.next().Data))
		}
		require.Empty(t, w.jobs)
		w.ack(held[1])
		require.Equal(t, "8", string(w.next().Data))
		w.ack(held[0], held[2])
		require.Eventually(t, func() bool { return redistest.Show(e.Do("XLEN queue:jobs")) == ":6" }, patience, time.Millisecond)
	})
}

// Large messages count, too: at most so many bytes, but always one message.
func TestPrefetchBytes(t *testing.T) {
	onBoth(t, func(t *testing.T, e *engine) {
		q := e.queues(t, nil)
		large := string(make([]byte, 10_000))
		w := work(t, q, "large", queue.ConsumerOptions{Prefetch: 10, MaxBytes: 5000})
		var ids []string
		for range 3 {
			ids = append(ids, e.add("large", large))
		}
		for _, id := range ids {
			require.Equal(t, id, w.next().Entry)
			// The next one has not come with it: the watch has seen it, as this other consumer shows.
			other := work(t, q, "other", queue.ConsumerOptions{})
			e.add("other", "x")
			other.ack(other.next().Entry)
			other.Leave()
			require.Empty(t, w.jobs)
			w.ack(id)
		}
	})
}

// What a consumer holds goes to the next one when it leaves, also if that one comes later.
func TestLeaving(t *testing.T) {
	onBoth(t, func(t *testing.T, e *engine) {
		q := e.queues(t, nil)
		w, heir := work(t, q, "jobs", queue.ConsumerOptions{}), work(t, q, "jobs", queue.ConsumerOptions{Prefetch: 10})
		e.add("jobs", "a")
		e.add("jobs", "b")
		a := w.next().Entry
		require.Equal(t, "b", string(heir.next().Data))
		w.Leave()
		w.Leave() // once is enough
		j := heir.next()
		require.Equal(t, a, j.Entry)
		require.Equal(t, 2, j.Tries)
		heir.Leave()
		heir = work(t, q, "jobs", queue.ConsumerOptions{Prefetch: 10})
		require.ElementsMatch(t, []string{"a 3", "b 2"}, []string{text(heir.next()), text(heir.next())})
		heir.Leave()
		got, ok := take(t, q, "jobs") // may come before the last one has given back; then it is not there yet
		for !ok {
			got, ok = take(t, q, "jobs")
		}
		require.Contains(t, []string{"a 4", "b 3"}, text(got))
		require.Eventually(t, func() bool { // those who left are not remembered
			return len(e.Do("XINFO CONSUMERS queue:jobs workers").Elems) <= 2 // http, returned
		}, patience, time.Millisecond)
	})
}

func text(j queue.Job) string { return fmt.Sprintf("%s %d", j.Data, j.Tries) }

// A message whose time is over goes to another consumer, and the one that is stuck gets no more for it.
func TestTimeOut(t *testing.T) {
	onBoth(t, func(t *testing.T, e *engine) {
		q := e.queues(t, func(o *queue.Options) { o.Timeout, o.Tries = 300*time.Millisecond, 0 })
		stuck := work(t, q, "jobs", queue.ConsumerOptions{})
		id := e.add("jobs", "a")
		require.Equal(t, "a 1", text(stuck.next()))
		require.Equal(t, "a 2", text(stuck.next())) // nobody else is there
		heir := work(t, q, "jobs", queue.ConsumerOptions{Prefetch: 100})
		j := heir.next()
		require.Equal(t, id, j.Entry)
		require.Greater(t, j.Tries, 2)
		e.add("jobs", "b")
		for j = heir.next(); string(j.Data) != "b"; j = heir.next() {
			require.Equal(t, id, j.Entry)
		}
		heir.ack(id, j.Entry)
		e.add("jobs", "c") // goes to either: the first one's message is done
		select {
		case <-stuck.jobs:
		case <-heir.jobs:
		case <-time.After(patience):
			require.Fail(t, "nobody has got it")
		}
	})
}

// A worker whose message is dead has its hands free again, and can do no more for it.
func TestDeadInSomebodysHands(t *testing.T) {
	onBoth(t, func(t *testing.T, e *engine) {
		q := e.queues(t, func(o *queue.Options) { o.Timeout, o.Tries = 50*time.Millisecond, 1 })
		w := work(t, q, "jobs", queue.ConsumerOptions{})
		ids := map[string]bool{}
		for i := range 3 {
			ids[e.add("jobs", strconv.Itoa(i))] = true
		}
		for range 3 {
			j := w.next()
			require.True(t, ids[j.Entry])
			delete(ids, j.Entry)
			if len(ids) == 0 {
				require.Eventually(t, func() bool { return q.Stats.Dead.Load() == 3 }, patience, time.Millisecond)
				n, err := w.Ack(j.Entry)
				require.NoError(t, err)
				require.Zero(t, n)
			}
		}
		e.Want("XLEN queue:jobs.dead", ":3")
	})
}

// What the consumers of a process hold that has ended is given to the next ones at once.
func TestNextProcess(t *testing.T) {
	onBoth(t, func(t *testing.T, e *engine) {
		var killed atomic.Bool
		before := e.queues(t, func(o *queue.Options) {
			o.Dial = func() (*queue.Link, error) {
				if killed.Load() {
					return nil, errors.New("killed")
				}
				return e.dial()
			}
		})
		w := work(t, before, "jobs", queue.ConsumerOptions{Prefetch: 600})
		ids := map[string]bool{}
		for i := range 600 { // more than one page of XPENDING
			ids[e.add("jobs", strconv.Itoa(i))] = true
		}
		for range 600 {
			w.next()
		}
		e.add("all", "x")
		work(t, before, "all", queue.ConsumerOptions{Policy: queue.Broadcast}).next()
		killed.Store(true)
		require.NotZero(t, e.Do("CLIENT KILL TYPE normal SKIPME yes").Int)
		after := e.queues(t, nil)
		heir := work(t, after, "jobs", queue.ConsumerOptions{Prefetch: 600})
		for range 600 {
			j := heir.next()
			require.Equal(t, 2, j.Tries)
			require.True(t, ids[j.Entry])
			delete(ids, j.Entry)
		}
		got, ok := take(t, after, "all")
		require.True(t, ok)
		require.Equal(t, "x 2", text(got))
	})
}

// All consumers get a broadcast message. It is done when all have acknowledged it or left.
func TestBroadcast(t *testing.T) {
	onBoth(t, func(t *testing.T, e *engine) {
		q := e.queues(t, nil)
		w := work(t, q, "news", queue.ConsumerOptions{Policy: queue.Broadcast, Prefetch: 2})
		v := work(t, q, "news", queue.ConsumerOptions{Policy: queue.Broadcast, Prefetch: 2})
		_, err := q.Consume("news", queue.ConsumerOptions{Prefetch: 1})
		require.ErrorIs(t, err, queue.ErrPolicy)
		_, _, err = q.Take(t.Context(), "news", 0)
		require.ErrorIs(t, err, queue.ErrPolicy)
		a, b, c := e.add("news", "a"), e.add("news", "b"), e.add("news", "c")
		for _, x := range []*worker{w, v} {
			require.Equal(t, "a 1", text(x.next()))
			require.Equal(t, "b 1", text(x.next()))
		}
		w.ack(a)
		n, err := w.Ack(a)
		require.NoError(t, err)
		require.Zero(t, n)
		e.Want("XLEN queue:news", ":3")
		v.ack(a)
		require.Equal(t, "c 1", text(w.next()))
		require.Equal(t, "c 1", text(v.next()))
		e.Want("XLEN queue:news", ":2")
		w.ack(b, c)
		v.Leave()
		require.Eventually(t, func() bool { return redistest.Show(e.Do("XLEN queue:news")) == ":0" }, patience, time.Millisecond)

		d := e.add("news", "d")
		require.Equal(t, d, w.next().Entry)
		w.Leave() // and nobody has acknowledged it
		u := work(t, q, "news", queue.ConsumerOptions{Policy: queue.Broadcast, Prefetch: 2})
		require.Equal(t, "d 2", text(u.next()))
		u.ack(d)
		require.Eventually(t, func() bool { return redistest.Show(e.Do("XLEN queue:news")) == ":0" }, patience, time.Millisecond)
	})
}

// A consumer that keeps a broadcast from going on is sent away when the time is over.
func TestBroadcastLate(t *testing.T) {
	onBoth(t, func(t *testing.T, e *engine) {
		q := e.queues(t, func(o *queue.Options) { o.Timeout = 100 * time.Millisecond })
		w := work(t, q, "news", queue.ConsumerOptions{Policy: queue.Broadcast, Prefetch: 100})
		stuck := work(t, q, "news", queue.ConsumerOptions{Policy: queue.Broadcast})
		a := e.add("news", "a")
		b := e.add("news", "b")
		j := w.next() // again and again perhaps, if this machine is slow
		require.Equal(t, a, j.Entry)
		w.Ack(a)
		<-stuck.late
		<-stuck.Done()
		for j.Entry != b {
			j = w.next()
		}
		w.Ack(b)
	})
}

// Close gives everything back, and Reopen begins anew.
func TestCloseAndReopen(t *testing.T) {
	onBoth(t, func(t *testing.T, e *engine) {
		q := e.queues(t, nil)
		w := work(t, q, "jobs", queue.ConsumerOptions{})
		e.add("jobs", "a")
		w.next()
		waiting := make(chan error, 1)
		go func() {
			_, _, err := q.Take(t.Context(), "empty", patience)
			waiting <- err
		}()
		require.Eventually(t, func() bool { return q.Consumers("empty") == 1 }, patience, time.Millisecond)
		q.Close()
		require.ErrorIs(t, <-waiting, queue.ErrClosed)
		<-w.Done()
		_, err := q.Consume("jobs", queue.ConsumerOptions{Prefetch: 1})
		require.ErrorIs(t, err, queue.ErrClosed)
		_, _, err = q.Take(t.Context(), "jobs", 0)
		require.ErrorIs(t, err, queue.ErrClosed)
		require.Len(t, e.Do("XPENDING queue:jobs workers - + 10 returned").Elems, 1)
		q.Reopen()
		got, ok := take(t, q, "jobs")
		require.True(t, ok)
		require.Equal(t, "a 2", text(got))
	})
}
