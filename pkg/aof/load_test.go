package aof

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestLoadNothing(t *testing.T) {
	dir := newDir(t)
	lines, res, err := replay(Options{Dir: dir.dir})
	require.NoError(t, err)
	require.Empty(t, lines)
	require.Equal(t, Result{}, res)
	require.NoDirExists(t, filepath.Join(dir.dir, defaultDirName))
}

func TestLoadBaseThenIncrements(t *testing.T) {
	d := newDir(t)
	d.write("appendonly.aof.3.base.rdb", fakeBase("SET b 1"))
	d.write("appendonly.aof.3.incr.aof", append([]byte("#TS:1700000000\r\n"), cmds("SELECT 0", "SET a 1")...))
	d.write("appendonly.aof.4.incr.aof", nil)
	d.write("appendonly.aof.7.incr.aof", append(cmds("SET a 2", "MULTI", "INCR a", "INCR b", "exec"), "#TS:1\r\n"...))
	d.write("gone", cmd("SET never 1"))
	d.manifest("file appendonly.aof.3.base.rdb seq 3 type b", "file gone seq 2 type h",
		"file appendonly.aof.3.incr.aof seq 3 type i", "file appendonly.aof.4.incr.aof seq 4 type i",
		"file appendonly.aof.7.incr.aof seq 7 type i")
	var log logLines
	lines, res, err := replay(Options{Dir: d.dir, Logf: log.f})
	require.NoError(t, err)
	require.Equal(t, []string{"SET b 1", "SELECT 0", "SET a 1", "SET a 2", "INCR a", "INCR b"}, lines)
	require.EqualValues(t, 5, res.Commands)
	require.Equal(t, 4, res.Files)
	for _, want := range []string{"Reading RDB base file on AOF loading...",
		"DB loaded from base file appendonly.aof.3.base.rdb: 0.0", "DB loaded from incr file appendonly.aof.7.incr.aof: 0.0",
		"DB loaded from append only file: 0.0"} {
		require.Contains(t, log.text(), want)
	}
}

// TestCutAtEveryByte tears the last file at each offset: what is left on the disk
// and what was applied are the units that were whole, and a second load is clean.
func TestCutAtEveryByte(t *testing.T) {
	units := [][]byte{
		cmd("SELECT 0"),
		append([]byte("#TS:1700000000\r\n"), cmd("SET key value")...),
		cmds("MULTI", "SET a 1", "INCR b", "EXEC"),
		[]byte("*2\r\n$3\r\nDEL\r\n$0\r\n\r\n"),
		[]byte("*3\r\n$3\r\nSET\r\n$3\r\nbin\r\n$9\r\n\r\n*1\r\n$4\n\r\n"),
		cmds("multi", "SET c 3", "exec"),
	}
	counts := []int{1, 1, 2, 1, 1, 1}
	whole := bytes.Join(units, nil)
	for cut := 0; cut <= len(whole); cut++ {
		wantLen, wantCmds := 0, 0
		for i, u := range units {
			if wantLen+len(u) > cut {
				break
			}
			wantLen += len(u)
			wantCmds += counts[i]
		}
		for _, refuse := range []bool{false, true} {
			checkCut(t, whole, cut, wantLen, wantCmds, refuse)
		}
	}
}

// checkCut loads the first cut bytes of whole, of which wantLen are whole units with wantCmds commands.
func checkCut(t *testing.T, whole []byte, cut, wantLen, wantCmds int, refuse bool) {
	t.Helper()
	// A whole annotation is worth keeping only with what follows it.
	clean := cut == wantLen || whole[wantLen] == '#' && cut == wantLen+len("#TS:1700000000\r\n")
	d := newDir(t)
	d.write(incr1, whole[:cut])
	d.manifest(incr1Line)
	var log logLines
	lines, res, err := replay(Options{Dir: d.dir, FS: newFaultFS(), RefuseTruncated: refuse, Warnf: log.f})
	require.Len(t, lines, wantCmds, "cut at %d", cut)
	switch {
	case clean:
		require.NoError(t, err, "cut at %d", cut)
		require.Empty(t, res.CutFile)
		require.Equal(t, string(whole[:cut]), d.read(incr1))
	case refuse:
		require.ErrorIs(t, err, ErrTruncated, "cut at %d", cut)
		require.ErrorContains(t, err, "Unexpected end of file reading the append only file appendonly.aof.1.incr.aof. You can: 1) Make")
		require.Equal(t, string(whole[:cut]), d.read(incr1))
	default:
		require.NoError(t, err, "cut at %d", cut)
		require.Equal(t, string(whole[:wantLen]), d.read(incr1), "cut at %d", cut)
		require.Equal(t, incr1, res.CutFile)
		require.EqualValues(t, cut-wantLen, res.CutBytes)
		require.Contains(t, log.text(), fmt.Sprintf("!!! Truncating the AOF %s at offset %d !!!", incr1, wantLen))
		again, res, err := replay(Options{Dir: d.dir, FS: newFaultFS(), RefuseTruncated: true})
		require.NoError(t, err)
		require.Equal(t, lines, again)
		require.Empty(t, res.CutFile)
	}
}

