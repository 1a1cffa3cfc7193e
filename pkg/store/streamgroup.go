package store

import (
	"sort"
	"strings"
)

// UnknownRead says that a group's count of entries read is not known.
const UnknownRead = -1

// Group is a consumer group: how far it has read, and which entries it has handed to whom and not
// been told to be done.
type Group struct {
	Last        StreamID // the last entry handed out
	EntriesRead int64    // how many entries of the stream were handed out up to Last, or UnknownRead

	name      string
	pending   PEL
	consumers []*Consumer // ordered by name
}

// Consumer is a reader of a group.
type Consumer struct {
	SeenMs int64 // when it last tried to read or claim, in Unix milliseconds

	name    string
	pending PEL
}

// Pending is an entry handed to a consumer and not acknowledged. It may name an entry that has been
// deleted from the stream since.
type Pending struct {
	ID          StreamID
	DeliveredMs int64  // when it was last handed out, in Unix milliseconds
	Count       uint64 // how often it was handed out

	owner *Consumer
}

// Owner returns the consumer that has the entry, nil only while a snapshot is being loaded.
func (p *Pending) Owner() *Consumer { return p.owner }

// Groups returns the groups ordered by name. The slice must not be changed.
func (s *Stream) Groups() []*Group { return s.groups }

func (s *Stream) findGroup(name string) (int, bool) {
	return sort.Find(len(s.groups), func(i int) int { return strings.Compare(name, s.groups[i].name) })
}

// Group returns the group of this name, or nil.
func (s *Stream) Group(name []byte) *Group {
	if i, ok := s.findGroup(string(name)); ok {
		return s.groups[i]
	}
	return nil
}

// AddGroup makes a group. It returns nil when there is one of this name.
func (s *Stream) AddGroup(name []byte, last StreamID, entriesRead int64) *Group {
	i, ok := s.findGroup(string(name))
	if ok {
		return nil
	}
	g := &Group{name: string(name), Last: last, EntriesRead: entriesRead}
	s.groups = append(s.groups, nil)
	copy(s.groups[i+1:], s.groups[i:])
	s.groups[i] = g
	return g
}

// DeleteGroup removes a group with all it knows and reports whether it was there.
func (s *Stream) DeleteGroup(name []byte) bool {
	i, ok := s.findGroup(string(name))
	if ok {
		s.groups = append(s.groups[:i], s.groups[i+1:]...)
	}
	return ok
}

// Name returns the group's name.
func (g *Group) Name() string { return g.name }

// Pending returns the entries handed out and not acknowledged, whoever has them.
func (g *Group) Pending() *PEL { return &g.pending }

// Consumers returns the consumers ordered by name. The slice must not be changed.
func (g *Group) Consumers() []*Consumer { return g.consumers }

func (g *Group) findConsumer(name string) (int, bool) {
	return sort.Find(len(g.consumers), func(i int) int { return strings.Compare(name, g.consumers[i].name) })
}

// Consumer returns the consumer of this name, or nil.
func (g *Group) Consumer(name []byte) *Consumer {
	if i, ok := g.findConsumer(string(name)); ok {
		return g.consumers[i]
	}
	return nil
}

// AddConsumer makes a consumer. It returns nil when there is one of this name.
func (g *Group) AddConsumer(name []byte, seenMs int64) *Consumer {
	i, ok := g.findConsumer(string(name))
	if ok {
		return nil
	}
	c := &Consumer{name: string(name), SeenMs: seenMs}
	g.consumers = append(g.consumers, nil)
	copy(g.consumers[i+1:], g.consumers[i:])
	g.consumers[i] = c
	return c
}

// DeleteConsumer removes a consumer, and what it has pending from the group. It returns how many
// entries that were, and false when there is no such consumer.
func (g *Group) DeleteConsumer(name []byte) (pending int, ok bool) {
	i, ok := g.findConsumer(string(name))
	if !ok {
		return 0, false
	}
	c := g.consumers[i]
	c.pending.Range(StreamID{}, MaxStreamID, func(p *Pending) bool {
		g.pending.remove(p.ID)
		return true
	})
	g.consumers = append(g.consumers[:i], g.consumers[i+1:]...)
	return c.pending.Len(), true
}

