package aof

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// bed is an open log on a faulty file system.
type bed struct {
	logDir
	fs  *faultFS
	log *logLines
	o   Options
	l   *Log
}

func newBed(t *testing.T, policy Policy) *bed {
	b := &bed{logDir: newDir(t), fs: newFaultFS(), log: &logLines{}}
	b.o = Options{Dir: b.dir, Policy: policy, PlainBase: true, FS: b.fs, Logf: b.log.f}
	l, err := Open(b.o, nil)
	require.NoError(t, err)
	b.l = l
	t.Cleanup(func() { l.Close() })
	return b
}

// add appends a command and commits it.
func (b *bed) add(line string) error { return b.l.Commit(b.l.Append(cmd(line))) }

// fail makes an operation on the increments fail until it is called with nil.
func (b *bed) fail(op string, err error) {
	b.fs.setHook(func(o, path string) error {
		if o == op && strings.Contains(path, ".incr.") {
			return err
		}
		return nil
	})
}

func TestFirstStartMakesWhatRedisMakes(t *testing.T) {
	d := newDir(t)
	var log logLines
	l, err := Open(Options{Dir: d.dir, Logf: log.f}, baseOf())
	require.NoError(t, err)
	require.Equal(t, "file appendonly.aof.1.base.rdb seq 1 type b\n"+incr1Line+"\n", d.read(man))
	require.Equal(t, string(fakeBase()), d.read("appendonly.aof.1.base.rdb"))
	require.Empty(t, d.read(incr1))
	require.Contains(t, log.text(), "Creating AOF base file appendonly.aof.1.base.rdb on server start")
	require.Contains(t, log.text(), "Creating AOF incr file appendonly.aof.1.incr.aof on server start")
	require.NoError(t, l.Commit(l.Append(cmd("SET a 1"))))
	require.NoError(t, l.Close())
	require.NoError(t, l.Close())

	l, err = Open(Options{Dir: d.dir, Logf: log.f}, baseOf("never"))
	require.NoError(t, err)
	require.Contains(t, log.text(), "Opening AOF incr file appendonly.aof.1.incr.aof on server start")
	require.EqualValues(t, len(fakeBase())+len(cmd("SET a 1")), l.Status().Size)
	require.EqualValues(t, len(fakeBase()), l.Status().BaseSize)
	require.NoError(t, l.Commit(l.Append(cmd("SET a 2"))))
	require.NoError(t, l.Close())
	lines, _, err := replay(Options{Dir: d.dir})
	require.NoError(t, err)
	require.Equal(t, []string{"SET a 1", "SET a 2"}, lines)
}

func TestFirstStartCutShortAnywhere(t *testing.T) {
	for step := 1; ; step++ {
		d, fsys, n := newDir(t), newFaultFS(), 0
		var after string
		fsys.setHook(func(op, path string) error {
			if n++; n == step {
				after = fsys.crash(t, d.dir, true)
			}
			return nil
		})
		l, err := Open(Options{Dir: d.dir, FS: fsys}, baseOf())
		require.NoError(t, err)
		require.NoError(t, l.Close())
		if after == "" {
			require.Greater(t, step, 8)
			return
		}
		lines, _, err := replay(Options{Dir: after})
		require.NoError(t, err, "step %d", step)
		require.Empty(t, lines)
		l, err = Open(Options{Dir: after}, baseOf())
		require.NoError(t, err, "step %d", step)
		require.NoError(t, l.Close())
	}
}

