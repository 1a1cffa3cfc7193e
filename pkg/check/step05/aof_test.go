package step05

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestParseAOF(t *testing.T) {
	cmds, err := parseAOF([]byte("*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n*1\r\n$4\r\nPING\r\n"))
	require.NoError(t, err)
	require.Equal(t, [][]string{{"SELECT", "0"}, {"PING"}}, cmds)
	_, err = parseAOF([]byte("*2\r\n$6\r\nSELE"))
	require.Error(t, err)
}
