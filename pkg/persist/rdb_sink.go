package persist

import (
	"io"
	"strings"

	"byor/pkg/config"
	"byor/pkg/rdb"
	"byor/pkg/store"
)

// Sink writes a snapshot in the format of RDB files.
type Sink struct {
	w           *rdb.Writer
	current     *rdb.Batch // what is being added to
	aside       *rdb.Batch // what is being written
	aux         [][2]string
	libraries   []string // of functions
	compression bool
	checksum    bool
	noKeys      bool                                 // functions alone
	hint        func(e store.SnapshotEntry) rdb.Hint // how keys are used, where the policy wants to know; else nil
}

// NewSink returns a sink whose file says what is true of the data now, so it must be made under
// the engine's lock, together with the snapshot. aofBase says that commands follow in another file.
// Call Open before the first Flush.
func (fs *Files) NewSink(aofBase bool) *Sink {
	aux := [][2]string{
		{"redis-ver", config.RedisVersion}, {"redis-bits", "64"}, {"ctime", itoa(fs.eng.NowMs / 1000)}, {"used-mem", itoa(fs.host.UsedMemory())},
	}
	base := "0"
	if aofBase {
		base = "1"
	}
	aux = append(aux, fs.host.ReplicationAux()...)
	aux = append(aux, [2]string{"aof-base", base})
	k := &Sink{current: new(rdb.Batch), aside: new(rdb.Batch), aux: aux,
		libraries: fs.libraries(), compression: fs.cfg.RDBCompression, checksum: fs.cfg.RDBChecksum}
	switch {
	case fs.eng.Settings.LFU():
		k.hint = func(e store.SnapshotEntry) rdb.Hint { return rdb.Freq(e.Freq) }
	case strings.HasSuffix(fs.cfg.MaxMemoryPolicy, "-lru"):
		k.hint = func(e store.SnapshotEntry) rdb.Hint { return rdb.Idle(e.IdleSec) }
	}
	return k
}

// Open says where the file goes, and begins it. An error comes out of Flush or Close.
func (k *Sink) Open(w io.Writer) {
	k.w = rdb.NewWriter(w)
	k.w.NoCompression, k.w.NoChecksum = !k.compression, !k.checksum
	for _, a := range k.aux {
		_ = k.w.Aux(a[0], a[1]) // an error stays with the writer
	}
	for _, source := range k.libraries {
		_ = k.w.Function(source)
	}
}

// LeaveOut leaves out the keys, the functions or both. Call it before the snapshot begins. Keys are walked through all
// the same, as the walk is the engine's.
func (k *Sink) LeaveOut(keys, functions bool) {
	k.noKeys = keys
	if functions {
		k.libraries = nil
	}
}

// libraries returns the sources of the libraries of functions, which are a part of the data set.
func (fs *Files) libraries() []string {
	if fs.eng.Scripts == nil {
		return nil
	}
	return fs.eng.Scripts.Libraries()
}

func (k *Sink) Begin(dbs []store.SnapshotDB) {
	if k.noKeys {
		return
	}
	for _, db := range dbs {
		k.current.SelectDB(db.ID)
		k.current.Resize(db.Keys, db.Expires)
	}
}

func (k *Sink) Add(e store.SnapshotEntry) {
	if k.noKeys {
		return
	}
	k.current.SelectDB(e.DB)
	if k.hint != nil {
		k.current.Entry(e.Key, e.Value, e.ExpireMs, k.hint(e))
	} else {
		k.current.Entry(e.Key, e.Value, e.ExpireMs)
	}
}

func (k *Sink) AddPiece(p store.SnapshotPiece) {
	if k.noKeys {
		return
	}
	if p.First {
		k.current.SelectDB(p.DB)
		if k.hint != nil {
			k.current.Begin(p.Key, p.Value.Type(), p.Len, p.ExpireMs, k.hint(p.SnapshotEntry))
		} else {
			k.current.Begin(p.Key, p.Value.Type(), p.Len, p.ExpireMs)
		}
	}
	for _, e := range p.Elements {
		switch p.Value.Type() {
		case store.TypeHash:
			k.current.Pair(e.Member, e.Value)
		case store.TypeSet:
			k.current.Member(e.Member)
		case store.TypeZSet:
			k.current.Scored(e.Member, e.Score)
		}
	}
}

func (k *Sink) Pending() int { return k.current.Len() }

func (k *Sink) Take() {
	k.current, k.aside = k.aside, k.current
	k.current.Reset()
}

func (k *Sink) Flush() error { return k.w.Write(k.aside) }

// Close writes the end of the file. The writer stays open.
func (k *Sink) Close() error { return k.w.Close() }
