package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"byor/pkg/redistest/port"
)

// target is one server of the race.
type target struct {
	name string
	addr string
	// Of a server that the bench started itself:
	cmd  *exec.Cmd
	dir  string
	free func()        // gives its port back
	log  *bytes.Buffer // what it printed; read only once it has ended
}

// errNoRedis is said to whoever asks for a race without an opponent.
var errNoRedis = errors.New(`redis-server is not installed, so there is nothing to race against.
  macOS:         brew install redis
  Debian/Ubuntu: sudo apt install redis-server
  Fedora:        sudo dnf install redis
Without it, measure one server alone: -addr 127.0.0.1:6380`)

// startRedis starts a real redis-server on a free port in a directory of its own.
func startRedis(ctx context.Context, extra []string) (*target, error) {
	path, err := exec.LookPath("redis-server")
	if err != nil {
		return nil, errNoRedis
	}
	return start(ctx, "redis", path, extra)
}

// startCapstone builds step 10 from the module that the bench is run in, and
// starts it.
func startCapstone(ctx context.Context, extra []string) (*target, error) {
	dir, err := os.MkdirTemp("", "bench-build-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	bin := filepath.Join(dir, "capstone")
	build := exec.CommandContext(ctx, "go", "build", "-o", bin, "byor/10-websocket-capstone")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("building step 10: %w\n%s", err, out)
	}
	return start(ctx, "capstone", bin, append([]string{"--http-port", "0"}, extra...))
}

// start runs a server that understands redis-server's command line.
func start(ctx context.Context, name, path string, extra []string) (*target, error) {
	dir, err := os.MkdirTemp("", "bench-"+name+"-")
	if err != nil {
		return nil, err
	}
	n, free, err := port.Reserve()
	if err != nil {
		_ = os.RemoveAll(dir)
		return nil, err
	}
	t := &target{name: name, addr: "127.0.0.1:" + strconv.Itoa(n), dir: dir, free: free, log: &bytes.Buffer{}}
	args := append([]string{"--port", strconv.Itoa(n), "--bind", "127.0.0.1", "--dir", dir, "--save", "", "--appendonly", "no"}, extra...)
	t.cmd = exec.Command(path, args...)
	t.cmd.Stdout, t.cmd.Stderr = t.log, t.log
	if err := t.cmd.Start(); err != nil {
		free()
		_ = os.RemoveAll(dir)
		return nil, err
	}
	if err := t.awaitPong(ctx); err != nil {
		t.stop()
		return nil, fmt.Errorf("starting %s: %w\n%s", name, err, t.log)
	}
	return t, nil
}

// awaitPong waits until the server answers PING.
func (t *target) awaitPong(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	for {
		err := ping(ctx, t.addr)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("no answer to PING: %w", err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func ping(ctx context.Context, addr string) error {
	c, err := dial(ctx, addr)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(2 * time.Second))
	if _, err := c.Write([]byte("*1\r\n$4\r\nPING\r\n")); err != nil {
		return err
	}
	in := make([]byte, 256)
	n, err := c.Read(in)
	if err != nil {
		return err
	}
	if got := string(in[:n]); got != "+PONG\r\n" {
		return fmt.Errorf("the server says %q", strings.TrimSpace(got))
	}
	return nil
}

// stop ends a server that the bench started, and removes its directory.
func (t *target) stop() {
	if t.cmd == nil {
		return
	}
	if t.cmd.Process.Signal(os.Interrupt) != nil { // Windows has no signals
		_ = t.cmd.Process.Kill()
	}
	timer := time.AfterFunc(10*time.Second, func() { _ = t.cmd.Process.Kill() })
	_ = t.cmd.Wait()
	timer.Stop()
	t.free()
	_ = os.RemoveAll(t.dir)
}

// cpu returns the processor time that the server has used so far, where the
// system tells (Linux, for a server started here).
func (t *target) cpu() (time.Duration, bool) {
	if t.cmd == nil {
		return 0, false
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", t.cmd.Process.Pid))
	if err != nil {
		return 0, false
	}
	// The name in parentheses may have spaces; utime and stime are the 12th and
	// 13th field behind it, in ticks of 10 ms.
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) < 13 {
		return 0, false
	}
	user, err1 := strconv.Atoi(fields[11])
	system, err2 := strconv.Atoi(fields[12])
	return time.Duration(user+system) * 10 * time.Millisecond, err1 == nil && err2 == nil
}
