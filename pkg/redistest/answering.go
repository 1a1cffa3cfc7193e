package redistest

import (
	"io"
	"net"
	"testing"
)

// Answering is a server that sends reply for whatever it reads, until the test ends. It returns its address.
func Answering(t testing.TB, reply string) string {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				buf := make([]byte, 1000)
				for {
					if _, err := c.Read(buf); err != nil {
						return
					}
					io.WriteString(c, reply)
				}
			}()
		}
	}()
	return ln.Addr().String()
}
