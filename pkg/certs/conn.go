package certs

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"
)

// HandshakeTimeout is how long a peer may take until a connection is made. Redis waits for as long as timeout says,
// which by default is for ever.
const HandshakeTimeout = 10 * time.Second

// errNone is for who wants TLS before there is a certificate.
var errNone = errors.New("tls: no certificate is loaded")

// Accept makes a TLS connection of a socket that somebody has opened to us, within HandshakeTimeout and as long as
// ctx is not done. If it fails, it has closed the socket.
func (k *Keeper) Accept(ctx context.Context, conn net.Conn) (*tls.Conn, error) {
	b := k.Bundle()
	if b == nil {
		conn.Close()
		return nil, errNone
	}
	return shake(ctx, tls.Server(conn, b.server), HandshakeTimeout)
}

// Dial connects to another server, within timeout, the handshake included.
func (k *Keeper) Dial(ctx context.Context, network, addr string, timeout time.Duration) (net.Conn, error) {
	b := k.Bundle()
	if b == nil {
		return nil, errNone
	}
	d := net.Dialer{Timeout: timeout}
	conn, err := d.DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	secured, err := shake(ctx, tls.Client(conn, b.client), timeout)
	if err != nil {
		return nil, err // and no nil of another type
	}
	return secured, nil
}

func shake(ctx context.Context, conn *tls.Conn, timeout time.Duration) (*tls.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	if err := conn.HandshakeContext(ctx); err != nil {
		conn.NetConn().Close() // without a farewell, which could have to wait
		if errors.Is(err, context.DeadlineExceeded) {
			err = fmt.Errorf("the TLS handshake took longer than %v", timeout)
		}
		return nil, err
	}
	return conn, nil
}

// HangUp closes a connection without waiting. Over TLS a farewell goes out before, and a peer that reads nothing
// could hold that up for seconds.
func HangUp(conn net.Conn) {
	for inner := conn; inner != nil; inner = within(inner) {
		if _, ok := inner.(*tls.Conn); ok {
			go conn.Close()
			return
		}
	}
	conn.Close()
}

// Socket returns what carries a connection in the end, whatever is around it.
func Socket(conn net.Conn) net.Conn {
	for inner := conn; inner != nil; inner = within(inner) {
		conn = inner
	}
	return conn
}

func within(conn net.Conn) net.Conn {
	if w, ok := conn.(interface{ NetConn() net.Conn }); ok {
		return w.NetConn()
	}
	return nil
}
