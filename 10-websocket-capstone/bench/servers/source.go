package servers

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Source is where a server comes from: an address at which one already listens, or a program that can be started as
// often as need be. It is read-only once it is opened.
type Source struct {
	Name string
	addr string   // of a server that is there
	bin  string   // of one to be started
	args []string // what it needs besides
	dir  string   // of a program built here; removed by Close
}

// errNoRedis is said to whoever asks for a race without an opponent.
var errNoRedis = errors.New(`redis-server is not installed, so there is nothing to race against.
  macOS:         brew install redis
  Debian/Ubuntu: sudo apt install redis-server
  Fedora:        sudo dnf install redis
Without it, measure one server alone: -addr 127.0.0.1:6380`)

// Open finds out what text means. It is a name and '=', or not, and then one of
//   - capstone: step 10 as it stands in the module the bench is run in, built now;
//   - redis: the redis-server that is installed;
//   - commit:REVISION: step 10 of that commit, built now;
//   - the path of a program that takes redis-server's command line;
//   - host:port or the path of a unix socket, where a server listens.
func Open(ctx context.Context, text string) (*Source, error) {
	name, what, named := strings.Cut(text, "=")
	if !named {
		name, what = "", text
	}
	s := &Source{Name: name}
	var err error
	rev, isCommit := strings.CutPrefix(what, "commit:")
	switch {
	case what == "":
		return nil, errors.New("which server? capstone, redis, commit:REVISION, a program's path, host:port or a socket's path")
	case what == "redis":
		if s.bin, err = exec.LookPath("redis-server"); err != nil {
			return nil, errNoRedis
		}
	case isCommit:
		what = rev
		s.dir, s.bin, err = buildCommit(ctx, ".", rev)
	case what == "capstone":
		s.dir, s.bin, err = buildHere(ctx)
	case isProgram(what):
		if s.bin, err = filepath.Abs(what); err == nil {
			what = filepath.Base(what)
		}
	default:
		s.addr = what
	}
	if err != nil {
		return nil, err
	}
	if s.Name == "" {
		s.Name = what
	}
	if s.bin != "" && isCapstone(ctx, s.bin) {
		s.args = []string{"--http-port", "0"}
	}
	return s, nil
}

// Starts reports whether servers are started here, and not only talked to.
func (s *Source) Starts() bool { return s.bin != "" }

// Close removes what was built.
func (s *Source) Close() {
	if s.dir != "" {
		_ = os.RemoveAll(s.dir)
	}
}

func isProgram(path string) bool {
	if !strings.ContainsRune(path, filepath.Separator) && !strings.Contains(path, "/") {
		return false
	}
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// isCapstone asks a program what it is. Step 10 has a page, on a port that two of them cannot share.
func isCapstone(ctx context.Context, bin string) bool {
	out, _ := exec.CommandContext(ctx, bin, "--version").Output()
	return strings.Contains(string(out), "build your own Redis")
}

// buildHere builds step 10 from the module that the bench is run in.
func buildHere(ctx context.Context) (dir, bin string, err error) {
	root, err := output(ctx, ".", "go", "list", "-m", "-f", "{{.Dir}}")
	if err != nil {
		return "", "", err
	}
	return build(ctx, root)
}

// build builds step 10 of the module at root into a directory of its own.
func build(ctx context.Context, root string) (dir, bin string, err error) {
	if dir, err = os.MkdirTemp("", "bench-build-"); err != nil {
		return "", "", err
	}
	bin = filepath.Join(dir, "capstone")
	if _, err = output(ctx, root, "go", "build", "-o", bin, "./10-websocket-capstone"); err != nil {
		_ = os.RemoveAll(dir)
		return "", "", fmt.Errorf("building step 10: %w", err)
	}
	return dir, bin, nil
}

// buildCommit builds step 10 of a commit of the repository that from belongs to. It does so in a worktree of git's,
// which is gone afterwards; what lies in the repository's own folder, changed or not, is left alone.
func buildCommit(ctx context.Context, from, rev string) (dir, bin string, err error) {
	commit, err := output(ctx, from, "git", "rev-parse", "--verify", "--quiet", rev+"^{commit}")
	if err != nil {
		return "", "", fmt.Errorf("git knows no commit %q", rev)
	}
	parent, err := os.MkdirTemp("", "bench-tree-")
	if err != nil {
		return "", "", err
	}
	tree := filepath.Join(parent, "tree")
	defer func() { // also when ctx has ended: git would remember the worktree otherwise
		_, _ = output(context.WithoutCancel(ctx), from, "git", "worktree", "remove", "--force", tree)
		_ = os.RemoveAll(parent)
	}()
	if _, err := output(ctx, from, "git", "worktree", "add", "--detach", tree, commit); err != nil {
		return "", "", err
	}
	return build(ctx, tree)
}

// output runs a program in dir and returns what it prints, without the end of the line.
func output(ctx context.Context, dir, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	var complaint strings.Builder
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w\n%s", name, args[0], err, complaint.String())
	}
	return strings.TrimSpace(string(out)), nil
}
