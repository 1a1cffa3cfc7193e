package resp_test

import (
	"bytes"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"byor/pkg/resp"

	"github.com/stretchr/testify/require"
)

// pieces hands out what it has in pieces of random sizes up to max.
type pieces struct {
	b   []byte
	max int
	rnd *rand.Rand
}

func (p *pieces) Read(to []byte) (int, error) {
	if len(p.b) == 0 {
		return 0, io.EOF
	}
	n := copy(to, p.b[:min(len(p.b), 1+p.rnd.IntN(p.max))])
	p.b = p.b[n:]
	return n, nil
}

// Arguments around the sizes at which they become large, in commands with small ones, however they come.
func TestLargeArgumentsComeWhole(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	text := func(n int) string {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(rnd.Uint32())
		}
		return string(b)
	}
	var want [][]string
	var wire []byte
	for _, n := range []int{resp.LargeBulk - 1, resp.LargeBulk, resp.LargeBulk + 1, 3*resp.LargeBulk + 5, 1 << 20, 3<<20 + 7} {
		want = append(want, []string{"SET", "k", text(n)}, []string{"PING"}, []string{"MSET", text(n), "\r\n", text(70_000), "", text(n), "z"})
	}
	for _, w := range want {
		wire = resp.AppendCommandStrings(wire, w...)
	}
	for _, most := range []int{3000, 17_000, 70_000, 1 << 20, 1 << 30} {
		r := resp.NewCommandReader(&pieces{wire, most, rnd})
		for i, w := range want {
			args, err := r.ReadCommand()
			require.NoError(t, err)
			require.Len(t, args, len(w))
			for j := range w {
				require.True(t, w[j] == string(args[j]), "%d: argument %d of command %d", most, j, i)
			}
		}
		_, err := r.ReadCommand()
		require.Equal(t, io.EOF, err)
		require.EqualValues(t, len(wire), r.Consumed())
	}
}

// What an argument claims costs nothing; what has come is counted, and hardly more is held.
func TestLargeArgumentCostsWhatHasCome(t *testing.T) {
	in := append([]byte("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$536870912\r\n"), make([]byte, 5<<20)...)
	r := resp.NewCommandReader(bytes.NewReader(in))
	var err error
	n := allocated(func() {
		for err == nil {
			if _, err = r.Next(); err == resp.ErrIncomplete {
				err = r.Fill()
			}
		}
	})
	require.Equal(t, io.EOF, err)
	require.Less(t, n, uint64(5<<20+5<<18))
	require.Equal(t, len(in), r.Buffered())
	require.Equal(t, 4, r.Parsed())
	require.Equal(t, 5<<20, r.Unparsed())
	require.InDelta(t, 5<<20, r.Size(), 128<<10)
}

// A large argument may be taken, once; it is nobody else's then.
func TestLargeArgumentIsTaken(t *testing.T) {
	wire := resp.AppendCommandStrings(nil, "SET", "k", strings.Repeat("x", 1<<20))
	wire = resp.AppendCommandStrings(wire, "SET", "k", strings.Repeat("y", 1000))
	wire = resp.AppendCommandStrings(wire, "SET", "k", strings.Repeat("z", 1<<20))
	r := resp.NewCommandReader(bytes.NewReader(wire))
	args, err := r.ReadCommand()
	require.NoError(t, err)
	large := args[2]
	require.True(t, r.HasLarge())
	require.False(t, r.Take(args[1]))
	require.True(t, r.Take(large))
	require.False(t, r.Take(large))
	require.Less(t, r.Size(), 1<<20, "what was taken is the taker's")
	args, err = r.ReadCommand()
	require.NoError(t, err)
	require.False(t, r.Take(args[2]))
	args, err = r.ReadCommand()
	require.NoError(t, err)
	require.True(t, r.HasLarge())
	require.GreaterOrEqual(t, r.Size(), 1<<20)
	r.Shrink()
	require.Equal(t, byte('z'), args[2][0])
	require.Less(t, r.Size(), 1<<20)
	require.Equal(t, strings.Repeat("x", 1<<20), string(large), "nothing was written over it")
}
