package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"byor/pkg/config"
	"byor/pkg/redistest"
	"byor/pkg/resp"
)

const confFile = "service/redis.conf"

// confLines returns the lines of redis.conf that set something, by what they set.
func confLines(t *testing.T) (order []string, values map[string][]string) {
	t.Helper()
	text, err := os.ReadFile(confFile)
	require.NoError(t, err)
	values = map[string][]string{}
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		words, ok := resp.SplitArgs([]byte(line))
		require.True(t, ok, line)
		name := string(words[0])
		if values[name] == nil {
			order = append(order, name)
		}
		values[name] = append(values[name], line)
	}
	return order, values
}

// redis.conf has each setting that does something here, each once, at its default, and nothing else.
func TestRedisConfIsComplete(t *testing.T) {
	order, lines := confLines(t)
	var want []string
	def := config.Default()
	for _, p := range config.Params() {
		if !p.Inert {
			want = append(want, p.Name)
		}
	}
	for _, s := range gatewaySettings {
		want = append(want, s.Name)
		require.Equal(t, s.Default, strings.Trim(strings.TrimPrefix(lines[s.Name][0], s.Name+" "), `"`), s.Name)
	}
	require.ElementsMatch(t, want, order)
	for name, l := range lines {
		require.True(t, len(l) == 1 || name == "client-output-buffer-limit", name)
	}
	set, err := readSettings([]string{confFile}, (*config.Config).ReadArgs)
	require.NoError(t, err)
	for _, p := range config.Params() {
		require.Equal(t, p.Get(def), p.Get(set.cfg), p.Name)
	}
}

// The program starts with the file as it is, but for the places that are the test's own.
func TestRedisConfStarts(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(confFile)
	require.NoError(t, err)
	dir := t.TempDir()
	file := filepath.Join(dir, "redis.conf")
	require.NoError(t, os.WriteFile(file, text, 0o644))
	bin := redistest.Program(t, "10-websocket-capstone")
	r := redistest.Dial(t, launch(t, bin, dir, file).addr())
	require.Equal(t, "OK", r.Do("SET k v"))

	// And so does Redis, without the part that is not for it. Both then say the same of themselves.
	redistest.Need(t, "redis-server")
	mine, _, found := strings.Cut(string(text), "##### The page and the WebSocket")
	require.True(t, found)
	mine = strings.Replace(mine, "\nport 6380\n", "\n", 1)
	require.NoError(t, os.WriteFile(file, []byte(mine), 0o644))
	theirs := redistest.Dial(t, redistest.Start(t, t.TempDir(), "--include", file))
	order, _ := confLines(t)
	for _, name := range order {
		if config.Find(name) != nil && name != "port" && name != "dir" {
			require.Equal(t, theirs.Do("CONFIG GET "+name), r.Do("CONFIG GET "+name), name)
		}
	}
}
