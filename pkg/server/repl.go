package server

import (
	"context"
	"fmt"
	"net"
	"strings"
	"time"

	"byor/pkg/config"
	"byor/pkg/engine"
	"byor/pkg/persist"
	"byor/pkg/repl"
)

// Replication. The stream, its history and the protocol are pkg/repl's; here is what ties them to
// the engine: effects go into the stream under the engine's lock (unit.go of the engine), so that it has the
// order of execution; a replica's snapshot is marked in the same moment as its place in the stream
// (repl_master.go); and what comes from a master is executed on the one path, by a session of its
// own (repl_replica.go).

// replication is what the server knows of its replicas and its master. Guarded by the engine's lock.
type replication struct {
	master     *repl.Master
	replStream engine.Listener
	sync       *syncRound // that is to begin
	syncing    *syncRound // whose file is being written
	sending    bool       // a snapshot for replicas is under way, of either kind
	replActive bool       // somebody follows, or may come back: master.Active as of the latest look
	backlogIn  time.Time
	sawReplica time.Time // when there was a replica last

	following *following // nil on a master
	roles     int        // how often it has become another's replica, or a master
	failover  failover
	ackWanted bool // somebody waits for replicas, who are to be asked once writes are not held back any more
	resume    resumePoint
}

// resumePoint is a position that a loaded snapshot named: a replica that starts with it asks for
// what came after.
type resumePoint struct {
	id     string
	offset int64
	db     int
}

func (s *Server) initReplication() {
	s.failover.state = noFailover
	s.replStream = engine.Listener{To: engine.ToReplicas, Wants: s.replicating, Take: s.appendReplicas, Selected: -1}
	s.eng.Listen(&s.replStream)
	o := repl.MasterOptions{
		Logf:      func(format string, args ...any) { s.logf(levelNotice, format, args...) },
		OnMembers: s.replicasMoved,
	}
	s.masterOptions(&o)
	s.master = repl.NewMaster(o)
}

// masterOptions are the parameters that a master with replicas obeys.
func (s *Server) masterOptions(o *repl.MasterOptions) {
	o.Backlog = s.cfg.ReplBacklogSize
	o.MaxBehind = s.cfg.OutputLimits[config.ClassReplica].Hard
	o.PingEvery = time.Duration(s.cfg.ReplPingPeriod) * time.Second
	o.Timeout = time.Duration(s.cfg.ReplTimeout) * time.Second
	o.Diskless = s.cfg.ReplDisklessSync
}

// linkOptions are those that the link to a master obeys.
func (s *Server) linkOptions(o *repl.FollowOptions) {
	o.ListenPort, o.AnnounceIP = s.announcedPort(), s.cfg.ReplicaAnnounceIP
	o.User, o.Password = s.cfg.MasterUser, s.cfg.MasterAuth
	o.Timeout = time.Duration(s.cfg.ReplTimeout) * time.Second
}

// replicasMoved lets those look again who wait for replicas, when one came or went.
func (s *Server) replicasMoved() {
	s.eng.Lock()
	defer s.eng.Unlock()
	s.eng.Tick()
	s.eng.PollBlocked()
}

// isReplica reports whether the server follows a master.
func (s *Server) isReplica() bool { return s.following != nil }

// linkUp reports whether the link to the master works.
func (s *Server) linkUp() bool {
	return s.following != nil && s.following.f.Status().State == repl.Connected
}

// replicating reports whether effects go to replicas or their backlog. A replica hands on its
// master's stream as it is instead.
func (s *Server) replicating() bool { return s.replActive && s.following == nil }

func (s *Server) appendReplicas(b []byte) { s.master.Feed(b) }

// tooFewReplicas reports whether min-replicas-to-write is not met.
func (s *Server) tooFewReplicas() bool {
	want := s.cfg.MinReplicasToWrite
	return want > 0 && s.cfg.MinReplicasMaxLag > 0 &&
		int64(s.master.Good(time.Duration(s.cfg.MinReplicasMaxLag)*time.Second)) < want
}

// replicationCron does once a second what time demands.
func (s *Server) replicationCron() {
	s.checkFailover()
	if s.ackWanted {
		s.askAcks()
	}
	now := s.eng.Clock()
	if now.Sub(s.backlogIn) < time.Second {
		return
	}
	s.backlogIn = now
	s.master.Tick(!s.isReplica() && !s.failover.still())
	if s.replActive && s.following == nil {
		s.forgetBacklog(now)
	}
	s.eng.PollBlocked()
}

// forgetBacklog drops the backlog when nobody has followed for repl-backlog-ttl: what is executed
// without one is not counted, so the history ends with it.
func (s *Server) forgetBacklog(now time.Time) {
	if len(s.master.Replicas()) > 0 {
		s.sawReplica = now
		return
	}
	ttl := time.Duration(s.cfg.ReplBacklogTTL) * time.Second
	if ttl > 0 && now.Sub(s.sawReplica) > ttl {
		s.master.History((*repl.History).Forget)
		s.replActive = false
	}
}

