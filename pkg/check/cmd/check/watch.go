package main

import (
	"context"
	"fmt"
	"hash/fnv"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"byor/pkg/check"
	"byor/pkg/check/course"
)

// watch checks, then checks again whenever a file of the server's changes. It polls, because change
// notifications do not reach WSL from Windows nor cross a network drive.
func watch(ctx context.Context, o options) error {
	dir := o.dir
	switch {
	case dir != "":
	case o.cmd != "" || o.addr != "":
		dir = "."
	case o.step > 0:
		if dir = dirOf(o, o.step); dir == "" {
			dir = course.Folders[o.step]
		}
	}
	if !filepath.IsAbs(dir) && o.cmd == "" {
		dir = filepath.Join(o.root, dir)
	}
	var last uint64
	for ctx.Err() == nil {
		if now := fingerprint(append(namedFiles(o.cmd), dir)...); now != last {
			last = now
			fmt.Printf("\n--- %s ---\n", time.Now().Format("15:04:05"))
			if _, err := checkOnce(ctx, o); err != nil {
				fmt.Println("check:", err) // it may not compile at the moment
			}
			fmt.Println("waiting for a change (Ctrl-C ends)")
		}
		select {
		case <-ctx.Done():
		case <-time.After(500 * time.Millisecond):
		}
	}
	return nil
}

// namedFiles returns the files that a command names, wherever they are.
func namedFiles(command string) []string {
	var files []string
	for _, word := range strings.Fields(command) {
		word = strings.Trim(word, `"'`)
		if st, err := os.Stat(word); err == nil && st.Mode().IsRegular() {
			files = append(files, word)
		}
	}
	return files
}

// fingerprint sums up names, sizes and times of files, and of the files below directories.
func fingerprint(paths ...string) uint64 {
	h := fnv.New64a()
	for _, top := range paths {
		filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return nil
			}
			if d.IsDir() {
				if name := d.Name(); path != top && (name[0] == '.' || name == "bin" || name == "node_modules") {
					return filepath.SkipDir
				}
				return nil
			}
			if name := d.Name(); name == check.ProgressFile || filepath.Ext(name) == ".tmp" {
				return nil
			}
			if st, err := os.Stat(path); err == nil {
				fmt.Fprintln(h, path, st.Size(), st.ModTime().UnixNano())
			}
			return nil
		})
	}
	return h.Sum64() | 1
}
