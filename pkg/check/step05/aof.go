package step05

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"byor/pkg/check"
	"byor/pkg/check/trace"
	"byor/pkg/resp"
)

// What the checks know of Redis's append-only file, read independently of pkg/aof.

// aofFile returns the file that a server with data directory dir appends to now: the simple form's
// dir/appendonly.aof, or the last incremental file that Redis 7's manifest names.
func aofFile(dir string) (string, error) {
	multi := filepath.Join(dir, "appendonlydir")
	manifest, err := os.ReadFile(filepath.Join(multi, "appendonly.aof.manifest"))
	if err != nil {
		simple := filepath.Join(dir, "appendonly.aof")
		if _, err := os.Stat(simple); err == nil {
			return simple, nil
		}
		var names []string
		filepath.WalkDir(dir, func(path string, _ os.DirEntry, _ error) error {
			if rel, _ := filepath.Rel(dir, path); rel != "." {
				names = append(names, rel)
			}
			return nil
		})
		return "", fmt.Errorf("neither appendonly.aof nor appendonlydir/appendonly.aof.manifest in the data directory, which holds [%s]",
			strings.Join(names, " "))
	}
	last := ""
	for _, line := range strings.Split(string(manifest), "\n") {
		f := strings.Fields(line)
		if len(f) >= 6 && f[0] == "file" && f[5] == "i" {
			last = f[1]
		}
	}
	if last == "" {
		return "", fmt.Errorf("the manifest names no incremental file: %s", trace.Visible(manifest, 300))
	}
	return filepath.Join(multi, last), nil
}

// aofPath is aofFile for a check: it fails where there is none.
func aofPath(t *check.T, dir string) string {
	path, err := aofFile(dir)
	if err != nil {
		t.Fail("an append-only file", err.Error())
	}
	return path
}

// aofBytes returns the contents of the file being appended to.
func aofBytes(t *check.T, dir string) []byte {
	b, err := os.ReadFile(aofPath(t, dir))
	if err != nil {
		t.Fail("an append-only file that can be read", err.Error())
	}
	return b
}

// AOFCommands returns the commands in the file being appended to, as words.
func AOFCommands(t *check.T, dir string) [][]string {
	b := aofBytes(t, dir)
	cmds, err := parseAOF(b)
	if err != nil {
		t.Fail("a file of RESP commands", err.Error()+" in "+trace.Visible(b, 300))
	}
	return cmds
}

func parseAOF(b []byte) ([][]string, error) {
	var out [][]string
	r := resp.NewCommandReader(bytes.NewReader(b))
	for {
		args, err := r.ReadCommand()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return out, err
		}
		words := make([]string, len(args))
		for i, a := range args {
			words[i] = string(a)
		}
		out = append(out, words)
	}
}

// find returns the commands whose words contain word.
func find(cmds [][]string, word string) [][]string {
	var out [][]string
	for _, c := range cmds {
		for _, w := range c {
			if w == word {
				out = append(out, c)
				break
			}
		}
	}
	return out
}

// CutFile copies the first n bytes of path's contents back to path.
func CutFile(t *check.T, path string, b []byte, n int) {
	if err := os.WriteFile(path, b[:n], 0o644); err != nil {
		t.Skip(err.Error())
	}
}
