package queue_test

import (
	"context"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"byor/pkg/queue"
	"byor/pkg/resp"
)

func TestNames(t *testing.T) {
	for _, name := range []string{"jobs", "a.b:c_D-9", strings.Repeat("x", 128)} {
		require.NoError(t, queue.CheckName(name), name)
	}
	for _, name := range []string{"", ".", "..", "a b", "a/b", "ä", "a\x00", "a*", "{a}", strings.Repeat("x", 129)} {
		require.ErrorIs(t, queue.CheckName(name), queue.ErrName, name)
	}
	for _, id := range []string{"1701-0", "0-1", "18446744073709551615-18446744073709551615"} {
		require.NoError(t, queue.CheckEntry(id), id)
	}
	for _, id := range []string{"", "-", "1", "1-", "-1", "1-0-0", "01-0", "+1-0", "1-a", "18446744073709551616-0", "*"} {
		require.ErrorIs(t, queue.CheckEntry(id), queue.ErrEntry, id)
	}
}

// A message that was taken is hidden, and gone when it is acknowledged.
func TestTakeAndAcknowledge(t *testing.T) {
	onBoth(t, func(t *testing.T, e *engine) {
		q := e.queues(t, nil)
		_, ok := take(t, q, "jobs")
		require.False(t, ok)
		_, ok, err := q.Look("jobs")
		require.NoError(t, err)
		require.False(t, ok)
		e.Want("EXISTS queue:jobs", ":0") // asking makes no key
		a, b := e.add("jobs", "a"), e.add("jobs", "b")
		look, ok, err := q.Look("jobs") // before there is a group
		require.NoError(t, err)
		require.True(t, ok)
		require.Equal(t, queue.Job{Queue: "jobs", Entry: a, Data: []byte("a")}, look)
		got, ok := take(t, q, "jobs")
		require.True(t, ok)
		require.Equal(t, queue.Job{Queue: "jobs", Entry: a, Data: []byte("a"), Tries: 1}, got)
		look, ok, err = q.Look("jobs")
		require.NoError(t, err)
		require.True(t, ok)
		require.Equal(t, b, look.Entry)

		n, err := q.Ack("jobs", a, b, "1-1") // b has been given to nobody
		require.NoError(t, err)
		require.Equal(t, 1, n)
		n, err = q.Ack("jobs", a)
		require.NoError(t, err)
		require.Zero(t, n)
		e.Want("XLEN queue:jobs", ":1")
		got, ok = take(t, q, "jobs")
		require.True(t, ok)
		require.Equal(t, b, got.Entry)
		_, ok = take(t, q, "jobs")
		require.False(t, ok)
		_, ok, err = q.Look("jobs")
		require.NoError(t, err)
		require.False(t, ok)

		require.NoError(t, q.Return("jobs", b))
		look, ok, err = q.Look("jobs")
		require.NoError(t, err)
		require.True(t, ok)
		require.Equal(t, 1, look.Tries)
		got, ok = take(t, q, "jobs")
		require.True(t, ok)
		require.Equal(t, 2, got.Tries)
		require.EqualValues(t, []int64{3, 1, 1}, []int64{q.Stats.Given.Load(), q.Stats.Again.Load(), q.Stats.Acked.Load()})
	})
}

// An entry that somebody else has added may have any fields, binary ones, too.
func TestForeignEntries(t *testing.T) {
	onBoth(t, func(t *testing.T, e *engine) {
		q := e.queues(t, func(o *queue.Options) { o.Timeout = 20 * time.Millisecond })
		e.Send("XADD", "queue:jobs", "7-7", "kind", "\xff", "data", "x", "data", "y")
		require.Equal(t, "7-7", string(e.Read().Str))
		got, ok := take(t, q, "jobs")
		require.True(t, ok)
		require.Equal(t, queue.Job{Queue: "jobs", Entry: "7-7", Data: []byte("x"), Tries: 1,
			Rest: [][2][]byte{{[]byte("kind"), []byte("\xff")}, {[]byte("data"), []byte("y")}}}, got)
		e.Want("XDEL queue:jobs 7-7", ":1") // while somebody works on it
		require.Eventually(t, func() bool {
			_, ok = take(t, q, "jobs")
			require.False(t, ok)
			return len(e.Do("XPENDING queue:jobs workers - + 10").Elems) == 0
		}, patience, time.Millisecond)
	})
}

// What the engine does not do is an error, and the next request works.
func TestErrors(t *testing.T) {
	onBoth(t, func(t *testing.T, e *engine) {
		q := e.queues(t, nil)
		e.Want("SET queue:jobs text", "+OK")
		_, _, err := q.Take(context.Background(), "jobs", 0)
		var reply resp.ReplyError
		require.ErrorAs(t, err, &reply)
		require.True(t, strings.HasPrefix(err.Error(), "WRONGTYPE "), err)
		_, err = q.Ack("jobs", "1-1")
		require.ErrorAs(t, err, &reply)
		_, err = q.Ack("jobs", "x")
		require.ErrorIs(t, err, queue.ErrEntry)
		_, err = q.Ack("jobs", make([]string, queue.MaxAck+1)...)
		require.ErrorIs(t, err, queue.ErrTooMany)
		_, _, err = q.Take(context.Background(), "a b", 0)
		require.ErrorIs(t, err, queue.ErrName)
		e.Want("DEL queue:jobs", ":1")

		id := e.add("jobs", "a")
		_, ok := take(t, q, "jobs")
		require.True(t, ok)
		e.Want("FLUSHALL", "+OK") // the group goes with it
		_, ok = take(t, q, "jobs")
		require.False(t, ok)
		n, err := q.Ack("jobs", id)
		require.NoError(t, err)
		require.Zero(t, n)
		e.add("jobs", "b")
		got, ok := take(t, q, "jobs")
		require.True(t, ok)
		require.Equal(t, "b", string(got.Data))
	})
}

