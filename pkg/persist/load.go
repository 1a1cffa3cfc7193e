package persist

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
	"byor/pkg/introspect"
	"byor/pkg/rdb"
	"byor/pkg/store"
)

// loadState is how far the loading of a file is.
type loadState struct {
	startSec int64        // Unix seconds
	total    int64        // bytes of the files
	read     atomic.Int64 // bytes read; counted without the engine's lock
	usedMem  atomic.Int64 // bytes that the data took in memory, as the file says; set without the lock, too
	told     time.Time    // when the log was told last
}

// BeginLoading makes commands be answered with -LOADING until EndLoading. The engine's lock must be
// held.
func (fs *Files) BeginLoading(total int64) {
	fs.eng.Loading = true
	fs.progress.startSec, fs.progress.total = fs.eng.NowMs/1000, total
	fs.progress.usedMem.Store(0)
	fs.progress.told = fs.eng.Clock()
	fs.progress.read.Store(0)
	fs.host.Recalm()
}

// EndLoading lets commands in. The engine's lock must be held.
func (fs *Files) EndLoading() {
	fs.eng.Loading = false
	fs.host.Recalm()
}

// progressReader counts what is read from a file for INFO, and tells the log every few seconds.
type progressReader struct {
	fs *Files
	r  io.Reader
}

// Progress returns a reader of r for whoever loads: what is read counts as loaded.
func (fs *Files) Progress(r io.Reader) io.Reader { return progressReader{fs, r} }

func (p progressReader) Read(b []byte) (int, error) {
	n, err := p.r.Read(b)
	p.fs.loadProgress(p.fs.progress.read.Load() + int64(n))
	return n, err
}

// loadProgress notes that so many bytes were read. Only who loads may call it.
func (fs *Files) loadProgress(read int64) {
	l := &fs.progress
	l.read.Store(read)
	if now := fs.eng.Clock(); now.Sub(l.told) >= loadTold {
		l.told = now
		fs.host.Notice("Loading: %.1f%% of %d bytes", 100*float64(read)/float64(max(l.total, 1)), l.total)
	}
}

// loadTold is how often the log is told of a load.
const loadTold = 5 * time.Second

// Header is what a snapshot says about itself.
type Header struct {
	ReplID     string
	ReplOffset int64 // -1 where it does not say
	ReplDB     int   // -1 where it does not say
	loaded     rdb.Loaded
	libraries  []string // sources of libraries of functions
}

// ReadRDB reads a snapshot into st, and logs what Redis logs on the way. Whether keys that have
// expired are left out is for st to say, see rdb.Into. The engine's lock is not needed unless st is
// the server's own store.
func (fs *Files) ReadRDB(r io.Reader, st *store.Store) (Header, error) {
	info := Header{ReplOffset: -1, ReplDB: -1}
	h := rdb.Into(st, &info.loaded)
	h.Aux = func(name, value []byte) error {
		fs.rdbAux(&info, string(name), string(value))
		return nil
	}
	h.Function = func(source []byte) error {
		info.libraries = append(info.libraries, string(source))
		return nil
	}
	h.ModuleAux = func(module string) error {
		fs.host.Warn("The RDB file has data of the module '%s', which is left out", module)
		return nil
	}
	countEmpty := h.Empty
	h.Empty = func(db int, key []byte) error {
		fs.host.Warn("rdbLoadObject skipping empty key: %s", key)
		return countEmpty(db, key)
	}
	reader := rdb.NewReader(r)
	reader.NoChecksum = !fs.cfg.RDBChecksum
	if err := reader.ReadAhead(h); err != nil {
		return info, err
	}
	n := info.loaded
	msg := fmt.Sprintf("Done loading RDB, keys loaded: %d, keys expired: %d", n.Keys, n.Expired)
	if n.Empty > 0 {
		msg += fmt.Sprintf(", empty keys skipped: %d", n.Empty)
	}
	fs.host.Notice("%s.", msg)
	return info, nil
}

