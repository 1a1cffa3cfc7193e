package server

import (
	"byor/pkg/engine"
	"byor/pkg/pubsub"
	"byor/pkg/resp"
)

func init() {
	const f = engine.PubSub | engine.NoScript | engine.Loading | engine.Stale
	engine.Register("pubsub", []engine.Command{
		{Name: "subscribe", Arity: -2, Flags: f, Handler: by(cmdSubscribe)},
		{Name: "unsubscribe", Arity: -1, Flags: f, Handler: by(cmdUnsubscribe)},
		{Name: "psubscribe", Arity: -2, Flags: f, Handler: by(cmdPSubscribe)},
		{Name: "punsubscribe", Arity: -1, Flags: f, Handler: by(cmdPUnsubscribe)},
		{Name: "ssubscribe", Arity: -2, Flags: f, Keys: engine.At(1, -1, 1), Handler: by(cmdSSubscribe)},
		{Name: "sunsubscribe", Arity: -1, Flags: f, Keys: engine.At(1, -1, 1), Handler: by(cmdSUnsubscribe)},
		{Name: "publish", Arity: 3, Flags: engine.PubSub | engine.Loading | engine.Stale | engine.Fast | engine.MayReplicate, Handler: by(cmdPublish)},
		{Name: "spublish", Arity: 3, Flags: engine.PubSub | engine.Loading | engine.Stale | engine.Fast | engine.MayReplicate, Keys: engine.At(1, 1, 1), Handler: by(cmdSPublish)},
		{Name: "pubsub", Arity: -2, Sub: []*engine.Command{
			{Name: "channels", Arity: -2, Flags: engine.PubSub | engine.Loading | engine.Stale, Handler: by(cmdPubsubChannels)},
			{Name: "help", Arity: 2, Flags: engine.Loading | engine.Stale, Handler: by(cmdPubsubHelp)},
			{Name: "numpat", Arity: 2, Flags: engine.PubSub | engine.Loading | engine.Stale, Handler: by(cmdPubsubNumpat)},
			{Name: "numsub", Arity: -2, Flags: engine.PubSub | engine.Loading | engine.Stale, Handler: by(cmdPubsubNumsub)},
			{Name: "shardchannels", Arity: -2, Flags: engine.PubSub | engine.Loading | engine.Stale, Handler: by(cmdPubsubChannels)},
			{Name: "shardnumsub", Arity: -2, Flags: engine.PubSub | engine.Loading | engine.Stale, Handler: by(cmdPubsubNumsub)},
		}},
	})
}

// Deliver appends a published message to the client's output, or hands it over as it is to a client that takes
// messages. It is called by the hub, under the engine's lock.
func (c *client) Deliver(m pubsub.Message) {
	if c.closing != staysOpen { // its last words are said
		return
	}
	if c.direct != nil && c.takes() {
		c.s.woke = true
		c.direct.Deliver(m)
		c.s.traffic.wrote(messageLen(m))
		return
	}
	if len(m.Payload) >= shareFrom && !c.runs() {
		c.share(c.s.encoded(m, c.Session.Output().Proto, c.wantsEntry))
		return
	}
	w, mark := c.beginPush()
	writeMessage(w, m, c.wantsEntry)
	c.Message(mark)
}

// messageLen returns how long a message is as RESP.
func messageLen(m pubsub.Message) int {
	n := len(">3\r\n$7\r\nmessage\r\n") + bulkLen(m.Channel) + bulkLen(m.Payload)
	if m.Entry != nil {
		n += bulkLen(m.Entry)
	}
	switch m.Kind {
	case pubsub.Pattern:
		n += len("p") + bulkLen(m.Pattern)
	case pubsub.Sharded:
		n += len("s")
	}
	return n
}

func bulkLen(b []byte) int { return len("$\r\n\r\n") + decimals(len(b)) + len(b) }

// writeMessage writes a message, with the ID of its entry, if it has one, for who wants to know that.
func writeMessage(w *resp.Writer, m pubsub.Message, withEntry bool) {
	withEntry = withEntry && m.Entry != nil
	more := btoi(withEntry)
	switch m.Kind {
	case pubsub.Channel:
		w.Push(3 + more)
		w.BulkString("message")
	case pubsub.Pattern:
		w.Push(4 + more)
		w.BulkString("pmessage")
		w.Bulk(m.Pattern)
	case pubsub.Sharded:
		w.Push(3)
		w.BulkString("smessage")
	}
	w.Bulk(m.Channel)
	w.Bulk(m.Payload)
	if withEntry {
		w.Bulk(m.Entry)
	}
}

// subscribed replies to one change of a subscription; a nil name is written as null.
func (c *client) subscribed(kind string, name []byte, count int) {
	w, mark := c.Push(3)
	w.BulkString(kind)
	if name == nil {
		w.Null()
	} else {
		w.Bulk(name)
	}
	w.Int(int64(count))
	c.Message(mark)
}