// A session that the server has closed is opened again.
func TestSessionsEnd(t *testing.T) {
	onBoth(t, func(t *testing.T, e *engine) {
		q := e.queues(t, nil)
		w := work(t, q, "jobs", queue.ConsumerOptions{Prefetch: 10})
		e.add("jobs", "a")
		require.Equal(t, "a", string(w.next().Data))
		require.NotZero(t, e.Do("CLIENT KILL TYPE normal SKIPME yes").Int)
		id := e.add("jobs", "b")
		require.Equal(t, "b", string(w.next().Data))
		require.NotZero(t, e.Do("CLIENT KILL TYPE normal SKIPME yes").Int)
		w.ack(id)
	})
}

// Who waits gets the message that comes, and no other waits longer than it wanted to.
func TestTakeWaits(t *testing.T) {
	onBoth(t, func(t *testing.T, e *engine) {
		q := e.queues(t, nil)
		_, ok, err := q.Take(context.Background(), "jobs", time.Millisecond)
		require.NoError(t, err)
		require.False(t, ok)
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_, ok, err = q.Take(ctx, "jobs", patience)
		require.NoError(t, err)
		require.False(t, ok)

		got := make(chan queue.Job, 2)
		for range 2 {
			go func() {
				j, ok, err := q.Take(context.Background(), "jobs", patience)
				if ok && err == nil {
					got <- j
				}
			}()
		}
		require.Eventually(t, func() bool { return q.Consumers("jobs") == 2 }, patience, time.Millisecond)
		e.add("jobs", "a")
		e.add("jobs", "b")
		first, second := <-got, <-got
		require.ElementsMatch(t, []string{"a", "b"}, []string{string(first.Data), string(second.Data)})
		require.Eventually(t, func() bool { return q.Consumers("jobs") == 0 }, patience, time.Millisecond)
		// They have it until its time is over, although they have gone.
		_, ok = take(t, q, "jobs")
		require.False(t, ok)
		n, err := q.Ack("jobs", first.Entry, second.Entry)
		require.NoError(t, err)
		require.Equal(t, 2, n)
	})
}

// After Tries attempts a message is moved to the queue of the dead. There it stays, however often it is tried.
func TestDeadLetters(t *testing.T) {
	onBoth(t, func(t *testing.T, e *engine) {
		q := e.queues(t, func(o *queue.Options) { o.Tries = 2 })
		id := e.add("jobs", "poison")
		for i := range 2 {
			got, ok := take(t, q, "jobs")
			require.True(t, ok)
			require.Equal(t, i+1, got.Tries)
			e.age("jobs", "http", id)
		}
		_, ok := take(t, q, "jobs")
		require.False(t, ok)
		e.Want("XLEN queue:jobs", ":0")
		require.EqualValues(t, 1, q.Stats.Dead.Load())
		n, err := q.Ack("jobs", id)
		require.NoError(t, err)
		require.Zero(t, n)
		for i := range 5 {
			got, ok := take(t, q, "jobs.dead")
			require.True(t, ok)
			require.Equal(t, i+1, got.Tries)
			require.Equal(t, "poison", string(got.Data))
			require.Equal(t, [][2][]byte{{[]byte("queue"), []byte("jobs")}, {[]byte("entry"), []byte(id)}, {[]byte("tries"), []byte("2")}}, got.Rest)
			e.age("jobs.dead", "http", got.Entry)
		}
	})
}

// A message that cannot be buried stays, and keeps no other from being given.
func TestDeadWithoutAPlace(t *testing.T) {
	onBoth(t, func(t *testing.T, e *engine) {
		q := e.queues(t, func(o *queue.Options) { o.Tries = 1 })
		e.Want("SET queue:jobs.dead text", "+OK")
		var ids []string
		for i := range 20 {
			ids = append(ids, e.add("jobs", strconv.Itoa(i)))
			_, ok := take(t, q, "jobs")
			require.True(t, ok)
		}
		e.age("jobs", "http", ids...)
		e.add("jobs", "new")
		got, ok := take(t, q, "jobs")
		require.True(t, ok)
		require.Equal(t, "new", string(got.Data))
		e.Want("XLEN queue:jobs", ":21")
		e.Want("DEL queue:jobs.dead", ":1")
		_, ok = take(t, q, "jobs")
		require.False(t, ok)
		e.Want("XLEN queue:jobs.dead", ":20")
		e.Want("XLEN queue:jobs", ":1")
	})
}

// The list says of each queue what there is, in order.
func TestList(t *testing.T) {
	onBoth(t, func(t *testing.T, e *engine) {
		q := e.queues(t, nil)
		do := func(args ...string) (resp.Value, error) {
			e.Send(args...)
			v := e.Read()
			return v, v.Err()
		}
		e.Want("SET queue:text x", "+OK")
		e.Want("XADD other 1-1 a b", `"1-1"`)
		for _, name := range []string{"b", "a", "a.dead"} {
			e.add(name, "1")
			e.add(name, "2")
		}
		_, ok := take(t, q, "b")
		require.True(t, ok)
		w := work(t, q, "a", queue.ConsumerOptions{Policy: queue.Broadcast})
		w.next()
		infos, more, err := q.List(do)
		require.NoError(t, err)
		require.False(t, more)
		require.Equal(t, []queue.Info{
			{Name: "a", Length: 2, Pending: 1, Consumers: 1, Policy: queue.Broadcast}, {Name: "a.dead", Length: 2}, {Name: "b", Length: 2, Pending: 1},
		}, infos)
	})
}
