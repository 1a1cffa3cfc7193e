package server

import (
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"byor/pkg/engine"
	"byor/pkg/repl"
	"byor/pkg/resp"
	"byor/pkg/store"
)

func init() {
	const f = engine.Admin | engine.NoScript | engine.Stale | engine.NoAsyncLoading
	engine.Register("server", []engine.Command{
		{Name: "replicaof", Arity: 3, Flags: f, Handler: by(cmdReplicaof)},
		{Name: "slaveof", Arity: 3, Flags: f, Handler: by(cmdReplicaof)},
	})
}

// following is the replica's end: whom it follows, and the session that the master's commands run in.
type following struct {
	host string
	port int64
	f    *repl.Follower
	ctx  context.Context // ends when the link is not wanted any more
	stop context.CancelFunc
	done chan struct{} // the follower has ended
	link *client

	applying bool       // a unit of the master's is being executed
	before   [][][]byte // its commands that were executed before the one that runs
	// own are the keys that were given an expiry time here, on a writable replica: the master knows
	// nothing of them and will never say that they are gone.
	own map[engine.Key]struct{}
}

// cmdReplicaof is REPLICAOF host port and REPLICAOF NO ONE.
func cmdReplicaof(c *client) {
	s := c.s
	if s.failingOver() {
		c.Fail("ERR REPLICAOF not allowed while failing over.")
		return
	}
	if c.Is(1, "no") && c.Is(2, "one") {
		if s.following != nil {
			s.stopFollowing()
			s.cfg.ReplicaOf = ""
			s.logf(levelNotice, "MASTER MODE enabled (user request from '%s')", c.describe())
		}
		c.Reply.OK()
		return
	}
	if c.Has(engine.ModeReplica) {
		c.Fail("ERR Command is not valid when client is a replica.")
		return
	}
	port, ok := resp.ParseInt(c.Args[2])
	if !ok || port < 0 || port > 65535 {
		c.Fail("ERR Invalid master port")
		return
	}
	host := string(c.Args[1])
	if fl := s.following; fl != nil && strings.EqualFold(fl.host, host) && fl.port == port {
		s.logf(levelNotice, "REPLICAOF would result into synchronization with the master we are already connected with. No operation performed.")
		c.Reply.SimpleString("OK Already connected to specified master")
		return
	}
	s.cfg.ReplicaOf = host + " " + itoa(port)
	s.follow(host, port, nil)
	c.Reply.OK()
}

// followConfigured follows the master that the configuration names, if it names one.
func (s *Server) followConfigured() {
	words := strings.Fields(s.cfg.ReplicaOf)
	if len(words) != 2 {
		return
	}
	if port, ok := resp.ParseInt([]byte(words[1])); ok {
		s.follow(words[0], port, nil)
	}
}

// follow makes the server a replica. What it has of the master's history, or of its own, is offered
// for a partial resync. h is the failover by which this comes, if it does. The engine's lock must be held.
func (s *Server) follow(host string, port int64, h *repl.HandOver) {
	at := s.resume
	if s.following != nil {
		at.id, at.offset = s.following.f.Position()
		at.db = s.following.link.DB.ID()
		s.endFollower()
	} else if s.replActive && at.id == "" {
		at.db = max(0, s.replStream.Selected)
		s.master.History(func(h *repl.History) { at.id, at.offset = h.ID(), h.Offset() })
	}
	s.resume = resumePoint{}
	s.roles++
	s.disconnectBlocked()
	fl := &following{host: host, port: port, done: make(chan struct{}), link: s.newClient(nil)}
	fl.link.Mode |= engine.ModeMaster
	fl.link.who.Become(nil, true)
	fl.link.DB = s.eng.Store.DB(at.db)
	o := repl.FollowOptions{
		Addr: joinHostPort(host, port), ReplID: at.id, Offset: at.offset,
		MaxDelay: time.Second, HandOver: h,
		Load:     func(r io.Reader, _ int64, id string, offset int64) error { return s.loadFromMaster(fl, r, id, offset) },
		Apply:    func(u repl.Unit) error { return s.applyUnit(fl, u) },
		Continue: func(id string) error { return s.continueHistory(fl, id) },
		Logf:     func(format string, args ...any) { s.logf(levelNotice, format, args...) },
	}
	s.linkOptions(&o)
	o.Dial = func(ctx context.Context) (net.Conn, error) {
		conn, err := s.dialMaster(ctx, o.Addr, o.Timeout)
		if err != nil {
			return nil, err
		}
		return countedLink{conn, s}, nil
	}
	fl.f = repl.NewFollower(o)
	s.following = fl
	s.eng.Store.OnDeadline = fl.noteDeadline
	s.eng.ChooseExpiry()
	s.log.SetRole('S')
	s.recalm()
	fl.ctx, fl.stop = context.WithCancel(context.Background())
	go func() {
		defer close(fl.done)
		_ = fl.f.Run(fl.ctx) // which goes on until it is told to stop
	}()
}

