package store

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestScanReturnsWhatStaysThroughResizes(t *testing.T) {
	var d Dict[int]
	for i := range 1000 {
		d.Add(fmt.Sprint("stay", i))
	}
	seen := map[string]bool{}
	grow := 0
	cursor := uint64(0)
	for step := 0; ; step++ {
		cursor = d.Scan(cursor, func(n *Node[int]) { seen[n.Key()] = true })
		if cursor == 0 {
			break
		}
		if step < 400 {
			for range 50 {
				d.Put(fmt.Appendf(nil, "x%d", grow))
				grow++
			}
		} else {
			for range 100 {
				if grow > 0 {
					grow--
					require.NotNil(t, d.DeleteString(fmt.Sprint("x", grow)))
				}
			}
		}
	}
	for i := range 1000 {
		require.True(t, seen[fmt.Sprint("stay", i)])
	}
}
