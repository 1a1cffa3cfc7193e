//go:build unix

package main

import (
	"bytes"
	"debug/elf"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"byor/pkg/config"
	"byor/pkg/redistest"
)

// The files that start the program elsewhere: the unit of systemd and the recipe of an image. Neither systemd nor
// a builder is here to take them, so what they say is tried piece by piece.

// unitLines returns the settings of a unit file.
func unitLines(t *testing.T, path string) map[string]string {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	out := map[string]string{}
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok && line[0] != '#' {
			out[name] = value
		}
	}
	return out
}

// The command of the unit says that it is ready, and feeds the watchdog of the unit.
func testUnit(t *testing.T, bin string) {
	const path = "service/capstone.service"
	unit := unitLines(t, path)
	require.Equal(t, "notify", unit["Type"])
	limit, err := strconv.ParseInt(unit["LimitNOFILE"], 10, 64)
	require.NoError(t, err)
	require.GreaterOrEqual(t, limit, config.Default().MaxClients+32)
	patience, err := time.ParseDuration(unit["WatchdogSec"])
	require.NoError(t, err)

	dir := t.TempDir()
	words := strings.Fields(unit["ExecStart"])
	require.Equal(t, []string{"/usr/local/bin/capstone", "/etc/capstone/redis.conf"}, words[:2])
	require.Equal(t, "/var/lib/"+unit["StateDirectory"], words[len(words)-1])
	words[1], words[len(words)-1] = confFile, dir
	words = append(words, "--port", strconv.Itoa(redistest.Port(t)), "--http-port", "0")
	n := superviseIt(t, []string{"WATCHDOG_USEC=" + strconv.FormatInt(patience.Microseconds()/1000, 10)}, bin, words[1:]...)
	require.Equal(t, "STATUS=Redis is loading...\n", n.hears())
	require.Equal(t, "STATUS=Ready to accept connections\n", n.hears())
	require.Equal(t, "READY=1\n", n.hears())
	n.hearsWatchdog()
	n.signal(syscall.SIGTERM)
	require.Equal(t, "STOPPING=1\n", n.hears())

	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		return
	}
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "capstone.service")
	require.NoError(t, os.WriteFile(file, bytes.Replace(text, []byte("ExecStart=/usr/local/bin/capstone"), []byte("ExecStart="+bin), 1), 0o644))
	out, err := exec.Command("systemd-analyze", "verify", file).CombinedOutput()
	require.NoError(t, err, string(out))
	require.NotContains(t, string(out), "capstone.service:", "it complains about a line")
}

// instruction is a line of a Dockerfile, with those that continue it.
type instruction struct{ name, rest string }

func dockerfile(t *testing.T) (all []instruction) {
	t.Helper()
	text, err := os.ReadFile("Dockerfile")
	require.NoError(t, err)
	for _, line := range strings.Split(strings.ReplaceAll(string(text), "\\\n", ""), "\n") {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			name, rest, _ := strings.Cut(line, " ")
			all = append(all, instruction{name, strings.Join(strings.Fields(rest), " ")})
		}
	}
	return all
}

// one returns what the only instruction of a name says.
func one(t *testing.T, all []instruction, name string) string {
	t.Helper()
	var found []string
	for _, i := range all {
		if i.name == name {
			found = append(found, i.rest)
		}
	}
	require.Len(t, found, 1, name)
	return found[0]
}

// words reads a list in the form of exec.
func words(t *testing.T, list string) (out []string) {
	t.Helper()
	require.NoError(t, json.Unmarshal([]byte(list), &out), list)
	return out
}

