package server

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"byor/pkg/config"
)

// Level is the weight of a log line.
type Level int

// The levels of Redis's loglevel.
const (
	LevelDebug Level = iota
	LevelVerbose
	LevelNotice
	LevelWarning
)

var levelMarks = [...]byte{'.', '-', '*', '#'}

// Logger writes lines as Redis does: pid:role date mark message. It is safe for concurrent use.
type Logger struct {
	mu    sync.Mutex
	w     io.Writer
	level Level
	role  byte
}

// NewLogger returns the logger that logfile and loglevel describe. A file that cannot be opened is
// replaced by the standard output, with a line that says so.
func NewLogger(cfg *config.Config) *Logger {
	l := &Logger{w: os.Stdout, level: levelOf(cfg), role: 'M'}
	if cfg.LogFile != "" {
		f, err := os.OpenFile(cfg.InDir(cfg.LogFile), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
		if err != nil {
			l.Printf(LevelWarning, "Can't open the log file: %v", err)
			return l
		}
		l.w = f
	}
	return l
}

// LogTo returns a logger of all levels to w.
func LogTo(w io.Writer) *Logger { return &Logger{w: w, role: 'M'} }

// Printf writes a line when its level is high enough.
func (l *Logger) Printf(level Level, format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if level < l.level {
		return
	}
	now := time.Now().Format("02 Jan 2006 15:04:05.000")
	fmt.Fprintf(l.w, "%d:%c %s %c %s\n", os.Getpid(), l.role, now, levelMarks[level], fmt.Sprintf(format, args...))
}

func (l *Logger) setLevel(level Level) {
	l.mu.Lock()
	l.level = level
	l.mu.Unlock()
}

func (l *Logger) setRole(role byte) {
	l.mu.Lock()
	l.role = role
	l.mu.Unlock()
}

func (s *Server) logf(level Level, format string, args ...any) { s.log.Printf(level, format, args...) }
