package persist

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"

	"byor/pkg/aof"
	"byor/pkg/config"
	"byor/pkg/engine"
	"byor/pkg/introspect"
	"byor/pkg/store"
)

func init() {
	engine.Register("server", []engine.Command{
		{Name: "save", Arity: 1, Flags: engine.Admin | engine.NoScript | engine.NoAsyncLoading | engine.NoMulti, Handler: by(cmdSave)},
		{Name: "bgsave", Arity: -1, Flags: engine.Admin | engine.NoScript | engine.NoAsyncLoading, Handler: by(cmdBgsave)},
		{Name: "lastsave", Arity: 1, Flags: engine.Loading | engine.Stale | engine.Fast, Handler: by(cmdLastsave)},
	})
}

// rdbState is what the server knows of its snapshot file. Guarded by the engine's lock.
type rdbState struct {
	bgsave          *bgsave // under way
	bgsaveScheduled bool
	bgsaveFailed    bool  // the latest one did
	bgsaveTrySec    int64 // when the latest one began, Unix seconds
	bgsaveTookSec   int64 // how long the latest one took, -1 before the first
	LastSaveSec     int64 // when data were saved last, Unix seconds
	saves           int64
	loadedKeys      int64 // of the latest load
	expiredKeys     int64
}

// bgsaveRetrySec is how long save points wait after a save that failed.
const bgsaveRetrySec = 5

const errBgsave = "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk. " +
	"Commands that may modify the data set are disabled, because this instance is configured to report errors during writes " +
	"if RDB snapshotting fails (stop-writes-on-bgsave-error option). Please check the Redis logs for details about the RDB error."

func (fs *Files) initRDB() {
	fs.LastSaveSec = fs.eng.Started.Unix()
	fs.bgsaveTookSec = -1
}

// rdbError says why writes must be refused, or nothing.
func (fs *Files) rdbError() string {
	if fs.bgsaveFailed && fs.cfg.StopWritesOnError && len(fs.cfg.Save) > 0 {
		return errBgsave
	}
	return ""
}

// rdbFile is the writing of a snapshot file, where the configuration said when it began.
type rdbFile struct {
	dir, name, temp string

	mu     sync.Mutex // held while the file is put in place; taken after the engine's lock
	killed bool       // it must not be put in place any more
}

func (fs *Files) rdbFile(tempSuffix string) *rdbFile {
	return &rdbFile{dir: fs.cfg.Dir, name: fs.cfg.DBFilename, temp: fmt.Sprintf("temp-%d%s.rdb", os.Getpid(), tempSuffix)}
}

func (f *rdbFile) path() string     { return filepath.Join(f.dir, f.name) }
func (f *rdbFile) tempPath() string { return filepath.Join(f.dir, f.temp) }

// create opens the temporary file, unless the writing was given up before it began.
func (f *rdbFile) create() (aof.File, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.killed {
		return nil, engine.ErrCancelled
	}
	return aof.OS{}.OpenFile(f.tempPath(), os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o666)
}

// remove takes the temporary file away. After a kill it is gone, and what has its name is another's.
func (f *rdbFile) remove() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.killed {
		os.Remove(f.tempPath())
	}
}

// kill makes sure that the file is not put in place after kill has returned: what is saved next is
// newer.
func (f *rdbFile) kill() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.killed = true
	os.Remove(f.tempPath())
}

// replaceRDB writes a new snapshot file and puts it in the place of the old one, which stays as it is
// until the new one is whole and on the disk: a crash leaves one or the other. It logs what goes
// wrong. The engine's lock is not needed.
func (fs *Files) replaceRDB(f *rdbFile, write func(io.Writer) error) error {
	out, err := f.create()
	if errors.Is(err, engine.ErrCancelled) {
		return err
	}
	if err != nil {
		fs.host.Warn("Failed opening the temp RDB file %s (in server root dir %s) for saving: %s", f.temp, config.AbsDir(f.dir), config.ErrnoText(err))
		return err
	}
	step := "rdbSaveRio"
	if err = write(aof.Steadily(out)); err == nil {
		step, err = "fsync", out.Sync()
	}
	if closeErr := out.Close(); err == nil {
		step, err = "fclose", closeErr
	}
	if err != nil {
		f.remove()
		if !errors.Is(err, engine.ErrCancelled) {
			fs.host.Warn("Write error saving DB on disk(%s): %s", step, config.ErrnoText(err))
		}
		return err
	}
	return fs.installRDB(f)
}