func (c *client) recount() { c.Subs.Channels, c.Subs.Sharded = c.s.eng.Hub.Count(c) }

func (c *client) subscribeAll(kind string, add func(pubsub.Subscriber, []byte) (int, bool)) {
	for _, name := range c.Args[1:] {
		n, _ := add(c, name)
		c.subscribed(kind, name, n)
	}
	c.recount()
}

// unsubscribeFrom leaves the named, or all of the kind when none is named.
func (c *client) unsubscribeFrom(word string, k pubsub.Kind, remove func(pubsub.Subscriber, []byte) (int, bool)) {
	names := c.Args[1:]
	if len(names) == 0 {
		for _, n := range c.s.eng.Hub.Subscriptions(c, k) {
			names = append(names, []byte(n))
		}
		if len(names) == 0 {
			channels, sharded := c.s.eng.Hub.Count(c)
			if k == pubsub.Sharded {
				channels = sharded
			}
			c.subscribed(word, nil, channels)
			return
		}
	}
	for _, name := range names {
		n, _ := remove(c, name)
		c.subscribed(word, name, n)
	}
	c.recount()
}

func cmdSubscribe(c *client) {
	c.subscribeAll("subscribe", c.s.eng.Hub.Subscribe)
}

func cmdPSubscribe(c *client) {
	c.subscribeAll("psubscribe", c.s.eng.Hub.PSubscribe)
}

func cmdSSubscribe(c *client) {
	c.subscribeAll("ssubscribe", c.s.eng.Hub.SSubscribe)
}

func cmdUnsubscribe(c *client) {
	c.unsubscribeFrom("unsubscribe", pubsub.Channel, c.s.eng.Hub.Unsubscribe)
}

func cmdPUnsubscribe(c *client) {
	c.unsubscribeFrom("punsubscribe", pubsub.Pattern, c.s.eng.Hub.PUnsubscribe)
}

func cmdSUnsubscribe(c *client) {
	c.unsubscribeFrom("sunsubscribe", pubsub.Sharded, c.s.eng.Hub.SUnsubscribe)
}

func (s *Server) unsubscribeAll(c *client) {
	if c.Subs.Count() > 0 {
		s.eng.Hub.UnsubscribeAll(c)
		c.Subs = engine.Subscriptions{}
	}
}

// A message goes to the replicas too, whose clients may be subscribed; no file needs it.

func cmdPublish(c *client) {
	if c.reservedChannel(c.Args[1]) {
		return
	}
	entry, ok := c.entry()
	if !ok {
		return
	}
	n := c.s.eng.Hub.PublishEntry(c.Args[1], c.Args[2], entry)
	c.s.forgetEncoded()
	c.s.eng.Effect(c.DB.ID(), engine.ToReplicas, c.Args)
	c.Reply.Int(int64(n))
}

func cmdSPublish(c *client) {
	if c.reservedChannel(c.Args[1]) {
		return
	}
	n := c.s.eng.Hub.SPublish(c.Args[1], c.Args[2])
	c.s.forgetEncoded()
	c.s.eng.Effect(c.DB.ID(), engine.ToReplicas, c.Args)
	c.Reply.Int(int64(n))
}

func cmdPubsubChannels(c *client) {
	if len(c.Args) > 3 {
		c.FailSubcommand()
		return
	}
	var pattern []byte
	if len(c.Args) == 3 {
		pattern = c.Args[2]
	}
	list := c.s.eng.Hub.Channels
	if c.Cmd.Name == "shardchannels" {
		list = c.s.eng.Hub.ShardChannels
	}
	names := list(pattern)
	c.Reply.Array(len(names))
	for _, n := range names {
		c.Reply.BulkString(n)
	}
}

func cmdPubsubNumsub(c *client) {
	count := c.s.eng.Hub.NumSub
	if c.Cmd.Name == "shardnumsub" {
		count = c.s.eng.Hub.ShardNumSub
	}
	c.Reply.Array(2 * (len(c.Args) - 2))
	for _, name := range c.Args[2:] {
		c.Reply.Bulk(name)
		c.Reply.Int(int64(count(name)))
	}
}

func cmdPubsubNumpat(c *client) { c.Reply.Int(int64(c.s.eng.Hub.NumPat())) }

func cmdPubsubHelp(c *client) {
	c.Help(
		"CHANNELS [<pattern>]",
		"    Return the currently active channels matching a <pattern> (default: '*').",
		"NUMPAT",
		"    Return number of subscriptions to patterns.",
		"NUMSUB [<channel> ...]",
		"    Return the number of subscribers for the specified channels, excluding",
		"    pattern subscriptions(default: no channels).",
		"SHARDCHANNELS [<pattern>]",
		"    Return the currently active shard level channels matching a <pattern> (default: '*').",
		"SHARDNUMSUB [<shardchannel> ...]",
		"    Return the number of subscribers for the specified shard level channel(s)",
	)
}
