package port

import (
	"net"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestNoPortIsGivenTwice(t *testing.T) {
	seen := map[int]bool{}
	for range 500 {
		n, release, err := Reserve()
		require.NoError(t, err)
		t.Cleanup(release)
		require.False(t, seen[n])
		seen[n] = true
	}
}

func TestAPortThatIsReservedCanBeBound(t *testing.T) {
	n, release, err := Reserve()
	require.NoError(t, err)
	ln, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(n)))
	require.NoError(t, err)
	require.NoError(t, ln.Close())
	release()
	release() // may be called again
}
