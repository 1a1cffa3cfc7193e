package server

import (
	"byor/pkg/redistest"
	"slices"
	"testing"

	"byor/pkg/introspect"
	"byor/pkg/resp"

	"github.com/stretchr/testify/require"
)

// beyond7 are commands that this server knows and Redis 7.0 does not.
var beyond7 = []string{"client|no-touch", "client|setinfo"}

// TestCommandFactsAgreeWithRedis compares what COMMAND INFO says of every command in the table.
func TestCommandFactsAgreeWithRedis(t *testing.T) {
	redis := dial(t, startRedis(t))
	s, addr := startServer(t)
	ours := dial(t, addr)
	redis.do("HELLO 3")
	ours.do("HELLO 3")
	for _, c := range s.eng.CountedCommands() {
		if slices.Contains(beyond7, c.FullName()) {
			continue
		}
		a, b := ours.do("COMMAND INFO "+c.FullName()), redis.do("COMMAND INFO "+c.FullName())
		require.Equal(t, normalInfo(b.Elems[0]), normalInfo(a.Elems[0]), c.FullName())
	}
}

// normalInfo prints a command's info without its subcommands, sets in order.
func normalInfo(v resp.Value) string {
	if v.Null {
		return "unknown"
	}
	v.Elems[9].Elems = nil
	for _, unordered := range []int{2, 6, 7} {
		redistest.SortElems(&v.Elems[unordered])
	}
	for i := range v.Elems[8].Elems {
		for j := range v.Elems[8].Elems[i].Elems {
			if part := &v.Elems[8].Elems[i].Elems[j]; part.Kind == resp.Set || j > 0 && string(v.Elems[8].Elems[i].Elems[j-1].Str) == "flags" {
				redistest.SortElems(part)
			}
		}
	}
	return show(v)
}

func TestEveryCommandIsDocumented(t *testing.T) {
	s, _ := startServer(t)
	for _, c := range s.eng.CountedCommands() {
		f := introspect.FactsOf(c)
		require.NotEmpty(t, f.Summary, c.FullName())
		if !slices.Contains(beyond7, c.FullName()) {
			require.NotEmpty(t, f.Since, c.FullName())
		}
	}
}
