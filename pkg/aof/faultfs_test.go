package aof

import (
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// faultFS is the operating system's file system with a hook before every step
// that changes something, and a memory of what has been synced. It does not really
// sync unless told to: tests would wait for the disk, thousands of times.
type faultFS struct {
	OS
	real   bool
	mu     sync.Mutex
	hook   func(op, path string) error // called without mu; may block
	short  int                         // how many bytes of a failing write are written all the same
	synced map[string]int64            // per file, the length that a power cut leaves
	moved  map[string]string           // where a file went that may still be open
	count  map[string]int              // per operation, how often it was called
}

func newFaultFS() *faultFS {
	return &faultFS{synced: map[string]int64{}, moved: map[string]string{}, count: map[string]int{}}
}

func (f *faultFS) setHook(hook func(op, path string) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.hook = hook
}

func (f *faultFS) counted(op string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.count[op]
}

func (f *faultFS) step(op, path string) error {
	f.mu.Lock()
	f.count[op]++
	hook := f.hook
	f.mu.Unlock()
	if hook == nil {
		return nil
	}
	return hook(op, path)
}

func (f *faultFS) OpenFile(name string, flag int, perm fs.FileMode) (File, error) {
	if flag&os.O_CREATE != 0 {
		if err := f.step("create", name); err != nil {
			return nil, err
		}
	}
	file, err := f.OS.OpenFile(name, flag, perm)
	if err != nil {
		return nil, err
	}
	if flag&os.O_TRUNC != 0 {
		f.mu.Lock()
		f.synced[name] = 0
		delete(f.moved, name)
		f.mu.Unlock()
	}
	return &faultFile{File: file, fs: f, name: name}, nil
}

func (f *faultFS) Mkdir(name string, perm fs.FileMode) error {
	if err := f.step("mkdir", name); err != nil {
		return err
	}
	return f.OS.Mkdir(name, perm)
}

func (f *faultFS) Rename(from, to string) error {
	if err := f.step("rename", from); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.moved[from] = to
	if n, ok := f.synced[from]; ok {
		f.synced[to] = n
		delete(f.synced, from)
	}
	return f.OS.Rename(from, to)
}

func (f *faultFS) Remove(name string) error {
	if err := f.step("remove", name); err != nil {
		return err
	}
	return f.OS.Remove(name)
}

func (f *faultFS) SyncDir(name string) error {
	if err := f.step("syncdir", name); err != nil {
		return err
	}
	if !f.real {
		return nil
	}
	return f.OS.SyncDir(name)
}

type faultFile struct {
	File
	fs   *faultFS
	name string
}

func (f *faultFile) Write(p []byte) (int, error) {
	if err := f.fs.step("write", f.name); err != nil {
		n, _ := f.File.Write(p[:min(f.fs.short, len(p))])
		return n, err
	}
	return f.File.Write(p)
}

func (f *faultFile) Truncate(size int64) error {
	if err := f.fs.step("truncate", f.name); err != nil {
		return err
	}
	return f.File.Truncate(size)
}

func (f *faultFile) Sync() error {
	f.fs.mu.Lock()
	name, ok := f.fs.moved[f.name]
	f.fs.mu.Unlock()
	if !ok {
		name = f.name
	}
	info, err := f.fs.Stat(name)
	if err := f.fs.step("sync", f.name); err != nil {
		return err
	}
	if err == nil { // what is written while the sync runs does not count
		f.fs.mu.Lock()
		f.fs.synced[name] = info.Size()
		f.fs.mu.Unlock()
	}
	if !f.fs.real {
		return nil
	}
	return f.File.Sync()
}

// crash copies a data directory as a crash would leave it: killed, the process
// loses nothing that was written; a power cut takes half of what was not synced,
// so that files are torn.
func (f *faultFS) crash(t *testing.T, dir string, power bool) string {
	t.Helper()
	f.mu.Lock()
	synced := maps.Clone(f.synced) // before the copy: the log may go on meanwhile
	f.mu.Unlock()
	to := copyDir(t, dir)
	if !power {
		return to
	}
	for name, n := range synced {
		rel, err := filepath.Rel(dir, name)
		require.NoError(t, err)
		if info, err := os.Stat(filepath.Join(to, rel)); err == nil {
			require.NoError(t, os.Truncate(filepath.Join(to, rel), n+(info.Size()-n)/2))
		}
	}
	return to
}
