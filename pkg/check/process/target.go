// Package process starts the servers that are judged, ends them in any way a process can end, and remembers
// their last words. A Target is what to start: a step's binary, a real redis-server, a learner's command, or
// the address of a server that runs already.
package process

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"

	"byor/pkg/check/course"
)

// Options are how a check wants a server to be started. The zero value is a server that keeps
// nothing on disk and follows nobody.
type Options struct {
	Dir       string   // the data directory; "" is a fresh one
	Fsync     string   // "always", "everysec", "no": the append-only file is on; "" is off
	ReplicaOf string   // host:port of the master
	Extra     []string // further flags of exercises, with one dash; a server started by CMD= finds them in ARGS
}

// Kind is the way in which a target is started.
type Kind int

// The kinds of target.
const (
	KindStep  Kind = iota // a step's binary, with the course's flags
	KindRedis             // redis-server's command line
	KindAddr              // a running server
	KindCmd               // a shell command with an environment
)

// Target is what is judged: a way to start servers, or the address of one that runs.
type Target struct {
	Step  int    // the step it claims to be
	Name  string // for the report's title
	Kind  Kind
	Addr  string   // host:port; of KindAddr alone
	Path  string   // of the binary, or the shell command
	base  []string // arguments before all others
	flags map[string]bool

	Prefix []string // a command that runs the server's, such as strace

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
	t := &Target{Step: step, Name: course.Folders[step], Kind: KindStep, Path: bin, flags: map[string]bool{}}
	if step == course.Last {
		t.Kind = KindRedis
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
			t.flags[strings.TrimLeft(f[0], "-")] = true
		}
	}
	return t
}

// AddrTarget returns the target for a server that already runs.
func AddrTarget(step int, addr string) *Target {
	return &Target{Step: step, Name: addr, Kind: KindAddr, Addr: addr}
}

// CmdTarget returns the target for a shell command that starts a server. See the package comment
// for its environment.
func CmdTarget(step int, command string) *Target {
	return &Target{Step: step, Name: command, Kind: KindCmd, Path: command}
}

// RedisTarget returns a real redis-server as target, or an error where none is installed.
func RedisTarget() (*Target, error) {
	path, err := exec.LookPath("redis-server")
	if err != nil {
		return nil, errors.New("redis-server is not installed (Debian: apt-get install redis-server; macOS: brew install redis)")
	}
	return &Target{Step: course.Last, Name: "redis-server", Kind: KindRedis, Path: path}, nil
}

// Takes says whether a step's binary lists flag in its -h.
func (t *Target) Takes(flag string) bool { return t.flags[flag] }

// command returns the process to start on port with o.
func (t *Target) command(o Options, port int) *exec.Cmd {
	cmd := t.plain(o, port)
	if len(t.Prefix) > 0 {
		env := cmd.Env
		cmd = exec.Command(t.Prefix[0], append(append([]string{}, t.Prefix[1:]...), cmd.Args...)...)
		cmd.Env = env
	}
	return cmd
}

func (t *Target) plain(o Options, port int) *exec.Cmd {
	switch t.Kind {
	case KindRedis:
		return exec.Command(t.Path, append(append([]string{}, t.base...), redisArgs(o, port)...)...)
	case KindCmd:
		return t.Shell(o, port)
	}
	args := []string{"-addr", fmt.Sprintf("127.0.0.1:%d", port)}
	add := func(flag, value string) {
		if t.flags[flag] && value != "" {
			args = append(args, "-"+flag, value)
		}
	}
	add("dir", o.Dir)
	add("appendfsync", o.Fsync)
	add("appendonly", YesNo(o.Fsync != ""))
	add("replicaof", o.ReplicaOf)
	return exec.Command(t.Path, append(args, o.Extra...)...)
}

// redisArgs is the command line of redis-server and of step 10. A save point that never comes due
// makes SIGTERM save a snapshot, as step 09 does, without snapshots meanwhile.
func redisArgs(o Options, port int) []string {
	args := []string{"--port", strconv.Itoa(port), "--bind", "127.0.0.1", "--dir", o.Dir, "--save", "86400 100000000",
		"--repl-diskless-sync-delay", "0", "--appendonly", YesNo(o.Fsync != "")}
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

func (t *Target) Shell(o Options, port int) *exec.Cmd {
	// The shell gets the signals, too. It must live on to report the server's exit code, so it
	// catches them; what it starts does not inherit that.
	cmd := exec.Command("sh", "-c", "trap : TERM INT\n"+t.Path)
	if runtime.GOOS == "windows" {
		cmd = exec.Command("cmd", "/c", t.Path)
	}
	host, mport, _ := strings.Cut(o.ReplicaOf, ":")
	cmd.Env = append(os.Environ(), "PORT="+strconv.Itoa(port), "DIR="+o.Dir, "APPENDONLY="+YesNo(o.Fsync != ""),
		"APPENDFSYNC="+o.Fsync, "REPLICAOF="+o.ReplicaOf, "MASTER_HOST="+host, "MASTER_PORT="+mport,
		"ARGS="+strings.Join(o.Extra, " "))
	return cmd
}

// YesNo is how a flag of Redis says a bool.
func YesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