// endFollower stops following. The follower may be waiting for the engine's lock, so it is not waited
// for: its callbacks find that they are not wanted any more.
func (s *Server) endFollower() {
	s.following.stop()
	s.following = nil
}

// stopFollowing makes a replica a master: it goes on with the same stream under a new ID, and those
// who followed the old master at the same place may follow it.
func (s *Server) stopFollowing() {
	s.endFollower()
	s.roles++
	s.eng.Store.OnDeadline = nil
	s.history.Forget()
	s.eng.ChooseExpiry()
	s.replStream.Selected = -1
	if s.replActive {
		s.master.History((*repl.History).Promote)
	}
	s.master.EndAll()
	s.log.SetRole('M')
	s.recalm()
}

// disconnectBlocked ends the waits for keys and for replicas, since what they wait for will not be
// written here. Those who wait for the end of a pause have not begun yet.
func (s *Server) disconnectBlocked() {
	for c := range s.eng.Blocked {
		if c.Blocked.Paused {
			continue
		}
		s.eng.EndWait(c, func() {
			c.Fail("UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)")
		})
		s.closeClient(clientOf(c), closeAfterReply)
	}
}

// loadFromMaster replaces the data by the master's snapshot, when that is whole.
func (s *Server) loadFromMaster(fl *following, r io.Reader, id string, offset int64) error {
	s.eng.Lock()
	s.eng.Tick()
	st := s.files.NewStore(store.KeepExpired) // the master will say when they are gone
	s.eng.Unlock()
	s.logf(levelNotice, "MASTER <-> REPLICA sync: Loading DB in memory")
	info, err := s.files.ReadRDB(r, st)
	if err != nil {
		return err
	}
	s.eng.Lock()
	defer s.eng.Unlock()
	if s.following != fl {
		return context.Canceled
	}
	s.eng.Tick()
	for i := range s.eng.Store.Len() {
		s.eng.BreakWatchesOf(i, st.DB(i))
	}
	s.files.GiveUp()
	fl.own = nil
	s.forgetHistory()
	db := max(0, info.ReplDB)
	info.ReplID = "" // the position is that of the link, not the file's
	if err := s.files.Adopt(st, info); err != nil {
		return err
	}
	fl.link.DB = s.eng.Store.DB(min(db, s.eng.Store.Len()-1))
	s.nextID++ // to CLIENT LIST it is another client from here on, and the same one after a partial resync
	fl.link.ID, fl.link.Cmd = s.nextID, nil
	fl.link.createdMs, fl.link.ActiveMs = s.eng.NowMs, s.eng.NowMs
	s.keepBacklog()
	s.master.History(func(h *repl.History) { h.Reset(id, offset) })
	s.master.EndAll()
	s.logf(levelNotice, "MASTER <-> REPLICA sync: Finished with success")
	s.boss.Status("MASTER <-> REPLICA sync: Finished with success. Ready to accept connections in read-write mode.")
	if err := s.files.RestartLog(); err != nil { // the file is of another data set
		s.logf(levelWarning, "Failed enabling the AOF after successful master synchronization! %v", err)
	}
	return nil
}

