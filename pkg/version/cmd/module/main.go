// Module gives the module another name: in go.mod and in every import, also in those that texts quote and patches
// carry. So a fork can be fetched with go get, and its packages be imported by other programs.
//
//	go run ./pkg/version/cmd/module example.com/you/redis
package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path"
	"regexp"
	"strings"
)

func main() {
	if len(os.Args) != 2 || !goodName.MatchString(os.Args[1]) {
		fmt.Fprintln(os.Stderr, "usage: make module NAME=example.com/you/redis (a host, and a path below it)")
		os.Exit(2)
	}
	n, err := rename(os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Printf("The module is %s now; %d files have changed.\n", os.Args[1], n)
}

// goodName is what can be fetched: the first part of the path is a host.
var goodName = regexp.MustCompile(`^[a-z0-9-]+(\.[a-z0-9-]+)+(/[A-Za-z0-9_.~-]+)*$`)

// rename changes the files of the module in the current directory, and returns how many that were.
func rename(name string) (n int, err error) {
	old, err := exec.Command("go", "list", "-m").Output()
	if err != nil {
		return 0, fmt.Errorf("which module is this? %w", err)
	}
	from := []byte(`"` + strings.TrimSpace(string(old)) + `/`)
	to := []byte(`"` + name + `/`)
	files, err := exec.Command("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard").Output()
	if err != nil {
		return 0, fmt.Errorf("which files are the module's? %w", err)
	}
	for _, file := range strings.Split(strings.TrimRight(string(files), "\x00"), "\x00") {
		switch path.Ext(file) {
		case ".go", ".md", ".patch":
		default:
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			return n, err
		}
		if !bytes.Contains(text, from) {
			continue
		}
		if err := os.WriteFile(file, bytes.ReplaceAll(text, from, to), 0o644); err != nil {
			return n, err
		}
		n++
	}
	return n + 1, exec.Command("go", "mod", "edit", "-module", name).Run()
}
