// Package servers finds, builds, starts and ends the servers of a race, and asks the system what they use.
package servers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"time"

	"byor/10-websocket-capstone/bench/client"
	"byor/pkg/redistest/port"
)

// Server is one that runs.
type Server struct {
	Name    string
	Addr    string
	Version string // what it says it is; "" if it does not
	Keeps   string // what it writes to disk, and when; "" if it does not tell
	pid     int    // 0: unknown, or not of this machine
	// Of a server that was started here:
	cmd   *exec.Cmd
	ended chan struct{} // closed when it has ended
	free  func()        // gives its port back
	own   string        // its directory, if it is to be removed
	log   *bytes.Buffer // what it printed; to be read when it has ended
}

// Start starts a server with further arguments in the style of redis-server's command line. Its files are in dir, or
// with "" in a directory that Stop removes. It keeps nothing on disk unless extra says so. A source that is an address
// gives the server there, which knows nothing of dir and extra.
func (s *Source) Start(ctx context.Context, dir string, extra ...string) (*Server, error) {
	if !s.Starts() {
		t := &Server{Name: s.Name, Addr: s.addr}
		if err := client.Ping(ctx, t.Addr); err != nil {
			return nil, fmt.Errorf("%s: %w", s.Name, err)
		}
		t.introduce(ctx)
		return t, nil
	}
	t := &Server{Name: s.Name, log: &bytes.Buffer{}, ended: make(chan struct{})}
	if dir == "" {
		own, err := os.MkdirTemp("", "bench-server-")
		if err != nil {
			return nil, err
		}
		dir, t.own = own, own
	}
	n, free, err := port.Reserve()
	if err != nil {
		_ = os.RemoveAll(t.own)
		return nil, err
	}
	t.free, t.Addr = free, "127.0.0.1:"+strconv.Itoa(n)
	args := []string{"--port", strconv.Itoa(n), "--bind", "127.0.0.1", "--dir", dir, "--save", "", "--appendonly", "no"}
	t.cmd = exec.Command(s.bin, append(append(args, s.args...), extra...)...)
	t.cmd.Stdout, t.cmd.Stderr = t.log, t.log
	if err := t.cmd.Start(); err != nil {
		free()
		_ = os.RemoveAll(t.own)
		return nil, err
	}
	t.pid = t.cmd.Process.Pid
	go func() {
		_ = t.cmd.Wait()
		close(t.ended)
	}()
	if err := t.awaitPong(ctx); err != nil {
		t.Stop()
		return nil, fmt.Errorf("starting %s: %w\n%s", s.Name, err, t.log)
	}
	t.introduce(ctx)
	return t, nil
}

// loadLimit is how long a server may load its files before it answers.
const loadLimit = 3 * time.Minute

// awaitPong waits until the server answers PING: not when it starts, nor while it loads.
func (t *Server) awaitPong(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, loadLimit)
	defer cancel()
	for {
		err := client.Ping(ctx, t.Addr)
		if err == nil {
			return nil
		}
		select {
		case <-t.ended:
			return errors.New("it has ended")
		case <-ctx.Done():
			return fmt.Errorf("no answer to PING: %w", err)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// introduce asks the server what it is and what it keeps.
func (t *Server) introduce(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	c, err := client.Dial(ctx, t.Addr)
	if err != nil {
		return
	}
	defer func() { _ = c.Close() }()
	info := c.Info("server")
	t.Version = info["redis_version"]
	if t.pid == 0 {
		t.pid = processHere(t.Addr, info["process_id"])
	}
	t.Keeps = keeping(c)
}

func keeping(c *client.Conn) string {
	log, known := c.Config("appendonly")
	if !known {
		return ""
	}
	if fsync, ok := c.Config("appendfsync"); ok && log == "yes" {
		log += ", fsync " + fsync
	}
	save, _ := c.Config("save")
	if save == "" {
		save = "never"
	}
	return fmt.Sprintf("append-only file: %s, snapshots: %s", log, save)
}

// Stop ends a server that was started here, as a signal to a service would, and removes its directory.
func (t *Server) Stop() { t.end(os.Interrupt) }

// Kill ends it without a last word, so that it saves nothing.
func (t *Server) Kill() { t.end(os.Kill) }

func (t *Server) end(sig os.Signal) {
	if t.cmd == nil {
		return
	}
	if t.cmd.Process.Signal(sig) != nil { // Windows has no signals
		_ = t.cmd.Process.Kill()
	}
	timer := time.AfterFunc(10*time.Second, func() { _ = t.cmd.Process.Kill() })
	<-t.ended
	timer.Stop()
	t.free()
	if t.own != "" {
		_ = os.RemoveAll(t.own)
	}
}

// Self is the bench itself, to be asked for its CPU.
func Self() *Server { return &Server{Name: "bench", pid: os.Getpid()} }
