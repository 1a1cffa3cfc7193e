package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"byor/pkg/check"
	"byor/pkg/check/course"
	"byor/pkg/check/mytest"
	"byor/pkg/check/process"
)

// The exercise "Write the test": the learner's test is judged, and not a server.

// testEx is the name of that exercise, on the command line and in the progress.
const testEx = "test"

// setEx reads the flag -ex.
func (o *options) setEx(s string) error {
	if o.test = s == testEx; o.test {
		return nil
	}
	n, err := strconv.Atoi(s)
	if o.ex = n; err != nil || n < 0 {
		return fmt.Errorf("an exercise is a number, or %s", testEx)
	}
	return nil
}

// judgeTest judges my_test.go in o.dir, work/NN or the step's folder.
func judgeTest(ctx context.Context, o options, step int) (bool, error) {
	switch {
	case !mytest.At(step):
		return false, fmt.Errorf("step %02d has no exercise %s; steps %v have one", step, testEx, mytest.Steps)
	case o.addr+o.cmd+o.only != "" || o.upto > 0:
		return false, fmt.Errorf("EX=%s judges %s, and no server: it takes no ADDR=, CMD=, UPTO= or ONLY=", testEx, mytest.File)
	}
	if o.dir = dirOf(o, step); o.dir == "" {
		o.dir = course.Folders[step]
	}
	tmp, err := os.MkdirTemp("", "byor-check-")
	if err != nil {
		return false, err
	}
	defer os.RemoveAll(tmp)
	test, err := mytest.Compile(ctx, o.root, o.dir, tmp)
	if err != nil {
		return false, err
	}
	b := builder{root: o.root, tmp: tmp, bin: filepath.Join(o.root, "bin", "mutants"), slots: make(chan bool, 2)}
	judge, err := b.judge(step)
	if err != nil {
		return false, err
	}
	p := &mytest.Report{W: os.Stdout, Step: step, JSON: o.json, Verbose: o.verbose}
	p.Title(filepath.ToSlash(filepath.Join(o.dir, mytest.File)), test, judge)
	judge.Each = p.Verdict
	out, err := judge.Run(ctx, test)
	if err != nil {
		return false, err
	}
	p.Outcome(out)
	if !out.Pass() {
		return false, nil
	}
	return true, done(o.root, step, testEx, !o.json)
}

// builder builds servers with mistakes. They stay in bin/mutants: go build leaves alone what is up to date, and a
// learner asks often.
type builder struct {
	root, tmp, bin string
	slots          chan bool // two at a time
}

// judge returns what a test of step meets.
func (b *builder) judge(step int) (*mytest.Judge, error) {
	mutants, err := check.Testable(b.root, step)
	if err != nil {
		return nil, err
	}
	os.MkdirAll(b.bin, 0o755)
	if old, err := os.ReadDir(b.bin); err == nil {
		for _, f := range old {
			if !strings.HasPrefix(f.Name(), fmt.Sprintf("%02d-", step)) {
				os.Remove(filepath.Join(b.bin, f.Name())) // one step's are enough
			}
		}
	}
	j := &mytest.Judge{Right: func() (*process.Target, error) { return b.build(step, fmt.Sprintf("%02d-right", step), "") }}
	for _, m := range mutants {
		about, err := check.About(b.root, m)
		if err != nil {
			return nil, err
		}
		j.Mistakes = append(j.Mistakes, mytest.Mistake{Words: m.Mistake, About: about, Server: func() (*process.Target, error) {
			overlay, err := course.Overlay(b.root, filepath.Join(b.tmp, m.Name), m.Patch)
			if err != nil {
				return nil, fmt.Errorf("%s is not as it came, so the mistakes cannot be made in it: %w", course.Folders[step], err)
			}
			return b.build(step, m.Name, overlay)
		}})
	}
	return j, nil
}

func (b *builder) build(step int, name, overlay string) (*process.Target, error) {
	b.slots <- true
	defer func() { <-b.slots }()
	bin := filepath.Join(b.bin, name)
	if runtime.GOOS == "windows" {
		bin += ".exe"
	}
	if err := course.Build(b.root, course.Folders[step], bin, overlay); err != nil {
		return nil, err
	}
	return process.StepTarget(step, bin), nil
}
