//go:build !windows && !plan9

package logs

import (
	"log/syslog"
)

// sysLog is the system's log, beside the file or the standard output. Its lines are the messages alone: process,
// time and level are for it to write. It is not safe for concurrent use.
type sysLog struct {
	ident, facility string
	w               *syslog.Writer // nil until it could be reached
}

var facilities = map[string]syslog.Priority{
	"user": syslog.LOG_USER, "local0": syslog.LOG_LOCAL0, "local1": syslog.LOG_LOCAL1, "local2": syslog.LOG_LOCAL2,
	"local3": syslog.LOG_LOCAL3, "local4": syslog.LOG_LOCAL4, "local5": syslog.LOG_LOCAL5, "local6": syslog.LOG_LOCAL6,
	"local7": syslog.LOG_LOCAL7,
}

// dialSyslog reaches the system's log. Tests listen elsewhere.
var dialSyslog = syslog.New

// write hands on a line. Where nobody takes it, it is lost, as with syslog(3), and the next is tried again.
func (l *sysLog) write(lvl Level, text string) {
	if l.w == nil {
		w, err := dialSyslog(facilities[l.facility]|syslog.LOG_NOTICE, l.ident)
		if err != nil {
			return
		}
		l.w = w
	}
	_ = [...]func(string) error{l.w.Debug, l.w.Info, l.w.Notice, l.w.Warning}[lvl](text)
}
