// Command test runs `go test` and says at the end what a person wants to know: how many tests passed,
// what failed and what it printed, and how many were skipped for want of which program.
//
//	go run ./pkg/redistest/cmd/test [-noskip] go test's flags and packages
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"

	"byor/pkg/version"
)

func main() {
	args := os.Args[1:]
	r := &report{w: os.Stdout}
	if len(args) > 0 && (args[0] == "-h" || args[0] == "-help" || args[0] == "--help") {
		fmt.Println("test [-noskip] [flags and packages of go test]: runs go test and reports in a few lines.\n" +
			"-noskip: a test that is skipped is a failure")
		return
	}
	if len(args) == 1 && slices.Contains([]string{"-v", "-version", "--version"}, args[0]) { // among others, -v is go test's
		fmt.Println(version.String())
		return
	}
	if i := slices.Index(args, "-noskip"); i >= 0 {
		r.noSkip, args = true, slices.Delete(args, i, i+1)
	}
	cmd := exec.Command("go", append([]string{"test", "-json"}, args...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	r.read(out)
	failed := cmd.Wait() != nil
	if !r.end() || failed {
		os.Exit(1)
	}
}

// event is a line of what go test -json prints; see `go doc test2json`.
type event struct {
	Action     string
	Package    string
	ImportPath string // of a package that does not compile
	Test       string
	Output     string
}

// read takes the events one after the other. A line that is none is shown as it is.
func (r *report) read(in io.Reader) {
	lines := bufio.NewReader(in)
	for {
		line, err := lines.ReadBytes('\n')
		var e event
		if len(line) > 0 && json.Unmarshal(line, &e) == nil {
			r.event(e)
		} else {
			r.w.Write(line)
		}
		if err != nil {
			return
		}
	}
}
