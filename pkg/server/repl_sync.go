package server

import (
	"cmp"
	"errors"
	"io"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"byor/pkg/engine"
	"byor/pkg/persist"
	"byor/pkg/repl"
)

// Full resyncs. A snapshot costs a walk through all data, so replicas share one where they can, as in Redis: each
// gets the same bytes, and the stream from the same offset on.
//   - Those who ask while none has begun wait for the same one. It begins when no other snapshot is under way. If
//     all of them can take a stream (repl-diskless-sync), it waits for repl-diskless-sync-delay seconds from the
//     first who asked, or until repl-diskless-sync-max-replicas have.
//   - One that goes by a file takes up those who ask while it is written.

// syncRound is a snapshot for replicas. Guarded by the engine's lock until it begins, but for users.
type syncRound struct {
	members []*syncMember
	streams bool // straight to the connections; known when it has begun

	// What one by file has.
	whole chan struct{} // closed when the file is whole, or never will be
	file  *os.File
	err   error
	users atomic.Int32 // the last one removes the file
}

// syncMember is a replica in a round.
type syncMember struct {
	c     *client
	r     *repl.Replica
	id    string // as PSYNC stated it, "" for SYNC
	asked time.Time
	round *syncRound
	begun chan struct{} // closed when the snapshot has begun

	// What one that is streamed has.
	chunks chan []byte   // its bytes; closed when it has ended
	err    error         // why it ended; read after chunks is closed
	gone   chan struct{} // closed when the replica takes no more
}

// syncQueue is how many chunks of a snapshot a replica may be behind the others, which wait for it then.
const syncQueue = 16

// feedReplica answers PSYNC and writes the stream to the replica until it is gone. It runs in a
// goroutine of its own, which is the only one that writes to the connection.
func (s *Server) feedReplica(c *client, r *repl.Replica, id string, offset int64) {
	s.eng.Lock()
	partial := false
	s.master.History(func(h *repl.History) { partial = h.CanContinue(id, offset) })
	var err error
	switch {
	case s.clients[c.ID] != c || s.down.closed:
		s.eng.Unlock()
		r.End()
		return
	case partial:
		s.eng.Tick()
		s.master.PSync(r, id, offset)
		s.stats.syncPartialOK++
		s.replActive, s.sawReplica = true, s.eng.Clock()
		s.eng.Unlock()
		err = r.Run(nil)
	default:
		m := s.joinSync(&syncMember{c: c, r: r, id: id, asked: s.eng.Clock()})
		s.eng.Unlock()
		defer close(m.gone)
		if !s.awaitSync(m) {
			r.End()
			return
		}
		err = m.run()
	}
	s.logf(levelNotice, "Connection with replica %s lost: %v", c.Addr, err)
}

// joinSync puts the replica into the round whose file is being written, else into the one that is to come. The
// engine's lock must be held.
func (s *Server) joinSync(m *syncMember) *syncMember {
	s.stats.syncFull++
	if m.id != "" && m.id != "?" {
		s.stats.syncPartialErr++
	}
	m.begun, m.chunks, m.gone = make(chan struct{}), make(chan []byte, syncQueue), make(chan struct{})
	if s.syncing != nil && s.syncing.takesUp(s.master, m) {
		s.logf(levelNotice, "Waiting for end of BGSAVE for SYNC")
		return m
	}
	if s.sync == nil {
		s.sync = &syncRound{whole: make(chan struct{})}
		s.sync.users.Add(1)
		go s.runSync(s.sync)
	}
	s.sync.add(m)
	s.master.Expect(m.r)
	return m
}

func (round *syncRound) add(m *syncMember) {
	round.members = append(round.members, m)
	round.users.Add(1)
	m.round = round
}

