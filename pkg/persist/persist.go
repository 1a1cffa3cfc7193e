package server

import (
	"strings"

	"byor/pkg/aof"
	"byor/pkg/config"
)

// persistence is what the server knows of its files.
type persistence struct {
	rdbState
	aofState
	progress loadState
}

// diskError says why writes must be refused, or nothing. Where both files are in trouble the
// snapshot comes first, as in Redis.
func (s *Server) diskError() string {
	if msg := s.rdbError(); msg != "" {
		return msg
	}
	if s.aofErr != nil {
		return "MISCONF Errors writing to the AOF file: " + aof.Strerror(s.aofErr)
	}
	return ""
}

// load loads the data set at start: from the append-only file where that is on, and then from
// nothing else, or from the snapshot. The server has been answering -LOADING since New.
func (s *Server) load() error {
	s.eng.Lock()
	fromAOF := s.cfg.AppendOnly
	s.eng.Unlock()
	load := s.loadRDB
	if fromAOF {
		load = s.loadAOF
	}
	if err := load(); err != nil {
		return err
	}
	s.eng.Lock()
	defer s.eng.Unlock()
	s.endLoading()
	return nil
}

// persistCron starts what is due: save points and rewrites, in Redis's order. Only one of them can
// be under way.
func (s *Server) persistCron() {
	s.checkAOF()
	s.scheduledRewrite()
	s.rdbCron()
	s.automaticRewrite()
}

// finalSave makes the data safe before the server ends. The engine's lock must be held.
func (s *Server) finalSave(mode ShutdownMode) error {
	if err := s.aofFinal(mode); err != nil {
		return err
	}
	return s.rdbFinalSave(mode)
}

func (s *Server) infoPersistence(b *strings.Builder) {
	fields(b, "loading", btoi(s.eng.Loading), "async_loading", 0)
	s.infoRDB(b)
	s.infoAOF(b)
	s.infoLoading(b)
}

// persistConfigChanged starts or stops what CONFIG SET changed. An error is about appendonly.
func (s *Server) persistConfigChanged(before *config.Config) error {
	if s.cfg.AppendOnly && !before.AppendOnly {
		if err := s.startAOF(); err != nil {
			return err
		}
	}
	if !s.cfg.AppendOnly && before.AppendOnly {
		s.stopAOF()
	}
	s.configureAOF()
	return nil
}
