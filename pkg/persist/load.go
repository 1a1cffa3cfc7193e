package server

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"byor/pkg/config"
	"byor/pkg/rdb"
	"byor/pkg/store"
)

// loadState is how far the loading of a file is.
type loadState struct {
	startSec int64        // Unix seconds
	total    int64        // bytes of the files
	read     atomic.Int64 // bytes read; counted without the engine's lock
	usedMem  int64        // what the file says the data took in memory
	told     time.Time    // when the log was told last
}

// beginLoading makes commands be answered with -LOADING until endLoading. The engine's lock must be
// held.
func (s *Server) beginLoading(total int64) {
	s.eng.Loading = true
	s.progress.startSec, s.progress.total, s.progress.usedMem = s.eng.NowMs/1000, total, 0
	s.progress.told = s.eng.Clock()
	s.progress.read.Store(0)
	s.recalm()
}

// endLoading lets commands in. The engine's lock must be held.
func (s *Server) endLoading() {
	s.eng.Loading = false
	s.recalm()
}

// progressReader counts what is read from a file for INFO, and tells the log every few seconds.
type progressReader struct {
	s *Server
	r io.Reader
}

func (p progressReader) Read(b []byte) (int, error) {
	n, err := p.r.Read(b)
	p.s.loadProgress(p.s.progress.read.Load() + int64(n))
	return n, err
}

// loadProgress notes that so many bytes were read. Only who loads may call it.
func (s *Server) loadProgress(read int64) {
	l := &s.progress
	l.read.Store(read)
	if now := s.eng.Clock(); now.Sub(l.told) >= loadTold {
		l.told = now
		s.logf(levelNotice, "Loading: %.1f%% of %d bytes", 100*float64(read)/float64(max(l.total, 1)), l.total)
	}
}

// loadTold is how often the log is told of a load.
const loadTold = 5 * time.Second

// rdbInfo is what a snapshot says about itself.
type rdbInfo struct {
	replID     string
	replOffset int64 // -1 where it does not say
	replDB     int   // -1 where it does not say
	loaded     rdb.Loaded
	libraries  []string // sources of libraries of functions
}

// readRDB reads a snapshot into st, and logs what Redis logs on the way. Whether keys that have
// expired are left out is for st to say, see rdb.Into. The engine's lock is not needed unless st is
// the server's own store.
func (s *Server) readRDB(r io.Reader, st *store.Store) (rdbInfo, error) {
	info := rdbInfo{replOffset: -1, replDB: -1}
	h := rdb.Into(st, &info.loaded)
	h.Aux = func(name, value []byte) error {
		s.rdbAux(&info, string(name), string(value))
		return nil
	}
	h.Function = func(source []byte) error {
		info.libraries = append(info.libraries, string(source))
		return nil
	}
	h.ModuleAux = func(module string) error {
		s.logf(levelWarning, "The RDB file has data of the module '%s', which is left out", module)
		return nil
	}
	countEmpty := h.Empty
	h.Empty = func(db int, key []byte) error {
		s.logf(levelWarning, "rdbLoadObject skipping empty key: %s", key)
		return countEmpty(db, key)
	}
	reader := rdb.NewReader(r)
	reader.NoChecksum = !s.cfg.RDBChecksum
	if err := reader.Read(h); err != nil {
		return info, err
	}
	n := info.loaded
	msg := fmt.Sprintf("Done loading RDB, keys loaded: %d, keys expired: %d", n.Keys, n.Expired)
	if n.Empty > 0 {
		msg += fmt.Sprintf(", empty keys skipped: %d", n.Empty)
	}
	s.logf(levelNotice, "%s.", msg)
	return info, nil
}

