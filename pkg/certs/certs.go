// Package certs makes TLS of files: it loads certificates, keys and authorities by Redis's parameters, keeps what is
// in use so that it can be replaced while connections live, and shakes hands with whoever connects.
//
// A Bundle is what one loading gave, whole and checked. A Keeper holds the one in use. To reload is to load a new
// Bundle beside it and to put it in: new handshakes take the new one, and connections that stand know nothing of it.
// A file that is wrong leaves everything as it was. Each Bundle has ticket keys of its own, so nobody resumes a
// session that an older one has granted: after a change of authority everybody has to show a certificate again.
//
// What Go decides it decides: the ciphers, their order, the curves, and that TLS 1.2 is the least unless tls-protocols
// says otherwise. Nothing in here writes what is in a key or a password anywhere.
package certs

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// Settings are Redis's parameters about TLS, by their names without "tls-". The zero value asks for nothing.
type Settings struct {
	CertFile, KeyFile, KeyFilePass                   string
	ClientCertFile, ClientKeyFile, ClientKeyFilePass string // to connect to others with; the server's own if empty
	CACertFile, CACertDir                            string
	AuthClients                                      string // yes, no or optional: who connects shows a certificate
	Protocols                                        string // names with spaces between; "" is Go's default
	SessionCaching                                   bool
	SessionTimeoutSec                                int64 // how long a session can be resumed

	Outgoing bool   // connections to others are TLS, too
	Web      string // AuthClients for browsers; "" if there are none
}

// The values of AuthClients.
const (
	AuthYes      = "yes"
	AuthNo       = "no"
	AuthOptional = "optional"
)

// Bundle is what Load has made of the files. It does not change, and is safe for concurrent use.
type Bundle struct {
	server, client, web *tls.Config
}

// Server returns the configuration for clients of Redis that connect. It must not be changed, nor may the others.
func (b *Bundle) Server() *tls.Config { return b.server }

// Client returns the configuration for connections to other servers. As in Redis the other's certificate has to be
// signed by one of our authorities, and its name does not matter: replicas are told addresses, not names.
func (b *Bundle) Client() *tls.Config { return b.client }

// Web returns the configuration for browsers.
func (b *Bundle) Web() *tls.Config { return b.web }

// The complaints about settings that do not fit together; the texts are those of Redis's log.
var (
	ErrNoCert = errors.New("No tls-cert-file configured!") //nolint:staticcheck // Redis's words
	ErrNoKey  = errors.New("No tls-key-file configured!")  //nolint:staticcheck // Redis's words
	ErrNoCA   = errors.New("Either tls-ca-cert-file or tls-ca-cert-dir must be specified when tls-cluster, tls-replication or tls-auth-clients are enabled!")
)

// Load reads the files that s names. The error says which of them is wrong, in the words of Redis's log.
func Load(s Settings) (*Bundle, error) {
	switch {
	case s.CertFile == "":
		return nil, ErrNoCert
	case s.KeyFile == "":
		return nil, ErrNoKey
	case s.CACertFile == "" && s.CACertDir == "" && s.needsCA():
		return nil, ErrNoCA
	}
	lowest, highest, err := parseProtocols(s.Protocols)
	if err != nil {
		return nil, err
	}
	cert, err := loadPair(s.CertFile, s.KeyFile, s.KeyFilePass)
	if err != nil {
		return nil, err
	}
	roots, err := loadAuthorities(s.CACertFile, s.CACertDir)
	if err != nil {
		return nil, err
	}
	own := cert // to show to others
	if s.ClientCertFile != "" && s.ClientKeyFile != "" {
		if own, err = loadPair(s.ClientCertFile, s.ClientKeyFile, s.ClientKeyFilePass); err != nil {
			return nil, err
		}
	}
	incoming := func(auth string) *tls.Config {
		c := &tls.Config{Certificates: []tls.Certificate{cert}, ClientCAs: roots, ClientAuth: clientAuth(auth), MinVersion: lowest, MaxVersion: highest}
		s.limitSessions(c)
		return c
	}
	b := &Bundle{server: incoming(s.AuthClients), web: incoming(s.Web)}
	b.web.NextProtos = []string{"http/1.1"} // a WebSocket begins as a request of HTTP/1.1
	b.client = &tls.Config{
		Certificates: []tls.Certificate{own}, MinVersion: lowest, MaxVersion: highest,
		InsecureSkipVerify: true, // of the name, which Redis does not check either; VerifyConnection checks the rest
		VerifyConnection:   verifyAgainst(roots),
	}
	return b, nil
}

