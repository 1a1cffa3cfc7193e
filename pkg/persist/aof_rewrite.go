package persist

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

// Base is an engine.Sink that writes the base of an append-only file.
type Base interface {
	engine.Sink
	Open(w io.Writer)
	Close() error
}

// startRewrite begins a rewrite. The engine's lock must be held, no snapshot be under way, and no unit
// be half done: the line between what the base holds and what follows is drawn here. What goes wrong
// is in the log.
func (fs *Files) startRewrite() error {
	if !fs.cfg.AOFUseRDBPreamble {
		return fs.StartRewriteTo(newPlainSink(fs.libraries()))
	}
	return fs.StartRewriteTo(fs.NewSink(true))
}

// StartRewriteTo is startRewrite with a sink of the caller's.
func (fs *Files) StartRewriteTo(sink Base) error {
	fs.rewriteScheduled = false
	r := &aofRewrite{startSec: fs.eng.NowMs / 1000}
	if open := fs.aof.Load(); open != nil {
		r.log = open.Log
	} else {
		var err error
		if r.log, err = aof.CreateBase(fs.aofOptions()); err != nil {
			fs.host.Warn("%s", err)
			return err
		}
		r.detached = true
	}
	var err error
	if r.rw, err = r.log.BeginRewrite(); err != nil {
		fs.host.Warn("Can't rewrite the append-only file: %s", err)
		if r.detached {
			r.log.Close()
		}
		return err
	}
	fs.rewrites++
	fs.rewrite = r
	fs.aofStream.Selected, fs.aofTS = -1, 0 // the new increment must make sense by itself
	r.snap = fs.eng.BeginSnapshot(sink)
	go func() {
		err := r.rw.Run(func(w io.Writer) error {
			sink.Open(w)
			if err := r.snap.Run(); err != nil {
				return err
			}
			return sink.Close()
		})
		fs.eng.Lock()
		defer fs.eng.Unlock()
		fs.rewriteEnded(r, err)
	}()
	return nil
}

func (fs *Files) rewriteEnded(r *aofRewrite, err error) {
	r.snap.End()
	if fs.rewrite != r {
		return // cancelled, and cleaned up after
	}
	fs.rewrite = nil
	fs.eng.Tick()
	fs.rewriteTookSec = fs.eng.NowMs/1000 - r.startSec
	fs.rewriteFailed = err != nil
	if fs.rewriteFailures++; err == nil {
		fs.rewriteFailures = 0
	}
	if r.detached {
		r.log.Close()
	} else if err != nil && r.log.Status().Waiting {
		fs.rewriteScheduled = true // appendonly is yes, and nothing is logged before one has worked
	}
}

// cancelRewrite gives up the rewrite under way, if there is one. The files are as complete as without
// it. The engine's lock must be held.
func (fs *Files) cancelRewrite() {
	r := fs.rewrite
	if r == nil {
		return
	}
	fs.rewrite = nil
	r.snap.Cancel()
	r.rw.Abort()
	if r.detached {
		r.log.Close()
	}
}

// scheduledRewrite starts a rewrite that had to wait.
func (fs *Files) scheduledRewrite() {
	if !fs.rewriteScheduled || fs.eng.Snapshotting() || fs.eng.Loading {
		return
	}
	if log := fs.aof.Load(); log == nil || !log.RewriteLimited() {
		_ = fs.startRewrite() // logged
	}
}

// automaticRewrite starts a rewrite when the log has grown as much as it may.
func (fs *Files) automaticRewrite() {
	log := fs.aof.Load()
	if log == nil || fs.rewriteScheduled || fs.eng.Snapshotting() || fs.eng.Loading {
		return
	}
	if growth, due := log.RewriteDue(fs.cfg.AutoRewritePercent, fs.cfg.AutoRewriteMinSize); due {
		fs.host.Notice("Starting automatic rewriting of AOF on %d%% growth", growth)
		_ = fs.startRewrite() // logged
	}
}

func cmdBgrewriteaof(fs *Files, c *engine.Call) {
	switch {
	case fs.rewrite != nil:
		c.Fail("ERR Background append only file rewriting already in progress")
	case fs.eng.Snapshotting() || c.Session().Has(engine.ModeExec): // inside EXEC the line would cut a transaction in two
		fs.rewriteScheduled = true
		c.Reply.SimpleString("Background append only file rewriting scheduled")
	case fs.startRewrite() != nil:
		c.Fail("ERR Can't execute an AOF background rewriting. Please check the server logs for more information.")
	default:
		c.Reply.SimpleString("Background append only file rewriting started")
	}
}
