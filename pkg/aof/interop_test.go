package aof

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"byor/pkg/redistest"
	"byor/pkg/resp"

	"github.com/stretchr/testify/require"
)

// redis is a real redis-server with its append-only file in a directory.
type redis struct {
	t    *testing.T
	cmd  *exec.Cmd
	conn net.Conn
	r    *resp.Reader
	out  *bytes.Buffer
}

func startRedis(t *testing.T, dir string, args ...string) *redis {
	t.Helper()
	redistest.Need(t, "redis-server")
	// A socket file, not a port: a port may be taken between choosing and using it.
	run, err := os.MkdirTemp("", "aof")
	require.NoError(t, err)
	t.Cleanup(func() { os.RemoveAll(run) })
	sock := filepath.Join(run, "sock")
	args = append([]string{"--port", "0", "--unixsocket", sock, "--dir", dir, "--save", "", "--appendonly", "yes"}, args...)
	s := &redis{t: t, cmd: exec.Command("redis-server", args...), out: &bytes.Buffer{}}
	s.cmd.Stdout, s.cmd.Stderr = s.out, s.out
	require.NoError(t, s.cmd.Start())
	t.Cleanup(s.kill)
	require.Eventually(t, func() bool {
		s.conn, err = net.Dial("unix", sock)
		return err == nil
	}, time.Minute, 10*time.Millisecond)
	s.r = resp.NewReader(s.conn)
	for strings.HasPrefix(s.do("PING"), "LOADING") {
		time.Sleep(10 * time.Millisecond)
	}
	return s
}

// do sends a command and returns the reply as one line.
func (s *redis) do(line string) string {
	s.t.Helper()
	_, err := s.conn.Write(cmd(line))
	require.NoError(s.t, err)
	v, err := s.r.ReadValue()
	if err != nil {
		s.kill()
		require.NoError(s.t, err, s.out.String())
	}
	if v.Kind == resp.Integer {
		return fmt.Sprint(v.Int)
	}
	return string(v.Str)
}

// kill is kill -9: the file is as the last write left it.
func (s *redis) kill() {
	if s.cmd.ProcessState == nil {
		_ = s.cmd.Process.Kill()
		_ = s.cmd.Wait()
	}
}

func checkAOF(t *testing.T, dir string) string {
	t.Helper()
	redistest.Need(t, "redis-check-aof")
	out, err := exec.Command("redis-check-aof", filepath.Join(dir, defaultDirName, man)).CombinedOutput()
	require.NoError(t, err, string(out))
	return string(out)
}

func TestRedisLoadsWhatWeWrite(t *testing.T) {
	b := newBed(t, EverySec)
	e := func(lines ...string) {
		for _, line := range lines {
			require.NoError(t, b.add(line))
		}
	}
	e("SELECT 0", "SET a 1", "RPUSH l x y", "MULTI", "INCR a", "SADD s m", "EXEC")
	require.Contains(t, checkAOF(t, b.dir), "All AOF files and manifest are valid")
	rw, err := b.l.BeginRewrite()
	require.NoError(t, err)
	e("SELECT 0", "INCR a")
	require.NoError(t, rw.Run(func(w io.Writer) error {
		_, err := w.Write(cmds("SELECT 0", "SET a 2", "RPUSH l x y", "SADD s m"))
		return err
	}))
	e("RPUSH l z")
	rw, err = b.l.BeginRewrite() // one that fails, for a second increment
	require.NoError(t, err)
	e("SELECT 0", "INCR a", "SELECT 3", "SET other 1")
	require.Error(t, rw.Run(func(io.Writer) error { return io.ErrUnexpectedEOF }))
	require.NoError(t, b.l.Close())
	require.Contains(t, checkAOF(t, b.dir), "All AOF files and manifest are valid")

	s := startRedis(t, b.dir)
	require.Equal(t, "4", s.do("GET a"))
	require.Equal(t, "3", s.do("LLEN l"))
	require.Equal(t, "1", s.do("SISMEMBER s m"))
	require.Equal(t, "3", s.do("DBSIZE"))
	require.Equal(t, "OK", s.do("SELECT 3"))
	require.Equal(t, "1", s.do("GET other"))
}

