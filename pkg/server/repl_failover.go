package server

import (
	"math"
	"strings"

	"byor/pkg/engine"
	"byor/pkg/repl"
)

// FAILOVER, on the side of the master that hands over. (What the replica does is takeOver, in repl_master.go.)
//
// Writes are held back from the command on. First the master waits for a replica that has acknowledged all
// of the stream; nothing is added to it meanwhile. Then the master becomes a replica of that one and asks it
// to take over, see repl.HandOver. When it has, the writes that were held back are let go, and refused:
// this is a replica now. Until then an abort brings everything back. So a write is acknowledged either here,
// before, or there, afterwards.

func init() {
	engine.Register("server", []engine.Command{
		{Name: "failover", Arity: -1, Flags: engine.Admin | engine.NoScript | engine.Stale, Handler: by(cmdFailover)},
	})
}

// failoverState is a state in the words of INFO.
type failoverState string

const (
	noFailover     failoverState = "no-failover"
	waitingForSync failoverState = "waiting-for-sync"
	handingOver    failoverState = "failover-in-progress"
)

// failover is what FAILOVER has begun. Guarded by the engine's lock.
type failover struct {
	state      failoverState
	host       string // of the replica that is to take over, "": any that is in sync
	port       int64
	deadlineMs int64 // until when to wait for sync, Unix milliseconds; 0: for ever
	force      bool  // hand over at the deadline, too
}

// failingOver reports whether a failover is under way.
func (s *Server) failingOver() bool { return s.failover.state != noFailover }

// still reports whether nothing may be added to the stream, not even a ping. A failover without an end must let
// them pass, or the replicas would take the master for dead.
func (f *failover) still() bool { return f.state != noFailover && f.deadlineMs != 0 }

// target names the replica for the log.
func (f *failover) target() string {
	if f.host == "" {
		return "any replica"
	}
	return f.host + ":" + itoa(f.port)
}

// parseFailover reads the arguments of FAILOVER. timeoutMs is 0 where none is given.
func parseFailover(c *client) (f failover, timeoutMs int64, ok bool) {
	for i := 1; i < len(c.Args); i++ {
		left := len(c.Args) - i - 1
		switch {
		case c.Is(i, "timeout") && left >= 1 && timeoutMs == 0:
			i++
			if timeoutMs, ok = c.IntArg(i); !ok {
				return f, 0, false
			}
			if timeoutMs <= 0 {
				c.Fail("ERR FAILOVER timeout must be greater than 0")
				return f, 0, false
			}
		case c.Is(i, "to") && left >= 2 && f.host == "":
			if f.port, ok = c.IntArg(i + 2); !ok {
				return f, 0, false
			}
			f.host = string(c.Args[i+1])
			i += 2
		case c.Is(i, "force") && !f.force:
			f.force = true
		default:
			c.Fail(engine.ErrSyntax)
			return f, 0, false
		}
	}
	return f, timeoutMs, true
}

// cmdFailover is FAILOVER [TO host port [FORCE]] [TIMEOUT ms] and FAILOVER ABORT.
func cmdFailover(c *client) {
	s := c.s
	if len(c.Args) == 2 && c.Is(1, "abort") {
		if !s.failingOver() {
			c.Fail("ERR No failover in progress.")
			return
		}
		s.abortFailover("Failover manually aborted")
		c.Reply.OK()
		return
	}
	f, timeoutMs, ok := parseFailover(c)
	if !ok {
		return
	}
	if msg := s.refusesFailover(&f, timeoutMs); msg != "" {
		c.Fail(msg)
		return
	}
	s.logf(levelNotice, "FAILOVER requested to %s.", f.target())
	f.state = waitingForSync
	if timeoutMs > 0 {
		f.deadlineMs = c.After(timeoutMs)
	}
	s.failover = f
	s.eng.SetPause(engine.ByFailover, engine.Pause{UntilMs: math.MaxInt64})
	c.Reply.OK()
}

