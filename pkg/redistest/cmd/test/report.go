package main

import (
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
)

// report collects what the tests say, and shows what concerns a person: a line a package, and of a
// failed test all that it printed.
type report struct {
	w      io.Writer
	noSkip bool // a skip is a failure, and so shown

	said            map[[2]string][]string // what each running test has printed, by package and name
	passed, failed  int
	skipped         int
	missing         map[string]int // skipped tests by the program they want
	other           []string       // why the rest was skipped
	packagesFailed  bool
	lastFailedTests []string
}

// how each program that tests want is got.
var packages = []struct{ program, debian, brew string }{
	{"redis-server", "redis-server", "redis"},
	{"redis-cli", "redis-tools", "redis"},
	{"redis-check-rdb", "redis-tools", "redis"},
	{"redis-check-aof", "redis-tools", "redis"},
	{"redis-benchmark", "redis-tools", "redis"},
	{"chromium", "chromium", "chromium"},
	{"nc", "netcat-openbsd", "netcat"},
	{"strace", "strace", ""},
	{"python3", "python3", "python"},
	{"xxd", "xxd", ""},
	{"git", "git", "git"},
}

var notInstalled = regexp.MustCompile(`(\S+) is not installed`)

func (r *report) event(e event) {
	key := [2]string{e.Package, e.Test}
	switch e.Action {
	case "build-output":
		fmt.Fprint(r.w, e.Output)
	case "output":
		r.output(key, e)
	case "pass", "fail", "skip":
		if e.Test == "" {
			r.packagesFailed = r.packagesFailed || e.Action == "fail"
			r.unfinished(e)
			return
		}
		r.verdict(key, e.Action)
		delete(r.said, key)
	}
}

func (r *report) output(key [2]string, e event) {
	if e.Test != "" {
		if r.said == nil {
			r.said = map[[2]string][]string{}
		}
		r.said[key] = append(r.said[key], e.Output)
		return
	}
	if e.Output != "PASS\n" && e.Output != "FAIL\n" && !strings.Contains(e.Output, "[no test files]") {
		fmt.Fprint(r.w, e.Output)
	}
}

func (r *report) verdict(key [2]string, action string) {
	text := strings.Join(r.said[key], "")
	switch action {
	case "pass":
		r.passed++
		return
	case "fail":
		r.failed++
		r.lastFailedTests = append(r.lastFailedTests, key[0]+" "+key[1])
	case "skip":
		r.skipped++
		if m := notInstalled.FindStringSubmatch(text); m != nil {
			if r.missing == nil {
				r.missing = map[string]int{}
			}
			r.missing[m[1]]++
		} else {
			r.other = append(r.other, strings.TrimSpace(text))
		}
		if !r.noSkip {
			return
		}
	}
	fmt.Fprint(r.w, text)
}

// unfinished shows what was said by the tests of a package that has ended before they did: it ran out of
// time, or panicked.
func (r *report) unfinished(e event) {
	for key, text := range r.said {
		if key[0] == e.Package && e.Action == "fail" {
			r.failed++
			r.lastFailedTests = append(r.lastFailedTests, key[0]+" "+key[1])
			fmt.Fprint(r.w, strings.Join(text, ""))
		}
		if key[0] == e.Package {
			delete(r.said, key)
		}
	}
}

// end prints the last lines and says whether all is well.
func (r *report) end() bool {
	slices.Sort(r.lastFailedTests)
	for _, name := range r.lastFailedTests {
		fmt.Fprintln(r.w, "FAILED:", name)
	}
	for _, why := range r.other {
		fmt.Fprintln(r.w, "skipped:", why)
	}
	if len(r.missing) > 0 {
		fmt.Fprintln(r.w, r.wanted())
	}
	fmt.Fprintf(r.w, "%d passed, %d failed, %d skipped\n", r.passed, r.failed, r.skipped)
	return r.failed == 0 && !r.packagesFailed && !(r.noSkip && r.skipped > 0)
}

// wanted says how many tests want which programs, and how to get these.
func (r *report) wanted() string {
	var counts, debian, brew []string
	total := 0
	add := func(list []string, name string) []string {
		if name == "" || slices.Contains(list, name) {
			return list
		}
		return append(list, name)
	}
	programs := make([]string, 0, len(r.missing))
	for program, n := range r.missing {
		total += n
		programs = append(programs, program)
	}
	slices.Sort(programs)
	for _, program := range programs {
		counts = append(counts, fmt.Sprintf("%d for %s", r.missing[program], program))
		for _, p := range packages {
			if p.program == program {
				debian, brew = add(debian, p.debian), add(brew, p.brew)
			}
		}
	}
	return fmt.Sprintf("%d tests were skipped, since a program is not installed: %s. To run them: sudo apt-get install %s (macOS: brew install %s).",
		total, strings.Join(counts, ", "), strings.Join(debian, " "), strings.Join(brew, " "))
}
