package server

import (
	"math"
	"slices"
	"strings"

	"byor/pkg/config"
	"byor/pkg/engine"
	"byor/pkg/history"
	"byor/pkg/pubsub"
)

// Histories of channels: what package history keeps reaches clients here.

// historyCommands are the commands of a server that keeps histories.
func historyCommands(k *history.Keeper) []engine.Command {
	if k == nil {
		return nil
	}
	const f = engine.PubSub | engine.NoScript | engine.Stale | engine.NoMulti
	return []engine.Command{{Name: "history.subscribe", Arity: -4, Flags: f, Handler: by(cmdHistorySubscribe)}}
}

// entry returns the ID under which the message of the PUBLISH that runs is kept; nil: it is not. If it should be and
// can't, entry replies an error and reports false.
func (c *client) entry() (id []byte, ok bool) {
	if c.s.following != nil {
		return c.s.history.Follow(&c.Call, c.s.following.before, c.Args[1], c.Args[2]), true
	}
	return c.s.history.Append(&c.Call, c.Args[1], c.Args[2])
}

// cmdHistorySubscribe subscribes to channels and sends what was published before. As it is one command, nothing can
// come in between: each message is sent once, the kept ones first. Whoever asks again is sent them again.
func cmdHistorySubscribe(c *client) {
	hub := c.s.eng.Hub
	wanted, err := history.ParseRequests(c.Args)
	if err != nil {
		c.Fail(err.Error())
		return
	}
	c.wantsEntry = true
	found := make([]history.Found, len(wanted))
	room := c.replayRoom()
	for i, q := range wanted {
		found[i] = c.s.history.Find(&c.Call, q, c.s.isReplica())
		room = found[i].Fit(q, room)
		n, _ := hub.Subscribe(c, q.Channel)
		c.subscribedSince(q.Channel, n, found[i])
	}
	c.recount()
	for i, q := range wanted {
		c.s.history.Replay(q, found[i], func(payload, entry []byte) {
			c.Deliver(pubsub.Message{Kind: pubsub.Channel, Channel: q.Channel, Payload: payload, Entry: entry})
		})
	}
}

// replayRoom is how many bytes of kept messages a subscriber may be sent at once: half of what may wait for it.
func (c *client) replayRoom() int64 {
	if hard := c.s.cfg.OutputLimits[config.ClassPubSub].Hard; hard > 0 {
		return hard / 2
	}
	return math.MaxInt64
}

// subscribedSince confirms a subscription: as SUBSCRIBE does, and then whether nothing is missing, the ID of the
// latest entry, null where the channel has no history, and how many kept messages follow.
func (c *client) subscribedSince(channel []byte, count int, f history.Found) {
	w, mark := c.Push(6)
	w.BulkString("subscribe")
	w.Bulk(channel)
	w.Int(int64(count))
	w.Int(int64(btoi(f.Recovered)))
	if f.Kept {
		w.Bulk(f.Last.Append(nil))
	} else {
		w.Null()
	}
	w.Int(f.Count)
	c.Message(mark)
}

// forgetHistory is for a replica that has got a new data set: it does not know what was published meanwhile. It ends
// the sessions that follow a history, so that they come back and ask.
func (s *Server) forgetHistory() {
	s.history.Forget()
	for _, c := range s.clients {
		if c.wantsEntry && slices.ContainsFunc(s.eng.Hub.Subscriptions(c, pubsub.Channel), func(name string) bool { return s.history.Keeps([]byte(name)) }) {
			s.closeClient(c, closeAfterReply)
		}
	}
}

func (s *Server) infoHistory(b *strings.Builder) {
	if s.history == nil {
		return
	}
	st := s.history.Stats()
	fields(b, "history_appended", st.Appended, "history_replayed", st.Replayed, "history_hits", st.Hits, "history_misses", st.Misses,
		"history_local_channels", st.LocalChannels, "history_local_bytes", st.LocalBytes)
}
