package server

import (
	"os"
	"slices"
	"strings"
	"testing"

	"byor/pkg/redistest"

	"github.com/stretchr/testify/require"
)

// Each command of 7.0.15, with subcommands, is here, or answers as a Redis does that lacks the feature.
// testdata/commands.txt is COMMAND LIST of the real one.
func TestEveryCommandOfRedis(t *testing.T) {
	text, err := os.ReadFile("testdata/commands.txt")
	require.NoError(t, err)
	names := strings.Fields(string(text))
	require.Len(t, names, 366)
	if redistest.Has("redis-server") {
		var theirs []string
		for _, v := range dial(t, startRedis(t)).do("COMMAND LIST").Elems {
			theirs = append(theirs, string(v.Str))
		}
		slices.Sort(theirs)
		slices.Sort(names)
		require.Equal(t, names, theirs)
	}
	text, err = os.ReadFile("../../10-websocket-capstone/ENGINE.md")
	require.NoError(t, err)
	require.Contains(t, string(text), "The server knows every command of Redis 7.0.")
	c := dial(t, second(startServer(t)))
	var ours []string
	for _, v := range c.do("COMMAND LIST").Elems {
		ours = append(ours, string(v.Str))
	}
	for _, name := range names {
		require.Contains(t, ours, name)
	}
}

// What asks about a feature that is not here gets the answer of a Redis without it.
func TestWithoutTheFeatureLikeRedis(t *testing.T) {
	ours, theirs := dial(t, second(startServer(t))), dial(t, startRedis(t))
	for _, line := range []string{
		"CLUSTER INFO", "CLUSTER NODES", "CLUSTER SLOTS", "CLUSTER KEYSLOT a", "CLUSTER NOSUCH", "CLUSTER", "CLUSTER INFO x", "ASKING", "READONLY", "READWRITE",
		"MODULE LIST", "MODULE LOAD x", "MODULE UNLOAD x", "MODULE LOADEX x", "MODULE HELP", "SCRIPT KILL", "SCRIPT EXISTS a b", "SCRIPT EXISTS", "SCRIPT FLUSH", "SCRIPT FLUSH ASYNC",
		"SCRIPT FLUSH x", "SCRIPT FLUSH SYNC x", "SCRIPT HELP", "EVALSHA abc 0", "EVALSHA_RO abc 1 k", "FUNCTION LIST", "FUNCTION LIST LIBRARYNAME x WITHCODE", "FUNCTION LIST x",
		"FUNCTION KILL", "FUNCTION DELETE x", "FUNCTION FLUSH", "FUNCTION FLUSH x", "FUNCTION DUMP", "FUNCTION RESTORE x", "FUNCTION HELP", "FCALL f 0", "FCALL_RO f 0", "FUNCTION LOAD x",
		"FUNCTION LOAD \"#!js name=x\\nbody\"", "FUNCTION LOAD \"#!lua nam=x\\nbody\"", "ACL DELUSER default", "ACL DELUSER nobody", "ACL LOAD", "ACL SAVE",
		"COMMAND GETKEYSANDFLAGS SORT k1 STORE k2", "COMMAND GETKEYSANDFLAGS SET k v GET", "COMMAND GETKEYS XREADGROUP GROUP streams c STREAMS k 1", "COMMAND GETKEYS EVAL x 2 a b c",
		"COMMAND GETKEYSANDFLAGS GEORADIUS k 1 1 1 m STORE d", "COMMAND GETKEYS ZUNIONSTORE d 2 a b", "COMMAND GETKEYS GET", "COMMAND GETKEYS PING", "COMMAND LIST FILTERBY PATTERN xgroup|*",
	} {
		require.Equal(t, sorted(show(theirs.do(line))), sorted(show(ours.do(line))), line)
	}
}

// sorted puts the words of a reply in order: sets and lists of commands have none in Redis.
func sorted(reply string) string {
	words := strings.Fields(strings.Trim(reply, "*~[]"))
	slices.Sort(words)
	return strings.Join(words, " ")
}
