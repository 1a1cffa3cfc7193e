package certs

import (
	"context"
	"crypto/tls"
	"net"
	"sync"
	"time"
)

// Listen returns a listener whose connections are TLS for browsers: those of l once they have shaken hands, for which
// each has timeout. At most most of them do so at a time, and others are closed: whoever connects and says nothing
// costs a descriptor, which clients of Redis need, too. A connection whose handshake has failed comes out as well.
// Its first use returns the error, so that net/http can answer who has spoken HTTP. To close the listener is to end
// the handshakes.
func (k *Keeper) Listen(l net.Listener, most int, timeout time.Duration) net.Listener {
	w := &webListener{Listener: l, k: k, timeout: timeout, places: make(chan struct{}, most), ready: make(chan net.Conn), failed: make(chan error)}
	w.open, w.end = context.WithCancel(context.Background())
	return w
}

type webListener struct {
	net.Listener
	k       *Keeper
	timeout time.Duration
	begin   sync.Once
	places  chan struct{} // has one for each handshake that is under way
	ready   chan net.Conn
	failed  chan error      // of the listener beneath
	open    context.Context // ends with the listener
	end     context.CancelFunc
}

func (w *webListener) Accept() (net.Conn, error) {
	w.begin.Do(func() { go w.acceptAll() })
	select {
	case conn := <-w.ready:
		return conn, nil
	case err := <-w.failed:
		return nil, err
	case <-w.open.Done():
		return nil, net.ErrClosed
	}
}

func (w *webListener) Close() error {
	w.end()
	return w.Listener.Close()
}

// acceptAll accepts connections until the listener is closed. Its user decides what to do about an error.
func (w *webListener) acceptAll() {
	for w.open.Err() == nil {
		conn, err := w.Listener.Accept()
		if err != nil {
			select {
			case w.failed <- err:
			case <-w.open.Done():
			}
			continue
		}
		b := w.k.Bundle()
		if b == nil {
			conn.Close()
			continue
		}
		select {
		case w.places <- struct{}{}:
			go w.welcome(tls.Server(conn, b.web))
		default:
			conn.Close()
		}
	}
}

// welcome shakes hands and passes the connection on.
func (w *webListener) welcome(conn *tls.Conn) {
	ctx, cancel := context.WithTimeout(w.open, w.timeout)
	_ = conn.HandshakeContext(ctx) // an error comes again when the connection is used
	cancel()
	<-w.places
	select {
	case w.ready <- conn:
	case <-w.open.Done():
		conn.NetConn().Close()
	}
}
