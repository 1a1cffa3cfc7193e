package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"strings"
	"time"
)

// A subscriber is a raw connection. What comes over it is not parsed: the payloads are marked, and counted where they
// stand, so that the load costs little beside the server.

// dialer connects a subscriber to a channel. It returns when the subscription is confirmed.
type dialer func(ctx context.Context, s *server, channel string) (net.Conn, error)

// patience bounds every step of a connection's beginning.
const patience = 30 * time.Second

func dialTCP(ctx context.Context, s *server, channel string) (net.Conn, error) {
	conn, err := dial(ctx, s.Addr)
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(conn, "*2\r\n$9\r\nSUBSCRIBE\r\n$%d\r\n%s\r\n", len(channel), channel)
	return confirmed(conn, "\r\n:1\r\n")
}

func dialWebSocket(ctx context.Context, s *server, channel string) (net.Conn, error) {
	conn, err := dial(ctx, s.page)
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(conn, "GET /ws HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", s.page)
	if _, err := confirmed(conn, "\r\n\r\n"); err != nil {
		return nil, err
	}
	if _, err := conn.Write(textFrame(`{"id":1,"op":"sub","channels":["` + channel + `"]}`)); err != nil {
		return nil, err
	}
	return confirmed(conn, "]}}")
}

func dial(ctx context.Context, addr string) (net.Conn, error) {
	conn, err := (&net.Dialer{Timeout: patience}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	return conn, conn.SetDeadline(time.Now().Add(patience))
}

// textFrame returns a client's frame. The mask is of zeros: that is as good as any other here.
func textFrame(text string) []byte {
	b := binary.BigEndian.AppendUint16([]byte{0x81, 0x80 | 126}, uint16(len(text)))
	return append(append(b, 0, 0, 0, 0), text...)
}

// confirmed reads until what has come ends with end.
func confirmed(conn net.Conn, end string) (net.Conn, error) {
	r := bufio.NewReaderSize(conn, 16) // the least: nothing may be read that belongs to what follows
	var got strings.Builder
	for !strings.HasSuffix(got.String(), end) {
		c, err := r.ReadByte()
		if err != nil {
			_ = conn.Close()
			return nil, fmt.Errorf("no subscription: %w; the server said %q", err, got.String())
		}
		got.WriteByte(c)
	}
	if r.Buffered() > 0 {
		_ = conn.Close()
		return nil, fmt.Errorf("the server said more than that it has subscribed us: %q", got.String())
	}
	return conn, conn.SetDeadline(time.Time{})
}
