package aof

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"byor/pkg/resp"

	"github.com/stretchr/testify/require"
)

// cmd encodes a command given as words.
func cmd(line string) []byte {
	return resp.AppendCommandStrings(nil, strings.Fields(line)...)
}

func cmds(lines ...string) []byte {
	var b []byte
	for _, line := range lines {
		b = append(b, cmd(line)...)
	}
	return b
}

// replay loads a log and returns its commands as lines. A base that begins with
// REDIS is read as fakeBase writes it and gives lines as well.
func replay(o Options) (lines []string, res Result, err error) {
	res, err = Load(o, Handlers{
		LoadBase: func(r *bufio.Reader, size int64) error {
			text, err := readFakeBase(r)
			if text != "" {
				lines = append(lines, strings.Split(text, "\n")...)
			}
			return err
		},
		Apply: func(args [][]byte) error {
			words := make([]string, len(args))
			for i, a := range args {
				words[i] = string(a)
			}
			if words[0] == "NOSUCH" {
				return ErrUnknownCommand
			}
			lines = append(lines, strings.Join(words, " "))
			return nil
		},
	})
	return lines, res, err
}

// fakeBase is to the loader what an RDB is: it begins with REDIS and knows its end.
func fakeBase(lines ...string) []byte {
	text := strings.Join(lines, "\n")
	return fmt.Appendf(nil, "REDIS%08d%s", len(text), text)
}

func readFakeBase(r io.Reader) (string, error) {
	head := make([]byte, 13)
	if _, err := io.ReadFull(r, head); err != nil {
		return "", err
	}
	var n int
	if _, err := fmt.Sscanf(string(head), "REDIS%08d", &n); err != nil {
		return "", err
	}
	text := make([]byte, n)
	_, err := io.ReadFull(r, text)
	return string(text), err
}

func baseOf(lines ...string) BaseWriter {
	return func(w io.Writer) error {
		_, err := w.Write(fakeBase(lines...))
		return err
	}
}

// logDir makes a data directory from files; names with a slash are outside of
// appendonlydir, and a manifest is written from the names in order.
type logDir struct {
	t   testing.TB
	dir string
}

func newDir(t testing.TB) logDir { return logDir{t, t.TempDir()} }

func (d logDir) path(name string) string {
	return filepath.Join(d.dir, defaultDirName, name)
}

func (d logDir) write(name string, data []byte) {
	d.t.Helper()
	require.NoError(d.t, os.MkdirAll(filepath.Join(d.dir, defaultDirName), 0o755))
	require.NoError(d.t, os.WriteFile(d.path(name), data, 0o644))
}

func (d logDir) read(name string) string {
	d.t.Helper()
	data, err := os.ReadFile(d.path(name))
	require.NoError(d.t, err)
	return string(data)
}

func (d logDir) manifest(lines ...string) {
	d.t.Helper()
	d.write("appendonly.aof.manifest", []byte(strings.Join(lines, "\n")+"\n"))
}

// names lists what is in the append-only directory.
func (d logDir) names() []string {
	d.t.Helper()
	entries, err := os.ReadDir(filepath.Join(d.dir, defaultDirName))
	require.NoError(d.t, err)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// logLines collects what is logged, from any goroutine.
type logLines struct {
	mu    sync.Mutex
	lines []string
}

func (l *logLines) f(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, fmt.Sprintf(format, args...))
}

func (l *logLines) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.lines, "\n")
}

func copyDir(t *testing.T, from string) string {
	t.Helper()
	to := t.TempDir()
	require.NoError(t, os.CopyFS(to, os.DirFS(from)))
	return to
}

const (
	base1 = "appendonly.aof.1.base.aof"
	incr1 = "appendonly.aof.1.incr.aof"
	incr2 = "appendonly.aof.2.incr.aof"
	man   = "appendonly.aof.manifest"

	base1Line = "file appendonly.aof.1.base.aof seq 1 type b"
	incr1Line = "file appendonly.aof.1.incr.aof seq 1 type i"
	incr2Line = "file appendonly.aof.2.incr.aof seq 2 type i"
)