func TestOpenFailures(t *testing.T) {
	for _, c := range []struct{ op, want string }{
		{"mkdir", "Can't open or create append-only dir appendonlydir: Read-only file system"},
		{"create", "Can't open the append-only file appendonly.aof.1.incr.aof: Read-only file system"},
		{"write", "Error trying to write the temporary AOF manifest file temp-appendonly.aof.manifest: Read-only file system"},
		{"rename", "Error trying to rename the temporary AOF manifest file temp-appendonly.aof.manifest into appendonly.aof.manifest: Read-only file system"},
	} {
		fsys := newFaultFS()
		fsys.setHook(func(op, path string) error {
			if op == c.op {
				return &os.PathError{Op: op, Path: path, Err: syscall.EROFS}
			}
			return nil
		})
		_, err := Open(Options{Dir: t.TempDir(), FS: fsys}, baseOf())
		require.EqualError(t, err, c.want)
	}
	_, err := Open(Options{Dir: t.TempDir()}, nil)
	require.ErrorContains(t, err, "needs a BaseWriter")
	_, err = Open(Options{Dir: t.TempDir()}, func(io.Writer) error { return syscall.ENOSPC })
	require.ErrorContains(t, err, "No space left on device")
}

func TestPolicyNames(t *testing.T) {
	for _, p := range []Policy{EverySec, Always, No} {
		got, err := ParsePolicy(strings.ToUpper(p.String()))
		require.NoError(t, err)
		require.Equal(t, p, got)
	}
	_, err := ParsePolicy("sometimes")
	require.Error(t, err)
}

// TestAlwaysSharesSyncs holds the first sync and lets others pile up behind it:
// all of them go with the second.
func TestAlwaysSharesSyncs(t *testing.T) {
	b := newBed(t, Always)
	syncs, writes := b.fs.counted("sync"), b.fs.counted("write")
	entered, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	b.fs.setHook(func(op, path string) error {
		if op == "sync" {
			once.Do(func() { close(entered); <-release })
		}
		return nil
	})
	const others = 50
	var wg sync.WaitGroup
	commit := func(i int) {
		end := b.l.Append(cmd(fmt.Sprintf("SET k%d v", i)))
		wg.Go(func() {
			assert.NoError(t, b.l.Commit(end))
			assert.GreaterOrEqual(t, b.l.synced.Load(), end)
		})
	}
	commit(0)
	<-entered
	for i := 1; i <= others; i++ {
		commit(i)
	}
	require.Zero(t, b.l.synced.Load())
	close(release)
	wg.Wait()
	require.Equal(t, 2, b.fs.counted("sync")-syncs)
	require.Equal(t, 2, b.fs.counted("write")-writes)
}

// TestCommitKeepsItsWord has many goroutines append and commit. What Commit has
// promised must be there after a crash at that moment, in the order of Append.
func TestCommitKeepsItsWord(t *testing.T) {
	for _, policy := range []Policy{Always, EverySec, No} {
		t.Run(policy.String(), func(t *testing.T) {
			b := newBed(t, policy)
			var engine sync.Mutex
			var order []string
			var wg sync.WaitGroup
			for g := range 16 {
				wg.Go(func() {
					for i := range 30 {
						engine.Lock()
						line := fmt.Sprintf("SET g%d %d", g, i)
						order = append(order, line)
						end := b.l.Append(cmd(line))
						engine.Unlock()
						assert.NoError(t, b.l.Commit(end))
						b.fs.mu.Lock()
						synced := b.fs.synced[b.path(incr1)]
						b.fs.mu.Unlock()
						info, err := os.Stat(b.path(incr1))
						assert.NoError(t, err)
						assert.GreaterOrEqual(t, info.Size(), end)
						if policy == Always {
							assert.GreaterOrEqual(t, synced, end)
						}
					}
				})
			}
			wg.Wait()
			lines, _, err := replay(Options{Dir: b.fs.crash(t, b.dir, policy == Always), RefuseTruncated: true})
			require.NoError(t, err)
			require.Equal(t, order, lines)
		})
	}
}

