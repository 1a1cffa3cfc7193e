package server

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// MEMORY DOCTOR finds what is unusual, and when it is over, nothing.
func TestMemoryDoctor(t *testing.T) {
	_, addr := startServer(t)
	c := dial(t, addr)
	says := func() string { return string(c.do("MEMORY DOCTOR").Str) }
	require.Equal(t, "Too little memory is in use to say anything about it.\n", says())
	for i := range 40 {
		c.want(fmt.Sprint("SETRANGE k", i, " 999999 x"), ":1000000")
	}
	require.NotContains(t, says(), "Peak")
	for i := range 30 {
		c.want(fmt.Sprint("DEL k", i), ":1")
	}
	eventually(t, c, "MEMORY DOCTOR", "* Peak: at one time ")
	big := dial(t, addr)
	fmt.Fprintf(big.conn, "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$4000000\r\n%s", strings.Repeat("x", 3000000))
	eventually(t, c, "MEMORY DOCTOR", "* Clients: each takes ")
	require.NotContains(t, says(), "Scripts")
	for i := range 1001 {
		c.do(fmt.Sprint("EVAL 'return ", i, "' 0"))
	}
	require.Contains(t, says(), "* Scripts: 1001 are kept.")
}
