package diff

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"byor/pkg/resp"

	"github.com/stretchr/testify/require"
)

// TestEffectsAsRealRedis runs scripts on a real redis-server and on ours, both with an append-only
// file, and compares what they wrote into it: the form in which each command is handed on.
func TestEffectsAsRealRedis(t *testing.T) {
	for _, name := range []string{"stream", "streamgroup", "bitmap", "hyperloglog", "geo", "sort", "dump", "eval", "eval_effects", "function"} {
		t.Run(name, func(t *testing.T) {
			text, err := os.ReadFile("testdata/scripts/" + name + ".txt")
			require.NoError(t, err)
			theirDir, ourDir := t.TempDir(), t.TempDir()
			options := []string{"--appendonly", "yes", "--appendfsync", "always", "--dir"}
			redis := startRedis(t, append(options, theirDir)...)
			ours := startServer(t, append(options, ourDir)...)
			runScript(t, string(text), "2", ours, redis)
			want, got := effectsIn(t, theirDir), effectsIn(t, ourDir)
			for i := range max(len(want), len(got)) {
				if i >= len(want) || i >= len(got) || want[i] != got[i] {
					t.Fatalf("effect %d\nreal Redis: %s\nours:       %s\nbefore it: %s", i, about10(want, i), about10(got, i), got[max(0, i-3):i])
				}
			}
		})
	}
}

func about10(effects []string, i int) []string {
	return effects[min(i, len(effects)):min(i+4, len(effects))]
}

var aTime = regexp.MustCompile(`1[0-9]{12}(-[0-9]+)?`)

// effectsIn returns the commands in the incremental append-only file below dir, with times as "T".
func effectsIn(t *testing.T, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "appendonlydir", "*.incr.aof"))
	require.NoError(t, err)
	require.Len(t, files, 1)
	data, err := os.ReadFile(files[0])
	require.NoError(t, err)
	r := resp.NewCommandReader(bytes.NewReader(data))
	var effects []string
	for {
		args, err := r.ReadCommand()
		if err != nil {
			return effects
		}
		effects = append(effects, aTime.ReplaceAllString(fmt.Sprintf("%q", args), "T"))
	}
}
