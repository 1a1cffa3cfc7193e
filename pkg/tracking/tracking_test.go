package tracking_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// Whatever clients read, change and give up: what is remembered is what a plain model remembers, and when all keys are
// forgotten they take nothing and nobody listens any more.
func TestRandomReadersAgainstAModel(t *testing.T) {
	h := newHost()
	rnd := rand.New(rand.NewPCG(1, 2))
	readers := map[string]map[int]bool{}
	var peers []*peer
	for range 5 {
		peers = append(peers, h.connect())
	}
	on := make([]bool, len(peers))
	writer := h.connect()
	for range 3000 {
		who, key := rnd.IntN(len(peers)), []string{"a", "b"}[rnd.IntN(2)] // no more than Limit lets be
		switch rnd.IntN(5) {
		case 0:
			on[who] = !on[who]
			peers[who].do("CLIENT TRACKING " + map[bool]string{true: "ON", false: "OFF"}[on[who]])
		case 1:
			writer.do("SET " + key + " x")
			for i, p := range peers {
				want := ""
				if readers[key][i] && on[i] {
					want = fmt.Sprintf(">2 $10 invalidate *1 $%d %s", len(key), key)
				}
				require.Equal(t, want, p.output())
			}
			delete(readers, key)
		default:
			peers[who].do("GET " + key)
			if on[who] {
				if readers[key] == nil {
					readers[key] = map[int]bool{}
				}
				readers[key][who] = true
			}
		}
		peers[who].output()
		items, clients := 0, 0
		for _, ids := range readers {
			items += len(ids)
		}
		for _, is := range on {
			if is {
				clients++
			}
		}
		keys, got, _ := h.table.Counts()
		require.Equal(t, [3]int{len(readers), items, clients}, [3]int{keys, got, h.table.Clients()})
		require.Equal(t, len(readers) > 0, h.table.Bytes() > 0)
		require.Equal(t, h.table.InUse(), h.e.Keys != nil)
	}
	for _, p := range peers {
		p.do("CLIENT TRACKING OFF")
	}
	writer.do("SET a x", "SET b x")
	require.Zero(t, h.table.Bytes())
	require.False(t, h.table.InUse())
	require.Nil(t, h.e.Keys)
}
