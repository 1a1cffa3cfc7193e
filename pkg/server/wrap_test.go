package server

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"

	"byor/pkg/config"
	"byor/pkg/resp"

	"github.com/stretchr/testify/require"
)

// lockedBuffer is a bytes.Buffer for several goroutines.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// Wrap sees every byte of sockets and of pipes, also where an event loop would have taken the socket.
func TestWrapSeesEveryByte(t *testing.T) {
	cfg, out := config.Default(), &lockedBuffer{}
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
	out.mu.Lock()
	defer out.mu.Unlock()
	for _, want := range []string{`eyes in   "$6\r\nsocket\r\n"`, `eyes out  "$6\r\nsocket\r\n"`, `eyes in   "$4\r\npipe\r\n"`, `eyes out  "$4\r\npipe\r\n"`} {
		require.Contains(t, out.b.String(), want)
	}
}
