package logs

import "os"

// logFile is the file that logfile names. Redis opens it for each line, so whoever moves it away (logrotate) need
// not say so. This one stays open: a line is still written when there are no descriptors left, or no rights. Before
// each line it looks whether its path still leads to it, which costs a microsecond, and if not, opens the path anew.
// If that fails, the old file has to do, and is tried again with the next line. It is not safe for concurrent use.
type logFile struct {
	path string
	f    *os.File
}

// reopen opens the path, and closes what was open before. On an error that stays open.
func (l *logFile) reopen() error {
	f, err := os.OpenFile(l.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	if l.f != nil {
		l.f.Close()
	}
	l.f = f
	return nil
}

// moved reports whether the path leads elsewhere by now.
func (l *logFile) moved() bool {
	there, err := os.Stat(l.path)
	if err != nil {
		return true
	}
	here, err := l.f.Stat()
	return err == nil && !os.SameFile(there, here)
}

func (l *logFile) Write(line []byte) (int, error) {
	if l.moved() {
		_ = l.reopen() // else the old one has to do
	}
	return l.f.Write(line)
}
