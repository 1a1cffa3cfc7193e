//go:build unix

package main

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"byor/pkg/redistest"
)

// The program as a service: started by systemd, in the background, asked for its health.

// notified is a process that a systemd of the test's own has started.
type notified struct {
	t    *testing.T
	cmd  *exec.Cmd
	conn *net.UnixConn
}

// superviseIt starts a program as systemd would, with env besides.
func superviseIt(t *testing.T, env []string, program string, args ...string) *notified {
	t.Helper()
	path := filepath.Join(shortDir(t), "s")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	require.NoError(t, conn.SetReadDeadline(time.Now().Add(patience)))
	n := &notified{t: t, conn: conn, cmd: exec.Command(program, args...)}
	n.cmd.Env = append(append(os.Environ(), "NOTIFY_SOCKET="+path), env...)
	require.NoError(t, n.cmd.Start())
	t.Cleanup(func() { _ = n.cmd.Process.Kill(); _, _ = n.cmd.Process.Wait() })
	return n
}

// hears returns the next message that is not of the watchdog's.
func (n *notified) hears() string {
	n.t.Helper()
	b := make([]byte, 4096)
	for {
		k, err := n.conn.Read(b)
		require.NoError(n.t, err)
		if s := string(b[:k]); s != "WATCHDOG=1\n" {
			return s
		}
	}
}

// hearsWatchdog waits for a sign of life.
func (n *notified) hearsWatchdog() {
	n.t.Helper()
	b := make([]byte, 4096)
	k, err := n.conn.Read(b)
	require.NoError(n.t, err)
	require.Equal(n.t, "WATCHDOG=1\n", string(b[:k]))
}

func (n *notified) signal(sig syscall.Signal) {
	n.t.Helper()
	require.NoError(n.t, n.cmd.Process.Signal(sig))
}

func TestService(t *testing.T) {
	bin := redistest.Program(t, "10-websocket-capstone")
	for name, test := range map[string]func(t *testing.T, bin string){
		"systemd hears what it hears of Redis": testSystemd, "reload": testReload, "health": testHealth, "TLS": testTLS,
		"health of one that loads": testHealthLoading, "background": testBackground, "bash": testBash, "shells": testShells,
		"unit": testUnit, "image": testImage,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, bin)
		})
	}
}

// Both say the same in the same order, as a master and as a replica.
func testSystemd(t *testing.T, bin string) {
	redistest.Need(t, "redis-server")
	for _, role := range [][]string{nil, {"--replicaof", "127.0.0.1 1"}} {
		var heard [2][]string
		for i, program := range [][]string{{"redis-server"}, {bin, "--http-port", "0"}} {
			pidfile := filepath.Join(t.TempDir(), "pid")
			args := append(program[1:], "--port", strconv.Itoa(redistest.Port(t)), "--dir", t.TempDir(), "--supervised", "auto", "--save", "1 1", "--pidfile", pidfile)
			n := superviseIt(t, nil, program[0], append(args, role...)...)
			for range 3 { // loading, ready, READY=1
				heard[i] = append(heard[i], n.hears())
			}
			pid, err := os.ReadFile(pidfile)
			require.NoError(t, err)
			require.Equal(t, strconv.Itoa(n.cmd.Process.Pid)+"\n", string(pid))
			n.signal(syscall.SIGTERM)
			for range 2 { // stopping, saving
				heard[i] = append(heard[i], n.hears())
			}
			require.NoError(t, n.cmd.Wait())
			require.NoFileExists(t, pidfile)
		}
		require.Equal(t, heard[0], heard[1], "%v", role)
	}
}

