package main

import (
	"bytes"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"byor/pkg/config"
	"byor/pkg/redistest"
)

// The page says what the tables say today.
func TestCompatibilityIsUpToDate(t *testing.T) {
	diffs, err := parseDifferences(differencesText)
	require.NoError(t, err)
	var want bytes.Buffer
	require.NoError(t, write(&want, diffs))
	page, err := os.ReadFile("../COMPATIBILITY.md")
	require.NoError(t, err)
	require.Equal(t, want.String(), string(page), "`make compat` writes it anew")
	for line := range strings.Lines(string(page)) {
		require.Less(t, len(line), 101, line)
	}
	names := commandNames()
	for _, name := range names {
		_, sub, isSub := strings.Cut(name, "|")
		if !isSub {
			sub = name
		}
		require.Regexp(t, `\b`+regexp.QuoteMeta(strings.ToUpper(sub))+`\b`, string(page), name)
	}
}

// What the page is about is what a real Redis has: its commands, its groups, its parameters. The lists stand in
// testdata, so that they can be asked where no Redis is installed.
func TestListsAreThoseOfRedis(t *testing.T) {
	saved := func(file string) []string {
		text, err := os.ReadFile("../../pkg/server/testdata/" + file)
		require.NoError(t, err)
		return slices.Sorted(slices.Values(strings.Fields(string(text))))
	}
	commands, parameters := saved("commands.txt"), saved("config-parameters.txt")
	require.Equal(t, commandNames(), commands)
	var ours []string
	for _, p := range config.Params() {
		ours = append(ours, p.Name)
		if p.Alias != "" {
			ours = append(ours, p.Alias)
		}
	}
	require.ElementsMatch(t, parameters, ours)
	if !redistest.Has("redis-server") {
		return
	}
	redis := redistest.Dial(t, redistest.Start(t, t.TempDir()))
	require.ElementsMatch(t, commands, strings.Fields(redis.Do("COMMAND LIST")))
	for _, name := range parameters {
		reply := redis.Do("CONFIG GET " + name)
		require.True(t, strings.HasPrefix(reply, name), "%s: %q", name, reply)
	}
	all := strings.Fields(redis.Do("CONFIG GET *"))
	for _, name := range parameters {
		require.Contains(t, all, name)
	}
	for _, g := range groups {
		for _, name := range commandNames() {
			if groupOf(name) == g.name && !strings.Contains(name, "|") {
				require.Contains(t, redis.Do("COMMAND DOCS "+name)+" ", " group "+g.name+" ", name)
			}
		}
	}
}

// Nobody can write about what does not exist.
func TestDifferencesAreChecked(t *testing.T) {
	for text, want := range map[string]string{
		"differs gett Something":                       "line 1: no command gett of Redis 7.0 is here",
		"# a line\n\ndiffers config|foo Something":     "line 3: no command config|foo",
		"without nosuch|* Something":                   "no command nosuch|*",
		"differs client|no-touch It is of 7.2":         "no command client|no-touch",
		"setting maxmemry Something":                   "no parameter maxmemry works here",
		"setting tls-ciphers Something":                "no parameter tls-ciphers works here",
		"differs get":                                  "get has no text",
		"other get Something":                          "other is no kind of difference",
		"differs get One thing\ndiffers get Another":   "line 2: get stands there twice",
		"without cluster|* One\nwithout cluster|* Two": "twice",
	} {
		_, err := parseDifferences(text)
		require.ErrorContains(t, err, want, text)
	}
	diffs, err := parseDifferences("differs   config|set \t Some words\n")
	require.NoError(t, err)
	require.Equal(t, []difference{{differs, "config|set", "Some words"}}, diffs)
}
