package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"strings"
)

// traced prints what goes over a connection: HTTP as text, frames with their first bytes in hexadecimal.
// It takes each Read and Write for whole frames, which is true of short messages.
type traced struct {
	net.Conn
	out io.Writer
}

func (t *traced) Write(b []byte) (int, error) {
	show(t.out, ">", b)
	return t.Conn.Write(b)
}

func (t *traced) Read(b []byte) (int, error) {
	n, err := t.Conn.Read(b)
	show(t.out, "<", b[:n])
	return n, err
}

func show(out io.Writer, way string, b []byte) {
	if bytes.HasPrefix(b, []byte("GET ")) || bytes.HasPrefix(b, []byte("HTTP/")) {
		for line := range strings.Lines(strings.TrimSpace(string(b))) {
			fmt.Fprintln(out, way, strings.TrimRight(line, "\r\n"))
		}
		return
	}
	for len(b) >= 2 {
		head, size := 2, int(b[1]&0x7f)
		switch {
		case size == 126 && len(b) >= 4:
			head, size = 4, int(binary.BigEndian.Uint16(b[2:]))
		case size == 127 && len(b) >= 10:
			head, size = 10, int(binary.BigEndian.Uint64(b[2:]))
		}
		fmt.Fprintf(out, "%s % x", way, b[:head])
		masked := b[1]&0x80 != 0
		b = b[head:]
		var mask [4]byte
		if masked && len(b) >= 4 {
			b = b[copy(mask[:], b):]
			fmt.Fprintf(out, "  mask % x", mask)
		}
		payload := bytes.Clone(b[:min(size, len(b))])
		for i := range payload {
			payload[i] ^= mask[i%4]
		}
		fmt.Fprintf(out, "  %s\n", payload)
		b = b[len(payload):]
	}
}
