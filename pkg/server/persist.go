package server

import "strings"

// persistence is what the server knows of its files.
type persistence struct {
	rdbState
	progress loadState

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
func (s *Server) diskError() string { return s.rdbError() }

// load loads the data set at start.
func (s *Server) load() error { return s.loadRDB() }

// persistCron starts what is due: save points and rewrites.
func (s *Server) persistCron() { s.rdbCron() }

// finalSave makes the data safe before the server ends. The engine's lock must be held.
func (s *Server) finalSave(mode ShutdownMode) error { return s.rdbFinalSave(mode) }

func (s *Server) infoPersistence(b *strings.Builder) {
	fields(b, "loading", btoi(s.loading), "async_loading", 0)
	s.infoRDB(b)
	s.infoLoading(b)
}

// persistConfigChanged starts or stops what CONFIG SET changed.
func (s *Server) persistConfigChanged(before *Config) error { return nil }

func debugLoadAOF(c *Client) { c.fail("ERR not available") }
