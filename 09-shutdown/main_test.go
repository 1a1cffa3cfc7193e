package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"byor/pkg/basics"
	"byor/pkg/redistest"
	"byor/pkg/resp"
)

// start serves dir on a free port. end stops the server as a signal would and waits until it is over;
// it is called at the end of the test if it was not before.
func start(t *testing.T, dir string, useLog bool, master string) (s *server, addr string, end func() error) {
	t.Helper()
	s, err := newServer(&basics.Options{Dir: dir, UseLog: useLog, Policy: "everysec"}, master)
	require.NoError(t, err)
	s.ln, err = net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	go basics.Sweep(ctx, &s.mu, s.data, func() bool { return s.stopping })
	if master != "" {
		go s.follow(ctx, "7777")
	}
	done := make(chan struct{})
	go func() {
		s.serve(s.ln)
		s.drain()
		s.disk.Close()
		close(done)
	}()
	end = func() error {
		s.mu.Lock()
		err := s.stop("")
		s.mu.Unlock()
		if err != nil {
			return err
		}
		<-done
		cancel()
		return nil
	}
	t.Cleanup(func() { end() })
	return s, s.ln.Addr().String(), end
}

func TestEverythingIsThereAfterwards(t *testing.T) {
	for _, useLog := range []bool{false, true} {
		dir := t.TempDir()
		_, addr, end := start(t, dir, useLog, "")
		c := redistest.Dial(t, addr)
		c.Do("SET a 1")
		c.Do("SELECT 5")
		c.Do("SET b 2 EX 1000")
		require.NoError(t, end())
		require.Empty(t, c.Closed())
		_, err := net.Dial("tcp", addr)
		require.Error(t, err)
		_, err = os.Stat(filepath.Join(dir, "dump.rdb"))
		require.Equal(t, useLog, err != nil, "with a log there is nothing more to save")
		_, addr, _ = start(t, dir, useLog, "")
		c = redistest.Dial(t, addr)
		require.Equal(t, "1", c.Do("GET a"))
		c.Do("SELECT 5")
		require.Equal(t, "1000", c.Do("TTL b"))
	}
}

func TestShutdown(t *testing.T) {
	dir := t.TempDir()
	_, addr, _ := start(t, dir, false, "")
	c := redistest.Dial(t, addr)
	c.Do("SET a saved")
	for _, command := range []string{"SHUTDOWN maybe", "SHUTDOWN SAVE NOSAVE"} {
		require.Equal(t, "-ERR syntax error", c.Do(command))
	}
	fmt.Fprint(c, "SHUTDOWN save\r\n")
	require.Empty(t, c.Closed())
	_, addr, _ = start(t, dir, false, "")
	c = redistest.Dial(t, addr)
	require.Equal(t, "saved", c.Do("GET a"))
	c.Do("SET a lost")
	fmt.Fprint(c, "SHUTDOWN NOSAVE\r\nSET b 1\r\n")
	require.Empty(t, c.Closed(), "what follows is not executed")
	_, addr, _ = start(t, dir, false, "")
	require.Equal(t, "saved", redistest.Dial(t, addr).Do("GET a"))
}

func TestAFailedSaveIsNoEnd(t *testing.T) {
	dir := t.TempDir()
	_, addr, end := start(t, dir, false, "")
	c := redistest.Dial(t, addr)
	c.Do("SET a 1")
	require.NoError(t, os.Rename(dir, dir+"-away"))
	require.Equal(t, "-ERR Errors trying to SHUTDOWN. Check logs.", c.Do("SHUTDOWN"))
	require.Error(t, end())
	require.Equal(t, "1", c.Do("GET a"))
	require.Equal(t, "OK", redistest.Dial(t, addr).Do("SET b 2"), "and newcomers are welcome")
	require.NoError(t, os.Rename(dir+"-away", dir))
	require.NoError(t, end())
	c.Closed()
}

