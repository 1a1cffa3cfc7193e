package certs_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"byor/pkg/certs"
	"byor/pkg/redistest"
)

func settings(a *redistest.Authority, p redistest.Pair) certs.Settings {
	return certs.Settings{CertFile: p.Cert, KeyFile: p.Key, CACertFile: a.File, AuthClients: certs.AuthYes, SessionCaching: true, SessionTimeoutSec: 300}
}

func TestWhatIsWrongIsSaid(t *testing.T) {
	a := redistest.NewAuthority(t)
	p, other := a.Sign("server"), a.Sign("other")
	dir := t.TempDir()
	long := filepath.Join(dir, "long")
	require.NoError(t, os.WriteFile(long, nil, 0o600))
	require.NoError(t, os.Truncate(long, 5<<20))
	for want, change := range map[string]func(s *certs.Settings){
		"No tls-cert-file configured!":                                                   func(s *certs.Settings) { s.CertFile = "" },
		"No tls-key-file configured!":                                                    func(s *certs.Settings) { s.KeyFile = "" },
		"Either tls-ca-cert-file or tls-ca-cert-dir must":                                func(s *certs.Settings) { s.CACertFile = "" },
		"Failed to load certificate: /nowhere: no such file":                             func(s *certs.Settings) { s.CertFile = "/nowhere" },
		"Failed to load certificate: " + p.Key + ": there is no cer":                     func(s *certs.Settings) { s.CertFile = p.Key },
		"Failed to load certificate: " + long + ": longer than":                          func(s *certs.Settings) { s.CertFile = long },
		"Failed to load certificate: " + dir + ": not a regular":                         func(s *certs.Settings) { s.CertFile = dir },
		"Failed to load private key: /nowhere: no such":                                  func(s *certs.Settings) { s.KeyFile = "/nowhere" },
		"Failed to load private key: " + p.Cert + ": there is no":                        func(s *certs.Settings) { s.KeyFile = p.Cert },
		"Failed to load private key: " + other.Key + ": tls: private key does not match": func(s *certs.Settings) { s.KeyFile = other.Key },
		"Failed to load private key: " + other.Key + ": tls: private":                    func(s *certs.Settings) { s.ClientCertFile, s.ClientKeyFile = p.Cert, other.Key },
		"Failed to configure CA certificate(s) file/directory: /nowhere":                 func(s *certs.Settings) { s.CACertFile = "/nowhere" },
		"CA certificate(s) file/directory: " + p.Key + ": there is no certificate":       func(s *certs.Settings) { s.CACertFile = p.Key },
		"CA certificate(s) file/directory: " + dir + ": there is no certificate":         func(s *certs.Settings) { s.CACertDir = dir },
		"Use a combination of":                                                           func(s *certs.Settings) { s.Protocols = "SSLv3" },
		"TLSv1.2 is missing":                                                             func(s *certs.Settings) { s.Protocols = "tlsv1.3 TLSv1.1" },
	} {
		s := settings(a, p)
		change(&s)
		_, err := certs.Load(s)
		require.ErrorContains(t, err, want)
	}
	none := certs.Settings{CertFile: p.Cert, KeyFile: p.Key, AuthClients: certs.AuthNo}
	_, err := certs.Load(none)
	require.NoError(t, err, "nobody's certificate is checked")
	none.Outgoing = true
	_, err = certs.Load(none)
	require.ErrorIs(t, err, certs.ErrNoCA)
}

// meet shakes hands over a pipe and returns what each end says of it.
func meet(client, server *tls.Config) (version uint16, clientErr, serverErr error) {
	c, s := net.Pipe()
	defer c.Close()
	defer s.Close()
	done := make(chan error, 1)
	go func() {
		conn := tls.Server(s, server)
		err := conn.Handshake()
		if err == nil {
			_, err = conn.Write([]byte("x"))
		}
		if err != nil {
			s.Close()
		}
		done <- err
	}()
	conn := tls.Client(c, client)
	if _, clientErr = io.ReadFull(conn, make([]byte, 1)); clientErr != nil {
		c.Close()
	}
	return conn.ConnectionState().Version, clientErr, <-done
}

func load(t *testing.T, s certs.Settings) *certs.Bundle {
	t.Helper()
	b, err := certs.Load(s)
	require.NoError(t, err)
	return b
}

func TestProtocols(t *testing.T) {
	a := redistest.NewAuthority(t)
	p := a.Sign("server")
	for list, want := range map[string]uint16{"": tls.VersionTLS13, "TLSv1.2": tls.VersionTLS12, "tlsv1.1 TLSv1.2": tls.VersionTLS12, "TLSv1.3 TLSv1.2": tls.VersionTLS13} {
		s := settings(a, p)
		s.Protocols = list
		version, clientErr, serverErr := meet(a.Trusting(p), load(t, s).Server())
		require.NoError(t, clientErr, list)
		require.NoError(t, serverErr, list)
		require.Equal(t, want, version, list)
	}
	s := settings(a, p)
	s.Protocols = "TLSv1.3"
	old := a.Trusting(p)
	old.MaxVersion = tls.VersionTLS12
	_, clientErr, serverErr := meet(old, load(t, s).Server())
	require.Error(t, clientErr)
	require.ErrorContains(t, serverErr, "unsupported versions")
}

