package resp

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestExpectMakesRoom(t *testing.T) {
	w := NewWriter(nil)
	w.OK()
	w.Expect(10_000)
	room := cap(w.Buf)
	require.GreaterOrEqual(t, room, 10_005)
	w.Bulk(make([]byte, 9_990))
	require.Equal(t, room, cap(w.Buf))
	require.True(t, strings.HasPrefix(string(w.Buf), "+OK\r\n$9990\r\n"))
}
