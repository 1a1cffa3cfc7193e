// Package course knows the course as files: the folders of its steps, the skeletons that a learner begins
// with, and how a step is built.
package course

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Last is the number of the last step.
const Last = 10

// Folders holds each step's folder by its number; index 0 is not used.
var Folders = [Last + 1]string{"", "01-tcp-echo", "02-resp-parser", "03-get-set", "04-expiry", "05-aof",
	"06-rdb", "07-pubsub", "08-replication", "09-shutdown", "10-websocket-capstone"}

// Build compiles the package in dir (relative to root) to bin. With an overlay (go build -overlay)
// files are taken from elsewhere; "" is none.
func Build(root, dir, bin, overlay string) error {
	args := []string{"build", "-ldflags=-s -w", "-o", bin} // no symbols: links in half the time
	if overlay != "" {
		args = append(args, "-overlay", overlay)
	}
	cmd := exec.Command("go", append(args, "./"+filepath.ToSlash(dir))...)
	cmd.Dir = root
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s does not compile:\n%s", dir, out)
	}
	return nil
}

// Root returns the top directory of the course, looked for from the working directory upward.
func Root() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if b, err := os.ReadFile(filepath.Join(dir, "go.mod")); err == nil && strings.HasPrefix(string(b), "module byor") {
			return dir, nil
		}
		up := filepath.Dir(dir)
		if up == dir {
			return "", errors.New("this is not inside the course's repository")
		}
		dir = up
	}
}
