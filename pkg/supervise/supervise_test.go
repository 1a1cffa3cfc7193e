//go:build unix

package supervise

import (
	"net"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// patience is how long a test waits for what must come.
const patience = time.Minute

// systemd is the other end of NOTIFY_SOCKET.
type systemd struct {
	t    *testing.T
	path string
	conn *net.UnixConn
}

// listenAt plays systemd at a path, or at an abstract name, which begins with @.
func listenAt(t *testing.T, path string) *systemd {
	t.Helper()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	require.NoError(t, conn.SetReadDeadline(time.Now().Add(patience)))
	return &systemd{t, path, conn}
}

// listen plays systemd in a directory of the test's own. A path of a socket may not be long.
func listen(t *testing.T) *systemd {
	t.Helper()
	dir, err := os.MkdirTemp("", "n")
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return listenAt(t, filepath.Join(dir, "s"))
}

// hears returns the next message.
func (s *systemd) hears() string {
	s.t.Helper()
	b := make([]byte, 4096)
	n, err := s.conn.Read(b)
	require.NoError(s.t, err)
	return string(b[:n])
}

// env is an environment.
func env(nameValue ...string) func(string) string {
	return func(name string) string {
		for i := 0; i < len(nameValue); i += 2 {
			if nameValue[i] == name {
				return nameValue[i+1]
			}
		}
		return ""
	}
}

func TestSystemdHearsHowFarTheServerIs(t *testing.T) {
	places := []*systemd{listen(t)}
	if runtime.GOOS == "linux" {
		places = append(places, listenAt(t, "@byor-supervise-"+strconv.Itoa(os.Getpid())))
	}
	for _, sd := range places {
		s := Open(Systemd, env("NOTIFY_SOCKET", sd.path))
		require.Equal(t, Systemd, s.Mode())
		require.Equal(t, "STATUS=Redis is loading...\n", sd.hears())
		s.Status("Ready to accept connections")
		s.Ready()
		s.Reloading()
		s.Stopping()
		require.Equal(t, "STATUS=Ready to accept connections\n", sd.hears())
		require.Equal(t, "READY=1\n", sd.hears())
		reload := regexp.MustCompile(`^RELOADING=1\nMONOTONIC_USEC=(\d+)\n$`).FindStringSubmatch(sd.hears())
		require.Len(t, reload, 2)
		if runtime.GOOS == "linux" {
			require.NotEqual(t, "0", reload[1])
		}
		require.Equal(t, "STOPPING=1\n", sd.hears())
	}
}

// What stands in the environment, and what the log says about it: Redis's words, as its log has them.
func TestOpen(t *testing.T) {
	sd := listen(t)
	gone := filepath.Join(t.TempDir(), "gone")
	const supervised = "*Supervised by systemd. Please make sure you set appropriate values for TimeoutStartSec and TimeoutStopSec in your service unit."
	for _, c := range []struct {
		mode  string
		env   []string
		want  string
		notes []string
	}{
		{None, []string{"NOTIFY_SOCKET", sd.path}, None, nil},
		{Auto, nil, None, nil},
		{Auto, []string{"NOTIFY_SOCKET", sd.path}, Systemd, []string{"-Systemd supervision detected.", supervised}},
		{Systemd, []string{"NOTIFY_SOCKET", sd.path}, Systemd, []string{supervised}},
		{Systemd, nil, None, []string{"#systemd supervision error: NOTIFY_SOCKET not found!"}},
		{Systemd, []string{"NOTIFY_SOCKET", gone}, None, []string{"#systemd supervision error: sd_notify: -2"}},
		{Systemd, []string{"NOTIFY_SOCKET", "relative"}, None, []string{"#systemd supervision error: sd_notify: -22"}},
		{Upstart, nil, None, []string{"#upstart supervision requested, but UPSTART_JOB not found!"}},
	} {
		s := Open(c.mode, env(c.env...))
		require.Equal(t, c.want, s.Mode(), "%v", c)
		var notes []string
		for _, n := range s.Notes() {
			notes = append(notes, string(n.Mark)+n.Text)
		}
		require.Equal(t, c.notes, notes, "%v", c)
		s.Ready() // does nothing where nobody listens
		if c.want == Systemd {
			require.Equal(t, "STATUS=Redis is loading...\n", sd.hears())
			require.Equal(t, "READY=1\n", sd.hears())
		}
	}
}

func TestNobodySupervises(t *testing.T) {
	var s *Supervisor
	s.Status("x")
	s.Ready()
	s.Stopping()
	require.Equal(t, None, s.Mode())
	require.Zero(t, s.WatchPeriod())
	require.Empty(t, s.Notes())
}

func TestWatchPeriod(t *testing.T) {
	sd := listen(t)
	for _, c := range []struct {
		usec, pid string
		want      time.Duration
	}{
		{"3000000", "", 1500 * time.Millisecond}, {"3000000", strconv.Itoa(os.Getpid()), 1500 * time.Millisecond},
		{"3000000", "1", 0}, {"", "", 0}, {"0", "", 0}, {"-5", "", 0}, {"much", "", 0}, {"9223372036854775807", "", 0},
	} {
		s := Open(Systemd, env("NOTIFY_SOCKET", sd.path, "WATCHDOG_USEC", c.usec, "WATCHDOG_PID", c.pid))
		require.Equal(t, c.want, s.WatchPeriod(), "%v", c)
		require.Contains(t, sd.hears(), "loading")
	}
	require.Zero(t, Open(None, env("NOTIFY_SOCKET", sd.path, "WATCHDOG_USEC", "3000000")).WatchPeriod())
}

// The watchdog is fed after the server has shown that it lives, and not before.
func TestWatchWaitsForASignOfLife(t *testing.T) {
	sd := listen(t)
	s := Open(Systemd, env("NOTIFY_SOCKET", sd.path, "WATCHDOG_USEC", "1000000"))
	require.Contains(t, sd.hears(), "loading")
	ticks, stop, asked, answer := make(chan time.Time), make(chan struct{}), make(chan bool), make(chan bool)
	over := make(chan bool)
	go func() {
		s.Watch(ticks, stop, func() { asked <- true; <-answer })
		close(over)
	}()
	ticks <- time.Now()
	<-asked // and it hangs
	s.Status("hung")
	answer <- true
	require.Equal(t, "STATUS=hung\n", sd.hears())
	require.Equal(t, "WATCHDOG=1\n", sd.hears())
	close(stop)
	<-over
}
