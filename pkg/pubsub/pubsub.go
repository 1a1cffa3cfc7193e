// Package pubsub is the registry of who listens to what: channels, patterns
// and sharded channels, and the delivery of a message to all of them.
//
// The registry knows nothing of connections. A [Subscriber] is anything with a
// Deliver method that never blocks: the server appends a push to a client's
// output buffer there; a program with a goroutine per subscriber puts a
// [Queue] between the two.
//
// Delivery is that of Redis: at most once, in order, to whoever is subscribed
// at that moment. Nothing is kept for those who come later, and a publisher
// never waits for a subscriber: one that cannot keep up loses its connection,
// not some of its messages.
//
// A [Hub] and a Queue may be used by many goroutines at once. A message belongs to its publisher
// until Deliver returns; whoever keeps it copies it, as a Queue does. The bound on what waits
// is the Queue's; the number of subscriptions has none.
package pubsub

import (
	"cmp"
	"slices"
	"sync"
)

// Kind tells the three namespaces of subscriptions apart. A channel and a
// sharded channel of the same name have nothing to do with each other.
type Kind uint8

const (
	Channel Kind = iota // SUBSCRIBE, PUBLISH
	Pattern             // PSUBSCRIBE
	Sharded             // SSUBSCRIBE, SPUBLISH
	kinds
)

// Message is what a subscriber gets. Its slices belong to the publisher and to
// the hub: they are valid until Deliver returns and must not be changed.
type Message struct {
	// Kind says through which kind of subscription the message came. It is
	// Redis's "message", "pmessage" or "smessage".
	Kind    Kind
	Pattern []byte // the pattern that matched; nil unless Kind is Pattern
	Channel []byte
	Payload []byte
	Entry   []byte // the ID under which the message is kept; nil: it is not kept
}

// Subscriber receives messages. The value must be comparable (a pointer, as a
// rule): it is the subscriber's identity in the hub.
//
// Deliver is called under the hub's lock. It must not block, must not call the
// hub, and must copy what it wants to keep.
type Subscriber interface {
	Deliver(Message)
}

// Hub is the registry. It is safe for concurrent use: one lock covers a whole
// call, so that all subscribers of a channel see its messages in the same order.
// A caller that holds a lock of its own (the server's engine lock) may call
// the hub under it; the hub's lock is always the inner one.
type Hub struct {
	mu     sync.Mutex
	topics [kinds]map[string]*topic
	// patterns has the topics of kind Pattern in the order in which they came
	// to be. Redis keeps only a hash table of them, so its order is accidental.
	patterns list[*topic]
	clients  map[Subscriber]*client
	seq      uint64 // numbers the subscriptions, to list them in order
}

// topic is one channel or pattern that has subscribers.
type topic struct {
	name  []byte
	subs  list[*subscription]
	place int // in Hub.patterns
}

type subscription struct {
	sub   Subscriber
	topic *topic
	place int // in topic.subs
	seq   uint64
}

type client struct {
	subs [kinds]map[string]*subscription
}

func (c *client) total() int {
	return len(c.subs[Channel]) + len(c.subs[Pattern]) + len(c.subs[Sharded])
}

// count is the number Redis puts in a (un)subscribe reply: channels and
// patterns together, sharded channels apart.
func (c *client) count(k Kind) int {
	if k == Sharded {
		return len(c.subs[Sharded])
	}
	return len(c.subs[Channel]) + len(c.subs[Pattern])
}

// NewHub returns an empty registry.
func NewHub() *Hub {
	h := &Hub{clients: map[Subscriber]*client{}}
	for k := range h.topics {
		h.topics[k] = map[string]*topic{}
	}
	return h
}

// Subscribe adds a subscription to a channel. It returns the number of channels
// and patterns s now has, as the reply to SUBSCRIBE states it, and whether
// the subscription is new. The channel is copied.
func (h *Hub) Subscribe(s Subscriber, channel []byte) (count int, isNew bool) {
	return h.add(s, Channel, channel)
}

// Unsubscribe removes a subscription to a channel. It returns the number of
// channels and patterns left and whether there was such a subscription.
func (h *Hub) Unsubscribe(s Subscriber, channel []byte) (count int, was bool) {
	return h.remove(s, Channel, channel)
}

// PSubscribe is Subscribe for a pattern.
func (h *Hub) PSubscribe(s Subscriber, pattern []byte) (count int, isNew bool) {
	return h.add(s, Pattern, pattern)
}

// PUnsubscribe is Unsubscribe for a pattern.
func (h *Hub) PUnsubscribe(s Subscriber, pattern []byte) (count int, was bool) {
	return h.remove(s, Pattern, pattern)
}

// SSubscribe is Subscribe for a sharded channel; count has sharded channels only.
func (h *Hub) SSubscribe(s Subscriber, channel []byte) (count int, isNew bool) {
	return h.add(s, Sharded, channel)
}

// SUnsubscribe is Unsubscribe for a sharded channel; count has sharded channels only.
func (h *Hub) SUnsubscribe(s Subscriber, channel []byte) (count int, was bool) {
	return h.remove(s, Sharded, channel)
}

func (h *Hub) add(s Subscriber, k Kind, name []byte) (int, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	c := h.clients[s]
	if c == nil {
		c = &client{}
		h.clients[s] = c
	}
	if c.subs[k][string(name)] != nil {
		return c.count(k), false
	}
	t := h.topics[k][string(name)]
	if t == nil {
		t = &topic{name: slices.Clone(name)}
		h.topics[k][string(name)] = t
		if k == Pattern {
			t.place = h.patterns.add(t)
		}
	}
	h.seq++
	sub := &subscription{sub: s, topic: t, seq: h.seq}
	sub.place = t.subs.add(sub)
	if c.subs[k] == nil {
		c.subs[k] = map[string]*subscription{}
	}
	c.subs[k][string(name)] = sub
	return c.count(k), true
}

