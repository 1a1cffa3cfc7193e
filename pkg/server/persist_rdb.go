package server

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"

	"byor/pkg/config"
	"byor/pkg/engine"
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
	lastSaveSec     int64 // Unix seconds
	saves           int64
	loadedKeys      int64 // of the latest load
	expiredKeys     int64
}

// bgsaveRetrySec is how long save points wait after a save that failed.
const bgsaveRetrySec = 5

const errBgsave = "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk. " +
	"Commands that may modify the data set are disabled, because this instance is configured to report errors during writes " +
	"if RDB snapshotting fails (stop-writes-on-bgsave-error option). Please check the Redis logs for details about the RDB error."

func (s *Server) initRDB() {
	s.lastSaveSec = s.eng.Started.Unix()
	s.bgsaveTookSec = -1
}

// rdbError says why writes must be refused, or nothing.
func (s *Server) rdbError() string {
	if s.bgsaveFailed && s.cfg.StopWritesOnError && len(s.cfg.Save) > 0 {
		return errBgsave
	}
	return ""
}

// syncEvery is how many bytes are written before they are forced to the disk. Otherwise the kernel
// gathers gigabytes, and everybody who calls fsync then waits for them.
const syncEvery = 32 << 20

// rdbFile is the writing of a snapshot file, where the configuration said when it began.
type rdbFile struct {
	dir, name, temp string

	mu     sync.Mutex // held while the file is put in place; taken after the engine's lock
	killed bool       // it must not be put in place any more
}

func (s *Server) rdbFile(tempSuffix string) *rdbFile {
	return &rdbFile{dir: s.cfg.Dir, name: s.cfg.DBFilename, temp: fmt.Sprintf("temp-%d%s.rdb", os.Getpid(), tempSuffix)}
}

func (f *rdbFile) path() string     { return filepath.Join(f.dir, f.name) }
func (f *rdbFile) tempPath() string { return filepath.Join(f.dir, f.temp) }

