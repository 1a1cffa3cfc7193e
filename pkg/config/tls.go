package config

import (
	"strings"

	"byor/pkg/certs"
)

// The parameters about TLS. pkg/certs knows what they mean. Those that choose ciphers by OpenSSL's names have one
// value here, because Go chooses for itself.

func tlsParams() []Param {
	text := func(name string, field func(s *certs.Settings) *string) Param {
		return stringParam("tls-"+name, "", func(c *Config) *string { return field(&c.TLS) })
	}
	return []Param{
		intParam("tls-port", 0, 0, 65535, func(c *Config) *int64 { return &c.TLSPort }),
		text("cert-file", func(s *certs.Settings) *string { return &s.CertFile }),
		text("key-file", func(s *certs.Settings) *string { return &s.KeyFile }),
		text("key-file-pass", func(s *certs.Settings) *string { return &s.KeyFilePass }),
		text("client-cert-file", func(s *certs.Settings) *string { return &s.ClientCertFile }),
		text("client-key-file", func(s *certs.Settings) *string { return &s.ClientKeyFile }),
		text("client-key-file-pass", func(s *certs.Settings) *string { return &s.ClientKeyFilePass }),
		text("ca-cert-file", func(s *certs.Settings) *string { return &s.CACertFile }),
		text("ca-cert-dir", func(s *certs.Settings) *string { return &s.CACertDir }),
		text("protocols", func(s *certs.Settings) *string { return &s.Protocols }),
		enumParam("tls-auth-clients", certs.AuthYes, func(c *Config) *string { return &c.TLS.AuthClients }, certs.AuthNo, certs.AuthYes, certs.AuthOptional),
		boolParam("tls-replication", false, func(c *Config) *bool { return &c.TLSReplication }),
		boolParam("tls-cluster", false, func(c *Config) *bool { return &c.TLSCluster }),
		boolParam("tls-session-caching", true, func(c *Config) *bool { return &c.TLS.SessionCaching }),
		intParam("tls-session-cache-timeout", 300, 0, maxInt, func(c *Config) *int64 { return &c.TLS.SessionTimeoutSec }),
	}
}

func onlyTLS() []Param {
	return []Param{onlyText("tls-ciphers", ""), onlyText("tls-ciphersuites", "")}
}

// IsTLS reports whether the parameter is about TLS.
func (p *Param) IsTLS() bool { return strings.HasPrefix(p.Name, "tls-") }

// Certs returns what is to be loaded for TLS. wanted is false if nobody asks for it. web is what browsers are asked
// for, "" if none of them comes by TLS.
func (c *Config) Certs(web string) (s certs.Settings, wanted bool) {
	s = c.TLS
	s.Web, s.Outgoing = web, c.TLSReplication || c.TLSCluster
	if c.TLSPort == 0 { // then those who connect are no reason to have an authority
		s.AuthClients = certs.AuthNo
	}
	for _, path := range []*string{&s.CertFile, &s.KeyFile, &s.ClientCertFile, &s.ClientKeyFile, &s.CACertFile, &s.CACertDir} {
		*path = c.InDir(*path)
	}
	return s, c.TLSPort != 0 || s.Outgoing || web != ""
}
