package server

import (
	"io"

	"byor/pkg/logs"
)

// Logger writes the log of a server. It is safe for concurrent use.
type Logger = logs.Logger

// LogTo returns a logger of all levels to w.
func LogTo(w io.Writer) *Logger { return logs.To(w) }

const (
	levelDebug   = logs.Debug
	levelVerbose = logs.Verbose
	levelNotice  = logs.Notice
	levelWarning = logs.Warning
)

func (s *Server) logf(lvl logs.Level, format string, args ...any) { s.log.Printf(lvl, format, args...) }
