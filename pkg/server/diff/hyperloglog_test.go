package diff

import (
	"byor/pkg/redistest"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

func init() {
	element := func(r *rand.Rand) string { return fmt.Sprint("e", r.IntN(2000)) }
	generators["hyperloglog"] = func(r *rand.Rand) []string {
		k := hllKey(r)
		switch r.IntN(12) {
		case 0, 1:
			return append([]string{"PFCOUNT"}, some(r, 1, 3, anyKeyOrHLL)...)
		case 2:
			return append([]string{"PFMERGE", k}, some(r, 0, 2, anyKeyOrHLL)...)
		case 3, 4:
			return []string{"GET", k}
		case 5:
			return []string{"DEL", k}
		}
		return append([]string{"PFADD", k}, some(r, 0, 20, element)...)
	}
}

// hllKey draws a key that only these commands write to. What PFADD makes of a HyperLogLog that SETRANGE
// or BITFIELD has damaged is an accident of Redis's code, and not compared.
func hllKey(r *rand.Rand) string { return pick(r, "khll0", "khll1", "khll2", "khll3") }

func anyKeyOrHLL(r *rand.Rand) string {
	if r.IntN(6) == 0 {
		return anyKey(r)
	}
	return hllKey(r)
}

// TestHyperLogLogBytes counts on both until the sparse form has become dense, and beyond.
func TestHyperLogLogBytes(t *testing.T) {
	redis := redistest.Connect(t, startRedis(t))
	addr := startServer(t)
	ours := redistest.Connect(t, addr)
	n := 0
	for round := range 150 {
		args := []string{"PFADD", "h"}
		for range 1 + round {
			n++
			args = append(args, fmt.Sprint("element:", n*n))
		}
		for _, c := range []*redistest.Client{ours, redis} {
			c.Send(args...)
			c.Read()
		}
		require.Equal(t, string(redis.Do("GET h").Str), string(ours.Do("GET h").Str), "after %d elements", n)
		require.Equal(t, redis.Do("PFCOUNT h").Int, ours.Do("PFCOUNT h").Int, "after %d elements", n)
	}
	require.Len(t, redis.Do("GET h").Str, 12304)
}