func TestEverySecondSyncsInTheBackground(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, EverySec)
		before := b.fs.counted("sync")
		require.NoError(t, b.add("SET a 1"))
		stray := b.l.Append(cmd("DEL a")) // as an expired key: nobody commits it
		require.Equal(t, len(cmd("DEL a")), b.l.Status().Pending)
		require.Equal(t, before, b.fs.counted("sync"))
		time.Sleep(1100 * time.Millisecond)
		require.Equal(t, before+1, b.fs.counted("sync"))
		require.Equal(t, stray, b.l.synced.Load())
		time.Sleep(10 * time.Second) // idle: nothing to sync
		require.Equal(t, before+1, b.fs.counted("sync"))

		b.l.SetPolicy(No)
		require.NoError(t, b.add("SET a 2"))
		time.Sleep(10 * time.Second)
		require.Equal(t, before+1, b.fs.counted("sync"))
		b.l.SetPolicy(Always) // holds for what was written before, too
		require.NoError(t, b.l.Commit(b.l.End()))
		require.Equal(t, b.l.End(), b.l.synced.Load())

		b.l.HoldSync(true)
		require.NoError(t, b.add("SET a 3"))
		require.Less(t, b.l.synced.Load(), b.l.End())
		b.l.HoldSync(false)
		time.Sleep(1100 * time.Millisecond)
		require.Equal(t, b.l.End(), b.l.synced.Load())
		require.NoError(t, b.l.Close())
	})
}

func TestWritingBesideASlowSyncIsCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, EverySec)
		release := make(chan struct{})
		b.fs.setHook(func(op, path string) error {
			if op == "sync" {
				<-release
			}
			return nil
		})
		require.NoError(t, b.add("SET a 1"))
		time.Sleep(1500 * time.Millisecond)
		require.True(t, b.l.Status().PendingSync)
		require.NoError(t, b.add("SET a 2"))
		require.Zero(t, b.l.Status().DelayedSyncs)
		time.Sleep(2 * time.Second)
		require.NoError(t, b.add("SET a 3"))
		require.EqualValues(t, 1, b.l.Status().DelayedSyncs)
		require.Contains(t, b.log.text(), "Asynchronous AOF fsync is taking too long (disk is busy?).")
		close(release)
		require.NoError(t, b.l.Close())
	})
}

// TestFullDisk: the half-written command is taken out of the file, the bytes are
// kept, and when space returns they are written without anybody asking.
func TestFullDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, EverySec)
		require.NoError(t, b.add("SET a 1"))
		size := b.l.Status().Size
		b.fs.short = 5
		b.fail("write", &os.PathError{Op: "write", Path: "x", Err: syscall.ENOSPC})
		err := b.add("SET a 2")
		var werr *WriteError
		require.ErrorAs(t, err, &werr)
		require.ErrorIs(t, err, syscall.ENOSPC)
		require.EqualError(t, err, "Errors writing to the AOF file: No space left on device")
		require.Equal(t, string(cmd("SET a 1")), b.read(incr1))
		st := b.l.Status()
		require.Equal(t, "No space left on device", Strerror(st.Err))
		require.Equal(t, size, st.Size)
		require.Equal(t, len(cmd("SET a 2")), st.Pending)

		require.ErrorAs(t, b.add("SET a 3"), &werr)
		time.Sleep(20 * time.Second)
		text := fmt.Sprintf("Short write while writing to the AOF file: (nwritten=5, expected=%d)", len(cmd("SET a 2")))
		require.Contains(t, b.log.text(), text)
		require.Equal(t, 1, strings.Count(b.log.text(), "Short write"), "logged once in 30 seconds")
		time.Sleep(20 * time.Second)
		require.Equal(t, 2, strings.Count(b.log.text(), "Short write"))

		b.fs.setHook(nil)
		time.Sleep(1100 * time.Millisecond)
		require.NoError(t, b.l.Status().Err)
		require.Equal(t, string(cmds("SET a 1", "SET a 2", "SET a 3")), b.read(incr1))
		require.Equal(t, 1, strings.Count(b.log.text(), "AOF write error looks solved, Redis can write again."))
		require.NoError(t, b.l.Close())
	})
}