// continueHistory takes note that the master goes on from where we are.
func (s *Server) continueHistory(fl *following, id string) error {
	s.eng.Lock()
	defer s.eng.Unlock()
	if s.following != fl {
		return context.Canceled
	}
	s.eng.Tick()
	fl.link.ActiveMs = s.eng.NowMs
	s.boss.Status("MASTER <-> REPLICA sync: Partial Resynchronization accepted. Ready to accept connections in read-write mode.")
	_, offset := fl.f.Position()
	changed := false
	s.master.History(func(h *repl.History) {
		changed = h.Offset() != offset || h.ID() != id
		if h.Offset() != offset {
			h.Reset(id, offset)
		} else if h.ID() != id {
			h.Rename(id)
		}
	})
	s.keepBacklog()
	if changed {
		s.master.EndAll() // replicas of ours have to learn the new name
	}
	return nil
}

// applyUnit executes what the master sent and hands it on to replicas of our own as it came.
func (s *Server) applyUnit(fl *following, u repl.Unit) error {
	s.eng.Lock()
	if s.following != fl || s.down.closed {
		s.eng.Unlock()
		return context.Canceled
	}
	start := s.eng.Tick()
	if !s.awaitPause(fl, u) {
		s.eng.Unlock()
		return context.Canceled
	}
	c := fl.link
	s.eng.Store.Expiry = store.KeepExpired
	fl.applying = true
	s.eng.Freeze()
	for i, args := range u.Commands {
		cmd := s.trustedCommand(args)
		fl.before = u.Commands[:i]
		if n := len(args); cmd == nil || cmd.Handler == nil || cmd.Arity > 0 && n != cmd.Arity || n < -cmd.Arity {
			s.logf(levelWarning, "== CRITICAL == This replica is sending an error to its master: 'unknown command or wrong number of arguments' after processing the command '%s'", engine.Clip(args[0], 128))
			continue
		}
		mark := len(c.Reply.Buf)
		s.eng.Run(&c.Session, cmd, args, start)
		if c.Failed() {
			s.logf(levelWarning, "== CRITICAL == This replica is sending an error to its master: '%s' after processing the command '%s'",
				strings.TrimSpace(string(c.Reply.Buf[mark:])), cmd.FullName())
		}
		c.Reply.Buf = c.Reply.Buf[:mark]
	}
	if cmd := s.eng.Commands[u.Name]; cmd != nil {
		c.Cmd = cmd // a ping and an EXEC, too: CLIENT LIST shows them
	}
	c.Args, fl.before = nil, nil // the reader's buffer, which is about to be filled again
	c.ActiveMs = s.eng.NowMs
	s.eng.Thaw()
	fl.applying = false
	s.eng.ChooseExpiry()
	s.master.Feed(u.Raw)
	s.eng.EndUnit()
	s.eng.ServeReady()
	at := s.files.LogEnd()
	s.eng.Unlock()
	s.files.Commit(at)
	return nil
}

// noteDeadline is told by the store of a key that was given an expiry time.
func (fl *following) noteDeadline(db int, key string) {
	if fl.applying || fl.link.s.cfg.ReplicaReadOnly {
		return
	}
	if fl.own == nil {
		fl.own = map[engine.Key]struct{}{}
	}
	fl.own[engine.Key{DB: db, Name: key}] = struct{}{}
}

// expireOwn deletes up to max of the keys that were made on this replica and have expired. The order of
// a map is random, so all get their turn, as in Redis's expireSlaveKeys.
func (s *Server) expireOwn(max int) {
	if s.following == nil {
		return
	}
	for wk := range s.following.own {
		if max--; max < 0 {
			return
		}
		if !s.eng.Store.DB(wk.DB).ExpireKey(wk.Name) {
			delete(s.following.own, wk)
		}
	}
}

