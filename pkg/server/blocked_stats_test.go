package server

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A command that has waited counts as one call, and as a failed one when it was ended with an error; its
// latency is that of the whole wait. Each script runs on both servers: what blocks, what ends it.
func TestStatsOfBlockedCommands(t *testing.T) {
	ours, theirs := second(startServer(t)), startRedis(t)
	for _, in := range []struct{ blocks, ends string }{
		{"BLPOP l 0", "RPUSH l x"}, {"BLPOP l 0", "MULTI;RPUSH l 1;EXEC"}, {"BRPOP l 0", "CLIENT UNBLOCK %d ERROR"},
		{"BLMOVE l k LEFT LEFT 0", "CLIENT UNBLOCK %d TIMEOUT"}, {"BLMOVE l str LEFT LEFT 0", "SET str 1;RPUSH l x"}, {"BZPOPMIN z 0", "ZADD z 1 a"},
		{"BLMPOP 0 1 l LEFT", "SET l x;DEL l;RPUSH l 1"}, {"XREADGROUP GROUP g c BLOCK 0 STREAMS s >", "DEL s"},
		{"XREADGROUP GROUP g c BLOCK 0 STREAMS s >", "XADD s * a b"}, {"XREAD BLOCK 0 STREAMS s2 $", "XADD s2 * a b"}, {"BLPOP a 0.05", ""}, {"WAIT 1 50", ""},
	} {
		var got []string
		for _, addr := range []string{ours, theirs} {
			c, waits := dial(t, addr), dial(t, addr)
			for _, line := range []string{"FLUSHALL", "XGROUP CREATE s g $ MKSTREAM", "CONFIG RESETSTAT"} {
				c.do(line)
			}
			id := waits.do("CLIENT ID").Int
			waits.send(words(t, in.blocks)...)
			if in.ends != "" {
				eventually(t, c, "INFO clients", "blocked_clients:1")
				for _, line := range strings.Split(in.ends, ";") {
					if strings.Contains(line, "%d") {
						line = fmt.Sprintf(line, id)
					}
					c.do(line)
				}
			}
			reply := waits.read()
			var b strings.Builder
			fmt.Fprintln(&b, string(reply.Str))
			name := strings.ToLower(strings.Fields(in.blocks)[0])
			for _, section := range []string{"commandstats", "latencystats", "errorstats"} {
				for _, line := range strings.Split(string(c.do("INFO "+section).Str), "\r\n") {
					if strings.HasPrefix(line, "cmdstat_"+name+":") || strings.HasPrefix(line, "cmdstat_client|unblock:") {
						f := strings.Split(line, ",")
						fmt.Fprintln(&b, f[0], f[3], f[4])
					} else if strings.HasPrefix(line, "latency_percentiles_usec_"+name+":") || strings.HasPrefix(line, "errorstat_") {
						fmt.Fprintln(&b, strings.Split(line, ":p")[0])
					}
				}
			}
			lines := strings.Split(b.String(), "\n")
			slices.Sort(lines) // Redis lists commands as its hash table has them
			got = append(got, strings.Join(lines, "\n"))
		}
		require.Equal(t, got[1], got[0], "%+v", in)
	}
}