func (fs *Files) rdbAux(info *Header, name, value string) {
	n, _ := strconv.ParseInt(value, 10, 64)
	switch name {
	case "redis-ver":
		fs.host.Notice("Loading RDB produced by version %s", value)
	case "ctime":
		fs.host.Notice("RDB age %d seconds", max(0, fs.eng.Clock().Unix()-n))
	case "used-mem":
		fs.host.Notice("RDB memory usage when created %.2f Mb", float64(n)/(1<<20))
		fs.progress.usedMem.Store(n)
	case "aof-base":
		if n != 0 {
			fs.host.Notice("RDB is base AOF")
		}
	case "repl-id":
		info.ReplID = value
	case "repl-offset":
		info.ReplOffset = n
	case "repl-stream-db":
		info.ReplDB = int(n)
	default:
		if strings.HasPrefix(name, "%") {
			fs.host.Notice("RDB '%s': %s", name, value)
		}
	}
}

// NewStore returns an empty store to load into. A data set takes the place of the old one only
// when it is whole.
func (fs *Files) NewStore(mode store.ExpiryMode) *store.Store {
	st := store.New(fs.eng.Store.Len())
	st.SetNow(fs.eng.NowMs)
	st.Expiry, st.LFU = mode, fs.eng.Store.LFU
	return st
}

// loadRDB loads the snapshot file at start. No file is an empty data set. The engine's lock must not
// be held.
func (fs *Files) loadRDB() error {
	fs.eng.Lock()
	fs.eng.Tick()
	path := fs.rdbFile("").path()
	st := fs.NewStore(fs.eng.Store.Expiry)
	fs.eng.Unlock()
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
	start := fs.eng.Clock()
	fs.eng.Lock()
	fs.BeginLoading(size)
	fs.eng.Unlock()
	var info Header
	if err == nil {
		info, err = fs.ReadRDB(fs.Progress(f), st)
	}
	fs.eng.Lock()
	defer fs.eng.Unlock()
	if err != nil { // and commands stay locked out: the server is about to end
		fs.host.Warn("Fatal error loading the DB: %s. Exiting.", config.ErrnoText(err))
		return err
	}
	if err := fs.Adopt(st, info); err != nil {
		fs.host.Warn("Fatal error loading the DB: %s. Exiting.", err)
		return err
	}
	fs.EndLoading()
	fs.host.Notice("DB loaded from disk: %.3f seconds", fs.eng.Clock().Sub(start).Seconds())
	return nil
}

// adoptLibraries makes a snapshot's functions the server's. On an error nothing has changed.
func (fs *Files) adoptLibraries(info Header) error {
	if fs.eng.Scripts == nil {
		if len(info.libraries) > 0 {
			fs.host.Warn("The RDB file has %d libraries of functions, which this server does not execute. They are left out.", len(info.libraries))
		}
		return nil
	}
	if err := fs.eng.Scripts.Replace(info.libraries); err != nil {
		return fmt.Errorf("failed loading the functions of the RDB file: %w", err)
	}
	return nil
}

// Adopt makes st the server's data, and the functions of the same snapshot the server's. On an error nothing has
// changed.
func (fs *Files) Adopt(st *store.Store, info Header) error {
	if err := fs.adoptLibraries(info); err != nil {
		return err
	}
	fs.eng.Store.Adopt(st)
	fs.eng.KeysFlushed()
	fs.loadedKeys, fs.expiredKeys = int64(info.loaded.Keys), int64(info.loaded.Expired)
	for i := range fs.eng.Store.Len() {
		fs.eng.AllReady(i)
	}
	fs.host.Restored(info)
	return nil
}

// infoLoading writes INFO's fields about a loading that is under way.
func (fs *Files) infoLoading(b *strings.Builder) {
	if !fs.eng.Loading {
		return
	}
	l := &fs.progress
	read := l.read.Load()
	perc := 100 * float64(read) / float64(max(l.total, 1))
	eta, elapsed := int64(1), fs.eng.NowMs/1000-l.startSec
	if elapsed > 0 {
		eta = elapsed * (l.total - read) / (read + 1)
	}
	introspect.Fields(b, "loading_start_time", l.startSec, "loading_total_bytes", l.total, "loading_rdb_used_mem", l.usedMem.Load(),
		"loading_loaded_bytes", read, "loading_loaded_perc", fmt.Sprintf("%.2f", perc), "loading_eta_seconds", eta)
}
