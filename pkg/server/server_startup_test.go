//go:build unix

package server

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"byor/pkg/config"
	"byor/pkg/redistest"
	"byor/pkg/resp"

	"github.com/stretchr/testify/require"
)

// boot starts a server in this process and returns what its log said. It has no connections but the
// one that the function it returns asks for.
func boot(t testing.TB, dir string, options ...string) (s *Server, log *redistest.Buffer, err error) {
	t.Helper()
	cfg := config.Default()
	args := append([]string{"--port", "0", "--save", "", "--enable-debug-command", "yes", "--dir", dir, "--io-threads", "0"}, options...)
	require.NoError(t, cfg.ParseArgs(args))
	log = new(redistest.Buffer)
	s = New(cfg, Options{Log: LogTo(log)})
	if err = s.Start(); err != nil {
		return nil, log, err
	}
	t.Cleanup(func() { stopServer(t, s) })
	return s, log, nil
}

// ask runs a command without a connection, and shows the reply.
func ask(t testing.TB, s *Server, line string) string {
	t.Helper()
	s.eng.Lock()
	defer s.eng.Unlock()
	c := s.newClient(nil)
	c.Authed = true
	var args [][]byte
	for _, w := range words(t, line) {
		args = append(args, []byte(w))
	}
	s.eng.Execute(&c.Session, args)
	v, err := resp.NewReader(strings.NewReader(string(c.Reply.Buf))).ReadValue()
	require.NoError(t, err)
	return show(v)
}

// aofDir makes a data directory with files in its appendonlydir. A name with a slash stands beside
// that.
func aofDir(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(dir, "appendonlydir"), 0o755))
	for name, content := range files {
		path := filepath.Join(dir, "appendonlydir", name)
		if rest, ok := strings.CutPrefix(name, "./"); ok {
			path = filepath.Join(dir, rest)
		}
		require.NoError(t, os.WriteFile(path, []byte(content), 0o644))
	}
	return dir
}

func copyTree(t testing.TB, dir string) string {
	t.Helper()
	to := t.TempDir()
	require.NoError(t, os.CopyFS(to, os.DirFS(dir)))
	return to
}

// lines encodes commands as they stand in an append-only file.
func lines(t testing.TB, commands ...string) string {
	var b []byte
	for _, line := range commands {
		b = resp.AppendCommandStrings(b, words(t, line)...)
	}
	return string(b)
}

const (
	manifestFile = "appendonly.aof.manifest"
	baseRDB      = "appendonly.aof.1.base.rdb"
	incr1        = "appendonly.aof.1.incr.aof"
	incr2        = "appendonly.aof.2.incr.aof"
	incr1Line    = "file appendonly.aof.1.incr.aof seq 1 type i\n"
	incr2Line    = "file appendonly.aof.2.incr.aof seq 2 type i\n"
	baseLine     = "file appendonly.aof.1.base.rdb seq 1 type b\n"
)

// snapshotOf returns the bytes of a snapshot file with a key "base".
func snapshotOf(t testing.TB) string {
	dir := t.TempDir()
	s, _, err := boot(t, dir)
	require.NoError(t, err)
	require.Equal(t, "+OK", ask(t, s, "SET base 1"))
	require.Equal(t, "+OK", ask(t, s, "SAVE"))
	b, err := os.ReadFile(filepath.Join(dir, "dump.rdb"))
	require.NoError(t, err)
	return string(b)
}

// startupCase is what may lie in a directory. logged is what both we and a real Redis say; where refuses
// is set they do not start.
type startupCase struct {
	name    string
	files   map[string]string
	options []string
	refuses bool
	logged  []string
}

