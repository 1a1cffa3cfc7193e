// Package logs writes a server's log as Redis does: to the standard output, to the file of logfile, which may be moved
// away while it is written, and to the system's log besides.
package logs

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"byor/pkg/config"
)

// Level is the weight of a line.
type Level int

// The levels of Redis's loglevel.
const (
	Debug Level = iota
	Verbose
	Notice
	Warning
)

// Marks are how the levels stand in a line.
var Marks = [...]byte{'.', '-', '*', '#'}

// Logger writes lines as Redis does: pid:role date mark message. It is safe for concurrent use.
type Logger struct {
	mu    sync.Mutex
	w     io.Writer
	file  *logFile // w, where that is the file of logfile
	sys   *sysLog  // nil unless syslog-enabled
	level Level
	role  byte
}

// New returns the logger that logfile and loglevel describe. A file that cannot be opened is
// replaced by the standard output, with a line that says so.
func New(cfg *config.Config) *Logger {
	l := &Logger{w: os.Stdout, level: LevelOf(cfg), role: 'M'}
	if cfg.SyslogEnabled {
		l.sys = &sysLog{ident: cfg.SyslogIdent, facility: cfg.SyslogFacility}
	}
	if cfg.LogFile != "" {
		f := &logFile{path: cfg.InDir(cfg.LogFile)}
		if err := f.reopen(); err != nil {
			l.Printf(Warning, "Can't open the log file: %s", config.ErrnoText(err))
			return l
		}
		l.w, l.file = f, f
	}
	return l
}

// To returns a logger of all levels to w.
func To(w io.Writer) *Logger { return &Logger{w: w, role: 'M'} }

// Printf writes a line when its level is high enough.
func (l *Logger) Printf(lvl Level, format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if lvl < l.level {
		return
	}
	now := time.Now().Format("02 Jan 2006 15:04:05.000")
	text := fmt.Sprintf(format, args...)
	fmt.Fprintf(l.w, "%d:%c %s %c %s\n", os.Getpid(), l.role, now, Marks[lvl], text)
	if l.sys != nil {
		l.sys.write(lvl, text)
	}
}

// Reopen opens the file of logfile anew, as SIGHUP asks. Without a file there is nothing to do. On an error the log
// goes on into the old file.
func (l *Logger) Reopen() (name string, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil {
		return "", nil
	}
	return l.file.path, l.file.reopen()
}

// SetLevel leaves out what weighs less.
func (l *Logger) SetLevel(lvl Level) {
	l.mu.Lock()
	l.level = lvl
	l.mu.Unlock()
}

// SetRole sets the letter for what the server is: M for a master, S for a replica.
func (l *Logger) SetRole(role byte) {
	l.mu.Lock()
	l.role = role
	l.mu.Unlock()
}

// LevelOf returns what loglevel asks for.
func LevelOf(c *config.Config) Level {
	switch c.LogLevel {
	case "debug":
		return Debug
	case "verbose":
		return Verbose
	case "warning":
		return Warning
	}
	return Notice
}
