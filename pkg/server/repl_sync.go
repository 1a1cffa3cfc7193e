package server

import (
	"errors"
	"io"
	"slices"
	"time"

	"byor/pkg/repl"
)

// Full resyncs. A snapshot costs a walk through all data, so that replicas who ask while one has not begun
// yet share it: each gets the same bytes, and the stream from the same offset on. As in Redis it begins
// when no other snapshot is under way, and one that is streamed (repl-diskless-sync) waits for
// repl-diskless-sync-delay seconds from the first who asked, or until repl-diskless-sync-max-replicas have.

// syncRound is a snapshot for replicas, until it begins.
type syncRound struct {
	streams bool // to the connections, not to files
	asked   time.Time
	members []*syncMember
}

// syncMember is a replica in a round.
type syncMember struct {
	c      *Client
	r      *repl.Replica
	id     string
	offset int64
	begun  chan struct{} // closed when the snapshot has begun
	chunks chan []byte   // its bytes; closed when it has ended
	err    error         // why it ended; read after chunks is closed
	gone   chan struct{} // closed when the replica takes no more
}

// syncQueue is how many chunks of a snapshot a replica may be behind the others, which wait for it then.
const syncQueue = 16

// feedReplica answers PSYNC and writes the stream to the replica until it is gone. It runs in a
// goroutine of its own, which is the only one that writes to the connection.
func (s *Server) feedReplica(c *Client, r *repl.Replica, id string, offset int64) {
	snapshot := func(io.Writer) error { return nil }
	s.lock()
	partial := false
	s.master.History(func(h *repl.History) { partial = h.CanContinue(id, offset) })
	switch {
	case s.clients[c.id] != c || s.down.closed:
		s.unlock()
		r.End()
		return
	case partial:
		s.tick()
		s.master.PSync(r, id, offset)
		s.stats.syncPartialOK++
		s.replActive, s.sawReplica = true, s.clock()
		s.unlock()
	default:
		m := s.joinSync(c, r, id, offset)
		s.unlock()
		defer close(m.gone)
		if !s.awaitSync(m) {
			r.End()
			return
		}
		snapshot = m.copyTo
	}
	err := r.Run(snapshot)
	s.logf(LevelNotice, "Connection with replica %s lost: %v", c.addr, err)
}

// joinSync puts the replica into the round that is to come. The engine's lock must be held.
func (s *Server) joinSync(c *Client, r *repl.Replica, id string, offset int64) *syncMember {
	m := &syncMember{c: c, r: r, id: id, offset: offset, begun: make(chan struct{}), chunks: make(chan []byte, syncQueue), gone: make(chan struct{})}
	i := btoi(r.Streams())
	if s.syncs[i] == nil {
		s.syncs[i] = &syncRound{streams: r.Streams(), asked: s.clock()}
		go s.runSync(s.syncs[i])
	}
	s.syncs[i].members = append(s.syncs[i].members, m)
	return m
}

// awaitSync waits for the snapshot to begin and keeps the replica patient meanwhile. It reports false when
// the replica is gone before.
func (s *Server) awaitSync(m *syncMember) bool {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-m.begun:
			return true
		case <-s.stop:
			return !s.leaveSync(m)
		case <-tick.C:
		}
		if m.r.KeepAlive() != nil || !s.connected(m.c) {
			return !s.leaveSync(m)
		}
	}
}

func (s *Server) connected(c *Client) bool {
	s.lock()
	defer s.unlock()
	return s.clients[c.id] == c
}

// leaveSync takes a replica that has gone out of the round that is to come. It reports false when that has
// begun: then the replica is served, and its connection says that it is gone.
func (s *Server) leaveSync(m *syncMember) bool {
	s.lock()
	defer s.unlock()
	for _, round := range s.syncs {
		if round == nil {
			continue
		}
		if i := slices.Index(round.members, m); i >= 0 {
			round.members = slices.Delete(round.members, i, i+1)
			return true
		}
	}
	return false
}

// runSync waits for the moment and sends the snapshot to all who are in the round by then.
func (s *Server) runSync(round *syncRound) {
	for {
		s.lock()
		if s.down.closed || s.syncIsDue(round) {
			break
		}
		s.unlock()
		time.Sleep(10 * time.Millisecond)
	}
	members := round.members
	if s.down.closed { // who waits leaves the round and ends
		s.unlock()
		return
	}
	s.syncs[btoi(round.streams)] = nil
	if len(members) == 0 {
		s.unlock()
		return
	}
	s.tick()
	for _, m := range members {
		s.master.PSync(m.r, m.id, m.offset) // the lock is held: what is marked here is one moment
		s.stats.syncFull++
		if m.id != "" && m.id != "?" {
			s.stats.syncPartialErr++
		}
	}
	s.replActive, s.sawReplica = true, s.clock()
	s.replStream.selected = -1
	sink := s.newRDBSink(false)
	sn := s.beginSnapshot(sink)
	s.unlock()
	s.logf(LevelNotice, "Starting a snapshot for %d replicas", len(members))
	for _, m := range members {
		close(m.begun)
	}
	sink.open(syncWriter(members))
	err := sn.run()
	if err == nil {
		err = sink.close()
	}
	s.lock()
	sn.end()
	s.unlock()
	for _, m := range members {
		m.err = err
		close(m.chunks)
	}
}

// syncIsDue reports whether the round may begin. The engine's lock must be held.
func (s *Server) syncIsDue(round *syncRound) bool {
	if s.snapshotting() || s.down.begun { // a shutdown that fails is no end
		return false
	}
	if !round.streams {
		return true
	}
	n := int64(len(round.members))
	return s.clock().Sub(round.asked) >= time.Duration(s.cfg.ReplDisklessDelay)*time.Second ||
		s.cfg.ReplDisklessMax > 0 && n >= s.cfg.ReplDisklessMax
}

// syncWriter writes to all members that are still there. The slowest sets the pace, until its own time-out.
type syncWriter []*syncMember

var errNoReplicaLeft = errors.New("all replicas that waited for the snapshot have gone")

func (w syncWriter) Write(b []byte) (int, error) {
	chunk := append([]byte(nil), b...) // one copy for all: the caller uses b again
	there := 0
	for _, m := range w {
		select {
		case <-m.gone:
		case m.chunks <- chunk:
			there++
		}
	}
	if there == 0 {
		return 0, errNoReplicaLeft
	}
	return len(b), nil
}

// copyTo writes the snapshot to where the replica gets it from.
func (m *syncMember) copyTo(w io.Writer) error {
	for chunk := range m.chunks {
		if _, err := w.Write(chunk); err != nil {
			return err
		}
	}
	return m.err
}