func TestShortWriteThatCannotBeRemoved(t *testing.T) {
	b := newBed(t, No)
	b.fs.short = 7
	b.fs.setHook(func(op, path string) error {
		switch op {
		case "write":
			return syscall.EIO
		case "truncate":
			return syscall.EPERM
		}
		return nil
	})
	require.ErrorIs(t, b.add("SET a 1"), syscall.EIO)
	require.Len(t, b.read(incr1), 7)
	require.Contains(t, b.log.text(), "Redis may refuse to load the AOF the next time it starts.  ftruncate: Operation not permitted")
	b.fs.setHook(nil)
	require.NoError(t, b.l.Commit(b.l.End()))
	require.Equal(t, string(cmd("SET a 1")), b.read(incr1))
}

func TestAlwaysDiesRatherThanLie(t *testing.T) {
	for _, c := range []struct {
		op   string
		err  error
		want string
	}{
		{"write", syscall.ENOSPC, "Can't recover from AOF write error when the AOF fsync policy is 'always'. Exiting..."},
		{"sync", syscall.EIO, "Can't persist AOF for fsync error when the AOF fsync policy is 'always': Input/output error. Exiting..."},
	} {
		b := newBed(t, Always)
		require.NoError(t, b.add("SET a 1"))
		settled := b.l.End()
		b.fail(c.op, c.err)
		var fatal *FatalError
		err := b.add("SET a 2")
		require.ErrorAs(t, err, &fatal)
		require.EqualError(t, err, c.want)
		require.ErrorIs(t, err, c.err)
		require.Contains(t, b.log.text(), c.want)
		b.fs.setHook(nil)
		require.ErrorAs(t, b.add("SET a 3"), &fatal, "it stays so when the disk is well again")
		require.NoError(t, b.l.Commit(settled))
		_, err = b.l.BeginRewrite()
		require.ErrorAs(t, err, &fatal)
	}
}

func TestBackgroundSyncError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, EverySec)
		b.fail("sync", syscall.EIO)
		require.NoError(t, b.add("SET a 1"))
		time.Sleep(1100 * time.Millisecond)
		require.Equal(t, "Input/output error", Strerror(b.l.Status().Err))
		require.Contains(t, b.log.text(), "Fail to fsync the AOF file: Input/output error")
		b.fs.setHook(nil)
		time.Sleep(time.Second)
		require.NoError(t, b.l.Status().Err)
		require.NoError(t, b.l.Close())
	})
}

func TestCloseWritesAndSyncs(t *testing.T) {
	b := newBed(t, No)
	b.l.Append(cmd("SET a 1"))
	require.NoError(t, b.l.Close())
	require.EqualValues(t, len(cmd("SET a 1")), b.fs.synced[b.path(incr1)])
	require.ErrorIs(t, b.add("SET a 2"), ErrClosed)
	_, err := b.l.BeginRewrite()
	require.ErrorIs(t, err, ErrClosed)

	b = newBed(t, EverySec)
	b.fail("write", syscall.ENOSPC)
	b.l.Append(cmd("SET a 1"))
	require.ErrorIs(t, b.l.Flush(), syscall.ENOSPC)
	require.ErrorIs(t, b.l.Close(), syscall.ENOSPC)

	b = newBed(t, EverySec)
	b.fail("sync", syscall.EIO)
	b.l.Append(cmd("SET a 1"))
	require.ErrorIs(t, b.l.Flush(), syscall.EIO)
	b.fs.setHook(nil)
	require.NoError(t, b.l.Flush())
	require.NoError(t, b.l.Status().Err)
}

func TestCommitOfWhatWasNeverAppended(t *testing.T) {
	b := newBed(t, Always)
	require.NoError(t, b.add("SET a 1"))
	require.NoError(t, b.l.Commit(b.l.End()+1000))
}

func TestStrerror(t *testing.T) {
	require.Equal(t, "No space left on device", Strerror(fmt.Errorf("x: %w", syscall.ENOSPC)))
	require.Equal(t, "other", Strerror(errors.New("other")))
	_, err := OS{}.OpenFile(filepath.Join(t.TempDir(), "none"), os.O_RDONLY, 0)
	require.Equal(t, "No such file or directory", Strerror(err))
}
