package server

import (
	"strings"

	"byor/pkg/store"
)

// persistence is what the server knows of its files.
type persistence struct {
	aofEnd    int64 // offset behind the last byte appended to the append-only file
	aofStream stream
}

// aofOn reports whether effects go to an append-only file.
func (s *Server) aofOn() bool { return false }

// appendAOF appends the bytes of a unit.
func (s *Server) appendAOF(b []byte) {}

// commitAOF returns when the append-only file is as safe as the policy demands up to the offset.
// The engine's lock must not be held.
func (s *Server) commitAOF(at int64) {}

// diskError says why writes must be refused, or nothing.
func (s *Server) diskError() string { return "" }

// load loads the data set at start.
func (s *Server) load() error { return nil }

// persistCron starts what is due: save points and rewrites.
func (s *Server) persistCron() {}

// finalSave makes the data safe before the server ends.
func (s *Server) finalSave(mode ShutdownMode) error { return nil }

// afterFlushall saves the empty data set where save points ask for snapshots, as Redis does, so that
// a restart does not bring the old data back.
func (s *Server) afterFlushall() {}

func (s *Server) infoPersistence(b *strings.Builder) {
	fields(b, "loading", btoi(s.loading), "rdb_changes_since_last_save", s.dirty)
}

// persistConfigChanged starts or stops what CONFIG SET changed.
func (s *Server) persistConfigChanged(before *Config) error { return nil }

func debugReload(c *Client)      { c.fail("ERR not available") }
func debugLoadAOF(c *Client)     { c.fail("ERR not available") }
func debugDigest(c *Client)      { c.fail("ERR not available") }
func debugDigestValue(c *Client) { c.fail("ERR not available") }

// serializedLength returns the bytes that the value takes in a snapshot.
func (s *Server) serializedLength(e *store.Entry) int { return int(e.EntryBytes()) }