// Each line of the recipe holds: what it copies is there, what it builds is static, ports are the defaults, and the
// server that it starts is one that its health check finds.
func testImage(t *testing.T, _ string) {
	all := dockerfile(t)
	image := regexp.MustCompile(`^golang:1\.(\d+) AS build$`).FindStringSubmatch(all[0].rest)
	require.NotNil(t, image, all[0].rest)
	mod, err := os.ReadFile("../go.mod")
	require.NoError(t, err)
	least := regexp.MustCompile(`(?m)^go 1\.(\d+)`).FindSubmatch(mod)
	require.GreaterOrEqual(t, image[1], string(least[1]), "the builder is older than the module")

	page := ""
	for _, s := range gatewaySettings {
		if s.Name == "http-port" {
			page = s.Default
		}
	}
	require.Equal(t, strconv.FormatInt(config.Default().Port, 10)+" "+page, one(t, all, "EXPOSE"))
	require.Equal(t, "SIGTERM", one(t, all, "STOPSIGNAL"))
	require.Regexp(t, `^[1-9]\d*:[1-9]\d*$`, one(t, all, "USER"))
	runImage(t, all, buildImage(t, all))
}

// buildImage follows COPY and RUN, and returns the program.
func buildImage(t *testing.T, all []instruction) (bin string) {
	t.Helper()
	for _, i := range all {
		switch {
		case i.name == "COPY" && !strings.HasPrefix(i.rest, "--from"):
			from := strings.Fields(i.rest)
			for _, path := range from[:len(from)-1] {
				_, err := os.Stat(filepath.Join("..", path))
				require.NoError(t, err)
			}
		case i.name == "RUN" && strings.Contains(i.rest, "go build"):
			bin = filepath.Join(t.TempDir(), "capstone")
			cmd := exec.Command("sh", "-c", strings.Replace(i.rest, "/out/capstone", bin, 1))
			cmd.Dir = ".."
			out, err := cmd.CombinedOutput()
			require.NoError(t, err, string(out))
		}
	}
	if runtime.GOOS == "linux" {
		f, err := elf.Open(bin)
		require.NoError(t, err)
		for _, p := range f.Progs {
			require.NotEqual(t, elf.PT_INTERP, p.Type, "it needs a loader, and an empty image has none")
		}
		require.NoError(t, f.Close())
	}
	return bin
}

// runImage starts the server of ENTRYPOINT and the health check of HEALTHCHECK, with the files where they are here.
func runImage(t *testing.T, all []instruction, bin string) {
	t.Helper()
	volume, dir := one(t, all, "VOLUME"), t.TempDir()
	conf := filepath.Join(dir, "redis.conf")
	text, err := os.ReadFile(confFile)
	require.NoError(t, err)
	port := strconv.Itoa(redistest.Port(t))
	require.NoError(t, os.WriteFile(conf, []byte(strings.NewReplacer("\nport 6380\n", "\nport "+port+"\n", "\nhttp-port 8080\n", "\nhttp-port 0\n").Replace(string(text))), 0o644))
	here := map[string]string{"/usr/local/bin/capstone": bin, "/etc/capstone/redis.conf": conf, volume: dir}
	place := func(list string) []string {
		out := words(t, list)
		for i, w := range out {
			if to, ok := here[w]; ok {
				out[i] = to
			}
		}
		return out
	}
	start, list, _ := strings.Cut(one(t, all, "HEALTHCHECK"), "CMD ")
	timeout, err := time.ParseDuration(regexp.MustCompile(`--timeout=(\S+)`).FindStringSubmatch(start)[1])
	require.NoError(t, err)
	require.Greater(t, timeout, healthTimeout, "else the check is cut off before it can say why")
	server, check := place(one(t, all, "ENTRYPOINT")), place(list)
	cmd := exec.Command(server[0], append(server[1:], "--requirepass", "secret")...)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	require.Eventually(t, func() bool {
		probe := exec.Command(check[0], check[1:]...)
		probe.Env = append(os.Environ(), passwordEnv+"=secret")
		return probe.Run() == nil
	}, patience, 20*time.Millisecond)
	require.Error(t, exec.Command(check[0], check[1:]...).Run(), "without the password")
}
