package redistest

import (
	"io"
	"net"
	"sync"
	"testing"
)

// Accept plays a server: each connection is handed to serve, in a goroutine of its own. When the test ends, all
// of them are closed, if serve has not done it. It returns the address.
func Accept(t testing.TB, serve func(conn net.Conn)) (addr string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex // protects conns and over
	var conns []net.Conn
	over := false
	t.Cleanup(func() {
		ln.Close()
		mu.Lock()
		defer mu.Unlock()
		over = true
		for _, c := range conns {
			c.Close()
		}
	})
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			conns = append(conns, conn)
			if over {
				conn.Close()
			}
			mu.Unlock()
			go serve(conn)
		}
	}()
	return ln.Addr().String()
}

// Answering is a server that sends reply for whatever it reads, until the test ends. It returns its address.
func Answering(t testing.TB, reply string) string {
	t.Helper()
	return Accept(t, func(c net.Conn) {
		defer c.Close()
		buf := make([]byte, 1000)
		for {
			if _, err := c.Read(buf); err != nil {
				return
			}
			io.WriteString(c, reply)
		}
	})
}
