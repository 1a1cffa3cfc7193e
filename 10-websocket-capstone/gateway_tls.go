package main

import (
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"byor/pkg/certs"
)

// Beside the way: TLS. The certificates are the server's, and change with them. A WebSocket is the same over it, but
// for who writes: a writer cannot hand the socket what it takes at once, since TLS makes records of it (station 10).

// handshakeTimeout is the time that net/http would give a handshake, too.
const handshakeTimeout = 5 * time.Second

// secured returns l, or a listener that makes TLS of l's connections. As many may shake hands at a time as there may be
// WebSockets.
func (g *gateway) secured(l net.Listener) net.Listener {
	if !g.opts.TLS {
		return l
	}
	return g.opts.Certs.Listen(l, max(1, g.opts.MaxConnections), handshakeTimeout)
}

// webTLS is what browsers are asked for, "" without TLS.
func (o *gatewayOptions) webTLS() string {
	if o.TLS && o.Port != 0 {
		return o.AskCerts
	}
	return ""
}

func (o *gatewayOptions) scheme() string {
	if o.TLS {
		return "https"
	}
	return "http"
}

func setAskCerts(o *gatewayOptions, v string) error {
	words := []string{certs.AuthNo, certs.AuthYes, certs.AuthOptional}
	if v = strings.ToLower(v); !slices.Contains(words, v) {
		return fmt.Errorf("must be one of %s", strings.Join(words, ", "))
	}
	o.AskCerts = v
	return nil
}

// logWriter lets net/http tell of what goes wrong, such as a handshake, where the gateway does.
type logWriter func(format string, args ...any)

func (w logWriter) Write(line []byte) (int, error) {
	w("gateway: %s", strings.TrimSpace(string(line)))
	return len(line), nil
}