func startupCases(t testing.TB) []startupCase {
	sel := lines(t, "SELECT 0")
	set, multi := sel+lines(t, "SET a 1"), lines(t, "MULTI", "SET a 2", "SET b 2")
	rdb := snapshotOf(t)
	both := baseLine + incr1Line
	truncated := []string{"!!! Warning: short read while loading the AOF file " + incr1 + "!!!", "!!! Truncating the AOF " + incr1 + " at offset "}
	return []startupCase{
		{name: "nothing"},
		{name: "base and increment", files: map[string]string{manifestFile: both, baseRDB: rdb, incr1: set},
			logged: []string{"DB loaded from base file " + baseRDB, "DB loaded from incr file " + incr1, "DB loaded from append only file: ", "Opening AOF incr file " + incr1 + " on server start"}},
		{name: "empty increment", files: map[string]string{manifestFile: both, baseRDB: rdb, incr1: ""}},
		{name: "base only", files: map[string]string{manifestFile: baseLine, baseRDB: rdb}},
		{name: "increments only", files: map[string]string{manifestFile: incr1Line + incr2Line, incr1: set, incr2: sel + lines(t, "INCR a")}},
		{name: "plain base", files: map[string]string{manifestFile: strings.ReplaceAll(both, "base.rdb", "base.aof"), "appendonly.aof.1.base.aof": set, incr1: sel + lines(t, "INCR a")}},
		{name: "timestamps", files: map[string]string{manifestFile: incr1Line, incr1: "#TS:1700000000\r\n" + set}},
		{name: "comments and history", files: map[string]string{manifestFile: "# hello\n" + baseLine + incr1Line + "file old seq 1 type h\n", baseRDB: rdb, incr1: set, "old": "x"}},
		{name: "left-overs", files: map[string]string{manifestFile: incr1Line, incr1: set, "temp-appendonly.aof.manifest": "x", "./temp-rewriteaof-bg-1.aof": "x", "./temp-1.rdb": "x"}},
		{name: "torn", files: map[string]string{manifestFile: incr1Line, incr1: set + set[:len(set)-3]}, logged: append(truncated, "loaded anyway because aof-load-truncated is enabled")},
		{name: "torn, not to be cut", files: map[string]string{manifestFile: incr1Line, incr1: set + set[:len(set)-3]}, options: []string{"--aof-load-truncated", "no"}, refuses: true,
			logged: []string{"Unexpected end of file reading the append only file " + incr1 + ". You can: 1) Make a backup"}},
		{name: "torn transaction", files: map[string]string{manifestFile: incr1Line, incr1: set + multi},
			logged: append(truncated, "Revert incomplete MULTI/EXEC transaction in AOF file "+incr1)},
		{name: "torn, not the last", files: map[string]string{manifestFile: incr1Line + incr2Line, incr1: set[:len(set)-3], incr2: set}, refuses: true,
			logged: []string{"Fatal error: the truncated file is not the last file"}},
		{name: "garbage", files: map[string]string{manifestFile: incr1Line, incr1: set + "garbage" + set}, refuses: true, logged: []string{"Bad file format reading the append only file " + incr1}},
		{name: "NULs at the end", files: map[string]string{manifestFile: incr1Line, incr1: set + "\x00\x00\x00"}, refuses: true, logged: []string{"Bad file format reading the append only file " + incr1}},
		{name: "changed payload", files: map[string]string{manifestFile: incr1Line, incr1: strings.Replace(set, "\r\n1\r\n", "\r\n7\r\n", 1)}},
		{name: "unknown command", files: map[string]string{manifestFile: incr1Line, incr1: set + lines(t, "NOSUCH x")}, refuses: true, logged: []string{"Unknown command 'NOSUCH' reading the append only file " + incr1}},
		{name: "a command that fails", files: map[string]string{manifestFile: incr1Line, incr1: set + lines(t, "LPUSH a x", "SET b 1")},
			logged: []string{"== CRITICAL == This server is sending an error to its AOF-loading-client: '-WRONGTYPE Operation against a key holding the wrong kind of value' after processing the command 'lpush'"}},
		{name: "base missing", files: map[string]string{manifestFile: both, incr1: set}, refuses: true, logged: []string{"Unable to obtain the AOF file " + baseRDB + " length. stat: No such file or directory"}},
		{name: "increment missing", files: map[string]string{manifestFile: both, baseRDB: rdb}, refuses: true, logged: []string{"Unable to obtain the AOF file " + incr1 + " length. stat: No such file or directory"}},
		{name: "base cut", files: map[string]string{manifestFile: both, baseRDB: rdb[:len(rdb)-12], incr1: set}, refuses: true},
		{name: "base with a wrong checksum", files: map[string]string{manifestFile: both, baseRDB: rdb[:len(rdb)-1] + string([]byte{rdb[len(rdb)-1] ^ 1}), incr1: set}, refuses: true},
		{name: "empty manifest", files: map[string]string{manifestFile: ""}, refuses: true, logged: []string{"Found an empty AOF manifest"}},
		{name: "bad manifest", files: map[string]string{manifestFile: "file x\n"}, refuses: true, logged: []string{"Invalid AOF manifest file format"}},
		{name: "old file", files: map[string]string{"./appendonly.aof": set},
			logged: []string{"Successfully migrated an old-style AOF file (appendonly.aof) into the AOF directory (appendonlydir)."}},
		{name: "old file with a preamble", files: map[string]string{"./appendonly.aof": rdb + set}},
		{name: "old file and a manifest", files: map[string]string{"./appendonly.aof": lines(t, "SET old 1"), manifestFile: incr1Line, incr1: set}},
		{name: "snapshot only", files: map[string]string{"./dump.rdb": rdb}},
	}
}

