package server

import (
	"net"

	"byor/pkg/certs"
	"byor/pkg/config"
	"byor/pkg/engine"
	"byor/pkg/repl"
)

func init() {
	const f = engine.Admin | engine.NoScript
	engine.Register("server", []engine.Command{
		{Name: "replconf", Arity: -1, Flags: f | engine.Loading | engine.Stale | engine.AllowBusy | engine.NeverPaused, Handler: by(cmdReplconf)},
		{Name: "psync", Arity: -3, Flags: f | engine.NoAsyncLoading | engine.NoMulti, Handler: by(cmdPsync)},
		{Name: "sync", Arity: 1, Flags: f | engine.NoAsyncLoading | engine.NoMulti, Handler: by(cmdPsync)},
		{Name: "role", Arity: 1, Flags: engine.NoScript | engine.Loading | engine.Stale | engine.Fast, Handler: by(cmdRole)},
	})
	engine.Register("generic", []engine.Command{
		{Name: "wait", Arity: 3, Flags: engine.NoScript, Handler: by(cmdWait)},
	})
}

// cmdReplconf takes what a replica says of itself, and how far it is.
func cmdReplconf(c *client) {
	if c.conn == nil {
		return
	}
	if c.replica == nil {
		c.replica = c.s.master.NewReplica(countedReplica{c.conn, c.s})
	}
	reply, err := c.replica.Conf(c.Args[1:])
	switch {
	case err != nil:
		c.Fail(err.Error())
	case reply:
		c.Reply.OK()
	default:
		c.s.eng.PollBlocked() // it may have acknowledged what somebody waits for
		if !c.s.eng.InUnit() {
			c.s.checkFailover()
		}
	}
}

// cmdPsync is PSYNC and the older SYNC: the connection becomes a replica's. Its output is the
// stream's from then on; its input stays a session's, for REPLCONF ACK.
func cmdPsync(c *client) {
	s := c.s
	switch {
	case c.Has(engine.ModeReplica) || c.conn == nil:
		return
	case c.Has(engine.ModeExec):
		c.Fail("ERR Command not allowed inside a transaction")
		return
	case len(c.Args) > 3 && c.Is(3, "failover") && !s.failingOver() && !c.takeOver():
		return
	case s.failingOver():
		c.Fail("NOMASTERLINK Can't SYNC while failing over")
		return
	case s.isReplica() && !s.linkUp():
		c.Fail("NOMASTERLINK Can't SYNC while not connected with my master")
		return
	case len(c.Reply.Buf) > 0 || c.outputBytes() > 0:
		c.Fail("ERR SYNC and PSYNC are invalid with pending output")
		return
	}
	id, offset := "", int64(-1)
	if c.Cmd.Name == "psync" {
		var ok bool
		if offset, ok = c.IntArg(2); !ok {
			return
		}
		id = string(c.Args[1])
	}
	if c.replica == nil {
		c.replica = s.master.NewReplica(countedReplica{c.conn, s})
	}
	if _, err := c.replica.Filter(); err != nil {
		c.Fail(err.Error())
		return
	}
	c.Mode |= engine.ModeReplica
	tuneReplica(s.cfg, c.conn)
	r := c.replica
	c.handOff = func() { s.feedReplica(c, r, id, offset) }
}

// tuneReplica lets the kernel gather small writes to a replica, or not, as repl-disable-tcp-nodelay asks.
func tuneReplica(c *config.Config, conn net.Conn) {
	if tc, ok := certs.Socket(conn).(*net.TCPConn); ok {
		tc.SetNoDelay(!c.ReplNoTCPNoDelay)
	}
}

// takeOver is PSYNC <id> <offset> FAILOVER: a master that is failing over to this replica asks to follow
// it, and by that tells it to become the master. It reports false when that was refused.
func (c *client) takeOver() bool {
	s := c.s
	s.logf(levelWarning, "Failover request received for replid %s.", c.Args[1])
	if !s.isReplica() {
		c.Fail("ERR PSYNC FAILOVER can't be sent to a master.")
		return false
	}
	var id string
	s.master.History(func(h *repl.History) { id = h.ID() })
	if !engine.EqualFold(c.Args[1], id) {
		c.Fail("ERR PSYNC FAILOVER replid must match my replid.")
		return false
	}
	s.stopFollowing()
	s.cfg.ReplicaOf = ""
	s.logf(levelNotice, "MASTER MODE enabled (failover request from '%s')", c.describe())
	return true
}

// replicaGone ends the stream to a client that is no more.
func (s *Server) replicaGone(c *client) {
	if c.replica != nil {
		c.replica.End()
	}
}

func cmdRole(c *client) {
	s := c.s
	if s.following != nil {
		st := s.following.f.Status()
		c.Reply.Array(5)
		c.Reply.BulkString("slave")
		c.Reply.BulkString(s.following.host)
		c.Reply.Int(s.following.port)
		c.Reply.BulkString(string(st.State))
		offset := st.Offset
		if st.State != repl.Connected {
			offset = -1
		}
		c.Reply.Int(offset)
		return
	}
	var online []repl.ReplicaInfo
	for _, r := range s.master.Replicas() {
		if r.State == repl.Online {
			online = append(online, r)
		}
	}
	c.Reply.Array(3)
	c.Reply.BulkString("master")
	c.Reply.Int(s.master.Offset())
	c.Reply.Array(len(online))
	for _, r := range online {
		c.Reply.Array(3)
		c.Reply.BulkString(r.IP)
		c.Reply.BulkString(itoa(r.Port))
		c.Reply.BulkString(itoa(r.Acked))
	}
}

// cmdWait waits until so many replicas have acknowledged what this client has written.
func cmdWait(c *client) {
	s := c.s
	if s.isReplica() {
		c.Fail("ERR WAIT cannot be used with replica instances. Please also note that since Redis 4.0 if a replica is configured to be writable (which is not the default) writes to replicas are just local and are not propagated.")
		return
	}
	want, ok := c.IntArg(1)
	if !ok {
		return
	}
	ms, ok := c.MillisArg(2)
	if !ok {
		return
	}
	offset := c.WrittenTo
	acked := func() int64 { return int64(s.master.Acked(offset)) }
	if n := acked(); n >= want || !c.MayBlock() {
		c.Reply.Int(n)
		return
	}
	deadline := int64(0)
	if ms > 0 {
		deadline = c.After(ms)
	}
	c.Block(engine.Wait{DeadlineMs: deadline,
		Poll: func(c *engine.Call) bool {
			n := acked()
			if n >= want {
				c.Reply.Int(n)
			}
			return n >= want
		},
		Expire: func(c *engine.Call) { c.Reply.Int(acked()) },
	}, nil)
	s.askAcks()
}
