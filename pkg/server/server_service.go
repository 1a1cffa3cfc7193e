package server

import (
	"os"
	"strconv"
	"time"

	"byor/pkg/config"
	"byor/pkg/logs"
	"byor/pkg/supervise"
)

// What makes a service of the server: its process's number in a file, the supervisor who hears how far it is, a
// watchdog, and a log that can be opened anew.

// defaultPidFile is where the number of a server in the background stands if pidfile does not say so.
const defaultPidFile = "/var/run/redis.pid"

// setPidFile decides where the process's number is to stand, as long as dir is what it was at start. The engine's
// lock must be held.
func (s *Server) setPidFile() {
	if s.cfg.PidFile == "" && s.cfg.Daemonize && s.boss.Mode() == supervise.None {
		s.cfg.PidFile = defaultPidFile // to which CONFIG GET answers, too
	}
	s.pidFile = s.cfg.InDir(s.cfg.PidFile)
}

// writePidFile leaves the process's number where pidfile says. A server without one works as well.
func (s *Server) writePidFile() {
	s.eng.Lock()
	s.setPidFile()
	path := s.pidFile
	s.eng.Unlock()
	if path == "" {
		return
	}
	if err := os.WriteFile(path, []byte(strconv.Itoa(os.Getpid())+"\n"), 0o644); err != nil {
		s.logf(levelNotice, "Failed to write PID file: %s", config.ErrnoText(err))
	}
}

func (s *Server) removePidFile() {
	if s.pidFile != "" {
		s.logf(levelNotice, "Removing the pid file.")
		os.Remove(s.pidFile)
	}
}

// logSupervisor writes down how the process found its supervisor.
func (s *Server) logSupervisor() {
	for _, n := range s.boss.Notes() {
		for lvl, mark := range logs.Marks {
			if mark == n.Mark {
				s.logf(logs.Level(lvl), "%s", n.Text)
			}
		}
	}
}

// tellReady says that the data are loaded, to the log and to the supervisor.
func (s *Server) tellReady() {
	s.eng.Enter()
	status, socket := "Ready to accept connections", s.cfg.InDir(s.cfg.UnixSocket)
	if s.isReplica() {
		status += " in read-only mode. Waiting for MASTER <-> REPLICA sync"
	}
	tcp := s.cfg.Port != 0 || s.cfg.TLSPort != 0
	s.eng.Unlock()
	if tcp || socket == "" {
		s.logf(levelNotice, "Ready to accept connections")
	}
	if socket != "" {
		s.logf(levelNotice, "The server is now ready to accept connections at %s", socket)
	}
	s.boss.Status(status)
	s.boss.Ready()
}

// watch tells the supervisor's watchdog again and again that the server answers, until the server ends.
func (s *Server) watch() {
	period := s.boss.WatchPeriod()
	if period == 0 {
		return
	}
	t := time.NewTicker(period)
	defer t.Stop()
	s.boss.Watch(t.C, s.stop, s.awaitAnswer)
}

// awaitAnswer returns when a command that came now would be answered: the engine is free for it, or busy with a
// script and says so, and the log is as safe as a reply has to wait for. A command that takes for ever keeps it
// waiting, and so do a lock that is never let go and a disk that hangs under appendfsync always.
func (s *Server) awaitAnswer() {
	s.eng.Enter()
	at := s.files.LogEnd()
	s.eng.Unlock()
	s.files.Commit(at)
}

// Reload opens the file of logfile anew, as SIGHUP asks, and loads the files of TLS. If that fails, the log goes on
// into the old one, and the old certificates stay.
func (s *Server) Reload() {
	s.boss.Reloading()
	if name, err := s.log.Reopen(); err != nil {
		s.logf(levelWarning, "Can't open the log file: %s. The log goes on into the old one.", config.ErrnoText(err))
	} else if name != "" {
		s.logf(levelNotice, "The log file %s was opened anew.", name)
	}
	s.renewCerts()
	s.boss.Ready()
}

// Warn writes a line into the log at the level warning. It is for what stands around the server.
func (s *Server) Warn(format string, args ...any) { s.logf(levelWarning, format, args...) }
