package resp_test

import (
	"fmt"
	"strings"
	"testing"

	"byor/pkg/resp"

	"github.com/stretchr/testify/require"
)

// A bulk string is the same whatever its length and whatever room the buffer has.
func TestBulkOfEachLength(t *testing.T) {
	lengths := []int{200, 5000, resp.LargeBulk - 1, resp.LargeBulk, 3 * resp.LargeBulk}
	for n := range 130 {
		lengths = append(lengths, n)
	}
	for _, n := range lengths {
		text := strings.Repeat("x", n)
		want := fmt.Sprintf("+OK\r\n$%d\r\n%s\r\n", n, text)
		for _, room := range []int{0, n, n + 5, n + 11, n + 12, n + 13, n + 200} {
			w := resp.Writer{Buf: make([]byte, 0, room)}
			w.OK()
			w.Bulk([]byte(text))
			require.True(t, want == string(w.Buf), "%d bytes, room for %d", n, room)
			w.Bulk([]byte(text))
			require.Len(t, w.Buf, 2*len(want)-len("+OK\r\n"))
		}
	}
}
