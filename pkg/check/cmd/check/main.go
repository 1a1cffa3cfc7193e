// Check judges a server: the step's own, a learner's in work/NN, one at an address, or one that a
// command starts. `make check-04` and the like call it; see `make help` and -h.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"byor/pkg/check"
	"byor/pkg/check/course"
	"byor/pkg/check/mytest"
	"byor/pkg/check/process"
	_ "byor/pkg/check/steps" // the checks of all steps
	"byor/pkg/resp"
	"byor/pkg/version"
)

// options are the command line.
type options struct {
	root, addr, cmd, dir string
	step, ex, upto       int
	test                 bool // the exercise is to write the test
	only                 string
	verbose, json, watch bool
	progress             bool
	limit                time.Duration
	out                  io.Writer // for what comes while the checks run
}

func main() {
	var o options
	flag.IntVar(&o.step, "step", 0, "the step to check, 1 to 10; 0 checks all")
	flag.Func("ex", "check this exercise of the step instead of the step itself: its `number`, or test for the learner's "+mytest.File, o.setEx)
	flag.IntVar(&o.upto, "upto", 0, "only what can pass when the pieces of the guide up to this one are written")
	flag.StringVar(&o.only, "only", "", "only the checks with these `names`, with commas between")
	flag.StringVar(&o.addr, "addr", "", "check the server at this host:port")
	flag.StringVar(&o.cmd, "cmd", "", "check the server that this shell command starts (it finds PORT, DIR and more in its environment)")
	flag.StringVar(&o.dir, "dir", "", "build and check the package in this directory; without it work/NN, if that is there, and else the finished step; with -step 0, all in work that are there")
	flag.BoolVar(&o.verbose, "verbose", false, "show all traffic, annotated")
	flag.BoolVar(&o.json, "json", false, "print the results as JSON, one object a line")
	flag.BoolVar(&o.watch, "watch", false, "check again whenever a file changes")
	flag.BoolVar(&o.progress, "progress", false, "only show the progress and what comes next")
	flag.DurationVar(&o.limit, "limit", 3*time.Second, "how long an answer may take")
	flag.Parse()
	version.FlagsOnly()
	ctx, stop := signal.NotifyContext(context.Background(), process.Endings...)
	defer stop()
	o.out = process.Stdout(stop)
	code, err := run(ctx, o)
	if err != nil {
		fmt.Fprintln(os.Stderr, "check:", err)
		code = 2
	}
	os.Exit(code)
}

// run returns the exit code: 0 when nothing failed, 1 when something did.
func run(ctx context.Context, o options) (int, error) {
	var err error
	if o.root, err = course.Root(); err != nil && o.dir+o.addr+o.cmd == "" {
		return 2, err
	}
	if o.step < 0 || o.step > course.Last {
		return 2, fmt.Errorf("there are steps 1 to %d, not %d", course.Last, o.step)
	}
	if o.progress {
		return 0, showProgress(o.root)
	}
	if o.watch {
		return 0, watch(ctx, o)
	}
	ok, err := checkOnce(ctx, o)
	if err != nil || ok {
		return 0, err
	}
	return 1, nil
}

func showProgress(root string) error {
	p, err := check.LoadProgress(root)
	if err == nil {
		p.Show(os.Stdout)
	}
	return err
}

// checkOnce checks the step asked for, or each in turn.
func checkOnce(ctx context.Context, o options) (bool, error) {
	first, last := o.step, o.step
	if o.step == 0 {
		first, last = 1, course.Last
	}
	ok := true
	for step := first; step <= last && ctx.Err() == nil; step++ {
		one := o
		if o.step == 0 && o.dir != "" { // a learner's folder of folders
			one.dir = filepath.Join(o.dir, fmt.Sprintf("%02d", step))
			if _, err := os.Stat(filepath.Join(o.root, one.dir)); errors.Is(err, os.ErrNotExist) {
				continue // not begun; the progress shows it
			}
		}
		fine, err := checkStep(ctx, one, step)
		if err != nil && o.step == 0 && o.dir != "" { // one that does not compile does not hide the others
			fmt.Fprintln(os.Stderr, "check:", err)
			fine, err = false, nil
		}
		if err != nil {
			return false, err
		}
		ok = ok && fine
	}
	if o.step == 0 && !o.json {
		fmt.Println()
		return ok, showProgress(o.root)
	}
	return ok && ctx.Err() == nil, nil // what was interrupted has proved nothing
}

