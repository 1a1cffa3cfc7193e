package certs

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// What is in the files. All of them are PEM, as OpenSSL writes it.

// maxFile is how long a file of certificates may be: the bundle of a whole system has a quarter of a megabyte.
const maxFile = 4 << 20

// maxAuthorities is how many files of a directory are looked at.
const maxAuthorities = 4096

func readFile(path string) ([]byte, error) {
	if fi, err := os.Stat(path); err != nil {
		return nil, plain(err)
	} else if !fi.Mode().IsRegular() { // to open a pipe would be to wait for who writes into it
		return nil, errors.New("not a regular file")
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, plain(err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(text) > maxFile {
		err = fmt.Errorf("longer than %d bytes", maxFile)
	}
	return text, plain(err)
}

// plain leaves the path out of an error: whoever has it names the file anyway.
func plain(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}

// loadPair loads a certificate with those that signed it, and its key.
func loadPair(certFile, keyFile, pass string) (tls.Certificate, error) {
	certText, err := readFile(certFile)
	if err == nil && firstBlock(certText, "CERTIFICATE") == nil {
		err = errNoCertificate
	}
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("Failed to load certificate: %s: %w", certFile, err) //nolint:staticcheck // Redis's words
	}
	keyText, err := readFile(keyFile)
	if err == nil {
		keyText, err = openKey(keyText, pass)
	}
	var pair tls.Certificate
	if err == nil {
		pair, err = tls.X509KeyPair(certText, keyText)
	}
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("Failed to load private key: %s: %w", keyFile, err) //nolint:staticcheck // Redis's words
	}
	return pair, nil
}

var errNoCertificate = errors.New("there is no certificate in PEM form in it")

func firstBlock(text []byte, kind string) *pem.Block {
	for {
		var b *pem.Block
		if b, text = pem.Decode(text); b == nil || b.Type == kind {
			return b
		}
	}
}

// loadAuthorities loads the certificates that others' have to be signed by. Both a file and a directory may be named.
// It returns nil where neither is.
func loadAuthorities(file, dir string) (*x509.CertPool, error) {
	if file == "" && dir == "" {
		return nil, nil
	}
	wrong := func(path string, err error) error {
		return fmt.Errorf("Failed to configure CA certificate(s) file/directory: %s: %w", path, err) //nolint:staticcheck // Redis's words
	}
	pool := x509.NewCertPool()
	if file != "" {
		text, err := readFile(file)
		if err == nil && !pool.AppendCertsFromPEM(text) {
			err = errNoCertificate
		}
		if err != nil {
			return nil, wrong(file, err)
		}
	}
	if dir != "" {
		if err := addDirectory(pool, dir); err != nil {
			return nil, wrong(dir, err)
		}
	}
	return pool, nil
}

// addDirectory adds each file of a directory that is a certificate. OpenSSL finds them by their names, which are
// hashes; here the names do not matter.
func addDirectory(pool *x509.CertPool, dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return plain(err)
	}
	if len(entries) > maxAuthorities {
		return fmt.Errorf("more than %d files", maxAuthorities)
	}
	found := false
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		if fi, err := os.Stat(path); err != nil || !fi.Mode().IsRegular() {
			continue
		}
		if text, err := readFile(path); err == nil && pool.AppendCertsFromPEM(text) {
			found = true
		}
	}
	if !found {
		return errors.New("there is no certificate in it")
	}
	return nil
}
