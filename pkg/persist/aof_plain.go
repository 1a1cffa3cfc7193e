package persist

import (
	"io"
	"strconv"

	"byor/pkg/resp"
	"byor/pkg/store"
)

// plainSink writes a snapshot as the commands that make it, the base of an append-only file with
// aof-use-rdb-preamble no. The commands are those that Redis writes (rewriteAppendOnlyFileRio), since
// both must read them.
type plainSink struct {
	w       io.Writer
	current []byte // what is being added to
	aside   []byte // what is being written
	db      int    // 1 + the database selected, 0 for none
	args    [][]byte
}

// plainItems is how many elements one command holds (AOF_REWRITE_ITEMS_PER_CMD): a command is built
// in memory when it is loaded.
const plainItems = 64

// newPlainSink returns a sink whose file begins with the libraries of functions.
func newPlainSink(libraries []string) *plainSink {
	k := new(plainSink)
	for _, source := range libraries {
		k.strings("FUNCTION", "LOAD", source)
	}
	return k
}

func (k *plainSink) Open(w io.Writer)         { k.w = w }
func (k *plainSink) Close() error             { return nil }
func (k *plainSink) Begin([]store.SnapshotDB) {}
func (k *plainSink) Pending() int             { return len(k.current) }

func (k *plainSink) Take() { k.current, k.aside = k.aside[:0], k.current }

func (k *plainSink) Flush() error {
	_, err := k.w.Write(k.aside)
	return err
}

func (k *plainSink) Add(e store.SnapshotEntry) {
	k.selectDB(e.DB)
	key := []byte(e.Key)
	switch v := e.Value.(type) {
	case *store.String:
		k.command([]byte("SET"), key, v.View())
	case *store.List:
		k.collection("RPUSH", key, 1, func(add func(...[]byte)) {
			v.Each(func(b []byte) bool { add(b); return true })
		})
	case *store.Set:
		k.collection("SADD", key, 1, func(add func(...[]byte)) {
			v.Each(func(m []byte) bool { add(m); return true })
		})
	case *store.ZSet:
		k.collection("ZADD", key, 2, func(add func(...[]byte)) {
			v.Each(func(m []byte, score float64) bool { add(resp.AppendDouble(nil, score), m); return true })
		})
	case *store.Hash:
		k.collection("HMSET", key, 2, func(add func(...[]byte)) {
			v.Each(func(f, val []byte) bool { add(f, val); return true })
		})
	case *store.Stream:
		k.stream(e.Key, v)
	}
	if e.ExpireMs >= 0 {
		k.strings("PEXPIREAT", e.Key, itoa(e.ExpireMs))
	}
}

func (k *plainSink) selectDB(db int) {
	if k.db != db+1 {
		k.db = db + 1
		k.strings("SELECT", itoa(db))
	}
}

func (k *plainSink) AddPiece(p store.SnapshotPiece) {
	k.selectDB(p.DB)
	key := []byte(p.Key)
	switch p.Value.Type() {
	case store.TypeSet:
		k.collection("SADD", key, 1, func(add func(...[]byte)) {
			for _, e := range p.Elements {
				add([]byte(e.Member))
			}
		})
	case store.TypeZSet:
		k.collection("ZADD", key, 2, func(add func(...[]byte)) {
			for _, e := range p.Elements {
				add(resp.AppendDouble(nil, e.Score), []byte(e.Member))
			}
		})
	case store.TypeHash:
		k.collection("HMSET", key, 2, func(add func(...[]byte)) {
			for _, e := range p.Elements {
				add([]byte(e.Member), []byte(e.Value))
			}
		})
	}
	if p.Last && p.ExpireMs >= 0 {
		k.strings("PEXPIREAT", p.Key, itoa(p.ExpireMs))
	}
}

func (k *plainSink) command(args ...[]byte) { k.current = resp.AppendCommand(k.current, args...) }

func (k *plainSink) strings(args ...string) {
	k.current = resp.AppendCommandStrings(k.current, args...)
}

// collection writes "name key item…" as often as it takes. An item is of size arguments.
func (k *plainSink) collection(name string, key []byte, size int, each func(add func(...[]byte))) {
	k.args = append(k.args[:0], []byte(name), key)
	each(func(item ...[]byte) {
		k.args = append(k.args, item...)
		if len(k.args) == 2+size*plainItems {
			k.command(k.args...)
			k.args = k.args[:2]
		}
	})
	if len(k.args) > 2 {
		k.command(k.args...)
	}
	clear(k.args) // they point into the value
}

// stream writes a stream: its entries, its counters, then its groups.
func (k *plainSink) stream(key string, st *store.Stream) {
	if st.Len() == 0 { // the shortest way to a stream without entries
		k.strings("XADD", key, "MAXLEN", "0", "0-1", "x", "y")
	}
	st.Range(store.StreamID{}, store.MaxStreamID, func(e *store.StreamEntry) bool {
		k.args = append(k.args[:0], []byte("XADD"), []byte(key), []byte(e.ID.String()))
		for i := range e.Len() {
			f, v := e.Field(i)
			k.args = append(k.args, f.Bytes(), v.Bytes())
		}
		k.command(k.args...)
		return true
	})
	m := st.Meta()
	k.strings("XSETID", key, m.Last.String(), "ENTRIESADDED", strconv.FormatUint(m.Added, 10), "MAXDELETEDID", m.MaxDeleted.String())
	for _, g := range st.Groups() {
		k.strings("XGROUP", "CREATE", key, g.Name(), g.Last.String(), "ENTRIESREAD", itoa(g.EntriesRead))
		for _, c := range g.Consumers() {
			k.consumer(key, g, c)
		}
	}
}

// consumer writes a consumer with what it has pending. Redis, too, loses what is pending but deleted
// from the stream: XCLAIM refuses that.
func (k *plainSink) consumer(key string, g *store.Group, c *store.Consumer) {
	if c.Pending().Len() == 0 {
		k.strings("XGROUP", "CREATECONSUMER", key, g.Name(), c.Name())
		return
	}
	c.Pending().Range(store.StreamID{}, store.MaxStreamID, func(p *store.Pending) bool {
		k.strings("XCLAIM", key, g.Name(), c.Name(), "0", p.ID.String(), "TIME", itoa(p.DeliveredMs),
			"RETRYCOUNT", strconv.FormatUint(p.Count, 10), "JUSTID", "FORCE")
		return true
	})
}

// itoa prints an integer.
func itoa[T int | int64](n T) string { return strconv.FormatInt(int64(n), 10) }
