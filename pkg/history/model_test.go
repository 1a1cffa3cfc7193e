package history_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"byor/pkg/redistest"

	"github.com/stretchr/testify/require"
)

// published is a message as a plain model has it: in the order of publishing, kept or not.
type published struct{ entry, payload string }

// Whatever happens to the stream, a client that is told that it has recovered has been sent all that was published after
// its entry, and one that is not is sent a part of that, in order. When nothing but publishing happens, it recovers
// exactly if it has missed no more than is kept.
func TestPromiseAgainstModel(t *testing.T) {
	for seed := range uint64(6) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 7))
			rules := []string{"room:*=5", "room:*=5,2s", "room:*=1"}[seed%3]
			ms := at(1_000_000)
			_, addr := start(t, ms, rules, "--stream-node-max-entries", fmt.Sprint(2+seed))
			c, live := dial(t, addr), dial(t, addr)
			live.asks("HISTORY.SUBSCRIBE room:1 LAST 0", confirmed("room:1", 1, 1, "0-0"))
			var all []published
			calm := 0 // how many of the latest are from a time in which nothing but publishing happened
			for step := range 1500 {
				switch op := rng.IntN(100); {
				case op < 60:
					c.publish("room:1", fmt.Sprint(step))
					m := live.Read()
					require.Equal(t, fmt.Sprint(step), string(m.Elems[2].Str))
					all = append(all, published{string(m.Elems[3].Str), fmt.Sprint(step)})
					calm++
				case op < 70:
					ms.ms.Add(rng.Int64N(900))
				case op < 73:
					ms.ms.Add(-rng.Int64N(900))
				case op < 75 && len(all) > 0:
					c.Do("XDEL history:room:1 " + all[max(0, len(all)-1-rng.IntN(7))].entry)
					calm = 0
				case op < 76:
					c.Do([]string{"DEL history:room:1", "FLUSHALL", "XTRIM history:room:1 MAXLEN 2"}[rng.IntN(3)])
					calm = 0
				case len(all) > 0:
					behind := rng.IntN(min(10, len(all)))
					checkResume(t, addr, all, len(all)-1-behind, seed%3 == 0 && behind < calm && behind <= 5)
				}
			}
			require.NotEqual(t, "0", c.Info("history_hits"))
			require.NotEqual(t, "0", c.Info("history_misses"))
		})
	}
}

// checkResume lets a client come back that has seen all up to the message with the index last.
func checkResume(t *testing.T, addr string, all []published, last int, must bool) {
	t.Helper()
	sub := dial(t, addr)
	defer sub.Conn.Close()
	sub.Send("HISTORY.SUBSCRIBE", "room:1", "SINCE", all[last].entry)
	v := sub.Read()
	require.False(t, v.IsError(), redistest.Show(v))
	recovered := v.Elems[3].Int == 1
	var got []published
	for range v.Elems[5].Int {
		m := sub.Read()
		got = append(got, published{string(m.Elems[3].Str), string(m.Elems[2].Str)})
	}
	missed := all[last+1:]
	if recovered {
		require.Equal(t, append([]published(nil), missed...), got, "it was told that nothing is missing")
	}
	require.True(t, recovered || !must, "nothing has gone, but it was told so: %d missed", len(missed))
	at := 0
	for _, m := range missed { // what it got is a part of what it has missed
		if at < len(got) && got[at] == m {
			at++
		}
	}
	require.Equal(t, len(got), at, "sent %v, missed %v", got, missed)
}
