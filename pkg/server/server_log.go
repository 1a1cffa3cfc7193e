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
	file  *logFile // w, where that is the file of logfile
	sys   *sysLog  // nil unless syslog-enabled
	level logLevel
	role  byte
}

// newLogger returns the logger that logfile and loglevel describe. A file that cannot be opened is
// replaced by the standard output, with a line that says so.
func newLogger(cfg *config.Config) *Logger {
	l := &Logger{w: os.Stdout, level: levelOf(cfg), role: 'M'}
	if cfg.SyslogEnabled {
		l.sys = &sysLog{ident: cfg.SyslogIdent, facility: cfg.SyslogFacility}
	}
	if cfg.LogFile != "" {
		f := &logFile{path: cfg.InDir(cfg.LogFile)}
		if err := f.reopen(); err != nil {
			l.printf(levelWarning, "Can't open the log file: %s", config.ErrnoText(err))
			return l
		}
		l.w, l.file = f, f
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
	text := fmt.Sprintf(format, args...)
	fmt.Fprintf(l.w, "%d:%c %s %c %s\n", os.Getpid(), l.role, now, levelMarks[lvl], text)
	if l.sys != nil {
		l.sys.write(lvl, text)
	}
}

// reopen opens the file of logfile anew, as SIGHUP asks. Without a file there is nothing to do. On an error the log
// goes on into the old file.
func (l *Logger) reopen() (name string, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil {
		return "", nil
	}
	return l.file.path, l.file.reopen()
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