// The data at the end are the data on the disk, not those of a BGSAVE that was still running.
func TestABgsaveIsGivenUp(t *testing.T) {
	dir := t.TempDir()
	s, addr, end := start(t, dir, false, "")
	c := redistest.Dial(t, addr)
	c.Do("SET a old")
	s.mu.Lock()
	d := s.disk.Begin()
	s.mu.Unlock()
	c.Do("SET a new")
	require.NoError(t, end())
	require.ErrorIs(t, d.Save(dir, &s.mu), basics.ErrEnded)
	names, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, names, 1, "and leaves no temporary file")
	_, addr, _ = start(t, dir, false, "")
	require.Equal(t, "new", redistest.Dial(t, addr).Do("GET a"))
}

// lazily is text that is made when it is printed.
type lazily func() string

func (f lazily) String() string { return f() }

// Clients in all kinds of sleep are woken, and every goroutine ends.
func TestDrain(t *testing.T) {
	before := runtime.NumGoroutine() // and one more will be that which looks, in Eventually
	s, addr, end := start(t, t.TempDir(), false, "")
	var conns []*redistest.Conn
	for i := range 12 {
		c := redistest.Dial(t, addr)
		conns = append(conns, c)
		switch i % 4 {
		case 0:
			c.Do("PING")
		case 1:
			fmt.Fprint(c, "*2\r\n$3\r\nGET\r\n$100\r\nhalf of a key")
		case 2:
			c.Do("SUBSCRIBE ch")
		case 3:
			fmt.Fprint(c, "PSYNC ? -1\r\n")
			_, err := io.ReadFull(c, make([]byte, 10))
			require.NoError(t, err)
		}
	}
	require.Eventually(t, func() bool { s.mu.Lock(); defer s.mu.Unlock(); return len(s.clients) == 12 }, time.Minute, time.Millisecond)
	require.NoError(t, end())
	for i, c := range conns {
		if i%4 != 3 {
			require.Empty(t, c.Closed())
		}
		c.Close()
	}
	require.Empty(t, s.clients)
	stacks := make([]byte, 1<<20)
	require.Eventually(t, func() bool { return runtime.NumGoroutine() <= before+1 }, time.Minute, time.Millisecond,
		"a goroutine is left:\n%s", lazily(func() string { return string(stacks[:runtime.Stack(stacks, true)]) }))
}

// Under load: each client gets whole replies, then the end, and no acknowledged INCR is lost.
func TestPipelinesInFlight(t *testing.T) {
	for _, useLog := range []bool{false, true} {
		dir := t.TempDir()
		_, addr, end := start(t, dir, useLog, "")
		acked := make([]string, 6)
		var wg sync.WaitGroup
		running := make(chan struct{}, 1000)
		var begun sync.WaitGroup // each has had an answer
		begun.Add(len(acked))
		for i := range acked {
			c := redistest.Dial(t, addr)
			wg.Go(func() {
				first := sync.OnceFunc(begun.Done)
				defer first()
				burst := bytes.Repeat(resp.AppendCommandStrings(nil, "INCR", fmt.Sprint("n", i)), 50)
				for {
					if _, err := c.Write(burst); err != nil {
						return
					}
					for range 50 {
						v, err := c.R.ReadValue()
						if err != nil {
							if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, os.ErrDeadlineExceeded) {
								t.Error(err)
							}
							return
						}
						acked[i] = redistest.Text(v)
					}
					first()
					select {
					case running <- struct{}{}:
					default:
					}
				}
			})
		}
		for range 100 {
			<-running
		}
		begun.Wait()
		require.NoError(t, end())
		wg.Wait()
		_, addr, _ = start(t, dir, useLog, "")
		c := redistest.Dial(t, addr)
		for i, want := range acked {
			got, err := strconv.Atoi(c.Do(fmt.Sprint("GET n", i)))
			require.NoError(t, err)
			n, _ := strconv.Atoi(want)
			require.GreaterOrEqual(t, got, n)
		}
	}
}

