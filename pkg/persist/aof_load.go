package server

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
	s      *Server
	c      *client // whose commands they are
	locked bool    // the engine's lock is held throughout (DEBUG LOADAOF)
}

// lock takes the engine's lock for one command, so that INFO and the like are answered meanwhile.
func (l *aofLoader) lock() {
	if !l.locked {
		l.s.eng.Lock()
	}
}

func (l *aofLoader) unlock() {
	if !l.locked {
		l.s.eng.Unlock()
	}
}

// loadAOF loads the append-only file at start and opens it. The engine's lock must not be held.
func (s *Server) loadAOF() error {
	l := &aofLoader{s: s}
	res, err := l.load()
	if err != nil {
		return err
	}
	s.eng.Lock()
	defer s.eng.Unlock()
	if !res.Found {
		s.warnOfSnapshot()
	}
	log, err := aof.Open(s.aofOptions(), s.writeEmptyBase())
	if err != nil {
		s.logf(levelWarning, "%s", err)
		return err
	}
	s.setAOF(log)
	s.configureAOF()
	return nil
}

// warnOfSnapshot tells of a snapshot that is there and not loaded: with appendonly yes the log is all
// that counts, even if there is none.
func (s *Server) warnOfSnapshot() {
	if path := s.rdbFile("").path(); fileExists(path) {
		s.logf(levelWarning, "There is no append-only file, so the data set is empty: %s is not loaded when appendonly is yes. "+
			"To take its data over, start with appendonly no and then say CONFIG SET appendonly yes.", s.cfg.DBFilename)
	}
}

func fileExists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// writeEmptyBase writes the base of a new log.
func (s *Server) writeEmptyBase() aof.BaseWriter {
	if !s.cfg.AOFUseRDBPreamble {
		return nil
	}
	sink := s.newRDBSink(true)
	return func(w io.Writer) error {
		sink.open(w)
		return sink.close()
	}
}

// load replays the files. It leaves the server in the state of loading.
func (l *aofLoader) load() (aof.Result, error) {
	s := l.s
	l.lock()
	s.eng.Tick()
	s.beginLoading(0)
	mode := s.eng.Store.Expiry
	s.eng.Store.Expiry = store.KeepExpired // the log says itself what has expired
	l.c = s.newClient(nil)
	l.c.Mode, l.c.Authed = engine.ModeFile, true
	o := s.aofOptions()
	l.unlock()
	res, err := aof.Load(o, aof.Handlers{LoadBase: l.base, Apply: l.apply, Progress: l.progress})
	l.lock()
	defer l.unlock()
	s.eng.Store.Expiry = mode
	if err != nil {
		s.logf(levelWarning, "%s", err)
		return res, err
	}
	s.eng.KeysFlushed()
	for i := range s.eng.Store.Len() {
		s.eng.AllReady(i)
	}
	return res, nil
}

// base loads the RDB that the log begins with.
func (l *aofLoader) base(r *bufio.Reader, _ int64) error {
	s := l.s
	l.lock()
	st := s.newStoreLike(store.KeepExpired)
	l.unlock()
	info, err := s.readRDB(r, st)
	if err != nil {
		return err
	}
	l.lock()
	defer l.unlock()
	if err := s.adoptLibraries(info); err != nil {
		return err
	}
	s.eng.Store.Adopt(st)
	s.loadedKeys, s.expiredKeys = int64(info.loaded.Keys), int64(info.loaded.Expired)
	return nil
}

// errNotReplayed is a SELECT that failed. Redis goes on, and what follows goes to the wrong database.
var errNotReplayed = errors.New("the database cannot be selected")

// apply executes a command of the log. As in Redis it counts in no statistics, and one that replies
// with an error is reported and passed over.
func (l *aofLoader) apply(args [][]byte) error {
	s, c := l.s, l.c
	l.lock()
	defer l.unlock()
	if s.eng.Scripts == nil && engine.EqualFold(args[0], "function") {
		s.logf(levelWarning, "The append-only file has a library of functions, which this server does not execute. It is left out.")
		return nil
	}
	cmd := s.trustedCommand(args)
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
		failed = s.eng.Replay(&c.Session, cmd, args)
	}
	if !failed {
		return nil
	}
	reply := string(c.Reply.Buf[:max(0, len(c.Reply.Buf)-2)])
	s.logf(levelWarning, "== CRITICAL == This server is sending an error to its AOF-loading-client: '%s' after processing the command '%s'", reply, cmd.FullName())
	if cmd.FullName() == "select" {
		return fmt.Errorf("%w: %s", errNotReplayed, reply)
	}
	return nil
}

// progress counts what was read for INFO, and tells the log every few seconds.
func (l *aofLoader) progress(loaded, total int64) {
	l.lock()
	l.s.progress.total = total
	l.unlock()
	l.s.loadProgress(loaded)
}

// debugLoadAOF replaces the data by what the append-only file says it is, which must change nothing.
func debugLoadAOF(c *client) {
	s := c.s
	if s.rewrite != nil {
		c.Fail("ERR Background append only file rewriting already in progress")
		return
	}
	if log := s.aof.Load(); log != nil {
		if err := log.Flush(); err != nil {
			c.Fail("ERR " + err.Error())
			return
		}
	}
	s.eng.Store.Flush()
	if err := s.adoptLibraries(rdbInfo{}); err != nil { // the log has them
		c.Fail("ERR " + err.Error())
		return
	}
	l := &aofLoader{s: s, locked: true}
	if _, err := l.load(); err != nil {
		// Commands stay locked out and half the data is gone: as Redis, do not go on with that.
		os.Exit(1)
	}
	s.endLoading()
	s.eng.Changes = 0
	s.logf(levelWarning, "Append Only File loaded by DEBUG LOADAOF")
	c.Reply.OK()
}
