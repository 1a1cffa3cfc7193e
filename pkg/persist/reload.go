package persist

import (
	"errors"
	"os"
	"strings"

	"byor/pkg/config"
	"byor/pkg/engine"
	"byor/pkg/store"
)

// DebugReload and DebugLoadAOF are the handlers of DEBUG RELOAD and DEBUG LOADAOF.
var DebugReload, DebugLoadAOF = by(debugReload), by(debugLoadAOF)

// debugReload saves and loads what it saved, which must change nothing: DEBUG RELOAD [MERGE]
// [NOFLUSH] [NOSAVE].
func debugReload(fs *Files, c *engine.Call) {
	flush, save, merge := true, true, false
	for _, a := range c.Args[2:] {
		switch strings.ToLower(string(a)) {
		case "merge":
			merge = true
		case "noflush":
			flush = false
		case "nosave":
			save = false
		default:
			c.Fail("ERR DEBUG RELOAD only supports the MERGE, NOFLUSH and NOSAVE options.")
			return
		}
	}
	if save && fs.Save() != nil {
		c.Fail("ERR")
		return
	}
	if err := fs.reload(flush, merge); err != nil {
		fs.host.Warn("%s", config.ErrnoText(err))
		c.Fail("ERR Error trying to load the RDB dump")
		return
	}
	fs.host.Warn("DB reloaded by DEBUG RELOAD")
	c.Reply.OK()
}

// reload loads the snapshot file in place of the data or, without flush, into it; then merge lets
// the file's keys and functions replace those that are there. The engine's lock must be held.
func (fs *Files) reload(flush, merge bool) error {
	f, err := os.Open(fs.rdbFile("").path())
	if err != nil {
		return err
	}
	defer f.Close()
	st := fs.NewStore(fs.eng.Store.Expiry)
	info, err := fs.ReadRDB(f, st)
	if err != nil {
		return err
	}
	if flush {
		return fs.Adopt(st, info)
	}
	if fs.eng.Scripts != nil {
		if err := fs.eng.Scripts.Add(info.libraries, merge); err != nil {
			return err
		}
	}
	return fs.mergeStore(st, merge)
}

var errDuplicateKey = errors.New("RDB has a key that is there already")

func (fs *Files) mergeStore(from *store.Store, replace bool) (err error) {
	for i := range from.Len() {
		db, src := fs.eng.Store.DB(i), from.DB(i)
		src.Each(func(e *store.Entry) bool {
			key := []byte(e.Key())
			if !replace && db.Peek(key) != nil {
				err = errDuplicateKey
				return false
			}
			added := db.Set(key, e.Value())
			if at := src.ExpireAt(e); at >= 0 {
				db.SetExpire(added, at)
			}
			return true
		})
	}
	return err
}