// expiryFor lets a client's write on a writable replica delete the expired keys that it meets, instead
// of waiting for a DEL of the master's: the write makes the replica's data its own. What deletes keys anyway
// does not ask whether their time is over, and counts them; what only reads the keys that it meets leaves them
// there. Both as in Redis.
func (s *Server) expiryFor(c *engine.Session, cmd *engine.Command) store.ExpiryMode {
	switch {
	case s.following == nil || cmd.Flags&engine.Write == 0 || c.Trusted() || s.eng.PausesWrites():
		return store.HideExpired
	case readsWhatItMeets[cmd.Name]:
		return store.HideExpired
	case cmd.Name == "del" || cmd.Name == "unlink":
		return store.KeepExpired
	}
	return store.DeleteExpired
}

// readsWhatItMeets are the commands that write, but only read the keys that they may find expired.
var readsWhatItMeets = map[string]bool{
	"copy": true, "sort": true, "getex": true, "bitop": true, "pfmerge": true, "sdiffstore": true, "sinterstore": true, "sunionstore": true,
	"zdiffstore": true, "zinterstore": true, "zunionstore": true, "zrangestore": true, "geosearchstore": true, "georadius": true, "georadiusbymember": true,
}

// infoLink writes INFO's fields about the link to the master.
func (s *Server) infoLink(b *strings.Builder) {
	fl := s.following
	st := fl.f.Status()
	up := "down"
	if st.State == repl.Connected {
		up = "up"
	}
	lastIO := int64(-1)
	if !st.LastIO.IsZero() && up == "up" {
		lastIO = int64(time.Since(st.LastIO).Seconds())
	}
	syncing := st.State == repl.Syncing
	fields(b, "master_host", fl.host, "master_port", fl.port, "master_link_status", up,
		"master_last_io_seconds_ago", lastIO, "master_sync_in_progress", btoi(syncing),
		"slave_read_repl_offset", max(st.Received, st.Offset), "slave_repl_offset", st.Offset)
	if syncing {
		fields(b, "master_sync_total_bytes", max(0, st.Size), "master_sync_read_bytes", st.Loaded,
			"master_sync_left_bytes", max(0, st.Size-st.Loaded),
			"master_sync_perc", fmt.Sprintf("%.2f", 100*float64(st.Loaded)/float64(max(st.Size, 1))*float64(btoi(st.Size > 0))),
			"master_sync_last_io_seconds_ago", int64(time.Since(st.LastIO).Seconds()))
	}
	if up == "down" && !st.DownAt.IsZero() {
		fields(b, "master_link_down_since_seconds", int64(time.Since(st.DownAt).Seconds()))
	} else if up == "down" {
		fields(b, "master_link_down_since_seconds", -1)
	}
	fields(b, "slave_priority", s.cfg.ReplicaPriority, "slave_read_only", btoi(s.cfg.ReplicaReadOnly), "replica_announced", btoi(s.cfg.ReplicaAnnounced))
}

// awaitPause holds a unit of the master's stream back until clients are not paused any more. It reports
// false when the link has come to its end before. The engine's lock must be held; it is let go
// meanwhile.
func (s *Server) awaitPause(fl *following, u repl.Unit) bool {
	for s.pausesUnit(u) {
		over := s.eng.PauseOver()
		s.eng.Unlock()
		select {
		case <-over:
		case <-fl.ctx.Done():
		}
		s.eng.Lock()
		s.eng.Tick()
		if s.following != fl || s.down.closed {
			return false
		}
	}
	return true
}

// pausesUnit reports whether a pause is for the unit, too: as with a client's commands, either for
// all that comes or for what writes.
func (s *Server) pausesUnit(u repl.Unit) bool {
	if !s.eng.PausesWrites() {
		return false
	}
	if s.eng.PausesAll() {
		return true
	}
	for _, args := range u.Commands {
		if cmd := s.eng.Lookup(args); cmd != nil && cmd.Flags&(engine.Write|engine.MayReplicate) != 0 {
			return true
		}
	}
	return false
}
