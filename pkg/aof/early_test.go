package aof

import (
	"bytes"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// earlyFS counts how often the disk was told to begin, and how often with a file that was closed.
type earlyFS struct {
	OS
	begun, misused, synced atomic.Int64
}

type countedFile struct {
	File
	fs     *earlyFS
	closed atomic.Bool
}

func (f *earlyFS) OpenFile(name string, flag int, perm fs.FileMode) (File, error) {
	file, err := f.OS.OpenFile(name, flag, perm)
	if err != nil {
		return nil, err
	}
	return &countedFile{File: file, fs: f}, nil
}

func (f *countedFile) StartSync() {
	for range 3 {
		if f.closed.Load() {
			f.fs.misused.Add(1)
		}
		runtime.Gosched()
	}
	f.File.(earlyFile).StartSync()
	f.fs.begun.Add(1)
}

func (f *countedFile) Sync() error {
	f.fs.synced.Add(1)
	return f.File.Sync()
}

func (f *countedFile) Close() error {
	f.closed.Store(true)
	return f.File.Close()
}

// Under everysec the disk begins soon after a write, with a file that is open: increments come and go meanwhile.
func TestTheDiskBeginsEarly(t *testing.T) {
	for _, policy := range []Policy{EverySec, Always, No} {
		fsys := &earlyFS{}
		l, err := Open(Options{Dir: t.TempDir(), Policy: policy, PlainBase: true, FS: fsys}, nil)
		require.NoError(t, err)
		commit := func() { require.NoError(t, l.Commit(l.Append(cmd("SET k v")))) }
		for range 20 {
			commit()
			rw, err := l.BeginRewrite()
			require.NoError(t, err)
			require.NoError(t, rw.Run(func(io.Writer) error { commit(); return nil }))
		}
		if policy == EverySec {
			begun := fsys.begun.Load()
			require.Eventually(t, func() bool { commit(); return fsys.begun.Load() > begun+1 }, time.Minute, time.Millisecond)
		}
		require.NoError(t, l.Close())
		require.Zero(t, fsys.misused.Load(), policy)
		if policy != EverySec {
			require.Zero(t, fsys.begun.Load(), policy)
		}
	}
}

// What is written at length goes to the disk meanwhile.
func TestSteadily(t *testing.T) {
	fsys := &earlyFS{}
	name := filepath.Join(t.TempDir(), "base")
	file, err := fsys.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o644)
	require.NoError(t, err)
	w := Steadily(file)
	part := bytes.Repeat([]byte("x"), steadyPart/2)
	for range 2*syncEvery/steadyPart + 1 {
		n, err := w.Write(part)
		require.NoError(t, err)
		require.Equal(t, len(part), n)
	}
	require.EqualValues(t, syncEvery/steadyPart, fsys.begun.Load())
	require.EqualValues(t, 1, fsys.synced.Load())
	require.NoError(t, file.Close())
	info, err := os.Stat(name)
	require.NoError(t, err)
	require.EqualValues(t, syncEvery+steadyPart/2, info.Size())
	_, err = w.Write(part)
	require.Error(t, err)
}
