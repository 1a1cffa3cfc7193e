package server

import (
	"net"

	"byor/pkg/repl"
)

func init() {
	const f = Admin | NoScript
	register("server", []Command{
		{Name: "replconf", Arity: -1, Flags: f | Loading | Stale | AllowBusy, Handler: cmdReplconf},
		{Name: "psync", Arity: -3, Flags: f | NoAsyncLoading | NoMulti, Handler: cmdPsync},
		{Name: "sync", Arity: 1, Flags: f | NoAsyncLoading | NoMulti, Handler: cmdPsync},
		{Name: "role", Arity: 1, Flags: NoScript | Loading | Stale | Fast, Handler: cmdRole},
	})
	register("generic", []Command{
		{Name: "wait", Arity: 3, Flags: NoScript, Handler: cmdWait},
	})
}

// cmdReplconf takes what a replica says of itself, and how far it is.
func cmdReplconf(c *Client) {
	if c.conn == nil {
		return
	}
	if c.replica == nil {
		c.replica = c.s.master.NewReplica(countedReplica{c.conn, c.s})
	}
	reply, err := c.replica.Conf(c.args[1:])
	switch {
	case err != nil:
		c.fail(err.Error())
	case reply:
		c.w.OK()
	default:
		c.s.pollBlocked() // it may have acknowledged what somebody waits for
	}
}

// cmdPsync is PSYNC and the older SYNC: the connection becomes a replica's. Its output is the
// stream's from then on; its input stays a session's, for REPLCONF ACK.
func cmdPsync(c *Client) {
	s := c.s
	switch {
	case c.has(flagReplica) || c.conn == nil:
		return
	case c.has(flagInExec):
		c.fail("ERR Command not allowed inside a transaction")
		return
	case len(c.args) > 3 && c.is(3, "failover") && !c.takeOver():
		return
	case s.isReplica() && !s.linkUp():
		c.fail("NOMASTERLINK Can't SYNC while not connected with my master")
		return
	case len(c.w.Buf) > 0 || c.outputBytes() > 0:
		c.fail("ERR SYNC and PSYNC are invalid with pending output")
		return
	}
	id, offset := "", int64(-1)
	if c.cmd.Name == "psync" {
		var ok bool
		if offset, ok = c.intArg(2); !ok {
			return
		}
		id = string(c.args[1])
	}
	if c.replica == nil {
		c.replica = s.master.NewReplica(countedReplica{c.conn, s})
	}
	c.flags |= flagReplica
	s.cfg.tuneReplica(c.conn)
	r := c.replica
	c.handOff = func() { s.feedReplica(c, r, id, offset) }
}

// tuneReplica lets the kernel gather small writes to a replica, or not, as repl-disable-tcp-nodelay asks.
func (c *Config) tuneReplica(conn net.Conn) {
	if tc, ok := conn.(*net.TCPConn); ok {
		tc.SetNoDelay(!c.ReplNoTCPNoDelay)
	}
}

// takeOver is PSYNC <id> <offset> FAILOVER: a master that is failing over to this replica asks to follow
// it, and by that tells it to become the master. It reports false when that was refused.
func (c *Client) takeOver() bool {
	s := c.s
	s.logf(LevelWarning, "Failover request received for replid %s.", c.args[1])
	if !s.isReplica() {
		c.fail("ERR PSYNC FAILOVER can't be sent to a master.")
		return false
	}
	var id string
	s.master.History(func(h *repl.History) { id = h.ID() })
	if !equalFold(c.args[1], id) {
		c.fail("ERR PSYNC FAILOVER replid must match my replid.")
		return false
	}
	s.stopFollowing()
	s.cfg.ReplicaOf = ""
	s.logf(LevelNotice, "MASTER MODE enabled (failover request from '%s')", c.describe())
	return true
}

// replicaGone ends the stream to a client that is no more.
func (s *Server) replicaGone(c *Client) {
	if c.replica != nil {
		c.replica.End()
	}
}

func cmdRole(c *Client) {
	s := c.s
	if s.following != nil {
		st := s.following.f.Status()
		c.w.Array(5)
		c.w.BulkString("slave")
		c.w.BulkString(s.following.host)
		c.w.Int(s.following.port)
		c.w.BulkString(string(st.State))
		offset := st.Offset
		if st.State != repl.Connected {
			offset = -1
		}
		c.w.Int(offset)
		return
	}
	var online []repl.ReplicaInfo
	for _, r := range s.master.Replicas() {
		if r.State == repl.Online {
			online = append(online, r)
		}
	}
	c.w.Array(3)
	c.w.BulkString("master")
	c.w.Int(s.master.Offset())
	c.w.Array(len(online))
	for _, r := range online {
		c.w.Array(3)
		c.w.BulkString(r.IP)
		c.w.BulkString(itoa(r.Port))
		c.w.BulkString(itoa(r.Acked))
	}
}

// cmdWait waits until so many replicas have acknowledged what this client has written.
func cmdWait(c *Client) {
	s := c.s
	if s.isReplica() {
		c.fail("ERR WAIT cannot be used with replica instances. Please also note that since Redis 4.0 if a replica is configured to be writable (which is not the default) writes to replicas are just local and are not propagated.")
		return
	}
	want, ok := c.intArg(1)
	if !ok {
		return
	}
	ms, ok := parseInt(c.args[2])
	switch {
	case !ok:
		c.fail("ERR timeout is not an integer or out of range")
		return
	case ms < 0:
		c.fail(errTimeoutNeg)
		return
	}
	offset := c.writtenTo
	acked := func() int64 { return int64(s.master.Acked(offset)) }
	if n := acked(); n >= want || !c.mayBlock() {
		c.w.Int(n)
		return
	}
	deadline := int64(0)
	if ms > 0 {
		deadline = s.after(ms)
	}
	c.block(blocking{deadlineMs: deadline,
		poll: func(c *Client) bool {
			n := acked()
			if n >= want {
				c.w.Int(n)
			}
			return n >= want
		},
		expire: func(c *Client) { c.w.Int(acked()) },
	}, nil)
	s.master.AskAcks()
}
