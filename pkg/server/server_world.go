package server

import (
	"iter"
	"strings"

	"byor/pkg/engine"
	"byor/pkg/logs"
	"byor/pkg/persist"
	"byor/pkg/store"
	"byor/pkg/users"
)

// world is what the engine has to know of files, replicas and the configuration.
type world struct{ s *Server }

// Refuses checks disk and replication against the flags of a command, or of a whole transaction.
func (w world) Refuses(_ *engine.Session, cmd *engine.Command, f engine.Flag) string {
	s := w.s
	replica, writes := s.isReplica(), f&engine.Write != 0
	if (writes || cmd.FullName() == "ping") && !replica {
		if msg := s.files.DiskError(); msg != "" {
			return msg
		}
	}
	if writes && !replica && s.tooFewReplicas() {
		return "NOREPLICAS Not enough good replicas to write."
	}
	if writes && replica && s.cfg.ReplicaReadOnly {
		return "READONLY You can't write against a read only replica."
	}
	if replica && !s.cfg.ReplicaServeStale && f&engine.Stale == 0 && !s.linkUp() {
		return "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'."
	}
	return ""
}

// Protects says why a command that could do harm may not be run, or nothing when the configuration allows it.
func (w world) Protects(c *engine.Session, cmd *engine.Command) string {
	name, _, _ := strings.Cut(cmd.FullName(), "|")
	who := w.s.cfg.EnableModuleCommand
	if name == "debug" {
		who = w.s.cfg.EnableDebugCommand
	}
	if clientOf(c).may(who) {
		return ""
	}
	return "ERR " + strings.ToUpper(name) + " command not allowed. If the enable-" + name + "-command option is set to \"local\", you can run it from a local connection, otherwise you need to set this option in the configuration file, and then restart the server."
}

// Rights are the users'.

func (w world) Forbids(c *engine.Session, cmd *engine.Command, args [][]byte) string {
	return w.s.users.Forbids(c, cmd, args)
}

func (w world) Allows(c *engine.Session, cmd *engine.Command, args [][]byte) bool {
	return w.s.users.Allows(c, cmd, args)
}

func (w world) ReadsAnyKey(c *engine.Session) bool { return w.s.users.ReadsAnyKey(c) }

func (w world) CountedMemory() int64 { return w.s.countedMemory() }

func (w world) MemoryLimited() bool { return !(w.s.isReplica() && w.s.cfg.ReplicaIgnoreMaxMemory) }

func (w world) OwnsExpiry() bool { return !w.s.isReplica() }

func (w world) ExpiryFor(c *engine.Session, cmd *engine.Command) store.ExpiryMode {
	return w.s.expiryFor(c, cmd)
}

func (w world) Offset() int64 { return w.s.master.Offset() }

func (w world) SnapshotChanged() { w.s.files.Configure() } // which may hold back syncs now

func (w world) Flushed() {
	w.s.history.Forget()
	w.s.files.Flushed()
}

func (w world) Log(level int, line string) { w.s.logf(logs.Level(level), "%s", line) }

func (w world) Warn(format string, args ...any) { w.s.logf(levelWarning, format, args...) }

// What the files have to know (persist.Host).

func (w world) Verbose(format string, args ...any) { w.s.logf(levelVerbose, format, args...) }

func (w world) Notice(format string, args ...any) { w.s.logf(levelNotice, format, args...) }

func (w world) Status(doing string) { w.s.boss.Status(doing) }

func (w world) Recalm() { w.s.recalm() }

func (w world) UsedMemory() int64 { return w.s.usedMemory() }

func (w world) NewSession() *engine.Session { return &w.s.newClient(nil).Session }

func (w world) TrustedCommand(args [][]byte) *engine.Command { return w.s.trustedCommand(args) }

func (w world) ReplicationAux() [][2]string { return w.s.replicationAux() }

func (w world) Restored(h persist.Header) { w.s.restoreReplication(h) }

func (w world) Sending() bool { return w.s.sending }

// What the users have to know (users.Host).

func (w world) Logins() iter.Seq[*users.Login] {
	return func(yield func(*users.Login) bool) {
		for _, c := range w.s.clients {
			if !yield(&c.who) {
				return
			}
		}
	}
}

func (w world) End(es *engine.Session, afterReply bool) {
	c := clientOf(es)
	if afterReply {
		c.closing = max(c.closing, closeAfterReply)
		return
	}
	w.s.end(c, EndUser)
}

// What client-side caching has to know (tracking.Host).

func (w world) Session(id int64) *engine.Session {
	if c := w.s.clients[id]; c != nil {
		return &c.Session
	}
	return nil
}

func (w world) Listen() { w.s.listenToKeys() }