// TestThereAndBack: Redis writes, we load and go on, Redis loads it all.
func TestThereAndBack(t *testing.T) {
	dir := t.TempDir()
	s := startRedis(t, dir, "--aof-use-rdb-preamble", "no", "--aof-timestamp-enabled", "yes",
		"--appendfsync", "always") // under everysec Redis may reply before it writes
	require.Equal(t, "OK", s.do("SET a 1"))
	require.Equal(t, "1", s.do("LPUSH l x"))
	s.kill()
	o := Options{Dir: dir, PlainBase: true, Policy: Always}
	lines, res, err := replay(o)
	require.NoError(t, err)
	require.Equal(t, 2, res.Files)
	require.Equal(t, []string{"SELECT 0", "SET a 1", "LPUSH l x"}, lines)
	l, err := Open(o, nil)
	require.NoError(t, err)
	require.NoError(t, l.Commit(l.Append(cmds("SELECT 0", "INCR a"))))
	require.NoError(t, l.Close())
	s = startRedis(t, dir)
	require.Equal(t, "2", s.do("GET a"))
	require.Equal(t, "1", s.do("LLEN l"))
}

// refusal starts redis-server on a directory that it cannot load, without a port,
// and returns what it says before it exits.
func refusal(t *testing.T, dir string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	args = append([]string{"--port", "0", "--unixsocket", "sock", "--dir", dir, "--appendonly", "yes"}, args...)
	out, err := exec.CommandContext(ctx, "redis-server", args...).CombinedOutput()
	require.NoError(t, ctx.Err(), "it started: %s", out)
	require.Error(t, err, string(out))
	return string(out)
}

// TestManifestErrorsAsRedisSays asks redis-server about each kind of bad manifest.
func TestManifestErrorsAsRedisSays(t *testing.T) {
	redistest.Need(t, "redis-server")
	for _, text := range []string{"", "\n", "file a seq 1\n", "file a seq 1 type b", base1Line + "\n" + base1Line + "\n",
		"file a seq 2 type i\nfile b seq 1 type i\n", "file a/b seq 1 type i\n", "file a seq 0 type i\n", "file a seq 1 type x\n"} {
		d := newDir(t)
		d.write(man, []byte(text))
		_, _, err := replay(Options{Dir: d.dir})
		var bad *manifestError
		require.ErrorAs(t, err, &bad, "%q", text)
		require.Contains(t, refusal(t, d.dir), bad.msg, "%q", text)
	}
}

// TestLoadErrorsAsRedisSays compares the last line of the log before the exit.
func TestLoadErrorsAsRedisSays(t *testing.T) {
	redistest.Need(t, "redis-server")
	set := string(cmd("SET a 1"))
	for name, c := range map[string]struct {
		incr, next string
		args       []string
	}{
		"damage":     {incr: set + "garbage", next: set},
		"NULs":       {incr: set, next: set + "\x00\x00"},
		"unknown":    {incr: string(cmd("NOSUCH x")), next: set},
		"not last":   {incr: set + set[:9], next: set},
		"not to cut": {incr: set, next: set + set[:9], args: []string{"--aof-load-truncated", "no"}},
	} {
		d := newDir(t)
		d.write(incr1, []byte(c.incr))
		d.write(incr2, []byte(c.next))
		d.manifest(incr1Line, incr2Line)
		_, _, err := replay(Options{Dir: d.dir, RefuseTruncated: c.args != nil})
		require.Error(t, err, name)
		require.Contains(t, refusal(t, d.dir, c.args...), err.Error(), name)
	}
}

// TestCutAsRedisDoes tears a file at some offsets and lets Redis and us cut it back.
func TestCutAsRedisDoes(t *testing.T) {
	whole := cmds("SELECT 0", "SET a 1", "SET b 2")
	for _, cut := range []int{len(whole) - 1, len(whole) - 9, len(whole) - len(cmd("SET b 2")) + 1, 3} {
		d := newDir(t)
		d.write(incr1, whole[:cut])
		d.manifest(incr1Line)
		theirs := logDir{t, copyDir(t, d.dir)}
		_, _, err := replay(Options{Dir: d.dir})
		require.NoError(t, err)
		s := startRedis(t, theirs.dir)
		s.kill()
		require.Equal(t, theirs.read(incr1), d.read(incr1), "cut at %d", cut)
	}
}
