package server

import (
	"fmt"
	"io"
	"net"
	"testing"

	"byor/pkg/config"
	"byor/pkg/redistest"
	"byor/pkg/resp"

	"github.com/stretchr/testify/require"
)

// Wrap sees every byte of sockets and of pipes, also where an event loop would have taken the socket.
func TestWrapSeesEveryByte(t *testing.T) {
	cfg, out := config.Default(), &redistest.Buffer{}
	require.NoError(t, cfg.ParseArgs([]string{"--port", "0", "--save", "", "--io-threads", "1", "--dir", t.TempDir()}))
	s, addr := startWith(t, cfg, Options{Wrap: func(c net.Conn) net.Conn { return resp.Trace(c, out, "eyes") }})
	socket, err := net.Dial("tcp", addr)
	require.NoError(t, err)
	ours, theirs := net.Pipe()
	go s.ServeConn(theirs)
	for name, conn := range map[string]net.Conn{"socket": socket, "pipe": ours} {
		fmt.Fprintf(conn, "*2\r\n$4\r\nECHO\r\n$%d\r\n%s\r\n", len(name), name)
		reply := make([]byte, len(name)+6)
		_, err := io.ReadFull(conn, reply)
		require.NoError(t, err)
		conn.Close()
	}
	for _, want := range []string{`eyes in   "$6\r\nsocket\r\n"`, `eyes out  "$6\r\nsocket\r\n"`, `eyes in   "$4\r\npipe\r\n"`, `eyes out  "$4\r\npipe\r\n"`} {
		require.Contains(t, out.String(), want)
	}
}
