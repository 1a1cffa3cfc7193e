//go:build linux

package server

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"byor/pkg/redistest"

	"github.com/stretchr/testify/require"
)

// What a failing disk does to clients, with a real one: a tmpfs that is full, and system calls that
// strace lets fail.

// smallDisk mounts a tmpfs of the size and returns a directory on it, and a function that changes the
// size.
func smallDisk(t *testing.T, size string) (dir string, resize func(size string)) {
	t.Helper()
	dir = t.TempDir()
	if err := syscall.Mount("byor", dir, "tmpfs", 0, "size="+size); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("mount: %v, and CI must not skip", err)
		}
		t.Skipf("mounting a tmpfs needs more rights than this test has: %v", err)
	}
	t.Cleanup(func() { require.NoError(t, syscall.Unmount(dir, syscall.MNT_DETACH)) })
	return dir, func(size string) {
		require.NoError(t, syscall.Mount("byor", dir, "tmpfs", syscall.MS_REMOUNT, "size="+size))
	}
}

const misconf = "-MISCONF Errors writing to the AOF file: No space left on device"

// fillDisk writes values of 64 KB until a write is refused, and returns how many were acknowledged,
// and the refusal.
func fillDisk(t *testing.T, c *testConn) (acked int, refusal string) {
	value := strings.Repeat("x", 64<<10)
	for ; acked < 1000; acked++ {
		c.send("SET", "k:"+itoa(acked), value)
		v, err := c.rd.ReadValue()
		if err != nil {
			return acked, err.Error()
		}
		if v.IsError() {
			return acked, show(v)
		}
	}
	require.Fail(t, "the disk does not get full")
	return 0, ""
}

// On a full disk writes and PING are refused, reads go on; when there is room again writes resume by
// themselves, and nothing acknowledged is missing.
func TestFullDisk(t *testing.T) {
	for _, threads := range []string{"0", "1"} {
		t.Run("io-threads "+threads, func(t *testing.T) {
			dir, resize := smallDisk(t, "4m")
			options := []string{"--appendonly", "yes", "--appendfsync", "everysec", "--io-threads", threads}
			p := launchOurs(t, dir, options...)
			c := p.dial()
			acked, refusal := fillDisk(t, c)
			require.Equal(t, misconf, refusal)
			require.Greater(t, acked, 30)
			c.want("PING", misconf)
			c.want("DEL k:0", misconf)
			c.want("STRLEN k:0", ":65536")
			require.Equal(t, "err", c.info("aof_last_write_status"))
			require.NotEqual(t, "0", c.info("aof_buffer_length"))
			c.want("MULTI", "+OK")
			c.want("SET a 1", misconf)
			c.want("EXEC", "-EXECABORT Transaction discarded because of previous errors.")
			c.want("BGREWRITEAOF", "+Background append only file rewriting started")
			c.becomes("aof_rewrite_in_progress", "0")
			require.Equal(t, "err", c.info("aof_last_bgrewrite_status"))

			resize("16m")
			c.becomes("aof_last_write_status", "ok")
			c.want("PING", "+PONG")
			c.want("SET after 1", "+OK")
			require.Contains(t, p.out.String(), "AOF write error looks solved, Redis can write again.")
			want := show(c.do("DEBUG DIGEST"))
			p.kill()
			p = launchOurs(t, dir, options...)
			c = p.dial()
			require.Equal(t, want, show(c.do("DEBUG DIGEST")))
			c.want(fmt.Sprintf("EXISTS k:0 k:%d after", acked-1), ":3")
			p.stop()
		})
	}
}

// Under always a full disk ends the server: the command that did not fit is not acknowledged, all those
// before are there.
func TestFullDiskUnderAlways(t *testing.T) {
	for _, threads := range []string{"0", "1"} {
		t.Run("io-threads "+threads, func(t *testing.T) {
			dir, resize := smallDisk(t, "4m")
			options := []string{"--appendonly", "yes", "--appendfsync", "always", "--io-threads", threads}
			p := launchOurs(t, dir, options...)
			acked, _ := fillDisk(t, p.dial())
			require.Equal(t, 1, p.wait())
			require.Contains(t, p.out.String(), "Can't recover from AOF write error when the AOF fsync policy is 'always'. Exiting...")
			resize("16m")
			p = launchOurs(t, dir, options...)
			p.dial().want("DBSIZE", fmt.Sprintf(":%d", acked))
			p.stop()
		})
	}
}

// straced starts step 10 under strace.
func straced(t *testing.T, dir string, strace []string, options ...string) (p *process, trace string) {
	t.Helper()
	redistest.Need(t, "strace")
	if out, err := exec.Command("strace", "-o", os.DevNull, "true").CombinedOutput(); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("strace may not trace, and CI must not skip: %s", out)
		}
		t.Skipf("strace may not trace here: %s", out)
	}
	trace = filepath.Join(t.TempDir(), "trace")
	command := append([]string{"strace", "-f", "-s", "200", "-o", trace}, strace...)
	p = launch(t, append(command, capstone(t), "--http-port", "0"), dir, options...)
	p.ready()
	return p, trace
}

