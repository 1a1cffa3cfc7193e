package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestCourseModule gives a copy of the module another name and builds it, its tests among it, as one who forks it would.
func TestCourseModule(t *testing.T) {
	root := strings.TrimSpace(command(t, ".", "git", "rev-parse", "--show-toplevel"))
	dir := t.TempDir()
	for _, file := range strings.Split(strings.TrimSpace(command(t, root, "git", "ls-files")), "\n") {
		text, err := os.ReadFile(filepath.Join(root, file))
		if os.IsNotExist(err) { // deleted and not committed
			continue
		}
		require.NoError(t, err)
		to := filepath.Join(dir, file)
		require.NoError(t, os.MkdirAll(filepath.Dir(to), 0o755))
		require.NoError(t, os.WriteFile(to, text, 0o644))
	}
	command(t, dir, "git", "init", "-q")
	const name = "example.com/you/redis"
	require.Contains(t, command(t, dir, "make", "-s", "module", "NAME="+name), "The module is "+name+" now")
	require.Equal(t, name, strings.TrimSpace(command(t, dir, "go", "list", "-m")))
	command(t, dir, "go", "vet", "./...")
	require.Contains(t, command(t, dir, "go", "test", "./pkg/engine", "./pkg/commands"), "ok  \t"+name+"/pkg/engine")
	for _, patch := range strings.Fields(command(t, dir, "git", "ls-files", "--others", "--exclude-standard", "*.patch")) {
		command(t, dir, "git", "apply", "--check", patch)
	}
	wrong := exec.Command("make", "-s", "module", "NAME=redis")
	wrong.Dir = dir
	out, err := wrong.CombinedOutput()
	require.Error(t, err)
	require.Contains(t, string(out), "usage")
}

func command(t *testing.T, dir string, args ...string) string {
	t.Helper()
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s\n%s", args, out)
	return string(out)
}