// installRDB puts a file that was written in the place of the old one.
func (fs *Files) installRDB(f *rdbFile) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.killed {
		return engine.ErrCancelled
	}
	if err := os.Rename(f.tempPath(), f.path()); err != nil {
		fs.host.Warn("Error moving temp DB file %s on the final destination %s (in server root dir %s): %s",
			f.temp, f.name, config.AbsDir(f.dir), config.ErrnoText(err))
		os.Remove(f.tempPath())
		return err
	}
	if err := syncDir(f.dir); err != nil {
		fs.host.Warn("Write error saving DB on disk(fsyncFileDir): %s", config.ErrnoText(err))
		return err
	}
	fs.host.Notice("DB saved on disk")
	return nil
}

// syncDir makes a rename in the directory outlast a power cut.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Sync(); err != nil && runtime.GOOS != "windows" { // which has no such thing
		return err
	}
	return nil
}

// Save saves while everybody waits. The engine's lock must be held.
func (fs *Files) Save() error {
	sink := fs.NewSink(false)
	err := fs.replaceRDB(fs.rdbFile(""), func(w io.Writer) error {
		sink.Open(w)
		return fs.writeAll(sink)
	})
	if err != nil {
		return err
	}
	fs.eng.Changes = 0
	fs.LastSaveSec = fs.eng.NowMs / 1000
	fs.bgsaveFailed = false
	fs.host.Recalm()
	return nil
}

// writeAll writes all databases in one go.
func (fs *Files) writeAll(sink *Sink) (err error) {
	for i := range fs.eng.Store.Len() {
		db := fs.eng.Store.DB(i)
		if db.Len() == 0 {
			continue
		}
		sink.Begin([]store.SnapshotDB{{ID: i, Keys: db.Len(), Expires: db.Expires()}})
		db.Each(func(e *store.Entry) bool {
			idle := int64(uint32(fs.eng.NowMs/1000) - e.AccessSec())
			sink.Add(store.SnapshotEntry{DB: i, Key: e.Key(), Value: e.Value(), ExpireMs: db.ExpireAt(e), IdleSec: idle, Freq: uint8(db.Freq(e))})
			if sink.Pending() < engine.SnapshotBatch {
				return true
			}
			sink.Take()
			err = sink.Flush()
			return err == nil
		})
		if err != nil {
			return err
		}
	}
	sink.Take()
	if err := sink.Flush(); err != nil {
		return err
	}
	return sink.Close()
}

// bgsave is a save in the background.
type bgsave struct {
	snap  *engine.Snapshot
	file  *rdbFile
	dirty int64 // changes before it
}

// StartSave begins to save in the background. The engine's lock must be held and no snapshot be
// under way.
func (fs *Files) StartSave() {
	fs.saves++
	fs.bgsaveScheduled = false
	fs.bgsaveTrySec = fs.eng.NowMs / 1000
	sink := fs.NewSink(false)
	b := &bgsave{snap: fs.eng.BeginSnapshot(sink), file: fs.rdbFile("-bg"), dirty: fs.eng.Changes}
	fs.bgsave = b
	fs.host.Notice("Background saving started by pid %d", os.Getpid())
	go func() {
		err := fs.replaceRDB(b.file, func(w io.Writer) error {
			sink.Open(w)
			if err := b.snap.Run(); err != nil {
				return err
			}
			return sink.Close()
		})
		fs.eng.Lock()
		defer fs.eng.Unlock()
		fs.bgsaveEnded(b, err)
	}()
}

func (fs *Files) bgsaveEnded(b *bgsave, err error) {
	b.snap.End()
	if fs.bgsave != b {
		return // killed
	}
	fs.bgsave = nil
	fs.eng.Tick()
	fs.bgsaveTookSec = fs.eng.NowMs/1000 - fs.bgsaveTrySec
	fs.bgsaveFailed = err != nil
	if err != nil {
		fs.host.Warn("Background saving error")
	} else {
		fs.host.Verbose("Background saving wrote %d keys, never holding up commands for more than %v", b.snap.Done, b.snap.Longest)
		fs.host.Notice("Background saving terminated with success")
		fs.eng.Changes -= b.dirty
		fs.LastSaveSec = fs.eng.NowMs / 1000
	}
	fs.host.Recalm()
}

// killSave stops a save in the background, as FLUSHALL and the server's end do. The engine's lock
// must be held.
func (fs *Files) killSave() {
	b := fs.bgsave
	if b == nil {
		return
	}
	fs.bgsave = nil
	b.snap.Cancel()
	b.file.kill()
}

// rdbCron starts the save that a save point, or BGSAVE SCHEDULE, asks for.
func (fs *Files) rdbCron() {
	if fs.eng.Snapshotting() || fs.eng.Loading {
		return
	}
	now := fs.eng.NowMs / 1000
	mayRetry := !fs.bgsaveFailed || now-fs.bgsaveTrySec > bgsaveRetrySec
	for _, p := range fs.cfg.Save {
		if fs.eng.Changes >= p.Changes && now-fs.LastSaveSec > p.Seconds && mayRetry {
			fs.host.Notice("%d changes in %d seconds. Saving...", p.Changes, p.Seconds)
			fs.StartSave()
			return
		}
	}
	if fs.bgsaveScheduled && mayRetry {
		fs.StartSave()
	}
}