// The watchdog is fed, SIGHUP opens the log anew, and INFO says who the supervisor is.
func testReload(t *testing.T, bin string) {
	log, port := filepath.Join(t.TempDir(), "log"), redistest.Port(t)
	n := superviseIt(t, []string{"WATCHDOG_USEC=10000"}, bin, "--port", strconv.Itoa(port), "--http-port", "0", "--dir", t.TempDir(),
		"--supervised", "systemd", "--logfile", log)
	require.Equal(t, "STATUS=Redis is loading...\n", n.hears())
	require.Equal(t, "STATUS=Ready to accept connections\n", n.hears())
	require.Equal(t, "READY=1\n", n.hears())
	n.hearsWatchdog()
	n.hearsWatchdog()
	require.NoError(t, os.Rename(log, log+".1"))
	n.signal(syscall.SIGHUP)
	require.Contains(t, n.hears(), "RELOADING=1\nMONOTONIC_USEC=")
	require.Equal(t, "READY=1\n", n.hears())
	said, err := os.ReadFile(log)
	require.NoError(t, err)
	require.Contains(t, string(said), "was opened anew")
	require.Contains(t, redistest.Dial(t, "127.0.0.1:"+strconv.Itoa(port)).Do("INFO server"), "process_supervised:systemd")
}

// ask runs the program's --health and returns what it said and its exit code.
func ask(t *testing.T, bin string, env []string, args ...string) (said string, code int) {
	t.Helper()
	cmd := exec.Command(bin, append([]string{"--health"}, args...)...)
	cmd.Env = append(os.Environ(), env...)
	out, _ := cmd.CombinedOutput()
	return string(out), cmd.ProcessState.ExitCode()
}

// asked is a question of --health: the environment, the arguments, what stands in the file conf, and what the answer
// has in it when the server is not healthy.
type asked struct {
	env  []string
	args []string
	conf string
	want string
}

func testHealth(t *testing.T, bin string) {
	dir := shortDir(t)
	sock, conf := filepath.Join(dir, "s"), filepath.Join(dir, "redis.conf")
	c := launch(t, bin, dir, "--unixsocket", sock, "--requirepass", "secret")
	port := strconv.Itoa(c.port)
	write := func(text string) {
		require.NoError(t, os.WriteFile(conf, []byte(text), 0o600))
	}
	password := []string{passwordEnv + "=secret"}
	nobody := strconv.Itoa(redistest.Port(t))
	for _, h := range []asked{
		{password, []string{port}, "", ""},
		{password, []string{"127.0.0.1:" + port}, "", ""},
		{password, []string{sock}, "", ""},
		{nil, []string{"redis://:secret@127.0.0.1:" + port}, "", ""},
		{nil, []string{"redis://default:secret@127.0.0.1:" + port}, "", ""},
		{nil, []string{"unix://" + sock}, "", "NOAUTH"},
		{password, []string{"unix://" + sock}, "", ""},
		{nil, []string{c.page}, "", ""},
		{nil, []string{c.page + "nosuch"}, "", "404"},
		{nil, []string{conf}, "port " + port + "\nrequirepass secret\n", ""},
		{nil, []string{conf}, "port " + port + "\nbind * -::*\nrequirepass secret\nlogfile " + dir + "/nolog\n", ""},
		{nil, []string{conf}, "port 0\nunixsocket " + sock + "\nrequirepass secret\n", ""},
		{nil, []string{conf, "--port", port}, "port 0\nrequirepass secret\n", ""},
		{nil, []string{conf, "-trace", "--fast-path", "wait=no"}, "port " + port + "\nrequirepass secret\n", ""},
		{nil, []string{conf, "--requirepass", "wrong"}, "port " + port + "\n", "WRONGPASS"},
		{nil, []string{conf}, "port 0\nhttp-port " + strings.TrimSuffix(c.page[strings.LastIndex(c.page, ":")+1:], "/") + "\n", ""},
		{nil, []string{conf}, "port 0\nhttp-port 0\n", "listens nowhere"},
		{nil, []string{"--port", port}, "", "REDISCLI_AUTH"},
		{nil, []string{nobody}, "", "refused"},
		{nil, []string{"http://127.0.0.1:" + nobody}, "", "refused"},
		{nil, []string{"ftp://127.0.0.1"}, "", "none of redis, rediss, unix, http and https"},
		{nil, []string{"nosuchfile"}, "", "can't open config file"},
		{nil, []string{redistest.Answering(t, "+NOTPONG\r\n")}, "", "NOTPONG"},
	} {
		write(h.conf)
		h.check(t, bin)
	}
	require.NoFileExists(t, filepath.Join(dir, "nolog"), "who asks creates nothing")
	// A password that nobody asks for does no harm.
	open := launch(t, bin, t.TempDir())
	said, code := ask(t, bin, password, strconv.Itoa(open.port))
	require.Equal(t, "healthy\n", said)
	require.Zero(t, code)
}

