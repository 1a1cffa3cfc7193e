package server

import (
	"errors"
	"os"
	"strings"
	"sync/atomic"

	"byor/pkg/aof"
	"byor/pkg/engine"
)

// The append-only file, as the engine sees it. Under the lock, the engine's EndUnit hands over the
// bytes of a unit, which go to a buffer of package aof (appendAOF). Outside of it, whoever is about to write replies waits
// until the buffer is as safe as the policy demands (commitAOF). A reply waits for all that was
// appended before it was made, not only for its own command's effect: else a client could read what
// a power cut is about to take back.

func init() {
	engine.Register("server", []engine.Command{
		{Name: "bgrewriteaof", Arity: 1, Flags: engine.Admin | engine.NoScript | engine.NoAsyncLoading, Handler: by(cmdBgrewriteaof)},
	})
}

// aofState is what the server knows of its append-only file. The engine's lock guards all of it; the
// pointer alone is read without.
type aofState struct {
	aof       atomic.Pointer[openAOF] // nil while appendonly is no
	aofEnd    int64                   // offset behind the last byte appended
	aofStream engine.Listener
	aofErr    error // why the latest write or sync failed, nil once one has worked
	aofIncr   int64 // number of the last increment of a log that was closed
	aofTS     int64 // Unix seconds of the latest #TS: annotation

	rewrite          *aofRewrite // under way
	rewriteScheduled bool
	rewriteFailed    bool // the latest one did
	rewriteTookSec   int64
	rewrites         int64
	rewriteFailures  int64 // in a row
}

// openAOF is a log with the offset that its first byte has in the server's count: offsets never go
// back, though logs come and go with CONFIG SET appendonly.
type openAOF struct {
	*aof.Log
	base int64
}

func (s *Server) initAOF() {
	s.aofStream = engine.Listener{To: engine.ToAOF, Wants: s.aofOn, Take: s.appendAOF, Selected: -1}
	s.eng.Listen(&s.aofStream)
	s.rewriteTookSec = -1
}

// aofOn reports whether effects go to an append-only file.
func (s *Server) aofOn() bool { return s.aof.Load() != nil }

// aofOptions are the configuration as package aof takes it.
func (s *Server) aofOptions() aof.Options {
	policy, _ := aof.ParsePolicy(s.cfg.AppendFsync) // checked when it was set
	return aof.Options{
		Dir: s.cfg.Dir, DirName: s.cfg.AppendDirname, FileName: s.cfg.AppendFilename,
		Policy: policy, PlainBase: !s.cfg.AOFUseRDBPreamble, RefuseTruncated: !s.cfg.AOFLoadTruncated, LastIncr: s.aofIncr,
		Logf:  func(format string, args ...any) { s.logf(levelNotice, format, args...) },
		Warnf: func(format string, args ...any) { s.logf(levelWarning, format, args...) },
	}
}

// setAOF makes effects go to the log from now on; nil stops them.
func (s *Server) setAOF(log *aof.Log) {
	s.aofStream.Selected, s.aofTS, s.aofErr = -1, 0, nil
	if log == nil {
		s.aof.Store(nil)
	} else {
		s.aof.Store(&openAOF{log, s.aofEnd - log.End()})
	}
	s.recalm()
}

// appendAOF appends the bytes of a unit.
func (s *Server) appendAOF(b []byte) {
	log := s.aof.Load()
	if now := s.eng.NowMs / 1000; s.cfg.AOFTimestampEnabled && now > s.aofTS {
		s.aofTS = now
		log.Append([]byte("#TS:" + itoa(now) + "\r\n"))
	}
	s.aofEnd = log.base + log.Append(b)
}

// commitAOF returns when the append-only file is as safe as the policy demands up to the offset.
// The engine's lock must not be held. If that cannot be had under always, the process ends: the
// commands were executed, and no reply would be true.
func (s *Server) commitAOF(at int64) {
	log := s.aof.Load()
	if log == nil {
		return
	}
	if log.Commit(at-log.base) == nil {
		return
	}
	s.eng.Lock()
	s.checkAOF() // from now on writes are refused, or it is the end
	s.eng.Unlock()
}

// checkAOF notes whether the log can write, and ends the process when it never will again under
// always. Trouble and its end also come from the log's own background syncs, so the cron asks, too.
func (s *Server) checkAOF() {
	log := s.aof.Load()
	if log == nil {
		return
	}
	st := log.Status()
	if st.Fatal != nil {
		os.Exit(1) // the log has said why
	}
	changed := (st.Err == nil) != (s.aofErr == nil)
	if s.aofErr = st.Err; changed {
		s.recalm()
	}
}

