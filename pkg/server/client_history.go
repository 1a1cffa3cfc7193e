package server

import (
	"slices"
	"strings"

	"byor/pkg/config"
	"byor/pkg/engine"
	"byor/pkg/history"
	"byor/pkg/pubsub"
)

// Histories of channels: what package history keeps reaches clients here.

func cmdHistorySubscribe(c *client) {
	c.s.history.Subscribe(&c.Call, c, c.s.isReplica(), c.s.cfg.OutputLimits[config.ClassPubSub].Hard)
	c.recount()
}

// WantEntries has messages that are kept come with the IDs of their entries.
func (c *client) WantEntries() { c.wantsEntry = true }

// historyCommands are the commands of a server that keeps histories.
func historyCommands(k *history.Keeper) []engine.Command {
	if k == nil {
		return nil
	}
	return []engine.Command{history.Command(by(cmdHistorySubscribe))}
}

// entry returns the ID under which the message of the PUBLISH that runs is kept; nil: it is not. If it should be and
// can't, entry replies an error and reports false.
func (c *client) entry() (id []byte, ok bool) {
	if c.s.following != nil {
		return c.s.history.Follow(&c.Call, c.s.following.before, c.Args[1], c.Args[2]), true
	}
	return c.s.history.Append(&c.Call, c.Args[1], c.Args[2])
}

// forgetHistory is for a replica that has got a new data set: it does not know what was published meanwhile. It ends
// the sessions that follow a history, so that they come back and ask.
func (s *Server) forgetHistory() {
	s.history.Forget()
	for _, c := range s.clients {
		if c.wantsEntry && slices.ContainsFunc(s.eng.Hub.Subscriptions(c, pubsub.Channel), s.history.Keeps) {
			s.closeClient(c, closeAfterReply)
		}
	}
}

func (s *Server) infoHistory(b *strings.Builder) {
	if st := s.history.Stats(); s.history != nil {
		fields(b, "history_appended", st.Appended, "history_replayed", st.Replayed, "history_hits", st.Hits,
			"history_misses", st.Misses, "history_local_channels", st.LocalChannels, "history_local_bytes", st.LocalBytes)
	}
}