// With pkg/repl a link that breaks is taken up again where it was.
func TestReplication(t *testing.T) {
	m, master, _ := start(t, t.TempDir(), false, "")
	_, replica, _ := start(t, t.TempDir(), false, master)
	host, port, _ := net.SplitHostPort(replica)
	third := redistest.Start(t, t.TempDir(), "--replicaof", host, port)
	redistest.Dial(t, master).Do("SET a 1 EX 1000")
	redistest.Dial(t, replica).Eventually("1", "GET a")
	redistest.Dial(t, third).Eventually("1", "GET a")
	redistest.Dial(t, replica).Eventually("-READONLY You can't write against a read only replica.", "SET a 2")
	m.repl.EndAll()
	redistest.Dial(t, master).Do("INCR a")
	redistest.Dial(t, replica).Eventually("2", "GET a")
	redistest.Dial(t, third).Eventually("2", "GET a")
	c := redistest.Dial(t, third)
	c.Do("SUBSCRIBE news")
	redistest.Dial(t, master).Do("PUBLISH news hello")
	require.Equal(t, "message news hello", c.Reply())
}

func TestWeFollowRedis(t *testing.T) {
	master := redistest.Start(t, t.TempDir(), "--repl-diskless-sync-delay", "0")
	m := redistest.Dial(t, master)
	m.Do("SET a 1")
	dir := t.TempDir()
	_, replica, end := start(t, dir, false, master)
	c := redistest.Dial(t, replica)
	c.Eventually("1", "GET a")
	m.Do("INCR a")
	require.Equal(t, "1", m.Do("WAIT 1 10000"))
	require.Equal(t, "2", c.Do("GET a"))
	require.NoError(t, end())
	_, alone, _ := start(t, dir, false, "")
	require.Equal(t, "2", redistest.Dial(t, alone).Do("GET a"), "a replica saves, too")
}

// program builds and starts the step in dir.
func program(t *testing.T, dir string) (cmd *exec.Cmd, addr string) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("signals cannot be sent on Windows")
	}
	bin := redistest.Program(t, "09-shutdown")
	cmd = exec.Command(bin, "-addr", "127.0.0.1:0", "-dir", dir)
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	lines := bufio.NewScanner(stdout)
	require.True(t, lines.Scan())
	require.Contains(t, lines.Text(), "redis-cli -p ")
	return cmd, strings.TrimSuffix(strings.Fields(lines.Text())[3], ".")
}

func TestSignals(t *testing.T) {
	for _, sig := range []os.Signal{os.Interrupt, syscall.SIGTERM} {
		dir := t.TempDir()
		cmd, addr := program(t, dir)
		c := redistest.Dial(t, addr)
		c.Do("SET a 1")
		require.NoError(t, cmd.Process.Signal(sig))
		require.NoError(t, cmd.Wait(), "exit code 0")
		_, err := os.Stat(filepath.Join(dir, "dump.rdb"))
		require.NoError(t, err)
	}
}

func TestASecondSignalForces(t *testing.T) {
	cmd, addr := program(t, t.TempDir())
	c := redistest.Dial(t, addr)
	require.NoError(t, c.Conn.(*net.TCPConn).SetReadBuffer(4096))
	c.Write(resp.AppendCommandStrings(nil, "SET", "big", strings.Repeat("x", 1<<25)))
	require.Equal(t, "OK", c.Reply())
	c.Write(resp.AppendCommandStrings(nil, "GET", "big")) // a reply that no buffer can hold, and nobody reads
	b := make([]byte, 1)
	_, err := c.Read(b)
	require.NoError(t, err)
	require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
	require.Eventually(t, func() bool { _, err := net.Dial("tcp", addr); return err != nil }, time.Minute, time.Millisecond, "the door is closed")
	require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
	var exit *exec.ExitError
	require.ErrorAs(t, cmd.Wait(), &exit)
	require.Equal(t, 1, exit.ExitCode())
}
