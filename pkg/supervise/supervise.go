// Package supervise is what a server has to do with whoever started it: systemd, upstart, or a shell that wants it
// out of the way. It tells systemd how far it is (sd_notify) and that it is still alive (the watchdog), and it
// starts the program anew apart from its terminal (daemonize). It knows no server.
//
// The protocol of systemd is a datagram of lines NAME=value to the socket that NOTIFY_SOCKET names: see
// sd_notify(3) and sd_watchdog_enabled(3). Which messages are sent when, and in which words, is as in Redis 7.0,
// which has no watchdog and no reload.
package supervise

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"syscall"
	"time"
)

// What the parameter supervised takes.
const (
	None    = "no"
	Systemd = "systemd"
	Upstart = "upstart"
	Auto    = "auto" // whichever of the two the environment tells of
)

// Note is a line for the log, which cannot be written yet when a Supervisor is opened.
type Note struct {
	Mark byte // the level as it stands in Redis's log: '-' verbose, '*' notice, '#' warning
	Text string
}

// Supervisor is whoever started the process. It is safe for concurrent use. A nil one is nobody, and so is one
// that could not be reached: telling it something does nothing.
type Supervisor struct {
	mode     string
	socket   string        // NOTIFY_SOCKET, where mode is Systemd
	watchdog time.Duration // after so much silence systemd gives the process up; 0: never
	notes    []Note
}

// Open greets the supervisor that mode asks for: systemd hears that the server loads, upstart sees the process
// stop until it says go on. What is wrong stands in Notes, and the server then runs as if nobody supervised it, as
// Redis does. getenv is os.Getenv.
func Open(mode string, getenv func(string) string) *Supervisor {
	s := &Supervisor{mode: None}
	if mode == Auto {
		mode = s.detect(getenv)
	}
	switch mode {
	case Upstart:
		s.openUpstart(getenv)
	case Systemd:
		s.openSystemd(getenv)
	}
	return s
}

func (s *Supervisor) note(mark byte, format string, args ...any) {
	s.notes = append(s.notes, Note{mark, fmt.Sprintf(format, args...)})
}

func (s *Supervisor) detect(getenv func(string) string) string {
	switch {
	case getenv("UPSTART_JOB") != "":
		s.note('-', "Upstart supervision detected.")
		return Upstart
	case getenv("NOTIFY_SOCKET") != "":
		s.note('-', "Systemd supervision detected.")
		return Systemd
	}
	return None
}

func (s *Supervisor) openUpstart(getenv func(string) string) {
	if getenv("UPSTART_JOB") == "" {
		s.note('#', "upstart supervision requested, but UPSTART_JOB not found!")
		return
	}
	if err := stopSelf(); err != nil {
		s.note('#', "upstart supervision requested, but the process cannot stop itself: %v", err)
		return
	}
	s.note('*', "supervised by upstart, will stop to signal readiness.")
	s.mode = Upstart
}

func (s *Supervisor) openSystemd(getenv func(string) string) {
	s.socket = getenv("NOTIFY_SOCKET")
	if s.socket == "" {
		s.note('#', "systemd supervision error: NOTIFY_SOCKET not found!")
		return
	}
	if err := s.send("STATUS=Redis is loading...\n"); err != nil {
		s.note('#', "systemd supervision error: sd_notify: %s", negative(err))
		return
	}
	s.note('*', "Supervised by systemd. Please make sure you set appropriate values for TimeoutStartSec and TimeoutStopSec in your service unit.")
	s.mode = Systemd
	if pid := getenv("WATCHDOG_PID"); pid != "" && pid != strconv.Itoa(os.Getpid()) {
		return // meant for another process, whose environment we were given
	}
	if us, err := strconv.ParseInt(getenv("WATCHDOG_USEC"), 10, 64); err == nil && us > 0 && us <= int64(1<<63-1)/1000 {
		s.watchdog = time.Duration(us) * time.Microsecond
	}
}

// send hands one datagram to systemd. The socket is opened anew each time, as sd_notify does: messages are few, and
// systemd may have been restarted.
func (s *Supervisor) send(message string) error {
	if s.socket[0] != '/' && s.socket[0] != '@' {
		return syscall.EINVAL
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: s.socket, Net: "unixgram"}) // which knows what an @ means
	if err != nil {
		return err
	}
	defer conn.Close()
	_, err = conn.Write([]byte(message))
	return err
}

// negative writes an error as sd_notify returns it: a number of the system, below 0.
func negative(err error) string {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return strconv.Itoa(-int(errno))
	}
	return err.Error()
}

// Mode returns who supervises the process: None, Systemd or Upstart, and never Auto.
func (s *Supervisor) Mode() string {
	if s == nil {
		return None
	}
	return s.mode
}

// Notes returns what is to be logged about Open.
func (s *Supervisor) Notes() []Note {
	if s == nil {
		return nil
	}
	return s.notes
}

// say tells systemd something. That it cannot be told is no reason to serve worse.
func (s *Supervisor) say(message string) {
	if s.Mode() == Systemd {
		_ = s.send(message)
	}
}

// Status sets the line that `systemctl status` shows.
func (s *Supervisor) Status(text string) { s.say("STATUS=" + text + "\n") }

// Ready says that the server serves, at start or after Reloading.
func (s *Supervisor) Ready() { s.say("READY=1\n") }

// Reloading says that the server has heard a SIGHUP. Ready must follow. The message carries the time of the
// monotonic clock, by which systemd knows that its own signal is meant (Type=notify-reload).
func (s *Supervisor) Reloading() {
	s.say(fmt.Sprintf("RELOADING=1\nMONOTONIC_USEC=%d\n", monotonic().Microseconds()))
}

// Stopping says that the server ends because it wants to.
func (s *Supervisor) Stopping() { s.say("STOPPING=1\n") }

// WatchPeriod returns how often systemd wants to hear of the process: twice as often as it would lose patience. 0
// means never.
func (s *Supervisor) WatchPeriod() time.Duration {
	if s == nil {
		return 0
	}
	return s.watchdog / 2
}

// Watch tells systemd at each tick that the process is alive, until stop is closed. Before it does, it waits for
// alive to return. So alive has to do what the process is there for, and if that hangs, systemd hears nothing and
// starts the process anew.
func (s *Supervisor) Watch(ticks <-chan time.Time, stop <-chan struct{}, alive func()) {
	for {
		select {
		case <-stop:
			return
		case <-ticks:
			alive()
			s.say("WATCHDOG=1\n")
		}
	}
}