func checkStep(ctx context.Context, o options, step int) (bool, error) {
	if o.test {
		return judgeTest(ctx, o, step)
	}
	o.dir = dirOf(o, step)
	q, err := asked(o, step)
	if err != nil {
		return false, err
	}
	target, clean, err := targetOf(o, step)
	if err != nil {
		return false, err
	}
	defer clean()
	report := &check.Report{W: o.out, Step: step, Verbose: o.verbose, Color: isTerminal(os.Stdout)}
	enc := json.NewEncoder(o.out)
	runner := check.Runner{Limit: o.limit, Traffic: o.verbose, Each: func(r check.Result) {
		if o.json {
			enc.Encode(r)
			return
		}
		report.Result(r)
	}}
	if !o.json {
		report.Title(fmt.Sprintf("%s, checking %s%s", course.Folders[step], target.Name, q.note))
	}
	results, err := runner.Run(ctx, target, q.checks)
	if err != nil {
		return false, err
	}
	if o.json {
		return passed(results) >= 0, remember(o, step, results, q.part, false)
	}
	report.Waiting(q.wait, q.pieces, q.unwritten)
	ok := report.Summary(results)
	return ok, remember(o, step, results, q.part, true)
}

// passed returns how many passed, or -1 when any failed.
func passed(results []check.Result) int {
	n := 0
	for _, r := range results {
		switch r.Status {
		case check.Failed:
			return -1
		case check.Passed:
			n++
		}
	}
	return n
}

// remember keeps the progress of a learner's own server; the course's finished step proves nothing. An
// exercise may be solved in the step's own folder, which does not pass it as it comes.
// A run that asked for a part (part says why) proves nothing about the rest.
func remember(o options, step int, results []check.Result, part string, say bool) error {
	finished := (o.dir == "" || filepath.Clean(o.dir) == course.Folders[step]) && o.addr+o.cmd == "" && o.ex == 0
	if finished || o.root == "" || passed(results) < 1 {
		return nil
	}
	if part != "" {
		if say {
			fmt.Println("Not counted as done:", part)
		}
		return nil
	}
	if isRedis(o, step) {
		if say {
			fmt.Println("Not counted as done: that was a real Redis, not yours.")
		}
		return nil
	}
	if i := slices.IndexFunc(results, func(r check.Result) bool { return r.Unasked }); i >= 0 {
		if say {
			fmt.Println("Not counted as done: there are checks that were not made:", results[i].Why)
		}
		return nil
	}
	ex := ""
	if o.ex > 0 {
		ex = strconv.Itoa(o.ex)
	}
	return done(o.root, step, ex, say)
}

// done notes that step, or its exercise ex, is done.
func done(root string, step int, ex string, say bool) error {
	p, err := check.LoadProgress(root)
	if err != nil {
		return err
	}
	fresh := p.Done(step, ex, time.Now())
	if say && fresh {
		fmt.Println()
		p.Show(os.Stdout)
	}
	return p.Save(root)
}

// isRedis says whether what passed is no learner's work: the texts have people judge a real Redis, too. A server of
// steps 01 to 09 has no version of Redis to tell.
func isRedis(o options, step int) bool {
	if strings.Contains(o.cmd, "redis-server") {
		return true
	}
	if o.addr == "" || step == course.Last {
		return false
	}
	c, err := net.DialTimeout("tcp", o.addr, o.limit)
	if err != nil {
		return false
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(o.limit))
	if _, err := io.WriteString(c, "INFO server\r\n"); err != nil {
		return false
	}
	v, err := resp.NewReader(c).ReadValue()
	return err == nil && strings.Contains(string(v.Str), "redis_version:")
}

// targetOf returns what is judged and how to clean up after it.
func targetOf(o options, step int) (*process.Target, func(), error) {
	nothing := func() {}
	switch {
	case o.addr != "":
		return process.AddrTarget(step, o.addr), nothing, nil
	case o.cmd != "":
		return process.CmdTarget(step, o.cmd), nothing, nil
	}
	tmp, err := os.MkdirTemp("", "byor-check-")
	if err != nil {
		return nil, nothing, err
	}
	clean := func() { os.RemoveAll(tmp) }
	dir, title := course.Folders[step], fmt.Sprintf("the finished step (yours will be work/%02d: make start-%02d)", step, step)
	if o.dir != "" {
		dir, title = o.dir, o.dir
		if _, err := os.Stat(filepath.Join(o.root, dir)); errors.Is(err, os.ErrNotExist) {
			clean()
			return nil, nothing, fmt.Errorf("there is no %s; `make start-%02d` makes work/%02d", dir, step, step)
		}
	}
	bin := filepath.Join(tmp, "server")
	if runtime.GOOS == "windows" {
		bin += ".exe"
	}
	if err := course.Build(o.root, dir, bin, ""); err != nil {
		clean()
		return nil, nothing, err
	}
	target := process.StepTarget(step, bin)
	target.Name = title
	target.Source = &process.Source{Root: o.root, Dir: dir}
	return target, clean, nil
}

// isTerminal says whether f is a terminal that shows colours.
func isTerminal(f *os.File) bool {
	st, err := f.Stat()
	return err == nil && st.Mode()&os.ModeCharDevice != 0 && os.Getenv("NO_COLOR") == ""
}
