package aof

import (
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// BenchmarkLoad is the framing alone: the commands go nowhere.
func BenchmarkLoad(b *testing.B) {
	var data []byte
	for i := range 100_000 {
		data = append(data, cmd(fmt.Sprintf("SET key:%06d value-of-some-length", i))...)
	}
	for b.Loop() {
		b.StopTimer()
		d := newDir(b)
		d.write(incr1, data)
		d.manifest(incr1Line)
		b.StartTimer()
		_, err := Load(Options{Dir: d.dir}, Handlers{Apply: func([][]byte) error { return nil }})
		require.NoError(b, err)
	}
	b.SetBytes(int64(len(data)))
}

// BenchmarkCommit has many connections append and commit a command each.
func BenchmarkCommit(b *testing.B) {
	for _, policy := range []Policy{Always, EverySec} {
		b.Run(policy.String(), func(b *testing.B) {
			fsys := newFaultFS()
			fsys.real = true
			l, err := Open(Options{Dir: b.TempDir(), Policy: policy, PlainBase: true, FS: fsys}, nil)
			require.NoError(b, err)
			line := cmd("SET key:000001 value-of-some-length")
			var n atomic.Int64
			b.SetParallelism(25)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if l.Commit(l.Append(line)) == nil {
						n.Add(1)
					}
				}
			})
			require.EqualValues(b, b.N, n.Load())
			b.ReportMetric(float64(b.N)/float64(max(fsys.counted("write"), 1)), "commits/write")
			require.NoError(b, l.Close())
		})
	}
}
