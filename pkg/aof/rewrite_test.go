package aof

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// engine stands for a server: a list of commands that grows under a lock. Its
// base is the list, so a replay must give the list again, nothing twice.
type engine struct {
	t  *testing.T
	l  *Log
	mu sync.Mutex
	// done holds what was executed; the first acked of it were committed.
	done  []string
	acked int
}

func (e *engine) add() error {
	e.mu.Lock()
	line := fmt.Sprintf("SET k %d", len(e.done))
	e.done = append(e.done, line)
	n := len(e.done)
	end := e.l.Append(cmd(line))
	e.mu.Unlock()
	err := e.l.Commit(end)
	if err == nil {
		e.mu.Lock()
		e.acked = max(e.acked, n)
		e.mu.Unlock()
	}
	return err
}

func (e *engine) begin() (*Rewrite, BaseWriter, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	rw, err := e.l.BeginRewrite()
	return rw, e.base(slices.Clone(e.done)), err
}

// base writes half of a snapshot, lets commands come in between, and goes on.
func (e *engine) base(snapshot []string) BaseWriter {
	return func(w io.Writer) error {
		half := len(snapshot) / 2
		if _, err := w.Write(cmds(snapshot[:half]...)); err != nil {
			return err
		}
		for range 3 {
			_ = e.add()
		}
		_, err := w.Write(cmds(snapshot[half:]...))
		return err
	}
}

func (e *engine) rewrite() error {
	rw, base, err := e.begin()
	require.NoError(e.t, err)
	return rw.Run(base)
}

// check replays a copy of the directory: it must hold all that was acknowledged,
// and nothing that was not executed.
func (e *engine) check(dir, note string) {
	e.t.Helper()
	e.checkFrom(dir, e.promised(), note)
}

func (e *engine) promised() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.acked
}

func (e *engine) checkFrom(dir string, acked int, note string) {
	e.t.Helper()
	lines, _, err := replay(Options{Dir: dir})
	require.NoError(e.t, err, note)
	e.mu.Lock()
	defer e.mu.Unlock()
	require.GreaterOrEqual(e.t, len(lines), acked, note)
	require.LessOrEqual(e.t, len(lines), len(e.done), note)
	require.Equal(e.t, e.done[:len(lines)], lines, note)
}

func TestRewrite(t *testing.T) {
	b := newBed(t, EverySec)
	e := &engine{t: t, l: b.l}
	for range 10 {
		require.NoError(t, e.add())
	}
	require.NoError(t, e.rewrite())
	require.NoError(t, e.add())
	require.Equal(t, "file appendonly.aof.2.base.aof seq 2 type b\n"+incr2Line+"\n", b.read(man))
	require.Equal(t, []string{"appendonly.aof.2.base.aof", incr2, man}, b.names())
	require.Equal(t, string(cmds(e.done[:10]...)), b.read("appendonly.aof.2.base.aof"))
	require.Equal(t, string(cmds(e.done[10:]...)), b.read(incr2))
	st := b.l.Status()
	require.EqualValues(t, len(cmds(e.done...)), st.Size)
	require.EqualValues(t, len(cmds(e.done[:13]...)), st.BaseSize)
	require.EqualValues(t, 1, st.Rewrites)
	require.True(t, st.LastRewriteOK)
	require.False(t, st.Rewriting)
	temps, err := filepath.Glob(filepath.Join(b.dir, "temp-*"))
	require.NoError(t, err)
	require.Empty(t, temps)
	for _, want := range []string{"Creating AOF incr file appendonly.aof.2.incr.aof on background rewrite",
		"Background AOF rewrite terminated with success", "into appendonly.aof.2.base.aof",
		"Removing the history file appendonly.aof.1.base.aof in the background",
		"Background AOF rewrite finished successfully"} {
		require.Contains(t, b.log.text(), want)
	}
	e.check(b.dir, "after the rewrite")
	require.NoError(t, b.l.Close())

	b.l, err = Open(b.o, nil)
	require.NoError(t, err)
	e.l = b.l
	require.NoError(t, e.add())
	require.NoError(t, e.rewrite())
	require.NoError(t, b.l.Close())
	require.Equal(t, "file appendonly.aof.3.base.aof seq 3 type b\nfile appendonly.aof.3.incr.aof seq 3 type i\n", b.read(man))
	e.check(b.dir, "after the second")
}

// TestRewriteUnderLoad lets clients write while the log is rewritten again and
// again: every command is there once and in order.
func TestRewriteUnderLoad(t *testing.T) {
	for _, policy := range []Policy{Always, No} {
		b := newBed(t, policy)
		e := &engine{t: t, l: b.l}
		var clients atomic.Int32
		clients.Store(8)
		for range 8 {
			go func() {
				defer clients.Add(-1)
				for range 100 {
					assert.NoError(t, e.add())
				}
			}()
		}
		for rewrites := 0; clients.Load() > 0 || rewrites < 3; rewrites++ {
			require.NoError(t, e.rewrite())
			if rewrites < 5 {
				acked := e.promised()
				e.checkFrom(b.fs.crash(t, b.dir, policy == Always), acked, "running")
			}
		}
		require.NoError(t, b.l.Close())
		require.Equal(t, len(e.done), e.acked)
		e.check(b.dir, "closed")
	}
}