// startAOF is CONFIG SET appendonly yes: the log counts from the end of its first rewrite on, which
// begins now or as soon as it can. The engine's lock must be held.
func (s *Server) startAOF() error {
	if s.rewrite != nil {
		s.logf(levelWarning, "AOF was enabled but there is already an AOF rewriting in background. Stopping background AOF and starting a rewrite now.")
		s.cancelRewrite()
	}
	log, err := aof.Create(s.aofOptions())
	if err != nil {
		s.logf(levelWarning, "%s", err)
		return errors.New("Unable to turn on AOF. Check server logs.") //nolint:staticcheck // Redis's words
	}
	s.setAOF(log)
	s.configureAOF()
	switch {
	case s.eng.Frozen():
		s.rewriteScheduled = true
		s.logf(levelWarning, "AOF was enabled during a transaction. An AOF background was scheduled to start when possible.")
	case s.eng.Snapshotting():
		s.rewriteScheduled = true
		s.logf(levelWarning, "AOF was enabled but there is already another background operation. An AOF background was scheduled to start when possible.")
	default:
		if err := s.startRewrite(); err != nil {
			s.setAOF(nil)
			log.Close()
			return errors.New("Unable to turn on AOF. Check server logs.") //nolint:staticcheck // Redis's words
		}
	}
	return nil
}

// stopAOF is CONFIG SET appendonly no. What was appended is safe when it returns: replies that wait
// for it need not wait any longer. The engine's lock must be held.
func (s *Server) stopAOF() {
	log := s.aof.Load()
	if log == nil {
		return
	}
	s.rewriteScheduled = false
	s.cancelRewrite()
	if err := log.Close(); err != nil {
		s.logf(levelWarning, "Closing the append-only file: %s", aof.Strerror(err))
	}
	s.aofIncr = log.LastIncr()
	s.setAOF(nil)
}

// configureAOF carries changed parameters to the log.
func (s *Server) configureAOF() {
	log := s.aof.Load()
	if log == nil {
		return
	}
	o := s.aofOptions()
	log.SetPolicy(o.Policy)
	log.SetPlainBase(o.PlainBase)
	log.HoldSync(s.cfg.NoFsyncOnRewrite && s.eng.Snapshotting())
}

// aofFinal is what the server's end means for the log: a rewrite is given up, since the files are
// complete without it. They are closed when the last reply has left (closeAOF). The engine's lock must
// be held.
func (s *Server) aofFinal(mode ShutdownMode) error {
	if log := s.aof.Load(); log != nil && log.Status().Waiting {
		if !mode.Force {
			s.logf(levelWarning, "Writing initial AOF, can't exit.")
			return errors.New("the initial append-only file is not complete")
		}
		s.logf(levelWarning, "Writing initial AOF. Exit anyway.")
	}
	if s.rewrite != nil {
		s.logf(levelWarning, "There is a child rewriting the AOF. Killing it!")
		s.cancelRewrite()
	}
	return nil
}

// closeAOF writes and syncs what the log holds, at the very end.
func (s *Server) closeAOF() {
	s.cancelRewrite()
	log := s.aof.Load()
	if log == nil {
		return
	}
	s.logf(levelNotice, "Calling fsync() on the AOF file.")
	if err := log.Close(); err != nil {
		s.logf(levelWarning, "Fail to fsync the AOF file: %s.", aof.Strerror(err))
	}
}

// infoAOF writes INFO's fields about the append-only file.
func (s *Server) infoAOF(b *strings.Builder) {
	log := s.aof.Load()
	var st aof.Status
	if log != nil {
		st = log.Status()
	}
	currentSec := int64(-1)
	if s.rewrite != nil {
		currentSec = s.eng.NowMs/1000 - s.rewrite.startSec
	}
	fields(b, "aof_enabled", btoi(log != nil), "aof_rewrite_in_progress", btoi(s.rewrite != nil),
		"aof_rewrite_scheduled", btoi(s.rewriteScheduled), "aof_last_rewrite_time_sec", s.rewriteTookSec,
		"aof_current_rewrite_time_sec", currentSec, "aof_last_bgrewrite_status", okOrErr(!s.rewriteFailed),
		"aof_rewrites", s.rewrites, "aof_rewrites_consecutive_failures", s.rewriteFailures,
		"aof_last_write_status", okOrErr(s.aofErr == nil), "aof_last_cow_size", 0,
		"module_fork_in_progress", 0, "module_fork_last_cow_size", 0)
	if log != nil {
		fields(b, "aof_current_size", st.Size, "aof_base_size", st.BaseSize, "aof_pending_rewrite", btoi(s.rewriteScheduled),
			"aof_buffer_length", st.Pending, "aof_pending_bio_fsync", btoi(st.PendingSync),
			"aof_delayed_fsync", st.DelayedSyncs)
	}
}
