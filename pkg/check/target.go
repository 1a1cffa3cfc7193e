package check

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
)

// Options are how a check wants a server to be started. The zero value is a server that keeps
// nothing on disk and follows nobody.
type Options struct {
	Dir       string   // the data directory; "" is a fresh one
	Fsync     string   // "always", "everysec", "no": the append-only file is on; "" is off
	ReplicaOf string   // host:port of the master
	Extra     []string // further flags of exercises, with one dash; a server started by CMD= finds them in ARGS
}

type kind int

const (
	kindStep  kind = iota // a step's binary, with the course's flags
	kindRedis             // redis-server's command line
	kindAddr              // a running server
	kindCmd               // a shell command with an environment
)

// Target is what is judged: a way to start servers, or the address of one that runs.
type Target struct {
	Step int    // the step it claims to be
	Name string // for the report's title
	kind kind
	addr string
	path string   // of the binary, or the shell command
	base []string // arguments before all others
	has  map[string]bool

	prefix []string // a command that runs the server's, such as strace

	// Source is the package that the binary was built from; nil when it is not known.
	Source *Source
}

// Source is a Go package in a tree.
type Source struct {
	Root    string // the course's top directory
	Dir     string // the package, below Root
	Overlay string // for go build and go test; "" is none
}

// StepTarget returns the target for the binary of a step, as Build makes it.
func StepTarget(step int, bin string) *Target {
	t := &Target{Step: step, Name: Folders[step], kind: kindStep, path: bin, has: map[string]bool{}}
	if step == Last {
		t.kind = kindRedis
		// It has no -h to ask, but names the first option that it does not know.
		out, _ := exec.Command(bin, "--http-port", "0", "--no-such-option", "x").CombinedOutput()
		if !bytes.Contains(out, []byte("'http-port")) {
			t.base = []string{"--http-port", "0"}
		}
		return t
	}
	usage, _ := exec.Command(bin, "-h").CombinedOutput() // -h exits with 2 by custom
	for _, line := range strings.Split(string(usage), "\n") {
		if f := strings.Fields(line); len(f) > 0 && strings.HasPrefix(f[0], "-") {
			t.has[strings.TrimLeft(f[0], "-")] = true
		}
	}
	return t
}

// AddrTarget returns the target for a server that already runs.
func AddrTarget(step int, addr string) *Target {
	return &Target{Step: step, Name: addr, kind: kindAddr, addr: addr}
}

// CmdTarget returns the target for a shell command that starts a server. See the package comment
// for its environment.
func CmdTarget(step int, command string) *Target {
	return &Target{Step: step, Name: command, kind: kindCmd, path: command}
}

// RedisTarget returns a real redis-server as target, or an error where none is installed.
func RedisTarget() (*Target, error) {
	path, err := exec.LookPath("redis-server")
	if err != nil {
		return nil, errors.New("redis-server is not installed (Debian: apt-get install redis-server; macOS: brew install redis)")
	}
	return &Target{Step: Last, Name: "redis-server", kind: kindRedis, path: path}, nil
}

// command returns the process to start on port with o.
func (t *Target) command(o Options, port int) *exec.Cmd {
	cmd := t.plain(o, port)
	if len(t.prefix) > 0 {
		env := cmd.Env
		cmd = exec.Command(t.prefix[0], append(append([]string{}, t.prefix[1:]...), cmd.Args...)...)
		cmd.Env = env
	}
	return cmd
}

func (t *Target) plain(o Options, port int) *exec.Cmd {
	switch t.kind {
	case kindRedis:
		return exec.Command(t.path, append(append([]string{}, t.base...), redisArgs(o, port)...)...)
	case kindCmd:
		return t.shell(o, port)
	}
	args := []string{"-addr", fmt.Sprintf("127.0.0.1:%d", port)}
	add := func(flag, value string) {
		if t.has[flag] && value != "" {
			args = append(args, "-"+flag, value)
		}
	}
	add("dir", o.Dir)
	add("appendfsync", o.Fsync)
	add("appendonly", yesNo(o.Fsync != ""))
	add("replicaof", o.ReplicaOf)
	return exec.Command(t.path, append(args, o.Extra...)...)
}

// redisArgs is the command line of redis-server and of step 10. A save point that never comes due
// makes SIGTERM save a snapshot, as step 09 does, without snapshots meanwhile.
func redisArgs(o Options, port int) []string {
	args := []string{"--port", strconv.Itoa(port), "--bind", "127.0.0.1", "--dir", o.Dir, "--save", "86400 100000000",
		"--repl-diskless-sync-delay", "0", "--appendonly", yesNo(o.Fsync != "")}
	if o.Fsync != "" {
		args = append(args, "--appendfsync", o.Fsync)
	}
	if host, port, ok := strings.Cut(o.ReplicaOf, ":"); ok {
		args = append(args, "--replicaof", host+" "+port)
	}
	for _, a := range o.Extra {
		if strings.HasPrefix(a, "-") && len(a) > 2 {
			a = "-" + a // redis-server's options have two dashes
		}
		args = append(args, a)
	}
	return args
}

func (t *Target) shell(o Options, port int) *exec.Cmd {
	// The shell gets the signals, too. It must live on to report the server's exit code, so it
	// catches them; what it starts does not inherit that.
	cmd := exec.Command("sh", "-c", "trap : TERM INT\n"+t.path)
	if runtime.GOOS == "windows" {
		cmd = exec.Command("cmd", "/c", t.path)
	}
	host, mport, _ := strings.Cut(o.ReplicaOf, ":")
	cmd.Env = append(os.Environ(), "PORT="+strconv.Itoa(port), "DIR="+o.Dir, "APPENDONLY="+yesNo(o.Fsync != ""),
		"APPENDFSYNC="+o.Fsync, "REPLICAOF="+o.ReplicaOf, "MASTER_HOST="+host, "MASTER_PORT="+mport,
		"ARGS="+strings.Join(o.Extra, " "))
	return cmd
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// Build compiles the package in dir (relative to root) to bin. With an overlay (go build -overlay)
// files are taken from elsewhere; "" is none.
func Build(root, dir, bin, overlay string) error {
	args := []string{"build", "-ldflags=-s -w", "-o", bin} // no symbols: links in half the time
	if overlay != "" {
		args = append(args, "-overlay", overlay)
	}
	cmd := exec.Command("go", append(args, "./"+filepath.ToSlash(dir))...)
	cmd.Dir = root
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s does not compile:\n%s", dir, out)
	}
	return nil
}

// Root returns the top directory of the course, looked for from the working directory upward.
func Root() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if b, err := os.ReadFile(filepath.Join(dir, "go.mod")); err == nil && strings.HasPrefix(string(b), "module byor") {
			return dir, nil
		}
		up := filepath.Dir(dir)
		if up == dir {
			return "", errors.New("this is not inside the course's repository")
		}
		dir = up
	}
}
