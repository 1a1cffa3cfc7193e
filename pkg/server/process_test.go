//go:build unix

package server

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"byor/pkg/redistest"
	"byor/pkg/resp"

	"github.com/stretchr/testify/require"
)

// Tests of what outlives a process run the program itself: step 10, built once.
func TestMain(m *testing.M) { os.Exit(redistest.Main(m)) }

// capstone returns the path of step 10's program.
func capstone(t testing.TB) string { return redistest.Program(t, "10-websocket-capstone") }

// execOutput runs a program and returns what it prints.
func execOutput(name string, args ...string) (string, error) {
	out, err := exec.Command(name, args...).CombinedOutput()
	return string(out), err
}

func listenLoopback(t testing.TB) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	return ln
}

// process is a server in a process of its own, ours or a real one, that listens on a socket file.
type process struct {
	t    testing.TB
	cmd  *exec.Cmd
	sock string
	out  output
	done chan struct{} // closed when it has ended
}

// output is the file that a process prints to. No pipe: what it has printed is there at once.
type output struct{ path string }

func (o output) String() string {
	b, err := os.ReadFile(o.path)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// launch starts a program with the options of redis-server. command may begin with a wrapper such as
// strace. It does not wait for anything.
func launch(t testing.TB, command []string, dir string, options ...string) *process {
	t.Helper()
	sock := filepath.Join(shortDir(t), "sock")
	args := []string{"--port", "0", "--unixsocket", sock, "--dir", dir, "--save", "", "--enable-debug-command", "yes"}
	return startProcess(t, sock, command, nil, append(args, options...))
}

// startProcess starts a program with a command line as it is. A server comes to listen on sock.
func startProcess(t testing.TB, sock string, command []string, tune func(*exec.Cmd), args []string) *process {
	t.Helper()
	p := &process{t: t, sock: sock, out: output{filepath.Join(shortDir(t), "out")}, done: make(chan struct{})}
	p.cmd = exec.Command(command[0], append(command[1:len(command):len(command)], args...)...)
	if tune != nil {
		tune(p.cmd)
	}
	out, err := os.Create(p.out.path)
	require.NoError(t, err)
	defer out.Close()
	p.cmd.Stdout, p.cmd.Stderr = out, out
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	require.NoError(t, p.cmd.Start())
	go func() {
		_ = p.cmd.Wait()
		close(p.done)
	}()
	t.Cleanup(p.kill)
	return p
}

// launchOurs starts step 10, launchRedis a real redis-server; both wait until it has loaded its data.
func launchOurs(t testing.TB, dir string, options ...string) *process {
	t.Helper()
	p := launch(t, []string{capstone(t)}, dir, append([]string{"--http-port", "0"}, options...)...)
	p.ready()
	return p
}

func launchRedis(t testing.TB, dir string, options ...string) *process {
	t.Helper()
	redistest.Need(t, "redis-server")
	p := launch(t, []string{"redis-server"}, dir, options...)
	p.ready()
	return p
}

// ready waits until the server answers commands.
func (p *process) ready() {
	p.t.Helper()
	require.True(p.t, p.answers(), "the server does not run:\n%s", p.out)
}

// answers reports whether the server comes to answer commands, and false if it ends instead.
func (p *process) answers() bool {
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		select {
		case <-p.done:
			return false
		default:
		}
		conn, err := net.Dial("unix", p.sock)
		if err != nil {
			continue
		}
		conn.SetDeadline(time.Now().Add(time.Minute))
		_, err = conn.Write([]byte("EXISTS x\r\n"))
		v, readErr := resp.NewReader(conn).ReadValue()
		conn.Close()
		if err == nil && readErr == nil && (!v.IsError() || strings.HasPrefix(string(v.Str), "NOAUTH")) {
			return true
		}
	}
	return false
}

func (p *process) dial() *testConn {
	p.t.Helper()
	conn, err := net.Dial("unix", p.sock)
	require.NoError(p.t, err)
	p.t.Cleanup(func() { conn.Close() })
	return over(p.t, conn)
}

// kill is kill -9, for the wrapper's children, too.
func (p *process) kill() {
	select {
	case <-p.done: // its number may be another's by now
	default:
		_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
		<-p.done
	}
}

// stop ends the server by SIGTERM and requires that it ends well.
func (p *process) stop() {
	p.t.Helper()
	require.NoError(p.t, p.cmd.Process.Signal(syscall.SIGTERM))
	require.Equal(p.t, 0, p.wait(), p.out)
}

// wait returns the exit code.
func (p *process) wait() int {
	p.t.Helper()
	select {
	case <-p.done:
	case <-time.After(time.Minute):
		p.kill()
		require.Fail(p.t, "the server does not end", p.out.String())
	}
	return p.cmd.ProcessState.ExitCode()
}
