package store

import (
	"fmt"
	"math"
	"math/rand/v2"
	"sort"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// modelStream is a stream as simple as can be.
type modelStream struct {
	entries []modelEntry
	meta    StreamMeta
}

type modelEntry struct {
	id     StreamID
	fields string
}

func (m *modelStream) fix() {
	m.meta.Length = uint64(len(m.entries))
	m.meta.First = StreamID{}
	if len(m.entries) > 0 {
		m.meta.First = m.entries[0].id
	}
}

func (m *modelStream) add(id StreamID, fields [][]byte) bool {
	if !m.meta.Last.Less(id) {
		return false
	}
	m.entries = append(m.entries, modelEntry{id, fmt.Sprintf("%q", fields)})
	m.meta.Last = id
	m.meta.Added++
	m.fix()
	return true
}

func (m *modelStream) del(id StreamID) bool {
	i := sort.Search(len(m.entries), func(i int) bool { return !m.entries[i].id.Less(id) })
	if i == len(m.entries) || m.entries[i].id != id {
		return false
	}
	m.entries = append(m.entries[:i:i], m.entries[i+1:]...)
	if m.meta.MaxDeleted.Less(id) {
		m.meta.MaxDeleted = id
	}
	m.fix()
	return true
}

func (m *modelStream) trim(t StreamTrim) int64 {
	n := 0
	for n < len(m.entries) && (t.ByID && m.entries[n].id.Less(t.MinID) || !t.ByID && uint64(len(m.entries)-n) > t.MaxLen) {
		n++
	}
	m.entries = m.entries[n:]
	m.fix()
	return int64(n)
}

func (m *modelStream) between(from, to StreamID) []modelEntry {
	var out []modelEntry
	for _, e := range m.entries {
		if !e.id.Less(from) && !to.Less(e.id) {
			out = append(out, e)
		}
	}
	return out
}

func dumpEntry(e *StreamEntry) modelEntry {
	var fields [][]byte
	for i := range e.Len() {
		k, v := e.Field(i)
		fields = append(fields, append([]byte{}, k.Bytes()...), append([]byte{}, v.Bytes()...))
	}
	return modelEntry{e.ID, fmt.Sprintf("%q", fields)}
}

func collect(walk func(from, to StreamID, fn func(*StreamEntry) bool), from, to StreamID) []modelEntry {
	var out []modelEntry
	walk(from, to, func(e *StreamEntry) bool { out = append(out, dumpEntry(e)); return true })
	return out
}

func randomFields(r *rand.Rand) [][]byte {
	if r.IntN(3) > 0 {
		return [][]byte{[]byte("name"), []byte(fmt.Sprint(r.IntN(1000))), []byte("7"), []byte(strings.Repeat("v", r.IntN(30)))}
	}
	var f [][]byte
	for range 1 + r.IntN(4) {
		f = append(f, []byte(fmt.Sprint("f", r.IntN(5))), []byte(strings.Repeat("x", r.IntN(1+r.IntN(300)))))
	}
	return f
}

func checkStream(t *testing.T, s *Stream, m *modelStream) {
	t.Helper()
	require.Equal(t, m.meta, s.Meta())
	all := collect(s.Range, StreamID{}, MaxStreamID)
	require.Equal(t, m.between(StreamID{}, MaxStreamID), all)
	back := collect(s.RevRange, StreamID{}, MaxStreamID)
	require.Len(t, back, len(all))
	for i := range back {
		require.Equal(t, all[len(all)-1-i], back[i])
	}
	var mem int64
	s.EachNode(func(StreamID, []byte) bool { return true })
	for i := range s.nodes {
		mem += s.nodes[i].lp.memBytes()
	}
	require.Equal(t, mem, s.mem)
}

// reload takes the stream apart into what a snapshot stores and puts it together again.
func reload(t *testing.T, s *Stream) *Stream {
	t.Helper()
	again := NewStream()
	s.EachNode(func(master StreamID, b []byte) bool {
		require.NoError(t, again.LoadNode(master, append([]byte{}, b...)))
		return true
	})
	m := again.LoadedMeta()
	require.Equal(t, s.Meta().First, m.First)
	require.Equal(t, s.Meta().Length, m.Length)
	again.SetMeta(s.Meta())
	return again
}

func TestStreamAgainstModel(t *testing.T) {
	for seed := range uint64(6) {
		r := rand.New(rand.NewPCG(seed, 1))
		s, m := NewStream(), &modelStream{}
		someID := func() StreamID {
			return StreamID{uint64(r.IntN(int(m.meta.Last.Ms) + 2)), uint64(r.IntN(4))}
		}
		for step := range 4000 {
			switch op := r.IntN(100); {
			case op < 80:
				id := StreamID{m.meta.Last.Ms + uint64(r.IntN(2)), uint64(r.IntN(6))}
				f := randomFields(r)
				require.Equal(t, m.add(id, f), s.Add(id, f))
			case op < 94:
				id := someID()
				require.Equal(t, m.del(id), s.Delete(id))
				require.False(t, s.Has(id))
			case op < 95:
				tr := StreamTrim{MaxLen: uint64(len(m.entries) - min(len(m.entries), r.IntN(200)))}
				if r.IntN(2) == 0 {
					tr = StreamTrim{ByID: true, MinID: someID()}
				}
				if r.IntN(4) > 0 {
					continue
				}
				require.Equal(t, m.trim(tr), s.Trim(tr))
			default:
				from, to := someID(), someID()
				require.Equal(t, m.between(from, to), collect(s.Range, from, to))
				require.Len(t, collect(s.RevRange, from, to), len(m.between(from, to)))
			}
			if step%500 == 0 {
				checkStream(t, s, m)
				old := s
				if s = reload(t, s); step%1000 == 0 {
					s = old.Clone().(*Stream)
				}
				old.Trim(StreamTrim{})
			}
		}
		checkStream(t, s, m)
		for _, e := range append([]modelEntry{}, m.entries...) {
			require.True(t, s.Delete(e.id))
			m.del(e.id)
		}
		checkStream(t, s, m)
		n, radix := s.Nodes()
		require.Equal(t, []int{0, 1}, []int{n, radix})
	}
}

func addN(s *Stream, n int) {
	for i := range n {
		s.Add(StreamID{uint64(i + 1), 0}, [][]byte{[]byte("f"), []byte("v")})
	}
}

func TestApproximateTrimTakesWholeNodes(t *testing.T) {
	s := NewStream()
	addN(s, 1000)
	nodes, radix := s.Nodes()
	require.Equal(t, 10, nodes)
	require.Equal(t, 26, radix, "as real Redis says of XADD k i-0 f v for i in 1..1000")
	require.EqualValues(t, 0, s.Trim(StreamTrim{MaxLen: 901, Approx: true}))
	require.EqualValues(t, 100, s.Trim(StreamTrim{MaxLen: 850, Approx: true}))
	require.EqualValues(t, 200, s.Trim(StreamTrim{MaxLen: 10, Approx: true, Limit: 299}))
	require.EqualValues(t, 100, s.Trim(StreamTrim{ByID: true, MinID: StreamID{450, 0}, Approx: true}))
	require.Equal(t, StreamID{401, 0}, s.Meta().First)
	require.EqualValues(t, 49, s.Trim(StreamTrim{ByID: true, MinID: StreamID{450, 0}}))
	require.Zero(t, s.Meta().MaxDeleted, "trimming leaves no tombstone")
	require.EqualValues(t, 551, s.Trim(StreamTrim{}))
	require.Zero(t, s.Len())
	require.EqualValues(t, 1000, s.Meta().Added)
}

func TestNodesAreFullAt100EntriesOr4KB(t *testing.T) {
	s := NewStream()
	big := []byte(strings.Repeat("x", 1500))
	for i := range 6 {
		s.Add(StreamID{uint64(i + 1), 0}, [][]byte{[]byte("f"), big})
	}
	nodes, _ := s.Nodes()
	require.Equal(t, 3, nodes)
}

func TestLoadNodeRejectsDamage(t *testing.T) {
	s := NewStream()
	addN(s, 3)
	s.Add(StreamID{9, 9}, [][]byte{[]byte("a"), []byte("1"), []byte("b"), []byte("text")})
	s.Delete(StreamID{2, 0})
	blob := append([]byte{}, s.nodes[0].lp.Bytes()...)
	require.NoError(t, NewStream().LoadNode(StreamID{1, 0}, append([]byte{}, blob...)))
	require.NoError(t, s.LoadNode(StreamID{10, 0}, append([]byte{}, blob...)))
	require.ErrorIs(t, s.LoadNode(StreamID{10, 0}, append([]byte{}, blob...)), ErrCorrupt, "not after the one before")
	for i := range blob {
		require.ErrorIs(t, NewStream().LoadNode(StreamID{1, 0}, append([]byte{}, blob[:i]...)), ErrCorrupt)
		for bit := range 8 { // whatever is let through must be safe to walk
			b := append([]byte{}, blob...)
			b[i] ^= 1 << bit
			d := NewStream()
			if d.LoadNode(StreamID{1, 0}, b) == nil {
				require.Len(t, collect(d.Range, StreamID{}, MaxStreamID), d.Len())
				require.Len(t, collect(d.RevRange, StreamID{}, MaxStreamID), d.Len())
			}
		}
	}
}

func FuzzStreamNode(f *testing.F) {
	s := NewStream()
	addN(s, 3)
	f.Add(uint64(1), s.nodes[0].lp.Bytes())
	f.Fuzz(func(t *testing.T, ms uint64, blob []byte) {
		s := NewStream()
		if s.LoadNode(StreamID{ms, 0}, append([]byte{}, blob...)) != nil {
			return
		}
		ids := collect(s.Range, StreamID{}, MaxStreamID)
		require.Len(t, ids, s.Len())
		require.Len(t, collect(s.RevRange, StreamID{}, MaxStreamID), s.Len())
		for _, e := range ids {
			require.True(t, s.Delete(e.id))
		}
		require.Zero(t, s.Len())
	})
}

func TestStreamIDs(t *testing.T) {
	top := uint64(math.MaxUint64)
	for in, want := range map[string]StreamID{
		"0": {0, 7}, "5": {5, 7}, "5-3": {5, 3}, "18446744073709551615-18446744073709551615": {top, top}, "007- +3": {7, 3},
	} {
		id, ok := ParseStreamID([]byte(in), 7)
		require.True(t, ok, in)
		require.Equal(t, want, id)
	}
	for _, in := range []string{"", "-", "+", "a", "1-", "-1", "1--2", "1-2-3", "1-*", "18446744073709551616", "1-x", strings.Repeat("0", 128)} {
		_, ok := ParseStreamID([]byte(in), 0)
		require.False(t, ok, in)
	}
	require.Equal(t, "12-34", StreamID{12, 34}.String())
	for _, c := range []struct{ id, next StreamID }{{StreamID{1, 1}, StreamID{1, 2}}, {StreamID{1, top}, StreamID{2, 0}}} {
		n, ok := c.id.Next()
		require.True(t, ok)
		require.Equal(t, c.next, n)
		p, ok := n.Prev()
		require.True(t, ok)
		require.Equal(t, c.id, p)
	}
	_, ok := MaxStreamID.Next()
	require.False(t, ok)
	_, ok = StreamID{}.Prev()
	require.False(t, ok)
}

func TestPELAgainstModel(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var l PEL
	model := map[StreamID]*Pending{}
	for step := range 20_000 {
		id := StreamID{uint64(r.IntN(2000)), 0}
		if r.IntN(5) < 3 {
			id.Ms += 2000
		}
		require.True(t, l.Get(id) == model[id])
		if _, ok := model[id]; ok && r.IntN(2) == 0 {
			require.True(t, l.remove(id) == model[id])
			require.Nil(t, l.remove(id))
			delete(model, id)
		} else if !ok {
			p := &Pending{ID: id}
			l.insert(p)
			model[id] = p
		}
		require.Equal(t, len(model), l.Len())
		if step%1000 == 0 {
			checkPEL(t, &l, model)
		}
	}
	checkPEL(t, &l, model)
	for id := range model {
		l.remove(id)
	}
	require.Empty(t, l.chunks)
	require.Nil(t, l.First())
	require.Nil(t, l.Last())
}

func checkPEL(t *testing.T, l *PEL, model map[StreamID]*Pending) {
	t.Helper()
	var prev *Pending
	n := 0
	l.Range(StreamID{}, MaxStreamID, func(p *Pending) bool {
		require.True(t, prev == nil || prev.ID.Less(p.ID))
		require.True(t, model[p.ID] == p)
		prev = p
		n++
		return true
	})
	require.Equal(t, len(model), n)
	require.True(t, l.Last() == prev)
	from, to, want := StreamID{500, 0}, StreamID{2500, 0}, 0
	for id := range model {
		if !id.Less(from) && !to.Less(id) {
			want++
		}
	}
	l.Range(from, to, func(p *Pending) bool { want--; return true })
	require.Zero(t, want)
}

func TestGroupsAgainstModel(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	s := NewStream()
	g := s.AddGroup([]byte("g"), StreamID{}, 0)
	require.Nil(t, s.AddGroup([]byte("g"), StreamID{}, 0))
	model := map[StreamID]string{}
	for range 5000 {
		id := StreamID{uint64(1 + r.IntN(300)), 0}
		name := fmt.Sprint("c", r.IntN(5))
		c := g.Consumer([]byte(name))
		if c == nil {
			c = g.AddConsumer([]byte(name), 1)
			require.Nil(t, g.AddConsumer([]byte(name), 1))
		}
		switch op := r.IntN(100); {
		case op < 60:
			p := g.Deliver(id, c)
			require.True(t, p.Owner() == c)
			model[id] = name
		case op < 97:
			_, had := model[id]
			require.Equal(t, had, g.Ack(id))
			delete(model, id)
		default:
			want := 0
			for id, owner := range model {
				if owner == name {
					want++
					delete(model, id)
				}
			}
			n, ok := g.DeleteConsumer([]byte(name))
			require.True(t, ok)
			require.Equal(t, want, n)
		}
		require.Equal(t, len(model), g.Pending().Len())
	}
	checkConsumers(t, g, model)
	checkClonedGroup(t, g, s.Clone().(*Stream).Group([]byte("g")))
	s.AddGroup([]byte("a"), StreamID{}, 0)
	require.Equal(t, "a", s.Groups()[0].Name())
	require.True(t, s.DeleteGroup([]byte("g")))
	require.False(t, s.DeleteGroup([]byte("g")))
	require.Nil(t, s.Group([]byte("g")))
	require.Positive(t, s.MemBytes())
}

func checkConsumers(t *testing.T, g *Group, model map[StreamID]string) {
	t.Helper()
	sum := 0
	for i, c := range g.Consumers() {
		require.True(t, i == 0 || g.Consumers()[i-1].Name() < c.Name())
		c.Pending().Range(StreamID{}, MaxStreamID, func(p *Pending) bool {
			require.Equal(t, model[p.ID], c.Name())
			sum++
			return true
		})
	}
	require.Equal(t, len(model), sum)
	_, ok := g.DeleteConsumer([]byte("nobody"))
	require.False(t, ok)
}

func checkClonedGroup(t *testing.T, g, cg *Group) {
	t.Helper()
	require.Equal(t, g.Pending().Len(), cg.Pending().Len())
	require.Len(t, cg.Consumers(), len(g.Consumers()))
	g.Pending().Range(StreamID{}, MaxStreamID, func(p *Pending) bool {
		q := cg.Pending().Get(p.ID)
		require.Equal(t, p.Owner().Name(), q.Owner().Name())
		require.False(t, p == q || p.Owner() == q.Owner())
		require.True(t, q.Owner().Pending().Get(p.ID) == q)
		return true
	})
}

func TestPendingEntriesAreLoadedBeforeTheirConsumers(t *testing.T) {
	loaded := NewStream().AddGroup([]byte("g"), StreamID{}, UnknownRead)
	require.True(t, loaded.LoadPending(Pending{ID: StreamID{1, 1}, DeliveredMs: 5, Count: 2}))
	require.False(t, loaded.LoadPending(Pending{ID: StreamID{1, 1}}))
	require.Nil(t, loaded.Pending().First().Owner())
	p := loaded.Deliver(StreamID{1, 1}, loaded.AddConsumer([]byte("c"), 0))
	require.EqualValues(t, 2, p.Count)
	require.True(t, loaded.Ack(StreamID{1, 1}))
}

func TestLag(t *testing.T) {
	s := NewStream()
	g := s.AddGroup([]byte("g"), StreamID{}, 0)
	lag := func() string {
		n, ok := s.Lag(g)
		return fmt.Sprint(n, ok)
	}
	require.Equal(t, "0 true", lag())
	addN(s, 5)
	require.Equal(t, "5 true", lag())
	s.HandedOut(g, StreamID{1, 0})
	s.HandedOut(g, StreamID{2, 0})
	require.EqualValues(t, 2, g.EntriesRead)
	require.Equal(t, "3 true", lag())
	s.Delete(StreamID{4, 0})
	_, ok := s.Lag(g)
	require.False(t, ok, "a hole ahead makes it unknowable")
	s.HandedOut(g, StreamID{3, 0})
	require.EqualValues(t, UnknownRead, g.EntriesRead)
	s.HandedOut(g, StreamID{5, 0})
	require.Equal(t, "0 true", lag(), "at the end it is known again")
}

func BenchmarkStreamAdd(b *testing.B) {
	s := NewStream()
	fields := [][]byte{[]byte("temperature"), []byte("19.8"), []byte("humidity"), []byte("61")}
	b.ReportAllocs()
	i := uint64(0)
	for b.Loop() {
		i++
		s.Add(StreamID{i, 0}, fields)
		s.Trim(StreamTrim{MaxLen: 1000, Approx: true})
	}
}
