package aof_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"byor/pkg/aof"
	"byor/pkg/resp"
)

// fullDisk is the operating system's file system, on which there is no room while full is set.
type fullDisk struct {
	aof.OS
	full *bool
}

func (d fullDisk) OpenFile(name string, flag int, perm fs.FileMode) (aof.File, error) {
	f, err := d.OS.OpenFile(name, flag, perm)
	return fullFile{f, d.full}, err
}

type fullFile struct {
	aof.File
	full *bool
}

func (f fullFile) Write(p []byte) (int, error) {
	if *f.full {
		return 0, syscall.ENOSPC
	}
	return f.File.Write(p)
}

// A full disk cannot be ordered from a real one, so a test gives the log a file system of its own. Under everysec the
// bytes are kept and tried again; under always the server has promised too much, and must exit.
func ExampleFS() {
	for _, policy := range []aof.Policy{aof.EverySec, aof.Always} {
		dir, _ := os.MkdirTemp("", "aof")
		defer os.RemoveAll(dir)
		full := false
		var disk aof.FS = fullDisk{full: &full}
		log, err := aof.Open(aof.Options{Dir: dir, Policy: policy, PlainBase: true, FS: disk}, nil)
		if err != nil {
			fmt.Println(err)
			return
		}
		full = true
		end := log.Append(resp.AppendCommandStrings(nil, "INCR", "visits"))
		err = log.Commit(end)
		var refuse *aof.WriteError
		var exit *aof.FatalError
		fmt.Printf("%s: refuse writes: %t, exit: %t, no space: %t\n",
			policy, errors.As(err, &refuse), errors.As(err, &exit), errors.Is(err, syscall.ENOSPC))
		full = false
		fmt.Println("with room again:", log.Commit(end) == nil)
		log.Close()
	}
	// Output:
	// everysec: refuse writes: true, exit: false, no space: true
	// with room again: true
	// always: refuse writes: false, exit: true, no space: true
	// with room again: false
}

// What a crash leaves behind is cut back to the last whole command. What no crash leaves behind is refused, and the
// files stay as they are.
func ExampleLoad() {
	const incr = "*2\r\n$4\r\nINCR\r\n$1\r\nn\r\n"
	const manifest = "file first seq 1 type i\nfile last seq 2 type i\n"
	files := func(manifest, first, last string) map[string]string {
		return map[string]string{"appendonly.aof.manifest": manifest, "first": first, "last": last}
	}
	careful := aof.Options{RefuseTruncated: true}
	load(aof.Options{}, files(manifest, incr, incr+incr+"*2\r\n$4\r\nIN"))
	load(careful, files(manifest, incr, incr+"*2"))
	load(aof.Options{}, files(manifest, incr+"*2", incr))
	load(careful, files(manifest, incr, "GET n\r\n"))
	load(careful, map[string]string{"appendonly.aof.1.incr.aof": incr})
	// Output:
	// 3 commands in 2 files; 10 bytes cut off last
	// last is torn at byte 23
	// first is torn at byte 23, and is not the last
	// last is damaged at byte 0
	// nothing says which files count
}

// load makes the files in a directory, loads them, and says what came of it.
func load(o aof.Options, files map[string]string) {
	o.Dir, _ = os.MkdirTemp("", "aof")
	o.DirName = "log"
	defer os.RemoveAll(o.Dir)
	_ = os.Mkdir(filepath.Join(o.Dir, o.DirName), 0o755)
	for name, content := range files {
		_ = os.WriteFile(filepath.Join(o.Dir, o.DirName, name), []byte(content), 0o644)
	}
	found, err := aof.Load(o, aof.Handlers{Apply: func([][]byte) error { return nil }})
	var bad *aof.LoadError
	if errors.Is(err, aof.ErrNoManifest) {
		fmt.Println("nothing says which files count")
	} else if !errors.As(err, &bad) {
		fmt.Printf("%d commands in %d files; %d bytes cut off %s\n", found.Commands, found.Files, found.CutBytes, found.CutFile)
	} else if errors.Is(bad.Err, aof.ErrTruncated) {
		fmt.Println(bad.File, "is torn at byte", bad.Offset)
	} else if errors.Is(bad.Err, aof.ErrNotLast) {
		fmt.Printf("%s is torn at byte %d, and is not the last\n", bad.File, bad.Offset)
	} else if errors.Is(bad.Err, aof.ErrFormat) {
		fmt.Println(bad.File, "is damaged at byte", bad.Offset)
	}
}