func (h asked) check(t *testing.T, bin string) {
	t.Helper()
	said, code := ask(t, bin, h.env, h.args...)
	if h.want == "" {
		require.Equal(t, "healthy\n", said, "%v", h.args)
		require.Zero(t, code, "%v", h.args)
		return
	}
	require.Contains(t, said, "unhealthy: ", "%v", h.args)
	require.Contains(t, said, h.want, "%v", h.args)
	require.Equal(t, 1, code, "%v", h.args)
}

// A server that loads answers, and is not healthy yet.
func testHealthLoading(t *testing.T, bin string) {
	said, code := ask(t, bin, nil, redistest.Answering(t, "-LOADING Redis is loading the dataset in memory\r\n"))
	require.Equal(t, "unhealthy: LOADING Redis is loading the dataset in memory\n", said)
	require.Equal(t, 1, code)
}

// daemonize: the command returns, the server stays, with its number in the pidfile, and reads what was piped in.
func testBackground(t *testing.T, bin string) {
	dir, port := t.TempDir(), strconv.Itoa(redistest.Port(t))
	pidfile, log := filepath.Join(dir, "pid"), filepath.Join(dir, "log")
	cmd := exec.Command(bin, "-", "--daemonize", "yes", "--pidfile", pidfile, "--fast-path", "wait=no")
	cmd.Stdin = strings.NewReader("port " + port + "\nhttp-port 0\nlogfile " + log + "\ndir " + dir + "\nsave 3600 1\n" +
		strings.Repeat("# more than a pipe holds\n", 10000))
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))
	require.Empty(t, string(out))
	require.Eventually(t, func() bool {
		b, _ := os.ReadFile(log)
		return strings.Contains(string(b), "Ready to accept connections")
	}, patience, 5*time.Millisecond)
	r := redistest.Dial(t, "127.0.0.1:"+port)
	t.Cleanup(func() {
		if nc, err := net.Dial("tcp", "127.0.0.1:"+port); err == nil {
			_, _ = nc.Write([]byte("SHUTDOWN NOSAVE\r\n"))
			_ = nc.Close()
		}
	})
	require.Contains(t, r.Do("CONFIG GET daemonize"), "yes")
	pid, err := os.ReadFile(pidfile)
	require.NoError(t, err)
	require.Contains(t, r.Do("INFO server"), "process_id:"+strings.TrimSpace(string(pid))+"\r\n")
	require.NotEqual(t, strconv.Itoa(cmd.Process.Pid), strings.TrimSpace(string(pid)))
	if runtime.GOOS == "linux" {
		line, err := os.ReadFile("/proc/" + strings.TrimSpace(string(pid)) + "/cmdline")
		require.NoError(t, err)
		require.Contains(t, string(line), "--fast-path\x00wait=no\x00", "what is no setting is passed on, too")
	}
	require.Equal(t, "OK", r.Do("SET k v"))
	_, err = r.Write([]byte("SHUTDOWN\r\n"))
	require.NoError(t, err)
	require.Empty(t, r.Closed())
	require.Eventually(t, func() bool { _, err := os.Stat(pidfile); return os.IsNotExist(err) }, patience, 5*time.Millisecond)
	require.FileExists(t, filepath.Join(dir, "dump.rdb"))

	// What is wrong is said by the process that the user sees.
	out, err = exec.Command(bin, "--daemonize", "yes", "--maxmemory", "much").CombinedOutput()
	require.Error(t, err)
	require.Contains(t, string(out), "argument must be a memory value")
}