// keepBacklog switches the stream on.
func (s *Server) keepBacklog() {
	s.replActive, s.sawReplica = true, s.eng.Clock()
	s.master.History(func(h *repl.History) { h.Keep(s.cfg.ReplBacklogSize) })
}

// replicationConfigChanged carries CONFIG SET to the stream.
func (s *Server) replicationConfigChanged(before *config.Config) {
	s.master.Configure(s.masterOptions)
	if s.following != nil && (s.cfg.ReplTimeout != before.ReplTimeout || s.cfg.MasterUser != before.MasterUser || s.cfg.MasterAuth != before.MasterAuth ||
		s.announcedPort() != before.AnnouncedPort() || s.cfg.ReplicaAnnounceIP != before.ReplicaAnnounceIP) {
		s.following.f.Configure(s.linkOptions)
	}
}

// replicationAux returns what a snapshot says about the position of its data in the stream of
// effects.
func (s *Server) replicationAux() [][2]string {
	if !s.replActive {
		return nil
	}
	db := max(0, s.replStream.Selected)
	if s.following != nil {
		db = s.following.link.DB.ID()
	}
	var id string
	var offset int64
	s.master.History(func(h *repl.History) { id, offset = h.ID(), h.Offset() })
	return [][2]string{{"repl-stream-db", itoa(db)}, {"repl-id", id}, {"repl-offset", itoa(offset)}}
}

// restoreReplication takes up the position that a snapshot was taken at: a master goes on with the
// same stream under a new ID, a replica asks its master for the rest.
func (s *Server) restoreReplication(info persist.Header) {
	if len(info.ReplID) != 40 || info.ReplOffset < 0 {
		return
	}
	s.master.History(func(h *repl.History) { h.Reset(info.ReplID, info.ReplOffset) })
	if s.cfg.ReplicaOf == "" {
		s.master.History((*repl.History).Promote)
	} else {
		s.resume = resumePoint{info.ReplID, info.ReplOffset, max(0, info.ReplDB)}
	}
	s.keepBacklog()
}

// replicasOnline counts the replicas that get the stream.
func (s *Server) replicasOnline() (n int) {
	for _, r := range s.master.Replicas() {
		if r.State == repl.Online {
			n++
		}
	}
	return n
}

// holdWrites holds writes back for the time that a shutdown gives replicas to receive all that was written.
// It reports whether there is anybody to wait for.
func (s *Server) holdWrites() bool {
	if s.following != nil || s.replicasOnline() == 0 || s.cfg.ShutdownTimeoutSec == 0 {
		return false
	}
	s.eng.SetPause(engine.ByShutdown, engine.Pause{UntilMs: s.eng.NowMs + s.cfg.ShutdownTimeoutSec*1000})
	return true
}

// awaitReplicas gives replicas the time of shutdown-timeout to receive all that was written, while
// writes are held back. The engine's lock must be held; it is let go meanwhile.
func (s *Server) awaitReplicas(ctx context.Context) {
	offset := s.master.Offset()
	if !s.holdWrites() {
		return
	}
	s.master.AskAcks()
	deadline := s.eng.Clock().Add(time.Duration(s.cfg.ShutdownTimeoutSec) * time.Second)
	for s.master.Acked(offset) < s.replicasOnline() && s.eng.Clock().Before(deadline) && ctx.Err() == nil && !s.down.abort {
		s.eng.Unlock()
		time.Sleep(5 * time.Millisecond)
		s.eng.Lock()
	}
}

func (s *Server) infoReplication(b *strings.Builder) {
	role := "master"
	if s.isReplica() {
		role = "slave"
	}
	fields(b, "role", role)
	if s.following != nil {
		s.infoLink(b)
	}
	replicas := s.master.Replicas()
	fields(b, "connected_slaves", len(replicas))
	if s.cfg.MinReplicasToWrite > 0 {
		fields(b, "min_slaves_good_slaves", s.master.Good(time.Duration(s.cfg.MinReplicasMaxLag)*time.Second))
	}
	for i, r := range replicas {
		fmt.Fprintf(b, "slave%d:ip=%s,port=%d,state=%s,offset=%d,lag=%d\r\n", i, r.IP, r.Port, r.State, r.Acked, int(r.Lag.Seconds()))
	}
	s.master.History(func(h *repl.History) {
		id2, second := h.ID2()
		active, size, first, length := h.Kept()
		if !active {
			size = s.cfg.ReplBacklogSize
		}
		fields(b, "master_failover_state", string(s.failover.state), "master_replid", h.ID(), "master_replid2", id2,
			"master_repl_offset", h.Offset(), "second_repl_offset", second, "repl_backlog_active", btoi(active),
			"repl_backlog_size", size, "repl_backlog_first_byte_offset", first, "repl_backlog_histlen", length)
	})
}

// announcedPort is the port that a master shall show for this replica.
func (s *Server) announcedPort() int { return s.cfg.AnnouncedPort() }

func joinHostPort(host string, port int64) string { return net.JoinHostPort(host, itoa(port)) }