func (h *Hub) remove(s Subscriber, k Kind, name []byte) (int, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	c := h.clients[s]
	if c == nil {
		return 0, false
	}
	sub := c.subs[k][string(name)]
	if sub == nil {
		return c.count(k), false
	}
	delete(c.subs[k], string(name))
	h.drop(k, sub)
	if c.total() == 0 {
		delete(h.clients, s)
	}
	return c.count(k), true
}

// drop takes a subscription out of its topic, and the topic out of the hub
// when it was the last: an abandoned channel must cost nothing.
func (h *Hub) drop(k Kind, sub *subscription) {
	t := sub.topic
	t.subs.remove(sub.place, func(s *subscription, place int) { s.place = place })
	if t.subs.n > 0 {
		return
	}
	delete(h.topics[k], string(t.name))
	if k == Pattern {
		h.patterns.remove(t.place, func(t *topic, place int) { t.place = place })
	}
}

// UnsubscribeAll removes every subscription of s, of all three kinds, and
// returns how many there were. Call it when a subscriber goes away.
func (h *Hub) UnsubscribeAll(s Subscriber) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	c := h.clients[s]
	if c == nil {
		return 0
	}
	delete(h.clients, s)
	n := c.total()
	for k := range kinds {
		for _, sub := range c.subs[k] {
			h.drop(k, sub)
		}
	}
	return n
}

// Publish delivers payload to the subscribers of channel, in the order in which
// they subscribed, then to those of each matching pattern, patterns in the
// order in which they were first subscribed to. A subscriber with several
// matching subscriptions gets the message once for each. It returns the number
// of deliveries, as PUBLISH replies, and does not allocate.
func (h *Hub) Publish(channel, payload []byte) int { return h.PublishEntry(channel, payload, nil) }

// PublishEntry is Publish for a message that is kept under an ID; nil: it is not.
func (h *Hub) PublishEntry(channel, payload, entry []byte) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := h.topics[Channel][string(channel)].deliver(Message{Kind: Channel, Channel: channel, Payload: payload, Entry: entry})
	for _, t := range h.patterns.items {
		if t != nil && Match(t.name, channel) {
			n += t.deliver(Message{Kind: Pattern, Pattern: t.name, Channel: channel, Payload: payload, Entry: entry})
		}
	}
	return n
}

// SPublish delivers payload to the subscribers of the sharded channel.
func (h *Hub) SPublish(channel, payload []byte) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.topics[Sharded][string(channel)].deliver(Message{Kind: Sharded, Channel: channel, Payload: payload})
}

func (t *topic) deliver(m Message) int {
	if t == nil {
		return 0
	}
	for _, sub := range t.subs.items {
		if sub != nil {
			sub.sub.Deliver(m)
		}
	}
	return t.subs.n
}

// Channels returns the channels with at least one subscriber that match the
// glob pattern (nil for all), sorted. Subscribers of patterns do not count.
func (h *Hub) Channels(pattern []byte) []string { return h.names(Channel, pattern) }

// ShardChannels is Channels for sharded channels.
func (h *Hub) ShardChannels(pattern []byte) []string { return h.names(Sharded, pattern) }

func (h *Hub) names(k Kind, pattern []byte) []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	names := []string{}
	for name := range h.topics[k] {
		if pattern == nil || Match(pattern, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// NumSub returns the number of subscribers of a channel, not counting those
// that would get its messages through a pattern.
func (h *Hub) NumSub(channel []byte) int { return h.numSub(Channel, channel) }

// ShardNumSub is NumSub for a sharded channel.
func (h *Hub) ShardNumSub(channel []byte) int { return h.numSub(Sharded, channel) }

func (h *Hub) numSub(k Kind, name []byte) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	if t := h.topics[k][string(name)]; t != nil {
		return t.subs.n
	}
	return 0
}

// NumPat returns the number of different patterns subscribed to, by whomever.
func (h *Hub) NumPat() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.topics[Pattern])
}

// Count returns how many channels and patterns s is subscribed to, and how
// many sharded channels.
func (h *Hub) Count(s Subscriber) (channelsAndPatterns, sharded int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	c := h.clients[s]
	if c == nil {
		return 0, 0
	}
	return c.count(Channel), c.count(Sharded)
}

// Subscriptions returns what s is subscribed to, of one kind, in the order in
// which it subscribed: what UNSUBSCRIBE without arguments goes through.
func (h *Hub) Subscriptions(s Subscriber, k Kind) []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	c := h.clients[s]
	if c == nil {
		return nil
	}
	names := make([]string, 0, len(c.subs[k]))
	for name := range c.subs[k] {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int {
		return cmp.Compare(c.subs[k][a].seq, c.subs[k][b].seq)
	})
	return names
}

// list keeps its items in the order of addition and removes in constant time,
// amortised: a removed item leaves a hole, and when half of the list is
// holes the rest closes up. (Redis walks a linked list on every UNSUBSCRIBE.)
type list[T comparable] struct {
	items []T // the zero value is a hole
	n     int // items that are not holes
}

func (l *list[T]) add(v T) (place int) {
	l.items = append(l.items, v)
	l.n++
	return len(l.items) - 1
}

func (l *list[T]) remove(place int, moved func(v T, place int)) {
	var hole T
	l.items[place] = hole
	l.n--
	if l.n == 0 {
		l.items = nil
		return
	}
	if len(l.items) < 16 || l.n > len(l.items)/2 {
		return
	}
	kept := make([]T, 0, 2*l.n)
	for _, v := range l.items {
		if v != hole {
			moved(v, len(kept))
			kept = append(kept, v)
		}
	}
	l.items = kept
}
