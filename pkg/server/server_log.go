package server

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"byor/pkg/config"
)

// logLevel is the weight of a log line.
type logLevel int

// The levels of Redis's loglevel.
const (
	levelDebug logLevel = iota
	levelVerbose
	levelNotice
	levelWarning
)

var levelMarks = [...]byte{'.', '-', '*', '#'}

// Logger writes lines as Redis does: pid:role date mark message. It is safe for concurrent use.
type Logger struct {
	mu    sync.Mutex
	w     io.Writer
	level logLevel
	role  byte
}

// newLogger returns the logger that logfile and loglevel describe. A file that cannot be opened is
// replaced by the standard output, with a line that says so.
func newLogger(cfg *config.Config) *Logger {
	l := &Logger{w: os.Stdout, level: levelOf(cfg), role: 'M'}
	if cfg.LogFile != "" {
		f, err := os.OpenFile(cfg.InDir(cfg.LogFile), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
		if err != nil {
			l.printf(levelWarning, "Can't open the log file: %v", err)
			return l
		}
		l.w = f
	}
	return l
}

// LogTo returns a logger of all levels to w.
func LogTo(w io.Writer) *Logger { return &Logger{w: w, role: 'M'} }

// printf writes a line when its level is high enough.
func (l *Logger) printf(lvl logLevel, format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if lvl < l.level {
		return
	}
	now := time.Now().Format("02 Jan 2006 15:04:05.000")
	fmt.Fprintf(l.w, "%d:%c %s %c %s\n", os.Getpid(), l.role, now, levelMarks[lvl], fmt.Sprintf(format, args...))
}

func (l *Logger) setLevel(lvl logLevel) {
	l.mu.Lock()
	l.level = lvl
	l.mu.Unlock()
}

func (l *Logger) setRole(role byte) {
	l.mu.Lock()
	l.role = role
	l.mu.Unlock()
}

func (s *Server) logf(lvl logLevel, format string, args ...any) { s.log.printf(lvl, format, args...) }
