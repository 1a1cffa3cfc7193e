// Package redistest is what the tests of all packages share: a real redis-server to compare with, and
// a client that asks and answers in words. It is for tests only: whatever goes wrong ends the test,
// and what a test has started ends with it. Where a program is missing, the test is skipped; in CI it
// fails.
package redistest

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"byor/pkg/redistest/port"
)

// Need skips the test where one of programs is not installed. In CI, where all of them must be, it
// fails instead, so that no comparison with the real thing is ever left out unseen.
func Need(t testing.TB, programs ...string) {
	t.Helper()
	for _, program := range programs {
		if _, err := exec.LookPath(program); err != nil {
			if os.Getenv("CI") != "" {
				t.Fatalf("%s is not installed, and CI must have it", program)
			}
			t.Skipf("%s is not installed: this test needs the real thing", program)
		}
	}
}

// Has says whether a program is installed. In CI all are.
func Has(program string) bool {
	_, err := exec.LookPath(program)
	return err == nil || os.Getenv("CI") != ""
}

// Start runs a real redis-server in dir until the test ends, with args behind its command line, and
// returns the address of its TCP port. It saves nothing by itself unless args say so.
func Start(t testing.TB, dir string, args ...string) (addr string) {
	t.Helper()
	n := strconv.Itoa(Port(t))
	addr = net.JoinHostPort("127.0.0.1", n)
	run(t, addr, append([]string{"--port", n, "--dir", dir, "--save", ""}, args...))
	return addr
}

// StartSentinel runs a Sentinel until the test ends that watches the master at addr, whom it calls "m", and alone
// may fail over, with args behind its command line. It returns the address of the Sentinel and the file that it logs to.
func StartSentinel(t testing.TB, dir, master string, args ...string) (addr, log string) {
	t.Helper()
	Need(t, "redis-server")
	host, port, err := net.SplitHostPort(master)
	require.NoError(t, err)
	n := strconv.Itoa(Port(t))
	conf, log := filepath.Join(dir, "sentinel.conf"), filepath.Join(dir, "sentinel.log")
	require.NoError(t, os.WriteFile(conf, []byte("port "+n+"\nbind 127.0.0.1\ndir "+dir+"\nlogfile "+log+
		"\nsentinel monitor m "+host+" "+port+" 1\nsentinel down-after-milliseconds m 60000\n"), 0o600))
	addr = net.JoinHostPort("127.0.0.1", n)
	run(t, addr, append([]string{conf, "--sentinel"}, args...))
	return addr, log
}

// Port returns a TCP port of 127.0.0.1 that is the test's alone until it ends.
func Port(t testing.TB) int {
	t.Helper()
	n, release, err := port.Reserve()
	require.NoError(t, err)
	t.Cleanup(release)
	return n
}

// StartSocket does the same on a socket file, which nobody else can take, in a directory of its own,
// and returns the path of the socket.
func StartSocket(t testing.TB, args ...string) (path string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "redis") // t.TempDir may be too long for the path of a socket
	require.NoError(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	path = filepath.Join(dir, "s")
	run(t, path, append([]string{"--port", "0", "--unixsocket", path, "--dir", dir, "--save", ""}, args...))
	return path
}

// run starts redis-server and waits until it answers at addr.
func run(t testing.TB, addr string, args []string) {
	t.Helper()
	Need(t, "redis-server")
	cmd := exec.Command("redis-server", args...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	require.NoError(t, cmd.Start())
	exited := make(chan struct{})
	go func() {
		cmd.Wait()
		close(exited)
	}()
	t.Cleanup(func() {
		cmd.Process.Kill()
		<-exited
	})
	for end := time.Now().Add(time.Minute); !answers(addr); {
		select {
		case <-exited:
			t.Fatalf("redis-server %q has ended:\n%s", args, &out)
		case <-time.After(5 * time.Millisecond):
		}
		require.True(t, time.Now().Before(end), "redis-server does not answer")
	}
}

// answers reports whether a server is there and has loaded its data.
func answers(addr string) bool {
	conn, err := dial(addr)
	if err != nil {
		return false
	}
	defer conn.Close()
	io.WriteString(conn, "PING\r\n")
	line, _ := bufio.NewReader(conn).ReadString('\n')
	return line != "" && !strings.HasPrefix(line, "-LOADING") // it may well be an error: NOAUTH
}

// dial connects to host:port, or to a socket file.
func dial(addr string) (net.Conn, error) {
	network := "tcp"
	if filepath.IsAbs(addr) {
		network = "unix"
	}
	return net.Dial(network, addr)
}