// Servers check each other: by the authority, and not by the name.
func TestServersConnectToServers(t *testing.T) {
	a, other := redistest.NewAuthority(t), redistest.NewAuthority(t)
	named := a.Sign("elsewhere", func(c *x509.Certificate) { c.DNSNames, c.IPAddresses = []string{"elsewhere.example"}, nil })
	s := settings(a, named)
	s.Outgoing = true
	ours := load(t, s)
	_, clientErr, serverErr := meet(ours.Client(), ours.Server())
	require.NoError(t, clientErr)
	require.NoError(t, serverErr)
	theirs := load(t, settings(other, other.Sign("server")))
	_, clientErr, _ = meet(ours.Client(), theirs.Server())
	require.ErrorContains(t, clientErr, "unknown authority")
	_, _, serverErr = meet(theirs.Client(), ours.Server())
	require.Error(t, serverErr)

	// A certificate of its own for clients, which is not for servers.
	p := a.Sign("client", func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} })
	s.ClientCertFile, s.ClientKeyFile = p.Cert, p.Key
	_, clientErr, serverErr = meet(load(t, s).Client(), ours.Server())
	require.NoError(t, clientErr)
	require.NoError(t, serverErr)
	s.CertFile, s.KeyFile = p.Cert, p.Key
	_, clientErr, _ = meet(ours.Client(), load(t, s).Server())
	require.ErrorContains(t, clientErr, "incompatible key usage")
}

func TestAuthoritiesOfADirectory(t *testing.T) {
	a, b := redistest.NewAuthority(t), redistest.NewAuthority(t)
	dir := t.TempDir()
	for i, file := range []string{a.File, b.File} {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(dir, string(rune('a'+i))), text, 0o600))
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, "README"), []byte("Nothing to see."), 0o600))
	s := settings(a, a.Sign("server"))
	s.CACertFile, s.CACertDir = "", dir
	server := load(t, s).Server()
	for _, authority := range []*redistest.Authority{a, b} {
		with := a.Trusting()
		with.Certificates = authority.Trusting(authority.Sign("client")).Certificates
		_, clientErr, serverErr := meet(with, server)
		require.NoError(t, clientErr)
		require.NoError(t, serverErr)
	}
}

// What OpenSSL locks with a password opens here, in its new form and in the old one.
func TestLockedKeys(t *testing.T) {
	redistest.Need(t, "openssl")
	a := redistest.NewAuthority(t)
	p := a.Sign("server")
	locked := filepath.Join(t.TempDir(), "locked.key")
	s := settings(a, p)
	s.KeyFile = locked
	for _, how := range [][]string{
		{"pkcs8", "-topk8", "-v2", "aes-256-cbc"}, {"pkcs8", "-topk8", "-v2", "aes-128-cbc", "-v2prf", "hmacWithSHA512"},
		{"pkcs8", "-topk8", "-v2", "aes-192-cbc", "-v2prf", "hmacWithSHA1", "-iter", "5"}, {"pkcs8", "-topk8", "-v2", "des3"}, {"ec", "-aes128"},
	} {
		out, err := exec.Command("openssl", append(how, "-in", p.Key, "-out", locked, "-passout", "pass:sesame")...).CombinedOutput()
		require.NoError(t, err, "%s", out)
		for pass, want := range map[string]string{"sesame": "", "": "the key is locked", "wrong": "the password does not open the key"} {
			s.KeyFilePass = pass
			_, err := certs.Load(s)
			if want == "" {
				require.NoError(t, err, how)
				continue
			}
			require.ErrorContains(t, err, want, how)
			require.NotContains(t, err.Error(), "wrong")
		}
	}
	out, err := exec.Command("openssl", "pkcs8", "-topk8", "-scrypt", "-in", p.Key, "-out", locked, "-passout", "pass:sesame").CombinedOutput()
	require.NoError(t, err, "%s", out)
	s.KeyFilePass = "sesame"
	_, err = certs.Load(s)
	require.ErrorContains(t, err, "not known here")
	out, err = exec.Command("openssl", "pkcs8", "-topk8", "-v2", "aes-256-cbc", "-iter", "2000001", "-in", p.Key, "-out", locked, "-passout", "pass:sesame").CombinedOutput()
	require.NoError(t, err, "%s", out)
	_, err = certs.Load(s)
	require.ErrorContains(t, err, "at most 2000000")
}

