package persist

import (
	"errors"
	"os"
	"strings"
	"sync/atomic"

	"byor/pkg/aof"
	"byor/pkg/engine"
	"byor/pkg/introspect"
)

// The append-only file, as the engine sees it. Under the lock, the engine's EndUnit hands over the
// bytes of a unit, which go to a buffer of package aof (appendAOF). Outside of it, whoever is about to write replies waits
// until the buffer is as safe as the policy demands (Commit). A reply waits for all that was
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

func (fs *Files) initAOF() {
	fs.aofStream = engine.Listener{To: engine.ToAOF, Wants: fs.aofOn, Take: fs.appendAOF, Selected: -1}
	fs.eng.Listen(&fs.aofStream)
	fs.rewriteTookSec = -1
}

// aofOn reports whether effects go to an append-only file.
func (fs *Files) aofOn() bool { return fs.aof.Load() != nil }

// aofOptions are the configuration as package aof takes it.
func (fs *Files) aofOptions() aof.Options {
	policy, _ := aof.ParsePolicy(fs.cfg.AppendFsync) // checked when it was set
	return aof.Options{
		Dir: fs.cfg.Dir, DirName: fs.cfg.AppendDirname, FileName: fs.cfg.AppendFilename,
		Policy: policy, PlainBase: !fs.cfg.AOFUseRDBPreamble, RefuseTruncated: !fs.cfg.AOFLoadTruncated, LastIncr: fs.aofIncr,
		Logf:  fs.host.Notice,
		Warnf: fs.host.Warn,
	}
}

// setAOF makes effects go to the log from now on; nil stops them.
func (fs *Files) setAOF(log *aof.Log) {
	fs.aofStream.Selected, fs.aofTS, fs.aofErr = -1, 0, nil
	if log == nil {
		fs.aof.Store(nil)
	} else {
		fs.aof.Store(&openAOF{log, fs.aofEnd - log.End()})
	}
	fs.host.Recalm()
}

// appendAOF appends the bytes of a unit.
func (fs *Files) appendAOF(b []byte) {
	log := fs.aof.Load()
	if now := fs.eng.NowMs / 1000; fs.cfg.AOFTimestampEnabled && now > fs.aofTS {
		fs.aofTS = now
		log.Append([]byte("#TS:" + itoa(now) + "\r\n"))
	}
	fs.aofEnd = log.base + log.Append(b)
}

// LogEnd returns the offset behind the last byte that was appended: what Commit is to be given by whoever writes
// replies.
func (fs *Files) LogEnd() int64 { return fs.aofEnd }

// LogPending returns the bytes that were appended and are not in the file yet.
func (fs *Files) LogPending() int64 {
	if log := fs.aof.Load(); log != nil {
		return int64(log.Status().Pending)
	}
	return 0
}

// Flush writes what was appended to the file.
func (fs *Files) Flush() error {
	if log := fs.aof.Load(); log != nil {
		return log.Flush()
	}
	return nil
}

// RestartLog lets the log begin anew, as the data are others now. With appendonly no there is none.
func (fs *Files) RestartLog() error {
	if !fs.cfg.AppendOnly {
		return nil
	}
	fs.stopAOF()
	return fs.startAOF()
}

// Commit returns when the append-only file is as safe as the policy demands up to the offset.
// The engine's lock must not be held. If that cannot be had under always, the process ends: the
// commands were executed, and no reply would be true.
func (fs *Files) Commit(at int64) {
	log := fs.aof.Load()
	if log == nil {
		return
	}
	if log.Commit(at-log.base) == nil {
		return
	}
	fs.eng.Lock()
	fs.checkAOF() // from now on writes are refused, or it is the end
	fs.eng.Unlock()
}

// Holds reports whether nothing may be told before it is on the disk: the policy is always. The engine's lock must
// be held.
func (fs *Files) Holds() bool { return fs.cfg.AppendFsync == "always" && fs.aof.Load() != nil }

// checkAOF notes whether the log can write, and ends the process when it never will again under
// always. Trouble and its end also come from the log's own background syncs, so the cron asks, too.
func (fs *Files) checkAOF() {
	log := fs.aof.Load()
	if log == nil {
		return
	}
	st := log.Status()
	if st.Fatal != nil {
		os.Exit(1) // the log has said why
	}
	changed := (st.Err == nil) != (fs.aofErr == nil)
	if fs.aofErr = st.Err; changed {
		fs.host.Recalm()
	}
}

