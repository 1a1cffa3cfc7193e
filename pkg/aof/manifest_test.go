package aof

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestParseManifestGood(t *testing.T) {
	base := &fileInfo{"appendonly.aof.2.base.rdb", 2, baseFile}
	incr := fileInfo{"appendonly.aof.2.incr.aof", 2, incrFile}
	lines := "file appendonly.aof.2.base.rdb seq 2 type b\nfile appendonly.aof.2.incr.aof seq 2 type i\n"
	for name, c := range map[string]struct {
		in   string
		want manifest
	}{
		"as Redis writes it": {lines, manifest{base: base, incrs: []fileInfo{incr}}},
		"comments":           {"# one\n" + lines + "#two\n", manifest{base: base, incrs: []fileInfo{incr}}},
		"only comments":      {"# nothing yet\n", manifest{}},
		"more pairs, any case and order": {"TYPE b\tSeq 2 more to-come FILE appendonly.aof.2.base.rdb \r\n",
			manifest{base: base}},
		"history and gaps": {lines + "file x seq 1 type h\nfile y seq 9 type i\n",
			manifest{base: base, history: []fileInfo{{"x", 1, historyFile}}, incrs: []fileInfo{incr, {"y", 9, incrFile}}}},
		"quoted": {`file "a b\x2e\"" seq "3" type 'i'` + "\nfile 'c\\'d' seq 4 type i\n",
			manifest{incrs: []fileInfo{{`a b."`, 3, incrFile}, {"c'd", 4, incrFile}}}},
		"atoll and first letter": {"file f seq 12abc type incremental\n",
			manifest{incrs: []fileInfo{{"f", 12, incrFile}}}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := parseManifest([]byte(c.in))
			require.NoError(t, err)
			require.Equal(t, c.want, got)
		})
	}
}

func TestParseManifestBad(t *testing.T) {
	good := "file a.1.base.rdb seq 1 type b\n"
	for _, c := range []struct {
		in, msg string
		line    int
	}{
		{"", "Found an empty AOF manifest", 0},
		{"\n", "Invalid AOF manifest file format", 1},
		{good + "\n", "Invalid AOF manifest file format", 2},
		{good + " \t\r\n" + good, "Invalid AOF manifest file format", 2},
		{"nonsense\n", "Invalid AOF manifest file format", 1},
		{"file a seq 1\n", "Invalid AOF manifest file format", 1},
		{"file a seq 1 type b more\n", "Invalid AOF manifest file format", 1},
		{"file a seq 1 name b\n", "Invalid AOF manifest file format", 1},
		{"file \"a seq 1 type b\n", "Invalid AOF manifest file format", 1},
		{"file \"a\"b seq 1 type b\n", "Invalid AOF manifest file format", 1},
		{"file a seq 0 type b\n", "Invalid AOF manifest file format", 1},
		{"file a seq one type b\n", "Invalid AOF manifest file format", 1},
		{"file a seq 1 type ''\n", "Invalid AOF manifest file format", 1},
		{"file '' seq 1 type b\n", "Invalid AOF manifest file format", 1},
		{"file a seq 1 type b", "The AOF manifest file contains too long line", 1},
		{good + "file a seq 1 ty", "The AOF manifest file contains too long line", 2},
		{"file " + strings.Repeat("a", 1100) + " seq 1 type b\n", "The AOF manifest file contains too long line", 1},
		{"file a\x00 seq 1 type b\n", "The AOF manifest file contains too long line", 1},
		{good + good, "Found duplicate base file information", 2},
		{"file a seq 1 type i\nfile b seq 1 type i\n", "Found a non-monotonic sequence number", 2},
		{"file a seq 2 type i\nfile b seq 1 type i\n", "Found a non-monotonic sequence number", 2},
		{"file a seq -1 type i\n", "Found a non-monotonic sequence number", 1},
		{"file ../a seq 1 type b\n", "File can't be a path, just a filename", 1},
		{"file a\\\\b seq 1 type b\n", "File can't be a path, just a filename", 1},
		{"file a seq 1 type x\n", "Unknown AOF file type", 1},
	} {
		_, err := parseManifest([]byte(c.in))
		var bad *manifestError
		require.True(t, errors.As(err, &bad), "%q: %v", c.in, err)
		require.Equal(t, c.msg, bad.msg, "%q", c.in)
		require.Equal(t, c.line, bad.line, "%q", c.in)
	}
}

func TestManifestLineOfExactlyTheLimit(t *testing.T) {
	fits := "file " + strings.Repeat("a", maxManifestLine-len("file  seq 1 type b\n")) + " seq 1 type b\n"
	require.Len(t, fits, maxManifestLine)
	_, err := parseManifest([]byte(fits + fits[:5]))
	require.ErrorContains(t, err, errManifestLong)
	m, err := parseManifest([]byte(fits))
	require.NoError(t, err)
	require.Equal(t, fits, m.String())
}

func TestManifestRoundTrip(t *testing.T) {
	for _, name := range []string{"plain", "two words", `quo"te`, "tab\t", "bell\a\b\n\r", "über\x00\xff", "'single'"} {
		m := manifest{
			base:    &fileInfo{name + ".1.base.rdb", 1, baseFile},
			history: []fileInfo{{name + ".1.incr.aof", 1, historyFile}},
			incrs:   []fileInfo{{name + ".2.incr.aof", 2, incrFile}, {name + ".4.incr.aof", 4, incrFile}},
		}
		got, err := parseManifest([]byte(m.String()))
		require.NoError(t, err, "%q", m.String())
		require.Equal(t, m, got)
		require.Equal(t, m, m.clone())
	}
	for _, dir := range []string{"aofdir_good", "aofdir_plain_base"} {
		data, err := os.ReadFile(filepath.Join("testdata", dir, "appendonlydir/appendonly.aof.manifest"))
		require.NoError(t, err)
		m, err := parseManifest(data)
		require.NoError(t, err)
		require.Equal(t, string(data), m.String())
	}
}

func FuzzManifest(f *testing.F) {
	f.Add([]byte("file a seq 1 type b\nfile \"b\\x00\" seq 1 type i\n"))
	f.Add([]byte("#\n file 'it\\'s' seq 99999999999999999999 type h x y\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := parseManifest(data)
		if err != nil {
			return
		}
		again := m.String()
		if again == "" {
			return
		}
		got, err := parseManifest([]byte(again))
		var bad *manifestError
		if errors.As(err, &bad) && bad.msg == errManifestLong {
			return // quoting made a line longer than the limit
		}
		require.NoError(t, err)
		require.Equal(t, m, got)
	})
}
