package check

import (
	"strings"
	"testing"

	"byor/pkg/check/course"
	"byor/pkg/check/process"

	"github.com/stretchr/testify/require"
)

// reported returns what a report says of results.
func printed(results ...Result) string {
	var out strings.Builder
	report := Report{W: &out}
	for _, r := range results {
		report.Result(r)
	}
	report.Summary(results)
	return out.String()
}

// The failures stand at the end, the first in full and the others by name.
func TestReportTellsTheFirstFailure(t *testing.T) {
	out := printed(Result{Status: Passed, Name: "one", Sent: "the exchange"}, Result{Status: Failed, Name: "two", Hint: "the cause"},
		Result{Status: Failed, Name: "three", Hint: "another"}, Result{Status: Passed, Name: "four"}, Result{Status: Failed, Name: "five"})
	require.Regexp(t, `(?s)ok +one.*ok +four.*FAIL +two.*hint +the cause\n.*Mend this first; 2 others may follow from it \(V=1 shows all\): three, five\n2 passed, 3 failed\n$`, out)
	require.NotContains(t, out, "another")
	require.NotContains(t, out, "the exchange")
}

// What a check waits for is said by piece, and costs no failure.
func TestReportOfWaiting(t *testing.T) {
	checks := []Check{{Name: "a", Step: 3, After: 1}, {Name: "b", Step: 3, After: 2}, {Name: "c", Step: 3, After: 4}, {Name: "d", Step: 2}}
	ask, wait := Waiting(checks, 3, []int{2, 4})
	require.Equal(t, checks[:1], ask)
	require.Equal(t, checks[1:], wait)
	var out strings.Builder
	report := Report{W: &out, Step: 3}
	report.Waiting(wait, []course.Piece{{N: 1, Name: "first"}, {N: 2, Name: "second"}, {N: 3, Name: "third"}, {N: 4, Name: "fourth"}}, []int{2, 4})
	require.Equal(t, "  wait  for piece 2, second: b\n  wait  for piece 4, fourth: c, 02/d\n", out.String())
	out.Reset()
	report.Waiting(wait, []course.Piece{{N: 1}, {N: 2, Name: "second"}}, []int{2})
	require.Equal(t, "  wait  for piece 2, second: b, c, 02/d\n", out.String(), "what piece 4 does cannot be seen without it")
	ask, wait = Waiting(checks, 3, nil)
	require.Equal(t, checks, ask)
	require.Empty(t, wait)
}

// A check that has seen the signs of a mistake is believed: what is said in general stays away.
func TestReportBelievesWhatWasSeen(t *testing.T) {
	for what, r := range map[string]Result{
		"mute":    {Mute: true},
		"crashed": {Got: "the end" + process.SaidMark + "panic: oh"},
		"missing": {Got: "-ERR unknown command 'pInG', with args beginning with: "},
	} {
		r.Hint = "its own lock"
		require.NotEqual(t, []string{r.Hint}, hints(r), what)
		r.Seen = true
		require.Equal(t, []string{r.Hint}, hints(r), what)
	}
}

func TestReportNamesTheMissingCommand(t *testing.T) {
	shown := func(r Result) string {
		return printed(r)
	}
	r := Result{Status: Failed, Expected: `"+OK\r\n"`, Got: `"-ERR unknown command 'SAVE', with args beginning with: \r\n"`, Hint: "its own"}
	require.Contains(t, shown(r), "does not know SAVE yet")
	require.NotContains(t, shown(r), "its own") // which is about a command that is there

	require.NotContains(t, shown(r), "ignore case")
	r.Step = 3 // where the look-up is the learner's own
	require.Contains(t, shown(r), "ignore case")
	r.Step = 0

	whole := r.Got
	r.Got = "ERR unknown command 'SAVE', with args beginning with: " // as a check says it that expects a number
	require.Contains(t, shown(r), "does not know SAVE yet")
	r.Got = "it ended (exit status 2) before it accepted a connection; it said:\nflag provided but not defined: -shards\nUsage of x"
	require.Contains(t, shown(r), "the server has no flag -shards yet\n")

	r.Got = `"-ERR unknown command '$4', with args beginning with: \r\n"` // no command, but a piece of one
	require.NotContains(t, shown(r), "does not know")

	r.Got = "it ended (exit status 1)" + process.SaidMark + "a.aof, offset 9: [\"x\"] answers \"-ERR unknown command 'x', with args" // of a file, not of a client
	require.NotContains(t, shown(r), "does not know")
	require.Contains(t, shown(r), "its own")

	r.Got = whole
	r.Expected = r.Got // the check is about unknown commands
	require.NotContains(t, shown(r), "does not know")
	r.Expected, r.Got = `"+OK\r\n"`, `"$-1\r\n"`
	require.NotContains(t, shown(r), "does not know")
}

func TestReportNamesTheCrash(t *testing.T) {
	shown := func(got string) string {
		return printed(Result{Status: Failed, Expected: `"+OK\r\n"`, Got: got})
	}
	require.Contains(t, shown("the server closed the connection (end of stream); the server has ended (exit status 2)"+process.SaidMark+"panic: runtime error"), "has crashed")
	require.NotContains(t, shown("the server closed the connection (end of stream)"), "crashed")
	require.NotContains(t, shown("; the server has ended (exit status 1)"+process.SaidMark+"no such file"), "crashed")
}

// A server that answers nobody is told that, and a check's own hint only where it could be the cause.
func TestReportOfAMuteServer(t *testing.T) {
	shown := func(step int, hint string) string {
		return printed(Result{Status: Failed, Step: step, Mute: true, Expected: "a", Got: "nothing", Hint: hint})
	}
	require.NotContains(t, shown(3, "GET answers a bulk string"), "bulk string")
	require.Contains(t, shown(3, "a lock is taken twice"), "perhaps: a lock is taken twice")
	require.Contains(t, shown(1, "send back buf[:n]"), "hint      send back buf[:n]\n") // an echo may rightly be silent
	require.NotContains(t, shown(2, "a bulk string carries its length"), "lock")        // which step 02 does not have
}

// An error in other words than Redis's is no wrong decision, and that is what is said.
func TestReportOfOtherWords(t *testing.T) {
	told := func(expected, got string) string {
		return strings.Join(hints(Result{Expected: expected, Got: got, Hint: "its own"}), "; ")
	}
	require.Equal(t, noCode, told(`"-ERR Protocol error: too big inline request\r\n"`, `"-Protocol error: too big inline request\r\n"`))
	require.Regexp(t, `in other words.*; perhaps: its own`, told(`"-ERR invalid expire time in 'expire' command\r\n"`, `"-ERR invalid expire in 'expire' command\r\n"`))
	require.Regexp(t, `in other words`, told(`"-ERR value is not an integer or out of range\r\n"`, `"-ERR value is not an integer\r\n"`))
	require.Regexp(t, `in other words`, told(`"-ERR syntax error\r\n"`, `"-ERR syntax problem\r\n"`))
	for _, got := range []string{`"+OK\r\n"`, `"-ERR no such thing\r\n"`, `"-ERR syntax error\r\n+OK\r\n"`, "nothing in 3s"} {
		require.Equal(t, "its own", told(`"-ERR syntax error\r\n"`, got), got)
	}
}
