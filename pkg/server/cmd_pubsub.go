package server

import (
	"byor/pkg/pubsub"
	"byor/pkg/resp"
)

func init() {
	const f = PubSub | NoScript | Loading | Stale
	register("pubsub", []Command{
		{Name: "subscribe", Arity: -2, Flags: f, Handler: cmdSubscribe},
		{Name: "unsubscribe", Arity: -1, Flags: f, Handler: cmdUnsubscribe},
		{Name: "psubscribe", Arity: -2, Flags: f, Handler: cmdPSubscribe},
		{Name: "punsubscribe", Arity: -1, Flags: f, Handler: cmdPUnsubscribe},
		{Name: "ssubscribe", Arity: -2, Flags: f, Keys: Keys{1, -1, 1}, Handler: cmdSSubscribe},
		{Name: "sunsubscribe", Arity: -1, Flags: f, Keys: Keys{1, -1, 1}, Handler: cmdSUnsubscribe},
		{Name: "publish", Arity: 3, Flags: PubSub | Loading | Stale | Fast | MayReplicate, Handler: cmdPublish},
		{Name: "spublish", Arity: 3, Flags: PubSub | Loading | Stale | Fast | MayReplicate, Keys: Keys{1, 1, 1}, Handler: cmdSPublish},
		{Name: "pubsub", Arity: -2, Sub: []*Command{
			{Name: "channels", Arity: -2, Flags: PubSub | Loading | Stale, Handler: cmdPubsubChannels},
			{Name: "help", Arity: 2, Flags: Loading | Stale, Handler: cmdPubsubHelp},
			{Name: "numpat", Arity: 2, Flags: PubSub | Loading | Stale, Handler: cmdPubsubNumpat},
			{Name: "numsub", Arity: -2, Flags: PubSub | Loading | Stale, Handler: cmdPubsubNumsub},
			{Name: "shardchannels", Arity: -2, Flags: PubSub | Loading | Stale, Handler: cmdPubsubChannels},
			{Name: "shardnumsub", Arity: -2, Flags: PubSub | Loading | Stale, Handler: cmdPubsubNumsub},
		}},
	})
}

// subscriptions counts what the client is subscribed to; what it is, the hub knows.
type subscriptions struct{ channels, sharded int }

func (s subscriptions) count() int { return s.channels + s.sharded }

// Deliver appends a published message to the client's output. It is called by the hub, under the
// engine's lock.
func (c *Client) Deliver(m pubsub.Message) {
	if c.closing != staysOpen { // its last words are said
		return
	}
	if len(m.Payload) >= shareFrom && c.s.running != c {
		c.share(c.s.encoded(m, c.w.Proto))
		return
	}
	w, mark := c.beginPush()
	writeMessage(w, m)
	c.pushed(mark)
}

func writeMessage(w *resp.Writer, m pubsub.Message) {
	switch m.Kind {
	case pubsub.Channel:
		w.Push(3)
		w.BulkString("message")
	case pubsub.Pattern:
		w.Push(4)
		w.BulkString("pmessage")
		w.Bulk(m.Pattern)
	case pubsub.Sharded:
		w.Push(3)
		w.BulkString("smessage")
	}
	w.Bulk(m.Channel)
	w.Bulk(m.Payload)
}

// subscribed replies to one change of a subscription; a nil name is written as null.
func (c *Client) subscribed(kind string, name []byte, count int) {
	w, mark := c.push(3)
	w.BulkString(kind)
	if name == nil {
		w.Null()
	} else {
		w.Bulk(name)
	}
	w.Int(int64(count))
	c.pushed(mark)
}

func (c *Client) recount() { c.subs.channels, c.subs.sharded = c.s.hub.Count(c) }

func (c *Client) subscribeAll(kind string, add func(pubsub.Subscriber, []byte) (int, bool)) {
	for _, name := range c.args[1:] {
		n, _ := add(c, name)
		c.subscribed(kind, name, n)
	}
	c.recount()
}

// unsubscribeFrom leaves the named, or all of the kind when none is named.
func (c *Client) unsubscribeFrom(word string, k pubsub.Kind, remove func(pubsub.Subscriber, []byte) (int, bool)) {
	names := c.args[1:]
	if len(names) == 0 {
		for _, n := range c.s.hub.Subscriptions(c, k) {
			names = append(names, []byte(n))
		}
		if len(names) == 0 {
			channels, sharded := c.s.hub.Count(c)
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

func cmdSubscribe(c *Client) {
	c.subscribeAll("subscribe", c.s.hub.Subscribe)
}

func cmdPSubscribe(c *Client) {
	c.subscribeAll("psubscribe", c.s.hub.PSubscribe)
}

func cmdSSubscribe(c *Client) {
	c.subscribeAll("ssubscribe", c.s.hub.SSubscribe)
}

func cmdUnsubscribe(c *Client) {
	c.unsubscribeFrom("unsubscribe", pubsub.Channel, c.s.hub.Unsubscribe)
}

func cmdPUnsubscribe(c *Client) {
	c.unsubscribeFrom("punsubscribe", pubsub.Pattern, c.s.hub.PUnsubscribe)
}

func cmdSUnsubscribe(c *Client) {
	c.unsubscribeFrom("sunsubscribe", pubsub.Sharded, c.s.hub.SUnsubscribe)
}

func (s *Server) unsubscribeAll(c *Client) {
	if c.subs.count() > 0 {
		s.hub.UnsubscribeAll(c)
		c.subs = subscriptions{}
	}
}

// A message goes to the replicas too, whose clients may be subscribed; no file needs it.

func cmdPublish(c *Client) {
	if c.reservedChannel(c.args[1]) {
		return
	}
	n := c.s.hub.Publish(c.args[1], c.args[2])
	c.s.forgetEncoded()
	c.s.effect(c.db.ID(), toReplicas, c.args)
	c.w.Int(int64(n))
}

func cmdSPublish(c *Client) {
	if c.reservedChannel(c.args[1]) {
		return
	}
	n := c.s.hub.SPublish(c.args[1], c.args[2])
	c.s.forgetEncoded()
	c.s.effect(c.db.ID(), toReplicas, c.args)
	c.w.Int(int64(n))
}

func cmdPubsubChannels(c *Client) {
	if len(c.args) > 3 {
		c.failSubcommand()
		return
	}
	var pattern []byte
	if len(c.args) == 3 {
		pattern = c.args[2]
	}
	list := c.s.hub.Channels
	if c.cmd.Name == "shardchannels" {
		list = c.s.hub.ShardChannels
	}
	names := list(pattern)
	c.w.Array(len(names))
	for _, n := range names {
		c.w.BulkString(n)
	}
}

func cmdPubsubNumsub(c *Client) {
	count := c.s.hub.NumSub
	if c.cmd.Name == "shardnumsub" {
		count = c.s.hub.ShardNumSub
	}
	c.w.Array(2 * (len(c.args) - 2))
	for _, name := range c.args[2:] {
		c.w.Bulk(name)
		c.w.Int(int64(count(name)))
	}
}

func cmdPubsubNumpat(c *Client) { c.w.Int(int64(c.s.hub.NumPat())) }

func cmdPubsubHelp(c *Client) {
	c.help(
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
