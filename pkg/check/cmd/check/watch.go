package main

import (
	"context"
	"fmt"
	"hash/fnv"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"byor/pkg/check"
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
		dir = check.Folders[o.step]
	}
	if !filepath.IsAbs(dir) && o.cmd == "" {
		dir = filepath.Join(o.root, dir)
	}
	var last uint64
	for ctx.Err() == nil {
		if now := fingerprint(dir); now != last {
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

// fingerprint sums up names, sizes and times of the files below dir.
func fingerprint(dir string) uint64 {
	h := fnv.New64a()
	filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil
		}
		if d.IsDir() {
			if name := d.Name(); path != dir && (name[0] == '.' || name == "bin" || name == "node_modules") {
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
	return h.Sum64() | 1
}