func (s *Server) rdbAux(info *rdbInfo, name, value string) {
	n, _ := strconv.ParseInt(value, 10, 64)
	switch name {
	case "redis-ver":
		s.logf(levelNotice, "Loading RDB produced by version %s", value)
	case "ctime":
		s.logf(levelNotice, "RDB age %d seconds", max(0, s.eng.Clock().Unix()-n))
	case "used-mem":
		s.logf(levelNotice, "RDB memory usage when created %.2f Mb", float64(n)/(1<<20))
	case "aof-base":
		if n != 0 {
			s.logf(levelNotice, "RDB is base AOF")
		}
	case "repl-id":
		info.replID = value
	case "repl-offset":
		info.replOffset = n
	case "repl-stream-db":
		info.replDB = int(n)
	default:
		if strings.HasPrefix(name, "%") {
			s.logf(levelNotice, "RDB '%s': %s", name, value)
		}
	}
}

// newStoreLike returns an empty store to load into. A data set takes the place of the old one only
// when it is whole.
func (s *Server) newStoreLike(mode store.ExpiryMode) *store.Store {
	st := store.New(s.eng.Store.Len())
	st.SetNow(s.eng.NowMs)
	st.Expiry, st.LFU = mode, s.eng.Store.LFU
	return st
}

// loadRDB loads the snapshot file at start. No file is an empty data set. The engine's lock must not
// be held.
func (s *Server) loadRDB() error {
	s.eng.Lock()
	s.eng.Tick()
	path := s.rdbFile("").path()
	st := s.newStoreLike(s.eng.Store.Expiry)
	s.eng.Unlock()
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	var size int64
	if err == nil {
		defer f.Close()
		if fi, statErr := f.Stat(); statErr == nil {
			size = fi.Size()
		}
	}
	start := s.eng.Clock()
	s.eng.Lock()
	s.beginLoading(size)
	s.eng.Unlock()
	var info rdbInfo
	if err == nil {
		info, err = s.readRDB(progressReader{s, f}, st)
	}
	s.eng.Lock()
	defer s.eng.Unlock()
	if err != nil { // and commands stay locked out: the server is about to end
		s.logf(levelWarning, "Fatal error loading the DB: %s. Exiting.", config.ErrnoText(err))
		return err
	}
	if err := s.adopt(st, info); err != nil {
		s.logf(levelWarning, "Fatal error loading the DB: %s. Exiting.", err)
		return err
	}
	s.endLoading()
	s.logf(levelNotice, "DB loaded from disk: %.3f seconds", s.eng.Clock().Sub(start).Seconds())
	return nil
}

// adoptLibraries makes a snapshot's functions the server's. On an error nothing has changed.
func (s *Server) adoptLibraries(info rdbInfo) error {
	if s.eng.Scripts == nil {
		if len(info.libraries) > 0 {
			s.logf(levelWarning, "The RDB file has %d libraries of functions, which this server does not execute. They are left out.", len(info.libraries))
		}
		return nil
	}
	if err := s.eng.Scripts.Replace(info.libraries); err != nil {
		return fmt.Errorf("failed loading the functions of the RDB file: %w", err)
	}
	return nil
}

// adopt makes st the server's data, and the functions of the same snapshot the server's. On an error nothing has
// changed.
func (s *Server) adopt(st *store.Store, info rdbInfo) error {
	if err := s.adoptLibraries(info); err != nil {
		return err
	}
	s.eng.Store.Adopt(st)
	s.eng.KeysFlushed()
	s.loadedKeys, s.expiredKeys = int64(info.loaded.Keys), int64(info.loaded.Expired)
	for i := range s.eng.Store.Len() {
		s.eng.AllReady(i)
	}
	s.restoreReplication(info)
	return nil
}

// infoLoading writes INFO's fields about a loading that is under way.
func (s *Server) infoLoading(b *strings.Builder) {
	if !s.eng.Loading {
		return
	}
	l := &s.progress
	read := l.read.Load()
	perc := 100 * float64(read) / float64(max(l.total, 1))
	eta, elapsed := int64(1), s.eng.NowMs/1000-l.startSec
	if elapsed > 0 {
		eta = elapsed * (l.total - read) / (read + 1)
	}
	fields(b, "loading_start_time", l.startSec, "loading_total_bytes", l.total, "loading_rdb_used_mem", l.usedMem,
		"loading_loaded_bytes", read, "loading_loaded_perc", fmt.Sprintf("%.2f", perc), "loading_eta_seconds", eta)
}
