package certs

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/des" //nolint:gosec // a key in a file may be locked with it
	"crypto/pbkdf2"
	"crypto/sha1" //nolint:gosec // the default of PBKDF2, which says nothing against it
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"hash"
)

// Keys that are locked with a password: as `openssl genrsa -aes256` writes them, which is PKCS #8 with PBES2 (RFC 8018),
// and in the older form of OpenSSL that crypto/x509 still opens.

// maxRounds is how often a password may be hashed. OpenSSL does it 2048 times, others up to a million; a file that
// asks for more would keep the server busy for long.
const maxRounds = 2_000_000

var (
	errLocked    = errors.New("the key is locked, and tls-key-file-pass (or tls-client-key-file-pass) is empty")
	errWrongPass = errors.New("the password does not open the key")
	errNoKey     = errors.New("there is no private key in PEM form in it")
)

// openKey returns a key's PEM without its lock. A key that has none comes back as it is.
func openKey(text []byte, pass string) ([]byte, error) {
	for rest := text; ; {
		var b *pem.Block
		if b, rest = pem.Decode(rest); b == nil {
			return nil, errNoKey
		}
		old := x509.IsEncryptedPEMBlock(b) //nolint:staticcheck // the form is weak, but the file is the operator's
		switch {
		case b.Type == "ENCRYPTED PRIVATE KEY" || old:
			if pass == "" {
				return nil, errLocked
			}
		case b.Type == "PRIVATE KEY" || b.Type == "RSA PRIVATE KEY" || b.Type == "EC PRIVATE KEY":
			return text, nil
		default:
			continue // parameters of a curve, or the certificate
		}
		if old {
			der, err := x509.DecryptPEMBlock(b, []byte(pass)) //nolint:staticcheck // see above
			if err != nil {
				return nil, errWrongPass
			}
			return pem.EncodeToMemory(&pem.Block{Type: b.Type, Bytes: der}), nil
		}
		der, err := openPKCS8(b.Bytes, pass)
		if err != nil {
			return nil, err
		}
		return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
	}
}

// The names that PBES2 has for its parts.
var (
	oidPBES2     = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 13}
	oidPBKDF2    = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 12}
	oidAES128CBC = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 2}
	oidAES192CBC = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 22}
	oidAES256CBC = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 42}
	oidDES3CBC   = asn1.ObjectIdentifier{1, 2, 840, 113549, 3, 7}
	oidSHA1      = asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 7}
	oidSHA256    = asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 9}
	oidSHA384    = asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 10}
	oidSHA512    = asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 11}
)

type lockedKey struct {
	Algorithm pkix.AlgorithmIdentifier
	Data      []byte
}

type pbes2Params struct {
	Derive pkix.AlgorithmIdentifier
	Cipher pkix.AlgorithmIdentifier
}

type pbkdf2Params struct {
	Salt      []byte
	Rounds    int
	KeyLength int                      `asn1:"optional"`
	Hash      pkix.AlgorithmIdentifier `asn1:"optional"`
}

// openPKCS8 opens an EncryptedPrivateKeyInfo.
func openPKCS8(der []byte, pass string) ([]byte, error) {
	var k lockedKey
	var p pbes2Params
	var d pbkdf2Params
	if _, err := asn1.Unmarshal(der, &k); err != nil {
		return nil, err
	}
	if !k.Algorithm.Algorithm.Equal(oidPBES2) {
		return nil, fmt.Errorf("the key is locked in a way that is not known here (%s)", k.Algorithm.Algorithm)
	}
	if _, err := asn1.Unmarshal(k.Algorithm.Parameters.FullBytes, &p); err != nil {
		return nil, err
	}
	if !p.Derive.Algorithm.Equal(oidPBKDF2) {
		return nil, fmt.Errorf("the key's password is hashed in a way that is not known here (%s)", p.Derive.Algorithm)
	}
	if _, err := asn1.Unmarshal(p.Derive.Parameters.FullBytes, &d); err != nil {
		return nil, err
	}
	block, err := p.block(&d, pass)
	if err != nil {
		return nil, err
	}
	var iv []byte
	if _, err := asn1.Unmarshal(p.Cipher.Parameters.FullBytes, &iv); err != nil {
		return nil, err
	}
	n := block.BlockSize()
	if len(iv) != n || len(k.Data) == 0 || len(k.Data)%n != 0 {
		return nil, errors.New("the locked key is damaged")
	}
	plain := make([]byte, len(k.Data))
	cipher.NewCBCDecrypter(block, iv).CryptBlocks(plain, k.Data)
	pad := int(plain[len(plain)-1])
	if pad == 0 || pad > n {
		return nil, errWrongPass
	}
	plain = plain[:len(plain)-pad]
	if _, err := x509.ParsePKCS8PrivateKey(plain); err != nil {
		return nil, errWrongPass
	}
	return plain, nil
}

// block makes the cipher's key of the password.
func (p *pbes2Params) block(d *pbkdf2Params, pass string) (cipher.Block, error) {
	lengths := map[string]int{oidAES128CBC.String(): 16, oidAES192CBC.String(): 24, oidAES256CBC.String(): 32, oidDES3CBC.String(): 24}
	hashes := map[string]func() hash.Hash{"": sha1.New, oidSHA1.String(): sha1.New, oidSHA256.String(): sha256.New,
		oidSHA384.String(): sha512.New384, oidSHA512.String(): sha512.New}
	length, hashed := lengths[p.Cipher.Algorithm.String()], hashes[d.Hash.Algorithm.String()]
	switch {
	case length == 0:
		return nil, fmt.Errorf("the key is locked with a cipher that is not known here (%s)", p.Cipher.Algorithm)
	case hashed == nil:
		return nil, fmt.Errorf("the key's password is hashed in a way that is not known here (%s)", d.Hash.Algorithm)
	case d.Rounds < 1 || d.Rounds > maxRounds:
		return nil, fmt.Errorf("the key asks for %d rounds of hashing, and at most %d are done", d.Rounds, maxRounds)
	}
	key, err := pbkdf2.Key(hashed, pass, d.Salt, d.Rounds, length)
	if err != nil {
		return nil, err
	}
	if p.Cipher.Algorithm.Equal(oidDES3CBC) {
		return des.NewTripleDESCipher(key)
	}
	return aes.NewCipher(key)
}