// TestStartup puts every kind of directory before us and before a real Redis: both start with the same
// data, and again, with the files that they leave, or both refuse for the same reason.
func TestStartup(t *testing.T) {
	redistest.Need(t, "redis-server")
	for _, tc := range startupCases(t) {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			dir := aofDir(t, tc.files)
			if tc.files == nil {
				require.NoError(t, os.Remove(filepath.Join(dir, "appendonlydir")))
			}
			theirDir := copyTree(t, dir)
			options := append([]string{"--appendonly", "yes"}, tc.options...)
			their := launch(t, []string{"redis-server"}, theirDir, options...)
			s, log, err := boot(t, dir, options...)
			if tc.refuses {
				require.Error(t, err)
				require.Equal(t, 1, their.wait())
			} else {
				require.NoError(t, err, log)
				their.ready()
			}
			for _, line := range tc.logged {
				require.Contains(t, their.out.String(), line)
				require.Contains(t, log.String(), line)
			}
			if tc.refuses {
				for name, size := range fileSizes(t, dir, tc.files) {
					require.EqualValues(t, len(tc.files[name]), size, "%s is as it was", name)
				}
				return
			}
			want := show(their.dial().do("DEBUG DIGEST"))
			require.Equal(t, want, ask(t, s, "DEBUG DIGEST"))
			their.kill()
			stopServer(t, s)
			require.Equal(t, fileSizes(t, theirDir, tc.files), fileSizes(t, dir, tc.files))

			s, _, err = boot(t, theirDir, options...) // what each has left, the other loads
			require.NoError(t, err)
			require.Equal(t, want, ask(t, s, "DEBUG DIGEST"))
			require.Equal(t, want, show(launchRedis(t, dir, options...).dial().do("DEBUG DIGEST")))
		})
	}
}

// fileSizes are the sizes of the given files, -1 for those that are gone.
func fileSizes(t testing.TB, dir string, files map[string]string) map[string]int64 {
	sizes := map[string]int64{}
	for name := range files {
		path := filepath.Join(dir, "appendonlydir", name)
		if rest, ok := strings.CutPrefix(name, "./"); ok {
			path = filepath.Join(dir, rest)
		}
		sizes[name] = -1
		if fi, err := os.Stat(path); err == nil {
			sizes[name] = fi.Size()
		}
	}
	return sizes
}

// Where files of a log lie without a manifest Redis starts empty and overwrites them. Here that is
// refused.
func TestStartupWithoutManifestIsRefused(t *testing.T) {
	dir := aofDir(t, map[string]string{incr1: lines(t, "SET a 1")})
	_, log, err := boot(t, dir, "--appendonly", "yes")
	require.Error(t, err)
	require.Contains(t, log.String(), "manifest")
	b, err := os.ReadFile(filepath.Join(dir, "appendonlydir", incr1))
	require.NoError(t, err)
	require.Equal(t, lines(t, "SET a 1"), string(b))
}

// A torn file that others follow is left as it is: the second start must not succeed with the loss.
func TestTornFileInTheMiddleIsNotCut(t *testing.T) {
	whole := lines(t, "SELECT 0", "SET a 1")
	dir := aofDir(t, map[string]string{manifestFile: incr1Line + incr2Line, incr1: whole[:len(whole)-3], incr2: whole})
	for range 2 {
		_, _, err := boot(t, dir, "--appendonly", "yes")
		require.ErrorContains(t, err, "not the last file")
	}
}

// A log made for more databases than there are would go on in the wrong one.
func TestDatabaseThatIsNotThereEndsTheLoad(t *testing.T) {
	dir := aofDir(t, map[string]string{manifestFile: incr1Line, incr1: lines(t, "SELECT 20", "SET a 1")})
	_, _, err := boot(t, dir, "--appendonly", "yes")
	require.ErrorContains(t, err, "DB index is out of range")
}

