package servers

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"byor/10-websocket-capstone/bench/client"
	"byor/pkg/redistest"
)

func TestParseStat(t *testing.T) {
	// The fields of proc(5); this process calls itself "a) R 9 (b".
	line := "4242 (a) R 9 (b) S 1 2 3 0 -1 4194560 100 0 0 0 250 125 7 9 20 0 4 0 100 1000000 200\n"
	cpu, ok := parseStat([]byte(line))
	require.True(t, ok)
	require.Equal(t, 3750*time.Millisecond, cpu)
	for _, bad := range []string{"", "1 (x) S 1 2", "1 (x) S 1 2 3 0 -1 4194560 100 0 0 0 x 125 7 9"} {
		_, ok := parseStat([]byte(bad))
		require.False(t, ok, bad)
	}
}

func TestParseStatus(t *testing.T) {
	now, peak, ok := parseStatus([]byte("Name:\tVmRSS: 7 kB\nVmHWM:\t   2048 kB\nVmRSS:\t   1024 kB\nThreads:\t5\n"))
	require.True(t, ok)
	require.Equal(t, []int64{1 << 20, 2 << 20}, []int64{now, peak})
	_, _, ok = parseStatus([]byte("VmRSS:\tmany kB\n"))
	require.False(t, ok)
}

func TestParseListeners(t *testing.T) {
	found := map[string]bool{}
	parseListeners([]byte(`  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:18EB 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 111 1 0 100 0 0 10 0
   1: 0100007F:18EB 0100007F:9C40 01 00000000:00000000 00:00000000 00000000     0        0 222 1 0 20 4 30 10 -1
   2: 0100007F:18EC 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 333 1 0 100 0 0 10 0
`), "6379", found)
	require.Equal(t, map[string]bool{"socket:[111]": true}, found)
}

// What a process has used does not become less.
func TestSelf(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux has /proc")
	}
	before, ok := Self().CPU()
	require.True(t, ok)
	for end := before; end == before; { // until a tick has passed
		end, ok = Self().CPU()
		require.True(t, ok)
	}
	now, peak, ok := Self().Memory()
	require.True(t, ok)
	require.Positive(t, now)
	require.GreaterOrEqual(t, peak, now)
	_, ok = (&Server{}).CPU()
	require.False(t, ok)
}

// A server that was there is found, with its process if it is one of this machine, and is left running.
func TestAnAddress(t *testing.T) {
	addr := redistest.Start(t, t.TempDir(), "--appendonly", "yes")
	source, err := Open(t.Context(), "theirs="+addr)
	require.NoError(t, err)
	require.False(t, source.Starts())
	s, err := source.Start(t.Context(), "")
	require.NoError(t, err)
	require.Equal(t, []string{"theirs", addr}, []string{s.Name, s.Addr})
	require.Regexp(t, `^\d+\.\d+\.\d+$`, s.Version)
	require.Contains(t, s.Keeps, "append-only file: yes, fsync everysec")
	_, known := s.CPU()
	require.Equal(t, runtime.GOOS == "linux", known)
	s.Stop()
	source.Close()
	require.NoError(t, client.Ping(t.Context(), addr))

	// Who does not listen there is not the server, whatever the server says.
	self := fmt.Sprint(os.Getpid())
	require.Zero(t, processHere(addr, self))
	require.Zero(t, processHere(addr, "x"))
	require.Zero(t, processHere("/run/some.sock", self))
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = ln.Close() }()
	if runtime.GOOS == "linux" {
		require.Equal(t, os.Getpid(), processHere(ln.Addr().String(), self))
	}
}

// A server that is started gets a directory, a port and arguments; nothing of it remains.
func TestStart(t *testing.T) {
	redistest.Need(t, "redis-server")
	source, err := Open(t.Context(), "redis")
	require.NoError(t, err)
	require.True(t, source.Starts())
	s, err := source.Start(t.Context(), "", "--maxclients", "77")
	require.NoError(t, err)
	c, err := client.Dial(t.Context(), s.Addr)
	require.NoError(t, err)
	value, _ := c.Config("maxclients")
	require.Equal(t, "77", value)
	dir, _ := c.Config("dir")
	require.DirExists(t, dir)
	require.Equal(t, "append-only file: no, snapshots: never", s.Keeps)
	s.Stop()
	require.NoDirExists(t, dir)
	_, err = net.Dial("tcp", s.Addr)
	require.Error(t, err)

	_, err = source.Start(t.Context(), "", "--nosuch", "1")
	require.ErrorContains(t, err, "starting redis: it has ended")
	require.ErrorContains(t, err, "nosuch", "what it said is part of the error")
}

func TestWhatIsNotThere(t *testing.T) {
	source, err := Open(t.Context(), "127.0.0.1:1")
	require.NoError(t, err)
	_, err = source.Start(t.Context(), "")
	require.ErrorContains(t, err, "127.0.0.1:1: ")
	_, err = Open(t.Context(), "name=")
	require.ErrorContains(t, err, "which server?")
	_, err = Open(t.Context(), "commit:no-such-revision")
	require.ErrorContains(t, err, `git knows no commit "no-such-revision"`)
	t.Setenv("PATH", t.TempDir())
	_, err = Open(t.Context(), "redis")
	require.ErrorContains(t, err, "redis-server is not installed")
}

// Two commits of a repository are built, neither of them the one that lies in its folder, and git forgets about it.
func TestCommits(t *testing.T) {
	redistest.Need(t, "git", "go")
	repo := t.TempDir()
	git := func(args ...string) string {
		out, err := output(t.Context(), repo, "git", append([]string{"-c", "user.name=x", "-c", "user.email=x@example.com"}, args...)...)
		require.NoError(t, err)
		return out
	}
	write := func(name, text string) {
		require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(repo, name)), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(repo, name), []byte(text), 0o644))
	}
	says := func(word string) {
		write("10-websocket-capstone/main.go", "package main\n\nfunc main() { println(\""+word+"\") }\n")
	}
	git("init", "-q")
	write("go.mod", "module example.com/x\n\ngo 1.21\n")
	for _, word := range []string{"first", "second"} {
		says(word)
		git("add", ".")
		git("commit", "-q", "-m", word)
	}
	says("not committed")
	for rev, want := range map[string]string{"HEAD~1": "first", "HEAD": "second"} {
		dir, bin, err := buildCommit(t.Context(), repo, rev)
		require.NoError(t, err)
		out, err := exec.Command(bin).CombinedOutput()
		require.NoError(t, err)
		require.Equal(t, want+"\n", string(out))
		require.NoError(t, os.RemoveAll(dir))
	}
	write("10-websocket-capstone/main.go", "package main\n")
	git("commit", "-q", "-a", "-m", "broken")
	_, _, err := buildCommit(t.Context(), repo, "HEAD")
	require.ErrorContains(t, err, "building step 10")
	require.NotContains(t, git("worktree", "list"), "\n", "the worktrees are gone")
}
