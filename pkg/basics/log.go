package basics

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"strconv"

	"byor/pkg/aof"
	"byor/pkg/rdb"
	"byor/pkg/resp"
	"byor/pkg/store"
)

// A Base is the snapshot that a log may begin with: how it is read, and how it is written.
type Base struct {
	Load func(r *bufio.Reader) error
	Save func(w io.Writer) error
}

// openLog replays the log in dir, as step 05 did, and opens it for appending; policy is one of always,
// everysec and no. execute is called for each command of the log and appends the reply to w, which
// nobody gets; an error in it ends the loading. Meanwhile data keeps keys whose time is over, since
// the log itself says DEL when it was time; afterwards data.Expiry is as it was.
func openLog(dir, policy string, data *store.Store, base Base, w *resp.Writer, execute func(args [][]byte)) (*aof.Log, error) {
	o := aof.Options{Dir: dir, Logf: func(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }}
	var err error
	if o.Policy, err = aof.ParsePolicy(policy); err != nil {
		return nil, err
	}
	defer func(before store.ExpiryMode) { data.Expiry = before }(data.Expiry)
	data.Expiry = store.KeepExpired
	_, err = aof.Load(o, aof.Handlers{
		LoadBase: func(r *bufio.Reader, _ int64) error { return base.Load(r) },
		Apply: func(args [][]byte) error {
			w.Buf = w.Buf[:0]
			if execute(args); len(w.Buf) > 0 && w.Buf[0] == '-' {
				return errors.New(string(w.Buf[1 : len(w.Buf)-2]))
			}
			return nil
		},
	})
	if err != nil {
		return nil, err
	}
	return aof.Open(o, base.Save)
}

// commit waits until log has all that was executed so far, as its policy demands; nil is no log. After
// a failure no promise can be kept, so it ends the program. An fsync that failed in the background counts, too.
func commit(log *aof.Log) {
	if log == nil {
		return
	}
	err := log.Commit(log.End())
	if err == nil {
		err = log.Status().Err
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "the log cannot be written, so nothing can be promised:", err)
		os.Exit(1)
	}
}

// Encode returns an effect on database db as a log or a stream has it. Where another database than
// *selected is meant, a SELECT stands in front.
func Encode(selected *int, db int, effect [][]byte) (b []byte) {
	if db != *selected {
		*selected = db
		b = resp.AppendCommandStrings(b, "SELECT", strconv.Itoa(db))
	}
	return resp.AppendCommand(b, effect...)
}

// Effects are those that make data what it is, beginning with nothing.
func Effects(data *store.Store) iter.Seq2[int, [][]byte] {
	return func(yield func(db int, effect [][]byte) bool) {
		for i := range data.Len() {
			db, more := data.DB(i), true
			db.Each(func(e *store.Entry) bool {
				effect := [][]byte{[]byte("SET"), []byte(e.Key()), e.Value().(*store.String).View()}
				if e.HasExpiry() {
					effect = append(effect, []byte("PXAT"), strconv.AppendInt(nil, db.ExpireAt(e), 10))
				}
				more = yield(i, effect)
				return more
			})
			if !more {
				return
			}
		}
	}
}

// rdbBase is a base that pkg/rdb reads and writes.
func rdbBase(data *store.Store) Base {
	return Base{
		Load: func(r *bufio.Reader) error { return loadBase(r, data) },
		Save: func(w io.Writer) error { return rdb.Save(w, data) },
	}
}

// loadBase loads the snapshot that a log begins with.
func loadBase(r *bufio.Reader, data *store.Store) error {
	in := rdb.NewReader(r)
	if err := LoadRDB(in, data); err != nil {
		return err
	}
	// The reader has read ahead. A log of Redis 6 goes on with commands in the same file, and they
	// would be lost: better to say so. Redis 7 rewrites such a log when it starts on it.
	if n, _ := io.CopyN(io.Discard, in.Rest(), 1); n > 0 {
		return errors.New("commands follow the snapshot in the same file")
	}
	return nil
}
