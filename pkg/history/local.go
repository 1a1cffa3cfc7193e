package history

import (
	"container/list"
	"math"

	"byor/pkg/store"
)

// The histories that a replica keeps beside its data, since its master keeps none. They are streams like the others,
// but no keys: the data set stays what the master's is, and its full synchronization does not wipe them without our
// knowing. They end with the process.

// maxLocalBytes bounds what all of them take together. The channel that nobody has published on for the longest time
// goes first.
const maxLocalBytes = 64 << 20

// localOverhead is what a channel costs besides its stream and its name.
const localOverhead = 200

// local has the histories beside the data. The zero value has none.
type local struct {
	channels map[string]*list.Element
	recent   list.List // of *localStream, the latest first
	bytes    int64
	limit    int64 // 0: maxLocalBytes

	top   store.StreamID // the last ID that was given
	since store.StreamID // what was published after it is all here; before it, nobody knows
}

type localStream struct {
	channel string
	stream  *store.Stream
	bytes   int64
}

// start is called before the first use: what was published before that moment, by this process or the one before
// it, nobody knows.
func (l *local) start(nowMs int64) {
	if l.since.IsZero() {
		l.since = store.StreamID{Ms: uint64(max(1, nowMs)) - 1, Seq: math.MaxUint64}
		if l.top.Less(l.since) {
			l.top = l.since
		}
	}
}

func (l *local) has(channel []byte) bool { return l.channels[string(channel)] != nil }

// find returns the history of a channel, nil when there is none.
func (l *local) find(channel []byte) *localStream {
	if at := l.channels[string(channel)]; at != nil {
		return at.Value.(*localStream)
	}
	return nil
}

// append adds a message and returns its ID.
func (l *local) append(nowMs int64, r *Rule, channel, payload []byte) store.StreamID {
	l.start(nowMs)
	ls := l.begin(channel)
	id := l.nextID(nowMs)
	l.bytes -= ls.bytes
	ls.stream.Add(id, [][]byte{field, payload})
	ls.stream.Trim(store.StreamTrim{MaxLen: uint64(r.Max) + 1})
	if keep, some := oldestKept(ls.stream, r, nowMs); some {
		ls.stream.Trim(store.StreamTrim{ByID: true, MinID: keep})
	}
	ls.bytes = ls.stream.MemBytes() + int64(len(ls.channel)) + localOverhead
	l.bytes += ls.bytes
	l.recent.MoveToFront(l.channels[ls.channel])
	l.shrink()
	return id
}

// begin returns the history of a channel, a new one if there is none.
func (l *local) begin(channel []byte) *localStream {
	if ls := l.find(channel); ls != nil {
		return ls
	}
	ls := &localStream{channel: string(channel), stream: store.NewStream(), bytes: localOverhead}
	if l.channels == nil {
		l.channels = map[string]*list.Element{}
	}
	l.channels[ls.channel] = l.recent.PushFront(ls)
	l.bytes += ls.bytes
	return ls
}

// nextID gives each ID once, over all channels.
func (l *local) nextID(nowMs int64) store.StreamID {
	id := store.StreamID{Ms: uint64(nowMs)}
	if !l.top.Less(id) {
		id, _ = l.top.Next()
	}
	if isMark(id) {
		id, _ = id.Next()
	}
	l.top = id
	return id
}

// shrink lets go of the channels that were quiet the longest until there is room again. The latest stays.
func (l *local) shrink() {
	limit := l.limit
	if limit == 0 {
		limit = maxLocalBytes
	}
	for l.bytes > limit && l.recent.Len() > 1 {
		l.forget([]byte(l.recent.Back().Value.(*localStream).channel))
	}
	if ls, _ := l.recent.Front().Value.(*localStream); ls != nil && l.bytes > limit { // a single one that is too much
		keep := ls.stream.Meta().Length / 2
		ls.stream.Trim(store.StreamTrim{MaxLen: max(keep, 1)})
		l.bytes -= ls.bytes
		ls.bytes = ls.stream.MemBytes() + int64(len(ls.channel)) + localOverhead
		l.bytes += ls.bytes
	}
}

// forget drops the history of a channel.
func (l *local) forget(channel []byte) {
	at := l.channels[string(channel)]
	if at == nil {
		return
	}
	l.bytes -= at.Value.(*localStream).bytes
	l.recent.Remove(at)
	delete(l.channels, string(channel))
	l.since = l.top
}

func (l *local) forgetAll() {
	*l = local{limit: l.limit, top: l.top, since: l.top}
}

// isMark reports whether an ID is a mark: a moment at which a channel had no history on a replica. No entry has
// such an ID.
func isMark(id store.StreamID) bool { return id.Seq == math.MaxUint64 }

// mark returns the mark of this moment. Entries that follow have greater IDs.
func (l *local) mark(nowMs int64) store.StreamID {
	l.top = store.StreamID{Ms: max(uint64(nowMs), l.top.Ms+1), Seq: math.MaxUint64}
	return l.top
}