// startAOF is CONFIG SET appendonly yes: the log counts from the end of its first rewrite on, which
// begins now or as soon as it can. The engine's lock must be held.
func (fs *Files) startAOF() error {
	if fs.rewrite != nil {
		fs.host.Warn("AOF was enabled but there is already an AOF rewriting in background. Stopping background AOF and starting a rewrite now.")
		fs.cancelRewrite()
	}
	log, err := aof.Create(fs.aofOptions())
	if err != nil {
		fs.host.Warn("%s", err)
		return errors.New("Unable to turn on AOF. Check server logs.") //nolint:staticcheck // Redis's words
	}
	fs.setAOF(log)
	fs.Configure()
	switch {
	case fs.eng.Frozen():
		fs.rewriteScheduled = true
		fs.host.Warn("AOF was enabled during a transaction. An AOF background was scheduled to start when possible.")
	case fs.eng.Snapshotting():
		fs.rewriteScheduled = true
		fs.host.Warn("AOF was enabled but there is already another background operation. An AOF background was scheduled to start when possible.")
	default:
		if err := fs.startRewrite(); err != nil {
			fs.setAOF(nil)
			log.Close()
			return errors.New("Unable to turn on AOF. Check server logs.") //nolint:staticcheck // Redis's words
		}
	}
	return nil
}

// stopAOF is CONFIG SET appendonly no. What was appended is safe when it returns: replies that wait
// for it need not wait any longer. The engine's lock must be held.
func (fs *Files) stopAOF() {
	log := fs.aof.Load()
	if log == nil {
		return
	}
	fs.rewriteScheduled = false
	fs.cancelRewrite()
	if err := log.Close(); err != nil {
		fs.host.Warn("Closing the append-only file: %s", aof.Strerror(err))
	}
	fs.aofIncr = log.LastIncr()
	fs.setAOF(nil)
}

// Configure carries changed parameters to the log.
func (fs *Files) Configure() {
	log := fs.aof.Load()
	if log == nil {
		return
	}
	o := fs.aofOptions()
	log.SetPolicy(o.Policy)
	log.SetPlainBase(o.PlainBase)
	log.HoldSync(fs.cfg.NoFsyncOnRewrite && fs.eng.Snapshotting())
}

// aofFinal is what the server's end means for the log: a rewrite is given up, since the files are
// complete without it. They are closed when the last reply has left (Close). The engine's lock must
// be held.
func (fs *Files) aofFinal(mode End) error {
	if log := fs.aof.Load(); log != nil && log.Status().Waiting {
		if !mode.Force {
			fs.host.Warn("Writing initial AOF, can't exit.")
			return errors.New("the initial append-only file is not complete")
		}
		fs.host.Warn("Writing initial AOF. Exit anyway.")
	}
	if fs.rewrite != nil {
		fs.host.Warn("There is a child rewriting the AOF. Killing it!")
		fs.cancelRewrite()
	}
	return nil
}

// Close writes and syncs what the log holds, at the very end.
func (fs *Files) Close() {
	fs.cancelRewrite()
	log := fs.aof.Load()
	if log == nil {
		return
	}
	fs.host.Notice("Calling fsync() on the AOF file.")
	if err := log.Close(); err != nil {
		fs.host.Warn("Fail to fsync the AOF file: %s.", aof.Strerror(err))
	}
}

// infoAOF writes INFO's fields about the append-only file.
func (fs *Files) infoAOF(b *strings.Builder) {
	log := fs.aof.Load()
	var st aof.Status
	if log != nil {
		st = log.Status()
	}
	currentSec := int64(-1)
	if fs.rewrite != nil {
		currentSec = fs.eng.NowMs/1000 - fs.rewrite.startSec
	}
	introspect.Fields(b, "aof_enabled", log != nil, "aof_rewrite_in_progress", fs.rewrite != nil,
		"aof_rewrite_scheduled", fs.rewriteScheduled, "aof_last_rewrite_time_sec", fs.rewriteTookSec,
		"aof_current_rewrite_time_sec", currentSec, "aof_last_bgrewrite_status", okOrErr(!fs.rewriteFailed),
		"aof_rewrites", fs.rewrites, "aof_rewrites_consecutive_failures", fs.rewriteFailures,
		"aof_last_write_status", okOrErr(fs.aofErr == nil), "aof_last_cow_size", 0,
		"module_fork_in_progress", 0, "module_fork_last_cow_size", 0)
	if log != nil {
		introspect.Fields(b, "aof_current_size", st.Size, "aof_base_size", st.BaseSize, "aof_pending_rewrite", fs.rewriteScheduled,
			"aof_buffer_length", st.Pending, "aof_pending_bio_fsync", st.PendingSync,
			"aof_delayed_fsync", st.DelayedSyncs)
	}
}
