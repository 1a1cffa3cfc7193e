package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// run feeds a report with what go test says.
func run(t *testing.T, r *report, events ...event) (out string, ok bool) {
	t.Helper()
	var in, w strings.Builder
	for _, e := range events {
		b, err := json.Marshal(e)
		require.NoError(t, err)
		in.WriteString(string(b) + "\n")
	}
	r.w = &w
	r.read(strings.NewReader(in.String()))
	ok = r.end()
	return w.String(), ok
}

func TestReportOfAGoodRun(t *testing.T) {
	events := []event{
		{Action: "run", Package: "a", Test: "TestX"},
		{Action: "output", Package: "a", Test: "TestX", Output: "=== RUN   TestX\n"},
		{Action: "pass", Package: "a", Test: "TestX"},
		{Action: "output", Package: "a", Test: "TestY", Output: "    y_test.go:1: seed 7\n    y_test.go:1: redis-server is not installed: this test needs the real thing\n"},
		{Action: "skip", Package: "a", Test: "TestY"},
		{Action: "output", Package: "a", Test: "TestZ", Output: "    z_test.go:1: chromium is not installed: this test needs the real thing\n"},
		{Action: "skip", Package: "a", Test: "TestZ"},
		{Action: "output", Package: "a", Output: "PASS\n"},
		{Action: "output", Package: "a", Output: "ok  \ta\t0.1s\n"},
		{Action: "pass", Package: "a"},
	}
	out, ok := run(t, &report{}, events...)
	require.True(t, ok)
	require.Equal(t, "ok  \ta\t0.1s\n"+
		"2 tests were skipped: 1 (chromium is not installed), 1 (redis-server is not installed). "+
		"To run them: sudo apt-get install chromium redis-server (macOS: brew install chromium redis).\n"+
		"1 passed, 0 failed, 2 skipped\n", out)

	out, ok = run(t, &report{noSkip: true}, events...)
	require.False(t, ok)
	require.Contains(t, out, "y_test.go:1")
}

func TestReportOfFailures(t *testing.T) {
	out, ok := run(t, &report{},
		event{Action: "output", Package: "a", Test: "TestX", Output: "what X printed\n"},
		event{Action: "fail", Package: "a", Test: "TestX"},
		event{Action: "output", Package: "a", Test: "TestHangs", Output: "what it printed\n"},
		event{Action: "output", Package: "a", Output: "panic: test timed out\n"},
		event{Action: "fail", Package: "a"})
	require.False(t, ok)
	require.Equal(t, "what X printed\npanic: test timed out\nwhat it printed\nFAILED: a TestHangs\nFAILED: a TestX\n0 passed, 2 failed, 0 skipped\n", out)

	out, ok = run(t, &report{}, // it does not compile
		event{Action: "build-output", ImportPath: "b", Output: "b.go:1: undefined: x\n"},
		event{Action: "fail", Package: "b"})
	require.False(t, ok)
	require.Contains(t, out, "undefined: x")
}
