package history

import (
	"math"

	"byor/pkg/engine"
	"byor/pkg/pubsub"
	"byor/pkg/resp"
)

// Subscriber is the client of a HISTORY.SUBSCRIBE, whose session runs it.
type Subscriber interface {
	pubsub.Subscriber
	// Push opens a message of n values, which Message ends.
	Push(n int) (w *resp.Writer, mark int)
	Message(mark int)
	// WantEntries is called once the request is found to be right: messages that are kept come with their entries from
	// then on.
	WantEntries()
}

// Command returns HISTORY.SUBSCRIBE for a server that keeps histories; run calls Subscribe.
func Command(run func(*engine.Call)) engine.Command {
	const f = engine.PubSub | engine.NoScript | engine.Stale | engine.NoMulti
	return engine.Command{Name: "history.subscribe", Arity: -4, Flags: f, Handler: run}
}

// Subscribe executes HISTORY.SUBSCRIBE: it subscribes to channels and sends what was published before. As it is one
// command, nothing can come in between: each message is sent once, the kept ones first. Whoever asks again is sent
// them again. replica says whether the server is one, mostBytes how many bytes may wait for the client; 0 is no limit.
func (k *Keeper) Subscribe(c *engine.Call, sub Subscriber, replica bool, mostBytes int64) {
	wanted, err := ParseRequests(c.Args)
	if err != nil {
		c.Fail(err.Error())
		return
	}
	sub.WantEntries()
	room := int64(math.MaxInt64)
	if mostBytes > 0 {
		room = mostBytes / 2
	}
	found := make([]Found, len(wanted))
	for i, q := range wanted {
		found[i] = k.Find(c, q, replica)
		room = found[i].Fit(q, room)
		n, _ := c.Engine().Hub.Subscribe(sub, q.Channel)
		confirm(sub, q.Channel, n, found[i])
	}
	for i, q := range wanted {
		k.Replay(q, found[i], func(payload, entry []byte) {
			sub.Deliver(pubsub.Message{Kind: pubsub.Channel, Channel: q.Channel, Payload: payload, Entry: entry})
		})
	}
}

// confirm confirms a subscription: as SUBSCRIBE does, and then whether nothing is missing, the ID of the latest entry,
// null where the channel has no history, and how many kept messages follow.
func confirm(sub Subscriber, channel []byte, count int, f Found) {
	w, mark := sub.Push(6)
	w.BulkString("subscribe")
	w.Bulk(channel)
	w.Int(int64(count))
	if f.Recovered {
		w.Int(1)
	} else {
		w.Int(0)
	}
	if f.Kept {
		w.Bulk(f.Last.Append(nil))
	} else {
		w.Null()
	}
	w.Int(f.Count)
	sub.Message(mark)
}
