package check

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestReportNamesTheMissingCommand(t *testing.T) {
	shown := func(r Result) string {
		var out strings.Builder
		(&Report{W: &out}).Result(r)
		return out.String()
	}
	r := Result{Status: Failed, Expected: `"+OK\r\n"`, Got: `"-ERR unknown command 'SAVE', with args beginning with: \r\n"`, Hint: "its own"}
	require.Contains(t, shown(r), "does not know SAVE yet")
	require.Contains(t, shown(r), "its own")

	whole := r.Got
	r.Got = "ERR unknown command 'SAVE', with args beginning with: " // as a check says it that expects a number
	require.Contains(t, shown(r), "does not know SAVE yet")
	r.Got = "it ended (exit status 2) before it accepted a connection; it said:\nflag provided but not defined: -shards\nUsage of x"
	require.Contains(t, shown(r), "the server has no flag -shards yet\n")

	r.Got = `"-ERR unknown command '$4', with args beginning with: \r\n"` // no command, but a piece of one
	require.NotContains(t, shown(r), "does not know")

	r.Got = whole
	r.Expected = r.Got // the check is about unknown commands
	require.NotContains(t, shown(r), "does not know")
	r.Expected, r.Got = `"+OK\r\n"`, `"$-1\r\n"`
	require.NotContains(t, shown(r), "does not know")
}

func TestReportNamesTheCrash(t *testing.T) {
	shown := func(got string) string {
		var out strings.Builder
		(&Report{W: &out}).Result(Result{Status: Failed, Expected: `"+OK\r\n"`, Got: got})
		return out.String()
	}
	require.Contains(t, shown("the server closed the connection (end of stream); the server has ended (exit status 2)"+said+"panic: runtime error"), "has crashed")
	require.NotContains(t, shown("the server closed the connection (end of stream)"), "crashed")
	require.NotContains(t, shown("; the server has ended (exit status 1)"+said+"no such file"), "crashed")
}