// Deliver hands entry id to c: it becomes pending, or changes hands when it is pending already. The
// caller sets DeliveredMs and Count of what it returns; a new one has them 0.
func (g *Group) Deliver(id StreamID, c *Consumer) *Pending {
	p := g.pending.Get(id)
	if p == nil {
		p = &Pending{ID: id}
		g.pending.insert(p)
	}
	g.assign(p, c)
	return p
}

func (g *Group) assign(p *Pending, c *Consumer) {
	if p.owner == c {
		return
	}
	if p.owner != nil {
		p.owner.pending.remove(p.ID)
	}
	p.owner = c
	if c != nil {
		c.pending.insert(p)
	}
}

// Ack removes a pending entry and reports whether it was there.
func (g *Group) Ack(id StreamID) bool {
	p := g.pending.remove(id)
	if p == nil {
		return false
	}
	if p.owner != nil {
		p.owner.pending.remove(id)
	}
	return true
}

// LoadPending adds a pending entry that no consumer has yet, as snapshots list them first; Deliver
// gives it to one. It returns false when there is one of this ID.
func (g *Group) LoadPending(p Pending) bool {
	if g.pending.Get(p.ID) != nil {
		return false
	}
	g.pending.insert(&Pending{ID: p.ID, DeliveredMs: p.DeliveredMs, Count: p.Count})
	return true
}

func (g *Group) clone() *Group {
	c := &Group{name: g.name, Last: g.Last, EntriesRead: g.EntriesRead}
	for _, from := range g.consumers {
		to := &Consumer{name: from.name, SeenMs: from.SeenMs}
		c.consumers = append(c.consumers, to)
		from.pending.Range(StreamID{}, MaxStreamID, func(p *Pending) bool {
			q := c.Deliver(p.ID, to)
			q.DeliveredMs, q.Count = p.DeliveredMs, p.Count
			return true
		})
	}
	return c
}

// memBytes estimates the memory of the group.
func (g *Group) memBytes() int64 {
	return 160 + int64(g.pending.Len())*80 + int64(len(g.consumers))*128
}

// Name returns the consumer's name.
func (c *Consumer) Name() string { return c.name }

// Pending returns the entries that this consumer has.
func (c *Consumer) Pending() *PEL { return &c.pending }

// hasTombstones reports whether the entries from from on may have been deleted one by one, so that
// counting IDs does not count entries.
func (s *Stream) hasTombstones(from StreamID) bool {
	m := &s.meta
	return m.Length > 0 && !m.MaxDeleted.Less(m.First) && !m.MaxDeleted.Less(from)
}

// ReadUpTo returns how many entries were ever added up to id, when that can be told without
// counting, else UnknownRead. It copies streamEstimateDistanceFromFirstEverEntry.
func (s *Stream) ReadUpTo(id StreamID) int64 {
	m := &s.meta
	switch {
	case m.Added == 0:
		return 0
	case m.Length == 0 && !m.Last.Less(id):
		return int64(m.Added)
	case id == m.Last:
		return int64(m.Added)
	case m.Last.Less(id):
		return UnknownRead
	case m.MaxDeleted.IsZero() || m.MaxDeleted.Less(m.First):
		if id.Less(m.First) {
			return int64(m.Added - m.Length)
		}
		if id == m.First {
			return int64(m.Added - m.Length + 1)
		}
	}
	return UnknownRead
}

// Lag returns how many entries the group has yet to be handed, and false when that is not known.
func (s *Stream) Lag(g *Group) (int64, bool) {
	if s.meta.Added == 0 {
		return 0, true
	}
	read := g.EntriesRead
	if read == UnknownRead || s.hasTombstones(g.Last) {
		read = s.ReadUpTo(g.Last)
	}
	return int64(s.meta.Added) - read, read != UnknownRead
}

// HandedOut moves the group on to entry id, which a reader has been given.
func (s *Stream) HandedOut(g *Group, id StreamID) {
	if g.EntriesRead != UnknownRead && !s.hasTombstones(id) {
		g.EntriesRead++
	} else if s.meta.Added > 0 {
		g.EntriesRead = s.ReadUpTo(id)
	}
	g.Last = id
}