// takesUp adds the replica to a round that has begun, if somebody in it is still where it began.
func (round *syncRound) takesUp(master *repl.Master, m *syncMember) bool {
	for _, other := range round.members {
		if master.Join(m.r, other.r, m.id == "") {
			round.add(m)
			close(m.begun)
			return true
		}
	}
	return false
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

func (s *Server) connected(c *client) bool {
	s.eng.Lock()
	defer s.eng.Unlock()
	return s.clients[c.ID] == c
}

// leaveSync takes a replica that has gone out of the round that is to come. It reports false when that has
// begun: then the replica is served, and its connection says that it is gone.
func (s *Server) leaveSync(m *syncMember) bool {
	s.eng.Lock()
	defer s.eng.Unlock()
	if s.sync != m.round {
		return false
	}
	i := slices.Index(s.sync.members, m)
	s.sync.members = slices.Delete(s.sync.members, i, i+1)
	return true
}

// run serves a replica whose round has begun.
func (m *syncMember) run() error {
	if m.round.streams {
		return m.r.Run(m.copyTo)
	}
	defer m.round.leave()
	return m.r.RunFile(func() (*os.File, error) {
		<-m.round.whole
		return m.round.file, m.round.err
	})
}

// runSync waits for the moment and sends the snapshot to all who are in the round by then.
func (s *Server) runSync(round *syncRound) {
	for {
		s.eng.Lock()
		if s.down.closed || len(round.members) == 0 || s.syncIsDue(round) {
			break
		}
		s.eng.Unlock()
		time.Sleep(10 * time.Millisecond)
	}
	if s.down.closed { // who waits leaves the round and ends
		s.eng.Unlock()
		return
	}
	s.sync = nil
	members := round.members
	if len(members) == 0 {
		s.eng.Unlock()
		return
	}
	sink, sn := s.markSync(round)
	write, target := round.writeFile, "disk"
	if round.streams {
		write, target = round.stream, "replicas sockets"
	} else {
		s.syncing = round
	}
	dir := s.cfg.Dir
	s.eng.Unlock()
	s.logf(levelNotice, "Starting BGSAVE for SYNC with target: %s", target)
	for _, m := range members {
		close(m.begun)
	}
	write(dir, members, func(w io.Writer) error {
		sink.Open(w)
		err := sn.Run()
		if err == nil {
			err = sink.Close()
		}
		s.eng.Lock()
		sn.End()
		s.syncing, s.sending = nil, false
		s.eng.Unlock()
		return err
	})
}

// markSync marks the moment of the snapshot, and in the same moment the members' place in the stream. The
// engine's lock must be held.
func (s *Server) markSync(round *syncRound) (*persist.Sink, *engine.Snapshot) {
	s.eng.Tick()
	for _, m := range round.members {
		if m.id != "" { // an old SYNC stays one
			m.id = "?" // a partial resync was refused, and stays refused
		}
		s.master.PSync(m.r, m.id, -1)
	}
	s.replActive, s.sawReplica = true, s.eng.Clock()
	s.replStream.Selected = -1
	sink := s.files.NewSink(false)
	sn := s.eng.BeginSnapshot(sink)
	s.sending = true
	round.streams = s.canStream(round)
	return sink, sn
}

// syncIsDue reports whether the round may begin. The engine's lock must be held.
func (s *Server) syncIsDue(round *syncRound) bool {
	if s.eng.Snapshotting() || s.down.begun { // a shutdown that fails is no end
		return false
	}
	if !s.canStream(round) {
		return true
	}
	if most := s.cfg.ReplDisklessMax; most > 0 && int64(len(round.members)) >= most {
		return true
	}
	delay, now := time.Duration(s.cfg.ReplDisklessDelay)*time.Second, s.eng.Clock()
	return slices.ContainsFunc(round.members, func(m *syncMember) bool { return now.Sub(m.asked) >= delay })
}

// canStream reports whether all members can take a stream, and shall.
func (s *Server) canStream(round *syncRound) bool {
	return !slices.ContainsFunc(round.members, func(m *syncMember) bool { return !m.r.Streams() })
}

// writeFile writes the snapshot to a file for all members.
func (round *syncRound) writeFile(dir string, _ []*syncMember, write func(io.Writer) error) {
	f, err := os.CreateTemp(dir, "temp-repl-*.rdb")
	if err != nil {
		err = cmp.Or(write(brokenWriter{err}), err) // which ends it
	} else {
		os.Remove(f.Name()) // so that nothing stays behind if we are killed; Windows keeps an open file
		err = write(f)
	}
	round.file, round.err = f, err
	close(round.whole)
	round.leave()
}

// leave is called by each that has no more need of the file. The last one removes it.
func (round *syncRound) leave() {
	if round.users.Add(-1) == 0 && round.file != nil {
		round.file.Close()
		os.Remove(round.file.Name())
	}
}

type brokenWriter struct{ err error }

func (w brokenWriter) Write([]byte) (int, error) { return 0, w.err }

// stream writes the snapshot to the connections of all members.
func (round *syncRound) stream(_ string, members []*syncMember, write func(io.Writer) error) {
	err := write(syncWriter(members))
	for _, m := range members {
		m.err = err
		close(m.chunks)
	}
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
