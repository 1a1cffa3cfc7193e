package server

import (
	"byor/pkg/redistest"
	"os"
	"slices"
	"strings"
	"testing"

	"byor/pkg/engine"
	"byor/pkg/resp"

	"github.com/stretchr/testify/require"
)

// TestKeysOfCommandsLikeRedis asks both servers for the keys of the commands in testdata/getkeys.txt, right
// and wrong ones, and for what is done to them.
func TestKeysOfCommandsLikeRedis(t *testing.T) {
	text, err := os.ReadFile("testdata/getkeys.txt")
	require.NoError(t, err)
	ours, theirs := dial(t, second(startServer(t))), dial(t, startRedis(t))
	seen := map[string]bool{}
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		seen[strings.Fields(line)[0]] = true
		for _, sub := range []string{"COMMAND GETKEYS ", "COMMAND GETKEYSANDFLAGS "} {
			a, b := theirs.do(sub+line), ours.do(sub+line)
			for _, v := range []resp.Value{a, b} {
				for i := range v.Elems {
					if len(v.Elems[i].Elems) == 2 {
						redistest.SortElems(&v.Elems[i].Elems[1])
					}
				}
			}
			require.Equal(t, show(a), show(b), sub+line)
		}
	}
	// No command may be left out whose keys take more than a look at the table.
	for _, v := range theirs.do("COMMAND").Elems {
		if slices.ContainsFunc(v.Elems[2].Elems, func(f resp.Value) bool { return string(f.Str) == "movablekeys" }) {
			require.True(t, seen[string(v.Elems[0].Str)], "%s is not tried", v.Elems[0].Str)
		}
	}
}

// The containers' HELP is Redis's, but for the subcommands that are not here. What Redis does not have comes last.
func TestHelpLikeRedis(t *testing.T) {
	ours, theirs := dial(t, second(startServer(t))), dial(t, startRedis(t))
	entries := func(v resp.Value) (list []string) {
		for _, line := range v.Elems {
			if text := string(line.Str); strings.HasPrefix(text, " ") {
				list[len(list)-1] += "\n" + text
			} else if text != "" {
				list = append(list, text)
			}
		}
		return list
	}
	known := map[string]bool{}
	for _, v := range ours.do("COMMAND LIST").Elems {
		known[string(v.Str)] = true
	}
	beyond := []string{"NO-TOUCH (", "SETINFO ("}
	for _, name := range []string{
		"acl", "client", "cluster", "command", "config", "function", "latency", "memory", "module", "object", "pubsub",
		"script", "slowlog", "xgroup", "xinfo",
	} {
		var want []string
		for _, e := range entries(theirs.do(name + " HELP")) {
			sub, _, _ := strings.Cut(strings.Fields(e)[0], "\n")
			if strings.HasPrefix(e, "(no subcommand)") || strings.HasPrefix(e, engine.Upper([]byte(name))) || known[name+"|"+strings.ToLower(sub)] {
				want = append(want, e)
			}
		}
		got := slices.DeleteFunc(entries(ours.do(name+" HELP")), func(e string) bool {
			return slices.ContainsFunc(beyond, func(b string) bool { return strings.HasPrefix(e, b) })
		})
		require.Equal(t, want, got, name)
	}
	all := entries(theirs.do("DEBUG HELP"))
	for _, e := range entries(ours.do("DEBUG HELP")) {
		require.Contains(t, all, e)
	}
}

func TestLatencyGraph(t *testing.T) {
	s, addr := startServer(t, "--latency-monitor-threshold", "1")
	c := dial(t, addr)
	c.want("LATENCY GRAPH command", "-ERR No samples available for event 'command'")
	s.eng.Lock()
	s.eng.Latency.Events = map[string]*engine.LatencyEvent{"command": {MaxMs: 7, Samples: []engine.LatencySample{{Unix: s.eng.NowMs/1000 - 60, Ms: 3}, {Unix: s.eng.NowMs/1000 - 3600, Ms: 5}}}}
	s.eng.Unlock()
	graph := string(c.do("LATENCY GRAPH command").Str)
	require.True(t, strings.HasPrefix(graph, "command - high 5 ms, low 3 ms (all time high 7 ms)\n"+strings.Repeat("-", 80)+"\n"), graph)
	require.True(t, strings.HasSuffix(graph, "\n  \n11\nmh\n"), graph)
}