// needsCA reports whether there is somebody's certificate to check.
func (s *Settings) needsCA() bool {
	asks := func(auth string) bool { return auth == AuthYes || auth == AuthOptional }
	return s.Outgoing || asks(s.AuthClients) || asks(s.Web)
}

func clientAuth(auth string) tls.ClientAuthType {
	switch auth {
	case AuthYes:
		return tls.RequireAndVerifyClientCert
	case AuthOptional:
		return tls.VerifyClientCertIfGiven
	}
	return tls.NoClientCert
}

// limitSessions lets sessions be resumed for as long as the settings say, or not at all. Go keeps nothing of a
// session: the client has it, in a ticket that only we can open. When it was made is written into the ticket.
func (s *Settings) limitSessions(c *tls.Config) {
	c.SessionTicketsDisabled = !s.SessionCaching
	lifetime := time.Duration(s.SessionTimeoutSec) * time.Second
	c.WrapSession = func(cs tls.ConnectionState, ss *tls.SessionState) ([]byte, error) {
		made, err := time.Now().MarshalBinary()
		if err != nil {
			return nil, err
		}
		ss.Extra = [][]byte{made}
		return c.EncryptTicket(cs, ss)
	}
	c.UnwrapSession = func(ticket []byte, cs tls.ConnectionState) (*tls.SessionState, error) {
		ss, err := c.DecryptTicket(ticket, cs)
		if err != nil || ss == nil {
			return nil, err
		}
		var made time.Time
		if len(ss.Extra) != 1 || made.UnmarshalBinary(ss.Extra[0]) != nil || time.Since(made) >= lifetime {
			return nil, nil // a whole handshake, then
		}
		return ss, nil
	}
}

// verifyAgainst checks the certificate of a server that we have connected to.
func verifyAgainst(roots *x509.CertPool) func(tls.ConnectionState) error {
	return func(cs tls.ConnectionState) error {
		if len(cs.PeerCertificates) == 0 || roots == nil {
			return errors.New("tls: there is no certificate, or no authority, to check")
		}
		between := x509.NewCertPool()
		for _, c := range cs.PeerCertificates[1:] {
			between.AddCert(c)
		}
		_, err := cs.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: between})
		return err
	}
}

// protocols are the names of Redis, in order.
var protocols = []struct {
	name    string
	version uint16
}{{"TLSv1", tls.VersionTLS10}, {"TLSv1.1", tls.VersionTLS11}, {"TLSv1.2", tls.VersionTLS12}, {"TLSv1.3", tls.VersionTLS13}}

// parseProtocols returns the lowest and the highest of the versions that are listed, which Go allows with all between
// them. No name is no wish: 0, 0.
func parseProtocols(list string) (lowest, highest uint16, err error) {
	var given [4]bool
	words := strings.Fields(list)
	for _, w := range words {
		at := -1
		for i, p := range protocols {
			if strings.EqualFold(p.name, w) {
				at = i
			}
		}
		if at < 0 {
			return 0, 0, errors.New("Invalid tls-protocols specified. Use a combination of 'TLSv1', 'TLSv1.1', 'TLSv1.2' and 'TLSv1.3'.") //nolint:staticcheck // Redis's words
		}
		given[at] = true
	}
	if len(words) == 0 {
		return 0, 0, nil
	}
	first := slices.Index(given[:], true)
	last := first
	for i := first; i < len(given); i++ {
		switch {
		case given[i] && i > last+1:
			return 0, 0, fmt.Errorf("Invalid tls-protocols specified. %s is missing between the others: here they have no gap.", protocols[last+1].name) //nolint:staticcheck // as Redis's
		case given[i]:
			last = i
		}
	}
	return protocols[first].version, protocols[last].version, nil
}

// Keeper holds the Bundle in use. The zero value holds none. It is safe for concurrent use.
type Keeper struct{ inUse atomic.Pointer[Bundle] }

// Bundle returns the one in use, nil if there is none.
func (k *Keeper) Bundle() *Bundle { return k.inUse.Load() }

// Use puts b in the place of the one in use.
func (k *Keeper) Use(b *Bundle) { k.inUse.Store(b) }
