package aof

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// Rewrites that crash or fail at any of their steps.

// beds are the two ways to come to a rewrite: of a log, and of none yet.
func beds(policy Policy) map[string]func(*testing.T) (*bed, *engine) {
	return map[string]func(*testing.T) (*bed, *engine){
		"a log": func(t *testing.T) (*bed, *engine) {
			b := newBed(t, policy)
			e := &engine{t: t, l: b.l}
			for range 4 {
				require.NoError(t, e.add())
			}
			return b, e
		},
		"a first base": func(t *testing.T) (*bed, *engine) {
			b := &bed{logDir: newDir(t), fs: newFaultFS(), log: &logLines{}}
			b.o = Options{Dir: b.dir, Policy: policy, PlainBase: true, FS: b.fs, Logf: b.log.f}
			var err error
			b.l, err = Create(b.o)
			require.NoError(t, err)
			e := &engine{t: t, l: b.l}
			for range 4 {
				require.NoError(t, e.add()) // not on any file; the base will hold it
			}
			return b, e
		},
	}
}

// TestCrashAtEveryStep takes a copy of the directory before each step that
// changes something on the disk, as a kill and as a power cut would leave it.
func TestCrashAtEveryStep(t *testing.T) {
	for _, c := range []struct {
		policy Policy
		power  bool
	}{{EverySec, false}, {EverySec, true}, {Always, true}} {
		for name, newOne := range beds(c.policy) {
			t.Run(fmt.Sprintf("%s, %s, power cut %v", name, c.policy, c.power), func(t *testing.T) {
				b, e := newOne(t)
				steps := map[string]bool{}
				b.fs.setHook(func(op, path string) error {
					if name == "a first base" && b.l.Status().Waiting {
						return nil // nothing is promised before the base is in force
					}
					steps[op] = true
					acked := e.promised()
					if c.policy == EverySec && c.power {
						acked = 0 // not what was promised, but that the log loads
					}
					e.checkFrom(b.fs.crash(t, b.dir, c.power), acked, op+" "+path)
					return nil
				})
				require.NoError(t, e.rewrite())
				require.NoError(t, e.add())
				require.NoError(t, e.rewrite())
				require.NoError(t, e.add())
				for _, op := range []string{"create", "rename", "remove", "write", "sync", "syncdir"} {
					require.Contains(t, steps, op)
				}
				b.fs.setHook(nil)
				require.NoError(t, b.l.Close())
				e.check(b.dir, "closed")
			})
		}
	}
}

// TestErrorAtEveryStep makes each step fail once, in turn. Whatever the rewrite
// says, nothing is lost: not in a crash right after, not at a clean end, and not
// by the rewrite that follows.
func TestErrorAtEveryStep(t *testing.T) {
	for name, newOne := range beds(EverySec) {
		t.Run(name, func(t *testing.T) {
			failed := 0
			for step := 1; ; step++ {
				b, e := newOne(t)
				n, note := 0, ""
				b.fs.setHook(func(op, path string) error {
					if n++; n != step {
						return nil
					}
					note = fmt.Sprintf("step %d, %s %s", step, op, path)
					return syscall.EIO
				})
				err := e.rewrite()
				b.fs.setHook(nil)
				if note == "" {
					require.NoError(t, err)
					require.NoError(t, b.l.Close())
					require.Greater(t, step, 15)
					require.Greater(t, failed, 8)
					return
				}
				if err != nil {
					failed++
					require.False(t, b.l.Status().LastRewriteOK, note)
					require.EqualValues(t, 1, b.l.Status().RewriteFailures, note)
				}
				require.False(t, b.l.Status().Rewriting, note)
				_ = b.l.Commit(b.l.End())
				if !b.l.Status().Waiting {
					require.NoError(t, e.add(), note)
					e.check(b.fs.crash(t, b.dir, false), note)
				}
				require.NoError(t, e.rewrite(), note)
				require.NoError(t, e.add(), note)
				require.True(t, b.l.Status().LastRewriteOK)
				e.check(b.fs.crash(t, b.dir, false), note)
				require.NoError(t, b.l.Close(), note)
				e.check(b.dir, note)
				require.Equal(t, len(e.done), e.acked)
			}
		})
	}
}

