// Package persist keeps an engine's data in files: the snapshot (dump.rdb) and the append-only file. When to write
// which, what to load at start, what INFO says of it and the commands about it are here; the formats are those of
// packages rdb and aof.
//
// The order in which to read it: this file; aof.go, the log as the engine sees it; aof_rewrite.go and rdb.go, which
// write snapshots beside the commands, and the sinks, which give them their form (rdb_sink.go, aof_plain.go);
// load.go and aof_load.go, the way back.
//
// The package knows no connections and no replicas. What it has to ask about them stands in Host.
package persist

import (
	"strings"

	"byor/pkg/aof"
	"byor/pkg/config"
	"byor/pkg/engine"
	"byor/pkg/introspect"
)

// Host is the server whose files they are. Its methods are called with the engine's lock held, but for
// those that write to the server's log.
type Host interface {
	Verbose(format string, args ...any)
	Notice(format string, args ...any)
	Warn(format string, args ...any)

	// Recalm is told when DiskError or the engine's Loading may have changed.
	Recalm()
	// UsedMemory is what a snapshot says of the memory in use, in bytes.
	UsedMemory() int64
	// NewSession returns a session without a connection, for the commands of a log.
	NewSession() *engine.Session
	// TrustedCommand looks up a command of a log, which may have its name from before rename-command.
	TrustedCommand(args [][]byte) *engine.Command
	// ReplicationAux is what a snapshot says of the place of its data in the stream to replicas.
	ReplicationAux() [][2]string
	// Restored is told what a snapshot that was loaded says of itself.
	Restored(h Header)
	// Sending reports whether a snapshot for replicas is under way.
	Sending() bool
}

// Files are the files of an engine. The engine's lock guards them; a method needs it, unless it says otherwise.
type Files struct {
	eng  *engine.Engine
	cfg  *config.Config
	host Host

	rdbState
	aofState
	progress loadState
}

// New returns the files that the configuration names, which is read whenever something is done. Nothing is read or
// written until Load.
func New(eng *engine.Engine, cfg *config.Config, host Host) *Files {
	fs := &Files{eng: eng, cfg: cfg, host: host}
	fs.initAOF()
	fs.initRDB()
	return fs
}

// Keeper is a session's peer whose server has files.
type Keeper interface{ Files() *Files }

// by makes a handler of a function that has to do with files.
func by(h func(fs *Files, c *engine.Call)) func(*engine.Call) {
	return func(c *engine.Call) { h(c.Session().Peer().(Keeper).Files(), c) }
}

// DiskError says why writes must be refused, or nothing. Where both files are in trouble the
// snapshot comes first, as in Redis.
func (fs *Files) DiskError() string {
	if msg := fs.rdbError(); msg != "" {
		return msg
	}
	if fs.aofErr != nil {
		return "MISCONF Errors writing to the AOF file: " + aof.Strerror(fs.aofErr)
	}
	return ""
}

// Load loads the data set at start: from the append-only file where that is on, and then from
// nothing else, or from the snapshot. The engine must have been Loading since it was made. The engine's lock
// must not be held.
func (fs *Files) Load() error {
	fs.eng.Lock()
	fromAOF := fs.cfg.AppendOnly
	fs.eng.Unlock()
	load := fs.loadRDB
	if fromAOF {
		load = fs.loadAOF
	}
	if err := load(); err != nil {
		return err
	}
	fs.eng.Lock()
	defer fs.eng.Unlock()
	fs.EndLoading()
	return nil
}

// Cron starts what is due: save points and rewrites, in Redis's order. Only one of them can
// be under way.
func (fs *Files) Cron() {
	fs.checkAOF()
	fs.scheduledRewrite()
	fs.rdbCron()
	fs.automaticRewrite()
}

// End says what the server's end means for the data.
type End struct {
	Save, NoSave bool // regardless of the save points
	Force        bool // go on where saving fails
}

// FinalSave makes the data safe before the server ends.
func (fs *Files) FinalSave(mode End) error {
	if err := fs.aofFinal(mode); err != nil {
		return err
	}
	return fs.rdbFinalSave(mode)
}

// GiveUp gives up what is being written in the background, as the data are about to be others.
func (fs *Files) GiveUp() {
	fs.killSave()
	fs.cancelRewrite()
}

// Info writes INFO's section about files.
func (fs *Files) Info(b *strings.Builder) {
	introspect.Fields(b, "loading", fs.eng.Loading, "async_loading", 0)
	fs.infoRDB(b)
	fs.infoAOF(b)
	fs.infoLoading(b)
}

// ResetStats is CONFIG RESETSTAT.
func (fs *Files) ResetStats() {
	fs.saves, fs.rewrites = 0, 0
	if log := fs.aof.Load(); log != nil {
		log.ForgetDelays()
	}
}

// ConfigChanged starts or stops what CONFIG SET changed. An error is about appendonly.
func (fs *Files) ConfigChanged(before *config.Config) error {
	if fs.cfg.AppendOnly && !before.AppendOnly {
		if err := fs.startAOF(); err != nil {
			return err
		}
	}
	if !fs.cfg.AppendOnly && before.AppendOnly {
		fs.stopAOF()
	}
	fs.Configure()
	return nil
}
