package server

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"byor/pkg/rdb"
	"byor/pkg/redistest"

	"github.com/stretchr/testify/require"
)

// redisCLI runs redis-cli against addr in dir and returns what it prints, errors too.
func redisCLI(t *testing.T, dir, addr, input string, args ...string) string {
	t.Helper()
	host, port, err := net.SplitHostPort(addr)
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), "redis-cli", append([]string{"-h", host, "-p", port}, args...)...)
	cmd.Stdin, cmd.Dir = strings.NewReader(input), dir
	out, _ := cmd.CombinedOutput() // how it exits is compared by what it says
	return strings.ReplaceAll(string(out), port, "PORT")
}

var (
	percents = regexp.MustCompile(`\[[0-9. ]+%\]`)
	memories = regexp.MustCompile(`\d+ bytes|\(\d+\.\d+|avg size \d+\.\d+`)
)

// The tools that redis-cli is, each on both servers: they print the same.
func TestToolsOfRedisCLI(t *testing.T) {
	redistest.Need(t, "redis-server", "redis-cli")
	ours := second(startServer(t, "--maxmemory-policy", "allkeys-lfu", "--lfu-decay-time", "0"))
	theirs := startRedis(t, "--maxmemory-policy", "allkeys-lfu", "--lfu-decay-time", "0", "--repl-diskless-sync-delay", "0")
	dirs := map[string]string{ours: t.TempDir(), theirs: t.TempDir()}
	both := func(input string, args ...string) {
		t.Helper()
		tidy := func(addr string) string {
			s := percents.ReplaceAllString(redisCLI(t, dirs[addr], addr, input, args...), "[P]")
			if args[0] == "--memkeys" || args[0] == "--rdb" || args[0] == "--functions-rdb" {
				s = memories.ReplaceAllString(s, "N")
			}
			lines := strings.Split(s, "\n")
			if strings.HasSuffix(args[0], "keys") {
				slices.Sort(lines) // a walk has no order
			}
			return strings.Join(lines, "\n")
		}
		require.Equal(t, tidy(theirs), tidy(ours), args)
	}
	both("SET s hello\nRPUSH l a b c\nHSET h f v g w\nSADD set x\nZADD z 1.5 m\nXADD x 1-1 a b\nNOPE\n", "--pipe")
	for _, args := range []string{
		"--bigkeys", "--memkeys", "--scan --pattern l*", "--hotkeys",
		"--rdb dump.rdb", "--functions-rdb functions.rdb", "--cluster info 127.0.0.1:1", "--cluster create 127.0.0.1:1 127.0.0.1:1 127.0.0.1:1",
		"-e NOPE", "-n 99 PING", "--user nobody --pass x PING", "-a x PING", "-u redis://nobody:x@127.0.0.1:1 PING",
		"--quoted-input SET \"\\x00a\" 1", "--quoted-input GET \"\\x00a\"", "-d | LRANGE l 0 -1", "-r 3 -i 0 INCR n", "-c GET s",
	} {
		both("", strings.Fields(args)...)
	}
	commands := strings.Join([]string{
		"HGETALL h", "ZRANGE z 0 -1 WITHSCORES", "GET none", "XRANGE x - +", "NOPE", "SMEMBERS set", "ZSCORE z m", "COMMAND INFO get xadd",
		"DEBUG PROTOCOL true", "DEBUG PROTOCOL double", "DEBUG PROTOCOL verbatim", "DEBUG PROTOCOL bignum", "DEBUG PROTOCOL null",
	}, "\n") + "\n"
	for _, format := range []string{"--json", "--csv", "--raw", "--no-raw", "-3 --json", "-3 --csv", "-3 --no-raw"} {
		both(commands, strings.Fields(format)...)
	}
	both("value", "-x", "SET", "viaX")
	both("value", "-X", "TAG", "MSET", "tagged", "TAG", "other", "1")
	both("MULTI\nINCR n\nNOPE\nEXEC\nMULTI\nINCR n\nEXEC\nRESET\n", "--no-raw")
	both("CLIENT TRACKING ON\nGET s\nSET s 2\nGET s\n", "-3", "--json", "--show-pushes", "yes")
	for addr, dir := range dirs {
		require.NoError(t, os.WriteFile(filepath.Join(dir, "s.lua"), []byte("return {KEYS[1], ARGV[1], redis.call('GET', KEYS[1])}"), 0o600), addr)
		require.NoError(t, os.WriteFile(filepath.Join(dir, "bad.lua"), []byte("return {"), 0o600))
	}
	both("", "--eval", "s.lua", "s", ",", "x")
	both("", "--eval", "bad.lua")
	for file, want := range map[string]int{"dump.rdb": 6, "functions.rdb": 0} {
		f, err := os.Open(filepath.Join(dirs[ours], file))
		require.NoError(t, err)
		keys := 0
		require.NoError(t, rdb.NewReader(f).Read(rdb.Handler{Entry: func(*rdb.Entry) error { keys++; return nil }}))
		require.Equal(t, want, keys, file)
		require.NoError(t, f.Close())
	}
}