func TestAbort(t *testing.T) {
	for name, newOne := range beds(Always) {
		b, e := newOne(t)
		rw, _, err := e.begin()
		require.NoError(t, err)
		_, err = b.l.BeginRewrite()
		require.ErrorIs(t, err, ErrRewriting)
		rw.Abort()
		require.ErrorIs(t, rw.Run(e.base(nil)), ErrAborted)

		rw, base, err := e.begin()
		require.NoError(t, err, name)
		require.ErrorIs(t, rw.Run(func(w io.Writer) error {
			rw.Abort()
			require.NoError(t, e.add())
			if err := base(w); err != nil {
				return err
			}
			_, err := w.Write(make([]byte, 1<<20)) // past the buffer
			return err
		}), ErrAborted)
		require.Zero(t, b.l.Status().RewriteFailures)
		require.NoError(t, e.add())
		require.NoError(t, e.rewrite())
		require.NoError(t, b.l.Close())
		e.check(b.dir, name)
	}
}

func TestCloseDuringARewrite(t *testing.T) {
	for name, newOne := range beds(EverySec) {
		b, e := newOne(t)
		rw, base, err := e.begin()
		require.NoError(t, err)
		require.ErrorIs(t, rw.Run(func(w io.Writer) error {
			require.NoError(t, b.l.Close())
			_ = base(w)
			return nil
		}), ErrAborted)
		if name == "a log" {
			e.check(b.dir, name)
		} else {
			require.Empty(t, b.names(), "nothing but a temporary increment was there")
		}
	}
}

// TestCreateReplacesAnEarlierLog is CONFIG SET appendonly no, changes, and yes.
func TestCreateReplacesAnEarlierLog(t *testing.T) {
	b := newBed(t, EverySec)
	e := &engine{t: t, l: b.l}
	require.NoError(t, e.add())
	require.NoError(t, b.l.Close())
	old := copyDir(t, b.dir)

	l, err := Create(b.o)
	require.NoError(t, err)
	e.l = l
	require.NoError(t, e.add())
	require.True(t, l.Status().Waiting)
	for name := range map[string]bool{base1: true, incr1: true, man: true} {
		was, err := os.ReadFile(filepath.Join(old, defaultDirName, name))
		require.NoError(t, err)
		require.Equal(t, string(was), b.read(name), "the earlier log stays in force")
	}
	require.NoError(t, e.rewrite())
	require.False(t, l.Status().Waiting)
	require.Equal(t, "file appendonly.aof.2.base.aof seq 2 type b\n"+incr2Line+"\n", b.read(man))
	require.Equal(t, []string{"appendonly.aof.2.base.aof", incr2, man}, b.names())
	require.NoError(t, e.add())
	require.NoError(t, l.Close())
	e.check(b.dir, "created anew")
}

func TestHistoryIsDeletedAtOpen(t *testing.T) {
	d := newDir(t)
	d.write("appendonly.aof.2.base.aof", cmd("SET a 1"))
	d.write(base1, cmd("SET old 1"))
	d.write(incr1, cmd("SET old 2"))
	d.manifest("file appendonly.aof.2.base.aof seq 2 type b", "file "+base1+" seq 1 type h", "file "+incr1+" seq 1 type h",
		"file already-gone seq 1 type h")
	o := Options{Dir: d.dir, PlainBase: true}
	lines, _, err := replay(o)
	require.NoError(t, err)
	require.Equal(t, []string{"SET a 1"}, lines)
	l, err := Open(o, nil)
	require.NoError(t, err)
	require.NoError(t, l.Commit(l.Append(cmd("SET b 1"))))
	require.NoError(t, l.Close())
	// The new increment must not take the name of one that was about to be deleted.
	require.Equal(t, "file appendonly.aof.2.base.aof seq 2 type b\n"+incr2Line+"\n", d.read(man))
	require.Equal(t, []string{"appendonly.aof.2.base.aof", incr2, man}, d.names())
	lines, _, err = replay(o)
	require.NoError(t, err)
	require.Equal(t, []string{"SET a 1", "SET b 1"}, lines)
}

func TestRewriteDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, No)
		e := &engine{t: t, l: b.l}
		for range 10 {
			require.NoError(t, e.add())
		}
		require.NoError(t, e.rewrite())
		base := b.l.Status().BaseSize
		due := func(percent, minSize int64) bool { _, due := b.l.RewriteDue(percent, minSize); return due }
		require.False(t, due(100, 0))
		require.NoError(t, b.l.Commit(b.l.Append(cmd("SET a "+strings.Repeat("v", int(base))))))
		growth, ok := b.l.RewriteDue(100, 0)
		require.True(t, ok)
		require.Equal(t, b.l.Status().Size*100/base-100, growth)
		require.False(t, due(0, 0), "0 is never")
		require.False(t, due(100, 1<<20), "too small")
		require.False(t, due(1000, 0), "too little")

		for range 3 {
			require.True(t, due(100, 0))
			rw, _, err := e.begin()
			require.NoError(t, err)
			require.False(t, due(100, 0), "one is running")
			require.Error(t, rw.Run(func(io.Writer) error { return syscall.EIO }))
		}
		for _, minutes := range []int{1, 2, 4, 8, 16, 32, 60, 60} {
			require.False(t, due(100, 0))
			require.Contains(t, b.log.text(), fmt.Sprintf("triggered the limit, will retry in %d minutes", minutes))
			time.Sleep(time.Duration(minutes)*time.Minute - time.Second)
			require.False(t, due(100, 0))
			time.Sleep(2 * time.Second)
			require.True(t, due(100, 0))
		}
		require.NoError(t, b.l.Close())
		require.False(t, due(100, 0))
	})
}