// Commands that nobody propagates do nothing when a file has them all the same.
func TestFileMayNotAdministrate(t *testing.T) {
	dir := aofDir(t, map[string]string{manifestFile: incr1Line, incr1: lines(t, "SHUTDOWN NOSAVE", "FUNCTION LOAD x", "SET", "SET a 1")})
	s, log, err := boot(t, dir, "--appendonly", "yes")
	require.NoError(t, err)
	require.Equal(t, `"1"`, ask(t, s, "GET a"))
	require.Equal(t, 3, strings.Count(log.String(), "== CRITICAL =="), log)
	require.Contains(t, log.String(), "Missing library metadata")
}

// A Redis before 7.0 wrote scripts into its log as they were sent.
func TestFileMayHaveScripts(t *testing.T) {
	dir := aofDir(t, map[string]string{manifestFile: incr1Line, incr1: lines(t, `EVAL "return redis.call('set', KEYS[1], ARGV[1])" 1 k v`,
		`EVAL "redis.call('set', 'half', 1) redis.call('nosuch')" 0`, `EVALSHA 0000000000000000000000000000000000000000 0`, "SET a 1")})
	s, log, err := boot(t, dir, "--appendonly", "yes")
	require.NoError(t, err)
	require.Equal(t, `*["v" "1" "1"]`, ask(t, s, "MGET k half a"))
	require.Equal(t, 2, strings.Count(log.String(), "== CRITICAL =="), log)
	require.NotContains(t, ask(t, s, "INFO commandstats"), "cmdstat_set")
}

// TestCutAtEveryByte tears a log of single commands and transactions at every byte. Each start has the
// whole units before the tear and nothing of the torn one, and what is written then follows on it.
func TestCutAtEveryByte(t *testing.T) {
	t.Parallel()
	pieces := []string{
		lines(t, "SELECT 0"), lines(t, "SET n 1"), lines(t, "MULTI", "SET n 2", "RPUSH l 2", "EXEC"),
		"#TS:1700000000\r\n", lines(t, "SET n 4"), lines(t, "SELECT 3"), lines(t, "MULTI", "SET m 5", "RPUSH k 5", "EXEC"),
		lines(t, "SELECT 0"), lines(t, "MULTI", "SET n 6", "DEL l", "EXEC"),
	}
	options := []string{"--appendonly", "yes", "--appendfsync", "no"}
	var states []string // the digest after each number of pieces
	for n := range len(pieces) + 1 {
		whole := strings.Join(pieces[:n], "")
		s, _, err := boot(t, aofDir(t, map[string]string{manifestFile: incr1Line, incr1: whole}), options...)
		require.NoError(t, err)
		states = append(states, ask(t, s, "DEBUG DIGEST"))
	}
	dir := aofDir(t, map[string]string{manifestFile: incr1Line})
	path := filepath.Join(dir, "appendonlydir", incr1)
	whole := strings.Join(pieces, "")
	n, end, good := 0, 0, 0 // pieces before the tear, where they end, where the last command among them ends
	for cut := range len(whole) + 1 {
		if n < len(pieces) && cut == end+len(pieces[n]) {
			if end = cut; pieces[n][0] != '#' {
				good = cut // an annotation alone goes with the command it announces
			}
			n++
		}
		size := good
		if cut == end {
			size = cut
		}
		require.NoError(t, os.WriteFile(path, []byte(whole[:cut]), 0o644))
		s, _, err := boot(t, dir, options...)
		require.NoError(t, err, "cut at %d", cut)
		require.Equal(t, states[n], ask(t, s, "DEBUG DIGEST"), "cut at %d", cut)
		fi, err := os.Stat(path)
		require.NoError(t, err)
		require.EqualValues(t, size, fi.Size(), "cut at %d", cut)
		require.Equal(t, "+OK", ask(t, s, "SET after "+itoa(cut)))
		stopServer(t, s)
		s, _, err = boot(t, dir, options...)
		require.NoError(t, err, "cut at %d", cut)
		require.Equal(t, fmt.Sprintf("%q", itoa(cut)), ask(t, s, "GET after"), "cut at %d", cut)
		stopServer(t, s)
	}
}