// Under always the system calls come in this order: the log is written, synced, and only then the reply
// leaves. Pipelined commands, and those of other clients, share a sync.
func TestSyncBeforeReply(t *testing.T) {
	for _, threads := range []string{"0", "1"} {
		t.Run("io-threads "+threads, func(t *testing.T) {
			p, trace := straced(t, t.TempDir(), []string{"-e", "trace=read,write,fdatasync,fsync"},
				"--appendonly", "yes", "--appendfsync", "always", "--io-threads", threads)
			c := p.dial()
			c.want("SET before 1", "+OK")
			_, err := c.conn.Write([]byte(lines(t, "SET first 1", "SET second 2")))
			require.NoError(t, err)
			require.Equal(t, "+OK", show(c.read()))
			require.Equal(t, "+OK", show(c.read()))
			blocked := p.dial()
			blocked.send("BLPOP", "queue", "0")
			c.becomes("blocked_clients", "1")
			c.want("RPUSH queue item", ":1")
			require.Equal(t, `*["queue" "item"]`, show(blocked.read()))
			require.NoError(t, syscall.Kill(-p.cmd.Process.Pid, syscall.SIGTERM))
			p.wait()
			b, err := os.ReadFile(trace)
			require.NoError(t, err)
			calls := syscalls(string(b))
			requireInOrder(t, calls,
				`^write\(.*first.*second`, `^fdatasync\(.*= 0`, `^write\(.*"\+OK\\r\\n\+OK\\r\\n"`)
			requireInOrder(t, calls, `^write\(.*RPUSH.*item.*LPOP.*queue`, `^fdatasync\(.*= 0`, `^write\(.*"\*2\\r\\n\$5\\r\\nqueue`)
			requireInOrder(t, calls, `^write\(.*RPUSH.*item.*LPOP.*queue`, `^fdatasync\(.*= 0`, `^write\(.*":1\\r\\n"`)
		})
	}
}

// syscalls are the calls of a trace in the order in which they ended, without the thread that made them.
func syscalls(trace string) []string {
	begun := map[string]string{}
	var calls []string
	for _, line := range strings.Split(trace, "\n") {
		tid, call, ok := strings.Cut(line, " ")
		call = strings.TrimSpace(call)
		if !ok {
			continue
		}
		if start, unfinished := strings.CutSuffix(call, "<unfinished ...>"); unfinished {
			begun[tid] = start
			continue
		}
		if _, end, resumed := strings.Cut(call, "resumed>"); resumed {
			call = begun[tid] + end
		}
		calls = append(calls, call)
	}
	return calls
}

// requireInOrder requires calls that match the patterns one after another, and that nothing matches the
// last one before the others are over.
func requireInOrder(t *testing.T, calls []string, patterns ...string) {
	t.Helper()
	last := regexp.MustCompile(patterns[len(patterns)-1])
	for _, call := range calls {
		if regexp.MustCompile(patterns[0]).MatchString(call) {
			if patterns = patterns[1:]; len(patterns) == 0 {
				return
			}
			continue
		}
		require.False(t, last.MatchString(call), "%s came before %s", call, patterns[0])
	}
	require.Fail(t, "the call is missing", "%s\n%s", patterns[0], strings.Join(calls, "\n"))
}

// emptyLog returns a directory with a log, so that a start has nothing to sync.
func emptyLog(t *testing.T) (dir string) {
	dir = t.TempDir()
	s, _, err := boot(t, dir, "--appendonly", "yes")
	require.NoError(t, err)
	stopServer(t, s)
	return dir
}

// A sync that fails under always ends the server without a reply.
func TestSyncThatFailsUnderAlways(t *testing.T) {
	p, _ := straced(t, emptyLog(t), []string{"-e", "trace=fdatasync", "-e", "inject=fdatasync:error=EIO:when=2+"}, "--appendonly", "yes", "--appendfsync", "always")
	c := p.dial()
	for {
		c.send("INCR", "n")
		if _, err := c.rd.ReadValue(); err != nil {
			break
		}
	}
	require.Equal(t, 1, p.wait())
	require.Contains(t, p.out.String(), "Can't persist AOF for fsync error when the AOF fsync policy is 'always': Input/output error. Exiting...")
}

// A background sync that fails under everysec refuses writes until one works.
func TestSyncThatFailsUnderEverysec(t *testing.T) {
	t.Parallel() // it waits for syncs, which come once a second
	p, _ := straced(t, emptyLog(t), []string{"-e", "trace=fdatasync", "-e", "inject=fdatasync:error=EIO:when=1..2"}, "--appendonly", "yes", "--appendfsync", "everysec")
	c := p.dial()
	c.want("SET a 1", "+OK")
	c.becomes("aof_last_write_status", "err")
	c.want("SET a 2", "-MISCONF Errors writing to the AOF file: Input/output error")
	c.want("GET a", `"1"`)
	require.Contains(t, p.out.String(), "Fail to fsync the AOF file: Input/output error")
	c.becomes("aof_last_write_status", "ok")
	c.want("SET a 3", "+OK")
}

// Where the directory cannot be written to, the server does not start, and says why.
func TestReadOnlyDirectory(t *testing.T) {
	dir, _ := smallDisk(t, "1m")
	require.NoError(t, syscall.Mount("byor", dir, "tmpfs", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""))
	p := launch(t, []string{capstone(t), "--http-port", "0"}, dir, "--appendonly", "yes")
	require.False(t, p.answers())
	require.Equal(t, 1, p.wait())
	require.Contains(t, p.out.String(), "Can't open or create append-only dir appendonlydir: Read-only file system")
}
