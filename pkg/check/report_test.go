package check

import (
	"strings"
	"testing"

	"byor/pkg/check/process"

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
		var out strings.Builder
		(&Report{W: &out}).Result(Result{Status: Failed, Expected: `"+OK\r\n"`, Got: got})
		return out.String()
	}
	require.Contains(t, shown("the server closed the connection (end of stream); the server has ended (exit status 2)"+process.SaidMark+"panic: runtime error"), "has crashed")
	require.NotContains(t, shown("the server closed the connection (end of stream)"), "crashed")
	require.NotContains(t, shown("; the server has ended (exit status 1)"+process.SaidMark+"no such file"), "crashed")
}

// A server that answers nobody is told that, and a check's own hint only where it could be the cause.
func TestReportOfAMuteServer(t *testing.T) {
	shown := func(step int, hint string) string {
		var out strings.Builder
		(&Report{W: &out}).Result(Result{Status: Failed, Step: step, Mute: true, Expected: "a", Got: "nothing", Hint: hint})
		return out.String()
	}
	require.NotContains(t, shown(3, "GET answers a bulk string"), "bulk string")
	require.Contains(t, shown(3, "a lock is taken twice"), "perhaps: a lock is taken twice")
	require.Contains(t, shown(1, "send back buf[:n]"), "no client gets a line back")
	require.NotContains(t, shown(1, "send back buf[:n]"), "buf[:n]")
	require.Contains(t, shown(1, "nothing comes back until sections 3 to 5 are written"), "until sections 3 to 5")
	require.NotContains(t, shown(2, "a bulk string carries its length"), "lock") // which step 02 does not have
	require.NotContains(t, shown(1, "send back buf[:n]"), "PING")
}
