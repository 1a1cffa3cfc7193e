package server

import (
	"byor/pkg/engine"
	"byor/pkg/logs"
	"byor/pkg/store"
)

// applyConfig carries changed parameters to where they take effect.
func (s *Server) applyConfig() {
	s.queryLimit.Store(s.cfg.QueryBufferLimit)
	s.log.SetLevel(logs.LevelOf(s.cfg))
	s.eng.Settings = s.cfg.Settings()
	s.eng.Slowlog.Trim(s.cfg.SlowlogMaxLen)
	s.eng.Store.LFU = store.LFU{On: s.eng.Settings.LFU(), LogFactor: s.cfg.LFULogFactor, DecayMinutes: s.cfg.LFUDecayTime}
	e := &store.Encodings
	e.HashMaxListpackEntries.Store(s.cfg.HashMaxListpackEntries)
	e.HashMaxListpackValue.Store(s.cfg.HashMaxListpackValue)
	e.SetMaxIntsetEntries.Store(s.cfg.SetMaxIntsetEntries)
	e.ZSetMaxListpackEntries.Store(s.cfg.ZSetMaxListpackEntries)
	e.ZSetMaxListpackValue.Store(s.cfg.ZSetMaxListpackValue)
	e.ListMaxListpackSize.Store(max(s.cfg.ListMaxListpackSize, -5))
	e.StreamNodeMaxBytes.Store(s.cfg.StreamNodeMaxBytes)
	e.StreamNodeMaxEntries.Store(s.cfg.StreamNodeMaxEntries)
	s.memory.collector.Limit(s.cfg.MaxMemory, s.eng.Store.MemBytes())
	s.listenToKeys()
	s.users.Configure()
	s.recalm()
}

// trustedCommand looks up a command of a log or of the link, which may have either name.
func (s *Server) trustedCommand(args [][]byte) *engine.Command {
	if cmd := s.eng.Lookup(args); cmd != nil || s.born == nil {
		return cmd
	}
	return engine.LookupIn(s.born, args)
}
