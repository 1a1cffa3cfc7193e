package persist

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"

	"byor/pkg/aof"
	"byor/pkg/engine"
	"byor/pkg/store"
)

// aofLoader replays the append-only file: the base into the store, then command by command through
// the same handlers that made the log.
type aofLoader struct {
	fs     *Files
	c      *engine.Session // whose commands they are
	locked bool            // the engine's lock is held throughout (DEBUG LOADAOF)
}

// lock takes the engine's lock for a batch of commands, so that INFO and the like are answered meanwhile.
func (l *aofLoader) lock() {
	if !l.locked {
		l.fs.eng.Lock()
	}
}

func (l *aofLoader) unlock() {
	if !l.locked {
		l.fs.eng.Unlock()
	}
}

// loadAOF loads the append-only file at start and opens it. The engine's lock must not be held.
func (fs *Files) loadAOF() error {
	l := &aofLoader{fs: fs}
	res, err := l.load()
	if err != nil {
		return err
	}
	fs.eng.Lock()
	defer fs.eng.Unlock()
	if !res.Found {
		fs.warnOfSnapshot()
	}
	log, err := aof.Open(fs.aofOptions(), fs.writeEmptyBase())
	if err != nil {
		fs.host.Warn("%s", err)
		return err
	}
	fs.setAOF(log)
	fs.Configure()
	return nil
}

// warnOfSnapshot tells of a snapshot that is there and not loaded: with appendonly yes the log is all
// that counts, even if there is none.
func (fs *Files) warnOfSnapshot() {
	if path := fs.rdbFile("").path(); fileExists(path) {
		fs.host.Warn("There is no append-only file, so the data set is empty: %s is not loaded when appendonly is yes. "+
			"To take its data over, start with appendonly no and then say CONFIG SET appendonly yes.", fs.cfg.DBFilename)
	}
}

func fileExists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// writeEmptyBase writes the base of a new log.
func (fs *Files) writeEmptyBase() aof.BaseWriter {
	if !fs.cfg.AOFUseRDBPreamble {
		return nil
	}
	sink := fs.NewSink(true)
	return func(w io.Writer) error {
		sink.Open(w)
		return sink.Close()
	}
}

// load replays the files. It leaves the server in the state of loading.
func (l *aofLoader) load() (aof.Result, error) {
	fs := l.fs
	l.lock()
	fs.eng.Tick()
	fs.BeginLoading(0)
	mode := fs.eng.Store.Expiry
	fs.eng.Store.Expiry = store.KeepExpired // the log says itself what has expired
	l.c = fs.host.NewSession()
	l.c.Mode, l.c.Authed = engine.ModeFile, true
	o := fs.aofOptions()
	l.unlock()
	res, err := aof.Load(o, aof.Handlers{LoadBase: l.base, Batch: l.batch, Apply: l.apply, Progress: l.progress})
	l.lock()
	defer l.unlock()
	fs.eng.Store.Expiry = mode
	if err != nil {
		fs.host.Warn("%s", err)
		return res, err
	}
	fs.eng.KeysFlushed()
	for i := range fs.eng.Store.Len() {
		fs.eng.AllReady(i)
	}
	return res, nil
}

// base loads the RDB that the log begins with.
func (l *aofLoader) base(r *bufio.Reader, _ int64) error {
	fs := l.fs
	l.lock()
	st := fs.NewStore(store.KeepExpired)
	l.unlock()
	info, err := fs.ReadRDB(r, st)
	if err != nil {
		return err
	}
	l.lock()
	defer l.unlock()
	if err := fs.adoptLibraries(info); err != nil {
		return err
	}
	fs.eng.Store.Adopt(st)
	fs.loadedKeys, fs.expiredKeys = int64(info.loaded.Keys), int64(info.loaded.Expired)
	return nil
}

// errNotReplayed is a SELECT that failed. Redis goes on, and what follows goes to the wrong database.
var errNotReplayed = errors.New("the database cannot be selected")

// batch executes commands of the log.
func (l *aofLoader) batch(commands [][][]byte, apply func()) {
	l.lock()
	defer l.unlock()
	l.fs.eng.Ahead(l.c, commands)
	l.fs.eng.Touch()
	apply()
}

// apply executes a command of the log. As in Redis it counts in no statistics, and one that replies
// with an error is reported and passed over.
func (l *aofLoader) apply(args [][]byte) error {
	fs, c := l.fs, l.c
	if fs.eng.Scripts == nil && engine.EqualFold(args[0], "function") {
		fs.host.Warn("The append-only file has a library of functions, which this server does not execute. It is left out.")
		return nil
	}
	cmd := fs.host.TrustedCommand(args)
	if cmd == nil || cmd.Handler == nil {
		return aof.ErrUnknownCommand
	}
	c.Cmd, c.Args = cmd, args
	c.Reply.Buf = c.Reply.Buf[:0]
	failed := true
	switch n := len(args); {
	case cmd.Arity > 0 && n != cmd.Arity || n < -cmd.Arity:
		c.FailArity()
	case cmd.Flags&engine.Write == 0 && cmd.Group != "scripting" && cmd.Flags&(engine.Admin|engine.NoScript|engine.PubSub) != 0:
		c.Fail("ERR '" + cmd.FullName() + "' has no place in an append-only file")
	default:
		failed = fs.eng.Replay(c, cmd, args)
	}
	if !failed {
		return nil
	}
	reply := string(c.Reply.Buf[:max(0, len(c.Reply.Buf)-2)])
	fs.host.Warn("== CRITICAL == This server is sending an error to its AOF-loading-client: '%s' after processing the command '%s'", reply, cmd.FullName())
	if cmd.FullName() == "select" {
		return fmt.Errorf("%w: %s", errNotReplayed, reply)
	}
	return nil
}

// progress counts what was read for INFO, and tells the log every few seconds.
func (l *aofLoader) progress(loaded, total int64) {
	l.lock()
	l.fs.progress.total = total
	l.unlock()
	l.fs.loadProgress(loaded)
}

// debugLoadAOF replaces the data by what the append-only file says it is, which must change nothing.
func debugLoadAOF(fs *Files, c *engine.Call) {
	if fs.rewrite != nil {
		c.Fail("ERR Background append only file rewriting already in progress")
		return
	}
	if err := fs.Flush(); err != nil {
		c.Fail("ERR " + err.Error())
		return
	}
	fs.eng.Store.Flush()
	if err := fs.adoptLibraries(Header{}); err != nil { // the log has them
		c.Fail("ERR " + err.Error())
		return
	}
	l := &aofLoader{fs: fs, locked: true}
	if _, err := l.load(); err != nil {
		// Commands stay locked out and half the data is gone: as Redis, do not go on with that.
		os.Exit(1)
	}
	fs.EndLoading()
	fs.eng.Changes = 0
	fs.host.Warn("Append Only File loaded by DEBUG LOADAOF")
	c.Reply.OK()
}