// A peer that says nothing, or its part byte by byte, has the time of a handshake and no more.
func TestHandshakesEnd(t *testing.T) {
	a := redistest.NewAuthority(t)
	b := load(t, settings(a, a.Sign("server")))
	for name, peer := range map[string]func(conn net.Conn, over chan struct{}){
		"silent": func(conn net.Conn, _ chan struct{}) { io.Copy(io.Discard, conn) },
		"slow": func(conn net.Conn, _ chan struct{}) {
			hello := []byte("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
			for i := 0; ; i++ {
				if _, err := conn.Write([]byte{hello[min(i, len(hello)-1)]}); err != nil {
					return
				}
				time.Sleep(time.Second)
			}
		},
		"deaf": func(conn net.Conn, over chan struct{}) { // says hello, and reads nothing
			hello := tls.Client(writeOnly{conn, over}, &tls.Config{InsecureSkipVerify: true})
			hello.Handshake()
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			k := &certs.Keeper{}
			k.Use(b)
			ours, theirs := net.Pipe()
			over, gone := make(chan struct{}), make(chan struct{})
			go func() {
				defer close(gone)
				peer(theirs, over)
			}()
			begun := time.Now()
			_, err := k.Accept(context.Background(), ours)
			require.ErrorContains(t, err, "took longer than 10s", name)
			require.Equal(t, certs.HandshakeTimeout, time.Since(begun), name)
			_, err = ours.Write([]byte("x"))
			require.ErrorIs(t, err, io.ErrClosedPipe, "it is closed")
			theirs.Close()
			close(over)
			<-gone
		})
	}
}

// writeOnly is a connection on which nothing comes until over is closed.
type writeOnly struct {
	net.Conn
	over chan struct{}
}

func (c writeOnly) Read([]byte) (int, error) {
	<-c.over
	return 0, io.EOF
}

// A server that ends waits for no handshake.
func TestHandshakesEndWithTheServer(t *testing.T) {
	a := redistest.NewAuthority(t)
	k := &certs.Keeper{}
	ours, theirs := net.Pipe()
	defer theirs.Close()
	_, err := k.Accept(context.Background(), ours)
	require.ErrorContains(t, err, "no certificate is loaded")
	k.Use(load(t, settings(a, a.Sign("server"))))
	ours, theirs = net.Pipe()
	defer theirs.Close()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err = k.Accept(ctx, ours)
	require.ErrorIs(t, err, context.Canceled)
}

// HangUp waits for nobody, and a peer that reads is told that this is the end.
func TestHangUp(t *testing.T) {
	a := redistest.NewAuthority(t)
	p := a.Sign("server")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	k := &certs.Keeper{}
	k.Use(load(t, settings(a, p)))
	served := make(chan net.Conn, 1)
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		if tc, err := k.Accept(context.Background(), conn); err == nil {
			served <- tc
		}
	}()
	c, err := tls.Dial("tcp", l.Addr().String(), a.Trusting(p))
	require.NoError(t, err)
	defer c.Close()
	ours := <-served
	require.IsType(t, &net.TCPConn{}, certs.Socket(ours))
	certs.HangUp(ours)
	c.SetDeadline(time.Now().Add(time.Minute))
	_, err = c.Read(make([]byte, 1))
	require.ErrorIs(t, err, io.EOF)
}

// A listener for browsers lets so many shake hands at a time, and no more. Who is through does not count.
func TestListenBoundsHandshakes(t *testing.T) {
	a := redistest.NewAuthority(t)
	p := a.Sign("server")
	k := &certs.Keeper{}
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	l := k.Listen(inner, 2, time.Hour)
	accepted := make(chan net.Conn, 10)
	go func() {
		defer close(accepted)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			accepted <- conn
		}
	}()
	dial := func() net.Conn {
		conn, err := net.Dial("tcp", inner.Addr().String())
		require.NoError(t, err)
		t.Cleanup(func() { conn.Close() })
		conn.SetDeadline(time.Now().Add(time.Minute))
		return conn
	}
	closed := func(conn net.Conn) {
		t.Helper()
		_, err := conn.Read(make([]byte, 1))
		var ne net.Error
		require.Error(t, err)
		require.False(t, errors.As(err, &ne) && ne.Timeout(), "it stays open")
	}
	closed(dial()) // there is no certificate yet
	k.Use(load(t, certs.Settings{CertFile: p.Cert, KeyFile: p.Key, Web: certs.AuthNo}))
	for range 5 { // those who are through take no place
		require.NoError(t, tls.Client(dial(), a.Trusting()).Handshake())
		defer (<-accepted).Close()
	}
	silent := []net.Conn{dial(), dial()}
	closed(dial())
	silent[0].Write([]byte("GET / HTTP/1.1\r\n\r\n"))
	conn := <-accepted // its user finds out
	_, err = conn.Read(make([]byte, 1))
	require.ErrorContains(t, err, "first record does not look like a TLS handshake")
	conn.Close()
	require.NoError(t, tls.Client(dial(), a.Trusting()).Handshake()) // in the place of the first
	defer (<-accepted).Close()
	require.NoError(t, l.Close())
	closed(silent[1])
	_, open := <-accepted
	require.False(t, open)
}