func TestTornMultiIsRevertedAsRedisSays(t *testing.T) {
	d := newDir(t)
	d.write(incr1, cmds("SET a 1", "MULTI", "SET a 2"))
	d.manifest(incr1Line)
	var log logLines
	lines, _, err := replay(Options{Dir: d.dir, Logf: log.f})
	require.NoError(t, err)
	require.Equal(t, []string{"SET a 1"}, lines)
	n := len(cmd("SET a 1"))
	require.Contains(t, log.text(), strings.Join([]string{
		"Revert incomplete MULTI/EXEC transaction in AOF file " + incr1,
		"!!! Warning: short read while loading the AOF file " + incr1 + "!!!",
		fmt.Sprintf("!!! Truncating the AOF %s at offset %d !!!", incr1, n),
		"AOF " + incr1 + " loaded anyway because aof-load-truncated is enabled",
	}, "\n"))
	require.Equal(t, string(cmd("SET a 1")), d.read(incr1))
}

func TestTornFileThatIsNotTheLastIsLeftAlone(t *testing.T) {
	d := newDir(t)
	torn := cmds("SET a 1", "SET a 2")
	torn = torn[:len(torn)-3]
	d.write(incr1, torn)
	d.write(incr2, nil)
	d.manifest(incr1Line, incr2Line)
	for range 2 { // Redis truncates, so that the second start would succeed
		_, _, err := replay(Options{Dir: d.dir})
		require.ErrorIs(t, err, ErrNotLast)
		require.EqualError(t, err, "Fatal error: the truncated file is not the last file")
		require.Equal(t, string(torn), d.read(incr1))
	}
	d.write(incr1, cmds("MULTI", "SET a 1"))
	_, _, err := replay(Options{Dir: d.dir})
	require.ErrorIs(t, err, ErrNotLast)
}

func TestDamageIsRefused(t *testing.T) {
	set := string(cmd("SET a 1"))
	for name, c := range map[string]struct {
		data   string
		offset int
	}{
		"garbage between":     {set + "garbage" + set, len(set)},
		"NULs at the tail":    {set + "\x00\x00\x00\x00", len(set)},
		"an empty line":       {set + "\r\n", len(set)},
		"an inline command":   {"PING\r\n", 0},
		"no arguments":        {set + "*0\r\n", len(set) + 4},
		"negative count":      {set + "*-1\r\n", len(set) + 5},
		"a count of letters":  {set + "*x\r\n", len(set)},
		"a count and letters": {set + "*3x\r\n", len(set)},
		"count too large":     {set + "*99999999999999999999\r\n", len(set)},
		"not a bulk string":   {"*1\r\n:1\r\n", 4},
		"annotation within":   {"*1\r\n#TS:1\r\n$4\r\nPING\r\n", 4},
		"negative length":     {"*1\r\n$-1\r\n", 9},
		"no line end after":   {"*1\r\n$4\r\nPINGxx", 12},
		"a line too long":     {set + "#" + strings.Repeat("x", 2000) + "\r\n", len(set)},
		"an endless line":     {set + "*" + strings.Repeat("1", 300<<10), len(set)},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDir(t)
			d.write(incr1, []byte(c.data))
			d.manifest(incr1Line)
			_, _, err := replay(Options{Dir: d.dir})
			require.ErrorIs(t, err, ErrFormat)
			require.EqualError(t, err, "Bad file format reading the append only file "+incr1+
				": make a backup of your AOF file, then use ./redis-check-aof --fix <filename.manifest>")
			var bad *LoadError
			require.ErrorAs(t, err, &bad)
			require.EqualValues(t, c.offset, bad.Offset)
			require.Equal(t, c.data, d.read(incr1))
		})
	}
}

func TestDeclaredLengthsAllocateNothing(t *testing.T) {
	for _, data := range []string{"*3\r\n$900000000000000000\r\nx", "*2000000000\r\n$1\r\nx\r\n"} {
		d := newDir(t)
		d.write(incr1, []byte(data))
		d.manifest(incr1Line)
		_, res, err := replay(Options{Dir: d.dir})
		require.NoError(t, err)
		require.EqualValues(t, len(data), res.CutBytes)
	}
}