func TestManifestThatCannotBePutBack(t *testing.T) {
	for name, newOne := range beds(EverySec) {
		for first := 1; first <= 4; first++ { // after the nth sync of a directory fails, no name can be changed
			b, e := newOne(t)
			n := 0
			b.fs.setHook(func(op, path string) error {
				if op == "syncdir" {
					n++
				}
				if n >= first && op != "write" && op != "remove" {
					return syscall.EIO
				}
				return nil
			})
			_ = e.rewrite()
			b.fs.setHook(nil)
			if !b.l.Status().Waiting {
				require.NoError(t, e.add())
				e.check(b.fs.crash(t, b.dir, false), name)
			}
			require.NoError(t, e.rewrite())
			require.NoError(t, e.add())
			require.NoError(t, b.l.Close())
			e.check(b.dir, name)
		}
	}
}

func TestFailedBaseLeavesOneIncrementMore(t *testing.T) {
	b := newBed(t, EverySec)
	e := &engine{t: t, l: b.l}
	own := errors.New("no memory")
	for n := 2; n <= 4; n++ {
		require.NoError(t, e.add())
		rw, _, err := e.begin()
		require.NoError(t, err)
		require.True(t, b.l.Status().Rewriting)
		require.ErrorIs(t, rw.Run(func(io.Writer) error { return own }), own)
	}
	require.NoError(t, e.add())
	require.Equal(t, base1Line+"\n"+incr1Line+"\n"+incr2Line+"\nfile appendonly.aof.3.incr.aof seq 3 type i\n"+
		"file appendonly.aof.4.incr.aof seq 4 type i\n", b.read(man))
	require.EqualValues(t, 3, b.l.Status().RewriteFailures)
	e.check(b.dir, "failed three times")
	require.NoError(t, e.rewrite())
	e.check(b.dir, "then not")
	require.Len(t, b.names(), 3)
}

// TestLineOfARewriteThatIsGone lets a leader arrive at a line that was drawn for a
// rewrite which has been replaced by another meanwhile.
func TestLineOfARewriteThatIsGone(t *testing.T) {
	b := newBed(t, EverySec)
	e := &engine{t: t, l: b.l}
	appendOnly := func() int64 {
		e.done = append(e.done, fmt.Sprintf("SET k %d", len(e.done)))
		return b.l.Append(cmd(e.done[len(e.done)-1]))
	}
	end := appendOnly()
	first, _, err := e.begin()
	require.NoError(t, err)
	entered, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	b.fs.setHook(func(op, path string) error {
		if op == "write" {
			once.Do(func() { close(entered); <-release })
		}
		return nil
	})
	committed := make(chan error)
	go func() { committed <- b.l.Commit(end) }()
	<-entered
	first.Abort()
	appendOnly()
	second, base, err := e.begin()
	require.NoError(t, err)
	close(release)
	require.NoError(t, <-committed)
	require.NoError(t, second.Run(base))
	require.NoError(t, b.l.Close())
	e.check(b.dir, "closed")
}

// TestFullDiskAfterARewrite: a short write is taken out of the new increment too.
func TestFullDiskAfterARewrite(t *testing.T) {
	b := newBed(t, EverySec)
	e := &engine{t: t, l: b.l}
	require.NoError(t, e.rewrite())
	b.fs.short = 5
	b.fail("write", syscall.ENOSPC)
	require.ErrorIs(t, e.add(), syscall.ENOSPC)
	b.fs.setHook(nil)
	require.NoError(t, e.add())
	require.NoError(t, b.l.Close())
	require.Equal(t, string(cmds(e.done...)), b.read(incr2))
}
