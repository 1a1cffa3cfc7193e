package redistest

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// BinEnv names the environment variable with the directory where `make test` has put the programs of the
// module, before it starts the tests.
const BinEnv = "BYOR_BIN"

// made holds what a process builds itself where nobody has done so before.
var made struct {
	sync.Mutex
	dir   string // removed by Main; "" if that is not used
	paths map[string]string
}

// Main is the TestMain of a package whose tests use the same Program again and again: it is built once.
func Main(m *testing.M) int {
	dir, err := os.MkdirTemp("", "byor-test-")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	made.dir, made.paths = dir, map[string]string{}
	return m.Run()
}

// Program returns the path of the program in pkg, a path below the module's root ("03-get-set").
// `make test` has built it already; go test by hand builds it for this test, or with Main for all of
// the package.
func Program(t testing.TB, pkg string) string {
	t.Helper()
	name := filepath.Base(pkg)
	if runtime.GOOS == "windows" {
		name += ".exe"
	}
	if dir := os.Getenv(BinEnv); dir != "" {
		path := filepath.Join(dir, name)
		_, err := os.Stat(path) // and so go test notices a new one
		require.NoError(t, err)
		return path
	}
	made.Lock()
	defer made.Unlock()
	if path := made.paths[pkg]; path != "" {
		return path
	}
	dir := made.dir
	if dir == "" {
		dir = t.TempDir()
	}
	path := filepath.Join(dir, name)
	out, err := exec.Command("go", "build", "-o", path, "byor/"+pkg).CombinedOutput()
	require.NoError(t, err, string(out))
	if made.dir != "" {
		made.paths[pkg] = path
	}
	return path
}