// refusesFailover says why a failover may not begin, in Redis's words, or nothing when it may.
func (s *Server) refusesFailover(f *failover, timeoutMs int64) string {
	switch replicas := s.master.Replicas(); {
	case s.failingOver():
		return "ERR FAILOVER already in progress."
	case s.isReplica():
		return "ERR FAILOVER is not valid when server is a replica."
	case len(replicas) == 0:
		return "ERR FAILOVER requires connected replicas."
	case f.force && (timeoutMs == 0 || f.host == ""):
		return "ERR FAILOVER with force option requires both a timeout and target HOST and IP."
	case f.host != "":
		r := f.find(replicas)
		if r == nil {
			return "ERR FAILOVER target HOST and PORT is not a replica."
		}
		if r.State != repl.Online {
			return "ERR FAILOVER target replica is not online."
		}
	}
	return ""
}

// find returns the replica that is meant, by the address that INFO shows; nil if it is not there.
func (f *failover) find(replicas []repl.ReplicaInfo) *repl.ReplicaInfo {
	for i, r := range replicas {
		if strings.EqualFold(r.IP, f.host) && int64(r.Port) == f.port {
			return &replicas[i]
		}
	}
	return nil
}

// checkFailover hands over if a replica is in sync, or the time is over. It must not be called within a unit,
// whose effects are not in the stream yet.
func (s *Server) checkFailover() {
	f := &s.failover
	if f.state != waitingForSync {
		return
	}
	if f.deadlineMs != 0 && s.eng.NowMs >= f.deadlineMs {
		if !f.force {
			s.abortFailover("Replica never caught up before timeout")
			return
		}
		s.logf(levelNotice, "FAILOVER to %s time out exceeded, failing over.", f.target())
		s.handOver()
		return
	}
	replicas, offset := s.master.Replicas(), s.master.Offset()
	insync := func(r *repl.ReplicaInfo) bool { return r != nil && r.State == repl.Online && r.Acked == offset }
	if f.host == "" {
		for i, r := range replicas {
			if insync(&replicas[i]) && r.Port != 0 { // else nobody knows where it listens
				f.host, f.port = r.IP, int64(r.Port)
				break
			}
		}
	}
	if f.host != "" && !s.migrating && insync(f.find(replicas)) {
		s.logf(levelNotice, "Failover target %s is synced, failing over.", f.target())
		s.handOver()
	}
}

// handOver makes the server a replica of the one that is to take over, and asks it to.
func (s *Server) handOver() {
	f := &s.failover
	f.state = handingOver
	s.cfg.ReplicaOf = f.host + " " + itoa(f.port)
	var fl *following
	s.follow(f.host, f.port, &repl.HandOver{Force: f.force, Done: func(err error) {
		s.eng.Lock()
		defer s.eng.Unlock()
		switch {
		case s.following != fl: // it was aborted
		case err != nil:
			s.abortFailover(err.Error())
		default:
			s.clearFailover()
		}
	}})
	fl = s.following // before the lock is free: Done waits for it
}

// abortFailover brings everything back to what it was before the failover.
func (s *Server) abortFailover(why string) {
	s.logf(levelNotice, "FAILOVER to %s aborted: %s", s.failover.target(), why)
	if s.failover.state == handingOver {
		s.stopFollowing()
		s.cfg.ReplicaOf = ""
	}
	s.clearFailover()
}

// clearFailover ends the failover and lets those go on who wait to write.
func (s *Server) clearFailover() {
	s.failover = failover{state: noFailover}
	s.eng.SetPause(engine.ByFailover, engine.Pause{})
}

// askAcks asks the replicas how far they are, now or when writes are let through again: the question is part of
// the stream, which is not to grow while somebody is about to take it over.
func (s *Server) askAcks() {
	s.ackWanted = s.eng.PausesWrites()
	if !s.ackWanted {
		s.master.AskAcks()
	}
}
