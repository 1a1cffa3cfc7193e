//go:build unix

package server

import (
	"strings"
	"testing"
	"time"

	"byor/pkg/engine"
	"byor/pkg/resp"

	"github.com/stretchr/testify/require"
)

// BenchmarkLoadLog loads a log of a million commands, plain and rewritten into a base, with a real Redis
// beside us:
//
//	go test ./pkg/server -run '^$' -bench LoadLog -benchtime 1x
func BenchmarkLoadLog(b *testing.B) {
	const n = 1_000_000
	var log []byte
	for i := range n {
		log = resp.AppendCommandStrings(log, "SET", "key:"+itoa(i), "value of some length "+itoa(i))
	}
	dir := aofDir(b, map[string]string{manifestFile: incr1Line, incr1: string(log)})
	b.Run("commands", func(b *testing.B) { loadBoth(b, dir, n) })
	p := launchOurs(b, dir, "--appendonly", "yes")
	c := p.dial()
	c.want("BGREWRITEAOF", "+Background append only file rewriting started")
	start := time.Now()
	for c.info("aof_rewrite_in_progress") == "1" {
		time.Sleep(time.Millisecond)
	}
	b.Logf("a rewrite of %d keys takes %v", n, time.Since(start).Round(time.Millisecond))
	p.kill()
	b.Run("base", func(b *testing.B) { loadBoth(b, dir, n) })
}

func loadBoth(b *testing.B, dir string, n int) {
	for b.Loop() {
		for _, launch := range []func(testing.TB, string, ...string) *process{launchOurs, launchRedis} {
			p := launch(b, dir, "--appendonly", "yes")
			unit := "ours-keys/s"
			if strings.HasSuffix(p.cmd.Path, "redis-server") {
				unit = "redis-keys/s"
			}
			b.ReportMetric(float64(n)/loadSeconds(b, p.out.String()), unit)
			p.kill()
		}
	}
}

// loadSeconds is what a server's log says of how long the load took.
func loadSeconds(b *testing.B, log string) float64 {
	_, rest, ok := strings.Cut(log, "DB loaded from append only file: ")
	require.True(b, ok, log)
	word, _, _ := strings.Cut(rest, " ")
	f, ok := engine.ParseFloat([]byte(word))
	require.True(b, ok, word)
	return f
}
