//go:build unix

package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"byor/pkg/config"
	"byor/pkg/redistest"
)

// completionOf returns the program's script for a shell, and the name that it completes.
func completionOf(t *testing.T, bin, shell string) (script, program string) {
	t.Helper()
	out, err := exec.Command(bin, "--completion", shell).Output()
	require.NoError(t, err)
	return string(out), filepath.Base(bin)
}

// bash completes a command line as it would at its prompt.
func testBash(t *testing.T, bin string) {
	redistest.Need(t, "bash")
	script, program := completionOf(t, bin, "bash")
	dir := t.TempDir()
	for _, name := range []string{"some.conf", "two words"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), nil, 0o644))
	}
	for line, want := range map[string]string{
		program + " --appendfs":                "--appendfsync",
		program + " --http-p":                  "--http-port,--http-pprof",
		program + " --appendfsync ":            "everysec,always,no",
		program + " --appendfsync a":           "always",
		program + " some.conf --daemonize ":    "yes,no",
		program + " --supervised s":            "systemd",
		program + " --ws-compression ":         "yes,no",
		program + " --completion ":             "bash,zsh,fish",
		program + " so":                        "some.conf",
		program + " --health so":               "some.conf",
		program + " --logfile s":               "some.conf",
		program + " --logfile t":               "two words",
		program + " --port ":                   "",
		program + " --port 1 --maxmemory-po":   "--maxmemory-policy",
		program + " --tls-ciphers":             "", // what only its default is accepted for is no help
		program + " --maxmemory-policy volati": "volatile-lru,volatile-lfu,volatile-random,volatile-ttl",
	} {
		cmd := exec.Command("bash", "-c", script+`
			compopt() { :; } # which bash has only while it completes by itself
			line=$1; set -f; COMP_WORDS=($line); set +f
			[[ $line == *" " ]] && COMP_WORDS+=("")
			COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); COMP_LINE=$line; COMP_POINT=${#line}
			complete -p "${COMP_WORDS[0]}" >/dev/null || exit
			_byor_capstone "${COMP_WORDS[0]}" "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}"
			IFS=,; echo "${COMPREPLY[*]}"`, "bash", line)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s\n%s", line, out)
		require.Equal(t, want, strings.TrimSpace(string(out)), line)
	}
}

// The other two shells read their scripts, where they are installed, and fish completes as well.
func testShells(t *testing.T, bin string) {
	for _, shell := range shells {
		script, program := completionOf(t, bin, shell)
		for _, p := range config.Params() {
			require.Equal(t, !p.OnlyDefault(), strings.Contains(script, "-"+p.Name) || strings.Contains(script, "-l "+p.Name+" "), "%s: %s", shell, p.Name)
		}
		if _, err := exec.LookPath(shell); err != nil {
			continue
		}
		cmd := exec.Command(shell, "-n")
		cmd.Stdin = strings.NewReader(script)
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s: %s", shell, out)
		if shell != "fish" {
			continue
		}
		cmd = exec.Command("fish", "--no-config", "-c", script+"\ncomplete -C '"+program+" --appendfsync '")
		cmd.Env = append(os.Environ(), "HOME="+t.TempDir())
		out, err = cmd.Output()
		require.NoError(t, err)
		require.Contains(t, string(out), "everysec\t")
	}
	var b bytes.Buffer
	require.Equal(t, 1, completion(&b, []string{"csh"}))
	require.Equal(t, 1, completion(&b, nil))
	require.Empty(t, b.String())
}
