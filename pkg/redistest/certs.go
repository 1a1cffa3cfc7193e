package redistest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Authority signs certificates for a test. They stand in files that go with the test.
type Authority struct {
	File string // the authority's own certificate

	t    testing.TB
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	made int64
}

// Pair is the paths of a certificate and of its key.
type Pair struct{ Cert, Key string }

// NewAuthority makes an authority that nobody has signed.
func NewAuthority(t testing.TB) *Authority {
	t.Helper()
	a := &Authority{t: t, dir: t.TempDir()}
	a.File = filepath.Join(a.dir, "ca.crt")
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Authority of " + t.Name()},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	var err error
	a.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	der, err := x509.CreateCertificate(rand.Reader, template, template, a.key.Public(), a.key)
	require.NoError(t, err)
	a.cert, err = x509.ParseCertificate(der)
	require.NoError(t, err)
	writePEM(t, a.File, "CERTIFICATE", der)
	return a
}

// Sign makes a certificate for the holder called name, at this machine, as a server and as a client. What stood in
// the files of that name before is replaced. change, if there is one, is given the certificate before it is signed.
func (a *Authority) Sign(name string, change ...func(c *x509.Certificate)) Pair {
	a.t.Helper()
	a.made++
	template := &x509.Certificate{SerialNumber: big.NewInt(a.made + 1), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	for _, f := range change {
		f(template)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(a.t, err)
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	require.NoError(a.t, err)
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(a.t, err)
	p := Pair{filepath.Join(a.dir, name+".crt"), filepath.Join(a.dir, name+".key")}
	writePEM(a.t, p.Cert, "CERTIFICATE", der)
	writePEM(a.t, p.Key, "PRIVATE KEY", keyDER)
	return p
}

// Trusting returns what a client connects with who trusts the authority, and who shows the certificate of p, if one is
// given.
func (a *Authority) Trusting(p ...Pair) *tls.Config {
	a.t.Helper()
	c := &tls.Config{RootCAs: x509.NewCertPool(), ServerName: "localhost"}
	c.RootCAs.AddCert(a.cert)
	for _, pair := range p {
		cert, err := tls.LoadX509KeyPair(pair.Cert, pair.Key)
		require.NoError(a.t, err)
		c.Certificates = append(c.Certificates, cert)
	}
	return c
}

func writePEM(t testing.TB, path, kind string, der []byte) {
	t.Helper()
	require.NoError(t, os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600))
}

// ConnectTLS is Connect by TLS.
func ConnectTLS(t testing.TB, addr string, with *tls.Config) *Client {
	t.Helper()
	conn, err := tls.Dial("tcp", addr, with)
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	return Over(t, conn)
}