// create opens the temporary file, unless the writing was given up before it began.
func (f *rdbFile) create() (*os.File, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.killed {
		return nil, engine.ErrCancelled
	}
	return os.Create(f.tempPath())
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
func (s *Server) replaceRDB(f *rdbFile, write func(io.Writer) error) error {
	out, err := f.create()
	if errors.Is(err, engine.ErrCancelled) {
		return err
	}
	if err != nil {
		s.logf(levelWarning, "Failed opening the temp RDB file %s (in server root dir %s) for saving: %s", f.temp, config.AbsDir(f.dir), config.ErrnoText(err))
		return err
	}
	step := "rdbSaveRio"
	if err = write(&steadyFile{f: out}); err == nil {
		step, err = "fsync", out.Sync()
	}
	if closeErr := out.Close(); err == nil {
		step, err = "fclose", closeErr
	}
	if err != nil {
		f.remove()
		if !errors.Is(err, engine.ErrCancelled) {
			s.logf(levelWarning, "Write error saving DB on disk(%s): %s", step, config.ErrnoText(err))
		}
		return err
	}
	return s.installRDB(f)
}

// installRDB puts a file that was written in the place of the old one.
func (s *Server) installRDB(f *rdbFile) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.killed {
		return engine.ErrCancelled
	}
	if err := os.Rename(f.tempPath(), f.path()); err != nil {
		s.logf(levelWarning, "Error moving temp DB file %s on the final destination %s (in server root dir %s): %s",
			f.temp, f.name, config.AbsDir(f.dir), config.ErrnoText(err))
		os.Remove(f.tempPath())
		return err
	}
	if err := syncDir(f.dir); err != nil {
		s.logf(levelWarning, "Write error saving DB on disk(fsyncFileDir): %s", config.ErrnoText(err))
		return err
	}
	s.logf(levelNotice, "DB saved on disk")
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

// saveNow saves while everybody waits. The engine's lock must be held.
func (s *Server) saveNow() error {
	sink := s.newRDBSink(false)
	err := s.replaceRDB(s.rdbFile(""), func(w io.Writer) error {
		sink.open(w)
		return s.writeAll(sink)
	})
	if err != nil {
		return err
	}
	s.eng.Changes = 0
	s.lastSaveSec = s.eng.NowMs / 1000
	s.bgsaveFailed = false
	s.recalm()
	return nil
}

// writeAll writes all databases in one go.
func (s *Server) writeAll(sink *rdbSink) (err error) {
	for i := range s.eng.Store.Len() {
		db := s.eng.Store.DB(i)
		if db.Len() == 0 {
			continue
		}
		sink.Begin([]store.SnapshotDB{{ID: i, Keys: db.Len(), Expires: db.Expires()}})
		db.Each(func(e *store.Entry) bool {
			idle := int64(uint32(s.eng.NowMs/1000) - e.AccessSec())
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
	return sink.close()
}

// bgsave is a save in the background.
type bgsave struct {
	snap  *engine.Snapshot
	file  *rdbFile
	dirty int64 // changes before it
}

// startBgsave begins to save in the background. The engine's lock must be held and no snapshot be
// under way.
func (s *Server) startBgsave() {
	s.saves++
	s.bgsaveScheduled = false
	s.bgsaveTrySec = s.eng.NowMs / 1000
	sink := s.newRDBSink(false)
	b := &bgsave{snap: s.eng.BeginSnapshot(sink), file: s.rdbFile("-bg"), dirty: s.eng.Changes}
	s.bgsave = b
	s.logf(levelNotice, "Background saving started by pid %d", os.Getpid())
	go func() {
		err := s.replaceRDB(b.file, func(w io.Writer) error {
			sink.open(w)
			if err := b.snap.Run(); err != nil {
				return err
			}
			return sink.close()
		})
		s.eng.Lock()
		defer s.eng.Unlock()
		s.bgsaveEnded(b, err)
	}()
}

func (s *Server) bgsaveEnded(b *bgsave, err error) {
	b.snap.End()
	if s.bgsave != b {
		return // killed
	}
	s.bgsave = nil
	s.eng.Tick()
	s.bgsaveTookSec = s.eng.NowMs/1000 - s.bgsaveTrySec
	s.bgsaveFailed = err != nil
	if err != nil {
		s.logf(levelWarning, "Background saving error")
	} else {
		s.logf(levelVerbose, "Background saving wrote %d keys, never holding up commands for more than %v", b.snap.Done, b.snap.Longest)
		s.logf(levelNotice, "Background saving terminated with success")
		s.eng.Changes -= b.dirty
		s.lastSaveSec = s.eng.NowMs / 1000
	}
	s.recalm()
}

// killBgsave stops a save in the background, as FLUSHALL and the server's end do. The engine's lock
// must be held.
func (s *Server) killBgsave() {
	b := s.bgsave
	if b == nil {
		return
	}
	s.bgsave = nil
	b.snap.Cancel()
	b.file.kill()
}

// rdbCron starts the save that a save point, or BGSAVE SCHEDULE, asks for.
func (s *Server) rdbCron() {
	if s.eng.Snapshotting() || s.eng.Loading {
		return
	}
	now := s.eng.NowMs / 1000
	mayRetry := !s.bgsaveFailed || now-s.bgsaveTrySec > bgsaveRetrySec
	for _, p := range s.cfg.Save {
		if s.eng.Changes >= p.Changes && now-s.lastSaveSec > p.Seconds && mayRetry {
			s.logf(levelNotice, "%d changes in %d seconds. Saving...", p.Changes, p.Seconds)
			s.startBgsave()
			return
		}
	}
	if s.bgsaveScheduled && mayRetry {
		s.startBgsave()
	}
}

// rdbFinalSave saves before the server ends, if it is to. The engine's lock must be held, and no
// command run after it: what was acknowledged must be in the file.
func (s *Server) rdbFinalSave(mode ShutdownMode) error {
	if s.bgsave != nil {
		s.logf(levelWarning, "There is a child saving an .rdb. Killing it!")
		s.killBgsave()
	}
	if s.eng.Loading { // what is in memory is not the data yet: it must not take the place of the file
		return nil
	}
	if !mode.Save && (mode.NoSave || len(s.cfg.Save) == 0) {
		return nil
	}
	s.logf(levelNotice, "Saving the final RDB snapshot before exiting.")
	s.boss.Status("Saving the final RDB snapshot")
	err := s.saveNow()
	if err != nil && mode.Force {
		s.logf(levelWarning, "Error trying to save the DB. Exit anyway.")
		return nil
	}
	return err
}

// afterFlushall saves the empty data set where save points ask for snapshots, as Redis does, so that
// a restart does not bring the old data back.
func (s *Server) afterFlushall() {
	s.killBgsave()
	if len(s.cfg.Save) > 0 {
		_ = s.saveNow() // which logs what goes wrong: the save points will try again
	}
}

// savingRDB reports whether a snapshot is under way, to the dump or to replicas.
func (s *Server) savingRDB() bool { return s.bgsave != nil || s.sending }

func cmdSave(c *client) {
	c.ReplicateNothing() // saving resets the count of changes, which does not mean that something changed
	switch {
	case c.s.savingRDB():
		c.Fail("ERR Background save already in progress")
	default:
		c.s.saves++
		if c.s.saveNow() != nil {
			c.Fail("ERR")
			return
		}
		c.Reply.OK()
	}
}

func cmdBgsave(c *client) {
	schedule := len(c.Args) == 2 && c.Is(1, "schedule")
	if len(c.Args) > 1 && !schedule {
		c.Fail(engine.ErrSyntax)
		return
	}
	s := c.s
	switch {
	case s.savingRDB():
		c.Fail("ERR Background save already in progress")
	case s.eng.Snapshotting() && !schedule && !c.Has(engine.ModeExec):
		c.Fail("ERR Another child process is active (AOF?): can't BGSAVE right now. Use BGSAVE SCHEDULE in order to schedule a BGSAVE whenever possible.")
	case s.eng.Snapshotting() || c.Has(engine.ModeExec): // inside EXEC the moment would be half-way through a transaction
		s.bgsaveScheduled = true
		c.Reply.SimpleString("Background saving scheduled")
	default:
		s.startBgsave()
		c.Reply.SimpleString("Background saving started")
	}
}

func cmdLastsave(c *client) { c.Reply.Int(c.s.lastSaveSec) }

// infoRDB writes INFO's fields about snapshots.
func (s *Server) infoRDB(b *strings.Builder) {
	keys, total, perc, bgsaveSec := 0, 0, 0.0, int64(-1)
	snap := s.eng.Snapshot()
	if snap != nil {
		keys, total = snap.Done, snap.Keys
		perc = 100 * float64(keys) / float64(max(total, 1))
	}
	if s.bgsave != nil {
		bgsaveSec = s.eng.NowMs/1000 - s.bgsaveTrySec
	} else if s.sending && snap != nil {
		bgsaveSec = int64(s.eng.Clock().Sub(snap.Started).Seconds())
	}
	fields(b, "current_cow_peak", 0, "current_cow_size", 0, "current_cow_size_age", 0,
		"current_fork_perc", fmt.Sprintf("%.2f", perc),
		"current_save_keys_processed", keys, "current_save_keys_total", total,
		"rdb_changes_since_last_save", s.eng.Changes, "rdb_bgsave_in_progress", btoi(s.savingRDB()),
		"rdb_last_save_time", s.lastSaveSec, "rdb_last_bgsave_status", okOrErr(!s.bgsaveFailed),
		"rdb_last_bgsave_time_sec", s.bgsaveTookSec, "rdb_current_bgsave_time_sec", bgsaveSec,
		"rdb_saves", s.saves, "rdb_last_cow_size", 0,
		"rdb_last_load_keys_expired", s.expiredKeys, "rdb_last_load_keys_loaded", s.loadedKeys)
}

func okOrErr(ok bool) string {
	if ok {
		return "ok"
	}
	return "err"
}
