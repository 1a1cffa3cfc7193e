package server

import (
	"io"

	"byor/pkg/aof"
	"byor/pkg/engine"
)

// aofRewrite is a rewrite of the append-only file under way: a snapshot that becomes the new base,
// while what is appended goes to a new increment.
type aofRewrite struct {
	log      *aof.Log
	rw       *aof.Rewrite
	snap     *engine.Snapshot
	startSec int64 // Unix seconds
	// detached: appendonly is no, and the log is there for this rewrite alone. BGREWRITEAOF works all
	// the same, as in Redis.
	detached bool
}

// baseSink is an engine.Sink that writes the base of an append-only file.
type baseSink interface {
	engine.Sink
	open(w io.Writer)
	close() error
}

// startRewrite begins a rewrite. The engine's lock must be held, no snapshot be under way, and no unit
// be half done: the line between what the base holds and what follows is drawn here. What goes wrong
// is in the log.
func (s *Server) startRewrite() error {
	if !s.cfg.AOFUseRDBPreamble {
		return s.startRewriteTo(newPlainSink(s.libraries()))
	}
	return s.startRewriteTo(s.newRDBSink(true))
}

func (s *Server) startRewriteTo(sink baseSink) error {
	s.rewriteScheduled = false
	r := &aofRewrite{startSec: s.eng.NowMs / 1000}
	if open := s.aof.Load(); open != nil {
		r.log = open.Log
	} else {
		var err error
		if r.log, err = aof.CreateBase(s.aofOptions()); err != nil {
			s.logf(levelWarning, "%s", err)
			return err
		}
		r.detached = true
	}
	var err error
	if r.rw, err = r.log.BeginRewrite(); err != nil {
		s.logf(levelWarning, "Can't rewrite the append-only file: %s", err)
		if r.detached {
			r.log.Close()
		}
		return err
	}
	s.rewrites++
	s.rewrite = r
	s.aofStream.Selected, s.aofTS = -1, 0 // the new increment must make sense by itself
	r.snap = s.eng.BeginSnapshot(sink)
	go func() {
		err := r.rw.Run(func(w io.Writer) error {
			sink.open(w)
			if err := r.snap.Run(); err != nil {
				return err
			}
			return sink.close()
		})
		s.eng.Lock()
		defer s.eng.Unlock()
		s.rewriteEnded(r, err)
	}()
	return nil
}

func (s *Server) rewriteEnded(r *aofRewrite, err error) {
	r.snap.End()
	if s.rewrite != r {
		return // cancelled, and cleaned up after
	}
	s.rewrite = nil
	s.eng.Tick()
	s.rewriteTookSec = s.eng.NowMs/1000 - r.startSec
	s.rewriteFailed = err != nil
	if s.rewriteFailures++; err == nil {
		s.rewriteFailures = 0
	}
	if r.detached {
		r.log.Close()
	} else if err != nil && r.log.Status().Waiting {
		s.rewriteScheduled = true // appendonly is yes, and nothing is logged before one has worked
	}
}

// cancelRewrite gives up the rewrite under way, if there is one. The files are as complete as without
// it. The engine's lock must be held.
func (s *Server) cancelRewrite() {
	r := s.rewrite
	if r == nil {
		return
	}
	s.rewrite = nil
	r.snap.Cancel()
	r.rw.Abort()
	if r.detached {
		r.log.Close()
	}
}

// scheduledRewrite starts a rewrite that had to wait.
func (s *Server) scheduledRewrite() {
	if !s.rewriteScheduled || s.eng.Snapshotting() || s.eng.Loading {
		return
	}
	if log := s.aof.Load(); log == nil || !log.RewriteLimited() {
		_ = s.startRewrite() // logged
	}
}

// automaticRewrite starts a rewrite when the log has grown as much as it may.
func (s *Server) automaticRewrite() {
	log := s.aof.Load()
	if log == nil || s.rewriteScheduled || s.eng.Snapshotting() || s.eng.Loading {
		return
	}
	if growth, due := log.RewriteDue(s.cfg.AutoRewritePercent, s.cfg.AutoRewriteMinSize); due {
		s.logf(levelNotice, "Starting automatic rewriting of AOF on %d%% growth", growth)
		_ = s.startRewrite() // logged
	}
}

func cmdBgrewriteaof(c *client) {
	s := c.s
	switch {
	case s.rewrite != nil:
		c.Fail("ERR Background append only file rewriting already in progress")
	case s.eng.Snapshotting() || c.Has(engine.ModeExec): // inside EXEC the line would cut a transaction in two
		s.rewriteScheduled = true
		c.Reply.SimpleString("Background append only file rewriting scheduled")
	case s.startRewrite() != nil:
		c.Fail("ERR Can't execute an AOF background rewriting. Please check the server logs for more information.")
	default:
		c.Reply.SimpleString("Background append only file rewriting started")
	}
}