// rdbFinalSave saves before the server ends, if it is to. The engine's lock must be held, and no
// command run after it: what was acknowledged must be in the file.
func (fs *Files) rdbFinalSave(mode End) error {
	if fs.bgsave != nil {
		fs.host.Warn("There is a child saving an .rdb. Killing it!")
		fs.killSave()
	}
	if fs.eng.Loading { // what is in memory is not the data yet: it must not take the place of the file
		return nil
	}
	if !mode.Save && (mode.NoSave || len(fs.cfg.Save) == 0) {
		return nil
	}
	fs.host.Notice("Saving the final RDB snapshot before exiting.")
	fs.host.Status("Saving the final RDB snapshot")
	err := fs.Save()
	if err != nil && mode.Force {
		fs.host.Warn("Error trying to save the DB. Exit anyway.")
		return nil
	}
	return err
}

// Flushed saves the empty data set where save points ask for snapshots, as Redis does, so that
// a restart does not bring the old data back.
func (fs *Files) Flushed() {
	fs.killSave()
	if len(fs.cfg.Save) > 0 {
		_ = fs.Save() // which logs what goes wrong: the save points will try again
	}
}

// Saving reports whether a snapshot is under way, to the dump or to replicas.
func (fs *Files) Saving() bool { return fs.bgsave != nil || fs.host.Sending() }

func cmdSave(fs *Files, c *engine.Call) {
	c.ReplicateNothing() // saving resets the count of changes, which does not mean that something changed
	switch {
	case fs.Saving():
		c.Fail("ERR Background save already in progress")
	default:
		fs.saves++
		if fs.Save() != nil {
			c.Fail("ERR")
			return
		}
		c.Reply.OK()
	}
}

func cmdBgsave(fs *Files, c *engine.Call) {
	schedule := len(c.Args) == 2 && c.Is(1, "schedule")
	if len(c.Args) > 1 && !schedule {
		c.Fail(engine.ErrSyntax)
		return
	}
	switch {
	case fs.Saving():
		c.Fail("ERR Background save already in progress")
	case fs.eng.Snapshotting() && !schedule && !c.Session().Has(engine.ModeExec):
		c.Fail("ERR Another child process is active (AOF?): can't BGSAVE right now. Use BGSAVE SCHEDULE in order to schedule a BGSAVE whenever possible.")
	case fs.eng.Snapshotting() || c.Session().Has(engine.ModeExec): // inside EXEC the moment would be half-way through a transaction
		fs.bgsaveScheduled = true
		c.Reply.SimpleString("Background saving scheduled")
	default:
		fs.StartSave()
		c.Reply.SimpleString("Background saving started")
	}
}

func cmdLastsave(fs *Files, c *engine.Call) { c.Reply.Int(fs.LastSaveSec) }

// infoRDB writes INFO's fields about snapshots.
func (fs *Files) infoRDB(b *strings.Builder) {
	keys, total, perc, bgsaveSec := 0, 0, 0.0, int64(-1)
	snap := fs.eng.Snapshot()
	if snap != nil {
		keys, total = snap.Done, snap.Keys
		perc = 100 * float64(keys) / float64(max(total, 1))
	}
	if fs.bgsave != nil {
		bgsaveSec = fs.eng.NowMs/1000 - fs.bgsaveTrySec
	} else if fs.host.Sending() && snap != nil {
		bgsaveSec = int64(fs.eng.Clock().Sub(snap.Started).Seconds())
	}
	introspect.Fields(b, "current_cow_peak", 0, "current_cow_size", 0, "current_cow_size_age", 0,
		"current_fork_perc", fmt.Sprintf("%.2f", perc),
		"current_save_keys_processed", keys, "current_save_keys_total", total,
		"rdb_changes_since_last_save", fs.eng.Changes, "rdb_bgsave_in_progress", fs.Saving(),
		"rdb_last_save_time", fs.LastSaveSec, "rdb_last_bgsave_status", okOrErr(!fs.bgsaveFailed),
		"rdb_last_bgsave_time_sec", fs.bgsaveTookSec, "rdb_current_bgsave_time_sec", bgsaveSec,
		"rdb_saves", fs.saves, "rdb_last_cow_size", 0,
		"rdb_last_load_keys_expired", fs.expiredKeys, "rdb_last_load_keys_loaded", fs.loadedKeys)
}

func okOrErr(ok bool) string {
	if ok {
		return "ok"
	}
	return "err"
}
