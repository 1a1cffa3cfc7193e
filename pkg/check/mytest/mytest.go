// Package mytest judges a test. A learner writes my_test.go against the address of a server; here it meets the
// step's finished server, where it must pass, and the same server with one mistake at a time, where it should fail.
// What a test is worth is what it catches.
//
// The file is compiled alone, whatever else stands in its folder, and runs once for each server with
//
//	ADDR    host:port of a server that runs
//	DIR     that server's data directory
//	SERVER  the same server as a program, with which the test can start others (-addr, and -dir where the step has it)
//
// in its environment. A run has a time limit. A test that hangs or crashes has failed.
package mytest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"byor/pkg/check/process"
)

// File is what a learner writes.
const File = "my_test.go"

// Steps are those with the exercise "Write the test".
var Steps = []int{2, 4, 6, 8}

// At says whether step is one of them.
func At(step int) bool { return slices.Contains(Steps, step) }

// Test is a compiled my_test.go.
type Test struct {
	Names []string // of its test functions

	bin string
	dir string // it runs there, as go test has it
	tmp string // for what it leaves behind
}

// Compile compiles dir/my_test.go, a path below root, to a program in tmp. Its errors are meant for the learner.
func Compile(ctx context.Context, root, dir, tmp string) (*Test, error) {
	path := filepath.Join(root, dir, File)
	if filepath.IsAbs(dir) {
		path = filepath.Join(dir, File)
	}
	file := filepath.ToSlash(filepath.Join(dir, File))
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("there is no %s yet; the section \"Write the test\" of the step's EXERCISES.md shows how to begin", file)
	}
	t := &Test{bin: filepath.Join(tmp, "my.test"), dir: filepath.Dir(path), tmp: filepath.Join(tmp, "tmp")}
	if runtime.GOOS == "windows" {
		t.bin += ".exe"
	}
	if err := os.MkdirAll(t.tmp, 0o755); err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, "go", "test", "-c", "-ldflags=-s -w", "-o", t.bin, path) // no symbols: links in half the time
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%s does not compile:\n%s", file, out)
	}
	out, err := exec.CommandContext(ctx, t.bin, "-test.list", "^Test").Output()
	if err != nil {
		return nil, fmt.Errorf("%s cannot say which tests it has: %w", file, err)
	}
	if t.Names = strings.Fields(string(out)); len(t.Names) == 0 {
		return nil, fmt.Errorf("%s has no test: a test is a function func TestName(t *testing.T)", file)
	}
	return t, nil
}

// run is how a test ended.
type run struct {
	passed bool
	output string
	took   time.Duration
}

// against runs the test against a new server of target. The error says that there was no such server.
func (t *Test) against(ctx context.Context, target *process.Target, limit time.Duration) (run, error) {
	dir, err := os.MkdirTemp(t.tmp, "server-")
	if err != nil {
		return run{}, err
	}
	s, err := process.Start(ctx, target, process.Options{Dir: dir})
	if s != nil {
		defer s.End()
	}
	if err != nil {
		return run{}, fmt.Errorf("a server does not start: %w", err)
	}
	return t.with(ctx, limit, "ADDR="+s.Addr, "DIR="+dir, "SERVER="+target.Path)
}

// againstNobody runs the test where everybody who connects is hung up on, and no server can be started.
func (t *Test) againstNobody(ctx context.Context, limit time.Duration) (run, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return run{}, err
	}
	defer ln.Close()
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			conn.Close()
		}
	}()
	nothing := filepath.Join(t.tmp, "nothing")
	return t.with(ctx, limit, "ADDR="+ln.Addr().String(), "DIR="+nothing, "SERVER="+filepath.Join(nothing, "server"))
}

// with runs the test with env added to its environment, and ends it, and all that it started, after limit.
func (t *Test) with(ctx context.Context, limit time.Duration, env ...string) (run, error) {
	out, err := os.CreateTemp(t.tmp, "output-") // a pipe would wait for servers that the test left behind
	if err != nil {
		return run{}, err
	}
	defer out.Close()
	cmd := exec.Command(t.bin, "-test.v", "-test.failfast", "-test.timeout", limit.String())
	cmd.Dir, cmd.Stdout, cmd.Stderr = t.dir, out, out
	cmd.Env = append(append(os.Environ(), "TMPDIR="+t.tmp), env...)
	process.OwnGroup(cmd)
	begin := time.Now()
	if err := cmd.Start(); err != nil {
		return run{}, err
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	select {
	case err = <-done:
		process.SignalGroup(cmd, syscall.SIGKILL)
	case <-ctx.Done():
		process.SignalGroup(cmd, syscall.SIGKILL)
		<-done
		return run{}, ctx.Err()
	case <-time.After(limit + time.Second): // its own limit, which names the test that hangs, did not end it
		process.SignalGroup(cmd, syscall.SIGKILL)
		err = <-done
	}
	said, _ := os.ReadFile(out.Name())
	return run{passed: err == nil, output: told(string(said)), took: time.Since(begin)}, nil
}

// noise is what go test says of tests that run or pass.
var noise = regexp.MustCompile(`^(=== |\s*--- PASS|PASS$|FAIL$)`)

// told leaves of a test's output what a learner wants to read: of a crash the words, and the places in my_test.go.
func told(output string) string {
	const most = 30
	var lines []string
	crashed := false
	for _, line := range strings.Split(strings.TrimSpace(output), "\n") {
		crashed = crashed || strings.HasPrefix(line, "goroutine ")
		if !noise.MatchString(line) && (!crashed || strings.Contains(line, File+":")) && strings.TrimSpace(line) != "" {
			lines = append(lines, line)
		}
	}
	if len(lines) > most {
		lines = append(lines[:most], "…")
	}
	return strings.Join(lines, "\n")
}
