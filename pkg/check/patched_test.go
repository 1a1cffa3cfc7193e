package check_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"byor/pkg/check/course"
	"byor/pkg/check/process"
	_ "byor/pkg/check/steps" // the checks
	"byor/pkg/redistest"

	"github.com/stretchr/testify/require"
)

// Servers to judge: each step's, and each step's with a patch applied (a mutant, a solution). The
// tree itself is never touched: go build takes the patched files from elsewhere (-overlay).

// bins builds every binary once, two at a time.
type bins struct {
	root, dir string
	mu        sync.Mutex
	made      map[string]func() (*process.Target, error)
	slots     chan bool
}

var built *bins

func TestMain(m *testing.M) {
	root, err := course.Root()
	if err != nil {
		panic(err)
	}
	dir, err := os.MkdirTemp("", "byor-calibrate-")
	if err != nil {
		panic(err)
	}
	built = &bins{root: root, dir: dir, made: map[string]func() (*process.Target, error){}, slots: make(chan bool, 2)}
	flag.Parse()
	flag.Set("test.parallel", "8") // they wait for sockets and clocks more than for a processor
	code := m.Run()
	notExecuted.print()
	built.removePartial()
	os.RemoveAll(dir)
	os.Exit(code)
}

// hasStep says whether the step's server is there.
func hasStep(step int) bool {
	_, err := os.Stat(filepath.Join(built.root, course.Folders[step], "main.go"))
	return err == nil
}

// target returns the server of step, with patch (a file; "" is none) applied.
func (b *bins) target(t *testing.T, step int, patch string) *process.Target {
	t.Helper()
	target, err := b.get(step, patch)
	require.NoError(t, err, "%s with patch %q", course.Folders[step], patch)
	return target
}

func (b *bins) get(step int, patch string) (*process.Target, error) {
	return b.once(course.Folders[step]+":"+patch, func(n int) (*process.Target, error) { return b.build(n, step, patch) })
}

// once returns what build has made for key; n is a number of its own.
func (b *bins) once(key string, build func(n int) (*process.Target, error)) (*process.Target, error) {
	b.mu.Lock()
	if b.made[key] == nil {
		n := len(b.made)
		b.made[key] = sync.OnceValues(func() (*process.Target, error) { return build(n) })
	}
	make := b.made[key]
	b.mu.Unlock()
	return make()
}

func (b *bins) build(n, step int, patch string) (*process.Target, error) {
	bin := filepath.Join(b.dir, fmt.Sprint("bin", n))
	if made := os.Getenv(redistest.BinEnv); made != "" && patch == "" {
		return b.targetOf(step, filepath.Join(made, course.Folders[step]), "")
	}
	overlay := ""
	if patch != "" {
		work := filepath.Join(b.dir, fmt.Sprint("src", n))
		var err error
		if overlay, err = course.Overlay(b.root, work, patch); err != nil {
			return nil, err
		}
	}
	b.slots <- true
	defer func() { <-b.slots }()
	if err := course.Build(b.root, course.Folders[step], bin, overlay); err != nil {
		return nil, err
	}
	return b.targetOf(step, bin, overlay)
}

func (b *bins) targetOf(step int, bin, overlay string) (*process.Target, error) {
	if _, err := os.Stat(bin); err != nil {
		return nil, err
	}
	target := process.StepTarget(step, bin)
	target.Source = &process.Source{Root: b.root, Dir: course.Folders[step], Overlay: overlay}
	return target, nil
}