func TestBareNewlinesAreRead(t *testing.T) {
	d := newDir(t)
	d.write(incr1, []byte("*2\n$3\nGET\r\n$1\nx\r\n"))
	d.manifest(incr1Line)
	lines, _, err := replay(Options{Dir: d.dir})
	require.NoError(t, err)
	require.Equal(t, []string{"GET x"}, lines)
}

func TestApplyErrors(t *testing.T) {
	d := newDir(t)
	d.write(incr1, cmds("SET a 1", "NOSUCH x", "SET b 1"))
	d.manifest(incr1Line)
	_, _, err := replay(Options{Dir: d.dir})
	require.ErrorIs(t, err, ErrUnknownCommand)
	require.EqualError(t, err, "Unknown command 'NOSUCH' reading the append only file "+incr1)
	var at *LoadError
	require.ErrorAs(t, err, &at)
	require.EqualValues(t, len(cmd("SET a 1")), at.Offset)

	own := errors.New("out of memory")
	_, err = Load(Options{Dir: d.dir}, Handlers{Apply: func([][]byte) error { return own }})
	require.ErrorIs(t, err, own)
}

func TestMissingFiles(t *testing.T) {
	for _, missing := range []string{base1, incr1} {
		d := newDir(t)
		d.write(base1, cmd("SET a 1"))
		d.write(incr1, cmd("SET a 2"))
		d.manifest(base1Line, incr1Line)
		require.NoError(t, os.Remove(d.path(missing)))
		lines, _, err := replay(Options{Dir: d.dir})
		require.EqualError(t, err, "Unable to obtain the AOF file "+missing+" length. stat: No such file or directory")
		require.Empty(t, lines)
	}
}

func TestBaseErrors(t *testing.T) {
	d := newDir(t)
	whole := fakeBase("SET a 1")
	d.write("b.rdb", whole[:len(whole)-2])
	d.manifest("file b.rdb seq 1 type b")
	_, _, err := replay(Options{Dir: d.dir})
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	require.ErrorContains(t, err, "Error reading the RDB base file b.rdb, AOF loading aborted")
	require.Equal(t, string(whole[:len(whole)-2]), d.read("b.rdb"))
	_, err = Load(Options{Dir: d.dir}, Handlers{})
	require.ErrorContains(t, err, "reads no RDB")

	d.write("b.rdb", append(whole, "tail"...))
	_, _, err = replay(Options{Dir: d.dir})
	require.ErrorIs(t, err, ErrFormat)
}

func TestManifestErrorsStopTheLoad(t *testing.T) {
	d := newDir(t)
	d.manifest(base1Line, "file ../x seq 1 type i")
	var log logLines
	_, _, err := replay(Options{Dir: d.dir, Warnf: log.f})
	require.ErrorContains(t, err, "File can't be a path, just a filename")
	require.Equal(t, "*** FATAL AOF MANIFEST FILE ERROR ***\nReading the manifest file, at line 2\n"+
		">>> 'file ../x seq 1 type i'", log.text())
	_, err = Open(Options{Dir: d.dir}, nil)
	require.ErrorContains(t, err, "File can't be a path, just a filename")
}

func TestFilesWithoutManifestAreNotOverwritten(t *testing.T) {
	for _, name := range []string{base1, incr1, "appendonly.aof.12.base.rdb"} {
		d := newDir(t)
		d.write(name, cmd("SET a 1"))
		_, _, err := replay(Options{Dir: d.dir})
		require.ErrorIs(t, err, ErrNoManifest)
		require.ErrorContains(t, err, name)
		_, err = Open(Options{Dir: d.dir, PlainBase: true}, nil)
		require.ErrorIs(t, err, ErrNoManifest)
		_, err = Create(Options{Dir: d.dir, PlainBase: true})
		require.ErrorIs(t, err, ErrNoManifest)
		require.Equal(t, []string{name}, d.names())
	}
	d := newDir(t)
	d.write(incr1, nil) // what a first start leaves that was cut short
	for _, other := range []string{"temp-rewriteaof-bg-1.aof", "temp-appendonly.aof.manifest", "other.aof.1.incr.aof",
		"appendonly.aof.x.incr.aof", "appendonly.aof.1.incr.aof.bak"} {
		d.write(other, []byte("x"))
	}
	_, res, err := replay(Options{Dir: d.dir})
	require.NoError(t, err)
	require.False(t, res.Found)
}

