package server

import (
	"errors"
	"os"
	"strings"

	"byor/pkg/config"
	"byor/pkg/rdb"
	"byor/pkg/store"
)

// debugReload saves and loads what it saved, which must change nothing: DEBUG RELOAD [MERGE]
// [NOFLUSH] [NOSAVE].
func debugReload(c *client) {
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
	s := c.s
	if save && s.saveNow() != nil {
		c.Fail("ERR")
		return
	}
	if err := s.reload(flush, merge); err != nil {
		s.logf(levelWarning, "%s", config.ErrnoText(err))
		c.Fail("ERR Error trying to load the RDB dump")
		return
	}
	s.logf(levelWarning, "DB reloaded by DEBUG RELOAD")
	c.Reply.OK()
}

// reload loads the snapshot file in place of the data or, without flush, into it; then merge lets
// the file's keys and functions replace those that are there. The engine's lock must be held.
func (s *Server) reload(flush, merge bool) error {
	f, err := os.Open(s.rdbFile("").path())
	if err != nil {
		return err
	}
	defer f.Close()
	st := s.newStoreLike(s.eng.Store.Expiry)
	info, err := s.readRDB(f, st)
	if err != nil {
		return err
	}
	if flush {
		return s.adopt(st, info)
	}
	if s.eng.Scripts != nil {
		if err := s.eng.Scripts.Add(info.libraries, merge); err != nil {
			return err
		}
	}
	return s.mergeStore(st, merge)
}

var errDuplicateKey = errors.New("RDB has a key that is there already")

func (s *Server) mergeStore(from *store.Store, replace bool) (err error) {
	for i := range from.Len() {
		db, src := s.eng.Store.DB(i), from.DB(i)
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

func debugDigest(c *client) { c.Reply.SimpleString(c.s.eng.Store.Digest().String()) }

func debugDigestValue(c *client) {
	c.Reply.Array(len(c.Args) - 2)
	for _, key := range c.Args[2:] {
		var d store.Digest
		if e := c.DB.Peek(key); e != nil {
			d = c.DB.ValueDigest(e)
		}
		c.Reply.SimpleString(d.String())
	}
}

// serializedLength returns the bytes that the value takes in a snapshot.
func (s *Server) serializedLength(e *store.Entry) int { return rdb.EncodedLen(e.Value()) }
