package main

import (
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// report collects what the tests say, and shows what concerns a person: a line a package, and of a
// failed test all that it printed.
type report struct {
	w      io.Writer
	noSkip bool // a skip is a failure, and so shown

	said           map[[2]string][]string // what each running test has printed, by package and name
	passed         int
	failed         []string       // package and name of each
	skipped        map[string]int // how many for each reason
	packagesFailed bool
}

// packages tells how each program that tests want is got.
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

var (
	skipLine     = regexp.MustCompile(`(?m)^ +\w+\.go:\d+: (.*)$`)
	notInstalled = regexp.MustCompile(`^(\S+) is not installed`)
)

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
		r.failed = append(r.failed, key[0]+" "+key[1])
	case "skip":
		if r.skipped == nil {
			r.skipped = map[string]int{}
		}
		r.skipped[reason(text)]++
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
			r.failed = append(r.failed, key[0]+" "+key[1])
			fmt.Fprint(r.w, strings.Join(text, ""))
		}
		if key[0] == e.Package {
			delete(r.said, key)
		}
	}
}

// reason returns why a test was skipped, from what it printed. Two tests that want the same program have
// the same reason.
func reason(text string) string {
	lines := skipLine.FindAllStringSubmatch(text, -1)
	if len(lines) == 0 {
		return "it did not say why"
	}
	m := lines[len(lines)-1] // what it logged before is something else
	if p := notInstalled.FindString(m[1]); p != "" {
		return p
	}
	return m[1]
}

// end prints the last lines and says whether all is well.
func (r *report) end() bool {
	slices.Sort(r.failed)
	for _, name := range r.failed {
		fmt.Fprintln(r.w, "FAILED:", name)
	}
	skipped := 0
	for _, n := range r.skipped {
		skipped += n
	}
	if skipped > 0 {
		fmt.Fprintf(r.w, "%d tests were skipped: %s\n", skipped, r.why())
	}
	fmt.Fprintf(r.w, "%d passed, %d failed, %d skipped\n", r.passed, len(r.failed), skipped)
	return len(r.failed) == 0 && !r.packagesFailed && !(r.noSkip && skipped > 0)
}

// why says how many tests were skipped for which reason, and how to get the programs that they want.
func (r *report) why() string {
	var counts, debian, brew []string
	for _, reason := range slices.Sorted(maps.Keys(r.skipped)) {
		counts = append(counts, fmt.Sprintf("%d (%s)", r.skipped[reason], reason))
		m := notInstalled.FindStringSubmatch(reason)
		for _, p := range packages {
			if m != nil && p.program == m[1] {
				debian, brew = append(debian, p.debian), append(brew, p.brew)
			}
		}
	}
	text := strings.Join(counts, ", ") + "."
	if len(debian) == 0 {
		return text
	}
	return fmt.Sprintf("%s To run them: sudo apt-get install %s (macOS: brew install %s).", text, unique(debian), unique(brew))
}

// unique joins the names that are not empty, each once.
func unique(names []string) string {
	slices.Sort(names)
	names = slices.DeleteFunc(slices.Compact(names), func(s string) bool { return s == "" })
	return strings.Join(names, " ")
}