func TestUpgradeOfASingleFile(t *testing.T) {
	old := map[string][]byte{
		"commands":     cmds("SET a 1", "SET b 1"),
		"RDB and tail": append(fakeBase("SET a 1"), cmd("SET b 1")...),
	}
	for name, data := range old {
		t.Run(name, func(t *testing.T) {
			d := newDir(t)
			oldPath := filepath.Join(d.dir, defaultFileName)
			require.NoError(t, os.WriteFile(oldPath, data, 0o644))
			var log logLines
			want := []string{"SET a 1", "SET b 1"}
			lines, _, err := replay(Options{Dir: d.dir, Logf: log.f})
			require.NoError(t, err)
			require.Equal(t, want, lines)
			require.Contains(t, log.text(), "Successfully migrated an old-style AOF file (appendonly.aof) into the AOF directory (appendonlydir).")
			require.Equal(t, "file appendonly.aof seq 1 type b\n", d.read(man))
			require.NoFileExists(t, oldPath)

			// A crash between the two steps: the manifest is there, the file still outside.
			require.NoError(t, os.Rename(d.path(defaultFileName), oldPath))
			lines, _, err = replay(Options{Dir: d.dir})
			require.NoError(t, err)
			require.Equal(t, want, lines)

			l, err := Open(Options{Dir: d.dir}, nil)
			require.NoError(t, err)
			require.NoError(t, l.Close())
			require.Equal(t, "file appendonly.aof seq 1 type b\n"+incr1Line+"\n", d.read(man))
		})
	}
}

func TestOldFileBesideAManifestIsLeftAlone(t *testing.T) {
	d := newDir(t)
	d.write(base1, cmd("SET new 1"))
	d.manifest(base1Line)
	oldPath := filepath.Join(d.dir, defaultFileName)
	require.NoError(t, os.WriteFile(oldPath, cmd("SET old 1"), 0o644))
	lines, _, err := replay(Options{Dir: d.dir})
	require.NoError(t, err)
	require.Equal(t, []string{"SET new 1"}, lines)
	require.FileExists(t, oldPath)
}

func TestProgressCountsAllFiles(t *testing.T) {
	d := newDir(t)
	value := strings.Repeat("v", 1<<20)
	d.write(base1, bytes.Repeat(cmd("SET k "+value), 5))
	d.write(incr1, bytes.Repeat(cmd("SET k "+value), 3))
	d.manifest(base1Line, incr1Line)
	var seen []int64
	var sum int64
	_, err := Load(Options{Dir: d.dir}, Handlers{
		Apply: func(args [][]byte) error { sum += int64(len(args[2])); return nil },
		Progress: func(loaded, total int64) {
			require.EqualValues(t, 8*len(cmd("SET k "+value)), total)
			seen = append(seen, loaded)
		},
	})
	require.NoError(t, err)
	require.EqualValues(t, 8<<20, sum)
	require.GreaterOrEqual(t, len(seen), 4)
	require.IsNonDecreasing(t, seen)
	require.EqualValues(t, 8*len(cmd("SET k "+value)), seen[len(seen)-1])
}

func TestFixturesOfRealRedis(t *testing.T) {
	dir := copyDir(t, "testdata/aofdir_good")
	info, err := os.Stat(filepath.Join(dir, defaultDirName, "appendonly.aof.2.base.rdb"))
	require.NoError(t, err)
	var names []string
	count := func(args [][]byte) error { names = append(names, string(args[0])); return nil }
	_, err = Load(Options{Dir: dir}, Handlers{Apply: count, LoadBase: func(r *bufio.Reader, size int64) error {
		require.Equal(t, info.Size(), size)
		_, err := io.CopyN(io.Discard, r, size)
		return err
	}})
	require.NoError(t, err)
	require.Equal(t, []string{"SELECT", "set"}, names)

	names = nil
	_, err = Load(Options{Dir: copyDir(t, "testdata/aofdir_plain_base")}, Handlers{Apply: count})
	require.NoError(t, err)
	require.Equal(t, []string{"FUNCTION", "SELECT", "SET"}, names[:3])
	require.Contains(t, names, "XGROUP")
}

func FuzzLoad(f *testing.F) {
	f.Add(cmds("SET a 1", "MULTI", "INCR a", "EXEC"), true)
	f.Add([]byte("#TS:1\r\n*1\r\n$4\r\nPING\r\n*2"), false)
	f.Fuzz(func(t *testing.T, data []byte, last bool) {
		d := newDir(t)
		d.write(incr1, data)
		d.manifest(incr1Line)
		if !last {
			d.write(incr2, nil)
			d.manifest(incr1Line, incr2Line)
		}
		lines, res, err := replay(Options{Dir: d.dir})
		left := d.read(incr1)
		if err != nil || !last {
			require.Equal(t, string(data), left)
			return
		}
		require.True(t, strings.HasPrefix(string(data), left))
		require.EqualValues(t, len(data)-len(left), res.CutBytes)
		again, _, err := replay(Options{Dir: d.dir, RefuseTruncated: true})
		require.NoError(t, err)
		require.Equal(t, lines, again)
	})
}
